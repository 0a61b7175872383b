/* turn.c - who finds the lock taken puts its group into its box, where the owner may take it along:
 * four processes of four threads would else be four transactions of four events, each with its
 * flushes, where four processes as one make one.
 *
 *     A   has the lock: takes B, C ---- commit ---- answers B, C -- unlocks, rings D
 *     B   puts ........ waits ...................... DONE: tells its threads
 *     C        puts ... waits ...................... DONE: the same
 *     D                           puts ... waits .................. has the lock: its own to commit
 *
 * If A dies, the next owner has settled the log before it looks here. What A had planned for B says
 * where the log ends if it was committed: at that position, with that chain. */
#include "turn.h"

#include "clock.h"
#include "lock.h"
#include "log.h"
#include "status.h"

#include <sched.h>

/* How late the death of who has the lock is seen. */
#define SLICE_NS (10 * QP_NS_PER_MS)

/* The file may have come after this process had opened the store. */
static void open_post(struct qp_handle *handle)
{
    if (handle->post.file == NULL)
        qp_post_open(&handle->post, &handle->place, handle->shared.inode,
                     (struct qp_post_owner){handle->shared.slot, handle->shared.generation});
}

/* The lock is ours, so nobody else touches this box. It may hold what an earlier process with its
 * number has left there. */
static void own_box(struct qp_handle *handle)
{
    qp_post_empty(&handle->post);
    handle->post_ready = handle->post.file != NULL;
}

/* Does the log have that chain at that position? In a write transaction, because LMDB shows readers
 * the last commit of a process that died only then. */
static int log_has(struct qp_handle *handle, uint64_t position, uint64_t chain, bool *has,
                   quipu_error *error)
{
    struct qp_txn txn = {0};
    struct qp_log_cursor log = {0};
    struct qp_log_head head = {0};
    struct qp_record record = {0};
    int rc = qp_txn_begin_write(handle->log, &txn, error);

    *has = false;
    if (rc == QUIPU_OK)
        rc = qp_log_open(&log, &txn, true, error);
    if (rc == QUIPU_OK)
        rc = qp_log_head(&log, &head, error);
    if (rc == QUIPU_OK && position > 0 && position <= head.position)
        rc = qp_log_get(&log, position, &record, error);
    *has = position == 0 || (rc == QUIPU_ROW && record.chain == chain);
    qp_log_close(&log);
    qp_txn_end(&txn);
    return rc < 0 ? rc : QUIPU_OK;
}

/* Who took it is dead, and the lock is ours. */
static int resolve(struct qp_handle *handle, struct qp_request *group, enum qp_turn *turn,
                   quipu_error *error)
{
    uint64_t position;
    uint64_t chain;
    bool has = false;
    int rc = QUIPU_OK;

    if (qp_shared_get(&handle->shared, QP_SHARED_POISONED))
        return QUIPU_OK; /* who looks whether anything may be written says so */
    if (qp_post_plan_of(&handle->post, &position, &chain))
        rc = log_has(handle, position, chain, &has, error);
    if (QP_MUTANT(POST_ASSUMED) || QP_MUTANT(POST_AGAIN))
        has = QP_MUTANT(POST_ASSUMED);
    if (rc == QUIPU_OK && has) {
        qp_post_read_plan(&handle->post, group);
        *turn = QP_TURN_ANSWERED;
    }
    qp_post_empty(&handle->post);
    return rc;
}

/* The group was put: until the lock is ours, or the group answered. Who dies rings nobody: looked
 * after in slices. Returns as qp_lock_take(). */
static int wait_for_either(struct qp_handle *handle, int64_t deadline, bool *locked,
                           quipu_error *error)
{
    int rc = QUIPU_BUSY;

    for (;;) {
        uint32_t rung = qp_shared_ask(&handle->shared, qp_post_waits(&handle->post));
        int64_t left = deadline - qp_clock_monotonic_ns();
        bool answered = qp_post_answered(&handle->post);

        rc = answered ? QUIPU_OK : qp_lock_take(handle, 0, error);
        *locked = !answered && rc == QUIPU_OK;
        if (rc != QUIPU_BUSY || left <= 0)
            break;
        (void)qp_shared_await(&handle->shared, rung, left < SLICE_NS ? left : SLICE_NS);
    }
    (void)qp_shared_ask(&handle->shared, false);
    return rc;
}

