/* power.c - the power goes: at each change of a recorded workload, with all that a disk may have
 * done by then (disk.h). Each image is opened as after the boot, and inspected.
 *
 *     power [--seed N] [--all] [--seconds N] [--scenario NAME] [--image POINT:CUT:ROUND]
 *
 * Scenarios: each part of the workload by itself; "fault": a write or flush fails, and the program
 * goes on; "heir": one process dies in a commit that fails, and another one, which has the store
 * open, goes on. `shared` and the lock files are maps, of which nothing is recorded: in an image
 * they are as they were made, or gone, or as a process that was killed left them, of another boot.
 */
#include "disk.h"
#include "driver.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WRITERS = 2,
    STRIDE = 3,
    FAR = 15, /* behind a failure that was looked at closely */
    CUTS_MORE = 8,
    HEIR_CUTS_MORE = 16,
    CHANGES_NEAR = 6,
    HEIR_OPS = 8
};

#define HEIR_PARTS "traffic"

struct cutting {
    struct crash_driver driver;
    const char *parts;
    const char *only_scenario;
    const char *only_image;
    struct sys_random random;   /* says which scenarios there are */
    char image[SYS_PATH_BYTES]; /* a directory */
    char store[SYS_PATH_BYTES]; /* in it */
    char stale[SYS_PATH_BYTES]; /* `shared` and lock files as a killed process left them */
    char log[SYS_PATH_BYTES];
    char scenario[128];
    struct crash_plan heir;
    struct crash_bounds bounds[WRITERS];
    uint32_t lazy[WRITERS]; /* the last operation that was acknowledged so, + 1 */
    size_t writers;
    unsigned cuts_more; /* where it is looked at closely */
    unsigned flags;     /* of the inspection */
    unsigned images;
    unsigned of_projections;
    unsigned stride; /* between changes that are looked at */
};

/* ---- one image ------------------------------------------------------------------------------- */

/* The text of the boot id in `shared`, behind a magic of 8 bytes: another boot's. */
static void make_stale(const char *path)
{
    enum { BOOT_AT = 8 };

    sys_file_patch(path, BOOT_AT, "00000000", 8);
}

static void change_maps(const struct cutting *cutting, struct sys_random *random)
{
    static const char *const names[] = {"shared", "log.mdb-lock", "index.mdb-lock", "guard"};
    unsigned way = (unsigned)sys_below(random, 3);

    if (way == 0 || !sys_exists(cutting->store))
        return;
    for (size_t i = 0; i < 4; i++) {
        char path[SYS_PATH_BYTES];
        char stale[SYS_PATH_BYTES];

        sys_join(path, cutting->store, names[i]);
        sys_join(stale, cutting->stale, names[i]);
        (void)unlink(path);
        if (way == 2) {
            sys_file_copy(stale, path);
            CHECK(chmod(path, 0600) == 0, "mode");
        }
    }
}

static void inspect(void *payload)
{
    const struct cutting *cutting = payload;

    (void)crash_inspect(cutting->store, cutting->bounds, cutting->writers, cutting->flags);
}

/* What is random follows from the image's own name, so that it can be made again by itself. */
static void cut(struct cutting *cutting, const struct crash_disk *disk, size_t op,
                enum crash_cut how, unsigned round)
{
    static const char *const names[] = {"all", "none", "random", "drop one", "only one", "torn"};
    struct crash_driver *driver = &cutting->driver;
    struct sys_random random = {.state = driver->seed + (op << 20) + how + 16 * round};
    char name[48];

    (void)snprintf(name, sizeof(name), "%zu:%d:%u", op, (int)how, round);
    if (cutting->only_image != NULL && strcmp(cutting->only_image, name) != 0)
        return;
    (void)snprintf(driver->repeat, sizeof(driver->repeat),
                   "power --seed %" PRIu64 " --scenario %s --image %s", driver->seed,
                   cutting->scenario, name);
    (void)snprintf(sys_note, sizeof(sys_note), "%s (%s, %zu pending)", driver->repeat, names[how],
                   crash_disk_pending(disk));
    crash_disk_cut(disk, how, &random, cutting->image);
    change_maps(cutting, &random);
    cutting->flags = CRASH_QUICK | (sys_chance(&random, 12) ? CRASH_READ_FIRST : 0);
    cutting->images++;
    crash_count(driver, crash_in_child(inspect, cutting), "the store after the power cut");
}

