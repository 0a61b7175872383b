/* run.c - see run.h.
 *
 * What a fault may do to a call:
 *
 *     commit    IO: nobody knows. No later commit may go well before the store was closed; after an
 *               open it is in, whole, or not at all, and sent again it is not doubled.
 *               anything else: nothing is in, and the same handle does it when the fault is over
 *     others    fail with a status, and go well when the fault is over and the store opened anew */
#include "run.h"

#include "fold.h"
#include "look.h"
#include "project.h"
#include "support_system.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 20000 };

/* ---- looking at answers ---------------------------------------------------------------------- */

static void describe(const struct crash_run *run)
{
    static const char *const kinds[] = {"open",    "close",    "reindex",  "look",    "commit",
                                        "execute", "again",    "conflict", "partial", "known",
                                        "twice",   "outdated", "tracked",  "async",   "flush",
                                        "save",    "drop",     "project",  "control"};
    const struct crash_op *op = &run->plan->ops[run->op];
    size_t size = strcspn(sys_note, "|");

    (void)snprintf(sys_note + size, sizeof(sys_note) - size, "| operation %u (%s) of part %s",
                   run->op, kinds[op->kind], run->plan->part_names[op->part]);
}

/* What a fault of the machine may be told as. To verify, a file that cannot be read is a finding.
 */
static bool is_fault(const struct crash_run *run, int rc)
{
    if (rc == QUIPU_CORRUPT)
        return run->plan->ops[run->op].kind == CRASH_LOOK;
    return rc == QUIPU_IO || rc == QUIPU_FULL || rc == QUIPU_NO_MEMORY || rc == QUIPU_SYSTEM ||
           rc == QUIPU_UNSAFE;
}

static void mark(const struct crash_run *run, uint32_t number, bool acknowledged)
{
    const struct crash_op *op = &run->plan->ops[number];
    bool lazy = op->lazy && op->kind != CRASH_OPEN && op->kind != CRASH_FLUSH;
    enum crash_mark_kind kind = lazy ? MARK_LAZY : MARK_DURABLE;

    if (run->state != NULL)
        atomic_store(acknowledged ? &run->state->acked : &run->state->begun, number + 1);
    if (crash_mark != NULL)
        crash_mark(run->plan->writer, 4 * (uint64_t)number + (acknowledged ? kind : MARK_BEGUN));
}

static int expected_rc(enum crash_op_kind kind)
{
    switch (kind) {
    case CRASH_CONFLICT:
    case CRASH_OUTDATED:
        return QUIPU_CONFLICT;
    case CRASH_TRACKED:
        return QUIPU_ALREADY_TRACKED;
    case CRASH_PARTIAL:
        return QUIPU_PARTIAL_DUPLICATE;
    case CRASH_KNOWN:
    case CRASH_TWICE:
        return QUIPU_DUPLICATE_ID;
    default:
        return QUIPU_OK;
    }
}

/* ---- commits --------------------------------------------------------------------------------- */

static uint32_t events_of(const struct crash_plan *plan, uint32_t op)
{
    const struct crash_op *own = &plan->ops[op];

    return own->kind == CRASH_AGAIN ? plan->ops[own->of].events : own->events;
}

/* All events of an operation, in one block. The caller's to free(). */
static struct crash_event *make_events(const struct crash_plan *plan, uint32_t op)
{
    uint32_t count = events_of(plan, op);
    size_t bytes = crash_op_data_bytes(plan, op);
    struct crash_event *events = malloc(count * (sizeof(*events) + bytes));
    unsigned char *data = (unsigned char *)(events + count);

    CHECK(events != NULL, "out of memory");
    for (uint32_t k = 0; k < count; k++) {
        events[k].data = data + k * bytes;
        crash_op_event(plan, op, k, &events[k]);
    }
    return events;
}

/* Steps that are no appends. */
static void add_conditions(const struct crash_run *run, uint32_t number, quipu_batch *batch)
{
    const struct crash_op *op = &run->plan->ops[number];
    char source[CRASH_NAME_BYTES];
    char name[CRASH_NAME_BYTES];
    const quipu_query_item item = {.stream = name};
    const quipu_query query = {&item, 1};

    crash_source_name(run->plan, source);
    crash_stream_name(run->plan, crash_op_steps(run->plan, number, &(size_t){0})->stream, name);
    if (op->kind == CRASH_OUTDATED) {
        (void)quipu_batch_unless(batch, &query, run->plan->ops[op->of].first_position - 1);
    } else if (op->kind == CRASH_TRACKED) {
        (void)quipu_batch_track(batch, source, crash_tracked_number(op->of));
    } else if (op->tracks) {
        (void)quipu_batch_unless(batch, &query, op->first_position - 1);
        (void)quipu_batch_track(batch, source, crash_tracked_number(number));
        (void)quipu_batch_mark(batch, source, crash_tracked_number(number));
    }
}

