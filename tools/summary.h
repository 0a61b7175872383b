/* summary.h - the data of an event on one line for people: key=value, and +N for the rest. */
#ifndef QT_SUMMARY_H
#define QT_SUMMARY_H

#include "bytes.h"
#include "json.h"
#include "out.h"
#include "quipu.h"

/* Print as many members of the event's data as fit into `width` columns, at least one.
 *
 * Memory: `scratch` holds what msgpack is rendered to. */
void qt_summary_put(struct qt_out *out, struct qt_bytes *scratch, const quipu_event *event,
                    size_t width);

/* One JSON value, as a member of such a line: cut if it is long. */
void qt_summary_value(struct qt_out *out, struct qt_span value);

#endif
