/* key.c - keys are built here and nowhere else.
 *
 *     log       | position u64 as the machine has it |
 *     chunks    | position u64 | n u32 |                    big-endian: LMDB compares bytes, from
 *     blobs     | number u64 | n u32 |
 *     terms     | kind u8 | name ... |                      the first on, so that the rows of one
 *     blocks    | term u64 | first u64 |                    position or term are neighbours
 *     views     | name ... 0 | generation u32 | key ... |
 *     parked    | name ... 0 | generation u32 | size u16 | key ... | position u64 |
 *     meta      | name ... |
 *     snapshots | stream ... | 0 | fold ... | 0 | fold's version u32 | version u64 |
 *
 * docs/FORMAT.md 2 has the law. A key that was read is not believed: its size is looked at first.
 */
#include "key.h"

#include "sum.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *qp_table_name(enum qp_table table)
{
    static const char *const names[QP_TABLES] = {
        [QP_TABLE_LOG] = "log",           [QP_TABLE_CHUNKS] = "chunks",
        [QP_TABLE_STREAMS] = "streams",   [QP_TABLE_HOLES] = "holes",
        [QP_TABLE_EDITS] = "edits",       [QP_TABLE_VIEWS] = "views",
        [QP_TABLE_GROUPS] = "groups",     [QP_TABLE_PARKED] = "parked",
        [QP_TABLE_MARKS] = "marks",       [QP_TABLE_BLOBS] = "blobs",
        [QP_TABLE_META] = "meta",         [QP_TABLE_TERMS] = "terms",
        [QP_TABLE_BLOCKS] = "blocks",     [QP_TABLE_SNAPSHOTS] = "snapshots",
        [QP_TABLE_INDEX_BLOBS] = "blobs", [QP_TABLE_INDEX_META] = "meta",
    };

    return table < QP_TABLES && names[table] != NULL ? names[table] : "?";
}

const char *qp_table_text(enum qp_table table, const char *text)
{
    char begin[32];
    size_t size = (size_t)snprintf(begin, sizeof(begin), "table %s", qp_table_name(table));

    assert(size < sizeof(begin));
    if (strncmp(text, begin, size) != 0 || (text[size] != ',' && text[size] != ':') ||
        text[size + 1] != ' ')
        return text;
    return text + size + 2;
}

void qp_key_text(struct qp_bytes key, char *out, size_t capacity)
{
    const uint8_t *at = key.data;
    size_t used = 0;

    assert(capacity > 0);
    /* Three bytes of room for each: two digits and the 0 that snprintf() writes after them. */
    for (size_t i = 0; i < key.size && used + 3 < capacity; i++) {
        bool letter = at[i] > ' ' && at[i] < 0x7f;

        used += (size_t)snprintf(out + used, capacity - used, letter ? "%c" : "%02x", at[i]);
    }
    assert(used < capacity);
    out[used] = '\0';
}

struct qp_bytes qp_key_bytes(const struct qp_key *key)
{
    assert(key->size <= sizeof(key->bytes));
    return (struct qp_bytes){key->bytes, key->size};
}

/* The `size` low bytes of a number, the highest first. */
static void put_big(uint8_t *at, uint64_t number, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(number >> (8 * (size - 1 - i)));
}

static uint64_t get_big(const uint8_t *at, size_t size)
{
    uint64_t number = 0;

    for (size_t i = 0; i < size; i++)
        number = number << 8 | at[i];
    return number;
}

void qp_key_term(struct qp_key *key, enum qp_term_kind kind, struct qp_bytes name)
{
    assert(name.size <= QP_NAME_MAX);
    key->bytes[0] = (uint8_t)kind;
    if (name.size > 0) /* the term `damaged` has none */
        memcpy(key->bytes + 1, name.data, name.size);
    key->size = (uint16_t)(1 + name.size);
}

void qp_key_id_name(uint8_t name[QP_ID_NAME_BYTES], const uint8_t id[16], uint64_t stream_sum)
{
    memcpy(name, id, 16);
    put_big(name + 16, stream_sum, 8);
}

void qp_key_mark(struct qp_key *key, enum qp_mark_kind kind, struct qp_bytes name)
{
    assert(name.size > 0 && name.size <= QP_OWNER_NAME_MAX);
    key->bytes[0] = (uint8_t)kind;
    memcpy(key->bytes + 1, name.data, name.size);
    key->size = (uint16_t)(1 + name.size);
}

