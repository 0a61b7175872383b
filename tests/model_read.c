/* model_read.c - events and readers: see model.c. */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- comparing events ------------------------------------------------------------------------ */

static void compare_bytes(const char *what, uint64_t position, const void *got, uint32_t got_size,
                          const char *should, uint32_t size)
{
    CHECK(got_size == size, "%s at %" PRIu64 ": %u bytes, not %u", what, position, got_size, size);
    CHECK(size == 0 || memcmp(got, should, size) == 0, "%s at %" PRIu64, what, position);
}

void model_compare_event(const quipu_event *got, uint64_t position)
{
    const struct event *should = &model.events[position - 1];
    const char *at = should->bytes;
    const char *stream = model_streams[should->stream];
    uint32_t tags_size = 0;

    CHECK(got->position == position, "%" PRIu64 ", not %" PRIu64, got->position, position);
    CHECK(got->version == should->version, "at %" PRIu64 ": %" PRIu64 ", not %" PRIu64, position,
          got->version, should->version);
    CHECK(strcmp(got->stream, stream) == 0 && got->stream_size == strlen(stream),
          "at %" PRIu64 ": %s, not %s", position, got->stream, stream);
    CHECK(strcmp(got->type, model_types[should->type]) == 0 && got->type_size == strlen(got->type),
          "at %" PRIu64 ": %s", position, got->type);
    CHECK(quipu_event_is(got, model_types[should->type]) == 1, "at %" PRIu64, position);
    CHECK(got->time_ns == should->time_ns && got->recorded_ns == should->recorded_ns,
          "at %" PRIu64 ": %" PRId64 " %" PRId64, position, got->time_ns, got->recorded_ns);
    CHECK(got->flags == should->flags && got->schema == should->schema, "at %" PRIu64, position);
    CHECK(got->data_format == should->data_format && got->meta_format == should->meta_format,
          "at %" PRIu64, position);
    CHECK(memcmp(got->id, should->id, sizeof(got->id)) == 0, "id at %" PRIu64, position);
    CHECK(got->tag_count == should->tag_count, "at %" PRIu64 ": %u", position, got->tag_count);
    for (uint32_t i = 0; i < got->tag_count; i++)
        tags_size += (uint32_t)strlen(got->tags + tags_size) + 1;
    compare_bytes("tags", position, got->tags, tags_size, at, should->tags_size);
    compare_bytes("meta", position, got->meta, got->meta_size, at + should->tags_size,
                  should->meta_size);
    compare_bytes("data", position, got->data, got->data_size,
                  at + should->tags_size + should->meta_size, should->data_size);
}

/* ---- reads: the reference -------------------------------------------------------------------- */

bool model_has_tag(const struct event *event, const char *tag)
{
    const char *at = event->bytes;

    for (uint32_t i = 0; i < event->tag_count; i++, at += strlen(at) + 1)
        if (strcmp(at, tag) == 0)
            return true;
    return false;
}

static bool item_matches(const quipu_query_item *item, const struct event *event)
{
    bool type = item->type_count == 0;

    for (uint32_t i = 0; i < item->tag_count; i++)
        if (!model_has_tag(event, item->tags[i]))
            return false;
    for (uint32_t i = 0; i < item->type_count; i++)
        type = type || strcmp(item->types[i], model_types[event->type]) == 0;
    return type &&
           (item->stream == NULL || strcmp(item->stream, model_streams[event->stream]) == 0) &&
           (item->category == NULL || strcmp(item->category, model_categories[event->stream]) == 0);
}

bool model_asks_for(const struct asked *asked, const struct event *event)
{
    for (size_t i = 0; i < asked->query.item_count; i++)
        if (item_matches(&asked->items[i], event))
            return true;
    return asked->query.item_count == 0;
}