static void cut_at(struct cutting *cutting, const struct crash_disk *disk, size_t op, bool often)
{
    struct sys_random random = {.state = cutting->driver.seed + op};

    cut(cutting, disk, op, CUT_ALL, 0);
    if (crash_disk_pending(disk) == 0)
        return;
    cut(cutting, disk, op, CUT_NONE, 0);
    if (!often) {
        cut(cutting, disk, op, CUT_RANDOM + (enum crash_cut)sys_below(&random, 4), 0);
        return;
    }
    for (unsigned i = 0; i < cutting->cuts_more && !crash_driver_stops(&cutting->driver); i++)
        cut(cutting, disk, op, CUT_RANDOM + (enum crash_cut)(i % 4), i / 4);
}

/* ---- a recorded log -------------------------------------------------------------------------- */

/* A lazy commit is durable when the next one is acknowledged. */
static void take_mark(struct cutting *cutting, const struct crash_trace *trace)
{
    uint32_t op = (uint32_t)(trace->offset / 4);
    enum crash_mark_kind kind = (enum crash_mark_kind)(trace->offset % 4);

    for (size_t i = 0; i < cutting->writers; i++) {
        struct crash_bounds *bounds = &cutting->bounds[i];

        if (bounds->plan->writer != trace->inode)
            continue;
        if (kind == MARK_BEGUN) {
            bounds->begun = op + 1;
        } else if (kind == MARK_DURABLE) {
            bounds->acked = op + 1;
        } else if (crash_op_writes(&bounds->plan->ops[op])) {
            if (cutting->lazy[i] > bounds->acked)
                bounds->acked = cutting->lazy[i];
            cutting->lazy[i] = op + 1;
        }
    }
}

/* Each n-th change, or each; and all that can happen right after a call that has failed. */
static void replay(struct cutting *cutting, struct crash_disk *disk)
{
    struct crash_driver *driver = &cutting->driver;
    bool often = driver->all || cutting->only_image != NULL;
    unsigned before = cutting->images;
    size_t points = 0;
    size_t near = 0;
    bool failed = false;

    crash_disk_read_log(disk, cutting->log);
    for (size_t op = 0; op < crash_disk_ops(disk) && !crash_driver_stops(driver); op++) {
        const struct crash_trace *trace = crash_disk_op(disk, op);

        if (trace->kind == TRACE_MARK) {
            take_mark(cutting, trace);
            continue;
        }
        crash_disk_begin(disk, op);
        points++;
        if ((trace->flags & TRACE_FAILED) != 0) {
            near = CHANGES_NEAR;
            failed = true;
        }
        if (often || near > 0 || (points + driver->seed) % (failed ? FAR : cutting->stride) == 0)
            cut_at(cutting, disk, op, often || near > 0);
        near -= near > 0;
        crash_disk_end(disk, op);
    }
    cut_at(cutting, disk, crash_disk_ops(disk), often); /* all is done, and acknowledged */
    (void)printf("  %-28s %4zu changes, %5u images\n", cutting->scenario, points,
                 cutting->images - before);
}

static bool is_wanted(struct cutting *cutting, const char *scenario)
{
    (void)snprintf(cutting->scenario, sizeof(cutting->scenario), "%s", scenario);
    (void)unlink(cutting->log);
    return !crash_driver_stops(&cutting->driver) &&
           (cutting->only_scenario == NULL || strcmp(cutting->only_scenario, scenario) == 0);
}

/* Bounds of the driver's own plan, which has come to `first`. */
static void begin_bounds(struct cutting *cutting, uint32_t first)
{
    cutting->writers = 1;
    memset(cutting->lazy, 0, sizeof(cutting->lazy));
    cutting->cuts_more = CUTS_MORE;
    cutting->stride = STRIDE;
    cutting->bounds[0] = (struct crash_bounds){&cutting->driver.plan, first, first};
}

/* ---- scenarios ------------------------------------------------------------------------------- */