/* A name has no 0 byte: so one ends it, and names keep their order. */
static void put_owner(struct qp_key *key, struct qp_bytes name, uint32_t generation)
{
    assert(name.size > 0 && name.size <= QP_OWNER_NAME_MAX);
    memcpy(key->bytes, name.data, name.size);
    key->bytes[name.size] = 0;
    put_big(key->bytes + name.size + 1, generation, 4);
    key->size = (uint16_t)(name.size + 5);
}

static void put_bytes(struct qp_key *key, struct qp_bytes bytes)
{
    assert(key->size + bytes.size <= sizeof(key->bytes));
    if (bytes.size > 0)
        memcpy(key->bytes + key->size, bytes.data, bytes.size);
    key->size = (uint16_t)(key->size + bytes.size);
}

void qp_key_view(struct qp_key *key, struct qp_bytes name, uint32_t generation,
                 struct qp_bytes view_key)
{
    assert(view_key.size <= QP_VIEW_KEY_MAX);
    put_owner(key, name, generation);
    put_bytes(key, view_key);
}

void qp_key_parked_of(struct qp_key *key, struct qp_bytes name, uint32_t generation,
                      struct qp_bytes view_key)
{
    assert(view_key.size <= QP_VIEW_KEY_MAX);
    put_owner(key, name, generation);
    put_big(key->bytes + key->size, view_key.size, 2);
    key->size = (uint16_t)(key->size + 2);
    put_bytes(key, view_key);
}

void qp_key_parked(struct qp_key *key, struct qp_bytes name, uint32_t generation,
                   struct qp_bytes view_key, uint64_t position)
{
    qp_key_parked_of(key, name, generation, view_key);
    put_big(key->bytes + key->size, position, 8);
    key->size = (uint16_t)(key->size + 8);
}

bool qp_key_owned_read(struct qp_bytes key, struct qp_owned_key *out)
{
    const uint8_t *at = key.data;
    const uint8_t *end = key.size > 0 ? memchr(at, 0, key.size) : NULL;
    size_t name = end != NULL ? (size_t)(end - at) : 0;

    if (name == 0 || name > QP_OWNER_NAME_MAX || key.size < name + 5)
        return false;
    *out = (struct qp_owned_key){.name = {at, name},
                                 .generation = (uint32_t)get_big(at + name + 1, 4),
                                 .rest = {at + name + 5, key.size - name - 5}};
    return true;
}

bool qp_key_parked_rest(struct qp_bytes rest, struct qp_bytes *view_key, uint64_t *position)
{
    const uint8_t *at = rest.data;

    if (rest.size <= 10 || get_big(at, 2) != rest.size - 10 || rest.size - 10 > QP_VIEW_KEY_MAX)
        return false;
    *view_key = (struct qp_bytes){at + 2, rest.size - 10};
    *position = get_big(at + rest.size - 8, 8);
    return true;
}

void qp_key_block(struct qp_key *key, uint64_t term, uint64_t first)
{
    put_big(key->bytes, term, 8);
    put_big(key->bytes + 8, first, 8);
    key->size = 16;
}

bool qp_key_block_read(struct qp_bytes key, uint64_t *term, uint64_t *first)
{
    const uint8_t *at = key.data;

    if (key.size != 16)
        return false;
    *term = get_big(at, 8);
    *first = get_big(at + 8, 8);
    return true;
}

/* A number and a count: what chunks and blobs have. */
static void put_pair(struct qp_key *key, uint64_t number, uint32_t n)
{
    put_big(key->bytes, number, 8);
    put_big(key->bytes + 8, n, 4);
    key->size = 12;
}

static bool read_pair(struct qp_bytes key, uint64_t *number, uint32_t *n)
{
    const uint8_t *at = key.data;

    if (key.size != 12)
        return false;
    *number = get_big(at, 8);
    *n = (uint32_t)get_big(at + 8, 4);
    return true;
}

void qp_key_blob(struct qp_key *key, uint64_t number, uint32_t n)
{
    put_pair(key, number, n);
}

