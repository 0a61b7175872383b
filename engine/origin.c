/* origin.c - asks /proc, each time anew. That takes 13 to 35 microseconds for a process: who is
 * asked for with every commit is watched through a descriptor, which takes 0.4. */
#include "origin.h"

#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* A field of a line of /proc/PID/stat, as its number counts in proc(5). NULL: there is none. The
 * name in field 2 may hold anything, but ends with the last parenthesis. */
static const char *stat_field(const char *line, int number)
{
    const char *at = strrchr(line, ')');

    for (int field = 3; at != NULL && field <= number; field++)
        at = strchr(at + 1, ' ');
    return at != NULL ? at + 1 : NULL;
}

/* Dead, and nobody has asked for its exit code. The state is that of the first thread, which may
 * end before the others. */
static bool is_zombie(const char *line)
{
    const char *state = stat_field(line, 3);
    const char *threads = stat_field(line, 20);

    return state != NULL && threads != NULL && (*state == 'Z' || *state == 'X') &&
           strtol(threads, NULL, 10) <= 1;
}

/* /proc says nothing. A signal that is not sent needs no descriptor. */
static uint64_t gone_or_not_known(uint32_t pid)
{
    if (pid == 0 || pid > INT32_MAX || (kill((pid_t)pid, 0) != 0 && errno != EPERM))
        return 0;
    return QP_ORIGIN_NOT_KNOWN;
}

uint64_t qp_origin_start_time(uint32_t pid)
{
    char path[32];
    char line[1024];
    const char *start;
    ssize_t size;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return gone_or_not_known(pid);
    size = read(fd, line, sizeof(line) - 1);
    (void)close(fd);
    if (size <= 0)
        return gone_or_not_known(pid);
    line[size] = '\0';
    start = stat_field(line, 22);
    return start == NULL || is_zombie(line) ? 0 : strtoull(start, NULL, 10);
}

static enum qp_origin_life ask(uint32_t pid, uint64_t start_time)
{
    uint64_t found = qp_origin_start_time(pid);

    if (found == QP_ORIGIN_NOT_KNOWN)
        return QP_ORIGIN_MAY_LIVE;
    return found == start_time ? QP_ORIGIN_LIVES : QP_ORIGIN_GONE;
}

/* The descriptor first, then whose it is: if the pid is still that of the one who was asked for, it
 * was so when the descriptor was made. A kernel that has none of the kind (before 5.3), or forbids
 * it, is asked through /proc each time. */
static enum qp_origin_life watch_process(struct qp_origin_watch *watch, uint32_t pid,
                                         uint64_t start_time)
{
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    enum qp_origin_life life = ask(pid, start_time);

    if (life == QP_ORIGIN_LIVES)
        *watch = (struct qp_origin_watch){.pid = pid, .fd = fd, .start_time = start_time};
    else if (fd >= 0)
        (void)close(fd);
    return life;
}

enum qp_origin_life qp_origin_lives(struct qp_origin_watch *watch, uint32_t pid,
                                    uint64_t start_time)
{
    struct pollfd ended = {.events = POLLIN};

    if (pid == 0 || start_time == 0)
        return QP_ORIGIN_GONE;
    if (watch->pid != pid || watch->start_time != start_time) {
        qp_origin_unwatch(watch);
        return watch_process(watch, pid, start_time);
    }
    ended.fd = watch->fd;
    if (watch->fd < 0 || poll(&ended, 1, 0) < 0)
        return ask(pid, start_time);
    /* It can be read once all threads have ended. */
    return ended.revents == 0 ? QP_ORIGIN_LIVES : QP_ORIGIN_GONE;
}

void qp_origin_unwatch(struct qp_origin_watch *watch)
{
    if (watch->pid != 0 && watch->fd >= 0)
        (void)close(watch->fd);
    *watch = (struct qp_origin_watch){0};
}
