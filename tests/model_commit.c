/* model_commit.c - batches are committed: by this process or another one, one alone or several
 * without waiting: see model.c. */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what came of it ------------------------------------------------------------------------- */

static void compare_receipt(const quipu_receipt *got, const quipu_receipt *should)
{
    CHECK(memcmp(got, should, sizeof(*got)) == 0,
          "verdict %d/%d failed %u/%u positions %" PRIu64 "-%" PRIu64 "/%" PRIu64 "-%" PRIu64
          " version %" PRIu64 "/%" PRIu64 " step %u/%u expected %" PRIu64 "/%" PRIu64
          " actual %" PRIu64 "/%" PRIu64 " matched %" PRIu64 "/%" PRIu64,
          got->verdict, should->verdict, got->failed_count, should->failed_count,
          got->first_position, got->last_position, should->first_position, should->last_position,
          got->last_version, should->last_version, got->failed_step, should->failed_step,
          got->expected, should->expected, got->actual, should->actual, got->matched,
          should->matched);
}

static void compare_results(const struct outcome *all, const struct outcome *should)
{
    for (size_t i = 0; i < should->step_count; i++) {
        const quipu_result *got = &all->results[i];
        const quipu_result *wanted = &should->results[i];

        CHECK(memcmp(got, wanted, sizeof(*got)) == 0,
              "step %zu: status %d/%d position %" PRIu64 "/%" PRIu64 " version %" PRIu64 "/%" PRIu64
              " count %" PRIu64 "/%" PRIu64 " actual %" PRIu64 "/%" PRIu64 " matched %" PRIu64
              "/%" PRIu64,
              i, got->status, wanted->status, got->first_position, wanted->first_position,
              got->first_version, wanted->first_version, got->count, wanted->count, got->actual,
              wanted->actual, got->matched, wanted->matched);
    }
}

static void compare_outcome(const struct outcome *got, const struct outcome *should)
{
    CHECK(got->rc == should->rc, "%d, not %d: %s", got->rc, should->rc, got->error.text);
    CHECK(got->error.status == got->rc, "error %d", got->error.status);
    compare_receipt(&got->receipt, &should->receipt);
    if (got->as_batch)
        compare_results(got, should);
}

static void count(const struct outcome *should)
{
    model.known += should->receipt.verdict == QUIPU_DUPLICATE;
    model.refused += should->rc == QUIPU_DUPLICATE_ID || should->rc == QUIPU_PARTIAL_DUPLICATE;
    for (size_t i = 0; i < should->step_count; i++) {
        if (model.steps[i].kind == UNLESS)
            model.unless[should->results[i].matched != 0]++;
        else if (model.steps[i].kind != APPEND)
            model.moved[should->results[i].status != QUIPU_OK]++;
    }
}

/* ---- what the store has then ----------------------------------------------------------------- */

/* It holds: the pending events and the numbers are the store's, but for what only it knows. */
static void take_in(void)
{
    if (model.head + model.pending_count > model.capacity) {
        model.capacity = (model.head + model.pending_count) * 2;
        model.events = realloc(model.events, model.capacity * sizeof(*model.events));
        CHECK(model.events != NULL, "memory");
    }
    model.batches++;
    for (size_t i = 0; i < model.pending_count; i++) {
        struct event *event = &model.pending[i];

        event->version = ++model.versions[event->stream];
        event->batch = model.batches;
        model.events[model.head++] = *event;
    }
    model.pending_count = 0;
    for (size_t i = 0; i < model.step_count; i++) {
        const struct step *step = &model.steps[i];

        if (step->kind == MARK || step->kind == TRACK)
            model.marks[step->kind == TRACK][step->stream] = (struct mark){true, step->expected};
    }
}

static void drop_pending(void)
{
    for (size_t i = 0; i < model.pending_count; i++)
        free(model.pending[i].bytes);
    model.pending_count = 0;
}

/* Learn from the store what only it knows: its clock, and the ids that nobody gave. `now` is the
 * time of the batch's commit, 0 until it is known. */
