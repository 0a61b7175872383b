/* turn.h - a leader's turn: it gets the store lock, or the lock's owner commits the group with its
 * own. */
#ifndef QP_TURN_H
#define QP_TURN_H

#include "handle.h"

enum qp_turn {
    QP_TURN_LOCKED,  /* the lock is ours; the group, if there is one, is ours to commit */
    QP_TURN_ANSWERED /* another process has committed the group: its outcomes stand in it */
};

/* Wait for either. `*group` is what was taken out of the queue meanwhile; whatever fails, it is the
 * caller's to complete. Returns: OK, and `*turn`; BUSY: nothing of it is in; IN_DOUBT: nobody
 * knows, as the process that has taken it does not go on; as qp_lock_take(). */
int qp_turn_take(struct qp_handle *handle, struct qp_request **group, enum qp_turn *turn,
                 quipu_error *error);

/* For who has the lock: groups of other processes that wait for it, until qp_post_free(). */
struct qp_parcel *qp_turn_collect(struct qp_handle *handle);

/* Is a group of a process that is dead in its box? It may be in somebody's commit just now: what
 * became of it can be seen once the caller has had the lock. */
bool qp_turn_any_of_dead(struct qp_handle *handle);

/* For who has the lock: such groups are not looked for again. */
void qp_turn_drop_dead(struct qp_handle *handle);

/* Answer what was collected, as qp_post_answer() does, and ring who waits for it. Before the lock
 * is given back. */
void qp_turn_answer(struct qp_handle *handle, const struct qp_parcel *parcels, bool as_planned);

#endif
