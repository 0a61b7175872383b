/* table.c - rows in and out: plain tables with composite keys, and one for positions with LMDB's
 * integer keys.
 *
 * Refuses to know what a key or a value means, and begins and ends no transaction. A write
 * transaction has one cursor of its own, the hot one; a walk brings a cursor of its caller's:
 *
 *     reading:   mdb_get() ----------------> row      qp_cursor: any number, renewed for the next
 *     writing:   txn->hot: put, get -------> row      snapshot; closed before a writer ends
 *
 * What the last put failed for is kept in the store (`map_full`): whoever writes asks it after the
 * transaction was aborted, and no other thread writes meanwhile. */
#include "table.h"

#include "environment.h"
#include "status.h"

#include <assert.h>
#include <string.h>

enum { MAIN_TABLE = 1 }; /* LMDB's own: its records of the named ones */

/* Rows are written in runs: a cursor that stays finds the next key on its page or near it, where a
 * new one would go down the tree again. Returns LMDB's code. The field is cleared before the next
 * cursor is opened: should that fail, nobody may close the old one twice. */
static int warm(struct qp_txn *txn, enum qp_table table)
{
    if (txn->hot != NULL && txn->hot_table == table)
        return 0;
    assert(txn->live && txn->writing);
    assert(txn->store->handles[table] > MAIN_TABLE); /* one of this file, and opened */
    if (txn->hot != NULL)
        mdb_cursor_close(txn->hot);
    txn->hot = NULL;
    txn->hot_table = table;
    return mdb_cursor_open(txn->mdb, txn->store->handles[table], &txn->hot);
}

/* LMDB has one type for both ways; it does not write through what it is given here. */
static MDB_val in(struct qp_bytes bytes)
{
    return (MDB_val){bytes.size, (void *)(uintptr_t)bytes.data};
}

static struct qp_bytes out_of(MDB_val value)
{
    return (struct qp_bytes){value.mv_data, value.mv_size};
}

int qp_get(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, struct qp_bytes *value,
           quipu_error *error)
{
    MDB_val wanted = in(key);
    MDB_val found;
    int rc;

    assert(txn->live);
    if (txn->writing) {
        rc = warm(txn, table);
        if (rc == 0)
            rc = mdb_cursor_get(txn->hot, &wanted, &found, MDB_SET);
    } else {
        rc = mdb_get(txn->mdb, txn->store->handles[table], &wanted, &found);
    }
    if (rc == MDB_NOTFOUND)
        return QUIPU_OK;
    if (rc != 0)
        return qp_store_fail(txn->store, rc, "read", error);
    *value = out_of(found);
    return QUIPU_ROW;
}

int qp_put(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, struct qp_bytes value,
           quipu_error *error)
{
    MDB_val at = in(key);
    MDB_val bytes = in(value);
    int rc = warm(txn, table);

    assert(key.size > 0 && key.size <= QP_KEY_BYTES_MAX && value.size <= QP_ROW_BYTES_MAX);
    if (rc == 0)
        rc = mdb_cursor_put(txn->hot, &at, &bytes, 0);

    txn->store->map_full = rc == MDB_MAP_FULL;
    return rc == 0 ? QUIPU_OK : qp_store_fail(txn->store, rc, "write", error);
}

int qp_delete(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, quipu_error *error)
{
    MDB_val at = in(key);
    MDB_val found;
    int rc = warm(txn, table);

    if (rc == 0)
        rc = mdb_cursor_get(txn->hot, &at, &found, MDB_SET);
    if (rc == MDB_NOTFOUND)
        return QUIPU_OK;
    if (rc == 0)
        rc = mdb_cursor_del(txn->hot, 0);

    txn->store->map_full = rc == MDB_MAP_FULL; /* deleting copies pages too */
    return rc == 0 ? QUIPU_ROW : qp_store_fail(txn->store, rc, "delete", error);
}

/* MDB_APPEND fills pages to their end instead of splitting them in halves, and compares with the
 * last key alone; MDB_RESERVE saves a copy: the caller writes into LMDB's dirty page. */
