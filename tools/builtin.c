/* builtin.c - the table of built-in projections, and those that count.
 *
 *     count-by-type        TYPE      {"count":7}
 *     streams-by-category  CATEGORY  {"streams":2,"events":7}
 *     last-by-stream       STREAM    {"position":7,"version":3,"type":"T","time":"..."}
 *     state-by-stream      STREAM    what `quipu state` prints of it
 *
 * What a value looks like is what its version stands for: change one, and count the other up. */
#include "builtin.h"

#include "stamp.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TYPE_MAX (2 * 255 + 1) /* of 255 bytes, each with an escape, and a 0 */

/* A member of a value, read as one of an event's data. false: it was not written here. */
static bool read_number(quipu_value value, const char *name, int64_t *number)
{
    const quipu_event shown = {
        .data = value.data,
        .data_size = (uint32_t)value.size,
        .data_format = QUIPU_JSON,
    };

    return quipu_get_i64(&shown, name, number) == 1 && *number >= 0;
}

/* Somebody's own projection of this name and version has another value. */
static int refuse_value(quipu_error *error)
{
    (void)snprintf(error->text, sizeof(error->text),
                   "the value is not that of the built-in projection");
    return QUIPU_INVALID;
}

/* ---- count-by-type ---- */

static int type_keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)payload;
    (void)error;
    return quipu_page_key(page, event->type, event->type_size);
}

static int count_type(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                      void *payload, quipu_error *error)
{
    char text[64];
    int64_t count = 0;
    quipu_value old;
    int rc = quipu_page_get(page, key, key_size, &old);

    (void)event;
    (void)payload;
    if (rc < 0)
        return rc;
    if (rc == 1 && !read_number(old, "count", &count))
        return refuse_value(error);
    rc = snprintf(text, sizeof(text), "{\"count\":%" PRId64 "}", count + 1);
    return quipu_page_put(page, key, key_size, text, (size_t)rc);
}

/* ---- streams-by-category ---- */

/* What stands before the first '-'; without one, or with one at its begin, the whole name. */
static int category_keys(quipu_page *page, const quipu_event *event, void *payload,
                         quipu_error *error)
{
    const char *dash = memchr(event->stream, '-', event->stream_size);
    size_t size =
        dash == NULL || dash == event->stream ? event->stream_size : (size_t)(dash - event->stream);

    (void)payload;
    (void)error;
    return quipu_page_key(page, event->stream, size);
}

/* A stream counts at its version 1: a view of categories need not know all their streams. */
static int count_category(quipu_page *page, const void *key, size_t key_size,
                          const quipu_event *event, void *payload, quipu_error *error)
{
    char text[96];
    int64_t streams = 0;
    int64_t events = 0;
    quipu_value old;
    int rc = quipu_page_get(page, key, key_size, &old);

    (void)payload;
    if (rc < 0)
        return rc;
    if (rc == 1 && (!read_number(old, "streams", &streams) || !read_number(old, "events", &events)))
        return refuse_value(error);
    rc = snprintf(text, sizeof(text), "{\"streams\":%" PRId64 ",\"events\":%" PRId64 "}",
                  streams + (event->version == 1), events + 1);
    return quipu_page_put(page, key, key_size, text, (size_t)rc);
}

/* ---- last-by-stream ---- */

/* A type has no control characters, so these two are all that must be escaped. */
static void escape_type(const quipu_event *event, char to[TYPE_MAX])
{
    for (uint32_t i = 0; i < event->type_size; i++) {
        if (event->type[i] == '"' || event->type[i] == '\\')
            *to++ = '\\';
        *to++ = event->type[i];
    }
    *to = '\0';
}

static int keep_last(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                     void *payload, quipu_error *error)
{
    char type[TYPE_MAX];
    char time[QT_STAMP_FULL + 1];
    char text[TYPE_MAX + 128];
    struct qt_stamp stamp = {0};
    int size;

    (void)payload;
    (void)error;
    escape_type(event, type);
    *qt_stamp_full(&stamp, event->time_ns, time) = '\0';
    size = snprintf(text, sizeof(text),
                    "{\"position\":%" PRIu64 ",\"version\":%" PRIu64
                    ",\"type\":\"%s\",\"time\":\"%s\"}",
                    event->position, event->version, type, time);
    return quipu_page_put(page, key, key_size, text, (size_t)size);
}

/* ---- the table ---- */

static const quipu_projection projections[] = {
    {QUIPU_INIT(quipu_projection), .version = 1, .name = "count-by-type", .keys = type_keys,
     .apply = count_type},
    {QUIPU_INIT(quipu_projection), .version = 1, .name = "streams-by-category",
     .keys = category_keys, .apply = count_category},
    {QUIPU_INIT(quipu_projection), .version = 1, .name = "last-by-stream", .apply = keep_last},
    {QUIPU_INIT(quipu_projection), .version = 1, .name = "state-by-stream",
     .apply = qt_builtin_state},
};

const quipu_projection *qt_builtin_find(const char *name)
{
    for (size_t i = 0; i < sizeof(projections) / sizeof(projections[0]); i++)
        if (strcmp(projections[i].name, name) == 0)
            return &projections[i];
    return NULL;
}
