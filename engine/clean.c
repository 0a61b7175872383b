/* clean.c - the rows of a generation are neighbours, so that one that lives is stepped over with
 * one search. A thousand a commit: it holds the store lock for a few milliseconds.
 *
 *     orders 0 1 ...      gone: delete, delete, delete
 *     orders 0 2 ...      lives: on to generation 3
 *     orders 0 3 ...      being built: on to 4 */
#include "clean.h"

#include "status.h"

enum { PARTS_MAX = 10000 /* a commit: each part of a long value is a row too */ };

/* Which generations live, and what was found. */
struct cleaning {
    struct qp_bytes name;
    uint32_t live[2]; /* 0: none */
    struct qp_batch *batch;
    size_t count;
    size_t parts; /* of long values, about */
};

static bool lives(const struct cleaning *cleaning, uint32_t generation)
{
    if (generation == QP_OWED_GENERATION)
        return cleaning->live[0] != 0; /* as long as the projection */
    return generation == cleaning->live[0] || generation == cleaning->live[1];
}

/* What cannot be read is deleted all the same. */
static int delete_row(struct cleaning *cleaning, struct qp_txn *txn, enum qp_table table,
                      struct qp_bytes key, struct qp_bytes stored, quipu_error *error)
{
    const struct qp_effect effect = {.table = table, .deletes = true, .key = key};
    struct qp_long_row row;

    cleaning->count++;
    if (table == QP_TABLE_VIEWS &&
        qp_blobs_read(txn, &qp_view_home, key, stored, NULL, &row, NULL) == QUIPU_ROW)
        cleaning->parts += row.value.size / QP_ROW_BYTES_MAX;
    return qp_batch_effect(cleaning->batch, &effect, error);
}

static int walk(struct cleaning *cleaning, struct qp_txn *txn, struct qp_cursor *cursor,
                quipu_error *error)
{
    struct qp_owned_key owned;
    struct qp_bytes value;
    struct qp_key from;
    struct qp_bytes key;
    int rc;

    qp_key_view(&from, cleaning->name, 0, (struct qp_bytes){0});
    key = qp_key_bytes(&from);
    rc = qp_cursor_seek(cursor, QP_AT_LEAST, &key, &value, error);
    while (rc == QUIPU_ROW && cleaning->count < QP_CLEAN_ROWS_MAX && cleaning->parts < PARTS_MAX) {
        if (!qp_key_owned_read(key, &owned) || !qp_bytes_equal(owned.name, cleaning->name))
            return QUIPU_OK;
        if (lives(cleaning, owned.generation) && owned.generation == UINT32_MAX)
            return QUIPU_OK;
        if (lives(cleaning, owned.generation)) {
            qp_key_view(&from, cleaning->name, owned.generation + 1, (struct qp_bytes){0});
            key = qp_key_bytes(&from);
            rc = qp_cursor_seek(cursor, QP_AT_LEAST, &key, &value, error);
            continue;
        }
        rc = delete_row(cleaning, txn, cursor->table, key, value, error);
        if (rc == QUIPU_OK)
            rc = qp_cursor_seek(cursor, QP_NEXT, &key, &value, error);
    }
    return rc < 0 ? rc : QUIPU_OK;
}

int qp_clean_find(struct qp_txn *txn, struct qp_bytes name, uint32_t generation, uint32_t building,
                  struct qp_batch *batch, size_t *count, quipu_error *error)
{
    static const enum qp_table tables[] = {QP_TABLE_VIEWS, QP_TABLE_PARKED};
    struct cleaning cleaning = {.name = name, .live = {generation, building}, .batch = batch};
    int rc = QUIPU_OK;

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && rc == QUIPU_OK; i++) {
        struct qp_cursor cursor = {0};

        rc = qp_cursor_open(&cursor, txn, tables[i], error);
        if (rc == QUIPU_OK)
            rc = walk(&cleaning, txn, &cursor, error);
        qp_cursor_close(&cursor);
    }
    *count = cleaning.count;
    return rc;
}
