/* test_pending.c - pending.c: what a query finds in batches that are not in the store yet, held
 * against a naive look. The set of sums may say yes too often, and never no too early. */
#include "pending.h"
#include "support_events.h"
#include "support_suite.h"

#include <stdio.h>

SUPPORT_SUITE(pending);

enum { EVENTS = 600, BATCHES = 200, FIRST = 1001 /* the store has 1 000 */ };

static struct support_event events[EVENTS];
static struct qp_batch batches[BATCHES];

static void add_event(struct qp_batch *batch, const struct support_event *event)
{
    const char *tags[SUPPORT_TAGS];
    const quipu_draft draft = support_draft(event, tags);

    cr_assert_eq(qp_batch_append(batch, event->stream, QUIPU_ANY, &draft, 1), QUIPU_OK);
}

static void put(struct qp_pending *pending, const struct qp_batch *batch, uint64_t first)
{
    cr_assert(qp_pending_ensure(pending));
    qp_pending_put(pending, batch, first);
}

static void release_batches(void)
{
    for (size_t i = 0; i < BATCHES; i++)
        qp_batch_release(&batches[i]);
}

/* The first of the first `count` events that matches after `after`, 0: none. */
static uint64_t look(const quipu_query *query, uint64_t after, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (FIRST + i > after && support_matches(query, &events[i]))
            return FIRST + i;
    return 0;
}

static uint64_t pick_after(struct support_random *random, size_t count)
{
    static const uint64_t edges[] = {0, FIRST - 2, FIRST - 1, FIRST, QP_POSITION_MAX};

    if (support_random_below(random, 2) == 0)
        return edges[support_random_below(random, 5)];
    return FIRST + support_random_below(random, count + 2) - 1;
}

static void expect_match(struct qp_pending *pending, const quipu_query *given, uint64_t after,
                         size_t count)
{
    struct qp_query query;
    uint64_t should = look(given, after, count);
    uint64_t position = 0;
    int rc;

    cr_assert_eq(qp_query_copy(given, &query, NULL), QUIPU_OK);
    rc = qp_pending_match(pending, &query, after, &position, NULL);
    cr_expect_eq(rc, should != 0 ? QUIPU_ROW : QUIPU_OK, "after %llu of %zu: should be %llu",
                 (unsigned long long)after, count, (unsigned long long)should);
    if (rc == QUIPU_ROW)
        cr_expect_eq(position, should, "%llu, not %llu", (unsigned long long)position,
                     (unsigned long long)should);
    qp_query_release(&query);
}

/* Batches come while it is asked, as in a group; some condition is asked by each. */
Test(pending, queries_while_batches_come)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct support_random random = {seed};
        struct qp_pending pending = {0};
        size_t count = 0;

        support_make_events(&random, 0, events, EVENTS);
        for (size_t i = 0; i < BATCHES && count < EVENTS; i++) {
            size_t size = 1 + support_random_below(&random, 5);
            uint64_t first = FIRST + count;

            for (size_t j = 0; j < size && count < EVENTS; j++)
                add_event(&batches[i], &events[count++]);
            put(&pending, &batches[i], first);
            for (uint64_t n = support_random_below(&random, 20); n > 0; n--) {
                struct support_query query;

                support_make_query(&random, &query);
                expect_match(&pending, &query.query, pick_after(&random, count), count);
            }
        }
        cr_expect_eq(pending.summed, pending.count);
        qp_pending_release(&pending);
        release_batches();
    }
}

Test(pending, without_batches)
{
    struct qp_pending pending = {0};
    struct qp_query every;
    uint64_t position = 7;

    cr_assert_eq(qp_query_copy(NULL, &every, NULL), QUIPU_OK);
    cr_expect_eq(qp_pending_match(&pending, &every, 0, &position, NULL), QUIPU_OK);
    cr_expect_eq(position, 7);
    cr_expect_null(pending.terms, "a group without conditions pays nothing");
    qp_pending_release(&pending);
}

