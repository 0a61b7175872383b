/* merge.c - the tree and the patch. A patch is walked once, forward:
 *
 *     {"a":1,"b":{"c":null}}     at '{' go into the node, which is made, or made an object;
 *                                at '}' go up;
 *                                a null removes, anything else replaces
 *
 * Invariant: a node with `text` has no children. */
#include "merge.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 64

struct qt_merge_node {
    struct qt_merge_node *parent;
    struct qt_merge_node *first; /* children, in the order in which they came */
    struct qt_merge_node *last;
    struct qt_merge_node *next;
    struct qt_merge_node *previous;
    struct qt_merge_node *chain; /* the next one in the same bucket */
    uint64_t hash;
    char *text; /* NULL: an object */
    size_t text_size;
    size_t name_size; /* of the name as it means, at the beginning of `names` */
    size_t key_size;  /* of the name as it was written, after it */
    char names[];
};

typedef struct qt_merge_node node;

/* FNV-1a, begun with the parent's address: the same name in two objects is two entries. */
static uint64_t hash_name(const node *parent, const char *name, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)(uintptr_t)parent;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

/* The member of this name, as it means, or NULL. */
static node *find_child(const struct qt_merge *merge, const node *parent, const char *name,
                        size_t size)
{
    uint64_t hash = hash_name(parent, name, size);
    node *found;

    if (merge->bucket_count == 0)
        return NULL;
    found = merge->buckets[hash & (merge->bucket_count - 1)];
    while (found != NULL && !(found->hash == hash && found->parent == parent &&
                              found->name_size == size && memcmp(found->names, name, size) == 0))
        found = found->chain;
    return found;
}

/* Twice as many buckets. Returns: 0, or -1 if memory is out. */
static int widen(struct qt_merge *merge)
{
    size_t count = merge->bucket_count == 0 ? FIRST_BUCKETS : merge->bucket_count * 2;
    node **buckets = calloc(count, sizeof(node *));

    if (buckets == NULL)
        return -1;
    for (size_t i = 0; i < merge->bucket_count; i++) {
        node *next;

        for (node *moved = merge->buckets[i]; moved != NULL; moved = next) {
            next = moved->chain;
            moved->chain = buckets[moved->hash & (count - 1)];
            buckets[moved->hash & (count - 1)] = moved;
        }
    }
    free(merge->buckets);
    merge->buckets = buckets;
    merge->bucket_count = count;
    return 0;
}

/* A node that hangs nowhere yet. */
static node *new_node(struct qt_span name, struct qt_span key)
{
    node *made = calloc(1, sizeof(*made) + name.size + key.size);

    if (made == NULL)
        return NULL;
    made->name_size = name.size;
    made->key_size = key.size;
    if (name.size > 0)
        memcpy(made->names, name.text, name.size);
    if (key.size > 0)
        memcpy(made->names + name.size, key.text, key.size);
    return made;
}

/* A new child without text at the end of `parent`. Returns: NULL if memory is out. */
static node *add_child(struct qt_merge *merge, node *parent, struct qt_span name,
                       struct qt_span key)
{
    node *child;
    node **bucket;

    if (merge->node_count >= merge->bucket_count && widen(merge) < 0)
        return NULL;
    child = new_node(name, key);
    if (child == NULL)
        return NULL;
    child->hash = hash_name(parent, name.text, name.size);
    bucket = &merge->buckets[child->hash & (merge->bucket_count - 1)];
    child->chain = *bucket;
    *bucket = child;
    merge->node_count++;
    child->parent = parent;
    child->previous = parent->last;
    if (parent->last != NULL)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    return child;
}

/* Take a node without children out of its parent and the table, and free it. */
static void drop_leaf(struct qt_merge *merge, node *leaf)
{
    node **link;

    assert(leaf->first == NULL);
    if (leaf->parent != NULL) {
        link = &merge->buckets[leaf->hash & (merge->bucket_count - 1)];
        while (*link != leaf)
            link = &(*link)->chain;
        *link = leaf->chain;
        merge->node_count--;
        *(leaf->previous != NULL ? &leaf->previous->next : &leaf->parent->first) = leaf->next;
        *(leaf->next != NULL ? &leaf->next->previous : &leaf->parent->last) = leaf->previous;
    }
    free(leaf->text);
    free(leaf);
}

/* All below `top`, deepest first, each time beginning again where the last one hung. */
static void drop_children(struct qt_merge *merge, node *top)
{
    node *at = top;

    while (at != top || at->first != NULL) {
        if (at->first != NULL) {
            at = at->first;
        } else {
            node *parent = at->parent;

            drop_leaf(merge, at);
            at = parent;
        }
    }
}

/* Make the node a value that is no object. */
static int set_text(struct qt_merge *merge, node *target, struct qt_span text)
{
    char *copy = malloc(text.size);

    assert(text.size > 0);
    if (copy == NULL)
        return -1;
    target->text_size = qt_json_compact(text, copy);
    drop_children(merge, target);
    free(target->text);
    target->text = copy;
    return 0;
}

/* An object stays as it is; anything else becomes an empty one. */
static void make_object(node *target)
{
    free(target->text);
    target->text = NULL;
}

/* A name as it means. Returns: 0 with memory that is the caller's, or -1 if memory is out. */
static int resolve(struct qt_span key, struct qt_span *name)
{
    char *text = malloc(key.size + 1);

    if (text == NULL)
        return -1;
    *name = (struct qt_span){text, qt_json_unescape(key, text)};
    return 0;
}

