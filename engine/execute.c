/* execute.c - a command, decided on what its stream is now.
 *
 *     load --> decide --> check of the version that was loaded, as the last step --> commit
 *      ^                                                                               |
 *      +------------------------------- CONFLICT: from the beginning ------------------+
 *
 * Conditions see the store before the batch, so the check says nothing of the batch's own appends,
 * which need none. Holds no lock and no snapshot while it decides: the application may take its
 * time, and may call the store. Owns the state of each attempt. A snapshot that a load found due is
 * saved when all is over, so that no command waits for it before its commit. */
#include "execute.h"

#include "clock.h"
#include "commit.h"
#include "load.h"
#include "memory.h"
#include "status.h"
#include "sum.h"

#include <assert.h>

#define PAUSE_NS       UINT64_C(50000) /* after the first conflict less than two of it */
#define PAUSES_GROWING 10              /* then the window is 51 ms */

/* As load.c has it for a fold's functions: a refusal without a text gets one, and what a callback
 * writes and then returns 0 is no error. */
static int decide(const struct qp_decision *decision, const void *state, uint64_t version,
                  quipu_error *error)
{
    quipu_error own = {0};
    int rc = decision->call(decision->payload, state, version, &own);

    if (rc == QUIPU_OK || rc == QUIPU_ROW)
        return rc;
    if (rc > 0)
        return qp_fail(error, QUIPU_MISUSE, "decide returned %d", rc);
    if (own.text[0] == '\0')
        return qp_fail(error, rc, "decide returned %d at %.100s version %llu", rc, decision->stream,
                       (unsigned long long)version);
    own.status = rc;
    if (error != NULL)
        *error = own;
    return rc;
}

/* The batch has copied what it is to write: the state is not needed for the commit. Returns: ROW:
 * done without one. */
static int load_and_decide(struct qp_load *load, const struct qp_decision *decision,
                           uint64_t *version, quipu_error *error)
{
    const quipu_fold *fold = decision->fold;
    void *state = qp_resize(NULL, fold->state_size > 0 ? fold->state_size : 1);
    int rc;

    if (state == NULL)
        return qp_fail_memory(error);
    rc = qp_load_run(load, state, version, error); /* or releases it */
    if (rc == QUIPU_OK) {
        rc = decide(decision, state, *version, error);
        if (fold->release != NULL)
            fold->release(state, fold->payload);
    }
    qp_free(state);
    return rc;
}

static int attempt(struct qp_load *load, const struct qp_decision *decision, quipu_receipt *receipt,
                   bool *sent, quipu_error *error)
{
    uint64_t version = 0;
    int rc;

    *receipt = (quipu_receipt){0};
    *sent = false;
    qp_batch_clear(decision->batch);
    rc = load_and_decide(load, decision, &version, error);
    if (rc != QUIPU_OK)
        return rc;
    /* If it fails the batch remembers that, and the commit says so. */
    (void)qp_batch_append(decision->batch, decision->stream, version, NULL, 0);
    *sent = true;
    return qp_commit(load->handle, decision->batch, receipt, error);
}

/* Of n that decide on one stream at once one wins a round, and without a pause all others meet
 * again in the next. So each stands back for a time of its own, which grows with its failures: of
 * 32 threads that kept at one stream a quarter gave up after 16 attempts without it. */
static void stand_back(uint32_t failures)
{
    uint64_t window = PAUSE_NS << (failures < PAUSES_GROWING ? failures : PAUSES_GROWING);
    int64_t now = qp_clock_monotonic_ns();
    const void *self = &now; /* another one in each thread */
    uint64_t chance = qp_sum(&now, sizeof(now), (uint64_t)(uintptr_t)self);

    qp_clock_sleep_ns((int64_t)(chance % window));
}

/* A conflict is the commit's: one that `decide` returns is its last word. */
int qp_execute(struct qp_handle *handle, const struct qp_decision *decision, quipu_receipt *receipt,
               quipu_error *error)
{
    struct qp_load load;
    quipu_error why = {0};
    bool sent = true;
    int rc = QUIPU_CONFLICT;

    assert(decision->attempts > 0);
    qp_load_init(&load, handle, decision->fold, decision->stream, NULL);
    for (uint32_t i = 0; i < decision->attempts && sent && rc == QUIPU_CONFLICT; i++) {
        if (i > 0)
            stand_back(i);
        rc = attempt(&load, decision, receipt, &sent, &why);
    }
    qp_keep_save(&load.keep);
    qp_load_release(&load);
    if (rc == QUIPU_ROW)
        return QUIPU_OK;
    if (rc < 0 && error != NULL)
        *error = why; /* not before: an attempt that fails is no failure yet */
    return rc;
}
