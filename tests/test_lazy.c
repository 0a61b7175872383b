/* test_lazy.c - durability QUIPU_LAZY: which flushes are made, and which are made up for. LMDB's
 * calls come here first: this program defines pwrite() and fdatasync() itself, and counts them. */
#include "clock.h"
#include "handles.h"
#include "lock.h"
#include "merge.h"
#include "support_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

SUPPORT_SUITE(lazy);

#define EXPORTED __attribute__((visibility("default"))) /* or liblmdb would not find it */

/* Of log.mdb: flushes, and writes that wait for the disk, which a meta page's is. */
static struct {
    unsigned flushes;
    unsigned synced_writes;
    unsigned rewritten; /* both meta pages */
    bool fail;
    int os_error; /* of so many flushes, if not of all */
    unsigned failing;
} seen;

static bool is_log(int fd)
{
    char link[64];
    char path[SUPPORT_PATH_BYTES];
    ssize_t size;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof(path) - 1);
    return size > 8 && memcmp(path + size - 8, "/log.mdb", 8) == 0;
}

EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (is_log(fd) && (fcntl(fd, F_GETFL) & O_DSYNC) != 0)
        seen.synced_writes++;
    seen.rewritten += offset == 0 && size % 4096 == 0 && is_log(fd);
    return syscall(SYS_pwrite64, fd, bytes, size, offset);
}

EXPORTED int fdatasync(int fd)
{
    if (is_log(fd)) {
        seen.flushes++;
        if (seen.fail) {
            errno = EIO;
            return -1;
        }
        if (seen.failing > 0) {
            seen.failing--;
            errno = seen.os_error;
            return -1;
        }
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- a store ---- */

static quipu_error why;
static const uint8_t id[16] = {7};

static quipu *open_store(uint32_t durability)
{
    const quipu_options options = {.struct_size = sizeof(options), .durability = durability};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    cr_assert_eq(quipu_open(support_path(path, "store"), &options, &store, &why), QUIPU_OK, "%s",
                 why.text);
    return store;
}

static int append(quipu *store, quipu_receipt *receipt)
{
    quipu_draft draft = {.type = "t", .flags = QUIPU_EVENT_HAS_ID};

    memcpy(draft.id, id, sizeof(id));
    why = (quipu_error){0};
    return quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, receipt, &why);
}

static int append_new(quipu *store)
{
    const quipu_draft draft = {.type = "t"};

    why = (quipu_error){0};
    return quipu_append(store, "s-2", QUIPU_ANY, &draft, 1, NULL, &why);
}

/* As if another process had opened the store lazily. */
static void say_lazy_seen(quipu *store)
{
    qp_shared_set(&store->handle->shared, QP_SHARED_LAZY_SEEN, true);
}

static void expect_calls(unsigned flushes, unsigned synced_writes, const char *what)
{
    cr_expect_eq(seen.flushes, flushes, "%s: %u flushes, not %u", what, seen.flushes, flushes);
    cr_expect_eq(seen.synced_writes, synced_writes, "%s: %u synced writes, not %u", what,
                 seen.synced_writes, synced_writes);
    seen.flushes = 0;
    seen.synced_writes = 0;
}

/* ---- what is flushed ---- */

Test(lazy, a_commit_waits_for_one_flush)
{
    quipu *store = open_store(QUIPU_SYNC);

    seen.flushes = seen.synced_writes = 0;
    cr_assert_eq(append_new(store), QUIPU_OK, "%s", why.text);
    expect_calls(1, 1, "sync");
    quipu_close(store);
    store = open_store(QUIPU_LAZY);
    seen.flushes = seen.synced_writes = 0;
    cr_assert_eq(append_new(store), QUIPU_OK, "%s", why.text);
    expect_calls(1, 0, "lazy");
    quipu_close(store);
}

Test(lazy, the_barrier)
{
    quipu *store = open_store(QUIPU_LAZY);

    cr_assert_eq(append_new(store), QUIPU_OK);
    seen.flushes = seen.synced_writes = 0;
    cr_assert_eq(quipu_flush(store, &why), QUIPU_OK, "%s", why.text);
    expect_calls(1, 0, "flush");
    quipu_close(store);
    store = open_store(QUIPU_SYNC);
    seen.flushes = seen.synced_writes = 0;
    cr_assert_eq(quipu_flush(store, &why), QUIPU_OK, "%s", why.text);
    expect_calls(0, 0, "nobody is lazy");
    quipu_close(store);
}

/* What a lazy handle has committed may be in the cache only. */
Test(lazy, a_receipt_does_not_promise_more_than_the_disk_has)
{
    quipu *store = open_store(QUIPU_SYNC);
    quipu_batch *batch = quipu_batch_new();
    quipu_receipt receipt;

    cr_assert_eq(append(store, &receipt), QUIPU_OK);
    quipu_batch_expect(batch, "s-1", 1);
    seen.flushes = seen.synced_writes = 0;
    cr_assert_eq(append(store, &receipt), QUIPU_OK);
    cr_assert_eq(receipt.verdict, QUIPU_DUPLICATE);
    expect_calls(0, 0, "a duplicate, nobody is lazy");

    say_lazy_seen(store);
    cr_assert_eq(append(store, &receipt), QUIPU_OK);
    cr_assert_eq(receipt.verdict, QUIPU_DUPLICATE);
    expect_calls(1, 0, "a duplicate");
    cr_assert_eq(quipu_commit(store, batch, &receipt, &why), QUIPU_OK);
    expect_calls(1, 0, "a condition that holds");
    quipu_batch_expect(batch, "s-1", 2);
    cr_assert_eq(quipu_commit(store, batch, &receipt, &why), QUIPU_CONFLICT);
    expect_calls(0, 0, "a condition that does not hold");
    cr_assert_eq(append_new(store), QUIPU_OK);
    expect_calls(1, 1, "what writes flushes anyway");
    quipu_batch_free(batch);
    quipu_close(store);
}

Test(lazy, a_lazy_receipt_promises_no_more)
{
    quipu *store = open_store(QUIPU_LAZY);
    quipu_receipt receipt;

    cr_assert_eq(append(store, &receipt), QUIPU_OK);
    seen.flushes = seen.synced_writes = 0;
    cr_assert_eq(append(store, &receipt), QUIPU_OK);
    cr_assert_eq(receipt.verdict, QUIPU_DUPLICATE);
    expect_calls(0, 0, "a duplicate");
    quipu_close(store);
}

/* The index must not know more than a power cut leaves of the log. */
Test(lazy, a_merge_flushes_the_log_first)
{
    quipu *store = open_store(QUIPU_SYNC);

    for (int i = 0; i < 10; i++)
        cr_assert_eq(append_new(store), QUIPU_OK);
    seen.flushes = seen.synced_writes = 0;
    cr_assert_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_OK, "%s", why.text);
    expect_calls(0, 0, "nobody is lazy");
    cr_assert_eq(append_new(store), QUIPU_OK);
    say_lazy_seen(store);
    seen.flushes = seen.synced_writes = 0;
    cr_assert_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_OK, "%s", why.text);
    expect_calls(1, 0, "a merge");
    quipu_close(store);
}

