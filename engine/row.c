/* row.c - the pair: sealed just before it is put, checked just after it was got. */
#include "row.h"

#include "status.h"

int qp_get_row(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, struct qp_bytes *value,
               quipu_error *error)
{
    int rc = qp_get(txn, table, key, value, error);

    if (rc == QUIPU_ROW && !qp_row_whole(table, key, *value))
        return qp_fail(error, QUIPU_CORRUPT, "a row of table %d has a wrong checksum", (int)table);
    return rc;
}

int qp_put_row(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, uint8_t *value,
               size_t size, quipu_error *error)
{
    qp_row_seal(table, key, value, size);
    return qp_put(txn, table, key, (struct qp_bytes){value, size}, error);
}
