/* views.h - the keyed state that projections maintain, and the events that they could not apply:
 * tables `views` and `parked`, both by projection and generation. Takes transactions, never begins
 * one. */
#ifndef QP_VIEWS_H
#define QP_VIEWS_H

#include "batch.h"
#include "blobs.h"

/* One generation of one projection. */
struct qp_view_place {
    struct qp_bytes name;
    uint32_t generation;
};

extern const struct qp_blob_home qp_view_home;

/* The value under a key. As qp_blobs_get(). */
int qp_views_get(struct qp_txn *txn, const struct qp_view_place *place, struct qp_bytes key,
                 struct qp_buffer *assembly, struct qp_bytes *value, quipu_error *error);

/* ---- parked events ---- */

enum qp_parked_flags {
    QP_PARKED_FAILED = 1, /* it was tried; else it waits behind one that was */
    QP_PARKED_REPLAY = 2, /* it is to be tried again */
    QP_PARKED_UNKEYED = 4 /* its keys could not be told: it stands under its stream's name */
};

/* No generation of a view: rows of `parked` that say what is still to be emitted (emitted.h). */
#define QP_OWED_GENERATION 0U

struct qp_parked {
    struct qp_bytes key;
    uint64_t position;
    uint32_t flags;
    uint32_t attempts;
    int64_t first_ns;
    int64_t last_ns;
    int32_t status;
    uint32_t part;          /* of what upcasters made of the event: those before it were applied */
    struct qp_bytes reason; /* at most QP_PARKED_REASON_BYTES, without a 0 */
};

/* Its row as bytes, without the sum, and back; key and position are the key's. false: no such row
 * can be. */
#define QP_PARKED_ROW_BYTES_MAX (44 + QP_PARKED_REASON_BYTES)
size_t qp_parked_write(const struct qp_parked *parked, uint8_t *out);
bool qp_parked_read(struct qp_bytes value, struct qp_parked *parked);

/* Its row, or the end of it, as an effect of a batch. NO_MEMORY. */
int qp_parked_effect(struct qp_batch *batch, const struct qp_view_place *place,
                     const struct qp_parked *parked, bool deletes, quipu_error *error);

/* The first parked event of a key: is it parked? Or the first at or behind a key of the table.
 * `cursor` is one of `parked`. What comes out lives as long as the transaction. Returns: ROW; OK:
 * there is none; CORRUPT; IO. */
int qp_parked_first(struct qp_cursor *cursor, const struct qp_view_place *place,
                    struct qp_bytes key, struct qp_parked *parked, quipu_error *error);

/* The row of one event under one key. */
int qp_parked_find(struct qp_cursor *cursor, const struct qp_view_place *place, struct qp_bytes key,
                   uint64_t position, struct qp_parked *parked, quipu_error *error);

/* The first of all keys, and the next. */
int qp_parked_begin(struct qp_cursor *cursor, const struct qp_view_place *place,
                    struct qp_parked *parked, quipu_error *error);
int qp_parked_next(struct qp_cursor *cursor, const struct qp_view_place *place,
                   struct qp_parked *parked, quipu_error *error);

#endif
