/* project.c - projections: structs of the caller's release are checked and copied, and their
 * functions are given the public handle of a page. */
#include "project.h"

#include "catch_up.h"
#include "clock.h"
#include "control.h"
#include "determinism.h"
#include "emitting.h"
#include "handles.h"
#include "inline.h"
#include "quipu.h"
#include "runner.h"
#include "status.h"
#include "text.h"

#include <string.h>

/* ---- a projection of our own ---- */

struct copied {
    struct qp_projection own; /* the first member: what the engine has */
    quipu_projection given;
};

static int call_keys(struct qp_folding *folding, const quipu_event *event, quipu_error *error)
{
    const quipu_projection *given = folding->projection->given;
    quipu_page page = {.kind = QP_PAGE_PROJECT, .folding = folding};

    return given->keys(&page, event, given->payload, error);
}

static int call_apply(struct qp_folding *folding, struct qp_bytes key, const quipu_event *event,
                      quipu_error *error)
{
    const quipu_projection *given = folding->projection->given;
    quipu_page page = {.kind = QP_PAGE_PROJECT, .folding = folding};

    return given->apply(&page, key.data, key.size, event, given->payload, error);
}

static int check(const quipu_projection *given, size_t *name_size, quipu_error *error)
{
    int rc = qp_text_name(given->name, QP_OWNER_NAME_MAX, "a projection's name", name_size, error);

    if (rc < 0)
        return rc;
    if (given->name[0] == '$')
        return qp_fail(error, QUIPU_INVALID, "a projection begins with '$', which is reserved: %s",
                       given->name);
    if (given->apply == NULL)
        return qp_fail(error, QUIPU_MISUSE, "projection %s has no apply", given->name);
    if (given->mode > QUIPU_LIVE || given->fault_policy > QUIPU_FAULT_STOP)
        return qp_fail(error, QUIPU_MISUSE, "projection %s has an unknown mode or policy",
                       given->name);
    return QUIPU_OK;
}

static void free_projection(struct qp_projection *projection)
{
    if (projection == NULL)
        return;
    qp_query_release(&projection->query);
    qp_free(projection); /* the first member */
}

static void fill(struct copied *copy, size_t name_size)
{
    const quipu_projection *given = &copy->given;
    struct qp_projection *own = &copy->own;

    memcpy(own->name, given->name, name_size + 1);
    own->name_bytes = (struct qp_bytes){own->name, name_size};
    own->version = given->version;
    own->mode = given->mode;
    own->policy = given->fault_policy;
    own->retries = given->retries > 0 ? given->retries : QP_RETRIES_DEFAULT;
    own->page_events = given->page_events > 0 ? given->page_events : QP_PAGE_EVENTS_DEFAULT;
    own->given = given;
    own->keys = given->keys != NULL ? call_keys : NULL;
    own->apply = call_apply;
}

/* The caller's structs may go after the call. */
static int copy_projection(const quipu_projection *given, struct qp_projection **out,
                           quipu_error *error)
{
    struct copied *copy;
    size_t name_size = 0;
    int rc;

    *out = NULL;
    if (given == NULL)
        return qp_fail(error, QUIPU_MISUSE, "the projection is NULL");
    copy = qp_zalloc(sizeof(*copy));
    if (copy == NULL)
        return qp_fail_memory(error);
    rc = qp_struct_in(given, sizeof(copy->given), &copy->given, "quipu_projection", error);
    if (rc == QUIPU_OK)
        rc = check(&copy->given, &name_size, error);
    if (rc == QUIPU_OK)
        rc = qp_query_copy(&copy->given.query, &copy->own.query, error);
    if (rc < 0) {
        free_projection(&copy->own);
        return rc;
    }
    fill(copy, name_size);
    *out = &copy->own;
    return QUIPU_OK;
}

/* A live one has no row: nobody can run it. */
static int check_stored(const struct qp_projection *projection, quipu_error *error)
{
    if (projection->mode != QUIPU_LIVE)
        return QUIPU_OK;
    return qp_fail(error, QUIPU_MISUSE, "projection %s is live: nothing of it is kept",
                   projection->name);
}

/* ---- pages ---- */

static struct qp_folding *folding_of(quipu_page *page)
{
    return page != NULL && page->kind == QP_PAGE_PROJECT ? page->folding : NULL;
}

int quipu_page_key(quipu_page *page, const void *key, size_t size)
{
    struct qp_folding *folding = folding_of(page);

    return folding != NULL ? qp_folding_key(folding, (struct qp_bytes){key, size}) : QUIPU_MISUSE;
}

int quipu_page_get(quipu_page *page, const void *key, size_t size, quipu_value *out)
{
    struct qp_folding *folding = folding_of(page);
    struct qp_bytes value = {0};
    int rc;

    if (folding == NULL || out == NULL)
        return QUIPU_MISUSE;
    rc = qp_folding_get(folding, (struct qp_bytes){key, size}, &value);
    *out = rc == QUIPU_ROW ? (quipu_value){value.data, value.size} : (quipu_value){0};
    return rc;
}

