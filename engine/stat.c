/* stat.c - counted, not estimated: all figures are of one moment. No record is read for them but
 * the first and the last: what is to be counted, the index and the tables have counted already.
 * Readers of dead processes are cleared first: what they kept is free, and they are not counted. */
#include "stat.h"

#include "moment.h"
#include "status.h"

#include <assert.h>
#include <string.h>

/* A stream is new if its first version stands here. One whose first record is damaged is not
 * counted before it is in the index. */
static bool count_new(void *payload, const struct qp_tail_term *term)
{
    uint64_t *streams = payload;

    if (term->first == 1)
        (*streams)++;
    return true;
}

/* A damaged end has no times; the other figures are right all the same. */
static void look_at_ends(struct qp_moment *moment, quipu_stat *out)
{
    struct qp_record record;

    if (out->head == 0)
        return;
    if (qp_log_get(&moment->log, 1, &record, NULL) == QUIPU_ROW)
        out->first_time_ns = record.time_ns;
    if (qp_log_get(&moment->log, out->head, &record, NULL) == QUIPU_ROW) {
        out->last_time_ns = record.time_ns;
        out->chain = record.chain;
    }
}

int qp_stat(struct qp_handle *handle, quipu_stat *out, quipu_error *error)
{
    struct qp_moment *moment;
    struct qp_txn_stat log;
    struct qp_txn_stat index = {0};
    int rc;

    qp_store_clear_readers(handle->log);
    if (handle->index != NULL)
        qp_store_clear_readers(handle->index);
    rc = qp_moment_begin(handle, true, &moment, error);
    if (rc < 0)
        return rc;
    rc = qp_txn_stat(&moment->log_txn, &log, error);
    if (rc == QUIPU_OK && handle->index != NULL)
        rc = qp_txn_stat(&moment->index_txn, &index, error);
    if (rc < 0)
        goto done;
    assert(moment->txn == &moment->log_txn && moment->pin.indexed <= moment->pin.head);
    /* The index has counted its streams; the tail adds those that begin in it. */
    out->streams = moment->indexed.streams;
    (void)qp_tail_each(&handle->tail, &moment->pin, QP_TERM_STREAM, (struct qp_bytes){0}, count_new,
                       &out->streams);
    out->format = QP_FORMAT_LOG;
    out->events = qp_table_rows(moment->txn, QP_TABLE_LOG);
    out->head = moment->pin.head;
    out->indexed = moment->pin.indexed;
    out->log_bytes = log.file_bytes;
    out->index_bytes = index.file_bytes;
    out->tail_events = moment->pin.head - moment->pin.indexed;
    out->oldest_reader_lag = log.oldest_reader_lag;
    out->oldest_reader_pid = log.oldest_reader_pid;
    out->oldest_reader_since_ns = qp_shared_reading(&handle->shared, log.oldest_reader_pid);
    out->readers = log.readers;
    out->free_bytes = log.free_bytes;
    memcpy(out->uuid, handle->uuid, sizeof(out->uuid));
    if (handle->index != NULL)
        out->snapshots = qp_table_rows(&moment->index_txn, QP_TABLE_SNAPSHOTS);
    out->snapshots_used = atomic_load(&handle->snapshots_used);
    for (int i = 0; i < QP_IGNORED_KINDS; i++)
        out->snapshots_ignored += atomic_load(&handle->snapshots_ignored[i]);
    look_at_ends(moment, out);

done:
    qp_moment_end(moment);
    return rc;
}
