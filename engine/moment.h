/* moment.h - one consistent view of a store: a snapshot of the index up to `indexed`, a snapshot of
 * the log up to `head`, and the part of the tail between the two, pinned
 * (docs/ARCHITECTURE.md 4.3).
 *
 * A term's occurrences are its index positions plus the tail's in (indexed, head]. */
#ifndef QP_MOMENT_H
#define QP_MOMENT_H

#include "handle.h"
#include "index.h"
#include "log.h"

struct qp_moment {
    struct qp_handle *handle;
    struct qp_moment *next;  /* in the pool; in use: the one that began after it */
    struct qp_moment *older; /* in use: the one that began before it */
    int64_t began_ns;        /* on the store's clock */
    struct qp_txn log_txn;
    struct qp_txn index_txn;
    struct qp_txn *txn;        /* of the log: log_txn, or a committer's write transaction */
    struct qp_log_cursor log;  /* in `txn` */
    struct qp_pin pin;         /* indexed, head and the tail's part */
    struct qp_indexed indexed; /* what the index says of itself */
    bool streams_any;          /* qp_streams_any() of this snapshot */
};

/* Returns: OK; FULL: no reader slot; CORRUPT; NEWER_FORMAT; IO; NO_MEMORY. */
int qp_moment_begin(struct qp_handle *handle, bool check, struct qp_moment **out,
                    quipu_error *error);

/* The same over a write transaction of the log, which stays the caller's. */
int qp_moment_begin_writing(struct qp_handle *handle, struct qp_txn *txn, struct qp_moment **out,
                            quipu_error *error);

/* The log alone, and no longer than for a look: neither the index nor the tail. FULL: no reader
 * slot; CORRUPT; NEWER_FORMAT; IO; NO_MEMORY. */
int qp_moment_glance(struct qp_handle *handle, struct qp_glance *out, quipu_error *error);

/* Takes NULL. Views into the moment are gone. */
void qp_moment_end(struct qp_moment *moment);

/* Free what rests in the pool. */
void qp_moment_drain(struct qp_handle *handle);

/* Where a stream ends. It counts as having events only if its newest is not hidden. */
struct qp_stream_edge {
    uint64_t newest;       /* version, 0: it never had an event */
    uint64_t position;     /* of that version */
    uint64_t hidden;       /* versions that deleting or truncating took: up to this one */
    struct qp_bytes owner; /* a projection; size 0: none */
};
int qp_moment_stream(struct qp_moment *moment, struct qp_bytes stream, struct qp_stream_edge *edge,
                     quipu_error *error);

/* Are there damaged records whose stream nobody knows? */
bool qp_moment_damaged(const struct qp_moment *moment);

#endif
