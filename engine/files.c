/* files.c - log and index of a handle. Each is judged before it is mapped: what is no file of ours,
 * is cut off, or of a newer library never comes into a map.
 *
 *     log     whole, ours, known format       else: an error, and nothing is changed
 *     index   whole, of this log's history    else: made anew by who is alone; others do without
 *
 * Refuses to repair. Who may open what, and when, is open.c's business. */
#include "files.h"

#include "index.h"
#include "log.h"
#include "row.h"
#include "status.h"

#include <string.h>
#include <sys/resource.h>

/* Of an address space that is limited the log takes at most a quarter, the index a sixteenth. */
static uint64_t map_bytes_of(const struct qp_handle *handle, bool log)
{
    uint64_t wanted = log ? handle->options.map_bytes : handle->options.map_bytes / 4;
    uint64_t most;
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return wanted;
    most = (uint64_t)limit.rlim_cur / (log ? 4 : 16);
    return wanted < most ? wanted : most;
}

static int open_file(struct qp_handle *handle, const char *name, bool create,
                     struct qp_store **store, quipu_error *error)
{
    bool log = strcmp(name, QP_LOG_FILE) == 0;
    char path[QP_PLACE_PATH_BYTES];
    struct qp_store_config config = {.path = path,
                                     .tables = log ? qp_log_tables : qp_index_tables,
                                     .table_count = log ? qp_log_table_count : qp_index_table_count,
                                     .map_bytes = map_bytes_of(handle, log),
                                     .readers_max = handle->options.readers_max,
                                     .read_only = handle->read_only,
                                     .lazy = log && handle->options.durability == QUIPU_LAZY,
                                     .create = create};

    qp_place_path(&handle->place, name, path);
    return qp_store_open(&config, store, error);
}

/* Is this library new enough to read the log, and to write it? A feature bit of the second kind
 * only keeps writers out. */
static int check_format(struct qp_handle *handle, struct qp_txn *txn, quipu_error *error)
{
    struct qp_format format;
    struct qp_bytes value;
    int rc = qp_get_row(txn, QP_TABLE_META, QP_META_FORMAT, &value, error);

    if (rc < 0)
        return rc;
    if (rc == QUIPU_OK || !qp_format_read(value, &format))
        return qp_fail(error, QUIPU_INVALID, "%s is not a store's: it has no format", QP_LOG_FILE);
    if (format.number > QP_FORMAT_LOG)
        return qp_fail(error, QUIPU_NEWER_FORMAT, "the store has format %u, this library knows %d",
                       format.number, QP_FORMAT_LOG);
    if (format.read_bits != 0 ||
        ((format.write_bits & ~QP_WRITE_BITS_KNOWN) != 0 && !handle->read_only)) {
        return qp_fail(error, QUIPU_NEWER_FORMAT,
                       "the store uses features %llx and %llx that this library does not know",
                       (unsigned long long)format.read_bits,
                       (unsigned long long)(format.write_bits & ~QP_WRITE_BITS_KNOWN));
    }
    rc = qp_get_row(txn, QP_TABLE_META, QP_META_UUID, &value, error);
    if (rc < 0)
        return rc;
    if (rc == QUIPU_OK || !qp_uuid_read(value, handle->uuid))
        return qp_fail(error, QUIPU_CORRUPT, "the store has lost its uuid");
    return QUIPU_OK;
}

/* Before the map exists: a file that ends before its last page would kill the process. */
static int check_log_file(struct qp_handle *handle, quipu_error *error)
{
    enum qp_file_state state = QP_FILE_MISSING;
    int rc = qp_place_probe(&handle->place, QP_LOG_FILE, &state, error);

    if (rc < 0)
        return rc;
    if (state == QP_FILE_MISSING)
        return qp_fail(error, QUIPU_UNSAFE, "%s has vanished", QP_LOG_FILE);
    if (state == QP_FILE_FOREIGN)
        return qp_fail(error, QUIPU_INVALID, "%s is not a store's file", QP_LOG_FILE);
    if (state != QP_FILE_WHOLE)
        return qp_fail(error, QUIPU_CORRUPT, "%s is cut off: it ends before its last page",
                       QP_LOG_FILE);
    return QUIPU_OK;
}

int qp_files_open_log(struct qp_handle *handle, quipu_error *error)
{
    struct qp_txn txn = {0};
    int rc = check_log_file(handle, error);

    if (rc == QUIPU_OK)
        rc = open_file(handle, QP_LOG_FILE, false, &handle->log, error);
    if (rc == QUIPU_OK)
        rc = qp_place_inode(&handle->place, QP_LOG_FILE, &handle->log_inode, error);
    if (rc == QUIPU_OK)
        rc = qp_txn_begin_read(handle->log, &txn, error);
    if (rc == QUIPU_OK)
        rc = check_format(handle, &txn, error);
    qp_txn_end(&txn);
    return rc;
}

