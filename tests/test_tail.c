/* test_tail.c - tail.c: what it finds of a made-up history for any (indexed, head], and which
 * segments live when, with pins, merges and resets. */
#include "support_events.h"
#include "support_suite.h"
#include "tail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(tail);

enum { EVENTS = 50000, SEGMENT = 16384 }; /* three segments and a piece */

static struct support_event events[EVENTS];
static struct support_entry entries[EVENTS];

/* A log of the history, a snapshot of it, and a tail. */
struct bench {
    struct qp_store *store;
    struct qp_txn txn;
    struct qp_log_cursor log;
    struct qp_tail tail;
};

static void open_log(struct bench *bench)
{
    cr_assert_eq(qp_txn_begin_read(bench->store, &bench->txn, NULL), QUIPU_OK);
    cr_assert_eq(qp_log_open(&bench->log, &bench->txn, true, NULL), QUIPU_OK);
}

static void close_log(struct bench *bench)
{
    qp_log_close(&bench->log);
    qp_txn_end(&bench->txn);
    bench->txn = (struct qp_txn){0};
}

static void begin(struct bench *bench, unsigned damaged_of_1000, size_t count, uint64_t base)
{
    struct support_random random = {12 + damaged_of_1000};

    *bench = (struct bench){.store = support_open_log("log.mdb", 64 * QP_MIB)};
    support_make_events(&random, damaged_of_1000, events, count);
    support_append_events(bench->store, events, 0, count);
    open_log(bench);
    qp_tail_init(&bench->tail, base);
}

static void end(struct bench *bench)
{
    qp_tail_release(&bench->tail);
    close_log(bench);
    qp_store_close(bench->store);
}

static int try_pin(struct bench *bench, uint64_t indexed, uint64_t head, struct qp_pin *pin)
{
    quipu_error error = {0};

    return qp_tail_pin(&bench->tail, indexed, head, &bench->log, pin, &error);
}

static void pin_to(struct bench *bench, uint64_t indexed, uint64_t head, struct qp_pin *pin)
{
    int rc = try_pin(bench, indexed, head, pin);

    cr_assert_eq(rc, QUIPU_ROW, "(%llu, %llu] of (%llu, %llu]: %d", (unsigned long long)indexed,
                 (unsigned long long)head, (unsigned long long)bench->tail.base,
                 (unsigned long long)bench->tail.top, rc);
}

/* Fold it all, sealed where a merge would have done it. */
static void fold_in_segments(struct bench *bench, uint64_t indexed)
{
    struct qp_pin all;

    pin_to(bench, indexed, indexed, &all); /* a tail without segments is not sealed: no harm */
    for (uint64_t head = indexed + SEGMENT; head <= EVENTS; head += SEGMENT) {
        qp_tail_seal(&bench->tail);
        pin_to(bench, indexed, head, &all);
        qp_tail_unpin(&bench->tail, &all);
        qp_tail_seal(&bench->tail);
        qp_tail_seal(&bench->tail); /* again: nothing to do */
    }
    pin_to(bench, indexed, EVENTS, &all);
    qp_tail_unpin(&bench->tail, &all);
}

/* ---- what it finds ---- */

/* Walk a term's runs one way: the known entries are those of the naive look. */
static uint64_t check_runs(struct bench *bench, const struct qp_pin *pin, const struct qp_key *key,
                           bool backwards, size_t count)
{
    bool by_version = key->bytes[0] == QP_TERM_STREAM;
    uint64_t total = 0;
    size_t next = 0;
    struct qp_tail_run run;

    qp_tail_first(&bench->tail, pin, key, backwards, &run);
    for (; run.segment != NULL; qp_tail_next(&bench->tail, pin, key, backwards, &run)) {
        uint64_t positions[QP_CHUNK_OFFSETS_MAX];
        uint64_t first = 0;
        size_t size = qp_tail_copy(&bench->tail, pin, &run, positions, &first);

        total += size;
        for (size_t i = 0; i < size; i++) {
            size_t at = backwards ? size - 1 - i : i;
            const struct support_entry *entry;

            if (positions[at] == 0)
                continue;
            cr_assert_lt(next, count);
            entry = &entries[backwards ? count - 1 - next : next];
            cr_assert_eq(positions[at], entry->position);
            cr_assert(!by_version || first + at == entry->number);
            next++;
        }
    }
    cr_assert_eq(next, count);
    return total;
}

