/* support_system.c - see the header. A failure of the machine ends the test with a word. */
#include "support_system.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

char sys_note[512];

void sys_fail(const char *file, int line, const char *what, const char *format, ...)
{
    va_list values;

    (void)fflush(stdout);
    (void)fprintf(stderr, "%s:%d: (%s) ", file, line, what);
    va_start(values, format);
    (void)vfprintf(stderr, format, values);
    va_end(values);
    (void)fprintf(stderr, "\n  %s\n", sys_note);
    (void)fflush(stderr);
    _exit(1);
}

/* ---- random numbers -------------------------------------------------------------------------- */

uint64_t sys_next(struct sys_random *random)
{
    uint64_t mixed;

    random->state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = random->state;
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

uint64_t sys_below(struct sys_random *random, uint64_t bound)
{
    return bound == 0 ? 0 : sys_next(random) % bound;
}

bool sys_chance(struct sys_random *random, unsigned percent)
{
    return sys_below(random, 100) < percent;
}

uint64_t sys_seed(void)
{
    uint64_t seed = 0;

    CHECK(getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed), "no random seed");
    return seed % 1000000000;
}

/* ---- files ----------------------------------------------------------------------------------- */

void sys_directory(char path[SYS_PATH_BYTES], bool in_memory)
{
    const char *base = getenv("TMPDIR");

    if (base == NULL || base[0] == '\0')
        base = in_memory && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(path, SYS_PATH_BYTES, "%.200s/quipu-test-XXXXXX", base);
    CHECK(mkdtemp(path) != NULL, "make %s: %s", path, strerror(errno));
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

void sys_remove(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void sys_join(char out[SYS_PATH_BYTES], const char *directory, const char *name)
{
    int size = snprintf(out, SYS_PATH_BYTES, "%s/%s", directory, name);

    CHECK(size > 0 && size < SYS_PATH_BYTES, "path too long");
}

bool sys_exists(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

static int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    CHECK(fd >= 0, "open %s: %s", path, strerror(errno));
    return fd;
}

uint64_t sys_file_size(const char *path)
{
    struct stat info;

    CHECK(stat(path, &info) == 0, "stat %s: %s", path, strerror(errno));
    return (uint64_t)info.st_size;
}

/* FNV-1a */
uint64_t sys_file_sum(const char *path)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    unsigned char bytes[65536];
    int fd = open_file(path, O_RDONLY);
    ssize_t size;

    do {
        size = read(fd, bytes, sizeof(bytes));
        for (ssize_t i = 0; i < size; i++)
            sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    } while (size > 0);
    (void)close(fd);
    return sum;
}

void sys_file_copy(const char *from, const char *to)
{
    unsigned char bytes[65536];
    int in = open_file(from, O_RDONLY);
    int out = open_file(to, O_WRONLY | O_CREAT | O_TRUNC);
    ssize_t size;

    do {
        size = read(in, bytes, sizeof(bytes));
        if (size > 0)
            CHECK(write(out, bytes, (size_t)size) == size, "write %s", to);
    } while (size > 0);
    (void)close(in);
    (void)close(out);
}

void sys_file_write(const char *path, const void *bytes, size_t size)
{
    int fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);

    CHECK(write(fd, bytes, size) == (ssize_t)size, "write %s", path);
    (void)close(fd);
}

void sys_file_read(const char *path, uint64_t at, void *bytes, size_t size)
{
    int fd = open_file(path, O_RDONLY);

    CHECK(pread(fd, bytes, size, (off_t)at) == (ssize_t)size, "read %s", path);
    (void)close(fd);
}

void sys_file_patch(const char *path, uint64_t at, const void *bytes, size_t size)
{
    int fd = open_file(path, O_WRONLY);

    CHECK(pwrite(fd, bytes, size, (off_t)at) == (ssize_t)size, "write %s", path);
    (void)close(fd);
}

/* ---- processes and time ---------------------------------------------------------------------- */

pid_t sys_spawn(const char *const *arguments)
{
    const char *all[16] = {"/proc/self/exe"};
    size_t count = 1;
    pid_t pid;
    int rc;

    for (; arguments[count - 1] != NULL; count++) {
        CHECK(count < 15, "too many arguments");
        all[count] = arguments[count - 1];
    }
    rc = posix_spawn(&pid, all[0], NULL, NULL, (char *const *)(uintptr_t)all, environ);
    CHECK(rc == 0, "spawn: %s", strerror(rc));
    return pid;
}

int sys_wait(pid_t pid)
{
    int status = 0;
    pid_t got;

    do
        got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    CHECK(got == pid, "wait: %s", strerror(errno));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

double sys_seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void sys_sleep_ms(unsigned milliseconds)
{
    struct timespec time = {.tv_sec = milliseconds / 1000,
                            .tv_nsec = (long)(milliseconds % 1000) * 1000000L};

    (void)nanosleep(&time, NULL);
}
