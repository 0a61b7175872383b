/* builtin.h - projections that need no code: functions written against quipu.h alone, as an
 * application would write them. Their values are JSON texts. */
#ifndef QT_BUILTIN_H
#define QT_BUILTIN_H

#include "quipu.h"

/* As an option's choice, and as its help. */
#define QT_BUILTIN_NAMES "count-by-type|streams-by-category|last-by-stream|state-by-stream"

/* The built-in projection of this name, or NULL. */
const quipu_projection *qt_builtin_find(const char *name);

/* builtin_state.c: a stream's events merged, as `quipu state` does. */
int qt_builtin_state(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                     void *payload, quipu_error *error);

#endif
