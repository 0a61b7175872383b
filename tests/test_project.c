/* test_project.c - random histories: the same projection async (in pages of any size), inline, live
 * and rebuilt has one view, and it is what a plain fold in memory makes of the events up to its
 * mark, whenever one looks. */
#include "handles.h"
#include "projections.h"
#include "support_suite.h"
#include "support_view.h"

#include <string.h>

SUPPORT_SUITE(project);

static quipu_error why;

static const quipu_options lazily = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY};

static quipu *open_store(void)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    (void)quipu_open(support_path(path, "store"), &lazily, &store, &why);
    cr_assert_not_null(store, "%s", why.text);
    return store;
}

#define EXPECT(status, call)                                                                       \
    do {                                                                                           \
        int got = (call);                                                                          \
        cr_assert_eq(got, (status), "%s: %d, not %d: %s", #call, got, (status), why.text);         \
    } while (0)

/* ---- events ---------------------------------------------------------------------------------- */

enum { KEYS = 12, VALUE_MAX = 20000, EVENTS_MAX = 600, PARTS = 3 };

/* The data of an event: which keys it has, and what it does to them. */
struct doc {
    uint8_t order; /* the key order/N */
    uint8_t user;  /* the key user/N; KEYS: it has none */
    uint8_t third; /* order/N once more, perhaps the same one */
    uint8_t deletes;
    uint32_t size; /* of the value, about */
};

/* As it was appended. "Split" becomes PARTS events of type "Do", "Gone" none. */
struct happened {
    const char *type; /* "Do", "Split", "Gone", "Note" */
    char category;
    bool tagged;
    struct doc doc;
};

static struct happened history[EVENTS_MAX + 1]; /* from position 1 on */
static uint64_t head;

static void make_event(struct support_random *random, struct happened *event)
{
    static const char *const types[] = {"Do", "Do", "Do", "Do", "Split", "Gone", "Note"};

    *event = (struct happened){.type = types[support_random_below(random, 7)],
                               .category = (char)('a' + support_random_below(random, 3)),
                               .tagged = support_random_below(random, 2) == 0};
    event->doc.order = (uint8_t)support_random_below(random, KEYS);
    event->doc.user = (uint8_t)support_random_below(random, KEYS + 3);
    event->doc.third = (uint8_t)support_random_below(random, KEYS);
    event->doc.deletes = support_random_below(random, 5) == 0;
    event->doc.size = (uint32_t)support_random_below(random, 60);
    if (support_random_below(random, 20) == 0)
        event->doc.size = (uint32_t)support_random_below(random, VALUE_MAX - 100);
}

/* Some batches of some events. */
static void append_some(quipu *store, struct support_random *random)
{
    static const char *const tags[] = {"kind:tagged"};
    quipu_batch *batch = quipu_batch_new();
    uint64_t count = 1 + support_random_below(random, 25);

    for (uint64_t i = 0; i < count && head < EVENTS_MAX; i++) {
        struct happened *event = &history[++head];
        quipu_draft draft = {.data = &event->doc, .data_size = sizeof(event->doc), .tags = tags};
        char stream[16];

        make_event(random, event);
        draft.type = event->type;
        draft.tag_count = event->tagged;
        (void)snprintf(stream, sizeof(stream), "%c-%d", event->category, event->doc.order % 4);
        EXPECT(QUIPU_OK, quipu_batch_append(batch, stream, QUIPU_ANY, &draft, 1));
        if (support_random_below(random, 4) == 0) {
            EXPECT(QUIPU_OK, quipu_commit(store, batch, NULL, &why));
            quipu_batch_clear(batch);
        }
    }
    if (quipu_batch_steps(batch) > 0)
        EXPECT(QUIPU_OK, quipu_commit(store, batch, NULL, &why));
    quipu_batch_free(batch);
}

static struct doc part_of(const struct doc *doc, int part)
{
    struct doc made = *doc;

    made.order = (uint8_t)((doc->order + 5 * part) % KEYS);
    made.user = (uint8_t)((doc->user + 3 * part) % (KEYS + 3));
    return made;
}

static int split(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    int rc = 0;

    (void)payload;
    (void)error;
    for (int i = 0; i < PARTS && rc == 0; i++) {
        struct doc whole;
        struct doc part;
        const quipu_draft draft = {.type = "Do", .data = &part, .data_size = sizeof(part)};

        memcpy(&whole, event->data, sizeof(whole));
        part = part_of(&whole, i);
        rc = quipu_page_emit(out, NULL, &draft);
    }
    return rc;
}

static int vanish(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    (void)event;
    (void)out;
    (void)payload;
    (void)error;
    return 0;
}

static void register_upcasters(quipu *store)
{
    const quipu_upcaster splits = {QUIPU_INIT(quipu_upcaster), .type = "Split", .up = split};
    const quipu_upcaster gone = {QUIPU_INIT(quipu_upcaster), .type = "Gone", .up = vanish};

    EXPECT(QUIPU_OK, quipu_register_upcaster(store, &splits, &why));
    EXPECT(QUIPU_OK, quipu_register_upcaster(store, &gone, &why));
}

/* ---- a plain fold in memory ------------------------------------------------------------------ */

/* Three lists: order/N, user/N, and the total, which no event has as a key. */
struct model {
    struct {
        bool there;
        size_t size;
        uint8_t bytes[VALUE_MAX];
    } orders[KEYS], users[KEYS];
    uint64_t total;
};

static uint64_t mix(uint64_t sum, uint64_t more)
{
    sum = (sum ^ more) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ (sum >> 29);
}

/* What becomes of a value: a sum over all that it has seen, and bytes that hang on it. */
static size_t next_value(const uint8_t *old, size_t old_size, uint64_t position,
                         const struct doc *doc, uint8_t *out)
{
    uint64_t sum = 0;
    size_t size = sizeof(sum) + doc->size;

    if (old_size >= sizeof(sum))
        memcpy(&sum, old, sizeof(sum));
    sum = mix(mix(sum, old_size), position);
    memcpy(out, &sum, sizeof(sum));
    for (size_t i = sizeof(sum); i < size; i++)
        out[i] = (uint8_t)(sum >> (i % 57));
    return size;
}

static void model_key(struct model *model, bool user, uint8_t number, uint64_t position,
                      const struct doc *doc)
{
    uint8_t made[VALUE_MAX];
    size_t size;

    model->total = mix(model->total, position);
    if (doc->deletes) {
        model->orders[number].there &= user;
        model->users[number].there &= !user;
        return;
    }
    if (user) {
        size = next_value(model->users[number].bytes,
                          model->users[number].there ? model->users[number].size : 0, position, doc,
                          made);
        model->users[number].there = true;
        model->users[number].size = size;
        memcpy(model->users[number].bytes, made, size);
        return;
    }
    size = next_value(model->orders[number].bytes,
                      model->orders[number].there ? model->orders[number].size : 0, position, doc,
                      made);
    model->orders[number].there = true;
    model->orders[number].size = size;
    memcpy(model->orders[number].bytes, made, size);
}

static void model_event(struct model *model, uint64_t position, const struct doc *doc)
{
    model_key(model, false, doc->order, position, doc);
    if (doc->user < KEYS)
        model_key(model, true, doc->user, position, doc);
    if (doc->third != doc->order)
        model_key(model, false, doc->third, position, doc);
}

/* Which events a projection has: all, those of two types, of a category, with a tag. */
enum { QUERIES = 4 };

static bool matches(int query, const struct happened *event)
{
    switch (query) {
    case 1:
        return strcmp(event->type, "Split") == 0 || strcmp(event->type, "Note") == 0;
    case 2:
        return event->category == 'b';
    case 3:
        return event->tagged;
    default:
        return true;
    }
}

static uint64_t matching(int query)
{
    uint64_t count = 0;

    for (uint64_t at = 1; at <= head; at++)
        count += matches(query, &history[at]);
    return count;
}

static struct model model;

static void fold_model(int query, uint64_t mark)
{
    memset(&model, 0, sizeof(model));
    for (uint64_t at = 1; at <= mark; at++) {
        const struct happened *event = &history[at];
        bool splits = strcmp(event->type, "Split") == 0;

        if (!matches(query, event) || strcmp(event->type, "Gone") == 0)
            continue;
        for (int i = 0; i < (splits ? PARTS : 1); i++) {
            struct doc doc = splits ? part_of(&event->doc, i) : event->doc;

            model_event(&model, at, &doc);
        }
    }
}

/* ---- the projection -------------------------------------------------------------------------- */

static int keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    struct doc doc;
    char key[16];
    int rc;

    (void)payload;
    (void)error;
    memcpy(&doc, event->data, sizeof(doc));
    rc = quipu_page_key(page, key, (size_t)snprintf(key, sizeof(key), "order/%02d", doc.order));
    if (rc == 0 && doc.user < KEYS)
        rc = quipu_page_key(page, key, (size_t)snprintf(key, sizeof(key), "user/%02d", doc.user));
    if (rc == 0)
        rc = quipu_page_key(page, key, (size_t)snprintf(key, sizeof(key), "order/%02d", doc.third));
    return rc;
}

