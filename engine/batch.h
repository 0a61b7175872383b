/* batch.h - conditions and effects as bytes: what is built up before it commits, by a program or by
 * a projection.
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
    QP_STEP_STREAM = 0,                   /* events, or none, under the condition of a version */
    QP_STEP_MARK = QP_MARK_POSITION,      /* a named position moves forward */
    QP_STEP_TRACK = QP_MARK_SOURCE,       /* the number of a source grows */
    QP_STEP_PROJECT = QP_MARK_PROJECTION, /* a projection's row changes, and rows of its own */
    QP_STEP_UNLESS                        /* nothing of a query after a position */
};

struct qp_step {
    enum qp_step_kind kind;
    size_t name_offset; /* in `names`, with its 0: of the stream, the mark or the source */
    size_t name_size;
    uint64_t name_sum;     /* seeded with the kind */
    uint64_t expected;     /* a version, QUIPU_ANY or QUIPU_EXISTS; UNLESS: `after`; PROJECT: the
                              sequence that was seen, 0: no such projection */
    uint64_t number;       /* MARK, TRACK: to be stored; PROJECT: the new sequence, once decided */
    size_t owner_offset;   /* STREAM: in `names`, of the projection that appends */
    size_t owner_size;     /* 0: none does */
    size_t effects_offset; /* PROJECT: in `effects`: what is written, the row as the last */
    size_t effects_size;
    size_t row_size;        /* 0: the row is to go */
    struct qp_query *query; /* UNLESS: the batch's own */
    size_t first_draft;     /* in `drafts` */
    size_t draft_count;     /* 0: no event */
    bool known;             /* all of its events are in the stream already, up to last_position */
    uint64_t last_position;
    bool changes;        /* the number is to be stored, and is not there yet */
    bool claims;         /* STREAM: it becomes its owner's */
    quipu_result result; /* valid while the batch is `decided` */
};

struct qp_batch {
    struct qp_buffer bytes; /* the records, one after the other */
    struct qp_buffer names; /* of the steps, each with its 0 */
    struct qp_buffer effects;
    size_t effects_taken; /* by steps */
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

/* ---- projections ---- */

/* The step that was added last is of a projection's making: the stream is to be its own. NO_MEMORY.
 */
int qp_batch_own(struct qp_batch *batch, struct qp_bytes projection);

/* What the next step of a projection writes: a row of `views` or `parked`, or the end of one. */
struct qp_effect {
    enum qp_table table;
    bool deletes;
    struct qp_bytes key;
    struct qp_bytes value; /* VIEWS: as views.h has it; PARKED: a row with room for its sum */
};
int qp_batch_effect(struct qp_batch *batch, const struct qp_effect *effect, quipu_error *error);

/* A projection's row changes from what has that sequence, and all effects since the last such step
 * with it. `size` 0: the row goes. NO_MEMORY. */
int qp_batch_project(struct qp_batch *batch, struct qp_bytes name, uint64_t sequence,
                     const uint8_t *row, size_t size, quipu_error *error);

/* The step's row, which is written to, and its effects one after the other. `*at` 0 at first.
 * false: no more. */
uint8_t *qp_batch_row(const struct qp_batch *batch, const struct qp_step *step);
bool qp_batch_next_effect(const struct qp_batch *batch, const struct qp_step *step, size_t *at,
                          struct qp_effect *effect);

/* How far a batch has come, and back to there. */
struct qp_batch_edge {
    size_t bytes;
    size_t names;
    size_t steps;
    size_t drafts;
    size_t payload_max;
};
struct qp_batch_edge qp_batch_edge(const struct qp_batch *batch);
void qp_batch_cut(struct qp_batch *batch, const struct qp_batch_edge *edge);

/* Both point into the batch and live until something is added to it. */
struct qp_bytes qp_batch_owner(const struct qp_batch *batch, const struct qp_step *step);
struct qp_bytes qp_batch_name(const struct qp_batch *batch, const struct qp_step *step);
uint8_t *qp_batch_record(const struct qp_batch *batch, size_t draft);

/* The id that a draft brought, 16 bytes, or NULL. */
const uint8_t *qp_batch_id(const struct qp_batch *batch, size_t draft);

#endif
