/* kept.c - snapshots as people and programs look after them. What is read is read in one moment, as
 * of a load; what is written is written as by one (keep.c), but waits for who writes the index.
 *
 *     snapshots   order-1 0 total 0 1 v100   order-1 0 total 0 1 v200   order-2 0 ...
 *                 `------ a walk in the order of keys: by stream, fold, its version, version ----
 */
#include "kept.h"

#include "load.h"
#include "memory.h"
#include "merger.h"
#include "status.h"

#include <assert.h>
#include <string.h>

enum { DROP_ROWS = 1024 }; /* in one transaction */

/* ---- list ---- */

int qp_kept_open(struct qp_handle *handle, struct qp_bytes fold, struct qp_kept *kept,
                 quipu_error *error)
{
    int rc;

    if (fold.size > QP_OWNER_NAME_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "a fold's name has %zu bytes, more than %d",
                       fold.size, QP_OWNER_NAME_MAX);
    if (fold.size > 0)
        memcpy(kept->wanted, fold.data, fold.size);
    rc = qp_moment_begin(handle, true, &kept->moment, error);
    if (rc == QUIPU_OK && handle->index != NULL)
        rc = qp_cursor_open(&kept->cursor, &kept->moment->index_txn, QP_TABLE_SNAPSHOTS, error);
    return rc;
}

void qp_kept_close(struct qp_kept *kept)
{
    qp_cursor_close(&kept->cursor); /* before its transaction ends */
    qp_moment_end(kept->moment);
    kept->moment = NULL;
}

static void name_item(struct qp_kept *kept, const struct qp_snapshot_name *name)
{
    assert(name->stream.size <= QP_NAME_MAX && name->fold.size <= QP_OWNER_NAME_MAX);
    kept->stream[0] = '\0';
    kept->fold[0] = '\0';
    if (name->stream.size == 0)
        return;                                                     /* the key is no snapshot's */
    memcpy(kept->stream, name->stream.data, name->stream.size + 1); /* with its 0 */
    memcpy(kept->fold, name->fold.data, name->fold.size + 1);
}

static void fill(struct qp_kept *kept, const struct qp_snapshot *snapshot, quipu_item *item)
{
    struct qp_record record;
    bool usable = qp_keep_usable(kept->moment, snapshot, &record);

    *item = (quipu_item){.name = kept->stream,
                         .key = kept->fold,
                         .text = usable ? "usable" : "stale",
                         .version = snapshot->name.version,
                         .position = snapshot->position,
                         .mark = snapshot->name.fold_version,
                         .count = snapshot->state.size};
    if (usable)
        item->time_ns = record.recorded_ns;
}

int qp_kept_next(struct qp_kept *kept, quipu_item *item, quipu_error *error)
{
    while (kept->cursor.mdb != NULL) {
        struct qp_snapshot snapshot;
        struct qp_bytes key;
        struct qp_bytes value;
        quipu_error why = {0};
        int rc =
            qp_cursor_seek(&kept->cursor, kept->begun ? QP_NEXT : QP_FIRST, &key, &value, error);

        if (rc != QUIPU_ROW)
            return rc;
        kept->begun = true;
        rc = qp_snapshot_read(&kept->moment->index_txn, key, value, NULL, &snapshot, &why);
        name_item(kept, &snapshot.name);
        if (kept->wanted[0] != '\0' && strcmp(kept->wanted, kept->fold) != 0)
            continue;
        *item = (quipu_item){.name = kept->stream,
                             .key = kept->fold,
                             .version = snapshot.name.version,
                             .mark = snapshot.name.fold_version};
        if (rc < 0 && error != NULL)
            *error = why;
        if (rc == QUIPU_ROW)
            fill(kept, &snapshot, item);
        return rc;
    }
    return QUIPU_OK;
}

/* ---- look into one ---- */

/* The key of the snapshot that is asked for: of several versions of the fold the highest, of
 * several of the stream the newest. They stand in this order, so the last one that fits is it. */
