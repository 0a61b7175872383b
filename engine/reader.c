/* reader.c - three ways through one moment: along the log (all), along the merged occurrences of
 * terms (a query), along one stream. What terms cannot decide alone the record does: a query's
 * candidates are the occurrences of each item's shortest list, and every one is held against it.
 *
 * A damaged record's stream, category and type are not known: it may have been any reader's. So
 * each that goes along terms reads the term of the damaged too, and says CORRUPT where one lies in
 * its range: a stream's is in versions, and start_damaged() says what that means for positions.
 *
 *     sources   5 -> 9 ...     7 -> 12 ...    the least (backwards: greatest) position is next;
 *     damaged   8 -> 30 ...                   all that stand at it go on together */
#include "reader.h"

#include "moment.h"
#include "postings.h"
#include "query.h"
#include "status.h"
#include "streams.h"
#include "text.h"

#include <assert.h>
#include <string.h>

enum mode { MODE_ALL, MODE_QUERY, MODE_STREAM };

struct source {
    struct qp_postings postings;
    bool live; /* it stands at an occurrence in the range */
    uint64_t position;
    uint64_t number; /* of a stream: the version there */
};

struct qp_reader {
    struct qp_handle *handle;
    struct qp_moment *moment;
    struct qp_query query;
    struct qp_range range; /* upto is resolved */
    enum mode mode;
    struct source **sources;
    size_t source_count;
    size_t source_capacity;
    struct source *damaged; /* NULL: no record of this moment is */
    uint64_t damaged_after; /* of a stream: which of them may have been a version in its range */
    uint64_t damaged_upto;
    bool begun; /* MODE_ALL: the log's cursor stands at what was given last */
    bool ended;
    bool passing;        /* sources still stand at `passed`: they go on at the next call */
    uint64_t passed;     /* what was given or told last */
    quipu_error failure; /* of the index: this reader cannot go on */
    uint64_t next;       /* MODE_ALL: the position that must come next */
    uint64_t given;
    uint64_t seen;        /* forward: everything up to this position was given or told */
    uint64_t seen_at_end; /* the same once all was given; backwards from the start */
    size_t advised;       /* positions ahead of which the kernel was told */
};

/* ---- open ---- */

/* Its window is large and filled before it is looked at: no zeroes for it. */
static int new_source(struct qp_reader *reader, enum qp_term_kind kind, struct qp_bytes name,
                      struct source **out, quipu_error *error)
{
    struct source *source = qp_resize(NULL, sizeof(*source));
    int rc;

    *out = source;
    if (source == NULL)
        return qp_fail_memory(error);
    source->live = false;
    rc = qp_postings_open(&source->postings, reader->moment, kind, name, error);
    return rc < 0 ? rc : QUIPU_OK;
}

static void free_source(struct source *source)
{
    if (source == NULL)
        return;
    qp_postings_release(&source->postings);
    qp_free(source);
}

/* What both ways to open have in common: the moment, and the damaged if there are any. */
static int begin(struct qp_handle *handle, const struct qp_range *range, struct qp_reader **out,
                 quipu_error *error)
{
    struct qp_reader *reader = qp_zalloc(sizeof(*reader));
    int rc;

    *out = NULL;
    if (reader == NULL)
        return qp_fail_memory(error);
    assert(handle != NULL && range != NULL);
    reader->handle = handle;
    reader->range = *range;
    rc = qp_moment_begin(handle, range->check, &reader->moment, error);
    if (rc == QUIPU_OK && qp_moment_damaged(reader->moment))
        rc = new_source(reader, QP_TERM_DAMAGED, (struct qp_bytes){0}, &reader->damaged, error);
    if (rc < 0)
        qp_reader_close(reader);
    else
        *out = reader;
    return rc < 0 ? rc : QUIPU_OK;
}

void qp_reader_close(struct qp_reader *reader)
{
    if (reader == NULL)
        return;
    for (size_t i = 0; i < reader->source_count; i++)
        free_source(reader->sources[i]);
    free_source(reader->damaged);
    qp_moment_end(reader->moment);
    qp_query_release(&reader->query);
    qp_free(reader->sources);
    qp_free(reader);
}

uint64_t qp_reader_head(const struct qp_reader *reader)
{
    return reader->ended || reader->range.backwards ? reader->seen_at_end : reader->seen;
}

/* The source's next occurrence inside of the range. The damaged count in positions, and a stream's
 * range in versions: start_damaged() says what that means for them. */
