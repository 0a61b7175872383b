/* line.h - an event as a line of NDJSON: the form that dump prints and import reads.
 *
 * Keys in this order, absent when empty: position stream version type time recorded id schema tags
 * data meta. Nothing in it depends on the store's file. */
#ifndef QT_LINE_H
#define QT_LINE_H

#include "bytes.h"
#include "out.h"
#include "quipu.h"
#include "stamp.h"

struct qt_line {
    struct qt_stamp time;
    struct qt_stamp recorded;
    struct qt_bytes scratch; /* what msgpack is rendered to */
};

/* Print `event`. JSON data is checked on the way: white space goes, and what is no JSON value,
 * though its program said so, is printed as base64. */
void qt_line_put(struct qt_line *line, struct qt_out *out, const quipu_event *event);

void qt_line_release(struct qt_line *line);

#endif
