/* reader.c - three ways through one moment: along the log (all), along the candidates of a query,
 * along one stream. What terms cannot decide alone the record does: every candidate is held against
 * the query.
 *
 * A damaged record's stream, category and type are not known: it may have been any reader's. So
 * each that goes along terms reads the term of the damaged too, and says CORRUPT where one lies in
 * its range: a stream's is in versions, and start_damaged() says what that means for positions.
 *
 *     candidates, or versions   5 -> 7 -> 9 ...     the least (backwards: greatest) is next;
 *     damaged                   8 -> 30 ...         what stands at it goes on together
 *
 * One that renews itself ends its moment every 100 ms or 10 000 events, and goes on in a new one
 * behind what was given or told last: what it sees beyond its first head it leaves alone. */
#include "reader.h"

#include "candidates.h"
#include "clock.h"
#include "postings.h"
#include "status.h"
#include "streams.h"
#include "text.h"

#include <assert.h>

enum mode { MODE_ALL, MODE_QUERY, MODE_STREAM };

/* A moment pins pages: 16 KiB and more for each commit that follows. A new one costs what 100
 * events do. */
enum { RENEW_EVENTS = 10000, RENEW_MS = 100 };

struct source {
    struct qp_postings *postings; /* NULL: there is none */
    bool live;                    /* it stands at an occurrence in the range */
    uint64_t position;
    uint64_t number; /* of a stream: the version there */
};

struct qp_reader {
    struct qp_handle *handle;
    struct qp_moment *moment;
    struct qp_query own_query;
    const struct qp_query *query; /* MODE_QUERY: the own one, or the caller's */
    struct qp_key key;            /* MODE_STREAM: the stream's term */
    struct qp_range range;        /* upto is resolved */
    enum mode mode;
    struct qp_candidates *candidates; /* MODE_QUERY */
    struct source stream;             /* MODE_STREAM */
    struct source damaged;            /* none: no record of this moment is */
    uint64_t damaged_after; /* of a stream: which of them may have been a version in its range */
    uint64_t damaged_upto;
    bool begun; /* MODE_ALL: the log's cursor stands at what was given last */
    bool ended;
    bool passing;           /* what stands at `passed` goes on at the next call */
    uint64_t passed;        /* what was given or told last */
    uint64_t passed_number; /* MODE_STREAM: the last version that was */
    quipu_error failure;    /* of the index: this reader cannot go on */
    uint64_t next;          /* MODE_ALL: the position that must come next */
    uint64_t given;
    uint64_t seen;        /* forward: everything up to this position was given or told */
    uint64_t seen_at_end; /* the same once all was given; backwards from the start */
    size_t advised;       /* positions ahead of which the kernel was told */
    size_t since_renewal; /* records looked at */
    int64_t renewed_ns;
};

/* ---- open ---- */

/* The term of the damaged, if any record is. */
static int open_damaged(struct qp_reader *reader, quipu_error *error)
{
    int rc;

    if (!qp_moment_damaged(reader->moment))
        return QUIPU_OK;
    rc = qp_postings_new(reader->moment, QP_TERM_DAMAGED, (struct qp_bytes){0},
                         &reader->damaged.postings, error);
    return rc < 0 ? rc : QUIPU_OK;
}

/* What both ways to open have in common: the moment, and the damaged if there are any. */
static int begin(struct qp_handle *handle, struct qp_moment *moment, const struct qp_range *range,
                 struct qp_reader **out, quipu_error *error)
{
    struct qp_reader *reader = qp_zalloc(sizeof(*reader));
    int rc = QUIPU_OK;

    *out = NULL;
    if (reader == NULL) {
        qp_moment_end(moment);
        return qp_fail_memory(error);
    }
    assert(handle != NULL && range != NULL);
    reader->handle = handle;
    reader->moment = moment;
    reader->range = *range;
    reader->renewed_ns = qp_clock_coarse_ns();
    if (moment == NULL)
        rc = qp_moment_begin(handle, range->check, &reader->moment, error);
    if (rc == QUIPU_OK)
        rc = open_damaged(reader, error);
    if (rc < 0)
        qp_reader_close(reader);
    else
        *out = reader;
    return rc < 0 ? rc : QUIPU_OK;
}

