/* test_damage.c - live rows of log.mdb and index.mdb are damaged one bit at a time, after the
 * library's back. What is damaged is said, by verify and by every read that it may have belonged
 * to; what is whole is given; nothing wrong is ever given. */
#include "clock.h"
#include "handles.h"
#include "key.h"
#include "lock.h"
#include "merge.h"
#include "posting.h"
#include "sum.h"
#include "support_raw.h"
#include "support_suite.h"
#include "support_system.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FINDINGS_MAX = 4096, CHUNKED_BYTES = 9000, COMPLAINED = 77 };

static pid_t tester; /* whose Criterion it is */

/* As cr_expect(), but it may be called in a forked child, where Criterion would wait for ever. */
static void complain(int line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(int line, const char *format, ...)
{
    char text[300];
    va_list values;

    va_start(values, format);
    (void)vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    if (getpid() == tester) {
        cr_expect(false, "line %d: %s", line, text);
        return;
    }
    (void)fprintf(stderr, "line %d: %s\n", line, text);
    _exit(COMPLAINED);
}

#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            complain(__LINE__, __VA_ARGS__);                                                       \
    } while (0)

/* In memory if the machine can: these tests open stores some thousand times. */
static void begin(void)
{
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1);
    support_begin();
    tester = getpid();
}

TestSuite(damage, .init = begin, .fini = support_suite_end, .timeout = 110);

/* ---- a store, and what is in it -------------------------------------------------------------- */

static struct {
    uint64_t head;
    uint64_t indexed;
    uint64_t chunked; /* a position whose record stands in chunks too; 0: none */
    unsigned streams;
    char log[SUPPORT_PATH_BYTES];
    char index[SUPPORT_PATH_BYTES];
    char log_copy[SUPPORT_PATH_BYTES];
    char index_copy[SUPPORT_PATH_BYTES];
    char path[SUPPORT_PATH_BYTES];
} whole;

/* Three of four go to stream 0, which so gets blocks. */
static unsigned stream_of(uint64_t position)
{
    return position % 4 != 0 ? 0 : 1 + (unsigned)(position / 4 % (whole.streams - 1));
}

static void stream_name(unsigned stream, char name[16])
{
    (void)snprintf(name, 16, "%s-%u", stream % 2 == 0 ? "even" : "odd", stream);
}

static uint64_t version_of(uint64_t position)
{
    uint64_t version = 0;

    for (uint64_t p = 1; p <= position; p++)
        version += stream_of(p) == stream_of(position);
    return version;
}

static size_t data_of(uint64_t position, char *data)
{
    if (position != whole.chunked)
        return (size_t)snprintf(data, 32, "event %u", (unsigned)position);
    for (size_t i = 0; i < CHUNKED_BYTES; i++)
        data[i] = (char)(i * 31 / 7);
    return CHUNKED_BYTES;
}

/* A few only: each is a row of the index. */
static bool has_id(uint64_t position)
{
    return position % 2 == 0 && position <= 40;
}

static bool has_tag(uint64_t position)
{
    return position % 5 <= 1;
}

static void id_of(uint64_t position, uint8_t id[16])
{
    memset(id, 100 + (int)position, 16);
}

static void append_event(quipu *store, uint64_t position)
{
    static char data[CHUNKED_BYTES];
    static const char *const tags[] = {"k:1"};
    char name[16];
    quipu_draft draft = {.type = position % 3 == 0 ? "third" : "other",
                         .data = data,
                         .tags = tags,
                         .tag_count = has_tag(position),
                         .flags = has_id(position) ? QUIPU_EVENT_HAS_ID : 0};

    id_of(position, draft.id);
    draft.data_size = (uint32_t)data_of(position, data);
    stream_name(stream_of(position), name);
    cr_assert(quipu_append(store, name, QUIPU_ANY, &draft, 1, NULL, NULL) == QUIPU_OK);
}

static quipu *open_store(void)
{
    quipu *store = NULL;
    quipu_error error = {0};

    EXPECT(quipu_open(whole.path, NULL, &store, &error) == QUIPU_OK, "%s", error.text);
    return store;
}

static void make_store(uint64_t head, uint64_t indexed, uint64_t chunked)
{
    quipu *store;

    whole.head = head;
    whole.indexed = indexed;
    whole.chunked = chunked;
    whole.streams = 4;
    store = (support_path(whole.path, "store"), open_store());
    for (uint64_t position = 1; position <= head; position++) {
        append_event(store, position);
        if (position == indexed)
            cr_assert(qp_merge(store->handle, NULL) == QUIPU_OK);
    }
    quipu_close(store);
    sys_file_copy(support_path(whole.log, "store/log.mdb"),
                  support_path(whole.log_copy, "log-copy"));
    sys_file_copy(support_path(whole.index, "store/index.mdb"),
                  support_path(whole.index_copy, "index-copy"));
}

static void make_whole_again(void)
{
    sys_file_copy(whole.log_copy, whole.log);
    sys_file_copy(whole.index_copy, whole.index);
}

/* ---- raw rows: LMDB without the library ------------------------------------------------------ */

/* Flip a bit of byte `at` of a row. Returns: is the row that long? */
static bool flip(const char *path, const char *table, MDB_val key, size_t at)
{
    struct raw raw;
    uint8_t row[4096];
    size_t size;

    raw_begin(&raw, path, table);
    size = raw_get(&raw, key, row);
    if (at < size) {
        row[at] ^= (uint8_t)(1U << at % 8);
        raw_put(&raw, key, row, size);
    }
    raw_end(&raw);
    return at < size;
}

