/* inspect_project.h - is each projection the fold of the log, and as far as it was said to be? */
#ifndef CRASH_INSPECT_PROJECT_H
#define CRASH_INSPECT_PROJECT_H

#include "inspect.h"

/* `done`: operations before this one are in the log. Ends the program if something is wrong. */
void crash_inspect_projects(quipu *store, const struct crash_bounds *bounds, uint32_t done,
                            unsigned flags);

/* Bring all of them to the head, and look again. Returns: the head then. */
uint64_t crash_finish_projects(quipu *store, const struct crash_bounds *bounds, uint64_t head);

#endif
