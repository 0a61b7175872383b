/* test_projected.c - what lists say of projections, of their views and of parked events: each
 * field, which of them, in which order; damaged rows, processes that die, calls that fail. */
#include "row.h"
#include "support_raw.h"
#include "support_suite.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(projected);

static quipu *store;
static quipu_error why;

static const char *path_of(const char *name)
{
    static char path[SUPPORT_PATH_BYTES];

    return support_path(path, name);
}

static void open_store(void)
{
    cr_assert_eq(quipu_open(path_of("store"), NULL, &store, &why), QUIPU_OK, "%s", why.text);
}

static void append(const char *stream, const char *type)
{
    const quipu_draft draft = {.type = type};

    cr_assert_eq(quipu_append(store, stream, QUIPU_ANY, &draft, 1, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

/* In one commit. */
static void append_many(unsigned count)
{
    const quipu_draft draft = {.type = "good"};
    quipu_batch *batch = quipu_batch_new();

    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(quipu_batch_append(batch, "s-1", QUIPU_ANY, &draft, 1), QUIPU_OK);
    cr_assert_eq(quipu_commit(store, batch, NULL, &why), QUIPU_OK, "%s", why.text);
    quipu_batch_free(batch);
}

/* ---- projections ----------------------------------------------------------------------------- */

static const char odd_key[] = {'k', 0, (char)0xff};

static int key_is_odd(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)event;
    (void)payload;
    (void)error;
    return quipu_page_key(page, odd_key, sizeof(odd_key));
}

static int apply(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    (void)payload;
    if (strcmp(event->type, "bad") == 0) {
        (void)snprintf(error->text, sizeof(error->text), "it is bad");
        return QUIPU_APPLICATION - 3;
    }
    return quipu_page_put(page, key, key_size, "x", 1);
}

static quipu_projection named(const char *name)
{
    return (quipu_projection){QUIPU_INIT(quipu_projection), .version = 1, .name = name,
                              .retries = 1, .apply = apply};
}

static void project(const quipu_projection *projection, int should)
{
    cr_assert_eq(quipu_project(store, projection, NULL, NULL, NULL, &why), should, "%s: %s",
                 projection->name, why.text);
}

static int stop_at_first(void *payload, const quipu_progress *progress)
{
    (void)payload;
    return progress->mark > 0;
}

/* Begun anew, and left after its first event. */
static void half_build(const char *name)
{
    quipu_projection projection = named(name);

    projection.version = 2;
    projection.page_events = 1;
    cr_assert_eq(quipu_project(store, &projection, stop_at_first, NULL, NULL, &why), QUIPU_OK);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static quipu_list *begin(int kind, const char *prefix)
{
    quipu_list *list = NULL;

    cr_assert_eq(quipu_list_open(store, kind, prefix, &list, &why), QUIPU_OK, "%s", why.text);
    return list;
}

/* The names of a list, with blanks between them. What is damaged has a ! before it. */
static const char *names(int kind, const char *prefix)
{
    static char all[512];
    quipu_list *list = begin(kind, prefix);
    size_t used = 0;

    all[0] = '\0';
    for (;;) {
        quipu_item item;
        int rc = quipu_list_next(list, &item, &why);

        if (rc == QUIPU_OK)
            break;
        cr_assert(rc == QUIPU_ROW || rc == QUIPU_CORRUPT, "%d %s", rc, why.text);
        used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s%s", used > 0 ? " " : "",
                                 rc < 0 ? "!" : "", item.name);
    }
    quipu_list_close(list);
    return all;
}

/* The only one of a list; `*list` is closed by the caller. */
static quipu_item the_one(int kind, const char *prefix, quipu_list **list)
{
    quipu_item item;

    *list = begin(kind, prefix);
    cr_assert_eq(quipu_list_next(*list, &item, &why), QUIPU_ROW, "%s", why.text);
    return item;
}

Test(projected, of_each_status)
{
    const quipu_projection live = named("live");
    const quipu_projection calm = named("calm");
    quipu_projection inlined = named("inlined");
    quipu_list *list;
    quipu_item item;

    open_store();
    for (int i = 0; i < 5; i++)
        append("s-1", "good");
    inlined.mode = QUIPU_INLINE;
    project(&live, QUIPU_OK);
    project(&calm, QUIPU_OK);
    cr_assert_eq(quipu_register(store, &inlined, &why), QUIPU_OK);
    cr_assert_eq(quipu_projection_control(store, "calm", QUIPU_PAUSE, 0, NULL, &why), QUIPU_OK);
    append("s-2", "good");

    cr_expect_str_eq(names(QUIPU_LIST_PROJECTIONS, NULL), "calm inlined live");
    item = the_one(QUIPU_LIST_PROJECTIONS, "live", &list);
    cr_expect_str_eq(item.text, "live");
    cr_expect(item.version == 1 && item.mark == 5 && item.lag == 1 && item.count == 5 &&
              item.parked == 0 && item.mode == QUIPU_ASYNC);
    cr_expect(item.pid == 0 && item.until_ns == 0 && item.last_time_ns > 0);
    cr_expect(item.fault == NULL && item.key == NULL && item.key_size == 0 && item.position == 0 &&
              item.status == 0 && item.time_ns == 0 && item.first_position == 0);
    quipu_list_close(list);

    item = the_one(QUIPU_LIST_PROJECTIONS, "calm", &list);
    cr_expect_str_eq(item.text, "paused");
    quipu_list_close(list);
    item = the_one(QUIPU_LIST_PROJECTIONS, "inlined", &list);
    cr_expect_eq(item.mode, QUIPU_INLINE);
    cr_expect(item.mark == 6 && item.lag == 0, "its commit has folded what was before");
    quipu_list_close(list);

    half_build("live");
    item = the_one(QUIPU_LIST_PROJECTIONS, "live", &list);
    cr_expect_str_eq(item.text, "rebuilding");
    cr_expect(item.mark == 5 && item.first_position == 1 && item.count == 1 && item.version == 1);
    quipu_list_close(list);
    quipu_close(store);
}

Test(projected, one_that_is_far_behind)
{
    quipu_projection projection = named("p");
    quipu_list *list;
    quipu_item item;

    open_store();
    append("s-1", "good");
    project(&projection, QUIPU_OK);
    append_many(1000);
    item = the_one(QUIPU_LIST_PROJECTIONS, "p", &list);
    cr_expect_str_eq(item.text, "live");
    cr_expect_eq(item.lag, 1000);
    quipu_list_close(list);
    append("s-1", "good");
    item = the_one(QUIPU_LIST_PROJECTIONS, "p", &list);
    cr_expect_str_eq(item.text, "catching-up");
    cr_expect_eq(item.lag, 1001);
    quipu_list_close(list);
    quipu_close(store);
}

/* A key may be any bytes, and its size is told. */
Test(projected, what_it_has_stopped_at)
{
    quipu_projection projection = named("p");
    quipu_list *list;
    quipu_item item;

    open_store();
    append("s-1", "good");
    append("s-1", "bad");
    projection.fault_policy = QUIPU_FAULT_STOP;
    projection.keys = key_is_odd;
    project(&projection, QUIPU_FAULTED);
    item = the_one(QUIPU_LIST_PROJECTIONS, NULL, &list);
    cr_expect_str_eq(item.text, "faulted");
    cr_expect(item.position == 2 && item.mark == 1 && item.status == QUIPU_APPLICATION - 3);
    cr_expect_str_eq(item.fault, "it is bad");
    support_expect_bytes(item.key, item.key_size, odd_key, sizeof(odd_key), "the key");
    cr_expect_eq(item.key[item.key_size], '\0');
    cr_expect(item.time_ns > 0 && item.time_ns <= item.last_time_ns);
    quipu_list_close(list);

    cr_assert_eq(quipu_projection_control(store, "p", QUIPU_RESUME, 0, NULL, &why), QUIPU_OK);
    item = the_one(QUIPU_LIST_PROJECTIONS, NULL, &list);
    cr_expect(item.fault == NULL && item.position == 0, "it tries again: nothing is to be said");
    quipu_list_close(list);
    quipu_close(store);
}

Test(projected, prefixes_and_what_was_deleted)
{
    static const char *const all[] = {"a", "ab", "abc", "b", "b$", "\xc3\xa4"};
    char longest[130];

    memset(longest, 'n', sizeof(longest));
    longest[127] = '\0';
    open_store();
    append("s-1", "good");
    cr_expect_str_eq(names(QUIPU_LIST_PROJECTIONS, NULL), "");
    cr_expect_str_eq(names(QUIPU_LIST_VIEWS, NULL), "");
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const quipu_projection projection = named(all[i]);

        project(&projection, QUIPU_OK);
    }
    cr_expect_str_eq(names(QUIPU_LIST_PROJECTIONS, ""), "a ab abc b b$ \xc3\xa4");
    cr_expect_str_eq(names(QUIPU_LIST_PROJECTIONS, "ab"), "ab abc");
    cr_expect_str_eq(names(QUIPU_LIST_VIEWS, "ab"), "ab abc");
    cr_expect_str_eq(names(QUIPU_LIST_VIEWS, "c"), "");
    cr_assert_eq(quipu_projection_control(store, "ab", QUIPU_DELETE, 0, NULL, &why), QUIPU_OK);
    cr_expect_str_eq(names(QUIPU_LIST_PROJECTIONS, NULL), "a abc b b$ \xc3\xa4");
    cr_expect_str_eq(names(QUIPU_LIST_VIEWS, "a"), "a abc");
    for (int kind = QUIPU_LIST_PROJECTIONS; kind <= QUIPU_LIST_VIEWS; kind += 8) {
        quipu_list *list = NULL;

        cr_expect_str_eq(names(kind, longest), "");
        longest[127] = 'n';
        longest[128] = '\0';
        cr_expect_eq(quipu_list_open(store, kind, longest, &list, &why), QUIPU_TOO_LARGE);
        cr_expect_null(list);
        longest[127] = '\0';
    }
    quipu_close(store);
}

/* A delete goes over several commits: what it has begun with is not seen any more. */
Test(projected, one_that_is_on_its_way_out)
{
    const quipu_projection projection = named("p");
    quipu_list *list;
    uint8_t row[4096];
    struct raw raw;
    size_t size;

    open_store();
    append("s-1", "good");
    project(&projection, QUIPU_OK);
    quipu_close(store);
    raw_begin(&raw, path_of("store/log.mdb"), "marks");
    size = raw_get(&raw, raw_key("\3p", 2), row);
    row[40] |= 128; /* QP_PROJECTION_DELETED */
    qp_row_seal(QP_TABLE_MARKS, QP_LITERAL("\3p"), row, size);
    raw_put(&raw, raw_key("\3p", 2), row, size);
    raw_end(&raw);
    open_store();
    cr_expect_str_eq(names(QUIPU_LIST_PROJECTIONS, NULL), "");
    cr_expect_str_eq(names(QUIPU_LIST_VIEWS, NULL), "");
    cr_expect_eq(quipu_list_open(store, QUIPU_LIST_PARKED, "p", &list, &why), QUIPU_NOT_FOUND);
    quipu_close(store);
}

Test(projected, views_and_what_is_built_beside_them)
{
    const quipu_projection a = named("a");
    const quipu_projection b = named("b");
    quipu_list *list;
    quipu_view *view;
    quipu_item item;

    open_store();
    for (int i = 0; i < 3; i++)
        append("s-1", "good");
    project(&a, QUIPU_OK);
    project(&b, QUIPU_OK);
    half_build("a");
    cr_expect_str_eq(names(QUIPU_LIST_VIEWS, NULL), "a $rebuild:a b");
    cr_expect_str_eq(names(QUIPU_LIST_VIEWS, "a"), "a $rebuild:a");
    cr_expect_str_eq(names(QUIPU_LIST_PROJECTIONS, NULL), "a b");

    item = the_one(QUIPU_LIST_VIEWS, "a", &list);
    cr_expect_str_eq(item.text, "async");
    cr_expect(item.count == 1 && item.version == 1 && item.mark == 3 && item.lag == 0);
    cr_assert_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
    cr_expect_str_eq(item.text, "rebuild");
    cr_expect(item.count == 2 && item.version == 2 && item.mark == 1 && item.lag == 2);
    cr_assert_eq(quipu_view_open(store, item.name, &view, &why), QUIPU_OK, "it can be opened");
    cr_expect_eq(quipu_view_mark(view), item.mark);
    quipu_view_close(view);
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_OK);
    quipu_list_close(list);
    quipu_close(store);
}

