/* preload.c - crash_preload.so: stands between a program and the C library, counts what it does to
 * the files below one directory, and ends it, lets it fail or writes it down. trace.h says how it
 * is told.
 *
 * It keeps nothing about descriptors: /proc/self/fd says which file one is, whatever was renamed
 * meanwhile. Writes into maps are not seen. */
#include "trace.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

enum when { BEFORE = 1, AFTER, STEP, PAST, SHORT };

static struct {
    char directory[PATH_MAX];
    size_t directory_size; /* 0: nothing is done at all */
    bool counted[CRASH_CLASS_COUNT];
    unsigned kill_at;
    enum when kill_when;
    unsigned steps;
    unsigned fail_at;
    enum when fail_when;
    int fail_errno;
    bool sticky;
    int log;
    uintptr_t lmdb_begin; /* of its code */
    uintptr_t lmdb_end;
} setting = {.log = -1};

static struct crash_state own_state; /* if nobody gave one */
static struct crash_state *state = &own_state;
static atomic_uint past; /* writes and flushes after one that failed */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- settings -------------------------------------------------------------------------------- */

static enum when when_of(const char *text)
{
    if (strncmp(text, "before", 6) == 0)
        return BEFORE;
    if (strncmp(text, "after", 5) == 0)
        return AFTER;
    if (strncmp(text, "past", 4) == 0)
        return PAST;
    return strncmp(text, "step", 4) == 0 ? STEP : SHORT;
}

static void read_settings(void)
{
    const char *classes = getenv("CRASH_CALLS");
    const char *kill_text = getenv("CRASH_KILL");
    const char *fail = getenv("CRASH_FAIL");
    char word[16] = "";

    for (size_t i = 0; i < CRASH_CLASS_COUNT; i++)
        setting.counted[i] = strchr(classes != NULL ? classes : "WSNT", CRASH_CLASSES[i]) != NULL;
    if (kill_text != NULL &&
        sscanf(kill_text, "%u:%15[a-z]:%u", &setting.kill_at, word, &setting.steps) >= 2)
        setting.kill_when = when_of(word);
    if (fail != NULL &&
        sscanf(fail, "%u:%15[a-z]:%d", &setting.fail_at, word, &setting.fail_errno) >= 3)
        setting.fail_when = when_of(word);
    setting.sticky = fail != NULL && strchr(fail, '+') != NULL;
}

static int find_lmdb(struct dl_phdr_info *info, size_t size, void *payload)
{
    (void)size, (void)payload;
    if (strstr(info->dlpi_name, "liblmdb") == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) != 0) {
            setting.lmdb_begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            setting.lmdb_end = setting.lmdb_begin + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

static void map_state(const char *path)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    void *mapped = MAP_FAILED;

    if (fd >= 0)
        mapped = (void *)syscall(SYS_mmap, NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED,
                                 fd, 0);
    if (mapped == MAP_FAILED)
        abort(); /* a driver that counts on it would see nothing */
    (void)close(fd);
    state = mapped;
}

