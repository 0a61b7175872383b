/* test_walk.c - files that LMDB wrote are walked without a finding, whatever was done in them; and
 * for each rule of a page there is a file that breaks it, and it alone. */
#include "key.h"
#include "support_suite.h"
#include "support_system.h"
#include "walk.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(walk);

enum { PAGE = 4096, LEAF_LENGTH_MAX = 2038 };

static const struct qp_walk_table tables[] = {{"log", true}, {"words", false}, {"empty", false}};
enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

/* ---- a file in memory, and what is found in it ----------------------------------------------- */

static struct {
    uint8_t *bytes;
    size_t size;
    struct qp_walked walked;
    char text[1 << 16]; /* "table: text", a line each */
    long reads;
    long read_fails; /* the n-th; 0: none */
    long stop_at;    /* the n-th finding; 0: none */
} file;

static int read_memory(void *payload, uint64_t offset, void *bytes, size_t size, quipu_error *error)
{
    cr_assert(payload == &file && offset + size <= file.size, "a read at %zu", (size_t)offset);
    if (++file.reads == file.read_fails) {
        if (error != NULL)
            error->status = QUIPU_IO;
        return QUIPU_IO;
    }
    memcpy(bytes, file.bytes + offset, size);
    return QUIPU_OK;
}

static int note(void *payload, const char *table, const char *text)
{
    size_t used = strlen(file.text);

    cr_assert(payload == &file);
    (void)snprintf(file.text + used, sizeof(file.text) - used, "%s: %s\n", table, text);
    return file.stop_at != 0 && --file.stop_at == 0 ? 77 : QUIPU_OK;
}

static int walk(void)
{
    const struct qp_walk_file source = {read_memory, &file};
    struct qp_page_meta newest;
    uint8_t metas[QP_PAGE_METAS][QP_PAGE_META_BYTES];
    const char *wrong;

    file.walked = (struct qp_walked){0};
    file.text[0] = '\0';
    file.reads = 0;
    for (size_t i = 0; i < QP_PAGE_METAS; i++)
        memcpy(metas[i], file.bytes + i * PAGE, sizeof(metas[i]));
    wrong = qp_page_metas_wrong((const uint8_t(*)[QP_PAGE_META_BYTES])metas, file.size, &newest);
    if (wrong != NULL)
        return note(&file, "", wrong);
    return qp_walk_pages(&source, &newest, tables, TABLES, note, &file, &file.walked, NULL);
}

static void load(const char *path)
{
    file.size = (size_t)sys_file_size(path);
    file.bytes = realloc(file.bytes, file.size);
    cr_assert_not_null(file.bytes);
    sys_file_read(path, 0, file.bytes, file.size);
}

static void unload(void)
{
    free(file.bytes);
    file.bytes = NULL;
}

/* ---- what LMDB writes ------------------------------------------------------------------------ */

static MDB_env *open_env(const char *name, unsigned flags)
{
    char path[SUPPORT_PATH_BYTES];
    MDB_env *env;

    cr_assert(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 200) == 0);
    cr_assert(mdb_env_set_mapsize(env, 256 << 20) == 0);
    cr_assert(
        mdb_env_open(env, support_path(path, name), MDB_NOSUBDIR | MDB_NOSYNC | flags, 0600) == 0);
    return env;
}

static MDB_txn *begin(MDB_env *env)
{
    MDB_txn *txn;

    cr_assert(mdb_txn_begin(env, NULL, 0, &txn) == 0);
    return txn;
}

static MDB_dbi open_table(MDB_txn *txn, size_t i)
{
    MDB_dbi table;
    unsigned flags = MDB_CREATE | (tables[i].integer_key ? MDB_INTEGERKEY : 0);

    cr_assert(mdb_dbi_open(txn, tables[i].name, flags, &table) == 0);
    return table;
}

static void put_number(MDB_txn *txn, MDB_dbi table, uint64_t number, size_t size)
{
    MDB_val key = {sizeof(number), &number};
    MDB_val value = {size, NULL};

    cr_assert(mdb_put(txn, table, &key, &value, MDB_RESERVE) == 0);
    memset(value.mv_data, (int)number, size);
}

static void put_word(MDB_txn *txn, MDB_dbi table, const char *word, size_t size)
{
    MDB_val key = {strlen(word), (void *)(uintptr_t)word};
    MDB_val value = {size, NULL};

    cr_assert(mdb_put(txn, table, &key, &value, MDB_RESERVE) == 0);
    memset(value.mv_data, 'v', size);
}

static void delete_number(MDB_txn *txn, MDB_dbi table, uint64_t number)
{
    MDB_val key = {sizeof(number), &number};
    int rc = mdb_del(txn, table, &key, NULL);

    cr_assert(rc == 0 || rc == MDB_NOTFOUND);
}

