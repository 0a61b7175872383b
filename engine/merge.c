/* merge.c - slices: each one index transaction of at most QP_MERGE_EVENTS events. A slice that dies
 * leaves no trace. What the tail has from `indexed` on is put as it is; else, and where other
 * processes wrote it, the log is folded for the purpose.
 *
 *     log     1 ............................................ head
 *     index   1 .............. indexed
 *     tail                     |--- sealed ---|-- sealed --|-- open --
 *     merge                    `-- one slice -'
 *
 * One merges at a time (merger.c). A merge holds no lock that an append or a read needs, but for
 * one flush of what lazy handles have left. */
#include "merge.h"

#include "clock.h"
#include "index.h"
#include "merger.h"
#include "moment.h"
#include "status.h"

#include <assert.h>

/* One merge: its snapshot of the log bounds all of its slices. */
struct merge {
    struct qp_handle *handle;
    struct qp_merger merger;
    uint64_t least;             /* events that are worth a slice */
    quipu_progress_fn progress; /* NULL: nobody asks */
    void *payload;
};

/* The newest whole record in (after, upto]: what `indexed` may stand at. It must have a chain, by
 * which the next opener sees that index and log have one history. 0: there is none. */
static int whole_end(struct merge *merge, uint64_t after, uint64_t upto, uint64_t *end,
                     uint64_t *chain, quipu_error *error)
{
    assert(after <= upto);
    *end = 0;
    for (uint64_t position = upto; position > after; position--) {
        struct qp_record record;
        int rc = qp_log_get(&merge->merger.cursor, position, &record, error);

        if (rc == QUIPU_ROW) {
            *end = position;
            *chain = record.chain;
            return QUIPU_OK;
        }
        if (rc != QUIPU_CORRUPT)
            return rc;
    }
    return QUIPU_OK;
}

/* The segments of a pin, one after the other. They are sealed or nobody else's: read without the
 * tail's lock. */
static int put_segments(struct qp_txn *index, const struct qp_pin *pin, struct qp_indexed *indexed,
                        quipu_error *error)
{
    const struct qp_segment *segment = pin->first;
    int rc = QUIPU_OK;

    while (rc == QUIPU_OK && segment != NULL) {
        rc = qp_index_merge(index, segment, indexed, error);
        segment = segment == pin->last ? NULL : segment->newer;
    }
    return rc;
}

/* What the tail has of it already need not be read again. Returns: ROW: merged; OK: it does not
 * begin there, or does not end at a whole record. */
static int put_tail(struct merge *merge, struct qp_txn *index, struct qp_indexed *indexed,
                    quipu_error *error)
{
    struct qp_tail *tail = &merge->handle->tail;
    struct qp_record record;
    struct qp_pin pin;
    int rc = QUIPU_OK;

    qp_tail_pin_sealed(tail, indexed->position, merge->merger.head, &pin);
    if (pin.first != NULL &&
        qp_log_get(&merge->merger.cursor, pin.head, &record, NULL) == QUIPU_ROW) {
        rc = put_segments(index, &pin, indexed, error);
        indexed->chain = record.chain;
        if (rc == QUIPU_OK)
            rc = QUIPU_ROW;
    }
    qp_tail_unpin(tail, &pin);
    return rc;
}

/* Fold a slice of the log, and put that. The same code as the process's own tail has, over a tail
 * that lives for this slice. Returns: ROW: merged; OK: there is no whole record to end at. */
static int put_log(struct merge *merge, struct qp_txn *index, struct qp_indexed *indexed,
                   quipu_error *error)
{
    struct qp_pin pin = {0};
    struct qp_tail slice;
    uint64_t upto = merge->merger.head;
    uint64_t end;
    uint64_t chain = 0;
    int rc;

    if (upto - indexed->position > QP_MERGE_EVENTS)
        upto = indexed->position + QP_MERGE_EVENTS;
    rc = whole_end(merge, indexed->position, upto, &end, &chain, error);
    if (rc < 0 || end == 0)
        return rc;
    qp_tail_init(&slice, indexed->position);
    rc = qp_tail_pin(&slice, indexed->position, end, &merge->merger.cursor, &pin, error);
    if (rc == QUIPU_ROW)
        rc = put_segments(index, &pin, indexed, error);
    if (rc == QUIPU_OK) {
        indexed->chain = chain;
        rc = QUIPU_ROW;
    }
    qp_tail_unpin(&slice, &pin);
    qp_tail_release(&slice);
    return rc;
}

