/* test_verify_views.c - what projections keep is damaged behind the library's back, byte by byte
 * and in rows that are whole by their sums and still cannot be. Verify names the row; whoever uses
 * such a store is told, is given nothing wrong, and can still read every event. */
#include "blobs.h"
#include "handles.h"
#include "key.h"
#include "meta.h"
#include "projections.h"
#include "streams.h"
#include "support_raw.h"
#include "support_suite.h"
#include "support_system.h"
#include "views.h"

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

TestSuite(verify_views, .init = begin, .fini = support_suite_end, .timeout = 110);

/* ---- a store with all of it ------------------------------------------------------------------ */

enum {
    EVENTS = 20,
    HEAD = 21, /* and one that the projection makes */
    POISON = 5,
    LONG = 4,
    EMITS = 6,
    BUILT = 12, /* so far of version 2 */
    PARKED = 6,
    BUILT_PARKED = 3,
    STREAMS = 3,
    LONG_BYTES = 9000,
    OLD = 1, /* generations */
    NEW = 2
};

static const char name[] = "p";
static quipu *store;
static quipu_error why;
static char log_path[SUPPORT_PATH_BYTES];
static char copy_path[SUPPORT_PATH_BYTES];
static char store_path[SUPPORT_PATH_BYTES];
static uint8_t long_value[LONG_BYTES];

static int apply(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    uint64_t count = 0;
    quipu_value old;
    int rc;

    (void)payload;
    if (event->position == POISON) {
        (void)snprintf(error->text, sizeof(error->text), "it is poison");
        return QUIPU_INVALID;
    }
    rc = quipu_page_get(page, key, key_size, &old);
    if (rc < 0)
        return rc;
    if (rc == QUIPU_ROW)
        memcpy(&count, old.data, sizeof(count));
    count++;
    rc = quipu_page_put(page, key, key_size, &count, sizeof(count));
    if (rc == QUIPU_OK && event->position == LONG)
        rc = quipu_page_put(page, "long", 4, long_value, sizeof(long_value));
    if (rc == QUIPU_OK && event->position == EMITS)
        rc = quipu_page_emit(page, "out-1", &(quipu_draft){.type = "made"});
    return rc;
}

static int stop_at(void *payload, const quipu_progress *progress)
{
    (void)payload;
    return progress->mark >= BUILT && progress->status == QUIPU_PROJECTION_REBUILDING;
}

static int project(uint32_t version, quipu_project_fn page)
{
    const quipu_projection projection = {QUIPU_INIT(quipu_projection),
                                         .version = version,
                                         .name = name,
                                         .retries = 1,
                                         .page_events = 4,
                                         .apply = apply};

    why = (quipu_error){0};
    return quipu_project(store, &projection, page, NULL, NULL, &why);
}

static int try_open(void)
{
    why = (quipu_error){0};
    return quipu_open(store_path, NULL, &store, &why);
}

static void stream_of(uint64_t position, char stream[8])
{
    (void)snprintf(stream, 8, "a-%u", (unsigned)(position % STREAMS));
}

static void make_store(void)
{
    (void)support_path(store_path, "store");
    (void)support_path(log_path, "store/log.mdb");
    (void)support_path(copy_path, "log-copy");
    for (size_t i = 0; i < sizeof(long_value); i++)
        long_value[i] = (uint8_t)(i * 31 / 7);
    cr_assert_eq(try_open(), QUIPU_OK, "%s", why.text);
    for (uint64_t position = 1; position <= EVENTS; position++) {
        char stream[8];

        stream_of(position, stream);
        cr_assert_eq(
            quipu_append(store, stream, QUIPU_ANY, &(quipu_draft){.type = "t"}, 1, NULL, &why),
            QUIPU_OK, "%s", why.text);
    }
    cr_assert_eq(project(1, NULL), QUIPU_OK, "%s", why.text);
    cr_assert_eq(project(2, stop_at), QUIPU_OK, "%s", why.text);
    quipu_close(store);
    sys_file_copy(log_path, copy_path);
}

