/* test_parking.c - events that a projection cannot apply: each policy, and what an operator may do
 * with what waits. A view says by support_note() in which order each key has seen which events. */
#include "handles.h"
#include "support_suite.h"
#include "support_view.h"

#include <string.h>
#include <time.h>

SUPPORT_SUITE(parking);

static quipu_error why;

static quipu *open_store(void)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    (void)quipu_open(support_path(path, "store"), &options, &store, &why);
    cr_assert_not_null(store, "%s", why.text);
    return store;
}

#define EXPECT(status, call)                                                                       \
    do {                                                                                           \
        int got = (call);                                                                          \
        cr_expect_eq(got, (status), "%s: %d, not %d: %s", #call, got, (status), why.text);         \
    } while (0)

#define EXPECT_VIEW(store, name, text)                                                             \
    do {                                                                                           \
        const char *seen = support_view(store, name);                                              \
        cr_expect_str_eq(seen, text, "%s: \"%s\", not \"%s\"", name, seen, text);                  \
    } while (0)

/* `part` of the error's text, which must be of this failure. */
static void expect_text(const char *part)
{
    cr_expect_not_null(strstr(why.text, part), "\"%s\" is not in \"%s\"", part, why.text);
}

static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- a projection that fails as it is told --------------------------------------------------- */

/* The event at `position` fails, for `key` or (NULL) for all. 0: none does. */
struct poison {
    uint64_t position;
    const char *key;
};

struct script {
    struct poison poisons[3];
    int times;       /* so often; 0: always */
    int returns;     /* what a failure returns; 0: INVALID */
    bool silent;     /* without a text */
    bool keys_fail;  /* it is `keys` that fails */
    int calls;       /* of apply */
    int failures;    /* of either */
    int keyed;       /* calls of keys */
    const char *own; /* the last part of a split event that fails */
};

static bool is_poisoned(const struct script *script, const quipu_event *event, const void *key,
                        size_t size)
{
    if (script->times > 0 && script->failures >= script->times)
        return false;
    if (script->own != NULL && strcmp(event->type, script->own) == 0)
        return true;
    for (size_t i = 0; i < sizeof(script->poisons) / sizeof(script->poisons[0]); i++) {
        const struct poison *poison = &script->poisons[i];

        if (poison->position == event->position &&
            (poison->key == NULL || key == NULL ||
             (strlen(poison->key) == size && memcmp(poison->key, key, size) == 0)))
            return true;
    }
    return false;
}

static int fail_as_told(struct script *script, const quipu_event *event, quipu_error *error)
{
    script->failures++;
    if (!script->silent)
        (void)snprintf(error->text, sizeof(error->text), "poison at %llu",
                       (unsigned long long)event->position);
    return script->returns != 0 ? script->returns : QUIPU_INVALID;
}

/* It writes before it fails: that must not be seen. */
static int apply(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    struct script *script = payload;
    int rc = support_note(page, key, size, event);

    script->calls++;
    if (rc < 0)
        return rc;
    if (!script->keys_fail && is_poisoned(script, event, key, size)) {
        (void)quipu_page_put(page, "trace", 5, "of a failure", 12);
        return fail_as_told(script, event, error);
    }
    return 0;
}

/* Each letter of the data is a key. */
static int keys_of_letters(quipu_page *page, const quipu_event *event, void *payload,
                           quipu_error *error)
{
    struct script *script = payload;
    const char *letters = event->data;

    script->keyed++;
    if (script->keys_fail && is_poisoned(script, event, NULL, 0)) {
        cr_expect_eq(quipu_page_key(page, "lost", 4), QUIPU_OK);
        return fail_as_told(script, event, error);
    }
    for (uint32_t i = 0; i < event->data_size; i++)
        cr_expect_eq(quipu_page_key(page, letters + i, 1), QUIPU_OK);
    return 0;
}

static quipu_projection projection_of(struct script *script, uint32_t policy)
{
    return (quipu_projection){QUIPU_INIT(quipu_projection),
                              .version = 1,
                              .name = "p",
                              .fault_policy = policy,
                              .retries = 1,
                              .apply = apply,
                              .payload = script};
}

static quipu_progress progress;

static int project(quipu *store, const quipu_projection *projection)
{
    why = (quipu_error){0};
    progress = (quipu_progress){QUIPU_INIT(quipu_progress), .status = 99};
    return quipu_project(store, projection, NULL, NULL, &progress, &why);
}

static int control(quipu *store, int order, const char *key)
{
    why = (quipu_error){0};
    return quipu_projection_control(store, "p", order, 0, key, &why);
}

/* One event for each letter, to the stream of that name; its data are the letter too. */
static void append_letters(quipu *store, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        const char name[] = {*letters, '\0'};

        EXPECT(QUIPU_OK, support_append(store, name, "T", name, &why));
    }
}

