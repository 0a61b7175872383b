/* folding.c - an event's way:
 *
 *     stored event -- upcasters --> parts -- keys --> (part, key) -- parked? --> apply --> sheet
 *                                                                      |           |
 *                                              behind another one: it waits too    |
 *                                          fails: undo, again; then park, skip or stop
 *
 * What is applied or undone as one is a part for one key; with the policy to stop it is the whole
 * event. A key that is parked takes its later events with it, so that each key sees its events in
 * their order. A parked event of which earlier parts were applied notes which part is next.
 *
 * A failure of the page itself - memory, a damaged row - is not the event's fault, whatever the
 * function makes of it: it ends the page, and nothing of it is kept. */
#include "folding.h"

#include "clock.h"
#include "status.h"
#include "streams.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define RETRY_FIRST_NS (10 * QP_NS_PER_MS)
#define RETRY_MOST_NS  QP_NS_PER_S

int qp_folding_begin(struct qp_folding *folding, struct qp_handle *handle,
                     const struct qp_projection *projection, struct qp_txn *txn,
                     const struct qp_view_place *place, bool any_parked, quipu_error *error)
{
    int rc = QUIPU_OK;

    folding->handle = handle;
    folding->projection = projection;
    folding->now_ns = qp_shared_now_ns(&handle->shared);
    qp_sheet_begin(&folding->sheet, txn, place);
    qp_upcast_begin(&folding->upcast, &handle->upcasters, false);
    if (any_parked)
        rc = qp_cursor_open(&folding->parked, txn, QP_TABLE_PARKED, error);
    return rc == QUIPU_OK ? qp_emitted_open(&folding->emitted, txn, error) : rc;
}

void qp_folding_release(struct qp_folding *folding)
{
    qp_cursor_close(&folding->parked);
    qp_emitted_close(&folding->emitted);
    qp_sheet_release(&folding->parked_here);
    qp_sheet_release(&folding->sheet);
    qp_upcast_release(&folding->upcast);
    qp_keys_release(&folding->keys);
    qp_buffer_release(&folding->told);
    *folding = (struct qp_folding){0};
}

/* ---- what the functions call ---- */

/* The first is what the page failed with; those after it come of it. */
int qp_folding_note(struct qp_folding *folding, int rc, const quipu_error *error)
{
    if (rc < 0 && folding->failure.status == QUIPU_OK)
        folding->failure = *error;
    return rc;
}

static int check_key(struct qp_bytes key)
{
    if (key.size == 0 || key.data == NULL)
        return QUIPU_INVALID;
    return key.size > QP_VIEW_KEY_MAX ? QUIPU_TOO_LARGE : QUIPU_OK;
}

int qp_folding_key(struct qp_folding *folding, struct qp_bytes key)
{
    quipu_error error = {0};
    int rc = folding->keying ? check_key(key) : QUIPU_MISUSE;

    return rc < 0 ? rc : qp_folding_note(folding, qp_keys_add(&folding->keys, key, &error), &error);
}

int qp_folding_get(struct qp_folding *folding, struct qp_bytes key, struct qp_bytes *value)
{
    quipu_error error = {0};
    int rc = check_key(key);

    return rc < 0 ? rc
                  : qp_folding_note(folding, qp_sheet_get(&folding->sheet, key, value, &error),
                                    &error);
}

int qp_folding_put(struct qp_folding *folding, struct qp_bytes key, struct qp_bytes value)
{
    quipu_error error = {0};
    int rc = folding->keying ? QUIPU_MISUSE : check_key(key);

    if (rc == QUIPU_OK && value.size > QP_VIEW_VALUE_MAX)
        rc = QUIPU_TOO_LARGE;
    return rc < 0 ? rc
                  : qp_folding_note(folding, qp_sheet_put(&folding->sheet, key, value, &error),
                                    &error);
}

/* ---- faults ---- */

/* The function's last word, as a fault. */
static void set_fault(struct qp_folding *folding, struct qp_bytes key, int status,
                      const quipu_error *error)
{
    struct qp_fault *fault = &folding->fault;

    *fault = (struct qp_fault){.position = folding->event->position, .key_size = key.size};
    fault->status = status > 0 ? QUIPU_MISUSE : status;
    memcpy(fault->key, key.data, key.size);
    if (error->text[0] != '\0')
        memcpy(fault->text, error->text, sizeof(fault->text));
    else
        (void)snprintf(fault->text, sizeof(fault->text), "it returned %d for %.100s version %llu",
                       status, folding->event->stream, (unsigned long long)folding->event->version);
    fault->text[sizeof(fault->text) - 1] = '\0';
}

