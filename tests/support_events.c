/* support_events.c - see support_events.h. */
#include "support_events.h"

#include "index.h"
#include "log.h"
#include "sum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int rc, const quipu_error *error)
{
    if (rc >= 0)
        return;
    (void)fprintf(stderr, "support_events: %d %s\n", rc, error->text);
    abort();
}

/* Tags of each second, eighth and 64th event, and ids of each third. */
static void add_names(struct support_random *random, struct support_event *event)
{
    event->tags_size = 0;
    event->tag_count = 0;
    for (unsigned i = 0; i < SUPPORT_TAGS; i++) {
        if (support_random_below(random, 2U << (2 * i + (i > 1))) != 0)
            continue;
        (void)snprintf(event->tags + event->tags_size, 4, "k:%u", i);
        event->tags_size += 4;
        event->tag_count++;
    }
    event->has_id = support_random_below(random, 3) == 0;
    memset(event->id, 1 + (int)support_random_below(random, SUPPORT_IDS), sizeof(event->id));
}

/* Stream 0 has half of all events, so that it gets blocks. */
void support_make_events(struct support_random *random, unsigned damaged_of_1000,
                         struct support_event *events, size_t count)
{
    uint64_t versions[SUPPORT_STREAMS] = {0};
    struct support_random names = {random->state + 1};

    for (size_t i = 0; i < count; i++) {
        struct support_event *event = &events[i];
        unsigned stream = 0;

        if (support_random_below(random, 2) == 0)
            stream = (unsigned)support_random_below(random, SUPPORT_STREAMS);
        (void)snprintf(event->stream, sizeof(event->stream), "c%u-%u", stream % SUPPORT_CATEGORIES,
                       stream);
        (void)snprintf(event->type, sizeof(event->type), "T%u",
                       (unsigned)support_random_below(random, SUPPORT_TYPES));
        event->version = ++versions[stream];
        event->damaged = support_random_below(random, 1000) < damaged_of_1000;
        add_names(&names, event);
    }
}

static bool has_tag(const struct support_event *event, const char *name)
{
    for (size_t at = 0; at < event->tags_size; at += strlen(event->tags + at) + 1)
        if (strcmp(event->tags + at, name) == 0)
            return true;
    return false;
}

static bool is_of(const struct support_event *event, enum qp_term_kind kind, const char *name)
{
    if (event->damaged || kind == QP_TERM_DAMAGED)
        return event->damaged && kind == QP_TERM_DAMAGED;
    if (kind == QP_TERM_CATEGORY)
        return strncmp(event->stream, name, strlen(name)) == 0 &&
               event->stream[strlen(name)] == '-';
    if (kind == QP_TERM_TAG)
        return has_tag(event, name);
    return strcmp(kind == QP_TERM_STREAM ? event->stream : event->type, name) == 0;
}

size_t support_entries(const struct support_event *events, uint64_t after, uint64_t upto,
                       enum qp_term_kind kind, const char *name, struct support_entry *entries)
{
    size_t count = 0;
    uint64_t number = 0;

    for (uint64_t position = 1; position <= upto; position++) {
        const struct support_event *event = &events[position - 1];

        if (!is_of(event, kind, name))
            continue;
        number++;
        if (position <= after)
            continue;
        entries[count].number = kind == QP_TERM_STREAM ? event->version : number;
        entries[count++].position = position;
    }
    return count;
}

uint64_t support_find_id(const struct support_event *events, uint64_t after, uint64_t upto,
                         const struct support_event *event)
{
    for (uint64_t position = after + 1; position <= upto; position++) {
        const struct support_event *other = &events[position - 1];

        if (!other->damaged && other->has_id && memcmp(other->id, event->id, 16) == 0 &&
            strcmp(other->stream, event->stream) == 0)
            return position;
    }
    return 0;
}

void support_id_name(const struct support_event *event, uint8_t name[QP_ID_NAME_BYTES])
{
    qp_key_id_name(name, event->id, qp_sum(event->stream, strlen(event->stream), 0));
}

void support_term(size_t number, struct support_term *term)
{
    *term = (struct support_term){.kind = QP_TERM_DAMAGED};
    if (number < SUPPORT_STREAMS) {
        term->kind = QP_TERM_STREAM;
        (void)snprintf(term->name, sizeof(term->name), "c%zu-%zu", number % SUPPORT_CATEGORIES,
                       number);
        return;
    }
    number -= SUPPORT_STREAMS;
    if (number < SUPPORT_TYPES) {
        term->kind = QP_TERM_TYPE;
        (void)snprintf(term->name, sizeof(term->name), "T%zu", number);
        return;
    }
    number -= SUPPORT_TYPES;
    if (number < SUPPORT_CATEGORIES) {
        term->kind = QP_TERM_CATEGORY;
        (void)snprintf(term->name, sizeof(term->name), "c%zu", number);
        return;
    }
    number -= SUPPORT_CATEGORIES;
    if (number < SUPPORT_TAGS) {
        term->kind = QP_TERM_TAG;
        (void)snprintf(term->name, sizeof(term->name), "k:%zu", number);
    }
}

/* One of eight is a name that no event has. */
static const char *make_name(struct support_random *random, char prefix, unsigned count,
                             char name[16])
{
    unsigned number = (unsigned)support_random_below(random, count);

    if (support_random_below(random, 8) == 0)
        number += count;
    if (prefix == 's')
        (void)snprintf(name, 16, "c%u-%u", number % SUPPORT_CATEGORIES, number);
    else
        (void)snprintf(name, 16, prefix == 'k' ? "k:%u" : prefix == 'T' ? "T%u" : "c%u", number);
    return name;
}

