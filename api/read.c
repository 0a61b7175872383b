/* read.c - readers: structs of the caller's release are brought into ours, and a reader is counted
 * as a child of its store, so that the files stay as long as its views do. With QUIPU_UPCAST what
 * it reads goes through the store's upcasters: a stored event stays the reader's until all that it
 * has become was handed out, and only then its position counts as seen. */
#include "event.h"
#include "handles.h"
#include "quipu.h"
#include "reader.h"
#include "status.h"
#include "upcast.h"

struct quipu_reader {
    struct qp_child child;
    struct qp_reader *reader;
    struct qp_upcast upcast; /* knows none without QUIPU_UPCAST */
    quipu_event stored;      /* what `upcast` works at */
    bool pending;            /* it has to go through: also again, after a failure */
    uint64_t seen;           /* the head before `stored` */
};

/* ---- open ---- */

static int check_range(const quipu_range *given, struct qp_range *range, bool *upcasts,
                       quipu_error *error)
{
    const uint32_t known = QUIPU_BACKWARDS | QUIPU_SKIP_CHECKSUMS | QUIPU_UPCAST | QUIPU_RENEW;
    quipu_range own = {0};
    int rc = QUIPU_OK;

    if (given != NULL)
        rc = qp_struct_in(given, sizeof(own), &own, "quipu_range", error);
    if (rc < 0)
        return rc;
    if ((own.flags & ~known) != 0)
        return qp_fail(error, QUIPU_MISUSE, "unknown flags of a range: %x", own.flags & ~known);
    *range = (struct qp_range){.after = own.after,
                               .upto = own.upto,
                               .limit = own.limit,
                               .backwards = (own.flags & QUIPU_BACKWARDS) != 0,
                               .check = (own.flags & QUIPU_SKIP_CHECKSUMS) == 0,
                               .renew = (own.flags & QUIPU_RENEW) != 0};
    *upcasts = (own.flags & QUIPU_UPCAST) != 0;
    return QUIPU_OK;
}

/* What both ways to open begin with: an empty reader, and the range checked. */
static int begin(quipu *store, const quipu_range *given, struct qp_range *range, quipu_reader **out,
                 quipu_reader **reader, quipu_error *error)
{
    bool upcasts = false;
    int rc = qp_api_enter(store, error);

    if (out != NULL)
        *out = NULL;
    if (rc == QUIPU_OK && out == NULL)
        rc = qp_fail(error, QUIPU_MISUSE, "out is NULL");
    if (rc == QUIPU_OK)
        rc = check_range(given, range, &upcasts, error);
    if (rc < 0)
        return rc;
    *reader = qp_zalloc(sizeof(**reader));
    if (*reader == NULL)
        return qp_fail_memory(error);
    if (upcasts)
        qp_upcast_begin(&(*reader)->upcast, &store->handle->upcasters, range->backwards);
    return QUIPU_OK;
}

static int finish(quipu *store, int rc, quipu_reader *reader, quipu_reader **out)
{
    if (rc < 0) {
        qp_free(reader);
        return rc;
    }
    qp_child_begin(store, &reader->child);
    *out = reader;
    return QUIPU_OK;
}

int quipu_read(quipu *store, const quipu_query *query, const quipu_range *range, quipu_reader **out,
               quipu_error *error)
{
    struct qp_range own;
    quipu_reader *reader;
    int rc = begin(store, range, &own, out, &reader, error);

    if (rc < 0)
        return rc;
    rc = qp_reader_open(store->handle, query, NULL, &own, &reader->reader, error);
    return finish(store, rc, reader, out);
}

int quipu_read_stream(quipu *store, const char *stream, const quipu_range *range,
                      quipu_reader **out, quipu_error *error)
{
    struct qp_range own;
    quipu_reader *reader;
    int rc = begin(store, range, &own, out, &reader, error);

    if (rc < 0)
        return rc;
    rc = qp_reader_open_stream(store->handle, NULL, stream, &own, &reader->reader, error);
    return finish(store, rc, reader, out);
}

/* ---- next and close ---- */

/* Of the stored event that is at hand, what comes next. Returns: ROW; OK: there is no more of it.
 */
static int next_of_stored(quipu_reader *reader, quipu_event *event, quipu_error *error)
{
    const quipu_event *result;
    int rc;

    if (reader->pending) {
        rc = qp_upcast_event(&reader->upcast, &reader->stored, error);
        if (rc < 0) {
            *event = (quipu_event){.position = reader->stored.position};
            return rc;
        }
        reader->pending = false;
    }
    result = qp_upcast_next(&reader->upcast);
    if (result == NULL)
        return QUIPU_OK;
    *event = *result;
    return QUIPU_ROW;
}

static int next_stored(quipu_reader *reader, quipu_event *event, quipu_error *error)
{
    struct qp_record record;
    uint64_t position = 0;
    int rc = qp_reader_next(reader->reader, &position, &record, error);

    if (rc == QUIPU_ROW)
        qp_event_fill(&record, reader->child.store->handle->uuid, position, event);
    else if (rc < 0)
        *event = (quipu_event){.position = position};
    return rc;
}

/* A stored event may become nothing: then it is the next one's turn. */
static int next_upcast(quipu_reader *reader, quipu_event *event, quipu_error *error)
{
    for (;;) {
        int rc = next_of_stored(reader, event, error);

        if (rc != QUIPU_OK)
            return rc;
        reader->seen = qp_reader_head(reader->reader);
        rc = next_stored(reader, event, error);
        if (rc != QUIPU_ROW)
            return rc;
        reader->stored = *event;
        reader->pending = true;
    }
}

int quipu_next(quipu_reader *reader, quipu_event *event, quipu_error *error)
{
    int rc;

    if (reader == NULL || event == NULL)
        return qp_fail(error, QUIPU_MISUSE, "reader and event must not be NULL");
    rc = qp_child_enter(&reader->child, error);
    if (rc < 0)
        return rc;
    if (qp_upcast_idle(&reader->upcast))
        return next_stored(reader, event, error);
    return next_upcast(reader, event, error);
}

uint64_t quipu_reader_head(const quipu_reader *reader)
{
    if (reader == NULL || qp_child_enter(&reader->child, NULL) < 0)
        return 0;
    if ((reader->pending || qp_upcast_left(&reader->upcast) > 0) && !QP_MUTANT(UPCAST_HEAD))
        return reader->seen; /* not all of what was read last was handed out */
    return qp_reader_head(reader->reader);
}

void quipu_reader_close(quipu_reader *reader)
{
    struct qp_child child;

    if (reader == NULL || !qp_child_may_end(&reader->child))
        return;
    child = reader->child;
    qp_reader_close(reader->reader);
    qp_upcast_release(&reader->upcast);
    qp_free(reader);
    qp_child_end(&child);
}