static int advance(struct qp_reader *reader, struct source *source, quipu_error *error)
{
    int rc = qp_postings_next(&source->postings, &source->position, &source->number, error);
    uint64_t bound = source->postings.by_number ? source->number : source->position;

    source->live = rc == QUIPU_ROW;
    if (source->live && source->postings.by_number == (reader->mode == MODE_STREAM))
        source->live = bound > reader->range.after && bound <= reader->range.upto;
    if (source->live && reader->mode == MODE_STREAM && source == reader->damaged)
        source->live = bound > reader->damaged_after && bound <= reader->damaged_upto;
    return rc < 0 ? rc : QUIPU_OK;
}

/* Begin at the first occurrence after `bound`, or backwards at the last that is not after it. */
static int start(struct qp_reader *reader, struct source *source, uint64_t bound,
                 quipu_error *error)
{
    int rc = qp_postings_seek(&source->postings, reader->range.backwards, bound, error);

    return rc == QUIPU_OK ? advance(reader, source, error) : rc;
}

/* ---- sources of a query ---- */

/* A term that does not occur is a source too, of nothing: nothing is the shortest list there is. */
static int add_source(struct qp_reader *reader, enum qp_term_kind kind, struct qp_bytes name,
                      quipu_error *error)
{
    if (!qp_array_reserve(&reader->sources, &reader->source_capacity, reader->source_count + 1,
                          sizeof(struct source *)))
        return qp_fail_memory(error);
    return new_source(reader, kind, name, &reader->sources[reader->source_count++], error);
}

/* How long the list from source `first` on is. */
static uint64_t length_from(const struct qp_reader *reader, size_t first)
{
    uint64_t length = 0;

    for (size_t i = first; i < reader->source_count; i++)
        length += qp_postings_count(&reader->sources[i]->postings);
    return length;
}

/* Of two lists that both hold all matches, `first` to `second` and from there to the end, keep the
 * shorter one. */
static void keep_shorter(struct qp_reader *reader, size_t first, size_t second)
{
    size_t count = reader->source_count;
    uint64_t late;
    uint64_t early;

    assert(first <= second && second <= count);
    if (first == second || second == count)
        return;
    late = length_from(reader, second);
    early = length_from(reader, first) - late;
    if (early <= late) {
        for (size_t i = second; i < count; i++)
            free_source(reader->sources[i]);
        reader->source_count = second;
        return;
    }
    for (size_t i = first; i < second; i++)
        free_source(reader->sources[i]);
    memmove(&reader->sources[first], &reader->sources[second],
            (count - second) * sizeof(struct source *));
    reader->source_count = count - (second - first);
}

/* The item's shortest list: of its stream, of its category, or of its types, which are one list as
 * each is an alternative. *everything: it has no term, and then the query has every event. */
static int add_item(struct qp_reader *reader, const struct qp_query_item *item, bool *everything,
                    quipu_error *error)
{
    size_t first = reader->source_count;
    size_t second;
    int rc = QUIPU_OK;

    if (item->stream.data != NULL)
        rc = add_source(reader, QP_TERM_STREAM, item->stream, error);
    second = reader->source_count;
    if (rc == QUIPU_OK && item->category.data != NULL)
        rc = add_source(reader, QP_TERM_CATEGORY, item->category, error);
    if (rc == QUIPU_OK)
        keep_shorter(reader, first, second);
    second = reader->source_count;
    for (size_t i = 0; i < item->type_count && rc == QUIPU_OK; i++)
        rc = add_source(reader, QP_TERM_TYPE, reader->query.types[item->first_type + i], error);
    if (rc == QUIPU_OK)
        keep_shorter(reader, first, second);
    *everything = item->stream.data == NULL && item->category.data == NULL && item->type_count == 0;
    return rc;
}

/* Sources of all items, begun at the range's near end. If one item has every event so has the
 * query: then the log itself is read, and sources that were made already are not used. */
static int start_query(struct qp_reader *reader, quipu_error *error)
{
    uint64_t bound = reader->range.backwards ? reader->range.upto : reader->range.after;
    int rc = QUIPU_OK;

    reader->mode = MODE_QUERY;
    for (size_t i = 0; i < reader->query.item_count && rc == QUIPU_OK; i++) {
        bool everything;

        rc = add_item(reader, &reader->query.items[i], &everything, error);
        if (rc == QUIPU_OK && everything) {
            reader->mode = MODE_ALL;
            return QUIPU_OK;
        }
    }
    /* Positions count here, of a stream too. */
    for (size_t i = 0; i < reader->source_count && rc == QUIPU_OK; i++) {
        reader->sources[i]->postings.by_number = false;
        rc = start(reader, reader->sources[i], bound, error);
    }
    if (rc == QUIPU_OK && reader->damaged != NULL)
        rc = start(reader, reader->damaged, bound, error);
    return rc;
}

