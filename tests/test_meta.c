/* test_meta.c - meta.c: rows to the byte, and rows that are none. */
#include "key.h"
#include "meta.h"
#include "support_suite.h"

#include <string.h>

SUPPORT_SUITE(meta);

static const uint8_t uuid[16] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x47, 0x88,
                                 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x01};

Test(meta, format_to_the_byte)
{
    static const uint8_t expected[24] = {4,    3,    2,    1,    0,    0,    0,    0,
                                         0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
                                         0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21};
    struct qp_format format = {0x01020304, 0x1112131415161718, 0x2122232425262728};
    struct qp_format again = {0};
    uint8_t row[QP_META_ROW_BYTES_MAX];
    size_t size;

    memset(row, 0xee, sizeof(row));
    size = qp_format_write(&format, row);
    cr_assert_eq(size, 32);
    cr_expect_eq(memcmp(row + 8, expected, sizeof(expected)), 0);
    cr_expect(qp_format_read((struct qp_bytes){row, size}, &again));
    cr_expect(again.number == format.number && again.read_bits == format.read_bits &&
              again.write_bits == format.write_bits);
    cr_expect(qp_format_read((struct qp_bytes){row, size + 1}, &again), "a later row is longer");
    for (size_t cut = 0; cut < size; cut++)
        cr_expect_not(qp_format_read((struct qp_bytes){row, cut}, &again), "%zu bytes", cut);
}

Test(meta, uuid_to_the_byte)
{
    uint8_t row[QP_META_ROW_BYTES_MAX];
    uint8_t again[16];
    size_t size = qp_uuid_write(uuid, row);

    cr_assert_eq(size, 24);
    cr_expect_eq(memcmp(row + 8, uuid, 16), 0);
    cr_expect(qp_uuid_read((struct qp_bytes){row, size}, again));
    cr_expect_eq(memcmp(again, uuid, 16), 0);
    for (size_t other = 0; other < 40; other++)
        if (other != size)
            cr_expect_not(qp_uuid_read((struct qp_bytes){row, other}, again), "%zu bytes", other);
}

Test(meta, created_to_the_byte)
{
    static const uint8_t expected[8] = {8, 7, 6, 5, 4, 3, 2, 1};
    uint8_t row[QP_META_ROW_BYTES_MAX];

    cr_assert_eq(qp_created_write(0x0102030405060708, row), 16);
    cr_expect_eq(memcmp(row + 8, expected, 8), 0);
}

Test(meta, index_format_to_the_byte)
{
    struct qp_index_format format = {.number = 1, .term_kinds = QP_TERM_KINDS_BITS};
    struct qp_index_format again;
    uint8_t row[QP_META_ROW_BYTES_MAX];
    uint8_t expected[32] = {1, 0, 0, 0, 0, 0, 0, 0, 0x3e};
    size_t size;

    memcpy(format.uuid, uuid, 16);
    memcpy(expected + 16, uuid, 16);
    memset(row, 0xee, sizeof(row));
    size = qp_index_format_write(&format, row);
    cr_assert_eq(size, 40);
    cr_expect_eq(memcmp(row + 8, expected, 32), 0);
    cr_assert(qp_index_format_read((struct qp_bytes){row, size}, &again));
    cr_expect(again.number == 1 && again.term_kinds == format.term_kinds &&
              memcmp(again.uuid, uuid, 16) == 0);
    for (size_t other = 0; other < 80; other++)
        if (other != size)
            cr_expect_not(qp_index_format_read((struct qp_bytes){row, other}, &again), "%zu bytes",
                          other);
}

Test(meta, indexed_to_the_byte)
{
    struct qp_indexed indexed = {1, 2, 3, 4, 5, 6, 7};
    struct qp_indexed again;
    uint8_t row[QP_META_ROW_BYTES_MAX];
    size_t size = qp_indexed_write(&indexed, row);

    cr_assert_eq(size, 64);
    for (uint8_t i = 0; i < 7; i++)
        cr_expect_eq(qp_get_u64(row + 8 + 8 * (size_t)i), i + 1U);
    cr_assert(qp_indexed_read((struct qp_bytes){row, size}, &again));
    cr_expect_eq(memcmp(&again, &indexed, sizeof(again)), 0);
    for (size_t other = 0; other < 80; other++)
        if (other != size)
            cr_expect_not(qp_indexed_read((struct qp_bytes){row, other}, &again), "%zu bytes",
                          other);
}

Test(meta, indexed_position_limit)
{
    struct qp_indexed indexed = {.position = QP_POSITION_MAX};
    uint8_t row[QP_META_ROW_BYTES_MAX];
    size_t size = qp_indexed_write(&indexed, row);

    cr_expect(qp_indexed_read((struct qp_bytes){row, size}, &indexed));
    indexed.position = QP_POSITION_MAX + 1;
    size = qp_indexed_write(&indexed, row);
    cr_expect_not(qp_indexed_read((struct qp_bytes){row, size}, &indexed));
}
