/* test_api.c - what each public call promises in quipu.h: statuses, arguments, limits, files that
 * are not what they should be. What the calls do with good arguments is the model's business. */
#include "handles.h"
#include "index.h"
#include "log.h"
#include "merge.h"
#include "meta.h"
#include "page.h"
#include "row.h"
#include "support_suite.h"
#include "support_system.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(api);

/* ---- small helpers --------------------------------------------------------------------------- */

static quipu_error why; /* of the call that is being looked at */

static void expect_status(const char *call, int got, int should, int line)
{
    cr_expect(got == should, "line %d: %s: %s, not %s: %s", line, call, quipu_status_name(got),
              quipu_status_name(should), why.text);
    if (why.status != 0) {
        cr_expect(why.status == got, "line %d: %s: the error says %d", line, call, why.status);
        cr_expect(why.text[0] != '\0' && strchr(why.text, '\n') == NULL, "line %d: %s: \"%s\"",
                  line, call, why.text);
        cr_expect(got < 0, "line %d: %s: an error on success", line, call);
    }
    why = (quipu_error){0};
}

#define EXPECT(should, call) expect_status(#call, (call), (should), __LINE__)

static char *store_path(char out[SUPPORT_PATH_BYTES])
{
    return support_path(out, "store");
}

static char *file_path(char out[SUPPORT_PATH_BYTES], const char *file)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "store/%s", file);
    return support_path(out, name);
}

static quipu *open_store(uint32_t flags)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    quipu_options options = {QUIPU_INIT(quipu_options), .flags = flags};

    EXPECT(QUIPU_OK, quipu_open(store_path(path), &options, &store, &why));
    cr_assert(store != NULL);
    return store;
}

static int try_open(uint32_t flags)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    quipu_options options = {QUIPU_INIT(quipu_options), .flags = flags};
    int rc = quipu_open(store_path(path), &options, &store, &why);

    cr_expect((rc == QUIPU_OK) == (store != NULL));
    quipu_close(store);
    return rc;
}

static int try_verify(void)
{
    char path[SUPPORT_PATH_BYTES];

    return quipu_verify(store_path(path), 0, NULL, NULL, NULL, NULL, &why);
}

static const quipu_draft plain = {
    .type = "happened", .data = "{}", .data_size = 2, .data_format = 1};

static int append_one(quipu *store, const char *stream)
{
    return quipu_append(store, stream, QUIPU_ANY, &plain, 1, NULL, &why);
}

/* A closed store with `count` events in streams "a-0" to "a-9", `merged` of them in the index. */
static void make_store(unsigned count, unsigned merged)
{
    quipu *store = open_store(QUIPU_OPEN_NEW);

    for (unsigned i = 0; i < count; i++) {
        char stream[16];

        if (i == merged)
            cr_assert(qp_merge(store->handle, NULL) == QUIPU_OK);
        (void)snprintf(stream, sizeof(stream), "a-%u", i % 10);
        EXPECT(QUIPU_OK, append_one(store, stream));
    }
    if (merged >= count)
        cr_assert(qp_merge(store->handle, NULL) == QUIPU_OK);
    quipu_close(store);
}

/* How many events a read gives, and with what it ends. */
static uint64_t count_events(quipu_reader *reader, int *ended)
{
    quipu_event event;
    uint64_t count = 0;
    int rc;

    for (rc = quipu_next(reader, &event, NULL); rc == QUIPU_ROW;
         rc = quipu_next(reader, &event, NULL))
        count++;
    *ended = rc;
    return count;
}

static void expect_events(quipu *store, uint64_t count)
{
    const quipu_query_item item = {.category = "a"};
    const quipu_query query = {&item, 1};
    quipu_reader *reader;
    int rc;

    for (int way = 0; way < 2; way++) {
        EXPECT(QUIPU_OK, quipu_read(store, way == 0 ? NULL : &query, NULL, &reader, &why));
        cr_expect(count_events(reader, &rc) == count && rc == QUIPU_OK, "%d", rc);
        quipu_reader_close(reader);
    }
}

/* ---- open: arguments ------------------------------------------------------------------------- */

Test(api, open_arguments)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = (quipu *)1;
    static const struct {
        quipu_options options;
        int status;
    } cases[] = {
        {{.flags = 32}, QUIPU_MISUSE},
        {{.flags = 0x80000000U}, QUIPU_MISUSE},
        {{.flags = QUIPU_OPEN_NEW | QUIPU_OPEN_EXISTING}, QUIPU_MISUSE},
        {{.flags = QUIPU_OPEN_NEW | QUIPU_OPEN_READ_ONLY}, QUIPU_MISUSE},
        {{.flags = QUIPU_OPEN_MERGE_THREAD | QUIPU_OPEN_READ_ONLY}, QUIPU_MISUSE},
        {{.durability = 2}, QUIPU_MISUSE},
        {{.async_pending_max = 1048577}, QUIPU_TOO_LARGE},
        {{.data_bytes_max = QP_DATA_BYTES_MAX + 1}, QUIPU_TOO_LARGE},
        {{.batch_events_max = QP_BATCH_EVENTS_MAX + 1}, QUIPU_TOO_LARGE},
        {{.batch_bytes_max = QP_BATCH_BYTES_MAX + 1}, QUIPU_TOO_LARGE},
        {{.readers_max = QP_READERS_MAX + 1}, QUIPU_TOO_LARGE},
        {{.struct_size = sizeof(quipu_options) + 8}, QUIPU_MISUSE},
    };

    store_path(path);
    EXPECT(QUIPU_MISUSE, quipu_open(NULL, NULL, &store, &why));
    cr_expect(store == NULL);
    EXPECT(QUIPU_MISUSE, quipu_open(path, NULL, NULL, &why));
    EXPECT(QUIPU_INVALID, quipu_open("", NULL, &store, &why));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        quipu_options options = cases[i].options;

        if (options.struct_size == 0)
            options.struct_size = sizeof(options);
        store = (quipu *)1;
        EXPECT(cases[i].status, quipu_open(path, &options, &store, &why));
        cr_expect(store == NULL, "case %zu", i);
    }
    cr_expect(!sys_exists(path), "something was created");
    quipu_close(NULL);
}

Test(api, open_largest_options)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    quipu_options options = {QUIPU_INIT(quipu_options),
                             .data_bytes_max = QP_DATA_BYTES_MAX,
                             .batch_events_max = QP_BATCH_EVENTS_MAX,
                             .batch_bytes_max = QP_BATCH_BYTES_MAX,
                             .busy_timeout_ms = UINT32_MAX,
                             .readers_max = QP_READERS_MAX,
                             .map_bytes = 1,
                             .tail_bytes_max = 1};

    EXPECT(QUIPU_OK, quipu_open(store_path(path), &options, &store, &why));
    EXPECT(QUIPU_OK, append_one(store, "a"));
    quipu_close(store);
}

/* A caller of another release: a short struct, and none of its size. */
Test(api, open_struct_size)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    quipu_options options;

    memset(&options, 0xff, sizeof(options));
    options.struct_size = 8;
    options.flags = QUIPU_OPEN_NEW;
    EXPECT(QUIPU_OK, quipu_open(store_path(path), &options, &store, &why));
    quipu_close(store);
    quipu_options_init(&options, sizeof(options));
    cr_expect(options.struct_size == sizeof(options) && options.flags == 0 && options.log == NULL);
    options.struct_size = 0;
    options.flags = QUIPU_OPEN_EXISTING;
    EXPECT(QUIPU_OK, quipu_open(path, &options, &store, &why));
    quipu_close(store);
    quipu_options_init(NULL, sizeof(options));
}

Test(api, open_flags)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    EXPECT(QUIPU_NOT_FOUND, try_open(QUIPU_OPEN_EXISTING));
    EXPECT(QUIPU_NOT_FOUND, try_open(QUIPU_OPEN_READ_ONLY));
    EXPECT(QUIPU_NOT_FOUND, try_verify());
    cr_expect(!sys_exists(store_path(path)), "something was created");
    EXPECT(QUIPU_NOT_FOUND, quipu_open(support_path(path, "no/store"), NULL, &store, &why));
    cr_assert(mkdir(store_path(path), 0700) == 0);
    EXPECT(QUIPU_NOT_FOUND, try_open(QUIPU_OPEN_EXISTING));
    cr_expect(rmdir(path) == 0, "something was created");
    cr_assert(mkdir(path, 0700) == 0);
    EXPECT(QUIPU_OK, try_open(QUIPU_OPEN_NEW)); /* an empty directory may be created into */
    EXPECT(QUIPU_TARGET_EXISTS, try_open(QUIPU_OPEN_NEW));
    EXPECT(QUIPU_OK, try_open(QUIPU_OPEN_EXISTING));
    EXPECT(QUIPU_OK, try_open(QUIPU_OPEN_READ_ONLY));
    EXPECT(QUIPU_OK, try_open(0));
}

Test(api, modes)
{
    static const char *const files[] = {"log.mdb", "index.mdb", "guard", "shared", "log.mdb-lock"};
    char path[SUPPORT_PATH_BYTES];
    struct stat info;
    mode_t before = umask(0);
    quipu *store = open_store(0);

    (void)umask(before);
    cr_assert(stat(store_path(path), &info) == 0);
    cr_expect((info.st_mode & 0777) == 0700, "%o", (unsigned)info.st_mode);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        cr_assert(stat(file_path(path, files[i]), &info) == 0, "%s", files[i]);
        cr_expect((info.st_mode & 0777) == 0600, "%s %o", files[i], (unsigned)info.st_mode);
    }
    quipu_close(store);
}

Test(api, open_twice)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *first = open_store(0);
    quipu *second = open_store(QUIPU_OPEN_EXISTING);
    quipu *third = (quipu *)1;
    quipu_options options = {QUIPU_INIT(quipu_options), .busy_timeout_ms = 77};

    cr_expect(first == second);
    store_path(path);
    EXPECT(QUIPU_MISUSE, quipu_open(path, &options, &third, &why));
    cr_expect(third == NULL);
    EXPECT(QUIPU_MISUSE, try_open(QUIPU_OPEN_READ_ONLY));
    EXPECT(QUIPU_TARGET_EXISTS, try_open(QUIPU_OPEN_NEW));
    quipu_close(first);
    EXPECT(QUIPU_OK, append_one(second, "a-1")); /* still open */
    quipu_close(second);
    EXPECT(QUIPU_OK, quipu_open(path, &options, &third, &why)); /* really closed */
    expect_events(third, 1);
    quipu_close(third);
}

