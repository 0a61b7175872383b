/* inline.c - after the group's events are put and before it commits:
 *
 *     log    ... mark | 90 91 92 | 101 102 103 |      what processes appended that do not know the
 *                      behind       the group          projection, then the group's own events
 *                     `------- fold --------'
 *     row    mark 103, and what was written to the view
 *
 * It sees the log as the write transaction has it, so that events appended a moment ago are read as
 * all others are. One that is far behind is left to a runner: a commit must not take minutes. So is
 * one that somebody runs just now, is being rebuilt, or is paused. What goes wrong in the
 * projection is no failure of the commit: it stays behind, or stops. */
#include "inline.h"

#include "event.h"
#include "project.h"
#include "status.h"
#include "streams.h"

/* One projection in one commit. */
struct inlining {
    struct qp_handle *handle;
    struct qp_projection *projection;
    struct qp_txn *txn;
    struct qp_projection_row row;
    struct qp_batch batch;
    uint64_t upto;
};

/* May this commit fold it? */
static bool is_ours(struct inlining *inlining, uint64_t head_before)
{
    const struct qp_projection_row *row = &inlining->row;
    const uint32_t halted = QP_PROJECTION_PAUSED | QP_PROJECTION_STOPPED | QP_PROJECTION_DELETED |
                            QP_PROJECTION_REBUILDS | QP_PROJECTION_REPLAYS;

    if ((row->flags & halted) != 0 || row->building != 0 ||
        row->version != inlining->projection->version)
        return false;
    if (row->mark > head_before || head_before - row->mark > QP_INLINE_BEHIND_MAX)
        return false;
    return row->owner_pid == 0 || qp_shared_lives(&inlining->handle->shared, row->owner_slot,
                                                  row->owner_generation) == QP_ORIGIN_GONE;
}

static int fold_log(struct inlining *inlining, struct qp_folding *folding, quipu_error *error)
{
    struct qp_log_cursor log = {0};
    int rc = qp_log_open(&log, inlining->txn, true, error);

    for (uint64_t at = inlining->row.mark + 1; rc == QUIPU_OK && at <= inlining->upto; at++) {
        struct qp_record record;
        quipu_event event;

        rc = qp_log_get(&log, at, &record, error);
        if (rc != QUIPU_ROW)
            continue;
        rc = QUIPU_OK;
        if (!qp_query_matches(&inlining->projection->query, &record))
            continue;
        qp_event_fill(&record, inlining->handle->uuid, at, &event);
        rc = qp_folding_event(folding, &event, error);
    }
    qp_log_close(&log);
    return rc;
}

/* Fold up to inlining->upto, into the batch. FAULTED: `*fault` says where. */
static int fold(struct inlining *inlining, struct qp_fault *fault, quipu_error *error)
{
    const struct qp_view_place place = {inlining->projection->name_bytes, inlining->row.generation};
    struct qp_folding folding = {.batch = &inlining->batch, .emits = QP_EMITS_REFUSED};
    int rc;

    if (qp_streams_any(inlining->txn))
        folding.owners = inlining->txn; /* it may own some, as an async one of before */
    rc = qp_folding_begin(&folding, inlining->handle, inlining->projection, inlining->txn, &place,
                          inlining->row.parked > 0, error);
    if (rc == QUIPU_OK)
        rc = fold_log(inlining, &folding, error);
    if (rc == QUIPU_OK)
        rc = qp_sheet_write(&folding.sheet, &inlining->batch, error);
    if (rc == QUIPU_OK) {
        inlining->row.mark = inlining->upto;
        if (inlining->row.emitted < inlining->upto)
            inlining->row.emitted = inlining->upto; /* it cannot: none is missing up to here */
        inlining->row.applied += folding.applied;
        inlining->row.parked += (uint64_t)folding.parked_more;
    }
    *fault = folding.fault;
    qp_folding_release(&folding);
    return rc;
}

/* The row that was read, the rows that were written: as a decided step of a batch. */
static int write(struct inlining *inlining, struct qp_edge *edge, bool *written, quipu_error *error)
{
    uint8_t row[QP_PROJECTION_ROW_BYTES_MAX];
    uint64_t sequence = inlining->row.sequence;
    size_t size = qp_projection_write(&inlining->row, row);
    struct qp_step *step;
    int rc = qp_batch_project(&inlining->batch, inlining->projection->name_bytes, sequence, row,
                              size, error);

    if (rc < 0)
        return rc;
    step = &inlining->batch.steps[inlining->batch.step_count - 1];
    step->number = qp_projection_next(sequence, edge->now_ns);
    step->changes = true;
    inlining->batch.decided = true;
    return qp_apply(inlining->txn, &inlining->batch, edge, written, error);
}

