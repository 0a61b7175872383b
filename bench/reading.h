/* reading.h - what a read brought: every byte of it is looked at, as a program would that rebuilds
 * something of it. */
#ifndef BENCH_READING_H
#define BENCH_READING_H

#include <stddef.h>
#include <stdint.h>

/* Begins as zeroes. */
struct bench_reading {
    uint64_t events;
    uint64_t bytes; /* of their data */
    uint64_t sum;   /* of these bytes, in this order */
};

/* One event more, in the order of the read. */
void bench_reading_add(struct bench_reading *reading, const void *data, size_t size);

#endif
