/* test_forged.c - rows that are whole by their sums and still cannot be: records of another shape,
 * version, time or history than they must have, terms and blocks that say what no merge writes. And
 * ends of walks that say stop. Each is told as what it is, where it is; nothing wrong is given. */
#include "handles.h"
#include "index.h"
#include "key.h"
#include "merge.h"
#include "posting.h"
#include "record.h"
#include "row.h"
#include "streams.h"
#include "sum.h"
#include "support_raw.h"
#include "support_suite.h"
#include "support_system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void begin(void)
{
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1);
    support_begin();
}

TestSuite(forged, .init = begin, .fini = support_suite_end, .timeout = 110);

/* ---- a store, and what is in it -------------------------------------------------------------- */

enum { HEAD = 24, CHUNKED = 13, CHUNKED_BYTES = 9000 };

static quipu *store;
static bool without_chunks;
static quipu_error why;

static const char *path_of(const char *name)
{
    static char paths[2][SUPPORT_PATH_BYTES]; /* of two in one call each has its own */
    static unsigned turn;

    return support_path(paths[turn++ % 2], name);
}

static int try_open(void)
{
    why = (quipu_error){0};
    return quipu_open(path_of("store"), NULL, &store, &why);
}

static void open_store(void)
{
    cr_assert_eq(try_open(), QUIPU_OK, "%s", why.text);
}

static const char *stream_of(uint64_t position)
{
    return position % 2 == 1 ? "a-1" : "b-2";
}

static void id_of(uint64_t position, uint8_t id[16])
{
    memset(id, 100 + (int)position, 16);
}

static void append_event(uint64_t position)
{
    static const char *const tags[] = {"k:1"};
    static const char data[CHUNKED_BYTES] = "data";
    quipu_draft draft = {.type = position % 3 == 0 ? "third" : "other",
                         .data = data,
                         .data_size = position == CHUNKED && !without_chunks ? CHUNKED_BYTES : 4,
                         .tags = tags,
                         .tag_count = position % 4 == 0,
                         .flags = position <= 12 ? QUIPU_EVENT_HAS_ID : 0};

    id_of(position, draft.id);
    cr_assert_eq(quipu_append(store, stream_of(position), QUIPU_ANY, &draft, 1, NULL, &why),
                 QUIPU_OK, "%s", why.text);
}

/* Of a-1 the odd ones, of b-2 the even ones; in the index up to `indexed`. */
static void make_store(uint64_t head, uint64_t indexed)
{
    open_store();
    for (uint64_t position = 1; position <= head; position++) {
        append_event(position);
        if (position == indexed)
            cr_assert_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_OK);
    }
    quipu_close(store);
    sys_file_copy(path_of("store/log.mdb"), path_of("log-copy"));
    if (sys_exists(path_of("store/index.mdb")))
        sys_file_copy(path_of("store/index.mdb"), path_of("index-copy"));
}

static void make_whole_again(void)
{
    sys_file_copy(path_of("log-copy"), path_of("store/log.mdb"));
    sys_file_copy(path_of("index-copy"), path_of("store/index.mdb"));
}

/* ---- rows ------------------------------------------------------------------------------------ */

static size_t get_record(uint64_t position, uint8_t row[4096])
{
    struct raw raw;
    size_t size;

    raw_begin(&raw, path_of("store/log.mdb"), "log");
    size = raw_get(&raw, raw_key(&position, sizeof(position)), row);
    raw_end(&raw);
    return size;
}

/* With the check that fits it. */
static void put_record(uint64_t position, uint8_t *row, size_t size)
{
    struct raw raw;

    if (size >= 8)
        qp_set_u64(row, qp_sum(row + 8, size - 8, position));
    raw_begin(&raw, path_of("store/log.mdb"), "log");
    raw_put(&raw, raw_key(&position, sizeof(position)), row, size);
    raw_end(&raw);
}

static void remove_record(uint64_t position)
{
    struct raw raw;

    raw_begin(&raw, path_of("store/log.mdb"), "log");
    raw_remove(&raw, raw_key(&position, sizeof(position)));
    raw_end(&raw);
}

/* Give a record another version and another time, and all that follow the chain that fits: a
 * history that was written so. */
static void rewrite(uint64_t from, uint64_t version, int64_t later_ns)
{
    struct qp_stamp stamp = {0};
    struct qp_record record;
    uint8_t row[4096];
    size_t size;

    for (uint64_t position = from - 1; position <= HEAD; position++) {
        size = get_record(position, row);
        cr_assert_eq(qp_record_read((struct qp_bytes){row, size}, position, true, &record),
                     QP_RECORD_WHOLE);
        if (position >= from) {
            stamp.position = position;
            stamp.version = position == from ? version : record.version;
            stamp.content = qp_record_content(&record);
            stamp.recorded_ns = record.recorded_ns + (position == from ? later_ns : 0);
            (void)qp_record_stamp(row, size, &stamp);
            put_record(position, row, size);
        }
        stamp.chain_before = qp_get_u64(row + 8);
    }
}

static void put_row(const char *file, enum qp_table table, struct qp_bytes key, uint8_t *row,
                    size_t size)
{
    struct raw raw;

    qp_row_seal(table, key, row, size);
    raw_begin(&raw, path_of(file), qp_table_name(table));
    raw_put(&raw, raw_key(key.data, key.size), row, size);
    raw_end(&raw);
}

static void put_term(const struct qp_key *key, const struct qp_term_row *term,
                     const uint64_t *positions)
{
    uint8_t row[QP_ROW_BYTES_MAX];
    size_t size = qp_term_row_write(term, positions, row);

    put_row("store/index.mdb", QP_TABLE_TERMS, qp_key_bytes(key), row, size);
}

static void get_term(const struct qp_key *key, struct qp_term_row *term, uint64_t *positions)
{
    static uint8_t row[4096];
    struct raw raw;
    size_t size;

    raw_begin(&raw, path_of("store/index.mdb"), "terms");
    size = raw_get(&raw, raw_key(key->bytes, key->size), row);
    raw_end(&raw);
    cr_assert(qp_term_row_read((struct qp_bytes){row, size}, term));
    cr_assert(qp_deltas_read(term->deltas, term->base, positions, term->inline_count));
}

static struct qp_key term_key(enum qp_term_kind kind, const char *name)
{
    struct qp_key key;

    qp_key_term(&key, kind, (struct qp_bytes){name, strlen(name)});
    return key;
}

