/* support_folds_look.c - see support_folds.h: the looks. */
#include "support_folds.h"

#include "handles.h"
#include "projections.h"
#include "support_system.h"
#include "views.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the log --------------------------------------------------------------------------------- */

static void *grown(void *array, size_t count, size_t size)
{
    void *larger = array;

    if ((count & (count + 1)) == 0)
        larger = realloc(array, (2 * count + 2) * size);
    CHECK(larger != NULL, "out of memory");
    return larger;
}

/* name_count: there is none. */
static uint32_t find_name(const struct folds_log *log, const char *name, size_t size)
{
    uint32_t i = 0;

    while (i < log->name_count &&
           (strlen(log->names[i]) != size || memcmp(log->names[i], name, size) != 0))
        i++;
    return i;
}

static uint32_t take_name(struct folds_log *log, const char *name, size_t size)
{
    uint32_t found = find_name(log, name, size);

    if (found < log->name_count)
        return found;
    log->names = grown(log->names, log->name_count, sizeof(*log->names));
    log->names[found] = strdup(name);
    CHECK(log->names[found] != NULL, "out of memory");
    log->name_count++;
    return found;
}

/* What it was made of, by its data and by its tag. */
static uint64_t made_of(const quipu_event *event)
{
    char causation[40];
    const char *tag = event->tags;
    uint64_t position = 0;
    bool found = false;

    CHECK(event->data_size == sizeof(position), "at %" PRIu64 " what was made is another",
          event->position);
    memcpy(&position, event->data, sizeof(position));
    (void)snprintf(causation, sizeof(causation), "causation:%" PRIu64, position);
    for (uint32_t i = 0; i < event->tag_count; i++, tag += strlen(tag) + 1)
        found = found || strcmp(tag, causation) == 0;
    CHECK(found, "at %" PRIu64 " there is no tag %s", event->position, causation);
    return position;
}

void folds_log_read(quipu *store, struct folds_log *log)
{
    quipu_reader *reader;
    quipu_event event;
    quipu_error error = {0};
    int rc = quipu_read(store, NULL, NULL, &reader, &error);

    *log = (struct folds_log){0};
    CHECK(rc == QUIPU_OK, "read: %d %s", rc, error.text);
    rc = quipu_next(reader, &event, &error);
    for (; rc == QUIPU_ROW; rc = quipu_next(reader, &event, &error)) {
        struct folds_event *at;

        CHECK(event.position == log->count + 1, "a gap before %" PRIu64, event.position);
        log->events = grown(log->events, log->count, sizeof(*log->events));
        at = &log->events[log->count++];
        *at = (struct folds_event){.sum = folds_event_sum(&event), .schema = event.schema};
        at->stream = take_name(log, event.stream, event.stream_size);
        at->type = take_name(log, event.type, event.type_size);
        if (folds_is_made(event.stream))
            at->made_of = made_of(&event);
    }
    CHECK(rc == QUIPU_OK, "next: %d %s", rc, error.text);
    quipu_reader_close(reader);
}

void folds_log_free(struct folds_log *log)
{
    for (size_t i = 0; i < log->name_count; i++)
        free(log->names[i]);
    free(log->names);
    free(log->events);
    *log = (struct folds_log){0};
}

/* ---- rows ------------------------------------------------------------------------------------ */

static struct qp_bytes name_of(enum folds_which which)
{
    return (struct qp_bytes){folds_name(which), strlen(folds_name(which))};
}

static void begin(quipu *store, struct qp_txn *txn)
{
    quipu_error error = {0};
    int rc = qp_txn_begin_read(store->handle->log, txn, &error);

    CHECK(rc == QUIPU_OK, "a snapshot: %d %s", rc, error.text);
}

static bool get_row(struct qp_txn *txn, enum folds_which which, struct qp_projection_row *row)
{
    quipu_error error = {0};
    int rc = qp_projections_get(txn, name_of(which), row, &error);

    CHECK(rc == QUIPU_ROW || rc == QUIPU_OK, "row of %s: %d %s", folds_name(which), rc, error.text);
    return rc == QUIPU_ROW;
}

