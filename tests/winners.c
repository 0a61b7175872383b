/* winners.c - all race on each condition at once, and one wins: 16 threads, then 4 processes with 4
 * threads each. The conditions are of every shape; whoever loses is told by which event.
 *
 * winners [--rounds N] [--processes N] [--threads N]    without --processes: both
 *
 * Children are this very program: winners child STORE SHARED NUMBER. */
#include "handles.h"
#include "merge.h"
#include "support_system.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORKERS_MAX = 64 };

/* In a file that all processes map. */
static struct shared {
    pthread_barrier_t barrier;
    unsigned rounds;
    unsigned processes;
    unsigned threads; /* of each */
    atomic_uint won[WORKERS_MAX];
} * shared;

static quipu *store;

struct worker {
    pthread_t thread;
    unsigned number; /* over all processes */
};

static void open_store(const char *path)
{
    quipu_error error = {0};

    CHECK(quipu_open(path, NULL, &store, &error) == QUIPU_OK, "open: %s", error.text);
}

/* Nothing of this round may be there: said by its tag, its type, its stream, one of several, or as
 * nothing at all after the last round. */
static void add_condition(quipu_batch *batch, unsigned round, const char *name, uint64_t head)
{
    const char *const tags[] = {name};
    const char *const types[] = {"absent", name + 2};
    const quipu_query_item items[] = {
        {.tags = tags, .tag_count = 1},
        {.types = types, .type_count = 2},
        {.stream = name + 2},
        {.category = "absent"},
        {.category = "round", .types = types + 1, .type_count = 1, .tags = tags, .tag_count = 1},
    };
    const quipu_query queries[] = {{&items[0], 1}, {&items[1], 1}, {&items[2], 2},
                                   {&items[3], 2}, {&items[0], 5}, {NULL, 0}};
    unsigned shape = round % 6;

    CHECK(quipu_batch_unless(batch, &queries[shape], shape == 5 || round % 4 < 2 ? head : 0) == 0,
          "unless");
}

static bool try_to_win(unsigned round)
{
    char name[32];
    const char *const tags[] = {name};
    const quipu_draft draft = {.type = name + 2, .tags = tags, .tag_count = 1};
    quipu_batch *batch = quipu_batch_new();
    quipu_receipt receipt;
    quipu_error error = {0};
    uint64_t head = 0;
    int rc;

    (void)snprintf(name, sizeof(name), "r:round-%u", round);
    CHECK(quipu_head(store, &head, NULL) == QUIPU_OK && head == round, "round %u, head %" PRIu64,
          round, head);
    (void)pthread_barrier_wait(&shared->barrier);
    (void)quipu_batch_append(batch, name + 2, QUIPU_ANY, &draft, 1);
    add_condition(batch, round, name, head);
    rc = quipu_commit(store, batch, &receipt, &error);
    quipu_batch_free(batch);
    CHECK(rc == QUIPU_OK || rc == QUIPU_CONFLICT, "round %u: %d %s", round, rc, error.text);
    CHECK(rc == QUIPU_OK ? receipt.first_position == round + 1
                         : receipt.matched == round + 1 && receipt.failed_step == 1,
          "round %u: %" PRIu64 " %" PRIu64, round, receipt.first_position, receipt.matched);
    return rc == QUIPU_OK;
}

static void *work(void *payload)
{
    const struct worker *worker = payload;

    for (unsigned round = 0; round < shared->rounds; round++) {
        atomic_fetch_add(&shared->won[worker->number], try_to_win(round));
        (void)pthread_barrier_wait(&shared->barrier); /* all have been told */
        if (round % 50 == worker->number)
            CHECK(qp_merge(store->handle, NULL) == QUIPU_OK, "merge");
    }
    return NULL;
}

