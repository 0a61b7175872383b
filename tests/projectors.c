/* projectors.c - processes that keep one projection up, and are killed and stopped: another one
 * goes on, and what each event was to do to the view is done once.
 *
 * projectors [--seconds S] [--seed N]
 *
 * The view has for each stream how many events it has seen and a sum over their positions in order;
 * the parent knows both from what it has appended. A mapped file says who folds just now, and lets
 * the parent hold somebody in the midst of a page.
 *
 * Children are this very program: projectors child STORE FILE THREADS, or inline STORE COUNT. */
#include "quipu.h"
#include "support_system.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { STREAMS = 20, CHILDREN = 3, KILLS = 5 };

#define TAKE_OVER_SECONDS 1.0 /* what is promised; a busy machine may miss it now and then */
#define LEASE_SECONDS     10.0

/* In a file that all processes map. */
static struct shared {
    atomic_int folds;     /* pid of who folded last */
    atomic_int held;      /* pid of who shall wait in `apply` */
    atomic_int is_held;   /* pid of who does */
    atomic_uint children; /* that have their runner */
} * shared;

static quipu *store;

static void map_shared(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    CHECK(fd >= 0 && ftruncate(fd, sizeof(*shared)) == 0, "%s", path);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(shared != MAP_FAILED, "map");
    (void)close(fd);
}

static void open_store(const char *path)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY};
    quipu_error error = {0};
    int rc = quipu_open(path, &options, &store, &error);

    CHECK(rc == QUIPU_OK, "open: %d %s", rc, error.text);
}

/* ---- the projection -------------------------------------------------------------------------- */

struct seen {
    uint64_t count;
    uint64_t sum;
};

static void see(struct seen *seen, uint64_t position)
{
    seen->count++;
    seen->sum = (seen->sum ^ position) * UINT64_C(0x9e3779b97f4a7c15);
    seen->sum ^= seen->sum >> 31;
}

static int apply(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    struct seen seen = {0};
    quipu_value old;
    int rc = quipu_page_get(page, key, size, &old);

    (void)payload;
    (void)error;
    if (rc == 1)
        memcpy(&seen, old.data, sizeof(seen));
    see(&seen, event->position);
    if (shared != NULL)
        atomic_store(&shared->folds, getpid());
    while (shared != NULL && atomic_load(&shared->held) == getpid()) {
        atomic_store(&shared->is_held, getpid());
        sys_sleep_ms(1);
    }
    return rc < 0 ? rc : quipu_page_put(page, key, size, &seen, sizeof(seen));
}

static const quipu_projection counts = {QUIPU_INIT(quipu_projection), .version = 1,
                                        .name = "counts", .page_events = 50, .apply = apply};
static const quipu_projection inlined = {QUIPU_INIT(quipu_projection), .version = 1,
                                         .name = "inlined", .mode = QUIPU_INLINE, .apply = apply};

/* ---- children -------------------------------------------------------------------------------- */

/* Runs until it is killed. */
static int child(char **arguments)
{
    const quipu_projection *const all[] = {&counts};
    quipu_runner *runner = NULL;
    quipu_error error = {0};
    int rc;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a check of the parent's may fail */
    map_shared(arguments[3]);
    open_store(arguments[2]);
    rc = quipu_runner_start(store, all, 1, (uint32_t)strtoul(arguments[4], NULL, 10), &runner,
                            &error);
    CHECK(rc == QUIPU_OK, "runner: %d %s", rc, error.text);
    atomic_fetch_add(&shared->children, 1);
    for (;;)
        sys_sleep_ms(1000);
}

static int child_inline(char **arguments)
{
    const quipu_draft draft = {.type = "inline"};
    quipu_error error = {0};

    open_store(arguments[2]);
    CHECK(quipu_register(store, &inlined, &error) == QUIPU_OK, "register: %s", error.text);
    for (unsigned long i = strtoul(arguments[3], NULL, 10); i > 0; i--) {
        quipu_receipt receipt;
        int rc = quipu_append(store, "inline", QUIPU_ANY, &draft, 1, &receipt, &error);

        CHECK(rc == QUIPU_OK, "append: %d %s", rc, error.text);
        rc = quipu_view_wait(store, "inlined", receipt.last_position, 0, &error);
        CHECK(rc == QUIPU_OK, "the view is not where its commit is: %d %s", rc, error.text);
    }
    quipu_close(store);
    return 0;
}

static char store_path[SYS_PATH_BYTES];
static char shared_path[SYS_PATH_BYTES];

static pid_t start_child(void)
{
    const char *const arguments[] = {"child", store_path, shared_path, "2", NULL};
    unsigned before = atomic_load(&shared->children);
    double until = sys_seconds() + 60;
    pid_t pid = sys_spawn(arguments);

    while (atomic_load(&shared->children) == before) {
        CHECK(sys_seconds() < until, "a child does not start");
        sys_sleep_ms(1);
    }
    return pid;
}

static void end_child(pid_t pid)
{
    CHECK(kill(pid, SIGKILL) == 0, "kill");
    CHECK(sys_wait(pid) == 256 + SIGKILL, "it ended by itself");
}