static void check_term(struct bench *bench, const struct qp_pin *pin,
                       const struct support_term *term)
{
    size_t count =
        support_entries(events, pin->indexed, pin->head, term->kind, term->name, entries);
    uint64_t number = 0;
    uint64_t position = 0;
    uint64_t total;
    struct qp_key key;

    qp_key_term(&key, term->kind, (struct qp_bytes){term->name, strlen(term->name)});
    cr_assert_eq(qp_tail_newest(&bench->tail, pin, &key, &number, &position), count > 0);
    if (count > 0) {
        cr_assert_eq(position, entries[count - 1].position);
        cr_assert(term->kind != QP_TERM_STREAM || number == entries[count - 1].number);
    }
    total = check_runs(bench, pin, &key, false, count);
    cr_assert_eq(check_runs(bench, pin, &key, true, count), total);
    cr_assert_geq(total, count);
    cr_assert_geq(qp_tail_count(&bench->tail, pin, &key), total);
    if (term->kind != QP_TERM_STREAM || !pin->damaged)
        cr_assert_eq(qp_tail_count(&bench->tail, pin, &key), count, "only versions can be absent");
}

/* All positions of an event's id, one after the other. */
static void check_id(struct bench *bench, const struct qp_pin *pin,
                     const struct support_event *event)
{
    uint8_t name[QP_ID_NAME_BYTES];
    uint64_t position = pin->indexed;
    uint64_t found;

    support_id_name(event, name);
    found = qp_tail_id(&bench->tail, pin, name, 0);
    for (;;) {
        position = support_find_id(events, position, pin->head, event);
        cr_assert_eq(found, position, "of (%lu, %lu]: %lu instead of %lu", pin->indexed, pin->head,
                     found, position);
        if (position == 0)
            return;
        found = qp_tail_id(&bench->tail, pin, name, position);
    }
}

/* Of some events of the whole history: what is pinned may have them or not. */
static void check_ids(struct bench *bench, const struct qp_pin *pin)
{
    uint64_t step = 1 + (pin->head - pin->indexed) / 5;

    for (uint64_t position = pin->indexed / 2; position < pin->head; position += step)
        if (events[position].has_id)
            check_id(bench, pin, &events[position]);
}

static void check_pin(struct bench *bench, const struct qp_pin *pin)
{
    check_ids(bench, pin);
    for (size_t i = 0; i < SUPPORT_TERMS; i++) {
        struct support_term term;

        support_term(i, &term);
        check_term(bench, pin, &term);
    }
}

static void check_ranges(unsigned damaged_of_1000)
{
    static const uint64_t edges[] = {0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 32768, 49999, EVENTS};
    enum { EDGES = sizeof(edges) / sizeof(edges[0]) };
    struct support_random random = {13};
    struct bench bench;
    struct qp_pin all; /* keeps all segments */

    begin(&bench, damaged_of_1000, EVENTS, 0);
    fold_in_segments(&bench, 0);
    pin_to(&bench, 0, EVENTS, &all);
    cr_expect_eq(all.damaged, damaged_of_1000 > 0);
    for (int i = 0; i < EDGES + 20; i++) {
        uint64_t indexed = i < EDGES ? edges[i] : support_random_below(&random, EVENTS);
        uint64_t head = i < EDGES ? EVENTS : indexed + support_random_below(&random, 3000);
        struct qp_pin pin;

        head = head > EVENTS ? EVENTS : head;
        pin_to(&bench, indexed, head, &pin);
        check_pin(&bench, &pin);
        qp_tail_unpin(&bench.tail, &pin);
    }
    qp_tail_unpin(&bench.tail, &all);
    end(&bench);
}

Test(tail, finds_what_is_there)
{
    check_ranges(0);
}

Test(tail, finds_what_is_there_among_damage)
{
    check_ranges(20);
}

