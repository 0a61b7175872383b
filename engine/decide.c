/* decide.c - conditions see the store and the batches before, never the batch's own appends; later
 * appends of a batch see the versions of its earlier ones. Ids are looked up before versions.
 *
 * The overlay holds what each stream that a group names will be:
 *
 *     the store's newest version ---- newest ---- pending
 *     asked once a stream        accepted batches   the batch being decided, until it holds
 *
 * So a batch is first tried on `pending`, and only `accept` moves that to `newest`. A refused one
 * leaves its numbers there, marked with its own batch number, which the next batch does not look
 * at: nothing has to be undone. With events that have ids it is the same: they get a version when
 * their batch is accepted, and those of refused ones never do. */
#include "decide.h"

#include "identity.h"
#include "status.h"
#include "sum.h"

#include <assert.h>
#include <string.h>

struct qp_overlay_entry {
    struct qp_bytes stream; /* in some batch of the group; data NULL: free */
    uint64_t hash;
    uint64_t newest;  /* with all batches that hold */
    uint64_t hidden;  /* versions that deleting took */
    uint64_t pending; /* with the batch being decided */
    uint64_t batch;   /* whose `pending` it is */
};

/* A draft with an id. */
struct qp_overlay_event {
    struct qp_bytes stream;
    uint64_t batch;
    uint64_t position;
    uint64_t version; /* 0: its batch was not accepted, or not yet */
};

enum { TABLE_FIRST = 64 };

void qp_overlay_init(struct qp_overlay *overlay, uint64_t head)
{
    *overlay = (struct qp_overlay){.next_position = head + 1};
}

void qp_overlay_release(struct qp_overlay *overlay)
{
    qp_free(overlay->table);
    qp_free(overlay->events);
    qp_ids_release(&overlay->ids);
    *overlay = (struct qp_overlay){0};
}

/* Open addressing, never more than half full: where the stream is, or would be put. The hash was
 * summed before and is compared first, so that names are looked at about once. */
static struct qp_overlay_entry *slot_of(struct qp_overlay_entry *table, size_t size, uint64_t hash,
                                        struct qp_bytes stream)
{
    size_t slot = hash & (size - 1);

    assert(size > 0 && (size & (size - 1)) == 0);
    while (table[slot].stream.data != NULL &&
           (table[slot].hash != hash || table[slot].stream.size != stream.size ||
            memcmp(table[slot].stream.data, stream.data, stream.size) != 0))
        slot = (slot + 1) & (size - 1);
    return &table[slot];
}

static bool grow(struct qp_overlay *overlay)
{
    size_t size = overlay->size == 0 ? TABLE_FIRST : overlay->size * 2;
    struct qp_overlay_entry *table = qp_zalloc(size * sizeof(*table));

    if (table == NULL)
        return false;
    for (size_t i = 0; i < overlay->size; i++) {
        const struct qp_overlay_entry *entry = &overlay->table[i];

        if (entry->stream.data != NULL)
            *slot_of(table, size, entry->hash, entry->stream) = *entry;
    }
    qp_free(overlay->table);
    overlay->table = table;
    overlay->size = size;
    return true;
}

/* A stream's entry, asked from the store the first time. It stays where it is until the next call.
 */
static int entry_of(struct qp_overlay *overlay, struct qp_moment *moment, struct qp_bytes stream,
                    struct qp_overlay_entry **out, quipu_error *error)
{
    uint64_t hash = qp_sum(stream.data, stream.size, 0);
    struct qp_stream_edge edge;
    struct qp_overlay_entry *entry;
    int rc;

    if (overlay->count * 2 >= overlay->size && !grow(overlay))
        return qp_fail_memory(error);
    entry = slot_of(overlay->table, overlay->size, hash, stream);
    *out = entry;
    if (entry->stream.data != NULL)
        return QUIPU_OK;
    rc = qp_moment_stream(moment, stream, &edge, error);
    if (rc < 0)
        return rc;
    entry->newest = edge.newest;
    entry->hidden = edge.hidden;
    entry->stream = stream;
    entry->hash = hash;
    overlay->count++;
    return QUIPU_OK;
}

static bool holds(uint64_t expected, uint64_t actual)
{
    if (expected == QUIPU_ANY)
        return true;
    if (expected == QUIPU_EXISTS)
        return actual > 0;
    return expected == actual;
}

/* A stream whose events were all deleted counts as one without events. */
static uint64_t counted(const struct qp_overlay_entry *entry, uint64_t newest)
{
    return newest > entry->hidden ? newest : 0;
}

/* ---- ids ---- */

/* What is known of a draft's id. */
struct known {
    uint64_t position; /* 0: nothing */
    uint64_t version;
    bool twice; /* an earlier draft of the batch has it too */
};

