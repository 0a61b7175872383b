/* catch_up.h - bringing a projection to the head once, and waiting until somebody has brought it to
 * a position. */
#ifndef QP_CATCH_UP_H
#define QP_CATCH_UP_H

#include "project.h"
#include "wait.h"

/* Told after each step that did something; other than 0 stops, and is returned if it is below 0. */
typedef int (*qp_catch_up_fn)(void *payload, const struct qp_run *run);

/* Run it until it has what was there when this began; if another one runs it, wait for that.
 * Returns: OK; BUSY: it does not go on, the text names the process; what `told` returned;
 * `run->ask` said no: CLOSED; else as qp_run_step(). */
int qp_catch_up(struct qp_run *run, qp_catch_up_fn told, void *payload, quipu_error *error);

/* Wait until a view's mark is at `position` or beyond. Returns: ROW; OK: the time is over;
 * NOT_FOUND: there is no such projection; FAULTED: it has stopped; what `ask` returned; as
 * qp_wait_commit(). */
int qp_catch_up_wait(struct qp_handle *handle, struct qp_bytes name, uint64_t position,
                     int64_t deadline_ns, qp_wait_fn ask, void *payload, quipu_error *error);

#endif
