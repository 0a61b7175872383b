/* batch.c - checks every argument before it copies anything.
 *
 * Owns the bytes of a batch: nothing of the caller's is looked at after the call that brought it.
 * Refuses to know the store: whether a condition holds, and what an event's version will be, is
 * found out when it commits; the options' limits are looked at then too. Here are the hard ones.
 *
 *     steps    [ "a": 2 drafts ]      [ "b": a condition ]   [ "a": 1 draft ]   [ unless ]
 *                 |         |                                      |                |
 *     drafts   [ offset ][ offset ]                            [ offset ]         query
 *                 |         |                                      |
 *     bytes    | record  | record                              | record |
 *     names      a 0                    b 0                      a 0
 *
 * Everything is found by offsets and numbers and not by pointers: both arrays and both buffers
 * move when they grow. Drafts stand in the order of their steps. */
#include "batch.h"

#include "pack.h"
#include "status.h"
#include "sum.h"
#include "text.h"

#include <assert.h>
#include <string.h>

/* Steps from `count` on go, with the queries that are theirs. */
static void drop_steps(struct qp_batch *batch, size_t count)
{
    assert(count <= batch->step_count);
    for (size_t i = count; i < batch->step_count; i++) {
        if (batch->steps[i].query == NULL)
            continue;
        qp_query_release(batch->steps[i].query);
        qp_free(batch->steps[i].query);
    }
    batch->step_count = count;
}

/* The memory stays: a program that fills the same batch again and again allocates once. */
void qp_batch_clear(struct qp_batch *batch)
{
    drop_steps(batch, 0);
    batch->bytes.size = 0;
    batch->names.size = 0;
    batch->effects.size = 0;
    batch->effects_taken = 0;
    batch->draft_count = 0;
    batch->payload_max = 0;
    batch->failure.status = QUIPU_OK;
    batch->decided = false;
}

void qp_batch_release(struct qp_batch *batch)
{
    drop_steps(batch, 0);
    qp_buffer_release(&batch->bytes);
    qp_buffer_release(&batch->names);
    qp_buffer_release(&batch->effects);
    qp_free(batch->steps);
    qp_free(batch->drafts);
    *batch = (struct qp_batch){0};
}

struct qp_bytes qp_batch_name(const struct qp_batch *batch, const struct qp_step *step)
{
    assert(step->name_offset + step->name_size < batch->names.size); /* and its 0 */
    return (struct qp_bytes){batch->names.bytes + step->name_offset, step->name_size};
}

struct qp_bytes qp_batch_owner(const struct qp_batch *batch, const struct qp_step *step)
{
    assert(step->owner_offset + step->owner_size <= batch->names.size);
    return (struct qp_bytes){batch->names.bytes + step->owner_offset, step->owner_size};
}

uint8_t *qp_batch_record(const struct qp_batch *batch, size_t draft)
{
    assert(draft < batch->draft_count);
    return batch->bytes.bytes + batch->drafts[draft].offset;
}

const uint8_t *qp_batch_id(const struct qp_batch *batch, size_t draft)
{
    size_t offset = batch->drafts[draft].id_offset;

    return offset == 0 ? NULL : qp_batch_record(batch, draft) + offset;
}

/* ---- drafts ----
 *
 * Statuses: MISUSE is what a program gets wrong however its data are, INVALID and TOO_LARGE what
 * its data may be. */

static int check_reserved_name(const char *name, const char *what, quipu_error *error)
{
    if (name[0] == '$')
        return qp_fail(error, QUIPU_INVALID, "%s begins with '$', which is reserved: %.60s", what,
                       name);
    return QUIPU_OK;
}

/* What is said to be JSON is only looked at as UTF-8 (docs/ARCHITECTURE.md 8.12). msgpack
 * must be exactly one whole value. */
