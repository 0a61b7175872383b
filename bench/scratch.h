/* scratch.h - fresh directories for runs: made, weighed, removed. */
#ifndef BENCH_SCRATCH_H
#define BENCH_SCRATCH_H

#include <stdint.h>

enum { BENCH_PATH_BYTES_MAX = 4096 };

struct bench_scratch {
    char path[BENCH_PATH_BYTES_MAX];
};

/* Make PARENT/quipu-bench-PID-LABEL for us alone. Returns: 0, or -1 with errno. */
int bench_scratch_make(struct bench_scratch *scratch, const char *parent, const char *label);

/* Bytes that the files below take on the disk. */
uint64_t bench_scratch_bytes(const struct bench_scratch *scratch);

/* Remove the directory and all that is in it. Returns: 0, or -1 with errno. */
int bench_scratch_remove(const struct bench_scratch *scratch);

#endif