/* One index transaction. Returns: ROW: there is more; OK: the index is complete. */
static int merge_slice(struct merge *merge, quipu_error *error)
{
    struct qp_handle *handle = merge->handle;
    struct qp_txn index = {0};
    struct qp_indexed indexed = {0};
    int rc = qp_txn_begin_write(handle->index, &index, error);

    if (rc == QUIPU_OK)
        rc = qp_index_indexed(&index, &indexed, error);
    if (rc < 0 || indexed.position >= merge->merger.head)
        goto done;
    rc = put_tail(merge, &index, &indexed, error);
    if (rc == QUIPU_OK)
        rc = put_log(merge, &index, &indexed, error);
    if (rc != QUIPU_ROW)
        goto done; /* OK: the rest of the log has no whole record to stand at */
    indexed.position += QP_MUTANT(MERGE_AHEAD);
    rc = qp_index_put_indexed(&index, &indexed, error);
    indexed.position -= QP_MUTANT(MERGE_AHEAD);
    if (rc == QUIPU_OK)
        rc = qp_merger_commit(&merge->merger, &index, error);
    if (rc < 0)
        goto done;
    qp_tail_prune(&handle->tail, indexed.position);
    assert(indexed.position <= merge->merger.head);
    rc = merge->merger.head - indexed.position >= merge->least ? QUIPU_ROW : QUIPU_OK;
    if (merge->progress != NULL &&
        merge->progress(merge->payload, indexed.position, merge->merger.head) != 0)
        rc = QUIPU_OK;

done:
    qp_txn_end(&index);
    return rc;
}

/* Slice by slice, as long as a slice is worth a transaction. A map that is full is enlarged between
 * two slices: a transaction of ours is the only one that may have to end for it. */
static int merge_all(struct merge *merge, quipu_error *error)
{
    int rc;

    qp_tail_seal(&merge->handle->tail); /* before the head is read: it then has all of it */
    rc = qp_merger_log(&merge->merger, error);
    while (rc == QUIPU_OK || rc == QUIPU_ROW) {
        rc = merge_slice(merge, error);
        if (rc == QUIPU_FULL && qp_txn_grow_map(merge->handle->index))
            rc = QUIPU_ROW;
        if (rc == QUIPU_OK)
            break;
    }
    return rc;
}

/* Returns: ROW: merged; OK: somebody else does. */
static int run_merge(struct merge *merge, quipu_error *error)
{
    struct qp_handle *handle = merge->handle;
    int rc;

    if (handle->read_only)
        return QUIPU_OK;
    rc = qp_merger_begin(&merge->merger, handle, error);
    if (rc != QUIPU_ROW)
        return rc;
    rc = merge_all(merge, error);
    if (rc == QUIPU_OK) {
        atomic_store(&handle->unmerged, 0);
        rc = QUIPU_ROW;
    }
    qp_merger_end(&merge->merger);
    return rc;
}

static int try_merge(struct qp_handle *handle, quipu_error *error)
{
    struct merge merge = {.handle = handle, .least = QP_MERGE_EVENTS_MIN};

    return run_merge(&merge, error);
}

int qp_merge(struct qp_handle *handle, quipu_error *error)
{
    int rc = try_merge(handle, error);

    return rc < 0 ? rc : QUIPU_OK;
}

int qp_merge_whole(struct qp_handle *handle, quipu_progress_fn progress, void *payload,
                   quipu_error *error)
{
    struct merge merge = {.handle = handle, .least = 1, .progress = progress, .payload = payload};
    int rc = run_merge(&merge, error);

    return rc < 0 ? rc : QUIPU_OK;
}

/* What readers pin stays in memory however often one merges: a few events are not worth a merge. */
static bool is_worth_its_memory(struct qp_handle *handle, uint64_t unmerged, uint64_t bytes_max)
{
    return unmerged >= QP_MERGE_EVENTS_MIN && qp_tail_bytes(&handle->tail) > bytes_max;
}

