/* race.c - processes on one store: spawned programs, not forked children.
 *
 * race 2    two race for one version; a reader among writers; one that is killed, in a merge too;
 *           one that is stopped
 * race 8    eight append to shared streams at exact versions and try again on a conflict
 *
 * Children are this very program: race child ROLE STORE NUMBER COUNT. */
#include "handles.h"
#include "merge.h"
#include "support_system.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 1000, WRITERS = 8, EVENTS = 1000, STREAMS = 10, KILLS = 60, MERGE_BATCH = 4096 };

static const quipu_draft draft = {.type = "raced", .data = "x", .data_size = 1};

static quipu *open_store(const char *path, uint32_t busy_timeout_ms)
{
    quipu_options options = {QUIPU_INIT(quipu_options), .busy_timeout_ms = busy_timeout_ms};
    quipu_error error = {0};
    quipu *store = NULL;
    int rc = quipu_open(path, &options, &store, &error);

    CHECK(rc == QUIPU_OK, "pid %d open %s: %d %s", (int)getpid(), path, rc, error.text);
    return store;
}

static uint64_t head_of(quipu *store)
{
    uint64_t head = 0;

    CHECK(quipu_head(store, &head, NULL) == QUIPU_OK, "head");
    return head;
}

static void check_verified(const char *path, uint64_t events)
{
    quipu_verified verified = {QUIPU_INIT(quipu_verified), .reserved = 0};
    quipu_error error = {0};
    int rc = quipu_verify(path, 0, NULL, NULL, NULL, &verified, &error);

    CHECK(rc == QUIPU_OK, "verify: %d %s", rc, error.text);
    CHECK(events == UINT64_MAX || verified.checked == events, "%" PRIu64 " events, not %" PRIu64,
          verified.checked, events);
}

/* Wait until a stream has this many events: how the processes of a test meet. */
static void await_version(quipu *store, const char *stream, uint64_t version)
{
    double deadline = sys_seconds() + 60;
    quipu_range range = {QUIPU_INIT(quipu_range), .after = version - 1};

    for (;;) {
        quipu_reader *reader = NULL;
        quipu_event event;
        int rc = quipu_read_stream(store, stream, &range, &reader, NULL);

        if (rc == QUIPU_OK)
            rc = quipu_next(reader, &event, NULL);
        quipu_reader_close(reader);
        if (rc == QUIPU_ROW)
            return;
        CHECK(rc == QUIPU_OK || rc == QUIPU_NOT_FOUND, "wait for %s: %d", stream, rc);
        CHECK(sys_seconds() < deadline, "waited too long for %s version %" PRIu64, stream, version);
        sys_sleep_ms(1);
    }
}

static void append_any(quipu *store, const char *stream)
{
    quipu_error error = {0};
    int rc = quipu_append(store, stream, QUIPU_ANY, &draft, 1, NULL, &error);

    CHECK(rc == QUIPU_OK, "append to %s: %d %s", stream, rc, error.text);
}

static pid_t spawn(const char *role, const char *path, unsigned number, unsigned count)
{
    char numbers[2][16];
    const char *const arguments[] = {"child", role, path, numbers[0], numbers[1], NULL};

    (void)snprintf(numbers[0], sizeof(numbers[0]), "%u", number);
    (void)snprintf(numbers[1], sizeof(numbers[1]), "%u", count);
    return sys_spawn(arguments);
}

/* ---- one expected version, one winner -------------------------------------------------------- */

