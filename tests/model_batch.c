/* model_batch.c - random batches, and what must become of them: see model.c. */
#include "model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- batches --------------------------------------------------------------------------------- */

static uint64_t pick_expected(uint64_t actual)
{
    switch (model_below(20)) {
    case 0:
        return QUIPU_NEW;
    case 1:
        return QUIPU_EXISTS;
    case 2:
        return actual + 1;
    case 3:
        return actual == 0 ? 1 : actual - 1;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        return actual;
    default:
        return QUIPU_ANY;
    }
}

static bool holds(uint64_t expected, uint64_t actual)
{
    if (expected == QUIPU_ANY)
        return true;
    return expected == QUIPU_EXISTS ? actual > 0 : actual == expected;
}

static size_t pick_count(void)
{
    if (model_chance(1))
        return model_below(3000);
    if (model_chance(5))
        return model_below(200);
    return model_below(5);
}

/* Give the drafts of a step the ids that some events of its stream have: mostly of neighbours, in
 * their order, and with the version before them. */
static void send_again(struct step *step)
{
    uint64_t position = model.head == 0 ? 0 : 1 + model_below(model.head);
    bool any = model_chance(50);
    size_t given = 0;

    for (; position >= 1 && position <= model.head && given < step->count; position++) {
        const struct event *event = &model.events[position - 1];
        quipu_draft *draft = &model.drafts[step->first + given];

        if (event->stream != step->stream || (given == 0 && (event->flags & 1) == 0))
            continue;
        if ((event->flags & QUIPU_EVENT_HAS_ID) == 0 && model_chance(80))
            break;
        if (given == 0 && !any)
            step->expected = event->version - 1;
        draft->flags |= QUIPU_EVENT_HAS_ID;
        memcpy(draft->id, event->id, sizeof(draft->id));
        memcpy(model.pending[step->first + given].id, event->id, sizeof(draft->id));
        model.pending[step->first + given].flags |= QUIPU_EVENT_HAS_ID;
        given++;
        if (model_chance(3))
            position++;
    }
    if (given > 0 && model_chance(70)) { /* nothing new behind them */
        model.pending_count -= step->count - given;
        for (size_t i = given; i < step->count; i++)
            free(model.pending[step->first + i].bytes);
        step->count = given;
    }
}

/* Mostly what somebody would know who has just looked. */
static uint64_t pick_after(void)
{
    switch (model_below(6)) {
    case 0:
        return model_below(model.head + 3);
    case 1:
        return model.head + model_below(3);
    case 2:
        return 0;
    default:
        return model.head - model_below(model.head < 20 ? model.head + 1 : 20);
    }
}

static uint64_t pick_number(const struct mark *mark)
{
    switch (model_below(8)) {
    case 0:
        return 0;
    case 1:
        return mark->number > 0 ? mark->number - 1 : 0;
    case 2:
    case 3:
        return mark->number;
    case 4:
        return mark->number + 1 + model_below(1000);
    default:
        return mark->number + 1;
    }
}

static void make_other(struct step *step)
{
    step->kind = (enum kind)(UNLESS + model_below(3));
    step->stream = (unsigned)model_below(MARKS);
    step->first = model.pending_count;
    step->count = 0;
    if (step->kind == UNLESS) {
        model_pick_asked(&step->asked);
        step->expected = pick_after();
    } else {
        step->expected = pick_number(&model.marks[step->kind == TRACK][step->stream]);
    }
}

static void make_append(struct step *step, const struct step *before, uint64_t running[STREAMS])
{
    size_t count = pick_count();

    step->kind = APPEND;
    step->stream = before != NULL && before->kind == APPEND && model_chance(40)
                       ? before->stream
                       : model_pick_stream();
    if (count > DRAFTS_MAX - model.pending_count)
        count = DRAFTS_MAX - model.pending_count;
    step->first = model.pending_count;
    step->count = count;
    step->expected =
        pick_expected(count > 0 ? running[step->stream] : model.versions[step->stream]);
    for (size_t j = 0; j < count; j++)
        model_make_draft(step->stream, count > 50);
    if (model_chance(25))
        send_again(step);
    running[step->stream] += count;
}

