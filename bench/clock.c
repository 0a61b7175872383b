/* clock.c - clock_gettime, which cannot fail for these two clocks. */
#include "clock.h"

#include <time.h>

static double read_us(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

double bench_clock_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

double bench_clock_cpu_us(void)
{
    return read_us(CLOCK_PROCESS_CPUTIME_ID);
}
