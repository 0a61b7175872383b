/* kill_all.c - a process is killed at each call by which it changes the store's files: before it,
 * after it, and some instructions after it, between what it does to the maps that it shares.
 *
 *     kill_all [--seed N] [--all] [--seconds N] [--part NAME] [--at N:before|N:after|N:step:K]
 *
 * Each part of the workload begins with the store that the parts before have left. Without --all it
 * is each n-th point, beginning at one that the seed says. */
#include "driver.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { STRIDE = 7, STEPS_MAX = 6000 };

static const char calls[] = "WSNTL";

struct killing {
    struct crash_driver driver;
    const char *parts;
    const char *only_part;
    const char *only_at;
    struct sys_random random;
    unsigned kills; /* real ones: it did die */
    unsigned ended; /* it was faster */
    unsigned of_projections;
};

static void kill_at(struct killing *killing, unsigned part, const char *at)
{
    struct crash_driver *driver = &killing->driver;
    const char *name = driver->plan.part_names[part];
    const struct crash_work work = {.first = driver->plan.part_first[part],
                                    .end = driver->plan.part_first[part + 1],
                                    .parts = killing->parts};
    const struct crash_fault fault = {.calls = calls, .kill = at};
    int rc;

    (void)snprintf(driver->repeat, sizeof(driver->repeat),
                   "kill_all --seed %" PRIu64 " --part %s --at %s", driver->seed, name, at);
    crash_base_restore(driver, name);
    rc = crash_work_run(driver, &work, &fault);
    if (rc != 0 && rc != 256 + SIGKILL) {
        crash_count(driver, false, "the workload failed by itself");
        return;
    }
    if (rc == 0)
        killing->ended++;
    else
        killing->kills++;
    killing->of_projections += rc != 0 && crash_part_projects(&driver->plan, part);
    (void)crash_inspect_store(
        driver, atomic_load(&driver->state->acked), atomic_load(&driver->state->begun),
        sys_chance(&killing->random, 25) ? CRASH_READ_FIRST | CRASH_TIDY : CRASH_TIDY);
}

/* How many counted calls there are in a part. */
static unsigned count_calls(struct killing *killing, unsigned part)
{
    struct crash_driver *driver = &killing->driver;
    const struct crash_work work = {.first = driver->plan.part_first[part],
                                    .end = driver->plan.part_first[part + 1],
                                    .parts = killing->parts};
    const struct crash_fault fault = {.calls = calls};
    int rc;

    crash_base_restore(driver, driver->plan.part_names[part]);
    rc = crash_work_run(driver, &work, &fault);
    CHECK(rc == 0, "part %s: %d", driver->plan.part_names[part], rc);
    return atomic_load(&driver->state->calls);
}

static void kill_in_part(struct killing *killing, unsigned part)
{
    unsigned stride = killing->driver.all ? 1 : STRIDE;
    unsigned count = count_calls(killing, part);
    unsigned before = killing->kills;
    char at[48];

    CHECK(count > 0, "nothing is counted");
    for (unsigned n = 1 + (unsigned)sys_below(&killing->random, stride);
         n <= count && !crash_driver_stops(&killing->driver); n += stride) {
        (void)snprintf(at, sizeof(at), "%u:%s", n, n % 2 == 0 ? "before" : "after");
        kill_at(killing, part, at);
        if (stride == 1) {
            (void)snprintf(at, sizeof(at), "%u:%s", n, n % 2 == 0 ? "after" : "before");
            kill_at(killing, part, at);
        }
        (void)snprintf(at, sizeof(at), "%u:step:%u", n,
                       (unsigned)sys_below(&killing->random, STEPS_MAX));
        kill_at(killing, part, at);
    }
    (void)printf("  %-8s %4u calls, %4u kills\n", killing->driver.plan.part_names[part], count,
                 killing->kills - before);
}

int main(int argc, char **argv)
{
    struct killing killing = {.parts = CRASH_PARTS,
                              .only_part = crash_option(argv, "--part"),
                              .only_at = crash_option(argv, "--at")};
    struct crash_driver *driver = &killing.driver;

    (void)argc;
    crash_driver_begin(driver, "kill_all", argv, killing.parts);
    do {
        killing.random.state = driver->seed;
        crash_bases_make(driver, killing.parts);
        for (unsigned part = 0; part < driver->plan.part_count; part++) {
            if (killing.only_part != NULL &&
                strcmp(killing.only_part, driver->plan.part_names[part]) != 0)
                continue;
            if (killing.only_at != NULL)
                kill_at(&killing, part, killing.only_at);
            else if (!crash_driver_stops(driver))
                kill_in_part(&killing, part);
        }
    } while (crash_driver_next(driver, killing.parts));
    (void)printf("kill points: %u (real kills), %u that came too late\n", killing.kills,
                 killing.ended);
    (void)printf("of projections: %u kills\n", killing.of_projections);
    return crash_driver_end(driver);
}
