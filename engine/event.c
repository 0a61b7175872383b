/* event.c - nothing is copied but numbers and the id: views point into the record, and live as long
 * as its bytes do. Refuses to know where those are: in the map, or put together in a reader's
 * buffer. Who wants to keep an event has it copied, into one block:
 *
 *     | quipu_event | data 0 .. | meta 0 | stream 0 | type 0 | tag 0 | tag 0 |
 *                   ^ a multiple of 8                                          */
#include "event.h"

#include "json.h"
#include "memory.h"
#include "pack.h"
#include "sum.h"

#include <assert.h>
#include <string.h>

/* The number is not in the record: each tag ends in a 0. Never past the end, whatever the bytes
 * are. */
static uint32_t count_tags(struct qp_bytes tags)
{
    const char *at = tags.data;
    uint32_t count = 0;

    for (size_t left = tags.size; left > 0;) {
        size_t size = strnlen(at, left) + 1;

        count++;
        if (size >= left)
            break;
        at += size;
        left -= size;
    }
    return count;
}

void qp_event_fill(const struct qp_record *record, const uint8_t uuid[16], uint64_t position,
                   quipu_event *event)
{
    const uint8_t *payload = record->payload.data;
    uint32_t data_size = (uint32_t)record->payload.size - record->meta_size;

    assert(record->payload.size >= record->meta_size && position > 0);
    *event = (quipu_event){
        .position = position,
        .version = record->version,
        .time_ns = record->time_ns,
        .recorded_ns = record->recorded_ns,
        .stream = record->stream.data,
        .type = record->type.data,
        .tags = record->tags.data,
        .data = data_size > 0 ? payload + record->meta_size : NULL,
        .meta = record->meta_size > 0 ? payload : NULL,
        .stream_size = (uint32_t)record->stream.size,
        .type_size = (uint32_t)record->type.size,
        .tag_count = count_tags(record->tags),
        .data_size = data_size,
        .meta_size = record->meta_size,
        .flags = (record->id != NULL ? QUIPU_EVENT_HAS_ID : 0U) |
                 ((record->flags & QP_RECORD_TIME) != 0 ? QUIPU_EVENT_HAS_TIME : 0U),
        .data_format = record->data_format,
        .meta_format = record->meta_format,
        .schema = record->schema,
    };
    /* docs/FORMAT.md 3.3: an id is always there, given or derived. */
    if (record->id != NULL)
        memcpy(event->id, record->id, sizeof(event->id));
    else
        qp_sum_id(uuid, position, record->chain, event->id);
}

/* OTHER for data that say to be binary, and for formats of later releases: they are bytes here. */
void qp_event_member(const quipu_event *event, const char *name, struct qp_member *out)
{
    struct qp_bytes data = {event->data, event->data_size};
    struct qp_bytes wanted = {name, strlen(name)};

    *out = (struct qp_member){0};
    if (event->data_format == QUIPU_JSON)
        qp_json_member(data, wanted, out);
    else if (event->data_format == QUIPU_MSGPACK)
        qp_pack_member(data, wanted, out);
}

/* All tags with their 0s. */
static size_t tag_bytes(const quipu_event *event)
{
    const char *at = event->tags;

    for (uint32_t i = 0; i < event->tag_count; i++)
        at += strlen(at) + 1;
    return (size_t)(at - event->tags);
}

/* Put `size` bytes and a 0 at `*at`, which moves behind them. NULL stays NULL: none is not the same
 * as empty. */
static const void *put(uint8_t **at, const void *bytes, size_t size)
{
    uint8_t *copy = *at;

    if (bytes == NULL)
        return NULL;
    if (size > 0)
        memcpy(copy, bytes, size);
    copy[size] = 0;
    *at += size + 1;
    return copy;
}

quipu_event *qp_event_copy(const quipu_event *event)
{
    size_t tags = event->tags != NULL ? tag_bytes(event) : 0;
    size_t names = (size_t)event->stream_size + 1 + event->type_size + 1 + tags;
    size_t size = sizeof(*event) + event->data_size + 1U + event->meta_size + 1U + names + 1;
    quipu_event *copy = qp_resize(NULL, size);
    uint8_t *at = (uint8_t *)copy + sizeof(*copy);

    static_assert(sizeof(*event) % 8 == 0, "the data that follow are aligned");
    if (copy == NULL)
        return NULL;
    *copy = *event;
    copy->data = put(&at, event->data, event->data_size);
    copy->meta = put(&at, event->meta, event->meta_size);
    copy->stream = put(&at, event->stream, event->stream_size);
    copy->type = put(&at, event->type, event->type_size);
    copy->tags = put(&at, event->tags, tags);
    assert(at <= (uint8_t *)copy + size);
    return copy;
}

/* A key ends at the tag's first ':', so that one with a ':' in it is no event's. */
const char *qp_event_tag(const quipu_event *event, const char *key)
{
    size_t size = strlen(key);
    const char *at = event->tags;

    for (uint32_t i = 0; i < event->tag_count; i++) {
        const char *colon = strchr(at, ':');

        if (colon != NULL && (size_t)(colon - at) == size && memcmp(at, key, size) == 0)
            return colon + 1;
        at += strlen(at) + 1;
    }
    return NULL;
}
