/* verify.c - the pages of both files first, without a map; then, through LMDB, what stands on them.
 *
 *     survey: log damaged ------> findings, and that is all: nobody can read it
 *        |    index damaged ----> findings; the log is read without an index
 *        |    written too fast -> surveyed again by who opens it, with a snapshot held
 *     open, verify the rows */
#include "verify.h"

#include "handles.h"
#include "quipu.h"
#include "status.h"
#include "survey.h"

struct verifying {
    struct qp_verify_calls calls;
    quipu_verified verified;
    const char *file; /* whose pages are walked */
    enum qp_survey_state log;
    enum qp_survey_state index;
};

static int tell(struct verifying *verifying, int status, const char *file, const char *table,
                const char *text)
{
    quipu_finding finding = {.status = status, .file = file, .table = table, .text = text};

    return qp_verify_tell(&verifying->calls, &verifying->verified, &finding);
}

static int found_page(void *payload, const char *table, const char *text)
{
    struct verifying *verifying = payload;

    return tell(verifying, QUIPU_CORRUPT, verifying->file, table, text);
}

/* What keeps this from being done, opening says too. */
static int survey_path(struct verifying *verifying, const char *path, uint32_t flags,
                       quipu_error *error)
{
    struct qp_place place = {.fd = -1};
    enum qp_place_state state = QP_PLACE_MISSING;
    int rc;

    if (qp_place_open(path, flags, &place, &state, NULL) < 0 || state != QP_PLACE_STORE)
        return QUIPU_OK;
    verifying->file = QP_LOG_FILE;
    rc = qp_survey_file(&place, QP_LOG_FILE, found_page, verifying, &verifying->log, error);
    verifying->file = QP_INDEX_FILE;
    if (rc == QUIPU_OK)
        rc = qp_survey_file(&place, QP_INDEX_FILE, found_page, verifying, &verifying->index, error);
    qp_place_close(&place);
    return rc;
}

/* The same for a store that this process has open: its own snapshots hold the pages. */
static int survey_open(struct verifying *verifying, struct qp_handle *handle, quipu_error *error)
{
    int rc = QUIPU_OK;

    verifying->file = QP_LOG_FILE;
    if (verifying->log == QP_SURVEY_RESTLESS)
        rc = qp_survey_store(&handle->place, QP_LOG_FILE, handle->log, found_page, verifying,
                             &verifying->log, error);
    verifying->file = QP_INDEX_FILE;
    if (rc == QUIPU_OK && verifying->index == QP_SURVEY_RESTLESS && handle->index != NULL)
        rc = qp_survey_store(&handle->place, QP_INDEX_FILE, handle->index, found_page, verifying,
                             &verifying->index, error);
    if (rc == QUIPU_OK && (verifying->log == QP_SURVEY_RESTLESS ||
                           (verifying->index == QP_SURVEY_RESTLESS && handle->index != NULL)))
        rc = qp_fail(error, QUIPU_BUSY, "the files are written all the time: try again");
    return rc;
}

/* What keeps a store from being opened is a finding too. */
static int refused(struct verifying *verifying, int rc, const quipu_error *why, quipu_error *error)
{
    if (error != NULL)
        *error = *why;
    if (rc == QUIPU_CORRUPT)
        (void)tell(verifying, rc, QP_LOG_FILE, "", why->text);
    return rc;
}

static int log_is_damaged(quipu_error *error)
{
    return qp_fail(error, QUIPU_CORRUPT, "the pages of %s are damaged: it was not read",
                   QP_LOG_FILE);
}

/* A handle that this process has open may have the damaged index mapped, and every snapshot looks
 * into it. One that is opened here does without. */
static int verify_open(struct verifying *verifying, struct qp_handle *handle, quipu_error *error)
{
    bool damaged = verifying->index == QP_SURVEY_DAMAGED;

    if (verifying->log == QP_SURVEY_DAMAGED)
        return log_is_damaged(error);
    if (damaged && handle->index != NULL) {
        return qp_fail(error, QUIPU_CORRUPT,
                       "the pages of %s are damaged, and this process has it open: close it, then "
                       "verify says whether the log is whole",
                       QP_INDEX_FILE);
    }
    verifying->calls.index_told = damaged;
    return qp_verify(handle, &verifying->calls, &verifying->verified, error);
}

static int verify_path(struct verifying *verifying, const char *path, uint32_t flags,
                       quipu_error *error)
{
    quipu_options options = {.struct_size = sizeof(options),
                             .flags = flags | QUIPU_OPEN_READ_ONLY | QUIPU_OPEN_EXISTING};
    quipu_error why = {0};
    quipu *store = NULL;
    int rc = survey_path(verifying, path, flags, error);

    if (rc != QUIPU_OK)
        return rc;
    if (verifying->log == QP_SURVEY_DAMAGED)
        return log_is_damaged(error);
    if (verifying->log == QP_SURVEY_RESTLESS || verifying->index == QP_SURVEY_RESTLESS ||
        verifying->index == QP_SURVEY_DAMAGED)
        options.flags |= QUIPU_OPEN_FULL_CHECK;
    rc = qp_api_acquire(path, &options, true, &store, &why);
    if (rc < 0)
        return refused(verifying, rc, &why, error);
    if (rc == QUIPU_ROW)
        rc = survey_open(verifying, store->handle, error);
    if (rc == QUIPU_OK)
        rc = verify_open(verifying, store->handle, error);
    quipu_close(store);
    return rc;
}

int quipu_verify(const char *path, uint32_t flags, quipu_finding_fn found,
                 quipu_progress_fn progress, void *payload, quipu_verified *out, quipu_error *error)
{
    const uint32_t known = QUIPU_OPEN_UNSAFE_PATH | QUIPU_OPEN_NETWORK_FS;
    struct verifying verifying = {.calls = {found, progress, payload, false},
                                  .log = QP_SURVEY_OTHER,
                                  .index = QP_SURVEY_OTHER};
    int rc;

    if (path == NULL || (flags & ~known) != 0)
        return qp_fail(error, QUIPU_MISUSE, path == NULL ? "path is NULL" : "unknown flags");
    rc = verify_path(&verifying, path, flags, error);
    if (out != NULL)
        qp_struct_out(&verifying.verified, sizeof(verifying.verified), out);
    return rc > 0 ? QUIPU_OK : rc; /* a callback has seen enough */
}
