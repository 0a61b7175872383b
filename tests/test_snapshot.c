/* test_snapshot.c - snapshots of folds through the API: which are saved, which are used, and that
 * no load can tell the difference. snapshot.c: rows to the byte. The naive side folds what a reader
 * gives, by the same function, and keeps every state. */
#include "guard.h"
#include "handles.h"
#include "merge.h"
#include "snapshot.h"
#include "streams.h"
#include "support_events.h"
#include "support_raw.h"
#include "support_suite.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(snapshot, .init = support_begin, .fini = support_suite_end, .timeout = 110);

static quipu_error why;
static char told[4096]; /* what the application's log was told */

static char *store_path(char path[SUPPORT_PATH_BYTES])
{
    return support_path(path, "store");
}

static void note(void *payload, int level, const char *text)
{
    size_t used = strlen(told);

    (void)payload;
    (void)snprintf(told + used, sizeof(told) - used, "%d %s\n", level, text);
}

static quipu *open_with(quipu_options options)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    options.struct_size = sizeof(options);
    options.log = note;
    cr_assert_eq(quipu_open(store_path(path), &options, &store, &why), QUIPU_OK, "%s", why.text);
    return store;
}

static quipu *open_store(void)
{
    return open_with((quipu_options){.flags = 0});
}

static void append(quipu *store, const char *stream, const void *data, uint32_t size)
{
    const quipu_draft draft = {.type = "t", .data = data, .data_size = size};

    cr_assert_eq(quipu_append(store, stream, QUIPU_ANY, &draft, 1, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

static void append_many(quipu *store, const char *stream, int count)
{
    for (int i = 0; i < count; i++)
        append(store, stream, &i, sizeof(i));
}

static quipu_stat stat_of(quipu *store)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};

    cr_assert_eq(quipu_stat_get(store, &stat, &why), QUIPU_OK, "%s", why.text);
    return stat;
}

/* ---- a fold that shows what it was given: its state depends on each event and on their order ----
 */

struct digest {
    uint64_t count;
    uint64_t sum;
};

static unsigned applied; /* events, since somebody set it to 0 */

static int digest_event(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    struct digest *digest = state;

    (void)payload;
    (void)error;
    applied++;
    digest->count++;
    digest->sum = digest->sum * 1099511628211U + event->position;
    for (uint32_t i = 0; i < event->data_size; i++)
        digest->sum = digest->sum * 31 + ((const uint8_t *)event->data)[i];
    return 0;
}

static quipu_fold plain_fold(void)
{
    return (quipu_fold){QUIPU_INIT(quipu_fold), .version = 1, .name = "digest",
                        .state_size = sizeof(struct digest), .apply = digest_event};
}

/* The same with memory of its own, in any number of bytes, and a form of its own when saved. */
struct heap_state {
    struct digest *digest;
};

static struct {
    int live;       /* states that are to be released */
    size_t padding; /* bytes that `save` adds */
    int load_fails; /* so many loads, from now on */
    int save_fails;
    unsigned loads;
} heap;

static int heap_init(void *state, void *payload)
{
    struct heap_state *own = state;

    (void)payload;
    cr_assert_null(own->digest, "the state was not zeroed");
    own->digest = calloc(1, sizeof(*own->digest));
    heap.live++;
    return own->digest != NULL ? 0 : -1000;
}

static int heap_apply(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    return digest_event(((struct heap_state *)state)->digest, event, payload, error);
}

static void heap_release(void *state, void *payload)
{
    (void)payload;
    free(((struct heap_state *)state)->digest);
    heap.live--;
}

static int heap_save(const void *state, quipu_buffer *out, void *payload)
{
    const struct heap_state *own = state;

    (void)payload;
    if (heap.save_fails > 0 && heap.save_fails-- > 0)
        return -1;
    (void)quipu_buffer_put(out, own->digest, sizeof(*own->digest));
    for (size_t left = heap.padding; left > 0;) {
        static const char zeros[1000];
        size_t part = left < sizeof(zeros) ? left : sizeof(zeros);

        (void)quipu_buffer_put(out, zeros, part);
        left -= part;
    }
    return 0;
}

static int heap_load(void *state, const void *bytes, size_t size, void *payload)
{
    struct heap_state *own = state;

    (void)payload;
    heap.loads++;
    own->digest->count = 77; /* who fails may leave anything */
    if (heap.load_fails > 0 && heap.load_fails-- > 0)
        return 1;
    if (size < sizeof(*own->digest))
        return -1;
    memcpy(own->digest, bytes, sizeof(*own->digest));
    return 0;
}

static quipu_fold heap_fold(void)
{
    return (quipu_fold){QUIPU_INIT(quipu_fold),  .version = 1,
                        .name = "heap",          .state_size = sizeof(struct heap_state),
                        .init = heap_init,       .apply = heap_apply,
                        .release = heap_release, .save = heap_save,
                        .load = heap_load};
}

/* Load by either; the state comes out as a digest. */
static int load(quipu *store, const quipu_fold *fold, const char *stream, const quipu_point *at,
                struct digest *out, uint64_t *version)
{
    struct heap_state own = {0};
    int rc;

    if (fold->release == NULL)
        return quipu_load(store, fold, stream, at, out, version, &why);
    rc = quipu_load(store, fold, stream, at, &own, version, &why);
    if (rc == QUIPU_OK) {
        *out = *own.digest;
        heap_release(&own, NULL);
    }
    return rc;
}

static uint64_t load_head(quipu *store, const quipu_fold *fold, const char *stream)
{
    struct digest digest;
    uint64_t version = 99;

    applied = 0;
    cr_assert_eq(load(store, fold, stream, NULL, &digest, &version), QUIPU_OK, "%s", why.text);
    cr_expect_eq(digest.count, version, "%lu events of version %lu", digest.count, version);
    return version;
}

/* "1 2 3": the versions of the stream at which a fold has snapshots; of damaged ones "?". */
static const char *kept(quipu *store, const char *stream, const char *fold)
{
    static char text[1024];
    quipu_list *list;
    quipu_item item;
    size_t used = 0;
    int rc;

    cr_assert_eq(quipu_list_open(store, QUIPU_LIST_SNAPSHOTS, fold, &list, &why), QUIPU_OK, "%s",
                 why.text);
    text[0] = '\0';
    for (rc = quipu_list_next(list, &item, &why); rc != QUIPU_OK;
         rc = quipu_list_next(list, &item, &why)) {
        cr_assert(rc == QUIPU_ROW || rc == QUIPU_CORRUPT, "%s", why.text);
        if (strcmp(item.name, stream) != 0)
            continue;
        if (rc == QUIPU_CORRUPT)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s?", used > 0 ? " " : "");
        else
            used +=
                (size_t)snprintf(text + used, sizeof(text) - used, "%s%lu%s", used > 0 ? " " : "",
                                 item.version, strcmp(item.text, "usable") == 0 ? "" : "!");
    }
    quipu_list_close(list);
    return text;
}

#define expect_kept(store, stream, fold, should)                                                   \
    cr_expect_str_eq(kept(store, stream, fold), should, "line %d: %s", __LINE__,                   \
                     kept(store, stream, fold))

/* ---- when one is saved ---- */

Test(snapshot, every_n_events)
{
    quipu *store = open_store();
    quipu_fold fold = plain_fold();

    fold.snapshot_every = 10;
    append_many(store, "s", 9);
    cr_expect_eq(load_head(store, &fold, "s"), 9);
    expect_kept(store, "s", "digest", "");
    append_many(store, "s", 1);
    cr_expect_eq(load_head(store, &fold, "s"), 10);
    expect_kept(store, "s", "digest", "10");
    append_many(store, "s", 9);
    cr_expect_eq(load_head(store, &fold, "s"), 19);
    cr_expect_eq(applied, 9, "%u", applied);
    expect_kept(store, "s", "digest", "10");
    append_many(store, "s", 16);
    cr_expect_eq(load_head(store, &fold, "s"), 35);
    cr_expect_eq(applied, 25);
    expect_kept(store, "s", "digest", "30"); /* the newest of two, and it alone stays */
    cr_expect_eq(load_head(store, &fold, "s"), 35);
    cr_expect_eq(applied, 5);
    cr_expect_str_eq(told, "", "%s", told);
    quipu_close(store);
}

Test(snapshot, after_bytes)
{
    quipu *store = open_store();
    quipu_fold fold = plain_fold();
    const char data[100] = {0};

    fold.snapshot_bytes = 250;
    for (int i = 0; i < 8; i++)
        append(store, "s", data, i == 6 ? 10 : 100);
    cr_expect_eq(load_head(store, &fold, "s"), 8);
    expect_kept(store, "s", "digest", "6"); /* 100 + 100 + 100 twice; 10 + 100 is not enough */
    append(store, "s", data, 100);
    (void)load_head(store, &fold, "s");
    expect_kept(store, "s", "digest", "6");
    append(store, "s", data, 40);
    (void)load_head(store, &fold, "s");
    expect_kept(store, "s", "digest", "10");
    quipu_close(store);
}

static int worth_at(const void *state, const quipu_event *event, void *payload)
{
    const uint64_t *every = payload;

    cr_expect_eq(((const struct digest *)state)->count, event->version, "asked after the event");
    return event->version % *every == 0;
}

Test(snapshot, when_it_is_worth_it)
{
    quipu *store = open_store();
    quipu_fold fold = plain_fold();
    uint64_t every = 8;

    fold.worth = worth_at;
    fold.payload = &every;
    append_many(store, "s", 11);
    (void)load_head(store, &fold, "s");
    expect_kept(store, "s", "digest", "8");
    fold.snapshot_every = 5; /* any of them: 8 + 5 = 13 comes before 16, and 16 after it */
    append_many(store, "s", 3);
    (void)load_head(store, &fold, "s");
    expect_kept(store, "s", "digest", "13");
    append_many(store, "s", 3);
    (void)load_head(store, &fold, "s");
    expect_kept(store, "s", "digest", "16");
    quipu_close(store);
}

Test(snapshot, only_at_the_head)
{
    quipu *store = open_store();
    quipu_fold fold = plain_fold();
    struct digest digest;
    uint64_t version;

    fold.snapshot_every = 1;
    append_many(store, "s", 5);
    for (uint32_t kind = QUIPU_AT_VERSION; kind <= QUIPU_AT_RECORDED; kind++) {
        const quipu_point at = {.kind = kind, .value = kind <= QUIPU_AT_POSITION ? 4 : INT64_MAX};

        cr_assert_eq(quipu_load(store, &fold, "s", &at, &digest, &version, &why), QUIPU_OK);
        expect_kept(store, "s", "digest", "");
    }
    cr_expect_eq(load_head(store, &fold, "missing"), 0);
    cr_expect_eq(stat_of(store).snapshots, 0);
    quipu_close(store);
}

/* A fold that does not ask uses what is there. */
Test(snapshot, keep)
{
    quipu *store = open_store();
    quipu_fold fold = plain_fold();

    for (uint32_t keep = 0; keep <= 3; keep++) {
        char stream[8];

        (void)snprintf(stream, sizeof(stream), "s-%u", keep);
        fold.snapshot_every = 2;
        fold.snapshot_keep = keep;
        for (int i = 1; i <= 12; i++) {
            append_many(store, stream, 1);
            (void)load_head(store, &fold, stream);
        }
        expect_kept(store, stream, "digest", keep == 3 ? "8 10 12" : keep == 2 ? "10 12" : "12");
        fold.snapshot_every = 0;
        append_many(store, stream, 1);
        cr_expect_eq(load_head(store, &fold, stream), 13);
        cr_expect_eq(applied, 1);
    }
    quipu_close(store);
}

/* Long states stand in blobs, which go with their rows. */
Test(snapshot, long_states)
{
    static const size_t sizes[] = {0, 3984, 3985, 5000, 100000, 17};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = open_store();
    quipu_fold fold = heap_fold();

    fold.snapshot_every = 1;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        heap.padding = sizes[i];
        append_many(store, "s", 1);
        cr_expect_eq(load_head(store, &fold, "s"), i + 1);
        cr_expect_eq(applied, 1);
    }
    quipu_close(store);
    cr_expect_eq(quipu_verify(store_path(path), 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK, "%s",
                 why.text);
    store = open_store();
    cr_expect_eq(load_head(store, &fold, "s"), 6);
    cr_expect_eq(applied, 0);
    cr_expect_eq(heap.live, 0);
    quipu_close(store);
}

static int decide(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                  quipu_error *error)
{
    const quipu_draft draft = {.type = "t"};

    (void)error;
    cr_expect_eq(((const struct digest *)state)->count, version);
    if (payload != NULL && *(int *)payload > 0) { /* somebody is quicker */
        --*(int *)payload;
        append(*(quipu **)((int *)payload + 2), "s", NULL, 0);
    }
    return quipu_batch_append(batch, "s", QUIPU_ANY, &draft, 1);
}

/* After its commit, and once, however often it had to begin again. */
Test(snapshot, by_commands)
{
    struct {
        int conflicts;
        int hole;
        quipu *store;
    } rival = {0, 0, open_store()};
    quipu_fold fold = plain_fold();

    fold.snapshot_every = 3;
    for (int i = 0; i < 4; i++)
        cr_assert_eq(quipu_execute(rival.store, &fold, "s", decide, NULL, 0, NULL, &why), QUIPU_OK);
    expect_kept(rival.store, "s", "digest", "3");
    rival.conflicts = 3;
    applied = 0;
    cr_assert_eq(quipu_execute(rival.store, &fold, "s", decide, &rival, 0, NULL, &why), QUIPU_OK);
    expect_kept(rival.store, "s", "digest", "6");
    cr_expect_eq(applied, 1 + 2 + 3 + 4, "none was saved between two attempts");
    cr_expect_eq(load_head(rival.store, &fold, "s"), 8);
    quipu_close(rival.store);
}

/* ---- what comes out is the same ---- */

enum { STREAMS = 3, EVENTS = 150 };

struct history {
    uint64_t version;
    uint64_t position;
    int64_t time_ns;
    int64_t recorded_ns;
    struct digest digest; /* after this event */
};

static struct history histories[STREAMS][EVENTS + 1];
static uint64_t lengths[STREAMS];

static void stream_name(size_t stream, char name[8])
{
    (void)snprintf(name, 8, stream == 1 ? "s" : "s-%zu", stream); /* one begins the others */
}

static void read_history(quipu *store, size_t stream)
{
    struct digest digest = {0};
    quipu_reader *reader;
    quipu_event event;
    char name[8];

    stream_name(stream, name);
    lengths[stream] = 0;
    if (quipu_read_stream(store, name, NULL, &reader, &why) != QUIPU_OK)
        return;
    while (quipu_next(reader, &event, &why) == QUIPU_ROW) {
        (void)digest_event(&digest, &event, NULL, NULL);
        histories[stream][++lengths[stream]] = (struct history){
            event.version, event.position, event.time_ns, event.recorded_ns, digest};
    }
    quipu_reader_close(reader);
}

/* The longest run of versions of which none is beyond the point. */
static uint64_t naive(size_t stream, const quipu_point *at)
{
    uint64_t version = 0;

    for (uint64_t i = 1; i <= lengths[stream]; i++) {
        const struct history *now = &histories[stream][i];

        if ((at->kind == QUIPU_AT_VERSION && now->version > (uint64_t)at->value) ||
            (at->kind == QUIPU_AT_POSITION && now->position > (uint64_t)at->value) ||
            (at->kind == QUIPU_AT_TIME && now->time_ns > at->value) ||
            (at->kind == QUIPU_AT_RECORDED && now->recorded_ns > at->value))
            break;
        version = i;
    }
    return version;
}

static void compare(quipu *store, const quipu_fold *fold, size_t stream, const quipu_point *at)
{
    struct digest digest = {0};
    uint64_t version = 0;
    uint64_t should = naive(stream, at);
    char name[8];

    stream_name(stream, name);
    cr_assert_eq(load(store, fold, name, at, &digest, &version), QUIPU_OK, "%s", why.text);
    cr_assert(version == should &&
                  memcmp(&digest, &histories[stream][should].digest, sizeof(digest)) == 0,
              "fold %s of %s, point %u %ld: version %lu, not %lu", fold->name, name, at->kind,
              at->value, version, should);
}

static void compare_all(quipu *store, const quipu_fold *folds, size_t count)
{
    for (size_t stream = 0; stream < STREAMS; stream++) {
        read_history(store, stream);
        for (size_t i = 0; i < count; i++) {
            compare(store, &folds[i], stream, &(quipu_point){.kind = QUIPU_AT_HEAD});
            for (uint64_t v = 1; v <= lengths[stream]; v++) {
                const struct history *now = &histories[stream][v];
                const quipu_point points[] = {
                    {.kind = QUIPU_AT_VERSION, .value = (int64_t)v},
                    {.kind = QUIPU_AT_POSITION, .value = (int64_t)now->position},
                    {.kind = QUIPU_AT_POSITION, .value = (int64_t)now->position - 1},
                    {.kind = QUIPU_AT_TIME, .value = now->time_ns},
                    {.kind = QUIPU_AT_TIME, .value = now->time_ns - 1},
                    {.kind = QUIPU_AT_RECORDED, .value = now->recorded_ns},
                    {.kind = QUIPU_AT_RECORDED, .value = now->recorded_ns - 1},
                };

                for (size_t p = 0; p < sizeof(points) / sizeof(points[0]); p++)
                    compare(store, &folds[i], stream, &points[p]);
            }
        }
    }
}

static void append_random(quipu *store, struct support_random *random)
{
    uint8_t data[300];
    quipu_draft draft = {.type = "t", .data = data};
    char name[8];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)support_random(random);
    draft.data_size = (uint32_t)support_random_below(random, sizeof(data));
    if (support_random_below(random, 3) > 0) {
        draft.flags = QUIPU_EVENT_HAS_TIME;
        draft.time_ns = (int64_t)support_random_below(random, 40) - 20;
    }
    stream_name(support_random_below(random, STREAMS), name);
    cr_assert_eq(quipu_append(store, name, QUIPU_ANY, &draft, 1, NULL, &why), QUIPU_OK);
}

