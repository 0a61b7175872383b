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

/* All systems that can, in the turn of this shape. `stores` has one for each, NULL without. */
static int measure_turn(const struct bench_shape *shape, const struct bench_workload *workload,
                        const struct bench_events *events,
                        const struct bench_scratch *const *stores, uint64_t round)
{
    const struct bench_options *options = &shape->options;
    int rc = 0;
    size_t system;

    for (system = 0; system < options->system_count && rc == 0; system++) {
        struct bench_task task = {.workload = workload,
                                  .peer = options->systems[system],
                                  .plan = &options->plan,
                                  .events = events,
                                  .store = stores[system],
                                  .directory = options->directory,
                                  .round = round,
                                  .keep = options->keep};

        rc = measure_one(options, &task, &shape->rounds[system * options->rounds + round - 1]);
    }
    return rc;
}

/* All shapes and systems of a round take their turns before the next round begins: whatever else
 * the machine does meanwhile hits all of them. */
static int measure(const struct bench_options *options, const struct bench_shape *shapes,
                   size_t count, const struct bench_workload *workload,
                   const struct bench_events *events, const struct bench_scratch *const *stores)
{
    uint64_t round;
    int rc = 0;
    size_t i;

    bench_report_workload(options, workload);
    for (round = 1; round <= options->rounds; round++) {
        for (i = 0; i < count && rc == 0; i++)
            rc = measure_turn(&shapes[i], workload, events, stores, round);
    }
    for (i = 0; i < count && rc == 0; i++) {
        rc = bench_report_summary(&shapes[i].options, workload, shapes[i].rounds);
        if (rc < 0)
            fail(workload->name, "out of memory");
    }
    if (rc == 0 && bench_report_shapes(shapes, count) < 0)
        rc = fail(workload->name, "out of memory");
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

/* One shape more, with the systems that can; none if Quipu is not among them, as there would be
 * nothing to hold the others against. Returns: 0, or -1 if memory is out. */
static int add_shape(struct bench_shape *shapes, size_t *count, const struct bench_options *options,
                     const struct bench_workload *workload)
{
    struct bench_shape *shape = &shapes[*count];

    shape->options = *options;
    leave_out(&shape->options, workload);
    if (shape->options.system_count == 0 || shape->options.systems[0] != options->systems[0])
        return 0;
    shape->rounds = calloc(shape->options.system_count * options->rounds, sizeof(*shape->rounds));
    if (shape->rounds == NULL)
        return -1;
    (*count)++;
    return 0;
}

/* A shape for each number of processes with each number of threads, and the asynchronous one. */
static int add_crews(struct bench_shape *shapes, size_t *count, const struct bench_options *options,
                     const struct bench_workload *workload)
{
    size_t waiting = options->processes.count * options->threads.count;
    struct bench_options own = *options;
    int rc = 0;
    size_t i;

    for (i = 0; i < waiting && rc == 0; i++) {
        own.plan.processes = options->processes.items[i / options->threads.count];
        own.plan.threads = options->threads.items[i % options->threads.count];
        if (own.plan.threads >= own.plan.processes) {
            rc = add_shape(shapes, count, &own, workload);
        } else {
            bench_text_put(
                stderr, "quipu-bench: %s: fewer threads (%llu) than processes (%llu): left out\n",
                workload->name, (unsigned long long)own.plan.threads,
                (unsigned long long)own.plan.processes);
        }
    }
    if (rc < 0 || options->in_flight == 0)
        return rc;
    own.plan = options->plan;
    own.plan.in_flight = options->in_flight;
    return add_shape(shapes, count, &own, workload);
}

/* The one or more shapes of a workload, each system on its store or from nothing. */
static int run_workload(const struct bench_options *options, const struct bench_workload *workload,
                        const struct bench_events *events, struct bench_stores *stores)
{
    struct bench_shape *shapes = calloc(BENCH_SHAPES_MAX, sizeof(*shapes));
    const struct bench_scratch *used[BENCH_SYSTEMS_MAX] = {NULL};
    struct bench_failure failure = {{0}};
    size_t count = 0;
    size_t i;
    int rc = -1;

    if (shapes != NULL && workload->of_crew)
        rc = add_crews(shapes, &count, options, workload);
    else if (shapes != NULL)
        rc = add_shape(shapes, &count, options, workload);
    if (rc < 0)
        fail(workload->name, "out of memory");
    for (i = 0; rc == 0 && workload->of_store && count > 0; i++) {
        const struct bench_options *own = &shapes[0].options;

        if (i == own->system_count)
            break;
        rc = bench_stores_get(stores, own, own->systems[i], &used[i], &failure);
        if (rc < 0)
            fail_run(workload, rc, &failure);
    }
    if (rc == 0 && count > 0) {
        rc = measure(options, shapes, count, workload, workload->of_store ? NULL : events, used);
    }
    for (i = 0; i < count; i++)
        free(shapes[i].rounds);
    free(shapes);
    return rc;
}

static int run(const struct bench_options *options)
{
    struct bench_stores stores = {.count = 0};
    struct bench_events events = {0};
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
        } else {
            rc = run_workload(options, workload, &events, &stores);
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
