/* dcb.c - the worked examples of dynamic consistency boundaries (dcb.events): rules that no single
 * stream can keep. Each is a decision over what it has read, committed unless something that it
 * read changed. Its rule is tried by one thread, then 16 race, and the log is looked at from its
 * beginning: whatever the order, never one success too many.
 *
 * dcb [--commands N] [--seed N]    N commands a thread and example */
#include "dcb.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 16 };

static const struct dcb_example *const examples[] = {
    &dcb_courses, &dcb_usernames,  &dcb_invoices, &dcb_tokens,
    &dcb_grace,   &dcb_duplicates, &dcb_carts,
};

static quipu *store;
static atomic_uint conflicts;

/* ---- what the examples use ------------------------------------------------------------------- */

uint64_t dcb_look(const quipu_query *query, uint32_t flags, uint64_t limit, dcb_see_fn see,
                  void *state)
{
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = flags, .limit = limit};
    quipu_reader *reader;
    quipu_event event;
    uint64_t head;
    int rc;

    CHECK(quipu_read(store, query, &range, &reader, NULL) == QUIPU_OK, "read");
    for (rc = quipu_next(reader, &event, NULL); rc == QUIPU_ROW;
         rc = quipu_next(reader, &event, NULL))
        see(&event, state);
    CHECK(rc == QUIPU_OK, "read: %d", rc);
    head = quipu_reader_head(reader);
    quipu_reader_close(reader);
    return head;
}

int dcb_commit(const struct dcb_event *event, const quipu_query *query, uint64_t after)
{
    char data[64];
    char stream[32];
    quipu_draft draft = {.type = event->type,
                         .data = data,
                         .data_format = QUIPU_JSON,
                         .flags = QUIPU_EVENT_HAS_TIME,
                         .time_ns = event->time};
    quipu_batch *batch = quipu_batch_new();
    quipu_receipt receipt;
    quipu_error error = {0};
    int rc;

    while (draft.tag_count < DCB_TAGS && event->tags[draft.tag_count] != NULL)
        draft.tag_count++;
    draft.tags = (const char *const *)event->tags;
    draft.data_size = (uint32_t)snprintf(data, sizeof(data), "{\"n\":%" PRId64 "}", event->n);
    (void)snprintf(stream, sizeof(stream), "dcb-%" PRId64, event->n % 7);
    (void)quipu_batch_append(batch, stream, QUIPU_ANY, &draft, 1);
    (void)quipu_batch_unless(batch, query, after);
    rc = quipu_commit(store, batch, &receipt, &error);
    quipu_batch_free(batch);
    CHECK(rc == QUIPU_OK || rc == QUIPU_CONFLICT, "commit: %d %s", rc, error.text);
    CHECK(rc == QUIPU_OK || (receipt.failed_step == 1 && receipt.matched > after), "the receipt");
    atomic_fetch_add(&conflicts, rc == QUIPU_CONFLICT);
    return rc == QUIPU_OK ? 1 : rc;
}

const char *dcb_tag(char out[DCB_TAG_BYTES], const char *key, uint64_t value)
{
    (void)snprintf(out, DCB_TAG_BYTES, "%s:%" PRIu64, key, value);
    return out;
}

uint64_t dcb_value(const quipu_event *event, const char *key)
{
    const char *value = quipu_event_tag(event, key);

    return value != NULL ? strtoull(value, NULL, 10) : UINT64_MAX;
}

int64_t dcb_n(const quipu_event *event)
{
    int64_t n = -1;

    CHECK(quipu_get_i64(event, "n", &n) == 1, "data at %" PRIu64, event->position);
    return n;
}

int dcb_try(const struct dcb_example *example, const struct dcb_command *command)
{
    int rc = QUIPU_CONFLICT;

    while (rc == QUIPU_CONFLICT)
        rc = example->decide(command);
    return rc;
}

void dcb_expect(const struct dcb_example *example, const struct dcb_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int rc = dcb_try(example, &rules[i].command);

        CHECK(rc == rules[i].accepted, "%s, rule %zu: %d", example->name, i, rc);
    }
}

/* ---- races ----------------------------------------------------------------------------------- */

struct racer {
    pthread_t thread;
    const struct dcb_example *example;
    struct sys_random random;
    unsigned commands;
    unsigned accepted;
};

static void *race(void *payload)
{
    struct racer *racer = payload;

    for (unsigned i = 0; i < racer->commands; i++) {
        struct dcb_command command = {0};

        racer->example->pick(&racer->random, &command);
        racer->accepted += dcb_try(racer->example, &command) == 1;
    }
    return NULL;
}

static void replay(const quipu_event *event, void *payload)
{
    const struct dcb_example *example = payload;

    CHECK(example->holds(event), "%s: at %" PRIu64 " %s breaks the rule", example->name,
          event->position, event->type);
}

static void open_new(const char *directory, const char *name)
{
    char path[SYS_PATH_BYTES];

    sys_join(path, directory, name);
    CHECK(quipu_open(path, NULL, &store, NULL) == QUIPU_OK, "open");
}

static void run(const struct dcb_example *example, unsigned commands, uint64_t seed)
{
    struct racer racers[THREADS];
    char directory[SYS_PATH_BYTES];
    double begin = sys_seconds();
    unsigned accepted = 0;
    uint64_t head = 0;

    sys_directory(directory, true);
    open_new(directory, "rules");
    example->rules(example);
    quipu_close(store);
    open_new(directory, "race");
    atomic_store(&conflicts, 0);
    for (unsigned i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){.example = example, .random = {seed + i}, .commands = commands};
        CHECK(pthread_create(&racers[i].thread, NULL, race, &racers[i]) == 0, "thread");
    }
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(pthread_join(racers[i].thread, NULL) == 0, "join");
        accepted += racers[i].accepted;
    }
    (void)dcb_look(NULL, 0, 0, replay, (void *)(uintptr_t)example);
    CHECK(quipu_head(store, &head, NULL) == QUIPU_OK && head == accepted,
          "%u accepted, %" PRIu64 " events", accepted, head);
    if (example->most > 0)
        CHECK(accepted <= example->most, "%u accepted of %u", accepted, example->most);
    quipu_close(store);
    sys_remove(directory);
    (void)printf("%s: %u of %u accepted, %u conflicts, %.1f s\n", example->name, accepted,
                 THREADS * commands, atomic_load(&conflicts), sys_seconds() - begin);
    (void)fflush(stdout);
}

int main(int count, char **arguments)
{
    unsigned commands = 100;
    uint64_t seed = sys_seed();

    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "--commands") == 0)
            commands = (unsigned)strtoul(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--seed") == 0)
            seed = strtoull(arguments[i + 1], NULL, 10);
    }
    (void)snprintf(sys_note, sizeof(sys_note), "dcb --commands %u --seed %" PRIu64, commands, seed);
    (void)printf("%s\n", sys_note);
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        run(examples[i], commands, seed);
    return 0;
}
