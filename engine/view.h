/* view.h - reading what a projection maintains: one snapshot, by key or in the order of keys. */
#ifndef QP_VIEW_H
#define QP_VIEW_H

#include "handle.h"

struct qp_view;
struct qp_projection_row;

/* Returns as quipu_view_open(); the name was checked. */
int qp_view_open(struct qp_handle *handle, const char *name, struct qp_view **out,
                 quipu_error *error);
void qp_view_close(struct qp_view *view);

/* The view is the fold of the log up to here. */
uint64_t qp_view_mark(const struct qp_view *view);

/* Returns: ROW; OK: there is none; CORRUPT; IO; NO_MEMORY. The value lives until the next call. */
int qp_view_get(struct qp_view *view, struct qp_bytes key, struct qp_bytes *value,
                quipu_error *error);

/* From now on qp_view_next() gives the keys that begin with `prefix`, from the one behind `after`
 * (size 0: from the first) on; `values` false: their values are left out. Both are copied.
 * Returns: OK; as qp_cursor_open(). */
int qp_view_scan(struct qp_view *view, struct qp_bytes prefix, struct qp_bytes after,
                 bool backwards, bool values, quipu_error *error);

/* The next one, which lives until the next call. Returns: ROW; OK: no more, or no scan; CORRUPT:
 * `key` says whose value, the next call goes on after it; IO; NO_MEMORY. */
int qp_view_next(struct qp_view *view, struct qp_bytes *key, struct qp_bytes *value,
                 quipu_error *error);

/* A projection's row and the transaction of one snapshot, without a view. Returns: ROW; OK: there
 * is none; CORRUPT; IO; FULL: no reader slot. */
int qp_view_row(struct qp_handle *handle, struct qp_bytes name, struct qp_projection_row *row,
                uint64_t *transaction, quipu_error *error);

#endif