int qp_append_reserve(struct qp_txn *txn, enum qp_table table, struct qp_bytes key, size_t size,
                      void **value, quipu_error *error)
{
    MDB_val at = in(key);
    MDB_val room = {size, NULL};
    int rc = warm(txn, table);

    assert(size > 0 && size <= QP_ROW_BYTES_MAX);
    if (rc == 0)
        rc = mdb_cursor_put(txn->hot, &at, &room, MDB_APPEND | MDB_RESERVE);

    txn->store->map_full = rc == MDB_MAP_FULL;
    if (rc == MDB_KEYEXIST)
        return qp_fail(error, QUIPU_INVALID, "the key is not after the last one");
    if (rc != 0)
        return qp_store_fail(txn->store, rc, "append", error);
    *value = room.mv_data;
    return QUIPU_OK;
}

uint64_t qp_table_rows(struct qp_txn *txn, enum qp_table table)
{
    MDB_stat stat = {0};

    assert(txn->live && txn->store->handles[table] > MAIN_TABLE);
    (void)mdb_stat(txn->mdb, txn->store->handles[table], &stat);
    return stat.ms_entries;
}

/* Renewing keeps LMDB's memory and binds the cursor to the new snapshot; where it stood is lost.
 * LMDB renews in transactions that read only: for one that writes the caller closes it first. */
int qp_cursor_open(struct qp_cursor *cursor, struct qp_txn *txn, enum qp_table table,
                   quipu_error *error)
{
    int rc;

    assert(txn->live && txn->store->handles[table] > MAIN_TABLE);
    assert(cursor->mdb == NULL || (cursor->table == table && cursor->store == txn->store));
    if (cursor->mdb != NULL)
        rc = mdb_cursor_renew(txn->mdb, cursor->mdb);
    else
        rc = mdb_cursor_open(txn->mdb, txn->store->handles[table], &cursor->mdb);
    if (rc != 0)
        return qp_store_fail(txn->store, rc, "open a cursor", error);
    cursor->store = txn->store;
    cursor->table = table;
    return QUIPU_OK;
}

void qp_cursor_close(struct qp_cursor *cursor)
{
    if (cursor->mdb != NULL)
        mdb_cursor_close(cursor->mdb);
    cursor->mdb = NULL;
}

/* MDB_SET_KEY and not MDB_SET: it gives back the key as it stands in the map, which lives as long
 * as the value; the caller's own may not. */
int qp_cursor_seek(struct qp_cursor *cursor, enum qp_seek seek, struct qp_bytes *key,
                   struct qp_bytes *value, quipu_error *error)
{
    static const MDB_cursor_op op[] = {
        [QP_FIRST] = MDB_FIRST,   [QP_LAST] = MDB_LAST,     [QP_NEXT] = MDB_NEXT,
        [QP_PREVIOUS] = MDB_PREV, [QP_EXACT] = MDB_SET_KEY, [QP_AT_LEAST] = MDB_SET_RANGE,
    };
    MDB_val at = in(*key);
    MDB_val found;
    int rc = mdb_cursor_get(cursor->mdb, &at, &found, op[seek]);

    assert((size_t)seek < sizeof(op) / sizeof(op[0]));
    if (rc == MDB_NOTFOUND)
        return QUIPU_OK;
    if (rc != 0)
        return qp_store_fail(cursor->store, rc, "read", error);
    *key = out_of(at);
    *value = out_of(found);
    return QUIPU_ROW;
}

/* LMDB keeps a record of each named table as a row of its main table. What cannot be read is not
 * there: the record is only asked for to read ahead. */
int qp_table_record(struct qp_txn *txn, const char *name, struct qp_bytes *record)
{
    MDB_val key = {strlen(name), (void *)(uintptr_t)name};
    MDB_val found;

    assert(txn->live);
    if (mdb_get(txn->mdb, MAIN_TABLE, &key, &found) != 0)
        return QUIPU_OK;
    *record = out_of(found);
    return QUIPU_ROW;
}