static void make_whole_again(void)
{
    sys_file_copy(copy_path, log_path);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static struct qp_bytes projection_key(void)
{
    static struct qp_key key;

    qp_key_mark(&key, QP_MARK_PROJECTION, (struct qp_bytes){name, 1});
    return qp_key_bytes(&key);
}

static struct qp_bytes view_key(uint32_t generation, const char *view)
{
    static struct qp_key key;

    qp_key_view(&key, (struct qp_bytes){name, 1}, generation,
                (struct qp_bytes){view, strlen(view)});
    return qp_key_bytes(&key);
}

static struct qp_bytes parked_key(uint32_t generation, uint64_t position)
{
    static struct qp_key key;
    char stream[8];

    stream_of(position, stream);
    qp_key_parked(&key, (struct qp_bytes){name, 1}, generation, (struct qp_bytes){stream, 3},
                  position);
    return qp_key_bytes(&key);
}

static size_t get(enum qp_table table, struct qp_bytes key, uint8_t row[4096])
{
    struct raw raw;
    size_t size;

    raw_begin(&raw, log_path, qp_table_name(table));
    size = raw_get(&raw, raw_key(key.data, key.size), row);
    raw_end(&raw);
    return size;
}

static void put(enum qp_table table, struct qp_bytes key, uint8_t *row, size_t size)
{
    struct raw raw;

    qp_row_seal(table, key, row, size);
    raw_begin(&raw, log_path, qp_table_name(table));
    raw_put(&raw, raw_key(key.data, key.size), row, size);
    raw_end(&raw);
}

static void take_out(enum qp_table table, struct qp_bytes key)
{
    struct raw raw;

    raw_begin(&raw, log_path, qp_table_name(table));
    raw_remove(&raw, raw_key(key.data, key.size));
    raw_end(&raw);
}

/* A number of a row, little-endian, in `size` bytes. */
static void set(enum qp_table table, struct qp_bytes key, size_t at, size_t size, uint64_t number)
{
    uint8_t row[4096];
    size_t row_size = get(table, key, row);

    cr_assert(at + size <= row_size);
    memcpy(row + at, &number, size);
    put(table, key, row, row_size);
}

static void set_projection(size_t at, size_t size, uint64_t number)
{
    set(QP_TABLE_MARKS, projection_key(), at, size, number);
}

static void resize(enum qp_table table, struct qp_bytes key, size_t size)
{
    uint8_t row[4096] = {0};

    (void)get(table, key, row);
    put(table, key, row, size);
}

/* ---- what is said ---------------------------------------------------------------------------- */

enum { SAID_MAX = 64 };

static struct {
    unsigned count;
    unsigned stop_at;
    struct {
        char table[16];
        char text[300];
        uint64_t position;
    } all[SAID_MAX];
} said;

static int note(void *payload, const quipu_finding *finding)
{
    (void)payload;
    cr_expect_eq(finding->status, QUIPU_CORRUPT);
    cr_expect_str_eq(finding->file, "log.mdb");
    cr_assert_lt(said.count, SAID_MAX);
    (void)snprintf(said.all[said.count].table, 16, "%s", finding->table);
    (void)snprintf(said.all[said.count].text, 300, "%s", finding->text);
    said.all[said.count].position = finding->position;
    return ++said.count == said.stop_at;
}

static int verify(void)
{
    said.count = 0;
    why = (quipu_error){0};
    return quipu_verify(store_path, 0, note, NULL, NULL, NULL, &why);
}

static void expect_clean(const char *what)
{
    cr_expect_eq(verify(), QUIPU_OK, "%s: %s", what, why.text);
    cr_expect_eq(said.count, 0, "%s: %s: %s", what, said.all[0].table, said.all[0].text);
}

static bool was_said(const char *table, const char *text)
{
    for (unsigned i = 0; i < said.count; i++)
        if (strcmp(said.all[i].table, table) == 0 && strstr(said.all[i].text, text) != NULL)
            return true;
    return false;
}

/* ---- what who uses it sees ------------------------------------------------------------------- */

/* Right, or damaged: never another value, and never none. */
static void expect_value(quipu_view *view, const char *key, const void *value, size_t size)
{
    quipu_value got = {0};
    int rc = quipu_view_get(view, key, strlen(key), &got, &why);

    if (rc == QUIPU_ROW)
        cr_expect(got.size == size && memcmp(got.data, value, size) == 0, "%s", key);
    else
        cr_expect_eq(rc, QUIPU_CORRUPT, "%s: %d", key, rc);
}

static void scan(quipu_view *view)
{
    for (uint32_t flags = 0; flags <= QUIPU_SCAN_BACKWARDS; flags++) {
        quipu_value key = {0};
        quipu_value value = {0};
        int rc = quipu_view_scan(view, NULL, 0, NULL, 0, flags, &why);

        for (int i = 0; i < 100 && rc != QUIPU_OK; i++)
            rc = quipu_view_next(view, &key, &value, &why);
        cr_expect_eq(rc, QUIPU_OK, "a scan ends");
    }
}

/* `values`: those of the view can be known. */
static void look_at(const char *which, bool values)
{
    const uint64_t counts[] = {6, 7, 1};
    quipu_view *view = NULL;
    int rc = quipu_view_open(store, which, &view, &why);

    cr_expect(rc == QUIPU_OK || rc == QUIPU_CORRUPT || !values, "%s: %s", which, why.text);
    if (rc != QUIPU_OK)
        return;
    for (unsigned i = 0; i < STREAMS && values; i++) {
        char key[8];

        stream_of(i, key);
        expect_value(view, key, &counts[i], sizeof(counts[i]));
    }
    if (values)
        expect_value(view, "long", long_value, sizeof(long_value));
    scan(view);
    quipu_view_close(view);
}

/* One of a stream whose own row is damaged is told as such, and the next comes after it. */
static unsigned count_events(void)
{
    quipu_reader *reader = NULL;
    quipu_event event;
    unsigned count = 0;
    int rc;

    cr_assert_eq(quipu_read(store, NULL, NULL, &reader, &why), QUIPU_OK, "%s", why.text);
    do {
        rc = quipu_next(reader, &event, &why);
        count += rc == QUIPU_ROW || rc == QUIPU_CORRUPT;
    } while (rc != QUIPU_OK && count < 1000);
    quipu_reader_close(reader);
    return count;
}

static void list_all(int kind)
{
    quipu_list *list = NULL;
    quipu_item item;
    int rc = quipu_list_open(store, kind, NULL, &list, &why);

    for (int i = 0; i < 100 && rc >= 0 && list != NULL; i++) {
        rc = quipu_list_next(list, &item, &why);
        if (rc != QUIPU_ROW)
            break;
    }
    quipu_list_close(list);
}

/* Every call that comes to such rows, those that write last. None ends the process, none loses an
 * event. */
static void use(bool values)
{
    static const int orders[] = {QUIPU_PAUSE, QUIPU_RESUME, QUIPU_REPLAY, QUIPU_SKIP,
                                 QUIPU_DRAIN, QUIPU_REWIND, QUIPU_DROP,   QUIPU_DELETE};
    int rc = try_open();

    cr_assert(rc == QUIPU_OK || rc == QUIPU_CORRUPT, "%s", why.text);
    if (rc != QUIPU_OK)
        return; /* the row `format` */
    look_at(name, values);
    look_at("$rebuild:p", false);
    list_all(QUIPU_LIST_STREAMS);
    list_all(QUIPU_LIST_MARKS);
    (void)quipu_view_wait(store, name, HEAD, 0, &why);
    rc = project(2, NULL);
    if (rc == QUIPU_OK)
        look_at(name, values);
    rc = quipu_append(store, "a-0", QUIPU_ANY, &(quipu_draft){.type = "t"}, 1, NULL, &why);
    cr_expect(rc == QUIPU_OK || rc == QUIPU_CORRUPT, "append: %s", why.text);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        (void)quipu_projection_control(store, name, orders[i], 0, "a-2", &why);
        (void)quipu_projection_control(store, name, orders[i], 0, NULL, &why);
        (void)project(2, NULL);
    }
    cr_expect_geq(count_events(), HEAD);
    quipu_close(store);
}

