/* runner.h - threads that keep projections up with the log. */
#ifndef QP_RUNNER_H
#define QP_RUNNER_H

#include "project.h"

struct qp_runner;

/* Who has started it. */
struct qp_runner_owner {
    qp_folding_ask_fn ask; /* in any of its threads; false ends them */
    void *payload;
    void (*free_item)(struct qp_projection *item);
};

/* The projections are the runner's from OK on, and are freed by their owner's function. Returns:
 * OK; CONFLICT: a newer version of one is there; READ_ONLY; SYSTEM: no more threads are to be had;
 * as qp_commit(). */
int qp_runner_start(struct qp_handle *handle, struct qp_projection **projections, size_t count,
                    uint32_t threads, const struct qp_runner_owner *owner, struct qp_runner **out,
                    quipu_error *error);

/* Ends after the pages under way; each lease is given back. Returns: OK, or what a projection fails
 * with just now. */
int qp_runner_stop(struct qp_runner *runner, quipu_error *error);

#endif
