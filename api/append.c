/* append.c - batches and their commit: NULL and handles are looked at here, everything else below.
 * Calls on a batch have no `error`: the batch remembers, and the commit tells. */
#include "commit.h"
#include "handles.h"
#include "quipu.h"
#include "status.h"

quipu_batch *quipu_batch_new(void)
{
    return qp_zalloc(sizeof(struct quipu_batch));
}

void quipu_batch_clear(quipu_batch *batch)
{
    if (batch != NULL)
        qp_batch_clear(&batch->batch);
}

void quipu_batch_free(quipu_batch *batch)
{
    if (batch == NULL)
        return;
    qp_batch_release(&batch->batch);
    qp_free(batch);
}

int quipu_batch_append(quipu_batch *batch, const char *stream, uint64_t expected,
                       const quipu_draft *drafts, size_t count)
{
    if (batch == NULL)
        return QUIPU_MISUSE;
    return qp_batch_append(&batch->batch, stream, expected, drafts, count);
}

int quipu_batch_expect(quipu_batch *batch, const char *stream, uint64_t expected)
{
    return quipu_batch_append(batch, stream, expected, NULL, 0);
}

int quipu_batch_unless(quipu_batch *batch, const quipu_query *query, uint64_t after)
{
    return batch != NULL ? qp_batch_unless(&batch->batch, query, after) : QUIPU_MISUSE;
}

int quipu_batch_track(quipu_batch *batch, const char *source, uint64_t number)
{
    return batch != NULL ? qp_batch_number(&batch->batch, QP_STEP_TRACK, source, number)
                         : QUIPU_MISUSE;
}

int quipu_batch_mark(quipu_batch *batch, const char *name, uint64_t position)
{
    return batch != NULL ? qp_batch_number(&batch->batch, QP_STEP_MARK, name, position)
                         : QUIPU_MISUSE;
}

size_t quipu_batch_steps(const quipu_batch *batch)
{
    return batch != NULL ? batch->batch.step_count : 0;
}

int quipu_batch_result(const quipu_batch *batch, size_t step, quipu_result *out)
{
    if (batch == NULL || out == NULL || !batch->batch.decided || step >= batch->batch.step_count)
        return QUIPU_MISUSE;
    *out = batch->batch.steps[step].result;
    return QUIPU_OK;
}

int quipu_commit(quipu *store, quipu_batch *batch, quipu_receipt *receipt, quipu_error *error)
{
    int rc = qp_api_begin_commit(store, error);

    if (receipt != NULL)
        *receipt = (quipu_receipt){0};
    if (rc < 0)
        return rc;
    if (batch != NULL)
        rc = qp_commit(store->handle, &batch->batch, receipt, error);
    else
        rc = qp_fail(error, QUIPU_MISUSE, "the batch is NULL");
    qp_api_end_commit(store);
    return rc;
}

int quipu_append(quipu *store, const char *stream, uint64_t expected, const quipu_draft *drafts,
                 size_t count, quipu_receipt *receipt, quipu_error *error)
{
    struct qp_batch batch = {0};
    int rc = qp_api_begin_commit(store, error);

    if (receipt != NULL)
        *receipt = (quipu_receipt){0};
    if (rc < 0)
        return rc;
    (void)qp_batch_append(&batch, stream, expected, drafts, count); /* the commit returns it */
    rc = qp_commit(store->handle, &batch, receipt, error);
    qp_api_end_commit(store);
    qp_batch_release(&batch);
    return rc;
}

/* ---- asynchronous ---- */

/* The request stands in the batch's handle: no memory is needed to queue it. */
static void tell(struct qp_request *request)
{
    quipu_batch *batch =
        (quipu_batch *)(void *)((char *)request - offsetof(struct quipu_batch, request));

    batch->done(batch->payload, request->status, &request->receipt, batch, &request->error);
    quipu_batch_free(batch);
}

int quipu_commit_async(quipu *store, quipu_batch *batch, quipu_committed_fn done, void *payload,
                       quipu_error *error)
{
    int rc = qp_api_begin_commit(store, error);

    if (rc < 0)
        return rc;
    if (batch != NULL && done != NULL) {
        batch->request = (struct qp_request){.batch = &batch->batch, .done = tell};
        batch->done = done;
        batch->payload = payload;
        rc = qp_commit_async(store->handle, &batch->request, error);
    } else {
        rc = qp_fail(error, QUIPU_MISUSE, "batch and done must not be NULL");
    }
    qp_api_end_commit(store);
    return rc;
}

int quipu_flush(quipu *store, quipu_error *error)
{
    int rc = qp_api_begin_commit(store, error);

    if (rc < 0)
        return rc;
    rc = qp_commit_flush(store->handle, error);
    qp_api_end_commit(store);
    return rc;
}
