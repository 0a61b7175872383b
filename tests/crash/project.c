/* project.c - see project.h. */
#include "project.h"

#include "support_system.h"

#include <inttypes.h>

int crash_project_register(struct crash_run *run)
{
    static const struct folds_function function = {.which = FOLDS_INLINE, .version = 1};
    quipu_projection projection;
    int rc;

    if (!run->plan->ops[run->op].inlines)
        return QUIPU_OK;
    folds_make(&function, 0, &projection);
    rc = quipu_register(run->store, &projection, &run->error);
    if (rc == QUIPU_OK)
        return rc;
    quipu_close(run->store);
    run->store = NULL;
    return rc;
}

int crash_project_do(struct crash_run *run)
{
    const struct crash_project *project = &run->plan->ops[run->op].project;
    quipu_projection projection;
    struct folds_row row;
    int rc;

    folds_make(&project->function, project->page_events, &projection);
    rc = quipu_project(run->store, &projection, NULL, NULL, NULL, &run->error);
    if (rc != project->rc) {
        CHECK(rc < 0, "went well, and must not");
        return rc;
    }
    if (run->faulty) /* a look would meet the fault */
        return QUIPU_OK;
    folds_row(run->store, project->function.which, &row);
    CHECK(run->beside || project->mark == 0 || row.mark == project->mark,
          "mark %" PRIu64 ", not %" PRIu64, row.mark, project->mark);
    return QUIPU_OK;
}

int crash_project_control(struct crash_run *run, bool again)
{
    const struct crash_project *project = &run->plan->ops[run->op].project;
    const char *name = folds_name(project->function.which);
    char key[CRASH_NAME_BYTES];
    bool failed = true;
    int rc;

    if (project->key >= 0)
        crash_stream_name(run->plan, (unsigned)project->key, key);
    if (again && project->control == QUIPU_SKIP) { /* what failed is gone: the next one stays */
        (void)folds_first_parked(run->store, project->function.which, key, &failed);
        if (!failed)
            return QUIPU_OK;
    }
    rc = quipu_projection_control(run->store, name, project->control, 0,
                                  project->key >= 0 ? key : NULL, &run->error);
    return again && rc == QUIPU_NOT_FOUND ? QUIPU_OK : rc;
}
