/* test_shared.c - shared.c: flags, identity, the store lock between processes, and slots. Children
 * are forked; what they see is told by their exit code. */
#include "clock.h"
#include "shared.h"
#include "support_suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct qp_place place;

static void begin(void)
{
    support_begin();
    place = (struct qp_place){.fd = open(support_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (place.fd < 0)
        abort();
}

static void end(void)
{
    (void)close(place.fd);
    support_suite_end();
}

TestSuite(shared, .init = begin, .fini = end, .timeout = 60);

static const bool no_flags[QP_SHARED_FLAGS];

static void create(void)
{
    cr_assert_eq(qp_shared_create(&place, no_flags, 1000, NULL), QUIPU_OK);
}

static void open_it(struct qp_shared *shared)
{
    *shared = (struct qp_shared){0};
    cr_assert_eq(qp_shared_open(&place, shared, NULL), QUIPU_OK);
}

static int64_t soon(int64_t ms)
{
    return qp_clock_monotonic_ns() + ms * QP_NS_PER_MS;
}

/* ---- flags and the clock ---- */

Test(shared, flags_are_kept_and_peeked_at)
{
    for (unsigned set = 0; set < 1U << QP_SHARED_FLAGS; set++) {
        bool flags[QP_SHARED_FLAGS];
        bool seen[QP_SHARED_FLAGS];
        struct qp_shared shared;

        for (unsigned i = 0; i < QP_SHARED_FLAGS; i++)
            flags[i] = (set >> i & 1) != 0;
        cr_assert_eq(qp_shared_create(&place, flags, 0, NULL), QUIPU_OK);
        qp_shared_peek(&place, seen);
        cr_expect_eq(memcmp(seen, flags, sizeof(flags)), 0, "%x", set);
        open_it(&shared);
        for (unsigned i = 0; i < QP_SHARED_FLAGS; i++) {
            cr_expect_eq(qp_shared_get(&shared, (enum qp_shared_flag)i), flags[i]);
            qp_shared_set(&shared, (enum qp_shared_flag)i, !flags[i]);
        }
        qp_shared_close(&shared);
        qp_shared_peek(&place, seen);
        for (unsigned i = 0; i < QP_SHARED_FLAGS; i++)
            cr_expect_neq(seen[i], flags[i], "%x, flag %u", set, i);
    }
}

Test(shared, peek_at_what_is_no_file_of_ours)
{
    char path[SUPPORT_PATH_BYTES];
    char other[SUPPORT_PATH_BYTES];
    static uint8_t bytes[65536];
    size_t size = sizeof(bytes);
    bool seen[QP_SHARED_FLAGS];
    const bool all[QP_SHARED_FLAGS] = {true, true, true, true, true};

    for (int i = 0; i < 5; i++) {
        cr_assert_eq(qp_shared_create(&place, all, 0, NULL), QUIPU_OK);
        (void)support_path(path, QP_SHARED_FILE);
        size = sizeof(bytes);
        cr_assert(support_read_file(path, bytes, &size));
        if (i == 1)
            size--;
        if (i == 2)
            bytes[0] ^= 1;
        if (i > 0)
            support_remove(path);
        if (i == 1 || i == 2)
            cr_assert(support_write_file(path, bytes, size));
        if (i == 3)
            cr_assert(support_write_file(support_path(other, "x"), bytes, size) &&
                      symlink("x", path) == 0);
        memset(seen, 1, sizeof(seen));
        qp_shared_peek(&place, seen);
        for (unsigned j = 0; j < QP_SHARED_FLAGS; j++)
            cr_expect_eq(seen[j], i == 0, "change %d", i);
        support_remove(path);
    }
}

Test(shared, clock_goes_on_from_its_anchor)
{
    struct qp_shared shared;
    int64_t before;
    int64_t now;

    cr_assert_eq(qp_shared_create(&place, no_flags, INT64_C(5000000000), NULL), QUIPU_OK);
    open_it(&shared);
    before = qp_clock_boottime_ns();
    now = qp_shared_now_ns(&shared);
    cr_expect_geq(now, INT64_C(5000000000));
    cr_expect_lt(now, INT64_C(5000000000) + 60 * QP_NS_PER_S);
    qp_clock_sleep_ms(5);
    cr_expect_geq(qp_shared_now_ns(&shared) - now, 5 * QP_NS_PER_MS);
    cr_expect_leq(qp_shared_now_ns(&shared) - now, qp_clock_boottime_ns() - before);
    qp_shared_close(&shared);
}

/* ---- the file ---- */

Test(shared, file_is_made_whole_and_anew)
{
    char path[SUPPORT_PATH_BYTES];
    char leftover[SUPPORT_PATH_BYTES];
    struct stat info;
    struct qp_shared old;
    struct qp_shared shared;

    cr_assert(support_write_file(support_path(leftover, "shared.new"), "of a dead one", 13));
    create();
    cr_assert_eq(stat(support_path(path, QP_SHARED_FILE), &info), 0);
    cr_expect_eq(info.st_mode & 07777, 0600);
    cr_expect_gt(info.st_blocks, 0, "no hole: it would be a SIGBUS on a full disk");
    cr_expect_neq(access(leftover, F_OK), 0);
    open_it(&old);
    cr_expect_eq(old.inode, info.st_ino);
    create();
    open_it(&shared);
    cr_expect_neq(shared.inode, old.inode, "who has the old one mapped keeps it");
    qp_shared_set(&shared, QP_SHARED_POISONED, true);
    cr_expect_not(qp_shared_get(&old, QP_SHARED_POISONED));
    qp_shared_close(&shared);
    qp_shared_close(&old);
    qp_shared_close(&old);
}

Test(shared, identity)
{
    char path[SUPPORT_PATH_BYTES];
    static uint8_t bytes[65536];
    struct qp_shared shared = {0};
    quipu_error error = {0};
    size_t size = sizeof(bytes);

    cr_expect_eq(qp_shared_open(&place, &shared, &error), QUIPU_UNSAFE, "missing");
    cr_expect_null(shared.page);
    create();
    cr_assert(support_read_file(support_path(path, QP_SHARED_FILE), bytes, &size));
    /* magic, boot id, pid and time namespace, pointer, mutex and page size */
    for (size_t at = 0; at <= 80; at++) {
        if (at == 80)
            size--;
        bytes[at] ^= 1;
        cr_assert(support_write_file(path, bytes, size));
        bytes[at] ^= 1;
        cr_expect_eq(qp_shared_open(&place, &shared, &error), QUIPU_UNSAFE, "byte %zu", at);
        cr_expect_null(shared.page);
    }
    size++;
    cr_assert(support_write_file(path, bytes, size));
    cr_expect_eq(qp_shared_open(&place, &shared, &error), QUIPU_OK);
    qp_shared_close(&shared);
}

Test(shared, out_of_memory)
{
    quipu_error error = {0};

    support_heap_fail(1, true);
    cr_expect_eq(qp_shared_create(&place, no_flags, 0, &error), QUIPU_NO_MEMORY, "%s", error.text);
}

Test(shared, directory_that_cannot_be_written)
{
    struct qp_place nowhere = {.fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};

    cr_assert_geq(nowhere.fd, 0);
    cr_expect_eq(qp_shared_create(&nowhere, no_flags, 0, NULL), QUIPU_UNSAFE);
    (void)close(nowhere.fd);
}

/* ---- the lock ---- */

/* Fork a child that opens the file, takes the lock, tells it, and waits to be let go of. */
struct holder {
    pid_t pid;
    int go;
};

static void hold(struct holder *holder)
{
    int told[2];
    int go[2];
    char byte;

    cr_assert(pipe(told) == 0 && pipe(go) == 0);
    holder->pid = fork();
    if (holder->pid == 0) {
        struct qp_shared shared = {0};
        uint32_t other;

        (void)close(go[1]);
        if (qp_shared_open(&place, &shared, NULL) < 0 ||
            qp_shared_lock(&shared, soon(10000), &other) != QP_LOCK_TAKEN ||
            write(told[1], "x", 1) != 1)
            _exit(1);
        if (read(go[0], &byte, 1) == 1)
            (void)qp_shared_unlock(&shared, true); /* told to; else it dies with it */
        _exit(0);
    }
    (void)close(go[0]);
    holder->go = go[1];
    cr_assert_eq(read(told[0], &byte, 1), 1);
    (void)close(told[0]);
    (void)close(told[1]);
}

static void let_go(struct holder *holder, bool unlock)
{
    if (unlock)
        cr_assert_eq(write(holder->go, "x", 1), 1);
    (void)close(holder->go);
    cr_assert_eq(waitpid(holder->pid, NULL, 0), holder->pid);
}

Test(shared, lock_and_unlock)
{
    struct qp_shared shared;
    uint32_t holder = 0;

    create();
    open_it(&shared);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(qp_shared_lock(&shared, soon(1000), &holder), QP_LOCK_TAKEN);
        cr_assert_not(qp_shared_unlock(&shared, i % 2 == 0).awaited, "nobody waits");
    }
    cr_expect_eq(qp_shared_lock(&shared, 0, &holder), QP_LOCK_TAKEN, "free: no time is needed");
    qp_shared_stand_back(&shared, qp_shared_unlock(&shared, false));
    qp_shared_close(&shared);
}

Test(shared, timeout_tells_who_has_it)
{
    static const int64_t wait_ms[] = {0, 20, 120};
    struct qp_shared shared;
    struct holder holder;

    create();
    open_it(&shared);
    hold(&holder);
    for (size_t i = 0; i < 3; i++) {
        int64_t begun = qp_clock_monotonic_ns();
        uint32_t pid = 0;

        cr_expect_eq(qp_shared_lock(&shared, begun + wait_ms[i] * QP_NS_PER_MS, &pid),
                     QP_LOCK_TIMEOUT);
        cr_expect_eq(pid, (uint32_t)holder.pid);
        cr_expect_geq(qp_clock_monotonic_ns() - begun, wait_ms[i] * QP_NS_PER_MS);
    }
    let_go(&holder, true);
    cr_expect_eq(qp_shared_lock(&shared, soon(1000), &(uint32_t){0}), QP_LOCK_TAKEN);
    (void)qp_shared_unlock(&shared, false);
    qp_shared_close(&shared);
}

Test(shared, dead_owner_is_inherited_from)
{
    struct qp_shared shared;
    struct holder holder;
    uint32_t pid;

    create();
    open_it(&shared);
    for (int i = 0; i < 3; i++) {
        hold(&holder);
        if (i == 2)
            cr_assert_eq(kill(holder.pid, SIGKILL), 0);
        let_go(&holder, false);
        cr_expect_eq(qp_shared_lock(&shared, soon(1000), &pid), QP_LOCK_INHERITED, "death %d", i);
        (void)qp_shared_unlock(&shared, false);
        cr_expect_eq(qp_shared_lock(&shared, soon(1000), &pid), QP_LOCK_TAKEN, "once");
        (void)qp_shared_unlock(&shared, false);
    }
    qp_shared_close(&shared);
}

/* The one who inherits dies too: the next one inherits again. */
Test(shared, dead_heir)
{
    struct qp_shared shared;
    struct holder holder;
    uint32_t pid;
    pid_t heir;
    int status = 0;

    create();
    open_it(&shared);
    hold(&holder);
    let_go(&holder, false);
    heir = fork();
    if (heir == 0)
        _exit(qp_shared_lock(&shared, soon(1000), &pid) == QP_LOCK_INHERITED ? 0 : 1);
    cr_assert_eq(waitpid(heir, &status, 0), heir);
    cr_expect_eq(status, 0);
    cr_expect_eq(qp_shared_lock(&shared, soon(1000), &pid), QP_LOCK_INHERITED);
    (void)qp_shared_unlock(&shared, false);
    qp_shared_close(&shared);
}

Test(shared, waiter_gets_it_when_it_is_free)
{
    struct qp_shared shared;
    struct holder holder;
    uint32_t pid;
    pid_t waiter;
    int status = 0;

    create();
    open_it(&shared);
    hold(&holder);
    waiter = fork();
    if (waiter == 0) {
        struct qp_shared own = {0};

        if (qp_shared_open(&place, &own, NULL) < 0)
            _exit(1);
        _exit(qp_shared_lock(&own, soon(20000), &pid) == QP_LOCK_TAKEN ? 0 : 2);
    }
    qp_clock_sleep_ms(80); /* more than one slice of its wait */
    let_go(&holder, true);
    cr_assert_eq(waitpid(waiter, &status, 0), waiter);
    cr_expect_eq(status, 0);
    cr_expect_eq(qp_shared_lock(&shared, soon(1000), &pid), QP_LOCK_INHERITED);
    (void)qp_shared_unlock(&shared, false);
    qp_shared_close(&shared);
}

/* Take the lock when it comes, tell it, and hold it until told. */
static pid_t spawn_waiter(int told, int go)
{
    pid_t child = fork();

    if (child == 0) {
        struct qp_shared own = {0};
        uint32_t pid;
        char byte;

        if (qp_shared_open(&place, &own, NULL) < 0 ||
            qp_shared_lock(&own, soon(20000), &pid) != QP_LOCK_TAKEN || write(told, "x", 1) != 1 ||
            read(go, &byte, 1) != 1)
            _exit(1);
        (void)qp_shared_unlock(&own, false);
        _exit(0);
    }
    return child;
}

/* One of two has taken the lock meanwhile. Who stood back for it must not take the other for a
 * process that does not want it any more. */
Test(shared, the_second_waiter_is_not_forgotten)
{
    struct qp_shared shared;
    int told[2];
    int go[2];
    pid_t children[2];
    uint32_t pid;
    struct qp_hand_over hand_over;
    char byte;

    create();
    open_it(&shared);
    cr_assert(pipe(told) == 0 && pipe(go) == 0);
    cr_assert_eq(qp_shared_lock(&shared, soon(1000), &pid), QP_LOCK_TAKEN);
    children[0] = spawn_waiter(told[1], go[0]);
    while (!qp_shared_others_wait(&shared))
        qp_clock_sleep_ms(1);
    hand_over = qp_shared_unlock(&shared, false);
    cr_assert_eq(read(told[0], &byte, 1), 1);
    children[1] = spawn_waiter(told[1], go[0]); /* it has to wait for the first */
    while (!qp_shared_others_wait(&shared))
        qp_clock_sleep_ms(1);
    qp_shared_stand_back(&shared, hand_over);
    cr_expect(qp_shared_others_wait(&shared));
    cr_assert_eq(write(go[1], "xx", 2), 2);
    for (int i = 0; i < 2; i++) {
        int status = 0;

        cr_assert_eq(waitpid(children[i], &status, 0), children[i]);
        cr_expect_eq(status, 0, "child %d: %x", i, (unsigned)status);
    }
    qp_shared_close(&shared);
}

/* Two processes that take it again and again: neither starves. */
Test(shared, handed_over)
{
    struct qp_shared shared;
    int go[2];
    char byte;
    uint32_t pid;
    pid_t child;
    int status = 0;
    unsigned taken = 0;

    create();
    open_it(&shared);
    cr_assert_eq(pipe(go), 0);
    child = fork();
    if (child == 0) {
        struct qp_shared own = {0};

        if (qp_shared_open(&place, &own, NULL) < 0 || write(go[1], "x", 1) != 1)
            _exit(1);
        for (int i = 0; i < 30; i++) {
            if (qp_shared_lock(&own, soon(20000), &pid) != QP_LOCK_TAKEN)
                _exit(2);
            qp_clock_sleep_ms(1);
            qp_shared_stand_back(&own, qp_shared_unlock(&own, true));
        }
        qp_shared_close(&own);
        _exit(0);
    }
    cr_assert_eq(read(go[0], &byte, 1), 1);
    while (waitpid(child, &status, WNOHANG) == 0) {
        cr_assert_eq(qp_shared_lock(&shared, soon(20000), &pid), QP_LOCK_TAKEN);
        qp_clock_sleep_ms(1);
        qp_shared_stand_back(&shared, qp_shared_unlock(&shared, true));
        taken++;
    }
    cr_expect_eq(status, 0);
    cr_expect_lt(taken, 1000, "its 30 turns cost us %u", taken);
    qp_shared_close(&shared);
}

/* Who asked and was stopped must not slow down everybody for ever. */
Test(shared, stopped_waiter_is_forgotten)
{
    struct qp_shared shared;
    struct holder holder;
    uint32_t pid;
    pid_t waiter;
    struct qp_hand_over hand_over;

    create();
    open_it(&shared);
    hold(&holder);
    waiter = fork();
    if (waiter == 0) {
        struct qp_shared own = {0};

        if (qp_shared_open(&place, &own, NULL) == QUIPU_OK)
            (void)qp_shared_lock(&own, soon(60000), &pid);
        _exit(0);
    }
    qp_clock_sleep_ms(100);
    cr_assert_eq(kill(waiter, SIGSTOP), 0);
    cr_assert_eq(waitpid(waiter, NULL, WUNTRACED), waiter);
    let_go(&holder, true);
    cr_assert_eq(qp_shared_lock(&shared, soon(1000), &pid), QP_LOCK_TAKEN);
    hand_over = qp_shared_unlock(&shared, false);
    cr_expect(hand_over.awaited, "somebody has asked");
    qp_shared_stand_back(&shared, hand_over);
    cr_assert_eq(qp_shared_lock(&shared, soon(1000), &pid), QP_LOCK_TAKEN);
    cr_expect_not(qp_shared_unlock(&shared, false).awaited, "and is not waited for again");
    cr_assert_eq(kill(waiter, SIGKILL), 0);
    cr_assert_eq(waitpid(waiter, NULL, 0), waiter);
    qp_shared_close(&shared);
}

/* Wait for the lock as who waits for something else too: exit code 0 once it was had, 1 if it was
 * not rung. A slice as long as the test may take. */
static pid_t spawn_asker(bool waiting)
{
    pid_t child = fork();
    uint32_t pid;

    if (child == 0) {
        struct qp_shared own = {0};
        bool done = false;

        if (qp_shared_open(&place, &own, NULL) < 0)
            _exit(2);
        while (!done) {
            uint32_t rung = qp_shared_ask(&own, waiting);

            done = waiting && qp_shared_lock(&own, 0, &pid) == QP_LOCK_TAKEN;
            if (!done && !qp_shared_await(&own, rung, 20 * QP_NS_PER_S))
                _exit(1);
            done = done || !waiting;
        }
        if (waiting)
            (void)qp_shared_unlock(&own, false);
        _exit(0);
    }
    return child;
}

static void expect_success(pid_t child)
{
    int status = -1;

    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
}

/* An unlock rings one of them, and each rings the next. */
Test(shared, who_asks_is_rung_by_an_unlock)
{
    struct qp_shared shared;
    pid_t askers[4];
    uint32_t pid;

    create();
    open_it(&shared);
    cr_assert_eq(qp_shared_lock(&shared, 0, &pid), QP_LOCK_TAKEN);
    for (unsigned i = 0; i < 4; i++)
        askers[i] = spawn_asker(true);
    while (!qp_shared_others_wait(&shared))
        qp_clock_sleep_ms(1);
    qp_clock_sleep_ms(20); /* mostly the others too; who is late finds it free */
    (void)qp_shared_unlock(&shared, false);
    for (unsigned i = 0; i < 4; i++)
        expect_success(askers[i]);
    qp_shared_close(&shared);
}

Test(shared, who_awaits_an_answer_is_rung_and_does_not_ask)
{
    struct qp_shared shared;
    pid_t asker;
    int status = -1;

    create();
    open_it(&shared);
    asker = spawn_asker(false);
    while (waitpid(asker, &status, WNOHANG) == 0) { /* it may not have looked yet */
        cr_expect_not(qp_shared_others_wait(&shared));
        qp_shared_ring(&shared, shared.slot + 1);
        qp_clock_sleep_ms(1);
    }
    cr_expect_eq(status, 0);
    qp_shared_close(&shared);
}

/* ---- slots ---- */

Test(shared, slots_are_given_back_and_taken_over)
{
    struct qp_shared shared;
    struct qp_shared second = {0};
    pid_t child;

    create();
    open_it(&shared);
    cr_expect_eq(shared.slot, 0);
    cr_expect_eq(qp_shared_other_pid(&shared), 0);
    child = fork();
    if (child == 0) { /* dies with its slot */
        (void)qp_shared_open(&place, &second, NULL);
        _exit((int)second.slot);
    }
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_expect_eq(qp_shared_other_pid(&shared), (uint32_t)child, "it still stands there");
    open_it(&second);
    cr_expect_eq(second.slot, 1, "the dead one's");
    cr_expect_eq(qp_shared_other_pid(&shared), (uint32_t)getpid());
    qp_shared_close(&second);
    cr_expect_eq(qp_shared_other_pid(&shared), 0);
    open_it(&second);
    cr_expect_eq(second.slot, 1);
    qp_shared_close(&second);
    qp_shared_close(&shared);
}

/* Dead, and its parent has not asked how it ended: it is in /proc all the same. */
Test(shared, zombies_slot_is_taken_over)
{
    struct qp_shared shared = {0};
    siginfo_t info;
    pid_t child;

    create();
    child = fork();
    if (child == 0)
        _exit(qp_shared_open(&place, &shared, NULL) == QUIPU_OK ? 0 : 1);
    cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    cr_assert_eq(info.si_status, 0);
    open_it(&shared);
    cr_expect_eq(shared.slot, 0);
    qp_shared_close(&shared);
    cr_assert_eq(waitpid(child, NULL, 0), child);
}

Test(shared, no_slot_is_free)
{
    static struct qp_shared many[QP_PROCESSES_MAX + 1];
    quipu_error error = {0};

    create();
    for (size_t i = 0; i < QP_PROCESSES_MAX; i++) {
        open_it(&many[i]);
        cr_expect_eq(many[i].slot, i);
    }
    cr_expect_eq(qp_shared_open(&place, &many[QP_PROCESSES_MAX], &error), QUIPU_BUSY);
    cr_expect_null(many[QP_PROCESSES_MAX].page);
    qp_shared_close(&many[77]);
    open_it(&many[QP_PROCESSES_MAX]);
    cr_expect_eq(many[QP_PROCESSES_MAX].slot, 77);
    for (size_t i = 0; i <= QP_PROCESSES_MAX; i++)
        qp_shared_close(&many[i]);
}

/* ---- who is there ---- */

Test(shared, who_is_there)
{
    struct qp_shared shared = {0};
    char path[SUPPORT_PATH_BYTES];

    cr_expect_eq(qp_shared_peek_pid(&place), 0, "there is no file");
    create();
    cr_expect_eq(qp_shared_peek_pid(&place), 0, "nobody");
    open_it(&shared);
    cr_expect_eq(qp_shared_peek_pid(&place), getpid());
    cr_expect_eq(qp_shared_other_pid(&shared), 0, "nobody else");
    cr_expect(qp_shared_lives(&shared, shared.slot, shared.generation));
    cr_expect_not(qp_shared_lives(&shared, shared.slot, shared.generation - 1),
                  "who had it before");
    cr_expect_not(qp_shared_lives(&shared, shared.slot + 1, 0), "a slot that nobody has");
    qp_shared_set_reading(&shared, 77);
    cr_expect_eq(qp_shared_reading(&shared, (uint32_t)getpid()), 77);
    cr_expect_eq(qp_shared_reading(&shared, (uint32_t)getppid()), 0, "it has no slot");
    qp_shared_close(&shared);
    (void)support_path(path, QP_SHARED_FILE);
    cr_assert_eq(truncate(path, 0), 0);
    cr_expect_eq(qp_shared_peek_pid(&place), 0, "another layout");
}

/* A projection's row may name a slot of the file that was there before. */
Test(shared, nobody_is_taken_for_who_had_its_slot_in_another_file)
{
    struct qp_shared shared = {0};
    uint32_t before;

    create();
    open_it(&shared);
    before = shared.generation;
    cr_expect(qp_shared_lives(&shared, 0, before) == QP_ORIGIN_LIVES);
    qp_shared_close(&shared);
    create();
    open_it(&shared);
    cr_expect(qp_shared_lives(&shared, 0, before) == QP_ORIGIN_GONE);
    cr_expect(qp_shared_lives(&shared, QP_PROCESSES_MAX, before) == QP_ORIGIN_GONE, "no slot");
    cr_expect(qp_shared_lives(&shared, UINT32_MAX, before) == QP_ORIGIN_GONE, "no slot");
    qp_shared_close(&shared);
}

static unsigned open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    cr_assert_not_null(directory);
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count;
}

