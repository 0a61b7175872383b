/* test_calls.c - one call of the system fails, each in its turn, while a store is made, opened
 * alone and beside others, written, read and closed. The calls come here first, because this
 * program defines them itself. Whatever fails: it is said, or it did not matter; nothing is left
 * open; nothing that was acknowledged is lost; and once it is over everything works. */
#include "handles.h"
#include "merge.h"
#include "support_suite.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(calls, .init = support_begin, .fini = support_suite_end, .timeout = 110);

/* ---- faults ---------------------------------------------------------------------------------- */

enum call {
    NOTHING,
    OPEN,
    STAT,
    STATX,
    ACCESS,
    LOCK,
    MAP,
    ADVISE,
    LIMIT,
    READ,
    WRITE,
    WRITE_ZEROS,
    FLUSH,
    RENAME,
    UNLINK,
    MKDIR,
    LIST,
    RESERVE,
    RANDOM,
    CACHED
};

static const struct {
    enum call call;
    int os_error;
} faults[] = {
    {OPEN, EMFILE},   {OPEN, EACCES},    {STAT, EIO},       {ACCESS, EACCES}, {LOCK, ENOLCK},
    {LOCK, EINTR},    {MAP, ENOMEM},     {ADVISE, EINVAL},  {LIMIT, EPERM},   {READ, EIO},
    {WRITE, EIO},     {WRITE, ENOSPC},   {WRITE, EINTR},    {FLUSH, EIO},     {RENAME, EIO},
    {RENAME, ENOSPC}, {UNLINK, EACCES},  {MKDIR, EACCES},   {MKDIR, ENOSPC},  {LIST, ENOMEM},
    {RESERVE, EINTR}, {RESERVE, ENOSPC}, {RESERVE, ENOSYS}, {RANDOM, ENOSYS}, {RANDOM, EINTR},
    {CACHED, ENOMEM}, {ACCESS, EIO},     {RESERVE, EDQUOT}, {RESERVE, EFBIG}, {WRITE_ZEROS, EIO}};

enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };

/* The `left`th call from now on fails, and no other. */
static struct {
    enum call call;
    int os_error;
    unsigned left;
    bool met;
} fault;

static bool fails(enum call call)
{
    if (fault.call != call || fault.left == 0 || --fault.left > 0)
        return false;
    fault.met = true;
    errno = fault.os_error;
    return true;
}

#define EXPORTED __attribute__((visibility("default"))) /* or liblmdb would not find it */

static mode_t mode_of(int flags, va_list values)
{
    return (flags & O_CREAT) != 0 ? va_arg(values, mode_t) : 0;
}

/* Nothing here waits for a disk. */
EXPORTED int open(const char *path, int flags, ...)
{
    va_list values;
    mode_t mode;

    va_start(values, flags);
    mode = mode_of(flags, values);
    va_end(values);
    return fails(OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags & ~O_DSYNC, mode);
}

EXPORTED int openat(int fd, const char *path, int flags, ...)
{
    va_list values;
    mode_t mode;

    va_start(values, flags);
    mode = mode_of(flags, values);
    va_end(values);
    return fails(OPEN) ? -1 : (int)syscall(SYS_openat, fd, path, flags, mode);
}

EXPORTED int stat(const char *path, struct stat *info)
{
    return fails(STAT) ? -1 : (int)syscall(SYS_newfstatat, AT_FDCWD, path, info, 0);
}

EXPORTED int fstat(int fd, struct stat *info)
{
    return fails(STAT) ? -1 : (int)syscall(SYS_newfstatat, fd, "", info, AT_EMPTY_PATH);
}

EXPORTED int statx(int fd, const char *path, int flags, unsigned mask, struct statx *info)
{
    return fails(STATX) ? -1 : (int)syscall(SYS_statx, fd, path, flags, mask, info);
}

EXPORTED int fstatat(int fd, const char *path, struct stat *info, int flags)
{
    return fails(STAT) ? -1 : (int)syscall(SYS_newfstatat, fd, path, info, flags);
}

static bool on_network;

EXPORTED int fstatfs(int fd, struct statfs *info)
{
    int rc = fails(STAT) ? -1 : (int)syscall(SYS_fstatfs, fd, info);

    if (on_network)
        info->f_type = NFS_SUPER_MAGIC;
    return rc;
}

EXPORTED int faccessat(int fd, const char *path, int mode, int flags)
{
    (void)flags;
    return fails(ACCESS) ? -1 : (int)syscall(SYS_faccessat, fd, path, mode);
}