/* ---- what is said ---------------------------------------------------------------------------- */

static struct {
    unsigned count;
    unsigned stop_at; /* at this one; 0: never */
    int stop_with;
    uint64_t position; /* of the last one */
    char file[16];
    char table[16];
    char text[300];
} said;

static int note(void *payload, const quipu_finding *finding)
{
    (void)payload;
    cr_expect_eq(finding->status, QUIPU_CORRUPT);
    said.position = finding->position;
    (void)snprintf(said.file, sizeof(said.file), "%s", finding->file);
    (void)snprintf(said.table, sizeof(said.table), "%s", finding->table);
    (void)snprintf(said.text, sizeof(said.text), "%s", finding->text);
    return ++said.count == said.stop_at ? said.stop_with : 0;
}

static int verify(quipu_verified *verified)
{
    memset(&said, 0, offsetof(__typeof__(said), stop_at));
    why = (quipu_error){0};
    return quipu_verify(path_of("store"), 0, note, NULL, NULL, verified, &why);
}

/* One finding, about this. */
static void expect_said(const char *table, uint64_t position, const char *text)
{
    int rc = verify(NULL);

    cr_expect_eq(rc, QUIPU_CORRUPT, "%s: %s", text, quipu_status_name(rc));
    cr_expect(said.count == 1 && said.position == position && strcmp(said.table, table) == 0 &&
                  strstr(said.text, text) != NULL,
              "%s at %d: %u findings, the last %s at %d: %s", text, (int)position, said.count,
              said.table, (int)said.position, said.text);
}

/* What else than events a read gave: how often, the last one where, and as what. */
static struct {
    int status;
    unsigned count;
    uint64_t position;
    char text[240];
} told;

/* Read a stream, or all (NULL). Each event must be a true one. Returns how many there were. */
static unsigned read_events(const char *stream, uint32_t flags, uint64_t upto)
{
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = flags, .upto = upto};
    quipu_reader *reader = NULL;
    quipu_event event = {0};
    uint64_t last = (flags & QUIPU_BACKWARDS) != 0 ? UINT64_MAX : 0;
    unsigned rows = 0;
    int rc;

    memset(&told, 0, sizeof(told));
    rc = stream != NULL ? quipu_read_stream(store, stream, &range, &reader, &why)
                        : quipu_read(store, NULL, &range, &reader, &why);
    if (rc == QUIPU_OK)
        rc = quipu_next(reader, &event, &why);
    while (rc != QUIPU_OK && told.count < 9) {
        if (rc == QUIPU_ROW) {
            cr_expect_str_eq(event.stream, stream_of(event.position));
            cr_expect_eq(event.version, (event.position + 1) / 2);
            cr_expect((flags & QUIPU_BACKWARDS) != 0 ? event.position < last
                                                     : event.position > last);
            last = event.position;
            rows++;
        } else {
            told.count++;
            told.status = rc;
            told.position = event.position;
            (void)snprintf(told.text, sizeof(told.text), "%s", why.text);
        }
        if (reader == NULL)
            break;
        rc = quipu_next(reader, &event, &why);
    }
    quipu_reader_close(reader);
    return rows;
}

/* A read of all, in both directions, gives everything but this one, and says so once. */
static void expect_lost(uint64_t position, int status)
{
    open_store();
    for (uint32_t flags = 0; flags <= QUIPU_BACKWARDS; flags += QUIPU_BACKWARDS) {
        unsigned rows = read_events(NULL, flags, 0);

        cr_expect(rows == HEAD - 1 && told.count == 1 && told.position == position &&
                      told.status == status,
                  "position %d: %u events, %u times %s at %d", (int)position, rows, told.count,
                  quipu_status_name(told.status), (int)told.position);
    }
    quipu_close(store);
}

/* ---- records --------------------------------------------------------------------------------- */

enum {
    AT_FLAGS = 16,
    AT_HEADER = 20,
    AT_RESERVED = 22,
    AT_DATA = 52,
    AT_TAGS = 60,
    AT_STREAM = 62
};

Test(forged, records_of_another_shape)
{
    static const struct {
        uint64_t position;
        size_t at;
        unsigned value; /* two bytes */
        int status;
        const char *text;
    } cases[] = {
        {6, AT_FLAGS, 64, QUIPU_NEWER_FORMAT, "newer than this library"},
        {6, AT_FLAGS, QP_RECORD_CHUNKED, QUIPU_CORRUPT, "its shape is wrong"},
        {6, AT_HEADER, 72, QUIPU_NEWER_FORMAT, "newer than this library"},
        {6, AT_HEADER, 32, QUIPU_CORRUPT, "its shape is wrong"},
        {6, AT_RESERVED, 1, QUIPU_NEWER_FORMAT, "newer than this library"},
        {6, AT_DATA, 5, QUIPU_CORRUPT, "its shape is wrong"},
        {6, AT_STREAM, 0x0500, QUIPU_CORRUPT, "its shape is wrong"},
        {6, AT_STREAM, 0xffff, QUIPU_CORRUPT, "its shape is wrong"},
        {CHUNKED, AT_DATA + 2, 0x4ff, QUIPU_CORRUPT, "an impossible size"},
        {CHUNKED, AT_TAGS, 300, QUIPU_CORRUPT, "its shape is wrong"},
    };
    uint8_t row[4096];

    make_store(HEAD, 16);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = get_record(cases[i].position, row);

        qp_set_u16(row + cases[i].at, (uint16_t)cases[i].value);
        put_record(cases[i].position, row, size);
        expect_said("log", cases[i].position, cases[i].text);
        expect_lost(cases[i].position, cases[i].status);
        make_whole_again();
    }
    (void)get_record(6, row);
    put_record(6, row, 10); /* no room for a header */
    expect_said("log", 6, "its shape is wrong");
    expect_lost(6, QUIPU_CORRUPT);
}

/* Only the last chunk may be shorter than all others, and none is nothing. */
Test(forged, chunks_of_another_size)
{
    static const size_t sizes[] = {8, 9, 4000, 4079};
    uint8_t row[4096] = {0};
    struct qp_key key;

    make_store(HEAD, 16);
    qp_key_chunk(&key, CHUNKED, 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        put_row("store/log.mdb", QP_TABLE_CHUNKS, qp_key_bytes(&key), row, sizes[i]);
        expect_said("log", CHUNKED, "a chunk has a wrong size");
        expect_lost(CHUNKED, QUIPU_CORRUPT);
        make_whole_again();
    }
    { /* not even a sum */
        struct raw raw;

        raw_begin(&raw, path_of("store/log.mdb"), "chunks");
        raw_put(&raw, raw_key(key.bytes, key.size), row, 4);
        raw_end(&raw);
    }
    expect_lost(CHUNKED, QUIPU_CORRUPT);
    cr_expect_eq(verify(NULL), QUIPU_CORRUPT);
    cr_expect_eq(said.count, 2, "the event, and the row: %s", said.text);
}

