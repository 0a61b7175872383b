/* open.c - under the door (guard byte 0) one opens or closes at a time; whoever is alone then (byte
 * 1) makes cache and disk agree before anything is read, because nobody knows how the last user
 * ended.
 *
 *     door ----+
 *              | byte 1 exclusively, one try
 *              |   got it: alone            not got: beside others
 *              |   look at the files        map `shared`, check that it is of this boot and these
 *              |   settle log and index       namespaces
 *              |   make `shared` anew       settle late, if a reader was the sole opener
 *              | byte 1 shared              see the last commit of a writer that died
 *     door ----+
 *     handle in use; byte 1 stays shared as long as it lives
 *
 * What each file must be to be opened is files.c's business. */
#include "open.h"

#include "clock.h"
#include "files.h"
#include "lock.h"
#include "merge.h"
#include "moment.h"
#include "status.h"
#include "survey.h"
#include "turn.h"
#include "wait.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIVE_BYTES = 4096 }; /* of the page that tells a forked child from its parent */

/* ---- open ---- */

/* Alone among Quipu's processes: does anybody else use the log's lock file? */
static int check_no_stranger(struct qp_handle *handle, quipu_error *error)
{
    bool held;
    int rc = qp_guard_probe(&handle->place, QP_LOG_LOCK_FILE, &held, error);

    if (rc == QUIPU_OK && held && !QP_MUTANT(STRANGER_UNSEEN)) {
        rc = qp_fail(error, QUIPU_UNSAFE,
                     "an LMDB program, or a process whose guard file was deleted, has %s open",
                     QP_LOG_FILE);
    }
    return rc;
}

/* The store's clock begins at the wall clock, but never before what it has recorded. */
static int64_t anchor_of(struct qp_handle *handle)
{
    int64_t now = qp_clock_wall_ns();
    struct qp_txn txn = {0};
    struct qp_log_cursor log = {0};
    struct qp_log_head head;

    if (!QP_MUTANT(CLOCK_BACK) && qp_txn_begin_read(handle->log, &txn, NULL) == QUIPU_OK &&
        qp_log_open(&log, &txn, true, NULL) == QUIPU_OK &&
        qp_log_head(&log, &head, NULL) == QUIPU_OK && head.position > 0 && head.recorded_ns > now)
        now = head.recorded_ns;
    qp_log_close(&log);
    qp_txn_end(&txn);
    return now;
}

/* What is acknowledged is durable if the store's name is: its creator may have died before. */
static int settle_log(struct qp_handle *handle, bool named, quipu_error *error)
{
    int rc = named ? QUIPU_OK : qp_place_flush_name(&handle->place, error);

    return rc == QUIPU_OK && !QP_MUTANT(NO_SETTLE_OPEN) ? qp_store_settle(handle->log, error) : rc;
}

static int open_alone(struct qp_handle *handle, bool discard_index, quipu_error *error)
{
    bool flags[QP_SHARED_FLAGS];
    bool named; /* a writer was alone before, and made `shared` after it had settled the log */
    int rc = check_no_stranger(handle, error);

    if (rc == QUIPU_OK)
        rc = qp_files_reserve_lock(handle, QP_LOG_LOCK_FILE, error);
    if (rc == QUIPU_OK)
        rc = qp_files_reserve_lock(handle, QP_INDEX_LOCK_FILE, error);
    if (rc < 0)
        return rc;
    named = qp_shared_peek(&handle->place, flags) && !flags[QP_SHARED_UNSETTLED];
    rc = qp_survey_handle(handle, true, error);
    if (rc == QUIPU_OK)
        rc = qp_files_open_log(handle, error);
    if (rc == QUIPU_OK && !handle->read_only)
        rc = settle_log(handle, named, error);
    if (rc == QUIPU_OK)
        rc = qp_files_open_index_alone(handle, discard_index || flags[QP_SHARED_INDEX_POISONED],
                                       error);
    if (rc < 0)
        return rc;

    /* Not before both files are settled: until then the old flags must stand. */
    if (handle->read_only)
        flags[QP_SHARED_UNSETTLED] = true;
    else
        memset(flags, 0, sizeof(flags));
    flags[QP_SHARED_MERGING] = false;
    (void)qp_place_remove(&handle->place, QP_POST_FILE, NULL); /* of those who were there before */
    return qp_shared_create(&handle->place, flags, anchor_of(handle), error);
}

