/* workload_find_tags.c - the 100 events that carry both of two tags, found and read again and again
 * out of memory: where one of the tags is on no others, and where each is on a hundredth of all. */
#include "feed.h"
#include "workload_read.h"

enum { TIMES = 200, TIMES_UNTIMED = 3 };

static int can(const struct bench_peer *peer)
{
    return peer->read_tags != NULL;
}

static int read_pair(const struct bench_work *work, void *store, const char *first,
                     const char *second, struct bench_failure *failure)
{
    struct bench_reading reading = {0};

    if (work->peer->read_tags(store, first, second, &reading, failure) < 0)
        return -1;
    return bench_read_check(work, &reading, BENCH_TAG_MATCHES, first, failure);
}

/* The long list is named first: who begins with it does so by choice. */
static int read_short(const struct bench_work *work, void *store, uint64_t n,
                      struct bench_failure *failure)
{
    (void)n;
    return read_pair(work, store, BENCH_TAG_LONG, BENCH_TAG_SHORT, failure);
}

static int read_long(const struct bench_work *work, void *store, uint64_t n,
                     struct bench_failure *failure)
{
    (void)n;
    return read_pair(work, store, BENCH_TAG_RAIL, BENCH_TAG_AIRPORT, failure);
}

static int find_short_run(const struct bench_work *work, struct bench_round *out,
                          struct bench_failure *failure)
{
    return bench_read_warm(work, read_short, TIMES_UNTIMED, TIMES, BENCH_TAG_MATCHES, out, failure);
}

static int find_long_run(const struct bench_work *work, struct bench_round *out,
                         struct bench_failure *failure)
{
    return bench_read_warm(work, read_long, TIMES_UNTIMED, TIMES, BENCH_TAG_MATCHES, out, failure);
}

const struct bench_workload bench_workload_find_tags_short = {
    .name = "find-tags",
    .variant = "one-long",
    .about = "two tags, of a hundredth of all events and of 100 among these, in memory; one read",
    .kind = BENCH_READ,
    .of_store = 1,
    .can = can,
    .run = find_short_run,
};

const struct bench_workload bench_workload_find_tags_long = {
    .name = "find-tags",
    .variant = "two-long",
    .about = "two tags, of a hundredth of all events each and 100 in common, in memory; one read",
    .kind = BENCH_READ,
    .of_store = 1,
    .can = can,
    .run = find_long_run,
};
