/* runner.c - any number of projections on a few threads, each projection on one at a time:
 *
 *     task     due now         a step did something: there may be more
 *              due at a time   another process runs it, or something failed
 *              idle            it has seen all commits up to a transaction
 *
 * A thread takes a task that is due, does one step, and puts it back. If none is due one thread
 * waits for a commit, of any process, or for the next time; the others sleep until there is a task.
 */
#include "runner.h"

#include "clock.h"
#include "status.h"
#include "wait.h"
#include "worker.h"

#include <assert.h>

#define BUSY_NS   (200 * QP_NS_PER_MS) /* so soon a dead owner is seen */
#define FAILED_NS QP_NS_PER_S

struct task {
    struct qp_run run;
    struct qp_projection *projection;
    bool taken;
    int64_t due_ns;       /* on the monotonic clock; INT64_MAX: not before a commit */
    uint64_t transaction; /* the newest that its last step saw */
    quipu_error failure;  /* status 0: its last step did not fail */
};

struct qp_runner {
    struct qp_handle *handle;
    qp_folding_ask_fn ask;
    void *ask_payload;
    void (*free_item)(struct qp_projection *item);
    pthread_mutex_t lock; /* a leaf; over all below */
    pthread_cond_t changed;
    struct task *tasks;
    size_t task_count;
    pthread_t *threads;
    size_t thread_count;
    uint64_t newest; /* transaction */
    bool watched;    /* a thread waits for commits */
    bool ending;
};

/* ---- tasks ---- */

static bool is_due(const struct qp_runner *runner, const struct task *task, int64_t now_ns)
{
    return !task->taken && (task->due_ns <= now_ns ||
                            (task->due_ns == INT64_MAX && task->transaction < runner->newest));
}

/* The one that waits longest, so that a busy one does not keep the others waiting. */
static struct task *choose(struct qp_runner *runner, int64_t now_ns)
{
    struct task *chosen = NULL;

    for (size_t i = 0; i < runner->task_count; i++) {
        struct task *task = &runner->tasks[i];

        if (is_due(runner, task, now_ns) && (chosen == NULL || task->due_ns < chosen->due_ns))
            chosen = task;
    }
    return chosen;
}

static int64_t next_due(const struct qp_runner *runner)
{
    int64_t due = INT64_MAX;

    for (size_t i = 0; i < runner->task_count; i++)
        if (!runner->tasks[i].taken && runner->tasks[i].due_ns < due)
            due = runner->tasks[i].due_ns;
    return due;
}

/* When it is due again. What stopped it for good is told once, and looked at again after each
 * commit: only that can change it. */
static void put_back(struct qp_runner *runner, struct task *task, int rc, const quipu_error *error)
{
    bool told = task->failure.status == rc;
    int64_t now = qp_clock_monotonic_ns();

    task->taken = false;
    task->transaction = task->run.transaction;
    if (task->transaction > runner->newest)
        runner->newest = task->transaction;
    switch (rc) {
    case QUIPU_ROW:
    case QUIPU_OK:
        task->due_ns = rc == QUIPU_ROW ? now : INT64_MAX;
        task->failure = (quipu_error){0};
        return;
    case QUIPU_BUSY: /* somebody else's failure, if any */
        task->due_ns = now + BUSY_NS;
        task->failure = (quipu_error){0};
        return;
    case QUIPU_CLOSED:
        runner->ending = true;
        return;
    case QUIPU_FAULTED:
    case QUIPU_CONFLICT:
        task->due_ns = INT64_MAX;
        break;
    default:
        task->due_ns = now + FAILED_NS;
    }
    task->failure = *error;
    if (!told)
        qp_handle_tell(runner->handle, 1, "%s", error->text);
}

/* ---- threads ---- */

static bool may_go_on(void *payload)
{
    struct qp_runner *runner = payload;
    bool ending;

    (void)pthread_mutex_lock(&runner->lock);
    ending = runner->ending;
    (void)pthread_mutex_unlock(&runner->lock);
    return !ending && runner->ask(runner->ask_payload);
}

static int ask_to_wait(void *payload, quipu_error *error)
{
    return may_go_on(payload) ? QUIPU_OK : qp_fail(error, QUIPU_CLOSED, "the runner ends");
}

/* One thread waits for all; the lock is let go meanwhile. What fails is tried again: the wait too
 * needs a reader's slot. */
static void watch(struct qp_runner *runner)
{
    uint64_t newest = runner->newest;
    int64_t due = next_due(runner);
    int rc;

    runner->watched = true;
    (void)pthread_mutex_unlock(&runner->lock);
    rc = qp_wait_commit(runner->handle, newest, due, ask_to_wait, runner, &newest, NULL);
    if (rc < 0 && rc != QUIPU_CLOSED)
        qp_clock_sleep_ns(BUSY_NS);
    (void)pthread_mutex_lock(&runner->lock);
    runner->watched = false;
    if (rc == QUIPU_ROW && newest > runner->newest)
        runner->newest = newest;
    if (rc == QUIPU_CLOSED)
        runner->ending = true;
    (void)pthread_cond_broadcast(&runner->changed);
}

/* Until a task is put back or is due: who watches may wait for longer than that, as it did not know
 * the tasks that others had just then. */
