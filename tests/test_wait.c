/* test_wait.c - quipu_wait() and qp_wait_commit(): whoever appends, or commits something else, and
 * who does not. Some calls come here first,
 * because this program defines them itself: LMDB's writes, to be slow; the kernel's futexes, to be
 * counted or left out; the release of locks, to die there or to have something come
 * between. */
#include "clock.h"
#include "handles.h"
#include "moment.h"
#include "support_suite.h"
#include "wait.h"

#include <dlfcn.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/socket.h>
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

/* A commit of no event. */
static int move_mark(quipu *store)
{
    static uint64_t position;
    quipu_batch *batch = quipu_batch_new();
    int rc;

    (void)quipu_batch_mark(batch, "m", ++position);
    rc = quipu_commit(store, batch, NULL, NULL);
    quipu_batch_free(batch);
    return rc;
}

static uint64_t newest_of(quipu *store)
{
    struct qp_glance glance;

    cr_assert_eq(qp_moment_glance(store->handle, &glance, NULL), QUIPU_OK);
    return glance.transaction;
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
        qp_clock_sleep_ms(LATER_MS);
        rc = append(store);
        if (rc != QUIPU_OK || read(go[0], &byte, 1) != 1) /* not before the first was seen */
            _exit(3);
        qp_clock_sleep_ms(LATER_MS);
        rc = append(store);
        quipu_close(store);
        _exit(rc == QUIPU_OK ? 0 : 2);
    }
    store = open_store();
    cr_assert_not_null(store, "%s", why.text);
    cr_assert_eq(write(go[1], "x", 1), 1);
    cr_expect_eq(quipu_wait(store, 0, PATIENCE_MS, &head, &why), 1, "%s", why.text);
    cr_expect_eq(head, 1, "%lu", head);
    cr_assert_eq(write(go[1], "x", 1), 1);
    cr_expect_eq(quipu_wait(store, 1, PATIENCE_MS, &head, &why), 1, "%s", why.text);
    cr_expect_eq(head, 2);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
    quipu_close(store);
}

/* ---- how it is woken ------------------------------------------------------------------------- */

static atomic_uint sleeps;     /* calls that sleep on such a word */
static atomic_uint wakes;      /* calls that wake who sleeps on a word of several processes */
static atomic_uint woken;      /* by them */
static atomic_bool lose_wakes; /* they do nothing */

__attribute__((visibility("default"))) long syscall(long number, ...)
{
    static long (*real)(long number, ...);
    bool wakes_some;
    long values[6];
    va_list list;
    long rc;

    va_start(list, number);
    for (size_t i = 0; i < 6; i++)
        values[i] = va_arg(list, long);
    va_end(list);
    wakes_some = number == SYS_futex && values[1] == FUTEX_WAKE;
    if (number == SYS_futex && values[1] == FUTEX_WAIT)
        atomic_fetch_add(&sleeps, 1);
    if (wakes_some) {
        atomic_fetch_add(&wakes, 1);
        if (atomic_load(&lose_wakes))
            return 0;
    }
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    rc = real(number, values[0], values[1], values[2], values[3], values[4], values[5]);
    if (wakes_some && rc > 0)
        atomic_fetch_add(&woken, (unsigned)rc);
    return rc;
}

static void commit_beside(void);

static atomic_bool die_unlocking;
static _Thread_local unsigned unlocks_left; /* until commit_beside(); 0: never */
enum { KIND_ROBUST = 16 }; /* glibc's bit of a mutex whose next owner hears of a dead one */

/* The first that a commit lets go of is LMDB's, when its transaction can be seen. */
__attribute__((visibility("default"))) int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    static int (*real)(pthread_mutex_t * mutex);

    bool robust = (mutex->__data.__kind & KIND_ROBUST) != 0;
    int rc;

    if (robust && atomic_load(&die_unlocking))
        (void)raise(SIGKILL);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    rc = real(mutex);
    /* LMDB's lock of readers is taken under one of ours, which a commit needs: not there. */
    if (!robust && unlocks_left > 0 && --unlocks_left == 0)
        commit_beside();
    return rc;
}

static bool is_watched(quipu *store)
{
    struct qp_waiting *waiting = &store->handle->waiting;
    bool watched;

    (void)pthread_mutex_lock(&waiting->lock);
    watched = waiting->watched;
    (void)pthread_mutex_unlock(&waiting->lock);
    return watched;
}

