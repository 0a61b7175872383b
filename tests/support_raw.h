/* support_raw.h - rows of a store's files behind the library's back: by LMDB alone, in transactions
 * of their own, while no handle is open. Includes nothing of Criterion; aborts if LMDB fails. */
#ifndef SUPPORT_RAW_H
#define SUPPORT_RAW_H

#include "base.h"

#include <lmdb.h>

struct raw {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
};

void raw_begin(struct raw *raw, const char *path, const char *table);
void raw_end(struct raw *raw);

/* Returns the row's size. It must be there. */
size_t raw_get(struct raw *raw, MDB_val key, uint8_t row[4096]);
void raw_put(struct raw *raw, MDB_val key, const uint8_t *row, size_t size);
void raw_remove(struct raw *raw, MDB_val key);

/* As LMDB wants it, which does not write through it. */
MDB_val raw_key(const void *bytes, size_t size);

#endif
