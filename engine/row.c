/* row.c - the pair: sealed just before it is put, checked just after it was got. What stands
 * between the two is LMDB's, the cache's and the disk's business, and is not trusted. Records are
 * not rows in this sense: they have their own check (record.c). */
#include "row.h"

#include "status.h"

enum { KEY_TEXT_BYTES = 100 }; /* of a key in a message: enough to know it by */

int qp_get_row(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, struct qp_bytes *value,
               quipu_error *error)
{
    int rc = qp_get(txn, table, key, value, error);

    char text[KEY_TEXT_BYTES];

    if (rc != QUIPU_ROW || qp_row_whole(table, key, *value))
        return rc;
    qp_key_text(key, text, sizeof(text));
    return qp_fail(error, QUIPU_CORRUPT, "table %s, row %s: its checksum is wrong",
                   qp_table_name(table), text);
}

int qp_put_row(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, uint8_t *value,
               size_t size, quipu_error *error)
{
    qp_row_seal(table, key, value, size);
    return qp_put(txn, table, key, (struct qp_bytes){value, size}, error);
}
