/* test_renew.c - readers with QUIPU_RENEW: they let go of their snapshot after 10 000 events or
 * 100 ms, and give what they would have given without it: no more, no less, nothing twice. */
#include "clock.h"
#include "handles.h"
#include "log.h"
#include "merge.h"
#include "support_suite.h"
#include "support_system.h"
#include "table.h"

#include <string.h>

SUPPORT_SUITE(renew);

/* A few more than a renewal takes. */
enum { RENEWAL = 10000, EVENTS = RENEWAL + 6, RENEWAL_MS = 100, TRIES = 50 };

enum what { ALL, QUERY, STREAM, WHATS };

static quipu_error why;

static quipu *open_store(uint32_t readers_max)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .readers_max = readers_max};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    (void)quipu_open(support_path(path, "store"), &options, &store, &why);
    cr_assert_not_null(store, "%s", why.text);
    return store;
}

static void append(quipu *store, size_t count)
{
    static quipu_draft drafts[4096];

    for (size_t i = 0; i < 4096; i++)
        drafts[i].type = "t";
    while (count > 0) {
        size_t some = count < 4096 ? count : 4096;

        cr_assert_eq(quipu_append(store, "s-1", QUIPU_ANY, drafts, some, NULL, &why), QUIPU_OK,
                     "%s", why.text);
        count -= some;
    }
}

/* With EVENTS events, of one stream, as all its reads are to have as many. */
static quipu *make_store(void)
{
    quipu *store = open_store(0);

    append(store, EVENTS);
    return store;
}

static quipu_reader *open_reader(quipu *store, enum what what, uint32_t flags)
{
    static const char *const types[] = {"t"};
    const quipu_query_item item = {.types = types, .type_count = 1};
    const quipu_query query = {&item, 1};
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_RENEW | flags};
    quipu_reader *reader = NULL;
    int rc;

    if (what == STREAM)
        rc = quipu_read_stream(store, "s-1", &range, &reader, &why);
    else
        rc = quipu_read(store, what == QUERY ? &query : NULL, &range, &reader, &why);
    cr_assert_eq(rc, QUIPU_OK, "%s", why.text);
    return reader;
}

/* The events of calls `from` to `upto` of a reader, counted from 1. */
static void expect_events(quipu_reader *reader, uint32_t flags, uint64_t from, uint64_t upto)
{
    quipu_event event;

    for (uint64_t i = from; i <= upto; i++) {
        uint64_t position = (flags & QUIPU_BACKWARDS) != 0 ? EVENTS + 1 - i : i;

        cr_assert_eq(quipu_next(reader, &event, &why), QUIPU_ROW, "event %lu: %s", i, why.text);
        cr_assert_eq(event.position, position);
        cr_assert_eq(event.version, position);
    }
}

static void expect_end(quipu_reader *reader)
{
    quipu_event event;

    cr_expect_eq(quipu_next(reader, &event, &why), QUIPU_OK);
    cr_expect_eq(quipu_next(reader, &event, &why), QUIPU_OK);
    cr_expect_eq(quipu_reader_head(reader), EVENTS, "%lu", quipu_reader_head(reader));
}

static uint64_t lag(quipu *store)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};

    cr_assert_eq(quipu_stat_get(store, &stat, &why), QUIPU_OK, "%s", why.text);
    return stat.oldest_reader_lag;
}

/* Open a reader, take the events but for the last one before it is to renew itself, and append one
 * more. false: the machine was so slow that the time may have had it renewed before. */
static bool read_to_renewal(quipu *store, enum what what, uint32_t flags, quipu_reader **reader)
{
    int64_t begun = qp_clock_monotonic_ns();

    *reader = open_reader(store, what, flags);
    expect_events(*reader, flags, 1, RENEWAL - 1);
    append(store, 1);
    cr_assert_eq(lag(store), 1, "it holds what it began with");
    expect_events(*reader, flags, RENEWAL, RENEWAL);
    if (qp_clock_monotonic_ns() - begun < (RENEWAL_MS - 20) * QP_NS_PER_MS)
        return true;
    quipu_reader_close(*reader);
    return false;
}

