/* workload_read_stream.c - streams of 100 events rebuilt, each scattered evenly over the store.
 *
 * Warm, all of them in turns out of memory. Cold, each of them once: the store is closed and
 * dropped from the page cache, opened, and then read; opening and reading have each their own
 * clock. */
#include "clock.h"
#include "cold.h"
#include "feed.h"
#include "stats.h"
#include "workload_read.h"

enum { TIMES = 1000 };

static int can(const struct bench_peer *peer)
{
    return peer->read_stream != NULL;
}

static int read_history(const struct bench_work *work, void *store, uint64_t n,
                        struct bench_failure *failure)
{
    struct bench_reading reading = {0};
    char name[BENCH_NAME_BYTES_MAX];

    bench_history_name(n % BENCH_HISTORIES, name, sizeof(name));
    if (work->peer->read_stream(store, name, &reading, failure) < 0)
        return -1;
    return bench_read_check(work, &reading, BENCH_HISTORY_EVENTS, name, failure);
}

static int read_warm_run(const struct bench_work *work, struct bench_round *out,
                         struct bench_failure *failure)
{
    return bench_read_warm(work, read_history, BENCH_HISTORIES, TIMES, BENCH_HISTORY_EVENTS, out,
                           failure);
}

static int read_cold(const struct bench_work *work, uint64_t n, double *open_us, double *read_us,
                     struct bench_failure *failure)
{
    struct bench_failure ignored;
    void *store = NULL;
    double start_us = bench_clock_us();
    int rc;

    if (work->peer->open(work->scratch->path, &store, failure) < 0)
        return -1;
    *open_us = bench_clock_us() - start_us;
    start_us = bench_clock_us();
    rc = read_history(work, store, n, failure);
    *read_us = bench_clock_us() - start_us;
    work->peer->close(store, &ignored);
    return rc;
}

static int read_cold_run(const struct bench_work *work, struct bench_round *out,
                         struct bench_failure *failure)
{
    double open_us[BENCH_HISTORIES];
    double read_us[BENCH_HISTORIES];
    struct bench_memory before;
    double sum_us = 0;
    uint64_t n;

    bench_memory_reset_peak();
    bench_memory_read(&before);
    for (n = 0; n < BENCH_HISTORIES; n++) {
        double share = 0;

        if (bench_cold_drop(work->scratch, work->plan->files_only, &share, failure) < 0 ||
            read_cold(work, n, &open_us[n], &read_us[n], failure) < 0)
            return -1;
        if (share > out->cached_share)
            out->cached_share = share;
        sum_us += read_us[n];
    }
    out->events_per_s = BENCH_HISTORIES * BENCH_HISTORY_EVENTS / (sum_us / 1e6);
    out->open_us = bench_stats_spread(open_us, BENCH_HISTORIES).median;
    bench_round_latencies(out, read_us, BENCH_HISTORIES);
    bench_read_memory(&before, out);
    return 0;
}

const struct bench_workload bench_workload_read_stream_warm = {
    .name = "read-stream",
    .variant = "warm",
    .about = "streams of 100 events, scattered over the store, in memory; time of one rebuild",
    .kind = BENCH_READ,
    .of_store = 1,
    .can = can,
    .run = read_warm_run,
};

const struct bench_workload bench_workload_read_stream_cold = {
    .name = "read-stream",
    .variant = "cold",
    .about =
        "the same, each from the disk: page cache dropped, store opened, then one rebuild timed",
    .goal = "a twentieth of a default LMDB's time",
    .kind = BENCH_COLD,
    .of_store = 1,
    .can = can,
    .run = read_cold_run,
};
