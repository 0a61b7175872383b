/* commit.c - group commit: threads queue, and whoever comes first leads the others.
 *
 *     WAITING  in the queue, asleep; the queue's lock guards its state
 *        |  `--- a leader takes it into its group ---> TOLD: its status stands, it may return
 *        v
 *     LEADING  takes the front of the queue as its group, itself first; then
 *              catch up - lock - decide - apply - commit - unlock - publish - tell - hand on
 *
 * At most one thread of a process leads. So what belongs to the leader (`handle->seen`, the write
 * transaction, the drafts of the group) needs no lock of its own. Between processes the store lock
 * orders leaders, and is held from the decision to the flush: what a batch was decided on is what
 * it is written to.
 *
 * Nobody is told anything before the transaction is durable, and a group is bounded, so that a
 * follower waits for little more than the running commit and its own. */
#include "commit.h"

#include "clock.h"
#include "decide.h"
#include "lock.h"
#include "merge.h"
#include "moment.h"
#include "status.h"

#include <assert.h>
#include <string.h>

enum {
    GROUP_BATCHES_MAX = 1024,
    UNSEEN_COMMITS_MAX = 16 /* of others: more are folded before the store lock is taken */
};
#define GROUP_BYTES_MAX                                                                            \
    (8 * QP_MIB) /* of records: what a follower waits for is written by then                       \
                  */

enum request_state { WAITING, LEADING, TOLD };

/* One call of qp_commit(), on its thread's stack. The leader writes into it as long as the state is
 * WAITING; once it is TOLD the thread returns and the request is gone. */
struct qp_request {
    struct qp_request *next; /* in the queue, then in the group */
    struct qp_batch *batch;
    quipu_receipt receipt;
    quipu_error error;
    int status;
    enum request_state state;
    pthread_cond_t wake; /* its own: waking one thread must not wake them all */
};

/* ---- the queue ---- */

/* Join, and sleep until told, or until it is ours to lead. */
static void join(struct qp_queue *queue, struct qp_request *request)
{
    (void)pthread_mutex_lock(&queue->lock);
    if (queue->last != NULL)
        queue->last->next = request;
    else
        queue->first = request;
    queue->last = request;
    if (!queue->leading) {
        queue->leading = true;
        queue->first->state = LEADING;
        assert(queue->first == request);
    }
    while (request->state == WAITING)
        (void)pthread_cond_wait(&request->wake, &queue->lock);
    (void)pthread_mutex_unlock(&queue->lock);
}

/* The front of the queue as a list of its own; the leader's own request is the first. Whatever its
 * size, that one is taken: a batch over the limit of a group is a group by itself. */
static struct qp_request *take_group(struct qp_queue *queue)
{
    struct qp_request *group;
    struct qp_request *last;
    size_t bytes;

    (void)pthread_mutex_lock(&queue->lock);
    group = queue->first;
    assert(group != NULL && group->state == LEADING);
    last = group;
    bytes = group->batch->bytes.size;
    for (size_t count = 1; last->next != NULL && count < GROUP_BATCHES_MAX; count++) {
        bytes += last->next->batch->bytes.size;
        if (bytes > GROUP_BYTES_MAX)
            break;
        last = last->next;
    }
    queue->first = last->next;
    if (queue->first == NULL)
        queue->last = NULL;
    last->next = NULL;
    (void)pthread_mutex_unlock(&queue->lock);
    return group;
}

/* Everybody but the leader may be gone as soon as it is told: look at `next` before. */
static void tell_followers(struct qp_queue *queue, struct qp_request *group)
{
    struct qp_request *request = group->next;

    (void)pthread_mutex_lock(&queue->lock);
    while (request != NULL) {
        struct qp_request *next = request->next;

        request->state = TOLD;
        (void)pthread_cond_signal(&request->wake);
        request = next;
    }
    (void)pthread_mutex_unlock(&queue->lock);
}

