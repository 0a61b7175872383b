/* control.h - what an operator says to a projection: by its row and its parked events, from any
 * process, without its functions. */
#ifndef QP_CONTROL_H
#define QP_CONTROL_H

#include "handle.h"

/* `key` NULL: all of them, or the projection itself. Returns as quipu_projection_control(). */
int qp_control(struct qp_handle *handle, struct qp_bytes name, int control, int64_t value,
               const struct qp_bytes *key, quipu_error *error);

#endif