/* Pins that begin or end at the event itself, beside it, and at the next one with its id. */
static void check_id_edges(struct bench *bench, uint64_t position)
{
    const struct support_event *event = &events[position - 1];
    uint64_t next = support_find_id(events, position, EVENTS, event);
    const uint64_t heads[] = {position - 1, position, next == 0 ? EVENTS : next - 1,
                              next == 0 ? EVENTS : next, EVENTS};
    uint8_t name[QP_ID_NAME_BYTES];
    struct qp_pin pin;

    support_id_name(event, name);
    for (uint64_t indexed = position - 1; indexed <= position; indexed++) {
        for (size_t i = indexed < position ? 0 : 1; i < sizeof(heads) / sizeof(heads[0]); i++) {
            uint64_t later = next <= heads[i] ? next : 0;
            uint64_t first = indexed < position && heads[i] >= position ? position : later;

            pin_to(bench, indexed, heads[i], &pin);
            check_id(bench, &pin, event);
            cr_expect_eq(qp_tail_id(&bench->tail, &pin, name, 0), first);
            cr_expect_eq(qp_tail_id(&bench->tail, &pin, name, position - 1), first);
            cr_expect_eq(qp_tail_id(&bench->tail, &pin, name, position), later);
            qp_tail_unpin(&bench->tail, &pin);
        }
    }
}

Test(tail, ids_at_the_edges_of_a_pin)
{
    struct support_random random = {14};
    struct bench bench;
    struct qp_pin all; /* keeps all segments */

    begin(&bench, 0, EVENTS, 0);
    fold_in_segments(&bench, 0);
    pin_to(&bench, 0, EVENTS, &all);
    for (uint64_t end = SEGMENT; end < EVENTS; end += SEGMENT)
        for (uint64_t position = end - 3; position <= end + 4; position++)
            if (events[position - 1].has_id)
                check_id_edges(&bench, position);
    for (int i = 0; i < 60; i++) {
        uint64_t position = 1 + support_random_below(&random, EVENTS);

        if (events[position - 1].has_id)
            check_id_edges(&bench, position);
    }
    qp_tail_unpin(&bench.tail, &all);
    end(&bench);
}

Test(tail, nothing_between_indexed_and_head)
{
    struct bench bench;
    struct qp_pin pin;
    struct qp_key key;
    struct qp_tail_run run;
    uint64_t number;
    uint64_t position;

    begin(&bench, 0, 100, 0);
    qp_key_term(&key, QP_TERM_STREAM, QP_LITERAL("c0-0"));
    for (uint64_t at = 0; at <= 100; at += 50) {
        pin_to(&bench, at, at, &pin);
        cr_expect_null(pin.first);
        cr_expect_not(qp_tail_newest(&bench.tail, &pin, &key, &number, &position));
        cr_expect_eq(qp_tail_count(&bench.tail, &pin, &key), 0);
        qp_tail_first(&bench.tail, &pin, &key, false, &run);
        cr_expect_null(run.segment);
        qp_tail_unpin(&bench.tail, &pin);
    }
    end(&bench);
}

/* ---- each ---- */

struct visits {
    struct bench *bench;
    const struct qp_pin *pin;
    uint64_t counts[SUPPORT_STREAMS];
    uint64_t last[SUPPORT_STREAMS];
    unsigned calls;
    unsigned stop_after;
};

static bool visit(void *payload, const struct qp_tail_term *term)
{
    struct visits *visits = payload;
    unsigned long number = strtoul((const char *)term->name.data + 3, NULL, 10);

    cr_assert_lt(number, SUPPORT_STREAMS);
    cr_assert(term->first_position > visits->last[number] || visits->counts[number] == 0);
    cr_assert(term->first_position > visits->pin->indexed);
    cr_assert(term->last_position <= visits->pin->head);
    cr_assert_geq(term->last_position, term->first_position);
    visits->counts[number] += term->count;
    visits->last[number] = term->last_position;
    return ++visits->calls != visits->stop_after;
}