static int check_payload(const void *bytes, uint32_t size, uint8_t format, const char *what,
                         quipu_error *error)
{
    if (size == 0)
        return QUIPU_OK;
    if (format == QUIPU_JSON && !qp_text_utf8(bytes, size))
        return qp_fail(error, QUIPU_INVALID, "%s says JSON and is not UTF-8", what);
    if (format == QUIPU_MSGPACK && !qp_pack_whole(bytes, size))
        return qp_fail(error, QUIPU_INVALID,
                       "%s is not one whole msgpack value of at most 32 levels", what);
    return QUIPU_OK;
}

/* At most 64 of them: comparing each with each is cheaper than anything that would have to be
 * built. */
static int check_tags(const quipu_draft *draft, quipu_error *error)
{
    if (draft->tag_count > QP_TAGS_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "%u tags are more than %d", draft->tag_count,
                       QP_TAGS_MAX);
    if (draft->tag_count > 0 && draft->tags == NULL)
        return qp_fail(error, QUIPU_MISUSE, "tags is NULL with %u of them", draft->tag_count);
    for (uint32_t i = 0; i < draft->tag_count; i++) {
        size_t size;
        int rc = qp_text_tag(draft->tags[i], &size, error);

        if (rc < 0)
            return rc;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(draft->tags[i], draft->tags[j]) == 0)
                return qp_fail(error, QUIPU_INVALID, "a tag stands twice: %.60s", draft->tags[i]);
    }
    return QUIPU_OK;
}

static int check_there(const void *bytes, uint32_t size, uint8_t format, const char *what,
                       quipu_error *error)
{
    if (size == 0)
        return QUIPU_OK;
    if (bytes == NULL)
        return qp_fail(error, QUIPU_MISUSE, "%s is NULL with size %u", what, size);
    if (format > QUIPU_MSGPACK)
        return qp_fail(error, QUIPU_MISUSE, "%s has the unknown format %u", what, format);
    return QUIPU_OK;
}

/* Reserved fields must be 0, so that a later release can give them a meaning. */
int qp_batch_check_draft(const quipu_draft *draft, quipu_error *error)
{
    static const uint8_t zeroes[sizeof(draft->reserved8)];
    const uint32_t known = QUIPU_EVENT_HAS_ID | QUIPU_EVENT_HAS_TIME | QUIPU_EVENT_HAS_RECORDED;
    size_t size;
    int rc = qp_text_name(draft->type, QP_NAME_MAX, "a type", &size, error);

    if (rc == QUIPU_OK)
        rc = check_reserved_name(draft->type, "a type", error);
    if (rc < 0)
        return rc;
    if ((draft->flags & ~known) != 0)
        return qp_fail(error, QUIPU_MISUSE, "unknown flags of a draft: %x", draft->flags & ~known);
    if (memcmp(draft->reserved8, zeroes, sizeof(zeroes)) != 0 || draft->reserved[0] != 0)
        return qp_fail(error, QUIPU_MISUSE, "a draft's reserved fields are not 0");
    if ((uint64_t)draft->data_size + draft->meta_size > QP_DATA_BYTES_MAX) {
        return qp_fail(error, QUIPU_TOO_LARGE, "data and meta have %llu bytes, more than %llu",
                       (unsigned long long)draft->data_size + draft->meta_size,
                       (unsigned long long)QP_DATA_BYTES_MAX);
    }
    rc = check_there(draft->data, draft->data_size, draft->data_format, "data", error);
    if (rc == QUIPU_OK)
        rc = check_there(draft->meta, draft->meta_size, draft->meta_format, "meta", error);
    return rc == QUIPU_OK ? check_tags(draft, error) : rc;
}

/* All that is wrong with a draft is found before its step is begun. */
static int check_draft(const quipu_draft *draft, quipu_error *error)
{
    int rc = qp_batch_check_draft(draft, error);

    if (rc == QUIPU_OK)
        rc = check_payload(draft->data, draft->data_size, draft->data_format, "data", error);
    if (rc == QUIPU_OK)
        rc = check_payload(draft->meta, draft->meta_size, draft->meta_format, "meta", error);
    return rc;
}

/* Build the record of a draft that was checked. Both reserves come before the first change: whoever
 * is out of memory here leaves the batch as it was. */
