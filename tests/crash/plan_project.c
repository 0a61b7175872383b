/* plan_project.c - see plan_project.h. What a projection emits stands in the log too, so that the
 * positions of all that follows depend on how far it came: that is reckoned here.
 *
 *     project   pages, parked keys, one that stops; replayed, skipped, drained, dropped, paused
 *     rebuild   another version beside the view, swap, clean-up; rewound, deleted, made again
 *     inline    within commits; left behind by who does not know it; parked and replayed */
#include "plan_project.h"

#include "support_system.h"

enum { FEW = 3, PAGE = 16 };

static bool was_made(const struct crash_folds *folds, uint64_t position)
{
    for (size_t i = 0; i < folds->made_count; i++)
        if (position >= folds->made[i][0] && position <= folds->made[i][1])
            return true;
    return false;
}

/* The head when FOLDS_MADE has come to `to`. */
static uint64_t emit(struct crash_plan *plan, uint64_t to)
{
    struct crash_folds *folds = &plan->folds;
    uint64_t first = plan->events + 1;

    for (uint64_t at = folds->marks[FOLDS_MADE] + 1; at <= to; at++)
        plan->events += folds_emits(at) && !was_made(folds, at);
    if (plan->events < first)
        return to;
    CHECK(folds->made_count < sizeof(folds->made) / sizeof(folds->made[0]), "too many");
    folds->made[folds->made_count][0] = first;
    folds->made[folds->made_count++][1] = plan->events;
    return plan->events;
}

static void add_project(struct builder *builder, enum folds_which which, bool mended,
                        uint32_t page_events)
{
    struct crash_plan *plan = crash_builder_plan(builder);
    struct crash_op *op = crash_builder_op(builder, CRASH_PROJECT);
    struct crash_folds *folds = &plan->folds;

    if (folds->versions[which] == 0)
        folds->versions[which] = 1;
    op->project = (struct crash_project){.function = {which, folds->versions[which], mended},
                                         .page_events = page_events,
                                         .key = -1,
                                         .mark = plan->events};
    if (which == FOLDS_MADE && !mended && folds->stops_at > 0) {
        op->project.rc = QUIPU_FAULTED;
        op->project.mark = folds->stops_at - 1;
        (void)emit(plan, op->project.mark);
    } else if (which == FOLDS_MADE) {
        op->project.mark = emit(plan, plan->events);
        folds->stops_at = 0;
    } else if (which == FOLDS_INLINE) {
        folds->inline_waits = false;
    }
    folds->marks[which] = op->project.mark;
}

static struct crash_op *add_control(struct builder *builder, enum folds_which which, int control,
                                    int key)
{
    struct crash_op *op = crash_builder_op(builder, CRASH_CONTROL);

    op->project = (struct crash_project){
        .function = {.which = which, .version = crash_builder_plan(builder)->folds.versions[which]},
        .control = control,
        .key = key};
    return op;
}

/* One that fails, and some behind it and beside it. */
static void add_failing(struct builder *builder, enum folds_which which, unsigned stream)
{
    struct crash_plan *plan = crash_builder_plan(builder);

    crash_builder_event(builder, stream, folds_poison(which));
    if (which == FOLDS_MADE)
        plan->folds.stops_at = plan->events;
    for (unsigned i = 0; i < FEW; i++)
        crash_builder_event(builder, stream + i % 2, 0);
}

/* With the inline one it must be there when the commit is. */
static void add_inlined(struct builder *builder, unsigned stream, uint16_t poison)
{
    struct crash_plan *plan = crash_builder_plan(builder);

    crash_builder_event(builder, stream, poison);
    if (!plan->folds.inline_waits)
        plan->ops[plan->op_count - 1].project.mark = plan->events;
}

