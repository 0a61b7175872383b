/* streams.c - one rule says what is seen: versions from `first_kept` on. Truncating moves it up,
 * deleting moves it after the newest version. What that newest version is does not stand here: it
 * comes from the log and its index, and stays true whatever is hidden.
 *
 * Beside that a row says which projection owns the stream, if one does.
 *
 *     row   0 sum   8 first kept version u64   16 flags u32   20 size u32   24 owner
 *                                                                        (docs/FORMAT.md 4.4) */
#include "streams.h"

#include "row.h"
#include "status.h"

#include <assert.h>
#include <string.h>

/* Asked once a snapshot, so that a store without such rows pays nothing for each event. */
bool qp_streams_any(struct qp_txn *txn)
{
    return qp_table_rows(txn, QP_TABLE_STREAMS) > 0;
}

int qp_streams_get(struct qp_txn *txn, bool any, struct qp_bytes stream, struct qp_stream_row *row,
                   quipu_error *error)
{
    struct qp_bytes value;
    int rc;

    if (!any)
        return QUIPU_OK;
    rc = qp_get_row(txn, QP_TABLE_STREAMS, stream, &value, error);
    if (rc != QUIPU_ROW)
        return rc;
    if (value.size < QP_STREAM_ROW_BYTES || value.size > QP_STREAM_ROW_BYTES + QP_OWNER_NAME_MAX ||
        value.size - QP_STREAM_ROW_BYTES != qp_get_u32((const uint8_t *)value.data + 20))
        return qp_fail(error, QUIPU_CORRUPT, "a row of streams has a wrong size");
    row->first_kept = qp_get_u64((const uint8_t *)value.data + 8);
    row->flags = qp_get_u32((const uint8_t *)value.data + 16);
    row->owner = (struct qp_bytes){(const uint8_t *)value.data + QP_STREAM_ROW_BYTES,
                                   value.size - QP_STREAM_ROW_BYTES};
    return QUIPU_ROW;
}

/* This release writes owners alone. */
int qp_streams_put(struct qp_txn *txn, struct qp_bytes stream, const struct qp_stream_row *row,
                   quipu_error *error)
{
    uint8_t value[QP_STREAM_ROW_BYTES + QP_OWNER_NAME_MAX] = {0};

    assert(txn->writing && stream.size > 0 && row->owner.size <= QP_OWNER_NAME_MAX);
    qp_set_u64(value + 8, row->first_kept);
    qp_set_u32(value + 16, row->flags);
    qp_set_u32(value + 20, (uint32_t)row->owner.size);
    if (row->owner.size > 0)
        memcpy(value + QP_STREAM_ROW_BYTES, row->owner.data, row->owner.size);
    return qp_put_row(txn, QP_TABLE_STREAMS, stream, value, QP_STREAM_ROW_BYTES + row->owner.size,
                      error);
}

int qp_streams_visible(struct qp_txn *txn, bool any, struct qp_bytes stream, uint64_t version,
                       bool *visible, quipu_error *error)
{
    struct qp_stream_row row = {0};
    int rc = qp_streams_get(txn, any, stream, &row, error);

    if (rc < 0)
        return rc;
    *visible = rc == QUIPU_OK || version >= row.first_kept;
    return QUIPU_OK;
}
