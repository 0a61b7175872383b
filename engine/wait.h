/* wait.h - until somebody has appended. */
#ifndef QP_WAIT_H
#define QP_WAIT_H

#include "handle.h"

/* Asked between two looks. Below 0 ends the wait, and is returned. */
typedef int (*qp_wait_fn)(void *payload, quipu_error *error);

/* Returns: ROW: `*head` is above `after`; OK: not before the deadline (monotonic); what `ask`
 * returned; as qp_moment_begin(). `*head` is the newest position on ROW and OK. */
int qp_wait(struct qp_handle *handle, uint64_t after, int64_t deadline_ns, qp_wait_fn ask,
            void *payload, uint64_t *head, quipu_error *error);

#endif
