/* filter.c - options to a query and a sieve. It opens no reader: pager.c does. */
#include "filter.h"

#include "msgpack_json.h"
#include "stamp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct qt_option qt_filter_options[] = {
    {.name = "stream", .value = "NAME", .help = "one stream", .kind = QT_TEXT},
    {.name = "category",
     .value = "NAME",
     .help = "streams whose name begins with NAME and '-'",
     .kind = QT_TEXT},
    {.name = "type",
     .value = "TYPE",
     .help = "events of this type; given again: any of them",
     .kind = QT_TEXT,
     .repeats = true},
    {.name = "tag",
     .value = "KEY:VALUE",
     .help = "events with this tag; given again: with all of them",
     .kind = QT_TEXT,
     .repeats = true},
    {.name = "since",
     .value = "TIME",
     .help = "whose time is TIME or later: 2024-03-01T12:00:00Z",
     .kind = QT_TEXT},
    {.name = "until",
     .value = "TIME",
     .help = "whose time is earlier; TIME itself is out",
     .kind = QT_TEXT},
    {.name = "grep",
     .value = "TEXT",
     .help = "with TEXT in stream, type, tags, data or meta",
     .kind = QT_TEXT},
    {.name = "after", .value = "N", .help = "only what comes after N", .kind = QT_NUMBER},
    {.name = "upto", .value = "N", .help = "nothing after N; N itself is in", .kind = QT_NUMBER},
    {.name = "skip-damaged", .help = "go on after a damaged event, with exit code 5 at the end"},
    {0},
};

/* One of the two bounds of time. Returns: 0, or a status with its problem. */
static int take_time(struct qt_run *run, const char *name, bool *has, int64_t *time_ns)
{
    const char *text = qt_args_text(&run->args, name);
    const char *error = NULL;

    *has = text != NULL;
    if (text != NULL && qt_stamp_parse(text, strlen(text), time_ns, &error) < 0)
        return qt_problem_say(&run->problem, QUIPU_MISUSE, "--%s \"%.80s\": %s; see quipu help %s",
                              name, text, error, run->command->verb);
    return 0;
}

static void take_query(struct qt_filter *filter, const struct qt_args *args)
{
    quipu_query_item *item = &filter->item;
    bool others;

    item->stream = qt_args_text(args, "stream");
    item->category = qt_args_text(args, "category");
    item->type_count = (uint32_t)qt_args_all(args, "type", filter->types, args->given_count);
    item->types = item->type_count > 0 ? filter->types : NULL;
    item->tag_count = (uint32_t)qt_args_all(args, "tag", filter->tags, args->given_count);
    item->tags = item->tag_count > 0 ? filter->tags : NULL;
    filter->stream = item->stream;
    others = item->category != NULL || item->type_count > 0 || item->tag_count > 0;
    filter->by_version = item->stream != NULL && !others;
    filter->asks = others;
}

int qt_filter_take(struct qt_filter *filter, struct qt_run *run)
{
    const struct qt_args *args = &run->args;
    int rc;

    *filter = (struct qt_filter){
        .types = calloc(args->given_count + 1, sizeof(*filter->types)),
        .tags = calloc(args->given_count + 1, sizeof(*filter->tags)),
    };
    if (filter->types == NULL || filter->tags == NULL)
        return qt_problem_say(&run->problem, QUIPU_NO_MEMORY, "out of memory");
    take_query(filter, args);
    filter->after = qt_args_number(args, "after", 0);
    filter->upto = qt_args_number(args, "upto", UINT64_MAX);
    filter->skips = qt_args_has(args, "skip-damaged");
    filter->text.text = qt_args_text(args, "grep");
    filter->text.size = filter->text.text == NULL ? 0 : strlen(filter->text.text);
    rc = take_time(run, "since", &filter->has_since, &filter->since_ns);
    if (rc == 0)
        rc = take_time(run, "until", &filter->has_until, &filter->until_ns);
    filter->sifts = filter->has_since || filter->has_until || filter->text.text != NULL;
    return rc;
}

static bool contains(struct qt_span where, struct qt_span what)
{
    assert(what.text != NULL);
    return what.size == 0 ||
           (where.size > 0 && memmem(where.text, where.size, what.text, what.size) != NULL);
}

/* JSON as line.c prints it, without its white space; what is no JSON as it is.
 *
 * Returns: 1, 0 or QUIPU_NO_MEMORY. */
static int json_contains(struct qt_filter *filter, struct qt_span payload)
{
    struct qt_json json;
    char *to;

    if (qt_json_whole(&json, payload.text, payload.size) < 0 || json.spaces == 0)
        return contains(payload, filter->text) ? 1 : 0;
    qt_bytes_clear(&filter->scratch);
    to = qt_bytes_room(&filter->scratch, payload.size);
    if (to == NULL)
        return QUIPU_NO_MEMORY;
    payload = (struct qt_span){to, qt_json_compact(payload, to)};
    return contains(payload, filter->text) ? 1 : 0;
}

/* Data or meta. Returns: 1, 0 or QUIPU_NO_MEMORY. */
static int payload_contains(struct qt_filter *filter, struct qt_span payload, int format)
{
    if (payload.size == 0)
        return 0;
    if (format == QUIPU_JSON)
        return json_contains(filter, payload);
    if (format == QUIPU_MSGPACK) {
        qt_bytes_clear(&filter->scratch);
        if (qt_msgpack_json(payload.text, payload.size, &filter->scratch) == 0)
            payload = (struct qt_span){filter->scratch.data, filter->scratch.size};
        else if (filter->scratch.failed)
            return QUIPU_NO_MEMORY;
    }
    return contains(payload, filter->text) ? 1 : 0;
}

/* Each piece alone: a text that would begin in the type and end in the data is not there. */
static int event_contains(struct qt_filter *filter, const quipu_event *event)
{
    const char *tag = event->tags;
    struct qt_span data = {event->data, event->data_size};
    struct qt_span meta = {event->meta, event->meta_size};
    int rc;

    if (contains((struct qt_span){event->stream, event->stream_size}, filter->text) ||
        contains((struct qt_span){event->type, event->type_size}, filter->text))
        return 1;
    for (uint32_t i = 0; i < event->tag_count; i++) {
        size_t size = strlen(tag);

        if (contains((struct qt_span){tag, size}, filter->text))
            return 1;
        tag += size + 1;
    }
    rc = payload_contains(filter, data, event->data_format);
    return rc == 0 ? payload_contains(filter, meta, event->meta_format) : rc;
}

int qt_filter_match(struct qt_filter *filter, const quipu_event *event)
{
    if (filter->has_since && event->time_ns < filter->since_ns)
        return 0;
    if (filter->has_until && event->time_ns >= filter->until_ns)
        return 0;
    return filter->text.text == NULL ? 1 : event_contains(filter, event);
}

uint64_t qt_filter_number(const struct qt_filter *filter, const quipu_event *event)
{
    return filter->by_version ? event->version : event->position;
}

void qt_filter_release(struct qt_filter *filter)
{
    free(filter->types);
    free(filter->tags);
    qt_bytes_release(&filter->scratch);
    *filter = (struct qt_filter){0};
}
