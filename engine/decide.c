/* decide.c - conditions see the store and the batches before, never the batch's own appends; later
 * appends of a batch see the versions of its earlier ones.
 *
 * The overlay holds what each stream that a group names will be:
 *
 *     the store's newest version ---- newest ---- pending
 *     asked once a stream        accepted batches   the batch being decided, until it holds
 *
 * So a batch is first tried on `pending`, and only `accept` moves that to `newest`. A refused one
 * leaves its numbers there, marked with its own batch number, which the next batch does not look
 * at: nothing has to be undone. */
#include "decide.h"

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

enum { TABLE_FIRST = 64 };

void qp_overlay_init(struct qp_overlay *overlay, uint64_t head)
{
    *overlay = (struct qp_overlay){.next_position = head + 1};
}

void qp_overlay_release(struct qp_overlay *overlay)
{
    qp_free(overlay->table);
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

/* A condition sees `newest`; an append that follows another one of the same batch and stream sees
 * that one's `pending`. */
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
    if (!holds(step->expected, step->result.actual))
        step->result.status = QUIPU_CONFLICT;
    if (step->draft_count > 0) {
        entry->pending = newest + step->draft_count;
        entry->batch = overlay->batch;
    }
    return QUIPU_OK;
}

static void explain(const struct qp_batch *batch, const struct qp_step *step, quipu_error *error)
{
    const char *stream = qp_batch_stream(batch, step).data;
    unsigned long long actual = step->result.actual;

    if (step->expected == QUIPU_EXISTS)
        (void)qp_fail(error, QUIPU_CONFLICT, "stream %.100s has no events, expected some", stream);
    else
        (void)qp_fail(error, QUIPU_CONFLICT, "stream %.100s has version %llu, expected %llu",
                      stream, actual, (unsigned long long)step->expected);
}

/* It does not hold: tell of each step, and of the first in the receipt and the error. */
static int refuse(const struct qp_batch *batch, quipu_receipt *receipt, quipu_error *error)
{
    for (size_t i = 0; i < batch->step_count; i++) {
        struct qp_step *step = &batch->steps[i];

        step->result.first_version = 0;
        if (step->result.status == QUIPU_OK)
            continue;
        if (receipt->failed_count++ > 0)
            continue;
        receipt->failed_step = (uint32_t)i;
        receipt->expected = step->result.expected;
        receipt->actual = step->result.actual;
        explain(batch, step, error);
    }
    return QUIPU_CONFLICT;
}

/* It holds: give out positions, and let the batches after it see it. */
static void accept(struct qp_overlay *overlay, struct qp_batch *batch, quipu_receipt *receipt)
{
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
        overlay->next_position += step->draft_count;
        receipt->last_version = step->result.first_version + step->draft_count - 1;
    }
    if (batch->draft_count == 0)
        return;
    receipt->last_position = overlay->next_position - 1;
    receipt->first_position = overlay->next_position - batch->draft_count;
}

int qp_decide(struct qp_overlay *overlay, struct qp_moment *moment, struct qp_batch *batch,
              quipu_receipt *receipt, quipu_error *error)
{
    bool all_hold = true;

    *receipt = (quipu_receipt){0};
    batch->decided = false;
    assert(overlay->next_position >= 1 && overlay->next_position <= QP_POSITION_MAX + 1);
    if (batch->draft_count > QP_POSITION_MAX - (overlay->next_position - 1))
        return qp_fail(error, QUIPU_TOO_LARGE, "the store has no positions left");
    overlay->batch++;
    for (size_t i = 0; i < batch->step_count; i++) {
        int rc = decide_step(overlay, moment, batch, &batch->steps[i], error);

        if (rc < 0)
            return rc;
        all_hold = all_hold && batch->steps[i].result.status == QUIPU_OK;
    }
    batch->decided = true;
    if (!all_hold)
        return refuse(batch, receipt, error);
    accept(overlay, batch, receipt);
    return QUIPU_OK;
}
