/* memory.h - how much memory this process holds, as the kernel counts it. */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stdint.h>

struct bench_memory {
    uint64_t resident;      /* bytes, mapped pages of files included */
    uint64_t resident_peak; /* since the last reset */
    uint64_t private_bytes; /* heap and stacks, without pages of files */
};

/* Let the peak begin anew at what is resident now. */
void bench_memory_reset_peak(void);

/* Zeroes where the kernel does not tell. */
void bench_memory_read(struct bench_memory *out);

#endif
