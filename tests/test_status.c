/* test_status.c - status.c: names, numbers that never change, texts that fit. */
#include "status.h"
#include "support_suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(status);

static const struct {
    int status;
    const char *name;
} names[] = {
    {0, "OK"},
    {1, "ROW"},
    {-1, "CONFLICT"},
    {-2, "DUPLICATE_ID"},
    {-3, "PARTIAL_DUPLICATE"},
    {-4, "ALREADY_TRACKED"},
    {-5, "LEASE_LOST"},
    {-6, "NOT_FOUND"},
    {-7, "DELETED"},
    {-8, "TARGET_EXISTS"},
    {-9, "MISUSE"},
    {-10, "INVALID"},
    {-11, "TOO_LARGE"},
    {-12, "BUSY"},
    {-13, "FULL"},
    {-14, "IO"},
    {-15, "CORRUPT"},
    {-16, "NO_MEMORY"},
    {-17, "NEWER_FORMAT"},
    {-18, "FORKED"},
    {-19, "UNSAFE"},
    {-20, "READ_ONLY"},
    {-21, "CLOSED"},
    {-22, "TIMEOUT"},
    {-23, "FAULTED"},
    {-24, "SYSTEM"},
    {-25, "IN_DOUBT"},
    {-26, "UNKNOWN"},
    {-999, "UNKNOWN"},
    {2, "UNKNOWN"},
    {INT32_MAX, "UNKNOWN"},
    {-1000, "APPLICATION"},
    {-1001, "APPLICATION"},
    {INT32_MIN, "APPLICATION"},
};

Test(status, names_and_numbers)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cr_expect_str_eq(qp_status_name(names[i].status), names[i].name, "%d", names[i].status);
}

Test(status, fail_fills_everything)
{
    quipu_error error;

    memset(&error, 0xff, sizeof(error));
    cr_expect_eq(qp_fail(&error, QUIPU_INVALID, "%s has %d", "it", 7), QUIPU_INVALID);
    cr_expect_eq(error.status, QUIPU_INVALID);
    cr_expect_eq(error.os_error, 0);
    cr_expect_str_eq(error.text, "it has 7");
    cr_expect_eq(qp_fail(NULL, QUIPU_BUSY, "x"), QUIPU_BUSY);
    cr_expect_eq(qp_fail_os(NULL, QUIPU_SYSTEM, EIO, "x"), QUIPU_SYSTEM);
    cr_expect_eq(qp_fail_memory(NULL), QUIPU_NO_MEMORY);
    cr_expect_eq(qp_fail_memory(&error), QUIPU_NO_MEMORY);
    cr_expect_eq(error.status, QUIPU_NO_MEMORY);
}

Test(status, fail_os_adds_the_errno)
{
    quipu_error error;

    cr_expect_eq(qp_fail_os(&error, QUIPU_IO, ENOENT, "open %s", "x"), QUIPU_IO);
    cr_expect_eq(error.os_error, ENOENT);
    cr_expect_str_eq(error.text, "open x: No such file or directory");
    (void)qp_fail_os(&error, QUIPU_IO, 99999, "open");
    cr_expect_str_eq(error.text, "open: unknown errno");
}

Test(status, texts_are_cut_at_the_capacity)
{
    char *text = support_repeat('a', 1000);
    quipu_error error;

    for (int size = 200; size < 300; size++) {
        size_t kept = (size_t)size < sizeof(error.text) ? (size_t)size : sizeof(error.text) - 1;

        memset(&error, 0x7f, sizeof(error));
        (void)qp_fail(&error, QUIPU_IO, "%.*s", size, text);
        cr_expect_eq(strnlen(error.text, sizeof(error.text)), kept, "%d", size);
        memset(&error, 0x7f, sizeof(error));
        (void)qp_fail_os(&error, QUIPU_IO, EIO, "%.*s", size, text);
        cr_expect_lt(strnlen(error.text, sizeof(error.text)), sizeof(error.text), "%d", size);
        cr_expect_eq(strncmp(error.text, text, kept), 0, "%d", size);
    }
    free(text);
}
