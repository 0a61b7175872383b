/* crew.c - fork, open, say that all is ready, wait for the start, run the threads, close.
 *
 *     starter                          each process
 *     fork                             open the store, start the threads, which wait
 *     read a byte of each      <----   READY
 *     write the start to each  ---->   all threads sleep until then, and run
 *     wait for the end of each         close, and leave the numbers in the shared memory
 *
 * Each has a pair of sockets of its own: its end without a word is the end of its socket. */
#include "crew.h"

#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { START_US = 20000 /* from the word to the start: enough for all to fall asleep */ };

/* What a thread leaves. */
struct hand_report {
    struct bench_histogram latency;
    struct bench_failure failure;
    uint64_t events;
    double ended_us;
    double slowest_us;
    int status;
};

/* What a process leaves. */
struct process_report {
    struct bench_failure failure;
    double close_seconds;
    double cpu_seconds;
    double switches;
    int status;
};

/* All of it lies in one piece of shared memory. */
struct board {
    struct process_report *processes;
    struct hand_report *hands;
    size_t bytes;
};

struct run {
    const struct bench_work *work;
    bench_hand_fn run;
    void *payload;
    struct board board;
};

/* A process, as its starter sees it. */
struct member {
    pid_t pid;
    int fd;
};

/* A thread, as its process sees it. */
struct thread {
    const struct run *run;
    void *store;
    pthread_t id;
    uint64_t number;
    pthread_barrier_t *start; /* behind it `*start_us` stands */
    const double *start_us;
};

static int board_make(struct board *board, const struct bench_plan *plan)
{
    size_t processes = plan->processes * sizeof(struct process_report);
    size_t hands = plan->threads * sizeof(struct hand_report);

    board->bytes = processes + hands;
    board->processes =
        mmap(NULL, board->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board->processes == MAP_FAILED)
        return -1;
    board->hands = (struct hand_report *)(void *)(board->processes + plan->processes);
    return 0;
}

/* ---- in a process of the crew ---- */

static void sleep_until(double us)
{
    struct timespec at = {.tv_sec = (time_t)(us / 1e6)};

    at.tv_nsec = (long)((us - (double)at.tv_sec * 1e6) * 1e3);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        continue;
}

static void *thread_main(void *payload)
{
    const struct thread *self = payload;
    const struct bench_plan *plan = self->run->work->plan;
    struct hand_report *report = &self->run->board.hands[self->number];
    struct bench_hand hand = {.work = self->run->work,
                              .store = self->store,
                              .number = self->number,
                              .hands = plan->threads,
                              .payload = self->run->payload,
                              .latency = &report->latency};

    (void)pthread_barrier_wait(self->start);
    if (*self->start_us == 0) /* it was called off */
        return NULL;
    hand.end_us = *self->start_us + (double)plan->seconds * 1e6;
    sleep_until(*self->start_us);
    report->status = self->run->run(&hand, &report->failure);
    report->ended_us = bench_clock_us();
    report->events = hand.events;
    report->slowest_us = hand.slowest_us;
    return NULL;
}

static double switches_so_far(void)
{
    struct rusage usage = {0};

    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_nvcsw + usage.ru_nivcsw);
}

/* How many threads process `index` has, and which is its first: as even as they can be shared. */
static uint64_t share(const struct bench_plan *plan, uint64_t index, uint64_t *first)
{
    *first = index * plan->threads / plan->processes;
    return (index + 1) * plan->threads / plan->processes - *first;
}

/* Say that we are ready, hear when to start. Returns: the start, 0 if there is none. */
static double hear_start(int fd)
{
    double start_us = 0;

    if (write(fd, "r", 1) != 1 || read(fd, &start_us, sizeof(start_us)) != sizeof(start_us))
        return 0;
    return start_us;
}

static int run_threads(const struct run *run, void *store, uint64_t index, int fd,
                       struct process_report *report)
{
    uint64_t first;
    uint64_t count = share(run->work->plan, index, &first);
    struct thread threads[BENCH_THREADS_MAX];
    pthread_barrier_t start;
    double start_us = 0;
    double cpu_us;
    uint64_t i;

    assert(count > 0 && count <= BENCH_THREADS_MAX);

    if (pthread_barrier_init(&start, NULL, (unsigned)count + 1) != 0)
        return bench_failure_set(&report->failure, "out of memory");
    for (i = 0; i < count; i++) {
        threads[i] = (struct thread){.run = run,
                                     .store = store,
                                     .number = first + i,
                                     .start = &start,
                                     .start_us = &start_us};
        if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i]) != 0)
            _exit(1); /* the others wait at the barrier for one that does not come */
    }
    start_us = hear_start(fd);
    cpu_us = bench_clock_cpu_us();
    report->switches = switches_so_far();
    (void)pthread_barrier_wait(&start);
    for (i = 0; i < count; i++)
        (void)pthread_join(threads[i].id, NULL);
    report->cpu_seconds = (bench_clock_cpu_us() - cpu_us) / 1e6;
    report->switches = switches_so_far() - report->switches;
    (void)pthread_barrier_destroy(&start);
    return start_us > 0 ? 0 : -1;
}

/* A process's whole life. */
static _Noreturn void process_run(const struct run *run, uint64_t index, int fd)
{
    struct process_report *report = &run->board.processes[index];
    const struct bench_peer *peer = run->work->peer;
    struct bench_failure ignored;
    void *store = NULL;
    double close_us;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    report->status = peer->open(run->work->scratch->path, &store, &report->failure);
    if (report->status < 0)
        _exit(0);
    report->status = run_threads(run, store, index, fd, report);
    close_us = bench_clock_us();
    if (peer->close(store, report->status == 0 ? &report->failure : &ignored) < 0)
        report->status = -1;
    report->close_seconds = (bench_clock_us() - close_us) / 1e6;
    _exit(0);
}

