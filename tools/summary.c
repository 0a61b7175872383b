/* summary.c - one pass over the data, which is checked on the way; what does not fit is counted.
 *
 * This is a view, not a format: values are cut, a nested value that is long is shown as {...}, and
 * a text looks like a number if it is made of digits. The exact data is what dump --json prints. */
#include "summary.h"

#include "json.h"
#include "msgpack_json.h"
#include "number.h"
#include "text.h"

#include <assert.h>
#include <string.h>

#define VALUE_BYTES_MAX 40 /* of one value before it is cut */

/* How a value is shown: a piece of its text between two marks. */
struct shown {
    struct qt_span text;
    const char *before;
    const char *after;
    size_t marks; /* bytes of both */
};

/* A text that needs no quotes to be told from what stands beside it. */
static bool is_bare(struct qt_span text)
{
    if (text.size == 0)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.text[i];

        if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c == 0x7f)
            return false;
    }
    return true;
}

/* A text is cut between two code points; its dots say so. */
static struct shown shown_text(struct qt_span inner)
{
    struct shown shown = {.text = inner, .before = "", .after = ""};
    size_t cut = qt_text_cut(inner.text, inner.size, VALUE_BYTES_MAX);
    bool bare = is_bare(inner);

    assert(cut <= inner.size);
    if (cut < inner.size) {
        shown.text.size = cut;
        shown.after = bare ? "..." : "...\"";
    } else if (!bare) {
        shown.after = "\"";
    }
    if (!bare)
        shown.before = "\"";
    shown.marks = strlen(shown.before) + strlen(shown.after);
    return shown;
}

/* A line end in a nested value that was stored with white space would break the row. */
static bool has_blank(struct qt_span text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.text[i] <= ' ')
            return true;
    return false;
}

/* A nested value is shown if it is short, else only what it is. */
static struct shown shown_value(struct qt_span value)
{
    struct shown shown = {.text = value, .before = "", .after = ""};
    char mark = *value.text;

    if (mark == '"')
        return shown_text((struct qt_span){value.text + 1, value.size - 2});
    if (mark == '{' || mark == '[') {
        if (value.size <= VALUE_BYTES_MAX && !has_blank(value))
            return shown;
        shown.text.size = 0;
        shown.before = mark == '{' ? "{...}" : "[...]";
    } else if (value.size > VALUE_BYTES_MAX) {
        shown.text.size = VALUE_BYTES_MAX;
        shown.after = "...";
    }
    shown.marks = strlen(shown.before) + strlen(shown.after);
    return shown;
}

static void put_shown(struct qt_out *out, struct shown shown)
{
    qt_out_text(out, shown.before);
    qt_text_put(out, shown.text.text, shown.text.size);
    qt_out_text(out, shown.after);
}

void qt_summary_value(struct qt_out *out, struct qt_span value)
{
    put_shown(out, shown_value(value));
}

static void put_rest(struct qt_out *out, size_t count)
{
    qt_out_put(out, " ", 1);
    qt_out_style(out, "2");
    qt_out_put(out, "+", 1);
    qt_out_number(out, count);
    qt_out_plain(out);
}

/* What cannot be shown is measured. */
static void put_size(struct qt_out *out, const char *kind, size_t size)
{
    char amount[QT_AMOUNT_MAX];

    qt_out_char(out, '<');
    qt_out_text(out, qt_number_amount(size, amount));
    qt_out_text(out, kind);
    qt_out_char(out, '>');
}

/* The members of an object. Returns: 0, or -1 if it turned out to be none. */
static int put_members(struct qt_out *out, struct qt_json *json, size_t width)
{
    struct qt_span key;
    struct qt_span value;
    size_t used = 0;
    size_t shown_count = 0;
    size_t hidden = 0;
    int rc;

    if (qt_json_enter(json) < 0)
        return -1;
    for (;;) {
        struct shown shown;
        size_t size;

        rc = qt_json_member(json, &key, &value);
        if (rc <= 0)
            break;
        if (hidden > 0) {
            hidden++;
            continue;
        }
        shown = shown_value(value);
        size = key.size + shown.text.size + shown.marks + 2;
        if (shown_count > 0 && used + size > width) {
            hidden = 1;
            continue;
        }
        if (shown_count > 0)
            qt_out_char(out, ' ');
        qt_text_put(out, key.text, key.size);
        qt_out_char(out, '=');
        put_shown(out, shown);
        used += size;
        shown_count++;
    }
    if (hidden > 0)
        put_rest(out, hidden);
    return rc;
}

/* An object by its members; any other value as it is. */
static void put_json(struct qt_out *out, const char *text, size_t size, size_t width)
{
    struct qt_json json;
    const char *begin;
    int rc = 0;

    qt_json_init(&json, text, size);
    qt_json_space(&json);
    begin = json.at;
    if (begin != json.end && *begin == '{') {
        rc = put_members(out, &json, width);
    } else {
        rc = qt_json_value(&json);
        if (rc == 0)
            put_shown(out, shown_value((struct qt_span){begin, (size_t)(json.at - begin)}));
    }
    qt_json_space(&json);
    if (rc < 0 || json.at != json.end)
        put_size(out, " that are no JSON", size);
}

void qt_summary_put(struct qt_out *out, struct qt_bytes *scratch, const quipu_event *event,
                    size_t width)
{
    if (event->data_size == 0)
        return;
    if (event->data_format == QUIPU_JSON) {
        put_json(out, event->data, event->data_size, width);
        return;
    }
    if (event->data_format == QUIPU_MSGPACK) {
        qt_bytes_clear(scratch);
        if (qt_msgpack_json(event->data, event->data_size, scratch) == 0) {
            put_json(out, scratch->data, scratch->size, width);
            return;
        }
    }
    put_size(out, "", event->data_size);
}
