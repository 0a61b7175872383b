/* model.c - random operations on a store, each held against a plain array of events.
 *
 * model [--seed N] [--steps N]    without a seed: a few fixed ones and one that is new each time
 *
 * Merges of the tail into the index happen at random moments (the thresholds of base.h would never
 * be reached here), so that lookups meet tails and indexes of every length. */
#include "handles.h"
#include "merge.h"
#include "support_system.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STREAMS = 56,
    TYPES = 12,
    TYPES_USED = 9, /* the others are asked for and never appended */
    STREAMS_USED = 50,
    ITEMS_MAX = 4,
    ITEM_TYPES_MAX = 3,
    KEPT_MAX = 6,
    STEPS_MAX = 6,
    DRAFTS_MAX = 4096,
    TAGS_MAX = 6,
    TAG_VALUES = 4,
    ITEM_TAGS_MAX = 2
};

/* What an event should be. bytes: tags, meta, data. */
struct event {
    uint64_t version;
    int64_t time_ns;
    int64_t recorded_ns;
    unsigned stream;
    unsigned type;
    uint32_t flags;
    uint32_t tag_count;
    uint32_t tags_size;
    uint32_t meta_size;
    uint32_t data_size;
    uint8_t data_format;
    uint8_t meta_format;
    uint16_t schema;
    uint8_t id[16];
    char *bytes;
};

/* A read, and how far the reference has come in it. Never copied: it points into itself. */
struct wanted {
    bool by_stream;
    unsigned stream;
    quipu_query query;
    quipu_query_item items[ITEMS_MAX];
    const char *types[ITEMS_MAX][ITEM_TYPES_MAX];
    const char *tags[ITEMS_MAX][ITEM_TAGS_MAX];
    char tag_names[ITEMS_MAX][ITEM_TAGS_MAX][16];
    quipu_range range;
    uint64_t head;
    uint64_t at; /* the next position to look at */
    uint64_t given;
    uint64_t last; /* position that was given last */
    bool ended;    /* there was no more, whatever the limit */
};

struct kept {
    quipu_reader *reader;
    struct wanted wanted;
};

struct step {
    unsigned stream;
    uint64_t expected;
    size_t first;
    size_t count;
};

static struct model {
    struct sys_random random;
    unsigned merge_percent;
    unsigned big_percent;
    char directory[SYS_PATH_BYTES];
    char path[SYS_PATH_BYTES];
    quipu *store;
    bool read_only;
    struct event *events; /* of position i + 1 */
    uint64_t head;
    size_t capacity;
    uint64_t versions[STREAMS];
    struct kept kept[KEPT_MAX];
    /* The batch that is being made. */
    struct event pending[DRAFTS_MAX];
    quipu_draft drafts[DRAFTS_MAX];
    const char *tags[DRAFTS_MAX][TAGS_MAX];
    size_t pending_count;
    struct step steps[STEPS_MAX];
    size_t step_count;
    uint64_t reads;
    uint64_t merges;
    uint64_t known;   /* batches that were */
    uint64_t refused; /* for their ids */
    uint64_t beside;  /* batches by another process */
    uint64_t reopens;
} model;

static char stream_names[STREAMS][256];
static char category_names[STREAMS][256];

static const char *const type_names[TYPES] = {
    "created", "paid", "shipped",   "p",     "paid-late", "\xc3\xa9tat",
    "a b",     "x.y",  "cancelled", "never", "creat",     "created2",
};

static uint64_t below(uint64_t bound)
{
    return sys_below(&model.random, bound);
}

static bool chance(unsigned percent)
{
    return sys_chance(&model.random, percent);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void make_names(void)
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
        char *name = stream_names[i];
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
            memcpy(category_names[i], name, sizeof(category_names[i]));
        else
            (void)snprintf(category_names[i], 256, "%.*s", (int)(dash - name), name);
    }
}

/* Some streams get most of the events, so that they have blocks in the index. */
static unsigned pick_stream(void)
{
    if (chance(40))
        return (unsigned)below(3);
    if (chance(50))
        return (unsigned)below(12);
    return (unsigned)below(STREAMS_USED);
}

/* ---- drafts ---------------------------------------------------------------------------------- */

static uint32_t pick_size(void)
{
    if (chance(model.big_percent))
        return (uint32_t)(4096 + below(200 * 1024));
    if (chance(4))
        return (uint32_t)(3900 + below(400)); /* around the end of a row */
    if (chance(30))
        return 0;
    return (uint32_t)below(300);
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
    uint8_t format = (uint8_t)below(3);

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
                       below(5) == 0 ? sys_next(&model.random) : below(TAG_VALUES)) +
              1;
    }
    event->tags_size = (uint32_t)(at - begin);
    return at;
}

/* Half of the wishes are to be kept: the newest time that was recorded, or a little later. */
static int64_t pick_recorded(void)
{
    int64_t last = model.head > 0 ? model.events[model.head - 1].recorded_ns : 0;

    switch (below(4)) {
    case 0:
        return last;
    case 1:
        return last + (int64_t)below(1000);
    case 2:
        return last - 1 - (int64_t)below(1000000);
    default:
        return INT64_MAX - (int64_t)below(3);
    }
}

