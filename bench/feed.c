/* feed.c - one event after another, in the order of the store. */
#include "feed.h"

#include "chance.h"
#include "text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTS = BENCH_RARE_EVENTS,
    HISTORIES_PER_PART = 2,
    HISTORY_EVERY = BENCH_HISTORIES / HISTORIES_PER_PART, /* parts from one event to its next */
    RARE_STREAMS = 50
};

/* A chance of its own for tags: streams and data stay what they are without. */
#define TAGGING_SEED (UINT64_C(1) << 40)

static_assert(PARTS / HISTORY_EVERY == BENCH_HISTORY_EVENTS, "each history fills the store");

static const char *const categories[] = {
    "order",    "cart",    "invoice",  "payment", "shipment", "customer", "product", "stock",
    "supplier", "voucher", "campaign", "review",  "ticket",   "visit",    "account", "delivery"};
enum { CATEGORY_COUNT = sizeof(categories) / sizeof(categories[0]) };

void bench_history_name(uint64_t n, char *out, size_t capacity)
{
    n++;
    bench_text_set(out, capacity, "order-history-%llu", (unsigned long long)n);
}

/* Where things are in the next part: the rare event in its first half, the histories in the third
 * and fourth quarter. */
static void begin_part(struct bench_feed *feed)
{
    uint64_t begin = feed->part_end;
    uint64_t quarter;

    feed->part_end = (feed->part + 1) * feed->events / PARTS;
    quarter = (feed->part_end - begin) / 4;
    feed->rare_at = begin + bench_chance_next(&feed->places) % (2 * quarter);
    feed->history_at[0] = begin + 2 * quarter + bench_chance_next(&feed->places) % quarter;
    feed->history_at[1] = begin + 3 * quarter + bench_chance_next(&feed->places) % quarter;
    feed->part++;
}

static void name_rare(const struct bench_feed *feed, struct bench_event *event, char *name)
{
    uint64_t n = feed->part - 1;

    bench_text_set(name, BENCH_NAME_BYTES_MAX, BENCH_RARE_CATEGORY "-%llu",
                   (unsigned long long)(n % RARE_STREAMS + 1));
    event->version = (uint32_t)(n / RARE_STREAMS + 1);
}

/* `which` of the histories of this part. */
static void name_history(const struct bench_feed *feed, uint64_t which, struct bench_event *event,
                         char *name)
{
    uint64_t n = feed->part - 1;

    bench_history_name(n % HISTORY_EVERY + which * HISTORY_EVERY, name, BENCH_NAME_BYTES_MAX);
    event->version = (uint32_t)(n / HISTORY_EVERY + 1);
}

static void name_other(struct bench_feed *feed, struct bench_event *event, char *name)
{
    uint32_t stream = bench_chance_below(&feed->chance, feed->plan->streams);

    feed->versions[stream]++;
    event->version = feed->versions[stream];
    if (feed->base > 0) {
        bench_text_set(name, BENCH_NAME_BYTES_MAX, "late-%llu-%u", (unsigned long long)feed->base,
                       stream + 1);
    } else {
        bench_text_set(name, BENCH_NAME_BYTES_MAX, "%s-%u", categories[stream % CATEGORY_COUNT],
                       stream + 1);
    }
}

/* Stream and version of the event that comes now. */
static void name_event(struct bench_feed *feed, struct bench_event *event, char *name)
{
    uint64_t at = feed->given;

    if (feed->base == 0 && at == feed->part_end)
        begin_part(feed);
    if (feed->base == 0 && at == feed->rare_at) {
        name_rare(feed, event, name);
    } else if (feed->base == 0 && at == feed->history_at[0]) {
        name_history(feed, 0, event, name);
    } else if (feed->base == 0 && at == feed->history_at[1]) {
        name_history(feed, 1, event, name);
    } else {
        name_other(feed, event, name);
    }
    event->stream = name;
    event->stream_size = (uint32_t)strlen(name);
}

static int init(struct bench_feed *feed, const struct bench_plan *plan, uint64_t base,
                uint64_t events)
{
    assert(plan->streams > 0 && plan->streams <= UINT32_MAX);

    *feed = (struct bench_feed){.plan = plan,
                                .events = events,
                                .base = base,
                                .chance = plan->seed + base,
                                .places = ~plan->seed,
                                .id_chance = (plan->seed + base) ^ BENCH_IDS_SEED};
    feed->items = calloc(plan->batch, sizeof(*feed->items));
    feed->versions = calloc(plan->streams, sizeof(*feed->versions));
    feed->tags = calloc(plan->batch, BENCH_EVENT_TAGS_MAX * sizeof(*feed->tags));
    feed->names = malloc(plan->batch * (size_t)BENCH_NAME_BYTES_MAX);
    feed->data = malloc(plan->batch * plan->size);
    feed->ids = malloc(plan->batch * BENCH_ID_BYTES);
    if (feed->items == NULL || feed->versions == NULL || feed->tags == NULL ||
        feed->names == NULL || feed->data == NULL || feed->ids == NULL)
        return -1;
    return 0;
}

int bench_feed_init(struct bench_feed *feed, const struct bench_plan *plan)
{
    assert(plan->events >= BENCH_STORE_EVENTS_MIN);

    if (init(feed, plan, 0, plan->events) < 0)
        return -1;
    bench_tagging_init(&feed->tagging, plan->events, plan->seed ^ TAGGING_SEED);
    return 0;
}

int bench_feed_init_late(struct bench_feed *feed, const struct bench_plan *plan, uint64_t base,
                         uint64_t events)
{
    assert(base > 0);

    return init(feed, plan, base, events);
}

size_t bench_feed_next(struct bench_feed *feed)
{
    size_t count = 0;

    while (count < feed->plan->batch && feed->given < feed->events) {
        struct bench_event *event = &feed->items[count];
        const char **tags = feed->tags + count * BENCH_EVENT_TAGS_MAX;

        if (feed->base == 0)
            event->tag_count = bench_tagging_next(&feed->tagging, feed->given, tags);
        event->tags = tags;
        name_event(feed, event, feed->names + count * (size_t)BENCH_NAME_BYTES_MAX);
        bench_event_fill(event, &feed->chance, feed->base + feed->given + 1,
                         feed->data + count * feed->plan->size, feed->plan->size);
        bench_event_identify(event, feed->plan, &feed->id_chance,
                             feed->ids + count * BENCH_ID_BYTES);
        feed->given++;
        count++;
    }
    return count;
}

void bench_feed_release(struct bench_feed *feed)
{
    free(feed->items);
    free(feed->versions);
    free(feed->tags);
    free(feed->names);
    free(feed->data);
    free(feed->ids);
    memset(feed, 0, sizeof(*feed));
}
