/* marked.h - how far marks and sources have come: one by its name, or all in order. */
#ifndef QP_MARKED_H
#define QP_MARKED_H

#include "handle.h"
#include "marks.h"

/* Returns: OK; NOT_FOUND; INVALID, TOO_LARGE: the name; as qp_txn_begin_read(); CORRUPT. */
int qp_marked_get(struct qp_handle *handle, enum qp_mark_kind kind, const char *name,
                  uint64_t *number, quipu_error *error);

/* A list of one snapshot. A zeroed one is closed. */
struct qp_marked {
    struct qp_txn txn;
    struct qp_cursor cursor;
    uint64_t head;
    bool begun;
    char prefix[QP_OWNER_NAME_MAX + 1];
    char name[QP_OWNER_NAME_MAX + 1]; /* of the item given out */
};

int qp_marked_open(struct qp_handle *handle, struct qp_bytes prefix, struct qp_marked *marked,
                   quipu_error *error);
void qp_marked_close(struct qp_marked *marked);

/* As quipu_list_next(). */
int qp_marked_next(struct qp_marked *marked, quipu_item *item, quipu_error *error);

#endif
