/* plan.c - see plan.h. All is made from the seed by one generator, op for op, so that a plan of
 * some parts is the same each time. */
#include "plan.h"

#include "plan_project.h"
#include "support_system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC = 0x43526173, HEAD_WORDS = 6, HEAD_BYTES = HEAD_WORDS * 4 };

#define MIB (UINT64_C(1) << 20)

/* ---- building -------------------------------------------------------------------------------- */

/* While a plan is built: what has happened so far. */
struct builder {
    struct crash_plan *plan;
    struct sys_random random;
    unsigned part;
    bool lazy;    /* the open store is */
    bool inlines; /* with an inline projection */
};

static void *grown(void *array, size_t count, size_t size)
{
    void *larger = array;

    if ((count & (count + 1)) == 0) /* room for 2^n - 1, and for the next as many */
        larger = realloc(array, (2 * count + 2) * size);
    CHECK(larger != NULL, "out of memory");
    return larger;
}

static struct crash_op *add_op(struct builder *builder, enum crash_op_kind kind)
{
    struct crash_plan *plan = builder->plan;
    struct crash_op *op;

    plan->ops = grown(plan->ops, plan->op_count, sizeof(*plan->ops));
    op = &plan->ops[plan->op_count++];
    *op = (struct crash_op){.kind = kind,
                            .part = builder->part,
                            .lazy = builder->lazy && kind != CRASH_OPEN,
                            .inlines = builder->inlines,
                            .first_step = plan->step_count,
                            .first_position = plan->events + 1};
    return op;
}

static void add_step(struct builder *builder, struct crash_op *op, unsigned stream, uint32_t count,
                     uint64_t expected)
{
    struct crash_plan *plan = builder->plan;
    bool own = stream < CRASH_OWN_STREAMS;

    plan->steps = grown(plan->steps, plan->step_count, sizeof(*plan->steps));
    plan->steps[plan->step_count++] =
        (struct crash_step){.stream = stream,
                            .first = op->events,
                            .count = count,
                            .expected = expected,
                            .first_version = own ? plan->versions[stream] + 1 : 0};
    op->step_count++;
    op->events += count;
    if (!crash_op_writes(op))
        return;
    plan->versions[stream] += count;
    plan->events += count;
}

static unsigned any_stream(struct builder *builder)
{
    return (unsigned)sys_below(&builder->random, CRASH_STREAMS);
}

/* What may be said of a stream whose version is known; nothing of one that is shared. */
static uint64_t expectation(struct builder *builder, unsigned stream)
{
    uint64_t version = builder->plan->versions[stream];

    if (stream >= CRASH_OWN_STREAMS || sys_chance(&builder->random, 40))
        return QUIPU_ANY;
    return version; /* QUIPU_NEW is 0 */
}

/* A batch over several different streams, of at most `count` events in each. */
static uint32_t add_batch(struct builder *builder, unsigned streams, uint32_t count, uint32_t bytes)
{
    struct crash_op *op = add_op(builder, CRASH_COMMIT);
    unsigned stream = any_stream(builder);

    op->ids = sys_chance(&builder->random, 70);
    op->data_bytes_max = bytes;
    for (unsigned i = 0; i < streams; i++) {
        uint32_t events = 1 + (uint32_t)sys_below(&builder->random, count);

        add_step(builder, op, stream, events, expectation(builder, stream));
        stream = (stream + 1) % CRASH_STREAMS;
    }
    return (uint32_t)(builder->plan->op_count - 1);
}

static uint32_t add_one(struct builder *builder, unsigned stream, uint32_t bytes, bool ids)
{
    struct crash_op *op = add_op(builder, CRASH_COMMIT);

    op->ids = ids;
    op->data_bytes_max = bytes;
    add_step(builder, op, stream, 1, expectation(builder, stream));
    return (uint32_t)(builder->plan->op_count - 1);
}

static void add_open(struct builder *builder, uint32_t flags, uint64_t map_bytes)
{
    struct crash_op *op = add_op(builder, CRASH_OPEN);

    op->open_flags = flags;
    op->map_bytes = map_bytes;
    op->lazy = builder->lazy;
}

/* ---- for plan_project.c ---- */

struct crash_plan *crash_builder_plan(struct builder *builder)
{
    return builder->plan;
}

struct crash_op *crash_builder_op(struct builder *builder, enum crash_op_kind kind)
{
    return add_op(builder, kind);
}