static int add_draft(struct qp_batch *batch, struct qp_bytes stream, const quipu_draft *draft,
                     quipu_error *error)
{
    size_t size = qp_record_bytes(draft, stream.size);
    size_t payload = (size_t)draft->data_size + draft->meta_size;
    struct qp_draft_record *record;

    assert(batch->draft_count < QP_BATCH_EVENTS_MAX && batch->bytes.size <= QP_BATCH_BYTES_MAX);
    if (batch->bytes.size + size > QP_BATCH_BYTES_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "the batch has more than %llu bytes",
                       (unsigned long long)QP_BATCH_BYTES_MAX);
    if (!qp_array_reserve(&batch->drafts, &batch->draft_capacity, batch->draft_count + 1,
                          sizeof(*batch->drafts)) ||
        !qp_buffer_reserve(&batch->bytes, size))
        return qp_fail_memory(error);
    record = &batch->drafts[batch->draft_count++];
    record->offset = batch->bytes.size;
    record->size = size;
    record->id_offset = (draft->flags & QUIPU_EVENT_HAS_ID) != 0 ? size - payload - 16 : 0;
    record->content = qp_record_build(draft, stream, batch->bytes.bytes + batch->bytes.size);
    record->recorded_wish_ns = draft->recorded_ns;
    record->recorded_given = (draft->flags & QUIPU_EVENT_HAS_RECORDED) != 0;
    batch->bytes.size += size;
    if (payload > batch->payload_max)
        batch->payload_max = payload;
    return QUIPU_OK;
}

/* ---- steps ---- */

/* A condition is a number that a stream can have, or one of the two words. The room for events is
 * counted from above, because `count` is the caller's and a sum might wrap. */
static int check_append(const struct qp_batch *batch, const char *stream, uint64_t expected,
                        const quipu_draft *drafts, size_t count, quipu_error *error)
{
    size_t size;
    int rc = qp_text_name(stream, QP_NAME_MAX, "a stream", &size, error);

    assert(batch->draft_count <= QP_BATCH_EVENTS_MAX);
    if (rc == QUIPU_OK)
        rc = check_reserved_name(stream, "a stream", error);
    if (rc < 0)
        return rc;
    if (expected > QP_POSITION_MAX && expected != QUIPU_ANY && expected != QUIPU_EXISTS)
        return qp_fail(error, QUIPU_MISUSE, "no stream has the expected version %llu",
                       (unsigned long long)expected);
    if (count > 0 && drafts == NULL)
        return qp_fail(error, QUIPU_MISUSE, "drafts is NULL with %zu of them", count);
    if (count > QP_BATCH_EVENTS_MAX - batch->draft_count)
        return qp_fail(error, QUIPU_TOO_LARGE, "the batch has more than %llu events",
                       (unsigned long long)QP_BATCH_EVENTS_MAX);
    for (size_t i = 0; i < count && rc == QUIPU_OK; i++)
        rc = check_draft(&drafts[i], error);
    return rc;
}

/* A zeroed step with its kind, at the end. NULL: memory is out. */
static struct qp_step *add_step(struct qp_batch *batch, enum qp_step_kind kind)
{
    struct qp_step *step;

    if (!qp_array_reserve(&batch->steps, &batch->step_capacity, batch->step_count + 1,
                          sizeof(*batch->steps)))
        return NULL;
    step = &batch->steps[batch->step_count++];
    *step = (struct qp_step){.kind = kind, .first_draft = batch->draft_count};
    return step;
}

/* A step with a name that was checked. NULL: memory is out, and a step without a name may be there.
 */
static struct qp_step *add_named(struct qp_batch *batch, enum qp_step_kind kind, const char *name)
{
    struct qp_step *step = add_step(batch, kind);
    size_t size = strlen(name);

    assert(size > 0 && size <= QP_NAME_MAX);
    if (step == NULL || !qp_buffer_put(&batch->names, name, size + 1))
        return NULL;
    step->name_offset = batch->names.size - size - 1;
    step->name_size = size;
    step->name_sum = qp_sum(name, size, kind);
    return step;
}

