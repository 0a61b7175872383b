/* quipu.c - Quipu as a measured system: one batch, used again for every commit. */
#include "peer.h"

#include "quipu.h"

#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES_MAX = 4096 };

struct quipu_store {
    quipu *store;
    quipu_batch *batch;
};

static int fail(struct bench_failure *failure, const char *what, int status, const char *text)
{
    return bench_failure_set(failure, "quipu: %s: %s: %.160s", what, quipu_status_name(status),
                             text);
}

static void quipu_peer_version(char *out, size_t capacity)
{
    int version = quipu_version();

    bench_text_set(out, capacity, "%d.%d.%d", version / 10000, version / 100 % 100, version % 100);
}

static int quipu_peer_close(void *store, struct bench_failure *failure)
{
    struct quipu_store *self = store;

    (void)failure;
    if (self == NULL)
        return 0;
    quipu_batch_free(self->batch);
    quipu_close(self->store);
    free(self);
    return 0;
}

/* `out` has PATH_BYTES_MAX bytes. */
static void store_path(const char *directory, char *out)
{
    bench_text_set(out, PATH_BYTES_MAX, "%s/store", directory);
}

static int open_with(const char *directory, uint32_t flags, void **out,
                     struct bench_failure *failure)
{
    quipu_options options = {QUIPU_INIT(quipu_options), .flags = flags};
    struct quipu_store *self = calloc(1, sizeof(*self));
    quipu_error error = {0};
    char path[PATH_BYTES_MAX];
    int rc;

    *out = NULL;
    if (self == NULL)
        return fail(failure, "open", QUIPU_NO_MEMORY, "");
    store_path(directory, path);
    rc = quipu_open(path, &options, &self->store, &error);
    if (rc < 0) {
        fail(failure, "open", rc, error.text);
        goto done;
    }
    self->batch = quipu_batch_new();
    if (self->batch == NULL)
        rc = fail(failure, "batch", QUIPU_NO_MEMORY, "");

done:
    if (rc < 0) {
        quipu_peer_close(self, failure);
        return -1;
    }
    *out = self;
    return 0;
}

static int quipu_peer_open(const char *directory, void **out, struct bench_failure *failure)
{
    return open_with(directory, 0, out, failure);
}

static int quipu_peer_open_merge_thread(const char *directory, void **out,
                                        struct bench_failure *failure)
{
    return open_with(directory, QUIPU_OPEN_MERGE_THREAD, out, failure);
}

static quipu_draft draft_of(const struct bench_event *event)
{
    quipu_draft draft = {.type = event->type,
                         .data = event->data,
                         .data_size = event->data_size,
                         .data_format = event->packed ? QUIPU_MSGPACK : QUIPU_JSON,
                         .tags = event->tags,
                         .tag_count = event->tag_count,
                         .time_ns = event->time_ns,
                         .flags = QUIPU_EVENT_HAS_TIME};

    if (event->id != NULL) {
        memcpy(draft.id, event->id, sizeof(draft.id));
        draft.flags |= QUIPU_EVENT_HAS_ID;
    }
    return draft;
}

static int quipu_peer_append(void *store, const struct bench_event *events, size_t count,
                             struct bench_failure *failure)
{
    struct quipu_store *self = store;
    quipu_error error = {0};
    size_t i;
    int rc;

    quipu_batch_clear(self->batch);
    for (i = 0; i < count; i++) {
        quipu_draft draft = draft_of(&events[i]);

        rc = quipu_batch_append(self->batch, events[i].stream, QUIPU_ANY, &draft, 1);
        if (rc < 0)
            return fail(failure, "append", rc, events[i].stream);
    }
    rc = quipu_commit(self->store, self->batch, NULL, &error);
    if (rc < 0)
        return fail(failure, "commit", rc, error.text);
    return 0;
}

static int quipu_peer_append_one(void *store, const struct bench_event *event,
                                 struct bench_failure *failure)
{
    struct quipu_store *self = store;
    quipu_draft draft = draft_of(event);
    quipu_error error = {0};
    int rc = quipu_append(self->store, event->stream, QUIPU_ANY, &draft, 1, NULL, &error);

    if (rc < 0)
        return fail(failure, "append", rc, error.text);
    return 0;
}

/* What an asynchronous commit calls. */
struct appended {
    bench_appended_fn call;
    void *payload;
};