/* ---- attempts -------------------------------------------------------------------------------- */

Test(parking, it_is_tried_again_as_often_as_was_asked_for)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{2, NULL}}, .times = 3};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);
    double begun = seconds();

    append_letters(store, "aab");
    projection.retries = 3;
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_geq(seconds() - begun, 0.31, "10, 50, 250 ms");
    cr_expect_eq(script.calls, 6);
    EXPECT_VIEW(store, "p", "a=1,2 b=3 @3");
    cr_expect_eq(progress.parked, 0);
    cr_expect_eq(progress.applied, 3);

    script.times = 0;
    script.calls = 0;
    script.failures = 0;
    projection.name = "three";
    projection.retries = 0; /* 3 */
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(script.failures, 4);
    cr_expect_eq(progress.parked, 1);
    EXPECT_VIEW(store, "three", "a=1 b=3 @3");
    quipu_close(store);
}

/* ---- park ------------------------------------------------------------------------------------ */

Test(parking, a_key_waits_and_all_others_go_on)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{2, NULL}}};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

    append_letters(store, "aababcab");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1 b=3,5,8 c=6 @8");
    cr_expect_eq(progress.parked, 3, "2, 4 and 7");
    cr_expect_eq(progress.status, QUIPU_PROJECTION_LIVE);
    cr_expect_eq(script.failures, 2, "what waits behind is not tried");
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", 8, 0, &why)); /* parked ones have passed */

    /* In later pages too, of any size. */
    append_letters(store, "ab");
    projection.page_events = 1;
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1 b=3,5,8,10 c=6 @10");
    cr_expect_eq(progress.parked, 4);
    cr_expect_eq(script.failures, 2);

    /* Again, in vain: nothing has moved. */
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, "a"));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1 b=3,5,8,10 c=6 @10");
    cr_expect_eq(progress.parked, 4);
    cr_expect_eq(script.failures, 4);

    /* Mended: all of the key, in order, though a page has one event. */
    script.poisons[0].position = 0;
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 4, "nobody has asked");
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, "a"));
    EXPECT_VIEW(store, "p", "a=1 b=3,5,8,10 c=6 @10");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,2,4,7,9 b=3,5,8,10 c=6 @10");
    cr_expect_eq(progress.parked, 0);
    EXPECT(QUIPU_NOT_FOUND, control(store, QUIPU_REPLAY, "a"));
    expect_text("p has no such parked events");

    append_letters(store, "a");
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_str_eq(support_view_value(store, "p", "a"), "1,2,4,7,9,11");
    quipu_close(store);
}

Test(parking, a_replay_goes_on_until_an_event_fails)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{1, NULL}, {3, NULL}, {2, NULL}}};
    const quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

    append_letters(store, "abababc");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "c=7 @7");
    cr_expect_eq(progress.parked, 6);

    script.poisons[0].position = 0;
    script.poisons[2].position = 0;
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, NULL));
    append_letters(store, "a"); /* before it is replayed: it still comes last */
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1 b=2,4,6 c=7 @8");
    cr_expect_eq(progress.parked, 3, "3, 5, 8 of a");

    script.poisons[1].position = 0;
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, NULL));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,3,5,8 b=2,4,6 c=7 @8");
    EXPECT(QUIPU_NOT_FOUND, control(store, QUIPU_REPLAY, NULL));
    quipu_close(store);
}

