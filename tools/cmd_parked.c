/* cmd_parked.c - quipu parked: the events that a projection could not apply, and what waits behind
 * them. */
#include "command.h"
#include "items.h"
#include "projection.h"
#include "stamp.h"
#include "store.h"
#include "text.h"
#include "value.h"

#include <string.h>

#define KEY_WIDTH_MAX 40

static const struct qt_option options[] = {
    {.name = "limit", .value = "N", .help = "at most N events", .kind = QT_NUMBER},
    {0},
};

static struct qt_span key_of(const quipu_item *item)
{
    return (struct qt_span){item->key, (size_t)item->key_size};
}

static void put_json(struct qt_out *out, const quipu_item *item)
{
    qt_out_char(out, '{');
    qt_value_key(out, key_of(item));
    qt_out_key(out, "position");
    qt_out_number(out, item->position);
    if (item->status < 0) {
        qt_out_key(out, "attempts");
        qt_out_number(out, item->count);
        qt_projection_put_failure(out, item->status, item->text);
    } else {
        qt_out_text(out, ",\"waits\":true");
    }
    qt_projection_put_time(out, "parked", item->time_ns);
    if (item->status < 0)
        qt_projection_put_time(out, "tried", item->last_time_ns);
    qt_out_text(out, "}\n");
}

static void put_row(struct qt_out *out, const quipu_item *item, size_t width)
{
    struct qt_stamp stamp = {0};
    char *to;

    qt_value_key_text(out, key_of(item), width);
    qt_out_char(out, ' ');
    qt_text_right(out, item->position, 8);
    qt_out_char(out, ' ');
    if (item->status < 0)
        qt_text_right(out, item->count, 8);
    else
        qt_out_text(out, "        ");
    to = qt_out_room(out, QT_STAMP_SHORT + 2);
    *to++ = ' ';
    to = qt_stamp_short(&stamp, item->time_ns, to);
    *to++ = ' ';
    qt_out_took(out, to);
    if (item->status < 0) {
        qt_out_text(out, quipu_status_name(item->status));
        qt_out_text(out, ": ");
        qt_text_put(out, item->text, strlen(item->text));
    } else {
        qt_out_text(out, "waits behind it");
    }
    qt_out_char(out, '\n');
}

static size_t key_width(const struct qt_items *items)
{
    size_t width = strlen("key");

    for (size_t i = 0; i < items->count; i++) {
        struct qt_span key = key_of(qt_items_at(items, i));
        size_t columns = qt_text_width(key.text, key.size);

        if (columns > width)
            width = columns < KEY_WIDTH_MAX ? columns : KEY_WIDTH_MAX;
    }
    return width;
}

static int run_parked(struct qt_run *run)
{
    struct qt_out *out = &run->out;
    struct qt_items items = {0};
    quipu *store = NULL;
    size_t width;
    int rc = qt_store_open(run, QT_STORE_READ, &store);

    if (rc == 0)
        rc = qt_items_take(run, store, QUIPU_LIST_PARKED, run->args.operands[1],
                           qt_args_number(&run->args, "limit", UINT64_MAX), &items);
    quipu_close(store);
    width = key_width(&items);
    if (!run->json && items.count > 0) {
        qt_out_style(out, "2");
        qt_text_padded(out, "key", 3, width);
        qt_out_text(out, " position attempts parked              why\n");
        qt_out_plain(out);
    }
    for (size_t i = 0; i < items.count && !qt_out_stopped(out); i++) {
        if (run->json)
            put_json(out, qt_items_at(&items, i));
        else
            put_row(out, qt_items_at(&items, i), width);
    }
    qt_out_flush(out);
    if (items.count == 0 && rc == 0 && !run->json)
        qt_note("nothing is parked");
    if (items.cut && !run->json)
        qt_note(items.count == 1 ? "%zu event, there are more" : "%zu events, there are more",
                items.count);
    qt_items_release(&items);
    return rc;
}

const struct qt_command qt_command_parked = {
    .verb = "parked",
    .summary = "list events that a projection has parked",
    .operands = "STORE PROJECTION",
    .example = "quipu project orders --builtin count-by-type && "
               "quipu parked orders count-by-type 2>&1",
    .text = "An event that a projection's functions fail at waits under its key, and so do\n"
            "later ones of that key; all other keys go on. Lists them key by key: how often\n"
            "the event was tried, since when it waits, and the error of the last try.\n\n"
            "quipu projection says what to do with them: replay, skip, drain, drop.\n"
            "$rebuild:PROJECTION has those of what is built beside the view.\n",
    .options = options,
    .waits = true,
    .run = run_parked,
};
