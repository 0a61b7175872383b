/* test_turn.c - turn.c: a group that is handed to the process that has the store lock, and what
 * becomes of it when that one goes on, refuses, stops or dies. The other process is a forked child
 * with a handle of its own. Some calls come here first, because this program defines them itself:
 * there the child lets this process's group come to it, and there it dies or stops. */
#include "clock.h"
#include "handles.h"
#include "lock.h"
#include "log.h"
#include "support_suite.h"
#include "turn.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENT_MS = 60000, SHORT_MS = 1000, LARGE = 40 * QP_KIB };

/* What the child does with the lock. */
enum act {
    HOLD,    /* nothing, until it is told to give it back */
    PASS,    /* nothing, until somebody waits for it */
    COLLECT, /* take along who waits, and give the lock back though nothing was committed */
    TAKE,    /* the same, and die */
    PLAN,    /* the same, with a plan that `stage` has */
    POISON,  /* the same, and say that nobody may write any more */
    AGAIN,   /* take who waits three times: the third time there is nobody */
    COMMIT,  /* take who waits along in a commit of an event */
    MARK     /* in one of a mark and a source alone */
};

/* Where it dies or stops in that commit. */
enum end { LIVES, DIES_AT_FLUSH, DIES_BEHIND_META, DIES_BEFORE_UNLOCK, STOPS_AT_FLUSH };

/* What both see. */
static struct stage {
    atomic_uint held; /* how often the child had the lock */
    atomic_uint release;
    size_t posted; /* groups that the child saw in boxes once somebody waited */
    size_t taken;  /* groups that it took */
    int status;    /* what its own commit returned */
    uint64_t plan_position;
    uint64_t plan_chain;
    int64_t waited_ns; /* for groups, the last time */
} * stage;

/* In the child alone. */
static struct qp_handle *committing; /* set: it comes by the calls below */
static enum end ending;

static void begin(void)
{
    support_begin();
    stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage == MAP_FAILED)
        abort();
}

TestSuite(turn, .init = begin, .fini = support_suite_end, .timeout = 120);

static void await(const atomic_uint *word, unsigned count)
{
    while (atomic_load(word) < count)
        (void)usleep(500);
}

/* ---- the child's commit ---------------------------------------------------------------------- */

static void open_post(struct qp_handle *handle)
{
    if (handle->post.file == NULL)
        qp_post_open(&handle->post, &handle->place, handle->shared.inode,
                     (struct qp_post_owner){handle->shared.slot, handle->shared.generation});
}

/* Whoever waits has put its group before. */
static void let_other_wait(struct qp_handle *handle)
{
    atomic_fetch_add(&stage->held, 1);
    while (!qp_shared_others_wait(&handle->shared))
        (void)usleep(500);
    open_post(handle);
    stage->posted = qp_post_count(&handle->post);
}

#define EXPORTED __attribute__((visibility("default"))) /* or liblmdb would not find it */

/* Who has the lock looks first whether its files are still there. */
EXPORTED int statx(int fd, const char *name, int flags, unsigned mask, struct statx *info)
{
    if (committing != NULL && atomic_load(&stage->held) == 0 && strcmp(name, QP_LOG_FILE) == 0)
        let_other_wait(committing);
    return (int)syscall(SYS_statx, fd, name, flags, mask, info);
}

EXPORTED int fdatasync(int fd)
{
    if (committing != NULL && ending == DIES_AT_FLUSH)
        (void)raise(SIGKILL);
    if (committing != NULL && ending == STOPS_AT_FLUSH)
        (void)raise(SIGSTOP);
    return (int)syscall(SYS_fdatasync, fd);
}

/* LMDB writes a meta page in part, all other pages whole. */
EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, size, offset);

    if (committing != NULL && ending == DIES_BEHIND_META && size % 4096 != 0)
        (void)raise(SIGKILL);
    return written;
}

/* Of all mutexes only the store lock is in that map's first page. */
EXPORTED int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    static int (*next)(pthread_mutex_t *);

    if (committing != NULL && ending == DIES_BEFORE_UNLOCK &&
        (uintptr_t)mutex - (uintptr_t)committing->shared.page < 4096)
        (void)raise(SIGKILL);
    if (next == NULL)
        next = (int (*)(pthread_mutex_t *))(uintptr_t)dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    return next(mutex);
}