static MDB_val position_key(const uint64_t *position)
{
    return (MDB_val){sizeof(*position), (void *)(uintptr_t)position};
}

static bool flip_record(uint64_t position, size_t at)
{
    return flip(whole.log, "log", position_key(&position), at);
}

static bool flip_chunk(uint64_t position, uint32_t number, size_t at)
{
    struct qp_key key;

    qp_key_chunk(&key, position, number);
    return flip(whole.log, "chunks", (MDB_val){key.size, key.bytes}, at);
}

static void remove_record(uint64_t position)
{
    struct raw raw;
    MDB_val key = position_key(&position);

    raw_begin(&raw, whole.log, "log");
    cr_assert(mdb_del(raw.txn, raw.table, &key, NULL) == 0);
    raw_end(&raw);
}

/* Whole bytes in a wrong place. */
static void copy_record(uint64_t from, uint64_t to)
{
    struct raw raw;
    uint8_t row[4096];
    size_t size;

    raw_begin(&raw, whole.log, "log");
    size = raw_get(&raw, position_key(&from), row);
    raw_put(&raw, position_key(&to), row, size);
    raw_end(&raw);
}

/* ---- what is said ---------------------------------------------------------------------------- */

struct findings {
    uint64_t count;
    uint64_t positions[FINDINGS_MAX];
    bool in_log;
    bool in_index;
    bool of_ids;
};

static int note(void *payload, const quipu_finding *finding)
{
    struct findings *findings = payload;

    EXPECT(finding->status == QUIPU_CORRUPT && finding->text[0] != '\0', "damage");
    findings->in_log = findings->in_log || strcmp(finding->file, "log.mdb") == 0;
    findings->in_index = findings->in_index || strcmp(finding->file, "index.mdb") == 0;
    if (strcmp(finding->text, "its ids are not those of the log") == 0)
        findings->of_ids = true;
    if (findings->count < FINDINGS_MAX)
        findings->positions[findings->count++] = finding->position;
    return 0;
}

static int verify(struct findings *findings)
{
    *findings = (struct findings){0};
    return quipu_verify(whole.path, 0, note, NULL, findings, NULL, NULL);
}

static bool names(const struct findings *findings, uint64_t position)
{
    for (uint64_t i = 0; i < findings->count; i++)
        if (findings->positions[i] == position)
            return true;
    return false;
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* Else a stream. */
enum { ALL = -1, CATEGORY_ODD = -2, TYPE_THIRD = -3, TAGGED = -4, FIRST_READ = TAGGED };

static bool belongs(int what, uint64_t position)
{
    switch (what) {
    case ALL:
        return true;
    case CATEGORY_ODD:
        return stream_of(position) % 2 == 1;
    case TYPE_THIRD:
        return position % 3 == 0;
    case TAGGED:
        return has_tag(position);
    default:
        return (int)stream_of(position) == what;
    }
}

static int open_read(quipu *store, int what, uint32_t flags, quipu_reader **reader)
{
    static const char *const types[] = {"third"};
    static const char *const tags[] = {"k:1"};
    const quipu_query_item odd = {.category = "odd"};
    const quipu_query_item third = {.types = types, .type_count = 1};
    const quipu_query_item tagged = {.tags = tags, .tag_count = 1};
    const quipu_query query = {what == CATEGORY_ODD ? &odd
                               : what == TYPE_THIRD ? &third
                                                    : &tagged,
                               1};
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = flags};
    char name[16];

    if (what < 0)
        return quipu_read(store, what == ALL ? NULL : &query, &range, reader, NULL);
    stream_name((unsigned)what, name);
    return quipu_read_stream(store, name, &range, reader, NULL);
}

static void check_event(const quipu_event *event, int what)
{
    static char data[CHUNKED_BYTES];
    char name[16];
    uint8_t id[16];
    size_t size = data_of(event->position, data);

    EXPECT(event->position >= 1 && event->position <= whole.head && belongs(what, event->position),
           "position %u is none of %d", (unsigned)event->position, what);
    stream_name(stream_of(event->position), name);
    EXPECT(strcmp(event->stream, name) == 0, "%s, not %s", event->stream, name);
    EXPECT(event->data_size == size && memcmp(event->data, data, size) == 0, "data at %u",
           (unsigned)event->position);
    EXPECT(event->tag_count == has_tag(event->position) &&
               (event->tag_count == 0 || strcmp(event->tags, "k:1") == 0),
           "tags at %u", (unsigned)event->position);
    id_of(event->position, id);
    EXPECT((event->flags & QUIPU_EVENT_HAS_ID) == (unsigned)has_id(event->position) &&
               (!has_id(event->position) || memcmp(event->id, id, sizeof(id)) == 0),
           "id at %u", (unsigned)event->position);
    if (event->position < 100)
        EXPECT(event->version == version_of(event->position), "version at %u",
               (unsigned)event->position);
}

struct outcome {
    uint64_t rows;
    uint64_t corrupt;
    uint64_t corrupt_at; /* the last of them */
    bool opened;
};

/* The index is damaged: the reader says so for ever, and until here it has given everything. */
static void check_stuck(quipu_reader *reader, int what, uint32_t flags, uint64_t last,
                        uint64_t rows)
{
    bool backwards = (flags & QUIPU_BACKWARDS) != 0;
    quipu_event event;
    uint64_t expected = 0;

    EXPECT(quipu_next(reader, &event, NULL) == QUIPU_CORRUPT && event.position == 0, "again");
    EXPECT(backwards || quipu_reader_head(reader) == last, "it has seen no more than it gave");
    for (uint64_t position = 1; position <= whole.head; position++)
        if (backwards ? position >= last : position <= last)
            expected += belongs(what, position);
    EXPECT(rows == expected, "%d flags %u: %d events of %d before it", what, flags, (int)rows,
           (int)expected);
}

