/* test_posting.c - posting.c: rows of the index to the byte, there and back, and bytes that are no
 * such rows. */
#include "key.h"
#include "posting.h"
#include "support_suite.h"

#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(posting);

Test(posting, term_row_to_the_byte)
{
    static const uint64_t positions[] = {1001, 0, 1128, 1256, 0};
    static const uint8_t expected[] = {
        9,                                        /* count */
        3,                                        /* first */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, /* number: the largest */
        5,                                        /* first position */
        0xe8, 0x09,                               /* last position */
        0xe8, 0x07,                               /* base */
        5,                                        /* inline */
        1,    0,    127,  0x80, 0x01, 0,          /* deltas: 1, absent, 127, 128, absent */
    };
    const struct qp_term_row row = {.number = QP_POSITION_MAX,
                                    .first = 3,
                                    .count = 9,
                                    .first_position = 5,
                                    .last_position = 1256,
                                    .base = 1000,
                                    .inline_count = 5};
    uint8_t out[QP_ROW_BYTES_MAX];
    uint64_t again[5];
    struct qp_term_row read;
    size_t size = qp_term_row_write(&row, positions, out);

    support_expect_bytes(out + 8, size - 8, expected, sizeof(expected), "the row");
    cr_assert(qp_term_row_read((struct qp_bytes){out, size}, &read));
    cr_expect(read.number == row.number && read.first == 3 && read.count == 9 &&
              read.first_position == 5 && read.last_position == 1256 && read.base == 1000 &&
              read.inline_count == 5 && read.deltas.size == 6);
    cr_assert(qp_deltas_read(read.deltas, read.base, again, 5));
    cr_expect_eq(memcmp(again, positions, sizeof(positions)), 0);
}

Test(posting, row_of_one_entry_to_the_byte)
{
    static const uint64_t position = 300;
    const struct qp_term_row row = {
        .first = 4, .count = 1, .first_position = 300, .last_position = 300, .inline_count = 1};
    uint8_t out[QP_ROW_BYTES_MAX];
    struct qp_term_row read;
    uint64_t again = 0;
    size_t size = qp_term_row_write(&row, &position, out);

    support_expect_bytes(out + 8, size - 8, "\x01\x04\xac\x02", 4, "count, first, delta");
    cr_assert(qp_term_row_read((struct qp_bytes){out, size}, &read));
    cr_expect(read.number == 0 && read.first == 4 && read.count == 1 && read.base == 0 &&
              read.first_position == 300 && read.last_position == 300 && read.inline_count == 1);
    cr_assert(qp_deltas_read(read.deltas, read.base, &again, 1));
    cr_expect_eq(again, 300);
}

Test(posting, block_row_to_the_byte)
{
    uint64_t positions[QP_BLOCK_POSITIONS];
    uint64_t again[QP_BLOCK_POSITIONS];
    uint8_t out[QP_ROW_BYTES_MAX];
    struct qp_block_row block;
    size_t size;

    for (size_t i = 0; i < QP_BLOCK_POSITIONS; i++)
        positions[i] = 100 + 300 * (i + 1);
    size = qp_block_row_write(100, positions, QP_BLOCK_POSITIONS, out);
    cr_assert_eq(size, 18 + 2 * 512);
    support_expect_bytes(out + 8, 10, "\x64\0\0\0\0\0\0\0\0\2", 10, "base and count");
    for (size_t i = 0; i < QP_BLOCK_POSITIONS; i++)
        cr_assert_eq(memcmp(out + 18 + 2 * i, "\xac\x02", 2), 0, "delta %zu", i);
    cr_assert(qp_block_row_read((struct qp_bytes){out, size}, &block));
    cr_expect(block.base == 100 && block.count == 512);
    cr_assert(qp_deltas_read(block.deltas, block.base, again, 512));
    cr_expect_eq(memcmp(again, positions, sizeof(positions)), 0);
}

/* ---- there and back ---- */

/* Ascending positions up to the largest, some of them absent. */
static void make_positions(struct support_random *random, uint64_t base, uint64_t *positions,
                           size_t count)
{
    unsigned bits = 1 + (unsigned)support_random_below(random, 38);

    for (size_t i = 0; i < count; i++) {
        uint64_t step = 1 + support_random_below(random, UINT64_C(1) << bits);

        positions[i] = 0;
        if (support_random_below(random, 8) == 0 || step > QP_POSITION_MAX - base)
            continue;
        base += step;
        positions[i] = base;
    }
}