/* ---- what the view must have ----------------------------------------------------------------- */

static struct seen expected[STREAMS];
static uint64_t appended; /* the newest position of ours */

static void append_some(struct sys_random *random, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const quipu_draft draft = {.type = "counted"};
        unsigned number = (unsigned)sys_below(random, STREAMS);
        quipu_receipt receipt;
        quipu_error error = {0};
        char name[16];
        int rc;

        (void)snprintf(name, sizeof(name), "s-%02u", number);
        rc = quipu_append(store, name, QUIPU_ANY, &draft, 1, &receipt, &error);
        CHECK(rc == QUIPU_OK, "append: %d %s", rc, error.text);
        see(&expected[number], receipt.last_position);
        appended = receipt.last_position;
    }
}

static void wait_for_view(const char *name, double seconds)
{
    quipu_error error = {0};
    int rc = quipu_view_wait(store, name, appended, (int)(seconds * 1000), &error);

    CHECK(rc == QUIPU_OK, "%s: %d %s", name, rc, error.text);
}

static void check_view(void)
{
    quipu_view *view = NULL;
    quipu_error error = {0};

    CHECK(quipu_view_open(store, "counts", &view, &error) == QUIPU_OK, "%s", error.text);
    CHECK(quipu_view_mark(view) >= appended, "mark");
    for (unsigned i = 0; i < STREAMS; i++) {
        struct seen seen = {0};
        quipu_value value;
        char name[16];
        int rc;

        (void)snprintf(name, sizeof(name), "s-%02u", i);
        rc = quipu_view_get(view, name, strlen(name), &value, &error);
        CHECK(rc == (expected[i].count > 0), "%s: %d %s", name, rc, error.text);
        if (rc == 1)
            memcpy(&seen, value.data, sizeof(seen));
        CHECK(seen.count == expected[i].count, "%s: %" PRIu64 " events, not %" PRIu64, name,
              seen.count, expected[i].count);
        CHECK(seen.sum == expected[i].sum, "%s: others, or in another order", name);
    }
    quipu_view_close(view);
}

/* ---- killed, stopped ------------------------------------------------------------------------- */

/* Who folds: one of two, by what the last event was folded by. */
static unsigned who_folds(struct sys_random *random, const pid_t pids[2])
{
    int folds;

    append_some(random, 1);
    wait_for_view("counts", 30);
    folds = atomic_load(&shared->folds);
    CHECK(folds == pids[0] || folds == pids[1], "process %d folds", folds);
    return folds == pids[1];
}

static void kill_who_folds(struct sys_random *random, pid_t pids[2])
{
    double best = 1e9;

    for (int i = 0; i < KILLS; i++) {
        unsigned victim = who_folds(random, pids);
        double begun;
        double taken;

        append_some(random, 200);
        begun = sys_seconds();
        end_child(pids[victim]);
        append_some(random, 1);
        wait_for_view("counts", 30);
        taken = sys_seconds() - begun;
        best = taken < best ? taken : best;
        check_view();
        pids[victim] = start_child();
    }
    CHECK(best < TAKE_OVER_SECONDS, "taken over after %.3f s at best", best);
    (void)printf("taken over after %.3f s at best, ", best);
}

/* In the midst of a page, past its lease: what it was about to write must not be written. */
static void stop_who_folds(struct sys_random *random, pid_t pids[2])
{
    unsigned stopped = who_folds(random, pids);
    double begun;

    atomic_store(&shared->held, pids[stopped]);
    append_some(random, 30);
    for (begun = sys_seconds(); atomic_load(&shared->is_held) != pids[stopped];) {
        CHECK(sys_seconds() < begun + 30, "it does not come to the event");
        sys_sleep_ms(1);
    }
    CHECK(kill(pids[stopped], SIGSTOP) == 0, "stop");
    begun = sys_seconds();
    append_some(random, 30);
    wait_for_view("counts", 4 * LEASE_SECONDS);
    (void)printf("after %.1f s from one that was stopped, ", sys_seconds() - begun);
    CHECK(sys_seconds() - begun > LEASE_SECONDS / 2, "its lease was not looked at");
    CHECK(atomic_load(&shared->folds) == pids[1 - stopped], "the other one has");
    check_view();

    atomic_store(&shared->held, 0);
    CHECK(kill(pids[stopped], SIGCONT) == 0, "continue");
    append_some(random, 100);
    sys_sleep_ms(300); /* its late page comes now */
    wait_for_view("counts", 30);
    check_view();
    end_child(pids[1 - stopped]); /* and it is as good as before */
    append_some(random, 1);
    wait_for_view("counts", 30);
    check_view();
    pids[1 - stopped] = start_child();
}

/* ---- at random ------------------------------------------------------------------------------- */

static void order(struct sys_random *random)
{
    static const int orders[] = {QUIPU_PAUSE, QUIPU_RESUME, QUIPU_REWIND};
    quipu_error error = {0};
    int rc =
        quipu_projection_control(store, "counts", orders[sys_below(random, 3)], 0, NULL, &error);

    CHECK(rc == QUIPU_OK || rc == QUIPU_CONFLICT, "order: %d %s", rc, error.text);
}

