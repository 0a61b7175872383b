/* test_upcast.c - upcasters: what may be registered, what events become, and what readers and folds
 * see of it. Each test has upcasters of its own, by a table of what each makes of an event. */
#include "handles.h"
#include "support_suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

SUPPORT_SUITE(upcast);

static quipu_error why;

static quipu *open_store(void)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    (void)quipu_open(support_path(path, "store"), NULL, &store, &why);
    cr_assert_not_null(store, "%s", why.text);
    return store;
}

#define EXPECT(status, call)                                                                       \
    do {                                                                                           \
        int got = (call);                                                                          \
        cr_expect_eq(got, (status), "%s: %d, not %d: %s", #call, got, (status), why.text);         \
    } while (0)

/* `parts` of the error's text, which must be of this failure. */
static void expect_text(const char *part)
{
    cr_expect_not_null(strstr(why.text, part), "\"%s\" is not in \"%s\"", part, why.text);
}

/* ---- upcasters ------------------------------------------------------------------------------- */

enum { MADE_MAX = 3 };

/* What an upcaster does: it gives those, and its data grow by a letter. */
struct made {
    const char *type;
    uint16_t schema;
};

struct script {
    const char *type;
    uint16_t from;
    struct made made[MADE_MAX];
    int count;
    const char *letter;
};

static int up(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    const struct script *script = payload;
    char data[256];
    quipu_draft draft = {.data = data};

    (void)error;
    cr_assert_str_eq(event->type, script->type);
    cr_assert_eq(event->schema, script->from);
    cr_assert(event->data_size + 2U < sizeof(data));
    for (int i = 0; i < script->count; i++) {
        int rc;

        draft.type = script->made[i].type;
        draft.schema = script->made[i].schema;
        draft.data_size = (uint32_t)snprintf(data, sizeof(data), "%.*s%s", (int)event->data_size,
                                             (const char *)event->data, script->letter);
        rc = quipu_page_emit(out, NULL, &draft);
        memset(data, '?', sizeof(data)); /* it was copied */
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int add(quipu *store, struct script *script)
{
    const quipu_upcaster upcaster = {QUIPU_INIT(quipu_upcaster), .from = script->from,
                                     .type = script->type, .up = up, .payload = script};

    why = (quipu_error){0};
    return quipu_register_upcaster(store, &upcaster, &why);
}

static int add_from(quipu *store, const char *type, uint32_t from)
{
    const quipu_upcaster upcaster = {QUIPU_INIT(quipu_upcaster), .from = from, .type = type,
                                     .up = up};

    why = (quipu_error){0};
    return quipu_register_upcaster(store, &upcaster, &why);
}

/* A: 1 -> 2 -> 3 -> 4. */
static struct script chain[] = {
    {"A", 1, {{"A", 2}}, 1, "x"}, {"A", 2, {{"A", 3}}, 1, "y"}, {"A", 3, {{"A", 4}}, 1, "z"}};

/* Split: into three, of which the second goes on. Gone: nothing. */
static struct script split[] = {{"Split", 0, {{"One", 7}, {"A", 2}, {"One", 8}}, 3, "s"}};
static struct script gone[] = {{"Gone", 0, {{NULL, 0}}, 0, ""}};

static void add_all(quipu *store)
{
    for (size_t i = 0; i < 3; i++)
        EXPECT(QUIPU_OK, add(store, &chain[i]));
    EXPECT(QUIPU_OK, add(store, &split[0]));
    EXPECT(QUIPU_OK, add(store, &gone[0]));
}

/* ---- events ---------------------------------------------------------------------------------- */

static void append(quipu *store, const char *type, uint16_t schema)
{
    const quipu_draft draft = {.type = type, .schema = schema, .data = "-", .data_size = 1};

    EXPECT(QUIPU_OK, quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, &why));
}

/* All kinds, at positions from 1 on. */
static const struct made kinds[] = {{"A", 1},     {"Gone", 0}, {"Split", 0}, {"Other", 0}, {"A", 4},
                                    {"Split", 1}, {"Gone", 0}, {"A", 3},     {"A", 0}};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static void append_all(quipu *store)
{
    for (size_t i = 0; i < KINDS; i++)
        append(store, kinds[i].type, kinds[i].schema);
}

/* What they become, each as "position:type schema data". */
static const char *const become[] = {"1:A 4 -xyz",  "3:One 7 -s",  "3:A 4 -syz",
                                     "3:One 8 -s",  "4:Other 0 -", "5:A 4 -",
                                     "6:Split 1 -", "8:A 4 -z",    "9:A 0 -"};
enum { BECOME = sizeof(become) / sizeof(become[0]) };

static void describe(const quipu_event *event, char out[64])
{
    (void)snprintf(out, 64, "%llu:%.*s %u %.*s", (unsigned long long)event->position,
                   (int)event->type_size, event->type, event->schema, (int)event->data_size,
                   (const char *)event->data);
}

/* ---- readers --------------------------------------------------------------------------------- */

static quipu_reader *open_reader(quipu *store, uint32_t flags, uint64_t after, uint64_t limit)
{
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = flags, .after = after,
                               .limit = limit};
    quipu_reader *reader = NULL;

    EXPECT(QUIPU_OK, quipu_read(store, NULL, &range, &reader, &why));
    cr_assert_not_null(reader);
    return reader;
}

/* The next event is the one that is expected (NULL: none is). */
static void expect_next(quipu_reader *reader, const char *expected)
{
    quipu_event event;
    char got[64];
    int rc = quipu_next(reader, &event, &why);

    cr_expect_eq(rc, expected != NULL ? QUIPU_ROW : QUIPU_OK, "%d: %s", rc, why.text);
    if (rc != QUIPU_ROW || expected == NULL)
        return;
    describe(&event, got);
    cr_expect_str_eq(got, expected);
    cr_expect_str_eq(event.stream, "s-1");
    cr_expect_eq(event.version, event.position);
}

Test(upcast, a_reader_hands_out_what_events_become)
{
    quipu *store = open_store();
    quipu_reader *reader;

    append_all(store);
    add_all(store);
    reader = open_reader(store, QUIPU_UPCAST, 0, 0);
    for (size_t i = 0; i < BECOME; i++)
        expect_next(reader, become[i]);
    expect_next(reader, NULL);
    expect_next(reader, NULL);
    cr_expect_eq(quipu_reader_head(reader), KINDS);
    quipu_reader_close(reader);
    quipu_close(store);
}

Test(upcast, backwards_all_comes_in_the_reverse_order)
{
    quipu *store = open_store();
    quipu_reader *reader;

    append_all(store);
    add_all(store);
    reader = open_reader(store, QUIPU_UPCAST | QUIPU_BACKWARDS, 0, 0);
    cr_expect_eq(quipu_reader_head(reader), KINDS);
    for (size_t i = BECOME; i-- > 0;) {
        expect_next(reader, become[i]);
        cr_expect_eq(quipu_reader_head(reader), KINDS);
    }
    expect_next(reader, NULL);
    quipu_reader_close(reader);
    quipu_close(store);
}

/* Without the flag, and with it where nothing is registered. */
Test(upcast, what_is_stored_stays_as_it_is)
{
    quipu *store = open_store();

    append_all(store);
    for (uint32_t flags = 0; flags <= QUIPU_UPCAST; flags += QUIPU_UPCAST) {
        quipu_reader *reader;

        if (flags == 0)
            add_all(store);
        reader = open_reader(store, flags, 0, 0);
        for (size_t i = 0; i < KINDS; i++) {
            char expected[64];

            (void)snprintf(expected, sizeof(expected), "%zu:%s %u -", i + 1, kinds[i].type,
                           kinds[i].schema);
            expect_next(reader, expected);
            cr_expect_eq(quipu_reader_head(reader), i + 1);
        }
        expect_next(reader, NULL);
        quipu_reader_close(reader);
        quipu_close(store);
        store = open_store(); /* which knows of none */
    }
    quipu_close(store);
}

/* Whatever is cut where: who goes on from the head misses nothing and sees nothing twice. */
Test(upcast, a_limit_counts_what_is_stored)
{
    static const size_t given[] = {1, 0, 3, 1, 1, 1, 0, 1, 1};
    quipu *store = open_store();

    append_all(store);
    add_all(store);
    for (uint64_t limit = 1; limit <= KINDS; limit++) {
        uint64_t seen = 0;
        size_t at = 0;

        while (seen < KINDS) {
            quipu_reader *reader = open_reader(store, QUIPU_UPCAST, seen, limit);

            for (uint64_t i = seen; i < seen + limit && i < KINDS; i++)
                for (size_t j = 0; j < given[i]; j++)
                    expect_next(reader, become[at++]);
            expect_next(reader, NULL);
            seen = seen + limit < KINDS ? seen + limit : KINDS;
            cr_expect_eq(quipu_reader_head(reader), seen, "limit %d", (int)limit);
            quipu_reader_close(reader);
        }
        cr_expect_eq(at, BECOME);
    }
    quipu_close(store);
}

/* It names no position of which something is still to come. */
Test(upcast, the_head_waits_for_the_last_of_an_event)
{
    static const uint64_t heads[] = {1, 2, 2, 3, 4, 5, 6, 8, 9};
    quipu *store = open_store();
    quipu_reader *reader;

    append_all(store);
    add_all(store);
    for (int renew = 0; renew < 2; renew++) {
        reader = open_reader(store, QUIPU_UPCAST | (renew ? QUIPU_RENEW : 0U), 0, 0);
        cr_expect_eq(quipu_reader_head(reader), 0);
        for (size_t i = 0; i < BECOME; i++) {
            expect_next(reader, become[i]);
            cr_expect_eq(quipu_reader_head(reader), heads[i], "%zu", i);
        }
        quipu_reader_close(reader);
    }
    quipu_close(store);
}

/* Enough events for several snapshots; each becomes two, the second of which a third. */
Test(upcast, a_reader_that_renews_itself)
{
    enum { EVENTS = 21000, BATCH = 3000 };
    static struct script twice[] = {{"Twice", 0, {{"B", 0}, {"A", 1}}, 2, "t"}};
    static quipu_draft drafts[BATCH];
    quipu *store = open_store();
    quipu_reader *reader;
    quipu_event event;
    uint64_t count = 0;

    for (size_t i = 0; i < BATCH; i++)
        drafts[i] = (quipu_draft){.type = "Twice"};
    for (size_t i = 0; i < EVENTS; i += BATCH)
        EXPECT(QUIPU_OK, quipu_append(store, "s-1", QUIPU_ANY, drafts, BATCH, NULL, &why));
    add_all(store);
    EXPECT(QUIPU_OK, add(store, &twice[0]));
    for (uint32_t back = 0; back <= QUIPU_BACKWARDS; back += QUIPU_BACKWARDS) {
        reader = open_reader(store, QUIPU_UPCAST | QUIPU_RENEW | back, 0, 0);
        for (count = 0; quipu_next(reader, &event, &why) == QUIPU_ROW; count++) {
            uint64_t position = back ? EVENTS - count / 2 : count / 2 + 1;
            bool first = (count % 2 == 0) != (back != 0);

            cr_assert_eq(event.position, position);
            cr_assert_str_eq(event.type, first ? "B" : "A");
            cr_assert_eq(event.data_size, first ? 1 : 4);
            cr_assert_eq(memcmp(event.data, first ? "t" : "txyz", event.data_size), 0);
            cr_assert_str_eq(event.stream, "s-1");
        }
        cr_expect_eq(count, 2 * EVENTS);
        quipu_reader_close(reader);
    }
    quipu_close(store);
}

Test(upcast, a_reader_keeps_the_upcasters_of_its_begin)
{
    quipu *store = open_store();
    quipu_reader *early;
    quipu_reader *later;

    append(store, "A", 1);
    early = open_reader(store, QUIPU_UPCAST, 0, 0);
    EXPECT(QUIPU_OK, add(store, &chain[0]));
    later = open_reader(store, QUIPU_UPCAST, 0, 0);
    EXPECT(QUIPU_OK, add(store, &chain[1]));
    expect_next(early, "1:A 1 -");
    expect_next(later, "1:A 2 -x");
    quipu_reader_close(early);
    quipu_reader_close(later);
    quipu_close(store);
}

/* ---- what a result keeps --------------------------------------------------------------------- */

/* With schema 0: all its own. 1: nothing. */
static int up_tags(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    static const char *const tags[] = {"k:1", "longer:value"};
    const quipu_draft full = {.type = "Tagged",
                              .data = "{}",
                              .meta = "own",
                              .tags = tags,
                              .id = {1},
                              .time_ns = 77,
                              .data_size = 2,
                              .meta_size = 3,
                              .tag_count = 2,
                              .flags = QUIPU_EVENT_HAS_ID | QUIPU_EVENT_HAS_TIME |
                                       QUIPU_EVENT_HAS_RECORDED,
                              .data_format = QUIPU_JSON,
                              .schema = 1,
                              .recorded_ns = 5};
    const quipu_draft empty = {.type = "Bare", .schema = 9};

    (void)event;
    (void)error;
    cr_assert_null(payload);
    (void)quipu_page_emit(out, NULL, &full);
    return quipu_page_emit(out, NULL, &empty);
}

static int up_one(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    const quipu_draft draft = {.type = event->type, .schema = (uint16_t)(event->schema + 1)};

    (void)payload;
    (void)error;
    return quipu_page_emit(out, NULL, &draft);
}

static void add_up(quipu *store, const char *type, uint32_t from,
                   int (*function)(const quipu_event *, quipu_page *, void *, quipu_error *),
                   const char *payload)
{
    const quipu_upcaster upcaster = {QUIPU_INIT(quipu_upcaster), .from = from, .type = type,
                                     .up = function, .payload = (void *)(uintptr_t)payload};

    EXPECT(QUIPU_OK, quipu_register_upcaster(store, &upcaster, &why));
}

static void expect_kept(const quipu_event *event, const quipu_event *stored)
{
    cr_expect_eq(event->position, stored->position);
    cr_expect_eq(event->version, stored->version);
    cr_expect_eq(event->recorded_ns, stored->recorded_ns);
    cr_expect_eq(event->stream_size, stored->stream_size);
    cr_expect_str_eq(event->stream, stored->stream);
    cr_expect_eq(memcmp(event->id, stored->id, 16), 0);
    cr_expect_eq(event->flags & QUIPU_EVENT_HAS_ID, 0U);
}

/* The one event of the store by each of two readers, as it is stored and as it becomes. */
Test(upcast, members_of_a_result)
{
    static const char *const tags[] = {"old:tag"};
    const quipu_draft draft = {.type = "Tagged",
                               .data = "abc",
                               .meta = "who",
                               .tags = tags,
                               .data_size = 3,
                               .meta_size = 3,
                               .tag_count = 1,
                               .meta_format = QUIPU_JSON};
    const quipu_upcaster upcaster = {QUIPU_INIT(quipu_upcaster), .type = "Tagged", .up = up_tags};
    quipu *store = open_store();
    quipu_reader *raw;
    quipu_reader *reader;
    quipu_event stored;
    quipu_event event;
    quipu_event *copy;

    EXPECT(QUIPU_OK, quipu_append(store, "s-1", QUIPU_NEW, &draft, 1, NULL, &why));
    EXPECT(QUIPU_OK, quipu_register_upcaster(store, &upcaster, &why));
    add_up(store, "Bare", 9, up_one, NULL); /* the other one is copied along */
    raw = open_reader(store, 0, 0, 0);
    reader = open_reader(store, QUIPU_UPCAST, 0, 0);
    EXPECT(QUIPU_ROW, quipu_next(raw, &stored, &why));

    EXPECT(QUIPU_ROW, quipu_next(reader, &event, &why));
    expect_kept(&event, &stored);
    cr_expect_str_eq(event.type, "Tagged");
    cr_expect_eq(event.type_size, 6);
    cr_expect_eq(event.schema, 1);
    cr_expect_eq(event.time_ns, 77);
    cr_expect_eq(event.flags & QUIPU_EVENT_HAS_TIME, (unsigned)QUIPU_EVENT_HAS_TIME);
    cr_expect_eq(event.tag_count, 2);
    cr_expect_str_eq(quipu_event_tag(&event, "longer"), "value");
    cr_expect_null(quipu_event_tag(&event, "old"));
    support_expect_bytes(event.data, event.data_size, "{}", 2U, "data");
    support_expect_bytes(event.meta, event.meta_size, "own", 3U, "meta");
    cr_expect_eq(event.data_format, QUIPU_JSON);
    cr_expect_eq(event.meta_format, QUIPU_BINARY);
    EXPECT(QUIPU_OK, quipu_event_copy(&event, &copy));
    cr_expect_str_eq(quipu_event_tag(copy, "k"), "1");
    quipu_event_free(copy);

    EXPECT(QUIPU_ROW, quipu_next(reader, &event, &why));
    expect_kept(&event, &stored);
    cr_expect_str_eq(event.type, "Bare");
    cr_expect_eq(event.schema, 10);
    cr_expect_eq(event.time_ns, stored.time_ns);
    cr_expect_eq(event.flags, stored.flags);
    cr_expect_eq(event.tag_count, 0);
    cr_expect_null(event.data);
    support_expect_bytes(event.meta, event.meta_size, "who", 3U, "meta is kept");
    cr_expect_eq(event.meta_format, QUIPU_JSON);
    EXPECT(QUIPU_OK, quipu_next(reader, &event, &why));
    quipu_reader_close(raw);
    quipu_reader_close(reader);
    quipu_close(store);
}

/* ---- what may be registered ------------------------------------------------------------------ */

Test(upcast, a_chain_has_no_gaps)
{
    quipu *store = open_store();

    EXPECT(QUIPU_OK, add_from(store, "A", 5));
    EXPECT(QUIPU_MISUSE, add_from(store, "A", 7));
    expect_text("one from 6 is missing");
    EXPECT(QUIPU_MISUSE, add_from(store, "A", 3));
    expect_text("one from 4 is missing");
    EXPECT(QUIPU_MISUSE, add_from(store, "A", 5));
    expect_text("already");
    EXPECT(QUIPU_OK, add_from(store, "A", 6));
    EXPECT(QUIPU_OK, add_from(store, "A", 7));
    EXPECT(QUIPU_OK, add_from(store, "A", 4));
    EXPECT(QUIPU_MISUSE, add_from(store, "A", 6));
    EXPECT(QUIPU_MISUSE, add_from(store, "A", 0));
    expect_text("one from 3 is missing");
    EXPECT(QUIPU_OK, add_from(store, "AB", 9)); /* another type */
    EXPECT(QUIPU_OK, add_from(store, "B", 0));
    EXPECT(QUIPU_OK, add_from(store, "C", 65534));
    EXPECT(QUIPU_MISUSE, add_from(store, "C", 65535));
    EXPECT(QUIPU_MISUSE, add_from(store, "D", UINT32_MAX));
    quipu_close(store);
    store = open_store(); /* nothing is left */
    EXPECT(QUIPU_OK, add_from(store, "A", 7));
    quipu_close(store);
}

/* More than the first tables hold. */
Test(upcast, many_of_them)
{
    enum { TYPES = 100, STEPS = 5 };
    static struct script scripts[TYPES][STEPS];
    static char names[TYPES][16];
    quipu *store = open_store();
    quipu_reader *reader;
    quipu_event event;

    for (size_t i = 0; i < TYPES; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "T%zu", i);
        append(store, names[i], 0);
        for (size_t j = STEPS; j-- > 0;) {
            scripts[i][j] =
                (struct script){names[i], (uint16_t)j, {{names[i], (uint16_t)(j + 1)}}, 1, "+"};
            EXPECT(QUIPU_OK, add(store, &scripts[i][j]));
        }
    }
    reader = open_reader(store, QUIPU_UPCAST, 0, 0);
    for (size_t i = 0; i < TYPES; i++) {
        EXPECT(QUIPU_ROW, quipu_next(reader, &event, &why));
        cr_expect_str_eq(event.type, names[i]);
        cr_expect_eq(event.schema, STEPS);
        support_expect_bytes(event.data, event.data_size, "-+++++", 6U, "data");
    }
    quipu_reader_close(reader);
    quipu_close(store);
}

