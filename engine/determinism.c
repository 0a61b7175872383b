/* determinism.c - two folds side by side, from the first event on, each in memory of its own. What
 * each event writes is summed, so that the first difference is found where it is made and not where
 * it is seen. */
#include "determinism.h"

#include "event.h"
#include "reader.h"
#include "status.h"

struct pair {
    struct qp_folding foldings[2];
    struct qp_batch batches[2];
};

/* What a fold has done so far: its writes, what it passed over and parked. */
static uint64_t sum_of(const struct pair *pair, size_t i)
{
    const struct qp_folding *folding = &pair->foldings[i];

    return folding->sheet.sum + folding->skipped + (uint64_t)folding->parked_more;
}

/* Why one of them cannot go on is told here: a folding only notes what it stopped at. */
static int fold_both(struct pair *pair, struct qp_txn *owners, const quipu_event *event, bool *same,
                     quipu_error *error)
{
    int rc = QUIPU_OK;

    for (size_t i = 0; i < 2 && rc == QUIPU_OK; i++) {
        pair->foldings[i].owners = owners;
        rc = qp_folding_event(&pair->foldings[i], event, error);
        if (rc == QUIPU_FAULTED)
            rc = qp_folding_stopped(&pair->foldings[i], error);
    }
    *same = rc < 0 || sum_of(pair, 0) == sum_of(pair, 1);
    return rc;
}

static int begin(struct pair *pair, struct qp_handle *handle,
                 const struct qp_projection *projection, quipu_error *error)
{
    const struct qp_view_place place = {projection->name_bytes, 1};
    int rc = QUIPU_OK;

    for (size_t i = 0; i < 2 && rc == QUIPU_OK; i++) {
        pair->foldings[i].batch = &pair->batches[i];
        pair->foldings[i].emits = QP_EMITS_IGNORED;
        pair->foldings[i].quiet = i > 0;
        rc = qp_folding_begin(&pair->foldings[i], handle, projection, NULL, &place, false, error);
        pair->foldings[i].sheet.sums = true;
    }
    return rc;
}

static void end(struct pair *pair)
{
    for (size_t i = 0; i < 2; i++) {
        qp_folding_release(&pair->foldings[i]);
        qp_batch_release(&pair->batches[i]);
    }
}

int qp_determinism_check(struct qp_handle *handle, const struct qp_projection *projection,
                         uint64_t *position, quipu_error *error)
{
    const struct qp_range range = {.check = true, .renew = true};
    struct qp_reader *reader = NULL;
    struct pair pair = {0};
    int rc = begin(&pair, handle, projection, error);

    if (rc == QUIPU_OK)
        rc = qp_reader_open(handle, NULL, &projection->query, &range, &reader, error);
    while (rc == QUIPU_OK) {
        struct qp_record record;
        quipu_event event;
        bool same;

        rc = qp_reader_next(reader, position, &record, error);
        if (rc != QUIPU_ROW)
            break;
        qp_event_fill(&record, handle->uuid, *position, &event);
        rc = fold_both(&pair, qp_reader_streams(reader), &event, &same, error);
        if (rc == QUIPU_OK && !same) {
            rc = qp_fail(error, QUIPU_INVALID,
                         "projection %s makes two things of the event at position %llu",
                         projection->name, (unsigned long long)*position);
        }
    }
    if (rc == QUIPU_OK)
        *position = 0;
    qp_reader_close(reader);
    end(&pair);
    return rc;
}