static bool matches(const struct wanted *wanted, uint64_t position)
{
    const struct event *event = &model.events[position - 1];
    uint64_t number = wanted->by_stream ? event->version : position;

    if (number <= wanted->range.after || (wanted->range.upto != 0 && number > wanted->range.upto))
        return false;
    if (wanted->by_stream)
        return event->stream == wanted->stream;
    return model_asks_for(&wanted->asked, event);
}

/* The position that must come next, 0 at the end. */
static uint64_t foretell_next(struct wanted *wanted)
{
    bool backwards = (wanted->range.flags & QUIPU_BACKWARDS) != 0;

    if (wanted->range.limit != 0 && wanted->given == wanted->range.limit)
        return 0;
    while (wanted->at >= 1 && wanted->at <= wanted->head) {
        uint64_t position = wanted->at;

        wanted->at = backwards ? position - 1 : position + 1;
        if (matches(wanted, position)) {
            wanted->given++;
            wanted->last = position;
            return position;
        }
    }
    wanted->ended = true;
    return 0;
}

/* What quipu_reader_head() must say. */
static uint64_t foretell_head(const struct wanted *wanted)
{
    const quipu_range *range = &wanted->range;
    uint64_t upto = range->upto == 0 || range->upto > wanted->head ? wanted->head : range->upto;

    if (!wanted->ended && (range->flags & QUIPU_BACKWARDS) == 0)
        return wanted->given > 0 ? wanted->last : wanted->by_stream ? 0 : range->after;
    if (wanted->by_stream)
        return wanted->head;
    return range->after > upto ? range->after : upto;
}

static void compare_head(const quipu_reader *reader, const struct wanted *wanted)
{
    uint64_t should = foretell_head(wanted);
    uint64_t got = quipu_reader_head(reader);

    CHECK(got == should, "head %" PRIu64 ", not %" PRIu64 " (store's: %" PRIu64 ")", got, should,
          wanted->head);
}

/* ---- reads: what is asked -------------------------------------------------------------------- */

static uint64_t pick_bound(uint64_t newest)
{
    if (model_chance(2))
        return UINT64_MAX - model_below(3);
    if (model_chance(30) && newest > 5)
        return newest - model_below(5);
    return model_below(newest + 3);
}

static void pick_range(quipu_range *range, uint64_t newest)
{
    *range = (quipu_range){QUIPU_INIT(quipu_range), .flags = 0};
    if (model_chance(50))
        range->flags |= QUIPU_BACKWARDS;
    if (model_chance(10))
        range->flags |= QUIPU_SKIP_CHECKSUMS;
    if (model_chance(20))
        range->flags |= QUIPU_RENEW;
    if (model_chance(50))
        range->after = pick_bound(newest);
    if (model_chance(50))
        range->upto = pick_bound(newest);
    if (model_chance(60))
        range->limit = 1 + model_below(20);
    else if (newest > 2000 && model_chance(90))
        range->limit = 1 + model_below(600);
}

static void pick_item(struct asked *asked, size_t i)
{
    quipu_query_item *item = &asked->items[i];

    *item = (quipu_query_item){0};
    if (model_chance(30))
        item->stream = model_streams[model_below(STREAMS)];
    if (model_chance(35))
        item->category = model_categories[model_below(STREAMS)];
    if (item->stream != NULL && model_chance(50))
        item->category = model_categories[(size_t)(item->stream - model_streams[0]) / 256];
    if (model_chance(35))
        item->tag_count = (uint32_t)(1 + model_below(ITEM_TAGS_MAX));
    for (uint32_t t = 0; t < item->tag_count; t++) {
        (void)snprintf(asked->tag_names[i][t], sizeof(asked->tag_names[i][t]),
                       "k%" PRIu64 ":%" PRIx64, model_below(TAGS_MAX), model_below(TAG_VALUES));
        asked->tags[i][t] = asked->tag_names[i][t];
    }
    item->tags = item->tag_count > 0 ? asked->tags[i] : NULL;
    if (model_chance(40) || (item->stream == NULL && item->category == NULL &&
                             item->tag_count == 0 && model_chance(90)))
        item->type_count = (uint32_t)(1 + model_below(ITEM_TYPES_MAX));
    for (uint32_t t = 0; t < item->type_count; t++)
        asked->types[i][t] = model_types[model_below(TYPES)];
    item->types = item->type_count > 0 ? asked->types[i] : NULL;
}

