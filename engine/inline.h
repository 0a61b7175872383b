/* inline.h - projections that a process has registered: inline ones fold within the commit which
 * appended, live ones when somebody looks. */
#ifndef QP_INLINE_H
#define QP_INLINE_H

#include "apply.h"
#include "folding.h"

/* Take a projection that was checked and copied: from now on this process's commits fold it if it
 * is inline, and qp_registered_find() finds it. The row of an inline one is made if it is missing.
 * Returns: OK: it belongs to the handle now; CONFLICT: one of that name is there, or a newer
 * version in the store; as qp_commit(). */
int qp_inline_register(struct qp_handle *handle, struct qp_projection *projection,
                       void (*free_projection)(struct qp_projection *projection),
                       quipu_error *error);

/* The one of that name with that mode; NULL: there is none. It stays until the handle closes. */
struct qp_projection *qp_registered_find(struct qp_handle *handle, struct qp_bytes name,
                                         uint32_t mode);

#endif
