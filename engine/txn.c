/* txn.c - what begins, commits and ends, and what may replace the map meanwhile.
 *
 *     zeroed --- begin_read ---> live --- reset ---> at rest: a slot, no snapshot
 *        |                       |  ^                   |
 *        |                       |  +--- begin_read ----+
 *        +--- begin_write ---> live --- commit ---> over: may be begun again
 *                                |
 *     any of them --- end -------+----------------> over
 *
 * Invariant: `live` counts this process's transactions that hold a snapshot, and those that are
 * about to. The map is only ever replaced while it is 0, under `gate`. */
#include "txn.h"

#include "environment.h"
#include "status.h"

#include <assert.h>
#include <errno.h>
#include <lmdb.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define EXTEND_STEP      (64 * QP_KIB) /* so much must be there beyond the last page */
#define EXTEND_STEPS_MAX 16            /* some thousand small events */
#define FREE_TABLE       0             /* LMDB's own */

/* ---- the map ---- */

/* Is there address space for so many bytes more? LMDB gives the old map up before it asks for the
 * new one, and is left without any if that fails. */
static bool has_space(uint64_t bytes)
{
    void *probe = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (probe == MAP_FAILED)
        return false;
    (void)munmap(probe, bytes);
    return true;
}

/* Double the map once, or (`follow`) until it has the whole file, which another process has made
 * larger; if nobody here looks at the old one. true: the map is larger now. It never shrinks. */
static bool enlarge(struct qp_store *store, bool follow)
{
    MDB_envinfo info = {0};
    uint64_t wanted;
    bool done = false;

    (void)pthread_mutex_lock(&store->gate);
    if ((store->live > 0 && !QP_MUTANT(GROW_UNDER_READERS)) || store->map_lost)
        goto done;
    (void)mdb_env_info(store->env, &info);
    wanted = info.me_mapsize;
    if (!follow)
        wanted *= 2;
    while (wanted / store->page_bytes <= info.me_last_pgno)
        wanted *= 2;
    if (wanted == info.me_mapsize || !has_space(wanted - info.me_mapsize))
        goto done;
    /* Another thread may be faster than the probe. LMDB then has no map at all. */
    done = mdb_env_set_mapsize(store->env, wanted) == 0;
    store->map_lost = !done;

done:
    (void)pthread_mutex_unlock(&store->gate);
    return done;
}

bool qp_txn_grow_map(struct qp_store *store)
{
    return store->map_full && enlarge(store, false);
}

/* The other half of what begin_read_once() and begin_write_once() count: after LMDB has let go of
 * the snapshot, not before, or the map could be replaced under it. */
static void count_ended(struct qp_store *store)
{
    (void)pthread_mutex_lock(&store->gate);
    assert(store->live > 0);
    store->live--;
    (void)pthread_mutex_unlock(&store->gate);
}

/* Under the gate, so that the map is not replaced between LMDB's look at it and the count. */
static int begin_read_once(struct qp_store *store, struct qp_txn *txn)
{
    int rc = QP_MAP_LOST;

    (void)pthread_mutex_lock(&store->gate);
    if (store->map_lost)
        goto done;
    if (txn->mdb != NULL)
        rc = mdb_txn_renew(txn->mdb);
    else
        rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn->mdb);
    if (rc == 0)
        store->live++;

done:
    (void)pthread_mutex_unlock(&store->gate);
    return rc;
}

/* LMDB's own lock is not waited for under the gate: counted first. The count keeps the map where it
 * is from then on, and is taken back if nothing comes of it. */
static int begin_write_once(struct qp_store *store, struct qp_txn *txn)
{
    bool lost;
    int rc;

    (void)pthread_mutex_lock(&store->gate);
    lost = store->map_lost;
    store->live++;
    (void)pthread_mutex_unlock(&store->gate);
    rc = lost ? QP_MAP_LOST : mdb_txn_begin(store->env, NULL, 0, &txn->mdb);
    if (rc != 0)
        count_ended(store);
    return rc;
}

/* Two refusals have a remedy: a snapshot that ends after this process's map, and no free slot for a
 * reader (a process that died keeps its slots until somebody looks). Each is tried once. A failure
 * leaves `txn` as it was. */
