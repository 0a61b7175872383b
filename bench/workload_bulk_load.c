/* workload_bulk_load.c - all events, one durable commit a batch, one thread, into an empty store.
 *
 * The clock starts when the store is open and empty, and stops when its close has returned. Behind
 * the clock the store is opened again and asked how many events it holds. */
#include "clock.h"
#include "memory.h"
#include "preload.h"
#include "workload.h"

#include <stdlib.h>
#include <string.h>

struct load {
    const struct bench_peer *peer;
    const struct bench_plan *plan;
    const struct bench_events *events;
    double *latency_us; /* of each commit */
    size_t commits;
};

static int append_all(struct load *load, void *store, struct bench_failure *failure)
{
    size_t done = 0;

    while (done < load->events->count) {
        size_t left = load->events->count - done;
        size_t count = left < load->plan->batch ? left : load->plan->batch;
        double start_us = bench_clock_us();
        int rc = load->peer->append(store, load->events->items + done, count, failure);

        if (rc < 0)
            return rc;
        load->latency_us[load->commits] = bench_clock_us() - start_us;
        load->commits++;
        done += count;
    }
    return 0;
}

/* The timed part: everything in, and closed. The store is closed in any case. */
static int load_and_close(struct load *load, void *store, const struct bench_memory *before,
                          struct bench_round *out, struct bench_failure *failure)
{
    struct bench_failure ignored;
    struct bench_memory memory;
    double start_us = bench_clock_us();
    double start_cpu_us = bench_clock_cpu_us();
    double close_us;

    if (append_all(load, store, failure) < 0) {
        load->peer->close(store, &ignored);
        return -1;
    }
    bench_memory_read(&memory);
    close_us = bench_clock_us();
    if (load->peer->close(store, failure) < 0)
        return -1;
    out->seconds = (bench_clock_us() - start_us) / 1e6;
    out->close_seconds = (bench_clock_us() - close_us) / 1e6;
    out->cpu_seconds = (bench_clock_cpu_us() - start_cpu_us) / 1e6;
    if (memory.private_bytes > before->private_bytes)
        out->private_bytes = (double)(memory.private_bytes - before->private_bytes);
    bench_memory_read(&memory);
    if (memory.resident_peak > before->resident)
        out->rss_bytes = (double)(memory.resident_peak - before->resident);
    return 0;
}

static int bulk_load_run(const struct bench_work *work, struct bench_round *out,
                         struct bench_failure *failure)
{
    struct load load = {.peer = work->peer, .plan = work->plan, .events = work->events};
    size_t commits_max = (load.events->count + load.plan->batch - 1) / load.plan->batch;
    struct bench_memory before;
    void *store = NULL;
    int rc = -1;

    load.latency_us = malloc(commits_max * sizeof(*load.latency_us));
    if (load.latency_us == NULL) {
        bench_failure_set(failure, "out of memory");
        goto done;
    }
    memset(load.latency_us, 0, commits_max * sizeof(*load.latency_us)); /* resident before */
    bench_memory_reset_peak();
    bench_memory_read(&before);

    rc = load.peer->open(work->scratch->path, &store, failure);
    if (rc < 0)
        goto done;
    rc = load_and_close(&load, store, &before, out, failure);
    if (rc < 0)
        goto done;
    out->events_per_s = (double)load.events->count / out->seconds;
    out->disk_bytes_per_event =
        (double)bench_scratch_bytes(work->scratch) / (double)load.events->count;
    bench_round_latencies(out, load.latency_us, load.commits);
    rc = bench_preload_check(work, load.events->count, failure);

done:
    free(load.latency_us);
    return rc;
}

const struct bench_workload bench_workload_bulk_load = {
    .name = "bulk-load",
    .variant = "",
    .about = "all events into an empty store, one durable commit a batch, close included",
    .kind = BENCH_LOAD,
    .run = bulk_load_run,
};
