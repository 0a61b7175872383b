/* keep.c - a snapshot may be used if nobody could tell the difference:
 *
 *     its row is whole                                      else: damaged
 *     the record at its position has that stream, version   else: stale, as of another history
 *       and chain, and nothing of the stream was changed
 *     it is not newer than what was asked for               else: newer
 *     the fold can load it                                  else: refused (load.c asks)
 *
 * Else it is passed over, and an older one or none is used: losing all of them loses nothing but
 * time. They are saved after a load, in an index transaction of their own, under the merger's byte:
 * never while an append waits for it. What is saved stands at a durable event (merger.c).
 *
 * Those of other fold versions are left alone: another process may still run the old program. */
#include "keep.h"

#include "merger.h"
#include "status.h"

#include <assert.h>
#include <string.h>

void qp_keep_restart(struct qp_keep *keep)
{
    keep->at.name.version = 0;
    keep->at.position = 0;
    keep->at.chain = 0;
    keep->at.time_max_ns = INT64_MIN;
    keep->wanted = false;
    keep->newest = 0;
    keep->events = 0;
    keep->bytes = 0;
}

void qp_keep_init(struct qp_keep *keep, struct qp_handle *handle, const quipu_fold *fold,
                  const char *stream)
{
    *keep = (struct qp_keep){.handle = handle, .fold = fold};
    keep->at.name = (struct qp_snapshot_name){.stream = {stream, strlen(stream)},
                                              .fold = {fold->name, strlen(fold->name)},
                                              .fold_version = fold->version};
    qp_keep_restart(keep);
}

void qp_keep_release(struct qp_keep *keep)
{
    qp_buffer_release(&keep->saved.bytes);
    qp_buffer_release(&keep->assembly);
}

/* A state with something to release is more than its bytes. */
bool qp_keep_can(const quipu_fold *fold)
{
    return fold->save != NULL || fold->release == NULL;
}

bool qp_keep_asks(const quipu_fold *fold)
{
    return fold->snapshot_every > 0 || fold->snapshot_bytes > 0 || fold->worth != NULL;
}

/* ---- use ---- */

void qp_keep_ignore(struct qp_keep *keep, enum qp_ignored why, const struct qp_snapshot *snapshot)
{
    static const char *const reasons[QP_IGNORED_KINDS] = {
        [QP_IGNORED_DAMAGED] = "it is damaged",
        [QP_IGNORED_STALE] = "it is of another history",
        [QP_IGNORED_REFUSED] = "the fold cannot load it",
        [QP_IGNORED_VERSION] = "it is of another version of the fold",
    };

    assert(why < QP_IGNORED_KINDS);
    if (atomic_fetch_add(&keep->handle->snapshots_ignored[why], 1) > 0 || reasons[why] == NULL)
        return;
    qp_handle_tell(keep->handle, why == QP_IGNORED_VERSION ? 0 : 1,
                   "a snapshot of fold %s at %.80s version %llu is ignored: %s (others like it are "
                   "not told)",
                   keep->fold->name, (const char *)keep->at.name.stream.data,
                   (unsigned long long)snapshot->name.version, reasons[why]);
}

/* Is the event there that it stands at? `record` is that. Returns: ROW; OK: it is another one; or
 * it cannot be read, and why. */
static int stands(struct qp_log_cursor *log, uint64_t head, const struct qp_snapshot_name *name,
                  const struct qp_snapshot *snapshot, struct qp_record *record, quipu_error *error)
{
    int rc;

    if (snapshot->position == 0 || snapshot->position > head || snapshot->edits != 0)
        return QUIPU_OK;
    rc = qp_log_get_names(log, snapshot->position, record, error);
    if (rc != QUIPU_ROW)
        return rc;
    return qp_bytes_equal(record->stream, name->stream) &&
                   record->version == snapshot->name.version &&
                   (record->chain == snapshot->chain || QP_MUTANT(SNAPSHOT_CHAIN))
               ? QUIPU_ROW
               : QUIPU_OK;
}

bool qp_keep_usable(struct qp_moment *moment, const struct qp_snapshot *snapshot,
                    struct qp_record *record)
{
    struct qp_stream_edge edge;