static int worth_rarely(const void *state, const quipu_event *event, void *payload)
{
    (void)state;
    (void)payload;
    return event->data_size % 16 == 3;
}

/* Several folds over the same streams, each with other policies; loads of the head now and then. */
Test(snapshot, same_states_on_random_histories)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct support_random random = {seed};
        char path[SUPPORT_PATH_BYTES];
        quipu *store = open_store();
        quipu_fold folds[6];
        uint64_t used = 0;

        for (size_t i = 0; i < 6; i++)
            folds[i] = i % 2 == 0 ? plain_fold() : heap_fold();
        folds[0].snapshot_every = 7;
        folds[1].snapshot_every = 1;
        folds[1].snapshot_keep = 3;
        folds[2].version = 2;
        folds[2].snapshot_bytes = 1000;
        folds[2].snapshot_keep = 2;
        folds[3].version = 2;
        folds[3].worth = worth_rarely;
        folds[3].snapshot_keep = 3;
        folds[4].name = "digest-2";
        folds[4].snapshot_every = 11;
        folds[4].worth = worth_rarely;
        folds[4].snapshot_bytes = 5000;
        folds[4].snapshot_keep = 1000;
        folds[5].name = "none";
        for (int i = 0; i < EVENTS; i++) {
            size_t fold = support_random_below(&random, 6);
            size_t stream = support_random_below(&random, STREAMS);
            char name[8];

            append_random(store, &random);
            heap.padding = support_random_below(&random, 4) * 2000;
            stream_name(stream, name);
            (void)load_head(store, &folds[fold], name);
            if (support_random_below(&random, 30) == 0)
                cr_assert_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_OK);
            if (support_random_below(&random, 30) == 0) {
                used += stat_of(store).snapshots_used;
                quipu_close(store);
                store = open_store();
            }
        }
        compare_all(store, folds, 6);
        used += stat_of(store).snapshots_used;
        cr_expect_gt(used, 100, "only %lu", used);
        for (size_t i = 0; i < 5; i++)
            for (size_t stream = 0; stream < STREAMS; stream++) {
                char name[8];

                stream_name(stream, name);
                heap.padding = 0;
                if (folds[i].save == NULL)
                    cr_expect_neq(quipu_snapshot_check(store, &folds[i], name, &why), QUIPU_CORRUPT,
                                  "%s", why.text);
            }
        quipu_close(store);
        cr_expect_eq(quipu_verify(store_path(path), 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK,
                     "%s", why.text);
        cr_expect_eq(heap.live, 0);
        support_remove(path);
    }
}