static const quipu_draft draft = {.type = "t"};

static int commit_own(quipu *store, enum act act)
{
    quipu_batch *batch = quipu_batch_new();
    int rc;

    if (act == MARK) {
        (void)quipu_batch_mark(batch, "child", 1);
        (void)quipu_batch_track(batch, "source", 5);
    } else {
        (void)quipu_batch_append(batch, "child", QUIPU_ANY, &draft, 1);
    }
    committing = store->handle;
    rc = quipu_commit(store, batch, NULL, NULL);
    quipu_batch_free(batch);
    return rc;
}

/* ---- the child ------------------------------------------------------------------------------- */

static int open_as(uint32_t durability, uint32_t busy_timeout_ms, quipu **store)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .busy_timeout_ms = busy_timeout_ms,
                                   .durability = durability};
    char path[SUPPORT_PATH_BYTES];

    return quipu_open(support_path(path, "store"), &options, store, NULL);
}

static void answer(struct qp_handle *handle, struct qp_parcel *parcels)
{
    qp_post_answer(&handle->post, parcels, false);
    qp_post_free(parcels);
    (void)qp_lock_release(handle, false);
}

/* It has the lock, and dies with it or gives it back. */
static void hold(struct qp_handle *handle, enum act act)
{
    struct qp_parcel *parcels = NULL;

    if (act == HOLD) {
        atomic_store(&stage->held, 1);
        await(&stage->release, 1);
    } else {
        let_other_wait(handle);
    }
    if (act != HOLD && act != PASS)
        parcels = qp_turn_collect(handle);
    for (const struct qp_parcel *parcel = parcels; parcel != NULL; parcel = parcel->next)
        stage->taken++;
    if (act == PLAN || act == POISON) {
        parcels->first->status = QUIPU_CONFLICT;
        parcels->first->receipt = (quipu_receipt){.verdict = QUIPU_REFUSED, .actual = 77};
        qp_post_plan(&handle->post, parcels, stage->plan_position, stage->plan_chain);
    }
    if (act == POISON)
        qp_shared_set(&handle->shared, QP_SHARED_POISONED, true);
    if (act == TAKE || act == PLAN || act == POISON)
        (void)raise(SIGKILL);
    answer(handle, parcels);
}

static void take_again(struct qp_handle *handle)
{
    for (int i = 0; i < 3; i++) {
        struct qp_parcel *parcels;
        int64_t begun_ns;

        await(&stage->release, (unsigned)i); /* who was answered has come for it */
        if (qp_lock_take(handle, INT64_MAX, NULL) != QUIPU_OK)
            _exit(2);
        if (i < 2)
            let_other_wait(handle);
        begun_ns = qp_clock_monotonic_ns();
        parcels = qp_turn_collect(handle);
        stage->waited_ns = qp_clock_monotonic_ns() - begun_ns;
        stage->taken += parcels != NULL;
        answer(handle, parcels);
    }
}

static void play(uint32_t durability, enum act act)
{
    quipu *store = NULL;

    if (open_as(durability, PATIENT_MS, &store) != QUIPU_OK)
        _exit(1);
    if (act == COMMIT || act == MARK)
        stage->status = commit_own(store, act);
    else if (act == AGAIN)
        take_again(store->handle);
    else if (qp_lock_take(store->handle, INT64_MAX, NULL) == QUIPU_OK)
        hold(store->handle, act);
    else
        _exit(2);
    committing = NULL;
    quipu_close(store);
    _exit(0);
}

/* Start one, which has the lock when this returns. */
static pid_t start_as(uint32_t durability, enum act act, enum end end)
{
    pid_t child;

    atomic_store(&stage->held, 0);
    atomic_store(&stage->release, 0);
    stage->posted = stage->taken = 0;
    stage->status = 1;
    ending = end;
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        play(durability, act);
    await(&stage->held, 1);
    return child;
}

static pid_t start(enum act act, enum end end)
{
    return start_as(QUIPU_SYNC, act, end);
}