/* In commits, where nobody pauses between attempts. An order takes a thousand rows a commit. */
Test(parking, many_keys_and_their_queues_are_replayed)
{
    enum { KEYS = 2100, EACH = 3 };
    quipu *store = open_store();
    quipu_batch *batch = quipu_batch_new();
    struct script script = {.own = "Bad"};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

    projection.mode = QUIPU_INLINE;
    EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
    for (int i = 0; i < EACH; i++) {
        for (int j = 0; j < KEYS; j++) {
            const quipu_draft draft = {.type = i == 0 ? "Bad" : "Good"};
            char name[16];

            (void)snprintf(name, sizeof(name), "k-%d", j);
            (void)quipu_batch_append(batch, name, QUIPU_ANY, &draft, 1);
        }
        EXPECT(QUIPU_OK, quipu_commit(store, batch, NULL, &why));
        quipu_batch_clear(batch);
    }
    EXPECT_VIEW(store, "p", "@6300");
    cr_expect_eq(script.failures, 2 * KEYS);

    script.own = NULL;
    projection.page_events = 1000;
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, NULL));
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 0);
    for (int j = 0; j < KEYS; j++) {
        char name[16];
        char value[32];
        const char *seen;

        (void)snprintf(name, sizeof(name), "k-%d", j);
        (void)snprintf(value, sizeof(value), "%d,%d,%d", j + 1, j + 1 + KEYS, j + 1 + 2 * KEYS);
        seen = support_view_value(store, "p", name);
        cr_assert(seen != NULL && strcmp(seen, value) == 0, "%s: %s, not %s", name, seen, value);
    }
    quipu_batch_free(batch);
    quipu_close(store);
}

Test(parking, the_first_is_skipped_and_the_rest_drained)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{1, NULL}, {5, NULL}}};
    const quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

    append_letters(store, "ababaa");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "b=2,4 @6");
    EXPECT(QUIPU_CONFLICT, control(store, QUIPU_DRAIN, "a"));
    expect_text("position 1, has failed: skip it first");
    EXPECT(QUIPU_MISUSE, control(store, QUIPU_SKIP, NULL)); /* it has not stopped */
    expect_text("which key");
    EXPECT(QUIPU_MISUSE, control(store, QUIPU_DRAIN, NULL));
    expect_text("which key");
    EXPECT(QUIPU_NOT_FOUND, control(store, QUIPU_SKIP, "b"));
    EXPECT(QUIPU_NOT_FOUND, control(store, QUIPU_DRAIN, "b"));
    EXPECT(QUIPU_NOT_FOUND, control(store, QUIPU_DROP, "b"));

    EXPECT(QUIPU_OK, control(store, QUIPU_SKIP, "a"));
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 3);
    EXPECT_VIEW(store, "p", "b=2,4 @6"); /* still parked: nobody has drained it */
    EXPECT(QUIPU_OK, control(store, QUIPU_DRAIN, "a"));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=3 b=2,4 @6"); /* 5 fails, 6 waits */
    cr_expect_eq(progress.parked, 2);
    EXPECT(QUIPU_CONFLICT, control(store, QUIPU_DRAIN, "a"));
    EXPECT(QUIPU_OK, control(store, QUIPU_SKIP, "a"));
    EXPECT(QUIPU_OK, control(store, QUIPU_DRAIN, "a"));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=3,6 b=2,4 @6");
    cr_expect_eq(progress.parked, 0);
    quipu_close(store);
}

Test(parking, what_is_dropped_is_forgotten)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{1, NULL}, {2, NULL}, {3, NULL}}};
    const quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

    append_letters(store, "abcabc");
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 6);
    EXPECT(QUIPU_OK, control(store, QUIPU_DROP, "b"));
    append_letters(store, "abc");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "b=8 @9");
    cr_expect_eq(progress.parked, 6);
    EXPECT(QUIPU_OK, control(store, QUIPU_DROP, NULL));
    EXPECT(QUIPU_NOT_FOUND, control(store, QUIPU_DROP, NULL));
    append_letters(store, "abc");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=10 b=8,11 c=12 @12");
    cr_expect_eq(progress.parked, 0);
    quipu_close(store);
}

Test(parking, of_several_keys_only_the_one_that_fails_is_parked)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{2, "b"}}};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

    projection.keys = keys_of_letters;
    EXPECT(QUIPU_OK, support_append(store, "s", "T", "abc", &why));
    EXPECT(QUIPU_OK, support_append(store, "s", "T", "cbaab", &why));
    EXPECT(QUIPU_OK, support_append(store, "s", "T", "bc", &why));
    EXPECT(QUIPU_OK, support_append(store, "s", "T", "", &why)); /* none at all */
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,2 b=1 c=1,2,3 @4");
    cr_expect_eq(progress.parked, 2);
    cr_expect_eq(progress.applied, 4);
    script.poisons[0].position = 0;
    script.calls = 0;
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, "b"));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,2 b=1,2,3 c=1,2,3 @4");
    cr_expect_eq(script.calls, 2, "of its key alone");
    quipu_close(store);
}

