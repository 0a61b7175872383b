/* crew.h - several processes with several threads each, all at work on one store at once.
 *
 * The run's own process starts them and waits. Each process opens the store for itself; when all
 * stand ready, all threads begin at the same moment. What they count and measure lies in memory
 * that all of them share, each thread in a place of its own. */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include "histogram.h"
#include "workload.h"

/* One thread of the crew. */
struct bench_hand {
    const struct bench_work *work;
    void *store;     /* this process's */
    uint64_t number; /* of this thread, among those of all processes, from 0 */
    uint64_t hands;  /* how many these are */
    double end_us;   /* on bench_clock_us(): begin nothing after it */
    void *payload;   /* of the call; made before, and each process has a copy */

    /* For the thread to fill. */
    struct bench_histogram *latency;
    uint64_t events;
    double slowest_us; /* of what it does beside, if it measures that */
};

/* A thread's work, from the common start to its end. Returns: 0, or -1 and a text in `failure`. */
typedef int (*bench_hand_fn)(struct bench_hand *hand, struct bench_failure *failure);

/* What all did together. Begins as zeroes. */
struct bench_crew {
    struct bench_histogram latency;
    uint64_t events;
    double seconds;       /* from the common start to the end of the last thread */
    double close_seconds; /* of the process that was slowest to close the store */
    double cpu_seconds;   /* without the opening and the closing */
    double switches;      /* from one thread to another, wanted or not, as the kernel counts them */
    double slowest_us;    /* of all threads */
};

/* Let plan->threads in plan->processes do it for plan->seconds, or as long as they want. What they
 * did is added to `out`.
 *
 * Returns: 0, or -1 and a text in `failure`. */
int bench_crew_run(const struct bench_work *work, bench_hand_fn run, void *payload,
                   struct bench_crew *out, struct bench_failure *failure);

/* Events, speed, latencies and the like into a round. */
void bench_crew_report(const struct bench_crew *crew, struct bench_round *out);

#endif
