/* utf8.c - decoding by the table of well-formed sequences in RFC 3629; knows nothing of JSON.
 *
 *     00-7f                     c2-df 80-bf              (c0 and c1 would be overlong)
 *     e0-ef 80-bf 80-bf         f0-f4 80-bf 80-bf 80-bf  (less overlong ones, surrogates, > 10ffff)
 *
 * The callers have checked that the bytes are there. */
#include "utf8.h"

#include <assert.h>

static bool continues(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

static size_t decode2(const unsigned char *text, uint32_t *code)
{
    if (text[0] < 0xc2 || !continues(text[1]))
        return 0;
    *code = (uint32_t)(text[0] & 0x1f) << 6 | (text[1] & 0x3fU);
    return 2;
}

static size_t decode3(const unsigned char *text, uint32_t *code)
{
    uint32_t value;

    if (!continues(text[1]) || !continues(text[2]))
        return 0;
    value = (uint32_t)(text[0] & 0x0f) << 12 | (text[1] & 0x3fU) << 6 | (text[2] & 0x3fU);
    if (value < 0x800 || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code = value;
    return 3;
}

static size_t decode4(const unsigned char *text, uint32_t *code)
{
    uint32_t value;

    if (!continues(text[1]) || !continues(text[2]) || !continues(text[3]))
        return 0;
    value = (uint32_t)(text[0] & 0x07) << 18 | (text[1] & 0x3fU) << 12 | (text[2] & 0x3fU) << 6 |
            (text[3] & 0x3fU);
    if (value < 0x10000 || value > 0x10ffff)
        return 0;
    *code = value;
    return 4;
}

size_t qt_utf8_decode(const char *text, size_t size, uint32_t *code)
{
    const unsigned char *bytes = (const unsigned char *)text;

    assert(code != NULL);
    if (size == 0)
        return 0;
    if (bytes[0] < 0x80) {
        *code = bytes[0];
        return 1;
    }
    if (bytes[0] < 0xe0)
        return size < 2 ? 0 : decode2(bytes, code);
    if (bytes[0] < 0xf0)
        return size < 3 ? 0 : decode3(bytes, code);
    if (bytes[0] < 0xf8)
        return size < 4 ? 0 : decode4(bytes, code);
    return 0;
}

size_t qt_utf8_encode(uint32_t code, char *to)
{
    assert(code <= 0x10ffff);
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 0x3f));
        to[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 0x3f));
    to[2] = (char)(0x80 | (code >> 6 & 0x3f));
    to[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

bool qt_utf8_hostile(uint32_t code)
{
    if (code < 0x20)
        return true;
    if (code < 0x7f)
        return false;
    if (code <= 0x9f)
        return true;
    /* Marks, embeddings, overrides and isolates of right-to-left text; line and paragraph ends. */
    return code == 0x61c || code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

bool qt_utf8_whole(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        uint32_t code;
        size_t taken = qt_utf8_decode(text + at, size - at, &code);

        if (taken == 0)
            return false;
        at += taken;
    }
    return true;
}