static void make_draft(unsigned stream, bool small)
{
    struct event *event = &model.pending[model.pending_count];
    quipu_draft *draft = &model.drafts[model.pending_count];
    const char **tags = model.tags[model.pending_count];
    char *at;

    *event = (struct event){.stream = stream, .type = (unsigned)below(TYPES_USED)};
    event->data_size = small ? (uint32_t)below(20) : pick_size();
    event->meta_size = chance(25) && !small ? pick_size() : 0;
    event->tag_count = chance(25) ? (uint32_t)below(TAGS_MAX + 1) : 0;
    event->bytes = malloc((size_t)event->data_size + event->meta_size + TAGS_MAX * 64 + 1);
    CHECK(event->bytes != NULL, "memory");
    at = put_tags(event, tags, event->bytes);
    *draft = (quipu_draft){.type = type_names[event->type],
                           .tags = event->tag_count > 0 ? tags : NULL,
                           .tag_count = event->tag_count,
                           .data_size = event->data_size,
                           .meta_size = event->meta_size,
                           .data_format = pick_format(event->data_size),
                           .meta_format = pick_format(event->meta_size),
                           .schema = (uint16_t)below(3)};
    fill_payload(at, draft->meta_size, draft->meta_format);
    fill_payload(at + draft->meta_size, draft->data_size, draft->data_format);
    draft->meta = draft->meta_size > 0 ? at : NULL;
    draft->data = draft->data_size > 0 ? at + draft->meta_size : NULL;
    event->data_format = draft->data_size > 0 ? draft->data_format : 0;
    event->meta_format = draft->meta_size > 0 ? draft->meta_format : 0;
    event->schema = draft->schema;
    if (chance(30)) {
        event->flags |= QUIPU_EVENT_HAS_ID;
        for (size_t i = 0; i < sizeof(event->id); i++)
            event->id[i] = draft->id[i] = (uint8_t)below(256);
    }
    if (chance(60)) {
        event->flags |= QUIPU_EVENT_HAS_TIME;
        event->time_ns = draft->time_ns = (int64_t)below(2000) - 1000;
    }
    draft->flags = event->flags;
    if (chance(10)) {
        draft->flags |= QUIPU_EVENT_HAS_RECORDED;
        draft->recorded_ns = pick_recorded();
    }
    model.pending_count++;
}

/* ---- batches --------------------------------------------------------------------------------- */

static uint64_t pick_expected(uint64_t actual)
{
    switch (below(20)) {
    case 0:
        return QUIPU_NEW;
    case 1:
        return QUIPU_EXISTS;
    case 2:
        return actual + 1;
    case 3:
        return actual == 0 ? 1 : actual - 1;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        return actual;
    default:
        return QUIPU_ANY;
    }
}

static bool holds(uint64_t expected, uint64_t actual)
{
    if (expected == QUIPU_ANY)
        return true;
    return expected == QUIPU_EXISTS ? actual > 0 : actual == expected;
}

static size_t pick_count(void)
{
    if (chance(1))
        return below(3000);
    if (chance(5))
        return below(200);
    return below(5);
}

/* Give the drafts of a step the ids that some events of its stream have: mostly of neighbours, in
 * their order, and with the version before them. */
static void send_again(struct step *step)
{
    uint64_t position = model.head == 0 ? 0 : 1 + below(model.head);
    bool any = chance(50);
    size_t given = 0;

    for (; position >= 1 && position <= model.head && given < step->count; position++) {
        const struct event *event = &model.events[position - 1];
        quipu_draft *draft = &model.drafts[step->first + given];

        if (event->stream != step->stream || (given == 0 && (event->flags & 1) == 0))
            continue;
        if ((event->flags & QUIPU_EVENT_HAS_ID) == 0 && chance(80))
            break;
        if (given == 0 && !any)
            step->expected = event->version - 1;
        draft->flags |= QUIPU_EVENT_HAS_ID;
        memcpy(draft->id, event->id, sizeof(draft->id));
        memcpy(model.pending[step->first + given].id, event->id, sizeof(draft->id));
        model.pending[step->first + given].flags |= QUIPU_EVENT_HAS_ID;
        given++;
        if (chance(3))
            position++;
    }
    if (given > 0 && chance(70)) { /* nothing new behind them */
        model.pending_count -= step->count - given;
        for (size_t i = given; i < step->count; i++)
            free(model.pending[step->first + i].bytes);
        step->count = given;
    }
}

static void make_batch(void)
{
    uint64_t running[STREAMS];
    size_t steps = chance(60) ? 1 : below(STEPS_MAX + 1);

    memcpy(running, model.versions, sizeof(running));
    model.pending_count = 0;
    model.step_count = steps;
    for (size_t i = 0; i < steps; i++) {
        struct step *step = &model.steps[i];
        size_t count = pick_count();

        step->stream = i > 0 && chance(40) ? model.steps[i - 1].stream : pick_stream();
        if (count > DRAFTS_MAX - model.pending_count)
            count = DRAFTS_MAX - model.pending_count;
        step->first = model.pending_count;
        step->count = count;
        step->expected =
            pick_expected(count > 0 ? running[step->stream] : model.versions[step->stream]);
        for (size_t j = 0; j < count; j++)
            make_draft(step->stream, count > 50);
        if (chance(25))
            send_again(step);
        running[step->stream] += count;
    }
}