/* How it ended: its exit code, or 256 and the signal. */
static int end_of(pid_t child)
{
    int status = 0;

    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* ---- this process ---------------------------------------------------------------------------- */

static quipu_error why;
static quipu_receipt receipt;

static int append_to(quipu *store, const char *stream)
{
    why = (quipu_error){0};
    return quipu_append(store, stream, QUIPU_ANY, &draft, 1, &receipt, &why);
}

static int append(quipu *store)
{
    return append_to(store, "s-1");
}

/* Its box can be used once it has had the lock with others there, so that the file was. */
static void get_ready(quipu *store)
{
    while (!store->handle->post_ready) {
        pid_t child = start(PASS, LIVES);

        cr_assert_eq(append(store), QUIPU_OK, "%s", why.text);
        cr_assert_eq(end_of(child), 0);
    }
}

static quipu *open_ready(uint32_t busy_timeout_ms)
{
    quipu *store = NULL;

    cr_assert_eq(open_as(QUIPU_SYNC, busy_timeout_ms, &store), QUIPU_OK);
    get_ready(store);
    return store;
}

static uint64_t head_of(quipu *store)
{
    uint64_t head = 0;

    cr_assert_eq(quipu_head(store, &head, &why), QUIPU_OK, "%s", why.text);
    return head;
}

/* The events of one commit have one time. */
static int64_t recorded_at(quipu *store, uint64_t position)
{
    const quipu_range range = {QUIPU_INIT(quipu_range), .after = position - 1};
    quipu_reader *reader = NULL;
    quipu_event event = {0};

    cr_assert_eq(quipu_read(store, NULL, &range, &reader, &why), QUIPU_OK, "%s", why.text);
    cr_assert_eq(quipu_next(reader, &event, &why), QUIPU_ROW, "%s", why.text);
    quipu_reader_close(reader);
    return event.recorded_ns;
}

/* A group is handed over, taken along and answered. */
static void expect_handed_over(quipu *store)
{
    uint64_t head = head_of(store);
    pid_t child = start(COMMIT, LIVES);

    cr_assert_eq(append(store), QUIPU_OK, "%s", why.text);
    cr_expect_eq(end_of(child), 0);
    cr_expect_eq(stage->status, QUIPU_OK);
    cr_expect_eq(receipt.first_position, head + 2);
    cr_expect_eq(recorded_at(store, head + 1), recorded_at(store, head + 2), "one commit");
    cr_expect_eq(head_of(store), head + 2);
}

/* From now on it works as if nothing had been, and the log is whole. */
static void expect_well(quipu *store)
{
    char path[SUPPORT_PATH_BYTES];
    uint64_t head = head_of(store);

    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    cr_expect_eq(receipt.first_position, head + 1);
    expect_handed_over(store);
    quipu_close(store);
    cr_expect_eq(quipu_verify(support_path(path, "store"), 0, NULL, NULL, NULL, NULL, &why),
                 QUIPU_OK, "%s", why.text);
}

/* ---- answered -------------------------------------------------------------------------------- */

Test(turn, taken_and_answered)
{
    quipu *store = open_ready(PATIENT_MS);

    expect_handed_over(store);
    expect_handed_over(store);
    expect_well(store);
}

Test(turn, what_is_refused_is_told)
{
    quipu *store = open_ready(PATIENT_MS);
    uint64_t head = head_of(store);
    pid_t child = start(COMMIT, LIVES);

    cr_expect_eq(quipu_append(store, "s-1", head + 5, &draft, 1, &receipt, &why), QUIPU_CONFLICT,
                 "%s", why.text);
    cr_expect_eq(receipt.actual, head);
    cr_expect_eq(end_of(child), 0);
    cr_expect_eq(stage->posted, 1);
    cr_expect_eq(head_of(store), head + 1, "the child's event");
    expect_well(store);
}

static int told[2];
static unsigned told_count;

static void note(void *payload, int status, const quipu_receipt *got, const quipu_batch *batch,
                 const quipu_error *error)
{
    (void)payload;
    (void)batch;
    (void)error;
    (void)got;
    told[told_count++] = status;
}

/* Each of the group has its own outcome. */
Test(turn, a_group_of_several)
{
    quipu *store = open_ready(PATIENT_MS);
    uint64_t head = head_of(store);
    pid_t child = start(COMMIT, LIVES);

    for (uint64_t i = 0; i < 2; i++) {
        quipu_batch *batch = quipu_batch_new();

        (void)quipu_batch_append(batch, "s-1", i == 0 ? head + 9 : head, &draft, 1);
        cr_assert_eq(quipu_commit_async(store, batch, note, NULL, &why), QUIPU_OK);
    }
    cr_expect_eq(quipu_append(store, "s-1", head + 1, &draft, 1, &receipt, &why), QUIPU_OK, "%s",
                 why.text);
    cr_expect_eq(receipt.first_position, head + 3);
    cr_expect_eq(quipu_flush(store, &why), QUIPU_OK);
    cr_expect(told_count == 2 && told[0] == QUIPU_CONFLICT && told[1] == QUIPU_OK);
    cr_expect_eq(end_of(child), 0);
    cr_expect_eq(stage->posted, 1);
    cr_expect_eq(recorded_at(store, head + 1), recorded_at(store, head + 3), "one commit");
    expect_well(store);
}

/* Who was answered just now is waited for, but not for long. */
Test(turn, those_who_come_again)
{
    quipu *store = open_ready(PATIENT_MS);
    pid_t child = start(AGAIN, LIVES);

    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    atomic_store(&stage->release, 1);
    await(&stage->held, 2);
    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    atomic_store(&stage->release, 2);
    cr_expect_eq(end_of(child), 0);
    cr_expect_eq(stage->taken, 2);
    cr_expect_geq(stage->waited_ns, 100000, "%lld ns", (long long)stage->waited_ns);
    cr_expect_lt(stage->waited_ns, 10 * QP_NS_PER_S);
    expect_well(store);
}

/* The one who answers dies before it can give the lock back. */
Test(turn, answered_and_dead)
{
    quipu *store = open_ready(PATIENT_MS);
    uint64_t head = head_of(store);
    pid_t child = start(COMMIT, DIES_BEFORE_UNLOCK);

    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    cr_expect_eq(receipt.first_position, head + 2);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    cr_expect_eq(head_of(store), head + 2);
    expect_well(store);
}

/* ---- not taken ------------------------------------------------------------------------------- */

Test(turn, withdrawn_when_the_time_is_over)
{
    quipu *store = open_ready(SHORT_MS);
    uint64_t head = head_of(store);
    pid_t child = start(HOLD, LIVES);
    char pid[32];

    (void)snprintf(pid, sizeof(pid), "process %d ", (int)child);
    cr_expect_eq(append(store), QUIPU_BUSY);
    cr_expect_not_null(strstr(why.text, pid), "%s", why.text);
    atomic_store(&stage->release, 1);
    cr_expect_eq(end_of(child), 0);
    cr_expect_eq(head_of(store), head);
    child = start(COLLECT, LIVES);
    cr_expect_eq(append(store), QUIPU_OK);
    cr_expect_eq(end_of(child), 0);
    cr_expect_eq(stage->taken, 1, "the new one alone");
    expect_well(store);
}

/* Who does not take it gives the lock back: it is committed by its owner. */
static void expect_own_commit(quipu *store, quipu_batch *batch, bool posted)
{
    uint64_t head = head_of(store);
    pid_t child = start(PASS, LIVES);

    cr_expect_eq(quipu_commit(store, batch, &receipt, &why), QUIPU_OK, "%s", why.text);
    cr_expect_eq(end_of(child), 0);
    cr_expect_eq(stage->posted, posted);
    cr_expect_eq(head_of(store), receipt.last_position > head ? head + 1 : head);
    quipu_batch_free(batch);
}

Test(turn, not_taken)
{
    quipu *store = open_ready(PATIENT_MS);
    quipu_batch *batch = quipu_batch_new();

    (void)quipu_batch_append(batch, "s-1", QUIPU_ANY, &draft, 1);
    expect_own_commit(store, batch, true);
    expect_well(store);
}

Test(turn, what_cannot_be_put)
{
    static const char data[LARGE];
    const quipu_draft large = {.type = "t", .data = data, .data_size = sizeof(data)};
    quipu *store = open_ready(PATIENT_MS);
    quipu_batch *batch = quipu_batch_new();

    (void)quipu_batch_append(batch, "s-1", QUIPU_ANY, &large, 1);
    expect_own_commit(store, batch, false);
    batch = quipu_batch_new();
    (void)quipu_batch_mark(batch, "m", 7);
    expect_own_commit(store, batch, false);
    batch = quipu_batch_new();
    (void)quipu_batch_unless(batch, NULL, head_of(store));
    (void)quipu_batch_append(batch, "s-1", QUIPU_ANY, &draft, 1);
    expect_own_commit(store, batch, false);
    expect_well(store);
}

/* Its commits promise less than others may have asked for. */
Test(turn, a_lazy_handle_takes_nobody_along)
{
    quipu *store = open_ready(PATIENT_MS);
    pid_t child = start_as(QUIPU_LAZY, COLLECT, LIVES);

    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    cr_expect_eq(end_of(child), 0);
    cr_expect_eq(stage->posted, 1);
    cr_expect_eq(stage->taken, 0);
    expect_well(store);
}

/* ---- taken by who dies ----------------------------------------------------------------------- */

Test(turn, dead_without_a_plan)
{
    quipu *store = open_ready(PATIENT_MS);
    uint64_t head = head_of(store);
    pid_t child = start(TAKE, LIVES);

    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    cr_expect_eq(stage->taken, 1);
    cr_expect_eq(receipt.first_position, head + 1);
    cr_expect_eq(head_of(store), head + 1);
    expect_well(store);
}

/* LMDB's readers do not see yet what it had committed. */
Test(turn, dead_and_committed)
{
    quipu *store = open_ready(PATIENT_MS);
    uint64_t head = head_of(store);
    pid_t child = start(COMMIT, DIES_BEHIND_META);

    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    cr_expect_eq(receipt.first_position, head + 2, "as planned");
    cr_expect_eq(head_of(store), head + 2, "and not once more");
    expect_well(store);
}

Test(turn, dead_and_not_committed)
{
    quipu *store = open_ready(PATIENT_MS);
    uint64_t head = head_of(store);
    pid_t child = start(COMMIT, DIES_AT_FLUSH);

    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    cr_expect_eq(receipt.first_position, head + 1, "the child's own event is gone");
    cr_expect_eq(head_of(store), head + 1);
    expect_well(store);
}

/* ---- in a commit of a mark alone: it leaves the log's end where it is ---- */

/* A store in which the child has died in it. */
static quipu *mark_dies(enum end end, quipu_batch *batch, int status)
{
    quipu *store = open_ready(PATIENT_MS);
    uint64_t mark = 0;
    pid_t child = start(MARK, end);

    cr_expect_eq(quipu_commit(store, batch, &receipt, &why), status, "%s", why.text);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    cr_expect_eq(quipu_mark_get(store, "child", &mark, &why),
                 end == DIES_AT_FLUSH ? QUIPU_NOT_FOUND : QUIPU_OK, "%s", why.text);
    quipu_batch_free(batch);
    return store;
}

static void end_store(quipu *store)
{
    char path[SUPPORT_PATH_BYTES];

    expect_well(store);
    support_remove(support_path(path, "store"));
}

/* The event that it takes along tells. */
Test(turn, dead_with_a_mark_and_our_event)
{
    for (enum end end = DIES_AT_FLUSH; end <= DIES_BEHIND_META; end++) {
        quipu_batch *batch = quipu_batch_new();
        quipu *store;

        (void)quipu_batch_append(batch, "s-2", QUIPU_ANY, &draft, 1);
        store = mark_dies(end, batch, QUIPU_OK);
        cr_expect_eq(stage->posted, 1);
        cr_expect_eq(receipt.first_position, head_of(store));
        cr_expect_eq(receipt.last_version, 1, "once");
        cr_expect_eq(append_to(store, "s-2"), QUIPU_OK);
        cr_expect_eq(receipt.last_version, 2);
        end_store(store);
    }
}

/* Nothing of it can be in, whatever has become of the mark. */
Test(turn, dead_with_a_mark_and_what_is_refused)
{
    for (enum end end = DIES_AT_FLUSH; end <= DIES_BEHIND_META; end++) {
        quipu_batch *batch = quipu_batch_new();
        quipu *store;

        (void)quipu_batch_append(batch, "s-2", 3, &draft, 1);
        store = mark_dies(end, batch, QUIPU_CONFLICT);
        cr_expect_eq(stage->posted, 1);
        cr_expect_eq(receipt.actual, QUIPU_NEW);
        cr_expect_eq(append_to(store, "s-2"), QUIPU_OK);
        cr_expect_eq(receipt.last_version, 1);
        end_store(store);
    }
}

/* What it is refused for was never in, or is. */
Test(turn, dead_with_a_source_and_the_same_of_ours)
{
    for (enum end end = DIES_AT_FLUSH; end <= DIES_BEHIND_META; end++) {
        quipu_batch *batch = quipu_batch_new();
        quipu *store;

        (void)quipu_batch_append(batch, "s-2", QUIPU_ANY, &draft, 1);
        (void)quipu_batch_track(batch, "source", 5);
        store = mark_dies(end, batch, end == DIES_AT_FLUSH ? QUIPU_OK : QUIPU_ALREADY_TRACKED);
        cr_expect_eq(stage->posted, 1);
        cr_expect_eq(append_to(store, "s-2"), QUIPU_OK);
        cr_expect_eq(receipt.last_version, end == DIES_AT_FLUSH ? 2 : 1);
        end_store(store);
    }
}

/* Nothing would tell: it is not handed over, and so it is in. */
Test(turn, dead_with_a_mark_and_our_mark)
{
    for (enum end end = DIES_AT_FLUSH; end <= DIES_BEHIND_META; end++) {
        quipu_batch *batch = quipu_batch_new();
        uint64_t mark = 0;
        quipu *store;

        (void)quipu_batch_mark(batch, "ours", 7);
        store = mark_dies(end, batch, QUIPU_OK);
        cr_expect_eq(stage->posted, 0);
        cr_expect_eq(quipu_mark_get(store, "ours", &mark, &why), QUIPU_OK, "%s", why.text);
        cr_expect_eq(mark, 7);
        end_store(store);
    }
}

/* ---- plans ----------------------------------------------------------------------------------- */

static uint64_t chain_of(quipu *store)
{
    struct qp_txn txn = {0};
    struct qp_log_cursor log = {0};
    struct qp_log_head head = {0};

    cr_assert_eq(qp_txn_begin_read(store->handle->log, &txn, &why), QUIPU_OK);
    cr_assert_eq(qp_log_open(&log, &txn, true, &why), QUIPU_OK);
    cr_assert_eq(qp_log_head(&log, &head, &why), QUIPU_OK);
    qp_log_close(&log);
    qp_txn_end(&txn);
    return head.chain;
}

/* Only the log's end says whether a dead one's plan was carried out. */
static void plan(quipu *store, uint64_t position, uint64_t chain, bool believed)
{
    uint64_t head = head_of(store);
    pid_t child;

    stage->plan_position = position;
    stage->plan_chain = chain;
    child = start(PLAN, LIVES);
    cr_expect_eq(append(store), believed ? QUIPU_CONFLICT : QUIPU_OK, "%s", why.text);
    cr_expect_eq(receipt.actual, believed ? 77 : 0);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    cr_expect_eq(head_of(store), believed ? head : head + 1);
}

Test(turn, a_plan_is_held_against_the_log)
{
    quipu *store = open_ready(PATIENT_MS);

    plan(store, head_of(store), chain_of(store), true);
    plan(store, head_of(store), chain_of(store) + 1, false);
    plan(store, head_of(store) + 1, chain_of(store), false);
    plan(store, head_of(store) - 1, chain_of(store), false);
    expect_well(store);
}

/* Where nothing was ever written a plan to write nothing was carried out. */
Test(turn, a_plan_for_an_empty_log)
{
    quipu *store = NULL;
    pid_t child;

    cr_assert_eq(open_as(QUIPU_SYNC, PATIENT_MS, &store), QUIPU_OK);
    while (!store->handle->post_ready) {
        child = start(PASS, LIVES);
        cr_assert_eq(quipu_append(store, "s-1", 9, &draft, 1, NULL, NULL), QUIPU_CONFLICT);
        cr_assert_eq(end_of(child), 0);
    }
    plan(store, 0, 0, true);
    expect_well(store);
}

/* Nobody can say whether it was carried out: it is neither believed nor done again. */
Test(turn, a_plan_and_a_damaged_log)
{
    static const char data[] = "what is to be damaged";
    static uint8_t bytes[4 * QP_MIB];
    const quipu_draft marked = {.type = "t", .data = data, .data_size = sizeof(data)};
    quipu *store = open_ready(PATIENT_MS);
    size_t size = sizeof(bytes);
    char path[SUPPORT_PATH_BYTES];
    uint8_t *found;
    pid_t child;
    int fd;

    cr_assert_eq(quipu_append(store, "s-1", QUIPU_ANY, &marked, 1, NULL, &why), QUIPU_OK);
    stage->plan_position = head_of(store);
    stage->plan_chain = chain_of(store);
    cr_assert(support_read_file(support_path(path, "store/log.mdb"), bytes, &size));
    found = memmem(bytes, size, data, sizeof(data));
    cr_assert_not_null(found);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, "W", 1, found - bytes), 1);
    child = start(PLAN, LIVES);
    cr_expect_eq(append(store), QUIPU_CORRUPT, "%s", why.text);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    cr_assert_eq(pwrite(fd, data, 1, found - bytes), 1);
    (void)close(fd);
    cr_expect_eq(head_of(store), stage->plan_position);
    expect_well(store);
}

