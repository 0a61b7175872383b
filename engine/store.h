/* store.h - one LMDB environment, which is one file; with table.h the only door to LMDB.
 *
 * Owns: opening with a map as large as the machine gives, transactions, growth, flushes, and what
 * LMDB's codes mean. Threads may begin and end transactions at the same time; one transaction is
 * used by one thread at a time, but not by the same one for ever. */
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

/* Returns: OK; INVALID: a table is missing or of another kind; FULL, IO, CORRUPT, NO_MEMORY,
 * UNSAFE, SYSTEM as qp_txn_*. */
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

struct qp_store_stat {
    uint64_t file_bytes;
    uint64_t free_bytes; /* inside, to be used again */
    uint32_t readers;
    uint32_t oldest_reader_pid;
    uint64_t oldest_reader_lag; /* transactions behind */
};

/* The number of the newest transaction that any process has committed. For as long as its meta page
 * is being flushed no snapshot has it yet: compare with qp_txn_number(). */
uint64_t qp_store_newest(struct qp_store *store);

struct qp_txn {
    struct MDB_txn *mdb;
    struct qp_store *store;
    struct MDB_cursor *hot; /* writing: stands where the last row was put or read */
    enum qp_table hot_table;
    bool writing;
    bool live; /* holds a snapshot */
};

/* The number of the newest transaction that a live one sees. */
uint64_t qp_txn_number(const struct qp_txn *txn);

int qp_store_stat(struct qp_txn *txn, struct qp_store_stat *out, quipu_error *error);

/* A snapshot. A zeroed txn gets a reader slot; one that was reset gets a new snapshot in its slot.
 * FULL: no slot is free even after dead readers were cleared. */
int qp_txn_begin_read(struct qp_store *store, struct qp_txn *txn, quipu_error *error);
void qp_txn_reset(struct qp_txn *txn);

/* One at a time over all processes; the caller has the lock that sees to it. */
int qp_txn_begin_write(struct qp_store *store, struct qp_txn *txn, quipu_error *error);

/* What became of a failed commit. */
enum qp_commit_outcome {
    QP_COMMIT_DONE = 0,
    QP_COMMIT_UNDONE, /* nothing of it is in, the file is as before */
    QP_COMMIT_UNKNOWN /* a flush or the meta page failed */
};
int qp_txn_commit(struct qp_txn *txn, enum qp_commit_outcome *outcome, quipu_error *error);

/* Ends whatever it is: aborts a write, gives a reader's slot back. Takes a zeroed one. */
void qp_txn_end(struct qp_txn *txn);

/* Was the map too small for the last put or commit? Then double it: `true` if it is worth doing
 * again. Needs that no transaction of this process is live. */
bool qp_store_grow(struct qp_store *store);

/* How large a page is, and how many of them the file has. */
void qp_store_extent(struct qp_txn *txn, size_t *page_bytes, uint64_t *pages);

#endif
