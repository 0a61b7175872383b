/* list.c - the names of a kind of term: two sorted lists, merged: the index's rows, read as one
 * goes, and the tail's terms, copied once and sorted.
 *
 *     index   order-1   order-2   order-7            a cursor; sorted as LMDB has its keys
 *     tail              order-2             order-9  sorted by the same order of bytes
 *
 *     a name in both is one item: its beginning is the index's, its end the tail's
 *
 * The tail's part costs memory for each name that has an event after `indexed`; the index's costs
 * none. Names that were deleted are passed over; a record that nobody can read may hide a name, so
 * then there is no list. Readers, marks, snapshots and what there is of projections are listed too,
 * which are no terms. */
#include "list.h"

#include "kept.h"
#include "marked.h"
#include "moment.h"
#include "parked_list.h"
#include "projected.h"
#include "readers.h"
#include "status.h"
#include "streams.h"
#include "text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A term as the tail knows it. */
struct tail_entry {
    struct qp_bytes name; /* in `names` */
    uint64_t first;       /* a stream's version; of other terms no number at all */
    uint64_t newest;
    uint64_t count; /* of entries, those that nobody can read among them */
    uint64_t first_position;
    uint64_t last_position;
};

struct qp_list {
    int of; /* of a kind that is no term only the member of that kind is in use */
    struct qp_readers readers;
    size_t reader_at; /* the next */
    struct qp_marked marked;
    struct qp_kept kept;
    struct qp_projected projected; /* PROJECTIONS, VIEWS */
    struct qp_parked_list parked;  /* PARKED */
    struct qp_moment *moment;
    enum qp_term_kind kind;
    struct qp_key prefix;   /* kind and prefix: what the keys asked for begin with */
    struct qp_cursor terms; /* not open without an index */
    bool index_begun;       /* the first name was looked for */
    bool given;             /* the index's name was given out: step before the next */
    quipu_error failure;    /* of that step */
    bool in_index;          /* `index_name` and, if it is whole, `row` are the index's next */
    bool row_whole;
    struct qp_bytes index_name; /* in the map */
    struct qp_term_row row;
    struct qp_arena names;
    struct tail_entry *tail;
    size_t tail_count;
    size_t tail_capacity;
    size_t tail_at;             /* the tail's next */
    char name[QP_NAME_MAX + 1]; /* of the item given out */
};

/* ---- the tail's part ---- */

/* For qp_tail_each(), under the tail's lock: the name must be copied, as lists are read later.
 * false: memory is out. */
static bool copy_tail_term(void *payload, const struct qp_tail_term *term)
{
    struct qp_list *list = payload;
    struct tail_entry *entry;
    char *name = qp_arena_take(&list->names, term->name.size + 1);

    if (name == NULL || !qp_array_reserve(&list->tail, &list->tail_capacity, list->tail_count + 1,
                                          sizeof(*list->tail)))
        return false;
    memcpy(name, term->name.data, term->name.size);
    name[term->name.size] = '\0';
    assert(term->count > 0 && list->tail_count < list->tail_capacity);
    entry = &list->tail[list->tail_count++];
    *entry = (struct tail_entry){.name = {name, term->name.size},
                                 .first = term->first,
                                 .newest = term->first + term->count - 1,
                                 .count = term->count,
                                 .first_position = term->first_position,
                                 .last_position = term->last_position};
    return true;
}

/* By name, and a name's entries from the oldest segment to the newest. */
static int by_name(const void *left, const void *right)
{
    const struct tail_entry *a = left;
    const struct tail_entry *b = right;
    int order = qp_bytes_order(a->name, b->name);

    if (order != 0)
        return order;
    return (a->first_position > b->first_position) - (a->first_position < b->first_position);
}

/* A term stands once for each segment: make it one entry, from the first one's beginning to the
 * last one's end. */
