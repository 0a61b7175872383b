/* views.c - rows of one generation are neighbours, and so are the parked events of one key, the
 * oldest first:
 *
 *     views    name 0 generation key                 the value, or where it is (blobs.c)
 *     parked   name 0 generation size key position   0 sum  8 flags u32  12 attempts u32
 *                                                    16 first i64  24 last i64  32 status i32
 *                                                    36 part u32  40 size u32  44 reason
 *
 * Which generation is the one to be seen stands in the projection's row. */
#include "views.h"

#include "row.h"
#include "status.h"

#include <assert.h>
#include <string.h>

const struct qp_blob_home qp_view_home = {QP_TABLE_VIEWS, QP_TABLE_BLOBS, QP_TABLE_META, 0};

enum { PARKED_FIXED_BYTES = 44 };

int qp_views_get(struct qp_txn *txn, const struct qp_view_place *place, struct qp_bytes key,
                 struct qp_buffer *assembly, struct qp_bytes *value, quipu_error *error)
{
    struct qp_long_row row;
    struct qp_key at;
    int rc;

    qp_key_view(&at, place->name, place->generation, key);
    rc = qp_blobs_get(txn, &qp_view_home, qp_key_bytes(&at), assembly, &row, error);
    if (rc == QUIPU_ROW)
        *value = row.value;
    return rc;
}

/* ---- parked events ---- */

size_t qp_parked_write(const struct qp_parked *parked, uint8_t *out)
{
    assert(parked->reason.size <= QP_PARKED_REASON_BYTES);
    memset(out, 0, PARKED_FIXED_BYTES);
    qp_set_u32(out + 8, parked->flags);
    qp_set_u32(out + 12, parked->attempts);
    qp_set_u64(out + 16, (uint64_t)parked->first_ns);
    qp_set_u64(out + 24, (uint64_t)parked->last_ns);
    qp_set_u32(out + 32, (uint32_t)parked->status);
    qp_set_u32(out + 36, parked->part);
    qp_set_u32(out + 40, (uint32_t)parked->reason.size);
    if (parked->reason.size > 0)
        memcpy(out + PARKED_FIXED_BYTES, parked->reason.data, parked->reason.size);
    return PARKED_FIXED_BYTES + parked->reason.size;
}

bool qp_parked_read(struct qp_bytes value, struct qp_parked *parked)
{
    const uint8_t *at = value.data;

    if (value.size < PARKED_FIXED_BYTES || value.size > QP_PARKED_ROW_BYTES_MAX ||
        value.size - PARKED_FIXED_BYTES != qp_get_u32(at + 40))
        return false;
    parked->flags = qp_get_u32(at + 8);
    parked->attempts = qp_get_u32(at + 12);
    parked->first_ns = (int64_t)qp_get_u64(at + 16);
    parked->last_ns = (int64_t)qp_get_u64(at + 24);
    parked->status = (int32_t)qp_get_u32(at + 32);
    parked->part = qp_get_u32(at + 36);
    parked->reason = (struct qp_bytes){at + PARKED_FIXED_BYTES, value.size - PARKED_FIXED_BYTES};
    return true;
}

int qp_parked_effect(struct qp_batch *batch, const struct qp_view_place *place,
                     const struct qp_parked *parked, bool deletes, quipu_error *error)
{
    uint8_t row[QP_PARKED_ROW_BYTES_MAX];
    struct qp_effect effect = {.table = QP_TABLE_PARKED, .deletes = deletes};
    struct qp_key key;

    qp_key_parked(&key, place->name, place->generation, parked->key, parked->position);
    effect.key = qp_key_bytes(&key);
    if (!deletes)
        effect.value = (struct qp_bytes){row, qp_parked_write(parked, row)};
    return qp_batch_effect(batch, &effect, error);
}

/* Move, and see whether the row there begins as it must. */
static int seek(struct qp_cursor *cursor, enum qp_seek how, struct qp_bytes from,
                struct qp_bytes prefix, struct qp_parked *parked, quipu_error *error)
{
    struct qp_bytes key = from;
    struct qp_owned_key owned;
    struct qp_bytes value;
    char text[100];
    int rc = qp_cursor_seek(cursor, how, &key, &value, error);

    if (rc != QUIPU_ROW)
        return rc;
    if (key.size < prefix.size || memcmp(key.data, prefix.data, prefix.size) != 0)
        return QUIPU_OK;
    if (qp_row_whole(QP_TABLE_PARKED, key, value) && qp_key_owned_read(key, &owned) &&
        qp_key_parked_rest(owned.rest, &parked->key, &parked->position) &&
        qp_parked_read(value, parked))
        return QUIPU_ROW;
    qp_key_text(key, text, sizeof(text));
    return qp_fail(error, QUIPU_CORRUPT, "table parked, row %s: it is damaged", text);
}

int qp_parked_first(struct qp_cursor *cursor, const struct qp_view_place *place,
                    struct qp_bytes key, struct qp_parked *parked, quipu_error *error)
{
    struct qp_key prefix;

    qp_key_parked_of(&prefix, place->name, place->generation, key);
    return seek(cursor, QP_AT_LEAST, qp_key_bytes(&prefix), qp_key_bytes(&prefix), parked, error);
}

int qp_parked_find(struct qp_cursor *cursor, const struct qp_view_place *place, struct qp_bytes key,
                   uint64_t position, struct qp_parked *parked, quipu_error *error)
{
    struct qp_key whole;

    qp_key_parked(&whole, place->name, place->generation, key, position);
    return seek(cursor, QP_AT_LEAST, qp_key_bytes(&whole), qp_key_bytes(&whole), parked, error);
}

int qp_parked_begin(struct qp_cursor *cursor, const struct qp_view_place *place,
                    struct qp_parked *parked, quipu_error *error)
{
    struct qp_key prefix;

    qp_key_view(&prefix, place->name, place->generation, (struct qp_bytes){0});
    return seek(cursor, QP_AT_LEAST, qp_key_bytes(&prefix), qp_key_bytes(&prefix), parked, error);
}

int qp_parked_next(struct qp_cursor *cursor, const struct qp_view_place *place,
                   struct qp_parked *parked, quipu_error *error)
{
    struct qp_key prefix;

    qp_key_view(&prefix, place->name, place->generation, (struct qp_bytes){0});
    return seek(cursor, QP_NEXT, (struct qp_bytes){0}, qp_key_bytes(&prefix), parked, error);
}