/* What is given is copied; a longer struct is a newer release's. */
Test(upcast, what_is_given)
{
    struct {
        quipu_upcaster upcaster;
        uint64_t later;
    } newer = {{.struct_size = sizeof(newer), .type = "A", .up = up}, 0};
    char type[] = "A";
    char longest[257];
    quipu_upcaster upcaster = {
        .struct_size = 0, .from = 1, .type = type, .up = up, .payload = &chain[0]};
    quipu *store = open_store();
    quipu_reader *reader;

    EXPECT(QUIPU_MISUSE, quipu_register_upcaster(NULL, &upcaster, &why));
    EXPECT(QUIPU_MISUSE, quipu_register_upcaster(store, NULL, &why));
    EXPECT(QUIPU_MISUSE, quipu_register_upcaster(store, &newer.upcaster, &why));
    expect_text("newer release");
    upcaster.up = NULL;
    EXPECT(QUIPU_MISUSE, quipu_register_upcaster(store, &upcaster, &why));
    upcaster.up = up;
    EXPECT(QUIPU_MISUSE, add_from(store, NULL, 0));
    EXPECT(QUIPU_INVALID, add_from(store, "", 0));
    EXPECT(QUIPU_INVALID, add_from(store, "\xff", 0));
    EXPECT(QUIPU_INVALID, add_from(store, "$A", 0));
    memset(longest, 'l', sizeof(longest));
    longest[256] = '\0';
    EXPECT(QUIPU_TOO_LARGE, add_from(store, longest, 0));
    longest[255] = '\0';
    EXPECT(QUIPU_OK, add_from(store, longest, 0));
    EXPECT(QUIPU_OK, quipu_register_upcaster(store, &upcaster, NULL));
    type[0] = '?';
    memset(&upcaster, 0xff, sizeof(upcaster));
    append(store, "A", 1);
    reader = open_reader(store, QUIPU_UPCAST, 0, 0);
    expect_next(reader, "1:A 2 -x");
    quipu_reader_close(reader);
    quipu_close(store);
}

