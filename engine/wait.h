/* wait.h - until somebody has appended, or has committed anything at all. */
#ifndef QP_WAIT_H
#define QP_WAIT_H

#include "handle.h"

/* For who makes and who frees a handle. */
void qp_wait_init(struct qp_waiting *waiting);
void qp_wait_release(struct qp_waiting *waiting);

/* May it go on? Asked before each sleep, with a leaf lock held. Below 0 ends the wait, and is
 * returned. */
typedef int (*qp_wait_fn)(void *payload, quipu_error *error);

/* Wait until the head is above `after`, or the monotonic clock has come to the deadline, or `ask`
 * ends it. Returns: ROW: it is above; OK: the time is over; what `ask` returned if that is below 0;
 * as qp_moment_glance(). On ROW and OK `*head` is the newest position. */
int qp_wait(struct qp_handle *handle, uint64_t after, int64_t deadline_ns, qp_wait_fn ask,
            void *payload, uint64_t *head, quipu_error *error);

/* The same until the log has a newer transaction than that one: events, or only marks and other
 * rows. What a snapshot sees that is taken after ROW is at least `*newest`. Whoever begins asks its
 * own snapshot, which it has looked at, for the number: qp_txn_number(). */
int qp_wait_commit(struct qp_handle *handle, uint64_t transaction, int64_t deadline_ns,
                   qp_wait_fn ask, void *payload, uint64_t *newest, quipu_error *error);

/* Let everybody who waits in this process ask again. */
void qp_wait_disturb(struct qp_handle *handle);

#endif