/* ---- what is passed over ---- */

/* A store with ten events of "s" and a snapshot of them. */
static quipu *open_with_snapshot(quipu_fold *fold)
{
    quipu *store = open_store();

    *fold = plain_fold();
    append_many(store, "s", 10);
    cr_assert_eq(quipu_snapshot_save(store, fold, "s", NULL, &why), QUIPU_OK, "%s", why.text);
    told[0] = '\0';
    return store;
}

Test(snapshot, of_another_version_or_name)
{
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);

    for (int i = 0; i < 4; i++) {
        quipu_fold other = fold;

        other.version = i == 0 ? 2 : i == 1 ? 0 : 1;
        other.name = i == 2 ? "digest2" : i == 3 ? "diges" : "digest";
        cr_expect_eq(load_head(store, &other, "s"), 10);
        cr_expect_eq(applied, 10, "case %d", i);
    }
    cr_expect_eq(stat_of(store).snapshots_used, 0);
    cr_expect_eq(stat_of(store).snapshots_ignored, 1, "the one before those of version 2");
    cr_expect(strncmp(told,
                      "0 a snapshot of fold digest at s version 10 is ignored: it is of "
                      "another version of the fold",
                      90) == 0,
              "%s", told);
    (void)load_head(store, &fold, "s");
    cr_expect_eq(applied, 0);
    quipu_close(store);
}

