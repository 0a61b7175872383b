/* draft.c - first the whole line is checked and its members are found, then the fields are read.
 *
 *     {"stream":"order-1","type":"PAID","data":{"sum":1E400}}
 *      -------------- shell -----------       ---- span ----
 *
 * A name that stands twice, or that this release does not know, is an error: whoever wrote the line
 * meant something by it, and dropping it in silence would lose that. */
#include "draft.h"

#include "base64.h"
#include "number.h"
#include "stamp.h"
#include "uuid.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum field {
    POSITION,
    STREAM,
    VERSION,
    TYPE,
    TIME,
    RECORDED,
    ID,
    SCHEMA,
    TAGS,
    DATA,
    DATA_BASE64,
    DATA_MSGPACK,
    META,
    META_BASE64,
    META_MSGPACK,
    EXPECT,
    FIELD_COUNT
};

enum use { IGNORED, SHELL, SPAN };

static const struct {
    const char *name;
    enum use use;
} fields[FIELD_COUNT] = {
    [POSITION] = {"position", IGNORED},
    [STREAM] = {"stream", SHELL},
    [VERSION] = {"version", IGNORED},
    [TYPE] = {"type", SHELL},
    [TIME] = {"time", SHELL},
    [RECORDED] = {"recorded", SHELL},
    [ID] = {"id", SHELL},
    [SCHEMA] = {"schema", SHELL},
    [TAGS] = {"tags", SHELL},
    [DATA] = {"data", SPAN},
    [DATA_BASE64] = {"data_base64", SPAN},
    [DATA_MSGPACK] = {"data_msgpack", SPAN},
    [META] = {"meta", SPAN},
    [META_BASE64] = {"meta_base64", SPAN},
    [META_MSGPACK] = {"meta_msgpack", SPAN},
    [EXPECT] = {"expect", SPAN},
};

/* The three forms of one payload: first of their fields, and where the exact bytes go. */
struct payload {
    enum field json;
    struct qt_bytes *bytes;
    const void *data;
    size_t size;
    uint8_t format;
};

_Static_assert((int)FIELD_COUNT <= QT_FIELDS, "each field has its span");

