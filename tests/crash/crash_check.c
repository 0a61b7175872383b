/* crash_check.c - look at a store after a workload, by hand.
 *
 *     crash_check STORE [--seed N] [--writer N] [--parts A,B] [--acked OP] [--begun OP]
 *                 [--read-first]
 *
 * Operations before --acked must be in, those from --begun on must not. It appends to the store. */
#include "driver.h"

#include <inttypes.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    const char *parts = crash_option(argv, "--parts");
    struct crash_plan plan;
    struct crash_bounds bounds = {.plan = &plan};
    uint32_t done;

    CHECK(argc >= 2, "crash_check STORE ...");
    crash_plan_build(&plan, crash_number(argv, "--seed", 1),
                     (unsigned)crash_number(argv, "--writer", 0),
                     parts != NULL ? parts : CRASH_PARTS);
    bounds.acked = (uint32_t)crash_number(argv, "--acked", 0);
    bounds.begun = (uint32_t)crash_number(argv, "--begun", plan.op_count);
    done =
        crash_inspect(argv[1], &bounds, 1, crash_flag(argv, "--read-first") ? CRASH_READ_FIRST : 0);
    (void)printf("whole: %u of %zu operations\n", done, plan.op_count);
    crash_plan_free(&plan);
    return 0;
}
