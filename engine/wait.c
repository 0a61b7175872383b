/* wait.c - one thread of a process, the watcher, sleeps for all who wait in it: on the count of
 * commits in `shared`, from which whoever commits wakes it. The others sleep on a condition, and
 * are told by the watcher. For the committer pays for each sleeper that it wakes: 64 threads on
 * that word would cost it more than the commit.
 *
 *     committer, anywhere             watcher                        others
 *
 *                                     reads the count, looks         sleep on a condition
 *                                     sleeps while the count stays
 *     its commit can be seen
 *     counts it, wakes the watcher -> reads the count, looks
 *                                     tells what it saw -----------> compare it with theirs
 *                                     has what it waits for:
 *                                     leaves, and calls one -------> watches
 *
 * No wake is lost. The count is read before the look: a commit that the look did not see is counted
 * later than it was read, and then there is no sleep, or the sleeper is woken. Who takes over from
 * a watcher goes on from the count before its own last look, so that its first sleep ends at once
 * if anything was committed since.
 *
 * Some wait for events, others for any commit. The watcher, whichever it is itself, learns of both
 * in one look. Each kind has a condition of its own: a commit without events concerns those of the
 * second kind alone.
 *
 * One commit is never counted: that of a process that dies when its commit can be seen already. For
 * it the watcher looks now and then without having been woken. */
#include "wait.h"

#include "clock.h"
#include "moment.h"

#include <assert.h>
#include <time.h>

#define UNTOLD_LOOK_NS (100 * QP_NS_PER_MS) /* ten looks a second at two words cost nothing */

/* One call of qp_wait() or qp_wait_commit(). */
struct wait {
    struct qp_handle *handle;
    enum qp_wait_kind kind;
    uint64_t after; /* a position or a transaction */
    int64_t deadline_ns;
    qp_wait_fn ask;
    void *payload;
    uint32_t commits; /* counted before the last look */
    struct qp_glance seen;
};

void qp_wait_init(struct qp_waiting *waiting)
{
    (void)pthread_mutex_init(&waiting->lock, NULL);
    for (size_t kind = 0; kind < QP_WAIT_KINDS; kind++)
        qp_clock_condition(&waiting->changed[kind]);
}

void qp_wait_release(struct qp_waiting *waiting)
{
    for (size_t kind = 0; kind < QP_WAIT_KINDS; kind++)
        (void)pthread_cond_destroy(&waiting->changed[kind]);
    (void)pthread_mutex_destroy(&waiting->lock);
}

static bool is_above(const struct wait *wait, const struct qp_glance *glance)
{
    return (wait->kind == QP_WAIT_HEAD ? glance->head : glance->transaction) > wait->after;
}

static int look(struct wait *wait, quipu_error *error)
{
    int rc;

    wait->commits = qp_shared_commits(&wait->handle->shared);
    rc = qp_moment_glance(wait->handle, &wait->seen, error);
    if (rc < 0)
        return rc;
    QP_MUTANT_PAUSE(WAIT_LATE);
    if (QP_MUTANT(WAIT_LATE))
        wait->commits = qp_shared_commits(&wait->handle->shared);
    return QUIPU_OK;
}

/* Sleep until a commit, and look what it brought. If nobody wakes us, two words say mostly that
 * nothing has happened. While a commit flushes its meta page, that page has its number already and
 * no snapshot has it yet: the look finds what the last one did, and is done again. */
static int watch(struct wait *wait, bool *untold, quipu_error *error)
{
    struct qp_shared *shared = &wait->handle->shared;
    int64_t left_ns = wait->deadline_ns - qp_clock_monotonic_ns();
    uint64_t transaction = wait->seen.transaction;
    bool told = true; /* if our own time is over too: the commit came at that moment */
    int rc;

    if (left_ns >= UNTOLD_LOOK_NS)
        told = qp_shared_sleep(shared, wait->commits, UNTOLD_LOOK_NS);
    else if (left_ns > 0)
        (void)qp_shared_sleep(shared, wait->commits, left_ns);
    if (qp_shared_commits(shared) == wait->commits &&
        qp_txn_newest(wait->handle->log) == transaction)
        return QUIPU_OK;
    rc = look(wait, error);
    *untold = rc == QUIPU_OK && !told && wait->seen.transaction > transaction;
    return rc;
}

static void sleep_beside(struct wait *wait)
{
    struct qp_waiting *waiting = &wait->handle->waiting;
    struct timespec until = qp_clock_timespec(wait->deadline_ns);

    waiting->asleep[wait->kind]++;
    if (wait->deadline_ns == INT64_MAX)
        (void)pthread_cond_wait(&waiting->changed[wait->kind], &waiting->lock);
    else
        (void)pthread_cond_timedwait(&waiting->changed[wait->kind], &waiting->lock, &until);
    assert(waiting->asleep[wait->kind] > 0);
    waiting->asleep[wait->kind]--;
}