/* What is no event of the history that it stands in is told of it alone. */
Test(forged, records_of_another_history)
{
    uint8_t row[4096];
    size_t size;

    without_chunks = true;
    make_store(HEAD, 0);
    rewrite(6, 3, -3600 * INT64_C(1000000000));
    expect_said("log", 6, "it was recorded before");
    sys_file_copy(path_of("log-copy"), path_of("store/log.mdb"));
    size = get_record(6, row);
    row[size - 1] ^= 1; /* data */
    put_record(6, row, size);
    expect_said("log", 6, "it does not follow the event before it");
}

/* Versions that are not one after the other: too high is told once, of the stream's next one, which
 * is too low then, once more. */
Test(forged, versions_that_do_not_follow)
{
    static const uint64_t versions[] = {7, 2, 1};

    without_chunks = true;
    make_store(HEAD, 0);
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        rewrite(6, versions[i], 0);
        cr_expect_eq(verify(NULL), QUIPU_CORRUPT);
        cr_expect(said.count == 2 && said.position == 8 && strcmp(said.table, "log") == 0,
                  "version %d: %u findings, at %d: %s", (int)versions[i], said.count,
                  (int)said.position, said.text);
        sys_file_copy(path_of("log-copy"), path_of("store/log.mdb"));
    }
}

/* As many versions as there are damaged records may be theirs, and no more. */
Test(forged, versions_that_damaged_records_may_have)
{
    uint8_t row[4096];
    size_t size;

    make_store(HEAD, 0);
    size = get_record(4, row);
    row[30] ^= 1;
    {
        struct raw raw;
        uint64_t position = 4;

        raw_begin(&raw, path_of("store/log.mdb"), "log");
        raw_put(&raw, raw_key(&position, sizeof(position)), row, size);
        raw_end(&raw);
    }
    expect_said("log", 4, "checksum"); /* version 2 is missed by nobody */
    remove_record(6);
    remove_record(8);
    cr_expect_eq(verify(NULL), QUIPU_CORRUPT);
    cr_expect(said.count == 3 && said.position == 8, "%u: %s", said.count, said.text);
}

/* One gap is one finding and, for who reads, one failure, in either direction and at either end. */
Test(forged, gaps)
{
    make_store(HEAD, 0);
    remove_record(6);
    remove_record(7);
    remove_record(8);
    expect_said("log", 6, "no events from position 6 to 8");
    open_store();
    cr_expect_eq(read_events(NULL, 0, 0), HEAD - 3);
    cr_expect(told.count == 1 && told.position == 6 && told.status == QUIPU_CORRUPT);
    cr_expect(strstr(told.text, "at positions 6 to 8 are missing") != NULL, "%s", told.text);
    cr_expect_eq(read_events(NULL, QUIPU_BACKWARDS, 0), HEAD - 3);
    cr_expect(told.count == 1 && told.position == 8 && told.status == QUIPU_CORRUPT);
    cr_expect(strstr(told.text, "at positions 6 to 8 are missing") != NULL, "%s", told.text);
    cr_expect_eq(read_events(NULL, 0, 7), 5, "the range ends in it");
    cr_expect(told.count == 1 && strstr(told.text, "6 to 7 are missing") != NULL, "%s", told.text);
    cr_expect_eq(read_events(NULL, QUIPU_BACKWARDS, 7), 5);
    cr_expect(told.count == 1 && strstr(told.text, "6 to 7 are missing") != NULL, "%s", told.text);
    cr_expect_eq(read_events(NULL, 0, 6), 5);
    cr_expect(told.count == 1 && strstr(told.text, "position 6 is missing") != NULL, "%s",
              told.text);
    quipu_close(store);
}

/* Keys that are no positions: before the first one, and after the last that can be. */
Test(forged, keys_that_are_no_positions)
{
    static const uint64_t far = QP_POSITION_MAX + 1;
    static const uint64_t before = 0;
    uint8_t row[4096];
    size_t size;

    make_store(HEAD, 16);
    size = get_record(1, row);
    put_record(before, row, size);
    expect_said("log", 0, "no position");
    open_store();
    cr_expect_eq(read_events(NULL, 0, 0), HEAD);
    cr_expect_eq(read_events(NULL, QUIPU_BACKWARDS, 0), HEAD);
    cr_expect_eq(told.count, 0);
    quipu_close(store);
    make_whole_again();

    put_record(far, row, size);
    cr_expect_eq(verify(NULL), QUIPU_CORRUPT);
    open_store();
    cr_expect_eq(read_events(NULL, 0, 0), 0);
    cr_expect(told.count == 1 && told.status == QUIPU_CORRUPT &&
                  strstr(told.text, "newest key of the log is impossible") != NULL,
              "%s", told.text);
    cr_expect_eq(quipu_append(store, "a-1", QUIPU_ANY, &(quipu_draft){.type = "t"}, 1, NULL, &why),
                 QUIPU_CORRUPT, "%s", why.text);
    quipu_close(store);
    make_whole_again();

    (void)get_record(
        2,
        row); /* shorter than a position; LMDB takes the value's first bytes for the rest of it */
    memset(row, 0x7f, 8);
    {
        struct raw raw;

        raw_begin(&raw, path_of("store/log.mdb"), "log");
        raw_put(&raw, raw_key(row, 4), row, 80);
        raw_end(&raw);
    }
    open_store();
    cr_expect_eq(read_events("a-1", 0, 0), 0);
    cr_expect(told.status == QUIPU_CORRUPT && strstr(told.text, "impossible") != NULL, "%s",
              told.text);
    quipu_close(store);
    cr_expect_eq(verify(NULL), QUIPU_CORRUPT);
    cr_expect_str_eq(said.file, "log.mdb");
    make_whole_again();

    size = get_record(1, row);
    for (uint64_t position = 1; position <= HEAD; position++)
        remove_record(position);
    put_record(before, row, size); /* the only one */
    open_store();
    cr_expect_eq(read_events(NULL, 0, 0), 0);
    cr_expect(told.status == QUIPU_CORRUPT && strstr(told.text, "impossible") != NULL, "%s",
              told.text);
    quipu_close(store);
}