/* Does the log have the history that the index says it was made from? Its chain tells. */
static int has_history(struct qp_txn *txn, const struct qp_indexed *indexed, bool *has,
                       quipu_error *error)
{
    struct qp_log_cursor log = {0};
    struct qp_record record;
    uint64_t head = 0;
    int rc = qp_log_open(&log, txn, true, error);

    if (rc == QUIPU_OK)
        rc = qp_log_edge(&log, &head, error);
    *has = rc == QUIPU_OK && indexed->position <= head &&
           indexed->edits == qp_table_rows(txn, QP_TABLE_EDITS);
    if (*has && indexed->position > 0) {
        rc = qp_log_get(&log, indexed->position, &record, error);
        *has = rc == QUIPU_ROW && (record.chain == indexed->chain || QP_MUTANT(CHAIN_UNSEEN));
    }
    qp_log_close(&log);
    return rc < 0 ? rc : QUIPU_OK;
}

/* Is the index a fold of this very log? Its snapshot first, then the log's: others may go on. */
static int index_fits(struct qp_handle *handle, bool *fits, quipu_error *error)
{
    struct qp_txn index = {0};
    struct qp_txn log = {0};
    struct qp_indexed indexed;
    int rc = qp_txn_begin_read(handle->index, &index, error);

    if (rc == QUIPU_OK)
        rc = qp_txn_begin_read(handle->log, &log, error);
    if (rc == QUIPU_OK && qp_index_is_ours(&index, handle->uuid)) {
        rc = qp_index_indexed(&index, &indexed, error);
        if (rc == QUIPU_OK)
            rc = has_history(&log, &indexed, fits, error);
    }
    qp_txn_end(&log);
    qp_txn_end(&index);
    return rc;
}

static void close_index(struct qp_handle *handle)
{
    qp_store_close(handle->index);
    handle->index = NULL;
}

/* Is it the file that is wrong, or does the machine lack something? */
static bool is_of_file(int rc)
{
    return rc == QUIPU_INVALID || rc == QUIPU_CORRUPT || rc == QUIPU_UNSAFE || rc == QUIPU_IO ||
           rc == QUIPU_NEWER_FORMAT;
}

int qp_files_open_index(struct qp_handle *handle, quipu_error *error)
{
    enum qp_file_state state = QP_FILE_MISSING;
    quipu_error why = {0};
    bool fits = false;
    int rc = qp_place_probe(&handle->place, QP_INDEX_FILE, &state, error);

    handle->index_refused = state != QP_FILE_MISSING || rc == QUIPU_IO;
    if (rc < 0 || state != QP_FILE_WHOLE || handle->index_damaged)
        return rc == QUIPU_IO ? QUIPU_OK : rc; /* what cannot be read is made again */
    rc = open_file(handle, QP_INDEX_FILE, false, &handle->index, &why);
    if (rc == QUIPU_OK)
        rc = index_fits(handle, &fits, &why);
    handle->index_refused = rc < 0 || !fits;
    if (!handle->index_refused)
        return QUIPU_OK;
    close_index(handle);
    if (rc == QUIPU_OK || is_of_file(rc))
        return QUIPU_OK;
    if (error != NULL)
        *error = why;
    return rc;
}

int qp_files_reserve_lock(const struct qp_handle *handle, const char *name, quipu_error *error)
{
    return qp_place_reserve_lock(&handle->place, name, handle->options.readers_max, error);
}

/* An empty one, with its rows. */
static int make_index(struct qp_handle *handle, quipu_error *error)
{
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;
    int rc;

    close_index(handle);
    rc = qp_place_remove(&handle->place, QP_INDEX_FILE, error);
    if (rc == QUIPU_OK)
        rc = qp_place_remove(&handle->place, QP_INDEX_LOCK_FILE, error);
    if (rc == QUIPU_OK)
        rc = qp_files_reserve_lock(handle, QP_INDEX_LOCK_FILE, error);
    if (rc == QUIPU_OK)
        rc = open_file(handle, QP_INDEX_FILE, true, &handle->index, error);
    if (rc == QUIPU_OK)
        rc = qp_txn_begin_write(handle->index, &txn, error);
    if (rc == QUIPU_OK)
        rc = qp_index_init(&txn, handle->uuid, error);
    if (rc == QUIPU_OK)
        rc = qp_txn_commit(&txn, &outcome, error);
    qp_txn_end(&txn);
    return rc;
}

int qp_files_open_index_alone(struct qp_handle *handle, bool discard, quipu_error *error)
{
    int rc = QUIPU_OK;

    handle->index_refused = discard;
    if (!discard)
        rc = qp_files_open_index(handle, error);
    if (rc < 0)
        return rc;
    if (handle->index != NULL && !handle->read_only && qp_store_settle(handle->index, NULL) < 0) {
        handle->index_refused = true;
        close_index(handle);
    }
    if (handle->index != NULL || handle->read_only)
        return QUIPU_OK;
    if (handle->index_refused)
        qp_handle_tell(handle, 1, "the index does not fit the log or is damaged: it is made again");
    return make_index(handle, error);
}
