/* test_poison.c - writes and flushes that fail. LMDB's calls and ours come here first: this program
 * defines pwrite(), writev() and fdatasync() itself. What was acknowledged stays, what is unknown
 * is said to be, and nobody goes on before everybody has closed. */
#include "handles.h"
#include "lock.h"
#include "merge.h"
#include "support_suite.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(poison);

/* ---- faults ---------------------------------------------------------------------------------- */

enum kind { NOTHING, PAGES, META, FLUSH };

/* Which calls fail: of this kind, on this file, with this errno. */
static struct {
    enum kind kind;
    const char *file;
    int os_error;
    unsigned most; /* so many of them */
    unsigned met;
} fault;

static bool fails(enum kind kind, int fd)
{
    char link[64];
    char path[SUPPORT_PATH_BYTES];
    ssize_t size;
    size_t name;

    if (fault.kind != kind || fault.met >= fault.most)
        return false;
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof(path) - 1);
    name = strlen(fault.file);
    if (size < (ssize_t)name || memcmp(path + size - name, fault.file, name) != 0)
        return false;
    fault.met++;
    errno = fault.os_error;
    return true;
}

/* LMDB writes a meta page in part, all other pages whole. Settling writes both meta pages. */
static enum kind kind_of(size_t size, off_t offset)
{
    return size % 4096 != 0 || offset == 0 ? META : PAGES;
}

#define EXPORTED __attribute__((visibility("default"))) /* or liblmdb would not find it */

EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (fails(kind_of(size, offset), fd))
        return -1;
    return syscall(SYS_pwrite64, fd, bytes, size, offset);
}

EXPORTED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (fails(PAGES, fd))
        return -1;
    return syscall(SYS_writev, fd, parts, count);
}

EXPORTED int fdatasync(int fd)
{
    if (fails(FLUSH, fd))
        return -1;
    return (int)syscall(SYS_fdatasync, fd);
}

/* What the file system says of its room. */
static enum { AS_IT_IS, LITTLE, NOTHING_SAID } room;

EXPORTED int fstatvfs(int fd, struct statvfs *info)
{
    static int (*next)(int, struct statvfs *);
    int rc;

    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "fstatvfs");
    rc = next(fd, info);
    if (room == LITTLE)
        info->f_bavail = 3;
    return room == NOTHING_SAID ? -1 : rc;
}

static void begin_fault(enum kind kind, const char *file, int os_error)
{
    fault.kind = kind;
    fault.file = file;
    fault.os_error = os_error;
    fault.most = 1000;
    fault.met = 0;
}

static void end_fault(void)
{
    cr_expect_gt(fault.met, 0, "the fault was never met");
    fault.kind = NOTHING;
}

/* ---- a store --------------------------------------------------------------------------------- */

static const quipu_options options = {
    .struct_size = sizeof(options), .busy_timeout_ms = 2000, .readers_max = 8};
static quipu_error why;

static int try_open(quipu **store)
{
    char path[SUPPORT_PATH_BYTES];

    why = (quipu_error){0};
    return quipu_open(support_path(path, "store"), &options, store, &why);
}

static quipu *open_store(void)
{
    quipu *store = NULL;

    cr_assert_eq(try_open(&store), QUIPU_OK, "%s", why.text);
    return store;
}

static int append(quipu *store)
{
    const quipu_draft draft = {.type = "t"};

    why = (quipu_error){0};
    return quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, &why);
}

static void expect_head(quipu *store, uint64_t low, uint64_t high)
{
    uint64_t head = 0;

    cr_expect_eq(quipu_head(store, &head, &why), QUIPU_OK, "%s", why.text);
    cr_expect(head >= low && head <= high, "head %llu, not in %llu .. %llu",
              (unsigned long long)head, (unsigned long long)low, (unsigned long long)high);
}

static void expect_whole(void)
{
    char path[SUPPORT_PATH_BYTES];

    why = (quipu_error){0};
    cr_expect_eq(quipu_verify(support_path(path, "store"), 0, NULL, NULL, NULL, NULL, &why),
                 QUIPU_OK, "%s", why.text);
}

static bool is_poisoned(const quipu *store)
{
    return qp_shared_get(&store->handle->shared, QP_SHARED_POISONED);
}

/* ---- commits --------------------------------------------------------------------------------- */

/* Acknowledged events stay, nothing more is written, and reopening mends it. */
static void fail_a_commit(enum kind kind)
{
    quipu *store = open_store();
    uint64_t head = 0;

    for (int i = 0; i < 3; i++)
        cr_assert_eq(append(store), QUIPU_OK);
    begin_fault(kind, "log.mdb", EIO);
    cr_expect_eq(append(store), QUIPU_IO, "%s", why.text);
    end_fault();
    cr_expect(is_poisoned(store));
    cr_expect_eq(append(store), QUIPU_IO, "though the disk is well again");
    cr_expect_eq(qp_merge(store->handle, &why), QUIPU_IO);
    quipu_close(store);

    store = open_store();
    expect_head(store, 3, 4); /* the failed one's outcome is unknown */
    cr_expect_eq(quipu_head(store, &head, &why), QUIPU_OK);
    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    expect_head(store, head + 1, head + 1);
    quipu_close(store);
    expect_whole();
}

