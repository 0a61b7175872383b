/* ahead.h - reading ahead: tells the kernel which pages will be touched. Never fails; at most it
 * does not help. LMDB's own read-ahead is off: cold, it made 100 random records cost 150 times as
 * much. */
#ifndef QP_AHEAD_H
#define QP_AHEAD_H

#include "table.h"

/* The records at ascending or descending `positions` of `log` will be read. `value` is any value
 * of this snapshot. */
void qp_ahead_positions(struct qp_txn *txn, const void *value, const uint64_t *positions,
                        size_t count);

/* A scan has come to the record `row`: keep one to two windows of 1 MiB ahead of it, and its
 * neighbour under way to the cache. `*window` is the scan's own, 0 in the beginning. */
void qp_ahead_scan(struct qp_txn *txn, struct qp_bytes row, bool backwards, uintptr_t *window);

#endif
