/* test_list.c - lists of categories, types and tags held against the events themselves, wherever
 * these stand; lists of readers, and what becomes of those of dead processes. */
#include "handles.h"
#include "merge.h"
#include "support_suite.h"
#include "support_system.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(list);

static quipu_error why;

static quipu *open_store(uint32_t flags)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .flags = flags};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    (void)quipu_open(support_path(path, "store"), &options, &store, &why);
    cr_assert_not_null(store, "%s", why.text);
    return store;
}

/* ---- categories, types and tags -------------------------------------------------------------- */

enum { CATEGORIES = 7, TYPES = 4, TAGS = 9, EVENTS = 400 };

static void append_some(quipu *store, struct support_random *random, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char stream[32];
        char type[16];
        char names[2][16];
        const char *const tags[] = {names[0], names[1]};
        const quipu_draft draft = {.type = type,
                                   .tags = tags,
                                   .tag_count = 2,
                                   .flags = QUIPU_EVENT_HAS_TIME,
                                   .time_ns = (int64_t)support_random_below(random, 1000000)};

        (void)snprintf(stream, sizeof(stream), "c%u-%u",
                       (unsigned)support_random_below(random, CATEGORIES),
                       (unsigned)support_random_below(random, 5));
        (void)snprintf(type, sizeof(type), "t%u", (unsigned)support_random_below(random, TYPES));
        (void)snprintf(names[0], 16, "one:%u", (unsigned)support_random_below(random, TAGS));
        (void)snprintf(names[1], 16, "two:%u", (unsigned)support_random_below(random, TAGS));
        cr_assert_eq(quipu_append(store, stream, QUIPU_ANY, &draft, 1, NULL, &why), QUIPU_OK, "%s",
                     why.text);
    }
}

static bool has_name(const quipu_event *event, int kind, const char *name)
{
    size_t size = strlen(name);
    const char *tag = event->tags;

    if (kind == QUIPU_LIST_TYPES)
        return strcmp(event->type, name) == 0;
    if (kind == QUIPU_LIST_CATEGORIES)
        return strncmp(event->stream, name, size) == 0 && event->stream[size] == '-';
    for (uint32_t i = 0; i < event->tag_count; i++, tag += strlen(tag) + 1)
        if (strcmp(tag, name) == 0)
            return true;
    return false;
}

/* By a look at each event. Returns how many there are. */
static uint64_t look_for(quipu *store, int kind, const char *name, quipu_item *should)
{
    quipu_reader *reader;
    quipu_event event;

    *should = (quipu_item){0};
    cr_assert_eq(quipu_read(store, NULL, NULL, &reader, &why), QUIPU_OK);
    while (quipu_next(reader, &event, &why) == QUIPU_ROW) {
        if (!has_name(&event, kind, name))
            continue;
        if (should->count++ == 0) {
            should->first_position = event.position;
            should->time_ns = event.time_ns;
        }
        should->position = event.position;
        should->last_time_ns = event.time_ns;
    }
    quipu_reader_close(reader);
    return should->count;
}

/* All names of a kind, in order, none missing: together they have every event. */
static void expect_list(quipu *store, int kind, uint64_t events)
{
    quipu_list *list;
    quipu_item item;
    quipu_item should;
    char before[300] = "";
    uint64_t total = 0;

    cr_assert_eq(quipu_list_open(store, kind, NULL, &list, &why), QUIPU_OK, "%s", why.text);
    while (quipu_list_next(list, &item, &why) == QUIPU_ROW) {
        cr_expect_lt(strcmp(before, item.name), 0, "%s after %s", item.name, before);
        total += look_for(store, kind, item.name, &should);
        cr_expect_eq(item.count, should.count, "%s: %lu, not %lu", item.name, item.count,
                     should.count);
        cr_expect_eq(item.first_position, should.first_position, "%s", item.name);
        cr_expect_eq(item.position, should.position, "%s", item.name);
        cr_expect_eq(item.time_ns, should.time_ns, "%s", item.name);
        cr_expect_eq(item.last_time_ns, should.last_time_ns, "%s", item.name);
        cr_expect_eq(item.version, 0, "%s has no version", item.name);
        (void)snprintf(before, sizeof(before), "%s", item.name);
    }
    quipu_list_close(list);
    cr_expect_eq(total, events, "kind %d: %lu of %lu", kind, total, events);
}

static void expect_lists(quipu *store, uint64_t events)
{
    expect_list(store, QUIPU_LIST_CATEGORIES, events);
    expect_list(store, QUIPU_LIST_TYPES, events);
    expect_list(store, QUIPU_LIST_TAGS, 2 * events);
}

