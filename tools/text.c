/* text.c - the plain beginning of a text is found and copied at once; the rest goes piece by piece.
 *
 * "Plain" is printable ASCII. A piece is one code point, or one byte that begins none, and is
 * decided alone, so that two harmless halves cannot become something else where they are cut. The
 * backslash itself is not escaped: this is for eyes; what programs read is --json. */
#include "text.h"

#include "number.h"
#include "utf8.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ONES UINT64_C(0x0101010101010101)

static inline bool is_plain(char c)
{
    return (unsigned char)(c - 0x20) < 0x5f;
}

/* Eight bytes at a time: a byte below 0x20 borrows, 0x7f carries, one above has its high bit set.
 * Borrow and carry reach other bytes only from one that is not plain itself. */
static inline size_t plain_size(const char *text, size_t size)
{
    size_t at = 0;

    while (size - at >= 8) {
        uint64_t word;

        memcpy(&word, text + at, sizeof(word));
        if ((((word - ONES * 0x20) | (word + ONES) | word) & ONES * 0x80) != 0)
            break;
        at += 8;
    }
    while (at < size && is_plain(text[at]))
        at++;
    return at;
}

/* One code point, or one byte that is none, as it may be printed. `json`: as JSON's own escape.
 *
 * Returns: the bytes written to `to`; `*taken` of `text` are done. */
static size_t piece(const char *text, size_t size, bool json, char to[QT_TEXT_PIECE_MAX],
                    size_t *taken)
{
    uint32_t code = (unsigned char)*text;
    int written;

    *taken = qt_utf8_decode(text, size, &code);
    if (*taken > 0 && !qt_utf8_hostile(code)) {
        memcpy(to, text, *taken);
        return *taken;
    }
    if (json)
        written = snprintf(to, QT_TEXT_PIECE_MAX, "\\u%04x", code);
    else if (*taken > 1)
        written = snprintf(to, QT_TEXT_PIECE_MAX, "\\u{%x}", code);
    else
        written = snprintf(to, QT_TEXT_PIECE_MAX, "\\x%02x", code);
    if (*taken == 0)
        *taken = 1;
    return (size_t)written;
}

/* Into the output: no piece is longer than what qt_out_room() gives. */
static void put(struct qt_out *out, const char *text, size_t size, bool json)
{
    while (size > 0) {
        size_t taken = plain_size(text, size);

        qt_out_put(out, text, taken);
        if (taken < size) {
            size_t special;
            char *to = qt_out_room(out, QT_TEXT_PIECE_MAX);

            qt_out_took(out, to + piece(text + taken, size - taken, json, to, &special));
            taken += special;
        }
        text += taken;
        size -= taken;
    }
}

void qt_text_put(struct qt_out *out, const char *text, size_t size)
{
    put(out, text, size, false);
}

void qt_text_json(struct qt_out *out, const char *text, size_t size)
{
    put(out, text, size, true);
}

void qt_text_string(struct qt_out *out, const char *text, size_t size)
{
    size_t done = 0;

    qt_out_char(out, '"');
    for (size_t at = 0; at < size; at++) {
        if (text[at] != '"' && text[at] != '\\')
            continue;
        put(out, text + done, at - done, true);
        qt_out_char(out, '\\');
        done = at; /* the mark itself goes out with what follows it */
    }
    put(out, text + done, size - done, true);
    qt_out_char(out, '"');
}

void qt_text_bytes(struct qt_bytes *bytes, const char *text, size_t size)
{
    while (size > 0) {
        char to[QT_TEXT_PIECE_MAX];
        size_t taken;
        size_t written = piece(text, size, false, to, &taken);

        qt_bytes_put(bytes, to, written);
        text += taken;
        size -= taken;
    }
}

size_t qt_text_width(const char *text, size_t size)
{
    size_t width = plain_size(text, size);

    for (size_t at = width; at < size;) {
        char to[QT_TEXT_PIECE_MAX];
        size_t taken;
        size_t written = piece(text + at, size - at, false, to, &taken);

        /* What was not escaped is one code point; an escape is as wide as it is long. */
        width += written == taken && memcmp(to, text + at, taken) == 0 ? 1 : written;
        at += taken;
    }
    return width;
}

static void blanks(struct qt_out *out, size_t count)
{
    while (count > 0) {
        size_t some = count < QT_OUT_ROOM_MAX ? count : QT_OUT_ROOM_MAX;
        char *to = qt_out_room(out, some);

        memset(to, ' ', some);
        qt_out_took(out, to + some);
        count -= some;
    }
}

void qt_text_padded(struct qt_out *out, const char *text, size_t size, size_t width)
{
    size_t columns = qt_text_width(text, size);

    put(out, text, size, false);
    if (columns < width)
        blanks(out, width - columns);
}

void qt_text_right(struct qt_out *out, uint64_t number, size_t width)
{
    char digits[QT_NUMBER_MAX];
    size_t size = (size_t)(qt_number_put(digits, number) - digits);

    if (size < width)
        blanks(out, width - size);
    qt_out_put(out, digits, size);
}

void qt_text_grouped(struct qt_out *out, uint64_t number, size_t width)
{
    char grouped[QT_GROUPED_MAX];
    size_t size = strlen(qt_number_grouped(number, grouped));

    if (size < width)
        blanks(out, width - size);
    qt_out_put(out, grouped, size);
}

size_t qt_text_cut(const char *text, size_t size, size_t most)
{
    if (size <= most)
        return size;
    while (most > 0 && ((unsigned char)text[most] & 0xc0) == 0x80)
        most--;
    return most;
}

size_t qt_text_columns(int fd)
{
    struct winsize window;

    if (!isatty(fd) || ioctl(fd, TIOCGWINSZ, &window) != 0)
        return 0;
    return window.ws_col;
}
