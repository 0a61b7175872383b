/* ledger.h - a store of the plan's events with msgpack in them, and what their fold must come to.
 */
#ifndef BENCH_LEDGER_H
#define BENCH_LEDGER_H

#include "fold.h"
#include "workload.h"

/* Begins as zeroes. */
struct bench_ledger {
    struct bench_states all;
    struct bench_state *states; /* by stream, as the plan numbers them */
};

/* Append all events to an empty store, and close it.
 *
 * Memory:  the caller's until bench_ledger_release(), also on failure.
 * Returns: 0, or -1 and a text in `failure`. */
int bench_ledger_fill(struct bench_ledger *ledger, const struct bench_work *work,
                      struct bench_failure *failure);
void bench_ledger_release(struct bench_ledger *ledger);

/* `found` is what it should be, or -1 and a text in `failure`. */
int bench_ledger_check(const struct bench_work *work, const struct bench_states *expected,
                       const struct bench_states *found, struct bench_failure *failure);

/* Whether a peer can fold. */
int bench_ledger_can(const struct bench_peer *peer);

#endif
