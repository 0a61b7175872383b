/* env.c - asks the kernel, the disk and the compiler. */
#include "env.h"

#include "clock.h"
#include "stats.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef BENCH_BUILD_TYPE
#define BENCH_BUILD_TYPE ""
#endif
#ifndef BENCH_LMDB_VERSION
#define BENCH_LMDB_VERSION ""
#endif

#if defined(__OPTIMIZE__)
enum { OPTIMIZED = 1 };
#else
enum { OPTIMIZED = 0 };
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

#define XFS_MAGIC 0x58465342
#define ZFS_MAGIC 0x2fc12fc1

enum {
    FLUSHES = 50,
    FLUSH_BYTES = 4096,
    FLUSH_US_MIN = 20, /* no disk that keeps its word is faster */
    PATH_BYTES_MAX = 4096,
    LINE_BYTES_MAX = 512
};

struct file_system {
    unsigned long magic;
    const char *name;
};

static const struct file_system file_systems[] = {
    {EXT4_SUPER_MAGIC, "ext4"},   {XFS_MAGIC, "xfs"},
    {BTRFS_SUPER_MAGIC, "btrfs"}, {F2FS_SUPER_MAGIC, "f2fs"},
    {ZFS_MAGIC, "zfs"},           {TMPFS_MAGIC, "tmpfs"},
    {RAMFS_MAGIC, "ramfs"},       {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
    {NFS_SUPER_MAGIC, "nfs"},
};

static void warn(struct bench_env *env, const char *text)
{
    if (env->warning_count < BENCH_WARNINGS_MAX) {
        env->warnings[env->warning_count] = text;
        env->warning_count++;
    }
}

static void read_file_system(struct bench_env *env, const char *directory)
{
    struct statfs found;
    size_t i;

    if (statfs(directory, &found) < 0)
        return;
    bench_text_set(env->file_system, sizeof(env->file_system), "file system 0x%lx",
                   (unsigned long)found.f_type);
    for (i = 0; i < sizeof(file_systems) / sizeof(file_systems[0]); i++) {
        if (file_systems[i].magic == (unsigned long)found.f_type) {
            bench_text_set(env->file_system, sizeof(env->file_system), "%s", file_systems[i].name);
        }
    }
    if (found.f_type == TMPFS_MAGIC || found.f_type == RAMFS_MAGIC) {
        warn(env, "the directory is in memory, not on a disk: durability costs nothing here, and "
                  "the figures prove nothing");
    }
}

static void read_cpu(struct bench_env *env)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[LINE_BYTES_MAX];

    env->cpus = sysconf(_SC_NPROCESSORS_ONLN);
    env->memory_bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    bench_text_set(env->cpu, sizeof(env->cpu), "unknown processor");
    if (file == NULL)
        return;
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *value = strchr(line, ':');

        if (strncmp(line, "model name", 10) == 0 && value != NULL) {
            bench_text_set(env->cpu, sizeof(env->cpu), "%.*s", (int)strcspn(value + 2, "\n"),
                           value + 2);
            break;
        }
    }
    (void)fclose(file);
}

static void read_build(struct bench_env *env)
{
    struct utsname system;

    if (uname(&system) == 0) {
        bench_text_set(env->kernel, sizeof(env->kernel), "%.16s %.64s %.32s", system.sysname,
                       system.release, system.machine);
    }
    bench_text_set(env->compiler, sizeof(env->compiler), "%s", __VERSION__);
    bench_text_set(env->build_type, sizeof(env->build_type), "%s",
                   BENCH_BUILD_TYPE[0] != 0 ? BENCH_BUILD_TYPE : "no build type");
    bench_text_set(env->lmdb, sizeof(env->lmdb), "%s", BENCH_LMDB_VERSION);
    if (!OPTIMIZED || SANITIZED) {
        warn(env, "this is a debug build, not optimized or with sanitizers: build with "
                  "-DCMAKE_BUILD_TYPE=Release");
    }
}

/* The same 4 KiB again and again: nothing but the flush is left. */
static int flush_repeatedly(int fd, double *flush_us)
{
    char bytes[FLUSH_BYTES];
    double took_us[FLUSHES];
    int i;

    for (i = -1; i < FLUSHES; i++) { /* the first one allocates the block and does not count */
        double start_us = bench_clock_us();

        memset(bytes, 'a' + (i & 15), sizeof(bytes));
        if (pwrite(fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes) || fdatasync(fd) < 0)
            return -1;
        if (i >= 0)
            took_us[i] = bench_clock_us() - start_us;
    }
    *flush_us = bench_stats_spread(took_us, FLUSHES).median;
    return 0;
}

static int read_flush(struct bench_env *env, const char *directory)
{
    char path[PATH_BYTES_MAX];
    int kept_errno = 0;
    int fd;
    int rc;

    bench_text_set(path, sizeof(path), "%s/quipu-bench-%ld-flush", directory, (long)getpid());
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    rc = flush_repeatedly(fd, &env->flush_us);
    if (rc < 0)
        kept_errno = errno;
    close(fd);
    unlink(path);
    errno = kept_errno;
    if (rc == 0 && env->flush_us < FLUSH_US_MIN) {
        warn(env, "a flush takes less than 20 us: this disk keeps nothing when the power goes, and "
                  "the figures prove nothing");
    }
    return rc;
}

int bench_env_read(struct bench_env *env, const char *directory)
{
    memset(env, 0, sizeof(*env));
    env->flush_us = -1;
    read_cpu(env);
    read_build(env);
    read_file_system(env, directory);
    return read_flush(env, directory);
}
