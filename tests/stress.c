/* stress.c - threads that do everything at once to one store, and open and close another one under
 * each other's hands. Each checks what must hold at any moment; in the end all is counted.
 *
 * stress [--seconds N] [--seed N]    built with ThreadSanitizer it looks for races */
#include "clock.h"
#include "handles.h"
#include "merge.h"
#include "support_system.h"
#include "wait.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS = 8, DATA_MAX = 6000, KNOWN_IDS = 4000 };

static struct {
    char path[SYS_PATH_BYTES];      /* of the store that stays open */
    char door_path[SYS_PATH_BYTES]; /* of the one that is opened and closed */
    char left_path[SYS_PATH_BYTES]; /* of the one that is closed while a thread waits in it */
    quipu *store;
    atomic_bool stop;
    atomic_ullong acked;      /* newest position that somebody was told of */
    atomic_ullong events;     /* acknowledged, all together */
    atomic_ullong door_acked; /* the same in the other store */
    unsigned seed;
    atomic_uint known[KNOWN_IDS]; /* how often each was acknowledged as new */
} stress;

/* What the thread that merges fails at is told here alone. */
static void tell(void *payload, int level, const char *text)
{
    (void)payload;
    CHECK(level == 0, "the store told: %s", text);
}

/* So few may be pending that who puts them waits for room, and leads for it. */
static const quipu_options options = {QUIPU_INIT(quipu_options), .flags = QUIPU_OPEN_MERGE_THREAD,
                                      .async_pending_max = 50, .log = tell};

static void raise_to(atomic_ullong *value, uint64_t at_least)
{
    unsigned long long now = atomic_load(value);

    while (now < at_least && !atomic_compare_exchange_weak(value, &now, at_least))
        continue;
}

static void count_acked(const quipu_receipt *receipt)
{
    if (receipt->last_position == 0)
        return;
    atomic_fetch_add(&stress.events, receipt->last_position - receipt->first_position + 1);
    raise_to(&stress.acked, receipt->last_position);
}

static void pick_stream(struct sys_random *random, char name[16])
{
    (void)snprintf(name, 16, "c%u-%u", (unsigned)sys_below(random, 2),
                   (unsigned)sys_below(random, STREAMS));
}

/* The data says what the record's sum does too: how long it is and with what it is filled. */
static quipu_draft make_draft(struct sys_random *random, char *data)
{
    uint32_t size = sys_chance(random, 5) ? DATA_MAX : (uint32_t)(1 + sys_below(random, 100));

    memset(data, (int)(size % 251), size);
    return (quipu_draft){
        .type = sys_chance(random, 50) ? "one" : "two", .data = data, .data_size = size};
}

static void check_event(const quipu_event *event)
{
    const unsigned char *data = event->data;

    CHECK(event->data_size > 0 && data[0] == event->data_size % 251 &&
              data[event->data_size - 1] == data[0],
          "data at %" PRIu64, event->position);
}

/* ---- append ---------------------------------------------------------------------------------- */

static void append_single(struct sys_random *random)
{
    char data[DATA_MAX];
    char name[16];
    quipu_draft draft = make_draft(random, data);
    quipu_receipt receipt;
    quipu_error error = {0};
    int rc;

    pick_stream(random, name);
    rc = quipu_append(stress.store, name, QUIPU_ANY, &draft, 1, &receipt, &error);
    CHECK(rc == QUIPU_OK, "append: %d %s", rc, error.text);
    count_acked(&receipt);
}

static void append_batch(struct sys_random *random)
{
    char data[3][DATA_MAX];
    quipu_batch *batch = quipu_batch_new();
    quipu_receipt receipt;
    quipu_error error = {0};
    int rc;

    for (size_t i = 0; i < 3; i++) {
        char name[16];
        quipu_draft draft = make_draft(random, data[i]);

        pick_stream(random, name);
        CHECK(quipu_batch_append(batch, name, QUIPU_ANY, &draft, sys_below(random, 2)) == QUIPU_OK,
              "batch");
    }
    rc = quipu_commit(stress.store, batch, &receipt, &error);
    CHECK(rc == QUIPU_OK, "commit: %d %s", rc, error.text);
    count_acked(&receipt);
    quipu_batch_free(batch);
}