Test(tail, each_term_of_a_kind)
{
    struct bench bench;
    struct qp_pin pin;
    struct visits visits = {.bench = &bench, .pin = &pin};

    begin(&bench, 0, EVENTS, 0);
    fold_in_segments(&bench, 0);
    pin_to(&bench, 7000, 45000, &pin);
    cr_expect(qp_tail_each(&bench.tail, &pin, QP_TERM_STREAM, QP_LITERAL(""), visit, &visits));
    for (size_t i = 0; i < SUPPORT_STREAMS; i++) {
        struct support_term term;
        size_t count;

        support_term(i, &term);
        count = support_entries(events, 7000, 45000, QP_TERM_STREAM, term.name, entries);
        cr_expect_eq(visits.counts[i], count, "%s", term.name);
        cr_expect_eq(visits.last[i], entries[count - 1].position, "%s", term.name);
    }
    cr_expect_eq(visits.calls, 3 * SUPPORT_STREAMS, "once a segment");

    visits = (struct visits){.bench = &bench, .pin = &pin};
    cr_expect(qp_tail_each(&bench.tail, &pin, QP_TERM_STREAM, QP_LITERAL("c1-"), visit, &visits));
    cr_expect_eq(visits.calls, 3 * 3, "1, 5 and 9");
    visits = (struct visits){.bench = &bench, .pin = &pin, .stop_after = 4};
    cr_expect_not(qp_tail_each(&bench.tail, &pin, QP_TERM_STREAM, QP_LITERAL(""), visit, &visits));
    cr_expect_eq(visits.calls, 4);
    qp_tail_unpin(&bench.tail, &pin);
    end(&bench);
}

/* Versions lost at the end of a chunk belong to the known one after them, in the next chunk. */
Test(tail, counts_lost_versions_between_chunks)
{
    struct qp_tail tail;
    struct bench bench;
    struct qp_pin pin;
    struct qp_key key;

    begin(&bench, 0, 1, 0);
    qp_tail_release(&bench.tail);
    close_log(&bench);
    for (size_t i = 0; i < 10; i++) {
        /* versions 1 to 10 of one stream: a chunk has 2 to 4, the next 5 to 11 */
        events[i] = (struct support_event){
            .stream = "s", .type = "T", .version = i + 1, .damaged = i >= 3 && i <= 7};
    }
    support_append_events(bench.store, events, 1, 10);
    open_log(&bench);
    qp_tail_init(&tail, 1);
    bench.tail = tail;
    pin_to(&bench, 1, 10, &pin);
    qp_key_term(&key, QP_TERM_STREAM, QP_LITERAL("s"));
    cr_expect_eq(qp_tail_count(&bench.tail, &pin, &key), 9, "versions 2 to 10: %llu",
                 (unsigned long long)qp_tail_count(&bench.tail, &pin, &key));
    qp_tail_unpin(&bench.tail, &pin);
    end(&bench);
}

/* ---- damage ---- */

/* Missing at the end, at the begin, and all of them. */
Test(tail, missing_positions_count_as_damaged)
{
    struct bench bench;
    struct qp_pin pin;
    struct qp_key key;

    begin(&bench, 0, 10, 0);
    close_log(&bench);
    memcpy(&events[20], &events[0], 10 * sizeof(events[0])); /* of streams of their own */
    for (size_t i = 20; i < 30; i++)
        (void)snprintf(events[i].stream, sizeof(events[i].stream), "new-%zu", i);
    support_append_events(bench.store, events, 20, 30);
    open_log(&bench);
    qp_key_term(&key, QP_TERM_DAMAGED, QP_LITERAL(""));
    pin_to(&bench, 0, 40, &pin);
    cr_expect(pin.damaged);
    cr_expect_eq(qp_tail_count(&bench.tail, &pin, &key), 20);
    cr_expect_eq(bench.tail.top, 40);
    qp_tail_unpin(&bench.tail, &pin);
    end(&bench);
}

/* An error is told to the caller only if there is one: what was read around is no failure. */
Test(tail, damage_leaves_the_error_alone)
{
    struct bench bench;
    struct qp_pin pin;
    quipu_error error = {0};

    begin(&bench, 100, 100, 0);
    cr_expect_eq(qp_tail_pin(&bench.tail, 0, 100, &bench.log, &pin, &error), QUIPU_ROW);
    cr_expect_eq(error.status, 0, "%s", error.text);
    qp_tail_unpin(&bench.tail, &pin);
    end(&bench);
}

