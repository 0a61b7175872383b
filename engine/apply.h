/* apply.h - putting into the store what was decided: records with their stamps, marks, what
 * projections made. A function of the store, of the batches' bytes, and of the time that the leader
 * gives. */
#ifndef QP_APPLY_H
#define QP_APPLY_H

#include "batch.h"
#include "log.h"

/* What the events of a group go on from, one after the other. All events of a group have one
 * `recorded`: the moment of their commit. */
struct qp_edge {
    int64_t now_ns;
    int64_t recorded_ns;
    uint64_t position;
    uint64_t chain;
};

/* Where the log ends; `now_ns` is the store's clock, which may have to be held back. */
void qp_edge_init(struct qp_edge *edge, const struct qp_log_head *head, int64_t now_ns);

/* Put all effects of a batch that was decided and holds. `*written`: something was put. A failure
 * is the whole transaction's. */
int qp_apply(struct qp_txn *txn, struct qp_batch *batch, struct qp_edge *edge, bool *written,
             quipu_error *error);

#endif