Test(api, children_outlive_their_store)
{
    quipu *store = open_store(0);
    quipu_reader *reader;
    quipu_list *list;
    quipu_event event;
    quipu_item item;

    EXPECT(QUIPU_OK, append_one(store, "a-1"));
    EXPECT(QUIPU_OK, append_one(store, "a-1"));
    EXPECT(QUIPU_OK, quipu_read(store, NULL, NULL, &reader, &why));
    EXPECT(QUIPU_ROW, quipu_next(reader, &event, &why));
    EXPECT(QUIPU_OK, quipu_list_open(store, QUIPU_LIST_STREAMS, NULL, &list, &why));
    quipu_close(store);
    EXPECT(QUIPU_CLOSED, quipu_next(reader, &event, &why));
    EXPECT(QUIPU_CLOSED, quipu_list_next(list, &item, &why));
    cr_expect(quipu_reader_head(reader) == 0);
    store = open_store(0); /* while the old one's children are there */
    EXPECT(QUIPU_CLOSED, quipu_next(reader, &event, &why));
    expect_events(store, 2);
    quipu_close(store);
    quipu_reader_close(reader);
    quipu_list_close(list);
    EXPECT(QUIPU_OK, try_open(QUIPU_OPEN_READ_ONLY)); /* other options: the files are closed */
}

/* ---- open: places that are not safe ---------------------------------------------------------- */

Test(api, unsafe_places)
{
    char path[SUPPORT_PATH_BYTES];
    char other[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    make_store(3, 3);
    cr_assert(symlink(store_path(path), support_path(other, "link")) == 0);
    EXPECT(QUIPU_UNSAFE, quipu_open(other, NULL, &store, &why));
    EXPECT(QUIPU_UNSAFE, quipu_open(support_path(other, "link/"), NULL, &store, &why));
    EXPECT(QUIPU_UNSAFE, quipu_open(file_path(other, "log.mdb"), NULL, &store, &why));

    cr_assert(chmod(path, 0770) == 0);
    EXPECT(QUIPU_UNSAFE, try_open(0));
    EXPECT(QUIPU_UNSAFE, try_verify());
    EXPECT(QUIPU_OK, try_open(QUIPU_OPEN_UNSAFE_PATH));
    cr_assert(chmod(path, 0702) == 0);
    EXPECT(QUIPU_UNSAFE, try_open(QUIPU_OPEN_READ_ONLY));
    cr_assert(chmod(path, 0755) == 0);
    EXPECT(QUIPU_OK, try_open(0));

    cr_assert(link(file_path(path, "log.mdb"), support_path(other, "second-name")) == 0);
    EXPECT(QUIPU_UNSAFE, try_open(0));
    cr_assert(unlink(other) == 0);
    cr_assert(rename(path, other) == 0 && symlink(other, path) == 0);
    EXPECT(QUIPU_UNSAFE, try_open(0));
    cr_assert(unlink(path) == 0 && mkdir(path, 0700) == 0);
    EXPECT(QUIPU_UNSAFE, try_open(0));
    cr_assert(rmdir(path) == 0 && rename(other, path) == 0);
    EXPECT(QUIPU_OK, try_open(0));
}

Test(api, foreign_directory)
{
    char path[SUPPORT_PATH_BYTES];

    cr_assert(mkdir(store_path(path), 0700) == 0);
    sys_file_write(file_path(path, "letter.txt"), "dear", 4);
    EXPECT(QUIPU_UNSAFE, try_open(0));
    EXPECT(QUIPU_UNSAFE, try_open(QUIPU_OPEN_NEW));
    EXPECT(QUIPU_UNSAFE, try_open(QUIPU_OPEN_READ_ONLY));
    cr_expect(sys_file_size(path) == 4 && !sys_exists(file_path(path, "log.mdb")));
}

/* ---- open: files that are not what they should be -------------------------------------------- */

static void make_foreign_lmdb(const char *path)
{
    struct qp_store_config config = {.path = path,
                                     .tables = qp_index_tables,
                                     .table_count = qp_index_table_count,
                                     .map_bytes = QP_MAP_BYTES_MIN,
                                     .readers_max = 10,
                                     .create = true};
    struct qp_store *store;

    cr_assert(qp_store_open(&config, &store, NULL) == QUIPU_OK);
    qp_store_close(store);
}

static void make_wrong_kind(const char *path)
{
    static const struct qp_table_spec tables[] = {{.table = QP_TABLE_LOG}};
    struct qp_store_config config = {.path = path,
                                     .tables = tables,
                                     .table_count = 1,
                                     .map_bytes = QP_MAP_BYTES_MIN,
                                     .readers_max = 10,
                                     .create = true};
    struct qp_store *store;

    cr_assert(qp_store_open(&config, &store, NULL) == QUIPU_OK);
    qp_store_close(store);
}

static void make_empty(const char *path)
{
    sys_file_write(path, "", 0);
}

static void make_random(const char *path)
{
    struct sys_random random = {.state = 7};
    uint64_t words[4096];

    for (size_t i = 0; i < 4096; i++)
        words[i] = sys_next(&random);
    sys_file_write(path, words, sizeof(words));
}

static void make_text(const char *path)
{
    sys_file_write(path, "hello", 5);
}

/* Up to the end of the last page: the zeros behind it are nobody's. */
static uint64_t used_bytes(const char *path)
{
    uint64_t used = 0;

    for (uint64_t at = 0; at <= 4096; at += 4096) {
        uint8_t page[QP_PAGE_META_BYTES];
        struct qp_page_meta meta;

        sys_file_read(path, at, page, sizeof(page));
        if (qp_page_meta_read(page, &meta) && (meta.last_page + 1) * meta.page_bytes > used)
            used = (meta.last_page + 1) * meta.page_bytes;
    }
    return used;
}

static void cut_half(const char *path)
{
    cr_assert(truncate(path, (off_t)(used_bytes(path) / 2)) == 0);
}

static void cut_one_byte(const char *path)
{
    cr_assert(truncate(path, (off_t)(used_bytes(path) - 1)) == 0);
}

static void cut_to_meta(const char *path)
{
    cr_assert(truncate(path, 4096) == 0);
}

static void zero_metas(const char *path)
{
    static const char zeroes[8192];

    sys_file_patch(path, 0, zeroes, sizeof(zeroes));
}

Test(api, files_that_are_no_store)
{
    static const struct {
        void (*make)(const char *path);
        int status;
    } cases[] = {
        {make_foreign_lmdb, QUIPU_INVALID}, {make_wrong_kind, QUIPU_INVALID},
        {make_empty, QUIPU_CORRUPT},        {make_random, QUIPU_INVALID},
        {make_text, QUIPU_INVALID},         {cut_half, QUIPU_CORRUPT},
        {cut_one_byte, QUIPU_CORRUPT},      {cut_to_meta, QUIPU_CORRUPT},
        {zero_metas, QUIPU_INVALID},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char directory[SUPPORT_PATH_BYTES];
        char path[SUPPORT_PATH_BYTES];
        char lock[SUPPORT_PATH_BYTES];
        bool cut = cases[i].make == cut_half || cases[i].make == cut_one_byte ||
                   cases[i].make == cut_to_meta || cases[i].make == zero_metas;
        uint64_t sum;

        store_path(directory);
        file_path(path, "log.mdb");
        if (cut)
            make_store(100, 50);
        else
            cr_assert(mkdir(directory, 0700) == 0);
        cases[i].make(path);
        (void)remove(file_path(lock, "log.mdb-lock"));
        sum = sys_file_sum(path);
        EXPECT(cases[i].status, try_open(0));
        EXPECT(cases[i].status, try_open(QUIPU_OPEN_READ_ONLY));
        EXPECT(cases[i].status, try_verify());
        EXPECT(QUIPU_TARGET_EXISTS, try_open(QUIPU_OPEN_NEW));
        cr_expect(sys_file_sum(path) == sum, "case %zu: the file was changed", i);
        support_remove(directory);
    }
}

/* ---- the index is derived -------------------------------------------------------------------- */

static void remove_index(void)
{
    char path[SUPPORT_PATH_BYTES];

    cr_assert(unlink(file_path(path, "index.mdb")) == 0);
}

static void remove_all_but_log(void)
{
    static const char *const files[] = {"index.mdb", "index.mdb-lock", "log.mdb-lock", "guard",
                                        "shared"};
    char path[SUPPORT_PATH_BYTES];

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        (void)unlink(file_path(path, files[i]));
}

static void index_random(void)
{
    char path[SUPPORT_PATH_BYTES];

    make_random(file_path(path, "index.mdb"));
}

static void index_empty(void)
{
    char path[SUPPORT_PATH_BYTES];

    make_empty(file_path(path, "index.mdb"));
}

static void index_cut(void)
{
    char path[SUPPORT_PATH_BYTES];

    cut_half(file_path(path, "index.mdb"));
}

static void index_of_other_kind(void)
{
    char path[SUPPORT_PATH_BYTES];

    (void)unlink(file_path(path, "index.mdb-lock"));
    cr_assert(unlink(file_path(path, "index.mdb")) == 0);
    make_wrong_kind(path);
}

/* Of a store with as many events, that happened in another order. */
static void index_of_another_store(void)
{
    char path[SUPPORT_PATH_BYTES];
    char aside[SUPPORT_PATH_BYTES];
    char index[SUPPORT_PATH_BYTES];
    char copy[SUPPORT_PATH_BYTES];

    store_path(path);
    support_path(aside, "aside");
    support_path(copy, "copy");
    cr_assert(rename(path, aside) == 0);
    make_store(60, 60);
    sys_file_copy(file_path(index, "index.mdb"), copy);
    support_remove(path);
    cr_assert(rename(aside, path) == 0);
    sys_file_copy(copy, index);
}

/* Of this very store, later: its log was put back to what it was before. */
static void index_ahead_of_log(void)
{
    char path[SUPPORT_PATH_BYTES];
    char copy[SUPPORT_PATH_BYTES];
    quipu *store;

    sys_file_copy(file_path(path, "log.mdb"), support_path(copy, "copy"));
    store = open_store(0);
    for (int i = 0; i < 10; i++)
        EXPECT(QUIPU_OK, append_one(store, "a-later"));
    cr_assert(qp_merge(store->handle, NULL) == QUIPU_OK);
    quipu_close(store);
    sys_file_copy(copy, path);
}

struct told {
    unsigned count;
    int level;
    char text[240];
};

static void note(void *payload, int level, const char *text)
{
    struct told *told = payload;

    told->count++;
    told->level = level;
    (void)snprintf(told->text, sizeof(told->text), "%s", text);
}

Test(api, index_is_made_again)
{
    static const struct {
        void (*damage)(void);
        bool told;
    } cases[] = {
        {remove_index, false},
        {remove_all_but_log, false},
        {index_random, true},
        {index_empty, true},
        {index_cut, true},
        {index_of_other_kind, true},
        {index_of_another_store, true},
        {index_ahead_of_log, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[SUPPORT_PATH_BYTES];
        struct told told = {0};
        quipu_options options = {QUIPU_INIT(quipu_options), .log = note, .log_payload = &told};
        quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
        quipu *store = NULL;

        make_store(60, 45);
        cases[i].damage();
        store = open_store(QUIPU_OPEN_READ_ONLY);
        expect_events(store, 60);
        EXPECT(QUIPU_OK, quipu_stat_get(store, &stat, &why));
        cr_expect(stat.streams == 10 && stat.indexed == 0, "case %zu", i);
        quipu_close(store);
        EXPECT(QUIPU_OK, quipu_open(store_path(path), &options, &store, &why));
        expect_events(store, 60);
        EXPECT(QUIPU_OK, append_one(store, "a-1"));
        expect_events(store, 61);
        cr_assert(qp_merge(store->handle, NULL) == QUIPU_OK);
        quipu_close(store);
        cr_expect((told.count > 0) == cases[i].told, "case %zu: told %u times", i, told.count);
        cr_expect(told.count == 0 || (told.level == 1 && told.text[0] != '\0'));
        EXPECT(QUIPU_OK, try_verify());
        support_remove(path);
    }
}

/* ---- newer formats --------------------------------------------------------------------------- */

static void put_log_row(enum qp_table table, struct qp_bytes key, uint8_t *row, size_t size)
{
    char path[SUPPORT_PATH_BYTES];
    struct qp_store_config config = {.path = file_path(path, "log.mdb"),
                                     .tables = qp_log_tables,
                                     .table_count = qp_log_table_count,
                                     .map_bytes = QP_MAP_BYTES_MIN,
                                     .readers_max = QP_READERS_DEFAULT};
    struct qp_store *store;
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;

    cr_assert(qp_store_open(&config, &store, NULL) == QUIPU_OK);
    cr_assert(qp_txn_begin_write(store, &txn, NULL) == QUIPU_OK);
    cr_assert(qp_put_row(&txn, table, key, row, size, NULL) == QUIPU_OK);
    cr_assert(qp_txn_commit(&txn, &outcome, NULL) == QUIPU_OK);
    qp_store_close(store);
}

Test(api, newer_format)
{
    static const struct {
        struct qp_format format;
        int writing;
        int reading;
    } cases[] = {
        {{.number = QP_FORMAT_LOG + 1}, QUIPU_NEWER_FORMAT, QUIPU_NEWER_FORMAT},
        {{.number = QP_FORMAT_LOG, .read_bits = 4}, QUIPU_NEWER_FORMAT, QUIPU_NEWER_FORMAT},
        {{.number = QP_FORMAT_LOG, .write_bits = UINT64_C(1) << 63}, QUIPU_NEWER_FORMAT, QUIPU_OK},
        {{.number = QP_FORMAT_LOG}, QUIPU_OK, QUIPU_OK},
    };

    make_store(10, 5);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t row[QP_META_ROW_BYTES_MAX];
        size_t size = qp_format_write(&cases[i].format, row);

        put_log_row(QP_TABLE_META, QP_META_FORMAT, row, size);
        EXPECT(cases[i].writing, try_open(0));
        EXPECT(cases[i].reading, try_open(QUIPU_OPEN_READ_ONLY));
        EXPECT(cases[i].reading, try_verify());
    }
}

/* ---- replaced while it is open --------------------------------------------------------------- */

Test(api, replaced_files)
{
    static const char *const files[] = {"log.mdb", "guard", "shared"};

    for (size_t i = 0; i < 2 * sizeof(files) / sizeof(files[0]); i++) {
        char path[SUPPORT_PATH_BYTES];
        char aside[SUPPORT_PATH_BYTES];
        quipu *store = open_store(0);
        quipu_receipt receipt = {.verdict = 5};

        EXPECT(QUIPU_OK, append_one(store, "a-1"));
        file_path(path, files[i / 2]);
        cr_assert(rename(path, support_path(aside, "aside")) == 0);
        if (i % 2 == 1)
            sys_file_copy(aside, path);
        EXPECT(QUIPU_UNSAFE, quipu_append(store, "a-1", QUIPU_ANY, &plain, 1, &receipt, &why));
        cr_expect(receipt.verdict == 0 && receipt.last_position == 0);
        expect_events(store, 1);
        quipu_close(store);
        support_remove(store_path(path));
        support_remove(aside);
    }
}

/* ---- arguments of the other calls ------------------------------------------------------------ */

Test(api, arguments_of_reads)
{
    quipu *store = open_store(0);
    quipu_reader *reader = (quipu_reader *)1;
    quipu_event event;
    const char *const no_types[] = {NULL};
    const quipu_query_item with_tags = {.tag_count = 1};
    const quipu_query_item reserved = {.reserved = {0, 1}};
    const quipu_query_item reserved_too = {.reserved = {1, 0}};
    const quipu_query_item endless = {.type_count = QP_QUERY_BYTES_MAX + 1, .types = no_types};
    const quipu_query_item null_types = {.type_count = 1};
    const quipu_query_item null_type = {.type_count = 1, .types = no_types};
    const quipu_query_item bad_stream = {.stream = "a\nb"};
    const quipu_query_item *const items[] = {&with_tags, &reserved, &reserved_too, &null_types,
                                             &null_type};
    const quipu_query bad_name = {&bad_stream, 1};
    const quipu_query no_items = {NULL, 1};
    const quipu_query too_many = {&endless, 1}; /* more than there can be: they are not looked at */
    const quipu_range flags = {QUIPU_INIT(quipu_range), .flags = 16};
    const quipu_range newer = {.struct_size = sizeof(newer) + 1};

    EXPECT(QUIPU_MISUSE, quipu_read(NULL, NULL, NULL, &reader, &why));
    EXPECT(QUIPU_MISUSE, quipu_read(store, NULL, NULL, NULL, &why));
    EXPECT(QUIPU_MISUSE, quipu_read(store, NULL, &flags, &reader, &why));
    cr_expect(reader == NULL);
    EXPECT(QUIPU_MISUSE, quipu_read(store, NULL, &newer, &reader, &why));
    EXPECT(QUIPU_MISUSE, quipu_read(store, &no_items, NULL, &reader, &why));
    EXPECT(QUIPU_INVALID, quipu_read(store, &bad_name, NULL, &reader, &why));
    EXPECT(QUIPU_TOO_LARGE, quipu_read(store, &too_many, NULL, &reader, &why));
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
        const quipu_query query = {items[i], 1};

        EXPECT(QUIPU_MISUSE, quipu_read(store, &query, NULL, &reader, &why));
    }
    EXPECT(QUIPU_MISUSE, quipu_read_stream(NULL, "a", NULL, &reader, &why));
    EXPECT(QUIPU_MISUSE, quipu_read_stream(store, NULL, NULL, &reader, &why));
    EXPECT(QUIPU_MISUSE, quipu_read_stream(store, "a", NULL, NULL, &why));
    EXPECT(QUIPU_INVALID, quipu_read_stream(store, "", NULL, &reader, &why));
    EXPECT(QUIPU_NOT_FOUND, quipu_read_stream(store, "a", NULL, &reader, &why));
    cr_expect(reader == NULL);
    EXPECT(QUIPU_MISUSE, quipu_next(NULL, &event, &why));
    EXPECT(QUIPU_OK, quipu_read(store, NULL, NULL, &reader, &why));
    EXPECT(QUIPU_MISUSE, quipu_next(reader, NULL, &why));
    EXPECT(QUIPU_OK, quipu_next(reader, &event, &why));
    EXPECT(QUIPU_OK, quipu_next(reader, &event, &why));
    quipu_reader_close(reader);
    quipu_reader_close(NULL);
    cr_expect(quipu_reader_head(NULL) == 0);
    quipu_close(store);
}