/* In the batches before, in this one, then in the store. */
static int find_id(const struct qp_overlay *overlay, const struct qp_identity *identity,
                   struct qp_moment *moment, struct known *known, quipu_error *error)
{
    const struct qp_id_entry *entry = qp_ids_find(&overlay->ids, identity->name);
    int rc;

    *known = (struct known){0};
    for (; entry != NULL; entry = qp_ids_next(&overlay->ids, entry)) {
        const struct qp_overlay_event *event = &overlay->events[entry->number];

        if (event->stream.size != identity->stream.size ||
            memcmp(event->stream.data, identity->stream.data, event->stream.size) != 0)
            continue; /* streams may share a sum */
        known->position = event->position;
        known->version = event->version;
        known->twice = event->batch == overlay->batch;
        if (known->twice || known->version > 0)
            return QUIPU_OK;
    }
    rc = qp_identity_find(identity, moment, &known->position, &known->version, error);
    if (rc == QUIPU_OK)
        *known = (struct known){0};
    return rc < 0 ? rc : QUIPU_OK;
}

/* So that later drafts and batches of the group find it. */
static int remember_id(struct qp_overlay *overlay, const struct qp_identity *identity,
                       quipu_error *error)
{
    if (!qp_ids_ensure(&overlay->ids) ||
        !qp_array_reserve(&overlay->events, &overlay->event_capacity, overlay->event_count + 1,
                          sizeof(*overlay->events)))
        return qp_fail_memory(error);
    qp_ids_put(&overlay->ids, identity->name, (uint32_t)overlay->event_count);
    overlay->events[overlay->event_count++] =
        (struct qp_overlay_event){.stream = identity->stream, .batch = overlay->batch};
    return QUIPU_OK;
}

/* Look a draft's id up, and remember it. A draft without one is never known. */
static int look_up(struct qp_overlay *overlay, struct qp_moment *moment,
                   const struct qp_batch *batch, const struct qp_step *step, size_t draft,
                   struct known *known, quipu_error *error)
{
    const uint8_t *id = qp_batch_id(batch, step->first_draft + draft);
    struct qp_bytes stream = qp_batch_stream(batch, step);
    struct qp_identity identity;
    int rc;

    *known = (struct known){0};
    if (id == NULL)
        return QUIPU_OK;
    qp_identity_init(&identity, stream, qp_sum(stream.data, stream.size, 0), id);
    rc = find_id(overlay, &identity, moment, known, error);
    return rc == QUIPU_OK ? remember_id(overlay, &identity, error) : rc;
}

/* The step fails for its draft of this number. */
static void fail_draft(struct qp_step *step, int status, size_t draft, uint64_t matched)
{
    step->result.status = status;
    step->result.draft = (uint32_t)draft;
    step->result.matched = matched;
}

/* The first draft is known: does the condition ask for the version just before it? */
static bool expects(struct qp_step *step, const struct known *first)
{
    if (step->expected == QUIPU_ANY || step->expected == QUIPU_EXISTS ||
        step->expected == first->version - 1)
        return true;
    fail_draft(step, step->expected == step->result.actual ? QUIPU_DUPLICATE_ID : QUIPU_CONFLICT, 0,
               first->position);
    return false;
}

/* An append is known if all of its ids are, in this stream, one version after the other. A known id
 * among new ones, or a new one among known ones, is an error. `*known` says which it is; a step
 * that fails has its status and is neither. */
static int look_up_step(struct qp_overlay *overlay, struct qp_moment *moment,
                        const struct qp_batch *batch, struct qp_step *step, quipu_error *error)
{
    struct known first = {0};
    struct known known = {0};

    step->known = false;
    for (size_t i = 0; i < step->draft_count; i++) {
        int rc = look_up(overlay, moment, batch, step, i, &known, error);

        if (rc < 0)
            return rc;
        if (i == 0)
            first = known;
        if (known.twice || (first.version == 0 && known.version > 0)) {
            fail_draft(step, QUIPU_DUPLICATE_ID, i, known.position);
            return QUIPU_OK;
        }
        if (first.version > 0 && known.version != first.version + i) {
            fail_draft(step, QUIPU_PARTIAL_DUPLICATE, i, first.position);
            return QUIPU_OK;
        }
        if (i == 0 && first.version > 0 && !expects(step, &first))
            return QUIPU_OK;
    }
    if (first.version == 0)
        return QUIPU_OK;
    step->known = true;
    step->last_position = known.position;
    step->result.first_position = first.position;
    step->result.first_version = first.version;
    step->result.count = step->draft_count;
    return QUIPU_OK;
}

/* ---- steps ---- */