__attribute__((constructor)) static void begin(void)
{
    const char *directory = getenv("CRASH_DIR");
    const char *path = getenv("CRASH_STATE");
    const char *log_path = getenv("CRASH_LOG");

    if (directory == NULL)
        return;
    read_settings();
    (void)dl_iterate_phdr(find_lmdb, NULL);
    if (path != NULL)
        map_state(path);
    if (log_path != NULL) {
        setting.log = (int)syscall(SYS_openat, AT_FDCWD, log_path,
                                   O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (setting.log < 0)
            abort();
    }
    (void)snprintf(setting.directory, sizeof(setting.directory), "%s/", directory);
    setting.directory_size = strlen(setting.directory);
}

/* ---- which files ----------------------------------------------------------------------------- */

static bool is_below(const char *path)
{
    return strncmp(path, setting.directory, setting.directory_size) == 0 ||
           (strlen(path) + 1 == setting.directory_size &&
            strncmp(path, setting.directory, setting.directory_size - 1) == 0);
}

/* The path of a descriptor. */
static bool path_of(int fd, char path[PATH_MAX])
{
    char link[40];
    long size;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    size = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (size <= 0)
        return false;
    path[size] = '\0';
    return true;
}

static bool is_tracked(int fd)
{
    char path[PATH_MAX];

    return setting.directory_size > 0 && path_of(fd, path) && is_below(path);
}

/* A name, taken apart: its directory without links, and the last part. */
struct place {
    bool tracked;
    char directory[PATH_MAX];
    char name[NAME_MAX + 1];
};

static void find_place(int at, const char *path, struct place *place)
{
    char whole[2 * PATH_MAX];
    char base[PATH_MAX] = "";
    char *slash;

    place->tracked = false;
    if (setting.directory_size == 0)
        return;
    if (path[0] == '/')
        base[0] = '\0';
    else if (at == AT_FDCWD ? getcwd(base, sizeof(base)) == NULL : !path_of(at, base))
        return;
    (void)snprintf(whole, sizeof(whole), "%s%s%s", base, base[0] != '\0' ? "/" : "", path);
    slash = strrchr(whole, '/');
    if (slash == NULL || strlen(slash + 1) > NAME_MAX)
        return;
    *slash = '\0';
    (void)snprintf(place->name, sizeof(place->name), "%s", slash + 1);
    if (realpath(whole[0] != '\0' ? whole : "/", place->directory) == NULL)
        return;
    place->tracked = is_below(place->directory);
}

static uint64_t inode_of(int fd)
{
    struct stat info;

    return fstat(fd, &info) == 0 ? (uint64_t)info.st_ino : 0;
}

static uint64_t inode_at(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0 ? (uint64_t)info.st_ino : 0;
}

static uint64_t inode_in(const struct place *place)
{
    char path[PATH_MAX + NAME_MAX + 2];

    (void)snprintf(path, sizeof(path), "%s/%s", place->directory, place->name);
    return inode_at(path);
}

/* ---- the n-th call --------------------------------------------------------------------------- */

static void die(void)
{
    (void)syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

static volatile sig_atomic_t steps_left;

#ifdef __x86_64__
/* The processor traps after the next instruction of what goes on. */
static void set_trap(ucontext_t *going_on)
{
    going_on->uc_mcontext.gregs[REG_EFL] |= 0x100;
}
#else
/* No way to step: it dies at once. */
static void set_trap(ucontext_t *going_on)
{
    (void)going_on;
    die();
}
#endif

/* Runs after each instruction: the flag stays on in the context that goes on. */
static void on_step(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    if (steps_left <= 0)
        die();
    steps_left--;
    set_trap(context);
}

static void die_later(void)
{
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};

    steps_left = (sig_atomic_t)setting.steps;
    (void)sigaction(SIGTRAP, &action, NULL);
    (void)raise(SIGTRAP);
}

struct call {
    bool counted;
    bool fails_after;
    bool is_short;
    unsigned number;
    bool last;   /* it dies when this is done */
    bool logged; /* the log's lock is held, so that its order is the order of the calls */
};

static bool may_fail(unsigned number)
{
    if (setting.fail_at == 0 || atomic_load(&state->off) != 0)
        return false;
    return setting.sticky ? number >= setting.fail_at : number == setting.fail_at;
}

/* false: it fails without doing anything, errno says why. */
static bool enter(struct call *call, enum crash_class class, bool tracked)
{
    *call = (struct call){0};
    if (!tracked)
        return true;
    if (setting.log >= 0 && class != CRASH_ALLOCATION) {
        (void)pthread_mutex_lock(&log_lock);
        call->logged = true;
    }
    if (setting.kill_when == PAST && atomic_load(&state->met) > 0 &&
        (class == CRASH_WRITE || class == CRASH_META || class == CRASH_SYNC))
        call->last = atomic_fetch_add(&past, 1) + 1 == setting.kill_at;
    if (!setting.counted[class])
        return true;
    call->counted = true;
    call->number = atomic_fetch_add(&state->calls, 1) + 1;
    atomic_fetch_add(&state->by_class[class], 1);
    if (call->number == setting.kill_at && setting.kill_when == BEFORE)
        die();
    if (!may_fail(call->number))
        return true;
    if (setting.fail_when == SHORT) {
        call->is_short = class == CRASH_WRITE || class == CRASH_META;
    } else {
        call->fails_after = setting.fail_when == AFTER;
        if (!call->fails_after) {
            atomic_fetch_add(&state->met, 1);
            if (call->logged)
                (void)pthread_mutex_unlock(&log_lock);
            if (call->number == setting.kill_at && setting.kill_when == STEP)
                die_later();
            errno = setting.fail_errno;
            return false;
        }
    }
    atomic_fetch_add(&state->met, 1);
    return true;
}

/* What the caller is told, with errno as the call left it. */
static long leave(struct call *call, long result)
{
    int reason = errno;

    if (call->logged)
        (void)pthread_mutex_unlock(&log_lock);
    if (call->last)
        die();
    if (call->counted && call->number == setting.kill_at) {
        if (setting.kill_when == AFTER)
            die();
        if (setting.kill_when == STEP)
            die_later();
    }
    errno = reason;
    if (!call->fails_after || result < 0)
        return result;
    errno = setting.fail_errno;
    return -1;
}

/* ---- the log --------------------------------------------------------------------------------- */

static void put(const struct call *call, struct crash_trace trace, const struct iovec *parts,
                int count)
{
    struct iovec all[68] = {{&trace, sizeof(trace)}};
    int reason = errno;
    long size = (long)sizeof(trace);

    if (setting.log < 0 || !call->logged)
        return;
    if (count > 67)
        abort(); /* what is not written down would be taken for never done */
    if (call->fails_after)
        trace.flags |= TRACE_FAILED;
    trace.size = 0;
    for (int i = 0; i < count; i++) {
        all[i + 1] = parts[i];
        trace.size += parts[i].iov_len;
    }
    size += (long)trace.size;
    if (syscall(SYS_writev, setting.log, all, count + 1) != size)
        abort();
    errno = reason;
}

static void put_written(const struct call *call, int fd, const struct iovec *parts, int count,
                        long written, off_t offset)
{
    struct iovec done[66];
    struct crash_trace trace = {.kind = TRACE_WRITE, .offset = (uint64_t)offset};
    int used = 0;

    if (setting.log < 0 || written <= 0)
        return;
    if (count > 66)
        abort();
    trace.inode = inode_of(fd);
    if ((fcntl(fd, F_GETFL) & O_DSYNC) != 0)
        trace.flags = TRACE_DSYNC;
    for (long left = written; left > 0; used++) {
        done[used] = parts[used];
        if ((long)done[used].iov_len > left)
            done[used].iov_len = (size_t)left;
        left -= (long)done[used].iov_len;
    }
    put(call, trace, done, used);
}

static void put_name(const struct call *call, uint32_t kind, const struct place *place,
                     uint64_t inode)
{
    struct iovec name = {(void *)(uintptr_t)place->name, strlen(place->name) + 1};
    struct crash_trace trace = {
        .kind = kind, .inode = inode, .directory = inode_at(place->directory)};

    put(call, trace, &name, 1);
}

EXPORTED void crash_mark(unsigned writer, uint64_t mark)
{
    struct call call = {.logged = true};
    struct crash_trace trace = {.kind = TRACE_MARK, .inode = writer, .offset = mark};

    (void)pthread_mutex_lock(&log_lock);
    put(&call, trace, NULL, 0);
    (void)pthread_mutex_unlock(&log_lock);
}

/* ---- reads and writes ------------------------------------------------------------------------ */

static enum crash_class class_of_write(int fd)
{
    bool waits = (syscall(SYS_fcntl, fd, F_GETFL) & O_DSYNC) != 0;

    return waits && setting.counted[CRASH_META] ? CRASH_META : CRASH_WRITE;
}

/* Where the kind of offset is -1 the descriptor's own place counts. */
static ssize_t write_parts(int fd, const struct iovec *parts, int count, off_t offset)
{
    struct iovec half;
    struct call call;
    off_t begin = offset;
    long result;

    if (!enter(&call, class_of_write(fd), is_tracked(fd)))
        return -1;
    if (call.is_short) {
        half = (struct iovec){parts[0].iov_base, parts[0].iov_len / 2};
        parts = &half;
        count = 1;
    }
    if (offset >= 0) {
        result = syscall(SYS_pwritev, fd, parts, count, offset, 0);
    } else {
        begin = call.logged ? lseek(fd, 0, SEEK_CUR) : 0;
        result = syscall(SYS_writev, fd, parts, count);
    }
    put_written(&call, fd, parts, count, result, begin);
    return leave(&call, result);
}

EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    struct iovec part = {(void *)(uintptr_t)bytes, size};

    return write_parts(fd, &part, 1, offset);
}

