/* inspect_project.c - see inspect_project.h. */
#include "inspect_project.h"

#include "support_system.h"

#include <inttypes.h>
#include <string.h>

struct looking {
    const struct crash_bounds *bounds;
    enum folds_which which;
    const struct folds_log *log;
};

static bool is_for(const struct crash_op *op, enum folds_which which)
{
    return (op->kind == CRASH_PROJECT || op->kind == CRASH_CONTROL) &&
           op->project.function.which == which;
}

/* Was there an order to forget it, for a generation of that version? */
static bool may_forget(void *payload, uint32_t version, const char *stream, uint64_t position)
{
    const struct looking *looking = payload;
    const struct crash_plan *plan = looking->bounds->plan;
    bool fails = looking->log->events[position - 1].schema == folds_poison(looking->which);

    for (uint32_t i = 0; i < looking->bounds->begun && i < plan->op_count; i++) {
        const struct crash_op *op = &plan->ops[i];
        const struct crash_project *project = &op->project;
        char name[CRASH_NAME_BYTES];

        if (!is_for(op, looking->which) || project->key < 0 ||
            project->function.version != version || position >= op->first_position)
            continue;
        crash_stream_name(plan, (unsigned)project->key, name);
        if (strcmp(name, stream) == 0 &&
            (project->control == QUIPU_DROP || (project->control == QUIPU_SKIP && fails)))
            return true;
    }
    return false;
}

/* What was acknowledged and not deleted since. */
static void check_promised(const struct looking *looking, const struct folds_checked *checked)
{
    const struct crash_plan *plan = looking->bounds->plan;
    const char *name = folds_name(looking->which);
    uint64_t mark = 0;
    uint32_t version = 0;
    uint64_t skipped = 0;

    for (uint32_t i = 0; i < looking->bounds->begun && i < plan->op_count; i++) {
        const struct crash_op *op = &plan->ops[i];
        const struct crash_project *project = &op->project;

        if (!is_for(op, looking->which))
            continue;
        if (project->control == QUIPU_DELETE)
            mark = version = 0;
        if (op->kind == CRASH_PROJECT && project->function.version > version)
            skipped = 0;
        if (i >= looking->bounds->acked)
            continue;
        skipped += project->control == QUIPU_SKIP;
        if (op->kind == CRASH_PROJECT && project->mark > mark)
            mark = project->mark;
        if (op->kind == CRASH_PROJECT)
            version = project->function.version;
    }
    CHECK(version == 0 || (checked->row.exists && !checked->row.deleted),
          "LOST: projection %s was acknowledged, and is not there", name);
    CHECK(checked->row.mark >= mark && checked->row.version >= version,
          "LOST: %s has mark %" PRIu64 " and version %u, and had %" PRIu64 " and %u", name,
          checked->row.mark, checked->row.version, mark, version);
    CHECK(checked->forgotten >= skipped, "LOST: %s has passed over %" PRIu64 ", of %" PRIu64, name,
          checked->forgotten, skipped);
}

/* An inline one has what its commits have. */
static void check_inline(const struct looking *looking, uint32_t done, uint64_t mark)
{
    const struct crash_plan *plan = looking->bounds->plan;

    for (uint32_t i = 0; i < done && i < plan->op_count; i++)
        CHECK(!crash_op_writes(&plan->ops[i]) || plan->ops[i].project.mark <= mark,
              "operation %u is there, and the inline projection is at %" PRIu64, i, mark);
}

void crash_inspect_projects(quipu *store, const struct crash_bounds *bounds, uint32_t done,
                            unsigned flags)
{
    struct folds_log log;

    folds_log_read(store, &log);
    for (enum folds_which which = 0; which < FOLDS_COUNT; which++) {
        struct looking looking = {bounds, which, &log};
        struct folds_checked checked;

        folds_check(store, &log, which, may_forget, &looking, &checked);
        check_promised(&looking, &checked);
        if (which == FOLDS_INLINE && (flags & CRASH_BEHIND) == 0)
            check_inline(&looking, done, checked.row.mark);
    }
    folds_log_free(&log);
}

uint64_t crash_finish_projects(quipu *store, const struct crash_bounds *bounds, uint64_t head)
{
    static const enum folds_which order[] = {FOLDS_MADE, FOLDS_LISTS, FOLDS_INLINE};
    struct folds_log log;
    struct folds_row row;
    bool any = false;

    for (size_t i = 0; i < FOLDS_COUNT; i++) {
        folds_row(store, order[i], &row);
        any = any || row.exists;
        if (row.exists)
            folds_finish(store, order[i]);
    }
    if (!any)
        return head;
    folds_log_read(store, &log);
    for (size_t i = 0; i < FOLDS_COUNT; i++) {
        struct looking looking = {bounds, order[i], &log};
        struct folds_checked checked;

        folds_check(store, &log, order[i], may_forget, &looking, &checked);
        CHECK(!checked.row.exists || checked.row.mark == log.count,
              "%s is done at %" PRIu64 " of %zu", folds_name(order[i]), checked.row.mark,
              log.count);
    }
    head = log.count;
    folds_log_free(&log);
    return head;
}
