/* test_sheet.c - sheet.c: a page's writes over a view, undone by event, and what of them comes out
 * as rows; at random against a plain list. */
#include "key.h"
#include "sheet.h"
#include "sum.h"
#include "support_events.h"
#include "support_suite.h"

#include <stdlib.h>
#include <string.h>

enum { KEYS = 40, VALUE_MAX = 70, LONG_BYTES = 9000 };

static const struct qp_view_place place = {{"p", 1}, 7};

static struct qp_store *store;
static struct qp_txn txn;
static struct qp_sheet sheet;
static struct qp_batch batch;
static quipu_error why;

static void begin(void)
{
    support_begin();
    store = support_open_log("log.mdb", 16 * QP_MIB);
    txn = (struct qp_txn){0};
    sheet = (struct qp_sheet){0};
    batch = (struct qp_batch){0};
    if (qp_txn_begin_write(store, &txn, NULL) < 0)
        abort();
}

static void end(void)
{
    qp_sheet_release(&sheet);
    qp_batch_release(&batch);
    qp_txn_end(&txn);
    qp_store_close(store);
    support_suite_end();
}

TestSuite(sheet, .init = begin, .fini = end, .timeout = 110);

static struct qp_bytes text(const char *string)
{
    return (struct qp_bytes){string, strlen(string)};
}

static void put(const char *key, const char *value)
{
    struct qp_bytes bytes = value != NULL ? text(value) : (struct qp_bytes){0};

    cr_assert_eq(qp_sheet_put(&sheet, text(key), bytes, &why), QUIPU_OK, "%s", why.text);
}

/* NULL: there is none. */
static void expect(const char *key, const char *value)
{
    struct qp_bytes got = {0};
    int rc = qp_sheet_get(&sheet, text(key), &got, &why);

    cr_assert_eq(rc, value != NULL ? QUIPU_ROW : QUIPU_OK, "%s: %s", key, why.text);
    if (value == NULL) {
        cr_expect_null(got.data, "%s", key);
        return;
    }
    cr_expect_not_null(got.data, "%s", key);
    support_expect_bytes(got.data, got.size, value, strlen(value), "%s is %.*s, not %s", key,
                         (int)got.size, (const char *)got.data, value);
}

/* A row of the view below. */
static void put_below(const char *key, struct qp_bytes value)
{
    struct qp_key at;

    qp_key_view(&at, place.name, place.generation, text(key));
    cr_assert_eq(
        qp_blobs_put(&txn, &qp_view_home, qp_key_bytes(&at), (struct qp_bytes){0}, value, &why),
        QUIPU_OK, "%s", why.text);
}

/* What is to be written: "+key=value -key ...", in the order of the effects. */
static void expect_written(const char *wanted)
{
    static const uint8_t row[1];
    struct qp_effect effect;
    char all[400] = "";
    size_t at = 0;

    cr_assert_eq(qp_sheet_write(&sheet, &batch, &why), QUIPU_OK);
    cr_assert_eq(qp_batch_project(&batch, place.name, 0, row, 0, &why), QUIPU_OK);
    while (qp_batch_next_effect(&batch, &batch.steps[batch.step_count - 1], &at, &effect)) {
        size_t used = strlen(all);
        struct qp_owned_key owned;

        cr_expect_eq(effect.table, QP_TABLE_VIEWS);
        cr_assert(qp_key_owned_read(effect.key, &owned));
        support_expect_bytes(owned.name.data, owned.name.size, "p", 1, "name");
        cr_expect_eq(owned.generation, 7);
        (void)snprintf(all + used, sizeof(all) - used, "%s%c%.*s%s%.*s", used > 0 ? " " : "",
                       effect.deletes ? '-' : '+', (int)owned.rest.size,
                       (const char *)owned.rest.data, effect.deletes ? "" : "=",
                       (int)effect.value.size, (const char *)effect.value.data);
    }
    cr_expect_str_eq(all, wanted, "%s", all);
}

/* ---- by hand ---- */

Test(sheet, over_no_view)
{
    qp_sheet_begin(&sheet, NULL, &place);
    expect("a", NULL);
    qp_sheet_next(&sheet);
    put("a", "1");
    expect("a", "1");
    put("a", "22");
    expect("a", "22");
    put("a", NULL);
    expect("a", NULL);
    put("b", "");
    expect("b", "");
    expect_written("+b=");
}