/* The hard limit: what is not in the index costs memory here and time at the next open. */
static bool too_much_waits(struct qp_handle *handle)
{
    uint64_t unmerged = atomic_load(&handle->unmerged);

    return unmerged >= QP_UNMERGED_MAX ||
           is_worth_its_memory(handle, unmerged, handle->options.tail_bytes_max);
}

int qp_merge_look(struct qp_handle *handle, quipu_error *error)
{
    struct qp_moment *moment;
    int rc = qp_moment_begin(handle, true, &moment, error);

    if (rc < 0)
        return rc;
    atomic_store(&handle->unmerged, moment->pin.head - moment->pin.indexed);
    qp_moment_end(moment);
    return QUIPU_OK;
}

/* Merge oneself, or wait for who does, looking each time how much there is left: it may be another
 * process, whose progress only a new snapshot of the index shows. */
int qp_merge_if_full(struct qp_handle *handle, quipu_error *error)
{
    int64_t deadline = qp_clock_deadline_ns(handle->options.busy_timeout_ms);

    while (too_much_waits(handle)) {
        int rc = try_merge(handle, error);

        if (rc == QUIPU_ROW)
            return QUIPU_OK; /* what readers still pin does not count */
        if (rc < 0)
            return rc;
        rc = qp_merge_look(handle, error); /* has the other one done it? */
        if (rc < 0)
            return rc;
        if (atomic_load(&handle->unmerged) < QP_MERGE_EVENTS)
            return QUIPU_OK;
        if (qp_clock_monotonic_ns() >= deadline) {
            return qp_fail(error, QUIPU_BUSY,
                           "too much is not in the index yet, and process %u merges it",
                           qp_shared_merger(&handle->shared));
        }
        qp_clock_sleep_ms(1);
    }
    return QUIPU_OK;
}

static void merge_and_tell(struct qp_handle *handle)
{
    quipu_error error = {0};

    if (qp_merge(handle, &error) < 0)
        qp_handle_tell(handle, 1, "the index stays behind: %s", error.text);
}

static bool is_long(struct qp_handle *handle)
{
    uint64_t unmerged = atomic_load(&handle->unmerged);

    return unmerged >= QP_MERGE_EVENTS ||
           is_worth_its_memory(handle, unmerged, handle->options.tail_bytes_max / 2);
}

void qp_merge_if_long(struct qp_handle *handle)
{
    if (is_long(handle) && !qp_worker_ask(&handle->merger))
        merge_and_tell(handle);
}

/* Commits ask for it again and again until it is done: then it may be that nothing is left. */
static void merge_when_asked(void *payload)
{
    struct qp_handle *handle = payload;

    if (is_long(handle))
        merge_and_tell(handle);
}

int qp_merge_start_thread(struct qp_handle *handle, quipu_error *error)
{
    assert(!handle->read_only);
    return qp_worker_start(&handle->merger, "quipu-merge", merge_when_asked, handle, error);
}

void qp_merge_end_thread(struct qp_handle *handle)
{
    qp_worker_end(&handle->merger);
}

/* How far the index is behind, without folding anything. */
static int count_unmerged(struct qp_handle *handle, uint64_t *events, quipu_error *error)
{
    struct qp_txn index = {0};
    struct qp_txn log = {0};
    struct qp_indexed indexed = {0};
    uint64_t head = 0;
    int rc = qp_txn_begin_read(handle->index, &index, error);

    if (rc == QUIPU_OK)
        rc = qp_index_indexed(&index, &indexed, error);
    if (rc == QUIPU_OK)
        rc = qp_txn_begin_read(handle->log, &log, error);
    if (rc == QUIPU_OK)
        rc = qp_log_newest(&log, &head, error);
    qp_txn_end(&log);
    qp_txn_end(&index);
    *events = head > indexed.position ? head - indexed.position : 0;
    return rc;
}

void qp_merge_rest(struct qp_handle *handle, uint64_t events)
{
    uint64_t unmerged;

    if (!handle->read_only && count_unmerged(handle, &unmerged, NULL) == QUIPU_OK &&
        unmerged > events)
        merge_and_tell(handle);
}
