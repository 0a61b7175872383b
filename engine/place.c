/* place.c - system calls on the directory and its names. What the files mean is not known here, but
 * for the one thing that must be seen before LMDB maps a file: whether it ends too early.
 *
 * Everything goes through the directory's descriptor, so that all files are of one directory even
 * if somebody renames it meanwhile. How a store comes to be, in a way that a power cut leaves all
 * of it or nothing:
 *
 *     parent/.NAME.new-PID-N/     made, and locked for as long as its creator lives
 *                log.mdb          written by the caller, flushed; then the directory is flushed
 *     parent/NAME/                by rename(): onto nothing, or an empty directory, or it fails
 *     parent/                     flushed
 *
 * What a creator leaves that dies in between, the next one removes. */
#include "place.h"

#include "page.h"
#include "status.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char *const store_files[] = {QP_LOG_FILE,        QP_LOG_LOCK_FILE, QP_INDEX_FILE,
                                          QP_INDEX_LOCK_FILE, QP_GUARD_FILE,    QP_SHARED_FILE};

/* So many creators of one store in one process at a time, or something else is wrong. */
enum { SIBLINGS_MAX = 1000, STORE_FILES = sizeof(store_files) / sizeof(store_files[0]) };

/* As LMDB lays out its lock file; test_place.c holds it against what LMDB makes. */
enum { LOCK_HEAD_BYTES = 128, LOCK_SLOT_BYTES = 64 };

/* ---- is it safe? ---- */

/* File systems on which locks or shared maps of two machines do not see each other. FUSE is one of
 * them because nobody knows what is behind it. */
static bool is_network(int64_t type)
{
    static const int64_t types[] = {NFS_SUPER_MAGIC,       SMB_SUPER_MAGIC, 0xff534d42 /* CIFS */,
                                    0xfe534d42 /* SMB2 */, V9FS_MAGIC,      FUSE_SUPER_MAGIC,
                                    0x00c36400 /* Ceph */, AFS_SUPER_MAGIC, CODA_SUPER_MAGIC};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (type == types[i])
            return true;
    return false;
}

/* Whoever may write the directory may exchange its files, and what is in `shared` is believed. */
static int check_safe(int fd, const struct stat *info, const char *path, uint32_t flags,
                      quipu_error *error)
{
    struct statfs system;

    if ((flags & QUIPU_OPEN_UNSAFE_PATH) == 0) {
        if (info->st_uid != geteuid())
            return qp_fail(error, QUIPU_UNSAFE, "%s belongs to user %u", path,
                           (unsigned)info->st_uid);
        if ((info->st_mode & (S_IWGRP | S_IWOTH)) != 0)
            return qp_fail(error, QUIPU_UNSAFE, "%s may be written by others (mode %o)", path,
                           (unsigned)info->st_mode & 07777U);
    }
    if ((flags & QUIPU_OPEN_NETWORK_FS) != 0)
        return QUIPU_OK;
    if (fstatfs(fd, &system) != 0)
        return qp_fail_os(error, QUIPU_SYSTEM, errno, "look at the file system of %s", path);
    if (is_network((int64_t)system.f_type))
        return qp_fail(error, QUIPU_UNSAFE, "%s is on a network file system (type %lx)", path,
                       (unsigned long)system.f_type);
    return QUIPU_OK;
}

/* A store, an empty directory, or somebody else's things? */
static int look_inside(int fd, const char *path, enum qp_place_state *state, quipu_error *error)
{
    struct dirent *entry;
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* closedir() closes it */
    DIR *directory = again >= 0 ? fdopendir(again) : NULL;
    char other[64] = "";
    bool log = false;

    if (directory == NULL) {
        if (again >= 0)
            (void)close(again);
        return qp_fail_os(error, QUIPU_SYSTEM, errno, "list %s", path);
    }
    for (entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (strcmp(entry->d_name, QP_LOG_FILE) == 0)
            log = true;
        else if (other[0] == '\0')
            (void)snprintf(other, sizeof(other), "%.60s", entry->d_name);
    }
    (void)closedir(directory);
    if (!log && other[0] != '\0')
        return qp_fail(error, QUIPU_UNSAFE, "%s is not a store: %s is in it and no %s", path, other,
                       QP_LOG_FILE);
    *state = log ? QP_PLACE_STORE : QP_PLACE_EMPTY;
    return QUIPU_OK;
}

/* "dir/" and "dir" are one directory, but with the slash a link at the end would be followed. */
static int trimmed(const char *path, char out[PATH_MAX], quipu_error *error)
{
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/')
        size--;
    if (size == 0 || size >= PATH_MAX)
        return qp_fail(error, QUIPU_INVALID, "the path is %s", size == 0 ? "empty" : "too long");
    memcpy(out, path, size);
    out[size] = '\0';
    return QUIPU_OK;
}

