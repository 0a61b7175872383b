/* look.c - lists and figures. */
#include "handles.h"
#include "list.h"
#include "marked.h"
#include "quipu.h"
#include "stat.h"
#include "status.h"

struct quipu_list {
    struct qp_child child;
    struct qp_list *list;
};

/* ---- lists ---- */

int quipu_list_open(quipu *store, int kind, const char *prefix, quipu_list **out,
                    quipu_error *error)
{
    quipu_list *list;
    int rc = qp_api_enter(store, error);

    if (rc < 0)
        return rc;
    if (out == NULL)
        return qp_fail(error, QUIPU_MISUSE, "out is NULL");
    *out = NULL;
    list = qp_zalloc(sizeof(*list));
    if (list == NULL)
        return qp_fail_memory(error);
    rc = qp_list_open(store->handle, kind, prefix, &list->list, error);
    if (rc < 0) {
        qp_free(list);
        return rc;
    }
    qp_child_begin(store, &list->child);
    *out = list;
    return QUIPU_OK;
}

int quipu_list_next(quipu_list *list, quipu_item *item, quipu_error *error)
{
    int rc;

    if (list == NULL || item == NULL)
        return qp_fail(error, QUIPU_MISUSE, "list and item must not be NULL");
    rc = qp_child_enter(&list->child, error);
    return rc == QUIPU_OK ? qp_list_next(list->list, item, error) : rc;
}

void quipu_list_close(quipu_list *list)
{
    struct qp_child child;

    if (list == NULL || !qp_child_may_end(&list->child))
        return;
    child = list->child;
    qp_list_close(list->list);
    qp_free(list);
    qp_child_end(&child);
}

/* ---- marks ---- */

static int get_mark(quipu *store, enum qp_mark_kind kind, const char *name, uint64_t *number,
                    quipu_error *error)
{
    int rc = qp_api_enter(store, error);

    if (rc < 0)
        return rc;
    if (number == NULL)
        return qp_fail(error, QUIPU_MISUSE, "there is no place for the number");
    return qp_marked_get(store->handle, kind, name, number, error);
}

int quipu_mark_get(quipu *store, const char *name, uint64_t *position, quipu_error *error)
{
    return get_mark(store, QP_MARK_POSITION, name, position, error);
}

int quipu_tracked_get(quipu *store, const char *source, uint64_t *number, quipu_error *error)
{
    return get_mark(store, QP_MARK_SOURCE, source, number, error);
}

/* ---- figures ---- */

int quipu_stat_get(quipu *store, quipu_stat *out, quipu_error *error)
{
    quipu_stat stat = {0};
    int rc = qp_api_enter(store, error);

    if (rc < 0)
        return rc;
    if (out == NULL)
        return qp_fail(error, QUIPU_MISUSE, "out is NULL");
    rc = qp_stat(store->handle, &stat, error);
    if (rc == QUIPU_OK)
        qp_struct_out(&stat, sizeof(stat), out);
    return rc;
}
