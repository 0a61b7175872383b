/* marks.c - one row a name.
 *
 *     key   kind u8, name      row   0 sum   8 number u64   16 changed i64 (docs/FORMAT.md 4.1)
 *
 * Knows nothing of what a number means, or which way it may move: that is a batch's condition. */
#include "marks.h"

#include "row.h"
#include "status.h"

#include <assert.h>

static void read_row(struct qp_bytes value, struct qp_mark *mark)
{
    mark->number = qp_get_u64((const uint8_t *)value.data + 8);
    mark->changed_ns = (int64_t)qp_get_u64((const uint8_t *)value.data + 16);
}

int qp_marks_get(struct qp_txn *txn, enum qp_mark_kind kind, struct qp_bytes name,
                 struct qp_mark *mark, quipu_error *error)
{
    struct qp_bytes value;
    struct qp_key key;
    int rc;

    qp_key_mark(&key, kind, name);
    rc = qp_get_row(txn, QP_TABLE_MARKS, qp_key_bytes(&key), &value, error);
    if (rc != QUIPU_ROW)
        return rc;
    if (value.size != QP_MARK_ROW_BYTES)
        return qp_fail(error, QUIPU_CORRUPT, "table marks: the row of %.100s has a wrong size",
                       (const char *)name.data);
    read_row(value, mark);
    return QUIPU_ROW;
}

int qp_marks_put(struct qp_txn *txn, enum qp_mark_kind kind, struct qp_bytes name,
                 const struct qp_mark *mark, quipu_error *error)
{
    uint8_t value[QP_MARK_ROW_BYTES];
    struct qp_key key;

    assert(txn->writing);
    qp_key_mark(&key, kind, name);
    qp_set_u64(value + 8, mark->number);
    qp_set_u64(value + 16, (uint64_t)mark->changed_ns);
    return qp_put_row(txn, QP_TABLE_MARKS, qp_key_bytes(&key), value, sizeof(value), error);
}

bool qp_marks_read(struct qp_bytes key, struct qp_bytes value, enum qp_mark_kind *kind,
                   struct qp_bytes *name, struct qp_mark *mark, bool *whole)
{
    const uint8_t *bytes = key.data;

    if (key.size < 2 || key.size > 1 + QP_OWNER_NAME_MAX ||
        (bytes[0] != QP_MARK_POSITION && bytes[0] != QP_MARK_SOURCE))
        return false;
    *kind = bytes[0];
    *name = (struct qp_bytes){bytes + 1, key.size - 1};
    *mark = (struct qp_mark){0};
    *whole = value.size == QP_MARK_ROW_BYTES && qp_row_whole(QP_TABLE_MARKS, key, value);
    if (*whole)
        read_row(value, mark);
    return true;
}
