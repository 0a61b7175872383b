/* condition.h - whether the store has an event that a batch is not to be committed after. */
#ifndef QP_CONDITION_H
#define QP_CONDITION_H

#include "moment.h"
#include "query.h"

/* The first event after `after` that matches and may be seen. Costs what stands after `after` in
 * the query's lists, however long these are. Returns: ROW; OK: there is none; CORRUPT;
 * NEWER_FORMAT; NO_MEMORY; IO. */
int qp_condition_find(struct qp_moment *moment, const struct qp_query *query, uint64_t after,
                      uint64_t *position, quipu_error *error);

#endif
