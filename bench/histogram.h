/* histogram.h - times by the million in fixed memory, each to within 1 %.
 *
 * A bucket is an octave's 128th. What is added by several threads goes into a histogram each, and
 * is put together afterwards. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    BENCH_HISTOGRAM_BITS = 7,
    BENCH_HISTOGRAM_OCTAVES = 34, /* of nanoseconds: up to half an hour */
    BENCH_HISTOGRAM_BUCKETS = (BENCH_HISTOGRAM_OCTAVES + 1) << BENCH_HISTOGRAM_BITS
};

/* Begins as zeroes. */
struct bench_histogram {
    uint64_t counts[BENCH_HISTOGRAM_BUCKETS];
    uint64_t count;
    double max_us; /* to the nanosecond */
};

/* A time below 0 counts as 0. */
void bench_histogram_add(struct bench_histogram *histogram, double us);

/* All of `from` too. */
void bench_histogram_join(struct bench_histogram *histogram, const struct bench_histogram *from);

/* The middle of the bucket that holds rank ceil(share * count), never above the maximum; 0 of an
 * empty one. */
double bench_histogram_percentile(const struct bench_histogram *histogram, double share);

#endif
