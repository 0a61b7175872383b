/* load.c - a stream's events, one after the other, as far as the asked point.
 *
 *     version          bounds the range that is read
 *     position, time   end the walk: the first event beyond is the end, whatever comes after it
 *
 * Versions ascend with positions and with `recorded`, but not with `time_ns`, which callers give:
 * so the state at a time is the longest run of versions before the first that is later. What is
 * stored decides that; the fold sees what upcasters make of it. Knows nothing of what is folded;
 * `state` is the caller's memory throughout.
 *
 *     stream    1 2 3 4 5 6 7 8 9 ...
 *     snapshot        `-- a state at version 4: only 5, 6, 7 ... are read and folded
 *
 * Which snapshot that may be, and which states become snapshots, is keep.c's business. */
#include "load.h"

#include "event.h"
#include "moment.h"
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
static int fold_events(struct qp_load *load, struct qp_reader *reader, void *state,
                       uint64_t *version, quipu_error *error)
{
    struct qp_upcast upcast;
    int rc;

    qp_upcast_begin(&upcast, &load->handle->upcasters, false);
    for (;;) {
        struct qp_record record;
        quipu_event event;
        uint64_t position;

        rc = qp_reader_next(reader, &position, &record, error);
        if (rc != QUIPU_ROW)
            break;
        qp_event_fill(&record, load->handle->uuid, position, &event);
        rc = QUIPU_OK;
        if (is_beyond(&load->at, &event))
            break;
        rc = apply_all(load->fold, &event, &upcast, state, error);
        if (rc < 0)
            break;
        *version = event.version;
        qp_keep_folded(&load->keep, state, &event, record.chain);
    }
    qp_upcast_release(&upcast);
    return rc;
}

/* If `init` fails it has cleaned up after itself: `release` is not called then. */
static int init_state(struct qp_load *load, void *state, quipu_error *error)
{
    const quipu_fold *fold = load->fold;
    int rc = QUIPU_OK;

    memset(state, 0, fold->state_size);
    if (fold->init != NULL)
        rc = fold->init(state, fold->payload);
    load->live = rc == QUIPU_OK;
    if (rc == QUIPU_OK)
        return rc;
    return qp_fail(error, rc < 0 ? rc : QUIPU_MISUSE, "init returned %d", rc);
}

static void release_state(struct qp_load *load, void *state)
{
    if (load->live && load->fold->release != NULL)
        load->fold->release(state, load->fold->payload);
    load->live = false;
}

/* ---- snapshots ---- */

static bool restore(const quipu_fold *fold, const struct qp_snapshot *snapshot, void *state)
{
    if (fold->load != NULL)
        return fold->load(state, snapshot->state.data, snapshot->state.size, fold->payload) == 0;
    if (snapshot->state.size != fold->state_size)
        return false;
    if (fold->state_size > 0)
        memcpy(state, snapshot->state.data, fold->state_size);
    return true;
}

/* Bring the state to the newest snapshot that the fold can load. One that it cannot may have left
 * anything in the state: that is begun anew. Returns: ROW; OK: from the beginning. */
static int begin_at_snapshot(struct qp_load *load, struct qp_moment *moment, void *state,
                             uint64_t upto, quipu_error *error)
{
    for (;;) {
        struct qp_snapshot snapshot;
        int rc = qp_keep_find(&load->keep, moment, &load->at, upto, &snapshot, error);

        if (rc != QUIPU_ROW)
            return rc;
        if (restore(load->fold, &snapshot, state)) {
            qp_keep_begin(&load->keep, &snapshot);
            return QUIPU_ROW;
        }
        qp_keep_ignore(&load->keep, QP_IGNORED_REFUSED, &snapshot);
        if (!QP_MUTANT(STATE_KEPT)) {
            release_state(load, state);
            rc = init_state(load, state, error);
        }
        if (rc < 0)
            return rc;
        upto = snapshot.name.version - 1;
    }
}

/* What may be begun at, and what may become a snapshot: of a stream of which nothing is hidden. */
static int use_snapshots(struct qp_load *load, struct qp_moment *moment, void *state, uint64_t upto,
                         quipu_error *error)
{
    struct qp_bytes stream = load->keep.at.name.stream;
    struct qp_stream_edge edge;

    if (load->handle->index == NULL || !qp_keep_can(load->fold) || load->afresh ||
        qp_moment_stream(moment, stream, &edge, NULL) < 0 || edge.newest == 0 || edge.hidden > 0)
        return QUIPU_OK;
    load->keep.wanted = load->at.kind == QUIPU_AT_HEAD && !load->unasked &&
                        !load->handle->read_only && qp_keep_asks(load->fold);
    load->keep.newest = edge.newest;
    return begin_at_snapshot(load, moment, state, upto, error);
}

/* ---- load ---- */

void qp_load_init(struct qp_load *load, struct qp_handle *handle, const quipu_fold *fold,
                  const char *stream, const quipu_point *at)
{
    assert(fold->apply != NULL);
    *load = (struct qp_load){.handle = handle, .fold = fold, .stream = stream};
    if (at != NULL)
        load->at = *at;
    qp_keep_init(&load->keep, handle, fold, stream);
}

void qp_load_release(struct qp_load *load)
{
    qp_keep_release(&load->keep);
}

/* The state is begun. One moment for all: a snapshot is held against the log that is then read. */
static int fold_stream(struct qp_load *load, void *state, uint64_t *version, quipu_error *error)
{
    struct qp_range range = {.check = true};
    struct qp_moment *moment = NULL;
    struct qp_reader *reader = NULL;
    quipu_error why = {0};
    int rc;

    if (load->at.kind == QUIPU_AT_VERSION)
        range.upto = (uint64_t)load->at.value;
    if (load->at.kind == QUIPU_AT_VERSION && range.upto == 0)
        return QUIPU_OK; /* before the first event */
    rc = qp_moment_begin(load->handle, true, &moment, error);
    if (rc == QUIPU_OK)
        rc = use_snapshots(load, moment, state, range.upto > 0 ? range.upto : UINT64_MAX, error);
    if (rc < 0) {
        qp_moment_end(moment);
        return rc;
    }
    if (rc == QUIPU_ROW)
        *version = load->keep.at.name.version;

    /* `why` apart: that there is no such stream is no failure, and must not be told as one. */
    range.after = *version;
    rc = qp_reader_open_stream(load->handle, moment, load->stream, &range, &reader, &why);
    if (rc == QUIPU_NOT_FOUND)
        return QUIPU_OK;
    if (rc < 0 && error != NULL)
        *error = why;
    if (rc == QUIPU_OK)
        rc = fold_events(load, reader, state, version, error);
    qp_reader_close(reader);
    return rc;
}

int qp_load_run(struct qp_load *load, void *state, uint64_t *version, quipu_error *error)
{
    int rc;

    *version = 0;
    qp_keep_restart(&load->keep);
    rc = init_state(load, state, error);
    if (rc == QUIPU_OK)
        rc = fold_stream(load, state, version, error);
    if (rc < 0)
        release_state(load, state);
    return rc;
}

int qp_load(struct qp_handle *handle, const quipu_fold *fold, const char *stream,
            const quipu_point *at, void *state, uint64_t *version, quipu_error *error)
{
    struct qp_load load;
    int rc;

    qp_load_init(&load, handle, fold, stream, at);
    rc = qp_load_run(&load, state, version, error);
    if (rc == QUIPU_OK)
        qp_keep_save(&load.keep);
    qp_load_release(&load);
    return rc;
}