static void tell_row(const struct qp_projection_row *row, bool exists, struct folds_row *out)
{
    *out = (struct folds_row){.exists = exists,
                              .deleted = (row->flags & QP_PROJECTION_DELETED) != 0,
                              .replays = (row->flags & QP_PROJECTION_REPLAYS) != 0,
                              .unclean = (row->flags & QP_PROJECTION_UNCLEAN) != 0,
                              .rebuilds = (row->flags & QP_PROJECTION_REBUILDS) != 0,
                              .generation = row->generation,
                              .version = row->version,
                              .building_version = row->building_version,
                              .mark = row->mark,
                              .building_mark = row->building_mark,
                              .parked = row->parked};
    out->halted = (row->flags & (QP_PROJECTION_PAUSED | QP_PROJECTION_STOPPED)) != 0;
}

void folds_row(quipu *store, enum folds_which which, struct folds_row *out)
{
    struct qp_projection_row row = {0};
    struct qp_txn txn = {0};
    bool exists;

    begin(store, &txn);
    exists = get_row(&txn, which, &row);
    qp_txn_end(&txn);
    tell_row(&row, exists, out);
}

uint64_t folds_first_parked(quipu *store, enum folds_which which, const char *stream, bool *failed)
{
    struct qp_projection_row row = {0};
    struct qp_view_place place = {name_of(which), 0};
    struct qp_parked parked = {0};
    struct qp_cursor cursor = {0};
    struct qp_txn txn = {0};
    int rc;

    begin(store, &txn);
    (void)get_row(&txn, which, &row);
    place.generation = row.generation;
    rc = qp_cursor_open(&cursor, &txn, QP_TABLE_PARKED, NULL);
    if (rc == QUIPU_OK)
        rc = qp_parked_first(&cursor, &place, (struct qp_bytes){stream, strlen(stream)}, &parked,
                             NULL);
    CHECK(rc == QUIPU_ROW || rc == QUIPU_OK, "parked: %d", rc);
    *failed = (parked.flags & QP_PARKED_FAILED) != 0;
    qp_cursor_close(&cursor);
    qp_txn_end(&txn);
    return rc == QUIPU_ROW ? parked.position : 0;
}

/* ---- one generation -------------------------------------------------------------------------- */

struct waiting {
    uint32_t stream;
    uint64_t position;
    uint32_t flags;
};

struct generation {
    const struct folds_log *log;
    enum folds_which which;
    uint32_t number;
    uint32_t version;
    uint64_t mark;
    struct waiting *parked; /* by stream, then by position */
    size_t parked_count;
    bool *seen; /* by name */
    uint64_t rows;
    uint64_t forgotten;
    folds_forgotten_fn may_forget;
    void *payload;
};

static void read_parked(struct generation *own, struct qp_txn *txn)
{
    const struct qp_view_place place = {name_of(own->which), own->number};
    struct qp_cursor cursor = {0};
    struct qp_parked parked;
    quipu_error error = {0};
    int rc = qp_cursor_open(&cursor, txn, QP_TABLE_PARKED, &error);

    if (rc == QUIPU_OK)
        rc = qp_parked_begin(&cursor, &place, &parked, &error);
    for (; rc == QUIPU_ROW; rc = qp_parked_next(&cursor, &place, &parked, &error)) {
        uint32_t stream = find_name(own->log, parked.key.data, parked.key.size);

        CHECK(stream < own->log->name_count && parked.position <= own->mark,
              "%s: parked at %" PRIu64 ", behind the mark %" PRIu64 ", or under no stream",
              folds_name(own->which), parked.position, own->mark);
        own->parked = grown(own->parked, own->parked_count, sizeof(*own->parked));
        own->parked[own->parked_count++] = (struct waiting){stream, parked.position, parked.flags};
    }
    CHECK(rc == QUIPU_OK, "parked: %d %s", rc, error.text);
    qp_cursor_close(&cursor);
}

/* The events of a stream up to the mark are those that its value lists, then those that are parked,
 * but for what somebody has forgotten. An event is parked because it fails, or behind one that is.
 */
