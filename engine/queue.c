/* queue.c - threads queue, and whoever comes first leads the others.
 *
 *     WAITING  in the queue, asleep on its own semaphore
 *        |  `--- a leader takes it into its group ---> TOLD: its status stands, it may return
 *        v
 *     LEADING  takes the front of the queue as its group: groups, until its own request was in one;
 *              then the next who waits leads
 *
 * What is asynchronous has no thread. It is led by who else leads; by its own producer once too
 * many are pending; by who flushes. When it has ended it joins a second queue, which one thread at
 * a time empties, in the order of commits:
 *
 *     first ... last          |  group  |        completed ... last
 *     submitted or joined --> |  taken  | -----> told one by one: done(request)
 *
 * Invariant: while a leader is at work `leading` is true, also from one leader to the next: who
 * joins in between must not begin to lead beside it. */
#include "queue.h"

#include "clock.h"
#include "status.h"

#include <assert.h>
#include <sched.h>

enum { GATHER_LEAST = 4 /* fewer threads are not worth a wait */ };

void qp_queue_init(struct qp_queue *queue)
{
    (void)pthread_mutex_init(&queue->lock, NULL);
    (void)pthread_cond_init(&queue->moved, NULL);
}

void qp_queue_release(struct qp_queue *queue)
{
    assert(!queue->leading && queue->first == NULL && queue->completed == NULL);
    (void)pthread_cond_destroy(&queue->moved);
    (void)pthread_mutex_destroy(&queue->lock);
}

/* ---- under the lock ---- */

static void append(struct qp_request **first, struct qp_request **last, struct qp_request *request)
{
    request->next = NULL;
    if (*last != NULL)
        (*last)->next = request;
    else
        *first = request;
    *last = request;
}

static void add(struct qp_queue *queue, struct qp_request *request)
{
    append(&queue->first, &queue->last, request);
    queue->waiting += request->done == NULL;
}

static void tell_movers(struct qp_queue *queue)
{
    if (queue->movers > 0)
        (void)pthread_cond_broadcast(&queue->moved);
}

static void wait_moved(struct qp_queue *queue)
{
    queue->movers++;
    (void)pthread_cond_wait(&queue->moved, &queue->lock);
    queue->movers--;
}

static bool is_teller(const struct qp_queue *queue)
{
    return queue->telling && pthread_equal(queue->teller, pthread_self());
}

/* ---- join ---- */

/* The state is written before the semaphore is posted, and read after it was waited for. */
static void wait_for_wake(struct qp_request *request)
{
    while (sem_wait(&request->wake) != 0) /* a signal came */
        ;
    assert(request->state != QP_REQUEST_WAITING);
}

void qp_queue_join(struct qp_queue *queue, struct qp_request *request)
{
    bool leads = QP_MUTANT(JOIN_UNLOCKED) && !queue->leading;

    QP_MUTANT_PAUSE(JOIN_UNLOCKED);
    assert(request->done == NULL);
    request->state = QP_REQUEST_WAITING;
    (void)sem_init(&request->wake, 0, 0);
    (void)pthread_mutex_lock(&queue->lock);
    add(queue, request);
    if (!QP_MUTANT(JOIN_UNLOCKED))
        leads = !queue->leading;
    if (leads) {
        queue->leading = true;
        request->state = QP_REQUEST_LEADING;
    }
    (void)pthread_mutex_unlock(&queue->lock);
    if (!leads)
        wait_for_wake(request);
    (void)sem_destroy(&request->wake);
}