/* ---- taken by who stops ---------------------------------------------------------------------- */

/* Nobody can say whether it will be committed. */
static pid_t stop_with_group(quipu *store)
{
    pid_t child = start(COMMIT, STOPS_AT_FLUSH);
    int64_t begun_ns = qp_clock_monotonic_ns();

    cr_expect_eq(append(store), QUIPU_IN_DOUBT, "%s", why.text);
    cr_expect_not_null(strstr(why.text, "the process that commits this does not go on"), "%s",
                       why.text);
    cr_expect_geq(qp_clock_monotonic_ns() - begun_ns, 2 * SHORT_MS * QP_NS_PER_MS,
                  "it is given its time twice");
    cr_expect_not(qp_shared_get(&store->handle->shared, QP_SHARED_POISONED));
    cr_expect_eq(append(store), QUIPU_BUSY, "the box is not empty: nothing of this can be in");
    return child;
}

Test(turn, stopped_and_goes_on)
{
    quipu *store = open_ready(SHORT_MS);
    uint64_t head = head_of(store);
    pid_t child = stop_with_group(store);

    cr_assert_eq(kill(child, SIGCONT), 0);
    cr_expect_eq(end_of(child), 0);
    cr_expect_eq(stage->status, QUIPU_OK);
    cr_expect_eq(head_of(store), head + 2, "the child's, and what was in doubt");
    expect_well(store);
}