/* A condition sees `newest`; an append that follows another one of the same batch and stream sees
 * that one's `pending`. What is known already is not appended, and its version is not asked for. */
static int decide_step(struct qp_overlay *overlay, struct qp_moment *moment,
                       const struct qp_batch *batch, struct qp_step *step, quipu_error *error)
{
    struct qp_overlay_entry *entry = NULL;
    uint64_t newest;
    int rc = entry_of(overlay, moment, qp_batch_stream(batch, step), &entry, error);

    if (rc < 0)
        return rc;
    assert(entry != NULL);
    newest = entry->newest;
    if (step->draft_count > 0 && entry->batch == overlay->batch)
        newest = entry->pending;
    step->result = (quipu_result){
        .expected = step->expected,
        .actual = counted(entry, newest),
        .first_version = newest + 1,
    };
    rc = look_up_step(overlay, moment, batch, step, error);
    if (rc < 0 || step->known || step->result.status != QUIPU_OK)
        return rc;
    if (!holds(step->expected, step->result.actual))
        step->result.status = QUIPU_CONFLICT;
    if (step->draft_count > 0) {
        entry->pending = newest + step->draft_count;
        entry->batch = overlay->batch;
    }
    return QUIPU_OK;
}

/* ---- verdicts ---- */

/* What is wrong with a step, in one line: with an id, */
static void explain_id(const struct qp_step *step, const char *stream, quipu_error *error)
{
    const quipu_result *result = &step->result;
    unsigned long long matched = result->matched;

    if (result->status == QUIPU_PARTIAL_DUPLICATE) {
        (void)qp_fail(error, QUIPU_PARTIAL_DUPLICATE,
                      "the first %u are known in stream %.100s, from position %llu on; draft %u is "
                      "another event than follows there",
                      result->draft, stream, matched, result->draft);
    } else if (matched == 0) {
        (void)qp_fail(error, QUIPU_DUPLICATE_ID,
                      "the id of draft %u stands twice for stream %.100s", result->draft, stream);
    } else {
        (void)qp_fail(error, QUIPU_DUPLICATE_ID,
                      "the id of draft %u is known in stream %.100s, at position %llu",
                      result->draft, stream, matched);
    }
}

/* or with a version. */
static void explain_version(const struct qp_step *step, const char *stream, quipu_error *error)
{
    unsigned long long actual = step->result.actual;
    unsigned long long expected = step->expected;
    unsigned long long matched = step->result.matched;

    if (matched != 0) {
        (void)qp_fail(error, QUIPU_CONFLICT,
                      "stream %.100s has version %llu, expected %llu, and the first event is known "
                      "at position %llu as another version",
                      stream, actual, expected, matched);
    } else if (step->expected == QUIPU_EXISTS) {
        (void)qp_fail(error, QUIPU_CONFLICT, "stream %.100s has no events, expected some", stream);
    } else {
        (void)qp_fail(error, QUIPU_CONFLICT, "stream %.100s has version %llu, expected %llu",
                      stream, actual, expected);
    }
}

/* It does not hold: tell of each step, and of one in the receipt and the error: the first with a
 * known id, else the first. Ids go before versions. */
static int refuse(struct qp_batch *batch, quipu_receipt *receipt, quipu_error *error)
{
    const struct qp_step *told = NULL;

    for (size_t i = 0; i < batch->step_count; i++) {
        struct qp_step *step = &batch->steps[i];

        step->result.first_position = 0;
        step->result.first_version = 0;
        step->result.count = 0;
        if (step->result.status == QUIPU_OK)
            continue;
        receipt->failed_count++;
        if (told == NULL ||
            (told->result.status == QUIPU_CONFLICT && step->result.status != QUIPU_CONFLICT))
            told = step;
    }
    assert(told != NULL);
    receipt->failed_step = (uint32_t)(told - batch->steps);
    receipt->failed_draft = told->result.draft;
    receipt->expected = told->result.expected;
    receipt->actual = told->result.actual;
    receipt->matched = told->result.matched;
    if (told->result.status == QUIPU_CONFLICT)
        explain_version(told, qp_batch_stream(batch, told).data, error);
    else
        explain_id(told, qp_batch_stream(batch, told).data, error);
    return told->result.status;
}

/* Its events are there already. Conditions on streams that it does not write may have ceased to
 * hold since: they did when it was committed. */
static void accept_known(struct qp_batch *batch, quipu_receipt *receipt)
{
    receipt->verdict = QUIPU_DUPLICATE;
    for (size_t i = 0; i < batch->step_count; i++) {
        struct qp_step *step = &batch->steps[i];
        quipu_result *result = &step->result;

        result->status = QUIPU_OK;
        if (step->draft_count == 0) {
            result->first_version = 0;
            continue;
        }
        if (receipt->first_position == 0 || result->first_position < receipt->first_position)
            receipt->first_position = result->first_position;
        if (step->last_position > receipt->last_position)
            receipt->last_position = step->last_position;
        receipt->last_version = result->first_version + result->count - 1;
    }
}

