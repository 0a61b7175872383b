/* workload_read.c - one open store, the same read again and again. */
#include "workload_read.h"

#include "clock.h"

#include <stdlib.h>

int bench_read_check(const struct bench_work *work, const struct bench_reading *reading,
                     uint64_t events, const char *what, struct bench_failure *failure)
{
    uint64_t bytes = events * work->plan->size;

    if (reading->events == events && reading->bytes == bytes)
        return 0;
    return bench_failure_set(
        failure, "%s: %.64s: %llu events with %llu bytes read, not %llu with %llu",
        work->peer->name, what, (unsigned long long)reading->events,
        (unsigned long long)reading->bytes, (unsigned long long)events, (unsigned long long)bytes);
}

void bench_read_memory(const struct bench_memory *before, struct bench_round *out)
{
    struct bench_memory memory;

    bench_memory_read(&memory);
    if (memory.resident_peak > before->resident)
        out->rss_bytes = (double)(memory.resident_peak - before->resident);
    if (memory.private_bytes > before->private_bytes)
        out->private_bytes = (double)(memory.private_bytes - before->private_bytes);
}

static int read_all(const struct bench_work *work, void *store, bench_read_fn read, double *took_us,
                    uint64_t times, struct bench_failure *failure)
{
    uint64_t n;

    for (n = 0; n < times; n++) {
        double start_us = bench_clock_us();

        if (read(work, store, n, failure) < 0)
            return -1;
        took_us[n] = bench_clock_us() - start_us;
    }
    return 0;
}

int bench_read_warm(const struct bench_work *work, bench_read_fn read, uint64_t untimed,
                    uint64_t times, uint64_t events, struct bench_round *out,
                    struct bench_failure *failure)
{
    uint64_t most = times > untimed ? times : untimed;
    double *took_us = calloc(most, sizeof(*took_us));
    struct bench_failure ignored;
    struct bench_memory before;
    void *store = NULL;
    double start_us;
    double start_cpu_us;
    int rc = -1;

    if (took_us == NULL) {
        bench_failure_set(failure, "out of memory");
        goto done;
    }
    bench_memory_reset_peak();
    bench_memory_read(&before);
    rc = work->peer->open(work->scratch->path, &store, failure);
    if (rc < 0)
        goto done;
    rc = read_all(work, store, read, took_us, untimed, failure);
    if (rc < 0)
        goto done;

    start_us = bench_clock_us();
    start_cpu_us = bench_clock_cpu_us();
    rc = read_all(work, store, read, took_us, times, failure);
    if (rc < 0)
        goto done;
    out->seconds = (bench_clock_us() - start_us) / 1e6;
    out->cpu_seconds = (bench_clock_cpu_us() - start_cpu_us) / 1e6;
    out->events_per_s = (double)(times * events) / out->seconds;
    bench_round_latencies(out, took_us, times);
    bench_read_memory(&before, out);

done:
    work->peer->close(store, &ignored);
    free(took_us);
    return rc;
}