static void expect_whole(const char *what)
{
    uint64_t last;
    struct qp_page_meta metas[QP_PAGE_METAS];

    cr_assert(walk() == QUIPU_OK);
    cr_expect(file.text[0] == '\0', "%s: %s", what, file.text);
    cr_expect(file.walked.findings == 0 && !file.walked.foreign);
    cr_assert(qp_page_meta_read(file.bytes, &metas[0]));
    cr_assert(qp_page_meta_read(file.bytes + PAGE, &metas[1]));
    last = metas[metas[0].transaction < metas[1].transaction].last_page;
    cr_expect(file.walked.leaked_pages == 0, "%s: %u leaked", what,
              (unsigned)file.walked.leaked_pages);
    cr_expect(file.walked.pages + file.walked.free_pages == last + 1, "%s: %u + %u of %u pages",
              what, (unsigned)file.walked.pages, (unsigned)file.walked.free_pages,
              (unsigned)last + 1);
}

/* Rows of all sizes come, change and go, at the end, at the begin and anywhere, in small and large
 * transactions, with and without a reader that keeps pages from being used again. */
static void churn(MDB_env *env, struct support_random *random, unsigned rounds, size_t size_max)
{
    MDB_txn *reader = NULL;

    for (unsigned i = 0; i < rounds; i++) {
        MDB_txn *txn = begin(env);
        MDB_dbi log = open_table(txn, 0);
        MDB_dbi words = open_table(txn, 1);
        uint64_t count = support_random_below(random, 10) == 0 ? 2000 : 40;

        (void)open_table(txn, 2);
        for (uint64_t j = 0; j < count; j++) {
            uint64_t number = support_random_below(random, 3000);
            size_t size = (size_t)support_random_below(random, size_max);
            char word[600];

            memset(word, 'a', sizeof(word));
            (void)snprintf(word, sizeof(word), "%0*u", 1 + (int)(number % 500), (unsigned)number);
            if (i % 7 == 6 && j > 3) { /* a purge */
                delete_number(txn, log, number);
                continue;
            }
            put_number(txn, log, number, size);
            if (j % 2 == 0)
                put_word(txn, words, word, size / 3);
            else if (j % 5 == 0)
                (void)mdb_del(txn, words, &(MDB_val){strlen(word), word}, NULL);
        }
        if (support_random_below(random, 8) == 0)
            mdb_txn_abort(txn);
        else
            cr_assert(mdb_txn_commit(txn) == 0);
        if (i % 9 == 3 && reader == NULL)
            cr_assert(mdb_txn_begin(env, NULL, MDB_RDONLY, &reader) == 0);
        if (i % 9 == 8 && reader != NULL) {
            mdb_txn_abort(reader);
            reader = NULL;
        }
    }
    mdb_txn_abort(reader); /* takes NULL */
}

Test(walk, whatever_lmdb_writes)
{
    static const size_t sizes[] = {1, 50, 400, 2100, 4090, 30000};
    struct support_random random = {11};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char name[32];
        char path[SUPPORT_PATH_BYTES];
        MDB_env *env = open_env((snprintf(name, sizeof(name), "churn-%zu", i), name), MDB_NOTLS);

        for (unsigned j = 0; j < 6; j++) {
            churn(env, &random, 15, sizes[i]);
            load(support_path(path, name));
            expect_whole(name);
        }
        mdb_env_close(env);
    }
    unload();
}

/* All rows go: trees shrink to nothing, and the free list grows long. */
Test(walk, emptied)
{
    char path[SUPPORT_PATH_BYTES];
    MDB_env *env = open_env("emptied", 0);
    MDB_txn *txn = begin(env);

    for (size_t i = 0; i < TABLES; i++)
        (void)open_table(txn, i);
    cr_assert(mdb_txn_commit(txn) == 0);
    load(support_path(path, "emptied"));
    expect_whole("made");
    txn = begin(env);
    for (uint64_t i = 0; i < 30000; i++)
        put_number(txn, open_table(txn, 0), i, 500);
    cr_assert(mdb_txn_commit(txn) == 0);
    load(path);
    expect_whole("full");
    for (unsigned step = 0; step < 10; step++) {
        txn = begin(env);
        for (uint64_t i = step * 3000U; i < step * 3000U + 3000; i++)
            delete_number(txn, open_table(txn, 0), i);
        cr_assert(mdb_txn_commit(txn) == 0);
        load(path);
        expect_whole("emptied");
    }
    cr_expect(file.walked.free_pages > 3000);
    mdb_env_close(env);
    unload();
}

/* ---- one file, in which everything that can be damaged has a place --------------------------- */

/* log: three levels, short rows, one on a run of pages, two on a page each. words: two levels. The
 * free list has a record on the leaf, and one on a run of pages. */
