/* json.c - the scanner.
 *
 * One value is a loop over "a scalar or an opening" and "what closes or goes on after it". The
 * only memory of the levels above is a bit each, set for an object:
 *
 *     {"a":[1,{"b":2}]}
 *      1    0  1            nest.depth 3
 *
 * Invariant: json->at never passes json->end, and on failure it stays at the byte that is wrong. */
#include "json.h"

#include "utf8.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

struct nest {
    unsigned depth;
    uint64_t objects[QT_JSON_DEPTH_MAX / 64];
};

/* The first thing that is wrong, and where. Returns: -1. */
static int fail(struct qt_json *json, const char *at, const char *error)
{
    json->at = at;
    json->error = error;
    return -1;
}

static bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

void qt_json_init(struct qt_json *json, const char *text, size_t size)
{
    assert(json != NULL);
    assert(text != NULL || size == 0);
    *json = (struct qt_json){.at = text, .end = text + size};
}

/* The four bytes that RFC 8259 allows between tokens, counted: most payloads have none of them. */
static inline void pass_space(struct qt_json *json)
{
    const char *at = json->at;

    assert(at <= json->end);
    while (at != json->end && is_space(*at))
        at++;
    json->spaces += (size_t)(at - json->at);
    json->at = at;
}

void qt_json_space(struct qt_json *json)
{
    pass_space(json);
}

/* The high bit of each byte that ends a plain run: a quote, a backslash, a control or a non-ASCII
 * byte. Borrows may set a wrong bit only above a right one, and the lowest is the one that counts.
 */
static inline uint64_t special_bytes(uint64_t word)
{
    uint64_t quote = word ^ ONES * '"';
    uint64_t slash = word ^ ONES * '\\';
    uint64_t low = word - ONES * 0x20;

    return (((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | (low & ~word) | word) & HIGHS;
}

/* The first byte at or after `at` that is not plain. */
static inline const char *plain_end(const char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t word;
        uint64_t special;

        memcpy(&word, at, sizeof(word));
        special = special_bytes(word);
        if (special != 0)
            return at + __builtin_ctzll(special) / 8;
        at += 8;
    }
    while (at != end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' &&
           *at != '\\')
        at++;
    return at;
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four hexadecimal digits of an escape, or -1. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t code = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);

        if (digit < 0)
            return -1;
        code = code << 4 | digit;
    }
    return code;
}

/* Returns: the byte after the escape, or NULL. Half a surrogate pair is a valid escape. */
static const char *pass_escape(struct qt_json *json, const char *at)
{
    assert(*at == '\\');
    if (json->end - at < 2) {
        fail(json, json->end, "the string does not end");
        return NULL;
    }
    if (at[1] == 'u') {
        if (hex4(at + 2, json->end) >= 0)
            return at + 6;
        fail(json, at, "\\u wants four hexadecimal digits");
        return NULL;
    }
    if (at[1] != '\0' && strchr("\"\\/bfnrt", at[1]) != NULL)
        return at + 2;
    fail(json, at, "no such escape");
    return NULL;
}

/* What is neither plain nor the closing quote: an escape or a longer code point. It is rare, and
 * kept out of the loop that is not. */
__attribute__((noinline)) static const char *pass_special(struct qt_json *json, const char *at)
{
    uint32_t code;
    size_t size;

    if (*at == '\\')
        return pass_escape(json, at);
    if ((unsigned char)*at < 0x20) {
        fail(json, at, "a control character in a string must be escaped");
        return NULL;
    }
    size = qt_utf8_decode(at, (size_t)(json->end - at), &code);
    if (size == 0) {
        fail(json, at, "invalid UTF-8");
        return NULL;
    }
    return at + size;
}

/* From the opening quote to after the closing one. */
static inline int pass_string(struct qt_json *json)
{
    const char *at = json->at + 1;

    assert(*json->at == '"');
    for (;;) {
        at = plain_end(at, json->end);
        if (at == json->end)
            return fail(json, at, "the string does not end");
        if (*at == '"')
            break;
        at = pass_special(json, at);
        if (at == NULL)
            return -1;
    }
    json->at = at + 1;
    return 0;
}

static inline const char *pass_digits(const char *at, const char *end)
{
    while (at != end && is_digit(*at))
        at++;
    return at;
}

/* -?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)? and nothing else; its value does not matter. */
static int pass_number(struct qt_json *json)
{
    const char *end = json->end;
    const char *at = json->at;

    if (*at == '-')
        at++;
    if (at == end || !is_digit(*at))
        return fail(json, at, "a digit is missing");
    if (*at == '0' && at + 1 != end && is_digit(at[1]))
        return fail(json, at, "a number must not begin with 0");
    at = pass_digits(at, end);
    if (at != end && *at == '.') {
        at++;
        if (at == end || !is_digit(*at))
            return fail(json, at, "a digit is missing");
        at = pass_digits(at, end);
    }
    if (at != end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at != end && (*at == '+' || *at == '-'))
            at++;
        if (at == end || !is_digit(*at))
            return fail(json, at, "a digit is missing");
        at = pass_digits(at, end);
    }
    json->at = at;
    return 0;
}