struct waiter {
    pthread_t thread;
    quipu *store;
    enum { FOR_EVENTS, FOR_COMMIT, FOR_EVENTS_ASKED } what;
    uint64_t after; /* a position; FOR_COMMIT: a transaction */
    int timeout_ms;
    int got;
    uint64_t head; /* or the newest transaction */
    int64_t took_ns;
    struct qp_child child;
    atomic_uint asked; /* but for FOR_EVENTS */
    atomic_bool end;   /* asked next it says so */
    atomic_bool over;
};

enum { ENDED = QUIPU_APPLICATION - 7 };

static int count_asked(void *payload, quipu_error *error)
{
    struct waiter *waiter = payload;

    atomic_fetch_add(&waiter->asked, 1);
    return atomic_load(&waiter->end) ? ENDED : qp_child_enter(&waiter->child, error);
}

/* As the library's calls do. */
static int wait_inside(struct waiter *waiter)
{
    struct qp_handle *handle = waiter->store->handle;
    uint32_t wait_ms = waiter->timeout_ms == -1 ? UINT32_MAX : (uint32_t)waiter->timeout_ms;
    int64_t deadline_ns = qp_clock_deadline_ns(wait_ms);
    int rc;

    qp_child_begin(waiter->store, &waiter->child);
    rc = (waiter->what == FOR_COMMIT ? qp_wait_commit : qp_wait)(
        handle, waiter->after, deadline_ns, count_asked, waiter, &waiter->head, NULL);
    qp_child_end(&waiter->child);
    return rc;
}

static void *wait_once(void *payload)
{
    struct waiter *waiter = payload;
    int64_t begun_ns = qp_clock_monotonic_ns();

    if (waiter->what == FOR_EVENTS)
        waiter->got =
            quipu_wait(waiter->store, waiter->after, waiter->timeout_ms, &waiter->head, NULL);
    else
        waiter->got = wait_inside(waiter);
    waiter->took_ns = qp_clock_monotonic_ns() - begun_ns;
    atomic_store(&waiter->over, true);
    return NULL;
}

/* Those that wait, and those whose time is over already. */
static unsigned begun_of(struct waiter *waiters, unsigned count, quipu *store)
{
    unsigned begun = __atomic_load_n(&store->children, __ATOMIC_SEQ_CST);

    for (unsigned i = 0; i < count; i++)
        begun += atomic_load(&waiters[i].over);
    return begun;
}

/* In the order given: each is asleep before the next one comes, or over already. */
static void begin_waiters(struct waiter *waiters, unsigned count, quipu *store)
{
    atomic_store(&sleeps, 0);
    for (unsigned i = 0; i < count; i++) {
        waiters[i].store = store;
        cr_assert_eq(pthread_create(&waiters[i].thread, NULL, wait_once, &waiters[i]), 0);
        while (begun_of(waiters, i + 1, store) <= i ||
               !(is_watched(store) || atomic_load(&waiters[i].over)))
            qp_clock_sleep_ms(1);
    }
    while (atomic_load(&sleeps) == 0)
        qp_clock_sleep_ms(1);
    qp_clock_sleep_ms(LATER_MS);
}

static void end_waiters(struct waiter *waiters, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(pthread_join(waiters[i].thread, NULL), 0);
}

/* One call that wakes one of them; and none where nobody sleeps. */
Test(wait, of_many_threads_costs_one_call)
{
    enum { WAITERS = 64 };
    static struct waiter waiters[WAITERS];
    quipu *store = open_store();

    cr_assert_eq(append(store), QUIPU_OK);
    for (uint64_t round = 1; round <= 5; round++) {
        for (unsigned i = 0; i < WAITERS; i++)
            waiters[i] = (struct waiter){.after = round, .timeout_ms = PATIENCE_MS};
        begin_waiters(waiters, WAITERS, store);
        atomic_store(&wakes, 0);
        atomic_store(&woken, 0);
        cr_assert_eq(append(store), QUIPU_OK);
        end_waiters(waiters, WAITERS);
        for (unsigned i = 0; i < WAITERS; i++)
            cr_expect(waiters[i].got == 1 && waiters[i].head == round + 1, "%u: %d, head %lu", i,
                      waiters[i].got, waiters[i].head);
        cr_expect_eq(atomic_load(&wakes), 1, "%u calls", atomic_load(&wakes));
        /* 0: the kernel had woken it just then, for its look of each 100 ms. */
        cr_expect_leq(atomic_load(&woken), 1, "%u threads", atomic_load(&woken));
    }
    atomic_store(&wakes, 0);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(append(store), QUIPU_OK);
    cr_expect_eq(atomic_load(&wakes), 0);
    quipu_close(store);
}

