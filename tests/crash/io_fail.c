/* io_fail.c - a call fails: each one by which the store's files are written, flushed, named, sized,
 * read, mapped, and each allocation of LMDB; before it does its work, or after it, or a write stops
 * half way; once, or from then on until the workload has seen it twice.
 *
 *     io_fail [--seed N] [--all] [--seconds N] [--part NAME] [--calls LETTERS] [--fail WHAT]
 *
 * The workload goes on as a program would (run.c says what it may expect), and must come to the end
 * of its part with everything in the store. */
#include "driver.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { STRIDE = 5 };

struct failing {
    struct crash_driver driver;
    const char *parts;
    const char *only_part;
    const char *only_calls;
    const char *only_fail;
    struct sys_random random;
    unsigned met;     /* faults that calls met: with sticky ones more than runs */
    unsigned unknown; /* commits of unknown outcome */
    unsigned of_projections;
};

static void fail_at(struct failing *failing, unsigned part, const char *calls, const char *fail)
{
    struct crash_driver *driver = &failing->driver;
    const char *name = driver->plan.part_names[part];
    uint32_t end = driver->plan.part_first[part + 1];
    const struct crash_work work = {.first = driver->plan.part_first[part],
                                    .end = end,
                                    .parts = failing->parts,
                                    .faulty = true};
    const struct crash_fault fault = {.calls = calls, .fail = fail};
    int rc;

    (void)snprintf(driver->repeat, sizeof(driver->repeat),
                   "io_fail --seed %" PRIu64 " --part %s --calls %s --fail %s", driver->seed, name,
                   calls, fail);
    crash_base_restore(driver, name);
    rc = crash_work_run(driver, &work, &fault);
    failing->met += atomic_load(&driver->state->met);
    if (crash_part_projects(&driver->plan, part))
        failing->of_projections += atomic_load(&driver->state->met);
    failing->unknown += atomic_load(&driver->state->unknown);
    if (rc != 0) {
        (void)printf("crash_work ended with %d\n", rc);
        crash_count(driver, false, "the workload did not come to its end");
        return;
    }
    (void)crash_inspect_store(driver, end, end,
                              CRASH_BEHIND |
                                  (sys_chance(&failing->random, 25) ? CRASH_READ_FIRST : 0U));
}

static unsigned count_calls(struct failing *failing, unsigned part, const char *calls)
{
    struct crash_driver *driver = &failing->driver;
    const struct crash_work work = {.first = driver->plan.part_first[part],
                                    .end = driver->plan.part_first[part + 1],
                                    .parts = failing->parts};
    const struct crash_fault fault = {.calls = calls};
    int rc;

    crash_base_restore(driver, driver->plan.part_names[part]);
    rc = crash_work_run(driver, &work, &fault);
    CHECK(rc == 0, "part %s: %d", driver->plan.part_names[part], rc);
    return atomic_load(&driver->state->calls);
}

static const struct {
    const char *when;
    int os_error;
} ways[] = {
    {"before", EIO},   {"after", EIO},   {"short", EIO},     {"before", ENOSPC},
    {"before", EINTR}, {"after", EINTR}, {"before", EDQUOT}, {"after", ENOSPC},
};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static void fail_one(struct failing *failing, unsigned part, const char *calls, unsigned n,
                     unsigned way, bool sticky)
{
    char fail[48];

    /* For ever interrupted, LMDB would try for ever. */
    (void)snprintf(fail, sizeof(fail), "%u:%s:%d%s", n, ways[way].when, ways[way].os_error,
                   sticky && ways[way].os_error != EINTR ? "+" : "");
    fail_at(failing, part, calls, fail);
}

/* With --all each call in each way, else each n-th call in one. */
static void fail_in_part(struct failing *failing, unsigned part, const char *calls)
{
    bool all = failing->driver.all;
    unsigned stride = all ? 1 : STRIDE;
    unsigned count = count_calls(failing, part, calls);
    unsigned n = 1 + (unsigned)sys_below(&failing->random, stride);

    for (; n <= count && !crash_driver_stops(&failing->driver); n += stride) {
        unsigned first = all ? 0 : (unsigned)sys_below(&failing->random, WAYS);
        unsigned end = all ? WAYS : first + 1;

        for (unsigned way = first; way < end; way++) {
            bool sticky = sys_chance(&failing->random, 50);

            fail_one(failing, part, calls, n, way, sticky);
            if (all)
                fail_one(failing, part, calls, n, way, !sticky);
        }
    }
}

static void fail_allocations(struct failing *failing, unsigned part)
{
    unsigned stride = failing->driver.all ? 1 : STRIDE;
    unsigned count = count_calls(failing, part, "A");
    char fail[48];

    for (unsigned n = 1 + (unsigned)sys_below(&failing->random, stride);
         n <= count && !crash_driver_stops(&failing->driver); n += stride) {
        bool sticky = sys_chance(&failing->random, 50);

        (void)snprintf(fail, sizeof(fail), "%u:before:%d%s", n, ENOMEM, sticky ? "+" : "");
        fail_at(failing, part, "A", fail);
    }
}

static void fail_everywhere(struct failing *failing)
{
    static const char *const groups[] = {"WS", "NTR", "M"};
    struct crash_driver *driver = &failing->driver;

    for (unsigned part = 0; part < driver->plan.part_count; part++) {
        const char *name = driver->plan.part_names[part];
        unsigned before = failing->met;

        if (failing->only_part != NULL && strcmp(failing->only_part, name) != 0)
            continue;
        if (failing->only_fail != NULL) {
            fail_at(failing, part, failing->only_calls != NULL ? failing->only_calls : "WS",
                    failing->only_fail);
            continue;
        }
        for (size_t i = 0; i < 3; i++)
            if (failing->only_calls == NULL || strcmp(failing->only_calls, groups[i]) == 0)
                fail_in_part(failing, part, groups[i]);
        fail_allocations(failing, part);
        (void)printf("  %-8s %4u faults\n", name, failing->met - before);
    }
}

int main(int argc, char **argv)
{
    struct failing failing = {.parts = CRASH_PARTS,
                              .only_part = crash_option(argv, "--part"),
                              .only_calls = crash_option(argv, "--calls"),
                              .only_fail = crash_option(argv, "--fail")};

    (void)argc;
    crash_driver_begin(&failing.driver, "io_fail", argv, failing.parts);
    do {
        failing.random.state = failing.driver.seed;
        crash_bases_make(&failing.driver, failing.parts);
        fail_everywhere(&failing);
    } while (crash_driver_next(&failing.driver, failing.parts));
    (void)printf("injected I/O faults: %u met, %u commits of unknown outcome\n", failing.met,
                 failing.unknown);
    (void)printf("of projections: %u I/O faults\n", failing.of_projections);
    return crash_driver_end(&failing.driver);
}
