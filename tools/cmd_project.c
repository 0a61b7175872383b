/* cmd_project.c - quipu project: views brought up to date, by built-in functions or a plugin's.
 *
 * Each projection is run to the head by quipu_project(), one after the other. With --follow that is
 * done again whenever the head moves, and once a second at least: an order given to a projection
 * (quipu_projection_control()) moves no head. A signal ends it between two pages.
 *
 * What an event fails with the library tells its log, and so comes out as a line of its own, above
 * the line that shows how far it is. What became of the failed ones is counted in the summary, and
 * makes the exit code. */
#include "builtin.h"
#include "command.h"
#include "interrupt.h"
#include "number.h"
#include "plugin.h"
#include "store.h"
#include "text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS    100 /* how long ctrl-C may take */
#define WAITS      10  /* of them without an event: then the projections are looked at anyhow */
#define NAME_BYTES 40  /* of a name, in the line that shows how far it is */

static const struct qt_option options[] = {
    {.name = "builtin",
     .value = QT_BUILTIN_NAMES,
     .help = "one that needs no code; see below",
     .kind = QT_CHOICE,
     .repeats = true},
    QT_PLUGIN_OPTION,
    {.name = "name",
     .value = "NAME",
     .help = "of the plugin's projections this one, and not all",
     .kind = QT_TEXT,
     .repeats = true},
    {.name = "rebuild", .help = "anew from the first event on, beside the view"},
    {.name = "follow", .letter = 'f', .help = "go on with what comes, until ctrl-C"},
    {.name = "check", .help = "change nothing: fold twice, and compare"},
    {0},
};

/* A projection, and what has become of it. */
struct task {
    const quipu_projection *projection;
    quipu_progress last; /* of the last call */
    uint64_t applied;    /* of all calls, as the three below */
    uint64_t parked;
    uint64_t skipped;
    uint64_t failed;
    bool begun;
    quipu_error stopped; /* status 0: it goes on */
};

struct project {
    struct qt_run *run;
    quipu *store;
    struct qt_plugin plugin;
    struct qt_interrupt interrupt;
    bool follows;
    struct task *tasks;
    size_t task_count;
    const struct task *current;
};

/* ---- which ---- */

static int add_task(struct project *project, const quipu_projection *projection)
{
    assert(projection != NULL);
    for (size_t i = 0; i < project->task_count; i++) {
        assert(project->tasks[i].projection != NULL);
        if (strcmp(project->tasks[i].projection->name, projection->name) == 0) {
            return qt_problem_say(&project->run->problem, QUIPU_MISUSE,
                                  "two projections are called %.127s; see quipu help project",
                                  projection->name);
        }
    }
    project->tasks[project->task_count++].projection = projection;
    return 0;
}

/* Nothing is kept of a live one: it is for programs that open its view. */
static int add_plugins(struct project *project)
{
    const quipu_plugin *given = &project->plugin.given;
    bool checks = qt_args_has(&project->run->args, "check");
    int rc = 0;

    for (size_t i = 0; i < given->projection_count && rc == 0; i++)
        if (checks || given->projections[i]->mode != QUIPU_LIVE)
            rc = add_task(project, given->projections[i]);
    return rc;
}

static int add_named(struct project *project, const char *const *names, size_t count)
{
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        const quipu_projection *projection = qt_plugin_projection(&project->plugin, names[i]);

        if (projection == NULL)
            return qt_problem_say(&project->run->problem, QUIPU_NOT_FOUND,
                                  "no projection %.127s in %.300s", names[i], project->plugin.path);
        rc = add_task(project, projection);
    }
    return rc;
}

