/* projections.h - what is known of a projection beside its view: how far it is, who runs it, what
 * it stopped at. One row of `marks` each, which changes only as a whole: who proposes a change says
 * which `sequence` he has seen, so that two proposals on one row cannot both hold. */
#ifndef QP_PROJECTIONS_H
#define QP_PROJECTIONS_H

#include "table.h"

/* What begins with this and goes on with a projection's name is the generation that it builds
 * beside the view. */
#define QP_REBUILD "$rebuild:"

/* Does it? Then `*name` goes on with the projection's. */
bool qp_rebuild_name(struct qp_bytes *name);

enum qp_projection_flags {
    QP_PROJECTION_PAUSED = 1,
    QP_PROJECTION_STOPPED = 2, /* at an event that it could not apply: `fault` */
    QP_PROJECTION_INLINE = 4,
    QP_PROJECTION_UNCLEAN = 16,  /* rows of generations that are gone may be left */
    QP_PROJECTION_REPLAYS = 32,  /* parked events are to be tried again */
    QP_PROJECTION_REBUILDS = 64, /* it was told to be built anew */
    QP_PROJECTION_DELETED = 128, /* nothing is left to see; its rows are on their way out */
    QP_PROJECTION_FLAGS = 247    /* all of them: 8 is none */
};

struct qp_projection_row {
    uint64_t sequence;   /* of changes, from the clock at the first; given when it is written */
    uint64_t mark;       /* the view is the fold of the log up to here */
    int64_t changed_ns;  /* the store's clock at the last change; given when it is written */
    uint32_t generation; /* of the view */
    uint32_t version;    /* of the function that made it */
    uint32_t flags;
    uint32_t next_generation;

    /* Being built beside it. */
    uint32_t building; /* its generation; 0: nothing is */
    uint32_t building_version;
    uint64_t building_mark;

    /* Who runs it: a process by its slot, and the token of this very lease. */
    uint64_t token;
    uint32_t owner_slot;
    uint32_t owner_generation;
    uint32_t owner_pid; /* 0: nobody does */
    int64_t lease_until_ns;

    uint64_t applied; /* events, to the generation that is being folded */
    uint64_t parked;  /* events that wait in `parked`, of the view's generation */
    uint64_t building_parked;
    uint64_t emitted; /* what events up to here made was emitted: a rebuild begins after them */

    /* What it stopped at. */
    uint64_t fault_position;
    int64_t fault_ns;
    int32_t fault_status;
    uint32_t fault_key_size;
    uint32_t fault_text_size;
    uint8_t fault_key[QP_VIEW_KEY_MAX];
    char fault_text[240]; /* without a 0 */
};

#define QP_PROJECTION_ROW_BYTES_MAX 656

/* A row as bytes, without its sum, and back. false: no such row can be. */
size_t qp_projection_write(const struct qp_projection_row *row, uint8_t *out);
bool qp_projection_read(struct qp_bytes value, struct qp_projection_row *row);

/* What is wrong with a row that could be read, whatever the log is like; NULL: nothing. */
const char *qp_projection_wrong(const struct qp_projection_row *row);

/* What it says, as the public status. */
enum quipu_projection_status qp_projection_status(const struct qp_projection_row *row,
                                                  uint64_t head);

/* FAULTED, with at which event it has stopped and why. */
int qp_projection_stopped(struct qp_bytes name, const struct qp_projection_row *row,
                          quipu_error *error);

/* Its next sequence, when it changes at that time of the store's clock. Those of one name never
 * come again, though the projection is deleted and made anew: they begin at the clock. */
uint64_t qp_projection_next(uint64_t sequence, int64_t now_ns);

/* What was built beside the view takes its place. */
void qp_projection_swap(struct qp_projection_row *row);

/* Returns: ROW; OK: there is none, and `*row` is zeroed; CORRUPT; IO. */
int qp_projections_get(struct qp_txn *txn, struct qp_bytes name, struct qp_projection_row *row,
                       quipu_error *error);

/* `row` as qp_projection_write() made it; sequence and time are stamped into it. */
int qp_projections_put(struct qp_txn *txn, struct qp_bytes name, uint8_t *row, size_t size,
                       uint64_t sequence, int64_t now_ns, quipu_error *error);
int qp_projections_delete(struct qp_txn *txn, struct qp_bytes name, quipu_error *error);

/* The next projection after the one that a cursor of `marks` stands at. CORRUPT is told with its
 * name. Returns: ROW; OK: no more. */
int qp_projections_next(struct qp_cursor *cursor, bool *begun, struct qp_bytes *name,
                        struct qp_projection_row *row, quipu_error *error);

#endif