static void join_entries(struct qp_list *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->tail_count; i++) {
        struct tail_entry *last = kept > 0 ? &list->tail[kept - 1] : NULL;

        if (last != NULL && qp_bytes_order(last->name, list->tail[i].name) == 0) {
            last->newest = list->tail[i].newest;
            last->count += list->tail[i].count;
            last->last_position = list->tail[i].last_position;
        } else {
            list->tail[kept++] = list->tail[i];
        }
    }
    list->tail_count = kept;
}

/* The names in the tail that begin with `prefix`. Done once: the moment's tail does not change. */
static int collect_tail(struct qp_list *list, struct qp_bytes prefix, quipu_error *error)
{
    if (!qp_tail_each(&list->moment->handle->tail, &list->moment->pin, list->kind, prefix,
                      copy_tail_term, list))
        return qp_fail_memory(error);
    if (list->tail_count > 0)
        qsort(list->tail, list->tail_count, sizeof(*list->tail), by_name);
    join_entries(list);
    return QUIPU_OK;
}

/* ---- the index's part ---- */

/* Look at the index's next name. A damaged row keeps its place: it is told when its turn comes. The
 * names asked for are neighbours: the first that does not begin so ends the index's part. */
static int step_index(struct qp_list *list, quipu_error *error)
{
    struct qp_bytes key = qp_key_bytes(&list->prefix);
    struct qp_bytes value;
    int rc;

    list->in_index = false;
    if (list->terms.mdb == NULL)
        return QUIPU_OK;
    rc = qp_cursor_seek(&list->terms, list->index_begun ? QP_NEXT : QP_AT_LEAST, &key, &value,
                        error);
    list->index_begun = true;
    if (rc != QUIPU_ROW)
        return rc;
    if (key.size < list->prefix.size ||
        memcmp(key.data, list->prefix.bytes, list->prefix.size) != 0)
        return QUIPU_OK;
    list->row_whole = key.size <= 1 + QP_NAME_MAX && qp_row_whole(QP_TABLE_TERMS, key, value) &&
                      qp_term_row_read(value, &list->row);
    list->index_name = (struct qp_bytes){(const uint8_t *)key.data + 1, key.size - 1};
    list->in_index = true;
    return QUIPU_OK;
}

/* ---- open, next, close ---- */

/* Which terms a kind of list has. */
static const struct {
    int list;
    enum qp_term_kind term;
} kinds[] = {{QUIPU_LIST_STREAMS, QP_TERM_STREAM},
             {QUIPU_LIST_CATEGORIES, QP_TERM_CATEGORY},
             {QUIPU_LIST_TYPES, QP_TERM_TYPE},
             {QUIPU_LIST_TAGS, QP_TERM_TAG}};

/* false: it is no list of terms. */
static bool find_kind(int kind, enum qp_term_kind *term)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].list == kind) {
            *term = kinds[i].term;
            return true;
        }
    }
    return false;
}

static int open_terms(struct qp_handle *handle, struct qp_list *list, struct qp_bytes prefix,
                      quipu_error *error)
{
    int rc = qp_moment_begin(handle, true, &list->moment, error);

    qp_key_term(&list->prefix, list->kind, prefix);
    if (rc == QUIPU_OK && qp_moment_damaged(list->moment))
        rc = qp_fail(error, QUIPU_CORRUPT, "an event is damaged, names may be missing: see verify");
    if (rc == QUIPU_OK)
        rc = collect_tail(list, prefix, error);
    if (rc == QUIPU_OK && handle->index != NULL)
        rc = qp_cursor_open(&list->terms, &list->moment->index_txn, QP_TABLE_TERMS, error);
    return rc == QUIPU_OK ? step_index(list, error) : rc;
}