/* ---- in the starter ---- */

static int start_member(const struct run *run, uint64_t index, struct member *member)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -1;
    member->pid = fork();
    if (member->pid == 0) {
        close(fds[0]);
        process_run(run, index, fds[1]);
    }
    close(fds[1]);
    member->fd = fds[0];
    if (member->pid < 0) {
        close(member->fd);
        return -1;
    }
    return 0;
}

/* Hear of each that it is ready. */
static int hear_ready(const struct member *members, uint64_t count)
{
    uint64_t i;
    char byte;

    for (i = 0; i < count; i++) {
        if (read(members[i].fd, &byte, 1) != 1)
            return -1;
    }
    return 0;
}

/* The start, or its end: who hears nothing calls it off. Returns: when they start. */
static double tell_start(const struct member *members, uint64_t count)
{
    double start_us = bench_clock_us() + START_US;
    uint64_t i;

    for (i = 0; i < count; i++) /* one that is gone is found by its end */
        (void)!send(members[i].fd, &start_us, sizeof(start_us), MSG_NOSIGNAL);
    return start_us;
}

/* Wait for all, in any case. */
static int wait_all(const struct member *members, uint64_t count, struct bench_failure *failure)
{
    int rc = 0;
    uint64_t i;

    for (i = 0; i < count; i++)
        close(members[i].fd);
    for (i = 0; i < count; i++) {
        int status = 0;

        while (waitpid(members[i].pid, &status, 0) < 0 && errno == EINTR)
            continue;
        if (rc == 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
            rc = bench_failure_set(failure, "a process of the run ended by %s %d",
                                   WIFSIGNALED(status) ? "signal" : "exit code",
                                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        }
    }
    return rc;
}

/* The first failure of all; of a process that was called off there is no text. */
static int find_failure(const struct board *board, const struct bench_plan *plan,
                        struct bench_failure *failure)
{
    int rc = 0;
    uint64_t i;

    for (i = 0; i < plan->threads && rc == 0; i++) {
        if (board->hands[i].status < 0)
            rc = bench_failure_set(failure, "%s", board->hands[i].failure.text);
    }
    for (i = 0; i < plan->processes && failure->text[0] == 0; i++) {
        if (board->processes[i].status < 0)
            rc = bench_failure_set(failure, "%s", board->processes[i].failure.text);
    }
    return rc;
}

static void add_up(const struct board *board, const struct bench_plan *plan, double start_us,
                   struct bench_crew *out)
{
    double close_seconds = 0;
    double ended_us = 0;
    uint64_t i;

    for (i = 0; i < plan->threads; i++) {
        const struct hand_report *hand = &board->hands[i];

        bench_histogram_join(&out->latency, &hand->latency);
        out->events += hand->events;
        if (hand->ended_us > ended_us)
            ended_us = hand->ended_us;
        if (hand->slowest_us > out->slowest_us)
            out->slowest_us = hand->slowest_us;
    }
    for (i = 0; i < plan->processes; i++) {
        const struct process_report *process = &board->processes[i];

        out->cpu_seconds += process->cpu_seconds;
        out->switches += process->switches;
        if (process->close_seconds > close_seconds)
            close_seconds = process->close_seconds;
    }
    out->close_seconds += close_seconds;
    out->seconds += (ended_us - start_us) / 1e6;
}

/* From the first process to the last. */
static int start_and_wait(const struct run *run, double *start_us, struct bench_failure *failure)
{
    const struct bench_plan *plan = run->work->plan;
    struct member members[BENCH_PROCESSES_MAX];
    uint64_t count = 0;
    int rc = 0;

    while (count < plan->processes && rc == 0) {
        rc = start_member(run, count, &members[count]);
        if (rc == 0)
            count++;
    }
    if (rc < 0) {
        bench_failure_set(failure, "new process: %s", strerror(errno));
    } else {
        rc = hear_ready(members, count);
        if (rc == 0)
            *start_us = tell_start(members, count);
    }
    if (wait_all(members, count, failure) < 0)
        rc = -1;
    return rc;
}

int bench_crew_run(const struct bench_work *work, bench_hand_fn run, void *payload,
                   struct bench_crew *out, struct bench_failure *failure)
{
    struct run own = {.work = work, .run = run, .payload = payload};
    double start_us = 0;
    int rc;

    assert(work->plan->processes > 0 && work->plan->processes <= BENCH_PROCESSES_MAX);
    assert(work->plan->threads >= work->plan->processes);
    assert(work->plan->threads <= BENCH_THREADS_MAX);

    if (board_make(&own.board, work->plan) < 0)
        return bench_failure_set(failure, "out of memory");
    rc = start_and_wait(&own, &start_us, failure);
    if (find_failure(&own.board, work->plan, failure) < 0)
        rc = -1;
    if (rc == 0)
        add_up(&own.board, work->plan, start_us, out);
    munmap(own.board.processes, own.board.bytes);
    return rc;
}

void bench_crew_report(const struct bench_crew *crew, struct bench_round *out)
{
    out->events_per_s = (double)crew->events / crew->seconds;
    out->seconds = crew->seconds;
    out->close_seconds = crew->close_seconds;
    out->cpu_seconds = crew->cpu_seconds;
    out->operations = (double)crew->latency.count;
    out->switches = crew->events > 0 ? crew->switches / (double)crew->events : 0;
    out->p50_us = bench_histogram_percentile(&crew->latency, 0.50);
    out->p99_us = bench_histogram_percentile(&crew->latency, 0.99);
    out->p999_us = bench_histogram_percentile(&crew->latency, 0.999);
    out->max_us = crew->latency.max_us;
}