static void make_sample(void)
{
    char path[SUPPORT_PATH_BYTES];
    MDB_env *env = open_env("sample", MDB_NOTLS);
    MDB_txn *reader;
    MDB_txn *txn = begin(env);
    MDB_dbi log = open_table(txn, 0);
    MDB_dbi words = open_table(txn, 1);
    char word[300];

    (void)open_table(txn, 2);
    for (uint64_t i = 1; i <= 4000; i++)
        put_number(txn, log, i, 400);
    for (int i = 0; i < 300; i++)
        put_word(txn, words, (snprintf(word, sizeof(word), "%0200d", i), word), 10);
    put_number(txn, log, 10, 10000);
    put_number(txn, log, 11, 4000);
    put_number(txn, log, 12, 4000);
    cr_assert(mdb_txn_commit(txn) == 0);
    cr_assert(mdb_txn_begin(env, NULL, MDB_RDONLY, &reader) == 0);
    txn = begin(env);
    for (uint64_t i = 0; i < 6000; i++)
        put_number(txn, log, 5000 + i, 400);
    cr_assert(mdb_txn_commit(txn) == 0);
    txn = begin(env);
    for (uint64_t i = 0; i < 6000; i++)
        delete_number(txn, log, 5000 + i); /* frees pages that the reader keeps */
    cr_assert(mdb_txn_commit(txn) == 0);
    txn = begin(env);
    put_number(txn, log, 4500, 400);
    cr_assert(mdb_txn_commit(txn) == 0);
    mdb_txn_abort(reader);
    mdb_env_close(env);
    load(support_path(path, "sample"));
    expect_whole("sample");
}

static uint8_t *page_at(uint64_t number)
{
    cr_assert(number < file.size / PAGE, "page %zu", (size_t)number);
    return file.bytes + number * PAGE;
}

/* The record of the newest meta page, or of a named table. */
static uint8_t *newest_meta(void)
{
    return page_at(qp_get_u64(file.bytes + 144) > qp_get_u64(file.bytes + PAGE + 144) ? 0 : 1);
}

static uint8_t *free_record(void)
{
    return newest_meta() + 40;
}

static uint8_t *main_record(void)
{
    return newest_meta() + 88;
}

static uint64_t root_of(const uint8_t *record)
{
    return qp_get_u64(record + 40);
}

static uint8_t *node_at(uint8_t *page, size_t index)
{
    return page + qp_get_u16(page + 16 + 2 * index);
}

static size_t count_of(const uint8_t *page)
{
    return (qp_get_u16(page + 12) - 16U) / 2;
}

static uint8_t *named_record(const char *name)
{
    uint8_t *page = page_at(root_of(main_record()));

    for (size_t i = 0; i < count_of(page); i++) {
        uint8_t *node = node_at(page, i);

        if (qp_get_u16(node + 6) == strlen(name) && memcmp(node + 8, name, strlen(name)) == 0)
            return node + 8 + strlen(name);
    }
    cr_assert(false, "no table %s", name);
    return NULL;
}

/* A page of a named table: the child `a` of the root, the child `b` of that. */
static uint8_t *below(const char *name, size_t a, size_t b)
{
    uint8_t *page = page_at(root_of(named_record(name)));

    page = page_at(qp_get_u32(node_at(page, a)));
    return b == SIZE_MAX ? page : page_at(qp_get_u32(node_at(page, b)));
}

static uint8_t *root(const char *name)
{
    return page_at(root_of(named_record(name)));
}

static uint8_t *leaf(void) /* of log, in the middle, with short rows */
{
    return below("log", 0, 5);
}

/* The rows of log that are on pages of their own: in the first leaf. 0: 10 000 bytes. */
static uint8_t *big_node(size_t which)
{
    for (size_t i = 0; i < 3; i++) {
        uint8_t *page = below("log", 0, i);

        for (size_t j = 0; j < count_of(page); j++)
            if (qp_get_u16(node_at(page, j) + 4) == 1 && which-- == 0)
                return node_at(page, j);
    }
    cr_assert(false, "no big row");
    return NULL;
}

static uint8_t *big_page(size_t which)
{
    return page_at(qp_get_u64(big_node(which) + 16));
}

/* Records of the free list; `big`: the one on pages of its own. */
static uint8_t *free_node(bool big)
{
    uint8_t *page = page_at(root_of(free_record()));

    for (size_t i = 0; i < count_of(page); i++)
        if ((qp_get_u16(node_at(page, i) + 4) == 1) == big)
            return node_at(page, i);
    cr_assert(false, "no such record");
    return NULL;
}

static uint8_t *free_newest(void)
{
    uint8_t *page = page_at(root_of(free_record()));

    return node_at(page, count_of(page) - 1);
}

static uint8_t *free_value(bool big)
{
    uint8_t *node = free_node(big);

    return big ? page_at(qp_get_u64(node + 16)) + 16 : node + 16;
}

/* ---- what is done to it, and what is said ---------------------------------------------------- */

static void add16(uint8_t *at, int by)
{
    qp_set_u16(at, (uint16_t)(qp_get_u16(at) + by));
}

static void add64(uint8_t *at, int by)
{
    qp_set_u64(at, qp_get_u64(at) + (uint64_t)by);
}

static void swap16(uint8_t *a, uint8_t *b)
{
    uint16_t kept = qp_get_u16(a);

    qp_set_u16(a, qp_get_u16(b));
    qp_set_u16(b, kept);
}

#define MUTATION(name, statement)                                                                  \
    static void name(void)                                                                         \
    {                                                                                              \
        statement;                                                                                 \
    }

