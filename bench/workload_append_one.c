/* workload_append_one.c - durable commits of one event each, by many threads of several processes.
 *
 * Before the clock each stream is given one event and the store is closed: so all that is appended
 * then is of streams that exist, as in a program that has been at work for a while. A stream is
 * chosen by chance for each event, a type and data are taken in turns from the plan's events. Each
 * stream is one thread's alone, so that a system that does not count versions itself need not ask
 * for them; that is in its favour. The clock runs for a fixed time. What a system puts off until it
 * closes is told beside. Behind the clock the store is asked how many events it holds. */
#include "chance.h"
#include "clock.h"
#include "crew.h"
#include "preload.h"

#include <stdlib.h>
#include <string.h>

enum {
    EVENTS_PER_S_MAX = 200000, /* no system that flushes does more: for how much room is made */
    BYTES_EXTRA = 128          /* of an event beside its data */
};

struct append {
    const struct bench_events *events;
    uint64_t streams;
    uint32_t *versions; /* of each stream */
};

/* The next event of stream `n`, with what event `like` of the plan has, but its id. */
static struct bench_event make_event(const struct append *self, uint64_t n, uint64_t like)
{
    struct bench_event event = self->events->items[like % self->events->count];

    self->versions[n]++;
    event.version = self->versions[n];
    event.stream = bench_events_stream(self->events, n);
    event.stream_size = (uint32_t)strlen(event.stream);
    event.id = NULL;
    return event;
}

/* One event of each stream, a batch of the plan at a time. */
static int give_streams(const struct append *self, const struct bench_work *work, void *store,
                        struct bench_failure *failure)
{
    struct bench_event *batch = calloc(work->plan->batch, sizeof(*batch));
    uint64_t done = 0;
    int rc = 0;

    if (batch == NULL)
        return bench_failure_set(failure, "out of memory");
    while (done < self->streams && rc == 0) {
        size_t count = 0;

        while (count < work->plan->batch && done + count < self->streams) {
            batch[count] = make_event(self, done + count, done + count);
            count++;
        }
        rc = work->peer->append(store, batch, count, failure);
        done += count;
    }
    free(batch);
    return rc;
}

static int prepare(const struct append *self, const struct bench_work *work,
                   struct bench_failure *failure)
{
    const struct bench_plan *plan = work->plan;
    struct bench_failure ignored;
    void *store = NULL;
    int rc = work->peer->open(work->scratch->path, &store, failure);

    if (rc < 0)
        return rc;
    rc = give_streams(self, work, store, failure);
    if (rc == 0 && work->peer->reserve != NULL) {
        rc = work->peer->reserve(
            store, EVENTS_PER_S_MAX * plan->seconds * (plan->size + BYTES_EXTRA), failure);
    }
    if (work->peer->close(store, rc == 0 ? failure : &ignored) < 0)
        rc = -1;
    return rc;
}

/* What a thread chooses its next event by. */
struct choice {
    uint64_t own; /* streams */
    uint64_t chance;
    uint64_t id_chance;
    uint64_t like;
    unsigned char id[BENCH_ID_BYTES];
};

static struct choice choose_first(const struct bench_hand *hand)
{
    const struct append *self = hand->payload;
    struct choice choice = {.own = (self->streams - hand->number + hand->hands - 1) / hand->hands,
                            .chance = hand->work->plan->seed + hand->number};

    choice.id_chance = ~choice.chance ^ BENCH_IDS_SEED;
    choice.like = bench_chance_next(&choice.chance) % self->events->count;
    return choice;
}

/* It points into `choice`, until the next call. */
static struct bench_event choose_next(const struct bench_hand *hand, struct choice *choice)
{
    uint64_t stream = bench_chance_below(&choice->chance, choice->own) * hand->hands + hand->number;
    struct bench_event event = make_event(hand->payload, stream, choice->like);

    choice->like++;
    bench_event_identify(&event, hand->work->plan, &choice->id_chance, choice->id);
    return event;
}

/* A thread: one commit after another, each of a stream that is its own. */
static int append_until_end(struct bench_hand *hand, struct bench_failure *failure)
{
    const struct bench_peer *peer = hand->work->peer;
    struct choice choice = choose_first(hand);
    double start_us = bench_clock_us();

    while (start_us < hand->end_us) {
        struct bench_event event = choose_next(hand, &choice);
        double ended_us;

        if (peer->append_one(hand->store, &event, failure) < 0)
            return -1;
        ended_us = bench_clock_us();
        bench_histogram_add(hand->latency, ended_us - start_us);
        start_us = ended_us;
        hand->events++;
    }
    return 0;
}