/* A gap of any length costs no more than the longest tail, wherever it is. */
Test(forged, gap_without_end)
{
    const uint64_t far = QP_POSITION_MAX - 1;
    struct qp_indexed indexed = {.next_term = 1, .position = far, .streams = 2};
    uint8_t row[4096];
    size_t size;

    make_store(HEAD, HEAD);
    size = get_record(HEAD, row);
    put_record(far, row, size);
    cr_expect_eq(verify(NULL), QUIPU_CORRUPT);
    cr_expect(strstr(why.text, "no events from position 25 to") != NULL, "%s", why.text);
    open_store();
    cr_expect_eq(read_events(NULL, 0, 0), 0);
    cr_expect(told.status == QUIPU_CORRUPT, "%s", told.text);
    quipu_close(store);

    indexed.chain = qp_get_u64(row + 8); /* as if all of it were in the index */
    size = qp_indexed_write(&indexed, row);
    put_row("store/index.mdb", QP_TABLE_INDEX_META, QP_META_INDEXED, row, size);
    said.stop_at = 1;
    said.stop_with = -7;
    cr_expect_eq(verify(NULL), -7, "%s", why.text);
    cr_expect(said.position == HEAD + 1 &&
                  strstr(said.text, "no events from position 25 to") != NULL,
              "%s", said.text);
    said.stop_at = 0;
    cr_expect_eq(verify(NULL), QUIPU_CORRUPT);
    cr_expect_geq(said.count, 2, "and what stands there is not the next version");
}

/* A history that nobody can read is not in the index, and a merge makes nothing of it. */
Test(forged, nothing_whole_to_stand_at)
{
    uint8_t row[4096];

    make_store(HEAD, 0);
    support_remove(path_of("store/index.mdb"));
    for (uint64_t position = 1; position <= HEAD; position++) {
        size_t size = get_record(position, row);
        qp_set_u16(row + AT_HEADER, 32);
        put_record(position, row, size);
    }
    open_store();
    cr_expect_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_OK, "%s", why.text);
    {
        quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};

        cr_expect_eq(quipu_stat_get(store, &stat, &why), QUIPU_OK, "%s", why.text);
        cr_expect(stat.head == HEAD && stat.indexed == 0);
    }
    cr_expect_eq(read_events(NULL, 0, 5), 0);
    cr_expect_eq(told.count, 5);
    quipu_close(store);
}

/* ---- rows of the index ----------------------------------------------------------------------- */

/* What is no row of a term under a right sum: too short for its numbers, deltas that do not fit, or
 * more of them than there may be. */
static size_t write_nonsense(unsigned which, uint8_t row[4096])
{
    const uint64_t positions[] = {3, 5, 7};
    const struct qp_term_row term = {
        .first = 1, .count = 3, .first_position = 3, .last_position = 7, .inline_count = 3};
    size_t size;

    if (which == 0)
        return 9;
    size = qp_term_row_write(&term, positions, row);
    if (which == 1)
        return size - 1;
    row[size] = 1;
    return size + 1;
}

Test(forged, terms_that_are_no_rows)
{
    const struct qp_key key = term_key(QP_TERM_STREAM, "a-1");
    uint8_t row[4096] = {0};

    make_store(HEAD, 16);
    for (unsigned which = 0; which < 3; which++) {
        quipu_list *list = NULL;
        quipu_item item;

        put_row("store/index.mdb", QP_TABLE_TERMS, qp_key_bytes(&key), row,
                write_nonsense(which, row));
        expect_said("terms", 0, "stream a-1: its row is damaged");
        open_store();
        (void)read_events("a-1", 0, 0);
        cr_expect(told.count >= 1 && told.status == QUIPU_CORRUPT && told.position == 0);
        cr_expect_eq(read_events("b-2", 0, 0), HEAD / 2);
        cr_expect_eq(quipu_list_open(store, QUIPU_LIST_STREAMS, "", &list, &why), QUIPU_OK);
        cr_expect_eq(quipu_list_next(list, &item, &why), which == 0 ? QUIPU_CORRUPT : QUIPU_ROW,
                     "a list needs no deltas");
        cr_expect_str_eq(item.name, "a-1");
        cr_expect(which > 0 || strstr(why.text, "damaged at a-1") != NULL, "%s", why.text);
        cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
        cr_expect_str_eq(item.name, "b-2");
        cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_OK);
        quipu_list_close(list);
        cr_expect_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_CORRUPT);
        quipu_close(store);
        make_whole_again();
    }
}

/* Longer than any name: the list says so, with as much of it as fits, and goes on. */
Test(forged, name_that_is_too_long)
{
    char bytes[1 + QP_NAME_MAX + 30];
    uint8_t row[4096];
    quipu_list *list = NULL;
    quipu_item item;

    make_store(HEAD, 16);
    memset(bytes, 'a', sizeof(bytes));
    bytes[0] = QP_TERM_STREAM;
    put_row("store/index.mdb", QP_TABLE_TERMS, (struct qp_bytes){bytes, sizeof(bytes)}, row,
            write_nonsense(2, row) - 1);
    cr_expect_eq(verify(NULL), QUIPU_CORRUPT);
    cr_expect_str_eq(said.file, "index.mdb");
    open_store();
    cr_assert_eq(quipu_list_open(store, QUIPU_LIST_STREAMS, "", &list, &why), QUIPU_OK);
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
    cr_expect_str_eq(item.name, "a-1");
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_CORRUPT);
    cr_expect_eq(strlen(item.name), QP_NAME_MAX);
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
    cr_expect_str_eq(item.name, "b-2");
    quipu_list_close(list);
    quipu_close(store);
}

/* Names may be missing where nobody knows whose an event was: no list rather than a short one. */
Test(forged, no_list_beside_a_damaged_event)
{
    quipu_list *list = NULL;

    make_store(HEAD, 16);
    remove_record(20);
    open_store();
    cr_expect_eq(read_events("unheard-of", 0, 0), 0, "it may have been of any stream");
    cr_expect(told.count == 1 && told.status == QUIPU_CORRUPT && told.position == 20);
    cr_expect_eq(quipu_list_open(store, QUIPU_LIST_TYPES, "", &list, &why), QUIPU_CORRUPT);
    cr_expect(list == NULL && strstr(why.text, "names may be missing") != NULL, "%s", why.text);
    quipu_close(store);
}

