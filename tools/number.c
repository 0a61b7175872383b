/* number.c - decimal digits two at a time; what people read is grouped and rounded.
 *
 * A dump prints some six numbers for each event, two of them times: a division by ten for each
 * digit would be a tenth of all its time. */
#include "number.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* "00" to "99", one after another. */
static const char pairs[201] = "00010203040506070809101112131415161718192021222324"
                               "25262728293031323334353637383940414243444546474849"
                               "50515253545556575859606162636465666768697071727374"
                               "75767778798081828384858687888990919293949596979899";

unsigned qt_number_digits(uint64_t number)
{
    unsigned digits = 1;

    while (number >= 10) {
        number /= 10;
        digits++;
    }
    return digits;
}

char *qt_number_put(char *to, uint64_t number)
{
    char text[QT_NUMBER_MAX];
    char *at = text + sizeof(text);
    size_t size;

    while (number >= 100) {
        at -= 2;
        memcpy(at, pairs + number % 100 * 2, 2);
        number /= 100;
    }
    if (number >= 10) {
        at -= 2;
        memcpy(at, pairs + number * 2, 2);
    } else {
        *--at = (char)('0' + number);
    }
    size = (size_t)(text + sizeof(text) - at);
    memcpy(to, at, size);
    return to + size;
}

char *qt_number_padded(char *to, uint32_t number, unsigned digits)
{
    char *end = to + digits;
    char *at = end;

    assert(digits <= QT_NUMBER_MAX);
    while (at - to >= 2) {
        at -= 2;
        memcpy(at, pairs + (size_t)(number % 100) * 2, 2);
        number /= 100;
    }
    if (at != to)
        *to = (char)('0' + number % 10);
    return end;
}

int qt_number_parse(const char *text, uint64_t *number)
{
    uint64_t value = 0;

    if (*text == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        unsigned digit = (unsigned)(unsigned char)*text - '0'; /* huge for what is no digit */

        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return -1;
        value = value * 10 + digit;
    }
    *number = value;
    return 0;
}

const char *qt_number_grouped(uint64_t number, char out[QT_GROUPED_MAX])
{
    char digits[QT_NUMBER_MAX];
    size_t count = (size_t)(qt_number_put(digits, number) - digits);
    char *to = out;

    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            *to++ = ' ';
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

const char *qt_number_amount(uint64_t bytes, char out[QT_AMOUNT_MAX])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes / 1000;
    size_t unit = 0;

    if (bytes < 1000) {
        (void)snprintf(out, QT_AMOUNT_MAX, "%" PRIu64 " bytes", bytes);
        return out;
    }
    while (value >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1000;
        unit++;
    }
    (void)snprintf(out, QT_AMOUNT_MAX, value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

const char *qt_number_age(uint64_t seconds, char out[QT_AMOUNT_MAX])
{
    char grouped[QT_GROUPED_MAX];

    if (seconds < 120)
        (void)snprintf(out, QT_AMOUNT_MAX, "%" PRIu64 " s", seconds);
    else if (seconds < (uint64_t)120 * 60)
        (void)snprintf(out, QT_AMOUNT_MAX, "%" PRIu64 " min", seconds / 60);
    else if (seconds < (uint64_t)48 * 3600)
        (void)snprintf(out, QT_AMOUNT_MAX, "%" PRIu64 " h", seconds / 3600);
    else
        (void)snprintf(out, QT_AMOUNT_MAX, "%s d", qt_number_grouped(seconds / 86400, grouped));
    return out;
}

void qt_number_hex16(uint64_t number, char out[17])
{
    (void)snprintf(out, 17, "%016" PRIx64, number);
}