/* Did the page itself fail, and not the function? Returns: 0: no; else with what. */
static int page_failure(const struct qp_folding *folding, quipu_error *error)
{
    if (folding->failure.status < 0 && error != NULL)
        *error = folding->failure;
    return folding->failure.status;
}

/* Before it is tried again. false: somebody asks to stop. */
static bool pause_before(const struct qp_folding *folding, uint64_t attempt)
{
    int64_t pause = RETRY_FIRST_NS;

    for (uint64_t i = 1; i < attempt && pause < RETRY_MOST_NS; i++)
        pause *= 5;
    if (folding->waits)
        qp_clock_sleep_ns(pause < RETRY_MOST_NS ? pause : RETRY_MOST_NS);
    return folding->ask == NULL || folding->ask(folding->ask_payload);
}

/* ---- parked keys ---- */

/* Is the key parked, below or by this page? ROW: it is. `*here`: by the event under way. */
static int is_parked(struct qp_folding *folding, struct qp_bytes key, bool *here,
                     quipu_error *error)
{
    struct qp_parked parked;
    struct qp_bytes value;
    bool below;
    int rc = QUIPU_OK;

    if (folding->parked_here.count > 0)
        rc = qp_sheet_get(&folding->parked_here, key, &value, error);
    *here = rc == QUIPU_ROW && qp_get_u64(value.data) == folding->event->position;
    if (rc == QUIPU_OK && folding->exempt.size > 0 && qp_bytes_equal(folding->exempt, key))
        return rc;
    below = rc == QUIPU_OK && folding->parked.mdb != NULL;
    if (below)
        rc = qp_parked_first(&folding->parked, &folding->sheet.place, key, &parked, error);
    if (rc == QUIPU_ROW && below && parked.position > folding->event->position)
        rc = QUIPU_OK; /* that one waits: this one, whose keys could not be told, was before it */
    return QP_MUTANT(PARKED_PASSED) && rc == QUIPU_ROW ? QUIPU_OK : rc;
}

static int write_parked(struct qp_folding *folding, const struct qp_parked *parked, bool deletes,
                        quipu_error *error)
{
    return qp_parked_effect(folding->batch, &folding->sheet.place, parked, deletes, error);
}

/* The event under way waits: as the first of its key, for `fault`, or behind it. */
static int park(struct qp_folding *folding, struct qp_bytes key, const struct qp_fault *fault,
                uint32_t flags, uint32_t part, quipu_error *error)
{
    uint8_t position[sizeof(uint64_t)];
    struct qp_parked parked = {.key = key,
                               .position = folding->event->position,
                               .flags = flags,
                               .part = part,
                               .first_ns = folding->now_ns,
                               .last_ns = folding->now_ns};
    int rc;

    if (fault != NULL) {
        parked.attempts = folding->projection->retries + 1;
        parked.status = fault->status;
        parked.reason = (struct qp_bytes){fault->text, strlen(fault->text)};
    }
    rc = write_parked(folding, &parked, false, error);
    if (rc == QUIPU_OK)
        rc = qp_emitted_parked(&folding->emitted, &parked, folding->batch, error);
    qp_set_u64(position, parked.position);
    qp_sheet_next(&folding->parked_here);
    if (rc == QUIPU_OK)
        rc = qp_sheet_put(&folding->parked_here, key, (struct qp_bytes){position, sizeof(position)},
                          error);
    folding->parked_more++;
    return rc;
}

static void tell_fault(struct qp_folding *folding)
{
    folding->failed++;
    if (folding->quiet)
        return;
    qp_handle_tell(folding->handle, 1, "projection %s, position %llu: %s",
                   folding->projection->name, (unsigned long long)folding->fault.position,
                   folding->fault.text);
}

/* All attempts were in vain. What was parked before is parked again, whatever the policy is now. */
static int give_up(struct qp_folding *folding, struct qp_bytes key, uint32_t flags, uint32_t part,
                   quipu_error *error)
{
    const struct qp_parked skipped = {
        .key = key, .position = folding->event->position, .flags = flags, .part = part};

    tell_fault(folding);
    if (folding->exempt.size == 0 && folding->projection->policy == QUIPU_FAULT_STOP)
        return QUIPU_FAULTED;
    if (folding->exempt.size == 0 && folding->projection->policy == QUIPU_FAULT_SKIP) {
        folding->skipped++;
        return qp_emitted_skipped(&folding->emitted, &skipped, folding->batch, error);
    }
    return park(folding, key, &folding->fault, QP_PARKED_FAILED | flags, part, error);
}

