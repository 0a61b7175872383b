/* eventcount.c - a futex whose lowest bit says that somebody sleeps until the next count. In the
 * same word, so that one step of a sleeper says "as long as this is the count, I sleep", and one
 * step of who counts also learns whether to wake. A sleeper that dies leaves a bit that costs one
 * call. */
#include "eventcount.h"

#include "clock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLEEPS 1U

uint32_t qp_eventcount_read(const qp_eventcount *word)
{
    return atomic_load(word) & ~SLEEPS;
}

/* Not FUTEX_PRIVATE_FLAG: the sleepers are other processes. Errors mean what a wake means: look
 * again. */
bool qp_eventcount_await(qp_eventcount *word, uint32_t seen, int64_t timeout_ns)
{
    const struct timespec timeout = qp_clock_timespec(timeout_ns);
    uint32_t found = seen;

    if (!atomic_compare_exchange_strong(word, &found, seen | SLEEPS) && found != (seen | SLEEPS))
        return true;
    return syscall(SYS_futex, word, FUTEX_WAIT, seen | SLEEPS, &timeout, NULL, 0) == 0 ||
           errno != ETIMEDOUT;
}

bool qp_eventcount_advance(qp_eventcount *word)
{
    uint32_t found = atomic_load(word);

    while (!atomic_compare_exchange_weak(word, &found, (found & ~SLEEPS) + 2))
        continue;
    if ((found & SLEEPS) == 0)
        return false;
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    return true;
}