static int call(const quipu_upcaster *upcaster, const quipu_event *event, struct qp_upcast *out,
                quipu_error *error)
{
    (void)event;
    (void)error;
    cr_expect_str_eq(upcaster->type, "A");
    return qp_upcast_emit(out, NULL, &(quipu_draft){.type = "B"});
}

/* The same without a store: the type is the own copy, and one that was zeroed hands out what it is
 * given. */
Test(upcast, without_a_store)
{
    char type[] = "A";
    const quipu_upcaster upcaster = {.type = type, .up = up};
    const quipu_event event = {.stream = "s", .type = "A", .type_size = 1};
    struct qp_upcasters upcasters = {.count = 0};
    struct qp_upcast upcast = {0};
    const quipu_event *result;

    cr_expect(qp_upcast_idle(&upcast) && qp_upcast_left(&upcast) == 0);
    EXPECT(QUIPU_OK, qp_upcast_event(&upcast, &event, &why));
    cr_expect_eq(qp_upcast_next(&upcast), &event);
    cr_expect_null(qp_upcast_next(&upcast));
    qp_upcast_release(&upcast);

    qp_upcasters_init(&upcasters);
    EXPECT(QUIPU_OK, qp_upcasters_add(&upcasters, &upcaster, call, &why));
    type[0] = '?';
    qp_upcast_begin(&upcast, &upcasters, false);
    cr_expect(!qp_upcast_idle(&upcast));
    for (int i = 0; i < 2; i++) {
        EXPECT(QUIPU_OK, qp_upcast_event(&upcast, &event, &why));
        cr_expect(qp_upcast_left(&upcast) > 0);
        result = qp_upcast_next(&upcast);
        cr_assert_not_null(result);
        cr_expect_str_eq(result->type, "B");
        cr_expect_null(qp_upcast_next(&upcast));
    }
    qp_upcast_release(&upcast);
    qp_upcasters_release(&upcasters);
}

