/* quipu.c - the command line tool: the command table, one call of one verb, its exit code.
 *
 * Verbs live in cmd_*.c and see the library by quipu.h alone. What they share:
 *
 *     args     options and operands       input    files that are read
 *     out      standard output            line     an event as NDJSON, printing; draft: reading
 *     filter   which events               pager    reading them without pinning pages
 *     problem  what went wrong            table    an event as a row; summary: its data on a line
 *     store    opening a store            json     JSON text, checked and cut, never decoded
 *     text     what a terminal may see    pretty   an event as indented JSON
 *     help     the table, printed         man      the same as a manual page
 *     merge    JSON merge patch           steps    what each event changed
 *     batch    append --batch             step     a line of it: an event or a condition
 *     query    texts to one query         refusal  which conditions did not hold
 *     mark     a mark or source, printed    items    a list of the library's, copied
 *     value    keys and values of views     projection  one of them, printed
 *     builtin  projections without code     plugin      functions of a shared object
 *     patch    what an event says about a state
 *     folds    a plugin's, and snapshots
 *
 * A verb returns 0 or a status, with what to say about it in run->problem; that, and whether
 * standard output has arrived, is the exit code. Nothing here keeps anything between two calls.
 * Names begin with qt_: qp_ is the engine's, which is linked into the same program. */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct qt_command *const qt_commands[] = {
    &qt_command_init,       &qt_command_append,      &qt_command_import,
    &qt_command_dump,       &qt_command_show,        &qt_command_tail,
    &qt_command_streams,    &qt_command_categories,  &qt_command_types,
    &qt_command_tags,       &qt_command_marks,       &qt_command_snapshots,
    &qt_command_project,    &qt_command_projections, &qt_command_projection,
    &qt_command_views,      &qt_command_view,        &qt_command_diff_view,
    &qt_command_parked,     &qt_command_why,         &qt_command_stat,
    &qt_command_state,      &qt_command_verify,      &qt_command_reindex,
    &qt_command_completion, &qt_command_help,        NULL,
};

const struct qt_option qt_common_options[] = {
    {.name = "json", .help = "NDJSON for programs; errors too, on stderr"},
    {.name = "color",
     .value = "auto|never|always",
     .help = "auto: on a terminal, if NO_COLOR is not set",
     .kind = QT_CHOICE},
    {.name = "help", .help = "this text"},
    {.name = "version", .help = "the version of the program"},
    {0},
};

const struct qt_option qt_waiting_options[] = {
    {.name = "busy-timeout",
     .value = "MS",
     .help = "how long to wait for other processes: 10 000",
     .kind = QT_NUMBER,
     .most = UINT32_MAX},
    {0},
};

const struct qt_command *qt_command_find(const char *verb)
{
    for (size_t i = 0; qt_commands[i] != NULL; i++)
        if (strcmp(qt_commands[i]->verb, verb) == 0)
            return qt_commands[i];
    return NULL;
}

void qt_command_tables(const struct qt_command *command,
                       const struct qt_option *tables[QT_TABLES_MAX])
{
    tables[0] = command->options;
    tables[1] = command->shared;
    tables[2] = command->waits ? qt_waiting_options : NULL;
    tables[3] = qt_common_options;
}

size_t qt_command_operands_max(const struct qt_command *command)
{
    size_t count = command->operands[0] == '\0' ? 0 : 1;

    for (const char *at = command->operands; *at != '\0'; at++)
        if (*at == ' ')
            count++;
    return count;
}

size_t qt_command_operands_min(const struct qt_command *command)
{
    size_t count = qt_command_operands_max(command);

    for (const char *at = command->operands; *at != '\0'; at++)
        if (*at == '[')
            count--;
    return count;
}

/* Of the library that is linked in: the tool has no version of its own. */
static void put_version(struct qt_out *out)
{
    unsigned number = (unsigned)quipu_version();
    char text[64];

    (void)snprintf(text, sizeof(text), "quipu %u.%u.%u\n", number / 10000, number / 100 % 100,
                   number % 100);
    qt_out_text(out, text);
}

/* A store opened while descriptor 1 is free would get it, and be printed into. */
static int fill_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        /* Opened the wrong way round, so that using it fails as it did when it was closed. */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return -1;
    }
    return 0;
}