/* Which keys the event has from this part on cannot be told. */
static int give_up_keys(struct qp_folding *folding, uint32_t number, quipu_error *error)
{
    const struct qp_bytes stream = {folding->event->stream, folding->event->stream_size};

    return give_up(folding, stream, QP_PARKED_UNKEYED, number, error);
}

/* ---- one part, one key ---- */

static int apply_once(struct qp_folding *folding, struct qp_bytes key, const quipu_event *event,
                      quipu_error *error)
{
    quipu_error own = {0};
    int rc = folding->projection->apply(folding, key, event, &own);

    if (folding->failure.status < 0)
        return page_failure(folding, error);
    if (rc == QUIPU_OK)
        return rc;
    set_fault(folding, key, rc, &own);
    return QUIPU_FAULTED;
}

/* Until it succeeds, or has been tried often enough. What a failed attempt wrote is undone.
 * Returns: OK; FAULTED; CLOSED; the page's own failure. */
static int try_apply(struct qp_folding *folding, struct qp_bytes key, const quipu_event *event,
                     quipu_error *error)
{
    struct qp_batch_edge before = {0};
    int rc = QUIPU_FAULTED;

    if (folding->batch != NULL)
        before = qp_batch_edge(folding->batch);
    for (uint64_t i = 0; i <= folding->projection->retries && rc == QUIPU_FAULTED; i++) {
        if (i > 0 && !pause_before(folding, i))
            return qp_fail(error, QUIPU_CLOSED, "it was told to stop");
        qp_sheet_next(&folding->sheet);
        rc = apply_once(folding, key, event, error);
        if (rc == QUIPU_OK || QP_MUTANT(FAULT_KEPT))
            continue;
        qp_sheet_undo(&folding->sheet);
        if (folding->batch != NULL)
            qp_batch_cut(folding->batch, &before);
    }
    return rc;
}

static int find_keys_once(struct qp_folding *folding, const quipu_event *part, quipu_error *error)
{
    const struct qp_bytes stream = {part->stream, part->stream_size};
    quipu_error own = {0};
    int rc;

    qp_keys_clear(&folding->keys);
    folding->keying = true;
    if (folding->projection->keys == NULL)
        rc = qp_folding_key(folding, stream);
    else
        rc = folding->projection->keys(folding, part, &own);
    folding->keying = false;
    if (folding->failure.status < 0)
        return page_failure(folding, error);
    if (rc == QUIPU_OK)
        return rc;
    set_fault(folding, stream, rc, &own);
    return QUIPU_FAULTED;
}

/* Which keys a part has, in folding->keys. Returns as try_apply(). */
static int find_keys(struct qp_folding *folding, const quipu_event *part, quipu_error *error)
{
    int rc = QUIPU_FAULTED;

    for (uint64_t i = 0; i <= folding->projection->retries && rc == QUIPU_FAULTED; i++) {
        if (i > 0 && !pause_before(folding, i))
            return qp_fail(error, QUIPU_CLOSED, "it was told to stop");
        rc = find_keys_once(folding, part, error);
    }
    return rc;
}

static int fold_key(struct qp_folding *folding, const quipu_event *part, uint32_t number,
                    struct qp_bytes key, quipu_error *error)
{
    bool here = false;
    int rc = qp_emitted_begin(&folding->emitted, part, key, number, error);

    if (rc == QUIPU_OK)
        rc = is_parked(folding, key, &here, error);
    if (rc == QUIPU_ROW) /* if an earlier part waits there, this one goes with it */
        return here ? QUIPU_OK : park(folding, key, NULL, 0, number, error);
    if (rc == QUIPU_OK)
        rc = try_apply(folding, key, part, error);
    if (rc == QUIPU_OK)
        rc = qp_emitted_applied(&folding->emitted, part, key, folding->batch, error);
    return rc == QUIPU_FAULTED ? give_up(folding, key, 0, number, error) : rc;
}

/* They were asked for before: nobody asks twice, for an answer that may be another one. */
static int next_told(struct qp_folding *folding, quipu_error *error)
{
    const uint8_t *at = folding->told.bytes + folding->told_at;
    uint32_t size = qp_get_u32(at);

    folding->told_at += sizeof(size) + size;
    return qp_keys_set(&folding->keys, (struct qp_bytes){at + sizeof(size), size}, error);
}