/* true, false or null. */
static int pass_word(struct qt_json *json, const char *word, size_t size)
{
    if ((size_t)(json->end - json->at) < size || memcmp(json->at, word, size) != 0)
        return fail(json, json->at, "not a JSON value");
    json->at += size;
    return 0;
}

/* A name, its colon, and the white space up to its value. */
static inline int pass_key(struct qt_json *json)
{
    if (json->at == json->end || *json->at != '"')
        return fail(json, json->at, "a name in quotes is missing");
    if (pass_string(json) < 0)
        return -1;
    pass_space(json);
    if (json->at == json->end || *json->at != ':')
        return fail(json, json->at, "':' is missing");
    json->at++;
    pass_space(json);
    return 0;
}

static bool in_object(const struct nest *nest)
{
    unsigned level = nest->depth - 1;

    assert(nest->depth > 0);
    return (nest->objects[level / 64] >> level % 64 & 1) != 0;
}

/* Go into an object or array. Returns: 1 before its first value, 0 after it if it is empty, -1. */
static int open_level(struct qt_json *json, struct nest *nest, bool object)
{
    uint64_t bit;

    if (nest->depth == QT_JSON_DEPTH_MAX)
        return fail(json, json->at, "more than 512 levels deep");
    bit = UINT64_C(1) << nest->depth % 64;
    if (object)
        nest->objects[nest->depth / 64] |= bit;
    else
        nest->objects[nest->depth / 64] &= ~bit;
    json->at++;
    pass_space(json);
    if (json->at != json->end && *json->at == (object ? '}' : ']')) {
        json->at++;
        return 0;
    }
    nest->depth++;
    if (object && pass_key(json) < 0)
        return -1;
    return 1;
}

/* Which kind of value it is, its first byte says. */
static inline int pass_scalar(struct qt_json *json)
{
    if (json->at == json->end)
        return fail(json, json->at, "a value is missing");
    switch (*json->at) {
    case '"':
        return pass_string(json);
    case 't':
        return pass_word(json, "true", 4);
    case 'f':
        return pass_word(json, "false", 5);
    case 'n':
        return pass_word(json, "null", 4);
    default:
        if (*json->at == '-' || is_digit(*json->at))
            return pass_number(json);
        return fail(json, json->at, "not a JSON value");
    }
}

static inline bool is_opening(const struct qt_json *json)
{
    return json->at != json->end && (*json->at == '{' || *json->at == '[');
}

/* Returns: 0 after a scalar or an empty container, 1 before a container's first value, -1. */
static inline int pass_one(struct qt_json *json, struct nest *nest)
{
    if (is_opening(json))
        return open_level(json, nest, *json->at == '{');
    return pass_scalar(json);
}

/* Close all levels that end here. Returns: 1 before the next value, 0 when no level is left, -1. */
static inline int pass_after(struct qt_json *json, struct nest *nest)
{
    while (nest->depth > 0) {
        bool object = in_object(nest);

        pass_space(json);
        if (json->at == json->end)
            return fail(json, json->at, object ? "'}' is missing" : "']' is missing");
        if (*json->at == ',') {
            json->at++;
            pass_space(json);
            return object && pass_key(json) < 0 ? -1 : 1;
        }
        if (*json->at != (object ? '}' : ']'))
            return fail(json, json->at, object ? "',' or '}' is missing" : "',' or ']' is missing");
        json->at++;
        nest->depth--;
    }
    return 0;
}

/* Values one after another, in whatever they are nested, until the outermost is closed. */
static int pass_nested(struct qt_json *json)
{
    struct nest nest = {0};
    int rc;

    do {
        rc = pass_one(json, &nest);
        if (rc == 0)
            rc = pass_after(json, &nest);
    } while (rc > 0);
    return rc;
}

int qt_json_value(struct qt_json *json)
{
    return is_opening(json) ? pass_nested(json) : pass_scalar(json);
}

/* Pass the opening mark. */
static int enter(struct qt_json *json, char mark, const char *error)
{
    if (json->at == json->end || *json->at != mark)
        return fail(json, json->at, error);
    json->at++;
    json->first = true;
    return 0;
}

int qt_json_enter(struct qt_json *json)
{
    return enter(json, '{', "'{' is missing");
}

int qt_json_enter_array(struct qt_json *json)
{
    return enter(json, '[', "'[' is missing");
}

