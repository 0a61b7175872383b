/* cmd_import.c - quipu import: NDJSON in, in constant memory.
 *
 * Events are committed in batches. Whatever ends the import - a bad line, a full disk, ctrl-C -
 * what was good before it is committed, and the message says which line was the last one kept: go
 * on with the line after it. */
#include "command.h"
#include "draft.h"
#include "input.h"
#include "interrupt.h"
#include "number.h"
#include "progress.h"
#include "store.h"
#include "text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BATCH_EVENTS 4096 /* the library's limit */
#define BATCH_BYTES  ((size_t)8 * 1024 * 1024)
#define IDLE_MS      200 /* a slow source: what has come is committed, not held back */

struct import {
    struct qt_run *run;
    quipu *store;
    quipu_batch *batch;
    quipu_batch
        *probe; /* a draft that a batch refuses spoils it, so it is tried on this one first */
    struct qt_draft draft;
    struct qt_lines lines;
    struct qt_interrupt interrupt;
    struct qt_progress progress;
    const char *name; /* of the input, for messages */
    size_t pending_events;
    size_t pending_bytes;
    uint64_t first_line;   /* of the oldest event that is not committed */
    uint64_t pending_line; /* of the newest */
    uint64_t kept_line;    /* of the newest that is */
    uint64_t events;
    uint64_t first_position;
    uint64_t last_position;
};

/* The store refuses the batch. If that is for what is in it, though each line was fine on its own,
 * the place named is where the batch begins.
 *
 * Returns: status. */
static int commit_failed(struct import *import, int status, const char *text)
{
    struct qt_problem *problem = &import->run->problem;

    if (status != QUIPU_TOO_LARGE && status != QUIPU_INVALID)
        return qt_problem_say(problem, status, "%.300s: %s; last line kept %" PRIu64, import->name,
                              text, import->kept_line);
    problem->line = import->first_line;
    problem->column = 1;
    return qt_problem_say(problem, status, "%.200s:%" PRIu64 ":1: %s; last line kept %" PRIu64,
                          import->name, import->first_line, text, import->kept_line);
}

/* Commit what is pending. Returns: 0, or a status with its problem. */
static int commit(struct import *import)
{
    quipu_receipt receipt = {0};
    quipu_error error = {0};
    int rc;

    if (import->pending_events == 0)
        return 0;
    rc = quipu_commit(import->store, import->batch, &receipt, &error);
    if (rc < 0)
        return commit_failed(import, rc, error.text);
    assert(receipt.first_position > import->last_position);
    if (import->first_position == 0)
        import->first_position = receipt.first_position;
    import->last_position = receipt.last_position;
    import->events += import->pending_events;
    import->kept_line = import->pending_line;
    import->pending_events = 0;
    import->pending_bytes = 0;
    quipu_batch_clear(import->batch);
    qt_progress_show(&import->progress, import->events, 0);
    return 0;
}

/* A line is wrong: commit those before it, then say so. */
static int bad_line(struct import *import, int status, size_t column, const char *text)
{
    struct qt_problem *problem = &import->run->problem;
    uint64_t line = import->lines.number;
    int rc = commit(import);

    if (rc < 0)
        return rc;
    problem->line = line;
    problem->column = column;
    return qt_problem_say(problem, status, "%.200s:%" PRIu64 ":%zu: %s; last line kept %" PRIu64,
                          import->name, line, column, text, import->kept_line);
}

/* Would the library take this draft? Its reason is what committing the probe fails with. */
static int try_draft(struct import *import)
{
    struct qt_draft *draft = &import->draft;
    quipu_error error = {0};
    int rc;

    quipu_batch_clear(import->probe);
    rc = quipu_batch_append(import->probe, draft->stream, QUIPU_ANY, &draft->draft, 1);
    if (rc == 0)
        return 0;
    (void)quipu_commit(import->store, import->probe, NULL, &error);
    return bad_line(import, rc, 1, error.text[0] != '\0' ? error.text : quipu_status_name(rc));
}

/* Into the batch, which is committed first if it is full: a large event gets one of its own. */
static int add_draft(struct import *import)
{
    struct qt_draft *draft = &import->draft;
    size_t size = (size_t)draft->draft.data_size + draft->draft.meta_size;
    int rc = 0;

    if (import->pending_events == BATCH_EVENTS || import->pending_bytes + size > BATCH_BYTES)
        rc = commit(import);
    if (rc == 0)
        rc = try_draft(import);
    if (rc < 0)
        return rc;
    rc = quipu_batch_append(import->batch, draft->stream, QUIPU_ANY, &draft->draft, 1);
    if (rc < 0)
        return qt_problem_say(&import->run->problem, rc, "%s; last line kept %" PRIu64,
                              "out of memory", import->kept_line);
    assert(import->pending_line < import->lines.number);
    if (import->pending_events == 0)
        import->first_line = import->lines.number;
    import->pending_events++;
    import->pending_bytes += size;
    import->pending_line = import->lines.number;
    return 0;
}

/* An empty line, also one with a few blanks, is no event and no mistake. */
static bool is_blank(struct qt_span line)
{
    for (size_t i = 0; i < line.size; i++)
        if (line.text[i] != ' ' && line.text[i] != '\t' && line.text[i] != '\r')
            return false;
    return true;
}

/* Returns: 0, or a status with its problem. */
static int take_line(struct import *import, struct qt_span line)
{
    int rc;

    if (is_blank(line))
        return 0;
    rc = qt_draft_read(&import->draft, line.text, line.size);
    if (rc < 0)
        return bad_line(import, rc, import->draft.column, import->draft.error);
    return add_draft(import);
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
    rc = commit(import);
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

        if (import->pending_events == 0 && qt_interrupt_came(&import->interrupt))
            return end_lines(import, QT_LINE_INTERRUPTED);
        result = qt_lines_next(&import->lines, import->pending_events > 0 ? IDLE_MS : -1, &line);
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

/* No duplicates in this release: nothing recognises them yet, so none is left out. */
static void put_json(struct import *import)
{
    struct qt_out *out = &import->run->out;

    qt_out_text(out, "{\"events\":");
    qt_out_number(out, import->events);
    qt_out_text(out, ",\"duplicates\":0");
    qt_out_key(out, "first_position");
    qt_out_number(out, import->first_position);
    qt_out_key(out, "last_position");
    qt_out_number(out, import->last_position);
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
    qt_out_char(out, '\n');
}

/* What can fail before the store is there, so that a wrong file name makes no store. */
static int begin(struct import *import)
{
    struct qt_run *run = import->run;
    const char *path = run->args.operand_count > 1 ? run->args.operands[1] : "-";

    import->name = strcmp(path, "-") == 0 ? "stdin" : path;
    import->lines.fd = qt_input_open(path, &run->problem);
    if (import->lines.fd < 0)
        return import->lines.fd;
    import->batch = quipu_batch_new();
    import->probe = quipu_batch_new();
    if (import->batch == NULL || import->probe == NULL || qt_draft_init(&import->draft) < 0)
        return qt_problem_say(&run->problem, QUIPU_NO_MEMORY, "out of memory");
    return qt_store_open(run, QT_STORE_WRITE, &import->store);
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
            "batches.\n",
    .options = NULL,
    .waits = true,
    .run = run_import,
};
