/* verify.c - which file is looked at how, and what is left to look at after that. */
#include "verify.h"

#include "status.h"

static int tell(struct qp_verify *verify, int status, const char *file, const char *table,
                const char *text)
{
    quipu_finding finding = {.status = status, .file = file, .table = table, .text = text};

    return qp_verify_tell(&verify->calls, &verify->verified, &finding);
}

static int found_page(void *payload, const char *table, const char *text)
{
    struct qp_verify *verify = payload;

    return tell(verify, QUIPU_CORRUPT, verify->file, table, text);
}

static int log_is_damaged(quipu_error *error)
{
    return qp_fail(error, QUIPU_CORRUPT, "the pages of %s are damaged: it was not read",
                   QP_LOG_FILE);
}

int qp_verify_files(struct qp_verify *verify, const char *path, uint32_t flags, bool *full_check,
                    quipu_error *error)
{
    struct qp_place place = {.fd = -1};
    enum qp_place_state state = QP_PLACE_MISSING;
    int rc;

    *full_check = false;
    verify->log = QP_SURVEY_OTHER;
    verify->index = QP_SURVEY_OTHER;
    if (qp_place_open(path, flags, &place, &state, NULL) < 0 || state != QP_PLACE_STORE)
        return QUIPU_OK;
    verify->file = QP_LOG_FILE;
    rc = qp_survey_file(&place, QP_LOG_FILE, found_page, verify, &verify->log, error);
    verify->file = QP_INDEX_FILE;
    if (rc == QUIPU_OK)
        rc = qp_survey_file(&place, QP_INDEX_FILE, found_page, verify, &verify->index, error);
    qp_place_close(&place);
    if (rc == QUIPU_OK && verify->log == QP_SURVEY_DAMAGED)
        return log_is_damaged(error);
    *full_check = verify->log == QP_SURVEY_RESTLESS || verify->index == QP_SURVEY_RESTLESS ||
                  verify->index == QP_SURVEY_DAMAGED;
    return rc;
}

int qp_verify_refused(struct qp_verify *verify, int rc, const quipu_error *why)
{
    if (rc == QUIPU_CORRUPT)
        (void)tell(verify, rc, QP_LOG_FILE, "", why->text);
    return rc;
}

/* A store that this process has open: its own snapshots hold the pages. */
static int survey_opened(struct qp_verify *verify, struct qp_handle *handle, quipu_error *error)
{
    int rc = QUIPU_OK;

    verify->file = QP_LOG_FILE;
    if (verify->log == QP_SURVEY_RESTLESS)
        rc = qp_survey_store(&handle->place, QP_LOG_FILE, handle->log, found_page, verify,
                             &verify->log, error);
    verify->file = QP_INDEX_FILE;
    if (rc == QUIPU_OK && verify->index == QP_SURVEY_RESTLESS && handle->index != NULL)
        rc = qp_survey_store(&handle->place, QP_INDEX_FILE, handle->index, found_page, verify,
                             &verify->index, error);
    if (rc == QUIPU_OK && (verify->log == QP_SURVEY_RESTLESS ||
                           (verify->index == QP_SURVEY_RESTLESS && handle->index != NULL)))
        rc = qp_fail(error, QUIPU_BUSY, "the files are written all the time: try again");
    return rc;
}

/* A handle that this process has open may have the damaged index mapped, and every snapshot looks
 * into it. One that is opened for this does without. */
int qp_verify_handle(struct qp_verify *verify, struct qp_handle *handle, bool opened,
                     quipu_error *error)
{
    bool damaged;
    int rc = opened ? QUIPU_OK : survey_opened(verify, handle, error);

    if (rc != QUIPU_OK)
        return rc;
    if (verify->log == QP_SURVEY_DAMAGED)
        return log_is_damaged(error);
    damaged = verify->index == QP_SURVEY_DAMAGED;
    if (damaged && handle->index != NULL) {
        return qp_fail(error, QUIPU_CORRUPT,
                       "the pages of %s are damaged, and this process has it open: close it, then "
                       "verify says whether the log is whole",
                       QP_INDEX_FILE);
    }
    verify->calls.index_told = damaged;
    return qp_verify_rows(handle, &verify->calls, &verify->verified, error);
}
