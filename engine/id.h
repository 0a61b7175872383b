/* id.h - event ids that programs ask for: new ones, and such as follow from a key. */
#ifndef QP_ID_H
#define QP_ID_H

#include "base.h"

#define QP_ID_RANDOM_BYTES 8

/* A UUID of version 7 from what it is made of. Pure. */
void qp_id_time(int64_t wall_ns, const uint8_t random[QP_ID_RANDOM_BYTES], uint8_t id[16]);

/* Bytes that two calls get by accident only, in whatever thread or process: the system's random
 * ones, or, where it refuses them, what qp_id_unique() makes. */
void qp_id_random(uint8_t random[QP_ID_RANDOM_BYTES]);
void qp_id_unique(uint8_t random[QP_ID_RANDOM_BYTES]);

/* A UUID of version 8 from bytes: the same bytes, the same id, in every release. */
void qp_id_from(const void *key, size_t size, uint8_t id[16]);

#endif
