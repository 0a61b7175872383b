/* census.c - an open-addressed table, like a segment's, that forgets the positions.
 *
 *     log    record by record ----> table: term -> count, sum      what the index should hold
 *                                              |
 *     index  row by row, its blocks -> count, sum of one term      what it holds
 *
 * Ids are one set: of them the sums are added up, whatever their order.
 *
 * The sum goes over positions and versions in their order, so that equal sums mean equal lists but
 * for accidents of 1 in 2^64. What is damaged now is left out on both sides: the index may still
 * know of a record what the log cannot say any more.
 *
 * Tells what differs, never why, and repairs nothing. */
#include "census.h"

#include "status.h"
#include "sum.h"
#include "terms.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { TABLE_FIRST = 1024 };

void qp_census_release(struct qp_census *census)
{
    qp_arena_release(&census->names);
    qp_free(census->table);
    qp_free(census->damaged);
    *census = (struct qp_census){0};
}

/* ---- the table ---- */

/* Where a key's term is, or would be put. At most half of the slots are taken: it ends. */
static size_t slot_of(struct qp_census_term *const *table, size_t size, uint64_t hash,
                      struct qp_bytes key)
{
    size_t slot = hash & (size - 1);

    assert(size > 0 && (size & (size - 1)) == 0);
    while (table[slot] != NULL && (table[slot]->hash != hash || table[slot]->key_size != key.size ||
                                   memcmp(table[slot]->key, key.data, key.size) != 0))
        slot = (slot + 1) & (size - 1);
    return slot;
}

/* NULL: the log has no such term. A census of no events has no table. */
static struct qp_census_term *find(const struct qp_census *census, struct qp_bytes key)
{
    uint64_t hash = qp_sum(key.data, key.size, 0);

    if (census->table_size == 0)
        return NULL;
    return census->table[slot_of(census->table, census->table_size, hash, key)];
}

/* Room for the terms of one event. Terms stay where they are: pointers to them outlive it. */
static bool make_room(struct qp_census *census)
{
    const size_t more = 3 + QP_TAGS_MAX; /* lists of one event */
    size_t size = census->table_size == 0 ? TABLE_FIRST : census->table_size * 2;
    struct qp_census_term **table;

    if ((census->term_count + more) * 2 <= census->table_size)
        return true;
    table = qp_zalloc(size * sizeof(struct qp_census_term *));
    if (table == NULL)
        return false;
    for (size_t i = 0; i < census->table_size; i++) {
        struct qp_census_term *term = census->table[i];

        if (term != NULL)
            table[slot_of(table, size, term->hash, (struct qp_bytes){term->key, term->key_size})] =
                term;
    }
    qp_free(census->table);
    census->table = table;
    census->table_size = size;
    assert((census->term_count + more) * 2 <= size);
    return true;
}

/* The term, made if it is new. make_room() comes first. NULL: memory is out. */
static struct qp_census_term *term_of(struct qp_census *census, enum qp_term_kind kind,
                                      struct qp_bytes name)
{
    struct qp_census_term *term;
    struct qp_key key;
    size_t slot;
    uint64_t hash;

    assert(census->term_count * 2 < census->table_size);
    qp_key_term(&key, kind, name);
    hash = qp_sum(key.bytes, key.size, 0);
    slot = slot_of(census->table, census->table_size, hash, qp_key_bytes(&key));
    if (census->table[slot] != NULL)
        return census->table[slot];
    term = qp_arena_take(&census->names, sizeof(*term) + key.size);
    if (term == NULL)
        return NULL;
    *term = (struct qp_census_term){.hash = hash, .key_size = key.size};
    memcpy(term->key, key.bytes, key.size);
    census->table[slot] = term;
    census->term_count++;
    return term;
}

/* `number`: a stream's version; of other terms 0 on both sides, as theirs follow from the order. */
static void count_entry(struct qp_census_term *term, uint64_t position, uint64_t number)
{
    if (term->count == 0) {
        term->first = number;
        term->first_position = position;
    }
    term->count++;
    term->last_position = position;
    term->sum = qp_sum_chain(term->sum, position, number);
}