Test(parking, an_event_without_keys_waits_under_its_stream)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{2, NULL}}, .keys_fail = true};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

    projection.keys = keys_of_letters;
    append_letters(store, "aab");
    EXPECT(QUIPU_OK, support_append(store, "a", "T", "ab", &why));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1 b=3,4 @4"); /* "lost" was said, and then it failed */
    cr_expect_eq(progress.parked, 2);
    cr_expect_eq(script.failures, 2);
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, "a"));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1 b=3,4 @4");
    cr_expect_eq(progress.parked, 2);
    script.poisons[0].position = 0;
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, NULL));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,2,4 b=3,4 @4");
    cr_expect_eq(progress.parked, 0);
    quipu_close(store);
}

/* Its keys are told when it is replayed: then it has its place in their order, whether they stand
 * before or behind its stream's name, wait for an earlier event or have a later one that waits. */
Test(parking, an_event_without_keys_goes_into_the_queues_of_its_keys)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{1, NULL}, {4, NULL}}};
    struct script keys_fail = {.poisons = {{3, NULL}}, .keys_fail = true};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

    projection.keys = keys_of_letters;
    EXPECT(QUIPU_OK, support_append(store, "m", "T", "az", &why));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT(QUIPU_OK, support_append(store, "m", "T", "z", &why));
    EXPECT(QUIPU_OK, support_append(store, "m", "T", "aznc", &why));
    projection.payload = &keys_fail;
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT(QUIPU_OK, support_append(store, "m", "T", "nc", &why));
    EXPECT(QUIPU_OK, support_append(store, "m", "T", "azn", &why));
    projection.payload = &script;
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 9);
    script.poisons[0].position = 0;
    script.poisons[1].position = 0;
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, NULL));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,3,5 c=3,4 n=3,4,5 z=1,2,3,5 @5");
    cr_expect_eq(progress.parked, 0);
    quipu_close(store);
}

/* ---- upcasters ------------------------------------------------------------------------------- */

static bool upcaster_fails;

static int into_three(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    static const char *const types[] = {"One", "Two", "Three"};

    (void)event;
    (void)payload;
    if (upcaster_fails) {
        (void)snprintf(error->text, sizeof(error->text), "no shape for it");
        return QUIPU_INVALID;
    }
    for (int i = 0; i < 3; i++) {
        const quipu_draft draft = {.type = types[i], .data = "ab", .data_size = i == 2 ? 1 : 2};
        int rc = quipu_page_emit(out, NULL, &draft);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static void register_into_three(quipu *store)
{
    const quipu_upcaster upcaster = {QUIPU_INIT(quipu_upcaster), .type = "Old", .up = into_three};

    EXPECT(QUIPU_OK, quipu_register_upcaster(store, &upcaster, &why));
}

Test(parking, an_upcaster_that_fails)
{
    quipu *store = open_store();
    struct script script = {.own = NULL};
    const quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

    upcaster_fails = true;
    register_into_three(store);
    EXPECT(QUIPU_OK, support_append(store, "a", "Old", "", &why));
    append_letters(store, "ab");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "b=3 @3");
    cr_expect_eq(progress.parked, 2);
    upcaster_fails = false;
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, "a"));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,1,1,2 b=3 @3");
    quipu_close(store);
}

/* Part 1 is in the view already, and is not applied again; part 3 does not come before part 2. */
Test(parking, a_part_in_the_middle_fails)
{
    quipu *store = open_store();
    struct script script = {.own = "Two"};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

    upcaster_fails = false;
    register_into_three(store);
    EXPECT(QUIPU_OK, support_append(store, "a", "Old", "", &why));
    append_letters(store, "ab");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1 b=3 @3");
    cr_expect_eq(progress.parked, 2);
    script.own = "Three";
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, "a"));
    EXPECT(QUIPU_OK, project(store, &projection));
    script.own = NULL;
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, "a"));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,1,1,2 b=3 @3");
    cr_expect_eq(progress.parked, 0);

    /* By key: parts 1 and 2 have both keys, part 3 only a. */
    script.own = "Two";
    script.times = 2; /* for the first key alone, with its one retry */
    script.failures = 0;
    projection.name = "keyed";
    projection.keys = keys_of_letters;
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "keyed", "a=1 b=1,1,3 @3");
    cr_expect_eq(progress.parked, 2);
    EXPECT(QUIPU_OK, quipu_projection_control(store, "keyed", QUIPU_REPLAY, 0, "a", &why));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "keyed", "a=1,1,1,2 b=1,1,3 @3");
    quipu_close(store);
}