/* Read all of it; events must be right, in order, and each once. */
static void read_what(quipu *store, int what, uint32_t flags, struct outcome *outcome)
{
    bool backwards = (flags & QUIPU_BACKWARDS) != 0;
    quipu_reader *reader = NULL;
    quipu_event event;
    uint64_t last = backwards ? UINT64_MAX : 0;
    int rc = open_read(store, what, flags, &reader);

    *outcome = (struct outcome){.opened = rc == QUIPU_OK, .corrupt = rc == QUIPU_CORRUPT};
    EXPECT(rc == QUIPU_OK || rc == QUIPU_CORRUPT, "open: %d", rc);
    if (rc < 0)
        return;
    for (rc = quipu_next(reader, &event, NULL); rc != QUIPU_OK && outcome->corrupt < 100;
         rc = quipu_next(reader, &event, NULL)) {
        EXPECT(rc == QUIPU_ROW || rc == QUIPU_CORRUPT, "next: %s", quipu_status_name(rc));
        if (rc == QUIPU_CORRUPT) {
            outcome->corrupt++;
            outcome->corrupt_at = event.position;
            EXPECT(event.stream == NULL && event.data == NULL, "damage");
            if (event.position == 0) {
                check_stuck(reader, what, flags, last, outcome->rows);
                break;
            }
            continue;
        }
        EXPECT(backwards ? event.position < last : event.position > last, "order");
        last = event.position;
        check_event(&event, what);
        outcome->rows++;
    }
    quipu_reader_close(reader);
}

static uint64_t count_what(int what)
{
    uint64_t count = 0;

    for (uint64_t position = 1; position <= whole.head; position++)
        count += belongs(what, position);
    return count;
}

/* All but `lost` is given, and CORRUPT comes once where it is. With `for_all` every read of terms
 * says so, because nobody knows whose it was. */
static void expect_lost(quipu *store, uint64_t lost, bool for_all, const char *context)
{
    for (int what = FIRST_READ; what < (int)whole.streams; what++) {
        for (uint32_t flags = 0; flags <= QUIPU_BACKWARDS; flags += QUIPU_BACKWARDS) {
            struct outcome outcome;
            bool own = belongs(what, lost);

            read_what(store, what, flags, &outcome);
            EXPECT(outcome.rows == count_what(what) - own, "%s: %d: %d events of %d", context, what,
                   (int)outcome.rows, (int)count_what(what) - own);
            if (own || (for_all && what < 0))
                EXPECT(outcome.corrupt == 1 && outcome.corrupt_at == lost,
                       "%s: %d flags %u: %d times, at %d instead of %d", context, what, flags,
                       (int)outcome.corrupt, (int)outcome.corrupt_at, (int)lost);
            else if (!for_all)
                EXPECT(outcome.corrupt == 0, "%s: %d: said without need", context, what);
            else
                EXPECT(outcome.corrupt <= 1, "%s: %d", context, what);
        }
    }
}

static int fold_nothing(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)state;
    (void)payload;
    (void)error;
    check_event(event, ALL);
    return 0;
}

static int load(quipu *store, unsigned stream)
{
    const quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "f", .state_size = 1,
                             .apply = fold_nothing};
    char name[16];
    char state;

    stream_name(stream, name);
    return quipu_load(store, &fold, name, NULL, &state, NULL, NULL);
}

static int append_to(quipu *store, const char *stream)
{
    const quipu_draft draft = {.type = "t"};

    return quipu_append(store, stream, QUIPU_ANY, &draft, 1, NULL, NULL);
}

static void expect_verified(uint64_t lost, const char *context)
{
    struct findings findings;

    EXPECT(verify(&findings) == QUIPU_CORRUPT, "%s: verify", context);
    EXPECT(findings.in_log && names(&findings, lost), "%s: verify does not name %d", context,
           (int)lost);
}

/* Nothing may be appended, and merging, closing and opening again change nothing about it. */
static void expect_refused(quipu *store, const char *context)
{
    EXPECT(append_to(store, "even-0") == QUIPU_CORRUPT, "%s: append", context);
    EXPECT(append_to(store, "unheard-of") == QUIPU_CORRUPT, "%s: append", context);
    EXPECT(qp_merge(store->handle, NULL) >= QUIPU_CORRUPT, "%s: merge", context);
    EXPECT(append_to(store, "even-0") == QUIPU_CORRUPT, "%s: append after a merge", context);
}

static int pass_by(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)state;
    (void)event;
    (void)payload;
    (void)error;
    return 0;
}

/* ---- records --------------------------------------------------------------------------------- */

/* A record that is in the index: exactly its own readers are told. */
static void expect_indexed_lost(uint64_t position, const char *context)
{
    quipu *store = open_store();

    expect_lost(store, position, false, context);
    EXPECT(load(store, stream_of(position)) == QUIPU_CORRUPT, "%s: load", context);
    EXPECT(load(store, stream_of(position) ^ 1) == QUIPU_OK, "%s: load of another", context);
    quipu_close(store);
}

/* A record that is not: it may have been anybody's. */
static void expect_unindexed_lost(uint64_t position, const char *context)
{
    quipu *store = open_store();

    expect_lost(store, position, true, context);
    EXPECT(load(store, stream_of(position)) == QUIPU_CORRUPT, "%s: load", context);
    expect_refused(store, context);
    expect_lost(store, position, true, context);
    quipu_close(store);
    store = open_store();
    expect_lost(store, position, true, context);
    EXPECT(append_to(store, "even-0") == QUIPU_CORRUPT, "%s: append after opening", context);
    quipu_close(store);
}

