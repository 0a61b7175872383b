/* stress_views.c - threads that append, project, look at views, wait for them and give orders, all
 * at once, while runners come and go. Each view counts its events by stream, and whenever one looks
 * the counts come to its mark.
 *
 * stress_views [--seconds N] [--seed N]    built with ThreadSanitizer it looks for races */
#include "quipu.h"
#include "support_system.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS = 30, ASYNCS = 4 };

static quipu *store;
static atomic_bool stop;
static atomic_ullong acked;   /* newest position that somebody was told of */
static atomic_bool reading;   /* a live view is folded now and then: not by all at once */
static atomic_uint kept_busy; /* QUIPU_BUSY and QUIPU_CONFLICT, of those that may be told so */

/* ---- projections ----------------------------------------------------------------------------- */

static int count_event(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                       void *payload, quipu_error *error)
{
    uint64_t count = 0;
    quipu_value old;
    int rc = quipu_page_get(page, key, size, &old);

    (void)event;
    (void)payload;
    (void)error;
    if (rc == 1)
        memcpy(&count, old.data, sizeof(count));
    count++;
    return rc < 0 ? rc : quipu_page_put(page, key, size, &count, sizeof(count));
}

static const quipu_projection asyncs[ASYNCS] = {
    {QUIPU_INIT(quipu_projection), .version = 1, .name = "one", .page_events = 1,
     .apply = count_event},
    {QUIPU_INIT(quipu_projection), .version = 1, .name = "seven", .page_events = 7,
     .apply = count_event},
    {QUIPU_INIT(quipu_projection), .version = 1, .name = "many", .apply = count_event},
    {QUIPU_INIT(quipu_projection), .version = 1, .name = "quiet", .apply = count_event},
};
static const quipu_projection inlined = {QUIPU_INIT(quipu_projection), .version = 1,
                                         .name = "inline", .mode = QUIPU_INLINE,
                                         .apply = count_event};
static const quipu_projection live = {QUIPU_INIT(quipu_projection), .version = 1, .name = "live",
                                      .mode = QUIPU_LIVE, .apply = count_event};

