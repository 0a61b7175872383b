/* posting.h - where a term occurs, as bytes of the index: pure functions. docs/FORMAT.md 5.
 *
 * A term's entries are numbered: a stream's by version, any other term's from 1. The newest of them
 * stand in its row of `terms`; whenever there are QP_BLOCK_POSITIONS, they become a row of `blocks`
 * that is never touched again.
 *
 *     terms:   0 sum u64   8 count, first   if count is 1: its delta from 0; else
 *              number, first position, last position, base, inline   then deltas
 *     blocks:  0 sum u64   8 base u64   16 count u16   18 deltas
 *
 * All are LEB128 numbers. Most rows of `terms` are of ids, which occur once, and of streams with a
 * few events: a short row is what a merge costs. Deltas are such numbers too: from `base`, then
 * from one position to the next. 0 is an entry whose position is not known: the record of that
 * version was damaged when the index was made. */
#ifndef QP_POSTING_H
#define QP_POSTING_H

#include "base.h"

#define QP_TERM_ROW_HEADER_BYTES  11 /* at least: a sum and three numbers */
#define QP_BLOCK_ROW_HEADER_BYTES 18

struct qp_term_row {
    uint64_t number; /* of its blocks; 0 as long as it has none */
    uint64_t first;  /* number of the first entry: a version, or 1 */
    uint64_t count;  /* of all entries, in blocks and here */
    uint64_t first_position;
    uint64_t last_position;
    uint64_t base;         /* what the first delta here counts from */
    uint16_t inline_count; /* of the newest entries, here */
    struct qp_bytes deltas;
};

struct qp_block_row {
    uint64_t base;
    uint16_t count;
    struct qp_bytes deltas;
};

/* false: the bytes are no such row. The sum is the caller's business. */
bool qp_term_row_read(struct qp_bytes value, struct qp_term_row *row);
bool qp_block_row_read(struct qp_bytes value, struct qp_block_row *row);

/* Write a whole row but for its sum into `out` of QP_ROW_BYTES_MAX bytes; positions as below.
 * Returns its size. */
size_t qp_term_row_write(const struct qp_term_row *row, const uint64_t *positions, uint8_t *out);
size_t qp_block_row_write(uint64_t base, const uint64_t *positions, size_t count, uint8_t *out);

/* The last of these positions that is known, or `base` if none is. */
uint64_t qp_last_known(const uint64_t *positions, size_t count, uint64_t base);

/* Deltas to `count` positions, 0 where unknown. false: malformed, or not ascending. */
bool qp_deltas_read(struct qp_bytes deltas, uint64_t base, uint64_t *positions, size_t count);

#endif