static void cut_part(struct cutting *cutting, unsigned part)
{
    struct crash_driver *driver = &cutting->driver;
    const struct crash_work work = {.first = driver->plan.part_first[part],
                                    .end = driver->plan.part_first[part + 1],
                                    .parts = cutting->parts};
    const struct crash_fault fault = {.log = cutting->log};
    unsigned before = cutting->images;
    struct crash_disk *disk;
    int rc;

    if (!is_wanted(cutting, driver->plan.part_names[part]))
        return;
    crash_base_restore(driver, driver->plan.part_names[part]);
    disk = crash_disk_load(driver->area);
    rc = crash_work_run(driver, &work, &fault);
    CHECK(rc == 0, "part %s: %d", cutting->scenario, rc);
    begin_bounds(cutting, work.first);
    if (crash_part_projects(&driver->plan, part)) /* many small commits */
        cutting->stride = 2 * STRIDE;
    replay(cutting, disk);
    crash_disk_free(disk);
    if (crash_part_projects(&driver->plan, part))
        cutting->of_projections += cutting->images - before;
}

/* The n-th write or flush of a part fails; what the program does then is replayed too. */
static void cut_fault(struct cutting *cutting, const char *part, const char *fail)
{
    struct crash_driver *driver = &cutting->driver;
    struct crash_work work = {.parts = cutting->parts, .faulty = true};
    const struct crash_fault fault = {.log = cutting->log, .calls = "WS", .fail = fail};
    unsigned before = cutting->images;
    struct crash_disk *disk;
    char scenario[64];
    int rc;

    (void)snprintf(scenario, sizeof(scenario), "fault:%s:%s", part, fail);
    if (!is_wanted(cutting, scenario))
        return;
    CHECK(crash_plan_part(&driver->plan, part, &work.first, &work.end), "no part %s", part);
    crash_base_restore(driver, part);
    disk = crash_disk_load(driver->area);
    rc = crash_work_run(driver, &work, &fault);
    CHECK(rc == 0, "%s: %d", cutting->scenario, rc);
    begin_bounds(cutting, work.first);
    replay(cutting, disk);
    crash_disk_free(disk);
    if (crash_part_projects(&driver->plan, driver->plan.ops[work.first].part))
        cutting->of_projections += cutting->images - before;
}

static void cut_faults(struct cutting *cutting)
{
    static const char *const parts[] = {"append", "batch", "reopen", "create", "project", "inline"};
    unsigned count = cutting->driver.all ? 60 : 2;
    char fail[48];

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        for (unsigned j = 0; j < count; j++) {
            unsigned n =
                cutting->driver.all ? j + 1 : 1 + (unsigned)sys_below(&cutting->random, 40);

            (void)snprintf(fail, sizeof(fail), "%u:%s:%d", n, (i + j) % 2 == 0 ? "after" : "before",
                           EIO);
            cut_fault(cutting, parts[i], fail);
        }
}

/* The heir opens the store and waits; the other one appends, fails and dies; then the heir goes on,
 * as the process that was killed cannot say that the store is poisoned. */
static void cut_heir(struct cutting *cutting, const char *part, const char *calls, const char *fail,
                     const char *kill_at)
{
    struct crash_driver *driver = &cutting->driver;
    char hold[SYS_PATH_BYTES];
    char state_file[SYS_PATH_BYTES];
    struct crash_work work = {.parts = cutting->parts, .beside = true, .stops_on_io = true};
    struct crash_work heirs = {.end = HEIR_OPS, .parts = HEIR_PARTS, .writer = 1, .beside = true};
    const struct crash_fault fault = {
        .log = cutting->log, .calls = calls, .fail = fail, .kill = kill_at};
    const struct crash_fault none = {.log = cutting->log};
    struct crash_disk *disk;
    char scenario[128];
    bool refused; /* it has lived to see that the outcome is unknown */
    pid_t heir;
    int rc;

    (void)snprintf(scenario, sizeof(scenario), "heir:%s:%s:%s,%s", part, calls, fail, kill_at);
    if (!is_wanted(cutting, scenario))
        return;
    CHECK(crash_plan_part(&driver->plan, part, &work.first, &work.end), "no part");
    sys_join(hold, driver->scratch, "hold");
    sys_file_write(hold, "", 0);
    heirs.hold = hold;
    heirs.stops_on_io = true;
    heirs.state = crash_state_make(driver, "heir", state_file);
    heirs.state_file = state_file;
    crash_base_restore(driver, part);
    disk = crash_disk_load(driver->area);
    heir = crash_work_start(driver, &heirs, &none);
    while (atomic_load(&heirs.state->acked) < 1)
        sys_sleep_ms(1);
    rc = crash_work_run(driver, &work, &fault);
    refused = rc == 0 && atomic_load(&driver->state->acked) < work.end;
    (void)unlink(hold);
    CHECK(rc == 0 || rc == 256 + SIGKILL, "%s: %d", scenario, rc);
    rc = sys_wait(heir);
    CHECK(rc == 0, "%s: the heir ended with %d", scenario, rc);
    if (refused) { /* it is poisoned: nothing but its open went well */
        (void)snprintf(driver->repeat, sizeof(driver->repeat),
                       "power --seed %" PRIu64 " --scenario %s", driver->seed, scenario);
        crash_count(driver, atomic_load(&heirs.state->acked) == 1, "others must be refused too");
    }
    begin_bounds(cutting, work.first);
    cutting->writers = 2;
    cutting->cuts_more = HEIR_CUTS_MORE;
    cutting->bounds[1] = (struct crash_bounds){&cutting->heir, 0, 0};
    replay(cutting, disk);
    crash_disk_free(disk);
}

