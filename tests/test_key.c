/* test_key.c - key.c: keys to the byte, their order, and the rows' sums. */
#include "key.h"
#include "sum.h"
#include "support_suite.h"

#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(key);

/* As LMDB compares the keys of all tables but `log`. */
static int compare(const struct qp_key *a, const struct qp_key *b)
{
    size_t size = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->bytes, b->bytes, size);

    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static int sign(int number)
{
    return (number > 0) - (number < 0);
}

/* The numbers are part of the format. */
Test(key, tables_and_kinds_are_frozen)
{
    static const struct {
        int table;
        int number;
    } tables[] = {
        {QP_TABLE_LOG, 0},         {QP_TABLE_CHUNKS, 1},     {QP_TABLE_STREAMS, 2},
        {QP_TABLE_HOLES, 3},       {QP_TABLE_EDITS, 4},      {QP_TABLE_VIEWS, 5},
        {QP_TABLE_GROUPS, 6},      {QP_TABLE_PARKED, 7},     {QP_TABLE_MARKS, 8},
        {QP_TABLE_BLOBS, 9},       {QP_TABLE_META, 10},      {QP_TABLE_TERMS, 16},
        {QP_TABLE_BLOCKS, 17},     {QP_TABLE_SNAPSHOTS, 18}, {QP_TABLE_INDEX_BLOBS, 19},
        {QP_TABLE_INDEX_META, 20},
    };

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        cr_expect_eq(tables[i].table, tables[i].number, "table %d", tables[i].number);
    for (int table = 0; table <= QP_TABLES; table++) {
        bool known = false;

        for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
            known = known || tables[i].number == table;
        cr_expect_eq(strcmp(qp_table_name((enum qp_table)table), "?") != 0, known, "table %d",
                     table);
    }
    cr_expect_eq(QP_TERM_STREAM, 1);
    cr_expect_eq(QP_TERM_CATEGORY, 2);
    cr_expect_eq(QP_TERM_TYPE, 3);
    cr_expect_eq(QP_TERM_TAG, 4);
    cr_expect_eq(QP_TERM_ID, 5);
    cr_expect_eq(QP_TERM_DAMAGED, 255);
    cr_expect_eq(QP_TERM_KINDS_BITS, 0x3e);
}

/* In a message: what cannot be shown in digits, and no more than there is room for. */
Test(key, as_text)
{
    char text[8];

    qp_key_text((struct qp_bytes){"\x01"
                                  "a-1",
                                  4},
                text, sizeof(text));
    cr_expect_str_eq(text, "01a-1");
    qp_key_text((struct qp_bytes){"abcdefghij", 10}, text, sizeof(text));
    cr_expect_str_eq(text, "abcde");
    qp_key_text((struct qp_bytes){"\x7f\xff \x00", 4}, text, sizeof(text));
    cr_expect_str_eq(text, "7fff20");
    qp_key_text((struct qp_bytes){NULL, 0}, text, sizeof(text));
    cr_expect_str_eq(text, "");
}

Test(key, term_to_the_byte)
{
    struct qp_key key;
    char *name = support_repeat('n', QP_NAME_MAX);

    qp_key_term(&key, QP_TERM_CATEGORY, QP_LITERAL("order"));
    support_expect_bytes(key.bytes, key.size, "\x02order", 6, "a category");
    qp_key_term(&key, QP_TERM_DAMAGED, (struct qp_bytes){0});
    support_expect_bytes(key.bytes, key.size, "\xff", 1, "no name");
    qp_key_term(&key, QP_TERM_STREAM, (struct qp_bytes){name, QP_NAME_MAX});
    cr_expect_eq(key.size, 256);
    cr_expect(key.bytes[0] == 1 && memcmp(key.bytes + 1, name, QP_NAME_MAX) == 0);
    cr_expect_leq(key.size, QP_KEY_BYTES_MAX);
    cr_expect_eq(qp_key_bytes(&key).size, 256);
    cr_expect_eq(qp_key_bytes(&key).data, key.bytes);
    free(name);
}

Test(key, terms_sort_by_kind_then_by_name)
{
    static const char *const names[] = {"a", "a\x01", "aa", "ab", "b", "z", "\xc3\xa4"};
    enum { NAMES = sizeof(names) / sizeof(names[0]) };

    for (int i = 0; i < 3 * NAMES; i++) {
        for (int j = 0; j < 3 * NAMES; j++) {
            const char *a = names[i % NAMES];
            const char *b = names[j % NAMES];
            struct qp_key keys[2];

            qp_key_term(&keys[0], (enum qp_term_kind)(1 + i / NAMES),
                        (struct qp_bytes){a, strlen(a)});
            qp_key_term(&keys[1], (enum qp_term_kind)(1 + j / NAMES),
                        (struct qp_bytes){b, strlen(b)});
            cr_expect_eq(sign(compare(&keys[0], &keys[1])), sign(i - j), "%d and %d", i, j);
        }
    }
}

