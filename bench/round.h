/* round.h - one run of one workload on one system: a process of its own, in a fresh directory that
 * is removed again, or in that of a store. */
#ifndef BENCH_ROUND_H
#define BENCH_ROUND_H

#include "workload.h"

enum { BENCH_INTERRUPTED = -2 };

struct bench_task {
    const struct bench_workload *workload;
    const struct bench_peer *peer;
    const struct bench_plan *plan;
    const struct bench_events *events; /* NULL if the workload is of a store */
    const struct bench_scratch *store; /* where to run; NULL: in a fresh directory */
    const char *directory;             /* where the fresh directory is made */
    uint64_t round;                    /* counts from 1 */
    int keep;                          /* do not remove it */
};

/* From here on SIGINT and SIGTERM end a run cleanly instead of the program. Returns: 0 or -1. */
int bench_round_hold_signals(void);

/* Run it. Returns: 0; BENCH_INTERRUPTED; -1 and a text in `failure`. */
int bench_round_run(const struct bench_task *task, struct bench_round *out,
                    struct bench_failure *failure);

#endif
