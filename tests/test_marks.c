/* test_marks.c - marks.c: rows to the byte, their damage, what a later release may have put beside
 * them. marked.c: how they come out through the API, one by its name and as a list. */
#include "handles.h"
#include "marks.h"
#include "row.h"
#include "sum.h"
#include "support_events.h"
#include "support_suite.h"

#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(marks);

static quipu_error why;

/* ---- rows ---- */

static struct qp_store *log_store;
static struct qp_txn txn;

static void begin_rows(void)
{
    log_store = support_open_log("log.mdb", 16 * QP_MIB);
    txn = (struct qp_txn){0};
    cr_assert_eq(qp_txn_begin_write(log_store, &txn, NULL), QUIPU_OK);
}

static void end_rows(void)
{
    qp_txn_end(&txn);
    qp_store_close(log_store);
}

static void put(enum qp_mark_kind kind, const char *name, uint64_t number, int64_t changed_ns)
{
    const struct qp_mark mark = {number, changed_ns};

    cr_assert_eq(qp_marks_put(&txn, kind, (struct qp_bytes){name, strlen(name)}, &mark, NULL),
                 QUIPU_OK);
}

static int get(enum qp_mark_kind kind, const char *name, struct qp_mark *mark)
{
    return qp_marks_get(&txn, kind, (struct qp_bytes){name, strlen(name)}, mark, &why);
}

Test(marks, there_and_back)
{
    static const struct qp_mark values[] = {
        {0, 0}, {1, -1}, {QP_POSITION_MAX, INT64_MIN}, {UINT64_MAX, INT64_MAX}};
    char *longest = support_repeat('n', QP_OWNER_NAME_MAX);
    struct qp_mark mark;

    begin_rows();
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        put(QP_MARK_POSITION, longest, values[i].number, values[i].changed_ns);
        put(QP_MARK_SOURCE, longest, i, 7);
        cr_assert_eq(get(QP_MARK_POSITION, longest, &mark), QUIPU_ROW);
        cr_expect(mark.number == values[i].number && mark.changed_ns == values[i].changed_ns);
        cr_assert_eq(get(QP_MARK_SOURCE, longest, &mark), QUIPU_ROW, "of one name, two things");
        cr_expect(mark.number == i && mark.changed_ns == 7);
    }
    cr_expect_eq(get(QP_MARK_POSITION, longest + 1, &mark), QUIPU_OK, "a name that begins so");
    cr_expect_eq(get(QP_MARK_SOURCE, "n", &mark), QUIPU_OK);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_MARKS), 2);
    end_rows();
    free(longest);
}

