/* test_store.c - store.c: rows and cursors, maps that grow, readers that are too many, what stands
 * in the file after a settle, and files that are none. */
#include "log.h"
#include "row.h"
#include "support_events.h"
#include "support_suite.h"
#include "table.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(store);

static char file[SUPPORT_PATH_BYTES];

static struct qp_store_config config_of(uint64_t map_bytes, uint32_t readers)
{
    return (struct qp_store_config){.path = support_path(file, "log.mdb"),
                                    .tables = qp_log_tables,
                                    .table_count = qp_log_table_count,
                                    .map_bytes = map_bytes,
                                    .readers_max = readers,
                                    .create = true};
}

static struct qp_store *open_store(uint64_t map_bytes, uint32_t readers)
{
    struct qp_store_config config = config_of(map_bytes, readers);
    struct qp_store *store;
    quipu_error error = {0};

    cr_assert_eq(qp_store_open(&config, &store, &error), QUIPU_OK, "%s", error.text);
    return store;
}

static void write_begin(struct qp_store *store, struct qp_txn *txn)
{
    *txn = (struct qp_txn){0};
    cr_assert_eq(qp_txn_begin_write(store, txn, NULL), QUIPU_OK);
}

static void commit(struct qp_txn *txn)
{
    enum qp_commit_outcome outcome = QP_COMMIT_UNKNOWN;

    cr_assert_eq(qp_txn_commit(txn, &outcome, NULL), QUIPU_OK);
    cr_assert_eq(outcome, QP_COMMIT_DONE);
    cr_assert_not(txn->live);
}

/* Rows of a full page each, appended until there are `count` or one fails. */
static int fill(struct qp_txn *txn, uint64_t first, uint64_t count, quipu_error *error)
{
    for (uint64_t position = first; position < first + count; position++) {
        void *value;
        int rc =
            qp_append_reserve(txn, QP_TABLE_LOG, qp_key_position(&position), 4000, &value, error);

        if (rc < 0)
            return rc;
        memset(value, (int)(position & 0xff), 4000);
    }
    return QUIPU_OK;
}

/* ---- rows and cursors ---- */

Test(store, rows)
{
    struct qp_store *store = open_store(16 * QP_MIB, 10);
    struct qp_txn txn;
    struct qp_bytes value;
    uint8_t row[24] = {0};

    write_begin(store, &txn);
    cr_expect_eq(qp_get(&txn, QP_TABLE_META, QP_LITERAL("x"), &value, NULL), QUIPU_OK);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_META), 0);
    cr_expect_eq(qp_put(&txn, QP_TABLE_META, QP_LITERAL("x"), QP_LITERAL("one"), NULL), QUIPU_OK);
    cr_expect_eq(qp_put(&txn, QP_TABLE_META, QP_LITERAL("x"), QP_LITERAL("two"), NULL), QUIPU_OK);
    cr_expect_eq(qp_put(&txn, QP_TABLE_MARKS, QP_LITERAL("x"), QP_LITERAL("other"), NULL),
                 QUIPU_OK);
    cr_expect_eq(qp_get(&txn, QP_TABLE_META, QP_LITERAL("x"), &value, NULL), QUIPU_ROW);
    support_expect_bytes(value.data, value.size, "two", 3, "the later one");
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_META), 1);
    cr_expect_eq(qp_get_row(&txn, QP_TABLE_META, QP_LITERAL("x"), &value, NULL), QUIPU_CORRUPT);
    row[10] = 7;
    cr_expect_eq(qp_put_row(&txn, QP_TABLE_META, QP_LITERAL("x"), row, sizeof(row), NULL),
                 QUIPU_OK);
    cr_expect_eq(qp_get_row(&txn, QP_TABLE_META, QP_LITERAL("x"), &value, NULL), QUIPU_ROW);
    support_expect_bytes(value.data, value.size, row, sizeof(row), "sealed in place");
    cr_expect_eq(qp_get_row(&txn, QP_TABLE_META, QP_LITERAL("y"), &value, NULL), QUIPU_OK);
    qp_txn_end(&txn);

    write_begin(store, &txn);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_META), 0, "what was not committed is not there");
    qp_txn_end(&txn);
    qp_txn_end(&txn);
    qp_store_close(store);
    qp_store_close(NULL);
}