/* Those of the batch with ids, in the order of its drafts, get their places. */
static void accept_ids(struct qp_overlay *overlay, const struct qp_batch *batch,
                       const struct qp_step *step, size_t *next)
{
    for (size_t i = 0; i < step->draft_count; i++) {
        if (qp_batch_id(batch, step->first_draft + i) == NULL)
            continue;
        assert(*next < overlay->event_count && overlay->events[*next].batch == overlay->batch);
        overlay->events[*next].position = step->result.first_position + i;
        overlay->events[*next].version = step->result.first_version + i;
        (*next)++;
    }
}

/* It holds: give out positions, and let the batches after it see it. */
static void accept(struct qp_overlay *overlay, struct qp_batch *batch, quipu_receipt *receipt)
{
    size_t next = overlay->batch_events;

    receipt->verdict = QUIPU_COMMITTED;
    for (size_t i = 0; i < batch->step_count; i++) {
        struct qp_step *step = &batch->steps[i];
        struct qp_bytes stream = qp_batch_stream(batch, step);
        struct qp_overlay_entry *entry;

        if (step->draft_count == 0) {
            step->result.first_version = 0;
            continue;
        }
        entry = slot_of(overlay->table, overlay->size, qp_sum(stream.data, stream.size, 0), stream);
        assert(entry->batch == overlay->batch && entry->pending >= entry->newest);
        entry->newest = entry->pending;
        step->result.first_position = overlay->next_position;
        step->result.count = step->draft_count;
        accept_ids(overlay, batch, step, &next);
        overlay->next_position += step->draft_count;
        receipt->last_version = step->result.first_version + step->draft_count - 1;
    }
    assert(next == overlay->event_count);
    if (batch->draft_count == 0)
        return;
    receipt->last_position = overlay->next_position - 1;
    receipt->first_position = overlay->next_position - batch->draft_count;
}

/* Of all steps together. What is known beside what is new was not committed as one batch: it is a
 * mistake of the caller, and not a retry. */
static int judge(struct qp_overlay *overlay, struct qp_batch *batch, quipu_receipt *receipt,
                 quipu_error *error)
{
    size_t writing = 0;
    size_t known = 0;
    size_t fresh = 0;
    bool all_hold = true;

    for (size_t i = 0; i < batch->step_count; i++) {
        const struct qp_step *step = &batch->steps[i];
        int status = step->result.status;

        writing += step->draft_count > 0;
        known += step->known;
        fresh += step->draft_count > 0 && !step->known &&
                 (status == QUIPU_OK || (status == QUIPU_CONFLICT && step->result.matched == 0));
        all_hold = all_hold && status == QUIPU_OK;
    }
    if (known > 0 && known == writing) {
        accept_known(batch, receipt);
        return QUIPU_OK;
    }
    for (size_t i = 0; i < batch->step_count && known > 0 && fresh > 0; i++) {
        struct qp_step *step = &batch->steps[i];

        if (step->known)
            fail_draft(step, QUIPU_DUPLICATE_ID, 0, step->result.first_position);
    }
    if (!all_hold || known > 0)
        return refuse(batch, receipt, error);
    accept(overlay, batch, receipt);
    return QUIPU_OK;
}

bool qp_decide_is_own(int status)
{
    return status == QUIPU_CONFLICT || status == QUIPU_DUPLICATE_ID ||
           status == QUIPU_PARTIAL_DUPLICATE || status == QUIPU_TOO_LARGE ||
           status == QUIPU_CORRUPT || status == QUIPU_NEWER_FORMAT;
}

int qp_decide(struct qp_overlay *overlay, struct qp_moment *moment, struct qp_batch *batch,
              quipu_receipt *receipt, quipu_error *error)
{
    *receipt = (quipu_receipt){0};
    batch->decided = false;
    assert(overlay->next_position >= 1 && overlay->next_position <= QP_POSITION_MAX + 1);
    if (batch->draft_count > QP_POSITION_MAX - (overlay->next_position - 1))
        return qp_fail(error, QUIPU_TOO_LARGE, "the store has no positions left");
    overlay->batch++;
    overlay->batch_events = overlay->event_count;
    for (size_t i = 0; i < batch->step_count; i++) {
        int rc = decide_step(overlay, moment, batch, &batch->steps[i], error);

        if (rc < 0)
            return rc;
    }
    batch->decided = true;
    return judge(overlay, batch, receipt, error);
}