/* ---- folding ---- */

uint64_t qp_census_version(const struct qp_census *census, struct qp_bytes stream)
{
    const struct qp_census_term *term;
    struct qp_key key;

    qp_key_term(&key, QP_TERM_STREAM, stream);
    term = find(census, qp_key_bytes(&key));
    return term != NULL ? term->newest : 0;
}

static uint64_t id_sum(const uint8_t name[QP_ID_NAME_BYTES], uint64_t position)
{
    return qp_sum(name, QP_ID_NAME_BYTES, position);
}

/* What the index does not have yet is not held against it. But versions are counted over the whole
 * log, for who checks them record by record. */
bool qp_census_add(struct qp_census *census, uint64_t position, uint64_t indexed,
                   const struct qp_record *record)
{
    struct qp_terms terms;
    enum qp_term_kind kind;
    struct qp_bytes name;

    assert(position > 0);
    if (!make_room(census))
        return false;
    qp_terms_begin(&terms, record);
    while (qp_terms_next(&terms, &kind, &name)) {
        struct qp_census_term *term;

        if (kind == QP_TERM_ID) {
            census->ids++;
            census->id_sum += id_sum(name.data, position);
            continue;
        }
        term = term_of(census, kind, name);
        if (term == NULL)
            return false;
        if (kind == QP_TERM_STREAM)
            term->newest = record->version;
        if (position > indexed)
            return true; /* the stream comes first */
        count_entry(term, position, kind == QP_TERM_STREAM ? record->version : 0);
    }
    return true;
}

bool qp_census_add_damaged(struct qp_census *census, uint64_t position)
{
    if (!qp_array_reserve(&census->damaged, &census->damaged_capacity, census->damaged_count + 1,
                          sizeof(*census->damaged)))
        return false;
    assert(census->damaged_count == 0 || census->damaged[census->damaged_count - 1] < position);
    census->damaged[census->damaged_count++] = position;
    return true;
}

