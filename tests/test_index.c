/* test_index.c - index.c: merges of a made-up history against a naive look at it, where blocks are
 * cut and found, and rows that are damaged or cannot be. */
#include "index.h"
#include "row.h"
#include "support_events.h"
#include "support_suite.h"

#include <string.h>
#include <sys/stat.h>

SUPPORT_SUITE(index);

enum { EVENTS = 20000 };

static struct support_event events[EVENTS];
static struct support_entry entries[EVENTS];
static uint64_t stored[EVENTS];

static const uint8_t uuid[16] = {1, 2, 3};

struct bench {
    struct qp_store *store;
    struct qp_txn txn;
    struct qp_cursor blocks;
    struct qp_indexed indexed;
    quipu_error error;
};

static void begin(struct bench *bench)
{
    *bench = (struct bench){.store = support_open_index("index.mdb")};
    cr_assert_eq(qp_txn_begin_write(bench->store, &bench->txn, &bench->error), QUIPU_OK);
    cr_assert_eq(qp_index_init(&bench->txn, uuid, &bench->error), QUIPU_OK);
    cr_assert_eq(qp_index_indexed(&bench->txn, &bench->indexed, &bench->error), QUIPU_OK);
    cr_assert_eq(qp_cursor_open(&bench->blocks, &bench->txn, QP_TABLE_BLOCKS, NULL), QUIPU_OK);
}

static void end(struct bench *bench)
{
    qp_cursor_close(&bench->blocks);
    qp_txn_end(&bench->txn);
    qp_store_close(bench->store);
}

static struct qp_segment *fold(uint64_t after, uint64_t upto)
{
    struct qp_segment *segment = qp_segment_new(after);

    cr_assert_not_null(segment);
    for (uint64_t position = after + 1; position <= upto; position++) {
        struct qp_record record = support_record(&events[position - 1]);

        cr_assert(events[position - 1].damaged ? qp_segment_add_damaged(segment)
                                               : qp_segment_add(segment, &record));
    }
    return segment;
}

static int try_merge(struct bench *bench, uint64_t upto)
{
    struct qp_segment *segment = fold(bench->indexed.position, upto);
    int rc = qp_index_merge(&bench->txn, segment, &bench->indexed, &bench->error);

    qp_segment_free(segment);
    if (rc < 0)
        return rc;
    bench->indexed.chain = upto * 3;
    return qp_index_put_indexed(&bench->txn, &bench->indexed, &bench->error);
}

static void merge(struct bench *bench, uint64_t upto)
{
    int rc = try_merge(bench, upto);

    cr_assert_eq(rc, QUIPU_OK, "%d %s", rc, bench->error.text);
    cr_assert_eq(bench->indexed.position, upto);
}

static void term_key(struct qp_key *key, enum qp_term_kind kind, const char *name)
{
    qp_key_term(key, kind, (struct qp_bytes){name, strlen(name)});
}

/* ---- read all of a term ---- */

/* Into `stored`, in order; blocks are numbered by version, or by their first position. */
static size_t read_term(struct bench *bench, const struct qp_key *key, struct qp_term_row *row)
{
    struct qp_block_row block;
    uint64_t first = 0;
    uint64_t base = 0;
    size_t count = 0;
    int rc = qp_index_term(&bench->txn, qp_key_bytes(key), row, &bench->error);

    if (rc == QUIPU_OK)
        return 0;
    cr_assert_eq(rc, QUIPU_ROW, "%d %s", rc, bench->error.text);
    rc = qp_index_block(&bench->blocks, row, 0, &block, &first, &bench->error);
    while (rc == QUIPU_ROW) {
        cr_assert(qp_deltas_read(block.deltas, block.base, stored + count, block.count));
        cr_assert_eq(first, key->bytes[0] == QP_TERM_STREAM ? row->first + count : stored[count]);
        count += block.count;
        rc = qp_index_next_block(&bench->blocks, row, false, &block, &first, &bench->error);
    }
    cr_assert_eq(rc, QUIPU_OK);
    cr_assert_eq(row->number > 0, count > 0);
    for (size_t i = 0; i < count; i++)
        base = stored[i] > 0 ? stored[i] : base;
    cr_assert_eq(row->base, base, "the row goes on where its blocks end");
    cr_assert(qp_deltas_read(row->deltas, row->base, stored + count, row->inline_count));
    cr_assert_eq(count + row->inline_count, row->count);
    return row->count;
}

