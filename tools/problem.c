/* problem.c - the table of quipu.h says which exit code a status has; nothing here decides that.
 *
 * All that is printed goes through text.c: a message repeats names out of files and arguments,
 * which may hold anything. */
#include "problem.h"

#include "bytes.h"
#include "text.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    int status;
    int exit_code;
    const char *text;
} table[] = {
#define ROW(name, number, exit_code, text) {number, exit_code, text},
    QUIPU_STATUS_MAP(ROW)
#undef ROW
};

int qt_problem_exit(int status)
{
    if (status >= 0)
        return 0;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].status == status)
            return table[i].exit_code;
    return 1;
}

/* What is said where the library left no text of its own. */
static const char *status_text(int status)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].status == status)
            return table[i].text;
    return "unknown failure";
}

int qt_problem_say(struct qt_problem *problem, int status, const char *format, ...)
{
    va_list arguments;

    assert(status < 0);
    problem->status = status;
    va_start(arguments, format);
    (void)vsnprintf(problem->text, sizeof(problem->text), format, arguments);
    va_end(arguments);
    return status;
}

int qt_problem_library(struct qt_problem *problem, int status, const quipu_error *error,
                       const char *which)
{
    const char *text = error != NULL && error->text[0] != '\0' ? error->text : status_text(status);
    const char *next =
        status == QUIPU_CORRUPT && strstr(text, "verify") == NULL ? "; quipu verify says more" : "";

    /* The library's text names the thing most of the time; it is not said twice. */
    if (strstr(text, which) != NULL)
        return qt_problem_say(problem, status, "%s%s", text, next);
    return qt_problem_say(problem, status, "%.300s: %s%s", which, text, next);
}

/* stderr is not buffered: a line must be out before whatever comes next happens. */
static void put_stderr(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, text, size);

        if (written < 0 && errno != EINTR)
            return;
        if (written > 0) {
            text += written;
            size -= (size_t)written;
        }
    }
}

/* Absent when it is about nothing: lines, columns and positions count from 1. */
static void put_count(struct qt_out *out, const char *name, uint64_t count)
{
    if (count == 0)
        return;
    qt_out_key(out, name);
    qt_out_number(out, count);
}

/* The special expected versions have names; a number would be taken for an exact one. */
static void put_expected(struct qt_out *out, uint64_t expected)
{
    qt_out_key(out, "expected");
    if (expected == QUIPU_EXISTS)
        qt_out_text(out, "\"exists\"");
    else if (expected == QUIPU_ANY)
        qt_out_text(out, "\"any\"");
    else
        qt_out_number(out, expected);
}

/* What came from the command line may be no UTF-8, and JSON must be. */
static void put_safe(struct qt_out *out, const char *text)
{
    struct qt_bytes safe = {0};

    qt_text_bytes(&safe, text, strlen(text));
    qt_out_json(out, safe.data, safe.size);
    qt_bytes_release(&safe);
}

static void print_json(const struct qt_problem *problem)
{
    struct qt_out out;

    if (qt_out_init(&out, STDERR_FILENO) < 0)
        return;
    qt_out_text(&out, "{\"error\":{\"status\":\"");
    qt_out_text(&out, quipu_status_name(problem->status));
    qt_out_text(&out, "\",\"text\":");
    put_safe(&out, problem->text);
    if (problem->stream != NULL) {
        qt_out_key(&out, "stream");
        put_safe(&out, problem->stream);
    }
    if (problem->versions) {
        put_expected(&out, problem->expected);
        qt_out_key(&out, "actual");
        qt_out_number(&out, problem->actual);
    }
    put_count(&out, "matched", problem->matched);
    put_count(&out, "position", problem->position);
    put_count(&out, "line", problem->line);
    put_count(&out, "column", problem->column);
    qt_out_text(&out, "}}\n");
    qt_out_flush(&out);
    qt_out_release(&out);
}

void qt_problem_print(const struct qt_problem *problem, const char *verb, bool json)
{
    struct qt_bytes line = {0};

    qt_bytes_text(&line, "quipu: ");
    if (verb != NULL) {
        qt_bytes_text(&line, verb);
        qt_bytes_text(&line, ": ");
    }
    qt_text_bytes(&line, problem->text, strlen(problem->text));
    qt_bytes_char(&line, '\n');
    if (!line.failed)
        put_stderr(line.data, line.size);
    qt_bytes_release(&line);
    if (json)
        print_json(problem);
}

void qt_note(const char *format, ...)
{
    char text[640];
    struct qt_bytes line = {0};
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    qt_text_bytes(&line, text, strlen(text));
    qt_bytes_char(&line, '\n');
    if (!line.failed)
        put_stderr(line.data, line.size);
    qt_bytes_release(&line);
}