/* Rows that a merge could have written, of another log. */
Test(forged, terms_of_another_log)
{
    static const struct {
        const char *what;
        const char *text;
    } cases[] = {
        {"other positions", "category a: its positions are not those of the log"},
        {"one less", "category a: its positions are not those of the log"},
        {"first position", "category a: its first or last position is wrong"},
        {"last position", "category a: its first or last position is wrong"},
        {"count", "category a: its row is damaged"},
        {"number", "category a: its row is damaged"},
    };
    const struct qp_key key = term_key(QP_TERM_CATEGORY, "a");

    make_store(HEAD, 16);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t positions[QP_BLOCK_POSITIONS];
        struct qp_term_row term;

        get_term(&key, &term, positions);
        cr_assert(term.inline_count == 8 && positions[7] == 15);
        if (i == 0)
            positions[3]++;
        if (i == 1) {
            term.count--;
            term.inline_count--;
        }
        term.first_position += i == 2;
        term.last_position += i == 3;
        term.count += i == 4;
        term.number += i == 5 ? 9 : 0;
        put_term(&key, &term, positions);
        expect_said("terms", 0, cases[i].text);
        make_whole_again();
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

enum { MANY = 2600 }; /* each stream has two blocks and 276 more */

static struct qp_bytes block_key(struct qp_key *key, uint64_t version)
{
    const struct qp_key term = term_key(QP_TERM_STREAM, "a-1");
    uint64_t positions[QP_BLOCK_POSITIONS];
    struct qp_term_row row;

    get_term(&term, &row, positions);
    cr_assert(row.number > 0 && row.count == MANY / 2);
    qp_key_block(key, row.number, version);
    return qp_key_bytes(key);
}

/* All of a stream, or a query for it and a type, which counts in positions: nothing is missed
 * without a word. Returns: was it told of the index? */
static bool is_told(bool query, uint32_t flags, uint64_t after)
{
    static const char *const types[] = {"third"};
    const quipu_query_item item = {.stream = "a-1", .types = types, .type_count = 1};
    const quipu_query events = {&item, 1};
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = flags, .after = after};
    quipu_reader *reader = NULL;
    quipu_event event;
    uint64_t expected = 0;
    uint64_t rows = 0;
    int rc = query ? quipu_read(store, &events, &range, &reader, &why)
                   : quipu_read_stream(store, "a-1", &range, &reader, &why);

    if (rc == QUIPU_OK)
        for (rc = quipu_next(reader, &event, &why); rc == QUIPU_ROW;
             rc = quipu_next(reader, &event, &why))
            rows++;
    quipu_reader_close(reader);
    for (uint64_t position = 1; position <= MANY; position += 2)
        expected += query ? position > after && position % 3 == 0 : (position + 1) / 2 > after;
    cr_expect(rc == QUIPU_CORRUPT || (rc == QUIPU_OK && rows == expected),
              "query %d flags %u after %d: %s, %d events of %d", query, flags, (int)after,
              quipu_status_name(rc), (int)rows, (int)expected);
    return rc == QUIPU_CORRUPT && strstr(why.text, "index is damaged") != NULL;
}

/* How many of these reads are told. */
static unsigned count_told(void)
{
    static const uint64_t bounds[] = {0, 400, 600, 1100, 1300, 2000, 2590};
    unsigned count = 0;

    open_store();
    for (size_t i = 0; i < 4 * sizeof(bounds) / sizeof(bounds[0]); i++)
        count += is_told(i % 2 == 1, i % 4 / 2 != 0 ? QUIPU_BACKWARDS : 0, bounds[i / 4]);
    quipu_close(store);
    return count;
}

Test(forged, blocks_that_are_no_rows)
{
    uint8_t row[4096] = {0};
    struct qp_key key;

    make_store(MANY, MANY);
    cr_expect_eq(count_told(), 0);
    for (unsigned which = 0; which < 4; which++) {
        struct qp_bytes at = block_key(&key, which == 3 ? 513 : 1);
        uint64_t positions[QP_BLOCK_POSITIONS];
        size_t size;

        for (size_t i = 0; i < QP_BLOCK_POSITIONS; i++)
            positions[i] = 1 + 2 * i;
        size = qp_block_row_write(0, positions, QP_BLOCK_POSITIONS, row);
        if (which == 1) /* fewer deltas than it says */
            size--;
        if (which == 2) /* more than fit */
            qp_set_u16(row + 16, QP_BLOCK_POSITIONS + 1);
        /* 3: those of the first block, once more */
        put_row("store/index.mdb", QP_TABLE_BLOCKS, at, row, which == 0 ? 12 : size);
        cr_expect_geq(count_told(), 4, "%u", which);
        cr_expect_eq(verify(NULL), QUIPU_CORRUPT);
        cr_expect_str_eq(said.file, "index.mdb");
        make_whole_again();
    }
}

Test(forged, keys_that_are_no_blocks)
{
    static const uint64_t versions[] = {0, 513, 600, 1025};
    uint8_t row[100] = {0};
    uint8_t bytes[20] = {0};
    struct qp_key key;

    make_store(MANY, MANY);
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        struct qp_bytes at = block_key(&key, versions[i]);

        memcpy(bytes, at.data, at.size);
        put_row("store/index.mdb", QP_TABLE_BLOCKS, (struct qp_bytes){bytes, at.size + 1}, row,
                sizeof(row));
        cr_expect_geq(count_told(), 1, "%d", (int)versions[i]);
        cr_expect_eq(verify(NULL), QUIPU_CORRUPT);
        cr_expect_str_eq(said.file, "index.mdb");
        make_whole_again();
    }
}

Test(forged, blocks_that_are_missing)
{
    struct raw raw;
    struct qp_key key;

    make_store(MANY, MANY);
    for (uint64_t version = 1; version <= 513; version += 512) {
        struct qp_bytes at = block_key(&key, version);

        raw_begin(&raw, path_of("store/index.mdb"), "blocks");
        raw_remove(&raw, raw_key(at.data, at.size));
        raw_end(&raw);
        cr_expect_geq(count_told(), 4);
        expect_said("blocks", 0, "stream a-1: a block is damaged or missing");
        make_whole_again();
    }
}

