/* test_faults.c - in each call that reads, and each that writes, one of LMDB's calls fails, or one
 * allocation: the first, the second, and so on. The call says so by its status and with a text, or
 * it has done all that it was to do; it gives nothing wrong, and the next call works.
 *
 * This program defines LMDB's functions itself: the library's calls come here first. */
#include "clock.h"
#include "handles.h"
#include "key.h"
#include "merge.h"
#include "status.h"
#include "support_raw.h"
#include "support_suite.h"
#include "support_system.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* In memory if the machine can: some thousand commits. */
static void begin(void)
{
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1);
    support_begin();
}

TestSuite(faults, .init = begin, .fini = support_suite_end, .timeout = 110);

/* ---- calls that fail ------------------------------------------------------------------------- */

/* Of the thread that watches alone: the one that merges has its own failures. */
static _Thread_local bool watched;
static long calls;
static long fail_at; /* 0: none */
static int fail_with;
static int64_t clock_ahead_ns; /* what the library's coarse clock goes ahead by at each look */

static bool fails(void)
{
    return watched && ++calls == fail_at;
}

#define EXPORTED __attribute__((visibility("default"))) /* or nobody would find it */

/* LMDB's own function, into a pointer of its type. */
#define FIND_REAL(real, name)                                                                      \
    do {                                                                                           \
        void *found = dlsym(RTLD_NEXT, name);                                                      \
                                                                                                   \
        memcpy(&(real), &found, sizeof(found));                                                    \
    } while (0)

EXPORTED int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    static int (*real)(MDB_env *, MDB_txn *, unsigned, MDB_txn **);

    FIND_REAL(real, "mdb_txn_begin");
    return fails() ? fail_with : real(env, parent, flags, txn);
}

EXPORTED int mdb_txn_renew(MDB_txn *txn)
{
    static int (*real)(MDB_txn *);

    FIND_REAL(real, "mdb_txn_renew");
    return fails() ? fail_with : real(txn);
}

EXPORTED int mdb_get(MDB_txn *txn, MDB_dbi table, MDB_val *key, MDB_val *value)
{
    static int (*real)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *);

    if (real == NULL)
        FIND_REAL(real, "mdb_get");
    return fails() ? fail_with : real(txn, table, key, value);
}

EXPORTED int mdb_cursor_open(MDB_txn *txn, MDB_dbi table, MDB_cursor **cursor)
{
    static int (*real)(MDB_txn *, MDB_dbi, MDB_cursor **);

    FIND_REAL(real, "mdb_cursor_open");
    return fails() ? fail_with : real(txn, table, cursor);
}

EXPORTED int mdb_cursor_renew(MDB_txn *txn, MDB_cursor *cursor)
{
    static int (*real)(MDB_txn *, MDB_cursor *);

    FIND_REAL(real, "mdb_cursor_renew");
    return fails() ? fail_with : real(txn, cursor);
}

EXPORTED int mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op)
{
    static int (*real)(MDB_cursor *, MDB_val *, MDB_val *, MDB_cursor_op);

    if (real == NULL)
        FIND_REAL(real, "mdb_cursor_get");
    return fails() ? fail_with : real(cursor, key, value, op);
}

EXPORTED int mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *value, unsigned flags)
{
    static int (*real)(MDB_cursor *, MDB_val *, MDB_val *, unsigned);

    if (real == NULL)
        FIND_REAL(real, "mdb_cursor_put");
    return fails() ? fail_with : real(cursor, key, value, flags);
}

/* By this one a reader knows how old its snapshot is. */
EXPORTED int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    static int64_t ahead_ns;
    int rc;

    if (real == NULL)
        FIND_REAL(real, "clock_gettime");
    rc = real(clock, now);
    if (rc == 0 && clock == CLOCK_MONOTONIC_COARSE) {
        ahead_ns += clock_ahead_ns;
        now->tv_sec += (time_t)(ahead_ns / QP_NS_PER_S);
    }
    return rc;
}

/* ---- a store, and what is in it -------------------------------------------------------------- */

enum {
    INDEXED = 2300, /* big-0 has three blocks of them, and more */
    HEAD = INDEXED + 31,
    CHUNKED = 15, /* stands in chunks */
    CHUNKED_LATE = INDEXED + 5,
    CHUNKED_BYTES = 9000,
    DAMAGED = 1164, /* in the store that has damaged ones; version 1024 of big-0, a block's last */
    DAMAGED_LATE = INDEXED + 12
};

static quipu *store;
static bool has_damage;
static quipu_error why;
static quipu_error *tell = &why; /* what readers and lists are given; NULL: nothing */

static const char *stream_of(uint64_t position)
{
    return position % 10 == 0 ? "odd-1" : position % 50 == 1 ? "few-2" : "big-0";
}

static uint64_t version_of(uint64_t position)
{
    uint64_t version = 0;

    for (uint64_t p = 1; p <= position; p++)
        version += strcmp(stream_of(p), stream_of(position)) == 0;
    return version;
}

static bool is_damaged(uint64_t position)
{
    return has_damage && (position == DAMAGED || position == DAMAGED_LATE);
}

static const char *store_path(void)
{
    static char path[SUPPORT_PATH_BYTES];

    return support_path(path, "store");
}

static quipu *open_store(void)
{
    quipu *opened = NULL;

    cr_assert_eq(quipu_open(store_path(), NULL, &opened, &why), QUIPU_OK, "%s", why.text);
    return opened;
}