/* Everybody sends some of the same events: each is in once. */
static void append_known(struct sys_random *random)
{
    const char *const tags[] = {"parity:even", "who:known"};
    uint64_t number = sys_below(random, KNOWN_IDS);
    char data[DATA_MAX];
    quipu_draft draft = make_draft(random, data);
    quipu_receipt receipt;
    quipu_error error = {0};
    int rc;

    draft.flags = QUIPU_EVENT_HAS_ID;
    draft.tags = number % 2 == 0 ? tags : tags + 1;
    draft.tag_count = number % 2 == 0 ? 2 : 1;
    quipu_id_from(&number, sizeof(number), draft.id);
    rc = quipu_append(stress.store, "known", QUIPU_ANY, &draft, 1, &receipt, &error);
    CHECK(rc == QUIPU_OK, "append: %d %s", rc, error.text);
    if (receipt.verdict == QUIPU_DUPLICATE)
        return;
    CHECK(atomic_fetch_add(&stress.known[number], 1) == 0, "event %" PRIu64 " twice", number);
    count_acked(&receipt);
}

/* All contend for one stream: the versions that were won must be different ones. */
static void append_exact(struct sys_random *random)
{
    static _Thread_local uint64_t version;
    static const char *const name = "contended";
    char data[DATA_MAX];
    quipu_draft draft = make_draft(random, data);
    quipu_receipt receipt;
    int rc = quipu_append(stress.store, name, version, &draft, 1, &receipt, NULL);

    CHECK(rc == QUIPU_OK || rc == QUIPU_CONFLICT, "exact: %d", rc);
    CHECK(rc == QUIPU_OK || (receipt.actual != version && receipt.failed_count == 1),
          "a false conflict");
    CHECK(rc != QUIPU_OK || receipt.last_version == version + 1, "version");
    version = rc == QUIPU_OK ? receipt.last_version : receipt.actual;
    count_acked(&receipt);
}

/* ---- asynchronous, conditions, marks --------------------------------------------------------- */

/* Functions are called one at a time, in the order of commits: so these need no lock. */
static struct {
    uint64_t position;
    uint64_t count;
} told;

static void count_told(void *payload, int status, const quipu_receipt *receipt,
                       const quipu_batch *batch, const quipu_error *error)
{
    quipu_result result;

    CHECK(status == QUIPU_OK && error->status == QUIPU_OK, "told: %d %s", status, error->text);
    CHECK(receipt->first_position > told.position, "told of %" PRIu64 " after %" PRIu64,
          receipt->first_position, told.position);
    CHECK(quipu_batch_result(batch, 0, &result) == QUIPU_OK, "result");
    told.position = receipt->last_position;
    told.count++;
    count_acked(receipt);
    atomic_fetch_sub((atomic_uint *)payload, 1);
}

/* Some hundred may be on their way; what a flush waits for is told when it returns. */
static void append_async(struct sys_random *random)
{
    static _Thread_local atomic_uint mine;
    unsigned count = 1 + (unsigned)sys_below(random, 40);

    for (unsigned i = 0; i < count; i++) {
        char data[DATA_MAX];
        char name[16];
        quipu_draft draft = make_draft(random, data);
        quipu_batch *batch = quipu_batch_new();
        quipu_error error = {0};

        pick_stream(random, name);
        (void)quipu_batch_append(batch, name, QUIPU_ANY, &draft, 1);
        atomic_fetch_add(&mine, 1);
        CHECK(quipu_commit_async(stress.store, batch, count_told, &mine, &error) == QUIPU_OK,
              "async: %s", error.text);
    }
    CHECK(quipu_flush(stress.store, NULL) == QUIPU_OK, "flush");
    CHECK(atomic_load(&mine) == 0, "%u were not told", atomic_load(&mine));
}

static uint64_t first_after(const quipu_query *query, uint64_t after)
{
    quipu_range range = {QUIPU_INIT(quipu_range), .after = after};
    quipu_reader *reader;
    quipu_event event;
    int rc;

    CHECK(quipu_read(stress.store, query, &range, &reader, NULL) == QUIPU_OK, "read");
    rc = quipu_next(reader, &event, NULL);
    CHECK(rc == QUIPU_ROW || rc == QUIPU_OK, "read: %d", rc);
    quipu_reader_close(reader);
    return rc == QUIPU_ROW ? event.position : 0;
}