/* The child that a member of the patch is about. Returns: 0, or -1 if memory is out. */
static int get_child(struct qt_merge *merge, node *parent, struct qt_span key, bool create,
                     node **child)
{
    struct qt_span name;

    if (resolve(key, &name) < 0)
        return -1;
    *child = find_child(merge, parent, name.text, name.size);
    if (*child == NULL && create)
        *child = add_child(merge, parent, name, key);
    free((void *)name.text);
    return create && *child == NULL ? -1 : 0;
}

/* A member whose value is no object. Returns: 0, or -1 if memory is out. */
static int merge_value(struct qt_merge *merge, node *parent, struct qt_span key,
                       struct qt_span value)
{
    bool removes = *value.text == 'n';
    node *child;

    if (get_child(merge, parent, key, !removes, &child) < 0)
        return -1;
    if (!removes)
        return set_text(merge, child, value);
    if (child != NULL) {
        drop_children(merge, child);
        drop_leaf(merge, child);
    }
    return 0;
}

/* Pass a value of a patch that was checked before. */
static void pass_value(struct qt_json *json)
{
    int rc = qt_json_value(json);

    assert(rc == 0);
    (void)rc;
}

/* The name at json->at, up to its value. */
static struct qt_span take_key(struct qt_json *json)
{
    struct qt_span key = {.text = json->at + 1};

    pass_value(json);
    key.size = (size_t)(json->at - key.text) - 1;
    qt_json_space(json);
    assert(*json->at == ':');
    json->at++;
    qt_json_space(json);
    return key;
}

/* One member; `*target` moves down if its value is an object. */
static int merge_member(struct qt_merge *merge, struct qt_json *json, node **target)
{
    struct qt_span key = take_key(json);
    struct qt_span value = {.text = json->at};
    node *child;

    if (*json->at == '{') {
        if (get_child(merge, *target, key, true, &child) < 0)
            return -1;
        make_object(child);
        *target = child;
        json->at++;
        return 0;
    }
    pass_value(json);
    value.size = (size_t)(json->at - value.text);
    return merge_value(merge, *target, key, value);
}

/* The patch down and up again, until its last '}' is passed. */
static int merge_object(struct qt_merge *merge, struct qt_json *json)
{
    node *target = merge->root;

    make_object(target);
    json->at++;
    while (target != NULL) {
        qt_json_space(json);
        if (*json->at == '}') {
            json->at++;
            target = target->parent;
        } else if (*json->at == ',') {
            json->at++;
        } else if (merge_member(merge, json, &target) < 0) {
            return -1;
        }
    }
    return 0;
}

int qt_merge_apply(struct qt_merge *merge, struct qt_span patch)
{
    struct qt_json json;

    if (merge->root == NULL)
        merge->root = new_node((struct qt_span){0}, (struct qt_span){0});
    if (merge->root == NULL)
        return -1;
    qt_json_init(&json, patch.text, patch.size);
    qt_json_space(&json);
    if (*json.at == '{')
        return merge_object(merge, &json);
    return set_text(merge, merge->root, patch);
}

/* As it was written when it first came; the root has no name. */
static void put_key(struct qt_bytes *out, const node *child)
{
    if (child->parent == NULL)
        return;
    qt_bytes_char(out, '"');
    qt_bytes_put(out, child->names + child->name_size, child->key_size);
    qt_bytes_text(out, "\":");
}

/* The node after `at` below `top`, in the order of the text, closing the objects that end in
 * between. */
static const node *put_next(struct qt_bytes *out, const node *top, const node *at, bool lines)
{
    while (at != top && at->next == NULL) {
        at = at->parent;
        if (lines && at->parent == NULL)
            qt_bytes_char(out, '\n');
        qt_bytes_char(out, '}');
    }
    if (at == top)
        return NULL;
    qt_bytes_char(out, ',');
    return at->next;
}

/* The value of `top`, without its name; `lines` is for the root alone. */
static void put_tree(struct qt_bytes *out, const node *top, bool lines)
{
    const node *at = top;

    while (at != NULL) {
        if (lines && at->parent == top)
            qt_bytes_text(out, "\n  ");
        if (at != top)
            put_key(out, at);
        if (lines && at->parent == top)
            qt_bytes_char(out, ' ');
        if (at->text == NULL && at->first != NULL) {
            qt_bytes_char(out, '{');
            at = at->first;
            continue;
        }
        if (at->text == NULL)
            qt_bytes_text(out, "{}");
        else
            qt_bytes_put(out, at->text, at->text_size);
        at = put_next(out, top, at, lines);
    }
}

int qt_merge_put(const struct qt_merge *merge, struct qt_bytes *out, int lines)
{
    if (merge->root == NULL)
        qt_bytes_text(out, "{}");
    else
        put_tree(out, merge->root, lines != 0);
    return out->failed ? -1 : 0;
}

int qt_merge_member(const struct qt_merge *merge, struct qt_span key, struct qt_bytes *out)
{
    struct qt_span name;
    const node *child;

    if (merge->root == NULL)
        return 0;
    if (resolve(key, &name) < 0)
        return -1;
    child = find_child(merge, merge->root, name.text, name.size);
    free((void *)name.text);
    if (child == NULL)
        return 0;
    put_tree(out, child, false);
    return out->failed ? -1 : 1;
}

bool qt_merge_is_object(const struct qt_merge *merge)
{
    return merge->root == NULL || merge->root->text == NULL;
}

void qt_merge_release(struct qt_merge *merge)
{
    if (merge->root != NULL) {
        drop_children(merge, merge->root);
        drop_leaf(merge, merge->root);
    }
    free(merge->buckets);
    *merge = (struct qt_merge){0};
}