/* ---- rebuilt --------------------------------------------------------------------------------- */

Test(parking, what_is_rebuilt_parks_anew)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{1, NULL}}};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

    append_letters(store, "ababa");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "b=2,4 @5");
    cr_expect_eq(progress.parked, 3);

    script.poisons[0].position = 2;
    projection.version = 2;
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,3,5 @5");
    cr_expect_eq(progress.parked, 2);
    EXPECT(QUIPU_NOT_FOUND, control(store, QUIPU_REPLAY, "a")); /* went with its generation */
    script.poisons[0].position = 0;
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, "b"));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,3,5 b=2,4 @5");
    quipu_close(store);
}

/* ---- skip ------------------------------------------------------------------------------------ */

Test(parking, an_event_is_passed_over_for_its_key)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{2, "b"}}};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_SKIP);

    projection.keys = keys_of_letters;
    for (int i = 0; i < 3; i++)
        EXPECT(QUIPU_OK, support_append(store, "s", "T", "abc", &why));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,2,3 b=1,3 c=1,2,3 @3");
    cr_expect_eq(progress.parked, 0);
    cr_expect_eq(script.failures, 2);

    script.keys_fail = true;
    projection.version = 2;
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,3 b=1,3 c=1,3 @3");
    quipu_close(store);
}

/* ---- stop ------------------------------------------------------------------------------------ */

Test(parking, it_stays_before_the_event)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{3, "b"}}};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_STOP);

    projection.keys = keys_of_letters;
    for (int i = 0; i < 4; i++)
        EXPECT(QUIPU_OK, support_append(store, "s", "T", "abc", &why));
    EXPECT(QUIPU_FAULTED, project(store, &projection));
    expect_text("p has stopped at position 3: poison at 3");
    EXPECT_VIEW(store, "p", "a=1,2 b=1,2 c=1,2 @2"); /* nothing of 3, not even for a */
    cr_expect_eq(progress.status, QUIPU_PROJECTION_FAULTED);
    cr_expect_eq(progress.mark, 2);
    cr_expect_eq(progress.applied, 2);

    script.calls = 0;
    EXPECT(QUIPU_FAULTED, project(store, &projection));
    cr_expect_eq(script.calls, 0, "it is not tried until somebody says so");
    why = (quipu_error){0};
    EXPECT(QUIPU_FAULTED, quipu_view_wait(store, "p", 3, 60000, &why));
    expect_text("position 3: poison at 3");
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", 2, 60000, &why));

    EXPECT(QUIPU_OK, control(store, QUIPU_RESUME, NULL));
    EXPECT(QUIPU_FAULTED, project(store, &projection)); /* still */
    cr_expect_eq(script.failures, 4, "in both pages");
    EXPECT_VIEW(store, "p", "a=1,2 b=1,2 c=1,2 @2");
    script.poisons[0].position = 0;
    EXPECT(QUIPU_FAULTED, project(store, &projection)); /* mended, but not told */
    EXPECT(QUIPU_OK, control(store, QUIPU_RESUME, NULL));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,2,3,4 b=1,2,3,4 c=1,2,3,4 @4");
    cr_expect_eq(progress.applied, 4);
    quipu_close(store);
}

Test(parking, the_event_that_it_stopped_at_is_passed_over)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{1, NULL}, {3, NULL}}, .returns = 7, .silent = true};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_STOP);

    append_letters(store, "abab");
    EXPECT(QUIPU_FAULTED, project(store, &projection));
    expect_text("position 1: it returned 7 for a version 1");
    EXPECT_VIEW(store, "p", "@0");
    EXPECT(QUIPU_OK, control(store, QUIPU_SKIP, NULL));
    EXPECT(QUIPU_FAULTED, project(store, &projection));
    expect_text("position 3");
    EXPECT_VIEW(store, "p", "b=2 @2");
    EXPECT(QUIPU_OK, control(store, QUIPU_SKIP, NULL));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "b=2,4 @4");
    EXPECT(QUIPU_MISUSE, control(store, QUIPU_SKIP, NULL));

    /* At the very last one, and with a replay instead of a resume. */
    script.poisons[0].position = 5;
    append_letters(store, "a");
    EXPECT(QUIPU_FAULTED, project(store, &projection));
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, NULL));
    script.poisons[0].position = 0;
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=5 b=2,4 @5");
    quipu_close(store);
}

