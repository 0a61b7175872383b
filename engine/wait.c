/* wait.c - one thread of a process, the watcher, sleeps for all who wait in it: on the count of
 * commits in `shared`, from which whoever commits wakes it. The others sleep on a condition, and
 * are told by the watcher. For the committer pays for each sleeper that it wakes: 64 threads on
 * that word would cost it more than the commit.
 *
 *     committer, anywhere             watcher                        others
 *
 *                                     reads the count, looks         sleep on `changed`
 *                                     sleeps while the count stays
 *     its commit can be seen
 *     counts it, wakes the watcher -> reads the count, looks
 *                                     tells the new head ----------> compare it with theirs
 *                                     has what it waits for:
 *                                     leaves, and calls one -------> watches
 *
 * No wake is lost. The count is read before the look: a commit that the look did not see is counted
 * later than it was read, and then there is no sleep, or the sleeper is woken. Who takes over from
 * a watcher goes on from the count before its own last look, so that its first sleep ends at once
 * if anything was committed since.
 *
 * One commit is never counted: that of a process that dies when its commit can be seen already. For
 * it the watcher looks now and then without having been woken. */
#include "wait.h"

#include "clock.h"
#include "moment.h"

#include <time.h>

#define UNTOLD_LOOK_NS (100 * QP_NS_PER_MS) /* ten looks a second at two words cost nothing */

/* One call of qp_wait(). */
struct wait {
    struct qp_handle *handle;
    uint32_t commits;     /* counted before the last look */
    uint64_t transaction; /* that the last look saw */
    uint64_t head;
};

void qp_wait_init(struct qp_waiting *waiting)
{
    pthread_condattr_t attributes;

    (void)pthread_mutex_init(&waiting->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&waiting->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

void qp_wait_release(struct qp_waiting *waiting)
{
    (void)pthread_cond_destroy(&waiting->changed);
    (void)pthread_mutex_destroy(&waiting->lock);
}

static int look(struct wait *wait, quipu_error *error)
{
    struct qp_moment *moment = NULL;
    int rc;

    wait->commits = qp_shared_commits(&wait->handle->shared);
    rc = qp_moment_begin(wait->handle, true, &moment, error);
    if (rc < 0)
        return rc;
    wait->transaction = qp_txn_number(moment->txn);
    wait->head = moment->pin.head;
    qp_moment_end(moment);
    QP_MUTANT_PAUSE(WAIT_LATE);
    if (QP_MUTANT(WAIT_LATE))
        wait->commits = qp_shared_commits(&wait->handle->shared);
    return QUIPU_OK;
}

/* Sleep until a commit, and look what it brought. If nobody wakes us, two words say mostly that
 * nothing has happened. While a commit flushes its meta page, that page has its number already and
 * no snapshot has it yet: the look finds what the last one did, and is done again. */
static int watch(struct wait *wait, int64_t deadline_ns, bool *untold, quipu_error *error)
{
    struct qp_shared *shared = &wait->handle->shared;
    int64_t left_ns = deadline_ns - qp_clock_monotonic_ns();
    uint64_t head = wait->head;
    bool told = true; /* if our own time is over too: the commit came at that moment */
    int rc;

    if (left_ns >= UNTOLD_LOOK_NS)
        told = qp_shared_sleep(shared, wait->commits, UNTOLD_LOOK_NS);
    else if (left_ns > 0)
        (void)qp_shared_sleep(shared, wait->commits, left_ns);
    if (qp_shared_commits(shared) == wait->commits &&
        qp_txn_newest(wait->handle->log) == wait->transaction)
        return QUIPU_OK;
    rc = look(wait, error);
    *untold = rc == QUIPU_OK && !told && wait->head > head;
    return rc;
}

static void sleep_beside(struct qp_waiting *waiting, int64_t deadline_ns)
{
    struct timespec until = qp_clock_timespec(deadline_ns);

    if (deadline_ns == INT64_MAX)
        (void)pthread_cond_wait(&waiting->changed, &waiting->lock);
    else
        (void)pthread_cond_timedwait(&waiting->changed, &waiting->lock, &until);
}

/* As the watcher, whose lock is let go meanwhile. */
static int take_watch(struct wait *wait, int64_t deadline_ns, quipu_error *error)
{
    struct qp_waiting *waiting = &wait->handle->waiting;
    bool untold = false;
    int rc;

    waiting->watched = true;
    (void)pthread_mutex_unlock(&waiting->lock);
    rc = watch(wait, deadline_ns, &untold, error);
    (void)pthread_mutex_lock(&waiting->lock);
    waiting->watched = false; /* nobody sees it unless we leave: the lock is ours until then */
    waiting->untold += untold;
    if (wait->head > waiting->head) {
        waiting->head = wait->head;
        (void)pthread_cond_broadcast(&waiting->changed);
    }
    return rc;
}

int qp_wait(struct qp_handle *handle, uint64_t after, int64_t deadline_ns, qp_wait_fn ask,
            void *payload, uint64_t *head, quipu_error *error)
{
    struct qp_waiting *waiting = &handle->waiting;
    struct wait wait = {.handle = handle};
    int rc = look(&wait, error);

    (void)pthread_mutex_lock(&waiting->lock);
    while (rc == QUIPU_OK && wait.head <= after && qp_clock_monotonic_ns() < deadline_ns) {
        rc = ask(payload, error);
        if (rc < 0)
            break;
        if (!waiting->watched)
            rc = take_watch(&wait, deadline_ns, error);
        else if (waiting->head <= after)
            sleep_beside(waiting, deadline_ns);
        if (waiting->head > wait.head)
            wait.head = waiting->head;
    }
    if (!waiting->watched)
        (void)pthread_cond_signal(&waiting->changed);
    (void)pthread_mutex_unlock(&waiting->lock);
    if (rc < 0)
        return rc;
    *head = wait.head;
    return wait.head > after ? QUIPU_ROW : QUIPU_OK;
}

/* The watcher sleeps on a word of all processes, so those of others look too, once. */
void qp_wait_disturb(struct qp_handle *handle)
{
    struct qp_waiting *waiting = &handle->waiting;

    (void)pthread_mutex_lock(&waiting->lock);
    (void)pthread_cond_broadcast(&waiting->changed);
    if (waiting->watched)
        qp_shared_wake(&handle->shared);
    (void)pthread_mutex_unlock(&waiting->lock);
}
