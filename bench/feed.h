/* feed.h - the events of a large store, a batch at a time: memory does not grow with their number.
 *
 * What is looked for is scattered evenly over the whole store, at places by chance. The store is
 * cut into 1 000 parts; each has one event of the category "refund" and two of the streams whose
 * histories are rebuilt. All other events are of streams chosen uniformly, in sixteen categories:
 *
 *     part     0            1            2                     999
 *          |..r...h..h.|.r....h.h..|...r.h....h|   ...   |..r..h...h.|
 *
 * Some carry tags beside (tagging.h). The same plan gives the same events, byte for byte. */
#ifndef BENCH_FEED_H
#define BENCH_FEED_H

#include "events.h"
#include "tagging.h"

enum {
    BENCH_STORE_EVENTS_MIN = 20000, /* each part has room for what is scattered */
    BENCH_RARE_EVENTS = 1000,       /* of the category that is read */
    BENCH_HISTORIES = 20,           /* streams that are rebuilt */
    BENCH_HISTORY_EVENTS = 100      /* of each of them */
};

#define BENCH_RARE_CATEGORY "refund"

struct bench_feed {
    struct bench_event *items; /* of the last bench_feed_next() */

    const struct bench_plan *plan;
    uint64_t events; /* it ends after as many */
    uint64_t given;
    uint64_t base; /* events that the store has already; above 0 nothing is scattered */
    uint64_t chance;
    uint64_t places; /* the chance of where things are scattered */
    uint64_t id_chance;
    uint64_t part;
    uint64_t part_end;
    uint64_t rare_at; /* in this part */
    uint64_t history_at[2];
    struct bench_tagging tagging;
    uint32_t *versions; /* of the other streams */
    const char **tags;  /* of a batch, BENCH_EVENT_TAGS_MAX an event */
    char *names;        /* of a batch */
    char *data;
    unsigned char *ids;
};

/* The events of a plan, at least BENCH_STORE_EVENTS_MIN. `plan` must outlive the feed.
 *
 * Memory:  the caller's until bench_feed_release(), also on failure.
 * Returns: 0, or -1 if memory is out. */
int bench_feed_init(struct bench_feed *feed, const struct bench_plan *plan);

/* `events` more for a store that has `base` > 0 already: of as many streams as the plan has, all
 * new and of the category "late", so that what was scattered stays as it is. The rest as above. */
int bench_feed_init_late(struct bench_feed *feed, const struct bench_plan *plan, uint64_t base,
                         uint64_t events);

/* The next events, at most a batch of the plan, in feed->items until the next call.
 *
 * Returns: how many; 0 at the end. */
size_t bench_feed_next(struct bench_feed *feed);

void bench_feed_release(struct bench_feed *feed);

/* The name of history `n` < BENCH_HISTORIES. */
void bench_history_name(uint64_t n, char *out, size_t capacity);

#endif