/* Where the draft's id is in the stream, 0: nowhere. */
static uint64_t find_id(unsigned stream, const quipu_draft *draft)
{
    if ((draft->flags & QUIPU_EVENT_HAS_ID) == 0)
        return 0;
    for (uint64_t position = 1; position <= model.head; position++) {
        const struct event *event = &model.events[position - 1];

        if (event->stream == stream && (event->flags & QUIPU_EVENT_HAS_ID) != 0 &&
            memcmp(event->id, draft->id, 16) == 0)
            return position;
    }
    return 0;
}

/* Has an earlier draft for this stream, of those up to where its step failed, the same id? */
static bool is_twice(const size_t *looked_at, size_t step, size_t draft)
{
    const quipu_draft *own = &model.drafts[model.steps[step].first + draft];

    if ((own->flags & QUIPU_EVENT_HAS_ID) == 0)
        return false;
    for (size_t i = 0; i <= step; i++) {
        size_t count = i == step ? draft : looked_at[i];

        for (size_t j = 0; j < count && model.steps[i].stream == model.steps[step].stream; j++) {
            const quipu_draft *other = &model.drafts[model.steps[i].first + j];

            if ((other->flags & QUIPU_EVENT_HAS_ID) != 0 && memcmp(other->id, own->id, 16) == 0)
                return true;
        }
    }
    return false;
}

/* An append by its ids alone. Returns: 1 all of it is known; 0 nothing is; a status: it fails for
 * the draft that stands in the result. `looked_at` counts the drafts up to there. */
static int foretell_ids(size_t step, size_t *looked_at, quipu_result *result)
{
    uint64_t expected = model.steps[step].expected;
    uint64_t first = 0; /* position */

    for (size_t i = 0; i < model.steps[step].count; i++) {
        const quipu_draft *draft = &model.drafts[model.steps[step].first + i];
        uint64_t position = find_id(model.steps[step].stream, draft);
        uint64_t wanted = first == 0 ? 0 : model.events[first - 1].version + i;

        result->draft = (uint32_t)i;
        result->matched = position;
        looked_at[step] = i + 1;
        if (is_twice(looked_at, step, i)) {
            result->matched = 0;
            return QUIPU_DUPLICATE_ID;
        }
        if (i == 0 && position != 0) {
            first = position;
            wanted = model.events[first - 1].version;
            if (expected != QUIPU_ANY && expected != QUIPU_EXISTS && expected != wanted - 1)
                return expected == result->actual ? QUIPU_DUPLICATE_ID : QUIPU_CONFLICT;
        }
        if (first == 0 && position != 0)
            return QUIPU_DUPLICATE_ID;
        if (first != 0 && (position == 0 || model.events[position - 1].version != wanted)) {
            result->matched = first;
            return QUIPU_PARTIAL_DUPLICATE;
        }
        result->count = position;
    }
    result->draft = 0;
    result->matched = 0;
    return first != 0 ? 1 : 0;
}

/* All of it is there: result->count holds the last position until here. */
static void foretell_known(quipu_receipt *receipt, quipu_result results[STEPS_MAX])
{
    receipt->verdict = QUIPU_DUPLICATE;
    for (size_t i = 0; i < model.step_count; i++) {
        const struct step *step = &model.steps[i];
        uint64_t first = find_id(step->stream, &model.drafts[step->first]);

        results[i].status = QUIPU_OK;
        if (step->count == 0)
            continue;
        if (results[i].count > receipt->last_position)
            receipt->last_position = results[i].count;
        if (receipt->first_position == 0 || first < receipt->first_position)
            receipt->first_position = first;
        results[i].first_position = first;
        results[i].first_version = model.events[first - 1].version;
        results[i].count = step->count;
        receipt->last_version = results[i].first_version + step->count - 1;
    }
}

/* It fails: for an id if it can, else for the first condition. */
static int foretell_failure(quipu_receipt *receipt, quipu_result results[STEPS_MAX])
{
    const quipu_result *told = NULL;

    for (size_t i = 0; i < model.step_count; i++) {
        results[i].count = 0;
        if (results[i].status == QUIPU_OK)
            continue;
        receipt->failed_count++;
        if (told == NULL || (told->status == QUIPU_CONFLICT && results[i].status != QUIPU_CONFLICT))
            told = &results[i];
    }
    receipt->failed_step = (uint32_t)(told - results);
    receipt->failed_draft = told->draft;
    receipt->expected = told->expected;
    receipt->actual = told->actual;
    receipt->matched = told->matched;
    return told->status;
}

