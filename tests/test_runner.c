/* test_runner.c - projections that are kept at the head by threads, what others say to them
 * meanwhile, and who waits for a view. */
#include "handles.h"
#include "project.h"
#include "support_suite.h"
#include "support_view.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

SUPPORT_SUITE(runner);

static quipu_error why;

/* What the store tells. */
static struct {
    pthread_mutex_t lock;
    char text[16384];
    size_t size;
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void tell(void *payload, int level, const char *text)
{
    (void)payload;
    (void)level;
    (void)pthread_mutex_lock(&told.lock);
    if (told.size + strlen(text) + 2 < sizeof(told.text))
        told.size +=
            (size_t)snprintf(told.text + told.size, sizeof(told.text) - told.size, "%s\n", text);
    (void)pthread_mutex_unlock(&told.lock);
}

/* How often a text was told. */
static int told_times(const char *part)
{
    const char *at = told.text;
    int count = 0;

    (void)pthread_mutex_lock(&told.lock);
    for (at = strstr(at, part); at != NULL; at = strstr(at + 1, part))
        count++;
    (void)pthread_mutex_unlock(&told.lock);
    return count;
}

static quipu *open_named(const char *name)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY,
                                   .log = tell};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    (void)quipu_open(support_path(path, name), &options, &store, &why);
    cr_assert_not_null(store, "%s", why.text);
    return store;
}

static quipu *open_store(void)
{
    return open_named("store");
}

