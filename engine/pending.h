/* pending.h - the events that a group of batches will append, as a query finds them.
 *
 * They are in no index and no tail yet, and their records stand in the batches. Nothing here knows
 * the store. */
#ifndef QP_PENDING_H
#define QP_PENDING_H

#include "batch.h"

/* A batch whose events will stand from a position on. */
struct qp_pending_batch {
    const struct qp_batch *batch;
    uint64_t first_position;
};

/* A zeroed one is empty. */
struct qp_pending {
    struct qp_pending_batch *batches;
    size_t count;
    size_t capacity;
    uint64_t *terms; /* a set of sums: what the first `summed` batches are found by; 0: free */
    size_t term_size;
    size_t term_count;
    size_t summed;
};

void qp_pending_release(struct qp_pending *pending);

/* Make room for one more: the next put succeeds. false: memory is out. */
bool qp_pending_ensure(struct qp_pending *pending);

/* Positions ascend from one batch to the next. The batch must outlive this. */
void qp_pending_put(struct qp_pending *pending, const struct qp_batch *batch,
                    uint64_t first_position);

/* The first event after `after` that matches. Returns: ROW; OK: there is none; NO_MEMORY. */
int qp_pending_match(struct qp_pending *pending, const struct qp_query *query, uint64_t after,
                     uint64_t *position, quipu_error *error);

#endif