struct qp_batch_edge qp_batch_edge(const struct qp_batch *batch)
{
    return (struct qp_batch_edge){batch->bytes.size, batch->names.size, batch->step_count,
                                  batch->draft_count, batch->payload_max};
}

/* Memory that was added stays. */
void qp_batch_cut(struct qp_batch *batch, const struct qp_batch_edge *edge)
{
    drop_steps(batch, edge->steps);
    batch->bytes.size = edge->bytes;
    batch->names.size = edge->names;
    batch->draft_count = edge->drafts;
    batch->payload_max = edge->payload_max;
}

/* What each call that adds steps ends with. The first failure is kept: a program may fill a batch
 * without looking and is told when it commits. Results of an earlier commit are void from here on,
 * because the steps are no longer those. */
static int settle_call(struct qp_batch *batch, const struct qp_batch_edge *before, int rc,
                       const quipu_error *error)
{
    batch->decided = false;
    if (rc == QUIPU_OK)
        return rc;
    qp_batch_cut(batch, before);
    if (batch->failure.status == QUIPU_OK)
        batch->failure = *error;
    return rc;
}

int qp_batch_append(struct qp_batch *batch, const char *stream, uint64_t expected,
                    const quipu_draft *drafts, size_t count)
{
    const struct qp_batch_edge before = qp_batch_edge(batch);
    quipu_error error = {0};
    int rc = check_append(batch, stream, expected, drafts, count, &error);
    struct qp_step *step = NULL;

    if (rc == QUIPU_OK) {
        step = add_named(batch, QP_STEP_STREAM, stream);
        rc = step != NULL ? QUIPU_OK : qp_fail_memory(&error);
    }
    if (step != NULL) {
        step->expected = expected;
        step->draft_count = count;
    }
    for (size_t i = 0; i < count && rc == QUIPU_OK; i++)
        rc = add_draft(batch, qp_batch_name(batch, step), &drafts[i], &error);
    assert(rc < 0 || batch->draft_count == before.drafts + count);
    return settle_call(batch, &before, rc, &error);
}

int qp_batch_unless(struct qp_batch *batch, const quipu_query *query, uint64_t after)
{
    const struct qp_batch_edge before = qp_batch_edge(batch);
    quipu_error error = {0};
    struct qp_step *step = add_step(batch, QP_STEP_UNLESS);
    int rc = QUIPU_OK;

    if (step != NULL) {
        step->expected = after;
        step->query = qp_zalloc(sizeof(*step->query));
    }
    if (step == NULL || step->query == NULL)
        rc = qp_fail_memory(&error);
    if (rc == QUIPU_OK && after > QP_POSITION_MAX)
        rc = qp_fail(&error, QUIPU_MISUSE, "no event has the position %llu",
                     (unsigned long long)after);
    if (rc == QUIPU_OK)
        rc = qp_query_copy(query, step->query, &error);
    return settle_call(batch, &before, rc, &error);
}

/* Both words stand in the table `marks`, with the limits of what may own something. */
int qp_batch_number(struct qp_batch *batch, enum qp_step_kind kind, const char *name,
                    uint64_t number)
{
    const struct qp_batch_edge before = qp_batch_edge(batch);
    const char *what = kind == QP_STEP_MARK ? "a mark" : "a source";
    quipu_error error = {0};
    size_t size;
    int rc = qp_text_name(name, QP_OWNER_NAME_MAX, what, &size, &error);

    assert(kind == QP_STEP_MARK || kind == QP_STEP_TRACK);
    if (rc == QUIPU_OK)
        rc = check_reserved_name(name, what, &error);
    if (rc == QUIPU_OK && kind == QP_STEP_MARK && number > QP_POSITION_MAX)
        rc = qp_fail(&error, QUIPU_MISUSE, "no event has the position %llu",
                     (unsigned long long)number);
    if (rc == QUIPU_OK) {
        struct qp_step *step = add_named(batch, kind, name);

        rc = step != NULL ? QUIPU_OK : qp_fail_memory(&error);
        if (step != NULL)
            step->number = number;
    }
    return settle_call(batch, &before, rc, &error);
}

