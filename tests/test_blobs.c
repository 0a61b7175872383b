/* test_blobs.c - blobs.c: values of every length in rows of both files, what is left of them when
 * they are replaced, and damage of each part. Plainly said: whatever was put comes out, or CORRUPT
 * does; and a table of blobs holds no more chunks than its rows need. And blob_uses.c: which of
 * them several rows have. */
#include "blob_uses.h"
#include "blobs.h"
#include "key.h"
#include "meta.h"
#include "row.h"
#include "support_events.h"
#include "support_suite.h"

#include <string.h>

SUPPORT_SUITE(blobs);

enum { CHUNK = QP_ROW_BYTES_MAX - QP_ROW_SUM_BYTES, LONGEST = 9 * CHUNK, HEAD = 5 };

static const struct qp_blob_home homes[] = {
    {QP_TABLE_VIEWS, QP_TABLE_BLOBS, QP_TABLE_META, HEAD},
    {QP_TABLE_SNAPSHOTS, QP_TABLE_INDEX_BLOBS, QP_TABLE_INDEX_META, HEAD},
    {QP_TABLE_PARKED, QP_TABLE_BLOBS, QP_TABLE_META, 0},
    {QP_TABLE_SNAPSHOTS, QP_TABLE_INDEX_BLOBS, QP_TABLE_INDEX_META, QP_BLOB_HEAD_BYTES_MAX},
};
enum { HOMES = sizeof(homes) / sizeof(homes[0]) };

static struct qp_store *store;
static struct qp_txn txn;
static const struct qp_blob_home *home;
static struct qp_buffer assembly;
static quipu_error why;
static uint8_t bytes[LONGEST];
static const uint8_t heads[QP_BLOB_HEAD_BYTES_MAX] = "the head of a row";

static void begin(const struct qp_blob_home *of, uint64_t map_bytes)
{
    home = of;
    store = of->blobs == QP_TABLE_BLOBS ? support_open_log("log.mdb", map_bytes)
                                        : support_open_index("index.mdb");
    txn = (struct qp_txn){0};
    cr_assert_eq(qp_txn_begin_write(store, &txn, &why), QUIPU_OK, "%s", why.text);
}

static void end(void)
{
    static const char *const files[] = {"log.mdb", "log.mdb-lock", "index.mdb", "index.mdb-lock"};
    char path[SUPPORT_PATH_BYTES];

    qp_txn_end(&txn);
    qp_store_close(store);
    qp_buffer_release(&assembly);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        support_remove(support_path(path, files[i]));
}

/* Values of one length differ by what they are made of. */
static struct qp_bytes value_of(size_t size, uint8_t seed)
{
    cr_assert_leq(size, LONGEST);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(seed + i + i / 251);
    return (struct qp_bytes){bytes, size};
}

static int put(const char *key, size_t size, uint8_t seed)
{
    return qp_blobs_put(&txn, home, (struct qp_bytes){key, strlen(key)},
                        (struct qp_bytes){heads, home->head_bytes}, value_of(size, seed), &why);
}

static int get(const char *key, struct qp_long_row *row)
{
    return qp_blobs_get(&txn, home, (struct qp_bytes){key, strlen(key)}, &assembly, row, &why);
}

static void expect(const char *key, size_t size, uint8_t seed)
{
    struct qp_bytes value = value_of(size, seed);
    struct qp_long_row row;

    cr_assert_eq(get(key, &row), QUIPU_ROW, "%s, %zu bytes: %s", key, size, why.text);
    support_expect_bytes(row.value.data, row.value.size, value.data, value.size, "%zu bytes", size);
    support_expect_bytes(row.head.data, row.head.size, heads, home->head_bytes, "the head");
    cr_expect_eq(row.blob != 0, size > QP_BLOB_INLINE_BYTES, "%zu bytes, blob %lu", size, row.blob);
}

static uint64_t chunks(void)
{
    return qp_table_rows(&txn, home->blobs);
}

static uint64_t needed(size_t size)
{
    return size > QP_BLOB_INLINE_BYTES ? (size + CHUNK - 1) / CHUNK : 0;
}

static const size_t sizes[] = {0,
                               1,
                               3999,
                               4000,
                               4001,
                               CHUNK - 1,
                               CHUNK,
                               CHUNK + 1,
                               2 * CHUNK - 1,
                               2 * CHUNK,
                               2 * CHUNK + 1,
                               3 * CHUNK,
                               8 * CHUNK + 17,
                               LONGEST - 1,
                               LONGEST};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

