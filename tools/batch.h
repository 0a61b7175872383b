/* batch.h - quipu append --batch: a file that is one commit. */
#ifndef QT_BATCH_H
#define QT_BATCH_H

#include "command.h"

/* Read the file at `path` ("-": standard input) and commit it to the store of the first operand.
 *
 * Returns: 0, or a status with run->problem. */
int qt_batch_commit(struct qt_run *run, const char *path);

#endif