Test(parking, a_rebuild_stops_and_the_view_stays)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{0, NULL}}};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_STOP);

    append_letters(store, "abab");
    EXPECT(QUIPU_OK, project(store, &projection));
    script.poisons[0].position = 3;
    projection.version = 2;
    EXPECT(QUIPU_FAULTED, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,3 b=2,4 @4");
    EXPECT_VIEW(store, "$rebuild:p", "a=1 b=2 @2");
    cr_expect_eq(progress.mark, 2);
    EXPECT(QUIPU_OK, quipu_view_wait(store, "p", 4, 0, &why));

    /* A newer version begins anew, and stops no less. */
    projection.version = 3;
    EXPECT(QUIPU_FAULTED, project(store, &projection));
    EXPECT_VIEW(store, "$rebuild:p", "a=1 b=2 @2");
    EXPECT(QUIPU_OK, control(store, QUIPU_SKIP, NULL));
    EXPECT_VIEW(store, "$rebuild:p", "a=1 b=2 @3");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1 b=2,4 @4");
    EXPECT_VIEW(store, "$rebuild:p", "(-6)");
    quipu_close(store);
}

/* ---- inline ---------------------------------------------------------------------------------- */

/* Whatever the projection does, the commit is in. */
Test(parking, an_inline_one_parks_within_the_commit)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{2, NULL}}};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);
    double begun;

    projection.mode = QUIPU_INLINE;
    projection.retries = 5;
    EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
    begun = seconds();
    append_letters(store, "aaabab");
    cr_expect_lt(seconds() - begun, 1.0, "nobody waits under the store lock");
    cr_expect_eq(script.failures, 6);
    EXPECT_VIEW(store, "p", "a=1 b=4,6 @6");
    script.poisons[0].position = 0;
    EXPECT(QUIPU_OK, control(store, QUIPU_REPLAY, "a"));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,2,3,5 b=4,6 @6");
    append_letters(store, "a");
    EXPECT_VIEW(store, "p", "a=1,2,3,5,7 b=4,6 @7");
    quipu_close(store);
}

Test(parking, an_inline_one_skips_within_the_commit)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{2, NULL}}};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_SKIP);

    projection.mode = QUIPU_INLINE;
    EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
    append_letters(store, "aaab");
    EXPECT_VIEW(store, "p", "a=1,3 b=4 @4");
    quipu_close(store);
}

Test(parking, an_inline_one_stops_and_commits_go_on)
{
    quipu *store = open_store();
    struct script script = {.poisons = {{3, NULL}}};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_STOP);
    quipu_batch *batch = quipu_batch_new();

    projection.mode = QUIPU_INLINE;
    EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
    append_letters(store, "a");
    for (int i = 0; i < 3; i++) {
        const quipu_draft draft = {.type = "T"};

        (void)quipu_batch_append(batch, i == 1 ? "b" : "a", QUIPU_ANY, &draft, 1);
    }
    EXPECT(QUIPU_OK, quipu_commit(store, batch, NULL, &why)); /* 2 3 4: 3 fails */
    EXPECT_VIEW(store, "p", "a=1,2 @2");
    append_letters(store, "a");
    EXPECT_VIEW(store, "p", "a=1,2 @2");
    cr_expect_eq(script.failures, 2);
    EXPECT(QUIPU_FAULTED, quipu_view_wait(store, "p", 5, 1000, &why));
    expect_text("position 3: poison at 3");
    EXPECT(QUIPU_FAULTED, project(store, &projection));

    script.poisons[0].position = 0;
    EXPECT(QUIPU_OK, control(store, QUIPU_RESUME, NULL));
    append_letters(store, "b"); /* brings what was left */
    EXPECT_VIEW(store, "p", "a=1,2,4,5 b=3,6 @6");
    quipu_batch_free(batch);
    quipu_close(store);
}

/* ---- live ------------------------------------------------------------------------------------ */