Test(api, limits_of_queries)
{
    quipu *store = open_store(0);
    quipu_reader *reader = NULL;
    quipu_query_item items[QP_QUERY_ITEMS_MAX + 1] = {{.stream = "a"}};
    quipu_query query = {items, QP_QUERY_ITEMS_MAX};
    static const char *types[QP_QUERY_BYTES_MAX / 64 + 1];
    char *name = support_repeat('n', 64);

    for (size_t i = 1; i <= QP_QUERY_ITEMS_MAX; i++)
        items[i].stream = "a";
    EXPECT(QUIPU_OK, quipu_read(store, &query, NULL, &reader, &why));
    quipu_reader_close(reader);
    query.item_count++;
    EXPECT(QUIPU_TOO_LARGE, quipu_read(store, &query, NULL, &reader, &why));
    for (size_t i = 0; i < QP_QUERY_BYTES_MAX / 64 + 1; i++)
        types[i] = name;
    query.item_count = 1;
    items[0] = (quipu_query_item){.types = types, .type_count = QP_QUERY_BYTES_MAX / 64};
    EXPECT(QUIPU_OK, quipu_read(store, &query, NULL, &reader, &why));
    quipu_reader_close(reader);
    items[0].type_count++;
    EXPECT(QUIPU_TOO_LARGE, quipu_read(store, &query, NULL, &reader, &why));
    free(name);
    quipu_close(store);
}

/* As many tags as an event may have, and one more. */
Test(api, limits_of_tags_in_a_query)
{
    quipu *store = open_store(0);
    quipu_reader *reader = NULL;
    quipu_event event;
    char names[QP_TAGS_MAX + 1][16];
    const char *tags[QP_TAGS_MAX + 1];
    quipu_query_item item = {.tags = tags, .tag_count = QP_TAGS_MAX};
    const quipu_query query = {&item, 1};
    quipu_draft draft = {.type = "t", .tags = tags, .tag_count = QP_TAGS_MAX};

    for (unsigned i = 0; i <= QP_TAGS_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "k:%u", i);
        tags[i] = names[i];
    }
    EXPECT(QUIPU_OK, quipu_append(store, "s", QUIPU_ANY, &draft, 1, NULL, &why));
    draft.tag_count--; /* it lacks the last one */
    EXPECT(QUIPU_OK, quipu_append(store, "s", QUIPU_ANY, &draft, 1, NULL, &why));
    EXPECT(QUIPU_OK, quipu_read(store, &query, NULL, &reader, &why));
    EXPECT(QUIPU_ROW, quipu_next(reader, &event, &why));
    cr_expect_eq(event.position, 1);
    cr_expect_eq(event.tag_count, QP_TAGS_MAX);
    EXPECT(QUIPU_OK, quipu_next(reader, &event, &why));
    quipu_reader_close(reader);
    item.tag_count++;
    EXPECT(QUIPU_TOO_LARGE, quipu_read(store, &query, NULL, &reader, &why));
    cr_expect_null(reader);
    quipu_close(store);
}

static int count_up(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)event;
    (void)payload;
    (void)error;
    ++*(int *)state;
    return 0;
}

static int save_nothing(const void *state, quipu_buffer *out, void *payload)
{
    (void)state;
    (void)out;
    (void)payload;
    return 0;
}

static int load_nothing(void *state, const void *bytes, size_t size, void *payload)
{
    (void)state;
    (void)bytes;
    (void)size;
    (void)payload;
    return 0;
}

static void release_nothing(void *state, void *payload)
{
    (void)state;
    (void)payload;
}

