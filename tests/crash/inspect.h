/* inspect.h - is everything that was acknowledged in the store, and nothing that must not be? */
#ifndef CRASH_INSPECT_H
#define CRASH_INSPECT_H

#include "plan.h"

/* One writer, and how far it came: operations before `acked` were acknowledged, those from `begun`
 * on had not been begun. */
struct crash_bounds {
    const struct crash_plan *plan;
    uint32_t acked;
    uint32_t begun;
};

enum crash_inspect_flags {
    CRASH_READ_FIRST = 1, /* a reader is the first who opens it */
    CRASH_LIVE = 2,       /* others write meanwhile: only what holds at any moment, by a reader */
    CRASH_TIDY = 8,       /* what a dead creator left is gone too: the driver's look */
    CRASH_QUICK = 4,      /* without the second verify, after the closing */
    CRASH_BEHIND = 16     /* an inline projection may have been left behind by a fault */
};

/* Check all of it, as a process that has not had it open: events to the byte, positions, versions,
 * batches whole, the index, the streams; then send the last batches with ids once more, append, and
 * read that. A store that is missing is right if nothing was acknowledged, and is then created.
 * Ends the program if something is wrong. Returns: how many of the first plan's operations are in.
 */
uint32_t crash_inspect(const char *path, const struct crash_bounds *bounds, size_t count,
                       unsigned flags);

#endif
