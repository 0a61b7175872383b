/* load.h - folding a stream into state. */
#ifndef QP_LOAD_H
#define QP_LOAD_H

#include "handle.h"

/* Returns as quipu_load(); the arguments were checked. */
int qp_load(struct qp_handle *handle, const quipu_fold *fold, const char *stream,
            const quipu_point *at, void *state, uint64_t *version, quipu_error *error);

#endif
