/* text.h - text of events on a terminal: nothing in it may act as a command to the terminal.
 *
 * Control characters (C0, DEL), bytes that are no UTF-8: \xNN. C1 controls, and what turns the
 * direction of text or breaks lines: \u{..}. Everything else is printed as it is. */
#ifndef QT_TEXT_H
#define QT_TEXT_H

#include "bytes.h"
#include "out.h"

#include <stdbool.h>
#include <stddef.h>

#define QT_TEXT_PIECE_MAX 12 /* the longest escape: \u{10ffff} */

void qt_text_put(struct qt_out *out, const char *text, size_t size);

/* The same into memory, for messages. */
void qt_text_bytes(struct qt_bytes *bytes, const char *text, size_t size);

/* The same for checked JSON: what must not reach the terminal becomes \uNNNN, so it stays JSON. */
void qt_text_json(struct qt_out *out, const char *text, size_t size);

/* UTF-8 as a JSON string with its quotes, in the same way. */
void qt_text_string(struct qt_out *out, const char *text, size_t size);

/* The columns that qt_text_put() takes for it, one for each code point. */
size_t qt_text_width(const char *text, size_t size);

/* qt_text_put(), then blanks up to `width` columns. */
void qt_text_padded(struct qt_out *out, const char *text, size_t size, size_t width);

/* A number at the right of `width` columns; grouped: with a blank before each three digits. */
void qt_text_right(struct qt_out *out, uint64_t number, size_t width);
void qt_text_grouped(struct qt_out *out, uint64_t number, size_t width);

/* The longest beginning of `text` with at most `most` bytes that ends between two code points. */
size_t qt_text_cut(const char *text, size_t size, size_t most);

/* Columns of the terminal behind `fd`, or 0 if it is none. */
size_t qt_text_columns(int fd);

#endif
