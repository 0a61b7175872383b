/* refusal.c - the answer that scripts wait for: what stands there, so that they can go on from it.
 *
 * The library's own text is of one step and counts drafts; here each is told, by its line. */
#include "refusal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Append to the problem's text, which holds the place already. */
__attribute__((format(printf, 2, 3))) static void say(struct qt_problem *problem,
                                                      const char *format, ...)
{
    size_t size = strlen(problem->text);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(problem->text + size, sizeof(problem->text) - size, format, arguments);
    va_end(arguments);
}

/* An id that stands elsewhere, or twice. */
static void say_id(struct qt_problem *problem, const char *stream, const quipu_result *result)
{
    uint64_t expected = result->expected;

    if (result->matched == 0) {
        say(problem, "the id stands twice for %s", stream);
        return;
    }
    say(problem, "the id is known in %s, at position %" PRIu64, stream, result->matched);
    if (result->status == QUIPU_DUPLICATE_ID && expected != result->actual)
        say(problem, ", and other events are new");
    else
        say(problem, "; expected after version %" PRIu64, expected);
}

static void say_version(struct qt_problem *problem, const char *stream, const quipu_result *result)
{
    uint64_t actual = result->actual;

    if (result->expected == QUIPU_EXISTS)
        say(problem, "conflict: %s has no events", stream);
    else if (result->expected == QUIPU_NEW)
        say(problem, "conflict: %s is at version %" PRIu64 ", expected none", stream, actual);
    else
        say(problem, "conflict: %s is at version %" PRIu64 ", expected %" PRIu64, stream, actual,
            result->expected);
}

static void say_step(struct qt_problem *problem, enum qt_step_kind kind, const char *name,
                     const quipu_result *result)
{
    problem->status = result->status;
    problem->matched = result->matched;
    problem->expected = result->expected;
    problem->actual = result->actual;
    problem->versions = kind != QT_STEP_UNLESS;
    switch (kind) {
    case QT_STEP_UNLESS:
        say(problem,
            "conflict: the event at position %" PRIu64 " matches, and none after %" PRIu64 " may",
            result->matched, result->expected);
        return;
    case QT_STEP_TRACK:
        say(problem, "source %s is at %" PRIu64 " already, given %" PRIu64, name, result->actual,
            result->expected);
        return;
    case QT_STEP_MARK:
        say(problem, "conflict: mark %s is at %" PRIu64 " already, given %" PRIu64, name,
            result->actual, result->expected);
        return;
    case QT_STEP_EVENT:
    case QT_STEP_CHECK:
        break;
    }
    problem->stream = name;
    if (result->matched > 0 || result->status != QUIPU_CONFLICT)
        say_id(problem, name, result);
    else
        say_version(problem, name, result);
}

int qt_refusal_tell(struct qt_run *run, int status, const quipu_batch *batch,
                    const struct qt_asked *asked, const char *names, const char *source)
{
    for (size_t i = 0; i < quipu_batch_steps(batch); i++) {
        struct qt_problem problem = {.line = asked[i].line};
        quipu_result result = {0};

        (void)quipu_batch_result(batch, i, &result);
        if (result.status == QUIPU_OK)
            continue;
        if (problem.line > 0)
            say(&problem, "%.200s:%" PRIu64 ": ", source, problem.line);
        say_step(&problem, asked[i].kind, names + asked[i].name, &result);
        qt_problem_print(&problem, run->command->verb, run->json);
    }
    run->problem.told = true;
    return status;
}
