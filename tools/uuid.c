/* uuid.c - both ways between sixteen bytes in network order and their text. */
#include "uuid.h"

#include <stdbool.h>

#define TEXT_SIZE 36

/* Between the groups of 8, 4, 4, 4 and 12 digits. */
static bool is_dash(size_t at)
{
    return at == 8 || at == 13 || at == 18 || at == 23;
}

void qt_uuid_put_bare(struct qt_out *out, const uint8_t uuid[16])
{
    static const char digits[] = "0123456789abcdef";
    char *to = qt_out_room(out, TEXT_SIZE);
    size_t digit = 0;

    for (size_t i = 0; i < TEXT_SIZE; i++) {
        if (is_dash(i)) {
            *to++ = '-';
            continue;
        }
        *to++ = digits[digit % 2 == 0 ? uuid[digit / 2] >> 4 : uuid[digit / 2] & 15];
        digit++;
    }
    qt_out_took(out, to);
}

void qt_uuid_put(struct qt_out *out, const uint8_t uuid[16])
{
    qt_out_char(out, '"');
    qt_uuid_put_bare(out, uuid);
    qt_out_char(out, '"');
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int qt_uuid_parse(const char *text, uint8_t uuid[16])
{
    size_t digit = 0;

    for (size_t i = 0; i < TEXT_SIZE; i++) {
        int value;

        if (is_dash(i)) {
            if (text[i] != '-')
                return -1;
            continue;
        }
        value = hex_value(text[i]); /* -1 at the 0 of a text that is too short */
        if (value < 0)
            return -1;
        uuid[digit / 2] = (uint8_t)(digit % 2 == 0 ? value << 4 : uuid[digit / 2] | value);
        digit++;
    }
    return text[TEXT_SIZE] == '\0' ? 0 : -1;
}