/* Once more without the event that it stops at, as its page cannot be undone in part. */
static int fold_or_stop(struct inlining *inlining, struct qp_edge *edge, quipu_error *error)
{
    struct qp_fault fault;
    int rc = fold(inlining, &fault, error);

    if (rc != QUIPU_FAULTED)
        return rc;
    inlining->upto = fault.position - 1;
    qp_batch_clear(&inlining->batch);
    rc = fold(inlining, &(struct qp_fault){0}, error);
    if (rc == QUIPU_OK)
        qp_run_stop_at(&inlining->row, &fault, edge->now_ns);
    return rc;
}

/* What the projection fails with is told, and leaves it where it is. */
static int fold_one(struct inlining *inlining, uint64_t head_before, struct qp_edge *edge,
                    bool *written, quipu_error *error)
{
    quipu_error why = {0};
    int rc =
        qp_projections_get(inlining->txn, inlining->projection->name_bytes, &inlining->row, &why);

    if (rc == QUIPU_OK || (rc == QUIPU_ROW && !is_ours(inlining, head_before)))
        return QUIPU_OK;
    if (rc == QUIPU_ROW)
        rc = fold_or_stop(inlining, edge, &why);
    if (rc < 0) {
        qp_handle_tell(inlining->handle, 1, "projection %s is left behind: %s",
                       inlining->projection->name, why.text);
        return QUIPU_OK;
    }
    return write(inlining, edge, written, error);
}

static int fold_all(struct qp_handle *handle, struct qp_txn *txn, uint64_t head_before,
                    struct qp_edge *edge, bool *written, quipu_error *error)
{
    const struct qp_registered_item *item = atomic_load(&handle->registered.list);
    int rc = QUIPU_OK;

    for (; item != NULL && rc == QUIPU_OK; item = item->next) {
        struct inlining inlining = {
            .handle = handle, .projection = item->projection, .txn = txn, .upto = edge->position};

        if (item->projection->mode != QUIPU_INLINE)
            continue;
        rc = fold_one(&inlining, head_before, edge, written, error);
        qp_batch_release(&inlining.batch);
    }
    return rc;
}

/* ---- register ---- */

static struct qp_projection *find(struct qp_handle *handle, struct qp_bytes name)
{
    const struct qp_registered_item *item = atomic_load(&handle->registered.list);

    while (item != NULL && !qp_bytes_equal(item->projection->name_bytes, name))
        item = item->next;
    return item != NULL ? item->projection : NULL;
}

struct qp_projection *qp_registered_find(struct qp_handle *handle, struct qp_bytes name,
                                         uint32_t mode)
{
    struct qp_projection *found = find(handle, name);

    return found != NULL && found->mode == mode ? found : NULL;
}

/* Also sees that the store knows no newer version. */
static int make_row(struct qp_handle *handle, const struct qp_projection *projection,
                    quipu_error *error)
{
    struct qp_run run;
    int rc;

    qp_run_begin(&run, handle, projection);
    rc = qp_run_make(&run, error);
    qp_run_end(&run);
    return rc;
}

int qp_inline_register(struct qp_handle *handle, struct qp_projection *projection,
                       void (*free_projection)(struct qp_projection *projection),
                       quipu_error *error)
{
    struct qp_registered *registered = &handle->registered;
    struct qp_registered_item *item;
    int rc = QUIPU_OK;

    if (projection->mode == QUIPU_INLINE)
        rc = make_row(handle, projection, error);
    if (rc < 0)
        return rc;
    item = qp_zalloc(sizeof(*item));
    if (item == NULL)
        return qp_fail_memory(error);
    *item =
        (struct qp_registered_item){.projection = projection, .free_projection = free_projection};
    (void)pthread_mutex_lock(&registered->lock);
    if (find(handle, projection->name_bytes) != NULL) {
        rc =
            qp_fail(error, QUIPU_CONFLICT, "projection %s is registered already", projection->name);
    } else {
        qp_registered_put(registered, item);
        item = NULL;
    }
    if (rc == QUIPU_OK && projection->mode == QUIPU_INLINE) {
        if (handle->fold_inline == NULL)
            handle->fold_inline = fold_all; /* once: commits read it without the lock */
        atomic_fetch_add(&registered->inlines, 1);
    }
    (void)pthread_mutex_unlock(&registered->lock);
    qp_free(item);
    return rc;
}