/* Everything that looks into the moment. */
static void close_sources(struct qp_reader *reader)
{
    qp_candidates_close(reader->candidates);
    qp_postings_free(reader->stream.postings);
    qp_postings_free(reader->damaged.postings);
    reader->candidates = NULL;
    reader->stream = (struct source){0};
    reader->damaged = (struct source){0};
}

void qp_reader_close(struct qp_reader *reader)
{
    if (reader == NULL)
        return;
    close_sources(reader);
    qp_moment_end(reader->moment);
    qp_query_release(&reader->own_query);
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
    int rc = qp_postings_next(source->postings, &source->position, &source->number, error);
    uint64_t bound = source->postings->by_number ? source->number : source->position;

    source->live = rc == QUIPU_ROW;
    if (source->live && source->postings->by_number == (reader->mode == MODE_STREAM))
        source->live = bound > reader->range.after && bound <= reader->range.upto;
    if (source->live && reader->mode == MODE_STREAM && source == &reader->damaged)
        source->live = bound > reader->damaged_after && bound <= reader->damaged_upto;
    return rc < 0 ? rc : QUIPU_OK;
}

/* Begin at the first occurrence after `bound`, or backwards at the last that is not after it. */
static int start(struct qp_reader *reader, struct source *source, uint64_t bound,
                 quipu_error *error)
{
    int rc = qp_postings_seek(source->postings, reader->range.backwards, bound, error);

    return rc == QUIPU_OK ? advance(reader, source, error) : rc;
}

/* ---- a query ---- */

/* Begun at the range's near end. If one item has every event so has the query: then the log itself
 * is read. */
static int start_query(struct qp_reader *reader, quipu_error *error)
{
    const struct qp_range *range = &reader->range;
    const struct qp_candidates_range set = {range->after, range->upto, range->backwards};
    int rc = qp_candidates_open(reader->moment, reader->query, &set, &reader->candidates, error);

    reader->mode = rc == QUIPU_OK ? MODE_ALL : MODE_QUERY;
    if (rc == QUIPU_ROW && reader->damaged.postings != NULL)
        rc = start(reader, &reader->damaged, range->backwards ? range->upto : range->after, error);
    return rc < 0 ? rc : QUIPU_OK;
}

int qp_reader_open(struct qp_handle *handle, const quipu_query *query,
                   const struct qp_query *checked, const struct qp_range *range,
                   struct qp_reader **out, quipu_error *error)
{
    struct qp_reader *reader = NULL;
    int rc = begin(handle, NULL, range, &reader, error);

    *out = NULL;
    if (rc < 0)
        return rc;
    if (range->upto == 0 || range->upto > reader->moment->pin.head)
        reader->range.upto = reader->moment->pin.head;
    reader->next = range->backwards ? reader->range.upto : range->after + 1;
    reader->seen = range->after;
    reader->seen_at_end = range->after > reader->range.upto ? range->after : reader->range.upto;
    rc = qp_query_copy(query, &reader->own_query, error);
    reader->query = checked != NULL ? checked : &reader->own_query;
    if (rc == QUIPU_OK && reader->query->item_count > 0)
        rc = start_query(reader, error);
    if (rc < 0)
        qp_reader_close(reader);
    else
        *out = reader;
    return rc;
}

/* ---- a stream ---- */

static struct qp_bytes stream_name(const struct qp_reader *reader)
{
    assert(reader->key.size > 1);
    return (struct qp_bytes){reader->key.bytes + 1, reader->key.size - 1U};
}

/* Where a range's begin (`lower`) or end in versions lies among positions: at the range's own first
 * or last version, if that is known, else at the nearest known one outside. 0: there is none. */
