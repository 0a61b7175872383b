/* ids.h - ids of events: what a program gives that may have to send the same event again. */
#ifndef BENCH_IDS_H
#define BENCH_IDS_H

#include <stddef.h>
#include <stdint.h>

enum { BENCH_ID_BYTES = 16 };

/* XORed to the seed of a plan: the chance of its ids. */
#define BENCH_IDS_SEED (UINT64_C(1) << 41)

enum bench_ids {
    BENCH_IDS_NONE = 0,
    BENCH_IDS_ORDERED = 1, /* UUIDs of version 7: the time first, then chance */
    BENCH_IDS_RANDOM = 2   /* UUIDs of version 4: chance alone */
};

/* What kind number `n` is called, NULL after the last. */
const char *bench_ids_name(size_t n);

/* An id of this kind, which is not NONE, for an event of this time. */
void bench_id_fill(enum bench_ids kind, uint64_t *chance, int64_t time_ns, unsigned char *out);

#endif
