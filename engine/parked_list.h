/* parked_list.h - the events that one projection could not apply, key after key. */
#ifndef QP_PARKED_LIST_H
#define QP_PARKED_LIST_H

#include "handle.h"
#include "projections.h"
#include "views.h"

/* A list of one snapshot. A zeroed one is closed. */
struct qp_parked_list {
    struct qp_txn txn;
    struct qp_cursor cursor;
    struct qp_view_place place;
    bool begun;
    char name[sizeof(QP_REBUILD) + QP_OWNER_NAME_MAX]; /* as it was asked for */
    /* Of the item given out: */
    char key[QP_VIEW_KEY_MAX + 1];
    char reason[QP_PARKED_REASON_BYTES + 1];
};

/* `owner` is NUL-terminated. Returns: OK; MISUSE: no name; NOT_FOUND: no such projection, or
 * nothing is built beside it; TOO_LARGE; CORRUPT: its row; as qp_txn_begin_read(). */
int qp_parked_list_open(struct qp_handle *handle, struct qp_bytes owner,
                        struct qp_parked_list *list, quipu_error *error);
void qp_parked_list_close(struct qp_parked_list *list);

/* As quipu_list_next(). */
int qp_parked_list_next(struct qp_parked_list *list, quipu_item *item, quipu_error *error);

#endif
