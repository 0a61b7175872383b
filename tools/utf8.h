/* utf8.h - one code point at a time, and which of them a terminal must never see. */
#ifndef QT_UTF8_H
#define QT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decode the code point at `text`. Overlong forms, surrogates and what is above U+10FFFF are
 * refused.
 *
 * Returns: its length in bytes, 1 to 4, or 0 if there is no valid one. */
size_t qt_utf8_decode(const char *text, size_t size, uint32_t *code);

/* Encode `code`, also a surrogate: keys that hold half a pair can still be told apart that way.
 *
 * Returns: the bytes written, 1 to 4. */
size_t qt_utf8_encode(uint32_t code, char *to);

/* Is all of it valid? */
bool qt_utf8_whole(const char *text, size_t size);

/* A control character, or one that turns or breaks a line on a terminal. */
bool qt_utf8_hostile(uint32_t code);

#endif
