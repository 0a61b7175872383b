/* load.c - a stream's events, one after the other, as far as the asked point.
 *
 *     version          bounds the range that is read
 *     position, time   end the walk: the first event beyond is the end, whatever comes after it
 *
 * Versions ascend with positions and with `recorded`, but not with `time_ns`, which callers give:
 * so the state at a time is the longest run of versions before the first that is later. What is
 * stored decides that; the fold sees what upcasters make of it. Knows nothing of what is folded;
 * `state` is the caller's memory throughout. */
#include "load.h"

#include "event.h"
#include "reader.h"
#include "status.h"
#include "upcast.h"

#include <assert.h>
#include <string.h>

/* Does the point in time lie before this event? */
static bool is_beyond(const quipu_point *at, const quipu_event *event)
{
    switch (at->kind) {
    case QUIPU_AT_POSITION:
        return event->position > (uint64_t)at->value;
    case QUIPU_AT_TIME:
        return event->time_ns > at->value;
    case QUIPU_AT_RECORDED:
        return event->recorded_ns > at->value;
    default:
        return false; /* versions bound the range itself */
    }
}

/* A callback that fails without a text gets one. Into a record of our own first: what a callback
 * writes into it and then returns 0 must not look like an error. */
static int apply(const quipu_fold *fold, const quipu_event *event, void *state, quipu_error *error)
{
    quipu_error own = {0};
    int rc = fold->apply(state, event, fold->payload, &own);

    if (rc == QUIPU_OK)
        return rc;
    if (rc > 0)
        return qp_fail(error, QUIPU_MISUSE, "apply returned %d", rc);
    if (own.text[0] == '\0')
        return qp_fail(error, rc, "apply returned %d at %.100s version %llu", rc, event->stream,
                       (unsigned long long)event->version);
    own.status = rc;
    if (error != NULL)
        *error = own;
    return rc;
}

/* What upcasters make of it. */
static int apply_all(const quipu_fold *fold, const quipu_event *stored, struct qp_upcast *upcast,
                     void *state, quipu_error *error)
{
    const quipu_event *event;
    int rc;

    if (qp_upcast_idle(upcast))
        return apply(fold, stored, state, error);
    rc = qp_upcast_event(upcast, stored, error);
    while (rc == QUIPU_OK) {
        event = qp_upcast_next(upcast);
        if (event == NULL)
            break;
        rc = apply(fold, event, state, error);
    }
    return rc;
}

/* `*version` is that of the last event that was applied: what the state stands at. A record that
 * cannot be read ends it, as the events after it are no history without it. */
static int fold_events(struct qp_handle *handle, const quipu_fold *fold, const quipu_point *at,
                       struct qp_reader *reader, void *state, uint64_t *version, quipu_error *error)
{
    struct qp_upcast upcast;
    int rc;

    qp_upcast_begin(&upcast, &handle->upcasters, false);
    for (;;) {
        struct qp_record record;
        quipu_event event;
        uint64_t position;

        rc = qp_reader_next(reader, &position, &record, error);
        if (rc != QUIPU_ROW)
            break;
        qp_event_fill(&record, handle->uuid, position, &event);
        rc = QUIPU_OK;
        if (is_beyond(at, &event))
            break;
        rc = apply_all(fold, &event, &upcast, state, error);
        if (rc < 0)
            break;
        *version = event.version;
    }
    qp_upcast_release(&upcast);
    return rc;
}

/* If `init` fails it has cleaned up after itself: `release` is not called then. */
static int init_state(const quipu_fold *fold, void *state, quipu_error *error)
{
    int rc = QUIPU_OK;

    memset(state, 0, fold->state_size);
    if (fold->init != NULL)
        rc = fold->init(state, fold->payload);
    if (rc == QUIPU_OK)
        return rc;
    return qp_fail(error, rc < 0 ? rc : QUIPU_MISUSE, "init returned %d", rc);
}

int qp_load(struct qp_handle *handle, const quipu_fold *fold, const char *stream,
            const quipu_point *at, void *state, uint64_t *version, quipu_error *error)
{
    const quipu_point head = {.kind = QUIPU_AT_HEAD};
    struct qp_range range = {.check = true};
    struct qp_reader *reader = NULL;
    quipu_error why = {0};
    int rc = init_state(fold, state, error);

    assert(fold->apply != NULL);
    *version = 0;
    if (rc < 0)
        return rc;
    if (at == NULL)
        at = &head;
    if (at->kind == QUIPU_AT_VERSION)
        range.upto = (uint64_t)at->value;
    if (at->kind == QUIPU_AT_VERSION && at->value == 0)
        return QUIPU_OK; /* before the first event */

    /* `why` apart: that there is no such stream is no failure, and must not be told as one. */
    rc = qp_reader_open_stream(handle, stream, &range, &reader, &why);
    if (rc == QUIPU_NOT_FOUND)
        return QUIPU_OK;
    if (rc < 0 && error != NULL)
        *error = why;
    if (rc == QUIPU_OK)
        rc = fold_events(handle, fold, at, reader, state, version, error);
    qp_reader_close(reader);
    if (rc < 0 && fold->release != NULL)
        fold->release(state, fold->payload);
    return rc;
}