/* ---- projections ----
 *
 *     effects   table u8  deletes u8  key size u16  value size u32  key  value | ... | row
 *
 * Built by the engine alone: nothing of it is a caller's to get wrong. */

enum { EFFECT_HEAD_BYTES = 8 };

int qp_batch_own(struct qp_batch *batch, struct qp_bytes projection)
{
    struct qp_step *step = &batch->steps[batch->step_count - 1];

    assert(batch->step_count > 0 && step->kind == QP_STEP_STREAM && projection.size > 0);
    if (!qp_buffer_put(&batch->names, projection.data, projection.size))
        return qp_fail_memory(NULL);
    step->owner_offset = batch->names.size - projection.size;
    step->owner_size = projection.size;
    return QUIPU_OK;
}

int qp_batch_effect(struct qp_batch *batch, const struct qp_effect *effect, quipu_error *error)
{
    uint8_t head[EFFECT_HEAD_BYTES] = {(uint8_t)effect->table, effect->deletes};

    assert(effect->key.size <= QP_KEY_BYTES_MAX && effect->value.size <= QP_BATCH_BYTES_MAX);
    qp_set_u16(head + 2, (uint16_t)effect->key.size);
    qp_set_u32(head + 4, (uint32_t)effect->value.size);
    if (!qp_buffer_reserve(&batch->effects, sizeof(head) + effect->key.size + effect->value.size))
        return qp_fail_memory(error);
    (void)qp_buffer_put(&batch->effects, head, sizeof(head)); /* there is room for all three */
    (void)qp_buffer_put(&batch->effects, effect->key.data, effect->key.size);
    if (effect->value.size > 0)
        (void)qp_buffer_put(&batch->effects, effect->value.data, effect->value.size);
    return QUIPU_OK;
}

int qp_batch_project(struct qp_batch *batch, struct qp_bytes name, uint64_t sequence,
                     const uint8_t *row, size_t size, quipu_error *error)
{
    char text[QP_OWNER_NAME_MAX + 1] = {0};
    struct qp_step *step;

    assert(name.size > 0 && name.size <= QP_OWNER_NAME_MAX);
    memcpy(text, name.data, name.size);
    if (!qp_buffer_reserve(&batch->effects, size))
        return qp_fail_memory(error);
    step = add_named(batch, QP_STEP_PROJECT, text);
    if (step == NULL)
        return qp_fail_memory(error);
    if (size > 0)
        (void)qp_buffer_put(&batch->effects, row, size);
    step->expected = sequence;
    step->row_size = size;
    step->effects_offset = batch->effects_taken;
    step->effects_size = batch->effects.size - batch->effects_taken;
    batch->effects_taken = batch->effects.size;
    batch->decided = false;
    return QUIPU_OK;
}

uint8_t *qp_batch_row(const struct qp_batch *batch, const struct qp_step *step)
{
    return batch->effects.bytes + step->effects_offset + step->effects_size - step->row_size;
}

bool qp_batch_next_effect(const struct qp_batch *batch, const struct qp_step *step, size_t *at,
                          struct qp_effect *effect)
{
    const uint8_t *head = batch->effects.bytes + step->effects_offset + *at;
    size_t key_size;
    size_t value_size;

    if (*at == step->effects_size - step->row_size)
        return false;
    key_size = qp_get_u16(head + 2);
    value_size = qp_get_u32(head + 4);
    *effect = (struct qp_effect){.table = head[0],
                                 .deletes = head[1] != 0,
                                 .key = {head + EFFECT_HEAD_BYTES, key_size},
                                 .value = {head + EFFECT_HEAD_BYTES + key_size, value_size}};
    *at += EFFECT_HEAD_BYTES + key_size + value_size;
    assert(*at <= step->effects_size - step->row_size);
    return true;
}
