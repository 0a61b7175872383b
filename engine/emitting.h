/* emitting.h - events that a projection makes. */
#ifndef QP_EMITTING_H
#define QP_EMITTING_H

#include "folding.h"

/* An event of the projection's own, in a stream of its own, by its `apply`. MISUSE: no such page
 * can, or the stream is somebody else's; INVALID, TOO_LARGE: the draft, or there is no room. */
int qp_emit(struct qp_folding *folding, const char *stream, const quipu_draft *draft);

#endif