/* A count that no merge makes of a term that has blocks. */
Test(forged, count_beside_blocks)
{
    const struct qp_key key = term_key(QP_TERM_STREAM, "a-1");
    uint64_t positions[QP_BLOCK_POSITIONS];
    struct qp_term_row term;

    make_store(MANY, MANY);
    get_term(&key, &term, positions);
    term.count++;
    put_term(&key, &term, positions);
    expect_said("terms", 0, "stream a-1: its number or its count is wrong");
}

/* Positions that go on before where the row or the index ends: nothing is built upon them. */
Test(forged, rows_that_no_merge_goes_on_from)
{
    const struct qp_key key = term_key(QP_TERM_CATEGORY, "a");

    make_store(HEAD, 16);
    for (unsigned which = 0; which < 3; which++) {
        uint64_t positions[QP_BLOCK_POSITIONS];
        struct qp_term_row term;
        quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};

        get_term(&key, &term, positions);
        if (which == 0)
            term.last_position -= 2; /* 13, and 15 is among them */
        if (which == 1)
            term.base = term.last_position + 1;
        if (which == 2)
            term.last_position = 17;
        if (which == 1)
            for (size_t i = 0; i < term.inline_count; i++)
                positions[i] += term.base;
        put_term(&key, &term, positions);
        open_store();
        cr_expect_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_CORRUPT, "%u", which);
        cr_expect(strstr(why.text, "index is damaged") != NULL, "%s", why.text);
        cr_expect_eq(quipu_stat_get(store, &stat, &why), QUIPU_OK);
        cr_expect_eq(stat.indexed, 16);
        quipu_close(store);
        make_whole_again();
    }
}

/* An index that knows what the log does not have, found by who has both open. */
Test(forged, index_ahead_of_the_log)
{
    struct qp_txn txn = {0};
    struct qp_indexed indexed;
    enum qp_commit_outcome outcome;

    make_store(HEAD, HEAD);
    open_store();
    cr_assert_eq(qp_txn_begin_write(store->handle->index, &txn, &why), QUIPU_OK);
    cr_assert_eq(qp_index_indexed(&txn, &indexed, &why), QUIPU_OK);
    indexed.position += 2;
    cr_assert_eq(qp_index_put_indexed(&txn, &indexed, &why), QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&txn, &outcome, &why), QUIPU_OK);
    cr_expect_eq(read_events("a-1", 0, 0), 0);
    cr_expect(told.status == QUIPU_CORRUPT && strstr(told.text, "ahead of the log") != NULL, "%s",
              told.text);
    cr_expect_eq(quipu_append(store, "a-1", QUIPU_ANY, &(quipu_draft){.type = "t"}, 1, NULL, &why),
                 QUIPU_CORRUPT);
    quipu_close(store);
    open_store(); /* it is made again */
    cr_expect_eq(read_events("a-1", 0, 0), HEAD / 2);
    quipu_close(store);
}

/* ---- ids, the damaged, meta ------------------------------------------------------------------ */

static struct qp_key id_key(const uint8_t id[16], const char *stream)
{
    uint8_t name[QP_ID_NAME_BYTES];
    struct qp_key key;

    qp_key_id_name(name, id, qp_sum(stream, strlen(stream), 0));
    qp_key_term(&key, QP_TERM_ID, (struct qp_bytes){name, sizeof(name)});
    return key;
}

static void put_id(const uint8_t id[16], const char *stream, const uint64_t *positions,
                   size_t count)
{
    const struct qp_key key = id_key(id, stream);
    const struct qp_term_row term = {.first = 1,
                                     .count = count,
                                     .first_position = positions[0],
                                     .last_position = positions[count - 1],
                                     .inline_count = (uint16_t)count};

    put_term(&key, &term, positions);
}

static enum quipu_verdict append_id(const char *stream, const uint8_t id[16], uint64_t *position)
{
    quipu_draft draft = {.type = "other", .flags = QUIPU_EVENT_HAS_ID};
    quipu_receipt receipt = {0};

    memcpy(draft.id, id, 16);
    open_store();
    cr_expect_eq(quipu_append(store, stream, QUIPU_ANY, &draft, 1, &receipt, &why), QUIPU_OK, "%s",
                 why.text);
    quipu_close(store);
    *position = receipt.first_position;
    return (enum quipu_verdict)receipt.verdict;
}

/* Streams may share a sum: the record has the last word. These rows are what the index of such
 * streams would have. */
Test(forged, ids_of_streams_that_share_a_sum)
{
    static const struct {
        const char *stream;
        uint64_t id_of;
        uint64_t positions[3];
        size_t count;
        uint64_t known; /* where it is; 0: it is new */
    } cases[] = {
        {"a-1", 70, {3}, 1, 0},      /* of another id */
        {"a-1", 70, {15}, 1, 0},     /* of none */
        {"b-2", 5, {5}, 1, 0},       /* of another stream */
        {"a-1", 5, {3, 5}, 2, 5},    /* the second one is it */
        {"a-1", 5, {5, 7}, 2, 5},    /* the first one */
        {"b-2", 5, {3, 4, 5}, 3, 0}, /* none of three */
        {"b-2", 4, {2, 4, 6}, 3, 4}, /* one of them */
        {"a-1", 70, {3, 15, 16}, 3, 0},
    };

    make_store(HEAD, 16);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t id[16];
        uint64_t position = 0;
        enum quipu_verdict verdict;

        id_of(cases[i].id_of, id);
        put_id(id, cases[i].stream, cases[i].positions, cases[i].count);
        verdict = append_id(cases[i].stream, id, &position);
        if (cases[i].known != 0)
            cr_expect(verdict == QUIPU_DUPLICATE && position == cases[i].known, "case %zu: at %d",
                      i, (int)position);
        else
            cr_expect(verdict == QUIPU_COMMITTED && position == HEAD + 1, "case %zu: at %d", i,
                      (int)position);
        make_whole_again();
    }
}