    return qp_moment_stream(moment, snapshot->name.stream, &edge, NULL) == QUIPU_OK &&
           edge.hidden == 0 &&
           stands(&moment->log, moment->pin.head, &snapshot->name, snapshot, record, NULL) ==
               QUIPU_ROW;
}

/* Would a load that folds from the beginning come as far? For a time that is the case if no event
 * up to there is later: the first that is ends the load. */
static bool is_newer(const struct qp_snapshot *snapshot, const struct qp_record *record,
                     const quipu_point *at)
{
    if (QP_MUTANT(SNAPSHOT_NEWER))
        return false;
    switch (at->kind) {
    case QUIPU_AT_POSITION:
        return snapshot->position > (uint64_t)at->value;
    case QUIPU_AT_TIME:
        return snapshot->time_max_ns > at->value && !QP_MUTANT(SNAPSHOT_TIME);
    case QUIPU_AT_RECORDED:
        return record->recorded_ns > at->value;
    default:
        return false; /* versions bound the search itself */
    }
}

/* The next one to look at. Returns: ROW; OK: there is none; CORRUPT: that one is damaged, its
 * version is in `out`; if there is none in it, the table itself cannot be read. */
static int find_next(struct qp_keep *keep, struct qp_moment *moment, uint64_t upto,
                     struct qp_snapshot *out, quipu_error *error)
{
    struct qp_snapshot_name name = keep->at.name;
    quipu_error why = {0};
    bool other = false;
    int rc;

    *out = (struct qp_snapshot){0};
    name.version = upto;
    rc = qp_snapshot_find(&moment->index_txn, &name, out, &other, &why);
    if (other)
        qp_keep_ignore(keep, QP_IGNORED_VERSION, out);
    if (rc >= 0 || (out->name.version > 0 && !keep->strict))
        return rc;
    if (!keep->strict)
        return QUIPU_OK; /* as if it were not there */
    if (error != NULL)
        *error = why;
    return rc;
}

/* Its state too. */
static int get_state(struct qp_keep *keep, struct qp_moment *moment, struct qp_snapshot *out,
                     quipu_error *error)
{
    struct qp_snapshot_name name = keep->at.name;

    name.version = out->name.version;
    return qp_snapshot_get(&moment->index_txn, &name, &keep->assembly, out, error);
}

/* May this one be used? Returns: ROW, with its state; OK: `*why` it may not; NO_MEMORY; whatever
 * the reading of it fails with. */
static int look_at(struct qp_keep *keep, struct qp_moment *moment, const quipu_point *at,
                   struct qp_snapshot *out, enum qp_ignored *why, quipu_error *error)
{
    struct qp_record record = {0};
    int rc = stands(&moment->log, moment->pin.head, &keep->at.name, out, &record, error);

    *why = QP_IGNORED_STALE;
    if (rc != QUIPU_ROW)
        return rc;
    *why = QP_IGNORED_NEWER;
    if (is_newer(out, &record, at))
        return QUIPU_OK;
    *why = QP_IGNORED_DAMAGED;
    return get_state(keep, moment, out, error);
}

int qp_keep_find(struct qp_keep *keep, struct qp_moment *moment, const quipu_point *at,
                 uint64_t upto, struct qp_snapshot *out, quipu_error *error)
{
    while (upto > 0) {
        enum qp_ignored reason = QP_IGNORED_DAMAGED;
        quipu_error why = {0};
        uint64_t version;
        int rc = find_next(keep, moment, upto, out, error);

        if (rc == QUIPU_OK || (rc < 0 && (keep->strict || out->name.version == 0)))
            return rc;
        version = out->name.version;
        assert(version > 0 && version <= upto);
        if (rc == QUIPU_ROW) {
            rc = look_at(keep, moment, at, out, &reason, &why);
            if (rc < 0 && (keep->strict || rc == QUIPU_NO_MEMORY) && error != NULL)
                *error = why;
            if (rc == QUIPU_ROW || rc == QUIPU_NO_MEMORY || (rc < 0 && keep->strict))
                return rc;
        }
        out->name.version = version;
        qp_keep_ignore(keep, reason, out);
        upto = version - 1;
    }
    return QUIPU_OK;
}

