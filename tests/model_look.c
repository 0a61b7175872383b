/* model_look.c - folds, lists, figures: see model.c. */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- folds ----------------------------------------------------------------------------------- */

struct state {
    uint64_t count;
    uint64_t sum;
};

static void mix(struct state *state, uint64_t position, uint64_t version, int64_t time_ns,
                const char *data, uint32_t size)
{
    uint64_t sum = state->sum ^ position * 31 ^ version * 1009 ^ (uint64_t)time_ns;

    for (uint32_t i = 0; i < size; i++)
        sum = (sum ^ (uint8_t)data[i]) * UINT64_C(0x100000001b3);
    state->sum = sum;
    state->count++;
}

static int apply(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)payload;
    (void)error;
    mix(state, event->position, event->version, event->time_ns, event->data, event->data_size);
    return 0;
}

static void pick_point(quipu_point *at, unsigned stream)
{
    const struct event *some = model.head > 0 ? &model.events[model_below(model.head)] : NULL;

    *at = (quipu_point){.kind = (uint32_t)model_below(5)};
    if (at->kind == QUIPU_AT_VERSION)
        at->value = (int64_t)model_below(model.versions[stream] + 3);
    else if (at->kind == QUIPU_AT_POSITION)
        at->value = (int64_t)model_below(model.head + 3);
    else if (at->kind == QUIPU_AT_TIME)
        at->value =
            model_chance(50) || some == NULL ? (int64_t)model_below(2002) - 1001 : some->time_ns;
    else if (at->kind == QUIPU_AT_RECORDED && some != NULL)
        at->value = some->recorded_ns + (int64_t)model_below(3) - 1;
}

static bool is_beyond(const quipu_point *at, const struct event *event, uint64_t position)
{
    switch (at->kind) {
    case QUIPU_AT_VERSION:
        return (int64_t)event->version > at->value;
    case QUIPU_AT_POSITION:
        return (int64_t)position > at->value;
    case QUIPU_AT_TIME:
        return event->time_ns > at->value;
    case QUIPU_AT_RECORDED:
        return event->recorded_ns > at->value;
    default:
        return false;
    }
}

void model_load(void)
{
    quipu_fold fold = {QUIPU_INIT(quipu_fold), .version = (uint32_t)model_below(3), .name = "sum",
                       .state_size = sizeof(struct state), .apply = apply};
    unsigned stream = model_chance(80) ? model_pick_stream() : (unsigned)model_below(STREAMS);
    quipu_point at;
    struct state got;
    struct state should = {0};
    uint64_t version = 99;
    uint64_t reached = 0;
    quipu_error error = {0};
    int rc;

    fold.snapshot_every = model_chance(50) ? (uint32_t)model_below(6) : 0;
    fold.snapshot_bytes = model_chance(30) ? model_below(2000) : 0;
    fold.snapshot_keep = (uint32_t)model_below(4);
    if (model_chance(3)) {
        rc = quipu_snapshot_drop(model.store, NULL, NULL, NULL, &error);
        CHECK(rc == (model.read_only ? QUIPU_READ_ONLY : QUIPU_OK), "drop snapshots: %d %s", rc,
              error.text);
    }
    pick_point(&at, stream);
    for (uint64_t position = 1; position <= model.head; position++) {
        const struct event *event = &model.events[position - 1];

        if (event->stream != stream)
            continue;
        if (is_beyond(&at, event, position))
            break;
        mix(&should, position, event->version, event->time_ns,
            event->bytes + event->tags_size + event->meta_size, event->data_size);
        reached = event->version;
    }
    rc = quipu_load(model.store, &fold, model_streams[stream],
                    at.kind == QUIPU_AT_HEAD && model_chance(50) ? NULL : &at, &got, &version,
                    &error);
    CHECK(rc == QUIPU_OK, "load: %d %s", rc, error.text);
    CHECK(version == reached, "version %" PRIu64 ", not %" PRIu64 " (kind %u)", version, reached,
          at.kind);
    CHECK(got.count == should.count && got.sum == should.sum, "another state at %" PRIu64, version);
}

/* ---- names and figures ----------------------------------------------------------------------- */

static int by_name(const void *left, const void *right)
{
    return strcmp(model_streams[*(const unsigned *)left], model_streams[*(const unsigned *)right]);
}

