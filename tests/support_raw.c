/* support_raw.c - LMDB as who damages a store uses it: nothing of the library in between. */
#include "support_raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(int rc, const char *what)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "%s: %s\n", what, mdb_strerror(rc));
    abort();
}

void raw_begin(struct raw *raw, const char *path, const char *table)
{
    bool log = strcmp(table, "log") == 0;

    need(mdb_env_create(&raw->env), "mdb_env_create");
    need(mdb_env_set_maxdbs(raw->env, 32), "mdb_env_set_maxdbs");
    need(mdb_env_open(raw->env, path, MDB_NOSUBDIR | MDB_NOSYNC, 0600), path);
    need(mdb_txn_begin(raw->env, NULL, 0, &raw->txn), "mdb_txn_begin");
    need(mdb_dbi_open(raw->txn, table, log ? MDB_INTEGERKEY : 0, &raw->table), table);
}

void raw_end(struct raw *raw)
{
    need(mdb_txn_commit(raw->txn), "mdb_txn_commit");
    mdb_env_close(raw->env);
}

size_t raw_get(struct raw *raw, MDB_val key, uint8_t row[4096])
{
    MDB_val value = {0};

    need(mdb_get(raw->txn, raw->table, &key, &value), "mdb_get");
    if (value.mv_size > 4096)
        abort();
    memcpy(row, value.mv_data, value.mv_size);
    return value.mv_size;
}

void raw_put(struct raw *raw, MDB_val key, const uint8_t *row, size_t size)
{
    MDB_val value = {size, (void *)(uintptr_t)row};

    need(mdb_put(raw->txn, raw->table, &key, &value, 0), "mdb_put");
}

void raw_remove(struct raw *raw, MDB_val key)
{
    need(mdb_del(raw->txn, raw->table, &key, NULL), "mdb_del");
}

MDB_val raw_key(const void *bytes, size_t size)
{
    return (MDB_val){size, (void *)(uintptr_t)bytes};
}
