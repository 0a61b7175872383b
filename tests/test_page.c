/* test_page.c - page.c: LMDB's pages from outside, built here by hand and, for the layout's sake,
 * one file that LMDB wrote. */
#include "key.h"
#include "log.h"
#include "page.h"
#include "support_suite.h"

#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(page);

/* ---- meta pages ---- */

static void make_meta(uint8_t page[QP_PAGE_META_BYTES])
{
    memset(page, 0, QP_PAGE_META_BYTES);
    qp_set_u16(page + 10, 8); /* a meta page */
    qp_set_u32(page + 16, UINT32_C(0xBEEFC0DE));
    qp_set_u32(page + 20, 1);
    qp_set_u32(page + 40, 4096);
    qp_set_u64(page + 136, 99); /* last page */
    qp_set_u64(page + 144, 7);  /* transaction */
}

Test(page, meta)
{
    uint8_t page[QP_PAGE_META_BYTES];
    struct qp_page_meta meta;

    make_meta(page);
    cr_assert(qp_page_meta_read(page, &meta));
    cr_expect_eq(meta.page_bytes, 4096);
    cr_expect_eq(meta.last_page, 99);
    cr_expect_eq(meta.transaction, 7);
}

Test(page, meta_refused)
{
    static const struct {
        size_t offset;
        unsigned width;
        uint64_t value;
        bool good;
    } cases[] = {
        {10, 2, 0, false},           {10, 2, 1, false},
        {10, 2, 8 | 16, true},                                   /* LMDB may call it dirty */
        {16, 4, 0xBEEFC0DF, false},  {16, 4, 0xDEC0EFBE, false}, /* the other byte order */
        {20, 4, 0, false},           {20, 4, 2, false},
        {20, 4, 999, false},         {40, 4, 0, false},
        {40, 4, 256, false},         {40, 4, 511, false},
        {40, 4, 512, true},          {40, 4, 513, false},
        {40, 4, 4097, false},        {40, 4, 32768, true},
        {40, 4, 65536, true},        {40, 4, 131072, false},
        {40, 4, UINT32_MAX, false},  {136, 8, 0, true},
        {136, 8, UINT64_MAX, false}, {136, 8, UINT64_MAX / 65536, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t page[QP_PAGE_META_BYTES];
        struct qp_page_meta meta;

        make_meta(page);
        memcpy(page + cases[i].offset, &cases[i].value, cases[i].width);
        cr_expect_eq(qp_page_meta_read(page, &meta), cases[i].good, "case %zu", i);
    }
}

/* Both meta pages together: of which file can they be? */
Test(page, metas_that_do_not_fit)
{
    static const struct {
        uint64_t numbers[2];
        uint64_t transactions[2];
        uint64_t last_pages[2];
        uint64_t file_bytes;
        const char *wrong; /* NULL: nothing */
    } cases[] = {
        {{0, 1}, {6, 7}, {99, 99}, 100 * 4096, NULL},
        {{0, 1}, {8, 7}, {99, 50}, 100 * 4096, NULL},
        {{0, 1}, {0, 0}, {1, 1}, 2 * 4096, NULL}, /* as LMDB makes them */
        {{0, 1}, {0, 1}, {1, 1}, 2 * 4096, NULL},
        {{1, 1}, {6, 7}, {99, 99}, 100 * 4096, "page 0 is no meta page"},
        {{0, 0}, {6, 7}, {99, 99}, 100 * 4096, "page 1 is no meta page"},
        {{0, 1}, {5, 7}, {99, 99}, 100 * 4096, "wrote the other one"},
        {{0, 1}, {6, 6}, {99, 99}, 100 * 4096, "wrote the other one"},
        {{0, 1}, {2, 0}, {99, 99}, 100 * 4096, "wrote the other one"},
        {{0, 1}, {4, 7}, {99, 99}, 100 * 4096, "followed each other"},
        {{0, 1}, {10, 7}, {99, 99}, 100 * 4096, "followed each other"},
        {{0, 1}, {6, 7}, {99, 0}, 100 * 4096, "last page that cannot be"},
        {{0, 1}, {6, 7}, {0, 99}, 100 * 4096, "last page that cannot be"},
        {{0, 1}, {6, 7}, {99, 98}, 100 * 4096, "last page that cannot be"},
        {{0, 1}, {6, 7}, {99, 99}, 100 * 4096 - 1, "ends before its last page"},
        {{0, 1},
         {6, 7},
         {QP_PAGE_COUNT_MAX, QP_PAGE_COUNT_MAX},
         UINT64_MAX,
         "ends before its last page"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t pages[QP_PAGE_METAS][QP_PAGE_META_BYTES];
        struct qp_page_meta newest;
        const char *wrong;

        for (size_t k = 0; k < QP_PAGE_METAS; k++) {
            make_meta(pages[k]);
            qp_set_u64(pages[k], cases[i].numbers[k]);
            qp_set_u64(pages[k] + 136, cases[i].last_pages[k]);
            qp_set_u64(pages[k] + 144, cases[i].transactions[k]);
        }
        wrong = qp_page_metas_wrong((const uint8_t(*)[QP_PAGE_META_BYTES])pages,
                                    cases[i].file_bytes, &newest);
        cr_expect_eq(wrong != NULL, cases[i].wrong != NULL, "case %zu: %s", i,
                     wrong != NULL ? wrong : "");
        if (wrong != NULL && cases[i].wrong != NULL)
            cr_expect_not_null(strstr(wrong, cases[i].wrong), "case %zu: %s", i, wrong);
        if (wrong == NULL)
            cr_expect_eq(newest.last_page,
                         cases[i].last_pages[cases[i].transactions[1] > cases[i].transactions[0]],
                         "case %zu", i);
    }
}

Test(page, meta_of_random_bytes)
{
    struct support_random random = {8};

    for (int i = 0; i < 20000; i++) {
        uint8_t page[QP_PAGE_META_BYTES];
        struct qp_page_meta meta;

        make_meta(page);
        for (int j = 0; j < 4; j++)
            page[support_random_below(&random, sizeof(page))] = (uint8_t)support_random(&random);
        if (qp_page_meta_read(page, &meta))
            cr_assert((meta.last_page + 1) * meta.page_bytes > meta.last_page, "no wrap");
    }
}

Test(page, root)
{
    uint8_t record[48] = {0};
    uint64_t root = 0;
    unsigned depth = 0;

    qp_set_u16(record + 6, 3);
    qp_set_u64(record + 40, UINT64_C(0x0102030405060708));
    cr_assert(qp_page_root((struct qp_bytes){record, 48}, &root, &depth));
    cr_expect_eq(root, UINT64_C(0x0102030405060708));
    cr_expect_eq(depth, 3);
    for (size_t size = 0; size < 64; size++)
        if (size != 48)
            cr_expect_not(qp_page_root((struct qp_bytes){record, size}, &root, &depth), "%zu",
                          size);
}

/* ---- branch pages ---- */

enum { PAGE_BYTES = 4096 };

/* Children 1000, 1001 ... under keys[0] (which LMDB leaves out), keys[1] ... */
static void make_branch(uint8_t *page, const uint64_t *keys, size_t count)
{
    size_t upper = PAGE_BYTES;

    memset(page, 0, PAGE_BYTES);
    qp_set_u16(page + 10, 1); /* a branch */
    qp_set_u16(page + 12, (uint16_t)(16 + 2 * count));
    for (size_t i = 0; i < count; i++) {
        uint64_t child = UINT64_C(0x112300001000) + i;

        upper -= i == 0 ? 8 : 16;
        qp_set_u16(page + 16 + 2 * i, (uint16_t)upper);
        qp_set_u16(page + upper, (uint16_t)child);
        qp_set_u16(page + upper + 2, (uint16_t)(child >> 16));
        qp_set_u16(page + upper + 4, (uint16_t)(child >> 32));
        qp_set_u16(page + upper + 6, i == 0 ? 0 : 8);
        if (i > 0)
            qp_set_u64(page + upper + 8, keys[i]);
    }
}

Test(page, child_of_each_key)
{
    uint64_t keys[200];

    for (size_t count = 1; count <= 200; count = count < 5 ? count + 1 : count * 3) {
        uint8_t page[PAGE_BYTES];

        for (size_t i = 0; i < count; i++)
            keys[i] = 10 * i;
        make_branch(page, keys, count);
        for (uint64_t key = 0; key < 10 * count + 20; key++) {
            uint64_t wanted = key / 10 < count ? key / 10 : count - 1;
            uint64_t child = 0;

            cr_assert(qp_page_child(page, PAGE_BYTES, key, &child));
            cr_expect_eq(child, UINT64_C(0x112300001000) + wanted, "%zu children, key %llu", count,
                         (unsigned long long)key);
        }
    }
}

Test(page, child_refused)
{
    static const uint64_t keys[] = {0, 10, 20, 30};
    static const struct {
        const char *what;
        size_t offset;
        uint16_t value;
        uint64_t key; /* 0: 25 */
    } cases[] = {
        {"a leaf", 10, 2, 0},
        {"an overflow page", 10, 4, 0},
        {"pointers that end before they begin", 12, 15, 0},
        {"no pointers", 12, 16, 0},
        {"no whole pointer", 12, 17, 0},
        {"pointers that end after the page", 12, 4097, 0},
        {"pointers that end far after the page", 12, 0xfffe, 0},
        {"the first node cut by the page's end", 16, 4090, 5},
        {"a node in the header", 16 + 2 * 2, 15, 0},
        {"a node after the page", 16 + 2 * 2, 4096, 0},
        {"a node cut by the page's end", 16 + 2 * 2, 4090, 0},
        {"a node whose key is cut by the page's end", 16 + 2 * 2, 4085, 0},
        {"a key of 7 bytes", 4096 - 8 - 2 * 16 + 6, 7, 0},
        {"a key of 0 bytes", 4096 - 8 - 2 * 16 + 6, 0, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t page[PAGE_BYTES];
        uint64_t child;

        make_branch(page, keys, 4);
        cr_assert(qp_page_child(page, PAGE_BYTES, 25, &child));
        qp_set_u16(page + cases[i].offset, cases[i].value);
        cr_expect_not(qp_page_child(page, PAGE_BYTES, cases[i].key > 0 ? cases[i].key : 25, &child),
                      "%s", cases[i].what);
    }
}

Test(page, child_of_random_bytes)
{
    struct support_random random = {9};
    uint8_t *page = malloc(PAGE_BYTES); /* of its own, so that a read after it is seen */

    cr_assert_not_null(page);
    for (int i = 0; i < 50000; i++) {
        uint64_t child;

        for (size_t j = 0; j < 64; j++)
            page[j] = (uint8_t)support_random(&random);
        for (size_t j = 0; j < 64; j++)
            page[PAGE_BYTES - 1 - j] = (uint8_t)support_random_below(&random, 9);
        qp_set_u16(page + 10, 1);
        qp_set_u16(page + 12, (uint16_t)support_random_below(&random, 4200));
        if (i % 2 == 0)
            for (size_t j = 16; j < 64; j += 2)
                qp_set_u16(page + j, (uint16_t)(PAGE_BYTES - support_random_below(&random, 40)));
        (void)qp_page_child(page, PAGE_BYTES, support_random(&random), &child);
    }
    free(page);
}

/* ---- a file that LMDB wrote ---- */

/* Go down the log's tree as the read-ahead does: the leaf must have the position's record. */
static uint64_t leaf_of(const uint8_t *file, size_t page_bytes, uint64_t root, unsigned depth,
                        uint64_t position)
{
    uint64_t at = root;

    for (unsigned level = 1; level < depth; level++)
        cr_assert(qp_page_child(file + at * page_bytes, page_bytes, position, &at));
    return at;
}

static void append_events(struct qp_store *store, uint64_t count)
{
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;
    uint8_t value[300] = {0};

    cr_assert_eq(qp_txn_begin_write(store, &txn, NULL), QUIPU_OK);
    for (uint64_t position = 1; position <= count; position++) {
        void *room;

        qp_set_u64(value, position);
        cr_assert_eq(qp_append_reserve(&txn, QP_TABLE_LOG, qp_key_position(&position),
                                       sizeof(value), &room, NULL),
                     QUIPU_OK);
        memcpy(room, value, sizeof(value));
    }
    cr_assert_eq(qp_txn_commit(&txn, &outcome, NULL), QUIPU_OK);
}

Test(page, tree_of_a_real_file)
{
    enum { EVENTS = 30000, FILE_MAX = 32 << 20 };
    char path[SUPPORT_PATH_BYTES];
    struct qp_store_config config = {.path = support_path(path, "log.mdb"),
                                     .tables = qp_log_tables,
                                     .table_count = qp_log_table_count,
                                     .map_bytes = 64 * QP_MIB,
                                     .readers_max = 10,
                                     .create = true};
    struct qp_store *store;
    struct qp_txn txn = {0};
    struct qp_bytes record;
    struct qp_page_meta meta;
    uint8_t *file = malloc(FILE_MAX);
    size_t size = FILE_MAX;
    uint64_t root = 0;
    unsigned depth = 0;

    cr_assert_eq(qp_store_open(&config, &store, NULL), QUIPU_OK);
    append_events(store, EVENTS);
    cr_assert(support_read_file(path, file, &size));
    cr_assert(qp_page_meta_read(file, &meta) || qp_page_meta_read(file + 4096, &meta));
    cr_assert_eq(qp_txn_begin_read(store, &txn, NULL), QUIPU_OK);
    cr_assert_eq(qp_table_record(&txn, "log", &record), QUIPU_ROW);
    cr_assert(qp_page_root(record, &root, &depth));
    cr_expect_geq(depth, 3, "%u levels", depth);
    for (uint64_t position = 1; position <= EVENTS; position += 7) {
        uint64_t leaf = leaf_of(file, meta.page_bytes, root, depth, position);
        struct qp_bytes value;

        cr_assert_leq((leaf + 1) * meta.page_bytes, size);
        cr_assert_eq(qp_get(&txn, QP_TABLE_LOG, qp_key_position(&position), &value, NULL),
                     QUIPU_ROW);
        cr_assert_not_null(
            memmem(file + leaf * meta.page_bytes, meta.page_bytes, value.data, value.size),
            "position %llu is not on page %llu", (unsigned long long)position,
            (unsigned long long)leaf);
    }
    qp_txn_end(&txn);
    qp_store_close(store);
    free(file);
}