static void check_term(struct bench *bench, const struct support_term *term)
{
    struct qp_term_row row = {0};
    struct qp_key key;
    size_t count =
        support_entries(events, 0, bench->indexed.position, term->kind, term->name, entries);
    size_t have;
    size_t next = 0;

    term_key(&key, term->kind, term->name);
    have = read_term(bench, &key, &row);
    cr_assert_eq(have > 0, count > 0, "%s", term->name);
    if (count == 0)
        return;
    cr_assert_eq(row.first, term->kind == QP_TERM_STREAM ? entries[0].number : 1);
    cr_assert_eq(row.first_position, entries[0].position);
    cr_assert_eq(row.last_position, entries[count - 1].position);
    for (size_t i = 0; i < have; i++) {
        if (term->kind == QP_TERM_STREAM && entries[next].number != row.first + i) {
            cr_assert_eq(stored[i], 0, "a version that nobody can read");
            continue;
        }
        cr_assert_eq(stored[i], entries[next].position, "%s, entry %zu", term->name, i);
        next++;
    }
    cr_assert_eq(next, count, "%s", term->name);
}

/* The positions of an event's id. */
static void check_id(struct bench *bench, const struct support_event *event)
{
    uint8_t name[QP_ID_NAME_BYTES];
    struct qp_term_row row = {0};
    uint64_t position = 0;
    struct qp_key key;
    size_t count;

    support_id_name(event, name);
    qp_key_term(&key, QP_TERM_ID, (struct qp_bytes){name, sizeof(name)});
    count = read_term(bench, &key, &row);
    for (size_t i = 0; i < count; i++) {
        position = support_find_id(events, position, bench->indexed.position, event);
        cr_assert_eq(stored[i], position, "entry %zu of the id at %td", i, event - events + 1);
    }
    cr_assert_eq(support_find_id(events, position, bench->indexed.position, event), 0,
                 "after %zu entries", count);
}

/* Of some events: those that are damaged or not there yet may have ids that others have too. */
static void check_ids(struct bench *bench)
{
    for (size_t i = 0; i < 30; i++) {
        size_t at = (bench->indexed.position * 11 / 10 * (i + 1) / 31) % EVENTS;

        if (events[at].has_id)
            check_id(bench, &events[at]);
    }
}

static void check_index(struct bench *bench)
{
    uint64_t streams = 0;
    uint64_t damaged =
        support_entries(events, 0, bench->indexed.position, QP_TERM_DAMAGED, "", entries);
    struct qp_indexed again;

    for (size_t i = 0; i < SUPPORT_TERMS; i++) {
        struct support_term term;

        support_term(i, &term);
        check_term(bench, &term);
        if (term.kind == QP_TERM_STREAM &&
            support_entries(events, 0, bench->indexed.position, term.kind, term.name, entries) > 0)
            streams++;
    }
    check_ids(bench);
    cr_assert_eq(qp_index_indexed(&bench->txn, &again, NULL), QUIPU_OK);
    cr_expect_eq(memcmp(&again, &bench->indexed, sizeof(again)), 0, "written as it is");
    cr_expect_eq(again.chain, again.position * 3);
    cr_expect_eq(again.streams, streams);
    cr_expect_eq(again.damaged, damaged);
}

/* ---- merges ---- */

static void check_merges(unsigned damaged_of_1000, uint64_t largest)
{
    struct support_random random = {14 + largest + damaged_of_1000};
    struct bench bench;

    support_make_events(&random, damaged_of_1000, events, EVENTS);
    begin(&bench);
    for (unsigned i = 0; bench.indexed.position < EVENTS; i++) {
        uint64_t upto = bench.indexed.position + 1 + support_random_below(&random, largest);

        merge(&bench, upto < EVENTS ? upto : EVENTS);
        if (i % 16 == 0)
            check_index(&bench);
    }
    check_index(&bench);
    cr_expect_gt(bench.indexed.next_term, 5, "some terms have blocks");
    end(&bench);
}

