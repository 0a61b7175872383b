/* workload_load.c - one long stream folded into its state, again and again out of memory: from its
 * first event on, or from the snapshot that an earlier load has saved 50 events before the end. */
#include "fold.h"
#include "workload_read.h"

#include <stdlib.h>
#include <string.h>

enum { EVENTS = 10050, SNAPSHOT_EVERY = 100, TIMES = 200, TIMES_UNTIMED = 3 };

/* A stream, and what it comes to. */
struct history {
    struct bench_event *items;
    unsigned char *data;
    struct bench_state state;
    uint64_t snapshot_every; /* 0: none */
};

static int make(struct history *history, const struct bench_work *work,
                struct bench_failure *failure)
{
    size_t size = work->plan->size;
    uint64_t chance = work->plan->seed;
    size_t i;

    if (size < BENCH_FOLD_BYTES_MIN)
        return bench_failure_set(failure, "at least --size %d is needed", BENCH_FOLD_BYTES_MIN);
    history->items = calloc(EVENTS, sizeof(*history->items));
    history->data = malloc(EVENTS * size);
    if (history->items == NULL || history->data == NULL)
        return bench_failure_set(failure, "out of memory");
    for (i = 0; i < EVENTS; i++) {
        struct bench_event *event = &history->items[i];
        struct bench_change change = {0};

        *event = work->events->items[i % work->events->count];
        bench_fold_fill(&chance, i + 1, history->data + i * size, size);
        (void)bench_fold_read(history->data + i * size, size, &change); /* checked by the load */
        bench_fold_apply(&history->state, &change);
        event->stream = bench_events_stream(work->events, 0);
        event->stream_size = (uint32_t)strlen(event->stream);
        event->version = (uint32_t)i + 1;
        event->data = (const char *)history->data + i * size;
        event->id = NULL;
        event->packed = 1;
    }
    return 0;
}

static int fill(const struct history *history, const struct bench_work *work,
                struct bench_failure *failure)
{
    struct bench_failure ignored;
    size_t done = 0;
    void *store = NULL;
    int rc = work->peer->open(work->scratch->path, &store, failure);

    while (rc == 0 && done < EVENTS) {
        size_t left = EVENTS - done;
        size_t count = left < work->plan->batch ? left : work->plan->batch;

        rc = work->peer->append(store, history->items + done, count, failure);
        done += count;
    }
    if (work->peer->close(store, rc == 0 ? failure : &ignored) < 0)
        rc = -1;
    return rc;
}

static int load(const struct bench_work *work, void *store, uint64_t n,
                struct bench_failure *failure)
{
    const struct history *history = work->payload;
    struct bench_state state = {0};

    (void)n;
    if (work->peer->load_state(store, history->items->stream, history->snapshot_every, &state,
                               failure) < 0)
        return -1;
    if (memcmp(&state, &history->state, sizeof(state)) == 0)
        return 0;
    return bench_failure_set(failure, "%s: %llu events loaded, not %d, or other ones",
                             work->peer->name, (unsigned long long)state.count, EVENTS);
}

static int load_run(const struct bench_work *work, uint64_t snapshot_every, struct bench_round *out,
                    struct bench_failure *failure)
{
    struct history history = {.snapshot_every = snapshot_every};
    struct bench_work own = *work;
    int rc = make(&history, work, failure);

    own.payload = &history;
    if (rc == 0)
        rc = fill(&history, work, failure);
    if (rc == 0)
        rc = bench_read_warm(&own, load, TIMES_UNTIMED, TIMES, EVENTS, out, failure);
    free(history.items);
    free(history.data);
    return rc;
}

static int load_whole_run(const struct bench_work *work, struct bench_round *out,
                          struct bench_failure *failure)
{
    return load_run(work, 0, out, failure);
}

static int load_snapshot_run(const struct bench_work *work, struct bench_round *out,
                             struct bench_failure *failure)
{
    return load_run(work, SNAPSHOT_EVERY, out, failure);
}

static int can(const struct bench_peer *peer)
{
    return peer->load_state != NULL;
}

const struct bench_workload bench_workload_load_whole = {
    .name = "load",
    .variant = "whole",
    .about = "a stream of 10 050 events folded into its state, in memory; one load",
    .kind = BENCH_READ,
    .can = can,
    .run = load_whole_run,
};

const struct bench_workload bench_workload_load_snapshot = {
    .name = "load",
    .variant = "snapshot",
    .about = "the same from a snapshot, with one every 100 events: 50 are left to be folded",
    .goal = "3 % of the time without",
    .kind = BENCH_READ,
    .can = can,
    .run = load_snapshot_run,
};