Test(damage, each_byte_of_an_indexed_record)
{
    char context[64];

    make_store(24, 16, 0);
    for (size_t at = 0; flip_record(6, at); at++) {
        (void)snprintf(context, sizeof(context), "byte %zu", at);
        expect_verified(6, context);
        expect_indexed_lost(6, context);
        make_whole_again();
    }
}

Test(damage, each_byte_of_a_record_of_the_tail)
{
    char context[64];

    make_store(24, 16, 0);
    for (size_t at = 0; flip_record(20, at); at++) {
        (void)snprintf(context, sizeof(context), "byte %zu", at);
        expect_verified(20, context);
        expect_unindexed_lost(20, context);
        expect_verified(20, context);
        make_whole_again();
    }
}

/* One bit in each of the records, wherever it stands: first, last, at `indexed`. */
Test(damage, each_record)
{
    char context[64];

    make_store(24, 16, 0);
    for (uint64_t position = 1; position <= 24; position++) {
        (void)snprintf(context, sizeof(context), "position %d", (int)position);
        cr_assert(flip_record(position, 70 + position % 8));
        expect_verified(position, context);
        if (position < 16)
            expect_indexed_lost(position, context);
        else
            expect_unindexed_lost(position, context); /* at 16 the index cannot be trusted */
        make_whole_again();
    }
}

Test(damage, another_record_in_its_place)
{
    make_store(24, 16, 0);
    copy_record(3, 6); /* of the same stream */
    expect_verified(6, "indexed");
    expect_indexed_lost(6, "indexed");
    make_whole_again();
    copy_record(3, 21);
    expect_verified(21, "tail");
    expect_unindexed_lost(21, "tail");
}

/* A range whose edge is the damaged version itself: it is missed at either side of the bound, and a
 * load up to it must not pass for one up to the version before. */
Test(damage, at_the_edge_of_a_range)
{
    static const struct {
        uint64_t after;
        uint64_t upto; /* 0: all */
        unsigned rows;
        bool corrupt;
    } cases[] = {
        {0, 0, 4, true},  {2, 0, 2, true}, {0, 3, 2, true},  {2, 3, 0, true},  {0, 2, 2, false},
        {3, 0, 2, false}, {0, 4, 3, true}, {1, 2, 1, false}, {3, 4, 1, false}, {4, 0, 1, false},
    };
    const quipu_draft draft = {.type = "t"};
    const quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "f", .state_size = 1,
                             .apply = pass_by};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    uint64_t version = 0;
    char state;

    cr_assert(quipu_open(support_path(path, "edge"), NULL, &store, NULL) == QUIPU_OK);
    for (int i = 0; i < 5; i++)
        cr_assert(quipu_append(store, "s", QUIPU_ANY, &draft, 1, NULL, NULL) == QUIPU_OK);
    quipu_close(store);
    support_path(path, "edge/log.mdb");
    cr_assert(flip(path, "log", position_key(&(uint64_t){3}), 30));
    cr_assert(quipu_open(support_path(path, "edge"), NULL, &store, NULL) == QUIPU_OK);
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        const quipu_range range = {QUIPU_INIT(quipu_range), .flags = i % 2,
                                   .after = cases[i / 2].after, .upto = cases[i / 2].upto};
        quipu_reader *reader = NULL;
        quipu_event event;
        unsigned rows = 0;
        unsigned corrupt = 0;
        int rc;

        cr_assert(quipu_read_stream(store, "s", &range, &reader, NULL) == QUIPU_OK);
        for (rc = quipu_next(reader, &event, NULL); rc != QUIPU_OK && corrupt < 9;
             rc = quipu_next(reader, &event, NULL)) {
            rows += rc == QUIPU_ROW;
            corrupt += rc == QUIPU_CORRUPT && event.position == 3;
        }
        quipu_reader_close(reader);
        cr_expect(rows == cases[i / 2].rows && corrupt == cases[i / 2].corrupt,
                  "case %zu: %u rows, %u times CORRUPT", i, rows, corrupt);
    }
    cr_expect(quipu_load(store, &fold, "s", &(quipu_point){.kind = QUIPU_AT_VERSION, .value = 3},
                         &state, &version, NULL) == QUIPU_CORRUPT);
    cr_expect(quipu_load(store, &fold, "s", &(quipu_point){.kind = QUIPU_AT_VERSION, .value = 2},
                         &state, &version, NULL) == QUIPU_OK &&
              version == 2);
    quipu_close(store);
}

Test(damage, missing_record)
{
    make_store(24, 16, 0);
    remove_record(6);
    expect_verified(6, "indexed");
    expect_indexed_lost(6, "indexed");
    make_whole_again();
    remove_record(20);
    expect_verified(20, "tail");
    expect_unindexed_lost(20, "tail");
}

/* Several at once: all that is whole is given, in both directions. */
Test(damage, several)
{
    static const uint64_t lost[] = {1, 6, 7, 8, 18, 20, 21};
    struct outcome outcome;
    quipu *store;

    make_store(24, 16, 0);
    for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++) {
        if (i % 2 == 0)
            remove_record(lost[i]);
        else
            cr_assert(flip_record(lost[i], 30));
        expect_verified(lost[i], "several");
    }
    for (int time = 0; time < 2; time++) {
        store = open_store();
        for (uint32_t flags = 0; flags <= QUIPU_BACKWARDS; flags += QUIPU_BACKWARDS) {
            read_what(store, ALL, flags, &outcome);
            EXPECT(outcome.rows == 17 && outcome.corrupt == 7, "%d %d", (int)outcome.rows,
                   (int)outcome.corrupt);
            read_what(store, 0, flags, &outcome); /* of its 18, the positions of no 4th */
            EXPECT(outcome.rows == 13, "%d of stream 0", (int)outcome.rows);
            EXPECT(outcome.corrupt >= 5, "%d said", (int)outcome.corrupt);
        }
        expect_refused(store, "several");
        quipu_close(store);
    }
}

