/* tagging.c - a block at a time, and in its order. */
#include "tagging.h"

#include "chance.h"

#include <assert.h>

#define NOWHERE UINT64_MAX

void bench_tagging_init(struct bench_tagging *tagging, uint64_t events, uint64_t seed)
{
    assert(events / BENCH_TAG_BLOCK >= 2 * (uint64_t)BENCH_TAG_MATCHES);

    *tagging = (struct bench_tagging){.blocks = events / BENCH_TAG_BLOCK, .chance = seed};
}

/* Which blocks of the next group have a match: one in its first half, another in its second. */
static void begin_group(struct bench_tagging *tagging)
{
    uint64_t begin = tagging->group_end;
    uint64_t half;

    tagging->group++;
    tagging->group_end = tagging->group * tagging->blocks / BENCH_TAG_MATCHES;
    half = (tagging->group_end - begin) / 2;
    tagging->short_block = begin + bench_chance_below(&tagging->chance, half);
    tagging->both_block = begin + half + bench_chance_below(&tagging->chance, half);
}

/* `block` counts from 0. Rail is in its first half and the airport in the second, so that they meet
 * where they shall and nowhere else. */
static void begin_block(struct bench_tagging *tagging, uint64_t block)
{
    uint64_t begin = block * BENCH_TAG_BLOCK;
    uint64_t half = BENCH_TAG_BLOCK / 2;

    if (block == tagging->group_end)
        begin_group(tagging);
    tagging->long_at = begin + bench_chance_below(&tagging->chance, BENCH_TAG_BLOCK);
    tagging->rail_at = begin + bench_chance_below(&tagging->chance, half);
    tagging->airport_at = begin + half + bench_chance_below(&tagging->chance, half);
    tagging->short_at = block == tagging->short_block ? tagging->long_at : NOWHERE;
    if (block == tagging->both_block)
        tagging->airport_at = tagging->rail_at;
    tagging->block = block + 1;
}

static void add(const char **tags, uint32_t *count, const char *tag)
{
    tags[*count] = tag;
    (*count)++;
}

uint32_t bench_tagging_next(struct bench_tagging *tagging, uint64_t at, const char **tags)
{
    uint64_t block = at / BENCH_TAG_BLOCK;
    uint32_t count = 0;

    if (block == tagging->blocks) /* what is left over carries none */
        return 0;
    if (block == tagging->block)
        begin_block(tagging, block);
    if (at == tagging->long_at)
        add(tags, &count, BENCH_TAG_LONG);
    if (at == tagging->short_at)
        add(tags, &count, BENCH_TAG_SHORT);
    if (at == tagging->rail_at)
        add(tags, &count, BENCH_TAG_RAIL);
    if (at == tagging->airport_at)
        add(tags, &count, BENCH_TAG_AIRPORT);
    return count;
}
