/* determinism.h - does a projection make the same of the same events? */
#ifndef QP_DETERMINISM_H
#define QP_DETERMINISM_H

#include "folding.h"

/* Returns: OK; INVALID: `*position` is the first event that makes a difference; FAULTED; CORRUPT;
 * IO; NO_MEMORY. */
int qp_determinism_check(struct qp_handle *handle, const struct qp_projection *projection,
                         uint64_t *position, quipu_error *error);

#endif