/* Each round: both know version n - 1 (they have seen it), both append at it, one wins. */
static int child_contend(const char *path, unsigned number, unsigned rounds)
{
    quipu *store = open_store(path, 0);
    char name[16];
    unsigned won = 0;

    (void)snprintf(name, sizeof(name), "won-%u", number);
    append_any(store, "ready");
    await_version(store, "ready", 2);
    for (unsigned round = 0; round < rounds; round++) {
        quipu_batch *batch = quipu_batch_new();
        quipu_receipt receipt;
        int rc;

        CHECK(quipu_batch_append(batch, "prize", round, &draft, 1) == QUIPU_OK, "batch");
        CHECK(quipu_batch_append(batch, name, won, &draft, 1) == QUIPU_OK, "batch");
        rc = quipu_commit(store, batch, &receipt, NULL);
        quipu_batch_free(batch);
        CHECK(rc == QUIPU_OK || rc == QUIPU_CONFLICT, "round %u: %d", round, rc);
        if (rc == QUIPU_OK)
            won++;
        else
            CHECK(receipt.failed_count == 1 && receipt.failed_step == 0 &&
                      receipt.expected == round && receipt.actual > round,
                  "round %u: %u failed, actual %" PRIu64, round, receipt.failed_count,
                  receipt.actual);
        /* Wait for the other: a round begins when both have been told of the last one. */
        append_any(store, number == 0 ? "told-0" : "told-1");
        await_version(store, number == 0 ? "told-1" : "told-0", round + 1);
    }
    quipu_close(store);
    return won > 0 ? 0 : 3;
}

static uint64_t count_stream(quipu *store, const char *stream)
{
    quipu_reader *reader;
    quipu_event event;
    uint64_t count = 0;
    int rc = quipu_read_stream(store, stream, NULL, &reader, NULL);

    if (rc == QUIPU_NOT_FOUND)
        return 0;
    CHECK(rc == QUIPU_OK, "read %s: %d", stream, rc);
    for (rc = quipu_next(reader, &event, NULL); rc == QUIPU_ROW;
         rc = quipu_next(reader, &event, NULL))
        CHECK(event.version == ++count, "%s: version %" PRIu64 " is the %" PRIu64 "th", stream,
              event.version, count);
    CHECK(rc == QUIPU_OK, "read %s: %d", stream, rc);
    quipu_reader_close(reader);
    return count;
}

static void test_contend(const char *path)
{
    pid_t children[2];
    quipu *store;
    uint64_t won;

    for (unsigned i = 0; i < 2; i++)
        children[i] = spawn("contend", path, i, ROUNDS);
    for (unsigned i = 0; i < 2; i++) {
        int rc = sys_wait(children[i]);

        CHECK(rc == 0 || rc == 3, "child %u: %d", i, rc);
    }
    store = open_store(path, 0);
    CHECK(count_stream(store, "prize") == ROUNDS, "%" PRIu64 " prizes",
          count_stream(store, "prize"));
    won = count_stream(store, "won-0");
    CHECK(won + count_stream(store, "won-1") == ROUNDS, "winners");
    (void)printf("contend: %" PRIu64 " : %" PRIu64 "\n", won, ROUNDS - won);
    quipu_close(store);
    check_verified(path, 2 + 4 * ROUNDS);
}

/* ---- exact versions with retry --------------------------------------------------------------- */

static int child_write(const char *path, unsigned number, unsigned events)
{
    struct sys_random random = {.state = number};
    quipu *store = open_store(path, 0);
    uint64_t versions[STREAMS] = {0};

    for (unsigned i = 0; i < events; i++) {
        char data[32];
        char stream[16];
        quipu_draft mine = {.type = "written", .data = data};
        unsigned which = (unsigned)sys_below(&random, STREAMS);
        int rc = QUIPU_CONFLICT;

        mine.data_size = (uint32_t)snprintf(data, sizeof(data), "%u %u", number, i);
        (void)snprintf(stream, sizeof(stream), "shared-%u", which);
        while (rc == QUIPU_CONFLICT) {
            quipu_receipt receipt;

            rc = quipu_append(store, stream, versions[which], &mine, 1, &receipt, NULL);
            CHECK(rc != QUIPU_CONFLICT || receipt.actual != versions[which], "a false conflict");
            CHECK(rc != QUIPU_OK || receipt.last_version == versions[which] + 1, "a wrong version");
            versions[which] = rc == QUIPU_OK ? receipt.last_version : receipt.actual;
        }
        CHECK(rc == QUIPU_OK, "append: %d", rc);
        if (sys_chance(&random, 1))
            CHECK(qp_merge(store->handle, NULL) == QUIPU_OK, "merge");
    }
    quipu_close(store);
    return 0;
}

