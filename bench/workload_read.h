/* workload_read.h - what the workloads that read have in common. */
#ifndef BENCH_WORKLOAD_READ_H
#define BENCH_WORKLOAD_READ_H

#include "memory.h"
#include "workload.h"

/* A read came back: it brought `events` of the plan's size, or -1 and a text in `failure`. */
int bench_read_check(const struct bench_work *work, const struct bench_reading *reading,
                     uint64_t events, const char *what, struct bench_failure *failure);

/* A read out of memory: what is read the `n`-th time, from 0. */
typedef int (*bench_read_fn)(const struct bench_work *work, void *store, uint64_t n,
                             struct bench_failure *failure);

/* Open the store, read `untimed` times, then `times` with the clock; `events` in each. Fills a
 * round of kind BENCH_READ. Returns: 0, or -1 and a text in `failure`. */
int bench_read_warm(const struct bench_work *work, bench_read_fn read, uint64_t untimed,
                    uint64_t times, uint64_t events, struct bench_round *out,
                    struct bench_failure *failure);

/* The peak of memory since `before`. */
void bench_read_memory(const struct bench_memory *before, struct bench_round *out);

#endif