int qt_draft_init(struct qt_draft *draft)
{
    *draft = (struct qt_draft){.tokener = json_tokener_new_ex(QT_JSON_DEPTH_MAX)};
    if (draft->tokener == NULL)
        return -1;
    json_tokener_set_flags(draft->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    return 0;
}

void qt_draft_release(struct qt_draft *draft)
{
    json_object_put(draft->root);
    if (draft->tokener != NULL)
        json_tokener_free(draft->tokener);
    qt_bytes_release(&draft->shell);
    qt_bytes_release(&draft->data);
    qt_bytes_release(&draft->meta);
    *draft = (struct qt_draft){0};
}

__attribute__((format(printf, 4, 5))) static int fail(struct qt_draft *draft, int status,
                                                      const char *at, const char *format, ...)
{
    va_list arguments;

    draft->column = (size_t)(at - draft->line) + 1;
    va_start(arguments, format);
    (void)vsnprintf(draft->error, sizeof(draft->error), format, arguments);
    va_end(arguments);
    return status;
}

static int fail_memory(struct qt_draft *draft)
{
    return fail(draft, QUIPU_NO_MEMORY, draft->line, "out of memory");
}

/* Sixteen names: a search that is not clever is fast enough. */
static int find_field(const struct qt_draft *draft, const char *name, size_t size)
{
    int count = draft->conditional ? FIELD_COUNT : EXPECT;

    for (int i = 0; i < count; i++)
        if (strlen(fields[i].name) == size && memcmp(fields[i].name, name, size) == 0)
            return i;
    return -1;
}

/* Names are compared as what they mean: "str\u0065am" is "stream". */
static int which_field(struct qt_draft *draft, struct qt_span key, enum field *field)
{
    char name[64];
    size_t size = 0;
    int found;

    /* No field's name has more characters than this has escapes of six bytes. */
    if (key.size <= sizeof(name))
        size = qt_json_unescape(key, name);
    found = size == 0 ? -1 : find_field(draft, name, size);
    if (found < 0)
        return fail(draft, QUIPU_INVALID, key.text - 1, "unknown key \"%.*s\"",
                    key.size > 60 ? 60 : (int)key.size, key.text);
    if (draft->fields[found].text != NULL)
        return fail(draft, QUIPU_INVALID, key.text - 1, "\"%s\" stands twice", fields[found].name);
    *field = (enum field)found;
    return 0;
}

/* What json-c will see of the line, with names that are spelled out. */
static void put_shell(struct qt_draft *draft, enum field field, struct qt_span value)
{
    struct qt_bytes *shell = &draft->shell;

    qt_bytes_text(shell, shell->size == 0 ? "{\"" : ",\"");
    qt_bytes_text(shell, fields[field].name);
    qt_bytes_text(shell, "\":");
    qt_bytes_put(shell, value.text, value.size);
}

/* Check the whole line and find its members. */
static int split(struct qt_draft *draft, struct qt_json *json)
{
    struct qt_span key;
    struct qt_span value;
    int rc;

    qt_json_space(json);
    if (qt_json_enter(json) < 0)
        return fail(draft, QUIPU_INVALID, json->at, "an event begins with '{'");
    for (;;) {
        enum field field = POSITION;

        rc = qt_json_member(json, &key, &value);
        if (rc < 0)
            return fail(draft, QUIPU_INVALID, json->at, "%s", json->error);
        if (rc == 0)
            break;
        rc = which_field(draft, key, &field);
        if (rc < 0)
            return rc;
        draft->fields[field] = value;
        draft->inner[field] = json->inner;
        if (fields[field].use == SHELL)
            put_shell(draft, field, value);
    }
    qt_json_space(json);
    if (json->at != json->end)
        return fail(draft, QUIPU_INVALID, json->at, "something follows the event");
    return 0;
}

/* json-c's turn. The text was checked before, so that it can only run out of memory. */
static int parse_shell(struct qt_draft *draft)
{
    struct qt_bytes *shell = &draft->shell;
    enum json_tokener_error error;

    if (shell->size == 0)
        qt_bytes_char(shell, '{');
    qt_bytes_char(shell, '}');
    if (shell->failed)
        return fail_memory(draft);
    json_tokener_reset(draft->tokener);
    draft->root = json_tokener_parse_ex(draft->tokener, shell->data, (int)shell->size);
    error = json_tokener_get_error(draft->tokener);
    if (error != json_tokener_success || draft->root == NULL)
        return fail(draft, QUIPU_INVALID, draft->line, "%s", json_tokener_error_desc(error));
    return 0;
}

/* A text that can be a C string. Returns: 1, 0 if the field is absent, or a status. */
static int take_text(struct qt_draft *draft, enum field field, const char **text)
{
    struct qt_span span = draft->fields[field];
    const char *name = fields[field].name;
    json_object *value;

    if (span.text == NULL)
        return 0;
    if (!json_object_object_get_ex(draft->root, name, &value) ||
        !json_object_is_type(value, json_type_string))
        return fail(draft, QUIPU_INVALID, span.text, "\"%s\" must be a string", name);
    if (!qt_json_paired(span))
        return fail(draft, QUIPU_INVALID, span.text, "\"%s\" has half a surrogate pair", name);
    *text = json_object_get_string(value);
    if (strlen(*text) != (size_t)json_object_get_string_len(value))
        return fail(draft, QUIPU_INVALID, span.text, "\"%s\" has a \\u0000 in it", name);
    return 1;
}

/* A text that must be there. Its length and characters the library checks. */
static int take_name(struct qt_draft *draft, enum field field, const char **text)
{
    int rc = take_text(draft, field, text);

    if (rc < 0)
        return rc;
    if (rc == 0)
        return fail(draft, QUIPU_INVALID, draft->line, "\"%s\" is missing", fields[field].name);
    if (**text == '\0')
        return fail(draft, QUIPU_INVALID, draft->fields[field].text, "\"%s\" is empty",
                    fields[field].name);
    return 0;
}

static int take_stamp(struct qt_draft *draft, enum field field, uint32_t flag, int64_t *time_ns)
{
    const char *text = "";
    const char *error;
    int rc = take_text(draft, field, &text);

    if (rc <= 0)
        return rc;
    if (qt_stamp_parse(text, strlen(text), time_ns, &error) < 0)
        return fail(draft, QUIPU_INVALID, draft->fields[field].text, "\"%s\": %s",
                    fields[field].name, error);
    draft->draft.flags |= flag;
    return 0;
}

static int take_id(struct qt_draft *draft)
{
    const char *text = "";
    int rc = take_text(draft, ID, &text);

    if (rc <= 0)
        return rc;
    if (qt_uuid_parse(text, draft->draft.id) < 0)
        return fail(draft, QUIPU_INVALID, draft->fields[ID].text, "\"id\" is no UUID");
    draft->draft.flags |= QUIPU_EVENT_HAS_ID;
    return 0;
}

/* json-c saturates what does not fit into 64 bits; that is out of bounds here anyway. */
static int take_schema(struct qt_draft *draft)
{
    json_object *value;
    int64_t number;

    if (draft->fields[SCHEMA].text == NULL)
        return 0;
    if (!json_object_object_get_ex(draft->root, "schema", &value) ||
        !json_object_is_type(value, json_type_int))
        return fail(draft, QUIPU_INVALID, draft->fields[SCHEMA].text,
                    "\"schema\" must be a number");
    number = json_object_get_int64(value);
    if (number < 0 || number > UINT16_MAX)
        return fail(draft, QUIPU_INVALID, draft->fields[SCHEMA].text,
                    "\"schema\" is 0 to 65535, not %" PRId64, number);
    draft->draft.schema = (uint16_t)number;
    return 0;
}

static int take_tag(struct qt_draft *draft, json_object *value, size_t at)
{
    const char *text;

    if (!json_object_is_type(value, json_type_string))
        return fail(draft, QUIPU_INVALID, draft->fields[TAGS].text, "a tag must be a string");
    text = json_object_get_string(value);
    if (strlen(text) != (size_t)json_object_get_string_len(value))
        return fail(draft, QUIPU_INVALID, draft->fields[TAGS].text, "a tag has a \\u0000 in it");
    draft->tags[at] = text;
    return 0;
}

int qt_draft_expect(const char *text, uint64_t *expected)
{
    if (strcmp(text, "any") == 0)
        *expected = QUIPU_ANY;
    else if (strcmp(text, "exists") == 0)
        *expected = QUIPU_EXISTS;
    else if (strcmp(text, "new") == 0)
        *expected = QUIPU_NEW;
    else if (qt_number_parse(text, expected) < 0 || *expected >= QUIPU_EXISTS)
        return -1;
    return 0;
}

int qt_draft_number(struct qt_span value, uint64_t *number)
{
    char digits[QT_NUMBER_MAX + 1];

    if (value.size > QT_NUMBER_MAX)
        return -1;
    memcpy(digits, value.text, value.size);
    digits[value.size] = '\0';
    return qt_number_parse(digits, number);
}

int qt_draft_expect_value(struct qt_span value, uint64_t *expected)
{
    char word[8] = "";

    if (*value.text != '"')
        return qt_draft_number(value, expected) < 0 || *expected >= QUIPU_EXISTS ? -1 : 0;
    if (value.size - 2 < sizeof(word))
        memcpy(word, value.text + 1, value.size - 2);
    return islower((unsigned char)word[0]) ? qt_draft_expect(word, expected) : -1;
}

static int take_expect(struct qt_draft *draft)
{
    struct qt_span span = draft->fields[EXPECT];

    draft->expected = QUIPU_ANY;
    if (span.text != NULL && qt_draft_expect_value(span, &draft->expected) < 0)
        return fail(draft, QUIPU_INVALID, span.text, QT_EXPECT_WRONG);
    return 0;
}

/* How tags must look, and that no two are equal, the library checks. */
static int take_tags(struct qt_draft *draft)
{
    struct qt_span span = draft->fields[TAGS];
    json_object *value;
    size_t count;

    if (span.text == NULL)
        return 0;
    if (!json_object_object_get_ex(draft->root, "tags", &value) ||
        !json_object_is_type(value, json_type_array))
        return fail(draft, QUIPU_INVALID, span.text, "\"tags\" must be an array of strings");
    if (!qt_json_paired(span))
        return fail(draft, QUIPU_INVALID, span.text, "\"tags\" has half a surrogate pair");
    count = json_object_array_length(value);
    if (count > QT_TAGS_MAX)
        return fail(draft, QUIPU_TOO_LARGE, span.text, "%zu tags; at most %d fit", count,
                    QT_TAGS_MAX);
    for (size_t i = 0; i < count; i++) {
        int rc = take_tag(draft, json_object_array_get_idx(value, i), i);

        if (rc < 0)
            return rc;
    }
    draft->draft.tags = draft->tags;
    draft->draft.tag_count = (uint32_t)count;
    return 0;
}

/* The payload stays in the line; only if there is white space in it, it is copied without. */
static int take_json(struct qt_draft *draft, struct payload *payload)
{
    struct qt_span span = draft->fields[payload->json];
    char *to;

    if (span.text == NULL)
        return 0;
    payload->format = QUIPU_JSON;
    payload->data = span.text;
    payload->size = span.size;
    if (draft->inner[payload->json] == 0)
        return 0;
    to = qt_bytes_room(payload->bytes, span.size);
    if (to == NULL)
        return fail_memory(draft);
    payload->data = to;
    payload->size = qt_json_compact(span, to);
    return 0;
}

/* The exact form: base64 in a string, which may have the escape \/ in it. */
static int take_exact(struct qt_draft *draft, enum field field, struct payload *payload)
{
    struct qt_span span = draft->fields[field];
    size_t size = span.size - 2; /* between the quotes */
    char *to;

    if (*span.text != '"')
        return fail(draft, QUIPU_INVALID, span.text, "\"%s\" must be a string", fields[field].name);
    to = qt_bytes_room(payload->bytes, span.size);
    if (to == NULL)
        return fail_memory(draft);
    size = qt_json_unescape((struct qt_span){span.text + 1, size}, to);
    /* In place: each four characters are read before their three bytes are written. */
    if (qt_base64_decode(to, size, to, &payload->size) < 0)
        return fail(draft, QUIPU_INVALID, span.text, "\"%s\" is no base64", fields[field].name);
    payload->data = to;
    return 0;
}

/* The exact form wins over the one for people. */
static int take_payload(struct qt_draft *draft, struct payload *payload)
{
    enum field base64 = payload->json + 1;
    enum field msgpack = payload->json + 2;

    qt_bytes_clear(payload->bytes);
    if (draft->fields[base64].text != NULL && draft->fields[msgpack].text != NULL) {
        return fail(draft, QUIPU_INVALID, draft->fields[msgpack].text,
                    "\"%s\" and \"%s\" exclude each other", fields[base64].name,
                    fields[msgpack].name);
    }
    if (draft->fields[base64].text != NULL) {
        payload->format = QUIPU_BINARY;
        return take_exact(draft, base64, payload);
    }
    if (draft->fields[msgpack].text != NULL) {
        payload->format = QUIPU_MSGPACK;
        return take_exact(draft, msgpack, payload);
    }
    return take_json(draft, payload);
}

static int take_payloads(struct qt_draft *draft)
{
    struct payload data = {.json = DATA, .bytes = &draft->data};
    struct payload meta = {.json = META, .bytes = &draft->meta};
    int rc = take_payload(draft, &data);

    if (rc == 0)
        rc = take_payload(draft, &meta);
    if (rc < 0)
        return rc;
    if (data.size > QT_DATA_BYTES_MAX || meta.size > QT_DATA_BYTES_MAX - data.size)
        return fail(draft, QUIPU_TOO_LARGE, draft->line, "data and meta are over 64 MiB");
    draft->draft.data = data.size == 0 ? NULL : data.data;
    draft->draft.data_size = (uint32_t)data.size;
    draft->draft.data_format = data.size == 0 ? QUIPU_BINARY : data.format;
    draft->draft.meta = meta.size == 0 ? NULL : meta.data;
    draft->draft.meta_size = (uint32_t)meta.size;
    draft->draft.meta_format = meta.size == 0 ? QUIPU_BINARY : meta.format;
    return 0;
}

static int take_fields(struct qt_draft *draft)
{
    int rc = take_name(draft, STREAM, &draft->stream);

    if (rc == 0)
        rc = take_name(draft, TYPE, &draft->draft.type);
    if (rc == 0)
        rc = take_stamp(draft, TIME, QUIPU_EVENT_HAS_TIME, &draft->draft.time_ns);
    if (rc == 0)
        rc = take_stamp(draft, RECORDED, QUIPU_EVENT_HAS_RECORDED, &draft->draft.recorded_ns);
    if (rc == 0)
        rc = take_id(draft);
    if (rc == 0)
        rc = take_schema(draft);
    if (rc == 0)
        rc = take_tags(draft);
    if (rc == 0)
        rc = take_expect(draft);
    return rc == 0 ? take_payloads(draft) : rc;
}

int qt_draft_read(struct qt_draft *draft, const char *line, size_t size)
{
    struct qt_json json;
    int rc;

    assert(draft->tokener != NULL);
    json_object_put(draft->root);
    draft->root = NULL;
    draft->draft = (quipu_draft){0};
    draft->stream = NULL;
    draft->line = line;
    memset(draft->fields, 0, sizeof(draft->fields));
    qt_bytes_clear(&draft->shell);
    qt_json_init(&json, line, size);
    rc = split(draft, &json);
    if (rc == 0)
        rc = parse_shell(draft);
    return rc == 0 ? take_fields(draft) : rc;
}
