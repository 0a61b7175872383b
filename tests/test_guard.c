/* test_guard.c - guard.c: locks of two descriptors exclude each other byte by byte, and go with
 * their descriptor and nobody else's. */
#include "clock.h"
#include "guard.h"
#include "support_events.h"
#include "support_suite.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct qp_place place;
static struct qp_guard one;
static struct qp_guard two;

static void begin(void)
{
    support_begin();
    place = (struct qp_place){.fd = open(support_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (place.fd < 0 || qp_guard_open(&place, &one, NULL) < 0 ||
        qp_guard_open(&place, &two, NULL) < 0)
        abort();
}

static void end(void)
{
    qp_guard_close(&one);
    qp_guard_close(&two);
    (void)close(place.fd);
    support_suite_end();
}

TestSuite(guard, .init = begin, .fini = end);

static const enum qp_guard_byte bytes[] = {QP_GUARD_DOOR, QP_GUARD_LIFE, QP_GUARD_MERGER};

static bool try(const struct qp_guard *guard, enum qp_guard_byte byte, enum qp_guard_mode mode)
{
    int rc = qp_guard_try(guard, byte, mode, NULL);

    cr_assert_geq(rc, 0);
    return rc == QUIPU_ROW;
}

Test(guard, exclusive_and_shared)
{
    static const struct {
        enum qp_guard_mode held;
        enum qp_guard_mode wanted;
        bool got;
    } cases[] = {
        {QP_GUARD_SHARED, QP_GUARD_SHARED, true},
        {QP_GUARD_SHARED, QP_GUARD_EXCLUSIVE, false},
        {QP_GUARD_EXCLUSIVE, QP_GUARD_SHARED, false},
        {QP_GUARD_EXCLUSIVE, QP_GUARD_EXCLUSIVE, false},
    };

    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
            cr_expect(try(&one, bytes[i], cases[j].held));
            cr_expect_eq(try(&two, bytes[i], cases[j].wanted), cases[j].got, "byte %zu, case %zu",
                         i, j);
            qp_guard_unlock(&two, bytes[i]);
            qp_guard_unlock(&one, bytes[i]);
            cr_expect(try(&two, bytes[i], QP_GUARD_EXCLUSIVE));
            qp_guard_unlock(&two, bytes[i]);
        }
    }
}

Test(guard, bytes_are_apart)
{
    for (size_t i = 0; i < 3; i++) {
        cr_expect(try(&one, bytes[i], QP_GUARD_EXCLUSIVE));
        for (size_t j = 0; j < 3; j++)
            if (j != i)
                cr_expect(try(&two, bytes[j], QP_GUARD_EXCLUSIVE), "%zu and %zu", i, j);
        for (size_t j = 0; j < 3; j++)
            if (j != i)
                qp_guard_unlock(&two, bytes[j]);
        qp_guard_unlock(&one, bytes[i]);
    }
}

Test(guard, mode_can_be_changed)
{
    cr_expect(try(&one, QP_GUARD_LIFE, QP_GUARD_EXCLUSIVE));
    cr_expect(try(&one, QP_GUARD_LIFE, QP_GUARD_SHARED));
    cr_expect(try(&two, QP_GUARD_LIFE, QP_GUARD_SHARED));
    cr_expect_not(try(&one, QP_GUARD_LIFE, QP_GUARD_EXCLUSIVE));
    cr_expect_not(try(&two, QP_GUARD_LIFE, QP_GUARD_EXCLUSIVE), "the first still shares it");
    qp_guard_unlock(&two, QP_GUARD_LIFE);
    cr_expect(try(&one, QP_GUARD_LIFE, QP_GUARD_EXCLUSIVE));
}

Test(guard, locks_end_with_their_descriptor)
{
    cr_expect(try(&one, QP_GUARD_LIFE, QP_GUARD_EXCLUSIVE));
    qp_guard_close(&one);
    cr_expect_eq(one.fd, -1);
    cr_expect(try(&two, QP_GUARD_LIFE, QP_GUARD_EXCLUSIVE));
    qp_guard_unlock(&one, QP_GUARD_LIFE);
    qp_guard_close(&one);
}

/* POSIX locks would end when anybody in the process closes the file. */
Test(guard, another_descriptor_closed_ends_nothing)
{
    struct qp_guard three;

    cr_expect(try(&one, QP_GUARD_LIFE, QP_GUARD_EXCLUSIVE));
    cr_assert_eq(qp_guard_open(&place, &three, NULL), QUIPU_OK);
    cr_expect_eq(three.inode, one.inode);
    qp_guard_close(&three);
    cr_expect_not(try(&two, QP_GUARD_LIFE, QP_GUARD_SHARED));
}