Test(poison, flush_of_a_commit)
{
    fail_a_commit(FLUSH);
}

Test(poison, meta_page_of_a_commit)
{
    fail_a_commit(META);
}

Test(poison, pages_of_a_commit)
{
    fail_a_commit(PAGES);
}

/* A merger died, and what it left cannot be put right: nobody merges before all have closed. */
Test(poison, index_of_a_merger_that_died)
{
    quipu *store = open_store();

    cr_assert_eq(append(store), QUIPU_OK);
    qp_shared_set(&store->handle->shared, QP_SHARED_MERGING, true);
    begin_fault(META, "index.mdb", EIO);
    cr_expect_eq(qp_merge(store->handle, &why), QUIPU_IO);
    end_fault();
    cr_expect_eq(qp_merge(store->handle, &why), QUIPU_IO, "though the disk is well again");
    cr_expect(strstr(why.text, "index") != NULL, "%s", why.text);
    cr_expect_eq(append(store), QUIPU_OK, "the log is whole: %s", why.text);
    quipu_close(store);
    store = open_store();
    cr_expect_eq(qp_merge(store->handle, &why), QUIPU_OK, "%s", why.text);
    quipu_close(store);
    expect_whole();
}

static unsigned told_of_io;

static void note(void *payload, int status, const quipu_receipt *receipt, const quipu_batch *batch,
                 const quipu_error *error)
{
    (void)payload;
    (void)batch;
    cr_expect(status == QUIPU_IO && error->status == QUIPU_IO && receipt->verdict == QUIPU_REFUSED,
              "%d %s", status, error->text);
    told_of_io += status == QUIPU_IO;
}

/* No asynchronous commit of the group is told that it is in, nor one that comes later. */
Test(poison, asynchronous_commits)
{
    static const enum kind kinds[] = {PAGES, META, FLUSH};
    const quipu_draft draft = {.type = "t"};

    for (size_t i = 0; i < 3; i++) {
        char path[SUPPORT_PATH_BYTES];
        quipu *store = open_store();

        told_of_io = 0;
        for (unsigned n = 0; n < 4; n++) {
            quipu_batch *batch = quipu_batch_new();

            (void)quipu_batch_append(batch, "s-1", QUIPU_ANY, &draft, 1);
            cr_assert_eq(quipu_commit_async(store, batch, note, NULL, &why), QUIPU_OK);
            if (n != 2)
                continue;
            begin_fault(kinds[i], "log.mdb", EIO);
            cr_expect_eq(quipu_flush(store, &why), QUIPU_IO, "kind %zu", i);
            end_fault();
            cr_expect_eq(told_of_io, 3, "kind %zu: %u", i, told_of_io);
        }
        quipu_close(store);
        cr_expect_eq(told_of_io, 4, "a close tells too: %u", told_of_io);
        store = open_store();
        expect_head(store, 0, 3);
        quipu_close(store);
        expect_whole();
        support_remove(support_path(path, "store"));
    }
}

/* The other process must not write over what may be the only good snapshot. */
Test(poison, every_process_refuses)
{
    quipu *store = open_store();
    int status = 0;
    int go[2];
    char byte;
    pid_t child;

    quipu_close(store);
    cr_assert_eq(pipe(go), 0);
    child = fork();
    if (child == 0) {
        store = open_store();
        begin_fault(FLUSH, "log.mdb", EIO);
        if (append(store) != QUIPU_IO || write(go[1], "x", 1) != 1)
            _exit(1);
        (void)pause();
        _exit(2);
    }
    cr_assert_eq(read(go[0], &byte, 1), 1);
    store = open_store();
    expect_head(store, 0, 1);
    cr_expect_eq(append(store), QUIPU_IO);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(append(store), QUIPU_IO, "this one has not closed it either");
    quipu_close(store);
    store = open_store();
    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    quipu_close(store);
    expect_whole();
}

/* No room and no memory for the pages leave the old snapshot alone: it goes on when there is. */
static void run_short(int os_error, int status)
{
    enum { READERS = 8 };
    quipu *store = open_store();
    struct qp_txn readers[READERS] = {{0}};

    cr_assert_eq(append(store), QUIPU_OK);
    for (int i = 0; i < READERS; i++) /* no slot of the log is left: asking must not need one */
        (void)qp_txn_begin_read(store->handle->log, &readers[i], NULL);
    begin_fault(PAGES, "log.mdb", os_error);
    cr_expect_eq(append(store), status, "%s", why.text);
    end_fault();
    cr_expect_not(is_poisoned(store));
    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    for (int i = 0; i < READERS; i++)
        qp_txn_end(&readers[i]);
    expect_head(store, 2, 2);
    quipu_close(store);
    expect_whole();
}

Test(poison, no_room)
{
    run_short(ENOSPC, QUIPU_FULL);
}

/* LMDB makes EIO of a write that is cut short, which is how such a limit shows. */
Test(poison, a_limit_of_files_is_no_room)
{
    const struct rlimit limit = {.rlim_cur = 64 * QP_MIB, .rlim_max = RLIM_INFINITY};

    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    run_short(EIO, QUIPU_FULL);
}

