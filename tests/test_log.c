/* test_log.c - log.c: where a scan begins and where it steps to, against a naive look at which
 * positions have a record. What is in a record: test_record. */
#include "log.h"
#include "support_events.h"
#include "support_suite.h"
#include "txn.h"

SUPPORT_SUITE(log);

enum { BEFORE_FIRST = 2, HEAD = 40 }; /* from 3 on, so that there is nothing before the first */

static struct support_event events[HEAD];
static struct qp_store *store;
static struct qp_txn txn;
static struct qp_log_cursor cursor;

static void open_log(void)
{
    struct support_random random = {8};

    support_make_events(&random, 300, events, HEAD);
    store = support_open_log("log.mdb", 16 * QP_MIB);
    support_append_events(store, events, BEFORE_FIRST, HEAD);
    cr_assert_eq(qp_txn_begin_read(store, &txn, NULL), QUIPU_OK);
    cr_assert_eq(qp_log_open(&cursor, &txn, true, NULL), QUIPU_OK);
}

static void close_log(void)
{
    qp_log_close(&cursor);
    qp_txn_end(&txn);
    qp_store_close(store);
}

/* Damaged ones at even positions are missing, at odd ones they have a flipped bit. */
static bool has_row(uint64_t position)
{
    return position > BEFORE_FIRST && position <= HEAD &&
           (!events[position - 1].damaged || position % 2 != 0);
}

/* The next position with a row from `from` on; 0: there is none. */
static uint64_t row_from(uint64_t from, bool backwards)
{
    for (uint64_t position = from; position > 0 && position <= HEAD + 9;
         backwards ? position-- : position++)
        if (has_row(position))
            return position;
    return 0;
}

static void expect_at(int rc, uint64_t found, uint64_t expected, const char *what)
{
    if (expected == 0) {
        cr_expect_eq(rc, QUIPU_OK, "%s: there is nothing", what);
        return;
    }
    cr_expect_eq(found, expected, "%s: %d, not %d", what, (int)found, (int)expected);
    cr_expect_eq(rc, events[expected - 1].damaged ? QUIPU_CORRUPT : QUIPU_ROW, "%s at %d", what,
                 (int)expected);
}

Test(log, begins_anywhere)
{
    open_log();
    for (unsigned backwards = 0; backwards < 2; backwards++) {
        for (uint64_t from = 1; from <= HEAD + 5; from++) {
            struct qp_record record;
            uint64_t position = from;
            uint64_t expected = row_from(from, backwards != 0);
            int rc = qp_log_begin(&cursor, backwards != 0, &position, &record, NULL);

            expect_at(rc, position, expected, backwards ? "begin backwards" : "begin");
            if (expected == 0)
                continue;
            expected = row_from(backwards ? expected - 1 : expected + 1, backwards != 0);
            rc = qp_log_step(&cursor, backwards != 0, &position, &record, NULL);
            expect_at(rc, position, expected, backwards ? "step backwards" : "step");
        }
    }
    close_log();
}

Test(log, nothing_in_it)
{
    struct qp_record record;
    struct qp_log_head head;
    uint64_t position = 7;

    store = support_open_log("log.mdb", 16 * QP_MIB);
    cr_assert_eq(qp_txn_begin_read(store, &txn, NULL), QUIPU_OK);
    cr_assert_eq(qp_log_open(&cursor, &txn, true, NULL), QUIPU_OK);
    cr_expect_eq(qp_log_begin(&cursor, false, &position, &record, NULL), QUIPU_OK);
    cr_expect_eq(qp_log_begin(&cursor, true, &position, &record, NULL), QUIPU_OK);
    cr_expect_eq(qp_log_edge(&cursor, &position, NULL), QUIPU_OK);
    cr_expect_eq(position, 0);
    cr_expect_eq(qp_log_head(&cursor, &head, NULL), QUIPU_OK);
    cr_expect(head.position == 0 && head.chain == 0);
    cr_expect_eq(qp_log_get(&cursor, 1, &record, NULL), QUIPU_CORRUPT, "what must be there");
    close_log();
}