static int begin(struct qp_store *store, struct qp_txn *txn, bool writing, quipu_error *error)
{
    int (*once)(struct qp_store *, struct qp_txn *) = writing ? begin_write_once : begin_read_once;
    int rc;

    if (writing)
        store->map_full = false;
    rc = once(store, txn);
    if (rc == MDB_MAP_RESIZED && !QP_MUTANT(RESIZED_FATAL) && enlarge(store, true))
        rc = once(store, txn);
    if (rc == MDB_READERS_FULL) {
        qp_store_clear_readers(store);
        rc = once(store, txn);
    }
    if (rc != 0)
        return qp_store_fail(store, rc, writing ? "begin to write" : "begin to read", error);
    txn->store = store;
    txn->writing = writing;
    txn->live = true;
    return QUIPU_OK;
}

int qp_txn_begin_read(struct qp_store *store, struct qp_txn *txn, quipu_error *error)
{
    assert(!txn->live);
    assert(txn->mdb == NULL || (txn->store == store && !txn->writing)); /* at rest, of this file */
    return begin(store, txn, false, error);
}

int qp_txn_begin_write(struct qp_store *store, struct qp_txn *txn, quipu_error *error)
{
    assert(!txn->live && txn->mdb == NULL && txn->hot == NULL);
    return begin(store, txn, true, error);
}

/* Zeros from `size` on. What does not go is no failure: the file is extended by the commit then, as
 * it would have been. A file size limit is kept away from: beyond it the system sends a signal.
 * Returns where the file ends now. */
static uint64_t write_zeros(struct qp_store *store, uint64_t size, size_t steps)
{
    static const uint8_t zeros[EXTEND_STEP];
    struct iovec parts[EXTEND_STEPS_MAX];
    struct rlimit limit;
    ssize_t written;

    assert(steps > 0 && steps <= EXTEND_STEPS_MAX);
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY)
        return size;
    for (size_t i = 0; i < steps; i++)
        parts[i] = (struct iovec){(void *)(uintptr_t)zeros, EXTEND_STEP};
    written = pwritev(store->fd, parts, (int)steps, (off_t)size);
    return size + (written > 0 ? (uint64_t)written : 0);
}

/* By as much as the file has, up to a MiB: a small store stays small. */
void qp_txn_extend(struct qp_txn *txn)
{
    struct qp_store *store = txn->store;
    MDB_envinfo info;
    struct stat file;
    uint64_t used;
    uint64_t steps;

    assert(txn->live && txn->writing);
    (void)mdb_env_info(store->env, &info);
    used = ((uint64_t)info.me_last_pgno + 1) * store->page_bytes;
    if (used + EXTEND_STEP <= store->file_bytes || fstat(store->fd, &file) != 0)
        return;
    steps = used / EXTEND_STEP + 1;
    if (!QP_MUTANT(EXTEND_STALE))
        store->file_bytes = (uint64_t)file.st_size;
    if (used + EXTEND_STEP > store->file_bytes)
        store->file_bytes = write_zeros(store, store->file_bytes,
                                        steps < EXTEND_STEPS_MAX ? steps : EXTEND_STEPS_MAX);
}

static void no_longer_live(struct qp_txn *txn)
{
    count_ended(txn->store);
    txn->live = false;
}

void qp_txn_reset(struct qp_txn *txn)
{
    if (!txn->live)
        return;
    assert(!txn->writing && txn->hot == NULL);
    mdb_txn_reset(txn->mdb);
    no_longer_live(txn);
}

/* LMDB frees a writer's cursors with their transaction. One that is closed after that is freed
 * twice: so before. */
static void close_hot(struct qp_txn *txn)
{
    if (txn->hot != NULL)
        mdb_cursor_close(txn->hot);
    txn->hot = NULL;
}

/* A write that failed for want of room or memory left the old meta page in place: nothing happened.
 * When the meta page itself could not be written, LMDB refuses every transaction from then on. One
 * that writes is asked for: it needs no reader slot, and whoever commits may begin one. */
static enum qp_commit_outcome outcome_of(struct qp_store *store, int rc)
{
    int status = qp_store_status(store, rc);
    struct qp_txn probe = {0};
    int began;

    if (status != QUIPU_FULL && status != QUIPU_NO_MEMORY && !QP_MUTANT(UNKNOWN_UNDONE))
        return QP_COMMIT_UNKNOWN;
    began = begin_write_once(store, &probe);
    if (began == 0) {
        mdb_txn_abort(probe.mdb);
        count_ended(store);
    }
    return began == MDB_PANIC ? QP_COMMIT_UNKNOWN : QP_COMMIT_UNDONE;
}

