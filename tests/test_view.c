/* test_view.c - view.c: what a view shows, by key and in order, held against a sorted list at
 * random, of kept, half-built and live views alike; values of every size; that nothing in it
 * changes. */
#include "handles.h"
#include "key.h"
#include "support_suite.h"

#include <quipu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a store and projections over it ---- */

enum { VALUE_BYTES_MAX = 16 * 1024 * 1024 };

static quipu *store;
static quipu_error why;

static void begin(void)
{
    char path[SUPPORT_PATH_BYTES];

    support_begin();
    store = NULL;
    if (quipu_open(support_path(path, "store"), NULL, &store, NULL) < 0)
        abort();
}

static void end(void)
{
    quipu_close(store);
    support_suite_end();
}

TestSuite(view, .init = begin, .fini = end, .timeout = 110);

/* An event says what is to be done: its meta is the key, its data the value; type "gone" deletes,
 * and "long" puts as many bytes as the data says. */
static int keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)payload;
    (void)error;
    return quipu_page_key(page, event->meta, event->meta_size);
}

static int apply(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    char *bytes;
    size_t size;
    int rc;

    (void)payload;
    (void)error;
    if (strcmp(event->type, "gone") == 0)
        return quipu_page_delete(page, key, key_size);
    if (strcmp(event->type, "long") != 0)
        return quipu_page_put(page, key, key_size, event->data, event->data_size);
    size = strtoul(event->data, NULL, 10);
    bytes = support_repeat(((const char *)key)[0], size);
    rc = quipu_page_put(page, key, key_size, bytes, size);
    free(bytes);
    return rc;
}

static const quipu_projection kept = {QUIPU_INIT(quipu_projection), .version = 1, .name = "p",
                                      .keys = keys, .apply = apply};
static const quipu_projection live = {QUIPU_INIT(quipu_projection), .version = 1, .name = "now",
                                      .mode = QUIPU_LIVE,           .keys = keys, .apply = apply};

