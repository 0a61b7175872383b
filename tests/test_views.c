/* test_views.c - views.c and its keys: where the rows of views stand, in which order, and parked
 * events there and back. */
#include "key.h"
#include "row.h"
#include "support_events.h"
#include "support_suite.h"
#include "views.h"

#include <stdlib.h>
#include <string.h>

static struct qp_store *store;
static struct qp_txn txn;
static quipu_error why;

static void begin(void)
{
    support_begin();
    store = support_open_log("log.mdb", 16 * QP_MIB);
    txn = (struct qp_txn){0};
    if (qp_txn_begin_write(store, &txn, NULL) < 0)
        abort();
}

static void end(void)
{
    qp_txn_end(&txn);
    qp_store_close(store);
    support_suite_end();
}

TestSuite(views, .init = begin, .fini = end);

static struct qp_view_place place_of(const char *name, uint32_t generation)
{
    return (struct qp_view_place){{name, strlen(name)}, generation};
}

/* ---- views ---- */

static void put(const struct qp_view_place *place, struct qp_bytes key, struct qp_bytes value)
{
    struct qp_key at;

    qp_key_view(&at, place->name, place->generation, key);
    cr_assert_eq(
        qp_blobs_put(&txn, &qp_view_home, qp_key_bytes(&at), (struct qp_bytes){0}, value, &why),
        QUIPU_OK, "%s", why.text);
}

/* Names that begin with each other, generations, keys: each has its own value. */
Test(views, each_has_its_own)
{
    static const char *const names[] = {"a", "aa", "a\x01", "b"};
    static const uint32_t generations[] = {1, 2, 256, UINT32_MAX};
    char *longest = support_repeat('\xff', QP_VIEW_KEY_MAX);
    const struct qp_bytes keys[] = {
        QP_LITERAL("k"), QP_LITERAL("\0"), QP_LITERAL("kk"), {longest, QP_VIEW_KEY_MAX}};
    struct qp_buffer assembly = {0};
    struct qp_bytes value;

    for (size_t i = 0; i < 64; i++) {
        struct qp_view_place place = place_of(names[i % 4], generations[i / 4 % 4]);

        put(&place, keys[i / 16], (struct qp_bytes){&i, sizeof(i)});
    }
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_VIEWS), 64);
    for (size_t i = 0; i < 64; i++) {
        struct qp_view_place place = place_of(names[i % 4], generations[i / 4 % 4]);

        cr_assert_eq(qp_views_get(&txn, &place, keys[i / 16], &assembly, &value, &why), QUIPU_ROW);
        support_expect_bytes(value.data, value.size, &i, sizeof(i), "%zu", i);
        place.generation--;
        if (i / 4 % 4 != 1)
            cr_expect_eq(qp_views_get(&txn, &place, keys[i / 16], &assembly, &value, &why),
                         QUIPU_OK, "%zu", i);
    }
    qp_buffer_release(&assembly);
    free(longest);
}

/* Both tables, as the walk over them needs it: name, generation, key. */
Test(views, order_of_rows)
{
    static const struct {
        const char *name;
        uint32_t generation;
        const char *key;
    } rows[] = {{"a", 1, "z"},   {"a", 2, "a"},  {"a", 2, "ab"}, {"a", 2, "b"},
                {"a", 256, "a"}, {"aa", 1, "a"}, {"b", 1, "a"},  {"b", UINT32_MAX, "a"}};
    struct qp_cursor cursor = {0};
    struct qp_bytes key;
    struct qp_bytes value;

    for (size_t i = 8; i-- > 0;) {
        struct qp_view_place place = place_of(rows[i].name, rows[i].generation);

        put(&place, (struct qp_bytes){rows[i].key, strlen(rows[i].key)}, (struct qp_bytes){&i, 1});
    }
    cr_assert_eq(qp_cursor_open(&cursor, &txn, QP_TABLE_VIEWS, NULL), QUIPU_OK);
    for (size_t i = 0; i < 8; i++) {
        struct qp_owned_key owned;

        cr_assert_eq(qp_cursor_seek(&cursor, i == 0 ? QP_FIRST : QP_NEXT, &key, &value, NULL),
                     QUIPU_ROW);
        cr_assert(qp_key_owned_read(key, &owned));
        support_expect_bytes(owned.name.data, owned.name.size, rows[i].name, strlen(rows[i].name),
                             "%zu", i);
        cr_expect_eq(owned.generation, rows[i].generation, "%zu", i);
        support_expect_bytes(owned.rest.data, owned.rest.size, rows[i].key, strlen(rows[i].key),
                             "%zu", i);
    }
    qp_cursor_close(&cursor);
}

/* ---- parked events ---- */

