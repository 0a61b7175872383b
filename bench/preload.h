/* preload.h - stores with many events, made outside of any clock. */
#ifndef BENCH_PRELOAD_H
#define BENCH_PRELOAD_H

#include "feed.h"
#include "workload.h"

/* Append all that the feed still has. */
int bench_preload_append(const struct bench_peer *peer, void *store, struct bench_feed *feed,
                         struct bench_failure *failure);

/* Ask the closed store how many events it holds. */
int bench_preload_count(const struct bench_work *work, uint64_t *out,
                        struct bench_failure *failure);

/* A store that lost or doubled events has no speed: it holds `expected` ones, or -1. */
int bench_preload_check(const struct bench_work *work, uint64_t expected,
                        struct bench_failure *failure);

/* All return 0, or -1 and a text in `failure`. */

#endif
