/* test_merge.c - who merges: the thread that commits, or one that was asked for at open. LMDB's
 * writes come here first, because this program defines pwrite() and writev() itself: to see which
 * thread writes the index, and to hold it up. */
#include "clock.h"
#include "handles.h"
#include "merge.h"
#include "support_suite.h"

#include <dirent.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(merge);

enum { FULL = 4096, EVENTS = FULL + 1, BUSY_MS = 300 };

/* ---- who writes the index -------------------------------------------------------------------- */

static pid_t of_test; /* the thread that tests, and commits */
static atomic_uint own_writes;
static atomic_uint other_writes;
static atomic_bool hold;

static void look_at_write(int fd)
{
    static const char name[] = "index.mdb";
    char link[64];
    char path[SUPPORT_PATH_BYTES];
    ssize_t size;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof(path));
    if (size < (ssize_t)strlen(name) || memcmp(path + size - strlen(name), name, strlen(name)) != 0)
        return;
    if (gettid() == of_test) {
        atomic_fetch_add(&own_writes, 1);
        return;
    }
    atomic_fetch_add(&other_writes, 1);
    while (atomic_load(&hold))
        qp_clock_sleep_ms(1);
}

#define EXPORTED __attribute__((visibility("default"))) /* or liblmdb would not find it */

EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    look_at_write(fd);
    return syscall(SYS_pwrite64, fd, bytes, size, offset);
}

EXPORTED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    look_at_write(fd);
    return syscall(SYS_writev, fd, parts, count);
}

/* ---- a store --------------------------------------------------------------------------------- */

static quipu_error why;
static char told[256]; /* by the store's log; the last one */
static atomic_uint tells;

static void tell(void *payload, int level, const char *text)
{
    (void)payload;
    (void)level;
    (void)snprintf(told, sizeof(told), "%s", text);
    atomic_fetch_add(&tells, 1);
}

static quipu_options options_of(uint32_t flags)
{
    return (quipu_options){.struct_size = sizeof(quipu_options),
                           .flags = flags,
                           .busy_timeout_ms = BUSY_MS,
                           .tail_bytes_max = 1, /* the least there is */
                           .log = tell};
}

static quipu *open_store(uint32_t flags)
{
    const quipu_options options = options_of(flags);
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    of_test = gettid();
    (void)quipu_open(support_path(path, "store"), &options, &store, &why);
    return store;
}

/* A batch over many streams, enough for a merge and over half of the tail; and one event after it:
 * how much waits for the index is what a commit found. */
static int append_many(quipu *store)
{
    const quipu_draft draft = {.type = "t"};
    quipu_batch *batch = quipu_batch_new();
    char name[32];
    int rc;

    for (int i = 0; i < FULL; i++) {
        (void)snprintf(name, sizeof(name), "stream-%d", i);
        (void)quipu_batch_append(batch, name, QUIPU_ANY, &draft, 1);
    }
    rc = quipu_commit(store, batch, NULL, &why);
    if (rc == QUIPU_OK)
        rc = quipu_append(store, "one more", QUIPU_ANY, &draft, 1, NULL, &why);
    quipu_batch_free(batch);
    return rc;
}

static uint64_t indexed_of(quipu *store)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};

    cr_assert_eq(quipu_stat_get(store, &stat, NULL), QUIPU_OK);
    return stat.indexed;
}

static void await_indexed(quipu *store, uint64_t position)
{
    int64_t deadline_ns = qp_clock_deadline_ns(20000);

    while (indexed_of(store) < position || atomic_load(&store->handle->merging)) {
        cr_assert_lt(qp_clock_monotonic_ns(), deadline_ns, "the index does not come to %lu",
                     position);
        qp_clock_sleep_ms(1);
    }
}

/* Of this process that merge. */
static unsigned mergers(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task = readdir(tasks);
    unsigned count = 0;

    for (; task != NULL; task = readdir(tasks)) {
        char path[300];
        char name[32] = "";
        size_t size = sizeof(name) - 1;

        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
        if (task->d_name[0] != '.' && support_read_file(path, name, &size))
            count += strncmp(name, "quipu-merge", 11) == 0;
    }
    (void)closedir(tasks);
    return count;
}

static void check_whole(uint64_t events)
{
    quipu_verified verified = {QUIPU_INIT(quipu_verified), .reserved = 0};
    char path[SUPPORT_PATH_BYTES];

    cr_expect_eq(quipu_verify(support_path(path, "store"), 0, NULL, NULL, NULL, &verified, &why),
                 QUIPU_OK, "%s", why.text);
    cr_expect_eq(verified.checked, events);
}

/* ---- tests ----------------------------------------------------------------------------------- */

Test(merge, by_who_commits)
{
    quipu *store = open_store(0);

    cr_expect_eq(mergers(), 0, "no thread that nobody asked for");
    atomic_store(&own_writes, 0);
    cr_assert_eq(append_many(store), QUIPU_OK);
    cr_expect_eq(indexed_of(store), EVENTS, "before the call returned");
    cr_expect_gt(atomic_load(&own_writes), 0);
    cr_expect_eq(atomic_load(&other_writes), 0);
    quipu_close(store);
}