int qp_reader_open(struct qp_handle *handle, const quipu_query *query, const struct qp_range *range,
                   struct qp_reader **out, quipu_error *error)
{
    struct qp_reader *reader = NULL;
    int rc = begin(handle, range, &reader, error);

    *out = NULL;
    if (rc < 0)
        return rc;
    if (range->upto == 0 || range->upto > reader->moment->pin.head)
        reader->range.upto = reader->moment->pin.head;
    reader->next = range->backwards ? reader->range.upto : range->after + 1;
    reader->seen = range->after;
    reader->seen_at_end = range->after > reader->range.upto ? range->after : reader->range.upto;
    rc = qp_query_copy(query, &reader->query, error);
    if (rc == QUIPU_OK && reader->query.item_count > 0)
        rc = start_query(reader, error);
    if (rc < 0)
        qp_reader_close(reader);
    else
        *out = reader;
    return rc;
}

/* ---- a stream ---- */

/* Where a range's begin (`lower`) or end in versions lies among positions: at the range's own first
 * or last version, if that is known, else at the nearest known one outside. 0: there is none. */
static int find_bound(struct source *probe, bool lower, uint64_t bound, uint64_t *position,
                      quipu_error *error)
{
    uint64_t inner = lower ? bound + 1 : bound;
    uint64_t version = 0;
    int rc = qp_postings_find(&probe->postings, !lower, bound, position, &version, error);

    if (rc == QUIPU_OK || (rc == QUIPU_ROW && version != inner))
        rc = qp_postings_find(&probe->postings, lower, bound, position, &version, error);
    if (rc == QUIPU_OK)
        *position = 0;
    return rc < 0 ? rc : QUIPU_OK;
}

/* Which of the damaged records may have been a version in (after, upto]: those between the known
 * versions around these bounds, and on to the store's ends where no version bounds it. */
static int start_damaged(struct qp_reader *reader, struct qp_bytes name,
                         const struct qp_stream_edge *edge, quipu_error *error)
{
    const struct qp_range *range = &reader->range;
    struct source *probe = NULL;
    int rc = new_source(reader, QP_TERM_STREAM, name, &probe, error);

    assert(reader->mode == MODE_STREAM && reader->source_count == 1);
    reader->damaged_after = 0;
    reader->damaged_upto = 0;
    if (rc == QUIPU_OK && range->after > 0)
        rc = find_bound(probe, true, range->after, &reader->damaged_after, error);
    if (rc == QUIPU_OK && range->upto < edge->newest)
        rc = find_bound(probe, false, range->upto, &reader->damaged_upto, error);
    if (reader->damaged_upto == 0)
        reader->damaged_upto = reader->moment->pin.head;
    free_source(probe);
    if (rc < 0)
        return rc;
    return start(reader, reader->damaged,
                 range->backwards ? reader->damaged_upto : reader->damaged_after, error);
}

/* That there is no such stream can be said only if no damaged record may have been of it. */
static int start_stream(struct qp_reader *reader, const char *stream, quipu_error *error)
{
    struct qp_bytes name = {.data = stream};
    struct qp_stream_edge edge = {0};
    int rc = qp_text_name(stream, QP_NAME_MAX, "a stream", &name.size, error);

    if (rc == QUIPU_OK)
        rc = qp_moment_stream(reader->moment, name, &edge, error);
    if (rc < 0)
        return rc;
    if (edge.newest == 0 && reader->damaged == NULL)
        return qp_fail(error, QUIPU_NOT_FOUND, "no stream %.100s", stream);
    if (edge.newest > 0 && edge.newest <= edge.hidden)
        return qp_fail(error, QUIPU_DELETED, "stream %.100s is deleted", stream);

    reader->mode = MODE_STREAM;
    reader->seen_at_end = reader->moment->pin.head;
    if (reader->range.upto == 0)
        reader->range.upto = edge.newest > 0 ? edge.newest : QP_POSITION_MAX;
    rc = add_source(reader, QP_TERM_STREAM, name, error);
    if (rc == QUIPU_OK)
        rc = start(reader, reader->sources[0],
                   reader->range.backwards ? reader->range.upto : reader->range.after, error);
    if (rc == QUIPU_OK && reader->damaged != NULL)
        rc = start_damaged(reader, name, &edge, error);
    return rc;
}

