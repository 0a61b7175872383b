/* emitting.c - a draft becomes an event of the page's batch, in a stream that is the projection's
 * own or that nobody has written to. It has the tag "causation:POSITION" of what it was made of.
 *
 * Each draft is checked here, so that what is wrong with it is told to who emits, and no commit of
 * a page is refused for it. */
#include "emitting.h"

#include "moment.h"
#include "status.h"
#include "streams.h"
#include "sum.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

enum { OVERHEAD_BYTES = 32 * 1024 /* at most: a record's header, names and tags */ };

/* Whose is the stream, as far as can be seen? The commit looks again. */
static int check_stream(struct qp_folding *folding, const char *stream)
{
    struct qp_bytes name = {stream, strlen(stream)};
    struct qp_stream_row row = {0};
    struct qp_stream_edge edge = {0};
    struct qp_moment *moment = NULL;
    quipu_error error = {0};
    int rc = qp_streams_get(folding->sheet.txn, true, name, &row, &error);

    if (rc < 0)
        return qp_folding_note(folding, rc, &error);
    if (row.owner.size > 0)
        return qp_bytes_equal(row.owner, folding->projection->name_bytes) ? QUIPU_OK : QUIPU_MISUSE;
    rc = qp_moment_begin(folding->handle, true, &moment, &error);
    if (rc == QUIPU_OK)
        rc = qp_moment_stream(moment, name, &edge, &error);
    qp_moment_end(moment);
    if (rc < 0)
        return qp_folding_note(folding, rc, &error);
    return edge.newest == 0 ? QUIPU_OK : QUIPU_MISUSE;
}

/* The draft with one tag more: what it was made of. */
static int append_emitted(struct qp_folding *folding, const char *stream, const quipu_draft *draft)
{
    const char *tags[QP_TAGS_MAX];
    char causation[40];
    quipu_draft own = *draft;
    struct qp_batch_edge before = qp_batch_edge(folding->batch);
    int rc;

    (void)snprintf(causation, sizeof(causation), "causation:%llu",
                   (unsigned long long)folding->event->position);
    if (draft->tag_count > 0)
        memcpy(tags, draft->tags, draft->tag_count * sizeof(*tags));
    tags[own.tag_count++] = causation;
    own.tags = tags;
    rc = qp_batch_append(folding->batch, stream, QUIPU_ANY, &own, 1);
    if (rc == QUIPU_OK)
        rc = qp_batch_own(folding->batch, folding->projection->name_bytes);
    if (rc < 0) { /* told to who emits, and not remembered by the batch */
        if (rc == QUIPU_NO_MEMORY)
            (void)qp_fail_memory(&folding->failure);
        folding->batch->failure = (quipu_error){0};
        qp_batch_cut(folding->batch, &before);
    }
    return rc;
}

/* What earlier events of the page have emitted is not this one's fault: it is for the next page. */
static int no_room(struct qp_folding *folding)
{
    folding->fault.position = folding->event->position;
    return folding->shares ? qp_fail(&folding->failure, QUIPU_TOO_LARGE, "the page is full")
                           : QUIPU_TOO_LARGE;
}

/* No ids: one would be known already when a projection that was deleted is made again, and the
 * projection would stop at it. */
int qp_emit(struct qp_folding *folding, const char *stream, const quipu_draft *draft)
{
    const quipu_options *options = &folding->handle->options;
    size_t size;
    int rc;

    if (folding->keying || folding->emits == QP_EMITS_REFUSED || stream == NULL || draft == NULL ||
        (draft->flags & QUIPU_EVENT_HAS_ID) != 0 || (draft->tag_count > 0 && draft->tags == NULL))
        return QUIPU_MISUSE;
    if (folding->emits == QP_EMITS_IGNORED && folding->sheet.sums && draft->data != NULL)
        folding->sheet.sum = qp_sum(draft->data, draft->data_size, folding->sheet.sum);
    if (folding->emits == QP_EMITS_IGNORED || folding->emitted.silent)
        return QUIPU_OK;
    if (draft->tag_count >= QP_TAGS_MAX ||
        (uint64_t)draft->data_size + draft->meta_size > options->data_bytes_max)
        return QUIPU_TOO_LARGE;
    if (folding->batch->draft_count >= options->batch_events_max ||
        (folding->batch->draft_count > 0 &&
         folding->batch->bytes.size + draft->data_size + draft->meta_size + OVERHEAD_BYTES >
             options->batch_bytes_max))
        return no_room(folding);
    rc = qp_text_name(stream, QP_NAME_MAX, "a stream", &size, NULL);
    if (rc == QUIPU_OK)
        rc = check_stream(folding, stream);
    return rc < 0 ? rc : append_emitted(folding, stream, draft);
}