MUTATION(meta_magic_0, file.bytes[16] ^= 1)
MUTATION(meta_magic_1, file.bytes[PAGE + 16] ^= 1)
MUTATION(meta_version, file.bytes[PAGE + 20] ^= 2)
MUTATION(meta_number, file.bytes[PAGE] = 2)
MUTATION(meta_flags, qp_set_u16(file.bytes + PAGE + 10, 2))
MUTATION(meta_sizes, qp_set_u32(file.bytes + PAGE + 40, 8192))
MUTATION(meta_parity, add64(file.bytes + 144, 1))
MUTATION(meta_far, add64(newest_meta() + 144, 4))
MUTATION(meta_last_small, qp_set_u64(newest_meta() + 136, 0))
MUTATION(meta_last_large, add64(newest_meta() + 136, 1 << 20))
MUTATION(file_short, file.size -= (file.size / PAGE - qp_get_u64(newest_meta() + 136)) * PAGE)

MUTATION(main_flags, add16(main_record() + 4, 4))
MUTATION(main_pad, main_record()[0] = 1)
MUTATION(free_flags, add16(free_record() + 4, -8))
MUTATION(table_dupsort, add16(named_record("words") + 4, 4))
MUTATION(log_no_integer, qp_set_u16(named_record("log") + 4, 0))
MUTATION(words_integer, qp_set_u16(named_record("words") + 4, 8))
MUTATION(table_pad, named_record("words")[1] = 1)
MUTATION(too_deep, qp_set_u16(named_record("log") + 6, 33))
MUTATION(depth_without_root, qp_set_u16(named_record("empty") + 6, 1))
MUTATION(root_without_depth, qp_set_u16(named_record("words") + 6, 0))
MUTATION(one_level_less, add16(named_record("log") + 6, -1))
MUTATION(one_level_more, add16(named_record("log") + 6, 1))
MUTATION(no_such_root, add64(named_record("log") + 40, 1 << 24))
MUTATION(root_is_meta, qp_set_u64(named_record("log") + 40, 1))
MUTATION(count_branches, add64(named_record("log") + 8, 1))
MUTATION(count_leaves, add64(named_record("log") + 16, -1))
MUTATION(count_overflows, add64(named_record("log") + 24, 1))
MUTATION(count_rows, add64(named_record("words") + 32, 1))
MUTATION(count_of_empty, add64(named_record("empty") + 32, 1))
MUTATION(count_main, add64(main_record() + 32, 1))
MUTATION(count_free, add64(free_record() + 16, 1))

MUTATION(page_number, add64(leaf(), 1))
MUTATION(page_of_branch, add64(below("log", 0, SIZE_MAX), 1))
MUTATION(leaf_is_branch, qp_set_u16(leaf() + 10, 1))
MUTATION(leaf_is_dirty, qp_set_u16(leaf() + 10, 0x12))
MUTATION(leaf_of_fixed, qp_set_u16(leaf() + 10, 0x22))
MUTATION(branch_is_leaf, qp_set_u16(below("log", 0, SIZE_MAX) + 10, 2))
MUTATION(root_is_leaf, qp_set_u16(root("words") + 10, 2))
MUTATION(lower_odd, add16(leaf() + 12, -1))
MUTATION(lower_small, qp_set_u16(leaf() + 12, 14))
MUTATION(lower_above_upper, qp_set_u16(leaf() + 14, 16))
MUTATION(upper_large, qp_set_u16(leaf() + 14, PAGE + 2))
MUTATION(no_rows, qp_set_u16(leaf() + 12, 16))
MUTATION(lone_child, qp_set_u16(root("words") + 12, 18))
MUTATION(row_less, add16(leaf() + 12, -2))
MUTATION(row_more, add16(leaf() + 12, 2))
MUTATION(upper_less, add16(leaf() + 14, -2))
MUTATION(upper_more, add16(leaf() + 14, 2))
MUTATION(pointer_outside, qp_set_u16(leaf() + 16, PAGE - 4))
MUTATION(pointer_beyond, qp_set_u16(leaf() + 16, UINT16_MAX))
MUTATION(pointer_odd, add16(leaf() + 16, 1))
MUTATION(pointer_into_header, qp_set_u16(leaf() + 16, 2))
MUTATION(pointers_equal, qp_set_u16(leaf() + 16, qp_get_u16(leaf() + 18)))
MUTATION(key_longer, add16(node_at(leaf(), 0) + 6, 2))
MUTATION(key_huge, qp_set_u16(node_at(leaf(), 0) + 6, 60000))
MUTATION(value_longer, add16(node_at(leaf(), 0), 2))
MUTATION(value_shorter, add16(node_at(leaf(), 1), -4))
MUTATION(value_huge, qp_set_u16(node_at(leaf(), 0) + 2, 1))
MUTATION(branch_key_longer, add16(node_at(root("words"), 1) + 6, 2))

/* All begin where they did and have as many bytes together, but two share some. */
static void overlapping(void)
{
    add16(node_at(leaf(), 1), 8);
    add16(node_at(leaf(), 2), -8);
}

/* Each ends where another begins, but one lies over a whole other. */
static void covering(void)
{
    add16(node_at(leaf(), 2), 8 + 8 + 400);
}

/* The same with a gap in front, so that the sum is right: the record of words over that of log. */
static void covering_behind_a_gap(void)
{
    uint8_t *page = page_at(root_of(main_record()));
    int bytes = (int)(named_record("log") - named_record("words"));

    add16(node_at(page, 2), bytes);
    add16(page + 14, -bytes);
}

