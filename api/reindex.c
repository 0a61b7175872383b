/* reindex.c - the index made anew by who is alone with the store. */
#include "handles.h"
#include "merge.h"
#include "open.h"
#include "quipu.h"
#include "status.h"

struct reindex {
    quipu_progress_fn progress;
    void *payload;
    int stopped; /* what `progress` returned to stop */
};

/* Kept, because the merge only knows that it is to end. */
static int report(void *payload, uint64_t done, uint64_t total)
{
    struct reindex *reindex = payload;

    if (reindex->progress != NULL)
        reindex->stopped = reindex->progress(reindex->payload, done, total);
    return reindex->stopped;
}

/* What is done when it is stopped, or dies, is a whole index of a part of the log: the next opener
 * goes on from there. */
static int run(struct qp_place *place, const quipu_options *options, void *payload,
               quipu_error *error)
{
    struct reindex *reindex = payload;
    struct qp_handle *handle = NULL;
    int rc = qp_handle_open_sole(place, options, &handle, error);

    if (rc < 0)
        return rc;
    rc = qp_merge_whole(handle, report, reindex, error);
    qp_handle_close(handle);
    if (rc == QUIPU_OK && reindex->stopped < 0)
        rc = qp_fail(error, reindex->stopped, "stopped");
    return rc;
}

int quipu_reindex(const char *path, quipu_progress_fn progress, void *payload, quipu_error *error)
{
    struct reindex reindex = {.progress = progress, .payload = payload};

    if (path == NULL)
        return qp_fail(error, QUIPU_MISUSE, "path is NULL");
    return qp_api_run_alone(path, run, &reindex, error);
}