/* Which projections, in the order in which they are run. */
static int take_tasks(struct project *project)
{
    struct qt_run *run = project->run;
    size_t most = run->args.given_count + project->plugin.given.projection_count;
    const char **names = calloc(most + 1, sizeof(*names));
    size_t count;
    int rc = 0;

    project->tasks = calloc(most + 1, sizeof(*project->tasks));
    if (names == NULL || project->tasks == NULL) {
        free(names);
        return qt_problem_say(&run->problem, QUIPU_NO_MEMORY, "out of memory");
    }
    count = qt_args_all(&run->args, "builtin", names, most);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add_task(project, qt_builtin_find(names[i]));
    count = qt_args_all(&run->args, "name", names, most);
    if (rc == 0 && project->plugin.object != NULL)
        rc = count > 0 ? add_named(project, names, count) : add_plugins(project);
    free(names);
    if (rc == 0 && project->task_count == 0)
        rc = qt_problem_say(&run->problem, QUIPU_NOT_FOUND, "no projections in %.300s",
                            project->plugin.path);
    return rc;
}

static int check_options(struct qt_run *run)
{
    const struct qt_args *args = &run->args;
    const char *wrong = NULL;

    if (!qt_args_has(args, "builtin") && !qt_args_has(args, "plugin"))
        wrong = "--builtin NAME or --plugin FILE is missing";
    else if (qt_args_has(args, "name") && !qt_args_has(args, "plugin"))
        wrong = "--name is one of a plugin's: --plugin FILE is missing";
    else if (qt_args_has(args, "check") && qt_args_has(args, "follow"))
        wrong = "--check and --follow exclude each other";
    else if (qt_args_has(args, "check") && qt_args_has(args, "rebuild"))
        wrong = "--check and --rebuild exclude each other";
    if (wrong == NULL)
        return 0;
    return qt_problem_say(&run->problem, QUIPU_MISUSE, "%s; see quipu help project", wrong);
}

/* ---- how far ---- */

static const char *const status_names[] = {
    [QUIPU_PROJECTION_LIVE] = "live",
    [QUIPU_PROJECTION_CATCHING_UP] = "catching-up",
    [QUIPU_PROJECTION_REBUILDING] = "rebuilding",
    [QUIPU_PROJECTION_PAUSED] = "paused",
    [QUIPU_PROJECTION_FAULTED] = "faulted",
};

static void show(struct project *project, const quipu_progress *progress)
{
    const char *name = project->current->projection->name;
    struct qt_bytes line = {0};
    char numbers[3][QT_GROUPED_MAX];
    char left[QT_AMOUNT_MAX];
    char text[160];

    if (!qt_progress_due(&project->run->progress))
        return;
    (void)snprintf(text, sizeof(text), "%s position %s of %s, %s/s",
                   progress->status == QUIPU_PROJECTION_REBUILDING ? ": rebuilding," : ":",
                   qt_number_grouped(progress->mark, numbers[0]),
                   qt_number_grouped(progress->head, numbers[1]),
                   qt_number_grouped((uint64_t)progress->events_per_s, numbers[2]));
    qt_text_bytes(&line, name, qt_text_cut(name, strlen(name), NAME_BYTES));
    qt_bytes_text(&line, text);
    if (progress->seconds_left > 0) {
        qt_bytes_text(&line, ", ");
        qt_bytes_text(&line, qt_number_age((uint64_t)progress->seconds_left + 1, left));
        qt_bytes_text(&line, " left");
    }
    qt_bytes_char(&line, '\0');
    if (!line.failed)
        qt_progress_put(&project->run->progress, line.data);
    qt_bytes_release(&line);
}

static int after_page(void *payload, const quipu_progress *progress)
{
    struct project *project = payload;

    show(project, progress);
    return qt_interrupt_came(&project->interrupt) ? 1 : 0;
}

/* ---- what has become of it ---- */

static void put_count(struct qt_out *out, const char *before, uint64_t count, const char *after)
{
    qt_out_text(out, before);
    qt_text_grouped(out, count, 0);
    qt_out_text(out, after);
}

