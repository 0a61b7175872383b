/* clock.c - three clocks for three questions. What happened when: the wall's, which people set. How
 * much time has passed in the store: since boot, sleep included, so that a suspended machine does
 * not stop the store's clock. How long to wait: the monotonic one, because pthreads and futexes
 * know it; and for who asks at each event, its coarse reading, which is a load from memory. */
#include "clock.h"

#include <assert.h>

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    int rc = clock_gettime(clock, &now);

    assert(rc == 0); /* these clocks are always there on Linux, and `now` is ours */
    (void)rc;
    return (int64_t)now.tv_sec * QP_NS_PER_S + now.tv_nsec;
}

int64_t qp_clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t qp_clock_boottime_ns(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

int64_t qp_clock_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t qp_clock_coarse_ns(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

struct timespec qp_clock_timespec(int64_t nanoseconds)
{
    return (struct timespec){.tv_sec = nanoseconds / QP_NS_PER_S,
                             .tv_nsec = (long)(nanoseconds % QP_NS_PER_S)};
}

void qp_clock_sleep_ns(int64_t nanoseconds)
{
    struct timespec wait = qp_clock_timespec(nanoseconds);

    (void)nanosleep(&wait, NULL); /* woken early by a signal: the caller looks at its deadline */
}

void qp_clock_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(condition, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

void qp_clock_sleep_ms(unsigned milliseconds)
{
    qp_clock_sleep_ns(milliseconds * QP_NS_PER_MS);
}

int64_t qp_clock_deadline_ns(uint32_t timeout_ms)
{
    if (timeout_ms == UINT32_MAX)
        return INT64_MAX; /* no wait comes to it: 292 years */
    return qp_clock_monotonic_ns() + (int64_t)timeout_ms * QP_NS_PER_MS;
}
