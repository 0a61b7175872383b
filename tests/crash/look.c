/* look.c - see look.h. What comes is counted: whether it is right is inspect.c's business. */
#include "look.h"

#include "fold.h"
#include "support_system.h"

#include <inttypes.h>

/* Read to the end, copying the first event. */
static int count_events(quipu_reader *reader, uint64_t *count, quipu_error *error)
{
    quipu_event *copy = NULL;
    quipu_event event;
    int rc = quipu_next(reader, &event, error);

    *count = 0;
    while (rc == QUIPU_ROW) {
        ++*count;
        if (copy == NULL && quipu_event_copy(&event, &copy) < 0) {
            rc = QUIPU_NO_MEMORY;
            break;
        }
        rc = quipu_next(reader, &event, error);
    }
    quipu_event_free(copy);
    quipu_reader_close(reader);
    return rc;
}

static int look_at_all(quipu *store, uint64_t head, quipu_error *error)
{
    const quipu_range ranges[] = {
        {QUIPU_INIT(quipu_range), .flags = 0},
        {QUIPU_INIT(quipu_range), .flags = QUIPU_RENEW},
        {QUIPU_INIT(quipu_range), .flags = QUIPU_BACKWARDS | QUIPU_RENEW},
    };
    quipu_reader *reader;
    uint64_t count;
    int rc = QUIPU_OK;

    for (size_t i = 0; i < 3 && rc == QUIPU_OK; i++) {
        rc = quipu_read(store, NULL, &ranges[i], &reader, error);
        if (rc == QUIPU_OK)
            rc = count_events(reader, &count, error);
        if (rc == QUIPU_OK)
            CHECK(head == 0 || count == head, "%" PRIu64 " of %" PRIu64 " events", count, head);
    }
    return rc;
}

static int look_at_queries(quipu *store, quipu_error *error)
{
    static const char *const texts[] = {"type=Paid,Moved tag=region:1", "category=order",
                                        "tag=customer:3", "stream=shared-1 type=Lost"};
    quipu_query *query = NULL;
    quipu_reader *reader;
    uint64_t count;
    int rc = QUIPU_OK;

    for (size_t i = 0; i < 4 && rc == QUIPU_OK; i++) {
        rc = quipu_query_parse(texts[i], &query, error);
        if (rc == QUIPU_OK)
            rc = quipu_read(store, query, NULL, &reader, error);
        if (rc == QUIPU_OK)
            rc = count_events(reader, &count, error);
        quipu_query_free(query);
        query = NULL;
    }
    return rc;
}

static int look_at_streams(quipu *store, const struct crash_plan *plan, quipu_error *error)
{
    int rc = QUIPU_OK;

    for (unsigned i = 0; i < CRASH_STREAMS && rc == QUIPU_OK; i += 3) {
        char name[CRASH_NAME_BYTES];
        quipu_reader *reader;
        struct crash_state_of_fold folded;
        uint64_t version = 0;
        uint64_t count = 0;

        crash_stream_name(plan, i, name);
        rc = quipu_load(store, &crash_fold, name, NULL, &folded, &version, error);
        if (rc < 0)
            return rc;
        CHECK(folded.count == version, "%s: %" PRIu64 " events of version %" PRIu64, name,
              folded.count, version);
        rc = crash_fold_check(store, name, error);
        if (rc < 0)
            return rc;
        rc = quipu_read_stream(store, name, NULL, &reader, error);
        if (rc == QUIPU_NOT_FOUND && version == 0)
            rc = QUIPU_OK;
        else if (rc == QUIPU_OK)
            rc = count_events(reader, &count, error);
        if (rc == QUIPU_OK)
            CHECK(count >= version, "%s: %" PRIu64 " events of version %" PRIu64, name, count,
                  version);
    }
    return rc;
}

static int look_at_lists(quipu *store, quipu_error *error)
{
    static const int kinds[] = {QUIPU_LIST_STREAMS, QUIPU_LIST_CATEGORIES, QUIPU_LIST_TYPES,
                                QUIPU_LIST_TAGS,    QUIPU_LIST_READERS,    QUIPU_LIST_SNAPSHOTS};
    int rc = QUIPU_OK;

    for (size_t i = 0; i < 6 && rc == QUIPU_OK; i++) {
        quipu_list *list;
        quipu_item item;

        rc = quipu_list_open(store, kinds[i], NULL, &list, error);
        if (rc < 0)
            return rc;
        do
            rc = quipu_list_next(list, &item, error);
        while (rc == QUIPU_ROW);
        quipu_list_close(list);
    }
    return rc;
}

static int look_at_figures(quipu *store, const char *path, uint64_t head, quipu_error *error)
{
    quipu_verified verified = {QUIPU_INIT(quipu_verified), .reserved = 0};
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    uint64_t newest = 0;
    int rc = quipu_stat_get(store, &stat, error);

    if (rc == QUIPU_OK)
        rc = quipu_wait(store, 0, 0, &newest, error);
    if (rc >= QUIPU_OK) {
        CHECK(head == 0 || (stat.head == head && newest == head),
              "head %" PRIu64 " in stat, %" PRIu64 " in wait, not %" PRIu64, stat.head, newest,
              head);
        rc = quipu_verify(path, 0, NULL, NULL, NULL, &verified, error);
    }
    if (rc == QUIPU_OK)
        CHECK(head == 0 || verified.checked == head, "%" PRIu64 " verified", verified.checked);
    return rc;
}

int crash_look(quipu *store, const char *path, const struct crash_plan *plan, uint64_t head,
               quipu_error *error)
{
    int rc = look_at_all(store, head, error);

    if (rc == QUIPU_OK)
        rc = look_at_queries(store, error);
    if (rc == QUIPU_OK)
        rc = look_at_streams(store, plan, error);
    if (rc == QUIPU_OK)
        rc = look_at_lists(store, error);
    if (rc == QUIPU_OK)
        rc = look_at_figures(store, path, head, error);
    return rc;
}