/* A reader that trusts the bytes must not spoil what the process knows for all the others. */
Test(damage, reader_without_checksums)
{
    struct outcome outcome;
    quipu *store;
    quipu_reader *reader;
    quipu_event event;
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_SKIP_CHECKSUMS};

    make_store(24, 16, 0);
    cr_assert(flip_record(20, 66)); /* in the stream's name */
    store = open_store();
    cr_assert(quipu_read(store, NULL, &range, &reader, NULL) == QUIPU_OK);
    while (quipu_next(reader, &event, NULL) == QUIPU_ROW)
        continue;
    quipu_reader_close(reader);
    expect_refused(store, "after it");
    read_what(store, (int)stream_of(20), 0, &outcome);
    EXPECT(outcome.corrupt == 1 && outcome.corrupt_at == 20, "damage");
    quipu_close(store);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* The names stand in the record's first part, so only its own readers are told. */
Test(damage, chunks)
{
    char context[64];

    for (unsigned round = 0; round < 2; round++) {
        uint64_t chunked = round == 0 ? 5 : 21;

        make_store(24, 16, chunked);
        for (uint32_t number = 0; number < 2; number++) {
            for (size_t at = 0; flip_chunk(chunked, number, at); at += at < 16 ? 1 : 97) {
                (void)snprintf(context, sizeof(context), "chunk %u of %d byte %zu", number,
                               (int)chunked, at);
                expect_verified(chunked, context);
                expect_indexed_lost(chunked, context);
                make_whole_again();
            }
        }
        support_remove(whole.path);
    }
}

static void remove_chunk(uint64_t position, uint32_t number)
{
    struct raw raw;
    struct qp_key key;

    qp_key_chunk(&key, position, number);
    raw_begin(&raw, whole.log, "chunks");
    raw_remove(&raw, raw_key(key.bytes, key.size));
    raw_end(&raw);
}

Test(damage, missing_chunk_and_one_too_many)
{
    struct findings findings;
    struct raw raw;
    struct qp_key key;
    uint8_t row[100] = {0};

    make_store(24, 16, 5);
    remove_chunk(5, 1);
    expect_verified(5, "missing chunk");
    expect_indexed_lost(5, "missing chunk");
    make_whole_again();

    qp_key_chunk(&key, 7, 0);
    qp_row_seal(QP_TABLE_CHUNKS, qp_key_bytes(&key), row, sizeof(row));
    raw_begin(&raw, whole.log, "chunks");
    raw_put(&raw, (MDB_val){key.size, key.bytes}, row, sizeof(row));
    raw_end(&raw);
    EXPECT(verify(&findings) == QUIPU_CORRUPT && findings.in_log, "a chunk of no event");
}

/* ---- the index ------------------------------------------------------------------------------- */

/* All reads: what is given is right, and (`complete`) if anything is not given, that is said. */
static void expect_never_wrong(const char *context, bool complete)
{
    quipu *store = NULL;
    int rc = quipu_open(whole.path, NULL, &store, NULL);

    EXPECT(rc == QUIPU_OK, "%s: open: %s", context, quipu_status_name(rc));
    for (int what = FIRST_READ; what < (int)whole.streams; what++) {
        for (uint32_t flags = 0; flags <= QUIPU_BACKWARDS; flags += QUIPU_BACKWARDS) {
            struct outcome outcome;

            read_what(store, what, flags, &outcome);
            EXPECT(!complete || outcome.rows == count_what(what) || outcome.corrupt > 0,
                   "%s: %d flags %u: %d events of %d, and nothing said", context, what, flags,
                   (int)outcome.rows, (int)count_what(what));
            EXPECT(what != ALL || outcome.corrupt == 0, "%s: the log is whole", context);
            EXPECT(!complete || outcome.corrupt_at == 0, "%s: event %d is not damaged", context,
                   (int)outcome.corrupt_at);
        }
    }
    quipu_close(store);
}

/* Each byte of the head of each row, and some after it. */
static void damage_rows(const char *table, size_t step)
{
    struct raw raw;
    MDB_cursor *cursor;
    MDB_val keys[64];
    MDB_val value;
    uint8_t bytes[64][512];
    size_t count = 0;
    char context[64];

    raw_begin(&raw, whole.index, table);
    cr_assert(mdb_cursor_open(raw.txn, raw.table, &cursor) == 0);
    while (count < 64 && mdb_cursor_get(cursor, &keys[count], &value, MDB_NEXT) == 0) {
        memcpy(bytes[count], keys[count].mv_data, keys[count].mv_size);
        keys[count].mv_data = bytes[count];
        count++;
    }
    mdb_cursor_close(cursor);
    raw_end(&raw);
    cr_assert(count > 0, "%s is empty", table);
    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; flip(whole.index, table, keys[i], at); at += step) {
            struct findings findings;

            (void)snprintf(context, sizeof(context), "%s row %zu byte %zu", table, i, at);
            EXPECT(verify(&findings) == QUIPU_CORRUPT, "%s: verify", context);
            EXPECT(findings.in_index && !findings.in_log, "%s: not in the index", context);
            expect_never_wrong(context, true);
            make_whole_again();
        }
    }
}