static void make_item(struct support_random *random, struct support_query *query, size_t i)
{
    quipu_query_item *item = &query->items[i];

    *item = (quipu_query_item){.types = query->types[i], .tags = query->tags[i]};
    if (support_random_below(random, 4) == 0)
        item->stream = make_name(random, 's', SUPPORT_STREAMS, query->names[i][0]);
    if (support_random_below(random, 4) == 0)
        item->category = make_name(random, 'c', SUPPORT_CATEGORIES, query->names[i][1]);
    if (support_random_below(random, 2) == 0)
        item->type_count = 1 + (uint32_t)support_random_below(random, SUPPORT_ITEM_NAMES);
    if (support_random_below(random, 3) == 0)
        item->tag_count = 1 + (uint32_t)support_random_below(random, SUPPORT_ITEM_NAMES);
    for (uint32_t t = 0; t < SUPPORT_ITEM_NAMES; t++) {
        query->types[i][t] = make_name(random, 'T', SUPPORT_TYPES, query->names[i][2 + t]);
        query->tags[i][t] =
            make_name(random, 'k', SUPPORT_TAGS, query->names[i][2 + SUPPORT_ITEM_NAMES + t]);
    }
}

void support_make_query(struct support_random *random, struct support_query *query)
{
    query->query = (quipu_query){query->items, 1};
    if (support_random_below(random, 3) == 0)
        query->query.item_count = support_random_below(random, SUPPORT_ITEMS + 1);
    for (size_t i = 0; i < query->query.item_count; i++)
        make_item(random, query, i);
}

static bool item_matches(const quipu_query_item *item, const struct support_event *event)
{
    bool matches = item->type_count == 0;

    for (uint32_t i = 0; i < item->type_count; i++)
        matches = matches || strcmp(item->types[i], event->type) == 0;
    for (uint32_t i = 0; i < item->tag_count; i++)
        matches = matches && has_tag(event, item->tags[i]);
    if (item->stream != NULL)
        matches = matches && strcmp(item->stream, event->stream) == 0;
    if (item->category != NULL)
        matches = matches && strncmp(event->stream, item->category, strlen(item->category)) == 0 &&
                  event->stream[strlen(item->category)] == '-';
    return matches;
}

bool support_matches(const quipu_query *query, const struct support_event *event)
{
    for (size_t i = 0; i < query->item_count; i++)
        if (item_matches(&query->items[i], event))
            return true;
    return query->item_count == 0;
}

struct qp_record support_record(const struct support_event *event)
{
    return (struct qp_record){.version = event->version,
                              .stream = {event->stream, strlen(event->stream)},
                              .type = {event->type, strlen(event->type)},
                              .tags = {event->tags, event->tags_size},
                              .id = event->has_id ? event->id : NULL};
}

quipu_draft support_draft(const struct support_event *event, const char *tags[SUPPORT_TAGS])
{
    quipu_draft draft = {.type = event->type, .tags = tags, .tag_count = event->tag_count};
    const char *at = event->tags;

    draft.flags = event->has_id ? QUIPU_EVENT_HAS_ID : 0;
    memcpy(draft.id, event->id, sizeof(draft.id));
    for (unsigned i = 0; i < event->tag_count; i++) {
        tags[i] = at;
        at += strlen(at) + 1;
    }
    return draft;
}

static struct qp_store *open_store(const char *name, const struct qp_table_spec *tables,
                                   size_t count, uint64_t map_bytes)
{
    char path[SUPPORT_PATH_BYTES];
    struct qp_store_config config = {.path = support_path(path, name),
                                     .tables = tables,
                                     .table_count = count,
                                     .map_bytes = map_bytes,
                                     .readers_max = 126,
                                     .create = true};
    struct qp_store *store;
    quipu_error error;

    must(qp_store_open(&config, &store, &error), &error);
    return store;
}

struct qp_store *support_open_log(const char *name, uint64_t map_bytes)
{
    return open_store(name, qp_log_tables, qp_log_table_count, map_bytes);
}

struct qp_store *support_open_index(const char *name)
{
    return open_store(name, qp_index_tables, qp_index_table_count, 64 * QP_MIB);
}

static uint64_t append_one(struct qp_txn *txn, const struct support_event *event, uint64_t position,
                           uint64_t chain)
{
    const char *tags[SUPPORT_TAGS];
    quipu_draft draft = support_draft(event, tags);
    struct qp_bytes stream = {event->stream, strlen(event->stream)};
    struct qp_stamp stamp = {.position = position,
                             .version = event->version,
                             .chain_before = chain,
                             .recorded_ns = (int64_t)position};
    uint8_t record[256];
    size_t size = qp_record_bytes(&draft, stream.size);
    quipu_error error;

    stamp.content = qp_record_build(&draft, stream, record);
    chain = qp_record_stamp(record, size, &stamp);
    if (event->damaged)
        record[30] ^= 0x10;
    if (!event->damaged || position % 2 == 1)
        must(qp_log_append(txn, position, record, size, &error), &error);
    return chain;
}

void support_append_events(struct qp_store *log, const struct support_event *events, uint64_t after,
                           uint64_t upto)
{
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;
    quipu_error error;
    uint64_t chain = after;

    must(qp_txn_begin_write(log, &txn, &error), &error);
    for (uint64_t position = after + 1; position <= upto; position++)
        chain = append_one(&txn, &events[position - 1], position, chain);
    must(qp_txn_commit(&txn, &outcome, &error), &error);
}
