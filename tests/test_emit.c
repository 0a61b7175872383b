/* test_emit.c - events that a projection makes: in one commit with what it writes, in streams that
 * are its own, each once. */
#include "handles.h"
#include "support_suite.h"
#include "support_view.h"

#include <string.h>

SUPPORT_SUITE(emit);

static quipu_error why;

static quipu *open_store(const quipu_options *options)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    (void)quipu_open(support_path(path, "store"), options, &store, &why);
    cr_assert_not_null(store, "%s", why.text);
    return store;
}

static const quipu_options lazily = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY};

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

/* A stream as text: "TYPE:data TAG;TYPE:data TAG;", each with its last tag. */
static const char *stream_text(quipu *store, const char *stream)
{
    static char text[4096];
    quipu_reader *reader = NULL;
    quipu_event event;
    size_t at = 0;
    int rc = quipu_read_stream(store, stream, NULL, &reader, NULL);

    text[0] = '\0';
    while (rc >= 0) {
        const char *tag = "";

        rc = quipu_next(reader, &event, NULL);
        if (rc != QUIPU_ROW)
            break;
        for (uint32_t i = 0; i < event.tag_count; i++)
            tag = i == 0 ? event.tags : tag + strlen(tag) + 1;
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s:%.*s %s;", event.type,
                               (int)event.data_size, (const char *)event.data, tag);
        cr_assert_lt(at, sizeof(text));
    }
    quipu_reader_close(reader);
    return rc < 0 ? "(none)" : text;
}

#define EXPECT_STREAM(store, name, expected)                                                       \
    do {                                                                                           \
        const char *found = stream_text(store, name);                                              \
        cr_expect_str_eq(found, expected, "%s: \"%s\", not \"%s\"", name, found, expected);        \
    } while (0)

/* ---- a projection that emits ----------------------------------------------------------------- */

struct script {
    uint64_t poison; /* this event fails, after it has emitted */
    int times;       /* so often; 0: always */
    int failures;
    int emits;          /* so many events of each; 0: one */
    const char *stream; /* NULL: out-KEY */
    int calls;
};

/* What comes in is noted, and goes out in capital letters. */
static int apply(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    static const char *const tags[] = {"made:here"};
    struct script *script = payload;
    char stream[64];
    char data[32];
    const quipu_draft draft = {.type = "Out",
                               .data = data,
                               .data_size = (uint32_t)snprintf(data, sizeof(data), "%.*s+",
                                                               (int)event->data_size,
                                                               (const char *)event->data),
                               .tags = tags,
                               .tag_count = 1};
    int rc = support_note(page, key, size, event);

    script->calls++;
    (void)snprintf(stream, sizeof(stream), "out-%.*s", (int)size, (const char *)key);
    for (int i = 0; i < (script->emits > 0 ? script->emits : 1) && rc == 0; i++)
        rc = quipu_page_emit(page, script->stream != NULL ? script->stream : stream, &draft);
    if (rc == 0 && event->position == script->poison &&
        (script->times == 0 || script->failures < script->times)) {
        script->failures++;
        rc = QUIPU_INVALID;
    }
    if (rc < 0)
        (void)snprintf(error->text, sizeof(error->text), "emit %d", rc);
    return rc;
}