bool qp_key_blob_read(struct qp_bytes key, uint64_t *number, uint32_t *n)
{
    return read_pair(key, number, n);
}

void qp_key_chunk(struct qp_key *key, uint64_t position, uint32_t number)
{
    put_pair(key, position, number);
}

bool qp_key_chunk_read(struct qp_bytes key, uint64_t *position, uint32_t *number)
{
    return read_pair(key, position, number);
}

/* Names have no 0 byte, so that one ends them, and shorter names sort before longer ones. */
static void put_name(struct qp_key *key, struct qp_bytes name)
{
    assert(name.size > 0 && key->size + name.size < sizeof(key->bytes));
    memcpy(key->bytes + key->size, name.data, name.size);
    key->bytes[key->size + name.size] = '\0';
    key->size = (uint16_t)(key->size + name.size + 1);
}

void qp_key_snapshots(struct qp_key *key, struct qp_bytes stream, struct qp_bytes fold)
{
    assert(stream.size <= QP_NAME_MAX && fold.size <= QP_OWNER_NAME_MAX);
    key->size = 0;
    put_name(key, stream);
    put_name(key, fold);
}

void qp_key_snapshot(struct qp_key *key, const struct qp_snapshot_name *name)
{
    qp_key_snapshots(key, name->stream, name->fold);
    put_big(key->bytes + key->size, QP_MUTANT(FOLD_VERSION_UNSEEN) ? 0 : name->fold_version, 4);
    put_big(key->bytes + key->size + 4, name->version, 8);
    key->size = (uint16_t)(key->size + 12);
}

/* The name at `*at`, behind which `*at` then stands. false: none of 1 to `most` bytes ends there.
 */
static bool read_name(struct qp_bytes key, size_t *at, size_t most, struct qp_bytes *name)
{
    const uint8_t *from = (const uint8_t *)key.data + *at;
    const uint8_t *end = memchr(from, '\0', key.size - *at);

    if (end == NULL || end == from || (size_t)(end - from) > most)
        return false;
    *name = (struct qp_bytes){from, (size_t)(end - from)};
    *at += name->size + 1;
    return true;
}

bool qp_key_snapshot_read(struct qp_bytes key, struct qp_snapshot_name *name)
{
    const uint8_t *bytes = key.data;
    size_t at = 0;

    if (!read_name(key, &at, QP_NAME_MAX, &name->stream) ||
        !read_name(key, &at, QP_OWNER_NAME_MAX, &name->fold) || key.size - at != 12)
        return false;
    name->fold_version = (uint32_t)get_big(bytes + at, 4);
    name->version = get_big(bytes + at + 4, 8);
    return true;
}

/* A view and no copy: LMDB compares it as a number of the machine. */
struct qp_bytes qp_key_position(const uint64_t *position)
{
    return (struct qp_bytes){position, sizeof(*position)};
}

bool qp_key_position_read(struct qp_bytes key, uint64_t *position)
{
    if (key.size != sizeof(*position))
        return false;
    memcpy(position, key.data, sizeof(*position));
    return true;
}

/* Seeded with table and key: a row that stands under another key is as damaged as one whose bytes
 * are others (docs/FORMAT.md 2.1). The first 8 bytes are not summed, the sum goes there. */
static uint64_t row_sum(enum qp_table table, struct qp_bytes key, const uint8_t *value, size_t size)
{
    uint64_t seed = qp_sum(key.data, QP_MUTANT(KEY_UNSUMMED) ? 0 : key.size, (uint64_t)table);

    return qp_sum(value + QP_ROW_SUM_BYTES, size - QP_ROW_SUM_BYTES, seed);
}

void qp_row_seal(enum qp_table table, struct qp_bytes key, uint8_t *value, size_t size)
{
    assert(size >= QP_ROW_SUM_BYTES && size <= QP_ROW_BYTES_MAX);
    qp_set_u64(value, row_sum(table, key, value, size));
}

bool qp_row_whole(enum qp_table table, struct qp_bytes key, struct qp_bytes value)
{
    if (value.size < QP_ROW_SUM_BYTES || value.size > QP_ROW_BYTES_MAX)
        return false;
    return qp_get_u64(value.data) == row_sum(table, key, value.data, value.size) ||
           QP_MUTANT(ROW_UNCHECKED);
}