/* ---- each byte ------------------------------------------------------------------------------- */

/* One bit of each byte; of long rows of some. */
static void flip_each_byte(enum qp_table table, struct qp_bytes key)
{
    uint8_t row[4096];
    size_t size = get(table, key, row);
    size_t step = size > 300 ? 173 : 1;
    unsigned turn = 0;

    for (size_t at = 0; at < size; at += step) {
        struct raw raw;

        row[at] ^= (uint8_t)(1U << at % 8);
        raw_begin(&raw, log_path, qp_table_name(table));
        raw_put(&raw, raw_key(key.data, key.size), row, size);
        raw_end(&raw);
        row[at] ^= (uint8_t)(1U << at % 8);
        cr_expect_eq(verify(), QUIPU_CORRUPT);
        cr_expect(was_said(qp_table_name(table), "checksum") &&
                      said.count == (table == QP_TABLE_BLOBS ? 2 : 1),
                  /* and whose it is */ "%s, byte %zu: %u findings, %s", qp_table_name(table), at,
                  said.count, said.all[0].text);
        if (turn++ % 4 == 0)
            use(true);
        make_whole_again();
    }
}

Test(verify_views, each_byte_of_a_projection)
{
    make_store();
    expect_clean("whole");
    flip_each_byte(QP_TABLE_MARKS, projection_key());
}

