/* driver.h - what the drivers of faults share: a scratch directory, a workload that is started with
 * a fault, stores to start from, a child that inspects, counts and the last line. */
#ifndef CRASH_DRIVER_H
#define CRASH_DRIVER_H

#include "inspect.h"
#include "support_system.h"
#include "trace.h"

/* The value behind `name` on the command line, NULL if it does not stand there. */
const char *crash_option(char **argv, const char *name);
bool crash_flag(char **argv, const char *name);
uint64_t crash_number(char **argv, const char *name, uint64_t otherwise);

struct crash_driver {
    const char *name;
    char tools[SYS_PATH_BYTES];   /* where the programs are */
    char scratch[SYS_PATH_BYTES]; /* removed at the end, unless something failed */
    char area[SYS_PATH_BYTES];    /* in it: what is watched */
    char store[SYS_PATH_BYTES];   /* in the area */
    uint64_t seed;
    bool all;                  /* each point, not each n-th */
    double deadline;           /* with --seconds; 0: one round */
    struct crash_state *state; /* of the workload that runs, or ran last */
    struct crash_plan plan;
    unsigned passed;
    unsigned failed;
    char repeat[SYS_PATH_BYTES]; /* the command that does this one again */
};

/* Reads --seed, --all, --seconds. `parts`: of the plan. */
void crash_driver_begin(struct crash_driver *driver, const char *name, char **argv,
                        const char *parts);

/* Prints "NAME: ..., N passed, M failed". Returns the exit code. */
int crash_driver_end(struct crash_driver *driver);

/* Is the time over, or too much broken? */
bool crash_driver_stops(const struct crash_driver *driver);

/* The next round of --seconds: another seed. false: there is none. */
bool crash_driver_next(struct crash_driver *driver, const char *parts);

/* The fault: what goes into the environment. NULL: it is not set. */
struct crash_fault {
    const char *calls;
    const char *kill;
    const char *fail;
    const char *log;
};

struct crash_work {
    uint32_t first;
    uint32_t end;
    const char *parts; /* of the plan that `first` and `end` are of */
    unsigned writer;
    bool faulty;
    bool beside;
    bool stops_on_io;
    const char *hold;
    const char *ballast;
    struct crash_state *state; /* with its file; NULL: the driver's */
    const char *state_file;
};

/* Start crash_work on the store. Returns its pid. */
pid_t crash_work_start(const struct crash_driver *driver, const struct crash_work *work,
                       const struct crash_fault *fault);

/* The same, and wait for it: exit code, or 256 + signal. The driver's state is zeroed before. */
int crash_work_run(struct crash_driver *driver, const struct crash_work *work,
                   const struct crash_fault *fault);

/* A file of words that a workload writes to, mapped. */
struct crash_state *crash_state_make(const struct crash_driver *driver, const char *name,
                                     char path[SYS_PATH_BYTES]);

/* Do the whole plan once without a fault, and keep the store as it is before each part. */
void crash_bases_make(struct crash_driver *driver, const char *parts);

/* The store as it is before that part; nothing before the first. */
void crash_base_restore(const struct crash_driver *driver, const char *part);

/* Run `inspect` in a child, for crash_inspect() ends the program where it finds something. */
bool crash_in_child(void (*inspect)(void *payload), void *payload);

/* The store, against the driver's own plan, in a child. Counts it as passed or failed. */
bool crash_inspect_store(struct crash_driver *driver, uint32_t acked, uint32_t begun,
                         unsigned flags);

/* Count it, and say what failed and how to do it again. */
void crash_count(struct crash_driver *driver, bool good, const char *what);

void crash_copy_tree(const char *from, const char *to);

#endif
