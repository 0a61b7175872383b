/* projected.h - what people see of projections: one item for each of them, or for each view. */
#ifndef QP_PROJECTED_H
#define QP_PROJECTED_H

#include "handle.h"
#include "projections.h"

/* A list of one snapshot. A zeroed one is closed. */
struct qp_projected {
    struct qp_handle *handle;
    struct qp_txn txn;
    struct qp_cursor cursor;
    struct qp_projection_row row; /* the last one */
    uint64_t head;
    bool views;    /* an item for each view, and not for each projection */
    bool building; /* next is the view that is built beside the row's */
    bool begun;
    char prefix[QP_OWNER_NAME_MAX + 1];
    /* Of the item given out: */
    char name[sizeof(QP_REBUILD) + QP_OWNER_NAME_MAX];
    char key[QP_VIEW_KEY_MAX + 1];
    char fault[sizeof(((struct qp_projection_row *)0)->fault_text) + 1];
};

/* Returns: OK; TOO_LARGE: the prefix; as qp_txn_begin_read(). */
int qp_projected_open(struct qp_handle *handle, struct qp_bytes prefix, bool views,
                      struct qp_projected *projected, quipu_error *error);
void qp_projected_close(struct qp_projected *projected);

/* As quipu_list_next(). */
int qp_projected_next(struct qp_projected *projected, quipu_item *item, quipu_error *error);

#endif