Test(store, append_order)
{
    static const struct {
        uint64_t position;
        int status;
    } steps[] = {{5, QUIPU_OK},      {5, QUIPU_INVALID},         {4, QUIPU_INVALID},
                 {256, QUIPU_OK},    {255, QUIPU_INVALID},       {257, QUIPU_OK},
                 {65536, QUIPU_OK},  {UINT32_MAX, QUIPU_OK},     {UINT64_C(1) << 32, QUIPU_OK},
                 {1, QUIPU_INVALID}, {QP_POSITION_MAX, QUIPU_OK}};
    struct qp_store *store = open_store(16 * QP_MIB, 10);
    struct qp_cursor cursor = {0};
    struct qp_bytes key = {0};
    struct qp_bytes value;
    struct qp_txn txn;
    uint64_t last = 0;
    int rc;

    write_begin(store, &txn);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        void *room;

        cr_expect_eq(qp_append_reserve(&txn, QP_TABLE_LOG, qp_key_position(&steps[i].position), 8,
                                       &room, NULL),
                     steps[i].status, "step %zu", i);
    }
    cr_assert_eq(qp_cursor_open(&cursor, &txn, QP_TABLE_LOG, NULL), QUIPU_OK);
    rc = qp_cursor_seek(&cursor, QP_FIRST, &key, &value, NULL);
    while (rc == QUIPU_ROW) {
        uint64_t position = 0;

        cr_assert(qp_key_position_read(key, &position));
        cr_expect_gt(position, last);
        last = position;
        rc = qp_cursor_seek(&cursor, QP_NEXT, &key, &value, NULL);
    }
    cr_expect_eq(last, QP_POSITION_MAX);
    qp_cursor_close(&cursor);
    qp_txn_end(&txn);
    qp_store_close(store);
}

Test(store, cursors)
{
    static const struct {
        enum qp_seek seek;
        const char *key;
        const char *found; /* NULL: no row */
    } steps[] = {
        {QP_FIRST, "", "b"},     {QP_NEXT, "", "d"},       {QP_NEXT, "", "f"},
        {QP_NEXT, "", NULL},     {QP_LAST, "", "f"},       {QP_PREVIOUS, "", "d"},
        {QP_PREVIOUS, "", "b"},  {QP_PREVIOUS, "", NULL},  {QP_EXACT, "d", "d"},
        {QP_EXACT, "c", NULL},   {QP_AT_LEAST, "c", "d"},  {QP_AT_LEAST, "d", "d"},
        {QP_NEXT, "", "f"},      {QP_AT_LEAST, "g", NULL}, {QP_AT_LEAST, "a", "b"},
        {QP_PREVIOUS, "", NULL},
    };
    struct qp_store *store = open_store(16 * QP_MIB, 10);
    struct qp_cursor cursor = {0};
    struct qp_txn txn;

    write_begin(store, &txn);
    for (const char *key = "bdf"; *key != '\0'; key++)
        cr_assert_eq(qp_put(&txn, QP_TABLE_MARKS, (struct qp_bytes){key, 1},
                            (struct qp_bytes){key, 1}, NULL),
                     QUIPU_OK);
    commit(&txn);
    for (int round = 0; round < 2; round++) { /* the second in a renewed snapshot */
        cr_assert_eq(qp_txn_begin_read(store, &txn, NULL), QUIPU_OK);
        cr_assert_eq(qp_cursor_open(&cursor, &txn, QP_TABLE_MARKS, NULL), QUIPU_OK);
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
            struct qp_bytes key = {steps[i].key, strlen(steps[i].key)};
            struct qp_bytes value = {0};
            int rc = qp_cursor_seek(&cursor, steps[i].seek, &key, &value, NULL);

            cr_expect_eq(rc, steps[i].found != NULL ? QUIPU_ROW : QUIPU_OK, "step %zu", i);
            if (rc == QUIPU_ROW && steps[i].found != NULL)
                support_expect_bytes(value.data, value.size, steps[i].found, 1, "step %zu", i);
        }
        qp_txn_reset(&txn);
        qp_txn_reset(&txn);
    }
    qp_cursor_close(&cursor);
    qp_cursor_close(&cursor);
    qp_txn_end(&txn);
    qp_store_close(store);
}

