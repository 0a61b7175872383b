/* merger.c - what all who write the index have in common.
 *
 * The index is only ever behind the log, never ahead: it takes what a snapshot of the log has, and
 * that is durable. If the last one died in its work, nobody knows what of it is on the disk: cache
 * and disk are made to agree before the next one builds on it. The word `merging` in `shared` says
 * so: it is set before the first commit, and cleared after the last. */
#include "merger.h"

#include "clock.h"
#include "lock.h"
#include "status.h"

#include <assert.h>

/* Byte 2 is ours: is the index fit to be written? */
static int prepare(struct qp_handle *handle, quipu_error *error)
{
    int rc = QUIPU_OK;

    if (QP_MUTANT(POISON_MERGED))
        return QUIPU_OK;
    if (qp_shared_get(&handle->shared, QP_SHARED_POISONED))
        return qp_fail(error, QUIPU_IO,
                       "a flush of the log has failed: close the store everywhere");
    if (qp_shared_get(&handle->shared, QP_SHARED_INDEX_POISONED))
        return qp_fail(error, QUIPU_IO,
                       "a flush of the index has failed: close the store everywhere");
    if (qp_shared_get(&handle->shared, QP_SHARED_MERGING) &&
        !QP_MUTANT(NO_SETTLE_INDEX)) /* its process died in it */
        rc = qp_store_settle(handle->index, error);
    if (rc < 0)
        qp_shared_set(&handle->shared, QP_SHARED_INDEX_POISONED, true);
    return rc;
}

int qp_merger_begin(struct qp_merger *merger, struct qp_handle *handle, quipu_error *error)
{
    bool idle = false;
    int rc;

    assert(!handle->read_only && handle->index != NULL); /* a writer has one */
    *merger = (struct qp_merger){.handle = handle};
    if (!atomic_compare_exchange_strong(&handle->merging, &idle, true))
        return QUIPU_OK;
    rc = QP_MUTANT(MERGER_UNLOCKED) ? QUIPU_ROW : qp_lock_try_merger(handle, error);
    if (rc != QUIPU_ROW) {
        atomic_store(&handle->merging, false);
        return rc;
    }
    rc = prepare(handle, error);
    if (rc < 0) {
        qp_lock_release_merger(handle);
        atomic_store(&handle->merging, false);
        return rc;
    }
    qp_shared_set(&handle->shared, QP_SHARED_MERGING, true);
    return QUIPU_ROW;
}

/* Each millisecond is a try, as everywhere with the guard. */
int qp_merger_wait(struct qp_merger *merger, struct qp_handle *handle, quipu_error *error)
{
    int64_t deadline = qp_clock_deadline_ns(handle->options.busy_timeout_ms);

    for (;;) {
        int rc = qp_merger_begin(merger, handle, error);

        if (rc != QUIPU_OK)
            return rc < 0 ? rc : QUIPU_OK;
        if (qp_clock_monotonic_ns() >= deadline)
            return qp_fail(error, QUIPU_BUSY, "process %u merges the index",
                           qp_shared_merger(&handle->shared));
        qp_clock_sleep_ms(1);
    }
}

/* The log as it is now. */
static int begin_log(struct qp_merger *merger, quipu_error *error)
{
    int rc = qp_txn_begin_read(merger->handle->log, &merger->log, error);

    if (rc == QUIPU_OK)
        rc = qp_log_open(&merger->cursor, &merger->log, true, error);
    if (rc == QUIPU_OK)
        rc = qp_log_edge(&merger->cursor, &merger->head, error);
    return rc;
}

/* Give the snapshot back, and take a newer one that is on the disk. No flush of the log happens
 * outside of the store lock: on one descriptor one thread's takes the error that another's needed.
 */
static int begin_again_durable(struct qp_merger *merger, quipu_error *error)
{
    struct qp_handle *handle = merger->handle;
    int rc = qp_lock_take(handle, qp_clock_deadline_ns(handle->options.busy_timeout_ms), error);

    if (rc < 0)
        return rc;
    qp_log_close(&merger->cursor);
    qp_txn_reset(&merger->log);
    if (qp_shared_get(&handle->shared, QP_SHARED_POISONED))
        rc = qp_fail(error, QUIPU_IO, "a flush of the log has failed: close the store everywhere");
    if (rc == QUIPU_OK)
        rc = begin_log(merger, error);
    if (rc == QUIPU_OK) {
        rc = qp_store_flush(handle->log, error);
        if (rc < 0)
            qp_shared_set(&handle->shared, QP_SHARED_POISONED, true);
    }
    qp_lock_stand_back(handle, qp_lock_release(handle, false));
    return rc;
}

/* What a lazy handle has committed may be in the cache only, and the index must not know more than
 * a power cut leaves of the log. Such a handle says that it is there before it commits: whose
 * snapshot has something of it finds the word set. */
int qp_merger_log(struct qp_merger *merger, quipu_error *error)
{
    int rc = begin_log(merger, error);

    if (rc == QUIPU_OK && qp_shared_get(&merger->handle->shared, QP_SHARED_LAZY_SEEN) &&
        !QP_MUTANT(LAZY_MERGED))
        rc = begin_again_durable(merger, error);
    return rc;
}

int qp_merger_commit(struct qp_merger *merger, struct qp_txn *index, quipu_error *error)
{
    enum qp_commit_outcome outcome = QP_COMMIT_DONE;
    int rc = qp_txn_commit(index, &outcome, error);

    assert(atomic_load(&merger->handle->merging));
    if (outcome == QP_COMMIT_UNKNOWN)
        qp_shared_set(&merger->handle->shared, QP_SHARED_INDEX_POISONED, true);
    return rc;
}

void qp_merger_end(struct qp_merger *merger)
{
    struct qp_handle *handle = merger->handle;

    qp_log_close(&merger->cursor);
    qp_txn_end(&merger->log);
    qp_shared_set(&handle->shared, QP_SHARED_MERGING, false);
    qp_lock_release_merger(handle);
    atomic_store(&handle->merging, false);
}
