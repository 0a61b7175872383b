/* test_worker.c - worker.c: nothing that was asked for is forgotten, and the thread is gone in the
 * end. This program defines pthread_create() itself, to have it fail. */
#include "clock.h"
#include "support_suite.h"
#include "worker.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

SUPPORT_SUITE(worker);

static atomic_bool no_threads;

__attribute__((visibility("default"))) int pthread_create(pthread_t *thread,
                                                          const pthread_attr_t *attributes,
                                                          void *(*run)(void *), void *payload)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    if (atomic_load(&no_threads))
        return EAGAIN;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attributes, run, payload);
}

/* What the thread found, and whether it is held up in its work. */
static struct {
    atomic_uint begun;
    atomic_uint done;
    atomic_bool hold;
    sigset_t blocked;
    char name[16];
} seen;

static void work(void *payload)
{
    cr_assert_eq(payload, &seen);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &seen.blocked);
    (void)pthread_getname_np(pthread_self(), seen.name, sizeof(seen.name));
    atomic_fetch_add(&seen.begun, 1);
    while (atomic_load(&seen.hold))
        qp_clock_sleep_ms(1);
    atomic_fetch_add(&seen.done, 1);
}

static void start(struct qp_worker *worker)
{
    quipu_error error = {0};

    cr_assert_eq(qp_worker_start(worker, "a-worker", work, &seen, &error), QUIPU_OK, "%s",
                 error.text);
}

static void await(atomic_uint *count, unsigned value)
{
    while (atomic_load(count) != value)
        qp_clock_sleep_ms(1);
}

Test(worker, none)
{
    struct qp_worker worker = {0};

    cr_expect_not(qp_worker_ask(&worker));
    qp_worker_end(&worker);
    qp_worker_end(&worker);
}

Test(worker, works_when_asked)
{
    struct qp_worker worker = {0};

    start(&worker);
    for (unsigned i = 1; i <= 200; i++) {
        cr_expect_eq(atomic_load(&seen.begun), i - 1, "not unasked");
        cr_assert(qp_worker_ask(&worker));
        await(&seen.done, i);
    }
    qp_worker_end(&worker);
    cr_expect_eq(atomic_load(&seen.begun), 200);
    cr_expect_not(qp_worker_ask(&worker));
    start(&worker); /* another one */
    qp_worker_end(&worker);
}

/* What is asked while it works comes after it, once. In the end nothing is asked for any more, and
 * what had begun has been counted when the thread is gone. */
Test(worker, asked_while_it_works)
{
    struct qp_worker worker = {0};

    start(&worker);
    for (unsigned i = 0; i < 50; i++) {
        atomic_store(&seen.hold, true);
        cr_assert(qp_worker_ask(&worker));
        await(&seen.begun, 2 * i + 1);
        for (int j = 0; j < 3; j++)
            cr_assert(qp_worker_ask(&worker));
        atomic_store(&seen.hold, false);
        await(&seen.done, 2 * i + 2);
    }
    (void)pthread_mutex_lock(&worker.lock);
    cr_expect_not(worker.asked);
    (void)pthread_mutex_unlock(&worker.lock);
    qp_worker_end(&worker);
    cr_expect_eq(atomic_load(&seen.begun), 100);
}

static atomic_bool ended;
static atomic_bool ended_early;

static bool is_ending(struct qp_worker *worker)
{
    bool ending;

    (void)pthread_mutex_lock(&worker->lock);
    ending = worker->ending;
    (void)pthread_mutex_unlock(&worker->lock);
    return ending;
}

/* Not before the end has begun: the work that was asked for must not begin. The sleep is for an end
 * that does not wait, to show itself. */
static void *let_go(void *payload)
{
    while (!is_ending(payload))
        qp_clock_sleep_ms(1);
    qp_clock_sleep_ms(20);
    atomic_store(&ended_early, atomic_load(&ended));
    atomic_store(&seen.hold, false);
    return NULL;
}

Test(worker, end_waits_for_the_work_under_way)
{
    struct qp_worker worker = {0};
    pthread_t thread;

    start(&worker);
    atomic_store(&seen.hold, true);
    cr_assert(qp_worker_ask(&worker));
    await(&seen.begun, 1);
    cr_assert(qp_worker_ask(&worker));
    cr_assert_eq(pthread_create(&thread, NULL, let_go, &worker), 0);
    qp_worker_end(&worker);
    atomic_store(&ended, true);
    cr_expect_eq(atomic_load(&seen.done), 1);
    cr_expect_eq(atomic_load(&seen.begun), 1, "what had not begun is left undone");
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect_not(atomic_load(&ended_early));
}

Test(worker, is_deaf_and_has_a_name)
{
    struct qp_worker worker = {0};
    sigset_t before;
    sigset_t after;

    (void)pthread_sigmask(SIG_SETMASK, NULL, &before);
    start(&worker);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < 32; number++)
        cr_expect_eq(sigismember(&before, number), sigismember(&after, number), "%d", number);
    cr_assert(qp_worker_ask(&worker));
    await(&seen.done, 1);
    cr_expect_eq(sigismember(&seen.blocked, SIGTERM), 1);
    cr_expect_eq(sigismember(&seen.blocked, SIGALRM), 1);
    cr_expect_str_eq(seen.name, "a-worker");
    qp_worker_end(&worker);
}

Test(worker, no_thread_can_be_had)
{
    struct qp_worker worker = {0};
    quipu_error error = {0};

    atomic_store(&no_threads, true);
    cr_expect_eq(qp_worker_start(&worker, "a-worker", work, &seen, &error), QUIPU_SYSTEM);
    cr_expect_eq(error.os_error, EAGAIN);
    cr_expect_not_null(strstr(error.text, "a-worker"), "%s", error.text);
    atomic_store(&no_threads, false);
    cr_expect_not(qp_worker_ask(&worker));
    qp_worker_end(&worker);
    start(&worker);
    qp_worker_end(&worker);
}