static int find_bound(struct qp_postings *probe, bool lower, uint64_t bound, uint64_t *position,
                      quipu_error *error)
{
    uint64_t inner = lower ? bound + 1 : bound;
    uint64_t version = 0;
    int rc = qp_postings_find(probe, !lower, bound, position, &version, error);

    if (rc == QUIPU_OK || (rc == QUIPU_ROW && version != inner))
        rc = qp_postings_find(probe, lower, bound, position, &version, error);
    if (rc == QUIPU_OK)
        *position = 0;
    return rc < 0 ? rc : QUIPU_OK;
}

/* Which of the damaged records may have been a version in (after, upto]: those between the known
 * versions around these bounds, and on to the store's ends where no version bounds it. */
static int start_damaged(struct qp_reader *reader, const struct qp_stream_edge *edge,
                         quipu_error *error)
{
    const struct qp_range *range = &reader->range;
    struct qp_postings *probe = NULL;
    int rc = qp_postings_new(reader->moment, QP_TERM_STREAM, stream_name(reader), &probe, error);

    assert(reader->mode == MODE_STREAM && reader->stream.postings != NULL);
    reader->damaged_after = 0;
    reader->damaged_upto = 0;
    if (rc >= 0 && range->after > 0)
        rc = find_bound(probe, true, range->after, &reader->damaged_after, error);
    if (rc >= 0 && range->upto < edge->newest)
        rc = find_bound(probe, false, range->upto, &reader->damaged_upto, error);
    if (reader->damaged_upto == 0)
        reader->damaged_upto = reader->moment->pin.head;
    qp_postings_free(probe);
    if (rc < 0)
        return rc;
    /* What was told before a renewal is not told again. */
    if (reader->passed > 0 && range->backwards && reader->damaged_upto >= reader->passed)
        reader->damaged_upto = reader->passed - 1;
    if (!range->backwards && reader->damaged_after < reader->passed)
        reader->damaged_after = reader->passed;
    return start(reader, &reader->damaged,
                 range->backwards ? reader->damaged_upto : reader->damaged_after, error);
}

/* Its versions, and the damaged records that may be some of them, at the range's near end. */
static int start_versions(struct qp_reader *reader, const struct qp_stream_edge *edge,
                          quipu_error *error)
{
    const struct qp_range *range = &reader->range;
    struct qp_bytes name = stream_name(reader);
    int rc = qp_postings_new(reader->moment, QP_TERM_STREAM, name, &reader->stream.postings, error);

    reader->mode = MODE_STREAM;
    if (rc >= 0)
        rc = start(reader, &reader->stream, range->backwards ? range->upto : range->after, error);
    if (rc == QUIPU_OK && reader->damaged.postings != NULL)
        rc = start_damaged(reader, edge, error);
    return rc;
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
    if (edge.newest == 0 && reader->damaged.postings == NULL)
        return qp_fail(error, QUIPU_NOT_FOUND, "no stream %.100s", stream);
    if (edge.newest > 0 && edge.newest <= edge.hidden)
        return qp_fail(error, QUIPU_DELETED, "stream %.100s is deleted", stream);

    reader->seen_at_end = reader->moment->pin.head;
    if (reader->range.upto == 0 || reader->range.upto > edge.newest)
        reader->range.upto = edge.newest; /* also when it is renewed */
    qp_key_term(&reader->key, QP_TERM_STREAM, name);
    return start_versions(reader, &edge, error);
}

