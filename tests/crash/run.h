/* run.h - do what a plan says, and look at each answer. */
#ifndef CRASH_RUN_H
#define CRASH_RUN_H

#include "plan.h"
#include "trace.h"

/* Where a run stands. What is not set is zero. */
struct crash_run {
    const struct crash_plan *plan;
    const char *path;          /* of the store */
    struct crash_state *state; /* whoever watches reads there what was acknowledged; may be NULL */
    bool beside;               /* others write too: positions are not known beforehand */
    bool faulty;               /* calls may fail: with statuses that say so, and never for good */
    bool readable;             /* as long as a commit fails, everything can be read */
    bool stops_on_io;          /* a commit that is refused so ends the run, without a word */
    const char *hold;          /* a file: as long as it is there, nothing is done after an open */
    void (*heal)(void *payload); /* faulty: ends the faults, makes room */
    void *payload;

    quipu *store; /* own: open between OPEN and CLOSE */
    uint32_t op;
    quipu_error error;
    unsigned in_flight; /* asynchronous commits */
    unsigned failures;  /* operations that failed, and were done later */
    unsigned unknown;   /* of which the outcome was unknown */
};

/* Operations [first, end). Ends the program with a word if an answer is wrong. */
void crash_run(struct crash_run *run, uint32_t first, uint32_t end);

/* Send the batch of `op`, which has ids. Its receipt says whether it was known. */
int crash_send_again(struct crash_run *run, uint32_t op, quipu_receipt *receipt);

/* The options with which each open of a plan is made. */
quipu_options crash_options(const struct crash_plan *plan, const struct crash_op *op);

#endif
