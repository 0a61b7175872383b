/* batch.h - conditions and effects as bytes: what a program builds up before it commits.
 *
 * Each draft becomes a record (record.h) at once, in the thread that adds it, so that the leader of
 * a commit only stamps and copies. A batch depends on nothing but what was put into it. */
#ifndef QP_BATCH_H
#define QP_BATCH_H

#include "key.h"
#include "query.h"

/* A record not yet stamped. */
struct qp_draft_record {
    size_t offset; /* in `bytes` */
    size_t size;
    size_t id_offset;         /* within the record; 0: the draft has no id */
    uint64_t content;         /* the sum over meta and data, made once */
    bool recorded_given;      /* the draft brought a time of its own for `recorded` */
    int64_t recorded_wish_ns; /* kept here, because a stamp overwrites it in the record */
};

/* Rows of `marks` have the number of their kind there. */
enum qp_step_kind {
    QP_STEP_STREAM = 0,              /* events, or none, under the condition of a version */
    QP_STEP_MARK = QP_MARK_POSITION, /* a named position moves forward */
    QP_STEP_TRACK = QP_MARK_SOURCE,  /* the number of a source grows */
    QP_STEP_UNLESS                   /* nothing of a query after a position */
};

struct qp_step {
    enum qp_step_kind kind;
    size_t name_offset; /* in `names`, with its 0: of the stream, the mark or the source */
    size_t name_size;
    uint64_t name_sum;      /* seeded with the kind */
    uint64_t expected;      /* a version, QUIPU_ANY or QUIPU_EXISTS; UNLESS: `after` */
    uint64_t number;        /* MARK, TRACK: to be stored */
    struct qp_query *query; /* UNLESS: the batch's own */
    size_t first_draft;     /* in `drafts` */
    size_t draft_count;     /* 0: no event */
    bool known;             /* all of its events are in the stream already, up to last_position */
    uint64_t last_position;
    bool changes;        /* MARK, TRACK: the number is to be stored, and is not there yet */
    quipu_result result; /* valid while the batch is `decided` */
};

struct qp_batch {
    struct qp_buffer bytes; /* the records, one after the other */
    struct qp_buffer names; /* of the steps, each with its 0 */
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

/* All that must be right about a draft, but for what the bytes of its payloads say. MISUSE,
 * INVALID, TOO_LARGE. */
int qp_batch_check_draft(const quipu_draft *draft, quipu_error *error);

/* Add a step. On failure nothing is added and the failure is remembered. */
int qp_batch_append(struct qp_batch *batch, const char *stream, uint64_t expected,
                    const quipu_draft *drafts, size_t count);

/* Nothing of the query may stand after a position; it is copied. */
int qp_batch_unless(struct qp_batch *batch, const quipu_query *query, uint64_t after);

/* A mark or a source, by its kind, is to have a number. */
int qp_batch_number(struct qp_batch *batch, enum qp_step_kind kind, const char *name,
                    uint64_t number);

/* Both point into the batch and live until something is added to it. */
struct qp_bytes qp_batch_name(const struct qp_batch *batch, const struct qp_step *step);
uint8_t *qp_batch_record(const struct qp_batch *batch, size_t draft);

/* The id that a draft brought, 16 bytes, or NULL. */
const uint8_t *qp_batch_id(const struct qp_batch *batch, size_t draft);

#endif