Test(marks, to_the_byte)
{
    struct qp_bytes value = {0};

    begin_rows();
    put(QP_MARK_POSITION, "sync", UINT64_C(0x0102030405060708), -2);
    put(QP_MARK_SOURCE, "sync", 1, 0);
    cr_assert_eq(qp_get(&txn, QP_TABLE_MARKS, QP_LITERAL("\1sync"), &value, NULL), QUIPU_ROW);
    support_expect_bytes((const char *)value.data + 8, value.size - 8,
                         "\x08\x07\x06\x05\x04\x03\x02\x01\xfe\xff\xff\xff\xff\xff\xff\xff", 16,
                         "a mark");
    cr_expect(qp_row_whole(QP_TABLE_MARKS, QP_LITERAL("\1sync"), value));
    cr_assert_eq(qp_get(&txn, QP_TABLE_MARKS, QP_LITERAL("\2sync"), &value, NULL), QUIPU_ROW);
    support_expect_bytes((const char *)value.data + 8, value.size - 8,
                         "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, "a source");
    end_rows();
}

/* Each bit of a row, and other sizes. */
Test(marks, damaged_rows)
{
    struct qp_bytes value = {0};
    struct qp_mark mark;
    uint8_t copy[QP_MARK_ROW_BYTES + 1] = {0};

    begin_rows();
    put(QP_MARK_POSITION, "a", 77, 88);
    cr_assert_eq(qp_get(&txn, QP_TABLE_MARKS, QP_LITERAL("\1a"), &value, NULL), QUIPU_ROW);
    memcpy(copy, value.data, QP_MARK_ROW_BYTES);
    for (unsigned bit = 0; bit < 8 * QP_MARK_ROW_BYTES; bit++) {
        copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cr_assert_eq(qp_put(&txn, QP_TABLE_MARKS, QP_LITERAL("\1a"),
                            (struct qp_bytes){copy, QP_MARK_ROW_BYTES}, NULL),
                     QUIPU_OK);
        cr_expect_eq(get(QP_MARK_POSITION, "a", &mark), QUIPU_CORRUPT, "bit %u", bit);
        copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t size = QP_MARK_ROW_BYTES - 1; size <= QP_MARK_ROW_BYTES + 1; size += 2) {
        cr_assert_eq(qp_put_row(&txn, QP_TABLE_MARKS, QP_LITERAL("\1a"), copy, size, NULL), 0);
        cr_expect_eq(get(QP_MARK_POSITION, "a", &mark), QUIPU_CORRUPT, "%zu bytes", size);
        cr_expect_eq(why.status, QUIPU_CORRUPT);
    }
    end_rows();
}

/* As a walk meets them: kinds that nobody knows are passed over. */
Test(marks, rows_of_a_walk)
{
    static const struct {
        const char *key;
        size_t size;
        bool ours;
    } keys[] = {
        {"\1a", 2, true},
        {"\2bc", 3, true},
        {"\0a", 2, false},
        {"\3a", 2, false},
        {"\xff"
         "a",
         2, false},
        {"\1", 1, false},
        {"", 0, false},
    };
    uint8_t value[QP_MARK_ROW_BYTES] = {0};
    char *longest = support_repeat('\1', QP_OWNER_NAME_MAX + 2);
    struct qp_bytes row = {value, sizeof(value)};
    enum qp_mark_kind kind;
    struct qp_bytes name;
    struct qp_mark mark;
    bool whole;

    value[8] = 5;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct qp_bytes key = {keys[i].key, keys[i].size};

        cr_expect_eq(qp_marks_read(key, row, &kind, &name, &mark, &whole), keys[i].ours, "%zu", i);
        if (!keys[i].ours)
            continue;
        cr_expect_not(whole, "its sum is 0");
        cr_expect_eq(kind, keys[i].key[0]);
        cr_expect(name.size == keys[i].size - 1 && mark.number == 0);
    }
    cr_expect(qp_marks_read((struct qp_bytes){longest, QP_OWNER_NAME_MAX + 1}, row, &kind, &name,
                            &mark, &whole));
    cr_expect_not(qp_marks_read((struct qp_bytes){longest, QP_OWNER_NAME_MAX + 2}, row, &kind,
                                &name, &mark, &whole));
    free(longest);
}

/* ---- through the API ---- */

static quipu *open_store(void)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &store, &why), QUIPU_OK, "%s",
                 why.text);
    return store;
}

static int set(quipu *store, char kind, const char *name, uint64_t number)
{
    quipu_batch *batch = quipu_batch_new();
    int rc;

    if (kind == 'm')
        (void)quipu_batch_mark(batch, name, number);
    else
        (void)quipu_batch_track(batch, name, number);
    rc = quipu_commit(store, batch, NULL, &why);
    quipu_batch_free(batch);
    return rc;
}