static void append_event(uint64_t position)
{
    static const char *const tags[] = {"k:1"};
    static const char data[CHUNKED_BYTES] = "data";
    quipu_draft draft = {.type = position % 3 == 0   ? "third"
                                 : position % 7 == 0 ? "seventh"
                                                     : "other",
                         .data = data,
                         .data_size =
                             position == CHUNKED || position == CHUNKED_LATE ? CHUNKED_BYTES : 4,
                         .tags = tags,
                         .tag_count = position % 4 == 0,
                         .flags = position % 10 == 0 ? QUIPU_EVENT_HAS_ID : 0};

    memcpy(draft.id, &position, sizeof(position));
    cr_assert_eq(quipu_append(store, stream_of(position), QUIPU_ANY, &draft, 1, NULL, &why),
                 QUIPU_OK, "%s", why.text);
}

/* Flip a bit of a record behind the library's back. */
static void flip_record(uint64_t position)
{
    char path[SUPPORT_PATH_BYTES];
    MDB_val key = raw_key(&position, sizeof(position));
    uint8_t row[4096];
    struct raw raw;
    size_t size;

    raw_begin(&raw, support_path(path, "store/log.mdb"), "log");
    size = raw_get(&raw, key, row);
    row[30] ^= 1;
    raw_put(&raw, key, row, size);
    raw_end(&raw);
}

/* Up to INDEXED in the index, the rest in the tail; marks beside. */
static void append_events(void)
{
    quipu_batch *batch = quipu_batch_new();

    store = open_store();
    (void)quipu_batch_mark(batch, "a-view", 3);
    (void)quipu_batch_track(batch, "feed", 4);
    cr_assert_eq(quipu_commit(store, batch, NULL, &why), QUIPU_OK, "%s", why.text);
    quipu_batch_free(batch);
    for (uint64_t position = 1; position <= HEAD; position++) {
        append_event(position);
        if (position == INDEXED)
            cr_assert_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_OK);
    }
}

/* The same with a damaged record that the index knows as one, and another in the tail. Nothing can
 * be appended to such a store: so the index is made while there are no more than INDEXED. */
static void append_events_and_damage(void)
{
    char index[SUPPORT_PATH_BYTES];
    char copy[SUPPORT_PATH_BYTES];

    support_path(index, "store/index.mdb");
    support_path(copy, "index-copy");
    store = open_store();
    for (uint64_t position = 1; position <= INDEXED; position++)
        append_event(position);
    quipu_close(store);
    flip_record(DAMAGED);
    cr_assert_eq(quipu_reindex(store_path(), NULL, NULL, &why), QUIPU_OK, "%s", why.text);
    sys_file_copy(index, copy);
    flip_record(DAMAGED); /* back */
    support_remove(index);
    store = open_store();
    for (uint64_t position = INDEXED + 1; position <= HEAD; position++)
        append_event(position);
    quipu_close(store);
    flip_record(DAMAGED);
    flip_record(DAMAGED_LATE);
    sys_file_copy(copy, index);
    store = open_store();
    has_damage = true;
}

/* ---- each call of it fails ------------------------------------------------------------------- */

enum { AT_ENDS = 12, BETWEEN = 12, ALL_OF = 150 };

/* What runs, for messages and for its checks. */
struct sweep {
    const char *name;
    int expected; /* the status that a failure has; OK in a run without one */
    long n;       /* which call or allocation fails; 0: none */
};

static struct sweep sweep;
static void (*prepare)(void); /* what each run needs, and does not fail; NULL: nothing */

static void expect_told(int rc)
{
    cr_expect(rc == sweep.expected, "%s, failure %ld: %s, not %s: %s", sweep.name, sweep.n,
              quipu_status_name(rc), quipu_status_name(sweep.expected), why.text);
    cr_expect(tell == NULL || (why.status == rc && why.text[0] != '\0'), "%s, failure %ld: no text",
              sweep.name, sweep.n);
}

/* Returns how many calls (allocations, if `code` is 0) there were. */
static long run_once(int (*run)(void), long n, int code)
{
    long before;
    long met;
    int rc;

    if (prepare != NULL)
        prepare();
    before = support_heap_calls();
    sweep.n = n;
    calls = 0;
    fail_with = code;
    fail_at = code != 0 ? n : 0;
    if (code == 0)
        support_heap_fail(n, false);
    why = (quipu_error){0};
    watched = true;
    rc = run();
    watched = false;
    met = code != 0 ? calls : support_heap_calls() - before;
    fail_at = 0;
    support_heap_fail(0, false);
    if (rc < 0)
        expect_told(rc);
    return met;
}

/* Let the first calls fail, the last ones, and some between, one in each run. After each the same
 * works. */
static void sweep_with(const char *name, int (*run)(void), int code, int expected)
{
    long total;

    sweep = (struct sweep){.name = name, .expected = QUIPU_OK};
    (void)run_once(run, 0, code); /* it warms up */
    total = run_once(run, 0, code);
    if (code != 0)
        cr_assert_gt(total, 0, "%s meets no call", name);
    for (long n = 1; n <= total; n++) {
        sweep.expected = expected;
        (void)run_once(run, n, code);
        sweep.expected = QUIPU_OK;
        if (n % 4 == 0)
            (void)run_once(run, 0, code);
        if (total > ALL_OF && n >= AT_ENDS && total - n > AT_ENDS)
            n += (total - n - AT_ENDS) / BETWEEN;
    }
}

/* Reads alone: no page of a map can be read with an error that LMDB could tell, but it tells of
 * such: of a page that is none, of a file that is full. */
static void fail_each(const char *name, int (*run)(void))
{
    sweep_with(name, run, EIO, QUIPU_IO);
    sweep_with(name, run, MDB_CORRUPTED, QUIPU_CORRUPT);
    sweep_with(name, run, 0, QUIPU_NO_MEMORY);
}

/* ---- readers --------------------------------------------------------------------------------- */

enum what { ALL, TAG_AND_CATEGORY, TYPES, STREAM_AND_TYPE, NOTHING, BIG, ODD, WHATS };

static struct {
    enum what what;
    uint32_t flags;
    uint64_t after;
    uint64_t upto;
} read_set;