/* The next in the queue leads. While a leader is at work `leading` stays true, also from one leader
 * to the next: who joins in between must not begin to lead beside it. */
static void hand_on(struct qp_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    assert(queue->leading);
    if (queue->first != NULL) {
        queue->first->state = LEADING;
        (void)pthread_cond_signal(&queue->first->wake);
    } else {
        queue->leading = false;
    }
    (void)pthread_mutex_unlock(&queue->lock);
}

/* ---- decide and apply ---- */

/* What the events of a group go on from, one after the other. All events of a group have one
 * `recorded`: the moment of their commit. */
struct edge {
    int64_t now_ns;
    int64_t recorded_ns;
    uint64_t chain;
};

/* Stamp a draft's record in place and append it. The batch's own bytes are written to: should the
 * group be done again (a larger map), each stamp is made anew from the same parts. A wish for
 * `recorded` counts if it keeps the log's clock from running backwards, and is not in the future.
 */
static int apply_draft(struct qp_txn *txn, struct qp_batch *batch, size_t draft, uint64_t position,
                       uint64_t version, struct edge *edge, quipu_error *error)
{
    struct qp_draft_record *record = &batch->drafts[draft];
    struct qp_stamp stamp = {.position = position,
                             .version = version,
                             .chain_before = edge->chain,
                             .content = record->content,
                             .recorded_ns = edge->now_ns};

    if (record->recorded_given && record->recorded_wish_ns >= edge->recorded_ns &&
        record->recorded_wish_ns <= edge->now_ns)
        stamp.recorded_ns = record->recorded_wish_ns;
    edge->recorded_ns = stamp.recorded_ns;
    edge->chain = qp_record_stamp(qp_batch_record(batch, draft), record->size, &stamp);
    return qp_log_append(txn, position, qp_batch_record(batch, draft), record->size, error);
}

static int apply_batch(struct qp_txn *txn, struct qp_batch *batch, struct edge *edge,
                       quipu_error *error)
{
    for (size_t i = 0; i < batch->step_count; i++) {
        const struct qp_step *step = &batch->steps[i];

        for (size_t j = 0; j < step->draft_count; j++) {
            int rc = apply_draft(txn, batch, step->first_draft + j, step->result.first_position + j,
                                 step->result.first_version + j, edge, error);

            if (rc < 0)
                return rc;
        }
    }
    return QUIPU_OK;
}

/* A request whose conditions fail is settled by that; whatever else fails is everybody's. */
static int decide_group(struct qp_moment *moment, struct qp_request *group, quipu_error *error)
{
    struct qp_overlay overlay;
    int rc = QUIPU_OK;

    qp_overlay_init(&overlay, moment->pin.head);
    for (struct qp_request *request = group; request != NULL && rc == QUIPU_OK;
         request = request->next) {
        request->status =
            qp_decide(&overlay, moment, request->batch, &request->receipt, &request->error);
        if (request->status < 0 && !qp_decide_is_own(request->status)) {
            rc = request->status;
            if (error != NULL)
                *error = request->error;
        }
    }
    qp_overlay_release(&overlay);
    return rc;
}

/* Conditions alone are decided and write nothing; nor does what is known already. */
static bool writes(const struct qp_request *request)
{
    return request->status == QUIPU_OK && request->receipt.verdict == QUIPU_COMMITTED &&
           request->batch->draft_count > 0;
}

static int apply_group(struct qp_txn *txn, struct qp_request *group, struct edge *edge,
                       bool *written, quipu_error *error)
{
    *written = false;
    for (struct qp_request *request = group; request != NULL; request = request->next) {
        int rc;

        if (!writes(request))
            continue;
        *written = true;
        rc = apply_batch(txn, request->batch, edge, error);
        if (rc < 0)
            return rc;
    }
    return QUIPU_OK;
}

/* Where the log ends, what time it is, and that no record is damaged that may belong anywhere. How
 * much is not in the index is noted for the next leader. */
