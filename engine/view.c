/* view.c - two kinds of view behind one face:
 *
 *     stored  rows of the table `views`, in a snapshot of the log's file
 *     live    a sheet, folded from the first event on when it is opened, and sorted
 *
 * A stored one takes a transaction of its own and no moment: it needs neither index nor tail. The
 * keys of a scan lie between two bounds, and it begins at one of them:
 *
 *     ... | prefix ............ after ............ | first key that does not begin so ...
 *         forward:                    ----->
 *         backwards:          <-----                                                      */
#include "view.h"

#include "event.h"
#include "inline.h"
#include "projections.h"
#include "reader.h"
#include "status.h"

#include <assert.h>
#include <string.h>

struct qp_view {
    struct qp_handle *handle;
    struct qp_txn txn;
    struct qp_bytes name; /* in `text` */
    struct qp_view_place place;
    uint64_t mark;
    bool is_live;
    struct qp_folding folding; /* of a live one: its sheet */
    struct qp_buffer got;      /* a long value */
    /* The scan under way. */
    struct qp_cursor cursor;
    struct qp_buffer scanned;
    struct qp_key from; /* the bound that it began at */
    struct qp_key prefix;
    size_t at; /* of a live one */
    bool scanning;
    bool begun;
    bool backwards;
    bool includes; /* `from` itself */
    bool values;
    char text[QP_OWNER_NAME_MAX + 1];
};

/* ---- open ---- */

int qp_view_row(struct qp_handle *handle, struct qp_bytes name, struct qp_projection_row *row,
                uint64_t *transaction, quipu_error *error)
{
    struct qp_txn txn = {0};
    int rc = qp_txn_begin_read(handle->log, &txn, error);

    if (rc == QUIPU_OK)
        rc = qp_projections_get(&txn, name, row, error);
    if (rc >= 0)
        *transaction = qp_txn_number(&txn);
    qp_txn_end(&txn);
    return rc;
}

static int open_stored(struct qp_view *view, bool building, quipu_error *error)
{
    struct qp_projection_row row = {0};
    int rc = qp_txn_begin_read(view->handle->log, &view->txn, error);

    if (rc == QUIPU_OK)
        rc = qp_projections_get(&view->txn, view->name, &row, error);
    if (rc < 0)
        return rc;
    if (rc == QUIPU_OK || (row.flags & QP_PROJECTION_DELETED) != 0)
        return qp_fail(error, QUIPU_NOT_FOUND, "no view %s", view->text);
    if (building && row.building == 0)
        return qp_fail(error, QUIPU_NOT_FOUND, "view %s is not being rebuilt", view->text);
    view->place = (struct qp_view_place){view->name, building ? row.building : row.generation};
    view->mark = building ? row.building_mark : row.mark;
    return QUIPU_OK;
}

/* From the first event on, each time: a live view is for few events. */
static int fold_live(struct qp_view *view, struct qp_projection *projection, quipu_error *error)
{
    const struct qp_range range = {.check = true, .renew = true};
    struct qp_reader *reader = NULL;
    struct qp_batch parked = {0}; /* rows of parked events: they are not kept */
    int rc;

    view->folding.batch = &parked;
    rc = qp_folding_begin(&view->folding, view->handle, projection, NULL, &view->place, false,
                          error);
    if (rc == QUIPU_OK)
        rc = qp_reader_open(view->handle, NULL, &projection->query, &range, &reader, error);
    while (rc == QUIPU_OK) {
        struct qp_record record;
        quipu_event event;
        uint64_t position;

        rc = qp_reader_next(reader, &position, &record, error);
        if (rc != QUIPU_ROW)
            break;
        qp_event_fill(&record, view->handle->uuid, position, &event);
        view->folding.owners = qp_reader_streams(reader);
        rc = qp_folding_event(&view->folding, &event, error);
    }
    if (rc == QUIPU_OK)
        view->mark = qp_reader_head(reader);
    if (rc == QUIPU_FAULTED)
        (void)qp_folding_stopped(&view->folding, error);
    qp_reader_close(reader);
    view->folding.batch = NULL;
    qp_batch_release(&parked);
    qp_sheet_sort(&view->folding.sheet);
    view->is_live = true;
    return rc;
}

