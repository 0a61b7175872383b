/* status.c - the only place where statuses get their names and errors their text. */
#include "status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* From the one table of the public header. Any number gets a name: an application has numbers of
 * its own, from QUIPU_APPLICATION downwards. */
const char *qp_status_name(int status)
{
    switch (status) {
#define QUIPU_X(name, number, exit_code, text)                                                     \
    case number:                                                                                   \
        return #name;
        QUIPU_STATUS_MAP(QUIPU_X)
#undef QUIPU_X
    case QUIPU_OK:
        return "OK";
    case QUIPU_ROW:
        return "ROW";
    default:
        return status <= QUIPU_APPLICATION ? "APPLICATION" : "UNKNOWN";
    }
}

/* A line that filled the text leaves no room for the errno's own, which still stands as a number.
 */
static void fill(quipu_error *error, int status, int os_error, const char *format, va_list values)
{
    int length;

    assert(status < 0 && format != NULL);
    if (error == NULL)
        return;
    error->status = status;
    error->os_error = os_error;
    length = vsnprintf(error->text, sizeof(error->text), format, values);
    if (length < 0 || os_error == 0 || (size_t)length >= sizeof(error->text))
        return;
    (void)snprintf(error->text + length, sizeof(error->text) - (size_t)length, ": %s",
                   strerrordesc_np(os_error) != NULL ? strerrordesc_np(os_error) : "unknown errno");
}

int qp_fail(quipu_error *error, int status, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    fill(error, status, 0, format, values);
    va_end(values);
    return status;
}

int qp_fail_os(quipu_error *error, int status, int os_error, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    fill(error, status, os_error, format, values);
    va_end(values);
    return status;
}
