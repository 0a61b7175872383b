/* projections.c - the row (docs/FORMAT.md 4.2):
 *
 *     0 sum  8 sequence  16 mark  24 changed  32 generation  36 version  40 flags  44 next
 *     48 building  52 its version  56 its mark  64 token  72 owner slot  76 owner generation
 *     80 owner pid  84 fault status  88 lease until  96 applied  104 parked  112 building's parked
 *     120 fault position  128 fault time  136 key size u16  138 text size u16  140 emitted
 *     148 key, text
 *
 * Knows nothing of what a change means: that is who proposes it. */
#include "projections.h"

#include "meta.h"
#include "row.h"
#include "status.h"

#include <assert.h>
#include <string.h>

enum { FIXED_BYTES = 148, SEQUENCE_OFFSET = 8, CHANGED_OFFSET = 24 };

static_assert(FIXED_BYTES + QP_VIEW_KEY_MAX + sizeof(((struct qp_projection_row *)0)->fault_text) <=
                  QP_PROJECTION_ROW_BYTES_MAX,
              "the longest row fits");

/* ---- bytes ---- */

size_t qp_projection_write(const struct qp_projection_row *row, uint8_t *out)
{
    assert(row->fault_key_size <= sizeof(row->fault_key));
    assert(row->fault_text_size <= sizeof(row->fault_text));
    memset(out, 0, FIXED_BYTES);
    qp_set_u64(out + SEQUENCE_OFFSET, row->sequence);
    qp_set_u64(out + 16, row->mark);
    qp_set_u64(out + CHANGED_OFFSET, (uint64_t)row->changed_ns);
    qp_set_u32(out + 32, row->generation);
    qp_set_u32(out + 36, row->version);
    qp_set_u32(out + 40, row->flags);
    qp_set_u32(out + 44, row->next_generation);
    qp_set_u32(out + 48, row->building);
    qp_set_u32(out + 52, row->building_version);
    qp_set_u64(out + 56, row->building_mark);
    qp_set_u64(out + 64, row->token);
    qp_set_u32(out + 72, row->owner_slot);
    qp_set_u32(out + 76, row->owner_generation);
    qp_set_u32(out + 80, row->owner_pid);
    qp_set_u32(out + 84, (uint32_t)row->fault_status);
    qp_set_u64(out + 88, (uint64_t)row->lease_until_ns);
    qp_set_u64(out + 96, row->applied);
    qp_set_u64(out + 104, row->parked);
    qp_set_u64(out + 112, row->building_parked);
    qp_set_u64(out + 120, row->fault_position);
    qp_set_u64(out + 128, (uint64_t)row->fault_ns);
    qp_set_u16(out + 136, (uint16_t)row->fault_key_size);
    qp_set_u16(out + 138, (uint16_t)row->fault_text_size);
    qp_set_u64(out + 140, row->emitted);
    memcpy(out + FIXED_BYTES, row->fault_key, row->fault_key_size);
    memcpy(out + FIXED_BYTES + row->fault_key_size, row->fault_text, row->fault_text_size);
    return FIXED_BYTES + row->fault_key_size + row->fault_text_size;
}

bool qp_projection_read(struct qp_bytes value, struct qp_projection_row *row)
{
    const uint8_t *at = value.data;
    uint32_t key_size;
    uint32_t text_size;

    *row = (struct qp_projection_row){0};
    if (value.size < FIXED_BYTES)
        return false;
    key_size = qp_get_u16(at + 136);
    text_size = qp_get_u16(at + 138);
    if (key_size > sizeof(row->fault_key) || text_size > sizeof(row->fault_text) ||
        value.size != FIXED_BYTES + (size_t)key_size + text_size)
        return false;
    row->sequence = qp_get_u64(at + SEQUENCE_OFFSET);
    row->mark = qp_get_u64(at + 16);
    row->changed_ns = (int64_t)qp_get_u64(at + CHANGED_OFFSET);
    row->generation = qp_get_u32(at + 32);
    row->version = qp_get_u32(at + 36);
    row->flags = qp_get_u32(at + 40);
    row->next_generation = qp_get_u32(at + 44);
    row->building = qp_get_u32(at + 48);
    row->building_version = qp_get_u32(at + 52);
    row->building_mark = qp_get_u64(at + 56);
    row->token = qp_get_u64(at + 64);
    row->owner_slot = qp_get_u32(at + 72);
    row->owner_generation = qp_get_u32(at + 76);
    row->owner_pid = qp_get_u32(at + 80);
    row->fault_status = (int32_t)qp_get_u32(at + 84);
    row->lease_until_ns = (int64_t)qp_get_u64(at + 88);
    row->applied = qp_get_u64(at + 96);
    row->parked = qp_get_u64(at + 104);
    row->building_parked = qp_get_u64(at + 112);
    row->fault_position = qp_get_u64(at + 120);
    row->fault_ns = (int64_t)qp_get_u64(at + 128);
    row->emitted = qp_get_u64(at + 140);
    row->fault_key_size = key_size;
    row->fault_text_size = text_size;
    memcpy(row->fault_key, at + FIXED_BYTES, key_size);
    memcpy(row->fault_text, at + FIXED_BYTES + key_size, text_size);
    return (row->flags & ~(uint32_t)QP_PROJECTION_FLAGS) == 0;
}

