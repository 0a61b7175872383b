/* out.c - one buffer, write(2), and the two pieces of JSON that every verb prints.
 *
 * Invariant: used <= QT_OUT_BYTES. After the first failed write `used` keeps going back to 0 and
 * the bytes are dropped: what a reader got is always a beginning of the whole, never a whole with
 * holes. */
#include "out.h"

#include "number.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int qt_out_init(struct qt_out *out, int fd)
{
    *out = (struct qt_out){.fd = fd, .stop_fd = -1, .buffer = malloc(QT_OUT_BYTES)};
    return out->buffer == NULL ? -1 : 0;
}

void qt_out_release(struct qt_out *out)
{
    free(out->buffer);
    out->buffer = NULL;
}

/* Wait until something can be written, or until nobody wants it any more. A pipe that has room has
 * room for PIPE_BUF bytes. Returns: how many bytes can be written without waiting. */
static size_t wait_for_room(struct qt_out *out, size_t size)
{
    struct pollfd ends[2] = {
        {.fd = out->fd, .events = POLLOUT},
        {.fd = out->stop_fd, .events = POLLIN},
    };

    if (poll(ends, 2, -1) > 0 && ends[0].revents == 0 && ends[1].revents != 0)
        out->failed = ECANCELED;
    return size < PIPE_BUF ? size : PIPE_BUF;
}

/* A signal may come between two bytes; anything else that goes wrong stays wrong. */
static void write_all(struct qt_out *out, const char *data, size_t size)
{
    while (size > 0 && out->failed == 0) {
        size_t piece = out->stop_fd < 0 ? size : wait_for_room(out, size);
        ssize_t written = out->failed != 0 ? 0 : write(out->fd, data, piece);

        if (written < 0) {
            if (errno != EINTR)
                out->failed = errno;
            continue;
        }
        data += written;
        size -= (size_t)written;
    }
}

bool qt_out_stopped(struct qt_out *out)
{
    struct pollfd stop = {.fd = out->stop_fd, .events = POLLIN};

    if (out->failed == 0 && out->stop_fd >= 0 && poll(&stop, 1, 0) > 0)
        out->failed = ECANCELED;
    return out->failed != 0;
}

void qt_out_flush(struct qt_out *out)
{
    assert(out->used <= QT_OUT_BYTES);
    write_all(out, out->buffer, out->used);
    out->used = 0;
}

void qt_out_put(struct qt_out *out, const void *data, size_t size)
{
    if (size > QT_OUT_BYTES - out->used) {
        qt_out_flush(out);
        if (size > QT_OUT_BYTES) {
            write_all(out, data, size);
            return;
        }
    }
    if (size > 0)
        memcpy(out->buffer + out->used, data, size);
    out->used += size;
}

void qt_out_text(struct qt_out *out, const char *text)
{
    qt_out_put(out, text, strlen(text));
}

void qt_out_number(struct qt_out *out, uint64_t number)
{
    char *to = qt_out_room(out, QT_NUMBER_MAX);

    qt_out_took(out, qt_number_put(to, number));
}

/* The escape of a byte that a JSON string must not hold as it is. */
static char *put_escaped(char *to, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";

    *to++ = '\\';
    if (c == '"' || c == '\\') {
        *to++ = (char)c;
        return to;
    }
    *to++ = 'u';
    *to++ = '0';
    *to++ = '0';
    *to++ = digits[c >> 4];
    *to++ = digits[c & 15];
    return to;
}

void qt_out_json(struct qt_out *out, const char *text, size_t size)
{
    const size_t most = 1024; /* six bytes for each at worst */

    qt_out_char(out, '"');
    while (size > 0) {
        size_t piece = size < most ? size : most;
        char *to = qt_out_room(out, 6 * most);

        for (size_t i = 0; i < piece; i++) {
            unsigned char c = (unsigned char)text[i];

            if (c < 0x20 || c == '"' || c == '\\')
                to = put_escaped(to, c);
            else
                *to++ = (char)c;
        }
        qt_out_took(out, to);
        text += piece;
        size -= piece;
    }
    qt_out_char(out, '"');
}

void qt_out_key(struct qt_out *out, const char *name)
{
    qt_out_put(out, ",\"", 2);
    qt_out_text(out, name);
    qt_out_put(out, "\":", 2);
}

void qt_out_style(struct qt_out *out, const char *code)
{
    if (!out->color)
        return;
    qt_out_put(out, "\033[", 2);
    qt_out_text(out, code);
    qt_out_char(out, 'm');
}

void qt_out_plain(struct qt_out *out)
{
    if (out->color)
        qt_out_put(out, "\033[0m", 4);
}
