/* cmd_projections.c - quipu projections and quipu views: what is folded here, and what came of it.
 */
#include "command.h"
#include "items.h"
#include "projection.h"
#include "stamp.h"
#include "store.h"
#include "text.h"
#include "value.h"

#include <string.h>

#define NAME_WIDTH_MAX 60

static const struct qt_option options[] = {
    {.name = "prefix", .value = "TEXT", .help = "names that begin with TEXT", .kind = QT_TEXT},
    {0},
};

/* How wide must the column of names be? */
static size_t name_width(const struct qt_items *items, const char *head)
{
    size_t width = strlen(head);

    for (size_t i = 0; i < items->count; i++) {
        const char *name = qt_items_at(items, i)->name;
        size_t columns = qt_text_width(name, strlen(name));

        if (columns > width)
            width = columns < NAME_WIDTH_MAX ? columns : NAME_WIDTH_MAX;
    }
    return width;
}

static void put_changed(struct qt_out *out, int64_t time_ns)
{
    struct qt_stamp stamp = {0};
    char *to = qt_out_room(out, QT_STAMP_SHORT + 2);

    *to++ = ' ';
    to = qt_stamp_short(&stamp, time_ns, to);
    *to++ = '\n';
    qt_out_took(out, to);
}

static void put_name(struct qt_out *out, const char *name, size_t width)
{
    qt_text_padded(out, name, strlen(name), width);
    qt_out_char(out, ' ');
}

/* ---- projections ---- */

/* A line of its own, below the projection's. */
static void put_fault(struct qt_out *out, const quipu_item *item)
{
    qt_out_style(out, "31");
    qt_out_text(out, "  stopped at position ");
    qt_out_number(out, item->position);
    if (item->key_size > 0) {
        qt_out_text(out, ", key ");
        qt_value_key_text(out, (struct qt_span){item->key, (size_t)item->key_size}, 0);
    }
    qt_out_text(out, ": ");
    qt_out_text(out, quipu_status_name(item->status));
    qt_out_text(out, ": ");
    qt_text_put(out, item->fault, strlen(item->fault));
    qt_out_plain(out);
    qt_out_char(out, '\n');
}

static void put_projection(struct qt_out *out, const quipu_item *item, size_t width)
{
    bool building = qt_projection_is(item, "rebuilding");

    put_name(out, item->name, width);
    qt_text_padded(out, item->text, strlen(item->text), building ? 10 : 11);
    if (building) {
        qt_text_right(out, qt_projection_percent(item), 4);
        qt_out_char(out, '%');
    } else {
        qt_out_text(out, "    ");
    }
    qt_out_char(out, ' ');
    qt_text_right(out, item->lag, 8);
    qt_out_char(out, ' ');
    qt_text_right(out, item->version, 7);
    qt_out_char(out, ' ');
    qt_text_right(out, item->mark, 10);
    qt_out_char(out, ' ');
    qt_text_right(out, item->parked, 7);
    qt_out_char(out, ' ');
    if (item->pid != 0)
        qt_text_right(out, item->pid, 7);
    else
        qt_out_text(out, item->mode == QUIPU_INLINE ? " inline" : "   none");
    put_changed(out, item->last_time_ns);
    if (item->fault != NULL)
        put_fault(out, item);
}

static void put_projections(struct qt_run *run, const struct qt_items *items)
{
    struct qt_out *out = &run->out;
    size_t width = name_width(items, "projection");

    if (!run->json && items->count > 0) {
        qt_out_style(out, "2");
        put_name(out, "projection", width);
        qt_out_text(out, "status               lag version       mark  parked  runner changed\n");
        qt_out_plain(out);
    }
    for (size_t i = 0; i < items->count && out->failed == 0; i++) {
        if (run->json) {
            qt_projection_put_json(out, qt_items_at(items, i));
            qt_out_char(out, '\n');
        } else {
            put_projection(out, qt_items_at(items, i), width);
        }
    }
}

static int run_projections(struct qt_run *run)
{
    struct qt_items items = {0};
    quipu *store = NULL;
    int rc = qt_store_open(run, QT_STORE_READ, &store);

    if (rc == 0)
        rc = qt_items_take(run, store, QUIPU_LIST_PROJECTIONS, qt_args_text(&run->args, "prefix"),
                           UINT64_MAX, &items);
    quipu_close(store);
    put_projections(run, &items);
    qt_items_release(&items);
    return rc;
}

