/* man.c - the manual page, in mdoc, from the command table: the same words as help.
 *
 * A row's text is in paragraphs, divided by empty lines; lines that begin with two blanks are to
 * be typed as they stand. That is all the form there is. */
#include "command.h"

#include <string.h>

#define MAN_DATE                                                                                   \
    "November 21, 2026" /* of the last change of the page; no clock has a say in it                \
                         */

/* So that every byte stands on paper, and can be copied from it, as it stands here. */
static void put_char(struct qt_out *out, char c)
{
    switch (c) {
    case '\\':
        qt_out_text(out, "\\e");
        break;
    case '-':
        qt_out_text(out, "\\-");
        break;
    case '\'':
        qt_out_text(out, "\\(aq");
        break;
    case '"':
        qt_out_text(out, "\\(dq");
        break;
    case '`':
        qt_out_text(out, "\\(ga");
        break;
    case '^':
        qt_out_text(out, "\\(ha");
        break;
    case '~':
        qt_out_text(out, "\\(ti");
        break;
    default:
        qt_out_char(out, c);
        break;
    }
}

static void put_span(struct qt_out *out, const char *text, size_t size)
{
    if (size > 0 && *text == '.') /* at the beginning of a line it would be a request */
        qt_out_text(out, "\\&");
    for (size_t i = 0; i < size; i++)
        put_char(out, text[i]);
}

/* A line of prose: each sentence begins a line of its own, as mdoc wants it. */
static void put_prose(struct qt_out *out, const char *text, size_t size)
{
    while (size > 0) {
        const char *stop = memmem(text, size, ". ", 2);
        size_t sentence = stop == NULL ? size : (size_t)(stop - text) + 1;

        put_span(out, text, sentence);
        qt_out_char(out, '\n');
        if (stop != NULL)
            sentence++; /* the blank */
        text += sentence;
        size -= sentence;
    }
}

static void put_line(struct qt_out *out, const char *before, const char *text)
{
    qt_out_text(out, before);
    put_span(out, text, strlen(text));
    qt_out_char(out, '\n');
}

static void begin_literal(struct qt_out *out)
{
    qt_out_text(out, ".Bd -literal -offset indent\n");
}

static void end_literal(struct qt_out *out)
{
    qt_out_text(out, ".Ed\n");
}

static void put_text(struct qt_out *out, const char *text)
{
    bool literal = false;
    bool gap = false; /* an empty line has come: a paragraph, if it is text that follows */

    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        bool indented = strncmp(text, "  ", 2) == 0;

        if (size > 0 && indented != literal) {
            if (indented)
                begin_literal(out);
            else
                end_literal(out);
            literal = indented;
        }
        if (size > 0) {
            if (gap && !literal)
                qt_out_text(out, ".Pp\n");
            if (literal) {
                put_span(out, text + 2, size - 2);
                qt_out_char(out, '\n');
            } else {
                put_prose(out, text, size);
            }
        }
        gap = size == 0;
        text += size + (text[size] == '\n' ? 1 : 0);
    }
    if (literal)
        end_literal(out);
}

static void put_options(struct qt_out *out, const struct qt_option *option)
{
    for (; option != NULL && option->name != NULL; option++) {
        qt_out_text(out, ".It ");
        if (option->letter != '\0') {
            qt_out_text(out, "Fl ");
            qt_out_char(out, option->letter);
            qt_out_text(out, " , ");
        }
        qt_out_text(out, "Fl \\-");
        put_span(out, option->name, strlen(option->name));
        if (option->value != NULL)
            put_line(out, " Ar ", option->value);
        else
            qt_out_char(out, '\n');
        put_line(out, "", option->help);
    }
}

static void put_verb(struct qt_out *out, const struct qt_command *command)
{
    const struct qt_option *tables[QT_TABLES_MAX];
    bool some = false;

    qt_out_text(out, ".Ss quipu ");
    qt_out_text(out, command->verb);
    put_line(out, command->operands[0] != '\0' ? " " : "", command->operands);
    put_text(out, command->text);
    qt_command_tables(command, tables);
    for (size_t i = 0; i < QT_TABLES_MAX; i++)
        some = some || (tables[i] != NULL && tables[i] != qt_common_options);
    if (some)
        qt_out_text(out, ".Bl -tag -width Ds\n");
    for (size_t i = 0; some && i < QT_TABLES_MAX; i++)
        if (tables[i] != qt_common_options)
            put_options(out, tables[i]);
    qt_out_text(out, some ? ".El\n.Pp\nExample:\n" : ".Pp\nExample:\n");
    begin_literal(out);
    put_line(out, "", command->example);
    end_literal(out);
}

void qt_man_put(struct qt_out *out)
{
    qt_out_text(out, ".Dd " MAN_DATE "\n"
                     ".Dt QUIPU 1\n"
                     ".Os\n"
                     ".Sh NAME\n"
                     ".Nm quipu\n"
                     ".Nd append to, look at and check event stores\n"
                     ".Sh SYNOPSIS\n"
                     ".Nm\n"
                     ".Ar verb\n"
                     ".Op Ar options\n"
                     ".Ar STORE\n"
                     ".Op Ar ...\n"
                     ".Sh DESCRIPTION\n"
                     "Quipu is an embedded event store;\n"
                     ".Ar STORE\n"
                     "is its directory.\n"
                     "Options may stand anywhere after the verb;\n"
                     ".Fl \\-\n"
                     "ends them.\n"
                     "Data goes to standard output, all else to standard error.\n"
                     ".Pp\n"
                     "Options of every verb:\n"
                     ".Bl -tag -width Ds\n");
    put_options(out, qt_common_options);
    qt_out_text(out, ".El\n.Sh VERBS\n");
    for (size_t i = 0; qt_commands[i] != NULL; i++)
        put_verb(out, qt_commands[i]);
    qt_out_text(out, ".Sh ENVIRONMENT\n"
                     ".Bl -tag -width NO_COLOR\n"
                     ".It Ev NO_COLOR\n"
                     "If it is set and not empty, output has no colours unless\n"
                     ".Fl \\-color Cm always\n"
                     "asks for them.\n"
                     ".It Ev TERM\n"
                     "A terminal called dumb gets no colours.\n"
                     ".El\n"
                     ".Sh EXIT STATUS\n"
                     ".Bl -tag -width Ds -compact\n"
                     ".It 0\nok\n"
                     ".It 1\nfailed\n"
                     ".It 2\nwrong usage\n"
                     ".It 3\nconflict: a condition did not hold, nothing was written\n"
                     ".It 4\nnot found\n"
                     ".It 5\ncorrupt: stored bytes are damaged\n"
                     ".It 6\nbusy: another process held the store for too long\n"
                     ".El\n"
                     ".Sh EXAMPLES\n");
    begin_literal(out);
    for (size_t i = 0; qt_examples[i] != NULL; i++)
        put_line(out, "", qt_examples[i]);
    end_literal(out);
}
