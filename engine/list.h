/* list.h - names of a moment in the order of their bytes, with what is known of each. */
#ifndef QP_LIST_H
#define QP_LIST_H

#include "handle.h"

struct qp_list;

/* Returns as quipu_list_open(). */
int qp_list_open(struct qp_handle *handle, int kind, const char *prefix, struct qp_list **out,
                 quipu_error *error);
int qp_list_next(struct qp_list *list, quipu_item *item, quipu_error *error);
void qp_list_close(struct qp_list *list);

#endif