static void learn(struct event *event, const quipu_event *got, int64_t last, int64_t *now)
{
    static const uint8_t zeroes[16];

    CHECK(got->recorded_ns >= last, "the clock ran backwards at %" PRIu64, got->position);
    if (event->wished && got->recorded_ns == event->wish_ns) {
        CHECK(*now == 0 || event->wish_ns <= *now, "recorded after now");
    } else {
        CHECK(!event->wished || event->wish_ns < last || event->wish_ns > got->recorded_ns,
              "a valid recorded_ns was not kept at %" PRIu64, got->position);
        CHECK(*now == 0 || *now == got->recorded_ns, "two times in one batch");
        *now = got->recorded_ns;
    }
    event->recorded_ns = got->recorded_ns;
    if ((event->flags & QUIPU_EVENT_HAS_TIME) == 0)
        event->time_ns = got->recorded_ns;
    if ((event->flags & QUIPU_EVENT_HAS_ID) == 0) {
        CHECK(memcmp(got->id, zeroes, sizeof(zeroes)) != 0, "no id at %" PRIu64, got->position);
        memcpy(event->id, got->id, sizeof(event->id));
    }
}

static void learn_all(void)
{
    quipu_range range = {QUIPU_INIT(quipu_range), .after = model.learned};
    uint64_t batch = 0;
    int64_t now = 0;
    quipu_reader *reader;
    quipu_event got;

    CHECK(quipu_read(model.store, NULL, &range, &reader, NULL) == QUIPU_OK, "read back");
    for (; model.learned < model.head; model.learned++) {
        struct event *event = &model.events[model.learned];

        CHECK(quipu_next(reader, &got, NULL) == QUIPU_ROW, "read back %" PRIu64, model.learned + 1);
        now = event->batch == batch ? now : 0;
        batch = event->batch;
        learn(event, &got, model.learned > 0 ? event[-1].recorded_ns : INT64_MIN, &now);
        model_compare_event(&got, model.learned + 1);
    }
    CHECK(quipu_next(reader, &got, NULL) == QUIPU_OK, "more than was appended");
    CHECK(quipu_reader_head(reader) == model.head, "head");
    quipu_reader_close(reader);
}

/* ---- one batch ------------------------------------------------------------------------------- */

static void fill_step(quipu_batch *batch, const struct step *step)
{
    const char *stream = model_streams[step->stream];
    int rc;

    if (step->kind == UNLESS)
        rc = quipu_batch_unless(batch, &step->asked.query, step->expected);
    else if (step->kind == MARK)
        rc = quipu_batch_mark(batch, model_mark_names[0][step->stream], step->expected);
    else if (step->kind == TRACK)
        rc = quipu_batch_track(batch, model_mark_names[1][step->stream], step->expected);
    else if (step->count == 0 && model_chance(50))
        rc = quipu_batch_expect(batch, stream, step->expected);
    else
        rc = quipu_batch_append(batch, stream, step->expected, model.drafts + step->first,
                                step->count);
    CHECK(rc == QUIPU_OK, "a step: %d", rc);
}

static quipu_batch *fill_batch(void)
{
    quipu_batch *batch = quipu_batch_new();

    CHECK(batch != NULL, "memory");
    for (size_t i = 0; i < model.step_count; i++)
        fill_step(batch, &model.steps[i]);
    CHECK(quipu_batch_steps(batch) == model.step_count, "steps");
    return batch;
}

static void read_results(const quipu_batch *batch, struct outcome *outcome)
{
    outcome->step_count = quipu_batch_steps(batch);
    for (size_t i = 0; i < outcome->step_count; i++)
        CHECK(quipu_batch_result(batch, i, &outcome->results[i]) == QUIPU_OK, "step %zu", i);
    outcome->as_batch = true;
}

static void commit(quipu *store, struct outcome *outcome)
{
    const struct step *first = &model.steps[0];
    quipu_batch *batch;

    *outcome = (struct outcome){.rc = 0};
    if (model.step_count == 1 && first->kind == APPEND && model_chance(50)) {
        outcome->rc = quipu_append(store, model_streams[first->stream], first->expected,
                                   model.drafts, first->count, &outcome->receipt, &outcome->error);
        return;
    }
    batch = fill_batch();
    outcome->rc = quipu_commit(store, batch, &outcome->receipt, &outcome->error);
    if (!model.read_only)
        read_results(batch, outcome);
    quipu_batch_free(batch);
}

