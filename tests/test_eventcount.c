/* test_eventcount.c - eventcount.c: who sleeps, who is woken, and what a count is. */
#include "clock.h"
#include "eventcount.h"
#include "support_suite.h"

#include <pthread.h>

SUPPORT_SUITE(eventcount);

Test(eventcount, counts_and_returns_at_once_for_an_old_count)
{
    qp_eventcount word = 0;
    uint32_t seen = qp_eventcount_read(&word);

    cr_expect_not(qp_eventcount_advance(&word), "nobody sleeps");
    cr_expect_neq(qp_eventcount_read(&word), seen);
    cr_expect(qp_eventcount_await(&word, seen, 60 * QP_NS_PER_S));
}

Test(eventcount, the_time_is_over)
{
    qp_eventcount word = 0;
    uint32_t seen = qp_eventcount_read(&word);

    cr_expect_not(qp_eventcount_await(&word, seen, QP_NS_PER_MS));
    cr_expect_eq(qp_eventcount_read(&word), seen, "to sleep is not to count");
    cr_expect_not(qp_eventcount_await(&word, seen, QP_NS_PER_MS), "beside one that sleeps already");
    cr_expect(qp_eventcount_advance(&word), "who has slept is believed to sleep");
    cr_expect_not(qp_eventcount_advance(&word), "once");
}

/* After the largest number comes the smallest. */
Test(eventcount, goes_round)
{
    qp_eventcount word = UINT32_MAX - 1;
    uint32_t seen = qp_eventcount_read(&word);

    (void)qp_eventcount_advance(&word);
    cr_expect_eq(qp_eventcount_read(&word), 0);
    cr_expect(qp_eventcount_await(&word, seen, 60 * QP_NS_PER_S));
}

struct pair {
    qp_eventcount ping;
    qp_eventcount pong;
    uint32_t missed;
};

enum { TURNS = 20000 };

/* Each waits for the other's next count and then makes its own. */
static void *answer(void *payload)
{
    struct pair *pair = payload;

    for (uint32_t i = 0; i < TURNS; i++) {
        while (qp_eventcount_read(&pair->ping) == 2 * i)
            pair->missed += !qp_eventcount_await(&pair->ping, 2 * i, 30 * QP_NS_PER_S);
        (void)qp_eventcount_advance(&pair->pong);
    }
    return NULL;
}

Test(eventcount, nothing_is_missed, .timeout = 120)
{
    struct pair pair = {0};
    pthread_t other;
    uint32_t missed = 0;

    cr_assert_eq(pthread_create(&other, NULL, answer, &pair), 0);
    for (uint32_t i = 0; i < TURNS; i++) {
        (void)qp_eventcount_advance(&pair.ping);
        while (qp_eventcount_read(&pair.pong) == 2 * i)
            missed += !qp_eventcount_await(&pair.pong, 2 * i, 30 * QP_NS_PER_S);
    }
    (void)pthread_join(other, NULL);
    cr_expect_eq(missed + pair.missed, 0);
}