/* The verdict, the receipt and each result as they should be. Returns the status. */
static int foretell(quipu_receipt *receipt, quipu_result results[STEPS_MAX])
{
    uint64_t running[STREAMS];
    uint64_t position = model.head + 1;
    size_t looked_at[STEPS_MAX] = {0};
    bool known[STEPS_MAX] = {false};
    bool any_known = false;
    bool any_new = false;
    bool all_hold = true;
    bool others_hold = true;

    memcpy(running, model.versions, sizeof(running));
    *receipt = (quipu_receipt){0};
    for (size_t i = 0; i < model.step_count; i++) {
        const struct step *step = &model.steps[i];
        uint64_t actual = step->count > 0 ? running[step->stream] : model.versions[step->stream];
        int ids;

        results[i] = (quipu_result){.expected = step->expected, .actual = actual};
        ids = foretell_ids(i, looked_at, &results[i]);
        known[i] = ids == 1;
        any_known = any_known || known[i];
        if (ids < 0)
            results[i].status = ids;
        else if (!known[i] && !holds(step->expected, actual))
            results[i].status = QUIPU_CONFLICT;
        any_new = any_new || (step->count > 0 && ids == 0);
        all_hold = all_hold && results[i].status == QUIPU_OK;
        others_hold = others_hold && (step->count == 0 || results[i].status == QUIPU_OK);
        if (ids == 0)
            running[step->stream] += step->count;
    }
    if (any_known && !any_new && others_hold) {
        foretell_known(receipt, results);
        return QUIPU_OK;
    }
    for (size_t i = 0; i < model.step_count && any_new; i++) {
        if (!known[i])
            continue;
        results[i].status = QUIPU_DUPLICATE_ID;
        results[i].matched = find_id(model.steps[i].stream, &model.drafts[model.steps[i].first]);
    }
    if (!all_hold || any_known)
        return foretell_failure(receipt, results);
    receipt->verdict = QUIPU_COMMITTED;
    for (size_t i = 0; i < model.step_count; i++) {
        if (model.steps[i].count == 0)
            continue;
        results[i].first_position = position;
        results[i].first_version = results[i].actual + 1;
        results[i].count = model.steps[i].count;
        position += model.steps[i].count;
        receipt->last_version = results[i].actual + model.steps[i].count;
        receipt->first_position = model.head + 1;
        receipt->last_position = position - 1;
    }
    return QUIPU_OK;
}

static void compare_receipt(const quipu_receipt *got, const quipu_receipt *should)
{
    CHECK(memcmp(got, should, sizeof(*got)) == 0,
          "verdict %d/%d failed %u/%u positions %" PRIu64 "-%" PRIu64 "/%" PRIu64 "-%" PRIu64
          " version %" PRIu64 "/%" PRIu64 " step %u/%u expected %" PRIu64 "/%" PRIu64
          " actual %" PRIu64 "/%" PRIu64,
          got->verdict, should->verdict, got->failed_count, should->failed_count,
          got->first_position, got->last_position, should->first_position, should->last_position,
          got->last_version, should->last_version, got->failed_step, should->failed_step,
          got->expected, should->expected, got->actual, should->actual);
}

static void compare_results(const quipu_result *results, const quipu_result *should)
{
    for (size_t i = 0; i < model.step_count; i++) {
        const quipu_result *got = &results[i];

        CHECK(memcmp(got, &should[i], sizeof(*got)) == 0,
              "step %zu: status %d/%d position %" PRIu64 "/%" PRIu64 " version %" PRIu64 "/%" PRIu64
              " count %" PRIu64 "/%" PRIu64 " actual %" PRIu64 "/%" PRIu64,
              i, got->status, should[i].status, got->first_position, should[i].first_position,
              got->first_version, should[i].first_version, got->count, should[i].count, got->actual,
              should[i].actual);
    }
}

/* ---- comparing events ------------------------------------------------------------------------ */

static void compare_bytes(const char *what, uint64_t position, const void *got, uint32_t got_size,
                          const char *should, uint32_t size)
{
    CHECK(got_size == size, "%s at %" PRIu64 ": %u bytes, not %u", what, position, got_size, size);
    CHECK(size == 0 || memcmp(got, should, size) == 0, "%s at %" PRIu64, what, position);
}

