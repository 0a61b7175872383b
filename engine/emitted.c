/* emitted.c - what a projection passes it emits, and never again. What it parks it owes: a row in
 * the table `parked`, of generation 0, beside the one of the generation that could not apply it.
 * Generations come and go; what is owed stays until one of them has emitted it, in that commit.
 *
 *     position 7, keys a and b     generation 1     applied for a, parked for b     owed: 7 for b
 *     built anew                   generation 2     applied for a in silence,
 *                                                   and for b, which is emitted     owed: nothing
 *
 * Of an event in several parts that part is noted from which on it is owed. One whose keys could
 * not be told is owed as a whole, under its stream's name, for whatever keys it comes to have.
 *
 * What a page writes here it does not see: no page comes to an event and key twice. */
#include "emitted.h"

static struct qp_view_place place_of(struct qp_bytes name)
{
    return (struct qp_view_place){name, QP_OWED_GENERATION};
}

int qp_emitted_open(struct qp_emitted *emitted, struct qp_txn *txn, quipu_error *error)
{
    const struct qp_view_place place = place_of(emitted->name);
    struct qp_parked first;
    int rc;

    if (emitted->name.size == 0)
        return QUIPU_OK;
    rc = qp_cursor_open(&emitted->cursor, txn, QP_TABLE_PARKED, error);
    if (rc == QUIPU_OK)
        rc = qp_parked_begin(&emitted->cursor, &place, &first, error);
    if (rc == QUIPU_OK)
        qp_cursor_close(&emitted->cursor);
    return rc < 0 ? rc : QUIPU_OK;
}

void qp_emitted_close(struct qp_emitted *emitted)
{
    qp_cursor_close(&emitted->cursor);
}

/* ROW: owed. */
static int find(struct qp_emitted *emitted, const quipu_event *event, struct qp_bytes key,
                bool unkeyed, struct qp_parked *owed, quipu_error *error)
{
    const struct qp_view_place place = place_of(emitted->name);
    int rc = qp_parked_find(&emitted->cursor, &place, key, event->position, owed, error);

    if (rc == QUIPU_ROW && unkeyed && (owed->flags & QP_PARKED_UNKEYED) == 0)
        rc = QUIPU_OK;
    return rc;
}

static int write(struct qp_bytes name, const struct qp_parked *owed, bool deletes,
                 struct qp_batch *batch, quipu_error *error)
{
    const struct qp_view_place place = place_of(name);

    return qp_parked_effect(batch, &place, owed, deletes, error);
}

/* It is emitted now, or owed otherwise. */
static int settle(struct qp_emitted *emitted, const quipu_event *event, struct qp_bytes key,
                  bool unkeyed, struct qp_batch *batch, quipu_error *error)
{
    struct qp_parked owed;
    int rc = find(emitted, event, key, unkeyed, &owed, error);

    return rc == QUIPU_ROW ? write(emitted->name, &owed, true, batch, error) : rc;
}

int qp_emitted_keyed_owed(struct qp_emitted *emitted, const quipu_event *event,
                          struct qp_batch *batch, quipu_error *error)
{
    const struct qp_bytes stream = {event->stream, event->stream_size};

    return settle(emitted, event, stream, true, batch, error);
}

int qp_emitted_begin_owed(struct qp_emitted *emitted, const quipu_event *event, struct qp_bytes key,
                          uint32_t part, quipu_error *error)
{
    const struct qp_bytes stream = {event->stream, event->stream_size};
    struct qp_parked owed;
    int rc = find(emitted, event, key, false, &owed, error);

    if (rc == QUIPU_OK)
        rc = find(emitted, event, stream, true, &owed, error);
    emitted->silent = rc != QUIPU_ROW || part < owed.part;
    return rc < 0 ? rc : QUIPU_OK;
}

int qp_emitted_applied_owed(struct qp_emitted *emitted, const quipu_event *event,
                            struct qp_bytes key, struct qp_batch *batch, quipu_error *error)
{
    return QP_MUTANT(OWED_KEPT) ? QUIPU_OK : settle(emitted, event, key, false, batch, error);
}

int qp_emitted_parked(struct qp_emitted *emitted, const struct qp_parked *parked,
                      struct qp_batch *batch, quipu_error *error)
{
    const struct qp_parked owed = {.key = parked->key,
                                   .position = parked->position,
                                   .flags = parked->flags & QP_PARKED_UNKEYED,
                                   .part = parked->part};
    bool silent = owed.flags == 0 ? emitted->silent : owed.position <= emitted->upto;

    if (emitted->name.size == 0 || silent || QP_MUTANT(OWED_UNNOTED))
        return QUIPU_OK;
    return write(emitted->name, &owed, false, batch, error);
}

/* They stand by key: all are looked at. */
static int forget_all(struct qp_emitted *emitted, uint64_t position, struct qp_batch *batch,
                      quipu_error *error)
{
    const struct qp_view_place place = place_of(emitted->name);
    struct qp_parked owed;
    int rc = qp_parked_begin(&emitted->cursor, &place, &owed, error);

    while (rc == QUIPU_ROW) {
        if (owed.position == position)
            rc = write(emitted->name, &owed, true, batch, error);
        if (rc >= 0)
            rc = qp_parked_next(&emitted->cursor, &place, &owed, error);
    }
    return rc;
}

/* If it was parked without keys, and is not owed so, some of its keys may be. */
int qp_emitted_forget(struct qp_emitted *emitted, const struct qp_parked *parked,
                      struct qp_batch *batch, quipu_error *error)
{
    const struct qp_view_place place = place_of(emitted->name);
    bool whole = (parked->flags & QP_PARKED_UNKEYED) != 0;
    struct qp_parked owed = {0};
    int rc;

    if (!qp_emitted_owes(emitted, parked->position) || QP_MUTANT(OWED_UNWANTED))
        return QUIPU_OK;
    rc = qp_parked_find(&emitted->cursor, &place, parked->key, parked->position, &owed, error);
    if (whole && rc >= 0 && (owed.flags & QP_PARKED_UNKEYED) == 0)
        return forget_all(emitted, parked->position, batch, error);
    return rc == QUIPU_ROW ? write(emitted->name, &owed, true, batch, error) : rc;
}

int qp_emitted_forget_event(struct qp_emitted *emitted, uint64_t position, struct qp_batch *batch,
                            quipu_error *error)
{
    if (!qp_emitted_owes(emitted, position))
        return QUIPU_OK;
    return forget_all(emitted, position, batch, error);
}

int qp_emitted_skipped(struct qp_emitted *emitted, const struct qp_parked *skipped,
                       struct qp_batch *batch, quipu_error *error)
{
    bool whole = (skipped->flags & QP_PARKED_UNKEYED) != 0;

    return emitted->silent && !whole ? QUIPU_OK : qp_emitted_forget(emitted, skipped, batch, error);
}
