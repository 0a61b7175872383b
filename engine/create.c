/* create.c - an empty store, built where nobody sees it.
 *
 *     .NAME.new-PID/log.mdb   made, flushed, its directory flushed ---- renamed to NAME/
 *
 * Whoever renames first has created the store; the others find theirs in the way and open that one.
 * Whatever is left of a creator that died is removed by the next (place.c). */
#include "create.h"

#include "clock.h"
#include "log.h"
#include "meta.h"
#include "place.h"
#include "row.h"
#include "status.h"

#include <errno.h>
#include <sys/random.h>

/* The rows that make an LMDB file a store's log. */
static int put_meta(struct qp_txn *txn, const uint8_t uuid[16], quipu_error *error)
{
    struct qp_format format = {.number = QP_FORMAT_LOG};
    uint8_t row[QP_META_ROW_BYTES_MAX];
    size_t size = qp_format_write(&format, row);
    int rc = qp_put_row(txn, QP_TABLE_META, QP_META_FORMAT, row, size, error);

    if (rc == QUIPU_OK) {
        size = qp_uuid_write(uuid, row);
        rc = qp_put_row(txn, QP_TABLE_META, QP_META_UUID, row, size, error);
    }
    if (rc == QUIPU_OK) {
        size = qp_created_write(qp_clock_wall_ns(), row);
        rc = qp_put_row(txn, QP_TABLE_META, QP_META_CREATED, row, size, error);
    }
    return rc;
}

/* In the staging directory, which nobody else knows: no lock is needed. LMDB does not flush the
 * directory nor its first pages; who publishes the staging does. */
static int write_log_file(const struct qp_place *place, quipu_error *error)
{
    char path[QP_PLACE_PATH_BYTES];
    struct qp_store_config config = {.path = path,
                                     .tables = qp_log_tables,
                                     .table_count = qp_log_table_count,
                                     .map_bytes = QP_MAP_BYTES_MIN,
                                     .readers_max = QP_READERS_DEFAULT,
                                     .create = true};
    struct qp_store *store = NULL;
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;
    uint8_t uuid[16];
    int rc;

    if (getrandom(uuid, sizeof(uuid), 0) != (ssize_t)sizeof(uuid))
        return qp_fail_os(error, QUIPU_SYSTEM, errno, "make a uuid");
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* version 4 */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    qp_place_path(place, QP_LOG_FILE, path);
    rc = qp_place_reserve_lock(place, QP_LOG_LOCK_FILE, config.readers_max, error);
    if (rc == QUIPU_OK)
        rc = qp_store_open(&config, &store, error);
    if (rc == QUIPU_OK)
        rc = qp_txn_begin_write(store, &txn, error);
    if (rc == QUIPU_OK)
        rc = put_meta(&txn, uuid, error);
    if (rc == QUIPU_OK)
        rc = qp_txn_commit(&txn, &outcome, error);
    qp_txn_end(&txn);
    qp_store_close(store);
    return rc;
}

int qp_create_store(const char *path, quipu_error *error)
{
    struct qp_staging staging;
    int rc = qp_staging_begin(path, &staging, error);

    if (rc == QUIPU_OK)
        rc = write_log_file(&staging.place, error);
    if (rc == QUIPU_OK)
        rc = qp_staging_publish(&staging, error);
    qp_staging_end(&staging);
    return rc;
}
