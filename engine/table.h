/* table.h - rows of one environment's tables: get, put, delete, append, walk.
 *
 * Refuses to know what stands in a row. Keys and values that come out live as long as their
 * transaction; in one that writes, until its next put. */
#ifndef QP_TABLE_H
#define QP_TABLE_H

#include "txn.h"

/* One row. Returns: ROW; OK: no such key; IO, CORRUPT. */
int qp_get(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, struct qp_bytes *value,
           quipu_error *error);

int qp_put(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, struct qp_bytes value,
           quipu_error *error);

/* Returns: ROW; OK: no such key; IO, CORRUPT. */
int qp_delete(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, quipu_error *error);

/* Room for a value after the last key, to be filled before the next call. INVALID: the key is not
 * after the last. */
int qp_append_reserve(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, size_t size,
                      void **value, quipu_error *error);

uint64_t qp_table_rows(struct qp_txn *txn, enum qp_table table);

enum qp_seek { QP_FIRST, QP_LAST, QP_NEXT, QP_PREVIOUS, QP_EXACT, QP_AT_LEAST };

struct qp_cursor {
    struct MDB_cursor *mdb;
    struct qp_store *store;
    enum qp_table table;
};

/* Open a zeroed cursor, or bring one of an earlier snapshot into this one. */
int qp_cursor_open(struct qp_cursor *cursor, struct qp_txn *txn, enum qp_table table,
                   quipu_error *error);
void qp_cursor_close(struct qp_cursor *cursor);

/* Returns: ROW; OK: no row there; IO, CORRUPT. `*key` goes in for EXACT and AT_LEAST. */
int qp_cursor_seek(struct qp_cursor *cursor, enum qp_seek seek, struct qp_bytes *key,
                   struct qp_bytes *value, quipu_error *error);

/* LMDB's own record of a table, for who looks at pages (page.h): ROW, or OK if there is none. */
int qp_table_record(struct qp_txn *txn, const char *name, struct qp_bytes *record);

#endif
