/* emitted.c - an event that the view has passed has emitted what it makes: but for a key under
 * which it is parked there. Then whoever builds the next generation does it, and notes that in the
 * old row, in the same commit, as this generation may be given up too.
 *
 *     view's    ... mark     parked: key a, position 7        not emitted for a
 *     beside    7: for a emitted now, and noted there, part by part; for all other keys in silence
 *               parked again: its row says up to which part it was emitted */
#include "emitted.h"

int qp_emitted_open(struct qp_emitted *emitted, struct qp_txn *txn, quipu_error *error)
{
    if (emitted->live.generation == 0)
        return QUIPU_OK;
    return qp_cursor_open(&emitted->cursor, txn, QP_TABLE_PARKED, error);
}

void qp_emitted_close(struct qp_emitted *emitted)
{
    qp_cursor_close(&emitted->cursor);
}

/* The event's row in the view's generation, if it is parked and has not emitted. ROW: it is. One
 * whose keys could not be told stands under its stream's name, for all of them. */
static int find(struct qp_emitted *emitted, const quipu_event *event, struct qp_bytes key,
                struct qp_parked *parked, quipu_error *error)
{
    const struct qp_bytes stream = {event->stream, event->stream_size};
    int rc = qp_parked_find(&emitted->cursor, &emitted->live, key, event->position, parked, error);

    if (rc == QUIPU_OK) {
        rc = qp_parked_find(&emitted->cursor, &emitted->live, stream, event->position, parked,
                            error);
        if (rc == QUIPU_ROW && (parked->flags & QP_PARKED_UNKEYED) == 0)
            return QUIPU_OK;
    }
    return rc == QUIPU_ROW && (parked->flags & QP_PARKED_EMITTED) != 0 ? QUIPU_OK : rc;
}

int qp_emitted_begin(struct qp_emitted *emitted, const quipu_event *event, struct qp_bytes key,
                     uint32_t part, quipu_error *error)
{
    struct qp_parked parked;
    int rc = QUIPU_OK;

    emitted->from = event->position <= emitted->upto ? UINT32_MAX : 0;
    if (emitted->from > 0 && emitted->live.generation != 0)
        rc = find(emitted, event, key, &parked, error);
    if (rc == QUIPU_ROW)
        emitted->from = parked.part > parked.emitted ? parked.part : parked.emitted;
    emitted->silent = part < emitted->from;
    return rc < 0 ? rc : QUIPU_OK;
}

int qp_emitted_end(struct qp_emitted *emitted, const quipu_event *event, struct qp_bytes key,
                   uint32_t part, struct qp_batch *batch, quipu_error *error)
{
    struct qp_parked parked;
    int rc;

    if (emitted->silent || event->position > emitted->upto)
        return QUIPU_OK;
    rc = find(emitted, event, key, &parked, error);
    if (rc != QUIPU_ROW)
        return rc;
    if ((parked.flags & QP_PARKED_UNKEYED) != 0)
        parked.flags |= QP_PARKED_EMITTED;
    else
        parked.emitted = part + 1;
    return qp_parked_effect(batch, &emitted->live, &parked, false, error);
}