static void add(const char *type, struct qp_bytes key, struct qp_bytes value)
{
    const quipu_draft draft = {.type = type,
                               .meta = key.data,
                               .meta_size = (uint32_t)key.size,
                               .data = value.data,
                               .data_size = (uint32_t)value.size};

    cr_assert_eq(quipu_append(store, "s", QUIPU_ANY, &draft, 1, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

static struct qp_bytes text(const char *string)
{
    return (struct qp_bytes){string, strlen(string)};
}

static void put(const char *key, const char *value)
{
    add("put", text(key), text(value));
}

static void project(const quipu_projection *projection)
{
    cr_assert_eq(quipu_project(store, projection, NULL, NULL, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

static quipu_view *open_view(const char *name)
{
    quipu_view *view = NULL;

    cr_assert_eq(quipu_view_open(store, name, &view, &why), QUIPU_OK, "%s: %s", name, why.text);
    return view;
}

/* NULL: there is none. */
static void expect(quipu_view *view, const char *key, const char *value)
{
    quipu_value got = {"x", 1};
    int rc = quipu_view_get(view, key, strlen(key), &got, &why);

    cr_assert_eq(rc, value != NULL ? QUIPU_ROW : QUIPU_OK, "%s: %d %s", key, rc, why.text);
    cr_expect_eq(got.size, value != NULL ? strlen(value) : 0, "%s", key);
    cr_expect(value == NULL || memcmp(got.data, value, got.size) == 0, "%s", key);
    cr_expect(value != NULL || got.data == NULL);
}

/* ---- open ---- */

Test(view, which_there_is)
{
    static const struct {
        const char *name;
        int status;
    } cases[] = {{"p", QUIPU_NOT_FOUND}, {"$rebuild:p", QUIPU_NOT_FOUND}, {"", QUIPU_INVALID},
                 {NULL, QUIPU_MISUSE},   {"$rebuild:", QUIPU_INVALID},    {"a\nb", QUIPU_INVALID},
                 {"$x", QUIPU_NOT_FOUND}};
    char *name = support_repeat('n', 11 + 128);
    quipu_view *view = (quipu_view *)&why;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(quipu_view_open(store, cases[i].name, &view, &why), cases[i].status, "%zu: %s",
                     i, why.text);
        cr_expect_null(view);
    }
    cr_expect_eq(quipu_view_open(store, name, &view, &why), QUIPU_TOO_LARGE);
    name[128] = '\0';
    cr_expect_eq(quipu_view_open(store, name, &view, &why), QUIPU_TOO_LARGE);
    name[127] = '\0';
    cr_expect_eq(quipu_view_open(store, name, &view, &why), QUIPU_NOT_FOUND);
    free(name);
    project(&kept);
    cr_expect_eq(quipu_view_open(store, "$rebuild:p", &view, &why), QUIPU_NOT_FOUND);
    cr_expect_not_null(strstr(why.text, "p is not being rebuilt"), "%s", why.text);
    view = open_view("p");
    cr_expect_eq(quipu_view_mark(view), 0);
    expect(view, "k", NULL);
    quipu_view_close(view);
    cr_assert_eq(quipu_projection_control(store, "p", QUIPU_DELETE, 0, NULL, &why), QUIPU_OK);
    cr_expect_eq(quipu_view_open(store, "p", &view, &why), QUIPU_NOT_FOUND);
}

static int stop_within(void *payload, const quipu_progress *progress)
{
    (void)payload;
    return progress->status == QUIPU_PROJECTION_REBUILDING && progress->mark > 0;
}

/* What is built beside a view is a view of its own, until it takes its place. */
Test(view, being_rebuilt)
{
    quipu_projection newer = kept;
    quipu_view *old;
    quipu_view *built;
    quipu_view *view = NULL;

    for (int i = 0; i < 6; i++) {
        char value[8];

        (void)snprintf(value, sizeof(value), "%d", i);
        put("k", value);
    }
    project(&kept);
    newer.version = 2;
    newer.page_events = 2;
    cr_assert_eq(quipu_project(store, &newer, stop_within, NULL, NULL, &why), QUIPU_OK);
    old = open_view("p");
    built = open_view("$rebuild:p");
    expect(old, "k", "5");
    cr_expect_eq(quipu_view_mark(old), 6);
    cr_expect_eq(quipu_view_mark(built), 2);
    expect(built, "k", "1");
    project(&newer);
    cr_expect_eq(quipu_view_open(store, "$rebuild:p", &view, &why), QUIPU_NOT_FOUND);
    expect(old, "k", "5");
    expect(built, "k", "1");
    quipu_view_close(old);
    quipu_view_close(built);
    view = open_view("p");
    expect(view, "k", "5");
    quipu_view_close(view);
}

/* ---- a snapshot ---- */

static uint64_t count(quipu_view *view, const char *prefix)
{
    uint64_t number = 4711;

    cr_assert_eq(quipu_view_count(view, prefix, strlen(prefix), &number, &why), QUIPU_OK, "%s",
                 why.text);
    return number;
}

Test(view, nothing_in_it_changes)
{
    static const char *const names[] = {"p", "now"};
    quipu_value key;
    quipu_value value;
    quipu_view *views[2];

    cr_assert_eq(quipu_register(store, &live, &why), QUIPU_OK, "%s", why.text);
    put("a", "1");
    put("b", "2");
    put("c", "3");
    project(&kept);
    for (size_t i = 0; i < 2; i++) {
        views[i] = open_view(names[i]);
        cr_assert_eq(quipu_view_scan(views[i], NULL, 0, NULL, 0, 0, &why), QUIPU_OK);
        cr_assert_eq(quipu_view_next(views[i], &key, &value, &why), QUIPU_ROW);
    }
    put("a", "changed");
    put("bb", "new");
    add("gone", text("c"), text(""));
    project(&kept);
    for (size_t i = 0; i < 2; i++) {
        quipu_view *now = open_view(names[i]);

        cr_assert_eq(quipu_view_next(views[i], &key, &value, &why), QUIPU_ROW);
        support_expect_bytes(key.data, key.size, "b", 1, "%zu", i);
        cr_assert_eq(quipu_view_next(views[i], &key, &value, &why), QUIPU_ROW);
        support_expect_bytes(key.data, key.size, "c", 1, "%zu", i);
        support_expect_bytes(value.data, value.size, "3", 1, "%zu", i);
        cr_expect_eq(quipu_view_next(views[i], &key, &value, &why), QUIPU_OK);
        cr_expect_eq(quipu_view_next(views[i], &key, &value, &why), QUIPU_OK, "it stays so");
        expect(views[i], "a", "1");
        expect(views[i], "bb", NULL);
        cr_expect_eq(quipu_view_mark(views[i]), 3);
        cr_expect_eq(count(views[i], ""), 3);
        expect(now, "a", "changed");
        expect(now, "bb", "new");
        expect(now, "c", NULL);
        cr_expect_eq(quipu_view_mark(now), 6);
        cr_expect_eq(count(now, ""), 3);
        quipu_view_close(now);
        quipu_view_close(views[i]);
    }
}

/* A view's calls end with its store. */
Test(view, its_store_is_closed)
{
    char path[SUPPORT_PATH_BYTES];
    quipu_view *view;
    quipu_value value;
    quipu_value key;
    uint64_t number;

    put("a", "1");
    project(&kept);
    view = open_view("p");
    quipu_close(store);
    cr_expect_eq(quipu_view_mark(view), 0);
    cr_expect_eq(quipu_view_get(view, "a", 1, &value, &why), QUIPU_CLOSED);
    cr_expect_eq(quipu_view_scan(view, NULL, 0, NULL, 0, 0, &why), QUIPU_CLOSED);
    cr_expect_eq(quipu_view_next(view, &key, &value, &why), QUIPU_CLOSED);
    cr_expect_eq(quipu_view_count(view, NULL, 0, &number, &why), QUIPU_CLOSED);
    quipu_view_close(view);
    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &store, NULL), QUIPU_OK);
}

/* ---- values ---- */

Test(view, values_of_every_size)
{
    static const size_t sizes[] = {0,    1,    3999, 4000,        4001,           4072,
                                   4073, 8144, 8145, 1048576 + 1, VALUE_BYTES_MAX};
    static const char *const names[] = {"p", "now"};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };

    cr_assert_eq(quipu_register(store, &live, &why), QUIPU_OK, "%s", why.text);
    for (size_t i = 0; i < COUNT; i++) {
        char key[2] = {(char)('a' + i)};
        char size[24];

        (void)snprintf(size, sizeof(size), "%zu", sizes[i]);
        add("long", text(key), text(size));
    }
    project(&kept);
    for (size_t name = 0; name < 2; name++) {
        quipu_view *view = open_view(names[name]);
        quipu_value key;
        quipu_value value;

        cr_assert_eq(quipu_view_scan(view, NULL, 0, NULL, 0, 0, &why), QUIPU_OK);
        for (size_t i = 0; i < COUNT; i++) {
            char wanted[2] = {(char)('a' + i)};
            char *bytes = support_repeat(wanted[0], sizes[i]);

            cr_assert_eq(quipu_view_next(view, &key, &value, &why), QUIPU_ROW, "%s", why.text);
            support_expect_bytes(key.data, key.size, wanted, 1, "%zu", i);
            support_expect_bytes(value.data, value.size, bytes, sizes[i], "scanned %zu", sizes[i]);
            cr_expect_not_null(value.data, "a value without bytes is one");
            cr_assert_eq(quipu_view_get(view, wanted, 1, &value, &why), QUIPU_ROW);
            support_expect_bytes(value.data, value.size, bytes, sizes[i], "got %zu", sizes[i]);
            free(bytes);
        }
        cr_expect_eq(quipu_view_next(view, &key, &value, &why), QUIPU_OK);
        cr_assert_eq(quipu_view_scan(view, NULL, 0, NULL, 0, QUIPU_SCAN_KEYS, &why), QUIPU_OK);
        for (size_t i = 0; i < COUNT; i++) {
            cr_assert_eq(quipu_view_next(view, &key, &value, &why), QUIPU_ROW);
            cr_expect(value.data == NULL && value.size == 0, "keys alone: %zu", i);
        }
        cr_expect_eq(count(view, ""), COUNT);
        quipu_view_close(view);
    }
}

/* ---- in order ---- */

enum { KEYS_MAX = 300, KEY_BYTES = 6, BOUNDS = 400 };

/* What the views must show, in the order of keys. */
static struct {
    struct key {
        uint8_t bytes[KEY_BYTES];
        size_t size;
    } keys[KEYS_MAX];
    size_t count;
} list;

static int compare(const void *left, const void *right)
{
    const struct key *a = left;
    const struct key *b = right;
    size_t size = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->bytes, b->bytes, size);

    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

/* Few bytes, so that many keys begin alike: the lowest, the highest, some between. */
static struct key make_key(struct support_random *random, size_t least)
{
    static const uint8_t bytes[] = {0, 0, 1, 'a', 'b', 0xfe, 0xff, 0xff};
    struct key key = {.size = least + support_random_below(random, KEY_BYTES - least + 1)};

    for (size_t i = 0; i < key.size; i++)
        key.bytes[i] = bytes[support_random_below(random, sizeof(bytes))];
    return key;
}

static bool begins_with(const struct key *key, const struct key *prefix)
{
    return key->size >= prefix->size && memcmp(key->bytes, prefix->bytes, prefix->size) == 0;
}

static void expect_scan(quipu_view *view, const struct key *prefix, const struct key *after,
                        uint32_t flags)
{
    bool backwards = (flags & QUIPU_SCAN_BACKWARDS) != 0;
    quipu_value key;
    quipu_value value;

    cr_assert_eq(
        quipu_view_scan(view, prefix->bytes, prefix->size, after->bytes, after->size, flags, &why),
        QUIPU_OK, "%s", why.text);
    for (size_t i = 0; i < list.count; i++) {
        const struct key *wanted = &list.keys[backwards ? list.count - 1 - i : i];
        int order = compare(wanted, after);

        if (!begins_with(wanted, prefix) ||
            (after->size > 0 && (backwards ? order >= 0 : order <= 0)))
            continue;
        cr_assert_eq(quipu_view_next(view, &key, &value, &why), QUIPU_ROW, "flags %u", flags);
        support_expect_bytes(key.data, key.size, wanted->bytes, wanted->size, "flags %u", flags);
        if ((flags & QUIPU_SCAN_KEYS) == 0)
            support_expect_bytes(value.data, value.size, wanted->bytes, wanted->size, "value");
        else
            cr_expect_null(value.data);
    }
    cr_expect_eq(quipu_view_next(view, &key, &value, &why), QUIPU_OK, "flags %u", flags);
}

static void expect_count(quipu_view *view, const struct key *prefix)
{
    uint64_t wanted = 0;
    uint64_t got = 0;

    for (size_t i = 0; i < list.count; i++)
        wanted += begins_with(&list.keys[i], prefix);
    cr_assert_eq(quipu_view_count(view, prefix->bytes, prefix->size, &got, &why), QUIPU_OK);
    cr_expect_eq(got, wanted);
}

/* Prefixes and bounds: keys that are there, parts of them, and others. */
static struct key make_bound(struct support_random *random)
{
    struct key key = list.keys[support_random_below(random, list.count)];

    switch (support_random_below(random, 5)) {
    case 0:
        return (struct key){{0}, 0};
    case 1:
        return make_key(random, 1);
    case 2:
        key.size = support_random_below(random, key.size + 1);
        return key;
    case 3:
        memset(key.bytes, 0xff, sizeof(key.bytes));
        key.size = 1 + support_random_below(random, 3);
        return key;
    default:
        return key;
    }
}

static void scan_at_random(quipu_view *view, uint64_t seed)
{
    struct support_random random = {seed};

    for (int i = 0; i < BOUNDS; i++) {
        struct key prefix = make_bound(&random);
        struct key after = make_bound(&random);

        for (uint32_t flags = 0; flags <= 3; flags++)
            expect_scan(view, &prefix, &after, flags);
        expect_count(view, &prefix);
    }
}

static void put_keys(struct support_random *random)
{
    list.count = 0;
    for (int i = 0; i < KEYS_MAX; i++) {
        struct key key = make_key(random, 1);
        struct qp_bytes bytes = {key.bytes, key.size};

        if (bsearch(&key, list.keys, list.count, sizeof(key), compare) == NULL)
            list.keys[list.count++] = key;
        qsort(list.keys, list.count, sizeof(key), compare);
        add("put", bytes, bytes);
    }
}

/* Half of the keys go again, so that both sides of a bound may be missing. */
static void delete_some(void)
{
    size_t left = 0;

    for (size_t i = 0; i < list.count; i++) {
        if (i % 2 == 0)
            add("gone", (struct qp_bytes){list.keys[i].bytes, list.keys[i].size}, text(""));
        else
            list.keys[left++] = list.keys[i];
    }
    list.count = left;
}

/* Beside the view stand rows of others: names around it, a generation that is gone. */
static void scan_all(uint64_t seed)
{
    static const char *const names[] = {"p", "now", "o", "pp"};

    for (size_t i = 0; i < 4; i++) {
        quipu_view *view = open_view(names[i]);

        scan_at_random(view, seed + i);
        quipu_view_close(view);
    }
}

Test(view, scans_at_random)
{
    struct support_random random = {42};
    quipu_projection others[3] = {kept, kept, kept};

    others[0].name = "o";
    others[1].name = "pp";
    others[2].version = 2;
    cr_assert_eq(quipu_register(store, &live, &why), QUIPU_OK, "%s", why.text);
    put_keys(&random);
    project(&kept);
    project(&others[0]);
    project(&others[1]);
    scan_all(1);
    delete_some();
    project(&others[0]);
    project(&others[1]);
    project(&others[2]); /* into another generation */
    scan_all(2);
}

Test(view, scans_of_an_empty_view)
{
    static const char *const names[] = {"p", "now"};
    static const struct key none = {{0}, 0};
    const struct key key = {"\xff", 1};

    cr_assert_eq(quipu_register(store, &live, &why), QUIPU_OK, "%s", why.text);
    project(&kept);
    list.count = 0;
    for (size_t i = 0; i < 2; i++) {
        quipu_view *view = open_view(names[i]);
        quipu_value at = {"x", 1};
        quipu_value value = {"x", 1};

        cr_expect_eq(quipu_view_next(view, &at, &value, &why), QUIPU_OK, "without a scan");
        cr_expect(at.data == NULL && value.data == NULL);
        for (uint32_t flags = 0; flags <= 3; flags++) {
            expect_scan(view, &none, &none, flags);
            expect_scan(view, &key, &none, flags);
            expect_scan(view, &none, &key, flags);
            expect_scan(view, &key, &key, flags);
        }
        expect_count(view, &none);
        quipu_view_close(view);
    }
}

/* A new scan ends the one before, and a count too. */
Test(view, scans_that_end)
{
    quipu_value key;
    quipu_value value;
    quipu_view *view;

    put("a", "1");
    put("b", "2");
    project(&kept);
    view = open_view("p");
    cr_assert_eq(quipu_view_scan(view, NULL, 0, NULL, 0, 0, &why), QUIPU_OK);
    cr_assert_eq(quipu_view_next(view, &key, &value, &why), QUIPU_ROW);
    cr_assert_eq(quipu_view_scan(view, "b", 1, NULL, 0, QUIPU_SCAN_BACKWARDS, &why), QUIPU_OK);
    cr_assert_eq(quipu_view_next(view, &key, &value, &why), QUIPU_ROW);
    support_expect_bytes(key.data, key.size, "b", 1, "the new one's");
    cr_assert_eq(quipu_view_scan(view, NULL, 0, NULL, 0, 0, &why), QUIPU_OK);
    cr_expect_eq(count(view, "a"), 1);
    cr_expect_eq(quipu_view_next(view, &key, &value, &why), QUIPU_OK);
    quipu_view_close(view);
}

/* ---- the longest, and arguments ---- */

Test(view, longest_keys)
{
    char *longest = support_repeat('\xff', QP_VIEW_KEY_MAX + 1);
    struct qp_bytes bytes = {longest, QP_VIEW_KEY_MAX};
    static const char *const names[] = {"p", "now"};

    cr_assert_eq(quipu_register(store, &live, &why), QUIPU_OK, "%s", why.text);
    add("put", bytes, text("1"));
    project(&kept);
    for (size_t i = 0; i < 2; i++) {
        quipu_view *view = open_view(names[i]);
        quipu_value key;
        quipu_value value;
        uint64_t number;

        cr_expect_eq(quipu_view_get(view, longest, QP_VIEW_KEY_MAX, &value, &why), QUIPU_ROW);
        cr_expect_eq(quipu_view_get(view, longest, QP_VIEW_KEY_MAX + 1, &value, &why), QUIPU_OK);
        for (uint32_t flags = 0; flags < 2; flags++) {
            cr_assert_eq(quipu_view_scan(view, longest, QP_VIEW_KEY_MAX, NULL, 0, flags, &why),
                         QUIPU_OK);
            cr_expect_eq(quipu_view_next(view, &key, &value, &why), QUIPU_ROW);
            cr_assert_eq(quipu_view_scan(view, NULL, 0, longest, QP_VIEW_KEY_MAX, flags, &why),
                         QUIPU_OK);
            cr_expect_eq(quipu_view_next(view, &key, &value, &why), QUIPU_OK);
        }
        cr_expect_eq(quipu_view_scan(view, longest, QP_VIEW_KEY_MAX + 1, NULL, 0, 0, &why),
                     QUIPU_TOO_LARGE);
        cr_expect_eq(quipu_view_scan(view, NULL, 0, longest, QP_VIEW_KEY_MAX + 1, 0, &why),
                     QUIPU_TOO_LARGE);
        cr_expect_eq(quipu_view_count(view, longest, QP_VIEW_KEY_MAX + 1, &number, &why),
                     QUIPU_TOO_LARGE);
        quipu_view_close(view);
    }
    free(longest);
}

Test(view, arguments)
{
    quipu_value key;
    quipu_value value;
    uint64_t number;
    quipu_view *none = (quipu_view *)&why;
    quipu_view *view;

    put("a", "1");
    project(&kept);
    view = open_view("p");
    cr_expect_eq(quipu_view_open(store, "p", NULL, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_open(NULL, "p", &none, &why), QUIPU_MISUSE);
    cr_expect_null(none);
    cr_expect_eq(quipu_view_mark(NULL), 0);
    cr_expect_eq(quipu_view_get(NULL, "a", 1, &value, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_get(view, NULL, 1, &value, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_get(view, "a", 0, &value, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_get(view, "a", 1, NULL, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_scan(NULL, NULL, 0, NULL, 0, 0, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_scan(view, NULL, 1, NULL, 0, 0, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_scan(view, NULL, 0, NULL, 1, 0, &why), QUIPU_MISUSE);
    for (unsigned bit = 2; bit < 32; bit++)
        cr_expect_eq(quipu_view_scan(view, NULL, 0, NULL, 0, UINT32_C(1) << bit, &why),
                     QUIPU_MISUSE, "flag %u", bit);
    cr_assert_eq(quipu_view_scan(view, NULL, 0, NULL, 0, 0, &why), QUIPU_OK, "%s", why.text);
    cr_assert_eq(quipu_view_next(view, &key, &value, &why), QUIPU_ROW, "%s", why.text);
    cr_expect_eq(quipu_view_next(NULL, &key, &value, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_next(view, NULL, &value, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_next(view, &key, NULL, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_count(NULL, NULL, 0, &number, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_count(view, NULL, 1, &number, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_count(view, NULL, 0, NULL, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_view_next(view, &key, &value, &why), QUIPU_OK,
                 "the scan stands where it was");
    quipu_view_close(NULL);
    expect(view, "a", "1");
    quipu_view_close(view);
}

/* ---- damage ---- */

static void spoil(const char *key)
{
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;
    struct qp_bytes value;
    uint8_t row[64];
    struct qp_key at;

    qp_key_view(&at, QP_LITERAL("p"), 1, text(key));
    cr_assert_eq(qp_txn_begin_write(store->handle->log, &txn, NULL), QUIPU_OK);
    cr_assert_eq(qp_get(&txn, QP_TABLE_VIEWS, qp_key_bytes(&at), &value, NULL), QUIPU_ROW);
    memcpy(row, value.data, value.size);
    row[value.size - 1] ^= 1;
    cr_assert_eq(
        qp_put(&txn, QP_TABLE_VIEWS, qp_key_bytes(&at), (struct qp_bytes){row, value.size}, NULL),
        QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&txn, &outcome, NULL), QUIPU_OK);
}

/* It says whose value it is, and goes on after it. */
Test(view, damaged_values)
{
    quipu_value key;
    quipu_value value;
    quipu_view *view;

    put("a", "1");
    put("b", "2");
    put("c", "3");
    project(&kept);
    spoil("b");
    view = open_view("p");
    cr_expect_eq(quipu_view_get(view, "b", 1, &value, &why), QUIPU_CORRUPT);
    cr_expect_null(value.data);
    for (uint32_t flags = 0; flags < 2; flags++) {
        cr_assert_eq(quipu_view_scan(view, NULL, 0, NULL, 0, flags, &why), QUIPU_OK);
        for (size_t i = 0; i < 3; i++) {
            int rc = quipu_view_next(view, &key, &value, &why);

            cr_expect_eq(rc, i == 1 ? QUIPU_CORRUPT : QUIPU_ROW, "%zu", i);
            support_expect_bytes(key.data, key.size, (flags != 0 ? "cba" : "abc") + i, 1, "%zu", i);
            cr_expect_eq(value.data != NULL, i != 1);
        }
        cr_expect_eq(quipu_view_next(view, &key, &value, &why), QUIPU_OK);
    }
    quipu_view_close(view);
}