static const uint64_t numbers[] = {0,
                                   1,
                                   2,
                                   127,
                                   128,
                                   255,
                                   256,
                                   257,
                                   65535,
                                   65536,
                                   UINT64_C(0xffffffff),
                                   UINT64_C(0x100000000),
                                   QP_POSITION_MAX,
                                   UINT64_MAX - 1,
                                   UINT64_MAX};
enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

Test(key, blocks_sort_by_term_then_by_first)
{
    for (int i = 0; i < NUMBERS * NUMBERS; i++) {
        for (int j = 0; j < NUMBERS * NUMBERS; j++) {
            struct qp_key a;
            struct qp_key b;

            qp_key_block(&a, numbers[i / NUMBERS], numbers[i % NUMBERS]);
            qp_key_block(&b, numbers[j / NUMBERS], numbers[j % NUMBERS]);
            cr_assert_eq(sign(compare(&a, &b)), sign(i - j), "%d and %d", i, j);
        }
    }
}

Test(key, chunks_sort_by_position_then_by_number)
{
    enum { SMALL = 11 }; /* those that fit 32 bits */

    for (int i = 0; i < NUMBERS * SMALL; i++) {
        for (int j = 0; j < NUMBERS * SMALL; j++) {
            struct qp_key a;
            struct qp_key b;

            qp_key_chunk(&a, numbers[i / SMALL], (uint32_t)numbers[i % SMALL]);
            qp_key_chunk(&b, numbers[j / SMALL], (uint32_t)numbers[j % SMALL]);
            cr_assert_eq(sign(compare(&a, &b)), sign(i - j), "%d and %d", i, j);
        }
    }
}

Test(key, blocks_and_chunks_to_the_byte)
{
    struct qp_key key;
    uint64_t term = 0;
    uint64_t first = 0;
    uint32_t number = 0;

    qp_key_block(&key, UINT64_C(0x0102030405060708), UINT64_C(0xf1f2f3f4f5f6f7f8));
    support_expect_bytes(key.bytes, key.size,
                         "\x01\x02\x03\x04\x05\x06\x07\x08\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8", 16,
                         "a block");
    cr_expect(qp_key_block_read(qp_key_bytes(&key), &term, &first));
    cr_expect(term == UINT64_C(0x0102030405060708) && first == UINT64_C(0xf1f2f3f4f5f6f7f8));

    qp_key_chunk(&key, UINT64_C(0x0102030405060708), UINT32_C(0xf1f2f3f4));
    support_expect_bytes(key.bytes, key.size, "\x01\x02\x03\x04\x05\x06\x07\x08\xf1\xf2\xf3\xf4",
                         12, "a chunk");
    cr_expect(qp_key_chunk_read(qp_key_bytes(&key), &first, &number));
    cr_expect(first == UINT64_C(0x0102030405060708) && number == UINT32_C(0xf1f2f3f4));
}

Test(key, positions_are_native)
{
    uint64_t position = UINT64_C(0x0102030405060708);
    uint64_t again = 0;
    struct qp_bytes key = qp_key_position(&position);

    support_expect_bytes(key.data, key.size, "\x08\x07\x06\x05\x04\x03\x02\x01", 8, "a position");
    cr_expect(qp_key_position_read(key, &again));
    cr_expect_eq(again, position);
}

Test(key, keys_of_another_size_are_refused)
{
    uint8_t bytes[32] = {0};
    uint64_t a;
    uint64_t b;
    uint32_t c;

    for (size_t size = 0; size <= sizeof(bytes); size++) {
        struct qp_bytes key = {bytes, size};

        cr_expect_eq(qp_key_block_read(key, &a, &b), size == 16, "%zu", size);
        cr_expect_eq(qp_key_chunk_read(key, &a, &c), size == 12, "%zu", size);
        cr_expect_eq(qp_key_position_read(key, &a), size == 8, "%zu", size);
    }
}

/* ---- rows ---- */

Test(key, row_sum_as_written_down)
{
    uint8_t value[20] = "........twelve bytes";
    uint64_t seed = qp_sum("key", 3, QP_TABLE_MARKS);

    qp_row_seal(QP_TABLE_MARKS, QP_LITERAL("key"), value, sizeof(value));
    cr_expect_eq(qp_get_u64(value), qp_sum("twelve bytes", 12, seed));
    cr_expect_eq(memcmp(value + 8, "twelve bytes", 12), 0);
}