/* ---- what fails ------------------------------------------------------------------------------ */

/* For up_badly: what it does, and how it ends. */
static struct {
    const char *stream;
    quipu_draft draft;
    const quipu_draft *emitted; /* NULL: &draft */
    bool no_draft;
    bool silent;      /* the failure of the emit is not returned */
    int returns;      /* if it emits nothing */
    const char *text; /* that it writes */
    unsigned times;   /* 0: once */
} badly;

static int up_badly(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    const quipu_draft good = {.type = "Good"};
    unsigned times = badly.times > 0 ? badly.times : 1;
    int rc = 0;

    (void)event;
    (void)payload;
    if (badly.text != NULL)
        (void)snprintf(error->text, sizeof(error->text), "%s", badly.text);
    if (badly.draft.type == NULL && !badly.no_draft)
        return badly.returns;
    for (unsigned i = 0; i < times; i++)
        rc = quipu_page_emit(out, badly.stream, badly.no_draft ? NULL : &badly.draft);
    if (rc < 0)
        cr_expect_eq(quipu_page_emit(out, NULL, &good), rc, "it is remembered");
    return badly.silent ? 0 : rc;
}

/* A reader fails at the event as often as it is asked, a load too; and both work once the upcaster
 * does. */
static void expect_failure(quipu *store, int status, const char *text)
{
    quipu_reader *reader = open_reader(store, QUIPU_UPCAST, 0, 0);
    quipu_event event;

    expect_next(reader, "1:First 0 -");
    for (int i = 0; i < 2; i++) {
        why = (quipu_error){0};
        EXPECT(status, quipu_next(reader, &event, &why));
        cr_expect_eq(why.status, status);
        expect_text(text);
        cr_expect_eq(event.position, 2);
        cr_expect_null(event.type);
        cr_expect_eq(quipu_reader_head(reader), 1);
        EXPECT(status, quipu_next(reader, &event, NULL));
    }
    memset(&badly, 0, sizeof(badly));
    badly.draft.type = "Good";
    expect_next(reader, "2:Good 0 ");
    cr_expect_eq(quipu_reader_head(reader), 2);
    expect_next(reader, NULL);
    quipu_reader_close(reader);
    memset(&badly, 0, sizeof(badly));
}

