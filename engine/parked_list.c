/* parked_list.c - reads the parked rows of one generation, in a transaction of its own: they are
 * neighbours, and those of one key too, the oldest first. */
#include "parked_list.h"

#include "status.h"

#include <string.h>

int qp_parked_list_open(struct qp_handle *handle, struct qp_bytes owner,
                        struct qp_parked_list *list, quipu_error *error)
{
    struct qp_bytes name = owner;
    struct qp_projection_row row = {0};
    bool building = qp_rebuild_name(&name);
    int rc;

    if (name.size == 0)
        return qp_fail(error, QUIPU_MISUSE, "parked events are listed of one projection: of which");
    if (name.size > QP_OWNER_NAME_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "a projection's name has %zu bytes, more than %d",
                       name.size, QP_OWNER_NAME_MAX);
    memcpy(list->name, owner.data, owner.size);
    rc = qp_txn_begin_read(handle->log, &list->txn, error);
    if (rc == QUIPU_OK)
        rc = qp_projections_get(&list->txn, name, &row, error);
    if (rc < 0)
        return rc;
    if (rc == QUIPU_OK || (row.flags & QP_PROJECTION_DELETED) != 0)
        return qp_fail(error, QUIPU_NOT_FOUND, "no projection %.*s", (int)name.size,
                       (const char *)name.data);
    if (building && row.building == 0)
        return qp_fail(error, QUIPU_NOT_FOUND, "projection %.*s is not being rebuilt",
                       (int)name.size, (const char *)name.data);
    list->place.name = (struct qp_bytes){list->name + (owner.size - name.size), name.size};
    list->place.generation = building ? row.building : row.generation;
    return qp_cursor_open(&list->cursor, &list->txn, QP_TABLE_PARKED, error);
}

void qp_parked_list_close(struct qp_parked_list *list)
{
    qp_cursor_close(&list->cursor);
    qp_txn_end(&list->txn);
}

int qp_parked_list_next(struct qp_parked_list *list, quipu_item *item, quipu_error *error)
{
    struct qp_parked parked = {0};
    int rc = list->begun ? qp_parked_next(&list->cursor, &list->place, &parked, error)
                         : qp_parked_begin(&list->cursor, &list->place, &parked, error);

    list->begun = list->begun || rc == QUIPU_ROW || rc == QUIPU_CORRUPT; /* else: try again */
    if (rc == QUIPU_OK)
        return rc;
    item->name = list->name;
    if (rc < 0)
        return rc;
    if (parked.key.size >= sizeof(list->key) || parked.reason.size >= sizeof(list->reason))
        return qp_fail(error, QUIPU_CORRUPT, "table parked: a key or a reason is too long");
    memcpy(list->key, parked.key.data, parked.key.size);
    list->key[parked.key.size] = '\0';
    if (parked.reason.size > 0)
        memcpy(list->reason, parked.reason.data, parked.reason.size);
    list->reason[parked.reason.size] = '\0';
    *item = (quipu_item){.name = list->name,
                         .key = list->key,
                         .key_size = parked.key.size,
                         .text = list->reason,
                         .position = parked.position,
                         .count = parked.attempts,
                         .status = parked.status,
                         .time_ns = parked.first_ns,
                         .last_time_ns = parked.last_ns};
    return QUIPU_ROW;
}
