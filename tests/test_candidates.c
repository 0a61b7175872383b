/* test_candidates.c - candidates.c: which positions it proposes for an item or several, held
 * against a naive look at each event, and how many. What it proposes costs a look at a record each:
 * a longer list is a broken promise, as a missing position is. */
#include "candidates.h"
#include "handles.h"
#include "merge.h"
#include "support_suite.h"

#include <stdio.h>
#include <string.h>

SUPPORT_SUITE(candidates);

enum { EVENTS = 8000, STREAMS = 6, CATEGORIES = 3, TYPES = 4, TAGS = 6, ITEMS_MAX = 3 };
enum { DENSITY = 64 }; /* a list of up to so many times the length of the shortest is asked */

struct event {
    unsigned stream;
    unsigned type;
    unsigned tags; /* a bit each */
};

static struct event events[EVENTS + 1]; /* by position */
static uint64_t head;
static char stream_names[STREAMS][16];
static char category_names[CATEGORIES][16];
static char type_names[TYPES][16];
static char tag_names[TAGS][16];

/* Where the events stand. */
enum place { TAIL, INDEX, BOTH, PLACES };

struct bench {
    quipu *store;
    struct qp_moment *moment;
    uint64_t indexed;
};

static void make_names(void)
{
    for (unsigned i = 0; i < STREAMS; i++)
        (void)snprintf(stream_names[i], 16, "c%u-%u", i % CATEGORIES, i);
    for (unsigned i = 0; i < CATEGORIES; i++)
        (void)snprintf(category_names[i], 16, "c%u", i);
    for (unsigned i = 0; i < TYPES; i++)
        (void)snprintf(type_names[i], 16, "T%u", i);
    for (unsigned i = 0; i < TAGS; i++)
        (void)snprintf(tag_names[i], 16, "k:%u", i);
}

static void add_event(quipu_batch *batch, const struct event *event)
{
    const char *tags[TAGS];
    quipu_draft draft = {.type = type_names[event->type], .tags = tags};

    for (unsigned i = 0; i < TAGS; i++)
        if ((event->tags >> i & 1) != 0)
            tags[draft.tag_count++] = tag_names[i];
    cr_assert_eq(quipu_batch_append(batch, stream_names[event->stream], QUIPU_ANY, &draft, 1),
                 QUIPU_OK);
}

static void append(quipu *store, uint64_t after, uint64_t upto)
{
    quipu_batch *batch = quipu_batch_new();

    for (uint64_t position = after + 1; position <= upto; position++) {
        add_event(batch, &events[position]);
        if (position % 1000 != 0 && position != upto)
            continue;
        cr_assert_eq(quipu_commit(store, batch, NULL, NULL), QUIPU_OK);
        quipu_batch_clear(batch);
    }
    quipu_batch_free(batch);
}

/* A store with the first `count` events. In both: what is in the tail stands in two segments. */
static void begin(struct bench *bench, uint64_t count, enum place place)
{
    char path[SUPPORT_PATH_BYTES];

    head = count;
    make_names();
    bench->indexed = place == TAIL ? 0 : place == INDEX ? count : count / 3;
    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &bench->store, NULL), QUIPU_OK);
    append(bench->store, 0, bench->indexed);
    if (bench->indexed > 0)
        cr_assert_eq(qp_merge(bench->store->handle, NULL), QUIPU_OK);
    if (place == BOTH) {
        append(bench->store, bench->indexed, count / 3 * 2);
        qp_tail_seal(&bench->store->handle->tail);
        append(bench->store, count / 3 * 2, count);
    } else {
        append(bench->store, bench->indexed, count);
    }
    cr_assert_eq(qp_moment_begin(bench->store->handle, true, &bench->moment, NULL), QUIPU_OK);
    cr_assert_eq(bench->moment->pin.indexed, bench->indexed);
    cr_assert_eq(bench->moment->pin.head, count);
}

static void end(struct bench *bench)
{
    char path[SUPPORT_PATH_BYTES];

    qp_moment_end(bench->moment);
    quipu_close(bench->store);
    support_remove(support_path(path, "store"));
}

/* ---- the naive look ---- */

/* -1 and no bits: not given. */
struct item {
    int stream;
    int category;
    unsigned types;
    unsigned tags;
};

