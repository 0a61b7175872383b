/* moment.c - the index first, then the log: in this order indexed <= head. Transactions at rest
 * keep their reader slots: LMDB makes them anew for a price, renewing is nearly free.
 *
 *     time ---->   index snapshot: indexed    log snapshot: head    tail: pinned
 *
 *     log          1 ............ indexed .................. head ...... (what came later)
 *     index        |--- terms ------|
 *     tail                 base --- pinned segments ---------- top
 *
 * The index takes from the log only what is durable, and a later look at the log sees no less: so
 * indexed <= head. base <= indexed is not sure: a merge in between may have let the tail go. Then
 * there is a newer index, and one looks again. */
#include "moment.h"

#include "status.h"
#include "streams.h"

#include <assert.h>

/* Since when is something pinned? Other processes may ask. Under the pool's lock, as what follows.
 */
static void tell_oldest(struct qp_handle *handle)
{
    qp_shared_set_reading(&handle->shared, handle->oldest != NULL ? handle->oldest->began_ns : 0);
}

static void link_moment(struct qp_handle *handle, struct qp_moment *moment)
{
    moment->began_ns = qp_shared_now_ns(&handle->shared);
    moment->next = NULL;
    moment->older = handle->newest;
    if (handle->newest != NULL)
        handle->newest->next = moment;
    else
        handle->oldest = moment;
    handle->newest = moment;
    if (handle->oldest == moment)
        tell_oldest(handle);
}

static void unlink_moment(struct qp_handle *handle, struct qp_moment *moment)
{
    bool was_oldest = handle->oldest == moment;

    if (moment->older != NULL)
        moment->older->next = moment->next;
    else
        handle->oldest = moment->next;
    if (moment->next != NULL)
        moment->next->older = moment->older;
    else
        handle->newest = moment->older;
    if (was_oldest)
        tell_oldest(handle);
}

/* One that rests, or a new one; NULL if memory is out. */
static struct qp_moment *from_pool(struct qp_handle *handle)
{
    struct qp_moment *moment;

    (void)pthread_mutex_lock(&handle->pool_lock);
    moment = handle->pool;
    if (moment != NULL) {
        handle->pool = moment->next;
        handle->pool_count--;
    } else {
        moment = qp_zalloc(sizeof(*moment));
    }
    if (moment != NULL) {
        moment->handle = handle;
        link_moment(handle, moment);
    }
    (void)pthread_mutex_unlock(&handle->pool_lock);
    assert(moment == NULL || moment->txn == NULL);
    return moment;
}

static void destroy(struct qp_moment *moment)
{
    qp_log_close(&moment->log);
    qp_txn_end(&moment->index_txn);
    qp_txn_end(&moment->log_txn);
    qp_free(moment);
}

/* A few rest: more would keep slots from other threads and processes. */
static void to_pool(struct qp_moment *moment)
{
    struct qp_handle *handle = moment->handle;
    unsigned most = handle->options.readers_max / 8;
    bool rests;

    assert(moment->txn == NULL && moment->pin.first == NULL);
    (void)pthread_mutex_lock(&handle->pool_lock);
    unlink_moment(handle, moment);
    rests = handle->pool_count < (most < QP_POOL_MAX ? most : QP_POOL_MAX);
    if (rests) {
        handle->pool_count++;
        moment->next = handle->pool;
        handle->pool = moment;
    }
    (void)pthread_mutex_unlock(&handle->pool_lock);
    if (!rests)
        destroy(moment);
}

/* By who closes the handle, when nobody else uses it: no lock. */
void qp_moment_drain(struct qp_handle *handle)
{
    while (handle->pool != NULL) {
        struct qp_moment *moment = handle->pool;

        handle->pool = moment->next;
        handle->pool_count--;
        destroy(moment);
    }
}

/* A new snapshot of the index: its `indexed`, 0 without an index. */
static int look_at_index(struct qp_moment *moment, quipu_error *error)
{
    int rc;

    moment->indexed = (struct qp_indexed){0};
    if (moment->handle->index == NULL)
        return QUIPU_OK;
    qp_txn_reset(&moment->index_txn);
    rc = qp_txn_begin_read(moment->handle->index, &moment->index_txn, error);
    return rc == QUIPU_OK ? qp_index_indexed(&moment->index_txn, &moment->indexed, error) : rc;
}

/* The moment's cursor into its transaction of the log, and what it sees there. */
static int look_at_log(struct qp_moment *moment, bool check, uint64_t *head, quipu_error *error)
{
    int rc = qp_log_open(&moment->log, moment->txn, check, error);

    if (rc < 0)
        return rc;
    moment->streams_any = qp_streams_any(moment->txn);
    return qp_log_edge(&moment->log, head, error);
}

/* Returns: ROW: pinned; OK: somebody has merged meanwhile, a newer snapshot of the index is to be
 * had; CORRUPT; as qp_tail_pin(). */
static int pin_tail(struct qp_moment *moment, uint64_t head, quipu_error *error)
{
    if (moment->indexed.position > head)
        return qp_fail(error, QUIPU_CORRUPT, "the index is ahead of the log: %llu > %llu",
                       (unsigned long long)moment->indexed.position, (unsigned long long)head);
    return qp_tail_pin(&moment->handle->tail, moment->indexed.position, head, &moment->log,
                       &moment->pin, error);
}

/* Both snapshots anew each time: to a newer one of the index the log's may be too old. Each time
 * round somebody has merged meanwhile, so that it ends. */