Test(index, small_merges)
{
    check_merges(0, 200);
}

Test(index, small_merges_with_damage)
{
    check_merges(50, 200);
}

Test(index, large_merges)
{
    check_merges(0, 9000);
}

Test(index, large_merges_with_damage)
{
    check_merges(200, 9000);
}

Test(index, one_merge)
{
    check_merges(50, 1000000);
}

/* However it was cut into merges, the index is the same. */
Test(index, merges_of_any_size_make_the_same_index)
{
    static const uint64_t steps[] = {1, 7, 512, 513, 20000};
    enum { COUNT = 3000 };
    struct support_random random = {15};
    uint8_t first[QP_ROW_BYTES_MAX] = {0};
    size_t first_size = 0;

    support_make_events(&random, 30, events, COUNT);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct bench bench;
        struct qp_bytes value;
        struct qp_key key;

        begin(&bench);
        while (bench.indexed.position < COUNT) {
            uint64_t upto = bench.indexed.position + steps[i];

            merge(&bench, upto < COUNT ? upto : COUNT);
        }
        check_index(&bench);
        term_key(&key, QP_TERM_STREAM, "c0-0");
        cr_assert_eq(qp_get(&bench.txn, QP_TABLE_TERMS, qp_key_bytes(&key), &value, NULL),
                     QUIPU_ROW);
        if (i == 0) {
            first_size = value.size;
            memcpy(first, value.data, value.size);
        }
        /* But for its sum and its number, which goes by who comes first. */
        cr_expect_eq(value.size, first_size);
        cr_expect_eq(memcmp((const uint8_t *)value.data + 16, first + 16, first_size - 16), 0,
                     "steps of %llu", (unsigned long long)steps[i]);
        end(&bench);
        support_remove(support_dir());
        cr_assert_eq(mkdir(support_dir(), 0700), 0);
    }
}

/* ---- blocks ---- */

static void one_stream(size_t count)
{
    for (size_t i = 0; i < count; i++)
        events[i] = (struct support_event){.stream = "c0-0", .type = "T0", .version = i + 1};
}

Test(index, blocks_are_cut_at_512)
{
    static const struct {
        uint64_t count;
        uint64_t blocks;
        uint16_t inline_count;
    } cases[] = {{1, 0, 1},    {511, 0, 511}, {512, 1, 0},   {513, 1, 1},  {1023, 1, 511},
                 {1024, 2, 0}, {1025, 2, 1},  {5120, 10, 0}, {5121, 10, 1}};

    one_stream(EVENTS);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (uint64_t begun = 0; begun < cases[i].count; begun += 300) {
            struct bench bench;
            struct qp_term_row row = {0};
            struct qp_key key;

            begin(&bench);
            if (begun > 0)
                merge(&bench, begun);
            merge(&bench, cases[i].count);
            term_key(&key, QP_TERM_STREAM, "c0-0");
            cr_assert_eq(read_term(&bench, &key, &row), cases[i].count);
            cr_expect_eq(row.inline_count, cases[i].inline_count, "%llu in two merges",
                         (unsigned long long)cases[i].count);
            cr_expect_eq(qp_table_rows(&bench.txn, QP_TABLE_BLOCKS), 3 * cases[i].blocks,
                         "of a stream, a category and a type");
            check_index(&bench);
            end(&bench);
            support_remove(support_dir());
            cr_assert_eq(mkdir(support_dir(), 0700), 0);
        }
    }
}