static int apply(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    static _Thread_local uint8_t made[VALUE_MAX];
    struct doc doc;
    quipu_value old;
    uint64_t total = 0;
    int rc = quipu_page_get(page, "total", 5, &old);

    (void)payload;
    (void)error;
    if (rc < 0)
        return rc;
    if (rc == 1)
        memcpy(&total, old.data, sizeof(total));
    total = mix(total, event->position);
    memcpy(&doc, event->data, sizeof(doc));
    rc = quipu_page_put(page, "total", 5, &total, sizeof(total));
    if (rc < 0)
        return rc;
    if (doc.deletes)
        return quipu_page_delete(page, key, size);
    rc = quipu_page_get(page, key, size, &old);
    if (rc < 0)
        return rc;
    return quipu_page_put(page, key, size, made,
                          next_value(old.data, old.size, event->position, &doc, made));
}

static quipu_projection projection_of(const char *name, int query, uint32_t mode, uint32_t events)
{
    static const char *const types[] = {"Split", "Note"};
    static const char *const tags[] = {"kind:tagged"};
    static const quipu_query_item items[QUERIES] = {{.stream = NULL},
                                                    {.types = types, .type_count = 2},
                                                    {.category = "b"},
                                                    {.tags = tags, .tag_count = 1}};
    quipu_projection projection = {
        QUIPU_INIT(quipu_projection), .version = 1, .name = name,  .mode = mode,
        .page_events = events,        .keys = keys, .apply = apply};

    if (query > 0)
        projection.query = (quipu_query){.items = &items[query], .item_count = 1};
    return projection;
}

