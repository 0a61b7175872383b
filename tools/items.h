/* items.h - a list of the library's, copied: one that is left open keeps pages of the store, and
 * whoever reads our output may be a person with a pager. */
#ifndef QT_ITEMS_H
#define QT_ITEMS_H

#include "bytes.h"
#include "command.h"
#include "quipu.h"

struct qt_items {
    struct qt_bytes texts; /* what the items' pointers point into */
    struct qt_bytes items; /* quipu_item */
    size_t count;
    bool cut; /* there are more than the limit let through */
};

/* Copy at most `limit` items of a kind of list. After a failure those before it are there. Release
 * them in any case.
 *
 * Returns: 0, or a status with run->problem. */
int qt_items_take(struct qt_run *run, quipu *store, int kind, const char *prefix, uint64_t limit,
                  struct qt_items *items);
void qt_items_release(struct qt_items *items);

const quipu_item *qt_items_at(const struct qt_items *items, size_t i);

/* The one of this very name; NULL: there is none. */
const quipu_item *qt_items_find(const struct qt_items *items, const char *name);

#endif