Test(sheet, over_a_view)
{
    put_below("kept", text("1"));
    put_below("changed", text("2"));
    put_below("gone", text("3"));
    put_below("empty", text(""));
    put_below("read", text("4"));
    put_below("back", text("5"));
    qp_sheet_begin(&sheet, &txn, &place);
    qp_sheet_next(&sheet);
    expect("read", "4");
    expect("empty", "");
    expect("nothing", NULL);
    put("changed", "two");
    put("gone", NULL);
    expect("gone", NULL);
    put("never", NULL); /* it was not there: no row is to go */
    put("back", NULL);
    put("back", "6");
    put("new", "7");
    put("unmade", "8");
    put("unmade", NULL);
    expect_written("+back=6 +changed=two -gone +new=7");
}

Test(sheet, another_projections_rows_are_not_seen)
{
    static const struct qp_view_place others[] = {{{"p", 1}, 8}, {{"pp", 2}, 7}};

    put_below("a", text("1"));
    for (size_t i = 0; i < 2; i++) {
        qp_sheet_begin(&sheet, &txn, &others[i]);
        expect("a", NULL);
        qp_sheet_release(&sheet);
    }
}

Test(sheet, order_of_keys)
{
    qp_sheet_begin(&sheet, NULL, &place);
    qp_sheet_next(&sheet);
    put("b", "1");
    put("a\xff", "2");
    put("a", "3");
    put("\x7f", "4");
    put("ab", "5");
    put("\xff", "6");
    put("aa", "7");
    expect_written("+a=3 +aa=7 +ab=5 +a\xff=2 +b=1 +\x7f=4 +\xff=6");
}

Test(sheet, undo)
{
    put_below("below", text("1"));
    put_below("gone", text("2"));
    qp_sheet_begin(&sheet, &txn, &place);
    qp_sheet_next(&sheet);
    put("first", "a");
    put("grows", "x");
    qp_sheet_next(&sheet);
    put("first", "b");
    put("first", "c");
    put("grows", "a value that needs far more room than the one before it had");
    put("below", "other");
    put("gone", NULL);
    put("made", "d");
    qp_sheet_undo(&sheet);
    expect("first", "a");
    expect("grows", "x");
    expect("below", "1");
    expect("gone", "2");
    expect("made", NULL);
    qp_sheet_undo(&sheet); /* there is nothing more to undo */
    expect("first", "a");
    qp_sheet_next(&sheet);
    put("first", "e");
    qp_sheet_next(&sheet);
    qp_sheet_undo(&sheet); /* of an event that has done nothing */
    expect_written("+first=e +grows=x");
}

/* Written, undone, written again within the same event number and the next. */
Test(sheet, undo_and_again)
{
    qp_sheet_begin(&sheet, NULL, &place);
    for (int i = 0; i < 50; i++) {
        char good[24];
        char bad[24];

        (void)snprintf(good, sizeof(good), "good-%d", i);
        (void)snprintf(bad, sizeof(bad), "bad-%d", i);
        qp_sheet_next(&sheet);
        put("k", bad);
        put("k", "worse");
        qp_sheet_undo(&sheet);
        if (i > 0) {
            (void)snprintf(bad, sizeof(bad), "good-%d", i - 1);
            expect("k", bad);
        }
        put("k", good);
        expect("k", good);
    }
    expect_written("+k=good-49");
}

/* What a put is given may be what stands there, or a part of it. */
Test(sheet, values_that_alias)
{
    struct qp_bytes value;

    put_below("below", text("0123456789"));
    qp_sheet_begin(&sheet, &txn, &place);
    for (int round = 0; round < 3; round++) {
        qp_sheet_next(&sheet);
        cr_assert_eq(qp_sheet_get(&sheet, text("below"), &value, &why), QUIPU_ROW);
        cr_assert_eq(qp_sheet_put(&sheet, text("below"), value, &why), QUIPU_OK);
        expect("below", "0123456789");
    }
    qp_sheet_next(&sheet);
    for (size_t left = 9; left > 0; left--) {
        cr_assert_eq(qp_sheet_get(&sheet, text("below"), &value, &why), QUIPU_ROW);
        value = (struct qp_bytes){(const char *)value.data + 1, value.size - 1};
        cr_assert_eq(qp_sheet_put(&sheet, text("below"), value, &why), QUIPU_OK);
        expect("below", "0123456789" + 10 - left);
    }
    cr_assert_eq(qp_sheet_get(&sheet, text("below"), &value, &why), QUIPU_ROW);
    cr_assert_eq(qp_sheet_put(&sheet, text("other"), value, &why), QUIPU_OK);
    expect("other", "9");
    qp_sheet_undo(&sheet);
    expect("below", "0123456789");
    expect("other", NULL);
}