Test(store, snapshot_stays_as_it_was)
{
    struct qp_store *store = open_store(16 * QP_MIB, 10);
    struct qp_txn writer;
    struct qp_txn reader = {0};

    cr_assert_eq(qp_txn_begin_read(store, &reader, NULL), QUIPU_OK);
    write_begin(store, &writer);
    cr_assert_eq(fill(&writer, 1, 10, NULL), QUIPU_OK);
    commit(&writer);
    cr_expect_eq(qp_table_rows(&reader, QP_TABLE_LOG), 0);
    qp_txn_reset(&reader);
    cr_assert_eq(qp_txn_begin_read(store, &reader, NULL), QUIPU_OK);
    cr_expect_eq(qp_table_rows(&reader, QP_TABLE_LOG), 10);
    qp_txn_end(&reader);
    qp_store_close(store);
}

/* ---- the map ---- */

/* Until it fits: put, grow when the map is full, and begin anew. */
static unsigned fill_and_grow(struct qp_store *store, uint64_t count)
{
    unsigned grown = 0;

    for (;;) {
        struct qp_txn txn;
        quipu_error error = {0};
        int rc;

        write_begin(store, &txn);
        rc = fill(&txn, 1, count, &error);
        if (rc == QUIPU_OK) {
            commit(&txn);
            return grown;
        }
        cr_assert_eq(rc, QUIPU_FULL, "%s", error.text);
        cr_assert_eq(error.status, QUIPU_FULL);
        qp_txn_end(&txn);
        cr_assert(qp_txn_grow_map(store));
        cr_assert_lt(++grown, 10);
    }
}

Test(store, map_grows)
{
    struct qp_store *store = open_store(QP_MAP_BYTES_MIN, 10);
    struct qp_txn txn = {0};
    struct qp_bytes value;

    cr_expect_not(qp_txn_grow_map(store), "nothing has failed");
    cr_expect_eq(fill_and_grow(store, 3500), 2, "4 to 16 MiB");
    cr_expect_not(qp_txn_grow_map(store));
    cr_assert_eq(qp_txn_begin_read(store, &txn, NULL), QUIPU_OK);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_LOG), 3500);
    for (uint64_t position = 1; position <= 3500; position += 499) {
        cr_assert_eq(qp_get(&txn, QP_TABLE_LOG, qp_key_position(&position), &value, NULL),
                     QUIPU_ROW);
        cr_expect_eq(*(const uint8_t *)value.data, position & 0xff);
    }
    qp_txn_end(&txn);
    qp_store_close(store);
    store = open_store(QP_MAP_BYTES_MIN, 10); /* smaller than the file */
    txn = (struct qp_txn){0};
    cr_assert_eq(qp_txn_begin_read(store, &txn, NULL), QUIPU_OK);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_LOG), 3500);
    qp_txn_end(&txn);
    qp_store_close(store);
}

/* A snapshot of this process looks at the old map: growing has to wait for it. */
Test(store, map_grows_not_under_a_reader)
{
    struct qp_store *store = open_store(QP_MAP_BYTES_MIN, 10);
    struct qp_txn reader = {0};
    struct qp_txn writer;

    cr_assert_eq(qp_txn_begin_read(store, &reader, NULL), QUIPU_OK);
    write_begin(store, &writer);
    cr_expect_eq(fill(&writer, 1, 2000, NULL), QUIPU_FULL);
    qp_txn_end(&writer);
    cr_expect_not(qp_txn_grow_map(store));
    cr_expect_eq(qp_table_rows(&reader, QP_TABLE_LOG), 0, "the reader goes on");
    qp_txn_reset(&reader);

    write_begin(store, &writer);
    cr_expect_eq(fill(&writer, 1, 2000, NULL), QUIPU_FULL);
    cr_expect_not(qp_txn_grow_map(store), "nor under its own writer");
    qp_txn_end(&writer);
    cr_expect_eq(fill_and_grow(store, 2000), 1, "a reader at rest keeps its slot and no map");
    cr_assert_eq(qp_txn_begin_read(store, &reader, NULL), QUIPU_OK);
    cr_expect_eq(qp_table_rows(&reader, QP_TABLE_LOG), 2000);
    qp_txn_end(&reader);
    qp_store_close(store);
}