static bool has_stream(const struct item *item, const struct event *event)
{
    return item->stream < 0 || (int)event->stream == item->stream;
}

static bool has_category(const struct item *item, const struct event *event)
{
    return item->category < 0 || (int)(event->stream % CATEGORIES) == item->category;
}

static bool has_type(const struct item *item, const struct event *event)
{
    return item->types == 0 || (item->types >> event->type & 1) != 0;
}

static bool matches(const struct item *item, const struct event *event)
{
    return has_stream(item, event) && has_category(item, event) && has_type(item, event) &&
           (event->tags & item->tags) == item->tags;
}

static unsigned bits(unsigned set)
{
    unsigned count = 0;

    for (; set != 0; set &= set - 1)
        count++;
    return count;
}

/* The item as items of one term each. */
static size_t split(const struct item *item, struct item *lists)
{
    const struct item none = {-1, -1, 0, 0};
    size_t count = 0;

    if (item->stream >= 0) {
        lists[count] = none;
        lists[count++].stream = item->stream;
    }
    if (item->category >= 0) {
        lists[count] = none;
        lists[count++].category = item->category;
    }
    if (bits(item->types) == 1) {
        lists[count] = none;
        lists[count++].types = item->types;
    }
    for (unsigned i = 0; i < TAGS; i++) {
        if ((item->tags >> i & 1) == 0)
            continue;
        lists[count] = none;
        lists[count++].tags = 1U << i;
    }
    return count;
}

static uint64_t count_of(const struct item *item)
{
    uint64_t count = 0;

    for (uint64_t position = 1; position <= head; position++)
        count += matches(item, &events[position]);
    return count;
}

/* May the position be proposed, and must it be? Of several types together only the bounds are
 * promised: all that match, and no other than theirs. */
struct proposal {
    bool may[EVENTS + 1];
    bool must[EVENTS + 1];
};

static void propose(const struct item *item, struct proposal *proposal)
{
    struct item lists[TAGS + 3];
    struct item types = {-1, -1, item->types, 0};
    size_t count = split(item, lists);
    uint64_t counts[TAGS + 3];
    uint64_t least = UINT64_MAX;
    bool by_types;

    for (size_t i = 0; i < count; i++) {
        counts[i] = count_of(&lists[i]);
        least = counts[i] < least ? counts[i] : least;
    }
    by_types = bits(item->types) > 1 && count_of(&types) < least;
    for (uint64_t position = 1; position <= head; position++) {
        const struct event *event = &events[position];
        bool may = true;

        for (size_t i = 0; i < count && !by_types; i++)
            may = may && (counts[i] > least * DENSITY || matches(&lists[i], event));
        if (by_types)
            may = has_type(item, event);
        proposal->may[position] |= may;
        proposal->must[position] |= by_types ? matches(item, event) : may;
    }
}

/* ---- what is proposed ---- */

struct names {
    quipu_query_item items[ITEMS_MAX];
    const char *types[ITEMS_MAX][TYPES];
    const char *tags[ITEMS_MAX][TAGS];
};

static void name_item(const struct item *item, size_t number, struct names *names)
{
    quipu_query_item *out = &names->items[number];

    *out = (quipu_query_item){.types = names->types[number], .tags = names->tags[number]};
    if (item->stream >= 0)
        out->stream = stream_names[item->stream];
    if (item->category >= 0)
        out->category = category_names[item->category];
    for (unsigned i = 0; i < TYPES; i++)
        if ((item->types >> i & 1) != 0)
            names->types[number][out->type_count++] = type_names[i];
    for (unsigned i = 0; i < TAGS; i++)
        if ((item->tags >> i & 1) != 0)
            names->tags[number][out->tag_count++] = tag_names[i];
}

static uint64_t found[EVENTS + 1];

/* All of them, into `found`: how many. In order, each once, none outside of the range. */
static size_t walk(struct bench *bench, const quipu_query *given,
                   const struct qp_candidates_range *range)
{
    struct qp_candidates *candidates = NULL;
    struct qp_query query;
    uint64_t last = range->backwards ? UINT64_MAX : 0;
    size_t count = 0;

    cr_assert_eq(qp_query_copy(given, &query, NULL), QUIPU_OK);
    cr_assert_eq(qp_candidates_open(bench->moment, &query, range, &candidates, NULL), QUIPU_ROW);
    while (qp_candidates_at(candidates) != 0) {
        uint64_t position = qp_candidates_at(candidates);

        cr_assert(position > range->after && position <= range->upto, "%lu of (%lu, %lu]", position,
                  range->after, range->upto);
        cr_assert(range->backwards ? position < last : position > last, "%lu after %lu", position,
                  last);
        last = position;
        found[count++] = position;
        cr_assert_eq(qp_candidates_pass(candidates, NULL), QUIPU_OK);
    }
    qp_candidates_close(candidates);
    qp_query_release(&query);
    return count;
}