/* Up to the next member or element. Returns: 1 there, 0 after the closing mark, -1. */
static inline int next_item(struct qt_json *json, char mark, const char *error)
{
    pass_space(json);
    if (json->at == json->end)
        return fail(json, json->at, error);
    if (*json->at == mark) {
        json->at++;
        return 0;
    }
    if (!json->first) {
        if (*json->at != ',')
            return fail(json, json->at, error);
        json->at++;
        pass_space(json);
    }
    json->first = false;
    return 1;
}

/* The value of a member or element, and how much white space is inside it. */
static inline int pass_item(struct qt_json *json, struct qt_span *value)
{
    size_t before = json->spaces;

    value->text = json->at;
    if (qt_json_value(json) < 0)
        return -1;
    json->inner = json->spaces - before;
    value->size = (size_t)(json->at - value->text);
    return 1;
}

int qt_json_member(struct qt_json *json, struct qt_span *key, struct qt_span *value)
{
    int rc = next_item(json, '}', "',' or '}' is missing");

    if (rc <= 0)
        return rc;
    key->text = json->at + 1;
    if (json->at == json->end || *json->at != '"')
        return fail(json, json->at, "a name in quotes is missing");
    if (pass_string(json) < 0)
        return -1;
    key->size = (size_t)(json->at - key->text) - 1;
    pass_space(json);
    if (json->at == json->end || *json->at != ':')
        return fail(json, json->at, "':' is missing");
    json->at++;
    pass_space(json);
    return pass_item(json, value);
}

int qt_json_element(struct qt_json *json, struct qt_span *value)
{
    int rc = next_item(json, ']', "',' or ']' is missing");

    return rc <= 0 ? rc : pass_item(json, value);
}

int qt_json_whole(struct qt_json *json, const char *text, size_t size)
{
    qt_json_init(json, text, size);
    pass_space(json);
    if (qt_json_value(json) < 0)
        return -1;
    pass_space(json);
    if (json->at != json->end)
        return fail(json, json->at, "something follows the value");
    return 0;
}

/* Behind the closing quote of the checked string that begins at `at`. */
static const char *string_end(const char *at, const char *end)
{
    for (at++; at != end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at == end ? end : at + 1;
}

int qt_json_run(struct qt_span *rest, struct qt_span *run)
{
    const char *end = rest->text + rest->size;
    const char *at = rest->text;

    while (at != end && is_space(*at))
        at++;
    if (at == end)
        return 0;
    run->text = at;
    while (at != end && !is_space(*at))
        at = *at == '"' ? string_end(at, end) : at + 1;
    run->size = (size_t)(at - run->text);
    rest->text = at;
    rest->size = (size_t)(end - at);
    return 1;
}

size_t qt_json_compact(struct qt_span text, char *to)
{
    struct qt_span run;
    size_t size = 0;

    while (qt_json_run(&text, &run) > 0) {
        memmove(to + size, run.text, run.size);
        size += run.size;
    }
    return size;
}

static bool is_high(int32_t code)
{
    return code >= 0xd800 && code <= 0xdbff;
}

static bool is_low(int32_t code)
{
    return code >= 0xdc00 && code <= 0xdfff;
}

/* The code point of the \u escape at `at`, both halves of a pair taken together. */
static uint32_t unicode_escape(const char **at, const char *end)
{
    int32_t code = hex4(*at + 2, end);
    int32_t low;

    assert(code >= 0);
    *at += 6;
    if (!is_high(code) || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
        return (uint32_t)code;
    low = hex4(*at + 2, end);
    if (!is_low(low))
        return (uint32_t)code;
    *at += 6;
    return 0x10000 + ((uint32_t)(code - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
}

/* What an escape of one letter stands for; the others stand for themselves. */
static char short_escape(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c;
    }
}

size_t qt_json_unescape(struct qt_span text, char *to)
{
    const char *end = text.text + text.size;
    const char *at = text.text;
    size_t size = 0;

    while (at != end) {
        if (*at != '\\') {
            to[size++] = *at++;
        } else if (at[1] == 'u') {
            size += qt_utf8_encode(unicode_escape(&at, end), to + size);
        } else {
            to[size++] = short_escape(at[1]);
            at += 2;
        }
    }
    assert(size <= text.size);
    return size;
}

bool qt_json_paired(struct qt_span text)
{
    const char *end = text.text + text.size;
    const char *at = text.text;

    for (;;) {
        at = memchr(at, '\\', (size_t)(end - at));
        if (at == NULL)
            return true;
        if (at[1] == 'u') {
            uint32_t code = unicode_escape(&at, end);

            if (code >= 0xd800 && code <= 0xdfff)
                return false;
        } else {
            at += 2;
        }
    }
}