/* A list of anything, once it is known that there is such a kind. */
static int open_kind(struct qp_handle *handle, struct qp_list *list, struct qp_bytes prefix,
                     quipu_error *error)
{
    switch (list->of) {
    case QUIPU_LIST_READERS:
        return qp_readers_collect(handle, prefix, &list->readers, error);
    case QUIPU_LIST_MARKS:
        return qp_marked_open(handle, prefix, &list->marked, error);
    case QUIPU_LIST_SNAPSHOTS:
        return qp_kept_open(handle, prefix, &list->kept, error);
    case QUIPU_LIST_PROJECTIONS:
    case QUIPU_LIST_VIEWS:
        return qp_projected_open(handle, prefix, list->of == QUIPU_LIST_VIEWS, &list->projected,
                                 error);
    case QUIPU_LIST_PARKED:
        return qp_parked_list_open(handle, prefix, &list->parked, error);
    default:
        return open_terms(handle, list, prefix, error);
    }
}

static bool is_kind(int kind, enum qp_term_kind *term)
{
    return find_kind(kind, term) || kind == QUIPU_LIST_READERS || kind == QUIPU_LIST_MARKS ||
           kind == QUIPU_LIST_SNAPSHOTS || kind == QUIPU_LIST_PROJECTIONS ||
           kind == QUIPU_LIST_VIEWS || kind == QUIPU_LIST_PARKED;
}

int qp_list_open(struct qp_handle *handle, int kind, const char *prefix, struct qp_list **out,
                 quipu_error *error)
{
    struct qp_bytes start = {.data = prefix};
    enum qp_term_kind term = QP_TERM_STREAM;
    struct qp_list *list;
    int rc;

    *out = NULL;
    if (!is_kind(kind, &term))
        return qp_fail(error, QUIPU_MISUSE, "there is no list of kind %d", kind);
    if (prefix != NULL && prefix[0] != '\0') {
        rc = qp_text_name(prefix, QP_NAME_MAX, "a prefix", &start.size, error);
        if (rc < 0)
            return rc;
    }
    list = qp_zalloc(sizeof(*list));
    if (list == NULL)
        return qp_fail_memory(error);
    list->kind = term;
    list->of = kind;
    rc = open_kind(handle, list, start, error);
    if (rc < 0)
        qp_list_close(list);
    else
        *out = list;
    return rc;
}

/* Also one that was opened half. The cursor goes before the snapshot that it looks at. */
void qp_list_close(struct qp_list *list)
{
    if (list == NULL)
        return;
    qp_cursor_close(&list->terms);
    qp_moment_end(list->moment);
    qp_arena_release(&list->names);
    qp_readers_release(&list->readers);
    qp_marked_close(&list->marked);
    qp_kept_close(&list->kept);
    qp_projected_close(&list->projected);
    qp_parked_list_close(&list->parked);
    qp_free(list->tail);
    qp_free(list);
}

/* Copied, as `index_name` moves on with the cursor. The key of a damaged row may be too long. */
static void name_item(struct qp_list *list, struct qp_bytes name)
{
    size_t size = name.size < QP_NAME_MAX ? name.size : QP_NAME_MAX;

    assert(size < sizeof(list->name));
    memcpy(list->name, name.data, size);
    list->name[size] = '\0';
}

/* The next name of both parts, joined; it stands in list->name. Returns: ROW; OK: no more; CORRUPT:
 * its row in the index is damaged; IO. */
static int take_next(struct qp_list *list, struct tail_entry *entry, quipu_error *error)
{
    const struct tail_entry *tail =
        list->tail_at < list->tail_count ? &list->tail[list->tail_at] : NULL;
    bool whole = true;
    int order;

    if (list->given && step_index(list, &list->failure) < 0) {
        if (error != NULL)
            *error = list->failure;
        return list->failure.status; /* and at each later call, or names would be skipped */
    }
    list->given = false;
    if (!list->in_index && tail == NULL)
        return QUIPU_OK;
    order = list->in_index ? -1 : 1; /* below 0: the index's is next; 0: the same name is */
    if (list->in_index && tail != NULL)
        order = qp_bytes_order(list->index_name, tail->name);
    if (order >= 0)
        list->tail_at++;
    if (order > 0) {
        *entry = *tail;
        name_item(list, tail->name);
    } else {
        whole = list->row_whole;
        *entry = (struct tail_entry){
            .first = list->row.first,
            .newest = order == 0 ? tail->newest : list->row.first + list->row.count - 1,
            .count = list->row.count + (order == 0 ? tail->count : 0),
            .first_position = list->row.first_position,
            .last_position = order == 0 ? tail->last_position : list->row.last_position};
        name_item(list, list->index_name);
        list->given = true;
    }
    return whole ? QUIPU_ROW
                 : qp_fail(error, QUIPU_CORRUPT, "the index is damaged at %.100s", list->name);
}