/* Each writer's events are all there, once, in its order. */
static void check_written(quipu *store)
{
    unsigned next[WRITERS] = {0};
    quipu_reader *reader;
    quipu_event event;
    uint64_t position = 0;
    int rc;

    CHECK(quipu_read(store, NULL, NULL, &reader, NULL) == QUIPU_OK, "read");
    for (rc = quipu_next(reader, &event, NULL); rc == QUIPU_ROW;
         rc = quipu_next(reader, &event, NULL)) {
        char text[32] = "";
        char *end;
        unsigned long writer;

        CHECK(event.position == ++position, "a gap before %" PRIu64, event.position);
        memcpy(text, event.data, event.data_size < 31 ? event.data_size : 31);
        writer = strtoul(text, &end, 10);
        CHECK(writer < WRITERS && strtoul(end, NULL, 10) == next[writer],
              "at %" PRIu64 ": \"%s\" comes after %u", position, text, next[writer]);
        next[writer]++;
    }
    CHECK(rc == QUIPU_OK && position == WRITERS * EVENTS, "%" PRIu64 " events", position);
    quipu_reader_close(reader);
}

static void test_write(const char *path)
{
    pid_t children[WRITERS];
    double begin = sys_seconds();
    quipu *store;
    uint64_t total = 0;

    for (unsigned i = 0; i < WRITERS; i++)
        children[i] = spawn("write", path, i, EVENTS);
    for (unsigned i = 0; i < WRITERS; i++)
        CHECK(sys_wait(children[i]) == 0, "child %u", i);
    store = open_store(path, 0);
    check_written(store);
    for (unsigned i = 0; i < STREAMS; i++) {
        char stream[16];

        (void)snprintf(stream, sizeof(stream), "shared-%u", i);
        total += count_stream(store, stream);
    }
    CHECK(total == WRITERS * EVENTS, "%" PRIu64 " events in streams", total);
    quipu_close(store);
    check_verified(path, WRITERS * EVENTS);
    (void)printf("write: %d processes, %.1f s\n", WRITERS, sys_seconds() - begin);
}

/* ---- each sees the other's events at its next read ------------------------------------------- */

/* Answers each "ping" with a "pong" as soon as it sees it. */
static int child_echo(const char *path, unsigned number, unsigned rounds)
{
    quipu *store = open_store(path, 0);

    (void)number;
    for (unsigned round = 1; round <= rounds; round++) {
        await_version(store, "ping", round);
        append_any(store, "pong");
    }
    quipu_close(store);
    return 0;
}

/* A new reader sees at least all that was acknowledged before it was opened, and its head says so.
 */
static void test_echo(const char *path)
{
    enum { PINGS = 300 };
    quipu *store = open_store(path, 0);
    pid_t child = spawn("echo", path, 0, PINGS);
    const char *const types[] = {"raced"};
    const quipu_query_item item = {.types = types, .type_count = 1};
    const quipu_query query = {&item, 1};

    for (unsigned round = 1; round <= PINGS; round++) {
        uint64_t before = head_of(store);
        quipu_reader *reader;
        quipu_event event;
        uint64_t seen = 0;

        append_any(store, "ping");
        await_version(store, "pong", round);
        CHECK(head_of(store) == before + 2, "head %" PRIu64, head_of(store));
        CHECK(quipu_read(store, &query, NULL, &reader, NULL) == QUIPU_OK, "read");
        while (quipu_next(reader, &event, NULL) == QUIPU_ROW)
            CHECK(event.position == ++seen, "by type: a gap before %" PRIu64, event.position);
        CHECK(seen == before + 2, "by type: %" PRIu64 " events of %" PRIu64, seen, before + 2);
        quipu_reader_close(reader);
        if (round % 50 == 0)
            CHECK(qp_merge(store->handle, NULL) == QUIPU_OK, "merge");
    }
    CHECK(sys_wait(child) == 0, "echo");
    quipu_close(store);
    check_verified(path, 2 * PINGS);
}

/* ---- killed while others go on --------------------------------------------------------------- */

