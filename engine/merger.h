/* merger.h - being the one who writes index.mdb: a flag orders the threads of a process, guard byte
 * 2 the processes (docs/ARCHITECTURE.md 4.5). Who merges is one, and who saves or drops snapshots.
 *
 *     qp_merger_begin    this thread is it, and the index is fit to be written
 *     qp_merger_log      a snapshot of the log, all of it on the disk
 *     ...                index transactions; qp_merger_commit() each
 *     qp_merger_end
 *
 * Lock order: this, then for a moment the store lock (qp_merger_log alone), then LMDB's own. */
#ifndef QP_MERGER_H
#define QP_MERGER_H

#include "handle.h"
#include "log.h"

struct qp_merger {
    struct qp_handle *handle;
    struct qp_txn log;
    struct qp_log_cursor cursor; /* in it, checking */
    uint64_t head;               /* its newest position */
};

/* One try, of a handle that writes. `merger` is anything. Returns: ROW: to be ended; OK: somebody
 * else is it, a thread or a process; IO: the log is poisoned, or a flush of the index failed: it is
 * made anew by the next sole opener; SYSTEM. */
int qp_merger_begin(struct qp_merger *merger, struct qp_handle *handle, quipu_error *error);

/* The same, waiting as long as busy_timeout_ms says. Returns: OK: to be ended; BUSY names who is
 * it. */
int qp_merger_wait(struct qp_merger *merger, struct qp_handle *handle, quipu_error *error);

/* Once lazy handles were opened this is a flush under the store lock: BUSY: then, that lock. Else
 * IO; CORRUPT; FULL: no reader slot; NO_MEMORY. */
int qp_merger_log(struct qp_merger *merger, quipu_error *error);

/* Commit a transaction of the index; if nobody knows what became of it, nobody writes it any more.
 * As qp_txn_commit(). */
int qp_merger_commit(struct qp_merger *merger, struct qp_txn *index, quipu_error *error);

void qp_merger_end(struct qp_merger *merger);

#endif