Test(posting, random_rows_there_and_back)
{
    struct support_random random = {5};

    for (int i = 0; i < 3000; i++) {
        uint64_t positions[QP_BLOCK_POSITIONS];
        uint64_t again[QP_BLOCK_POSITIONS];
        uint8_t out[QP_ROW_BYTES_MAX];
        struct qp_term_row row = {
            .number = 7, .base = support_random_below(&random, 1000), .first = 1};
        struct qp_block_row block;
        size_t size;

        row.inline_count = (uint16_t)support_random_below(&random, QP_BLOCK_POSITIONS);
        row.count = row.inline_count + QP_BLOCK_POSITIONS; /* and a block's */
        make_positions(&random, row.base, positions, QP_BLOCK_POSITIONS);
        size = qp_term_row_write(&row, positions, out);
        cr_assert(qp_term_row_read((struct qp_bytes){out, size}, &row));
        cr_assert(qp_deltas_read(row.deltas, row.base, again, row.inline_count));
        cr_assert_eq(memcmp(again, positions, row.inline_count * sizeof(again[0])), 0);

        size = qp_block_row_write(row.base, positions, QP_BLOCK_POSITIONS, out);
        cr_assert(qp_block_row_read((struct qp_bytes){out, size}, &block));
        cr_assert(qp_deltas_read(block.deltas, block.base, again, QP_BLOCK_POSITIONS));
        cr_assert_eq(memcmp(again, positions, sizeof(again)), 0);
    }
}

/* Rows and blocks fit whatever the deltas are: here each is as long as it can be. */
Test(posting, longest_deltas_fit)
{
    const uint64_t step = UINT64_C(1) << 39;
    uint64_t positions[QP_BLOCK_POSITIONS];
    uint64_t again[QP_BLOCK_POSITIONS];
    uint8_t out[QP_ROW_BYTES_MAX];
    struct qp_block_row block;
    size_t size;

    for (size_t i = 0; i < QP_BLOCK_POSITIONS; i++)
        positions[i] = step * (i + 1) - 1;
    positions[QP_BLOCK_POSITIONS - 1] = QP_POSITION_MAX;
    size = qp_block_row_write(0, positions, QP_BLOCK_POSITIONS, out);
    cr_expect_leq(size, QP_ROW_BYTES_MAX);
    cr_assert(qp_block_row_read((struct qp_bytes){out, size}, &block));
    cr_assert(qp_deltas_read(block.deltas, 0, again, QP_BLOCK_POSITIONS));
    cr_expect_eq(memcmp(again, positions, sizeof(again)), 0);
    cr_expect_leq(QP_TERM_ROW_HEADER_BYTES + 7 * (QP_BLOCK_POSITIONS - 1), QP_ROW_BYTES_MAX);
    cr_expect_leq(QP_BLOCK_ROW_HEADER_BYTES + 7 * QP_BLOCK_POSITIONS, QP_ROW_BYTES_MAX);
}

/* ---- deltas ---- */

static const struct {
    const char *what;
    const char *bytes;
    size_t size;
    uint64_t base;
    size_t count;
    bool good;
    uint64_t last;
} deltas[] = {
    {"none", "", 0, 0, 0, true, 0},
    {"one", "\x01", 1, 0, 1, true, 1},
    {"two bytes", "\x80\x01", 2, 5, 1, true, 133},
    {"seven bytes", "\xff\xff\xff\xff\xff\xff\x3f", 7, 0, 1, true, QP_POSITION_MAX},
    {"absent", "\x00", 1, 7, 1, true, 0},
    {"after an absent one", "\x00\x01", 2, 7, 2, true, 8},
    {"the largest position", "\x01", 1, QP_POSITION_MAX - 1, 1, true, QP_POSITION_MAX},
    {"over the largest", "\x01", 1, QP_POSITION_MAX, 1, false, 0},
    {"over the largest", "\xff\xff\xff\xff\xff\xff\x7f", 7, 0, 1, false, 0},
    {"a base over the largest", "\x00", 1, QP_POSITION_MAX + 1, 1, false, 0},
    {"a base that wraps", "\x02", 1, UINT64_MAX, 1, false, 0},
    {"eight bytes", "\x80\x80\x80\x80\x80\x80\x80\x01", 8, 0, 1, false, 0},
    {"eight bytes of a small number", "\x81\x80\x80\x80\x80\x80\x80\x00", 8, 0, 1, false, 0},
    {"cut", "\x80", 1, 0, 1, false, 0},
    {"cut", "\x01\xff\xff", 3, 0, 2, false, 0},
    {"too few", "\x01", 1, 0, 2, false, 0},
    {"too many", "\x01\x01", 2, 0, 1, false, 0},
    {"some where none is wanted", "\x01", 1, 0, 0, false, 0},
    {"none where one is wanted", "", 0, 0, 1, false, 0},
};

Test(posting, deltas)
{
    for (size_t i = 0; i < sizeof(deltas) / sizeof(deltas[0]); i++) {
        uint64_t positions[4] = {0};
        struct qp_bytes bytes = {deltas[i].bytes, deltas[i].size};
        size_t count = deltas[i].count;

        cr_expect_eq(qp_deltas_read(bytes, deltas[i].base, positions, count), deltas[i].good,
                     "%zu: %s", i, deltas[i].what);
        if (deltas[i].good && count > 0)
            cr_expect_eq(positions[count - 1], deltas[i].last, "%zu: %s", i, deltas[i].what);
    }
}

/* ---- bytes that are no rows ---- */

