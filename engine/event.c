/* event.c - nothing is copied but numbers and the id: views point into the record, and live as long
 * as its bytes do. Refuses to know where those are: in the map, or put together in a reader's
 * buffer. */
#include "event.h"

#include "json.h"
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
