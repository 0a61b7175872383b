/* query.c - the library reads the texts; here they are only held together. */
#include "query.h"

#include <assert.h>
#include <stdio.h>

int qt_query_add(struct qt_query *query, const char *text, quipu_error *error)
{
    size_t count = query->query.item_count;
    quipu_query *parsed = NULL;
    int rc;

    if (count == QT_QUERY_ITEMS_MAX) {
        (void)snprintf(error->text, sizeof(error->text), "at most %d queries fit into one",
                       QT_QUERY_ITEMS_MAX);
        return QUIPU_TOO_LARGE;
    }
    rc = quipu_query_parse(text, &parsed, error);
    if (rc < 0)
        return rc;
    assert(parsed->item_count == 1);
    query->parsed[count] = parsed;
    query->items[count] = parsed->items[0];
    query->query = (quipu_query){.items = query->items, .item_count = count + 1};
    return 0;
}

void qt_query_clear(struct qt_query *query)
{
    for (size_t i = 0; i < query->query.item_count; i++)
        quipu_query_free(query->parsed[i]);
    query->query = (quipu_query){0};
}