/* A row that begins one byte later, and so ends in the next one. */
static void at_an_odd_place(void)
{
    uint8_t *node = node_at(leaf(), 4);

    memmove(node + 1, node, 16);
    add16(leaf() + 16 + 8, 1);
}

MUTATION(keys_swapped, swap16(leaf() + 16, leaf() + 18))
MUTATION(words_swapped, swap16(below("words", 0, SIZE_MAX) + 16, below("words", 0, SIZE_MAX) + 18))
MUTATION(branches_swapped, swap16(root("words") + 18, root("words") + 20))
MUTATION(keys_equal, memcpy(node_at(leaf(), 1) + 8, node_at(leaf(), 0) + 8, 8))
MUTATION(key_before_branch, add64(node_at(leaf(), 0) + 8, -1))
MUTATION(key_after_branch, add64(node_at(leaf(), count_of(leaf()) - 1) + 8, 1))
MUTATION(word_before_branch, node_at(below("words", 1, SIZE_MAX), 0)[8] = ' ')
MUTATION(word_after_branch,
         node_at(below("words", 0, SIZE_MAX), count_of(below("words", 0, SIZE_MAX)) - 1)[8] = '1')
MUTATION(branch_key_zero, qp_set_u64(node_at(below("log", 0, SIZE_MAX), 2) + 8, 0))
MUTATION(branch_key_large, qp_set_u64(node_at(below("log", 0, SIZE_MAX), 2) + 8, 1 << 30))

/* The row is as long as it was, but its key is not. */
static void move_border(uint8_t *node, int by)
{
    add16(node + 6, by);
    add16(node, -by);
}

MUTATION(integer_key_longer, move_border(node_at(leaf(), 0), 2))
MUTATION(integer_key_shorter, move_border(node_at(leaf(), 0), -4))
MUTATION(word_empty, move_border(node_at(below("words", 0, SIZE_MAX), 0), -200))

/* One row, as long as all that were there. */
static void long_row(void)
{
    uint8_t *page = leaf();
    uint16_t upper = qp_get_u16(page + 14);
    uint64_t key = qp_get_u64(node_at(page, 0) + 8);

    qp_set_u16(page + 12, 18);
    qp_set_u16(page + 16, upper);
    qp_set_u32(page + upper, (uint32_t)(PAGE - upper - 16));
    qp_set_u16(page + upper + 4, 0);
    qp_set_u16(page + upper + 6, 8);
    qp_set_u64(page + upper + 8, key);
}

MUTATION(row_flags_dup, qp_set_u16(node_at(leaf(), 0) + 4, 4))
MUTATION(row_flags_table, qp_set_u16(node_at(leaf(), 0) + 4, 2))
MUTATION(row_flags_both, qp_set_u16(big_node(0) + 4, 5))
MUTATION(child_outside, qp_set_u32(node_at(below("log", 0, SIZE_MAX), 1), 1 << 24))
MUTATION(child_far_outside, qp_set_u16(node_at(below("log", 0, SIZE_MAX), 1) + 4, 0x7fff))
MUTATION(child_twice,
         memcpy(node_at(below("log", 0, SIZE_MAX), 1), node_at(below("log", 0, SIZE_MAX), 2), 4))
MUTATION(child_is_root,
         qp_set_u32(node_at(below("log", 0, SIZE_MAX), 1), (uint32_t)root_of(named_record("log"))))
MUTATION(child_of_other_table,
         qp_set_u32(node_at(root("words"), 1), qp_get_u32(node_at(below("log", 0, SIZE_MAX), 1))))
MUTATION(child_is_free,
         qp_set_u32(node_at(root("words"), 1), (uint32_t)qp_get_u64(free_value(false) + 8)))

MUTATION(run_number, add64(big_page(0), 1))
MUTATION(run_flags, qp_set_u16(big_page(0) + 10, 2))
MUTATION(run_dirty, qp_set_u16(big_page(0) + 10, 0x14))
MUTATION(run_of_none, qp_set_u32(big_page(0) + 12, 0))
MUTATION(run_too_short, qp_set_u32(big_page(0) + 12, 2))
MUTATION(run_endless, qp_set_u32(big_page(0) + 12, UINT32_MAX))
MUTATION(run_into_others, qp_set_u32(big_page(1) + 12, 4))
MUTATION(run_outside, qp_set_u64(big_node(0) + 16, UINT64_C(1) << 40))
MUTATION(run_twice, qp_set_u64(big_node(1) + 16, qp_get_u64(big_node(2) + 16)))
MUTATION(value_beyond_run, qp_set_u32(big_node(1), PAGE - 15))

