/* verify_rows.c - the log first, record by record: sum, chain, version, position, clock. Then the
 * index, held against what the log says it must be (census.c). Then the rows of all other tables,
 * and what those of projections say of each other (verify_views.c).
 *
 *     position   1 .... 7   8   9 ...
 *     chain      x-x- -x   ?   o-o-
 *                          `-- cannot be read, or is not there
 *
 * A record that is lost is told once. What rests on it - the chain of the next one, versions that
 * may have been its, how many chunks there should be - is then taken as it comes.
 *
 * The rules are those of docs/FORMAT.md 3.4 and 5.4. A finding does not end the walk: that
 * is for the callback to say, or when the file cannot be read or memory is out. */
#include "verify_rows.h"

#include "census.h"
#include "moment.h"
#include "status.h"
#include "sum.h"
#include "verify_kept.h"
#include "verify_views.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { PROGRESS_EVENTS = 4096 }; /* between two calls of `progress` */

struct verify {
    struct qp_moment *moment;
    const struct qp_verify_calls *calls;
    quipu_verified *out;
    struct qp_census census;
    uint64_t next;        /* the position that must come next */
    uint64_t chain;       /* of the one before */
    bool chain_known;     /* the one before was whole */
    int64_t recorded_ns;  /* of the newest whole one */
    uint64_t chunks;      /* that the records seen must have */
    bool all_chunks_seen; /* no record was damaged, so that `chunks` is right */
    quipu_error *error;
};

/* Counted even if nobody listens. */
int qp_verify_tell(const struct qp_verify_calls *calls, quipu_verified *out,
                   const quipu_finding *finding)
{
    out->findings++;
    return calls->found != NULL ? calls->found(calls->payload, finding) : QUIPU_OK;
}

/* Returns what `found` did: not 0 ends the verify, and is passed up by all that call this. */
static int tell(struct verify *verify, const char *file, const char *table, uint64_t position,
                const char *text)
{
    quipu_finding finding = {
        .status = QUIPU_CORRUPT, .position = position, .file = file, .table = table, .text = text};

    return qp_verify_tell(verify->calls, verify->out, &finding);
}

static int tell_log(struct verify *verify, uint64_t position, const char *text)
{
    return tell(verify, QP_LOG_FILE, "log", position, text);
}

/* ---- the log ---- */

/* The record at `position` cannot be read: what needs it is not told as wrong from here on. */
static int lose(struct verify *verify, uint64_t position)
{
    verify->chain_known = false;
    verify->all_chunks_seen = false;
    return qp_census_add_damaged(&verify->census, position) ? QUIPU_OK
                                                            : qp_fail_memory(verify->error);
}

/* Positions before `position` that have no record: one finding for all. The census gets them one by
 * one, so a wrong key that makes the gap endless must not take all memory. */
static int check_gap(struct verify *verify, uint64_t position)
{
    char text[100];
    int rc = QUIPU_OK;

    assert(position >= verify->next);
    if (position == verify->next)
        return QUIPU_OK;
    (void)snprintf(text, sizeof(text), "no events from position %" PRIu64 " to %" PRIu64,
                   verify->next, position - 1);
    rc = tell_log(verify, verify->next, text);
    if (position - verify->next > QP_UNMERGED_MAX)
        verify->next = position - QP_UNMERGED_MAX; /* as many as the tail counts one by one */
    for (; verify->next < position && rc == QUIPU_OK; verify->next++)
        rc = lose(verify, verify->next);
    verify->next = position;
    return rc;
}

/* What can still be read of a damaged record, for who looks for it. */
static int tell_damaged(struct verify *verify, struct qp_bytes row, uint64_t position)
{
    char text[QP_NAME_MAX + 120] = "its shape is wrong";
    struct qp_record record;
    uint64_t stored;
    uint64_t computed;

    if (row.size >= QP_RECORD_HEADER_BYTES) {
        qp_record_sums(row, position, &stored, &computed);
        if (stored == computed)
            return tell_log(verify, position, text);
        if (qp_record_read(row, position, false, &record) == QP_RECORD_WHOLE) {
            (void)snprintf(text, sizeof(text),
                           "%s v%" PRIu64 ": checksum %016" PRIx64 ", expected %016" PRIx64
                           " (names may be damaged too)",
                           (const char *)record.stream.data, record.version, computed, stored);
        } else {
            (void)snprintf(text, sizeof(text), "checksum %016" PRIx64 ", expected %016" PRIx64,
                           computed, stored);
        }
    }
    return tell_log(verify, position, text);
}

/* Rule 13 of docs/FORMAT.md 3.4. Versions are counted over the whole log, also after what the index
 * has. */
