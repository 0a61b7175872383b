/* ids.c - open addressing over an array. Ids are many and each occurs once: 32 bytes and a slot is
 * what one costs, where a list of positions would take a hundred.
 *
 * Knows no locks, streams or positions. Nothing is ever taken out. */
#include "ids.h"

#include "sum.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_FIRST = 64 };

static_assert(sizeof(struct qp_id_entry) == 32, "no padding: there may be 200 000 of them");

void qp_ids_release(struct qp_ids *ids)
{
    qp_free(ids->entries);
    qp_free(ids->table);
    *ids = (struct qp_ids){0};
}

size_t qp_ids_bytes(const struct qp_ids *ids)
{
    return ids->capacity * sizeof(*ids->entries) + ids->table_size * sizeof(*ids->table);
}

/* Where the key's first entry is, or would be put. At most half of the slots are taken: it ends. */
static size_t slot_of(const struct qp_ids *ids, const uint8_t key[QP_ID_NAME_BYTES])
{
    size_t slot = (size_t)qp_sum(key, QP_ID_NAME_BYTES, 0) & (ids->table_size - 1);

    assert(ids->table_size > 0 && ids->count * 2 <= ids->table_size);
    while (ids->table[slot] != 0 &&
           memcmp(ids->entries[ids->table[slot] - 1].key, key, QP_ID_NAME_BYTES) != 0)
        slot = (slot + 1) & (ids->table_size - 1);
    return slot;
}

/* Twice the table: only first entries stand in it, and each knows those after it. */
static bool grow_table(struct qp_ids *ids)
{
    struct qp_ids grown = *ids;

    grown.table_size = ids->table_size == 0 ? TABLE_FIRST : ids->table_size * 2;
    grown.table = qp_zalloc(grown.table_size * sizeof(*grown.table));
    if (grown.table == NULL)
        return false;
    for (size_t i = 0; i < ids->table_size; i++)
        if (ids->table[i] != 0)
            grown.table[slot_of(&grown, ids->entries[ids->table[i] - 1].key)] = ids->table[i];
    qp_free(ids->table);
    *ids = grown;
    return true;
}

bool qp_ids_ensure(struct qp_ids *ids)
{
    assert(ids->count < UINT32_MAX / 2);
    if ((ids->count + 1) * 2 > ids->table_size && !grow_table(ids))
        return false;
    return qp_array_reserve(&ids->entries, &ids->capacity, ids->count + 1, sizeof(*ids->entries));
}

void qp_ids_put(struct qp_ids *ids, const uint8_t key[QP_ID_NAME_BYTES], uint32_t number)
{
    size_t slot = slot_of(ids, key);
    uint32_t *link = &ids->table[slot];

    assert(ids->count < ids->capacity && (ids->count + 1) * 2 <= ids->table_size);
    while (*link != 0)
        link = &ids->entries[*link - 1].next;
    ids->entries[ids->count] = (struct qp_id_entry){.number = number};
    memcpy(ids->entries[ids->count].key, key, QP_ID_NAME_BYTES);
    ids->count++;
    *link = (uint32_t)ids->count;
}

const struct qp_id_entry *qp_ids_find(const struct qp_ids *ids, const uint8_t key[QP_ID_NAME_BYTES])
{
    uint32_t entry = ids->table_size == 0 ? 0 : ids->table[slot_of(ids, key)];

    return entry == 0 ? NULL : &ids->entries[entry - 1];
}

const struct qp_id_entry *qp_ids_next(const struct qp_ids *ids, const struct qp_id_entry *entry)
{
    assert(entry->next <= ids->count);
    return entry->next == 0 ? NULL : &ids->entries[entry->next - 1];
}

static int by_key(const void *left, const void *right)
{
    const struct qp_id_entry *a = *(const struct qp_id_entry *const *)left;
    const struct qp_id_entry *b = *(const struct qp_id_entry *const *)right;
    int order = memcmp(a->key, b->key, QP_ID_NAME_BYTES);

    if (order != 0)
        return order;
    return (a->number > b->number) - (a->number < b->number);
}

const struct qp_id_entry **qp_ids_sorted(const struct qp_ids *ids)
{
    /* One more than needed: there may be none, and 0 bytes are never asked for. */
    const struct qp_id_entry **sorted = qp_resize(NULL, (ids->count + 1) * sizeof(*sorted));

    if (sorted == NULL)
        return NULL;
    for (size_t i = 0; i < ids->count; i++)
        sorted[i] = &ids->entries[i];
    qsort(sorted, ids->count, sizeof(struct qp_id_entry *), by_key);
    return sorted;
}