static size_t count_proposals(struct bench *bench, const quipu_query_item *item)
{
    const struct qp_candidates_range all = {0, head, false};
    const struct qp_candidates_range back = {0, head, true};
    size_t count = walk(bench, &(quipu_query){item, 1}, &all);

    cr_expect_eq(walk(bench, &(quipu_query){item, 1}, &back), count, "backwards");
    return count;
}

static void expect_proposed(struct bench *bench, const quipu_query *query,
                            const struct proposal *proposal,
                            const struct qp_candidates_range *range)
{
    static bool proposed[EVENTS + 1];
    size_t count = walk(bench, query, range);

    memset(proposed, 0, sizeof(proposed));
    for (size_t i = 0; i < count; i++)
        proposed[found[i]] = true;
    for (uint64_t position = range->after + 1; position <= range->upto; position++)
        cr_assert(proposed[position] ? proposal->may[position] : !proposal->must[position],
                  "%lu of (%lu, %lu]%s, indexed %lu: %s", position, range->after, range->upto,
                  range->backwards ? " backwards" : "", bench->indexed,
                  proposed[position] ? "for nothing" : "is missing");
}

static struct proposal proposal;

/* Prepare a query of items. Returns it; it points into `names`. */
static quipu_query prepare(const struct item *items, size_t count, struct names *names)
{
    memset(&proposal, 0, sizeof(proposal));
    for (size_t i = 0; i < count; i++) {
        name_item(&items[i], i, names);
        propose(&items[i], &proposal);
    }
    return (quipu_query){names->items, count};
}

/* ---- histories ---- */

/* Terms from one in every event to one in a thousand. Type 0 is the rarest. */
static void make_history(uint64_t count)
{
    struct support_random random = {21};

    for (uint64_t position = 1; position <= count; position++) {
        struct event *event = &events[position];

        *event = (struct event){.type = TYPES - 1};
        if (support_random_below(&random, 2) == 0)
            event->stream = (unsigned)support_random_below(&random, STREAMS);
        for (unsigned i = 0; i < TYPES - 1; i++)
            if (support_random_below(&random, 4U << 2 * (TYPES - 2 - i)) == 0)
                event->type = i;
        for (unsigned i = 0; i < TAGS; i++)
            event->tags |= (unsigned)(support_random_below(&random, 1U << 2 * i) == 0) << i;
    }
}

/* It has a term. */
static struct item make_item(struct support_random *random)
{
    struct item item = {-1, -1, 0, 0};

    if (support_random_below(random, 4) == 0)
        item.stream = (int)support_random_below(random, STREAMS);
    if (support_random_below(random, 4) == 0)
        item.category = (int)support_random_below(random, CATEGORIES);
    if (support_random_below(random, 2) == 0)
        item.types = (unsigned)support_random_below(random, 1U << TYPES);
    item.tags = (unsigned)support_random_below(random, 1U << TAGS);
    item.tags &= (unsigned)support_random_below(random, 1U << TAGS);
    if (item.stream < 0 && item.category < 0 && item.types == 0)
        item.tags |= 1U << support_random_below(random, TAGS);
    return item;
}

Test(candidates, equal_the_naive)
{
    make_history(EVENTS);
    for (enum place place = TAIL; place < PLACES; place++) {
        struct support_random random = {22 + (uint64_t)place};
        struct bench bench;

        begin(&bench, EVENTS, place);
        for (int i = 0; i < 150; i++) {
            struct item items[ITEMS_MAX];
            struct names names;
            size_t count = 1 + support_random_below(&random, ITEMS_MAX);
            quipu_query query;

            for (size_t j = 0; j < count; j++)
                items[j] = make_item(&random);
            query = prepare(items, count, &names);
            for (int j = 0; j < 6; j++) {
                struct qp_candidates_range range = {0, EVENTS, j % 2 == 1};

                if (j > 1) {
                    range.after = support_random_below(&random, EVENTS);
                    range.upto = range.after + support_random_below(&random, EVENTS / 2);
                    range.upto = range.upto > EVENTS ? EVENTS : range.upto;
                }
                expect_proposed(&bench, &query, &proposal, &range);
            }
        }
        end(&bench);
    }
}