int quipu_page_put(quipu_page *page, const void *key, size_t size, const void *value,
                   size_t value_size)
{
    struct qp_folding *folding = folding_of(page);

    if (folding == NULL || (value == NULL && value_size > 0))
        return QUIPU_MISUSE;
    return qp_folding_put(folding, (struct qp_bytes){key, size},
                          (struct qp_bytes){value != NULL ? value : "", value_size});
}

int quipu_page_delete(quipu_page *page, const void *key, size_t size)
{
    struct qp_folding *folding = folding_of(page);

    if (folding == NULL)
        return QUIPU_MISUSE;
    return qp_folding_put(folding, (struct qp_bytes){key, size}, (struct qp_bytes){0});
}

int quipu_page_emit(quipu_page *page, const char *stream, const quipu_draft *draft)
{
    if (page == NULL)
        return QUIPU_MISUSE;
    switch (page->kind) {
    case QP_PAGE_UPCAST:
        return qp_upcast_emit(page->upcast, stream, draft);
    case QP_PAGE_PROJECT:
        return qp_emit(page->folding, stream, draft);
    }
    return QUIPU_MISUSE;
}

/* ---- run ---- */

/* A call that runs a projection: its store may be closed meanwhile. */
struct running {
    struct qp_child child;
    quipu_project_fn page;
    void *payload;
    int64_t began_ns;
    uint64_t began_at; /* the mark then */
    uint32_t generation;
    quipu_progress progress;
};

static bool is_open(void *payload)
{
    const struct running *running = payload;

    return qp_child_enter(&running->child, NULL) == QUIPU_OK;
}

/* A rate needs something that it is of: from the first step on that leaves a mark. */
static void fill_progress(struct running *running, const struct qp_run *run)
{
    const struct qp_projection_row *row = &run->row;
    quipu_progress *progress = &running->progress;
    uint32_t generation = row->building != 0 ? row->building : row->generation;
    double seconds = (double)(qp_clock_monotonic_ns() - running->began_ns) / 1e9;

    *progress = (quipu_progress){
        .struct_size = sizeof(*progress),
        .status = qp_projection_status(row, run->head),
        .mark = row->building != 0 ? row->building_mark : row->mark,
        .head = run->head,
        .applied = row->applied,
        .parked = row->building != 0 ? row->building_parked : row->parked,
        .new_applied = run->done.applied,
        .new_parked = run->done.parked,
        .new_skipped = run->done.skipped,
        .new_failed = run->done.failed,
    };
    if (generation != running->generation) {
        running->generation = generation;
        running->began_at = progress->status == QUIPU_PROJECTION_REBUILDING ? 0 : progress->mark;
    }
    if (seconds > 0 && progress->mark > running->began_at)
        progress->events_per_s = (double)(progress->mark - running->began_at) / seconds;
    if (progress->events_per_s > 0 && progress->head > progress->mark)
        progress->seconds_left = (double)(progress->head - progress->mark) / progress->events_per_s;
}

static int told(void *payload, const struct qp_run *run)
{
    struct running *running = payload;

    fill_progress(running, run);
    return running->page != NULL ? running->page(running->payload, &running->progress) : 0;
}

static int project(quipu *store, const struct qp_projection *projection, struct running *running,
                   quipu_error *error)
{
    struct qp_run run;
    int rc;

    qp_child_begin(store, &running->child);
    qp_run_begin(&run, store->handle, projection);
    run.ask = is_open;
    run.ask_payload = running;
    running->began_ns = qp_clock_monotonic_ns();
    rc = qp_catch_up(&run, told, running, error);
    fill_progress(running, &run);
    qp_run_end(&run);
    qp_child_end(&running->child);
    return rc;
}

int quipu_project(quipu *store, const quipu_projection *projection, quipu_project_fn page,
                  void *payload, quipu_progress *progress, quipu_error *error)
{
    struct running running = {.page = page, .payload = payload};
    struct qp_projection *own = NULL;
    int rc = qp_api_enter(store, error);

    if (rc == QUIPU_OK)
        rc = copy_projection(projection, &own, error);
    if (own == NULL)
        return rc;
    rc = check_stored(own, error);
    if (rc == QUIPU_OK)
        rc = project(store, own, &running, error);
    if (progress != NULL)
        qp_struct_out(&running.progress, sizeof(running.progress), progress);
    free_projection(own);
    return rc;
}

int quipu_register(quipu *store, const quipu_projection *projection, quipu_error *error)
{
    struct qp_projection *own = NULL;
    int rc = qp_api_begin_commit(store, error);

    if (rc < 0)
        return rc;
    rc = copy_projection(projection, &own, error);
    if (own != NULL && own->mode == QUIPU_ASYNC)
        rc = qp_fail(error, QUIPU_MISUSE, "projection %s is async: it is run, not registered",
                     own->name);
    if (rc == QUIPU_OK)
        rc = qp_inline_register(store->handle, own, free_projection, error);
    qp_api_end_commit(store);
    if (rc < 0)
        free_projection(own);
    return rc;
}