static quipu *open_bad_store(void)
{
    const quipu_upcaster upcaster = {QUIPU_INIT(quipu_upcaster), .from = 3, .type = "Bad",
                                     .up = up_badly};
    quipu *store = open_store();

    append(store, "First", 0);
    append(store, "Bad", 3);
    EXPECT(QUIPU_OK, quipu_register_upcaster(store, &upcaster, &why));
    return store;
}

Test(upcast, what_up_returns)
{
    quipu *store = open_bad_store();

    badly.returns = QUIPU_APPLICATION - 5;
    expect_failure(store, QUIPU_APPLICATION - 5,
                   "the upcaster of Bad from schema 3 returned -1005 at position 2");
    badly.returns = QUIPU_APPLICATION;
    badly.text = "I do not know it";
    expect_failure(store, QUIPU_APPLICATION, "I do not know it");
    badly.returns = 1;
    expect_failure(store, QUIPU_MISUSE, "returned 1");
    badly.returns = 1;
    badly.text = "not an error";
    expect_failure(store, QUIPU_MISUSE, "returned 1");
    quipu_close(store);
}

/* What is wrong with a result fails the event, whether `up` says so or not. */
Test(upcast, what_up_gives)
{
    static const char *const tags[] = {"k:1", "k:1"};
    static const char *const no_tag[] = {NULL};
    static const struct {
        const char *stream;
        quipu_draft draft;
        bool no_draft;
        int status;
        const char *text;
    } cases[] = {
        {"s-2", {.type = "T"}, false, QUIPU_MISUSE, "an upcaster names no stream"},
        {NULL, {0}, true, QUIPU_MISUSE, "the draft is NULL"},
        {NULL, {.type = ""}, false, QUIPU_INVALID, "a type is empty"},
        {NULL, {.type = "$T"}, false, QUIPU_INVALID, "reserved"},
        {NULL, {.type = "Bad", .schema = 3}, false, QUIPU_INVALID, "same type with schema 3"},
        {NULL, {.type = "Bad", .schema = 5}, false, QUIPU_INVALID, "same type with schema 5"},
        {NULL, {.type = "Bad"}, false, QUIPU_INVALID, "same type with schema 0"},
        {NULL, {.type = "T", .data_size = 1}, false, QUIPU_MISUSE, "data is NULL"},
        {NULL, {.type = "T", .meta_size = 1}, false, QUIPU_MISUSE, "meta is NULL"},
        {NULL,
         {.type = "T", .data = "d", .data_size = QP_DATA_BYTES_MAX + 1},
         false,
         QUIPU_TOO_LARGE,
         "data and meta have"},
        {NULL,
         {.type = "T", .data = "d", .data_size = 1, .data_format = 3},
         false,
         QUIPU_MISUSE,
         "unknown format"},
        {NULL, {.type = "T", .tag_count = 1}, false, QUIPU_MISUSE, "tags is NULL"},
        {NULL, {.type = "T", .tag_count = 65, .tags = tags}, false, QUIPU_TOO_LARGE, "65 tags"},
        {NULL, {.type = "T", .tag_count = 1, .tags = no_tag}, false, QUIPU_MISUSE, "a tag is"},
        {NULL, {.type = "T", .tag_count = 2, .tags = tags}, false, QUIPU_INVALID, "stands twice"},
        {NULL, {.type = "T", .flags = 1U << 30}, false, QUIPU_MISUSE, "unknown flags"},
        {NULL, {.type = "T", .reserved = {1}}, false, QUIPU_MISUSE, "reserved fields"}};
    quipu *store = open_bad_store();

    cr_expect_eq(quipu_page_emit(NULL, NULL, &cases[0].draft), QUIPU_MISUSE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int silent = 0; silent < 2; silent++) {
            badly.stream = cases[i].stream;
            badly.draft = cases[i].draft;
            badly.no_draft = cases[i].no_draft;
            badly.silent = silent == 1;
            badly.times = 2; /* the second one is told the same */
            expect_failure(store, cases[i].status, cases[i].text);
        }
    badly.stream = "s-2"; /* its own words count */
    badly.draft.type = "T";
    badly.text = "my own words";
    expect_failure(store, QUIPU_MISUSE, "my own words");
    quipu_close(store);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static int up_round(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    const quipu_draft draft = {.type = payload};

    (void)event;
    (void)error;
    return quipu_page_emit(out, NULL, &draft);
}

Test(upcast, as_many_steps_as_may_be)
{
    quipu *store = open_store();
    quipu_reader *reader;
    quipu_event event;

    for (uint32_t i = 0; i <= QP_UPCAST_STEPS_MAX; i++)
        add_up(store, "L", i, up_one, NULL);
    append(store, "L", 1);
    append(store, "L", 0);
    reader = open_reader(store, QUIPU_UPCAST, 0, 0);
    EXPECT(QUIPU_ROW, quipu_next(reader, &event, &why));
    cr_expect_eq(event.schema, QP_UPCAST_STEPS_MAX + 1);
    EXPECT(QUIPU_INVALID, quipu_next(reader, &event, &why));
    expect_text("position 2 takes more than 64 upcasters");
    cr_expect_eq(event.position, 2);
    quipu_reader_close(reader);
    quipu_close(store);
}

Test(upcast, types_that_become_each_other)
{
    quipu *store = open_store();
    quipu_reader *reader;
    quipu_event event;

    add_up(store, "Ping", 0, up_round, "Pong");
    add_up(store, "Pong", 0, up_round, "Ping");
    append(store, "Ping", 0);
    reader = open_reader(store, QUIPU_UPCAST, 0, 0);
    EXPECT(QUIPU_INVALID, quipu_next(reader, &event, &why));
    expect_text("more than 64");
    quipu_reader_close(reader);
    quipu_close(store);
}

static int up_many(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    const quipu_draft draft = {.type = "Part"};
    int rc = 0;

    (void)payload;
    (void)error;
    for (uint32_t i = 0; i < event->schema && rc == 0; i++)
        rc = quipu_page_emit(out, NULL, &draft);
    return rc;
}

Test(upcast, as_many_results_as_may_be)
{
    quipu *store = open_store();
    quipu_reader *reader;
    quipu_event event;
    unsigned count = 0;
    int rc;

    add_up(store, "Many", QP_UPCAST_EVENTS_MAX, up_many, NULL);
    add_up(store, "Many", QP_UPCAST_EVENTS_MAX + 1, up_many, NULL);
    append(store, "Many", QP_UPCAST_EVENTS_MAX);
    append(store, "Many", QP_UPCAST_EVENTS_MAX + 1);
    reader = open_reader(store, QUIPU_UPCAST, 0, 0);
    for (rc = quipu_next(reader, &event, &why); rc == QUIPU_ROW;
         rc = quipu_next(reader, &event, &why))
        count++;
    cr_expect_eq(count, QP_UPCAST_EVENTS_MAX);
    cr_expect_eq(rc, QUIPU_TOO_LARGE);
    expect_text("one event becomes more than 4096");
    cr_expect_eq(quipu_reader_head(reader), 1);
    quipu_reader_close(reader);
    quipu_close(store);
}

/* ---- folds ----------------------------------------------------------------------------------- */

/* What a fold has seen, one event after the other. */
struct story {
    char text[256];
};

static int apply_story(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    struct story *story = state;
    char one[64];
    size_t size = strlen(story->text);

    (void)error;
    if (payload != NULL && quipu_event_is(event, payload))
        return QUIPU_APPLICATION;
    describe(event, one);
    (void)snprintf(story->text + size, sizeof(story->text) - size, "%s,", one);
    return 0;
}

static int load(quipu *store, const quipu_point *at, struct story *story, uint64_t *version)
{
    const quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "story", .state_size = sizeof(*story),
                             .apply = apply_story};

    return quipu_load(store, &fold, "s-1", at, story, version, &why);
}

