/* cmd_import.c - quipu import: NDJSON in, in constant memory.
 *
 * Events are committed in batches. Whatever ends the import - a bad line, a full disk, ctrl-C -
 * what was good before it is committed, and the message says which line was the last one kept: go
 * on with the line after it.
 *
 * Each event is an append of its own in its batch, so a batch of which every id is known is one
 * duplicate, however the batches were cut when they came first. Known ones among new ones are
 * refused; the batch's results say which they are, and the others are committed again without
 * them, until it holds: as if each event had been appended alone, at the price of two commits. A
 * batch cannot give its events back, so the lines of it are kept as long as it is pending.
 *
 * With --atomic all is one batch: nothing is taken out of it, and nothing is kept of a part.
 *
 * With --resume each batch stores, as the number of a source, which line it ends with, so that both
 * are there or neither:
 *
 *     lines    1 ............ 4096 ............ 8192 ...        killed here: the source is at 8192,
 *     batches  [ events, 1, 4096 ][ events, 4097, 8192 ][       and the next call begins at 8193
 *
 * A source takes any number that is higher. The line after the last one stored, tracked first, says
 * that nobody else has moved it meanwhile: of two imports under one name one is refused, instead of
 * storing what the other has stored. A batch of which all is known is a duplicate, and nothing of
 * it is written, the number neither: then that is committed by itself. */
#include "command.h"
#include "draft.h"
#include "input.h"
#include "interrupt.h"
#include "progress.h"
#include "store.h"
#include "text.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define BATCH_EVENTS 4096 /* the library's limit */
#define BATCH_BYTES  ((size_t)8 * 1024 * 1024)
#define IDLE_MS      200 /* a slow source: what has come is committed, not held back */

/* A line whose event is pending: the batch's step of the same number. */
struct pending {
    uint64_t number;
    size_t begin; /* in `texts` */
    size_t size;
};

static const struct qt_option options[] = {
    {.name = "atomic", .help = "all events in one batch: all of them or none"},
    {.name = "resume",
     .value = "NAME",
     .help = "go on after the last line that came in under NAME",
     .kind = QT_TEXT},
    {0},
};

struct import {
    struct qt_run *run;
    quipu *store;
    quipu_batch *batch;
    quipu_batch
        *probe; /* a draft that a batch refuses spoils it, so it is tried on this one first */
    bool atomic;
    struct qt_draft draft;
    struct qt_draft again; /* of a line that is read a second time */
    struct qt_lines lines;
    struct qt_bytes pending; /* struct pending, pending_events of them */
    struct qt_bytes texts;   /* their lines; with --atomic none */
    struct qt_interrupt interrupt;
    struct qt_progress progress;
    const char *name;   /* of the input, for messages */
    const char *resume; /* the source's name; NULL: without */
    uint64_t tracked;   /* its number: lines up to this one are in the store */
    size_t pending_events;
    size_t pending_bytes;
    uint64_t pending_line; /* of the newest event that is not committed */
    uint64_t kept_line;    /* of the newest that is */
    uint64_t events;       /* committed */
    uint64_t duplicates;   /* that were there already */
    uint64_t skipped;      /* lines that came in before, by their number */
    uint64_t first_position;
    uint64_t last_position;
};

static struct pending *pending_of(struct import *import)
{
    assert(import->pending.size == import->pending_events * sizeof(struct pending));
    return (struct pending *)(void *)import->pending.data;
}

/* The store refuses the batch. If that is for what is in it, though each line was fine on its own,
 * the place named is that of the step that failed, or where the batch begins.
 *
 * Returns: status. */
