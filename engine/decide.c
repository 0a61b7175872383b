/* decide.c - conditions see the store and the batches before, never the batch's own appends; later
 * appends of a batch see the versions of its earlier ones, and later numbers of a mark or a source
 * its earlier ones. Ids are looked up before versions:
 *
 *     step     known: all its ids are there, in order    fails: for an id, or a version    else new
 *     batch    all that write are known: DUPLICATE       one fails, or known beside new: refused
 *              else it holds, and its new events get positions
 *
 * What the batches before will do is in the overlay (overlay.c). */
#include "decide.h"

#include "condition.h"
#include "projections.h"
#include "status.h"

#include <assert.h>

static bool version_fits(uint64_t expected, uint64_t actual)
{
    if (expected == QUIPU_ANY)
        return true;
    if (expected == QUIPU_EXISTS)
        return actual > 0;
    return expected == actual;
}

/* A stream whose events were all deleted counts as one without events. */
static uint64_t counted(const struct qp_overlay_name *stream, uint64_t newest)
{
    return newest > stream->hidden ? newest : 0;
}

/* ---- ids ---- */

/* Look a draft's id up. A draft without one is never known. */
static int look_up(struct qp_overlay *overlay, struct qp_moment *moment,
                   const struct qp_batch *batch, const struct qp_step *step, size_t draft,
                   struct qp_known *known, quipu_error *error)
{
    const uint8_t *id = qp_batch_id(batch, step->first_draft + draft);
    struct qp_identity identity;

    *known = (struct qp_known){0};
    if (id == NULL)
        return QUIPU_OK;
    qp_identity_init(&identity, qp_batch_name(batch, step), step->name_sum, id);
    return qp_overlay_id(overlay, moment, &identity, known, error);
}

/* The step fails for its draft of this number. */
static void fail_draft(struct qp_step *step, int status, size_t draft, uint64_t matched)
{
    step->result.status = status;
    step->result.draft = (uint32_t)draft;
    step->result.matched = matched;
}

/* The first draft is known: does the condition ask for the version just before it? */
static bool expects(struct qp_step *step, const struct qp_known *first)
{
    if (step->expected == QUIPU_ANY || step->expected == QUIPU_EXISTS ||
        step->expected == first->version - 1)
        return true;
    fail_draft(step, step->expected == step->result.actual ? QUIPU_DUPLICATE_ID : QUIPU_CONFLICT, 0,
               first->position);
    return false;
}

/* An append is known if all of its ids are, in this stream, one version after the other. A known id
 * among new ones, or a new one among known ones, is an error. step->known says which it is; a
 * step that fails has its status and is neither. */
static int look_up_step(struct qp_overlay *overlay, struct qp_moment *moment,
                        const struct qp_batch *batch, struct qp_step *step, quipu_error *error)
{
    struct qp_known first = {0};
    struct qp_known known = {0};
    bool failed = false;

    for (size_t i = 0; i < step->draft_count; i++) {
        int rc = look_up(overlay, moment, batch, step, i, &known, error);

        if (rc < 0)
            return rc;
        if (i == 0)
            first = known;
        if (failed)
            continue; /* looked up all the same: a later step may have its id too */
        if (known.twice || (first.version == 0 && known.version > 0)) {
            fail_draft(step, QUIPU_DUPLICATE_ID, i, known.position);
            failed = true;
        } else if (first.version > 0 && known.version != first.version + i &&
                   !QP_MUTANT(ORDER_UNSEEN)) {
            fail_draft(step, QUIPU_PARTIAL_DUPLICATE, i, first.position);
            failed = true;
        } else {
            failed = i == 0 && first.version > 0 && !expects(step, &first);
        }
    }
    if (failed || first.version == 0)
        return QUIPU_OK;
    step->known = true;
    step->last_position = known.position;
    step->result.first_position = first.position;
    step->result.first_version = first.version;
    step->result.count = step->draft_count;
    return QUIPU_OK;
}

/* ---- steps ---- */

