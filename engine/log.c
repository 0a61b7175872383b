/* log.c - one row a record; what does not fit a row stands in chunks, each with its own sum.
 *
 *     log      position        bytes 0 to 4 079 of the record: header, names, the begin of the rest
 *     chunks   position, 0     sum, then the next 4 072
 *              position, 1     sum, then the next 4 072, or what is left
 *
 * So most records are given out as views into the map; one in chunks is put together in the
 * cursor's buffer. The sums that are checked are those of what is read: the chain over all of it is
 * the business of verify. Knows nothing of streams, versions and terms. */
#include "log.h"

#include "ahead.h"
#include "row.h"
#include "status.h"

#include <assert.h>
#include <string.h>

const struct qp_table_spec qp_log_tables[] = {
    {QP_TABLE_LOG, true},     {QP_TABLE_CHUNKS, false}, {QP_TABLE_STREAMS, false},
    {QP_TABLE_HOLES, false},  {QP_TABLE_EDITS, false},  {QP_TABLE_VIEWS, false},
    {QP_TABLE_GROUPS, false}, {QP_TABLE_PARKED, false}, {QP_TABLE_MARKS, false},
    {QP_TABLE_BLOBS, false},  {QP_TABLE_META, false},
};
const size_t qp_log_table_count = sizeof(qp_log_tables) / sizeof(qp_log_tables[0]);

/* ---- write ---- */

/* A part of at most QP_RECORD_CHUNK_BYTES, after its sum. */
static int append_chunk(struct qp_txn *txn, uint64_t position, uint32_t number,
                        struct qp_bytes part, quipu_error *error)
{
    struct qp_key key;
    uint8_t row[QP_ROW_BYTES_MAX];

    assert(part.size <= sizeof(row) - QP_ROW_SUM_BYTES);
    qp_key_chunk(&key, position, number);
    memcpy(row + QP_ROW_SUM_BYTES, part.data, part.size);
    return qp_put_row(txn, QP_TABLE_CHUNKS, qp_key_bytes(&key), row, part.size + QP_ROW_SUM_BYTES,
                      error);
}

/* The row is written into the page itself, before anything else is put: the room that LMDB gives is
 * ours until then. */
int qp_log_append(struct qp_txn *txn, uint64_t position, const uint8_t *record, size_t size,
                  quipu_error *error)
{
    size_t row_size = size < QP_ROW_BYTES_MAX ? size : QP_ROW_BYTES_MAX;
    void *row;
    int rc =
        qp_append_reserve(txn, QP_TABLE_LOG, qp_key_position(&position), row_size, &row, error);

    assert(txn->writing && position > 0 && position <= QP_POSITION_MAX);
    assert(size >= QP_RECORD_HEADER_BYTES && size <= QP_RECORD_BYTES_MAX);
    if (rc < 0)
        return rc;
    memcpy(row, record, row_size);
    for (uint32_t number = 0; rc == QUIPU_OK; number++) {
        struct qp_bytes part = qp_record_chunk(record, size, number);

        if (part.size == 0)
            break;
        rc = append_chunk(txn, position, number, part, error);
    }
    return rc;
}

/* ---- read ---- */

/* A zeroed cursor, or one that rested with its transaction; its buffer is kept. */
int qp_log_open(struct qp_log_cursor *log, struct qp_txn *txn, bool check, quipu_error *error)
{
    assert(txn->live && !log->names_only);
    log->txn = txn;
    log->check = check;
    log->window = 0;
    return qp_cursor_open(&log->cursor, txn, QP_TABLE_LOG, error);
}

/* Before its transaction ends, if that one writes. */
void qp_log_close(struct qp_log_cursor *log)
{
    qp_cursor_close(&log->cursor);
    qp_buffer_release(&log->assembly);
}

/* With the position, which is what `quipu verify` lists and what a read of all goes on after. */
static int damaged(uint64_t position, const char *what, quipu_error *error)
{
    return qp_fail(error, QUIPU_CORRUPT, "the event at position %llu is damaged: %s",
                   (unsigned long long)position, what);
}