/* A counter takes no more memory however often it is written, a value that grows little. */
Test(sheet, memory_is_used_again)
{
    uint64_t count = 0;
    struct qp_bytes value = {&count, sizeof(count)};
    size_t taken;

    qp_sheet_begin(&sheet, NULL, &place);
    for (count = 0; count < 4; count++) {
        qp_sheet_next(&sheet);
        cr_assert_eq(qp_sheet_put(&sheet, text("n"), value, &why), QUIPU_OK);
    }
    taken = sheet.memory.bytes;
    for (; count < 100000; count++) {
        qp_sheet_next(&sheet);
        cr_assert_eq(qp_sheet_put(&sheet, text("n"), value, &why), QUIPU_OK);
    }
    cr_expect_eq(sheet.memory.bytes, taken);
    cr_expect_eq(sheet.bytes, 1 + sizeof(count));
    cr_assert_eq(qp_sheet_get(&sheet, text("n"), &value, &why), QUIPU_ROW);
    cr_expect_eq(qp_get_u64(value.data), 99999);
}

Test(sheet, values_that_grow)
{
    char *longest = support_repeat('v', 20000);

    qp_sheet_begin(&sheet, NULL, &place);
    for (size_t size = 0; size <= 20000; size += size < 100 ? 1 : 97) {
        struct qp_bytes value = {longest, size};
        struct qp_bytes got;

        qp_sheet_next(&sheet);
        cr_assert_eq(qp_sheet_put(&sheet, text("k"), value, &why), QUIPU_OK);
        cr_assert_eq(qp_sheet_get(&sheet, text("k"), &got, &why), QUIPU_ROW);
        support_expect_bytes(got.data, got.size, longest, size, "%zu", size);
    }
    cr_expect_lt(sheet.memory.bytes, 400000, "%zu bytes", sheet.memory.bytes);
    free(longest);
}

/* They stand in chunks below, and are put together in one place after the other. */
Test(sheet, long_values_from_below)
{
    char *first = support_repeat('a', LONG_BYTES);
    char *second = support_repeat('b', LONG_BYTES + 1);

    put_below("first", text(first));
    put_below("second", text(second));
    qp_sheet_begin(&sheet, &txn, &place);
    expect("first", first);
    expect("second", second);
    expect("first", first);
    qp_sheet_next(&sheet);
    put("first", second);
    expect("first", second);
    qp_sheet_undo(&sheet);
    expect("first", first);
    expect_written("");
    free(first);
    free(second);
}

Test(sheet, keys_of_any_bytes)
{
    char *longest = support_repeat('k', QP_VIEW_KEY_MAX);
    const struct qp_bytes keys[] = {QP_LITERAL("\0"),
                                    QP_LITERAL("\0\0"),
                                    QP_LITERAL("\xff"),
                                    {longest, QP_VIEW_KEY_MAX},
                                    {longest, QP_VIEW_KEY_MAX - 1}};
    struct qp_bytes value;

    qp_sheet_begin(&sheet, &txn, &place);
    qp_sheet_next(&sheet);
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(qp_sheet_put(&sheet, keys[i], (struct qp_bytes){&keys[i], 1 + i}, &why),
                     QUIPU_OK);
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(qp_sheet_get(&sheet, keys[i], &value, &why), QUIPU_ROW);
        support_expect_bytes(value.data, value.size, &keys[i], 1 + i, "key %zu", i);
    }
    cr_expect_eq(sheet.count, 5);
    free(longest);
}

/* What is below and cannot be read is told, and the sheet goes on with other keys. */
Test(sheet, damage_below)
{
    uint8_t row[] = {1, 2, 3, 4, 5, 6, 7, 8, 0, 'v'};
    struct qp_bytes value;
    struct qp_key at;

    qp_key_view(&at, place.name, place.generation, text("bad"));
    cr_assert_eq(
        qp_put(&txn, QP_TABLE_VIEWS, qp_key_bytes(&at), (struct qp_bytes){row, sizeof(row)}, NULL),
        QUIPU_OK);
    put_below("good", text("1"));
    qp_sheet_begin(&sheet, &txn, &place);
    qp_sheet_next(&sheet);
    cr_expect_eq(qp_sheet_get(&sheet, text("bad"), &value, &why), QUIPU_CORRUPT);
    cr_expect_not_null(strstr(why.text, "table views, row p"), "%s", why.text);
    cr_expect_not_null(strstr(why.text, "bad: its checksum"), "%s", why.text);
    cr_expect_eq(qp_sheet_put(&sheet, text("bad"), text("x"), &why), QUIPU_CORRUPT);
    expect("good", "1");
    put("good", "2");
    expect_written("+good=2");
}

