/* test_segment.c - segment.c: lists of a made-up history against a naive look at it, versions that
 * cannot be, and memory that runs out. */
#include "segment.h"
#include "support_events.h"
#include "support_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(segment);

enum { EVENTS = 6000 };

static struct support_event events[EVENTS];
static struct support_entry entries[EVENTS];

static const struct qp_term_list *find(const struct qp_segment *segment, enum qp_term_kind kind,
                                       const char *name)
{
    struct qp_key key;

    qp_key_term(&key, kind, (struct qp_bytes){name, strlen(name)});
    return qp_segment_find(segment, &key, qp_segment_hash(&key));
}

static bool add(struct qp_segment *segment, const char *stream, const char *type, uint64_t version)
{
    struct qp_record record = {
        .version = version, .stream = {stream, strlen(stream)}, .type = {type, strlen(type)}};

    return qp_segment_add(segment, &record);
}

/* Chunks of 3, 7, 15 ... offsets, linked both ways, numbered without gaps. */
static void check_shape(const struct qp_term_list *list)
{
    const struct qp_list_chunk *older = NULL;
    uint64_t number = list->first;
    uint32_t capacity = 3;

    for (const struct qp_list_chunk *chunk = list->oldest; chunk != NULL; chunk = chunk->newer) {
        cr_assert_eq(chunk->older, older);
        cr_assert_eq(chunk->first, number);
        cr_assert_eq(chunk->capacity, capacity);
        cr_assert(chunk->count > 0 && chunk->count <= capacity);
        cr_assert(chunk->newer == NULL || chunk->count == capacity);
        number += chunk->count;
        capacity = capacity * 2 + 1;
        if (capacity > QP_CHUNK_OFFSETS_MAX)
            capacity = QP_CHUNK_OFFSETS_MAX;
        older = chunk;
    }
    cr_assert_eq(list->newest, older);
    cr_assert_eq(number, list->first + list->count);
}

/* The list's known entries are those of the naive look; returns how many are not known. */
static uint64_t check_list(const struct qp_segment *segment, const struct qp_term_list *list,
                           bool by_version, size_t count)
{
    uint64_t positions[QP_CHUNK_OFFSETS_MAX];
    uint64_t absent = 0;
    size_t next = 0;

    check_shape(list);
    for (const struct qp_list_chunk *chunk = list->oldest; chunk != NULL; chunk = chunk->newer) {
        qp_chunk_positions(segment, chunk, positions);
        for (uint32_t i = 0; i < chunk->count; i++) {
            if (positions[i] == 0) {
                absent++;
                continue;
            }
            cr_assert_lt(next, count);
            cr_assert_eq(positions[i], entries[next].position);
            if (by_version)
                cr_assert_eq(chunk->first + i, entries[next].number);
            next++;
        }
    }
    cr_assert_eq(next, count);
    cr_assert_eq(list->first_offset, entries[0].position - segment->after);
    cr_assert_eq(list->last_offset, entries[count - 1].position - segment->after);
    return absent;
}

static void check_segment(const struct qp_segment *segment, bool some_damaged)
{
    uint64_t absent = 0;

    for (size_t i = 0; i < SUPPORT_TERMS; i++) {
        struct support_term term;
        const struct qp_term_list *list;
        size_t count;

        support_term(i, &term);
        count =
            support_entries(events, segment->after, segment->upto, term.kind, term.name, entries);
        list = find(segment, term.kind, term.name);
        cr_assert_eq(list != NULL, count > 0, "%d %s", (int)term.kind, term.name);
        if (list != NULL)
            absent += check_list(segment, list, term.kind == QP_TERM_STREAM, count);
    }
    cr_expect_eq(absent > 0, some_damaged);
    cr_expect_eq(segment->damaged, some_damaged);
}

static struct qp_segment *make(uint64_t after, uint64_t upto)
{
    struct qp_segment *segment = qp_segment_new(after);

    cr_assert_not_null(segment);
    for (uint64_t position = after + 1; position <= upto; position++) {
        struct qp_record record = support_record(&events[position - 1]);

        cr_assert(events[position - 1].damaged ? qp_segment_add_damaged(segment)
                                               : qp_segment_add(segment, &record));
    }
    cr_assert_eq(segment->upto, upto);
    return segment;
}

Test(segment, lists_of_a_history)
{
    struct support_random random = {10};

    for (int i = 0; i < 6; i++) {
        unsigned damaged = i % 2 == 0 ? 0 : 30;
        struct qp_segment *segment;

        support_make_events(&random, damaged, events, EVENTS);
        segment = make(i < 2 ? 0 : 1000, EVENTS);
        check_segment(segment, damaged > 0);
        cr_expect_gt(qp_segment_bytes(segment), EVENTS * 3 * 4);
        qp_segment_free(segment);
    }
    qp_segment_free(NULL);
}