/* Times stand in the records alone, in front of what may be in chunks. */
static int fill_times(struct qp_list *list, quipu_item *item, quipu_error *error)
{
    struct qp_log_cursor *log = &list->moment->log;
    struct qp_record record;
    int rc;

    rc = qp_log_get_names(log, item->first_position, &record, error);
    if (rc == QUIPU_ROW) {
        item->time_ns = record.time_ns;
        rc = qp_log_get_names(log, item->position, &record, error);
    }
    if (rc == QUIPU_ROW)
        item->last_time_ns = record.time_ns;
    return rc;
}

/* What a stream's item has beside any other's: versions, which are not counted, as one that nobody
 * can read is one too. Returns: ROW; OK: it was deleted, and is passed over; CORRUPT; IO. */
static int fill_stream(struct qp_list *list, const struct tail_entry *entry, quipu_item *item,
                       quipu_error *error)
{
    struct qp_bytes name = {list->name, strlen(list->name)};
    struct qp_stream_row state = {0};
    int rc = qp_streams_get(list->moment->txn, list->moment->streams_any, name, &state, error);

    if (rc < 0)
        return rc;
    if (state.first_kept > entry->newest)
        return QUIPU_OK;
    item->version = entry->newest;
    item->count =
        entry->newest + 1 - (state.first_kept > entry->first ? state.first_kept : entry->first);
    return QUIPU_ROW;
}

static int next_reader(struct qp_list *list, quipu_item *item)
{
    const struct qp_reader_info *reader;

    if (list->reader_at == list->readers.count)
        return QUIPU_OK;
    reader = &list->readers.all[list->reader_at++];
    *item = (quipu_item){
        .name = reader->name, .pid = reader->pid, .lag = reader->lag, .time_ns = reader->since_ns};
    return QUIPU_ROW;
}

static int next_term(struct qp_list *list, quipu_item *item, quipu_error *error)
{
    for (;;) {
        struct tail_entry entry = {0};
        int rc = take_next(list, &entry, error);

        if (rc != QUIPU_OK)
            item->name = list->name;
        if (rc != QUIPU_ROW)
            return rc;
        item->count = entry.count;
        if (list->kind == QP_TERM_STREAM)
            rc = fill_stream(list, &entry, item, error);
        if (rc < 0)
            return rc;
        if (rc == QUIPU_OK)
            continue; /* deleted */
        item->first_position = entry.first_position;
        item->position = entry.last_position;
        return fill_times(list, item, error);
    }
}

/* On CORRUPT the item has its name at least, and the next call goes on after it. */
int qp_list_next(struct qp_list *list, quipu_item *item, quipu_error *error)
{
    *item = (quipu_item){0};
    switch (list->of) {
    case QUIPU_LIST_READERS:
        return next_reader(list, item);
    case QUIPU_LIST_MARKS:
        return qp_marked_next(&list->marked, item, error);
    case QUIPU_LIST_SNAPSHOTS:
        return qp_kept_next(&list->kept, item, error);
    case QUIPU_LIST_PROJECTIONS:
    case QUIPU_LIST_VIEWS:
        return qp_projected_next(&list->projected, item, error);
    case QUIPU_LIST_PARKED:
        return qp_parked_list_next(&list->parked, item, error);
    default:
        return next_term(list, item, error);
    }
}