/* A thread with asynchronous commits: their times, from the call on, in the order of the calls. */
struct window {
    struct bench_hand *hand;
    double *started_us; /* plan->in_flight of them, used in turns */
    uint64_t told;
    int failed;
};

static void take_told(void *payload, int status)
{
    struct window *window = payload;
    uint64_t slot = window->told % window->hand->work->plan->in_flight;

    bench_histogram_add(window->hand->latency, bench_clock_us() - window->started_us[slot]);
    window->told++;
    if (status < 0)
        window->failed = 1;
}

/* Whenever so many are in flight, all are waited for. */
static int send_until_end(struct window *window, struct bench_failure *failure)
{
    struct bench_hand *hand = window->hand;
    const struct bench_peer *peer = hand->work->peer;
    uint64_t in_flight = hand->work->plan->in_flight;
    struct choice choice = choose_first(hand);

    for (;;) {
        double start_us = bench_clock_us();
        struct bench_event event;

        if (start_us >= hand->end_us)
            return peer->flush(hand->store, failure);
        event = choose_next(hand, &choice);
        window->started_us[hand->events % in_flight] = start_us;
        if (peer->append_async(hand->store, &event, take_told, window, failure) < 0)
            return -1;
        hand->events++;
        if (hand->events - window->told == in_flight && peer->flush(hand->store, failure) < 0)
            return -1;
    }
}

static int append_async_until_end(struct bench_hand *hand, struct bench_failure *failure)
{
    struct window window = {.hand = hand};
    int rc;

    window.started_us = calloc(hand->work->plan->in_flight, sizeof(*window.started_us));
    if (window.started_us == NULL)
        return bench_failure_set(failure, "out of memory");
    rc = send_until_end(&window, failure);
    if (rc == 0 && (window.failed || window.told != hand->events))
        rc = bench_failure_set(failure, "an asynchronous append has failed");
    free(window.started_us);
    return rc;
}

/* What is in the store now, and in how many groups it came. */
static int look_back(const struct bench_work *work, uint64_t before, uint64_t appended,
                     struct bench_round *out, struct bench_failure *failure)
{
    struct bench_failure ignored;
    uint64_t groups = 0;
    void *store = NULL;
    int rc = bench_preload_check(work, before + appended, failure);

    if (rc < 0 || work->peer->groups == NULL)
        return rc;
    rc = work->peer->open(work->scratch->path, &store, failure);
    if (rc < 0)
        return rc;
    rc = work->peer->groups(store, before, &groups, failure);
    work->peer->close(store, &ignored);
    if (groups > 0)
        out->group_events = (double)appended / (double)groups;
    return rc;
}

static int append_one_run(const struct bench_work *work, struct bench_round *out,
                          struct bench_failure *failure)
{
    struct append self = {.events = work->events, .streams = work->plan->streams};
    bench_hand_fn run = work->plan->in_flight > 0 ? append_async_until_end : append_until_end;
    struct bench_crew crew = {.events = 0};
    int rc;

    self.versions = calloc(self.streams, sizeof(*self.versions));
    if (self.versions == NULL)
        return bench_failure_set(failure, "out of memory");
    rc = prepare(&self, work, failure);
    if (rc == 0)
        rc = bench_crew_run(work, run, &self, &crew, failure);
    free(self.versions);
    if (rc < 0)
        return rc;
    bench_crew_report(&crew, out);
    out->threads = (double)work->plan->threads;
    out->processes = (double)work->plan->processes;
    out->in_flight = (double)work->plan->in_flight;
    return look_back(work, self.streams, crew.events, out, failure);
}

static int can(const struct bench_peer *peer)
{
    return peer->append_one != NULL;
}

const struct bench_workload bench_workload_append_one = {
    .name = "append-one",
    .variant = "",
    .about =
        "durable commits of one event each to --streams that exist, by --threads in --processes",
    .kind = BENCH_APPEND,
    .of_crew = 1,
    .can = can,
    .run = append_one_run,
};
