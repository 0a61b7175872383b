/* value.h - keys and values of views, which are any bytes: what they look like is what they are
 * shown as. JSON text is JSON; msgpack is a map or an array, and whole; all else is bytes.
 *
 * Nothing that is printed here acts on a terminal. */
#ifndef QT_VALUE_H
#define QT_VALUE_H

#include "bytes.h"
#include "json.h"
#include "out.h"

/* `"key":"..."`, or `"key_base64":"..."` if it is no UTF-8. */
void qt_value_key(struct qt_out *out, struct qt_span key);

/* `,"NAME":JSON`; of msgpack its rendering, and `,"NAME_msgpack":"base64"`; of other bytes
 * `,"NAME_base64":"..."`; of none nothing.
 *
 * Memory:  `scratch` holds what msgpack is rendered to. */
void qt_value_member(struct qt_out *out, struct qt_bytes *scratch, const char *name,
                     struct qt_span value);

/* The same for people, in at most about `width` columns (0: all of it): text as it is, other bytes
 * as 0x and hex digits. */
void qt_value_text(struct qt_out *out, struct qt_bytes *scratch, struct qt_span value,
                   size_t width);

/* A key for people, padded to `width` columns. */
void qt_value_key_text(struct qt_out *out, struct qt_span key, size_t width);

/* Bytes that were given as text, or with `base64` as that. Returns: 0, or -1: it is none, or memory
 * is out. */
int qt_value_read(const char *text, bool base64, struct qt_bytes *bytes);

/* A word of a command line, quoted for a shell if it must be, with nothing in it that acts on a
 * terminal. */
void qt_value_quoted(struct qt_bytes *line, const char *word);

/* A key as such a word, or, if nobody could type it, as base64. Returns: it is the key itself. */
bool qt_value_word(struct qt_bytes *line, struct qt_span key);

#endif
