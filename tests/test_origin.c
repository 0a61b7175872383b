/* test_origin.c - origin.c: what /proc says of this process and of others. */
#include "origin.h"
#include "support_suite.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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

static void *wait_for_ever(void *unused)
{
    (void)pause();
    return unused;
}

/* Its first thread ends, another one goes on: /proc says "Z" of it. */
static void end_first_thread(void)
{
    pthread_t other;

    (void)pthread_create(&other, NULL, wait_for_ever, NULL);
    pthread_exit(NULL);
}

static bool first_thread_ended(uint32_t pid)
{
    char command[64];

    (void)snprintf(command, sizeof(command), "grep -q ') Z' /proc/%u/stat", pid);
    return system(command) == 0;
}

Test(origin, a_process_lives_as_long_as_any_thread)
{
    struct qp_origin_watch watch = {0};
    pid_t child = fork();
    uint64_t start;

    if (child == 0)
        end_first_thread();
    start = qp_origin_start_time((uint32_t)child);
    cr_expect_neq(start, 0);
    while (!first_thread_ended((uint32_t)child))
        continue;
    cr_expect_eq(qp_origin_start_time((uint32_t)child), start);
    cr_expect(qp_origin_lives(&watch, (uint32_t)child, start));
    cr_expect(qp_origin_lives(&watch, (uint32_t)child, start), "through its descriptor");
    qp_origin_unwatch(&watch);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
}

Test(origin, a_watch_sees_the_end)
{
    struct qp_origin_watch watch = {0};
    pid_t child = fork();
    siginfo_t info;
    uint64_t start;

    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    start = qp_origin_start_time((uint32_t)child);
    cr_expect_not(qp_origin_lives(&watch, (uint32_t)child, start + 1), "an older one of that pid");
    cr_expect_not(qp_origin_lives(&watch, (uint32_t)child, 0));
    cr_expect_not(qp_origin_lives(&watch, 0, start));
    cr_expect_eq(watch.pid, 0, "no descriptor is kept for them");
    cr_expect(qp_origin_lives(&watch, (uint32_t)child, start));
    cr_expect(qp_origin_lives(&watch, (uint32_t)child, start));
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    cr_expect_not(qp_origin_lives(&watch, (uint32_t)child, start), "a zombie");
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_expect_not(qp_origin_lives(&watch, (uint32_t)child, start));
    cr_expect(qp_origin_lives(&watch, (uint32_t)getpid(), qp_origin_start_time((uint32_t)getpid())),
              "another one in the same place");
    qp_origin_unwatch(&watch);
}

/* A kernel that knows no such descriptors, or forbids them. */
Test(origin, watched_without_a_descriptor)
{
    struct qp_origin_watch watch = {0};
    pid_t child = fork();
    uint64_t start;

    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    start = qp_origin_start_time((uint32_t)child);
    watch = (struct qp_origin_watch){.pid = (uint32_t)child, .fd = -1, .start_time = start};
    cr_expect(qp_origin_lives(&watch, (uint32_t)child, start));
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_expect_not(qp_origin_lives(&watch, (uint32_t)child, start));
    qp_origin_unwatch(&watch);
}

/* A process that has no descriptor left, or may not see others in /proc, knows of none that it is
 * dead. Nothing is said while there is none: the suite itself would need one. */
Test(origin, who_cannot_be_asked_for_may_live)
{
    struct qp_origin_watch watch = {0};
    struct rlimit before;
    struct rlimit none;
    pid_t child = fork();
    uint64_t start;
    uint64_t found;
    enum qp_origin_life life;
    enum qp_origin_life dead;

    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    start = qp_origin_start_time((uint32_t)child);
    (void)getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    (void)setrlimit(RLIMIT_NOFILE, &none);
    found = qp_origin_start_time((uint32_t)child);
    life = qp_origin_lives(&watch, (uint32_t)child, start);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    dead = qp_origin_lives(&watch, (uint32_t)child, start);
    (void)setrlimit(RLIMIT_NOFILE, &before);
    cr_expect_eq(found, QP_ORIGIN_NOT_KNOWN);
    cr_expect_eq(life, QP_ORIGIN_MAY_LIVE);
    cr_expect_eq(watch.pid, 0, "nothing is known, so nothing is kept");
    cr_expect_eq(dead, QP_ORIGIN_GONE, "that there is none can be told");
}