static pthread_barrier_t at_once;

static void *ask_at_once(void *payload)
{
    struct qp_shared *shared = payload;

    (void)pthread_barrier_wait(&at_once);
    if (qp_shared_lives(shared, shared->slot, shared->generation) != QP_ORIGIN_LIVES)
        abort();
    return NULL;
}

/* Each of them may be the first to ask: one descriptor is kept, and is given back. */
Test(shared, who_is_there_any_thread_may_ask)
{
    enum { THREADS = 8, ROUNDS = 50 };
    pthread_t threads[THREADS];
    unsigned before;

    create();
    (void)pthread_barrier_init(&at_once, NULL, THREADS);
    before = open_files();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct qp_shared shared;

        open_it(&shared);
        for (unsigned i = 0; i < THREADS; i++)
            cr_assert_eq(pthread_create(&threads[i], NULL, ask_at_once, &shared), 0);
        for (unsigned i = 0; i < THREADS; i++)
            cr_assert_eq(pthread_join(threads[i], NULL), 0);
        qp_shared_close(&shared);
    }
    cr_expect_eq(open_files(), before, "%u, not %u", open_files(), before);
    (void)pthread_barrier_destroy(&at_once);
}

/* Opening it must not wait for its other end, nor believe a byte of it. */
Test(shared, a_fifo_is_no_file_of_ours)
{
    struct qp_shared shared = {0};
    bool flags[QP_SHARED_FLAGS];
    char path[SUPPORT_PATH_BYTES];

    cr_assert_eq(mkfifo(support_path(path, QP_SHARED_FILE), 0600), 0);
    cr_expect_eq(qp_shared_open(&place, &shared, NULL), QUIPU_UNSAFE);
    cr_expect_not(qp_shared_peek(&place, flags));
    cr_expect_eq(qp_shared_peek_pid(&place), 0);
}
