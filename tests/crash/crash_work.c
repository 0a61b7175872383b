/* crash_work.c - a workload, as a process that something may happen to.
 *
 *     crash_work STORE [--seed N] [--writer N] [--parts A,B] [--from OP] [--to OP] [--beside]
 *                [--faulty] [--ballast FILE] [--stops-on-io] [--hold FILE]
 *
 * CRASH_STATE, as trace.h has it, names a file that is told what was acknowledged. --faulty: calls
 * may fail, and are done again; --ballast: the disk may be full, and has room when that file is
 * gone. --stops-on-io: a commit that is refused with IO ends it. --hold: after an open it waits
 * until that file is gone. */
#include "driver.h"
#include "run.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SECONDS_MAX = 60 }; /* what takes longer hangs */

static struct crash_state *map_state(void)
{
    const char *path = getenv("CRASH_STATE");
    void *state;
    int fd;

    if (path == NULL)
        return NULL;
    fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0, "open %s", path);
    state = mmap(NULL, sizeof(struct crash_state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(state != MAP_FAILED, "map %s", path);
    (void)close(fd);
    return state;
}

struct disk {
    struct crash_state *state;
    const char *ballast;
};

static void heal(void *payload)
{
    const struct disk *disk = payload;

    if (disk->state != NULL)
        atomic_store(&disk->state->off, 1);
    if (disk->ballast != NULL)
        (void)unlink(disk->ballast);
}

int main(int argc, char **argv)
{
    struct disk disk = {.state = map_state(), .ballast = crash_option(argv, "--ballast")};
    const char *parts = crash_option(argv, "--parts");
    uint64_t seed = crash_number(argv, "--seed", 1);
    uint64_t end = crash_number(argv, "--to", UINT32_MAX);
    struct crash_plan plan;
    struct crash_run run = {.plan = &plan,
                            .path = argv[1],
                            .state = disk.state,
                            .beside = crash_flag(argv, "--beside"),
                            .faulty = crash_flag(argv, "--faulty"),
                            .stops_on_io = crash_flag(argv, "--stops-on-io"),
                            .hold = crash_option(argv, "--hold"),
                            .readable = disk.ballast != NULL,
                            .heal = heal,
                            .payload = &disk};

    CHECK(argc >= 2, "crash_work STORE ...");
    if (parts == NULL)
        parts = CRASH_PARTS;
    crash_plan_build(&plan, seed, (unsigned)crash_number(argv, "--writer", 0), parts);
    (void)snprintf(sys_note, sizeof(sys_note), "crash_work %s --seed %" PRIu64 " --parts %s ",
                   run.path, seed, parts);
    (void)alarm(SECONDS_MAX);
    crash_run(&run, (uint32_t)crash_number(argv, "--from", 0),
              end < plan.op_count ? (uint32_t)end : (uint32_t)plan.op_count);
    if (disk.state != NULL) {
        atomic_store(&disk.state->failures, run.failures);
        atomic_store(&disk.state->unknown, run.unknown);
    }
    crash_plan_free(&plan);
    return 0;
}
