/* txn.h - transactions of one environment, and the map that they look into: snapshots, writes,
 * their commits, growth.
 *
 * Threads may begin and end transactions at the same time; one transaction is used by one thread at
 * a time, but not by the same one for ever. What can fail returns OK or what LMDB's code means:
 * FULL, IO, CORRUPT, NO_MEMORY, UNSAFE, SYSTEM. */
#ifndef QP_TXN_H
#define QP_TXN_H

#include "store.h"

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

/* A snapshot. A zeroed txn gets a reader slot; one that was reset gets a new snapshot in its slot.
 * FULL: no slot is free even after dead readers were cleared. */
int qp_txn_begin_read(struct qp_store *store, struct qp_txn *txn, quipu_error *error);
void qp_txn_reset(struct qp_txn *txn);

/* One at a time over all processes; the caller has the lock that sees to it. */
int qp_txn_begin_write(struct qp_store *store, struct qp_txn *txn, quipu_error *error);

/* Write zeros behind the end of the file, if it ends soon after its last page, so that commits
 * write into blocks that the file has already: a flush then need not wait for the file system's own
 * records too. Inside of a write transaction and nowhere else: whoever writes there else may write
 * over pages of another process's commit (docs/ARCHITECTURE.md 8.26). */
void qp_txn_extend(struct qp_txn *txn);

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
bool qp_txn_grow_map(struct qp_store *store);

/* How large a page is, and how many of them the file has. */
void qp_txn_extent(struct qp_txn *txn, size_t *page_bytes, uint64_t *pages);

/* The number of the newest transaction that any process has committed. For as long as its meta page
 * is being flushed no snapshot has it yet: compare with qp_txn_number(). */
uint64_t qp_txn_newest(struct qp_store *store);

struct qp_txn_stat {
    uint64_t file_bytes;
    uint64_t free_bytes; /* inside, to be used again */
    uint32_t readers;
    uint32_t oldest_reader_pid;
    uint64_t oldest_reader_lag; /* transactions behind */
};

int qp_txn_stat(struct qp_txn *txn, struct qp_txn_stat *out, quipu_error *error);

#endif
