/* segment.c - an open-addressed table of lists over an arena.
 *
 *     table   [ ][*][ ][*]...      pointers; probed only where the hash is the same
 *     hashes  [0][h][0][h]...      beside it, in one piece: what most probes look at
 *                 |
 *              list "stream order-42", 5 entries
 *                 |
 *              chunk of 3: 1 2 3 <-> chunk of 7: 4 5 . . . . .     entries by number
 *
 * An event belongs to several terms, and must be in all of them or in none: what its entries can
 * need is made sure of first, so that putting them cannot fail. Numbers in a list ascend by 1;
 * known offsets ascend. A list of no entries may stand in the table, where memory ran out after it
 * was made: it counts as none. */
#include "segment.h"

#include "sum.h"
#include "terms.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    TABLE_FIRST = 64,
    CHUNK_FIRST = 3, /* most streams have few events in a segment; 2n + 1 leave no padding */
};

/* What a list and a chunk take from the arena at most, rounded up to 8 bytes as it does: a list's
 * key may need 8 more, a chunk's struct counts padding that its offsets begin in. */
#define LIST_BYTES_MAX  (sizeof(struct qp_term_list) + 1 + QP_NAME_MAX + 8)
#define CHUNK_BYTES_MAX (sizeof(struct qp_list_chunk) + QP_CHUNK_OFFSETS_MAX * sizeof(uint32_t))

/* An empty table, in one piece with its hashes. false: memory is out, and `table` is NULL. */
static bool make_table(struct qp_segment *segment, size_t size)
{
    assert(size >= TABLE_FIRST && (size & (size - 1)) == 0);
    segment->table = qp_zalloc(size * (sizeof(struct qp_term_list *) + sizeof(uint32_t)));
    if (segment->table == NULL)
        return false;
    segment->hashes = (uint32_t *)(void *)(segment->table + size);
    segment->table_size = size;
    return true;
}

struct qp_segment *qp_segment_new(uint64_t after)
{
    struct qp_segment *segment = qp_zalloc(sizeof(*segment));

    if (segment == NULL)
        return NULL;
    segment->after = after;
    segment->upto = after;
    if (!make_table(segment, TABLE_FIRST)) {
        qp_free(segment);
        return NULL;
    }
    return segment;
}

void qp_segment_free(struct qp_segment *segment)
{
    if (segment == NULL)
        return;
    assert(segment->pins == 0);
    qp_arena_release(&segment->arena);
    qp_ids_release(&segment->ids);
    qp_free(segment->table);
    qp_free(segment);
}

/* What the heap was asked for: the tail's share of `tail_bytes_max`. */
size_t qp_segment_bytes(const struct qp_segment *segment)
{
    return sizeof(*segment) + segment->arena.bytes + qp_ids_bytes(&segment->ids) +
           segment->table_size * (sizeof(struct qp_term_list *) + sizeof(uint32_t));
}

/* Never 0, which marks a free slot. */
uint32_t qp_segment_hash(const struct qp_key *key)
{
    uint32_t hash = (uint32_t)qp_sum(key->bytes, key->size, 0);

    return hash != 0 ? hash : 1;
}

/* Where a key's list is, or would be put. Most probes end at the hashes, which stay in the cache.
 * It ends: half of the slots are free, or more. */
static size_t slot_of(const struct qp_segment *segment, uint32_t hash, struct qp_bytes key)
{
    size_t slot = hash & (segment->table_size - 1);

    assert(hash != 0 && segment->list_count * 2 <= segment->table_size);
    while (segment->hashes[slot] != 0) {
        const struct qp_term_list *list = segment->table[slot];

        if (segment->hashes[slot] == hash && list->key_size == key.size &&
            memcmp(list->key, key.data, key.size) == 0)
            break;
        slot = (slot + 1) & (segment->table_size - 1);
    }
    return slot;
}

/* Twice the table. Lists stay where they are; only the pointers to them move. */
static bool grow_table(struct qp_segment *segment)
{
    struct qp_segment old = *segment;

    if (!make_table(segment, old.table_size * 2)) {
        *segment = old;
        return false;
    }
    for (size_t i = 0; i < old.table_size; i++) {
        size_t slot = old.hashes[i] & (segment->table_size - 1);

        if (old.hashes[i] == 0)
            continue;
        while (segment->hashes[slot] != 0) /* all keys differ: none is looked at */
            slot = (slot + 1) & (segment->table_size - 1);
        segment->table[slot] = old.table[i];
        segment->hashes[slot] = old.hashes[i];
    }
    qp_free(old.table);
    return true;
}