/* Another process makes the file larger than our map. */
Test(store, map_of_another_process_is_taken_over)
{
    struct qp_store *store;
    struct qp_txn reader = {0};
    pid_t child;
    int status = 0;
    int go[2];
    char byte;

    (void)support_dir();
    qp_store_close(open_store(QP_MAP_BYTES_MIN, 10));
    cr_assert_eq(pipe(go), 0);
    child = fork();
    if (child == 0) {
        if (read(go[0], &byte, 1) != 1)
            _exit(1);
        store = open_store(32 * QP_MIB, 10);
        (void)fill_and_grow(store, 4000);
        qp_store_close(store);
        _exit(0);
    }
    store = open_store(QP_MAP_BYTES_MIN, 10);
    cr_assert_eq(qp_txn_begin_read(store, &reader, NULL), QUIPU_OK);
    cr_assert_eq(write(go[1], "x", 1), 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_expect_eq(qp_txn_begin_read(store, &(struct qp_txn){0}, NULL), QUIPU_FULL,
                 "a snapshot of ours looks at the smaller map");
    cr_expect_eq(qp_table_rows(&reader, QP_TABLE_LOG), 0);
    qp_txn_reset(&reader);
    cr_assert_eq(qp_txn_begin_read(store, &reader, NULL), QUIPU_OK);
    cr_expect_eq(qp_table_rows(&reader, QP_TABLE_LOG), 4000);
    qp_txn_end(&reader);
    qp_store_close(store);
}

/* LMDB gives the old map up before it asks for the new one: without room for that the old one must
 * stay. ASan's own maps do not fit below any limit. */
#ifndef __SANITIZE_ADDRESS__
static uint64_t address_space_used(void)
{
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    cr_assert(statm != NULL && fscanf(statm, "%lu", &pages) == 1);
    (void)fclose(statm);
    return (uint64_t)pages * 4096;
}

Test(store, map_stays_where_there_is_no_room)
{
    struct qp_store *store = open_store(64 * QP_MIB, 10);
    struct rlimit limit = {address_space_used() + 8 * QP_MIB, RLIM_INFINITY};
    struct qp_txn txn;
    quipu_error error = {0};
    int rc = QUIPU_OK;

    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    for (uint64_t first = 1; rc == QUIPU_OK; first += 1000) {
        write_begin(store, &txn);
        rc = fill(&txn, first, 1000, &error);
        if (rc == QUIPU_OK)
            commit(&txn);
        qp_txn_end(&txn);
    }
    cr_expect_eq(rc, QUIPU_FULL, "%s", error.text);
    cr_expect_not(qp_txn_grow_map(store));
    txn = (struct qp_txn){0};
    cr_assert_eq(qp_txn_begin_read(store, &txn, NULL), QUIPU_OK);
    cr_expect_gt(qp_table_rows(&txn, QP_TABLE_LOG), 1000);
    qp_txn_end(&txn);
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    write_begin(store, &txn);
    cr_expect_eq(fill(&txn, 1000000, 5, &error), QUIPU_OK, "%s", error.text);
    commit(&txn);
    qp_store_close(store);
}
#endif

Test(store, map_is_halved_until_it_fits)
{
    struct qp_store *store = open_store(QP_LOG_MAP_BYTES_DEFAULT, 10);

    qp_store_close(store);
    store = open_store(UINT64_C(1) << 60, 10); /* of which no machine has the address space */
    qp_store_close(store);
}

/* ---- readers ---- */

Test(store, readers_are_too_many)
{
    enum { READERS = 5 };
    struct qp_store *store = open_store(16 * QP_MIB, READERS);
    struct qp_txn readers[READERS + 1];
    quipu_error error = {0};

    memset(readers, 0, sizeof(readers));
    for (int i = 0; i < READERS; i++)
        cr_assert_eq(qp_txn_begin_read(store, &readers[i], &error), QUIPU_OK, "%d %s", i,
                     error.text);
    cr_expect_eq(qp_txn_begin_read(store, &readers[READERS], &error), QUIPU_FULL);
    cr_expect_eq(error.status, QUIPU_FULL);
    cr_expect_not(readers[READERS].live);
    qp_txn_reset(&readers[0]);
    cr_expect_eq(qp_txn_begin_read(store, &readers[READERS], NULL), QUIPU_FULL,
                 "it keeps its slot");
    qp_txn_end(&readers[0]);
    cr_expect_eq(qp_txn_begin_read(store, &readers[READERS], NULL), QUIPU_OK);
    for (int i = 0; i <= READERS; i++)
        qp_txn_end(&readers[i]);
    qp_store_close(store);
}

/* Slots of a process that died are found when they are needed, or when one asks. */
Test(store, slots_of_the_dead)
{
    enum { READERS = 3 };
    struct qp_store *store;
    struct qp_txn readers[READERS];
    struct qp_txn_stat stat;
    pid_t child;

    (void)support_dir();
    child = fork();
    if (child == 0) {
        struct qp_txn mine[2] = {{0}, {0}};

        store = open_store(16 * QP_MIB, READERS);
        if (qp_txn_begin_read(store, &mine[0], NULL) < 0 ||
            qp_txn_begin_read(store, &mine[1], NULL) < 0)
            _exit(1);
        (void)raise(SIGSTOP);
        _exit(0); /* without closing anything */
    }
    cr_assert_eq(waitpid(child, NULL, WUNTRACED), child);
    memset(readers, 0, sizeof(readers));
    store = open_store(16 * QP_MIB, READERS);
    cr_assert_eq(qp_txn_begin_read(store, &readers[0], NULL), QUIPU_OK);
    cr_expect_eq(qp_txn_begin_read(store, &readers[1], NULL), QUIPU_FULL, "it lives");
    cr_assert_eq(qp_txn_stat(&readers[0], &stat, NULL), QUIPU_OK);
    cr_expect_eq(stat.readers, 3);
    cr_expect_eq(stat.oldest_reader_pid, (uint32_t)child);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_expect_eq(qp_txn_begin_read(store, &readers[1], NULL), QUIPU_OK);
    cr_expect_eq(qp_txn_begin_read(store, &readers[2], NULL), QUIPU_OK);
    for (int i = 0; i < READERS; i++)
        qp_txn_end(&readers[i]);
    qp_store_close(store);
}

Test(store, stat)
{
    struct qp_store *store = open_store(16 * QP_MIB, 10);
    struct qp_txn_stat stat;
    struct qp_txn old = {0};
    struct qp_txn reader = {0};
    struct qp_txn writer;

    cr_assert_eq(qp_txn_begin_read(store, &old, NULL), QUIPU_OK);
    for (uint64_t i = 0; i < 5; i++) {
        write_begin(store, &writer);
        cr_assert_eq(fill(&writer, 1 + 100 * i, 100, NULL), QUIPU_OK);
        commit(&writer);
    }
    cr_assert_eq(qp_txn_begin_read(store, &reader, NULL), QUIPU_OK);
    cr_assert_eq(qp_txn_stat(&reader, &stat, NULL), QUIPU_OK);
    cr_expect_geq(stat.file_bytes, 500 * 4096);
    cr_expect_eq(stat.file_bytes % 4096, 0);
    cr_expect(stat.free_bytes > 0 && stat.free_bytes % 4096 == 0 && stat.free_bytes < 100 * 4096);
    cr_expect_eq(stat.readers, 2);
    cr_expect_eq(stat.oldest_reader_pid, (uint32_t)getpid());
    cr_expect_eq(stat.oldest_reader_lag, 5);
    qp_txn_end(&old);
    cr_assert_eq(qp_txn_stat(&reader, &stat, NULL), QUIPU_OK);
    cr_expect_eq(stat.readers, 1);
    cr_expect_eq(stat.oldest_reader_lag, 0);
    qp_txn_end(&reader);
    qp_store_close(store);
}

/* ---- settling, and a disk that is full ---- */

Test(store, settle_changes_nothing)
{
    static uint8_t before[4 << 20];
    static uint8_t after[4 << 20];
    struct qp_store *store = open_store(16 * QP_MIB, 10);
    size_t before_size = sizeof(before);
    size_t after_size = sizeof(after);
    struct qp_txn txn;
    quipu_error error = {0};

    write_begin(store, &txn);
    cr_assert_eq(fill(&txn, 1, 100, NULL), QUIPU_OK);
    commit(&txn);
    cr_assert(support_read_file(file, before, &before_size));
    cr_expect_eq(qp_store_settle(store, &error), QUIPU_OK, "%s", error.text);
    cr_assert(support_read_file(file, after, &after_size));
    support_expect_bytes(before, before_size, after, after_size, "the file");
    support_heap_fail(1, true);
    cr_expect_eq(qp_store_settle(store, &error), QUIPU_OK, "or it would poison the store");
    support_heap_fail(0, false);
    qp_store_close(store);
}

static void limit_files(uint64_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};

    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* ---- the file ahead ---- */

static uint64_t file_bytes(void)
{
    struct stat info;

    cr_assert_eq(stat(file, &info), 0);
    return (uint64_t)info.st_size;
}

/* How much of the file stands behind its last page, and whether that is zeros. */
static uint64_t bytes_ahead(struct qp_txn *txn)
{
    static uint8_t bytes[4 * QP_MIB];
    size_t page_bytes;
    uint64_t pages;
    size_t size = sizeof(bytes);

    qp_txn_extent(txn, &page_bytes, &pages);
    cr_assert(support_read_file(file, bytes, &size));
    for (size_t i = page_bytes * pages; i < size; i++)
        cr_assert_eq(bytes[i], 0, "byte %zu", i);
    return size - page_bytes * pages;
}

/* One more page each time: by as much as there is, and then by a MiB at a time. */
Test(store, the_file_is_ahead_of_its_pages)
{
    struct qp_store *store = open_store(64 * QP_MIB, 10);
    unsigned extended = 0;
    uint64_t position = 1;

    while (extended < 5) {
        uint64_t before = file_bytes();
        struct qp_txn txn;

        write_begin(store, &txn);
        qp_txn_extend(&txn);
        cr_assert_geq(bytes_ahead(&txn), 64 * QP_KIB);
        extended += file_bytes() > before;
        cr_assert(file_bytes() <= before + QP_MIB && file_bytes() <= 3 * before + 128 * QP_KIB);
        before = file_bytes();
        qp_txn_extend(&txn);
        cr_assert_eq(file_bytes(), before, "it is ahead already");
        cr_assert_eq(fill(&txn, position++, 1, NULL), QUIPU_OK);
        commit(&txn);
        cr_assert_eq(file_bytes(), before, "the commit found its blocks there");
    }
    cr_expect_gt(position, 100, "a page at a time");
    qp_store_close(store);
}

/* Beyond a limit the system sends a signal. */
Test(store, a_limited_file_is_not_extended)
{
    struct qp_store *store = open_store(64 * QP_MIB, 10);
    uint64_t before = file_bytes();
    struct qp_txn txn;

    limit_files(before + 512 * QP_KIB);
    write_begin(store, &txn);
    qp_txn_extend(&txn);
    cr_expect_eq(file_bytes(), before);
    limit_files(RLIM_INFINITY);
    qp_txn_extend(&txn);
    cr_expect_gt(file_bytes(), before);
    qp_txn_end(&txn);
    qp_store_close(store);
}

/* A limit of the file's size stands for a full disk: nothing of the commit is in, it goes on when
 * there is room. The limit is where the file ends: LMDB calls a write that is only cut short EIO.
 */
Test(store, full_disk)
{
    struct qp_store *store = open_store(64 * QP_MIB, 10);
    enum qp_commit_outcome outcome = QP_COMMIT_DONE;
    struct stat info;
    struct qp_txn txn;
    quipu_error error = {0};
    int rc;

    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    write_begin(store, &txn);
    cr_assert_eq(fill(&txn, 1, 100, NULL), QUIPU_OK);
    commit(&txn);
    cr_assert_eq(stat(file, &info), 0);
    limit_files((uint64_t)info.st_size);
    write_begin(store, &txn);
    rc = fill(&txn, 101, 1000, &error);
    cr_assert_eq(rc, QUIPU_OK, "%s", error.text);
    cr_expect_eq(qp_txn_commit(&txn, &outcome, &error), QUIPU_FULL, "%s", error.text);
    cr_expect_eq(outcome, QP_COMMIT_UNDONE);
    cr_expect_not(qp_txn_grow_map(store), "it was not the map");
    limit_files(RLIM_INFINITY);
    write_begin(store, &txn);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_LOG), 100);
    cr_assert_eq(fill(&txn, 101, 1000, NULL), QUIPU_OK);
    commit(&txn);
    qp_store_close(store);
}