void crash_part_project(struct builder *builder)
{
    struct crash_plan *plan = crash_builder_plan(builder);

    crash_builder_open(builder, false);
    add_project(builder, FOLDS_LISTS, false, PAGE);
    add_failing(builder, FOLDS_LISTS, 0);
    add_failing(builder, FOLDS_MADE, 1);
    add_project(builder, FOLDS_LISTS, false, 2);
    add_project(builder, FOLDS_MADE, false, PAGE);
    crash_builder_event(builder, 0, 0);
    add_project(builder, FOLDS_LISTS, false, 0);
    (void)add_control(builder, FOLDS_MADE, QUIPU_RESUME, -1);
    add_project(builder, FOLDS_MADE, true, PAGE);
    (void)add_control(builder, FOLDS_LISTS, QUIPU_REPLAY, -1);
    add_project(builder, FOLDS_LISTS, true, 2);

    for (unsigned stream = 3; stream < 9; stream += 3)
        add_failing(builder, FOLDS_LISTS, stream);
    add_project(builder, FOLDS_LISTS, false, PAGE);
    (void)add_control(builder, FOLDS_LISTS, QUIPU_SKIP, 3);
    (void)add_control(builder, FOLDS_LISTS, QUIPU_DRAIN, 3);
    add_project(builder, FOLDS_LISTS, false, PAGE);
    (void)add_control(builder, FOLDS_LISTS, QUIPU_DROP, 6);

    (void)add_control(builder, FOLDS_LISTS, QUIPU_PAUSE, -1);
    crash_builder_event(builder, 3, 0);
    add_project(builder, FOLDS_LISTS, false, PAGE);
    plan->ops[plan->op_count - 1].project.mark = 0;
    (void)add_control(builder, FOLDS_LISTS, QUIPU_RESUME, -1);
    add_project(builder, FOLDS_LISTS, false, PAGE);
    crash_builder_close(builder);
}

void crash_part_rebuild(struct builder *builder)
{
    struct crash_plan *plan = crash_builder_plan(builder);

    crash_builder_open(builder, false);
    add_project(builder, FOLDS_MADE, true, PAGE); /* what a rebuild passes is not emitted */
    add_failing(builder, FOLDS_LISTS, 9);
    add_project(builder, FOLDS_LISTS, false, PAGE);
    plan->folds.versions[FOLDS_LISTS] = 2;
    add_project(builder, FOLDS_LISTS, false, 2 * PAGE);
    (void)add_control(builder, FOLDS_LISTS, QUIPU_REPLAY, 9);
    add_project(builder, FOLDS_LISTS, true, PAGE);
    (void)add_control(builder, FOLDS_LISTS, QUIPU_REPLAY, -1);
    add_project(builder, FOLDS_LISTS, true, 3);

    (void)add_control(builder, FOLDS_LISTS, QUIPU_REWIND, -1);
    crash_builder_event(builder, 2, 0);
    add_project(builder, FOLDS_LISTS, true, 4 * PAGE);
    (void)add_control(builder, FOLDS_LISTS, QUIPU_DELETE, -1);
    plan->folds.versions[FOLDS_LISTS] = 3;
    add_project(builder, FOLDS_LISTS, true, 4 * PAGE);
    add_project(builder, FOLDS_MADE, true, 0);
    plan->folds.versions[FOLDS_MADE] = 2;
    add_project(builder, FOLDS_MADE, true, 2 * PAGE);
    crash_builder_close(builder);
}

void crash_part_inline(struct builder *builder)
{
    uint16_t poison = folds_poison(FOLDS_INLINE);

    crash_builder_open(builder, true);
    for (unsigned i = 0; i < 2 * FEW; i++)
        add_inlined(builder, i, 0);
    add_inlined(builder, 7, poison);
    add_inlined(builder, 7, 0);
    add_inlined(builder, 8, 0);
    crash_builder_close(builder);

    crash_builder_open(builder, false);
    for (unsigned i = 0; i < FEW; i++)
        crash_builder_event(builder, 7, 0);
    crash_builder_close(builder);

    crash_builder_open(builder, true);
    add_inlined(builder, 7, 0);
    add_inlined(builder, 6, poison);
    (void)add_control(builder, FOLDS_INLINE, QUIPU_REPLAY, -1);
    crash_builder_plan(builder)->folds.inline_waits = true;
    add_inlined(builder, 5, 0);
    add_project(builder, FOLDS_INLINE, true, 2);
    for (unsigned i = 0; i < FEW; i++)
        add_inlined(builder, i + 5, 0);
    crash_builder_close(builder);
}

bool crash_part_projects(const struct crash_plan *plan, unsigned part)
{
    for (uint32_t op = plan->part_first[part]; op < plan->part_first[part + 1]; op++)
        if (plan->ops[op].kind == CRASH_PROJECT || plan->ops[op].inlines)
            return true;
    return false;
}