Test(api, arguments_of_load)
{
    quipu *store = open_store(0);
    const quipu_fold good = {QUIPU_INIT(quipu_fold), .name = "f", .state_size = sizeof(int),
                             .apply = count_up};
    quipu_fold fold = good;
    quipu_point point = {.kind = 5};
    uint64_t version = 9;
    int state = 7;

    EXPECT(QUIPU_MISUSE, quipu_load(NULL, &good, "a", NULL, &state, &version, &why));
    EXPECT(QUIPU_MISUSE, quipu_load(store, NULL, "a", NULL, &state, &version, &why));
    EXPECT(QUIPU_MISUSE, quipu_load(store, &good, NULL, NULL, &state, &version, &why));
    EXPECT(QUIPU_INVALID, quipu_load(store, &good, "", NULL, &state, &version, &why));
    EXPECT(QUIPU_MISUSE, quipu_load(store, &good, "a", NULL, NULL, &version, &why));
    EXPECT(QUIPU_MISUSE, quipu_load(store, &good, "a", &point, &state, &version, &why));
    point = (quipu_point){.kind = QUIPU_AT_VERSION, .reserved = 1};
    EXPECT(QUIPU_MISUSE, quipu_load(store, &good, "a", &point, &state, &version, &why));
    point = (quipu_point){.kind = QUIPU_AT_VERSION, .value = -1};
    EXPECT(QUIPU_MISUSE, quipu_load(store, &good, "a", &point, &state, &version, &why));
    fold.apply = NULL;
    EXPECT(QUIPU_MISUSE, quipu_load(store, &fold, "a", NULL, &state, &version, &why));
    fold = good;
    fold.name = NULL;
    EXPECT(QUIPU_MISUSE, quipu_load(store, &fold, "a", NULL, &state, &version, &why));
    fold = good;
    fold.save = save_nothing;
    EXPECT(QUIPU_MISUSE, quipu_load(store, &fold, "a", NULL, &state, &version, &why));
    fold = good;
    fold.load = load_nothing;
    EXPECT(QUIPU_MISUSE, quipu_load(store, &fold, "a", NULL, &state, &version, &why));
    fold = good;
    fold.snapshot_every = 1;
    fold.release = release_nothing; /* what its bytes point to is not saved */
    EXPECT(QUIPU_MISUSE, quipu_load(store, &fold, "a", NULL, &state, &version, &why));
    fold.snapshot_every = 0;
    EXPECT(QUIPU_MISUSE, quipu_snapshot_save(store, &fold, "a", &version, &why));
    EXPECT(QUIPU_MISUSE, quipu_snapshot_check(store, &fold, "a", &why));
    fold = good;
    fold.struct_size++;
    EXPECT(QUIPU_MISUSE, quipu_load(store, &fold, "a", NULL, &state, &version, &why));
    cr_expect(state == 7, "a refused load has touched the state");
    EXPECT(QUIPU_OK, quipu_load(store, &good, "a", NULL, &state, &version, &why));
    cr_expect(state == 0 && version == 0); /* no such stream: the initial state */
    EXPECT(QUIPU_OK, quipu_load(store, &good, "a", NULL, &state, NULL, NULL));
    quipu_close(store);
}

struct calls {
    int inits;
    int releases;
    int init_returns;
    int apply_returns;
    bool says_why;
};

static int init(void *state, void *payload)
{
    struct calls *calls = payload;

    calls->inits++;
    *(int *)state = 100;
    return calls->init_returns;
}

static int apply(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    struct calls *calls = payload;

    ++*(int *)state;
    if (calls->says_why)
        (void)snprintf(error->text, sizeof(error->text), "own words");
    return event->version == 2 ? calls->apply_returns : 0;
}

static void release(void *state, void *payload)
{
    (void)state;
    ((struct calls *)payload)->releases++;
}

Test(api, callbacks_of_load)
{
    static const struct {
        int init_returns;
        int apply_returns;
        int status;
    } cases[] = {
        {0, 0, QUIPU_OK}, {-1000, 0, -1000},    {0, -2000, -2000},
        {0, -1, -1},      {0, 1, QUIPU_MISUSE}, {1, 0, QUIPU_MISUSE},
    };
    quipu *store;

    make_store(30, 15);
    store = open_store(0);
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct calls calls = {.init_returns = cases[i / 2].init_returns,
                              .apply_returns = cases[i / 2].apply_returns,
                              .says_why = i % 2 == 1};
        quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "f",    .state_size = sizeof(int),
                           .init = init,           .apply = apply, .release = release,
                           .payload = &calls};
        int state = 0;
        uint64_t version = 0;
        int rc = quipu_load(store, &fold, "a-3", NULL, &state, &version, &why);

        if (i % 2 == 1 && cases[i / 2].apply_returns < 0)
            cr_expect(strcmp(why.text, "own words") == 0, "\"%s\"", why.text);
        EXPECT(cases[i / 2].status, rc);
        cr_expect(calls.inits == 1);
        if (rc == QUIPU_OK)
            cr_expect(state == 103 && version == 3 && calls.releases == 0, "%d", state);
        else if (cases[i / 2].init_returns == 0)
            cr_expect(calls.releases == 1, "case %zu: released %d times", i, calls.releases);
    }
    quipu_close(store);
}

Test(api, arguments_of_the_rest)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = open_store(0);
    quipu_list *list = (quipu_list *)1;
    quipu_item item;
    quipu_stat stat = {.struct_size = 0};
    uint64_t head;

    EXPECT(QUIPU_MISUSE, quipu_head(NULL, &head, &why));
    EXPECT(QUIPU_MISUSE, quipu_head(store, NULL, &why));
    EXPECT(QUIPU_OK, quipu_head(store, &head, &why));
    cr_expect(head == 0);
    EXPECT(QUIPU_MISUSE, quipu_list_open(NULL, 1, NULL, &list, &why));
    EXPECT(QUIPU_MISUSE, quipu_list_open(store, 1, NULL, NULL, &why));
    EXPECT(QUIPU_MISUSE, quipu_list_open(store, 0, NULL, &list, &why));
    cr_expect(list == NULL);
    EXPECT(QUIPU_MISUSE, quipu_list_open(store, 4, NULL, &list, &why));
    EXPECT(QUIPU_INVALID, quipu_list_open(store, 1, "\x01", &list, &why));
    EXPECT(QUIPU_OK, quipu_list_open(store, 1, "", &list, &why));
    EXPECT(QUIPU_MISUSE, quipu_list_next(list, NULL, &why));
    EXPECT(QUIPU_MISUSE, quipu_list_next(NULL, &item, &why));
    EXPECT(QUIPU_OK, quipu_list_next(list, &item, &why));
    quipu_list_close(list);
    quipu_list_close(NULL);
    EXPECT(QUIPU_MISUSE, quipu_stat_get(NULL, &stat, &why));
    EXPECT(QUIPU_MISUSE, quipu_stat_get(store, NULL, &why));
    EXPECT(QUIPU_OK, quipu_stat_get(store, &stat, &why));
    cr_expect(stat.format == QP_FORMAT_LOG && stat.head == 0 && stat.chain == 0);
    EXPECT(QUIPU_MISUSE, quipu_verify(NULL, 0, NULL, NULL, NULL, NULL, &why));
    EXPECT(QUIPU_MISUSE, quipu_verify(store_path(path), 1, NULL, NULL, NULL, NULL, &why));
    EXPECT(QUIPU_OK, quipu_verify(path, 0, NULL, NULL, NULL, NULL, NULL));
    EXPECT(QUIPU_MISUSE, quipu_set_allocator(NULL, NULL));
    quipu_close(store);
}

Test(api, arguments_of_snapshots)
{
    quipu *store = open_store(0);
    const quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "f", .state_size = sizeof(int),
                             .apply = count_up};
    char *long_name = support_repeat('n', 128);
    size_t size = 1;
    uint64_t number = 9;

    EXPECT(QUIPU_MISUSE, quipu_snapshot_save(NULL, &fold, "a", &number, &why));
    EXPECT(QUIPU_MISUSE, quipu_snapshot_save(store, NULL, "a", &number, &why));
    EXPECT(QUIPU_INVALID, quipu_snapshot_save(store, &fold, "", &number, &why));
    cr_expect(number == 0);
    EXPECT(QUIPU_MISUSE, quipu_snapshot_check(NULL, &fold, "a", &why));
    EXPECT(QUIPU_MISUSE, quipu_snapshot_check(store, NULL, "a", &why));
    EXPECT(QUIPU_MISUSE, quipu_snapshot_get(NULL, "a", "f", 0, NULL, &size, &why));
    EXPECT(QUIPU_MISUSE, quipu_snapshot_get(store, NULL, "f", 0, NULL, &size, &why));
    EXPECT(QUIPU_MISUSE, quipu_snapshot_get(store, "a", NULL, 0, NULL, &size, &why));
    EXPECT(QUIPU_MISUSE, quipu_snapshot_get(store, "a", "f", 0, NULL, &size, &why));
    EXPECT(QUIPU_MISUSE, quipu_snapshot_get(store, "a", "f", 0, NULL, NULL, &why));
    EXPECT(QUIPU_TOO_LARGE, quipu_snapshot_get(store, "a", long_name, 0, &number, &size, &why));
    EXPECT(QUIPU_NOT_FOUND, quipu_snapshot_get(store, "a", "f", 0, &number, &size, &why));
    EXPECT(QUIPU_MISUSE, quipu_snapshot_drop(NULL, NULL, NULL, NULL, &why));
    EXPECT(QUIPU_INVALID, quipu_snapshot_drop(store, "a\tb", NULL, NULL, &why));
    EXPECT(QUIPU_TOO_LARGE, quipu_snapshot_drop(store, NULL, long_name, &number, &why));
    cr_expect(number == 0);
    EXPECT(QUIPU_OK, quipu_snapshot_drop(store, NULL, NULL, NULL, &why));
    free(long_name);
    quipu_close(store);
}

/* A struct of a shorter release is filled as far as it goes. */
Test(api, short_structs)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store;
    quipu_stat stat;
    quipu_verified verified;
    const unsigned char *bytes = (const unsigned char *)&stat;

    make_store(3, 0);
    store = open_store(0);
    memset(&stat, 0xee, sizeof(stat));
    stat.struct_size = 24;
    EXPECT(QUIPU_OK, quipu_stat_get(store, &stat, &why));
    cr_expect(stat.struct_size == 24 && stat.events == 3 && stat.streams == 3);
    for (size_t i = 24; i < sizeof(stat); i++)
        cr_expect(bytes[i] == 0xee, "byte %zu", i);
    memset(&verified, 0xee, sizeof(verified));
    verified.struct_size = 16;
    EXPECT(QUIPU_OK, quipu_verify(store_path(path), 0, NULL, NULL, NULL, &verified, &why));
    cr_expect(verified.checked == 3 && verified.findings == UINT64_C(0xeeeeeeeeeeeeeeee));
    quipu_close(store);
}

/* ---- drafts and batches ---------------------------------------------------------------------- */

