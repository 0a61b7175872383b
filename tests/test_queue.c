/* test_queue.c - queue.c alone: who leads, what a group is, who is told, in which order, and when
 * there is no room. What a leader does here is to count. */
#include "clock.h"
#include "queue.h"
#include "support_suite.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

TestSuite(queue, .init = support_begin, .fini = support_suite_end, .timeout = 60);

enum { PUT_MAX = 3000 };

static struct qp_queue queue;

/* A request that nobody waits for, and when it was told. */
struct put {
    struct qp_request request;
    unsigned number;
    unsigned told; /* 1: first */
    void (*within)(struct put *put);
};

static struct put laid[PUT_MAX];
static unsigned told;
static atomic_int inside;

static void done(struct qp_request *request)
{
    struct put *put = (struct put *)(void *)request;

    cr_expect_eq(atomic_fetch_add(&inside, 1), 0, "two are told at once");
    cr_expect_eq(put->told, 0, "%u is told twice", put->number);
    put->told = ++told;
    if (put->within != NULL)
        put->within(put);
    (void)atomic_fetch_sub(&inside, 1);
}

static int put(unsigned number, size_t most)
{
    laid[number].request.done = done;
    laid[number].number = number;
    return qp_queue_submit(&queue, &laid[number].request, most, NULL);
}

static unsigned length(const struct qp_request *group)
{
    unsigned count = 0;

    for (; group != NULL; group = group->next)
        count++;
    return count;
}

static void begin(void)
{
    queue = (struct qp_queue){0};
    qp_queue_init(&queue);
}

static struct qp_request *take(void)
{
    return qp_queue_take(&queue, QP_GROUP_BATCHES_MAX, QP_GROUP_BYTES_MAX);
}

/* As commit.c does it. */
static void lead(void)
{
    qp_queue_complete(&queue, take());
    qp_queue_hand_on(&queue);
    qp_queue_tell(&queue);
}

static bool is_leading(void)
{
    bool leading;

    (void)pthread_mutex_lock(&queue.lock);
    leading = queue.leading;
    (void)pthread_mutex_unlock(&queue.lock);
    return leading;
}

/* A thread that joins, leads if it is told to, and counts how often. */
struct joiner {
    pthread_t thread;
    struct qp_request request;
    atomic_int led;
    atomic_bool ended;
};

static void *join(void *payload)
{
    struct joiner *joiner = payload;

    qp_queue_join(&queue, &joiner->request);
    while (joiner->request.state == QP_REQUEST_LEADING) {
        joiner->led++;
        qp_queue_complete(&queue, take());
        if (joiner->request.state == QP_REQUEST_TOLD) {
            qp_queue_hand_on(&queue);
            qp_queue_tell(&queue);
        }
    }
    joiner->ended = true;
    return NULL;
}

/* Begin it, and wait until it stands in the queue. */
static void start(struct joiner *joiner)
{
    const struct qp_request *last = NULL;

    cr_assert_eq(pthread_create(&joiner->thread, NULL, join, joiner), 0);
    while (last != &joiner->request) {
        qp_clock_sleep_ms(1);
        (void)pthread_mutex_lock(&queue.lock);
        last = queue.last;
        (void)pthread_mutex_unlock(&queue.lock);
    }
}

/* ---- leaders and groups ---------------------------------------------------------------------- */

Test(queue, who_is_alone_leads)
{
    struct qp_request request = {0};

    begin();
    for (int i = 0; i < 3; i++) {
        qp_queue_join(&queue, &request);
        cr_assert_eq(request.state, QP_REQUEST_LEADING);
        cr_expect(is_leading());
        cr_expect_eq(take(), &request);
        cr_expect_null(take(), "there is no more");
        qp_queue_complete(&queue, &request);
        cr_expect_eq(request.state, QP_REQUEST_TOLD);
        qp_queue_hand_on(&queue);
        cr_expect_not(is_leading());
    }
    qp_queue_release(&queue);
}

