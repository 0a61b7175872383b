/* workload.c - the list of workloads, and what they share. */
#include "workload.h"

#include "stats.h"

#include <assert.h>

static const struct bench_workload *const workloads[] = {
    &bench_workload_bulk_load,
    &bench_workload_append_one,
    &bench_workload_append_long_merging,
    &bench_workload_append_long_thread,
    &bench_workload_append_long_unmerged,
    &bench_workload_wake,
    &bench_workload_read_category,
    &bench_workload_read_stream_warm,
    &bench_workload_read_stream_cold,
    &bench_workload_find_tags_short,
    &bench_workload_find_tags_long,
    &bench_workload_reopen_closed,
    &bench_workload_reopen_killed,
    &bench_workload_reindex,
    &bench_workload_project,
    &bench_workload_project_beside,
    &bench_workload_project_alone,
    &bench_workload_load_whole,
    &bench_workload_load_snapshot,
    &bench_workload_view_get,
    &bench_workload_view_scan,
};

void bench_round_latencies(struct bench_round *round, double *latency_us, size_t count)
{
    assert(count > 0);

    bench_stats_sort(latency_us, count);
    round->operations = (double)count;
    round->p50_us = bench_stats_percentile(latency_us, count, 0.50);
    round->p99_us = bench_stats_percentile(latency_us, count, 0.99);
    round->max_us = latency_us[count - 1];
}

const struct bench_workload *bench_workload_at(size_t n)
{
    return n < sizeof(workloads) / sizeof(workloads[0]) ? workloads[n] : NULL;
}
