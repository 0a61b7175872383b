/* workload_reopen.c - how long a program waits that starts: from open to the first append that is
 * acknowledged.
 *
 * Closed: behind a clean close. Killed: behind the SIGKILL of a writer that had appended plan->tail
 * events since the store was opened, and closed nothing. What was written is in the page cache both
 * times. All that is appended here is new streams, named after how many events there are already.
 */
#include "clock.h"
#include "preload.h"
#include "stats.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMES = 9 };

/* Open, append one event, close. The clock stops before the close. */
static int reopen_once(const struct bench_work *work, struct bench_feed *feed, double *open_us,
                       double *took_us, struct bench_failure *failure)
{
    struct bench_failure ignored;
    void *store = NULL;
    double start_us;
    int rc;

    bench_feed_next(feed);
    start_us = bench_clock_us();
    if (work->peer->open(work->scratch->path, &store, failure) < 0)
        return -1;
    *open_us = bench_clock_us() - start_us;
    rc = work->peer->append(store, feed->items, 1, failure);
    *took_us = bench_clock_us() - start_us;
    if (work->peer->close(store, rc == 0 ? failure : &ignored) < 0)
        rc = -1;
    return rc;
}

/* `times` in a row, one new event each, in a store that has `base` events. */
static int reopen(const struct bench_work *work, uint64_t base, uint64_t times,
                  struct bench_round *out, struct bench_failure *failure)
{
    struct bench_plan single = *work->plan;
    struct bench_feed feed = {0};
    double open_us[TIMES];
    double took_us[TIMES];
    uint64_t n;
    int rc = -1;

    assert(times <= TIMES);

    single.batch = 1;
    if (bench_feed_init_late(&feed, &single, base, times) < 0) {
        bench_failure_set(failure, "out of memory");
        goto done;
    }
    for (n = 0; n < times; n++) {
        rc = reopen_once(work, &feed, &open_us[n], &took_us[n], failure);
        if (rc < 0)
            goto done;
    }
    out->open_us = bench_stats_spread(open_us, times).median;
    bench_round_latencies(out, took_us, times);
    rc = bench_preload_check(work, base + times, failure);

done:
    bench_feed_release(&feed);
    return rc;
}

static int closed_run(const struct bench_work *work, struct bench_round *out,
                      struct bench_failure *failure)
{
    uint64_t base = 0;

    if (bench_preload_count(work, &base, failure) < 0)
        return -1;
    return reopen(work, base, TIMES, out, failure);
}

/* What the writer says before it is killed; smaller than PIPE_BUF. */
struct message {
    int status;
    struct bench_failure failure;
};

static int write_late(const struct bench_work *work, uint64_t base, struct bench_failure *failure)
{
    struct bench_feed feed = {0};
    void *store = NULL;

    if (bench_feed_init_late(&feed, work->plan, base, work->plan->tail) < 0)
        return bench_failure_set(failure, "out of memory");
    if (work->peer->open(work->scratch->path, &store, failure) < 0)
        return -1;
    return bench_preload_append(work->peer, store, &feed, failure);
}

/* The writer's whole life: it waits for its end, which nothing announces. */
static _Noreturn void writer_run(const struct bench_work *work, uint64_t base, int pipe_fd)
{
    struct message message;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    memset(&message, 0, sizeof(message));
    message.status = write_late(work, base, &message.failure);
    if (write(pipe_fd, &message, sizeof(message)) != (ssize_t)sizeof(message))
        _exit(1);
    for (;;)
        pause();
}

/* Let another process append, and kill it. */
static int leave_killed(const struct bench_work *work, uint64_t base, struct bench_failure *failure)
{
    struct message message = {.status = -1};
    int pipe_fds[2];
    ssize_t got;
    pid_t writer;

    bench_failure_set(&message.failure, "%s: the writer ended too early", work->peer->name);
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return bench_failure_set(failure, "pipe: %s", strerror(errno));
    writer = fork();
    if (writer == 0)
        writer_run(work, base, pipe_fds[1]);
    close(pipe_fds[1]);
    if (writer < 0) {
        close(pipe_fds[0]);
        return bench_failure_set(failure, "new process: %s", strerror(errno));
    }
    do {
        got = read(pipe_fds[0], &message, sizeof(message));
    } while (got < 0 && errno == EINTR);
    close(pipe_fds[0]);
    kill(writer, SIGKILL);
    while (waitpid(writer, NULL, 0) < 0 && errno == EINTR)
        continue;
    *failure = message.failure;
    return message.status;
}

static int killed_run(const struct bench_work *work, struct bench_round *out,
                      struct bench_failure *failure)
{
    uint64_t base = 0;

    if (bench_preload_count(work, &base, failure) < 0 || leave_killed(work, base, failure) < 0)
        return -1;
    return reopen(work, base + work->plan->tail, 1, out, failure);
}

const struct bench_workload bench_workload_reopen_closed = {
    .name = "reopen",
    .variant = "closed",
    .about = "a store that was closed: from open to the first append acknowledged",
    .goal = "under 100 ms with 10 000 000 events",
    .kind = BENCH_REOPEN,
    .of_store = 1,
    .run = closed_run,
};

const struct bench_workload bench_workload_reopen_killed = {
    .name = "reopen",
    .variant = "killed",
    .about = "the same behind the SIGKILL of a writer that had appended --tail events",
    .goal = "under 1 s with 10 000 000 events",
    .kind = BENCH_RECOVER,
    .of_store = 1,
    .run = killed_run,
};
