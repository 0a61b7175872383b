/* plugin_odd.c - a plugin with all that can go wrong, for the tests of `quipu project --plugin`.
 *
 *   parks, skips, stops   fail at events of the type BAD, each with its policy
 *   counts                does not fail; inline; counts under one key, and its version is
 *                         QUIPU_TEST_VERSION, 1 without it
 *   emits                 makes an event of each of the type GOOD, in a stream of its own
 *   random                makes two things of the third event
 *   lives                 a live one
 *   slow                  as parks, with 5 ms for each event
 *
 * Its upcasters make 40 events of the type ONE of one of the type MANY, and none of one of NONE.
 *
 * QUIPU_TEST_PLUGIN makes the plugin itself one that must be refused. */
#include <quipu.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int count(quipu_page *page, const void *key, size_t key_size)
{
    char text[32];
    long number = 0;
    quipu_value old;
    int rc = quipu_page_get(page, key, key_size, &old);

    if (rc < 0)
        return rc;
    if (rc == 1) {
        memcpy(text, old.data, old.size);
        text[old.size] = '\0';
        number = strtol(text, NULL, 10);
    }
    rc = snprintf(text, sizeof(text), "%ld", number + 1);
    return quipu_page_put(page, key, key_size, text, (size_t)rc);
}

static int fail_at_bad(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                       void *payload, quipu_error *error)
{
    (void)payload;
    if (!quipu_event_is(event, "BAD") || getenv("QUIPU_TEST_GOOD") != NULL)
        return count(page, key, key_size);
    (void)snprintf(error->text, sizeof(error->text), "a bad \033[31mevent of %s", event->stream);
    return QUIPU_APPLICATION;
}

static int all_keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)event;
    (void)payload;
    (void)error;
    return quipu_page_key(page, "all", 3);
}

static int apply_count(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                       void *payload, quipu_error *error)
{
    (void)event;
    (void)payload;
    (void)error;
    return count(page, key, key_size);
}

static int emit(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                void *payload, quipu_error *error)
{
    const quipu_draft draft = {.type = "MADE"};

    (void)payload;
    (void)error;
    if (quipu_event_is(event, "GOOD") && quipu_page_emit(page, "made-1", &draft) < 0)
        return QUIPU_APPLICATION;
    return count(page, key, key_size);
}

/* It keeps a count of its own, and not in the view. */
static int differ(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                  void *payload, quipu_error *error)
{
    static int calls;
    char text[16];
    int size = snprintf(text, sizeof(text), "%d", event->position < 3 ? 0 : calls++);

    (void)payload;
    (void)error;
    return quipu_page_put(page, key, key_size, text, (size_t)size);
}

static int be_slow(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                   void *payload, quipu_error *error)
{
    const struct timespec pause = {.tv_nsec = 5000000};

    (void)nanosleep(&pause, NULL);
    return fail_at_bad(page, key, key_size, event, payload, error);
}

static const quipu_projection parks = {QUIPU_INIT(quipu_projection), .version = 1, .name = "parks",
                                       .retries = 1, .apply = fail_at_bad};
static const quipu_projection skips = {
    QUIPU_INIT(quipu_projection),     .version = 1,        .name = "skips", .retries = 1,
    .fault_policy = QUIPU_FAULT_SKIP, .apply = fail_at_bad};
static const quipu_projection stops = {
    QUIPU_INIT(quipu_projection),     .version = 1,        .name = "stops", .retries = 1,
    .fault_policy = QUIPU_FAULT_STOP, .apply = fail_at_bad};
static quipu_projection counts = {
    QUIPU_INIT(quipu_projection), .version = 1,     .name = "counts",
    .mode = QUIPU_INLINE,         .keys = all_keys, .apply = apply_count};
static const quipu_projection emits = {QUIPU_INIT(quipu_projection), .version = 1, .name = "emits",
                                       .keys = all_keys, .apply = emit};
static const quipu_projection differs = {QUIPU_INIT(quipu_projection), .version = 1,
                                         .name = "random", .apply = differ};
static const quipu_projection lives = {QUIPU_INIT(quipu_projection), .version = 1, .name = "lives",
                                       .mode = QUIPU_LIVE, .apply = apply_count};

static const quipu_projection slow = {QUIPU_INIT(quipu_projection),
                                      .version = 1,
                                      .name = "slow",
                                      .retries = 1,
                                      .page_events = 8,
                                      .apply = be_slow};

static const quipu_projection *const projections[] = {&parks, &skips,   &stops, &counts,
                                                      &emits, &differs, &lives, &slow};
static int up_many(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    const quipu_draft one = {.type = "ONE"};
    int rc = QUIPU_OK;

    (void)event;
    (void)payload;
    (void)error;
    for (int i = 0; i < 40 && rc == QUIPU_OK; i++)
        rc = quipu_page_emit(out, NULL, &one);
    return rc;
}

static int up_none(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    (void)event;
    (void)out;
    (void)payload;
    (void)error;
    return QUIPU_OK;
}

static const quipu_upcaster many = {QUIPU_INIT(quipu_upcaster), .type = "MANY", .up = up_many};
static const quipu_upcaster none = {QUIPU_INIT(quipu_upcaster), .type = "NONE", .up = up_none};
static const quipu_upcaster *const upcasters[] = {&many, &none};

static const quipu_projection *const hollow[] = {NULL};

static quipu_plugin plugin = {
    QUIPU_INIT(quipu_plugin),   .version = QUIPU_VERSION_NUMBER,
    .projections = projections, .projection_count = sizeof(projections) / sizeof(projections[0]),
    .upcasters = upcasters,     .upcaster_count = 2};

const quipu_plugin *quipu_plugin_get(void)
{
    const char *odd = getenv("QUIPU_TEST_PLUGIN");
    const char *version = getenv("QUIPU_TEST_VERSION");

    counts.version = version != NULL ? (uint32_t)strtoul(version, NULL, 10) : 1;
    if (odd == NULL)
        return &plugin;
    if (strcmp(odd, "major") == 0)
        plugin.version += 10000;
    if (strcmp(odd, "large") == 0)
        plugin.struct_size += 8;
    if (strcmp(odd, "hollow") == 0)
        plugin.projections = hollow;
    if (strcmp(odd, "missing") == 0)
        plugin.projections = NULL;
    if (strcmp(odd, "empty") == 0)
        plugin.projection_count = 0;
    return strcmp(odd, "null") == 0 ? NULL : &plugin;
}