/* ---- what cannot be flushed ---- */

/* Whoever could not flush leaves the store to nobody. */
static void expect_poisoned(quipu *store, const char *what)
{
    seen.fail = false;
    cr_expect(qp_shared_get(&store->handle->shared, QP_SHARED_POISONED), "%s", what);
    cr_expect_eq(append_new(store), QUIPU_IO, "%s", what);
    quipu_close(store);
    store = open_store(QUIPU_SYNC);
    cr_expect_eq(append_new(store), QUIPU_OK, "%s: %s", what, why.text);
    quipu_close(store);
}

Test(lazy, a_barrier_that_fails)
{
    quipu *store = open_store(QUIPU_LAZY);

    cr_assert_eq(append_new(store), QUIPU_OK);
    seen.fail = true;
    cr_expect_eq(quipu_flush(store, &why), QUIPU_IO);
    expect_poisoned(store, "flush");
}

/* No room undoes a commit. But the flush may have failed for the meta page that the lazy commit
 * before it has left to the cache: that is written again before anybody goes on. */
Test(lazy, no_room_after_a_lazy_commit)
{
    quipu *store = open_store(QUIPU_LAZY);
    uint64_t head = 0;

    cr_assert_eq(append_new(store), QUIPU_OK);
    seen.rewritten = 0;
    seen.os_error = ENOSPC;
    seen.failing = 1;
    cr_expect_eq(append_new(store), QUIPU_FULL, "%s", why.text);
    cr_expect_eq(seen.rewritten, 1);
    cr_expect_eq(append_new(store), QUIPU_OK, "%s", why.text);
    seen.failing = 2; /* nor can that be written again */
    cr_expect_eq(append_new(store), QUIPU_IO, "%s", why.text);
    expect_poisoned(store, "no room");
    store = open_store(QUIPU_SYNC);
    cr_assert_eq(quipu_head(store, &head, &why), QUIPU_OK);
    seen.rewritten = 0;
    seen.failing = 1;
    cr_expect_eq(append_new(store), QUIPU_FULL, "%s", why.text);
    cr_expect_eq(seen.rewritten, 0, "all was flushed that anybody was told of");
    quipu_close(store);
}

