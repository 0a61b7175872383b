/* model_draft.c - names, and drafts of random events: see model.c. */
#include "model.h"

#include "support_folds.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char model_streams[STREAMS][256];
char model_categories[STREAMS][256];

const char *const model_types[TYPES] = {
    "created", "paid", "shipped",   "p",     "paid-late", "\xc3\xa9tat",
    "a b",     "x.y",  "cancelled", "never", "creat",     "created2",
};

/* Some are both. */
const char *const model_mark_names[2][MARKS] = {
    {"a", "mail", "mail-2", "order-1", "\xc3\xa9tat"},
    {"a", "b c", "mail", "order-1", "z"},
};

/* ---- names ----------------------------------------------------------------------------------- */

void model_make_names(void)
{
    static const char *const special[] = {
        "order-1",
        "order-10",
        "order-100",
        "order",
        "order-",
        "-order",
        "-",
        "a-b-c",
        "Order-1",
        "o",
        "\xe6\x97\xa5\xe6\x9c\xac-1",
        "order 1",
        "a",
        "a-",
    };
    const size_t special_count = sizeof(special) / sizeof(special[0]);

    for (unsigned i = 0; i < STREAMS; i++) {
        char *name = model_streams[i];
        const char *dash;

        if (i < special_count)
            (void)snprintf(name, 256, "%s", special[i]);
        else if (i == special_count)
            (void)memset(name, 'n', 255); /* as long as a name may be */
        else if (i == special_count + 1)
            (void)snprintf(name, 256, "%0250d-%04d", 7, 1);
        else
            (void)snprintf(name, 256, "%c%c-%u", 'a' + (int)(i % 3), 'x' + (int)(i % 2), i);
        dash = strchr(name, '-');
        if (dash == NULL || dash == name)
            memcpy(model_categories[i], name, sizeof(model_categories[i]));
        else
            (void)snprintf(model_categories[i], 256, "%.*s", (int)(dash - name), name);
    }
}

/* Some streams get most of the events, so that they have blocks in the index. */
unsigned model_pick_stream(void)
{
    if (model_chance(40))
        return (unsigned)model_below(3);
    if (model_chance(50))
        return (unsigned)model_below(12);
    return (unsigned)model_below(STREAMS_USED);
}

/* ---- drafts ---------------------------------------------------------------------------------- */

static uint32_t pick_size(void)
{
    if (model_chance(model.big_percent))
        return (uint32_t)(4096 + model_below(200 * 1024));
    if (model_chance(4))
        return (uint32_t)(3900 + model_below(400)); /* around the end of a row */
    if (model_chance(30))
        return 0;
    return (uint32_t)model_below(300);
}

static void fill_payload(char *bytes, uint32_t size, uint8_t format)
{
    if (size == 0)
        return;
    if (format == QUIPU_MSGPACK && size >= 3 && size - 3 <= UINT16_MAX) {
        bytes[0] = (char)0xc5; /* bin 16 */
        bytes[1] = (char)((size - 3) >> 8);
        bytes[2] = (char)(size - 3);
        bytes += 3;
        size -= 3;
    }
    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t word = sys_next(&model.random);

        if (format == QUIPU_JSON)
            word &= UINT64_C(0x3f3f3f3f3f3f3f3f);
        memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
    }
}

static uint8_t pick_format(uint32_t size)
{
    uint8_t format = (uint8_t)model_below(3);

    if (format == QUIPU_MSGPACK && size != 0 && (size < 3 || size - 3 > UINT16_MAX))
        format = QUIPU_BINARY;
    return format;
}

static char *put_tags(struct event *event, const char **tags, char *at)
{
    const char *begin = at;

    for (uint32_t i = 0; i < event->tag_count; i++) {
        tags[i] = at;
        at += snprintf(at, 64, "k%u:%" PRIx64, i,
                       model_below(5) == 0 ? sys_next(&model.random) : model_below(TAG_VALUES)) +
              1;
    }
    event->tags_size = (uint32_t)(at - begin);
    return at;
}

/* Half of the wishes are to be kept: the newest time that was recorded, or a little later. */
static int64_t pick_recorded(void)
{
    int64_t last = model.learned > 0 ? model.events[model.learned - 1].recorded_ns : 0;

    switch (model_below(4)) {
    case 0:
        return last;
    case 1:
        return last + (int64_t)model_below(1000);
    case 2:
        return last - 1 - (int64_t)model_below(1000000);
    default:
        return INT64_MAX - (int64_t)model_below(3);
    }
}

void model_make_draft(unsigned stream, bool small)
{
    struct event *event = &model.pending[model.pending_count];
    quipu_draft *draft = &model.drafts[model.pending_count];
    const char **tags = model.tags[model.pending_count];
    char *at;

    *event = (struct event){.stream = stream, .type = (unsigned)model_below(TYPES_USED)};
    event->data_size = small ? (uint32_t)model_below(20) : pick_size();
    event->meta_size = model_chance(25) && !small ? pick_size() : 0;
    event->tag_count = model_chance(25) ? (uint32_t)model_below(TAGS_MAX + 1) : 0;
    event->bytes = malloc((size_t)event->data_size + event->meta_size + TAGS_MAX * 64 + 1);
    CHECK(event->bytes != NULL, "memory");
    at = put_tags(event, tags, event->bytes);
    *draft = (quipu_draft){.type = model_types[event->type],
                           .tags = event->tag_count > 0 ? tags : NULL,
                           .tag_count = event->tag_count,
                           .data_size = event->data_size,
                           .meta_size = event->meta_size,
                           .data_format = pick_format(event->data_size),
                           .meta_format = pick_format(event->meta_size),
                           .schema = (uint16_t)model_below(3)};
    if (model_chance(1) && model_chance(40))
        draft->schema = folds_poison(model_chance(50) ? FOLDS_LISTS : FOLDS_INLINE);
    fill_payload(at, draft->meta_size, draft->meta_format);
    fill_payload(at + draft->meta_size, draft->data_size, draft->data_format);
    draft->meta = draft->meta_size > 0 ? at : NULL;
    draft->data = draft->data_size > 0 ? at + draft->meta_size : NULL;
    event->data_format = draft->data_size > 0 ? draft->data_format : 0;
    event->meta_format = draft->meta_size > 0 ? draft->meta_format : 0;
    event->schema = draft->schema;
    if (model_chance(30)) {
        event->flags |= QUIPU_EVENT_HAS_ID;
        for (size_t i = 0; i < sizeof(event->id); i++)
            event->id[i] = draft->id[i] = (uint8_t)model_below(256);
    }
    if (model_chance(60)) {
        event->flags |= QUIPU_EVENT_HAS_TIME;
        event->time_ns = draft->time_ns = (int64_t)model_below(2000) - 1000;
    }
    draft->flags = event->flags;
    if (model_chance(10)) {
        draft->flags |= QUIPU_EVENT_HAS_RECORDED;
        draft->recorded_ns = pick_recorded();
        event->wished = true;
        event->wish_ns = draft->recorded_ns;
    }
    model.pending_count++;
}