static int find_kept(struct qp_txn *txn, const struct qp_key *prefix, uint64_t version,
                     struct qp_key *found, quipu_error *error)
{
    struct qp_cursor cursor = {0};
    struct qp_bytes key = qp_key_bytes(prefix);
    struct qp_bytes value;
    int rc = qp_cursor_open(&cursor, txn, QP_TABLE_SNAPSHOTS, error);

    found->size = 0;
    if (rc == QUIPU_OK)
        rc = qp_cursor_seek(&cursor, QP_AT_LEAST, &key, &value, error);
    while (rc == QUIPU_ROW && key.size > prefix->size &&
           memcmp(key.data, prefix->bytes, prefix->size) == 0) {
        struct qp_snapshot_name name;

        if (qp_key_snapshot_read(key, &name) && (version == 0 || name.version == version)) {
            memcpy(found->bytes, key.data, key.size);
            found->size = (uint16_t)key.size;
        }
        rc = qp_cursor_seek(&cursor, QP_NEXT, &key, &value, error);
    }
    qp_cursor_close(&cursor);
    return rc < 0 ? rc : QUIPU_OK;
}

static int get_state(struct qp_txn *txn, const struct qp_key *key, struct qp_buffer *assembly,
                     void *bytes, size_t *size, quipu_error *error)
{
    struct qp_snapshot_name name;
    struct qp_snapshot snapshot;
    bool read = qp_key_snapshot_read(qp_key_bytes(key), &name);
    int rc = qp_snapshot_get(txn, &name, assembly, &snapshot, error);

    assert(read);
    (void)read;
    if (rc != QUIPU_ROW)
        return rc;
    if (*size > snapshot.state.size)
        *size = snapshot.state.size;
    if (*size > 0)
        memcpy(bytes, snapshot.state.data, *size);
    *size = snapshot.state.size;
    return QUIPU_ROW;
}

int qp_kept_get(struct qp_handle *handle, const char *stream, const char *fold, uint64_t version,
                void *bytes, size_t *size, quipu_error *error)
{
    struct qp_buffer assembly = {0};
    struct qp_txn txn = {0};
    struct qp_key prefix;
    struct qp_key key = {0};
    int rc = QUIPU_OK;

    qp_key_snapshots(&prefix, (struct qp_bytes){stream, strlen(stream)},
                     (struct qp_bytes){fold, strlen(fold)});
    if (handle->index != NULL)
        rc = qp_txn_begin_read(handle->index, &txn, error);
    if (rc == QUIPU_OK && handle->index != NULL)
        rc = find_kept(&txn, &prefix, version, &key, error);
    if (rc == QUIPU_OK && key.size > 0)
        rc = get_state(&txn, &key, &assembly, bytes, size, error);
    qp_txn_end(&txn);
    qp_buffer_release(&assembly);
    if (rc == QUIPU_OK)
        return qp_fail(error, QUIPU_NOT_FOUND, "no such snapshot of fold %s at %.100s", fold,
                       stream);
    return rc < 0 ? rc : QUIPU_OK;
}

/* ---- drop ---- */

struct drop {
    struct qp_merger merger;
    struct qp_bytes stream; /* size 0: all */
    struct qp_bytes fold;   /* likewise */
    struct qp_key next;     /* where to go on; size 0: at the first */
    uint64_t dropped;       /* and committed */
};

/* A key that is no snapshot's goes only if all go. */
static bool is_dropped(const struct drop *drop, struct qp_bytes key)
{
    struct qp_snapshot_name name;

    if (drop->stream.size == 0 && drop->fold.size == 0)
        return true;
    return qp_key_snapshot_read(key, &name) &&
           (drop->stream.size == 0 || qp_bytes_equal(name.stream, drop->stream)) &&
           (drop->fold.size == 0 || qp_bytes_equal(name.fold, drop->fold));
}