Test(lazy, a_duplicate_that_cannot_be_flushed)
{
    quipu *store = open_store(QUIPU_SYNC);
    quipu_receipt receipt;

    cr_assert_eq(append(store, &receipt), QUIPU_OK);
    say_lazy_seen(store);
    seen.fail = true;
    cr_expect_eq(append(store, &receipt), QUIPU_IO);
    cr_expect_eq(receipt.verdict, QUIPU_REFUSED);
    expect_poisoned(store, "duplicate");
}

Test(lazy, a_merge_whose_flush_fails)
{
    quipu *store = open_store(QUIPU_SYNC);
    quipu_stat stat = {.struct_size = sizeof(stat)};

    for (int i = 0; i < 10; i++)
        cr_assert_eq(append_new(store), QUIPU_OK);
    say_lazy_seen(store);
    seen.fail = true;
    cr_expect_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_IO);
    cr_assert_eq(quipu_stat_get(store, &stat, &why), QUIPU_OK, "%s", why.text);
    cr_expect_eq(stat.indexed, 0, "nothing was merged");
    expect_poisoned(store, "merge");
}

static int merge_status;

static void *merge_by_thread(void *payload)
{
    merge_status = qp_merge_whole(((quipu *)payload)->handle, NULL, NULL, &why);
    return NULL;
}

/* A merge that must flush needs the store lock. Who has it too long makes it give up; who has made
 * a flush fail meanwhile makes it stop. */
Test(lazy, a_merge_that_waits_for_the_lock)
{
    for (int poisoned = 0; poisoned < 2; poisoned++) {
        const quipu_options options = {.struct_size = sizeof(options),
                                       .busy_timeout_ms = poisoned ? 10000 : 1};
        char path[SUPPORT_PATH_BYTES];
        quipu *store = NULL;
        pthread_t thread;
        struct qp_hand_over hand_over;

        cr_assert_eq(quipu_open(support_path(path, "store"), &options, &store, &why), QUIPU_OK);
        cr_assert_eq(append_new(store), QUIPU_OK);
        say_lazy_seen(store);
        cr_assert_eq(qp_lock_take(store->handle, qp_clock_deadline_ns(10000), &why), QUIPU_OK);
        cr_assert_eq(pthread_create(&thread, NULL, merge_by_thread, store), 0);
        if (poisoned) {
            qp_clock_sleep_ms(50); /* else it sees the flag before it waits, and says the same */
            qp_shared_set(&store->handle->shared, QP_SHARED_POISONED, true);
            hand_over = qp_lock_release(store->handle, false);
            cr_assert_eq(pthread_join(thread, NULL), 0);
        } else {
            cr_assert_eq(pthread_join(thread, NULL), 0);
            hand_over = qp_lock_release(store->handle, false);
        }
        qp_lock_stand_back(store->handle, hand_over);
        cr_expect_eq(merge_status, poisoned ? QUIPU_IO : QUIPU_BUSY, "%s", why.text);
        if (!poisoned)
            cr_expect_eq(qp_merge_whole(store->handle, NULL, NULL, &why), QUIPU_OK, "%s", why.text);
        quipu_close(store);
    }
}

/* ---- the word in `shared` ---- */

Test(lazy, others_are_told_before_it_commits)
{
    quipu *store = open_store(QUIPU_LAZY);

    cr_expect(qp_shared_get(&store->handle->shared, QP_SHARED_LAZY_SEEN));
    quipu_close(store);
    store = open_store(QUIPU_SYNC);
    cr_expect_not(qp_shared_get(&store->handle->shared, QP_SHARED_LAZY_SEEN),
                  "a sole opener has settled everything");
    quipu_close(store);
}
