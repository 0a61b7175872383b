/* sqlite.c - SQLite as an event store: one table, one unique index on (stream, version), statements
 * prepared once, one transaction a commit. A store to be read has an index on the category too.
 *
 * Tags have a number each, and a table of (tag, position) in the order of both. */
#include "peer.h"

#include <sqlite3.h>

#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES_MAX = 4096 };

struct sqlite_store {
    sqlite3 *db;
    sqlite3_stmt *begin;
    sqlite3_stmt *insert;
    sqlite3_stmt *commit;
    sqlite3_stmt *read_stream; /* these and all below NULL until they are used */
    sqlite3_stmt *read_category;
    sqlite3_stmt *name_tag;
    sqlite3_stmt *insert_tag;
    sqlite3_stmt *order_tags;
    sqlite3_stmt *read_tags;
    sqlite3_stmt *read_checkpoint;
    sqlite3_stmt *put_checkpoint;
    sqlite3_stmt *read_page;
    sqlite3_stmt *put_state;
    sqlite3_stmt *get_state;
    sqlite3_stmt *scan_states;
    sqlite3_stmt *begin_read;
    int keeps_ids;
};

enum { COLUMN_STREAM = 1, COLUMN_VERSION, COLUMN_TYPE, COLUMN_TIME, COLUMN_DATA, COLUMN_ID };

/* The fastest of fifteen settings at a million events: pages of 4 to 64 KiB, caches of 64 and 256
 * MiB, logs of 60 to 256 MiB; the next best were within a tenth. Not tried: locking_mode EXCLUSIVE,
 * because Quipu lets other processes in. */
static const char schema[] =
    "PRAGMA page_size = 4096;"
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = FULL;"
    "PRAGMA cache_size = -262144;"
    "PRAGMA wal_autocheckpoint = 32768;"
    "CREATE TABLE IF NOT EXISTS events(position INTEGER PRIMARY KEY, stream TEXT NOT NULL,"
    " version INTEGER NOT NULL, type TEXT NOT NULL, time INTEGER NOT NULL, data BLOB, meta BLOB,"
    " id BLOB);"
    "CREATE UNIQUE INDEX IF NOT EXISTS events_stream ON events(stream, version);"
    "CREATE TABLE IF NOT EXISTS tags(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " events INTEGER);"
    "CREATE TABLE IF NOT EXISTS event_tags(tag INTEGER NOT NULL, position INTEGER NOT NULL,"
    " PRIMARY KEY(tag, position)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS checkpoint(id INTEGER PRIMARY KEY, position INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS states(stream TEXT PRIMARY KEY, count INTEGER NOT NULL,"
    " number INTEGER NOT NULL, cents INTEGER NOT NULL, most INTEGER NOT NULL) WITHOUT ROWID;";

static int fail(struct bench_failure *failure, const char *what, sqlite3 *db)
{
    return bench_failure_set(failure, "sqlite: %s: %.200s", what,
                             db != NULL ? sqlite3_errmsg(db) : "out of memory");
}

static void sqlite_peer_version(char *out, size_t capacity)
{
    bench_text_set(out, capacity, "%s", sqlite3_libversion());
}

static int sqlite_peer_close(void *store, struct bench_failure *failure)
{
    struct sqlite_store *self = store;
    int rc = 0;

    if (self == NULL)
        return 0;
    sqlite3_finalize(self->begin);
    sqlite3_finalize(self->insert);
    sqlite3_finalize(self->commit);
    sqlite3_finalize(self->read_stream);
    sqlite3_finalize(self->read_category);
    sqlite3_finalize(self->name_tag);
    sqlite3_finalize(self->insert_tag);
    sqlite3_finalize(self->order_tags);
    sqlite3_finalize(self->read_tags);
    sqlite3_finalize(self->read_checkpoint);
    sqlite3_finalize(self->put_checkpoint);
    sqlite3_finalize(self->read_page);
    sqlite3_finalize(self->put_state);
    sqlite3_finalize(self->get_state);
    sqlite3_finalize(self->scan_states);
    sqlite3_finalize(self->begin_read);
    if (sqlite3_close(self->db) != SQLITE_OK)
        rc = fail(failure, "close", self->db);
    free(self);
    return rc;
}

