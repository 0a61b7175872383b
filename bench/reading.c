/* reading.c - a sum of words and their places: the cost of a look, and no more. */
#include "reading.h"

#include <string.h>

void bench_reading_add(struct bench_reading *reading, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t sum = reading->sum * 31 + size;
    size_t i;

    for (i = 0; i + sizeof(uint64_t) <= size; i += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, bytes + i, sizeof(word));
        sum = sum * 31 + word;
    }
    for (; i < size; i++)
        sum = sum * 31 + bytes[i];
    reading->events++;
    reading->bytes += size;
    reading->sum = sum;
}