/* What the events up to a position become. */
static const char *story_upto(uint64_t position)
{
    static char text[256];

    text[0] = '\0';
    for (size_t i = 0; i < BECOME && (uint64_t)(become[i][0] - '0') <= position; i++) {
        size_t size = strlen(text);

        (void)snprintf(text + size, sizeof(text) - size, "%s,", become[i]);
    }
    return text;
}

Test(upcast, a_fold_sees_what_events_become)
{
    quipu *store = open_store();
    struct story story;
    uint64_t version;

    append_all(store);
    add_all(store);
    EXPECT(QUIPU_OK, load(store, NULL, &story, &version));
    cr_expect_str_eq(story.text, story_upto(KINDS));
    cr_expect_eq(version, KINDS);
    for (int64_t i = 0; i <= KINDS; i++) {
        const quipu_point points[] = {{.kind = QUIPU_AT_VERSION, .value = i},
                                      {.kind = QUIPU_AT_POSITION, .value = i}};

        for (size_t j = 0; j < 2; j++) {
            EXPECT(QUIPU_OK, load(store, &points[j], &story, &version));
            cr_expect_str_eq(story.text, story_upto((uint64_t)i));
            cr_expect_eq(version, (uint64_t)i, "also where the last became nothing");
        }
    }
    quipu_close(store);
}