/* NULL: an allocation of the library failed. One of a step is told by the commit. */
static quipu_batch *fill_batch(const struct crash_run *run, uint32_t number)
{
    quipu_batch *batch = quipu_batch_new();
    size_t count;
    const struct crash_step *steps = crash_op_steps(run->plan, number, &count);
    struct crash_event *events;
    quipu_draft *drafts;
    uint32_t next = 0;

    if (batch == NULL)
        return NULL;
    events = make_events(run->plan, number);
    drafts = malloc(events_of(run->plan, number) * sizeof(*drafts));
    CHECK(drafts != NULL, "out of memory");
    for (uint32_t k = 0; k < events_of(run->plan, number); k++)
        drafts[k] = events[k].draft;
    for (size_t i = 0; i < count; i++) {
        bool more = run->plan->ops[number].kind == CRASH_PARTIAL && i + 1 == count;
        char name[CRASH_NAME_BYTES];

        crash_stream_name(run->plan, steps[i].stream, name);
        (void)quipu_batch_append(batch, name, steps[i].expected, drafts + next,
                                 steps[i].count + more);
        next += steps[i].count + more;
    }
    add_conditions(run, number, batch);
    free(drafts);
    free(events);
    return batch;
}

static int send(struct crash_run *run, uint32_t number, quipu_receipt *receipt)
{
    quipu_batch *batch = fill_batch(run, number);
    int rc = QUIPU_NO_MEMORY;

    run->error = (quipu_error){0};
    if (batch != NULL)
        rc = quipu_commit(run->store, batch, receipt, &run->error);
    quipu_batch_free(batch);
    return rc;
}

static void check_positions(const struct crash_run *run, uint32_t number,
                            const quipu_receipt *receipt)
{
    uint64_t events = events_of(run->plan, number);
    uint64_t first = run->plan->ops[number].first_position;

    CHECK(receipt->last_position == receipt->first_position + events - 1,
          "positions %" PRIu64 " .. %" PRIu64 " for %" PRIu64 " events", receipt->first_position,
          receipt->last_position, events);
    CHECK(run->beside || receipt->first_position == first, "at %" PRIu64 ", not %" PRIu64,
          receipt->first_position, first);
}

int crash_send_again(struct crash_run *run, uint32_t op, quipu_receipt *receipt)
{
    int rc = send(run, op, receipt);

    CHECK(rc == QUIPU_OK, "sent again: %d %s", rc, run->error.text);
    check_positions(run, op, receipt);
    return receipt->verdict;
}

/* Returns: OK: the answer is what it must be; else what failed. */
static int do_commit(struct crash_run *run)
{
    enum crash_op_kind kind = run->plan->ops[run->op].kind;
    quipu_receipt receipt;
    int rc = send(run, run->op, &receipt);

    if (rc != expected_rc(kind)) {
        CHECK(rc < 0, "went well, and must not");
        return rc;
    }
    if (rc != QUIPU_OK)
        return QUIPU_OK;
    CHECK(receipt.verdict == (kind == CRASH_AGAIN ? QUIPU_DUPLICATE : QUIPU_COMMITTED),
          "verdict %d", receipt.verdict);
    check_positions(run, run->op, &receipt);
    return QUIPU_OK;
}

/* ---- asynchronous commits -------------------------------------------------------------------- */

struct flight {
    struct crash_run *run;
    uint32_t op;
};

static void landed(void *payload, int status, const quipu_receipt *receipt,
                   const quipu_batch *batch, const quipu_error *error)
{
    struct flight *flight = payload;

    (void)batch;
    CHECK(status == QUIPU_OK && receipt->verdict == QUIPU_COMMITTED, "operation %u was told %d: %s",
          flight->op, status, error->text);
    check_positions(flight->run, flight->op, receipt);
    mark(flight->run, flight->op, true);
    flight->run->in_flight--;
    free(flight);
}

/* Where calls may fail it waits: what is unknown then is one commit. */
static int do_async(struct crash_run *run)
{
    struct flight *flight;
    quipu_batch *batch;
    int rc;

    if (run->faulty)
        return do_commit(run);
    flight = malloc(sizeof(*flight));
    batch = fill_batch(run, run->op);
    CHECK(flight != NULL && batch != NULL, "out of memory");
    *flight = (struct flight){run, run->op};
    run->in_flight++;
    rc = quipu_commit_async(run->store, batch, landed, flight, &run->error);
    CHECK(rc == QUIPU_OK, "%d %s", rc, run->error.text);
    return QUIPU_OK;
}

