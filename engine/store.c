/* store.c - LMDB as Quipu uses it: MDB_NOSUBDIR, MDB_NOTLS, MDB_NORDAHEAD; never MDB_DUPSORT,
 * MDB_WRITEMAP, MDB_NOSYNC (docs/ARCHITECTURE.md 8.1 and 8.8 say why).
 *
 * Refuses to know what stands in a table, and which lock its caller has: who may write is decided
 * above, by locks with a timeout; LMDB's own write lock comes after them.
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
#include "store.h"

#include "environment.h"
#include "memory.h"
#include "status.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FREE_TABLE     0                      /* LMDB's own */
#define META_PAGES     2                      /* LMDB's: the first of a file, written in turns */
#define MAP_LOST       (MDB_LAST_ERRCODE + 1) /* not LMDB's: see map_lost */
#define FREE_SPACE_LOW (1 * QP_MIB) /* a short write that reports EIO was for want of room */

/* LMDB makes EIO of a short write, which is how a disk says that it is full just now. When it
 * cannot be told, it is not low: IO is the answer that promises less. */
static bool space_is_low(const struct qp_store *store)
{
    struct statvfs space;

    return fstatvfs(store->fd, &space) == 0 &&
           (uint64_t)space.f_bavail * space.f_frsize < FREE_SPACE_LOW;
}

/* What LMDB's code, or an errno that it passed up, means to who called. CORRUPT is also what LMDB
 * says of a transaction in which something has failed before. */
static int status_of(const struct qp_store *store, int rc)
{
    switch (rc) {
    case MDB_MAP_FULL:
    case MDB_MAP_RESIZED:
    case MDB_READERS_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return QUIPU_FULL;
    case EIO:
        /* Without an environment there is no descriptor yet that could be asked. */
        return store->env != NULL && space_is_low(store) ? QUIPU_FULL : QUIPU_IO;
    case MDB_PANIC:
    case MAP_LOST:
        return QUIPU_IO;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_CURSOR_FULL:
    case MDB_BAD_TXN:
        return QUIPU_CORRUPT;
    case MDB_VERSION_MISMATCH: /* the lock file is of another build of LMDB */
    case EACCES:
    case EPERM:
    case EROFS:
        return QUIPU_UNSAFE;
    case ENOMEM:
        return QUIPU_NO_MEMORY;
    default:
        return QUIPU_SYSTEM;
    }
}

int qp_store_fail(const struct qp_store *store, int rc, const char *what, quipu_error *error)
{
    int status = status_of(store, rc);
    const char *why = mdb_strerror(rc == EIO && status == QUIPU_FULL ? ENOSPC : rc);

    assert(rc != 0 && status < 0);
    if (rc == MAP_LOST)
        why = "its map is lost: close the store and open it again";
    (void)qp_fail(error, status, "%s: %s: %s", store->name, what, why);
    if (error != NULL)
        error->os_error = rc;
    return status;
}

/* ---- open and close ---- */

/* Only the name: the path goes through /proc/self/fd and says nothing to people. */
static void name_file(struct qp_store *store, const char *path)
{
    const char *slash = strrchr(path, '/');

    (void)snprintf(store->name, sizeof(store->name), "%.31s", slash != NULL ? slash + 1 : path);
}

/* One try with a map of this size; `*env` is NULL after a failure. MDB_NOTLS binds a reader's slot
 * to its transaction and not to a thread: one that rests in a pool is renewed by whoever comes. */
static int open_env_once(const struct qp_store_config *config, uint64_t map_bytes, MDB_env **env)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD;
    int rc = mdb_env_create(env);

    if (rc != 0) {
        *env = NULL;
        return rc;
    }
    rc = mdb_env_set_mapsize(*env, map_bytes);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(*env, QP_TABLES);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(*env, config->readers_max);
    if (rc == 0)
        rc = mdb_env_open(*env, config->path, flags | (config->read_only ? MDB_RDONLY : 0), 0600);
    if (rc != 0) {
        mdb_env_close(*env);
        *env = NULL;
    }
    return rc;
}

