/* test_wait.c - quipu_wait(): whoever appends, and who does not. LMDB's writes come here first:
 * this program defines pwrite() itself, to be slow. */
#include "clock.h"
#include "handles.h"
#include "support_suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(wait);

static quipu_error why;

static quipu *open_store(void)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    (void)quipu_open(support_path(path, "store"), NULL, &store, &why);
    return store;
}

static int append(quipu *store)
{
    const quipu_draft draft = {.type = "t"};

    return quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, NULL);
}

/* ---- without anybody ------------------------------------------------------------------------- */

Test(wait, a_look)
{
    uint64_t head = 99;
    quipu *store = open_store();

    cr_expect_eq(quipu_wait(store, 0, 0, &head, &why), 0);
    cr_expect_eq(head, 0);
    cr_assert_eq(append(store), QUIPU_OK);
    cr_expect_eq(quipu_wait(store, 0, 0, &head, &why), 1);
    cr_expect_eq(head, 1);
    cr_expect_eq(quipu_wait(store, 0, -1, NULL, NULL), 1, "it does not wait for what is there");
    head = 99;
    cr_expect_eq(quipu_wait(store, 1, 0, &head, &why), 0);
    cr_expect_eq(head, 1);
    cr_expect_eq(quipu_wait(store, UINT64_MAX, 0, NULL, &why), 0);
    quipu_close(store);
}

Test(wait, not_in_time)
{
    quipu *store = open_store();
    int64_t begun_ns = qp_clock_monotonic_ns();
    uint64_t head = 99;

    cr_expect_eq(quipu_wait(store, 0, 40, &head, &why), 0);
    cr_expect_eq(head, 0);
    cr_expect_geq(qp_clock_monotonic_ns() - begun_ns, 40 * QP_NS_PER_MS);
    cr_expect_lt(qp_clock_monotonic_ns() - begun_ns, 10 * QP_NS_PER_S);
    cr_expect_eq(why.status, 0, "it is no failure");
    quipu_close(store);
}

Test(wait, arguments)
{
    quipu *store = open_store();
    uint64_t head = 99;

    cr_expect_eq(quipu_wait(NULL, 0, 0, &head, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_wait(store, 0, -2, &head, &why), QUIPU_MISUSE);
    cr_expect_eq(head, 99);
    quipu_close(store);
}

/* ---- a thread appends ------------------------------------------------------------------------ */

enum { LATER_MS = 30, PATIENCE_MS = 20000 };

struct appender {
    pthread_t thread;
    quipu *store;
    int count;
};

static void *append_later(void *payload)
{
    struct appender *appender = payload;

    for (int i = 0; i < appender->count; i++) {
        qp_clock_sleep_ms(LATER_MS);
        if (append(appender->store) != QUIPU_OK)
            abort();
    }
    return NULL;
}

static void begin_appender(struct appender *appender, quipu *store, int count)
{
    *appender = (struct appender){.store = store, .count = count};
    cr_assert_eq(pthread_create(&appender->thread, NULL, append_later, appender), 0);
}

static void end_appender(struct appender *appender)
{
    cr_assert_eq(pthread_join(appender->thread, NULL), 0);
}

Test(wait, for_a_thread)
{
    quipu *store = open_store();
    struct appender appender;
    uint64_t head = 0;

    begin_appender(&appender, store, 1);
    cr_expect_eq(quipu_wait(store, 0, PATIENCE_MS, &head, &why), 1, "%s", why.text);
    cr_expect_eq(head, 1);
    end_appender(&appender);
    begin_appender(&appender, store, 1);
    cr_expect_eq(quipu_wait(store, 1, -1, NULL, &why), 1, "%s", why.text);
    end_appender(&appender);
    quipu_close(store);
}

/* What comes before it does not end it. */
Test(wait, for_the_third)
{
    quipu *store = open_store();
    struct appender appender;
    uint64_t head = 0;

    begin_appender(&appender, store, 3);
    cr_expect_eq(quipu_wait(store, 2, PATIENCE_MS, &head, &why), 1, "%s", why.text);
    cr_expect_eq(head, 3);
    end_appender(&appender);
    quipu_close(store);
}

/* Each of many commits, as they come: none is missed. */
Test(wait, for_each)
{
    quipu *store = open_store();
    struct appender appender;
    uint64_t head = 0;

    begin_appender(&appender, store, 20);
    for (uint64_t seen = 0; seen < 20; seen = head)
        cr_assert_eq(quipu_wait(store, seen, PATIENCE_MS, &head, &why), 1, "%lu", seen);
    end_appender(&appender);
    quipu_close(store);
}

/* While a commit flushes its meta page, that page can be seen and no snapshot has it yet. LMDB
 * writes a meta page in part, all other pages whole. */
static atomic_uint slow_flushes;

__attribute__((visibility("default"))) ssize_t pwrite(int fd, const void *bytes, size_t size,
                                                      off_t offset)
{
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, size, offset);

    if (size % 4096 != 0 && atomic_load(&slow_flushes) > 0) {
        atomic_fetch_sub(&slow_flushes, 1);
        qp_clock_sleep_ms(LATER_MS);
    }
    return written;
}