Test(blobs, every_length_there_and_back)
{
    for (size_t h = 0; h < HOMES; h++) {
        begin(&homes[h], 16 * QP_MIB);
        for (size_t i = 0; i < SIZES; i++) {
            uint64_t before = chunks();

            cr_assert_eq(put("k", sizes[i], 1), QUIPU_OK, "%s", why.text);
            expect("k", sizes[i], 1);
            cr_expect_eq(qp_blobs_delete(&txn, home, QP_LITERAL("k"), &why), QUIPU_ROW);
            cr_expect_eq(chunks(), before, "%zu bytes leave chunks", sizes[i]);
        }
        cr_expect_eq(qp_table_rows(&txn, home->rows), 0);
        cr_expect_eq(qp_blobs_delete(&txn, home, QP_LITERAL("k"), &why), QUIPU_OK, "it is gone");
        end();
    }
}

/* Each length in the place of each other. */
Test(blobs, replaced)
{
    for (size_t h = 0; h < 2; h++) {
        begin(&homes[h], 64 * QP_MIB);
        cr_assert_eq(put("other", 3 * CHUNK, 9), QUIPU_OK);
        for (size_t i = 0; i < SIZES; i++) {
            for (size_t j = 0; j < SIZES; j++) {
                cr_assert_eq(put("k", sizes[i], 1), QUIPU_OK, "%s", why.text);
                cr_assert_eq(put("k", sizes[j], 2), QUIPU_OK, "%s", why.text);
                expect("k", sizes[j], 2);
                cr_expect_eq(chunks(), 3 + needed(sizes[j]), "%zu, then %zu bytes", sizes[i],
                             sizes[j]);
            }
        }
        expect("other", 3 * CHUNK, 9);
        end();
    }
}

/* Who has the old row in an older snapshot has the old value too. */
Test(blobs, older_snapshots_keep_theirs)
{
    struct qp_txn older = {0};
    struct qp_txn newer;
    enum qp_commit_outcome outcome;

    begin(&homes[0], 16 * QP_MIB);
    cr_assert_eq(put("k", 2 * CHUNK, 1), QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&txn, &outcome, &why), QUIPU_OK);
    cr_assert_eq(qp_txn_begin_read(store, &older, &why), QUIPU_OK);
    cr_assert_eq(qp_txn_begin_write(store, &txn, &why), QUIPU_OK);
    cr_assert_eq(put("k", 3 * CHUNK, 2), QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&txn, &outcome, &why), QUIPU_OK);
    newer = txn;
    txn = older;
    expect("k", 2 * CHUNK, 1);
    qp_txn_end(&txn);
    txn = newer;
    end();
}

Test(blobs, numbers_are_never_used_again)
{
    for (size_t h = 0; h < 2; h++) {
        struct qp_long_row row;
        uint64_t next;

        begin(&homes[h], 16 * QP_MIB);
        cr_assert_eq(qp_blobs_next(&txn, home, &next, &why), QUIPU_OK);
        cr_expect_eq(next, 1);
        for (uint64_t i = 1; i <= 20; i++) {
            cr_assert_eq(put("k", 4001, 1), QUIPU_OK);
            cr_assert_eq(get("k", &row), QUIPU_ROW);
            cr_expect_eq(row.blob, i);
            if (i % 3 == 0)
                cr_assert_eq(qp_blobs_delete(&txn, home, QP_LITERAL("k"), &why), QUIPU_ROW);
            cr_assert_eq(put("short", 4000, 1), QUIPU_OK);
        }
        cr_assert_eq(qp_blobs_next(&txn, home, &next, &why), QUIPU_OK);
        cr_expect_eq(next, 21, "short values take no number");
        end();
    }
}