/* Room for an event's entries under `terms` names, should each of them need a new list and a new
 * chunk of the largest size: what list_of() and put() rely on. */
static bool make_room(struct qp_segment *segment, size_t terms)
{
    while ((segment->list_count + terms) * 2 > segment->table_size)
        if (!grow_table(segment))
            return false;
    return qp_arena_ensure(&segment->arena, terms * (LIST_BYTES_MAX + CHUNK_BYTES_MAX));
}

/* The key's list; an empty one is made where there is none. make_room() comes first. */
static struct qp_term_list *list_of(struct qp_segment *segment, const struct qp_key *key)
{
    struct qp_bytes bytes = qp_key_bytes(key);
    uint32_t hash = qp_segment_hash(key);
    size_t slot = slot_of(segment, hash, bytes);
    struct qp_term_list *list = segment->table[slot];

    if (list != NULL)
        return list;
    list = qp_arena_take(&segment->arena, offsetof(struct qp_term_list, key) + bytes.size);
    assert(list != NULL && bytes.size > 0);
    /* A struct's size counts its padding, which the key may begin in: the arena rounds up to it. */
    *list = (struct qp_term_list){.key_size = key->size};
    memcpy(list->key, bytes.data, bytes.size);
    segment->table[slot] = list;
    segment->hashes[slot] = hash;
    segment->list_count++;
    return list;
}

/* The chunk that the next entry goes to. Each new one is twice as long, so that a long list has few
 * and a short one wastes little: 3, 7, 15 ... 511, 512, 512. NULL: memory is out. */
static struct qp_list_chunk *open_chunk(struct qp_segment *segment, struct qp_term_list *list)
{
    struct qp_list_chunk *newest = list->newest;
    uint16_t capacity = CHUNK_FIRST;
    struct qp_list_chunk *chunk;

    if (newest != NULL && newest->count < newest->capacity)
        return newest;
    if (newest != NULL)
        capacity = (uint16_t)(newest->capacity * 2 + 1);
    if (capacity > QP_CHUNK_OFFSETS_MAX)
        capacity = QP_CHUNK_OFFSETS_MAX;
    chunk = qp_arena_take(&segment->arena, offsetof(struct qp_list_chunk, offsets) +
                                               capacity * sizeof(chunk->offsets[0]));
    if (chunk == NULL)
        return NULL;
    *chunk = (struct qp_list_chunk){
        .older = newest, .first = list->first + list->count, .capacity = capacity};
    if (newest != NULL)
        newest->newer = chunk;
    else
        list->oldest = chunk;
    list->newest = chunk;
    return chunk;
}

/* Add an entry; offset 0: not known. false: memory is out; never for one that make_room() made room
 * for. */
static bool put(struct qp_segment *segment, struct qp_term_list *list, uint32_t offset)
{
    struct qp_list_chunk *chunk = open_chunk(segment, list);

    assert(offset == 0 ? list->count > 0 : offset > list->last_offset);
    if (chunk == NULL)
        return false;
    assert(chunk->count < chunk->capacity);
    chunk->offsets[chunk->count++] = offset;
    list->count++;
    if (offset == 0)
        return true;
    if (list->first_offset == 0)
        list->first_offset = offset;
    list->last_offset = offset;
    return true;
}

static bool put_term(struct qp_segment *segment, enum qp_term_kind kind, struct qp_bytes name,
                     uint32_t offset)
{
    struct qp_key key;

    qp_key_term(&key, kind, name);
    return put(segment, list_of(segment, &key), offset);
}

/* The same for a kind that has few terms, with the last one at hand: neither is its key hashed nor
 * the table looked at, for two of an event's three terms. */
static bool put_common(struct qp_segment *segment, enum qp_term_kind kind, struct qp_bytes name,
                       uint32_t offset)
{
    struct qp_term_list **recent = &segment->recent[kind == QP_TERM_CATEGORY ? 0 : 1];
    struct qp_key key;

    assert(kind == QP_TERM_CATEGORY || kind == QP_TERM_TYPE);
    if (*recent == NULL || (*recent)->key_size != name.size + 1 ||
        memcmp((*recent)->key + 1, name.data, name.size) != 0) {
        qp_key_term(&key, kind, name);
        *recent = list_of(segment, &key);
    }
    return put(segment, *recent, offset);
}

/* Versions between the last one seen and this one were of records that could not be read. There
 * cannot be more of them than positions between the two. */
static bool follows(const struct qp_term_list *list, uint64_t version, uint32_t offset)
{
    uint64_t last = list->first + list->count - 1;

    return version > last && version - last <= offset - list->last_offset;
}