/* The first one watches for all. When it leaves, because its time is over or its event is there,
 * another one takes over. Those that nothing concerns sleep on. */
Test(wait, goes_on_when_the_watcher_leaves)
{
    struct waiter waiters[5] = {{.after = 0, .timeout_ms = 1000},
                                {.after = 1, .timeout_ms = -1},
                                {.after = 2, .timeout_ms = -1},
                                {.after = 3, .timeout_ms = -1},
                                {.after = 99, .timeout_ms = 60}};
    quipu *store = open_store();

    begin_waiters(waiters, 5, store);
    end_waiters(waiters + 4, 1);
    cr_expect_eq(waiters[4].got, 0, "the last one was not the watcher");
    end_waiters(waiters, 1);
    cr_expect_eq(waiters[0].got, 0, "in time");
    cr_assert_eq(append(store), QUIPU_OK, "nobody waits for the first");
    for (unsigned i = 1; i < 4; i++) {
        cr_assert_eq(append(store), QUIPU_OK);
        end_waiters(waiters + i, 1);
        cr_expect(waiters[i].got == 1 && waiters[i].head == i + 1, "head %lu", waiters[i].head);
    }
    cr_expect_eq(store->handle->waiting.untold, 0);
    quipu_close(store);
}

/* Who watches on tells the others. */
Test(wait, beside_a_watcher_that_stays)
{
    struct waiter waiters[3] = {{.after = 1, .timeout_ms = PATIENCE_MS},
                                {.after = 0, .timeout_ms = PATIENCE_MS},
                                {.after = 0, .timeout_ms = PATIENCE_MS}};
    quipu *store = open_store();

    begin_waiters(waiters, 3, store);
    cr_assert_eq(append(store), QUIPU_OK);
    end_waiters(waiters + 1, 2);
    for (unsigned i = 1; i < 3; i++) {
        cr_expect(waiters[i].got == 1 && waiters[i].head == 1, "head %lu", waiters[i].head);
        cr_expect_lt(waiters[i].took_ns, PATIENCE_MS * QP_NS_PER_MS);
    }
    cr_expect(is_watched(store));
    cr_assert_eq(append(store), QUIPU_OK);
    end_waiters(waiters, 1);
    cr_expect(waiters[0].got == 1 && waiters[0].head == 2, "head %lu", waiters[0].head);
    quipu_close(store);
}

/* Waits of any length, among commits that come close to their ends: no event is missed for good. */
Test(wait, of_different_lengths)
{
    enum { WAITERS = 8, ROUNDS = 60 };
    struct support_random random = {.state = 7};
    quipu *store = open_store();
    uint64_t head = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct waiter waiters[WAITERS];
        uint64_t before;

        cr_assert_eq(quipu_head(store, &before, &why), QUIPU_OK);
        for (unsigned i = 0; i < WAITERS; i++) {
            waiters[i] = (struct waiter){
                .store = store,
                .after = before + support_random_below(&random, 3),
                .timeout_ms = i == 0 ? PATIENCE_MS : (int)support_random_below(&random, 8)};
            waiters[i].after = i == 0 ? before + 2 : waiters[i].after;
            cr_assert_eq(pthread_create(&waiters[i].thread, NULL, wait_once, &waiters[i]), 0);
        }
        for (unsigned i = 0; i < 3; i++) {
            qp_clock_sleep_ns((int64_t)support_random_below(&random, 4 * QP_NS_PER_MS));
            cr_assert_eq(append(store), QUIPU_OK);
        }
        end_waiters(waiters, WAITERS);
        for (unsigned i = 0; i < WAITERS; i++) {
            cr_expect_eq(waiters[i].got, waiters[i].head > waiters[i].after);
            cr_expect(waiters[i].got == 1 ||
                      waiters[i].took_ns >= waiters[i].timeout_ms * QP_NS_PER_MS);
        }
        cr_expect_eq(waiters[0].head, before + 3, "%lu", waiters[0].head);
    }
    cr_assert_eq(quipu_head(store, &head, &why), QUIPU_OK);
    cr_expect_eq(head, 3 * ROUNDS);
    cr_expect_eq(store->handle->waiting.untold, 0);
    quipu_close(store);
}