Test(merge, by_a_thread)
{
    enum { ROUNDS = 5 };
    quipu *store = open_store(QUIPU_OPEN_MERGE_THREAD);

    cr_assert_not_null(store, "%s", why.text);
    cr_expect_eq(mergers(), 1);
    atomic_store(&own_writes, 0);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        cr_assert_eq(append_many(store), QUIPU_OK, "%s", why.text);
        await_indexed(store, round * EVENTS);
    }
    cr_expect_eq(atomic_load(&own_writes), 0, "who commits does not merge");
    cr_expect_gt(atomic_load(&other_writes), 0);
    quipu_close(store);
    cr_expect_eq(mergers(), 0, "it has ended");
    cr_expect_eq(atomic_load(&tells), 0, "%s", told);
    check_whole(ROUNDS * EVENTS);
}

Test(merge, thread_of_a_store_that_is_opened_again)
{
    const quipu_options other = options_of(0);
    char path[SUPPORT_PATH_BYTES];
    quipu *store = open_store(QUIPU_OPEN_MERGE_THREAD);
    quipu *again = open_store(QUIPU_OPEN_MERGE_THREAD | QUIPU_OPEN_EXISTING);
    quipu *third = NULL;

    cr_expect_eq(again, store);
    cr_expect_eq(quipu_open(support_path(path, "store"), &other, &third, &why), QUIPU_MISUSE);
    cr_expect_eq(mergers(), 1, "one for both");
    quipu_close(again);
    cr_expect_eq(mergers(), 1);
    quipu_close(store);
    cr_expect_eq(mergers(), 0);
}

/* What is under way when the store is closed is brought to its end, or done by the close. */
Test(merge, thread_that_merges_while_it_closes)
{
    enum { ROUNDS = 20 };

    for (uint64_t round = 1; round <= ROUNDS; round++) {
        quipu *store = open_store(QUIPU_OPEN_MERGE_THREAD);

        cr_assert_not_null(store, "%s", why.text);
        cr_assert_eq(append_many(store), QUIPU_OK);
        qp_clock_sleep_ms((unsigned)(round % 4));
        quipu_close(store);
    }
    cr_expect_eq(atomic_load(&tells), 0, "%s", told);
    check_whole(ROUNDS * EVENTS);
}

/* The hard limit holds with a thread too: who commits waits for it, and says who merges. */
Test(merge, commits_wait_for_a_thread_that_is_too_slow)
{
    quipu *store = open_store(QUIPU_OPEN_MERGE_THREAD);
    unsigned good = 0;
    uint64_t head = 0;
    char pid[16];
    int rc = QUIPU_OK;

    atomic_store(&hold, true);
    while (rc == QUIPU_OK && good < 100) {
        rc = append_many(store);
        good += rc == QUIPU_OK;
    }
    cr_expect_eq(rc, QUIPU_BUSY, "%d after %u batches", rc, good);
    cr_expect_gt(good, 1, "the soft limit is no limit");
    cr_expect_lt(good, 99, "1 MiB of tail");
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    cr_expect_not_null(strstr(why.text, pid), "%s", why.text);
    atomic_store(&hold, false);
    cr_expect_eq(append_many(store), QUIPU_OK, "%s", why.text);
    cr_expect_eq(quipu_head(store, &head, &why), QUIPU_OK);
    cr_expect_geq(head, (good + 1) * EVENTS);
    quipu_close(store);
    check_whole(head);
}

Test(merge, thread_tells_of_a_failure)
{
    quipu *store = open_store(QUIPU_OPEN_MERGE_THREAD);
    int64_t deadline_ns = qp_clock_deadline_ns(20000);

    qp_shared_set(&store->handle->shared, QP_SHARED_INDEX_POISONED, true);
    cr_assert_eq(append_many(store), QUIPU_OK);
    while (atomic_load(&tells) == 0 && qp_clock_monotonic_ns() < deadline_ns)
        qp_clock_sleep_ms(1);
    cr_expect_not_null(strstr(told, "the index stays behind"), "%s", told);
    quipu_close(store);
    store = open_store(0);
    cr_assert_not_null(store, "%s", why.text);
    quipu_close(store);
    check_whole(EVENTS);
}

Test(merge, thread_of_a_forked_childs_parent)
{
    quipu *store = open_store(QUIPU_OPEN_MERGE_THREAD);
    pid_t child = fork();
    int status;

    if (child == 0) {
        quipu_close(store);
        _exit(append_many(open_store(0)) == QUIPU_OK ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0, "%x", (unsigned)status);
    cr_assert_eq(append_many(store), QUIPU_OK);
    await_indexed(store, 2 * EVENTS);
    quipu_close(store);
    check_whole(2 * EVENTS);
}
