/* alloc_fail.c - the n-th allocation of the library fails, and with "+" all after it: in each call
 * of the workload, until a run meets no more. No preloaded library: quipu_set_allocator() does it,
 * so that it runs with sanitizers too.
 *
 *     alloc_fail [--seed N] [--all] [--seconds N] [--part NAME] [--fail N|N+]
 *
 * The workload runs in a child, which goes on as a program would and must come to its end; nothing
 * that was allocated may be left. */
#include "driver.h"
#include "run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STRIDE = 23 };

/* ---- the heap that fails --------------------------------------------------------------------- */

static struct {
    atomic_long live;
    atomic_ulong calls;
    atomic_ulong fail_at; /* 0: none */
    atomic_bool sticky;
    atomic_ulong met;
} heap;

static void *resize(void *memory, size_t size, void *payload)
{
    unsigned long fail_at = atomic_load(&heap.fail_at);
    unsigned long call;
    void *moved;

    (void)payload;
    if (size == 0) {
        atomic_fetch_sub(&heap.live, memory != NULL);
        free(memory);
        return NULL;
    }
    call = atomic_fetch_add(&heap.calls, 1) + 1;
    if (fail_at != 0 && (atomic_load(&heap.sticky) ? call >= fail_at : call == fail_at)) {
        atomic_fetch_add(&heap.met, 1);
        return NULL;
    }
    moved = realloc(memory, size);
    if (moved != NULL && memory == NULL)
        atomic_fetch_add(&heap.live, 1);
    return moved;
}

static void heal(void *payload)
{
    (void)payload;
    atomic_store(&heap.fail_at, 0);
}

/* ---- runs ------------------------------------------------------------------------------------ */

struct failing {
    struct crash_driver driver;
    const char *parts;
    struct sys_random random;
    unsigned part;
    unsigned long fail_at; /* 0: only count */
    bool sticky;
    struct {
        unsigned long calls;
        unsigned long met;
    } * told; /* shared with the child */
    unsigned long met;
    unsigned long of_projections;
};

static void work(void *payload)
{
    struct failing *failing = payload;
    const struct crash_plan *plan = &failing->driver.plan;
    struct crash_run run = {.plan = plan,
                            .path = failing->driver.store,
                            .state = failing->driver.state,
                            .faulty = true,
                            .heal = heal};

    atomic_store(&heap.sticky, failing->sticky);
    atomic_store(&heap.fail_at, failing->fail_at);
    CHECK(quipu_set_allocator(resize, NULL) == QUIPU_OK, "allocator");
    crash_run(&run, plan->part_first[failing->part], plan->part_first[failing->part + 1]);
    CHECK(atomic_load(&heap.live) == 0, "%ld allocations were not given back",
          atomic_load(&heap.live));
    failing->told->calls = atomic_load(&heap.calls);
    failing->told->met = atomic_load(&heap.met);
}

/* Returns: did it meet the fault? */
static bool fail_at(struct failing *failing, unsigned long n, bool sticky)
{
    struct crash_driver *driver = &failing->driver;
    const char *name = driver->plan.part_names[failing->part];
    uint32_t end = driver->plan.part_first[failing->part + 1];

    failing->fail_at = n;
    failing->sticky = sticky;
    (void)snprintf(driver->repeat, sizeof(driver->repeat),
                   "alloc_fail --seed %" PRIu64 " --part %s --fail %lu%s", driver->seed, name, n,
                   sticky ? "+" : "");
    crash_base_restore(driver, name);
    (void)snprintf(sys_note, sizeof(sys_note), "%s ", driver->repeat);
    if (!crash_in_child(work, failing)) {
        crash_count(driver, false, "the workload did not come to its end");
        return true;
    }
    failing->met += failing->told->met;
    if (crash_part_projects(&driver->plan, failing->part))
        failing->of_projections += failing->told->met;
    if (n == 0 || failing->told->met == 0)
        return false;
    (void)crash_inspect_store(driver, end, end, CRASH_QUICK | CRASH_BEHIND);
    return true;
}

static void fail_in_part(struct failing *failing)
{
    unsigned stride = failing->driver.all ? 1 : STRIDE;
    unsigned long n = 1 + sys_below(&failing->random, stride);
    unsigned long before = failing->met;
    bool met = true;

    for (; met && !crash_driver_stops(&failing->driver); n += stride) {
        bool sticky = sys_chance(&failing->random, 50);

        met = fail_at(failing, n, sticky);
        if (failing->driver.all && met)
            (void)fail_at(failing, n, !sticky);
    }
    (void)printf("  %-8s %5lu allocations, %5lu failed\n",
                 failing->driver.plan.part_names[failing->part], failing->told->calls,
                 failing->met - before);
}

static void fail_everywhere(struct failing *failing, const char *only_part, const char *only_fail)
{
    struct crash_driver *driver = &failing->driver;

    for (failing->part = 0; failing->part < driver->plan.part_count; failing->part++) {
        if (only_part != NULL && strcmp(only_part, driver->plan.part_names[failing->part]) != 0)
            continue;
        if (only_fail != NULL)
            (void)fail_at(failing, strtoul(only_fail, NULL, 10), strchr(only_fail, '+') != NULL);
        else if (!crash_driver_stops(driver))
            fail_in_part(failing);
    }
}

int main(int argc, char **argv)
{
    struct failing failing = {.parts = CRASH_PARTS};
    char path[SYS_PATH_BYTES];

    (void)argc;
    crash_driver_begin(&failing.driver, "alloc_fail", argv, failing.parts);
    failing.told = (void *)crash_state_make(&failing.driver, "told", path);
    do {
        failing.random.state = failing.driver.seed;
        crash_bases_make(&failing.driver, failing.parts);
        fail_everywhere(&failing, crash_option(argv, "--part"), crash_option(argv, "--fail"));
    } while (crash_driver_next(&failing.driver, failing.parts));
    (void)printf("injected allocation failures: %lu\n", failing.met);
    (void)printf("of projections: %lu allocation failures\n", failing.of_projections);
    return crash_driver_end(&failing.driver);
}