/* The point in time goes by what is stored, whatever time a result has. */
Test(upcast, a_fold_as_of_a_time)
{
    const quipu_draft draft = {.type = "Tagged", .flags = QUIPU_EVENT_HAS_TIME, .time_ns = 1000};
    const quipu_upcaster upcaster = {QUIPU_INIT(quipu_upcaster), .type = "Tagged", .up = up_tags};
    quipu_point at = {.kind = QUIPU_AT_TIME, .value = 999};
    quipu *store = open_store();
    struct story story;
    uint64_t version;

    EXPECT(QUIPU_OK, quipu_append(store, "s-1", QUIPU_NEW, &draft, 1, NULL, &why));
    EXPECT(QUIPU_OK, quipu_register_upcaster(store, &upcaster, &why));
    EXPECT(QUIPU_OK, load(store, &at, &story, &version));
    cr_expect_eq(version, 0);
    at.value = 1000;
    EXPECT(QUIPU_OK, load(store, &at, &story, &version));
    cr_expect_eq(version, 1);
    cr_expect_str_eq(story.text, "1:Tagged 1 {},1:Bare 9 ,");
    at = (quipu_point){.kind = QUIPU_AT_RECORDED, .value = 1000};
    EXPECT(QUIPU_OK, load(store, &at, &story, &version));
    cr_expect_eq(version, 0);
    quipu_close(store);
}

static int decide(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                  quipu_error *error)
{
    const quipu_draft draft = {.type = "Decided"};

    (void)error;
    *(struct story *)payload = *(const struct story *)state;
    cr_expect_eq(version, KINDS);
    return quipu_batch_append(batch, "s-1", QUIPU_ANY, &draft, 1);
}

Test(upcast, a_decision_sees_what_events_become)
{
    quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "story", .state_size = sizeof(struct story),
                       .apply = apply_story};
    quipu *store = open_store();
    struct story story = {{0}};
    uint64_t version;

    append_all(store);
    add_all(store);
    EXPECT(QUIPU_OK, quipu_execute(store, &fold, "s-1", decide, &story, 0, NULL, &why));
    cr_expect_str_eq(story.text, story_upto(KINDS));
    EXPECT(QUIPU_OK, load(store, NULL, &story, &version));
    cr_expect_eq(version, KINDS + 1);

    fold.payload = (void *)(uintptr_t) "One"; /* a result in the middle */
    EXPECT(QUIPU_APPLICATION, quipu_load(store, &fold, "s-1", NULL, &story, &version, &why));
    cr_expect_str_eq(story.text, "1:A 4 -xyz,");
    quipu_close(store);
}

static int releases;

static void release_story(void *state, void *payload)
{
    (void)state;
    (void)payload;
    releases++;
}

Test(upcast, a_fold_that_an_upcaster_fails)
{
    const quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "story",
                             .state_size = sizeof(struct story), .apply = apply_story,
                             .release = release_story};
    const quipu_point before = {.kind = QUIPU_AT_VERSION, .value = 1};
    quipu *store = open_bad_store();
    struct story story;
    uint64_t version;

    badly.returns = QUIPU_APPLICATION - 7;
    EXPECT(QUIPU_APPLICATION - 7, quipu_load(store, &fold, "s-1", NULL, &story, &version, &why));
    expect_text("returned -1007");
    cr_expect_eq(releases, 1);
    EXPECT(QUIPU_OK, quipu_load(store, &fold, "s-1", &before, &story, &version, &why));
    cr_expect_eq(releases, 1);
    quipu_close(store);
}

/* ---- others ---------------------------------------------------------------------------------- */