/* Where one of several cannot be read nobody can say whether the id is known. */
Test(forged, ids_beside_a_damaged_record)
{
    static const uint64_t positions[] = {3, 5};
    const quipu_draft other = {.type = "t"};
    quipu_draft draft = {.type = "t", .flags = QUIPU_EVENT_HAS_ID};
    uint8_t row[4096];
    size_t size;

    make_store(HEAD, 16);
    id_of(5, draft.id);
    put_id(draft.id, "a-1", positions, 2);
    size = get_record(3, row);
    put_record(3, row, size - 1);
    open_store();
    cr_expect_eq(quipu_append(store, "a-1", QUIPU_ANY, &draft, 1, NULL, &why), QUIPU_CORRUPT);
    cr_expect(strstr(why.text, "position 3") != NULL, "%s", why.text);
    cr_expect_eq(quipu_append(store, "a-1", QUIPU_ANY, &other, 1, NULL, &why), QUIPU_OK, "%s",
                 why.text);
    quipu_close(store);
}

Test(forged, ids_of_no_event)
{
    static const uint64_t known[] = {5, 0, 7};
    uint8_t row[4096];
    uint8_t id[16];
    struct qp_key key;
    struct raw raw;
    size_t size;

    make_store(MANY, MANY);
    key = term_key(QP_TERM_ID, "too short"); /* for an id */
    size = write_nonsense(2, row) - 1;
    put_row("store/index.mdb", QP_TABLE_TERMS, qp_key_bytes(&key), row, size);
    expect_said("terms", 0, "its key is no id's");
    make_whole_again();

    id_of(5, id);
    put_id(id, "a-1", known, 3); /* and one without a position */
    expect_said("terms", 0, "its ids are not those of the log");
    make_whole_again();

    /* With blocks, which are those of a category. */
    key = term_key(QP_TERM_CATEGORY, "b");
    raw_begin(&raw, path_of("store/index.mdb"), "terms");
    size = raw_get(&raw, raw_key(key.bytes, key.size), row);
    raw_end(&raw);
    id_of(90, id);
    key = id_key(id, "b-2");
    put_row("store/index.mdb", QP_TABLE_TERMS, qp_key_bytes(&key), row, size);
    cr_expect_eq(verify(NULL), QUIPU_CORRUPT);
    cr_expect(said.count == 2 && strcmp(said.text, "there are blocks of no term") == 0,
              "%u findings: %s", said.count, said.text);
    said.stop_at = 1;
    said.stop_with = -7;
    cr_expect_eq(verify(NULL), -7);
    cr_expect_str_eq(said.text, "its ids are not those of the log");
}

Test(forged, damaged_that_are_whole)
{
    static const uint64_t positions[] = {3, 9};
    const struct qp_key key = term_key(QP_TERM_DAMAGED, "");
    const struct qp_term_row term = {
        .first = 1, .count = 2, .first_position = 3, .last_position = 9, .inline_count = 2};
    quipu_verified verified = {0};

    make_store(HEAD, HEAD);
    put_term(&key, &term, positions);
    said.stop_at = 1;
    said.stop_with = 1;
    cr_expect_eq(verify(&verified), QUIPU_OK, "it was told to stop");
    cr_expect(verified.findings == 1 &&
                  strcmp(said.text, "the damaged: positions that the log has whole are listed as "
                                    "damaged") == 0,
              "%s", said.text);
    said.stop_at = 0;
    cr_expect_eq(verify(&verified), QUIPU_CORRUPT);
    cr_expect(verified.findings == 2, "and `indexed` counts none: %s", said.text);
}

/* Without them it is no index: verify says so, and who writes makes it again. */
Test(forged, index_without_its_meta_rows)
{
    static const char *const names[] = {"indexed", "indexed", "format"};
    uint8_t row[100] = {0};

    make_store(HEAD, 16);
    for (size_t i = 0; i < 3; i++) {
        const struct qp_bytes key = {names[i], strlen(names[i])};
        quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};

        if (i == 1) { /* whole, and too short */
            put_row("store/index.mdb", QP_TABLE_INDEX_META, key, row, 16);
        } else {
            struct raw raw;

            raw_begin(&raw, path_of("store/index.mdb"), "meta");
            raw_remove(&raw, raw_key(key.data, key.size));
            raw_end(&raw);
        }
        expect_said("meta", 0, "not this log's");
        open_store();
        cr_expect_eq(quipu_stat_get(store, &stat, &why), QUIPU_OK);
        cr_expect_eq(stat.streams, 2);
        cr_expect_eq(read_events("a-1", 0, 0), HEAD / 2);
        cr_expect_eq(told.count, 0);
        quipu_close(store);
        cr_expect_eq(verify(NULL), QUIPU_OK, "%s", said.text);
        make_whole_again();
    }
}

/* ---- streams of which something is hidden ---------------------------------------------------- */

static void hide(const char *stream, uint64_t first_kept, size_t size)
{
    uint8_t row[QP_STREAM_ROW_BYTES + 8] = {0};

    qp_set_u64(row + 8, first_kept);
    put_row("store/log.mdb", QP_TABLE_STREAMS, (struct qp_bytes){stream, strlen(stream)}, row,
            size);
}

static unsigned count_listed(const char *name, quipu_item *found)
{
    quipu_list *list = NULL;
    quipu_item item;
    unsigned count = 0;

    cr_assert_eq(quipu_list_open(store, QUIPU_LIST_STREAMS, "", &list, &why), QUIPU_OK);
    while (quipu_list_next(list, &item, &why) == QUIPU_ROW) {
        if (strcmp(item.name, name) == 0)
            *found = item;
        count++;
    }
    quipu_list_close(list);
    found->name = NULL; /* of the list */
    return count;
}

Test(forged, hidden_versions)
{
    const quipu_query_item item = {.category = "a"};
    const quipu_query query = {&item, 1};
    quipu_receipt receipt = {0};
    quipu_reader *reader = NULL;
    quipu_event event;
    quipu_item found = {0};

    make_store(HEAD, 16);
    hide("a-1", 0, QP_STREAM_ROW_BYTES); /* nothing */
    open_store();
    cr_expect_eq(read_events("a-1", 0, 0), 12);
    cr_expect_eq(read_events(NULL, 0, 0), HEAD);
    quipu_close(store);
    hide("a-1", 10, QP_STREAM_ROW_BYTES); /* 1 to 9 of its 12 */
    open_store();
    cr_expect_eq(read_events("a-1", 0, 0), 3);
    cr_expect_eq(read_events("a-1", QUIPU_BACKWARDS, 0), 3);
    cr_expect_eq(read_events("b-2", 0, 0), 12);
    cr_expect_eq(read_events(NULL, 0, 0), 15);
    cr_expect_eq(told.count, 0);
    cr_assert_eq(quipu_read(store, &query, NULL, &reader, &why), QUIPU_OK);
    cr_expect(quipu_next(reader, &event, &why) == QUIPU_ROW && event.version == 10);
    quipu_reader_close(reader);
    cr_expect_eq(count_listed("a-1", &found), 2);
    cr_expect(found.version == 12 && found.count == 3);
    quipu_close(store);

    hide("a-1", 13, QP_STREAM_ROW_BYTES); /* all: deleted */
    open_store();
    cr_expect_eq(quipu_read_stream(store, "a-1", NULL, &reader, &why), QUIPU_DELETED);
    cr_expect_eq(read_events(NULL, 0, 0), 12);
    cr_expect_eq(count_listed("a-1", &found), 1);
    cr_expect_eq(
        quipu_append(store, "a-1", QUIPU_NEW, &(quipu_draft){.type = "t"}, 1, &receipt, &why),
        QUIPU_OK, "%s", why.text);
    cr_expect_eq(read_events("a-1", 0, 0), 1, "numbering goes on");
    cr_expect_eq(count_listed("a-1", &found), 2);
    cr_expect(found.version == 13 && found.count == 1);
    quipu_close(store);
}