static int prepare(struct sqlite_store *self, const char *sql, sqlite3_stmt **out,
                   struct bench_failure *failure)
{
    if (sqlite3_prepare_v3(self->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK)
        return fail(failure, sql, self->db);
    return 0;
}

static int prepare_all(struct sqlite_store *self, struct bench_failure *failure)
{
    if (prepare(self, "BEGIN IMMEDIATE", &self->begin, failure) < 0)
        return -1;
    if (prepare(self, "COMMIT", &self->commit, failure) < 0)
        return -1;
    return prepare(self,
                   "INSERT INTO events(stream, version, type, time, data, id)"
                   " VALUES(?, ?, ?, ?, ?, ?)",
                   &self->insert, failure);
}

/* SQLite keeps silent where it cannot have WAL, and what is printed must be what was measured. */
static int check_wal(struct sqlite_store *self, struct bench_failure *failure)
{
    sqlite3_stmt *statement = NULL;
    int rc = prepare(self, "PRAGMA journal_mode", &statement, failure);

    if (rc < 0)
        return rc;
    if (sqlite3_step(statement) != SQLITE_ROW ||
        strcmp((const char *)sqlite3_column_text(statement, 0), "wal") != 0)
        rc = bench_failure_set(failure, "sqlite: no WAL on this file system");
    sqlite3_finalize(statement);
    return rc;
}

static int sqlite_peer_open(const char *directory, void **out, struct bench_failure *failure)
{
    struct sqlite_store *self = calloc(1, sizeof(*self));
    char path[PATH_BYTES_MAX];
    int rc = -1;

    *out = NULL;
    if (self == NULL)
        return fail(failure, "open", NULL);
    bench_text_set(path, sizeof(path), "%s/events.db", directory);
    if (sqlite3_open(path, &self->db) != SQLITE_OK ||
        sqlite3_exec(self->db, schema, NULL, NULL, NULL) != SQLITE_OK) {
        fail(failure, "open", self->db);
        goto done;
    }
    rc = check_wal(self, failure);
    if (rc < 0)
        goto done;
    rc = prepare_all(self, failure);

done:
    if (rc < 0) {
        struct bench_failure ignored;

        sqlite_peer_close(self, &ignored);
        return -1;
    }
    *out = self;
    return 0;
}

/* Run a statement that gives no rows, and make it ready for the next time. */
static int run(struct sqlite_store *self, sqlite3_stmt *statement, struct bench_failure *failure)
{
    int rc = 0;

    if (sqlite3_step(statement) != SQLITE_DONE)
        rc = fail(failure, sqlite3_sql(statement), self->db);
    sqlite3_reset(statement);
    return rc;
}

static int insert(struct sqlite_store *self, const struct bench_event *event,
                  struct bench_failure *failure)
{
    sqlite3_stmt *row = self->insert;