int qp_txn_commit(struct qp_txn *txn, enum qp_commit_outcome *outcome, quipu_error *error)
{
    struct qp_store *store = txn->store;
    int rc;

    assert(txn->live && txn->writing);
    close_hot(txn);
    rc = mdb_txn_commit(txn->mdb); /* frees it whatever it returns */

    store->map_full = rc == MDB_MAP_FULL;
    txn->mdb = NULL;
    no_longer_live(txn);
    *outcome = QP_COMMIT_DONE;
    if (rc == 0)
        return QUIPU_OK;
    *outcome = outcome_of(store, rc);
    if (*outcome == QP_COMMIT_UNDONE)
        return qp_store_fail(store, rc, "commit", error);
    /* IO whatever the code: after FULL or NO_MEMORY one would try again, and here nobody may. */
    (void)qp_store_fail(store, rc, "commit; the outcome is unknown, reopen", error);
    if (error != NULL)
        error->status = QUIPU_IO;
    return QUIPU_IO;
}

void qp_txn_end(struct qp_txn *txn)
{
    close_hot(txn);
    if (txn->mdb != NULL)
        mdb_txn_abort(txn->mdb);
    txn->mdb = NULL;
    if (txn->live)
        no_longer_live(txn);
}

void qp_txn_extent(struct qp_txn *txn, size_t *page_bytes, uint64_t *pages)
{
    MDB_envinfo info;

    assert(txn->live); /* or the map that the caller counts in may be replaced */
    (void)mdb_env_info(txn->store->env, &info);
    *page_bytes = txn->store->page_bytes;
    *pages = (uint64_t)info.me_last_pgno + 1;
}

uint64_t qp_txn_newest(struct qp_store *store)
{
    MDB_envinfo info = {0};

    (void)pthread_mutex_lock(&store->gate); /* it looks into the map */
    if (!store->map_lost)
        (void)mdb_env_info(store->env, &info);
    (void)pthread_mutex_unlock(&store->gate);
    return info.me_last_txnid;
}

uint64_t qp_txn_number(const struct qp_txn *txn)
{
    assert(txn->live);
    return mdb_txn_id(txn->mdb);
}

/* ---- figures ---- */

struct reader_search {
    struct qp_store_reader oldest; /* pid 0: none yet */
    uint32_t readers;
};

/* The one whose snapshot is oldest keeps pages from being used again. */
static bool look_at_reader(void *payload, const struct qp_store_reader *reader)
{
    struct reader_search *search = payload;

    search->readers++;
    if (search->oldest.pid == 0 || reader->transaction < search->oldest.transaction)
        search->oldest = *reader;
    return true;
}

/* A row of LMDB's free list is a count and as many page numbers: what the transaction of that key
 * gave up. Pages that a reader still needs are among them. */
static int count_free_pages(struct qp_txn *txn, uint64_t *pages, quipu_error *error)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val list;
    int rc = mdb_cursor_open(txn->mdb, FREE_TABLE, &cursor);

    *pages = 0;
    while (rc == 0) {
        size_t count;

        rc = mdb_cursor_get(cursor, &key, &list, MDB_NEXT);
        if (rc == 0 && list.mv_size >= sizeof(count)) {
            memcpy(&count, list.mv_data, sizeof(count));
            *pages += count;
        }
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? QUIPU_OK
                              : qp_store_fail(txn->store, rc, "read the free list", error);
}

int qp_txn_stat(struct qp_txn *txn, struct qp_txn_stat *out, quipu_error *error)
{
    struct reader_search search = {0};
    struct stat info;
    uint64_t free_pages;
    uint64_t now = qp_txn_number(txn);
    uint64_t lag = 0;
    int rc = count_free_pages(txn, &free_pages, error);

    if (rc < 0)
        return rc;
    if (fstat(txn->store->fd, &info) != 0)
        return qp_fail_os(error, QUIPU_SYSTEM, errno, "stat");
    (void)qp_store_each_reader(txn->store, look_at_reader, &search);
    if (search.oldest.pid != 0 && search.oldest.transaction < now)
        lag = now - search.oldest.transaction;
    *out = (struct qp_txn_stat){
        .file_bytes = (uint64_t)info.st_size,
        .free_bytes = free_pages * txn->store->page_bytes,
        .readers = search.readers,
        .oldest_reader_pid = search.oldest.pid,
        .oldest_reader_lag = lag,
    };
    return QUIPU_OK;
}