/* Nothing of it is kept, so nothing can wait: the key stays as it was before, in this look. */
Test(parking, a_live_one_with_each_policy)
{
    static const struct {
        uint32_t policy;
        const char *view;
    } cases[] = {{QUIPU_FAULT_PARK, "a=1 b=3 @5"},
                 {QUIPU_FAULT_SKIP, "a=1,4,5 b=3 @5"},
                 {QUIPU_FAULT_STOP, "(-23)"}};
    quipu *store = open_store();
    struct script script = {.poisons = {{2, NULL}}};

    append_letters(store, "aabaa");
    for (size_t i = 0; i < 3; i++) {
        const char names[3][8] = {"park", "skip", "stop"};
        quipu_projection projection = projection_of(&script, cases[i].policy);
        quipu_view *view = NULL;

        projection.mode = QUIPU_LIVE;
        projection.name = names[i];
        EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
        EXPECT_VIEW(store, names[i], cases[i].view);
        EXPECT_VIEW(store, names[i], cases[i].view); /* and again */
        if (cases[i].policy != QUIPU_FAULT_STOP)
            continue;
        why = (quipu_error){0};
        EXPECT(QUIPU_FAULTED, quipu_view_open(store, names[i], &view, &why));
        expect_text("stop stops at position 2: poison at 2");
        EXPECT(QUIPU_MISUSE, project(store, &projection));
        why = (quipu_error){0};
        EXPECT(QUIPU_FAULTED, quipu_projection_check(store, &projection, NULL, &why));
        expect_text("stop stops at position 2: poison at 2");
    }
    quipu_close(store);
}

/* ---- what is no fault ------------------------------------------------------------------------ */

static int check_calls(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                       void *payload, quipu_error *error)
{
    static char large[16 * 1024 * 1024 + 1];
    int *seen = payload;
    quipu_value value = {.size = 1};
    char long_key[256];

    (void)event;
    (void)error;
    memset(long_key, 'k', sizeof(long_key));
    cr_expect_eq(quipu_page_key(page, key, size), QUIPU_MISUSE, "not in apply");
    cr_expect_eq(quipu_page_get(page, "", 0, &value), QUIPU_INVALID);
    cr_expect_eq(value.size, 0);
    cr_expect_eq(quipu_page_get(page, NULL, 1, &value), QUIPU_INVALID);
    cr_expect_eq(quipu_page_get(page, long_key, 256, &value), QUIPU_TOO_LARGE);
    cr_expect_eq(quipu_page_get(page, long_key, 255, &value), *seen > 0);
    cr_expect_eq(quipu_page_get(page, key, size, NULL), QUIPU_MISUSE);
    cr_expect_eq(quipu_page_get(NULL, key, size, &value), QUIPU_MISUSE);
    cr_expect_eq(quipu_page_put(page, "", 0, "v", 1), QUIPU_INVALID);
    cr_expect_eq(quipu_page_put(page, long_key, 256, "v", 1), QUIPU_TOO_LARGE);
    cr_expect_eq(quipu_page_put(page, key, size, NULL, 1), QUIPU_MISUSE);
    cr_expect_eq(quipu_page_put(page, key, size, large, sizeof(large)), QUIPU_TOO_LARGE);
    cr_expect_eq(quipu_page_delete(page, long_key, 256), QUIPU_TOO_LARGE);
    cr_expect_eq(quipu_page_delete(page, "", 0), QUIPU_INVALID);
    cr_expect_eq(quipu_page_delete(NULL, key, size), QUIPU_MISUSE);
    cr_expect_eq(quipu_page_delete(page, "never", 5), QUIPU_OK, "was not there");
    cr_expect_eq(quipu_page_put(page, long_key, 255, large, sizeof(large) - 1), QUIPU_OK);
    cr_expect_eq(quipu_page_put(page, "empty", 5, NULL, 0), QUIPU_OK);
    cr_expect_eq(quipu_page_get(page, "empty", 5, &value), 1);
    cr_expect_eq(value.size, 0);
    ++*seen;
    return 0;
}

static int check_keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    quipu_value value;
    char long_key[256];

    (void)event;
    (void)payload;
    (void)error;
    memset(long_key, 'k', sizeof(long_key));
    cr_expect_eq(quipu_page_key(page, "", 0), QUIPU_INVALID);
    cr_expect_eq(quipu_page_key(page, NULL, 3), QUIPU_INVALID);
    cr_expect_eq(quipu_page_key(page, long_key, 256), QUIPU_TOO_LARGE);
    cr_expect_eq(quipu_page_key(NULL, "k", 1), QUIPU_MISUSE);
    cr_expect_eq(quipu_page_put(page, "k", 1, "v", 1), QUIPU_MISUSE, "not in keys");
    cr_expect_eq(quipu_page_delete(page, "k", 1), QUIPU_MISUSE);
    cr_expect_geq(quipu_page_get(page, "empty", 5, &value), 0, "that may be asked");
    cr_expect_eq(quipu_page_key(page, "x", 1), QUIPU_OK);
    return quipu_page_key(page, "x", 1);
}