    if (sqlite3_bind_text(row, COLUMN_STREAM, event->stream, (int)event->stream_size,
                          SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_int64(row, COLUMN_VERSION, event->version) != SQLITE_OK ||
        sqlite3_bind_text(row, COLUMN_TYPE, event->type, (int)event->type_size, SQLITE_STATIC) !=
            SQLITE_OK ||
        sqlite3_bind_int64(row, COLUMN_TIME, event->time_ns) != SQLITE_OK ||
        sqlite3_bind_blob(row, COLUMN_DATA, event->data, (int)event->data_size, SQLITE_STATIC) !=
            SQLITE_OK)
        return fail(failure, "bind", self->db);
    if (event->id != NULL &&
        sqlite3_bind_blob(row, COLUMN_ID, event->id, BENCH_ID_BYTES, SQLITE_STATIC) != SQLITE_OK)
        return fail(failure, "bind", self->db);
    return run(self, row, failure);
}

/* A statement is prepared when it is first used. */
static int prepare_once(struct sqlite_store *self, const char *sql, sqlite3_stmt **statement,
                        struct bench_failure *failure)
{
    return *statement != NULL ? 0 : prepare(self, sql, statement, failure);
}

/* The tag of the event at `position`. */
static int insert_tag(struct sqlite_store *self, const char *tag, sqlite3_int64 position,
                      struct bench_failure *failure)
{
    if (prepare_once(self, "INSERT OR IGNORE INTO tags(name) VALUES(?)", &self->name_tag, failure) <
            0 ||
        prepare_once(
            self, "INSERT INTO event_tags(tag, position) SELECT id, ?2 FROM tags WHERE name = ?1",
            &self->insert_tag, failure) < 0)
        return -1;
    if (sqlite3_bind_text(self->name_tag, 1, tag, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_text(self->insert_tag, 1, tag, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_int64(self->insert_tag, 2, position) != SQLITE_OK)
        return fail(failure, "bind", self->db);
    if (run(self, self->name_tag, failure) < 0)
        return -1;
    return run(self, self->insert_tag, failure);
}

static int insert_tags(struct sqlite_store *self, const struct bench_event *event,
                       struct bench_failure *failure)
{
    sqlite3_int64 position = sqlite3_last_insert_rowid(self->db);
    uint32_t i;

    for (i = 0; i < event->tag_count; i++) {
        if (insert_tag(self, event->tags[i], position, failure) < 0)
            return -1;
    }
    return 0;
}

/* From the first event on that has an id, ids must be unique in its stream, as Quipu's are. */
static int keep_ids(struct sqlite_store *self, const struct bench_event *event,
                    struct bench_failure *failure)
{
    if (event->id == NULL || self->keeps_ids)
        return 0;
    if (sqlite3_exec(self->db, "CREATE UNIQUE INDEX IF NOT EXISTS events_id ON events(stream, id)",
                     NULL, NULL, NULL) != SQLITE_OK)
        return fail(failure, "ids", self->db);
    self->keeps_ids = 1;
    return 0;
}

static int sqlite_peer_append(void *store, const struct bench_event *events, size_t count,
                              struct bench_failure *failure)
{
    struct sqlite_store *self = store;
    size_t i;

    if (keep_ids(self, events, failure) < 0 || run(self, self->begin, failure) < 0)
        return -1;
    for (i = 0; i < count; i++) {
        if (insert(self, &events[i], failure) < 0 || insert_tags(self, &events[i], failure) < 0)
            return -1;
    }
    return run(self, self->commit, failure);
}

static int sqlite_peer_count(void *store, uint64_t *out, struct bench_failure *failure)
{
    struct sqlite_store *self = store;
    sqlite3_stmt *statement = NULL;
    int rc = prepare(self, "SELECT count(*) FROM events", &statement, failure);

    if (rc < 0)
        return rc;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        *out = (uint64_t)sqlite3_column_int64(statement, 0);
    } else {
        rc = fail(failure, "count", self->db);
    }
    sqlite3_finalize(statement);
    return rc;
}

/* The rows of a statement that has its values: the data comes first in each. */
static int read_rows(struct sqlite_store *self, sqlite3_stmt *statement,
                     struct bench_reading *reading, struct bench_failure *failure)
{
    int step = SQLITE_DONE;
    int rc = 0;