Test(verify_views, each_byte_of_a_view)
{
    make_store();
    flip_each_byte(QP_TABLE_VIEWS, view_key(OLD, "a-0"));
    flip_each_byte(QP_TABLE_VIEWS, view_key(OLD, "long"));
    flip_each_byte(QP_TABLE_VIEWS, view_key(NEW, "a-1"));
    flip_each_byte(QP_TABLE_VIEWS, view_key(NEW, "long"));
}

Test(verify_views, each_byte_of_long_values)
{
    struct qp_key key;

    make_store();
    for (uint64_t number = 1; number <= 2; number++) { /* of the view, and of what is built */
        for (uint32_t n = 0; n < 3; n++) {
            qp_key_blob(&key, number, n);
            flip_each_byte(QP_TABLE_BLOBS, qp_key_bytes(&key));
        }
    }
    flip_each_byte(QP_TABLE_META, QP_META_BLOBS);
}

Test(verify_views, each_byte_of_parked_events)
{
    make_store();
    flip_each_byte(QP_TABLE_PARKED, parked_key(OLD, POISON));
    flip_each_byte(QP_TABLE_PARKED, parked_key(OLD, POISON + STREAMS));
    flip_each_byte(QP_TABLE_PARKED, parked_key(NEW, POISON));
}

Test(verify_views, each_byte_of_an_owned_stream)
{
    make_store();
    flip_each_byte(QP_TABLE_STREAMS, QP_LITERAL("out-1"));
}

/* ---- rows that cannot be --------------------------------------------------------------------- */

/* So many findings, one of them this one; then the store is used, and whole again. */
static void expect_said(unsigned count, const char *table, const char *text)
{
    cr_expect_eq(verify(), QUIPU_CORRUPT, "%s", text);
    cr_expect(said.count == count && was_said(table, text), "%s: %u findings, the first %s: %s",
              text, said.count, said.all[0].table, said.all[0].text);
    use(false);
    make_whole_again();
}

enum {
    AT_MARK = 16,
    AT_GENERATION = 32,
    AT_FLAGS = 40,
    AT_NEXT = 44,
    AT_BUILDING = 48,
    AT_BUILDING_VERSION = 52,
    AT_BUILDING_MARK = 56,
    AT_PARKED = 104,
    AT_BUILDING_PARKED = 112,
    AT_FAULT = 120,
    AT_TEXT_SIZE = 138
};

Test(verify_views, projections_that_cannot_be)
{
    static const struct {
        size_t at;
        size_t size;
        uint64_t number;
        const char *text;
    } cases[] = {
        {AT_MARK, 8, HEAD + 1, "after the newest event"},
        {AT_MARK, 8, QP_POSITION_MAX + 1, "is no position"},
        {AT_BUILDING_MARK, 8, HEAD + 1, "after the newest event"},
        {AT_BUILDING_MARK, 8, UINT64_MAX, "is no position"},
        {AT_GENERATION, 4, 0, "generations"},
        {AT_GENERATION, 4, 3, "generations"},
        {AT_GENERATION, 4, NEW, "generations"},
        {AT_BUILDING, 4, 3, "generations"},
        {AT_BUILDING, 4, OLD, "generations"},
        {AT_BUILDING, 4, 0, "not being built"},
        {AT_NEXT, 4, NEW, "generations"},
        {AT_NEXT, 4, UINT32_MAX, "generations"},
        {AT_PARKED, 8, PARKED + 1, "it counts 7 parked events, there are 6"},
        {AT_BUILDING_PARKED, 8, BUILT_PARKED - 1, "it counts 2 parked events, there are 3"},
        {AT_FLAGS, 4, 256, "no projection's row"},
        {AT_FLAGS, 4, QP_PROJECTION_STOPPED, "that it has passed"},
        {AT_FAULT, 8, HEAD + 1, "after the newest one"},
        {AT_TEXT_SIZE, 2, 1, "no projection's row"},
    };

    make_store();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_projection(cases[i].at, cases[i].size, cases[i].number);
        expect_said(1, "marks", cases[i].text);
    }
    resize(QP_TABLE_MARKS, projection_key(), 100);
    expect_said(1, "marks", "no projection's row");
}

Test(verify_views, names_that_are_none)
{
    uint8_t row[4096];
    uint8_t key[200] = {QP_MARK_PROJECTION, 'q', '\n'};
    size_t size;

    make_store();
    size = get(QP_TABLE_MARKS, projection_key(), row);
    memset(row + AT_PARKED, 0, 16);
    put(QP_TABLE_MARKS, (struct qp_bytes){key, 3}, row, size);
    expect_said(1, "marks", "no projection's");
    put(QP_TABLE_MARKS, (struct qp_bytes){key, 1}, row, size);
    expect_said(1, "marks", "no projection's");
    memset(key + 1, 'q', sizeof(key) - 1);
    put(QP_TABLE_MARKS, (struct qp_bytes){key, 2 + QP_OWNER_NAME_MAX}, row, size);
    expect_said(1, "marks", "no projection's");
    put(QP_TABLE_MARKS, (struct qp_bytes){key, 1 + QP_OWNER_NAME_MAX}, row, size);
    expect_clean("the longest name");
}