/* ---- compared -------------------------------------------------------------------------------- */

static void expect_next(quipu_view *view, const char *name, const char *key, const void *bytes,
                        size_t size)
{
    quipu_value seen_key;
    quipu_value seen;

    EXPECT(QUIPU_ROW, quipu_view_next(view, &seen_key, &seen, &why));
    cr_assert(seen_key.size == strlen(key) && memcmp(seen_key.data, key, seen_key.size) == 0,
              "%s at %llu: %.*s, not %s", name, (unsigned long long)quipu_view_mark(view),
              (int)seen_key.size, (const char *)seen_key.data, key);
    cr_assert(seen.size == size && memcmp(seen.data, bytes, size) == 0,
              "%s at %llu: the value of %s, %zu bytes, not %zu", name,
              (unsigned long long)quipu_view_mark(view), key, seen.size, size);
}

/* The view is the fold up to its mark, which is returned. */
static uint64_t expect_view(quipu *store, const char *name, int query)
{
    quipu_view *view = NULL;
    quipu_value key;
    quipu_value value;
    uint64_t mark;
    uint64_t count;
    char text[16];

    EXPECT(QUIPU_OK, quipu_view_open(store, name, &view, &why));
    mark = quipu_view_mark(view);
    fold_model(query, mark);
    EXPECT(QUIPU_OK, quipu_view_scan(view, NULL, 0, NULL, 0, 0, &why));
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(text, sizeof(text), "order/%02d", i);
        if (model.orders[i].there)
            expect_next(view, name, text, model.orders[i].bytes, model.orders[i].size);
    }
    if (model.total != 0)
        expect_next(view, name, "total", &model.total, sizeof(model.total));
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(text, sizeof(text), "user/%02d", i);
        if (model.users[i].there)
            expect_next(view, name, text, model.users[i].bytes, model.users[i].size);
    }
    EXPECT(QUIPU_OK, quipu_view_next(view, &key, &value, &why));

    EXPECT(QUIPU_OK, quipu_view_count(view, "user/", 5, &count, &why));
    for (int i = 0; i < KEYS; i++)
        count -= model.users[i].there;
    cr_assert_eq(count, 0, "%s: users", name);
    quipu_view_close(view);
    return mark;
}

/* For `page`: stop after so many. */
static int stop_after(void *payload, const quipu_progress *progress)
{
    int *left = payload;

    cr_expect_leq(progress->mark, progress->head);
    return --*left <= 0;
}