/* All contend for what follows the last event of two kinds: who wins is the first after it. */
static void append_unless(struct sys_random *random)
{
    static _Thread_local uint64_t seen;
    const char *const tags[] = {"who:first"};
    const quipu_query_item items[] = {{.tags = tags, .tag_count = 1}, {.category = "won"}};
    const quipu_query query = {items, 2};
    char data[DATA_MAX];
    quipu_draft draft = make_draft(random, data);
    quipu_batch *batch = quipu_batch_new();
    quipu_receipt receipt;
    int rc;

    draft.tags = tags;
    draft.tag_count = (uint32_t)sys_below(random, 2);
    (void)quipu_batch_append(batch, draft.tag_count > 0 ? "c0-1" : "won-1", QUIPU_ANY, &draft, 1);
    (void)quipu_batch_unless(batch, &query, seen);
    rc = quipu_commit(stress.store, batch, &receipt, NULL);
    quipu_batch_free(batch);
    CHECK(rc == QUIPU_OK || rc == QUIPU_CONFLICT, "unless: %d", rc);
    CHECK(rc == QUIPU_OK || receipt.matched > seen, "a false conflict");
    if (rc == QUIPU_OK)
        CHECK(first_after(&query, seen) == receipt.first_position, "another one came between");
    seen = rc == QUIPU_OK ? receipt.last_position : receipt.matched;
    count_acked(&receipt);
}

/* A mark follows the head, and a source counts; both only grow. */
static void move_mark(struct sys_random *random)
{
    static atomic_ullong number;
    char data[DATA_MAX];
    quipu_draft draft = make_draft(random, data);
    uint64_t mine = atomic_fetch_add(&number, 1);
    quipu_batch *batch = quipu_batch_new();
    quipu_receipt receipt;
    quipu_list *list;
    quipu_item item;
    uint64_t head = 0;
    uint64_t stored = 0;
    int rc;

    CHECK(quipu_head(stress.store, &head, NULL) == QUIPU_OK, "head");
    (void)quipu_batch_append(batch, "marked", QUIPU_ANY, &draft, 1);
    (void)quipu_batch_mark(batch, "follower", head);
    (void)quipu_batch_track(batch, "queue", mine);
    rc = quipu_commit(stress.store, batch, &receipt, NULL);
    quipu_batch_free(batch);
    CHECK(rc == QUIPU_OK || rc == QUIPU_CONFLICT || rc == QUIPU_ALREADY_TRACKED, "mark: %d", rc);
    count_acked(&receipt);
    if (rc == QUIPU_OK)
        CHECK(quipu_mark_get(stress.store, "follower", &stored, NULL) == QUIPU_OK && stored >= head,
              "%" PRIu64 " before %" PRIu64, stored, head);
    rc = quipu_tracked_get(stress.store, "queue", &stored, NULL);
    CHECK(rc == QUIPU_OK || rc == QUIPU_NOT_FOUND, "tracked: %d", rc);
    CHECK(quipu_list_open(stress.store, QUIPU_LIST_MARKS, "f", &list, NULL) == QUIPU_OK, "list");
    while (quipu_list_next(list, &item, NULL) == QUIPU_ROW)
        CHECK(strcmp(item.name, "follower") == 0, "%s", item.name);
    quipu_list_close(list);
}

/* ---- read ------------------------------------------------------------------------------------ */

static void read_all(struct sys_random *random)
{
    uint64_t acked = atomic_load(&stress.acked);
    quipu_range range = {QUIPU_INIT(quipu_range), .limit = 1 + sys_below(random, 500)};
    bool backwards = sys_chance(random, 50);
    quipu_reader *reader;
    quipu_event event;
    uint64_t next;
    int rc;

    range.flags = backwards ? QUIPU_BACKWARDS : 0;
    range.after = backwards || acked == 0 ? 0 : sys_below(random, acked);
    CHECK(quipu_read(stress.store, NULL, &range, &reader, NULL) == QUIPU_OK, "read");
    CHECK(!backwards || quipu_reader_head(reader) >= acked, "an acknowledged event is not seen");
    next = backwards ? quipu_reader_head(reader) : range.after + 1;
    for (rc = quipu_next(reader, &event, NULL); rc == QUIPU_ROW;
         rc = quipu_next(reader, &event, NULL)) {
        CHECK(event.position == next, "%" PRIu64 ", not %" PRIu64, event.position, next);
        check_event(&event);
        next = backwards ? next - 1 : next + 1;
    }
    CHECK(rc == QUIPU_OK, "read: %d", rc);
    quipu_reader_close(reader);
}

