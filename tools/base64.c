/* base64.c - three bytes are four characters; knows nothing else.
 *
 *     aaaaaaaa bbbbbbbb cccccccc  ->  aaaaaa aabbbb bbbbcc cccccc
 *
 * One byte at the end is two characters and "==", two bytes are three and "=". */
#include "base64.h"

#include <stdint.h>

/* The last one is the padding. */
static const char alphabet[66] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

size_t qt_base64_size(size_t size)
{
    return (size + 2) / 3 * 4;
}

char *qt_base64_encode(const void *data, size_t size, char *to)
{
    const uint8_t *bytes = data;

    for (; size >= 3; size -= 3, bytes += 3) {
        uint32_t word = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];

        *to++ = alphabet[word >> 18];
        *to++ = alphabet[word >> 12 & 63];
        *to++ = alphabet[word >> 6 & 63];
        *to++ = alphabet[word & 63];
    }
    if (size > 0) {
        uint32_t word = (uint32_t)bytes[0] << 16 | (size == 2 ? (uint32_t)bytes[1] << 8 : 0);

        *to++ = alphabet[word >> 18];
        *to++ = alphabet[word >> 12 & 63];
        *to++ = alphabet[size == 2 ? word >> 6 & 63 : 64];
        *to++ = '=';
    }
    return to;
}

/* What a character stands for, or -1; also for '=', which quantum() counts itself. */
static int32_t digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* Four characters, the last `padding` of them '='. Returns: their 24 bits, or -1. */
static int32_t quantum(const char *text, int padding)
{
    int32_t word = 0;

    for (int i = 0; i < 4; i++) {
        int32_t value = i < 4 - padding ? digit(text[i]) : 0;

        if (value < 0)
            return -1;
        word = word << 6 | value;
    }
    if ((padding == 1 && (word & 0xff) != 0) || (padding == 2 && (word & 0xffff) != 0))
        return -1;
    return word;
}

int qt_base64_decode(const char *text, size_t size, void *to, size_t *decoded)
{
    uint8_t *bytes = to;
    int padding = 0;

    *decoded = size / 4 * 3;
    if (size % 4 != 0)
        return -1;
    if (size > 0 && text[size - 1] == '=')
        padding = text[size - 2] == '=' ? 2 : 1;
    for (size_t i = 0; i < size; i += 4) {
        int last = i + 4 == size ? padding : 0;
        int32_t word = quantum(text + i, last);

        if (word < 0)
            return -1;
        *bytes++ = (uint8_t)(word >> 16);
        if (last < 2)
            *bytes++ = (uint8_t)(word >> 8 & 0xff);
        if (last < 1)
            *bytes++ = (uint8_t)(word & 0xff);
    }
    *decoded -= (size_t)padding;
    return 0;
}