static quipu_projection projection_of(struct script *script, const char *name)
{
    return (quipu_projection){QUIPU_INIT(quipu_projection),
                              .version = 1,
                              .name = name,
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

static void append(quipu *store, const char *stream, const char *data)
{
    EXPECT(QUIPU_OK, support_append(store, stream, "In", data, &why));
}

static void expect_head(quipu *store, uint64_t expected)
{
    uint64_t head = 0;

    EXPECT(QUIPU_OK, quipu_head(store, &head, &why));
    cr_expect_eq(head, expected, "head %llu, not %llu", (unsigned long long)head,
                 (unsigned long long)expected);
}

/* ---- each once ------------------------------------------------------------------------------- */

/* Its query is all: it would feed on what it has made. */
Test(emit, what_it_made_is_passed_over)
{
    quipu *store = open_store(&lazily);
    struct script script = {.poison = 0};
    quipu_projection projection = projection_of(&script, "p");

    append(store, "a", "x");
    append(store, "b", "y");
    append(store, "a", "z");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_STREAM(store, "out-a", "Out:x+ causation:1;Out:z+ causation:3;");
    EXPECT_STREAM(store, "out-b", "Out:y+ causation:2;");
    expect_head(store, 6);
    cr_expect_eq(script.calls, 3);

    /* Until it has passed them, and no further. */
    for (int i = 0; i < 3; i++)
        EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_VIEW(store, "p", "a=1,3 b=2 @6");
    cr_expect_eq(script.calls, 3);
    expect_head(store, 6);

    projection.page_events = 1;
    append(store, "a", "v");
    append(store, "b", "w");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_STREAM(store, "out-a", "Out:x+ causation:1;Out:z+ causation:3;Out:v+ causation:7;");
    EXPECT_STREAM(store, "out-b", "Out:y+ causation:2;Out:w+ causation:8;");
    expect_head(store, 10);
    cr_expect_eq(script.calls, 5);
    quipu_close(store);
}

/* Another projection sees them as it sees all others. */
Test(emit, one_after_the_other)
{
    quipu *store = open_store(&lazily);
    struct script first = {.poison = 0};
    struct script second = {.stream = "last"};
    const quipu_query_item item = {.category = "out"};
    const quipu_projection one = projection_of(&first, "one");
    quipu_projection two = projection_of(&second, "two");

    two.query = (quipu_query){.items = &item, .item_count = 1};
    append(store, "a", "x");
    append(store, "a", "y");
    EXPECT(QUIPU_OK, project(store, &one));
    EXPECT(QUIPU_OK, project(store, &two));
    EXPECT_STREAM(store, "last", "Out:x++ causation:3;Out:y++ causation:4;");
    EXPECT(QUIPU_OK, project(store, &one)); /* those are foreign to it */
    EXPECT_STREAM(store, "out-last", "Out:x+++ causation:5;Out:y+++ causation:6;");
    quipu_close(store);
}

Test(emit, a_failed_attempt_has_emitted_nothing)
{
    quipu *store = open_store(&lazily);
    struct script script = {.poison = 2, .times = 1, .emits = 3};
    const quipu_projection projection = projection_of(&script, "p");

    append(store, "a", "x");
    append(store, "a", "y");
    append(store, "b", "z");
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(script.failures, 1);
    expect_head(store, 3 + 9);

    /* Parked: nothing, until it is replayed. */
    script = (struct script){.poison = 13};
    append(store, "a", "p");
    append(store, "a", "q");
    append(store, "b", "r");
    EXPECT(QUIPU_OK, project(store, &projection));
    expect_head(store, 16);
    cr_expect_eq(progress.parked, 2);
    script.poison = 0;
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_REPLAY, 0, "a", &why));
    EXPECT(QUIPU_OK, project(store, &projection));
    expect_head(store, 18);
    EXPECT_STREAM(store, "out-a",
                  "Out:x+ causation:1;Out:x+ causation:1;Out:x+ causation:1;"
                  "Out:y+ causation:2;Out:y+ causation:2;Out:y+ causation:2;"
                  "Out:p+ causation:13;Out:q+ causation:14;");
    EXPECT(QUIPU_OK, project(store, &projection));
    expect_head(store, 18);
    EXPECT_VIEW(store, "p", "a=1,2,13,14 b=3,15 @18");
    quipu_close(store);
}

Test(emit, where_it_stops_nothing_of_the_event_was_emitted)
{
    quipu *store = open_store(&lazily);
    struct script script = {.poison = 2};
    quipu_projection projection = projection_of(&script, "p");

    projection.fault_policy = QUIPU_FAULT_STOP;
    append(store, "a", "x");
    append(store, "a", "y");
    EXPECT(QUIPU_FAULTED, project(store, &projection));
    EXPECT_STREAM(store, "out-a", "Out:x+ causation:1;");
    EXPECT_VIEW(store, "p", "a=1 @1");
    script.poison = 0;
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_RESUME, 0, NULL, &why));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_STREAM(store, "out-a", "Out:x+ causation:1;Out:y+ causation:2;");
    EXPECT_VIEW(store, "p", "a=1,2 @4");
    quipu_close(store);
}