static int check_version(struct verify *verify, uint64_t position, const struct qp_record *record)
{
    uint64_t before = qp_census_version(&verify->census, record->stream);
    char text[QP_NAME_MAX + 120];

    if (record->version == before + 1)
        return QUIPU_OK;
    if (record->version > before && record->version - before - 1 <= verify->census.damaged_count)
        return QUIPU_OK; /* those between may be the damaged ones */
    (void)snprintf(text, sizeof(text), "%s: version %" PRIu64 " follows %" PRIu64,
                   (const char *)record->stream.data, record->version, before);
    return tell_log(verify, position, text);
}

/* A record that can be read, against those before it. Whatever is found, the next one is held
 * against this one as it stands: what is wrong here is not told again of all that follow. */
static int check_record(struct verify *verify, uint64_t position, struct qp_bytes bytes,
                        const struct qp_record *record)
{
    uint64_t head = qp_record_head(bytes, record, position);
    uint64_t chain = qp_sum_chain(verify->chain, head, qp_record_content(record));
    int rc = QUIPU_OK;

    if (verify->chain_known && chain != record->chain)
        rc = tell_log(verify, position, "it does not follow the event before it: chain");
    if (rc == QUIPU_OK && record->recorded_ns < verify->recorded_ns)
        rc = tell_log(verify, position, "it was recorded before the event before it");
    if (rc == QUIPU_OK)
        rc = check_version(verify, position, record);
    if (rc != QUIPU_OK)
        return rc;
    if (bytes.size > QP_ROW_BYTES_MAX)
        verify->chunks +=
            (bytes.size - QP_ROW_BYTES_MAX + QP_RECORD_CHUNK_BYTES - 1) / QP_RECORD_CHUNK_BYTES;
    verify->chain = record->chain;
    verify->chain_known = true;
    verify->recorded_ns = record->recorded_ns;
    verify->out->chain = record->chain;
    if (!qp_census_add(&verify->census, position, verify->moment->pin.indexed, record))
        return qp_fail_memory(verify->error);
    return QUIPU_OK;
}

/* One row of the log. It is read again by its position, through the code that all readers use. */
static int check_row(struct verify *verify, struct qp_bytes key, struct qp_bytes row)
{
    struct qp_record record = {0};
    struct qp_bytes bytes = {0};
    quipu_error why = {0};
    uint64_t position;
    int rc;

    if (!qp_key_position_read(key, &position) || position < verify->next)
        return tell_log(verify, 0, "a key is no position, or out of order");
    rc = check_gap(verify, position);
    if (rc != QUIPU_OK)
        return rc;
    assert(verify->next == position);
    verify->next = position + 1;
    verify->out->checked++;
    rc = qp_log_get_bytes(&verify->moment->log, position, &record, &bytes, &why);
    if (rc == QUIPU_ROW)
        return check_record(verify, position, bytes, &record);
    if (rc != QUIPU_CORRUPT && rc != QUIPU_NEWER_FORMAT) {
        if (verify->error != NULL)
            *verify->error = why;
        return rc;
    }
    rc = qp_record_read(row, position, true, &record) == QP_RECORD_DAMAGED
             ? tell_damaged(verify, row, position)
             : tell_log(verify, position, why.text); /* of its chunks, or of a later format */
    return rc == QUIPU_OK ? lose(verify, position) : rc;
}

/* By positions and not by rows: a gap that is jumped over moves it too. */
static int report_progress(struct verify *verify)
{
    uint64_t head = verify->moment->pin.head;
    uint64_t done = verify->next - 1;

    if (verify->calls->progress == NULL || (done % PROGRESS_EVENTS != 0 && done != head))
        return QUIPU_OK;
    return verify->calls->progress(verify->calls->payload, done, head);
}

/* Rows as they stand, and not position by position: what should not be there is found too. */
static int check_log(struct verify *verify)
{
    struct qp_cursor cursor = {0};
    struct qp_bytes key = {0};
    struct qp_bytes row = {0};
    int rc = qp_cursor_open(&cursor, verify->moment->txn, QP_TABLE_LOG, verify->error);

    if (rc == QUIPU_OK)
        rc = qp_cursor_seek(&cursor, QP_FIRST, &key, &row, verify->error);
    while (rc == QUIPU_ROW) {
        rc = check_row(verify, key, row);
        if (rc == QUIPU_OK)
            rc = report_progress(verify);
        if (rc != QUIPU_OK)
            break; /* a callback may say stop with the number of QUIPU_ROW */
        rc = qp_cursor_seek(&cursor, QP_NEXT, &key, &row, verify->error);
    }
    qp_cursor_close(&cursor);
    if (rc == QUIPU_OK && verify->next <= verify->moment->pin.head)
        rc = check_gap(verify, verify->moment->pin.head + 1); /* the walk ended too early */
    return rc;
}

/* ---- other tables ---- */

static int tell_row(struct verify *verify, const char *file, enum qp_table table,
                    struct qp_bytes key, uint64_t position)
{
    char name[100];
    char text[160];

    qp_key_text(key, name, sizeof(name));
    (void)snprintf(text, sizeof(text), "row %s: its checksum is wrong", name);
    return tell(verify, file, qp_table_name(table), position, text);
}

