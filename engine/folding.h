/* folding.h - events into a sheet, by a projection's functions: one page of one projection, whoever
 * runs it and wherever the events come from. Owns what becomes of an event that cannot be applied.
 *
 * Knows nothing of marks, leases and commits. Not for two threads at once. */
#ifndef QP_FOLDING_H
#define QP_FOLDING_H

#include "emitted.h"
#include "handle.h"
#include "keys.h"
#include "query.h"
#include "upcast.h"

struct qp_folding;

/* A projection as it was checked and copied. */
struct qp_projection {
    char name[QP_OWNER_NAME_MAX + 1];
    struct qp_bytes name_bytes;
    uint32_t version;
    uint32_t mode;   /* quipu_projection_mode */
    uint32_t policy; /* quipu_fault_policy */
    uint32_t retries;
    uint32_t page_events;
    struct qp_query query;
    const quipu_projection *given; /* its functions and payload: a copy as well */
    /* They run given->keys and given->apply with the public handle of the folding. `keys` NULL: the
     * stream is the key. */
    int (*keys)(struct qp_folding *folding, const quipu_event *event, quipu_error *error);
    int (*apply)(struct qp_folding *folding, struct qp_bytes key, const quipu_event *event,
                 quipu_error *error);
};

/* Why an event could not be applied, and for which key. */
struct qp_fault {
    uint64_t position;
    int32_t status;
    uint8_t key[QP_VIEW_KEY_MAX];
    size_t key_size;
    char text[240];
};

enum qp_folding_emits {
    QP_EMITS_REFUSED, /* an inline or a live one has no batch to emit into */
    QP_EMITS_IGNORED, /* nothing is kept of this fold */
    QP_EMITS_TAKEN
};

/* May it go on? Asked between events, and before it waits to try one again. */
typedef bool (*qp_folding_ask_fn)(void *payload);

struct qp_folding {
    struct qp_handle *handle;
    const struct qp_projection *projection;
    struct qp_sheet sheet;
    struct qp_upcast upcast;
    struct qp_cursor parked;     /* in the sheet's snapshot; not open: nothing was parked there */
    struct qp_sheet parked_here; /* keys parked by this page: the position of the last event */
    struct qp_bytes exempt;      /* a key whose parked event is being replayed: size 0: none */
    bool keying;                 /* `keys` runs, and not `apply` */
    struct qp_batch *batch;      /* emitted events, and rows of parked ones */
    struct qp_emitted emitted;   /* before, and what is owed */
    enum qp_folding_emits emits;
    struct qp_txn *owners; /* says whose streams are, to pass over its own events; NULL: nobody's */
    bool shares;           /* events before this one have emitted into the batch */
    bool waits;            /* it may sleep before it tries again */
    bool quiet;            /* what fails is told by another fold of the same events */
    qp_folding_ask_fn ask; /* NULL: nobody asks */
    void *ask_payload;
    int64_t now_ns;           /* on the store's clock */
    struct qp_keys keys;      /* of the part under way */
    struct qp_buffer told;    /* of all parts: size u32, keys.all; empty: not asked for before */
    size_t told_at;           /* those of the next part */
    const quipu_event *event; /* the stored one under way */
    uint64_t applied;         /* events */
    uint64_t failed;          /* all attempts in vain, by key */
    uint64_t skipped;         /* that the policy passed over, by key */
    int64_t parked_more;      /* rows of `parked`, against before */
    struct qp_fault fault;    /* the last one */
    quipu_error failure;      /* of a page's call, and not of the function that made it */
};

/* `folding` is zeroed but for what its caller wants: `batch`, `emitted`, `emits`, `owners`,
 * `waits`, `quiet`, `ask`. `txn`: the snapshot of the view below, NULL without one; `place`: the
 * generation that is folded. `any_parked`: it has parked events. Release it in any case. Returns:
 * OK; as qp_cursor_open(). */
int qp_folding_begin(struct qp_folding *folding, struct qp_handle *handle,
                     const struct qp_projection *projection, struct qp_txn *txn,
                     const struct qp_view_place *place, bool any_parked, quipu_error *error);
void qp_folding_release(struct qp_folding *folding);

/* Fold a stored event. Returns: OK: applied, parked or passed over; FAULTED: the policy is to stop,
 * `fault` says why; TOO_LARGE: what it emits has no room beside what was emitted before,
 * `fault` says where; CLOSED: `ask` says no; NO_MEMORY, CORRUPT, IO, FULL: the page cannot go on.
 * After a failure the sheet may have a part of the event: nothing of the page can be used. */
int qp_folding_event(struct qp_folding *folding, const quipu_event *event, quipu_error *error);

/* FAULTED, with at which event it stops and why. */
int qp_folding_stopped(const struct qp_folding *folding, quipu_error *error);

/* Fold a parked event again, for its key alone, and write what becomes of its row. Returns: ROW: it
 * is applied, and parked no more; OK: it failed again; TOO_LARGE: it is for the next page; else as
 * qp_folding_event(). */
int qp_folding_replay(struct qp_folding *folding, const struct qp_parked *parked,
                      const quipu_event *event, quipu_error *error);

/* The page is full: it is to be tried again by the next one. */
int qp_folding_replay_later(struct qp_folding *folding, const struct qp_parked *parked,
                            quipu_error *error);

/* ---- what the functions call ---- */

/* For `keys`: a key of the event. INVALID, TOO_LARGE; NO_MEMORY. */
int qp_folding_key(struct qp_folding *folding, struct qp_bytes key);

/* For `apply`. As the sheet's; INVALID, TOO_LARGE: the key or the value. */
int qp_folding_get(struct qp_folding *folding, struct qp_bytes key, struct qp_bytes *value);
int qp_folding_put(struct qp_folding *folding, struct qp_bytes key, struct qp_bytes value);

/* For what functions call: a failure of the page is kept, so that whatever the function makes of it
 * it cannot be taken for a fault. Returns `rc`. */
int qp_folding_note(struct qp_folding *folding, int rc, const quipu_error *error);

#endif
