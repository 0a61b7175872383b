/* index.c - a term's newest entries stand in its row; each QP_BLOCK_POSITIONS of them move to a
 * block that is never touched again, so that a merge rewrites one short row a term, however long
 * its history is. Blocks of a stream are found by version, all others by position
 * (docs/ARCHITECTURE.md 8.6).
 *
 *     blocks  (7, 1)     base 0       512 entries, the last at 4711
 *             (7, 513)   base 4711    512 entries, the last at 9100
 *     terms   "order-42" base 9100     76 entries         number 7, first 1, count 1100
 *
 * Each part says at which position the part before it ends. So a block that is missing is noticed
 * by who walks over the place where it was (docs/FORMAT.md 5.4).
 *
 * Knows no tail, no locks and no log. A failed merge leaves its transaction half written: whoever
 * began it ends it without a commit, and forgets `indexed`. */
#include "index.h"

#include "memory.h"
#include "row.h"
#include "status.h"

#include <assert.h>
#include <string.h>

const struct qp_table_spec qp_index_tables[] = {
    {QP_TABLE_TERMS, false},       {QP_TABLE_BLOCKS, false},     {QP_TABLE_SNAPSHOTS, false},
    {QP_TABLE_INDEX_BLOBS, false}, {QP_TABLE_INDEX_META, false},
};
const size_t qp_index_table_count = sizeof(qp_index_tables) / sizeof(qp_index_tables[0]);

/* The advice is the same whatever is wrong: an index is never repaired, only made again. */
int qp_index_damaged(const char *what, struct qp_bytes key, quipu_error *error)
{
    char text[64];

    qp_key_text(key, text, sizeof(text));
    return qp_fail(error, QUIPU_CORRUPT,
                   "the index is damaged: %s of %s; close the store everywhere and reindex it",
                   what, text);
}

/* ---- read ---- */

/* The sum is checked, whatever a reader says of checksums: a row stands for up to 512 entries, and
 * one that is not in it any more nobody would miss. */
int qp_index_term(struct qp_txn *txn, struct qp_bytes key, struct qp_term_row *row,
                  quipu_error *error)
{
    struct qp_bytes value;
    int rc = qp_get(txn, QP_TABLE_TERMS, key, &value, error);

    if (rc != QUIPU_ROW)
        return rc;
    if (!qp_row_whole(QP_TABLE_TERMS, key, value) || !qp_term_row_read(value, row))
        return qp_index_damaged("the row", key, error);
    return QUIPU_ROW;
}

/* The cursor stands at a row of `blocks`: is it the term's, and what is in it? Returns: ROW; OK: it
 * is another term's; CORRUPT. */
static int read_block(struct qp_bytes key, struct qp_bytes value, const struct qp_term_row *term,
                      struct qp_block_row *block, uint64_t *first, quipu_error *error)
{
    uint64_t number;

    if (!qp_key_block_read(key, &number, first))
        return qp_index_damaged("the key", key, error);
    if (number != term->number)
        return QUIPU_OK;
    if (!qp_row_whole(QP_TABLE_BLOCKS, key, value) || !qp_block_row_read(value, block))
        return qp_index_damaged("the block", key, error);
    return QUIPU_ROW;
}

/* LMDB finds the first key at or after a wanted one. That is the block if it begins at `number`
 * itself, else it is the row before; with no such key, the table's last row. In the end the cursor
 * stands at the block that is given: qp_index_next_block() goes on from there. */
int qp_index_block(struct qp_cursor *blocks, const struct qp_term_row *term, uint64_t number,
                   struct qp_block_row *block, uint64_t *first, quipu_error *error)
{
    struct qp_key wanted;
    struct qp_bytes key;
    struct qp_bytes value;
    int rc;

    assert(blocks->mdb != NULL);
    if (term->number == 0)
        return QUIPU_OK;
    qp_key_block(&wanted, term->number, number);
    key = qp_key_bytes(&wanted);
    rc = qp_cursor_seek(blocks, QP_AT_LEAST, &key, &value, error);
    if (rc < 0)
        return rc;
    if (rc == QUIPU_ROW) {
        if (key.size == wanted.size && memcmp(key.data, wanted.bytes, wanted.size) == 0)
            return read_block(key, value, term, block, first, error);
        rc = qp_cursor_seek(blocks, QP_PREVIOUS, &key, &value, error);
    } else {
        rc = qp_cursor_seek(blocks, QP_LAST, &key, &value, error);
    }
    if (rc == QUIPU_ROW)
        rc = read_block(key, value, term, block, first, error);
    if (rc != QUIPU_OK)
        return rc;
    /* Nothing before it is the term's: its first block, if it has one, begins after `number`. */
    key = qp_key_bytes(&wanted);
    rc = qp_cursor_seek(blocks, QP_AT_LEAST, &key, &value, error);
    return rc == QUIPU_ROW ? read_block(key, value, term, block, first, error) : rc;
}

