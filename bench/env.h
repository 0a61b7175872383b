/* env.h - where the figures come from: without it they mean nothing. */
#ifndef BENCH_ENV_H
#define BENCH_ENV_H

enum { BENCH_ENV_TEXT_MAX = 128, BENCH_WARNINGS_MAX = 4 };

struct bench_env {
    char cpu[BENCH_ENV_TEXT_MAX];
    char kernel[BENCH_ENV_TEXT_MAX];
    char file_system[BENCH_ENV_TEXT_MAX]; /* of the directory of the runs */
    char compiler[BENCH_ENV_TEXT_MAX];
    char build_type[BENCH_ENV_TEXT_MAX];
    char lmdb[BENCH_ENV_TEXT_MAX]; /* as found when this was built; "" if unknown */
    long cpus;
    double memory_bytes;
    double flush_us; /* write 4 KiB and fdatasync, median; below 0: not measured */

    const char *warnings[BENCH_WARNINGS_MAX]; /* reasons not to trust the figures */
    int warning_count;
};

/* Look around. `directory` is where the runs will write; a small file is written there and removed.
 *
 * Returns: 0, or -1 with errno if nothing can be written there. */
int bench_env_read(struct bench_env *env, const char *directory);

#endif