static int look_at_edge(struct qp_handle *handle, struct qp_moment *moment, struct edge *edge,
                        quipu_error *error)
{
    struct qp_log_head head;
    int rc = qp_log_head(&moment->log, &head, error);

    if (rc < 0)
        return rc;
    if (qp_moment_damaged(moment))
        return qp_fail(error, QUIPU_CORRUPT,
                       "an event is damaged, and nobody knows which stream it was of: see verify");
    *edge = (struct edge){.chain = head.chain, .recorded_ns = head.recorded_ns};
    edge->now_ns = qp_shared_now_ns(&handle->shared);
    if (head.position > 0 && edge->now_ns < head.recorded_ns)
        edge->now_ns = head.recorded_ns;
    if (head.position == 0)
        edge->recorded_ns = INT64_MIN;
    atomic_store(&handle->unmerged, moment->pin.head - moment->pin.indexed);
    return QUIPU_OK;
}

/* One transaction. A failure here is the whole group's: nobody was told anything. The write
 * transaction is begun first, so that the head is fixed before anything is decided. If the outcome
 * of the commit is unknown the store is poisoned while the lock is still held: no other process may
 * write over what may be the only durable snapshot. */
static int transact(struct qp_handle *handle, struct qp_request *group, bool *committed,
                    quipu_error *error)
{
    struct qp_txn txn = {0};
    struct qp_moment *moment = NULL;
    enum qp_commit_outcome outcome = QP_COMMIT_DONE;
    struct edge edge = {0};
    int rc = qp_txn_begin_write(handle->log, &txn, error);

    if (rc == QUIPU_OK)
        rc = qp_moment_begin_writing(handle, &txn, &moment, error);
    if (rc == QUIPU_OK)
        rc = look_at_edge(handle, moment, &edge, error);
    if (rc == QUIPU_OK)
        rc = decide_group(moment, group, error);
    qp_moment_end(moment); /* its cursor must not outlive the transaction */
    if (rc == QUIPU_OK)
        rc = apply_group(&txn, group, &edge, committed, error);
    if (rc == QUIPU_OK && *committed)
        rc = qp_txn_commit(&txn, &outcome, error);
    qp_txn_end(&txn);
    if (outcome == QP_COMMIT_UNKNOWN)
        qp_shared_set(&handle->shared, QP_SHARED_POISONED, true);
    if (rc < 0)
        *committed = false;
    handle->seen = qp_store_newest(handle->log);
    return rc;
}

/* ---- lead ---- */

/* The lock is ours: may anything be written? */
static int check_store(struct qp_handle *handle, quipu_error *error)
{
    if (qp_shared_get(&handle->shared, QP_SHARED_POISONED))
        return qp_fail(error, QUIPU_IO,
                       "a flush has failed: close the store in all processes and open it again");
    if (!qp_place_same(&handle->place, QP_LOG_FILE, handle->log_inode) ||
        !qp_place_same(&handle->place, QP_GUARD_FILE, handle->guard.inode) ||
        !qp_place_same(&handle->place, QP_SHARED_FILE, handle->shared.inode))
        return qp_fail(error, QUIPU_UNSAFE, "the store's files were replaced while it was open");
    return QUIPU_OK;
}

/* What failed as a whole failed for each: verdicts that were written already are taken back. */
static void fail_requests(struct qp_request *group, int rc, const quipu_error *error)
{
    for (struct qp_request *request = group; rc < 0 && request != NULL; request = request->next) {
        request->status = rc;
        request->error = *error;
        request->receipt = (quipu_receipt){0};
        request->batch->decided = false;
    }
}

/* Into the tail, in the order of positions. */
static void publish(struct qp_handle *handle, struct qp_request *group)
{
    for (const struct qp_request *request = group; request != NULL; request = request->next)
        if (writes(request))
            qp_tail_publish(&handle->tail, request->batch, request->receipt.first_position);
}

