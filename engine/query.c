/* query.c - names are compared as bytes, without hashing: a match is a match.
 *
 *     items    [ stream, category, types 0..1, tags 0..2 ]   [ -, category, types 2..2, - ]   ...
 *     types    [ OrderPaid ][ OrderSent ][ OrderPaid ]
 *     tags     [ customer:7 ][ region:eu ][ ... ]
 *     names    o r d e r - 4 2 0 O r d e r P a i d 0 ...
 *
 * An event is in an item if it is in everything that the item gives: one of its types, each of its
 * tags; and in the query if it is in an item.
 *
 * Refuses to know where events are found: candidates.c proposes by their terms and asks here. */
#include "query.h"

#include "status.h"
#include "text.h"

#include <assert.h>
#include <string.h>

/* Copy a name that was checked, with its 0, into the arena, which never moves, and count it towards
 * the limit. */
static int copy_checked(struct qp_query *query, const char *name, size_t size, size_t *total,
                        struct qp_bytes *out, quipu_error *error)
{
    char *copy;

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

/* `what` calls the name in messages. */
static int copy_name(struct qp_query *query, const char *name, const char *what, size_t *total,
                     struct qp_bytes *out, quipu_error *error)
{
    size_t size;
    int rc = qp_text_name(name, QP_NAME_MAX, what, &size, error);

    return rc < 0 ? rc : copy_checked(query, name, size, total, out, error);
}

static int copy_tag(struct qp_query *query, const char *tag, size_t *total, struct qp_bytes *out,
                    quipu_error *error)
{
    size_t size;
    int rc = qp_text_tag(tag, &size, error);

    return rc < 0 ? rc : copy_checked(query, tag, size, total, out, error);
}

/* The item is counted before it is filled: whatever fails, the query can be released. Its types and
 * tags go to their arrays from `types` and `tags` on; count_names() has made the room. */
static int copy_item(struct qp_query *query, const quipu_query_item *from, size_t types,
                     size_t tags, size_t *total, quipu_error *error)
{
    struct qp_query_item *item = &query->items[query->item_count++];
    int rc = QUIPU_OK;

    assert(query->item_count <= QP_QUERY_ITEMS_MAX);
    *item = (struct qp_query_item){.first_type = types,
                                   .type_count = from->type_count,
                                   .first_tag = tags,
                                   .tag_count = from->tag_count};
    if (from->reserved[0] != 0 || from->reserved[1] != 0)
        return qp_fail(error, QUIPU_MISUSE, "a query item's reserved fields are not 0");
    if (from->stream != NULL)
        rc = copy_name(query, from->stream, "a stream", total, &item->stream, error);
    if (rc == QUIPU_OK && from->category != NULL)
        rc = copy_name(query, from->category, "a category", total, &item->category, error);
    for (size_t i = 0; i < from->type_count && rc == QUIPU_OK; i++)
        rc = copy_name(query, from->types[i], "a type", total, &query->types[types + i], error);
    for (size_t i = 0; i < from->tag_count && rc == QUIPU_OK; i++)
        rc = copy_tag(query, from->tags[i], total, &query->tags[tags + i], error);
    return rc;
}

/* Of all items, so that they get one array each. The limit comes before the arrays: a number that
 * is the caller's must not ask for all memory there is. */
static int count_names(const quipu_query *query, size_t *types, size_t *tags, quipu_error *error)
{
    *types = 0;
    *tags = 0;
    for (size_t i = 0; i < query->item_count; i++) {
        const quipu_query_item *item = &query->items[i];

        if (item->type_count > 0 && item->types == NULL)
            return qp_fail(error, QUIPU_MISUSE, "types is NULL with %u of them", item->type_count);
        if (item->tag_count > QP_TAGS_MAX)
            return qp_fail(error, QUIPU_TOO_LARGE, "%u tags in an item: no event has more than %d",
                           item->tag_count, QP_TAGS_MAX);
        if (item->tag_count > 0 && item->tags == NULL)
            return qp_fail(error, QUIPU_MISUSE, "tags is NULL with %u of them", item->tag_count);
        *types += item->type_count;
        *tags += item->tag_count;
    }
    if (*types + *tags > QP_QUERY_BYTES_MAX) /* each has at least a byte */
        return qp_fail(error, QUIPU_TOO_LARGE, "the query has more than %llu bytes of names",
                       (unsigned long long)QP_QUERY_BYTES_MAX);
    return QUIPU_OK;
}

int qp_query_copy(const quipu_query *query, struct qp_query *out, quipu_error *error)
{
    size_t types = 0;
    size_t tags = 0;
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
    rc = count_names(query, &types, &tags, error);
    if (rc < 0)
        return rc;
    out->items = qp_resize(NULL, query->item_count * sizeof(*out->items));
    out->types = qp_resize(NULL, (types + 1) * sizeof(*out->types)); /* there may be none */
    out->tags = qp_resize(NULL, (tags + 1) * sizeof(*out->tags));
    if (out->items == NULL || out->types == NULL || out->tags == NULL)
        return qp_fail_memory(error);
    types = 0;
    tags = 0;
    for (size_t i = 0; i < query->item_count && rc == QUIPU_OK; i++) {
        rc = copy_item(out, &query->items[i], types, tags, &total, error);
        types += query->items[i].type_count;
        tags += query->items[i].tag_count;
    }
    return rc;
}

void qp_query_release(struct qp_query *query)
{
    qp_arena_release(&query->names);
    qp_free(query->items);
    qp_free(query->types);
    qp_free(query->tags);
    *query = (struct qp_query){0};
}

static bool has_type(const struct qp_query *query, const struct qp_query_item *item,
                     struct qp_bytes type)
{
    for (size_t i = 0; i < item->type_count; i++)
        if (qp_bytes_equal(query->types[item->first_type + i], type))
            return true;
    return item->type_count == 0;
}

/* At most 64 of the event's are looked at for each that is asked for. */
static bool has_tags(const struct qp_query *query, const struct qp_query_item *item,
                     const struct qp_record *record)
{
    for (size_t i = 0; i < item->tag_count; i++) {
        struct qp_bytes tag = {0};

        do {
            if (!qp_record_next_tag(record, &tag))
                return false;
        } while (!qp_bytes_equal(query->tags[item->first_tag + i], tag));
    }
    return true;
}

/* All that the item gives must hold. The category is not in the record: it follows from the stream.
 */
static bool item_matches(const struct qp_query *query, const struct qp_query_item *item,
                         const struct qp_record *record)
{
    struct qp_bytes category = {record->stream.data,
                                qp_text_category(record->stream.data, record->stream.size)};

    return (item->stream.data == NULL || qp_bytes_equal(item->stream, record->stream)) &&
           (item->category.data == NULL || qp_bytes_equal(item->category, category)) &&
           has_type(query, item, record->type) && has_tags(query, item, record);
}

bool qp_query_matches(const struct qp_query *query, const struct qp_record *record)
{
    for (size_t i = 0; i < query->item_count; i++)
        if (item_matches(query, &query->items[i], record))
            return true;
    return query->item_count == 0;
}
