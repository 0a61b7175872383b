/* control.c - each order is a change of the row, proposed as a runner proposes its pages: whoever
 * runs the projection sees at its next commit that the row is another, and looks again. So an order
 * holds whatever a runner does just then, and a page that was folded before it is folded again.
 *
 * Parked events are rows of their own; a thousand of them are changed in a commit. */
#include "control.h"

#include "clean.h"
#include "commit.h"
#include "emitted.h"
#include "lease.h"
#include "projections.h"
#include "status.h"

enum { TRIES_MAX = 1000 /* against a runner that commits page after page */ };

/* One try. */
struct order {
    struct qp_handle *handle;
    struct qp_bytes name;
    const struct qp_bytes *key;
    struct qp_txn txn;
    struct qp_projection_row row;
    struct qp_batch batch;
    struct qp_emitted emitted;
    bool more;  /* another commit is needed */
    bool begun; /* it is not the first */
    bool gone;  /* the row goes */
    bool done;  /* by somebody else: who runs a projection that is deleted clears its rows too */
};

/* ---- parked events ---- */

static struct qp_view_place place_of(const struct order *order)
{
    return (struct qp_view_place){order->name, order->row.generation};
}

static int put_parked(struct order *order, const struct qp_parked *parked, bool deletes,
                      quipu_error *error)
{
    const struct qp_view_place place = place_of(order);
    int rc = qp_parked_effect(&order->batch, &place, parked, deletes, error);

    if (!deletes || rc < 0)
        return rc;
    order->row.parked--;
    return qp_emitted_forget(&order->emitted, parked, &order->batch, error);
}

static int not_parked(const struct order *order, quipu_error *error)
{
    return qp_fail(error, QUIPU_NOT_FOUND, "projection %.*s has no such parked events",
                   (int)order->name.size, (const char *)order->name.data);
}

/* The first of a key. */
static int first_parked(struct order *order, struct qp_cursor *cursor, struct qp_parked *parked,
                        quipu_error *error)
{
    struct qp_view_place place = place_of(order);
    int rc = qp_parked_first(cursor, &place, *order->key, parked, error);

    return rc == QUIPU_OK ? not_parked(order, error) : rc;
}

static int mark_replay(struct order *order, struct qp_parked *parked, quipu_error *error)
{
    order->row.flags |= QP_PROJECTION_REPLAYS;
    parked->flags |= QP_PARKED_REPLAY;
    return put_parked(order, parked, false, error);
}

/* Of each key the first, if it was not marked before. */
static int mark_all(struct order *order, struct qp_cursor *cursor, quipu_error *error)
{
    struct qp_view_place place = place_of(order);
    struct qp_bytes last = {0};
    struct qp_parked parked;
    size_t count = 0;
    int rc = qp_parked_begin(cursor, &place, &parked, error);

    if (rc == QUIPU_ROW) /* also if all of them are marked */
        order->row.flags |= QP_PROJECTION_REPLAYS;
    while (rc == QUIPU_ROW && count < QP_CLEAN_ROWS_MAX) {
        bool first = last.size == 0 || !qp_bytes_equal(last, parked.key);

        last = parked.key;
        if (first && (parked.flags & QP_PARKED_REPLAY) == 0) {
            rc = mark_replay(order, &parked, error);
            count++;
        }
        if (rc >= 0)
            rc = qp_parked_next(cursor, &place, &parked, error);
    }
    order->more = count == QP_CLEAN_ROWS_MAX;
    return rc < 0 ? rc : QUIPU_OK;
}

static int replay(struct order *order, struct qp_cursor *cursor, quipu_error *error)
{
    struct qp_parked parked;
    int rc;

    if (order->key == NULL) {
        if (order->row.parked == 0 && (order->row.flags & QP_PROJECTION_STOPPED) == 0 &&
            !order->begun) /* a runner may have tried them all between two commits of ours */
            return not_parked(order, error);
        order->row.flags &= ~(uint32_t)QP_PROJECTION_STOPPED;
        return mark_all(order, cursor, error);
    }
    rc = first_parked(order, cursor, &parked, error);
    return rc < 0 ? rc : mark_replay(order, &parked, error);
}

