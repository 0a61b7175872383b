/* candidates.h - where the events of a query may stand, in order, in either direction: the shortest
 * list of each item, less what other lists of it rule out. Each must be held against the query:
 * lists only propose. */
#ifndef QP_CANDIDATES_H
#define QP_CANDIDATES_H

#include "moment.h"
#include "query.h"

struct qp_candidates;

/* The set (after, upto]. */
struct qp_candidates_range {
    uint64_t after;
    uint64_t upto;
    bool backwards;
};

/* Returns: ROW; OK: every position is one, as an item has no term, and `*out` is NULL; NO_MEMORY;
 * CORRUPT; IO. */
int qp_candidates_open(struct qp_moment *moment, const struct qp_query *query,
                       const struct qp_candidates_range *range, struct qp_candidates **out,
                       quipu_error *error);
void qp_candidates_close(struct qp_candidates *candidates);

/* The one that it stands at; 0 at the end. */
uint64_t qp_candidates_at(const struct qp_candidates *candidates);

/* Go on to the next. On failure it stands nowhere: CORRUPT, IO. */
int qp_candidates_pass(struct qp_candidates *candidates, quipu_error *error);

/* Some of those that come after it, at most `max`: what will be read soon. */
size_t qp_candidates_peek(const struct qp_candidates *candidates, uint64_t *positions, size_t max);

#endif