/* What later steps of the same batch add to: events, or a number. */
static uint64_t with_own(const struct qp_overlay *overlay, const struct qp_overlay_name *name)
{
    if (QP_MUTANT(REFUSED_SEEN) && name->batch != 0)
        return name->pending;
    return name->batch == overlay->batch && !QP_MUTANT(OWN_UNSEEN) ? name->pending : name->newest;
}

static void set_own(const struct qp_overlay *overlay, struct qp_overlay_name *name, uint64_t number)
{
    name->pending = number;
    name->batch = overlay->batch;
}

/* A projection's streams are its own: whoever else wrote there would break what it made of the
 * events that it read. It takes a stream by its first batch, if nobody has written there before. */
static void decide_owner(const struct qp_batch *batch, struct qp_step *step,
                         const struct qp_overlay_name *stream)
{
    struct qp_bytes owner = qp_batch_owner(batch, step);

    step->claims = false;
    if (step->draft_count == 0 || (owner.size == 0 && stream->owner.size == 0))
        return;
    if (owner.size > 0 && stream->owner.size == 0 && stream->newest == 0)
        step->claims = true;
    else if (!qp_bytes_equal(owner, stream->owner) && !QP_MUTANT(OWNER_UNSEEN))
        step->result.status = QUIPU_MISUSE;
}

/* A condition sees `newest`; an append that follows another one of the same batch and stream sees
 * that one's `pending`. What is known already is not appended, and its version is not asked for. */
static int decide_stream(struct qp_overlay *overlay, struct qp_moment *moment,
                         const struct qp_batch *batch, struct qp_step *step, quipu_error *error)
{
    struct qp_overlay_name *stream = NULL;
    uint64_t newest;
    int rc = qp_overlay_name(overlay, moment, batch, step, &stream, error);

    if (rc < 0)
        return rc;
    newest = step->draft_count > 0 ? with_own(overlay, stream) : stream->newest;
    step->result = (quipu_result){
        .expected = step->expected,
        .actual = counted(stream, newest),
        .first_version = newest + 1,
    };
    rc = look_up_step(overlay, moment, batch, step, error);
    if (rc < 0 || step->known || step->result.status != QUIPU_OK)
        return rc;
    if (!version_fits(step->expected, step->result.actual))
        step->result.status = QUIPU_CONFLICT;
    decide_owner(batch, step, stream);
    if (step->draft_count > 0)
        set_own(overlay, stream, newest + step->draft_count);
    return QUIPU_OK;
}

/* Numbers only grow. A mark may stay where it is, which is how a batch says that it still stands
 * there; a source that has the number already was taken in. */
static int decide_number(struct qp_overlay *overlay, struct qp_moment *moment,
                         const struct qp_batch *batch, struct qp_step *step, quipu_error *error)
{
    struct qp_overlay_name *name = NULL;
    uint64_t actual;
    bool missing;
    int rc = qp_overlay_name(overlay, moment, batch, step, &name, error);

    if (rc < 0)
        return rc;
    actual = with_own(overlay, name);
    missing = name->missing && name->batch != overlay->batch;
    step->result = (quipu_result){.expected = step->number, .actual = actual};
    if (step->kind == QP_STEP_MARK && step->number < actual && !QP_MUTANT(MARK_BACK))
        step->result.status = QUIPU_CONFLICT;
    if (step->kind == QP_STEP_TRACK && step->number <= actual && !missing &&
        !QP_MUTANT(TRACKED_AGAIN))
        step->result.status = QUIPU_ALREADY_TRACKED;
    step->changes = missing || step->number > actual || QP_MUTANT(MARK_BACK);
    if (step->changes)
        set_own(overlay, name, step->number);
    return QUIPU_OK;
}

