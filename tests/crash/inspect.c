/* inspect.c - see inspect.h. It walks through the log once, with a finger in each plan: the next
 * event of a writer must be the next of its plan. */
#include "inspect.h"

#include "fold.h"
#include "inspect_project.h"
#include "run.h"
#include "support_system.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEW_EVENTS = 1000 };

static const char after_stream[] = "after-check"; /* what inspections have appended */

struct finger {
    uint32_t op;      /* the next that writes; op_count at the end */
    uint32_t index;   /* its next event */
    uint64_t tracked; /* what its source and mark must show, 0: nothing */
    uint64_t versions[CRASH_STREAMS];
};

struct walk {
    const struct crash_bounds *bounds;
    size_t count;
    struct finger *fingers;
    uint64_t shared[CRASH_SHARED_STREAMS];
    uint64_t after;
    uint64_t position;
    int64_t recorded_ns;
    int open; /* the plan of which a batch has begun and not ended; -1: none */
    struct crash_event expected;
};

/* ---- one event ------------------------------------------------------------------------------- */

static uint32_t next_writing(const struct crash_plan *plan, uint32_t op)
{
    while (op < plan->op_count && !crash_op_writes(&plan->ops[op]))
        op++;
    return op;
}

static const struct crash_step *step_of(const struct crash_plan *plan, uint32_t op, uint32_t index)
{
    size_t count;
    const struct crash_step *step = crash_op_steps(plan, op, &count);

    while (index >= step->first + step->count)
        step++;
    return step;
}

static void check_bytes(const quipu_event *event, const quipu_draft *draft)
{
    const char *tag = event->tags;

    CHECK(strcmp(event->type, draft->type) == 0, "type %s, not %s", event->type, draft->type);
    CHECK(event->data_size == draft->data_size &&
              memcmp(event->data, draft->data, draft->data_size) == 0,
          "at %" PRIu64 " the data is another", event->position);
    CHECK(event->meta_size == draft->meta_size &&
              (draft->meta_size == 0 || memcmp(event->meta, draft->meta, draft->meta_size) == 0),
          "at %" PRIu64 " meta is another", event->position);
    CHECK(event->tag_count == draft->tag_count, "%u tags, not %u", event->tag_count,
          draft->tag_count);
    for (uint32_t i = 0; i < draft->tag_count; i++, tag += strlen(tag) + 1)
        CHECK(strcmp(tag, draft->tags[i]) == 0, "tag %s, not %s", tag, draft->tags[i]);
    CHECK(event->schema == draft->schema && event->meta_format == draft->meta_format,
          "schema or format");
    CHECK((event->flags & QUIPU_EVENT_HAS_ID) == (draft->flags & QUIPU_EVENT_HAS_ID) &&
              ((draft->flags & QUIPU_EVENT_HAS_ID) == 0 ||
               memcmp(event->id, draft->id, sizeof(event->id)) == 0),
          "at %" PRIu64 " the id is another", event->position);
    CHECK((draft->flags & QUIPU_EVENT_HAS_TIME) == 0 || event->time_ns == draft->time_ns, "time");
}

static void check_version(struct walk *walk, struct finger *finger, const struct crash_step *step,
                          const quipu_event *event, uint32_t index)
{
    uint64_t *version = step->stream < CRASH_OWN_STREAMS
                            ? &finger->versions[step->stream]
                            : &walk->shared[step->stream - CRASH_OWN_STREAMS];

    ++*version;
    CHECK(event->version == *version, "at %" PRIu64 " version %" PRIu64 " of %s, not %" PRIu64,
          event->position, event->version, event->stream, *version);
    CHECK(step->first_version == 0 || event->version == step->first_version + index - step->first,
          "at %" PRIu64 " another version than was planned", event->position);
}

/* Of which plan is it? Writers are few. */
static int plan_of(const struct walk *walk, unsigned writer)
{
    for (size_t i = 0; i < walk->count; i++)
        if (walk->bounds[i].plan->writer == writer)
            return (int)i;
    return -1;
}

