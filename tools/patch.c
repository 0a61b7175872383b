/* patch.c - an event's data, where it is or can be shown as JSON. */
#include "patch.h"

#include "msgpack_json.h"

int qt_patch_find(const quipu_event *event, struct qt_bytes *scratch, struct qt_span *patch)
{
    struct qt_json json;

    *patch = (struct qt_span){event->data, event->data_size};
    if (patch->size > 0 && event->data_format == QUIPU_MSGPACK) {
        qt_bytes_clear(scratch);
        if (qt_msgpack_json(patch->text, patch->size, scratch) < 0) {
            *patch = (struct qt_span){0};
            return scratch->failed ? QUIPU_NO_MEMORY : 0;
        }
        *patch = (struct qt_span){scratch->data, scratch->size};
    }
    if (patch->size == 0 || event->data_format == QUIPU_BINARY ||
        qt_json_whole(&json, patch->text, patch->size) < 0)
        *patch = (struct qt_span){0};
    return 0;
}
