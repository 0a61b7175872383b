/* fold.c - folds, and what is decided on them: everything about a fold is checked here, before any
 * of its functions is called. */
#include "execute.h"
#include "handles.h"
#include "load.h"
#include "quipu.h"
#include "status.h"
#include "text.h"

static int check_fold(const quipu_fold *given, quipu_fold *fold, quipu_error *error)
{
    size_t size;
    int rc;

    if (given == NULL)
        return qp_fail(error, QUIPU_MISUSE, "the fold is NULL");
    rc = qp_struct_in(given, sizeof(*fold), fold, "quipu_fold", error);
    if (rc == QUIPU_OK)
        rc = qp_text_name(fold->name, QP_OWNER_NAME_MAX, "a fold's name", &size, error);
    if (rc < 0)
        return rc;
    if (fold->apply == NULL)
        return qp_fail(error, QUIPU_MISUSE, "fold %s has no apply", fold->name);
    if ((fold->save == NULL) != (fold->load == NULL))
        return qp_fail(error, QUIPU_MISUSE, "fold %s has one of save and load without the other",
                       fold->name);
    if (qp_keep_asks(fold) && !qp_keep_can(fold))
        return qp_fail(error, QUIPU_MISUSE,
                       "fold %s has release: for snapshots it needs save and load", fold->name);
    return QUIPU_OK;
}

static int check_point(const quipu_point *at, quipu_error *error)
{
    if (at == NULL)
        return QUIPU_OK;
    if (at->kind > QUIPU_AT_RECORDED || at->reserved != 0)
        return qp_fail(error, QUIPU_MISUSE, "unknown kind of point: %u", at->kind);
    if ((at->kind == QUIPU_AT_VERSION || at->kind == QUIPU_AT_POSITION) && at->value < 0)
        return qp_fail(error, QUIPU_MISUSE, "a version or position is negative");
    return QUIPU_OK;
}

int qp_api_check_fold(const quipu_fold *fold, const char *stream, quipu_fold *own,
                      quipu_error *error)
{
    size_t size;
    int rc = check_fold(fold, own, error);

    return rc == QUIPU_OK ? qp_text_name(stream, QP_NAME_MAX, "a stream", &size, error) : rc;
}

int quipu_load(quipu *store, const quipu_fold *fold, const char *stream, const quipu_point *at,
               void *state, uint64_t *version, quipu_error *error)
{
    quipu_fold own;
    uint64_t reached = 0;
    int rc = qp_api_enter(store, error);

    if (rc == QUIPU_OK)
        rc = qp_api_check_fold(fold, stream, &own, error);
    if (rc == QUIPU_OK)
        rc = check_point(at, error);
    if (rc == QUIPU_OK && state == NULL)
        rc = qp_fail(error, QUIPU_MISUSE, "state is NULL");
    if (rc == QUIPU_OK)
        rc = qp_load(store->handle, &own, stream, at, state, &reached, error);
    if (version != NULL)
        *version = reached;
    return rc;
}

/* ---- execute ---- */

/* The engine knows nothing of the public handle that `decide` gets. */
struct deciding {
    quipu_decide_fn decide;
    void *payload;
    quipu_batch batch;
};

static int call_decide(void *payload, const void *state, uint64_t version, quipu_error *error)
{
    struct deciding *deciding = payload;

    return deciding->decide(state, version, &deciding->batch, deciding->payload, error);
}

/* A commit from its first look at the store to its end, so that a close waits for all of it. */
int quipu_execute(quipu *store, const quipu_fold *fold, const char *stream, quipu_decide_fn decide,
                  void *payload, uint32_t attempts, quipu_receipt *receipt, quipu_error *error)
{
    struct deciding deciding = {.decide = decide, .payload = payload};
    struct qp_decision decision = {.stream = stream,
                                   .attempts = attempts > 0 ? attempts : QP_ATTEMPTS_DEFAULT,
                                   .call = call_decide,
                                   .payload = &deciding,
                                   .batch = &deciding.batch.batch};
    quipu_receipt own_receipt = {0};
    quipu_fold own;
    int rc = qp_api_begin_commit(store, error);

    if (receipt != NULL)
        *receipt = own_receipt;
    if (rc < 0)
        return rc;
    rc = qp_api_check_fold(fold, stream, &own, error);
    if (rc == QUIPU_OK && decide == NULL)
        rc = qp_fail(error, QUIPU_MISUSE, "decide is NULL");
    decision.fold = &own;
    if (rc == QUIPU_OK)
        rc = qp_execute(store->handle, &decision, &own_receipt, error);
    qp_api_end_commit(store);
    qp_batch_release(decision.batch);
    if (receipt != NULL)
        *receipt = own_receipt;
    return rc;
}