/* An index that others have mapped cannot be replaced under them. */
static int must_be_alone(struct qp_handle *handle, quipu_error *error)
{
    return qp_fail(error, QUIPU_BUSY,
                   "the index must be made again, and process %u has the store open",
                   qp_shared_other_pid(&handle->shared));
}

/* The first who may write comes after a sole opener who could only read: settle both files now. */
static int settle_both(struct qp_handle *handle, quipu_error *error)
{
    int rc = settle_log(handle, false, error);

    assert(handle->index != NULL); /* a writer has one */
    if (rc < 0) {
        qp_shared_set(&handle->shared, QP_SHARED_POISONED, true);
        return rc;
    }
    if (qp_shared_get(&handle->shared, QP_SHARED_INDEX_POISONED) ||
        qp_store_settle(handle->index, NULL) < 0)
        return must_be_alone(handle, error);
    qp_shared_set(&handle->shared, QP_SHARED_UNSETTLED, false);
    return QUIPU_OK;
}

/* Byte 2 before the store lock, as in every lock order here (docs/ARCHITECTURE.md 5.2). */
static int settle_late(struct qp_handle *handle, int64_t deadline, quipu_error *error)
{
    int rc = qp_lock_take_merger(handle, deadline, error);

    if (rc < 0)
        return rc;
    rc = qp_lock_take(handle, deadline, error);
    if (rc == QUIPU_OK) {
        rc = settle_both(handle, error);
        qp_lock_stand_back(handle, qp_lock_release(handle, false));
    }
    qp_lock_release_merger(handle);
    return rc;
}

/* A process that died in a commit, after LMDB's meta page and before LMDB's word in the lock file
 * that readers look at, has left events that nobody sees until the next commit shows them. Who
 * opens to look whether they are in must not miss them. If somebody else has the lock, they see to
 * it, and are waited for only if they may have a group of a process that is dead. A poisoned store
 * shows what its last sole opener saw. Only a writer may take the lock. */
static int see_last_commit(struct qp_handle *handle, int64_t deadline, quipu_error *error)
{
    struct qp_txn txn = {0};
    bool awaited = qp_turn_any_of_dead(handle);
    int rc = QUIPU_OK;

    if (QP_MUTANT(LAST_COMMIT_UNSEEN))
        return QUIPU_OK;
    rc = qp_lock_take(handle, awaited ? deadline : 0, awaited ? error : NULL);
    if (rc < 0)
        return awaited ? rc : QUIPU_OK;
    if (awaited)
        qp_turn_drop_dead(handle);
    if (!qp_shared_get(&handle->shared, QP_SHARED_POISONED))
        rc = qp_txn_begin_write(handle->log, &txn, error); /* LMDB looks at its meta pages */
    qp_txn_end(&txn);
    qp_lock_stand_back(handle, qp_lock_release(handle, true));
    return rc;
}

/* Others have settled the files when they were alone; what is left to do is what only a writer may,
 * if the first of them could not write. */
static int open_with_others(struct qp_handle *handle, int64_t deadline, quipu_error *error)
{
    int rc = qp_survey_handle(handle, false, error);

    if (rc == QUIPU_OK)
        rc = qp_files_open_log(handle, error);
    if (rc == QUIPU_OK)
        rc = qp_files_open_index(handle, error);
    if (rc < 0)
        return rc;
    if (handle->index == NULL && !handle->read_only)
        return must_be_alone(handle, error);
    if (!handle->read_only && qp_shared_get(&handle->shared, QP_SHARED_UNSETTLED))
        rc = settle_late(handle, deadline, error);
    if (rc == QUIPU_OK && !handle->read_only)
        rc = see_last_commit(handle, deadline, error);
    return rc;
}

