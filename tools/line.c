/* line.c - printing the line form. Its reader is draft.c; both are held together by the tests,
 * which dump, import and dump again.
 *
 * This is the hot path of dump --json, a million lines a second: fixed pieces are copied into room
 * that was asked for once, and a payload is looked at once, to check it, and copied once. */
#include "line.h"

#include "base64.h"
#include "json.h"
#include "msgpack_json.h"
#include "number.h"
#include "uuid.h"

#include <assert.h>
#include <string.h>

/* The names of a payload's three forms, each with the comma before it. */
struct forms {
    const char *json;
    const char *base64;
    const char *msgpack;
};

static const struct forms data_forms = {",\"data\":", ",\"data_base64\":\"",
                                        ",\"data_msgpack\":\""};
static const struct forms meta_forms = {",\"meta\":", ",\"meta_base64\":\"",
                                        ",\"meta_msgpack\":\""};

static inline char *put_literal(char *to, const char *text, size_t size)
{
    memcpy(to, text, size);
    return to + size;
}

#define PUT(to, literal) put_literal((to), (literal), sizeof(literal) - 1)

/* In pieces: 64 MiB of data must not need 86 MiB of memory. */
static void put_base64(struct qt_out *out, const char *key, const char *data, size_t size)
{
    enum { PIECE = 3 * 1024 }; /* a multiple of three, so that only the last one is padded */

    qt_out_text(out, key);
    while (size > 0) {
        size_t piece = size < PIECE ? size : PIECE;
        char *to = qt_out_room(out, qt_base64_size(PIECE));

        qt_out_took(out, qt_base64_encode(data, piece, to));
        data += piece;
        size -= piece;
    }
    qt_out_char(out, '"');
}

/* JSON that a program stored with white space in it. */
static void put_runs(struct qt_out *out, const char *text, size_t size)
{
    struct qt_span rest = {text, size};
    struct qt_span run;

    while (qt_json_run(&rest, &run) > 0)
        qt_out_put(out, run.text, run.size);
}

/* Any program may have stored anything as JSON: what is no value must not break the line. */
static void put_json(struct qt_out *out, const struct forms *forms, const char *text, size_t size)
{
    struct qt_json json;

    if (qt_json_whole(&json, text, size) < 0) {
        put_base64(out, forms->base64, text, size);
        return;
    }
    qt_out_text(out, forms->json);
    if (json.spaces == 0)
        qt_out_put(out, text, size);
    else
        put_runs(out, text, size);
}

/* msgpack is shown as JSON for people; the exact bytes stand beside it, and are what import takes.
 */
static void put_payload(struct qt_line *line, struct qt_out *out, const struct forms *forms,
                        struct qt_span payload, int format)
{
    if (payload.size == 0)
        return;
    if (format == QUIPU_JSON) {
        put_json(out, forms, payload.text, payload.size);
        return;
    }
    if (format != QUIPU_MSGPACK) {
        put_base64(out, forms->base64, payload.text, payload.size);
        return;
    }
    qt_bytes_clear(&line->scratch);
    if (qt_msgpack_json(payload.text, payload.size, &line->scratch) == 0) {
        qt_out_text(out, forms->json);
        qt_out_put(out, line->scratch.data, line->scratch.size);
    }
    put_base64(out, forms->msgpack, payload.text, payload.size);
}

static void put_tags(struct qt_out *out, const quipu_event *event)
{
    const char *tag = event->tags;

    qt_out_text(out, ",\"tags\":");
    for (uint32_t i = 0; i < event->tag_count; i++) {
        size_t size = strlen(tag);

        qt_out_char(out, i == 0 ? '[' : ',');
        qt_out_json(out, tag, size);
        tag += size + 1;
    }
    qt_out_char(out, ']');
}

/* All that an event always has. Two caches of dates: time and recorded may be years apart. */
static void put_head(struct qt_line *line, struct qt_out *out, const quipu_event *event)
{
    char *to = qt_out_room(out, 64);

    to = PUT(to, "{\"position\":");
    to = qt_number_put(to, event->position);
    to = PUT(to, ",\"stream\":");
    qt_out_took(out, to);
    qt_out_json(out, event->stream, event->stream_size);

    to = qt_out_room(out, 64);
    to = PUT(to, ",\"version\":");
    to = qt_number_put(to, event->version);
    to = PUT(to, ",\"type\":");
    qt_out_took(out, to);
    qt_out_json(out, event->type, event->type_size);

    to = qt_out_room(out, 128);
    to = PUT(to, ",\"time\":\"");
    to = qt_stamp_full(&line->time, event->time_ns, to);
    to = PUT(to, "\",\"recorded\":\"");
    to = qt_stamp_full(&line->recorded, event->recorded_ns, to);
    *to++ = '"';
    qt_out_took(out, to);
}

void qt_line_put(struct qt_line *line, struct qt_out *out, const quipu_event *event)
{
    struct qt_span data = {event->data, event->data_size};
    struct qt_span meta = {event->meta, event->meta_size};

    assert(event != NULL);
    put_head(line, out, event);
    if ((event->flags & QUIPU_EVENT_HAS_ID) != 0) {
        qt_out_key(out, "id");
        qt_uuid_put(out, event->id);
    }
    if (event->schema != 0) {
        qt_out_key(out, "schema");
        qt_out_number(out, event->schema);
    }
    if (event->tag_count != 0)
        put_tags(out, event);
    put_payload(line, out, &data_forms, data, event->data_format);
    put_payload(line, out, &meta_forms, meta, event->meta_format);
    qt_out_put(out, "}\n", 2);
}

void qt_line_release(struct qt_line *line)
{
    qt_bytes_release(&line->scratch);
}
