/* query.h - texts as one query: each is an item, and items are OR-ed. */
#ifndef QT_QUERY_H
#define QT_QUERY_H

#include "quipu.h"

#include <stddef.h>

#define QT_QUERY_ITEMS_MAX 64 /* the library's limit */

struct qt_query {
    quipu_query query; /* what was added so far; points into this struct */
    quipu_query_item items[QT_QUERY_ITEMS_MAX];
    quipu_query *parsed[QT_QUERY_ITEMS_MAX]; /* what the items point into */
};

/* Add one text to a zeroed query, or to one that has some already.
 *
 * Returns: 0, or a status with `error`. */
int qt_query_add(struct qt_query *query, const char *text, quipu_error *error);

/* Empty it. */
void qt_query_clear(struct qt_query *query);

#endif