static void run_threads(unsigned first)
{
    struct worker workers[WORKERS_MAX];

    for (unsigned i = 0; i < shared->threads; i++) {
        workers[i].number = first + i;
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0, "thread");
    }
    for (unsigned i = 0; i < shared->threads; i++)
        CHECK(pthread_join(workers[i].thread, NULL) == 0, "join");
}

static void map_shared(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    CHECK(fd >= 0 && ftruncate(fd, sizeof(*shared)) == 0, "%s", path);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(shared != MAP_FAILED, "map");
    (void)close(fd);
}

static int child(char **arguments)
{
    map_shared(arguments[3]);
    open_store(arguments[2]);
    run_threads((unsigned)strtoul(arguments[4], NULL, 10) * shared->threads);
    quipu_close(store);
    return 0;
}

static void begin_shared(unsigned processes, unsigned threads, unsigned rounds)
{
    pthread_barrierattr_t attributes;

    CHECK(processes * threads <= WORKERS_MAX, "at most %d threads in all", WORKERS_MAX);
    (void)pthread_barrierattr_init(&attributes);
    (void)pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    CHECK(pthread_barrier_init(&shared->barrier, &attributes, processes * threads) == 0, "barrier");
    shared->rounds = rounds;
    shared->processes = processes;
    shared->threads = threads;
}

static void check_end(const char *path, unsigned rounds)
{
    quipu_verified verified = {QUIPU_INIT(quipu_verified), .reserved = 0};
    quipu_error error = {0};
    unsigned won = 0;
    unsigned winners = 0;

    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        won += shared->won[i];
        winners += shared->won[i] > 0;
    }
    CHECK(won == rounds, "%u winners of %u conditions", won, rounds);
    CHECK(quipu_verify(path, 0, NULL, NULL, NULL, &verified, &error) == QUIPU_OK, "%s", error.text);
    CHECK(verified.checked == rounds, "%" PRIu64 " events", verified.checked);
    (void)printf("%u winners, %u of them different, ", won, winners);
}

static void run(unsigned processes, unsigned threads, unsigned rounds)
{
    char directory[SYS_PATH_BYTES];
    char path[SYS_PATH_BYTES];
    char file[SYS_PATH_BYTES];
    pid_t children[WORKERS_MAX];
    double begin = sys_seconds();

    (void)snprintf(sys_note, sizeof(sys_note), "winners --processes %u --threads %u --rounds %u",
                   processes, threads, rounds);
    sys_directory(directory, true);
    sys_join(path, directory, "store");
    sys_join(file, directory, "shared");
    map_shared(file);
    begin_shared(processes, threads, rounds);
    open_store(path);
    for (unsigned i = 0; i < processes && processes > 1; i++) {
        char number[16];
        const char *const arguments[] = {"child", path, file, number, NULL};

        (void)snprintf(number, sizeof(number), "%u", i);
        children[i] = sys_spawn(arguments);
    }
    if (processes == 1)
        run_threads(0);
    for (unsigned i = 0; i < processes && processes > 1; i++)
        CHECK(sys_wait(children[i]) == 0, "process %u", i);
    quipu_close(store);
    check_end(path, rounds);
    (void)munmap(shared, sizeof(*shared));
    sys_remove(directory);
    (void)printf("%u x %u, %.1f s\n", processes, threads, sys_seconds() - begin);
    (void)fflush(stdout);
}

int main(int count, char **arguments)
{
    unsigned rounds = 1000;
    unsigned processes = 0;
    unsigned threads = 16;

    if (count == 5 && strcmp(arguments[1], "child") == 0)
        return child(arguments);
    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "--rounds") == 0)
            rounds = (unsigned)strtoul(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--processes") == 0)
            processes = (unsigned)strtoul(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--threads") == 0)
            threads = (unsigned)strtoul(arguments[i + 1], NULL, 10);
    }
    if (processes > 0) {
        run(processes, threads, rounds);
        return 0;
    }
    run(1, 16, rounds);
    run(4, 4, rounds);
    return 0;
}
