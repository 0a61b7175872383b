/* workload_append_long.c - what a small commit waits for while much else is committed, and merged
 * into the index.
 *
 * One thread loads the plan's events, a batch a commit. Beside it another one commits event after
 * event, and these commits are timed one by one; of the load the longest commit is told. In the
 * first variant the index is kept up as always, by whose commit it falls to; in the second by a
 * thread of its own. In the third no merge is within the clock: before there is enough for one,
 * both threads stop, the store is closed, which merges, and opened again.
 *
 *     merging      | load, single events, merges                                  | close |
 *     unmerged     | load, single events | close, open | load, single events | close, open | ...
 */
#include "chance.h"
#include "clock.h"
#include "crew.h"
#include "preload.h"

#include <stdatomic.h>

enum {
    UNMERGED_EVENTS = 100000, /* of the load: half of what the first merge would wait for */
    LOADER = 0,
    HANDS = 2
};

struct load {
    size_t begin; /* of this part of the events */
    size_t end;
    atomic_int ended; /* of this process: both threads are in it */
};

/* Its commits are not in the histogram; the longest is kept in the place of its maximum. */
static int load_part(struct bench_hand *hand, struct load *self, struct bench_failure *failure)
{
    const struct bench_work *work = hand->work;
    size_t done = self->begin;

    while (done < self->end) {
        size_t left = self->end - done;
        size_t count = left < work->plan->batch ? left : work->plan->batch;
        double start_us = bench_clock_us();
        double took_us;

        if (work->peer->append(hand->store, work->events->items + done, count, failure) < 0)
            return -1;
        took_us = bench_clock_us() - start_us;
        if (took_us > hand->slowest_us)
            hand->slowest_us = took_us;
        done += count;
        hand->events += count;
    }
    return 0;
}

static int append_beside(struct bench_hand *hand, struct load *self, struct bench_failure *failure)
{
    const struct bench_events *events = hand->work->events;
    uint64_t chance = hand->work->plan->seed + self->begin;

    while (!atomic_load(&self->ended)) {
        uint64_t like = bench_chance_next(&chance) % events->count;
        double start_us = bench_clock_us();

        if (hand->work->peer->append_one(hand->store, &events->items[like], failure) < 0)
            return -1;
        bench_histogram_add(hand->latency, bench_clock_us() - start_us);
        hand->events++;
    }
    return 0;
}

static int load_or_append(struct bench_hand *hand, struct bench_failure *failure)
{
    struct load *self = hand->payload;
    int rc;

    if (hand->number != LOADER)
        return append_beside(hand, self, failure);
    rc = load_part(hand, self, failure);
    atomic_store(&self->ended, 1);
    return rc;
}

/* All events, `part` between a fresh opening of the store and its close. */
static int load_all(const struct bench_work *work, size_t part, struct bench_crew *crew,
                    struct bench_failure *failure)
{
    size_t done = 0;

    while (done < work->events->count) {
        struct load self = {.begin = done, .end = work->events->count};

        if (self.end - done > part)
            self.end = done + part;
        if (bench_crew_run(work, load_or_append, &self, crew, failure) < 0)
            return -1;
        done = self.end;
    }
    return bench_preload_check(work, crew->events, failure);
}

static int append_long_run(const struct bench_work *work, size_t part, struct bench_round *out,
                           struct bench_failure *failure)
{
    struct bench_plan plan = *work->plan;
    struct bench_work own = *work;
    struct bench_crew crew = {.events = 0};
    int rc;

    plan.threads = HANDS;
    plan.processes = 1;
    own.plan = &plan;
    rc = load_all(&own, part, &crew, failure);
    if (rc < 0)
        return rc;
    bench_crew_report(&crew, out);
    out->load_max_us = crew.slowest_us;
    out->disk_bytes_per_event = (double)bench_scratch_bytes(work->scratch) / (double)crew.events;
    return 0;
}

static int merging_run(const struct bench_work *work, struct bench_round *out,
                       struct bench_failure *failure)
{
    return append_long_run(work, work->events->count, out, failure);
}

static int thread_run(const struct bench_work *work, struct bench_round *out,
                      struct bench_failure *failure)
{
    struct bench_peer peer = *work->peer;
    struct bench_work own = *work;

    peer.open = peer.open_merge_thread;
    own.peer = &peer;
    return append_long_run(&own, work->events->count, out, failure);
}

static int unmerged_run(const struct bench_work *work, struct bench_round *out,
                        struct bench_failure *failure)
{
    return append_long_run(work, UNMERGED_EVENTS, out, failure);
}

static int can(const struct bench_peer *peer)
{
    return peer->append_one != NULL && peer->open_merge_thread != NULL;
}

const struct bench_workload bench_workload_append_long_merging = {
    .name = "append-long",
    .variant = "merging",
    .about = "durable commits of one event each beside the load of all events in batches",
    .kind = BENCH_BESIDE,
    .can = can,
    .run = merging_run,
};

const struct bench_workload bench_workload_append_long_thread = {
    .name = "append-long",
    .variant = "thread",
    .about = "the same, but a thread of its own merges",
    .kind = BENCH_BESIDE,
    .can = can,
    .run = thread_run,
};

const struct bench_workload bench_workload_append_long_unmerged = {
    .name = "append-long",
    .variant = "unmerged",
    .about = "the same, but merges are left to closes each 100 000 events, outside the clock",
    .kind = BENCH_BESIDE,
    .can = can,
    .run = unmerged_run,
};
