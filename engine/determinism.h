/* determinism.h - does a projection make the same of the same events? */
#ifndef QP_DETERMINISM_H
#define QP_DETERMINISM_H

#include "folding.h"

/* Fold it twice from the first event on, in memory. Returns: OK: `*position` is 0; INVALID: it is
 * the first event that makes a difference; FAULTED: it is the one that cannot be applied; CORRUPT;
 * IO; NO_MEMORY. */
int qp_determinism_check(struct qp_handle *handle, const struct qp_projection *projection,
                         uint64_t *position, quipu_error *error);

#endif