Test(turn, stopped_and_dies)
{
    quipu *store = open_ready(SHORT_MS);
    uint64_t head = head_of(store);
    pid_t child = stop_with_group(store);

    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    cr_expect_eq(receipt.first_position, head + 1, "neither is in, nor will be");
    cr_expect_eq(head_of(store), head + 1);
    expect_well(store);
}

/* ---- a poisoned store ------------------------------------------------------------------------ */

/* A dead one's plan is worth nothing where nobody knows what the disk has. */
Test(turn, a_poisoned_store_is_not_asked)
{
    quipu *store = open_ready(PATIENT_MS);
    uint64_t head = head_of(store);
    pid_t child;

    stage->plan_position = head;
    stage->plan_chain = chain_of(store);
    child = start(POISON, LIVES);
    cr_expect_eq(append(store), QUIPU_IO);
    cr_expect_not_null(strstr(why.text, "a flush has failed"), "%s", why.text);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    cr_expect_eq(append(store), QUIPU_IO);
    quipu_close(store);
    store = open_ready(PATIENT_MS);
    cr_expect_eq(head_of(store), head + 1, "what made it ready");
    expect_well(store);
}

/* ---- boxes of the dead ----------------------------------------------------------------------- */

/* The lock is taken, and a child waits for it, with its group in its box. */
static pid_t post_a_box(quipu *store)
{
    quipu_error error = {0};
    pid_t child;

    cr_assert_eq(qp_lock_take(store->handle, INT64_MAX, &error), QUIPU_OK);
    child = fork();
    if (child == 0) {
        quipu *own = NULL;

        if (open_as(QUIPU_SYNC, PATIENT_MS, &own) == QUIPU_OK) {
            open_post(own->handle);
            own->handle->post_ready = true; /* as if it had had the lock before */
            (void)quipu_append(own, "dead", QUIPU_ANY, &draft, 1, NULL, NULL);
        }
        _exit(1);
    }
    while (!qp_shared_others_wait(&store->handle->shared))
        (void)usleep(500);
    cr_assert_eq(qp_post_count(&store->handle->post), 1);
    return child;
}