/* As FORMAT.md has it. */
Test(blobs, to_the_byte)
{
    struct qp_bytes stored = {0};
    struct qp_key key;

    begin(&homes[1], 0);
    cr_assert_eq(put("k", 3, 65), QUIPU_OK);
    cr_assert_eq(qp_get(&txn, home->rows, QP_LITERAL("k"), &stored, NULL), QUIPU_ROW);
    support_expect_bytes((const char *)stored.data + 8, stored.size - 8, "\0the hABC", 9, "short");
    cr_assert_eq(put("k", CHUNK + 2, 65), QUIPU_OK);
    cr_assert_eq(qp_get(&txn, home->rows, QP_LITERAL("k"), &stored, NULL), QUIPU_ROW);
    support_expect_bytes((const char *)stored.data + 8, stored.size - 8,
                         "\1the h\xea\x0f\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 22, "long");
    qp_key_blob(&key, 1, 1);
    cr_assert_eq(qp_get(&txn, home->blobs, qp_key_bytes(&key), &stored, NULL), QUIPU_ROW);
    cr_expect_eq(stored.size, 10);
    cr_expect_eq(memcmp((const char *)stored.data + 8, bytes + CHUNK, 2), 0);
    cr_assert_eq(qp_get(&txn, home->meta, QP_META_BLOBS, &stored, NULL), QUIPU_ROW);
    support_expect_bytes((const char *)stored.data + 8, stored.size - 8, "\2\0\0\0\0\0\0\0", 8,
                         "the next number");
    end();
}

/* Without a buffer the value of a long row is left out, and nothing of it is read. */
Test(blobs, sizes_alone)
{
    struct qp_bytes stored = {0};
    struct qp_long_row row;
    struct qp_key key;

    begin(&homes[1], 0);
    cr_assert_eq(put("k", 2 * CHUNK, 1), QUIPU_OK);
    qp_key_blob(&key, 1, 0);
    cr_assert_eq(qp_delete(&txn, home->blobs, qp_key_bytes(&key), &why), QUIPU_ROW);
    cr_assert_eq(qp_get(&txn, home->rows, QP_LITERAL("k"), &stored, NULL), QUIPU_ROW);
    cr_expect_eq(qp_blobs_read(&txn, home, QP_LITERAL("k"), stored, NULL, &row, &why), QUIPU_ROW);
    cr_expect(row.value.size == 2 * CHUNK && row.value.data == NULL && row.blob == 1);
    cr_expect_eq(get("k", &row), QUIPU_CORRUPT, "a chunk is missing");
    end();
}

/* Put a row as it is, behind the module's back; `seal`: with a right sum. */
static void put_raw(enum qp_table table, struct qp_bytes key, const uint8_t *row, size_t size,
                    bool seal)
{
    uint8_t copy[QP_ROW_BYTES_MAX];

    memcpy(copy, row, size);
    if (seal)
        qp_row_seal(table, key, copy, size);
    cr_assert_eq(qp_put(&txn, table, key, (struct qp_bytes){copy, size}, &why), QUIPU_OK);
}

static size_t copy_row(enum qp_table table, struct qp_bytes key, uint8_t row[QP_ROW_BYTES_MAX])
{
    struct qp_bytes stored = {0};

    cr_assert_eq(qp_get(&txn, table, key, &stored, NULL), QUIPU_ROW);
    memcpy(row, stored.data, stored.size);
    return stored.size;
}

/* One bit of each byte of a row, of the meta row and of the last chunk. */
Test(blobs, each_byte_counts)
{
    for (size_t h = 0; h < 2; h++) {
        struct qp_key chunk;
        struct qp_long_row out;

        begin(&homes[h], 16 * QP_MIB);
        cr_assert_eq(put("k", CHUNK + 30, 1), QUIPU_OK);
        qp_key_blob(&chunk, 1, 1);
        for (int part = 0; part < 2; part++) {
            enum qp_table table = part == 0 ? home->rows : home->blobs;
            struct qp_bytes key = part == 0 ? QP_LITERAL("k") : qp_key_bytes(&chunk);
            uint8_t row[QP_ROW_BYTES_MAX];
            size_t size = copy_row(table, key, row);

            for (size_t i = 0; i < size; i++) {
                row[i] ^= (uint8_t)(1 << i % 8);
                put_raw(table, key, row, size, false);
                cr_expect_eq(get("k", &out), QUIPU_CORRUPT, "part %d, byte %zu", part, i);
                row[i] ^= (uint8_t)(1 << i % 8);
            }
            put_raw(table, key, row, size, false);
            expect("k", CHUNK + 30, 1);
        }
        end();
    }
}

/* With a right sum, as who knows the format would write it. */
Test(blobs, what_cannot_be)
{
    static const struct {
        uint64_t size;
        uint64_t number;
        uint8_t form;
        size_t cut;
    } cases[] = {
        {CHUNK + 30, 1, 2, 0},            /* unknown form */
        {CHUNK + 30, 1, 1, 1},            /* too short */
        {CHUNK + 30, 0, 1, 0},            /* no blob */
        {CHUNK + 30, 2, 1, 0},            /* one that is not there */
        {QP_BLOB_INLINE_BYTES, 1, 1, 0},  /* it would stand in the row */
        {QP_BLOB_BYTES_MAX + 1, 1, 1, 0}, /* longer than any */
        {CHUNK + 29, 1, 1, 0},            /* the last chunk has more */
        {CHUNK + 31, 1, 1, 0},            /* and less */
        {CHUNK, 1, 1, 0},                 /* the first chunk alone: nobody can tell */
        {2 * CHUNK + 1, 1, 1, 0},         /* a chunk more than there are */
    };

    begin(&homes[1], 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t row[QP_ROW_BYTES_MAX];
        struct qp_long_row out;
        size_t size;

        cr_assert_eq(put("k", CHUNK + 30, 1), QUIPU_OK);
        size = copy_row(home->rows, QP_LITERAL("k"), row);
        cr_assert_eq(size, 9 + HEAD + 16);
        row[8] = cases[i].form;
        qp_set_u64(row + 9 + HEAD, cases[i].size);
        if (cases[i].number != 1)
            qp_set_u64(row + 9 + HEAD + 8, cases[i].number == 2 ? 999 : cases[i].number);
        put_raw(home->rows, QP_LITERAL("k"), row, size - cases[i].cut, true);
        why = (quipu_error){0};
        if (cases[i].size == CHUNK)
            cr_expect_eq(get("k", &out), QUIPU_ROW, "a shorter value that fits whole chunks");
        else
            cr_expect(get("k", &out) == QUIPU_CORRUPT && why.text[0] != '\0', "case %zu", i);
        cr_expect_geq(qp_blobs_delete(&txn, home, QP_LITERAL("k"), &why), 0, "case %zu", i);
        cr_expect_eq(get("k", &out), QUIPU_OK, "it goes all the same");
    }
    put_raw(home->rows, QP_LITERAL("k"), (const uint8_t *)"12345678\0he", 11, true);
    cr_expect_eq(get("k", &(struct qp_long_row){0}), QUIPU_CORRUPT, "shorter than its head");
    put_raw(home->meta, QP_META_BLOBS, (const uint8_t *)"12345678123456789", 17, true);
    cr_expect_eq(put("other", 4001, 1), QUIPU_CORRUPT, "a number that is none is not gone on from");
    end();
}

/* A row that cannot be read is replaced: it must not hold its place for ever. */
Test(blobs, damage_is_replaced)
{
    uint8_t row[QP_ROW_BYTES_MAX];
    size_t size;

    begin(&homes[1], 0);
    cr_assert_eq(put("k", 2 * CHUNK, 1), QUIPU_OK);
    size = copy_row(home->rows, QP_LITERAL("k"), row);
    row[0] ^= 1;
    put_raw(home->rows, QP_LITERAL("k"), row, size, false);
    cr_assert_eq(put("k", 3 * CHUNK, 2), QUIPU_OK, "%s", why.text);
    expect("k", 3 * CHUNK, 2);
    cr_expect_eq(chunks(), 5, "those of the damaged row are nobody's");
    end();
}

Test(blobs, no_memory)
{
    struct qp_long_row row;

    begin(&homes[0], 16 * QP_MIB);
    cr_assert_eq(put("k", 3 * CHUNK, 1), QUIPU_OK);
    support_heap_fail(1, false);
    cr_expect_eq(get("k", &row), QUIPU_NO_MEMORY);
    support_heap_fail(0, false);
    expect("k", 3 * CHUNK, 1);
    end();
}

/* What did not fit leaves nothing once its transaction has ended. */
Test(blobs, map_full)
{
    enum qp_commit_outcome outcome;
    int rc = QUIPU_OK;

    begin(&homes[0], QP_MAP_BYTES_MIN);
    cr_assert_eq(put("k", LONGEST, 1), QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&txn, &outcome, &why), QUIPU_OK);
    cr_assert_eq(qp_txn_begin_write(store, &txn, &why), QUIPU_OK);
    cr_assert_eq(put("k", 2 * CHUNK, 2), QUIPU_OK);
    for (int i = 0; i < 1000 && rc == QUIPU_OK; i++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "row-%d", i);
        rc = put(key, LONGEST, (uint8_t)i);
    }
    cr_expect_eq(rc, QUIPU_FULL, "%d", rc);
    qp_txn_end(&txn);
    cr_assert_eq(qp_txn_begin_write(store, &txn, &why), QUIPU_OK);
    expect("k", LONGEST, 1);
    cr_expect_eq(chunks(), needed(LONGEST));
    cr_expect_eq(qp_table_rows(&txn, home->rows), 1);
    end();
}