Test(tail, too_many_missing_to_tell)
{
    struct bench bench;
    struct qp_pin pin;

    begin(&bench, 0, 10, 0);
    cr_expect_eq(try_pin(&bench, 0, QP_UNMERGED_MAX + 100, &pin), QUIPU_CORRUPT);
    cr_expect_null(pin.first);
    end(&bench);
}

Test(tail, newer_record_ends_the_fold)
{
    struct bench bench;
    struct qp_pin pin;
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;
    uint8_t record[80];
    quipu_draft draft = {.type = "T"};
    struct qp_stamp stamp = {.position = 11, .version = 1};

    begin(&bench, 0, 10, 0);
    close_log(&bench);
    (void)qp_record_build(&draft, QP_LITERAL("s"), record);
    record[16] = 128; /* a flag of a later format */
    (void)qp_record_stamp(record, qp_record_bytes(&draft, 1), &stamp);
    cr_assert_eq(qp_txn_begin_write(bench.store, &txn, NULL), QUIPU_OK);
    cr_assert_eq(qp_log_append(&txn, 11, record, qp_record_bytes(&draft, 1), NULL), QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&txn, &outcome, NULL), QUIPU_OK);
    open_log(&bench);
    cr_expect_eq(try_pin(&bench, 0, 11, &pin), QUIPU_NEWER_FORMAT);
    cr_expect_eq(bench.tail.top, 10);
    pin_to(&bench, 0, 10, &pin);
    qp_tail_unpin(&bench.tail, &pin);
    end(&bench);
}

/* ---- which segments live ---- */

static unsigned segments(const struct qp_tail *tail)
{
    unsigned count = 0;
    uint64_t after = tail->base;

    for (const struct qp_segment *segment = tail->oldest; segment != NULL;
         segment = segment->newer) {
        cr_assert_eq(segment->after, after, "contiguous");
        after = segment->upto;
        count++;
    }
    cr_assert_eq(after, tail->top);
    return count;
}

Test(tail, prune_drops_from_the_front)
{
    static const struct {
        uint64_t indexed;
        unsigned left;
        uint64_t base;
    } steps[] = {{0, 4, 0},         {16383, 4, 0},     {16384, 3, 16384},   {16384, 3, 16384},
                 {40000, 2, 32768}, {49999, 1, 49152}, {EVENTS, 0, EVENTS}, {EVENTS, 0, EVENTS}};
    struct bench bench;
    uint64_t bytes;

    begin(&bench, 0, EVENTS, 0);
    fold_in_segments(&bench, 0);
    bytes = qp_tail_bytes(&bench.tail);
    cr_expect_gt(bytes, EVENTS * 3 * 4);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        qp_tail_prune(&bench.tail, steps[i].indexed);
        cr_expect_eq(segments(&bench.tail), steps[i].left, "step %zu", i);
        cr_expect_eq(bench.tail.base, steps[i].base, "step %zu", i);
        cr_expect(qp_tail_bytes(&bench.tail) <= bytes);
        bytes = qp_tail_bytes(&bench.tail);
    }
    cr_expect_eq(bytes, 0);
    cr_expect_eq(bench.tail.top, EVENTS);
    end(&bench);
}

/* Who merged does not tell the other processes: they see it in their next snapshot. */
Test(tail, pinning_drops_what_the_index_has)
{
    struct bench bench;
    struct qp_pin pin;

    begin(&bench, 0, EVENTS, 0);
    fold_in_segments(&bench, 0);
    cr_expect_eq(segments(&bench.tail), 4);
    pin_to(&bench, 33000, EVENTS, &pin);
    cr_expect_eq(segments(&bench.tail), 2);
    cr_expect_eq(bench.tail.base, 32768);
    check_pin(&bench, &pin);
    qp_tail_unpin(&bench.tail, &pin);
    end(&bench);
}