static void project(quipu *store, const quipu_projection *projection, int pages)
{
    why = (quipu_error){0};
    EXPECT(QUIPU_OK,
           quipu_project(store, projection, pages > 0 ? stop_after : NULL, &pages, NULL, &why));
}

static void project_all(quipu *store, const quipu_projection *projection, int query)
{
    quipu_progress progress = {QUIPU_INIT(quipu_progress), .status = 99};

    EXPECT(QUIPU_OK, quipu_project(store, projection, NULL, NULL, &progress, &why));
    cr_assert_eq(progress.mark, head);
    cr_assert_eq(progress.status, QUIPU_PROJECTION_LIVE);
    cr_assert_eq(progress.applied, matching(query), "%s: %llu, not %llu", projection->name,
                 (unsigned long long)progress.applied, (unsigned long long)matching(query));
    cr_assert_eq(expect_view(store, projection->name, query), head);
}

/* ---- histories ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint32_t events;
} pages[] = {{"one", 1}, {"seven", 7}, {"large", 4096}};

static void rebuild_in_parts(quipu *store, struct support_random *random,
                             const quipu_projection *projection, int query)
{
    char name[32];
    uint64_t before = 0;

    (void)snprintf(name, sizeof(name), "$rebuild:%s", projection->name);
    for (int i = 0; i < 4; i++) {
        quipu_view *view = NULL;
        uint64_t mark;

        project(store, projection, 1 + (int)support_random_below(random, 5));
        (void)expect_view(store, projection->name, query); /* as it was */
        if (quipu_view_open(store, name, &view, &why) != QUIPU_OK)
            break; /* it is done already */
        quipu_view_close(view);
        mark = expect_view(store, name, query);
        cr_assert_geq(mark, before, "what was built is kept");
        before = mark;
        if (i == 1)
            append_some(store, random);
    }
    project_all(store, projection, query);
    EXPECT(QUIPU_NOT_FOUND, quipu_view_wait(store, "nobody", 1, 0, &why));
}

static void run(unsigned seed, int query)
{
    struct support_random random = {seed};
    quipu_projection asyncs[3];
    const quipu_projection inlined = projection_of("inline", query, QUIPU_INLINE, 0);
    const quipu_projection live = projection_of("live", query, QUIPU_LIVE, 0);
    quipu *store = open_store();
    quipu_projection again = inlined;

    head = 0;
    for (int i = 0; i < 3; i++)
        asyncs[i] = projection_of(pages[i].name, query, QUIPU_ASYNC, pages[i].events);
    register_upcasters(store);
    EXPECT(QUIPU_OK, quipu_register(store, &inlined, &why));
    EXPECT(QUIPU_OK, quipu_register(store, &live, &why));
    for (int round = 0; round < 12; round++) {
        append_some(store, &random);
        cr_assert_eq(expect_view(store, "inline", query), head);
        for (int i = 0; i < 3; i++) {
            project(store, &asyncs[i], 1 + (int)support_random_below(&random, 9));
            (void)expect_view(store, asyncs[i].name, query);
        }
    }
    cr_assert_eq(expect_view(store, "live", query), head);
    for (int i = 0; i < 3; i++)
        project_all(store, &asyncs[i], query);

    for (int i = 0; i < 3; i++) { /* by version, and by order */
        if (i == 1)
            EXPECT(QUIPU_OK,
                   quipu_projection_control(store, asyncs[i].name, QUIPU_REWIND, 0, NULL, &why));
        else
            asyncs[i].version = 2;
        rebuild_in_parts(store, &random, &asyncs[i], query);
    }
    EXPECT(QUIPU_OK, quipu_projection_control(store, "inline", QUIPU_REWIND, 0, NULL, &why));
    append_some(store, &random); /* nobody folds it until it is built */
    again.page_events = 5;
    rebuild_in_parts(store, &random, &again, query);
    append_some(store, &random);
    cr_assert_eq(expect_view(store, "inline", query), head);
    cr_assert_eq(expect_view(store, "live", query), head);
    EXPECT(QUIPU_OK, quipu_projection_check(store, &asyncs[0], NULL, &why));
    quipu_close(store);
}

static void run_seeds(int query)
{
    for (unsigned seed = 1; seed <= 3; seed++) {
        char path[SUPPORT_PATH_BYTES];

        run(seed * 100 + (unsigned)query, query);
        support_remove(support_path(path, "store"));
    }
}

Test(project, all_events)
{
    run_seeds(0);
}

