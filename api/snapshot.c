/* snapshot.c - snapshots of folds beside what loads do with them. */
#include "handles.h"
#include "keep.h"
#include "kept.h"
#include "quipu.h"
#include "status.h"
#include "text.h"

int quipu_buffer_put(quipu_buffer *buffer, const void *bytes, size_t size)
{
    if (buffer == NULL || (bytes == NULL && size > 0))
        return QUIPU_MISUSE;
    if (buffer->status == QUIPU_OK && size > QP_BLOB_BYTES_MAX - buffer->bytes.size)
        buffer->status = QUIPU_TOO_LARGE;
    if (buffer->status == QUIPU_OK && size > 0 && !qp_buffer_put(&buffer->bytes, bytes, size))
        buffer->status = QUIPU_NO_MEMORY;
    return buffer->status;
}

/* What both calls of a fold begin with. */
static int check(const quipu_fold *fold, const char *stream, quipu_fold *own, quipu_error *error)
{
    int rc = qp_api_check_fold(fold, stream, own, error);

    if (rc == QUIPU_OK && !qp_keep_can(own))
        return qp_fail(error, QUIPU_MISUSE, "fold %s has release: it needs save and load",
                       own->name);
    return rc;
}

int quipu_snapshot_save(quipu *store, const quipu_fold *fold, const char *stream, uint64_t *version,
                        quipu_error *error)
{
    quipu_fold own;
    uint64_t reached = 0;
    int rc = qp_api_enter(store, error);

    if (rc == QUIPU_OK)
        rc = check(fold, stream, &own, error);
    if (rc == QUIPU_OK)
        rc = qp_kept_save(store->handle, &own, stream, &reached, error);
    if (version != NULL)
        *version = rc == QUIPU_OK ? reached : 0;
    return rc;
}

int quipu_snapshot_check(quipu *store, const quipu_fold *fold, const char *stream,
                         quipu_error *error)
{
    quipu_fold own;
    int rc = qp_api_enter(store, error);

    if (rc == QUIPU_OK)
        rc = check(fold, stream, &own, error);
    return rc == QUIPU_OK ? qp_kept_check(store->handle, &own, stream, error) : rc;
}

int quipu_snapshot_get(quipu *store, const char *stream, const char *fold, uint64_t version,
                       void *bytes, size_t *size, quipu_error *error)
{
    size_t length;
    int rc = qp_api_enter(store, error);

    if (rc == QUIPU_OK)
        rc = qp_text_name(stream, QP_NAME_MAX, "a stream", &length, error);
    if (rc == QUIPU_OK)
        rc = qp_text_name(fold, QP_OWNER_NAME_MAX, "a fold's name", &length, error);
    if (rc < 0)
        return rc;
    if (size == NULL || (bytes == NULL && *size > 0))
        return qp_fail(error, QUIPU_MISUSE, "there is no place for the state");
    return qp_kept_get(store->handle, stream, fold, version, bytes, size, error);
}

int quipu_snapshot_drop(quipu *store, const char *stream, const char *fold, uint64_t *dropped,
                        quipu_error *error)
{
    uint64_t count = 0;
    size_t length;
    int rc = qp_api_enter(store, error);

    if (rc == QUIPU_OK && stream != NULL)
        rc = qp_text_name(stream, QP_NAME_MAX, "a stream", &length, error);
    if (rc == QUIPU_OK && fold != NULL)
        rc = qp_text_name(fold, QP_OWNER_NAME_MAX, "a fold's name", &length, error);
    if (rc == QUIPU_OK)
        rc = qp_kept_drop(store->handle, stream, fold, &count, error);
    if (dropped != NULL)
        *dropped = count;
    return rc;
}
