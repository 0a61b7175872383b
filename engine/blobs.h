/* blobs.h - rows of views, parked events and snapshots, whose values may be longer than a row: what
 * does not fit stands in a table of its own beside them, and goes when its row does.
 *
 * Takes transactions, never begins one. */
#ifndef QP_BLOBS_H
#define QP_BLOBS_H

#include "memory.h"
#include "table.h"

/* Where such rows stand: all in one file. */
struct qp_blob_home {
    enum qp_table rows;
    enum qp_table blobs;
    enum qp_table meta; /* has the number of the next blob */
    size_t head_bytes;  /* before each value: of the table's own */
};

#define QP_BLOB_HEAD_BYTES_MAX 64
#define QP_BLOB_BYTES_MAX      (64 * QP_MIB)

/* A value of so many bytes still stands in its row. */
#define QP_BLOB_INLINE_BYTES 4000

struct qp_long_row {
    struct qp_bytes head; /* home->head_bytes of them */
    struct qp_bytes value;
    uint64_t blob; /* its number; 0: the value stands in the row */
};

/* Put a row, in the place of the one that was there. The value has at most QP_BLOB_BYTES_MAX bytes.
 * Returns: OK; CORRUPT; IO; FULL; NO_MEMORY. */
int qp_blobs_put(struct qp_txn *txn, const struct qp_blob_home *home, struct qp_bytes key,
                 struct qp_bytes head, struct qp_bytes value, quipu_error *error);

/* Returns: ROW; OK: there was none; as qp_blobs_put(). A row that cannot be read is deleted all the
 * same; its blob is then nobody's, which costs space and nothing else. */
int qp_blobs_delete(struct qp_txn *txn, const struct qp_blob_home *home, struct qp_bytes key,
                    quipu_error *error);

/* The row under a key. A long value is put together in `assembly`, and lives until that changes;
 * everything else as long as the transaction. Returns: ROW; OK: there is none; CORRUPT; IO;
 * NO_MEMORY. */
int qp_blobs_get(struct qp_txn *txn, const struct qp_blob_home *home, struct qp_bytes key,
                 struct qp_buffer *assembly, struct qp_long_row *row, quipu_error *error);

/* The same for a row that a cursor has found: never OK. `assembly` NULL: the value of a long one is
 * left out, its size is right and its data NULL. */
int qp_blobs_read(struct qp_txn *txn, const struct qp_blob_home *home, struct qp_bytes key,
                  struct qp_bytes stored, struct qp_buffer *assembly, struct qp_long_row *row,
                  quipu_error *error);

/* The number that the next long value gets. Returns: OK; CORRUPT; IO. */
int qp_blobs_next(struct qp_txn *txn, const struct qp_blob_home *home, uint64_t *number,
                  quipu_error *error);

#endif