void crash_builder_open(struct builder *builder, bool inlines)
{
    builder->inlines = inlines;
    add_open(builder, 0, 0);
}

void crash_builder_close(struct builder *builder)
{
    (void)add_op(builder, CRASH_CLOSE);
    builder->inlines = false;
}

void crash_builder_event(struct builder *builder, unsigned stream, uint16_t poison)
{
    uint32_t op = add_one(builder, stream, 200, true);

    builder->plan->ops[op].poison = poison;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void part_create(struct builder *builder)
{
    add_open(builder, QUIPU_OPEN_NEW, 0);
    (void)add_one(builder, 0, 100, true);
    (void)add_op(builder, CRASH_CLOSE);
}

static void part_append(struct builder *builder)
{
    static const uint32_t bytes[] = {0, 60, 300, 3000, 9000, 30000};

    add_open(builder, QUIPU_OPEN_EXISTING, 0);
    for (unsigned i = 0; i < 12; i++)
        (void)add_one(builder, any_stream(builder), bytes[i % 6], i % 4 != 3);
    add_step(builder, add_op(builder, CRASH_EXECUTE), 1, 1, QUIPU_ANY);
    add_step(builder, add_op(builder, CRASH_EXECUTE), 2, 1, QUIPU_ANY);
    (void)add_op(builder, CRASH_CLOSE);
}

static void part_batch(struct builder *builder)
{
    add_open(builder, 0, 0);
    for (unsigned i = 0; i < 8; i++)
        (void)add_batch(builder, 2 + i % 5, 1 + 3 * i, i % 3 == 2 ? 5000 : 150);
    (void)add_op(builder, CRASH_CLOSE);
}

/* Each refused batch would leave something if it could: a step that holds stands in it too. */
static void add_refused(struct builder *builder, enum crash_op_kind kind, uint32_t of)
{
    struct crash_op *op = add_op(builder, kind);
    unsigned stream = builder->plan->steps[builder->plan->ops[of].first_step].stream;

    op->of = of;
    op->ids = true;
    op->data_bytes_max = 200;
    if (kind == CRASH_CONFLICT) {
        add_step(builder, op, (stream + 1) % CRASH_OWN_STREAMS, 2, QUIPU_ANY);
        add_step(builder, op, stream, 2, builder->plan->versions[stream] + 1);
    } else if (kind == CRASH_AGAIN) {
        op->first_position = builder->plan->ops[of].first_position;
    } else if (kind == CRASH_PARTIAL) {
        op->events = builder->plan->ops[of].events + 1;
    } else {
        add_step(builder, op, stream, 3, QUIPU_ANY);
    }
}

static void part_refuse(struct builder *builder)
{
    add_open(builder, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t of = add_one(builder, 3 + i, 100, true);

        add_refused(builder, CRASH_CONFLICT, of);
        add_refused(builder, CRASH_AGAIN, of);
        (void)add_batch(builder, 3, 4, 100);
        add_refused(builder, CRASH_PARTIAL, of);
        add_refused(builder, CRASH_KNOWN, of);
        add_refused(builder, CRASH_TWICE, of);
        add_refused(builder, CRASH_AGAIN, of);
    }
    (void)add_op(builder, CRASH_CLOSE);
}

static void part_look(struct builder *builder)
{
    add_open(builder, QUIPU_OPEN_READ_ONLY, 0);
    (void)add_op(builder, CRASH_LOOK);
    (void)add_op(builder, CRASH_CLOSE);
    add_open(builder, 0, 0);
    (void)add_one(builder, 5, 100, true);
    (void)add_op(builder, CRASH_LOOK);
    (void)add_op(builder, CRASH_CLOSE);
}

/* Each commit moves a source and a mark too, on a condition that holds; some that do not. */
static void part_track(struct builder *builder)
{
    add_open(builder, 0, 0);
    for (unsigned i = 0; i < 6; i++) {
        uint32_t of = add_one(builder, i, 100, true);

        builder->plan->ops[of].tracks = true;
        if (i % 2 == 0) {
            add_refused(builder, CRASH_OUTDATED, of);
            add_refused(builder, CRASH_TRACKED, of);
            add_refused(builder, CRASH_AGAIN, of);
        }
    }
    (void)add_op(builder, CRASH_CLOSE);
}

static void part_lazy(struct builder *builder)
{
    builder->lazy = true;
    for (unsigned i = 0; i < 2; i++) {
        add_open(builder, 0, 0);
        for (unsigned j = 0; j < 5; j++) {
            (void)add_one(builder, any_stream(builder), 300, j % 2 == 0);
            if (j == 2)
                (void)add_op(builder, CRASH_FLUSH);
        }
        (void)add_op(builder, CRASH_CLOSE);
    }
    builder->lazy = false;
}

/* Several in flight, some while another one is waited for. */
static void part_async(struct builder *builder)
{
    add_open(builder, 0, 0);
    for (unsigned i = 0; i < 24; i++) {
        uint32_t op = add_one(builder, any_stream(builder), 400, i % 2 == 0);

        if (i % 8 == 6)
            continue;
        builder->plan->ops[op].kind = CRASH_ASYNC;
        if (i == 11)
            (void)add_op(builder, CRASH_FLUSH);
    }
    (void)add_op(builder, CRASH_CLOSE);
}

/* By policy, in executes and loads, and without one; lazily too. */
static void part_snapshot(struct builder *builder)
{
    for (unsigned round = 0; round < 2; round++) {
        builder->lazy = round == 1;
        add_open(builder, 0, 0);
        for (unsigned i = 0; i < 8; i++) {
            (void)add_one(builder, i % 3, 100, i % 2 == 0);
            add_step(builder, add_op(builder, CRASH_EXECUTE), i % 3, 1, QUIPU_ANY);
            if (i % 2 == 1)
                add_op(builder, CRASH_SAVE)->of = i % 3;
            if (i == 5)
                (void)add_op(builder, CRASH_DROP);
        }
        (void)add_op(builder, CRASH_CLOSE);
    }
    builder->lazy = false;
}

static void part_reindex(struct builder *builder)
{
    (void)add_op(builder, CRASH_REINDEX);
    add_open(builder, 0, 0);
    (void)add_batch(builder, 4, 3, 100);
    (void)add_op(builder, CRASH_CLOSE);
    (void)add_op(builder, CRASH_REINDEX);
}

static void part_reopen(struct builder *builder)
{
    for (unsigned i = 0; i < 4; i++) {
        add_open(builder, i == 2 ? QUIPU_OPEN_READ_ONLY : 0, 0);
        if (i != 2)
            (void)add_one(builder, any_stream(builder), 200, i % 2 == 0);
        (void)add_op(builder, CRASH_CLOSE);
    }
}

/* More events than are left to a later merge: the first batches fill the tail, which is merged
 * while the store is open, and the rest at its close. */
static void part_merge(struct builder *builder)
{
    add_open(builder, 0, 0);
    for (unsigned i = 0; i < 6; i++) {
        struct crash_op *op = add_op(builder, CRASH_COMMIT);

        op->ids = i % 2 == 0;
        for (unsigned j = 0; j < 4; j++)
            add_step(builder, op, (3 * i + j) % CRASH_STREAMS, 250, QUIPU_ANY);
        (void)add_one(builder, i, 100, true);
    }
    (void)add_op(builder, CRASH_CLOSE);
}

static void part_thread(struct builder *builder)
{
    add_open(builder, QUIPU_OPEN_MERGE_THREAD, 0);
    for (unsigned i = 0; i < 6; i++) {
        struct crash_op *op = add_op(builder, CRASH_COMMIT);

        for (unsigned j = 0; j < 4; j++)
            add_step(builder, op, (2 * i + j) % CRASH_STREAMS, 250, QUIPU_ANY);
        (void)add_one(builder, i, 100, true);
    }
    (void)add_op(builder, CRASH_CLOSE);
}

/* Over 4 MiB, the smallest map. */
static void part_grow(struct builder *builder)
{
    add_open(builder, 0, 4 * MIB);
    for (unsigned i = 0; i < 10; i++) {
        struct crash_op *op = add_op(builder, CRASH_COMMIT);

        op->ids = i % 2 == 0;
        op->data_bytes_max = CRASH_DATA_BYTES;
        add_step(builder, op, i % CRASH_OWN_STREAMS, 24, QUIPU_ANY);
        (void)add_one(builder, i, 100, true);
    }
    (void)add_op(builder, CRASH_CLOSE);
}

static void part_traffic(struct builder *builder)
{
    add_open(builder, 0, 0);
    for (unsigned i = 0; i < 150; i++) {
        if (i % 25 == 24)
            (void)add_batch(builder, 4, 300, 0);
        else if (i % 3 == 0)
            (void)add_batch(builder, 3, 5, 300);
        else
            (void)add_one(builder, any_stream(builder), i % 10 == 1 ? 6000 : 200, i % 2 == 0);
        if (i % 10 == 9 && builder->plan->ops[builder->plan->op_count - 1].ids)
            add_refused(builder, CRASH_AGAIN, (uint32_t)builder->plan->op_count - 1);
    }
    (void)add_op(builder, CRASH_CLOSE);
}

static const struct {
    const char *name;
    void (*build)(struct builder *builder);
} parts_known[] = {
    {"create", part_create},
    {"append", part_append},
    {"batch", part_batch},
    {"refuse", part_refuse},
    {"look", part_look},
    {"reindex", part_reindex},
    {"reopen", part_reopen},
    {"merge", part_merge},
    {"grow", part_grow},
    {"traffic", part_traffic},
    {"track", part_track},
    {"lazy", part_lazy},
    {"async", part_async},
    {"thread", part_thread},
    {"project", crash_part_project},
    {"snapshot", part_snapshot},
    {"rebuild", crash_part_rebuild},
    {"inline", crash_part_inline},
};

static void build_part(struct builder *builder, const char *name, size_t size)
{
    struct crash_plan *plan = builder->plan;

    CHECK(plan->part_count < CRASH_PARTS_MAX, "too many parts");
    for (size_t i = 0; i < sizeof(parts_known) / sizeof(parts_known[0]); i++) {
        if (strlen(parts_known[i].name) != size || memcmp(parts_known[i].name, name, size) != 0)
            continue;
        builder->part = plan->part_count;
        (void)snprintf(plan->part_names[plan->part_count], sizeof(plan->part_names[0]), "%s",
                       parts_known[i].name);
        plan->part_first[plan->part_count] = (uint32_t)plan->op_count;
        parts_known[i].build(builder);
        plan->part_count++;
        plan->part_first[plan->part_count] = (uint32_t)plan->op_count;
        return;
    }
    CHECK(false, "no part is called %.*s", (int)size, name);
}

void crash_plan_build(struct crash_plan *plan, uint64_t seed, unsigned writer, const char *parts)
{
    struct builder builder = {.plan = plan, .random = {.state = seed * 1000003 + writer}};

    *plan = (struct crash_plan){.seed = seed, .writer = writer, .tail_mib = 1};
    while (*parts != '\0') {
        size_t size = strcspn(parts, ",");

        build_part(&builder, parts, size);
        parts += size + (parts[size] == ',');
    }
}

void crash_plan_free(struct crash_plan *plan)
{
    free(plan->ops);
    free(plan->steps);
    *plan = (struct crash_plan){0};
}

bool crash_plan_part(const struct crash_plan *plan, const char *name, uint32_t *first,
                     uint32_t *end)
{
    for (unsigned i = 0; i < plan->part_count; i++) {
        if (strcmp(plan->part_names[i], name) == 0) {
            *first = plan->part_first[i];
            *end = plan->part_first[i + 1];
            return true;
        }
    }
    return false;
}

/* ---- operations ------------------------------------------------------------------------------ */

bool crash_op_writes(const struct crash_op *op)
{
    return op->kind == CRASH_COMMIT || op->kind == CRASH_EXECUTE || op->kind == CRASH_ASYNC;
}

const struct crash_step *crash_op_steps(const struct crash_plan *plan, uint32_t op, size_t *count)
{
    const struct crash_op *own = &plan->ops[op];

    if (own->kind == CRASH_AGAIN || own->kind == CRASH_PARTIAL)
        own = &plan->ops[own->of];
    *count = own->step_count;
    return &plan->steps[own->first_step];
}

uint64_t crash_tracked_number(uint32_t op)
{
    return (uint64_t)op + 1;
}

void crash_source_name(const struct crash_plan *plan, char out[CRASH_NAME_BYTES])
{
    (void)snprintf(out, CRASH_NAME_BYTES, "source-%u", plan->writer);
}

void crash_stream_name(const struct crash_plan *plan, unsigned stream, char out[CRASH_NAME_BYTES])
{
    static const char *const categories[] = {"order", "stock", "customer"};

    if (stream >= CRASH_OWN_STREAMS)
        (void)snprintf(out, CRASH_NAME_BYTES, "shared-%u", stream - CRASH_OWN_STREAMS);
    else
        (void)snprintf(out, CRASH_NAME_BYTES, "%s-%u-%u", categories[stream % 3], plan->writer,
                       stream);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void fill_data(struct crash_event *event, struct sys_random *random, uint32_t size)
{
    for (uint32_t i = HEAD_BYTES; i < size; i += 8) {
        uint64_t word = sys_next(random);

        memcpy(event->data + i, &word, size - i < 8 ? size - i : 8);
    }
}

static void fill_tags(struct crash_event *event, struct sys_random *random, unsigned writer)
{
    uint32_t count = (uint32_t)sys_below(random, 4);

    (void)snprintf(event->tags[0], CRASH_NAME_BYTES, "writer:%u", writer);
    (void)snprintf(event->tags[1], CRASH_NAME_BYTES, "customer:%u",
                   (unsigned)sys_below(random, 20));
    (void)snprintf(event->tags[2], CRASH_NAME_BYTES, "region:%u", (unsigned)sys_below(random, 3));
    for (size_t i = 0; i < 3; i++)
        event->tag_list[i] = event->tags[i];
    event->draft.tags = event->tag_list;
    event->draft.tag_count = count;
}

static void make_event(const struct crash_plan *plan, uint32_t number, uint32_t index,
                       struct crash_event *event)
{
    static const char *const types[] = {"Created", "Paid", "Moved", "Lost"};
    const struct crash_op *op = &plan->ops[number];
    struct sys_random random = {.state = plan->seed ^ ((uint64_t)plan->writer << 48) ^
                                         ((uint64_t)number << 24) ^ index};
    const uint32_t head[HEAD_WORDS] = {MAGIC, plan->writer, number,
                                       index, op->events,   (uint32_t)plan->seed};
    uint32_t size = HEAD_BYTES + (uint32_t)sys_below(&random, op->data_bytes_max + 1);

    if (size > CRASH_DATA_BYTES)
        size = CRASH_DATA_BYTES;
    memcpy(event->data, head, sizeof(head));
    fill_data(event, &random, size);
    event->draft =
        (quipu_draft){.type = types[sys_below(&random, 4)], .data = event->data, .data_size = size};
    fill_tags(event, &random, plan->writer);
    event->draft.schema = (uint16_t)sys_below(&random, 9);
    if (op->poison != 0)
        event->draft.schema = op->poison;
    if (sys_chance(&random, 30)) {
        event->draft.meta_size =
            (uint32_t)snprintf(event->meta, sizeof(event->meta), "{\"by\":%u}", number);
        event->draft.meta = event->meta;
        event->draft.meta_format = QUIPU_JSON;
    }
    if (sys_chance(&random, 30)) {
        event->draft.time_ns = (int64_t)sys_below(&random, UINT64_C(1) << 60);
        event->draft.flags |= QUIPU_EVENT_HAS_TIME;
    }
    if (op->ids) {
        uint64_t id[2] = {sys_next(&random), sys_next(&random)};

        memcpy(event->draft.id, id, sizeof(id));
        event->draft.flags |= QUIPU_EVENT_HAS_ID;
    }
}

size_t crash_op_data_bytes(const struct crash_plan *plan, uint32_t op)
{
    const struct crash_op *own = &plan->ops[op];
    const struct crash_op *of = &plan->ops[own->of];
    uint32_t most =
        own->data_bytes_max > of->data_bytes_max ? own->data_bytes_max : of->data_bytes_max;

    return most + HEAD_BYTES < CRASH_DATA_BYTES ? most + HEAD_BYTES : CRASH_DATA_BYTES;
}

void crash_op_event(const struct crash_plan *plan, uint32_t op, uint32_t k,
                    struct crash_event *event)
{
    const struct crash_op *own = &plan->ops[op];
    const struct crash_op *of = &plan->ops[own->of];

    if (own->kind == CRASH_AGAIN || (own->kind == CRASH_PARTIAL && k < of->events))
        make_event(plan, own->of, k, event);
    else if (own->kind == CRASH_KNOWN && k == 1)
        make_event(plan, own->of, 0, event);
    else
        make_event(plan, op, own->kind == CRASH_TWICE && k == 1 ? 0 : k, event);
}

bool crash_event_origin(const quipu_event *event, unsigned *writer, uint32_t *op, uint32_t *index)
{
    uint32_t head[HEAD_WORDS];

    if (event->data_size < HEAD_BYTES)
        return false;
    memcpy(head, event->data, sizeof(head));
    *writer = head[1];
    *op = head[2];
    *index = head[3];
    return head[0] == MAGIC;
}
