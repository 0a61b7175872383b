/* clock.h - the only door to the system's clocks. All in nanoseconds. */
#ifndef QP_CLOCK_H
#define QP_CLOCK_H

#include "base.h"

#include <pthread.h>
#include <time.h>

int64_t qp_clock_wall_ns(void);      /* UTC since 1970; may be set by people */
int64_t qp_clock_boottime_ns(void);  /* since boot, also while the machine slept */
int64_t qp_clock_monotonic_ns(void); /* for waiting */
int64_t qp_clock_coarse_ns(void);    /* the same, some ms late, and nearly free */

struct timespec qp_clock_timespec(int64_t nanoseconds); /* the same as system calls take it */

/* A condition whose timed waits are on the monotonic clock. */
void qp_clock_condition(pthread_cond_t *condition);

void qp_clock_sleep_ms(unsigned milliseconds);
void qp_clock_sleep_ns(int64_t nanoseconds);

/* When a wait of `timeout_ms` from now ends, on the monotonic clock; UINT32_MAX: never. */
int64_t qp_clock_deadline_ns(uint32_t timeout_ms);

#endif
