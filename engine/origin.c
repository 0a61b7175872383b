/* origin.c - asks /proc, each time anew: an open does so a few times, nothing else does. */
#include "origin.h"

#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t namespace_inode(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 ? (uint64_t)info.st_ino : 0;
}

int qp_origin_read(struct qp_origin *origin, quipu_error *error)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got;

    memset(origin, 0, sizeof(*origin));
    if (fd < 0)
        return qp_fail_os(error, QUIPU_SYSTEM, errno, "read the boot id (is /proc mounted?)");
    got = read(fd, origin->boot, sizeof(origin->boot));
    (void)close(fd);
    if (got <= 0)
        return qp_fail(error, QUIPU_SYSTEM, "the boot id is empty");
    origin->pid_namespace = namespace_inode("/proc/self/ns/pid");
    origin->time_namespace = namespace_inode("/proc/self/ns/time");
    return QUIPU_OK;
}

uint64_t qp_origin_start_time(uint32_t pid)
{
    char path[32];
    char line[1024];
    ssize_t size;
    char *at;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    size = read(fd, line, sizeof(line) - 1);
    (void)close(fd);
    if (size <= 0)
        return 0;
    line[size] = '\0';
    at = strrchr(line, ')'); /* the name before it may hold anything; field 3 follows */
    if (at != NULL && (at[2] == 'Z' || at[2] == 'X'))
        return 0; /* dead, and nobody has asked for its exit code */
    for (int field = 3; at != NULL && field <= 22; field++)
        at = strchr(at + 1, ' ');
    return at != NULL ? strtoull(at + 1, NULL, 10) : 0;
}