/* After open() has failed: a directory that is not there is an answer, not a failure. */
static int open_failed(const char *path, enum qp_place_state *state, quipu_error *error)
{
    int reason = errno;

    if (reason == ENOENT) {
        *state = QP_PLACE_MISSING;
        return QUIPU_OK;
    }
    if (reason == ELOOP || reason == ENOTDIR)
        return qp_fail(error, QUIPU_UNSAFE, "%s is a link or no directory", path);
    return qp_fail_os(error, reason == EACCES ? QUIPU_UNSAFE : QUIPU_SYSTEM, reason, "open %s",
                      path);
}

/* What is in it is looked at before whose it is: that a directory is no store says more. */
int qp_place_open(const char *path, uint32_t flags, struct qp_place *place,
                  enum qp_place_state *state, quipu_error *error)
{
    char plain[PATH_MAX];
    struct stat info;
    int rc = trimmed(path, plain, error);

    place->fd = -1;
    if (rc < 0)
        return rc;
    place->fd = open(plain, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
                                ((flags & QUIPU_OPEN_UNSAFE_PATH) == 0 ? O_NOFOLLOW : 0));
    if (place->fd < 0)
        return open_failed(plain, state, error);

    rc = look_inside(place->fd, plain, state, error);
    if (rc < 0 || *state == QP_PLACE_EMPTY)
        goto done;
    if (fstat(place->fd, &info) != 0) {
        rc = qp_fail_os(error, QUIPU_SYSTEM, errno, "stat %s", plain);
        goto done;
    }
    place->device = (uint64_t)info.st_dev;
    place->inode = (uint64_t)info.st_ino;
    rc = check_safe(place->fd, &info, plain, flags, error);

done:
    if (rc < 0 || *state == QP_PLACE_EMPTY)
        qp_place_close(place);
    return rc;
}

void qp_place_close(struct qp_place *place)
{
    if (place->fd >= 0)
        (void)close(place->fd);
    place->fd = -1;
}

/* ---- its files ---- */

void qp_place_path(const struct qp_place *place, const char *name, char path[QP_PLACE_PATH_BYTES])
{
    int size = snprintf(path, QP_PLACE_PATH_BYTES, "/proc/self/fd/%d/%s", place->fd, name);

    assert(size > 0 && size < QP_PLACE_PATH_BYTES);
    (void)size;
}

/* A file that is missing, or cannot be looked at, is not the same. The device need not be compared:
 * the directory's own entries are of its file system, unless something is mounted on one. Not by
 * stat(): each commit asks, and who asks for times makes Linux (6.13) give the next write a time of
 * its own, which a flush may have to wait for. */