/* Rows of the table, behind the library's back. */
static size_t snapshot_key(uint8_t key[QP_KEY_BYTES_MAX], uint64_t version)
{
    const struct qp_snapshot_name name = {QP_LITERAL("s"), QP_LITERAL("digest"), 1, version};
    struct qp_key built;

    qp_key_snapshot(&built, &name);
    memcpy(key, built.bytes, built.size);
    return built.size;
}

static void change_row(uint64_t version, size_t at, uint8_t xor, bool seal)
{
    char path[SUPPORT_PATH_BYTES];
    uint8_t key[QP_KEY_BYTES_MAX];
    uint8_t row[4096];
    size_t key_size = snapshot_key(key, version);
    size_t size;
    struct raw raw;

    raw_begin(&raw, support_path(path, "store/index.mdb"), "snapshots");
    size = raw_get(&raw, raw_key(key, key_size), row);
    cr_assert_lt(at, size);
    row[at] ^= xor;
    if (seal)
        qp_row_seal(QP_TABLE_SNAPSHOTS, (struct qp_bytes){key, key_size}, row, size);
    raw_put(&raw, raw_key(key, key_size), row, size);
    raw_end(&raw);
}

/* Any byte of its row: it is as if there were none, and the next save puts a new one there. */
Test(snapshot, damaged)
{
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);
    char path[SUPPORT_PATH_BYTES];

    for (size_t at = 0; at < 41 + sizeof(struct digest); at += 7) {
        quipu_close(store);
        change_row(10, at, 4, false);
        cr_expect_eq(quipu_verify(store_path(path), 0, NULL, NULL, NULL, NULL, &why), QUIPU_CORRUPT,
                     "byte %zu", at);
        told[0] = '\0';
        store = open_store();
        cr_expect_eq(load_head(store, &fold, "s"), 10, "byte %zu", at);
        cr_expect_eq(applied, 10, "byte %zu", at);
        cr_expect_eq(stat_of(store).snapshots_ignored, 1);
        cr_expect(strstr(told, "1 a snapshot of fold digest at s version 10 is ignored: it is "
                               "damaged") != NULL,
                  "%s", told);
        expect_kept(store, "s", "digest", "?");
        cr_assert_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_OK, "%s", why.text);
        (void)load_head(store, &fold, "s");
        cr_expect_eq(applied, 0);
    }
    quipu_close(store);
    cr_expect_eq(quipu_verify(store_path(path), 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK);
}

/* An older one is used instead. */
Test(snapshot, damaged_and_an_older_one)
{
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);
    struct digest digest;
    uint64_t version;

    fold.snapshot_keep = 2;
    append_many(store, "s", 5);
    cr_assert_eq(quipu_snapshot_save(store, &fold, "s", &version, &why), QUIPU_OK);
    cr_expect_eq(version, 15);
    quipu_close(store);
    change_row(15, 20, 1, false);
    store = open_store();
    cr_expect_eq(load_head(store, &fold, "s"), 15);
    cr_expect_eq(applied, 5);
    fold.snapshot_every = 5; /* the damaged one must not count as one of two */
    append_many(store, "s", 3);
    cr_assert_eq(load(store, &fold, "s", NULL, &digest, &version), QUIPU_OK);
    expect_kept(store, "s", "digest", "10 15");
    quipu_close(store);
}

/* The head of a row, with a right sum: position, chain, edits. The first that stands at nothing. */
Test(snapshot, stale)
{
    static const size_t offsets[] = {9, 17, 25};
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);
    char path[SUPPORT_PATH_BYTES];

    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        quipu_close(store);
        change_row(10, offsets[i], 1, true);
        told[0] = '\0';
        store = open_store();
        expect_kept(store, "s", "digest", "10!");
        cr_expect_eq(load_head(store, &fold, "s"), 10);
        cr_expect_eq(applied, 10, "case %zu", i);
        cr_expect(strstr(told, "of another history") != NULL, "%s", told);
        cr_expect_eq(quipu_verify(store_path(path), 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK,
                     "it is no damage: %s", why.text);
        cr_assert_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_OK);
        expect_kept(store, "s", "digest", "10");
    }
    quipu_close(store);
}

/* The same events again, in another store: only the clock differs, and so the chain. */
Test(snapshot, of_a_log_that_was_replaced)
{
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);
    char path[SUPPORT_PATH_BYTES];
    char index[SUPPORT_PATH_BYTES];
    uint8_t key[QP_KEY_BYTES_MAX];
    uint8_t row[4096];
    size_t key_size = snapshot_key(key, 10);
    size_t size;
    struct raw raw;

    quipu_close(store);
    raw_begin(&raw, support_path(index, "store/index.mdb"), "snapshots");
    size = raw_get(&raw, raw_key(key, key_size), row);
    raw_end(&raw);
    support_remove(store_path(path));
    store = open_store();
    append_many(store, "s", 10);
    quipu_close(store);
    raw_begin(&raw, index, "snapshots");
    raw_put(&raw, raw_key(key, key_size), row, size);
    raw_end(&raw);
    store = open_store();
    cr_expect_eq(load_head(store, &fold, "s"), 10);
    cr_expect_eq(applied, 10, "one of another history was used");
    quipu_close(store);
}

Test(snapshot, newer_than_asked)
{
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);
    const quipu_point at = {.kind = QUIPU_AT_POSITION, .value = 9};
    struct digest digest;
    uint64_t version;

    applied = 0;
    cr_assert_eq(load(store, &fold, "s", &at, &digest, &version), QUIPU_OK);
    cr_expect(version == 9 && digest.count == 9 && applied == 9);
    cr_expect_eq(stat_of(store).snapshots_ignored, 1);
    cr_expect_str_eq(told, "", "nothing is wrong: %s", told);
    quipu_close(store);
}

