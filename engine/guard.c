/* guard.c - F_OFD_SETLK, polled. The bytes need not exist in the file, which stays empty:
 *
 *     byte 0        1                          2
 *     | door       | life                     | merger             |
 *       exclusive    shared: a handle lives     exclusive
 *                    exclusive: nobody else
 *
 * Taken in this order (docs/ARCHITECTURE.md 5.2). Refuses to know who else has one: the kernel does
 * not tell of locks of this kind which process they are of. */
#include "guard.h"

#include "clock.h"
#include "status.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Never removed and made anew while somebody may have it: two files would be two sets of locks.
 * That is why commits look whether the inode is still the same. */
int qp_guard_open(const struct qp_place *place, struct qp_guard *guard, quipu_error *error)
{
    struct stat info = {0};
    int rc = QUIPU_OK;

    guard->fd = openat(place->fd, QP_GUARD_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (guard->fd < 0) {
        return qp_fail_os(error, errno == ENOSPC || errno == EDQUOT ? QUIPU_FULL : QUIPU_UNSAFE,
                          errno, "open %s: readers need write access to the lock files",
                          QP_GUARD_FILE);
    }
    if (fstat(guard->fd, &info) != 0)
        rc = qp_fail_os(error, QUIPU_SYSTEM, errno, "stat %s", QP_GUARD_FILE);
    else if (!S_ISREG(info.st_mode))
        rc = qp_fail(error, QUIPU_UNSAFE, "%s is not a regular file", QP_GUARD_FILE);
    guard->inode = (uint64_t)info.st_ino;
    if (rc < 0)
        qp_guard_close(guard);
    return rc;
}

void qp_guard_close(struct qp_guard *guard)
{
    if (guard->fd >= 0)
        (void)close(guard->fd);
    guard->fd = -1;
}

static struct flock range(enum qp_guard_byte byte, short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
}

int qp_guard_try(const struct qp_guard *guard, enum qp_guard_byte byte, enum qp_guard_mode mode,
                 quipu_error *error)
{
    struct flock lock = range(byte, mode == QP_GUARD_SHARED ? F_RDLCK : F_WRLCK);

    assert(guard->fd >= 0 && byte <= QP_GUARD_MERGER);
    if (fcntl(guard->fd, F_OFD_SETLK, &lock) == 0)
        return QUIPU_ROW;
    if (errno == EAGAIN || errno == EACCES || errno == EINTR)
        return QUIPU_OK;
    return qp_fail_os(error, QUIPU_SYSTEM, errno, "lock byte %d of %s", (int)byte, QP_GUARD_FILE);
}

/* At least one try, even if the deadline has passed. A millisecond is short against an open, a
 * close and a merge, which are what is waited for. */
int qp_guard_lock(const struct qp_guard *guard, enum qp_guard_byte byte, enum qp_guard_mode mode,
                  int64_t deadline_ns, quipu_error *error)
{
    static const char *const what[] = {"opens or closes it", "uses it", "merges its index"};

    assert((size_t)byte < sizeof(what) / sizeof(what[0]));
    for (;;) {
        int rc = qp_guard_try(guard, byte, mode, error);

        if (rc < 0)
            return rc;
        if (rc == QUIPU_ROW)
            return QUIPU_OK;
        if (qp_clock_monotonic_ns() >= deadline_ns)
            return qp_fail(error, QUIPU_BUSY, "the store is busy: another process %s", what[byte]);
        qp_clock_sleep_ms(1);
    }
}

/* Cannot fail for a lock of ours; closing ends it in any case. */
void qp_guard_unlock(const struct qp_guard *guard, enum qp_guard_byte byte)
{
    struct flock lock = range(byte, F_UNLCK);

    if (guard->fd >= 0)
        (void)fcntl(guard->fd, F_OFD_SETLK, &lock);
}

/* LMDB locks byte 0 of its lock file as long as an environment is open, shared: a lock that
 * excludes all shows any. GETLK only asks. */
int qp_guard_probe(const struct qp_place *place, const char *lock_file, bool *held,
                   quipu_error *error)
{
    struct flock lock = range(QP_GUARD_DOOR, F_WRLCK);
    int fd = openat(place->fd, lock_file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    int rc;

    *held = false;
    if (fd < 0 && errno == ENOENT)
        return QUIPU_OK;
    if (fd < 0)
        return qp_fail_os(error, QUIPU_UNSAFE, errno, "open %s", lock_file);
    rc = fcntl(fd, F_OFD_GETLK, &lock);
    *held = rc == 0 && lock.l_type != F_UNLCK;
    if (rc != 0)
        rc = qp_fail_os(error, QUIPU_SYSTEM, errno, "look at the lock of %s", lock_file);
    (void)close(fd);
    return rc;
}