const struct qt_command qt_command_projections = {
    .verb = "projections",
    .summary = "list projections",
    .operands = "STORE",
    .example = "quipu project orders --builtin count-by-type && quipu projections orders",
    .text = "Lists each projection: whether it is live, catching-up, rebuilding (how much is\n"
            "done), paused or faulted; how many events its view is behind, the version of the\n"
            "functions that made it and its mark; events that are parked; which process runs\n"
            "it; when anything of this changed. What one has stopped at stands below it.\n",
    .options = options,
    .waits = true,
    .run = run_projections,
};

/* ---- views ---- */

/* One view, counted: all that is printed of it is of the moment when it was opened. */
static int put_view(struct qt_run *run, quipu *store, const quipu_item *item, size_t width)
{
    struct qt_out *out = &run->out;
    uint64_t head = item->mark + item->lag;
    quipu_error error = {0};
    quipu_view *view = NULL;
    uint64_t keys = 0;
    uint64_t mark = 0;
    int rc = quipu_view_open(store, item->name, &view, &error);

    if (rc == 0)
        rc = quipu_view_count(view, NULL, 0, &keys, &error);
    mark = quipu_view_mark(view);
    quipu_view_close(view);
    if (rc == QUIPU_NOT_FOUND)
        return 0; /* deleted, or built to its end meanwhile */
    if (rc < 0)
        return qt_store_failed(run, rc, &error);
    if (run->json) {
        qt_out_text(out, "{\"name\":");
        qt_out_json(out, item->name, strlen(item->name));
        qt_out_key(out, "kind");
        qt_out_json(out, item->text, strlen(item->text));
        qt_out_key(out, "version");
        qt_out_number(out, item->version);
        qt_out_key(out, "generation");
        qt_out_number(out, item->count);
        qt_out_key(out, "keys");
        qt_out_number(out, keys);
        qt_out_key(out, "mark");
        qt_out_number(out, mark);
        qt_out_key(out, "lag");
        qt_out_number(out, head > mark ? head - mark : 0);
        qt_projection_put_time(out, "changed", item->last_time_ns);
        qt_out_text(out, "}\n");
        return 0;
    }
    put_name(out, item->name, width);
    qt_text_padded(out, item->text, strlen(item->text), 7);
    qt_text_right(out, item->version, 8);
    qt_text_right(out, item->count, 11);
    qt_text_right(out, keys, 9);
    qt_text_right(out, mark, 11);
    qt_text_right(out, head > mark ? head - mark : 0, 9);
    put_changed(out, item->last_time_ns);
    return 0;
}

static int run_views(struct qt_run *run)
{
    struct qt_items items = {0};
    quipu *store = NULL;
    size_t width;
    int rc = qt_store_open(run, QT_STORE_READ, &store);

    if (rc == 0)
        rc = qt_items_take(run, store, QUIPU_LIST_VIEWS, qt_args_text(&run->args, "prefix"),
                           UINT64_MAX, &items);
    width = name_width(&items, "view");
    if (!run->json && items.count > 0) {
        qt_out_style(&run->out, "2");
        put_name(&run->out, "view", width);
        qt_out_text(&run->out, "kind    version generation     keys       mark      lag changed\n");
        qt_out_plain(&run->out);
    }
    for (size_t i = 0; i < items.count && rc == 0 && !qt_out_stopped(&run->out); i++)
        rc = put_view(run, store, qt_items_at(&items, i), width);
    quipu_close(store);
    qt_items_release(&items);
    return rc;
}

const struct qt_command qt_command_views = {
    .verb = "views",
    .summary = "list views of projections",
    .operands = "STORE",
    .example = "quipu project orders --builtin count-by-type && quipu views orders",
    .text = "Lists each view with its kind, the version of the functions that made it, how\n"
            "many times it was begun, how many keys it has (counted one by one), up to which\n"
            "position it is the fold of the store, and how many events it is behind. What is\n"
            "built beside a view is one too: $rebuild:NAME.\n",
    .options = options,
    .waits = true,
    .run = run_views,
};
