/* blobs.c - a row says where its value is:
 *
 *     row    0 sum   8 form u8 = 0   9 head   value ...
 *     row    0 sum   8 form u8 = 1   9 head   size u64   number u64 ----.
 *     blobs  number, 0   sum, the first 4 072 bytes of the value <------'
 *            number, 1   sum, the next 4 072, or what is left
 *     meta   "blobs"     sum, the next number u64
 *
 * So no value needs a run of pages, and a value is replaced by another number's chunks: whoever
 * reads the old row in an older snapshot still has the old ones. Numbers are never used again.
 *
 * Knows nothing of what a head or a value means. */
#include "blobs.h"

#include "meta.h"
#include "row.h"
#include "status.h"

#include <assert.h>
#include <string.h>

enum { FORM_HERE = 0, FORM_BLOB = 1 };

enum {
    HEAD_OFFSET = QP_ROW_SUM_BYTES + 1,
    CHUNK_BYTES = QP_ROW_BYTES_MAX - QP_ROW_SUM_BYTES,
    NEXT_ROW_BYTES = 16,
};

static_assert(HEAD_OFFSET + QP_BLOB_HEAD_BYTES_MAX + QP_BLOB_INLINE_BYTES <= QP_ROW_BYTES_MAX,
              "a value that stands in its row fits it");

static uint64_t chunks_of(uint64_t size)
{
    return (size + CHUNK_BYTES - 1) / CHUNK_BYTES;
}

static int damaged(const struct qp_blob_home *home, struct qp_bytes key, const char *what,
                   quipu_error *error)
{
    char text[100];

    qp_key_text(key, text, sizeof(text));
    return qp_fail(error, QUIPU_CORRUPT, "table %s, row %s: %s", qp_table_name(home->rows), text,
                   what);
}

/* ---- what a row says ---- */

struct place {
    struct qp_bytes head;
    struct qp_bytes here; /* of a value that stands in its row */
    uint64_t number;      /* 0: it does */
    uint64_t size;        /* of the value */
};

static int read_place(const struct qp_blob_home *home, struct qp_bytes key, struct qp_bytes stored,
                      struct place *place, quipu_error *error)
{
    const uint8_t *at = stored.data;
    size_t value_at = HEAD_OFFSET + home->head_bytes;

    if (!qp_row_whole(home->rows, key, stored))
        return damaged(home, key, "its checksum is wrong", error);
    if (stored.size < value_at)
        return damaged(home, key, "it is too short", error);
    *place = (struct place){.head = {at + HEAD_OFFSET, home->head_bytes}};
    switch (at[QP_ROW_SUM_BYTES]) {
    case FORM_HERE:
        place->here = (struct qp_bytes){at + value_at, stored.size - value_at};
        place->size = place->here.size;
        return QUIPU_OK;
    case FORM_BLOB:
        if (stored.size != value_at + 16)
            return damaged(home, key, "it has a wrong size", error);
        place->size = qp_get_u64(at + value_at);
        place->number = qp_get_u64(at + value_at + 8);
        if (place->number == 0 || place->size > QP_BLOB_BYTES_MAX ||
            place->size <= QP_BLOB_INLINE_BYTES)
            return damaged(home, key, "what it says of its value cannot be", error);
        return QUIPU_OK;
    default:
        return damaged(home, key, "its value has an unknown form", error);
    }
}

/* ---- write ---- */

int qp_blobs_next(struct qp_txn *txn, const struct qp_blob_home *home, uint64_t *number,
                  quipu_error *error)
{
    struct qp_bytes value = {0};
    int rc = qp_get_row(txn, home->meta, QP_META_BLOBS, &value, error);

    *number = 1;
    if (rc == QUIPU_ROW && value.size != NEXT_ROW_BYTES)
        return qp_fail(error, QUIPU_CORRUPT, "table meta: the row blobs has a wrong size");
    if (rc == QUIPU_ROW)
        *number = qp_get_u64((const uint8_t *)value.data + 8);
    return rc < 0 ? rc : QUIPU_OK;
}

static int take_number(struct qp_txn *txn, const struct qp_blob_home *home, uint64_t *number,
                       quipu_error *error)
{
    uint8_t row[NEXT_ROW_BYTES] = {0};
    int rc = qp_blobs_next(txn, home, number, error);

    if (rc < 0)
        return rc;
    if (*number == 0 || *number == UINT64_MAX)
        return qp_fail(error, QUIPU_CORRUPT, "table meta: the row blobs has no number to give");
    qp_set_u64(row + 8, *number + 1);
    return qp_put_row(txn, home->meta, QP_META_BLOBS, row, sizeof(row), error);
}

static int put_blob(struct qp_txn *txn, const struct qp_blob_home *home, struct qp_bytes value,
                    uint64_t number, quipu_error *error)
{
    const uint8_t *from = value.data;
    int rc = QUIPU_OK;

    for (uint32_t n = 0; n < chunks_of(value.size) && rc == QUIPU_OK; n++) {
        uint8_t row[QP_ROW_BYTES_MAX];
        size_t done = (size_t)n * CHUNK_BYTES;
        size_t part = value.size - done < CHUNK_BYTES ? value.size - done : CHUNK_BYTES;
        struct qp_key key;

        qp_key_blob(&key, number, n);
        memcpy(row + QP_ROW_SUM_BYTES, from + done, part);
        rc = qp_put_row(txn, home->blobs, qp_key_bytes(&key), row, part + QP_ROW_SUM_BYTES, error);
    }
    return rc;
}