static void tell_appended(void *payload, int status, const quipu_receipt *receipt,
                          const quipu_batch *batch, const quipu_error *error)
{
    struct appended *appended = payload;

    (void)receipt;
    (void)batch;
    (void)error;
    appended->call(appended->payload, status);
    free(appended);
}

static int quipu_peer_append_async(void *store, const struct bench_event *event,
                                   bench_appended_fn call, void *payload,
                                   struct bench_failure *failure)
{
    struct quipu_store *self = store;
    struct appended *appended = malloc(sizeof(*appended));
    quipu_batch *batch = quipu_batch_new();
    quipu_draft draft = draft_of(event);
    quipu_error error = {0};
    int rc = QUIPU_NO_MEMORY;

    if (appended != NULL && batch != NULL) {
        *appended = (struct appended){.call = call, .payload = payload};
        (void)quipu_batch_append(batch, event->stream, QUIPU_ANY, &draft, 1); /* told below */
        rc = quipu_commit_async(self->store, batch, tell_appended, appended, &error);
    }
    if (rc < 0) {
        quipu_batch_free(batch);
        free(appended);
        return fail(failure, "append", rc, error.text);
    }
    return 0;
}

static int quipu_peer_flush(void *store, struct bench_failure *failure)
{
    struct quipu_store *self = store;
    quipu_error error = {0};
    int rc = quipu_flush(self->store, &error);

    if (rc < 0)
        return fail(failure, "flush", rc, error.text);
    return 0;
}

static int quipu_peer_wait(void *store, uint64_t after, int timeout_ms, uint64_t *head,
                           struct bench_failure *failure)
{
    struct quipu_store *self = store;
    quipu_error error = {0};
    int rc = quipu_wait(self->store, after, timeout_ms, head, &error);

    if (rc < 0)
        return fail(failure, "wait", rc, error.text);
    return 0;
}

static int quipu_peer_count(void *store, uint64_t *out, struct bench_failure *failure)
{
    struct quipu_store *self = store;
    quipu_error error = {0};
    int rc = quipu_head(self->store, out, &error);

    if (rc < 0)
        return fail(failure, "head", rc, error.text);
    return 0;
}

/* To its end; the reader is closed in any case. */
static int read_all(quipu_reader *reader, struct bench_reading *reading,
                    struct bench_failure *failure)
{
    quipu_error error = {0};
    quipu_event event;
    int rc;

    for (;;) {
        rc = quipu_next(reader, &event, &error);
        if (rc != QUIPU_ROW)
            break;
        bench_reading_add(reading, event.data, event.data_size);
    }
    quipu_reader_close(reader);
    if (rc < 0)
        return fail(failure, "next", rc, error.text);
    return 0;
}

static int quipu_peer_read_stream(void *store, const char *stream, struct bench_reading *reading,
                                  struct bench_failure *failure)
{
    struct quipu_store *self = store;
    quipu_reader *reader = NULL;
    quipu_error error = {0};
    int rc = quipu_read_stream(self->store, stream, NULL, &reader, &error);

    if (rc < 0)
        return fail(failure, "read stream", rc, error.text);
    return read_all(reader, reading, failure);
}

/* The events of a group were recorded at the same moment. */
static int quipu_peer_groups(void *store, uint64_t after, uint64_t *out,
                             struct bench_failure *failure)
{
    struct quipu_store *self = store;
    quipu_range range = {QUIPU_INIT(quipu_range), .after = after};
    quipu_reader *reader = NULL;
    quipu_error error = {0};
    quipu_event event;
    int64_t recorded_ns = INT64_MIN;
    int rc = quipu_read(self->store, NULL, &range, &reader, &error);

    *out = 0;
    if (rc < 0)
        return fail(failure, "read", rc, error.text);
    for (;;) {
        rc = quipu_next(reader, &event, &error);
        if (rc != QUIPU_ROW)
            break;
        *out += event.recorded_ns != recorded_ns ? 1 : 0;
        recorded_ns = event.recorded_ns;
    }
    quipu_reader_close(reader);
    if (rc < 0)
        return fail(failure, "next", rc, error.text);
    return 0;
}

