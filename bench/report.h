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

/* Medians, spread and ratios. `rounds` holds all runs of a system, then all of the next. `*median`
 * is Quipu's, of the field by which systems are compared.
 *
 * Returns: 0, or -1 if memory is out. */
int bench_report_summary(const struct bench_options *options, const struct bench_workload *workload,
                         const struct bench_round *rounds, double *median);

/* One crew that did a workload. */
struct bench_shape {
    struct bench_plan plan;
    double events_per_s; /* Quipu's median; 0: it was left out */
};

/* Quipu's in several processes, and asynchronous, beside its own of threads that wait in one. */
void bench_report_shapes(const struct bench_options *options, const struct bench_shape *shapes,
                         size_t count);

#endif