void model_make_batch(void)
{
    uint64_t running[STREAMS];
    size_t steps = model_chance(60) ? 1 : model_below(STEPS_MAX + 1);

    memcpy(running, model.versions, sizeof(running));
    model.pending_count = 0;
    model.step_count = steps;
    for (size_t i = 0; i < steps; i++) {
        if (model_chance(steps == 1 ? 5 : 35))
            make_other(&model.steps[i]);
        else
            make_append(&model.steps[i], i > 0 ? &model.steps[i - 1] : NULL, running);
    }
}

/* Where the draft's id is in the stream, 0: nowhere. */
static uint64_t find_id(unsigned stream, const quipu_draft *draft)
{
    if ((draft->flags & QUIPU_EVENT_HAS_ID) == 0)
        return 0;
    for (uint64_t position = 1; position <= model.head; position++) {
        const struct event *event = &model.events[position - 1];

        if (event->stream == stream && (event->flags & QUIPU_EVENT_HAS_ID) != 0 &&
            memcmp(event->id, draft->id, 16) == 0)
            return position;
    }
    return 0;
}

/* Has an earlier draft for this stream the same id? */
static bool is_twice(size_t step, size_t draft)
{
    const quipu_draft *own = &model.drafts[model.steps[step].first + draft];

    if ((own->flags & QUIPU_EVENT_HAS_ID) == 0)
        return false;
    for (size_t i = 0; i <= step; i++) {
        size_t count = i == step ? draft : model.steps[i].count;

        for (size_t j = 0; j < count && model.steps[i].stream == model.steps[step].stream; j++) {
            const quipu_draft *other = &model.drafts[model.steps[i].first + j];

            if ((other->flags & QUIPU_EVENT_HAS_ID) != 0 && memcmp(other->id, own->id, 16) == 0)
                return true;
        }
    }
    return false;
}

/* An append by its ids alone. Returns: 1 all of it is known; 0 nothing is; a status: it fails for
 * the draft that stands in the result. */
static int foretell_ids(size_t step, quipu_result *result)
{
    uint64_t expected = model.steps[step].expected;
    uint64_t first = 0; /* position */

    for (size_t i = 0; i < model.steps[step].count; i++) {
        const quipu_draft *draft = &model.drafts[model.steps[step].first + i];
        uint64_t position = find_id(model.steps[step].stream, draft);
        uint64_t wanted = first == 0 ? 0 : model.events[first - 1].version + i;

        result->draft = (uint32_t)i;
        result->matched = position;
        if (is_twice(step, i)) {
            result->matched = 0;
            return QUIPU_DUPLICATE_ID;
        }
        if (i == 0 && position != 0) {
            first = position;
            wanted = model.events[first - 1].version;
            if (expected != QUIPU_ANY && expected != QUIPU_EXISTS && expected != wanted - 1)
                return expected == result->actual ? QUIPU_DUPLICATE_ID : QUIPU_CONFLICT;
        }
        if (first == 0 && position != 0)
            return QUIPU_DUPLICATE_ID;
        if (first != 0 && (position == 0 || model.events[position - 1].version != wanted)) {
            result->matched = first;
            return QUIPU_PARTIAL_DUPLICATE;
        }
        result->count = position;
    }
    result->draft = 0;
    result->matched = 0;
    return first != 0 ? 1 : 0;
}

/* All of it is there: result->count holds the last position until here. */
static void foretell_known(quipu_receipt *receipt, quipu_result results[STEPS_MAX])
{
    receipt->verdict = QUIPU_DUPLICATE;
    for (size_t i = 0; i < model.step_count; i++) {
        const struct step *step = &model.steps[i];
        uint64_t first;

        results[i].status = QUIPU_OK;
        if (step->count == 0) {
            results[i].matched = 0;
            continue;
        }
        first = find_id(step->stream, &model.drafts[step->first]);
        if (results[i].count > receipt->last_position)
            receipt->last_position = results[i].count;
        if (receipt->first_position == 0 || first < receipt->first_position)
            receipt->first_position = first;
        results[i].first_position = first;
        results[i].first_version = model.events[first - 1].version;
        results[i].count = step->count;
        receipt->last_version = results[i].first_version + step->count - 1;
    }
}

