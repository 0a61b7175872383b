/* support_suite.h - Criterion's side of support.h. */
#ifndef SUPPORT_SUITE_H
#define SUPPORT_SUITE_H

#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* A failed expectation here is printed and does not count, nor does an exit code; a crash makes the
 * whole program fail, though Criterion counts the test as passed. */
static inline void support_suite_end(void)
{
    const char *wrong = support_end();

    if (wrong == NULL)
        return;
    (void)fprintf(stderr, "after the test: %s\n", wrong);
    abort();
}

/* The suite of a file: a scratch directory, and no leaks. */
#define SUPPORT_SUITE(name) TestSuite(name, .init = support_begin, .fini = support_suite_end)

/* Two runs of bytes. */
#define support_expect_bytes(a, a_size, b, b_size, ...)                                            \
    cr_expect((a_size) == (b_size) && memcmp((a), (b), (a_size)) == 0, __VA_ARGS__)

#endif
