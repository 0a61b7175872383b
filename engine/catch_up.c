/* catch_up.c - one loop does steps until the projection has what the log had at the first of them;
 * while another one runs it, it waits for that one's, of its own version. The other loop only looks
 * at the row. */
#include "catch_up.h"

#include "clock.h"
#include "status.h"
#include "view.h"

#define SLICE_NS (100 * QP_NS_PER_MS) /* how late it is seen that another one has died */

/* That whoever runs it still has to carry out. */
#define ORDERS (QP_PROJECTION_REPLAYS | QP_PROJECTION_REBUILDS | QP_PROJECTION_DELETED)

static int go_on(void *payload, quipu_error *error)
{
    const struct qp_run *run = payload;

    if (run->ask == NULL || run->ask(run->ask_payload))
        return QUIPU_OK;
    return qp_fail(error, QUIPU_CLOSED, "it was told to stop");
}

/* Has it what stands at `target`, and is nothing else to be done that `open` names? */
static bool has(const struct qp_run *run, uint64_t target, uint32_t open)
{
    return run->row.mark >= target && run->row.building == 0 && (run->row.flags & open) == 0 &&
           run->row.version == run->projection->version;
}

/* Somebody else runs it: is it where we want it? Else wait a little, as long as it moves. ROW: look
 * again. */
static int wait_for_other(struct qp_run *run, uint64_t target, uint64_t *sequence,
                          int64_t *deadline, quipu_error *error)
{
    int64_t now = qp_clock_monotonic_ns();
    uint64_t newest;
    int rc;

    if (has(run, target, ORDERS)) /* an older version never has */
        return QUIPU_OK;
    if (run->row.sequence != *sequence) {
        *sequence = run->row.sequence;
        *deadline = qp_clock_deadline_ns(run->handle->options.busy_timeout_ms);
    }
    if (now >= *deadline)
        return QUIPU_BUSY; /* with the text that was given */
    rc = qp_wait_commit(run->handle, run->transaction,
                        *deadline - now < SLICE_NS ? *deadline : now + SLICE_NS, go_on, run,
                        &newest, error);
    return rc < 0 ? rc : QUIPU_ROW;
}

/* When it has what was there at first it goes on to what is there then, as that may be what it has
 * emitted itself; no further, or it would never end where events come as fast as they are folded.
 */
int qp_catch_up(struct qp_run *run, qp_catch_up_fn told, void *payload, quipu_error *error)
{
    quipu_error why = {0};
    uint64_t target = 0;
    uint64_t sequence = 0;
    int64_t deadline = 0;
    bool arrived = true; /* the next step sees how far to go */
    int rounds = 0;
    int rc;

    do {
        rc = qp_run_step(run, &why);
        if (arrived) {
            target = run->head;
            rounds++;
        }
        if (rc == QUIPU_ROW && told != NULL) {
            int answer = told(payload, run);

            if (answer != 0)
                return answer < 0 ? answer : QUIPU_OK;
        }
        if (rc == QUIPU_ROW && go_on(run, &why) < 0)
            rc = QUIPU_CLOSED;
        arrived = rc == QUIPU_ROW && has(run, target, ORDERS | QP_PROJECTION_UNCLEAN);
        if (rc == QUIPU_BUSY)
            rc = wait_for_other(run, target, &sequence, &deadline, &why);
        else if (arrived && rounds == 2)
            rc = QUIPU_OK;
    } while (rc == QUIPU_ROW);
    if (rc < 0 && error != NULL)
        *error = why;
    return rc;
}

int qp_catch_up_wait(struct qp_handle *handle, struct qp_bytes name, uint64_t position,
                     int64_t deadline_ns, qp_wait_fn ask, void *payload, quipu_error *error)
{
    for (;;) {
        struct qp_projection_row row;
        uint64_t transaction = 0;
        int rc = qp_view_row(handle, name, &row, &transaction, error);

        if (rc < 0)
            return rc;
        if (rc == QUIPU_OK || (row.flags & QP_PROJECTION_DELETED) != 0)
            return qp_fail(error, QUIPU_NOT_FOUND, "no projection %.*s", (int)name.size,
                           (const char *)name.data);
        if (row.mark >= position)
            return QUIPU_ROW;
        if ((row.flags & QP_PROJECTION_STOPPED) != 0)
            return qp_projection_stopped(name, &row, error);
        rc = qp_wait_commit(handle, transaction, deadline_ns, ask, payload, &transaction, error);
        if (rc != QUIPU_ROW)
            return rc;
    }
}