/* Is there more of the stream, if one is named? Its rows are neighbours. */
static bool is_behind(const struct drop *drop, struct qp_bytes key)
{
    return drop->stream.size > 0 && (key.size <= drop->stream.size ||
                                     memcmp(key.data, drop->stream.data, drop->stream.size) != 0 ||
                                     ((const uint8_t *)key.data)[drop->stream.size] != '\0');
}

/* The key is copied first: deleting its row moves what it is a view of. */
static int drop_rows(struct drop *drop, struct qp_txn *txn, struct qp_cursor *cursor,
                     struct qp_key *next, uint64_t *count, quipu_error *error)
{
    struct qp_bytes key = qp_key_bytes(next);
    struct qp_bytes value;
    int rc = qp_cursor_seek(cursor, next->size > 0 ? QP_AT_LEAST : QP_FIRST, &key, &value, error);

    *count = 0;
    while (rc == QUIPU_ROW && !is_behind(drop, key) && *count < DROP_ROWS) {
        assert(key.size <= sizeof(next->bytes));
        memcpy(next->bytes, key.data, key.size);
        next->size = (uint16_t)key.size;
        if (!is_dropped(drop, key)) {
            rc = qp_cursor_seek(cursor, QP_NEXT, &key, &value, error);
            continue;
        }
        rc = qp_snapshot_delete_row(txn, qp_key_bytes(next), error);
        if (rc < 0)
            return rc;
        ++*count;
        key = qp_key_bytes(next);
        rc = qp_cursor_seek(cursor, QP_AT_LEAST, &key, &value, error);
    }
    return rc < 0 ? rc : *count == DROP_ROWS ? QUIPU_ROW : QUIPU_OK;
}

/* One transaction. Returns: ROW: there may be more; OK. */
static int drop_slice(struct drop *drop, quipu_error *error)
{
    struct qp_handle *handle = drop->merger.handle;
    struct qp_key next = drop->next;
    struct qp_cursor cursor = {0};
    struct qp_txn txn = {0};
    uint64_t count = 0;
    bool more;
    int rc = qp_txn_begin_write(handle->index, &txn, error);

    if (rc == QUIPU_OK)
        rc = qp_cursor_open(&cursor, &txn, QP_TABLE_SNAPSHOTS, error);
    if (rc == QUIPU_OK)
        rc = drop_rows(drop, &txn, &cursor, &next, &count, error);
    qp_cursor_close(&cursor);
    more = rc == QUIPU_ROW;
    if (rc >= 0)
        rc = qp_merger_commit(&drop->merger, &txn, error);
    qp_txn_end(&txn);
    if (rc < 0)
        return rc;
    drop->next = next;
    drop->dropped += count;
    return more ? QUIPU_ROW : QUIPU_OK;
}

int qp_kept_drop(struct qp_handle *handle, const char *stream, const char *fold, uint64_t *dropped,
                 quipu_error *error)
{
    struct drop drop = {0};
    int rc;

    if (handle->read_only)
        return qp_fail(error, QUIPU_READ_ONLY, "the store is open for reading only");
    if (stream != NULL)
        drop.stream = (struct qp_bytes){stream, strlen(stream)};
    if (fold != NULL)
        drop.fold = (struct qp_bytes){fold, strlen(fold)};
    if (stream != NULL) {
        memcpy(drop.next.bytes, stream, drop.stream.size);
        drop.next.size = (uint16_t)drop.stream.size;
    }
    rc = qp_merger_wait(&drop.merger, handle, error);
    if (rc < 0)
        return rc;
    do {
        rc = drop_slice(&drop, error);
        if (rc == QUIPU_FULL && qp_txn_grow_map(handle->index))
            rc = QUIPU_ROW;
    } while (rc == QUIPU_ROW);
    qp_merger_end(&drop.merger);
    *dropped = drop.dropped;
    return rc;
}

/* ---- save, check ---- */