/* Of a meta page LMDB is told that it was not written, though it was; it puts the old one back, and
 * is killed. Or a flush has failed, and it is killed some instructions later, before or after
 * `poisoned` is set: then the heir is refused. Small commits, and large ones. */
static void cut_heirs(struct cutting *cutting)
{
    static const char *const parts[] = {"append", "grow"};
    unsigned count = cutting->driver.all ? 20 : 1;

    for (unsigned i = 0; i < 2 * count; i++) {
        char fail[48];
        char kill_at[48];

        (void)snprintf(fail, sizeof(fail), "%u:after:%d", 1 + i / 2, EIO);
        cut_heir(cutting, parts[i % 2], "D", fail, "1:past");
        (void)snprintf(fail, sizeof(fail), "%u:%s:%d", 1 + i / 2, i % 4 < 2 ? "before" : "after",
                       EIO);
        (void)snprintf(kill_at, sizeof(kill_at), "%u:step:%u", 1 + i / 2,
                       (unsigned)sys_below(&cutting->random, 500));
        cut_heir(cutting, parts[i % 2], "S", fail, kill_at);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* What a process leaves in its maps when it is killed. */
static void keep_stale(struct cutting *cutting)
{
    struct crash_driver *driver = &cutting->driver;
    struct crash_work work = {.parts = cutting->parts};
    const struct crash_fault fault = {.calls = "W", .kill = "12:before"};
    char path[SYS_PATH_BYTES];
    int rc;

    CHECK(crash_plan_part(&driver->plan, "append", &work.first, &work.end), "no part");
    crash_base_restore(driver, "append");
    rc = crash_work_run(driver, &work, &fault);
    CHECK(rc == 256 + SIGKILL, "it was to be killed: %d", rc);
    sys_remove(cutting->stale);
    crash_copy_tree(driver->store, cutting->stale);
    sys_join(path, cutting->stale, "shared");
    make_stale(path);
}

int main(int argc, char **argv)
{
    struct cutting cutting = {.parts = CRASH_PARTS,
                              .only_scenario = crash_option(argv, "--scenario"),
                              .only_image = crash_option(argv, "--image")};
    struct crash_driver *driver = &cutting.driver;

    (void)argc;
    crash_driver_begin(driver, "power", argv, cutting.parts);
    sys_join(cutting.image, driver->scratch, "image");
    sys_join(cutting.store, cutting.image, "store");
    sys_join(cutting.stale, driver->scratch, "stale");
    sys_join(cutting.log, driver->scratch, "log");
    do {
        cutting.random.state = driver->seed;
        crash_plan_build(&cutting.heir, driver->seed, 1, HEIR_PARTS);
        crash_bases_make(driver, cutting.parts);
        keep_stale(&cutting);
        for (unsigned part = 0; part < driver->plan.part_count; part++)
            cut_part(&cutting, part);
        cut_faults(&cutting);
        cut_heirs(&cutting);
        crash_plan_free(&cutting.heir);
    } while (crash_driver_next(driver, cutting.parts));
    (void)printf("crash images: %u\n", cutting.images);
    (void)printf("of projections: %u images\n", cutting.of_projections);
    return crash_driver_end(driver);
}
