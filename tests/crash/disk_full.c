/* disk_full.c - a disk without room, at each moment of the workload: on a small tmpfs, and on ext4
 * in a file. What is in the store can be read meanwhile, and when there is room it works again.
 *
 *     disk_full [--seed N] [--all] [--seconds N]
 *
 * Mounts in a namespace of its own. Skipped (77) where that is not allowed. */
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SKIPPED = 77, KIB = 1024, TMPFS_KIB = 16 * KIB, EXT4_KIB = 32 * KIB };

static const char parts[] = "create,append,batch,look,reindex,merge,grow";

struct filling {
    struct crash_driver driver;
    struct sys_random random;
    char mount[SYS_PATH_BYTES];
    char ballast[SYS_PATH_BYTES];
    unsigned full; /* operations that were told so */
};

/* A file that leaves so many KiB free. */
static void fill(const struct filling *filling, uint64_t left_kib)
{
    static const char block[64 * KIB];
    struct statvfs space;
    int fd = open(filling->ballast, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint64_t bytes;

    CHECK(fd >= 0 && statvfs(filling->mount, &space) == 0, "fill %s", filling->ballast);
    bytes = (uint64_t)space.f_bavail * space.f_frsize;
    bytes = bytes > left_kib * KIB ? bytes - left_kib * KIB : 0;
    while (bytes > 0) {
        size_t size = bytes < sizeof(block) ? (size_t)bytes : sizeof(block);
        ssize_t written = write(fd, block, size);

        if (written <= 0)
            break;
        bytes -= (uint64_t)written;
    }
    (void)close(fd);
}

static void run_full(struct filling *filling, unsigned part, uint64_t left_kib)
{
    struct crash_driver *driver = &filling->driver;
    uint32_t end = driver->plan.part_first[part + 1];
    const struct crash_work work = {.first = driver->plan.part_first[part],
                                    .end = end,
                                    .parts = parts,
                                    .faulty = true,
                                    .ballast = filling->ballast};
    int rc;

    (void)snprintf(driver->repeat, sizeof(driver->repeat), "disk_full --seed %" PRIu64,
                   driver->seed);
    (void)unlink(filling->ballast);
    crash_base_restore(driver, driver->plan.part_names[part]);
    fill(filling, left_kib);
    rc = crash_work_run(driver, &work, NULL);
    filling->full += atomic_load(&driver->state->failures);
    (void)unlink(filling->ballast);
    if (rc != 0)
        (void)printf("part %s with %" PRIu64 " KiB: crash_work ended with %d\n",
                     driver->plan.part_names[part], left_kib, rc);
    if (rc != 0)
        crash_count(driver, false, "the workload did not come to its end");
    else
        (void)crash_inspect_store(driver, end, end, 0);
}

/* On what is mounted: from no room to enough of it, and where the seed says in between. */
static void run_parts(struct filling *filling, const char *what)
{
    static const uint64_t some[] = {0, 16, 60, 150, 400, 1500};
    struct crash_driver *driver = &filling->driver;
    unsigned before = filling->full;

    crash_bases_make(driver, parts);
    for (unsigned part = 0; part < driver->plan.part_count; part++) {
        for (size_t i = 0; i < 6 && !crash_driver_stops(driver); i++)
            run_full(filling, part, some[i] + 4 * sys_below(&filling->random, 1 + some[i] / 8));
        for (uint64_t left = 0; driver->all && left < 600 && !crash_driver_stops(driver); left += 4)
            run_full(filling, part, left);
    }
    (void)printf("  %-6s %4u times full\n", what, filling->full - before);
}

static bool command(const char *format, const char *first, const char *second)
{
    char text[3 * SYS_PATH_BYTES];

    (void)snprintf(text, sizeof(text), format, first, second);
    return system(text) == 0;
}

static bool mount_tmpfs(const struct filling *filling)
{
    char size[32];

    (void)snprintf(size, sizeof(size), "size=%dk,mode=700", TMPFS_KIB);
    return mount("tmpfs", filling->mount, "tmpfs", 0, size) == 0;
}

static bool mount_ext4(const struct filling *filling)
{
    char image[SYS_PATH_BYTES];
    int fd;
    bool good;

    sys_join(image, filling->driver.scratch, "ext4");
    fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    good = fd >= 0 && ftruncate(fd, (off_t)EXT4_KIB * KIB) == 0;
    if (fd >= 0)
        (void)close(fd);
    return good && command("mkfs.ext4 -q -F -m 0 %s >%s 2>&1", image, "/dev/null") &&
           command("mount -o loop %s %s >/dev/null 2>&1", image, filling->mount);
}

int main(int argc, char **argv)
{
    static bool (*const mounts[])(const struct filling *) = {mount_tmpfs, mount_ext4};
    static const char *const names[] = {"tmpfs", "ext4"};
    struct filling filling = {.full = 0};
    struct crash_driver *driver = &filling.driver;
    unsigned mounted = 0;

    (void)argc;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        (void)printf("skipped: mounting is not allowed here\n");
        return SKIPPED;
    }
    crash_driver_begin(driver, "disk_full", argv, parts);
    sys_join(filling.mount, driver->scratch, "disk");
    sys_join(filling.ballast, filling.mount, "ballast");
    sys_join(driver->area, filling.mount, "area");
    sys_join(driver->store, driver->area, "store");
    CHECK(mkdir(filling.mount, 0700) == 0, "make %s", filling.mount);
    do {
        filling.random.state = driver->seed;
        for (size_t i = 0; i < 2; i++) {
            if (!mounts[i](&filling)) {
                (void)printf("  %s is left out: it cannot be mounted\n", names[i]);
                continue;
            }
            mounted++;
            run_parts(&filling, names[i]);
            CHECK(umount2(filling.mount, 0) == 0, "unmount: %s", strerror(errno));
        }
    } while (mounted > 0 && crash_driver_next(driver, parts));
    (void)printf("disk full: %u times\n", filling.full);
    if (mounted == 0) {
        sys_remove(driver->scratch);
        return SKIPPED;
    }
    return crash_driver_end(driver);
}