static int commit_failed(struct import *import, int status, const quipu_receipt *receipt,
                         const char *text)
{
    struct qt_problem *problem = &import->run->problem;
    uint64_t line;

    if (status == QUIPU_ALREADY_TRACKED) {
        return qt_problem_say(
            problem, status, "%.300s: another import is at work as %.130s; last line kept %" PRIu64,
            import->name, import->resume, import->kept_line);
    }
    if (status != QUIPU_TOO_LARGE && status != QUIPU_INVALID && status != QUIPU_DUPLICATE_ID)
        return qt_problem_say(problem, status, "%.300s: %s; last line kept %" PRIu64, import->name,
                              text, import->kept_line);
    assert(receipt->failed_step < import->pending_events);
    line = pending_of(import)[receipt->failed_step].number;
    problem->matched = receipt->matched;
    problem->line = line;
    problem->column = 1;
    return qt_problem_say(problem, status, "%.200s:%" PRIu64 ":1: %s; last line kept %" PRIu64,
                          import->name, line, text, import->kept_line);
}

/* Put the lines that are left into the batch again. Returns: 0, or a status with its problem. */
static int fill_again(struct import *import)
{
    const struct pending *pending = pending_of(import);
    struct qt_draft *draft = &import->again;

    quipu_batch_clear(import->batch);
    for (size_t i = 0; i < import->pending_events; i++) {
        const char *line = import->texts.data + pending[i].begin;
        int rc = qt_draft_read(draft, line, pending[i].size);

        if (rc == 0)
            rc = quipu_batch_append(import->batch, draft->stream, QUIPU_ANY, &draft->draft, 1);
        if (rc < 0)
            return qt_problem_say(&import->run->problem, rc,
                                  "out of memory; last line kept %" PRIu64, import->kept_line);
    }
    return 0;
}

/* Take those out of the batch that it was refused for: they are in the store, or stand twice in the
 * batch.
 *
 * Returns: how many. */
static size_t drop_known(struct import *import)
{
    struct pending *pending = pending_of(import);
    size_t left = 0;
    size_t dropped;

    for (size_t i = 0; i < import->pending_events; i++) {
        quipu_result result = {0};

        (void)quipu_batch_result(import->batch, i, &result);
        if (result.status == QUIPU_OK)
            pending[left++] = pending[i];
    }
    dropped = import->pending_events - left;
    import->duplicates += dropped;
    import->pending_events = left;
    import->pending.size = left * sizeof(*pending);
    return dropped;
}

/* What is pending is in the store. */
static void take_receipt(struct import *import, const quipu_receipt *receipt)
{
    if (receipt->verdict == QUIPU_DUPLICATE) {
        import->duplicates += import->pending_events;
    } else {
        assert(receipt->first_position > import->last_position);
        if (import->first_position == 0)
            import->first_position = receipt->first_position;
        import->last_position = receipt->last_position;
        import->events += import->pending_events;
    }
    import->kept_line = import->pending_line;
    import->tracked = import->pending_line;
    import->pending_events = 0;
    import->pending_bytes = 0;
    qt_bytes_clear(&import->pending);
    qt_bytes_clear(&import->texts);
    quipu_batch_clear(import->batch);
    qt_progress_show(&import->progress, import->events + import->duplicates, 0);
}

/* Put into the batch that it ends with this line, and that the last one ended where we know. */
static void track(struct import *import)
{
    uint64_t next = import->tracked + 1;

    if (import->resume == NULL)
        return;
    assert(import->pending_line >= next);
    (void)quipu_batch_track(import->batch, import->resume, next);
    if (import->pending_line > next)
        (void)quipu_batch_track(import->batch, import->resume, import->pending_line);
}

/* Commit the batch, and its line by itself if all of it was known. */
static int commit_batch(struct import *import, quipu_receipt *receipt, quipu_error *error)
{
    int rc;

    track(import);
    rc = quipu_commit(import->store, import->batch, receipt, error);
    if (rc < 0 || receipt->verdict != QUIPU_DUPLICATE || import->resume == NULL)
        return rc;
    quipu_batch_clear(import->batch);
    track(import);
    return quipu_commit(import->store, import->batch, NULL, error);
}

