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

/* One run of one system, told as soon as it is done. */
static int measure_one(const struct bench_options *options, const struct bench_task *task,
                       struct bench_round *out)
{
    struct bench_failure failure = {{0}};
    int rc = bench_round_run(task, out, &failure);

    if (rc == BENCH_INTERRUPTED)
        return fail(task->workload->name, "interrupted");
    if (rc < 0)
        return fail(task->workload->name, failure.text);
    bench_report_round(options, task->workload, task->peer, task->round, out);
    return 0;
}

/* All systems of a round take their turns before the next round begins: whatever else the machine
 * does meanwhile hits all of them. */
static int measure(const struct bench_options *options, const struct bench_workload *workload,
                   const struct bench_events *events)
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
                                      .directory = options->directory,
                                      .round = round,
                                      .keep = options->keep};

            rc = measure_one(options, &task, &rounds[system * options->rounds + round - 1]);
            if (rc < 0)
                goto done;
        }
    }
    rc = bench_report_summary(options, workload, rounds);
    if (rc < 0)
        fail(workload->name, "out of memory");

done:
    free(rounds);
    return rc;
}

static int run(const struct bench_options *options)
{
    struct bench_events events = {0};
    struct bench_env env;
    size_t i;
    int rc;

    if (bench_env_read(&env, options->directory) < 0)
        return fail(options->directory, strerror(errno));
    bench_report_environment(options, &env);
    if (bench_round_hold_signals() < 0)
        return fail("signals", strerror(errno));
    rc = bench_events_init(&events, &options->plan);
    if (rc < 0)
        return fail("events", "out of memory");
    for (i = 0; i < options->workload_count && rc == 0; i++)
        rc = measure(options, options->workloads[i], &events);
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