/* The call after the 10 000th event takes a new snapshot, of which no more is given than of the
 * first one, though the index has been made longer by then. */
static void check_renewal(enum what what, uint32_t flags)
{
    quipu *store = make_store();
    quipu_reader *reader = NULL;
    char path[SUPPORT_PATH_BYTES];
    int tries = 0;

    while (!read_to_renewal(store, what, flags, &reader)) {
        quipu_close(store);
        support_remove(support_path(path, "store"));
        store = make_store();
        cr_assert_lt(++tries, TRIES, "a slow machine");
    }
    cr_expect_eq(lag(store), 1, "not yet");
    append(store, 2);
    cr_assert_eq(qp_merge(store->handle, &why), QUIPU_OK);
    expect_events(reader, flags, RENEWAL + 1, RENEWAL + 1);
    cr_expect_eq(lag(store), 0, "what %d flags %u: %lu", (int)what, flags, lag(store));
    append(store, 1);
    expect_events(reader, flags, RENEWAL + 2, EVENTS);
    expect_end(reader);
    quipu_reader_close(reader);
    quipu_close(store);
    support_remove(support_path(path, "store"));
}

Test(renew, after_many_events)
{
    for (enum what what = ALL; what < WHATS; what++)
        check_renewal(what, 0);
}

Test(renew, after_many_events_backwards)
{
    for (enum what what = ALL; what < WHATS; what++)
        check_renewal(what, QUIPU_BACKWARDS);
}

/* Wherever it stands, before the first event too. */
Test(renew, after_some_time)
{
    quipu *store = make_store();

    for (int i = 0; i < 2 * WHATS; i++) {
        const uint32_t flags = i % 2 == 0 ? 0 : QUIPU_BACKWARDS;
        char path[SUPPORT_PATH_BYTES];
        quipu_reader *reader = open_reader(store, (enum what)(i / 2), flags);

        append(store, 1);
        cr_expect_eq(lag(store), 1);
        sys_sleep_ms(RENEWAL_MS + 20);
        expect_events(reader, flags, 1, 1);
        cr_expect_eq(lag(store), 0);
        append(store, 1);
        sys_sleep_ms(RENEWAL_MS + 20);
        expect_events(reader, flags, 2, 2);
        cr_expect_eq(lag(store), 0);
        expect_events(reader, flags, 3, EVENTS);
        expect_end(reader);
        quipu_reader_close(reader);
        quipu_close(store);
        support_remove(support_path(path, "store"));
        store = make_store();
    }
    quipu_close(store);
}

/* Without the flag it keeps what it has. */
Test(renew, not_unless_asked)
{
    quipu *store = make_store();
    quipu_reader *reader;
    quipu_event event;

    cr_assert_eq(quipu_read(store, NULL, NULL, &reader, &why), QUIPU_OK);
    append(store, 1);
    sys_sleep_ms(RENEWAL_MS + 20);
    for (uint64_t i = 0; i <= RENEWAL; i++)
        cr_assert_eq(quipu_next(reader, &event, &why), QUIPU_ROW);
    cr_expect_eq(lag(store), 1);
    quipu_reader_close(reader);
    quipu_close(store);
}

/* ---- a damaged record at the border ---- */

static void damage(quipu *store, uint64_t position)
{
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;
    struct qp_bytes row;
    uint8_t bytes[256];

    cr_assert_eq(qp_txn_begin_write(store->handle->log, &txn, &why), QUIPU_OK);
    cr_assert_eq(qp_get(&txn, QP_TABLE_LOG, qp_key_position(&position), &row, &why), QUIPU_ROW);
    cr_assert_leq(row.size, sizeof(bytes));
    memcpy(bytes, row.data, row.size);
    bytes[30] ^= 4;
    cr_assert_eq(qp_put(&txn, QP_TABLE_LOG, qp_key_position(&position),
                        (struct qp_bytes){bytes, row.size}, &why),
                 QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&txn, &outcome, &why), QUIPU_OK);
}

