/* turn.h - a leader's turn: it gets the store lock, or the lock's owner commits the group with its
 * own. */
#ifndef QP_TURN_H
#define QP_TURN_H

#include "handle.h"

enum qp_turn {
    QP_TURN_LOCKED,  /* the lock is ours; the group, if there is one, is ours to commit */
    QP_TURN_ANSWERED /* another process has committed the group: its outcomes stand in it */
};

/* Wait for either. `*group` is what was taken out of the queue meanwhile; whatever fails, it is its
 * caller's to end. Returns: OK, and `*turn`; BUSY: nothing of it is in; IN_DOUBT: nobody knows,
 * as the process that has taken it does not go on; as qp_lock_take(). */
int qp_turn_take(struct qp_handle *handle, struct qp_request **group, enum qp_turn *turn,
                 quipu_error *error);

/* For who has the lock: groups of other processes that wait for it. */
struct qp_parcel *qp_turn_collect(struct qp_handle *handle);

/* Has a process that is dead a group in its box, which may be in somebody's commit just now? What
 * became of it can be seen once the lock was had. */
bool qp_turn_has_of_dead(struct qp_handle *handle);

/* What became of them: what was planned, or something else. Before the lock is given back. */
void qp_turn_answer(struct qp_handle *handle, const struct qp_parcel *parcels, bool as_planned);

#endif
