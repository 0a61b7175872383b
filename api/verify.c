/* verify.c - quipu_verify: the store is opened between the two halves of it. */
#include "verify.h"
#include "handles.h"
#include "quipu.h"
#include "status.h"

static int verify_path(struct qp_verify *verify, const char *path, uint32_t flags,
                       quipu_error *error)
{
    quipu_options options = {.struct_size = sizeof(options),
                             .flags = flags | QUIPU_OPEN_READ_ONLY | QUIPU_OPEN_EXISTING};
    quipu_error why = {0};
    quipu *store = NULL;
    bool full_check;
    int rc = qp_verify_files(verify, path, flags, &full_check, error);

    if (rc != QUIPU_OK)
        return rc;
    options.flags |= full_check ? QUIPU_OPEN_FULL_CHECK : 0;
    rc = qp_api_acquire(path, &options, true, &store, &why);
    if (rc < 0) {
        if (error != NULL)
            *error = why;
        return qp_verify_refused(verify, rc, &why);
    }
    rc = qp_verify_handle(verify, store->handle, rc == QUIPU_OK, error);
    quipu_close(store);
    return rc;
}

int quipu_verify(const char *path, uint32_t flags, quipu_finding_fn found,
                 quipu_progress_fn progress, void *payload, quipu_verified *out, quipu_error *error)
{
    const uint32_t known = QUIPU_OPEN_UNSAFE_PATH | QUIPU_OPEN_NETWORK_FS;
    struct qp_verify verify = {.calls = {found, progress, payload, false}};
    int rc;

    if (path == NULL || (flags & ~known) != 0)
        return qp_fail(error, QUIPU_MISUSE, path == NULL ? "path is NULL" : "unknown flags");
    rc = verify_path(&verify, path, flags, error);
    if (out != NULL)
        qp_struct_out(&verify.verified, sizeof(verify.verified), out);
    return rc > 0 ? QUIPU_OK : rc; /* a callback has seen enough */
}
