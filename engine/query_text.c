/* query_text.c - reads a text twice: once to check it and to count, then into a block of just that
 * size.
 *
 *     type=A,"B c" tag=k:v stream=s-1
 *
 *     | quipu_query | item | A, B c, k:v: pointers | A 0 B c 0 k:v 0 s-1 0 |
 *
 * The second time it finds nothing wrong: it sees the same bytes. Refuses to know what a query is
 * for; whoever uses the query checks its names again. */
#include "query_text.h"

#include "memory.h"
#include "status.h"
#include "text.h"

#include <assert.h>
#include <string.h>

#define BLANKS " \t\r\n"

enum key { KEY_TYPE, KEY_TAG, KEY_STREAM, KEY_CATEGORY, KEYS };

static const struct {
    const char *name;
    const char *value; /* what messages call one */
} keys[KEYS] = {[KEY_TYPE] = {"type", "a type"},
                [KEY_TAG] = {"tag", "a tag"},
                [KEY_STREAM] = {"stream", "a stream"},
                [KEY_CATEGORY] = {"category", "a category"}};

struct parsed {
    quipu_query query;
    quipu_query_item item;
    const char *names[]; /* of the types, then of the tags; the bytes of all names follow */
};

struct parse {
    const char *text;
    size_t at;
    size_t counts[KEYS]; /* of values so far */
    size_t bytes;        /* of their names */
    struct parsed *out;  /* NULL the first time */
    const char **types;  /* in `out` */
    const char **tags;
    char *next; /* where the next name goes */
    quipu_error *error;
};

static int fail(const struct parse *parse, size_t at, int status, const char *what)
{
    return qp_fail(parse->error, status, "column %zu: %s", at + 1, what);
}

/* ---- values ---- */

/* Inside of quotes, after the '\': only what could not stand there else. */
static bool is_escapable(char byte)
{
    return byte == '"' || byte == '\\';
}

/* The bytes from here to a blank, a comma or the end, of which some may stand in quotes. `name` has
 * room for QP_NAME_MAX + 1. */
static int read_value(struct parse *parse, char *name, size_t *size)
{
    const char *text = parse->text;
    size_t begin = parse->at;
    size_t quote = 0;
    bool quoted = false;

    *size = 0;
    for (; text[parse->at] != '\0'; parse->at++) {
        char byte = text[parse->at];

        if (!quoted && (byte == ',' || strchr(BLANKS, byte) != NULL))
            break;
        if (byte == '"') {
            quoted = !quoted;
            quote = parse->at;
            continue;
        }
        if (quoted && byte == '\\') {
            if (!is_escapable(text[parse->at + 1]))
                return fail(parse, parse->at, QUIPU_INVALID, "a '\\' before neither '\"' nor '\\'");
            byte = text[++parse->at];
        }
        if (*size == QP_NAME_MAX)
            return fail(parse, begin, QUIPU_TOO_LARGE, "a value is over 255 bytes");
        name[(*size)++] = byte;
    }
    name[*size] = '\0';
    if (quoted)
        return fail(parse, quote, QUIPU_INVALID, "a quote that does not end");
    return *size > 0 ? QUIPU_OK : fail(parse, begin, QUIPU_INVALID, "a value is empty");
}

/* As appends and queries check them: an error here has a column. */
static int check_value(const struct parse *parse, size_t at, enum key key, const char *name)
{
    quipu_error why = {0};
    size_t size;
    int rc = key == KEY_TAG ? qp_text_tag(name, &size, &why)
                            : qp_text_name(name, QP_NAME_MAX, keys[key].value, &size, &why);

    if (rc < 0)
        return fail(parse, at, rc, why.text);
    if (parse->bytes + size > QP_QUERY_BYTES_MAX)
        return fail(parse, at, QUIPU_TOO_LARGE, "the query has more than 64 KiB of names");
    if (key == KEY_TAG && parse->counts[key] == QP_TAGS_MAX)
        return fail(parse, at, QUIPU_TOO_LARGE, "more than 64 tags, which no event has");
    return QUIPU_OK;
}