/* A state of another size, as of a struct that has grown without a new version. */
Test(snapshot, of_another_size)
{
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);
    struct {
        struct digest digest;
        uint64_t more;
    } larger;
    uint64_t version;

    fold.state_size = sizeof(larger);
    applied = 0;
    cr_assert_eq(quipu_load(store, &fold, "s", NULL, &larger, &version, &why), QUIPU_OK);
    cr_expect(version == 10 && larger.digest.count == 10 && larger.more == 0 && applied == 10);
    cr_expect(strstr(told, "the fold cannot load it") != NULL, "%s", told);
    quipu_close(store);
}

/* It may leave anything in the state, which is released and begun anew; then the older one. */
Test(snapshot, that_the_fold_cannot_load)
{
    quipu *store = open_store();
    quipu_fold fold = heap_fold();

    fold.snapshot_every = 5;
    fold.snapshot_keep = 3;
    for (int i = 0; i < 3; i++) {
        append_many(store, "s", 5);
        (void)load_head(store, &fold, "s");
    }
    append_many(store, "s", 1);
    expect_kept(store, "s", "heap", "5 10 15");
    for (int fails = 1; fails <= 4; fails++) {
        told[0] = '\0';
        heap.load_fails = fails;
        heap.loads = 0;
        cr_expect_eq(load_head(store, &fold, "s"), 16, "%d fail", fails);
        cr_expect_eq(applied, fails >= 3 ? 16 : 1 + 5 * (unsigned)fails, "%u", applied);
        cr_expect_eq(heap.loads, fails >= 3 ? 3 : (unsigned)fails + 1, "%u", heap.loads);
        cr_expect_eq(heap.live, 0, "released once for each init");
        cr_expect_eq(strstr(told, "cannot load") != NULL, fails == 1, "told once: %s", told);
        heap.load_fails = 0;
        expect_kept(store, "s", "heap", "5 10 15");
    }
    quipu_close(store);
}

/* What hides events changes what a load folds. No call does it yet. */
Test(snapshot, of_a_stream_that_was_truncated)
{
    const struct qp_stream_row row = {.first_kept = 4};
    enum qp_commit_outcome outcome;
    struct qp_txn txn = {0};
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);
    struct digest digest;
    uint64_t version;

    cr_assert_eq(qp_txn_begin_write(store->handle->log, &txn, &why), QUIPU_OK);
    cr_assert_eq(qp_streams_put(&txn, QP_LITERAL("s"), &row, &why), QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&txn, &outcome, &why), QUIPU_OK);
    qp_txn_end(&txn);
    cr_assert_eq(load(store, &fold, "s", NULL, &digest, &version), QUIPU_OK, "%s", why.text);
    cr_expect(version == 10 && digest.count == 7, "%lu", digest.count);
    expect_kept(store, "s", "digest", "10!");
    quipu_close(store);
}

/* A load that begins behind what is damaged does not meet it. */
Test(snapshot, behind_a_damaged_event)
{
    char path[SUPPORT_PATH_BYTES];
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);
    uint64_t position = 3;
    uint8_t row[4096];
    size_t size;
    struct digest digest;
    struct raw raw;

    cr_assert_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_OK);
    append_many(store, "s", 2);
    quipu_close(store);
    raw_begin(&raw, support_path(path, "store/log.mdb"), "log");
    size = raw_get(&raw, raw_key(&position, sizeof(position)), row);
    row[size - 1] ^= 1;
    raw_put(&raw, raw_key(&position, sizeof(position)), row, size);
    raw_end(&raw);
    store = open_store();
    cr_expect_eq(load_head(store, &fold, "s"), 12);
    cr_expect_eq(applied, 2);
    fold.version = 2;
    cr_expect_eq(load(store, &fold, "s", NULL, &digest, &(uint64_t){0}), QUIPU_CORRUPT);
    quipu_close(store);
}

Test(snapshot, without_an_index)
{
    char path[SUPPORT_PATH_BYTES];
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);

    quipu_close(store);
    support_remove(support_path(path, "store/index.mdb"));
    store = open_with((quipu_options){.flags = QUIPU_OPEN_READ_ONLY});
    cr_expect_eq(load_head(store, &fold, "s"), 10);
    expect_kept(store, "s", "digest", "");
    cr_expect_eq(quipu_snapshot_get(store, "s", "digest", 0, NULL, &(size_t){0}, &why),
                 QUIPU_NOT_FOUND);
    cr_expect_eq(quipu_snapshot_check(store, &fold, "s", &why), QUIPU_NOT_FOUND);
    quipu_close(store);
    store = open_store();
    cr_expect_eq(load_head(store, &fold, "s"), 10);
    cr_expect_eq(applied, 10, "it went with the index");
    cr_expect_eq(stat_of(store).snapshots, 0);
    quipu_close(store);
}

/* ---- saving beside others ---- */

Test(snapshot, read_only)
{
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);

    append_many(store, "s", 5);
    quipu_close(store);
    fold.snapshot_every = 1;
    store = open_with((quipu_options){.flags = QUIPU_OPEN_READ_ONLY});
    cr_expect_eq(load_head(store, &fold, "s"), 15);
    cr_expect_eq(applied, 5, "it uses one");
    expect_kept(store, "s", "digest", "10");
    cr_expect_str_eq(told, "", "%s", told);
    cr_expect_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_READ_ONLY);
    cr_expect_eq(quipu_snapshot_drop(store, NULL, NULL, NULL, &why), QUIPU_READ_ONLY);
    quipu_close(store);
}

/* Another process writes the index: nobody waits who only loads. */
Test(snapshot, while_another_merges)
{
    struct qp_guard other = {.fd = -1};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = open_with((quipu_options){.busy_timeout_ms = 50});
    quipu_fold fold = plain_fold();

    fold.snapshot_every = 5;
    append_many(store, "s", 7);
    other.fd = open(support_path(path, "store/guard"), O_RDWR | O_CLOEXEC);
    cr_assert_eq(qp_guard_try(&other, QP_GUARD_MERGER, QP_GUARD_EXCLUSIVE, &why), QUIPU_ROW);
    cr_expect_eq(load_head(store, &fold, "s"), 7);
    expect_kept(store, "s", "digest", "");
    cr_expect_str_eq(told, "", "%s", told);
    cr_expect_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_BUSY);
    cr_expect_eq(quipu_snapshot_drop(store, "s", NULL, NULL, &why), QUIPU_BUSY);
    qp_guard_unlock(&other, QP_GUARD_MERGER);
    store->handle->merging = true; /* a thread of this process does */
    cr_expect_eq(load_head(store, &fold, "s"), 7);
    expect_kept(store, "s", "digest", "");
    cr_expect_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_BUSY);
    store->handle->merging = false;
    cr_expect_eq(load_head(store, &fold, "s"), 7);
    expect_kept(store, "s", "digest", "5");
    qp_guard_close(&other);
    quipu_close(store);
}