static void compare_item(const quipu_item *item, unsigned stream)
{
    uint64_t first = 0;
    uint64_t last = 0;

    for (uint64_t position = 1; position <= model.head; position++) {
        if (model.events[position - 1].stream != stream)
            continue;
        first = first == 0 ? position : first;
        last = position;
    }
    CHECK(strcmp(item->name, model_streams[stream]) == 0, "%s, not %s", item->name,
          model_streams[stream]);
    CHECK(item->version == model.versions[stream] && item->count == item->version,
          "%s: %" PRIu64 " %" PRIu64, item->name, item->version, item->count);
    CHECK(item->first_position == first && item->position == last,
          "%s: %" PRIu64 "-%" PRIu64 ", not %" PRIu64 "-%" PRIu64, item->name, item->first_position,
          item->position, first, last);
    CHECK(item->time_ns == model.events[first - 1].time_ns &&
              item->last_time_ns == model.events[last - 1].time_ns,
          "times of %s", item->name);
}

void model_list(void)
{
    unsigned streams[STREAMS];
    size_t count = 0;
    char prefix[256] = "";
    quipu_list *list;
    quipu_item item;

    if (model_chance(70))
        (void)snprintf(
            prefix, sizeof(prefix), "%.*s", (int)model_below(5),
            model_streams[15 + model_below(STREAMS - 15)]); /* whole characters: all ASCII */
    for (unsigned i = 0; i < STREAMS; i++)
        if (model.versions[i] > 0 && strncmp(model_streams[i], prefix, strlen(prefix)) == 0)
            streams[count++] = i;
    qsort(streams, count, sizeof(streams[0]), by_name);
    CHECK(quipu_list_open(model.store, QUIPU_LIST_STREAMS,
                          model_chance(20) && prefix[0] == '\0' ? NULL : prefix, &list,
                          NULL) == QUIPU_OK,
          "list");
    for (size_t i = 0; i < count; i++) {
        CHECK(quipu_list_next(list, &item, NULL) == QUIPU_ROW, "name %zu of %zu", i, count);
        compare_item(&item, streams[i]);
    }
    CHECK(quipu_list_next(list, &item, NULL) == QUIPU_OK, "more names than there are");
    quipu_list_close(list);
}

/* Does an event have the term: a category, a type, or a tag? */
static bool has_term(const struct event *event, int kind, const char *name)
{
    if (kind == QUIPU_LIST_CATEGORIES)
        return strcmp(model_categories[event->stream], name) == 0;
    if (kind == QUIPU_LIST_TYPES)
        return strcmp(model_types[event->type], name) == 0;
    return model_has_tag(event, name);
}

static void compare_term(const quipu_item *item, int kind)
{
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t count = 0;

    for (uint64_t position = 1; position <= model.head; position++) {
        if (!has_term(&model.events[position - 1], kind, item->name))
            continue;
        first = first == 0 ? position : first;
        last = position;
        count++;
    }
    CHECK(count > 0 && item->count == count && item->first_position == first &&
              item->position == last && item->version == 0,
          "%s: %" PRIu64 "/%" PRIu64 " at %" PRIu64 "-%" PRIu64 ", not %" PRIu64 "-%" PRIu64,
          item->name, item->count, count, item->first_position, item->position, first, last);
    CHECK(item->time_ns == model.events[first - 1].time_ns &&
              item->last_time_ns == model.events[last - 1].time_ns,
          "times of %s", item->name);
}

/* Each that is listed is right, in order; and nothing is missing, as all of their events together
 * are as many as there are. Of tags, of which there are many, those of one prefix. */
void model_list_terms(void)
{
    static const int kinds[] = {QUIPU_LIST_CATEGORIES, QUIPU_LIST_TYPES, QUIPU_LIST_TAGS};
    int kind = kinds[model_below(3)];
    char prefix[16] = "";
    char before[256] = "";
    uint64_t listed = 0;
    uint64_t should = 0;
    quipu_list *list;
    quipu_item item;
    int rc;

    if (kind == QUIPU_LIST_TAGS)
        (void)snprintf(prefix, sizeof(prefix), "k%" PRIu64 ":%" PRIx64, model_below(TAGS_MAX),
                       model_below(TAG_VALUES));
    for (uint64_t i = 0; i < model.head; i++) {
        const char *tag = model.events[i].bytes;

        should += kind != QUIPU_LIST_TAGS;
        for (uint32_t t = 0; t < model.events[i].tag_count; t++, tag += strlen(tag) + 1)
            should += kind == QUIPU_LIST_TAGS && strncmp(tag, prefix, strlen(prefix)) == 0;
    }
    CHECK(quipu_list_open(model.store, kind, prefix, &list, NULL) == QUIPU_OK, "list %d", kind);
    for (rc = quipu_list_next(list, &item, NULL); rc == QUIPU_ROW;
         rc = quipu_list_next(list, &item, NULL)) {
        CHECK(strcmp(before, item.name) < 0, "%s after %s", item.name, before);
        (void)snprintf(before, sizeof(before), "%s", item.name);
        listed += item.count;
        if (kind != QUIPU_LIST_TAGS || strcmp(item.name, prefix) == 0 || model_chance(5))
            compare_term(&item, kind);
    }
    CHECK(rc == QUIPU_OK && listed == should, "%d: %" PRIu64 " listed of %" PRIu64, rc, listed,
          should);
    quipu_list_close(list);
}