static void compare_event(const quipu_event *got, uint64_t position)
{
    const struct event *should = &model.events[position - 1];
    const char *at = should->bytes;
    const char *stream = stream_names[should->stream];
    uint32_t tags_size = 0;

    CHECK(got->position == position, "%" PRIu64 ", not %" PRIu64, got->position, position);
    CHECK(got->version == should->version, "at %" PRIu64 ": %" PRIu64 ", not %" PRIu64, position,
          got->version, should->version);
    CHECK(strcmp(got->stream, stream) == 0 && got->stream_size == strlen(stream),
          "at %" PRIu64 ": %s, not %s", position, got->stream, stream);
    CHECK(strcmp(got->type, type_names[should->type]) == 0 && got->type_size == strlen(got->type),
          "at %" PRIu64 ": %s", position, got->type);
    CHECK(quipu_event_is(got, type_names[should->type]) == 1, "at %" PRIu64, position);
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

/* ---- commit ---------------------------------------------------------------------------------- */

/* Take the pending events over, and learn from the store what only it knows: its clock, and the ids
 * that nobody gave. */
static void learn(struct event *event, const quipu_draft *draft, const quipu_event *got,
                  int64_t *last, int64_t *now)
{
    bool wish = (draft->flags & QUIPU_EVENT_HAS_RECORDED) != 0;
    static const uint8_t zeroes[16];

    CHECK(got->recorded_ns >= *last, "the clock ran backwards at %" PRIu64, got->position);
    if (wish && got->recorded_ns == draft->recorded_ns) {
        CHECK(*now == 0 || draft->recorded_ns <= *now, "recorded after now");
    } else {
        CHECK(!wish || draft->recorded_ns < *last || draft->recorded_ns > got->recorded_ns,
              "a valid recorded_ns was not kept at %" PRIu64, got->position);
        CHECK(*now == 0 || *now == got->recorded_ns, "two times in one batch");
        *now = got->recorded_ns;
    }
    *last = got->recorded_ns;
    event->recorded_ns = got->recorded_ns;
    if ((event->flags & QUIPU_EVENT_HAS_TIME) == 0)
        event->time_ns = got->recorded_ns;
    if ((event->flags & QUIPU_EVENT_HAS_ID) == 0) {
        CHECK(memcmp(got->id, zeroes, sizeof(zeroes)) != 0, "no id at %" PRIu64, got->position);
        memcpy(event->id, got->id, sizeof(event->id));
    }
}

static void take_over(void)
{
    int64_t last = model.head > 0 ? model.events[model.head - 1].recorded_ns : INT64_MIN;
    int64_t now = 0;
    quipu_range range = {QUIPU_INIT(quipu_range), .after = model.head};
    quipu_reader *reader;
    quipu_event got;

    if (model.head + model.pending_count > model.capacity) {
        model.capacity = (model.head + model.pending_count) * 2;
        model.events = realloc(model.events, model.capacity * sizeof(*model.events));
        CHECK(model.events != NULL, "memory");
    }
    CHECK(quipu_read(model.store, NULL, &range, &reader, NULL) == QUIPU_OK, "read back");
    for (size_t i = 0; i < model.pending_count; i++) {
        struct event *event = &model.pending[i];

        CHECK(quipu_next(reader, &got, NULL) == QUIPU_ROW, "read back %zu", i);
        event->version = ++model.versions[event->stream];
        learn(event, &model.drafts[i], &got, &last, &now);
        model.events[model.head++] = *event;
        compare_event(&got, model.head);
    }
    CHECK(quipu_next(reader, &got, NULL) == QUIPU_OK, "more than was appended");
    CHECK(quipu_reader_head(reader) == model.head, "head");
    quipu_reader_close(reader);
}

static void drop_pending(void)
{
    for (size_t i = 0; i < model.pending_count; i++)
        free(model.pending[i].bytes);
    model.pending_count = 0;
}

/* What a commit gave, in this process or another. */
struct outcome {
    int rc;
    bool as_batch; /* it had steps, with results */
    quipu_receipt receipt;
    quipu_error error;
    quipu_result results[STEPS_MAX];
};

static int commit_batch(quipu *store, quipu_batch *batch, struct outcome *outcome)
{
    for (size_t i = 0; i < model.step_count; i++) {
        const struct step *step = &model.steps[i];
        const char *stream = stream_names[step->stream];

        if (step->count == 0 && chance(50))
            CHECK(quipu_batch_expect(batch, stream, step->expected) == QUIPU_OK, "expect");
        else
            CHECK(quipu_batch_append(batch, stream, step->expected, model.drafts + step->first,
                                     step->count) == QUIPU_OK,
                  "append");
    }
    return quipu_commit(store, batch, &outcome->receipt, &outcome->error);
}

static void commit(quipu *store, struct outcome *outcome)
{
    quipu_batch *batch = quipu_batch_new();

    CHECK(batch != NULL, "memory");
    *outcome = (struct outcome){.as_batch = model.step_count != 1 || chance(50)};
    if (outcome->as_batch)
        outcome->rc = commit_batch(store, batch, outcome);
    else
        outcome->rc =
            quipu_append(store, stream_names[model.steps[0].stream], model.steps[0].expected,
                         model.drafts, model.steps[0].count, &outcome->receipt, &outcome->error);
    outcome->as_batch = outcome->as_batch && !model.read_only;
    CHECK(!outcome->as_batch || quipu_batch_steps(batch) == model.step_count, "steps");
    for (size_t i = 0; i < model.step_count && outcome->as_batch; i++)
        CHECK(quipu_batch_result(batch, i, &outcome->results[i]) == QUIPU_OK, "step %zu", i);
    quipu_batch_free(batch);
}

/* The same by another process, which may merge when it closes the store. */
static void commit_beside(struct outcome *outcome)
{
    int ends[2];
    pid_t pid;

    CHECK(pipe(ends) == 0, "pipe");
    (void)fflush(NULL);
    pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        quipu *store = NULL;
        struct outcome own = {.rc = quipu_open(model.path, NULL, &store, NULL)};

        if (own.rc == QUIPU_OK)
            commit(store, &own);
        quipu_close(store);
        _exit(write(ends[1], &own, sizeof(own)) == (ssize_t)sizeof(own) ? 0 : 1);
    }
    (void)close(ends[1]);
    CHECK(read(ends[0], outcome, sizeof(*outcome)) == (ssize_t)sizeof(*outcome), "its outcome");
    (void)close(ends[0]);
    CHECK(sys_wait(pid) == 0, "it has failed");
    model.beside++;
}

static void do_append(void)
{
    quipu_receipt should;
    quipu_result results[STEPS_MAX];
    struct outcome outcome;
    int status;
    int rc;

    make_batch();
    status = foretell(&should, results);
    if (model.read_only) {
        status = QUIPU_READ_ONLY;
        should = (quipu_receipt){0};
    }
    if (!model.read_only && chance(8))
        commit_beside(&outcome);
    else
        commit(model.store, &outcome);
    rc = outcome.rc;
    CHECK(rc == status, "%d, not %d: %s", rc, status, outcome.error.text);
    CHECK(rc == QUIPU_OK || outcome.error.status == rc, "error %d", outcome.error.status);
    compare_receipt(&outcome.receipt, &should);
    if (outcome.as_batch)
        compare_results(outcome.results, results);
    if (rc == QUIPU_OK && should.verdict == QUIPU_COMMITTED)
        take_over();
    else
        drop_pending();
    model.known += rc == QUIPU_OK && should.verdict == QUIPU_DUPLICATE;
    model.refused += rc == QUIPU_DUPLICATE_ID || rc == QUIPU_PARTIAL_DUPLICATE;
}

