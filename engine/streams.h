/* streams.h - what is known of a stream beside its events: table `streams`. A stream has a row
 * there only if something was done to it; most stores have none at all. */
#ifndef QP_STREAMS_H
#define QP_STREAMS_H

#include "table.h"

enum qp_stream_flags { QP_STREAM_DELETED = 1, QP_STREAM_TOMBSTONED = 2 };

struct qp_stream_row {
    uint64_t first_kept;   /* the lowest version that is to be seen */
    uint32_t flags;        /* qp_stream_flags */
    struct qp_bytes owner; /* the projection that alone may append; size 0: everybody may */
};

#define QP_STREAM_ROW_BYTES 24 /* and the owner's name */

/* Its row. Returns: ROW; OK: nothing was done to it; CORRUPT; IO. With an empty table this is one
 * test of `any`, which is what qp_streams_any() said of this snapshot. */
int qp_streams_get(struct qp_txn *txn, bool any, struct qp_bytes stream, struct qp_stream_row *row,
                   quipu_error *error);
bool qp_streams_any(struct qp_txn *txn);

int qp_streams_put(struct qp_txn *txn, struct qp_bytes stream, const struct qp_stream_row *row,
                   quipu_error *error);

/* May an event be seen? Every read, fold, condition and use of the index asks this function. */
int qp_streams_visible(struct qp_txn *txn, bool any, struct qp_bytes stream, uint64_t version,
                       bool *visible, quipu_error *error);

#endif
