/* items.c - the texts stand one behind the other; as their memory moves while it grows, an item
 * gets its pointers when all have come. */
#include "items.h"

#include "store.h"

#include <string.h>

static void keep_text(struct qt_items *items, const char *text, size_t size)
{
    if (text == NULL)
        return;
    qt_bytes_put(&items->texts, text, size);
    qt_bytes_char(&items->texts, '\0');
}

static void keep_plain(struct qt_items *items, const char *text)
{
    keep_text(items, text, text == NULL ? 0 : strlen(text));
}

static void keep(struct qt_items *items, const quipu_item *item)
{
    keep_plain(items, item->name);
    keep_text(items, item->key, (size_t)item->key_size);
    keep_plain(items, item->text);
    keep_plain(items, item->fault);
    qt_bytes_put(&items->items, item, sizeof(*item));
    if (!items->texts.failed && !items->items.failed)
        items->count++;
}

/* `*at` is where the next text stands; a pointer that was NULL stays so. */
static const char *point(const char *old, size_t size, const char **at)
{
    const char *text = *at;

    if (old == NULL)
        return NULL;
    *at += (size > 0 ? size : strlen(text)) + 1;
    return text;
}

static void point_all(struct qt_items *items)
{
    quipu_item *all = (quipu_item *)(void *)items->items.data;
    const char *at = items->texts.data;

    for (size_t i = 0; i < items->count; i++) {
        all[i].name = point(all[i].name, 0, &at);
        all[i].key = point(all[i].key, (size_t)all[i].key_size, &at);
        all[i].text = point(all[i].text, 0, &at);
        all[i].fault = point(all[i].fault, 0, &at);
    }
}

int qt_items_take(struct qt_run *run, quipu *store, int kind, const char *prefix, uint64_t limit,
                  struct qt_items *items)
{
    quipu_list *list = NULL;
    quipu_item item = {0};
    quipu_error error = {0};
    int rc = quipu_list_open(store, kind, prefix, &list, &error);

    while (rc >= 0) {
        rc = quipu_list_next(list, &item, &error);
        if (rc != QUIPU_ROW)
            break;
        if (items->count == limit) {
            items->cut = true;
            rc = 0;
            break;
        }
        keep(items, &item);
        if (items->texts.failed || items->items.failed)
            rc = QUIPU_NO_MEMORY;
    }
    quipu_list_close(list);
    point_all(items);
    return rc < 0 ? qt_store_failed(run, rc, &error) : 0;
}

void qt_items_release(struct qt_items *items)
{
    qt_bytes_release(&items->texts);
    qt_bytes_release(&items->items);
}

const quipu_item *qt_items_at(const struct qt_items *items, size_t i)
{
    return (const quipu_item *)(const void *)items->items.data + i;
}

const quipu_item *qt_items_find(const struct qt_items *items, const char *name)
{
    for (size_t i = 0; i < items->count; i++)
        if (strcmp(qt_items_at(items, i)->name, name) == 0)
            return qt_items_at(items, i);
    return NULL;
}