static void read_stream(struct sys_random *random)
{
    quipu_range range = {QUIPU_INIT(quipu_range), .limit = 1 + sys_below(random, 300)};
    bool backwards = sys_chance(random, 50);
    quipu_reader *reader;
    quipu_event event;
    char name[16];
    uint64_t last = 0;
    int rc;

    pick_stream(random, name);
    range.flags = backwards ? QUIPU_BACKWARDS : 0;
    rc = quipu_read_stream(stress.store, name, &range, &reader, NULL);
    if (rc == QUIPU_NOT_FOUND)
        return;
    CHECK(rc == QUIPU_OK, "read %s: %d", name, rc);
    for (rc = quipu_next(reader, &event, NULL); rc == QUIPU_ROW;
         rc = quipu_next(reader, &event, NULL)) {
        CHECK(strcmp(event.stream, name) == 0, "%s, not %s", event.stream, name);
        CHECK(last == 0 ? backwards || event.version == 1
                        : event.version == (backwards ? last - 1 : last + 1),
              "%s: version %" PRIu64 " comes after %" PRIu64, name, event.version, last);
        last = event.version;
        check_event(&event);
    }
    CHECK(rc == QUIPU_OK, "read: %d", rc);
    quipu_reader_close(reader);
}

static void read_query(struct sys_random *random)
{
    const char *const types[] = {"one"};
    const quipu_query_item items[] = {{.category = "c0"}, {.types = types, .type_count = 1}};
    const quipu_query query = {items, 2};
    quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_BACKWARDS,
                         .limit = 1 + sys_below(random, 300)};
    quipu_reader *reader;
    quipu_event event;
    uint64_t last = UINT64_MAX;
    int rc;

    CHECK(quipu_read(stress.store, &query, &range, &reader, NULL) == QUIPU_OK, "query");
    for (rc = quipu_next(reader, &event, NULL); rc == QUIPU_ROW;
         rc = quipu_next(reader, &event, NULL)) {
        CHECK(event.position < last, "order");
        CHECK(quipu_event_is(&event, "one") || strncmp(event.stream, "c0-", 3) == 0, "no match");
        last = event.position;
        check_event(&event);
    }
    CHECK(rc == QUIPU_OK, "query: %d", rc);
    quipu_reader_close(reader);
}

/* Two tags, in snapshots that are renewed. */
static void read_tags(struct sys_random *random)
{
    const char *const tags[] = {"who:known", "parity:even"};
    const quipu_query_item item = {.tags = tags, .tag_count = 1 + (uint32_t)sys_below(random, 2)};
    const quipu_query query = {&item, 1};
    quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_RENEW};
    quipu_reader *reader;
    quipu_event event;
    uint64_t last = 0;
    int rc;

    CHECK(quipu_read(stress.store, &query, &range, &reader, NULL) == QUIPU_OK, "tags");
    for (rc = quipu_next(reader, &event, NULL); rc == QUIPU_ROW;
         rc = quipu_next(reader, &event, NULL)) {
        CHECK(event.position > last && strcmp(event.stream, "known") == 0, "order");
        CHECK(event.tag_count >= item.tag_count, "tags");
        last = event.position;
        check_event(&event);
        if (sys_chance(random, 1))
            sys_sleep_ms(120); /* long enough for a renewal */
    }
    CHECK(rc == QUIPU_OK, "tags: %d", rc);
    quipu_reader_close(reader);
}

static int go_on(void *payload, quipu_error *error)
{
    (void)payload;
    (void)error;
    return QUIPU_OK;
}

/* For whatever anybody commits. */
static void wait_for_any(struct sys_random *random)
{
    struct qp_handle *handle = stress.store->handle;
    uint64_t before = 0;
    uint64_t newest = 0;
    int rc = qp_wait_commit(handle, 0, 0, go_on, NULL, &before, NULL);

    CHECK(rc == QUIPU_ROW, "newest: %d", rc);
    rc = qp_wait_commit(handle, before + sys_below(random, 2), qp_clock_deadline_ns(100), go_on,
                        NULL, &newest, NULL);
    CHECK(rc == QUIPU_OK || rc == QUIPU_ROW, "wait: %d", rc);
    CHECK(newest >= before && (rc == QUIPU_OK || newest > before), "newest %" PRIu64, newest);
}

