/* id.c - two kinds of UUID (RFC 9562).
 *
 *     version 7   | ms of unix time: 48 | 7 | fraction of the ms: 12 | 2 | random: 62 |
 *     version 8   | XXH3-128 of a key, but for these six bits |8| ...  |2| ...        |
 *
 * The first sorts by the time of its making, to a quarter of a microsecond. There is no counter in
 * it and nothing to lock: two of the same instant differ in their random bits alone, as do those of
 * a parent and its forked child. */
#include "id.h"

#include "clock.h"
#include "sum.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <unistd.h>

static void set_version(uint8_t id[16], unsigned version)
{
    id[6] = (uint8_t)((id[6] & 0x0f) | version << 4);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

/* A clock that stands before 1970 counts as 1970. */
void qp_id_time(int64_t wall_ns, const uint8_t random[QP_ID_RANDOM_BYTES], uint8_t id[16])
{
    uint64_t ns = wall_ns > 0 ? (uint64_t)wall_ns : 0;
    uint64_t ms = ns / QP_NS_PER_MS;
    uint64_t fraction = (ns % QP_NS_PER_MS) * 4096 / QP_NS_PER_MS;

    assert(fraction < 4096);
    for (unsigned i = 0; i < 6; i++)
        id[i] = (uint8_t)(ms >> (40 - 8 * i));
    id[6] = (uint8_t)(fraction >> 8);
    id[7] = (uint8_t)fraction;
    memcpy(id + 8, random, QP_ID_RANDOM_BYTES);
    set_version(id, 7);
}

/* What differs between any two calls: the process by its number and by the random bytes that the
 * kernel gave it when it started, the thread, and the time in it, which goes on between two calls.
 */
void qp_id_unique(uint8_t random[QP_ID_RANDOM_BYTES])
{
    const void *started = (const void *)getauxval(AT_RANDOM); /* 16 bytes, 0: there are none */
    int64_t parts[4] = {(int64_t)getpid(), (int64_t)gettid(), qp_clock_boottime_ns(), 0};
    uint8_t bytes[16 + sizeof(parts)] = {0};
    uint64_t sum;

    parts[3] = qp_clock_wall_ns();
    if (started != NULL)
        memcpy(bytes, started, 16);
    memcpy(bytes + 16, parts, sizeof(parts));
    sum = qp_sum(bytes, sizeof(bytes), 0);
    memcpy(random, &sum, QP_ID_RANDOM_BYTES);
}

/* So few bytes come whole or not at all. It waits while the machine starts; a sandbox may forbid
 * the call. */
void qp_id_random(uint8_t random[QP_ID_RANDOM_BYTES])
{
    ssize_t got;

    do {
        got = getrandom(random, QP_ID_RANDOM_BYTES, 0);
    } while (got < 0 && errno == EINTR);
    if (got != QP_ID_RANDOM_BYTES)
        qp_id_unique(random);
}

void qp_id_from(const void *key, size_t size, uint8_t id[16])
{
    qp_sum_wide(key, size, id);
    set_version(id, 8);
}
