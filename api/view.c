/* view.c - views: names and bounds are checked, and a view is counted as a child of its store. */
#include "view.h"

#include "catch_up.h"
#include "clock.h"
#include "handles.h"
#include "projections.h"
#include "quipu.h"
#include "status.h"
#include "text.h"

#include <string.h>

struct quipu_view {
    struct qp_child child;
    struct qp_view *view;
};

static int check_name(const char *name, size_t *size, quipu_error *error)
{
    struct qp_bytes of = {name, name != NULL ? strlen(name) : 0};

    (void)qp_rebuild_name(&of);
    return qp_text_name(of.data, QP_OWNER_NAME_MAX, "a view's name", size, error);
}

int quipu_view_open(quipu *store, const char *projection, quipu_view **out, quipu_error *error)
{
    quipu_view *view = NULL;
    size_t size;
    int rc = qp_api_enter(store, error);

    if (out == NULL)
        return rc < 0 ? rc : qp_fail(error, QUIPU_MISUSE, "out is NULL");
    *out = NULL;
    if (rc == QUIPU_OK)
        rc = check_name(projection, &size, error);
    if (rc < 0)
        return rc;
    view = qp_zalloc(sizeof(*view));
    if (view == NULL)
        return qp_fail_memory(error);
    rc = qp_view_open(store->handle, projection, &view->view, error);
    if (rc < 0) {
        qp_free(view);
        return rc;
    }
    qp_child_begin(store, &view->child);
    *out = view;
    return QUIPU_OK;
}

uint64_t quipu_view_mark(const quipu_view *view)
{
    if (view == NULL || qp_child_enter(&view->child, NULL) < 0)
        return 0;
    return qp_view_mark(view->view);
}

/* What each call on a view begins with. */
static int enter(const quipu_view *view, quipu_error *error)
{
    if (view == NULL)
        return qp_fail(error, QUIPU_MISUSE, "the view is NULL");
    return qp_child_enter(&view->child, error);
}

int quipu_view_get(quipu_view *view, const void *key, size_t size, quipu_value *out,
                   quipu_error *error)
{
    struct qp_bytes value = {0};
    int rc = enter(view, error);

    if (rc < 0)
        return rc;
    if (out == NULL)
        return qp_fail(error, QUIPU_MISUSE, "out is NULL");
    if (key == NULL || size == 0)
        return qp_fail(error, QUIPU_MISUSE, "a key has at least one byte");
    *out = (quipu_value){0};
    if (size > QP_VIEW_KEY_MAX)
        return QUIPU_OK; /* no such key can be */
    rc = qp_view_get(view->view, (struct qp_bytes){key, size}, &value, error);
    if (rc == QUIPU_ROW)
        *out = (quipu_value){value.data, value.size};
    return rc;
}

static int scan(quipu_view *view, struct qp_bytes prefix, struct qp_bytes after, uint32_t flags,
                quipu_error *error)
{
    const uint32_t known = QUIPU_SCAN_BACKWARDS | QUIPU_SCAN_KEYS;
    int rc = enter(view, error);

    if (rc < 0)
        return rc;
    if ((flags & ~known) != 0)
        return qp_fail(error, QUIPU_MISUSE, "unknown flags of a scan: %x", flags & ~known);
    if ((prefix.data == NULL && prefix.size > 0) || (after.data == NULL && after.size > 0))
        return qp_fail(error, QUIPU_MISUSE, "a bound is NULL with a size");
    if (prefix.size > QP_VIEW_KEY_MAX || after.size > QP_VIEW_KEY_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "a key has at most %d bytes", QP_VIEW_KEY_MAX);
    return qp_view_scan(view->view, prefix, after, (flags & QUIPU_SCAN_BACKWARDS) != 0,
                        (flags & QUIPU_SCAN_KEYS) == 0, error);
}

int quipu_view_scan(quipu_view *view, const void *prefix, size_t size, const void *after,
                    size_t after_size, uint32_t flags, quipu_error *error)
{
    return scan(view, (struct qp_bytes){prefix, size}, (struct qp_bytes){after, after_size}, flags,
                error);
}

int quipu_view_next(quipu_view *view, quipu_value *key, quipu_value *value, quipu_error *error)
{
    struct qp_bytes found_key = {0};
    struct qp_bytes found = {0};
    int rc = enter(view, error);

    if (rc < 0)
        return rc;
    if (key == NULL || value == NULL)
        return qp_fail(error, QUIPU_MISUSE, "key and value must not be NULL");
    rc = qp_view_next(view->view, &found_key, &found, error);
    *key = (quipu_value){found_key.data, found_key.size};
    *value = rc == QUIPU_ROW && found.data != NULL ? (quipu_value){found.data, found.size}
                                                   : (quipu_value){0};
    return rc;
}

int quipu_view_count(quipu_view *view, const void *prefix, size_t size, uint64_t *count,
                     quipu_error *error)
{
    int rc = enter(view, error);

    if (rc < 0)
        return rc;
    if (count == NULL)
        return qp_fail(error, QUIPU_MISUSE, "count is NULL");
    *count = 0;
    rc = scan(view, (struct qp_bytes){prefix, size}, (struct qp_bytes){0}, QUIPU_SCAN_KEYS, error);
    if (rc < 0)
        return rc;
    for (;;) {
        struct qp_bytes key;
        struct qp_bytes value;

        rc = qp_view_next(view->view, &key, &value, error);
        if (rc != QUIPU_ROW)
            return rc;
        ++*count;
    }
}

void quipu_view_close(quipu_view *view)
{
    if (view == NULL || !qp_child_may_end(&view->child))
        return;
    qp_view_close(view->view);
    qp_child_end(&view->child);
    qp_free(view);
}

/* ---- wait ---- */

static int ask_child(void *payload, quipu_error *error)
{
    return qp_child_enter(payload, error);
}

int quipu_view_wait(quipu *store, const char *projection, uint64_t position, int timeout_ms,
                    quipu_error *error)
{
    struct qp_bytes name = {.data = projection};
    struct qp_child child;
    int64_t deadline;
    int rc = qp_api_enter(store, error);

    if (rc == QUIPU_OK && timeout_ms < -1)
        rc = qp_fail(error, QUIPU_MISUSE, "a timeout of %d ms", timeout_ms);
    if (rc == QUIPU_OK)
        rc = qp_text_name(projection, QP_OWNER_NAME_MAX, "a view's name", &name.size, error);
    if (rc < 0)
        return rc;
    deadline = timeout_ms < 0 ? INT64_MAX : qp_clock_deadline_ns((uint32_t)timeout_ms);
    qp_child_begin(store, &child);
    rc = qp_catch_up_wait(store->handle, name, position, deadline, ask_child, &child, error);
    qp_child_end(&child);
    if (rc == QUIPU_OK)
        return qp_fail(error, QUIPU_TIMEOUT, "view %.100s has not come to position %llu in time",
                       projection, (unsigned long long)position);
    return rc == QUIPU_ROW ? QUIPU_OK : rc;
}