/* Not LMDB's own: whatever its lock fails with, it takes it for another process's. */
EXPORTED int fcntl(int fd, int command, ...)
{
    bool ours = command == F_OFD_SETLK || command == F_OFD_GETLK || command == F_SETFD;
    va_list values;
    long value;

    va_start(values, command);
    value = va_arg(values, long); /* a number or an address: both come in one register */
    va_end(values);
    return ours && fails(LOCK) ? -1 : (int)syscall(SYS_fcntl, fd, command, value);
}

EXPORTED int flock(int fd, int operation)
{
    return fails(LOCK) ? -1 : (int)syscall(SYS_flock, fd, operation);
}

static size_t maps[2]; /* sizes of the last two large ones: the log's, the index's */

EXPORTED void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fails(MAP))
        return MAP_FAILED;
    if (size >= QP_GIB) {
        maps[0] = maps[1];
        maps[1] = size;
    }
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

EXPORTED int madvise(void *at, size_t size, int advice)
{
    return fails(ADVISE) ? -1 : (int)syscall(SYS_madvise, at, size, advice);
}

EXPORTED int mincore(void *at, size_t size, unsigned char *present)
{
    return fails(CACHED) ? -1 : (int)syscall(SYS_mincore, at, size, present);
}

static rlim_t address_space; /* 0: not limited */

EXPORTED int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
    int rc = fails(LIMIT) ? -1 : (int)syscall(SYS_prlimit64, 0, resource, NULL, limit);

    if (resource == RLIMIT_AS && address_space != 0)
        limit->rlim_cur = address_space;
    return rc;
}

EXPORTED ssize_t read(int fd, void *bytes, size_t size)
{
    return fails(READ) ? -1 : syscall(SYS_read, fd, bytes, size);
}

EXPORTED ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    return fails(READ) ? -1 : syscall(SYS_pread64, fd, bytes, size, offset);
}

EXPORTED ssize_t write(int fd, const void *bytes, size_t size)
{
    return fails(WRITE) ? -1 : syscall(SYS_write, fd, bytes, size);
}

EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return fails(WRITE) ? -1 : syscall(SYS_pwrite64, fd, bytes, size, offset);
}

EXPORTED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return fails(WRITE) ? -1 : syscall(SYS_writev, fd, parts, count);
}

EXPORTED ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return fails(WRITE_ZEROS) ? -1 : syscall(SYS_pwritev, fd, parts, count, offset, 0);
}

EXPORTED int fsync(int fd)
{
    (void)fd;
    return fails(FLUSH) ? -1 : 0;
}

EXPORTED int fdatasync(int fd)
{
    (void)fd;
    return fails(FLUSH) ? -1 : 0;
}

EXPORTED int renameat(int from, const char *old, int to, const char *new)
{
    return fails(RENAME) ? -1 : (int)syscall(SYS_renameat2, from, old, to, new, 0);
}

EXPORTED int unlinkat(int fd, const char *path, int flags)
{
    return fails(UNLINK) ? -1 : (int)syscall(SYS_unlinkat, fd, path, flags);
}

EXPORTED int mkdirat(int fd, const char *path, mode_t mode)
{
    return fails(MKDIR) ? -1 : (int)syscall(SYS_mkdirat, fd, path, mode);
}

EXPORTED int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return fails(RESERVE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

EXPORTED ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    return fails(RANDOM) ? -1 : syscall(SYS_getrandom, bytes, size, flags);
}

EXPORTED DIR *fdopendir(int fd)
{
    static DIR *(*next)(int);

    if (fails(LIST))
        return NULL;
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "fdopendir");
    return next(fd);
}

static bool lock_lost;

/* Nothing but the store lock is tried. */
EXPORTED int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    static int (*next)(pthread_mutex_t *);

    if (lock_lost)
        return ENOTRECOVERABLE;
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "pthread_mutex_trylock");
    return next(mutex);
}

/* ---- one run --------------------------------------------------------------------------------- */

enum scene { MADE, ALONE, CHECKED, BESIDE, AFTER_READER, READ_ONLY, VERIFIED, REINDEXED };

static const char *const scene_names[] = {"made",           "alone",     "checked",  "beside",
                                          "after a reader", "read only", "verified", "reindexed"};

static char where[128]; /* for messages */
static char path[SUPPORT_PATH_BYTES];
static uint64_t acknowledged;
static uint64_t unknown;
static bool unwell;       /* somebody was told of IO: others must close too */
static unsigned findings; /* of verify, about the index */