Test(queue, who_comes_meanwhile_waits_and_is_told)
{
    struct joiner others[3] = {{.led = 0}};
    struct qp_request request = {0};
    struct qp_request *group;

    begin();
    qp_queue_join(&queue, &request);
    for (int i = 0; i < 3; i++)
        start(&others[i]);
    for (int i = 0; i < 3; i++)
        cr_expect_not(others[i].ended, "%d", i);
    group = take();
    cr_expect_eq(group, &request);
    for (int i = 0; i < 3; i++) {
        group = group->next;
        cr_expect_eq(group, &others[i].request, "in the order in which they came");
    }
    cr_expect_null(group->next);
    qp_queue_complete(&queue, &request);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pthread_join(others[i].thread, NULL), 0);
        cr_expect_eq(others[i].led, 0);
        cr_expect_eq(others[i].request.state, QP_REQUEST_TOLD);
    }
    qp_queue_hand_on(&queue);
    qp_queue_release(&queue);
}

/* What stands before it and has no thread is taken along; who stands behind it goes on waiting. */
Test(queue, handed_on_to_the_first_with_a_thread)
{
    struct joiner others[2] = {{.led = 0}};
    struct qp_request request = {0};

    begin();
    qp_queue_join(&queue, &request);
    cr_expect_eq(take(), &request);
    cr_assert_eq(put(0, 10), QUIPU_OK);
    start(&others[0]);
    cr_assert_eq(put(1, 10), QUIPU_OK);
    start(&others[1]);
    qp_queue_complete(&queue, &request);
    qp_queue_hand_on(&queue);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(pthread_join(others[i].thread, NULL), 0);
        cr_expect_eq(others[i].led, i == 0, "%d", i);
    }
    cr_expect(laid[0].told == 1 && laid[1].told == 2);
    cr_expect_not(is_leading());
    qp_queue_release(&queue);
}

/* From one leader to the next nobody may begin to lead beside them. */
Test(queue, it_is_led_until_nobody_waits)
{
    struct joiner other = {.led = 0};
    struct qp_request request = {0};
    struct qp_request *group;

    begin();
    qp_queue_join(&queue, &request);
    group = take();
    cr_assert_eq(pthread_create(&other.thread, NULL, join, &other), 0);
    while (length(queue.first) == 0)
        qp_clock_sleep_ms(1);
    qp_queue_complete(&queue, group);
    (void)pthread_mutex_lock(&queue.lock);
    cr_expect(queue.leading);
    (void)pthread_mutex_unlock(&queue.lock);
    qp_queue_hand_on(&queue);
    cr_assert_eq(pthread_join(other.thread, NULL), 0);
    cr_expect_eq(other.led, 1);
    cr_expect_not(is_leading());
    qp_queue_release(&queue);
}

Test(queue, a_group_has_at_most_1024)
{
    static const unsigned groups[] = {1024, 1024, 451};
    struct qp_request request = {0};

    begin();
    for (unsigned i = 0; i < 2500 - 2; i++)
        cr_assert_eq(put(i, PUT_MAX), QUIPU_OK);
    qp_queue_join(&queue, &request);
    for (size_t i = 0; i < 3; i++) {
        struct qp_request *group = take();

        cr_expect_eq(request.state, QP_REQUEST_LEADING, "its own is the last");
        cr_expect_eq(length(group), groups[i], "%u", length(group));
        qp_queue_complete(&queue, group);
    }
    cr_expect_eq(request.state, QP_REQUEST_TOLD);
    qp_queue_hand_on(&queue);
    qp_queue_tell(&queue);
    cr_expect_eq(told, 2498);
    for (unsigned i = 0; i < told; i++)
        cr_expect_eq(laid[i].told, i + 1);
    qp_queue_release(&queue);
}

/* 8 MiB; but the first is taken whatever its size. What has no batch weighs nothing. */
Test(queue, a_group_has_at_most_8_mib)
{
    static const size_t sizes[] = {4 * QP_MIB, 4 * QP_MIB,     1, 8 * QP_MIB, 9 * QP_MIB,
                                   9 * QP_MIB, 8 * QP_MIB - 1, 1, 0};
    static const unsigned groups[] = {2, 1, 1, 1, 1, 3};
    static struct qp_batch batches[9];

    begin();
    for (unsigned i = 0; i < 9; i++) {
        batches[i].bytes.size = sizes[i];
        laid[i].request.batch = sizes[i] > 0 ? &batches[i] : NULL;
        cr_assert_eq(put(i, 10), QUIPU_OK);
    }
    cr_assert_eq(put(9, 9), QUIPU_ROW);
    for (size_t i = 0; i < 6; i++) {
        struct qp_request *group = take();

        cr_expect_eq(length(group), groups[i], "group %zu: %u", i, length(group));
        qp_queue_complete(&queue, group);
    }
    qp_queue_hand_on(&queue);
    qp_queue_tell(&queue);
    cr_expect_eq(told, 9);
    qp_queue_release(&queue);
}

