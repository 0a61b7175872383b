/* refusal.h - which steps of a batch did not hold, each told as a problem of its own. */
#ifndef QT_REFUSAL_H
#define QT_REFUSAL_H

#include "command.h"
#include "quipu.h"
#include "step.h"

/* A step as it was asked for. */
struct qt_asked {
    enum qt_step_kind kind;
    uint64_t line; /* where it stands in its file; 0: in none */
    size_t name;   /* where its name begins in `names` */
};

/* Print each step that failed in the last commit of `batch`, in their order. `asked` has one for
 * each step of the batch; `source` is the file's name, if there is one.
 *
 * Returns: `status`, with run->problem told. */
int qt_refusal_tell(struct qt_run *run, int status, const quipu_batch *batch,
                    const struct qt_asked *asked, const char *names, const char *source);

#endif