/* In the tail alone, in several segments of it, in the index alone, in both. */
Test(list, names_wherever_they_stand)
{
    struct support_random random = {3};
    quipu *store = open_store(0);

    expect_lists(store, 0);
    append_some(store, &random, EVENTS);
    expect_lists(store, EVENTS);
    qp_tail_seal(&store->handle->tail);
    append_some(store, &random, 1);
    qp_tail_seal(&store->handle->tail);
    append_some(store, &random, EVENTS - 1);
    expect_lists(store, 2 * EVENTS);
    cr_assert_eq(qp_merge(store->handle, &why), QUIPU_OK);
    expect_lists(store, 2 * EVENTS);
    append_some(store, &random, 1);
    expect_lists(store, 2 * EVENTS + 1);
    qp_tail_seal(&store->handle->tail);
    append_some(store, &random, EVENTS);
    expect_lists(store, 3 * EVENTS + 1);
    quipu_close(store);
}

static void expect_names(quipu *store, int kind, const char *prefix, const char *names)
{
    char got[300] = "";
    quipu_list *list;
    quipu_item item;

    cr_assert_eq(quipu_list_open(store, kind, prefix, &list, &why), QUIPU_OK, "%s", why.text);
    while (quipu_list_next(list, &item, &why) == QUIPU_ROW) {
        (void)strncat(got, item.name, sizeof(got) - strlen(got) - 2);
        (void)strncat(got, " ", 2);
    }
    quipu_list_close(list);
    cr_expect_str_eq(got, names, "%d %s: %s", kind, prefix, got);
}

/* One name is a stream's, a category's and a type's: each list has its own. */
Test(list, kinds_do_not_mix)
{
    const char *const tags[] = {"name:1", "name:2", "named:1"};
    const quipu_draft drafts[] = {{.type = "name", .tags = tags, .tag_count = 3},
                                  {.type = "named", .tags = tags + 1, .tag_count = 1},
                                  {.type = "other"}};
    quipu *store = open_store(0);

    cr_assert_eq(quipu_append(store, "name-1", QUIPU_ANY, drafts, 2, NULL, &why), QUIPU_OK);
    cr_assert_eq(quipu_append(store, "name", QUIPU_ANY, drafts + 2, 1, NULL, &why), QUIPU_OK);
    cr_assert_eq(quipu_append(store, "x-1", QUIPU_ANY, drafts + 2, 1, NULL, &why), QUIPU_OK);
    for (int merged = 0; merged < 2; merged++) {
        expect_names(store, QUIPU_LIST_STREAMS, NULL, "name name-1 x-1 ");
        expect_names(store, QUIPU_LIST_CATEGORIES, "", "name x ");
        expect_names(store, QUIPU_LIST_TYPES, NULL, "name named other ");
        expect_names(store, QUIPU_LIST_TYPES, "name", "name named ");
        expect_names(store, QUIPU_LIST_TYPES, "named", "named ");
        expect_names(store, QUIPU_LIST_CATEGORIES, "nam", "name ");
        expect_names(store, QUIPU_LIST_CATEGORIES, "y", "");
        expect_names(store, QUIPU_LIST_TAGS, NULL, "name:1 name:2 named:1 ");
        expect_names(store, QUIPU_LIST_TAGS, "name:", "name:1 name:2 ");
        expect_names(store, QUIPU_LIST_TAGS, "name:2", "name:2 ");
        expect_names(store, QUIPU_LIST_TAGS, "name:3", "");
        cr_assert_eq(qp_merge(store->handle, &why), QUIPU_OK);
    }
    quipu_close(store);
}

Test(list, no_such_kind)
{
    static const int kinds[] = {-1, 0, 4, 4, 12, 99};
    quipu *store = open_store(0);

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        quipu_list *list = (quipu_list *)&why;

        cr_expect_eq(quipu_list_open(store, kinds[i], NULL, &list, &why), QUIPU_MISUSE, "%d",
                     kinds[i]);
        cr_expect_null(list);
    }
    quipu_close(store);
}

/* ---- readers --------------------------------------------------------------------------------- */

struct helper {
    pid_t pid;
    int done; /* a byte comes for each thing that it has done */
    int go;   /* and goes for each that it is to do */
};

static void wait_for(const struct helper *helper)
{
    char byte;

    cr_assert_eq(read(helper->done, &byte, 1), 1, "the other process has ended");
}

static void tell(const struct helper *helper)
{
    cr_assert_eq(write(helper->go, "x", 1), 1);
}

