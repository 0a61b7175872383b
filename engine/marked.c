/* marked.c - reads the table `marks` in a transaction of its own: no index and no tail is needed,
 * so that it works, and is quick, in a store whose index is not there. */
#include "marked.h"

#include "log.h"
#include "status.h"
#include "text.h"

#include <assert.h>
#include <string.h>

int qp_marked_get(struct qp_handle *handle, enum qp_mark_kind kind, const char *name,
                  uint64_t *number, quipu_error *error)
{
    const char *what = kind == QP_MARK_POSITION ? "a mark" : "a source";
    struct qp_bytes bytes = {.data = name};
    struct qp_txn txn = {0};
    struct qp_mark mark = {0};
    int rc = qp_text_name(name, QP_OWNER_NAME_MAX, what, &bytes.size, error);

    if (rc == QUIPU_OK)
        rc = qp_txn_begin_read(handle->log, &txn, error);
    if (rc == QUIPU_OK)
        rc = qp_marks_get(&txn, kind, bytes, &mark, error);
    qp_txn_end(&txn);
    if (rc == QUIPU_OK)
        return qp_fail(error, QUIPU_NOT_FOUND, "%s of this name was never set: %.100s", what, name);
    if (rc != QUIPU_ROW)
        return rc;
    *number = mark.number;
    return QUIPU_OK;
}

int qp_marked_open(struct qp_handle *handle, struct qp_bytes prefix, struct qp_marked *marked,
                   quipu_error *error)
{
    int rc;

    if (prefix.size > QP_OWNER_NAME_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "a prefix has %zu bytes, more than %d", prefix.size,
                       QP_OWNER_NAME_MAX);
    if (prefix.size > 0)
        memcpy(marked->prefix, prefix.data, prefix.size);
    rc = qp_txn_begin_read(handle->log, &marked->txn, error);
    if (rc == QUIPU_OK)
        rc = qp_log_newest(&marked->txn, &marked->head, error);
    if (rc == QUIPU_OK)
        rc = qp_cursor_open(&marked->cursor, &marked->txn, QP_TABLE_MARKS, error);
    return rc;
}

void qp_marked_close(struct qp_marked *marked)
{
    qp_cursor_close(&marked->cursor);
    qp_txn_end(&marked->txn);
}

/* Copied: LMDB's keys have no 0 behind them. */
static void name_item(struct qp_marked *marked, struct qp_bytes name)
{
    assert(name.size < sizeof(marked->name));
    memcpy(marked->name, name.data, name.size);
    marked->name[name.size] = '\0';
}

int qp_marked_next(struct qp_marked *marked, quipu_item *item, quipu_error *error)
{
    for (;;) {
        struct qp_bytes key;
        struct qp_bytes value;
        struct qp_bytes name;
        enum qp_mark_kind kind;
        struct qp_mark mark;
        bool whole;
        int rc = qp_cursor_seek(&marked->cursor, marked->begun ? QP_NEXT : QP_FIRST, &key, &value,
                                error);

        if (rc != QUIPU_ROW)
            return rc;
        marked->begun = true;
        if (!qp_marks_read(key, value, &kind, &name, &mark, &whole))
            continue;
        name_item(marked, name);
        if (strncmp(marked->name, marked->prefix, strlen(marked->prefix)) != 0)
            continue;
        *item = (quipu_item){.name = marked->name,
                             .text = kind == QP_MARK_POSITION ? "mark" : "source",
                             .mark = mark.number,
                             .last_time_ns = mark.changed_ns};
        if (!whole)
            return qp_fail(error, QUIPU_CORRUPT, "table marks, %s: its checksum is wrong",
                           marked->name);
        if (kind == QP_MARK_POSITION && mark.number < marked->head)
            item->lag = marked->head - mark.number;
        return QUIPU_ROW;
    }
}