/* Appends for ever, and says on descriptor 3 what was acknowledged. */
static int child_until_killed(const char *path, unsigned number, unsigned count)
{
    quipu *store = open_store(path, 0);
    char stream[16];

    (void)snprintf(stream, sizeof(stream), "victim-%u", number);
    for (unsigned i = 0; i < count; i++) {
        quipu_receipt receipt;
        uint64_t acked;

        CHECK(quipu_append(store, stream, QUIPU_ANY, &draft, 1, &receipt, NULL) == QUIPU_OK,
              "append");
        acked = receipt.last_version;
        CHECK(write(3, &acked, sizeof(acked)) == (ssize_t)sizeof(acked), "tell");
        if (i % 64 == 63)
            CHECK(qp_merge(store->handle, NULL) >= QUIPU_OK, "merge");
    }
    quipu_close(store);
    return 0;
}

static void kill_one(const char *path, quipu *store, unsigned number, struct sys_random *random)
{
    int ends[2];
    uint64_t acked = 0;
    uint64_t told;
    char stream[16];
    double until;
    pid_t child;

    CHECK(pipe(ends) == 0, "pipe");
    CHECK(dup2(ends[1], 3) == 3, "dup2");
    if (ends[1] != 3)
        (void)close(ends[1]);
    child = spawn("victim", path, number, 1000000);
    CHECK(dup2(STDERR_FILENO, 3) == 3, "dup2"); /* closes the pipe's end, and keeps the number */
    CHECK(read(ends[0], &acked, sizeof(acked)) == (ssize_t)sizeof(acked), "the victim died early");
    until = sys_seconds() + (double)sys_below(random, 30000) / 1e6;
    while (sys_seconds() < until)
        append_any(store, "survivor");
    CHECK(kill(child, SIGKILL) == 0, "kill");
    append_any(store, "survivor"); /* the lock of the dead is taken over */
    CHECK(sys_wait(child) == 256 + SIGKILL, "the victim ended otherwise");
    while (read(ends[0], &told, sizeof(told)) == (ssize_t)sizeof(told))
        acked = told;
    (void)close(ends[0]);
    (void)snprintf(stream, sizeof(stream), "victim-%u", number);
    CHECK(count_stream(store, stream) >= acked, "%" PRIu64 " acknowledged, %" PRIu64 " there",
          acked, count_stream(store, stream));
    append_any(store, "survivor");
}

static void test_kill(const char *path)
{
    struct sys_random random = {.state = sys_seed()};
    quipu *store;
    uint64_t survivors;

    (void)snprintf(sys_note, sizeof(sys_note), "kill: seed %" PRIu64, random.state);
    /* Descriptor 3 is how a victim tells; make sure that the store does not take it. */
    CHECK(dup2(STDERR_FILENO, 3) == 3, "dup2");
    store = open_store(path, 0);
    for (unsigned i = 0; i < KILLS; i++)
        kill_one(path, store, i, &random);
    CHECK(qp_merge(store->handle, NULL) == QUIPU_OK, "merge");
    survivors = count_stream(store, "survivor");
    CHECK(survivors >= 2 * KILLS, "survivors");
    check_verified(path, UINT64_MAX);
    quipu_close(store);
    check_verified(path, UINT64_MAX);
}

/* Its thread merges more or less all the time. Says on descriptor 3 how many batches are in. */
static int child_merge(const char *path, unsigned number, unsigned count)
{
    quipu_options options = {QUIPU_INIT(quipu_options), .flags = QUIPU_OPEN_MERGE_THREAD,
                             .tail_bytes_max = 1};
    quipu *store = NULL;

    CHECK(quipu_open(path, &options, &store, NULL) == QUIPU_OK, "open");
    for (unsigned i = 0; i < count; i++) {
        quipu_batch *batch = quipu_batch_new();
        char stream[32];

        for (unsigned j = 0; j < MERGE_BATCH; j++) {
            (void)snprintf(stream, sizeof(stream), "m-%u", (number + j) % 1000);
            CHECK(quipu_batch_append(batch, stream, QUIPU_ANY, &draft, 1) == QUIPU_OK, "batch");
        }
        CHECK(quipu_commit(store, batch, NULL, NULL) == QUIPU_OK, "commit");
        quipu_batch_free(batch);
        CHECK(write(3, &i, sizeof(i)) == (ssize_t)sizeof(i), "tell");
    }
    quipu_close(store);
    return 0;
}

