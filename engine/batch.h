/* batch.h - conditions and effects as bytes: what a program builds up before it commits.
 *
 * Each draft becomes a record (record.h) at once, in the thread that adds it, so that the leader of
 * a commit only stamps and copies. A batch depends on nothing but what was put into it. */
#ifndef QP_BATCH_H
#define QP_BATCH_H

#include "memory.h"
#include "record.h"

/* A record not yet stamped. */
struct qp_draft_record {
    size_t offset; /* in `bytes` */
    size_t size;
    uint64_t content;
    bool recorded_given;
    int64_t recorded_wish_ns;
};

struct qp_step {
    size_t stream_offset; /* in `names`, with its 0 */
    size_t stream_size;
    uint64_t expected;
    size_t first_draft;
    size_t draft_count; /* 0: only a condition */
    quipu_result result;
};

struct qp_batch {
    struct qp_buffer bytes;
    struct qp_buffer names;
    struct qp_step *steps;
    size_t step_count;
    size_t step_capacity;
    struct qp_draft_record *drafts;
    size_t draft_count;
    size_t draft_capacity;
    size_t payload_max;  /* the largest data + meta in it */
    quipu_error failure; /* of the first call that failed; status 0: none */
    bool decided;        /* the steps' results are of the last commit */
};

void qp_batch_clear(struct qp_batch *batch);
void qp_batch_release(struct qp_batch *batch);

/* Add a step. On failure nothing is added and the failure is remembered. */
int qp_batch_append(struct qp_batch *batch, const char *stream, uint64_t expected,
                    const quipu_draft *drafts, size_t count);

struct qp_bytes qp_batch_stream(const struct qp_batch *batch, const struct qp_step *step);
uint8_t *qp_batch_record(const struct qp_batch *batch, size_t draft);

#endif
