/* workload_wake.c - how soon a process that waits for news hears of them.
 *
 *     appender    sleep ... append, returns at T -------- sleep until it was seen ... again
 *     follower    waits .......................... returns at W
 *
 * Two processes: what is timed is from T to W, on the clock that both have. A follower that is
 * faster than the append returns counts as 0. The sleeps are of no fixed length, so that a follower
 * that looks from time to time is not met at the same point of its sleep again and again. */
#include "chance.h"
#include "clock.h"
#include "crew.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    SLEEP_US_MIN = 1000, /* the follower is waiting again by then */
    SLEEP_US_RANGE = 2000,
    LOOK_US = 300, /* from one look whether it was seen to the next */
    WAIT_MS = 100,
    PATIENCE_US = 5000000
};

/* What the two tell each other. */
struct shared {
    atomic_uint_fast64_t seen; /* events that the follower has heard of; behind `woke_us` */
    atomic_int ended;
    double woke_us;
};

struct wake {
    struct shared *shared;
    const struct bench_event *event;
};

enum { BASE = 1 }; /* events that are there before */

static int wait_seen(const struct shared *shared, uint64_t events, struct bench_failure *failure)
{
    double end_us = bench_clock_us() + PATIENCE_US;

    while (atomic_load(&shared->seen) < events) {
        if (bench_clock_us() > end_us)
            return bench_failure_set(failure, "the follower has not heard of event %llu",
                                     (unsigned long long)events);
        usleep(LOOK_US);
    }
    return 0;
}

static int append_and_sleep(struct bench_hand *hand, struct bench_failure *failure)
{
    const struct wake *self = hand->payload;
    uint64_t chance = hand->work->plan->seed;

    while (bench_clock_us() < hand->end_us) {
        double appended_us;

        usleep(SLEEP_US_MIN + bench_chance_below(&chance, SLEEP_US_RANGE));
        if (hand->work->peer->append_one(hand->store, self->event, failure) < 0)
            return -1;
        appended_us = bench_clock_us();
        hand->events++;
        if (wait_seen(self->shared, BASE + hand->events, failure) < 0)
            return -1;
        bench_histogram_add(hand->latency, self->shared->woke_us - appended_us);
    }
    return 0;
}

static int follow(struct bench_hand *hand, struct bench_failure *failure)
{
    const struct wake *self = hand->payload;
    uint64_t head = BASE;

    while (!atomic_load(&self->shared->ended)) {
        uint64_t after = head;

        if (hand->work->peer->wait(hand->store, after, WAIT_MS, &head, failure) < 0)
            return -1;
        if (head > after) {
            self->shared->woke_us = bench_clock_us();
            atomic_store(&self->shared->seen, head);
        }
    }
    return 0;
}

static int append_or_follow(struct bench_hand *hand, struct bench_failure *failure)
{
    const struct wake *self = hand->payload;
    int rc;

    if (hand->number > 0)
        return follow(hand, failure);
    rc = append_and_sleep(hand, failure);
    atomic_store(&self->shared->ended, 1);
    return rc;
}

static int give_base(const struct wake *self, const struct bench_work *work,
                     struct bench_failure *failure)
{
    struct bench_failure ignored;
    void *store = NULL;
    int rc = work->peer->open(work->scratch->path, &store, failure);

    if (rc < 0)
        return rc;
    rc = work->peer->append(store, self->event, BASE, failure);
    if (work->peer->close(store, rc == 0 ? failure : &ignored) < 0)
        rc = -1;
    return rc;
}

static int wake_run(const struct bench_work *work, struct bench_round *out,
                    struct bench_failure *failure)
{
    struct wake self = {.event = work->events->items};
    struct bench_plan plan = *work->plan;
    struct bench_work own = *work;
    struct bench_crew crew = {.events = 0};
    int rc;

    plan.threads = 2;
    plan.processes = 2;
    own.plan = &plan;
    self.shared =
        mmap(NULL, sizeof(*self.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (self.shared == MAP_FAILED)
        return bench_failure_set(failure, "out of memory");
    rc = give_base(&self, &own, failure);
    if (rc == 0)
        rc = bench_crew_run(&own, append_or_follow, &self, &crew, failure);
    if (rc == 0)
        bench_crew_report(&crew, out);
    munmap(self.shared, sizeof(*self.shared));
    return rc;
}

static int can(const struct bench_peer *peer)
{
    return peer->wait != NULL && peer->append_one != NULL && peer->processes;
}

const struct bench_workload bench_workload_wake = {
    .name = "wake",
    .variant = "",
    .about =
        "from the return of an append to that of a wait in another process, an event at a time",
    .goal = "100 us at the median on an idle machine",
    .kind = BENCH_WAKE,
    .can = can,
    .run = wake_run,
};