Test(project, two_types)
{
    run_seeds(1);
}

Test(project, a_category)
{
    run_seeds(2);
}

Test(project, a_tag)
{
    run_seeds(3);
}

/* ---- the mark -------------------------------------------------------------------------------- */

/* It moves over what does not match: or who waits for a view would wait for ever. */
Test(project, the_mark_passes_events_of_others)
{
    static const char *const types[] = {"Rare"};
    static const quipu_query_item item = {.types = types, .type_count = 1};
    quipu *store = open_store();
    quipu_projection projection = projection_of("async", 0, QUIPU_ASYNC, 0);
    quipu_projection inlined = projection_of("inline", 0, QUIPU_INLINE, 0);

    projection.query = (quipu_query){.items = &item, .item_count = 1};
    inlined.query = projection.query;
    EXPECT(QUIPU_OK, quipu_register(store, &inlined, &why));
    for (uint64_t i = 1; i <= 20; i++) {
        EXPECT(QUIPU_OK, support_append(store, "s", "Often", "", &why));
        EXPECT(QUIPU_OK, quipu_view_wait(store, "inline", i, 0, &why));
    }
    project(store, &projection, 0);
    EXPECT(QUIPU_OK, quipu_view_wait(store, "async", 20, 0, &why));
    cr_expect_str_eq(support_view(store, "async"), "@20");
    cr_expect_str_eq(support_view(store, "inline"), "@20");
    quipu_close(store);
}

/* ---- inline beside others -------------------------------------------------------------------- */

/* A key without bytes: how far it is the mark says. */
static int touch(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    (void)event;
    (void)payload;
    (void)error;
    return quipu_page_put(page, key, size, NULL, 0);
}

static void append_many(quipu *store, int count)
{
    quipu_batch *batch = quipu_batch_new();
    const quipu_draft draft = {.type = "T"};

    for (int i = 0; i < count; i++)
        (void)quipu_batch_append(batch, "s", QUIPU_ANY, &draft, 1);
    EXPECT(QUIPU_OK, quipu_commit(store, batch, NULL, &why));
    quipu_batch_free(batch);
}

/* What was appended by who does not know the projection is brought along, up to 1 000 events. */
Test(project, an_inline_one_that_fell_behind)
{
    static const struct {
        int behind;
        const char *view;
    } cases[] = {{1000, "s= @1002"}, {1001, "s= @1"}};

    for (size_t i = 0; i < 2; i++) {
        quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 1, .name = "p",
                                       .mode = QUIPU_INLINE, .apply = touch};
        char path[SUPPORT_PATH_BYTES];
        quipu *store = open_store();
        const char *seen;

        EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
        append_many(store, 1);
        quipu_close(store);
        store = open_store();
        append_many(store, cases[i].behind);
        cr_expect_str_eq(support_view(store, "p"), "s= @1");
        EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
        append_many(store, 1);
        seen = support_view(store, "p");
        cr_expect_str_eq(seen, cases[i].view, "%d behind: %s", cases[i].behind, seen);
        project(store, &projection, 0);
        append_many(store, 1);
        cr_expect_str_eq(support_view(store, "p"), i == 0 ? "s= @1003" : "s= @1004");
        quipu_close(store);
        support_remove(support_path(path, "store"));
    }
}

/* A newer function: the old view stays, commits leave it, and quipu_project() brings it. */
Test(project, an_inline_one_of_another_version)
{
    quipu *store = open_store();
    quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 2, .name = "p",
                                   .mode = QUIPU_INLINE, .apply = touch};

    EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
    EXPECT(QUIPU_CONFLICT, quipu_register(store, &projection, &why));
    append_many(store, 1);
    quipu_close(store);

    store = open_store();
    projection.version = 1;
    EXPECT(QUIPU_CONFLICT, quipu_register(store, &projection, &why));
    EXPECT(QUIPU_CONFLICT, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    projection.version = 3;
    EXPECT(QUIPU_OK, quipu_register(store, &projection, &why));
    append_many(store, 1);
    cr_expect_str_eq(support_view(store, "p"), "s= @1");
    project(store, &projection, 0);
    cr_expect_str_eq(support_view(store, "p"), "s= @2");
    append_many(store, 1);
    cr_expect_str_eq(support_view(store, "p"), "s= @3");
    quipu_close(store);
}

/* ---- many keys ------------------------------------------------------------------------------- */

enum { MANY_KEYS = 150000 };