void model_stat(void)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    uint64_t head;
    uint64_t streams = 0;

    for (unsigned i = 0; i < STREAMS; i++)
        streams += model.versions[i] > 0;
    CHECK(quipu_head(model.store, &head, NULL) == QUIPU_OK && head == model.head, "head");
    CHECK(quipu_stat_get(model.store, &stat, NULL) == QUIPU_OK, "stat");
    CHECK(stat.events == model.head && stat.head == model.head && stat.streams == streams,
          "%" PRIu64 " %" PRIu64 " %" PRIu64, stat.events, stat.head, stat.streams);
    CHECK(stat.indexed <= stat.head && stat.tail_events == stat.head - stat.indexed, "indexed");
    if (model.head > 0)
        CHECK(stat.first_time_ns == model.events[0].time_ns &&
                  stat.last_time_ns == model.events[model.head - 1].time_ns && stat.chain != 0,
              "times");
}

static int print_finding(void *payload, const quipu_finding *finding)
{
    (void)payload;
    (void)fprintf(stderr, "%s %s %" PRIu64 ": %s\n", finding->file, finding->table,
                  finding->position, finding->text);
    return 0;
}

void model_verify(void)
{
    quipu_verified verified = {QUIPU_INIT(quipu_verified), .reserved = 0};
    quipu_error error = {0};
    int rc = quipu_verify(model.path, 0, print_finding, NULL, NULL, &verified, &error);

    CHECK(rc == QUIPU_OK, "verify: %d %s", rc, error.text);
    CHECK(verified.checked == model.head && verified.head == model.head && verified.findings == 0,
          "checked %" PRIu64, verified.checked);
}

/* ---- marks ----------------------------------------------------------------------------------- */

static void compare_mark(const struct mark *should, int rc, uint64_t number, const char *name)
{
    CHECK(rc == (should->set ? QUIPU_OK : QUIPU_NOT_FOUND), "%s: %d", name, rc);
    CHECK(!should->set || number == should->number, "%s: %" PRIu64 ", not %" PRIu64, name, number,
          should->number);
}

/* The names are in order; marks come before sources. */
void model_list_marks(void)
{
    unsigned which = (unsigned)model_below(MARKS);
    const char *prefix = model_chance(50) ? NULL : model_mark_names[model_below(2)][which];
    const size_t size = prefix != NULL ? strlen(prefix) : 0;
    uint64_t number = 0;
    quipu_list *list;
    quipu_item item;
    int rc = quipu_mark_get(model.store, model_mark_names[0][which], &number, NULL);

    compare_mark(&model.marks[0][which], rc, number, model_mark_names[0][which]);
    rc = quipu_tracked_get(model.store, model_mark_names[1][which], &number, NULL);
    compare_mark(&model.marks[1][which], rc, number, model_mark_names[1][which]);
    CHECK(quipu_list_open(model.store, QUIPU_LIST_MARKS, prefix, &list, NULL) == QUIPU_OK, "marks");
    for (unsigned i = 0; i < 2 * MARKS; i++) {
        const struct mark *mark = &model.marks[i / MARKS][i % MARKS];
        const char *name = model_mark_names[i / MARKS][i % MARKS];
        uint64_t lag = i < MARKS && mark->number < model.head ? model.head - mark->number : 0;

        if (!mark->set || (prefix != NULL && strncmp(name, prefix, size) != 0))
            continue;
        CHECK(quipu_list_next(list, &item, NULL) == QUIPU_ROW, "%s", name);
        CHECK(strcmp(item.name, name) == 0 && strcmp(item.text, i < MARKS ? "mark" : "source") == 0,
              "%s %s, not %s", item.text, item.name, name);
        CHECK(item.mark == mark->number && item.lag == lag && item.last_time_ns > 0,
              "%s: %" PRIu64 " %" PRIu64, name, item.mark, item.lag);
    }
    CHECK(quipu_list_next(list, &item, NULL) == QUIPU_OK, "more marks than there are");
    quipu_list_close(list);
}