/* It fails: for an id if it can, else for the first condition. */
static int foretell_failure(quipu_receipt *receipt, quipu_result results[STEPS_MAX])
{
    const quipu_result *told = NULL;

    for (size_t i = 0; i < model.step_count; i++) {
        results[i].count = 0;
        if (results[i].status == QUIPU_OK)
            continue;
        receipt->failed_count++;
        if (told == NULL || (told->status == QUIPU_CONFLICT && results[i].status != QUIPU_CONFLICT))
            told = &results[i];
    }
    receipt->failed_step = (uint32_t)(told - results);
    receipt->failed_draft = told->draft;
    receipt->expected = told->expected;
    receipt->actual = told->actual;
    receipt->matched = told->matched;
    return told->status;
}

/* A condition on a query: the first event that matches. */
static int foretell_unless(const struct step *step, quipu_result *result)
{
    for (uint64_t position = step->expected + 1; position <= model.head; position++) {
        if (!model_asks_for(&step->asked, &model.events[position - 1]))
            continue;
        result->matched = position;
        return QUIPU_CONFLICT;
    }
    return QUIPU_OK;
}

/* A mark or a source. */
static int foretell_number(const struct step *step, struct mark *mark, quipu_result *result)
{
    result->actual = mark->number;
    if (mark->set && step->kind == TRACK && step->expected <= mark->number)
        return QUIPU_ALREADY_TRACKED;
    if (mark->set && step->expected < mark->number)
        return QUIPU_CONFLICT;
    *mark = (struct mark){true, step->expected};
    return QUIPU_OK;
}

/* Nothing is known, everything holds: what it writes. */
static void foretell_written(struct outcome *should)
{
    quipu_receipt *receipt = &should->receipt;
    uint64_t position = model.head + 1;

    receipt->verdict = QUIPU_COMMITTED;
    for (size_t i = 0; i < model.step_count; i++) {
        quipu_result *result = &should->results[i];

        if (model.steps[i].count == 0)
            continue;
        result->first_position = position;
        result->first_version = result->actual + 1;
        result->count = model.steps[i].count;
        position += model.steps[i].count;
        receipt->last_version = result->actual + model.steps[i].count;
        receipt->first_position = model.head + 1;
        receipt->last_position = position - 1;
    }
}

struct look {
    uint64_t running[STREAMS];
    struct mark marks[2][MARKS];
    bool known[STEPS_MAX];
    bool any_known;
    bool any_new;
    bool all_hold;
    bool others_hold;
};

static void foretell_step(struct look *look, size_t i, quipu_result *result)
{
    const struct step *step = &model.steps[i];
    uint64_t actual = step->count > 0 ? look->running[step->stream] : model.versions[step->stream];
    int ids = 0;

    *result = (quipu_result){.expected = step->expected, .actual = actual};
    if (step->kind == UNLESS) {
        result->actual = 0;
        result->status = foretell_unless(step, result);
    } else if (step->kind != APPEND) {
        result->status =
            foretell_number(step, &look->marks[step->kind == TRACK][step->stream], result);
    } else {
        ids = foretell_ids(i, result);
        look->known[i] = ids == 1;
        if (ids < 0)
            result->status = ids;
        else if (ids == 0 && !holds(step->expected, actual))
            result->status = QUIPU_CONFLICT;
        if (ids == 0)
            look->running[step->stream] += step->count;
    }
    look->any_known = look->any_known || look->known[i];
    look->any_new = look->any_new || (step->count > 0 && ids == 0);
    look->all_hold = look->all_hold && result->status == QUIPU_OK;
    look->others_hold = look->others_hold && (step->count == 0 || result->status == QUIPU_OK);
}

void model_foretell(struct outcome *should)
{
    struct look look = {.all_hold = true, .others_hold = true};

    memcpy(look.running, model.versions, sizeof(look.running));
    memcpy(look.marks, model.marks, sizeof(look.marks));
    *should = (struct outcome){.step_count = model.step_count};
    for (size_t i = 0; i < model.step_count; i++)
        foretell_step(&look, i, &should->results[i]);
    if (look.any_known && !look.any_new && look.others_hold) {
        foretell_known(&should->receipt, should->results);
        return;
    }
    for (size_t i = 0; i < model.step_count && look.any_new; i++) {
        const struct step *step = &model.steps[i];

        if (!look.known[i])
            continue;
        should->results[i].status = QUIPU_DUPLICATE_ID;
        should->results[i].matched = find_id(step->stream, &model.drafts[step->first]);
    }
    if (!look.all_hold || look.any_known) {
        should->rc = foretell_failure(&should->receipt, should->results);
        return;
    }
    foretell_written(should);
}
