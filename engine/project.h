/* project.h - running a projection: step by step, each step one commit, so that whoever dies leaves
 * a row that says where the next one goes on. */
#ifndef QP_PROJECT_H
#define QP_PROJECT_H

#include "folding.h"
#include "lease.h"

/* What steps have come to. */
struct qp_run_counts {
    uint64_t applied; /* events */
    uint64_t parked;  /* by key, as the two below */
    uint64_t skipped;
    uint64_t failed;
};

/* One who runs a projection, from step to step. One thread at a time. */
struct qp_run {
    struct qp_handle *handle;
    const struct qp_projection *projection;
    bool stays; /* it keeps the lease when there is nothing to do */
    qp_folding_ask_fn ask;
    void *ask_payload;
    struct qp_lease lease;
    unsigned refused; /* pages, one after the other */
    unsigned turns;   /* at which there was something to clean too */
    struct qp_batch batch;
    struct qp_run_counts page; /* of the step under way */
    struct qp_run_counts done; /* committed */
    /* As of the last step. */
    struct qp_projection_row row;
    uint64_t head;
    uint64_t transaction;
};

void qp_run_begin(struct qp_run *run, struct qp_handle *handle,
                  const struct qp_projection *projection);

/* Make its row if there is none, and see that no newer version is there. Returns: OK; CONFLICT;
 * READ_ONLY; CORRUPT; as qp_commit(). */
int qp_run_make(struct qp_run *run, quipu_error *error);

/* In any case, at the end: give the lease back if it holds one, and free what steps have used. */
void qp_run_end(struct qp_run *run);

/* One step. Returns: ROW: something was done, or has changed: look again; OK: there is nothing to
 * do, or it is paused; BUSY: another one runs it, ask again soon; FAULTED: it has stopped at an
 * event; CONFLICT: a newer version is there; CLOSED: `ask` says no; READ_ONLY; CORRUPT: an event or
 * a row is damaged; as qp_commit(). */
int qp_run_step(struct qp_run *run, quipu_error *error);

/* The row says from now on that the projection has stopped at an event, and nobody runs it. */
void qp_run_stop_at(struct qp_projection_row *row, const struct qp_fault *fault, int64_t now_ns);

#endif
