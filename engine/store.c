/* store.c - LMDB as Quipu uses it (docs/ARCHITECTURE.md says why): MDB_NOSUBDIR, MDB_NOTLS,
 * MDB_NORDAHEAD; never MDB_DUPSORT, MDB_WRITEMAP, MDB_NOSYNC.
 *
 * Invariant: `live` counts this process's transactions that hold a snapshot. The map is only ever
 * replaced while it is 0, under `gate`. */
#include "store.h"

#include "memory.h"
#include "status.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FREE_TABLE     0            /* LMDB's own */
#define MAIN_TABLE     1            /* LMDB's own: its records of the named ones */
#define FREE_SPACE_LOW (1 * QP_MIB) /* a short write that reports EIO was for want of room */

struct qp_store {
    MDB_env *env;
    MDB_dbi handles[QP_TABLES];
    int fd; /* LMDB's own */
    size_t page_bytes;
    bool map_full; /* what the last put failed for; only a writer looks at it */
    pthread_mutex_t gate;
    unsigned live;
};

static bool space_is_low(const struct qp_store *store)
{
    struct statvfs space;

    return fstatvfs(store->fd, &space) == 0 &&
           (uint64_t)space.f_bavail * space.f_frsize < FREE_SPACE_LOW;
}

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
        return store != NULL && space_is_low(store) ? QUIPU_FULL : QUIPU_IO;
    case MDB_PANIC:
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

static int fail(const struct qp_store *store, int rc, const char *what, quipu_error *error)
{
    int status = qp_fail(error, status_of(store, rc), "%s: %s", what, mdb_strerror(rc));

    if (error != NULL)
        error->os_error = rc;
    return status;
}

/* ---- open and close ---- */

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
 * use, so each try makes a new one. */
static int open_env(const struct qp_store_config *config, MDB_env **env, quipu_error *error)
{
    uint64_t bytes = config->map_bytes & ~(uint64_t)0xffff;
    int rc;

    if (bytes < QP_MAP_BYTES_MIN)
        bytes = QP_MAP_BYTES_MIN;
    for (;;) {
        rc = open_env_once(config, bytes, env);
        if ((rc != ENOMEM && rc != EINVAL) || bytes / 2 < QP_MAP_BYTES_MIN)
            break;
        bytes /= 2;
    }
    return rc == 0 ? QUIPU_OK : fail(NULL, rc, "open", error);
}

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

        rc = mdb_dbi_open(txn, spec->name, flags | kind, &store->handles[spec->table]);
        if (rc == 0)
            rc = mdb_dbi_flags(txn, store->handles[spec->table], &stored);
        if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE || (rc == 0 && stored != kind)) {
            mdb_txn_abort(txn);
            return qp_fail(error, QUIPU_INVALID, "not a store of this kind: table %s", spec->name);
        }
    }
    if (rc != 0) {
        mdb_txn_abort(txn); /* takes NULL */
        return fail(store, rc, "open tables", error);
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? QUIPU_OK : fail(store, rc, "open tables", error);
}

int qp_store_open(const struct qp_store_config *config, struct qp_store **out, quipu_error *error)
{
    struct qp_store *store = qp_zalloc(sizeof(*store));
    MDB_stat stat;
    int rc;

    *out = NULL;
    if (store == NULL)
        return qp_fail_memory(error);
    (void)pthread_mutex_init(&store->gate, NULL); /* cannot fail without attributes */

    rc = open_env(config, &store->env, error);
    if (rc < 0)
        goto done;
    (void)mdb_env_get_fd(store->env, &store->fd);
    (void)mdb_env_stat(store->env, &stat);
    store->page_bytes = stat.ms_psize;
    if (fcntl(store->fd, F_SETFD, FD_CLOEXEC) != 0) {
        rc = qp_fail_os(error, QUIPU_SYSTEM, errno, "close-on-exec");
        goto done;
    }
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
    assert(store->live == 0);
    if (store->env != NULL)
        mdb_env_close(store->env);
    (void)pthread_mutex_destroy(&store->gate);
    qp_free(store);
}

