/* options.h - the command line, read once and checked whole. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "workload.h"

/* The systems of a run: Quipu first, then its peers. */
enum { BENCH_SYSTEMS_MAX = BENCH_PEERS_MAX + 1, BENCH_ROUNDS_MAX = 1000, BENCH_LIST_MAX = 8 };

/* Several numbers of one option. */
struct bench_list {
    uint64_t items[BENCH_LIST_MAX];
    size_t count;
};

struct bench_options {
    const struct bench_workload *workloads[BENCH_WORKLOADS_MAX];
    const struct bench_peer *systems[BENCH_SYSTEMS_MAX];
    size_t workload_count;
    size_t system_count;
    struct bench_plan plan;
    struct bench_list threads; /* of a crew: each with each of the processes */
    struct bench_list processes;
    uint64_t in_flight; /* of one thread, after these; 0: not measured */
    uint64_t rounds;
    const char *directory;
    int json;
    int keep;
};

enum bench_options_result {
    BENCH_OPTIONS_WRONG = -1, /* said on stderr */
    BENCH_OPTIONS_RUN = 0,
    BENCH_OPTIONS_ANSWERED = 1 /* --help or --version: printed, nothing to run */
};

/* Read the arguments. `out` points into them. */
int bench_options_read(struct bench_options *out, int argc, char **argv);

#endif
