/* ids.c - ids by chance, so that the same plan gives the same ones. */
#include "ids.h"

#include "chance.h"

#include <assert.h>

static const char *const names[] = {"none", "ordered", "random"};
enum { NAME_COUNT = sizeof(names) / sizeof(names[0]) };

enum { MILLISECONDS_BYTES = 6, VERSION_AT = 6, VARIANT_AT = 8, NS_PER_MS = 1000000 };

const char *bench_ids_name(size_t n)
{
    return n < NAME_COUNT ? names[n] : NULL;
}

static void set_bits(unsigned char *byte, unsigned mask, unsigned value)
{
    *byte = (unsigned char)((*byte & ~mask) | value);
}

/* Big-endian, so that ids sort as they count. */
static void put(uint64_t value, size_t size, unsigned char *out)
{
    size_t i;

    for (i = 0; i < size; i++)
        out[i] = (unsigned char)(value >> (8 * (size - 1 - i)));
}

void bench_id_fill(enum bench_ids kind, uint64_t *chance, int64_t time_ns, unsigned char *out)
{
    unsigned version = kind == BENCH_IDS_ORDERED ? 7 : 4;

    assert(kind != BENCH_IDS_NONE && time_ns >= 0);

    put(bench_chance_next(chance), 8, out);
    put(bench_chance_next(chance), 8, out + 8);
    if (kind == BENCH_IDS_ORDERED)
        put((uint64_t)time_ns / NS_PER_MS, MILLISECONDS_BYTES, out);
    set_bits(&out[VERSION_AT], 0xf0, version << 4);
    set_bits(&out[VARIANT_AT], 0xc0, 0x80);
}
