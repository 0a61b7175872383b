/* kept.h - what there is beside loads to do with snapshots: list, look into, drop, save, check. */
#ifndef QP_KEPT_H
#define QP_KEPT_H

#include "moment.h"

/* A list of one moment. A zeroed one is closed. */
struct qp_kept {
    struct qp_moment *moment;
    struct qp_cursor cursor; /* not open without an index */
    bool begun;
    char wanted[QP_OWNER_NAME_MAX + 1]; /* the fold; "": all */
    char stream[QP_NAME_MAX + 1];       /* of the item given out */
    char fold[QP_OWNER_NAME_MAX + 1];
};

/* `fold` of size 0: all. Returns: OK; TOO_LARGE: the name; as qp_moment_begin(). */
int qp_kept_open(struct qp_handle *handle, struct qp_bytes fold, struct qp_kept *kept,
                 quipu_error *error);
void qp_kept_close(struct qp_kept *kept);

/* As quipu_list_next(). */
int qp_kept_next(struct qp_kept *kept, quipu_item *item, quipu_error *error);

/* The others return as the calls of the public header that have their names: quipu_snapshot_*. The
 * names were checked. */
int qp_kept_get(struct qp_handle *handle, const char *stream, const char *fold, uint64_t version,
                void *bytes, size_t *size, quipu_error *error);
int qp_kept_drop(struct qp_handle *handle, const char *stream, const char *fold, uint64_t *dropped,
                 quipu_error *error);
int qp_kept_save(struct qp_handle *handle, const quipu_fold *fold, const char *stream,
                 uint64_t *version, quipu_error *error);
int qp_kept_check(struct qp_handle *handle, const quipu_fold *fold, const char *stream,
                  quipu_error *error);

#endif
