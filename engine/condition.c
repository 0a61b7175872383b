/* condition.c - the candidates of the query from `after` on, until a record says yes.
 *
 *     log          1 ................ after .............. head
 *     candidates                        |   5 001   5 320        the first that matches
 *
 * Mostly a caller has just read up to `after`, so that few events or none come behind it: then each
 * list costs one search, and most conditions none at all. A damaged record may match anything: who
 * decides refuses to append as long as there is one. */
#include "condition.h"

#include "candidates.h"
#include "streams.h"

#include <assert.h>

/* Is the event at this position one? Returns: ROW; OK: no. */
static int holds_at(struct qp_moment *moment, const struct qp_query *query, uint64_t position,
                    quipu_error *error)
{
    struct qp_record record;
    bool visible = true;
    int rc;

    rc = qp_log_get_names(&moment->log, position, &record, error);
    if (rc != QUIPU_ROW)
        return rc;
    if (!qp_query_matches(query, &record))
        return QUIPU_OK;
    rc = qp_streams_visible(moment->txn, moment->streams_any, record.stream, record.version,
                            &visible, error);
    if (rc < 0)
        return rc;
    return visible ? QUIPU_ROW : QUIPU_OK;
}

/* An item without a term matches every event. */
static int find_any(struct qp_moment *moment, const struct qp_query *query, uint64_t after,
                    uint64_t *position, quipu_error *error)
{
    int rc = QUIPU_OK;

    for (*position = after + 1; rc == QUIPU_OK && *position <= moment->pin.head; ++*position) {
        rc = holds_at(moment, query, *position, error);
        if (rc != QUIPU_OK)
            break;
    }
    return rc;
}

int qp_condition_find(struct qp_moment *moment, const struct qp_query *query, uint64_t after,
                      uint64_t *position, quipu_error *error)
{
    const struct qp_candidates_range range = {
        .after = after + QP_MUTANT(CONDITION_LATE),
        .upto = QP_MUTANT(TAIL_CONDITION) ? moment->indexed.position : moment->pin.head};
    struct qp_candidates *candidates;
    int rc;

    assert(moment->txn != NULL && after <= QP_POSITION_MAX);
    if (after >= moment->pin.head)
        return QUIPU_OK;
    rc = qp_candidates_open(moment, query, &range, &candidates, error);
    if (rc == QUIPU_OK)
        return find_any(moment, query, after, position, error);
    rc = rc == QUIPU_ROW ? QUIPU_OK : rc;
    while (rc == QUIPU_OK) {
        *position = qp_candidates_at(candidates);
        if (*position == 0)
            break;
        rc = holds_at(moment, query, *position, error);
        if (rc == QUIPU_OK)
            rc = qp_candidates_pass(candidates, error);
    }
    qp_candidates_close(candidates);
    return rc;
}