#define EXPECT(status, call)                                                                       \
    do {                                                                                           \
        int got = (call);                                                                          \
        cr_expect_eq(got, (status), "%s: %d, not %d: %s", #call, got, (status), why.text);         \
    } while (0)

#define EXPECT_VIEW(store, name, text)                                                             \
    do {                                                                                           \
        const char *seen = support_view(store, name);                                              \
        cr_expect_str_eq(seen, text, "%s: \"%s\", not \"%s\"", name, seen, text);                  \
    } while (0)

static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void sleep_ms(long milliseconds)
{
    const struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

/* ---- projections ----------------------------------------------------------------------------- */

struct script {
    atomic_ullong poison; /* this event fails */
    atomic_int calls;
    atomic_int slow_ms; /* each event takes that long */
    atomic_int inside;  /* calls at this moment: never two */
    atomic_bool twice;
};

static int apply(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    struct script *script = payload;
    int rc = support_note(page, key, size, event);

    if (atomic_fetch_add(&script->inside, 1) > 0)
        atomic_store(&script->twice, true);
    atomic_fetch_add(&script->calls, 1);
    if (atomic_load(&script->slow_ms) > 0)
        sleep_ms(atomic_load(&script->slow_ms));
    atomic_fetch_sub(&script->inside, 1);
    if (event->position == atomic_load(&script->poison)) {
        (void)snprintf(error->text, sizeof(error->text), "poison");
        return QUIPU_INVALID;
    }
    return rc;
}

static quipu_projection projection_of(struct script *script, const char *name)
{
    return (quipu_projection){
        QUIPU_INIT(quipu_projection),     .version = 1,   .name = name,     .retries = 1,
        .fault_policy = QUIPU_FAULT_STOP, .apply = apply, .payload = script};
}

static quipu_runner *start(quipu *store, const quipu_projection *projection, uint32_t threads)
{
    const quipu_projection *const all[] = {projection};
    quipu_runner *runner = NULL;

    EXPECT(QUIPU_OK, quipu_runner_start(store, all, 1, threads, &runner, &why));
    return runner;
}

static uint64_t append(quipu *store, const char *stream)
{
    quipu_receipt receipt = {0};
    const quipu_draft draft = {.type = "T"};

    EXPECT(QUIPU_OK, quipu_append(store, stream, QUIPU_ANY, &draft, 1, &receipt, &why));
    return receipt.last_position;
}

static void append_many(quipu *store, int count)
{
    quipu_batch *batch = quipu_batch_new();

    for (int i = 0; i < count; i++) {
        const quipu_draft draft = {.type = "T"};
        char name[16];

        (void)snprintf(name, sizeof(name), "k-%d", i);
        (void)quipu_batch_append(batch, name, QUIPU_ANY, &draft, 1);
    }
    EXPECT(QUIPU_OK, quipu_commit(store, batch, NULL, &why));
    quipu_batch_free(batch);
}

static int control(quipu *store, const char *name, int order)
{
    return quipu_projection_control(store, name, order, 0, NULL, &why);
}

/* ---- waiting for a view ---------------------------------------------------------------------- */

Test(runner, who_appends_reads_its_own_writes)
{
    quipu *store = open_store();
    struct script script = {.poison = 0};
    const quipu_projection projection = projection_of(&script, "p");
    quipu_runner *runner = start(store, &projection, 1);

    for (int i = 0; i < 200; i++) {
        uint64_t position = append(store, "s");
        char end[32];
        const char *value;

        EXPECT(QUIPU_OK, quipu_view_wait(store, "p", position, 20000, &why));
        value = support_view_value(store, "p", "s");
        (void)snprintf(end, sizeof(end), "%llu", (unsigned long long)position);
        cr_assert(value != NULL && strstr(value, end) != NULL, "%s is not there", end);
    }
    EXPECT(QUIPU_OK, quipu_runner_stop(runner, &why));
    quipu_close(store);
}

Test(runner, a_wait_that_ends_otherwise)
{
    quipu *store = open_store();
    struct script script = {.poison = 3};
    const quipu_projection projection = projection_of(&script, "p");
    char *long_name = support_repeat('n', 128);
    double begun;

    EXPECT(QUIPU_NOT_FOUND, quipu_view_wait(store, "p", 1, -1, &why));
    cr_expect_not_null(strstr(why.text, "no projection p"), "%s", why.text);
    (void)append(store, "a");
    EXPECT(QUIPU_OK, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", 0, 0, &why));
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", 1, 0, &why));
    EXPECT(QUIPU_TIMEOUT, quipu_view_wait(store, "p", 2, 0, &why));
    cr_expect_not_null(strstr(why.text, "p has not come to position 2"), "%s", why.text);
    begun = seconds();
    EXPECT(QUIPU_TIMEOUT, quipu_view_wait(store, "p", 2, 100, &why));
    cr_expect(seconds() - begun >= 0.1 && seconds() - begun < 5);
    EXPECT(QUIPU_MISUSE, quipu_view_wait(store, "p", 1, -2, &why));
    EXPECT(QUIPU_INVALID, quipu_view_wait(store, "", 1, 0, &why));
    EXPECT(QUIPU_TOO_LARGE, quipu_view_wait(store, long_name, 1, 0, &why));
    EXPECT(QUIPU_MISUSE, quipu_view_wait(NULL, "p", 1, 0, &why));

    (void)append(store, "b");
    (void)append(store, "c");
    EXPECT(QUIPU_FAULTED, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", 2, -1, &why));
    EXPECT(QUIPU_FAULTED, quipu_view_wait(store, "p", 3, -1, &why));
    EXPECT(QUIPU_OK, control(store, "p", QUIPU_DELETE));
    EXPECT(QUIPU_NOT_FOUND, quipu_view_wait(store, "p", 1, -1, &why));
    free(long_name);
    quipu_close(store);
}

/* One that waits already is told. */
struct waiter {
    quipu *store;
    uint64_t position;
    int rc;
    double took;
};

static void *wait_for_view(void *payload)
{
    struct waiter *waiter = payload;
    double begun = seconds();

    waiter->rc = quipu_view_wait(waiter->store, "p", waiter->position, 20000, NULL);
    waiter->took = seconds() - begun;
    return NULL;
}

static int wait_while(quipu *store, uint64_t position, void (*then)(quipu *store, void *payload),
                      void *payload)
{
    struct waiter waiter = {.store = store, .position = position};
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, wait_for_view, &waiter), 0);
    sleep_ms(100);
    then(store, payload);
    (void)pthread_join(thread, NULL);
    cr_expect_lt(waiter.took, 5.0, "it was not told");
    return waiter.rc;
}

static void close_it(quipu *store, void *payload)
{
    (void)payload;
    quipu_close(store);
}

static void delete_it(quipu *store, void *payload)
{
    (void)payload;
    EXPECT(QUIPU_OK, control(store, "p", QUIPU_DELETE));
}

static void project_it(quipu *store, void *payload)
{
    (void)quipu_project(store, payload, NULL, NULL, NULL, &why);
}

Test(runner, who_waits_already_is_told)
{
    struct script script = {.poison = 2};
    const quipu_projection projection = projection_of(&script, "p");
    quipu *store = open_store();

    (void)append(store, "a");
    project_it(store, (void *)(uintptr_t)&projection);
    (void)append(store, "a");
    EXPECT(QUIPU_FAULTED, wait_while(store, 2, project_it, (void *)(uintptr_t)&projection));
    script.poison = 0;
    EXPECT(QUIPU_OK, control(store, "p", QUIPU_RESUME));
    EXPECT(QUIPU_OK, wait_while(store, 2, project_it, (void *)(uintptr_t)&projection));
    EXPECT(QUIPU_NOT_FOUND, wait_while(store, 3, delete_it, NULL));
    project_it(store, (void *)(uintptr_t)&projection);
    EXPECT(QUIPU_CLOSED, wait_while(store, 3, close_it, NULL));
}

/* ---- runners --------------------------------------------------------------------------------- */

Test(runner, several_projections_on_some_threads)
{
    enum { COUNT = 9 };
    static const char *const names[COUNT] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};

    for (uint32_t threads = 0; threads <= 4; threads++) {
        char path[SUPPORT_PATH_BYTES];
        quipu *store = open_store();
        struct script scripts[COUNT] = {{.poison = 0}};
        quipu_projection projections[COUNT];
        const quipu_projection *all[COUNT];
        quipu_runner *runner = NULL;
        uint64_t position = 0;

        for (int i = 0; i < COUNT; i++) {
            projections[i] = projection_of(&scripts[i], names[i]);
            projections[i].page_events = (uint32_t)i + 1;
            all[i] = &projections[i];
        }
        (void)append(store, "before");
        EXPECT(QUIPU_OK, quipu_runner_start(store, all, COUNT, threads, &runner, &why));
        memset(projections, 0xff, sizeof(projections)); /* they were copied */
        memset(all, 0, sizeof(all));
        for (int i = 0; i < 40; i++)
            position = append(store, i % 2 == 0 ? "x" : "y");
        for (int i = 0; i < COUNT; i++) {
            EXPECT(QUIPU_OK, quipu_view_wait(store, names[i], position, 20000, &why));
            EXPECT_VIEW(store, names[i],
                        "before=1 x=2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32,34,36,38,40 "
                        "y=3,5,7,9,11,13,15,17,19,21,23,25,27,29,31,33,35,37,39,41 @41");
            cr_expect(!atomic_load(&scripts[i].twice), "by one thread at a time");
        }
        EXPECT(QUIPU_OK, quipu_runner_stop(runner, &why));
        quipu_close(store);
        support_remove(support_path(path, "store"));
    }
}

Test(runner, starts_that_fail)
{
    quipu *store = open_store();
    struct script script = {.poison = 0};
    quipu_projection projection = projection_of(&script, "p");
    quipu_projection other = projection_of(&script, "q");
    const quipu_projection *const twice[] = {&projection, &projection};
    const quipu_projection *const both[] = {&other, &projection};
    quipu_runner *runner = (quipu_runner *)&script;

    EXPECT(QUIPU_MISUSE, quipu_runner_start(store, both, 0, 1, &runner, &why));
    cr_expect_null(runner);
    EXPECT(QUIPU_MISUSE, quipu_runner_start(store, NULL, 1, 1, &runner, &why));
    EXPECT(QUIPU_MISUSE, quipu_runner_start(store, both, 1, 1, NULL, &why));
    EXPECT(QUIPU_MISUSE, quipu_runner_start(NULL, both, 1, 1, &runner, &why));
    EXPECT(QUIPU_MISUSE, quipu_runner_start(store, twice, 2, 1, &runner, &why));
    EXPECT(QUIPU_TOO_LARGE, quipu_runner_start(store, both, 1025, 1, &runner, &why));
    EXPECT(QUIPU_TOO_LARGE, quipu_runner_start(store, both, 2, 1025, &runner, &why));
    projection.mode = QUIPU_LIVE;
    EXPECT(QUIPU_MISUSE, quipu_runner_start(store, both, 2, 1, &runner, &why));
    projection.mode = QUIPU_ASYNC;
    projection.version = 2;
    (void)append(store, "s");
    EXPECT(QUIPU_OK, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    projection.version = 1;
    EXPECT(QUIPU_CONFLICT, quipu_runner_start(store, both, 2, 1, &runner, &why));
    cr_expect_null(runner);
    EXPECT(QUIPU_OK, quipu_runner_stop(NULL, &why));
    quipu_close(store);
}

/* A page is ended where it is, and the lease given back: the next one need not wait for it. */
Test(runner, it_stops_soon_and_another_goes_on)
{
    quipu *store = open_store();
    struct script script = {.slow_ms = 2};
    const quipu_projection projection = projection_of(&script, "p");
    quipu_runner *runner;
    double begun;

    append_many(store, 3000);
    runner = start(store, &projection, 2);
    sleep_ms(150);
    begun = seconds();
    EXPECT(QUIPU_OK, quipu_runner_stop(runner, &why));
    cr_expect_lt(seconds() - begun, 1.0);
    cr_expect_lt(atomic_load(&script.calls), 3000);
    atomic_store(&script.slow_ms, 0);
    begun = seconds();
    EXPECT(QUIPU_OK, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    cr_expect_lt(seconds() - begun, 5.0);
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", 3000, 0, &why));
    quipu_close(store);
}

/* While it waits to try an event again, too. */
Test(runner, it_stops_between_attempts)
{
    quipu *store = open_store();
    struct script script = {.poison = 1};
    quipu_projection projection = projection_of(&script, "p");
    quipu_runner *runner;
    double begun;

    projection.retries = 1000;
    (void)append(store, "s");
    runner = start(store, &projection, 1);
    while (atomic_load(&script.calls) < 4) /* from now on it waits for a second each time */
        sleep_ms(1);
    begun = seconds();
    (void)quipu_runner_stop(runner, &why);
    cr_expect_lt(seconds() - begun, 1.5);
    EXPECT_VIEW(store, "p", "@0");
    quipu_close(store);
}

Test(runner, its_store_is_closed_before_it_is_stopped)
{
    quipu *store = open_store();
    struct script script = {.slow_ms = 1};
    const quipu_projection projection = projection_of(&script, "p");
    quipu_runner *runner;
    double begun;
    int calls;

    append_many(store, 3000);
    runner = start(store, &projection, 3);
    sleep_ms(50);
    quipu_close(store);
    sleep_ms(1000);
    calls = atomic_load(&script.calls);
    sleep_ms(100);
    cr_expect_eq(atomic_load(&script.calls), calls, "it has ended by itself");
    begun = seconds();
    (void)quipu_runner_stop(runner, &why);
    cr_expect_lt(seconds() - begun, 1.0);

    store = open_store();
    atomic_store(&script.slow_ms, 0);
    EXPECT(QUIPU_OK, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", 3000, 0, &why));
    quipu_close(store);
}

/* One folds, the other waits, and goes on when the first is stopped. */
Test(runner, two_with_one_projection)
{
    quipu *store = open_store();
    struct script script = {.poison = 0};
    const quipu_projection projection = projection_of(&script, "p");
    quipu_runner *first = start(store, &projection, 1);
    quipu_runner *second;
    uint64_t position = 0;
    double begun;

    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", append(store, "s"), 20000, &why));
    second = start(store, &projection, 2);
    for (int i = 0; i < 50; i++)
        position = append(store, "s");
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", position, 20000, &why));
    /* Who projects beside them waits for their work. */
    position = append(store, "s");
    EXPECT(QUIPU_OK, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", position, 0, &why));
    cr_expect_eq(atomic_load(&script.calls), (int)position, "nothing is folded twice");
    EXPECT(QUIPU_OK, quipu_runner_stop(first, &why));
    begun = seconds();
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", append(store, "s"), 20000, &why));
    cr_expect_lt(seconds() - begun, 1.0);
    cr_expect(!atomic_load(&script.twice));
    EXPECT(QUIPU_OK, quipu_runner_stop(second, &why));
    quipu_close(store);
}

/* ---- orders meanwhile ------------------------------------------------------------------------ */

Test(runner, orders_while_it_runs)
{
    quipu *store = open_store();
    struct script script = {.poison = 0};
    const quipu_projection projection = projection_of(&script, "p");
    quipu_runner *runner = start(store, &projection, 2);

    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", append(store, "a"), 20000, &why));
    EXPECT(QUIPU_OK, control(store, "p", QUIPU_PAUSE));
    EXPECT(QUIPU_TIMEOUT, quipu_view_wait(store, "p", append(store, "a"), 300, &why));
    EXPECT_VIEW(store, "p", "a=1 @1");
    EXPECT(QUIPU_OK, control(store, "p", QUIPU_RESUME));
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", 2, 20000, &why));

    atomic_store(&script.calls, 0);
    EXPECT(QUIPU_OK, control(store, "p", QUIPU_REWIND));
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", append(store, "b"), 20000, &why));
    EXPECT_VIEW(store, "p", "a=1,2 b=3 @3");
    cr_expect_eq(atomic_load(&script.calls), 3, "from the first event on");

    EXPECT(QUIPU_OK, control(store, "p", QUIPU_DELETE));
    for (int i = 0; i < 2000 && strcmp(support_view(store, "p"), "a=1,2 b=3 @3") != 0; i++)
        sleep_ms(10);
    EXPECT_VIEW(store, "p", "a=1,2 b=3 @3"); /* it is still asked for: made anew */

    atomic_store(&script.poison, 4);
    EXPECT(QUIPU_FAULTED, quipu_view_wait(store, "p", append(store, "a"), 20000, &why));
    EXPECT(QUIPU_OK, control(store, "p", QUIPU_SKIP));
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", append(store, "a"), 20000, &why));
    EXPECT_VIEW(store, "p", "a=1,2,5 b=3 @5");
    EXPECT(QUIPU_OK, quipu_runner_stop(runner, &why));
    quipu_close(store);
}

/* Who projects one that is paused need not wait for its runner. */
Test(runner, one_that_is_paused_is_nobodys)
{
    quipu *store = open_store();
    struct script script = {.poison = 0};
    const quipu_projection projection = projection_of(&script, "p");
    quipu_runner *runner = start(store, &projection, 1);
    quipu_progress progress = {QUIPU_INIT(quipu_progress), .status = 99};
    double begun;

    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", append(store, "a"), 20000, &why));
    EXPECT(QUIPU_OK, control(store, "p", QUIPU_PAUSE));
    (void)append(store, "a");
    begun = seconds();
    EXPECT(QUIPU_OK, quipu_project(store, &projection, NULL, NULL, &progress, &why));
    cr_expect_lt(seconds() - begun, 5.0);
    cr_expect_eq(progress.status, QUIPU_PROJECTION_PAUSED);
    cr_expect_eq(progress.mark, 1);
    EXPECT(QUIPU_OK, quipu_runner_stop(runner, &why));
    quipu_close(store);
}

/* ---- what fails ------------------------------------------------------------------------------ */

/* Told once for each projection, and not at each look; mended by an order. */
Test(runner, what_it_fails_at_is_told)
{
    quipu *store = open_store();
    struct script script = {.poison = 1};
    const quipu_projection one = projection_of(&script, "one");
    const quipu_projection two = projection_of(&script, "two");
    const quipu_projection *const all[] = {&one, &two};
    quipu_runner *runner = NULL;

    EXPECT(QUIPU_OK, quipu_runner_start(store, all, 2, 2, &runner, &why));
    (void)append(store, "s");
    EXPECT(QUIPU_FAULTED, quipu_view_wait(store, "one", 1, 20000, &why));
    EXPECT(QUIPU_FAULTED, quipu_view_wait(store, "two", 1, 20000, &why));
    for (int i = 0; i < 5; i++)
        (void)append(store, "t");
    for (int i = 0; i < 1000 && told_times("has stopped") < 2; i++)
        sleep_ms(10);
    sleep_ms(200);
    cr_expect_eq(told_times("projection one has stopped at position 1: poison"), 1);
    cr_expect_eq(told_times("projection two has stopped at position 1: poison"), 1);

    atomic_store(&script.poison, 0);
    EXPECT(QUIPU_OK, control(store, "one", QUIPU_RESUME));
    EXPECT(QUIPU_OK, quipu_view_wait(store, "one", 6, 20000, &why));
    EXPECT_VIEW(store, "one", "s=1 t=2,3,4,5,6 @6");
    why = (quipu_error){0};
    EXPECT(QUIPU_FAULTED, quipu_runner_stop(runner, &why)); /* two is still stopped */
    cr_expect_not_null(strstr(why.text, "two has stopped"), "%s", why.text);
    quipu_close(store);
}

/* A newer version is begun by somebody else: the old function must not go on. */
Test(runner, a_newer_version_elsewhere)
{
    quipu *store = open_store();
    struct script script = {.poison = 0};
    struct script newer = {.poison = 0};
    const quipu_projection projection = projection_of(&script, "p");
    quipu_projection next = projection_of(&newer, "p");
    quipu_runner *runner = start(store, &projection, 1);
    int calls;

    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", append(store, "a"), 20000, &why));
    next.version = 2;
    EXPECT(QUIPU_OK, quipu_runner_stop(runner, &why));
    runner = start(store, &projection, 1);
    sleep_ms(50);
    EXPECT(QUIPU_OK, control(store, "p", QUIPU_PAUSE));
    EXPECT(QUIPU_OK, control(store, "p", QUIPU_RESUME));
    EXPECT(QUIPU_OK, quipu_runner_stop(runner, &why));
    EXPECT(QUIPU_OK, quipu_project(store, &next, NULL, NULL, NULL, &why));
    cr_expect_eq(atomic_load(&newer.calls), 1);
    calls = atomic_load(&script.calls);
    EXPECT(QUIPU_CONFLICT, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    cr_expect_not_null(strstr(why.text, "has version 2, this is 1"), "%s", why.text);
    cr_expect_eq(atomic_load(&script.calls), calls);
    quipu_close(store);
}

/* ---- leases ---------------------------------------------------------------------------------- */

static int note_apply(struct qp_folding *folding, struct qp_bytes key, const quipu_event *event,
                      quipu_error *error)
{
    (void)event;
    (void)error;
    return qp_folding_put(folding, key, key);
}

static void step_all(struct qp_run *run)
{
    int rc = QUIPU_ROW;

    for (int i = 0; i < 20 && rc == QUIPU_ROW; i++)
        rc = qp_run_step(run, &why);
    cr_expect_eq(rc, QUIPU_OK, "%s", why.text);
}

/* Who had the lease of one that was deleted does not have that of the one that was made anew. */
Test(runner, a_lease_ends_with_its_projection)
{
    quipu *store = open_store();
    struct qp_projection projection = {
        .name = "p", .version = 1, .retries = 1, .page_events = 9, .apply = note_apply};
    struct qp_run before;
    struct qp_run after;

    projection.name_bytes = (struct qp_bytes){projection.name, 1};
    append_many(store, 3);
    qp_run_begin(&before, store->handle, &projection);
    before.stays = true;
    step_all(&before);
    cr_expect_eq(control(store, "p", QUIPU_DELETE), QUIPU_OK);
    qp_run_begin(&after, store->handle, &projection);
    after.stays = true;
    step_all(&after);
    append_many(store, 1);
    cr_expect_eq(qp_run_step(&before, &why), QUIPU_BUSY, "it has no lease");
    step_all(&after);
    qp_run_end(&before);
    qp_run_end(&after);
    quipu_close(store);
}

/* Who waits for the one that runs it waits for its own version, and for what was ordered: the mark
 * alone says neither. */
Test(runner, as_far_is_not_yet_done)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY,
                                   .busy_timeout_ms = 200};
    struct qp_projection held = {
        .name = "p", .version = 1, .retries = 1, .page_events = 9, .apply = note_apply};
    struct script script = {.poison = 0};
    quipu_projection projection = projection_of(&script, "p");
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    struct qp_run run;

    EXPECT(QUIPU_OK, quipu_open(support_path(path, "store"), &options, &store, &why));
    held.name_bytes = (struct qp_bytes){held.name, 1};
    append_many(store, 3);
    qp_run_begin(&run, store->handle, &held);
    run.stays = true;
    step_all(&run);
    EXPECT(QUIPU_OK, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    projection.version = 2;
    EXPECT(QUIPU_BUSY, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    projection.version = 1;
    EXPECT(QUIPU_OK, control(store, "p", QUIPU_REWIND));
    EXPECT(QUIPU_BUSY, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    step_all(&run);
    EXPECT(QUIPU_OK, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    qp_run_end(&run);
    projection.version = 2;
    EXPECT(QUIPU_OK, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    cr_expect_eq(atomic_load(&script.calls), 3);
    quipu_close(store);
}