/* A closed pipe and a file size limit come back as errors of write(2), and are answered there. */
static void ignore_signal(int number)
{
    struct sigaction action = {.sa_handler = SIG_IGN};

    sigemptyset(&action.sa_mask);
    (void)sigaction(number, &action, NULL);
}

/* Colours on stdout: asked for, or a terminal that nobody asked to keep plain. */
static bool wants_color(const struct qt_args *args)
{
    const char *when = qt_args_text(args, "color");
    const char *plain = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    if (when != NULL && strcmp(when, "always") == 0)
        return true;
    if ((when != NULL && strcmp(when, "never") == 0) || (plain != NULL && *plain != '\0'))
        return false;
    return isatty(STDOUT_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

/* How many there are; what they say, the verb finds out. */
static int check_operands(struct qt_run *run)
{
    const struct qt_command *command = run->command;
    size_t count = run->args.operand_count;

    if (count < qt_command_operands_min(command)) {
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "an argument is missing; usage: quipu %s [options] %s", command->verb,
                              command->operands);
    }
    if (count > qt_command_operands_max(command)) {
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "one argument too many: \"%.80s\"; usage: quipu %s [options] %s",
                              run->args.operands[count - 1], command->verb, command->operands);
    }
    return 0;
}

/* A parse that failed stopped before it saw all options. */
static bool asks_for_json(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

/* --help and --version win over whatever else was given, but not over a mistake before them. */
static int run_verb(struct qt_run *run, int argc, char **argv)
{
    int rc;

    qt_command_tables(run->command, run->args.tables);
    run->json = asks_for_json(argc, argv);
    if (qt_args_parse(&run->args, argc, argv) < 0)
        return qt_problem_say(&run->problem, QUIPU_MISUSE, "%s; see quipu help %s", run->args.error,
                              run->command->verb);
    run->json = qt_args_has(&run->args, "json");
    run->out.color = wants_color(&run->args);
    if (qt_args_has(&run->args, "help")) {
        qt_help_put(&run->out, run->command);
        return 0;
    }
    if (qt_args_has(&run->args, "version")) {
        put_version(&run->out);
        return 0;
    }
    rc = check_operands(run);
    return rc < 0 ? rc : run->command->run(run);
}

static int run_main(struct qt_run *run, int argc, char **argv)
{
    if (argc < 2) {
        run->out.fd = STDERR_FILENO;
        qt_help_put(&run->out, NULL);
        return qt_problem_say(&run->problem, QUIPU_MISUSE, "a verb is missing; see quipu help");
    }
    if (strcmp(argv[1], "--help") == 0) {
        qt_help_put(&run->out, NULL);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        put_version(&run->out);
        return 0;
    }
    run->command = qt_command_find(argv[1]);
    if (run->command == NULL) {
        run->json = asks_for_json(argc, argv);
        return qt_problem_say(&run->problem, QUIPU_MISUSE, "no such verb: %.80s; see quipu help",
                              argv[1]);
    }
    return run_verb(run, argc - 2, argv + 2);
}

/* What was printed must have arrived. A reader that went away is no failure: it had enough;
 * nor is what a signal has cut off. */
static int finish_output(struct qt_run *run, int rc)
{
    qt_out_flush(&run->out);
    if (rc < 0 || run->out.failed == 0 || run->out.failed == EPIPE || run->out.failed == ECANCELED)
        return rc;
    return qt_problem_say(&run->problem, QUIPU_SYSTEM, "cannot write the output: %s",
                          strerror(run->out.failed));
}

int main(int argc, char **argv)
{
    struct qt_run run = {0};
    int rc;

    if (fill_standard_descriptors() < 0 || qt_out_init(&run.out, STDOUT_FILENO) < 0)
        return 1;
    ignore_signal(SIGPIPE);
    ignore_signal(SIGXFSZ);
    rc = finish_output(&run, run_main(&run, argc, argv));
    if (rc < 0 && !run.problem.told)
        qt_problem_print(&run.problem, run.command == NULL ? NULL : run.command->verb, run.json);
    qt_args_release(&run.args);
    qt_out_release(&run.out);
    return qt_problem_exit(rc);
}