/* ---- what several rows have ---- */

static void expect_shared(const uint64_t *numbers, size_t count, const uint64_t *shared,
                          size_t shared_count)
{
    struct qp_blob_uses uses = {0};
    size_t at = 0;

    for (size_t i = 0; i < count; i++)
        cr_assert_eq(qp_blob_uses_add(&uses, numbers[i], &why), QUIPU_OK);
    for (size_t i = 0; i < shared_count; i++)
        cr_expect_eq(qp_blob_uses_shared(&uses, &at), shared[i], "number %zu", i);
    cr_expect_eq(qp_blob_uses_shared(&uses, &at), 0);
    cr_expect_eq(qp_blob_uses_shared(&uses, &at), 0, "and it stays at the end");
    qp_blob_uses_release(&uses);
}

Test(blobs, uses)
{
    static const uint64_t some[] = {5, 3, 0, 5, 9, 3, 0, 3, UINT64_MAX, 1, UINT64_MAX};
    static const uint64_t shared[] = {3, 5, UINT64_MAX};

    expect_shared(NULL, 0, NULL, 0);
    expect_shared(some, 2, NULL, 0);
    expect_shared(some, 4, shared + 1, 1);
    expect_shared(some, sizeof(some) / sizeof(some[0]), shared, 3);
}