/* It waits for as many threads as the last group had, if those were some, and not for long. */
Test(queue, gather)
{
    struct qp_request requests[5] = {{0}};
    int64_t least = INT64_MAX;

    begin();
    for (unsigned gathered = 0; gathered < 5; gathered++) {
        least = INT64_MAX;
        for (int i = 0; i < 20; i++) { /* the machine may be busy */
            int64_t before = qp_clock_monotonic_ns();

            queue.gathered = gathered; /* of one group: it is waited for once */
            qp_queue_gather(&queue);
            before = qp_clock_monotonic_ns() - before;
            least = before < least ? before : least;
        }
        cr_expect(gathered < 4 ? least < 150000 : least >= 200000, "%u: %lld ns", gathered,
                  (long long)least);
    }
    queue.waiting = 4; /* they are there */
    least = INT64_MAX;
    for (int i = 0; i < 20; i++) {
        int64_t before = qp_clock_monotonic_ns();

        queue.gathered = 4;
        qp_queue_gather(&queue);
        cr_expect_eq(queue.gathered, 0);
        before = qp_clock_monotonic_ns() - before;
        least = before < least ? before : least;
    }
    cr_expect_lt(least, 150000);
    queue.waiting = 0;
    qp_queue_join(&queue, &requests[0]);
    (void)take();
    cr_expect_eq(queue.gathered, 1);
    cr_expect_eq(queue.waiting, 0);
    qp_queue_complete(&queue, &requests[0]);
    qp_queue_hand_on(&queue);
    qp_queue_release(&queue);
}

/* ---- room ------------------------------------------------------------------------------------ */

Test(queue, who_finds_no_room_leads)
{
    static const size_t most[] = {1, 2, 7};
    unsigned next = 0;

    begin();
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < most[i]; j++)
            cr_assert_eq(put(next++, most[i]), QUIPU_OK);
        cr_assert_eq(put(next, most[i]), QUIPU_ROW);
        cr_expect(is_leading());
        lead();
        cr_expect_eq(told, next);
        cr_assert_eq(put(next++, most[i]), QUIPU_OK, "now there is");
        cr_assert_eq(qp_queue_begin_close(&queue), 1);
        qp_queue_end_close(&queue);
        for (size_t j = 1; j < most[i]; j++)
            cr_assert_eq(put(next++, most[i]), QUIPU_OK);
        cr_assert_eq(put(next, most[i]), QUIPU_ROW);
        lead();
    }
    cr_expect_eq(qp_queue_count_submitted(&queue), next);
    qp_queue_release(&queue);
}

/* A thread that laid, and leads if it must. */
struct putter {
    pthread_t thread;
    unsigned number;
    size_t most;
    atomic_int led;
    atomic_bool ended;
};

static void *put_by_thread(void *payload)
{
    struct putter *putter = payload;

    while (put(putter->number, putter->most) == QUIPU_ROW) {
        putter->led++;
        lead();
    }
    putter->ended = true;
    return NULL;
}

static void start_putter(struct putter *putter)
{
    unsigned movers = 0;

    cr_assert_eq(pthread_create(&putter->thread, NULL, put_by_thread, putter), 0);
    while (movers == 0) {
        qp_clock_sleep_ms(1);
        (void)pthread_mutex_lock(&queue.lock);
        movers = queue.movers;
        (void)pthread_mutex_unlock(&queue.lock);
    }
}

/* The leader has taken what fills the room: wait until it is told. */
Test(queue, who_finds_no_room_waits_for_who_leads)
{
    struct putter putter = {.number = 1, .most = 1};
    struct qp_request request = {0};
    struct qp_request *group;

    begin();
    cr_assert_eq(put(0, 1), QUIPU_OK);
    qp_queue_join(&queue, &request);
    group = take();
    start_putter(&putter);
    qp_queue_complete(&queue, group);
    qp_queue_hand_on(&queue);
    cr_expect_not(putter.ended, "it has ended, and nobody was told");
    qp_queue_tell(&queue);
    cr_assert_eq(pthread_join(putter.thread, NULL), 0);
    cr_expect_eq(putter.led, 0);
    cr_expect_eq(queue.first, &laid[1].request);
    cr_assert_eq(put(2, 1), QUIPU_ROW);
    lead();
    qp_queue_release(&queue);
}