static void put_text(struct qt_out *out, const struct task *task, size_t width)
{
    const char *name = task->projection->name;

    qt_text_padded(out, name, strlen(name), width);
    put_count(out, "  ", task->applied, task->applied == 1 ? " event" : " events");
    put_count(out, ", up to position ", task->last.mark, "");
    if (task->last.mark < task->last.head)
        put_count(out, " of ", task->last.head, "");
    if (task->last.status != QUIPU_PROJECTION_LIVE) {
        qt_out_text(out, ", ");
        qt_out_text(out, status_names[task->last.status]);
    }
    if (task->parked > 0)
        put_count(out, "; ", task->parked, " parked");
    if (task->skipped > 0)
        put_count(out, "; ", task->skipped, " skipped");
    if (task->last.parked > 0)
        put_count(out, "; ", task->last.parked, " waiting");
    qt_out_char(out, '\n');
}

static void put_json(struct qt_out *out, const struct task *task)
{
    const char *name = task->projection->name;
    const struct {
        const char *name;
        uint64_t number;
    } members[] = {
        {"version", task->projection->version},
        {"mark", task->last.mark},
        {"head", task->last.head},
        {"events", task->applied},
        {"parked", task->parked},
        {"skipped", task->skipped},
        {"failed", task->failed},
        {"waiting", task->last.parked},
    };

    qt_out_text(out, "{\"projection\":");
    qt_out_json(out, name, strlen(name));
    qt_out_text(out, ",\"status\":\"");
    qt_out_text(out, status_names[task->last.status]);
    qt_out_char(out, '"');
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        qt_out_key(out, members[i].name);
        qt_out_number(out, members[i].number);
    }
    qt_out_text(out, "}\n");
}

static void put_summary(struct project *project)
{
    struct qt_out *out = &project->run->out;
    size_t width = 0;

    for (size_t i = 0; i < project->task_count; i++) {
        const char *name = project->tasks[i].projection->name;
        size_t columns = qt_text_width(name, strlen(name));

        width = columns > width ? columns : width;
    }
    for (size_t i = 0; i < project->task_count; i++) {
        if (!project->tasks[i].begun)
            continue;
        if (project->run->json)
            put_json(out, &project->tasks[i]);
        else
            put_text(out, &project->tasks[i], width);
    }
}

/* Each that is not as it should be is told; the last one makes the exit code. */
static int tell_failures(struct project *project)
{
    struct qt_run *run = project->run;
    int rc = 0;

    qt_out_flush(&run->out);
    for (size_t i = 0; i < project->task_count; i++) {
        const struct task *task = &project->tasks[i];

        if (task->stopped.status == 0 && task->failed + task->parked + task->skipped == 0)
            continue;
        if (rc < 0)
            qt_problem_print(&run->problem, run->command->verb, run->json);
        if (task->stopped.status < 0) {
            rc = qt_problem_say(&run->problem, task->stopped.status, "%s", task->stopped.text);
            continue;
        }
        rc = qt_problem_say(&run->problem, QUIPU_FAULTED,
                            "%.127s: %" PRIu64 " failed, %" PRIu64 " parked, %" PRIu64 " skipped",
                            task->projection->name, task->failed, task->parked, task->skipped);
    }
    return rc;
}

/* ---- run ---- */

/* One that has stopped stays where it is until somebody gives it an order; the others go on.
 *
 * Returns: 0, or a status with its problem. */
static int run_task(struct project *project, struct task *task)
{
    struct qt_run *run = project->run;
    quipu_error error = {0};
    int rc;

    project->current = task;
    task->last = (quipu_progress){.struct_size = QUIPU_INIT(quipu_progress)};
    rc = quipu_project(project->store, task->projection, after_page, project, &task->last, &error);
    task->applied += task->last.new_applied;
    task->parked += task->last.new_parked;
    task->skipped += task->last.new_skipped;
    task->failed += task->last.new_failed;
    task->begun |= rc == 0 || rc == QUIPU_FAULTED;
    if (rc == QUIPU_FAULTED && project->follows && strcmp(task->stopped.text, error.text) != 0) {
        qt_progress_end(&run->progress);
        qt_note("quipu: note: %s", error.text);
    }
    task->stopped = rc == QUIPU_FAULTED ? error : (quipu_error){0};
    if (rc == 0 || rc == QUIPU_FAULTED)
        return 0;
    return qt_problem_library(&run->problem, rc, &error, task->projection->name);
}

