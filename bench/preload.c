/* preload.c - the store of the workloads that look for something: the feed, from its first event to
 * its last. */
#include "preload.h"

#include "clock.h"

int bench_preload_append(const struct bench_peer *peer, void *store, struct bench_feed *feed,
                         struct bench_failure *failure)
{
    for (;;) {
        size_t count = bench_feed_next(feed);

        if (count == 0)
            return 0;
        if (peer->append(store, feed->items, count, failure) < 0)
            return -1;
    }
}

int bench_preload_count(const struct bench_work *work, uint64_t *out, struct bench_failure *failure)
{
    struct bench_failure ignored;
    void *store = NULL;
    int rc;

    if (work->peer->open(work->scratch->path, &store, failure) < 0)
        return -1;
    rc = work->peer->count(store, out, failure);
    work->peer->close(store, &ignored);
    return rc;
}

int bench_preload_check(const struct bench_work *work, uint64_t expected,
                        struct bench_failure *failure)
{
    uint64_t count = 0;

    if (bench_preload_count(work, &count, failure) < 0)
        return -1;
    if (count == expected)
        return 0;
    return bench_failure_set(failure, "%s: %llu events appended, %llu found", work->peer->name,
                             (unsigned long long)expected, (unsigned long long)count);
}

static int fill(const struct bench_work *work, struct bench_feed *feed,
                struct bench_failure *failure)
{
    const struct bench_peer *peer = work->peer;
    struct bench_failure ignored;
    void *store = NULL;
    int rc;

    if (peer->open(work->scratch->path, &store, failure) < 0)
        return -1;
    rc = bench_preload_append(peer, store, feed, failure);
    if (rc == 0 && peer->ready != NULL)
        rc = peer->ready(store, failure);
    if (peer->close(store, rc == 0 ? failure : &ignored) < 0)
        rc = -1;
    return rc;
}

static int preload_run(const struct bench_work *work, struct bench_round *out,
                       struct bench_failure *failure)
{
    struct bench_feed feed = {0};
    double start_us = bench_clock_us();
    int rc;

    if (bench_feed_init(&feed, work->plan) < 0) {
        rc = bench_failure_set(failure, "out of memory");
    } else {
        rc = fill(work, &feed, failure);
    }
    bench_feed_release(&feed);
    if (rc < 0)
        return rc;
    out->seconds = (bench_clock_us() - start_us) / 1e6;
    return bench_preload_check(work, work->plan->events, failure);
}

const struct bench_workload bench_workload_preload = {
    .name = "store",
    .variant = "",
    .about = "the store of the other workloads",
    .kind = BENCH_LOAD,
    .of_store = 1,
    .run = preload_run,
};
