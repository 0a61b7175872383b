/* test_async.c - asynchronous commits through the API: who is told what, in which order, and when;
 * how many may be pending; whose a batch is that was not taken. */
#include "clock.h"
#include "handles.h"
#include "lock.h"
#include "support_suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What hangs is stopped. */
TestSuite(async, .init = support_begin, .fini = support_suite_end, .timeout = 60);

enum { MANY = 200, THREADS = 8, TOLD_MAX = THREADS * MANY };

static quipu_error why;

/* What the functions were told, in order. */
static struct {
    unsigned count;
    int status[TOLD_MAX];
    uint64_t position[TOLD_MAX];
    unsigned number[TOLD_MAX]; /* of the payload */
    quipu_receipt receipt;     /* the last one's */
    quipu_result result;
    quipu_error error;
    atomic_int inside;
} told;

static unsigned numbers[TOLD_MAX];

static void done(void *payload, int status, const quipu_receipt *receipt, const quipu_batch *batch,
                 const quipu_error *error)
{
    cr_expect_eq(atomic_fetch_add(&told.inside, 1), 0, "two are told at once");
    cr_assert_lt(told.count, TOLD_MAX);
    cr_expect_eq(error->status, status);
    told.status[told.count] = status;
    told.position[told.count] = receipt->first_position;
    told.number[told.count] = *(const unsigned *)payload;
    told.receipt = *receipt;
    told.error = *error;
    told.result = (quipu_result){.status = 99};
    if (quipu_batch_steps(batch) > 0)
        (void)quipu_batch_result(batch, 0, &told.result);
    told.count++;
    (void)atomic_fetch_sub(&told.inside, 1);
}

static quipu *open_with(const quipu_options *options)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    for (unsigned i = 0; i < TOLD_MAX; i++)
        numbers[i] = i;
    cr_assert_eq(quipu_open(support_path(path, "store"), options, &store, &why), QUIPU_OK, "%s",
                 why.text);
    return store;
}

static quipu *open_store(uint32_t pending_max)
{
    return open_with(&(quipu_options){QUIPU_INIT(quipu_options), .async_pending_max = pending_max,
                                      .busy_timeout_ms = 100});
}

static uint64_t head_of(quipu *store)
{
    uint64_t head = 99;

    cr_assert_eq(quipu_head(store, &head, NULL), QUIPU_OK);
    return head;
}

static quipu_batch *batch_of(const char *stream, uint64_t expected)
{
    const quipu_draft draft = {.type = "t"};
    quipu_batch *batch = quipu_batch_new();

    (void)quipu_batch_append(batch, stream, expected, &draft, 1);
    return batch;
}

static int put(quipu *store, unsigned number)
{
    return quipu_commit_async(store, batch_of("s-1", QUIPU_ANY), done, &numbers[number], &why);
}

/* ---- order and room -------------------------------------------------------------------------- */

Test(async, told_in_order_by_a_flush)
{
    quipu *store = open_store(0);

    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(put(store, i), QUIPU_OK);
    cr_expect_eq(told.count, 0, "nobody has led");
    cr_expect_eq(head_of(store), 0);
    cr_assert_eq(quipu_flush(store, &why), QUIPU_OK, "%s", why.text);
    cr_assert_eq(told.count, MANY);
    for (unsigned i = 0; i < MANY; i++)
        cr_expect(told.status[i] == QUIPU_OK && told.number[i] == i && told.position[i] == i + 1,
                  "%u", i);
    cr_expect_eq(told.receipt.verdict, QUIPU_COMMITTED);
    cr_expect_eq(told.receipt.last_version, MANY);
    cr_expect_eq(told.result.first_position, MANY, "the batch has its results");
    cr_expect_eq(head_of(store), MANY);
    cr_expect_eq(quipu_flush(store, &why), QUIPU_OK, "nothing is pending");
    cr_expect_eq(told.count, MANY);
    quipu_close(store);
}

