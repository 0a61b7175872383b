/* test_recovery.c - what is on the disk before anybody is told, and what they do first who come
 * after a death. All writes and flushes come here first: this program defines the calls itself, and
 * keeps account of what of log.mdb was written and not flushed. */
#include "handles.h"
#include "lock.h"
#include "merge.h"
#include "support_suite.h"
#include "support_system.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

SUPPORT_SUITE(recovery);

#define EXPORTED __attribute__((visibility("default"))) /* or liblmdb would not find it */

/* ---- the account ----------------------------------------------------------------------------- */

static struct {
    unsigned dirty;   /* writes of log.mdb since its last flush */
    unsigned metas;   /* meta pages of log.mdb written by commits ... */
    unsigned early;   /* ... of these, while pages were dirty */
    unsigned settled; /* both meta pages of a file written again, and flushed after that */
    bool rewritten;
    bool renamed;
    unsigned directories; /* flushed before the rename, and after it */
    unsigned named;
    bool dies;       /* with the next meta page of log.mdb written */
    int64_t wall_ns; /* that the wall clock is ahead */
} account;

static bool is_file(int fd, const char *name)
{
    char link[64];
    char path[SUPPORT_PATH_BYTES];
    ssize_t size;
    size_t name_size = strlen(name);

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof(path) - 1);
    return size >= (ssize_t)name_size && memcmp(path + size - name_size, name, name_size) == 0;
}

static bool is_store_file(int fd)
{
    return is_file(fd, "/log.mdb") || is_file(fd, "/index.mdb");
}

/* Whoever opened the file with O_DSYNC has flushed what it wrote when the call returns. */
static void note_write(int fd)
{
    if (is_file(fd, "/log.mdb") && (fcntl(fd, F_GETFL) & O_DSYNC) == 0)
        account.dirty++;
}

/* LMDB writes a meta page in part, all other pages whole. Settling writes both meta pages. */
EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    bool meta = size % 4096 != 0 && is_file(fd, "/log.mdb");
    ssize_t rc;

    account.metas += meta;
    account.early += meta && account.dirty > 0;
    rc = syscall(SYS_pwrite64, fd, bytes, size, offset);
    note_write(fd);
    if (offset == 0 && size % 4096 == 0 && size > 0 && is_store_file(fd))
        account.rewritten = true;
    if (meta && account.dies)
        _exit(0);
    return rc;
}

EXPORTED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    note_write(fd);
    return syscall(SYS_writev, fd, parts, count);
}

EXPORTED int fdatasync(int fd)
{
    if (is_file(fd, "/log.mdb"))
        account.dirty = 0;
    account.settled += account.rewritten && is_store_file(fd);
    account.rewritten = false;
    return (int)syscall(SYS_fdatasync, fd);
}

EXPORTED int fsync(int fd)
{
    struct stat info;

    if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        account.directories += !account.renamed;
        account.named += account.renamed;
    }
    return (int)syscall(SYS_fsync, fd);
}

EXPORTED int renameat(int from, const char *name, int to, const char *other)
{
    account.renamed = true;
    return (int)syscall(SYS_renameat2, from, name, to, other, 0);
}

EXPORTED int clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, now);

    if (rc == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += account.wall_ns / QP_NS_PER_S;
    return rc;
}

/* ---- a store --------------------------------------------------------------------------------- */

static quipu_error why;

static quipu *open_store(void)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    why = (quipu_error){0};
    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &store, &why), QUIPU_OK, "%s",
                 why.text);
    return store;
}