/* Its row is what its maker saw, or somebody was faster. */
static int decide_project(struct qp_overlay *overlay, struct qp_moment *moment,
                          const struct qp_batch *batch, struct qp_step *step, quipu_error *error)
{
    struct qp_overlay_name *name = NULL;
    int rc = qp_overlay_name(overlay, moment, batch, step, &name, error);

    if (rc < 0)
        return rc;
    step->result = (quipu_result){.expected = step->expected, .actual = with_own(overlay, name)};
    if (step->result.actual != step->expected && !QP_MUTANT(SEQUENCE_UNSEEN))
        step->result.status = QUIPU_CONFLICT;
    step->number = qp_projection_next(step->result.actual, overlay->now_ns);
    step->changes = true;
    set_own(overlay, name, step->number);
    return QUIPU_OK;
}

/* The store first: what the batches before will append stands behind all of it. */
static int decide_unless(struct qp_overlay *overlay, struct qp_moment *moment, struct qp_step *step,
                         quipu_error *error)
{
    uint64_t matched = 0;
    int rc = qp_condition_find(moment, step->query, step->expected, &matched, error);

    if (rc == QUIPU_OK)
        rc = qp_pending_match(&overlay->pending, step->query, step->expected, &matched, error);
    step->result = (quipu_result){.expected = step->expected};
    if (rc == QUIPU_ROW) {
        step->result.status = QUIPU_CONFLICT;
        step->result.matched = matched;
    }
    return rc < 0 ? rc : QUIPU_OK;
}

static int decide_step(struct qp_overlay *overlay, struct qp_moment *moment,
                       const struct qp_batch *batch, struct qp_step *step, quipu_error *error)
{
    step->known = false;
    switch (step->kind) {
    case QP_STEP_UNLESS:
        return decide_unless(overlay, moment, step, error);
    case QP_STEP_MARK:
    case QP_STEP_TRACK:
        return decide_number(overlay, moment, batch, step, error);
    case QP_STEP_PROJECT:
        return decide_project(overlay, moment, batch, step, error);
    case QP_STEP_STREAM:
        break;
    }
    return decide_stream(overlay, moment, batch, step, error);
}

/* ---- verdicts ---- */

/* Why its ids were refused, in one line. */
static void explain_id(const struct qp_step *step, const char *stream, quipu_error *error)
{
    const quipu_result *result = &step->result;
    unsigned long long matched = result->matched;

    if (result->status == QUIPU_PARTIAL_DUPLICATE) {
        (void)qp_fail(error, QUIPU_PARTIAL_DUPLICATE,
                      "the first %u are known in stream %.100s, from position %llu on; draft %u is "
                      "another event than follows there",
                      result->draft, stream, matched, result->draft);
    } else if (matched == 0) {
        (void)qp_fail(error, QUIPU_DUPLICATE_ID,
                      "the id of draft %u stands twice for stream %.100s", result->draft, stream);
    } else {
        (void)qp_fail(error, QUIPU_DUPLICATE_ID,
                      "the id of draft %u is known in stream %.100s, at position %llu",
                      result->draft, stream, matched);
    }
}

/* Why its version was. */
static void explain_version(const struct qp_step *step, const char *stream, quipu_error *error)
{
    unsigned long long actual = step->result.actual;
    unsigned long long expected = step->expected;
    unsigned long long matched = step->result.matched;

    if (matched != 0) {
        (void)qp_fail(error, QUIPU_CONFLICT,
                      "stream %.100s has version %llu, expected %llu, and the first event is known "
                      "at position %llu as another version",
                      stream, actual, expected, matched);
    } else if (step->expected == QUIPU_EXISTS) {
        (void)qp_fail(error, QUIPU_CONFLICT, "stream %.100s has no events, expected some", stream);
    } else {
        (void)qp_fail(error, QUIPU_CONFLICT, "stream %.100s has version %llu, expected %llu",
                      stream, actual, expected);
    }
}

