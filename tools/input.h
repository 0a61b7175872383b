/* input.h - files that are read: line by line in constant memory, or whole. */
#ifndef QT_INPUT_H
#define QT_INPUT_H

#include "bytes.h"
#include "json.h"
#include "problem.h"

#include <stdint.h>

#define QT_LINE_BYTES_MAX ((size_t)128 * 1024 * 1024) /* 64 MiB of data are 86 MiB of base64 */

enum qt_line_result {
    QT_LINE_ROW = 1,
    QT_LINE_END = 0,
    QT_LINE_IDLE = 2,         /* nothing came for a while: a good moment to commit */
    QT_LINE_INTERRUPTED = -1, /* `interrupt_fd` became readable */
    QT_LINE_FAILED = -2,      /* errno in `failed` */
    QT_LINE_TOO_LONG = -3
};

struct qt_lines {
    int fd;
    int interrupt_fd; /* -1: none */
    int failed;
    uint64_t number; /* of the line that was returned last, from 1 */
    uint64_t bytes;  /* read so far */
    bool ended;
    char *buffer;
    size_t capacity;
    size_t begin; /* of the line that comes next */
    size_t seen;  /* no line end between begin and here */
    size_t end;
};

/* Open `path` ("-" or NULL: standard input). Returns: a descriptor, or a status with `problem`. */
int qt_input_open(const char *path, struct qt_problem *problem);

/* Read a whole file. Returns: 0, or a status with `problem`. */
int qt_input_whole(const char *path, struct qt_bytes *bytes, struct qt_problem *problem);

/* The next line, without its line end, be it \n or \r\n. A byte order mark at the start is passed.
 *
 * Memory: the line lives until the next call.
 * `idle_ms` >= 0: return QT_LINE_IDLE if nothing comes for that long. */
enum qt_line_result qt_lines_next(struct qt_lines *lines, int idle_ms, struct qt_span *line);

/* An empty line, also one with a few blanks, says nothing and is no mistake. */
bool qt_line_blank(struct qt_span line);

/* Free the buffer and close the file, if it is not standard input. */
void qt_lines_release(struct qt_lines *lines);

#endif