Test(poison, a_short_write_on_a_disk_that_is_nearly_full_is_no_room)
{
    room = LITTLE;
    run_short(EIO, QUIPU_FULL);
}

/* Then nobody knows why it failed: the answer is the one that promises less. */
Test(poison, a_limit_that_is_far_is_no_reason)
{
    const struct rlimit limit = {.rlim_cur = 64 * QP_GIB, .rlim_max = RLIM_INFINITY};

    room = NOTHING_SAID;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    fail_a_commit(PAGES);
}

Test(poison, no_memory)
{
    run_short(ENOMEM, QUIPU_NO_MEMORY);
}

/* ---- a dead owner's lock --------------------------------------------------------------------- */

/* The next owner cannot settle the log: nobody may write any more. */
Test(poison, settling_for_a_dead_owner)
{
    quipu *store = open_store();
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        quipu *own = NULL; /* the parent's cannot be used here */

        if (try_open(&own) != QUIPU_OK)
            _exit(1);
        _exit(qp_lock_take(own->handle, INT64_MAX, NULL) == QUIPU_OK ? 0 : 2);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "%x", (unsigned)status);
    begin_fault(META, "log.mdb", EIO);
    fault.most = 1; /* a commit after it would go well */
    cr_expect_eq(append(store), QUIPU_IO, "%s", why.text);
    end_fault();
    cr_expect(is_poisoned(store));
    cr_expect_eq(append(store), QUIPU_IO, "the lock is clean now, the store is not");
    quipu_close(store);
    store = open_store();
    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    quipu_close(store);
    expect_whole();
}

/* ---- merges ---------------------------------------------------------------------------------- */

/* The index can be made again: merges do not go on, the log is not concerned. With a meta page that
 * could not be written LMDB refuses to read the file too, until it is opened again. */
static void fail_a_merge(enum kind kind, int append_status)
{
    quipu *store = open_store();

    cr_assert_eq(append(store), QUIPU_OK);
    begin_fault(kind, "index.mdb", EIO);
    cr_expect_eq(qp_merge(store->handle, &why), QUIPU_IO, "%s", why.text);
    end_fault();
    cr_expect_not(is_poisoned(store));
    cr_expect(qp_shared_get(&store->handle->shared, QP_SHARED_INDEX_POISONED));
    cr_expect_eq(append(store), append_status, "%s", why.text);
    cr_expect_eq(qp_merge(store->handle, &why), QUIPU_IO, "though the disk is well again");
    cr_expect_not(is_poisoned(store));
    quipu_close(store);
    store = open_store();
    cr_expect_eq(qp_merge(store->handle, &why), QUIPU_OK, "%s", why.text);
    expect_head(store, 1 + (append_status == QUIPU_OK), 1 + (append_status == QUIPU_OK));
    quipu_close(store);
    expect_whole();
}

Test(poison, flush_of_a_merge)
{
    fail_a_merge(FLUSH, QUIPU_OK);
}

Test(poison, meta_page_of_a_merge)
{
    fail_a_merge(META, QUIPU_IO);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Who cannot settle the log does not open it, and leaves everything as it was. */
Test(poison, settling_at_open)
{
    static const enum kind kinds[] = {META, FLUSH};
    quipu *store = open_store();

    cr_assert_eq(append(store), QUIPU_OK);
    quipu_close(store);
    for (size_t i = 0; i < 2; i++) {
        begin_fault(kinds[i], "log.mdb", EIO);
        cr_expect_eq(try_open(&store), QUIPU_IO, "%s", why.text);
        end_fault();
    }
    store = open_store();
    expect_head(store, 1, 1);
    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    quipu_close(store);
    expect_whole();
}

/* A reader that was the first could not settle the files. Who may write and cannot either leaves
 * the log to nobody; of the index, somebody must be alone to make it again. */
Test(poison, settling_what_a_reader_could_not)
{
    const quipu_options reading = {QUIPU_INIT(quipu_options), .flags = QUIPU_OPEN_READ_ONLY};
    quipu *store = open_store();
    char path[SUPPORT_PATH_BYTES];
    int ends[2];
    char byte;
    pid_t child;

    cr_assert_eq(append(store), QUIPU_OK);
    quipu_close(store);
    cr_assert_eq(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        (void)quipu_open(support_path(path, "store"), &reading, &store, NULL);
        (void)!write(ends[1], "x", 1);
        (void)pause();
    }
    cr_assert_eq(read(ends[0], &byte, 1), 1);
    begin_fault(META, "index.mdb", EIO);
    cr_expect_eq(try_open(&store), QUIPU_BUSY, "%s", why.text);
    end_fault();
    begin_fault(META, "log.mdb", EIO);
    cr_expect_eq(try_open(&store), QUIPU_IO, "%s", why.text);
    end_fault();
    store = open_store();
    cr_expect(is_poisoned(store));
    cr_expect_eq(append(store), QUIPU_IO);
    quipu_close(store);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    store = open_store();
    expect_head(store, 1, 1);
    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    quipu_close(store);
    expect_whole();
}
