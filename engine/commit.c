/* commit.c - group commit: one transaction for all who wait. Who leads, and who is told, is the
 * queue's (queue.c):
 *
 *     catch up - merge - gather - lock - take - decide - apply - commit - answer - unlock - publish
 * - complete - stand back - hand on
 *
 * What is taken is what waits in this process, and what others have put in their boxes (turn.c). At
 * most one thread of a process leads. So what belongs to the leader (`handle->seen`, `post`, the
 * write transaction, the group) needs no lock of its own. Between processes the store lock
 * orders leaders, and is held from the decision to the flush: what a batch was decided on is what
 * it is written to.
 *
 * Nobody is told anything before the transaction is durable, and a group is bounded, so that a
 * follower waits for little more than the running commit and its own. It is taken as late as
 * possible: who comes while the leader waits for the lock is in it. */
#include "commit.h"

#include "apply.h"
#include "decide.h"
#include "lock.h"
#include "merge.h"
#include "moment.h"
#include "status.h"
#include "turn.h"

#include <assert.h>

enum { UNSEEN_COMMITS_MAX = 16 /* of others: more are folded before the store lock is taken */ };

/* ---- decide and apply ---- */

/* A request whose conditions fail is settled by that; whatever else fails is everybody's. */
static int decide_group(struct qp_moment *moment, struct qp_request *group, int64_t now_ns,
                        quipu_error *error)
{
    struct qp_overlay overlay;
    int rc = QUIPU_OK;

    qp_overlay_init(&overlay, moment->pin.head);
    overlay.now_ns = now_ns;
    for (struct qp_request *request = group; request != NULL && rc == QUIPU_OK;
         request = request->next) {
        if (request->batch == NULL)
            continue;
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

/* Was it accepted? It may still have nothing to write, as a batch of nothing but conditions. */
static bool was_accepted(const struct qp_request *request)
{
    return request->batch != NULL && request->status == QUIPU_OK &&
           request->receipt.verdict == QUIPU_COMMITTED;
}

static int apply_group(struct qp_txn *txn, struct qp_request *group, struct qp_edge *edge,
                       bool *written, quipu_error *error)
{
    int rc = QUIPU_OK;

    *written = false;
    for (struct qp_request *request = group; request != NULL && rc == QUIPU_OK;
         request = request->next)
        if (was_accepted(request))
            rc = qp_apply(txn, request->batch, edge, written, error);
    return rc;
}

/* Where the log ends, what time it is, and that no record is damaged that may belong anywhere. How
 * much is not in the index is noted for the next leader. */
static int look_at_edge(struct qp_handle *handle, struct qp_moment *moment, struct qp_edge *edge,
                        quipu_error *error)
{
    struct qp_log_head head;
    int rc = qp_log_head(&moment->log, &head, error);

    if (rc < 0)
        return rc;
    if (qp_moment_damaged(moment))
        return qp_fail(error, QUIPU_CORRUPT,
                       "an event is damaged, and nobody knows which stream it was of: see verify");
    qp_edge_init(edge, &head, qp_shared_now_ns(&handle->shared));
    atomic_store(&handle->unmerged, moment->pin.head - moment->pin.indexed);
    return QUIPU_OK;
}

/* May a receipt of this group tell of what only the cache holds? What is written by a handle that
 * is not lazy is flushed with all before it. Who flushes asks for just that. */
static bool must_flush(const struct qp_handle *handle, const struct qp_request *group, bool written)
{
    bool lazy = handle->options.durability == QUIPU_LAZY;

    if (!qp_shared_get(&handle->shared, QP_SHARED_LAZY_SEEN) || (written && !lazy))
        return false;
    for (const struct qp_request *request = group; request != NULL; request = request->next)
        if (request->batch == NULL || (!lazy && request->status == QUIPU_OK))
            return true;
    return false;
}

/* A flush that fails leaves open what a power cut would take, as one of a commit does. */
static int flush_group(struct qp_handle *handle, const struct qp_request *group, bool written,
                       quipu_error *error)
{
    int rc = QUIPU_OK;

    if (must_flush(handle, group, written) && !QP_MUTANT(LAZY_RECEIPT))
        rc = qp_store_flush(handle->log, error);
    if (rc < 0)
        qp_shared_set(&handle->shared, QP_SHARED_POISONED, true);
    return rc;
}

/* A flush that fails for want of room undoes its own commit, and is no harm to what was flushed
 * before. A lazy handle's last meta page was not: it may be what the flush failed for, clean in the
 * cache now and not on the disk. The next commit would use the pages of the only snapshot there. */
static bool settle_lazy(struct qp_handle *handle, quipu_error *error)
{
    return !qp_shared_get(&handle->shared, QP_SHARED_LAZY_SEEN) || QP_MUTANT(LAZY_UNDONE) ||
           qp_store_settle(handle->log, error) == QUIPU_OK;
}

/* What one turn commits: what waits in this process, and what others have put. */
struct group {
    struct qp_request *own;
    struct qp_parcel *parcels;
    struct qp_request *all; /* both in one list, as long as they are joined */
    bool planned;           /* what becomes of the parcels stands in their boxes */
};

/* An inline projection's function that commits would wait for itself. */
static bool is_within_inline(const struct qp_handle *handle)
{
    return atomic_load(&handle->inliner) == (unsigned long long)pthread_self();
}

static int fold_inline(struct qp_handle *handle, struct qp_txn *txn, uint64_t before,
                       struct qp_edge *edge, bool *committed, quipu_error *error)
{
    int rc;

    atomic_store(&handle->inliner, (unsigned long long)pthread_self());
    rc = handle->fold_inline(handle, txn, before, edge, committed, error);
    atomic_store(&handle->inliner, 0);
    return rc;
}

/* Should this process die now, the log's end says whether it was committed. Only if it moves, or if
 * nothing is written: a commit of marks alone leaves it where it was, and then nothing is planned.
 * Then nothing of what was taken along is in it either, as that changes marks only together with
 * events: its owners may begin again. */
static int apply_and_plan(struct qp_handle *handle, struct qp_txn *txn, struct group *group,
                          struct qp_edge *edge, bool *committed, quipu_error *error)
{
    uint64_t before = edge->position;
    int rc = apply_group(txn, group->all, edge, committed, error);

    if (rc == QUIPU_OK && edge->position > before && atomic_load(&handle->registered.inlines) > 0)
        rc = fold_inline(handle, txn, before, edge, committed, error);
    group->planned = rc == QUIPU_OK && (edge->position > before || !*committed);
    if (group->planned)
        qp_post_plan(&handle->post, group->parcels, edge->position, edge->chain);
    return rc;
}

/* One transaction. A failure here is the whole group's: nobody was told anything. The write
 * transaction is begun first, so that the head is fixed before anything is decided. If the outcome
 * of the commit is unknown the store is poisoned while the lock is still held: no other process may
 * write over what may be the only durable snapshot. */
static int transact(struct qp_handle *handle, struct group *group, bool *committed,
                    quipu_error *error)
{
    struct qp_txn txn = {0};
    struct qp_moment *moment = NULL;
    enum qp_commit_outcome outcome = QP_COMMIT_DONE;
    struct qp_edge edge = {0};
    int rc = qp_txn_begin_write(handle->log, &txn, error);

    if (rc == QUIPU_OK) {
        qp_txn_extend(&txn);
        rc = qp_moment_begin_writing(handle, &txn, &moment, error);
    }
    if (rc == QUIPU_OK)
        rc = look_at_edge(handle, moment, &edge, error);
    if (rc == QUIPU_OK)
        rc = decide_group(moment, group->all, edge.now_ns, error);
    qp_moment_end(moment); /* its cursor must not outlive the transaction */
    if (rc == QUIPU_OK)
        rc = apply_and_plan(handle, &txn, group, &edge, committed, error);
    if (rc == QUIPU_OK && *committed)
        rc = qp_txn_commit(&txn, &outcome, error);
    qp_txn_end(&txn);
    if (QP_MUTANT(ONE_FLUSH) && rc == QUIPU_OK)
        rc = qp_store_settle(handle->log, error);
    if (outcome == QP_COMMIT_UNDONE && !settle_lazy(handle, error)) {
        outcome = QP_COMMIT_UNKNOWN;
        rc = QUIPU_IO;
    }
    if (outcome == QP_COMMIT_UNKNOWN && !QP_MUTANT(NO_POISON))
        qp_shared_set(&handle->shared, QP_SHARED_POISONED, true);
    if (rc == QUIPU_OK)
        rc = flush_group(handle, group->all, *committed, error);
    if (rc < 0)
        *committed = false;
    handle->seen = qp_txn_newest(handle->log);
    return rc;
}

/* ---- lead ---- */

/* The lock is ours: may anything be written? */
static int check_store(struct qp_handle *handle, quipu_error *error)
{
    if (qp_shared_get(&handle->shared, QP_SHARED_POISONED) && !QP_MUTANT(POISON_UNSEEN))
        return qp_fail(error, QUIPU_IO,
                       "a flush has failed: close the store in all processes and open it again");
    if (QP_MUTANT(REPLACED_UNSEEN))
        return QUIPU_OK;
    if (!qp_place_same(&handle->place, QP_LOG_FILE, handle->log_inode) ||
        !qp_place_same(&handle->place, QP_GUARD_FILE, handle->guard.inode) ||
        !qp_place_same(&handle->place, QP_SHARED_FILE, handle->shared.inode))
        return qp_fail(error, QUIPU_UNSAFE, "the store's files were replaced while it was open");
    return QUIPU_OK;
}

/* What failed as a whole failed for each: verdicts that were written already are taken back. */
static void fail_requests(struct qp_request *group, int rc, const quipu_error *error)
{
    if (QP_MUTANT(FAILED_TOLD_DONE))
        return;
    for (struct qp_request *request = group; rc < 0 && request != NULL; request = request->next) {
        request->status = rc;
        request->error = *error;
        request->receipt = (quipu_receipt){0};
        if (request->batch != NULL)
            request->batch->decided = false;
    }
}

/* Into the tail, in the order of positions. */
static void publish(struct qp_handle *handle, struct qp_request *group)
{
    for (const struct qp_request *request = group; request != NULL; request = request->next)
        if (was_accepted(request) && request->batch->draft_count > 0)
            qp_tail_publish(&handle->tail, request->batch, request->receipt.first_position);
}

/* Others have committed much since this process looked last: fold that now and not while holding
 * the store lock. A failure will be met again, by who can tell it. */
static void catch_up(struct qp_handle *handle)
{
    uint64_t newest = qp_txn_newest(handle->log);

    if (newest - handle->seen < UNSEEN_COMMITS_MAX)
        return;
    (void)qp_merge_look(handle, NULL);
    handle->seen = newest;
}

/* Where the list goes on. */
static struct qp_request **end_of(struct qp_request **list)
{
    while (*list != NULL)
        list = &(*list)->next;
    return list;
}

static void join(struct group *group)
{
    struct qp_request **end = end_of(&group->own);

    group->all = group->own;
    if (group->all == NULL)
        end = &group->all;
    for (struct qp_parcel *parcel = group->parcels; parcel != NULL; parcel = parcel->next) {
        *end = parcel->first;
        end = &parcel->last->next;
    }
}

/* Each parcel ends where it ended, and so does the own list: its requests are gone once told. */
static void part(struct group *group)
{
    struct qp_request *request = group->all;
    struct qp_request *last = NULL;

    while (request != NULL && (group->parcels == NULL || request != group->parcels->first)) {
        last = request;
        request = request->next;
    }
    if (last != NULL)
        last->next = NULL;
    for (struct qp_parcel *parcel = group->parcels; parcel != NULL; parcel = parcel->next)
        parcel->last->next = NULL;
}

/* The lock is ours: who has come meanwhile is in the group. It is taken whatever has failed before:
 * it is who is told of it. Other processes' groups are not. */
static void commit_group(struct qp_handle *handle, struct group *group, bool *committed)
{
    quipu_error error = {0};
    int rc = check_store(handle, &error);

    *end_of(&group->own) = qp_queue_take(&handle->queue, QP_GROUP_BATCHES_MAX, QP_GROUP_BYTES_MAX);
    if (rc == QUIPU_OK)
        group->parcels = qp_turn_collect(handle);
    join(group);
    if (rc == QUIPU_OK && group->all != NULL) {
        rc = transact(handle, group, committed, &error);
        while (rc == QUIPU_FULL && qp_txn_grow_map(handle->log))
            rc = transact(handle, group, committed, &error);
    }
    fail_requests(group->all, rc, &error);
    qp_turn_answer(handle, group->parcels, rc == QUIPU_OK && group->planned);
}

/* The steps in this order: nothing that may take long is done while the store lock is held, and the
 * followers hear of a group of our own before this process stands back for another. After the lock
 * is given back comes the tail: other processes need not wait for our memory, and a reader that is
 * faster folds these events from the log itself. */
static void lead(struct qp_handle *handle)
{
    struct group group = {0};
    enum qp_turn turn = QP_TURN_LOCKED;
    quipu_error error = {0};
    bool committed = false;
    struct qp_hand_over hand_over = {0};
    int rc;

    assert(!handle->read_only);
    if (QP_MUTANT(ACK_EARLY)) /* only now: the last commit */
        (void)qp_store_settle(handle->log, NULL);
    catch_up(handle);
    rc = qp_merge_if_full(handle, &error);
    qp_queue_gather(&handle->queue);
    if (rc == QUIPU_OK) /* each wait for others has its own time */
        rc = qp_turn_take(handle, &group.own, &turn, &error);
    if (rc == QUIPU_OK && turn == QP_TURN_LOCKED) {
        commit_group(handle, &group, &committed);
        hand_over = qp_lock_release(handle, committed);
        if (committed)
            publish(handle, group.all);
        part(&group);
    } else if (rc < 0) {
        if (group.own == NULL)
            group.own = qp_queue_take(&handle->queue, QP_GROUP_BATCHES_MAX, QP_GROUP_BYTES_MAX);
        fail_requests(group.own, rc, &error);
    }
    qp_queue_complete(&handle->queue, group.own);
    qp_post_free(group.parcels);
    qp_lock_stand_back(handle, hand_over);
}

/* ---- commit ---- */

/* What the store's options limit, and what a step failed with when it was added. One event alone
 * may be larger than a batch may be: data_bytes_max is its limit. */
static int check_batch(const struct qp_handle *handle, const struct qp_batch *batch,
                       quipu_error *error)
{
    const quipu_options *options = &handle->options;

    if (is_within_inline(handle))
        return qp_fail(error, QUIPU_MISUSE, "an inline projection must not write to its store");
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

/* What each leader ends with: the next one leads, then the asynchronous ones are told, and a long
 * tail is merged. */
static void end_leading(struct qp_handle *handle)
{
    qp_queue_hand_on(&handle->queue);
    qp_queue_tell(&handle->queue);
    qp_merge_if_long(handle);
}

/* Wait for it. Who leads may have to do so often: there may be more than a group before it. */
static int commit_request(struct qp_handle *handle, struct qp_request *request, quipu_error *error)
{
    qp_queue_join(&handle->queue, request);
    if (request->state == QP_REQUEST_LEADING) {
        while (request->state == QP_REQUEST_LEADING)
            lead(handle);
        end_leading(handle);
    }
    assert(request->state == QP_REQUEST_TOLD);
    if (request->status < 0 && error != NULL)
        *error = request->error;
    return request->status;
}

int qp_commit(struct qp_handle *handle, struct qp_batch *batch, quipu_receipt *receipt,
              quipu_error *error)
{
    struct qp_request request = {.batch = batch};
    int rc;

    batch->decided = false;
    rc = check_batch(handle, batch, error);
    if (rc == QUIPU_OK)
        rc = commit_request(handle, &request, error);
    if (receipt != NULL)
        *receipt = request.receipt;
    return rc;
}

int qp_commit_async(struct qp_handle *handle, struct qp_request *request, quipu_error *error)
{
    int rc = check_batch(handle, request->batch, error);

    request->batch->decided = false;
    while (rc == QUIPU_OK) {
        rc = qp_queue_submit(&handle->queue, request, handle->options.async_pending_max, error);
        if (rc != QUIPU_ROW)
            return rc;
        lead(handle);
        end_leading(handle);
        rc = QUIPU_OK;
    }
    return rc;
}

int qp_commit_flush(struct qp_handle *handle, quipu_error *error)
{
    struct qp_request request = {0};
    uint64_t before;
    int rc;

    if (handle->read_only)
        return qp_fail(error, QUIPU_READ_ONLY, "the store is open for reading only");
    if (is_within_inline(handle))
        return qp_fail(error, QUIPU_MISUSE, "an inline projection must not write to its store");
    if (qp_queue_is_telling(&handle->queue))
        return qp_fail(error, QUIPU_MISUSE, "a flush within a callback would wait for itself");
    before = qp_queue_count_submitted(
        &handle->queue); /* what comes later may have nobody who leads it */
    rc = commit_request(handle, &request, error);
    qp_queue_tell(&handle->queue);
    qp_queue_wait_told(&handle->queue, before);
    return rc;
}

void qp_commit_close(struct qp_handle *handle)
{
    if (qp_queue_begin_close(&handle->queue) > 0 && !QP_MUTANT(CLOSE_FORGETS))
        (void)qp_commit_flush(handle, NULL);
    qp_queue_end_close(&handle->queue);
}
