/* decide.h - which batches of a group hold, and what they write: a function of the store as a
 * moment shows it and of the batches' bytes, nothing else (docs/ARCHITECTURE.md 4.2). */
#ifndef QP_DECIDE_H
#define QP_DECIDE_H

#include "overlay.h"

/* Decide one batch after those before it. Fills the results of its steps and the receipt. If it
 * holds its effects are in the overlay; if not, nothing that a later batch sees.
 * Returns: OK; a status for which qp_decide_is_own() is true; IO; NO_MEMORY. */
int qp_decide(struct qp_overlay *overlay, struct qp_moment *moment, struct qp_batch *batch,
              quipu_receipt *receipt, quipu_error *error);

/* Is it about this batch alone, so that the rest of its group goes on? CONFLICT, DUPLICATE_ID,
 * PARTIAL_DUPLICATE and ALREADY_TRACKED; MISUSE: a stream is a projection's; TOO_LARGE: no
 * positions are left; CORRUPT, NEWER_FORMAT: what one of its ids, streams, marks or queries needs
 * cannot be read. */
bool qp_decide_is_own(int status);

#endif