/* A reader that outlives its store's close finds its upcasters' memory, and says CLOSED. */
Test(upcast, a_reader_that_outlives_its_store)
{
    quipu *store = open_store();
    quipu_reader *reader;
    quipu_event event;

    append_all(store);
    add_all(store);
    reader = open_reader(store, QUIPU_UPCAST, 2, 0);
    expect_next(reader, "3:One 7 -s");
    quipu_close(store);
    EXPECT(QUIPU_CLOSED, quipu_next(reader, &event, &why));
    quipu_reader_close(reader);
}

/* A call that memory was out for, once more: then it must do what it was to do. */
#define AGAIN(call)                                                                                \
    do {                                                                                           \
        if ((call) != QUIPU_OK) {                                                                  \
            cr_expect_eq(why.status, QUIPU_NO_MEMORY, "%s", why.text);                             \
            EXPECT(QUIPU_OK, (call));                                                              \
        }                                                                                          \
    } while (0)

static void use_without_memory(quipu *store)
{
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_UPCAST};
    quipu_reader *reader = NULL;
    struct story story;
    uint64_t version;

    for (size_t i = 0; i < 3; i++)
        AGAIN(add(store, &chain[i]));
    AGAIN(add(store, &split[0]));
    AGAIN(add(store, &gone[0]));
    AGAIN(quipu_read(store, NULL, &range, &reader, &why));
    for (size_t i = 0; i < BECOME; i++) {
        quipu_event event;
        char got[64] = "";
        int rc = quipu_next(reader, &event, &why);

        if (rc == QUIPU_NO_MEMORY)
            rc = quipu_next(reader, &event, &why);
        cr_assert_eq(rc, QUIPU_ROW, "%s", why.text);
        describe(&event, got);
        cr_expect_str_eq(got, become[i]);
    }
    quipu_reader_close(reader);
    AGAIN(load(store, NULL, &story, &version));
    cr_expect_str_eq(story.text, story_upto(KINDS));
}

/* Each n-th allocation fails: it is said, and the next call is right. */
Test(upcast, memory_that_is_out)
{
    bool failed = true;
    long n;

    quipu *store = open_store();

    append_all(store);
    quipu_close(store);
    for (n = 1; failed && n < 200; n++) {
        long before;

        store = open_store();
        before = support_heap_calls();
        support_heap_fail(n, false);
        use_without_memory(store);
        failed = support_heap_calls() - before >= n;
        support_heap_fail(0, false);
        quipu_close(store);
    }
    cr_expect(n > 15 && n < 200, "%ld", n);
}

/* Threads that register beside threads that read: each event is as some of them make it. */
enum { READERS = 4, STEPS = 40 };

static atomic_bool stop;
static atomic_uint looks; /* that were begun */
static struct script ladder[STEPS];

/* NULL, or what is wrong. `*least` is what the look before has seen. */
static const char *look(quipu *store, uint16_t *least)
{
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_UPCAST};
    quipu_reader *reader = NULL;
    const char *wrong = NULL;
    quipu_event event;
    struct story story;
    uint64_t version = 0;
    uint16_t schema = 0;

    if (quipu_read(store, NULL, &range, &reader, NULL) != QUIPU_OK)
        return "open";
    for (int i = 0; i < 3 && wrong == NULL; i++) {
        if (quipu_next(reader, &event, NULL) != QUIPU_ROW)
            wrong = "next";
        else if (i > 0 && event.schema != schema)
            wrong = "an event has gone through others than the one before";
        else if (event.data_size != 1U + event.schema)
            wrong = "steps are missing";
        schema = event.schema;
    }
    quipu_reader_close(reader);
    if (wrong == NULL && schema < *least)
        wrong = "upcasters are gone";
    *least = schema;
    if (wrong == NULL && (load(store, NULL, &story, &version) != QUIPU_OK || version != 3))
        wrong = "load";
    return wrong;
}

static void *read_on(void *payload)
{
    const char *wrong = NULL;
    uint16_t least = 0;

    while (!atomic_load(&stop) && wrong == NULL) {
        atomic_fetch_add(&looks, 1);
        wrong = look(payload, &least);
    }
    atomic_store(&stop, true); /* also for who waits for looks */
    return (void *)(uintptr_t)wrong;
}

static void *register_on(void *payload)
{
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned before = atomic_load(&looks);

        while (!atomic_load(&stop) && atomic_load(&looks) - before < READERS)
            (void)sched_yield();
        (void)quipu_register_upcaster(payload,
                                      &(quipu_upcaster){QUIPU_INIT(quipu_upcaster),
                                                        .from = ladder[i].from, .type = "Step",
                                                        .up = up, .payload = &ladder[i]},
                                      NULL);
    }
    return NULL;
}

Test(upcast, threads_that_register_and_read)
{
    pthread_t readers[READERS];
    pthread_t writers[2];
    quipu *store = open_store();
    void *wrong;

    for (unsigned i = 0; i < STEPS; i++)
        ladder[i] = (struct script){"Step", (uint16_t)i, {{"Step", (uint16_t)(i + 1)}}, 1, "+"};
    for (int i = 0; i < 3; i++)
        append(store, "Step", 0);
    for (size_t i = 0; i < READERS; i++)
        cr_assert_eq(pthread_create(&readers[i], NULL, read_on, store), 0);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&writers[i], NULL, register_on, store), 0);
    for (size_t i = 0; i < 2; i++)
        (void)pthread_join(writers[i], NULL);
    atomic_store(&stop, true);
    for (size_t i = 0; i < READERS; i++) {
        (void)pthread_join(readers[i], &wrong);
        cr_expect_null(wrong, "%s", (const char *)wrong);
    }
    EXPECT(QUIPU_MISUSE, add(store, &ladder[STEPS - 1])); /* one of the two had it in */
    expect_text("already");
    quipu_close(store);
}