static int read_item(struct quipu_store *self, const quipu_query_item *item,
                     struct bench_reading *reading, struct bench_failure *failure)
{
    quipu_query query = {.items = item, .item_count = 1};
    quipu_reader *reader = NULL;
    quipu_error error = {0};
    int rc = quipu_read(self->store, &query, NULL, &reader, &error);

    if (rc < 0)
        return fail(failure, "read", rc, error.text);
    return read_all(reader, reading, failure);
}

static int quipu_peer_read_category(void *store, const char *category,
                                    struct bench_reading *reading, struct bench_failure *failure)
{
    quipu_query_item item = {.category = category};

    return read_item(store, &item, reading, failure);
}

static int quipu_peer_read_tags(void *store, const char *first, const char *second,
                                struct bench_reading *reading, struct bench_failure *failure)
{
    const char *tags[] = {first, second};
    quipu_query_item item = {.tags = tags, .tag_count = 2};

    return read_item(store, &item, reading, failure);
}

static int quipu_peer_reindex(const char *directory, struct bench_failure *failure)
{
    quipu_error error = {0};
    char path[PATH_BYTES_MAX];
    int rc;

    store_path(directory, path);
    rc = quipu_reindex(path, NULL, NULL, &error);
    if (rc < 0)
        return fail(failure, "reindex", rc, error.text);
    return 0;
}

/* ---- projections ---- */

/* What is no msgpack belongs to another workload. */
static int apply(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    struct bench_change change = {.number = event->position};
    struct bench_state state = {0};
    quipu_value old;
    int rc;

    (void)error;
    if (payload == NULL && event->data_format != QUIPU_MSGPACK)
        return QUIPU_OK;
    rc = quipu_page_get(page, key, key_size, &old);
    if (rc < 0)
        return rc;
    if (event->data_format == QUIPU_MSGPACK &&
        bench_fold_read(event->data, event->data_size, &change) < 0)
        return QUIPU_INVALID;
    if (rc == QUIPU_ROW && old.size == sizeof(state))
        memcpy(&state, old.data, sizeof(state));
    bench_fold_apply(&state, &change);
    return quipu_page_put(page, key, key_size, &state, sizeof(state));
}

#define VIEW "ledger"

static int quipu_peer_project(void *store, struct bench_failure *failure)
{
    const quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 1, .name = VIEW,
                                         .fault_policy = QUIPU_FAULT_STOP, .apply = apply};
    struct quipu_store *self = store;
    quipu_error error = {0};
    int rc = quipu_project(self->store, &projection, NULL, NULL, NULL, &error);

    if (rc < 0)
        return fail(failure, "project", rc, error.text);
    return 0;
}

static int add_state(struct bench_states *states, const quipu_value *value,
                     struct bench_failure *failure)
{
    struct bench_state state;

    if (value->size != sizeof(state))
        return bench_failure_set(failure, "quipu: a state has %zu bytes", value->size);
    memcpy(&state, value->data, sizeof(state));
    bench_fold_add(states, &state);
    return 0;
}

static int open_view(void *store, quipu_view **out, struct bench_failure *failure)
{
    struct quipu_store *self = store;
    quipu_error error = {0};
    int rc = quipu_view_open(self->store, VIEW, out, &error);

    if (rc < 0)
        return fail(failure, "view", rc, error.text);
    return 0;
}

static int quipu_peer_get_states(void *store, const char *const *streams, size_t count,
                                 struct bench_states *states, struct bench_failure *failure)
{
    quipu_view *view = NULL;
    quipu_error error = {0};
    size_t i;
    int rc = open_view(store, &view, failure);

    for (i = 0; i < count && rc == 0; i++) {
        quipu_value value;
        int found = quipu_view_get(view, streams[i], strlen(streams[i]), &value, &error);

        if (found < 0)
            rc = fail(failure, "get", found, error.text);
        else if (found == QUIPU_ROW)
            rc = add_state(states, &value, failure);
    }
    quipu_view_close(view);
    return rc;
}

static int scan(quipu_view *view, const char *prefix, struct bench_states *states,
                struct bench_failure *failure)
{
    quipu_error error = {0};
    int rc = quipu_view_scan(view, prefix, strlen(prefix), NULL, 0, 0, &error);

    while (rc >= 0) {
        quipu_value key;
        quipu_value value;

        rc = quipu_view_next(view, &key, &value, &error);
        if (rc == QUIPU_OK)
            return 0;
        if (rc == QUIPU_ROW && add_state(states, &value, failure) < 0)
            return -1;
    }
    return fail(failure, "scan", rc, error.text);
}