Test(tail, pinned_segment_keeps_all_after_it)
{
    struct bench bench;
    struct qp_pin first;
    struct qp_pin third;

    begin(&bench, 0, EVENTS, 0);
    fold_in_segments(&bench, 0);
    pin_to(&bench, 100, 200, &first);
    pin_to(&bench, 33000, 34000, &third);
    cr_expect(first.first == first.last && third.first == third.last);
    cr_expect_neq(first.first, third.first);
    qp_tail_prune(&bench.tail, EVENTS);
    cr_expect_eq(segments(&bench.tail), 4);
    check_pin(&bench, &first);
    qp_tail_unpin(&bench.tail, &first);
    qp_tail_prune(&bench.tail, EVENTS);
    cr_expect_eq(segments(&bench.tail), 2, "from the front up to the pinned one");
    check_pin(&bench, &third);
    qp_tail_unpin(&bench.tail, &third);
    qp_tail_prune(&bench.tail, EVENTS);
    cr_expect_eq(segments(&bench.tail), 0);
    end(&bench);
}

/* What a merge may take: sealed segments from exactly where the index ends. */
static const struct {
    uint64_t indexed;
    uint64_t head;
    uint64_t upto; /* of what is pinned; `indexed`: nothing */
} sealed[] = {
    {0, EVENTS, 49152},     {0, 49152, 49152},
    {0, 49151, 32768},      {0, 16384, 16384},
    {0, 16383, 0},          {0, 0, 0},
    {16384, EVENTS, 49152}, {32768, EVENTS, 49152},
    {49152, EVENTS, 49152}, /* the last one is not sealed */
    {100, EVENTS, 100},     /* another process has merged up to within a segment */
    {20000, EVENTS, 20000}, {49000, EVENTS, 49000},
    {49500, EVENTS, 49500}, {EVENTS, EVENTS, EVENTS},
};

Test(tail, pins_what_is_sealed)
{
    struct bench bench;
    struct qp_pin all;

    begin(&bench, 0, EVENTS, 0);
    fold_in_segments(&bench, 0);
    pin_to(&bench, 0, EVENTS, &all);
    for (size_t i = 0; i < sizeof(sealed) / sizeof(sealed[0]); i++) {
        struct qp_pin pin;

        qp_tail_pin_sealed(&bench.tail, sealed[i].indexed, sealed[i].head, &pin);
        cr_expect_eq(pin.first != NULL, sealed[i].upto > sealed[i].indexed, "case %zu", i);
        cr_expect_eq(pin.indexed, sealed[i].indexed, "case %zu", i);
        cr_expect_eq(pin.head, sealed[i].upto, "case %zu", i);
        if (pin.first != NULL) {
            cr_expect_eq(pin.first->after, sealed[i].indexed, "case %zu", i);
            cr_expect_eq(pin.last->upto, sealed[i].upto, "case %zu", i);
        }
        qp_tail_unpin(&bench.tail, &pin);
    }
    qp_tail_unpin(&bench.tail, &all);
    end(&bench);
}

Test(tail, pinned_in_the_middle)
{
    struct bench bench;
    struct qp_pin pin;

    begin(&bench, 0, EVENTS, 0);
    fold_in_segments(&bench, 0);
    pin_to(&bench, 20000, 21000, &pin);
    qp_tail_prune(&bench.tail, EVENTS);
    cr_expect_eq(segments(&bench.tail), 3, "the first one went");
    check_pin(&bench, &pin);
    qp_tail_unpin(&bench.tail, &pin);
    qp_tail_prune(&bench.tail, EVENTS);
    cr_expect_eq(segments(&bench.tail), 0);
    end(&bench);
}

/* An index far ahead: the tail begins anew there, what is pinned lives until it is let go of. */
Test(tail, reset_while_pinned)
{
    struct bench bench;
    struct qp_pin old;
    struct qp_pin older;
    struct qp_pin young;

    begin(&bench, 0, EVENTS, 0);
    pin_to(&bench, 0, 20000, &old);
    pin_to(&bench, 0, 10000, &older);
    pin_to(&bench, 40000, 41000, &young);
    cr_expect_eq(bench.tail.base, 40000);
    cr_expect_eq(bench.tail.top, 41000);
    cr_expect_eq(segments(&bench.tail), 1);
    check_pin(&bench, &old);
    check_pin(&bench, &older);
    check_pin(&bench, &young);
    qp_tail_prune(&bench.tail, EVENTS);
    check_pin(&bench, &old);
    qp_tail_unpin(&bench.tail, &old);
    check_pin(&bench, &older);
    qp_tail_unpin(&bench.tail, &older);
    qp_tail_unpin(&bench.tail, &young);
    qp_tail_prune(&bench.tail, EVENTS);
    cr_expect_eq(qp_tail_bytes(&bench.tail), 0);
    end(&bench);
}

