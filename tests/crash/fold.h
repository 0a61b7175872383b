/* fold.h - a fold with snapshots, and that they change nothing. */
#ifndef CRASH_FOLD_H
#define CRASH_FOLD_H

#include "plan.h"

struct crash_state_of_fold {
    uint64_t count;
    uint64_t sum; /* of all events, in their order */
};

/* It asks for a snapshot after every other event, of which two stay; some have blobs. */
extern const quipu_fold crash_fold;

/* Load a stream by its snapshots, now and as of a version in the middle, and by a fold that has
 * none: ends the program if the states differ. Returns: what a load returned. */
int crash_fold_check(quipu *store, const char *stream, quipu_error *error);

#endif