/* Of a short history each range that there is. */
Test(candidates, every_boundary)
{
    static const struct item items[][2] = {
        {{0, -1, 0, 0}, {-1, 1, 0, 0}},
        {{-1, 0, 0, 3}, {1, -1, 8, 0}},
        {{-1, -1, 3, 0}, {-1, -1, 0, 6}},
        {{0, 0, 8, 1}, {0, 1, 0, 0}},
    };
    enum { COUNT = 48 };

    make_history(COUNT);
    for (enum place place = TAIL; place < PLACES; place++) {
        struct bench bench;

        begin(&bench, COUNT, place);
        for (size_t i = 0; i < 2 * sizeof(items) / sizeof(items[0]); i++) {
            struct names names;
            quipu_query query = prepare(items[i / 2], 1 + i % 2, &names);

            for (uint64_t at = 0; at < 2 * (COUNT + 1) * (COUNT + 1); at++) {
                const struct qp_candidates_range range = {at / 2 / (COUNT + 1),
                                                          at / 2 % (COUNT + 1), at % 2 == 1};

                expect_proposed(&bench, &query, &proposal, &range);
            }
        }
        end(&bench);
    }
}

/* Lists of some blocks of 512, of which one skips over many of the other's: ranges that begin and
 * end at, before and after each block's first and last entry. */
Test(candidates, across_blocks)
{
    static const struct item items[] = {{-1, -1, 0, 1}, {-1, -1, 0, 3}, {0, -1, 0, 2}};

    for (uint64_t position = 1; position <= EVENTS; position++) {
        events[position] = (struct event){.stream = position % 2 == 0, .type = 3, .tags = 1};
        if (position % 700 == 0 || position % 700 == 1 || position > EVENTS - 600)
            events[position].tags |= 2;
    }
    for (enum place place = TAIL; place < PLACES; place++) {
        struct bench bench;

        begin(&bench, EVENTS, place);
        for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
            struct names names;
            quipu_query query = prepare(&items[i], 1, &names);

            for (uint64_t at = 0; at < EVENTS - 2; at += 512) {
                for (uint64_t low = at == 0 ? 0 : at - 1; low <= at + 2; low++) {
                    struct qp_candidates_range range = {low, EVENTS, false};

                    expect_proposed(&bench, &query, &proposal, &range);
                    range.backwards = true;
                    expect_proposed(&bench, &query, &proposal, &range);
                    range = (struct qp_candidates_range){0, low, true};
                    expect_proposed(&bench, &query, &proposal, &range);
                    range.backwards = false;
                    expect_proposed(&bench, &query, &proposal, &range);
                }
            }
        }
        end(&bench);
    }
}

/* ---- what it costs ---- */

/* Ten events have one tag, of which four have the other one too. */
static void make_density(uint64_t others)
{
    memset(events, 0, sizeof(events));
    for (uint64_t position = 1; position <= 10; position++)
        events[position].tags = position <= 4 ? 3 : 1;
    for (uint64_t position = 11; position <= others + 6; position++)
        events[position].tags = 2;
}

Test(candidates, a_list_is_asked_up_to_a_density)
{
    const char *const tags[] = {"k:0", "k:1"};
    const char *const turned[] = {"k:1", "k:0"};

    for (enum place place = TAIL; place < PLACES; place++) {
        for (uint64_t more = 0; more < 2; more++) {
            const quipu_query_item item = {.tags = tags, .tag_count = 2};
            const quipu_query_item other = {.tags = turned, .tag_count = 2};
            struct bench bench;

            make_density(10 * DENSITY + more);
            begin(&bench, 10 * DENSITY + 6 + more, place);
            cr_expect_eq(count_proposals(&bench, &item), more == 0 ? 4 : 10, "in %d", place);
            cr_expect_eq(count_proposals(&bench, &other), more == 0 ? 4 : 10, "in %d", place);
            end(&bench);
        }
    }
}

