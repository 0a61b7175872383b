/* events.c - a deterministic generator: streams uniformly over order-1 ... order-N, six types, data
 * that looks like the JSON of an order. */
#include "events.h"

#include "chance.h"
#include "text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_BYTES_MAX = 24,   /* "order-" and a number of 10 digits, with its 0 */
    OBJECT_BYTES_MIN = 96, /* shorter data has no room for an object: it is a string */
    HEAD_BYTES_MAX = 80
};

#define FIRST_TIME_NS INT64_C(1700000000000000000)
#define STEP_NS       INT64_C(1000000)

static const char *const event_types[] = {"ORDER_CREATED", "ITEM_ADDED",    "ORDER_PAID",
                                          "ORDER_SHIPPED", "NOTE_ATTACHED", "ORDER_CANCELLED"};
enum { TYPE_COUNT = sizeof(event_types) / sizeof(event_types[0]) };

/* 64 letters that JSON needs not escape: 6 bits of chance give one. */
static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";

static void fill_letters(uint64_t *chance, char *out, size_t size)
{
    uint64_t bits = 0;
    size_t i;

    for (i = 0; i < size; i++) {
        if (i % 10 == 0)
            bits = bench_chance_next(chance);
        out[i] = letters[bits & 63];
        bits >>= 6;
    }
}

/* Exactly `size` bytes of one JSON value, without a 0 after it. */
static void fill_data(uint64_t *chance, uint64_t number, char *out, size_t size)
{
    char head[HEAD_BYTES_MAX];
    unsigned cents = bench_chance_below(chance, 1000000);
    int head_size;

    if (size < OBJECT_BYTES_MIN) {
        fill_letters(chance, out, size);
        out[0] = '"';
        out[size - 1] = '"';
        return;
    }
    head_size = snprintf(head, sizeof(head), "{\"number\":%llu,\"amount\":%u.%02u,\"note\":\"",
                         (unsigned long long)number, cents / 100, cents % 100);
    assert(head_size > 0 && (size_t)head_size < sizeof(head));
    memcpy(out, head, (size_t)head_size);
    fill_letters(chance, out + head_size, size - (size_t)head_size - 2);
    out[size - 2] = '"';
    out[size - 1] = '}';
}

void bench_event_fill(struct bench_event *event, uint64_t *chance, uint64_t number, char *data,
                      size_t size)
{
    event->type = event_types[bench_chance_below(chance, TYPE_COUNT)];
    event->type_size = (uint32_t)strlen(event->type);
    event->time_ns = FIRST_TIME_NS + (int64_t)(number - 1) * STEP_NS;
    fill_data(chance, number, data, size);
    event->data = data;
    event->data_size = (uint32_t)size;
}

void bench_event_identify(struct bench_event *event, const struct bench_plan *plan,
                          uint64_t *chance, unsigned char *out)
{
    if (plan->ids == BENCH_IDS_NONE)
        return;
    bench_id_fill(plan->ids, chance, event->time_ns, out);
    event->id = out;
}

static void fill_names(char *names, uint64_t streams)
{
    uint64_t i;

    for (i = 0; i < streams; i++) /* below 2^32: see bench_chance_below() */
        bench_text_set(names + i * NAME_BYTES_MAX, NAME_BYTES_MAX, "order-%u", (unsigned)(i + 1));
}

static void fill_events(struct bench_events *events, const struct bench_plan *plan,
                        uint32_t *versions)
{
    uint64_t chance = plan->seed;
    uint64_t id_chance = plan->seed ^ BENCH_IDS_SEED;
    uint64_t i;

    for (i = 0; i < plan->events; i++) {
        struct bench_event *event = &events->items[i];
        char *data = events->data + i * plan->size;
        uint32_t stream = bench_chance_below(&chance, plan->streams);

        versions[stream]++;
        event->stream = events->names + (size_t)stream * NAME_BYTES_MAX;
        event->stream_size = (uint32_t)strlen(event->stream);
        event->version = versions[stream];
        bench_event_fill(event, &chance, i + 1, data, plan->size);
        bench_event_identify(event, plan, &id_chance, events->ids + i * BENCH_ID_BYTES);
    }
    events->count = plan->events;
}

uint64_t bench_events_bytes(const struct bench_plan *plan)
{
    return plan->events * (sizeof(struct bench_event) + plan->size + BENCH_ID_BYTES) +
           plan->streams * (NAME_BYTES_MAX + sizeof(uint32_t));
}

int bench_events_init(struct bench_events *events, const struct bench_plan *plan)
{
    uint32_t *versions = NULL;
    int rc = -1;

    assert(plan->events > 0 && plan->size >= 2);
    assert(plan->streams > 0 && plan->streams <= UINT32_MAX);

    memset(events, 0, sizeof(*events));
    events->items = calloc(plan->events, sizeof(*events->items));
    events->names = malloc(plan->streams * NAME_BYTES_MAX);
    events->data = malloc(plan->events * plan->size);
    events->ids = malloc(plan->events * BENCH_ID_BYTES); /* untouched it costs nothing */
    versions = calloc(plan->streams, sizeof(*versions));
    if (events->items == NULL || events->names == NULL || events->data == NULL ||
        events->ids == NULL || versions == NULL)
        goto done;

    fill_names(events->names, plan->streams);
    fill_events(events, plan, versions);
    rc = 0;

done:
    free(versions);
    if (rc < 0)
        bench_events_release(events);
    return rc;
}

const char *bench_events_stream(const struct bench_events *events, uint64_t n)
{
    return events->names + n * NAME_BYTES_MAX;
}

void bench_events_release(struct bench_events *events)
{
    free(events->items);
    free(events->names);
    free(events->data);
    free(events->ids);
    memset(events, 0, sizeof(*events));
}
