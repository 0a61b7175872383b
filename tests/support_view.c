/* support_view.c - views as text. */
#include "support_view.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 8192 };

static char text[TEXT_BYTES];

/* What does not fit is left out: then the text differs from whatever is expected. */
static void put(size_t *at, const void *bytes, size_t size)
{
    if (*at + size >= sizeof(text))
        size = sizeof(text) - 1 - *at;
    memcpy(text + *at, bytes, size);
    *at += size;
    text[*at] = '\0';
}

const char *support_view(quipu *store, const char *projection)
{
    quipu_view *view = NULL;
    quipu_value key;
    quipu_value value;
    char end[32];
    size_t at = 0;
    int rc = quipu_view_open(store, projection, &view, NULL);

    if (rc == QUIPU_OK)
        rc = quipu_view_scan(view, NULL, 0, NULL, 0, 0, NULL);
    if (rc == QUIPU_OK)
        rc = quipu_view_next(view, &key, &value, NULL);
    for (; rc == QUIPU_ROW; rc = quipu_view_next(view, &key, &value, NULL)) {
        put(&at, key.data, key.size);
        put(&at, "=", 1);
        if (value.size > 0)
            put(&at, value.data, value.size);
        put(&at, " ", 1);
    }
    if (rc < 0)
        (void)snprintf(end, sizeof(end), "(%d)", rc);
    else
        (void)snprintf(end, sizeof(end), "@%llu", (unsigned long long)quipu_view_mark(view));
    put(&at, end, strlen(end));
    quipu_view_close(view);
    return text;
}

const char *support_view_value(quipu *store, const char *projection, const char *key)
{
    quipu_view *view = NULL;
    quipu_value value = {0};
    size_t at = 0;
    int rc = quipu_view_open(store, projection, &view, NULL);

    if (rc == QUIPU_OK)
        rc = quipu_view_get(view, key, strlen(key), &value, NULL);
    text[0] = '\0';
    if (rc == QUIPU_ROW && value.size > 0)
        put(&at, value.data, value.size);
    quipu_view_close(view);
    return rc == QUIPU_ROW ? text : NULL;
}

int support_append(quipu *store, const char *stream, const char *type, const char *data,
                   quipu_error *error)
{
    const quipu_draft draft = {
        .type = type, .data = data, .data_size = data != NULL ? (uint32_t)strlen(data) : 0};

    return quipu_append(store, stream, QUIPU_ANY, &draft, 1, NULL, error);
}

int support_note(quipu_page *page, const void *key, size_t size, const quipu_event *event)
{
    char note[TEXT_BYTES];
    quipu_value old;
    int rc = quipu_page_get(page, key, size, &old);
    int more;

    if (rc < 0)
        return rc;
    if (old.size + 32 > sizeof(note))
        return QUIPU_TOO_LARGE;
    if (old.size > 0)
        memcpy(note, old.data, old.size);
    more = snprintf(note + old.size, sizeof(note) - old.size, "%s%llu", old.size > 0 ? "," : "",
                    (unsigned long long)event->position);
    return quipu_page_put(page, key, size, note, old.size + (size_t)more);
}