Test(damage, index_terms)
{
    make_store(1400, 1390, 0); /* stream 0 has more than 1 024 events: two blocks */
    damage_rows("terms", 23);
}

Test(damage, index_blocks)
{
    make_store(3200, 3190, 0); /* four blocks of stream 0: a reader comes to the last ones late */
    damage_rows("blocks", 127);
}

Test(damage, index_meta)
{
    make_store(100, 90, 0);
    damage_rows("meta", 1);
}

static void remove_index_row(const char *table, unsigned which)
{
    struct raw raw;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;

    raw_begin(&raw, whole.index, table);
    cr_assert(mdb_cursor_open(raw.txn, raw.table, &cursor) == 0);
    for (unsigned i = 0; i <= which; i++)
        cr_assert(mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0);
    cr_assert(mdb_cursor_del(cursor, 0) == 0);
    mdb_cursor_close(cursor);
    raw_end(&raw);
}

/* A missing term cannot be told from one that never was, but verify can: it has the log. That a
 * block is missing every reader sees. */
Test(damage, index_rows_missing)
{
    struct findings findings;

    make_store(1400, 1390, 0);
    for (unsigned i = 0; i < 4; i++) {
        remove_index_row(i % 2 == 0 ? "terms" : "blocks", i / 2);
        EXPECT(verify(&findings) == QUIPU_CORRUPT && findings.in_index, "row %u", i);
        if (i % 2 == 1)
            expect_never_wrong("a block is missing", true);
        make_whole_again();
    }
    EXPECT(verify(&findings) == QUIPU_OK && findings.count == 0, "damage");
}

/* A stream that goes on in the tail with another version than its first has lost its row. */
Test(damage, a_lost_row_that_the_tail_shows)
{
    quipu_reader *reader = NULL;
    struct raw raw;
    struct qp_key row;
    MDB_val key;
    quipu *store;

    make_store(24, 16, 0);
    qp_key_term(&row, QP_TERM_STREAM, QP_LITERAL("even-0"));
    key = (MDB_val){row.size, row.bytes};
    raw_begin(&raw, whole.index, "terms");
    cr_assert(mdb_del(raw.txn, raw.table, &key, NULL) == 0);
    raw_end(&raw);
    store = open_store();
    EXPECT(quipu_read_stream(store, "even-0", NULL, &reader, NULL) == QUIPU_CORRUPT,
           "the lost one");
    EXPECT(quipu_read_stream(store, "odd-1", NULL, &reader, NULL) == QUIPU_OK, "another one");
    quipu_reader_close(reader);
    quipu_close(store);
}

/* Only a stream's entries begin with another number than 1: reads do not need it, verify says so.
 */
Test(damage, a_first_number_that_cannot_be)
{
    struct findings findings;
    struct raw raw;
    struct qp_key key;
    uint8_t row[4096];
    size_t size;

    make_store(24, 16, 0);
    qp_key_term(&key, QP_TERM_CATEGORY, QP_LITERAL("even"));
    raw_begin(&raw, whole.index, "terms");
    size = raw_get(&raw, (MDB_val){key.size, key.bytes}, row);
    cr_assert(row[8] < 0x80 && row[9] == 1, "count, first");
    row[9] = 2;
    qp_row_seal(QP_TABLE_TERMS, qp_key_bytes(&key), row, size);
    raw_put(&raw, (MDB_val){key.size, key.bytes}, row, size);
    raw_end(&raw);
    EXPECT(verify(&findings) == QUIPU_CORRUPT && findings.in_index, "not told");
    expect_never_wrong("a first number", true);
}

/* What the index says of positions that are not its own the tail says too: it would come twice. */
Test(damage, a_position_after_what_is_indexed)
{
    static const uint64_t beyond = 20;
    const struct qp_term_row forged = {.first = 1,
                                       .count = 1,
                                       .first_position = beyond,
                                       .last_position = beyond,
                                       .inline_count = 1};
    const quipu_query_item item = {.category = "even"};
    const quipu_query query = {&item, 1};
    quipu_reader *reader = NULL;
    struct raw raw;
    struct qp_key key;
    uint8_t row[QP_ROW_BYTES_MAX];
    size_t size = qp_term_row_write(&forged, &beyond, row);
    quipu *store;

    make_store(24, 16, 0);
    qp_key_term(&key, QP_TERM_CATEGORY, QP_LITERAL("even"));
    qp_row_seal(QP_TABLE_TERMS, qp_key_bytes(&key), row, size);
    raw_begin(&raw, whole.index, "terms");
    raw_put(&raw, (MDB_val){key.size, key.bytes}, row, size);
    raw_end(&raw);
    store = open_store();
    EXPECT(quipu_read(store, &query, NULL, &reader, NULL) == QUIPU_CORRUPT, "it was believed");
    quipu_reader_close(reader);
    quipu_close(store);
}

/* Rows that are whole by their sums and not true: one stream's entries under the name of another,
 * and under no name at all. No damage makes such rows; still no wrong event is given. */