/* After a failed flush nobody knows what the index has on the disk. */
Test(snapshot, poisoned)
{
    quipu *store = open_store();
    quipu_fold fold = plain_fold();

    fold.snapshot_every = 5;
    append_many(store, "s", 7);
    qp_shared_set(&store->handle->shared, QP_SHARED_INDEX_POISONED, true);
    cr_expect_eq(load_head(store, &fold, "s"), 7);
    expect_kept(store, "s", "digest", "");
    cr_expect(strstr(told, "no snapshot of fold digest at s version 5: a flush of the index") !=
                  NULL,
              "%s", told);
    cr_expect_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_IO);
    cr_expect_eq(quipu_snapshot_drop(store, NULL, NULL, NULL, &why), QUIPU_IO);
    qp_shared_set(&store->handle->shared, QP_SHARED_INDEX_POISONED, false);
    cr_expect_eq(store->handle->merging, false);
    cr_expect_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_OK);
    quipu_close(store);
}

/* A slower load must not take the place of a newer snapshot. */
Test(snapshot, older_than_what_is_there)
{
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);
    struct digest digest = {0};
    uint64_t sevens = 7;

    fold.worth = worth_at; /* at version 7, which a load from the snapshot of 10 never sees */
    fold.payload = &sevens;
    quipu_close(store);
    change_row(10, 12, 0x55, false);
    store = open_store();
    (void)load(store, &fold, "s", NULL, &digest, &(uint64_t){0});
    expect_kept(store, "s", "digest", "7"); /* the damaged one is no newer one */
    fold.worth = NULL;
    cr_assert_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_OK);
    expect_kept(store, "s", "digest", "10");
    quipu_close(store);
}

enum { PROCESSES = 4, ROUNDS = 60 };

static int work(uint64_t seed)
{
    struct support_random random = {seed};
    char path[SUPPORT_PATH_BYTES];
    quipu_fold fold = heap_fold();
    quipu *store = NULL;

    fold.snapshot_every = 1 + (uint32_t)seed % 3;
    fold.snapshot_keep = 2;
    heap.padding = 6000;
    if (quipu_open(store_path(path), NULL, &store, NULL) != QUIPU_OK)
        return 1;
    for (int i = 0; i < ROUNDS; i++) {
        char name[8];
        const quipu_draft draft = {.type = "t", .data = &seed, .data_size = sizeof(seed)};
        struct digest digest = {0};
        uint64_t version = 0;

        stream_name(support_random_below(&random, STREAMS), name);
        if (quipu_append(store, name, QUIPU_ANY, &draft, 1, NULL, NULL) != QUIPU_OK)
            return 2;
        if (load(store, &fold, name, NULL, &digest, &version) != QUIPU_OK)
            return 3;
        if (digest.count != version)
            return 4;
    }
    quipu_close(store);
    return 0;
}