/* Blocks that were written are never touched again. */
Test(index, blocks_stay_as_they_are)
{
    struct bench bench;
    struct qp_key key;
    struct qp_bytes value;
    uint8_t before[QP_ROW_BYTES_MAX];
    size_t size;

    one_stream(EVENTS);
    begin(&bench);
    merge(&bench, 600);
    qp_key_block(&key, 1, 1);
    if (qp_get(&bench.txn, QP_TABLE_BLOCKS, qp_key_bytes(&key), &value, NULL) != QUIPU_ROW)
        cr_assert(false, "no block 1 of term 1");
    size = value.size;
    memcpy(before, value.data, size);
    merge(&bench, 5000);
    cr_assert_eq(qp_get(&bench.txn, QP_TABLE_BLOCKS, qp_key_bytes(&key), &value, NULL), QUIPU_ROW);
    support_expect_bytes(value.data, value.size, before, size, "the first block");
    end(&bench);
}

/* The block for a number is the last that begins at or before it, else the first. */
static void check_search(struct bench *bench, enum qp_term_kind kind, const char *name)
{
    struct support_random random = {16};
    struct qp_term_row row;
    struct qp_key key;
    uint64_t firsts[64];
    size_t blocks = 0;
    struct qp_block_row block;
    int rc;

    term_key(&key, kind, name);
    cr_assert_eq(qp_index_term(&bench->txn, qp_key_bytes(&key), &row, NULL), QUIPU_ROW);
    if (row.number == 0)
        return;
    rc = qp_index_block(&bench->blocks, &row, 0, &block, &firsts[0], NULL);
    while (rc == QUIPU_ROW && blocks < 60)
        rc = qp_index_next_block(&bench->blocks, &row, false, &block, &firsts[++blocks], NULL);
    for (int i = 0; i < 1000; i++) {
        uint64_t number = support_random_below(&random, firsts[blocks - 1] + 1000);
        uint64_t first = 0;
        size_t wanted = 0;

        if (i < (int)blocks * 3) /* the edges */
            number = firsts[i / 3] + (uint64_t)(i % 3) - 1;
        for (size_t j = 0; j < blocks; j++)
            wanted = firsts[j] <= number ? j : wanted;
        cr_assert_eq(qp_index_block(&bench->blocks, &row, number, &block, &first, NULL), QUIPU_ROW);
        cr_assert_eq(first, firsts[wanted], "number %llu", (unsigned long long)number);
        for (size_t j = wanted; j > 0; j--) {
            cr_assert_eq(qp_index_next_block(&bench->blocks, &row, true, &block, &first, NULL),
                         QUIPU_ROW);
            cr_assert_eq(first, firsts[j - 1]);
        }
        cr_assert_eq(qp_index_next_block(&bench->blocks, &row, true, &block, &first, NULL),
                     QUIPU_OK);
    }
    rc = qp_index_block(&bench->blocks, &row, UINT64_MAX, &block, &firsts[0], NULL);
    cr_expect(rc == QUIPU_ROW && firsts[0] == firsts[blocks - 1]);
}

Test(index, search_for_a_block)
{
    struct support_random random = {17};
    struct bench bench;
    struct support_term term;

    support_make_events(&random, 30, events, EVENTS);
    begin(&bench);
    while (bench.indexed.position < EVENTS)
        merge(&bench, bench.indexed.position + 4000);
    for (size_t i = 0; i < SUPPORT_TERMS; i++) {
        support_term(i, &term);
        check_search(&bench, term.kind, term.name);
    }
    end(&bench);
}

Test(index, term_without_blocks)
{
    struct bench bench;
    struct qp_term_row row;
    struct qp_block_row block;
    struct qp_key key;
    uint64_t first;

    one_stream(10);
    begin(&bench);
    merge(&bench, 10);
    term_key(&key, QP_TERM_STREAM, "c0-0");
    cr_assert_eq(qp_index_term(&bench.txn, qp_key_bytes(&key), &row, NULL), QUIPU_ROW);
    cr_expect_eq(qp_index_block(&bench.blocks, &row, 1, &block, &first, NULL), QUIPU_OK);
    term_key(&key, QP_TERM_STREAM, "none");
    cr_expect_eq(qp_index_term(&bench.txn, qp_key_bytes(&key), &row, NULL), QUIPU_OK);
    end(&bench);
}

