/* lock.c - nobody owns the store lock without having settled what a dead owner left.
 *
 * A commit ends with a flush, LMDB's meta page, and a word in LMDB's lock file. A process that dies
 * in between may leave the first without the second or the third, or pages that are in the cache
 * and not on the disk. Settling writes the meta pages again and flushes: from then on what this
 * owner reads is what a power cut would leave. If it fails, nobody knows, so nobody writes. */
#include "lock.h"

#include "status.h"

#include <unistd.h>

int qp_lock_take(struct qp_handle *handle, int64_t deadline_ns, quipu_error *error)
{
    uint32_t holder = 0;
    enum qp_lock_state state = qp_shared_lock(&handle->shared, deadline_ns, &holder);

    if (state == QP_LOCK_TIMEOUT)
        return qp_fail(error, QUIPU_BUSY, "process %u holds the store", holder);
    if (state == QP_LOCK_LOST) {
        qp_shared_set(&handle->shared, QP_SHARED_POISONED, true);
        return qp_fail(error, QUIPU_IO,
                       "the store lock is lost: close the store in all processes and open it "
                       "again");
    }
    if (state == QP_LOCK_INHERITED) {
        qp_handle_tell(handle, 1, "a process died while it held the store");
        if (!QP_MUTANT(NO_SETTLE_HEIR) && qp_store_settle(handle->log, NULL) < 0)
            qp_shared_set(&handle->shared, QP_SHARED_POISONED, true);
    }
    return QUIPU_OK;
}

struct qp_hand_over qp_lock_release(struct qp_handle *handle, bool committed)
{
    return qp_shared_unlock(&handle->shared, committed);
}

void qp_lock_stand_back(struct qp_handle *handle, struct qp_hand_over hand_over)
{
    qp_shared_stand_back(&handle->shared, hand_over);
}

int qp_lock_try_merger(struct qp_handle *handle, quipu_error *error)
{
    int rc = qp_guard_try(&handle->guard, QP_GUARD_MERGER, QP_GUARD_EXCLUSIVE, error);

    if (rc == QUIPU_ROW)
        qp_shared_set_merger(&handle->shared, (uint32_t)getpid());
    return rc;
}

int qp_lock_take_merger(struct qp_handle *handle, int64_t deadline_ns, quipu_error *error)
{
    int rc = qp_guard_lock(&handle->guard, QP_GUARD_MERGER, QP_GUARD_EXCLUSIVE, deadline_ns, error);

    if (rc == QUIPU_BUSY)
        return qp_fail(error, QUIPU_BUSY, "process %u merges the index",
                       qp_shared_merger(&handle->shared));
    if (rc == QUIPU_OK)
        qp_shared_set_merger(&handle->shared, (uint32_t)getpid());
    return rc;
}

void qp_lock_release_merger(struct qp_handle *handle)
{
    qp_shared_set_merger(&handle->shared, 0);
    qp_guard_unlock(&handle->guard, QP_GUARD_MERGER);
}