static const struct qp_parked sample = {
    .flags = QP_PARKED_FAILED | QP_PARKED_UNKEYED,
    .attempts = 0x01020304,
    .first_ns = INT64_C(0x1112131415161718),
    .last_ns = -2,
    .status = -7,
    .part = 0x21222324,
    .reason = {"why", 3},
};

static void park_at(const struct qp_view_place *place, struct qp_bytes key, uint64_t position,
                    const struct qp_parked *parked)
{
    uint8_t row[QP_PARKED_ROW_BYTES_MAX];
    struct qp_key at;

    qp_key_parked(&at, place->name, place->generation, key, position);
    cr_assert_eq(qp_put_row(&txn, QP_TABLE_PARKED, qp_key_bytes(&at), row,
                            qp_parked_write(parked, row), NULL),
                 QUIPU_OK);
}

Test(views, parked_to_the_byte)
{
    uint8_t row[QP_PARKED_ROW_BYTES_MAX];
    size_t size = qp_parked_write(&sample, row);

    support_expect_bytes(row, size,
                         "\0\0\0\0\0\0\0\0\5\0\0\0\4\3\2\1\x18\x17\x16\x15\x14\x13\x12\x11"
                         "\xfe\xff\xff\xff\xff\xff\xff\xff\xf9\xff\xff\xff\x24\x23\x22\x21"
                         "\3\0\0\0why",
                         47, "%zu bytes", size);
}

static void expect_parked(const struct qp_parked *got, struct qp_bytes key, uint64_t position,
                          const struct qp_parked *wanted)
{
    support_expect_bytes(got->key.data, got->key.size, key.data, key.size, "key");
    cr_expect_eq(got->position, position);
    cr_expect(got->flags == wanted->flags && got->attempts == wanted->attempts &&
              got->first_ns == wanted->first_ns && got->last_ns == wanted->last_ns &&
              got->status == wanted->status && got->part == wanted->part);
    cr_expect_eq(got->reason.size, wanted->reason.size);
    cr_expect(wanted->reason.size == 0 ||
              memcmp(got->reason.data, wanted->reason.data, wanted->reason.size) == 0);
}

Test(views, parked_there_and_back)
{
    char *longest = support_repeat('k', QP_VIEW_KEY_MAX);
    char *reason = support_repeat('r', QP_PARKED_REASON_BYTES);
    const struct qp_view_place place = place_of("p", 3);
    const struct qp_bytes keys[] = {QP_LITERAL("a"), QP_LITERAL("\0"), {longest, QP_VIEW_KEY_MAX}};
    const struct qp_parked rows[] = {
        sample, {.status = 0}, {.flags = 7, .reason = {reason, QP_PARKED_REASON_BYTES}}};
    struct qp_cursor cursor = {0};
    struct qp_parked parked;

    for (size_t i = 0; i < 3; i++)
        park_at(&place, keys[i], i == 0 ? 1 : QP_POSITION_MAX, &rows[i]);
    cr_assert_eq(qp_cursor_open(&cursor, &txn, QP_TABLE_PARKED, NULL), QUIPU_OK);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(qp_parked_first(&cursor, &place, keys[i], &parked, &why), QUIPU_ROW, "%s",
                     why.text);
        expect_parked(&parked, keys[i], i == 0 ? 1 : QP_POSITION_MAX, &rows[i]);
    }
    qp_cursor_close(&cursor);
    free(longest);
    free(reason);
}

/* The oldest of a key; no other key's, whatever begins with it, no other generation's or name's. */
Test(views, the_first_of_a_key)
{
    const struct qp_view_place place = place_of("p", 3);
    const struct qp_view_place others[] = {place_of("p", 2), place_of("p", 4), place_of("pp", 3),
                                           place_of("o", 3)};
    static const uint64_t positions[] = {256, 70000, 255, 9};
    struct qp_cursor cursor = {0};
    struct qp_parked parked;

    for (size_t i = 0; i < 4; i++) {
        park_at(&others[i], QP_LITERAL("k"), 1, &sample);
        park_at(&others[i], QP_LITERAL("only"), 1, &sample);
        park_at(&place, QP_LITERAL("k"), positions[i], &sample);
    }
    park_at(&place, QP_LITERAL("kk"), 2, &sample);
    park_at(&place, QP_LITERAL("j"), 3, &sample);
    cr_assert_eq(qp_cursor_open(&cursor, &txn, QP_TABLE_PARKED, NULL), QUIPU_OK);
    cr_assert_eq(qp_parked_first(&cursor, &place, QP_LITERAL("k"), &parked, &why), QUIPU_ROW);
    cr_expect_eq(parked.position, 9);
    cr_assert_eq(qp_parked_first(&cursor, &place, QP_LITERAL("kk"), &parked, &why), QUIPU_ROW);
    cr_expect_eq(parked.position, 2);
    cr_expect_eq(qp_parked_first(&cursor, &place, QP_LITERAL("only"), &parked, &why), QUIPU_OK);
    cr_expect_eq(qp_parked_first(&cursor, &place, QP_LITERAL("i"), &parked, &why), QUIPU_OK);
    cr_expect_eq(qp_parked_first(&cursor, &place, QP_LITERAL("kkk"), &parked, &why), QUIPU_OK);
    qp_cursor_close(&cursor);
}