static void sleep_until(struct qp_runner *runner, int64_t due_ns)
{
    const struct timespec until = qp_clock_timespec(due_ns);

    if (due_ns == INT64_MAX)
        (void)pthread_cond_wait(&runner->changed, &runner->lock);
    else
        (void)pthread_cond_timedwait(&runner->changed, &runner->lock, &until);
}

static void *work(void *payload)
{
    struct qp_runner *runner = payload;

    (void)pthread_mutex_lock(&runner->lock);
    while (!runner->ending) {
        struct task *task = choose(runner, qp_clock_monotonic_ns());
        quipu_error error = {0};
        int rc;

        if (task == NULL && !runner->watched) {
            watch(runner);
            continue;
        }
        if (task == NULL) {
            sleep_until(runner, next_due(runner));
            continue;
        }
        task->taken = true;
        (void)pthread_mutex_unlock(&runner->lock);
        rc = qp_run_step(&task->run, &error);
        (void)pthread_mutex_lock(&runner->lock);
        put_back(runner, task, rc, &error);
        (void)pthread_cond_broadcast(&runner->changed);
    }
    (void)pthread_cond_broadcast(&runner->changed);
    (void)pthread_mutex_unlock(&runner->lock);
    return NULL;
}

static int start_thread(struct qp_runner *runner, quipu_error *error)
{
    int rc = qp_thread_start(&runner->threads[runner->thread_count], "quipu-project", work, runner,
                             error);

    runner->thread_count += rc == QUIPU_OK;
    return rc;
}

/* ---- start and stop ---- */

static struct qp_runner *new_runner(struct qp_handle *handle, size_t count, uint32_t threads)
{
    struct qp_runner *runner = qp_zalloc(sizeof(*runner));

    if (runner == NULL)
        return NULL;
    runner->handle = handle;
    (void)pthread_mutex_init(&runner->lock, NULL);
    qp_clock_condition(&runner->changed);
    runner->tasks = qp_zalloc(count * sizeof(*runner->tasks));
    runner->threads = qp_zalloc(threads * sizeof(*runner->threads));
    return runner;
}

static bool is_whole(const struct qp_runner *runner)
{
    return runner != NULL && runner->tasks != NULL && runner->threads != NULL;
}

static void end_threads(struct qp_runner *runner)
{
    (void)pthread_mutex_lock(&runner->lock);
    runner->ending = true;
    (void)pthread_cond_broadcast(&runner->changed);
    (void)pthread_mutex_unlock(&runner->lock);
    qp_wait_disturb(runner->handle);
    for (size_t i = 0; i < runner->thread_count; i++)
        (void)pthread_join(runner->threads[i], NULL);
}

/* With what belongs to the runner; the projections do not as long as the start may fail. */
static void free_runner(struct qp_runner *runner)
{
    if (runner == NULL)
        return;
    for (size_t i = 0; i < runner->task_count; i++) {
        qp_run_end(&runner->tasks[i].run);
        if (runner->free_item != NULL)
            runner->free_item(runner->tasks[i].projection);
    }
    qp_free(runner->tasks);
    qp_free(runner->threads);
    (void)pthread_cond_destroy(&runner->changed);
    (void)pthread_mutex_destroy(&runner->lock);
    qp_free(runner);
}

/* Each row is there before the first thread is, so that who waits for a view finds it. */
static int add_task(struct qp_runner *runner, struct qp_projection *projection, quipu_error *error)
{
    struct task *task = &runner->tasks[runner->task_count++];

    task->projection = projection;
    qp_run_begin(&task->run, runner->handle, projection);
    task->run.stays = projection->mode != QUIPU_INLINE;
    task->run.ask = may_go_on;
    task->run.ask_payload = runner;
    return qp_run_make(&task->run, error);
}

int qp_runner_start(struct qp_handle *handle, struct qp_projection **projections, size_t count,
                    uint32_t threads, const struct qp_runner_owner *owner, struct qp_runner **out,
                    quipu_error *error)
{
    struct qp_runner *runner = new_runner(handle, count, threads);
    int rc = QUIPU_OK;

    assert(count > 0 && threads > 0);
    *out = NULL;
    if (!is_whole(runner))
        rc = qp_fail_memory(error);
    for (size_t i = 0; i < count && rc == QUIPU_OK; i++)
        rc = add_task(runner, projections[i], error);
    if (rc == QUIPU_OK) {
        runner->ask = owner->ask;
        runner->ask_payload = owner->payload;
    }
    for (uint32_t i = 0; i < threads && rc == QUIPU_OK; i++)
        rc = start_thread(runner, error);
    if (rc < 0) {
        if (is_whole(runner))
            end_threads(runner);
        free_runner(runner);
        return rc;
    }
    runner->free_item = owner->free_item;
    *out = runner;
    return QUIPU_OK;
}

int qp_runner_stop(struct qp_runner *runner, quipu_error *error)
{
    quipu_error failure = {0};

    end_threads(runner);
    for (size_t i = 0; i < runner->task_count && failure.status == QUIPU_OK; i++)
        failure = runner->tasks[i].failure;
    free_runner(runner);
    if (failure.status < 0 && error != NULL)
        *error = failure;
    return failure.status;
}
