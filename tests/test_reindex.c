/* test_reindex.c - quipu_reindex(): what it makes, who it refuses, where it may be stopped. */
#include "handles.h"
#include "support_suite.h"
#include "support_system.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(reindex);

enum { SLICE = QP_MERGE_EVENTS, EVENTS = SLICE + 100, PER_BATCH = 4096 };

/* Streams, types, tags and ids, enough for more than one slice of a merge. */
static void fill(const char *path, uint64_t events)
{
    quipu *store = NULL;
    quipu_draft *drafts = calloc(PER_BATCH, sizeof(*drafts));
    static const char *const tags[] = {"k:1", "k:2"};

    cr_assert_not_null(drafts);
    cr_assert_eq(quipu_open(path, NULL, &store, NULL), QUIPU_OK);
    for (uint64_t done = 0; done < events;) {
        uint64_t count = events - done < PER_BATCH ? events - done : PER_BATCH;
        char stream[32];

        for (uint64_t i = 0; i < count; i++) {
            drafts[i] = (quipu_draft){.type = i % 3 == 0 ? "a" : "b",
                                      .flags = QUIPU_EVENT_HAS_ID,
                                      .tags = tags,
                                      .tag_count = (uint32_t)(i % 3)};
            qp_set_u64(drafts[i].id, done + i);
        }
        (void)snprintf(stream, sizeof(stream), "c-%u", (unsigned)(done / PER_BATCH % 7));
        cr_assert_eq(quipu_append(store, stream, QUIPU_ANY, drafts, count, NULL, NULL), QUIPU_OK);
        done += count;
    }
    quipu_close(store);
    free(drafts);
}

static uint64_t indexed(const char *path)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    quipu_options options = {QUIPU_INIT(quipu_options), .flags = QUIPU_OPEN_READ_ONLY};
    quipu *store = NULL;

    cr_assert_eq(quipu_open(path, &options, &store, NULL), QUIPU_OK);
    cr_assert_eq(quipu_stat_get(store, &stat, NULL), QUIPU_OK);
    quipu_close(store);
    return stat.indexed;
}

static void expect_whole(const char *path)
{
    cr_expect_eq(quipu_verify(path, 0, NULL, NULL, NULL, NULL, NULL), QUIPU_OK);
}

/* Change bytes in the middle of the index: no page header, some row. */
static void damage_index(const char *path)
{
    char index[SUPPORT_PATH_BYTES + 16];
    uint64_t size;

    (void)snprintf(index, sizeof(index), "%s/index.mdb", path);
    size = sys_file_size(index);
    for (uint64_t page = 8; page < size / 4096; page += 3)
        sys_file_patch(index, page * 4096 + 3000, "\xff\xff\xff\xff", 4);
}

struct calls {
    uint64_t done;
    uint64_t total;
    unsigned count;
    int result;
};

static int count_call(void *payload, uint64_t done, uint64_t total)
{
    struct calls *calls = payload;

    cr_expect_gt(done, calls->done);
    cr_expect_leq(done, total);
    calls->done = done;
    calls->total = total;
    calls->count++;
    return calls->result;
}

Test(reindex, a_damaged_index_is_whole_again)
{
    char path[SUPPORT_PATH_BYTES];
    struct calls calls = {0};

    fill(support_path(path, "store"), EVENTS);
    damage_index(path);
    cr_expect_eq(quipu_verify(path, 0, NULL, NULL, NULL, NULL, NULL), QUIPU_CORRUPT);
    cr_expect_eq(quipu_reindex(path, count_call, &calls, NULL), QUIPU_OK);
    cr_expect(calls.count == 2 && calls.done == EVENTS && calls.total == EVENTS, "%u calls",
              calls.count);
    cr_expect_eq(indexed(path), EVENTS);
    expect_whole(path);
}

Test(reindex, an_empty_store)
{
    char path[SUPPORT_PATH_BYTES];

    fill(support_path(path, "store"), 0);
    cr_expect_eq(quipu_reindex(path, NULL, NULL, NULL), QUIPU_OK);
    expect_whole(path);
    fill(path, 10); /* it can be written */
    cr_expect_eq(quipu_reindex(path, NULL, NULL, NULL), QUIPU_OK);
    cr_expect_eq(indexed(path), 10);
}

/* A part of it is an index too. */
Test(reindex, it_may_be_stopped)
{
    char path[SUPPORT_PATH_BYTES];
    struct calls calls = {.result = 1};
    struct calls refuse = {.result = -4711};
    quipu_error error = {0};

    fill(support_path(path, "store"), EVENTS);
    cr_expect_eq(quipu_reindex(path, count_call, &calls, NULL), QUIPU_OK);
    cr_expect_eq(calls.count, 1);
    cr_expect_eq(indexed(path), SLICE);
    expect_whole(path);
    cr_expect_eq(quipu_reindex(path, count_call, &refuse, &error), -4711);
    cr_expect(error.status == -4711 && error.text[0] != '\0');
    expect_whole(path);
}