/* All but the damaged one is given, and it is told once. */
static void check_damaged(quipu *store, enum what what, uint32_t flags, uint64_t damaged)
{
    bool backwards = (flags & QUIPU_BACKWARDS) != 0;
    quipu_reader *reader = open_reader(store, what, flags);
    quipu_event event;
    int rc;

    for (uint64_t i = 1; i <= EVENTS; i++) {
        uint64_t position = backwards ? EVENTS + 1 - i : i;

        rc = quipu_next(reader, &event, &why);
        cr_assert_eq(rc, position == damaged ? QUIPU_CORRUPT : QUIPU_ROW,
                     "%d flags %u: %lu with %lu damaged: %s", (int)what, flags, position, damaged,
                     quipu_status_name(rc));
        cr_assert_eq(event.position, position);
    }
    expect_end(reader);
    quipu_reader_close(reader);
}

/* Twice: the index knows nothing of the damage, and then it does. */
Test(renew, damaged_at_the_border)
{
    static const uint64_t calls[] = {RENEWAL - 1, RENEWAL, RENEWAL + 1, RENEWAL + 2};

    for (size_t i = 0; i < 2 * sizeof(calls) / sizeof(calls[0]); i++) {
        const uint32_t flags = i % 2 == 0 ? 0 : QUIPU_BACKWARDS;
        uint64_t damaged = i % 2 == 0 ? calls[i / 2] : EVENTS + 1 - calls[i / 2];
        char path[SUPPORT_PATH_BYTES];
        quipu *store = make_store();

        cr_assert_eq(qp_merge(store->handle, &why), QUIPU_OK);
        damage(store, damaged);
        for (int known = 0; known < 2; known++) {
            for (enum what what = ALL; what < WHATS; what++)
                check_damaged(store, what, flags, damaged);
            quipu_close(store);
            support_remove(support_path(path, "store/index.mdb"));
            store = open_store(0);
        }
        quipu_close(store);
        support_remove(support_path(path, "store"));
    }
}

/* ---- no snapshot is to be had ---- */

enum { READERS = 6 };

/* It is told, as often as it asks, and goes on where it was when there is a slot again. */
Test(renew, without_a_reader_slot)
{
    for (int i = 0; i < 2 * WHATS; i++) {
        const uint32_t flags = i % 2 == 0 ? 0 : QUIPU_BACKWARDS;
        quipu *store = open_store(READERS);
        quipu_reader *others[READERS + 1] = {NULL};
        char path[SUPPORT_PATH_BYTES];
        quipu_reader *reader;
        quipu_event event;
        int count = 0;
        int rc;

        append(store, EVENTS);
        reader = open_reader(store, (enum what)(i / 2), flags);
        expect_events(reader, flags, 1, 3);
        do {
            cr_assert_leq(count, READERS, "there are not so many");
            rc = quipu_read(store, NULL, NULL, &others[count++], &why);
        } while (rc == QUIPU_OK);
        cr_assert_eq(rc, QUIPU_FULL, "%s", why.text);
        sys_sleep_ms(RENEWAL_MS + 20);
        for (int again = 0; again < 2; again++) {
            memset(&event, 0xff, sizeof(event));
            cr_expect_eq(quipu_next(reader, &event, &why), QUIPU_FULL);
            cr_expect_eq(event.position, 0);
        }
        quipu_reader_close(others[0]);
        expect_events(reader, flags, 4, EVENTS);
        expect_end(reader);
        quipu_reader_close(reader);
        for (int j = 1; j < count; j++)
            quipu_reader_close(others[j]);
        quipu_close(store);
        support_remove(support_path(path, "store"));
    }
}