/* ---- reads: the reference -------------------------------------------------------------------- */

static bool has_tag(const struct event *event, const char *tag)
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
        if (!has_tag(event, item->tags[i]))
            return false;
    for (uint32_t i = 0; i < item->type_count; i++)
        type = type || strcmp(item->types[i], type_names[event->type]) == 0;
    return type &&
           (item->stream == NULL || strcmp(item->stream, stream_names[event->stream]) == 0) &&
           (item->category == NULL || strcmp(item->category, category_names[event->stream]) == 0);
}

static bool matches(const struct wanted *wanted, uint64_t position)
{
    const struct event *event = &model.events[position - 1];
    uint64_t number = wanted->by_stream ? event->version : position;
    bool found = wanted->query.item_count == 0;

    if (number <= wanted->range.after || (wanted->range.upto != 0 && number > wanted->range.upto))
        return false;
    if (wanted->by_stream)
        return event->stream == wanted->stream;
    for (size_t i = 0; i < wanted->query.item_count && !found; i++)
        found = item_matches(&wanted->items[i], event);
    return found;
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
    if (chance(2))
        return UINT64_MAX - below(3);
    if (chance(30) && newest > 5)
        return newest - below(5);
    return below(newest + 3);
}

static void pick_range(quipu_range *range, uint64_t newest)
{
    *range = (quipu_range){QUIPU_INIT(quipu_range), .flags = 0};
    if (chance(50))
        range->flags |= QUIPU_BACKWARDS;
    if (chance(10))
        range->flags |= QUIPU_SKIP_CHECKSUMS;
    if (chance(20))
        range->flags |= QUIPU_RENEW;
    if (chance(50))
        range->after = pick_bound(newest);
    if (chance(50))
        range->upto = pick_bound(newest);
    if (chance(60))
        range->limit = 1 + below(20);
    else if (newest > 2000 && chance(90))
        range->limit = 1 + below(600);
}

static void pick_item(struct wanted *wanted, size_t i)
{
    quipu_query_item *item = &wanted->items[i];

    *item = (quipu_query_item){0};
    if (chance(30))
        item->stream = stream_names[below(STREAMS)];
    if (chance(35))
        item->category = category_names[below(STREAMS)];
    if (item->stream != NULL && chance(50))
        item->category = category_names[(size_t)(item->stream - stream_names[0]) / 256];
    if (chance(35))
        item->tag_count = (uint32_t)(1 + below(ITEM_TAGS_MAX));
    for (uint32_t t = 0; t < item->tag_count; t++) {
        (void)snprintf(wanted->tag_names[i][t], sizeof(wanted->tag_names[i][t]),
                       "k%" PRIu64 ":%" PRIx64, below(TAGS_MAX), below(TAG_VALUES));
        wanted->tags[i][t] = wanted->tag_names[i][t];
    }
    item->tags = item->tag_count > 0 ? wanted->tags[i] : NULL;
    if (chance(40) ||
        (item->stream == NULL && item->category == NULL && item->tag_count == 0 && chance(90)))
        item->type_count = (uint32_t)(1 + below(ITEM_TYPES_MAX));
    for (uint32_t t = 0; t < item->type_count; t++)
        wanted->types[i][t] = type_names[below(TYPES)];
    item->types = item->type_count > 0 ? wanted->types[i] : NULL;
}