static bool belongs(uint64_t position)
{
    bool stream = read_set.what == BIG || read_set.what == ODD;
    uint64_t number = stream ? version_of(position) : position;

    if (number <= read_set.after || (read_set.upto != 0 && number > read_set.upto))
        return false;
    switch (read_set.what) {
    case ALL:
        return true;
    case TAG_AND_CATEGORY:
        return position % 4 == 0 && strcmp(stream_of(position), "odd-1") == 0;
    case TYPES:
        return position % 3 == 0 || position % 7 == 0;
    case STREAM_AND_TYPE:
        return strcmp(stream_of(position), "big-0") == 0 && position % 3 == 0;
    case NOTHING:
        return false;
    default:
        return strcmp(stream_of(position), read_set.what == BIG ? "big-0" : "odd-1") == 0;
    }
}

/* The positions that are to be given, in the order in which they are read. */
static size_t given_count;
static uint64_t given[HEAD];

static void list_given(void)
{
    given_count = 0;
    for (uint64_t i = 1; i <= HEAD; i++) {
        uint64_t position = (read_set.flags & QUIPU_BACKWARDS) != 0 ? HEAD + 1 - i : i;

        if (!is_damaged(position) && belongs(position))
            given[given_count++] = position;
    }
}

static int open_reader(quipu_reader **reader)
{
    static const char *const types[] = {"third", "seventh"};
    static const char *const tags[] = {"k:1"};
    static const quipu_query_item items[] = {
        [TAG_AND_CATEGORY] = {.category = "odd", .tags = tags, .tag_count = 1},
        [TYPES] = {.types = types, .type_count = 2},
        [STREAM_AND_TYPE] = {.stream = "big-0", .types = types, .type_count = 1},
        [NOTHING] = {.category = "big", .stream = "odd-1"},
    };
    const quipu_query query = {&items[read_set.what < BIG ? read_set.what : ALL], 1};
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = read_set.flags,
                               .after = read_set.after, .upto = read_set.upto};

    if (read_set.what >= BIG)
        return quipu_read_stream(store, read_set.what == BIG ? "big-0" : "odd-1", &range, reader,
                                 tell);
    return quipu_read(store, read_set.what == ALL ? NULL : &query, &range, reader, tell);
}

/* A failure of one call passes nothing over: what is given afterwards is the next one. If the
 * reader cannot go on it says so at each call from then on. */
static int read_set_of_events(void)
{
    quipu_reader *reader = NULL;
    quipu_event event;
    size_t at = 0;
    size_t told = 0;
    int failed = QUIPU_OK;
    int rc = open_reader(&reader);

    for (unsigned failures = 0; rc >= 0 && failures < 3;) {
        rc = quipu_next(reader, &event, tell);
        if (rc == QUIPU_OK)
            break;
        if (rc == QUIPU_ROW) {
            cr_expect(at < given_count && event.position == given[at],
                      "%s, failure %ld: event %d is not the next one", sweep.name, sweep.n,
                      (int)event.position);
            at++;
            continue;
        }
        if (rc == QUIPU_CORRUPT && event.position != 0) {
            bool own = at < given_count && event.position == given[at];

            cr_expect(own || is_damaged(event.position), "%s, failure %ld: %d is not damaged",
                      sweep.name, sweep.n, (int)event.position);
            cr_expect(!own || sweep.expected == QUIPU_CORRUPT, "%s, failure %ld: told of %d",
                      sweep.name, sweep.n, (int)event.position);
            at += own;
            told += is_damaged(event.position);
            rc = QUIPU_OK;
            continue;
        }
        expect_told(rc);
        failed = rc;
        failures++;
        rc = QUIPU_OK;
        if (failures == 3) { /* for good */
            quipu_reader_close(reader);
            return failed;
        }
    }
    quipu_reader_close(reader);
    if (rc != QUIPU_OK)
        return rc;
    cr_expect_eq(at, given_count, "%s, failure %ld: %zu events of %zu", sweep.name, sweep.n, at,
                 given_count);
    if (read_set.upto == 0 && read_set.after == 0)
        cr_expect_eq(told, has_damage ? 2 : 0, "%s, failure %ld: %zu are damaged", sweep.name,
                     sweep.n, told);
    return rc;
}

static void fail_reads(enum what from)
{
    static const struct {
        uint64_t after;
        uint64_t upto;
    } ranges[] = {{0, 0}, {700, 1400}, {1162, 1172}};

    for (enum what what = from; what < WHATS; what++) {
        for (size_t i = 0; i < 2 * sizeof(ranges) / sizeof(ranges[0]); i++) {
            char name[64];

            read_set.what = what;
            read_set.flags = i % 2 == 0 ? 0 : QUIPU_BACKWARDS;
            read_set.after = ranges[i / 2].after;
            read_set.upto = ranges[i / 2].upto;
            list_given();
            (void)snprintf(name, sizeof(name), "read %d flags %u range %zu", what, read_set.flags,
                           i / 2);
            fail_each(name, read_set_of_events);
        }
    }
}

Test(faults, reads)
{
    append_events();
    fail_reads(ALL);
    quipu_close(store);
}

Test(faults, reads_of_damaged_events)
{
    append_events_and_damage();
    fail_reads(ALL);
    tell = NULL;
    fail_reads(ODD);
    tell = &why;
    quipu_close(store);
}

/* A new snapshot for each event. */
Test(faults, reads_that_renew)
{
    static const struct {
        uint64_t after;
        uint64_t upto;
    } ranges[] = {{1015, 1030}, {2300, 0}};

    for (unsigned damage = 0; damage < 2; damage++) {
        damage == 0 ? append_events() : append_events_and_damage();
        clock_ahead_ns = QP_NS_PER_S;
        for (enum what what = ALL; what < WHATS; what++) {
            for (size_t i = 0; i < 4; i++) {
                char name[64];

                read_set.what = what;
                read_set.flags = QUIPU_RENEW | (i % 2 == 0 ? 0 : QUIPU_BACKWARDS);
                read_set.after = ranges[i / 2].after;
                read_set.upto = ranges[i / 2].upto;
                list_given();
                (void)snprintf(name, sizeof(name), "renewed %d flags %u range %zu", what,
                               read_set.flags, i / 2);
                fail_each(name, read_set_of_events);
            }
        }
        clock_ahead_ns = 0;
        quipu_close(store);
        support_remove(store_path());
    }
}