Test(posting, term_row_limits)
{
    /* From 8 on: count, first, number, first position, last position, base, inline, delta. Of one
     * entry: count, first, delta. */
    static const struct {
        uint8_t bytes[16];
        size_t size;
        bool good;
    } cases[] = {
        {{2, 1, 0, 1, 1, 0, 2, 1}, 8, true},
        {{2, 1, 0, 1, 1, 0, 1, 1}, 8, false}, /* the other one is nowhere */
        {{2, 1, 7, 1, 1, 0, 2, 1}, 8, false}, /* blocks of nothing */
        {{2, 0, 0, 1, 1, 0, 2, 1}, 8, true},
        {{2, 1, 0, 1, 1, 0, 3, 1}, 8, false}, /* fewer than stand in the row */
        {{0, 1, 0, 1, 1, 0, 0, 1}, 8, false}, /* none at all */
        {{0x7f, 1, 7, 1, 1, 0, 1, 1}, 8, true},
        {{1, 1, 5}, 3, true},
        {{1, 1, 0}, 3, false}, /* nobody knows where */
        {{1, 1, 0x80}, 3, false},
        {{2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0, 1, 1, 0, 2, 1}, 14, true},
        {{2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x40, 0, 1, 1, 0, 1, 1}, 14, false},
        {{2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0, 1, 1, 0, 1, 1}, 15, false},
        {{0xff, 0x07, 1, 7, 1, 1, 0, 0xff, 0x03, 1}, 10, true},  /* 511 of its own */
        {{0xff, 0x07, 1, 0, 1, 1, 0, 0x80, 0x04, 1}, 10, false}, /* 512 would be a block */
    };
    struct qp_term_row read;
    uint8_t row[8 + sizeof(cases[0].bytes)] = {0};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memcpy(row + 8, cases[i].bytes, cases[i].size);
        cr_expect_eq(qp_term_row_read((struct qp_bytes){row, 8 + cases[i].size}, &read),
                     cases[i].good, "case %zu", i);
    }
    memcpy(row + 8, cases[0].bytes, cases[0].size);
    for (size_t cut = 0; cut < QP_TERM_ROW_HEADER_BYTES; cut++)
        cr_expect_not(qp_term_row_read((struct qp_bytes){row, cut}, &read), "%zu", cut);
}

Test(posting, block_row_limits)
{
    uint8_t out[64] = {0};
    struct qp_block_row block;

    qp_set_u16(out + 16, 512);
    cr_expect(qp_block_row_read((struct qp_bytes){out, sizeof(out)}, &block));
    for (uint16_t count = 0; count < 2000; count++) {
        qp_set_u16(out + 16, count);
        cr_expect_eq(qp_block_row_read((struct qp_bytes){out, sizeof(out)}, &block), count == 512,
                     "%u", count);
    }
    qp_set_u16(out + 16, 512);
    for (size_t cut = 0; cut < QP_BLOCK_ROW_HEADER_BYTES; cut++)
        cr_expect_not(qp_block_row_read((struct qp_bytes){out, cut}, &block), "%zu", cut);
}

Test(posting, random_bytes_never_crash)
{
    struct support_random random = {6};
    uint64_t positions[QP_BLOCK_POSITIONS];

    for (int i = 0; i < 100000; i++) {
        size_t size = support_random_below(&random, 200);
        uint8_t *bytes = malloc(size + 1); /* of its own, so that a read after it is seen */
        struct qp_bytes row = {bytes, size};
        struct qp_term_row term;
        struct qp_block_row block;

        cr_assert_not_null(bytes);
        for (size_t j = 0; j < size; j++)
            bytes[j] = (uint8_t)(support_random(&random) &
                                 (support_random_below(&random, 2) == 0 ? 0xff : 0x03));
        if (size > 58 && i % 2 == 0)
            memset(bytes + 22, 0, 30);
        if (qp_term_row_read(row, &term))
            (void)qp_deltas_read(term.deltas, term.base, positions, term.inline_count);
        if (size > 18)
            qp_set_u16(bytes + 16, 512);
        if (qp_block_row_read(row, &block))
            (void)qp_deltas_read(block.deltas, block.base, positions, block.count);
        free(bytes);
    }
}

/* What is read is ascending and in the range, whatever the bytes are. */
Test(posting, what_is_read_ascends)
{
    struct support_random random = {7};
    unsigned good = 0;

    for (int i = 0; i < 100000; i++) {
        uint8_t bytes[24];
        uint64_t positions[8];
        uint64_t base = support_random_below(&random, QP_POSITION_MAX);
        uint64_t last = base;
        size_t count = 1 + support_random_below(&random, 8);

        for (size_t j = 0; j < sizeof(bytes); j++)
            bytes[j] = (uint8_t)support_random(&random);
        bytes[count * 2] &= 0x7f;
        if (!qp_deltas_read((struct qp_bytes){bytes, count * 2 + 1}, base, positions, count))
            continue;
        good++;
        for (size_t j = 0; j < count; j++) {
            cr_assert(positions[j] == 0 || positions[j] > last);
            cr_assert_leq(positions[j], QP_POSITION_MAX);
            last = positions[j] > 0 ? positions[j] : last;
        }
    }
    cr_expect_gt(good, 100, "%u were whole", good);
}