/* All of them, to the head.
 *
 * Returns: 0, or a status with its problem. */
static int run_all(struct project *project)
{
    int rc = 0;

    for (size_t i = 0; i < project->task_count && rc == 0; i++) {
        if (qt_interrupt_came(&project->interrupt))
            break;
        rc = run_task(project, &project->tasks[i]);
    }
    return rc;
}

/* Something may be to be done: an event has come, or a second is over.
 *
 * Returns: 1; 0: it ends; a status with its problem. */
static int wait_more(struct project *project, uint64_t seen)
{
    quipu_error error = {0};
    int rc = 0;

    for (int i = 0; i < WAITS && rc == 0; i++) {
        if (qt_interrupt_came(&project->interrupt))
            return 0;
        rc = quipu_wait(project->store, seen, WAIT_MS, NULL, &error);
    }
    return rc < 0 ? qt_store_failed(project->run, rc, &error) : 1;
}

/* The head is taken first: what comes while they run makes another round. */
static int follow(struct project *project)
{
    uint64_t seen = 0;
    int rc;

    do {
        quipu_error error = {0};

        rc = quipu_head(project->store, &seen, &error);
        if (rc < 0)
            return qt_store_failed(project->run, rc, &error);
        rc = run_all(project);
        if (rc == 0)
            rc = wait_more(project, seen);
    } while (rc == 1);
    return rc;
}

/* One that nobody has run yet is built from the first event on anyhow. */
static int rewind_all(struct project *project)
{
    for (size_t i = 0; i < project->task_count; i++) {
        quipu_error error = {0};
        int rc = quipu_projection_control(project->store, project->tasks[i].projection->name,
                                          QUIPU_REWIND, 0, NULL, &error);

        if (rc < 0 && rc != QUIPU_NOT_FOUND)
            return qt_store_failed(project->run, rc, &error);
    }
    return 0;
}

static int project_all(struct project *project)
{
    struct qt_run *run = project->run;
    int rc = qt_args_has(&run->args, "rebuild") ? rewind_all(project) : 0;
    int failures;

    qt_progress_begin(&run->progress, "events");
    if (rc == 0)
        rc = project->follows ? follow(project) : run_all(project);
    qt_progress_end(&run->progress);
    put_summary(project);
    failures = rc == 0 ? tell_failures(project) : rc;
    if (failures == 0 && !project->follows && qt_interrupt_came(&project->interrupt))
        return qt_problem_say(&run->problem, QUIPU_CLOSED,
                              "interrupted; the same call goes on where this one ended");
    return failures;
}

/* ---- check ---- */

static void put_checked(struct qt_out *out, const char *name, bool same, uint64_t position,
                        bool json)
{
    if (!json) {
        qt_text_put(out, name, strlen(name));
        if (same)
            qt_out_text(out, ": both folds are the same\n");
        else
            put_count(out, ": two folds differ at position ", position, "\n");
        return;
    }
    qt_out_text(out, "{\"projection\":");
    qt_out_json(out, name, strlen(name));
    qt_out_text(out, same ? ",\"same\":true" : ",\"same\":false");
    if (!same) {
        qt_out_key(out, "position");
        qt_out_number(out, position);
    }
    qt_out_text(out, "}\n");
}

/* All are checked; each that differs, or must stop, is told, and the last one makes the exit code.
 */
