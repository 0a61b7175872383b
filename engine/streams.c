/* streams.c - one rule says what is seen: versions from `first_kept` on. Truncating moves it up,
 * deleting moves it after the newest version. What that newest version is does not stand here: it
 * comes from the log and its index, and stays true whatever is hidden.
 *
 *     row   0 sum   8 first kept version u64   16 flags u32   20 zero u32     (docs/FORMAT.md 6) */
#include "streams.h"

#include "row.h"
#include "status.h"

#include <assert.h>

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
    if (value.size != QP_STREAM_ROW_BYTES)
        return qp_fail(error, QUIPU_CORRUPT, "a row of streams has a wrong size");
    row->first_kept = qp_get_u64((const uint8_t *)value.data + 8);
    row->flags = qp_get_u32((const uint8_t *)value.data + 16);
    return QUIPU_ROW;
}

/* No call of this release writes such a row: its bit in the row `format` does not exist yet. */
int qp_streams_put(struct qp_txn *txn, struct qp_bytes stream, const struct qp_stream_row *row,
                   quipu_error *error)
{
    uint8_t value[QP_STREAM_ROW_BYTES] = {0};

    assert(txn->writing && stream.size > 0);
    qp_set_u64(value + 8, row->first_kept);
    qp_set_u32(value + 16, row->flags);
    return qp_put_row(txn, QP_TABLE_STREAMS, stream, value, sizeof(value), error);
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
