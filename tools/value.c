/* value.c - no view says what its values are, so that they are looked at one by one. */
#include "value.h"

#include "base64.h"
#include "msgpack_json.h"
#include "text.h"
#include "utf8.h"

#include <string.h>

enum form { NONE, JSON, MSGPACK, TEXT, BINARY };

/* A number alone would be msgpack too: so is each byte below 128. */
static bool begins_msgpack(struct qt_span value)
{
    unsigned char first = (unsigned char)value.text[0];

    return (first >= 0x80 && first <= 0x9f) || (first >= 0xdc && first <= 0xdf);
}

/* UTF-8 that can be read and typed: nothing in it is for a terminal, but, with `lines`, tabs and
 * ends of lines. */
static bool is_text(struct qt_span bytes, bool lines)
{
    for (size_t at = 0; at < bytes.size;) {
        uint32_t code;
        size_t size = qt_utf8_decode(bytes.text + at, bytes.size - at, &code);

        if (size == 0)
            return false;
        if (qt_utf8_hostile(code) && !(lines && (code == '\n' || code == '\t' || code == '\r')))
            return false;
        at += size;
    }
    return true;
}

static enum form form_of(struct qt_bytes *scratch, struct qt_span value)
{
    struct qt_json json;

    if (value.size == 0)
        return NONE;
    if (qt_json_whole(&json, value.text, value.size) == 0)
        return JSON;
    if (begins_msgpack(value)) {
        qt_bytes_clear(scratch);
        if (qt_msgpack_json(value.text, value.size, scratch) == 0)
            return MSGPACK;
    }
    return is_text(value, true) ? TEXT : BINARY;
}

/* In pieces, as line.c does. */
static void put_base64(struct qt_out *out, struct qt_span bytes)
{
    enum { PIECE = 3 * 1024 };

    qt_out_char(out, '"');
    while (bytes.size > 0) {
        size_t piece = bytes.size < PIECE ? bytes.size : PIECE;
        char *to = qt_out_room(out, qt_base64_size(PIECE));

        qt_out_took(out, qt_base64_encode(bytes.text, piece, to));
        bytes.text += piece;
        bytes.size -= piece;
    }
    qt_out_char(out, '"');
}

/* Checked JSON, without its white space. */
static void put_json(struct qt_out *out, struct qt_span json)
{
    struct qt_span run;

    while (qt_json_run(&json, &run) > 0)
        qt_text_json(out, run.text, run.size);
}

void qt_value_key(struct qt_out *out, struct qt_span key)
{
    if (qt_utf8_whole(key.text, key.size)) {
        qt_out_text(out, "\"key\":");
        qt_text_string(out, key.text, key.size);
    } else {
        qt_out_text(out, "\"key_base64\":");
        put_base64(out, key);
    }
}

static void put_name(struct qt_out *out, const char *name, const char *suffix)
{
    qt_out_text(out, ",\"");
    qt_out_text(out, name);
    qt_out_text(out, suffix);
    qt_out_text(out, "\":");
}

void qt_value_member(struct qt_out *out, struct qt_bytes *scratch, const char *name,
                     struct qt_span value)
{
    switch (form_of(scratch, value)) {
    case NONE:
        break;
    case JSON:
        put_name(out, name, "");
        put_json(out, value);
        break;
    case MSGPACK:
        put_name(out, name, "");
        put_json(out, (struct qt_span){scratch->data, scratch->size});
        put_name(out, name, "_msgpack");
        put_base64(out, value);
        break;
    default:
        put_name(out, name, "_base64");
        put_base64(out, value);
        break;
    }
}

/* ---- for people ---- */

static void put_hex(struct qt_out *out, struct qt_span bytes, size_t width)
{
    static const char digits[] = "0123456789abcdef";
    size_t most = width > 4 && bytes.size > width / 2 - 2 ? width / 2 - 2 : bytes.size;

    qt_out_text(out, "0x");
    for (size_t i = 0; i < most; i++) {
        unsigned char byte = (unsigned char)bytes.text[i];

        qt_out_char(out, digits[byte >> 4]);
        qt_out_char(out, digits[byte & 15]);
    }
    if (most < bytes.size)
        qt_out_text(out, "..");
}

/* The beginning of it, if it is longer; what is cut is JSON no more. */
static void put_cut(struct qt_out *out, struct qt_span text, size_t width)
{
    size_t most = width > 2 ? width - 2 : 1;

    qt_text_put(out, text.text, qt_text_cut(text.text, text.size, most));
    qt_out_text(out, "..");
}

/* In memory first: without white space it may fit. */
static void put_json_cut(struct qt_out *out, struct qt_span json, size_t width)
{
    struct qt_bytes compact = {0};
    char *to = qt_bytes_room(&compact, json.size);

    if (to != NULL)
        compact.size = qt_json_compact(json, to);
    if (compact.size <= width)
        qt_text_json(out, compact.data, compact.size);
    else
        put_cut(out, (struct qt_span){compact.data, compact.size}, width);
    qt_bytes_release(&compact);
}

void qt_value_text(struct qt_out *out, struct qt_bytes *scratch, struct qt_span value, size_t width)
{
    enum form form = form_of(scratch, value);

    if (form == MSGPACK)
        value = (struct qt_span){scratch->data, scratch->size};
    if (form == BINARY)
        put_hex(out, value, width);
    else if (form == TEXT && (width == 0 || value.size <= width))
        qt_text_put(out, value.text, value.size);
    else if (form == TEXT)
        put_cut(out, value, width);
    else if (form != NONE && (width == 0 || value.size <= width))
        put_json(out, value);
    else if (form != NONE)
        put_json_cut(out, value, width);
}

void qt_value_key_text(struct qt_out *out, struct qt_span key, size_t width)
{
    qt_text_padded(out, key.text, key.size, width);
}

/* ---- from a command line, and for one ---- */

int qt_value_read(const char *text, bool base64, struct qt_bytes *bytes)
{
    size_t size = strlen(text);
    char *to;

    if (!base64) {
        qt_bytes_put(bytes, text, size);
        return bytes->failed ? -1 : 0;
    }
    to = qt_bytes_room(bytes, size + 1);
    if (to == NULL || qt_base64_decode(text, size, to, &bytes->size) < 0)
        return -1;
    return 0;
}

void qt_value_quoted(struct qt_bytes *line, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./:@+,=%";

    if (*word != '\0' && strspn(word, plain) == strlen(word)) {
        qt_bytes_text(line, word);
        return;
    }
    qt_bytes_char(line, '\'');
    for (; *word != '\0'; word++) {
        size_t size = strcspn(word, "'");

        qt_text_bytes(line, word, size);
        word += size;
        if (*word == '\0')
            break;
        qt_bytes_text(line, "'\\''");
    }
    qt_bytes_char(line, '\'');
}

bool qt_value_word(struct qt_bytes *line, struct qt_span key)
{
    struct qt_bytes word = {0};
    bool plain = is_text(key, false);

    if (plain) {
        qt_bytes_put(&word, key.text, key.size);
        qt_bytes_char(&word, '\0');
        if (!word.failed)
            qt_value_quoted(line, word.data);
    } else {
        char *to = qt_bytes_room(line, qt_base64_size(key.size));

        if (to != NULL)
            line->size += (size_t)(qt_base64_encode(key.text, key.size, to) - to);
    }
    qt_bytes_release(&word);
    return plain;
}
