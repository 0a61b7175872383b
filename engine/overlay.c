/* overlay.c - two tables. Each name that a group has is asked from the store once:
 *
 *     the store's version, or number ---- newest ---- pending
 *                              accepted batches   the batch being decided, until it holds
 *
 * With a projection it is the sequence of its row, which moves in any case.
 *
 * So a batch is first tried on `pending`, and only when it holds that moves to `newest`. A refused
 * one leaves its numbers there, marked with its own batch number, which the next batch does not
 * look at: nothing has to be undone. With events that have ids it is the same: they get a version
 * when their batch is accepted, and those of refused ones never do.
 *
 * Knows no conditions and no verdicts. */
#include "overlay.h"

#include "marks.h"
#include "projections.h"
#include "status.h"

#include <assert.h>

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
    *overlay = (struct qp_overlay){.head = head, .next_position = head + 1};
}

void qp_overlay_release(struct qp_overlay *overlay)
{
    qp_free(overlay->table);
    qp_free(overlay->events);
    qp_ids_release(&overlay->ids);
    qp_pending_release(&overlay->pending);
    *overlay = (struct qp_overlay){0};
}

int qp_overlay_next(struct qp_overlay *overlay, quipu_error *error)
{
    overlay->batch++;
    overlay->accepted = overlay->event_count;
    return qp_pending_ensure(&overlay->pending) ? QUIPU_OK : qp_fail_memory(error);
}

/* ---- names ---- */

/* Open addressing, never more than half full: where the name is, or would be put. The sum is
 * compared first, so that names are looked at about once. */
static struct qp_overlay_name *slot_of(struct qp_overlay_name *table, size_t size,
                                       const struct qp_overlay_name *wanted)
{
    size_t slot = wanted->sum & (size - 1);

    assert(size > 0 && (size & (size - 1)) == 0);
    while (table[slot].name.data != NULL &&
           (table[slot].sum != wanted->sum || table[slot].kind != wanted->kind ||
            !qp_bytes_equal(table[slot].name, wanted->name)))
        slot = (slot + 1) & (size - 1);
    return &table[slot];
}

static bool grow(struct qp_overlay *overlay)
{
    size_t size = overlay->size == 0 ? TABLE_FIRST : overlay->size * 2;
    struct qp_overlay_name *table = qp_zalloc(size * sizeof(*table));

    if (table == NULL)
        return false;
    for (size_t i = 0; i < overlay->size; i++) {
        const struct qp_overlay_name *name = &overlay->table[i];

        if (name->name.data != NULL)
            *slot_of(table, size, name) = *name;
    }
    qp_free(overlay->table);
    overlay->table = table;
    overlay->size = size;
    return true;
}

/* Whose a stream is. That of a projection which is gone is everybody's again. */
static int ask_owner(struct qp_moment *moment, struct qp_bytes owner, struct qp_overlay_name *name,
                     quipu_error *error)
{
    struct qp_projection_row row;
    int rc = QUIPU_OK;

    if (owner.size > 0)
        rc = qp_projections_get(moment->txn, owner, &row, error);
    if (rc == QUIPU_ROW)
        name->owner = owner;
    return rc < 0 ? rc : QUIPU_OK;
}

/* As the store has it. */
static int ask_store(struct qp_moment *moment, struct qp_overlay_name *name, quipu_error *error)
{
    struct qp_stream_edge edge;
    struct qp_projection_row projection;
    struct qp_mark mark = {0};
    int rc;

    if (name->kind == QP_STEP_STREAM) {
        rc = qp_moment_stream(moment, name->name, &edge, error);
        name->newest = edge.newest;
        name->hidden = edge.hidden;
        return rc < 0 ? rc : ask_owner(moment, edge.owner, name, error);
    }
    if (name->kind == QP_STEP_PROJECT) {
        rc = qp_projections_get(moment->txn, name->name, &projection, error);
        name->newest = projection.sequence;
        return rc < 0 ? rc : QUIPU_OK;
    }
    rc = qp_marks_get(moment->txn, (enum qp_mark_kind)name->kind, name->name, &mark, error);
    name->newest = mark.number;
    name->missing = rc == QUIPU_OK;
    return rc < 0 ? rc : QUIPU_OK;
}

int qp_overlay_name(struct qp_overlay *overlay, struct qp_moment *moment,
                    const struct qp_batch *batch, const struct qp_step *step,
                    struct qp_overlay_name **out, quipu_error *error)
{
    struct qp_overlay_name wanted = {
        .name = qp_batch_name(batch, step), .sum = step->name_sum, .kind = step->kind};
    struct qp_overlay_name *name = NULL;
    int rc;

    assert(step->kind != QP_STEP_UNLESS);
    if (overlay->size > 0)
        name = slot_of(overlay->table, overlay->size, &wanted);
    *out = name;
    if (name != NULL && name->name.data != NULL)
        return QUIPU_OK;
    if (overlay->count * 2 >= overlay->size && !grow(overlay))
        return qp_fail_memory(error);
    rc = ask_store(moment, &wanted, error);
    if (rc < 0)
        return rc;
    name = slot_of(overlay->table, overlay->size, &wanted);
    *name = wanted;
    *out = name;
    overlay->count++;
    return QUIPU_OK;
}

/* ---- ids ---- */

/* In this batch, else in those before it that were accepted: that an id stands twice in a batch is
 * said of it whatever the others have. false: no. */
static bool find_in_group(const struct qp_overlay *overlay, const struct qp_identity *identity,
                          struct qp_known *known)
{
    const struct qp_id_entry *entry = qp_ids_find(&overlay->ids, identity->name);

    *known = (struct qp_known){0};
    for (; entry != NULL; entry = qp_ids_next(&overlay->ids, entry)) {
        const struct qp_overlay_event *event = &overlay->events[entry->number];

        if (!qp_bytes_equal(event->stream, identity->stream))
            continue; /* streams may share a sum */
        if (event->batch == overlay->batch) {
            *known = (struct qp_known){.twice = true};
            return true;
        }
        if (event->version > 0 && !QP_MUTANT(GROUP_IDS))
            *known = (struct qp_known){.position = event->position, .version = event->version};
    }
    return known->version > 0;
}

int qp_overlay_id(struct qp_overlay *overlay, struct qp_moment *moment,
                  const struct qp_identity *identity, struct qp_known *known, quipu_error *error)
{
    int rc = QUIPU_ROW;

    if (!find_in_group(overlay, identity, known))
        rc = qp_identity_find(identity, moment, &known->position, &known->version, error);
    if (rc < 0)
        return rc;
    if (rc == QUIPU_OK)
        *known = (struct qp_known){0};
    if (!qp_ids_ensure(&overlay->ids) ||
        !qp_array_reserve(&overlay->events, &overlay->event_capacity, overlay->event_count + 1,
                          sizeof(*overlay->events)))
        return qp_fail_memory(error);
    qp_ids_put(&overlay->ids, identity->name, (uint32_t)overlay->event_count);
    overlay->events[overlay->event_count++] =
        (struct qp_overlay_event){.stream = identity->stream, .batch = overlay->batch};
    return QUIPU_OK;
}

void qp_overlay_accept_id(struct qp_overlay *overlay, uint64_t position, uint64_t version)
{
    struct qp_overlay_event *event = &overlay->events[overlay->accepted++];

    assert(overlay->accepted <= overlay->event_count && event->batch == overlay->batch);
    event->position = position;
    event->version = version;
}