static void abandon_building(void)
{
    set_projection(AT_BUILDING, 4, 0);
    set_projection(AT_BUILDING_VERSION, 4, 0);
    set_projection(AT_BUILDING_MARK, 8, 0);
    set_projection(AT_BUILDING_PARKED, 8, 0);
}

/* Generation 2 is nobody's, unless the row says that something may be left. */
Test(verify_views, generations_of_nobody)
{
    make_store();
    abandon_building();
    cr_expect_eq(verify(), QUIPU_CORRUPT);
    cr_expect(said.count == 2 && was_said("views", "none of the projection's") &&
              was_said("parked", "none of the projection's"));
    set_projection(AT_FLAGS, 4, QP_PROJECTION_UNCLEAN);
    expect_clean("unclean");
    use(true);
    make_whole_again();

    abandon_building();
    set_projection(AT_FLAGS, 4, QP_PROJECTION_DELETED);
    take_out(QP_TABLE_PARKED, parked_key(OLD, POISON));
    expect_clean("on its way out");
    make_whole_again();

    take_out(QP_TABLE_MARKS, projection_key());
    expect_said(5, "views", "no projection has this");

    take_out(QP_TABLE_MARKS, projection_key()); /* the views end with what parked begins with */
    for (uint64_t position = POISON; position <= EVENTS; position += STREAMS)
        take_out(QP_TABLE_PARKED, parked_key(OLD, position));
    expect_said(4, "parked", "no projection has this");
}

/* What the row would say is told once, and the rest is looked at all the same. */
Test(verify_views, beside_a_row_that_cannot_be)
{
    uint8_t row[QP_STREAM_ROW_BYTES] = {0};

    make_store();
    set_projection(AT_GENERATION, 4, 0);
    put(QP_TABLE_STREAMS, QP_LITERAL("a-0"), row, sizeof(row));
    expect_said(2, "streams", "says nothing");
}

/* Nobody goes on from there. What can be built anew is. */
Test(verify_views, marks_after_the_newest_event)
{
    make_store();
    for (int order = 0; order < 2; order++) {
        set_projection(order == 0 ? AT_MARK : AT_BUILDING_MARK, 8, HEAD + 1);
        cr_assert_eq(try_open(), QUIPU_OK);
        cr_expect_eq(project(2, NULL), QUIPU_CORRUPT, "%s", why.text);
        cr_expect_eq(quipu_projection_control(store, name, QUIPU_REWIND, 0, NULL, &why), QUIPU_OK);
        if (order == 1)
            cr_expect_eq(project(2, NULL), QUIPU_OK, "%s", why.text);
        quipu_close(store);
        if (order == 1)
            expect_clean("built anew");
        make_whole_again();
    }
}

/* A number that means "none" is not given out: the page fails, and the view is as it was. */
Test(verify_views, no_number_for_a_long_value)
{
    static const uint64_t numbers[] = {0, UINT64_MAX};

    make_store();
    for (size_t i = 0; i < 2; i++) {
        set(QP_TABLE_META, QP_META_BLOBS, 8, 8, numbers[i]);
        cr_assert_eq(try_open(), QUIPU_OK);
        cr_expect_eq(quipu_projection_control(store, name, QUIPU_REWIND, 0, NULL, &why), QUIPU_OK);
        cr_expect_eq(project(2, NULL), QUIPU_CORRUPT, "%s", why.text);
        cr_expect_str_eq(why.text, "table meta: the row blobs has no number to give");
        look_at(name, true);
        quipu_close(store);
        make_whole_again();
    }
}

Test(verify_views, counts)
{
    make_store();
    take_out(QP_TABLE_PARKED, parked_key(OLD, POISON));
    expect_said(1, "marks", "it counts 6 parked events, there are 5");
    take_out(QP_TABLE_PARKED, parked_key(NEW, POISON + STREAMS));
    expect_said(1, "marks", "it counts 3 parked events, there are 2");
}

enum { AT_FORM = 8, AT_SIZE = 9, AT_NUMBER = 17, LONG_ROW = 25 };

