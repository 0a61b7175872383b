/* stores.h - the stores that workloads work on: one a system, made when the first workload needs
 * it, and used by all that come after. */
#ifndef BENCH_STORES_H
#define BENCH_STORES_H

#include "options.h"

/* Begins as zeroes. */
struct bench_stores {
    struct bench_scratch scratch[BENCH_SYSTEMS_MAX];
    const struct bench_peer *peers[BENCH_SYSTEMS_MAX]; /* whose they are */
    size_t count;
};

/* The store of `peer`, made if there is none, and reported.
 *
 * Returns: 0; BENCH_INTERRUPTED; -1 and a text in `failure`. */
int bench_stores_get(struct bench_stores *stores, const struct bench_options *options,
                     const struct bench_peer *peer, const struct bench_scratch **out,
                     struct bench_failure *failure);

/* Remove them, unless they are to be kept. */
void bench_stores_release(struct bench_stores *stores, const struct bench_options *options);

#endif