/* Put a record's parts together; the row was read and says how long the whole is. */
static int assemble(struct qp_log_cursor *log, uint64_t position, struct qp_bytes row, size_t size,
                    quipu_error *error)
{
    struct qp_key key;

    log->assembly.size = 0;
    assert(row.size <= size);
    if (!qp_buffer_reserve(&log->assembly, size))
        return qp_fail_memory(error);
    (void)qp_buffer_put(&log->assembly, row.data, row.size); /* fits, and so do the chunks */
    for (uint32_t number = 0; log->assembly.size < size; number++) {
        struct qp_bytes chunk;
        size_t left = size - log->assembly.size;
        int rc;

        qp_key_chunk(&key, position, number);
        rc = qp_get(log->txn, QP_TABLE_CHUNKS, qp_key_bytes(&key), &chunk, error);
        if (rc < 0)
            return rc;
        if (rc == QUIPU_OK)
            return damaged(position, "a chunk is missing", error);
        if (chunk.size < QP_ROW_SUM_BYTES ||
            chunk.size - QP_ROW_SUM_BYTES !=
                (left < QP_RECORD_CHUNK_BYTES ? left : QP_RECORD_CHUNK_BYTES))
            return damaged(position, "a chunk has a wrong size", error);
        if (log->check && !qp_row_whole(QP_TABLE_CHUNKS, qp_key_bytes(&key), chunk))
            return damaged(position, "a chunk has a wrong checksum", error);
        (void)qp_buffer_put(&log->assembly, (const uint8_t *)chunk.data + QP_ROW_SUM_BYTES,
                            chunk.size - QP_ROW_SUM_BYTES);
    }
    assert(log->assembly.size == size);
    return QUIPU_OK;
}

/* What stands at a row that was found, in `*bytes` as a whole. Returns: ROW, or why it cannot be
 * read. Its size is bounded before memory is taken for it: without checksums it may say anything.
 */
static int read_row(struct qp_log_cursor *log, uint64_t position, struct qp_bytes row,
                    struct qp_record *record, struct qp_bytes *bytes, quipu_error *error)
{
    enum qp_record_state state = qp_record_read(row, position, log->check, record);
    int rc;

    *bytes = row;
    if (state == QP_RECORD_WHOLE && (record->flags & QP_RECORD_CHUNKED) != 0 &&
        !(log->names_only && qp_record_has_names(row, record))) {
        if (record->size > QP_RECORD_BYTES_MAX)
            return damaged(position, "an impossible size", error);
        rc = assemble(log, position, row, record->size, error);
        if (rc < 0)
            return rc;
        *bytes = (struct qp_bytes){log->assembly.bytes, log->assembly.size};
        state = qp_record_read_assembled(*bytes, record);
    }
    if (state == QP_RECORD_NEWER) {
        return qp_fail(error, QUIPU_NEWER_FORMAT,
                       "the event at position %llu has a format newer than this library",
                       (unsigned long long)position);
    }
    if (state == QP_RECORD_DAMAGED)
        return damaged(position, "its checksum or shape is wrong", error);
    return QUIPU_ROW;
}

/* Nothing is read ahead for one record: the kernel is told by who knows more of them. */
int qp_log_get_bytes(struct qp_log_cursor *log, uint64_t position, struct qp_record *record,
                     struct qp_bytes *bytes, quipu_error *error)
{
    struct qp_bytes key = qp_key_position(&position);
    struct qp_bytes row;
    int rc = qp_cursor_seek(&log->cursor, QP_EXACT, &key, &row, error);

    if (rc == QUIPU_OK)
        return damaged(position, "it is missing", error);
    if (rc < 0)
        return rc;
    return read_row(log, position, row, record, bytes, error);
}

int qp_log_get(struct qp_log_cursor *log, uint64_t position, struct qp_record *record,
               quipu_error *error)
{
    struct qp_bytes bytes;

    return qp_log_get_bytes(log, position, record, &bytes, error);
}

int qp_log_get_names(struct qp_log_cursor *log, uint64_t position, struct qp_record *record,
                     quipu_error *error)
{
    int rc;

    log->names_only = true;
    rc = qp_log_get(log, position, record, error);
    log->names_only = false;
    return rc;
}

/* A scan has come to this row: what is its position, and what stands there? `*position` is set
 * whatever the record is like, so that the scan can go on after it. */