/* ---- rows that are damaged, or cannot be ---- */

Test(index, is_ours)
{
    struct bench bench;
    struct qp_index_format format = {.number = 1, .term_kinds = QP_TERM_KINDS_BITS};
    uint8_t other[16] = {9};
    uint8_t row[QP_META_ROW_BYTES_MAX];

    begin(&bench);
    cr_expect(qp_index_is_ours(&bench.txn, uuid));
    cr_expect_not(qp_index_is_ours(&bench.txn, other));
    memcpy(format.uuid, uuid, 16);
    for (int i = 0; i < 4; i++) {
        struct qp_index_format changed = format;
        size_t size;

        changed.number += i == 1 ? 1 : 0;
        changed.term_kinds ^= i == 2 ? 1 : 0;
        size = qp_index_format_write(&changed, row);
        cr_assert_eq(qp_put_row(&bench.txn, QP_TABLE_INDEX_META, QP_META_FORMAT, row, size, NULL),
                     QUIPU_OK);
        if (i == 3) {
            row[20] ^= 1;
            cr_assert_eq(qp_put(&bench.txn, QP_TABLE_INDEX_META, QP_META_FORMAT,
                                (struct qp_bytes){row, size}, NULL),
                         QUIPU_OK);
        }
        cr_expect_eq(qp_index_is_ours(&bench.txn, uuid), i == 0, "change %d", i);
    }
    end(&bench);
}

/* Flip one bit of each row of a table: the term is found damaged. */
Test(index, damaged_rows_are_seen)
{
    struct bench bench;
    struct qp_term_row row;
    struct qp_block_row block;
    struct qp_key key;
    struct qp_key block_key;
    struct qp_bytes value;
    uint8_t bytes[QP_ROW_BYTES_MAX];
    uint64_t first;

    one_stream(1000);
    begin(&bench);
    merge(&bench, 1000);
    term_key(&key, QP_TERM_STREAM, "c0-0");
    cr_assert_eq(qp_index_term(&bench.txn, qp_key_bytes(&key), &row, NULL), QUIPU_ROW);
    qp_key_block(&block_key, row.number, 1);
    cr_assert_eq(qp_get(&bench.txn, QP_TABLE_BLOCKS, qp_key_bytes(&block_key), &value, NULL),
                 QUIPU_ROW);
    memcpy(bytes, value.data, value.size);
    bytes[100] ^= 4;
    cr_assert_eq(qp_put(&bench.txn, QP_TABLE_BLOCKS, qp_key_bytes(&block_key),
                        (struct qp_bytes){bytes, value.size}, NULL),
                 QUIPU_OK);
    cr_expect_eq(qp_index_block(&bench.blocks, &row, 1, &block, &first, &bench.error),
                 QUIPU_CORRUPT);

    cr_assert_eq(qp_get(&bench.txn, QP_TABLE_TERMS, qp_key_bytes(&key), &value, NULL), QUIPU_ROW);
    memcpy(bytes, value.data, value.size);
    bytes[30] ^= 4;
    cr_assert_eq(qp_put(&bench.txn, QP_TABLE_TERMS, qp_key_bytes(&key),
                        (struct qp_bytes){bytes, value.size}, NULL),
                 QUIPU_OK);
    cr_expect_eq(qp_index_term(&bench.txn, qp_key_bytes(&key), &row, &bench.error), QUIPU_CORRUPT);
    cr_expect_eq(bench.error.status, QUIPU_CORRUPT);
    end(&bench);
}

/* A row with a right sum that says what cannot be, put before a merge of one more event. */
static const struct {
    const char *what;
    struct qp_term_row row;
    uint64_t position; /* of the entry in it */
} impossible[] = {
    {"an entry after what is indexed",
     {.first = 1, .count = 1, .first_position = 500, .last_position = 500, .inline_count = 1},
     500},
    {"a last position after what is indexed",
     {.first = 1, .count = 2, .first_position = 1, .last_position = 5000, .inline_count = 1},
     1},
    {"a base after what is indexed",
     {.first = 1, .count = 512, .first_position = 1, .last_position = 10, .base = 5000},
     0},
    {"versions that follow nothing",
     {.first = 1, .count = 1000000, .first_position = 1, .last_position = 10, .inline_count = 1},
     1},
};