/* ---- for who scans ---- */

Test(sheet, sorted)
{
    static const char *const keys[] = {"d", "a", "c", "b", "e"};
    struct qp_bytes key;
    struct qp_bytes value;

    qp_sheet_begin(&sheet, NULL, &place);
    qp_sheet_next(&sheet);
    for (size_t i = 0; i < 5; i++)
        put(keys[i], keys[i]);
    put("c", NULL);
    expect("asked", NULL);
    put("b", "");
    qp_sheet_sort(&sheet);
    for (size_t i = 0; i < 4; i++) {
        cr_assert(qp_sheet_at(&sheet, i, &key, &value));
        support_expect_bytes(key.data, key.size, "abde" + i, 1, "%zu", i);
        cr_expect_eq(value.size, i == 1 ? 0 : 1);
        cr_expect_not_null(value.data);
    }
    cr_expect_not(qp_sheet_at(&sheet, 4, &key, &value));
    qp_sheet_release(&sheet);
    qp_sheet_sort(&sheet);
    cr_expect_not(qp_sheet_at(&sheet, 0, &key, &value));
}

static uint64_t sum_of(const char *const *writes, size_t count)
{
    uint64_t sum;

    sheet = (struct qp_sheet){.sums = true};
    qp_sheet_begin(&sheet, NULL, &place);
    qp_sheet_next(&sheet);
    for (size_t i = 0; i < count; i += 2)
        put(writes[i], writes[i + 1]);
    sum = sheet.sum;
    qp_sheet_release(&sheet);
    return sum;
}

/* Another key, value, order, or a deletion where an empty value was: another sum. */
Test(sheet, sums)
{
    static const char *const writes[][4] = {
        {"a", "1", "b", "2"}, {"b", "2", "a", "1"},  {"a", "1", "b", "3"}, {"a", "1", "c", "2"},
        {"a", "1", "b", ""},  {"a", "1", "b", NULL}, {"a1", "", "b", "2"}, {"a", "1b", "b", "2"},
    };
    uint64_t sums[8];

    for (size_t i = 0; i < 8; i++) {
        sums[i] = sum_of(writes[i], 4);
        cr_expect_eq(sums[i], sum_of(writes[i], 4), "%zu", i);
        for (size_t j = 0; j < i; j++)
            cr_expect_neq(sums[i], sums[j], "%zu, %zu", i, j);
    }
    qp_sheet_begin(&sheet, NULL, &place);
    put("a", "1");
    cr_expect_eq(sheet.sum, 0, "nobody asked for it");
}

/* ---- memory ---- */

/* Whichever allocation fails: what was there is there, and the same works afterwards. */
Test(sheet, out_of_memory)
{
    char *long_value = support_repeat('v', LONG_BYTES);
    unsigned failed = 0;

    put_below("long", text(long_value));
    for (long n = 1; n < 60; n++) {
        int rc[4];

        qp_sheet_begin(&sheet, &txn, &place);
        qp_sheet_next(&sheet);
        put("kept", "1");
        qp_sheet_next(&sheet);
        support_heap_fail(n, n % 2 == 0);
        rc[0] = QUIPU_OK;
        for (int i = 0; i < KEYS && rc[0] == QUIPU_OK; i++) {
            char key[8];

            (void)snprintf(key, sizeof(key), "k%d", i);
            rc[0] = qp_sheet_put(&sheet, text(key), text(key), &why);
        }
        rc[1] = qp_sheet_put(&sheet, text("kept"), text(long_value), &why);
        rc[2] = qp_sheet_put(&sheet, text("long"), text("2"), &why);
        rc[3] = qp_sheet_write(&sheet, &batch, &why);
        support_heap_fail(0, false);
        for (size_t i = 0; i < 4; i++) {
            cr_expect(rc[i] == QUIPU_OK || rc[i] == QUIPU_NO_MEMORY, "%ld: %d", n, rc[i]);
            failed += rc[i] < 0;
        }
        cr_expect_eq(why.status, failed > 0 ? QUIPU_NO_MEMORY : QUIPU_OK);
        qp_batch_clear(&batch);
        qp_sheet_release(&sheet);

        qp_sheet_begin(&sheet, &txn, &place);
        qp_sheet_next(&sheet);
        put("kept", "1");
        qp_sheet_next(&sheet);
        support_heap_fail(n, false);
        (void)qp_sheet_put(&sheet, text("kept"), text(long_value), &why);
        (void)qp_sheet_put(&sheet, text("long"), text("2"), &why);
        support_heap_fail(0, false);
        qp_sheet_undo(&sheet);
        expect("kept", "1");
        expect("long", long_value);
        put("long", "3");
        expect("long", "3");
        qp_sheet_release(&sheet);
    }
    cr_expect_gt(failed, 8, "%u", failed);
    free(long_value);
}

