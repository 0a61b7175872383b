/* steps.h - what each event of a stream changed in the stream's state: state --steps. */
#ifndef QT_STEPS_H
#define QT_STEPS_H

#include "bytes.h"
#include "json.h"
#include "merge.h"
#include "out.h"
#include "quipu.h"
#include "stamp.h"

#include <stdbool.h>
#include <stddef.h>

struct qt_steps {
    struct qt_out *out;
    bool json;
    size_t version_width;
    size_t type_width;
    /* private */
    struct qt_merge before; /* the state as of the event before */
    struct qt_bytes from;
    struct qt_bytes to;
    struct qt_bytes patch;
    struct qt_stamp stamp;
    size_t changes; /* of this event so far */
    char mark;      /* of the last of them */
};

/* Widen the columns for an event that will come. */
void qt_steps_fit(struct qt_steps *steps, const quipu_event *event);

/* Print what `event` changed: `patch`, checked JSON or nothing, has led to the state `after`.
 *
 * Returns: 0, or -1 if memory is out. */
int qt_steps_put(struct qt_steps *steps, const quipu_event *event, struct qt_span patch,
                 const struct qt_merge *after);

void qt_steps_release(struct qt_steps *steps);

#endif
