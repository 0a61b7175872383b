/* msgpack_json.c - the one door to msgpack-c in the tools: unpack, then walk with a stack of
 * levels.
 *
 * The unpacker allocates what a header announces before it looks whether that much is there: five
 * bytes can ask for gigabytes. So the value is measured first; then what is allocated is bounded by
 * the event's size, and everything it holds lies within it. */
#include "msgpack_json.h"

#include "base64.h"
#include "number.h"
#include "utf8.h"

#include <assert.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS_MAX 64 /* msgpack-c's unpacker stops at 32 */

/* What follows a type byte from 0xc0 to 0xdf: a count of this many bytes, and this many bytes more.
 * The count counts bytes, or what is inside: an array's values, a map's pairs. */
static const struct {
    uint8_t count_bytes;
    uint8_t more;
    uint8_t inside; /* values for each that is counted; 0: it counts bytes */
} forms[32] = {
    [0x04] = {1, 0, 0},  [0x05] = {2, 0, 0}, [0x06] = {4, 0, 0}, /* binary */
    [0x07] = {1, 1, 0},  [0x08] = {2, 1, 0}, [0x09] = {4, 1, 0}, /* extension */
    [0x0a] = {0, 4, 0},  [0x0b] = {0, 8, 0},                     /* floating point */
    [0x0c] = {0, 1, 0},  [0x0d] = {0, 2, 0}, [0x0e] = {0, 4, 0}, [0x0f] = {0, 8, 0},
    [0x10] = {0, 1, 0},  [0x11] = {0, 2, 0}, [0x12] = {0, 4, 0}, [0x13] = {0, 8, 0},
    [0x14] = {0, 2, 0},  [0x15] = {0, 3, 0}, [0x16] = {0, 5, 0}, [0x17] = {0, 9, 0},
    [0x18] = {0, 17, 0},                                         /* extension of a fixed size */
    [0x19] = {1, 0, 0},  [0x1a] = {2, 0, 0}, [0x1b] = {4, 0, 0}, /* text */
    [0x1c] = {2, 0, 1},  [0x1d] = {4, 0, 1},                     /* array */
    [0x1e] = {2, 0, 2},  [0x1f] = {4, 0, 2},                     /* map */
};

struct level {
    const msgpack_object *items;    /* of an array */
    const msgpack_object_kv *pairs; /* of a map; NULL: an array */
    uint32_t count;
    uint32_t done;
};

struct walk {
    struct qt_bytes *out;
    struct level levels[LEVELS_MAX];
    size_t depth;
};

/* A type byte from 0xc0 to 0xdf and what belongs to it, but not what is inside.
 *
 * Returns: its bytes, which may be more than `left`; `*inside` values follow. */
static uint64_t measure_long(const uint8_t *at, size_t left, uint64_t *inside)
{
    size_t form = *at - 0xc0U;
    size_t count_bytes = forms[form].count_bytes;
    uint64_t count = 0;

    if (left < 1 + count_bytes)
        return UINT64_MAX;
    for (size_t i = 1; i <= count_bytes; i++)
        count = count << 8 | at[i];
    *inside = count * forms[form].inside;
    return 1 + count_bytes + forms[form].more + (forms[form].inside == 0 ? count : 0);
}

static uint64_t measure_one(const uint8_t *at, size_t left, uint64_t *inside)
{
    *inside = 0;
    if (*at <= 0x7f || *at >= 0xe0) /* a small number */
        return 1;
    if (*at <= 0x8f) {
        *inside = UINT64_C(2) * (*at & 15U);
        return 1;
    }
    if (*at <= 0x9f) {
        *inside = *at & 15U;
        return 1;
    }
    if (*at <= 0xbf)
        return 1 + (*at & 31U);
    return measure_long(at, left, inside);
}

/* Is all there that the headers announce? Each value has at least one byte. */
static bool is_whole(const uint8_t *at, size_t left)
{
    uint64_t wanted = 1;

    while (wanted > 0) {
        uint64_t inside;
        uint64_t size = wanted <= left ? measure_one(at, left, &inside) : UINT64_MAX;

        if (size > left)
            return false;
        at += size;
        left -= size;
        wanted += inside - 1;
    }
    return left == 0;
}

/* One code point of a text, escaped where JSON wants it; size 0: a byte that is no UTF-8. */
static void put_code(struct qt_bytes *out, const char *text, size_t size, uint32_t code)
{
    char escape[8];

    if (size == 0) {
        qt_bytes_text(out, "\xef\xbf\xbd"); /* U+FFFD for a byte that is no UTF-8 */
    } else if (code < 0x20 || code == 0x7f) {
        (void)snprintf(escape, sizeof(escape), "\\u%04x", code);
        qt_bytes_text(out, escape);
    } else {
        if (code == '"' || code == '\\')
            qt_bytes_char(out, '\\');
        qt_bytes_put(out, text, size);
    }
}

static void put_string(struct qt_bytes *out, const char *text, size_t size)
{
    qt_bytes_char(out, '"');
    while (size > 0) {
        uint32_t code;
        size_t taken = qt_utf8_decode(text, size, &code);

        put_code(out, text, taken, code);
        taken += taken == 0;
        text += taken;
        size -= taken;
    }
    qt_bytes_char(out, '"');
}

/* Bytes in quotes, after a word that says what they are. */
static void put_base64(struct qt_bytes *out, const char *before, const void *data, size_t size)
{
    char *to;

    qt_bytes_char(out, '"');
    qt_bytes_text(out, before);
    to = qt_bytes_room(out, qt_base64_size(size));
    if (to != NULL)
        out->size += (size_t)(qt_base64_encode(data, size, to) - to);
    qt_bytes_char(out, '"');
}

