/* problem.h - what went wrong, as one line for people and one object for programs, and its exit
 * code.
 *
 * Both go to stderr: `quipu: VERB: what: which`, and with --json also {"error":{...}}. */
#ifndef QT_PROBLEM_H
#define QT_PROBLEM_H

#include "quipu.h"

#include <stdbool.h>
#include <stdint.h>

struct qt_problem {
    int status;         /* a quipu_status; 0: none */
    const char *stream; /* NULL, 0 and false: it is not about this */
    bool versions; /* `expected` and `actual` count: versions, or numbers of a source or mark */
    uint64_t expected;
    uint64_t actual;
    uint64_t matched; /* the position that holds the id, or of the event that must not be there */
    uint64_t position;
    uint64_t line;
    uint64_t column;
    bool told;      /* it was printed already */
    char text[640]; /* one line; names in it are made safe when it is printed */
};

/* Fill in status and text. Returns: status, so that a verb can return it. */
__attribute__((format(printf, 3, 4))) int qt_problem_say(struct qt_problem *problem, int status,
                                                         const char *format, ...);

/* A library call about `which` failed. Returns: status. */
int qt_problem_library(struct qt_problem *problem, int status, const quipu_error *error,
                       const char *which);

/* Print it on stderr. `verb` may be NULL. */
void qt_problem_print(const struct qt_problem *problem, const char *verb, bool json);

/* The exit code that belongs to a status. */
int qt_problem_exit(int status);

/* One line on stderr that is no failure. */
__attribute__((format(printf, 1, 2))) void qt_note(const char *format, ...);

#endif