/* Wait for whoever appends next. */
static void wait_for_event(struct sys_random *random)
{
    uint64_t before = atomic_load(&stress.acked);
    uint64_t head = 0;
    int rc = quipu_wait(stress.store, before + sys_below(random, 3), 100, &head, NULL);

    CHECK(rc == QUIPU_OK || rc == 1, "wait: %d", rc);
    CHECK(head >= before, "head");
}

static void wait_for_one(struct sys_random *random)
{
    if (sys_chance(random, 50))
        wait_for_event(random);
    else
        wait_for_any(random);
}

static void ask_for_self(quipu *store)
{
    struct qp_shared *shared = &store->handle->shared;

    CHECK(qp_shared_lives(shared, shared->slot, shared->generation) == QP_ORIGIN_LIVES, "I live");
}

static void *wait_until_closed(void *payload)
{
    quipu *store = payload;
    int rc;

    ask_for_self(store);
    rc = quipu_wait(store, UINT64_MAX, -1, NULL, NULL);

    CHECK(rc == QUIPU_CLOSED, "a wait whose store was closed: %d", rc);
    return NULL;
}

/* Close a store in which a thread sleeps. Its call must have begun: nobody may call a closed one.
 */
static void close_on_a_wait(struct sys_random *random)
{
    quipu *store = NULL;
    struct qp_waiting *waiting;
    bool watched = false;
    pthread_t thread;

    CHECK(quipu_open(stress.left_path, NULL, &store, NULL) == QUIPU_OK, "open");
    waiting = &store->handle->waiting;
    CHECK(pthread_create(&thread, NULL, wait_until_closed, store) == 0, "thread");
    ask_for_self(store); /* for the first time, both */
    while (!watched) {
        (void)pthread_mutex_lock(&waiting->lock);
        watched = waiting->watched;
        (void)pthread_mutex_unlock(&waiting->lock);
    }
    sys_sleep_ms((unsigned)sys_below(random, 3));
    quipu_close(store);
    CHECK(pthread_join(thread, NULL) == 0, "join");
}

/* ---- the rest -------------------------------------------------------------------------------- */

static int count_up(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)payload;
    (void)error;
    check_event(event);
    ++*(uint64_t *)state;
    return 0;
}

static void look(struct sys_random *random)
{
    const quipu_fold fold = {
        QUIPU_INIT(quipu_fold), .name = "count",     .state_size = sizeof(uint64_t),
        .apply = count_up,      .snapshot_every = 8, .snapshot_keep = 2};
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    uint64_t before = atomic_load(&stress.acked);
    quipu_list *list;
    quipu_item item;
    uint64_t count;
    uint64_t version;
    uint64_t events = 0;
    char name[16];

    pick_stream(random, name);
    CHECK(quipu_load(stress.store, &fold, name, NULL, &count, &version, NULL) == QUIPU_OK, "load");
    CHECK(count == version, "%" PRIu64 " events up to version %" PRIu64, count, version);
    CHECK(quipu_stat_get(stress.store, &stat, NULL) == QUIPU_OK, "stat");
    CHECK(stat.events == stat.head && stat.head >= before, "head %" PRIu64, stat.head);
    CHECK(quipu_list_open(stress.store, QUIPU_LIST_STREAMS, NULL, &list, NULL) == QUIPU_OK, "list");
    while (quipu_list_next(list, &item, NULL) == QUIPU_ROW)
        events += item.count;
    quipu_list_close(list);
    CHECK(events >= stat.events, "%" PRIu64 " events in streams of %" PRIu64, events, stat.events);
}

/* Append one more, with the count so far as its size: nobody else may come between. */
static int decide(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                  quipu_error *error)
{
    static const char data[1] = {1};
    const quipu_draft draft = {.type = "one", .data = data, .data_size = 1};

    (void)payload;
    (void)error;
    CHECK(*(const uint64_t *)state == version, "state");
    (void)quipu_batch_append(batch, "decided", QUIPU_ANY, &draft, 1);
    return 0;
}

static void execute(struct sys_random *random)
{
    const quipu_fold fold = {
        QUIPU_INIT(quipu_fold), .name = "count",     .state_size = sizeof(uint64_t),
        .apply = count_up,      .snapshot_every = 8, .snapshot_keep = 2};
    quipu_receipt receipt;
    int rc = quipu_execute(stress.store, &fold, "decided", decide, NULL, 1000, &receipt, NULL);

    CHECK(rc == QUIPU_OK, "execute: %d", rc);
    count_acked(&receipt);
    sys_sleep_ms(5 + (unsigned)sys_below(random, 20)); /* each loads all that were before */
}