MUTATION(free_key_0, qp_set_u64(free_node(false) + 8, 0))
MUTATION(free_key_future, qp_set_u64(free_newest() + 8, qp_get_u64(newest_meta() + 144) + 1))
MUTATION(free_size_odd, add16(free_node(true), 4))
MUTATION(free_size_0, qp_set_u32(free_node(true), 0))
MUTATION(free_count, add64(free_value(false), 1 << 20))
MUTATION(free_count_big, qp_set_u64(free_value(true), UINT64_MAX))
MUTATION(free_count_run, add64(free_value(true), 2))
MUTATION(free_order, memcpy(free_value(true) + 16, free_value(true) + 8, 8))
MUTATION(free_order_far, qp_set_u64(free_value(true) + 4096, UINT64_MAX))
MUTATION(free_meta, qp_set_u64(free_value(true) + 8 * qp_get_u64(free_value(true)), 1))
MUTATION(free_outside, add64(free_value(true) + 8, 1 << 24))
MUTATION(free_in_use, qp_set_u64(free_value(true) + 8, root_of(free_record())))
MUTATION(used_is_free, qp_set_u64(named_record("words") + 40, qp_get_u64(free_value(true) + 8)))

MUTATION(table_missing, named_record("words")[-1] = 't')
MUTATION(row_no_table, qp_set_u16(named_record("words") - 9, 0))

static const struct {
    const char *name;
    void (*mutate)(void);
    const char *said; /* begins a line */
} cases[] = {
#define CASE(name, said)                                                                           \
    {                                                                                              \
#name, name, said                                                                          \
    }
    CASE(meta_magic_0, ": page 0 is no meta page"),
    CASE(meta_magic_1, ": page 1 is no meta page"),
    CASE(meta_version, ": page 1 is no meta page"),
    CASE(meta_number, ": page 1 is no meta page"),
    CASE(meta_flags, ": page 1 is no meta page"),
    CASE(meta_sizes, ": the two meta pages say different sizes"),
    CASE(meta_parity, ": a meta page has the number of a transaction that wrote the other"),
    CASE(meta_far, ": the meta pages are not of two transactions that followed"),
    CASE(meta_last_small, ": a meta page has a last page that cannot be"),
    CASE(meta_last_large, ": the file ends before its last page"),
    CASE(file_short, ": the file ends before its last page"),
    CASE(main_flags, "tables: its flags are 4 and 0, and they must be 0 and 0"),
    CASE(main_pad, "tables: its flags are 0 and 1"),
    CASE(free_flags, "free list: its flags are"),
    CASE(table_dupsort, "words: its flags are 4"),
    CASE(log_no_integer, "log: its flags are 0"),
    CASE(words_integer, "words: its flags are 8"),
    CASE(table_pad, "words: its flags are 0 and 100"),
    CASE(too_deep, "log: its root is page"),
    CASE(depth_without_root, "empty: its root is page"),
    CASE(root_without_depth, "words: its root is page"),
    CASE(one_level_less, "log: page * it is no leaf"),
    CASE(one_level_more, "log: page * it is no branch"),
    CASE(no_such_root, "log: page 0 leads to page"),
    CASE(root_is_meta, "log: page 0 leads to page 1, and the last"),
    CASE(count_branches, "log: it has * branches, and its record says"),
    CASE(count_leaves, "log: it has * leaves, and its record says"),
    CASE(count_overflows, "log: it has 5 overflow pages, and its record says 6"),
    CASE(count_rows, "words: it has 300 rows, and its record says 301"),
    CASE(count_of_empty, "empty: it has 0 rows, and its record says 1"),
    CASE(count_main, "tables: it has 3 rows, and its record says 4"),
    CASE(count_free, "free list: it has 1 leaves, and its record says 2"),
    CASE(page_number, "log: page * it has the number of another page"),
    CASE(page_of_branch, "log: page * it has the number of another page"),
    CASE(leaf_is_branch, "log: page * it is no leaf"),
    CASE(leaf_is_dirty, "log: page * it is no leaf"),
    CASE(leaf_of_fixed, "log: page * it is no leaf"),
    CASE(branch_is_leaf, "log: page * it is no branch"),
    CASE(root_is_leaf, "words: page * it is no branch"),
    CASE(lower_odd, "log: page * its bounds"),
    CASE(lower_small, "log: page * its bounds"),
    CASE(lower_above_upper, "log: page * its bounds"),
    CASE(upper_large, "log: page * its bounds"),
    CASE(no_rows, "log: page * it has too few rows"),
    CASE(lone_child, "words: page * it has too few rows"),
    CASE(row_less, "log: page * its rows do not lie"),
    CASE(row_more, "log: page * its rows do not lie"),
    CASE(upper_less, "log: page * its rows do not lie"),
    CASE(upper_more, "log: page * its rows do not lie"),
    CASE(pointer_outside, "log: page * its rows do not lie"),
    CASE(pointer_beyond, "log: page * its rows do not lie"),
    CASE(pointer_odd, "log: page * its rows do not lie"),
    CASE(pointer_into_header, "log: page * its rows do not lie"),
    CASE(pointers_equal, "log: page * its rows do not lie"),
    CASE(key_longer, "log: page * its rows do not lie"),
    CASE(key_huge, "log: page * its rows do not lie"),
    CASE(value_longer, "log: page * its rows do not lie"),
    CASE(value_shorter, "log: page * its rows do not lie"),
    CASE(value_huge, "log: page * its rows do not lie"),
    CASE(branch_key_longer, "words: page * its rows do not lie"),
    CASE(overlapping, "log: page * its rows do not lie"),
    CASE(covering, "log: page * its rows do not lie"),
    CASE(covering_behind_a_gap, "tables: page * its rows do not lie"),
    CASE(at_an_odd_place, "log: page * its rows do not lie"),
    CASE(keys_swapped, "log: page * a key is out of order"),
    CASE(words_swapped, "words: page * a key is out of order"),
    CASE(branches_swapped, "words: page * a key is out of order"),
    CASE(keys_equal, "log: page * a key is out of order"),
    CASE(key_before_branch, "log: page * a key is out of order"),
    CASE(key_after_branch, "log: page * a key belongs on a later page"),
    CASE(word_before_branch, "words: page * a key is out of order"),
    CASE(word_after_branch, "words: page * a key belongs on a later page"),
    CASE(branch_key_zero, "log: page * a key is out of order"),
    CASE(branch_key_large, "log: page * a key "),
    CASE(integer_key_longer, "log: page * a key has a length"),
    CASE(integer_key_shorter, "log: page * a key has a length"),
    CASE(word_empty, "words: page * a key has a length"),
    CASE(long_row, "log: page * row 0 is too long for a leaf"),
    CASE(row_flags_dup, "log: page * row 0 has flags 4"),
    CASE(row_flags_table, "log: page * row 0 has flags 2"),
    CASE(row_flags_both, "log: page * has flags 5"),
    CASE(child_outside, "log: page * leads to page 16777216, and the last one is"),
    CASE(child_far_outside, "log: page * leads to page 140733"),
    CASE(child_twice, "log: page * which is in use elsewhere"),
    CASE(child_is_root, "log: page * which is in use elsewhere"),
    CASE(child_of_other_table, "words: page * which is in use elsewhere"),
    CASE(child_is_free, "words: page * which is in use elsewhere"),
    CASE(run_number, "log: page * is no overflow page of page"),
    CASE(run_flags, "log: page * is no overflow page of page"),
    CASE(run_dirty, "log: page * is no overflow page of page"),
    CASE(run_of_none, "log: page * is the first of 0 that hold 10000 bytes"),
    CASE(run_too_short, "log: page * is the first of 2 that hold 10000 bytes"),
    CASE(run_endless, "log: page * is the first of 4294967295 that hold 10000 bytes"),
    CASE(run_into_others, "log: the run of page * which is in use elsewhere"),
    CASE(run_outside, "log: page * leads to page 1099511627776"),
    CASE(run_twice, "log: page * which is in use elsewhere"),
    CASE(value_beyond_run, "log: page * is the first of 1 that hold 4081 bytes"),
    CASE(free_key_0, "free list: page * has a record of transaction 0"),
    CASE(free_key_future, "free list: page * and the newest is 4"),
    CASE(free_size_odd, "free list: record * pages do not fit into"),
    CASE(free_size_0, "free list: record * pages do not fit into 0 bytes"),
    CASE(free_count, "free list: record * pages do not fit into"),
    CASE(free_count_big, "free list: record * pages do not fit into"),
    CASE(free_count_run, "free list: record * pages do not fit into"),
    CASE(free_order, "free list: record * follows page"),
    CASE(free_order_far, "free list: record * follows page"),
    CASE(free_meta, "free list: record * leads to page 1, and the last"),
    CASE(free_outside, "free list: record * leads to page"),
    CASE(free_in_use, "free list: record * which is in use elsewhere"),
    CASE(used_is_free, "words: page 0 leads to page * which is in use elsewhere"),
    CASE(table_missing, "tables: there is no table words"),
    CASE(row_no_table, "tables: there is no table words"),
#undef CASE
};

