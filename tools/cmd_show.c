/* cmd_show.c - quipu show: one event, all of it. */
#include "command.h"
#include "json.h"
#include "line.h"
#include "number.h"
#include "plugin.h"
#include "pretty.h"
#include "stamp.h"
#include "store.h"
#include "text.h"
#include "uuid.h"

#include <inttypes.h>
#include <string.h>

#define LABEL_WIDTH 9 /* of "recorded", and a blank */

static const struct qt_option options[] = {
    QT_UPCAST_OPTION,
    QT_PRETTY_OPTION,
    {0},
};

struct show {
    struct qt_run *run;
    quipu *store;
    const char *stream; /* NULL: the number is a position */
    uint64_t number;    /* a version or a position */
    struct qt_plugin plugin;
    bool upcasts;
    struct qt_line line;
    struct qt_bytes scratch;
};

/* A number is a position. Else the last '@' divides, and the argument is cut there: the name of a
 * stream may hold others.
 *
 * Returns: 0, or a status with its problem. */
static int take_which(struct show *show)
{
    struct qt_run *run = show->run;
    const char *which = run->args.operands[1];
    char *at = strrchr(which, '@');

    if (qt_number_parse(which, &show->number) == 0)
        return 0;
    if (at == NULL || qt_number_parse(at + 1, &show->number) < 0) {
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "\"%.300s\" is neither POSITION nor STREAM@VERSION, which end in a "
                              "number; see quipu help show",
                              which);
    }
    *at = '\0';
    show->stream = which;
    return 0;
}

/* A reader on that event alone, or backwards on the newest one. */
static int open_reader(struct show *show, bool newest, quipu_reader **reader, quipu_error *error)
{
    quipu_range range = {
        QUIPU_INIT(quipu_range),
        .flags = newest          ? QUIPU_BACKWARDS
                 : show->upcasts ? QUIPU_UPCAST
                                 : 0,
        .after = newest ? 0 : show->number - 1,
        .upto = newest ? 0 : show->number,
        .limit = 1,
    };

    if (show->stream != NULL)
        return quipu_read_stream(show->store, show->stream, &range, reader, error);
    return quipu_read(show->store, NULL, &range, reader, error);
}

/* Returns: status. */
static int failed(struct show *show, int status, const quipu_event *event, const quipu_error *error)
{
    struct qt_problem *problem = &show->run->problem;

    problem->stream = show->stream;
    if (status == QUIPU_NOT_FOUND)
        return qt_problem_say(problem, status, "no such stream: %.300s", show->stream);
    if (status == QUIPU_CORRUPT)
        problem->position = event->position;
    return qt_store_failed(show->run, status, error);
}

/* Say what there is instead. Returns: QUIPU_NOT_FOUND, or what looking for it failed with. */
static int not_found(struct show *show)
{
    struct qt_problem *problem = &show->run->problem;
    quipu_reader *reader = NULL;
    quipu_event event = {0};
    quipu_error error = {0};
    int rc = open_reader(show, true, &reader, &error);

    if (rc == 0)
        rc = quipu_next(reader, &event, &error);
    quipu_reader_close(reader);
    if (rc < 0)
        return failed(show, rc, &event, &error);
    problem->stream = show->stream;
    if (show->stream != NULL) {
        return qt_problem_say(problem, QUIPU_NOT_FOUND,
                              "no version %" PRIu64 " in %.300s: its newest is %" PRIu64,
                              show->number, show->stream, event.version);
    }
    if (rc == 0)
        return qt_problem_say(problem, QUIPU_NOT_FOUND,
                              "no event at position %" PRIu64 ": there are none", show->number);
    return qt_problem_say(problem, QUIPU_NOT_FOUND,
                          "no event at position %" PRIu64 ": the newest is at %" PRIu64,
                          show->number, event.position);
}

static void put_label(struct qt_out *out, const char *label)
{
    qt_text_padded(out, label, strlen(label), LABEL_WIDTH);
}

static void put_text(struct qt_out *out, const char *label, const char *text, size_t size)
{
    put_label(out, label);
    qt_text_put(out, text, size);
    qt_out_char(out, '\n');
}

static void put_number(struct qt_out *out, const char *label, uint64_t number)
{
    put_label(out, label);
    qt_out_number(out, number);
    qt_out_char(out, '\n');
}

static void put_stamp(struct qt_out *out, const char *label, int64_t time_ns)
{
    struct qt_stamp stamp = {0};
    char text[QT_STAMP_FULL];

    (void)qt_stamp_full(&stamp, time_ns, text);
    put_text(out, label, text, sizeof(text));
}

static void put_tags(struct qt_out *out, const quipu_event *event)
{
    const char *tag = event->tags;

    for (uint32_t i = 0; i < event->tag_count; i++) {
        size_t size = strlen(tag);

        put_text(out, i == 0 ? "tags" : "", tag, size);
        tag += size + 1;
    }
}

