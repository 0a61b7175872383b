/* lmdb.c - a default LMDB, as a programmer builds an event store on it first: one environment with
 * default flags, and three tables.
 *
 *     events    position                  -> head, stream, type, data
 *     streams   stream 0 version          -> position
 *     ids       stream 0 id               -> position, of events that have one
 *
 * Numbers in keys of `streams` are big-endian, so that they sort. There is no index of categories.
 */
#include "peer.h"

#include <lmdb.h>

#include <stdlib.h>
#include <string.h>

enum {
    NAME_BYTES_MAX = 255,
    VERSION_BYTES = 4,
    KEY_BYTES_MAX = NAME_BYTES_MAX + 1 + BENCH_ID_BYTES, /* the longest: an id's */
    FILE_MODE = 0600
};

#define MAP_BYTES ((size_t)256 << 30)

struct lmdb_store {
    MDB_env *env;
    MDB_dbi events;
    MDB_dbi streams;
    MDB_dbi ids;
};

/* Before an event's texts. */
struct head {
    int64_t time_ns;
    uint32_t version;
    uint32_t stream_size;
    uint32_t type_size;
    uint32_t data_size;
};

static int fail(struct bench_failure *failure, const char *what, int rc)
{
    return bench_failure_set(failure, "lmdb: %s: %.200s", what, mdb_strerror(rc));
}

static void lmdb_peer_version(char *out, size_t capacity)
{
    int major;
    int minor;
    int patch;

    mdb_version(&major, &minor, &patch);
    bench_text_set(out, capacity, "%d.%d.%d", major, minor, patch);
}

static int lmdb_peer_close(void *store, struct bench_failure *failure)
{
    struct lmdb_store *self = store;

    (void)failure;
    if (self == NULL)
        return 0;
    mdb_env_close(self->env);
    free(self);
    return 0;
}

static int open_tables(struct lmdb_store *self)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(self->env, NULL, 0, &txn);

    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, "events", MDB_CREATE | MDB_INTEGERKEY, &self->events);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "streams", MDB_CREATE, &self->streams);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "ids", MDB_CREATE, &self->ids);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

