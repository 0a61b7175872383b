/* test_condition.c - condition.c: the first event after a position that matches, held against a
 * naive look; in the tail, in the index, in both, and at every border. What cannot be read may
 * match anything, what is hidden nothing. */
#include "condition.h"
#include "handles.h"
#include "merge.h"
#include "streams.h"
#include "support_events.h"
#include "support_suite.h"

#include <string.h>

SUPPORT_SUITE(condition);

enum { EVENTS = 3000 };

static struct support_event events[EVENTS];

struct bench {
    quipu *store;
    struct qp_moment *moment;
    uint64_t indexed;
    uint64_t sealed; /* the tail has a second segment from here on */
    uint64_t head;
    uint64_t damaged;   /* a position; 0: none */
    uint64_t hidden[2]; /* up to these versions, of streams 0 and 1 */
};

static void append(quipu *store, uint64_t after, uint64_t upto)
{
    quipu_batch *batch = quipu_batch_new();

    for (uint64_t position = after + 1; position <= upto; position++) {
        const char *tags[SUPPORT_TAGS];
        quipu_draft draft = support_draft(&events[position - 1], tags);

        draft.flags = 0; /* ids stand several times here */
        cr_assert_eq(quipu_batch_append(batch, events[position - 1].stream, QUIPU_ANY, &draft, 1),
                     0);
    }
    cr_assert_eq(quipu_commit(store, batch, NULL, NULL), QUIPU_OK);
    quipu_batch_free(batch);
}

static void begin(struct bench *bench, struct support_random *random)
{
    char path[SUPPORT_PATH_BYTES];

    bench->head = 1 + support_random_below(random, EVENTS);
    bench->indexed = support_random_below(random, bench->head + 1);
    if (support_random_below(random, 4) == 0)
        bench->indexed = support_random_below(random, 2) == 0 ? 0 : bench->head;
    bench->sealed = bench->indexed + support_random_below(random, bench->head - bench->indexed + 1);
    support_make_events(random, 0, events, bench->head);
    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &bench->store, NULL), QUIPU_OK);
    append(bench->store, 0, bench->indexed);
    cr_assert_eq(qp_merge(bench->store->handle, NULL), QUIPU_OK);
    append(bench->store, bench->indexed, bench->sealed);
    qp_tail_seal(&bench->store->handle->tail);
    append(bench->store, bench->sealed, bench->head);
}

static void look(struct bench *bench)
{
    cr_assert_eq(qp_moment_begin(bench->store->handle, true, &bench->moment, NULL), QUIPU_OK);
    cr_assert_eq(bench->moment->pin.head, bench->head);
    cr_assert_eq(bench->moment->pin.indexed, bench->indexed);
}

static void end(struct bench *bench)
{
    char path[SUPPORT_PATH_BYTES];

    qp_moment_end(bench->moment);
    quipu_close(bench->store);
    support_remove(support_path(path, "store"));
}

static bool is_hidden(const struct bench *bench, const struct support_event *event)
{
    return (strcmp(event->stream, "c0-0") == 0 && event->version <= bench->hidden[0]) ||
           (strcmp(event->stream, "c1-1") == 0 && event->version <= bench->hidden[1]);
}

static uint64_t find(const struct bench *bench, const quipu_query *query, uint64_t after)
{
    for (uint64_t position = after + 1; position <= bench->head; position++) {
        const struct support_event *event = &events[position - 1];

        if (position == bench->damaged ||
            (support_matches(query, event) && !is_hidden(bench, event)))
            return position;
    }
    return 0;
}

static int ask(const struct bench *bench, const quipu_query *given, uint64_t after,
               uint64_t *position)
{
    struct qp_query query;
    int rc;

    cr_assert_eq(qp_query_copy(given, &query, NULL), QUIPU_OK);
    rc = qp_condition_find(bench->moment, &query, after, position, NULL);
    qp_query_release(&query);
    return rc;
}

static void expect_find(const struct bench *bench, const quipu_query *query, uint64_t after)
{
    uint64_t should = find(bench, query, after);
    uint64_t position = 0;
    int rc = ask(bench, query, after, &position);

    cr_expect_eq(rc, should != 0 ? QUIPU_ROW : QUIPU_OK, "after %llu of %llu/%llu: %d",
                 (unsigned long long)after, (unsigned long long)bench->indexed,
                 (unsigned long long)bench->head, rc);
    cr_expect(should == 0 || position == should, "after %llu: %llu, not %llu",
              (unsigned long long)after, (unsigned long long)position, (unsigned long long)should);
}

