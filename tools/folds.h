/* folds.h - a plugin's folds, held against the snapshots that a store keeps of them. */
#ifndef QT_FOLDS_H
#define QT_FOLDS_H

#include "command.h"
#include "plugin.h"

/* Fold again what has snapshots, from its first event on, and compare. What differs is printed, and
 * in sum how many streams were looked at.
 *
 * Returns: 0; CORRUPT if one differs, or another status, with run->problem. */
int qt_folds_check(struct qt_run *run, quipu *store, const struct qt_plugin *plugin);

#endif
