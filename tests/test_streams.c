/* test_streams.c - streams.c: the one rule of what is seen, with rows put by hand. */
#include "row.h"
#include "streams.h"
#include "support_events.h"
#include "support_suite.h"

#include <stdlib.h>
#include <string.h>

static struct qp_store *store;
static struct qp_txn txn;

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

TestSuite(streams, .init = begin, .fini = end);

static bool visible(const char *stream, uint64_t version)
{
    bool seen = false;

    cr_assert_eq(qp_streams_visible(&txn, qp_streams_any(&txn),
                                    (struct qp_bytes){stream, strlen(stream)}, version, &seen,
                                    NULL),
                 QUIPU_OK);
    return seen;
}

static void put(const char *stream, uint64_t first_kept, uint32_t flags)
{
    const struct qp_stream_row row = {.first_kept = first_kept, .flags = flags};

    cr_assert_eq(qp_streams_put(&txn, (struct qp_bytes){stream, strlen(stream)}, &row, NULL),
                 QUIPU_OK);
}

Test(streams, without_rows_all_is_seen)
{
    cr_expect_not(qp_streams_any(&txn));
    cr_expect(visible("a", 1));
    cr_expect(visible("a", QP_POSITION_MAX));
}

Test(streams, first_kept)
{
    static const struct {
        uint64_t first_kept;
        uint64_t version;
        bool seen;
    } cases[] = {
        {0, 1, true},  {1, 1, true}, {2, 1, false}, {2, 2, true},
        {7, 6, false}, {7, 7, true}, {7, 8, true},  {UINT64_MAX, QP_POSITION_MAX, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put("a", cases[i].first_kept, 0);
        cr_expect_eq(visible("a", cases[i].version), cases[i].seen, "case %zu", i);
        cr_expect(visible("b", 1), "another stream");
        cr_expect(visible("aa", 1));
    }
    cr_expect(qp_streams_any(&txn));
}

Test(streams, row_there_and_back)
{
    const struct qp_stream_row row = {.first_kept = UINT64_C(0x0102030405060708),
                                      .flags = QP_STREAM_DELETED | QP_STREAM_TOMBSTONED};
    struct qp_stream_row again = {0};
    struct qp_bytes value;

    cr_assert_eq(qp_streams_put(&txn, QP_LITERAL("order-42"), &row, NULL), QUIPU_OK);
    cr_assert_eq(qp_streams_get(&txn, true, QP_LITERAL("order-42"), &again, NULL), QUIPU_ROW);
    cr_expect(again.first_kept == row.first_kept && again.flags == row.flags);
    cr_expect_eq(qp_streams_get(&txn, true, QP_LITERAL("order-43"), &again, NULL), QUIPU_OK);
    cr_assert_eq(qp_get(&txn, QP_TABLE_STREAMS, QP_LITERAL("order-42"), &value, NULL), QUIPU_ROW);
    support_expect_bytes((const char *)value.data + 8, value.size - 8,
                         "\x08\x07\x06\x05\x04\x03\x02\x01\x03\0\0\0\0\0\0\0", 16, "to the byte");
}

/* An owner hides nothing, and stands beside what does. */
Test(streams, owners)
{
    char *longest = support_repeat('o', QP_OWNER_NAME_MAX);
    const struct qp_bytes owners[] = {{"orders", 6}, {longest, QP_OWNER_NAME_MAX}, {"", 0}};
    struct qp_stream_row row = {0};
    struct qp_bytes value;

    for (size_t i = 0; i < 3; i++) {
        const struct qp_stream_row owned = {.first_kept = i, .flags = 1, .owner = owners[i]};

        cr_assert_eq(qp_streams_put(&txn, QP_LITERAL("made-1"), &owned, NULL), QUIPU_OK);
        cr_assert_eq(qp_streams_get(&txn, true, QP_LITERAL("made-1"), &row, NULL), QUIPU_ROW);
        cr_expect(row.first_kept == i && row.flags == 1, "%zu", i);
        support_expect_bytes(row.owner.data, row.owner.size, owners[i].data, owners[i].size, "%zu",
                             i);
        cr_expect_eq(visible("made-1", 1), i < 2, "%zu", i);
        if (i > 0)
            continue;
        cr_assert_eq(qp_get(&txn, QP_TABLE_STREAMS, QP_LITERAL("made-1"), &value, NULL), QUIPU_ROW);
        support_expect_bytes((const char *)value.data + 8, value.size - 8,
                             "\0\0\0\0\0\0\0\0\1\0\0\0\6\0\0\0orders", 22, "to the byte");
    }
    free(longest);
}

Test(streams, who_knows_the_table_is_empty_does_not_look)
{
    struct qp_stream_row row = {0};

    put("a", 9, 0);
    cr_expect_eq(qp_streams_get(&txn, false, QP_LITERAL("a"), &row, NULL), QUIPU_OK);
}

Test(streams, damaged_rows)
{
    uint8_t value[QP_STREAM_ROW_BYTES + 1] = {0};
    struct qp_stream_row row;
    bool seen;
    quipu_error error = {0};

    cr_assert_eq(qp_put_row(&txn, QP_TABLE_STREAMS, QP_LITERAL("long"), value, 25, NULL), QUIPU_OK);
    cr_assert_eq(qp_put_row(&txn, QP_TABLE_STREAMS, QP_LITERAL("short"), value, 23, NULL),
                 QUIPU_OK);
    value[20] = 2;
    cr_assert_eq(qp_put_row(&txn, QP_TABLE_STREAMS, QP_LITERAL("owner"), value, 25, NULL),
                 QUIPU_OK);
    cr_expect_eq(qp_streams_get(&txn, true, QP_LITERAL("owner"), &row, &error), QUIPU_CORRUPT);
    memset(value + 20, 0xff, 4);
    cr_assert_eq(qp_put_row(&txn, QP_TABLE_STREAMS, QP_LITERAL("owner"), value, 25, NULL),
                 QUIPU_OK);
    cr_expect_eq(qp_streams_get(&txn, true, QP_LITERAL("owner"), &row, &error), QUIPU_CORRUPT);
    cr_assert_eq(qp_put(&txn, QP_TABLE_STREAMS, QP_LITERAL("sum"),
                        (struct qp_bytes){value, QP_STREAM_ROW_BYTES}, NULL),
                 QUIPU_OK);
    cr_expect_eq(qp_streams_get(&txn, true, QP_LITERAL("long"), &row, &error), QUIPU_CORRUPT);
    cr_expect_eq(qp_streams_get(&txn, true, QP_LITERAL("short"), &row, &error), QUIPU_CORRUPT);
    cr_expect_eq(qp_streams_get(&txn, true, QP_LITERAL("sum"), &row, &error), QUIPU_CORRUPT);
    cr_expect_eq(qp_streams_visible(&txn, true, QP_LITERAL("sum"), 1, &seen, &error),
                 QUIPU_CORRUPT);
    cr_expect_eq(error.status, QUIPU_CORRUPT);
}
