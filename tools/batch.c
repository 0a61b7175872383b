/* batch.c - all lines are read before the store is opened, so that one that is malformed makes no
 * store; all are committed at once, or none. */
#include "batch.h"

#include "bytes.h"
#include "input.h"
#include "refusal.h"
#include "step.h"
#include "store.h"
#include "text.h"

#include <inttypes.h>
#include <string.h>

struct batch {
    struct qt_run *run;
    quipu_batch *batch;
    struct qt_lines lines;
    struct qt_step step;
    struct qt_bytes asked; /* struct qt_asked, one for each step */
    struct qt_bytes names; /* of their streams, sources and marks, each with its 0 */
    const char *source;    /* the name of the file, for messages */
    uint64_t events;
    uint64_t refused_line; /* the library does not take it; 0: none */
};

static int say_place(struct batch *batch, int status, size_t column, const char *text)
{
    struct qt_problem *problem = &batch->run->problem;

    problem->line = batch->lines.number;
    problem->column = column;
    return qt_problem_say(problem, status, "%.200s:%" PRIu64 ":%zu: %s", batch->source,
                          problem->line, column, text);
}

/* Returns: 0, or a status: with its problem, or with refused_line, of which the store knows more.
 */
static int take_line(struct batch *batch, struct qt_span line)
{
    struct qt_step *step = &batch->step;
    struct qt_asked asked = {.line = batch->lines.number, .name = batch->names.size};
    int rc = qt_step_read(step, line.text, line.size);

    if (rc < 0)
        return say_place(batch, rc, step->column, step->error);
    rc = qt_step_add(step, batch->batch);
    if (rc < 0) {
        batch->refused_line = batch->lines.number;
        return rc;
    }
    asked.kind = step->kind;
    if (step->name != NULL)
        qt_bytes_put(&batch->names, step->name, strlen(step->name));
    qt_bytes_char(&batch->names, '\0');
    qt_bytes_put(&batch->asked, &asked, sizeof(asked));
    if (batch->names.failed || batch->asked.failed)
        return qt_problem_say(&batch->run->problem, QUIPU_NO_MEMORY, "out of memory");
    batch->events += step->kind == QT_STEP_EVENT;
    return 0;
}

static int read_lines(struct batch *batch)
{
    int rc = 0;

    while (rc == 0) {
        struct qt_span line;
        enum qt_line_result result = qt_lines_next(&batch->lines, -1, &line);

        if (result == QT_LINE_END)
            return 0;
        if (result == QT_LINE_ROW) {
            rc = qt_line_blank(line) ? 0 : take_line(batch, line);
        } else if (result == QT_LINE_TOO_LONG) {
            batch->lines.number++;
            rc = say_place(batch, QUIPU_TOO_LARGE, 1, "a line of more than 128 MiB");
        } else if (result == QT_LINE_FAILED) {
            rc = qt_problem_say(&batch->run->problem, QUIPU_SYSTEM, "%.300s: %s", batch->source,
                                strerror(batch->lines.failed));
        }
    }
    return rc;
}

static void put_json(struct qt_out *out, const quipu_receipt *receipt)
{
    bool known = receipt->verdict == QUIPU_DUPLICATE;

    qt_out_text(out, "{\"verdict\":");
    qt_out_text(out, known ? "\"duplicate\"" : "\"committed\"");
    qt_out_key(out, "first_position");
    qt_out_number(out, receipt->first_position);
    qt_out_key(out, "last_position");
    qt_out_number(out, receipt->last_position);
    qt_out_text(out, "}\n");
}

/* Printed only after the commit: who reads this knows that it is on the disk. */
static void put_result(const struct batch *batch, const quipu_receipt *receipt)
{
    struct qt_out *out = &batch->run->out;

    if (batch->run->json) {
        put_json(out, receipt);
        return;
    }
    if (batch->events == 0) {
        qt_out_text(out,
                    batch->asked.size > 0 ? "no events; all conditions hold\n" : "no events\n");
        return;
    }
    qt_text_grouped(out, batch->events, 0);
    qt_out_text(out, batch->events == 1 ? " event, positions " : " events, positions ");
    qt_text_grouped(out, receipt->first_position, 0);
    qt_out_text(out, " to ");
    qt_text_grouped(out, receipt->last_position, 0);
    qt_out_text(out, receipt->verdict == QUIPU_DUPLICATE ? "; duplicate\n" : "\n");
}

/* Why the library did not take a line is what committing the batch fails with. */
static int commit(struct batch *batch, quipu *store)
{
    quipu_receipt receipt = {0};
    quipu_error error = {0};
    int rc = quipu_commit(store, batch->batch, &receipt, &error);

    if (rc < 0 && batch->refused_line > 0)
        return say_place(batch, rc, 1, error.text);
    if (rc < 0 && receipt.failed_count > 0) {
        return qt_refusal_tell(batch->run, rc, batch->batch,
                               (const struct qt_asked *)(void *)batch->asked.data,
                               batch->names.data, batch->source);
    }
    if (rc < 0)
        return qt_problem_library(&batch->run->problem, rc, &error, batch->source);
    put_result(batch, &receipt);
    return 0;
}

int qt_batch_commit(struct qt_run *run, const char *path)
{
    struct batch batch = {
        .run = run,
        .lines.interrupt_fd = -1,
        .source = strcmp(path, "-") == 0 ? "stdin" : path,
    };
    quipu *store = NULL;
    int rc = qt_input_open(path, &run->problem);

    if (rc < 0)
        return rc;
    batch.lines.fd = rc;
    batch.batch = quipu_batch_new();
    rc = 0;
    if (batch.batch == NULL || qt_step_init(&batch.step) < 0)
        rc = qt_problem_say(&run->problem, QUIPU_NO_MEMORY, "out of memory");
    if (rc == 0)
        rc = read_lines(&batch);
    if (rc == 0 || batch.refused_line > 0)
        rc = qt_store_open(run, QT_STORE_WRITE_ATOMIC, &store);
    if (rc == 0)
        rc = commit(&batch, store);
    quipu_close(store);
    quipu_batch_free(batch.batch);
    qt_step_release(&batch.step);
    qt_bytes_release(&batch.asked);
    qt_bytes_release(&batch.names);
    qt_lines_release(&batch.lines);
    return rc;
}