EXPORTED ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
    return pwrite(fd, bytes, size, offset);
}

EXPORTED ssize_t write(int fd, const void *bytes, size_t size)
{
    struct iovec part = {(void *)(uintptr_t)bytes, size};

    return write_parts(fd, &part, 1, -1);
}

EXPORTED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_parts(fd, parts, count, -1);
}

EXPORTED ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return write_parts(fd, parts, count, offset);
}

EXPORTED ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return write_parts(fd, parts, count, offset);
}

EXPORTED ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    struct call call;

    if (!enter(&call, CRASH_READ, is_tracked(fd)))
        return -1;
    return leave(&call, syscall(SYS_pread64, fd, bytes, size, offset));
}

EXPORTED ssize_t pread64(int fd, void *bytes, size_t size, off64_t offset)
{
    return pread(fd, bytes, size, offset);
}

/* What a fortified build calls. */
EXPORTED ssize_t __pread_chk(int fd, void *bytes, size_t size, off_t offset, size_t room)
{
    return size <= room ? pread(fd, bytes, size, offset) : (abort(), -1);
}

EXPORTED ssize_t __pread64_chk(int fd, void *bytes, size_t size, off64_t offset, size_t room)
{
    return __pread_chk(fd, bytes, size, offset, room);
}

EXPORTED ssize_t read(int fd, void *bytes, size_t size)
{
    struct call call;

    if (!enter(&call, CRASH_READ, is_tracked(fd)))
        return -1;
    return leave(&call, syscall(SYS_read, fd, bytes, size));
}