    for (;;) {
        const void *data;

        step = sqlite3_step(statement);
        if (step != SQLITE_ROW)
            break;
        data = sqlite3_column_blob(statement, 0); /* before its size: SQLite wants it so */
        bench_reading_add(reading, data, (size_t)sqlite3_column_bytes(statement, 0));
    }
    if (step != SQLITE_DONE)
        rc = fail(failure, sqlite3_sql(statement), self->db);
    sqlite3_reset(statement);
    return rc;
}

/* The rows of a statement with one name to look for. */
static int read_named(struct sqlite_store *self, sqlite3_stmt **statement, const char *sql,
                      const char *name, struct bench_reading *reading,
                      struct bench_failure *failure)
{
    if (prepare_once(self, sql, statement, failure) < 0)
        return -1;
    if (sqlite3_bind_text(*statement, 1, name, -1, SQLITE_STATIC) != SQLITE_OK)
        return fail(failure, "bind", self->db);
    return read_rows(self, *statement, reading, failure);
}

static int sqlite_peer_read_stream(void *store, const char *stream, struct bench_reading *reading,
                                   struct bench_failure *failure)
{
    struct sqlite_store *self = store;

    return read_named(self, &self->read_stream,
                      "SELECT data, type, time, version FROM events WHERE stream = ?"
                      " ORDER BY version",
                      stream, reading, failure);
}

static int sqlite_peer_read_category(void *store, const char *category,
                                     struct bench_reading *reading, struct bench_failure *failure)
{
    struct sqlite_store *self = store;