static void kill_at_random(struct sys_random *random, double seconds)
{
    pid_t pids[CHILDREN];
    double end = sys_seconds() + seconds;
    unsigned kills = 0;
    unsigned stops = 0;
    unsigned orders = 0;

    for (int i = 0; i < CHILDREN; i++)
        pids[i] = start_child();
    while (sys_seconds() < end) {
        unsigned victim = (unsigned)sys_below(random, CHILDREN);

        append_some(random, 1 + (unsigned)sys_below(random, 100));
        if (sys_chance(random, 30)) {
            CHECK(kill(pids[victim], SIGSTOP) == 0, "stop");
            sys_sleep_ms((unsigned)sys_below(random, 10)); /* no append: it may hold the store */
            CHECK(kill(pids[victim], SIGCONT) == 0, "continue");
            stops++;
        } else if (sys_chance(random, 30)) {
            order(random);
            orders++;
        } else {
            end_child(pids[victim]);
            pids[victim] = start_child();
            kills++;
        }
    }
    CHECK(quipu_projection_control(store, "counts", QUIPU_RESUME, 0, NULL, NULL) == 0, "resume");
    for (int i = 0; i < CHILDREN; i++)
        end_child(pids[i]);
    (void)printf("%u kills, %u stops, %u orders, ", kills, stops, orders);
}

/* Beside a process that does not know it, and together with it. */
static void fold_inline(struct sys_random *random)
{
    const char *const arguments[] = {"inline", store_path, "300", NULL};
    quipu_error error = {0};
    pid_t pids[2];

    CHECK(quipu_project(store, &inlined, NULL, NULL, NULL, &error) == QUIPU_OK, "%s", error.text);
    for (int i = 0; i < 2; i++)
        pids[i] = sys_spawn(arguments);
    append_some(random, 300);
    for (int i = 0; i < 2; i++)
        CHECK(sys_wait(pids[i]) == 0, "inline");
    CHECK(quipu_project(store, &inlined, NULL, NULL, NULL, &error) == QUIPU_OK, "%s", error.text);
}

static void check_inline(void)
{
    quipu_view *view = NULL;
    quipu_value value;
    struct seen seen = {0};
    uint64_t all = 0;
    uint64_t head = 0;

    CHECK(quipu_head(store, &head, NULL) == QUIPU_OK, "head");
    CHECK(quipu_view_open(store, "inlined", &view, NULL) == QUIPU_OK, "view");
    CHECK(quipu_view_mark(view) == head, "mark");
    CHECK(quipu_view_get(view, "inline", 6, &value, NULL) == 1, "get");
    memcpy(&seen, value.data, sizeof(seen));
    CHECK(seen.count == 600, "%" PRIu64 " events", seen.count);
    CHECK(quipu_view_scan(view, NULL, 0, NULL, 0, 0, NULL) == QUIPU_OK, "scan");
    for (quipu_value key; quipu_view_next(view, &key, &value, NULL) == 1; all += seen.count)
        memcpy(&seen, value.data, sizeof(seen));
    CHECK(all == head, "%" PRIu64 " of %" PRIu64 " events", all, head);
    quipu_view_close(view);
}

static void run(const char *directory, double seconds, struct sys_random *random)
{
    quipu_error error = {0};
    pid_t pids[2];
    int rc;

    sys_join(store_path, directory, "store");
    sys_join(shared_path, directory, "shared");
    map_shared(shared_path);
    open_store(store_path);
    for (int i = 0; i < 2; i++)
        pids[i] = start_child();
    kill_who_folds(random, pids);
    stop_who_folds(random, pids);
    for (int i = 0; i < 2; i++)
        end_child(pids[i]);
    kill_at_random(random, seconds);
    rc = quipu_project(store, &counts, NULL, NULL, NULL, &error);
    CHECK(rc == QUIPU_OK, "project: %d %s", rc, error.text);
    check_view();
    fold_inline(random);
    check_inline();
    quipu_close(store);
    rc = quipu_verify(store_path, 0, NULL, NULL, NULL, NULL, &error);
    CHECK(rc == QUIPU_OK, "verify: %d %s", rc, error.text);
    (void)printf("%" PRIu64 " events\n", appended);
}

int main(int argc, char **argv)
{
    char directory[SYS_PATH_BYTES];
    double seconds = 4;
    uint64_t seed = sys_seed();
    struct sys_random random;

    if (argc == 5 && strcmp(argv[1], "child") == 0)
        return child(argv);
    if (argc == 4 && strcmp(argv[1], "inline") == 0)
        return child_inline(argv);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtod(argv[i + 1], NULL);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else
            return 2;
    }
    random.state = seed;
    (void)snprintf(sys_note, sizeof(sys_note), "projectors --seconds %g --seed %" PRIu64, seconds,
                   seed);
    sys_directory(directory, true);
    run(directory, seconds, &random);
    sys_remove(directory);
    return 0;
}