/* Until another process merges, and a moment longer. */
static void await_merge(quipu *store, struct sys_random *random)
{
    double until = sys_seconds() + 10;

    while (!qp_shared_get(&store->handle->shared, QP_SHARED_MERGING))
        CHECK(sys_seconds() < until, "nobody merges");
    until = sys_seconds() + (double)sys_below(random, 1000) / 1e6;
    while (sys_seconds() < until)
        continue;
}

/* Killed while its thread merges and it commits: what was acknowledged is in, and the next one who
 * merges makes the index whole. */
static void test_kill_merger(const char *path)
{
    enum { MERGER_KILLS = 25 };
    struct sys_random random = {.state = sys_seed()};
    uint64_t batches = 0;
    unsigned merging = 0;

    (void)snprintf(sys_note, sizeof(sys_note), "kill merger: seed %" PRIu64, random.state);
    CHECK(dup2(STDERR_FILENO, 3) == 3, "dup2"); /* the store must not take it */
    for (unsigned i = 0; i < MERGER_KILLS; i++) {
        quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
        quipu *store = i % 2 == 0 ? open_store(path, 0) : NULL; /* somebody else, or nobody */
        unsigned told;
        int ends[2];
        pid_t child;

        CHECK(pipe(ends) == 0 && dup2(ends[1], 3) == 3 && close(ends[1]) == 0, "pipe");
        child = spawn("merge", path, i, 1000000);
        CHECK(dup2(STDERR_FILENO, 3) == 3, "dup2"); /* closes the pipe's end */
        CHECK(read(ends[0], &told, sizeof(told)) == (ssize_t)sizeof(told), "it died early");
        batches++;
        sys_sleep_ms((unsigned)sys_below(&random, 40));
        if (store != NULL)
            await_merge(store, &random);
        CHECK(kill(child, SIGKILL) == 0 && sys_wait(child) == 256 + SIGKILL, "kill");
        while (read(ends[0], &told, sizeof(told)) == (ssize_t)sizeof(told))
            batches++;
        (void)close(ends[0]);
        if (store == NULL)
            store = open_store(path, 0);
        else
            merging += qp_shared_get(&store->handle->shared, QP_SHARED_MERGING);
        append_any(store, "survivor");
        CHECK(qp_merge(store->handle, NULL) == QUIPU_OK, "merge");
        CHECK(quipu_stat_get(store, &stat, NULL) == QUIPU_OK, "stat");
        CHECK(stat.head >= batches * MERGE_BATCH + i + 1, "%" PRIu64 " batches in %" PRIu64,
              batches, stat.head);
        CHECK(stat.indexed == stat.head, "%" PRIu64 " of %" PRIu64, stat.indexed, stat.head);
        quipu_close(store);
    }
    check_verified(path, UINT64_MAX);
    (void)printf("kill merger: %u of %u died in a merge\n", merging, MERGER_KILLS / 2 + 1);
}

/* ---- stopped while it holds the store -------------------------------------------------------- */

static int child_hold(const char *path, unsigned number, unsigned count)
{
    quipu *store = open_store(path, 0);
    uint32_t holder;

    (void)number;
    (void)count;
    append_any(store, "holder");
    CHECK(qp_shared_lock(&store->handle->shared, INT64_MAX, &holder) == QP_LOCK_TAKEN, "lock");
    (void)raise(SIGSTOP);
    qp_shared_stand_back(&store->handle->shared, qp_shared_unlock(&store->handle->shared, false));
    append_any(store, "holder");
    quipu_close(store);
    return 0;
}

