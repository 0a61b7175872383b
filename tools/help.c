/* help.c - help is the command table, printed; it begins with an example.
 *
 * Nothing about a verb is known here: what a verb is, takes and does stands in its row, beside its
 * code, so that help cannot fall behind. Every example is run by the tests. */
#include "command.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

#define NAME_COLUMNS 22

static void put_heading(struct qt_out *out, const char *heading)
{
    qt_out_char(out, '\n');
    qt_out_style(out, "1");
    qt_out_text(out, heading);
    qt_out_plain(out);
    qt_out_char(out, '\n');
}

/* A name that is too long for its column pushes its text on, by one blank. */
static void put_row(struct qt_out *out, const char *name, const char *text)
{
    qt_out_text(out, "  ");
    qt_text_padded(out, name, strlen(name), NAME_COLUMNS);
    if (strlen(name) >= NAME_COLUMNS)
        qt_out_char(out, ' ');
    qt_out_text(out, text);
    qt_out_char(out, '\n');
}

static void put_options(struct qt_out *out, const struct qt_option *option)
{
    for (; option != NULL && option->name != NULL; option++) {
        char letter[5] = {'-', option->letter, ',', ' ', '\0'};
        char name[80];

        (void)snprintf(name, sizeof(name), "%s--%s%s%s", option->letter == '\0' ? "" : letter,
                       option->name, option->value == NULL ? "" : " ",
                       option->value == NULL ? "" : option->value);
        put_row(out, name, option->help);
    }
}

static void put_verb(struct qt_out *out, const struct qt_command *command)
{
    const struct qt_option *tables[QT_TABLES_MAX];

    qt_out_text(out, "  ");
    qt_out_text(out, command->example);
    qt_out_text(out, "\n\nUsage: quipu ");
    qt_out_text(out, command->verb);
    qt_out_text(out, " [options]");
    if (command->operands[0] != '\0') {
        qt_out_char(out, ' ');
        qt_out_text(out, command->operands);
    }
    qt_out_text(out, "\n\n");
    qt_out_text(out, command->text);
    put_heading(out, "Options");
    qt_command_tables(command, tables);
    for (size_t i = 0; i < QT_TABLES_MAX; i++)
        put_options(out, tables[i]);
}

const char *const qt_examples[] = {
    "quipu append orders order-1 --type ORDER_CREATED --data '{\"sum\":9.5}'",
    "quipu dump orders --stream order-1",
    "quipu state orders order-1",
    NULL,
};

static void put_all(struct qt_out *out)
{
    for (size_t i = 0; qt_examples[i] != NULL; i++) {
        qt_out_text(out, "  ");
        qt_out_text(out, qt_examples[i]);
        qt_out_char(out, '\n');
    }
    qt_out_text(out, "\nUsage: quipu VERB [options] STORE [...]\n\n"
                     "Quipu is an embedded event store; STORE is its directory.\n");
    put_heading(out, "Verbs");
    for (size_t i = 0; qt_commands[i] != NULL; i++)
        put_row(out, qt_commands[i]->verb, qt_commands[i]->summary);
    put_heading(out, "Options of every verb");
    put_options(out, qt_common_options);
    qt_out_text(out,
                "\nquipu help VERB says more. Exit codes: 0 ok, 1 failed, 2 usage, 3 conflict,\n"
                "4 not found, 5 corrupt, 6 busy.\n");
}

void qt_help_put(struct qt_out *out, const struct qt_command *command)
{
    if (command == NULL)
        put_all(out);
    else
        put_verb(out, command);
}

static int run_help(struct qt_run *run)
{
    const struct qt_command *command = NULL;

    if (qt_args_has(&run->args, "man")) {
        if (run->args.operand_count > 0)
            return qt_problem_say(&run->problem, QUIPU_MISUSE,
                                  "--man is one page for all verbs; see quipu help help");
        qt_man_put(&run->out);
        return 0;
    }
    if (run->args.operand_count > 0) {
        command = qt_command_find(run->args.operands[0]);
        if (command == NULL)
            return qt_problem_say(&run->problem, QUIPU_MISUSE,
                                  "no such verb: %.80s; see quipu help", run->args.operands[0]);
    }
    qt_help_put(&run->out, command);
    return 0;
}

static const struct qt_option options[] = {
    {.name = "man", .help = "all of it as a manual page, in mdoc"},
    {0},
};

const struct qt_command qt_command_help = {
    .verb = "help",
    .summary = "say what a verb does",
    .operands = "[VERB]",
    .example = "quipu help dump",
    .text = "Prints how a verb is used; without one, lists them all. The manual page says the\n"
            "same:\n\n"
            "  quipu help --man | man -l -\n",
    .options = options,
    .run = run_help,
};
