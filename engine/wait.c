/* wait.c - looks each millisecond. The number of LMDB's newest transaction is two loads from the
 * map, and is the same as long as nobody has committed; only another one is worth a snapshot.
 *
 * The number that is compared is the snapshot's own, not the one that was seen before it was taken:
 * while a commit flushes its meta page, that page has its number already and no snapshot has it
 * yet. Until then each look takes a snapshot that is as old as the last one. */
#include "wait.h"

#include "clock.h"
#include "moment.h"

/* `*seen` is the transaction that the head was read in. */
static int look(struct qp_handle *handle, uint64_t *seen, uint64_t *head, quipu_error *error)
{
    struct qp_moment *moment = NULL;
    int rc = qp_moment_begin(handle, true, &moment, error);

    if (rc < 0)
        return rc;
    *seen = qp_txn_number(moment->txn);
    *head = moment->pin.head;
    qp_moment_end(moment);
    return QUIPU_OK;
}

int qp_wait(struct qp_handle *handle, uint64_t after, int64_t deadline_ns, qp_wait_fn ask,
            void *payload, uint64_t *head, quipu_error *error)
{
    uint64_t seen = 0;
    int rc = look(handle, &seen, head, error);

    while (rc == QUIPU_OK && *head <= after && qp_clock_monotonic_ns() < deadline_ns) {
        qp_clock_sleep_ms(1); /* 0.1 % of a processor; a commit takes about as long */
        rc = ask(payload, error);
        if (rc == QUIPU_OK && qp_store_newest(handle->log) != seen)
            rc = look(handle, &seen, head, error);
    }
    if (rc < 0)
        return rc;
    return *head > after ? QUIPU_ROW : QUIPU_OK;
}
