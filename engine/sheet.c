/* sheet.c - a hash table of the keys that were asked for or written:
 *
 *     table    [ ][2][ ][1] ...                 by the sum of the key
 *     entries  1: key, value, value before the event under way, two blocks of memory
 *              2: ...
 *     touched  2, 1                             what undo has to look at
 *
 * A value that was read stands in the map, one that was written in the sheet's own memory. Each key
 * has two blocks there and writes into the one that the value before the event does not stand in:
 * so undo is a pointer, and a counter that is written a million times takes no more memory. */
#include "sheet.h"

#include "status.h"
#include "sum.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_FIRST = 64, ROOM_STEP = 16 };

struct block {
    uint8_t *bytes;
    size_t room;
};

struct qp_sheet_entry {
    struct qp_bytes key;
    uint64_t sum;
    struct qp_bytes value;  /* data NULL: there is none */
    struct qp_bytes before; /* the same when `event` began */
    uint64_t event;         /* the last that wrote here */
    struct block blocks[2];
    bool below;          /* the view has the key */
    bool changed;        /* to be written */
    bool changed_before; /* when `event` began */
};

/* A value without bytes is still a value. */
static const uint8_t no_bytes[1];

void qp_sheet_begin(struct qp_sheet *sheet, struct qp_txn *txn, const struct qp_view_place *place)
{
    assert(sheet->count == 0);
    sheet->txn = txn;
    sheet->place = *place;
}

void qp_sheet_release(struct qp_sheet *sheet)
{
    qp_free(sheet->entries);
    qp_free(sheet->table);
    qp_free(sheet->touched);
    qp_arena_release(&sheet->memory);
    qp_buffer_release(&sheet->assembly);
    *sheet = (struct qp_sheet){0};
}

void qp_sheet_next(struct qp_sheet *sheet)
{
    sheet->event++;
    sheet->touched_count = 0;
}

void qp_sheet_undo(struct qp_sheet *sheet)
{
    for (size_t i = 0; i < sheet->touched_count; i++) {
        struct qp_sheet_entry *entry = &sheet->entries[sheet->touched[i]];

        entry->value = entry->before;
        entry->changed = entry->changed_before;
        entry->event = 0;
    }
    sheet->touched_count = 0;
}

/* ---- find ---- */

static size_t slot_of(const struct qp_sheet *sheet, struct qp_bytes key, uint64_t sum)
{
    size_t slot = sum & (sheet->table_size - 1);

    while (sheet->table[slot] != 0) {
        const struct qp_sheet_entry *entry = &sheet->entries[sheet->table[slot] - 1];

        if (entry->sum == sum && qp_bytes_equal(entry->key, key))
            break;
        slot = (slot + 1) & (sheet->table_size - 1);
    }
    return slot;
}

/* Never more than half full. */
static bool make_room(struct qp_sheet *sheet)
{
    size_t size = sheet->table_size == 0 ? TABLE_FIRST : sheet->table_size * 2;
    uint32_t *table;

    if (!qp_array_reserve(&sheet->entries, &sheet->capacity, sheet->count + 1,
                          sizeof(*sheet->entries)))
        return false;
    if (sheet->count * 2 < sheet->table_size)
        return true;
    table = qp_zalloc(size * sizeof(*table));
    if (table == NULL)
        return false;
    qp_free(sheet->table);
    sheet->table = table;
    sheet->table_size = size;
    for (size_t i = 0; i < sheet->count; i++) {
        const struct qp_sheet_entry *entry = &sheet->entries[i];

        table[slot_of(sheet, entry->key, entry->sum)] = (uint32_t)i + 1;
    }
    return true;
}

/* What the view has. A long value is put together elsewhere: copied, as the next one is too. */
static int read_below(struct qp_sheet *sheet, struct qp_sheet_entry *entry, quipu_error *error)
{
    uint8_t *copy;
    int rc =
        qp_views_get(sheet->txn, &sheet->place, entry->key, &sheet->assembly, &entry->value, error);

    if (rc != QUIPU_ROW)
        return rc;
    entry->below = true;
    if (entry->value.size == 0)
        entry->value.data = no_bytes;
    if (entry->value.data != sheet->assembly.bytes || entry->value.size == 0)
        return QUIPU_OK;
    copy = qp_arena_take(&sheet->memory, entry->value.size);
    if (copy == NULL)
        return qp_fail_memory(error);
    memcpy(copy, entry->value.data, entry->value.size);
    entry->value.data = copy;
    return QUIPU_OK;
}

static int find(struct qp_sheet *sheet, struct qp_bytes key, struct qp_sheet_entry **out,
                quipu_error *error)
{
    struct qp_sheet_entry entry = {.sum = qp_sum(key.data, key.size, 0)};
    size_t slot = 0;
    uint8_t *copy;
    int rc = QUIPU_OK;

    assert(key.size > 0 && key.size <= QP_VIEW_KEY_MAX);
    if (sheet->table_size > 0) {
        slot = slot_of(sheet, key, entry.sum);
        if (sheet->table[slot] != 0) {
            *out = &sheet->entries[sheet->table[slot] - 1];
            return QUIPU_OK;
        }
    }
    copy = qp_arena_take(&sheet->memory, key.size);
    if (copy == NULL || !make_room(sheet))
        return qp_fail_memory(error);
    memcpy(copy, key.data, key.size);
    entry.key = (struct qp_bytes){copy, key.size};
    if (sheet->txn != NULL)
        rc = read_below(sheet, &entry, error);
    if (rc < 0)
        return rc;
    slot = slot_of(sheet, key, entry.sum); /* the table may be another */
    sheet->entries[sheet->count] = entry;
    sheet->table[slot] = (uint32_t)++sheet->count;
    *out = &sheet->entries[sheet->count - 1];
    return QUIPU_OK;
}