static void check_planned(struct walk *walk, const quipu_event *event)
{
    const struct crash_plan *plan;
    const struct crash_step *step;
    struct finger *finger;
    unsigned writer = 0;
    uint32_t op = 0;
    uint32_t index = 0;
    char name[CRASH_NAME_BYTES];
    int which;

    CHECK(crash_event_origin(event, &writer, &op, &index), "at %" PRIu64 " a foreign event",
          event->position);
    which = plan_of(walk, writer);
    CHECK(which >= 0, "at %" PRIu64 " an event of an unknown writer %u", event->position, writer);
    CHECK(walk->open < 0 || walk->open == which, "at %" PRIu64 " inside of another's batch",
          event->position);
    plan = walk->bounds[which].plan;
    finger = &walk->fingers[which];
    CHECK(op == finger->op && index == finger->index,
          "at %" PRIu64 " event %u of operation %u, not %u of %u (writer %u)", event->position,
          index, op, finger->index, finger->op, writer);
    crash_op_event(plan, op, index, &walk->expected);
    step = step_of(plan, op, index);
    crash_stream_name(plan, step->stream, name);
    CHECK(strcmp(name, event->stream) == 0, "at %" PRIu64 " stream %s, not %s", event->position,
          event->stream, name);
    check_bytes(event, &walk->expected.draft);
    check_version(walk, finger, step, event, index);
    finger->index++;
    walk->open = which;
    if (finger->index == plan->ops[op].events) {
        if (plan->ops[op].tracks)
            finger->tracked = crash_tracked_number(op);
        finger->op = next_writing(plan, op + 1);
        finger->index = 0;
        walk->open = -1;
    }
}

static void check_event(struct walk *walk, const quipu_event *event)
{
    walk->position++;
    CHECK(event->position == walk->position, "position %" PRIu64 ", not %" PRIu64, event->position,
          walk->position);
    CHECK(event->recorded_ns >= walk->recorded_ns, "the clock runs back at %" PRIu64,
          event->position);
    walk->recorded_ns = event->recorded_ns;
    if (folds_is_made(event->stream)) {
        CHECK(walk->open < 0, "at %" PRIu64 " inside of another's batch", event->position);
        return;
    }
    if (strcmp(event->stream, after_stream) != 0) {
        check_planned(walk, event);
        return;
    }
    walk->after++;
    CHECK(event->version == walk->after && walk->open < 0, "at %" PRIu64, event->position);
}

/* ---- all events ------------------------------------------------------------------------------ */

static void walk_begin(struct walk *walk, const struct crash_bounds *bounds, size_t count)
{
    *walk = (struct walk){.bounds = bounds, .count = count, .open = -1};
    walk->recorded_ns = INT64_MIN;
    walk->fingers = calloc(count, sizeof(*walk->fingers));
    walk->expected.data = malloc(CRASH_DATA_BYTES);
    CHECK(walk->fingers != NULL && walk->expected.data != NULL, "out of memory");
    for (size_t i = 0; i < count; i++)
        walk->fingers[i].op = next_writing(bounds[i].plan, 0);
}

static void walk_end(struct walk *walk)
{
    free(walk->fingers);
    free(walk->expected.data);
}

static void walk_events(struct walk *walk, quipu *store)
{
    quipu_reader *reader;
    quipu_event event;
    quipu_error error = {0};
    int rc = quipu_read(store, NULL, NULL, &reader, &error);

    CHECK(rc == QUIPU_OK, "read: %d %s", rc, error.text);
    rc = quipu_next(reader, &event, &error);
    while (rc == QUIPU_ROW) {
        check_event(walk, &event);
        rc = quipu_next(reader, &event, &error);
    }
    CHECK(rc == QUIPU_OK, "next: %d %s", rc, error.text);
    CHECK(quipu_reader_head(reader) == walk->position, "the head is %" PRIu64 " of %" PRIu64,
          quipu_reader_head(reader), walk->position);
    CHECK(walk->open < 0, "half a batch at the end");
    quipu_reader_close(reader);
}

