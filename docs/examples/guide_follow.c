/* guide_follow.c - the reading half of docs/GUIDE.md: what is new since the last time.
 *
 *   guide_follow STORE CATEGORY [AFTER [MILLISECONDS]]
 *
 * prints the category's events after position AFTER, goes on with those that come until none has
 * come for that long (0), and prints the AFTER of the next call. */
#include <quipu.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void print_event(const quipu_event *event)
{
    printf("%" PRIu64 " %s v%" PRIu64 " %s %.*s\n", event->position, event->stream, event->version,
           event->type, (int)event->data_size,
           event->data_format == QUIPU_JSON ? (const char *)event->data : "");
}

/* Read all that is new, and move `*after` up to where everything was seen. */
static int read_new(quipu *store, const char *category, uint64_t *after, quipu_error *error)
{
    quipu_query_item item = {.category = category};
    quipu_query query = {.items = &item, .item_count = 1};
    quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_RENEW, .after = *after};
    quipu_reader *reader = NULL;
    quipu_event event;
    int rc = quipu_read(store, &query, &range, &reader, error);

    while (rc >= 0) {
        rc = quipu_next(reader, &event, error);
        if (rc != QUIPU_ROW)
            break;
        print_event(&event);
    }
    if (rc == QUIPU_OK)
        *after = quipu_reader_head(reader);
    quipu_reader_close(reader);
    return rc;
}

/* Read on whenever there is more, until there is nothing new in time. */
static int follow(quipu *store, const char *category, uint64_t *after, int timeout_ms,
                  quipu_error *error)
{
    int rc;

    do {
        rc = read_new(store, category, after, error);
        if (rc == QUIPU_OK)
            rc = quipu_wait(store, *after, timeout_ms, NULL, error);
    } while (rc == 1);
    return rc;
}

int main(int argc, char **argv)
{
    quipu_options options = {QUIPU_INIT(quipu_options), .flags = QUIPU_OPEN_READ_ONLY};
    uint64_t after = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    int timeout_ms = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 0;
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = QUIPU_MISUSE;

    if (argc > 2)
        rc = quipu_open(argv[1], &options, &store, &error);
    if (rc == QUIPU_OK)
        rc = follow(store, argv[2], &after, timeout_ms, &error);
    if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", quipu_status_name(rc), error.text);
    else
        printf("next: %" PRIu64 "\n", after);
    quipu_close(store);
    return rc < 0 ? 1 : 0;
}
