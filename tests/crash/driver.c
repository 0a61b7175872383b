/* driver.c - see driver.h. */
#include "driver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILURES_MAX = 5 }; /* then a run ends: what follows says no more */

/* ---- the command line ------------------------------------------------------------------------ */

const char *crash_option(char **argv, const char *name)
{
    for (char **at = argv + 1; at[0] != NULL; at++)
        if (strcmp(at[0], name) == 0)
            return at[1];
    return NULL;
}

bool crash_flag(char **argv, const char *name)
{
    for (char **at = argv + 1; at[0] != NULL; at++)
        if (strcmp(at[0], name) == 0)
            return true;
    return false;
}

uint64_t crash_number(char **argv, const char *name, uint64_t otherwise)
{
    const char *value = crash_option(argv, name);

    return value != NULL ? strtoull(value, NULL, 10) : otherwise;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static void find_tools(struct crash_driver *driver)
{
    ssize_t size = readlink("/proc/self/exe", driver->tools, sizeof(driver->tools) - 1);
    char *slash;

    CHECK(size > 0, "no /proc");
    driver->tools[size] = '\0';
    slash = strrchr(driver->tools, '/');
    *slash = '\0';
}

/* The path without links, as the preloaded library compares it. */
static void make_scratch(struct crash_driver *driver)
{
    char *real;

    sys_directory(driver->scratch, true);
    real = realpath(driver->scratch, NULL);
    CHECK(real != NULL && strlen(real) < sizeof(driver->scratch) - 64, "a scratch directory");
    (void)snprintf(driver->scratch, sizeof(driver->scratch), "%s", real);
    free(real);
    sys_join(driver->area, driver->scratch, "area");
    sys_join(driver->store, driver->area, "store");
    CHECK(mkdir(driver->area, 0700) == 0, "make %s", driver->area);
}

void crash_driver_begin(struct crash_driver *driver, const char *name, char **argv,
                        const char *parts)
{
    char path[SYS_PATH_BYTES];
    uint64_t seconds = crash_number(argv, "--seconds", 0);

    *driver = (struct crash_driver){.name = name};
    driver->seed = crash_number(argv, "--seed", sys_seed());
    driver->all = crash_flag(argv, "--all");
    if (seconds > 0)
        driver->deadline = sys_seconds() + (double)seconds;
    find_tools(driver);
    make_scratch(driver);
    driver->state = crash_state_make(driver, "state", path);
    crash_plan_build(&driver->plan, driver->seed, 0, parts);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)printf("%s: seed %" PRIu64 "\n", name, driver->seed);
}

bool crash_driver_stops(const struct crash_driver *driver)
{
    return driver->failed >= FAILURES_MAX ||
           (driver->deadline > 0 && sys_seconds() >= driver->deadline);
}

bool crash_driver_next(struct crash_driver *driver, const char *parts)
{
    if (driver->deadline <= 0 || crash_driver_stops(driver))
        return false;
    driver->seed++;
    crash_plan_free(&driver->plan);
    crash_plan_build(&driver->plan, driver->seed, 0, parts);
    return true;
}

int crash_driver_end(struct crash_driver *driver)
{
    if (driver->failed == 0)
        sys_remove(driver->scratch);
    else
        (void)printf("the last store: %s\n", driver->area);
    crash_plan_free(&driver->plan);
    (void)printf("%u passed, %u failed\n", driver->passed, driver->failed);
    return driver->failed == 0 && driver->passed > 0 ? 0 : 1;
}

void crash_count(struct crash_driver *driver, bool good, const char *what)
{
    if (good) {
        driver->passed++;
        return;
    }
    driver->failed++;
    (void)printf("FAILED: %s\n  again: %s\n", what, driver->repeat);
}

/* ---- workloads ------------------------------------------------------------------------------- */

struct crash_state *crash_state_make(const struct crash_driver *driver, const char *name,
                                     char path[SYS_PATH_BYTES])
{
    static const struct crash_state zero;
    void *state;
    int fd;

    sys_join(path, driver->scratch, name);
    sys_file_write(path, &zero, sizeof(zero));
    fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0, "open %s", path);
    state = mmap(NULL, sizeof(zero), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(state != MAP_FAILED, "map %s", path);
    (void)close(fd);
    return state;
}

