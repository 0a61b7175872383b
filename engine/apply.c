/* apply.c - only LMDB can fail here.
 *
 *     decided    "a": 101, 102      mark "m": 90        "b": 103
 *     log        ... 100 | 101 102 103 |                the edge moves on: chain, recorded
 *     marks      m 90
 *
 * Nothing is decided here, and nothing is undone: a transaction that fails is aborted whole, and
 * the same batches may be applied again in another one. */
#include "apply.h"

#include "marks.h"
#include "projections.h"
#include "row.h"
#include "streams.h"
#include "views.h"

#include <assert.h>
#include <string.h>

void qp_edge_init(struct qp_edge *edge, const struct qp_log_head *head, int64_t now_ns)
{
    *edge = (struct qp_edge){.position = head->position,
                             .now_ns = now_ns,
                             .recorded_ns = head->recorded_ns,
                             .chain = head->chain};
    if (head->position > 0 && now_ns < head->recorded_ns && !QP_MUTANT(CLOCK_BACK))
        edge->now_ns = head->recorded_ns;
    if (head->position == 0)
        edge->recorded_ns = INT64_MIN;
}

/* Stamp a draft's record in place and append it. The batch's own bytes are written to: should the
 * group be done again (a larger map), each stamp is made anew from the same parts. A wish for
 * `recorded` counts if it is not before the newest event's, and not in the future. */
static int apply_draft(struct qp_txn *txn, struct qp_batch *batch, size_t draft, uint64_t position,
                       uint64_t version, struct qp_edge *edge, quipu_error *error)
{
    struct qp_draft_record *record = &batch->drafts[draft];
    struct qp_stamp stamp = {.position = position,
                             .version = version,
                             .chain_before = edge->chain,
                             .content = record->content,
                             .recorded_ns = edge->now_ns};

    if (record->recorded_given && record->recorded_wish_ns >= edge->recorded_ns &&
        record->recorded_wish_ns <= edge->now_ns)
        stamp.recorded_ns = record->recorded_wish_ns;
    edge->recorded_ns = stamp.recorded_ns;
    edge->position = position;
    edge->chain = qp_record_stamp(qp_batch_record(batch, draft), record->size, &stamp);
    return qp_log_append(txn, position, qp_batch_record(batch, draft), record->size, error);
}

/* One row of a projection's own. */
static int apply_effect(struct qp_txn *txn, const struct qp_effect *effect, quipu_error *error)
{
    uint8_t row[QP_PARKED_ROW_BYTES_MAX];
    int rc;

    assert(effect->table == QP_TABLE_VIEWS || effect->table == QP_TABLE_PARKED);
    if (effect->deletes) {
        rc = effect->table == QP_TABLE_VIEWS
                 ? qp_blobs_delete(txn, &qp_view_home, effect->key, error)
                 : qp_delete(txn, effect->table, effect->key, error);
        return rc < 0 ? rc : QUIPU_OK;
    }
    if (effect->table == QP_TABLE_VIEWS) {
        return qp_blobs_put(txn, &qp_view_home, effect->key, (struct qp_bytes){0}, effect->value,
                            error);
    }
    assert(effect->value.size <= sizeof(row));
    memcpy(row, effect->value.data, effect->value.size);
    return qp_put_row(txn, effect->table, effect->key, row, effect->value.size, error);
}

static int apply_project(struct qp_txn *txn, const struct qp_batch *batch,
                         const struct qp_step *step, int64_t now_ns, quipu_error *error)
{
    struct qp_bytes name = qp_batch_name(batch, step);
    struct qp_effect effect;
    size_t at = 0;
    int rc = QUIPU_OK;

    while (rc == QUIPU_OK && qp_batch_next_effect(batch, step, &at, &effect))
        rc = apply_effect(txn, &effect, error);
    if (rc < 0)
        return rc;
    if (step->row_size > 0)
        return qp_projections_put(txn, name, qp_batch_row(batch, step), step->row_size,
                                  step->number, now_ns, error);
    rc = qp_projections_delete(txn, name, error);
    return rc < 0 ? rc : QUIPU_OK;
}

/* From its first event on a stream that a projection makes is its own. */
static int apply_claim(struct qp_txn *txn, const struct qp_batch *batch, const struct qp_step *step,
                       quipu_error *error)
{
    struct qp_stream_row row = {0};
    struct qp_bytes stream = qp_batch_name(batch, step);
    int rc = qp_streams_get(txn, true, stream, &row, error);

    row.owner = qp_batch_owner(batch, step);
    return rc < 0 ? rc : qp_streams_put(txn, stream, &row, error);
}

static int apply_step(struct qp_txn *txn, struct qp_batch *batch, const struct qp_step *step,
                      struct qp_edge *edge, quipu_error *error)
{
    int rc = QUIPU_OK;

    for (size_t i = 0; i < step->draft_count && rc == QUIPU_OK; i++)
        rc = apply_draft(txn, batch, step->first_draft + i, step->result.first_position + i,
                         step->result.first_version + i, edge, error);
    if (rc == QUIPU_OK && step->claims)
        rc = apply_claim(txn, batch, step, error);
    if (rc == QUIPU_OK && step->kind == QP_STEP_PROJECT)
        return apply_project(txn, batch, step, edge->now_ns, error);
    if (rc == QUIPU_OK && step->changes &&
        !(QP_MUTANT(TRACKED_LOST) && step->kind == QP_STEP_TRACK)) {
        const struct qp_mark mark = {step->number, edge->now_ns};

        assert(step->kind == QP_STEP_MARK || step->kind == QP_STEP_TRACK);
        rc = qp_marks_put(txn, (enum qp_mark_kind)step->kind, qp_batch_name(batch, step), &mark,
                          error);
    }
    return rc;
}

int qp_apply(struct qp_txn *txn, struct qp_batch *batch, struct qp_edge *edge, bool *written,
             quipu_error *error)
{
    int rc = QUIPU_OK;

    assert(batch->decided);
    for (size_t i = 0; i < batch->step_count && rc == QUIPU_OK; i++) {
        const struct qp_step *step = &batch->steps[i];

        rc = apply_step(txn, batch, step, edge, error);
        *written = *written || step->draft_count > 0 || step->changes;
    }
    return rc;
}