/* One step of the cursor. Blocks of a term are neighbours: another term's ends them. */
int qp_index_next_block(struct qp_cursor *blocks, const struct qp_term_row *term, bool backwards,
                        struct qp_block_row *block, uint64_t *first, quipu_error *error)
{
    struct qp_bytes key = {0};
    struct qp_bytes value;
    int rc = qp_cursor_seek(blocks, backwards ? QP_PREVIOUS : QP_NEXT, &key, &value, error);

    return rc == QUIPU_ROW ? read_block(key, value, term, block, first, error) : rc;
}

/* ---- what it is a fold of ---- */

/* The row was written with the file: that it is missing is damage. */
int qp_index_indexed(struct qp_txn *txn, struct qp_indexed *indexed, quipu_error *error)
{
    struct qp_bytes value;
    int rc = qp_get_row(txn, QP_TABLE_INDEX_META, QP_META_INDEXED, &value, error);

    if (rc < 0)
        return rc;
    if (rc == QUIPU_OK || !qp_indexed_read(value, indexed))
        return qp_index_damaged("the row", QP_META_INDEXED, error);
    return QUIPU_OK;
}

int qp_index_put_indexed(struct qp_txn *txn, const struct qp_indexed *indexed, quipu_error *error)
{
    uint8_t row[QP_META_ROW_BYTES_MAX];
    size_t size = qp_indexed_write(indexed, row);

    assert(txn->writing && size <= sizeof(row));
    return qp_put_row(txn, QP_TABLE_INDEX_META, QP_META_INDEXED, row, size, error);
}

/* Terms with blocks are numbered from 1: in a row 0 says that there are none. */
int qp_index_init(struct qp_txn *txn, const uint8_t uuid[16], quipu_error *error)
{
    struct qp_index_format format = {.number = QP_FORMAT_INDEX, .term_kinds = QP_TERM_KINDS_BITS};
    struct qp_indexed indexed = {.next_term = 1};
    uint8_t row[QP_META_ROW_BYTES_MAX];
    size_t size;
    int rc;

    memcpy(format.uuid, uuid, sizeof(format.uuid));
    size = qp_index_format_write(&format, row);
    rc = qp_put_row(txn, QP_TABLE_INDEX_META, QP_META_FORMAT, row, size, error);
    return rc == QUIPU_OK ? qp_index_put_indexed(txn, &indexed, error) : rc;
}

/* No error is told: an index that cannot be read is discarded like one that is not ours. */
bool qp_index_is_ours(struct qp_txn *txn, const uint8_t uuid[16])
{
    struct qp_index_format format;
    struct qp_bytes value;

    return qp_get_row(txn, QP_TABLE_INDEX_META, QP_META_FORMAT, &value, NULL) == QUIPU_ROW &&
           qp_index_format_read(value, &format) && format.number == QP_FORMAT_INDEX &&
           format.term_kinds == QP_TERM_KINDS_BITS && memcmp(format.uuid, uuid, 16) == 0;
}

/* ---- merge ---- */

/* What a segment has of one term. */
struct addition {
    struct qp_bytes key;
    uint64_t first; /* number of the first entry; of a stream its version */
    uint64_t count;
    uint64_t first_position;
    uint64_t last_position;
    const struct qp_list_chunk *chunks; /* NULL: the first position is all there is */
};

/* What one merge works with. */
struct merge {
    struct qp_txn *txn;
    const struct qp_segment *segment; /* nobody adds to it meanwhile: it is read without a lock */
    struct qp_indexed *indexed;       /* where the index is now: numbers and counts move with it */
    struct qp_buffer positions;       /* of uint64_t: entries in the row, then the list's */
    quipu_error *error;
};

static bool is_stream(const struct addition *addition)
{
    return ((const uint8_t *)addition->key.data)[0] == QP_TERM_STREAM;
}

