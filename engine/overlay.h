/* overlay.h - what the batches of a group that were decided so far will do to the store: streams
 * with their versions, marks and sources with their numbers, ids with their places, events. The
 * store itself is asked through it. */
#ifndef QP_OVERLAY_H
#define QP_OVERLAY_H

#include "identity.h"
#include "pending.h"

/* A stream, a mark, a source or a projection that the group names. */
struct qp_overlay_name {
    struct qp_bytes name; /* in some batch of the group; data NULL: free */
    uint64_t sum;
    enum qp_step_kind kind;
    uint64_t newest;       /* version, number or sequence, with all batches that hold */
    uint64_t hidden;       /* versions that deleting took */
    uint64_t pending;      /* with the batch being decided */
    uint64_t batch;        /* whose `pending` it is */
    bool missing;          /* a mark or a source that nobody has set yet */
    struct qp_bytes owner; /* of a stream: the projection that owns it, as the group leaves it */
};

/* A zeroed one is empty. */
struct qp_overlay {
    struct qp_overlay_name *table;
    size_t size; /* a power of two */
    size_t count;
    struct qp_ids ids; /* numbers are indexes of `events` */
    struct qp_overlay_event *events;
    size_t event_count;
    size_t event_capacity;
    size_t accepted;           /* events before this one are of earlier batches */
    struct qp_pending pending; /* events of the batches that hold */
    uint64_t batch;            /* number of the batch being decided */
    uint64_t head;             /* of the store before the group */
    int64_t now_ns;            /* on the store's clock */
    uint64_t next_position;
};

/* `head`: of the store before the group. */
void qp_overlay_init(struct qp_overlay *overlay, uint64_t head);
void qp_overlay_release(struct qp_overlay *overlay);

/* The next batch: what an earlier one left that was not accepted does not count any more.
 * NO_MEMORY. */
int qp_overlay_next(struct qp_overlay *overlay, quipu_error *error);

/* What a step names, as the batches before have left it; its batch must outlive the overlay. It
 * stays where it is until the next call. Returns: OK, always for one that was asked for before;
 * CORRUPT; IO; NO_MEMORY. */
int qp_overlay_name(struct qp_overlay *overlay, struct qp_moment *moment,
                    const struct qp_batch *batch, const struct qp_step *step,
                    struct qp_overlay_name **out, quipu_error *error);

/* What is known of an id. */
struct qp_known {
    uint64_t position; /* 0: nothing */
    uint64_t version;
    bool twice; /* an earlier draft of the batch has it too */
};

/* Look an id up in the batches before, in this one, and in the store; then remember it for those
 * that follow. Returns: OK; as qp_identity_find(). */
int qp_overlay_id(struct qp_overlay *overlay, struct qp_moment *moment,
                  const struct qp_identity *identity, struct qp_known *known, quipu_error *error);

/* The batch is accepted: the next of its ids, in the order in which they were looked up, gets its
 * place. */
void qp_overlay_accept_id(struct qp_overlay *overlay, uint64_t position, uint64_t version);

#endif
