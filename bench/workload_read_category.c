/* workload_read_category.c - the 1 000 events of one category that are scattered over the whole
 * store, read again and again out of memory. */
#include "feed.h"
#include "workload_read.h"

enum { TIMES = 200, TIMES_UNTIMED = 3 };

static int can(const struct bench_peer *peer)
{
    return peer->read_category != NULL;
}

static int read_once(const struct bench_work *work, void *store, uint64_t n,
                     struct bench_failure *failure)
{
    struct bench_reading reading = {0};

    (void)n;
    if (work->peer->read_category(store, BENCH_RARE_CATEGORY, &reading, failure) < 0)
        return -1;
    return bench_read_check(work, &reading, BENCH_RARE_EVENTS, BENCH_RARE_CATEGORY, failure);
}

static int read_category_run(const struct bench_work *work, struct bench_round *out,
                             struct bench_failure *failure)
{
    return bench_read_warm(work, read_once, TIMES_UNTIMED, TIMES, BENCH_RARE_EVENTS, out, failure);
}

const struct bench_workload bench_workload_read_category = {
    .name = "read-category",
    .variant = "",
    .about =
        "the 1 000 events of a category, scattered over the store, in memory; time of one read",
    .goal = "under 2 ms with 10 000 000 events",
    .kind = BENCH_READ,
    .of_store = 1,
    .can = can,
    .run = read_category_run,
};