/* Borders, and a few anywhere. */
static uint64_t pick_after(const struct bench *bench, unsigned number,
                           struct support_random *random)
{
    const uint64_t borders[] = {0,
                                bench->indexed > 0 ? bench->indexed - 1 : 0,
                                bench->indexed,
                                bench->indexed + 1,
                                bench->sealed > 0 ? bench->sealed - 1 : 0,
                                bench->sealed,
                                bench->sealed + 1,
                                bench->head - 1,
                                bench->head,
                                bench->head + 1,
                                QP_POSITION_MAX};
    const unsigned count = sizeof(borders) / sizeof(borders[0]);

    return number < count ? borders[number] : support_random_below(random, bench->head + 1);
}

static void ask_all(const struct bench *bench, struct support_random *random, unsigned queries)
{
    for (unsigned i = 0; i < queries; i++) {
        struct support_query query;

        support_make_query(random, &query);
        for (unsigned number = 0; number < 16; number++)
            expect_find(bench, &query.query, pick_after(bench, number, random));
    }
}

Test(condition, random_stores_and_queries)
{
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct support_random random = {seed};
        struct bench bench = {0};

        begin(&bench, &random);
        look(&bench);
        ask_all(&bench, &random, 60);
        end(&bench);
    }
}

Test(condition, an_empty_store)
{
    struct bench bench = {0};
    char path[SUPPORT_PATH_BYTES];
    uint64_t position;

    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &bench.store, NULL), QUIPU_OK);
    look(&bench);
    cr_expect_eq(ask(&bench, NULL, 0, &position), QUIPU_OK);
    cr_expect_eq(ask(&bench, NULL, QP_POSITION_MAX, &position), QUIPU_OK);
    end(&bench);
}

/* Every event, said in three ways. */
Test(condition, every_event)
{
    struct support_random random = {5};
    struct bench bench = {0};
    const quipu_query_item item = {0};
    const quipu_query queries[] = {{NULL, 0}, {&item, 1}};

    begin(&bench, &random);
    look(&bench);
    for (uint64_t after = 0; after <= bench.head + 1; after += 1 + after / 50) {
        for (size_t i = 0; i < 3; i++) {
            uint64_t position = 0;
            int rc = ask(&bench, i < 2 ? &queries[i] : NULL, after, &position);

            cr_expect_eq(rc, after < bench.head ? QUIPU_ROW : QUIPU_OK);
            cr_expect(rc != QUIPU_ROW || position == after + 1);
        }
    }
    end(&bench);
}

/* Versions that deleting took are not there, whatever finds them. */
Test(condition, hidden_events)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct support_random random = {seed};
        struct bench bench = {.hidden = {1 + support_random_below(&random, 1500), 2}};
        const struct qp_stream_row rows[] = {
            {.first_kept = bench.hidden[0] + 1},
            {.first_kept = bench.hidden[1] + 1, .flags = QP_STREAM_DELETED}};
        struct qp_txn txn = {0};
        enum qp_commit_outcome outcome;

        begin(&bench, &random);
        cr_assert_eq(qp_txn_begin_write(bench.store->handle->log, &txn, NULL), QUIPU_OK);
        cr_assert_eq(qp_streams_put(&txn, QP_LITERAL("c0-0"), &rows[0], NULL), QUIPU_OK);
        cr_assert_eq(qp_streams_put(&txn, QP_LITERAL("c1-1"), &rows[1], NULL), QUIPU_OK);
        cr_assert_eq(qp_txn_commit(&txn, &outcome, NULL), QUIPU_OK);
        look(&bench);
        ask_all(&bench, &random, 60);
        end(&bench);
    }
}

static void damage(struct bench *bench, uint64_t position)
{
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;
    uint8_t copy[512];
    struct qp_bytes value;

    cr_assert_eq(qp_txn_begin_write(bench->store->handle->log, &txn, NULL), QUIPU_OK);
    cr_assert_eq(qp_get(&txn, QP_TABLE_LOG, qp_key_position(&position), &value, NULL), QUIPU_ROW);
    cr_assert_leq(value.size, sizeof(copy));
    memcpy(copy, value.data, value.size);
    copy[30] ^= 4;
    value.data = copy;
    cr_assert_eq(qp_put(&txn, QP_TABLE_LOG, qp_key_position(&position), value, NULL), QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&txn, &outcome, NULL), QUIPU_OK);
    bench->damaged = position;
}

/* In the index as it was before: no query that it may be of is told that nothing matches. In the
 * tail of who comes later it is of no query, and the moment says that there is one, so that nothing
 * is appended at all. */