/* They were added in ascending order: halve. */
static bool is_damaged(const struct qp_census *census, uint64_t position)
{
    size_t low = 0;
    size_t high = census->damaged_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (census->damaged[middle] == position)
            return true;
        if (census->damaged[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* ---- comparing ---- */

struct compare {
    struct qp_census *census;
    struct qp_moment *moment;
    struct qp_cursor blocks;
    uint64_t blocks_seen; /* of all terms: what the table has more belongs to none */
    uint64_t streams;     /* rows of this kind */
    uint64_t damaged;     /* positions listed as such */
    uint64_t ids;         /* that the log can confirm */
    uint64_t id_sum;
    bool all_seen; /* no row was damaged, so that the two are right */
    qp_census_found_fn found;
    void *payload;
    quipu_error *error;
};

/* Tell of a difference, by the term's name; without a key it is of the whole index. Returns what
 * the caller's function returned. */
static int tell(struct compare *compare, const char *table, struct qp_bytes key, const char *what)
{
    static const char *const kinds[] = {"term", "stream", "category", "type", "tag"};
    const uint8_t *bytes = key.data;
    char text[QP_NAME_MAX + 160];
    char id[2 * QP_ID_NAME_BYTES + 3];

    if (key.size == 0) {
        (void)snprintf(text, sizeof(text), "%s", what);
    } else if (bytes[0] == QP_TERM_DAMAGED) {
        (void)snprintf(text, sizeof(text), "the damaged: %s", what);
    } else if (bytes[0] >= sizeof(kinds) / sizeof(kinds[0])) { /* an id, or of no kind at all */
        qp_key_text((struct qp_bytes){bytes + 1, key.size - 1}, id, sizeof(id));
        (void)snprintf(text, sizeof(text), "id %s: %s", id, what);
    } else {
        (void)snprintf(text, sizeof(text), "%s %.*s: %s", kinds[bytes[0]], (int)key.size - 1,
                       (const char *)bytes + 1, what);
    }
    return compare->found(compare->payload, table, text);
}

/* The same of what could not be read: totals over all terms cannot be right after it. */
static int tell_lost(struct compare *compare, const char *table, struct qp_bytes key,
                     const char *what)
{
    compare->all_seen = false;
    return tell(compare, table, key, what);
}

/* The ids of a term, which are counted together: most have one entry. */
static void count_ids(struct compare *compare, struct qp_bytes key, const uint64_t *positions,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (positions[i] == 0 || is_damaged(compare->census, positions[i]))
            continue;
        compare->ids++;
        compare->id_sum += id_sum((const uint8_t *)key.data + 1, positions[i]);
    }
}

/* What a term is while its rows are looked at. */
struct counted {
    struct qp_bytes key;
    bool versions; /* its entries are a stream's */
    bool ids;
    struct qp_census_term *term; /* what was counted; of ids nothing */
};

/* Entries that the log can confirm. A record that was damaged since cannot say what it was. */
static void count_positions(struct compare *compare, struct counted *counted, uint64_t number,
                            const uint64_t *positions, size_t count)
{
    if (counted->ids) {
        count_ids(compare, counted->key, positions, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (positions[i] != 0 && !is_damaged(compare->census, positions[i]))
            count_entry(counted->term, positions[i], counted->versions ? number + i : 0);
}

/* From the first block on, each under the key that its first entry asks for. Why one cannot be had
 * makes no difference to what is told. Returns: ROW: all of its blocks were counted; OK: one is
 * damaged or missing. */
static int count_blocks(struct compare *compare, const struct qp_term_row *row,
                        struct counted *counted)
{
    uint64_t wanted = (row->count - row->inline_count) / QP_BLOCK_POSITIONS;
    uint64_t positions[QP_BLOCK_POSITIONS];
    uint64_t number = row->first;

    for (uint64_t i = 0; i < wanted; i++) {
        struct qp_block_row block;
        uint64_t first;
        int rc;

        if (i == 0)
            rc = qp_index_block(&compare->blocks, row, 0, &block, &first, NULL);
        else
            rc = qp_index_next_block(&compare->blocks, row, false, &block, &first, NULL);
        if (rc != QUIPU_ROW || !qp_deltas_read(block.deltas, block.base, positions, block.count) ||
            first != (counted->versions ? number : positions[0]))
            return QUIPU_OK;
        compare->blocks_seen++;
        count_positions(compare, counted, number, positions, block.count);
        number += block.count;
    }
    return QUIPU_ROW;
}

/* First and last position are the rows' own and are looked at apart. */
static bool equal(const struct qp_census_term *log, const struct qp_census_term *index)
{
    return log->count == index->count && log->sum == index->sum;
}

/* The damaged: each position must be one that the log has lost. The other way round is no
 * difference: a record may have been damaged after it was put under its names. */
static int compare_damaged(struct compare *compare, struct qp_bytes key,
                           const struct qp_census_term *counted)
{
    if (counted->count == 0)
        return QUIPU_OK;
    return tell(compare, "terms", key, "positions that the log has whole are listed as damaged");
}

/* One row of `terms` and its blocks. Damaged or not, the term is there: it is marked as seen first,
 * so that it is not told a second time as missing. One finding a term is enough. */
static int compare_term(struct compare *compare, struct qp_bytes key, struct qp_bytes value)
{
    uint8_t kind = *(const uint8_t *)key.data; /* LMDB has no empty keys */
    struct qp_census_term found = {0};
    struct counted counted = {
        .key = key, .versions = kind == QP_TERM_STREAM, .ids = kind == QP_TERM_ID, .term = &found};
    struct qp_term_row row;
    uint64_t positions[QP_BLOCK_POSITIONS];
    struct qp_census_term *term = find(compare->census, key);

    if (term != NULL)
        term->seen = true;
    if (counted.ids && key.size != 1 + QP_ID_NAME_BYTES)
        return tell_lost(compare, "terms", key, "its key is no id's");
    if (!qp_row_whole(QP_TABLE_TERMS, key, value) || !qp_term_row_read(value, &row) ||
        !qp_deltas_read(row.deltas, row.base, positions, row.inline_count))
        return tell_lost(compare, "terms", key, "its row is damaged");
    if (count_blocks(compare, &row, &counted) != QUIPU_ROW)
        return tell_lost(compare, "blocks", key, "a block is damaged or missing");
    count_positions(compare, &counted, row.first + row.count - row.inline_count, positions,
                    row.inline_count);
    compare->streams += counted.versions;
    if (kind == QP_TERM_DAMAGED)
        compare->damaged += row.count;
    if (row.number >= compare->moment->indexed.next_term ||
        (row.count - row.inline_count) % QP_BLOCK_POSITIONS != 0 ||
        (!counted.versions && row.first != 1))
        return tell(compare, "terms", key, "its number or its count is wrong");
    if (kind == QP_TERM_DAMAGED)
        return compare_damaged(compare, key, &found);
    if (counted.ids || (term == NULL && found.count == 0))
        return QUIPU_OK; /* ids: all together; or all of its records are damaged now */
    if (term == NULL || !equal(term, &found))
        return tell(compare, "terms", key, "its positions are not those of the log");
    if (compare->census->damaged_count == 0 &&
        (row.first_position != term->first_position || row.last_position != term->last_position))
        return tell(compare, "terms", key, "its first or last position is wrong");
    return QUIPU_OK;
}

/* Terms that the log has and the index has not. A stream without entries here occurs only
 * after `indexed`. */
static int compare_missing(struct compare *compare)
{
    const struct qp_census *census = compare->census;
    int rc = QUIPU_OK;

    for (size_t i = 0; i < census->table_size && rc == QUIPU_OK; i++) {
        const struct qp_census_term *term = census->table[i];

        if (term != NULL && term->count > 0 && !term->seen)
            rc = tell(compare, "terms", (struct qp_bytes){term->key, term->key_size},
                      "it is missing");
    }
    return rc;
}

/* Row by row, then what no row can show: terms without one, and totals. */
static int compare_all(struct compare *compare, struct qp_cursor *terms)
{
    struct qp_bytes key = {0};
    struct qp_bytes value;
    int rc = qp_cursor_seek(terms, QP_FIRST, &key, &value, compare->error);

    while (rc == QUIPU_ROW) {
        rc = compare_term(compare, key, value);
        if (rc != QUIPU_OK)
            return rc;
        rc = qp_cursor_seek(terms, QP_NEXT, &key, &value, compare->error);
    }
    if (rc == QUIPU_OK)
        rc = compare_missing(compare);
    if (rc == QUIPU_OK && compare->all_seen &&
        (compare->streams != compare->moment->indexed.streams ||
         compare->damaged != compare->moment->indexed.damaged))
        rc = tell(compare, "meta", (struct qp_bytes){0}, "it counts other streams than it has");
    if (rc == QUIPU_OK && compare->all_seen &&
        (compare->ids != compare->census->ids || compare->id_sum != compare->census->id_sum))
        rc = tell(compare, "terms", (struct qp_bytes){0}, "its ids are not those of the log");
    if (rc == QUIPU_OK && compare->all_seen &&
        compare->blocks_seen != qp_table_rows(&compare->moment->index_txn, QP_TABLE_BLOCKS))
        rc = tell(compare, "blocks", (struct qp_bytes){0}, "there are blocks of no term");
    return rc;
}

int qp_census_compare(struct qp_census *census, struct qp_moment *moment, qp_census_found_fn found,
                      void *payload, quipu_error *error)
{
    struct compare compare = {.census = census,
                              .moment = moment,
                              .all_seen = true,
                              .found = found,
                              .payload = payload,
                              .error = error};
    struct qp_cursor terms = {0};
    int rc = qp_cursor_open(&terms, &moment->index_txn, QP_TABLE_TERMS, error);

    assert(found != NULL && moment->handle->index != NULL);
    if (rc == QUIPU_OK)
        rc = qp_cursor_open(&compare.blocks, &moment->index_txn, QP_TABLE_BLOCKS, error);
    if (rc == QUIPU_OK)
        rc = compare_all(&compare, &terms);
    qp_cursor_close(&terms);
    qp_cursor_close(&compare.blocks);
    return rc;
}
