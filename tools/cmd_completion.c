/* cmd_completion.c - quipu completion: a script for bash, written from the command table.
 *
 * The script has two parts: what each verb takes, as variables; and one function that looks where
 * the cursor stands, which is the same for all. Names in the table are of letters and dashes, so
 * nothing in it needs to be quoted. */
#include "command.h"

#include <ctype.h>
#include <string.h>

/* Each word of "N|any|exists|new" that is meant as it stands: what is written large is a name. A
 * blank ends them. */
static void put_words(struct qt_out *out, const char *choices)
{
    const char *blank = "";

    for (const char *at = choices; *at != '\0' && *at != ' ';) {
        size_t size = strcspn(at, "| ");

        if (islower((unsigned char)*at)) {
            qt_out_text(out, blank);
            qt_out_put(out, at, size);
            blank = " ";
        }
        at += size;
        if (*at == '|')
            at++;
    }
}

static void put_verbs(struct qt_out *out)
{
    for (size_t i = 0; qt_commands[i] != NULL; i++) {
        if (i > 0)
            qt_out_char(out, ' ');
        qt_out_text(out, qt_commands[i]->verb);
    }
}

/* "--name" and, if it has one, " | -n", or with a blank between them. */
static void put_names(struct qt_out *out, const struct qt_option *option, const char *between)
{
    qt_out_text(out, "--");
    qt_out_text(out, option->name);
    if (option->letter != '\0') {
        qt_out_text(out, between);
        qt_out_char(out, '-');
        qt_out_char(out, option->letter);
    }
}

/* All options of a verb, or only those with a value, each with a blank before it. */
static void put_options(struct qt_out *out, const struct qt_command *command, bool valued)
{
    const struct qt_option *tables[QT_TABLES_MAX];

    qt_command_tables(command, tables);
    for (size_t i = 0; i < QT_TABLES_MAX; i++) {
        const struct qt_option *option = tables[i];

        for (; option != NULL && option->name != NULL; option++) {
            if (valued && option->kind == QT_FLAG)
                continue;
            qt_out_char(out, ' ');
            put_names(out, option, " ");
        }
    }
}

/* What may stand in place of each operand: directories, files, or these words. */
static void put_operands(struct qt_out *out, const struct qt_command *command)
{
    for (const char *at = command->operands; *at != '\0';) {
        size_t size = strcspn(at, " ");
        const char *name = *at == '[' ? at + 1 : at;

        qt_out_text(out, " '");
        if (strncmp(name, "STORE", 5) == 0)
            qt_out_text(out, "<directory>");
        else if (strncmp(name, "FILE", 4) == 0)
            qt_out_text(out, "<file>");
        else if (strncmp(name, "VERB", 4) == 0)
            put_verbs(out);
        else if (strncmp(name, "ORDER", 5) == 0)
            put_words(out, command->orders);
        else
            put_words(out, name);
        qt_out_char(out, '\'');
        at += size;
        if (*at == ' ')
            at++;
    }
}

/* What a value may be, for options that say so. */
static void put_values(struct qt_out *out, const struct qt_command *command)
{
    const struct qt_option *tables[QT_TABLES_MAX];

    qt_command_tables(command, tables);
    for (size_t i = 0; i < QT_TABLES_MAX; i++) {
        const struct qt_option *option = tables[i];

        for (; option != NULL && option->name != NULL; option++) {
            bool file = option->value != NULL && strcmp(option->value, "FILE") == 0;

            if (!file && (option->value == NULL || strchr(option->value, '|') == NULL))
                continue;
            qt_out_text(out, "        ");
            put_names(out, option, " | ");
            qt_out_text(out, ") words='");
            if (file)
                qt_out_text(out, "<file>");
            else
                put_words(out, option->value);
            qt_out_text(out, "' ;;\n");
        }
    }
}

static void put_verb(struct qt_out *out, const struct qt_command *command)
{
    qt_out_text(out, "    ");
    qt_out_text(out, command->verb);
    qt_out_text(out, ")\n        options='");
    put_options(out, command, false);
    qt_out_text(out, " '\n        valued='");
    put_options(out, command, true);
    qt_out_text(out, " '\n        operands=(");
    put_operands(out, command);
    qt_out_text(out, ")\n        case $before in\n");
    put_values(out, command);
    qt_out_text(out, "        esac\n        ;;\n");
}

static void put_script(struct qt_out *out)
{
    qt_out_text(out,
                "# bash completion of quipu, written by quipu completion bash\n"
                "_quipu_reply() {\n"
                "    case $1 in\n"
                "    '<directory>') mapfile -t COMPREPLY < <(compgen -d -- \"$2\") ;;\n"
                "    '<file>') mapfile -t COMPREPLY < <(compgen -f -- \"$2\") ;;\n"
                "    *) mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$2\") && return ;;\n"
                "    esac\n"
                "    compopt -o filenames 2>/dev/null\n"
                "}\n"
                "_quipu() {\n"
                "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
                "    local options= valued= words= count=0 ended= i\n"
                "    local -a operands=()\n"
                "    COMPREPLY=()\n"
                "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                "        _quipu_reply '");
    put_verbs(out);
    qt_out_text(out, " --help --version' \"$word\"\n"
                     "        return\n"
                     "    fi\n"
                     "    # A value after = is three words here.\n"
                     "    [ \"$word\" = = ] && word=\n"
                     "    [ \"$before\" = = ] && before=${COMP_WORDS[COMP_CWORD - 2]}\n"
                     "    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; qt_commands[i] != NULL; i++)
        put_verb(out, qt_commands[i]);
    qt_out_text(out, "    *) return ;;\n"
                     "    esac\n"
                     "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
                     "        if [ -n \"$ended\" ]; then\n"
                     "            count=$((count + 1))\n"
                     "            continue\n"
                     "        fi\n"
                     "        case ${COMP_WORDS[i]} in\n"
                     "        --) ended=1 ;;\n"
                     "        -?*)\n"
                     "            [[ $valued == *\" ${COMP_WORDS[i]} \"* ]] || continue\n"
                     "            i=$((i + 1))\n"
                     "            [ \"${COMP_WORDS[i]}\" = = ] && i=$((i + 1))\n"
                     "            ;;\n"
                     "        *) count=$((count + 1)) ;;\n"
                     "        esac\n"
                     "    done\n"
                     "    if [ -z \"$ended\" ] && [[ $valued == *\" $before \"* ]]; then\n"
                     "        _quipu_reply \"$words\" \"$word\"\n"
                     "    elif [ -z \"$ended\" ] && [[ $word == -* ]]; then\n"
                     "        _quipu_reply \"$options\" \"$word\"\n"
                     "    else\n"
                     "        _quipu_reply \"${operands[count]}\" \"$word\"\n"
                     "    fi\n"
                     "}\n"
                     "complete -F _quipu quipu\n");
}

static int run_completion(struct qt_run *run)
{
    const char *shell = run->args.operands[0];

    if (strcmp(shell, "bash") != 0)
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "no completion for \"%.80s\"; there is one for bash", shell);
    put_script(&run->out);
    return 0;
}

const struct qt_command qt_command_completion = {
    .verb = "completion",
    .summary = "write a completion script for bash",
    .operands = "bash",
    .example = "source <(quipu completion bash)",
    .text = "Writes a script that completes verbs, options and their values, and directories\n"
            "and files where one belongs. For all shells to come:\n\n"
            "  quipu completion bash >~/.local/share/bash-completion/completions/quipu\n",
    .options = NULL,
    .run = run_completion,
};
