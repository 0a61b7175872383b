/* look.h - every call that reads, of one store. */
#ifndef CRASH_LOOK_H
#define CRASH_LOOK_H

#include "plan.h"

/* Returns: OK: all of them gave what they must, of `head` events (0: nobody knows how many); else
 * the first status that one failed with. */
int crash_look(quipu *store, const char *path, const struct crash_plan *plan, uint64_t head,
               quipu_error *error);

#endif