/* The sum of each row; what it says is not looked at. Tables that this release leaves empty are
 * walked too: a row in one of them has a sum like all others. */
static int check_table(struct verify *verify, struct qp_txn *txn, const char *file,
                       const struct qp_table_spec *spec)
{
    struct qp_cursor cursor = {0};
    struct qp_bytes key = {0};
    struct qp_bytes value = {0};
    int rc = qp_cursor_open(&cursor, txn, spec->table, verify->error);

    if (rc == QUIPU_OK)
        rc = qp_cursor_seek(&cursor, QP_FIRST, &key, &value, verify->error);
    while (rc == QUIPU_ROW) {
        uint64_t position = 0;
        uint32_t number;

        rc = QUIPU_OK;
        if (!qp_row_whole(spec->table, key, value)) {
            if (spec->table == QP_TABLE_CHUNKS)
                (void)qp_key_chunk_read(key, &position, &number);
            rc = tell_row(verify, file, spec->table, key, position);
        }
        if (rc != QUIPU_OK)
            break;
        rc = qp_cursor_seek(&cursor, QP_NEXT, &key, &value, verify->error);
    }
    qp_cursor_close(&cursor);
    return rc;
}

/* Tables whose rows are looked at by what they say. */
static bool is_checked(enum qp_table table)
{
    return table == QP_TABLE_LOG || table == QP_TABLE_TERMS || table == QP_TABLE_BLOCKS ||
           table == QP_TABLE_SNAPSHOTS || table == QP_TABLE_INDEX_BLOBS;
}

static int check_tables(struct verify *verify)
{
    int rc = QUIPU_OK;

    for (size_t i = 0; i < qp_log_table_count && rc == QUIPU_OK; i++)
        if (!is_checked(qp_log_tables[i].table))
            rc = check_table(verify, verify->moment->txn, QP_LOG_FILE, &qp_log_tables[i]);
    for (size_t i = 0; i < qp_index_table_count && rc == QUIPU_OK; i++) {
        if (verify->moment->handle->index != NULL && !is_checked(qp_index_tables[i].table))
            rc =
                check_table(verify, &verify->moment->index_txn, QP_INDEX_FILE, &qp_index_tables[i]);
    }
    if (rc == QUIPU_OK && verify->all_chunks_seen &&
        qp_table_rows(verify->moment->txn, QP_TABLE_CHUNKS) != verify->chunks)
        rc = tell(verify, QP_LOG_FILE, "chunks", 0, "there are chunks of no event");
    return rc;
}

static int tell_views(void *payload, const char *table, uint64_t position, const char *text)
{
    return tell(payload, QP_LOG_FILE, table, position, text);
}

static int tell_index(void *payload, const char *table, const char *text)
{
    return tell(payload, QP_INDEX_FILE, table, 0, text);
}

/* A handle for reading only may be without an index, and then has nothing to check. Refused is one
 * that is there and does not fit: that is a finding. */
static int check_index(struct verify *verify)
{
    struct qp_handle *handle = verify->moment->handle;

    if (handle->index != NULL) {
        int rc =
            qp_census_compare(&verify->census, verify->moment, tell_index, verify, verify->error);

        if (rc == QUIPU_OK)
            rc = qp_verify_kept(verify->moment, tell_index, verify, verify->error);
        return rc;
    }
    if (handle->index_refused && !verify->calls->index_told)
        return tell(verify, QP_INDEX_FILE, "meta", 0,
                    "it is damaged or not this log's; the next writer makes it again");
    return QUIPU_OK;
}

/* One moment from the beginning to the end: what is committed meanwhile is not looked at. */
int qp_verify_rows(struct qp_handle *handle, const struct qp_verify_calls *calls,
                   quipu_verified *out, quipu_error *error)
{
    struct verify verify = {.calls = calls,
                            .out = out,
                            .next = 1,
                            .chain_known = true,
                            .recorded_ns = INT64_MIN,
                            .all_chunks_seen = true,
                            .error = error};
    int rc = qp_moment_begin(handle, true, &verify.moment, error);

    assert(calls != NULL && out != NULL);
    if (rc < 0)
        return rc;
    out->head = verify.moment->pin.head;
    rc = check_log(&verify);
    if (rc == QUIPU_OK)
        rc = check_index(&verify);
    if (rc == QUIPU_OK)
        rc = check_tables(&verify);
    if (rc == QUIPU_OK)
        rc = qp_verify_views(verify.moment, tell_views, &verify, error);
    qp_census_release(&verify.census);
    qp_moment_end(verify.moment);
    if (rc > 0)
        return QUIPU_OK; /* a callback has seen enough */
    if (rc == QUIPU_OK && out->findings > 0)
        rc = qp_fail(error, QUIPU_CORRUPT, "%" PRIu64 " finding%s", out->findings,
                     out->findings == 1 ? "" : "s");
    return rc;
}