/* Others compute with these. The last generation is never given out: a view's scan looks for the
 * key behind it. */
const char *qp_projection_wrong(const struct qp_projection_row *row)
{
    bool stopped = (row->flags & QP_PROJECTION_STOPPED) != 0;
    uint64_t mark = row->building != 0 ? row->building_mark : row->mark;

    if (row->generation == 0 || row->generation >= row->next_generation ||
        row->building >= row->next_generation || row->building == row->generation ||
        row->next_generation == UINT32_MAX)
        return "its generations cannot be";
    if (row->building == 0 &&
        (row->building_version != 0 || row->building_mark != 0 || row->building_parked != 0))
        return "it tells of a generation that is not being built";
    if (row->mark > QP_POSITION_MAX || row->building_mark > QP_POSITION_MAX ||
        row->emitted > QP_POSITION_MAX)
        return "its mark is no position";
    if (stopped && row->fault_position <= mark)
        return "it has stopped at an event that it has passed";
    return NULL;
}

bool qp_rebuild_name(struct qp_bytes *name)
{
    const struct qp_bytes prefix = QP_LITERAL(QP_REBUILD);

    if (name->size < prefix.size || memcmp(name->data, prefix.data, prefix.size) != 0)
        return false;
    *name = (struct qp_bytes){(const char *)name->data + prefix.size, name->size - prefix.size};
    return true;
}

/* ---- what it says ---- */

enum quipu_projection_status qp_projection_status(const struct qp_projection_row *row,
                                                  uint64_t head)
{
    if ((row->flags & QP_PROJECTION_PAUSED) != 0)
        return QUIPU_PROJECTION_PAUSED;
    if ((row->flags & QP_PROJECTION_STOPPED) != 0)
        return QUIPU_PROJECTION_FAULTED;
    if (row->building != 0 || (row->flags & QP_PROJECTION_REBUILDS) != 0)
        return QUIPU_PROJECTION_REBUILDING;
    return row->mark + QP_INLINE_BEHIND_MAX < head ? QUIPU_PROJECTION_CATCHING_UP
                                                   : QUIPU_PROJECTION_LIVE;
}

int qp_projection_stopped(struct qp_bytes name, const struct qp_projection_row *row,
                          quipu_error *error)
{
    return qp_fail(error, QUIPU_FAULTED, "projection %.*s has stopped at position %llu: %.*s",
                   (int)name.size, (const char *)name.data, (unsigned long long)row->fault_position,
                   (int)row->fault_text_size, row->fault_text);
}

uint64_t qp_projection_next(uint64_t sequence, int64_t now_ns)
{
    return now_ns > 0 && (uint64_t)now_ns > sequence ? (uint64_t)now_ns : sequence + 1;
}

void qp_projection_swap(struct qp_projection_row *row)
{
    if (!QP_MUTANT(SWAP_UNMARKED))
        row->mark = row->building_mark;
    row->generation = row->building;
    row->version = row->building_version;
    row->parked = row->building_parked;
    row->building = 0;
    row->building_version = 0;
    row->building_mark = 0;
    row->building_parked = 0;
    row->flags |= QP_PROJECTION_UNCLEAN;
    row->flags &= ~(uint32_t)QP_PROJECTION_REPLAYS;
}

