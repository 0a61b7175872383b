/* test_clean.c - clean.c: which rows of a projection are found, and of whom none. */
#include "clean.h"
#include "row.h"
#include "support_events.h"
#include "support_suite.h"

#include <stdlib.h>
#include <string.h>

static struct qp_store *store;
static struct qp_txn txn;
static struct qp_batch batch;
static quipu_error why;

static void begin(void)
{
    support_begin();
    store = support_open_log("log.mdb", 16 * QP_MIB);
    txn = (struct qp_txn){0};
    batch = (struct qp_batch){0};
    if (qp_txn_begin_write(store, &txn, NULL) < 0)
        abort();
}

static void end(void)
{
    qp_batch_release(&batch);
    qp_txn_end(&txn);
    qp_store_close(store);
    support_suite_end();
}

TestSuite(clean, .init = begin, .fini = end);

static void put(enum qp_table table, const char *name, uint32_t generation, uint64_t number)
{
    struct qp_bytes owner = {name, strlen(name)};
    uint8_t row[64] = {0};
    char text[24];
    struct qp_bytes view_key = {text, sizeof("00000000") - 1};
    struct qp_key key;

    (void)snprintf(text, sizeof(text), "%08u", (unsigned)number);
    if (table == QP_TABLE_VIEWS)
        qp_key_view(&key, owner, generation, view_key);
    else
        qp_key_parked(&key, owner, generation, view_key, number);
    cr_assert_eq(qp_put_row(&txn, table, qp_key_bytes(&key), row, sizeof(row), NULL), QUIPU_OK);
}

/* Returns how many are found; all are of the projection, and of no generation that lives. */
static size_t find(const char *name, uint32_t generation, uint32_t building)
{
    struct qp_bytes owner = {name, strlen(name)};
    size_t count = 0;
    size_t effects = 0;
    struct qp_effect effect;
    size_t at = 0;

    qp_batch_clear(&batch);
    cr_assert_eq(qp_clean_find(&txn, owner, generation, building, &batch, &count, &why), QUIPU_OK);
    cr_assert_eq(qp_batch_project(&batch, owner, 0, NULL, 0, NULL), QUIPU_OK);
    while (qp_batch_next_effect(&batch, &batch.steps[0], &at, &effect)) {
        struct qp_owned_key owned;

        effects++;
        cr_expect(effect.deletes && effect.value.size == 0);
        cr_assert(qp_key_owned_read(effect.key, &owned));
        support_expect_bytes(owned.name.data, owned.name.size, name, owner.size, "name");
        cr_expect(owned.generation != generation && owned.generation != building);
        cr_expect_eq(qp_delete(&txn, effect.table, effect.key, NULL), QUIPU_ROW, "it is there");
    }
    cr_expect_eq(effects, count);
    return count;
}

Test(clean, nothing_there)
{
    cr_expect_eq(find("p", 1, 0), 0);
    put(QP_TABLE_VIEWS, "a", 1, 1);
    put(QP_TABLE_VIEWS, "pa", 1, 1);
    put(QP_TABLE_PARKED, "z", 1, 1);
    cr_expect_eq(find("p", 1, 0), 0, "of others");
    cr_expect_eq(find("p", 0, 0), 0);
}

Test(clean, generations_that_live_stay)
{
    for (uint32_t generation = 1; generation <= 5; generation++) {
        for (uint64_t i = 0; i < 3; i++) {
            put(QP_TABLE_VIEWS, "p", generation, i);
            put(QP_TABLE_VIEWS, "o", generation, i);
            put(QP_TABLE_VIEWS, "pp", generation, i);
        }
        put(QP_TABLE_PARKED, "p", generation, 9);
        put(QP_TABLE_PARKED, "pp", generation, 9);
    }
    cr_expect_eq(find("p", 2, 4), 3 * 4);
    cr_expect_eq(find("p", 2, 4), 0);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_VIEWS), 6 + 30);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_PARKED), 2 + 5);
    cr_expect_eq(find("p", 4, 0), 4);
    cr_expect_eq(find("p", 0, 0), 4, "it is deleted");
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_VIEWS), 30);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_PARKED), 5);
}

Test(clean, the_first_and_the_last_generation)
{
    static const uint32_t generations[] = {1, UINT32_MAX - 1, UINT32_MAX};

    for (size_t i = 0; i < 3; i++)
        put(QP_TABLE_VIEWS, "p", generations[i], 1);
    cr_expect_eq(find("p", UINT32_MAX, 1), 1);
    cr_expect_eq(find("p", UINT32_MAX, 0), 1);
    cr_expect_eq(find("p", 7, 0), 1);
}

/* A thousand at once, of both tables together. */
Test(clean, a_thousand_at_once)
{
    for (uint64_t i = 0; i < 2 * QP_CLEAN_ROWS_MAX - 1; i++)
        put(QP_TABLE_VIEWS, "p", i < 700 ? 1 : 3, i);
    for (uint64_t i = 0; i < 5; i++)
        put(QP_TABLE_PARKED, "p", 2, i);
    put(QP_TABLE_VIEWS, "p", 2, 1);
    cr_expect_eq(find("p", 2, 0), QP_CLEAN_ROWS_MAX);
    cr_expect_eq(find("p", 2, 0), QP_CLEAN_ROWS_MAX - 1);
    cr_expect_eq(find("p", 2, 0), 0);
    cr_expect_eq(find("p", 4, 0), 6);
}

/* Each part of a long value is a row that goes, too: few of these at once. */
Test(clean, few_long_values_at_once)
{
    for (uint64_t i = 0; i < 5; i++) {
        uint8_t row[8 + 1 + 16] = {[8] = 1};
        struct qp_key key;

        qp_set_u64(row + 9, QP_VIEW_VALUE_MAX);
        qp_set_u64(row + 17, i + 1);
        qp_key_view(&key, QP_LITERAL("p"), 1, (struct qp_bytes){&i, sizeof(i)});
        cr_assert_eq(qp_put_row(&txn, QP_TABLE_VIEWS, qp_key_bytes(&key), row, sizeof(row), NULL),
                     QUIPU_OK);
    }
    cr_expect_eq(find("p", 2, 0), 3, "10 000 parts and what the last has more");
    cr_expect_eq(find("p", 2, 0), 2);
}

/* Keys that cannot be are left to verify. */
Test(clean, keys_that_cannot_be)
{
    uint8_t row[16] = {0};

    cr_assert_eq(qp_put_row(&txn, QP_TABLE_VIEWS, QP_LITERAL("p\0\0\0"), row, 16, NULL), QUIPU_OK);
    cr_assert_eq(qp_put_row(&txn, QP_TABLE_VIEWS, QP_LITERAL("q"), row, 16, NULL), QUIPU_OK);
    cr_expect_eq(find("p", 1, 0), 0);
    cr_expect_eq(find("q", 1, 0), 0);
}

Test(clean, out_of_memory)
{
    size_t count;

    for (uint64_t i = 0; i < 5; i++)
        put(QP_TABLE_VIEWS, "p", 1, i);
    support_heap_fail(1, false);
    cr_expect_eq(qp_clean_find(&txn, QP_LITERAL("p"), 2, 0, &batch, &count, &why), QUIPU_NO_MEMORY);
    support_heap_fail(0, false);
    cr_expect_eq(find("p", 2, 0), 5);
}