/* Under the door. */
static int enter(struct qp_handle *handle, int64_t deadline, quipu_error *error)
{
    int rc = qp_guard_try(&handle->guard, QP_GUARD_LIFE, QP_GUARD_EXCLUSIVE, error);
    bool alone = rc == QUIPU_ROW || QP_MUTANT(ALWAYS_ALONE);

    if (rc < 0)
        return rc;
    if (alone)
        rc = open_alone(handle, false, error);
    if (rc >= 0)
        rc = qp_guard_lock(&handle->guard, QP_GUARD_LIFE, QP_GUARD_SHARED, deadline, error);
    if (rc == QUIPU_OK)
        rc = qp_shared_open(&handle->place, &handle->shared, error);
    if (rc == QUIPU_OK && handle->options.durability == QUIPU_LAZY && !handle->read_only)
        qp_shared_set(&handle->shared, QP_SHARED_LAZY_SEEN, true); /* before it can commit */
    if (rc == QUIPU_OK && !alone)
        rc = open_with_others(handle, deadline, error);
    if (rc == QUIPU_OK && !alone && !handle->read_only)
        qp_post_make(&handle->place, handle->shared.inode);
    return rc;
}

/* A lock of the guard does not say who has it; `shared`, if there is one, says who may. */
static int lock_door(struct qp_handle *handle, int64_t deadline, quipu_error *error)
{
    uint32_t pid;
    int rc = qp_guard_lock(&handle->guard, QP_GUARD_DOOR, QP_GUARD_EXCLUSIVE, deadline, error);

    if (rc != QUIPU_BUSY)
        return rc;
    pid = qp_shared_peek_pid(&handle->place);
    if (pid == 0)
        return rc;
    return qp_fail(error, QUIPU_BUSY,
                   "the store is busy: another process opens or closes it; process %u has it open",
                   pid);
}

/* Zeroed but for what closing it needs: qp_handle_close() takes it from here on, whatever fails. */
static struct qp_handle *new_handle(struct qp_place *place, const quipu_options *options)
{
    struct qp_handle *handle = qp_zalloc(sizeof(*handle));

    if (handle == NULL)
        return NULL;
    handle->place = *place;
    place->fd = -1;
    handle->guard.fd = -1;
    handle->options = *options;
    handle->read_only = (options->flags & QUIPU_OPEN_READ_ONLY) != 0;
    (void)pthread_mutex_init(&handle->pool_lock, NULL);
    qp_queue_init(&handle->queue);
    qp_wait_init(&handle->waiting);
    qp_tail_init(&handle->tail, 0);
    qp_upcasters_init(&handle->upcasters);
    qp_registered_init(&handle->registered);
    return handle;
}

