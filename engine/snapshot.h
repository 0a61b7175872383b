/* snapshot.h - states of folds, kept at versions of their streams: table `snapshots` of index.mdb.
 *
 * Knows where they stand, and not whether one may be used: that is keep.h. Takes transactions of
 * the index, never begins one. */
#ifndef QP_SNAPSHOT_H
#define QP_SNAPSHOT_H

#include "blobs.h"
#include "key.h"

struct qp_snapshot {
    struct qp_snapshot_name name;
    uint64_t position;   /* of the event that it stands at */
    uint64_t chain;      /* of that event */
    uint64_t edits;      /* of the stream when it was made */
    int64_t time_max_ns; /* the greatest `time` of the stream's events up to there */
    struct qp_bytes state;
    uint64_t blob; /* that has the state; 0: its row has */
};

/* The newest snapshot of upto->stream, fold and fold_version that is not above upto->version; its
 * state is left out. Names in `out` live as long as the transaction, or until its next put.
 *
 * Returns: ROW; OK: there is none, and `*other` says whether one of another fold version stands
 * before it, with its name in `out`; CORRUPT: it cannot be read, and out->name says which it is;
 * IO. */
int qp_snapshot_find(struct qp_txn *txn, const struct qp_snapshot_name *upto,
                     struct qp_snapshot *out, bool *other, quipu_error *error);

/* One with its state, a long one in `assembly`. Returns: ROW; OK: there is none; CORRUPT; IO;
 * NO_MEMORY. */
int qp_snapshot_get(struct qp_txn *txn, const struct qp_snapshot_name *name,
                    struct qp_buffer *assembly, struct qp_snapshot *out, quipu_error *error);

/* A row that a cursor has found; `assembly` as in qp_blobs_read(). Returns: ROW; CORRUPT: out->name
 * says which if the key is one, else its stream is empty; IO; NO_MEMORY. */
int qp_snapshot_read(struct qp_txn *txn, struct qp_bytes key, struct qp_bytes stored,
                     struct qp_buffer *assembly, struct qp_snapshot *out, quipu_error *error);

/* In the place of one of the same name. The names must not be views into this transaction.
 * Returns as qp_blobs_put(). */
int qp_snapshot_put(struct qp_txn *txn, const struct qp_snapshot *snapshot, quipu_error *error);

/* Also one that cannot be read. Returns as qp_blobs_delete(). */
int qp_snapshot_delete(struct qp_txn *txn, const struct qp_snapshot_name *name, quipu_error *error);

/* The same by its key, which may be no snapshot's. */
int qp_snapshot_delete_row(struct qp_txn *txn, struct qp_bytes key, quipu_error *error);

/* The number that the next blob in index.mdb gets. Returns: OK; CORRUPT; IO. */
int qp_snapshot_next_blob(struct qp_txn *txn, uint64_t *number, quipu_error *error);

#endif
