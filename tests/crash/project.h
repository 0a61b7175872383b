/* project.h - what a run does with projections. */
#ifndef CRASH_PROJECT_H
#define CRASH_PROJECT_H

#include "run.h"

/* An open store gets its inline projection, if the plan has one there. On failure it is closed. */
int crash_project_register(struct crash_run *run);

/* Returns: OK: the answer is what it must be; else what failed. */
int crash_project_do(struct crash_run *run);

/* `again`: it may have been carried out already. */
int crash_project_control(struct crash_run *run, bool again);

#endif
