/* kill_random.c - two to four writers and a reader, each a process, on one store; one or two
 * writers are killed at a random moment, the others go on to their end, and so does the reader,
 * which sees whole batches without gaps at any moment. Then the next ones begin, on the same store.
 *
 *     kill_random [--seed N] [--rounds N] [--seconds N]
 *
 * The seed repeats what is done, not when: run it for longer to see a failure again. */
#include "driver.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WRITERS_MAX = 4, ROUNDS_A_STORE = 5, ROUNDS = 12, PLANS_MAX = WRITERS_MAX * ROUNDS_A_STORE };

static const char parts[] = "traffic";

struct writer {
    struct crash_plan plan;
    struct crash_state *state;
    char state_file[SYS_PATH_BYTES];
    pid_t pid;
};

struct killing {
    struct crash_driver driver;
    struct sys_random random;
    struct writer writers[PLANS_MAX]; /* of this store, the last `running` of them at work */
    struct crash_bounds bounds[PLANS_MAX];
    size_t count;
    size_t running;
    unsigned kills;
    unsigned survivors;
};

/* ---- the reader ------------------------------------------------------------------------------ */

/* What was acknowledged before it looks is there. Until it is killed. */
static void read_on(void *payload)
{
    struct killing *killing = payload;

    for (;;) {
        for (size_t i = 0; i < killing->count; i++)
            killing->bounds[i].acked = atomic_load(&killing->writers[i].state->acked);
        if (sys_exists(killing->driver.store))
            (void)crash_inspect(killing->driver.store, killing->bounds, killing->count, CRASH_LIVE);
        sys_sleep_ms(2);
    }
}

static pid_t start_reader(struct killing *killing)
{
    pid_t reader;

    (void)fflush(stdout);
    reader = fork();
    CHECK(reader >= 0, "fork");
    if (reader == 0) {
        read_on(killing);
        _exit(1);
    }
    return reader;
}

/* It must have lived until now. */
static bool stop_reader(pid_t reader)
{
    (void)kill(reader, SIGKILL);
    return sys_wait(reader) == 256 + SIGKILL;
}

/* ---- a round --------------------------------------------------------------------------------- */

static void start_writers(struct killing *killing)
{
    struct crash_driver *driver = &killing->driver;

    killing->running = 2 + (size_t)sys_below(&killing->random, WRITERS_MAX - 1);
    for (size_t i = 0; i < killing->running; i++) {
        struct writer *writer = &killing->writers[killing->count];
        struct crash_work work = {
            .end = UINT32_MAX, .parts = parts, .writer = (unsigned)killing->count, .beside = true};
        char name[32];

        (void)snprintf(name, sizeof(name), "state-%zu", killing->count);
        writer->state = crash_state_make(driver, name, writer->state_file);
        work.state_file = writer->state_file;
        crash_plan_build(&writer->plan, driver->seed, work.writer, parts);
        killing->bounds[killing->count] =
            (struct crash_bounds){.plan = &writer->plan, .begun = (uint32_t)writer->plan.op_count};
        killing->count++;
        writer->pid = crash_work_start(driver, &work, NULL);
    }
}

static struct writer *running(struct killing *killing, size_t which)
{
    return &killing->writers[killing->count - killing->running + which];
}

static bool end_writers(struct killing *killing)
{
    size_t victim = (size_t)sys_below(&killing->random, killing->running);
    bool two = killing->running > 2 && sys_chance(&killing->random, 50);
    size_t second = two ? (victim + 1) % killing->running : killing->running;
    bool good = true;

    sys_sleep_ms((unsigned)sys_below(&killing->random, 150));
    (void)kill(running(killing, victim)->pid, SIGKILL);
    if (two) {
        sys_sleep_ms((unsigned)sys_below(&killing->random, 20));
        (void)kill(running(killing, second)->pid, SIGKILL);
    }
    for (size_t i = 0; i < killing->running; i++) {
        int rc = sys_wait(running(killing, i)->pid);

        if ((i == victim || i == second) && rc == 256 + SIGKILL)
            killing->kills++;
        else if (rc == 0)
            killing->survivors++;
        else
            good = false;
    }
    return good;
}

static void inspect(void *payload)
{
    const struct killing *killing = payload;

    (void)crash_inspect(killing->driver.store, killing->bounds, killing->count, CRASH_QUICK);
}

static void forget_store(struct killing *killing)
{
    for (size_t i = 0; i < killing->count; i++)
        crash_plan_free(&killing->writers[i].plan);
    killing->count = 0;
    sys_remove(killing->driver.area);
    CHECK(mkdir(killing->driver.area, 0700) == 0, "make %s", killing->driver.area);
}

static void run_round(struct killing *killing)
{
    pid_t reader;
    bool good;

    start_writers(killing);
    reader = start_reader(killing);
    good = end_writers(killing);
    crash_count(&killing->driver, good, "a writer that was not killed");
    crash_count(&killing->driver, stop_reader(reader), "the reader");
    for (size_t i = 0; i < killing->count; i++) {
        killing->bounds[i].acked = atomic_load(&killing->writers[i].state->acked);
        killing->bounds[i].begun = atomic_load(&killing->writers[i].state->begun);
    }
    crash_count(&killing->driver, crash_in_child(inspect, killing), "the store after the kills");
    for (size_t i = 0; i < killing->count; i++)
        killing->bounds[i].begun = (uint32_t)killing->writers[i].plan.op_count;
}

int main(int argc, char **argv)
{
    static struct killing killing;
    struct crash_driver *driver = &killing.driver;
    uint64_t rounds;

    (void)argc;
    crash_driver_begin(driver, "kill_random", argv, parts);
    rounds = crash_number(argv, "--rounds", driver->deadline > 0 ? UINT64_MAX : ROUNDS);
    killing.random.state = driver->seed;
    (void)snprintf(driver->repeat, sizeof(driver->repeat),
                   "kill_random --seed %" PRIu64 " --seconds 60", driver->seed);
    (void)snprintf(sys_note, sizeof(sys_note), "%s", driver->repeat);
    for (uint64_t round = 0; round < rounds && !crash_driver_stops(driver); round++) {
        if (round > 0 && round % ROUNDS_A_STORE == 0)
            forget_store(&killing);
        run_round(&killing);
    }
    if (driver->failed == 0)
        forget_store(&killing);
    (void)printf("random kills: %u (real kills), %u survivors went on\n", killing.kills,
                 killing.survivors);
    return crash_driver_end(driver);
}
