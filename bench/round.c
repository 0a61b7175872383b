/* round.c - fork, run, send the numbers home through a pipe.
 *
 * The signals that end a program are held back in the parent from the start, and looked at while it
 * waits for its child: so a ctrl-C removes the directory too, without a handler or a global. */
#include "round.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LABEL_BYTES_MAX = 128 };

/* What a child says; smaller than PIPE_BUF, so that it comes whole or not at all. */
struct message {
    int status;
    struct bench_round round;
    struct bench_failure failure;
};

static void ending_signals(sigset_t *out)
{
    sigemptyset(out);
    sigaddset(out, SIGINT);
    sigaddset(out, SIGTERM);
}

int bench_round_hold_signals(void)
{
    sigset_t signals;

    ending_signals(&signals);
    return sigprocmask(SIG_BLOCK, &signals, NULL);
}

/* The child's whole life. */
static _Noreturn void child_run(const struct bench_task *task, const struct bench_scratch *scratch,
                                int pipe_fd)
{
    struct bench_work work = {
        .peer = task->peer, .plan = task->plan, .events = task->events, .scratch = scratch};
    struct message message;
    sigset_t signals;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ending_signals(&signals);
    sigprocmask(SIG_UNBLOCK, &signals, NULL);
    memset(&message, 0, sizeof(message));
    message.status = task->workload->run(&work, &message.round, &message.failure);
    if (write(pipe_fd, &message, sizeof(message)) != (ssize_t)sizeof(message))
        _exit(1);
    _exit(0);
}

/* Wait for the child's message, or for a signal to end. Returns: 0, BENCH_INTERRUPTED, -1. */
static int wait_message(int pipe_fd, pid_t child, struct message *out)
{
    struct pollfd polled[2];
    sigset_t signals;
    int rc = -1;

    ending_signals(&signals);
    polled[0] = (struct pollfd){.fd = pipe_fd, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = signalfd(-1, &signals, SFD_CLOEXEC), .events = POLLIN};
    if (polled[1].fd < 0)
        return -1;
    while (poll(polled, 2, -1) < 0) {
        if (errno != EINTR)
            goto done;
    }
    if (polled[1].revents != 0) {
        kill(child, SIGKILL);
        rc = BENCH_INTERRUPTED;
        goto done;
    }
    if (read(pipe_fd, out, sizeof(*out)) == (ssize_t)sizeof(*out))
        rc = 0;

done:
    close(polled[1].fd);
    return rc;
}

/* Returns: the child's number, or -1 with errno. What it says comes out of `*out_fd`. */
static pid_t start_child(const struct bench_task *task, const struct bench_scratch *scratch,
                         int *out_fd)
{
    int pipe_fds[2];
    pid_t child;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -1;
    (void)fflush(NULL); /* or the child would print it again */
    child = fork();
    if (child == 0)
        child_run(task, scratch, pipe_fds[1]);
    close(pipe_fds[1]);
    if (child < 0) {
        close(pipe_fds[0]);
    } else {
        *out_fd = pipe_fds[0];
    }
    return child;
}

static int tell_end(const struct bench_task *task, int wait_status, struct bench_failure *failure)
{
    const char *name = task->peer->name;

    if (!WIFSIGNALED(wait_status))
        return bench_failure_set(failure, "%s: the run ended without a result", name);
    if (WTERMSIG(wait_status) == SIGINT)
        return BENCH_INTERRUPTED;
    return bench_failure_set(failure, "%s: the run was ended by signal %d (%s)", name,
                             WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
}

static int run_child(const struct bench_task *task, const struct bench_scratch *scratch,
                     struct bench_round *out, struct bench_failure *failure)
{
    struct message message = {0};
    int wait_status = 0;
    int fd = -1;
    pid_t child = start_child(task, scratch, &fd);
    int rc;

    if (child < 0)
        return bench_failure_set(failure, "new process: %s", strerror(errno));
    rc = wait_message(fd, child, &message);
    close(fd);
    while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR)
        continue;
    if (rc == BENCH_INTERRUPTED)
        return rc;
    if (rc < 0)
        return tell_end(task, wait_status, failure);
    *out = message.round;
    *failure = message.failure;
    return message.status;
}

/* What runs before left to write would be written at this run's cost. */
static void settle_disk(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    syncfs(fd);
    close(fd);
}

/* No two runs have the same, as they may be kept. */
static void make_label(const struct bench_task *task, char *out, size_t capacity)
{
    const struct bench_plan *plan = task->plan;
    char shape[LABEL_BYTES_MAX] = "";

    if (task->workload->of_crew) {
        bench_text_set(shape, sizeof(shape), "-%llux%llu-%llu", (unsigned long long)plan->threads,
                       (unsigned long long)plan->processes, (unsigned long long)plan->in_flight);
    }
    bench_text_set(out, capacity, "%s%s%s%s-%llu-%s", task->workload->name,
                   task->workload->variant[0] != 0 ? "-" : "", task->workload->variant, shape,
                   (unsigned long long)task->round, task->peer->name);
}

int bench_round_run(const struct bench_task *task, struct bench_round *out,
                    struct bench_failure *failure)
{
    struct bench_scratch scratch;
    char label[LABEL_BYTES_MAX];
    int rc;

    settle_disk(task->directory);
    if (task->store != NULL)
        return run_child(task, task->store, out, failure);
    make_label(task, label, sizeof(label));
    if (bench_scratch_make(&scratch, task->directory, label) < 0)
        return bench_failure_set(failure, "%.180s: %s", scratch.path, strerror(errno));
    rc = run_child(task, &scratch, out, failure);
    if (!task->keep && bench_scratch_remove(&scratch) < 0)
        bench_text_put(stderr, "quipu-bench: %s: not removed\n", scratch.path);
    return rc;
}
