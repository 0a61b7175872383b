/* query.c - names are compared as bytes, without hashing: a match is a match.
 *
 *     items   [ stream, category, types 0..1 ]  OR  [ -, category, types 2..2 ]  OR ...
 *                  \___ AND ___/ \_ AND, one of them _/
 *     types   [ type ][ type ][ type ]        names   | s t r e a m 0 t y p e 0 ...
 *
 * Refuses to know where events are found: the reader picks candidates by their terms and asks here.
 */
#include "query.h"

#include "status.h"
#include "text.h"

#include <assert.h>
#include <string.h>

/* Check one name, copy it with its 0 into the arena, which never moves, and count it towards the
 * limit. `what` calls it in messages. */
static int copy_name(struct qp_query *query, const char *name, const char *what, size_t *total,
                     struct qp_bytes *out, quipu_error *error)
{
    size_t size;
    char *copy;
    int rc = qp_text_name(name, QP_NAME_MAX, what, &size, error);

    if (rc < 0)
        return rc;
    *total += size;
    if (*total > QP_QUERY_BYTES_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "the query has more than %llu bytes of names",
                       (unsigned long long)QP_QUERY_BYTES_MAX);
    copy = qp_arena_take(&query->names, size + 1);
    if (copy == NULL)
        return qp_fail_memory(error);
    memcpy(copy, name, size + 1);
    *out = (struct qp_bytes){copy, size};
    return QUIPU_OK;
}

/* The item is counted before it is filled: whatever fails, the query can be released. Its types go
 * to `types` from `first_type` on; count_types() has made the room. */
static int copy_item(struct qp_query *query, const quipu_query_item *from, size_t first_type,
                     size_t *total, quipu_error *error)
{
    struct qp_query_item *item = &query->items[query->item_count++];
    int rc = QUIPU_OK;

    assert(query->item_count <= QP_QUERY_ITEMS_MAX);
    *item = (struct qp_query_item){.first_type = first_type, .type_count = from->type_count};
    if (from->reserved[0] != 0 || from->reserved[1] != 0)
        return qp_fail(error, QUIPU_MISUSE, "a query item's reserved fields are not 0");
    if (from->tag_count != 0)
        return qp_fail(error, QUIPU_MISUSE, "tag_count must be 0 in this release");
    if (from->stream != NULL)
        rc = copy_name(query, from->stream, "a stream", total, &item->stream, error);
    if (rc == QUIPU_OK && from->category != NULL)
        rc = copy_name(query, from->category, "a category", total, &item->category, error);
    for (size_t i = 0; i < from->type_count && rc == QUIPU_OK; i++)
        rc =
            copy_name(query, from->types[i], "a type", total, &query->types[first_type + i], error);
    return rc;
}

/* Of all items, so that they get one array. The limit comes before the array: a number that is the
 * caller's must not ask for all memory there is. */
static int count_types(const quipu_query *query, size_t *count, quipu_error *error)
{
    *count = 0;
    for (size_t i = 0; i < query->item_count; i++) {
        if (query->items[i].type_count > 0 && query->items[i].types == NULL)
            return qp_fail(error, QUIPU_MISUSE, "types is NULL with %u of them",
                           query->items[i].type_count);
        *count += query->items[i].type_count;
    }
    if (*count > QP_QUERY_BYTES_MAX) /* each has at least a byte */
        return qp_fail(error, QUIPU_TOO_LARGE, "the query has more than %llu bytes of names",
                       (unsigned long long)QP_QUERY_BYTES_MAX);
    return QUIPU_OK;
}

int qp_query_copy(const quipu_query *query, struct qp_query *out, quipu_error *error)
{
    size_t types = 0;
    size_t total = 0;
    int rc;

    *out = (struct qp_query){0};
    if (query == NULL || query->item_count == 0)
        return QUIPU_OK;
    if (query->items == NULL)
        return qp_fail(error, QUIPU_MISUSE, "items is NULL with %zu of them", query->item_count);
    if (query->item_count > QP_QUERY_ITEMS_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "the query has %zu items, more than %d",
                       query->item_count, QP_QUERY_ITEMS_MAX);
    rc = count_types(query, &types, error);
    if (rc < 0)
        return rc;
    out->items = qp_resize(NULL, query->item_count * sizeof(*out->items));
    out->types = qp_resize(NULL, (types + 1) * sizeof(*out->types)); /* there may be no types */
    if (out->items == NULL || out->types == NULL)
        return qp_fail_memory(error);
    types = 0;
    for (size_t i = 0; i < query->item_count && rc == QUIPU_OK; i++) {
        rc = copy_item(out, &query->items[i], types, &total, error);
        types += query->items[i].type_count;
    }
    return rc;
}

void qp_query_release(struct qp_query *query)
{
    qp_arena_release(&query->names);
    qp_free(query->items);
    qp_free(query->types);
    *query = (struct qp_query){0};
}

/* Sizes first: most names differ there, and the bytes need not be fetched. */
static bool equal(struct qp_bytes left, struct qp_bytes right)
{
    return left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
}

static bool has_type(const struct qp_query *query, const struct qp_query_item *item,
                     struct qp_bytes type)
{
    for (size_t i = 0; i < item->type_count; i++)
        if (equal(query->types[item->first_type + i], type))
            return true;
    return item->type_count == 0;
}

/* All that the item gives must hold. The category is not in the record: it follows from the stream.
 */
static bool item_matches(const struct qp_query *query, const struct qp_query_item *item,
                         const struct qp_record *record)
{
    struct qp_bytes category = {record->stream.data,
                                qp_text_category(record->stream.data, record->stream.size)};

    return (item->stream.data == NULL || equal(item->stream, record->stream)) &&
           (item->category.data == NULL || equal(item->category, category)) &&
           has_type(query, item, record->type);
}

bool qp_query_matches(const struct qp_query *query, const struct qp_record *record)
{
    for (size_t i = 0; i < query->item_count; i++)
        if (item_matches(query, &query->items[i], record))
            return true;
    return query->item_count == 0;
}
