/* step.c - the key that comes first among those below says what a line is; without one it is an
 * event, and draft.c reads it.
 *
 * As there, a key that is unknown, or stands twice, is an error: a condition that is dropped in
 * silence is worse than one that is refused. */
#include "step.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A line without an event has exactly these two keys. */
static const struct {
    const char *keys[2];
} kinds[] = {
    [QT_STEP_CHECK] = {{"check", "expect"}},
    [QT_STEP_UNLESS] = {{"unless", "after"}},
    [QT_STEP_TRACK] = {{"track", "number"}},
    [QT_STEP_MARK] = {{"mark", "position"}},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int qt_step_init(struct qt_step *step)
{
    *step = (struct qt_step){0};
    if (qt_draft_init(&step->draft) < 0)
        return -1;
    step->draft.conditional = true;
    return 0;
}

void qt_step_release(struct qt_step *step)
{
    qt_draft_release(&step->draft);
    qt_query_clear(&step->query);
    qt_bytes_release(&step->text);
}

__attribute__((format(printf, 4, 5))) static int fail(struct qt_step *step, int status,
                                                      const char *at, const char *format, ...)
{
    va_list arguments;

    step->column = (size_t)(at - step->line) + 1;
    va_start(arguments, format);
    (void)vsnprintf(step->error, sizeof(step->error), format, arguments);
    va_end(arguments);
    return status;
}

/* Names are compared as what they mean. */
static bool is_key(struct qt_span key, const char *name)
{
    char text[64];
    size_t size;

    if (key.size > sizeof(text))
        return false;
    size = qt_json_unescape(key, text);
    return strlen(name) == size && memcmp(name, text, size) == 0;
}

/* A line that is no JSON is left to draft.c, which says where. */
static enum qt_step_kind find_kind(const char *line, size_t size)
{
    struct qt_json json;
    struct qt_span key;
    struct qt_span value;

    qt_json_init(&json, line, size);
    qt_json_space(&json);
    if (qt_json_enter(&json) < 0)
        return QT_STEP_EVENT;
    while (qt_json_member(&json, &key, &value) == 1) {
        for (size_t i = QT_STEP_CHECK; i < KINDS; i++)
            if (is_key(key, kinds[i].keys[0]))
                return (enum qt_step_kind)i;
    }
    return QT_STEP_EVENT;
}

/* A member of a line of this kind. */
static int take_member(struct qt_step *step, struct qt_span key, struct qt_span value)
{
    const char *const *keys = kinds[step->kind].keys;

    for (size_t i = 0; i < 2; i++) {
        if (!is_key(key, keys[i]))
            continue;
        if (step->values[i].text != NULL)
            return fail(step, QUIPU_INVALID, key.text - 1, "\"%s\" stands twice", keys[i]);
        step->values[i] = value;
        return 0;
    }
    return fail(step, QUIPU_INVALID, key.text - 1, "unknown key \"%.*s\" beside \"%s\"",
                key.size > 60 ? 60 : (int)key.size, key.text, keys[0]);
}

/* Check the whole line and find its two values. */
static int split(struct qt_step *step, const char *line, size_t size)
{
    const char *const *keys = kinds[step->kind].keys;
    struct qt_json json;
    struct qt_span key;
    struct qt_span value;
    int rc;

    memset(step->values, 0, sizeof(step->values));
    qt_json_init(&json, line, size);
    qt_json_space(&json);
    rc = qt_json_enter(&json) < 0 ? -1 : 1;
    while (rc == 1) {
        rc = qt_json_member(&json, &key, &value);
        if (rc < 0)
            return fail(step, QUIPU_INVALID, json.at, "%s", json.error);
        if (rc == 1 && take_member(step, key, value) < 0)
            return QUIPU_INVALID;
    }
    qt_json_space(&json);
    if (json.at != json.end)
        return fail(step, QUIPU_INVALID, json.at, "something follows the object");
    if (step->values[1].text == NULL)
        return fail(step, QUIPU_INVALID, line, "\"%s\" without \"%s\"", keys[0], keys[1]);
    return 0;
}

/* A JSON string as a C string, which lives in step->text until it is cleared or grows. `what` is
 * its key. */
static int take_text(struct qt_step *step, struct qt_span value, const char *what,
                     const char **text)
{
    char *to;
    size_t size;

    if (*value.text != '"')
        return fail(step, QUIPU_INVALID, value.text, "\"%s\" must be a string", what);
    if (!qt_json_paired(value))
        return fail(step, QUIPU_INVALID, value.text, "\"%s\" has half a surrogate pair", what);
    qt_bytes_clear(&step->text);
    to = qt_bytes_room(&step->text, value.size);
    if (to == NULL)
        return fail(step, QUIPU_NO_MEMORY, value.text, "out of memory");
    size = qt_json_unescape((struct qt_span){value.text + 1, value.size - 2}, to);
    if (memchr(to, '\0', size) != NULL)
        return fail(step, QUIPU_INVALID, value.text, "\"%s\" has a \\u0000 in it", what);
    to[size] = '\0';
    *text = to;
    return 0;
}

static int take_query(struct qt_step *step, struct qt_span value)
{
    quipu_error error = {0};
    const char *text = NULL;
    int rc = take_text(step, value, "unless", &text);

    if (rc == 0)
        rc = qt_query_add(&step->query, text, &error);
    else
        return rc;
    return rc < 0 ? fail(step, rc, value.text, "in the query: %s", error.text) : 0;
}

/* One query, or several that are OR-ed. None at all would be every event: who means that says "".
 */
static int take_queries(struct qt_step *step)
{
    struct qt_span value = step->values[0];
    struct qt_span element;
    struct qt_json json;
    int rc = 0;

    if (*value.text != '[')
        return take_query(step, value);
    qt_json_init(&json, value.text, value.size);
    (void)qt_json_enter_array(&json);
    while (rc == 0 && qt_json_element(&json, &element) == 1)
        rc = take_query(step, element);
    if (rc == 0 && step->query.query.item_count == 0)
        return fail(step, QUIPU_INVALID, value.text, "\"unless\" without a query");
    return rc;
}

/* The two values of a line without an event. */
static int take_values(struct qt_step *step)
{
    const char *const *keys = kinds[step->kind].keys;
    struct qt_span number = step->values[1];
    int rc = step->kind == QT_STEP_UNLESS ? take_queries(step)
                                          : take_text(step, step->values[0], keys[0], &step->name);

    if (rc < 0)
        return rc;
    if (step->kind == QT_STEP_CHECK && qt_draft_expect_value(number, &step->number) < 0)
        return fail(step, QUIPU_INVALID, number.text, QT_EXPECT_WRONG);
    if (step->kind != QT_STEP_CHECK && qt_draft_number(number, &step->number) < 0)
        return fail(step, QUIPU_INVALID, number.text, "\"%s\" must be a whole number", keys[1]);
    return 0;
}

static int read_event(struct qt_step *step, const char *line, size_t size)
{
    struct qt_draft *draft = &step->draft;
    int rc = qt_draft_read(draft, line, size);

    if (rc < 0)
        return fail(step, rc, line + draft->column - 1, "%s", draft->error);
    step->name = draft->stream;
    step->number = draft->expected;
    return 0;
}

int qt_step_read(struct qt_step *step, const char *line, size_t size)
{
    int rc;

    step->line = line;
    step->name = NULL;
    step->number = 0;
    qt_query_clear(&step->query);
    step->kind = find_kind(line, size);
    if (step->kind == QT_STEP_EVENT)
        return read_event(step, line, size);
    rc = split(step, line, size);
    return rc == 0 ? take_values(step) : rc;
}

int qt_step_add(const struct qt_step *step, quipu_batch *batch)
{
    switch (step->kind) {
    case QT_STEP_CHECK:
        return quipu_batch_expect(batch, step->name, step->number);
    case QT_STEP_UNLESS:
        return quipu_batch_unless(batch, &step->query.query, step->number);
    case QT_STEP_TRACK:
        return quipu_batch_track(batch, step->name, step->number);
    case QT_STEP_MARK:
        return quipu_batch_mark(batch, step->name, step->number);
    case QT_STEP_EVENT:
        break;
    }
    return quipu_batch_append(batch, step->name, step->number, &step->draft.draft, 1);
}