static bool push(struct merge *merge, uint64_t position)
{
    return qp_buffer_put(&merge->positions, &position, sizeof(position));
}

static uint64_t *positions_of(const struct merge *merge)
{
    return (uint64_t *)(void *)merge->positions.bytes;
}

static size_t position_count(const struct merge *merge)
{
    assert(merge->positions.size % sizeof(uint64_t) == 0);
    return merge->positions.size / sizeof(uint64_t);
}

/* The row's own entries, decoded, in front. They must end at or before the row's last position:
 * what is written after them ascends from there, and the writer of deltas relies on it. */
static int load_row(struct merge *merge, struct qp_bytes key, const struct qp_term_row *row)
{
    assert(row->inline_count < QP_BLOCK_POSITIONS);
    merge->positions.size = 0;
    if (!qp_buffer_reserve(&merge->positions, QP_BLOCK_POSITIONS * sizeof(uint64_t)))
        return qp_fail_memory(merge->error);
    merge->positions.size = row->inline_count * sizeof(uint64_t);
    if (!qp_deltas_read(row->deltas, row->base, positions_of(merge), row->inline_count) ||
        qp_last_known(positions_of(merge), row->inline_count, row->base) > row->last_position)
        return qp_index_damaged("the positions", key, merge->error);
    return QUIPU_OK;
}

/* Versions of a stream between the row's and the list's belong to damaged records: they become
 * entries without a position, so that those after them keep their numbers (docs/ARCHITECTURE.md
 * 8.5). Each needs a position between the two; more of them cannot be. */
static int fill_gap(struct merge *merge, const struct qp_term_row *row,
                    const struct addition *addition)
{
    uint64_t next = row->first + row->count;
    uint64_t room = addition->first_position - row->last_position;

    if (!is_stream(addition))
        return QUIPU_OK;
    if (addition->first < next || addition->first - next >= room) {
        return qp_fail(merge->error, QUIPU_CORRUPT,
                       "version %llu of stream %.*s does not follow %llu at position %llu",
                       (unsigned long long)addition->first, (int)addition->key.size - 1,
                       (const char *)addition->key.data + 1, (unsigned long long)next - 1,
                       (unsigned long long)row->last_position);
    }
    for (; next < addition->first; next++)
        if (!push(merge, 0))
            return qp_fail_memory(merge->error);
    return QUIPU_OK;
}

/* The segment's entries after them. */
static int load_addition(struct merge *merge, const struct addition *addition)
{
    uint64_t positions[QP_CHUNK_OFFSETS_MAX];

    if (addition->chunks == NULL && !push(merge, addition->first_position))
        return qp_fail_memory(merge->error);
    for (const struct qp_list_chunk *chunk = addition->chunks; chunk != NULL;
         chunk = chunk->newer) {
        qp_chunk_positions(merge->segment, chunk, positions);
        if (!qp_buffer_put(&merge->positions, positions, chunk->count * sizeof(positions[0])))
            return qp_fail_memory(merge->error);
    }
    return QUIPU_OK;
}

/* Write QP_BLOCK_POSITIONS entries as the term's next block, with key `number`. What comes after
 * them counts from their last position. A term gets its number with its first block: most never
 * have one. */
static int put_block(struct merge *merge, struct qp_term_row *row, uint64_t number,
                     const uint64_t *positions)
{
    struct qp_key key;
    uint8_t value[QP_ROW_BYTES_MAX];
    size_t size = qp_block_row_write(row->base, positions, QP_BLOCK_POSITIONS, value);

    if (row->number == 0)
        row->number = merge->indexed->next_term++;
    row->base = qp_last_known(positions, QP_BLOCK_POSITIONS, row->base);
    qp_key_block(&key, row->number, number);
    return qp_put_row(merge->txn, QP_TABLE_BLOCKS, qp_key_bytes(&key), value, size, merge->error);
}

/* All entries that the row is to have are decoded: cut blocks, write the rest. */
static int write_term(struct merge *merge, const struct addition *addition, struct qp_term_row *row)
{
    const uint64_t *positions = positions_of(merge);
    size_t count = position_count(merge);
    uint64_t first = row->first + row->count - row->inline_count; /* number of positions[0] */
    size_t done = 0;
    uint8_t value[QP_ROW_BYTES_MAX];
    size_t size;

    assert(count > row->inline_count && addition->last_position >= addition->first_position);
    row->count += count - row->inline_count;
    while (count - done >= QP_BLOCK_POSITIONS) {
        uint64_t number = is_stream(addition) ? first + done : positions[done];
        int rc = put_block(merge, row, number, positions + done);

        if (rc < 0)
            return rc;
        done += QP_BLOCK_POSITIONS;
    }
    assert(count - done < QP_BLOCK_POSITIONS);
    row->inline_count = (uint16_t)(count - done);
    row->last_position = addition->last_position;
    size = qp_term_row_write(row, positions + done, value);
    return qp_put_row(merge->txn, QP_TABLE_TERMS, addition->key, value, size, merge->error);
}