static int check_all(struct project *project)
{
    struct qt_run *run = project->run;
    int failed = 0;

    for (size_t i = 0; i < project->task_count; i++) {
        const quipu_projection *projection = project->tasks[i].projection;
        quipu_error error = {0};
        uint64_t position = 0;
        int rc = quipu_projection_check(project->store, projection, &position, &error);

        if (rc < 0 && failed < 0) {
            qt_out_flush(&run->out);
            qt_problem_print(&run->problem, run->command->verb, run->json);
        }
        if (rc < 0 && rc != QUIPU_INVALID && rc != QUIPU_FAULTED)
            return qt_problem_library(&run->problem, rc, &error, projection->name);
        if (rc != QUIPU_FAULTED)
            put_checked(&run->out, projection->name, rc == 0, position, run->json);
        if (rc < 0) {
            failed = qt_problem_library(&run->problem, rc, &error, projection->name);
            run->problem.position = position;
        }
    }
    return failed;
}

/* ---- the verb ---- */

static int run_project(struct qt_run *run)
{
    struct project project = {.run = run, .interrupt = {.fd = -1}};
    bool checks = qt_args_has(&run->args, "check");
    int rc = check_options(run);

    project.follows = qt_args_has(&run->args, "follow");
    if (rc == 0)
        rc = qt_plugin_load(&project.plugin, run);
    if (rc == 0)
        rc = take_tasks(&project);
    if (rc == 0)
        rc = qt_store_open(run, checks ? QT_STORE_READ : QT_STORE_CHANGE, &project.store);
    if (rc == 0)
        rc = qt_plugin_register(&project.plugin, run, project.store);
    if (!checks)
        qt_interrupt_open(&project.interrupt);
    if (rc == 0)
        rc = checks ? check_all(&project) : project_all(&project);
    quipu_close(project.store);
    qt_interrupt_close(&project.interrupt);
    free(project.tasks);
    qt_plugin_unload(&project.plugin);
    return rc;
}

const struct qt_command qt_command_project = {
    .verb = "project",
    .summary = "bring views up to date: events folded into keys and values",
    .operands = "STORE",
    .example = "quipu project orders --builtin count-by-type",
    .text = "Folds what is new into the view of a projection, in the store. View and\n"
            "position commit together: cut off at any point, the next call goes on there.\n"
            "What has a higher version is built anew beside its view, and takes its place at\n"
            "the end; --rebuild does that without one. One process runs a projection at a\n"
            "time: if another does, this waits until that one has come as far.\n\n"
            "--builtin, and the keys and values of their views:\n\n"
            "  count-by-type        TYPE      {\"count\":7}\n"
            "  streams-by-category  CATEGORY  {\"streams\":2,\"events\":7}\n"
            "  last-by-stream       STREAM    {\"position\":7,\"version\":3,\"type\":\"T\",\n"
            "                                  \"time\":\"2024-03-01T12:00:00.000000000Z\"}\n"
            "  state-by-stream      STREAM    what quipu state prints of it\n\n"
            "--plugin loads a shared object with an application's own projections and\n"
            "upcasters: quipu_plugin in quipu.h says what it defines. It is code: load none\n"
            "that you would not run.\n\n"
            "An event whose function fails is told on a line of stderr, and is parked,\n"
            "skipped or stopped at, as the projection says. The summary counts them, and\n"
            "then the exit code is 1. --json prints for each projection:\n\n"
            "  {\"projection\":\"count-by-type\",\"status\":\"live\",\"version\":1,\"mark\":7,\n"
            "   \"head\":7,\"events\":7,\"parked\":0,\"skipped\":0,\"failed\":0,\"waiting\":0}\n\n"
            "on one line; events to failed are of this call, waiting are all that are parked.\n\n"
            "--check folds each projection twice, in memory, and says at which event the two\n"
            "begin to differ: a function that depends on more than the events. Exit code 1.\n",
    .options = options,
    .waits = true,
    .run = run_project,
};