struct words {
    char text[8192];
    size_t used;
    char *list[64];
    size_t count;
};

__attribute__((format(printf, 2, 3))) static void add_word(struct words *words, const char *format,
                                                           ...)
{
    va_list values;
    size_t room = sizeof(words->text) - words->used;
    int size;

    CHECK(words->count < 62, "too many words");
    va_start(values, format);
    size = vsnprintf(words->text + words->used, room, format, values);
    va_end(values);
    CHECK(size >= 0 && (size_t)size < room, "too long");
    words->list[words->count++] = words->text + words->used;
    words->list[words->count] = NULL;
    words->used += (size_t)size + 1;
}

static void add_environment(struct words *words, const struct crash_driver *driver,
                            const struct crash_work *work, const struct crash_fault *fault)
{
    const char *mutant = getenv("QUIPU_MUTANT");

    add_word(words, "PATH=/usr/bin:/bin");
    if (mutant != NULL)
        add_word(words, "QUIPU_MUTANT=%s", mutant);
    if (work->state_file != NULL)
        add_word(words, "CRASH_STATE=%s", work->state_file);
    else
        add_word(words, "CRASH_STATE=%s/state", driver->scratch);
    if (fault == NULL)
        return;
    add_word(words, "LD_PRELOAD=%s/crash_preload.so", driver->tools);
    add_word(words, "CRASH_DIR=%s", driver->area);
    if (fault->calls != NULL)
        add_word(words, "CRASH_CALLS=%s", fault->calls);
    if (fault->kill != NULL)
        add_word(words, "CRASH_KILL=%s", fault->kill);
    if (fault->fail != NULL)
        add_word(words, "CRASH_FAIL=%s", fault->fail);
    if (fault->log != NULL)
        add_word(words, "CRASH_LOG=%s", fault->log);
}

pid_t crash_work_start(const struct crash_driver *driver, const struct crash_work *work,
                       const struct crash_fault *fault)
{
    struct words arguments = {.used = 0};
    struct words environment = {.used = 0};
    pid_t pid;
    int rc;

    add_word(&arguments, "%s/crash_work", driver->tools);
    add_word(&arguments, "%s", driver->store);
    add_word(&arguments, "--seed");
    add_word(&arguments, "%" PRIu64, driver->seed);
    add_word(&arguments, "--parts");
    add_word(&arguments, "%s", work->parts);
    add_word(&arguments, "--writer");
    add_word(&arguments, "%u", work->writer);
    add_word(&arguments, "--from");
    add_word(&arguments, "%u", work->first);
    add_word(&arguments, "--to");
    add_word(&arguments, "%u", work->end);
    if (work->faulty)
        add_word(&arguments, "--faulty");
    if (work->beside)
        add_word(&arguments, "--beside");
    if (work->stops_on_io)
        add_word(&arguments, "--stops-on-io");
    if (work->hold != NULL) {
        add_word(&arguments, "--hold");
        add_word(&arguments, "%s", work->hold);
    }
    if (work->ballast != NULL) {
        add_word(&arguments, "--ballast");
        add_word(&arguments, "%s", work->ballast);
    }
    add_environment(&environment, driver, work, fault);
    rc = posix_spawn(&pid, arguments.list[0], NULL, NULL, arguments.list, environment.list);
    CHECK(rc == 0, "start %s: %s", arguments.list[0], strerror(rc));
    return pid;
}

int crash_work_run(struct crash_driver *driver, const struct crash_work *work,
                   const struct crash_fault *fault)
{
    memset(driver->state, 0, sizeof(*driver->state));
    atomic_store(&driver->state->acked, work->first);
    atomic_store(&driver->state->begun, work->first);
    return sys_wait(crash_work_start(driver, work, fault));
}

/* ---- stores to start from -------------------------------------------------------------------- */