/* At most so many wait, and all before them are in the store. */
Test(async, as_many_as_may_be_pending)
{
    static const uint32_t most[] = {1, 2, 16};

    for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
        char path[SUPPORT_PATH_BYTES];
        quipu *store = open_store(most[i]);
        unsigned least = 0;

        told.count = 0;
        for (unsigned n = 0; n < MANY; n++) {
            cr_assert_eq(put(store, n), QUIPU_OK);
            cr_expect_leq(n + 1 - told.count, most[i], "%u of %u told", told.count, n + 1);
            cr_expect_eq(head_of(store), told.count);
            least += n + 1 - told.count == most[i];
        }
        cr_expect_geq(least, MANY / most[i], "they are led no earlier than needed");
        cr_assert_eq(quipu_flush(store, NULL), QUIPU_OK);
        for (unsigned n = 0; n < MANY; n++)
            cr_expect_eq(told.number[n], n);
        cr_expect_eq(told.count, MANY);
        quipu_close(store);
        support_remove(support_path(path, "store"));
    }
}

/* An append commits what came before it, in this order. */
Test(async, committed_with_an_append)
{
    const quipu_draft draft = {.type = "t"};
    quipu *store = open_store(0);
    quipu_receipt receipt;

    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(put(store, i), QUIPU_OK);
    cr_assert_eq(quipu_append(store, "s-1", 3, &draft, 1, &receipt, &why), QUIPU_OK, "%s",
                 why.text);
    cr_expect_eq(receipt.first_position, 4);
    cr_expect_eq(told.count, 3, "who led tells");
    for (unsigned i = 0; i < 3; i++)
        cr_expect_eq(told.position[i], i + 1);
    quipu_close(store);
}

/* ---- within a function ----------------------------------------------------------------------- */

struct chain {
    quipu *store;
    unsigned links;
    unsigned told;
    int status; /* of the last commit or put */
};

static void next_link(void *payload, int status, const quipu_receipt *receipt,
                      const quipu_batch *batch, const quipu_error *error)
{
    struct chain *chain = payload;

    (void)receipt;
    (void)batch;
    (void)error;
    chain->status = status;
    if (++chain->told == chain->links || status < 0)
        return;
    batch = batch_of("s-1", chain->told);
    chain->status =
        quipu_commit_async(chain->store, (quipu_batch *)(uintptr_t)batch, next_link, chain, NULL);
    if (chain->status < 0)
        quipu_batch_free((quipu_batch *)(uintptr_t)batch);
}

/* Each function commits the next one. A flush waits for what was begun before it, and so is not
 * kept for ever by those that begin in it. */
Test(async, a_chain)
{
    static const uint32_t most[] = {1, 2, 0};

    for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
        char path[SUPPORT_PATH_BYTES];
        quipu *store = open_store(most[i]);
        struct chain chain = {.store = store, .links = 20};

        cr_assert_eq(quipu_commit_async(store, batch_of("s-1", 0), next_link, &chain, &why),
                     QUIPU_OK);
        for (unsigned link = 1; link <= chain.links; link++) {
            cr_assert_eq(quipu_flush(store, &why), QUIPU_OK, "%s", why.text);
            cr_expect_eq(chain.told, link);
            cr_expect_eq(chain.status, QUIPU_OK);
        }
        cr_expect_eq(head_of(store), chain.links);
        quipu_close(store);
        support_remove(support_path(path, "store"));
    }
}

static void put_until_busy(void *payload, int status, const quipu_receipt *receipt,
                           const quipu_batch *batch, const quipu_error *error)
{
    struct chain *chain = payload;

    (void)receipt;
    (void)batch;
    (void)error;
    cr_expect_eq(status, QUIPU_OK);
    while (chain->told < 100) {
        quipu_batch *next = batch_of("s-2", QUIPU_ANY);

        chain->status = quipu_commit_async(chain->store, next, done, &numbers[0], &why);
        if (chain->status < 0) {
            quipu_batch_free(next); /* it is still ours */
            return;
        }
        chain->told++;
    }
}

