/* steps.c - two states, one of them an event behind, compared where the patch has touched them.
 *
 * Compared are the members of the root, as they are written. Where one was compared, the state that
 * is behind is brought up: so a name that stands twice in a patch is told once, and the cost of an
 * event is that of its patch, not that of the state. */
#include "steps.h"

#include "number.h"
#include "summary.h"
#include "text.h"

#include <assert.h>
#include <string.h>

#define TYPE_WIDTH_MAX 40

void qt_steps_fit(struct qt_steps *steps, const quipu_event *event)
{
    size_t width = qt_text_width(event->type, event->type_size);
    size_t digits = qt_number_digits(event->version);

    if (width > TYPE_WIDTH_MAX)
        width = TYPE_WIDTH_MAX;
    if (width > steps->type_width)
        steps->type_width = width;
    if (digits > steps->version_width)
        steps->version_width = digits;
}

static struct qt_span span_of(const struct qt_bytes *bytes)
{
    return (struct qt_span){bytes->data, bytes->size};
}

/* {"name":"status","from":"created","to":"paid"}, without from or to what was not or is not. */
static void put_json_change(struct qt_steps *steps, struct qt_span key)
{
    struct qt_out *out = steps->out;
    const char *comma = "";

    qt_out_text(out, steps->changes > 0 ? ",{" : "{");
    if (key.text != NULL) {
        qt_out_text(out, "\"name\":\"");
        qt_out_put(out, key.text, key.size);
        qt_out_char(out, '"');
        comma = ",";
    }
    if (steps->from.size > 0) {
        qt_out_text(out, comma);
        qt_out_text(out, "\"from\":");
        qt_out_put(out, steps->from.data, steps->from.size);
        comma = ",";
    }
    if (steps->to.size > 0) {
        qt_out_text(out, comma);
        qt_out_text(out, "\"to\":");
        qt_out_put(out, steps->to.data, steps->to.size);
    }
    qt_out_char(out, '}');
}

/* `+ a b   ~ c 1 -> 2   d 3 -> 4   - e`: a mark stands for all that follow it. */
static void put_text_change(struct qt_steps *steps, struct qt_span key)
{
    struct qt_out *out = steps->out;
    char mark = '~';

    if (steps->from.size == 0)
        mark = '+';
    else if (steps->to.size == 0)
        mark = '-';
    if (steps->changes > 0)
        qt_out_text(out, mark != steps->mark || mark == '~' ? "   " : " ");
    if (steps->changes == 0 || mark != steps->mark) {
        qt_out_char(out, mark);
        qt_out_char(out, ' ');
    }
    steps->mark = mark;
    qt_text_put(out, key.text, key.size);
    if (mark != '~')
        return;
    if (key.text != NULL)
        qt_out_char(out, ' ');
    qt_summary_value(out, span_of(&steps->from));
    qt_out_text(out, " -> ");
    qt_summary_value(out, span_of(&steps->to));
}

/* What is in `from` and `to`, if it differs. */
static void put_change(struct qt_steps *steps, struct qt_span key)
{
    if (steps->from.size == steps->to.size &&
        (steps->from.size == 0 || memcmp(steps->from.data, steps->to.data, steps->to.size) == 0))
        return;
    if (steps->json)
        put_json_change(steps, key);
    else
        put_text_change(steps, key);
    steps->changes++;
}

/* Apply {"key":value} to the state that is behind. */
static int set_before(struct qt_steps *steps, struct qt_span key, struct qt_span value)
{
    qt_bytes_clear(&steps->patch);
    qt_bytes_text(&steps->patch, "{\"");
    qt_bytes_put(&steps->patch, key.text, key.size);
    qt_bytes_text(&steps->patch, "\":");
    qt_bytes_put(&steps->patch, value.text, value.size);
    qt_bytes_char(&steps->patch, '}');
    if (steps->patch.failed)
        return -1;
    return qt_merge_apply(&steps->before, span_of(&steps->patch));
}