/* What a call of the system may be the reason of. Damage, a foreign file or misuse is none. */
static int say(int rc, const quipu_error *error, const char *what)
{
    static const int good[] = {QUIPU_IO,   QUIPU_SYSTEM,    QUIPU_UNSAFE,
                               QUIPU_FULL, QUIPU_NO_MEMORY, QUIPU_BUSY};
    bool known = rc >= 0 || (rc == QUIPU_CORRUPT && findings > 0);

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        known = known || rc == good[i];
    cr_expect(known, "%s: %s: %d %s", where, what, rc, error->text);
    cr_expect(rc >= 0 || (error->status == rc && error->text[0] != '\0'), "%s: %s: %d: %d %s",
              where, what, rc, error->status, error->text);
    if (rc < 0 && fault.os_error == ENOSPC && fault.met)
        cr_expect(rc == QUIPU_FULL || rc == QUIPU_IO || rc == QUIPU_BUSY,
                  "%s: %s: no room is %d %s", where, what, rc, error->text);
    unwell = unwell || rc == QUIPU_IO;
    return rc;
}

static void append(quipu *store)
{
    const quipu_draft draft = {.type = "t"};
    quipu_error error = {0};
    int rc = say(quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, &error), &error, "append");

    acknowledged += rc == QUIPU_OK;
    unknown += rc == QUIPU_IO;
}

/* All events are there, or it is said that they cannot be read. */
static void read_by(quipu *store, const quipu_query *query)
{
    quipu_error error = {0};
    quipu_reader *reader = NULL;
    quipu_event event;
    uint64_t count = 0;
    int rc = say(quipu_read(store, query, NULL, &reader, &error), &error, "read");

    while (rc >= 0) {
        rc = say(quipu_next(reader, &event, &error), &error, "next");
        if (rc != QUIPU_ROW)
            break;
        count++;
    }
    if (rc == QUIPU_OK)
        cr_expect(count >= acknowledged && count <= acknowledged + unknown,
                  "%s: %llu events were read", where, (unsigned long long)count);
    quipu_reader_close(reader);
}

/* From the log, and by what the index says of it. */
static void read_all(quipu *store)
{
    static const char *const types[] = {"t"};
    const quipu_query_item item = {.types = types, .type_count = 1};
    const quipu_query query = {&item, 1};

    read_by(store, NULL);
    read_by(store, &query);
}

static void use(uint32_t flags)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .flags = flags,
                                   .busy_timeout_ms = 2000};
    quipu_stat figures = {QUIPU_INIT(quipu_stat), .format = 0};
    quipu_error error = {0};
    quipu *store = NULL;

    if (say(quipu_open(path, &options, &store, &error), &error, "open") < 0) {
        cr_expect_null(store);
        return;
    }
    if ((flags & QUIPU_OPEN_READ_ONLY) == 0) {
        append(store);
        (void)say(qp_merge(store->handle, &error), &error, "merge");
        append(store);
    }
    (void)say(quipu_stat_get(store, &figures, &error), &error, "stat");
    read_all(store);
    quipu_close(store);
}

/* An index that cannot be read is one that the next writer makes again. */
static int note(void *payload, const quipu_finding *finding)
{
    (void)payload;
    cr_expect_str_eq(finding->file, QP_INDEX_FILE, "%s: %s", where, finding->text);
    findings++;
    return 0;
}

static void act(enum scene scene)
{
    quipu_error error = {0};

    findings = 0;
    if (scene == VERIFIED)
        (void)say(quipu_verify(path, 0, note, NULL, NULL, NULL, &error), &error, "verify");
    else if (scene == REINDEXED)
        (void)say(quipu_reindex(path, NULL, NULL, &error), &error, "reindex");
    else
        use(scene == READ_ONLY ? QUIPU_OPEN_READ_ONLY
            : scene == CHECKED ? QUIPU_OPEN_FULL_CHECK
                               : 0);
}

/* ---- around it ------------------------------------------------------------------------------- */

static unsigned open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    cr_assert_not_null(directory);
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count;
}