int qp_view_open(struct qp_handle *handle, const char *name, struct qp_view **out,
                 quipu_error *error)
{
    struct qp_bytes of = {name, strlen(name)};
    bool building = qp_rebuild_name(&of);
    struct qp_view *view = qp_zalloc(sizeof(*view));
    struct qp_projection *projection;
    int rc;

    *out = NULL;
    if (view == NULL)
        return qp_fail_memory(error);
    view->handle = handle;
    assert(of.size <= QP_OWNER_NAME_MAX);
    memcpy(view->text, of.data, of.size);
    view->name = (struct qp_bytes){view->text, of.size};
    view->place = (struct qp_view_place){view->name, 1}; /* of a live one: for bounds alone */
    projection = qp_registered_find(handle, view->name, QUIPU_LIVE);
    if (projection != NULL && !building)
        rc = fold_live(view, projection, error);
    else
        rc = open_stored(view, building, error);
    if (rc < 0)
        qp_view_close(view);
    else
        *out = view;
    return rc;
}

void qp_view_close(struct qp_view *view)
{
    if (view == NULL)
        return;
    qp_cursor_close(&view->cursor);
    if (view->folding.handle != NULL)
        qp_folding_release(&view->folding);
    qp_txn_end(&view->txn);
    qp_buffer_release(&view->got);
    qp_buffer_release(&view->scanned);
    qp_free(view);
}

uint64_t qp_view_mark(const struct qp_view *view)
{
    return view->mark;
}

/* ---- by key ---- */