static void explain(const struct qp_batch *batch, const struct qp_step *step, quipu_error *error)
{
    const char *name = step->kind == QP_STEP_UNLESS ? NULL : qp_batch_name(batch, step).data;
    unsigned long long actual = step->result.actual;
    unsigned long long number = step->number;

    switch (step->kind) {
    case QP_STEP_UNLESS:
        (void)qp_fail(error, QUIPU_CONFLICT,
                      "the event at position %llu matches, and none after %llu may",
                      (unsigned long long)step->result.matched, (unsigned long long)step->expected);
        break;
    case QP_STEP_MARK:
        (void)qp_fail(error, QUIPU_CONFLICT, "mark %.100s is at %llu already, given %llu", name,
                      actual, number);
        break;
    case QP_STEP_TRACK:
        (void)qp_fail(error, QUIPU_ALREADY_TRACKED, "source %.100s is at %llu already, given %llu",
                      name, actual, number);
        break;
    case QP_STEP_PROJECT:
        (void)qp_fail(error, QUIPU_CONFLICT, "projection %.100s was changed meanwhile", name);
        break;
    case QP_STEP_STREAM:
        if (step->result.status == QUIPU_MISUSE)
            (void)qp_fail(error, QUIPU_MISUSE, "stream %.100s belongs to a projection", name);
        else if (step->result.status == QUIPU_CONFLICT)
            explain_version(step, name, error);
        else
            explain_id(step, name, error);
        break;
    }
}

/* It does not hold: tell of each step, and of one in the receipt and the error: the first that says
 * that it was done before - a known id, a tracked number - else the first. */
static int refuse(struct qp_batch *batch, quipu_receipt *receipt, quipu_error *error)
{
    const struct qp_step *told = NULL;

    for (size_t i = 0; i < batch->step_count; i++) {
        struct qp_step *step = &batch->steps[i];

        step->result.first_position = 0;
        step->result.first_version = 0;
        step->result.count = 0;
        if (step->result.status == QUIPU_OK)
            continue;
        receipt->failed_count++;
        if (told == NULL ||
            (told->result.status == QUIPU_CONFLICT && step->result.status != QUIPU_CONFLICT))
            told = step;
    }
    assert(told != NULL);
    receipt->failed_step = (uint32_t)(told - batch->steps);
    receipt->failed_draft = told->result.draft;
    receipt->expected = told->result.expected;
    receipt->actual = told->result.actual;
    receipt->matched = told->result.matched;
    explain(batch, told, error);
    return told->result.status;
}

/* Its events are there already. Conditions on streams that it does not write may have ceased to
 * hold since: they did when it was committed. */
static void accept_known(struct qp_batch *batch, quipu_receipt *receipt)
{
    receipt->verdict = QUIPU_DUPLICATE;
    for (size_t i = 0; i < batch->step_count; i++) {
        struct qp_step *step = &batch->steps[i];
        quipu_result *result = &step->result;

        result->status = QUIPU_OK;
        if (step->draft_count == 0) {
            result->first_version = 0;
            result->matched = 0;
            continue;
        }
        if (receipt->first_position == 0 || result->first_position < receipt->first_position)
            receipt->first_position = result->first_position;
        if (step->last_position > receipt->last_position)
            receipt->last_position = step->last_position;
        receipt->last_version = result->first_version + result->count - 1;
    }
}

/* Let later batches find what a step appends by its ids. */
static void accept_ids(struct qp_overlay *overlay, const struct qp_batch *batch,
                       const struct qp_step *step)
{
    for (size_t i = 0; i < step->draft_count; i++) {
        if (qp_batch_id(batch, step->first_draft + i) != NULL)
            qp_overlay_accept_id(overlay, step->result.first_position + i,
                                 step->result.first_version + i);
    }
}

/* A stream's events get their positions. */
static void accept_drafts(struct qp_overlay *overlay, const struct qp_batch *batch,
                          struct qp_step *step, quipu_receipt *receipt)
{
    step->result.first_position = overlay->next_position;
    step->result.count = step->draft_count;
    accept_ids(overlay, batch, step);
    overlay->next_position += step->draft_count + QP_MUTANT(GAP);
    receipt->last_version = step->result.first_version + step->draft_count - 1;
}