/* What is skipped was looked at by somebody: so a key is named, and its first event alone goes. */
static int skip(struct order *order, struct qp_cursor *cursor, quipu_error *error)
{
    struct qp_parked parked;
    int rc;

    if (order->key != NULL) {
        rc = first_parked(order, cursor, &parked, error);
        return rc < 0 ? rc : put_parked(order, &parked, true, error);
    }
    if ((order->row.flags & QP_PROJECTION_STOPPED) == 0)
        return qp_fail(error, QUIPU_MISUSE, "which key is to be skipped?");
    if (order->row.building != 0)
        order->row.building_mark = order->row.fault_position;
    else
        order->row.mark = order->row.fault_position;
    if (order->row.emitted < order->row.fault_position)
        order->row.emitted = order->row.fault_position; /* what it would have: for ever */
    order->row.flags &= ~(uint32_t)QP_PROJECTION_STOPPED;
    return qp_emitted_forget_event(&order->emitted, order->row.fault_position, &order->batch,
                                   error);
}

/* The first must have been skipped: or it would fail again, and who said this means to lose it. */
static int drain(struct order *order, struct qp_cursor *cursor, quipu_error *error)
{
    struct qp_parked parked;
    int rc;

    if (order->key == NULL)
        return qp_fail(error, QUIPU_MISUSE, "which key is to be drained?");
    rc = first_parked(order, cursor, &parked, error);
    if (rc < 0)
        return rc;
    if ((parked.flags & QP_PARKED_FAILED) != 0) {
        return qp_fail(error, QUIPU_CONFLICT,
                       "the key's first event, at position %llu, has failed: skip it first",
                       (unsigned long long)parked.position);
    }
    return mark_replay(order, &parked, error);
}

static int drop(struct order *order, struct qp_cursor *cursor, quipu_error *error)
{
    struct qp_view_place place = place_of(order);
    struct qp_parked parked;
    size_t count = 0;
    int rc;

    if (order->key != NULL)
        rc = qp_parked_first(cursor, &place, *order->key, &parked, error);
    else
        rc = qp_parked_begin(cursor, &place, &parked, error);
    if (rc == QUIPU_OK && !order->begun)
        return not_parked(order, error);
    order->begun = true;
    while (rc == QUIPU_ROW && count < QP_CLEAN_ROWS_MAX) {
        if (order->key != NULL && !qp_bytes_equal(*order->key, parked.key))
            break;
        count++;
        rc = put_parked(order, &parked, true, error);
        if (rc == QUIPU_OK)
            rc = qp_parked_next(cursor, &place, &parked, error);
    }
    order->more = count == QP_CLEAN_ROWS_MAX;
    return rc < 0 ? rc : QUIPU_OK;
}

/* ---- the projection itself ---- */

static int rewind_to(struct order *order, int64_t value, quipu_error *error)
{
    if (value != 0)
        return qp_fail(error, QUIPU_MISUSE,
                       "a projection is rebuilt from the first event: its value is 0");
    order->row.flags |= QP_PROJECTION_REBUILDS;
    order->row.flags &= ~(uint32_t)QP_PROJECTION_STOPPED;
    return QUIPU_OK;
}

/* Nobody sees it from the first commit on; its rows go a thousand at a time, the row last. */
static int delete_it(struct order *order, quipu_error *error)
{
    size_t count = 0;
    int rc = QUIPU_OK;

    if ((order->row.flags & QP_PROJECTION_DELETED) != 0)
        rc = qp_clean_find(&order->txn, order->name, 0, 0, &order->batch, &count, error);
    order->gone = (order->row.flags & QP_PROJECTION_DELETED) != 0 && count == 0;
    order->more = !order->gone;
    order->row.flags |= QP_PROJECTION_DELETED;
    qp_lease_let_go(&order->row);
    return rc;
}