/* Told once, it opens the store; with `reading` it opens a reader, which it keeps. */
static void be_helper(int go, int done, bool reading)
{
    quipu_reader *reader = NULL;
    quipu_event event;
    quipu *store;
    char byte;

    (void)prctl(PR_SET_NAME, reading ? "quipu-reads" : "quipu-opens");
    if (read(go, &byte, 1) != 1)
        _exit(1);
    store = open_store(0);
    if (reading && (quipu_read(store, NULL, NULL, &reader, NULL) != QUIPU_OK ||
                    quipu_next(reader, &event, NULL) != QUIPU_ROW))
        _exit(2);
    if (write(done, "x", 1) != 1)
        _exit(3);
    for (;;)
        (void)pause();
}

static struct helper begin_helper(bool reading)
{
    struct helper helper;
    int go[2];
    int done[2];

    cr_assert(pipe(go) == 0 && pipe(done) == 0);
    helper.pid = fork();
    if (helper.pid == 0) {
        (void)close(done[0]);
        be_helper(go[0], done[1], reading);
    }
    (void)close(done[1]);
    helper.done = done[0];
    helper.go = go[1];
    return helper;
}

static void kill_helper(const struct helper *helper)
{
    int status;

    cr_assert_eq(kill(helper->pid, SIGKILL), 0);
    cr_assert_eq(waitpid(helper->pid, &status, 0), helper->pid);
}

static bool count_reader(void *payload, const struct qp_store_reader *reader)
{
    unsigned *count = payload;

    cr_expect_gt(reader->pid, 0);
    (*count)++;
    return true;
}

/* As LMDB's table has them, with those of the dead. */
static unsigned slots(quipu *store)
{
    unsigned count = 0;

    cr_expect(qp_store_each_reader(store->handle->log, count_reader, &count));
    return count;
}

static void make_store(void)
{
    const quipu_draft draft = {.type = "t"};
    quipu *store = open_store(0);

    cr_assert_eq(quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, &why), QUIPU_OK);
    quipu_close(store);
}

/* A helper that reads was killed, while our store is open. */
static quipu *open_beside_dead_reader(void)
{
    struct helper reader;
    quipu *store;

    reader = begin_helper(true);
    tell(&reader);
    wait_for(&reader);
    store = open_store(0);
    cr_assert_eq(slots(store), 1);
    kill_helper(&reader);
    cr_assert_eq(slots(store), 1, "nobody has looked yet");
    return store;
}

Test(list, stat_does_not_count_dead_readers)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    quipu *store;

    make_store();
    store = open_beside_dead_reader();
    cr_assert_eq(quipu_stat_get(store, &stat, &why), QUIPU_OK);
    cr_expect_eq(stat.readers, 1, "its own: %u", stat.readers);
    cr_expect_eq(stat.oldest_reader_pid, (uint32_t)getpid());
    cr_expect_eq(slots(store), 0);
    quipu_close(store);
}

static int64_t oldest_since(quipu *store)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};

    cr_assert_eq(quipu_stat_get(store, &stat, &why), QUIPU_OK);
    return stat.oldest_reader_since_ns;
}

/* Of two readers the one that was opened first, whichever is closed first. */
Test(list, stat_says_since_when_the_oldest_reads)
{
    quipu_reader *readers[3];
    quipu *store;
    int64_t since[3];

    make_store();
    store = open_store(0);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(quipu_read(store, NULL, NULL, &readers[i], &why), QUIPU_OK);
        since[i] = qp_shared_now_ns(&store->handle->shared);
        sys_sleep_ms(2);
    }
    cr_expect_leq(oldest_since(store), since[0]);
    quipu_reader_close(readers[1]);
    cr_expect_leq(oldest_since(store), since[0]);
    quipu_reader_close(readers[0]);
    cr_expect_gt(oldest_since(store), since[1]);
    cr_expect_leq(oldest_since(store), since[2]);
    quipu_reader_close(readers[2]);
    cr_expect_gt(oldest_since(store), since[2], "its own");
    cr_expect_eq(qp_shared_reading(&store->handle->shared, (uint32_t)getpid()), 0);
    quipu_close(store);
}

Test(list, an_open_clears_dead_readers)
{
    struct helper opener;
    quipu *store;

    make_store();
    opener = begin_helper(false);
    store = open_beside_dead_reader();
    tell(&opener);
    wait_for(&opener);
    cr_expect_eq(slots(store), 0);
    kill_helper(&opener);
    quipu_close(store);
}