/* ---- lists, figures, folds ------------------------------------------------------------------- */

static int list_kind;
static unsigned list_count; /* names that it has */

/* After a failure the next call goes on, or says the same again: no name comes twice. */
static int list_names(void)
{
    quipu_list *list = NULL;
    quipu_item item = {0};
    char last[256] = "";
    unsigned count = 0;
    int failed = QUIPU_OK;
    int rc = quipu_list_open(store, list_kind, "", &list, tell);

    for (unsigned failures = 0; rc >= 0 && failures < 3;) {
        rc = quipu_list_next(list, &item, tell);
        if (rc == QUIPU_OK)
            break;
        if (rc < 0) {
            expect_told(rc);
            failed = rc;
            failures++;
        }
        if (item.name == NULL)
            continue;
        if (rc == QUIPU_ROW || strcmp(item.name, last) != 0) {
            cr_expect(strcmp(item.name, last) > 0, "%s, failure %ld: %s after %s", sweep.name,
                      sweep.n, item.name, last);
            count++;
        }
        (void)snprintf(last, sizeof(last), "%s", item.name);
        rc = QUIPU_OK;
    }
    quipu_list_close(list);
    if (failed == QUIPU_OK && rc == QUIPU_OK)
        cr_expect_eq(count, list_count, "%s, failure %ld: %u names", sweep.name, sweep.n, count);
    return failed < 0 ? failed : rc;
}

Test(faults, lists)
{
    static const struct {
        int kind;
        unsigned count;
        const char *name;
    } lists[] = {
        {QUIPU_LIST_STREAMS, 3, "streams"}, {QUIPU_LIST_CATEGORIES, 3, "categories"},
        {QUIPU_LIST_TYPES, 3, "types"},     {QUIPU_LIST_TAGS, 1, "tags"},
        {QUIPU_LIST_MARKS, 2, "marks"},
    };

    append_events();
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        list_kind = lists[i].kind;
        list_count = lists[i].count;
        fail_each(lists[i].name, list_names);
        tell = NULL;
        fail_each(lists[i].name, list_names);
        tell = &why;
    }
    quipu_close(store);
}

static int count_key(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                     void *payload, quipu_error *error)
{
    (void)event;
    (void)payload;
    (void)error;
    return quipu_page_put(page, key, size, "1", 1);
}

/* A list that is open gives all its names, whichever call of it has failed. */
static int list_in_spite(void)
{
    quipu_list *list = NULL;
    quipu_item item;
    unsigned count = 0;
    int failed = QUIPU_OK;
    int rc = quipu_list_open(store, list_kind, "", &list, &why);

    while (rc >= 0) {
        rc = quipu_list_next(list, &item, &why);
        if (rc == QUIPU_OK)
            break;
        count += rc == QUIPU_ROW;
        if (rc < 0) {
            cr_assert_eq(failed, QUIPU_OK, "failure %ld: it fails again", sweep.n);
            failed = rc;
            rc = QUIPU_OK;
        }
    }
    quipu_list_close(list);
    if (rc == QUIPU_OK)
        cr_expect_eq(count, list_count, "%s, failure %ld: %u names", sweep.name, sweep.n, count);
    return failed < 0 ? failed : rc;
}

Test(faults, lists_of_projections)
{
    static const char *const names[] = {"counted", "double", "third"};

    append_events();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 1,
                                             .name = names[i], .apply = count_key};

        cr_assert_eq(quipu_project(store, &projection, NULL, NULL, NULL, &why), QUIPU_OK);
    }
    list_count = 3;
    list_kind = QUIPU_LIST_PROJECTIONS;
    fail_each("projections", list_in_spite);
    list_kind = QUIPU_LIST_VIEWS;
    fail_each("views", list_in_spite);
    quipu_close(store);
}

static int get_figures(void)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    uint64_t number = 0;
    int rc = quipu_stat_get(store, &stat, &why);

    if (rc == QUIPU_OK)
        cr_expect(stat.head == HEAD && stat.indexed == INDEXED && stat.streams == 3,
                  "failure %ld: stat", sweep.n);
    if (rc == QUIPU_OK)
        rc = quipu_head(store, &number, &why);
    if (rc == QUIPU_OK)
        cr_expect_eq(number, HEAD);
    if (rc == QUIPU_OK)
        rc = quipu_mark_get(store, "a-view", &number, &why);
    if (rc == QUIPU_OK)
        cr_expect_eq(number, 3);
    if (rc == QUIPU_OK)
        rc = quipu_tracked_get(store, "feed", &number, &why);
    if (rc == QUIPU_OK)
        cr_expect_eq(number, 4);
    return rc;
}

Test(faults, figures)
{
    append_events();
    fail_each("figures", get_figures);
    quipu_close(store);
}

static int count_event(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)payload;
    (void)error;
    cr_expect_eq(event->version, ++*(uint64_t *)state);
    return 0;
}

static const quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "f", .state_size = sizeof(uint64_t),
                                .apply = count_event};

static const quipu_point *point; /* NULL: now */
static uint64_t point_version;

static int load(void)
{
    uint64_t state = 0;
    uint64_t version = 0;
    int rc = quipu_load(store, &fold, "big-0", point, &state, &version, &why);

    if (rc == QUIPU_OK)
        cr_expect(version == point_version && state == version, "failure %ld: %d", sweep.n,
                  (int)version);
    return rc;
}