static void pick_wanted(struct wanted *wanted)
{
    wanted->by_stream = chance(40);
    wanted->stream = chance(85) ? pick_stream() : (unsigned)below(STREAMS);
    wanted->query = (quipu_query){wanted->items, 0};
    if (!wanted->by_stream && chance(80)) {
        wanted->query.item_count = chance(60) ? 1 : below(ITEMS_MAX + 1);
        for (size_t i = 0; i < wanted->query.item_count; i++)
            pick_item(wanted, i);
    }
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
        rc = quipu_read_stream(model.store, stream_names[wanted->stream], &wanted->range, &reader,
                               &error);
    else
        rc = quipu_read(model.store, wanted->query.item_count > 0 ? &wanted->query : NULL,
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
    compare_event(&event, position);
    compare_head(reader, wanted);
    return true;
}

static void do_read(void)
{
    static struct wanted wanted;
    quipu_reader *reader;
    bool more = true;

    pick_wanted(&wanted);
    reader = open_wanted(&wanted);
    if (reader == NULL)
        return;
    model.reads++;
    while (more && !chance(1))
        more = compare_next(reader, &wanted);
    if (!more)
        (void)compare_next(reader, &wanted); /* the end stays the end */
    quipu_reader_close(reader);
}

/* A reader that outlives appends and merges. */
static void do_kept(void)
{
    struct kept *kept = &model.kept[below(KEPT_MAX)];
    uint64_t count = below(40);

    if (kept->reader == NULL) {
        pick_wanted(&kept->wanted);
        kept->reader = open_wanted(&kept->wanted);
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        if (!compare_next(kept->reader, &kept->wanted))
            break;
    if (chance(20)) {
        quipu_reader_close(kept->reader);
        kept->reader = NULL;
    }
}

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
    const struct event *some = model.head > 0 ? &model.events[below(model.head)] : NULL;

    *at = (quipu_point){.kind = (uint32_t)below(5)};
    if (at->kind == QUIPU_AT_VERSION)
        at->value = (int64_t)below(model.versions[stream] + 3);
    else if (at->kind == QUIPU_AT_POSITION)
        at->value = (int64_t)below(model.head + 3);
    else if (at->kind == QUIPU_AT_TIME)
        at->value = chance(50) || some == NULL ? (int64_t)below(2002) - 1001 : some->time_ns;
    else if (at->kind == QUIPU_AT_RECORDED && some != NULL)
        at->value = some->recorded_ns + (int64_t)below(3) - 1;
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

static void do_load(void)
{
    quipu_fold fold = {QUIPU_INIT(quipu_fold), .version = 1, .name = "sum",
                       .state_size = sizeof(struct state), .apply = apply};
    unsigned stream = chance(80) ? pick_stream() : (unsigned)below(STREAMS);
    quipu_point at;
    struct state got;
    struct state should = {0};
    uint64_t version = 99;
    uint64_t reached = 0;
    quipu_error error = {0};
    int rc;

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
    rc = quipu_load(model.store, &fold, stream_names[stream],
                    at.kind == QUIPU_AT_HEAD && chance(50) ? NULL : &at, &got, &version, &error);
    CHECK(rc == QUIPU_OK, "load: %d %s", rc, error.text);
    CHECK(version == reached, "version %" PRIu64 ", not %" PRIu64 " (kind %u)", version, reached,
          at.kind);
    CHECK(got.count == should.count && got.sum == should.sum, "another state at %" PRIu64, version);
}

/* ---- names and figures ----------------------------------------------------------------------- */

static int by_name(const void *left, const void *right)
{
    return strcmp(stream_names[*(const unsigned *)left], stream_names[*(const unsigned *)right]);
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
    CHECK(strcmp(item->name, stream_names[stream]) == 0, "%s, not %s", item->name,
          stream_names[stream]);
    CHECK(item->version == model.versions[stream] && item->count == item->version,
          "%s: %" PRIu64 " %" PRIu64, item->name, item->version, item->count);
    CHECK(item->first_position == first && item->position == last,
          "%s: %" PRIu64 "-%" PRIu64 ", not %" PRIu64 "-%" PRIu64, item->name, item->first_position,
          item->position, first, last);
    CHECK(item->time_ns == model.events[first - 1].time_ns &&
              item->last_time_ns == model.events[last - 1].time_ns,
          "times of %s", item->name);
}

static void do_list(void)
{
    unsigned streams[STREAMS];
    size_t count = 0;
    char prefix[256] = "";
    quipu_list *list;
    quipu_item item;

    if (chance(70))
        (void)snprintf(prefix, sizeof(prefix), "%.*s", (int)below(5),
                       stream_names[15 + below(STREAMS - 15)]); /* whole characters: all ASCII */
    for (unsigned i = 0; i < STREAMS; i++)
        if (model.versions[i] > 0 && strncmp(stream_names[i], prefix, strlen(prefix)) == 0)
            streams[count++] = i;
    qsort(streams, count, sizeof(streams[0]), by_name);
    CHECK(quipu_list_open(model.store, QUIPU_LIST_STREAMS,
                          chance(20) && prefix[0] == '\0' ? NULL : prefix, &list, NULL) == QUIPU_OK,
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
        return strcmp(category_names[event->stream], name) == 0;
    if (kind == QUIPU_LIST_TYPES)
        return strcmp(type_names[event->type], name) == 0;
    return has_tag(event, name);
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
static void do_list_terms(void)
{
    static const int kinds[] = {QUIPU_LIST_CATEGORIES, QUIPU_LIST_TYPES, QUIPU_LIST_TAGS};
    int kind = kinds[below(3)];
    char prefix[16] = "";
    char before[256] = "";
    uint64_t listed = 0;
    uint64_t should = 0;
    quipu_list *list;
    quipu_item item;
    int rc;

    if (kind == QUIPU_LIST_TAGS)
        (void)snprintf(prefix, sizeof(prefix), "k%" PRIu64 ":%" PRIx64, below(TAGS_MAX),
                       below(TAG_VALUES));
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
        if (kind != QUIPU_LIST_TAGS || strcmp(item.name, prefix) == 0 || chance(5))
            compare_term(&item, kind);
    }
    CHECK(rc == QUIPU_OK && listed == should, "%d: %" PRIu64 " listed of %" PRIu64, rc, listed,
          should);
    quipu_list_close(list);
}

static void do_stat(void)
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

static void do_verify(void)
{
    quipu_verified verified = {QUIPU_INIT(quipu_verified), .reserved = 0};
    quipu_error error = {0};
    int rc = quipu_verify(model.path, 0, print_finding, NULL, NULL, &verified, &error);

    CHECK(rc == QUIPU_OK, "verify: %d %s", rc, error.text);
    CHECK(verified.checked == model.head && verified.head == model.head && verified.findings == 0,
          "checked %" PRIu64, verified.checked);
}

/* ---- merge, close, open ---------------------------------------------------------------------- */

static void do_merge(void)
{
    quipu_error error = {0};
    int rc = qp_merge(model.store->handle, &error);

    CHECK(rc == QUIPU_OK, "merge: %d %s", rc, error.text);
    model.merges++;
}

static void open_store(uint32_t flags)
{
    quipu_options options = {QUIPU_INIT(quipu_options), .flags = flags};
    quipu_error error = {0};
    int rc = quipu_open(model.path, &options, &model.store, &error);

    CHECK(rc == QUIPU_OK, "open %x: %d %s", flags, rc, error.text);
    model.read_only = (flags & QUIPU_OPEN_READ_ONLY) != 0;
}

static void close_kept(bool store_is_closed)
{
    for (size_t i = 0; i < KEPT_MAX; i++) {
        quipu_event event;

        if (model.kept[i].reader == NULL)
            continue;
        if (store_is_closed)
            CHECK(quipu_next(model.kept[i].reader, &event, NULL) == QUIPU_CLOSED, "kept %zu", i);
        quipu_reader_close(model.kept[i].reader);
        model.kept[i].reader = NULL;
    }
}

static void remove_files(bool all_but_log)
{
    static const char *const names[] = {"index.mdb", "index.mdb-lock", "log.mdb-lock", "guard",
                                        "shared"};

    for (size_t i = 0; i < (all_but_log ? 5 : 2); i++) {
        char path[SYS_PATH_BYTES];

        sys_join(path, model.path, names[i]);
        (void)remove(path);
    }
}

static void do_reopen(void)
{
    bool children_first = chance(50);

    model.reopens++;
    if (children_first)
        close_kept(false);
    quipu_close(model.store);
    if (!children_first)
        close_kept(true);
    if (chance(20))
        remove_files(chance(50));
    open_store(chance(25) ? QUIPU_OPEN_READ_ONLY : chance(50) ? QUIPU_OPEN_EXISTING : 0);
}

/* A second open is the same store, counted. */
static void do_open_twice(void)
{
    quipu_options options = {QUIPU_INIT(quipu_options),
                             .flags = model.read_only ? QUIPU_OPEN_READ_ONLY : 0U};
    quipu *again;

    CHECK(quipu_open(model.path, &options, &again, NULL) == QUIPU_OK, "open again");
    CHECK(again == model.store, "another store");
    quipu_close(again);
}

/* ---- run ------------------------------------------------------------------------------------- */

static const struct {
    unsigned weight;
    void (*run)(void);
    const char *name;
} operations[] = {
    {340, do_append, "append"},
    {280, do_read, "read"},
    {180, do_kept, "kept reader"},
    {80, do_load, "load"},
    {40, do_list, "list"},
    {30, do_stat, "stat"},
    {30, do_list_terms, "list of terms"},
    {3, do_verify, "verify"},
    {10, do_reopen, "reopen"},
    {10, do_open_twice, "open twice"},
};

static void one_step(uint64_t seed, uint64_t step, uint64_t steps)
{
    unsigned total = 0;
    unsigned at;
    size_t which = 0;

    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        total += operations[i].weight;
    at = (unsigned)below(total);
    while (at >= operations[which].weight)
        at -= operations[which++].weight;
    (void)snprintf(sys_note, sizeof(sys_note),
                   "seed %" PRIu64 ", step %" PRIu64 " (%s): model --seed %" PRIu64
                   " --steps %" PRIu64,
                   seed, step, operations[which].name, seed, steps);
    operations[which].run();
    if (chance(model.merge_percent))
        do_merge();
}

static void run(uint64_t seed, uint64_t steps)
{
    static const unsigned merge_percents[] = {0, 1, 4, 25};
    double begin = sys_seconds();

    memset(&model, 0, sizeof(model));
    model.random.state = seed;
    model.merge_percent = merge_percents[below(4)];
    model.big_percent = (unsigned)below(3);
    (void)printf("seed %" PRIu64 " steps %" PRIu64 " merge %u%% big %u%%: ", seed, steps,
                 model.merge_percent, model.big_percent);
    (void)fflush(stdout);
    sys_directory(model.directory, true);
    sys_join(model.path, model.directory, "store");
    open_store(QUIPU_OPEN_NEW);
    for (uint64_t step = 0; step < steps; step++)
        one_step(seed, step, steps);
    do_verify();
    close_kept(false);
    quipu_close(model.store);
    do_verify();
    sys_remove(model.directory);
    for (uint64_t i = 0; i < model.head; i++)
        free(model.events[i].bytes);
    free(model.events);
    (void)printf("%" PRIu64 " events, %" PRIu64 " batches by others, %" PRIu64 " known, %" PRIu64
                 " with wrong ids, %" PRIu64 " reads, %" PRIu64 " merges, %" PRIu64
                 " reopens, %.1f s\n",
                 model.head, model.beside, model.known, model.refused, model.reads, model.merges,
                 model.reopens, sys_seconds() - begin);
}

int main(int count, char **arguments)
{
    uint64_t seed = 0;
    uint64_t steps = 5000;

    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "--seed") == 0)
            seed = strtoull(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--steps") == 0)
            steps = strtoull(arguments[i + 1], NULL, 10);
    }
    make_names();
    if (seed != 0) {
        run(seed, steps);
        return 0;
    }
    for (seed = 1; seed <= 3; seed++)
        run(seed, steps);
    run(sys_seed(), steps);
    return 0;
}