/* A forked child shares the descriptor: its close ends nothing, nor does its end. */
Test(guard, forked_child_closes)
{
    pid_t child;
    int status = 0;

    cr_expect(try(&one, QP_GUARD_LIFE, QP_GUARD_EXCLUSIVE));
    child = fork();
    if (child == 0) {
        qp_guard_close(&one);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
    cr_expect_not(try(&two, QP_GUARD_LIFE, QP_GUARD_SHARED));
}

/* ... and while it lives, the parent's close does not end them either. */
Test(guard, forked_child_keeps)
{
    int pipes[2];
    pid_t child;
    char byte;

    cr_assert_eq(pipe(pipes), 0);
    cr_expect(try(&one, QP_GUARD_LIFE, QP_GUARD_EXCLUSIVE));
    child = fork();
    if (child == 0) {
        (void)close(pipes[1]);
        _exit(read(pipes[0], &byte, 1) == 0 ? 0 : 1);
    }
    qp_guard_close(&one);
    cr_expect_not(try(&two, QP_GUARD_LIFE, QP_GUARD_SHARED));
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_expect(try(&two, QP_GUARD_LIFE, QP_GUARD_SHARED));
}

Test(guard, lock_waits_until_its_deadline)
{
    static const int64_t wait_ms[] = {0, 30};
    quipu_error error = {0};

    cr_expect_eq(qp_guard_lock(&one, QP_GUARD_DOOR, QP_GUARD_EXCLUSIVE, 0, &error), QUIPU_OK,
                 "free: a deadline in the past is no failure");
    for (size_t i = 0; i < 2; i++) {
        int64_t begun = qp_clock_monotonic_ns();
        int64_t waited;

        cr_expect_eq(qp_guard_lock(&two, QP_GUARD_DOOR, QP_GUARD_EXCLUSIVE,
                                   begun + wait_ms[i] * QP_NS_PER_MS, &error),
                     QUIPU_BUSY);
        waited = qp_clock_monotonic_ns() - begun;
        cr_expect_geq(waited, wait_ms[i] * QP_NS_PER_MS);
        cr_expect_lt(waited, 10 * QP_NS_PER_S);
        cr_expect_eq(error.status, QUIPU_BUSY);
    }
}

Test(guard, lock_comes_when_it_is_free)
{
    int pipes[2];
    char byte = 0;
    pid_t child;

    cr_assert_eq(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        struct qp_guard mine;

        if (qp_guard_open(&place, &mine, NULL) < 0 ||
            qp_guard_try(&mine, QP_GUARD_DOOR, QP_GUARD_EXCLUSIVE, NULL) != QUIPU_ROW ||
            write(pipes[1], "x", 1) != 1)
            _exit(1);
        qp_clock_sleep_ms(30);
        _exit(0); /* which ends its lock */
    }
    cr_assert_eq(read(pipes[0], &byte, 1), 1);
    cr_expect_not(try(&one, QP_GUARD_DOOR, QP_GUARD_EXCLUSIVE));
    cr_expect_eq(
        qp_guard_lock(&one, QP_GUARD_DOOR, QP_GUARD_EXCLUSIVE, qp_clock_deadline_ns(10000), NULL),
        QUIPU_OK);
    cr_assert_eq(waitpid(child, NULL, 0), child);
}

/* ---- the file ---- */

Test(guard, file_is_private_and_closed_on_exec)
{
    char path[SUPPORT_PATH_BYTES];
    struct stat info;

    cr_assert_eq(stat(support_path(path, QP_GUARD_FILE), &info), 0);
    cr_expect_eq(info.st_mode & 07777, 0600);
    cr_expect_eq(info.st_ino, one.inode);
    cr_expect_neq(fcntl(one.fd, F_GETFD) & FD_CLOEXEC, 0);
}

Test(guard, what_is_no_file_is_refused)
{
    char path[SUPPORT_PATH_BYTES];
    char target[SUPPORT_PATH_BYTES];
    struct qp_guard guard;

    (void)support_path(path, QP_GUARD_FILE);
    (void)support_path(target, "target");
    cr_assert(support_write_file(target, "", 0));
    for (int i = 0; i < 3; i++) {
        support_remove(path);
        cr_assert_eq(i == 0   ? symlink(target, path)
                     : i == 1 ? mkfifo(path, 0600)
                              : mkdir(path, 0700),
                     0);
        cr_expect_eq(qp_guard_open(&place, &guard, NULL), QUIPU_UNSAFE, "kind %d", i);
        cr_expect_eq(guard.fd, -1);
    }
}

/* ---- the probe ---- */

Test(guard, probe_sees_lmdb_in_another_process)
{
    int pipes[2];
    int back[2];
    char byte = 0;
    pid_t child;
    bool held = true;

    cr_expect_eq(qp_guard_probe(&place, "log.mdb-lock", &held, NULL), QUIPU_OK);
    cr_expect_not(held, "there is no such file");
    cr_assert(pipe(pipes) == 0 && pipe(back) == 0);
    child = fork();
    if (child == 0) {
        struct qp_store *store = support_open_log("log.mdb", 4 * QP_MIB);

        (void)close(back[1]);
        if (write(pipes[1], "x", 1) != 1 || read(back[0], &byte, 1) != 0)
            _exit(1);
        qp_store_close(store);
        _exit(0);
    }
    cr_assert_eq(read(pipes[0], &byte, 1), 1);
    cr_expect_eq(qp_guard_probe(&place, "log.mdb-lock", &held, NULL), QUIPU_OK);
    cr_expect(held);
    cr_expect_eq(qp_guard_probe(&place, "log.mdb-lock", &held, NULL), QUIPU_OK);
    cr_expect(held, "looking ends nothing");
    (void)close(back[0]);
    (void)close(back[1]);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_expect_eq(qp_guard_probe(&place, "log.mdb-lock", &held, NULL), QUIPU_OK);
    cr_expect_not(held);
}