/* The same, and it is killed. */
static void leave_a_box(quipu *store)
{
    pid_t child = post_a_box(store);

    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
}

Test(turn, a_box_of_the_dead_is_not_taken)
{
    quipu *store = open_ready(PATIENT_MS);
    uint64_t head = head_of(store);

    leave_a_box(store);
    cr_expect_null(qp_turn_collect(store->handle));
    cr_expect_eq(qp_post_count(&store->handle->post), 0, "thrown away");
    (void)qp_lock_release(store->handle, false);
    cr_expect_eq(head_of(store), head);
    expect_well(store);
}

/* A child that opens the store and says with what status. */
static int status_of_open(uint32_t busy_timeout_ms)
{
    pid_t child = fork();

    if (child == 0) {
        quipu *own = NULL;

        _exit(-open_as(QUIPU_SYNC, busy_timeout_ms, &own));
    }
    return -end_of(child);
}

/* It was taken before its process died: it will be in, but is not yet. Who starts again to look
 * must not see a store without it. */
Test(turn, who_opens_waits_for_a_group_of_the_dead)
{
    quipu *store = open_ready(PATIENT_MS);
    struct qp_parcel *parcels;
    pid_t child;

    child = post_a_box(store);
    cr_expect_eq(status_of_open(50), QUIPU_OK, "a living one's is no reason to wait");
    parcels = qp_turn_collect(store->handle);
    cr_assert_not_null(parcels);
    cr_expect_eq(status_of_open(50), QUIPU_OK);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    cr_expect_eq(status_of_open(50), QUIPU_BUSY);
    qp_turn_answer(store->handle, parcels, false);
    qp_post_free(parcels);
    (void)qp_lock_release(store->handle, false);
    cr_expect_eq(status_of_open(PATIENT_MS), QUIPU_OK);
    expect_well(store);
}