static int begin_read(struct qp_moment *moment, bool check, quipu_error *error)
{
    uint64_t head = 0;
    int rc;

    moment->txn = &moment->log_txn;
    for (;;) {
        if (QP_MUTANT(LOG_FIRST))
            (void)qp_txn_begin_read(moment->handle->log, &moment->log_txn, error);
        QP_MUTANT_PAUSE(LOG_FIRST);
        rc = look_at_index(moment, error);
        if (rc < 0)
            return rc;
        if (!QP_MUTANT(LOG_FIRST))
            rc = qp_txn_begin_read(moment->handle->log, &moment->log_txn, error);
        if (rc == QUIPU_OK)
            rc = look_at_log(moment, check, &head, error);
        if (rc < 0)
            return rc;
        rc = pin_tail(moment, head, error);
        if (rc != QUIPU_OK)
            return rc == QUIPU_ROW ? QUIPU_OK : rc;
        qp_txn_reset(&moment->log_txn);
    }
}

/* On failure it goes back to the pool like any other: half a moment is ended like a whole one. */
int qp_moment_begin(struct qp_handle *handle, bool check, struct qp_moment **out,
                    quipu_error *error)
{
    struct qp_moment *moment = from_pool(handle);
    int rc;

    *out = NULL;
    if (moment == NULL)
        return qp_fail_memory(error);
    rc = begin_read(moment, check, error);
    if (rc < 0)
        qp_moment_end(moment);
    else
        *out = moment;
    return rc;
}

int qp_moment_begin_writing(struct qp_handle *handle, struct qp_txn *txn, struct qp_moment **out,
                            quipu_error *error)
{
    struct qp_moment *moment = from_pool(handle);
    uint64_t head = 0;
    int rc;

    *out = NULL;
    if (moment == NULL)
        return qp_fail_memory(error);
    assert(txn->writing);
    moment->txn = txn;
    qp_cursor_close(&moment->log.cursor); /* a reader's cursor cannot be renewed for a writer */
    rc = look_at_log(moment, true, &head, error);
    /* The head is fixed: nobody else writes. Only the index is looked at again, and cannot get
     * ahead of what is committed. */
    while (rc == QUIPU_OK) {
        rc = look_at_index(moment, error);
        if (rc == QUIPU_OK)
            rc = pin_tail(moment, head, error);
    }
    if (rc < 0)
        qp_moment_end(moment);
    else
        *out = moment;
    return rc < 0 ? rc : QUIPU_OK;
}

int qp_moment_glance(struct qp_handle *handle, struct qp_glance *out, quipu_error *error)
{
    struct qp_moment *moment = from_pool(handle);
    uint64_t head = 0;
    int rc;

    if (moment == NULL)
        return qp_fail_memory(error);
    moment->txn = &moment->log_txn;
    rc = qp_txn_begin_read(handle->log, &moment->log_txn, error);
    if (rc == QUIPU_OK)
        rc = look_at_log(moment, true, &head, error);
    if (rc == QUIPU_OK)
        *out = (struct qp_glance){.transaction = qp_txn_number(moment->txn), .head = head};
    qp_moment_end(moment);
    return rc;
}

/* A reader's cursor and transactions stay, at rest. A writer's cursor must go: LMDB frees it with
 * its transaction, which is not ours to end. */
void qp_moment_end(struct qp_moment *moment)
{
    if (moment == NULL)
        return;
    qp_tail_unpin(&moment->handle->tail, &moment->pin);
    moment->pin = (struct qp_pin){0};
    if (moment->txn != &moment->log_txn)
        qp_cursor_close(&moment->log.cursor); /* before its transaction ends */
    qp_txn_reset(&moment->index_txn);
    qp_txn_reset(&moment->log_txn);
    moment->txn = NULL;
    if (moment->log.assembly.capacity > QP_MIB)
        qp_buffer_release(&moment->log.assembly); /* one huge event must not stay for ever */
    to_pool(moment);
}

int qp_moment_stream(struct qp_moment *moment, struct qp_bytes stream, struct qp_stream_edge *edge,
                     quipu_error *error)
{
    struct qp_stream_row state;
    struct qp_term_row row;
    struct qp_key key;
    int rc = QUIPU_OK;

    assert(moment->txn != NULL);
    /* The tail's entries are newer than all of the index's: if it has the stream, its say is
     * enough. */
    *edge = (struct qp_stream_edge){0};
    qp_key_term(&key, QP_TERM_STREAM, stream);
    if (!qp_tail_newest(&moment->handle->tail, &moment->pin, &key, &edge->newest,
                        &edge->position) &&
        moment->handle->index != NULL)
        rc = qp_index_term(&moment->index_txn, qp_key_bytes(&key), &row, error);
    if (rc == QUIPU_ROW) {
        edge->newest = row.first + row.count - 1;
        edge->position = row.last_position;
    }
    if (rc >= 0)
        rc = qp_streams_get(moment->txn, moment->streams_any, stream, &state, error);
    if (rc == QUIPU_ROW && state.first_kept > 0)
        edge->hidden = state.first_kept - 1;
    if (rc == QUIPU_ROW)
        edge->owner = state.owner;
    return rc < 0 ? rc : QUIPU_OK;
}

/* In the tail's part or in the index's: either may hide an event of any stream. */
bool qp_moment_damaged(const struct qp_moment *moment)
{
    return (moment->pin.damaged || moment->indexed.damaged > 0) && !QP_MUTANT(DAMAGE_UNSEEN);
}