/* ---- while it is folded ---- */

void qp_keep_begin(struct qp_keep *keep, const struct qp_snapshot *snapshot)
{
    keep->at.name.version = snapshot->name.version;
    keep->at.position = snapshot->position;
    keep->at.chain = snapshot->chain;
    keep->at.time_max_ns = snapshot->time_max_ns;
    atomic_fetch_add(&keep->handle->snapshots_used, 1);
}

static int save_state(struct qp_keep *keep, const void *state, quipu_error *error)
{
    const quipu_fold *fold = keep->fold;
    int rc;

    keep->saved.bytes.size = 0;
    keep->saved.status = QUIPU_OK;
    if (fold->save == NULL) {
        if (fold->state_size > QP_BLOB_BYTES_MAX)
            return qp_fail(error, QUIPU_TOO_LARGE, "the state has %zu bytes", fold->state_size);
        return qp_buffer_put(&keep->saved.bytes, state, fold->state_size) ? QUIPU_OK
                                                                          : qp_fail_memory(error);
    }
    rc = fold->save(state, &keep->saved, fold->payload);
    if (rc == QUIPU_OK)
        rc = keep->saved.status; /* whatever `save` made of it: half a state is none */
    if (rc == QUIPU_OK)
        return rc;
    return qp_fail(error, rc < 0 ? rc : QUIPU_MISUSE, "save returned %d", rc);
}

int qp_keep_take(struct qp_keep *keep, const void *state, quipu_error *error)
{
    int rc = save_state(keep, state, error);

    keep->due = (struct qp_snapshot){0};
    if (rc == QUIPU_OK)
        keep->due = keep->at;
    return rc;
}

struct qp_bytes qp_keep_taken(const struct qp_keep *keep)
{
    return (struct qp_bytes){keep->saved.bytes.bytes, keep->saved.bytes.size};
}

/* Each is asked, so that `worth` sees every event. */
static bool is_worth(struct qp_keep *keep, const void *state, const quipu_event *event)
{
    const quipu_fold *fold = keep->fold;
    bool worth = fold->worth != NULL && fold->worth(state, event, fold->payload) != 0;

    keep->events++;
    keep->bytes += (uint64_t)event->data_size + event->meta_size;
    return worth || (fold->snapshot_every > 0 && keep->events >= fold->snapshot_every) ||
           (fold->snapshot_bytes > 0 && keep->bytes >= fold->snapshot_bytes);
}

void qp_keep_folded(struct qp_keep *keep, const void *state, const quipu_event *event,
                    uint64_t chain)
{
    uint64_t every = keep->fold->snapshot_every;
    quipu_error error = {0};

    keep->at.name.version = event->version;
    keep->at.position = event->position;
    keep->at.chain = chain;
    if (event->time_ns > keep->at.time_max_ns)
        keep->at.time_max_ns = event->time_ns;
    if (!keep->wanted || !is_worth(keep, state, event))
        return;
    keep->events = 0;
    keep->bytes = 0;
    if (every > 0 && keep->newest >= every && event->version <= keep->newest - every)
        return; /* only the last one is saved, and a later one is sure to come */
    if (qp_keep_take(keep, state, &error) < 0) {
        qp_handle_tell(keep->handle, 1, "no snapshot of fold %s at %.80s version %llu: %s",
                       keep->fold->name, event->stream, (unsigned long long)event->version,
                       error.text);
    }
}

/* ---- save ---- */

/* The newest `keep` snapshots stay, the new one among them; those that can never be used go, as
 * they would take the place of others. Views of rows are gone with each row that is deleted: only
 * numbers are taken from them. Returns: ROW: the new one is to be put; OK: others are newer. */