Test(damage, index_that_lies)
{
    static const char *const names_of[] = {"even-0", "odd-1", "even-2", "unheard-of"};
    struct findings findings;

    make_store(400, 390, 0);
    for (size_t from = 0; from < 3; from++) {
        for (size_t to = 0; to < 4; to++) {
            struct qp_key keys[2];
            struct raw raw;
            uint8_t row[4096];
            size_t size;

            if (from == to)
                continue;
            qp_key_term(&keys[0], QP_TERM_STREAM,
                        (struct qp_bytes){names_of[from], strlen(names_of[from])});
            qp_key_term(&keys[1], QP_TERM_STREAM,
                        (struct qp_bytes){names_of[to], strlen(names_of[to])});
            raw_begin(&raw, whole.index, "terms");
            size = raw_get(&raw, (MDB_val){keys[0].size, keys[0].bytes}, row);
            qp_row_seal(QP_TABLE_TERMS, qp_key_bytes(&keys[1]), row, size);
            raw_put(&raw, (MDB_val){keys[1].size, keys[1].bytes}, row, size);
            raw_end(&raw);
            EXPECT(verify(&findings) == QUIPU_CORRUPT && findings.in_index, "%s as %s",
                   names_of[from], names_of[to]);
            if (to < 3)
                expect_never_wrong(names_of[to], false);
            make_whole_again();
        }
    }
}

/* Counts that are whole by their sums and not true. */
Test(damage, index_that_counts_wrong)
{
    make_store(1400, 1390, 0); /* with blocks, so that a number was given out */
    for (unsigned i = 0; i < 3; i++) {
        struct findings findings;
        struct qp_indexed indexed;
        struct raw raw;
        uint8_t row[4096];
        size_t size;

        raw_begin(&raw, whole.index, "meta");
        size = raw_get(&raw, (MDB_val){QP_META_INDEXED.size, (void *)(uintptr_t) "indexed"}, row);
        cr_assert(qp_indexed_read((struct qp_bytes){row, size}, &indexed));
        indexed.streams += i == 0;
        indexed.damaged += i == 1;
        indexed.next_term = i == 2 ? 1 : indexed.next_term;
        size = qp_indexed_write(&indexed, row);
        qp_row_seal(QP_TABLE_INDEX_META, QP_META_INDEXED, row, size);
        raw_put(&raw, (MDB_val){QP_META_INDEXED.size, (void *)(uintptr_t) "indexed"}, row, size);
        raw_end(&raw);
        EXPECT(verify(&findings) == QUIPU_CORRUPT && findings.in_index, "count %u", i);
        make_whole_again();
    }
}

/* ---- ids ------------------------------------------------------------------------------------- */

/* The row of the id at this position. */
static void id_key(uint64_t position, struct qp_key *key)
{
    uint8_t id[16];
    uint8_t name[QP_ID_NAME_BYTES];
    char stream[16];

    id_of(position, id);
    stream_name(stream_of(position), stream);
    qp_key_id_name(name, id, qp_sum(stream, strlen(stream), 0));
    qp_key_term(key, QP_TERM_ID, (struct qp_bytes){name, sizeof(name)});
}

/* Put what stands under one id under another one, whole by its sum. */
static void put_id(struct raw *raw, const struct qp_key *key, uint8_t *row, size_t size)
{
    qp_row_seal(QP_TABLE_TERMS, qp_key_bytes(key), row, size);
    raw_put(raw, (MDB_val){key->size, (void *)(uintptr_t)key->bytes}, row, size);
}

/* Reads do not look at ids; verify holds them all against the log. */
static void expect_ids_wrong(const char *context)
{
    struct findings findings;

    EXPECT(verify(&findings) == QUIPU_CORRUPT, "%s: verify", context);
    EXPECT(findings.of_ids && findings.in_index && !findings.in_log && findings.count == 1,
           "%s: %d findings", context, (int)findings.count);
    expect_never_wrong(context, true);
    make_whole_again();
    EXPECT(verify(&findings) == QUIPU_OK, "%s: not whole again", context);
}

Test(damage, ids_exchanged_dropped_and_forged)
{
    struct qp_key keys[3];
    uint8_t rows[2][4096];
    size_t sizes[2];
    struct raw raw;

    make_store(24, 16, 0);
    id_key(6, &keys[0]);
    id_key(10, &keys[1]);
    id_key(44, &keys[2]); /* nobody has it */
    for (int what = 0; what < 4; what++) {
        raw_begin(&raw, whole.index, "terms");
        for (size_t i = 0; i < 2; i++)
            sizes[i] = raw_get(&raw, (MDB_val){keys[i].size, keys[i].bytes}, rows[i]);
        if (what == 0) { /* exchanged */
            put_id(&raw, &keys[0], rows[1], sizes[1]);
            put_id(&raw, &keys[1], rows[0], sizes[0]);
        } else if (what == 1 || what == 3) { /* forged, or under another id than its own */
            put_id(&raw, &keys[2], rows[0], sizes[0]);
        }
        if (what >= 2) { /* dropped */
            MDB_val key = {keys[0].size, keys[0].bytes};

            cr_assert(mdb_del(raw.txn, raw.table, &key, NULL) == 0);
        }
        raw_end(&raw);
        expect_ids_wrong(what == 0   ? "exchanged"
                         : what == 1 ? "forged"
                         : what == 2 ? "dropped"
                                     : "renamed");
    }
}

/* A thread's append, of an event with the id at a position (0: without one) to its stream. */
struct sender {
    quipu *store;
    uint64_t position;
    pthread_t thread;
    quipu_receipt receipt;
    quipu_error error;
    int rc;
};

static void *append_by_thread(void *payload)
{
    struct sender *sender = payload;
    quipu_draft draft = {.type = "t"};
    char name[16];

    if (sender->position > 0) {
        draft.flags = QUIPU_EVENT_HAS_ID;
        id_of(sender->position, draft.id);
    }
    stream_name(stream_of(sender->position), name);
    sender->rc =
        quipu_append(sender->store, name, QUIPU_ANY, &draft, 1, &sender->receipt, &sender->error);
    return NULL;
}

