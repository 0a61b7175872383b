/* test_origin.c - origin.c: what /proc says of this process and of others. */
#include "origin.h"
#include "support_suite.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(origin);

Test(origin, of_one_process_and_its_child)
{
    struct qp_origin own;
    struct qp_origin again;
    quipu_error error = {0};

    memset(&again, 0xaa, sizeof(again));
    cr_assert_eq(qp_origin_read(&own, &error), QUIPU_OK, "%s", error.text);
    cr_assert_eq(qp_origin_read(&again, &error), QUIPU_OK, "%s", error.text);
    cr_expect_eq(memcmp(&own, &again, sizeof(own)), 0);
    cr_expect_eq(strnlen((const char *)own.boot, sizeof(own.boot)), 37, "a UUID and a newline");
    cr_expect_neq(own.pid_namespace, 0);
}

/* A process may give itself any name, also one that looks like the line's end. */
Test(origin, start_time)
{
    uint32_t pid = (uint32_t)getpid();
    uint64_t start = qp_origin_start_time(pid);

    cr_expect_neq(start, 0);
    cr_assert_eq(prctl(PR_SET_NAME, "a) Z 1 2 (b"), 0);
    cr_expect_eq(qp_origin_start_time(pid), start);
    cr_expect_geq(start, qp_origin_start_time((uint32_t)getppid()), "its parent is not younger");
    cr_expect_eq(qp_origin_start_time(UINT32_MAX), 0);
}

Test(origin, the_dead_have_none)
{
    pid_t child = fork();
    siginfo_t info;

    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    cr_expect_neq(qp_origin_start_time((uint32_t)child), 0);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    cr_expect_eq(qp_origin_start_time((uint32_t)child), 0, "a zombie");
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_expect_eq(qp_origin_start_time((uint32_t)child), 0);
}