Test(api, drafts)
{
    static const uint8_t deep[] = {0x91, 0x91};
    static const char *const good_tags[] = {"k:v", "k:w", "a:b:c"};
    static const char *const same_tags[] = {"k:v", "k:v"};
    static const char *const bad_tags[][1] = {{"k"}, {":v"}, {"k:"}, {""}, {"k:\x7f"}};
    char *long_name = support_repeat('t', 256);
    const struct {
        quipu_draft draft;
        int status;
    } cases[] = {
        {{.type = "t"}, QUIPU_OK},
        {{.type = long_name + 1}, QUIPU_OK},
        {{.type = long_name}, QUIPU_TOO_LARGE},
        {{.type = NULL}, QUIPU_MISUSE},
        {{.type = ""}, QUIPU_INVALID},
        {{.type = "$t"}, QUIPU_INVALID},
        {{.type = "\xff"}, QUIPU_INVALID},
        {{.type = "\xed\xa0\x80"}, QUIPU_INVALID}, /* a surrogate */
        {{.type = "a\tb"}, QUIPU_INVALID},
        {{.type = "t", .flags = 4}, QUIPU_MISUSE},
        {{.type = "t", .flags = 16}, QUIPU_MISUSE},
        {{.type = "t", .reserved8 = {0, 0, 0, 1}}, QUIPU_MISUSE},
        {{.type = "t", .reserved = {1}}, QUIPU_MISUSE},
        {{.type = "t", .data_size = 1}, QUIPU_MISUSE},
        {{.type = "t", .meta_size = 1}, QUIPU_MISUSE},
        {{.type = "t", .data = "x", .data_size = 1, .data_format = 3}, QUIPU_MISUSE},
        {{.type = "t", .data = "\xff", .data_size = 1, .data_format = QUIPU_JSON}, QUIPU_INVALID},
        {{.type = "t", .meta = "\xff", .meta_size = 1, .meta_format = QUIPU_JSON}, QUIPU_INVALID},
        {{.type = "t", .data = deep, .data_size = 2, .data_format = QUIPU_MSGPACK}, QUIPU_INVALID},
        {{.type = "t", .data = "\xc1", .data_size = 1, .data_format = QUIPU_MSGPACK},
         QUIPU_INVALID},
        {{.type = "t", .data = "\x01\x01", .data_size = 2, .data_format = QUIPU_MSGPACK},
         QUIPU_INVALID},
        {{.type = "t", .data = "\x01", .data_size = 1, .data_format = QUIPU_MSGPACK}, QUIPU_OK},
        {{.type = "t", .tags = good_tags, .tag_count = 3}, QUIPU_OK},
        {{.type = "t", .tags = same_tags, .tag_count = 2}, QUIPU_INVALID},
        {{.type = "t", .tag_count = 1}, QUIPU_MISUSE},
        {{.type = "t", .tags = good_tags, .tag_count = 65}, QUIPU_TOO_LARGE},
        {{.type = "t", .tags = bad_tags[0], .tag_count = 1}, QUIPU_INVALID},
        {{.type = "t", .tags = bad_tags[1], .tag_count = 1}, QUIPU_INVALID},
        {{.type = "t", .tags = bad_tags[2], .tag_count = 1}, QUIPU_INVALID},
        {{.type = "t", .tags = bad_tags[3], .tag_count = 1}, QUIPU_INVALID},
        {{.type = "t", .tags = bad_tags[4], .tag_count = 1}, QUIPU_INVALID},
    };
    quipu *store = open_store(0);
    uint64_t head;
    uint64_t good = 0;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        quipu_receipt receipt = {.verdict = 9};
        int rc = quipu_append(store, "s", QUIPU_ANY, &cases[i].draft, 1, &receipt, &why);

        expect_status("draft", rc, cases[i].status, (int)i);
        good += rc == QUIPU_OK;
        cr_expect(receipt.verdict == (rc == QUIPU_OK));
    }
    EXPECT(QUIPU_OK, quipu_head(store, &head, &why));
    cr_expect(head == good);
    free(long_name);
    quipu_close(store);
}

Test(api, streams_and_versions)
{
    char *long_name = support_repeat('s', 256);
    const struct {
        const char *stream;
        uint64_t expected;
        const quipu_draft *drafts;
        size_t count;
        int status;
    } cases[] = {
        {"s", QUIPU_ANY, NULL, 0, QUIPU_OK},
        {long_name + 1, QUIPU_ANY, &plain, 1, QUIPU_OK},
        {long_name, QUIPU_ANY, &plain, 1, QUIPU_TOO_LARGE},
        {NULL, QUIPU_ANY, &plain, 1, QUIPU_MISUSE},
        {"", QUIPU_ANY, &plain, 1, QUIPU_INVALID},
        {"$s", QUIPU_ANY, &plain, 1, QUIPU_INVALID},
        {"\xc2\x85", QUIPU_ANY, &plain, 1, QUIPU_INVALID}, /* U+0085, a control character */
        {"s", QUIPU_ANY, NULL, 1, QUIPU_MISUSE},
        {"s", QUIPU_ANY - 2, &plain, 1, QUIPU_MISUSE},
        {"s", QP_POSITION_MAX + 1, &plain, 1, QUIPU_MISUSE},
        {"s", QP_POSITION_MAX, &plain, 1, QUIPU_CONFLICT},
        {"s", QUIPU_EXISTS, &plain, 1, QUIPU_CONFLICT},
        {"s", QUIPU_EXISTS, NULL, 0, QUIPU_CONFLICT},
        {"s", QUIPU_NEW, NULL, 0, QUIPU_OK},
        {"s", QUIPU_NEW, &plain, 1, QUIPU_OK},
        {"s", QUIPU_NEW, &plain, 1, QUIPU_CONFLICT},
        {"s", 1, &plain, 1, QUIPU_OK},
        {"s", QUIPU_EXISTS, &plain, 1, QUIPU_OK},
        {"s", 4, NULL, 0, QUIPU_CONFLICT},
        {"s", 3, NULL, 0, QUIPU_OK},
    };
    quipu *store = open_store(0);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_status("append",
                      quipu_append(store, cases[i].stream, cases[i].expected, cases[i].drafts,
                                   cases[i].count, NULL, &why),
                      cases[i].status, (int)i);
    EXPECT(QUIPU_MISUSE, quipu_append(NULL, "s", QUIPU_ANY, &plain, 1, NULL, &why));
    EXPECT(QUIPU_MISUSE, quipu_commit(store, NULL, NULL, &why));
    free(long_name);
    quipu_close(store);
}

Test(api, failed_call_of_a_batch_is_remembered)
{
    quipu *store = open_store(0);
    quipu_batch *batch = quipu_batch_new();
    quipu_receipt receipt;
    quipu_result result;

    EXPECT(QUIPU_OK, quipu_batch_append(batch, "a", QUIPU_NEW, &plain, 1));
    EXPECT(QUIPU_MISUSE, quipu_batch_result(batch, 0, &result)); /* not committed yet */
    EXPECT(QUIPU_INVALID, quipu_batch_append(batch, "", QUIPU_NEW, &plain, 1));
    EXPECT(QUIPU_MISUSE, quipu_batch_append(batch, NULL, QUIPU_NEW, &plain, 1));
    cr_expect(quipu_batch_steps(batch) == 1);
    EXPECT(QUIPU_INVALID, quipu_commit(store, batch, &receipt, &why)); /* the first one */
    cr_expect(receipt.verdict == QUIPU_REFUSED);
    EXPECT(QUIPU_MISUSE, quipu_batch_result(batch, 0, &result));
    quipu_batch_clear(batch);
    cr_expect(quipu_batch_steps(batch) == 0);
    EXPECT(QUIPU_OK, quipu_batch_append(batch, "a", QUIPU_NEW, &plain, 1));
    EXPECT(QUIPU_OK, quipu_commit(store, batch, &receipt, &why));
    EXPECT(QUIPU_OK, quipu_batch_result(batch, 0, &result));
    EXPECT(QUIPU_MISUSE, quipu_batch_result(batch, 1, &result));
    EXPECT(QUIPU_MISUSE, quipu_batch_result(batch, 0, NULL));
    EXPECT(QUIPU_MISUSE, quipu_batch_result(NULL, 0, &result));
    EXPECT(QUIPU_CONFLICT, quipu_commit(store, batch, &receipt, &why)); /* again: it exists now */
    EXPECT(QUIPU_OK, quipu_batch_result(batch, 0, &result));
    cr_expect(result.status == QUIPU_CONFLICT && result.actual == 1 && result.expected == 0);
    EXPECT(QUIPU_MISUSE, quipu_batch_append(NULL, "a", QUIPU_ANY, &plain, 1));
    EXPECT(QUIPU_MISUSE, quipu_batch_expect(NULL, "a", QUIPU_ANY));
    cr_expect(quipu_batch_steps(NULL) == 0);
    quipu_batch_clear(NULL);
    quipu_batch_free(NULL);
    quipu_batch_free(batch);
    quipu_close(store);
}

/* All that does not hold is told, not only the first. */
Test(api, every_failed_condition)
{
    quipu *store = open_store(0);
    quipu_batch *batch = quipu_batch_new();
    quipu_receipt receipt;
    quipu_result result;
    static const int statuses[] = {QUIPU_OK, QUIPU_CONFLICT, QUIPU_OK, QUIPU_CONFLICT,
                                   QUIPU_CONFLICT};
    static const uint64_t actual[] = {0, 2, 2, 0, 1};

    EXPECT(QUIPU_OK, append_one(store, "two"));
    EXPECT(QUIPU_OK, append_one(store, "two"));
    EXPECT(QUIPU_OK, quipu_batch_append(batch, "new", QUIPU_NEW, &plain, 1));
    EXPECT(QUIPU_OK, quipu_batch_expect(batch, "two", 3));
    EXPECT(QUIPU_OK, quipu_batch_append(batch, "two", 2, &plain, 1));
    EXPECT(QUIPU_OK, quipu_batch_expect(batch, "none", QUIPU_EXISTS));
    EXPECT(QUIPU_OK, quipu_batch_append(batch, "new", QUIPU_NEW, &plain, 1));
    EXPECT(QUIPU_CONFLICT, quipu_commit(store, batch, &receipt, &why));
    cr_expect(receipt.failed_count == 3 && receipt.failed_step == 1 && receipt.expected == 3 &&
              receipt.actual == 2 && receipt.first_position == 0 && receipt.verdict == 0);
    for (size_t i = 0; i < 5; i++) {
        EXPECT(QUIPU_OK, quipu_batch_result(batch, i, &result));
        cr_expect(result.status == statuses[i] && result.actual == actual[i] && result.count == 0 &&
                      result.first_position == 0 && result.first_version == 0,
                  "step %zu: %d, actual %d", i, result.status, (int)result.actual);
    }
    quipu_batch_free(batch);
    quipu_close(store);
}

static int append_sizes(quipu *store, size_t events, uint32_t data, uint32_t meta)
{
    quipu_draft *drafts = calloc(events, sizeof(*drafts));
    char *bytes = support_repeat('x', (size_t)data + meta);
    int rc;

    for (size_t i = 0; i < events; i++)
        drafts[i] = (quipu_draft){
            .type = "t", .data = bytes, .meta = bytes + data, .data_size = data, .meta_size = meta};
    rc = quipu_append(store, "sizes", QUIPU_ANY, drafts, events, NULL, &why);
    free(drafts);
    free(bytes);
    return rc;
}

