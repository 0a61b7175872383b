/* execute.h - load, decide, commit; again after a conflict. */
#ifndef QP_EXECUTE_H
#define QP_EXECUTE_H

#include "batch.h"
#include "handle.h"

/* What is decided, as the application gave it. `call` runs decide(state, version, batch, payload,
 * error) with the public handle of `batch`. */
struct qp_decision {
    const quipu_fold *fold;
    const char *stream;
    uint32_t attempts; /* at least 1 */
    int (*call)(void *payload, const void *state, uint64_t version, quipu_error *error);
    void *payload;
    struct qp_batch *batch; /* what `call` fills; cleared before each attempt */
};

/* Returns as quipu_execute(); the arguments were checked. */
int qp_execute(struct qp_handle *handle, const struct qp_decision *decision, quipu_receipt *receipt,
               quipu_error *error);

#endif