Test(projected, a_list_is_of_one_moment)
{
    const quipu_projection a = named("a");
    const quipu_projection b = named("b");
    quipu_list *list;
    quipu_item item;

    open_store();
    append("s-1", "good");
    project(&a, QUIPU_OK);
    list = begin(QUIPU_LIST_PROJECTIONS, NULL);
    append("s-1", "good");
    project(&a, QUIPU_OK);
    project(&b, QUIPU_OK);
    cr_assert_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
    cr_expect(item.mark == 1 && item.lag == 0);
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_OK);
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_OK);
    quipu_list_close(list);
    quipu_close(store);
}

/* ---- parked events --------------------------------------------------------------------------- */

/* "key position attempts status text" of each, with commas. */
static const char *parked(const char *owner)
{
    static char all[512];
    quipu_list *list = begin(QUIPU_LIST_PARKED, owner);
    quipu_item item;
    size_t used = 0;
    int rc = quipu_list_next(list, &item, &why);

    all[0] = '\0';
    for (; rc == QUIPU_ROW; rc = quipu_list_next(list, &item, &why)) {
        used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s %lu %lu %d %s",
                                 used > 0 ? ", " : "", item.key, item.position, item.count,
                                 item.status, item.text);
        cr_expect_str_eq(item.name, owner);
        cr_expect(item.time_ns > 0 && item.last_time_ns >= item.time_ns);
        cr_expect_eq(item.key_size, strlen(item.key));
    }
    cr_expect_eq(rc, QUIPU_OK, "%d %s", rc, why.text);
    quipu_list_close(list);
    return all;
}