    return read_named(self, &self->read_category,
                      "SELECT data, type, time, stream, version FROM events WHERE category = ?"
                      " ORDER BY position",
                      category, reading, failure);
}

/* The numbers of two tags, of the shorter list first. */
static int order_tags(struct sqlite_store *self, const char *first, const char *second,
                      sqlite3_int64 ids[2], struct bench_failure *failure)
{
    int count = 0;
    int rc = 0;

    if (prepare_once(self, "SELECT id FROM tags WHERE name IN (?, ?) ORDER BY events",
                     &self->order_tags, failure) < 0)
        return -1;
    if (sqlite3_bind_text(self->order_tags, 1, first, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_text(self->order_tags, 2, second, -1, SQLITE_STATIC) != SQLITE_OK)
        return fail(failure, "bind", self->db);
    while (count < 2 && sqlite3_step(self->order_tags) == SQLITE_ROW) {
        ids[count] = sqlite3_column_int64(self->order_tags, 0);
        count++;
    }
    if (count < 2)
        rc = fail(failure, "tags", self->db);
    sqlite3_reset(self->order_tags);
    return rc;
}

/* Left to itself SQLite takes the lists in the order in which they are named, and with a long one
 * first it needs 25 times as long. What INTERSECT makes of two long ones takes twice as long. */
static int sqlite_peer_read_tags(void *store, const char *first, const char *second,
                                 struct bench_reading *reading, struct bench_failure *failure)
{
    struct sqlite_store *self = store;
    sqlite3_int64 ids[2] = {0};

    if (order_tags(self, first, second, ids, failure) < 0)
        return -1;
    if (prepare_once(self,
                     "SELECT e.data, e.type, e.time, e.stream, e.version FROM event_tags a"
                     " CROSS JOIN event_tags b ON b.tag = ? AND b.position = a.position"
                     " CROSS JOIN events e ON e.position = a.position"
                     " WHERE a.tag = ? ORDER BY a.position",
                     &self->read_tags, failure) < 0)
        return -1;
    if (sqlite3_bind_int64(self->read_tags, 1, ids[1]) != SQLITE_OK ||
        sqlite3_bind_int64(self->read_tags, 2, ids[0]) != SQLITE_OK)
        return fail(failure, "bind", self->db);
    return read_rows(self, self->read_tags, reading, failure);
}

/* ---- projections ---- */

enum { PAGE_EVENTS = 500 /* folded in one transaction */ };

static int read_checkpoint(struct sqlite_store *self, sqlite3_int64 *out,
                           struct bench_failure *failure)
{
    int step;

    *out = 0;
    if (prepare_once(self, "SELECT position FROM checkpoint WHERE id = 1", &self->read_checkpoint,
                     failure) < 0)
        return -1;
    step = sqlite3_step(self->read_checkpoint);
    if (step == SQLITE_ROW)
        *out = sqlite3_column_int64(self->read_checkpoint, 0);
    sqlite3_reset(self->read_checkpoint);
    return step == SQLITE_ROW || step == SQLITE_DONE ? 0 : fail(failure, "checkpoint", self->db);
}

static int put_checkpoint(struct sqlite_store *self, sqlite3_int64 position,
                          struct bench_failure *failure)
{
    if (prepare_once(self, "REPLACE INTO checkpoint(id, position) VALUES(1, ?)",
                     &self->put_checkpoint, failure) < 0)
        return -1;
    if (sqlite3_bind_int64(self->put_checkpoint, 1, position) != SQLITE_OK)
        return fail(failure, "bind", self->db);
    return run(self, self->put_checkpoint, failure);
}

/* The row that `page` stands at. One statement is faster than a read and a write. */
static int fold_event(struct sqlite_store *self, sqlite3_stmt *page, struct bench_failure *failure)
{
    sqlite3_stmt *put = self->put_state;
    struct bench_change change;
    const void *data = sqlite3_column_blob(page, 2); /* before its size: SQLite wants it so */
    const char *stream = (const char *)sqlite3_column_text(page, 1);

    if (bench_fold_read(data, (size_t)sqlite3_column_bytes(page, 2), &change) < 0)
        return bench_failure_set(failure, "sqlite: an event cannot be read");
    if (sqlite3_bind_text(put, 1, stream, sqlite3_column_bytes(page, 1), SQLITE_STATIC) !=
            SQLITE_OK ||
        sqlite3_bind_int64(put, 2, (sqlite3_int64)change.number) != SQLITE_OK ||
        sqlite3_bind_int64(put, 3, change.cents) != SQLITE_OK)
        return fail(failure, "bind", self->db);
    return run(self, put, failure);
}

/* Within a transaction. Returns: how many events, or -1. */
static int fold_page(struct sqlite_store *self, struct bench_failure *failure)
{
    sqlite3_stmt *page = self->read_page;
    sqlite3_int64 position = 0;
    int step = SQLITE_DONE;
    int count = 0;
    int rc = read_checkpoint(self, &position, failure);

    if (rc == 0 && (sqlite3_bind_int64(page, 1, position) != SQLITE_OK ||
                    sqlite3_bind_int(page, 2, PAGE_EVENTS) != SQLITE_OK))
        rc = fail(failure, "bind", self->db);
    while (rc == 0) {
        step = sqlite3_step(page);
        if (step != SQLITE_ROW)
            break;
        position = sqlite3_column_int64(page, 0);
        rc = fold_event(self, page, failure);
        count++;
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = fail(failure, "page", self->db);
    sqlite3_reset(page);
    if (rc == 0)
        rc = put_checkpoint(self, position, failure);
    return rc == 0 ? count : -1;
}

static int sqlite_peer_project(void *store, struct bench_failure *failure)
{
    struct sqlite_store *self = store;
    int count = PAGE_EVENTS;

    if (prepare_once(self,
                     "SELECT position, stream, data FROM events WHERE position > ?"
                     " ORDER BY position LIMIT ?",
                     &self->read_page, failure) < 0 ||
        prepare_once(self,
                     "INSERT INTO states(stream, count, number, cents, most)"
                     " VALUES(?1, 1, ?2, ?3, ?3) ON CONFLICT(stream) DO UPDATE SET"
                     " count = count + 1, number = excluded.number,"
                     " cents = cents + excluded.cents, most = max(most, excluded.most)",
                     &self->put_state, failure) < 0)
        return -1;
    while (count == PAGE_EVENTS) {
        if (run(self, self->begin, failure) < 0)
            return -1;
        count = fold_page(self, failure);
        if (count < 0 || run(self, self->commit, failure) < 0)
            return -1;
    }
    return 0;
}

/* The rows of a statement that has its values. */
static int read_states(struct sqlite_store *self, sqlite3_stmt *statement,
                       struct bench_states *states, struct bench_failure *failure)
{
    int step = sqlite3_step(statement);
    int rc = 0;

    for (; step == SQLITE_ROW; step = sqlite3_step(statement)) {
        struct bench_state state = {
            .count = (uint64_t)sqlite3_column_int64(statement, 0),
            .number = (uint64_t)sqlite3_column_int64(statement, 1),
            .cents = sqlite3_column_int64(statement, 2),
            .most = sqlite3_column_int64(statement, 3),
        };

        bench_fold_add(states, &state);
    }
    if (step != SQLITE_DONE)
        rc = fail(failure, sqlite3_sql(statement), self->db);
    sqlite3_reset(statement);
    return rc;
}

static int sqlite_peer_get_states(void *store, const char *const *streams, size_t count,
                                  struct bench_states *states, struct bench_failure *failure)
{
    struct sqlite_store *self = store;
    size_t i;
    int rc = 0;

    if (prepare_once(self, "SELECT count, number, cents, most FROM states WHERE stream = ?",
                     &self->get_state, failure) < 0 ||
        prepare_once(self, "BEGIN", &self->begin_read, failure) < 0 ||
        run(self, self->begin_read, failure) < 0)
        return -1;
    for (i = 0; i < count && rc == 0; i++) {
        if (sqlite3_bind_text(self->get_state, 1, streams[i], -1, SQLITE_STATIC) != SQLITE_OK)
            rc = fail(failure, "bind", self->db);
        else
            rc = read_states(self, self->get_state, states, failure);
    }
    return rc == 0 ? run(self, self->commit, failure) : rc;
}

/* The end is the prefix with the last character that there is: names are plain. */
static int sqlite_peer_scan_states(void *store, const char *prefix, struct bench_states *states,
                                   struct bench_failure *failure)
{
    struct sqlite_store *self = store;
    char end[BENCH_NAME_BYTES_MAX];

    bench_text_set(end, sizeof(end), "%s\x7f", prefix);
    if (prepare_once(self,
                     "SELECT count, number, cents, most, stream FROM states"
                     " WHERE stream >= ? AND stream < ? ORDER BY stream",
                     &self->scan_states, failure) < 0)
        return -1;
    if (sqlite3_bind_text(self->scan_states, 1, prefix, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_text(self->scan_states, 2, end, -1, SQLITE_STATIC) != SQLITE_OK)
        return fail(failure, "bind", self->db);
    return read_states(self, self->scan_states, states, failure);
}

/* The column takes no space, and its index is made in one go: bulk-load stays without them.
 * How many events a tag has is counted here, in favour of the load. */
static const char indexes[] =
    "ALTER TABLE events ADD COLUMN"
    " category TEXT AS (substr(stream, 1, instr(stream || '-', '-') - 1)) VIRTUAL;"
    "CREATE INDEX events_category ON events(category, position);"
    "UPDATE tags SET events = (SELECT count(*) FROM event_tags WHERE tag = id);";

static int sqlite_peer_ready(void *store, struct bench_failure *failure)
{
    struct sqlite_store *self = store;

    if (sqlite3_exec(self->db, indexes, NULL, NULL, NULL) != SQLITE_OK)
        return fail(failure, "indexes", self->db);
    return 0;
}

const struct bench_peer bench_peer_sqlite = {
    .name = "sqlite",
    .settings = "journal_mode WAL, synchronous FULL, page_size 4096, cache_size 256 MiB, "
                "wal_autocheckpoint 32 768 pages; prepared statements, versions counted by the "
                "loader in its favour; ids unique by stream and id",
    .version = sqlite_peer_version,
    .open = sqlite_peer_open,
    .append = sqlite_peer_append,
    .count = sqlite_peer_count,
    .close = sqlite_peer_close,
    .ready = sqlite_peer_ready,
    .read_stream = sqlite_peer_read_stream,
    .read_category = sqlite_peer_read_category,
    .read_tags = sqlite_peer_read_tags,
    .project = sqlite_peer_project,
    .get_states = sqlite_peer_get_states,
    .scan_states = sqlite_peer_scan_states,
};