static int prune(struct qp_keep *keep, struct qp_merger *merger, struct qp_txn *index,
                 quipu_error *error)
{
    struct qp_snapshot_name name = keep->due.name;
    uint64_t most = keep->fold->snapshot_keep > 0 ? keep->fold->snapshot_keep : 1;
    uint64_t version = keep->due.name.version;
    uint64_t kept = 0;
    bool placed = false; /* the new one was counted */
    quipu_error why = {0};
    int rc = QUIPU_ROW;

    for (name.version = UINT64_MAX; name.version > 0 && rc >= 0; name.version--) {
        struct qp_snapshot found = {0};
        struct qp_record record;
        bool other;
        bool good;

        rc = qp_snapshot_find(index, &name, &found, &other, &why);
        if (rc == QUIPU_OK || (rc < 0 && found.name.version == 0))
            break;
        name.version = found.name.version;
        if (!placed && name.version <= version) {
            if (kept == most)
                return QUIPU_OK;
            placed = true;
            kept++;
        }
        if (rc == QUIPU_ROW)
            rc = stands(&merger->cursor, merger->head, &keep->due.name, &found, &record, &why);
        if (rc < 0 && rc != QUIPU_CORRUPT && rc != QUIPU_NEWER_FORMAT)
            break;
        good = rc == QUIPU_ROW;
        rc = QUIPU_ROW;
        if (name.version == version)
            continue; /* to be replaced */
        if (good && (kept < most || QP_MUTANT(SNAPSHOTS_ALL)))
            kept++;
        else
            rc = qp_snapshot_delete(index, &name, &why);
    }
    if (rc < 0 && error != NULL)
        *error = why; /* not before: one that is damaged is no failure */
    if (rc < 0)
        return rc;
    return placed || kept < most ? QUIPU_ROW : QUIPU_OK;
}

/* Between the load and now the log may have been replaced, or a damaged disk may have taken the
 * event: what does not stand is not put. */
static int put(struct qp_keep *keep, struct qp_merger *merger, quipu_error *error)
{
    struct qp_record record;
    struct qp_txn index = {0};
    int rc;

    keep->due.state = qp_keep_taken(keep);
    rc = stands(&merger->cursor, merger->head, &keep->due.name, &keep->due, &record, error);
    if (rc == QUIPU_OK)
        rc = qp_fail(error, QUIPU_CORRUPT, "the event at position %llu is not there",
                     (unsigned long long)keep->due.position);
    if (rc < 0)
        return rc;
    rc = qp_txn_begin_write(keep->handle->index, &index, error);
    if (rc == QUIPU_OK)
        rc = prune(keep, merger, &index, error);
    if (rc == QUIPU_ROW)
        rc = qp_snapshot_put(&index, &keep->due, error);
    if (rc == QUIPU_OK)
        rc = qp_merger_commit(merger, &index, error);
    qp_txn_end(&index);
    return rc;
}

/* A map that is full is enlarged when no transaction of ours holds it. */
static int save_as_merger(struct qp_keep *keep, struct qp_merger *merger, quipu_error *error)
{
    int rc = qp_merger_log(merger, error);

    if (rc < 0)
        return rc;
    do {
        rc = put(keep, merger, error);
    } while (rc == QUIPU_FULL && qp_txn_grow_map(keep->handle->index));
    return rc;
}

void qp_keep_save(struct qp_keep *keep)
{
    struct qp_merger merger;
    quipu_error error = {0};
    int rc;

    if (keep->due.name.version == 0)
        return;
    rc = qp_merger_begin(&merger, keep->handle, &error);
    if (rc == QUIPU_ROW) {
        rc = save_as_merger(keep, &merger, &error);
        qp_merger_end(&merger);
    }
    if (rc < 0) {
        qp_handle_tell(keep->handle, 1, "no snapshot of fold %s at %.80s version %llu: %s",
                       keep->fold->name, (const char *)keep->due.name.stream.data,
                       (unsigned long long)keep->due.name.version, error.text);
    }
    keep->due.name.version = 0;
}

int qp_keep_save_now(struct qp_keep *keep, quipu_error *error)
{
    struct qp_merger merger;
    int rc;

    assert(keep->due.name.version > 0);
    rc = qp_merger_wait(&merger, keep->handle, error);
    if (rc < 0)
        return rc;
    rc = save_as_merger(keep, &merger, error);
    qp_merger_end(&merger);
    keep->due.name.version = 0;
    return rc;
}