/* All of a generation: shorter keys first, as their size stands before them. */
Test(views, all_of_a_generation)
{
    static const struct {
        const char *key;
        uint64_t position;
    } rows[] = {{"a", 5}, {"b", 1}, {"b", 300}, {"aa", 2}, {"ab", 1}};
    const struct qp_view_place place = place_of("p", 3);
    const struct qp_view_place before = place_of("p", 2);
    const struct qp_view_place behind = place_of("p", 4);
    struct qp_cursor cursor = {0};
    struct qp_parked parked;

    cr_assert_eq(qp_cursor_open(&cursor, &txn, QP_TABLE_PARKED, NULL), QUIPU_OK);
    cr_expect_eq(qp_parked_begin(&cursor, &place, &parked, &why), QUIPU_OK);
    qp_cursor_close(&cursor);
    park_at(&before, QP_LITERAL("zz"), 9, &sample);
    park_at(&behind, QP_LITERAL("a"), 1, &sample);
    for (size_t i = 5; i-- > 0;)
        park_at(&place, (struct qp_bytes){rows[i].key, strlen(rows[i].key)}, rows[i].position,
                &sample);
    cr_assert_eq(qp_cursor_open(&cursor, &txn, QP_TABLE_PARKED, NULL), QUIPU_OK);
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(i == 0 ? qp_parked_begin(&cursor, &place, &parked, &why)
                            : qp_parked_next(&cursor, &place, &parked, &why),
                     QUIPU_ROW);
        support_expect_bytes(parked.key.data, parked.key.size, rows[i].key, strlen(rows[i].key),
                             "%zu", i);
        cr_expect_eq(parked.position, rows[i].position);
    }
    cr_expect_eq(qp_parked_next(&cursor, &place, &parked, &why), QUIPU_OK);
    qp_cursor_close(&cursor);
}

/* ---- damage ---- */

/* With a right sum or without one, under a key that can be or not. */
static int read_spoiled(struct qp_bytes rest, size_t size, uint32_t reason, bool sum)
{
    const struct qp_view_place place = place_of("p", 3);
    struct qp_cursor cursor = {0};
    struct qp_parked parked;
    uint8_t row[64] = {0};
    struct qp_key key;
    int rc;

    qp_key_view(&key, place.name, place.generation, rest);
    qp_set_u32(row + 40, reason);
    if (sum)
        qp_row_seal(QP_TABLE_PARKED, qp_key_bytes(&key), row, size);
    cr_assert_eq(
        qp_put(&txn, QP_TABLE_PARKED, qp_key_bytes(&key), (struct qp_bytes){row, size}, NULL),
        QUIPU_OK);
    why = (quipu_error){0};
    cr_assert_eq(qp_cursor_open(&cursor, &txn, QP_TABLE_PARKED, NULL), QUIPU_OK);
    rc = qp_parked_begin(&cursor, &place, &parked, &why);
    qp_cursor_close(&cursor);
    cr_assert_eq(qp_delete(&txn, QP_TABLE_PARKED, qp_key_bytes(&key), NULL), QUIPU_ROW);
    return rc;
}

Test(views, parked_and_damaged)
{
    const struct qp_bytes good = QP_LITERAL("\0\1k\0\0\0\0\0\0\0\5");
    const struct qp_bytes keys[] = {QP_LITERAL("\0\2k\0\0\0\0\0\0\0\5"),
                                    QP_LITERAL("\0\0k\0\0\0\0\0\0\0\5"),
                                    QP_LITERAL("\0\1k\0\0\0\0\0\0\0"), QP_LITERAL("\0")};

    cr_expect_eq(read_spoiled(good, 44, 0, true), QUIPU_ROW);
    cr_expect_eq(read_spoiled(good, 50, 6, true), QUIPU_ROW);
    cr_expect_eq(read_spoiled(good, 44, 0, false), QUIPU_CORRUPT);
    cr_expect_not_null(strstr(why.text, "table parked, row p"), "%s", why.text);
    cr_expect_eq(read_spoiled(good, 43, 0, true), QUIPU_CORRUPT);
    cr_expect_eq(read_spoiled(good, 50, 7, true), QUIPU_CORRUPT);
    cr_expect_eq(read_spoiled(good, 50, UINT32_MAX, true), QUIPU_CORRUPT);
    for (size_t i = 0; i < 4; i++)
        cr_expect_eq(read_spoiled(keys[i], 44, 0, true), QUIPU_CORRUPT, "key %zu", i);
}