Test(segment, empty)
{
    struct qp_segment *segment = qp_segment_new(41);
    size_t count = 7;
    const struct qp_term_list **lists;

    cr_assert_not_null(segment);
    cr_expect(segment->after == 41 && segment->upto == 41);
    cr_expect_null(find(segment, QP_TERM_STREAM, "x"));
    lists = qp_segment_sorted(segment, &count);
    cr_expect_not_null(lists);
    cr_expect_eq(count, 0);
    qp_free((void *)lists);
    qp_segment_free(segment);
}

/* ---- versions ---- */

/* Into a segment after position 100 with "s" of version 50 at 101: does the next one fit? Position
 * 102 + skipped. */
static const struct {
    const char *what;
    uint64_t version;
    unsigned skipped;
    bool fits;
} versions[] = {
    {"the next", 51, 0, true},
    {"the same again", 50, 0, false},
    {"one before", 49, 0, false},
    {"version 0", 0, 0, false},
    {"one too many for its place", 52, 0, false},
    {"one was lost", 52, 1, true},
    {"none was lost", 51, 1, true},
    {"two lost of one", 53, 1, false},
    {"five were lost", 56, 5, true},
    {"six lost of five", 57, 5, false},
    {"more than there are positions", 103, 0, false},
    {"an absurd one", UINT64_MAX, 0, false},
};

Test(segment, versions_that_follow)
{
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        struct qp_segment *segment = qp_segment_new(100);
        const struct qp_term_list *list;
        uint64_t upto;

        cr_assert_not_null(segment);
        cr_assert(add(segment, "s", "T", 50));
        for (unsigned j = 0; j < versions[i].skipped; j++)
            cr_assert(add(segment, "other", "T", 1 + j));
        upto = segment->upto;
        cr_assert(add(segment, "s", "U", versions[i].version));
        cr_expect_eq(segment->upto, upto + 1, "%s", versions[i].what);
        cr_expect_eq(segment->damaged, !versions[i].fits, "%s", versions[i].what);
        list = find(segment, QP_TERM_STREAM, "s");
        cr_expect_eq(list->first, 50);
        cr_expect_eq(list->count, versions[i].fits ? versions[i].version - 49 : 1, "%s",
                     versions[i].what);
        cr_expect_eq(find(segment, QP_TERM_TYPE, "U") != NULL, versions[i].fits, "%s",
                     versions[i].what);
        cr_expect_eq(find(segment, QP_TERM_DAMAGED, "") != NULL, !versions[i].fits, "%s",
                     versions[i].what);
        check_shape(list);
        qp_segment_free(segment);
    }
}

Test(segment, first_version_is_within_its_position)
{
    struct qp_segment *segment = qp_segment_new(100);

    cr_assert_not_null(segment);
    cr_assert(add(segment, "a", "T", 101));
    cr_expect_not(segment->damaged);
    cr_assert(add(segment, "b", "T", 103));
    cr_expect(segment->damaged);
    cr_expect_null(find(segment, QP_TERM_STREAM, "b"));
    cr_assert(add(segment, "c", "T", 0));
    cr_expect_null(find(segment, QP_TERM_STREAM, "c"));
    cr_expect_eq(find(segment, QP_TERM_DAMAGED, "")->count, 2);
    qp_segment_free(segment);
}

/* ---- the table ---- */

Test(segment, many_lists_in_the_order_of_their_keys)
{
    enum { LISTS = 5000 };
    struct qp_segment *segment = qp_segment_new(0);
    const struct qp_term_list **lists;
    size_t count = 0;

    cr_assert_not_null(segment);
    for (unsigned i = 0; i < LISTS; i++) {
        char stream[32];

        (void)snprintf(stream, sizeof(stream), "%c%.*s%u", 'a' + (int)(i % 7), (int)(i % 5),
                       "xyxyx", i);
        cr_assert(add(segment, stream, "T", 1));
    }
    lists = qp_segment_sorted(segment, &count);
    cr_assert_not_null(lists);
    cr_expect_eq(count, 2 * LISTS + 1, "a stream, its category, and one type");
    for (size_t i = 1; i < count; i++) {
        const struct qp_term_list *a = lists[i - 1];
        const struct qp_term_list *b = lists[i];
        size_t size = a->key_size < b->key_size ? a->key_size : b->key_size;
        int order = memcmp(a->key, b->key, size);

        cr_assert(order < 0 || (order == 0 && a->key_size < b->key_size), "list %zu", i);
    }
    qp_free((void *)lists);
    qp_segment_free(segment);
}