Test(tail, begins_after_what_is_asked)
{
    struct bench bench;
    struct qp_pin pin;

    begin(&bench, 0, EVENTS, 0);
    fold_in_segments(&bench, 0);
    qp_tail_prune(&bench.tail, SEGMENT);
    cr_expect_eq(try_pin(&bench, SEGMENT - 1, EVENTS, &pin), QUIPU_OK,
                 "a newer snapshot is to be had");
    cr_expect_null(pin.first);
    pin_to(&bench, SEGMENT, EVENTS, &pin);
    qp_tail_unpin(&bench.tail, &pin);
    cr_expect_null(pin.first, "it pins nothing any more");
    end(&bench);
}

/* The segment that another process's merge ended in goes when little of it is not in the index. */
Test(tail, mostly_indexed_segment_is_not_kept)
{
    static const struct {
        uint64_t indexed;
        uint64_t base; /* afterwards */
    } cases[] = {
        {EVENTS - QP_MERGE_EVENTS_MIN, 0}, /* too much to fold again */
        {EVENTS - QP_MERGE_EVENTS_MIN + 1, EVENTS - QP_MERGE_EVENTS_MIN + 1},
        {EVENTS - 1, EVENTS - QP_MERGE_EVENTS_MIN + 1}, /* too little gained */
        {EVENTS, EVENTS},
    };
    struct bench bench;
    struct qp_pin pin;
    struct qp_pin other;

    begin(&bench, 20, EVENTS, 0);
    pin_to(&bench, 0, EVENTS, &pin);
    pin_to(&bench, EVENTS - 1, EVENTS, &other);
    cr_expect_eq(bench.tail.base, 0, "who pins it may need it");
    qp_tail_unpin(&bench.tail, &other);
    qp_tail_unpin(&bench.tail, &pin);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pin_to(&bench, cases[i].indexed, EVENTS, &pin);
        cr_expect_eq(bench.tail.base, cases[i].base, "case %zu: %llu", i,
                     (unsigned long long)bench.tail.base);
        cr_expect_eq(bench.tail.top, EVENTS);
        check_pin(&bench, &pin);
        qp_tail_unpin(&bench.tail, &pin);
    }
    cr_expect_eq(try_pin(&bench, 0, EVENTS, &pin), QUIPU_OK, "a newer snapshot is to be had");
    cr_expect_eq(qp_tail_bytes(&bench.tail), 0);
    end(&bench);
}

Test(tail, folds_only_as_far_as_asked)
{
    struct bench bench;
    struct qp_pin pin;

    begin(&bench, 0, 1000, 0);
    pin_to(&bench, 0, 10, &pin);
    cr_expect_eq(bench.tail.top, 10);
    qp_tail_unpin(&bench.tail, &pin);
    pin_to(&bench, 0, 1000, &pin);
    cr_expect_eq(bench.tail.top, 1000);
    qp_tail_unpin(&bench.tail, &pin);
    pin_to(&bench, 0, 500, &pin);
    cr_expect_eq(bench.tail.top, 1000);
    check_pin(&bench, &pin);
    qp_tail_unpin(&bench.tail, &pin);
    end(&bench);
}

Test(tail, out_of_memory_while_folding)
{
    struct bench bench;
    unsigned failures = 0;

    begin(&bench, 20, 20000, 0);
    for (;;) {
        struct qp_pin pin;
        int rc;

        support_heap_fail(1, true);
        rc = try_pin(&bench, 0, 20000, &pin);
        support_heap_fail(2 + failures, false);
        if (rc != QUIPU_ROW)
            rc = try_pin(&bench, 0, 20000, &pin);
        support_heap_fail(0, false);
        if (rc == QUIPU_ROW) {
            check_pin(&bench, &pin);
            qp_tail_unpin(&bench.tail, &pin);
            break;
        }
        cr_assert_eq(rc, QUIPU_NO_MEMORY);
        cr_assert_null(pin.first);
        failures++;
        cr_assert_lt(failures, 1000);
    }
    cr_expect_gt(failures, 1);
    end(&bench);
}

