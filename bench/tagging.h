/* tagging.h - which events of a large store carry which tags: two pairs to be looked for.
 *
 * The store is cut into blocks of 100 events, and these into 100 groups. In each block one event
 * carries the tag "region:north", one "carrier:rail" and one "shop:airport", at places by chance;
 * in each group one event that is of the north carries "recall:17" too, and one event is of rail
 * and airport both. So 10 000 000 events have three tags of 100 000 events each, of which
 *
 *     region:north  AND recall:17       100 events: the whole of a short list in a long one
 *     carrier:rail  AND shop:airport    100 events: what two long lists have in common */
#ifndef BENCH_TAGGING_H
#define BENCH_TAGGING_H

#include <stdint.h>

enum {
    BENCH_TAG_BLOCK = 100,   /* events with one of each long list among them */
    BENCH_TAG_MATCHES = 100, /* of either pair */
    BENCH_EVENT_TAGS_MAX = 4
};

#define BENCH_TAG_LONG    "region:north"
#define BENCH_TAG_SHORT   "recall:17"
#define BENCH_TAG_RAIL    "carrier:rail"
#define BENCH_TAG_AIRPORT "shop:airport"

struct bench_tagging {
    uint64_t blocks;
    uint64_t block;     /* of the last event, counts from 1; 0: none yet */
    uint64_t group;     /* groups begun */
    uint64_t group_end; /* the block that ends it */
    uint64_t short_block;
    uint64_t both_block;
    uint64_t long_at; /* events in this block */
    uint64_t short_at;
    uint64_t rail_at;
    uint64_t airport_at;
    uint64_t chance;
};

/* For a store of `events`, at least two blocks for each match. */
void bench_tagging_init(struct bench_tagging *tagging, uint64_t events, uint64_t seed);

/* The tags of event `at`, which is one more than the last time, from 0: at most
 * BENCH_EVENT_TAGS_MAX in `tags`. They are static. Returns: how many. */
uint32_t bench_tagging_next(struct bench_tagging *tagging, uint64_t at, const char **tags);

#endif
