/* lock.h - the two locks of who writes, over all processes: the store lock for the log, the
 * merger's byte for the index. With the pid of who has one, and what the next owner owes when the
 * last one died. */
#ifndef QP_LOCK_H
#define QP_LOCK_H

#include "handle.h"

/* Take the store lock; who has it may write the log. If its last owner died with it, the log is
 * settled first, and poisoned when that fails: the caller asks for that before it writes.
 * Returns: OK; BUSY: `deadline_ns` on the monotonic clock has passed, the text names the holder;
 * IO: nobody can take it any more, the store is poisoned. */
int qp_lock_take(struct qp_handle *handle, int64_t deadline_ns, quipu_error *error);

/* Give it back. */
struct qp_hand_over qp_lock_release(struct qp_handle *handle, bool committed);

/* Let another process that waits go first. */
void qp_lock_stand_back(struct qp_handle *handle, struct qp_hand_over hand_over);

/* The merger's byte of the guard. Threads of one process do not exclude each other by it. One try.
 * Returns: ROW: got it; OK: another process has it; SYSTEM. */
int qp_lock_try_merger(struct qp_handle *handle, quipu_error *error);

/* Wait for it. BUSY names who has it; SYSTEM. */
int qp_lock_take_merger(struct qp_handle *handle, int64_t deadline_ns, quipu_error *error);
void qp_lock_release_merger(struct qp_handle *handle);

#endif