static void check_stream(struct generation *own, uint32_t stream, const unsigned char *value,
                         size_t size)
{
    const char *name = own->log->names[stream];
    uint64_t sum = 0;
    uint64_t should = 0;
    size_t at = sizeof(sum);
    size_t next = 0;
    bool waits = false;
    bool forgot = false;

    own->seen[stream] = true;
    while (next < own->parked_count && own->parked[next].stream != stream)
        next++;
    for (uint64_t position = 1; position <= own->mark; position++) {
        const struct folds_event *event = &own->log->events[position - 1];
        uint64_t entry = 0;

        if (event->stream != stream || (own->which == FOLDS_MADE && event->made_of != 0))
            continue;
        if (at + sizeof(entry) <= size)
            memcpy(&entry, value + at, sizeof(entry));
        if (entry == folds_entry(position, own->version)) {
            CHECK(!waits, "%s, %s: applied at %" PRIu64 ", behind a parked one",
                  folds_name(own->which), name, position);
            should = folds_sum(should, &event->sum, sizeof(event->sum));
            at += sizeof(entry);
        } else if (next < own->parked_count && own->parked[next].stream == stream &&
                   own->parked[next].position == position) {
            bool failed = (own->parked[next].flags & QP_PARKED_FAILED) != 0;

            /* One that waits was not tried yet, also if what it waited behind was forgotten. */
            CHECK(failed == (event->schema == folds_poison(own->which)) ||
                      ((waits || forgot) && !failed),
                  "%s, %s: parked at %" PRIu64 ", and it should not have failed",
                  folds_name(own->which), name, position);
            CHECK(waits || failed || forgot || (own->parked[next].flags & QP_PARKED_REPLAY) != 0,
                  "%s, %s: parked at %" PRIu64 " behind nothing", folds_name(own->which), name,
                  position);
            waits = true;
            next++;
        } else {
            CHECK(own->may_forget != NULL &&
                      own->may_forget(own->payload, own->version, name, position),
                  "%s, %s: neither applied nor parked at %" PRIu64 ", with the mark at %" PRIu64,
                  folds_name(own->which), name, position, own->mark);
            forgot = true;
            own->forgotten++;
        }
    }
    CHECK(at == (size > 0 ? size : sizeof(sum)), "%s, %s: more was applied than the mark says",
          folds_name(own->which), name);
    CHECK(next == own->parked_count || own->parked[next].stream != stream,
          "%s, %s: parked twice at %" PRIu64, folds_name(own->which), name,
          own->parked[next].position);
    if (size > 0)
        memcpy(&sum, value, sizeof(sum));
    CHECK(sum == should, "%s, %s: the sum is another", folds_name(own->which), name);
}

static void check_type(struct generation *own, uint32_t type, const unsigned char *value,
                       size_t size)
{
    uint64_t got[2] = {0};
    uint64_t should[2] = {0};

    for (uint64_t position = 1; position <= own->mark; position++) {
        const struct folds_event *event = &own->log->events[position - 1];

        if (event->type != type)
            continue;
        should[0]++;
        should[1] = folds_sum(should[1], &event->sum, sizeof(event->sum));
    }
    CHECK(size == folds_type_bytes(should[0]), "%s, type %s: %zu bytes, of %" PRIu64 " events",
          folds_name(own->which), own->log->names[type], size, should[0]);
    memcpy(got, value, sizeof(got));
    CHECK(got[0] == should[0] && got[1] == should[1],
          "%s, type %s: %" PRIu64 " events, not %" PRIu64, folds_name(own->which),
          own->log->names[type], got[0], should[0]);
}

/* 0: there is none. */
static uint64_t last_of_class(const struct generation *own, unsigned class)
{
    uint64_t position = own->mark;

    while (position > 0 && folds_class(position) != class)
        position--;
    return position > 0 && !folds_class_deletes(position) ? position : 0;
}

static void check_row(struct generation *own, quipu_value key, quipu_value value)
{
    const char *bytes = key.data;
    uint64_t position = 0;
    uint32_t name;

    own->rows++;
    if (bytes[0] == FOLDS_KEY_CLASS) {
        CHECK(key.size == 2 && value.size == sizeof(position), "a class of %zu bytes", value.size);
        memcpy(&position, value.data, sizeof(position));
        CHECK(position == last_of_class(own, (unsigned)(bytes[1] - '0')),
              "%s, class %c: at %" PRIu64, folds_name(own->which), bytes[1], position);
        return;
    }
    bytes += bytes[0] == FOLDS_KEY_TYPE;
    name = find_name(own->log, bytes, key.size - (size_t)(bytes - (const char *)key.data));
    CHECK(name < own->log->name_count, "%s: there is a key %.*s", folds_name(own->which),
          (int)key.size, (const char *)key.data);
    if (bytes == key.data)
        check_stream(own, name, value.data, value.size);
    else
        check_type(own, name, value.data, value.size);
}

/* How many rows there are beside those of streams. */
static uint64_t count_others(const struct generation *own)
{
    bool *seen = calloc(own->log->name_count + 1, sizeof(*seen));
    uint64_t count = 0;

    CHECK(seen != NULL, "out of memory");
    for (uint64_t position = 1; position <= own->mark && own->which != FOLDS_MADE; position++) {
        uint32_t type = own->log->events[position - 1].type;

        count += !seen[type];
        seen[type] = true;
    }
    free(seen);
    for (unsigned class = 0; class < 10 && own->which != FOLDS_MADE; class ++)
        count += last_of_class(own, class) > 0;
    return count;
}