/* Until one more has come. */
static void wait_for_queue(struct qp_queue *queue, const struct qp_request **last)
{
    const struct qp_request *before = *last;
    bool come = false;

    while (!come) {
        sys_sleep_ms(1);
        (void)pthread_mutex_lock(&queue->lock);
        *last = queue->last;
        come = queue->leading && *last != before;
        (void)pthread_mutex_unlock(&queue->lock);
    }
}

/* The first one leads, and takes its group when it has the store's lock, which is ours as long as
 * they come: all are one group. */
static void run_group(quipu *store, struct sender *senders, unsigned count)
{
    struct qp_handle *handle = store->handle;
    const struct qp_request *last = NULL;

    cr_assert(qp_lock_take(handle, qp_clock_deadline_ns(10000), NULL) == QUIPU_OK);
    for (unsigned i = 0; i < count; i++) {
        senders[i].store = store;
        cr_assert(pthread_create(&senders[i].thread, NULL, append_by_thread, &senders[i]) == 0);
        wait_for_queue(&handle->queue, &last);
    }
    (void)qp_lock_release(handle, false);
    for (unsigned i = 0; i < count; i++)
        cr_assert(pthread_join(senders[i].thread, NULL) == 0);
}

/* The index names a record that was damaged since: whether the id is known nobody can say. That
 * batch is told so; what else is in its group is committed, before it or after it. */
Test(damage, id_of_a_damaged_record)
{
    quipu *store;
    uint64_t head = 0;

    make_store(24, 16, 0);
    cr_assert(flip_record(6, 30));
    store = open_store();
    for (unsigned first = 1; first < 4; first++) {
        struct sender senders[4] = {{.position = 0}};

        senders[first].position = 6;
        run_group(store, senders, 4);
        for (unsigned i = 0; i < 4; i++) {
            const struct sender *sender = &senders[i];

            if (i != first) {
                EXPECT(sender->rc == QUIPU_OK && sender->receipt.verdict == QUIPU_COMMITTED,
                       "%u beside %u: %s", i, first, quipu_status_name(sender->rc));
                continue;
            }
            EXPECT(sender->rc == QUIPU_CORRUPT && sender->receipt.first_position == 0 &&
                       sender->error.status == QUIPU_CORRUPT && sender->error.text[0] != '\0',
                   "%u: %s", first, quipu_status_name(sender->rc));
        }
    }
    cr_assert(quipu_head(store, &head, NULL) == QUIPU_OK);
    EXPECT(head == 24 + 9, "%d", (int)head);
    quipu_close(store);
}

/* ---- rows of `meta` in the log --------------------------------------------------------------- */

Test(damage, log_meta)
{
    static const char *const rows[] = {"format", "uuid", "created"};

    make_store(24, 16, 0);
    for (size_t i = 0; i < 3; i++) {
        MDB_val key = {strlen(rows[i]), (void *)(uintptr_t)rows[i]};

        for (size_t at = 0; flip(whole.log, "meta", key, at); at++) {
            struct findings findings;
            quipu *store = NULL;
            int rc = quipu_open(whole.path, NULL, &store, NULL);

            EXPECT(rc == QUIPU_CORRUPT || (i == 2 && rc == QUIPU_OK), "%s byte %zu: %s", rows[i],
                   at, quipu_status_name(rc));
            quipu_close(store);
            EXPECT(verify(&findings) == QUIPU_CORRUPT && findings.in_log, "%s byte %zu", rows[i],
                   at);
            make_whole_again();
        }
    }
}

/* ---- whole pages of the index ---------------------------------------------------------------- */

/* In a child, because LMDB may not survive it. Returns its exit code, or 256 + a signal. */
static int in_child(void (*run)(const char *context), const char *context)
{
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE};
    pid_t child = fork();

    if (child == 0) {
        for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
            (void)signal(deadly[i],
                         SIG_DFL); /* no sanitizer's report: it is not our code that died */
        (void)alarm(20);
        run(context);
        _exit(0);
    }
    cr_assert(child > 0);
    return sys_wait(child);
}

/* What is read is right first; then whatever may touch the index does. */
static void use_everything(const char *context)
{
    struct findings findings;
    quipu *store;

    expect_never_wrong(context, false);
    (void)verify(&findings);
    store = open_store();
    (void)append_to(store, "even-0");
    (void)qp_merge(store->handle, NULL);
    quipu_close(store);
}

/* Random bytes over a page, or over its middle. LMDB believes its pages and may crash on them,
 * which is tolerated here as long as nobody looks at them before. What comes before a crash must be
 * right, and nothing may run for ever. A term whose key cannot be found any more on its page is not
 * missed by a reader, only by verify: that is the price of pages without checksums. */
Test(damage, index_pages)
{
    struct sys_random random = {.state = 11};
    uint64_t words[512];
    uint64_t pages;
    char context[64];

    make_store(1400, 1390, 0);
    pages = sys_file_size(whole.index) / 4096;
    for (uint64_t page = 2; page < pages; page++) {
        for (unsigned part = 0; part < 2; part++) {
            int rc;

            for (size_t i = 0; i < 512; i++)
                words[i] = sys_next(&random);
            if (part == 0)
                sys_file_patch(whole.index, page * 4096, words, 4096);
            else
                sys_file_patch(whole.index, page * 4096 + 2048, words, 1024);
            (void)snprintf(context, sizeof(context), "index page %d part %u", (int)page, part);
            rc = in_child(use_everything, context);
            EXPECT(rc != COMPLAINED, "%s: see above", context);
            EXPECT(rc != 256 + SIGALRM, "%s: it runs for ever", context);
            make_whole_again();
        }
    }
}