int quipu_projection_check(quipu *store, const quipu_projection *projection, uint64_t *position,
                           quipu_error *error)
{
    struct qp_projection *own = NULL;
    struct qp_child child;
    uint64_t differs = 0;
    int rc = qp_api_enter(store, error);

    if (rc == QUIPU_OK)
        rc = copy_projection(projection, &own, error);
    if (rc == QUIPU_OK) {
        qp_child_begin(store, &child);
        rc = qp_determinism_check(store->handle, own, &differs, error);
        qp_child_end(&child);
    }
    if (position != NULL)
        *position = differs;
    free_projection(own);
    return rc;
}

int quipu_projection_control(quipu *store, const char *projection, int control, int64_t value,
                             const char *key, quipu_error *error)
{
    struct qp_bytes name = {.data = projection};
    struct qp_bytes parked = {.data = key};
    int rc = qp_api_begin_commit(store, error);

    if (rc < 0)
        return rc;
    rc = qp_text_name(projection, QP_OWNER_NAME_MAX, "a projection's name", &name.size, error);
    if (rc == QUIPU_OK && key != NULL) {
        parked.size = strnlen(key, QP_VIEW_KEY_MAX + 1);
        if (parked.size == 0 || parked.size > QP_VIEW_KEY_MAX)
            rc = qp_fail(error, parked.size == 0 ? QUIPU_INVALID : QUIPU_TOO_LARGE,
                         "a key has 1 to %d bytes", QP_VIEW_KEY_MAX);
    }
    if (rc == QUIPU_OK)
        rc = qp_control(store->handle, name, control, value, key != NULL ? &parked : NULL, error);
    qp_api_end_commit(store);
    return rc;
}

/* ---- runners ---- */

struct quipu_runner {
    struct running running;
    struct qp_runner *runner;
};

static void free_all(struct qp_projection **projections, size_t count)
{
    for (size_t i = 0; projections != NULL && i < count; i++)
        free_projection(projections[i]);
}

static bool stands_before(struct qp_projection *const *projections, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (qp_bytes_equal(projections[i]->name_bytes, projections[count]->name_bytes))
            return true;
    return false;
}

static int copy_all(const quipu_projection *const *given, size_t count,
                    struct qp_projection **projections, quipu_error *error)
{
    int rc = QUIPU_OK;

    for (size_t i = 0; i < count && rc == QUIPU_OK; i++) {
        rc = copy_projection(given[i], &projections[i], error);
        if (projections[i] == NULL)
            return rc;
        rc = check_stored(projections[i], error);
        if (rc == QUIPU_OK && stands_before(projections, i))
            rc = qp_fail(error, QUIPU_MISUSE, "projection %s stands there twice",
                         projections[i]->name);
    }
    return rc;
}

int quipu_runner_start(quipu *store, const quipu_projection *const *projections, size_t count,
                       uint32_t threads, quipu_runner **out, quipu_error *error)
{
    struct qp_projection **own = NULL;
    quipu_runner *runner = NULL;
    int rc = qp_api_enter(store, error);

    if (out == NULL)
        return rc < 0 ? rc : qp_fail(error, QUIPU_MISUSE, "out is NULL");
    *out = NULL;
    if (projections == NULL || count == 0)
        return rc < 0 ? rc : qp_fail(error, QUIPU_MISUSE, "a runner needs projections");
    if (rc == QUIPU_OK && (count > QP_RUNNER_MAX || threads > QP_RUNNER_MAX))
        rc = qp_fail(error, QUIPU_TOO_LARGE, "a runner has at most %d projections and threads",
                     QP_RUNNER_MAX);
    if (rc < 0)
        return rc;
    own = qp_zalloc(count * sizeof(*own));
    runner = qp_zalloc(sizeof(*runner));
    rc = own != NULL && runner != NULL ? copy_all(projections, count, own, error)
                                       : qp_fail_memory(error);
    if (rc == QUIPU_OK) {
        const struct qp_runner_owner owner = {is_open, &runner->running, free_projection};

        qp_child_begin(store, &runner->running.child);
        rc = qp_runner_start(store->handle, own, count, threads > 0 ? threads : 1, &owner,
                             &runner->runner, error);
        if (rc < 0)
            qp_child_end(&runner->running.child);
    }
    if (rc < 0) {
        free_all(own, count);
        qp_free(runner);
    } else {
        *out = runner;
    }
    qp_free(own);
    return rc;
}

/* In a forked child there are no threads to wait for, and nothing to free. */
int quipu_runner_stop(quipu_runner *runner, quipu_error *error)
{
    int rc;

    if (runner == NULL)
        return QUIPU_OK;
    if (!qp_child_may_end(&runner->running.child))
        return qp_fail(error, QUIPU_FORKED, "the runner belongs to the parent process");
    rc = qp_runner_stop(runner->runner, error);
    qp_child_end(&runner->running.child);
    qp_free(runner);
    return rc;
}