Test(async, a_function_does_not_wait_for_room)
{
    quipu *store = open_store(3);
    struct chain chain = {.store = store};

    cr_assert_eq(quipu_commit_async(store, batch_of("s-1", 0), put_until_busy, &chain, &why), 0);
    cr_assert_eq(put(store, 1), QUIPU_OK);
    cr_assert_eq(quipu_flush(store, &why), QUIPU_OK);
    cr_expect_eq(chain.status, QUIPU_BUSY);
    cr_expect_eq(why.status, QUIPU_BUSY);
    cr_expect_eq(chain.told, 2, "one is told of, one is pending, three may be");
    cr_assert_eq(quipu_flush(store, &why), QUIPU_OK);
    cr_expect_eq(told.count, 3);
    cr_expect_eq(head_of(store), 4);
    quipu_close(store);
}

static void flush_within(void *payload, int status, const quipu_receipt *receipt,
                         const quipu_batch *batch, const quipu_error *error)
{
    struct chain *chain = payload;

    (void)receipt;
    (void)batch;
    (void)error;
    cr_expect_eq(status, QUIPU_OK);
    chain->told++;
    chain->status = quipu_flush(chain->store, &why);
}

Test(async, no_flush_within_a_function)
{
    quipu *store = open_store(0);
    struct chain chain = {.store = store};

    cr_assert_eq(quipu_commit_async(store, batch_of("s-1", 0), flush_within, &chain, &why), 0);
    cr_assert_eq(quipu_flush(store, NULL), QUIPU_OK);
    cr_expect(chain.told == 1 && chain.status == QUIPU_MISUSE && why.status == QUIPU_MISUSE);
    quipu_close(store);
}

/* ---- close ----------------------------------------------------------------------------------- */

Test(async, a_close_commits_and_tells)
{
    quipu *store = open_store(0);

    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(put(store, i), QUIPU_OK);
    quipu_close(store);
    cr_expect_eq(told.count, 10);
    cr_expect_eq(told.status[9], QUIPU_OK);
    store = open_store(0);
    cr_expect_eq(head_of(store), 10);
    quipu_close(store);
}

Test(async, a_close_takes_no_more)
{
    quipu *store = open_store(0);
    struct chain chain = {.store = store, .links = 5};

    cr_assert_eq(quipu_commit_async(store, batch_of("s-1", 0), next_link, &chain, &why), 0);
    quipu_close(store);
    cr_expect_eq(chain.told, 1);
    cr_expect_eq(chain.status, QUIPU_CLOSED);
    store = open_store(0);
    cr_expect_eq(head_of(store), 1);
    quipu_close(store);
}

/* ---- what is not taken, and what fails later ------------------------------------------------- */

