/* status.h - statuses and the text that explains one. */
#ifndef QP_STATUS_H
#define QP_STATUS_H

#include "base.h"

const char *qp_status_name(int status);

/* Fill `error` (may be NULL) with a status and one line of text, cut at its capacity. Returns
 * `status`, so that a failing function ends in `return qp_fail(...)`. */
int qp_fail(quipu_error *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with an errno, whose own text is added after the line. */
int qp_fail_os(quipu_error *error, int status, int os_error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Memory is out: one place for the text. */
static inline int qp_fail_memory(quipu_error *error)
{
    (void)qp_fail(error, QUIPU_NO_MEMORY, "out of memory");
    return QUIPU_NO_MEMORY;
}

#endif