Test(emit, a_rebuild_emits_nothing)
{
    quipu *store = open_store(&lazily);
    struct script script = {.poison = 0};
    quipu_projection projection = projection_of(&script, "p");

    append(store, "a", "x");
    append(store, "a", "y");
    EXPECT(QUIPU_OK, project(store, &projection));
    expect_head(store, 4);
    projection.version = 2;
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(script.calls, 4, "folded again");
    EXPECT_VIEW(store, "p", "a=1,2 @4");
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_REWIND, 0, NULL, &why));
    projection.page_events = 1;
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(script.calls, 6);
    expect_head(store, 4);
    EXPECT_STREAM(store, "out-a", "Out:x+ causation:1;Out:y+ causation:2;");

    append(store, "a", "z"); /* and from then on it does */
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_STREAM(store, "out-a", "Out:x+ causation:1;Out:y+ causation:2;Out:z+ causation:5;");
    EXPECT_VIEW(store, "p", "a=1,2,5 @6");
    quipu_close(store);
}

static int stop_behind(void *payload, const quipu_progress *now)
{
    return now->mark >= *(const uint64_t *)payload ? QUIPU_APPLICATION : 0;
}

/* What the view had not passed was never emitted: the rebuild does it, and no later one again, also
 * if it was given up half-way. */
Test(emit, a_rebuild_emits_what_is_new)
{
    quipu *store = open_store(&lazily);
    struct script script = {.poison = 0};
    quipu_projection projection = projection_of(&script, "p");
    uint64_t behind = 3;

    append(store, "a", "x");
    EXPECT(QUIPU_OK, project(store, &projection));
    append(store, "a", "y");
    append(store, "a", "z");
    projection.version = 2;
    projection.page_events = 1;
    EXPECT(QUIPU_APPLICATION, quipu_project(store, &projection, stop_behind, &behind, NULL, &why));
    EXPECT_STREAM(store, "out-a", "Out:x+ causation:1;Out:y+ causation:3;");
    EXPECT_VIEW(store, "p", "a=1 @2");
    projection.version = 3;
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_STREAM(store, "out-a", "Out:x+ causation:1;Out:y+ causation:3;Out:z+ causation:4;");
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_REWIND, 0, NULL, &why));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_STREAM(store, "out-a", "Out:x+ causation:1;Out:y+ causation:3;Out:z+ causation:4;");
    quipu_close(store);
}

/* An event that was parked has emitted nothing: whoever rebuilds the view does it, once, however
 * often that is begun. */
Test(emit, a_rebuild_emits_for_what_was_parked)
{
    quipu *store = open_store(&lazily);
    struct script script = {.poison = 2};
    quipu_projection projection = projection_of(&script, "p");
    uint64_t behind = 2;

    append(store, "a", "x");
    append(store, "b", "y");
    append(store, "b", "z");
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 2);
    EXPECT_STREAM(store, "out-b", "(none)");
    script.poison = 0; /* mended */
    projection.version = 2;
    projection.page_events = 1;
    EXPECT(QUIPU_APPLICATION, quipu_project(store, &projection, stop_behind, &behind, NULL, &why));
    EXPECT_STREAM(store, "out-b", "Out:y+ causation:2;");
    projection.version = 3;
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_STREAM(store, "out-a", "Out:x+ causation:1;");
    EXPECT_STREAM(store, "out-b", "Out:y+ causation:2;Out:z+ causation:3;");
    cr_expect_eq(progress.parked, 0);
    quipu_close(store);
}