/* The shortest of a few forms that reads back as the same number. */
static void put_float(struct qt_bytes *out, double value, bool narrow)
{
    char text[40];

    if (!isfinite(value)) {
        qt_bytes_text(out, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    for (int digits = narrow ? 6 : 15; digits <= 17; digits++) {
        double back;

        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        back = strtod(text, NULL);
        if (narrow ? (float)back == (float)value : back == value)
            break;
    }
    qt_bytes_text(out, text);
    if (strpbrk(text, ".e") == NULL)
        qt_bytes_text(out, ".0");
}

/* The sign apart: the smallest integer has no positive twin in 64 bits. */
static void put_number(struct qt_bytes *out, uint64_t number, bool negative)
{
    char text[QT_NUMBER_MAX];

    if (negative)
        qt_bytes_char(out, '-');
    qt_bytes_put(out, text, (size_t)(qt_number_put(text, number) - text));
}

/* "ext 5 AQI=": the type and the bytes; what they mean, only their program knows. */
static void put_extension(struct qt_bytes *out, const msgpack_object_ext *extension)
{
    char before[24];

    (void)snprintf(before, sizeof(before), "ext %d ", extension->type);
    put_base64(out, before, extension->ptr, extension->size);
}

static void put_scalar(struct qt_bytes *out, const msgpack_object *object)
{
    switch (object->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        qt_bytes_text(out, object->via.boolean ? "true" : "false");
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        put_number(out, object->via.u64, false);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        put_number(out, UINT64_C(0) - (uint64_t)object->via.i64, true);
        break;
    case MSGPACK_OBJECT_FLOAT32:
        put_float(out, object->via.f64, true);
        break;
    case MSGPACK_OBJECT_FLOAT64:
        put_float(out, object->via.f64, false);
        break;
    case MSGPACK_OBJECT_STR:
        put_string(out, object->via.str.ptr, object->via.str.size);
        break;
    case MSGPACK_OBJECT_BIN:
        put_base64(out, "", object->via.bin.ptr, object->via.bin.size);
        break;
    case MSGPACK_OBJECT_EXT:
        put_extension(out, &object->via.ext);
        break;
    default:
        qt_bytes_text(out, "null");
        break;
    }
}

/* Does put_scalar() print a text, with its quotes? */
static bool is_text(const msgpack_object *object)
{
    switch (object->type) {
    case MSGPACK_OBJECT_STR:
    case MSGPACK_OBJECT_BIN:
    case MSGPACK_OBJECT_EXT:
        return true;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return !isfinite(object->via.f64);
    default:
        return false;
    }
}

/* A name must be a text in JSON; an array or map as a name is only told to be one. */
static void put_key(struct qt_bytes *out, const msgpack_object *key)
{
    const char *quote = is_text(key) ? "" : "\"";

    qt_bytes_text(out, quote);
    if (key->type == MSGPACK_OBJECT_MAP)
        qt_bytes_text(out, "(map)");
    else if (key->type == MSGPACK_OBJECT_ARRAY)
        qt_bytes_text(out, "(array)");
    else
        put_scalar(out, key);
    qt_bytes_text(out, quote);
    qt_bytes_char(out, ':');
}

/* A scalar is printed, a container opened. Returns: 0, or -1 if it is too deep. */
static int put_object(struct walk *walk, const msgpack_object *object)
{
    struct level level = {0};

    assert(object != NULL);
    if (object->type == MSGPACK_OBJECT_ARRAY) {
        level.items = object->via.array.ptr;
        level.count = object->via.array.size;
        qt_bytes_char(walk->out, '[');
    } else if (object->type == MSGPACK_OBJECT_MAP) {
        level.pairs = object->via.map.ptr;
        level.count = object->via.map.size;
        qt_bytes_char(walk->out, '{');
    } else {
        put_scalar(walk->out, object);
        return 0;
    }
    if (level.count == 0) {
        qt_bytes_char(walk->out, object->type == MSGPACK_OBJECT_MAP ? '}' : ']');
        return 0;
    }
    if (walk->depth == LEVELS_MAX)
        return -1;
    walk->levels[walk->depth++] = level;
    return 0;
}

/* Down at an opening, up at the end of a level: the depth is walk->depth, not the C stack. */
static int put_all(struct walk *walk, const msgpack_object *root)
{
    int rc = put_object(walk, root);

    while (rc == 0 && walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];
        uint32_t at = level->done;

        if (at == level->count) {
            qt_bytes_char(walk->out, level->pairs != NULL ? '}' : ']');
            walk->depth--;
            continue;
        }
        if (at > 0)
            qt_bytes_char(walk->out, ',');
        level->done++;
        if (level->pairs != NULL) {
            put_key(walk->out, &level->pairs[at].key);
            rc = put_object(walk, &level->pairs[at].val);
        } else {
            rc = put_object(walk, &level->items[at]);
        }
    }
    return rc;
}

int qt_msgpack_json(const void *data, size_t size, struct qt_bytes *out)
{
    msgpack_unpacked unpacked;
    struct walk walk = {.out = out};
    size_t offset = 0;
    int rc = -1;

    assert(out != NULL);
    if (!is_whole(data, size))
        return -1;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, data, size, &offset) == MSGPACK_UNPACK_SUCCESS &&
        offset == size)
        rc = put_all(&walk, &unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
    return rc < 0 || out->failed ? -1 : 0;
}
