/* emitted.h - what a projection has emitted: each event, key and part once, however often it is
 * folded, parked, tried again and built anew. */
#ifndef QP_EMITTED_H
#define QP_EMITTED_H

#include "views.h"

/* One page's knowledge of it. A zeroed one is of a projection that emits nothing. */
struct qp_emitted {
    struct qp_bytes name;    /* the projection's; size 0: it emits nothing */
    uint64_t upto;           /* up to this position nothing is emitted but what is owed */
    struct qp_cursor cursor; /* not open: nothing was owed in the page's snapshot */
    bool silent;             /* what is being applied was emitted before */
};

/* With `name` and `upto` set. Close it in any case. As qp_cursor_open(). */
int qp_emitted_open(struct qp_emitted *emitted, struct qp_txn *txn, quipu_error *error);
void qp_emitted_close(struct qp_emitted *emitted);

/* May anything be owed at that position? Nearly never: so it is asked here, before a call. */
static inline bool qp_emitted_owes(const struct qp_emitted *emitted, uint64_t position)
{
    return emitted->cursor.mdb != NULL && position <= emitted->upto;
}

/* The keys of an event can be told, for the first time perhaps: what it owes, it owes for them. */
int qp_emitted_keyed_owed(struct qp_emitted *emitted, const quipu_event *event,
                          struct qp_batch *batch, quipu_error *error);
static inline int qp_emitted_keyed(struct qp_emitted *emitted, const quipu_event *event,
                                   struct qp_batch *batch, quipu_error *error)
{
    return qp_emitted_owes(emitted, event->position)
               ? qp_emitted_keyed_owed(emitted, event, batch, error)
               : QUIPU_OK;
}

/* Before a part of an event is tried for a key: sets `silent`. Then one of both: it was applied, or
 * it is parked, as a whole perhaps: what that owed before it owes still. What they write goes into
 * the batch. Each returns: OK; CORRUPT; IO; NO_MEMORY. */
int qp_emitted_begin_owed(struct qp_emitted *emitted, const quipu_event *event, struct qp_bytes key,
                          uint32_t part, quipu_error *error);
static inline int qp_emitted_begin(struct qp_emitted *emitted, const quipu_event *event,
                                   struct qp_bytes key, uint32_t part, quipu_error *error)
{
    emitted->silent = event->position <= emitted->upto;
    return qp_emitted_owes(emitted, event->position)
               ? qp_emitted_begin_owed(emitted, event, key, part, error)
               : QUIPU_OK;
}

int qp_emitted_applied_owed(struct qp_emitted *emitted, const quipu_event *event,
                            struct qp_bytes key, struct qp_batch *batch, quipu_error *error);
static inline int qp_emitted_applied(struct qp_emitted *emitted, const quipu_event *event,
                                     struct qp_bytes key, struct qp_batch *batch,
                                     quipu_error *error)
{
    return !emitted->silent && qp_emitted_owes(emitted, event->position)
               ? qp_emitted_applied_owed(emitted, event, key, batch, error)
               : QUIPU_OK;
}

int qp_emitted_parked(struct qp_emitted *emitted, const struct qp_parked *parked,
                      struct qp_batch *batch, quipu_error *error);

/* Or the policy passes it over: for its key, or without one for all. */
int qp_emitted_skipped(struct qp_emitted *emitted, const struct qp_parked *skipped,
                       struct qp_batch *batch, quipu_error *error);

/* Somebody wants it no more: what was parked, or a whole event. */
int qp_emitted_forget(struct qp_emitted *emitted, const struct qp_parked *parked,
                      struct qp_batch *batch, quipu_error *error);
int qp_emitted_forget_event(struct qp_emitted *emitted, uint64_t position, struct qp_batch *batch,
                            quipu_error *error);

#endif