Test(marks, one_by_its_name)
{
    char *longest = support_repeat('n', QP_OWNER_NAME_MAX + 1);
    quipu *store = open_store();
    uint64_t number = 99;

    cr_expect_eq(quipu_mark_get(store, "m", &number, &why), QUIPU_NOT_FOUND);
    cr_expect_not_null(strstr(why.text, "m"));
    cr_expect_eq(quipu_tracked_get(store, "m", &number, &why), QUIPU_NOT_FOUND);
    cr_expect_eq(number, 99, "it is left alone");
    cr_assert_eq(set(store, 'm', "m", 0), QUIPU_OK);
    cr_expect_eq(quipu_mark_get(store, "m", &number, &why), QUIPU_OK, "0 is a position too");
    cr_expect_eq(number, 0);
    cr_expect_eq(quipu_tracked_get(store, "m", &number, &why), QUIPU_NOT_FOUND);
    cr_assert_eq(set(store, 't', "m", UINT64_MAX), QUIPU_OK);
    cr_assert_eq(set(store, 'm', "m", 12), QUIPU_OK);
    quipu_close(store);
    store = open_store();
    cr_expect(quipu_mark_get(store, "m", &number, NULL) == QUIPU_OK && number == 12);
    cr_expect(quipu_tracked_get(store, "m", &number, NULL) == QUIPU_OK && number == UINT64_MAX);
    cr_expect_eq(quipu_mark_get(store, "", &number, &why), QUIPU_INVALID);
    cr_expect_eq(quipu_mark_get(store, NULL, &number, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_mark_get(store, "m", NULL, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_tracked_get(store, "a\n", &number, &why), QUIPU_INVALID);
    cr_expect_eq(quipu_tracked_get(store, longest, &number, &why), QUIPU_TOO_LARGE);
    cr_expect_eq(quipu_tracked_get(store, longest + 1, &number, &why), QUIPU_NOT_FOUND);
    cr_expect_eq(quipu_tracked_get(NULL, "m", &number, &why), QUIPU_MISUSE);
    {
        quipu_list *list = NULL;

        cr_expect_eq(quipu_list_open(store, QUIPU_LIST_MARKS, longest, &list, &why),
                     QUIPU_TOO_LARGE, "a prefix that no name has");
        cr_expect_null(list);
        cr_expect_eq(quipu_list_open(store, QUIPU_LIST_MARKS, longest + 1, &list, &why), QUIPU_OK);
        quipu_list_close(list);
    }
    quipu_close(store);
    free(longest);
}

/* By their bytes, marks first; how far each is behind. */
Test(marks, list)
{
    static const struct {
        const char *name;
        const char *text;
        uint64_t number;
        uint64_t lag;
    } should[] = {
        {"a", "mark", 0, 5},
        {"a-1", "mark", 3, 2},
        {"b", "mark", 5, 0},
        {"c", "mark", 9, 0},
        {"a", "source", 77, 0},
        {"a-2", "source", 0, 0},
        {"z", "source", UINT64_MAX, 0},
    };
    static const char *const prefixes[] = {NULL, "", "a", "a-", "z", "zz"};
    const quipu_draft drafts[5] = {
        {.type = "t"}, {.type = "t"}, {.type = "t"}, {.type = "t"}, {.type = "t"}};
    quipu *store = open_store();
    quipu_list *list;
    quipu_item item;

    cr_assert_eq(quipu_append(store, "s", QUIPU_NEW, drafts, 5, NULL, &why), QUIPU_OK);
    for (size_t i = sizeof(should) / sizeof(should[0]); i-- > 0;)
        cr_assert_eq(
            set(store, should[i].text[0] == 'm' ? 'm' : 't', should[i].name, should[i].number),
            QUIPU_OK);
    for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++) {
        const char *prefix = prefixes[p] != NULL ? prefixes[p] : "";

        cr_assert_eq(quipu_list_open(store, QUIPU_LIST_MARKS, prefixes[p], &list, &why), QUIPU_OK);
        for (size_t i = 0; i < sizeof(should) / sizeof(should[0]); i++) {
            if (strncmp(should[i].name, prefix, strlen(prefix)) != 0)
                continue;
            cr_assert_eq(quipu_list_next(list, &item, &why), QUIPU_ROW, "%zu", i);
            cr_expect_str_eq(item.name, should[i].name);
            cr_expect_str_eq(item.text, should[i].text);
            cr_expect(item.mark == should[i].number && item.lag == should[i].lag, "%zu", i);
            cr_expect_gt(item.last_time_ns, 0);
        }
        cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_OK, "no more of %s", prefix);
        quipu_list_close(list);
    }
    quipu_close(store);
}

/* The same number again writes nothing: not the row, and alone no transaction. */
Test(marks, an_equal_one_changes_nothing)
{
    const quipu_draft draft = {.type = "t"};
    quipu *store = open_store();
    quipu_batch *batch = quipu_batch_new();
    quipu_list *list;
    quipu_item item;
    uint64_t before;
    int64_t changed_ns;

    cr_assert_eq(set(store, 'm', "m", 5), QUIPU_OK);
    cr_assert_eq(quipu_list_open(store, QUIPU_LIST_MARKS, NULL, &list, &why), QUIPU_OK);
    cr_assert_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
    changed_ns = item.last_time_ns;
    quipu_list_close(list);
    before = qp_txn_newest(store->handle->log);
    cr_assert_eq(set(store, 'm', "m", 5), QUIPU_OK);
    cr_expect_eq(set(store, 'm', "m", 4), QUIPU_CONFLICT);
    cr_expect_eq(qp_txn_newest(store->handle->log), before);
    (void)quipu_batch_append(batch, "s", QUIPU_ANY, &draft, 1);
    (void)quipu_batch_mark(batch, "m", 5);
    cr_assert_eq(quipu_commit(store, batch, NULL, &why), QUIPU_OK);
    quipu_batch_free(batch);
    cr_assert_eq(quipu_list_open(store, QUIPU_LIST_MARKS, NULL, &list, &why), QUIPU_OK);
    cr_assert_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
    cr_expect_eq(item.last_time_ns, changed_ns);
    quipu_list_close(list);
    cr_assert_eq(set(store, 'm', "m", 6), QUIPU_OK);
    cr_expect_eq(qp_txn_newest(store->handle->log), before + 2);
    quipu_close(store);
}