Test(snapshot, by_several_processes)
{
    quipu_fold fold = heap_fold();
    char path[SUPPORT_PATH_BYTES];
    pid_t children[PROCESSES];
    quipu *store = open_store(); /* made once */

    quipu_close(store);
    for (uint64_t i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(work(i + 1));
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = 0;

        cr_assert_eq(waitpid(children[i], &status, 0), children[i]);
        cr_expect_eq(status, 0, "%x", (unsigned)status);
    }
    store = open_store();
    cr_expect_leq(stat_of(store).snapshots, 2 * STREAMS);
    cr_expect_gt(stat_of(store).snapshots, 0);
    compare_all(store, &fold, 1);
    quipu_close(store);
    cr_expect_eq(quipu_verify(store_path(path), 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

/* ---- the calls ---- */

Test(snapshot, save_get_list)
{
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);
    struct digest digest = {0};
    struct digest got = {0};
    size_t size = 0;
    uint64_t version = 5;
    quipu_list *list;
    quipu_item item;

    cr_assert_eq(load(store, &fold, "s", NULL, &digest, &version), QUIPU_OK);
    cr_expect_eq(quipu_snapshot_get(store, "s", "digest", 0, NULL, &size, &why), QUIPU_OK);
    cr_expect_eq(size, sizeof(digest));
    cr_expect_eq(quipu_snapshot_get(store, "s", "digest", 10, &got, &size, &why), QUIPU_OK);
    cr_expect_eq(memcmp(&got, &digest, sizeof(got)), 0);
    got = (struct digest){0};
    size = 4;
    cr_expect_eq(quipu_snapshot_get(store, "s", "digest", 10, &got, &size, &why), QUIPU_OK);
    cr_expect(size == sizeof(digest) && memcmp(&got, &digest, 4) == 0 && got.sum == 0, "cut");
    cr_expect_eq(quipu_snapshot_get(store, "s", "digest", 9, NULL, &(size_t){0}, &why),
                 QUIPU_NOT_FOUND);
    cr_expect_eq(quipu_snapshot_get(store, "s", "diges", 0, NULL, &(size_t){0}, &why),
                 QUIPU_NOT_FOUND);
    cr_expect_eq(quipu_snapshot_get(store, "t", "digest", 0, NULL, &(size_t){0}, &why),
                 QUIPU_NOT_FOUND);
    fold.version = 7;
    append_many(store, "s", 1);
    cr_assert_eq(quipu_snapshot_save(store, &fold, "s", &version, &why), QUIPU_OK);
    cr_expect_eq(version, 11);
    cr_assert_eq(quipu_list_open(store, QUIPU_LIST_SNAPSHOTS, "digest", &list, &why), QUIPU_OK);
    cr_assert_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
    cr_expect(strcmp(item.name, "s") == 0 && strcmp(item.key, "digest") == 0 && item.mark == 1 &&
              item.version == 10 && item.position == 10 && item.count == sizeof(digest) &&
              strcmp(item.text, "usable") == 0 && item.time_ns > 0);
    cr_assert_eq(quipu_list_next(list, &item, &why), QUIPU_ROW);
    cr_expect(item.mark == 7 && item.version == 11 && item.position == 11);
    cr_assert_eq(quipu_list_next(list, &item, &why), QUIPU_OK);
    quipu_list_close(list);
    size = sizeof(got);
    cr_expect_eq(quipu_snapshot_get(store, "s", "digest", 0, &got, &size, &why), QUIPU_OK);
    cr_expect_eq(got.count, 11, "of the highest fold version");
    cr_assert_eq(quipu_list_open(store, QUIPU_LIST_SNAPSHOTS, "dig", &list, &why), QUIPU_OK);
    cr_expect_eq(quipu_list_next(list, &item, &why), QUIPU_OK, "a whole name, no prefix");
    quipu_list_close(list);
    version = 5;
    cr_expect_eq(quipu_snapshot_save(store, &fold, "none", &version, &why), QUIPU_OK);
    cr_expect_eq(version, 0, "of no events there is none");
    quipu_close(store);
}

Test(snapshot, drop)
{
    static const char *const names[] = {"digest", "other"};
    quipu *store = open_store();
    quipu_fold fold = plain_fold();
    uint64_t dropped = 9;

    for (int round = 0; round < 2; round++) {
        for (size_t s = 0; s < STREAMS; s++) {
            char name[8];

            stream_name(s, name);
            append_many(store, name, 3);
            for (size_t f = 0; f < 2; f++) {
                fold.name = names[f];
                fold.version = 1;
                cr_assert_eq(quipu_snapshot_save(store, &fold, name, NULL, &why), QUIPU_OK);
                fold.version = 2;
                cr_assert_eq(quipu_snapshot_save(store, &fold, name, NULL, &why), QUIPU_OK);
            }
        }
        cr_expect_eq(stat_of(store).snapshots, 12);
        cr_expect_eq(quipu_snapshot_drop(store, "s-9", NULL, &dropped, &why), QUIPU_OK);
        cr_expect_eq(dropped, 0);
        cr_expect_eq(quipu_snapshot_drop(store, "s", "digest", &dropped, &why), QUIPU_OK);
        cr_expect_eq(dropped, 2);
        expect_kept(store, "s", "digest", "");
        cr_expect_neq(strlen(kept(store, "s", "other")), 0);
        cr_expect_eq(quipu_snapshot_drop(store, "s", NULL, &dropped, &why), QUIPU_OK);
        cr_expect_eq(dropped, 2, "not those of s-2, whose name begins so");
        cr_expect_eq(quipu_snapshot_drop(store, NULL, "other", &dropped, &why), QUIPU_OK);
        cr_expect_eq(dropped, 4);
        cr_expect_eq(quipu_snapshot_drop(store, NULL, NULL, &dropped, &why), QUIPU_OK);
        cr_expect_eq(dropped, 4);
        cr_expect_eq(stat_of(store).snapshots, 0);
    }
    quipu_close(store);
}

/* More than one transaction takes, among others that stay. */
Test(snapshot, drop_many)
{
    enum { MANY = 2500 };
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;
    quipu *store = open_with((quipu_options){.durability = QUIPU_LAZY});
    uint64_t dropped = 0;

    cr_assert_eq(qp_txn_begin_write(store->handle->index, &txn, &why), QUIPU_OK);
    for (uint64_t i = 1; i <= MANY; i++) {
        const struct qp_snapshot snapshot = {
            .name = {QP_LITERAL("s"), i % 2 == 0 ? QP_LITERAL("even") : QP_LITERAL("odd"), 1, i},
            .position = i,
            .state = {"state", 5}};

        cr_assert_eq(qp_snapshot_put(&txn, &snapshot, &why), QUIPU_OK);
    }
    cr_assert_eq(qp_txn_commit(&txn, &outcome, &why), QUIPU_OK);
    qp_txn_end(&txn);
    cr_expect_eq(quipu_snapshot_drop(store, NULL, "odd", &dropped, &why), QUIPU_OK, "%s", why.text);
    cr_expect_eq(dropped, MANY / 2);
    cr_expect_eq(stat_of(store).snapshots, MANY / 2);
    cr_expect_eq(quipu_snapshot_drop(store, "s", NULL, &dropped, &why), QUIPU_OK);
    cr_expect_eq(dropped, MANY / 2);
    quipu_close(store);
}

/* A fold that depends on more than its events. */
static int moody_event(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    ((struct digest *)state)->sum += *(const uint64_t *)payload;
    return digest_event(state, event, NULL, error);
}

Test(snapshot, check)
{
    quipu_fold fold;
    quipu *store = open_with_snapshot(&fold);
    uint64_t mood = 0;

    cr_expect_eq(quipu_snapshot_check(store, &fold, "s", &why), QUIPU_OK, "%s", why.text);
    cr_expect_eq(quipu_snapshot_check(store, &fold, "t", &why), QUIPU_NOT_FOUND);
    fold.snapshot_keep = 2;
    append_many(store, "s", 3);
    cr_assert_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_OK);
    fold.apply = moody_event;
    fold.payload = &mood;
    applied = 0;
    cr_expect_eq(quipu_snapshot_check(store, &fold, "s", &why), QUIPU_OK, "%s", why.text);
    cr_expect_eq(applied, 23, "each from the beginning");
    mood = 1;
    cr_expect_eq(quipu_snapshot_check(store, &fold, "s", &why), QUIPU_CORRUPT);
    cr_expect(strstr(why.text, "fold digest at s version 13") != NULL, "%s", why.text);
    expect_kept(store, "s", "digest", "10 13");
    quipu_close(store);
}

/* The long state of one and the row of another: a load passes over both, a check does not. */
Test(snapshot, check_of_damaged_ones)
{
    const struct qp_snapshot_name name = {QP_LITERAL("s"), QP_LITERAL("heap"), 1, 6};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = open_store();
    quipu_fold fold = heap_fold();
    struct qp_key key;
    struct raw raw;

    fold.snapshot_keep = 3;
    for (size_t i = 0; i < 3; i++) {
        append_many(store, "s", 3);
        heap.padding = i == 2 ? 9000 : 10;
        cr_assert_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_OK);
    }
    expect_kept(store, "s", "heap", "3 6 9");
    quipu_close(store);
    qp_key_blob(&key, 1, 1);
    raw_begin(&raw, support_path(path, "store/index.mdb"), "blobs");
    raw_remove(&raw, raw_key(key.bytes, key.size));
    raw_end(&raw);
    store = open_store();
    cr_expect_eq(quipu_snapshot_check(store, &fold, "s", &why), QUIPU_CORRUPT);
    cr_expect(strstr(why.text, "a part of its value is missing") != NULL, "%s", why.text);
    cr_expect_eq(load_head(store, &fold, "s"), 9);
    cr_expect_eq(applied, 3);
    cr_assert_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_OK, "%s", why.text);
    quipu_close(store);
    qp_key_snapshot(&key, &name);
    raw_begin(&raw, support_path(path, "store/index.mdb"), "snapshots");
    raw_remove(&raw, raw_key(key.bytes, key.size));
    raw_put(&raw, raw_key(key.bytes, key.size), (const uint8_t *)"damaged", 7);
    raw_end(&raw);
    store = open_store();
    cr_expect_eq(quipu_snapshot_check(store, &fold, "s", &why), QUIPU_CORRUPT);
    cr_expect(strstr(why.text, "table snapshots, row s00heap") != NULL, "%s", why.text);
    cr_assert_eq(quipu_snapshot_drop(store, "s", "heap", NULL, &why), QUIPU_OK);
    cr_expect_eq(quipu_snapshot_check(store, &fold, "s", &why), QUIPU_NOT_FOUND);
    quipu_close(store);
}

/* ---- rows that are whole, and cannot be ---- */

static char found_text[400];