Test(verify_views, views_that_cannot_be)
{
    static const struct {
        size_t at;
        size_t size;
        uint64_t number;
        const char *text;
    } cases[] = {
        {AT_FORM, 1, 2, "unknown form"},      {AT_FORM, 1, 255, "unknown form"},
        {AT_SIZE, 8, 4000, "cannot be"},      {AT_SIZE, 8, QP_BLOB_BYTES_MAX + 1, "cannot be"},
        {AT_SIZE, 8, LONG_BYTES + 1, "part"}, {AT_SIZE, 8, LONG_BYTES - 1, "part"},
        {AT_NUMBER, 8, 0, "cannot be"},       {AT_NUMBER, 8, 77, "part"},
    };
    struct qp_key key;

    make_store();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set(QP_TABLE_VIEWS, view_key(OLD, "long"), cases[i].at, cases[i].size, cases[i].number);
        expect_said(1, "views", cases[i].text);
    }
    resize(QP_TABLE_VIEWS, view_key(OLD, "long"), LONG_ROW - 1);
    expect_said(1, "views", "wrong size");
    resize(QP_TABLE_VIEWS, view_key(OLD, "long"), 8);
    expect_said(1, "views", "too short");
    qp_key_blob(&key, 1, 1);
    take_out(QP_TABLE_BLOBS, qp_key_bytes(&key));
    expect_said(1, "views", "part");
}

Test(verify_views, keys_that_are_no_views)
{
    uint8_t row[4096] = {0};
    uint8_t key[300];

    make_store();
    memset(key, 'k', sizeof(key));
    memcpy(key, view_key(OLD, "").data, 6);
    put(QP_TABLE_VIEWS, (struct qp_bytes){"zz", 2}, row, 9);
    expect_said(1, "views", "no view's");
    put(QP_TABLE_VIEWS, view_key(OLD, ""), row, 9);
    expect_said(1, "views", "no view's");
    put(QP_TABLE_VIEWS, (struct qp_bytes){key, 6 + QP_VIEW_KEY_MAX + 1}, row, 9);
    expect_said(1, "views", "no view's");
    put(QP_TABLE_VIEWS, (struct qp_bytes){key, 6 + QP_VIEW_KEY_MAX}, row, 9);
    expect_clean("the longest key");
}

/* As many chunks as a value has that is one byte too long. */
Test(verify_views, value_that_is_too_long)
{
    const uint64_t size = QP_VIEW_VALUE_MAX + 1;
    const size_t part = QP_ROW_BYTES_MAX - QP_ROW_SUM_BYTES;
    struct raw raw;

    make_store();
    set(QP_TABLE_META, QP_META_BLOBS, 8, 8, 10);
    set(QP_TABLE_VIEWS, view_key(OLD, "long"), AT_SIZE, 8, size);
    set(QP_TABLE_VIEWS, view_key(OLD, "long"), AT_NUMBER, 8, 9);
    raw_begin(&raw, log_path, "blobs");
    for (uint64_t done = 0; done < size; done += part) {
        uint8_t row[QP_ROW_BYTES_MAX] = {0};
        size_t row_size = QP_ROW_SUM_BYTES + (size - done < part ? size - done : part);
        struct qp_key key;

        qp_key_blob(&key, 9, (uint32_t)(done / part));
        qp_row_seal(QP_TABLE_BLOBS, qp_key_bytes(&key), row, row_size);
        raw_put(&raw, raw_key(key.bytes, key.size), row, row_size);
    }
    raw_end(&raw);
    cr_expect_eq(verify(), QUIPU_CORRUPT);
    cr_expect(said.count == 1 && was_said("views", "longer than"), "%s", said.all[0].text);
}

Test(verify_views, blobs)
{
    uint8_t row[4096];
    struct qp_key key;
    size_t size;

    make_store();
    size = get(QP_TABLE_VIEWS, view_key(OLD, "long"), row);
    put(QP_TABLE_VIEWS, view_key(OLD, "lost"), row, size);
    put(QP_TABLE_VIEWS, view_key(OLD, "more"), row, size);
    expect_said(1, "views", "blob 1 is the value of several rows");

    set(QP_TABLE_META, QP_META_BLOBS, 8, 8, 2);
    expect_said(1, "meta", "not above");
    set(QP_TABLE_META, QP_META_BLOBS, 8, 8, 0);
    expect_said(1, "meta", "not above");
    resize(QP_TABLE_META, QP_META_BLOBS, 24);
    expect_said(1, "meta", "not above");
    take_out(QP_TABLE_META, QP_META_BLOBS);
    expect_said(1, "meta", "not above");

    put(QP_TABLE_BLOBS, (struct qp_bytes){"zzzzz", 5}, row, 9);
    expect_said(1, "blobs", "no part's");
    qp_key_blob(&key, 0, 0);
    put(QP_TABLE_BLOBS, qp_key_bytes(&key), row, 9);
    expect_said(1, "blobs", "no part's");
}

