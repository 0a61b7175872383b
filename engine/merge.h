/* merge.h - writing into the index what the log has and it has not (docs/ARCHITECTURE.md 4.5). */
#ifndef QP_MERGE_H
#define QP_MERGE_H

#include "handle.h"

/* Merge all that is committed now. Somebody else merging (a thread, another process) is no failure:
 * it is left to them. Holds no lock that an append needs, but for one flush under the store lock
 * once a lazy handle was opened.
 * Returns: OK; BUSY: then, that lock; IO: the log is poisoned, or a flush of the index failed: it
 * is made anew by the next sole opener; CORRUPT; FULL; NO_MEMORY. Nothing but time is lost by a
 * failure. */
int qp_merge(struct qp_handle *handle, quipu_error *error);

/* For a sole opener: merge the whole log, and tell `progress` after each slice how far it is. What
 * else than 0 it returns stops, and is its owner's to remember: that is OK, with an index of a part
 * of the log. Else as qp_merge(). */
int qp_merge_whole(struct qp_handle *handle, quipu_progress_fn progress, void *payload,
                   quipu_error *error);

/* Fold what this process has not seen yet, and note how much of the log is not in the index. What
 * the index has is dropped from the tail. Returns as qp_moment_begin(). */
int qp_merge_look(struct qp_handle *handle, quipu_error *error);

/* For a committer, before it takes the store lock: is so much unmerged that it has to wait for the
 * index? Then merge, or wait for who does. BUSY when that takes too long; else as qp_merge(). */
int qp_merge_if_full(struct qp_handle *handle, quipu_error *error);

/* After a commit: if the tail has become long, merge, or wake the thread that does. Failures are
 * only told to the log. */
void qp_merge_if_long(struct qp_handle *handle);

/* From now on a thread merges and not who commits, but for qp_merge_if_full(). SYSTEM. */
int qp_merge_start_thread(struct qp_handle *handle, quipu_error *error);

/* Wait for its merge under way; it begins no other one. Without such a thread: nothing. */
void qp_merge_end_thread(struct qp_handle *handle);

/* When a store is opened or closed: merge if more than `events` are not in the index. Failures are
 * only told to the log. */
void qp_merge_rest(struct qp_handle *handle, uint64_t events);

#endif
