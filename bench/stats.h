/* stats.h - what is said about several measurements: median, spread, percentiles. */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stddef.h>

struct bench_spread {
    double median;
    double min;
    double max;
};

/* Sort in place, ascending. */
void bench_stats_sort(double *values, size_t count);

/* The value at rank ceil(share * count) of sorted values; share 0.5 is the median's neighbour. */
double bench_stats_percentile(const double *sorted, size_t count, double share);

/* Median (of two middle values their mean), least and greatest. Sorts `values`; count > 0. */
struct bench_spread bench_stats_spread(double *values, size_t count);

#endif
