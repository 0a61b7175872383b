/* posting.c - a stream of 1 000 events takes about 2 bytes an event here. */
#include "posting.h"

#include "key.h"

#include <assert.h>
#include <string.h>

enum {
    AT_NUMBER = 8,
    AT_FIRST = 16,
    AT_COUNT = 24,
    AT_FIRST_POSITION = 32,
    AT_LAST_POSITION = 40,
    AT_BASE = 48,
    AT_INLINE = 56,
    AT_BLOCK_BASE = 8,
    AT_BLOCK_COUNT = 16,
    DELTA_BYTES_MAX = 7 /* 7 * 7 bits hold QP_POSITION_MAX */
};

bool qp_term_row_read(struct qp_bytes value, struct qp_term_row *row)
{
    const uint8_t *at = value.data;

    if (value.size < QP_TERM_ROW_HEADER_BYTES)
        return false;
    row->number = qp_get_u64(at + AT_NUMBER);
    row->first = qp_get_u64(at + AT_FIRST);
    row->count = qp_get_u64(at + AT_COUNT);
    row->first_position = qp_get_u64(at + AT_FIRST_POSITION);
    row->last_position = qp_get_u64(at + AT_LAST_POSITION);
    row->base = qp_get_u64(at + AT_BASE);
    row->inline_count = qp_get_u16(at + AT_INLINE);
    row->deltas =
        (struct qp_bytes){at + QP_TERM_ROW_HEADER_BYTES, value.size - QP_TERM_ROW_HEADER_BYTES};
    return row->inline_count < QP_BLOCK_POSITIONS && row->inline_count <= row->count &&
           row->count <= QP_POSITION_MAX && row->first <= QP_POSITION_MAX;
}

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

static uint8_t *put_delta(uint8_t *at, uint64_t delta)
{
    while (delta >= 0x80) {
        *at++ = (uint8_t)(delta | 0x80);
        delta >>= 7;
    }
    *at++ = (uint8_t)delta;
    return at;
}

static size_t put_deltas(uint8_t *out, uint64_t base, const uint64_t *positions, size_t count)
{
    uint8_t *at = out;

    for (size_t i = 0; i < count; i++) {
        if (positions[i] == 0) {
            at = put_delta(at, 0);
            continue;
        }
        assert(positions[i] > base && positions[i] <= QP_POSITION_MAX);
        at = put_delta(at, positions[i] - base);
        base = positions[i];
    }
    return (size_t)(at - out);
}

size_t qp_term_row_write(const struct qp_term_row *row, const uint64_t *positions, uint8_t *out)
{
    size_t size;

    assert(row->inline_count < QP_BLOCK_POSITIONS);
    qp_set_u64(out + AT_NUMBER, row->number);
    qp_set_u64(out + AT_FIRST, row->first);
    qp_set_u64(out + AT_COUNT, row->count);
    qp_set_u64(out + AT_FIRST_POSITION, row->first_position);
    qp_set_u64(out + AT_LAST_POSITION, row->last_position);
    qp_set_u64(out + AT_BASE, row->base);
    qp_set_u16(out + AT_INLINE, row->inline_count);
    size = QP_TERM_ROW_HEADER_BYTES +
           put_deltas(out + QP_TERM_ROW_HEADER_BYTES, row->base, positions, row->inline_count);
    assert(size <= QP_ROW_BYTES_MAX);
    return size;
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

/* One number; NULL if it runs past the end or is longer than any position. */
static const uint8_t *get_delta(const uint8_t *at, const uint8_t *end, uint64_t *delta)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < DELTA_BYTES_MAX && at < end; i++) {
        uint8_t byte = *at++;

        number |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *delta = number;
            return at;
        }
    }
    return NULL;
}

bool qp_deltas_read(struct qp_bytes deltas, uint64_t base, uint64_t *positions, size_t count)
{
    const uint8_t *at = deltas.data;
    const uint8_t *end = at + deltas.size;

    if (base > QP_POSITION_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        uint64_t delta;

        at = get_delta(at, end, &delta);
        if (at == NULL)
            return false;
        base += delta;
        if (base > QP_POSITION_MAX)
            return false;
        positions[i] = delta == 0 ? 0 : base;
    }
    return at == end;
}
