/* pretty.c - JSON text walked once, token by token, with a line for each member and element.
 *
 * The text was checked before, so that a token ends where it must. Strings go through text.c, which
 * turns what must not reach a terminal into JSON's own escapes: the value stays the same. */
#include "pretty.h"

#include "base64.h"
#include "msgpack_json.h"
#include "stamp.h"
#include "text.h"
#include "utf8.h"
#include "uuid.h"

#include <assert.h>
#include <string.h>

static void put_line_end(struct qt_out *out, size_t level)
{
    qt_out_char(out, '\n');
    for (; level > 0; level--)
        qt_out_put(out, "  ", 2);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *pass_space(const char *at, const char *end)
{
    while (at != end && is_space(*at))
        at++;
    return at;
}

/* Behind the string, number or word that begins at `at`. */
static const char *pass_token(const char *at, const char *end)
{
    if (*at != '"') {
        while (at != end && !is_space(*at) && strchr(",:]}", *at) == NULL)
            at++;
        return at;
    }
    for (at++; at != end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    assert(at != end);
    return at + 1;
}

/* The mark at `at`. Returns: what comes behind it; an empty object or array stays on its line. */
static const char *put_mark(struct qt_out *out, const char *at, const char *end, size_t *level)
{
    char mark = *at;

    if (mark == '}' || mark == ']') {
        (*level)--;
        put_line_end(out, *level);
    }
    qt_out_char(out, mark);
    at = pass_space(at + 1, end);
    if (mark == ':')
        qt_out_char(out, ' ');
    if (mark == ',')
        put_line_end(out, *level);
    if (mark != '{' && mark != '[')
        return at;
    if (at != end && (*at == '}' || *at == ']')) {
        qt_out_char(out, *at);
        return at + 1;
    }
    (*level)++;
    put_line_end(out, *level);
    return at;
}

/* Checked JSON text, indented. */
static void put_json(struct qt_out *out, struct qt_span json, size_t level)
{
    const char *end = json.text + json.size;
    const char *at = pass_space(json.text, end);

    while (at != end) {
        const char *token = at;

        if (strchr("{}[],:", *at) != NULL) {
            at = put_mark(out, at, end, &level);
        } else {
            at = pass_token(at, end);
            qt_text_json(out, token, (size_t)(at - token));
        }
        at = pass_space(at, end);
    }
}

/* In pieces, as line.c does. */
static void put_base64(struct qt_out *out, struct qt_span payload)
{
    enum { PIECE = 3 * 1024 };

    qt_out_char(out, '"');
    while (payload.size > 0) {
        size_t piece = payload.size < PIECE ? payload.size : PIECE;
        char *to = qt_out_room(out, qt_base64_size(PIECE));

        qt_out_took(out, qt_base64_encode(payload.text, piece, to));
        payload.text += piece;
        payload.size -= piece;
    }
    qt_out_char(out, '"');
}

enum qt_pretty_form qt_pretty_form(struct qt_bytes *scratch, struct qt_span payload, int format)
{
    struct qt_json json;

    if (format == QUIPU_JSON)
        return qt_json_whole(&json, payload.text, payload.size) == 0 ? QT_PRETTY_JSON
                                                                     : QT_PRETTY_BASE64_JSON;
    if (format == QUIPU_MSGPACK) {
        qt_bytes_clear(scratch);
        return qt_msgpack_json(payload.text, payload.size, scratch) == 0 ? QT_PRETTY_MSGPACK
                                                                         : QT_PRETTY_BASE64_MSGPACK;
    }
    return qt_utf8_whole(payload.text, payload.size) ? QT_PRETTY_TEXT : QT_PRETTY_BASE64;
}

void qt_pretty_payload(struct qt_out *out, const struct qt_bytes *scratch, struct qt_span payload,
                       enum qt_pretty_form form, size_t level)
{
    switch (form) {
    case QT_PRETTY_JSON:
        put_json(out, payload, level);
        break;
    case QT_PRETTY_MSGPACK:
        put_json(out, (struct qt_span){scratch->data, scratch->size}, level);
        break;
    case QT_PRETTY_TEXT:
        qt_out_text(out, "{\"$text\": ");
        qt_text_string(out, payload.text, payload.size);
        qt_out_char(out, '}');
        break;
    default:
        put_base64(out, payload);
        break;
    }
}

/* The comma of the member before, and the name of the next one. */
static void put_key(struct qt_out *out, const char *name, const char *suffix)
{
    qt_out_text(out, ",\n  \"");
    qt_out_text(out, name);
    qt_out_text(out, suffix);
    qt_out_text(out, "\": ");
}

static void put_member(struct qt_out *out, struct qt_bytes *scratch, const char *name,
                       struct qt_span payload, int format)
{
    enum qt_pretty_form form;

    if (payload.size == 0)
        return;
    form = qt_pretty_form(scratch, payload, format);
    if (form == QT_PRETTY_BASE64_MSGPACK)
        put_key(out, name, "_msgpack");
    else
        put_key(out, name, form >= QT_PRETTY_BASE64 ? "_base64" : "");
    qt_pretty_payload(out, scratch, payload, form, 1);
}

static void put_stamp(struct qt_out *out, const char *name, int64_t time_ns)
{
    struct qt_stamp stamp = {0};
    char *to;

    put_key(out, name, "");
    to = qt_out_room(out, QT_STAMP_FULL + 2);
    *to++ = '"';
    to = qt_stamp_full(&stamp, time_ns, to);
    *to++ = '"';
    qt_out_took(out, to);
}

static void put_tags(struct qt_out *out, const quipu_event *event)
{
    const char *tag = event->tags;

    put_key(out, "tags", "");
    for (uint32_t i = 0; i < event->tag_count; i++) {
        size_t size = strlen(tag);

        qt_out_text(out, i == 0 ? "[" : ", ");
        qt_text_string(out, tag, size);
        tag += size + 1;
    }
    qt_out_char(out, ']');
}

void qt_pretty_put(struct qt_out *out, struct qt_bytes *scratch, const quipu_event *event)
{
    struct qt_span data = {event->data, event->data_size};
    struct qt_span meta = {event->meta, event->meta_size};

    assert(event != NULL);
    qt_out_text(out, "{\n  \"position\": ");
    qt_out_number(out, event->position);
    put_key(out, "stream", "");
    qt_text_string(out, event->stream, event->stream_size);
    put_key(out, "version", "");
    qt_out_number(out, event->version);
    put_key(out, "type", "");
    qt_text_string(out, event->type, event->type_size);
    put_stamp(out, "time", event->time_ns);
    put_stamp(out, "recorded", event->recorded_ns);
    if ((event->flags & QUIPU_EVENT_HAS_ID) != 0) {
        put_key(out, "id", "");
        qt_uuid_put(out, event->id);
    }
    if (event->schema != 0) {
        put_key(out, "schema", "");
        qt_out_number(out, event->schema);
    }
    if (event->tag_count != 0)
        put_tags(out, event);
    put_member(out, scratch, "data", data, event->data_format);
    put_member(out, scratch, "meta", meta, event->meta_format);
    qt_out_text(out, "\n}\n");
}