Test(faults, loads)
{
    const quipu_point at_version = {.kind = QUIPU_AT_VERSION, .value = 1500};
    const quipu_point at_position = {.kind = QUIPU_AT_POSITION, .value = 2309};

    append_events();
    point_version = version_of(HEAD); /* it is the stream's */
    fail_each("load", load);
    point = &at_version;
    point_version = 1500;
    fail_each("load as of a version", load);
    point = &at_position;
    point_version = version_of(2309);
    fail_each("load as of a position", load);
    quipu_close(store);
}

/* ---- snapshots ---- */

enum { SAVED_BYTES = 9000 };

static int save_count(const void *state, quipu_buffer *out, void *payload)
{
    static const char more[SAVED_BYTES - sizeof(uint64_t)];

    (void)payload;
    (void)quipu_buffer_put(out, state, sizeof(uint64_t));
    return quipu_buffer_put(out, more, sizeof(more));
}

static int load_count(void *state, const void *bytes, size_t size, void *payload)
{
    (void)payload;
    cr_expect_eq(size, SAVED_BYTES);
    memcpy(state, bytes, sizeof(uint64_t));
    return 0;
}

static quipu_fold saving = {
    QUIPU_INIT(quipu_fold), .version = 1,       .name = "saving",  .state_size = sizeof(uint64_t),
    .apply = count_event,   .save = save_count, .load = load_count};

/* What fails of a snapshot costs time, and that memory is out is told. */
static int load_by_snapshot(void)
{
    uint64_t state = 0;
    uint64_t version = 0;
    int rc = quipu_load(store, &saving, "big-0", NULL, &state, &version, &why);

    if (rc == QUIPU_OK)
        cr_expect(version == version_of(HEAD) && state == version, "failure %ld: %d", sweep.n,
                  (int)version);
    return rc;
}

static void forget_poison(void)
{
    qp_shared_set(&store->handle->shared, QP_SHARED_INDEX_POISONED, false);
}

static void drop_snapshots(void)
{
    forget_poison();
    cr_assert_eq(quipu_snapshot_drop(store, NULL, NULL, NULL, &why), QUIPU_OK, "%s", why.text);
}

static int save_snapshot(void)
{
    uint64_t version = 0;
    int rc = quipu_snapshot_save(store, &saving, "big-0", &version, &why);

    cr_expect_eq(version, rc == QUIPU_OK ? version_of(HEAD) : 0);
    return rc;
}

static void save_again(void)
{
    forget_poison();
    cr_assert_eq(save_snapshot(), QUIPU_OK, "%s", why.text);
}

static int drop_one(void)
{
    uint64_t dropped = 9;
    int rc = quipu_snapshot_drop(store, "big-0", "saving", &dropped, &why);

    cr_expect_eq(dropped, rc == QUIPU_OK ? 1 : 0);
    return rc;
}

static int get_one(void)
{
    char bytes[SAVED_BYTES];
    size_t size = sizeof(bytes);
    int rc = quipu_snapshot_get(store, "big-0", "saving", 0, bytes, &size, &why);

    if (rc == QUIPU_OK)
        cr_expect_eq(size, SAVED_BYTES);
    return rc;
}

static int check_one(void)
{
    return quipu_snapshot_check(store, &saving, "big-0", &why);
}

static int list_one(void)
{
    quipu_list *list = NULL;
    quipu_item item;
    int rc = quipu_list_open(store, QUIPU_LIST_SNAPSHOTS, "saving", &list, &why);

    if (rc == QUIPU_OK)
        rc = quipu_list_next(list, &item, &why);
    if (rc == QUIPU_ROW)
        cr_expect_eq(item.count, SAVED_BYTES, "failure %ld", sweep.n);
    quipu_list_close(list);
    return rc < 0 ? rc : QUIPU_OK;
}

