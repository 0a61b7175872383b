/* fold.h - what the workloads of projections fold: two members of each event's msgpack go into the
 * state of its stream. Every system does the same with them, in the way that suits it. */
#ifndef BENCH_FOLD_H
#define BENCH_FOLD_H

#include <stddef.h>
#include <stdint.h>

enum { BENCH_FOLD_BYTES_MIN = 64 }; /* of an event's data */

/* What an event says. */
struct bench_change {
    uint64_t number;
    int64_t cents;
};

/* What is known of a stream. 32 bytes, and the bytes that Quipu keeps. */
struct bench_state {
    uint64_t count;
    uint64_t number; /* of its newest event */
    int64_t cents;   /* of all its events */
    int64_t most;    /* of one of them */
};

/* Several states. Begins as zeroes. */
struct bench_states {
    uint64_t keys;
    uint64_t events;
    int64_t cents;
    uint64_t numbers; /* the sum of their newest */
};

/* Exactly `size` >= BENCH_FOLD_BYTES_MIN bytes: a map of `number`, `amount` and a note. */
void bench_fold_fill(uint64_t *chance, uint64_t number, unsigned char *out, size_t size);

/* Find both members, by name. Returns: 0; -1: they are not there. */
int bench_fold_read(const void *data, size_t size, struct bench_change *out);

void bench_fold_apply(struct bench_state *state, const struct bench_change *change);
void bench_fold_add(struct bench_states *states, const struct bench_state *state);

#endif