/* ---- execute --------------------------------------------------------------------------------- */

static int decide(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                  quipu_error *error)
{
    const struct crash_run *run = payload;
    const struct crash_state_of_fold *folded = state;
    struct crash_event *event = make_events(run->plan, run->op);
    char name[CRASH_NAME_BYTES];
    int rc;

    (void)error;
    CHECK(folded->count == version, "%" PRIu64 " events were folded of version %" PRIu64,
          folded->count, version);
    crash_stream_name(run->plan, crash_op_steps(run->plan, run->op, &(size_t){0})->stream, name);
    rc = quipu_batch_append(batch, name, QUIPU_ANY, &event->draft, 1);
    free(event);
    return rc;
}

static int do_execute(struct crash_run *run)
{
    quipu_receipt receipt;
    char name[CRASH_NAME_BYTES];
    int rc;

    crash_stream_name(run->plan, crash_op_steps(run->plan, run->op, &(size_t){0})->stream, name);
    rc = quipu_execute(run->store, &crash_fold, name, decide, run, 0, &receipt, &run->error);
    if (rc != QUIPU_OK)
        return rc;
    CHECK(receipt.verdict == QUIPU_COMMITTED, "verdict %d", receipt.verdict);
    check_positions(run, run->op, &receipt);
    return QUIPU_OK;
}

static int do_save(struct crash_run *run)
{
    char name[CRASH_NAME_BYTES];
    uint64_t version;
    int rc;

    crash_stream_name(run->plan, run->plan->ops[run->op].of, name);
    rc = quipu_snapshot_save(run->store, &crash_fold, name, &version, &run->error);
    return rc == QUIPU_OK ? crash_fold_check(run->store, name, &run->error) : rc;
}

/* ---- operations ------------------------------------------------------------------------------ */

quipu_options crash_options(const struct crash_plan *plan, const struct crash_op *op)
{
    return (quipu_options){.struct_size = sizeof(quipu_options),
                           .flags = op->open_flags,
                           .durability = op->lazy ? QUIPU_LAZY : QUIPU_SYNC,
                           .busy_timeout_ms = BUSY_MS,
                           .map_bytes = op->map_bytes != 0 ? op->map_bytes : UINT64_C(1) << 30,
                           .tail_bytes_max = plan->tail_mib * (UINT64_C(1) << 20),
                           .readers_max = 16};
}

/* A store that must be new may be there after a failed try to make it: then that one is opened. */
static int do_open(struct crash_run *run, bool again)
{
    quipu_options options = crash_options(run->plan, &run->plan->ops[run->op]);
    int rc;

    if (again)
        options.flags &= ~(uint32_t)QUIPU_OPEN_NEW;
    rc = quipu_open(run->path, &options, &run->store, &run->error);
    return rc == QUIPU_OK ? crash_project_register(run) : rc;
}

static int do_op(struct crash_run *run, bool again)
{
    const struct crash_op *op = &run->plan->ops[run->op];

    run->error = (quipu_error){0};
    switch (op->kind) {
    case CRASH_OPEN:
        return do_open(run, again);
    case CRASH_CLOSE:
        quipu_close(run->store);
        run->store = NULL;
        CHECK(run->in_flight == 0, "%u commits were not told of", run->in_flight);
        return QUIPU_OK;
    case CRASH_REINDEX:
        return quipu_reindex(run->path, NULL, NULL, &run->error);
    case CRASH_LOOK:
        return crash_look(run->store, run->path, run->plan,
                          run->beside ? 0 : op->first_position - 1, &run->error);
    case CRASH_EXECUTE:
        return do_execute(run);
    case CRASH_ASYNC:
        return do_async(run);
    case CRASH_FLUSH:
        return quipu_flush(run->store, &run->error);
    case CRASH_SAVE:
        return do_save(run);
    case CRASH_DROP:
        return quipu_snapshot_drop(run->store, NULL, NULL, NULL, &run->error);
    case CRASH_PROJECT:
        return crash_project_do(run);
    case CRASH_CONTROL:
        return crash_project_control(run, again);
    default:
        return do_commit(run);
    }
}

/* ---- faults ---------------------------------------------------------------------------------- */

static uint64_t head_of(struct crash_run *run)
{
    uint64_t head = 0;
    int rc = quipu_head(run->store, &head, &run->error);

    CHECK(rc == QUIPU_OK, "head, the fault is over: %d %s", rc, run->error.text);
    return head;
}

