/* base64.h - RFC 4648 with padding: the exact form of data that is no JSON. */
#ifndef QT_BASE64_H
#define QT_BASE64_H

#include <stddef.h>

/* Characters for `size` bytes, without a 0. */
size_t qt_base64_size(size_t size);

/* Encode `size` bytes. Returns: the end of what was written. */
char *qt_base64_encode(const void *data, size_t size, char *to);

/* Decode into `to`, which has size / 4 * 3 bytes. Padding is required, and its spare bits are 0, so
 * that no two texts mean the same bytes.
 *
 * Returns: 0 with `*decoded` bytes, or -1. */
int qt_base64_decode(const char *text, size_t size, void *to, size_t *decoded);

#endif