EXPORTED ssize_t __read_chk(int fd, void *bytes, size_t size, size_t room)
{
    return size <= room ? read(fd, bytes, size) : (abort(), -1);
}

/* ---- sizes and flushes ----------------------------------------------------------------------- */

static long resize(int fd, long number, int mode, off_t offset, off_t size)
{
    struct crash_trace trace = {.kind = TRACE_SIZE};
    struct stat info = {0};
    struct call call;
    long result;

    if (!enter(&call, CRASH_SIZE, is_tracked(fd)))
        return -1;
    if (number == SYS_ftruncate)
        result = syscall(number, fd, size);
    else
        result = syscall(number, fd, mode, offset, size);
    if (call.logged && result == 0 && fstat(fd, &info) == 0) {
        trace.inode = (uint64_t)info.st_ino;
        trace.offset = (uint64_t)info.st_size;
        put(&call, trace, NULL, 0);
    }
    return leave(&call, result);
}

EXPORTED int ftruncate(int fd, off_t size)
{
    return (int)resize(fd, SYS_ftruncate, 0, 0, size);
}

EXPORTED int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

EXPORTED int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return (int)resize(fd, SYS_fallocate, mode, offset, size);
}

EXPORTED int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    return fallocate(fd, mode, offset, size);
}

EXPORTED int posix_fallocate(int fd, off_t offset, off_t size)
{
    return fallocate(fd, 0, offset, size) == 0 ? 0 : errno;
}