static int note_finding(void *payload, const quipu_finding *finding)
{
    size_t size = strlen(found_text);

    (void)payload;
    (void)snprintf(found_text + size, sizeof(found_text) - size, "%s: %s; ", finding->table,
                   finding->text);
    return 0;
}

static void expect_found(const char *expected)
{
    char path[SUPPORT_PATH_BYTES];

    found_text[0] = '\0';
    cr_expect_eq(quipu_verify(store_path(path), 0, note_finding, NULL, NULL, NULL, &why),
                 expected[0] == '\0' ? QUIPU_OK : QUIPU_CORRUPT);
    cr_expect_str_eq(found_text, expected, "\"%s\", not \"%s\"", found_text, expected);
}

static void set_next_blob(uint64_t number)
{
    char path[SUPPORT_PATH_BYTES];
    uint8_t row[4096];
    struct raw raw;
    size_t size;

    raw_begin(&raw, support_path(path, "store/index.mdb"), "meta");
    size = raw_get(&raw, raw_key("blobs", 5), row);
    qp_set_u64(row + QP_ROW_SUM_BYTES, number);
    qp_row_seal(QP_TABLE_INDEX_META, (struct qp_bytes){"blobs", 5}, row, size);
    raw_put(&raw, raw_key("blobs", 5), row, size);
    raw_end(&raw);
}

Test(snapshot, that_cannot_be)
{
    enum { AT_POSITION = 9, AT_NUMBER = 49 };
    quipu_fold fold = plain_fold();
    quipu *store = open_store();

    fold.snapshot_keep = 2;
    append_many(store, "s", 3);
    cr_assert_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_OK);
    quipu_close(store);
    change_row(3, AT_POSITION, 3, true);
    expect_found("snapshots: row s00digest00000000010000000000000003: it stands at no event; ");
    change_row(3, AT_POSITION, 3, true);

    store = open_store();
    fold.state_size = 5000;
    for (int i = 0; i < 2; i++) { /* blobs 1 and 2 */
        append_many(store, "s", 3);
        cr_assert_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_OK);
    }
    quipu_close(store);
    expect_found("");
    set_next_blob(2);
    expect_found("snapshots: row s00digest00000000010000000000000009: the number of its blob was "
                 "never given out; ");
    set_next_blob(3);
    change_row(9, AT_NUMBER, 3, true);
    expect_found("snapshots: blob 1 is the state of several rows; ");
    change_row(9, AT_NUMBER, 3, true);
    expect_found("");
}

/* ---- what `save` may do wrong ---- */

static size_t put_total;

static int put_much(const void *state, quipu_buffer *out, void *payload)
{
    static char bytes[QP_MIB];

    (void)state;
    (void)payload;
    for (size_t done = 0; done < put_total; done += sizeof(bytes))
        (void)quipu_buffer_put(out, bytes, sizeof(bytes));
    return 0; /* it did not look */
}

static int load_any(void *state, const void *bytes, size_t size, void *payload)
{
    (void)state;
    (void)bytes;
    (void)payload;
    return size == put_total ? 0 : 1;
}

Test(snapshot, states_that_are_too_large)
{
    quipu *store = open_store();
    quipu_fold fold = plain_fold();

    cr_expect_eq(quipu_buffer_put(NULL, "x", 1), QUIPU_MISUSE);
    fold.save = put_much;
    fold.load = load_any;
    append_many(store, "s", 2);
    put_total = 65 * QP_MIB;
    cr_expect_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_TOO_LARGE);
    fold.snapshot_every = 1;
    cr_expect_eq(load_head(store, &fold, "s"), 2, "the load goes on");
    cr_expect(strstr(told, "1 no snapshot of fold digest at s version 2: save returned -11") !=
                  NULL,
              "%s", told);
    cr_expect_eq(stat_of(store).snapshots, 0);
    put_total = 64 * QP_MIB;
    cr_expect_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), QUIPU_OK, "%s", why.text);
    expect_kept(store, "s", "digest", "2");
    quipu_close(store);
}

Test(snapshot, that_cannot_be_saved)
{
    quipu *store = open_store();
    quipu_fold fold = heap_fold();

    fold.snapshot_every = 2;
    append_many(store, "s", 5);
    heap.save_fails = 1;
    cr_expect_eq(load_head(store, &fold, "s"), 5);
    expect_kept(store, "s", "heap", "");
    cr_expect(strstr(told, "save returned -1") != NULL, "%s", told);
    heap.save_fails = 1;
    cr_expect_eq(quipu_snapshot_save(store, &fold, "s", NULL, &why), -1);
    cr_expect_eq(load_head(store, &fold, "s"), 5);
    expect_kept(store, "s", "heap", "4");
    cr_expect_eq(heap.live, 0);
    quipu_close(store);
}

/* ---- rows ---- */

Test(snapshot, row_to_the_byte)
{
    const struct qp_snapshot snapshot = {
        .name = {QP_LITERAL("order-1"), QP_LITERAL("total"), 0x01020304, 0x0506},
        .position = 0x1112131415161718,
        .chain = 0x2122232425262728,
        .edits = 3,
        .time_max_ns = -2,
        .state = {"state", 5}};
    struct qp_store *index = support_open_index("index.mdb");
    struct qp_snapshot out;
    struct qp_bytes key = {0};
    struct qp_bytes value = {0};
    struct qp_cursor cursor = {0};
    struct qp_txn txn = {0};

    cr_assert_eq(qp_txn_begin_write(index, &txn, &why), QUIPU_OK);
    cr_assert_eq(qp_snapshot_put(&txn, &snapshot, &why), QUIPU_OK);
    cr_assert_eq(qp_cursor_open(&cursor, &txn, QP_TABLE_SNAPSHOTS, &why), QUIPU_OK);
    cr_assert_eq(qp_cursor_seek(&cursor, QP_FIRST, &key, &value, &why), QUIPU_ROW);
    support_expect_bytes(key.data, key.size, "order-1\0total\0\1\2\3\4\0\0\0\0\0\0\5\6", 26,
                         "the key");
    support_expect_bytes((const char *)value.data + 8, value.size - 8,
                         "\0\x18\x17\x16\x15\x14\x13\x12\x11\x28\x27\x26\x25\x24\x23\x22\x21"
                         "\3\0\0\0\0\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xffstate",
                         38, "the row");
    cr_assert_eq(qp_snapshot_read(&txn, key, value, NULL, &out, &why), QUIPU_ROW);
    cr_expect(out.name.version == 0x0506 && out.name.fold_version == 0x01020304 &&
              out.position == snapshot.position && out.chain == snapshot.chain && out.edits == 3 &&
              out.time_max_ns == -2 && out.state.size == 5 && out.blob == 0);
    cr_expect_eq(qp_snapshot_read(&txn, QP_LITERAL("no key"), value, NULL, &out, &why),
                 QUIPU_CORRUPT);
    cr_expect_eq(out.name.stream.size, 0);
    qp_cursor_close(&cursor);
    qp_txn_end(&txn);
    qp_store_close(index);
}
