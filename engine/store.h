/* store.h - one LMDB environment, which is one file; with txn.h and table.h the door to LMDB.
 *
 * Owns: opening with a map as large as the machine gives, flushes, the table of readers, and what
 * LMDB's codes mean. Transactions: txn.h. */
#ifndef QP_STORE_H
#define QP_STORE_H

#include "key.h"

struct qp_store;

struct qp_table_spec {
    enum qp_table table;
    bool integer_key;
};

struct qp_store_config {
    const char *path; /* of the file; LMDB puts its lock file beside it */
    const struct qp_table_spec *tables;
    size_t table_count;
    uint64_t map_bytes; /* to try first; halved until it fits */
    uint32_t readers_max;
    bool read_only;
    bool create; /* make file and tables if they are missing */
    bool lazy;   /* a commit does not wait for its meta page */
};

/* Returns: OK; INVALID: a table is missing or of another kind; NO_MEMORY; else what LMDB's code
 * means: FULL, IO, CORRUPT, UNSAFE, SYSTEM. */
int qp_store_open(const struct qp_store_config *config, struct qp_store **out, quipu_error *error);
void qp_store_close(struct qp_store *store);

/* Make cache and disk agree, whatever failed before (docs/ARCHITECTURE.md 4.1): read the two meta
 * pages, write the same bytes, flush. Under the store lock, or alone. IO. */
int qp_store_settle(struct qp_store *store, quipu_error *error);

/* Wait until all that is written is on the disk. Under the store lock, or alone: on one descriptor
 * one thread's flush takes the error that another's needed. IO. */
int qp_store_flush(struct qp_store *store, quipu_error *error);

/* Clear the slots of readers whose process is gone. */
void qp_store_clear_readers(struct qp_store *store);

/* A snapshot of this file that some process holds. */
struct qp_store_reader {
    uint32_t pid;
    uint64_t transaction; /* the newest that it sees */
};

/* Call `visit` for each; false stops, and is returned. */
typedef bool (*qp_store_reader_fn)(void *payload, const struct qp_store_reader *reader);
bool qp_store_each_reader(struct qp_store *store, qp_store_reader_fn visit, void *payload);

#endif