/* Of a live view: the first that is not before the key. */
static size_t first_from(const struct qp_view *view, struct qp_bytes key)
{
    size_t low = 0;
    size_t high = view->folding.sheet.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct qp_bytes at;
        struct qp_bytes value;

        (void)qp_sheet_at(&view->folding.sheet, middle, &at, &value);
        if (qp_bytes_order(at, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int qp_view_get(struct qp_view *view, struct qp_bytes key, struct qp_bytes *value,
                quipu_error *error)
{
    struct qp_bytes at;

    if (!view->is_live)
        return qp_views_get(&view->txn, &view->place, key, &view->got, value, error);
    return qp_sheet_at(&view->folding.sheet, first_from(view, key), &at, value) &&
                   qp_bytes_equal(at, key)
               ? QUIPU_ROW
               : QUIPU_OK;
}

/* ---- in order ---- */

/* What each key of the generation begins with: name, 0, generation. */
static size_t owner_bytes(const struct qp_view *view)
{
    return view->name.size + 1 + sizeof(view->place.generation);
}

static struct qp_bytes without_owner(const struct qp_view *view, struct qp_bytes key)
{
    size_t owner = owner_bytes(view);

    return (struct qp_bytes){(const uint8_t *)key.data + owner, key.size - owner};
}

/* The first key that does not begin with this one: one more in its last byte that is not 255. There
 * is one, as a generation is never the last. */
static void after_prefix(const struct qp_key *prefix, struct qp_key *out)
{
    *out = *prefix;
    while (out->bytes[out->size - 1] == UINT8_MAX)
        out->size--;
    out->bytes[out->size - 1]++;
}

/* Where the scan begins: at `from`, which it leaves out. Forward it may begin with the first of the
 * prefix itself. */
static void find_bound(struct qp_view *view, struct qp_bytes after)
{
    struct qp_key behind;

    qp_key_view(&behind, view->place.name, view->place.generation, after);
    view->from = view->prefix;
    if (view->backwards)
        after_prefix(&view->prefix, &view->from);
    view->includes = !view->backwards;
    if (after.size == 0 ||
        (qp_bytes_order(qp_key_bytes(&behind), qp_key_bytes(&view->from)) < 0) != view->backwards)
        return;
    view->from = behind;
    view->includes = false;
}

/* The same in a sheet. A bound that is none of its keys lies behind all of them. */
static void find_start(struct qp_view *view)
{
    struct qp_bytes from = qp_key_bytes(&view->from);
    struct qp_bytes key;
    struct qp_bytes value;

    view->at = view->folding.sheet.count;
    if (from.size > owner_bytes(view) || !view->backwards)
        view->at = first_from(view, without_owner(view, from));
    if (!view->backwards && !view->includes &&
        qp_sheet_at(&view->folding.sheet, view->at, &key, &value) &&
        qp_bytes_equal(key, without_owner(view, from)))
        view->at++;
}

int qp_view_scan(struct qp_view *view, struct qp_bytes prefix, struct qp_bytes after,
                 bool backwards, bool values, quipu_error *error)
{
    qp_key_view(&view->prefix, view->place.name, view->place.generation, prefix);
    view->scanning = true;
    view->begun = false;
    view->backwards = backwards;
    view->values = values;
    find_bound(view, after);
    if (!view->is_live)
        return qp_cursor_open(&view->cursor, &view->txn, QP_TABLE_VIEWS, error);
    find_start(view);
    return QUIPU_OK;
}

/* The cursor's next row, wherever that is. */
static int step_cursor(struct qp_view *view, struct qp_bytes *key, struct qp_bytes *stored,
                       quipu_error *error)
{
    struct qp_bytes from = qp_key_bytes(&view->from);
    int rc;

    if (view->begun)
        return qp_cursor_seek(&view->cursor, view->backwards ? QP_PREVIOUS : QP_NEXT, key, stored,
                              error);
    view->begun = true;
    *key = from;
    rc = qp_cursor_seek(&view->cursor, QP_AT_LEAST, key, stored, error);
    if (view->backwards && rc >= 0)
        return qp_cursor_seek(&view->cursor, rc == QUIPU_ROW ? QP_PREVIOUS : QP_LAST, key, stored,
                              error);
    if (rc == QUIPU_ROW && !view->includes && qp_bytes_equal(*key, from))
        rc = qp_cursor_seek(&view->cursor, QP_NEXT, key, stored, error);
    return rc;
}

static bool begins_with(struct qp_bytes key, struct qp_bytes prefix)
{
    return key.size >= prefix.size &&
           (prefix.size == 0 || memcmp(key.data, prefix.data, prefix.size) == 0);
}

static int next_stored(struct qp_view *view, struct qp_bytes *key, struct qp_bytes *value,
                       quipu_error *error)
{
    struct qp_long_row row = {0};
    struct qp_bytes stored;
    struct qp_bytes full;
    int rc = step_cursor(view, &full, &stored, error);

    if (rc == QUIPU_ROW && !begins_with(full, qp_key_bytes(&view->prefix)))
        rc = QUIPU_OK;
    if (rc != QUIPU_ROW) {
        view->scanning = rc < 0;
        return rc;
    }
    *key = without_owner(view, full);
    rc = qp_blobs_read(&view->txn, &qp_view_home, full, stored,
                       view->values ? &view->scanned : NULL, &row, error);
    *value = row.value;
    return rc;
}

static int next_live(struct qp_view *view, struct qp_bytes *key, struct qp_bytes *value)
{
    size_t at = view->backwards ? view->at - 1 : view->at;

    if ((view->backwards && view->at == 0) || !qp_sheet_at(&view->folding.sheet, at, key, value) ||
        !begins_with(*key, without_owner(view, qp_key_bytes(&view->prefix)))) {
        view->scanning = false;
        return QUIPU_OK;
    }
    view->at = view->backwards ? at : at + 1;
    return QUIPU_ROW;
}

int qp_view_next(struct qp_view *view, struct qp_bytes *key, struct qp_bytes *value,
                 quipu_error *error)
{
    int rc;

    if (!view->scanning)
        return QUIPU_OK;
    rc = view->is_live ? next_live(view, key, value) : next_stored(view, key, value, error);
    if (!view->values)
        *value = (struct qp_bytes){0};
    return rc;
}