Test(key, row_whole_in_its_place_only)
{
    uint8_t value[64] = {0};
    struct qp_bytes row = {value, sizeof(value)};

    for (size_t i = 8; i < sizeof(value); i++)
        value[i] = (uint8_t)i;
    qp_row_seal(QP_TABLE_TERMS, QP_LITERAL("key"), value, sizeof(value));
    cr_expect(qp_row_whole(QP_TABLE_TERMS, QP_LITERAL("key"), row));
    cr_expect_not(qp_row_whole(QP_TABLE_BLOCKS, QP_LITERAL("key"), row));
    cr_expect_not(qp_row_whole(QP_TABLE_TERMS, QP_LITERAL("kez"), row));
    cr_expect_not(qp_row_whole(QP_TABLE_TERMS, QP_LITERAL("key1"), row));
    for (size_t size = 0; size < sizeof(value); size++)
        cr_expect_not(
            qp_row_whole(QP_TABLE_TERMS, QP_LITERAL("key"), (struct qp_bytes){value, size}), "%zu",
            size);
    for (size_t bit = 0; bit < 8 * sizeof(value); bit++) {
        value[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_expect_not(qp_row_whole(QP_TABLE_TERMS, QP_LITERAL("key"), row), "bit %zu", bit);
        value[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_expect(qp_row_whole(QP_TABLE_TERMS, QP_LITERAL("key"), row));
}

Test(key, row_limits)
{
    static uint8_t value[QP_ROW_BYTES_MAX + 1];

    qp_row_seal(QP_TABLE_BLOBS, QP_LITERAL("k"), value, 8);
    cr_expect(qp_row_whole(QP_TABLE_BLOBS, QP_LITERAL("k"), (struct qp_bytes){value, 8}));
    qp_row_seal(QP_TABLE_BLOBS, QP_LITERAL("k"), value, QP_ROW_BYTES_MAX);
    cr_expect(
        qp_row_whole(QP_TABLE_BLOBS, QP_LITERAL("k"), (struct qp_bytes){value, QP_ROW_BYTES_MAX}));
    qp_set_u64(value, qp_sum(value + 8, sizeof(value) - 8, qp_sum("k", 1, QP_TABLE_BLOBS)));
    cr_expect_not(
        qp_row_whole(QP_TABLE_BLOBS, QP_LITERAL("k"), (struct qp_bytes){value, sizeof(value)}),
        "too long, with a right sum");
}

Test(key, little_endian_numbers)
{
    uint8_t bytes[9] = {0};

    qp_set_u64(bytes + 1, UINT64_C(0x0102030405060708));
    cr_expect(bytes[1] == 8 && bytes[8] == 1);
    cr_expect_eq(qp_get_u64(bytes + 1), UINT64_C(0x0102030405060708));
    qp_set_u32(bytes + 1, UINT32_C(0x0a0b0c0d));
    cr_expect(bytes[1] == 0x0d && bytes[4] == 0x0a && bytes[5] == 4);
    cr_expect_eq(qp_get_u32(bytes + 1), UINT32_C(0x0a0b0c0d));
    qp_set_u16(bytes + 1, UINT16_C(0x1234));
    cr_expect(bytes[1] == 0x34 && bytes[2] == 0x12 && bytes[3] == 0x0b);
    cr_expect_eq(qp_get_u16(bytes + 1), UINT16_C(0x1234));
}

/* ---- keys of projections ---- */

Test(key, views_and_parked_to_the_byte)
{
    struct qp_key key;

    qp_key_view(&key, QP_LITERAL("orders"), 0x01020304, QP_LITERAL("k\0y"));
    support_expect_bytes(key.bytes, key.size, "orders\0\1\2\3\4k\0y", 14, "a key of a view");
    qp_key_view(&key, QP_LITERAL("o"), 1, QP_LITERAL(""));
    support_expect_bytes(key.bytes, key.size, "o\0\0\0\0\1", 6, "what all of them begin with");
    qp_key_parked(&key, QP_LITERAL("o"), 2, QP_LITERAL("ab"), UINT64_C(0x0102030405060708));
    support_expect_bytes(key.bytes, key.size, "o\0\0\0\0\2\0\2ab\1\2\3\4\5\6\7\x08", 18, "parked");
    qp_key_parked_of(&key, QP_LITERAL("o"), 2, QP_LITERAL("ab"));
    support_expect_bytes(key.bytes, key.size, "o\0\0\0\0\2\0\2ab", 10, "what begins so");
    qp_key_blob(&key, UINT64_C(0x0102030405060708), 0x090a0b0c);
    support_expect_bytes(key.bytes, key.size, "\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c", 12, "a blob");
    qp_key_mark(&key, QP_MARK_PROJECTION, QP_LITERAL("o"));
    support_expect_bytes(key.bytes, key.size, "\3o", 2, "its row");
}

/* The longest of all fits; a position and the key come out again. */
Test(key, longest_keys_of_projections)
{
    char *name = support_repeat('n', QP_OWNER_NAME_MAX);
    char *longest = support_repeat('\0', QP_VIEW_KEY_MAX);
    struct qp_bytes owner = {name, QP_OWNER_NAME_MAX};
    struct qp_owned_key owned;
    struct qp_bytes view_key;
    struct qp_key key;
    uint64_t position;

    qp_key_parked(&key, owner, UINT32_MAX, (struct qp_bytes){longest, QP_VIEW_KEY_MAX},
                  QP_POSITION_MAX);
    cr_assert_eq(key.size, 127 + 5 + 2 + 255 + 8);
    cr_assert(qp_key_owned_read(qp_key_bytes(&key), &owned));
    support_expect_bytes(owned.name.data, owned.name.size, name, QP_OWNER_NAME_MAX, "name");
    cr_expect_eq(owned.generation, UINT32_MAX);
    cr_assert(qp_key_parked_rest(owned.rest, &view_key, &position));
    support_expect_bytes(view_key.data, view_key.size, longest, QP_VIEW_KEY_MAX, "key");
    cr_expect_eq(position, QP_POSITION_MAX);
    qp_key_view(&key, owner, 7, (struct qp_bytes){longest, QP_VIEW_KEY_MAX});
    cr_assert(qp_key_owned_read(qp_key_bytes(&key), &owned));
    cr_expect(owned.generation == 7 && owned.rest.size == QP_VIEW_KEY_MAX);
    free(name);
    free(longest);
}

Test(key, no_key_of_a_projection)
{
    char *name = support_repeat('n', QP_OWNER_NAME_MAX + 10);
    struct qp_owned_key owned;
    struct qp_bytes view_key;
    uint64_t position;

    cr_expect_not(qp_key_owned_read(QP_LITERAL(""), &owned));
    cr_expect_not(qp_key_owned_read(QP_LITERAL("\0\0\0\0\1k"), &owned), "no name");
    cr_expect_not(qp_key_owned_read(QP_LITERAL("abcdefgh"), &owned), "it has no end");
    for (size_t size = 0; size < 6; size++)
        cr_expect_not(qp_key_owned_read((struct qp_bytes){"a\0\0\0\0\1", size}, &owned), "%zu",
                      size);
    cr_expect(qp_key_owned_read((struct qp_bytes){"a\0\0\0\0\1", 6}, &owned));
    cr_expect_eq(owned.rest.size, 0);
    name[QP_OWNER_NAME_MAX + 1] = '\0';
    cr_expect_not(qp_key_owned_read((struct qp_bytes){name, QP_OWNER_NAME_MAX + 10}, &owned));
    name[QP_OWNER_NAME_MAX] = '\0';
    cr_expect(qp_key_owned_read((struct qp_bytes){name, QP_OWNER_NAME_MAX + 10}, &owned));
    free(name);
    for (size_t size = 0; size <= 12; size++)
        cr_expect_eq(qp_key_parked_rest((struct qp_bytes){"\0\1k\0\0\0\0\0\0\0\5\0", size},
                                        &view_key, &position),
                     size == 11, "%zu", size);
    cr_expect_not(qp_key_parked_rest(QP_LITERAL("\1\0k\0\0\0\0\0\0\0\5"), &view_key, &position));
}

/* Names keep their order, though one begins with another; then generations, then keys. */
Test(key, order_of_views)
{
    static const char *const names[] = {"a", "a\x01", "aa", "b"};
    static const uint32_t generations[] = {0, 1, 255, 256, UINT32_MAX};
    static const char *const keys[] = {"", "a", "a\xff", "b", "\xff"};
    struct qp_key list[100];

    for (size_t i = 0; i < 100; i++)
        qp_key_view(&list[i], (struct qp_bytes){names[i / 25], strlen(names[i / 25])},
                    generations[i / 5 % 5], (struct qp_bytes){keys[i % 5], strlen(keys[i % 5])});
    for (size_t i = 0; i < 100; i++)
        for (size_t j = 0; j < 100; j++)
            cr_expect_eq(sign(compare(&list[i], &list[j])), (i > j) - (i < j), "%zu, %zu", i, j);
}

Test(key, texts_of_a_table)
{
    const char *others[] = {"",
                            "t",
                            "table view",
                            "table views",
                            "table views,",
                            "table viewsx, y",
                            "table meta, row",
                            "views, row"};

    cr_expect_str_eq(qp_table_text(QP_TABLE_VIEWS, "table views, row a: b"), "row a: b");
    cr_expect_str_eq(qp_table_text(QP_TABLE_INDEX_META, "table meta: c"), "c");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        cr_expect_eq(qp_table_text(QP_TABLE_VIEWS, others[i]), others[i], "%s", others[i]);
}