static int delete_blob(struct qp_txn *txn, const struct qp_blob_home *home,
                       const struct place *place, quipu_error *error)
{
    int rc = QUIPU_OK;

    for (uint32_t n = 0; n < chunks_of(place->size) && rc >= 0; n++) {
        struct qp_key key;

        qp_key_blob(&key, place->number, n);
        rc = qp_delete(txn, home->blobs, qp_key_bytes(&key), error);
    }
    return rc < 0 ? rc : QUIPU_OK;
}

/* The blob of the row that is there now, if it has one. In a file without any there is nothing to
 * look for: most views have small values alone. */
static int drop_old(struct qp_txn *txn, const struct qp_blob_home *home, struct qp_bytes key,
                    quipu_error *error)
{
    struct qp_bytes stored = {0};
    struct place place = {0};
    int rc;

    if (qp_table_rows(txn, home->blobs) == 0)
        return QUIPU_OK;
    rc = qp_get(txn, home->rows, key, &stored, error);
    if (rc != QUIPU_ROW)
        return rc;
    if (read_place(home, key, stored, &place, NULL) < 0 || place.number == 0)
        return QUIPU_OK;
    return delete_blob(txn, home, &place, error);
}

int qp_blobs_put(struct qp_txn *txn, const struct qp_blob_home *home, struct qp_bytes key,
                 struct qp_bytes head, struct qp_bytes value, quipu_error *error)
{
    uint8_t row[QP_ROW_BYTES_MAX];
    size_t size = HEAD_OFFSET + home->head_bytes;
    uint64_t number = 0;
    int rc = drop_old(txn, home, key, error);

    assert(txn->writing && head.size == home->head_bytes && head.size <= QP_BLOB_HEAD_BYTES_MAX);
    assert(value.size <= QP_BLOB_BYTES_MAX);
    if (head.size > 0)
        memcpy(row + HEAD_OFFSET, head.data, head.size);
    if (value.size <= QP_BLOB_INLINE_BYTES) {
        row[QP_ROW_SUM_BYTES] = FORM_HERE;
        if (value.size > 0)
            memcpy(row + size, value.data, value.size);
        size += value.size;
    } else {
        row[QP_ROW_SUM_BYTES] = FORM_BLOB;
        if (rc == QUIPU_OK)
            rc = take_number(txn, home, &number, error);
        if (rc == QUIPU_OK)
            rc = put_blob(txn, home, value, number, error);
        if (rc < 0)
            return rc;
        qp_set_u64(row + size, value.size);
        qp_set_u64(row + size + 8, number);
        size += 16;
    }
    return rc == QUIPU_OK ? qp_put_row(txn, home->rows, key, row, size, error) : rc;
}

int qp_blobs_delete(struct qp_txn *txn, const struct qp_blob_home *home, struct qp_bytes key,
                    quipu_error *error)
{
    int rc = drop_old(txn, home, key, error);

    assert(txn->writing);
    return rc == QUIPU_OK ? qp_delete(txn, home->rows, key, error) : rc;
}

/* ---- read ---- */

static int assemble(struct qp_txn *txn, const struct qp_blob_home *home, const struct place *place,
                    struct qp_bytes key, struct qp_buffer *assembly, quipu_error *error)
{
    assembly->size = 0;
    if (!qp_buffer_reserve(assembly, place->size))
        return qp_fail_memory(error);
    for (uint32_t n = 0; n < chunks_of(place->size); n++) {
        size_t left = place->size - assembly->size;
        struct qp_bytes chunk = {0};
        struct qp_key at;
        int rc;

        qp_key_blob(&at, place->number, n);
        rc = qp_get_row(txn, home->blobs, qp_key_bytes(&at), &chunk, error);
        if (rc < 0)
            return rc;
        if (rc == QUIPU_OK ||
            chunk.size - QP_ROW_SUM_BYTES != (left < CHUNK_BYTES ? left : CHUNK_BYTES))
            return damaged(home, key, "a part of its value is missing", error);
        (void)qp_buffer_put(assembly, (const uint8_t *)chunk.data + QP_ROW_SUM_BYTES,
                            chunk.size - QP_ROW_SUM_BYTES);
    }
    return QUIPU_OK;
}

int qp_blobs_read(struct qp_txn *txn, const struct qp_blob_home *home, struct qp_bytes key,
                  struct qp_bytes stored, struct qp_buffer *assembly, struct qp_long_row *row,
                  quipu_error *error)
{
    struct place place = {0};
    int rc = read_place(home, key, stored, &place, error);

    if (rc < 0)
        return rc;
    *row = (struct qp_long_row){.head = place.head, .value = place.here, .blob = place.number};
    if (place.number == 0)
        return QUIPU_ROW;
    row->value = (struct qp_bytes){NULL, place.size};
    if (assembly == NULL)
        return QUIPU_ROW;
    rc = assemble(txn, home, &place, key, assembly, error);
    row->value.data = assembly->bytes;
    return rc < 0 ? rc : QUIPU_ROW;
}

int qp_blobs_get(struct qp_txn *txn, const struct qp_blob_home *home, struct qp_bytes key,
                 struct qp_buffer *assembly, struct qp_long_row *row, quipu_error *error)
{
    struct qp_bytes stored = {0};
    int rc = qp_get(txn, home->rows, key, &stored, error);

    return rc == QUIPU_ROW ? qp_blobs_read(txn, home, key, stored, assembly, row, error) : rc;
}