/* ENOMEM: no such address space. EINVAL: valgrind's way to say so. A failed env is of no further
 * use, so each try makes a new one. A map is a whole number of pages, of which the largest have
 * 64 KiB. */
static int open_env(struct qp_store *store, const struct qp_store_config *config,
                    quipu_error *error)
{
    uint64_t bytes = config->map_bytes & ~(uint64_t)0xffff;
    int rc;

    if (bytes < QP_MAP_BYTES_MIN)
        bytes = QP_MAP_BYTES_MIN;
    for (;;) {
        rc = open_env_once(config, bytes, &store->env);
        if ((rc != ENOMEM && rc != EINVAL) || bytes / 2 < QP_MAP_BYTES_MIN)
            break;
        bytes /= 2;
    }
    return rc == 0 ? QUIPU_OK : qp_store_fail(store, rc, "open", error);
}

/* Handles are opened once and for all threads, and last as long as the environment - but only if
 * the transaction that opened them is committed, even one that reads. What the file says of a
 * table's kind is compared, because LMDB opens a table of another kind without a word. */
static int open_tables(struct qp_store *store, const struct qp_store_config *config,
                       quipu_error *error)
{
    MDB_txn *txn = NULL;
    unsigned flags = config->create ? MDB_CREATE : 0;
    int rc = mdb_txn_begin(store->env, NULL, config->create ? 0 : MDB_RDONLY, &txn);

    for (size_t i = 0; rc == 0 && i < config->table_count; i++) {
        const struct qp_table_spec *spec = &config->tables[i];
        unsigned kind = spec->integer_key ? MDB_INTEGERKEY : 0;
        unsigned stored = 0;

        assert(spec->table < QP_TABLES);
        rc = mdb_dbi_open(txn, qp_table_name(spec->table), flags | kind,
                          &store->handles[spec->table]);
        if (rc == 0)
            rc = mdb_dbi_flags(txn, store->handles[spec->table], &stored);
        if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE || (rc == 0 && stored != kind)) {
            mdb_txn_abort(txn);
            return qp_fail(error, QUIPU_INVALID, "%s is not a store's: its table %s", store->name,
                           qp_table_name(spec->table));
        }
    }
    if (rc != 0) {
        mdb_txn_abort(txn); /* takes NULL */
        return qp_store_fail(store, rc, "open tables", error);
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? QUIPU_OK : qp_store_fail(store, rc, "open tables", error);
}

int qp_store_open(const struct qp_store_config *config, struct qp_store **out, quipu_error *error)
{
    struct qp_store *store = qp_zalloc(sizeof(*store));
    MDB_stat stat;
    int rc;

    assert(config->table_count <= QP_TABLES);
    *out = NULL;
    if (store == NULL)
        return qp_fail_memory(error);
    (void)pthread_mutex_init(&store->gate, NULL); /* cannot fail without attributes */
    name_file(store, config->path);

    rc = open_env(store, config, error);
    if (rc < 0)
        goto done;
    (void)mdb_env_get_fd(store->env, &store->fd);
    (void)mdb_env_stat(store->env, &stat);
    store->page_bytes = stat.ms_psize;
    store->meta_pages = qp_resize(NULL, META_PAGES * store->page_bytes);
    if (store->meta_pages == NULL) {
        rc = qp_fail_memory(error);
        goto done;
    }
    if (fcntl(store->fd, F_SETFD, FD_CLOEXEC) != 0) {
        rc = qp_fail_os(error, QUIPU_SYSTEM, errno, "close-on-exec");
        goto done;
    }
    if (!config->read_only) /* LMDB looks for them only when there are too many */
        qp_store_clear_readers(store);
    rc = open_tables(store, config, error);

done:
    if (rc < 0)
        qp_store_close(store);
    else
        *out = store;
    return rc;
}