/* ---- files ---- */

Test(store, files_that_are_none)
{
    static const struct qp_table_spec other[] = {{.table = QP_TABLE_LOG}};
    static const struct qp_table_spec more[] = {{.table = QP_TABLE_LOG, .integer_key = true},
                                                {.table = QP_TABLE_TERMS}};
    struct qp_store_config config = config_of(16 * QP_MIB, 10);
    struct qp_store *store = NULL;
    quipu_error error = {0};

    config.create = false;
    config.read_only = true;
    cr_expect_lt(qp_store_open(&config, &store, &error), 0, "missing");
    cr_expect_null(store);
    qp_store_close(open_store(16 * QP_MIB, 10));
    cr_expect_eq(qp_store_open(&config, &store, &error), QUIPU_OK);
    qp_store_close(store);
    config.tables = other;
    config.table_count = 1;
    cr_expect_eq(qp_store_open(&config, &store, &error), QUIPU_INVALID, "another kind of key");
    config.tables = more;
    config.table_count = 2;
    cr_expect_eq(qp_store_open(&config, &store, &error), QUIPU_INVALID, "a table is missing");
    cr_expect_null(store);
    cr_assert(support_write_file(file,
                                 "This is no LMDB file. It is text, and more of it follows. "
                                 "This is no LMDB file. It is text, and more of it follows.",
                                 115));
    config = config_of(16 * QP_MIB, 10);
    cr_expect_eq(qp_store_open(&config, &store, &error), QUIPU_CORRUPT, "%s", error.text);
    cr_expect_null(store);
}