/* And one that a rebuild parks has emitted before, or has not: that stays so. */
Test(emit, what_a_rebuild_parks_emits_once)
{
    quipu *store = open_store(&lazily);
    struct script script = {.poison = 2};
    quipu_projection projection = projection_of(&script, "p");

    append(store, "a", "x");
    append(store, "b", "y");
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 1);
    script.poison = 1; /* b goes now, a does not */
    projection.version = 2;
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 1);
    EXPECT_STREAM(store, "out-b", "Out:y+ causation:2;");
    script.poison = 2; /* and again: it has emitted by now */
    projection.version = 3;
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 1);
    script.poison = 0;
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_REPLAY, 0, NULL, &why));
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 0);
    EXPECT_STREAM(store, "out-a", "Out:x+ causation:1;");
    EXPECT_STREAM(store, "out-b", "Out:y+ causation:2;");
    quipu_close(store);
}

/* ---- streams that are its own ---------------------------------------------------------------- */

static int count_events(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)event;
    (void)payload;
    (void)error;
    ++*(int *)state;
    return 0;
}

static int append_foreign(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                          quipu_error *error)
{
    const quipu_draft draft = {.type = "Foreign"};

    (void)version;
    (void)error;
    *(int *)payload = *(const int *)state;
    return quipu_batch_append(batch, "out-a", QUIPU_ANY, &draft, 1);
}

Test(emit, others_may_read_there_and_not_append)
{
    quipu *store = open_store(&lazily);
    struct script script = {.poison = 0};
    const quipu_projection projection = projection_of(&script, "p");
    const quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "count", .state_size = sizeof(int),
                             .apply = count_events};
    const quipu_draft draft = {.type = "Foreign"};
    quipu_batch *batch = quipu_batch_new();
    quipu_receipt receipt;
    int seen = -1;

    append(store, "a", "x");
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT(QUIPU_MISUSE, support_append(store, "out-a", "Foreign", "", &why));
    cr_expect_not_null(strstr(why.text, "out-a"), "%s", why.text);
    (void)quipu_batch_append(batch, "b", QUIPU_ANY, &draft, 1);
    (void)quipu_batch_append(batch, "out-a", 1, &draft, 1);
    EXPECT(QUIPU_MISUSE, quipu_commit(store, batch, &receipt, &why));
    expect_head(store, 2); /* nothing of it */
    EXPECT(QUIPU_MISUSE,
           quipu_execute(store, &fold, "out-a", append_foreign, &seen, 0, &receipt, &why));
    cr_expect_eq(seen, 1, "it may be folded");

    /* A condition is no append. */
    quipu_batch_clear(batch);
    (void)quipu_batch_expect(batch, "out-a", 1);
    (void)quipu_batch_append(batch, "b", QUIPU_ANY, &draft, 1);
    EXPECT(QUIPU_OK, quipu_commit(store, batch, &receipt, &why));
    quipu_batch_free(batch);
    quipu_close(store);

    store = open_store(&lazily); /* it is known after all have closed too */
    EXPECT(QUIPU_MISUSE, support_append(store, "out-a", "Foreign", "", &why));
    EXPECT(QUIPU_OK, project(store, &projection));
    EXPECT_STREAM(store, "out-b", "Out:+ causation:3;");
    quipu_close(store);
}

Test(emit, a_stream_has_one_owner)
{
    quipu *store = open_store(&lazily);
    struct script ours = {.stream = "shared"};
    struct script theirs = {.stream = "shared"};
    struct script onto = {.stream = "a"};
    const quipu_projection first = projection_of(&ours, "first");
    const quipu_projection second = projection_of(&theirs, "second");
    const quipu_projection third = projection_of(&onto, "third");

    append(store, "a", "x");
    EXPECT(QUIPU_OK, project(store, &first));
    EXPECT(QUIPU_OK, project(store, &second));
    cr_expect_eq(progress.parked, 2, "a at 1, and shared at 2");
    EXPECT(QUIPU_OK, project(store, &third)); /* where others appended */
    cr_expect_eq(progress.parked, 2);
    expect_head(store, 2);

    /* Who is gone owns nothing any more: its streams are everybody's. */
    EXPECT(QUIPU_OK, quipu_projection_control(store, "first", QUIPU_DELETE, 0, NULL, &why));
    EXPECT_STREAM(store, "shared", "Out:x+ causation:1;");
    EXPECT(QUIPU_OK, support_append(store, "shared", "Mine", "", &why));
    EXPECT(QUIPU_OK, quipu_projection_control(store, "second", QUIPU_REPLAY, 0, "a", &why));
    EXPECT(QUIPU_OK, project(store, &second));
    cr_expect_geq(progress.parked, 1, "it was not the first to append");
    quipu_close(store);
}