Test(condition, a_damaged_record)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct support_random random = {seed};
        struct bench bench = {0};
        bool in_index;

        begin(&bench, &random);
        damage(&bench, 1 + support_random_below(&random, bench.head));
        in_index = bench.damaged <= bench.indexed;
        if (!in_index) { /* the tail has it as it was: another one folds the log */
            qp_tail_release(&bench.store->handle->tail);
            qp_tail_init(&bench.store->handle->tail, bench.indexed);
        }
        look(&bench);
        cr_expect_neq(qp_moment_damaged(bench.moment), in_index);
        for (unsigned i = 0; i < 200; i++) {
            struct support_query query;
            uint64_t after = pick_after(&bench, i % 16, &random);
            uint64_t should;
            uint64_t position = 0;
            int rc;

            support_make_query(&random, &query);
            if (i % 5 == 0)
                after = bench.damaged - support_random_below(&random, 2);
            should = find(&bench, &query.query, after);
            rc = ask(&bench, &query.query, after, &position);
            if (should != bench.damaged)
                cr_expect(should == 0 ? rc == QUIPU_OK : rc == QUIPU_ROW && position == should,
                          "seed %u", (unsigned)seed);
            else if (in_index && support_matches(&query.query, &events[should - 1]))
                cr_expect_eq(rc, QUIPU_CORRUPT, "seed %u: %d", (unsigned)seed, rc);
            else
                cr_expect(rc != QUIPU_ROW || position > should, "seed %u", (unsigned)seed);
        }
        end(&bench);
    }
}

/* Each allocation that can fail says so, and leaves nothing behind. */
Test(condition, out_of_memory)
{
    struct support_random random = {3};
    struct bench bench = {0};
    const char *const types[] = {"T0", "T1"};
    const char *const tags[] = {"k:0"};
    const quipu_query_item items[] = {{.stream = "c0-0", .types = types, .type_count = 2},
                                      {.tags = tags, .tag_count = 1}};
    const quipu_query given = {items, 2};
    struct qp_query query;
    uint64_t position;
    int rc = QUIPU_NO_MEMORY;
    long n = 0;

    begin(&bench, &random);
    look(&bench);
    cr_assert_eq(qp_query_copy(&given, &query, NULL), QUIPU_OK);
    while (rc == QUIPU_NO_MEMORY && n < 100) {
        support_heap_fail(++n, false);
        rc = qp_condition_find(bench.moment, &query, 0, &position, NULL);
        support_heap_fail(0, false);
    }
    cr_expect_eq(rc, QUIPU_ROW);
    cr_expect_gt(n, 2);
    cr_expect_eq(position, find(&bench, &given, 0));
    qp_query_release(&query);
    end(&bench);
}

/* Through a commit: of the batches of one group only that is refused whose query meets the damage.
 */
static struct {
    unsigned count;
    int status[3];
} told;

static void note(void *payload, int status, const quipu_receipt *receipt, const quipu_batch *batch,
                 const quipu_error *error)
{
    (void)payload;
    (void)batch;
    cr_expect(status == QUIPU_OK ? receipt->first_position > 0 : receipt->first_position == 0);
    cr_expect(error->status == status && (status == QUIPU_OK || error->text[0] != '\0'));
    told.status[told.count++ % 3] = status;
}

Test(condition, a_damaged_record_and_a_group)
{
    struct support_random random = {12};
    struct bench bench = {0};
    const quipu_draft draft = {.type = "U"};
    const char *type = NULL;
    uint64_t last = 0;

    while (bench.indexed < 100) {
        if (bench.store != NULL)
            end(&bench);
        begin(&bench, &random);
    }
    damage(&bench, bench.indexed - 50);
    type = events[bench.damaged - 1].type;
    for (unsigned i = 0; i < 3; i++) {
        const char *const types[] = {i == 1 ? type : "absent"};
        const quipu_query_item item = {.types = types, .type_count = 1};
        const quipu_query query = {&item, 1};
        quipu_batch *batch = quipu_batch_new();

        (void)quipu_batch_append(batch, "new", i == 2 ? 1 : i, &draft, 1);
        (void)quipu_batch_unless(batch, &query, bench.damaged - 1);
        cr_assert_eq(quipu_commit_async(bench.store, batch, note, NULL, NULL), QUIPU_OK);
    }
    cr_expect_eq(quipu_flush(bench.store, NULL), QUIPU_OK);
    cr_assert_eq(told.count, 3);
    cr_expect(told.status[0] == QUIPU_OK && told.status[1] == QUIPU_CORRUPT &&
              told.status[2] == QUIPU_OK);
    cr_expect(quipu_head(bench.store, &last, NULL) == QUIPU_OK && last == bench.head + 2);
    end(&bench);
}