/* Nothing is wrong any more. */
static void expect_well(void)
{
    quipu_error error = {0};
    quipu *store = NULL;
    uint64_t head = 0;

    cr_assert_eq(quipu_open(path, NULL, &store, &error), QUIPU_OK, "%s: %s", where, error.text);
    cr_assert_eq(quipu_head(store, &head, &error), QUIPU_OK, "%s: %s", where, error.text);
    cr_expect(head >= acknowledged && head <= acknowledged + unknown,
              "%s: %llu events, %llu were acknowledged", where, (unsigned long long)head,
              (unsigned long long)acknowledged);
    acknowledged = head;
    unknown = 0;
    append(store);
    read_all(store);
    quipu_close(store);
    cr_expect_eq(quipu_verify(path, 0, NULL, NULL, NULL, NULL, &error), QUIPU_OK, "%s: %s", where,
                 error.text);
}

/* Somebody else who has the store open. */
static pid_t neighbour;

static void begin_neighbour(uint32_t flags)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .flags = flags};
    int ends[2];
    char byte;

    cr_assert_eq(pipe(ends), 0);
    neighbour = fork();
    if (neighbour == 0) {
        quipu *store = NULL;

        (void)quipu_open(path, &options, &store, NULL);
        (void)!write(ends[1], store != NULL ? "y" : "n", 1);
        for (;;)
            (void)pause();
    }
    cr_assert_eq(read(ends[0], &byte, 1), 1);
    cr_assert_eq(byte, 'y');
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void end_neighbour(void)
{
    if (neighbour <= 0)
        return;
    (void)kill(neighbour, SIGKILL);
    (void)waitpid(neighbour, NULL, 0);
    neighbour = 0;
}

/* As if the one who opened it first had been that reader, each time. */
static void unsettle(void)
{
    quipu *store = NULL;

    cr_assert_eq(quipu_open(path, NULL, &store, NULL), QUIPU_OK);
    qp_shared_set(&store->handle->shared, QP_SHARED_UNSETTLED, true);
    quipu_close(store);
}

/* false: there is no such call any more. */
static bool run(enum scene scene, size_t number, unsigned nth)
{
    unsigned files;

    (void)snprintf(where, sizeof(where), "%s, call %d fails with %s, %u", scene_names[scene],
                   (int)faults[number].call, strerrorname_np(faults[number].os_error), nth);
    if (scene == MADE) {
        support_remove(path);
        acknowledged = unknown = 0;
    }
    if ((scene == BESIDE || scene == AFTER_READER) && neighbour == 0)
        begin_neighbour(scene == BESIDE ? 0 : QUIPU_OPEN_READ_ONLY);
    if (scene == AFTER_READER)
        unsettle();
    unwell = false;
    files = open_files();
    fault.call = faults[number].call;
    fault.os_error = faults[number].os_error;
    fault.left = nth;
    fault.met = false;
    act(scene);
    fault.call = NOTHING;
    cr_expect_eq(open_files(), files, "%s: %u files are open, %u were", where, open_files(), files);
    if (unwell)
        end_neighbour();
    if (fault.met)
        expect_well();
    return fault.met;
}

static void run_all(enum scene scene)
{
    unsigned runs = 0;

    (void)support_path(path, "store");
    if (scene != MADE)
        expect_well();
    for (size_t i = 0; i < FAULTS; i++)
        for (unsigned nth = 1; run(scene, i, nth); nth++)
            runs++;
    cr_expect_gt(runs, 100, "%u calls", runs);
    end_neighbour();
}

Test(calls, of_who_makes_a_store)
{
    run_all(MADE);
}

Test(calls, of_who_opens_it_alone)
{
    run_all(ALONE);
}

Test(calls, of_who_opens_it_beside_others)
{
    run_all(BESIDE);
}

Test(calls, of_who_settles_what_a_reader_could_not)
{
    run_all(AFTER_READER);
}

Test(calls, of_who_checks_all)
{
    run_all(CHECKED);
}

Test(calls, of_who_makes_the_index_again)
{
    run_all(REINDEXED);
}

Test(calls, of_who_only_reads)
{
    run_all(READ_ONLY);
}

Test(calls, of_who_verifies)
{
    run_all(VERIFIED);
}

/* ---- what else the system may say ------------------------------------------------------------ */

static int try_open(uint32_t flags, quipu **store, quipu_error *error)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .flags = flags};

    *error = (quipu_error){0};
    return quipu_open(path, &options, store, error);
}

Test(calls, a_network_file_system_is_refused)
{
    quipu_error error;
    quipu *store = NULL;

    (void)support_path(path, "store");
    expect_well();
    on_network = true;
    cr_expect_eq(try_open(0, &store, &error), QUIPU_UNSAFE, "%s", error.text);
    cr_expect_not_null(strstr(error.text, "network file system"), "%s", error.text);
    cr_assert_eq(try_open(QUIPU_OPEN_NETWORK_FS, &store, &error), QUIPU_OK, "%s", error.text);
    append(store);
    quipu_close(store);
    on_network = false;
    expect_well();
}

