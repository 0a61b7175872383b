/* quipu-bench.c - measures Quipu beside other systems: the same events, the same durability, the
 * same machine, taking turns.
 *
 * This file owns the order of things: options, environment, events, and the turns of the systems.
 * How a workload goes is in workload_*.c, how a system is used in peers/. Of Quipu it sees quipu.h
 * alone. Exit codes: 0 measured, 1 failed, 2 usage. */
#include "env.h"
#include "options.h"
#include "report.h"
#include "round.h"
#include "stores.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static int fail(const char *what, const char *which)
{
    bench_text_put(stderr, "quipu-bench: %s: %s\n", what, which);
    return -1;
}

static int fail_run(const struct bench_workload *workload, int rc,
                    const struct bench_failure *failure)
{
    return fail(workload->name, rc == BENCH_INTERRUPTED ? "interrupted" : failure->text);
}

/* One run of one system, told as soon as it is done. */
static int measure_one(const struct bench_options *options, const struct bench_task *task,
                       struct bench_round *out)
{
    struct bench_failure failure = {{0}};
    int rc = bench_round_run(task, out, &failure);

    if (rc < 0)
        return fail_run(task->workload, rc, &failure);
    bench_report_round(options, task->workload, task->peer, task->round, out);
    return 0;
}

/* All systems of a round take their turns before the next round begins: whatever else the machine
 * does meanwhile hits all of them. `stores` has one for each system, NULL without. */
static int measure(const struct bench_options *options, const struct bench_workload *workload,
                   const struct bench_events *events, const struct bench_scratch *const *stores,
                   double *median)
{
    struct bench_round *rounds =
        calloc(options->system_count * options->rounds, sizeof(struct bench_round));
    uint64_t round;
    size_t system;
    int rc = -1;

    if (rounds == NULL)
        return fail(workload->name, "out of memory");
    bench_report_workload(options, workload);
    for (round = 1; round <= options->rounds; round++) {
        for (system = 0; system < options->system_count; system++) {
            struct bench_task task = {.workload = workload,
                                      .peer = options->systems[system],
                                      .plan = &options->plan,
                                      .events = events,
                                      .store = stores[system],
                                      .directory = options->directory,
                                      .round = round,
                                      .keep = options->keep};

            rc = measure_one(options, &task, &rounds[system * options->rounds + round - 1]);
            if (rc < 0)
                goto done;
        }
    }
    rc = bench_report_summary(options, workload, rounds, median);
    if (rc < 0)
        fail(workload->name, "out of memory");

done:
    free(rounds);
    return rc;
}

static int is_able(const struct bench_options *own, const struct bench_workload *workload,
                   const struct bench_peer *peer)
{
    if (own->plan.processes > 1 && !peer->processes)
        return 0;
    if (own->plan.in_flight > 0 && peer->append_async == NULL)
        return 0;
    return workload->can == NULL || workload->can(peer);
}

/* Leave out, with a word, the systems that lack a call. */
static void leave_out(struct bench_options *own, const struct bench_workload *workload)
{
    size_t kept = 0;
    size_t i;

    for (i = 0; i < own->system_count; i++) {
        if (is_able(own, workload, own->systems[i])) {
            own->systems[kept] = own->systems[i];
            kept++;
        } else {
            bench_text_put(stderr, "quipu-bench: %s: %s cannot%s: left out\n", workload->name,
                           own->systems[i]->name,
                           own->plan.processes > 1   ? " with several processes"
                           : own->plan.in_flight > 0 ? " without waiting"
                                                     : "");
        }
    }
    own->system_count = kept;
}

/* With the systems that can, each on its store or from nothing. `*median` is Quipu's, 0 without. */
static int run_workload(const struct bench_options *options, const struct bench_workload *workload,
                        const struct bench_events *events, struct bench_stores *stores,
                        double *median)
{
    const struct bench_scratch *used[BENCH_SYSTEMS_MAX] = {NULL};
    struct bench_failure failure = {{0}};
    struct bench_options own = *options;
    size_t i;

    *median = 0;
    leave_out(&own, workload);
    if (own.system_count == 0 || own.systems[0] != options->systems[0])
        return 0; /* nothing to hold the others against */
    for (i = 0; i < own.system_count && workload->of_store; i++) {
        int rc = bench_stores_get(stores, &own, own.systems[i], &used[i], &failure);

        if (rc < 0)
            return fail_run(workload, rc, &failure);
    }
    return measure(&own, workload, workload->of_store ? NULL : events, used, median);
}

/* By one crew. */
static int run_shape(const struct bench_options *options, const struct bench_workload *workload,
                     const struct bench_events *events, struct bench_stores *stores,
                     struct bench_shape *shape)
{
    struct bench_options own = *options;

    own.plan = shape->plan;
    if (shape->plan.threads >= shape->plan.processes)
        return run_workload(&own, workload, events, stores, &shape->events_per_s);
    bench_text_put(stderr,
                   "quipu-bench: %s: fewer threads (%llu) than processes (%llu): left out\n",
                   workload->name, (unsigned long long)shape->plan.threads,
                   (unsigned long long)shape->plan.processes);
    return 0;
}

/* Once for each number of processes with each number of threads, and once asynchronously. */
static int run_crews(const struct bench_options *options, const struct bench_workload *workload,
                     const struct bench_events *events, struct bench_stores *stores)
{
    struct bench_shape shapes[BENCH_LIST_MAX * BENCH_LIST_MAX + 1];
    size_t waiting = options->processes.count * options->threads.count;
    size_t count = waiting + (options->in_flight > 0 ? 1 : 0);
    size_t i;
    int rc = 0;

    for (i = 0; i < count && rc == 0; i++) {
        shapes[i] = (struct bench_shape){.plan = options->plan};
        if (i < waiting) {
            shapes[i].plan.processes = options->processes.items[i / options->threads.count];
            shapes[i].plan.threads = options->threads.items[i % options->threads.count];
        } else {
            shapes[i].plan.in_flight = options->in_flight;
        }
        rc = run_shape(options, workload, events, stores, &shapes[i]);
    }
    if (rc == 0)
        bench_report_shapes(options, shapes, count);
    return rc;
}

static int run(const struct bench_options *options)
{
    struct bench_stores stores = {.count = 0};
    struct bench_events events = {0};
    double median;
    struct bench_env env;
    size_t i;
    int rc = 0;

    if (bench_env_read(&env, options->directory) < 0)
        return fail(options->directory, strerror(errno));
    bench_report_environment(options, &env);
    if (bench_round_hold_signals() < 0)
        return fail("signals", strerror(errno));
    for (i = 0; i < options->workload_count && rc == 0; i++) {
        const struct bench_workload *workload = options->workloads[i];

        if (!workload->of_store && events.count == 0)
            rc = bench_events_init(&events, &options->plan);
        if (rc < 0) {
            fail("events", "out of memory");
        } else if (workload->of_crew) {
            rc = run_crews(options, workload, &events, &stores);
        } else {
            rc = run_workload(options, workload, &events, &stores, &median);
        }
    }
    bench_stores_release(&stores, options);
    bench_events_release(&events);
    return rc;
}

int main(int argc, char **argv)
{
    struct bench_options options;
    int rc = bench_options_read(&options, argc, argv);

    if (rc == BENCH_OPTIONS_WRONG)
        return EXIT_USAGE;
    if (rc == BENCH_OPTIONS_ANSWERED)
        return EXIT_SUCCESS;
    rc = run(&options);
    if (fflush(stdout) != 0 || ferror(stdout)) /* nothing before has looked */
        rc = fail("standard output", strerror(errno));
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