/* A flush that fails has flushed nothing, and the kernel calls the pages clean all the same: that
 * is what is written down, also of one that does its work and then says that it failed. */
static int flush(int fd, long number)
{
    struct crash_trace trace = {.kind = TRACE_SYNC, .inode = is_tracked(fd) ? inode_of(fd) : 0};
    struct call call;
    long result;

    if (!enter(&call, CRASH_SYNC, trace.inode != 0)) {
        int reason = errno;

        trace.flags = TRACE_FAILED;
        if (setting.log >= 0) {
            struct call logged = {.logged = true};

            (void)pthread_mutex_lock(&log_lock);
            put(&logged, trace, NULL, 0);
            (void)pthread_mutex_unlock(&log_lock);
        }
        errno = reason;
        return -1;
    }
    result = syscall(number, fd);
    if (result == 0 && trace.inode != 0)
        put(&call, trace, NULL, 0);
    return (int)leave(&call, result);
}

EXPORTED int fsync(int fd)
{
    return flush(fd, SYS_fsync);
}

EXPORTED int fdatasync(int fd)
{
    return flush(fd, SYS_fdatasync);
}

/* ---- names ----------------------------------------------------------------------------------- */

static int open_at(int at, const char *path, int flags, mode_t mode)
{
    struct place place;
    struct call call;
    bool is_new;
    long fd;

    find_place(at, path, &place);
    is_new = place.tracked && (flags & O_CREAT) != 0 && inode_in(&place) == 0;
    if (!enter(&call, CRASH_NAME, place.tracked))
        return -1;
    fd = syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && call.logged && is_new) {
        put_name(&call, TRACE_CREATE, &place, inode_of((int)fd));
    } else if (fd >= 0 && call.logged && (flags & O_TRUNC) != 0) {
        struct crash_trace trace = {.kind = TRACE_SIZE, .inode = inode_of((int)fd)};

        put(&call, trace, NULL, 0);
    }
    if (fd >= 0 && call.fails_after)
        (void)syscall(SYS_close, fd);
    return (int)leave(&call, fd);
}

static mode_t mode_of(int flags, va_list values)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(values, mode_t) : 0;
}

EXPORTED int open(const char *path, int flags, ...)
{
    va_list values;
    mode_t mode;

    va_start(values, flags);
    mode = mode_of(flags, values);
    va_end(values);
    return open_at(AT_FDCWD, path, flags, mode);
}

EXPORTED int open64(const char *path, int flags, ...)
{
    va_list values;
    mode_t mode;

    va_start(values, flags);
    mode = mode_of(flags, values);
    va_end(values);
    return open_at(AT_FDCWD, path, flags, mode);
}

EXPORTED int openat(int at, const char *path, int flags, ...)
{
    va_list values;
    mode_t mode;

    va_start(values, flags);
    mode = mode_of(flags, values);
    va_end(values);
    return open_at(at, path, flags, mode);
}

EXPORTED int openat64(int at, const char *path, int flags, ...)
{
    va_list values;
    mode_t mode;

    va_start(values, flags);
    mode = mode_of(flags, values);
    va_end(values);
    return open_at(at, path, flags, mode);
}

EXPORTED int __open_2(const char *path, int flags)
{
    return open_at(AT_FDCWD, path, flags, 0);
}

EXPORTED int __openat_2(int at, const char *path, int flags)
{
    return open_at(at, path, flags, 0);
}

EXPORTED int mkdirat(int at, const char *path, mode_t mode)
{
    struct place place;
    struct call call;
    long result;

    find_place(at, path, &place);
    if (!enter(&call, CRASH_NAME, place.tracked))
        return -1;
    result = syscall(SYS_mkdirat, at, path, mode);
    if (result == 0 && call.logged)
        put_name(&call, TRACE_MKDIR, &place, inode_in(&place));
    return (int)leave(&call, result);
}