int qp_reader_open_stream(struct qp_handle *handle, const char *stream,
                          const struct qp_range *range, struct qp_reader **out, quipu_error *error)
{
    struct qp_reader *reader = NULL;
    int rc = begin(handle, range, &reader, error);

    *out = NULL;
    if (rc == QUIPU_OK)
        rc = start_stream(reader, stream, error);
    if (rc < 0)
        qp_reader_close(reader);
    else
        *out = reader;
    return rc;
}

/* ---- all ---- */

static bool in_range(const struct qp_reader *reader, uint64_t position)
{
    return position > reader->range.after && position <= reader->range.upto;
}

/* Positions between the expected and the found one (or the range's end) have no record. They are
 * told once, as one; what was found comes with the next call. */
static int missing(struct qp_reader *reader, uint64_t found, uint64_t *position, quipu_error *error)
{
    uint64_t low = reader->range.backwards ? found + 1 : reader->next;
    uint64_t high = reader->range.backwards ? reader->next : found - 1;

    *position = reader->range.backwards ? high : low;
    reader->next = found;
    reader->begun = false; /* look for it again */
    if (low == high)
        return qp_fail(error, QUIPU_CORRUPT, "the event at position %llu is missing",
                       (unsigned long long)low);
    return qp_fail(error, QUIPU_CORRUPT, "the events at positions %llu to %llu are missing",
                   (unsigned long long)low, (unsigned long long)high);
}

/* Is it the event that is wrong, or did the reading of it fail? */
static bool is_of_event(int rc)
{
    return rc == QUIPU_CORRUPT || rc == QUIPU_NEWER_FORMAT;
}

/* Step by step along the log. Positions have no gaps, so what is missing is noticed; a record that
 * cannot be read is told and passed, anything else that fails is tried again. */
static int next_of_all(struct qp_reader *reader, uint64_t *position, struct qp_record *record,
                       quipu_error *error)
{
    const struct qp_range *range = &reader->range;
    struct qp_log_cursor *log = &reader->moment->log;
    int rc;

    if (!in_range(reader, reader->next))
        return QUIPU_OK;
    *position = reader->next;
    if (reader->begun)
        rc = qp_log_step(log, range->backwards, position, record, error);
    else
        rc = qp_log_begin(log, range->backwards, position, record, error);
    reader->begun = true;
    if (rc < 0 && !is_of_event(rc) && *position == reader->next) {
        reader->begun = false; /* nothing is passed over: the next call tries again */
        return rc;
    }
    if (rc == QUIPU_OK || !in_range(reader, *position))
        return missing(reader, range->backwards ? range->after : range->upto + 1, position, error);
    if (*position != reader->next)
        return missing(reader, *position, position, error);
    if (range->backwards)
        reader->next--; /* 0 is in no range */
    else
        reader->next++;
    return rc;
}

/* ---- along terms ---- */

/* The source that comes next, NULL at the end. A stream ends with its last version, unless damaged
 * records beyond it may have been newer (backwards: older) ones. */
static struct source *nearest(struct qp_reader *reader)
{
    struct source *best = NULL;

    for (size_t i = 0; i < reader->source_count; i++) {
        struct source *source = reader->sources[i];

        if (source->live &&
            (best == NULL || (reader->range.backwards ? source->position > best->position
                                                      : source->position < best->position)))
            best = source;
    }
    if (reader->damaged == NULL || !reader->damaged->live)
        return best;
    if (best == NULL)
        return reader->damaged;
    if (reader->range.backwards ? reader->damaged->position > best->position
                                : reader->damaged->position < best->position)
        return reader->damaged;
    return best;
}

/* Tell the kernel what a source will touch, each time that what it was told is used up. */
static void look_ahead(struct qp_reader *reader, const struct source *source)
{
    uint64_t positions[QP_EXPECT_MAX];
    size_t max = QP_EXPECT_MAX;

    assert(source->live && (reader->range.limit == 0 || reader->given < reader->range.limit));
    if (reader->advised > 0) {
        reader->advised--;
        return;
    }
    if (reader->range.limit > 0 && reader->range.limit - reader->given < max)
        max = (size_t)(reader->range.limit - reader->given);
    if (max < 2)
        return;
    positions[0] = source->position;
    reader->advised = 1 + qp_postings_peek(&source->postings, positions + 1, max - 1);
    qp_log_expect(&reader->moment->log, positions, reader->advised);
}

/* Every source that stands at this position goes on: an event is given once, however many items of
 * the query it is in. */
