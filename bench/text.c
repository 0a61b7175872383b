/* text.c - the one place where results of the printf family are let go, on purpose. */
#include "text.h"

#include <stdarg.h>

void bench_text_set(char *out, size_t capacity, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(out, capacity, format, arguments);
    va_end(arguments);
}

void bench_text_put(FILE *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vfprintf(out, format, arguments);
    va_end(arguments);
}

int bench_failure_set(struct bench_failure *failure, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(failure->text, sizeof(failure->text), format, arguments);
    va_end(arguments);
    return -1;
}