/* Of a row that was damaged nobody knows which blob it had: when it goes the blob stays, and is no
 * reason to say that the store is damaged. */
Test(verify_views, damaged_view_is_built_again)
{
    struct qp_bytes key = view_key(OLD, "long");
    uint8_t row[4096];
    struct raw raw;
    size_t size;

    make_store();
    size = get(QP_TABLE_VIEWS, key, row);
    row[AT_NUMBER] ^= 1;
    raw_begin(&raw, log_path, "views");
    raw_put(&raw, raw_key(key.data, key.size), row, size);
    raw_end(&raw);
    cr_assert_eq(try_open(), QUIPU_OK);
    cr_expect_eq(project(2, NULL), QUIPU_OK, "%s", why.text);
    look_at(name, true);
    quipu_close(store);
    expect_clean("built again");
}

enum { AT_PARKED_FLAGS = 8, AT_ATTEMPTS = 12, AT_STATUS = 32, AT_REASON_SIZE = 40 };

Test(verify_views, parked_that_cannot_be)
{
    static const struct {
        uint64_t position;
        size_t at;
        uint64_t number; /* of 4 bytes */
        const char *text;
    } cases[] = {
        {POISON, AT_PARKED_FLAGS, 17, "unknown flags"},
        {POISON, AT_PARKED_FLAGS, 0, "do not fit"},
        {POISON, AT_ATTEMPTS, 0, "do not fit"},
        {POISON, AT_STATUS, 0, "do not fit"},
        {POISON, AT_REASON_SIZE, 1, "no parked event's row"},
        {POISON + STREAMS, AT_PARKED_FLAGS, QP_PARKED_FAILED, "do not fit"},
        {POISON + STREAMS, AT_PARKED_FLAGS, QP_PARKED_UNKEYED, "not tried"},
    };

    make_store();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set(QP_TABLE_PARKED, parked_key(OLD, cases[i].position), cases[i].at, 4, cases[i].number);
        cr_expect_eq(verify(), QUIPU_CORRUPT);
        expect_said(1, "parked", cases[i].text);
    }
    set(QP_TABLE_PARKED, parked_key(OLD, POISON), AT_REASON_SIZE, 4, QP_PARKED_REASON_BYTES + 1);
    resize(QP_TABLE_PARKED, parked_key(OLD, POISON), QP_PARKED_ROW_BYTES_MAX + 1);
    expect_said(1, "parked", "no parked event's row");
    resize(QP_TABLE_PARKED, parked_key(OLD, POISON), 20);
    expect_said(1, "parked", "no parked event's row");
}

/* Rows of generation 0. */
Test(verify_views, owed_that_cannot_be)
{
    static const struct {
        uint64_t position;
        size_t at;
        uint64_t number;
        const char *text;
    } cases[] = {
        {1, AT_PARKED_FLAGS, 0, NULL},
        {1, AT_PARKED_FLAGS, QP_PARKED_UNKEYED, NULL},
        {1, AT_PARKED_FLAGS, QP_PARKED_REPLAY, "says more"},
        {1, AT_ATTEMPTS, 1, "says more"},
        {1, AT_STATUS, 1, "says more"},
        {HEAD + 1, AT_PARKED_FLAGS, 0, "nothing was emitted there yet"},
        {0, AT_PARKED_FLAGS, 0, "no such event"},
    };
    uint8_t row[QP_PARKED_ROW_BYTES_MAX];

    make_store();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct qp_parked owed = {.part = 1};
        size_t size = qp_parked_write(&owed, row);

        qp_set_u32(row + cases[i].at, (uint32_t)cases[i].number);
        put(QP_TABLE_PARKED, parked_key(QP_OWED_GENERATION, cases[i].position), row, size);
        if (cases[i].text != NULL)
            expect_said(1, "parked", cases[i].text);
        else
            expect_clean("owed");
    }
    put(QP_TABLE_VIEWS, view_key(QP_OWED_GENERATION, "a"), row, QP_ROW_SUM_BYTES + 16);
    expect_said(1, "views", "none of the projection's");
}