static int quipu_peer_scan_states(void *store, const char *prefix, struct bench_states *states,
                                  struct bench_failure *failure)
{
    quipu_view *view = NULL;
    int rc = open_view(store, &view, failure);

    if (rc == 0)
        rc = scan(view, prefix, states, failure);
    quipu_view_close(view);
    return rc;
}

static int apply_to_state(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    struct bench_change change;

    (void)payload;
    (void)error;
    if (bench_fold_read(event->data, event->data_size, &change) < 0)
        return QUIPU_INVALID;
    bench_fold_apply(state, &change);
    return QUIPU_OK;
}

static int quipu_peer_load_state(void *store, const char *stream, uint64_t snapshot_every,
                                 struct bench_state *out, struct bench_failure *failure)
{
    const quipu_fold fold = {QUIPU_INIT(quipu_fold),
                             .version = 1,
                             .name = VIEW,
                             .state_size = sizeof(*out),
                             .apply = apply_to_state,
                             .snapshot_every = (uint32_t)snapshot_every};
    struct quipu_store *self = store;
    quipu_error error = {0};
    uint64_t version = 0;
    int rc = quipu_load(self->store, &fold, stream, NULL, out, &version, &error);

    if (rc < 0)
        return fail(failure, "load", rc, error.text);
    return 0;
}

/* ---- with an inline projection, from the empty store on ---- */

static int inline_peer_open(const char *directory, void **out, struct bench_failure *failure)
{
    static char every_format[] = "every";
    const quipu_projection projection = {QUIPU_INIT(quipu_projection),
                                         .version = 1,
                                         .name = VIEW,
                                         .mode = QUIPU_INLINE,
                                         .fault_policy = QUIPU_FAULT_STOP,
                                         .apply = apply,
                                         .payload = every_format};
    struct bench_failure ignored;
    struct quipu_store *self;
    quipu_error error = {0};
    int rc;

    rc = open_with(directory, 0, out, failure);
    self = *out;
    if (rc < 0 || self == NULL)
        return -1;
    rc = quipu_register(self->store, &projection, &error);
    if (rc == QUIPU_OK)
        return 0;
    fail(failure, "register", rc, error.text);
    quipu_peer_close(self, &ignored);
    *out = NULL;
    return -1;
}

/* Those that are in the view. */
static int inline_peer_count(void *store, uint64_t *out, struct bench_failure *failure)
{
    struct bench_states states = {0};

    if (quipu_peer_scan_states(store, "", &states, failure) < 0)
        return -1;
    *out = states.events;
    return 0;
}

const struct bench_peer bench_peer_inline = {
    .name = "inline",
    .settings = "Quipu with default options and an inline projection that keeps 32 bytes a stream; "
                "its events are counted in the view",
    .on_request = 1,
    .version = quipu_peer_version,
    .open = inline_peer_open,
    .append = quipu_peer_append,
    .count = inline_peer_count,
    .close = quipu_peer_close,
    .append_one = quipu_peer_append_one,
    .processes = 1,
    .append_async = quipu_peer_append_async,
    .flush = quipu_peer_flush,
    .groups = quipu_peer_groups,
};

const struct bench_peer bench_peer_quipu = {
    .name = "quipu",
    .settings = "default options; one batch of many streams a commit, versions not checked but "
                "counted by the store",
    .version = quipu_peer_version,
    .open = quipu_peer_open,
    .append = quipu_peer_append,
    .count = quipu_peer_count,
    .close = quipu_peer_close,
    .read_stream = quipu_peer_read_stream,
    .read_category = quipu_peer_read_category,
    .read_tags = quipu_peer_read_tags,
    .reindex = quipu_peer_reindex,
    .append_one = quipu_peer_append_one,
    .processes = 1,
    .append_async = quipu_peer_append_async,
    .flush = quipu_peer_flush,
    .wait = quipu_peer_wait,
    .open_merge_thread = quipu_peer_open_merge_thread,
    .groups = quipu_peer_groups,
    .project = quipu_peer_project,
    .load_state = quipu_peer_load_state,
    .get_states = quipu_peer_get_states,
    .scan_states = quipu_peer_scan_states,
};