/* ---- limits and misuse ----------------------------------------------------------------------- */

/* What a call on the page returns is noted in place of being returned. */
struct question {
    const char *stream;
    quipu_draft draft;
    bool no_draft;
    bool in_keys;
    int times;
    int answer; /* the last, or the first that was not OK */
    int taken;
};

static void ask(quipu_page *page, struct question *question)
{
    question->answer = QUIPU_OK;
    question->taken = 0;
    for (int i = 0; i < (question->times > 0 ? question->times : 1) && question->answer == 0; i++) {
        question->answer =
            quipu_page_emit(page, question->stream, question->no_draft ? NULL : &question->draft);
        question->taken += question->answer == 0;
    }
}

static int ask_in_keys(quipu_page *page, const quipu_event *event, void *payload,
                       quipu_error *error)
{
    struct question *question = payload;

    (void)event;
    (void)error;
    if (question->in_keys)
        ask(page, question);
    return quipu_page_key(page, "k", 1);
}

static int ask_in_apply(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                        void *payload, quipu_error *error)
{
    struct question *question = payload;

    (void)error;
    if (!question->in_keys)
        ask(page, question);
    return support_note(page, key, size, event);
}

static int asked(quipu *store, struct question *question)
{
    static uint32_t number;
    char name[16];
    quipu_projection projection = {QUIPU_INIT(quipu_projection),
                                   .version = 1,
                                   .name = name,
                                   .fault_policy = QUIPU_FAULT_STOP,
                                   .keys = ask_in_keys,
                                   .apply = ask_in_apply,
                                   .payload = question};

    (void)snprintf(name, sizeof(name), "ask-%u", number++);
    EXPECT(QUIPU_OK, project(store, &projection));
    return question->answer;
}

Test(emit, calls_that_are_wrong)
{
    static const char bytes[2] = {'\xff', 0};
    quipu *store = open_store(&lazily);
    struct question question = {.stream = "out", .draft = {.type = "T"}};
    char names[65][16];
    const char *tags[65];
    char *long_name = support_repeat('n', 256);

    for (int i = 0; i < 65; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "n:%d", i);
        tags[i] = names[i];
    }
    append(store, "a", "x");

    question.stream = NULL;
    EXPECT(QUIPU_MISUSE, asked(store, &question));
    question.stream = "";
    EXPECT(QUIPU_INVALID, asked(store, &question));
    question.stream = bytes;
    EXPECT(QUIPU_INVALID, asked(store, &question));
    question.stream = long_name;
    EXPECT(QUIPU_TOO_LARGE, asked(store, &question));
    question.stream = "a"; /* others have appended there */
    EXPECT(QUIPU_MISUSE, asked(store, &question));
    question.stream = "out";
    question.no_draft = true;
    EXPECT(QUIPU_MISUSE, asked(store, &question));
    question.no_draft = false;
    question.in_keys = true;
    EXPECT(QUIPU_MISUSE, asked(store, &question));
    question.in_keys = false;

    question.draft = (quipu_draft){.type = "T", .flags = QUIPU_EVENT_HAS_ID};
    EXPECT(QUIPU_MISUSE, asked(store, &question));
    question.draft = (quipu_draft){.type = NULL};
    cr_expect_lt(asked(store, &question), 0);
    question.draft = (quipu_draft){.type = ""};
    EXPECT(QUIPU_INVALID, asked(store, &question));
    question.draft = (quipu_draft){.type = "T", .tag_count = 1};
    EXPECT(QUIPU_MISUSE, asked(store, &question));
    question.draft = (quipu_draft){.type = "T", .data_size = 1};
    EXPECT(QUIPU_MISUSE, asked(store, &question));
    question.draft = (quipu_draft){.type = "T", .tags = tags, .tag_count = 64};
    EXPECT(QUIPU_TOO_LARGE, asked(store, &question));
    expect_head(store, 1); /* none of them left anything */

    question.draft.tag_count = 63; /* and one of the page's */
    EXPECT(QUIPU_OK, asked(store, &question));
    expect_head(store, 2);
    free(long_name);
    quipu_close(store);
}