Test(wait, for_a_commit_that_flushes_slowly)
{
    quipu *store = open_store();
    struct appender appender;
    uint64_t head = 0;

    atomic_store(&slow_flushes, 1);
    begin_appender(&appender, store, 1);
    cr_expect_eq(quipu_wait(store, 0, 2000, &head, &why), 1, "it looked once, and too early");
    cr_expect_eq(head, 1);
    cr_expect_eq(atomic_load(&slow_flushes), 0, "LMDB writes in another way");
    end_appender(&appender);
    quipu_close(store);
}

/* ---- another process appends ----------------------------------------------------------------- */

Test(wait, for_a_process)
{
    quipu *store;
    uint64_t head = 0;
    pid_t child;
    int status;
    int go[2];
    char byte;

    (void)support_dir(); /* one for both */
    cr_assert_eq(pipe(go), 0);
    child = fork();
    if (child == 0) {
        int rc = QUIPU_IO;

        if (read(go[0], &byte, 1) == 1)
            store = open_store();
        else
            _exit(1);
        for (int i = 0; i < 2; i++) {
            qp_clock_sleep_ms(LATER_MS);
            rc = append(store);
        }
        quipu_close(store);
        _exit(rc == QUIPU_OK ? 0 : 2);
    }
    store = open_store();
    cr_assert_not_null(store, "%s", why.text);
    cr_assert_eq(write(go[1], "x", 1), 1);
    cr_expect_eq(quipu_wait(store, 0, PATIENCE_MS, &head, &why), 1, "%s", why.text);
    cr_expect_eq(head, 1, "%lu", head);
    cr_expect_eq(quipu_wait(store, 1, PATIENCE_MS, &head, &why), 1, "%s", why.text);
    cr_expect_eq(head, 2);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
    quipu_close(store);
}

/* ---- what a wait holds ----------------------------------------------------------------------- */

struct waiter {
    pthread_t thread;
    quipu *store;
    int got;
};

static void *wait_for_ever(void *payload)
{
    struct waiter *waiter = payload;

    waiter->got = quipu_wait(waiter->store, 1000, -1, NULL, NULL);
    return NULL;
}

static void begin_waiter(struct waiter *waiter, quipu *store)
{
    waiter->store = store;
    cr_assert_eq(pthread_create(&waiter->thread, NULL, wait_for_ever, waiter), 0);
    while (__atomic_load_n(&store->children, __ATOMIC_SEQ_CST) == 0)
        qp_clock_sleep_ms(1);
    qp_clock_sleep_ms(LATER_MS);
}

Test(wait, holds_no_snapshot)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    quipu *store = open_store();
    struct waiter waiter;

    begin_waiter(&waiter, store);
    cr_assert_eq(quipu_stat_get(store, &stat, &why), QUIPU_OK);
    cr_expect_eq(stat.readers, 1, "the call's own: %u", stat.readers);
    quipu_close(store);
    cr_assert_eq(pthread_join(waiter.thread, NULL), 0);
}

/* A close ends it. Whoever of the two comes last closes the files: what they leave is told by the
 * end of each test. */
Test(wait, ends_with_its_store)
{
    quipu *store = open_store();
    struct waiter waiter;

    begin_waiter(&waiter, store);
    quipu_close(store);
    cr_assert_eq(pthread_join(waiter.thread, NULL), 0);
    cr_expect_eq(waiter.got, QUIPU_CLOSED, "%d", waiter.got);
    store = open_store();
    cr_assert_not_null(store, "%s", why.text);
    cr_expect_eq(append(store), QUIPU_OK);
    quipu_close(store);
}

Test(wait, in_a_forked_child)
{
    quipu *store = open_store();
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(quipu_wait(store, 0, -1, NULL, NULL) == QUIPU_FORKED ? 0 : 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
    quipu_close(store);
}