int qp_reader_open_stream(struct qp_handle *handle, struct qp_moment *moment, const char *stream,
                          const struct qp_range *range, struct qp_reader **out, quipu_error *error)
{
    struct qp_reader *reader = NULL;
    int rc = begin(handle, moment, range, &reader, error);

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
    reader->begun = rc >= 0; /* it may not have moved: then a step would give the last one again */
    if (rc < 0 && !is_of_event(rc) && *position == reader->next)
        return rc; /* nothing is passed over: the next call tries again */
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

/* The position that comes next, 0 at the end; *damaged: it is one of the damaged. A stream ends
 * with its last version, unless damaged records beyond it may have been newer (backwards: older)
 * ones. */
static uint64_t nearest(const struct qp_reader *reader, bool *damaged)
{
    const struct source *lost = &reader->damaged;
    uint64_t best = 0;

    if (reader->mode == MODE_QUERY)
        best = qp_candidates_at(reader->candidates);
    else if (reader->stream.live)
        best = reader->stream.position;
    *damaged =
        lost->live &&
        (best == 0 || (reader->range.backwards ? lost->position > best : lost->position < best));
    return *damaged ? lost->position : best;
}

/* Tell the kernel what will be touched after `position`, each time that what it was told is used
 * up. */
static void look_ahead(struct qp_reader *reader, uint64_t position)
{
    uint64_t positions[QP_EXPECT_MAX];
    size_t max = QP_EXPECT_MAX;

    assert(reader->range.limit == 0 || reader->given < reader->range.limit);
    if (reader->advised > 0) {
        reader->advised--;
        return;
    }
    if (reader->range.limit > 0 && reader->range.limit - reader->given < max)
        max = (size_t)(reader->range.limit - reader->given);
    if (max < 2)
        return;
    positions[0] = position;
    reader->advised = 1;
    if (reader->mode == MODE_QUERY)
        reader->advised += qp_candidates_peek(reader->candidates, positions + 1, max - 1);
    else
        reader->advised += qp_postings_peek(reader->stream.postings, positions + 1, max - 1);
    qp_log_expect(&reader->moment->log, positions, reader->advised);
}

/* Whatever stands at this position goes on: an event is given once. */
static int pass(struct qp_reader *reader, uint64_t position, quipu_error *error)
{
    int rc = QUIPU_OK;

    if (reader->mode == MODE_QUERY && qp_candidates_at(reader->candidates) == position)
        rc = qp_candidates_pass(reader->candidates, error);
    else if (reader->mode == MODE_STREAM && reader->stream.live &&
             reader->stream.position == position)
        rc = advance(reader, &reader->stream, error);
    if (rc == QUIPU_OK && reader->damaged.postings != NULL && reader->damaged.live &&
        reader->damaged.position == position)
        rc = advance(reader, &reader->damaged, error);
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

/* The record that comes next. In a stream it must be the version that the index says: a wrong index
 * must not hand out another stream's event. What a query proposes wanted() looks at. */
static int take(struct qp_reader *reader, uint64_t at, bool damaged, uint64_t *position,
                struct qp_record *record, quipu_error *error)
{
    const struct source *stream = &reader->stream;
    int rc;

    *position = at;
    if (damaged) {
        rc = qp_fail(error, QUIPU_CORRUPT,
                     "the event at position %llu is damaged and may have been one of these",
                     (unsigned long long)at);
    } else {
        look_ahead(reader, at);
        rc = qp_log_get(&reader->moment->log, at, record, error);
    }
    if (rc < 0 && !is_of_event(rc))
        return rc; /* nothing is passed over: the next call tries again */
    reader->passing = true;
    reader->passed = at;
    if (reader->mode != MODE_STREAM || damaged)
        return rc;
    reader->passed_number = stream->number;
    if (rc == QUIPU_ROW && (record->version != stream->number ||
                            !qp_bytes_equal(record->stream, stream_name(reader)))) {
        return qp_fail(error, QUIPU_CORRUPT,
                       "the index says that position %llu is version %llu of this stream",
                       (unsigned long long)at, (unsigned long long)stream->number);
    }
    return rc;
}

/* One goes on at the call after the one that gave its event: if the index then fails, that event
 * has been given, and nothing is lost but what the index cannot tell. */
static int next_of_terms(struct qp_reader *reader, uint64_t *position, struct qp_record *record,
                         quipu_error *error)
{
    uint64_t at;
    bool damaged;

    assert(reader->mode != MODE_ALL);
    if (reader->passing && pass(reader, reader->passed, &reader->failure) < 0)
        return index_failed(reader, position, error);
    reader->passing = false;
    at = nearest(reader, &damaged);
    if (at == 0)
        return QUIPU_OK;
    return take(reader, at, damaged, position, record, error);
}

/* ---- renewing ---- */

static bool is_old(const struct qp_reader *reader)
{
    return reader->range.renew &&
           (reader->since_renewal >= RENEW_EVENTS ||
            qp_clock_coarse_ns() - reader->renewed_ns >= RENEW_MS * QP_NS_PER_MS);
}

/* What is left to read, and begin there. */
static int restart(struct qp_reader *reader, quipu_error *error)
{
    uint64_t last = reader->mode == MODE_STREAM ? reader->passed_number : reader->passed;
    struct qp_stream_edge edge;
    int rc = open_damaged(reader, error);

    reader->begun = false; /* of all: `next` says where to go on */
    reader->passing = false;
    reader->advised = 0;
    if (last > 0 && reader->range.backwards)
        reader->range.upto = last - 1;
    else if (last > 0)
        reader->range.after = last;
    if (rc == QUIPU_OK && reader->mode == MODE_QUERY)
        rc = start_query(reader, error);
    if (rc < 0 || reader->mode != MODE_STREAM)
        return rc;
    rc = qp_moment_stream(reader->moment, stream_name(reader), &edge, error);
    return rc == QUIPU_OK ? start_versions(reader, &edge, error) : rc;
}

/* Take a new moment, then let the old one go: if there is none to be had nothing has changed, and
 * the next call tries again. If what is left cannot be found in it this reader cannot go on. */
static int renew(struct qp_reader *reader, quipu_error *error)
{
    struct qp_moment *moment;
    int rc = qp_moment_begin(reader->handle, reader->range.check, &moment, error);

    if (rc < 0)
        return rc;
    close_sources(reader);
    qp_moment_end(reader->moment);
    reader->moment = moment;
    reader->since_renewal = 0;
    reader->renewed_ns = qp_clock_coarse_ns();
    rc = restart(reader, &reader->failure);
    if (rc < 0)
        reader->failure.status = rc; /* told by who looks at it */
    return QUIPU_OK;
}

/* ---- next ---- */

/* Terms only propose. Returns: ROW: the record is visible, and in the query; OK: it is not; why
 * nobody knows. */
static int wanted(struct qp_reader *reader, const struct qp_record *record, quipu_error *error)
{
    bool visible = false;
    int rc = qp_streams_visible(reader->moment->txn, reader->moment->streams_any, record->stream,
                                record->version, &visible, error);

    if (rc < 0)
        return rc;
    if (reader->mode == MODE_QUERY)
        visible = visible && qp_query_matches(reader->query, record);
    return visible ? QUIPU_ROW : QUIPU_OK;
}

/* Until one is wanted. `seen` moves with each that was passed, given or told: who comes back with
 * it as `after` misses nothing. After an end or the limit there is nothing more, however often
 * asked. */
int qp_reader_next(struct qp_reader *reader, uint64_t *position, struct qp_record *record,
                   quipu_error *error)
{
    const struct qp_range *range = &reader->range;

    while (!reader->ended && (range->limit == 0 || reader->given < range->limit)) {
        int rc = is_old(reader) ? renew(reader, error) : QUIPU_OK;

        if (rc < 0) {
            *position = 0;
            return rc;
        }
        if (reader->failure.status != QUIPU_OK)
            return index_failed(reader, position, error);
        reader->since_renewal++;
        if (reader->mode == MODE_ALL)
            rc = next_of_all(reader, position, record, error);
        else
            rc = next_of_terms(reader, position, record, error);
        if (rc == QUIPU_OK)
            reader->ended = true;
        if (rc == QUIPU_ROW || (rc < 0 && is_of_event(rc) && *position != 0))
            reader->seen = *position;
        if (rc == QUIPU_ROW)
            rc = wanted(reader, record, error);
        reader->given += rc == QUIPU_ROW;
        if (rc != QUIPU_OK)
            return rc;
    }
    return QUIPU_OK;
}

struct qp_txn *qp_reader_streams(const struct qp_reader *reader)
{
    return reader->moment->streams_any ? reader->moment->txn : NULL;
}