/* A page that is wiped in a forked child tells it from its parent. */
static int watch_forks(struct qp_handle *handle, quipu_error *error)
{
    unsigned char *page =
        mmap(NULL, ALIVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return qp_fail_os(error, QUIPU_NO_MEMORY, errno, "map a page");
    *page = 1;
    handle->alive = page;
    if (madvise(page, ALIVE_BYTES, MADV_WIPEONFORK) != 0)
        return qp_fail_os(error, QUIPU_SYSTEM, errno, "wipe a page on fork (Linux 4.14)");
    return QUIPU_OK;
}

/* What nobody else may come between: byte 1 stays exclusive, and the door locked. */
static int enter_sole(struct qp_handle *handle, quipu_error *error)
{
    int rc = qp_guard_try(&handle->guard, QP_GUARD_LIFE, QP_GUARD_EXCLUSIVE, error);
    uint32_t pid;

    if (rc == QUIPU_OK) {
        pid = qp_shared_peek_pid(&handle->place);
        rc = qp_fail(error, QUIPU_BUSY, "process %u has the store open", pid);
    }
    if (rc == QUIPU_ROW)
        rc = open_alone(handle, true, error);
    return rc == QUIPU_OK ? qp_shared_open(&handle->place, &handle->shared, error) : rc;
}

/* A handle with the door locked. `*out` is set whatever fails, if there is memory for it. */
static int begin(struct qp_place *place, const quipu_options *options, struct qp_handle **out,
                 int64_t deadline, quipu_error *error)
{
    struct qp_handle *handle = new_handle(place, options);
    int rc;

    *out = handle;
    if (handle == NULL)
        return qp_fail_memory(error);
    rc = watch_forks(handle, error);
    if (rc == QUIPU_OK)
        rc = qp_guard_open(&handle->place, &handle->guard, error);
    return rc == QUIPU_OK ? lock_door(handle, deadline, error) : rc;
}

/* Closed with the door still locked, if it was: nobody comes between. */
static int give_up(struct qp_handle **handle, int rc)
{
    if (*handle != NULL)
        qp_handle_close(*handle);
    *handle = NULL;
    return rc;
}

int qp_handle_open(struct qp_place *place, const quipu_options *options, struct qp_handle **out,
                   quipu_error *error)
{
    int64_t deadline = qp_clock_deadline_ns(options->busy_timeout_ms);
    int rc = begin(place, options, out, deadline, error);

    if (rc == QUIPU_OK)
        rc = enter(*out, deadline, error);
    if (rc == QUIPU_OK && (options->flags & QUIPU_OPEN_MERGE_THREAD) != 0)
        rc = qp_merge_start_thread(*out, error);
    if (rc < 0)
        return give_up(out, rc);
    qp_guard_unlock(&(*out)->guard, QP_GUARD_DOOR);
    (*out)->opened = true;
    qp_merge_rest(*out, QP_MERGE_EVENTS); /* costs less memory than the tail that would be made */
    return QUIPU_OK;
}

int qp_handle_open_sole(struct qp_place *place, const quipu_options *options,
                        struct qp_handle **out, quipu_error *error)
{
    int64_t deadline = qp_clock_deadline_ns(options->busy_timeout_ms);
    int rc = begin(place, options, out, deadline, error);

    if (rc == QUIPU_OK)
        rc = enter_sole(*out, error);
    return rc < 0 ? give_up(out, rc) : QUIPU_OK;
}

/* Only the descriptor of the locks is the child's own to close: the files, their maps and the
 * mutexes in `shared` are the parent's business. */
static void let_go(struct qp_handle *handle)
{
    qp_guard_close(&handle->guard);
    qp_place_close(&handle->place);
}

void qp_handle_close(struct qp_handle *handle)
{
    if (handle->alive != NULL && qp_handle_forked(handle)) {
        let_go(handle);
        return;
    }
    qp_merge_end_thread(handle);
    if (handle->opened) {
        qp_merge_rest(handle, QP_MERGE_EVENTS_MIN);
        /* Closing must end. Without the door an opener may see this one half gone: byte 1 is held
         * to the end, so it opens beside this one, which is right too. */
        (void)qp_guard_lock(&handle->guard, QP_GUARD_DOOR, QP_GUARD_EXCLUSIVE,
                            qp_clock_deadline_ns(handle->options.busy_timeout_ms), NULL);
    }
    /* What holds snapshots before what they are of; the locks last, so that whoever comes after
     * them finds everything closed. */
    qp_moment_drain(handle);
    qp_store_close(handle->index);
    qp_store_close(handle->log);
    qp_post_close(&handle->post);
    qp_shared_close(&handle->shared);
    /* A child that was forked meanwhile has a copy of the descriptor: closing ours would not end
     * the locks. The door last, so that nobody comes in between. */
    qp_guard_unlock(&handle->guard, QP_GUARD_MERGER);
    qp_guard_unlock(&handle->guard, QP_GUARD_LIFE);
    qp_guard_unlock(&handle->guard, QP_GUARD_DOOR);
    qp_guard_close(&handle->guard);
    qp_place_close(&handle->place);
    qp_tail_release(&handle->tail);
    qp_wait_release(&handle->waiting);
    qp_queue_release(&handle->queue);
    qp_upcasters_release(&handle->upcasters);
    qp_registered_release(&handle->registered);
    (void)pthread_mutex_destroy(&handle->pool_lock);
    if (handle->alive != NULL)
        (void)munmap(handle->alive, ALIVE_BYTES);
    qp_free(handle);
}
