/* stat.h - figures of a store. */
#ifndef QP_STAT_H
#define QP_STAT_H

#include "handle.h"

/* Fills all but struct_size. Returns as quipu_stat_get(). */
int qp_stat(struct qp_handle *handle, quipu_stat *out, quipu_error *error);

#endif