/* What was acknowledged is in; what was not begun is not. */
static void check_bounds(const struct walk *walk)
{
    for (size_t i = 0; i < walk->count; i++) {
        const struct crash_bounds *bounds = &walk->bounds[i];
        uint32_t next = walk->fingers[i].op;
        uint32_t needed = next_writing(bounds->plan, 0);

        for (uint32_t op = 0; op < bounds->acked && op < bounds->plan->op_count; op++)
            if (crash_op_writes(&bounds->plan->ops[op]))
                needed = next_writing(bounds->plan, op + 1);
        CHECK(next >= needed, "LOST: writer %u: operation %u was acknowledged, and is not there",
              bounds->plan->writer, next);
        CHECK(next <= next_writing(bounds->plan, bounds->begun),
              "writer %u: operations before %u are there, those from %u on were never begun",
              bounds->plan->writer, next, bounds->begun);
    }
}

/* By index and tail, and not by the log alone. */
static void check_streams(const struct walk *walk, quipu *store)
{
    const struct crash_plan *plan = walk->bounds[0].plan;

    for (unsigned i = 0; i < CRASH_STREAMS; i++) {
        uint64_t wanted = i < CRASH_OWN_STREAMS ? walk->fingers[0].versions[i]
                                                : walk->shared[i - CRASH_OWN_STREAMS];
        char name[CRASH_NAME_BYTES];
        quipu_reader *reader;
        quipu_event event;
        uint64_t count = 0;
        int rc;

        crash_stream_name(plan, i, name);
        rc = quipu_read_stream(store, name, NULL, &reader, NULL);
        CHECK(rc == (wanted > 0 ? QUIPU_OK : QUIPU_NOT_FOUND), "%s: %d", name, rc);
        if (rc == QUIPU_NOT_FOUND)
            continue;
        rc = quipu_next(reader, &event, NULL);
        for (; rc == QUIPU_ROW; rc = quipu_next(reader, &event, NULL))
            CHECK(event.version == ++count, "%s: version %" PRIu64, name, event.version);
        quipu_reader_close(reader);
        CHECK(rc == QUIPU_OK && count == wanted, "%s: %" PRIu64 " of %" PRIu64 " events", name,
              count, wanted);
        rc = crash_fold_check(store, name, NULL);
        CHECK(rc == QUIPU_OK, "%s cannot be folded: %d", name, rc);
    }
}

/* They were committed with events that are there, and with none that are not. */
static void check_tracked(const struct walk *walk, quipu *store)
{
    for (size_t i = 0; i < walk->count; i++) {
        int wanted = walk->fingers[i].tracked > 0 ? QUIPU_OK : QUIPU_NOT_FOUND;
        char name[CRASH_NAME_BYTES];
        uint64_t number = 0;
        uint64_t mark = 0;

        crash_source_name(walk->bounds[i].plan, name);
        CHECK(quipu_tracked_get(store, name, &number, NULL) == wanted &&
                  quipu_mark_get(store, name, &mark, NULL) == wanted,
              "%s: neither there nor missing", name);
        CHECK(number == walk->fingers[i].tracked && mark == number,
              "%s: source %" PRIu64 ", mark %" PRIu64 ", not %" PRIu64, name, number, mark,
              walk->fingers[i].tracked);
    }
}

static int tell_finding(void *payload, const quipu_finding *finding)
{
    (void)payload;
    (void)fprintf(stderr, "verify: %s %s: %s\n", finding->file, finding->table, finding->text);
    return 0;
}

