/* handle.c - the small things that every layer above asks a handle. Opening and closing is open.c.
 */
#include "handle.h"

#include "status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    KNOWN_FLAGS = QUIPU_OPEN_READ_ONLY | QUIPU_OPEN_EXISTING | QUIPU_OPEN_NEW |
                  QUIPU_OPEN_UNSAFE_PATH | QUIPU_OPEN_NETWORK_FS | QUIPU_OPEN_MERGE_THREAD |
                  QUIPU_OPEN_FULL_CHECK
};

/* What this release does not know is refused, never ignored: a program that asks for a durability
 * must not get another one. */
static int check_options(const quipu_options *options, quipu_error *error)
{
    if ((options->flags & ~(uint32_t)KNOWN_FLAGS) != 0)
        return qp_fail(error, QUIPU_MISUSE, "unknown flags of open: %x",
                       options->flags & ~(uint32_t)KNOWN_FLAGS);
    if ((options->flags & QUIPU_OPEN_NEW) != 0 &&
        (options->flags & (QUIPU_OPEN_EXISTING | QUIPU_OPEN_READ_ONLY)) != 0)
        return qp_fail(error, QUIPU_MISUSE, "NEW goes neither with EXISTING nor with READ_ONLY");
    if ((options->flags & QUIPU_OPEN_MERGE_THREAD) != 0 &&
        (options->flags & QUIPU_OPEN_READ_ONLY) != 0)
        return qp_fail(error, QUIPU_MISUSE, "READ_ONLY has nothing to do for a MERGE_THREAD");
    if (options->durability != QUIPU_SYNC && options->durability != QUIPU_LAZY)
        return qp_fail(error, QUIPU_MISUSE, "unknown durability %u", options->durability);
    if (options->async_pending_max > QP_ASYNC_PENDING_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "async_pending_max is over %d",
                       QP_ASYNC_PENDING_MAX);
    if (options->data_bytes_max > QP_DATA_BYTES_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "data_bytes_max is over %llu",
                       (unsigned long long)QP_DATA_BYTES_MAX);
    if (options->batch_events_max > QP_BATCH_EVENTS_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "batch_events_max is over %llu",
                       (unsigned long long)QP_BATCH_EVENTS_MAX);
    if (options->batch_bytes_max > QP_BATCH_BYTES_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "batch_bytes_max is over %llu",
                       (unsigned long long)QP_BATCH_BYTES_MAX);
    if (options->readers_max > QP_READERS_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "readers_max is over %d", QP_READERS_MAX);
    return QUIPU_OK;
}

/* Defaults are filled in here and nowhere else, so that the options of two opens can be compared.
 */
int qp_options_resolve(const quipu_options *given, quipu_options *out, quipu_error *error)
{
    int rc;

    *out = (quipu_options){0};
    if (given != NULL) {
        size_t size = given->struct_size != 0 ? given->struct_size : sizeof(*given);

        if (size > sizeof(*out))
            return qp_fail(error, QUIPU_MISUSE, "quipu_options is of a newer release (%zu bytes)",
                           size);
        memcpy(out, given, size);
    }
    out->struct_size = sizeof(*out);
    rc = check_options(out, error);
    if (rc < 0)
        return rc;
    if (out->busy_timeout_ms == 0)
        out->busy_timeout_ms = QP_BUSY_TIMEOUT_MS_DEFAULT;
    if (out->map_bytes == 0)
        out->map_bytes = QP_LOG_MAP_BYTES_DEFAULT;
    if (out->tail_bytes_max == 0)
        out->tail_bytes_max = QP_TAIL_BYTES_DEFAULT;
    if (out->tail_bytes_max < QP_TAIL_BYTES_MIN)
        out->tail_bytes_max = QP_TAIL_BYTES_MIN;
    if (out->readers_max == 0)
        out->readers_max = QP_READERS_DEFAULT;
    if (out->data_bytes_max == 0)
        out->data_bytes_max = QP_DATA_BYTES_DEFAULT;
    if (out->batch_events_max == 0)
        out->batch_events_max = QP_BATCH_EVENTS_DEFAULT;
    if (out->async_pending_max == 0)
        out->async_pending_max = QP_ASYNC_PENDING_DEFAULT;
    if (out->batch_bytes_max == 0)
        out->batch_bytes_max = QP_BATCH_BYTES_DEFAULT;
    return QUIPU_OK;
}

void qp_handle_tell(const struct qp_handle *handle, int level, const char *format, ...)
{
    char text[240];
    va_list values;

    if (handle->options.log == NULL)
        return;
    va_start(values, format);
    (void)vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    handle->options.log(handle->options.log_payload, level, text);
}

/* One look at a page that the kernel wipes in a child (MADV_WIPEONFORK): getpid() would be a system
 * call each time, and wrong in a child with the parent's pid in another namespace. */
bool qp_handle_forked(const struct qp_handle *handle)
{
    assert(handle->alive != NULL);
    return *(const volatile unsigned char *)handle->alive == 0 && !QP_MUTANT(FORK_UNSEEN);
}
