/* verify_kept.h - the rows of snapshots, held against themselves (docs/FORMAT.md 5.5). */
#ifndef QP_VERIFY_KEPT_H
#define QP_VERIFY_KEPT_H

#include "moment.h"

/* Tell of each that cannot be read, or whose blob cannot be its own. One that no load may use any
 * more is none of that. Other than 0 from `tell` ends it, and is returned. Else: OK; NO_MEMORY; IO.
 */
int qp_verify_kept(struct qp_moment *moment,
                   int (*tell)(void *payload, const char *table, const char *text), void *payload,
                   quipu_error *error);

#endif