static quipu *beside;
static int (*commit_once)(quipu *store) = append;

static void *append_beside(void *payload)
{
    (void)payload;
    if (commit_once(beside) != QUIPU_OK)
        abort();
    return NULL;
}

static void commit_beside(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, append_beside, NULL) != 0 || pthread_join(thread, NULL) != 0)
        abort();
}

/* A wait releases a lock seven times until it sleeps, and once at each look thereafter. A whole
 * commit at any of these moments is seen, or does not let it sleep. */
Test(wait, for_a_commit_at_each_of_its_steps)
{
    enum { STEPS = 12 };

    beside = open_store();
    for (unsigned step = 1; step <= STEPS; step++) {
        uint64_t head = 0;

        unlocks_left = step;
        cr_expect_eq(quipu_wait(beside, step - 1, PATIENCE_MS, &head, &why), 1);
        cr_expect_eq(unlocks_left, 0);
        cr_expect_eq(head, step);
        cr_expect_eq(beside->handle->waiting.untold, 0, "lost at step %u", step);
        beside->handle->waiting.untold = 0;
    }
    quipu_close(beside);
}

Test(wait, for_any_commit_at_each_of_its_steps)
{
    enum { STEPS = 12 };

    beside = open_store();
    commit_once = move_mark;
    for (unsigned step = 1; step <= STEPS; step++) {
        uint64_t before = newest_of(beside);
        struct waiter waiter = {
            .store = beside, .what = FOR_COMMIT, .after = before, .timeout_ms = PATIENCE_MS};

        unlocks_left = step;
        cr_expect_eq(wait_inside(&waiter), QUIPU_ROW);
        cr_expect_eq(unlocks_left, 0);
        cr_expect_eq(waiter.head, before + 1);
        cr_expect_eq(beside->handle->waiting.untold, 0, "lost at step %u", step);
        beside->handle->waiting.untold = 0;
    }
    quipu_close(beside);
}

/* A child that runs on the store of its parent, which it opens when it is told to through `*go`. */
static pid_t begin_child(void (*run)(quipu *store, int told), int *go)
{
    int ends[2];
    pid_t child;
    char byte;

    (void)support_dir(); /* one for both */
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    child = fork();
    if (child == 0) {
        quipu *store;

        (void)close(ends[1]);
        if (read(ends[0], &byte, 1) != 1)
            _exit(1);
        store = open_store();
        if (store == NULL)
            _exit(2);
        run(store, ends[0]);
        quipu_close(store);
        _exit(0);
    }
    (void)close(ends[0]);
    *go = ends[1];
    return child;
}

static void wait_and_die(quipu *store, int told)
{
    struct waiter waiter = {.after = 1000, .timeout_ms = -1};

    begin_waiters(&waiter, 1, store);
    cr_assert_eq(write(told, "x", 1), 1);
    end_waiters(&waiter, 1);
}

/* Who is killed in its sleep costs the next commit one call that wakes nobody, and no other one. */
Test(wait, of_one_that_is_killed)
{
    int go;
    pid_t child = begin_child(wait_and_die, &go);
    quipu *store = open_store();
    struct waiter waiter = {.after = 11, .timeout_ms = PATIENCE_MS};
    char byte;

    cr_assert_eq(write(go, "x", 1), 1);
    cr_assert_eq(read(go, &byte, 1), 1);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    atomic_store(&wakes, 0);
    cr_assert_eq(append(store), QUIPU_OK);
    cr_expect_eq(atomic_load(&wakes), 1, "it slept");
    for (int i = 0; i < 10; i++)
        cr_assert_eq(append(store), QUIPU_OK);
    cr_expect_eq(atomic_load(&wakes), 1, "and is forgotten: %u calls", atomic_load(&wakes));
    begin_waiters(&waiter, 1, store);
    cr_assert_eq(append(store), QUIPU_OK);
    end_waiters(&waiter, 1);
    cr_expect_eq(waiter.head, 12);
    cr_expect_eq(store->handle->waiting.untold, 0);
    (void)close(go);
    quipu_close(store);
}

static void commit_and_die(quipu *store, int told)
{
    uint64_t head;

    (void)told;
    (void)quipu_head(store, &head, NULL); /* has its slots as a reader, which take a lock too */
    atomic_store(&die_unlocking, true);
    (void)append(store);
}

