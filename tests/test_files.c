/* test_files.c - files.c: what a store's two files must have in them to be opened, and what becomes
 * of an index that does not fit. Their rows are changed behind the library's back. */
#include "files.h"
#include "handles.h"
#include "index.h"
#include "log.h"
#include "merge.h"
#include "row.h"
#include "support_suite.h"

#include <string.h>
#include <sys/stat.h>

SUPPORT_SUITE(files);

static quipu_error why;
static char path[SUPPORT_PATH_BYTES];

/* Some events, the first of which are in the index. */
static void make_store(void)
{
    const quipu_draft draft = {.type = "t"};
    quipu *store = NULL;

    (void)support_path(path, "store");
    cr_assert_eq(quipu_open(path, NULL, &store, &why), QUIPU_OK, "%s", why.text);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, &why), QUIPU_OK);
        if (i == 2)
            cr_assert_eq(qp_merge(store->handle, &why), QUIPU_OK);
    }
    quipu_close(store);
}

/* Open one of its files as it is, or make it, with tables and no rows. */
static struct qp_store *open_file(const char *file, bool create)
{
    bool log = strcmp(file, QP_LOG_FILE) == 0;
    char name[SUPPORT_PATH_BYTES + 16];
    struct qp_store_config config = {.path = name,
                                     .tables = log ? qp_log_tables : qp_index_tables,
                                     .table_count = log ? qp_log_table_count : qp_index_table_count,
                                     .map_bytes = QP_MAP_BYTES_MIN,
                                     .readers_max = QP_READERS_DEFAULT,
                                     .create = create};
    struct qp_store *store;

    (void)snprintf(name, sizeof(name), "%s/%s", path, file);
    cr_assert_eq(qp_store_open(&config, &store, NULL), QUIPU_OK);
    return store;
}

/* The row gets its sum behind it. */
static void put_row(struct qp_store *store, enum qp_table table, struct qp_bytes key,
                    uint8_t row[QP_META_ROW_BYTES_MAX], size_t size)
{
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;

    cr_assert_eq(qp_txn_begin_write(store, &txn, NULL), QUIPU_OK);
    cr_assert_eq(qp_put_row(&txn, table, key, row, size, NULL), QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&txn, &outcome, NULL), QUIPU_OK);
    qp_store_close(store);
}

static int try_open(uint32_t flags)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .flags = flags};
    quipu *store = NULL;
    int rc;

    why = (quipu_error){0};
    rc = quipu_open(path, &options, &store, &why);
    quipu_close(store);
    return rc;
}

/* ---- the log ---- */

static void expect_refused(int status, const char *text)
{
    for (uint32_t flags = 0; flags <= QUIPU_OPEN_READ_ONLY; flags += QUIPU_OPEN_READ_ONLY) {
        cr_expect_eq(try_open(flags), status, "%s", why.text);
        cr_expect_not_null(strstr(why.text, text), "%s", why.text);
    }
}

Test(files, a_log_without_its_rows)
{
    const struct qp_format format = {.number = QP_FORMAT_LOG};
    static const uint8_t uuid[16] = {1, 2, 3};
    uint8_t row[QP_META_ROW_BYTES_MAX];

    cr_assert_eq(mkdir(support_path(path, "store"), 0700), 0);
    qp_store_close(open_file(QP_LOG_FILE, true));
    expect_refused(QUIPU_INVALID, "it has no format");
    put_row(open_file(QP_LOG_FILE, false), QP_TABLE_META, QP_META_FORMAT, row,
            qp_format_write(&format, row));
    expect_refused(QUIPU_CORRUPT, "has lost its uuid");
    put_row(open_file(QP_LOG_FILE, false), QP_TABLE_META, QP_META_UUID, row,
            qp_uuid_write(uuid, row));
    cr_expect_eq(try_open(0), QUIPU_OK, "%s", why.text);
}

/* With their sums, and too short. */
Test(files, a_log_with_rows_that_cannot_be)
{
    const struct qp_format format = {.number = QP_FORMAT_LOG};
    uint8_t row[QP_META_ROW_BYTES_MAX] = {1, 2, 3};

    make_store();
    put_row(open_file(QP_LOG_FILE, false), QP_TABLE_META, QP_META_FORMAT, row, 12);
    expect_refused(QUIPU_INVALID, "it has no format");
    put_row(open_file(QP_LOG_FILE, false), QP_TABLE_META, QP_META_FORMAT, row,
            qp_format_write(&format, row));
    put_row(open_file(QP_LOG_FILE, false), QP_TABLE_META, QP_META_UUID, row, 12);
    expect_refused(QUIPU_CORRUPT, "has lost its uuid");
}