Test(index, rows_that_cannot_be)
{
    for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
        struct bench bench;
        struct qp_key key;
        uint8_t row[QP_ROW_BYTES_MAX];
        size_t size;

        one_stream(11);
        begin(&bench);
        merge(&bench, 10);
        events[10].version = impossible[i].row.first + impossible[i].row.count;
        if (events[10].version > 11)
            events[10].version = 11;
        term_key(&key, QP_TERM_STREAM, "c0-0");
        size = qp_term_row_write(&impossible[i].row, &impossible[i].position, row);
        cr_assert_eq(qp_put_row(&bench.txn, QP_TABLE_TERMS, qp_key_bytes(&key), row, size, NULL),
                     QUIPU_OK);
        cr_expect_eq(try_merge(&bench, 11), QUIPU_CORRUPT, "%s", impossible[i].what);
        end(&bench);
        support_remove(support_dir());
        cr_assert_eq(mkdir(support_dir(), 0700), 0);
    }
}

/* Versions that do not go on where the index ends. */
Test(index, versions_must_follow)
{
    static const struct {
        uint64_t version;
        uint64_t lost; /* damaged positions in front of it */
        int status;
    } cases[] = {
        {11, 0, QUIPU_OK},      {10, 0, QUIPU_CORRUPT},  {1, 0, QUIPU_CORRUPT},
        {12, 0, QUIPU_CORRUPT}, {12, 1, QUIPU_OK},       {13, 1, QUIPU_CORRUPT},
        {21, 10, QUIPU_OK},     {22, 10, QUIPU_CORRUPT}, {11, 10, QUIPU_OK},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint64_t before = 100; /* of other streams, so that there is room for versions */
        struct bench bench;

        for (size_t j = 0; j < before; j++)
            events[j] = (struct support_event){.stream = "c1-1", .type = "T0", .version = j + 1};
        for (size_t j = 0; j < 10; j++)
            events[before + j] =
                (struct support_event){.stream = "c0-0", .type = "T0", .version = j + 1};
        for (size_t j = 0; j < cases[i].lost; j++)
            events[before + 10 + j] = (struct support_event){.damaged = true};
        events[before + 10 + cases[i].lost] =
            (struct support_event){.stream = "c0-0", .type = "T0", .version = cases[i].version};
        begin(&bench);
        merge(&bench, before + 10);
        cr_expect_eq(try_merge(&bench, before + 11 + cases[i].lost), cases[i].status, "case %zu",
                     i);
        if (cases[i].status == QUIPU_OK)
            check_index(&bench);
        end(&bench);
        support_remove(support_dir());
        cr_assert_eq(mkdir(support_dir(), 0700), 0);
    }
}

Test(index, out_of_memory_while_merging)
{
    struct support_random random = {18};
    long n = 1;

    support_make_events(&random, 30, events, 5000);
    for (; n < 1000; n++) {
        struct bench bench;
        struct qp_segment *segment = fold(0, 5000);
        int rc;

        begin(&bench);
        support_heap_fail(n, false);
        rc = qp_index_merge(&bench.txn, segment, &bench.indexed, &bench.error);
        support_heap_fail(0, false);
        qp_segment_free(segment);
        if (rc == QUIPU_OK) {
            bench.indexed.chain = 15000;
            cr_assert_eq(qp_index_put_indexed(&bench.txn, &bench.indexed, NULL), QUIPU_OK);
            check_index(&bench);
        } else {
            cr_expect_eq(rc, QUIPU_NO_MEMORY);
        }
        end(&bench);
        support_remove(support_dir());
        cr_assert_eq(mkdir(support_dir(), 0700), 0);
        if (rc == QUIPU_OK)
            break;
    }
    cr_expect_gt(n, 2);
    cr_expect_lt(n, 1000);
}