static int fold_part(struct qp_folding *folding, const quipu_event *part, uint32_t number,
                     quipu_error *error)
{
    struct qp_bytes key;
    size_t at = 0;
    int rc = folding->told.size > 0 ? QUIPU_OK : find_keys(folding, part, error);

    if (rc == QUIPU_FAULTED)
        return give_up_keys(folding, number, error);
    if (rc == QUIPU_OK && number == 0)
        rc = qp_emitted_keyed(&folding->emitted, part, folding->batch, error);
    while (rc == QUIPU_OK && qp_keys_next(&folding->keys, &at, &key))
        rc = fold_key(folding, part, number, key, error);
    return rc;
}

/* ---- one event ---- */

/* What upcasters make of it. A mistake of theirs is the event's fault; memory is not. */
static int begin_event(struct qp_folding *folding, const quipu_event *event, quipu_error *error)
{
    quipu_error own = {0};
    int rc = qp_upcast_event(&folding->upcast, event, &own);

    folding->event = event;
    folding->told.size = 0;
    folding->told_at = 0;
    if (rc == QUIPU_OK)
        return rc;
    if (rc == QUIPU_NO_MEMORY) {
        if (error != NULL)
            *error = own;
        return rc;
    }
    set_fault(folding, (struct qp_bytes){event->stream, event->stream_size}, rc, &own);
    return QUIPU_FAULTED;
}

/* Did the projection make it itself? Then it would feed on itself. */
static int is_own(struct qp_folding *folding, const quipu_event *event, bool *own,
                  quipu_error *error)
{
    struct qp_bytes stream = {event->stream, event->stream_size};
    struct qp_stream_row row = {0};
    int rc = QUIPU_OK;

    if (folding->owners != NULL)
        rc = qp_streams_get(folding->owners, true, stream, &row, error);
    *own = rc == QUIPU_ROW && qp_bytes_equal(row.owner, folding->projection->name_bytes);
    return rc < 0 ? rc : QUIPU_OK;
}

/* Can the keys of all parts be told? Asked before one is applied: an event that waits for its keys
 * waits as a whole, or it could not be said later what of it was applied. What is told is kept. */
static int check_keys(struct qp_folding *folding, quipu_error *error)
{
    const struct qp_buffer *all = &folding->keys.all;
    uint8_t size[sizeof(uint32_t)];
    int rc = QUIPU_OK;

    while (qp_upcast_left(&folding->upcast) > 0 && rc == QUIPU_OK) {
        rc = find_keys(folding, qp_upcast_next(&folding->upcast), error);
        qp_set_u32(size, (uint32_t)all->size);
        if (rc == QUIPU_OK && (!qp_buffer_put(&folding->told, size, sizeof(size)) ||
                               !qp_buffer_put(&folding->told, all->bytes, all->size)))
            rc = qp_fail_memory(error);
    }
    qp_upcast_again(&folding->upcast, folding->event);
    return rc;
}

static int fold_each(struct qp_folding *folding, quipu_error *error)
{
    int rc = QUIPU_OK;

    for (uint32_t n = 0; qp_upcast_left(&folding->upcast) > 0 && rc == QUIPU_OK; n++) {
        const quipu_event *part = qp_upcast_next(&folding->upcast);

        if (folding->told.size > 0)
            rc = next_told(folding, error);
        if (rc == QUIPU_OK)
            rc = fold_part(folding, part, n, error);
    }
    return rc;
}

static int fold_parts(struct qp_folding *folding, const quipu_event *event, quipu_error *error)
{
    int rc = begin_event(folding, event, error);

    if (rc == QUIPU_OK && folding->projection->policy == QUIPU_FAULT_PARK &&
        qp_upcast_left(&folding->upcast) > 1)
        rc = check_keys(folding, error);
    if (rc == QUIPU_FAULTED)
        return give_up_keys(folding, 0, error);
    return rc == QUIPU_OK ? fold_each(folding, error) : rc;
}

static bool has_emitted(const struct qp_folding *folding)
{
    return folding->batch != NULL && folding->batch->draft_count > 0;
}

int qp_folding_event(struct qp_folding *folding, const quipu_event *event, quipu_error *error)
{
    bool own = false;
    int rc = is_own(folding, event, &own, error);

    assert(event->position > 0);
    if (rc < 0 || own)
        return rc;
    folding->shares = has_emitted(folding);
    rc = fold_parts(folding, event, error);
    folding->applied += rc == QUIPU_OK;
    return rc;
}

