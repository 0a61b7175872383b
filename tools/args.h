/* args.h - options and operands of one verb, read by the table that its help is printed from too.
 *
 * Options may stand anywhere; `--name value` and `--name=value` are the same; `--` ends them; a
 * single `-` is an operand. There are no abbreviations: what a later release adds must not change
 * what a script means. A short form is one that its row says, and stands alone: `-n 5`, not `-n5`.
 */
#ifndef QT_ARGS_H
#define QT_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QT_OPERANDS_MAX 4
#define QT_TABLES_MAX   4

enum qt_option_kind {
    QT_FLAG = 0,
    QT_TEXT = 1,
    QT_NUMBER = 2,
    QT_CHOICE = 3 /* one of the words in `value`, which are divided by | */
};

struct qt_option {
    const char *name;  /* without its dashes; NULL ends a table */
    const char *value; /* how help calls its value; NULL for a flag */
    const char *help;
    enum qt_option_kind kind;
    bool repeats;
    char letter;   /* its short form; 0: none */
    uint64_t most; /* of a number; 0: no bound */
};

/* An option as it was given. */
struct qt_given {
    const struct qt_option *option;
    const char *text; /* NULL for a flag */
    uint64_t number;
};

struct qt_args {
    const struct qt_option *tables[QT_TABLES_MAX]; /* the verb's own first; each may be NULL */
    struct qt_given *given;
    size_t given_count;
    const char *operands[QT_OPERANDS_MAX];
    size_t operand_count;
    char error[256]; /* one line */
};

/* Read `argc` arguments after the verb. `tables` are set by the caller.
 *
 * Memory:  the texts stay those of argv; qt_args_release() frees the rest.
 * Returns: 0, or -1 with args->error. */
int qt_args_parse(struct qt_args *args, int argc, char **argv);
void qt_args_release(struct qt_args *args);

/* Was it given? A name that is in no table is our bug. */
bool qt_args_has(const struct qt_args *args, const char *name);

/* Its text, or NULL. */
const char *qt_args_text(const struct qt_args *args, const char *name);

/* Its number, or `otherwise`. */
uint64_t qt_args_number(const struct qt_args *args, const char *name, uint64_t otherwise);

/* All texts of an option that repeats, at most `most`, into `texts`. Returns: how many. */
size_t qt_args_all(const struct qt_args *args, const char *name, const char **texts, size_t most);

#endif
