/* projected.c - reads the projections' rows in a transaction of its own, as marked.c does its: what
 * is listed needs neither index nor tail, nor the projections' functions.
 *
 * A projection that was deleted, and whose rows are on their way out, is passed over. */
#include "projected.h"

#include "log.h"
#include "project.h"
#include "status.h"

#include <assert.h>
#include <string.h>

int qp_projected_open(struct qp_handle *handle, struct qp_bytes prefix, bool views,
                      struct qp_projected *projected, quipu_error *error)
{
    int rc;

    if (prefix.size > QP_OWNER_NAME_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "a prefix has %zu bytes, more than %d", prefix.size,
                       QP_OWNER_NAME_MAX);
    if (prefix.size > 0)
        memcpy(projected->prefix, prefix.data, prefix.size);
    projected->handle = handle;
    projected->views = views;
    rc = qp_txn_begin_read(handle->log, &projected->txn, error);
    if (rc == QUIPU_OK)
        rc = qp_log_newest(&projected->txn, &projected->head, error);
    if (rc == QUIPU_OK)
        rc = qp_cursor_open(&projected->cursor, &projected->txn, QP_TABLE_MARKS, error);
    return rc;
}

void qp_projected_close(struct qp_projected *projected)
{
    qp_cursor_close(&projected->cursor);
    qp_txn_end(&projected->txn);
}

/* ---- items ---- */

static uint64_t behind(const struct qp_projected *projected, uint64_t mark)
{
    return mark < projected->head ? projected->head - mark : 0;
}

static const char *status_name(enum quipu_projection_status status)
{
    switch (status) {
    case QUIPU_PROJECTION_LIVE:
        return "live";
    case QUIPU_PROJECTION_CATCHING_UP:
        return "catching-up";
    case QUIPU_PROJECTION_REBUILDING:
        return "rebuilding";
    case QUIPU_PROJECTION_PAUSED:
        return "paused";
    default:
        return "faulted";
    }
}

static enum quipu_projection_mode mode_of(const struct qp_projection_row *row)
{
    return (row->flags & QP_PROJECTION_INLINE) != 0 ? QUIPU_INLINE : QUIPU_ASYNC;
}

/* Who died runs nothing, whatever the row says. */
static void fill_owner(struct qp_projected *projected, quipu_item *item)
{
    const struct qp_projection_row *row = &projected->row;

    if (row->owner_pid == 0 || qp_shared_lives(&projected->handle->shared, row->owner_slot,
                                               row->owner_generation) == QP_ORIGIN_GONE)
        return;
    item->pid = row->owner_pid;
    item->until_ns = row->lease_until_ns;
}

static void fill_fault(struct qp_projected *projected, quipu_item *item)
{
    const struct qp_projection_row *row = &projected->row;

    if ((row->flags & QP_PROJECTION_STOPPED) == 0)
        return;
    assert(row->fault_key_size < sizeof(projected->key));
    assert(row->fault_text_size < sizeof(projected->fault));
    memcpy(projected->key, row->fault_key, row->fault_key_size);
    projected->key[row->fault_key_size] = '\0';
    memcpy(projected->fault, row->fault_text, row->fault_text_size);
    projected->fault[row->fault_text_size] = '\0';
    item->key = projected->key;
    item->key_size = row->fault_key_size;
    item->fault = projected->fault;
    item->position = row->fault_position;
    item->status = row->fault_status;
    item->time_ns = row->fault_ns;
}

static void fill_projection(struct qp_projected *projected, quipu_item *item)
{
    const struct qp_projection_row *row = &projected->row;

    *item = (quipu_item){
        .name = projected->name,
        .text = status_name(qp_projection_status(row, projected->head)),
        .version = row->version,
        .mark = row->mark,
        .lag = behind(projected, row->mark),
        .count = row->applied,
        .parked = row->parked,
        .first_position = row->building_mark,
        .last_time_ns = row->changed_ns,
        .mode = mode_of(row),
    };
    fill_owner(projected, item);
    fill_fault(projected, item);
}

static void fill_view(struct qp_projected *projected, quipu_item *item)
{
    const struct qp_projection_row *row = &projected->row;

    *item = (quipu_item){
        .name = projected->name,
        .text = mode_of(row) == QUIPU_INLINE ? "inline" : "async",
        .version = row->version,
        .mark = row->mark,
        .lag = behind(projected, row->mark),
        .count = row->generation,
        .parked = row->parked,
        .last_time_ns = row->changed_ns,
        .mode = mode_of(row),
    };
    projected->building = row->building != 0;
}

/* The same row again, as what it builds. */
static void fill_building(struct qp_projected *projected, quipu_item *item)
{
    const struct qp_projection_row *row = &projected->row;
    size_t begin = sizeof(QP_REBUILD) - 1;

    projected->building = false;
    memmove(projected->name + begin, projected->name, strlen(projected->name) + 1);
    memcpy(projected->name, QP_REBUILD, begin);
    *item = (quipu_item){
        .name = projected->name,
        .text = "rebuild",
        .version = row->building_version,
        .mark = row->building_mark,
        .lag = behind(projected, row->building_mark),
        .count = row->building,
        .parked = row->building_parked,
        .last_time_ns = row->changed_ns,
        .mode = mode_of(row),
    };
}

/* Copied: LMDB's keys have no 0 behind them. That of a damaged row may be too long. */
static void take_name(struct qp_projected *projected, struct qp_bytes name)
{
    size_t size = name.size < QP_OWNER_NAME_MAX ? name.size : QP_OWNER_NAME_MAX;

    if (size > 0)
        memcpy(projected->name, name.data, size);
    projected->name[size] = '\0';
}

int qp_projected_next(struct qp_projected *projected, quipu_item *item, quipu_error *error)
{
    if (projected->building) {
        fill_building(projected, item);
        return QUIPU_ROW;
    }
    for (;;) {
        struct qp_bytes name = {0};
        int rc = qp_projections_next(&projected->cursor, &projected->begun, &name, &projected->row,
                                     error);

        if (rc == QUIPU_OK || name.data == NULL)
            return rc; /* the end; or nothing could be read, and the next call tries again */
        take_name(projected, name);
        if (strncmp(projected->name, projected->prefix, strlen(projected->prefix)) != 0)
            continue;
        item->name = projected->name;
        if (rc < 0)
            return rc;
        if ((projected->row.flags & QP_PROJECTION_DELETED) != 0)
            continue;
        if (projected->views)
            fill_view(projected, item);
        else
            fill_projection(projected, item);
        return QUIPU_ROW;
    }
}
