/* index.h - the derived file: for each term where it occurs, up to `indexed`.
 *
 * Tables `terms`, `blocks` and `meta` of index.mdb. A fold of the log: whatever is in it can be
 * made again. Takes transactions, never begins one. */
#ifndef QP_INDEX_H
#define QP_INDEX_H

#include "meta.h"
#include "posting.h"
#include "segment.h"
#include "table.h"

/* A term's row. Returns: ROW; OK: it does not occur; CORRUPT; IO. Its deltas live as long as the
 * transaction. */
int qp_index_term(struct qp_txn *txn, struct qp_bytes key, struct qp_term_row *row,
                  quipu_error *error);

/* A term's block that holds entry `number` if any does: the last that begins at or before it, else
 * the term's first. Returns: ROW; OK: there is none; CORRUPT; IO. */
int qp_index_block(struct qp_cursor *blocks, const struct qp_term_row *term, uint64_t number,
                   struct qp_block_row *block, uint64_t *first, quipu_error *error);

/* The term's block after (before) the one that the cursor stands at. As qp_index_block(). */
int qp_index_next_block(struct qp_cursor *blocks, const struct qp_term_row *term, bool backwards,
                        struct qp_block_row *block, uint64_t *first, quipu_error *error);

/* CORRUPT: says what is wrong, of which key, and what to do about it. */
int qp_index_damaged(const char *what, struct qp_bytes key, quipu_error *error);

/* What the index is a fold of. Returns: OK; CORRUPT; IO. */
int qp_index_indexed(struct qp_txn *txn, struct qp_indexed *indexed, quipu_error *error);

/* Write the rows of an empty index. */
int qp_index_init(struct qp_txn *txn, const uint8_t uuid[16], quipu_error *error);

/* Is it this library's, and of the log with this uuid? */
bool qp_index_is_ours(struct qp_txn *txn, const uint8_t uuid[16]);

/* Merge a segment that begins at indexed->position, which moves to its end. CORRUPT: versions that
 * cannot be. */
int qp_index_merge(struct qp_txn *txn, const struct qp_segment *segment, struct qp_indexed *indexed,
                   quipu_error *error);

/* Write what the index is a fold of now: the last thing before a merge commits. */
int qp_index_put_indexed(struct qp_txn *txn, const struct qp_indexed *indexed, quipu_error *error);

extern const struct qp_table_spec qp_index_tables[];
extern const size_t qp_index_table_count;

#endif
