/* input.c - read(2) into a buffer that grows only for a line that does not fit.
 *
 *     buffer  |  done  |  searched for a line end  |  not yet  |  free  |
 *                    begin                       seen         end   capacity
 *
 * Invariant: begin <= seen <= end <= capacity. What was searched is not searched again, so a line
 * of n bytes costs n, however small the pieces are in which it comes. */
#include "input.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 * 1024)

int qt_input_open(const char *path, struct qt_problem *problem)
{
    int fd;

    if (path == NULL || strcmp(path, "-") == 0)
        return STDIN_FILENO;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return qt_problem_say(problem, errno == ENOENT ? QUIPU_NOT_FOUND : QUIPU_SYSTEM,
                              "%.300s: %s", path, strerror(errno));
    return fd;
}

int qt_input_whole(const char *path, struct qt_bytes *bytes, struct qt_problem *problem)
{
    int fd = qt_input_open(path, problem);
    ssize_t got = 1;
    int rc = 0;

    if (fd < 0)
        return fd;
    while (got != 0 && rc == 0) {
        char *to = qt_bytes_room(bytes, READ_BYTES);

        if (to == NULL) {
            rc = qt_problem_say(problem, QUIPU_NO_MEMORY, "%.300s: out of memory", path);
            break;
        }
        got = read(fd, to, READ_BYTES);
        if (got > 0)
            bytes->size += (size_t)got;
        else if (got < 0 && errno != EINTR)
            rc = qt_problem_say(problem, QUIPU_SYSTEM, "%.300s: %s", path, strerror(errno));
        if (rc == 0 && bytes->size > QT_LINE_BYTES_MAX)
            rc = qt_problem_say(problem, QUIPU_TOO_LARGE, "%.300s: over 128 MiB", path);
    }
    if (fd != STDIN_FILENO)
        close(fd);
    return rc;
}

/* Room after what is there: by moving it to the front, else by growing. */
static enum qt_line_result make_room(struct qt_lines *lines)
{
    size_t kept = lines->end - lines->begin;
    char *buffer;

    if (lines->begin > 0) {
        memmove(lines->buffer, lines->buffer + lines->begin, kept);
        lines->seen -= lines->begin;
        lines->begin = 0;
        lines->end = kept;
    }
    if (lines->capacity - lines->end >= READ_BYTES)
        return QT_LINE_ROW;
    if (lines->capacity > QT_LINE_BYTES_MAX)
        return QT_LINE_TOO_LONG;
    buffer = realloc(lines->buffer, lines->capacity == 0 ? 2 * READ_BYTES : 2 * lines->capacity);
    if (buffer == NULL) {
        lines->failed = ENOMEM;
        return QT_LINE_FAILED;
    }
    lines->buffer = buffer;
    lines->capacity = lines->capacity == 0 ? 2 * READ_BYTES : 2 * lines->capacity;
    return QT_LINE_ROW;
}

/* Wait for input, or for the interrupt. */
static enum qt_line_result wait_for_input(struct qt_lines *lines, int idle_ms)
{
    struct pollfd fds[2] = {
        {.fd = lines->interrupt_fd, .events = POLLIN},
        {.fd = lines->fd, .events = POLLIN},
    };
    int rc = poll(fds, 2, idle_ms);

    if (rc < 0 && errno != EINTR) {
        lines->failed = errno;
        return QT_LINE_FAILED;
    }
    if (rc > 0 && fds[0].revents != 0)
        return QT_LINE_INTERRUPTED;
    return rc > 0 ? QT_LINE_ROW : QT_LINE_IDLE;
}

/* More bytes into the buffer. */
static enum qt_line_result fill(struct qt_lines *lines, int idle_ms)
{
    enum qt_line_result result = wait_for_input(lines, idle_ms);
    ssize_t got;

    if (result != QT_LINE_ROW)
        return result;
    result = make_room(lines);
    if (result != QT_LINE_ROW)
        return result;
    got = read(lines->fd, lines->buffer + lines->end, lines->capacity - lines->end);
    if (got < 0) {
        if (errno == EINTR || errno == EAGAIN)
            return QT_LINE_IDLE;
        lines->failed = errno;
        return QT_LINE_FAILED;
    }
    lines->ended = got == 0;
    lines->end += (size_t)got;
    lines->bytes += (uint64_t)got;
    return QT_LINE_ROW;
}

/* The line that ends before `end`; a byte order mark can only stand at the start of the first. */
static void take_line(struct qt_lines *lines, size_t end, struct qt_span *line)
{
    line->text = lines->buffer + lines->begin;
    line->size = end - lines->begin;
    lines->number++;
    if (line->size > 0 && line->text[line->size - 1] == '\r')
        line->size--;
    if (lines->number == 1 && line->size >= 3 && memcmp(line->text, "\xef\xbb\xbf", 3) == 0) {
        line->text += 3;
        line->size -= 3;
    }
}

enum qt_line_result qt_lines_next(struct qt_lines *lines, int idle_ms, struct qt_span *line)
{
    assert(lines->begin <= lines->seen && lines->seen <= lines->end);
    for (;;) {
        enum qt_line_result result;
        const char *found = NULL;

        if (lines->seen < lines->end)
            found = memchr(lines->buffer + lines->seen, '\n', lines->end - lines->seen);
        if (found != NULL) {
            size_t at = (size_t)(found - lines->buffer);

            take_line(lines, at, line);
            lines->begin = at + 1;
            lines->seen = at + 1;
            return QT_LINE_ROW;
        }
        lines->seen = lines->end;
        if (lines->end - lines->begin > QT_LINE_BYTES_MAX)
            return QT_LINE_TOO_LONG;
        if (lines->ended) {
            if (lines->begin == lines->end)
                return QT_LINE_END;
            take_line(lines, lines->end, line);
            lines->begin = lines->end;
            return QT_LINE_ROW;
        }
        result = fill(lines, idle_ms);
        if (result != QT_LINE_ROW)
            return result;
    }
}

bool qt_line_blank(struct qt_span line)
{
    for (size_t i = 0; i < line.size; i++)
        if (line.text[i] != ' ' && line.text[i] != '\t' && line.text[i] != '\r')
            return false;
    return true;
}

void qt_lines_release(struct qt_lines *lines)
{
    if (lines->fd > STDIN_FILENO)
        close(lines->fd);
    free(lines->buffer);
    *lines = (struct qt_lines){.interrupt_fd = -1};
}