void qp_store_close(struct qp_store *store)
{
    if (store == NULL)
        return;
    assert(store->live == 0); /* views into the map end here */
    if (store->env != NULL)
        mdb_env_close(store->env);
    (void)pthread_mutex_destroy(&store->gate);
    qp_free(store->meta_pages);
    qp_free(store);
}

/* A write that the disk refused leaves its page clean in the cache: a flush alone would prove
 * nothing, and reads would go on seeing what a power cut takes away. Written again, the pages are
 * dirty, and the flush speaks for them. The same bytes, so that readers notice nothing; nobody else
 * writes them meanwhile, because the caller has the store lock, the merger's byte, or is alone. */
int qp_store_settle(struct qp_store *store, quipu_error *error)
{
    size_t size = META_PAGES * store->page_bytes;
    int rc;

    errno = EIO; /* what a short read or write is */
    if (pread(store->fd, store->meta_pages, size, 0) != (ssize_t)size ||
        pwrite(store->fd, store->meta_pages, size, 0) != (ssize_t)size)
        return qp_fail_os(error, QUIPU_IO, errno, "%s: write the meta pages again", store->name);
    rc = mdb_env_sync(store->env, 1);
    return rc == 0 ? QUIPU_OK : qp_fail_os(error, QUIPU_IO, rc, "%s: flush", store->name);
}

void qp_store_clear_readers(struct qp_store *store)
{
    int cleared;

    (void)mdb_reader_check(store->env, &cleared);
}

/* ---- transactions ---- */

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
    if (store->live > 0 || store->map_lost)
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

bool qp_store_grow(struct qp_store *store)
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
    int rc = MAP_LOST;

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
    rc = lost ? MAP_LOST : mdb_txn_begin(store->env, NULL, 0, &txn->mdb);
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
    if (rc == MDB_MAP_RESIZED && enlarge(store, true))
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
    int status = status_of(store, rc);
    struct qp_txn probe = {0};
    int began;

    if (status != QUIPU_FULL && status != QUIPU_NO_MEMORY)
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

void qp_store_extent(struct qp_txn *txn, size_t *page_bytes, uint64_t *pages)
{
    MDB_envinfo info;

    assert(txn->live); /* or the map that the caller counts in may be replaced */
    (void)mdb_env_info(txn->store->env, &info);
    *page_bytes = txn->store->page_bytes;
    *pages = (uint64_t)info.me_last_pgno + 1;
}

uint64_t qp_store_newest(struct qp_store *store)
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

/* ---- look after ---- */

/* What is to be done with each line of LMDB's report. */
struct reader_walk {
    qp_store_reader_fn visit;
    void *payload;
};

/* LMDB reports readers only as lines of text: pid, thread, transaction or "-". Returns as LMDB
 * wants it: below 0 stops. */
static int read_reader_line(const char *line, void *payload)
{
    const struct reader_walk *walk = payload;
    struct qp_store_reader reader;
    char *end;
    unsigned long pid = strtoul(line, &end, 10);
    const char *last = strrchr(line, ' ');

    if (pid == 0 || last == NULL || last[1] < '0' || last[1] > '9')
        return 0; /* the heading, or a slot without a snapshot */
    reader.pid = (uint32_t)pid;
    reader.transaction = strtoull(last + 1, &end, 10);
    return walk->visit(walk->payload, &reader) ? 0 : -1;
}

bool qp_store_each_reader(struct qp_store *store, qp_store_reader_fn visit, void *payload)
{
    struct reader_walk walk = {visit, payload};

    return mdb_reader_list(store->env, read_reader_line, &walk) >= 0;
}

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

int qp_store_stat(struct qp_txn *txn, struct qp_store_stat *out, quipu_error *error)
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
    *out = (struct qp_store_stat){
        .file_bytes = (uint64_t)info.st_size,
        .free_bytes = free_pages * txn->store->page_bytes,
        .readers = search.readers,
        .oldest_reader_pid = search.oldest.pid,
        .oldest_reader_lag = lag,
    };
    return QUIPU_OK;
}
