/* json.c - one pass over an object's text, without recursion: a nested value is skipped by keeping
 * its open brackets in an array.
 *
 * Refuses to build anything, and to be a validator: when an event was appended, its data were only
 * looked at as UTF-8. Of the object itself all is checked but the insides of its strings, so that a
 * broken one has no members; of what is nested, only its brackets and where its strings end.
 * Nothing is allocated.
 *
 *     { "a" : { "b" : [ 1, 2 ] } , "c" : 5 }
 *       key   '-- skipped ----'    key   value
 *
 * Every step of the scan keeps at <= end; text is not 0-terminated. */
#include "json.h"

#include <assert.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    const char *at;  /* what comes next */
    const char *end; /* after the last byte */
};

/* A longer number has no place in a fold. */
enum { NUMBER_BYTES_MAX = 510, DEPTH_MAX = 512 };

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
        scan->at++;
}

/* Take `byte` if it is what comes next, spaces aside. */
static bool take(struct scan *scan, char byte)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != byte)
        return false;
    scan->at++;
    return true;
}

/* A string with its quotes; `*inside` is what is between them. Only whether there are escapes is
 * seen here: they are resolved, or refused, when somebody asks for the text. */
static bool take_string(struct scan *scan, struct qp_bytes *inside, bool *escaped)
{
    const char *begin;

    *escaped = false;
    if (!take(scan, '"'))
        return false;
    begin = scan->at;
    while (scan->at < scan->end && *scan->at != '"') {
        if (*scan->at == '\\') {
            *escaped = true;
            scan->at++;
        }
        if (scan->at < scan->end)
            scan->at++;
    }
    if (scan->at == scan->end)
        return false;
    *inside = (struct qp_bytes){begin, (size_t)(scan->at - begin)};
    scan->at++;
    return true;
}

/* Go past the container that begins here. Each bracket must be closed by its own kind; what
 * stands between them is not looked at. */
static bool skip_container(struct scan *scan)
{
    char open[DEPTH_MAX];
    struct qp_bytes inside;
    bool escaped;
    size_t depth = 0;

    assert(scan->at < scan->end && (*scan->at == '{' || *scan->at == '['));
    do {
        char byte = *scan->at;

        if (byte == '"') {
            if (!take_string(scan, &inside, &escaped))
                return false;
            continue;
        }
        if (byte == '{' || byte == '[') {
            if (depth == DEPTH_MAX)
                return false;
            open[depth++] = byte;
        } else if (byte == '}' || byte == ']') {
            depth--; /* not below 0: the loop ends there, and it began with an open one */
            if ((open[depth] == '{') != (byte == '}'))
                return false;
        }
        scan->at++;
    } while (depth > 0 && scan->at < scan->end);
    return depth == 0;
}

/* All up to what can follow a value; it may be empty. A 0 byte ends a word too, because strchr()
 * finds it; what is malformed is found by who goes on from there. */
static struct qp_bytes take_word(struct scan *scan)
{
    const char *begin = scan->at;

    while (scan->at < scan->end && strchr(",}] \t\r\n", *scan->at) == NULL)
        scan->at++;
    return (struct qp_bytes){begin, (size_t)(scan->at - begin)};
}

/* As RFC 8259 writes numbers? strtod() takes more: 01, 1., .5, 0x1. */
static bool is_number(const char *at)
{
    if (*at == '-')
        at++;
    if (*at == '0')
        at++;
    else if (*at >= '1' && *at <= '9')
        at += strspn(at, "0123456789");
    else
        return false;
    if (*at == '.') {
        size_t digits = strspn(at + 1, "0123456789");

        if (digits == 0)
            return false;
        at += 1 + digits;
    }
    if (*at == 'e' || *at == 'E') {
        size_t digits;

        at++;
        if (*at == '+' || *at == '-')
            at++;
        digits = strspn(at, "0123456789");
        if (digits == 0)
            return false;
        at += digits;
    }
    return *at == '\0';
}

/* All that is looked at in a number that is too long to be copied. */
static bool has_digits_only(struct qp_bytes word)
{
    const char *at = word.data;

    for (size_t i = 0; i < word.size; i++)
        if (strchr("0123456789+-.eE", at[i]) == NULL || at[i] == '\0')
            return false;
    return true;
}

/* false: it is none. A number that is not wanted, or that fits neither kind, stays OTHER. */
static bool read_number(struct qp_bytes word, bool wanted, struct qp_member *out)
{
    char digits[NUMBER_BYTES_MAX + 1];
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* static: nothing to free */
    char *end;

    if (word.size == 0 || plain == (locale_t)0)
        return false;
    if (word.size > NUMBER_BYTES_MAX)
        return has_digits_only(word); /* too long to be either kind, or to be looked at closely */
    assert(word.size < sizeof(digits));
    memcpy(digits, word.data, word.size);
    digits[word.size] = '\0';
    if (!is_number(digits))
        return false;
    if (!wanted)
        return true;

    /* In the C locale: the application's may have a decimal comma. */
    out->real = strtod_l(digits, &end, plain);
    if (isinf(out->real))
        return true; /* beyond a double: neither kind, and no infinity that nobody wrote */
    out->kind = QP_MEMBER_REAL;
    if (strpbrk(digits, ".eE") != NULL)
        return true;
    errno = 0; /* strtoll() says only there that it does not fit: then it stays REAL */
    out->integer = strtoll(digits, &end, 10);
    if (errno == 0)
        out->kind = QP_MEMBER_INTEGER;
    return true;
}