static bool commits(const struct crash_op *op)
{
    return op->kind != CRASH_OPEN && op->kind != CRASH_CLOSE && op->kind != CRASH_REINDEX &&
           op->kind != CRASH_LOOK && op->kind != CRASH_FLUSH && op->kind != CRASH_SAVE &&
           op->kind != CRASH_DROP && op->kind != CRASH_PROJECT && op->kind != CRASH_CONTROL;
}

/* The last open's options, but for what made it new. */
static void open_anew(struct crash_run *run)
{
    uint32_t op = run->op;
    quipu_options options;
    int rc;

    quipu_close(run->store);
    run->store = NULL;
    while (run->plan->ops[op].kind != CRASH_OPEN)
        op--;
    options = crash_options(run->plan, &run->plan->ops[op]);
    options.flags &= ~(uint32_t)QUIPU_OPEN_NEW;
    rc = quipu_open(run->path, &options, &run->store, &run->error);
    if (rc == QUIPU_OK)
        rc = crash_project_register(run);
    CHECK(rc == QUIPU_OK, "open anew, the fault is over: %d %s", rc, run->error.text);
}

/* Nobody knows whether it is in: no writing before all is closed, and then it is found out. */
static void settle_unknown(struct crash_run *run)
{
    const struct crash_op *op = &run->plan->ops[run->op];
    quipu_receipt receipt;
    uint64_t head;
    bool in;
    int rc;

    run->unknown++;
    rc = send(run, run->op, &receipt);
    CHECK(rc < 0, "after IO a commit must be refused");
    open_anew(run);
    if (!crash_op_writes(op)) {
        rc = do_op(run, true);
        CHECK(rc == QUIPU_OK, "opened anew: %d %s", rc, run->error.text);
        return;
    }
    head = head_of(run);
    in = head == op->first_position + op->events - 1;
    CHECK(in || head == op->first_position - 1, "head %" PRIu64 ", the batch begins at %" PRIu64,
          head, op->first_position);
    if (op->ids)
        CHECK(crash_send_again(run, run->op, &receipt) == (in ? QUIPU_DUPLICATE : QUIPU_COMMITTED),
              "verdict %d, and it %s there", receipt.verdict, in ? "was" : "was not");
    else if (!in)
        CHECK(do_op(run, true) == QUIPU_OK, "opened anew: %s", run->error.text);
}

/* It has failed, and failed again while the fault lasts; then the fault ends, and it must be done.
 */
static void do_in_spite(struct crash_run *run, int rc)
{
    const struct crash_op *op = &run->plan->ops[run->op];

    run->failures++;
    CHECK(is_fault(run, rc), "a fault is told as %d: %s", rc, run->error.text);
    if (op->kind != CRASH_PROJECT && op->kind != CRASH_CONTROL &&
        (rc != QUIPU_IO || !commits(op))) {
        rc = do_op(run, true);
        if (rc == QUIPU_OK)
            return;
        CHECK(is_fault(run, rc), "the second time a fault is told as %d: %s", rc, run->error.text);
    }
    if (commits(op) && run->readable)
        CHECK(crash_look(run->store, run->path, run->plan, op->first_position - 1, &run->error) ==
                      QUIPU_OK ||
                  !crash_op_writes(op),
              "it cannot be read meanwhile: %s", run->error.text);
    run->heal(run->payload);
    if (commits(op) && rc == QUIPU_IO) {
        settle_unknown(run);
        return;
    }
    if (commits(op) && !run->beside)
        CHECK(head_of(run) == op->first_position - 1 || !crash_op_writes(op),
              "%d, and there is something of it", rc);
    /* A flush that failed poisons, and a reader may have done without the index that it could not
     * read, and who could not give back a lease has it: another open mends all that. */
    if (run->store != NULL && !commits(op) && op->kind != CRASH_CLOSE)
        open_anew(run);
    rc = do_op(run, true);
    CHECK(rc == QUIPU_OK, "the fault is over: %d %s", rc, run->error.text);
}

void crash_run(struct crash_run *run, uint32_t first, uint32_t end)
{
    for (run->op = first; run->op < end; run->op++) {
        int rc;

        describe(run);
        mark(run, run->op, false);
        rc = do_op(run, false);
        if (rc == QUIPU_IO && run->stops_on_io)
            return;
        if (rc != QUIPU_OK && run->faulty)
            do_in_spite(run, rc);
        else
            CHECK(rc == QUIPU_OK, "%d %s", rc, run->error.text);
        if (run->plan->ops[run->op].kind != CRASH_ASYNC || run->faulty)
            mark(run, run->op, true);
        while (run->hold != NULL && run->plan->ops[run->op].kind == CRASH_OPEN &&
               sys_exists(run->hold))
            sys_sleep_ms(1);
    }
}