/* The counts of a view come to its mark. */
static uint64_t check_view(const char *name, bool by_keys)
{
    quipu_view *view = NULL;
    quipu_error error = {0};
    quipu_value key;
    quipu_value value;
    uint64_t sum = 0;
    uint64_t mark;
    int rc = quipu_view_open(store, name, &view, &error);

    if (rc == QUIPU_NOT_FOUND)
        return 0; /* it is deleted now and then */
    CHECK(rc == QUIPU_OK, "%s: %d %s", name, rc, error.text);
    mark = quipu_view_mark(view);
    if (!by_keys)
        CHECK(quipu_view_scan(view, NULL, 0, NULL, 0, 0, NULL) == QUIPU_OK, "scan");
    for (unsigned i = 0; i < STREAMS || !by_keys; i++) {
        uint64_t count = 0;
        char stream[16];

        (void)snprintf(stream, sizeof(stream), "s-%u", i);
        rc = by_keys ? quipu_view_get(view, stream, strlen(stream), &value, &error)
                     : quipu_view_next(view, &key, &value, &error);
        CHECK(rc >= 0, "%s: %d %s", name, rc, error.text);
        if (rc == 0 && !by_keys)
            break;
        if (rc == 1)
            memcpy(&count, value.data, sizeof(count));
        sum += count;
    }
    CHECK(sum == mark, "%s has %" PRIu64 " events at %" PRIu64, name, sum, mark);
    quipu_view_close(view);
    return mark;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void append(struct sys_random *random)
{
    quipu_batch *batch = quipu_batch_new();
    const quipu_draft draft = {.type = "T"};
    quipu_error error = {0};
    quipu_receipt receipt;
    unsigned long long now = atomic_load(&acked);
    int rc;

    for (uint64_t i = 1 + sys_below(random, 4); i > 0; i--) {
        char name[16];

        (void)snprintf(name, sizeof(name), "s-%u", (unsigned)sys_below(random, STREAMS));
        (void)quipu_batch_append(batch, name, QUIPU_ANY, &draft, 1);
    }
    rc = quipu_commit(store, batch, &receipt, &error);
    CHECK(rc == QUIPU_OK, "append: %d %s", rc, error.text);
    quipu_batch_free(batch);
    rc = quipu_view_wait(store, "inline", receipt.last_position, 0, &error);
    CHECK(rc == QUIPU_OK, "the view is behind its commit: %d %s", rc, error.text);
    while (now < receipt.last_position &&
           !atomic_compare_exchange_weak(&acked, &now, receipt.last_position))
        continue;
}

static void look(struct sys_random *random)
{
    static const char *const names[] = {"one", "seven", "many", "quiet", "inline"};

    (void)check_view(names[sys_below(random, 5)], sys_chance(random, 50));
}

static void look_live(struct sys_random *random)
{
    uint64_t before = atomic_load(&acked);

    CHECK(!atomic_exchange(&reading, true), "one thread does this");
    CHECK(check_view("live", sys_chance(random, 50)) >= before, "a live view is old");
    atomic_store(&reading, false);
    sys_sleep_ms(20);
}

static void wait_for_view(struct sys_random *random)
{
    uint64_t position = atomic_load(&acked) + sys_below(random, 3);
    quipu_error error = {0};
    int rc = quipu_view_wait(store, asyncs[sys_below(random, ASYNCS)].name, position,
                             (int)sys_below(random, 50), &error);

    CHECK(rc == QUIPU_OK || rc == QUIPU_TIMEOUT || rc == QUIPU_NOT_FOUND, "wait: %d %s", rc,
          error.text);
}

/* Pages that somebody else is paused in, or deletes, are not waited for long. */
static int stop_soon(void *payload, const quipu_progress *progress)
{
    (void)progress;
    return --*(int *)payload <= 0;
}

static void project(struct sys_random *random)
{
    int pages = 1 + (int)sys_below(random, 20);
    quipu_error error = {0};
    int rc =
        quipu_project(store, &asyncs[sys_below(random, ASYNCS)], stop_soon, &pages, NULL, &error);

    CHECK(rc == QUIPU_OK || rc == QUIPU_BUSY, "project: %d %s", rc, error.text);
    atomic_fetch_add(&kept_busy, rc == QUIPU_BUSY);
}

static void run_for_a_while(struct sys_random *random)
{
    const quipu_projection *some[ASYNCS];
    size_t count = 1 + sys_below(random, ASYNCS);
    quipu_runner *runner = NULL;
    quipu_error error = {0};
    int rc;

    for (size_t i = 0; i < count; i++)
        some[i] = &asyncs[(i + count) % ASYNCS];
    rc = quipu_runner_start(store, some, count, (uint32_t)sys_below(random, 4), &runner, &error);
    CHECK(rc == QUIPU_OK, "runner: %d %s", rc, error.text);
    sys_sleep_ms((unsigned)sys_below(random, 100));
    rc = quipu_runner_stop(runner, &error);
    CHECK(rc == QUIPU_OK, "stop: %d %s", rc, error.text);
}

static void order(struct sys_random *random)
{
    static const int orders[] = {QUIPU_PAUSE,  QUIPU_RESUME, QUIPU_RESUME,
                                 QUIPU_REWIND, QUIPU_REWIND, QUIPU_DELETE};
    int control = orders[sys_below(random, 6)];
    quipu_error error = {0};
    int rc = quipu_projection_control(store, asyncs[sys_below(random, ASYNCS)].name, control, 0,
                                      NULL, &error);

    CHECK(rc == QUIPU_OK || rc == QUIPU_CONFLICT || rc == QUIPU_NOT_FOUND, "order %d: %d %s",
          control, rc, error.text);
    atomic_fetch_add(&kept_busy, rc == QUIPU_CONFLICT);
    sys_sleep_ms(10);
}

/* ---- main ------------------------------------------------------------------------------------ */

static const struct job {
    const char *name;
    void (*once)(struct sys_random *random);
    unsigned threads;
} jobs[] = {
    {"appends", append, 2},      {"looks", look, 2},       {"looks at a live one", look_live, 1},
    {"waits", wait_for_view, 2}, {"projects", project, 1}, {"runners", run_for_a_while, 2},
    {"orders", order, 1},
};

enum { JOBS = sizeof(jobs) / sizeof(jobs[0]), THREADS_MAX = 16 };

static struct worker {
    pthread_t thread;
    const struct job *job;
    struct sys_random random;
    uint64_t done;
} workers[THREADS_MAX];

static void *work(void *payload)
{
    struct worker *worker = payload;

    for (; !atomic_load(&stop); worker->done++)
        worker->job->once(&worker->random);
    return NULL;
}

static void run(unsigned seconds, unsigned seed)
{
    size_t count = 0;

    for (size_t i = 0; i < JOBS; i++)
        for (unsigned j = 0; j < jobs[i].threads; j++, count++) {
            workers[count].job = &jobs[i];
            workers[count].random.state = seed + count * 1000;
            CHECK(pthread_create(&workers[count].thread, NULL, work, &workers[count]) == 0,
                  "thread");
        }
    sys_sleep_ms(seconds * 1000);
    atomic_store(&stop, true);
    for (size_t i = 0; i < count; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0, "join");
        (void)printf("%s %" PRIu64 ", ", workers[i].job->name, workers[i].done);
    }
    (void)printf("%u refused, %llu events\n", atomic_load(&kept_busy), atomic_load(&acked));
}

static void check_end(void)
{
    uint64_t head = 0;
    quipu_error error = {0};

    CHECK(quipu_head(store, &head, NULL) == QUIPU_OK && head == atomic_load(&acked), "head");
    for (size_t i = 0; i < ASYNCS; i++) {
        (void)quipu_projection_control(store, asyncs[i].name, QUIPU_RESUME, 0, NULL, NULL);
        CHECK(quipu_project(store, &asyncs[i], NULL, NULL, NULL, &error) == QUIPU_OK, "%s: %s",
              asyncs[i].name, error.text);
        CHECK(check_view(asyncs[i].name, false) == head, "%s", asyncs[i].name);
    }
    CHECK(check_view("inline", false) == head && check_view("live", false) == head, "mark");
}

int main(int count, char **arguments)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY};
    char directory[SYS_PATH_BYTES];
    char path[SYS_PATH_BYTES];
    unsigned seconds = 5;
    unsigned seed = (unsigned)sys_seed();

    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "--seconds") == 0)
            seconds = (unsigned)strtoul(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--seed") == 0)
            seed = (unsigned)strtoul(arguments[i + 1], NULL, 10);
    }
    (void)snprintf(sys_note, sizeof(sys_note), "stress_views --seconds %u --seed %u", seconds,
                   seed);
    (void)printf("%s\n", sys_note);
    sys_directory(directory, true);
    sys_join(path, directory, "store");
    CHECK(quipu_open(path, &options, &store, NULL) == QUIPU_OK, "open");
    CHECK(quipu_register(store, &inlined, NULL) == QUIPU_OK, "register");
    CHECK(quipu_register(store, &live, NULL) == QUIPU_OK, "register");
    run(seconds, seed);
    check_end();
    quipu_close(store);
    CHECK(quipu_verify(path, 0, NULL, NULL, NULL, NULL, NULL) == QUIPU_OK, "verify");
    sys_remove(directory);
    return 0;
}
