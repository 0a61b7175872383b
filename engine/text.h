/* text.h - names and UTF-8. */
#ifndef QP_TEXT_H
#define QP_TEXT_H

#include "base.h"

/* Well-formed UTF-8 (Unicode table 3-7: no overlong forms, no surrogates, at most U+10FFFF)? */
bool qp_text_utf8(const void *bytes, size_t size);

/* Is `name` NUL-terminated UTF-8 of 1 to `max` bytes without control characters (C0, DEL, C1)?
 * `*size` is its length. INVALID or TOO_LARGE with a text that calls it `what`. */
int qp_text_name(const char *name, size_t max, const char *what, size_t *size, quipu_error *error);

/* The same for a tag: a name that splits at its first ':' into two parts, neither empty. */
int qp_text_tag(const char *tag, size_t *size, quipu_error *error);

/* How many bytes of a stream's name are its category: those before the first '-', all of them if
 * there is none or it stands first. */
size_t qp_text_category(const char *stream, size_t size);

#endif
