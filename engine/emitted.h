/* emitted.h - what a projection has emitted before, so that building it anew emits nothing twice
 * and loses nothing. */
#ifndef QP_EMITTED_H
#define QP_EMITTED_H

#include "views.h"

/* A zeroed one knows of nothing. */
struct qp_emitted {
    uint64_t upto;             /* events up to here have emitted what they make, but for those that
                                  are parked in the view's generation while another is folded */
    struct qp_view_place live; /* that one; generation 0: there is nothing to look for */
    struct qp_cursor cursor;
    uint32_t from; /* what the event's parts before this one make was emitted; UINT32_MAX: all */
    bool silent;   /* what is being applied was */
};

/* With `upto` and `live` set. Close it in any case. As qp_cursor_open(). */
int qp_emitted_open(struct qp_emitted *emitted, struct qp_txn *txn, quipu_error *error);
void qp_emitted_close(struct qp_emitted *emitted);

/* Before a part of an event is applied for a key: `silent` says whether what it makes was emitted.
 * And when it has been applied: if it was emitted only now, that goes into the batch. Returns: OK;
 * CORRUPT; IO; NO_MEMORY. */
int qp_emitted_begin(struct qp_emitted *emitted, const quipu_event *event, struct qp_bytes key,
                     uint32_t part, quipu_error *error);
int qp_emitted_end(struct qp_emitted *emitted, const quipu_event *event, struct qp_bytes key,
                   uint32_t part, struct qp_batch *batch, quipu_error *error);

#endif
