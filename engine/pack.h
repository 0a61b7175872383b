/* pack.h - msgpack, the only door to msgpack-c. Allocates nothing, recurses nowhere. */
#ifndef QP_PACK_H
#define QP_PACK_H

#include "member.h"

/* Exactly one whole value, at most 32 levels deep? */
bool qp_pack_whole(const void *bytes, size_t size);

/* The last member called `name` of the map that the bytes are. OTHER if there is none. */
void qp_pack_member(struct qp_bytes map, struct qp_bytes name, struct qp_member *out);

#endif