/* A call that was wrong is told to who made it, and what it makes of it is its own affair. */
Test(parking, calls_on_a_page_that_are_wrong)
{
    quipu *store = open_store();
    int seen = 0;
    const quipu_projection projection = {
        QUIPU_INIT(quipu_projection), .version = 1,         .name = "p",     .fault_policy = 2,
        .keys = check_keys,           .apply = check_calls, .payload = &seen};
    quipu_view *view = NULL;
    quipu_value value;
    char long_key[255];

    append_letters(store, "ab");
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(seen, 2);
    memset(long_key, 'k', sizeof(long_key));
    EXPECT(QUIPU_OK, quipu_view_open(store, "p", &view, &why));
    EXPECT(1, quipu_view_get(view, long_key, 255, &value, &why));
    cr_expect_eq(value.size, 16 * 1024 * 1024);
    EXPECT(1, quipu_view_get(view, "empty", 5, &value, &why));
    cr_expect_eq(value.size, 0);
    EXPECT(0, quipu_view_get(view, "never", 5, &value, &why));
    quipu_view_close(view);
    quipu_close(store);
}

/* That a function says so itself is its own fault, and no failure of the page. */
Test(parking, what_a_function_returns_is_a_fault_whatever_it_is)
{
    static const int returns[] = {
        QUIPU_NO_MEMORY, QUIPU_CORRUPT, QUIPU_IO, QUIPU_CLOSED, QUIPU_FAULTED, 1, -1000};
    quipu *store = open_store();

    append_letters(store, "ab");
    for (size_t i = 0; i < sizeof(returns) / sizeof(returns[0]); i++) {
        struct script script = {.poisons = {{1, NULL}}, .returns = returns[i]};
        quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);

        projection.version = (uint32_t)i + 1;
        EXPECT(QUIPU_OK, project(store, &projection));
        cr_expect_eq(progress.parked, 1);
        EXPECT_VIEW(store, "p", "b=2 @2");
    }
    quipu_close(store);
}

/* ---- orders ---------------------------------------------------------------------------------- */

Test(parking, orders_that_cannot_be)
{
    quipu *store = open_store();
    struct script script = {.own = NULL};
    quipu_projection projection = projection_of(&script, QUIPU_FAULT_PARK);
    char *long_key = support_repeat('k', 256);
    char *long_name = support_repeat('n', 128);

    EXPECT(QUIPU_NOT_FOUND, control(store, QUIPU_PAUSE, NULL));
    expect_text("no projection p");
    append_letters(store, "ab");
    EXPECT(QUIPU_OK, project(store, &projection));
    for (int order = -1; order <= 9; order += order == 0 ? 9 : 1)
        EXPECT(QUIPU_MISUSE, control(store, order, NULL));
    EXPECT(QUIPU_MISUSE, quipu_projection_control(store, "p", QUIPU_REWIND, 1, NULL, &why));
    EXPECT(QUIPU_INVALID, control(store, QUIPU_REPLAY, ""));
    EXPECT(QUIPU_TOO_LARGE, control(store, QUIPU_REPLAY, long_key));
    EXPECT(QUIPU_TOO_LARGE, quipu_projection_control(store, long_name, QUIPU_PAUSE, 0, NULL, &why));
    EXPECT(QUIPU_NOT_FOUND,
           quipu_projection_control(store, long_name + 1, QUIPU_PAUSE, 0, NULL, &why));
    EXPECT(QUIPU_INVALID, quipu_projection_control(store, "", QUIPU_PAUSE, 0, NULL, &why));
    EXPECT_VIEW(store, "p", "a=1 b=2 @2");

    EXPECT(QUIPU_OK, control(store, QUIPU_PAUSE, NULL));
    append_letters(store, "a");
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.status, QUIPU_PROJECTION_PAUSED);
    EXPECT_VIEW(store, "p", "a=1 b=2 @2");
    EXPECT(QUIPU_OK, control(store, QUIPU_RESUME, NULL));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,3 b=2 @3");

    EXPECT(QUIPU_OK, control(store, QUIPU_DELETE, NULL));
    EXPECT(QUIPU_NOT_FOUND, control(store, QUIPU_DELETE, NULL));
    EXPECT_VIEW(store, "p", "(-6)");
    EXPECT(QUIPU_OK, project(store, &projection)); /* anew */
    EXPECT_VIEW(store, "p", "a=1,3 b=2 @3");
    free(long_key);
    free(long_name);
    quipu_close(store);
}