static void test_stop(const char *path)
{
    enum { BUSY_MS = 300 };
    quipu *store = open_store(path, BUSY_MS);
    pid_t child = spawn("hold", path, 0, 0);
    quipu_error error = {0};
    char pid[16];
    double begin;
    int status;

    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status), "not stopped");
    begin = sys_seconds();
    CHECK(quipu_append(store, "other", QUIPU_ANY, &draft, 1, NULL, &error) == QUIPU_BUSY, "%s",
          error.text);
    CHECK(sys_seconds() - begin >= BUSY_MS / 1e3 && sys_seconds() - begin < BUSY_MS / 1e3 + 2,
          "after %.3f s", sys_seconds() - begin);
    (void)snprintf(pid, sizeof(pid), "%d", (int)child);
    CHECK(error.status == QUIPU_BUSY && strstr(error.text, pid) != NULL, "\"%s\" without %s",
          error.text, pid);
    CHECK(count_stream(store, "holder") == 1, "reading needs no lock");
    CHECK(kill(child, SIGCONT) == 0 && sys_wait(child) == 0, "continue");
    append_any(store, "other");
    CHECK(count_stream(store, "holder") == 2 && count_stream(store, "other") == 1, "after it");
    quipu_close(store);
    check_verified(path, 3);
}

/* Killed while it holds the store: the next one settles the log and goes on. */
static void test_kill_holder(const char *path)
{
    quipu *store = open_store(path, 2000);
    pid_t child = spawn("hold", path, 0, 0);
    int status;

    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status), "not stopped");
    CHECK(kill(child, SIGKILL) == 0 && sys_wait(child) == 256 + SIGKILL, "kill");
    append_any(store, "other");
    append_any(store, "other");
    quipu_close(store);
    check_verified(path, 3);
}

/* ---- opening and closing --------------------------------------------------------------------- */

/* Many open, append one, close: who is alone settles, the others come along. */
static int child_visit(const char *path, unsigned number, unsigned visits)
{
    for (unsigned i = 0; i < visits; i++) {
        quipu *store = open_store(path, 0);

        (void)number;
        append_any(store, "visits");
        if (i % 5 == 0)
            CHECK(qp_merge(store->handle, NULL) == QUIPU_OK, "merge");
        quipu_close(store);
    }
    return 0;
}

static void test_visit(const char *path)
{
    enum { VISITORS = 3, VISITS = 60 };
    pid_t children[VISITORS];
    quipu *store;

    for (unsigned i = 0; i < VISITORS; i++)
        children[i] = spawn("visit", path, i, VISITS);
    for (unsigned i = 0; i < VISITORS; i++)
        CHECK(sys_wait(children[i]) == 0, "child %u", i);
    store = open_store(path, 0);
    CHECK(count_stream(store, "visits") == VISITORS * VISITS, "visits");
    quipu_close(store);
    check_verified(path, VISITORS * VISITS);
}

/* ---- main ------------------------------------------------------------------------------------ */

static const struct {
    const char *role;
    int (*run)(const char *path, unsigned number, unsigned count);
} roles[] = {
    {"contend", child_contend},     {"write", child_write}, {"echo", child_echo},
    {"victim", child_until_killed}, {"hold", child_hold},   {"visit", child_visit},
    {"merge", child_merge},
};

static int run_child(char **arguments)
{
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        if (strcmp(arguments[2], roles[i].role) == 0)
            return roles[i].run(arguments[3], (unsigned)strtoul(arguments[4], NULL, 10),
                                (unsigned)strtoul(arguments[5], NULL, 10));
    return 2;
}

static const struct {
    unsigned processes;
    const char *name;
    void (*run)(const char *path);
} tests[] = {
    {2, "contend", test_contend}, {2, "echo", test_echo},
    {2, "kill", test_kill},       {2, "kill merger", test_kill_merger},
    {2, "stop", test_stop},       {2, "kill holder", test_kill_holder},
    {2, "visit", test_visit},     {8, "write", test_write},
};

int main(int count, char **arguments)
{
    unsigned processes = count > 1 ? (unsigned)strtoul(arguments[1], NULL, 10) : 0;

    if (count == 6 && strcmp(arguments[1], "child") == 0)
        return run_child(arguments);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        char directory[SYS_PATH_BYTES];
        char path[SYS_PATH_BYTES];
        double begin = sys_seconds();

        if (processes != 0 && tests[i].processes != processes)
            continue;
        (void)snprintf(sys_note, sizeof(sys_note), "race: %s", tests[i].name);
        sys_directory(directory, true);
        sys_join(path, directory, "store");
        tests[i].run(path);
        sys_remove(directory);
        (void)printf("%s: ok, %.1f s\n", tests[i].name, sys_seconds() - begin);
        (void)fflush(stdout);
    }
    return 0;
}