int qp_sheet_get(struct qp_sheet *sheet, struct qp_bytes key, struct qp_bytes *value,
                 quipu_error *error)
{
    struct qp_sheet_entry *entry;
    int rc = find(sheet, key, &entry, error);

    if (rc < 0)
        return rc;
    *value = entry->value;
    return entry->value.data != NULL ? QUIPU_ROW : QUIPU_OK;
}

/* ---- write ---- */

/* The event's first write here: note what was there. */
static bool touch(struct qp_sheet *sheet, struct qp_sheet_entry *entry)
{
    if (entry->event == sheet->event && sheet->event > 0)
        return true;
    if (!qp_array_reserve(&sheet->touched, &sheet->touched_capacity, sheet->touched_count + 1,
                          sizeof(*sheet->touched)))
        return false;
    sheet->touched[sheet->touched_count++] = (uint32_t)(entry - sheet->entries);
    entry->before = entry->value;
    entry->changed_before = entry->changed;
    entry->event = sheet->event;
    return true;
}

/* A block that `before` does not stand in, and that has room. */
static uint8_t *block_for(struct qp_sheet *sheet, struct qp_sheet_entry *entry, size_t size)
{
    size_t room = (size + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
    struct block *block = &entry->blocks[0];

    if (block->bytes != NULL && block->bytes == entry->before.data)
        block = &entry->blocks[1];
    if (block->room >= size && block->bytes != NULL)
        return block->bytes;
    if (block->room > 0)
        room *= 2; /* it grows: not for each byte anew */
    block->bytes = qp_arena_take(&sheet->memory, room > 0 ? room : ROOM_STEP);
    block->room = block->bytes != NULL ? room : 0;
    return block->bytes;
}

int qp_sheet_put(struct qp_sheet *sheet, struct qp_bytes key, struct qp_bytes value,
                 quipu_error *error)
{
    struct qp_sheet_entry *entry;
    uint8_t *bytes = NULL;
    int rc = find(sheet, key, &entry, error);

    if (rc < 0)
        return rc;
    if (!touch(sheet, entry))
        return qp_fail_memory(error);
    if (value.data != NULL) {
        bytes = block_for(sheet, entry, value.size);
        if (bytes == NULL)
            return qp_fail_memory(error);
        if (value.size > 0)
            memmove(bytes, value.data, value.size); /* it may be the value that stands there */
    }
    if (!entry->changed)
        sheet->bytes += key.size + value.size;
    else if (value.size > entry->value.size)
        sheet->bytes += value.size - entry->value.size;
    entry->value = (struct qp_bytes){bytes, value.size};
    entry->changed = true;
    if (sheet->sums) {
        sheet->sum = qp_sum(key.data, key.size, sheet->sum);
        sheet->sum =
            qp_sum(bytes != NULL ? bytes : no_bytes, value.size, sheet->sum + (bytes != NULL));
    }
    return QUIPU_OK;
}

/* ---- in order ---- */

static int compare_entries(const void *left, const void *right)
{
    return qp_bytes_order(((const struct qp_sheet_entry *)left)->key,
                          ((const struct qp_sheet_entry *)right)->key);
}

/* Entries move: table and touched mean nothing any more. */
static void sort(struct qp_sheet *sheet)
{
    sheet->touched_count = 0;
    qsort(sheet->entries, sheet->count, sizeof(*sheet->entries), compare_entries);
}

/* Sorted, so that LMDB's cursor mostly stays on the page where the last row was put. */
int qp_sheet_write(struct qp_sheet *sheet, struct qp_batch *batch, quipu_error *error)
{
    int rc = QUIPU_OK;

    if (sheet->count > 0)
        sort(sheet);
    for (size_t i = 0; i < sheet->count && rc == QUIPU_OK; i++) {
        const struct qp_sheet_entry *entry = &sheet->entries[i];
        struct qp_effect effect = {
            .table = QP_TABLE_VIEWS, .deletes = entry->value.data == NULL, .value = entry->value};
        struct qp_key key;

        if (!entry->changed || (effect.deletes && !entry->below))
            continue;
        qp_key_view(&key, sheet->place.name, sheet->place.generation, entry->key);
        effect.key = qp_key_bytes(&key);
        rc = qp_batch_effect(batch, &effect, error);
    }
    return rc;
}

void qp_sheet_sort(struct qp_sheet *sheet)
{
    size_t kept = 0;

    for (size_t i = 0; i < sheet->count; i++)
        if (sheet->entries[i].value.data != NULL)
            sheet->entries[kept++] = sheet->entries[i];
    sheet->count = kept;
    if (kept > 0)
        sort(sheet);
}

bool qp_sheet_at(const struct qp_sheet *sheet, size_t n, struct qp_bytes *key,
                 struct qp_bytes *value)
{
    if (n >= sheet->count)
        return false;
    *key = sheet->entries[n].key;
    *value = sheet->entries[n].value;
    return true;
}