/* Several types drive if together they are shorter than each other list. */
static void make_types(uint64_t first, uint64_t second, uint64_t tagged)
{
    memset(events, 0, sizeof(events));
    for (uint64_t position = 1; position <= tagged + 1000; position++)
        events[position] = (struct event){.type = 3, .tags = position <= tagged};
    for (uint64_t i = 0; i < first + second; i++)
        events[tagged - 100 + i].type = i < first ? 0 : 1;
}

Test(candidates, types_together_are_shorter)
{
    const char *const types[] = {"T1", "T0"};
    const char *const tags[] = {"k:0"};
    const quipu_query_item item = {.types = types, .tags = tags, .type_count = 2, .tag_count = 1};

    static const uint64_t tagged[] = {900, 1001, 1002, 1900};

    for (size_t i = 0; i < sizeof(tagged) / sizeof(tagged[0]); i++) {
        struct bench bench;

        make_types(1000, 1, tagged[i]);
        begin(&bench, tagged[i] + 900, BOTH);
        cr_expect_leq(count_proposals(&bench, &item), tagged[i] < 1001 ? tagged[i] : 1001);
        end(&bench);
    }
}

/* In which order they are given makes no difference. */
Test(candidates, types_in_any_order)
{
    static const uint64_t counts[][2] = {{1000, 1}, {1, 1000}, {900, 101}, {500, 501}};
    const char *const types[] = {"T0", "T1", "T0"};
    const char *const tags[] = {"k:0"};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const quipu_query_item item = {
            .types = types, .tags = tags, .type_count = 2, .tag_count = 1};
        const quipu_query_item turned = {
            .types = types + 1, .tags = tags, .type_count = 2, .tag_count = 1};
        struct bench bench;

        make_types(counts[i][0], counts[i][1], 1900);
        begin(&bench, 1900 + 900, BOTH);
        cr_expect_leq(count_proposals(&bench, &item), 1001, "case %zu", i);
        cr_expect_leq(count_proposals(&bench, &turned), 1001, "case %zu, turned", i);
        cr_expect_eq(count_proposals(&bench, &item), count_proposals(&bench, &turned), "case %zu",
                     i);
        end(&bench);
    }
}

/* The union: a position that several items have comes once. */
Test(candidates, each_position_once)
{
    const char *const types[] = {"T0", "T1", "T2", "T3"};
    const quipu_query_item items[] = {{.types = types, .type_count = 4},
                                      {.category = "c0"},
                                      {.stream = "c0-0"},
                                      {.category = "c1"}};

    make_history(2000);
    for (enum place place = TAIL; place < PLACES; place++) {
        const struct qp_candidates_range all = {0, 2000, false};
        const struct qp_candidates_range back = {0, 2000, true};
        struct bench bench;

        begin(&bench, 2000, place);
        cr_expect_eq(walk(&bench, &(quipu_query){items, 4}, &all), 2000);
        cr_expect_eq(walk(&bench, &(quipu_query){items, 4}, &back), 2000);
        end(&bench);
    }
}

/* A term that does not occur is a list of nothing; an item without a term is everything. */
Test(candidates, nothing_and_everything)
{
    const char *const types[] = {"T3", "none"};
    const char *const tags[] = {"k:0", "no:ne"};
    const quipu_query_item nothing[] = {
        {.stream = "none"},
        {.category = "none"},
        {.types = types + 1, .type_count = 1},
        {.tags = tags, .tag_count = 2},
        {.stream = "c0-0", .category = "none"},
        {.category = "none", .types = types, .type_count = 2},
    };
    const quipu_query_item items[] = {{.stream = "c0-0"}, {0}};
    const struct qp_candidates_range all = {0, 100, false};
    struct qp_candidates *candidates;
    struct qp_query query;
    struct bench bench;

    make_history(100);
    begin(&bench, 100, BOTH);
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
        cr_expect_eq(count_proposals(&bench, &nothing[i]), 0, "item %zu", i);
    cr_assert_eq(qp_query_copy(&(quipu_query){items, 2}, &query, NULL), QUIPU_OK);
    cr_expect_eq(qp_candidates_open(bench.moment, &query, &all, &candidates, NULL), QUIPU_OK);
    cr_expect_null(candidates);
    qp_query_release(&query);
    end(&bench);
}