Test(async, whose_the_batch_is)
{
    quipu *store = open_with(
        &(quipu_options){QUIPU_INIT(quipu_options), .batch_events_max = 2, .data_bytes_max = 10});
    const quipu_draft drafts[3] = {{.type = "t"}, {.type = "t"}, {.type = "t"}};
    const quipu_draft large = {.type = "t", .data = "12345678901", .data_size = 11};
    quipu_batch *batch = batch_of("s-1", QUIPU_ANY);

    cr_expect_eq(quipu_commit_async(store, NULL, done, numbers, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_commit_async(store, batch, NULL, numbers, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_commit_async(NULL, batch, done, numbers, &why), QUIPU_MISUSE);
    (void)quipu_batch_append(batch, "s-1", QUIPU_ANY, drafts, 3);
    cr_expect_eq(quipu_commit_async(store, batch, done, numbers, &why), QUIPU_TOO_LARGE);
    quipu_batch_clear(batch);
    (void)quipu_batch_append(batch, "s-1", QUIPU_ANY, &large, 1);
    cr_expect_eq(quipu_commit_async(store, batch, done, numbers, &why), QUIPU_TOO_LARGE);
    quipu_batch_clear(batch);
    (void)quipu_batch_append(batch, "", QUIPU_ANY, drafts, 1);
    why = (quipu_error){0};
    cr_expect_eq(quipu_commit_async(store, batch, done, numbers, &why), QUIPU_INVALID);
    cr_expect(why.status == QUIPU_INVALID && why.text[0] != '\0');
    quipu_batch_clear(batch);
    cr_expect_eq(quipu_flush(store, NULL), QUIPU_OK);
    cr_expect_eq(told.count, 0);
    cr_expect_eq(quipu_commit_async(store, batch, done, numbers, NULL), QUIPU_OK, "empty is whole");
    cr_expect_eq(quipu_flush(store, NULL), QUIPU_OK);
    cr_expect(told.count == 1 && told.status[0] == QUIPU_OK && told.position[0] == 0);
    cr_expect_eq(quipu_flush(NULL, NULL), QUIPU_MISUSE);
    quipu_close(store);
}

Test(async, read_only)
{
    quipu *store = open_store(0);
    quipu_batch *batch = batch_of("s-1", QUIPU_ANY);

    quipu_close(store);
    store = open_with(&(quipu_options){QUIPU_INIT(quipu_options), .flags = QUIPU_OPEN_READ_ONLY});
    cr_expect_eq(quipu_commit_async(store, batch, done, numbers, &why), QUIPU_READ_ONLY);
    cr_expect_eq(quipu_flush(store, &why), QUIPU_READ_ONLY);
    quipu_close(store);
    quipu_batch_free(batch);
    cr_expect_eq(told.count, 0);
}

Test(async, a_conflict_is_told)
{
    quipu *store = open_store(0);
    quipu_batch *batch = batch_of("s-1", 7);

    cr_assert_eq(put(store, 0), QUIPU_OK);
    cr_assert_eq(quipu_commit_async(store, batch, done, &numbers[1], &why), QUIPU_OK);
    cr_assert_eq(put(store, 2), QUIPU_OK);
    batch = batch_of("s-1", 9);
    cr_assert_eq(quipu_commit_async(store, batch, done, &numbers[3], &why), QUIPU_OK);
    cr_expect_eq(quipu_flush(store, &why), QUIPU_OK, "of each its own function is told");
    cr_assert_eq(told.count, 4);
    cr_expect(told.status[0] == QUIPU_OK && told.status[2] == QUIPU_OK);
    cr_expect(told.status[1] == QUIPU_CONFLICT && told.status[3] == QUIPU_CONFLICT);
    cr_expect(told.receipt.verdict == QUIPU_REFUSED && told.receipt.failed_count == 1 &&
              told.receipt.expected == 9 && told.receipt.actual == 2);
    cr_expect(told.result.status == QUIPU_CONFLICT && told.result.actual == 2);
    cr_expect_neq(told.error.text[0], '\0');
    cr_expect_eq(head_of(store), 2);
    quipu_close(store);
}

/* Our own process holds the lock: for who commits it is another one. */
Test(async, busy_is_told)
{
    quipu *store = open_store(0);

    cr_assert_eq(qp_lock_take(store->handle, qp_clock_deadline_ns(1000), NULL), QUIPU_OK);
    cr_assert_eq(put(store, 0), QUIPU_OK);
    cr_expect_eq(quipu_flush(store, &why), QUIPU_BUSY);
    cr_expect(told.count == 1 && told.status[0] == QUIPU_BUSY && told.receipt.verdict == 0);
    cr_expect_eq(told.result.status, 99, "there is no result");
    (void)qp_lock_release(store->handle, false);
    cr_assert_eq(put(store, 1), QUIPU_OK);
    cr_expect_eq(quipu_flush(store, &why), QUIPU_OK);
    cr_expect(told.count == 2 && told.status[1] == QUIPU_OK && told.position[1] == 1);
    quipu_close(store);
}

/* What waits for room leads, and is told through the function, not by the call. */
Test(async, busy_is_no_failure_of_the_next)
{
    quipu *store = open_store(1);

    cr_assert_eq(put(store, 0), QUIPU_OK);
    cr_assert_eq(qp_lock_take(store->handle, qp_clock_deadline_ns(1000), NULL), QUIPU_OK);
    cr_expect_eq(put(store, 1), QUIPU_OK, "the first one has failed, not this");
    cr_expect(told.count == 1 && told.status[0] == QUIPU_BUSY && told.number[0] == 0);
    (void)qp_lock_release(store->handle, false);
    quipu_close(store);
    cr_expect(told.count == 2 && told.status[1] == QUIPU_OK && told.number[1] == 1);
}

Test(async, a_poisoned_store)
{
    quipu *store = open_store(0);

    cr_assert_eq(put(store, 0), QUIPU_OK);
    cr_assert_eq(quipu_flush(store, &why), QUIPU_OK);
    qp_shared_set(&store->handle->shared, QP_SHARED_POISONED, true);
    cr_assert_eq(put(store, 1), QUIPU_OK);
    cr_expect_eq(quipu_flush(store, &why), QUIPU_IO);
    cr_expect(told.count == 2 && told.status[1] == QUIPU_IO && told.position[1] == 0);
    cr_assert_eq(put(store, 2), QUIPU_OK);
    quipu_close(store);
    cr_expect(told.count == 3 && told.status[2] == QUIPU_IO, "a close tells in any case");
}

/* To queue needs no memory. Who cannot commit for want of it is told so, each once, and nothing of
 * it is there. */
Test(async, without_memory)
{
    unsigned in_vain = 0;

    for (long n = 1; n <= 40;
         n++) { /* some do no harm, so that the first of these is not the end */
        char path[SUPPORT_PATH_BYTES];
        quipu *store = open_store(0);
        quipu_batch *batches[3];
        unsigned failed = 0;
        uint64_t mark = 0;
        unsigned ok = 0;

        for (unsigned i = 0; i < 3; i++) {
            batches[i] = batch_of("s-1", QUIPU_ANY);
            (void)quipu_batch_unless(batches[i], NULL, 3);
            (void)quipu_batch_mark(batches[i], "m", i + 1);
        }
        told.count = 0;
        support_heap_fail(n, n % 2 == 0);
        for (unsigned i = 0; i < 3; i++)
            cr_assert_eq(quipu_commit_async(store, batches[i], done, &numbers[i], NULL), QUIPU_OK);
        (void)quipu_flush(store, NULL);
        support_heap_fail(0, false);
        cr_expect_eq(told.count, 3, "%ld", n);
        for (unsigned i = 0; i < told.count; i++) {
            ok += told.status[i] == QUIPU_OK;
            failed += told.status[i] == QUIPU_NO_MEMORY;
        }
        cr_expect_eq(ok + failed, 3);
        cr_expect_eq(head_of(store), ok, "%ld", n);
        (void)quipu_mark_get(store, "m", &mark, NULL);
        cr_expect_eq(mark, ok, "%ld", n);
        in_vain += failed;
        quipu_close(store);
        support_remove(support_path(path, "store"));
    }
    cr_expect_geq(in_vain, 3 * 4, "%u", in_vain);
}

/* ---- processes and threads ------------------------------------------------------------------- */

/* What is pending is the parent's. */
Test(async, a_forked_child)
{
    quipu *store = open_store(0);
    quipu_batch *batch = batch_of("s-1", QUIPU_ANY);
    int status = 1;
    pid_t child;

    cr_assert_eq(put(store, 0), QUIPU_OK);
    child = fork();
    if (child == 0) {
        int rc = quipu_commit_async(store, batch, done, &numbers[1], NULL);
        int flush = quipu_flush(store, NULL);

        quipu_close(store);
        _exit(rc == QUIPU_FORKED && flush == QUIPU_FORKED && told.count == 0 ? 0 : 3);
    }
    cr_assert(child > 0 && waitpid(child, &status, 0) == child);
    cr_expect_eq(status, 0);
    cr_expect_eq(told.count, 0);
    cr_assert_eq(quipu_flush(store, &why), QUIPU_OK);
    cr_expect(told.count == 1 && told.status[0] == QUIPU_OK);
    quipu_batch_free(batch);
    quipu_close(store);
}

struct worker {
    pthread_t thread;
    quipu *store;
    unsigned first;
    bool appends; /* some of them without asynchrony */
    bool flushes;
    unsigned appended;
    bool failed;
};

static void *work(void *payload)
{
    struct worker *worker = payload;
    const quipu_draft draft = {.type = "t"};

    for (unsigned i = 0; i < MANY; i++) {
        if (worker->appends && i % 3 == 0) {
            worker->failed |= quipu_append(worker->store, "s-2", QUIPU_ANY, &draft, 1, NULL, NULL);
            worker->appended++;
        } else {
            quipu_batch *batch = batch_of("s-1", QUIPU_ANY);

            worker->failed |=
                quipu_commit_async(worker->store, batch, done, &numbers[worker->first + i], NULL);
        }
        if (worker->flushes && i % 16 == 5)
            worker->failed |= quipu_flush(worker->store, NULL);
    }
    return NULL;
}

/* Each thread's come in its order, all in the order of positions, each once. */
static void check_told(unsigned count)
{
    static bool seen[TOLD_MAX];
    unsigned last[THREADS] = {0};

    memset(seen, 0, sizeof(seen));
    cr_assert_eq(told.count, count, "%u", told.count);
    for (unsigned i = 0; i < count; i++) {
        unsigned thread = told.number[i] / MANY;

        cr_expect_eq(told.status[i], QUIPU_OK);
        cr_expect_not(seen[told.number[i]], "%u twice", told.number[i]);
        seen[told.number[i]] = true;
        cr_expect(i == 0 || told.position[i] > told.position[i - 1], "%u", i);
        cr_expect(told.number[i] >= last[thread], "thread %u", thread);
        last[thread] = told.number[i];
    }
}

static void run_threads(uint32_t pending_max, bool appends, bool flushes, bool closes)
{
    char path[SUPPORT_PATH_BYTES];
    struct worker workers[THREADS];
    quipu *store = open_store(pending_max);
    unsigned appended = 0;

    told.count = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){
            .store = store, .first = i * MANY, .appends = appends, .flushes = flushes && i % 2};
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_join(workers[i].thread, NULL), 0);
        cr_expect_not(workers[i].failed, "thread %u", i);
        appended += workers[i].appended;
    }
    if (!closes) {
        cr_expect_eq(quipu_flush(store, &why), QUIPU_OK);
        check_told(TOLD_MAX - appended);
        cr_expect_eq(head_of(store), TOLD_MAX);
    }
    quipu_close(store);
    check_told(TOLD_MAX - appended);
    support_remove(support_path(path, "store"));
}