/* Far more terms than the set begins with room for: each is found, none that is not there is. */
Test(pending, the_set_grows)
{
    enum { NAMES = 5000 };
    struct qp_pending pending = {0};
    struct qp_batch *batch = &batches[0];
    size_t wrong = 0;

    for (size_t i = 0; i < NAMES; i++) {
        char name[32];
        char tag[32];
        const char *tags[] = {tag};
        const quipu_draft draft = {.type = name, .tags = tags, .tag_count = 1};

        (void)snprintf(name, sizeof(name), "n%zu-%zu", i % 100, i);
        (void)snprintf(tag, sizeof(tag), "t:%zu", i);
        cr_assert_eq(qp_batch_append(batch, name, QUIPU_ANY, &draft, 1), QUIPU_OK);
    }
    put(&pending, batch, 1);
    for (size_t i = 0; i < NAMES + 2000; i++) {
        char names[3][32];
        const char *types[] = {names[0]};
        const char *tags[] = {names[1]};
        quipu_query_item item = {.stream = i % 4 == 0 ? names[0] : NULL};
        const quipu_query given = {&item, 1};
        struct qp_query query;
        uint64_t position = 0;
        int rc;

        (void)snprintf(names[0], 32, "n%zu-%zu", i % 100, i);
        (void)snprintf(names[1], 32, "t:%zu", i);
        (void)snprintf(names[2], 32, "n%zu", i % 100 + (i < NAMES ? 0 : 100));
        if (i % 4 == 1)
            item = (quipu_query_item){.types = types, .type_count = 1};
        else if (i % 4 == 2)
            item = (quipu_query_item){.tags = tags, .tag_count = 1};
        else if (i % 4 == 3)
            item = (quipu_query_item){.category = names[2], .tags = tags, .tag_count = 1};
        cr_assert_eq(qp_query_copy(&given, &query, NULL), QUIPU_OK);
        rc = qp_pending_match(&pending, &query, 0, &position, NULL);
        wrong += i < NAMES ? rc != QUIPU_ROW || position != i + 1 : rc != QUIPU_OK;
        qp_query_release(&query);
    }
    cr_expect_eq(wrong, 0, "%zu", wrong);
    cr_expect_eq(pending.term_count, 3 * NAMES + 100);
    cr_expect_leq(pending.term_count * 2, pending.term_size, "never more than half full");
    qp_pending_release(&pending);
    release_batches();
}

/* Whatever fails for want of memory, it says so, and the next one who asks is told right. */
Test(pending, out_of_memory)
{
    struct support_random random = {77};
    struct qp_pending pending = {0};
    struct qp_query none;
    quipu_query_item item = {.stream = "absent-1"};
    const quipu_query given = {&item, 1};
    uint64_t position;
    unsigned failed = 0;

    support_make_events(&random, 0, events, EVENTS);
    cr_assert_eq(qp_query_copy(&given, &none, NULL), QUIPU_OK);
    for (size_t i = 0; i < BATCHES; i++) {
        for (size_t j = 0; j < 3; j++)
            add_event(&batches[i], &events[i * 3 + j]);
        support_heap_fail(1, true);
        if (!qp_pending_ensure(&pending))
            failed++;
        support_heap_fail(0, false);
        put(&pending, &batches[i], FIRST + i * 3);
    }
    cr_expect_gt(failed, 3, "%u", failed);
    support_heap_fail(1, true);
    cr_expect_eq(qp_pending_match(&pending, &none, 0, &position, NULL), QUIPU_NO_MEMORY);
    support_heap_fail(0, false);
    cr_expect_lt(pending.summed, pending.count);
    for (int i = 0; i < 500; i++) {
        struct support_query query;

        support_make_query(&random, &query);
        expect_match(&pending, &query.query, pick_after(&random, EVENTS), EVENTS);
    }
    qp_query_release(&none);
    qp_pending_release(&pending);
    release_batches();
}
