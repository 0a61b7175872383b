/* sum.c - docs/FORMAT.md 2.1 and 3.3 say what is summed with which seed. XXH3 is compiled in here
 * (XXH_INLINE_ALL), so that no symbol of another xxHash in the process can take its place. */
#include "sum.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t qp_sum(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

/* Of numbers as they stand in memory: base.h lets no machine in that is not little-endian. */
uint64_t qp_sum_chain(uint64_t chain_before, uint64_t head, uint64_t content)
{
    uint64_t links[3] = {chain_before, head, content};

    return XXH3_64bits(links, sizeof(links));
}

void qp_sum_wide(const void *bytes, size_t size, uint8_t sum[16])
{
    XXH128_hash_t wide = XXH3_128bits(bytes, size);

    memcpy(sum, &wide.low64, 8);
    memcpy(sum + 8, &wide.high64, 8);
}

/* A function of the event's place in one history: who reads it again sees the same id, and the same
 * event in a copy of the store has the same one. */
void qp_sum_id(const uint8_t uuid[16], uint64_t position, uint64_t chain, uint8_t id[16])
{
    uint8_t bytes[32]; /* in one run, because there is no 128-bit sum over parts without a state */

    memcpy(bytes, uuid, 16);
    memcpy(bytes + 16, &position, 8);
    memcpy(bytes + 24, &chain, 8);
    qp_sum_wide(bytes, sizeof(bytes), id);
}