static void put_raw(quipu *store, const char *key, size_t key_size, const void *bytes, size_t size)
{
    struct qp_txn raw = {0};
    enum qp_commit_outcome outcome;

    cr_assert_eq(qp_txn_begin_write(store->handle->log, &raw, NULL), QUIPU_OK);
    cr_assert_eq(qp_put(&raw, QP_TABLE_MARKS, (struct qp_bytes){key, key_size},
                        (struct qp_bytes){bytes, size}, NULL),
                 QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&raw, &outcome, NULL), QUIPU_OK);
}

/* One that is damaged is told by its name, and its batch alone is refused; a kind of a later
 * release is passed over. */
Test(marks, damaged_and_unknown)
{
    static const uint8_t zeroes[QP_MARK_ROW_BYTES];
    quipu *store = open_store();
    const quipu_draft draft = {.type = "t"};
    quipu_batch *batch = quipu_batch_new();
    quipu_list *list;
    quipu_item item;
    uint64_t number = 0;

    cr_assert_eq(set(store, 'm', "a", 1), QUIPU_OK);
    cr_assert_eq(set(store, 'm', "c", 3), QUIPU_OK);
    put_raw(store, "\1b", 2, zeroes, sizeof(zeroes));
    put_raw(store, "\3c", 2, zeroes, sizeof(zeroes));
    cr_expect_eq(quipu_mark_get(store, "b", &number, &why), QUIPU_CORRUPT);
    cr_assert_eq(quipu_list_open(store, QUIPU_LIST_MARKS, NULL, &list, &why), QUIPU_OK);
    cr_expect(quipu_list_next(list, &item, &why) == QUIPU_ROW && item.mark == 1);
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_CORRUPT);
    cr_expect_str_eq(item.name, "b");
    cr_expect(quipu_list_next(list, &item, &why) == QUIPU_ROW && item.mark == 3);
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_OK);
    quipu_list_close(list);
    cr_expect_eq(set(store, 'm', "b", 9), QUIPU_CORRUPT);
    (void)quipu_batch_append(batch, "s", QUIPU_NEW, &draft, 1);
    (void)quipu_batch_mark(batch, "b", 9);
    cr_expect_eq(quipu_commit(store, batch, NULL, &why), QUIPU_CORRUPT);
    quipu_batch_free(batch);
    cr_expect_eq(quipu_append(store, "s", QUIPU_NEW, &draft, 1, NULL, &why), QUIPU_OK);
    quipu_close(store);
}

/* A mark moves with its batch, or not at all. */
Test(marks, with_their_batch)
{
    const quipu_draft draft = {.type = "t"};
    quipu *store = open_store();
    quipu_batch *batch = quipu_batch_new();
    uint64_t number = 0;

    for (uint64_t i = 0; i < 3; i++) {
        quipu_batch_clear(batch);
        (void)quipu_batch_append(batch, "s", i == 1 ? 7 : i / 2, &draft, 1);
        (void)quipu_batch_mark(batch, "m", 10 + i);
        (void)quipu_batch_track(batch, "t", 20 + i);
        cr_expect_eq(quipu_commit(store, batch, NULL, &why), i == 1 ? QUIPU_CONFLICT : QUIPU_OK);
        cr_expect_eq(quipu_mark_get(store, "m", &number, &why), QUIPU_OK);
        cr_expect_eq(number, i == 1 ? 10 : 10 + i);
        cr_expect_eq(quipu_tracked_get(store, "t", &number, &why), QUIPU_OK);
        cr_expect_eq(number, i == 1 ? 20 : 20 + i);
    }
    quipu_batch_free(batch);
    quipu_close(store);
}