/* ---- rows ---- */

int qp_projections_get(struct qp_txn *txn, struct qp_bytes name, struct qp_projection_row *row,
                       quipu_error *error)
{
    const char *wrong = "it is none";
    struct qp_bytes value;
    struct qp_key key;
    int rc;

    *row = (struct qp_projection_row){0};
    qp_key_mark(&key, QP_MARK_PROJECTION, name);
    rc = qp_get_row(txn, QP_TABLE_MARKS, qp_key_bytes(&key), &value, error);
    if (rc == QUIPU_ROW && qp_projection_read(value, row))
        wrong = qp_projection_wrong(row);
    if (rc == QUIPU_ROW && wrong != NULL)
        return qp_fail(error, QUIPU_CORRUPT, "table marks, the row of projection %.*s: %s",
                       (int)name.size, (const char *)name.data, wrong);
    return rc;
}

/* A library that knows no projections must not append to a store that has some: inline ones would
 * be left behind, and streams of their own written to. */
static int need_bit(struct qp_txn *txn, quipu_error *error)
{
    uint8_t row[QP_META_ROW_BYTES_MAX];
    struct qp_format format;
    struct qp_bytes value;
    int rc = qp_get_row(txn, QP_TABLE_META, QP_META_FORMAT, &value, error);

    if (rc < 0)
        return rc;
    if (rc == QUIPU_OK || !qp_format_read(value, &format))
        return qp_fail(error, QUIPU_CORRUPT, "the store has lost its format");
    if ((format.write_bits & QP_WRITES_PROJECTIONS) != 0)
        return QUIPU_OK;
    format.write_bits |= QP_WRITES_PROJECTIONS;
    return qp_put_row(txn, QP_TABLE_META, QP_META_FORMAT, row, qp_format_write(&format, row),
                      error);
}

int qp_projections_put(struct qp_txn *txn, struct qp_bytes name, uint8_t *row, size_t size,
                       uint64_t sequence, int64_t now_ns, quipu_error *error)
{
    struct qp_key key;
    int rc = need_bit(txn, error);

    assert(txn->writing && size >= FIXED_BYTES && size <= QP_PROJECTION_ROW_BYTES_MAX);
    qp_key_mark(&key, QP_MARK_PROJECTION, name);
    qp_set_u64(row + SEQUENCE_OFFSET, sequence);
    qp_set_u64(row + CHANGED_OFFSET, (uint64_t)now_ns);
    return rc == QUIPU_OK ? qp_put_row(txn, QP_TABLE_MARKS, qp_key_bytes(&key), row, size, error)
                          : rc;
}

int qp_projections_delete(struct qp_txn *txn, struct qp_bytes name, quipu_error *error)
{
    struct qp_key key;

    assert(txn->writing);
    qp_key_mark(&key, QP_MARK_PROJECTION, name);
    return qp_delete(txn, QP_TABLE_MARKS, qp_key_bytes(&key), error);
}

int qp_projections_next(struct qp_cursor *cursor, bool *begun, struct qp_bytes *name,
                        struct qp_projection_row *row, quipu_error *error)
{
    static const uint8_t first[] = {QP_MARK_PROJECTION};
    struct qp_bytes key = {first, sizeof(first)};
    struct qp_bytes value;
    int rc = qp_cursor_seek(cursor, *begun ? QP_NEXT : QP_AT_LEAST, &key, &value, error);

    if (rc != QUIPU_ROW)
        return rc;
    *begun = true;
    if (((const uint8_t *)key.data)[0] != QP_MARK_PROJECTION)
        return QUIPU_OK;
    *name = (struct qp_bytes){(const uint8_t *)key.data + 1, key.size - 1};
    if (name->size > 0 && name->size <= QP_OWNER_NAME_MAX &&
        qp_row_whole(QP_TABLE_MARKS, key, value) && qp_projection_read(value, row) &&
        qp_projection_wrong(row) == NULL)
        return QUIPU_ROW;
    *row = (struct qp_projection_row){0};
    return qp_fail(error, QUIPU_CORRUPT, "table marks: the row of projection %.*s is damaged",
                   (int)name->size, (const char *)name->data);
}
