/* chance.h - numbers by chance, from a seed: the same ones on every machine. */
#ifndef BENCH_CHANCE_H
#define BENCH_CHANCE_H

#include <stdint.h>

/* `*chance` is the state; any value is a seed. */
uint64_t bench_chance_next(uint64_t *chance);

/* 0 <= result < bound, bound <= 2^32. */
uint32_t bench_chance_below(uint64_t *chance, uint64_t bound);

#endif
