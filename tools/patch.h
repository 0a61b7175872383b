/* patch.h - what an event says about a state that is merged from its stream. */
#ifndef QT_PATCH_H
#define QT_PATCH_H

#include "bytes.h"
#include "json.h"
#include "quipu.h"

/* Its data as checked JSON: text NULL if it says nothing. What is no JSON, though its program said
 * so, says nothing.
 *
 * Memory:  the event's, or that of `scratch`, to which msgpack is rendered.
 * Returns: 0 or QUIPU_NO_MEMORY. */
int qt_patch_find(const quipu_event *event, struct qt_bytes *scratch, struct qt_span *patch);

#endif