static void append_bad(void)
{
    append("zz-1", "bad");  /* 1 */
    append("b-1", "bad");   /* 2 */
    append("good", "good"); /* 3 */
    append("zz-1", "good"); /* 4: behind 1 */
    append("a-1", "bad");   /* 5 */
}

Test(projected, parked_events)
{
    const quipu_projection p = named("p");
    const quipu_projection q = named("q");
    quipu_list *list = NULL;

    open_store();
    append_bad();
    project(&p, QUIPU_OK);
    project(&q, QUIPU_OK);
    cr_expect_str_eq(parked("p"), "a-1 5 2 -1003 it is bad, b-1 2 2 -1003 it is bad, "
                                  "zz-1 1 2 -1003 it is bad, zz-1 4 0 0 ");
    cr_assert_eq(quipu_projection_control(store, "p", QUIPU_SKIP, 0, "b-1", &why), QUIPU_OK);
    cr_expect_str_eq(parked("p"), "a-1 5 2 -1003 it is bad, zz-1 1 2 -1003 it is bad, zz-1 4 0 0 ");
    cr_assert_eq(quipu_projection_control(store, "p", QUIPU_DROP, 0, NULL, &why), QUIPU_OK);
    cr_expect_str_eq(parked("p"), "");
    cr_expect_neq(strlen(parked("q")), 0, "another's stay");

    append("a-1", "good");
    half_build("q");
    cr_expect_str_eq(parked("$rebuild:q"), "zz-1 1 2 -1003 it is bad");
    cr_expect_eq(quipu_list_open(store, QUIPU_LIST_PARKED, "$rebuild:p", &list, &why),
                 QUIPU_NOT_FOUND);
    cr_expect_eq(quipu_list_open(store, QUIPU_LIST_PARKED, "$rebuild:", &list, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_list_open(store, QUIPU_LIST_PARKED, "pp", &list, &why), QUIPU_NOT_FOUND);
    cr_expect_eq(quipu_list_open(store, QUIPU_LIST_PARKED, "", &list, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_list_open(store, QUIPU_LIST_PARKED, NULL, &list, &why), QUIPU_MISUSE);
    cr_expect_null(list);
    quipu_close(store);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Turn the last byte of a row. */
static void damage(const char *table, MDB_val key)
{
    uint8_t row[4096];
    struct raw raw;
    size_t size;

    raw_begin(&raw, path_of("store/log.mdb"), table);
    size = raw_get(&raw, key, row);
    row[size - 1] ^= 1;
    raw_put(&raw, key, row, size);
    raw_end(&raw);
}

Test(projected, damaged_rows)
{
    const quipu_projection p = named("p");
    const quipu_projection q = named("q");
    const quipu_projection r = named("r");
    struct qp_key key;
    struct qp_bytes bytes;
    quipu_list *list;
    quipu_item item;

    open_store();
    append_bad();
    project(&p, QUIPU_OK);
    project(&q, QUIPU_OK);
    project(&r, QUIPU_OK);
    quipu_close(store);
    damage("marks", raw_key("\3q", 2));
    qp_key_parked(&key, QP_LITERAL("p"), 1, QP_LITERAL("a-1"), 5);
    bytes = qp_key_bytes(&key);
    damage("parked", raw_key(bytes.data, bytes.size));

    open_store();
    cr_expect_str_eq(names(QUIPU_LIST_PROJECTIONS, NULL), "p !q r");
    cr_expect_not_null(strstr(why.text, "projection q"), "%s", why.text);
    cr_expect_str_eq(names(QUIPU_LIST_VIEWS, NULL), "p !q r");
    cr_expect_str_eq(names(QUIPU_LIST_VIEWS, "r"), "r", "what was not asked for is not told");
    cr_expect_eq(quipu_list_open(store, QUIPU_LIST_PARKED, "q", &list, &why), QUIPU_CORRUPT);
    list = begin(QUIPU_LIST_PARKED, "p");
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_CORRUPT);
    cr_expect_str_eq(item.name, "p");
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
    cr_expect_str_eq(item.key, "b-1");
    quipu_list_close(list);
    quipu_close(store);
}

/* ---- who runs it ----------------------------------------------------------------------------- */

/* A process that runs it until it is killed. */
static pid_t begin_runner(void)
{
    const quipu_projection p = named("p");
    const quipu_projection *all[] = {&p};
    quipu_runner *runner;
    char byte;
    int done[2];
    pid_t pid;

    cr_assert_eq(pipe(done), 0);
    pid = fork();
    if (pid == 0) {
        open_store();
        if (quipu_runner_start(store, all, 1, 1, &runner, NULL) != QUIPU_OK ||
            quipu_view_wait(store, "p", 1, -1, NULL) != QUIPU_OK || write(done[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    (void)close(done[1]);
    cr_assert_eq(read(done[0], &byte, 1), 1, "it runs");
    (void)close(done[0]);
    return pid;
}

Test(projected, who_runs_it)
{
    quipu_list *list;
    quipu_item item;
    pid_t pid;

    open_store();
    append("s-1", "good");
    quipu_close(store);
    pid = begin_runner();
    open_store();
    item = the_one(QUIPU_LIST_PROJECTIONS, "p", &list);
    cr_expect_eq(item.pid, (uint32_t)pid);
    cr_expect_gt(item.until_ns, item.last_time_ns);
    quipu_list_close(list);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    item = the_one(QUIPU_LIST_PROJECTIONS, "p", &list);
    cr_expect(item.pid == 0 && item.until_ns == 0, "who died runs nothing");
    quipu_list_close(list);
    quipu_close(store);
}

/* ---- calls that fail ------------------------------------------------------------------------- */

Test(projected, out_of_memory)
{
    static const int kinds[] = {QUIPU_LIST_PROJECTIONS, QUIPU_LIST_VIEWS, QUIPU_LIST_PARKED};
    const quipu_projection p = named("p");

    support_heap_begin();
    open_store();
    append_bad();
    project(&p, QUIPU_OK);
    for (size_t i = 0; i < 3; i++) {
        quipu_list *list = NULL;
        int rc = QUIPU_NO_MEMORY;
        long n = 0;

        while (rc == QUIPU_NO_MEMORY) {
            support_heap_fail(++n, false);
            rc = quipu_list_open(store, kinds[i], "p", &list, &why);
            support_heap_fail(0, false);
            cr_expect((rc == QUIPU_OK) == (list != NULL));
        }
        cr_expect_eq(rc, QUIPU_OK, "kind %d: %s", kinds[i], why.text);
        cr_expect_gt(n, 2, "kind %d: %ld", kinds[i], n);
        quipu_list_close(list);
    }
    quipu_close(store);
}