static int pass(struct qp_reader *reader, uint64_t position, quipu_error *error)
{
    int rc = QUIPU_OK;

    for (size_t i = 0; i < reader->source_count && rc == QUIPU_OK; i++)
        if (reader->sources[i]->live && reader->sources[i]->position == position)
            rc = advance(reader, reader->sources[i], error);
    if (rc == QUIPU_OK && reader->damaged != NULL && reader->damaged->live &&
        reader->damaged->position == position)
        rc = advance(reader, reader->damaged, error);
    return rc;
}

/* Where the next occurrence is cannot be told: not now and not at any later call, or whole events
 * would be skipped. */
static int index_failed(struct qp_reader *reader, uint64_t *position, quipu_error *error)
{
    *position = 0;
    if (error != NULL)
        *error = reader->failure;
    return reader->failure.status;
}

/* Is the record of the stream that the source is about? */
static bool is_of(const struct qp_record *record, const struct source *source)
{
    const struct qp_key *key = &source->postings.key;

    return record->stream.size + 1 == key->size &&
           memcmp(record->stream.data, key->bytes + 1, record->stream.size) == 0;
}

/* The record at which the source stands. In a stream it must be the version that the index says: a
 * wrong index must not hand out another stream's event. What a query proposes wanted() looks at. */
static int take_source(struct qp_reader *reader, const struct source *source, uint64_t *position,
                       struct qp_record *record, quipu_error *error)
{
    uint64_t at = source->position;
    uint64_t number = source->number;
    int rc;

    *position = at;
    if (source == reader->damaged) {
        rc = qp_fail(error, QUIPU_CORRUPT,
                     "the event at position %llu is damaged and may have been one of these",
                     (unsigned long long)at);
    } else {
        look_ahead(reader, source);
        rc = qp_log_get(&reader->moment->log, at, record, error);
    }
    if (rc < 0 && !is_of_event(rc))
        return rc; /* nothing is passed over: the next call tries again */
    reader->passing = true;
    reader->passed = at;
    if (rc == QUIPU_ROW && reader->mode == MODE_STREAM &&
        (record->version != number || !is_of(record, reader->sources[0]))) {
        return qp_fail(error, QUIPU_CORRUPT,
                       "the index says that position %llu is version %llu of this stream",
                       (unsigned long long)at, (unsigned long long)number);
    }
    return rc;
}

/* Sources go on at the call after the one that gave their event: if the index then fails, that
 * event has been given, and nothing is lost but what the index cannot tell. */
static int next_of_terms(struct qp_reader *reader, uint64_t *position, struct qp_record *record,
                         quipu_error *error)
{
    struct source *source;

    assert(reader->mode != MODE_ALL);
    if (reader->passing && pass(reader, reader->passed, &reader->failure) < 0)
        return index_failed(reader, position, error);
    reader->passing = false;
    source = nearest(reader);
    if (source == NULL)
        return QUIPU_OK;
    return take_source(reader, source, position, record, error);
}

/* ---- next ---- */

/* Terms only propose: is the record visible, and is it in the query? */
static int wanted(struct qp_reader *reader, const struct qp_record *record, bool *is,
                  quipu_error *error)
{
    int rc;

    *is = false;
    rc = qp_streams_visible(reader->moment->txn, reader->moment->streams_any, record->stream,
                            record->version, is, error);
    if (rc == QUIPU_OK && *is && reader->mode == MODE_QUERY)
        *is = qp_query_matches(&reader->query, record);
    return rc;
}

/* Until one is wanted. `seen` moves with each that was passed, given or told: who comes back with
 * it as `after` misses nothing. After an end or the limit there is nothing more, however often
 * asked. */
int qp_reader_next(struct qp_reader *reader, uint64_t *position, struct qp_record *record,
                   quipu_error *error)
{
    const struct qp_range *range = &reader->range;

    while (!reader->ended && (range->limit == 0 || reader->given < range->limit)) {
        bool is;
        int rc;

        if (reader->failure.status != QUIPU_OK)
            return index_failed(reader, position, error);
        if (reader->mode == MODE_ALL)
            rc = next_of_all(reader, position, record, error);
        else
            rc = next_of_terms(reader, position, record, error);
        if (rc == QUIPU_OK)
            reader->ended = true;
        if (rc == QUIPU_ROW || (rc < 0 && is_of_event(rc) && *position != 0))
            reader->seen = *position;
        if (rc < 0)
            return rc;
        if (rc == QUIPU_ROW) {
            rc = wanted(reader, record, &is, error);
            if (rc < 0)
                return rc;
            if (is) {
                reader->given++;
                return QUIPU_ROW;
            }
        }
    }
    return QUIPU_OK;
}