int qp_queue_submit(struct qp_queue *queue, struct qp_request *request, size_t most,
                    quipu_error *error)
{
    int rc = QUIPU_OK;

    assert(request->done != NULL && most > 0);
    (void)pthread_mutex_lock(&queue->lock);
    if (queue->closing > 0 && is_teller(queue))
        rc = qp_fail(error, QUIPU_CLOSED, "the store is being closed");
    while (queue->pending >= most && rc == QUIPU_OK && !QP_MUTANT(NO_ROOM_NEEDED)) {
        if (is_teller(queue)) {
            rc = qp_fail(error, QUIPU_BUSY, "%zu commits are pending", queue->pending);
        } else if (!queue->leading && queue->first != NULL) {
            queue->leading = true;
            rc = QUIPU_ROW;
        } else {
            wait_moved(queue);
        }
    }
    if (rc == QUIPU_OK) {
        add(queue, request);
        queue->pending++;
        queue->submitted++;
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return rc;
}

/* ---- lead ---- */

void qp_queue_gather(struct qp_queue *queue)
{
    int64_t deadline = qp_clock_monotonic_ns() + QP_GATHER_NS;
    bool enough = false;

    for (;;) {
        (void)pthread_mutex_lock(&queue->lock);
        enough = queue->gathered < GATHER_LEAST || queue->waiting >= queue->gathered ||
                 qp_clock_monotonic_ns() >= deadline;
        if (enough)
            queue->gathered = 0; /* counted anew by what is taken now */
        (void)pthread_mutex_unlock(&queue->lock);
        if (enough)
            return;
        (void)sched_yield();
    }
}

/* A batch over the limit of a group is a group by itself. */
struct qp_request *qp_queue_take(struct qp_queue *queue, size_t batches_max, size_t bytes_max)
{
    struct qp_request *group;
    struct qp_request *last;
    size_t bytes = 0;
    size_t threads = 0;

    (void)pthread_mutex_lock(&queue->lock);
    assert(queue->leading);
    group = queue->first;
    last = NULL;
    for (size_t count = 0; queue->first != NULL && count < batches_max; count++) {
        struct qp_request *next = queue->first;

        bytes += next->batch != NULL ? next->batch->bytes.size + next->batch->effects.size : 0;
        if (last != NULL && bytes > bytes_max)
            break;
        threads += next->done == NULL;
        queue->first = next->next;
        last = next;
    }
    if (queue->first == NULL)
        queue->last = NULL;
    if (last != NULL)
        last->next = NULL;
    queue->waiting -= threads;
    queue->gathered += threads;
    (void)pthread_mutex_unlock(&queue->lock);
    return group;
}

/* Who is told may be gone at once: look at `next` before. A leader's own request is among them, and
 * its semaphore is not waited for. */
void qp_queue_complete(struct qp_queue *queue, struct qp_request *group)
{
    struct qp_request *first = NULL;
    struct qp_request *last = NULL;

    while (group != NULL) {
        struct qp_request *next = group->next;

        if (group->done != NULL) {
            append(&first, &last, group);
        } else if (group->state == QP_REQUEST_LEADING) {
            group->state = QP_REQUEST_TOLD;
        } else {
            group->state = QP_REQUEST_TOLD;
            if (!QP_MUTANT(FOLLOWER_ASLEEP))
                (void)sem_post(&group->wake);
        }
        group = next;
    }
    if (first == NULL)
        return;
    (void)pthread_mutex_lock(&queue->lock);
    if (queue->last_completed != NULL)
        queue->last_completed->next = first;
    else
        queue->completed = first;
    queue->last_completed = last;
    (void)pthread_mutex_unlock(&queue->lock);
}

/* To the first that a thread waits for; what stands before it in the queue is taken along. */
void qp_queue_hand_on(struct qp_queue *queue)
{
    struct qp_request *next;

    (void)pthread_mutex_lock(&queue->lock);
    assert(queue->leading);
    next = queue->first;
    while (next != NULL && next->done != NULL)
        next = next->next;
    if (next != NULL) {
        next->state = QP_REQUEST_LEADING;
        if (QP_MUTANT(TWO_LEADERS))
            queue->leading = false;
        if (!QP_MUTANT(LEADER_ASLEEP))
            (void)sem_post(&next->wake);
    } else {
        queue->leading = false;
        tell_movers(queue);
    }
    (void)pthread_mutex_unlock(&queue->lock);
}

/* ---- tell ---- */

/* A thread that waits for room or for all may be waiting for this one. Who leads comes here
 * afterwards: a thread that has told what its own group brought may leave the rest to it. */
void qp_queue_tell(struct qp_queue *queue)
{
    uint64_t enough;

    (void)pthread_mutex_lock(&queue->lock);
    enough = queue->submitted;
    while ((!queue->telling || QP_MUTANT(TWO_TELLERS)) && queue->completed != NULL &&
           (queue->told < enough || !queue->leading)) {
        struct qp_request *request = queue->completed;

        queue->completed = request->next;
        if (queue->completed == NULL)
            queue->last_completed = NULL;
        queue->telling = true;
        queue->teller = pthread_self();
        queue->pending--;
        (void)pthread_mutex_unlock(&queue->lock);
        if (!QP_MUTANT(TOLD_NEVER))
            request->done(request);
        if (QP_MUTANT(TOLD_TWICE))
            request->done(request);
        (void)pthread_mutex_lock(&queue->lock);
        queue->telling = false;
        queue->told++;
        if (!QP_MUTANT(ROOM_UNTOLD))
            tell_movers(queue);
    }
    (void)pthread_mutex_unlock(&queue->lock);
}

bool qp_queue_is_telling(struct qp_queue *queue)
{
    bool telling;

    (void)pthread_mutex_lock(&queue->lock);
    telling = is_teller(queue);
    (void)pthread_mutex_unlock(&queue->lock);
    return telling;
}

uint64_t qp_queue_count_submitted(struct qp_queue *queue)
{
    uint64_t count;

    (void)pthread_mutex_lock(&queue->lock);
    count = queue->submitted;
    (void)pthread_mutex_unlock(&queue->lock);
    return count;
}

void qp_queue_wait_told(struct qp_queue *queue, uint64_t count)
{
    (void)pthread_mutex_lock(&queue->lock);
    assert(!is_teller(queue) && count <= queue->submitted);
    while (queue->told < count)
        wait_moved(queue);
    (void)pthread_mutex_unlock(&queue->lock);
}

size_t qp_queue_begin_close(struct qp_queue *queue)
{
    size_t pending;

    (void)pthread_mutex_lock(&queue->lock);
    queue->closing++;
    pending = queue->pending;
    (void)pthread_mutex_unlock(&queue->lock);
    return pending;
}

void qp_queue_end_close(struct qp_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    assert(queue->closing > 0);
    queue->closing--;
    (void)pthread_mutex_unlock(&queue->lock);
}