Test(store, read_only_does_not_write)
{
    struct qp_store_config config = config_of(16 * QP_MIB, 10);
    struct qp_store *store;
    struct qp_txn txn = {0};

    qp_store_close(open_store(16 * QP_MIB, 10));
    config.create = false;
    config.read_only = true;
    cr_assert_eq(qp_store_open(&config, &store, NULL), QUIPU_OK);
    cr_expect_eq(qp_txn_begin_write(store, &txn, NULL), QUIPU_UNSAFE);
    cr_expect_eq(qp_txn_begin_read(store, &txn, NULL), QUIPU_OK);
    qp_txn_end(&txn);
    qp_store_close(store);
}

Test(store, descriptor_is_closed_on_exec)
{
    struct qp_store *store = open_store(16 * QP_MIB, 10);
    int found = 0;

    for (int fd = 3; fd < 64; fd++) {
        char name[64];
        char target[SUPPORT_PATH_BYTES];
        ssize_t size;

        (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        size = readlink(name, target, sizeof(target) - 1);
        if (size <= 0)
            continue;
        target[size] = '\0';
        if (strncmp(target, file, strlen(file)) != 0)
            continue;
        found++;
        cr_expect_neq(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0, "%s", target);
    }
    cr_expect_geq(found, 2, "the file and its lock file");
    qp_store_close(store);
}

Test(store, out_of_memory)
{
    struct qp_store_config config = config_of(16 * QP_MIB, 10);
    struct qp_store *store;

    support_heap_fail(1, true);
    cr_expect_eq(qp_store_open(&config, &store, NULL), QUIPU_NO_MEMORY);
    cr_expect_null(store);
}

Test(store, pages)
{
    struct qp_store *store = open_store(16 * QP_MIB, 10);
    struct qp_txn txn = {0};
    struct qp_bytes record;
    size_t page_bytes = 0;
    uint64_t pages = 0;

    cr_assert_eq(qp_txn_begin_read(store, &txn, NULL), QUIPU_OK);
    qp_txn_extent(&txn, &page_bytes, &pages);
    cr_expect_eq(page_bytes, (size_t)sysconf(_SC_PAGESIZE));
    cr_expect_gt(pages, 2);
    cr_expect_eq(qp_table_record(&txn, "log", &record), QUIPU_ROW);
    cr_expect_eq(record.size, 48);
    cr_expect_eq(qp_table_record(&txn, "none", &record), QUIPU_OK);
    qp_txn_end(&txn);
    qp_store_close(store);
}
