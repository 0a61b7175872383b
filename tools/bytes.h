/* bytes.h - a byte string that grows: scratch memory that is used again and again. */
#ifndef QT_BYTES_H
#define QT_BYTES_H

#include <stdbool.h>
#include <stddef.h>

struct qt_bytes {
    char *data;
    size_t size;
    size_t capacity;
    bool failed; /* memory ran out: `data` is not whole, and every later put does nothing */
};

/* Room for `size` more bytes after the last one; the caller adds to `size` what it used.
 *
 * Returns: where to write, or NULL if memory is out. */
char *qt_bytes_room(struct qt_bytes *bytes, size_t size);

void qt_bytes_put(struct qt_bytes *bytes, const void *data, size_t size);
void qt_bytes_text(struct qt_bytes *bytes, const char *text);
void qt_bytes_char(struct qt_bytes *bytes, char c);

/* Empty, but keep the memory. */
void qt_bytes_clear(struct qt_bytes *bytes);
void qt_bytes_release(struct qt_bytes *bytes);

#endif