static void tell(struct qp_waiting *waiting, const struct qp_glance *seen)
{
    bool events = seen->head > waiting->seen.head;

    if (seen->transaction <= waiting->seen.transaction)
        return;
    waiting->seen = *seen;
    if (events)
        (void)pthread_cond_broadcast(&waiting->changed[QP_WAIT_HEAD]);
    if (!QP_MUTANT(WAIT_EVENTS) || events)
        (void)pthread_cond_broadcast(&waiting->changed[QP_WAIT_COMMIT]);
}

/* As the watcher, whose lock is let go meanwhile. */
static int take_watch(struct wait *wait, quipu_error *error)
{
    struct qp_waiting *waiting = &wait->handle->waiting;
    bool untold = false;
    int rc;

    waiting->watched = true;
    (void)pthread_mutex_unlock(&waiting->lock);
    rc = watch(wait, &untold, error);
    (void)pthread_mutex_lock(&waiting->lock);
    waiting->watched = false; /* nobody sees it unless we leave: the lock is ours until then */
    waiting->untold += untold;
    tell(waiting, &wait->seen);
    return rc;
}

/* One is enough, of any kind. If all that are counted have woken already, each of them watches, or
 * leaves and calls in its turn. */
static void call_one(struct qp_waiting *waiting)
{
    enum qp_wait_kind kind = QP_WAIT_COMMIT;

    if (waiting->asleep[QP_WAIT_HEAD] > 0 || QP_MUTANT(CALL_ONE_KIND))
        kind = QP_WAIT_HEAD;
    (void)pthread_cond_signal(&waiting->changed[kind]);
}

/* Returns: ROW: what was seen is above; OK: the time is over; below 0: as `ask`, or as a look. */
static int wait_for(struct wait *wait, quipu_error *error)
{
    struct qp_waiting *waiting = &wait->handle->waiting;
    int rc = look(wait, error);

    (void)pthread_mutex_lock(&waiting->lock);
    while (rc == QUIPU_OK && !is_above(wait, &wait->seen) &&
           qp_clock_monotonic_ns() < wait->deadline_ns) {
        rc = wait->ask(wait->payload, error);
        if (rc < 0)
            break;
        if (!waiting->watched)
            rc = take_watch(wait, error);
        else if (!is_above(wait, &waiting->seen))
            sleep_beside(wait);
        if (waiting->seen.transaction > wait->seen.transaction)
            wait->seen = waiting->seen;
    }
    if (!waiting->watched)
        call_one(waiting);
    (void)pthread_mutex_unlock(&waiting->lock);
    if (rc < 0)
        return rc;
    return is_above(wait, &wait->seen) ? QUIPU_ROW : QUIPU_OK;
}

int qp_wait(struct qp_handle *handle, uint64_t after, int64_t deadline_ns, qp_wait_fn ask,
            void *payload, uint64_t *head, quipu_error *error)
{
    struct wait wait = {.handle = handle,
                        .kind = QP_WAIT_HEAD,
                        .after = after,
                        .deadline_ns = deadline_ns,
                        .ask = ask,
                        .payload = payload};
    int rc = wait_for(&wait, error);

    if (rc >= 0)
        *head = wait.seen.head;
    return rc;
}

int qp_wait_commit(struct qp_handle *handle, uint64_t transaction, int64_t deadline_ns,
                   qp_wait_fn ask, void *payload, uint64_t *newest, quipu_error *error)
{
    struct wait wait = {.handle = handle,
                        .kind = QP_WAIT_COMMIT,
                        .after = transaction,
                        .deadline_ns = deadline_ns,
                        .ask = ask,
                        .payload = payload};
    int rc = wait_for(&wait, error);

    if (rc >= 0)
        *newest = wait.seen.transaction;
    return rc;
}

/* The watcher sleeps on a word of all processes, so those of others look too, once. */
void qp_wait_disturb(struct qp_handle *handle)
{
    struct qp_waiting *waiting = &handle->waiting;

    (void)pthread_mutex_lock(&waiting->lock);
    for (size_t kind = 0; kind < QP_WAIT_KINDS; kind++)
        (void)pthread_cond_broadcast(&waiting->changed[kind]);
    if (waiting->watched)
        qp_shared_wake(&handle->shared);
    (void)pthread_mutex_unlock(&waiting->lock);
}