Test(segment, longest_names)
{
    char *name = support_repeat('n', QP_NAME_MAX);
    struct qp_segment *segment = qp_segment_new(0);

    cr_assert_not_null(segment);
    for (unsigned i = 0; i < 100; i++) {
        name[0] = (char)('A' + i % 26);
        name[1] = (char)('A' + i / 26);
        cr_assert(add(segment, name, name, 1));
    }
    cr_expect_not_null(find(segment, QP_TERM_STREAM, name));
    cr_expect_eq(find(segment, QP_TERM_TYPE, name)->key_size, 256);
    qp_segment_free(segment);
    free(name);
}

/* ---- memory runs out ---- */

Test(segment, out_of_memory_adds_nothing)
{
    struct support_random random = {11};
    struct qp_segment *segment;
    uint64_t refused = 0;

    support_make_events(&random, 20, events, EVENTS);
    support_heap_fail(1, false);
    cr_expect_null(qp_segment_new(0));
    support_heap_fail(2, false);
    cr_expect_null(qp_segment_new(0));
    support_heap_fail(0, false);
    segment = qp_segment_new(0);
    cr_assert_not_null(segment);
    for (uint64_t position = 1; position <= EVENTS; position++) {
        const struct support_event *event = &events[position - 1];
        struct qp_record record = support_record(event);
        bool done;

        support_heap_fail(1, true);
        done = event->damaged ? qp_segment_add_damaged(segment) : qp_segment_add(segment, &record);
        support_heap_fail(0, false);
        if (done)
            continue;
        refused++;
        cr_assert_eq(segment->upto, position - 1);
        cr_assert(event->damaged ? qp_segment_add_damaged(segment)
                                 : qp_segment_add(segment, &record));
    }
    cr_expect_geq(refused, 2, "%llu times", (unsigned long long)refused);
    check_segment(segment, true);
    qp_segment_free(segment);
}

/* Between the lost versions of a stream and the one that follows them. */
Test(segment, out_of_memory_among_lost_versions)
{
    for (long n = 1; n < 20; n++) {
        struct qp_segment *segment = qp_segment_new(0);
        bool done;

        cr_assert_not_null(segment);
        cr_assert(add(segment, "s", "T", 1));
        for (uint64_t i = 0; i < 3000; i++)
            cr_assert(qp_segment_add_damaged(segment));
        support_heap_fail(n, true);
        done = add(segment, "s", "T", 3002);
        support_heap_fail(0, false);
        if (!done) {
            cr_expect_eq(segment->upto, 3001);
            cr_assert(add(segment, "s", "T", 3002));
        }
        cr_expect_eq(segment->upto, 3002);
        cr_expect_eq(find(segment, QP_TERM_STREAM, "s")->count, 3002);
        cr_expect_eq(find(segment, QP_TERM_TYPE, "T")->count, 2);
        cr_expect_eq(find(segment, QP_TERM_DAMAGED, "")->count, 3000);
        check_shape(find(segment, QP_TERM_STREAM, "s"));
        qp_segment_free(segment);
        if (done)
            return;
    }
    cr_expect(false, "it never succeeded");
}

/* ... wherever in a block of the arena that is: the lost ones fill their chunk, so that the one
 * that follows needs a new one. */
Test(segment, out_of_memory_after_lost_versions)
{
    for (unsigned fillers = 0; fillers < 160; fillers++) {
        struct qp_segment *segment = qp_segment_new(0);
        char stream[256];

        cr_assert_not_null(segment);
        for (unsigned i = 0; i < fillers; i++) {
            (void)snprintf(stream, sizeof(stream), "%0200u", i);
            cr_assert(add(segment, stream, "T", 1));
        }
        cr_assert(add(segment, "s", "T", 1));
        for (int i = 0; i < 2035; i++)
            cr_assert(qp_segment_add_damaged(segment));
        support_heap_fail(1, true);
        if (!add(segment, "s", "U", 2037)) {
            support_heap_fail(0, false);
            cr_assert(add(segment, "s", "U", 2037), "%u before it", fillers);
        }
        support_heap_fail(0, false);
        cr_expect_eq(find(segment, QP_TERM_STREAM, "s")->count, 2037);
        cr_expect_eq(find(segment, QP_TERM_TYPE, "U")->count, 1);
        check_shape(find(segment, QP_TERM_STREAM, "s"));
        qp_segment_free(segment);
    }
}

Test(segment, out_of_memory_for_the_order)
{
    struct qp_segment *segment = qp_segment_new(0);
    size_t count;

    cr_assert_not_null(segment);
    support_heap_fail(1, false);
    cr_expect_null(qp_segment_sorted(segment, &count));
    qp_segment_free(segment);
}
