/* identity.h - where in a stream an event with a given id stands (docs/ARCHITECTURE.md 4.2). */
#ifndef QP_IDENTITY_H
#define QP_IDENTITY_H

#include "moment.h"

struct qp_identity {
    struct qp_bytes stream;
    const uint8_t *id; /* 16 bytes */
    uint8_t name[QP_ID_NAME_BYTES];
};

/* `stream_sum` is qp_sum() of the stream's name. Views: both must outlive it. */
void qp_identity_init(struct qp_identity *identity, struct qp_bytes stream, uint64_t stream_sum,
                      const uint8_t id[16]);

/* The oldest event of the moment with this id in this stream. Returns: ROW with its position and
 * version; OK: there is none; CORRUPT; NEWER_FORMAT; NO_MEMORY; IO. */
int qp_identity_find(const struct qp_identity *identity, struct qp_moment *moment,
                     uint64_t *position, uint64_t *version, quipu_error *error);

#endif