/* By this thread, or by the store's: that one is made to believe that the tail is long. */
static void merge(struct sys_random *random)
{
    struct qp_handle *handle = stress.store->handle;
    quipu_error error = {0};
    int rc;

    if (sys_chance(random, 50)) {
        atomic_store(&handle->unmerged, QP_MERGE_EVENTS);
        qp_merge_if_long(handle);
    } else {
        rc = qp_merge(handle, &error);
        CHECK(rc == QUIPU_OK, "merge: %d %s", rc, error.text);
    }
    sys_sleep_ms((unsigned)sys_below(random, 20));
}

/* The same store again: counted, so that nobody notices. */
static void open_again(struct sys_random *random)
{
    quipu *store = NULL;
    quipu_reader *reader;
    quipu_event event;
    quipu_error error = {0};
    int rc = quipu_open(stress.path, &options, &store, &error);

    (void)random;
    CHECK(rc == QUIPU_OK && store == stress.store, "open again: %d %s", rc, error.text);
    CHECK(quipu_read(store, NULL, NULL, &reader, NULL) == QUIPU_OK, "read");
    quipu_close(store);
    CHECK(quipu_next(reader, &event, NULL) >= QUIPU_OK, "it is still open");
    quipu_reader_close(reader);
}

static void ignore(void *payload, int status, const quipu_receipt *receipt,
                   const quipu_batch *batch, const quipu_error *error)
{
    (void)payload;
    (void)batch;
    CHECK(status == QUIPU_OK, "told: %d %s", status, error->text);
    raise_to(&stress.door_acked, receipt->last_position);
}

/* What a close commits, of this thread's open or another one's. */
static void leave_pending(quipu *store, const quipu_draft *draft)
{
    quipu_batch *batch = quipu_batch_new();
    int rc;

    (void)quipu_batch_append(batch, "left", QUIPU_ANY, draft, 1);
    rc = quipu_commit_async(store, batch, ignore, NULL, NULL);
    CHECK(rc == QUIPU_OK, "async: %d", rc);
}

static int up(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    const quipu_draft draft = {.type = event->type,
                               .data = event->data,
                               .data_size = event->data_size,
                               .schema = (uint16_t)(event->schema + 1)};

    (void)payload;
    (void)error;
    return quipu_page_emit(out, NULL, &draft);
}

/* Whoever has it open first brings these; others read meanwhile. */
static void register_upcasters(quipu *store)
{
    for (uint32_t i = 0; i < 2; i++) {
        const quipu_upcaster upcaster = {QUIPU_INIT(quipu_upcaster), .from = i, .type = "one",
                                         .up = up};
        int rc = quipu_register_upcaster(store, &upcaster, NULL);

        CHECK(rc == QUIPU_OK || rc == QUIPU_MISUSE, "upcaster: %d", rc);
    }
}

/* Some of those who read come before that: none of their events then goes half the way alone. */
static void check_upcast(const quipu_event *event, int *schema)
{
    check_event(event);
    if (!quipu_event_is(event, "one"))
        return;
    CHECK(*schema == -1 || *schema == event->schema, "schema %d and %d", *schema, event->schema);
    *schema = event->schema;
}

/* The other store: several threads open and close it, and each may be the first or the last. */
static void open_and_close(struct sys_random *random)
{
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_UPCAST};
    bool registers = sys_chance(random, 50);
    quipu *store = NULL;
    quipu_reader *reader;
    quipu_event event;
    quipu_error error = {0};
    char data[DATA_MAX];
    quipu_draft draft = make_draft(random, data);
    uint64_t before = atomic_load(&stress.door_acked);
    quipu_receipt receipt;
    int schema = -1;
    int rc = quipu_open(stress.door_path, NULL, &store, &error);

    CHECK(rc == QUIPU_OK, "open: %d %s", rc, error.text);
    if (registers)
        register_upcasters(store);
    rc = quipu_append(store, "visits", QUIPU_ANY, &draft, 1, &receipt, &error);
    CHECK(rc == QUIPU_OK, "append: %d %s", rc, error.text);
    raise_to(&stress.door_acked, receipt.last_position);
    if (sys_chance(random, 30))
        leave_pending(store, &draft);
    CHECK(quipu_read(store, NULL, &range, &reader, NULL) == QUIPU_OK, "read");
    if (sys_chance(random, 50)) {
        quipu_close(store); /* the reader is left */
        rc = quipu_next(reader, &event, NULL);
        CHECK(rc == QUIPU_ROW || rc == QUIPU_CLOSED, "a reader that was left: %d", rc);
        quipu_reader_close(reader);
        return;
    }
    for (rc = quipu_next(reader, &event, NULL); rc == QUIPU_ROW && event.position < before;
         rc = quipu_next(reader, &event, NULL))
        check_upcast(&event, &schema);
    CHECK(!registers || schema == -1 || schema == 2, "schema %d", schema);
    CHECK(rc == QUIPU_ROW, "read: %d before %" PRIu64, rc, before);
    quipu_reader_close(reader);
    quipu_close(store);
}

