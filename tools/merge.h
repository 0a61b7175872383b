/* merge.h - JSON merge patch (RFC 7386) on JSON text: numbers and strings stay as they were
 * written.
 *
 * The state is a tree: an object is a node with children in their order, anything else a node with
 * its text. All nodes are found by (parent, name) in one hash table. No recursion: going down is
 * following the patch's text, going up is following `parent`. */
#ifndef QT_MERGE_H
#define QT_MERGE_H

#include "bytes.h"
#include "json.h"

#include <stdbool.h>
#include <stddef.h>

struct qt_merge_node;

struct qt_merge {
    struct qt_merge_node *root; /* NULL before the first patch: an empty object */
    struct qt_merge_node **buckets;
    size_t bucket_count; /* a power of two, or 0 */
    size_t node_count;   /* of those in the table */
};

/* Merge `patch`, one checked JSON value, into a zeroed or earlier merged state.
 *
 * Returns: 0, or -1 if memory is out. */
int qt_merge_apply(struct qt_merge *merge, struct qt_span patch);

/* Append the root's member of this name, written as in `key` or with other escapes, as compact
 * JSON. A root that is no object has no members.
 *
 * Returns: 1; 0 if there is none; -1 if memory is out. */
int qt_merge_member(const struct qt_merge *merge, struct qt_span key, struct qt_bytes *out);

/* The state is an object: also before the first patch. */
bool qt_merge_is_object(const struct qt_merge *merge);

/* Append the state as compact JSON. With `lines`, each member of the root has a line of its own.
 *
 * Returns: 0, or -1 if memory is out. */
int qt_merge_put(const struct qt_merge *merge, struct qt_bytes *out, int lines);

void qt_merge_release(struct qt_merge *merge);

#endif
