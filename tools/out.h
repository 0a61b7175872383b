/* out.h - standard output, buffered here and not by stdio: a dump writes a million lines a second.
 *
 * Writing never fails in the middle of a line: the first error is kept in `failed`, what comes
 * after it is dropped, and long loops look at `failed` now and then. */
#ifndef QT_OUT_H
#define QT_OUT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QT_OUT_BYTES    ((size_t)128 * 1024) /* fits a second-level cache */
#define QT_OUT_ROOM_MAX 8192                 /* the most that qt_out_room() gives at once */

struct qt_out {
    int fd;
    int stop_fd; /* once it is readable, a write that would wait is given up; -1: none */
    int failed;  /* errno of the first write that failed; ECANCELED: given up; 0: none */
    bool color;
    size_t used;
    char *buffer;
};

/* Returns: 0, or -1 if memory is out. */
int qt_out_init(struct qt_out *out, int fd);
void qt_out_release(struct qt_out *out);

/* Nobody wants any more: a write has failed, or stop_fd is readable, which then counts as such. */
bool qt_out_stopped(struct qt_out *out);

void qt_out_flush(struct qt_out *out);
void qt_out_put(struct qt_out *out, const void *data, size_t size);
void qt_out_text(struct qt_out *out, const char *text);
void qt_out_number(struct qt_out *out, uint64_t number);

/* `text` as a JSON string with its quotes. It is UTF-8, or it could not have been stored. */
void qt_out_json(struct qt_out *out, const char *text, size_t size);

/* `,"name":` before the value of a member that is not the first. */
void qt_out_key(struct qt_out *out, const char *name);

/* Switch an attribute on ("1" bold, "2" dim ...) and all of them off, if there are colours. */
void qt_out_style(struct qt_out *out, const char *code);
void qt_out_plain(struct qt_out *out);

/* At least `size` free bytes: write there, then tell qt_out_took() where the writing ended. */
static inline char *qt_out_room(struct qt_out *out, size_t size)
{
    assert(size <= QT_OUT_ROOM_MAX);
    if (size > QT_OUT_BYTES - out->used)
        qt_out_flush(out);
    return out->buffer + out->used;
}

static inline void qt_out_took(struct qt_out *out, const char *end)
{
    out->used = (size_t)(end - out->buffer);
    assert(out->used <= QT_OUT_BYTES);
}

static inline void qt_out_char(struct qt_out *out, char c)
{
    char *to = qt_out_room(out, 1);

    *to = c;
    qt_out_took(out, to + 1);
}

#endif
