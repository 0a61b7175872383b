/* ledger.c - streams, types and times are the plan's; the data is made anew, a batch at a time. */
#include "ledger.h"

#include "preload.h"

#include <stdlib.h>
#include <string.h>

/* One batch, and its data. */
struct pages {
    struct bench_event *items;
    unsigned char *data;
    uint64_t chance;
};

/* Which of the plan's streams it is: they stand one behind the other. */
static size_t stream_of(const struct bench_events *events, const struct bench_event *event)
{
    const char *first = bench_events_stream(events, 0);

    return (size_t)(event->stream - first) / (size_t)(bench_events_stream(events, 1) - first);
}

static int fill_batch(struct bench_ledger *ledger, const struct bench_work *work,
                      struct pages *pages, size_t first, size_t count)
{
    size_t size = work->plan->size;
    size_t i;

    for (i = 0; i < count; i++) {
        struct bench_event *event = &pages->items[i];
        unsigned char *data = pages->data + i * size;
        struct bench_change change;

        *event = work->events->items[first + i];
        bench_fold_fill(&pages->chance, first + i + 1, data, size);
        event->data = (const char *)data;
        event->packed = 1;
        if (bench_fold_read(data, size, &change) < 0)
            return -1;
        bench_fold_apply(&ledger->states[stream_of(work->events, event)], &change);
    }
    return 0;
}

static int append_all(struct bench_ledger *ledger, const struct bench_work *work,
                      struct pages *pages, void *store, struct bench_failure *failure)
{
    size_t batch = work->plan->batch;
    size_t done = 0;

    while (done < work->events->count) {
        size_t left = work->events->count - done;
        size_t count = left < batch ? left : batch;

        if (fill_batch(ledger, work, pages, done, count) < 0)
            return bench_failure_set(failure, "the events that were made cannot be read");
        if (work->peer->append(store, pages->items, count, failure) < 0)
            return -1;
        done += count;
    }
    return 0;
}

static int fill(struct bench_ledger *ledger, const struct bench_work *work, struct pages *pages,
                struct bench_failure *failure)
{
    struct bench_failure ignored;
    void *store = NULL;
    int rc = work->peer->open(work->scratch->path, &store, failure);

    if (rc < 0)
        return rc;
    rc = append_all(ledger, work, pages, store, failure);
    if (work->peer->close(store, rc == 0 ? failure : &ignored) < 0)
        rc = -1;
    return rc;
}

int bench_ledger_fill(struct bench_ledger *ledger, const struct bench_work *work,
                      struct bench_failure *failure)
{
    const struct bench_plan *plan = work->plan;
    struct pages pages = {.chance = plan->seed};
    uint64_t n;
    int rc;

    if (plan->size < BENCH_FOLD_BYTES_MIN)
        return bench_failure_set(failure, "at least --size %d is needed", BENCH_FOLD_BYTES_MIN);
    pages.items = calloc(plan->batch, sizeof(*pages.items));
    pages.data = malloc(plan->batch * plan->size);
    ledger->states = calloc(plan->streams, sizeof(*ledger->states));
    if (pages.items == NULL || pages.data == NULL || ledger->states == NULL) {
        rc = bench_failure_set(failure, "out of memory");
    } else {
        rc = fill(ledger, work, &pages, failure);
    }
    free(pages.items);
    free(pages.data);
    for (n = 0; rc == 0 && ledger->states != NULL && n < plan->streams; n++) {
        if (ledger->states[n].count > 0)
            bench_fold_add(&ledger->all, &ledger->states[n]);
    }
    return rc == 0 ? bench_preload_check(work, work->events->count, failure) : rc;
}

void bench_ledger_release(struct bench_ledger *ledger)
{
    free(ledger->states);
    memset(ledger, 0, sizeof(*ledger));
}

int bench_ledger_check(const struct bench_work *work, const struct bench_states *expected,
                       const struct bench_states *found, struct bench_failure *failure)
{
    if (memcmp(expected, found, sizeof(*found)) == 0)
        return 0;
    return bench_failure_set(
        failure, "%s: %llu keys with %llu events and %lld cents, not %llu with %llu and %lld",
        work->peer->name, (unsigned long long)found->keys, (unsigned long long)found->events,
        (long long)found->cents, (unsigned long long)expected->keys,
        (unsigned long long)expected->events, (long long)expected->cents);
}

int bench_ledger_can(const struct bench_peer *peer)
{
    return peer->project != NULL;
}
