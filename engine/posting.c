/* posting.c - LEB128 numbers in and out. The events of one stream are mostly not far from each
 * other, so that a delta has one to three bytes where a position has six.
 *
 *     base 100      positions 103        -   300
 *     deltas                  03    00   c5 01
 *
 * Refuses to know where the rows stand, and to believe one that it reads: what it says is counted
 * and compared. What it writes is asserted, since it is ours. */
#include "posting.h"

#include "key.h"

#include <assert.h>

enum {
    AT_NUMBERS = 8,
    AT_BLOCK_BASE = 8,
    AT_BLOCK_COUNT = 16,
    NUMBER_BYTES_MAX = 7 /* 7 * 7 bits hold QP_POSITION_MAX */
};

/* One number; NULL if it runs past the end or is larger than any position. */
static const uint8_t *get_number(const uint8_t *at, const uint8_t *end, uint64_t *number)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < NUMBER_BYTES_MAX && at < end; i++) {
        uint8_t byte = *at++;

        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *number = value;
            return value <= QP_POSITION_MAX ? at : NULL;
        }
    }
    return NULL;
}

/* A term that occurs once: where is all there is to say. */
static bool read_single(const uint8_t *at, const uint8_t *end, struct qp_term_row *row)
{
    row->deltas = (struct qp_bytes){at, (size_t)(end - at)};
    row->number = 0;
    row->base = 0;
    row->inline_count = 1;
    if (get_number(at, end, &row->first_position) == NULL || row->first_position == 0)
        return false;
    row->last_position = row->first_position;
    return true;
}

/* Rule 6 of docs/FORMAT.md 5.4, the deltas aside: they are looked at when they are read. */
bool qp_term_row_read(struct qp_bytes value, struct qp_term_row *row)
{
    uint64_t inline_count;
    uint64_t *const fields[] = {&row->number, &row->first_position, &row->last_position, &row->base,
                                &inline_count};
    const uint8_t *at = value.data;
    const uint8_t *end = at + value.size;

    if (value.size < QP_TERM_ROW_HEADER_BYTES)
        return false;
    at = get_number(at + AT_NUMBERS, end, &row->count);
    if (at != NULL)
        at = get_number(at, end, &row->first);
    if (at == NULL || row->count == 0)
        return false;
    if (row->count == 1)
        return read_single(at, end, row);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        at = get_number(at, end, fields[i]);
        if (at == NULL)
            return false;
    }
    if (inline_count >= QP_BLOCK_POSITIONS || inline_count > row->count)
        return false;
    row->inline_count = (uint16_t)inline_count;
    row->deltas = (struct qp_bytes){at, (size_t)(end - at)};
    return (row->number != 0) == (row->count > inline_count); /* it has blocks, or it has none */
}

/* Rule 7 likewise. A block is full or it is none. */
bool qp_block_row_read(struct qp_bytes value, struct qp_block_row *row)
{
    const uint8_t *at = value.data;

    if (value.size < QP_BLOCK_ROW_HEADER_BYTES)
        return false;
    row->base = qp_get_u64(at + AT_BLOCK_BASE);
    row->count = qp_get_u16(at + AT_BLOCK_COUNT);
    row->deltas =
        (struct qp_bytes){at + QP_BLOCK_ROW_HEADER_BYTES, value.size - QP_BLOCK_ROW_HEADER_BYTES};
    return row->count == QP_BLOCK_POSITIONS;
}

/* Returns where the next one goes: at most NUMBER_BYTES_MAX bytes on, for a position. */
static uint8_t *put_number(uint8_t *at, uint64_t number)
{
    while (number >= 0x80) {
        *at++ = (uint8_t)(number | 0x80);
        number >>= 7;
    }
    *at++ = (uint8_t)number;
    return at;
}

/* An unknown position is a 0, and the next delta counts from the one before it
 * (docs/ARCHITECTURE.md 8.5). Returns how many bytes were written. */
static size_t put_deltas(uint8_t *out, uint64_t base, const uint64_t *positions, size_t count)
{
    uint8_t *at = out;

    for (size_t i = 0; i < count; i++) {
        if (positions[i] == 0) {
            at = put_number(at, 0);
            continue;
        }
        assert(positions[i] > base && positions[i] <= QP_POSITION_MAX);
        at = put_number(at, positions[i] - base);
        base = positions[i];
    }
    return (size_t)(at - out);
}

/* At most 8 + 7 x 7 + 511 x 7 bytes: it always fits a row, and so does a full block. */
size_t qp_term_row_write(const struct qp_term_row *row, const uint64_t *positions, uint8_t *out)
{
    const uint64_t fields[] = {row->count,          row->first,         row->number,
                               row->first_position, row->last_position, row->base,
                               row->inline_count};
    size_t field_count = row->count == 1 ? 2 : sizeof(fields) / sizeof(fields[0]);
    uint8_t *at = out + AT_NUMBERS;

    assert(row->inline_count < QP_BLOCK_POSITIONS && row->count > 0);
    assert(row->count > 1 || (row->number == 0 && row->base == 0 && row->inline_count == 1 &&
                              positions[0] == row->first_position));
    for (size_t i = 0; i < field_count; i++) {
        assert(fields[i] <= QP_POSITION_MAX);
        at = put_number(at, fields[i]);
    }
    at += put_deltas(at, row->base, positions, row->inline_count);
    assert(at - out <= QP_ROW_BYTES_MAX);
    return (size_t)(at - out);
}

size_t qp_block_row_write(uint64_t base, const uint64_t *positions, size_t count, uint8_t *out)
{
    size_t size;

    assert(count == QP_BLOCK_POSITIONS);
    qp_set_u64(out + AT_BLOCK_BASE, base);
    qp_set_u16(out + AT_BLOCK_COUNT, (uint16_t)count);
    size = QP_BLOCK_ROW_HEADER_BYTES +
           put_deltas(out + QP_BLOCK_ROW_HEADER_BYTES, base, positions, count);
    assert(size <= QP_ROW_BYTES_MAX);
    return size;
}

/* A delta and `base` have at most 48 bits each: their sum cannot wrap before it is compared.
 * That nothing is left over at the end is how a wrong count shows. */
bool qp_deltas_read(struct qp_bytes deltas, uint64_t base, uint64_t *positions, size_t count)
{
    const uint8_t *at = deltas.data;
    const uint8_t *end = at + deltas.size;

    if (base > QP_POSITION_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        uint64_t delta;

        at = get_number(at, end, &delta);
        if (at == NULL)
            return false;
        base += delta;
        if (base > QP_POSITION_MAX)
            return false;
        positions[i] = delta == 0 ? 0 : base;
    }
    return at == end;
}

uint64_t qp_last_known(const uint64_t *positions, size_t count, uint64_t base)
{
    while (count > 0 && positions[count - 1] == 0)
        count--;
    return count > 0 ? positions[count - 1] : base;
}