static void append_to(quipu *store, const char *stream)
{
    const quipu_draft draft = {.type = "t"};

    cr_assert_eq(quipu_append(store, stream, QUIPU_ANY, &draft, 1, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

static void append(quipu *store)
{
    append_to(store, "s-1");
}

static uint64_t head_of(quipu *store)
{
    uint64_t head = 0;

    cr_assert_eq(quipu_head(store, &head, &why), QUIPU_OK, "%s", why.text);
    return head;
}

static void expect_whole(void)
{
    char path[SUPPORT_PATH_BYTES];

    cr_expect_eq(quipu_verify(support_path(path, "store"), 0, NULL, NULL, NULL, NULL, &why),
                 QUIPU_OK, "%s", why.text);
}

/* A child that does this with its own handle, the parent's being of no use to it, and is gone
 * without a close. Returns what it gave. */
static int in_a_child(int (*act)(quipu *store))
{
    pid_t child = fork();
    int status = 0;

    if (child == 0)
        _exit(act(open_store()));
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "%x", (unsigned)status);
    return WEXITSTATUS(status);
}

/* ---- flushes --------------------------------------------------------------------------------- */

/* The pages before the meta page that leads to them, and all of it before anybody is told. */
Test(recovery, a_commit_is_flushed_before_it_is_told)
{
    quipu *store = open_store();

    account.early = 0;
    for (int i = 0; i < 5; i++) {
        account.dirty = 0;
        account.metas = 0;
        append(store);
        cr_expect_eq(account.metas, 1, "LMDB writes meta pages in another way");
        cr_expect_eq(account.dirty, 0, "%u writes are not flushed", account.dirty);
    }
    cr_expect_eq(account.early, 0, "a meta page was written before its pages were flushed");
    quipu_close(store);
}

/* A store that can be found is whole, and is found after a power cut. */
Test(recovery, a_new_store_is_flushed_with_its_names)
{
    account.renamed = false;
    quipu_close(open_store());
    cr_expect(account.renamed);
    cr_expect_gt(account.directories, 0, "the name of log.mdb");
    cr_expect_gt(account.named, 0, "the name of the store");
}

/* Who created it may have died before that, and nobody had it open since. */
Test(recovery, the_first_writer_flushes_the_name)
{
    char path[SUPPORT_PATH_BYTES];

    quipu_close(open_store());
    account.named = 0;
    quipu_close(open_store());
    cr_expect_eq(account.named, 0, "the last one has");
    cr_assert_eq(unlink(support_path(path, "store/shared")), 0);
    quipu_close(open_store());
    cr_expect_eq(account.named, 1);
}

/* ---- after a death --------------------------------------------------------------------------- */

static int take_the_lock(quipu *store)
{
    return qp_lock_take(store->handle, INT64_MAX, NULL) == QUIPU_OK ? 0 : 1;
}

/* Whose lock it was may have left what only the cache holds. */
Test(recovery, an_heir_settles_the_log)
{
    quipu *store = open_store();

    append(store);
    account.settled = 0;
    append(store);
    cr_expect_eq(account.settled, 0, "nobody died");
    cr_assert_eq(in_a_child(take_the_lock), 0);
    append(store);
    cr_expect_eq(account.settled, 1);
    append(store);
    cr_expect_eq(account.settled, 1, "once is enough");
    quipu_close(store);
}

static int begin_to_merge(quipu *store)
{
    if (qp_lock_try_merger(store->handle, NULL) != QUIPU_ROW)
        return 1;
    qp_shared_set(&store->handle->shared, QP_SHARED_MERGING, true);
    return 0;
}

Test(recovery, a_merger_settles_the_index_of_one_that_died)
{
    quipu *store = open_store();

    append(store);
    cr_assert_eq(in_a_child(begin_to_merge), 0);
    account.settled = 0;
    cr_expect_eq(qp_merge(store->handle, &why), QUIPU_OK, "%s", why.text);
    cr_expect_eq(account.settled, 1);
    cr_expect_eq(qp_merge(store->handle, &why), QUIPU_OK, "%s", why.text);
    cr_expect_eq(account.settled, 1, "once is enough");
    quipu_close(store);
    expect_whole();
}

Test(recovery, a_sole_opener_settles_both_files)
{
    quipu *store = open_store();

    append(store);
    quipu_close(store);
    account.settled = 0;
    quipu_close(open_store());
    cr_expect_eq(account.settled, 2);
}

static int die_in_a_commit(quipu *store)
{
    account.dies = true;
    append(store);
    return 1;
}

static int give_head(quipu *store)
{
    return (int)head_of(store);
}

/* The meta page is written, and LMDB's word that readers look at is not. */
Test(recovery, an_opener_sees_the_commit_of_one_that_died)
{
    quipu *store = open_store(); /* whoever opens now is not alone */

    append(store);
    cr_assert_eq(in_a_child(die_in_a_commit), 0);
    cr_expect_eq(in_a_child(give_head), 2);
    append(store);
    cr_expect_eq(head_of(store), 3);
    quipu_close(store);
    expect_whole();
}

/* Store and log go one way, and the index is of another that they went before: with the same uuid,
 * and as many events. */
Test(recovery, an_index_of_another_history)
{
    char log[SUPPORT_PATH_BYTES];
    char index[SUPPORT_PATH_BYTES];
    char old_log[SUPPORT_PATH_BYTES];
    char old_index[SUPPORT_PATH_BYTES];
    const quipu_range range = {.struct_size = sizeof(range)};
    quipu_event event;
    quipu_reader *reader = NULL;
    quipu *store = open_store();

    append(store);
    quipu_close(store);
    sys_file_copy(support_path(log, "store/log.mdb"), support_path(old_log, "log"));
    store = open_store();
    append_to(store, "this-way");
    cr_assert_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_OK, "%s", why.text);
    quipu_close(store);
    sys_file_copy(support_path(index, "store/index.mdb"), support_path(old_index, "index"));
    sys_file_copy(old_log, log);
    store = open_store();
    append_to(store, "that-way");
    append_to(store, "that-way");
    quipu_close(store);
    sys_file_copy(old_index, index);

    store = open_store();
    cr_assert_eq(quipu_read_stream(store, "that-way", &range, &reader, &why), QUIPU_OK, "%s",
                 why.text);
    cr_expect_eq(quipu_next(reader, &event, &why), QUIPU_ROW, "%s", why.text);
    cr_expect_eq(event.version, 1);
    quipu_reader_close(reader);
    quipu_close(store);
    expect_whole();
}

/* ---- the clock ------------------------------------------------------------------------------- */

/* The log's clock stands still until the wall clock has come up with it. */
Test(recovery, a_clock_that_was_set_back)
{
    quipu *store;
    quipu_reader *reader = NULL;
    quipu_event event;
    int64_t recorded = INT64_MIN;
    int count = 0;

    account.wall_ns = 3600 * QP_NS_PER_S;
    store = open_store();
    append(store);
    quipu_close(store);
    account.wall_ns = 0;
    store = open_store();
    append(store);
    cr_assert_eq(quipu_read(store, NULL, NULL, &reader, &why), QUIPU_OK, "%s", why.text);
    while (quipu_next(reader, &event, &why) == QUIPU_ROW) {
        cr_expect_geq(event.recorded_ns, recorded, "event %d", count);
        recorded = event.recorded_ns;
        count++;
    }
    cr_expect_eq(count, 2);
    quipu_reader_close(reader);
    quipu_close(store);
    expect_whole();
}