/* What it is and how large, then the value on lines of its own. */
static void put_payload(struct show *show, const char *label, struct qt_span payload, int format)
{
    static const char *const kinds[] = {
        [QT_PRETTY_JSON] = "JSON",
        [QT_PRETTY_MSGPACK] = "msgpack, shown as JSON",
        [QT_PRETTY_TEXT] = "binary, shown as text",
        [QT_PRETTY_BASE64] = "binary, shown as base64",
        [QT_PRETTY_BASE64_JSON] = "stored as JSON, but it is none; shown as base64",
        [QT_PRETTY_BASE64_MSGPACK] = "stored as msgpack, but it is none; shown as base64",
    };
    struct qt_out *out = &show->run->out;
    char grouped[QT_GROUPED_MAX];
    enum qt_pretty_form form;

    if (payload.size == 0)
        return;
    form = qt_pretty_form(&show->scratch, payload, format);
    put_label(out, label);
    qt_out_text(out, qt_number_grouped(payload.size, grouped));
    qt_out_text(out, payload.size == 1 ? " byte of " : " bytes of ");
    qt_out_text(out, kinds[form]);
    qt_out_char(out, '\n');
    qt_pretty_payload(out, &show->scratch, payload, form, 0);
    qt_out_char(out, '\n');
}

/* For people: each field on a line, payloads below. */
static void put_event(struct show *show, const quipu_event *event)
{
    struct qt_out *out = &show->run->out;

    put_number(out, "position", event->position);
    put_text(out, "stream", event->stream, event->stream_size);
    put_number(out, "version", event->version);
    put_text(out, "type", event->type, event->type_size);
    put_stamp(out, "time", event->time_ns);
    put_stamp(out, "recorded", event->recorded_ns);
    put_label(out, "id");
    qt_uuid_put_bare(out, event->id);
    qt_out_text(out, (event->flags & QUIPU_EVENT_HAS_ID) != 0 ? ", given\n" : ", derived\n");
    if (event->schema != 0)
        put_number(out, "schema", event->schema);
    put_tags(out, event);
    put_payload(show, "data", (struct qt_span){event->data, event->data_size}, event->data_format);
    put_payload(show, "meta", (struct qt_span){event->meta, event->meta_size}, event->meta_format);
}

static int show_event(struct show *show)
{
    struct qt_run *run = show->run;
    quipu_reader *reader = NULL;
    quipu_event event = {0};
    quipu_error error = {0};
    int shown = 0;
    int rc = show->number == 0 ? 0 : open_reader(show, false, &reader, &error);

    if (rc == 0 && reader != NULL)
        rc = quipu_next(reader, &event, &error);
    for (; rc == QUIPU_ROW; rc = quipu_next(reader, &event, &error), shown++) {
        if (qt_args_has(&run->args, "pretty"))
            qt_pretty_put(&run->out, &show->scratch, &event);
        else if (run->json)
            qt_line_put(&show->line, &run->out, &event);
        else
            put_event(show, &event);
    }
    quipu_reader_close(reader);
    if (rc == 0 && shown == 0 && !show->upcasts)
        return not_found(show);
    if (rc == 0 && shown == 0)
        return qt_problem_say(&run->problem, QUIPU_NOT_FOUND,
                              "no such event, or %.300s makes nothing of it", show->plugin.path);
    return rc < 0 ? failed(show, rc, &event, &error) : 0;
}

static int run_show(struct qt_run *run)
{
    struct show show = {.run = run};
    int rc = take_which(&show);

    if (rc == 0)
        rc = qt_store_open(run, QT_STORE_READ, &show.store);
    if (rc == 0)
        rc = qt_plugin_use(&show.plugin, run, show.store);
    show.upcasts = rc > 0;
    if (rc >= 0)
        rc = show_event(&show);
    quipu_close(show.store);
    qt_plugin_unload(&show.plugin);
    qt_line_release(&show.line);
    qt_bytes_release(&show.scratch);
    return rc;
}

const struct qt_command qt_command_show = {
    .verb = "show",
    .summary = "print one event, all of it",
    .operands = "STORE POSITION|STREAM@VERSION",
    .example = "quipu show orders order-17@2",
    .text = "Prints all that is known of one event. A number is a position; of anything else\n"
            "the last '@' divides stream and version. An event that is not there: exit code\n"
            "4.\n\n"
            "id says whether the program gave it or the library derived it. --json prints the\n"
            "event as dump --json does, --pretty as JSON over several lines; in both, only an\n"
            "id that was given. --pretty is for eyes and other programs: import does not read\n"
            "it.\n",
    .options = options,
    .waits = true,
    .run = run_show,
};
