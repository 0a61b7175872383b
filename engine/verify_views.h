/* verify_views.h - what projections keep - their rows, views, parked events, long values, streams
 * of their own - held against each other. The sums of the rows are looked at elsewhere. */
#ifndef QP_VERIFY_VIEWS_H
#define QP_VERIFY_VIEWS_H

#include "moment.h"

/* Told of each finding; `position` 0: it is about no event. Not 0: stop. */
typedef int (*qp_views_found_fn)(void *payload, const char *table, uint64_t position,
                                 const char *text);

/* Returns: OK; what `found` returned to stop; IO, NO_MEMORY. */
int qp_verify_views(struct qp_moment *moment, qp_views_found_fn found, void *payload,
                    quipu_error *error);

#endif