/* What is hidden nobody can say then: nothing of that stream is given. */
Test(forged, hidden_versions_that_nobody_knows)
{
    quipu_list *list = NULL;
    quipu_item item;

    make_store(HEAD, 16);
    for (size_t size = 16; size <= QP_STREAM_ROW_BYTES + 8; size += 16) {
        hide("a-1", 3, size);
        open_store();
        cr_expect_eq(read_events("a-1", 0, 0), 0);
        cr_expect(told.count >= 1 && told.status == QUIPU_CORRUPT);
        cr_expect_eq(read_events("b-2", 0, 0), 12);
        cr_expect_eq(told.count, 0);
        cr_expect_eq(read_events(NULL, 0, 12), 6);
        cr_expect(told.count == 6 && told.status == QUIPU_CORRUPT && told.position == 11);
        cr_assert_eq(quipu_list_open(store, QUIPU_LIST_STREAMS, "", &list, &why), QUIPU_OK);
        cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_CORRUPT);
        cr_expect_str_eq(item.name, "a-1");
        cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
        quipu_list_close(list);
        quipu_close(store);
        make_whole_again();
    }
}

/* ---- who has seen enough --------------------------------------------------------------------- */

/* A store in which about everything is wrong, and a callback that stops at each finding in turn:
 * with 1 that is no failure, with a code of its own it is what verify returns. */
Test(forged, verify_stops_at_each_finding)
{
    const struct qp_key category = term_key(QP_TERM_CATEGORY, "a");
    const struct qp_key unheard = term_key(QP_TERM_TYPE, "unheard-of");
    const struct qp_key gone = term_key(QP_TERM_TYPE, "third");
    static const uint64_t positions[] = {3, 9};
    const struct qp_term_row term = {
        .first = 2, .count = 2, .first_position = 3, .last_position = 9, .inline_count = 2};
    uint8_t row[4096] = {0};
    struct qp_key key;
    struct raw raw;
    quipu_verified verified = {0};
    uint64_t total;
    size_t size;

    without_chunks = true;
    make_store(HEAD, HEAD);
    size = get_record(5, row);
    row[size - 1] ^= 1;
    put_record(5, row, size); /* chain */
    size = get_record(9, row);
    qp_set_u64(row + 40, 1); /* recorded, and so chain */
    qp_set_u64(row + 24, 9); /* version */
    put_record(9, row, size);
    put_term(&category, &term, positions);
    put_term(&unheard, &term, positions);
    raw_begin(&raw, path_of("store/index.mdb"), "terms");
    raw_remove(&raw, raw_key(gone.bytes, gone.size));
    raw_end(&raw);
    qp_key_chunk(&key, 7, 0);
    put_row("store/log.mdb", QP_TABLE_CHUNKS, qp_key_bytes(&key), row, 50);
    put_row("store/log.mdb", QP_TABLE_VIEWS, QP_LITERAL("view"), row, 50);
    raw_begin(&raw, path_of("store/log.mdb"), "views");
    raw_put(&raw, raw_key("sumless", 7), row, 50);
    raw_end(&raw);
    cr_expect_eq(verify(&verified), QUIPU_CORRUPT);
    total = verified.findings;
    cr_expect_geq(total, 9, "%d findings", (int)total);
    for (unsigned n = 1; n <= total; n++) {
        for (int with = 1; with >= -7; with -= 8) {
            said.stop_at = n;
            said.stop_with = with;
            cr_expect_eq(verify(&verified), with < 0 ? with : QUIPU_OK, "finding %u", n);
            cr_expect(verified.findings == n && said.count == n, "finding %u", n);
        }
    }
    said.stop_at = 0;

    /* The same of what is lost, in a store of its own. */
    make_whole_again();
    (void)get_record(6, row);
    put_record(6, row, 10);
    remove_record(9);
    remove_record(HEAD);
    cr_expect_eq(verify(&verified), QUIPU_CORRUPT);
    total = verified.findings;
    cr_expect_geq(total, 3, "%d findings", (int)total);
    for (unsigned n = 1; n <= total; n++) {
        said.stop_at = n;
        said.stop_with = -7;
        cr_expect_eq(verify(&verified), -7, "finding %u", n);
        cr_expect_eq(verified.findings, n);
    }
}

static int stop_at_the_end(void *payload, uint64_t done, uint64_t total)
{
    return done == total ? *(const int *)payload : 0;
}

/* What comes after the log is not looked at then: there would be a finding. */
Test(forged, verify_stops_when_the_log_is_done)
{
    static const int values[] = {1, -7, 0};
    uint8_t row[50] = {0};
    struct raw raw;

    make_store(HEAD, HEAD);
    raw_begin(&raw, path_of("store/log.mdb"), "views");
    raw_put(&raw, raw_key("sumless", 7), row, sizeof(row));
    raw_end(&raw);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        quipu_verified verified = {0};
        int value = values[i];
        int rc = quipu_verify(path_of("store"), 0, NULL, stop_at_the_end, &value, &verified, &why);

        cr_expect_eq(rc,
                     value > 0   ? QUIPU_OK
                     : value < 0 ? value
                                 : QUIPU_CORRUPT,
                     "%d: %s", value, quipu_status_name(rc));
        cr_expect(verified.checked == HEAD && verified.findings == (value == 0), "%d: %d findings",
                  value, (int)verified.findings);
    }
}