/* As loads do it, whatever the policies say. The state's bytes are in load->keep then. */
static int load_and_take(struct qp_load *load, uint64_t *version, quipu_error *error)
{
    const quipu_fold *fold = load->fold;
    void *state = qp_resize(NULL, fold->state_size > 0 ? fold->state_size : 1);
    int rc;

    if (state == NULL)
        return qp_fail_memory(error);
    rc = qp_load_run(load, state, version, error); /* or releases it */
    if (rc == QUIPU_OK) {
        if (*version > 0)
            rc = qp_keep_take(&load->keep, state, error);
        if (fold->release != NULL)
            fold->release(state, fold->payload);
    }
    qp_free(state);
    return rc;
}

int qp_kept_save(struct qp_handle *handle, const quipu_fold *fold, const char *stream,
                 uint64_t *version, quipu_error *error)
{
    struct qp_load load;
    int rc;

    if (handle->read_only)
        return qp_fail(error, QUIPU_READ_ONLY, "the store is open for reading only");
    qp_load_init(&load, handle, fold, stream, NULL);
    load.unasked = true;
    rc = load_and_take(&load, version, error);
    if (rc == QUIPU_OK && *version > 0)
        rc = qp_keep_save_now(&load.keep, error);
    qp_load_release(&load);
    return rc;
}

/* Fold as far as the snapshot stands, from the beginning, and compare bytes. */
static int check_one(struct qp_handle *handle, const quipu_fold *fold, const char *stream,
                     const struct qp_snapshot *snapshot, quipu_error *error)
{
    const quipu_point at = {.kind = QUIPU_AT_VERSION, .value = (int64_t)snapshot->name.version};
    struct qp_load load;
    uint64_t version = 0;
    int rc;

    qp_load_init(&load, handle, fold, stream, &at);
    load.afresh = true;
    rc = load_and_take(&load, &version, error);
    if (rc == QUIPU_OK && (version != snapshot->name.version ||
                           !qp_bytes_equal(qp_keep_taken(&load.keep), snapshot->state))) {
        rc = qp_fail(error, QUIPU_CORRUPT,
                     "fold %s at %.100s version %llu makes another state than its snapshot has",
                     fold->name, stream, (unsigned long long)snapshot->name.version);
    }
    qp_load_release(&load);
    return rc;
}

/* Each is found in a moment of its own, so that none is held while it is folded. */
static int check_next(struct qp_handle *handle, struct qp_keep *keep, const char *stream,
                      uint64_t *upto, quipu_error *error)
{
    const quipu_point head = {.kind = QUIPU_AT_HEAD};
    struct qp_snapshot snapshot;
    struct qp_buffer copy = {0};
    struct qp_moment *moment;
    int rc = qp_moment_begin(handle, true, &moment, error);

    if (rc < 0)
        return rc;
    rc = qp_keep_find(keep, moment, &head, *upto, &snapshot, error);
    if (rc == QUIPU_ROW && !qp_buffer_put(&copy, snapshot.state.data, snapshot.state.size))
        rc = qp_fail_memory(error);
    qp_moment_end(moment);
    snapshot.state = (struct qp_bytes){copy.bytes, copy.size};
    if (rc == QUIPU_ROW) {
        *upto = snapshot.name.version - 1;
        rc = check_one(handle, keep->fold, stream, &snapshot, error);
        if (rc == QUIPU_OK)
            rc = QUIPU_ROW;
    }
    qp_buffer_release(&copy);
    return rc;
}

int qp_kept_check(struct qp_handle *handle, const quipu_fold *fold, const char *stream,
                  quipu_error *error)
{
    struct qp_keep keep;
    uint64_t upto = UINT64_MAX;
    bool any = false;
    int rc = QUIPU_OK;

    qp_keep_init(&keep, handle, fold, stream);
    keep.strict = true;
    if (handle->index != NULL) {
        do {
            rc = check_next(handle, &keep, stream, &upto, error);
            any = any || rc == QUIPU_ROW;
        } while (rc == QUIPU_ROW);
    }
    qp_keep_release(&keep);
    if (rc == QUIPU_OK && !any)
        return qp_fail(error, QUIPU_NOT_FOUND, "fold %s has no snapshot of %.100s", fold->name,
                       stream);
    return rc;
}
