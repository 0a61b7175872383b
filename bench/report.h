/* report.h - how results look: a text for people, or rows of JSON for programs.
 *
 * With --json the standard output holds rows only, one a run and then one a system with the
 * medians; the environment is a row on stderr. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "env.h"
#include "options.h"

void bench_report_environment(const struct bench_options *options, const struct bench_env *env);

/* The store of a system is made, and how long that took: nobody measures it, but who waits wants to
 * know. */
void bench_report_store(const struct bench_options *options, const struct bench_peer *peer,
                        double seconds);

/* What comes now. */
void bench_report_workload(const struct bench_options *options,
                           const struct bench_workload *workload);

/* One run; `number` counts from 1. */
void bench_report_round(const struct bench_options *options, const struct bench_workload *workload,
                        const struct bench_peer *peer, uint64_t number,
                        const struct bench_round *round);

/* Medians, spread and ratios. `rounds` holds all runs of a system, then all of the next.
 *
 * Returns: 0, or -1 if memory is out. */
int bench_report_summary(const struct bench_options *options, const struct bench_workload *workload,
                         const struct bench_round *rounds);

/* One crew and what it did: most workloads have one shape, of one thread. */
struct bench_shape {
    struct bench_options options; /* its plan, and the systems that can */
    struct bench_round *rounds;   /* as for the summary */
};

enum { BENCH_SHAPES_MAX = BENCH_LIST_MAX * BENCH_LIST_MAX + 1 };

/* Quipu's in several processes, and asynchronous, beside its own of threads that wait in one.
 *
 * Returns: 0, or -1 if memory is out. */
int bench_report_shapes(const struct bench_shape *shapes, size_t count);

#endif
