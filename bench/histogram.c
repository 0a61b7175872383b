/* histogram.c - the number of a bucket is the first bits of a time, and how many bits there are.
 *
 *     below 128 ns     each nanosecond has its bucket
 *     from there on    0...01bbbbbbb*****    the 7 bits b behind the first 1 say which of 128
 */
#include "histogram.h"

enum { STEPS = 1 << BENCH_HISTOGRAM_BITS };

static uint32_t bucket_of(uint64_t ns)
{
    uint32_t octave = 0; /* bits that are cut off */
    uint32_t bucket;

    if (ns < STEPS)
        return (uint32_t)ns;
    octave = (uint32_t)(63 - __builtin_clzll(ns)) - BENCH_HISTOGRAM_BITS;
    bucket = ((octave + 1) << BENCH_HISTOGRAM_BITS) + (uint32_t)((ns >> octave) & (STEPS - 1));
    return bucket < BENCH_HISTOGRAM_BUCKETS ? bucket : BENCH_HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static double bucket_us(uint32_t bucket)
{
    uint32_t octave;
    double width;

    if (bucket < STEPS)
        return bucket / 1e3;
    octave = (bucket >> BENCH_HISTOGRAM_BITS) - 1;
    width = (double)(UINT64_C(1) << octave);
    return ((STEPS + (bucket & (STEPS - 1))) * width + width / 2) / 1e3;
}

void bench_histogram_add(struct bench_histogram *histogram, double us)
{
    uint64_t ns = us > 0 ? (uint64_t)(us * 1e3) : 0;

    histogram->counts[bucket_of(ns)]++;
    histogram->count++;
    if (us > histogram->max_us)
        histogram->max_us = us;
}

void bench_histogram_join(struct bench_histogram *histogram, const struct bench_histogram *from)
{
    uint32_t i;

    for (i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++)
        histogram->counts[i] += from->counts[i];
    histogram->count += from->count;
    if (from->max_us > histogram->max_us)
        histogram->max_us = from->max_us;
}

double bench_histogram_percentile(const struct bench_histogram *histogram, double share)
{
    double exact = share * (double)histogram->count;
    uint64_t seen = 0;
    uint32_t i;

    for (i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen > 0 && (double)seen >= exact) {
            double us = bucket_us(i);

            return us < histogram->max_us ? us : histogram->max_us;
        }
    }
    return 0;
}