static bool is_word(struct qp_bytes word, const char *text)
{
    return word.size == strlen(text) && memcmp(word.data, text, word.size) == 0;
}

/* One value of any kind; false if it is malformed. `wanted`: it may be the one that is asked for,
 * so a number is worth converting. Containers and null leave OTHER. */
static bool take_value(struct scan *scan, bool wanted, struct qp_member *out)
{
    struct qp_bytes span;

    *out = (struct qp_member){0};
    skip_space(scan);
    if (scan->at == scan->end)
        return false;
    if (*scan->at == '{' || *scan->at == '[')
        return skip_container(scan);
    if (*scan->at == '"') {
        if (!take_string(scan, &span, &out->escaped))
            return false;
        out->kind = QP_MEMBER_TEXT;
        out->text = span.data;
        out->text_size = span.size;
        return true;
    }
    span = take_word(scan);
    if (is_word(span, "true") || is_word(span, "false")) {
        out->kind = QP_MEMBER_BOOLEAN;
        out->boolean = is_word(span, "true");
        return true;
    }
    return is_word(span, "null") || read_number(span, wanted, out);
}

/* Names may be written with escapes; a name that has none is compared as it stands. One of more
 * than QP_NAME_MAX bytes that is written with escapes is not found. */
static bool is_name(struct qp_bytes written, bool escaped, struct qp_bytes name)
{
    char plain[QP_NAME_MAX + 1];
    int64_t size;

    if (!escaped)
        return written.size == name.size && memcmp(written.data, name.data, name.size) == 0;
    size = qp_json_unescape(written.data, written.size, plain, sizeof(plain));
    return size == (int64_t)name.size && name.size < sizeof(plain) &&
           memcmp(plain, name.data, name.size) == 0;
}

/* To the end even when it was found: the last member of a name counts, and a text that is broken
 * after it is broken. */
void qp_json_member(struct qp_bytes object, struct qp_bytes name, struct qp_member *out)
{
    struct scan scan = {object.data, (const char *)object.data + object.size};
    struct qp_member found = {0};
    struct qp_member value;
    struct qp_bytes key;
    bool escaped;

    *out = (struct qp_member){0};
    if (object.size == 0 || !take(&scan, '{'))
        return;
    if (!take(&scan, '}')) {
        do {
            bool wanted;

            if (!take_string(&scan, &key, &escaped) || !take(&scan, ':'))
                return;
            wanted = is_name(key, escaped, name);
            if (!take_value(&scan, wanted, &value))
                return;
            if (wanted)
                found = value;
        } while (take(&scan, ','));
        if (!take(&scan, '}'))
            return;
    }
    skip_space(&scan);
    if (scan.at == scan.end)
        *out = found;
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

/* Four hexadecimal digits, -1 if they are not there: a UTF-16 code unit. */
static int32_t take_hex(struct scan *scan)
{
    int32_t unit = 0;

    if (scan->end - scan->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(scan->at[i]);

        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    scan->at += 4;
    return unit;
}

/* After "\u": one code point, of two escapes if the first is a high surrogate (RFC 8259, 7). -1: a
 * surrogate that is alone, for which UTF-8 has no bytes. */
static int32_t take_code_point(struct scan *scan)
{
    int32_t high = take_hex(scan);
    int32_t low;

    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high > 0xdbff || scan->end - scan->at < 6 || scan->at[0] != '\\' || scan->at[1] != 'u')
        return -1;
    scan->at += 2;
    low = take_hex(scan);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* RFC 3629, 3. Returns how many of the four bytes it takes. */
static size_t encode_utf8(int32_t point, char bytes[4])
{
    assert(point >= 0 && point <= 0x10ffff);
    if (point < 0x80) {
        bytes[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        bytes[0] = (char)(0xc0 | point >> 6);
        bytes[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        bytes[0] = (char)(0xe0 | point >> 12);
        bytes[1] = (char)(0x80 | (point >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    bytes[0] = (char)(0xf0 | point >> 18);
    bytes[1] = (char)(0x80 | (point >> 12 & 0x3f));
    bytes[2] = (char)(0x80 | (point >> 6 & 0x3f));
    bytes[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}

/* After a backslash: the bytes that it stands for, 0 if it is malformed. */
static size_t take_escape(struct scan *scan, char bytes[4])
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t"; /* in the order of `from` */
    const char *known;
    int32_t point;

    if (scan->at == scan->end)
        return 0;
    if (*scan->at == 'u') {
        scan->at++;
        point = take_code_point(scan);
        return point < 0 ? 0 : encode_utf8(point, bytes);
    }
    known = memchr(from, *scan->at, sizeof(from) - 1);
    if (known == NULL)
        return 0;
    scan->at++;
    bytes[0] = to[known - from];
    return 1;
}

/* What does not fit is counted and not written, as snprintf() does: the caller learns how much room
 * it takes. The text may be cut inside of a character then. */
int64_t qp_json_unescape(const char *text, size_t size, char *out, size_t capacity)
{
    struct scan scan = {text, text + size};
    size_t length = 0;
    char bytes[4];

    while (scan.at < scan.end) {
        size_t count = 1;

        bytes[0] = *scan.at++;
        if (bytes[0] == '\\')
            count = take_escape(&scan, bytes);
        if (count == 0)
            return -1;
        for (size_t i = 0; i < count; i++, length++)
            if (length + 1 < capacity)
                out[length] = bytes[i];
    }
    if (capacity > 0)
        out[length < capacity ? length : capacity - 1] = '\0';
    return (int64_t)length;
}