/* Each is said twice; all are still one key each. */
static int say_many(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    int rc = QUIPU_OK;

    (void)event;
    (void)payload;
    (void)error;
    for (int i = 0; i < 2 * MANY_KEYS && rc == QUIPU_OK; i++) {
        char key[16];
        int size = snprintf(key, sizeof(key), "%d", i / 2 * 7 % MANY_KEYS);

        rc = quipu_page_key(page, key, (size_t)size);
    }
    return rc;
}

static int count_calls(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                       void *payload, quipu_error *error)
{
    (void)event;
    (void)error;
    ++*(int *)payload;
    return quipu_page_put(page, key, size, key, size);
}

Test(project, an_event_with_many_keys, .timeout = 30)
{
    int calls = 0;
    const quipu_projection projection = {
        QUIPU_INIT(quipu_projection), .version = 1,     .name = "p", .keys = say_many,
        .apply = count_calls,         .payload = &calls};
    const quipu_draft draft = {.type = "T"};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    quipu_view *view = NULL;
    uint64_t count = 0;

    cr_assert_eq(quipu_open(support_path(path, "many"), NULL, &store, NULL), QUIPU_OK);
    cr_expect_eq(quipu_append(store, "a", QUIPU_ANY, &draft, 1, NULL, NULL), QUIPU_OK);
    cr_expect_eq(quipu_append(store, "a", QUIPU_ANY, &draft, 1, NULL, NULL), QUIPU_OK);
    cr_expect_eq(quipu_project(store, &projection, NULL, NULL, NULL, NULL), QUIPU_OK);
    cr_expect_eq(calls, 2 * MANY_KEYS);
    cr_assert_eq(quipu_view_open(store, "p", &view, NULL), QUIPU_OK);
    cr_expect_eq(quipu_view_count(view, NULL, 0, &count, NULL), QUIPU_OK);
    cr_expect_eq(count, MANY_KEYS);
    quipu_view_close(view);
    quipu_close(store);
}

/* ---- what is left of generations that are gone ------------------------------------------------
 */

static uint64_t rows_of_views(quipu *store, uint32_t *flags)
{
    struct qp_projection_row row = {0};
    struct qp_txn txn = {0};
    uint64_t rows;

    cr_assert_eq(qp_txn_begin_read(store->handle->log, &txn, NULL), QUIPU_OK);
    cr_assert_eq(qp_projections_get(&txn, QP_LITERAL("p"), &row, NULL), QUIPU_ROW);
    rows = qp_table_rows(&txn, QP_TABLE_VIEWS);
    *flags = row.flags;
    qp_txn_end(&txn);
    return rows;
}

/* Rows go although there is always something to fold. */
Test(project, it_is_cleaned_where_events_never_end)
{
    quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 1, .name = "p",
                                   .page_events = 1, .apply = touch};
    quipu *store = open_store();
    uint64_t rows = 0;
    uint32_t flags = 0;

    append_many(store, 1);
    project(store, &projection, 0);
    projection.version = 2;
    project(store, &projection, 3); /* begun, folded, swapped */
    append_many(store, 1);
    project(store, &projection, 1);
    rows = rows_of_views(store, &flags);
    cr_expect(rows == 2 && (flags & QP_PROJECTION_UNCLEAN) != 0, "%u rows", (unsigned)rows);
    for (int i = 0; i < 3; i++) {
        append_many(store, 4);
        project(store, &projection, 2);
    }
    rows = rows_of_views(store, &flags);
    cr_expect_eq(rows, 1);
    cr_expect_eq(flags & QP_PROJECTION_UNCLEAN, 0);
    quipu_close(store);
}

/* ---- an end ---------------------------------------------------------------------------------- */

struct appending {
    quipu *store;
    unsigned pages;
};

static int append_one(void *payload, const quipu_progress *now)
{
    struct appending *appending = payload;

    (void)now;
    append_many(appending->store, 1);
    return ++appending->pages == 100;
}

/* Others append as fast as it folds: it ends with what was there, and what it emitted, not never.
 */
Test(project, ends_where_events_never_end, .timeout = 60)
{
    const quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 1, .name = "p",
                                         .apply = touch};
    struct appending appending = {.store = open_store()};

    append_many(appending.store, 1);
    EXPECT(QUIPU_OK,
           quipu_project(appending.store, &projection, append_one, &appending, NULL, &why));
    cr_expect_lt(appending.pages, 10);
    quipu_close(appending.store);
}