int qp_store_settle(struct qp_store *store, quipu_error *error)
{
    uint8_t *pages = qp_resize(NULL, 2 * store->page_bytes);
    ssize_t size = (ssize_t)(2 * store->page_bytes);
    int rc = QUIPU_OK;

    if (pages == NULL)
        return qp_fail_memory(error);
    if (pread(store->fd, pages, (size_t)size, 0) != size ||
        pwrite(store->fd, pages, (size_t)size, 0) != size)
        rc = qp_fail_os(error, QUIPU_IO, errno, "write the meta pages again");
    qp_free(pages);
    if (rc == QUIPU_OK && mdb_env_sync(store->env, 1) != 0)
        rc = qp_fail_os(error, QUIPU_IO, errno, "flush");
    return rc;
}

void qp_store_clear_readers(struct qp_store *store)
{
    int cleared;

    (void)mdb_reader_check(store->env, &cleared);
}

/* ---- transactions ---- */

/* Another process has made the map larger: take its size, if nobody here looks at the old one. */
static bool adopt_map(struct qp_store *store, uint64_t bytes)
{
    bool done;

    (void)pthread_mutex_lock(&store->gate);
    done = store->live == 0 && mdb_env_set_mapsize(store->env, bytes) == 0;
    (void)pthread_mutex_unlock(&store->gate);
    return done;
}

bool qp_store_grow(struct qp_store *store)
{
    MDB_envinfo info;

    if (!store->map_full)
        return false;
    (void)mdb_env_info(store->env, &info);
    return adopt_map(store, 2 * (uint64_t)info.me_mapsize);
}

/* Under the gate, so that the map is not replaced between LMDB's look at it and the count. */
static int begin_read_once(struct qp_store *store, struct qp_txn *txn)
{
    int rc;

    (void)pthread_mutex_lock(&store->gate);
    if (txn->mdb != NULL)
        rc = mdb_txn_renew(txn->mdb);
    else
        rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn->mdb);
    if (rc == 0)
        store->live++;
    (void)pthread_mutex_unlock(&store->gate);
    return rc;
}

/* LMDB's own lock is not waited for under the gate; it refuses a new map while this is open. */
static int begin_write_once(struct qp_store *store, struct qp_txn *txn)
{
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn->mdb);

    if (rc == 0) {
        (void)pthread_mutex_lock(&store->gate);
        store->live++;
        (void)pthread_mutex_unlock(&store->gate);
    }
    return rc;
}

static int begin(struct qp_store *store, struct qp_txn *txn, bool writing, quipu_error *error)
{
    int (*once)(struct qp_store *, struct qp_txn *) = writing ? begin_write_once : begin_read_once;
    int rc = once(store, txn);

    if (rc == MDB_MAP_RESIZED && adopt_map(store, 0))
        rc = once(store, txn);
    if (rc == MDB_READERS_FULL) {
        qp_store_clear_readers(store);
        rc = once(store, txn);
    }
    if (rc != 0)
        return fail(store, rc, writing ? "begin to write" : "begin to read", error);
    txn->store = store;
    txn->writing = writing;
    txn->live = true;
    return QUIPU_OK;
}

int qp_txn_begin_read(struct qp_store *store, struct qp_txn *txn, quipu_error *error)
{
    assert(!txn->live);
    return begin(store, txn, false, error);
}

int qp_txn_begin_write(struct qp_store *store, struct qp_txn *txn, quipu_error *error)
{
    assert(!txn->live && txn->mdb == NULL);
    return begin(store, txn, true, error);
}

static void no_longer_live(struct qp_txn *txn)
{
    (void)pthread_mutex_lock(&txn->store->gate);
    assert(txn->store->live > 0);
    txn->store->live--;
    (void)pthread_mutex_unlock(&txn->store->gate);
    txn->live = false;
}

void qp_txn_reset(struct qp_txn *txn)
{
    if (!txn->live)
        return;
    assert(!txn->writing);
    mdb_txn_reset(txn->mdb);
    no_longer_live(txn);
}

