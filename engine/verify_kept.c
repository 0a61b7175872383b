/* verify_kept.c - each snapshot is read as a load would, its whole state too, which reads all of
 * its blob. Blobs that nobody refers to are left by a row that could not be read when it was
 * removed: they cost space, and are no damage, as it is nobody's. */
#include "verify_kept.h"

#include "memory.h"
#include "snapshot.h"
#include "status.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
    int (*tell)(void *payload, const char *table, const char *text);
    void *payload;
    struct qp_txn *txn;
    uint64_t next_blob;
    struct qp_buffer assembly;
    uint64_t *blobs; /* the numbers seen */
    size_t blob_count;
    size_t blob_capacity;
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
    static const char table[] = "table snapshots";
    const char *text = why->text;

    if (strncmp(text, table, strlen(table)) == 0)
        text += strlen(table) + 2;
    return check->tell(check->payload, "snapshots", text);
}

static int check_snapshot(struct check *check, struct qp_bytes key,
                          const struct qp_snapshot *snapshot, quipu_error *error)
{
    if (snapshot->name.version == 0 || snapshot->position == 0)
        return tell_row(check, key, "it stands at no event");
    if (snapshot->blob == 0)
        return QUIPU_OK;
    if (snapshot->blob >= check->next_blob)
        return tell_row(check, key, "the number of its blob was never given out");
    if (!qp_array_reserve(&check->blobs, &check->blob_capacity, check->blob_count + 1,
                          sizeof(*check->blobs)))
        return qp_fail_memory(error);
    check->blobs[check->blob_count++] = snapshot->blob;
    return QUIPU_OK;
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

static int by_number(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;

    return (*a > *b) - (*a < *b);
}

/* Two rows with one blob: the first of them that goes takes it from the other. */
static int check_twice(struct check *check)
{
    int rc = QUIPU_OK;

    if (check->blob_count > 0)
        qsort(check->blobs, check->blob_count, sizeof(*check->blobs), by_number);
    for (size_t i = 1; i < check->blob_count && rc == QUIPU_OK; i++) {
        char text[80];

        if (check->blobs[i] != check->blobs[i - 1])
            continue;
        (void)snprintf(text, sizeof(text), "blob %" PRIu64 " is of two snapshots", check->blobs[i]);
        rc = check->tell(check->payload, "blobs", text);
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
        rc = check_twice(&check);
    qp_buffer_release(&check.assembly);
    qp_free(check.blobs);
    return rc;
}