/* The same by another process, which may merge when it closes the store. */
static void commit_beside(struct outcome *outcome)
{
    int ends[2];
    pid_t pid;

    CHECK(pipe(ends) == 0, "pipe");
    (void)fflush(NULL);
    pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        quipu *store = NULL;
        struct outcome own = {.rc = quipu_open(model.path, NULL, &store, NULL)};

        if (own.rc == QUIPU_OK)
            commit(store, &own);
        quipu_close(store);
        _exit(write(ends[1], &own, sizeof(own)) == (ssize_t)sizeof(own) ? 0 : 1);
    }
    (void)close(ends[1]);
    CHECK(read(ends[0], outcome, sizeof(*outcome)) == (ssize_t)sizeof(*outcome), "its outcome");
    (void)close(ends[0]);
    CHECK(sys_wait(pid) == 0, "it has failed");
    model.beside++;
}

static void append_one(bool by_others_too)
{
    struct outcome should;
    struct outcome outcome;

    model_make_batch();
    model_foretell(&should);
    if (model.read_only)
        should = (struct outcome){.rc = QUIPU_READ_ONLY};
    if (!model.read_only && by_others_too && model_chance(8))
        commit_beside(&outcome);
    else
        commit(model.store, &outcome);
    compare_outcome(&outcome, &should);
    if (should.receipt.verdict == QUIPU_COMMITTED)
        take_in();
    else
        drop_pending();
    count(&should);
}

void model_append(void)
{
    append_one(true);
    learn_all();
}

/* ---- several without waiting ----------------------------------------------------------------- */

static struct group {
    struct outcome should[GROUP_MAX];
    size_t put;
    size_t told;
} group;

static void told(void *payload, int status, const quipu_receipt *receipt, const quipu_batch *batch,
                 const quipu_error *error)
{
    const struct outcome *should = payload;
    struct outcome outcome = {.rc = status, .receipt = *receipt, .error = *error};

    CHECK(group.told < group.put && should == &group.should[group.told], "out of order: %zu of %zu",
          group.told, group.put);
    read_results(batch, &outcome);
    compare_outcome(&outcome, should);
    group.told++;
}

/* Each is foretold as if all before it had been committed, which they have not. */
static void put_one(void)
{
    quipu_batch *batch;
    struct outcome *should = &group.should[group.put];
    quipu_error error = {0};
    int rc;

    model_make_batch();
    model_foretell(should);
    batch = fill_batch();
    group.put++;
    rc = quipu_commit_async(model.store, batch, told, should, &error);
    CHECK(rc == QUIPU_OK, "async: %d %s", rc, error.text);
    CHECK(group.put - group.told <= model.options.async_pending_max ||
              model.options.async_pending_max == 0,
          "%zu are pending", group.put - group.told);
    count(should);
    if (should->receipt.verdict == QUIPU_COMMITTED)
        take_in();
    else
        drop_pending();
}

/* In the end who flushes, commits or closes commits them all. */
static void end_group(void)
{
    uint64_t how = model_below(10);

    if (how < 6) {
        CHECK(quipu_flush(model.store, NULL) == QUIPU_OK, "flush");
    } else if (how < 9) {
        append_one(false);
    } else {
        model_close_kept(false);
        quipu_close(model.store);
        model_open(0);
        model.reopens++;
    }
    CHECK(group.told == group.put, "%zu told of %zu", group.told, group.put);
}

void model_group(void)
{
    size_t count_to = 1 + model_below(GROUP_MAX);

    if (model.read_only) {
        CHECK(quipu_flush(model.store, NULL) == QUIPU_READ_ONLY, "flush");
        return;
    }
    group.put = 0;
    group.told = 0;
    while (group.put < count_to) {
        put_one();
        if (model_chance(5))
            CHECK(quipu_flush(model.store, NULL) == QUIPU_OK && group.told == group.put, "flush");
    }
    end_group();
    learn_all();
    model.groups++;
}