static void close_hot(struct qp_txn *txn)
{
    if (txn->hot != NULL)
        mdb_cursor_close(txn->hot);
    txn->hot = NULL;
}

/* Rows are written in runs: a cursor that stays finds the next key on its page or near it, where a
 * new one would go down the tree again. */
static int warm(struct qp_txn *txn, enum qp_table table)
{
    if (txn->hot != NULL && txn->hot_table == table)
        return 0;
    close_hot(txn);
    txn->hot_table = table;
    return mdb_cursor_open(txn->mdb, txn->store->handles[table], &txn->hot);
}

/* A write that failed for want of room left the old meta page in place: nothing happened. When the
 * meta page itself could not be written, LMDB refuses every transaction from then on. */
static enum qp_commit_outcome outcome_of(struct qp_store *store, int rc)
{
    MDB_txn *probe = NULL;
    int began;

    if (status_of(store, rc) != QUIPU_FULL)
        return QP_COMMIT_UNKNOWN;
    began = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &probe);
    if (began == 0)
        mdb_txn_abort(probe);
    return began == 0 ? QP_COMMIT_UNDONE : QP_COMMIT_UNKNOWN;
}

int qp_txn_commit(struct qp_txn *txn, enum qp_commit_outcome *outcome, quipu_error *error)
{
    struct qp_store *store = txn->store;
    int rc;

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
        return fail(store, rc, "commit", error);
    (void)fail(store, rc, "commit; the outcome is unknown, reopen", error);
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

/* ---- rows ---- */

static MDB_val in(struct qp_bytes bytes)
{
    return (MDB_val){bytes.size, (void *)(uintptr_t)bytes.data};
}

static struct qp_bytes out_of(MDB_val value)
{
    return (struct qp_bytes){value.mv_data, value.mv_size};
}

int qp_get(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, struct qp_bytes *value,
           quipu_error *error)
{
    MDB_val wanted = in(key);
    MDB_val found;
    int rc;

    if (txn->writing) {
        rc = warm(txn, table);
        if (rc == 0)
            rc = mdb_cursor_get(txn->hot, &wanted, &found, MDB_SET);
    } else {
        rc = mdb_get(txn->mdb, txn->store->handles[table], &wanted, &found);
    }
    if (rc == MDB_NOTFOUND)
        return QUIPU_OK;
    if (rc != 0)
        return fail(txn->store, rc, "read", error);
    *value = out_of(found);
    return QUIPU_ROW;
}

int qp_put(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, struct qp_bytes value,
           quipu_error *error)
{
    MDB_val at = in(key);
    MDB_val bytes = in(value);
    int rc = warm(txn, table);

    if (rc == 0)
        rc = mdb_cursor_put(txn->hot, &at, &bytes, 0);

    txn->store->map_full = rc == MDB_MAP_FULL;
    return rc == 0 ? QUIPU_OK : fail(txn->store, rc, "write", error);
}

int qp_append_reserve(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, size_t size,
                      void **value, quipu_error *error)
{
    MDB_val at = in(key);
    MDB_val room = {size, NULL};
    int rc = warm(txn, table);

    if (rc == 0)
        rc = mdb_cursor_put(txn->hot, &at, &room, MDB_APPEND | MDB_RESERVE);

    txn->store->map_full = rc == MDB_MAP_FULL;
    if (rc == MDB_KEYEXIST)
        return qp_fail(error, QUIPU_INVALID, "the key is not behind the last one");
    if (rc != 0)
        return fail(txn->store, rc, "append", error);
    *value = room.mv_data;
    return QUIPU_OK;
}

uint64_t qp_table_rows(struct qp_txn *txn, enum qp_table table)
{
    MDB_stat stat = {0};

    (void)mdb_stat(txn->mdb, txn->store->handles[table], &stat);
    return stat.ms_entries;
}

int qp_cursor_open(struct qp_cursor *cursor, struct qp_txn *txn, enum qp_table table,
                   quipu_error *error)
{
    int rc;

    if (cursor->mdb != NULL)
        rc = mdb_cursor_renew(txn->mdb, cursor->mdb);
    else
        rc = mdb_cursor_open(txn->mdb, txn->store->handles[table], &cursor->mdb);
    if (rc != 0)
        return fail(txn->store, rc, "open a cursor", error);
    cursor->store = txn->store;
    cursor->table = table;
    return QUIPU_OK;
}

void qp_cursor_close(struct qp_cursor *cursor)
{
    if (cursor->mdb != NULL)
        mdb_cursor_close(cursor->mdb);
    cursor->mdb = NULL;
}

int qp_cursor_seek(struct qp_cursor *cursor, enum qp_seek seek, struct qp_bytes *key,
                   struct qp_bytes *value, quipu_error *error)
{
    static const MDB_cursor_op op[] = {
        [QP_FIRST] = MDB_FIRST,   [QP_LAST] = MDB_LAST,     [QP_NEXT] = MDB_NEXT,
        [QP_PREVIOUS] = MDB_PREV, [QP_EXACT] = MDB_SET_KEY, [QP_AT_LEAST] = MDB_SET_RANGE,
    };
    MDB_val at = in(*key);
    MDB_val found;
    int rc = mdb_cursor_get(cursor->mdb, &at, &found, op[seek]);

    if (rc == MDB_NOTFOUND)
        return QUIPU_OK;
    if (rc != 0)
        return fail(cursor->store, rc, "read", error);
    *key = out_of(at);
    *value = out_of(found);
    return QUIPU_ROW;
}

int qp_table_record(struct qp_txn *txn, const char *name, struct qp_bytes *record)
{
    MDB_val key = {strlen(name), (void *)(uintptr_t)name};
    MDB_val found;

    if (mdb_get(txn->mdb, MAIN_TABLE, &key, &found) != 0)
        return QUIPU_OK;
    *record = out_of(found);
    return QUIPU_ROW;
}

void qp_store_extent(struct qp_txn *txn, size_t *page_bytes, uint64_t *pages)
{
    MDB_envinfo info;

    (void)mdb_env_info(txn->store->env, &info);
    *page_bytes = txn->store->page_bytes;
    *pages = (uint64_t)info.me_last_pgno + 1;
}

/* ---- look after ---- */

struct reader_search {
    uint64_t oldest;
    uint32_t pid;
    uint32_t readers;
};

/* LMDB reports readers only as lines of text: pid, thread, transaction or "-". */
static int look_at_reader(const char *line, void *payload)
{
    struct reader_search *search = payload;
    char *end;
    unsigned long pid = strtoul(line, &end, 10);
    const char *last = strrchr(line, ' ');
    uint64_t transaction;

    if (pid == 0 || last == NULL || last[1] < '0' || last[1] > '9')
        return 0; /* the heading, or a slot without a snapshot */
    transaction = strtoull(last + 1, &end, 10);
    search->readers++;
    if (search->pid == 0 || transaction < search->oldest) {
        search->oldest = transaction;
        search->pid = (uint32_t)pid;
    }
    return 0;
}

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
    return rc == MDB_NOTFOUND ? QUIPU_OK : fail(txn->store, rc, "read the free list", error);
}

int qp_store_stat(struct qp_txn *txn, struct qp_store_stat *out, quipu_error *error)
{
    struct reader_search search = {0};
    struct stat info;
    uint64_t free_pages;
    uint64_t now = mdb_txn_id(txn->mdb);
    int rc = count_free_pages(txn, &free_pages, error);

    if (rc < 0)
        return rc;
    if (fstat(txn->store->fd, &info) != 0)
        return qp_fail_os(error, QUIPU_SYSTEM, errno, "stat");
    (void)mdb_reader_list(txn->store->env, look_at_reader, &search);
    *out = (struct qp_store_stat){
        .file_bytes = (uint64_t)info.st_size,
        .free_bytes = free_pages * txn->store->page_bytes,
        .readers = search.readers,
        .oldest_reader_pid = search.pid,
        .oldest_reader_lag = search.oldest < now && search.pid != 0 ? now - search.oldest : 0,
    };
    return QUIPU_OK;
}
