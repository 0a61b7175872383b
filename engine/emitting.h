/* emitting.h - events that a projection makes. */
#ifndef QP_EMITTING_H
#define QP_EMITTING_H

#include "folding.h"

/* For `apply`: an event of the projection's own, in a stream of its own. Returns: OK: it is in the
 * batch, or need not be, as it was emitted before; MISUSE: no such page can, or the stream is
 * somebody else's; INVALID: a name or tag; TOO_LARGE: the draft, or there is no room; what the page
 * fails with, which is noted: NO_MEMORY, CORRUPT, IO, FULL. */
int qp_emit(struct qp_folding *folding, const char *stream, const quipu_draft *draft);

#endif