bool qp_place_same(const struct qp_place *place, const char *name, uint64_t inode)
{
    struct statx info;
    struct stat old;

    assert(place->fd >= 0);
    if (statx(place->fd, name, AT_SYMLINK_NOFOLLOW, STATX_INO, &info) == 0)
        return info.stx_ino == inode;
    return errno != ENOENT && fstatat(place->fd, name, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
           (uint64_t)old.st_ino == inode; /* a sandbox may not know statx() */
}

int qp_place_inode(const struct qp_place *place, const char *name, uint64_t *inode,
                   quipu_error *error)
{
    struct stat info;

    assert(place->fd >= 0);
    if (fstatat(place->fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return qp_fail_os(error, QUIPU_SYSTEM, errno, "stat %s", name);
    *inode = (uint64_t)info.st_ino;
    return QUIPU_OK;
}

int qp_place_remove(const struct qp_place *place, const char *name, quipu_error *error)
{
    assert(place->fd >= 0);
    if (unlinkat(place->fd, name, 0) != 0 && errno != ENOENT)
        return qp_fail_os(error, QUIPU_SYSTEM, errno, "remove %s", name);
    return QUIPU_OK;
}

/* LMDB's head and a slot for each reader, to the byte: of a larger file LMDB would make more slots.
 * What else may be wrong with the file LMDB says; and a file system that cannot reserve is left to
 * its luck, as LMDB leaves it. */
int qp_place_reserve_lock(const struct qp_place *place, const char *name, uint32_t readers_max,
                          quipu_error *error)
{
    off_t bytes = LOCK_HEAD_BYTES + (off_t)readers_max * LOCK_SLOT_BYTES;
    struct stat info;
    int fd = openat(place->fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = fd >= 0 ? 0 : errno;

    assert(place->fd >= 0 && readers_max > 0);
    if (fd >= 0) {
        if (fstat(fd, &info) == 0 && info.st_size > bytes)
            bytes = info.st_size; /* of an earlier opener that wanted more */
        do {
            rc = fallocate(fd, 0, 0, bytes) == 0 ? 0 : errno;
        } while (rc == EINTR);
        (void)close(fd);
    }
    if (rc == ENOSPC || rc == EDQUOT || rc == EFBIG)
        return qp_fail_os(error, QUIPU_FULL, rc, "make room for %s", name);
    return QUIPU_OK;
}

/* The second meta page begins where the first says that a page ends; the newer of the two counts,
 * as it does for LMDB. The size is asked last: another process may enlarge the file, and only then
 * its meta page. Returns: 0, or why the file cannot be read: that says nothing about its bytes. */
static int judge(int fd, enum qp_file_state *state)
{
    uint8_t page[QP_PAGE_META_BYTES];
    struct qp_page_meta newest = {0};
    struct stat info;
    uint64_t at = 0;

    for (int i = 0; i < 2; i++) {
        struct qp_page_meta meta;
        ssize_t got = pread(fd, page, sizeof(page), (off_t)at);

        if (got < 0)
            return errno;
        *state = i == 0 ? QP_FILE_FOREIGN : QP_FILE_SHORT;
        if (got != (ssize_t)sizeof(page) || !qp_page_meta_read(page, &meta))
            return 0;
        if (i == 0 || meta.transaction > newest.transaction)
            newest = meta;
        at = meta.page_bytes;
    }
    if (fstat(fd, &info) != 0)
        return errno;
    *state = (uint64_t)info.st_size / newest.page_bytes <= newest.last_page ? QP_FILE_SHORT
                                                                            : QP_FILE_WHOLE;
    return 0;
}

/* O_NONBLOCK: opening a fifo that somebody has put here must not wait for its other end. */
int qp_place_probe(const struct qp_place *place, const char *name, enum qp_file_state *state,
                   quipu_error *error)
{
    struct stat info;
    int fd = openat(place->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int rc = QUIPU_OK;
    int os_error = 0;

    assert(place->fd >= 0);
    *state = QP_FILE_MISSING;
    if (fd < 0 && errno == ENOENT)
        return QUIPU_OK;
    if (fd < 0)
        return qp_fail_os(error, errno == ELOOP || errno == EACCES ? QUIPU_UNSAFE : QUIPU_SYSTEM,
                          errno, "open %s", name);
    if (fstat(fd, &info) != 0)
        rc = qp_fail_os(error, QUIPU_SYSTEM, errno, "stat %s", name);
    else if (!S_ISREG(info.st_mode))
        rc = qp_fail(error, QUIPU_UNSAFE, "%s is not a regular file", name);
    else if (info.st_nlink != 1)
        rc = qp_fail(error, QUIPU_UNSAFE, "%s has another name: two stores would share it", name);
    else if (info.st_size == 0)
        *state = QP_FILE_EMPTY;
    else
        os_error = judge(fd, state);
    if (os_error != 0)
        rc = qp_fail_os(error, QUIPU_IO, os_error, "read %s", name);
    (void)close(fd);
    return rc;
}

/* fsync() of a file or, as ".", of the directory: its names. A descriptor that reads is enough. */
static int flush(int directory, const char *name, quipu_error *error)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    int rc = QUIPU_OK;

    if (QP_MUTANT(NO_DIR_FLUSH) && name[0] == '.')
        return close(fd);
    if (fd < 0 || fsync(fd) != 0)
        rc = qp_fail_os(error, QUIPU_IO, errno, "flush %s", name);
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

/* Who may not look into the parent has not created the store in it. */
int qp_place_flush_name(const struct qp_place *place, quipu_error *error)
{
    assert(place->fd >= 0);
    if (QP_MUTANT(NAME_UNFLUSHED))
        return QUIPU_OK;
    if (faccessat(place->fd, "..", R_OK, AT_EACCESS) != 0 && errno == EACCES)
        return QUIPU_OK;
    return flush(place->fd, "..", error);
}

/* ---- making one ---- */

/* Where the store is to stand: its parent directory and its name there. */
static int split(const char *path, struct qp_staging *staging, quipu_error *error)
{
    char plain[PATH_MAX] = "";
    char *slash;
    const char *parent = ".";
    const char *name = plain;
    size_t size;
    int rc = trimmed(path, plain, error);

    if (rc < 0)
        return rc;
    slash = strrchr(plain, '/');
    if (slash != NULL) {
        *slash = '\0';
        name = slash + 1;
        parent = slash == plain ? "/" : plain;
    }
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return qp_fail(error, QUIPU_INVALID, "a store cannot be created as \"%s\": name it", path);
    size = strlen(name);
    if (size > QP_STORE_NAME_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "the store's name is too long: %.60s...", name);
    memcpy(staging->name, name, size + 1);

    staging->parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (staging->parent < 0)
        return qp_fail_os(error, errno == ENOENT ? QUIPU_NOT_FOUND : QUIPU_SYSTEM, errno, "open %s",
                          parent);
    return QUIPU_OK;
}

/* Remove a sibling with what a store consists of, and nothing else: if there is more in it, it
 * stays. Its creator holds a shared lock on it, which ends with its process, however that ends. */
static void remove_staged(int parent, const char *staged)
{
    int fd = openat(parent, staged, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) { /* else its creator lives, in another pid namespace */
        for (size_t i = 0; i < STORE_FILES; i++)
            (void)unlinkat(fd, store_files[i], 0);
        (void)unlinkat(parent, staged, AT_REMOVEDIR);
    }
    (void)close(fd);
}

/* Was this made by a process that is gone? A pid that was given out again keeps it until later. */
static bool is_leftover(const char *entry, const char *prefix)
{
    size_t size = strlen(prefix);
    char *end;
    long pid;

    if (strncmp(entry, prefix, size) != 0)
        return false;
    pid = strtol(entry + size, &end, 10);
    return end != entry + size && *end == '-' && pid > 0 && pid <= INT_MAX &&
           kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static void remove_leftovers(const struct qp_staging *staging)
{
    char prefix[sizeof(staging->name) + 8]; /* ".", ".new-" and the 0 */
    int again = openat(staging->parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = again >= 0 ? fdopendir(again) : NULL;
    struct dirent *entry;

    if (directory == NULL) {
        if (again >= 0)
            (void)close(again);
        return; /* they cost space and nothing else */
    }
    (void)snprintf(prefix, sizeof(prefix), ".%s.new-", staging->name);
    for (entry = readdir(directory); entry != NULL; entry = readdir(directory))
        if (is_leftover(entry->d_name, prefix))
            remove_staged(staging->parent, entry->d_name);
    (void)closedir(directory);
}

/* Zeroed first, so that qp_staging_end() may be called whatever fails. */
int qp_staging_begin(const char *path, struct qp_staging *staging, quipu_error *error)
{
    int rc;

    *staging = (struct qp_staging){.parent = -1, .place = {.fd = -1}};
    rc = split(path, staging, error);
    if (rc < 0)
        return rc;
    assert(staging->parent >= 0 && staging->name[0] != '\0');
    remove_leftovers(staging);

    /* Threads of one process may create the same store: each takes the first free number. */
    for (unsigned i = 0; i < SIBLINGS_MAX; i++) {
        (void)snprintf(staging->staged, sizeof(staging->staged), ".%s.new-%ld-%u", staging->name,
                       (long)getpid(), i);
        if (mkdirat(staging->parent, staging->staged, 0700) == 0)
            break;
        if (errno != EEXIST || i + 1 == SIBLINGS_MAX) {
            staging->staged[0] = '\0';
            return qp_fail_os(error, errno == ENOSPC || errno == EDQUOT ? QUIPU_FULL : QUIPU_SYSTEM,
                              errno, "create %s", path);
        }
    }
    staging->place.fd =
        openat(staging->parent, staging->staged, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (staging->place.fd < 0)
        return qp_fail_os(error, QUIPU_SYSTEM, errno, "open %s", staging->staged);
    (void)flock(staging->place.fd, LOCK_SH | LOCK_NB); /* says that we live */
    return QUIPU_OK;
}

/* LMDB's lock file is of the creation and not of the store; it was never flushed. The files before
 * the names that lead to them: a store that can be found is whole. From the rename on it exists,
 * and the last flush may fail all the same: then whoever created it is told IO and may find it
 * there. */
int qp_staging_publish(struct qp_staging *staging, quipu_error *error)
{
    int rc = qp_place_remove(&staging->place, QP_LOG_LOCK_FILE, error);

    assert(staging->parent >= 0 && staging->staged[0] != '\0');
    if (rc == QUIPU_OK)
        rc = flush(staging->place.fd, QP_LOG_FILE, error);
    if (rc == QUIPU_OK)
        rc = flush(staging->place.fd, ".", error);
    if (rc < 0)
        return rc;
    if (renameat(staging->parent, staging->staged, staging->parent, staging->name) != 0) {
        if (errno == ENOTEMPTY || errno == EEXIST)
            return qp_fail(error, QUIPU_TARGET_EXISTS, "%s is there already", staging->name);
        return qp_fail_os(error, errno == ENOSPC || errno == EDQUOT ? QUIPU_FULL : QUIPU_SYSTEM,
                          errno, "rename to %s (a mount point? create the store below it)",
                          staging->name);
    }
    staging->staged[0] = '\0'; /* nothing to remove any more */
    return flush(staging->parent, ".", error);
}

void qp_staging_end(struct qp_staging *staging)
{
    qp_place_close(&staging->place); /* and with it our lock, which would keep us out too */
    if (staging->parent < 0)
        return;
    if (staging->staged[0] != '\0')
        remove_staged(staging->parent, staging->staged);
    (void)close(staging->parent);
    staging->parent = -1;
}