/* Add to a term's row: read it or begin it, decode, append, cut, write. A row that says more than
 * the index is said to have is damaged, and must not be built upon. */
static int merge_term(struct merge *merge, const struct addition *addition)
{
    struct qp_term_row row = {0};
    int rc = qp_index_term(merge->txn, addition->key, &row, merge->error);

    assert(addition->count > 0 && addition->first_position > merge->segment->after);
    if (rc < 0)
        return rc;
    if (rc == QUIPU_OK) {
        row.first = is_stream(addition) ? addition->first : 1;
        row.first_position = addition->first_position;
        row.last_position = merge->segment->after;
        merge->indexed->streams += is_stream(addition);
    }
    if (rc == QUIPU_ROW &&
        (row.base > row.last_position || row.last_position > addition->first_position - 1))
        return qp_index_damaged("the newest position", addition->key, merge->error);
    if (((const uint8_t *)addition->key.data)[0] == QP_TERM_DAMAGED)
        merge->indexed->damaged += addition->count;
    rc = load_row(merge, addition->key, &row);
    if (rc == QUIPU_OK && row.count > 0)
        rc = fill_gap(merge, &row, addition);
    if (rc == QUIPU_OK)
        rc = load_addition(merge, addition);
    return rc == QUIPU_OK ? write_term(merge, addition, &row) : rc;
}

/* Whatever events are found by but ids. A list begins and ends with what is known. */
static int merge_lists(struct merge *merge)
{
    const struct qp_segment *segment = merge->segment;
    size_t count = 0;
    const struct qp_term_list **lists = qp_segment_sorted(segment, &count);
    int rc = QUIPU_OK;

    if (lists == NULL)
        return qp_fail_memory(merge->error);
    for (size_t i = 0; i < count && rc == QUIPU_OK; i++) {
        const struct qp_term_list *list = lists[i];
        struct addition addition = {.key = {list->key, list->key_size},
                                    .first = list->first,
                                    .count = list->count,
                                    .first_position = segment->after + list->first_offset,
                                    .last_position = segment->after + list->last_offset,
                                    .chunks = list->oldest};

        rc = merge_term(merge, &addition);
    }
    qp_free(lists);
    return rc;
}

/* One by one: that an id stands in a segment twice is rare. */
static int merge_ids(struct merge *merge)
{
    const struct qp_segment *segment = merge->segment;
    const struct qp_id_entry **ids = qp_ids_sorted(&segment->ids);
    int rc = QUIPU_OK;

    if (ids == NULL)
        return qp_fail_memory(merge->error);
    for (size_t i = 0; i < segment->ids.count && rc == QUIPU_OK; i++) {
        uint64_t position = segment->after + ids[i]->number;
        struct qp_key key;
        struct addition addition = {
            .count = 1, .first_position = position, .last_position = position};

        qp_key_term(&key, QP_TERM_ID, (struct qp_bytes){ids[i]->key, QP_ID_NAME_BYTES});
        addition.key = qp_key_bytes(&key);
        rc = merge_term(merge, &addition);
    }
    qp_free(ids);
    return rc;
}

/* In the order of keys, but for the damaged: rows that are neighbours stand on one page, and the
 * transaction's cursor goes over the pages of `terms` once, from left to right. */
int qp_index_merge(struct qp_txn *txn, const struct qp_segment *segment, struct qp_indexed *indexed,
                   quipu_error *error)
{
    struct merge merge = {.txn = txn, .segment = segment, .indexed = indexed, .error = error};
    int rc;

    assert(txn->writing && segment->after == indexed->position);
    rc = merge_lists(&merge);
    if (rc == QUIPU_OK)
        rc = merge_ids(&merge);
    if (rc == QUIPU_OK)
        indexed->position = segment->upto;
    qp_buffer_release(&merge.positions);
    return rc;
}