/* Bit 1 is of projections; each other one is of a later release. Who cannot write may still read.
 */
Test(files, bits_to_write)
{
    make_store();
    for (unsigned bit = 0; bit < 64; bit++) {
        for (unsigned with_known = 0; with_known < 2; with_known++) {
            const struct qp_format format = {.number = QP_FORMAT_LOG,
                                             .write_bits = UINT64_C(1) << bit | with_known};
            uint8_t row[QP_META_ROW_BYTES_MAX];
            char text[64];

            put_row(open_file(QP_LOG_FILE, false), QP_TABLE_META, QP_META_FORMAT, row,
                    qp_format_write(&format, row));
            cr_expect_eq(try_open(0), bit == 0 ? QUIPU_OK : QUIPU_NEWER_FORMAT, "bit %u", bit);
            (void)snprintf(text, sizeof(text), "features 0 and %llx that", 1ULL << bit);
            if (bit > 0)
                cr_expect_not_null(strstr(why.text, text), "%s", why.text);
            cr_expect_eq(try_open(QUIPU_OPEN_READ_ONLY), QUIPU_OK, "bit %u: %s", bit, why.text);
        }
    }
}

/* ---- the index ---- */

static unsigned told;

static void note(void *payload, int level, const char *text)
{
    (void)payload;
    told += level == 1 && strstr(text, "the index does not fit the log") != NULL;
}

/* All is found by the new one, and it says that it is whole. */
static void expect_made_again(const char *what)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .log = note};
    static const char *const types[] = {"t"};
    const quipu_query_item item = {.types = types, .type_count = 1};
    const quipu_query query = {&item, 1};
    quipu *store = NULL;
    quipu_reader *reader = NULL;
    quipu_event event;
    unsigned count = 0;

    told = 0;
    cr_assert_eq(quipu_open(path, &options, &store, &why), QUIPU_OK, "%s: %s", what, why.text);
    cr_expect_eq(told, 1, "%s", what);
    cr_assert_eq(quipu_read(store, &query, NULL, &reader, &why), QUIPU_OK, "%s", why.text);
    while (quipu_next(reader, &event, &why) == QUIPU_ROW)
        count++;
    cr_expect_eq(count, 5, "%s", what);
    quipu_reader_close(reader);
    quipu_close(store);
    cr_expect_eq(quipu_verify(path, 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK, "%s: %s", what,
                 why.text);
}

/* What the index says that it is a fold of. */
static struct qp_indexed indexed_now(void)
{
    struct qp_indexed indexed = {0};
    struct qp_txn txn = {0};
    quipu *store = NULL;

    cr_assert_eq(quipu_open(path, NULL, &store, &why), QUIPU_OK, "%s", why.text);
    cr_assert_eq(qp_merge(store->handle, &why), QUIPU_OK);
    cr_assert_eq(qp_txn_begin_read(store->handle->index, &txn, &why), QUIPU_OK);
    cr_assert_eq(qp_index_indexed(&txn, &indexed, &why), QUIPU_OK);
    qp_txn_end(&txn);
    quipu_close(store);
    return indexed;
}

Test(files, an_index_of_something_else)
{
    static const char *const what[] = {"more events", "another chain", "other edits", "no events",
                                       "damaged"};

    make_store();
    for (size_t i = 0; i < 5; i++) {
        struct qp_indexed indexed = indexed_now();
        uint8_t row[QP_META_ROW_BYTES_MAX];
        size_t size;

        cr_assert_gt(indexed.position, 0);
        if (i == 0)
            indexed.position = 6;
        else if (i == 1)
            indexed.chain++;
        else if (i == 2)
            indexed.edits++;
        else if (i == 3)
            indexed.chain = indexed.position = 0;
        size = qp_indexed_write(&indexed, row);
        put_row(open_file(QP_INDEX_FILE, false), QP_TABLE_INDEX_META, QP_META_INDEXED, row,
                i == 4 ? size - 1 : size);
        if (i == 3) /* that is no lie about the log: only verify can tell */
            cr_expect_eq(quipu_verify(path, 0, NULL, NULL, NULL, NULL, &why), QUIPU_CORRUPT);
        else
            expect_made_again(what[i]);
        if (i == 3)
            cr_assert_eq(quipu_reindex(path, NULL, NULL, &why), QUIPU_OK, "%s", why.text);
    }
}
