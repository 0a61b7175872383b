/* text.h - formatted text into fixed space, to the reader, and into a failure. */
#ifndef BENCH_TEXT_H
#define BENCH_TEXT_H

#include <stddef.h>
#include <stdio.h>

struct bench_failure {
    char text[256]; /* one line: what, which */
};

/* What does not fit is cut off. */
__attribute__((format(printf, 3, 4))) void bench_text_set(char *out, size_t capacity,
                                                          const char *format, ...);

/* Write to a stream that is checked once, in the end. */
__attribute__((format(printf, 2, 3))) void bench_text_put(FILE *out, const char *format, ...);

/* Say why something failed. Returns: -1, for the caller to pass up. */
__attribute__((format(printf, 2, 3))) int bench_failure_set(struct bench_failure *failure,
                                                            const char *format, ...);

#endif
