/* chance.c - SplitMix64: small, fast, and equal on every machine. */
#include "chance.h"

uint64_t bench_chance_next(uint64_t *chance)
{
    uint64_t mixed;

    *chance += UINT64_C(0x9e3779b97f4a7c15);
    mixed = *chance;
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

uint32_t bench_chance_below(uint64_t *chance, uint64_t bound)
{
    return (uint32_t)(((bench_chance_next(chance) >> 32) * bound) >> 32);
}
