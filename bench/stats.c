/* stats.c - sorting does all of it. */
#include "stats.h"

#include <assert.h>
#include <stdlib.h>

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

void bench_stats_sort(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
}

double bench_stats_percentile(const double *sorted, size_t count, double share)
{
    double exact = share * (double)count;
    size_t rank = (size_t)exact;

    assert(count > 0);
    if ((double)rank < exact)
        rank++;
    if (rank < 1)
        rank = 1;
    if (rank > count)
        rank = count;
    return sorted[rank - 1];
}

struct bench_spread bench_stats_spread(double *values, size_t count)
{
    struct bench_spread spread;
    size_t middle = count / 2;

    assert(count > 0);
    bench_stats_sort(values, count);
    spread.min = values[0];
    spread.max = values[count - 1];
    spread.median = values[middle];
    if (count % 2 == 0)
        spread.median = (values[middle - 1] + values[middle]) / 2;
    return spread;
}