/* Neither an inline nor a live one: they have no batch of their own. */
Test(emit, only_an_async_projection_emits)
{
    quipu *store = open_store(&lazily);
    struct question question = {.stream = "out", .draft = {.type = "T"}};
    quipu_projection projection = {
        QUIPU_INIT(quipu_projection), .version = 1,          .name = "inline",
        .mode = QUIPU_INLINE,         .apply = ask_in_apply, .payload = &question};
    quipu_view *view = NULL;

    EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
    append(store, "a", "x");
    EXPECT(QUIPU_MISUSE, question.answer);
    question.answer = 0;
    EXPECT(QUIPU_OK, quipu_projection_control(store, "inline", QUIPU_REWIND, 0, NULL, &why));
    EXPECT(QUIPU_OK, project(store, &projection)); /* told the same, whoever folds it */
    cr_expect_leq(question.answer, 0);
    expect_head(store, 1);

    projection.name = "live";
    projection.mode = QUIPU_LIVE;
    EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
    EXPECT(QUIPU_OK, quipu_view_open(store, "live", &view, &why));
    EXPECT(QUIPU_MISUSE, question.answer);
    quipu_view_close(view);
    expect_head(store, 1);
    quipu_close(store);
}

/* An event may make as many as a batch takes; a page ends earlier, so that it does not matter which
 * events are in it. */
Test(emit, as_many_as_a_batch_takes)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY,
                                   .batch_events_max = 10, .batch_bytes_max = 100000,
                                   .data_bytes_max = 60000};
    static const char data[60001];
    quipu *store = open_store(&options);
    struct question question = {.stream = "out", .draft = {.type = "T"}, .times = 11};
    struct script script = {.emits = 5};
    const quipu_projection projection = projection_of(&script, "p");

    append(store, "a", "x");
    EXPECT(QUIPU_TOO_LARGE, asked(store, &question));
    cr_expect_eq(question.taken, 10);
    question = (struct question){.stream = "out2",
                                 .draft = {.type = "T", .data = data, .data_size = 60001}};
    EXPECT(QUIPU_TOO_LARGE, asked(store, &question));
    question.draft.data_size = 60000;
    EXPECT(QUIPU_OK, asked(store, &question));
    question.times = 2;
    question.stream = "out3";
    EXPECT(QUIPU_TOO_LARGE, asked(store, &question));
    cr_expect_eq(question.taken, 1);

    for (int i = 0; i < 40; i++) /* many events of which each is small */
        append(store, "b", "y");
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 0);
    quipu_close(store);
}

/* What an event emits is up to it alone, and not to its neighbours in a page. */
static int emit_by_data(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                        void *payload, quipu_error *error)
{
    const quipu_draft draft = {.type = "Out"};
    int rc =
        *(const char *)event->data == '!' ? QUIPU_INVALID : support_note(page, key, size, event);

    (void)payload;
    (void)error;
    for (int i = *(const char *)event->data - '0'; i > 0 && rc == 0; i--)
        rc = quipu_page_emit(page, "out", &draft);
    return rc;
}

static int fail_always(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                       void *payload, quipu_error *error)
{
    (void)page;
    (void)key;
    (void)size;
    (void)event;
    (void)payload;
    (void)error;
    return QUIPU_INVALID;
}

Test(emit, an_event_that_has_no_room_goes_into_the_next_page)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY,
                                   .batch_events_max = 9};
    const quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 1, .name = "p",
                                         .retries = 1, .apply = emit_by_data};
    quipu *store = open_store(&options);

    append(store, "a", "4");
    append(store, "b", "8");
    append(store, "a", "0");
    append(store, "b", "9");
    append(store, "c", ":"); /* ten: more than any batch takes */
    append(store, "a", "1");
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 1);
    EXPECT_VIEW(store, "p", "a=1,3,6 b=2,4 @28");
    expect_head(store, 6 + 22);
    quipu_close(store);
}