/* Three of them: another process's, one commit behind; ours, not behind; a dead one's, cleared. */
Test(list, readers_the_oldest_first)
{
    const quipu_draft draft = {.type = "t"};
    struct helper reader;
    quipu_reader *own;
    quipu_list *list;
    quipu_item item;
    quipu *store;

    make_store();
    reader = begin_helper(true);
    store = open_beside_dead_reader();
    tell(&reader);
    wait_for(&reader);
    cr_assert_eq(quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, &why), QUIPU_OK);
    cr_assert_eq(quipu_read(store, NULL, NULL, &own, &why), QUIPU_OK);
    cr_assert_eq(quipu_list_open(store, QUIPU_LIST_READERS, NULL, &list, &why), QUIPU_OK);
    quipu_reader_close(own); /* the list is as it was */
    cr_assert_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
    cr_expect_eq(item.pid, (uint32_t)reader.pid);
    cr_expect_str_eq(item.name, "quipu-reads");
    cr_expect_eq(item.lag, 1, "%lu", item.lag);
    cr_assert_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
    cr_expect_eq(item.pid, (uint32_t)getpid());
    cr_expect_eq(item.lag, 0);
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_OK);
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_OK);
    quipu_list_close(list);
    expect_names(store, QUIPU_LIST_READERS, "quipu-", "quipu-reads ");
    expect_names(store, QUIPU_LIST_READERS, "no such program", "");
    kill_helper(&reader);
    expect_names(store, QUIPU_LIST_READERS, NULL, "");
    quipu_close(store);
}

/* Of one process too: by what they keep, whichever stands first in LMDB's table. */
Test(list, readers_of_one_process)
{
    static const size_t orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}};
    const quipu_draft draft = {.type = "t"};
    quipu *store;

    make_store();
    store = open_store(0);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        quipu_reader *readers[4];
        quipu_list *list;
        quipu_item item;
        uint64_t last = UINT64_MAX;

        for (size_t k = 0; k < 4; k++) { /* two of one snapshot, two of others */
            cr_assert_eq(quipu_read(store, NULL, NULL, &readers[k], &why), QUIPU_OK);
            if (k != 1)
                cr_assert_eq(quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, &why),
                             QUIPU_OK);
        }
        cr_assert_eq(quipu_list_open(store, QUIPU_LIST_READERS, NULL, &list, &why), QUIPU_OK);
        for (size_t k = 0; k < 4; k++) {
            static const uint64_t lags[] = {3, 2, 2, 1};

            cr_assert_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
            cr_expect(item.lag <= last && item.lag == lags[k], "%zu: %d", k, (int)item.lag);
            last = item.lag;
        }
        cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_OK);
        quipu_list_close(list);
        for (size_t k = 0; k < 4; k++) /* so that the next ones have their slots in this order */
            quipu_reader_close(readers[orders[i][k]]);
    }
    quipu_close(store);
}

/* A program may call itself by any bytes; a reader without a snapshot is none. */
Test(list, readers_with_strange_names)
{
    quipu_reader *reader;
    quipu *store;

    make_store();
    store = open_store(0);
    cr_assert_eq(quipu_read(store, NULL, NULL, &reader, &why), QUIPU_OK);
    (void)prctl(PR_SET_NAME, "a\x01\xff");
    expect_names(store, QUIPU_LIST_READERS, NULL, "a?? ");
    (void)prctl(PR_SET_NAME, "\xc3\xa9t\xc3\xa9");
    expect_names(store, QUIPU_LIST_READERS, NULL, "\xc3\xa9t\xc3\xa9 ");
    (void)prctl(PR_SET_NAME, "");
    expect_names(store, QUIPU_LIST_READERS, NULL, " ");
    quipu_reader_close(reader);
    expect_names(store, QUIPU_LIST_READERS, NULL, "");
    quipu_close(store);
}

/* Memory that is out at any allocation. */
Test(list, without_memory)
{
    static const int kinds[] = {QUIPU_LIST_CATEGORIES, QUIPU_LIST_TYPES, QUIPU_LIST_TAGS,
                                QUIPU_LIST_READERS};
    struct support_random random = {5};
    quipu *store = open_store(0);
    quipu_reader *reader;

    append_some(store, &random, 20);
    cr_assert_eq(quipu_read(store, NULL, NULL, &reader, &why), QUIPU_OK);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        int rc = QUIPU_NO_MEMORY;

        for (long n = 1; rc == QUIPU_NO_MEMORY && n < 100; n++) {
            quipu_list *list = NULL;

            support_heap_fail(n, false);
            rc = quipu_list_open(store, kinds[i], NULL, &list, &why);
            support_heap_fail(0, false);
            cr_expect_eq(list != NULL, rc == QUIPU_OK);
            quipu_list_close(list);
        }
        cr_expect_eq(rc, QUIPU_OK, "%d: %s", kinds[i], why.text);
    }
    quipu_reader_close(reader);
    quipu_close(store);
}