/* Does a line begin so? One '*' stands for anything within the line. */
static bool says(const char *text, const char *pattern)
{
    const char *star = strchr(pattern, '*');
    size_t head = star != NULL ? (size_t)(star - pattern) : strlen(pattern);

    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        char rest[300];

        if (strncmp(line, pattern, head) != 0)
            continue;
        (void)snprintf(rest, sizeof(rest), "%.*s", (int)strcspn(line, "\n"), line + head);
        if (star == NULL || strstr(rest, star + 1) != NULL)
            return true;
    }
    return false;
}

Test(walk, each_rule)
{
    uint8_t *whole;
    size_t size;

    make_sample();
    size = file.size;
    whole = malloc(size);
    cr_assert_not_null(whole);
    memcpy(whole, file.bytes, size);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memcpy(file.bytes, whole, size);
        file.size = size;
        cases[i].mutate();
        cr_assert(walk() == QUIPU_OK, "%s", cases[i].name);
        cr_expect(says(file.text, cases[i].said), "%s: \"%s\", not \"%s\"", cases[i].name,
                  file.text, cases[i].said);
    }
    free(whole);
    unload();
}

/* ---- the walk itself ------------------------------------------------------------------------- */

/* A file of somebody else's is not damaged; one with a table more is Quipu's, of a later release.
 */
