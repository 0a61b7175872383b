/* store.c - LMDB as Quipu uses it: MDB_NOSUBDIR, MDB_NOTLS, MDB_NORDAHEAD; never MDB_DUPSORT,
 * MDB_WRITEMAP, MDB_NOSYNC (docs/ARCHITECTURE.md 8.1 and 8.8 say why).
 *
 * Refuses to know what stands in a table, and which lock its caller has: who may write is decided
 * above, by locks with a timeout; LMDB's own write lock comes after them. */
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define META_PAGES     2                        /* LMDB's: the first of a file, written in turns */
#define LIMIT_NEAR     (2 * QP_BATCH_BYTES_MAX) /* what one commit may write */
#define FREE_SPACE_LOW (1 * QP_MIB) /* a short write that reports EIO was for want of room */

/* LMDB makes EIO of a short write, which is how a disk says that it is full just now, and how a
 * limit of this process's files says that they end there. When it cannot be told, it is not low: IO
 * is the answer that promises less. */
static bool space_is_low(const struct qp_store *store)
{
    struct statvfs space;
    struct rlimit limit;
    struct stat file;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        fstat(store->fd, &file) == 0 && (uint64_t)file.st_size + LIMIT_NEAR > limit.rlim_cur)
        return true;
    return fstatvfs(store->fd, &space) == 0 &&
           (uint64_t)space.f_bavail * space.f_frsize < FREE_SPACE_LOW;
}

int qp_store_status(const struct qp_store *store, int rc)
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
    case QP_MAP_LOST:
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
    int status = qp_store_status(store, rc);
    const char *why = mdb_strerror(rc == EIO && status == QUIPU_FULL ? ENOSPC : rc);

    assert(rc != 0 && status < 0);
    if (rc == QP_MAP_LOST)
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
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD |
                     (config->read_only ? MDB_RDONLY : 0) | (config->lazy ? MDB_NOMETASYNC : 0) |
                     QP_MUTANT_FLAGS;
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
        rc = mdb_env_open(*env, config->path, flags, 0600);
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

    errno = EIO; /* what a short read or write is */
    if (pread(store->fd, store->meta_pages, size, 0) != (ssize_t)size ||
        (!QP_MUTANT(NO_REWRITE) && pwrite(store->fd, store->meta_pages, size, 0) != (ssize_t)size))
        return qp_fail_os(error, QUIPU_IO, errno, "%s: write the meta pages again", store->name);
    return qp_store_flush(store, error);
}

int qp_store_flush(struct qp_store *store, quipu_error *error)
{
    int rc = mdb_env_sync(store->env, 1);

    return rc == 0 ? QUIPU_OK : qp_fail_os(error, QUIPU_IO, rc, "%s: flush", store->name);
}

void qp_store_clear_readers(struct qp_store *store)
{
    int cleared;

    if (!QP_MUTANT(DEAD_READERS))
        (void)mdb_reader_check(store->env, &cleared);
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