EXPORTED int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

EXPORTED int unlinkat(int at, const char *path, int flags)
{
    struct place place;
    struct call call;
    long result;

    find_place(at, path, &place);
    if (!enter(&call, CRASH_NAME, place.tracked))
        return -1;
    result = syscall(SYS_unlinkat, at, path, flags);
    if (result == 0 && call.logged)
        put_name(&call, TRACE_UNLINK, &place, 0);
    return (int)leave(&call, result);
}

EXPORTED int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

EXPORTED int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

EXPORTED int renameat2(int from_at, const char *from_path, int to_at, const char *to_path,
                       unsigned flags)
{
    struct place from;
    struct place to;
    struct call call;
    long result;

    find_place(from_at, from_path, &from);
    find_place(to_at, to_path, &to);
    if (!enter(&call, CRASH_NAME, from.tracked && to.tracked))
        return -1;
    result = syscall(SYS_renameat2, from_at, from_path, to_at, to_path, flags);
    if (result == 0 && call.logged) {
        struct iovec names[2] = {{from.name, strlen(from.name) + 1},
                                 {to.name, strlen(to.name) + 1}};
        struct crash_trace trace = {.kind = TRACE_RENAME,
                                    .inode = inode_in(&to),
                                    .directory = inode_at(from.directory),
                                    .directory_to = inode_at(to.directory)};

        put(&call, trace, names, 2);
    }
    return (int)leave(&call, result);
}

EXPORTED int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return renameat2(from_at, from, to_at, to, 0);
}

EXPORTED int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- locks, maps, memory --------------------------------------------------------------------- */

static bool is_lock(int command)
{
    return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK ||
           command == F_OFD_SETLKW || command == F_OFD_GETLK;
}

EXPORTED int fcntl(int fd, int command, ...)
{
    struct call call = {0};
    va_list values;
    void *value;

    va_start(values, command);
    value = va_arg(values, void *);
    va_end(values);
    if (!is_lock(command))
        return (int)syscall(SYS_fcntl, fd, command, value);
    if (!enter(&call, CRASH_LOCK, is_tracked(fd)))
        return -1;
    return (int)leave(&call, syscall(SYS_fcntl, fd, command, value));
}

EXPORTED int fcntl64(int fd, int command, ...)
{
    va_list values;
    void *value;

    va_start(values, command);
    value = va_arg(values, void *);
    va_end(values);
    return fcntl(fd, command, value);
}

EXPORTED int flock(int fd, int operation)
{
    struct call call;

    if (!enter(&call, CRASH_LOCK, is_tracked(fd)))
        return -1;
    return (int)leave(&call, syscall(SYS_flock, fd, operation));
}

EXPORTED void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    struct call call;

    if (!enter(&call, CRASH_MAP, fd >= 0 && is_tracked(fd)))
        return MAP_FAILED;
    return (void *)leave(&call, syscall(SYS_mmap, address, size, protection, flags, fd, offset));
}

EXPORTED void *mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t offset)
{
    return mmap(address, size, protection, flags, fd, offset);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

/* Only what LMDB's own code asks for: Quipu's allocations have a hook of their own. */
static bool allocation_fails(const void *caller)
{
    struct call call;
    uintptr_t at = (uintptr_t)caller;

    if (!setting.counted[CRASH_ALLOCATION] || at < setting.lmdb_begin || at >= setting.lmdb_end)
        return false;
    return !enter(&call, CRASH_ALLOCATION, true);
}

EXPORTED void *malloc(size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

EXPORTED void *calloc(size_t count, size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

EXPORTED void *realloc(void *memory, size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, size);
}

EXPORTED int posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (allocation_fails(__builtin_return_address(0)))
        return ENOMEM;
    *memory = __libc_memalign(alignment, size);
    return *memory != NULL ? 0 : ENOMEM;
}
