/* workload_reindex.c - a closed store's index thrown away and made again from its events. All of it
 * is in the page cache, as far as memory goes.
 *
 * Behind the clock the store is asked for its events, and for those of a category: an index that
 * lost some has no speed. */
#include "clock.h"
#include "cold.h"
#include "preload.h"
#include "workload_read.h"

static int can(const struct bench_peer *peer)
{
    return peer->reindex != NULL;
}

static int check_category(const struct bench_work *work, struct bench_failure *failure)
{
    struct bench_reading reading = {0};
    struct bench_failure ignored;
    void *store = NULL;
    int rc;

    if (work->peer->open(work->scratch->path, &store, failure) < 0)
        return -1;
    rc = work->peer->read_category(store, BENCH_RARE_CATEGORY, &reading, failure);
    if (rc == 0)
        rc = bench_read_check(work, &reading, BENCH_RARE_EVENTS, BENCH_RARE_CATEGORY, failure);
    work->peer->close(store, &ignored);
    return rc;
}

static int reindex_run(const struct bench_work *work, struct bench_round *out,
                       struct bench_failure *failure)
{
    struct bench_memory before;
    uint64_t events = 0;
    double start_us;
    double start_cpu_us;

    if (bench_cold_end(work->scratch, failure) < 0 ||
        bench_preload_count(work, &events, failure) < 0)
        return -1;
    bench_memory_reset_peak();
    bench_memory_read(&before);
    start_us = bench_clock_us();
    start_cpu_us = bench_clock_cpu_us();
    if (work->peer->reindex(work->scratch->path, failure) < 0)
        return -1;
    out->seconds = (bench_clock_us() - start_us) / 1e6;
    out->cpu_seconds = (bench_clock_cpu_us() - start_cpu_us) / 1e6;
    out->events_per_s = (double)events / out->seconds;
    bench_read_memory(&before, out);
    if (bench_preload_check(work, events, failure) < 0)
        return -1;
    return check_category(work, failure);
}

const struct bench_workload bench_workload_reindex = {
    .name = "reindex",
    .variant = "",
    .about = "the index of a closed store made again from all events, in memory",
    .goal = "at least 500 000 events/s with 10 000 000 events",
    .kind = BENCH_REINDEX,
    .of_store = 1,
    .can = can,
    .run = reindex_run,
};