Test(async, threads)
{
    run_threads(0, false, false, false);
    run_threads(1, false, false, true);
    run_threads(2, true, false, false);
    run_threads(16, true, true, true);
    run_threads(64, false, true, false);
}

/* A flush waits for what was begun before it, also if another thread leads and tells that. */
static void *put_and_flush(void *payload)
{
    struct worker *worker = payload;

    for (unsigned i = 0; i < MANY / 4 && !worker->failed; i++) {
        struct chain chain = {.store = worker->store, .links = 1};

        worker->failed = quipu_commit_async(worker->store, batch_of("s-1", QUIPU_ANY), next_link,
                                            &chain, NULL) != QUIPU_OK ||
                         quipu_flush(worker->store, NULL) != QUIPU_OK || chain.told != 1;
    }
    return NULL;
}

Test(async, each_flush_has_its_own)
{
    struct worker workers[THREADS];
    quipu *store = open_store(4);

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.store = store, .first = i * MANY};
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, i % 2 == 0 ? put_and_flush : work,
                                    &workers[i]),
                     0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_join(workers[i].thread, NULL), 0);
        cr_expect_not(workers[i].failed, "thread %u was told too late", i);
    }
    quipu_close(store);
    cr_expect_eq(told.count, THREADS / 2 * MANY);
}