Test(walk, other_tables)
{
    char path[SUPPORT_PATH_BYTES];
    MDB_env *env = open_env("other", 0);
    MDB_txn *txn = begin(env);
    MDB_dbi table;

    cr_assert(mdb_dbi_open(txn, "log", MDB_CREATE | MDB_DUPSORT, &table) == 0);
    put_word(txn, table, "k", 3);
    put_word(txn, 1, "a plain row", 3);
    cr_assert(mdb_txn_commit(txn) == 0);
    load(support_path(path, "other"));
    cr_expect(walk() == QUIPU_OK && file.text[0] == '\0' && file.walked.foreign, "%s", file.text);
    mdb_env_close(env);

    env = open_env("more", 0);
    txn = begin(env);
    for (size_t i = 0; i < TABLES; i++)
        (void)open_table(txn, i);
    for (int i = 0; i < QP_WALK_TABLES_MAX - TABLES; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "more-%d", i);
        cr_assert(mdb_dbi_open(txn, name, MDB_CREATE, &table) == 0);
        put_word(txn, table, "k", 3);
    }
    cr_assert(mdb_txn_commit(txn) == 0);
    load(support_path(path, "more"));
    expect_whole("more tables");
    txn = begin(env);
    cr_assert(mdb_dbi_open(txn, "one too many", MDB_CREATE, &table) == 0);
    cr_assert(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
    load(path);
    cr_expect(walk() == QUIPU_OK);
    cr_expect(says(file.text, "tables: there are 1 rows that are no tables"), "%s", file.text);
    unload();
}

/* Each page is told, up to a hundred; then that there are more. */
Test(walk, enough_is_enough)
{
    size_t lines = 0;

    make_sample();
    for (size_t i = 0; i < 200; i++)
        memset(below("log", 0, i), 0, PAGE);
    cr_expect(walk() == QUIPU_OK);
    for (const char *at = strchr(file.text, '\n'); at != NULL; at = strchr(at + 1, '\n'))
        lines++;
    cr_expect(file.walked.findings == QP_WALK_FINDINGS_MAX && lines == QP_WALK_FINDINGS_MAX + 1,
              "%zu lines", lines);
    cr_expect(says(file.text, ": so much is wrong that the rest was not looked at"));
    unload();
}

/* One mistake is one finding: what is below it is not held against the table's counts. */
Test(walk, one_mistake_is_told_once)
{
    make_sample();
    memset(leaf(), 0, PAGE);
    cr_expect(walk() == QUIPU_OK && file.walked.findings == 1, "%s", file.text);
    make_sample();
    memset(below("log", 0, SIZE_MAX), 0, PAGE);
    cr_expect(walk() == QUIPU_OK && file.walked.findings == 1, "%s", file.text);
    unload();
}

Test(walk, ends_when_told)
{
    make_sample();
    memset(leaf(), 0, PAGE);
    memset(below("log", 0, 3), 0, PAGE);
    file.stop_at = 1;
    cr_expect(walk() == 77 && file.walked.findings == 1);
    file.stop_at = 0;
    for (long n = 1; n < 300; n += 7) {
        file.read_fails = n;
        cr_expect(walk() == QUIPU_IO && file.reads == n, "read %ld", n);
    }
    file.read_fails = 0;
    unload();
}

Test(walk, out_of_memory)
{
    make_sample();
    support_heap_begin();
    for (long n = 1;; n++) {
        int rc;

        support_heap_fail(n, false);
        rc = walk();
        support_heap_fail(0, false);
        if (rc == QUIPU_OK)
            break;
        cr_assert(rc == QUIPU_NO_MEMORY && n < 20, "allocation %ld: %d", n, rc);
    }
    cr_expect(support_heap_live() == 0);
    unload();
}

/* A file that says that it is large costs neither time nor memory: what is not there is not read.
 */
Test(walk, a_large_number)
{
    struct qp_page_meta meta;
    const struct qp_walk_file source = {read_memory, &file};

    make_sample();
    cr_assert(qp_page_meta_read(newest_meta(), &meta));
    meta.last_page = QP_PAGE_COUNT_MAX - 1;
    file.text[0] = '\0';
    file.walked = (struct qp_walked){0};
    cr_expect(qp_walk_pages(&source, &meta, tables, TABLES, note, &file, &file.walked, NULL) ==
              QUIPU_OK);
    cr_expect(file.text[0] == '\0' && file.walked.leaked_pages > QP_PAGE_COUNT_MAX / 2);
    unload();
}

/* Random bytes at random places: every walk ends, and reads nothing outside of the file. */
Test(walk, random_bytes)
{
    struct support_random random = {3};
    uint64_t found = 0;
    uint8_t *whole;

    make_sample();
    whole = malloc(file.size);
    cr_assert_not_null(whole);
    memcpy(whole, file.bytes, file.size);
    for (int i = 0; i < 1500; i++) {
        for (int j = 0; j < 3; j++) {
            uint64_t page = support_random_below(&random, file.size / PAGE);
            uint64_t at = page * PAGE + support_random_below(&random, j == 0 ? 60 : PAGE);

            file.bytes[at] = (uint8_t)support_random(&random);
        }
        cr_assert(walk() == QUIPU_OK);
        found += file.walked.findings > 0 || file.text[0] != '\0';
        memcpy(file.bytes, whole, file.size);
    }
    cr_expect(found > 200, "%u", (unsigned)found);
    free(whole);
    unload();
}