static void count_faults(void *payload, int level, const char *text)
{
    (void)level;
    *(int *)payload += strncmp(text, "projection p, position ", 23) == 0;
}

/* Its page is folded again without it. */
Test(emit, a_fault_is_told_once)
{
    int faults = 0;
    const quipu_options options = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY,
                                   .batch_events_max = 9, .log = count_faults,
                                   .log_payload = &faults};
    const quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 1, .name = "p",
                                         .retries = 1, .apply = emit_by_data};
    quipu *store = open_store(&options);

    append(store, "a", "!");
    append(store, "b", "4");
    append(store, "b", "6");
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 1);
    expect_head(store, 3 + 10);
    cr_expect_eq(faults, 1, "it was told %d times", faults);
    quipu_close(store);
}

/* The same for events that were parked: what others emitted before them is not their fault. */
Test(emit, a_parked_event_that_has_no_room_goes_into_the_next_page, .timeout = 60)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY,
                                   .batch_events_max = 9, .batch_bytes_max = 1};
    quipu_options roomy = options;
    quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 1, .name = "p",
                                   .retries = 1, .apply = fail_always};
    quipu *store;

    roomy.batch_bytes_max = 0;
    store = open_store(&roomy);
    append(store, "a", "4");
    append(store, "b", "8");
    append(store, "c", "0");
    append(store, "d", "9");
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 4);
    projection.apply = emit_by_data;
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_REPLAY, 0, NULL, &why));
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 0);
    cr_expect_eq(progress.new_failed, 0);
    EXPECT_VIEW(store, "p", "a=1 b=2 c=3 d=4 @25");
    expect_head(store, 4 + 21);

    projection.apply = fail_always; /* a page has one event, however little a batch may have */
    append(store, "e", "1");
    append(store, "f", "1");
    EXPECT(QUIPU_OK, project(store, &projection));
    quipu_close(store);
    store = open_store(&options);
    projection.apply = emit_by_data;
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_REPLAY, 0, NULL, &why));
    EXPECT(QUIPU_OK, project(store, &projection));
    cr_expect_eq(progress.parked, 0);
    quipu_close(store);
}

/* What it has emitted it passes over within commits too, after it was made inline. */
static int note(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                void *payload, quipu_error *error)
{
    (void)payload;
    (void)error;
    return support_note(page, key, size, event);
}

static int stop_at_once(void *payload, const quipu_progress *seen)
{
    (void)payload;
    return seen->mark > 0;
}

Test(emit, an_inline_one_passes_over_what_it_made_before)
{
    quipu *store = open_store(&lazily);
    struct script script = {.poison = 0};
    quipu_projection projection = projection_of(&script, "p");

    append(store, "a", "x");
    append(store, "a", "y");
    EXPECT(QUIPU_OK, quipu_project(store, &projection, stop_at_once, NULL, NULL, &why));
    EXPECT_VIEW(store, "p", "a=1,2 @2");
    projection.mode = QUIPU_INLINE;
    projection.apply = note;
    EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
    append(store, "a", "z");
    EXPECT_VIEW(store, "p", "a=1,2,5 @5");
    quipu_close(store);
}

/* So do those that keep nothing: a check, and a live one of that name. */
Test(emit, who_only_looks_passes_over_it)
{
    quipu *store = open_store(&lazily);
    struct script script = {.poison = 3}; /* if that is handed to it */
    quipu_projection projection = projection_of(&script, "p");

    append(store, "a", "x");
    append(store, "a", "y");
    EXPECT(QUIPU_OK, project(store, &projection));
    expect_head(store, 4);
    EXPECT(QUIPU_OK, quipu_projection_check(store, &projection, NULL, &why));
    cr_expect_eq(script.calls, 2 + 2 * 2);
    projection.mode = QUIPU_LIVE;
    projection.apply = note;
    EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
    EXPECT_VIEW(store, "p", "a=1,2 @4");
    quipu_close(store);
}