void crash_copy_tree(const char *from, const char *to)
{
    DIR *directory = opendir(from);
    struct dirent *entry;

    CHECK(directory != NULL && mkdir(to, 0700) == 0, "copy %s to %s", from, to);
    for (entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char source[SYS_PATH_BYTES];
        char target[SYS_PATH_BYTES];

        if (entry->d_name[0] == '.')
            continue;
        sys_join(source, from, entry->d_name);
        sys_join(target, to, entry->d_name);
        sys_file_copy(source, target);
    }
    (void)closedir(directory);
}

static void base_path(const struct crash_driver *driver, const char *part,
                      char path[SYS_PATH_BYTES])
{
    char name[32];

    (void)snprintf(name, sizeof(name), "before-%s", part);
    sys_join(path, driver->scratch, name);
}

void crash_bases_make(struct crash_driver *driver, const char *parts)
{
    char path[SYS_PATH_BYTES];

    sys_remove(driver->area);
    CHECK(mkdir(driver->area, 0700) == 0, "make %s", driver->area);
    for (unsigned i = 0; i < driver->plan.part_count; i++) {
        const struct crash_work work = {.first = driver->plan.part_first[i],
                                        .end = driver->plan.part_first[i + 1],
                                        .parts = parts};
        int rc;

        base_path(driver, driver->plan.part_names[i], path);
        sys_remove(path);
        if (i > 0)
            crash_copy_tree(driver->store, path);
        rc = crash_work_run(driver, &work, NULL);
        CHECK(rc == 0, "part %s without any fault: %d", driver->plan.part_names[i], rc);
    }
    (void)snprintf(driver->repeat, sizeof(driver->repeat), "%s --seed %" PRIu64, driver->name,
                   driver->seed);
    (void)crash_inspect_store(driver, (uint32_t)driver->plan.op_count,
                              (uint32_t)driver->plan.op_count, CRASH_READ_FIRST);
}

void crash_base_restore(const struct crash_driver *driver, const char *part)
{
    char path[SYS_PATH_BYTES];

    base_path(driver, part, path);
    sys_remove(driver->area);
    CHECK(mkdir(driver->area, 0700) == 0, "make %s", driver->area);
    if (sys_exists(path))
        crash_copy_tree(path, driver->store);
}

/* ---- inspection ------------------------------------------------------------------------------ */

bool crash_in_child(void (*inspect)(void *payload), void *payload)
{
    pid_t child;
    int status;

    (void)fflush(stdout);
    child = fork();
    CHECK(child >= 0, "fork: %s", strerror(errno));
    if (child == 0) {
        inspect(payload);
        _exit(0);
    }
    status = sys_wait(child);
    if (status > 256)
        (void)fprintf(stderr, "the inspection died of signal %d\n  %s\n", status - 256, sys_note);
    return status == 0;
}

struct inspection {
    const struct crash_driver *driver;
    struct crash_bounds bounds;
    unsigned flags;
};

/* What a creator left that died is gone too, once somebody else has created the store. */
static void inspect_one(void *payload)
{
    const struct inspection *inspection = payload;
    DIR *directory;
    struct dirent *entry;

    (void)crash_inspect(inspection->driver->store, &inspection->bounds, 1, inspection->flags);
    if ((inspection->flags & CRASH_TIDY) == 0)
        return;
    directory = opendir(inspection->driver->area);
    CHECK(directory != NULL, "list the area");
    for (entry = readdir(directory); entry != NULL; entry = readdir(directory))
        CHECK(strcmp(entry->d_name, "store") == 0 || strcmp(entry->d_name, ".") == 0 ||
                  strcmp(entry->d_name, "..") == 0,
              "%s was left", entry->d_name);
    (void)closedir(directory);
}

bool crash_inspect_store(struct crash_driver *driver, uint32_t acked, uint32_t begun,
                         unsigned flags)
{
    struct inspection inspection = {
        .driver = driver, .bounds = {&driver->plan, acked, begun}, .flags = flags};
    bool good;

    (void)snprintf(sys_note, sizeof(sys_note), "%s", driver->repeat);
    good = crash_in_child(inspect_one, &inspection);
    crash_count(driver, good, "the store after the fault");
    return good;
}
