/* open.h - how a store is opened and closed in a process. */
#ifndef QP_OPEN_H
#define QP_OPEN_H

#include "handle.h"

/* Open the store that `place` is, and take the place over. Returns as quipu_open(). */
int qp_handle_open(struct qp_place *place, const quipu_options *options, struct qp_handle **out,
                   quipu_error *error);

/* The same for who must be alone until it is closed, with an empty index. BUSY: somebody has it. */
int qp_handle_open_sole(struct qp_place *place, const quipu_options *options,
                        struct qp_handle **out, quipu_error *error);

/* No transaction may be live. In a forked child: only lets go. */
void qp_handle_close(struct qp_handle *handle);

#endif