/* Others have committed much since this process looked last: fold that now and not while holding
 * the store lock. A failure will be met again, by who can tell it. */
static void catch_up(struct qp_handle *handle)
{
    if (qp_store_newest(handle->log) - handle->seen >= UNSEEN_COMMITS_MAX)
        (void)qp_merge_look(handle, NULL);
}

/* The steps in this order: nothing that may take long is done while the store lock is held, and the
 * followers hear of it before this process stands back for another. */
static void lead(struct qp_handle *handle, struct qp_request *group)
{
    quipu_error error = {0};
    bool committed = false;
    uint64_t ticket = 0;
    int rc;

    assert(group != NULL && !handle->read_only);
    catch_up(handle);
    rc = qp_merge_if_full(handle, &error);
    if (rc == QUIPU_OK) /* each wait for others has its own time */
        rc = qp_lock_take(handle, qp_clock_deadline_ns(handle->options.busy_timeout_ms), &error);
    if (rc == QUIPU_OK) {
        rc = check_store(handle, &error);
        if (rc == QUIPU_OK)
            rc = transact(handle, group, &committed, &error);
        while (rc == QUIPU_FULL && qp_store_grow(handle->log))
            rc = transact(handle, group, &committed, &error);
        ticket = qp_lock_release(handle, committed);
    }
    fail_requests(group, rc, &error);
    /* After the lock is given back: other processes need not wait for our memory. A reader that is
     * faster folds these events from the log itself. */
    if (committed)
        publish(handle, group);
    tell_followers(&handle->queue, group);
    qp_lock_stand_back(handle, ticket);
    hand_on(&handle->queue);
}

/* ---- commit ---- */

/* What the store's options limit, and what a step failed with when it was added. One event alone
 * may be larger than a batch may be: data_bytes_max is its limit. */
static int check_batch(const struct qp_handle *handle, const struct qp_batch *batch,
                       quipu_error *error)
{
    const quipu_options *options = &handle->options;

    if (handle->read_only)
        return qp_fail(error, QUIPU_READ_ONLY, "the store is open for reading only");
    if (batch->failure.status != QUIPU_OK) {
        if (error != NULL)
            *error = batch->failure;
        return batch->failure.status;
    }
    if (batch->payload_max > options->data_bytes_max) {
        return qp_fail(error, QUIPU_TOO_LARGE,
                       "an event has %zu bytes of data and meta, more than %u", batch->payload_max,
                       options->data_bytes_max);
    }
    if (batch->draft_count > options->batch_events_max)
        return qp_fail(error, QUIPU_TOO_LARGE, "the batch has %zu events, more than %u",
                       batch->draft_count, options->batch_events_max);
    if (batch->draft_count > 1 && batch->bytes.size > options->batch_bytes_max)
        return qp_fail(error, QUIPU_TOO_LARGE, "the batch has %zu bytes, more than %llu",
                       batch->bytes.size, (unsigned long long)options->batch_bytes_max);
    return QUIPU_OK;
}

int qp_commit(struct qp_handle *handle, struct qp_batch *batch, quipu_receipt *receipt,
              quipu_error *error)
{
    struct qp_request request = {.batch = batch};
    int rc;

    if (receipt != NULL)
        *receipt = (quipu_receipt){0};
    batch->decided = false;
    rc = check_batch(handle, batch, error);
    if (rc < 0)
        return rc;
    (void)pthread_cond_init(&request.wake, NULL);
    join(&handle->queue, &request);
    if (request.state == LEADING) {
        lead(handle, take_group(&handle->queue));
        qp_merge_if_long(handle); /* after leadership was handed on */
    }
    assert(request.state != WAITING);
    (void)pthread_cond_destroy(&request.wake);
    if (receipt != NULL)
        *receipt = request.receipt;
    if (request.status < 0 && error != NULL)
        *error = request.error;
    return request.status;
}