static int lmdb_peer_open(const char *directory, void **out, struct bench_failure *failure)
{
    struct lmdb_store *self = calloc(1, sizeof(*self));
    int rc;

    *out = NULL;
    if (self == NULL)
        return bench_failure_set(failure, "lmdb: out of memory");
    rc = mdb_env_create(&self->env);
    if (rc != 0) {
        free(self);
        return fail(failure, "create", rc);
    }
    rc = mdb_env_set_maxdbs(self->env, 3);
    if (rc == 0)
        rc = mdb_env_set_mapsize(self->env, MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_open(self->env, directory, 0, FILE_MODE);
    if (rc == 0)
        rc = open_tables(self);
    if (rc != 0) {
        fail(failure, "open", rc);
        lmdb_peer_close(self, failure);
        return -1;
    }
    *out = self;
    return 0;
}

/* Returns: the size of the key in `key`, KEY_BYTES_MAX bytes; names are at most NAME_BYTES_MAX. */
static size_t make_key(const char *stream, size_t size, uint32_t version, unsigned char *key)
{
    size_t i;

    memcpy(key, stream, size);
    key[size] = 0;
    for (i = 0; i < VERSION_BYTES; i++)
        key[size + 1 + i] = (unsigned char)(version >> (8 * (VERSION_BYTES - 1 - i)));
    return size + 1 + VERSION_BYTES;
}

static int put_event(struct lmdb_store *self, MDB_txn *txn, uint64_t position,
                     const struct bench_event *event)
{
    struct head head = {.time_ns = event->time_ns,
                        .version = event->version,
                        .stream_size = event->stream_size,
                        .type_size = event->type_size,
                        .data_size = event->data_size};
    unsigned char stream_key[KEY_BYTES_MAX];
    MDB_val key = {.mv_size = sizeof(position), .mv_data = &position};
    MDB_val value = {.mv_size =
                         sizeof(head) + event->stream_size + event->type_size + event->data_size};
    unsigned char *bytes;
    int rc;

    if (event->stream_size > NAME_BYTES_MAX)
        return MDB_BAD_VALSIZE;
    rc = mdb_put(txn, self->events, &key, &value, MDB_RESERVE);
    if (rc != 0)
        return rc;
    bytes = value.mv_data;
    memcpy(bytes, &head, sizeof(head));
    bytes += sizeof(head);
    memcpy(bytes, event->stream, event->stream_size);
    bytes += event->stream_size;
    memcpy(bytes, event->type, event->type_size);
    bytes += event->type_size;
    memcpy(bytes, event->data, event->data_size);

    value = (MDB_val){.mv_size = sizeof(position), .mv_data = &position};
    key.mv_data = stream_key;
    key.mv_size = make_key(event->stream, event->stream_size, event->version, stream_key);
    rc = mdb_put(txn, self->streams, &key, &value, MDB_NOOVERWRITE);
    if (rc != 0 || event->id == NULL)
        return rc;

    memcpy(stream_key + event->stream_size + 1, event->id, BENCH_ID_BYTES);
    key.mv_size = event->stream_size + 1 + BENCH_ID_BYTES;
    return mdb_put(txn, self->ids, &key, &value, MDB_NOOVERWRITE);
}

/* The newest position, 0 if there is none. */
static int read_head(struct lmdb_store *self, MDB_txn *txn, uint64_t *out)
{
    MDB_cursor *cursor = NULL;
    MDB_val value;
    MDB_val key;
    int rc = mdb_cursor_open(txn, self->events, &cursor);

    *out = 0;
    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    if (rc == 0)
        memcpy(out, key.mv_data, sizeof(*out));
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int lmdb_peer_append(void *store, const struct bench_event *events, size_t count,
                            struct bench_failure *failure)
{
    struct lmdb_store *self = store;
    MDB_txn *txn = NULL;
    uint64_t position = 0;
    size_t i;
    int rc = mdb_txn_begin(self->env, NULL, 0, &txn);

    if (rc != 0)
        return fail(failure, "begin", rc);
    rc = read_head(self, txn, &position);
    for (i = 0; i < count && rc == 0; i++)
        rc = put_event(self, txn, position + 1 + i, &events[i]);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return fail(failure, "put", rc);
    }
    rc = mdb_txn_commit(txn);
    if (rc != 0)
        return fail(failure, "commit", rc);
    return 0;
}

/* A write transaction is its thread's, and the next one waits for LMDB's lock. */
static int lmdb_peer_append_one(void *store, const struct bench_event *event,
                                struct bench_failure *failure)
{
    return lmdb_peer_append(store, event, 1, failure);
}

static int lmdb_peer_count(void *store, uint64_t *out, struct bench_failure *failure)
{
    struct lmdb_store *self = store;
    MDB_txn *txn = NULL;
    MDB_stat stat;
    int rc = mdb_txn_begin(self->env, NULL, MDB_RDONLY, &txn);

    if (rc != 0)
        return fail(failure, "begin", rc);
    rc = mdb_stat(txn, self->events, &stat);
    mdb_txn_abort(txn);
    if (rc != 0)
        return fail(failure, "count", rc);
    *out = stat.ms_entries;
    return 0;
}

/* Each transaction is flushed, and has one event. */
static int lmdb_peer_groups(void *store, uint64_t after, uint64_t *out,
                            struct bench_failure *failure)
{
    uint64_t events = 0;
    int rc = lmdb_peer_count(store, &events, failure);

    *out = events - after;
    return rc;
}

/* The event that an entry of `streams` stands for. */
static int read_event(struct lmdb_store *self, MDB_txn *txn, const MDB_val *position,
                      struct bench_reading *reading)
{
    uint64_t aligned; /* as it stands in the table it need not be */
    MDB_val key = {.mv_size = sizeof(aligned), .mv_data = &aligned};
    struct head head;
    MDB_val value;
    int rc;

    memcpy(&aligned, position->mv_data, sizeof(aligned));
    rc = mdb_get(txn, self->events, &key, &value);
    if (rc != 0)
        return rc;
    memcpy(&head, value.mv_data, sizeof(head));
    bench_reading_add(reading,
                      (const unsigned char *)value.mv_data + sizeof(head) + head.stream_size +
                          head.type_size,
                      head.data_size);
    return 0;
}

/* All entries of `streams` that begin with the stream's name and its 0. */
static int read_entries(struct lmdb_store *self, MDB_txn *txn, MDB_cursor *cursor,
                        const char *stream, struct bench_reading *reading)
{
    unsigned char prefix[KEY_BYTES_MAX];
    size_t prefix_size = strlen(stream) + 1;
    MDB_val key = {.mv_data = prefix};
    MDB_val position;
    int rc;

    key.mv_size = make_key(stream, prefix_size - 1, 0, prefix);
    rc = mdb_cursor_get(cursor, &key, &position, MDB_SET_RANGE);
    while (rc == 0) {
        if (key.mv_size != prefix_size + VERSION_BYTES ||
            memcmp(key.mv_data, stream, prefix_size) != 0)
            return 0;
        rc = read_event(self, txn, &position, reading);
        if (rc == 0)
            rc = mdb_cursor_get(cursor, &key, &position, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int lmdb_peer_read_stream(void *store, const char *stream, struct bench_reading *reading,
                                 struct bench_failure *failure)
{
    struct lmdb_store *self = store;
    MDB_cursor *cursor = NULL;
    MDB_txn *txn = NULL;
    int rc;

    if (strlen(stream) > NAME_BYTES_MAX)
        return fail(failure, "read stream", MDB_BAD_VALSIZE);
    rc = mdb_txn_begin(self->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return fail(failure, "begin", rc);
    rc = mdb_cursor_open(txn, self->streams, &cursor);
    if (rc == 0) {
        rc = read_entries(self, txn, cursor, stream, reading);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc == 0 ? 0 : fail(failure, "read stream", rc);
}

const struct bench_peer bench_peer_lmdb = {
    .name = "lmdb",
    .settings = "a default environment (sync, with read-ahead), map of 256 GiB; tables by position "
                "and by stream and version, versions counted by the loader in its favour; ids by "
                "stream and id",
    .version = lmdb_peer_version,
    .open = lmdb_peer_open,
    .append = lmdb_peer_append,
    .count = lmdb_peer_count,
    .close = lmdb_peer_close,
    .read_stream = lmdb_peer_read_stream,
    .append_one = lmdb_peer_append_one,
    .processes = 1,
    .groups = lmdb_peer_groups,
};