/* What could not be noted for undo is not written. */
Test(sheet, out_of_memory_and_undo)
{
    unsigned failed = 0;

    for (long n = 1; n < 2 * KEYS; n++) {
        char key[8];

        qp_sheet_begin(&sheet, NULL, &place);
        for (int i = 0; i < KEYS; i++) { /* an event each: `touched` need not grow */
            qp_sheet_next(&sheet);
            (void)snprintf(key, sizeof(key), "k%d", i);
            put(key, "1");
            qp_sheet_next(&sheet);
            put(key, "22");
        }
        qp_sheet_next(&sheet);
        support_heap_fail(n, true);
        for (int i = 0; i < KEYS; i++) {
            (void)snprintf(key, sizeof(key), "k%d", i);
            failed += qp_sheet_put(&sheet, text(key), text("333"), &why) < 0;
        }
        support_heap_fail(0, false);
        qp_sheet_undo(&sheet);
        for (int i = 0; i < KEYS; i++) {
            (void)snprintf(key, sizeof(key), "k%d", i);
            expect(key, "22");
        }
        qp_sheet_release(&sheet);
    }
    cr_expect_gt(failed, 0);
}

/* ---- at random ---- */

/* A list of keys that a sheet must be like. */
struct list {
    char value[KEYS][VALUE_MAX];
    bool has[KEYS];
};

static const char *key_of(size_t number)
{
    static char key[16];

    (void)snprintf(key, sizeof(key), "%zu", number * 37 % 1000);
    return key;
}

static void change(struct support_random *random, struct list *list)
{
    size_t number = support_random_below(random, KEYS);

    if (support_random_below(random, 4) == 0) {
        put(key_of(number), NULL);
        list->has[number] = false;
        return;
    }
    memset(list->value[number], 0, VALUE_MAX);
    memset(list->value[number], 'a' + (int)support_random_below(random, 26),
           support_random_below(random, VALUE_MAX));
    put(key_of(number), list->value[number]);
    list->has[number] = true;
}

static void expect_like(const struct list *list)
{
    for (size_t i = 0; i < KEYS; i++)
        expect(key_of(i), list->has[i] ? list->value[i] : NULL);
}

/* The view with the effects is the list. */
static void expect_rows_like(const struct list *list)
{
    static const uint8_t row[1];
    struct qp_effect effect;
    size_t at = 0;

    cr_assert_eq(qp_sheet_write(&sheet, &batch, &why), QUIPU_OK);
    cr_assert_eq(qp_batch_project(&batch, place.name, 0, row, 0, &why), QUIPU_OK);
    while (qp_batch_next_effect(&batch, &batch.steps[0], &at, &effect)) {
        if (effect.deletes)
            cr_expect_eq(qp_blobs_delete(&txn, &qp_view_home, effect.key, &why), QUIPU_ROW,
                         "it was there");
        else
            cr_expect_eq(qp_blobs_put(&txn, &qp_view_home, effect.key, (struct qp_bytes){0},
                                      effect.value, &why),
                         QUIPU_OK);
    }
    qp_batch_clear(&batch);
    qp_sheet_release(&sheet);
    qp_sheet_begin(&sheet, &txn, &place);
    expect_like(list);
}

Test(sheet, random)
{
    struct support_random random = {4711};
    struct list kept = {0};

    for (int round = 0; round < 30; round++) {
        qp_sheet_begin(&sheet, &txn, &place);
        for (int event = 0; event < 100; event++) {
            struct list list = kept;
            size_t writes = support_random_below(&random, 6);

            qp_sheet_next(&sheet);
            for (size_t i = 0; i < writes; i++)
                change(&random, &list);
            if (event % 10 == 0)
                expect_like(&list);
            if (support_random_below(&random, 3) == 0)
                qp_sheet_undo(&sheet);
            else
                kept = list;
        }
        expect_rows_like(&kept);
        qp_sheet_release(&sheet);
    }
}