Test(reindex, statuses)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;
    quipu_error error = {0};

    support_path(path, "store");
    cr_expect_eq(quipu_reindex(NULL, NULL, NULL, &error), QUIPU_MISUSE);
    cr_expect_eq(quipu_reindex(path, NULL, NULL, &error), QUIPU_NOT_FOUND);
    fill(path, 10);
    cr_assert_eq(quipu_open(path, NULL, &store, NULL), QUIPU_OK);
    cr_expect_eq(quipu_reindex(path, NULL, NULL, &error), QUIPU_BUSY);
    cr_expect_not_null(strstr(error.text, "this process"), "%s", error.text);
    quipu_close(store);
    cr_expect_eq(quipu_reindex(path, NULL, NULL, &error), QUIPU_OK);
    cr_assert_eq(quipu_open(path, NULL, &store, NULL), QUIPU_OK);
    quipu_close(store);
}

/* What a child does while its parent has the store open, and the other way round. */
static int in_child(int (*run)(const char *path), const char *path)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(run(path) == QUIPU_OK ? 0 : 1);
    cr_assert_gt(pid, 0);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static int reindex_is_busy(const char *path)
{
    quipu_error error = {0};

    if (quipu_reindex(path, NULL, NULL, &error) != QUIPU_BUSY)
        return QUIPU_MISUSE;
    return strstr(error.text, "process ") != NULL ? QUIPU_OK : QUIPU_INVALID;
}

static int die_in_it(void *payload, uint64_t done, uint64_t total)
{
    (void)payload;
    (void)done;
    (void)total;
    _exit(7);
}

static int reindex_and_die(const char *path)
{
    return quipu_reindex(path, die_in_it, NULL, NULL);
}

Test(reindex, another_process_has_it)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    fill(support_path(path, "store"), 10);
    cr_assert_eq(quipu_open(path, NULL, &store, NULL), QUIPU_OK);
    cr_expect_eq(in_child(reindex_is_busy, path), 0);
    quipu_close(store);
}

Test(reindex, a_process_that_dies_in_it)
{
    char path[SUPPORT_PATH_BYTES];

    fill(support_path(path, "store"), EVENTS);
    cr_expect_eq(in_child(reindex_and_die, path), 7);
    expect_whole(path);
    cr_expect_eq(indexed(path), SLICE);
    fill(path, 1);
    expect_whole(path);
}

struct attempt {
    const char *path;
    unsigned calls;
};

static int open_is_busy(void *payload, uint64_t done, uint64_t total)
{
    struct attempt *attempt = payload;
    quipu_options options = {QUIPU_INIT(quipu_options), .busy_timeout_ms = 20};
    quipu *store = NULL;
    int status = 0;
    pid_t pid = fork();

    (void)done;
    (void)total;
    attempt->calls++;
    if (pid == 0)
        _exit(quipu_open(attempt->path, &options, &store, NULL) == QUIPU_BUSY ? 0 : 1);
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1000;
}

Test(reindex, nobody_opens_it_meanwhile)
{
    char path[SUPPORT_PATH_BYTES];
    struct attempt attempt = {.path = path};

    fill(support_path(path, "store"), 10);
    cr_expect_eq(quipu_reindex(path, open_is_busy, &attempt, NULL), QUIPU_OK);
    cr_expect_eq(attempt.calls, 1);
}

/* ---- a thread of this process ---- */

struct opener {
    const char *path;
    pthread_t thread;
    atomic_bool tries;
    atomic_bool has_it;
    uint64_t head;
    unsigned calls;
    bool early; /* it had it while the index was being made */
};

static void *open_it(void *payload)
{
    struct opener *opener = payload;
    quipu *store = NULL;

    atomic_store(&opener->tries, true);
    if (quipu_open(opener->path, NULL, &store, NULL) != QUIPU_OK)
        return NULL;
    atomic_store(&opener->has_it, true);
    (void)quipu_head(store, &opener->head, NULL);
    quipu_close(store);
    return NULL;
}

/* All is in the index, but it is not given back yet. */
static int open_in_thread(void *payload, uint64_t done, uint64_t total)
{
    struct opener *opener = payload;

    (void)done;
    (void)total;
    if (opener->calls++ > 0 || pthread_create(&opener->thread, NULL, open_it, opener) != 0)
        return -1000;
    while (!atomic_load(&opener->tries))
        sys_sleep_ms(1);
    sys_sleep_ms(50);
    opener->early = atomic_load(&opener->has_it);
    return 0;
}

Test(reindex, a_thread_that_opens_meanwhile_waits)
{
    char path[SUPPORT_PATH_BYTES];
    struct opener opener = {.path = path};

    fill(support_path(path, "store"), 10);
    cr_assert_eq(quipu_reindex(path, open_in_thread, &opener, NULL), QUIPU_OK);
    cr_assert_eq(opener.calls, 1);
    cr_assert_eq(pthread_join(opener.thread, NULL), 0);
    cr_expect_not(opener.early);
    cr_expect(atomic_load(&opener.has_it), "and then it gets it");
    cr_expect_eq(opener.head, 10);
    cr_expect_eq(indexed(path), 10);
    expect_whole(path);
}