/* It holds: give out positions, and let the batches after it see it. Every name is in the overlay
 * by now, and there is room for the batch, so that nothing can fail. */
static void accept(struct qp_overlay *overlay, struct qp_moment *moment, struct qp_batch *batch,
                   quipu_receipt *receipt)
{
    uint64_t first_position = overlay->next_position;

    receipt->verdict = QUIPU_COMMITTED;
    for (size_t i = 0; i < batch->step_count; i++) {
        struct qp_step *step = &batch->steps[i];
        struct qp_overlay_name *name = NULL;

        if (step->draft_count == 0)
            step->result.first_version = 0;
        if (step->draft_count == 0 && !step->changes)
            continue;
        (void)qp_overlay_name(overlay, moment, batch, step, &name, NULL);
        assert(name->batch == overlay->batch && name->pending >= name->newest);
        if (!QP_MUTANT(GROUP_UNSEEN))
            name->newest = name->pending;
        name->missing = false;
        if (step->claims)
            name->owner = qp_batch_owner(batch, step);
        if (step->draft_count > 0)
            accept_drafts(overlay, batch, step, receipt);
    }
    if (batch->draft_count == 0)
        return;
    receipt->first_position = first_position;
    receipt->last_position = overlay->next_position - 1;
    qp_pending_put(&overlay->pending, batch, first_position);
}

/* Of all steps together. What is known beside what is new was not committed as one batch: it is a
 * mistake of the caller, and not a retry. */
static int judge(struct qp_overlay *overlay, struct qp_moment *moment, struct qp_batch *batch,
                 quipu_receipt *receipt, quipu_error *error)
{
    size_t writing = 0;
    size_t known = 0;
    size_t fresh = 0;
    bool all_hold = true;

    for (size_t i = 0; i < batch->step_count; i++) {
        const struct qp_step *step = &batch->steps[i];
        int status = step->result.status;

        writing += step->draft_count > 0;
        known += step->known;
        fresh += step->draft_count > 0 && !step->known &&
                 (status == QUIPU_OK || (status == QUIPU_CONFLICT && step->result.matched == 0));
        all_hold = all_hold && status == QUIPU_OK;
    }
    if (known > 0 && known == writing) {
        accept_known(batch, receipt);
        return QUIPU_OK;
    }
    for (size_t i = 0; i < batch->step_count && known > 0 && fresh > 0; i++) {
        struct qp_step *step = &batch->steps[i];

        if (step->known)
            fail_draft(step, QUIPU_DUPLICATE_ID, 0, step->result.first_position);
    }
    if (!all_hold || known > 0)
        return refuse(batch, receipt, error);
    accept(overlay, moment, batch, receipt);
    return QUIPU_OK;
}

bool qp_decide_is_own(int status)
{
    return status == QUIPU_CONFLICT || status == QUIPU_DUPLICATE_ID ||
           status == QUIPU_PARTIAL_DUPLICATE || status == QUIPU_ALREADY_TRACKED ||
           status == QUIPU_TOO_LARGE || status == QUIPU_CORRUPT || status == QUIPU_NEWER_FORMAT ||
           status == QUIPU_MISUSE;
}

int qp_decide(struct qp_overlay *overlay, struct qp_moment *moment, struct qp_batch *batch,
              quipu_receipt *receipt, quipu_error *error)
{
    int rc;

    *receipt = (quipu_receipt){0};
    batch->decided = false;
    assert(overlay->next_position >= 1 && overlay->next_position <= QP_POSITION_MAX + 1);
    if (batch->draft_count > QP_POSITION_MAX - (overlay->next_position - 1))
        return qp_fail(error, QUIPU_TOO_LARGE, "the store has no positions left");
    rc = qp_overlay_next(overlay, error);
    for (size_t i = 0; i < batch->step_count && rc == QUIPU_OK; i++)
        rc = decide_step(overlay, moment, batch, &batch->steps[i], error);
    if (rc < 0)
        return rc;
    batch->decided = true;
    return judge(overlay, moment, batch, receipt, error);
}