static int at_row(struct qp_log_cursor *log, bool backwards, struct qp_bytes key,
                  struct qp_bytes row, uint64_t *position, struct qp_record *record,
                  quipu_error *error)
{
    struct qp_bytes bytes;

    if (!qp_key_position_read(key, position))
        return qp_fail(error, QUIPU_CORRUPT, "a key of the log has a wrong size");
    qp_ahead_scan(log->txn, row, backwards, &log->window);
    return read_row(log, *position, row, record, &bytes, error);
}

/* LMDB finds the first key at or after a wanted one; backwards the last at or before it is asked
 * for: the one before what was found, or the table's last. */
int qp_log_begin(struct qp_log_cursor *log, bool backwards, uint64_t *position,
                 struct qp_record *record, quipu_error *error)
{
    uint64_t from = *position;
    struct qp_bytes key = qp_key_position(&from);
    struct qp_bytes row;
    int rc = qp_cursor_seek(&log->cursor, QP_AT_LEAST, &key, &row, error);

    if (rc < 0)
        return rc;
    if (backwards && rc == QUIPU_OK)
        rc = qp_cursor_seek(&log->cursor, QP_LAST, &key, &row, error);
    else if (backwards && qp_get_u64(key.data) > from)
        rc = qp_cursor_seek(&log->cursor, QP_PREVIOUS, &key, &row, error);
    if (rc != QUIPU_ROW)
        return rc;
    return at_row(log, backwards, key, row, position, record, error);
}

/* In the order of keys and not by counting: what is missing is for the caller to notice. */
int qp_log_step(struct qp_log_cursor *log, bool backwards, uint64_t *position,
                struct qp_record *record, quipu_error *error)
{
    struct qp_bytes key = {0};
    struct qp_bytes row;
    int rc = qp_cursor_seek(&log->cursor, backwards ? QP_PREVIOUS : QP_NEXT, &key, &row, error);

    if (rc != QUIPU_ROW)
        return rc;
    return at_row(log, backwards, key, row, position, record, error);
}

/* Any value tells where the map lies, the first row's as well as another's. It moves the cursor:
 * for who goes from position to position, not for a scan. */
void qp_log_expect(struct qp_log_cursor *log, const uint64_t *positions, size_t count)
{
    struct qp_bytes key = {0};
    struct qp_bytes row;

    assert(count <= QP_EXPECT_MAX);
    if (count > 1 && qp_cursor_seek(&log->cursor, QP_FIRST, &key, &row, NULL) == QUIPU_ROW)
        qp_ahead_positions(log->txn, row.data, positions, count);
}

/* The key alone: the newest record may be damaged, and the head is where it is all the same. A key
 * that cannot be would make every position after it wrong. */
int qp_log_edge(struct qp_log_cursor *log, uint64_t *position, quipu_error *error)
{
    struct qp_bytes key = {0};
    struct qp_bytes row;
    int rc = qp_cursor_seek(&log->cursor, QP_LAST, &key, &row, error);

    *position = 0;
    if (rc != QUIPU_ROW)
        return rc;
    if (!qp_key_position_read(key, position) || *position == 0 || *position > QP_POSITION_MAX)
        return qp_fail(error, QUIPU_CORRUPT, "the newest key of the log is impossible");
    return QUIPU_OK;
}

int qp_log_newest(struct qp_txn *txn, uint64_t *position, quipu_error *error)
{
    struct qp_log_cursor log = {0};
    int rc = qp_log_open(&log, txn, true, error);

    if (rc == QUIPU_OK)
        rc = qp_log_edge(&log, position, error);
    qp_log_close(&log);
    return rc;
}

/* What the next event's chain and clock go on from: a newest record that cannot be read has
 * neither, so that nothing can be appended after it. */
int qp_log_head(struct qp_log_cursor *log, struct qp_log_head *head, quipu_error *error)
{
    struct qp_record record = {0};
    int rc;

    *head = (struct qp_log_head){0};
    rc = qp_log_edge(log, &head->position, error);
    if (rc < 0 || head->position == 0)
        return rc;
    rc = qp_log_get(log, head->position, &record, error);
    if (rc < 0)
        return rc;
    head->chain = record.chain;
    head->recorded_ns = record.recorded_ns;
    return QUIPU_OK;
}