/* Commit what is pending. Returns: 0, or a status with its problem. */
static int commit(struct import *import)
{
    while (import->pending_events > 0) {
        quipu_receipt receipt = {0};
        quipu_error error = {0};
        int rc = commit_batch(import, &receipt, &error);

        if (rc == 0) {
            take_receipt(import, &receipt);
            return 0;
        }
        if (rc != QUIPU_DUPLICATE_ID || import->atomic || drop_known(import) == 0)
            return commit_failed(import, rc, &receipt, error.text);
        rc = fill_again(import);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A line is wrong: commit those before it, unless it is all or nothing, then say so. */
static int bad_line(struct import *import, int status, size_t column, const char *text)
{
    struct qt_problem *problem = &import->run->problem;
    uint64_t line = import->lines.number;
    int rc = import->atomic ? 0 : commit(import);

    if (rc < 0)
        return rc;
    problem->line = line;
    problem->column = column;
    return qt_problem_say(problem, status, "%.200s:%" PRIu64 ":%zu: %s; last line kept %" PRIu64,
                          import->name, line, column, text, import->kept_line);
}

/* The library does not take the line's draft. Its reason is what committing the batch fails with.
 */
static int draft_refused(struct import *import, quipu_batch *batch, int status)
{
    quipu_error error = {0};

    (void)quipu_commit(import->store, batch, NULL, &error);
    return bad_line(import, status, 1,
                    error.text[0] != '\0' ? error.text : quipu_status_name(status));
}

/* Would the library take this draft? */
static int try_draft(struct import *import)
{
    struct qt_draft *draft = &import->draft;
    int rc;

    quipu_batch_clear(import->probe);
    rc = quipu_batch_append(import->probe, draft->stream, QUIPU_ANY, &draft->draft, 1);
    return rc == 0 ? 0 : draft_refused(import, import->probe, rc);
}

/* Has the batch room for so much more? A large event gets one of its own. */
static bool has_room(const struct import *import, size_t size)
{
    return import->atomic ||
           (import->pending_events < BATCH_EVENTS && import->pending_bytes + size <= BATCH_BYTES);
}

/* Into the batch, and among the lines that are pending. */
static int add_draft(struct import *import, struct qt_span line)
{
    struct qt_draft *draft = &import->draft;
    struct pending pending = {.number = import->lines.number, .size = line.size};
    size_t size = (size_t)draft->draft.data_size + draft->draft.meta_size;
    int rc = has_room(import, size) ? 0 : commit(import);

    if (rc == 0)
        rc = try_draft(import);
    if (rc < 0)
        return rc;
    rc = quipu_batch_append(import->batch, draft->stream, QUIPU_ANY, &draft->draft, 1);
    if (rc < 0)
        return draft_refused(import, import->batch, rc);
    pending.begin = import->texts.size;
    if (!import->atomic)
        qt_bytes_put(&import->texts, line.text, line.size);
    qt_bytes_put(&import->pending, &pending, sizeof(pending));
    if (import->texts.failed || import->pending.failed)
        return qt_problem_say(&import->run->problem, QUIPU_NO_MEMORY,
                              "out of memory; last line kept %" PRIu64, import->kept_line);
    assert(import->pending_line < import->lines.number);
    import->pending_events++;
    import->pending_bytes += size;
    import->pending_line = import->lines.number;
    return 0;
}

/* The newest line came in before. */
static bool is_kept(const struct import *import)
{
    return import->lines.number <= import->skipped;
}

/* Returns: 0, or a status with its problem. */
static int take_line(struct import *import, struct qt_span line)
{
    int rc;

    if (is_kept(import) || qt_line_blank(line))
        return 0;
    rc = qt_draft_read(&import->draft, line.text, line.size);
    if (rc < 0)
        return bad_line(import, rc, import->draft.column, import->draft.error);
    return add_draft(import, line);
}

/* No line came. Returns: 0 if that is how it should be, or a status with its problem. */
static int end_lines(struct import *import, enum qt_line_result result)
{
    struct qt_problem *problem = &import->run->problem;
    uint64_t bad = import->lines.number + 1;
    int rc;

    if (result == QT_LINE_TOO_LONG) {
        import->lines.number = bad;
        return bad_line(import, QUIPU_TOO_LARGE, 1, "a line of more than 128 MiB");
    }
    if (result == QT_LINE_END && import->lines.number < import->skipped) {
        return qt_problem_say(problem, QUIPU_INVALID,
                              "%.300s: has %" PRIu64 " lines, and %" PRIu64
                              " came in as %.130s: is it another file?",
                              import->name, import->lines.number, import->skipped, import->resume);
    }
    rc = import->atomic && result != QT_LINE_END ? 0 : commit(import);
    if (rc < 0 || result == QT_LINE_END)
        return rc;
    if (result == QT_LINE_INTERRUPTED)
        return qt_problem_say(problem, QUIPU_CLOSED, "interrupted; last line kept %" PRIu64,
                              import->kept_line);
    return qt_problem_say(problem, QUIPU_SYSTEM, "%.300s: %s; last line kept %" PRIu64,
                          import->name, strerror(import->lines.failed), import->kept_line);
}

/* Lines until there are no more, or something is wrong. Between two batches a signal is answered.
 */
static int import_lines(struct import *import)
{
    for (;;) {
        struct qt_span line;
        enum qt_line_result result;
        int rc;

        if (import->pending_events == 0 && !is_kept(import) &&
            qt_interrupt_came(&import->interrupt))
            return end_lines(import, QT_LINE_INTERRUPTED);
        result = qt_lines_next(&import->lines,
                               import->pending_events > 0 && !import->atomic ? IDLE_MS : -1, &line);
        if (result == QT_LINE_ROW)
            rc = take_line(import, line);
        else if (result == QT_LINE_IDLE)
            rc = commit(import);
        else
            return end_lines(import, result);
        if (rc < 0)
            return rc;
    }
}

static void put_json(struct import *import)
{
    struct qt_out *out = &import->run->out;

    qt_out_text(out, "{\"events\":");
    qt_out_number(out, import->events);
    qt_out_key(out, "duplicates");
    qt_out_number(out, import->duplicates);
    qt_out_key(out, "first_position");
    qt_out_number(out, import->first_position);
    qt_out_key(out, "last_position");
    qt_out_number(out, import->last_position);
    if (import->resume != NULL) {
        qt_out_key(out, "skipped");
        qt_out_number(out, import->skipped);
    }
    qt_out_text(out, "}\n");
}

static void put_result(struct import *import)
{
    struct qt_out *out = &import->run->out;

    if (import->run->json) {
        put_json(import);
        return;
    }
    qt_text_grouped(out, import->events, 0);
    qt_out_text(out, import->events == 1 ? " event" : " events");
    if (import->events > 0) {
        qt_out_text(out, ", positions ");
        qt_text_grouped(out, import->first_position, 0);
        qt_out_text(out, " to ");
        qt_text_grouped(out, import->last_position, 0);
    }
    if (import->duplicates > 0) {
        qt_out_text(out, "; ");
        qt_text_grouped(out, import->duplicates, 0);
        qt_out_text(out, import->duplicates == 1 ? " was there already" : " were there already");
    }
    if (import->skipped > 0) {
        qt_out_text(out, "; ");
        qt_text_grouped(out, import->skipped, 0);
        qt_out_text(out, import->skipped == 1 ? " line came in before" : " lines came in before");
    }
    qt_out_char(out, '\n');
}

/* Where the last import under this name ended. */
static int begin_after(struct import *import)
{
    quipu_error error = {0};
    int rc;

    if (import->resume == NULL)
        return 0;
    rc = quipu_tracked_get(import->store, import->resume, &import->tracked, &error);
    if (rc < 0 && rc != QUIPU_NOT_FOUND)
        return qt_store_failed(import->run, rc, &error);
    import->skipped = import->tracked;
    import->kept_line = import->tracked;
    return 0;
}

/* What can fail before the store is there, so that a wrong file name makes no store. */
static int begin(struct import *import)
{
    struct qt_run *run = import->run;
    const char *path = run->args.operand_count > 1 ? run->args.operands[1] : "-";
    int rc;

    import->resume = qt_args_text(&run->args, "resume");
    import->atomic = qt_args_has(&run->args, "atomic");
    import->name = strcmp(path, "-") == 0 ? "stdin" : path;
    import->lines.fd = qt_input_open(path, &run->problem);
    if (import->lines.fd < 0)
        return import->lines.fd;
    import->batch = quipu_batch_new();
    import->probe = quipu_batch_new();
    if (import->batch == NULL || import->probe == NULL || qt_draft_init(&import->draft) < 0 ||
        qt_draft_init(&import->again) < 0)
        return qt_problem_say(&run->problem, QUIPU_NO_MEMORY, "out of memory");
    if (import->resume != NULL && quipu_batch_track(import->probe, import->resume, 1) < 0) {
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "--resume wants a name of 1 to 127 bytes without a $ before it, not "
                              "\"%.80s\"; see quipu help import",
                              import->resume);
    }
    rc =
        qt_store_open(run, import->atomic ? QT_STORE_WRITE_ATOMIC : QT_STORE_WRITE, &import->store);
    return rc == 0 ? begin_after(import) : rc;
}

static int run_import(struct qt_run *run)
{
    struct import import = {.run = run};
    int rc;

    qt_interrupt_open(&import.interrupt);
    import.lines.interrupt_fd = import.interrupt.fd;
    qt_progress_begin(&import.progress, "events");
    rc = begin(&import);
    if (rc == 0)
        rc = import_lines(&import);
    qt_progress_end(&import.progress);
    if (rc == 0)
        put_result(&import);
    quipu_batch_free(import.batch);
    quipu_batch_free(import.probe);
    quipu_close(import.store);
    qt_draft_release(&import.draft);
    qt_draft_release(&import.again);
    qt_bytes_release(&import.pending);
    qt_bytes_release(&import.texts);
    qt_lines_release(&import.lines);
    qt_interrupt_close(&import.interrupt);
    return rc;
}

const struct qt_command qt_command_import = {
    .verb = "import",
    .summary = "append the events of an NDJSON file",
    .operands = "STORE [FILE|-]",
    .example = "quipu import orders orders.ndjson",
    .text = "Appends each line of FILE, or of standard input, as an event:\n\n"
            "  {\"stream\":\"order-1\",\"type\":\"ORDER_PAID\",\"time\":\"2024-03-01T12:00:00Z\",\n"
            "   \"data\":{\"sum\":9.50}}\n\n"
            "on one line. stream and type are required; time, recorded, id, schema, tags,\n"
            "data and meta may follow, data and meta also as data_base64 and data_msgpack\n"
            "(base64). position and version are passed over, so that what dump --json prints\n"
            "comes in again; any other key is an error. JSON is kept as it is written.\n\n"
            "Events are committed in batches of 4 096. A bad line ends the import with exit\n"
            "code 1: what was good before it is kept, and the message says FILE:LINE:COLUMN,\n"
            "counted in bytes from 1, and the last line kept. So does ctrl-C, between two\n"
            "batches. With --atomic nothing is kept then: all is one batch, of at most\n"
            "1 048 576 events and 1 GiB, which is held in memory.\n\n"
            "An event with an id that its stream has already is not stored again but counted\n"
            "as a duplicate, so that a file whose events have ids may be imported again after\n"
            "a failure. Events without ids are new each time. With --atomic a file must be\n"
            "wholly known or wholly new, else the exit code is 3.\n\n"
            "With --resume, the store keeps with each batch which line of NAME it ended with:\n"
            "the same call again, after whatever ended the one before, begins with the line\n"
            "after it, so that each line comes in once, with ids or without. A file that has\n"
            "grown comes in from where it ended. Two files need two names; of two imports\n"
            "at once under one name one ends with exit code 3. quipu marks shows the names.\n",
    .options = options,
    .waits = true,
    .run = run_import,
};