/* Count it, and the second time keep it. */
static void take_value(struct parse *parse, enum key key, const char *name, size_t size)
{
    size_t number = parse->counts[key]++;
    const char *kept = parse->next;

    parse->bytes += size;
    if (parse->out == NULL)
        return;
    memcpy(parse->next, name, size + 1);
    parse->next += size + 1;
    switch (key) {
    case KEY_TYPE:
        parse->types[number] = kept;
        break;
    case KEY_TAG:
        parse->tags[number] = kept;
        break;
    case KEY_STREAM:
        parse->out->item.stream = kept;
        break;
    default:
        parse->out->item.category = kept;
    }
}

/* ---- terms ---- */

static int read_values(struct parse *parse, enum key key)
{
    char name[QP_NAME_MAX + 1];

    for (;;) {
        size_t begin = parse->at;
        size_t size;
        int rc = read_value(parse, name, &size);

        if (rc == QUIPU_OK)
            rc = check_value(parse, begin, key, name);
        if (rc < 0)
            return rc;
        take_value(parse, key, name, size);
        if (parse->text[parse->at] != ',')
            return QUIPU_OK;
        if (key != KEY_TYPE)
            return fail(parse, parse->at, QUIPU_INVALID, "a ',' is only between types: quote it");
        parse->at++;
    }
}

static int read_term(struct parse *parse)
{
    const char *text = parse->text + parse->at;
    size_t begin = parse->at;
    size_t size = strcspn(text, "=" BLANKS);
    size_t key = 0;

    if (text[size] != '=')
        return fail(parse, begin + size, QUIPU_INVALID, "a '=' is missing");
    while (key < KEYS &&
           (strlen(keys[key].name) != size || memcmp(keys[key].name, text, size) != 0))
        key++;
    if (key == KEYS)
        return fail(parse, begin, QUIPU_INVALID, "not one of type, tag, stream and category");
    if (key == KEY_TYPE && parse->counts[key] > 0)
        return fail(parse, begin, QUIPU_INVALID, "type stands twice: divide types by a comma");
    if (key != KEY_TAG && parse->counts[key] > 0)
        return fail(parse, begin, QUIPU_INVALID, "stands twice, and no event has two of it");
    parse->at += size + 1;
    return read_values(parse, (enum key)key);
}

static int read_text(struct parse *parse)
{
    int rc = QUIPU_OK;

    parse->at = strspn(parse->text, BLANKS);
    while (parse->text[parse->at] != '\0' && rc == QUIPU_OK) {
        rc = read_term(parse);
        parse->at += strspn(parse->text + parse->at, BLANKS);
    }
    return rc;
}

/* One block, of which the query is the beginning. */
static bool make_room(struct parse *parse, const struct parse *counted)
{
    size_t pointers = counted->counts[KEY_TYPE] + counted->counts[KEY_TAG];
    size_t names = pointers + counted->counts[KEY_STREAM] + counted->counts[KEY_CATEGORY];
    size_t size = sizeof(struct parsed) + pointers * sizeof(char *) + counted->bytes + names;
    struct parsed *out = qp_zalloc(size);

    parse->out = out;
    if (out == NULL)
        return false;
    parse->types = out->names;
    parse->tags = out->names + counted->counts[KEY_TYPE];
    parse->next = (char *)(out->names + pointers);
    out->query = (quipu_query){.items = &out->item, .item_count = 1};
    out->item.types = counted->counts[KEY_TYPE] > 0 ? parse->types : NULL;
    out->item.tags = counted->counts[KEY_TAG] > 0 ? parse->tags : NULL;
    out->item.type_count = (uint32_t)counted->counts[KEY_TYPE];
    out->item.tag_count = (uint32_t)counted->counts[KEY_TAG];
    return true;
}

int qp_query_text_read(const char *text, quipu_query **out, quipu_error *error)
{
    struct parse counted = {.text = text, .error = error};
    struct parse parse = {.text = text, .error = error};
    int rc = read_text(&counted);

    *out = NULL;
    if (rc < 0)
        return rc;
    if (!make_room(&parse, &counted))
        return qp_fail_memory(error);
    rc = read_text(&parse);
    assert(rc == QUIPU_OK && parse.bytes == counted.bytes);
    (void)rc;
    *out = &parse.out->query;
    return QUIPU_OK;
}
