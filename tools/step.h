/* step.h - a line of a batch: an event, a condition, or a number that is kept with it.
 *
 *     {"stream":"s","type":"T","data":{},"expect":3}         an event, as import reads it
 *     {"check":"s","expect":"exists"}                        a condition on a stream
 *     {"unless":["type=A tag=k:v"],"after":12}               none on any events
 *     {"track":"source","number":7}   {"mark":"name","position":12} */
#ifndef QT_STEP_H
#define QT_STEP_H

#include "bytes.h"
#include "draft.h"
#include "json.h"
#include "query.h"
#include "quipu.h"

enum qt_step_kind { QT_STEP_EVENT, QT_STEP_CHECK, QT_STEP_UNLESS, QT_STEP_TRACK, QT_STEP_MARK };

struct qt_step {
    enum qt_step_kind kind;
    const char *name;      /* of the stream, source or mark; NULL: it has none */
    uint64_t number;       /* the version expected; after; number; position */
    struct qt_query query; /* of `unless` */
    size_t column;         /* of what is wrong, in bytes from 1 */
    char error[320];
    /* private */
    struct qt_draft draft;
    struct qt_bytes text; /* strings without their escapes */
    const char *line;
    struct qt_span values[2]; /* of the two keys that a line without an event has */
};

/* Returns: 0, or -1 if memory is out. */
int qt_step_init(struct qt_step *step);
void qt_step_release(struct qt_step *step);

/* Read one line, without its line end.
 *
 * Memory:  what it points to lives until the next call, or as long as `line` does.
 * Returns: 0; a status with `error` and `column`. */
int qt_step_read(struct qt_step *step, const char *line, size_t size);

/* Add it to a batch. Returns: as the library's call; the text is the batch's. */
int qt_step_add(const struct qt_step *step, quipu_batch *batch);

#endif