/* ---- main ------------------------------------------------------------------------------------ */

static const struct job {
    const char *name;
    void (*once)(struct sys_random *random);
    unsigned threads;
} jobs[] = {
    {"singles", append_single, 2},
    {"batches", append_batch, 1},
    {"exact", append_exact, 2},
    {"all", read_all, 1},
    {"streams", read_stream, 1},
    {"queries", read_query, 1},
    {"known", append_known, 2},
    {"tags", read_tags, 1},
    {"waits", wait_for_one, 3},
    {"executes", execute, 2},
    {"looks", look, 1},
    {"merges", merge, 1},
    {"opens again", open_again, 1},
    {"opens", open_and_close, 3},
    {"leaves", close_on_a_wait, 1},
    {"asyncs", append_async, 2},
    {"unlesses", append_unless, 2},
    {"marks", move_mark, 2},
};

enum { JOBS = sizeof(jobs) / sizeof(jobs[0]), THREADS_MAX = 32 };

static struct worker {
    pthread_t thread;
    const struct job *job;
    struct sys_random random;
    uint64_t done;
} workers[THREADS_MAX];

static void *work(void *payload)
{
    struct worker *worker = payload;

    while (!atomic_load(&stress.stop)) {
        worker->job->once(&worker->random);
        worker->done++;
    }
    return NULL;
}

static void check_store(const char *path, uint64_t events)
{
    quipu_verified verified = {QUIPU_INIT(quipu_verified), .reserved = 0};
    quipu_error error = {0};
    int rc = quipu_verify(path, 0, NULL, NULL, NULL, &verified, &error);

    CHECK(rc == QUIPU_OK, "verify: %d %s", rc, error.text);
    CHECK(verified.checked == events, "%" PRIu64 " events, not %" PRIu64, verified.checked, events);
}

static void run(unsigned seconds)
{
    size_t count = 0;

    for (size_t i = 0; i < JOBS; i++) {
        for (unsigned j = 0; j < jobs[i].threads; j++, count++) {
            workers[count].job = &jobs[i];
            workers[count].random.state = stress.seed + count * 1000;
            CHECK(pthread_create(&workers[count].thread, NULL, work, &workers[count]) == 0,
                  "thread");
        }
    }
    sys_sleep_ms(seconds * 1000);
    atomic_store(&stress.stop, true);
    for (size_t i = 0; i < count; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0, "join");
        (void)printf("%s %" PRIu64 "%s", workers[i].job->name, workers[i].done,
                     i + 1 < count ? ", " : "\n");
    }
}

int main(int count, char **arguments)
{
    char directory[SYS_PATH_BYTES];
    unsigned seconds = 5;

    stress.seed = (unsigned)sys_seed();
    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "--seconds") == 0)
            seconds = (unsigned)strtoul(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--seed") == 0)
            stress.seed = (unsigned)strtoul(arguments[i + 1], NULL, 10);
    }
    (void)snprintf(sys_note, sizeof(sys_note), "stress --seconds %u --seed %u", seconds,
                   stress.seed);
    (void)printf("%s\n", sys_note);
    sys_directory(directory, true);
    sys_join(stress.path, directory, "store");
    sys_join(stress.door_path, directory, "door");
    sys_join(stress.left_path, directory, "left");
    CHECK(quipu_open(stress.path, &options, &stress.store, NULL) == QUIPU_OK, "open");
    run(seconds);
    check_store(stress.path, atomic_load(&stress.events));
    quipu_close(stress.store);
    check_store(stress.path, atomic_load(&stress.events));
    check_store(stress.door_path, atomic_load(&stress.door_acked));
    sys_remove(directory);
    return 0;
}