Test(faults, snapshots)
{
    append_events();
    prepare = drop_snapshots;
    fail_each("save a snapshot", save_snapshot);
    saving.snapshot_every = 1000;
    fail_each("load and save a snapshot", load_by_snapshot);
    prepare = save_again;
    fail_each("save a snapshot again", save_snapshot);
    fail_each("load by a snapshot", load_by_snapshot);
    fail_each("get a snapshot", get_one);
    fail_each("check a snapshot", check_one);
    fail_each("list snapshots", list_one);
    fail_each("drop a snapshot", drop_one);
    prepare = NULL;
    forget_poison();
    quipu_close(store);
    cr_expect_eq(quipu_verify(store_path(), 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

static int note(void *payload, const quipu_finding *finding)
{
    *(bool *)payload = *(bool *)payload || strcmp(finding->file, "index.mdb") != 0;
    return 0;
}

/* What of the index cannot be read is a finding, whatever the reason: it is to be made again. */
static int verify(void)
{
    quipu_verified verified = {0};
    bool of_log = false;
    int rc = quipu_verify(store_path(), 0, note, NULL, &of_log, &verified, &why);

    if (rc == QUIPU_OK)
        cr_expect(verified.head == HEAD && verified.checked == HEAD && verified.findings == 0,
                  "failure %ld", sweep.n);
    if (rc == QUIPU_CORRUPT && sweep.expected == QUIPU_IO && verified.findings == 1 && !of_log)
        return QUIPU_OK;
    return rc;
}

/* The status alone says it too. */
static int verify_quietly(void)
{
    int rc = quipu_verify(store_path(), 0, NULL, NULL, NULL, NULL, NULL);

    cr_expect(rc == QUIPU_OK || rc == sweep.expected ||
                  (rc == QUIPU_CORRUPT && sweep.expected == QUIPU_IO),
              "failure %ld: %s", sweep.n, quipu_status_name(rc));
    return QUIPU_OK;
}

Test(faults, verifies)
{
    append_events();
    fail_each("verify of an open store", verify);
    quipu_close(store);
    fail_each("verify", verify);
    fail_each("verify without an error", verify_quietly);
}

/* Two findings, and no more for what fails. */
static int verify_damaged(void)
{
    quipu_verified verified = {0};
    int rc = quipu_verify(store_path(), 0, NULL, NULL, NULL, &verified, &why);

    cr_expect_neq(rc, QUIPU_OK, "failure %ld", sweep.n);
    return rc == QUIPU_CORRUPT && verified.findings == 2 ? QUIPU_OK : rc;
}

Test(faults, verifies_what_is_damaged)
{
    append_events_and_damage();
    sweep_with("verify damage", verify_damaged, 0, QUIPU_NO_MEMORY);
    quipu_close(store);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static uint64_t head; /* as it must be */

static void expect_head(bool grown)
{
    bool seen = watched;
    uint64_t now = 0;

    watched = false;
    support_heap_fail(0, false);
    head += grown;
    cr_expect_eq(quipu_head(store, &now, NULL), QUIPU_OK);
    cr_expect_eq(now, head, "%s, failure %ld: head %d, not %d", sweep.name, sweep.n, (int)now,
                 (int)head);
    watched = seen;
}

/* Events that the index and the tail know by their ids. */
static int send_again(void)
{
    static const uint64_t known[] = {10, 1500, HEAD - 1};
    int rc = QUIPU_OK;

    for (size_t i = 0; i < 3 && rc == QUIPU_OK; i++) {
        quipu_draft draft = {.type = "other", .flags = QUIPU_EVENT_HAS_ID};
        quipu_receipt receipt = {0};

        memcpy(draft.id, &known[i], sizeof(known[i]));
        rc = quipu_append(store, "odd-1", QUIPU_ANY, &draft, 1, &receipt, &why);
        if (rc == QUIPU_OK)
            cr_expect(receipt.verdict == QUIPU_DUPLICATE && receipt.first_position == known[i]);
    }
    expect_head(false);
    return rc;
}

/* Of a tag in a category there are events after 2000, and none of another one. */
static int ask(void)
{
    static const char *const tags[] = {"k:1"};
    static const quipu_query_item items[] = {{.category = "few", .tags = tags, .tag_count = 1},
                                             {.stream = "odd-1", .tags = tags, .tag_count = 1}};
    const quipu_query none = {&items[0], 1};
    const quipu_query some = {&items[1], 1};
    quipu_batch *batch = quipu_batch_new();
    int rc = batch != NULL ? quipu_batch_unless(batch, &none, 2291) : QUIPU_NO_MEMORY;

    if (rc == QUIPU_OK)
        rc = quipu_commit(store, batch, NULL, &why);
    if (rc == QUIPU_OK)
        rc = quipu_batch_unless(batch, &some, 2000);
    if (rc == QUIPU_OK) {
        rc = quipu_commit(store, batch, NULL, &why);
        cr_expect_neq(rc, QUIPU_OK, "failure %ld: it does not hold", sweep.n);
        rc = rc == QUIPU_CONFLICT ? QUIPU_OK : rc;
    }
    quipu_batch_free(batch);
    expect_head(false);
    if (rc == QUIPU_NO_MEMORY) /* a batch's steps have no text */
        (void)qp_fail_memory(&why);
    return rc;
}

/* All kinds of steps, and an event that does not fit a row: all of it or nothing. */
static int append_new(void)
{
    static const char data[CHUNKED_BYTES] = "data";
    static uint64_t number = 100;
    quipu_draft draft = {
        .type = "other", .data = data, .data_size = sizeof(data), .flags = QUIPU_EVENT_HAS_ID};
    quipu_batch *batch = quipu_batch_new();
    int rc = batch != NULL ? QUIPU_OK : QUIPU_NO_MEMORY;

    number++;
    memcpy(draft.id, "new", 3);
    memcpy(draft.id + 4, &number, sizeof(number));
    if (rc == QUIPU_OK)
        rc = quipu_batch_append(batch, "big-0", QUIPU_EXISTS, &draft, 1);
    if (rc == QUIPU_OK)
        rc = quipu_batch_mark(batch, "a-view", number);
    if (rc == QUIPU_OK)
        rc = quipu_batch_track(batch, "feed", number);
    if (rc == QUIPU_OK)
        rc = quipu_commit(store, batch, NULL, &why);
    else
        (void)qp_fail_memory(&why);
    quipu_batch_free(batch);
    expect_head(rc == QUIPU_OK);
    return rc;
}

static int decide(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                  quipu_error *error)
{
    const quipu_draft draft = {.type = "other"};

    (void)state;
    (void)version;
    (void)payload;
    (void)error;
    return quipu_batch_append(batch, "odd-1", QUIPU_ANY, &draft, 1);
}

static int execute(void)
{
    int rc = quipu_execute(store, &fold, "odd-1", decide, NULL, 0, NULL, &why);

    expect_head(rc == QUIPU_OK);
    return rc;
}

/* So much is not in the index, as the last commit saw it, that the next one merges first. */
static void want_merge(void)
{
    store->handle->unmerged = QP_UNMERGED_MAX;
}

/* Somebody else merges, and has done most of it. */
static void want_merge_of_another(void)
{
    want_merge();
    store->handle->merging = true;
}

Test(faults, writes)
{
    append_events();
    head = HEAD;
    fail_each("known ids", send_again);
    fail_each("conditions", ask);
    fail_each("append", append_new);
    fail_each("execute", execute);
    prepare = want_merge;
    fail_each("append that merges first", append_new);
    prepare = want_merge_of_another;
    fail_each("append that looks who merges", append_new);
    prepare = NULL;
    store->handle->merging = false;
    quipu_close(store);
    cr_expect_eq(quipu_verify(store_path(), 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

static void append_next(void)
{
    append_event(++head);
}

/* Where one slice was done and the next one failed the first stays. */
static int merge(void)
{
    int rc = qp_merge_whole(store->handle, NULL, NULL, &why);

    if (rc == QUIPU_OK)
        cr_expect_eq(store->handle->unmerged, 0);
    return rc;
}

Test(faults, merges)
{
    append_events();
    head = HEAD;
    prepare = append_next;
    fail_each("merge", merge);
    prepare = NULL;
    quipu_close(store);
    cr_expect_eq(quipu_verify(store_path(), 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

/* A failure is no reason to lose the index for good: it is there afterwards, made again or not. */
static int open_and_close(void)
{
    int rc = quipu_open(store_path(), NULL, &store, &why);

    if (rc == QUIPU_OK)
        quipu_close(store);
    return rc;
}

static int reindex(void)
{
    return quipu_reindex(store_path(), NULL, NULL, &why);
}

Test(faults, opens)
{
    append_events();
    quipu_close(store);
    fail_each("open", open_and_close);
    fail_each("reindex", reindex);
    cr_expect_eq(quipu_verify(store_path(), 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

/* ---- projections ----------------------------------------------------------------------------- */

enum { POISON = 700, LONG_BYTES = 5000 }; /* the 67th of type `seventh` */

/* Each event counts under its stream, in a value that does not fit a row, and under its type. */
static int find_keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    int rc = quipu_page_key(page, event->stream, event->stream_size);

    (void)payload;
    (void)error;
    return rc < 0 ? rc : quipu_page_key(page, event->type, event->type_size);
}

static int tally(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    uint8_t value[LONG_BYTES] = {0};
    uint64_t count = 0;
    quipu_value old;
    int rc = quipu_page_get(page, key, key_size, &old);

    (void)payload;
    (void)error;
    if (rc == QUIPU_ROW)
        memcpy(&count, old.data, sizeof(count));
    count++;
    memcpy(value, &count, sizeof(count));
    if (rc >= 0)
        rc = quipu_page_put(page, key, key_size, value,
                            memchr(key, '-', key_size) != NULL ? sizeof(value) : sizeof(count));
    return event->position == POISON && memcmp(key, "sev", 3) == 0 ? QUIPU_APPLICATION - 1 : rc;
}

static const quipu_projection tallies = {QUIPU_INIT(quipu_projection),
                                         .version = 1,
                                         .name = "tallies",
                                         .retries = 1,
                                         .keys = find_keys,
                                         .apply = tally};

static uint64_t seen; /* by the view that is looked at */

static uint64_t tallied(quipu_view *view, const char *key, size_t size)
{
    uint64_t count = 0;
    quipu_value value = {0};
    int rc = quipu_view_get(view, key, strlen(key), &value, NULL);

    cr_expect_eq(rc, seen > 0 ? QUIPU_ROW : QUIPU_OK, "%s, failure %ld: %s", sweep.name, sweep.n,
                 key);
    if (rc != QUIPU_ROW)
        return 0;
    cr_expect_eq(value.size, size);
    memcpy(&count, value.data, sizeof(count));
    return count;
}

/* The view is the fold of the log up to its mark, but for what is parked. */
static void expect_tallies(uint64_t mark)
{
    bool was_watched = watched;
    quipu_view *view = NULL;
    uint64_t count = 0;

    watched = false;
    support_heap_fail(0, false);
    cr_assert_eq(quipu_view_open(store, "tallies", &view, NULL), QUIPU_OK);
    seen = quipu_view_mark(view);
    if (mark > 0)
        cr_expect_eq(seen, mark, "%s, failure %ld: the mark is %d", sweep.name, sweep.n, (int)seen);
    count = tallied(view, "big-0", LONG_BYTES) + tallied(view, "odd-1", LONG_BYTES) +
            tallied(view, "few-2", LONG_BYTES);
    cr_expect_eq(count, seen, "%s, failure %ld: %d events in streams", sweep.name, sweep.n,
                 (int)count);
    count = tallied(view, "third", 8) + tallied(view, "other", 8) + tallied(view, "seventh", 8);
    for (uint64_t position = POISON; position <= seen; position++)
        count += position % 3 != 0 && position % 7 == 0;
    cr_expect_eq(count, seen, "%s, failure %ld: %d events of types", sweep.name, sweep.n,
                 (int)count);
    quipu_view_close(view);
    watched = was_watched;
}

static int project(void)
{
    quipu_progress progress = {QUIPU_INIT(quipu_progress), .status = 0};
    int rc = quipu_project(store, &tallies, NULL, NULL, &progress, &why);

    expect_tallies(rc == QUIPU_OK ? head : 0);
    return rc;
}

static void rewind_it(void)
{
    cr_assert_eq(quipu_projection_control(store, "tallies", QUIPU_REWIND, 0, NULL, &why), QUIPU_OK,
                 "%s", why.text);
}

static void replay_it(void)
{
    cr_assert_eq(quipu_projection_control(store, "tallies", QUIPU_REPLAY, 0, "seventh", &why),
                 QUIPU_OK, "%s", why.text);
}

static void begin_projection(void)
{
    append_events();
    head = HEAD;
    seen = 1;
    cr_assert_eq(quipu_project(store, &tallies, NULL, NULL, NULL, &why), QUIPU_OK, "%s", why.text);
    expect_tallies(head);
}

/* Whatever fails: what was done is whole, and the next call goes on. */
static void end_projection(void)
{
    prepare = NULL;
    cr_expect_eq(quipu_project(store, &tallies, NULL, NULL, NULL, &why), QUIPU_OK, "%s", why.text);
    expect_tallies(head);
    quipu_close(store);
    cr_expect_eq(quipu_verify(store_path(), 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

Test(faults, projects)
{
    begin_projection();
    fail_each("project with nothing to do", project);
    prepare = append_next;
    fail_each("project", project);
    prepare = rewind_it;
    fail_each("project anew", project);
    end_projection();
}

Test(faults, projects_what_is_parked)
{
    begin_projection();
    prepare = replay_it;
    fail_each("replay", project);
    end_projection();
}

static int order(void)
{
    int rc = quipu_projection_control(store, "tallies", QUIPU_PAUSE, 0, NULL, &why);

    if (rc == QUIPU_OK)
        rc = quipu_projection_control(store, "tallies", QUIPU_RESUME, 0, NULL, &why);
    if (rc == QUIPU_OK)
        rc = quipu_projection_control(store, "tallies", QUIPU_REPLAY, 0, "seventh", &why);
    return rc;
}

static int forget(void)
{
    int rc = quipu_projection_control(store, "other", QUIPU_DELETE, 0, NULL, &why);

    return rc == QUIPU_NOT_FOUND ? QUIPU_OK : rc; /* the time before it was done, and then failed */
}

static void make_other(void)
{
    quipu_projection other = tallies;

    other.name = "other";
    cr_assert_eq(quipu_project(store, &other, NULL, NULL, NULL, &why), QUIPU_OK, "%s", why.text);
}

Test(faults, orders)
{
    begin_projection();
    fail_each("orders", order);
    cr_expect_eq(quipu_projection_control(store, "tallies", QUIPU_RESUME, 0, NULL, &why), QUIPU_OK);
    prepare = make_other;
    sweep_with("delete", forget, 0, QUIPU_NO_MEMORY);
    sweep_with("delete", forget, EIO, QUIPU_IO);
    end_projection();
}

static const char *view_name;

/* All of a view, by key and in order, both ways. What cannot be read is told, and passed over by
 * none: after a failure the next call says it again, or goes on with the next key. */
static int look(void)
{
    quipu_view *view = NULL;
    quipu_value key;
    quipu_value value;
    uint64_t count = 0;
    int rc = quipu_view_open(store, view_name, &view, &why);

    if (rc == QUIPU_OK)
        rc = quipu_view_get(view, "big-0", 5, &value, &why);
    if (rc == QUIPU_ROW)
        cr_expect_eq(value.size, LONG_BYTES);
    for (uint32_t flags = 0; rc >= 0 && flags < 2; flags++) {
        unsigned keys = 0;

        rc = quipu_view_scan(view, NULL, 0, NULL, 0, flags, &why);
        while (rc >= 0) {
            rc = quipu_view_next(view, &key, &value, &why);
            if (rc != QUIPU_ROW)
                break;
            keys++;
        }
        if (rc == QUIPU_OK)
            cr_expect_eq(keys, 6, "%s, failure %ld: %u keys", sweep.name, sweep.n, keys);
    }
    if (rc == QUIPU_OK)
        rc = quipu_view_count(view, "o", 1, &count, &why);
    if (rc == QUIPU_OK)
        cr_expect_eq(count, 2, "%s, failure %ld", sweep.name, sweep.n);
    quipu_view_close(view);
    return rc;
}

static int wait_for_view(void)
{
    return quipu_view_wait(store, "tallies", HEAD, -1, &why);
}

Test(faults, views)
{
    quipu_projection now = tallies;

    begin_projection();
    view_name = "tallies";
    fail_each("view", look);
    fail_each("wait for a view", wait_for_view);
    now.mode = QUIPU_LIVE;
    now.name = "now";
    cr_assert_eq(quipu_register(store, &now, &why), QUIPU_OK, "%s", why.text);
    view_name = "now";
    fail_each("live view", look);
    end_projection();
}

/* Under a name that nobody has yet. */
static int register_one(void)
{
    static unsigned names;
    quipu_projection now = tallies;
    char name[16];

    (void)snprintf(name, sizeof(name), "now-%u", names++);
    now.mode = QUIPU_LIVE;
    now.name = name;
    return quipu_register(store, &now, &why);
}

static int check_projection(void)
{
    static const quipu_query_item few = {.stream = "few-2"};
    quipu_projection some = tallies;
    uint64_t position = 0;
    int rc;

    some.query = (quipu_query){&few, 1};
    rc = quipu_projection_check(store, &some, &position, &why);

    cr_expect(rc < 0 || position == 0);
    return rc;
}

static int start_and_stop(void)
{
    const quipu_projection *list[] = {&tallies};
    quipu_runner *runner = NULL;
    int rc = quipu_runner_start(store, list, 1, 1, &runner, &why);

    cr_expect_eq(runner != NULL, rc == QUIPU_OK);
    return rc == QUIPU_OK ? quipu_runner_stop(runner, &why) : rc;
}

Test(faults, projections_that_begin)
{
    begin_projection();
    sweep_with("register", register_one, 0, QUIPU_NO_MEMORY);
    fail_each("check", check_projection);
    sweep_with("runner", start_and_stop, 0, QUIPU_NO_MEMORY);
    end_projection();
}

static void note_text(void *payload, int level, const char *text)
{
    (void)payload;
    (void)level;
    (void)text;
}

/* An inline projection that fails for such a reason is left behind, and the commit stands. */
Test(faults, inline_folds)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .log = note_text};
    quipu_projection within = tallies;

    begin_projection();
    quipu_close(store);
    cr_assert_eq(quipu_open(store_path(), &options, &store, &why), QUIPU_OK);
    within.mode = QUIPU_INLINE;
    cr_assert_eq(quipu_register(store, &within, &why), QUIPU_OK, "%s", why.text);
    prepare = NULL;
    fail_each("append beside an inline projection", append_new);
    cr_expect_eq(append_new(), QUIPU_OK);
    cr_expect_eq(quipu_view_wait(store, "tallies", head, 0, &why), QUIPU_OK, "%s", why.text);
    quipu_close(store);
    cr_expect_eq(quipu_verify(store_path(), 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}