static void scan_view(struct generation *own, quipu *store, bool building)
{
    uint64_t streams = 0;
    char name[64];
    quipu_view *view;
    quipu_value key;
    quipu_value value;
    quipu_error error = {0};
    int rc;

    (void)snprintf(name, sizeof(name), "%s%s", building ? "$rebuild:" : "", folds_name(own->which));
    rc = quipu_view_open(store, name, &view, &error);
    CHECK(rc == QUIPU_OK, "view %s: %d %s", name, rc, error.text);
    CHECK(quipu_view_mark(view) == own->mark, "view %s: mark %" PRIu64 ", not %" PRIu64, name,
          quipu_view_mark(view), own->mark);
    rc = quipu_view_scan(view, NULL, 0, NULL, 0, 0, &error);
    CHECK(rc == QUIPU_OK, "scan %s: %d %s", name, rc, error.text);
    rc = quipu_view_next(view, &key, &value, &error);
    for (; rc == QUIPU_ROW; rc = quipu_view_next(view, &key, &value, &error)) {
        char first = *(const char *)key.data;

        check_row(own, key, value);
        streams += first != FOLDS_KEY_TYPE && first != FOLDS_KEY_CLASS;
    }
    CHECK(rc == QUIPU_OK, "scan %s: %d %s", name, rc, error.text);
    quipu_view_close(view);
    CHECK(own->rows == streams + count_others(own),
          "%s: %" PRIu64 " rows, %" PRIu64 " of streams, not %" PRIu64 " others", name, own->rows,
          streams, count_others(own));
    for (uint32_t i = 0; i < own->log->name_count; i++)
        if (!own->seen[i])
            check_stream(own, i, NULL, 0); /* nothing was applied */
}