/* A member that the patch names: its value before and after. Returns: 0, or -1. */
static int put_member(struct qt_steps *steps, struct qt_span key, const struct qt_merge *after)
{
    static const struct qt_span none = {"null", 4};

    qt_bytes_clear(&steps->from);
    qt_bytes_clear(&steps->to);
    if (qt_merge_member(&steps->before, key, &steps->from) < 0 ||
        qt_merge_member(after, key, &steps->to) < 0)
        return -1;
    put_change(steps, key);
    /* Removed first: an object would be merged into what was there. */
    if (set_before(steps, key, none) < 0)
        return -1;
    return steps->to.size == 0 ? 0 : set_before(steps, key, span_of(&steps->to));
}

/* One of the states is no object: they are compared as a whole. */
static int put_whole(struct qt_steps *steps, const struct qt_merge *after)
{
    qt_bytes_clear(&steps->from);
    qt_bytes_clear(&steps->to);
    if (qt_merge_put(&steps->before, &steps->from, 0) < 0 || qt_merge_put(after, &steps->to, 0) < 0)
        return -1;
    put_change(steps, (struct qt_span){0});
    return qt_merge_apply(&steps->before, span_of(&steps->to));
}

static int put_changes(struct qt_steps *steps, struct qt_span patch, const struct qt_merge *after)
{
    struct qt_json json;
    struct qt_span key;
    struct qt_span value;

    if (patch.size == 0)
        return 0;
    if (!qt_merge_is_object(&steps->before) || !qt_merge_is_object(after))
        return put_whole(steps, after);
    qt_json_init(&json, patch.text, patch.size);
    qt_json_space(&json);
    if (qt_json_enter(&json) < 0)
        return 0;
    while (qt_json_member(&json, &key, &value) > 0)
        if (put_member(steps, key, after) < 0)
            return -1;
    return 0;
}

static void put_json_head(struct qt_steps *steps, const quipu_event *event)
{
    struct qt_out *out = steps->out;
    char *to;

    qt_out_text(out, "{\"version\":");
    qt_out_number(out, event->version);
    qt_out_key(out, "position");
    qt_out_number(out, event->position);
    qt_out_key(out, "time");
    to = qt_out_room(out, QT_STAMP_FULL + 2);
    *to++ = '"';
    to = qt_stamp_full(&steps->stamp, event->time_ns, to);
    *to++ = '"';
    qt_out_took(out, to);
    qt_out_key(out, "type");
    qt_out_json(out, event->type, event->type_size);
    qt_out_text(out, ",\"changed\":[");
}

static void put_text_head(struct qt_steps *steps, const quipu_event *event)
{
    struct qt_out *out = steps->out;
    char version[QT_NUMBER_MAX + 1] = "v";
    size_t size = (size_t)(qt_number_put(version + 1, event->version) - version);

    qt_text_padded(out, version, size, steps->version_width + 1);
    qt_out_char(out, ' ');
    qt_out_style(out, "36");
    qt_text_padded(out, event->type, event->type_size, steps->type_width);
    qt_out_plain(out);
    qt_out_char(out, ' ');
}

int qt_steps_put(struct qt_steps *steps, const quipu_event *event, struct qt_span patch,
                 const struct qt_merge *after)
{
    int rc;

    assert(event != NULL);
    if (steps->json)
        put_json_head(steps, event);
    else
        put_text_head(steps, event);
    steps->changes = 0;
    rc = put_changes(steps, patch, after);
    if (steps->json)
        qt_out_text(steps->out, "]}\n");
    else
        qt_out_text(steps->out, steps->changes == 0 ? "no change\n" : "\n");
    return rc;
}

void qt_steps_release(struct qt_steps *steps)
{
    qt_merge_release(&steps->before);
    qt_bytes_release(&steps->from);
    qt_bytes_release(&steps->to);
    qt_bytes_release(&steps->patch);
}