/* It has not, and nobody else is there: lead. */
Test(queue, who_waits_for_room_leads_when_nobody_does)
{
    struct putter putter = {.number = 1, .most = 1};
    struct qp_request request = {0};
    struct qp_request *group;

    begin();
    qp_queue_join(&queue, &request);
    group = take();
    cr_assert_eq(put(0, 1), QUIPU_OK);
    start_putter(&putter);
    qp_queue_complete(&queue, group);
    qp_queue_hand_on(&queue);
    cr_assert_eq(pthread_join(putter.thread, NULL), 0);
    cr_expect_eq(putter.led, 1);
    cr_expect_eq(laid[0].told, 1);
    cr_assert_eq(put(2, 1), QUIPU_ROW);
    lead();
    qp_queue_release(&queue);
}

/* ---- telling --------------------------------------------------------------------------------- */

static void put_within(struct put *self)
{
    cr_expect(qp_queue_is_telling(&queue));
    cr_expect_eq(put(self->number + 10, 2), QUIPU_OK, "its own place is free");
    cr_expect_eq(put(self->number + 20, 2), QUIPU_BUSY, "the other one is not");
    (void)qp_queue_begin_close(&queue);
    cr_expect_eq(put(self->number + 20, 2), QUIPU_CLOSED);
    cr_expect_eq(put(self->number + 20, 9), QUIPU_CLOSED);
    (void)qp_queue_begin_close(&queue); /* a second one, while the first goes on */
    qp_queue_end_close(&queue);
    cr_expect_eq(put(self->number + 20, 9), QUIPU_CLOSED);
    qp_queue_end_close(&queue);
}

Test(queue, within_a_function)
{
    begin();
    laid[0].within = put_within;
    cr_assert_eq(put(0, 2), QUIPU_OK);
    cr_assert_eq(put(1, 2), QUIPU_OK);
    cr_expect_not(qp_queue_is_telling(&queue));
    cr_assert_eq(put(2, 2), QUIPU_ROW);
    lead();
    cr_expect_eq(told, 2);
    cr_expect_not(qp_queue_is_telling(&queue));
    cr_expect_eq(queue.first, &laid[10].request);
    (void)qp_queue_begin_close(&queue);
    cr_expect_eq(put(3, 2), QUIPU_OK, "closing is said to functions only");
    cr_assert_eq(put(4, 2), QUIPU_ROW);
    lead();
    cr_expect(laid[10].told == 3 && laid[3].told == 4);
    qp_queue_release(&queue);
}

static sem_t told_of;
static sem_t go_on;

static void stop_within(struct put *self)
{
    (void)self;
    (void)sem_post(&told_of);
    while (sem_wait(&go_on) != 0)
        ;
}

/* While one thread tells, nobody else does; what ends meanwhile is told by the same thread. */
Test(queue, one_tells_at_a_time)
{
    struct putter putter = {.number = 1, .most = 1};

    begin();
    (void)sem_init(&told_of, 0, 0);
    (void)sem_init(&go_on, 0, 0);
    laid[0].within = stop_within;
    cr_assert_eq(put(0, 1), QUIPU_OK);
    cr_assert_eq(pthread_create(&putter.thread, NULL, put_by_thread, &putter), 0);
    while (sem_wait(&told_of) != 0)
        ;
    cr_expect_not(qp_queue_is_telling(&queue), "another thread is");
    cr_assert_eq(put(2, 1), QUIPU_OK, "who is told of is not pending");
    cr_assert_eq(put(3, 1), QUIPU_ROW);
    qp_queue_complete(&queue, take());
    qp_queue_hand_on(&queue);
    qp_queue_tell(&queue);
    cr_expect_eq(laid[2].told, 0, "not before the first has returned");
    (void)sem_post(&go_on);
    qp_queue_wait_told(&queue, 2);
    cr_expect(laid[0].told == 1 && laid[2].told == 2);
    cr_assert_eq(pthread_join(putter.thread, NULL), 0);
    cr_expect_eq(putter.led, 1);
    cr_assert_eq(put(3, 1), QUIPU_ROW);
    lead();
    cr_expect_eq(laid[1].told, 3);
    qp_queue_release(&queue);
    (void)sem_destroy(&told_of);
    (void)sem_destroy(&go_on);
}