Test(api, limits_of_options)
{
    enum { DATA = 5000, EVENTS = 7, BYTES = 40000 };
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    quipu_options options = {QUIPU_INIT(quipu_options), .data_bytes_max = DATA,
                             .batch_events_max = EVENTS, .batch_bytes_max = BYTES};
    uint32_t fits = BYTES / 7 - 64 - 6 - 2; /* header, "sizes", "t" with their 0 bytes */
    uint64_t head;

    EXPECT(QUIPU_OK, quipu_open(store_path(path), &options, &store, &why));
    EXPECT(QUIPU_OK, append_sizes(store, 1, DATA, 0));
    EXPECT(QUIPU_OK, append_sizes(store, 1, 0, DATA));
    EXPECT(QUIPU_OK, append_sizes(store, 1, DATA - 1, 1));
    EXPECT(QUIPU_TOO_LARGE, append_sizes(store, 1, DATA, 1));
    EXPECT(QUIPU_TOO_LARGE, append_sizes(store, 1, DATA + 1, 0));
    EXPECT(QUIPU_OK, append_sizes(store, EVENTS, 1, 0));
    EXPECT(QUIPU_TOO_LARGE, append_sizes(store, EVENTS + 1, 1, 0));
    EXPECT(QUIPU_OK, quipu_head(store, &head, &why));
    cr_expect(head == 3 + EVENTS);
    quipu_close(store);

    options.data_bytes_max = 0;
    EXPECT(QUIPU_OK, quipu_open(path, &options, &store, &why));
    EXPECT(QUIPU_OK, append_sizes(store, EVENTS, fits, 0));
    EXPECT(QUIPU_TOO_LARGE, append_sizes(store, EVENTS, fits + 1, 0));
    quipu_close(store);
}

Test(api, limits_of_the_library)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    quipu_options options = {QUIPU_INIT(quipu_options), .data_bytes_max = QP_DATA_BYTES_MAX,
                             .batch_bytes_max = QP_BATCH_BYTES_MAX};

    EXPECT(QUIPU_OK, quipu_open(store_path(path), &options, &store, &why));
    EXPECT(QUIPU_OK, append_sizes(store, 1, QP_DATA_BYTES_MAX - 5, 5));
    EXPECT(QUIPU_TOO_LARGE, append_sizes(store, 1, QP_DATA_BYTES_MAX - 5, 6));
    quipu_close(store);
    EXPECT(QUIPU_OK, try_verify());
    store = open_store(0); /* the defaults */
    EXPECT(QUIPU_OK, append_sizes(store, 1, QP_DATA_BYTES_DEFAULT, 0));
    EXPECT(QUIPU_TOO_LARGE, append_sizes(store, 1, QP_DATA_BYTES_DEFAULT, 1));
    EXPECT(QUIPU_OK, append_sizes(store, QP_BATCH_EVENTS_DEFAULT, 0, 0));
    EXPECT(QUIPU_TOO_LARGE, append_sizes(store, QP_BATCH_EVENTS_DEFAULT + 1, 0, 0));
    quipu_close(store);
}

Test(api, read_only)
{
    quipu *store;
    quipu_receipt receipt = {.verdict = 3};

    make_store(10, 5);
    store = open_store(QUIPU_OPEN_READ_ONLY);
    EXPECT(QUIPU_READ_ONLY, quipu_append(store, "a-1", QUIPU_ANY, &plain, 1, &receipt, &why));
    EXPECT(QUIPU_READ_ONLY, quipu_append(store, "a-1", QUIPU_ANY, NULL, 0, NULL, &why));
    cr_expect(receipt.verdict == QUIPU_REFUSED);
    expect_events(store, 10);
    quipu_close(store);
}

/* ---- the map grows --------------------------------------------------------------------------- */

Test(api, map_growth)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    quipu_options options = {QUIPU_INIT(quipu_options), .map_bytes = QP_MAP_BYTES_MIN};
    quipu_reader *reader;
    uint64_t head = 0;
    int full = QUIPU_OK;

    EXPECT(QUIPU_OK, quipu_open(store_path(path), &options, &store, &why));
    for (int i = 0; i < 20; i++)
        EXPECT(QUIPU_OK, append_sizes(store, 1, 1 << 20, 0));
    EXPECT(QUIPU_OK, quipu_read(store, NULL, NULL, &reader, &why));
    for (int i = 0; i < 100 && full == QUIPU_OK; i++)
        full = append_sizes(store, 1, 1 << 20, 0);
    EXPECT(QUIPU_FULL, full); /* the reader looks at the old map */
    quipu_reader_close(reader);
    EXPECT(QUIPU_OK, append_sizes(store, 1, 1 << 20, 0));
    EXPECT(QUIPU_OK, quipu_head(store, &head, &why));
    for (int i = 0; i < 3000; i++) {
        char stream[24];

        (void)snprintf(stream, sizeof(stream), "many-%d", i); /* the index grows too */
        EXPECT(QUIPU_OK, append_one(store, stream));
        if (i % 500 == 0)
            cr_expect(qp_merge(store->handle, &why) == QUIPU_OK, "%s", why.text);
    }
    quipu_close(store);
    EXPECT(QUIPU_OK, try_verify());
}

/* ---- fork ------------------------------------------------------------------------------------ */

struct inherited {
    quipu *store;
    quipu_reader *reader;
    quipu_list *list;
    quipu_batch *batch;
};

static int vanish(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    (void)event;
    (void)out;
    (void)payload;
    (void)error;
    return 0;
}

/* In the child: the number of the first call that does not say FORKED, 0 if all do. */
static int call_all(const struct inherited *in)
{
    const quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "f", .state_size = sizeof(int),
                             .apply = count_up};
    const quipu_upcaster upcaster = {QUIPU_INIT(quipu_upcaster), .type = "a", .up = vanish};
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    quipu_reader *reader = NULL;
    quipu_list *list = NULL;
    quipu_event event;
    quipu_item item;
    uint64_t head;
    int state;
    int got[15];

    got[0] = quipu_head(in->store, &head, NULL);
    got[1] = quipu_commit(in->store, in->batch, NULL, NULL);
    got[2] = append_one(in->store, "a-1");
    got[3] = quipu_read(in->store, NULL, NULL, &reader, NULL);
    got[4] = quipu_read_stream(in->store, "a-1", NULL, &reader, NULL);
    got[5] = quipu_next(in->reader, &event, NULL);
    got[6] = quipu_load(in->store, &fold, "a-1", NULL, &state, NULL, NULL);
    got[7] = quipu_list_open(in->store, QUIPU_LIST_STREAMS, NULL, &list, NULL);
    got[8] = quipu_list_next(in->list, &item, NULL);
    got[9] = quipu_stat_get(in->store, &stat, NULL);
    got[10] = quipu_register_upcaster(in->store, &upcaster, NULL);
    got[11] = quipu_snapshot_save(in->store, &fold, "a-1", NULL, NULL);
    got[12] = quipu_snapshot_check(in->store, &fold, "a-1", NULL);
    got[13] = quipu_snapshot_get(in->store, "a-1", "f", 0, NULL, &(size_t){0}, NULL);
    got[14] = quipu_snapshot_drop(in->store, NULL, NULL, NULL, NULL);
    for (int i = 0; i < 15; i++)
        if (got[i] != QUIPU_FORKED)
            return i + 1;
    quipu_reader_close(in->reader);
    quipu_list_close(in->list);
    quipu_batch_free(in->batch);
    quipu_close(in->store);
    return 0;
}

/* The child may open anew, beside the parent. */
static int open_in_child(void)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    if (quipu_open(store_path(path), NULL, &store, NULL) != QUIPU_OK)
        return 20;
    if (quipu_append(store, "a-child", QUIPU_NEW, &plain, 1, NULL, NULL) != QUIPU_OK)
        return 21;
    quipu_close(store);
    return 0;
}

Test(api, fork)
{
    struct inherited in = {.batch = quipu_batch_new()};
    quipu_event event;
    int status = 0;
    int rc;
    pid_t child;

    in.store = open_store(0);
    EXPECT(QUIPU_OK, append_one(in.store, "a-1"));
    EXPECT(QUIPU_OK, quipu_read(in.store, NULL, NULL, &in.reader, &why));
    EXPECT(QUIPU_OK, quipu_list_open(in.store, QUIPU_LIST_STREAMS, NULL, &in.list, &why));
    child = fork();
    if (child == 0) {
        rc = call_all(&in);
        _exit(rc != 0 ? rc : open_in_child());
    }
    cr_assert(child > 0 && waitpid(child, &status, 0) == child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child says %x", (unsigned)status);
    EXPECT(QUIPU_ROW, quipu_next(in.reader, &event, &why));
    EXPECT(QUIPU_OK, append_one(in.store, "a-1")); /* the parent's locks are still its own */
    expect_events(in.store, 3);
    quipu_batch_free(in.batch);
    quipu_reader_close(in.reader);
    quipu_list_close(in.list);
    quipu_close(in.store);
    EXPECT(QUIPU_OK, try_verify());
}

/* ---- memory ---------------------------------------------------------------------------------- */

enum { OOM_EVENTS = 40, OOM_DATA = 9000 };

static void tolerate(int rc, int line)
{
    cr_expect(rc >= QUIPU_OK || rc == QUIPU_NO_MEMORY, "line %d: %s %s", line,
              quipu_status_name(rc), why.text);
    why = (quipu_error){0};
}

#define TOLERATE(call) tolerate((call), __LINE__)

/* Read to the end; a failure in between is no event lost. */
static void read_all(quipu *store, const quipu_query *query, const char *stream, uint64_t count)
{
    quipu_reader *reader = NULL;
    quipu_event event;
    uint64_t seen = 0;
    unsigned failures = 0;
    int rc = stream != NULL ? quipu_read_stream(store, stream, NULL, &reader, &why)
                            : quipu_read(store, query, NULL, &reader, &why);

    TOLERATE(rc);
    if (rc < 0)
        return;
    do {
        rc = quipu_next(reader, &event, &why);
        TOLERATE(rc);
        seen += rc == QUIPU_ROW;
        failures += rc == QUIPU_NO_MEMORY;
    } while (rc != QUIPU_OK && failures < 3);
    cr_expect(failures == 3 || seen == count, "%d of %d after %u failures", (int)seen, (int)count,
              failures);
    quipu_reader_close(reader);
}

static int append_big(quipu *store, const char *stream)
{
    static char bytes[OOM_DATA];
    const quipu_draft draft = {.type = "big", .data = bytes, .data_size = sizeof(bytes)};

    return quipu_append(store, stream, QUIPU_ANY, &draft, 1, NULL, &why);
}

static void use_store(quipu *store)
{
    const char *const types[] = {"big", "happened"};
    const quipu_query_item items[] = {{.category = "a"}, {.types = types, .type_count = 2}};
    const quipu_query query = {items, 2};
    const quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "f", .state_size = sizeof(int),
                             .apply = count_up};
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    quipu_batch *batch = quipu_batch_new();
    quipu_list *list = NULL;
    quipu_item item;
    uint64_t head = 0;
    uint64_t version;
    int state;
    int rc;

    if (batch != NULL) {
        TOLERATE(quipu_batch_append(batch, "a-1", QUIPU_ANY, &plain, 1));
        TOLERATE(quipu_batch_append(batch, "b-1", QUIPU_ANY, &plain, 1));
        TOLERATE(quipu_commit(store, batch, NULL, &why));
    }
    quipu_batch_free(batch);
    TOLERATE(append_big(store, "a-1"));
    rc = quipu_head(store, &head, &why);
    TOLERATE(rc);
    if (rc == QUIPU_OK) {
        read_all(store, NULL, NULL, head);
        read_all(store, &query, NULL, head);
    }
    TOLERATE(quipu_load(store, &fold, "a-2", NULL, &state, &version, &why));
    read_all(store, NULL, "a-2", OOM_EVENTS / 10);
    rc = quipu_list_open(store, QUIPU_LIST_STREAMS, "a", &list, &why);
    TOLERATE(rc);
    while (rc >= QUIPU_OK && quipu_list_next(list, &item, &why) == QUIPU_ROW)
        continue;
    quipu_list_close(list);
    TOLERATE(quipu_stat_get(store, &stat, &why));
    TOLERATE(try_verify());
    TOLERATE(qp_merge(store->handle, &why));
    read_all(store, NULL, "a-2", OOM_EVENTS / 10);
    TOLERATE(try_verify());
}

