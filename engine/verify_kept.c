/* verify_kept.c - each snapshot is read as a load would, its whole state too, which reads all of
 * its blob. Blobs that nobody refers to are left by a row that could not be read when it was
 * removed: they cost space, and are no damage, as it is nobody's. */
#include "verify_kept.h"

#include "blob_uses.h"
#include "memory.h"
#include "snapshot.h"
#include "status.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

struct check {
    int (*tell)(void *payload, const char *table, const char *text);
    void *payload;
    struct qp_txn *txn;
    uint64_t next_blob;
    struct qp_buffer assembly;
    struct qp_blob_uses uses;
};

static int tell_row(const struct check *check, struct qp_bytes key, const char *what)
{
    char name[100];
    char text[160];

    qp_key_text(key, name, sizeof(name));
    (void)snprintf(text, sizeof(text), "row %s: %s", name, what);
    return check->tell(check->payload, "snapshots", text);
}

/* Its own words begin with the table, which the finding has apart. */
static int tell_why(const struct check *check, const quipu_error *why)
{
    return check->tell(check->payload, "snapshots", qp_table_text(QP_TABLE_SNAPSHOTS, why->text));
}

static int check_snapshot(struct check *check, struct qp_bytes key,
                          const struct qp_snapshot *snapshot, quipu_error *error)
{
    if (snapshot->name.version == 0 || snapshot->position == 0)
        return tell_row(check, key, "it stands at no event");
    if (snapshot->blob > 0 && snapshot->blob >= check->next_blob)
        return tell_row(check, key, "the number of its blob was never given out");
    return qp_blob_uses_add(&check->uses, snapshot->blob, error);
}

static int check_row(struct check *check, struct qp_bytes key, struct qp_bytes value,
                     quipu_error *error)
{
    struct qp_snapshot snapshot;
    quipu_error why = {0};
    int rc = qp_snapshot_read(check->txn, key, value, &check->assembly, &snapshot, &why);

    if (rc == QUIPU_ROW)
        return check_snapshot(check, key, &snapshot, error);
    if (rc == QUIPU_CORRUPT)
        return tell_why(check, &why);
    if (error != NULL)
        *error = why;
    return rc;
}

static int check_shared(struct check *check)
{
    size_t at = 0;
    uint64_t number = qp_blob_uses_shared(&check->uses, &at);
    int rc = QUIPU_OK;

    for (; rc == QUIPU_OK && number > 0; number = qp_blob_uses_shared(&check->uses, &at)) {
        char text[80];

        (void)snprintf(text, sizeof(text), "blob %" PRIu64 " is the state of several rows", number);
        rc = check->tell(check->payload, "snapshots", text);
    }
    return rc;
}

int qp_verify_kept(struct qp_moment *moment,
                   int (*tell)(void *payload, const char *table, const char *text), void *payload,
                   quipu_error *error)
{
    struct check check = {.tell = tell, .payload = payload, .txn = &moment->index_txn};
    struct qp_cursor cursor = {0};
    struct qp_bytes key = {0};
    struct qp_bytes value = {0};
    int rc = qp_snapshot_next_blob(check.txn, &check.next_blob, NULL);

    assert(moment->handle->index != NULL);
    if (rc < 0) /* told of by who looks at the rows of `meta` */
        check.next_blob = UINT64_MAX;
    rc = qp_cursor_open(&cursor, check.txn, QP_TABLE_SNAPSHOTS, error);
    if (rc == QUIPU_OK)
        rc = qp_cursor_seek(&cursor, QP_FIRST, &key, &value, error);
    while (rc == QUIPU_ROW) {
        rc = check_row(&check, key, value, error);
        if (rc != QUIPU_OK)
            break; /* a callback may say stop with the number of QUIPU_ROW */
        rc = qp_cursor_seek(&cursor, QP_NEXT, &key, &value, error);
    }
    qp_cursor_close(&cursor);
    if (rc == QUIPU_OK)
        rc = check_shared(&check);
    qp_buffer_release(&check.assembly);
    qp_blob_uses_release(&check.uses);
    return rc;
}