/* They are one too many, too: but for where they are they would be right. */
Test(verify_views, parked_where_none_can_be)
{
    uint8_t row[4096];
    size_t size;
    struct qp_key key;
    uint8_t bytes[400];

    make_store();
    size = get(QP_TABLE_PARKED, parked_key(OLD, POISON + STREAMS), row);
    put(QP_TABLE_PARKED, parked_key(OLD, HEAD + 1), row, size);
    expect_said(2, "parked", "there is no such event");
    put(QP_TABLE_PARKED, parked_key(OLD, 0), row, size);
    expect_said(2, "parked", "there is no such event");
    put(QP_TABLE_PARKED, parked_key(NEW, BUILT + 2), row, size);
    expect_said(2, "parked", "has not come");

    put(QP_TABLE_PARKED, (struct qp_bytes){"zz", 2}, row, size);
    expect_said(1, "parked", "no parked event's");
    qp_key_parked(&key, (struct qp_bytes){name, 1}, OLD, (struct qp_bytes){0}, 3);
    put(QP_TABLE_PARKED, qp_key_bytes(&key), row, size);
    expect_said(2, "parked", "no parked event's");
    memset(bytes, 'k', sizeof(bytes)); /* a key of 300 bytes */
    memcpy(bytes, view_key(OLD, "").data, 6);
    bytes[6] = 300 >> 8;
    bytes[7] = 300 & 255;
    memset(bytes + 308, 0, 7);
    bytes[315] = 3;
    row[AT_PARKED_FLAGS] = QP_PARKED_REPLAY;
    put(QP_TABLE_PARKED, (struct qp_bytes){bytes, 316}, row, size);
    expect_said(2, "parked", "no parked event's");
}

Test(verify_views, streams_that_cannot_be)
{
    static const char owner[] = "a\nb";
    uint8_t row[4096] = {0};

    make_store();
    put(QP_TABLE_STREAMS, QP_LITERAL("a-0"), row, QP_STREAM_ROW_BYTES);
    expect_said(1, "streams", "says nothing");
    put(QP_TABLE_STREAMS, QP_LITERAL("a\1"), row, QP_STREAM_ROW_BYTES);
    expect_said(1, "streams", "no stream's name");
    put(QP_TABLE_STREAMS, QP_LITERAL("a-0"), row, QP_STREAM_ROW_BYTES - 1);
    expect_said(1, "streams", "no stream's row");
    memcpy(row + QP_STREAM_ROW_BYTES, owner, 3);
    row[20] = 3;
    put(QP_TABLE_STREAMS, QP_LITERAL("a-0"), row, QP_STREAM_ROW_BYTES + 3);
    expect_said(1, "streams", "no projection's name");
    memset(row + QP_STREAM_ROW_BYTES, 'n', 200);
    row[20] = 200;
    put(QP_TABLE_STREAMS, QP_LITERAL("a-0"), row, QP_STREAM_ROW_BYTES + 200);
    expect_said(1, "streams", "no stream's row");
    row[20] = QP_OWNER_NAME_MAX; /* of a projection that is gone */
    put(QP_TABLE_STREAMS, QP_LITERAL("a-0"), row, QP_STREAM_ROW_BYTES + QP_OWNER_NAME_MAX);
    expect_clean("an owner that is gone");
}

Test(verify_views, stores_without_the_bit)
{
    make_store();
    set(QP_TABLE_META, QP_META_FORMAT, 24, 8, 0);
    expect_said(1, "meta", "does not say that the store has projections");
    set(QP_TABLE_META, QP_META_FORMAT, 24, 8, 0);
    cr_assert_eq(try_open(), QUIPU_OK);
    cr_expect_eq(quipu_projection_control(store, name, QUIPU_PAUSE, 0, NULL, &why), QUIPU_OK);
    quipu_close(store);
    expect_clean("the next change puts it back");
}

/* ---- stopped, and short of memory ------------------------------------------------------------ */

Test(verify_views, stops_when_it_is_told_to)
{
    make_store();
    take_out(QP_TABLE_MARKS, projection_key());
    for (unsigned i = 1; i <= 4; i++) {
        said.stop_at = i;
        cr_expect_eq(verify(), QUIPU_OK);
        cr_expect_eq(said.count, i);
    }
    said.stop_at = 0;
}

/* What cannot be had ends the verify, and is no finding. */
Test(verify_views, memory_fails)
{
    long failed = 0;
    int rc = QUIPU_NO_MEMORY;

    make_store();
    for (long n = 1; rc != QUIPU_OK && n < 10000; n++) {
        support_heap_fail(n, false);
        rc = verify();
        support_heap_fail(0, false);
        cr_expect(rc == QUIPU_NO_MEMORY || rc == QUIPU_OK, "%ld: %s", n, why.text);
        cr_expect_eq(said.count, 0, "%ld: %s", n, said.all[0].text);
        failed += rc == QUIPU_NO_MEMORY;
    }
    cr_expect_gt(failed, 10);
    expect_clean("with memory");
}
