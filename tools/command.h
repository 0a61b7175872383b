/* command.h - what a verb is: a row of the command table, from which help and parsing come. */
#ifndef QT_COMMAND_H
#define QT_COMMAND_H

#include "args.h"
#include "out.h"
#include "problem.h"
#include "progress.h"

#include <stdbool.h>
#include <stddef.h>

struct qt_run;

struct qt_command {
    const char *verb;
    const char *summary;  /* a few words */
    const char *operands; /* "STORE [FILE|-]": names divided by a blank, [] for those not needed */
    const char *orders;   /* "pause|resume": what an operand ORDER may be; NULL: there is none */
    const char *example;  /* works as it stands, on a store of docs/examples/orders.ndjson */
    const char *text; /* what there is to know beside the options; lines of at most 80 columns */
    const struct qt_option *options;
    const struct qt_option *shared; /* rows that other verbs have too; NULL: none */
    bool waits;                     /* for other processes, as long as --busy-timeout says */
    int (*run)(struct qt_run *run);
};

/* A call of a verb. */
struct qt_run {
    const struct qt_command *command;
    struct qt_args args;
    struct qt_out out;
    struct qt_problem problem;   /* filled before a verb returns a failure */
    struct qt_progress progress; /* is wiped before the library is heard */
    bool json;
};

/* The table, ended by NULL; the options that every verb has; those of verbs that wait. */
extern const struct qt_command *const qt_commands[];
extern const struct qt_option qt_common_options[];
extern const struct qt_option qt_waiting_options[];

extern const struct qt_command qt_command_init;
extern const struct qt_command qt_command_append;
extern const struct qt_command qt_command_import;
extern const struct qt_command qt_command_dump;
extern const struct qt_command qt_command_show;
extern const struct qt_command qt_command_tail;
extern const struct qt_command qt_command_streams;
extern const struct qt_command qt_command_categories;
extern const struct qt_command qt_command_types;
extern const struct qt_command qt_command_tags;
extern const struct qt_command qt_command_marks;
extern const struct qt_command qt_command_snapshots;
extern const struct qt_command qt_command_projections;
extern const struct qt_command qt_command_projection;
extern const struct qt_command qt_command_views;
extern const struct qt_command qt_command_view;
extern const struct qt_command qt_command_diff_view;
extern const struct qt_command qt_command_parked;
extern const struct qt_command qt_command_why;
extern const struct qt_command qt_command_stat;
extern const struct qt_command qt_command_state;
extern const struct qt_command qt_command_project;
extern const struct qt_command qt_command_verify;
extern const struct qt_command qt_command_reindex;
extern const struct qt_command qt_command_completion;
extern const struct qt_command qt_command_help;

/* The tables of a verb in the order in which they are looked at and printed. */
void qt_command_tables(const struct qt_command *command,
                       const struct qt_option *tables[QT_TABLES_MAX]);

/* The verb of this name, or NULL. */
const struct qt_command *qt_command_find(const char *verb);

/* How many operands a verb must and may have. */
size_t qt_command_operands_min(const struct qt_command *command);
size_t qt_command_operands_max(const struct qt_command *command);

/* Print the help of one verb, or of all if it is NULL. */
void qt_help_put(struct qt_out *out, const struct qt_command *command);

/* Print the manual page of all verbs, as mdoc. */
void qt_man_put(struct qt_out *out);

/* Calls that a newcomer can type as they stand, in this order; ended by NULL. */
extern const char *const qt_examples[];

#endif