void model_pick_asked(struct asked *asked)
{
    asked->query = (quipu_query){asked->items, 0};
    if (model_chance(20))
        return;
    asked->query.item_count = model_chance(60) ? 1 : model_below(ITEMS_MAX + 1);
    for (size_t i = 0; i < asked->query.item_count; i++)
        pick_item(asked, i);
}

static void pick_wanted(struct wanted *wanted)
{
    wanted->by_stream = model_chance(40);
    wanted->stream = model_chance(85) ? model_pick_stream() : (unsigned)model_below(STREAMS);
    model_pick_asked(&wanted->asked);
    pick_range(&wanted->range, wanted->by_stream ? model.versions[wanted->stream] : model.head);
    wanted->head = model.head;
    wanted->at = (wanted->range.flags & QUIPU_BACKWARDS) != 0 ? model.head : 1;
    wanted->given = 0;
    wanted->last = 0;
    wanted->ended = false;
}

/* NULL: the stream does not exist, and that was said. */
static quipu_reader *open_wanted(const struct wanted *wanted)
{
    quipu_reader *reader = NULL;
    quipu_error error = {0};
    int rc;

    if (wanted->by_stream)
        rc = quipu_read_stream(model.store, model_streams[wanted->stream], &wanted->range, &reader,
                               &error);
    else
        rc = quipu_read(model.store,
                        wanted->asked.query.item_count > 0 ? &wanted->asked.query : NULL,
                        &wanted->range, &reader, &error);
    if (wanted->by_stream && model.versions[wanted->stream] == 0) {
        CHECK(rc == QUIPU_NOT_FOUND && reader == NULL, "%d", rc);
        return NULL;
    }
    CHECK(rc == QUIPU_OK, "open a reader: %d %s", rc, error.text);
    compare_head(reader, wanted);
    return reader;
}

static bool compare_next(quipu_reader *reader, struct wanted *wanted)
{
    uint64_t position = foretell_next(wanted);
    quipu_error error = {0};
    quipu_event event = {0};
    int rc = quipu_next(reader, &event, &error);

    if (position == 0) {
        CHECK(rc == QUIPU_OK, "not at the end: %d at %" PRIu64 " %s", rc, event.position,
              error.text);
        compare_head(reader, wanted);
        return false;
    }
    CHECK(rc == QUIPU_ROW, "%d instead of position %" PRIu64 " %s", rc, position, error.text);
    model_compare_event(&event, position);
    compare_head(reader, wanted);
    return true;
}

void model_read(void)
{
    static struct wanted wanted;
    quipu_reader *reader;
    bool more = true;

    pick_wanted(&wanted);
    reader = open_wanted(&wanted);
    if (reader == NULL)
        return;
    model.reads++;
    while (more && !model_chance(1))
        more = compare_next(reader, &wanted);
    if (!more)
        (void)compare_next(reader, &wanted); /* the end stays the end */
    quipu_reader_close(reader);
}

/* A reader that outlives appends and merges. */
void model_keep(void)
{
    struct kept *kept = &model.kept[model_below(KEPT_MAX)];
    uint64_t count = model_below(40);

    if (kept->reader == NULL) {
        pick_wanted(&kept->wanted);
        kept->reader = open_wanted(&kept->wanted);
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        if (!compare_next(kept->reader, &kept->wanted))
            break;
    if (model_chance(20)) {
        quipu_reader_close(kept->reader);
        kept->reader = NULL;
    }
}