/* ---- publishing ---- */

/* A batch with the events at (after, upto], stamped. */
static void make_batch(struct qp_batch *batch, uint64_t after, uint64_t upto)
{
    for (uint64_t position = after + 1; position <= upto; position++) {
        const struct support_event *event = &events[position - 1];
        const char *tags[SUPPORT_TAGS];
        quipu_draft draft = support_draft(event, tags);
        struct qp_stamp stamp = {.position = position, .version = event->version};
        size_t number = batch->draft_count;

        cr_assert_eq(qp_batch_append(batch, event->stream, QUIPU_ANY, &draft, 1), QUIPU_OK);
        (void)qp_record_stamp(qp_batch_record(batch, number), batch->drafts[number].size, &stamp);
    }
}

Test(tail, publish_takes_what_is_above_the_top)
{
    static const struct {
        uint64_t folded; /* by a reader, before */
        uint64_t first;  /* position of a batch of ten */
        uint64_t top;    /* afterwards */
    } cases[] = {
        {0, 1, 10},   {5, 1, 10},   {10, 1, 10},
        {20, 1, 20},  {0, 2, 0}, /* not contiguous: left to who folds */
        {10, 11, 20}, {15, 11, 20}, {9, 11, 9},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[SUPPORT_PATH_BYTES];
        struct bench bench;
        struct qp_batch batch = {0};
        struct qp_pin pin;

        begin(&bench, 0, 40, 0);
        pin_to(&bench, 0, cases[i].folded, &pin);
        qp_tail_unpin(&bench.tail, &pin);
        make_batch(&batch, cases[i].first - 1, cases[i].first + 9);
        qp_tail_publish(&bench.tail, &batch, cases[i].first);
        cr_expect_eq(bench.tail.top, cases[i].top, "case %zu: %llu", i,
                     (unsigned long long)bench.tail.top);
        pin_to(&bench, 0, 40, &pin);
        check_pin(&bench, &pin);
        qp_tail_unpin(&bench.tail, &pin);
        qp_batch_release(&batch);
        end(&bench);
        support_remove(support_path(path, "log.mdb"));
        support_remove(support_path(path, "log.mdb-lock"));
    }
}

Test(tail, publish_of_a_long_record)
{
    struct bench bench;
    struct qp_batch batch = {0};
    char *data = support_repeat('d', 100000);
    quipu_draft draft = {.type = "T", .data = data, .data_size = 100000};
    struct qp_stamp stamp = {.position = 1, .version = 1};
    struct qp_pin pin;
    struct qp_key key;

    begin(&bench, 0, 1, 0);
    cr_assert_eq(qp_batch_append(&batch, "long-1", QUIPU_ANY, &draft, 1), QUIPU_OK);
    (void)qp_record_stamp(qp_batch_record(&batch, 0), batch.drafts[0].size, &stamp);
    qp_tail_publish(&bench.tail, &batch, 1);
    cr_expect_eq(bench.tail.top, 1);
    pin_to(&bench, 0, 1, &pin);
    qp_key_term(&key, QP_TERM_CATEGORY, QP_LITERAL("long"));
    cr_expect_eq(qp_tail_count(&bench.tail, &pin, &key), 1);
    qp_tail_unpin(&bench.tail, &pin);
    qp_batch_release(&batch);
    free(data);
    end(&bench);
}

Test(tail, publish_out_of_memory_is_no_failure)
{
    struct bench bench;
    struct qp_batch batch = {0};
    struct qp_pin pin;

    begin(&bench, 0, 40, 0);
    make_batch(&batch, 0, 40);
    support_heap_fail(1, true);
    qp_tail_publish(&bench.tail, &batch, 1);
    support_heap_fail(0, false);
    cr_expect_eq(bench.tail.top, 0);
    pin_to(&bench, 0, 40, &pin);
    check_pin(&bench, &pin);
    qp_tail_unpin(&bench.tail, &pin);
    qp_batch_release(&batch);
    end(&bench);
}