/* Under no name of its own, which nobody can read: each reader of a term looks at this one too. */
bool qp_segment_add_damaged(struct qp_segment *segment)
{
    uint32_t offset = (uint32_t)(segment->upto + 1 - segment->after);
    bool done;

    assert(!segment->sealed && segment->upto - segment->after < UINT32_MAX);
    if (!make_room(segment, 1))
        return false;
    done = put_term(segment, QP_TERM_DAMAGED, (struct qp_bytes){0}, offset);
    assert(done);
    (void)done;
    segment->damaged = true;
    segment->upto++;
    return true;
}

/* Under every name but its stream's. Room for it has been made. */
static bool put_names(struct qp_segment *segment, const struct qp_record *record, uint32_t offset)
{
    struct qp_terms terms;
    enum qp_term_kind kind;
    struct qp_bytes name;
    bool done = true;

    qp_terms_begin(&terms, record);
    while (done && qp_terms_next(&terms, &kind, &name)) {
        if (kind == QP_TERM_CATEGORY || kind == QP_TERM_TYPE)
            done = put_common(segment, kind, name, offset);
        else if (kind == QP_TERM_TAG)
            done = put_term(segment, kind, name, offset);
        else if (kind == QP_TERM_ID)
            qp_ids_put(&segment->ids, name.data, offset);
    }
    return done;
}

/* The stream's list decides: if the version cannot be, the record is damaged whatever its sum says,
 * and is put under none of its names. Only then are the entries put, all or none. */
bool qp_segment_add(struct qp_segment *segment, const struct qp_record *record)
{
    uint32_t offset = (uint32_t)(segment->upto + 1 - segment->after);
    size_t terms = qp_terms_count(record);
    struct qp_term_list *list;
    struct qp_key key;
    bool done;

    assert(!segment->sealed && segment->upto - segment->after < UINT32_MAX);
    if (record->version == 0 || record->version > segment->upto + 1)
        return qp_segment_add_damaged(segment); /* a stream has no more versions than positions */
    if (!make_room(segment, terms) || (record->id != NULL && !qp_ids_ensure(&segment->ids)))
        return false;
    qp_key_term(&key, QP_TERM_STREAM, record->stream);
    list = list_of(segment, &key);
    if (list->count == 0) {
        list->first = record->version;
    } else if (!follows(list, record->version, offset)) {
        return qp_segment_add_damaged(segment);
    }
    /* As many as there were lost versions: these may use up the room, and may fail. */
    while (list->first + list->count < record->version)
        if (!put(segment, list, 0))
            return false; /* what was put stays true: those versions are not known */
    if (!make_room(segment, terms))
        return false;
    done = put(segment, list, offset) && put_names(segment, record, offset);
    assert(done);
    (void)done;
    segment->upto++;
    return true;
}

const struct qp_term_list *qp_segment_find(const struct qp_segment *segment,
                                           const struct qp_key *key, uint32_t hash)
{
    const struct qp_term_list *list = segment->table[slot_of(segment, hash, qp_key_bytes(key))];

    return list != NULL && list->count > 0 ? list : NULL; /* empty: memory ran out in between */
}

static int by_key(const void *left, const void *right)
{
    const struct qp_term_list *a = *(const struct qp_term_list *const *)left;
    const struct qp_term_list *b = *(const struct qp_term_list *const *)right;

    return qp_bytes_order((struct qp_bytes){a->key, a->key_size},
                          (struct qp_bytes){b->key, b->key_size});
}

const struct qp_term_list **qp_segment_sorted(const struct qp_segment *segment, size_t *list_count)
{
    /* One more than needed: a segment may have no lists, and 0 bytes are never asked for. */
    const struct qp_term_list **lists = qp_resize(NULL, (segment->list_count + 1) * sizeof(*lists));
    size_t count = 0;

    if (lists == NULL)
        return NULL;
    for (size_t i = 0; i < segment->table_size; i++)
        if (segment->table[i] != NULL && segment->table[i]->count > 0)
            lists[count++] = segment->table[i];
    assert(count <= segment->list_count);
    *list_count = count;
    qsort(lists, count, sizeof(struct qp_term_list *), by_key);
    return lists;
}

void qp_chunk_positions(const struct qp_segment *segment, const struct qp_list_chunk *chunk,
                        uint64_t *positions)
{
    for (uint32_t i = 0; i < chunk->count; i++)
        positions[i] = chunk->offsets[i] == 0 ? 0 : segment->after + chunk->offsets[i];
}