static void check_generation(struct generation *own, quipu *store, struct qp_txn *txn,
                             bool building, uint64_t parked)
{
    CHECK(own->mark <= own->log->count, "%s: mark %" PRIu64 " of %zu events",
          folds_name(own->which), own->mark, own->log->count);
    own->seen = calloc(own->log->name_count + 1, sizeof(*own->seen));
    CHECK(own->seen != NULL, "out of memory");
    read_parked(own, txn);
    CHECK(own->parked_count == parked, "%s: %zu are parked, not %" PRIu64, folds_name(own->which),
          own->parked_count, parked);
    scan_view(own, store, building);
    free(own->seen);
    free(own->parked);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* What is owed was passed, and the view has it parked, or has not come there: only a rebuild has.
 */
static void check_owed(struct qp_txn *txn, const struct qp_projection_row *row,
                       const struct qp_owned_key *owned)
{
    struct qp_bytes key = {0};
    struct qp_bytes value;
    struct qp_key parked;
    uint64_t position = 0;

    CHECK(qp_key_parked_rest(owned->rest, &key, &position) && position <= row->emitted,
          "owed at %" PRIu64 ", and emitted up to %" PRIu64, position, row->emitted);
    qp_key_parked(&parked, owned->name, row->generation, key, position);
    CHECK(position > row->mark ||
              qp_get(txn, QP_TABLE_PARKED, qp_key_bytes(&parked), &value, NULL) == QUIPU_ROW,
          "owed at %" PRIu64 ", and not parked", position);
}

/* Rows of a table that are of no generation that lives. */
static void check_left(struct qp_txn *txn, enum folds_which which, enum qp_table table,
                       const struct qp_projection_row *row, bool allowed)
{
    struct qp_cursor cursor = {0};
    struct qp_owned_key owned;
    struct qp_bytes value;
    struct qp_key from;
    struct qp_bytes key;
    int rc = qp_cursor_open(&cursor, txn, table, NULL);

    qp_key_view(&from, name_of(which), 0, (struct qp_bytes){0});
    key = qp_key_bytes(&from);
    if (rc == QUIPU_OK)
        rc = qp_cursor_seek(&cursor, QP_AT_LEAST, &key, &value, NULL);
    while (rc == QUIPU_ROW && qp_key_owned_read(key, &owned) &&
           qp_bytes_equal(owned.name, name_of(which))) {
        bool owes = owned.generation == QP_OWED_GENERATION && table == QP_TABLE_PARKED;
        bool lives = owned.generation != 0 &&
                     (owned.generation == row->generation || owned.generation == row->building);

        if (owes && (row->flags & QP_PROJECTION_DELETED) == 0)
            check_owed(txn, row, &owned);
        CHECK(owes || lives || (allowed && owned.generation < row->next_generation),
              "%s: a row of generation %u is left", folds_name(which), owned.generation);
        rc = qp_cursor_seek(&cursor, QP_NEXT, &key, &value, NULL);
    }
    CHECK(rc >= 0, "left: %d", rc);
    qp_cursor_close(&cursor);
}

/* Each fourth event that it has applied, once, and in their order. */
static void check_made(const struct generation *own)
{
    uint64_t from = 1;

    for (size_t i = 0; i < own->log->count; i++) {
        uint64_t of = own->log->events[i].made_of;

        if (of == 0)
            continue;
        CHECK(of >= from && of <= own->mark && folds_emits(of) &&
                  own->log->events[of - 1].made_of == 0,
              "at %zu something was made of %" PRIu64 ", with the mark at %" PRIu64, i + 1, of,
              own->mark);
        for (; from < of; from++)
            CHECK(!folds_emits(from) || own->log->events[from - 1].made_of != 0,
                  "nothing was made of %" PRIu64 ", but of %" PRIu64, from, of);
        from = of + 1;
    }
    for (; from <= own->mark; from++)
        CHECK(!folds_emits(from) || own->log->events[from - 1].made_of != 0,
              "nothing was made of %" PRIu64 ", with the mark at %" PRIu64, from, own->mark);
}

void folds_check(quipu *store, const struct folds_log *log, enum folds_which which,
                 folds_forgotten_fn forgotten, void *payload, struct folds_checked *checked)
{
    struct qp_projection_row row = {0};
    struct qp_txn txn = {0};
    struct generation own = {
        .log = log, .which = which, .may_forget = forgotten, .payload = payload};
    struct generation building = own;
    bool exists;
    bool shows;

    begin(store, &txn);
    exists = get_row(&txn, which, &row);
    *checked = (struct folds_checked){0};
    tell_row(&row, exists, &checked->row);
    shows = exists && !checked->row.deleted;
    own.number = row.generation;
    own.version = row.version;
    own.mark = row.mark;
    building.number = row.building;
    building.version = row.building_version;
    building.mark = row.building_mark;
    building.may_forget = NULL;
    if (shows)
        check_generation(&own, store, &txn, false, row.parked);
    if (shows && row.building != 0)
        check_generation(&building, store, &txn, true, row.building_parked);
    if (which == FOLDS_MADE)
        check_made(&own);
    check_left(&txn, which, QP_TABLE_VIEWS, &row, checked->row.unclean || checked->row.deleted);
    check_left(&txn, which, QP_TABLE_PARKED, &row, checked->row.unclean || checked->row.deleted);
    qp_txn_end(&txn);
    checked->rows = own.rows;
    checked->forgotten = own.forgotten;
}

void folds_finish(quipu *store, enum folds_which which)
{
    struct folds_function function = {.which = which, .mended = true};
    quipu_projection projection;
    struct folds_row row;
    quipu_error error = {0};
    int rc = QUIPU_OK;

    folds_row(store, which, &row);
    function.version = row.building_version > row.version ? row.building_version : row.version;
    folds_make(&function, 0, &projection);
    if (row.halted)
        rc = quipu_projection_control(store, folds_name(which), QUIPU_RESUME, 0, NULL, &error);
    CHECK(rc == QUIPU_OK, "resume %s: %d %s", folds_name(which), rc, error.text);
    rc = quipu_project(store, &projection, NULL, NULL, NULL, &error);
    CHECK(rc == QUIPU_OK, "project %s: %d %s", folds_name(which), rc, error.text);
    folds_row(store, which, &row);
    if (row.parked > 0) {
        rc = quipu_projection_control(store, folds_name(which), QUIPU_REPLAY, 0, NULL, &error);
        CHECK(rc == QUIPU_OK, "replay %s: %d %s", folds_name(which), rc, error.text);
        rc = quipu_project(store, &projection, NULL, NULL, NULL, &error);
        CHECK(rc == QUIPU_OK, "project %s again: %d %s", folds_name(which), rc, error.text);
    }
    folds_row(store, which, &row);
    CHECK(row.exists && !row.halted && !row.replays && !row.unclean && !row.rebuilds &&
              row.building_version == 0 && row.parked == 0,
          "%s is not done: %" PRIu64 " are parked, %u is being built", folds_name(which),
          row.parked, row.building_version);
}
