/* snapshot.c - one row for each snapshot, those of one fold and stream side by side, by version:
 *
 *     key    stream 0 fold 0   fold's version u32   version u64
 *     row    0 sum   8 form u8   9 position u64   17 chain u64   25 edits u64   33 time i64
 *            41 state, or where its blob is                            (blobs.c, docs/FORMAT.md)
 *
 * So the newest at or below a version is the row at that key or the one before it. Refuses to know
 * what a state is. */
#include "snapshot.h"

#include "status.h"

#include <assert.h>

enum { HEAD_BYTES = 32 };

static const struct qp_blob_home home = {QP_TABLE_SNAPSHOTS, QP_TABLE_INDEX_BLOBS,
                                         QP_TABLE_INDEX_META, HEAD_BYTES};

static_assert((int)HEAD_BYTES <= QP_BLOB_HEAD_BYTES_MAX, "the head fits");

int qp_snapshot_read(struct qp_txn *txn, struct qp_bytes key, struct qp_bytes stored,
                     struct qp_buffer *assembly, struct qp_snapshot *out, quipu_error *error)
{
    struct qp_long_row row;
    const uint8_t *head;
    int rc;

    *out = (struct qp_snapshot){0};
    if (!qp_key_snapshot_read(key, &out->name)) {
        out->name = (struct qp_snapshot_name){0};
        return qp_fail(error, QUIPU_CORRUPT, "table snapshots: a key is no snapshot's");
    }
    rc = qp_blobs_read(txn, &home, key, stored, assembly, &row, error);
    if (rc < 0)
        return rc;
    assert(row.head.size == HEAD_BYTES);
    head = row.head.data;
    out->position = qp_get_u64(head);
    out->chain = qp_get_u64(head + 8);
    out->edits = qp_get_u64(head + 16);
    out->time_max_ns = (int64_t)qp_get_u64(head + 24);
    out->state = row.value;
    out->blob = row.blob;
    return QUIPU_ROW;
}

/* The row at `key` or the last one before it. */
static int seek_upto(struct qp_cursor *cursor, struct qp_bytes wanted, struct qp_bytes *key,
                     struct qp_bytes *value, quipu_error *error)
{
    int rc;

    *key = wanted;
    rc = qp_cursor_seek(cursor, QP_AT_LEAST, key, value, error);
    if (rc == QUIPU_ROW && qp_bytes_equal(*key, wanted))
        return rc;
    if (rc < 0)
        return rc;
    return qp_cursor_seek(cursor, rc == QUIPU_ROW ? QP_PREVIOUS : QP_LAST, key, value, error);
}

static bool is_of(struct qp_bytes key, const struct qp_snapshot_name *wanted, bool *other)
{
    struct qp_snapshot_name name;
    bool same = qp_key_snapshot_read(key, &name) && qp_bytes_equal(name.stream, wanted->stream) &&
                qp_bytes_equal(name.fold, wanted->fold);
    bool version =
        same && (name.fold_version == wanted->fold_version || QP_MUTANT(FOLD_VERSION_UNSEEN));

    *other = same && !version;
    return version;
}

int qp_snapshot_find(struct qp_txn *txn, const struct qp_snapshot_name *upto,
                     struct qp_snapshot *out, bool *other, quipu_error *error)
{
    struct qp_cursor cursor = {0};
    struct qp_bytes key = {0};
    struct qp_bytes value = {0};
    struct qp_key wanted;
    int rc;

    *other = false;
    if (qp_table_rows(txn, QP_TABLE_SNAPSHOTS) == 0)
        return QUIPU_OK;
    qp_key_snapshot(&wanted, upto);
    rc = qp_cursor_open(&cursor, txn, QP_TABLE_SNAPSHOTS, error);
    if (rc == QUIPU_OK)
        rc = seek_upto(&cursor, qp_key_bytes(&wanted), &key, &value, error);
    qp_cursor_close(&cursor);
    if (rc == QUIPU_ROW && !is_of(key, upto, other)) {
        if (*other)
            (void)qp_key_snapshot_read(key, &out->name);
        return QUIPU_OK;
    }
    return rc == QUIPU_ROW ? qp_snapshot_read(txn, key, value, NULL, out, error) : rc;
}

int qp_snapshot_get(struct qp_txn *txn, const struct qp_snapshot_name *name,
                    struct qp_buffer *assembly, struct qp_snapshot *out, quipu_error *error)
{
    struct qp_bytes stored;
    struct qp_key key;
    int rc;

    qp_key_snapshot(&key, name);
    rc = qp_get(txn, QP_TABLE_SNAPSHOTS, qp_key_bytes(&key), &stored, error);
    if (rc == QUIPU_ROW)
        rc = qp_snapshot_read(txn, qp_key_bytes(&key), stored, assembly, out, error);
    if (rc >= 0)
        out->name = *name; /* the key goes with this call */
    return rc;
}

int qp_snapshot_put(struct qp_txn *txn, const struct qp_snapshot *snapshot, quipu_error *error)
{
    uint8_t head[HEAD_BYTES];
    struct qp_key key;

    assert(snapshot->name.version > 0 && snapshot->position > 0);
    qp_key_snapshot(&key, &snapshot->name);
    qp_set_u64(head, snapshot->position);
    qp_set_u64(head + 8, snapshot->chain);
    qp_set_u64(head + 16, snapshot->edits);
    qp_set_u64(head + 24, (uint64_t)snapshot->time_max_ns);
    return qp_blobs_put(txn, &home, qp_key_bytes(&key), (struct qp_bytes){head, sizeof(head)},
                        snapshot->state, error);
}

int qp_snapshot_delete(struct qp_txn *txn, const struct qp_snapshot_name *name, quipu_error *error)
{
    struct qp_key key;

    qp_key_snapshot(&key, name);
    return qp_blobs_delete(txn, &home, qp_key_bytes(&key), error);
}

int qp_snapshot_delete_row(struct qp_txn *txn, struct qp_bytes key, quipu_error *error)
{
    return qp_blobs_delete(txn, &home, key, error);
}

int qp_snapshot_next_blob(struct qp_txn *txn, uint64_t *number, quipu_error *error)
{
    return qp_blobs_next(txn, &home, number, error);
}