/* The one who took it is dead as well: nobody answers, and it is waited for once. */
Test(turn, a_group_of_the_dead_is_waited_for_once)
{
    quipu *store = open_ready(PATIENT_MS);
    struct qp_parcel *parcels;
    pid_t child = post_a_box(store);

    parcels = qp_turn_collect(store->handle);
    cr_assert_not_null(parcels);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    qp_post_free(parcels); /* as if its owner had died: nobody answers */
    (void)qp_lock_release(store->handle, false);
    cr_expect(qp_turn_any_of_dead(store->handle));
    cr_expect_eq(status_of_open(PATIENT_MS), QUIPU_OK);
    cr_expect_not(qp_turn_any_of_dead(store->handle));
    expect_well(store);
}

/* A child that has the store open, in this slot. */
static pid_t open_and_stay(unsigned *slot)
{
    int ends[2];
    pid_t child;

    cr_assert_eq(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        quipu *own = NULL;

        if (open_as(QUIPU_SYNC, PATIENT_MS, &own) < 0)
            _exit(1);
        (void)!write(ends[1], &own->handle->shared.slot, sizeof(*slot));
        (void)pause();
        _exit(1);
    }
    cr_assert_eq(read(ends[0], slot, sizeof(*slot)), (ssize_t)sizeof(*slot));
    (void)close(ends[0]);
    (void)close(ends[1]);
    return child;
}

/* The next process that has the dead one's slot did not put it. */
Test(turn, a_box_of_the_dead_is_not_its_heirs)
{
    quipu *store = open_ready(PATIENT_MS);
    uint64_t head = head_of(store);
    unsigned slot = 0;
    pid_t child;

    leave_a_box(store);
    (void)qp_lock_release(store->handle, false);
    child = open_and_stay(&slot);
    cr_assert_eq(slot, 1, "as the dead one's was");
    cr_expect_eq(qp_post_count(&store->handle->post), 0, "thrown away by who has opened the store");
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_expect_eq(end_of(child), 256 + SIGKILL);
    cr_expect_eq(head_of(store), head);
    expect_well(store);
}