/* A store with an index and a tail, chunked events among them. */
static void make_oom_store(void)
{
    quipu *store = open_store(QUIPU_OPEN_NEW);

    for (unsigned i = 0; i < OOM_EVENTS; i++) {
        char stream[16];

        (void)snprintf(stream, sizeof(stream), "a-%u", i % 10);
        EXPECT(QUIPU_OK, append_big(store, stream));
        if (i == OOM_EVENTS / 2)
            cr_assert(qp_merge(store->handle, NULL) == QUIPU_OK);
    }
    quipu_close(store);
}

static void run_out_of_memory(bool sticky)
{
    char path[SUPPORT_PATH_BYTES];
    char log[SUPPORT_PATH_BYTES];
    char index[SUPPORT_PATH_BYTES];
    char copies[2][SUPPORT_PATH_BYTES];
    long calls = LONG_MAX;

    make_oom_store();
    store_path(path);
    sys_file_copy(file_path(log, "log.mdb"), support_path(copies[0], "log-copy"));
    sys_file_copy(file_path(index, "index.mdb"), support_path(copies[1], "index-copy"));
    for (long n = 1; n <= calls; n++) {
        quipu *store = NULL;
        long before = support_heap_calls();
        int rc;

        cr_expect(support_heap_live() == 0, "n %ld: %ld live", n, support_heap_live());
        support_heap_fail(n, sticky);
        rc = quipu_open(path, NULL, &store, &why);
        TOLERATE(rc);
        if (rc == QUIPU_OK)
            use_store(store);
        quipu_close(store);
        if (support_heap_calls() - before < n)
            calls = 0; /* none failed: that was all of them */
        support_heap_fail(0, false);
        EXPECT(QUIPU_OK, try_verify());
        store = open_store(0);
        EXPECT(QUIPU_OK, append_one(store, "a-1"));
        quipu_close(store);
        sys_file_copy(copies[0], log);
        sys_file_copy(copies[1], index);
    }
    cr_expect(support_heap_live() == 0);
}

Test(api, memory_fails_once, .timeout = 110)
{
    run_out_of_memory(false);
}

Test(api, memory_fails_from_then_on, .timeout = 110)
{
    run_out_of_memory(true);
}

/* Each way to read is the first thing that is done to a store, so that no buffer is there yet. */
Test(api, memory_fails_while_reading)
{
    const quipu_query_item item = {.category = "a"};
    const quipu_query query = {&item, 1};

    make_oom_store();
    for (int way = 0; way < 3; way++) {
        bool failed = true;

        for (long n = 1; failed; n++) {
            quipu *store = open_store(0);
            long before = support_heap_calls();

            support_heap_fail(n, false);
            read_all(store, way == 1 ? &query : NULL, way == 2 ? "a-2" : NULL,
                     way == 2 ? OOM_EVENTS / 10 : OOM_EVENTS);
            failed = support_heap_calls() - before >= n;
            support_heap_fail(0, false);
            quipu_close(store);
            cr_assert(n < 1000);
        }
    }
}

static void count_told(void *payload, int level, const char *text)
{
    (void)level;
    (void)text;
    (*(unsigned *)payload)++;
}

/* Memory that is out says nothing about the index: it must not be thrown away for that. Its newest
 * record stands in chunks, and is put together to look at its chain. */
Test(api, memory_fails_while_opening)
{
    unsigned told = 0;
    const quipu_options options = {QUIPU_INIT(quipu_options), .log = count_told,
                                   .log_payload = &told};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    int rc = QUIPU_NO_MEMORY;

    make_oom_store();
    store = open_store(0);
    cr_assert(qp_merge(store->handle, NULL) == QUIPU_OK);
    quipu_close(store);
    for (long n = 1; rc != QUIPU_OK && n < 100; n++) {
        support_heap_fail(n, false);
        rc = quipu_open(store_path(path), &options, &store, &why);
        support_heap_fail(0, false);
        if (rc == QUIPU_OK)
            quipu_close(store);
        else
            EXPECT(QUIPU_NO_MEMORY, rc);
    }
    EXPECT(QUIPU_OK, rc);
    cr_expect_eq(told, 0, "the index was made again");
}

/* Creating a store fails cleanly too: nothing is left behind. */
Test(api, memory_fails_while_creating)
{
    for (long n = 1; n < 100; n++) {
        char path[SUPPORT_PATH_BYTES];
        int rc;

        support_heap_fail(n, true);
        rc = try_open(QUIPU_OPEN_NEW);
        support_heap_fail(0, false);
        support_remove(store_path(path));
        if (rc == QUIPU_OK)
            return;
        EXPECT(QUIPU_NO_MEMORY, rc);
    }
    cr_expect(false, "it never succeeded");
}

static size_t asked;

static void *counting(void *memory, size_t size, void *payload)
{
    cr_assert(payload == &asked);
    if (size == 0) {
        free(memory);
        return NULL;
    }
    asked++;
    return realloc(memory, size);
}

Test(api, allocator)
{
    quipu *store;

    EXPECT(QUIPU_OK, quipu_set_allocator(counting, &asked));
    store = open_store(0);
    EXPECT(QUIPU_MISUSE, quipu_set_allocator(NULL, NULL));
    EXPECT(QUIPU_OK, append_one(store, "a-1"));
    quipu_close(store);
    cr_expect(asked > 0);
    asked = 0;
    EXPECT(QUIPU_OK, quipu_set_allocator(NULL, NULL));
    EXPECT(QUIPU_OK, try_open(0));
    cr_expect(asked == 0);
}

/* ---- views ----------------------------------------------------------------------------------- */

/* A view of one reader lives on, whatever happens to the store and to other readers. */
Test(api, views)
{
    quipu *store = open_store(0);
    quipu_reader *readers[2];
    quipu_event events[2];
    quipu_event other;
    char *bytes = support_repeat('v', 9000);
    const quipu_draft drafts[] = {
        {.type = "small", .data = "abc", .data_size = 3},
        {.type = "large", .data = bytes, .data_size = 9000},
    };

    EXPECT(QUIPU_OK, quipu_append(store, "a-1", QUIPU_NEW, drafts, 2, NULL, &why));
    for (size_t i = 0; i < 2; i++) {
        const quipu_range range = {QUIPU_INIT(quipu_range), .after = i};

        EXPECT(QUIPU_OK, quipu_read(store, NULL, &range, &readers[i], &why));
        EXPECT(QUIPU_ROW, quipu_next(readers[i], &events[i], &why));
    }
    for (int i = 0; i < 300; i++)
        EXPECT(QUIPU_OK, append_one(store, "a-1"));
    cr_assert(qp_merge(store->handle, NULL) == QUIPU_OK);
    EXPECT(QUIPU_OK, append_one(store, "a-1"));
    cr_expect(strcmp(events[0].type, "small") == 0 && memcmp(events[0].data, "abc", 3) == 0);
    cr_expect(strcmp(events[1].type, "large") == 0 && strcmp(events[1].stream, "a-1") == 0);
    cr_expect(events[1].data_size == 9000 && memcmp(events[1].data, bytes, 9000) == 0);
    EXPECT(QUIPU_ROW, quipu_next(readers[0], &other, &why)); /* its chunks go elsewhere */
    cr_expect(other.data != events[1].data && memcmp(events[1].data, bytes, 9000) == 0);
    EXPECT(QUIPU_OK, quipu_next(readers[0], &other, &why)); /* a snapshot */
    quipu_reader_close(readers[0]);
    quipu_reader_close(readers[1]);
    free(bytes);
    quipu_close(store);
}

/* ---- members --------------------------------------------------------------------------------- */

enum { I64 = 1, F64 = 2, BOOL = 4, TEXT = 8 };

struct member_case {
    const char *data;
    unsigned kinds; /* as what "n" can be read */
    int64_t i64;
    double f64;
    int boolean;
    const char *text;
    size_t size; /* 0: strlen */
};