static void *wait_for_two(void *payload)
{
    qp_queue_wait_told(&queue, 2);
    *(atomic_bool *)payload = true;
    return NULL;
}

Test(queue, wait_told)
{
    atomic_bool ended = false;
    pthread_t thread;

    begin();
    qp_queue_wait_told(&queue, 0);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(put(i, 3), QUIPU_OK);
    cr_assert_eq(pthread_create(&thread, NULL, wait_for_two, &ended), 0);
    qp_clock_sleep_ms(20);
    cr_expect_not(ended);
    cr_assert_eq(put(3, 3), QUIPU_ROW);
    lead();
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(put(3, 3), QUIPU_OK);
    qp_queue_wait_told(&queue, 3); /* the fourth has nobody */
    cr_expect_eq(qp_queue_count_submitted(&queue), 4);
    for (unsigned i = 4; i < 6; i++)
        cr_assert_eq(put(i, 3), QUIPU_OK);
    cr_assert_eq(put(6, 3), QUIPU_ROW);
    lead();
    qp_queue_release(&queue);
}

/* ---- many threads ---------------------------------------------------------------------------- */

enum { JOINERS = 6, PUTTERS = 4, ROUNDS = 500 };

static unsigned taken; /* by the one who leads */
static atomic_int leaders;
static atomic_uint joined;

/* The batches' sizes say the order in which they were taken. */
static void lead_once(void)
{
    struct qp_request *group;

    cr_expect_eq(atomic_fetch_add(&leaders, 1), 0, "two lead");
    qp_queue_gather(&queue);
    group = take();
    for (struct qp_request *one = group; one != NULL; one = one->next)
        one->status = (int)++taken;
    (void)atomic_fetch_sub(&leaders, 1);
    qp_queue_complete(&queue, group);
}

static void *join_often(void *payload)
{
    (void)payload;
    for (int i = 0; i < ROUNDS; i++) {
        struct qp_request request = {0};
        bool led;

        qp_queue_join(&queue, &request);
        led = request.state == QP_REQUEST_LEADING;
        while (request.state == QP_REQUEST_LEADING)
            lead_once();
        if (led) {
            qp_queue_hand_on(&queue);
            qp_queue_tell(&queue);
        }
        cr_expect_gt(request.status, 0, "told, and in no group");
        (void)atomic_fetch_add(&joined, 1);
    }
    return NULL;
}

static void *put_often(void *payload)
{
    unsigned first = *(unsigned *)payload;

    for (unsigned i = 0; i < ROUNDS; i++) {
        while (put(first + i, 5) == QUIPU_ROW) {
            lead_once();
            qp_queue_hand_on(&queue);
            qp_queue_tell(&queue);
        }
    }
    return NULL;
}

Test(queue, threads)
{
    pthread_t threads[JOINERS + PUTTERS];
    unsigned firsts[PUTTERS];
    struct qp_request last = {0};

    begin();
    for (unsigned i = 0; i < JOINERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, join_often, NULL), 0);
    for (unsigned i = 0; i < PUTTERS; i++) {
        firsts[i] = i * ROUNDS;
        cr_assert_eq(pthread_create(&threads[JOINERS + i], NULL, put_often, &firsts[i]), 0);
    }
    for (unsigned i = 0; i < JOINERS + PUTTERS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    qp_queue_join(&queue, &last);
    cr_assert_eq(last.state, QP_REQUEST_LEADING);
    lead();
    qp_queue_wait_told(&queue, PUTTERS * ROUNDS);
    cr_expect_eq(joined, JOINERS * ROUNDS);
    cr_expect_eq(told, PUTTERS * ROUNDS);
    for (unsigned i = 1; i < PUTTERS * ROUNDS; i++)
        cr_expect(i % ROUNDS == 0 || (laid[i].told > laid[i - 1].told), "the order of one thread");
    for (unsigned i = 0; i < PUTTERS * ROUNDS; i++)
        for (unsigned j = 1; j <= 3 && i + j < PUTTERS * ROUNDS; j++)
            cr_expect(laid[i].request.status == 0 || laid[i + j].request.status == 0 ||
                          (laid[i].told < laid[i + j].told) ==
                              (laid[i].request.status < laid[i + j].request.status),
                      "the order of commits");
    qp_queue_release(&queue);
}