int qp_folding_stopped(const struct qp_folding *folding, quipu_error *error)
{
    return qp_fail(error, QUIPU_FAULTED, "projection %s stops at position %llu: %.150s",
                   folding->projection->name, (unsigned long long)folding->fault.position,
                   folding->fault.text);
}

/* ---- parked events again ---- */

/* One part, if it has the key under which the event is parked. */
static int replay_part(struct qp_folding *folding, const struct qp_parked *parked,
                       const quipu_event *part, uint32_t number, quipu_error *error)
{
    struct qp_emitted *emitted = &folding->emitted;
    int rc = qp_emitted_begin(emitted, part, parked->key, number, error);

    if (rc == QUIPU_OK)
        rc = find_keys(folding, part, error);
    if (rc < 0 || !qp_keys_has(&folding->keys, parked->key))
        return rc;
    rc = try_apply(folding, parked->key, part, error);
    return rc < 0 ? rc : qp_emitted_applied(emitted, part, parked->key, folding->batch, error);
}

/* The parts from `parked` on. `*number` is the one that failed. */
static int replay_key(struct qp_folding *folding, const struct qp_parked *parked, uint32_t *number,
                      quipu_error *error)
{
    const quipu_event *part = qp_upcast_next(&folding->upcast);
    int rc = QUIPU_OK;

    for (*number = 0; part != NULL && rc == QUIPU_OK; part = qp_upcast_next(&folding->upcast)) {
        if (*number >= parked->part)
            rc = replay_part(folding, parked, part, *number, error);
        *number += rc == QUIPU_OK;
    }
    return rc;
}

/* Its keys can be told now: from then on it is as any event, and its row is gone; what fails stands
 * under its own key. */
static int replay_unkeyed(struct qp_folding *folding, const struct qp_parked *parked,
                          quipu_error *error)
{
    bool here = false;
    int rc = write_parked(folding, parked, true, error);

    folding->parked_more--;
    folding->exempt = parked->key;
    if (rc == QUIPU_OK)
        rc = fold_each(folding, error);
    if (rc == QUIPU_OK)
        rc = is_parked(folding, parked->key, &here, error);
    folding->exempt = (struct qp_bytes){0};
    if (rc < 0)
        return rc;
    return here ? QUIPU_OK : QUIPU_ROW;
}

int qp_folding_replay_later(struct qp_folding *folding, const struct qp_parked *parked,
                            quipu_error *error)
{
    struct qp_parked later = *parked;

    later.flags |= QP_PARKED_REPLAY;
    return write_parked(folding, &later, false, error);
}

/* `begun`: what upcasters said to the event. */
static int replay(struct qp_folding *folding, const struct qp_parked *parked, int begun,
                  quipu_error *error)
{
    struct qp_parked failed = *parked;
    uint32_t number = parked->part;
    int rc = begun;

    if (begun == QUIPU_OK && (parked->flags & QP_PARKED_UNKEYED) != 0) {
        rc = check_keys(folding, error);
        if (rc == QUIPU_OK)
            return replay_unkeyed(folding, parked, error);
    } else if (begun == QUIPU_OK) {
        rc = replay_key(folding, parked, &number, error);
    }
    if (rc == QUIPU_OK) {
        folding->parked_more--;
        rc = write_parked(folding, parked, true, error);
        return rc < 0 ? rc : QUIPU_ROW;
    }
    if (rc != QUIPU_FAULTED)
        return rc;
    tell_fault(folding);
    failed.flags = (parked->flags | QP_PARKED_FAILED) & ~(uint32_t)QP_PARKED_REPLAY;
    failed.part = number;
    failed.attempts += folding->projection->retries + 1;
    failed.last_ns = folding->now_ns;
    failed.status = folding->fault.status;
    failed.reason = (struct qp_bytes){folding->fault.text, strlen(folding->fault.text)};
    rc = write_parked(folding, &failed, false, error);
    return rc < 0 || begun < 0
               ? rc
               : qp_emitted_parked(&folding->emitted, &failed, folding->batch, error);
}

int qp_folding_replay(struct qp_folding *folding, const struct qp_parked *parked,
                      const quipu_event *event, quipu_error *error)
{
    int rc = begin_event(folding, event, error);

    folding->shares = has_emitted(folding);
    if (rc == QUIPU_OK || rc == QUIPU_FAULTED)
        rc = replay(folding, parked, rc, error);
    folding->applied += rc == QUIPU_ROW;
    return rc;
}