static const struct member_case json_cases[] = {
    {"{\"n\":0}", I64 | F64, 0, 0.0, 0, NULL, 0},
    {"{\"n\":-7}", I64 | F64, -7, -7.0, 0, NULL, 0},
    {" { \"m\" : [1,{\"n\":5}] ,\t\"n\"\n: 3\r} ", I64 | F64, 3, 3.0, 0, NULL, 0},
    {"{\"n\":0.1}", F64, 0, 0.1, 0, NULL, 0},
    {"{\"n\":1e5}", F64, 0, 1e5, 0, NULL, 0},
    {"{\"n\":1.0}", F64, 0, 1.0, 0, NULL, 0},
    {"{\"n\":-2.5E-3}", F64, 0, -2.5e-3, 0, NULL, 0},
    {"{\"n\":9223372036854775807}", I64 | F64, INT64_MAX, 9223372036854775807.0, 0, NULL, 0},
    {"{\"n\":-9223372036854775808}", I64 | F64, INT64_MIN, -9223372036854775808.0, 0, NULL, 0},
    {"{\"n\":9223372036854775808}", F64, 0, 9223372036854775808.0, 0, NULL, 0},
    {"{\"n\":123456789012345678901234567890}", F64, 0, 123456789012345678901234567890.0, 0, NULL,
     0},
    {"{\"n\":true}", BOOL, 0, 0, 1, NULL, 0},
    {"{\"n\":false}", BOOL, 0, 0, 0, NULL, 0},
    {"{\"n\":null}", 0, 0, 0, 0, NULL, 0},
    {"{\"n\":{}}", 0, 0, 0, 0, NULL, 0},
    {"{\"n\":[1]}", 0, 0, 0, 0, NULL, 0},
    {"{\"m\":1}", 0, 0, 0, 0, NULL, 0},
    {"{\"m\":{\"n\":1}}", 0, 0, 0, 0, NULL, 0},
    {"{\"n\":1,\"n\":2}", I64 | F64, 2, 2.0, 0, NULL, 0},
    {"{\"n\":1,\"n\":\"x\"}", TEXT, 0, 0, 0, "x", 0},
    {"{\"n\":\"\"}", TEXT, 0, 0, 0, "", 0},
    {"{\"n\":\"\\u0041\\n\\\"\\\\\\/\\b\\f\\r\\t\"}", TEXT, 0, 0, 0, "A\n\"\\/\b\f\r\t", 0},
    {"{\"n\":\"\\u00e9\\u20AC\\ud83d\\ude00\"}", TEXT, 0, 0, 0,
     "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 0},
    {"{\"\\u006e\":4}", I64 | F64, 4, 4.0, 0, NULL, 0},
    {"{\"n\":\"\\ud83d\"}", 0, 0, 0, 0, NULL, 0}, /* a lone surrogate */
    {"{\"n\":\"\\ude00\\ud83d\"}", 0, 0, 0, 0, NULL, 0},
    {"{\"n\":\"\\x\"}", 0, 0, 0, 0, NULL, 0},
    {"{\"m\":\"}\\\"{\",\"n\":1}", I64 | F64, 1, 1.0, 0, NULL, 0},
    {"{\"n\":1", 0, 0, 0, 0, NULL, 0},
    {"{\"n\":1}}", 0, 0, 0, 0, NULL, 0},
    {"{\"n\":1,}", 0, 0, 0, 0, NULL, 0},
    {"{\"n\" 1}", 0, 0, 0, 0, NULL, 0},
    {"{n:1}", 0, 0, 0, 0, NULL, 0},
    {"[\"n\",1]", 0, 0, 0, 0, NULL, 0},
    {"\"n\"", 0, 0, 0, 0, NULL, 0},
    {"{\"n\":+1}", 0, 0, 0, 0, NULL, 0},
    {"{\"n\":0x10}", 0, 0, 0, 0, NULL, 0},
    {"{\"n\":nan}", 0, 0, 0, 0, NULL, 0},
    {"{\"n\":1e400}", 0, 0, 0, 0, NULL, 0}, /* out of range */
    {"{\"n\":truely}", 0, 0, 0, 0, NULL, 0},
    {"{}", 0, 0, 0, 0, NULL, 0},
    {"{\"m\":bad,\"n\":1}", 0, 0, 0, 0, NULL, 0},
    {"{\"m\":[},\"n\":1}", 0, 0, 0, 0, NULL, 0},
};

static const struct member_case pack_cases[] = {
    {"\x81\xa1n\x05", I64 | F64, 5, 5.0, 0, NULL, 0},
    {"\x81\xa1n\xff", I64 | F64, -1, -1.0, 0, NULL, 0},
    {"\x81\xa1n\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", I64 | F64, INT64_MAX, 9223372036854775807.0,
     0, NULL, 0},
    {"\x81\xa1n\xcf\x80\x00\x00\x00\x00\x00\x00\x00", F64, 0, 9223372036854775808.0, 0, NULL, 12},
    {"\x81\xa1n\xd3\x80\x00\x00\x00\x00\x00\x00\x00", I64 | F64, INT64_MIN, -9223372036854775808.0,
     0, NULL, 12},
    {"\x81\xa1n\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", F64, 0, 0.1, 0, NULL, 0},
    {"\x81\xa1n\xca\x3f\x80\x00\x00", F64, 0, 1.0, 0, NULL, 8},
    {"\x81\xa1n\xc3", BOOL, 0, 0, 1, NULL, 0},
    {"\x81\xa1n\xc2", BOOL, 0, 0, 0, NULL, 0},
    {"\x81\xa1n\xc0", 0, 0, 0, 0, NULL, 0},
    {"\x81\xa1n\xa3xyz", TEXT, 0, 0, 0, "xyz", 0},
    {"\x81\xa1n\x90", 0, 0, 0, 0, NULL, 0},
    {"\x82\xa1n\x01\xa1n\x02", I64 | F64, 2, 2.0, 0, NULL, 0},
    {"\x81\xa1m\x81\xa1n\x01", 0, 0, 0, 0, NULL, 0},
    {"\x82\xa1m\x81\xa1n\x01\xa1n\x03", I64 | F64, 3, 3.0, 0, NULL, 0},
    {"\x92\xa1n\x01", 0, 0, 0, 0, NULL, 0},
    {"\x82\xa1n\x01", 0, 0, 0, 0, NULL, 0}, /* half a map */
    {"\x81\xa1n\x01\x01", 0, 0, 0, 0, NULL, 0},
};

static void check_member(const struct member_case *with, uint8_t format, size_t i)
{
    quipu_event event = {.data = with->data,
                         .data_size = (uint32_t)(with->size != 0 ? with->size : strlen(with->data)),
                         .data_format = format};
    int64_t i64 = 4711;
    double f64 = 4711.5;
    int boolean = 4711;
    char text[64] = "before";
    int64_t size = with->text != NULL ? (int64_t)strlen(with->text) : -1;

    cr_expect(quipu_get_i64(&event, "n", &i64) == ((with->kinds & I64) != 0), "%d %zu i64", format,
              i);
    cr_expect(i64 == ((with->kinds & I64) != 0 ? with->i64 : 4711), "%d %zu", format, i);
    cr_expect(quipu_get_f64(&event, "n", &f64) == ((with->kinds & F64) != 0), "%d %zu f64", format,
              i);
    cr_expect(f64 == ((with->kinds & F64) != 0 ? with->f64 : 4711.5), "%d %zu %g", format, i, f64);
    cr_expect(quipu_get_bool(&event, "n", &boolean) == ((with->kinds & BOOL) != 0), "%d %zu bool",
              format, i);
    cr_expect(boolean == ((with->kinds & BOOL) != 0 ? with->boolean : 4711), "%d %zu", format, i);
    cr_expect(quipu_get_text(&event, "n", text, sizeof(text)) == size, "%d %zu text", format, i);
    if (with->text == NULL)
        return;
    cr_expect(strcmp(text, with->text) == 0, "%d %zu \"%s\"", format, i, text);
    cr_expect(quipu_get_text(&event, "n", NULL, 0) == size);
    text[1] = 'z';
    cr_expect(quipu_get_text(&event, "n", text, 1) == size && text[0] == '\0' && text[1] == 'z');
    cr_expect(quipu_get_text(&event, "n", NULL, 1) == -1);
}

Test(api, members)
{
    quipu_event event = {
        .data = "{\"n\":1}", .data_size = 7, .data_format = QUIPU_BINARY, .type = "t"};
    int64_t i64 = 9;

    for (size_t i = 0; i < sizeof(json_cases) / sizeof(json_cases[0]); i++)
        check_member(&json_cases[i], QUIPU_JSON, i);
    for (size_t i = 0; i < sizeof(pack_cases) / sizeof(pack_cases[0]); i++)
        check_member(&pack_cases[i], QUIPU_MSGPACK, i);
    cr_expect(quipu_get_i64(&event, "n", &i64) == 0 && i64 == 9); /* binary has no members */
    event.data_format = QUIPU_JSON;
    cr_expect(quipu_get_i64(NULL, "n", &i64) == 0 && quipu_get_i64(&event, NULL, &i64) == 0);
    cr_expect(quipu_get_i64(&event, "n", NULL) == 0);
    event.data_size = 0;
    event.data = NULL;
    cr_expect(quipu_get_i64(&event, "n", &i64) == 0);
    cr_expect(quipu_event_is(&event, "t") == 1 && quipu_event_is(&event, "tt") == 0);
    cr_expect(quipu_event_is(NULL, "t") == 0 && quipu_event_is(&event, NULL) == 0);
}

/* ---- statuses -------------------------------------------------------------------------------- */

Test(api, status_names)
{
    cr_expect(strcmp(quipu_status_name(QUIPU_OK), "OK") == 0);
    cr_expect(strcmp(quipu_status_name(QUIPU_ROW), "ROW") == 0);
    cr_expect(strcmp(quipu_status_name(QUIPU_SYSTEM), "SYSTEM") == 0);
    cr_expect(strcmp(quipu_status_name(-1000), "APPLICATION") == 0);
    cr_expect(strcmp(quipu_status_name(-999), "UNKNOWN") == 0);
    cr_expect(strcmp(quipu_status_name(2), "UNKNOWN") == 0);
    cr_expect(quipu_version() == QUIPU_VERSION_NUMBER);
}

/* ---- lock files ------------------------------------------------------------------------------ */

/* LMDB writes them through a map: a hole in one is a SIGBUS when the disk is full. And they are as
 * large as LMDB would have made them, or it would make other numbers of slots of them. */
Test(api, lock_files_have_no_holes)
{
    static const char *const files[] = {"log.mdb-lock", "index.mdb-lock"};
    static const uint32_t wanted[] = {0, 5, 3000, 100};
    static const uint32_t slots[] = {1022, 1022, 3000, 3000}; /* a file never becomes smaller */
    char path[SUPPORT_PATH_BYTES];

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        quipu_options options = {QUIPU_INIT(quipu_options), .readers_max = wanted[i]};
        quipu *store = NULL;

        EXPECT(QUIPU_OK, quipu_open(store_path(path), &options, &store, &why));
        for (size_t f = 0; f < 2; f++) {
            struct stat info;

            cr_assert_eq(stat(file_path(path, files[f]), &info), 0);
            cr_expect_eq(info.st_size, 128 + (off_t)slots[i] * 64, "%zu: %s", i, files[f]);
            cr_expect_geq(info.st_blocks * 512, info.st_size, "%zu: %s", i, files[f]);
        }
        quipu_close(store);
    }
}

/* A reader of a stream up to a version that is still to come ends where it was when it was opened,
 * also if it renews itself. */
Test(api, a_streams_reader_ends_at_its_first_head)
{
    quipu *store = open_store(0);
    quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_RENEW, .upto = 1000};
    const quipu_draft draft = {.type = "t"};
    quipu_reader *reader = NULL;
    quipu_event event;

    for (int i = 0; i < 3; i++)
        EXPECT(QUIPU_OK, quipu_append(store, "s", QUIPU_ANY, &draft, 1, NULL, &why));
    EXPECT(QUIPU_OK, quipu_read_stream(store, "s", &range, &reader, &why));
    EXPECT(QUIPU_ROW, quipu_next(reader, &event, &why));
    EXPECT(QUIPU_OK, quipu_append(store, "s", QUIPU_ANY, &draft, 1, NULL, &why));
    sys_sleep_ms(150); /* a renewal is due */
    for (uint64_t version = 2; version <= 3; version++) {
        EXPECT(QUIPU_ROW, quipu_next(reader, &event, &why));
        cr_expect_eq(event.version, version);
    }
    EXPECT(QUIPU_OK, quipu_next(reader, &event, &why));
    cr_expect_eq(quipu_reader_head(reader), 3);
    quipu_reader_close(reader);
    quipu_close(store);
}