/* Its commit is in, and nobody counts it: whoever waits finds it all the same. */
Test(wait, for_one_that_dies_before_it_tells)
{
    int go;
    pid_t child = begin_child(commit_and_die, &go);
    quipu *store = open_store();
    struct waiter waiters[2] = {{.after = 0, .timeout_ms = PATIENCE_MS},
                                {.after = 0, .timeout_ms = PATIENCE_MS}};
    int status;

    begin_waiters(waiters, 2, store);
    cr_assert_eq(write(go, "x", 1), 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%x", (unsigned)status);
    end_waiters(waiters, 2);
    for (unsigned i = 0; i < 2; i++)
        cr_expect(waiters[i].got == 1 && waiters[i].head == 1 &&
                      waiters[i].took_ns < PATIENCE_MS * QP_NS_PER_MS,
                  "%d", waiters[i].got);
    /* By whoever watches; by the second one too if it had looked and not slept yet by then. */
    cr_expect(store->handle->waiting.untold == 1 || store->handle->waiting.untold == 2, "%lu",
              store->handle->waiting.untold);
    (void)close(go);
    quipu_close(store);
}

static void move_mark_and_die(quipu *store, int told)
{
    uint64_t head;

    (void)told;
    (void)quipu_head(store, &head, NULL);
    atomic_store(&die_unlocking, true);
    (void)move_mark(store);
}

Test(wait, for_one_that_dies_before_it_tells_of_a_mark)
{
    int go;
    pid_t child = begin_child(move_mark_and_die, &go);
    quipu *store = open_store();
    uint64_t newest = newest_of(store);
    struct waiter waiters[2] = {{.what = FOR_COMMIT, .after = newest, .timeout_ms = PATIENCE_MS},
                                {.what = FOR_COMMIT, .after = newest, .timeout_ms = PATIENCE_MS}};
    int status;

    begin_waiters(waiters, 2, store);
    cr_assert_eq(write(go, "x", 1), 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%x", (unsigned)status);
    end_waiters(waiters, 2);
    for (unsigned i = 0; i < 2; i++)
        cr_expect(waiters[i].got == 1 && waiters[i].head > newest &&
                      waiters[i].took_ns < PATIENCE_MS * QP_NS_PER_MS,
                  "%d", waiters[i].got);
    cr_expect(store->handle->waiting.untold == 1 || store->handle->waiting.untold == 2, "%lu",
              store->handle->waiting.untold);
    (void)close(go);
    quipu_close(store);
}

/* The same of one that is stopped between counting and waking. */
Test(wait, for_a_wake_that_does_not_come)
{
    struct waiter waiter = {.after = 0, .timeout_ms = PATIENCE_MS};
    quipu *store = open_store();

    begin_waiters(&waiter, 1, store);
    atomic_store(&lose_wakes, true);
    cr_assert_eq(append(store), QUIPU_OK);
    end_waiters(&waiter, 1);
    cr_expect_eq(waiter.got, 1);
    cr_expect_lt(waiter.took_ns, PATIENCE_MS * QP_NS_PER_MS);
    cr_expect_eq(store->handle->waiting.untold, 1);
    atomic_store(&lose_wakes, false);
    quipu_close(store);
}

/* ---- for any commit -------------------------------------------------------------------------- */

Test(wait, a_look_for_any_commit)
{
    quipu *store = open_store();
    uint64_t before = newest_of(store);
    struct waiter waiter = {.store = store, .what = FOR_COMMIT, .after = before, .timeout_ms = 0};
    uint64_t head = 99;

    cr_expect_eq(wait_inside(&waiter), 0);
    cr_expect_eq(waiter.head, before);
    cr_assert_eq(move_mark(store), QUIPU_OK);
    cr_expect_eq(wait_inside(&waiter), QUIPU_ROW);
    cr_expect_eq(waiter.head, before + 1);
    cr_expect_eq(waiter.asked, 0, "it does not wait for what is there");
    cr_assert_eq(append(store), QUIPU_OK);
    cr_expect_eq(wait_inside(&waiter), QUIPU_ROW);
    cr_expect_eq(waiter.head, before + 2);
    cr_expect_eq(newest_of(store), before + 2);
    cr_expect_eq(quipu_wait(store, 1, 0, &head, &why), 0);
    cr_expect_eq(head, 1);
    quipu_close(store);
}

Test(wait, not_in_time_for_any_commit)
{
    quipu *store = open_store();
    uint64_t before = newest_of(store);
    struct waiter waiter = {.store = store, .what = FOR_COMMIT, .after = before, .timeout_ms = 40};

    cr_expect_null(wait_once(&waiter));
    cr_expect_eq(waiter.got, 0);
    cr_expect_eq(waiter.head, before);
    cr_expect_geq(waiter.took_ns, 40 * QP_NS_PER_MS);
    cr_expect_lt(waiter.took_ns, 10 * QP_NS_PER_S);
    waiter.end = true;
    waiter.head = 99;
    cr_expect_eq(wait_inside(&waiter), ENDED, "at once");
    cr_expect_eq(waiter.head, 99);
    quipu_close(store);
}

/* Who watches and who sleeps beside, of either kind: a mark wakes those that it concerns, and no
 * others; an event wakes all. */
Test(wait, of_both_kinds)
{
    for (unsigned first = 0; first < 2; first++) {
        quipu *store = open_store();
        uint64_t newest = newest_of(store);
        uint64_t head;
        struct waiter waiters[6];
        struct waiter *events = waiters + (first == 0 ? 0 : 3);
        struct waiter *commits = waiters + (first == 0 ? 3 : 0);
        unsigned asked[3];

        cr_assert_eq(quipu_wait(store, UINT64_MAX, 1, &head, &why), 0); /* has been told of it */
        for (unsigned i = 0; i < 3; i++) {
            events[i] =
                (struct waiter){.what = FOR_EVENTS_ASKED, .after = head, .timeout_ms = PATIENCE_MS};
            /* The first one stays. */
            commits[i] = (struct waiter){
                .what = FOR_COMMIT, .after = newest + (i == 0 ? 1 : 0), .timeout_ms = PATIENCE_MS};
        }
        begin_waiters(waiters, 6, store);
        for (unsigned i = 0; i < 3; i++)
            asked[i] = atomic_load(&events[i].asked);
        cr_assert_eq(move_mark(store), QUIPU_OK);
        end_waiters(commits + 1, 2);
        for (unsigned i = 1; i < 3; i++)
            cr_expect(commits[i].got == 1 && commits[i].head == newest + 1 &&
                          commits[i].took_ns < PATIENCE_MS * QP_NS_PER_MS / 2,
                      "%d, transaction %lu", commits[i].got, commits[i].head);
        qp_clock_sleep_ms(LATER_MS);
        for (unsigned i = 0; i < 3; i++) {
            cr_expect(!atomic_load(&events[i].over));
            cr_expect((first == 0 && i == 0) || atomic_load(&events[i].asked) == asked[i],
                      "%u was woken for nothing", i);
        }
        cr_expect(!atomic_load(&commits[0].over));
        cr_assert_eq(append(store), QUIPU_OK);
        end_waiters(commits, 1);
        end_waiters(events, 3);
        cr_expect(commits[0].got == 1 && commits[0].head == newest + 2);
        for (unsigned i = 0; i < 3; i++)
            cr_expect(events[i].got == 1 && events[i].head == head + 1 &&
                          events[i].took_ns < PATIENCE_MS * QP_NS_PER_MS / 2,
                      "%d, head %lu", events[i].got, events[i].head);
        cr_expect_eq(store->handle->waiting.untold, 0);
        quipu_close(store);
    }
}

/* Who leaves calls one of the other kind if there is none of its own. */
Test(wait, goes_on_with_the_other_kind)
{
    for (unsigned first = 0; first < 2; first++) {
        quipu *store = open_store();
        uint64_t newest = newest_of(store);
        uint64_t head;
        struct waiter waiters[3];

        cr_assert_eq(quipu_head(store, &head, &why), QUIPU_OK);
        for (unsigned i = 0; i < 3; i++) {
            bool events = (first == 0) == (i == 0);

            waiters[i] = (struct waiter){.what = events ? FOR_EVENTS_ASKED : FOR_COMMIT,
                                         .after = events ? head : newest,
                                         .timeout_ms = i == 0 ? 300 : PATIENCE_MS};
        }
        begin_waiters(waiters, 3, store);
        end_waiters(waiters, 1);
        cr_expect_eq(waiters[0].got, 0);
        cr_assert_eq(append(store), QUIPU_OK);
        end_waiters(waiters + 1, 2);
        for (unsigned i = 1; i < 3; i++)
            cr_expect(waiters[i].got == 1 && waiters[i].took_ns < PATIENCE_MS * QP_NS_PER_MS / 2,
                      "%d", waiters[i].got);
        cr_expect_eq(store->handle->waiting.untold, 0);
        quipu_close(store);
    }
}

static void move_mark_later(quipu *store, int told)
{
    char byte;

    for (int i = 0; i < 2; i++) {
        qp_clock_sleep_ms(LATER_MS);
        cr_assert_eq(move_mark(store), QUIPU_OK);
        cr_assert_eq(read(told, &byte, 1), 1); /* not before the first was seen */
    }
}

Test(wait, for_a_mark_of_a_process)
{
    int go;
    pid_t child = begin_child(move_mark_later, &go);
    quipu *store = open_store();
    struct waiter waiter = {
        .what = FOR_COMMIT, .after = newest_of(store), .timeout_ms = PATIENCE_MS};
    uint64_t before = waiter.after;
    int status;

    for (int i = 0; i < 2; i++) {
        waiter.after = before + (uint64_t)i;
        waiter.over = false;
        begin_waiters(&waiter, 1, store);
        cr_assert_eq(write(go, "x", 1), 1);
        end_waiters(&waiter, 1);
        cr_expect(waiter.got == 1 && waiter.head == waiter.after + 1, "%d, transaction %lu",
                  waiter.got, waiter.head);
    }
    cr_assert_eq(write(go, "x", 1), 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
    cr_expect_eq(store->handle->waiting.untold, 0);
    (void)close(go);
    quipu_close(store);
}

/* What it asks ends it, also from outside and beside a watcher. */
Test(wait, ends_when_it_is_told)
{
    struct waiter waiters[3];
    quipu *store = open_store();

    cr_assert_eq(quipu_wait(store, UINT64_MAX, 1, NULL, &why), 0); /* has been told of the log */
    for (unsigned i = 0; i < 3; i++)
        waiters[i] = (struct waiter){
            .what = i == 1 ? FOR_EVENTS_ASKED : FOR_COMMIT, .after = UINT64_MAX, .timeout_ms = -1};
    begin_waiters(waiters, 3, store);
    for (unsigned i = 3; i-- > 0;) {
        atomic_store(&waiters[i].end, true);
        qp_wait_disturb(store->handle);
        end_waiters(waiters + i, 1);
        cr_expect_eq(waiters[i].got, ENDED, "%d", waiters[i].got);
        cr_expect(i == 0 || !atomic_load(&waiters[i - 1].over));
    }
    quipu_close(store);
}

/* ---- what a wait holds ----------------------------------------------------------------------- */

Test(wait, holds_no_snapshot)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    quipu *store = open_store();
    struct waiter waiter = {.after = 1000, .timeout_ms = -1};

    begin_waiters(&waiter, 1, store);
    cr_assert_eq(quipu_stat_get(store, &stat, &why), QUIPU_OK);
    cr_expect_eq(stat.readers, 1, "the call's own: %u", stat.readers);
    quipu_close(store);
    end_waiters(&waiter, 1);
}

/* A close ends them, at once and in whatever they sleep. Whoever of all comes last closes the
 * files: what they leave is told by the end of each test. */
Test(wait, ends_with_its_store)
{
    enum { WAITERS = 8 };
    struct waiter waiters[WAITERS];

    for (unsigned count = 1; count <= WAITERS; count++) {
        quipu *store = open_store();

        cr_assert_not_null(store, "%s", why.text);
        for (unsigned i = 0; i < count; i++)
            waiters[i] = (struct waiter){
                .what = i % 2 == 0 ? FOR_EVENTS : FOR_COMMIT, .after = 1000, .timeout_ms = -1};
        begin_waiters(waiters, count, store);
        atomic_store(&wakes, 0);
        quipu_close(store);
        end_waiters(waiters, count);
        cr_expect_eq(atomic_load(&wakes), 1, "who watches is woken");
        for (unsigned i = 0; i < count; i++)
            cr_expect_eq(waiters[i].got, QUIPU_CLOSED, "%u: %d", i, waiters[i].got);
        store = open_store();
        cr_assert_not_null(store, "%s", why.text);
        cr_expect_eq(append(store), QUIPU_OK);
        quipu_close(store);
    }
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