static void check_verified(const char *path, uint64_t events)
{
    quipu_verified verified = {QUIPU_INIT(quipu_verified), .reserved = 0};
    quipu_error error = {0};
    int rc = quipu_verify(path, 0, tell_finding, NULL, NULL, &verified, &error);

    CHECK(rc == QUIPU_OK && verified.findings == 0, "verify: %d %s", rc, error.text);
    CHECK(verified.checked == events, "verify saw %" PRIu64 " of %" PRIu64 " events",
          verified.checked, events);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The last batches with ids that are in: they are known, at their places. */
static void send_known(const struct walk *walk, const char *path, quipu *store, bool alone)
{
    enum { BATCHES = 4 };

    for (size_t i = 0; i < walk->count; i++) {
        const struct crash_plan *plan = walk->bounds[i].plan;
        struct crash_run run = {.plan = plan, .path = path, .beside = !alone, .store = store};
        unsigned sent = 0;

        for (run.op = walk->fingers[i].op; run.op-- > 0 && sent < BATCHES;) {
            quipu_receipt receipt;

            if (!crash_op_writes(&plan->ops[run.op]) || !plan->ops[run.op].ids)
                continue;
            CHECK(crash_send_again(&run, run.op, &receipt) == QUIPU_DUPLICATE,
                  "operation %u of writer %u was not recognised", run.op, plan->writer);
            sent++;
        }
    }
}

static void append_and_read(struct walk *walk, quipu *store)
{
    const quipu_draft draft = {
        .type = "Checked", .data = &walk->position, .data_size = sizeof(walk->position)};
    const quipu_range last = {QUIPU_INIT(quipu_range), .flags = QUIPU_BACKWARDS, .limit = 1};
    quipu_receipt receipt;
    quipu_reader *reader;
    quipu_event event;
    quipu_error error = {0};
    int rc = quipu_append(store, after_stream, walk->after, &draft, 1, &receipt, &error);

    CHECK(rc == QUIPU_OK, "append: %d %s", rc, error.text);
    CHECK(receipt.first_position == walk->position + 1, "appended at %" PRIu64 " after %" PRIu64,
          receipt.first_position, walk->position);
    rc = quipu_read_stream(store, after_stream, &last, &reader, &error);
    CHECK(rc == QUIPU_OK, "read: %d %s", rc, error.text);
    rc = quipu_next(reader, &event, &error);
    CHECK(rc == QUIPU_ROW && event.position == walk->position + 1 &&
              event.data_size == sizeof(walk->position) &&
              memcmp(event.data, &walk->position, sizeof(walk->position)) == 0,
          "what was appended is not read: %d %s", rc, error.text);
    quipu_reader_close(reader);
    walk->position++;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void walk_read_only(const char *path, const struct crash_bounds *bounds, size_t count,
                           unsigned flags)
{
    bool live = (flags & CRASH_LIVE) != 0;
    quipu_options options =
        crash_options(bounds[0].plan, &(struct crash_op){.open_flags = QUIPU_OPEN_READ_ONLY});
    quipu_error error = {0};
    struct walk walk;
    quipu *store;
    int rc = quipu_open(path, &options, &store, &error);

    CHECK(rc == QUIPU_OK, "open to read: %d %s", rc, error.text);
    walk_begin(&walk, bounds, count);
    walk_events(&walk, store);
    check_bounds(&walk);
    if (!live) {
        check_streams(&walk, store);
        crash_inspect_projects(store, bounds, walk.fingers[0].op, flags);
    }
    walk_end(&walk);
    quipu_close(store);
}

/* Before the first acknowledgement there may be no store. */
static bool is_missing(const char *path, const struct crash_bounds *bounds)
{
    if (sys_exists(path))
        return false;
    CHECK(bounds->acked == 0, "LOST: the store was created, and is not there");
    return true;
}

uint32_t crash_inspect(const char *path, const struct crash_bounds *bounds, size_t count,
                       unsigned flags)
{
    quipu_options options = crash_options(bounds[0].plan, &(struct crash_op){.open_flags = 0});
    bool missing = is_missing(path, bounds);
    quipu_error error = {0};
    struct walk walk;
    quipu *store;
    uint32_t done;
    int rc;

    if ((flags & (CRASH_READ_FIRST | CRASH_LIVE)) != 0 && !missing)
        walk_read_only(path, bounds, count, flags);
    if ((flags & CRASH_LIVE) != 0)
        return 0;
    rc = quipu_open(path, &options, &store, &error);
    CHECK(rc == QUIPU_OK, "open: %d %s", rc, error.text);
    walk_begin(&walk, bounds, count);
    walk_events(&walk, store);
    check_bounds(&walk);
    check_streams(&walk, store);
    check_tracked(&walk, store);
    crash_inspect_projects(store, bounds, walk.fingers[0].op, flags);
    check_verified(path, walk.position);
    send_known(&walk, path, store, count == 1 && walk.after == 0);
    if (walk.position < FEW_EVENTS || walk.position % 8 == 0) /* it takes its time */
        walk.position = crash_finish_projects(store, bounds, walk.position);
    append_and_read(&walk, store);
    quipu_close(store);
    if ((flags & CRASH_QUICK) == 0)
        check_verified(path, walk.position);
    done = walk.fingers[0].op;
    walk_end(&walk);
    return done;
}
