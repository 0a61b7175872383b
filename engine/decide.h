/* decide.h - which batches of a group hold, and what they write: a function of the store as a
 * moment shows it and of the batches' bytes, nothing else (docs/ARCHITECTURE.md 4.2). */
#ifndef QP_DECIDE_H
#define QP_DECIDE_H

#include "batch.h"
#include "moment.h"

/* What the batches decided so far will do: stream -> newest version, and id -> event. */
struct qp_overlay {
    struct qp_overlay_entry *table;
    size_t size; /* a power of two */
    size_t count;
    struct qp_ids ids; /* numbers are indexes of `events` */
    struct qp_overlay_event *events;
    size_t event_count;
    size_t event_capacity;
    size_t batch_events; /* where those of the batch being decided begin */
    uint64_t batch;      /* number of the batch being decided */
    uint64_t next_position;
};

/* `head`: of the store before the group. */
void qp_overlay_init(struct qp_overlay *overlay, uint64_t head);
void qp_overlay_release(struct qp_overlay *overlay);

/* Decide one batch after those before it. Fills the results of its steps and the receipt. If it
 * holds its effects are in the overlay; if not it leaves nothing there.
 * Returns: OK; a status that qp_decide_is_own() says of; IO, NO_MEMORY.
 */
int qp_decide(struct qp_overlay *overlay, struct qp_moment *moment, struct qp_batch *batch,
              quipu_receipt *receipt, quipu_error *error);

/* Is it about this batch alone, so that the rest of its group goes on? CONFLICT, DUPLICATE_ID and
 * PARTIAL_DUPLICATE; TOO_LARGE: no positions are left; CORRUPT, NEWER_FORMAT: what the index names
 * for one of its ids or streams cannot be read. */
bool qp_decide_is_own(int status);

#endif
