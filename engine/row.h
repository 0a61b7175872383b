/* row.h - rows that begin with their sum, in and out of a store. */
#ifndef QP_ROW_H
#define QP_ROW_H

#include "table.h"

/* As qp_get(), and CORRUPT if the row's sum is wrong. */
int qp_get_row(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, struct qp_bytes *value,
               quipu_error *error);

/* Write the row's sum into it, then put it. */
int qp_put_row(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, uint8_t *value,
               size_t size, quipu_error *error);

#endif