/* A process that took the group and does not end is given the same time again: whether it will
 * commit nobody else can say. */
static int wait_for_turn(struct qp_handle *handle, struct qp_request *group, enum qp_turn *turn,
                         quipu_error *error)
{
    enum qp_post_state state = QP_POST_TAKEN;
    bool locked = false;
    int rc = QUIPU_BUSY;

    for (int tries = 0; tries < 2 && rc == QUIPU_BUSY && state == QP_POST_TAKEN; tries++) {
        rc = wait_for_either(handle, qp_clock_deadline_ns(handle->options.busy_timeout_ms), &locked,
                             error);
        state = qp_post_end(&handle->post, group);
    }
    if (state == QP_POST_WITHDRAWN)
        return rc;
    if (state == QP_POST_TAKEN && locked) {
        rc = resolve(handle, group, turn, error);
        if (rc < 0 || *turn == QP_TURN_ANSWERED) /* a dead process's commit can be seen now */
            qp_lock_stand_back(handle, qp_lock_release(handle, true));
        return rc;
    }
    if (state == QP_POST_TAKEN && rc != QUIPU_BUSY)
        return rc; /* the lock is lost */
    if (state == QP_POST_TAKEN)
        return qp_fail(error, QUIPU_IN_DOUBT, "the process that commits this does not go on");
    if (locked)
        qp_lock_stand_back(handle, qp_lock_release(handle, false));
    *turn = QP_TURN_ANSWERED;
    return QUIPU_OK;
}

int qp_turn_take(struct qp_handle *handle, struct qp_request **group, enum qp_turn *turn,
                 quipu_error *error)
{
    int64_t deadline = qp_clock_deadline_ns(handle->options.busy_timeout_ms);
    int rc = qp_lock_take(handle, 0, error);

    *group = NULL;
    *turn = QP_TURN_LOCKED;
    /* Others do not know our inline projections: what we append we commit ourselves. */
    if (rc == QUIPU_BUSY && handle->post_ready && atomic_load(&handle->registered.inlines) == 0) {
        *group = qp_queue_take(&handle->queue, QP_POST_BATCHES_MAX, QP_POST_BYTES_MAX);
        if (qp_post_put(&handle->post, *group))
            return wait_for_turn(handle, *group, turn, error);
    }
    if (rc == QUIPU_BUSY) {
        open_post(handle);
        rc = qp_lock_take(handle, deadline, error);
    }
    if (rc == QUIPU_OK)
        own_box(handle);
    return rc;
}

static enum qp_origin_life lives(void *payload, struct qp_post_owner owner)
{
    return qp_shared_lives(payload, owner.box, owner.generation);
}

bool qp_turn_any_of_dead(struct qp_handle *handle)
{
    open_post(handle);
    return qp_post_any_of_dead(&handle->post, lives, &handle->shared);
}

void qp_turn_drop_dead(struct qp_handle *handle)
{
    qp_post_drop_dead(&handle->post, lives, &handle->shared);
}

/* Those who were answered just now come again, if they do, within the time that it takes to run
 * them once. They would wait for the lock in any case. A lazy handle takes nobody along: its
 * commits promise less than others may have asked for. */
struct qp_parcel *qp_turn_collect(struct qp_handle *handle)
{
    struct qp_parcel *parcels;
    int64_t deadline;

    if (handle->options.durability == QUIPU_LAZY)
        return NULL;
    if (handle->parcels == 0 && !qp_shared_others_wait(&handle->shared))
        return NULL; /* each box is on pages of its own: not looked at for nothing */
    open_post(handle);
    deadline = qp_clock_monotonic_ns() + QP_GATHER_NS;
    while (qp_post_count(&handle->post) < handle->parcels && qp_clock_monotonic_ns() < deadline)
        (void)sched_yield();
    parcels = qp_post_take(&handle->post, lives, &handle->shared);
    handle->parcels = 0;
    for (const struct qp_parcel *parcel = parcels; parcel != NULL; parcel = parcel->next)
        handle->parcels++;
    return parcels;
}

void qp_turn_answer(struct qp_handle *handle, const struct qp_parcel *parcels, bool as_planned)
{
    qp_post_answer(&handle->post, parcels, as_planned);
    for (const struct qp_parcel *parcel = parcels; parcel != NULL; parcel = parcel->next)
        qp_shared_ring(&handle->shared, parcel->box);
}