static int change(struct order *order, int control, int64_t value, struct qp_cursor *cursor,
                  quipu_error *error)
{
    switch (control) {
    case QUIPU_PAUSE:
        order->row.flags |= QP_PROJECTION_PAUSED;
        return QUIPU_OK;
    case QUIPU_RESUME:
        order->row.flags &= ~(uint32_t)(QP_PROJECTION_PAUSED | QP_PROJECTION_STOPPED);
        return QUIPU_OK;
    case QUIPU_REWIND:
        return rewind_to(order, value, error);
    case QUIPU_DROP:
        return drop(order, cursor, error);
    case QUIPU_REPLAY:
        return replay(order, cursor, error);
    case QUIPU_SKIP:
        return skip(order, cursor, error);
    case QUIPU_DRAIN:
        return drain(order, cursor, error);
    case QUIPU_DELETE:
        return delete_it(order, error);
    default:
        return qp_fail(error, QUIPU_MISUSE, "a projection knows no order %d", control);
    }
}

/* ---- one try ---- */

static int prepare(struct order *order, int control, int64_t value, quipu_error *error)
{
    uint8_t row[QP_PROJECTION_ROW_BYTES_MAX];
    struct qp_cursor cursor = {0};
    uint64_t sequence;
    int rc = qp_txn_begin_read(order->handle->log, &order->txn, error);

    if (rc == QUIPU_OK)
        rc = qp_projections_get(&order->txn, order->name, &order->row, error);
    order->done = control == QUIPU_DELETE && order->begun && rc >= 0 &&
                  (order->row.flags & QP_PROJECTION_DELETED) == 0;
    if (order->done)
        return QUIPU_OK;
    if (rc == QUIPU_OK || (rc == QUIPU_ROW && control != QUIPU_DELETE &&
                           (order->row.flags & QP_PROJECTION_DELETED) != 0))
        return qp_fail(error, QUIPU_NOT_FOUND, "no projection %.*s", (int)order->name.size,
                       (const char *)order->name.data);
    if (rc < 0)
        return rc;
    sequence = order->row.sequence;
    order->emitted = (struct qp_emitted){.name = order->name, .upto = order->row.emitted};
    rc = qp_cursor_open(&cursor, &order->txn, QP_TABLE_PARKED, error);
    if (rc == QUIPU_OK)
        rc = qp_emitted_open(&order->emitted, &order->txn, error);
    if (rc == QUIPU_OK)
        rc = change(order, control, value, &cursor, error);
    qp_emitted_close(&order->emitted);
    qp_cursor_close(&cursor);
    if (rc < 0)
        return rc;
    return qp_batch_project(&order->batch, order->name, sequence, row,
                            order->gone ? 0 : qp_projection_write(&order->row, row), error);
}

int qp_control(struct qp_handle *handle, struct qp_bytes name, int control, int64_t value,
               const struct qp_bytes *key, quipu_error *error)
{
    struct order order = {.handle = handle, .name = name, .key = key, .more = true};
    quipu_error why = {0};
    int rc = QUIPU_OK;

    for (int tries = 0; order.more && rc == QUIPU_OK && tries < TRIES_MAX;) {
        order.more = false;
        qp_batch_clear(&order.batch);
        rc = prepare(&order, control, value, &why);
        qp_txn_end(&order.txn);
        if (rc < 0 || order.done)
            break;
        rc = qp_commit(handle, &order.batch, NULL, &why);
        order.begun |= rc == QUIPU_OK;
        if (rc == QUIPU_CONFLICT && ++tries < TRIES_MAX) {
            order.more = true; /* somebody was faster */
            rc = QUIPU_OK;
        }
    }
    qp_batch_release(&order.batch);
    if (rc < 0 && error != NULL)
        *error = why;
    return rc;
}