/* The maps leave room for the program. */
Test(calls, an_address_space_that_is_limited)
{
    quipu_error error;
    quipu *store = NULL;

    (void)support_path(path, "store");
    expect_well();
    address_space = 64 * QP_GIB;
    cr_assert_eq(try_open(0, &store, &error), QUIPU_OK, "%s", error.text);
    cr_expect_eq(maps[0], 16 * QP_GIB);
    cr_expect_eq(maps[1], 4 * QP_GIB);
    quipu_close(store);
    address_space = UINT64_MAX / 2; /* more than is wanted */
    cr_assert_eq(try_open(0, &store, &error), QUIPU_OK, "%s", error.text);
    cr_expect_eq(maps[0], 1024 * QP_GIB);
    cr_expect_eq(maps[1], 256 * QP_GIB);
    quipu_close(store);
}

/* Its owner died, and the next one too before it could say that all is well. */
Test(calls, a_lock_that_nobody_can_take)
{
    const quipu_draft draft = {.type = "t"};
    quipu_error error;
    quipu *store = NULL;

    (void)support_path(path, "store");
    expect_well();
    cr_assert_eq(try_open(0, &store, &error), QUIPU_OK, "%s", error.text);
    lock_lost = true;
    cr_expect_eq(quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, &error), QUIPU_IO);
    cr_expect_not_null(strstr(error.text, "the store lock is lost"), "%s", error.text);
    lock_lost = false;
    cr_expect_eq(quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, &error), QUIPU_IO);
    quipu_close(store);
    expect_well();
}

/* A sandbox that knows no statx(): what is asked with each commit is asked another way. */
Test(calls, in_a_sandbox_without_statx)
{
    const quipu_draft draft = {.type = "t"};
    quipu_error error;
    quipu *store = NULL;

    (void)support_path(path, "store");
    expect_well();
    cr_assert_eq(try_open(0, &store, &error), QUIPU_OK, "%s", error.text);
    fault.call = STATX;
    fault.os_error = EPERM;
    fault.left = 1;
    fault.met = false;
    cr_expect_eq(quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, &error), QUIPU_OK, "%s",
                 error.text);
    cr_expect(fault.met);
    fault.call = NOTHING;
    acknowledged++;
    quipu_close(store);
    expect_well();
}

/* Without random bytes an id is still one that nobody else makes. */
Test(calls, ids_without_random_bytes)
{
    static const int errors[] = {0, EINTR, ENOSYS, ENOSYS};
    uint8_t ids[4][16];

    for (size_t i = 0; i < 4; i++) {
        fault.call = errors[i] != 0 ? RANDOM : NOTHING;
        fault.os_error = errors[i];
        fault.left = 1;
        fault.met = false;
        quipu_id_new(ids[i]);
        cr_expect_eq(fault.met, errors[i] != 0);
        cr_expect_eq(ids[i][6] >> 4, 7);
        for (size_t j = 0; j < i; j++)
            cr_expect_neq(memcmp(ids[i] + 8, ids[j] + 8, 8), 0, "%zu, %zu", i, j);
    }
    fault.call = NOTHING;
}

/* On a full disk the old file makes room for the new one, unless it says what must not be forgotten
 * should that fail too. */
Test(calls, no_room_for_the_shared_file)
{
    struct qp_place place = {.fd = open(support_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    quipu_error error;

    for (size_t i = 0; i < QP_SHARED_FLAGS; i++) {
        bool flags[QP_SHARED_FLAGS] = {false};
        bool kept = i == QP_SHARED_POISONED || i == QP_SHARED_INDEX_POISONED;
        bool found[QP_SHARED_FLAGS];

        flags[i] = true;
        cr_assert_eq(qp_shared_create(&place, flags, 0, &error), QUIPU_OK);
        fault.call = WRITE;
        fault.os_error = ENOSPC;
        fault.left = 1;
        cr_expect_eq(qp_shared_create(&place, flags, 0, &error), kept ? QUIPU_FULL : QUIPU_OK,
                     "flag %zu", i);
        fault.call = NOTHING;
        cr_expect(qp_shared_peek(&place, found) && found[i], "flag %zu", i);
    }
    qp_place_close(&place);
}
