/* linear.c - threads of several processes write down when they called what, and what they were
 * told; then the history is held against the log: linear.h says how.
 *
 * linear [--seconds N] [--processes N] [--threads N] [--seed N] [--disk 1]
 * linear --self-test    the checker refuses what it must
 *
 * Children are this very program: linear child STORE FILE SECONDS THREADS NUMBER SEED. */
#include "linear.h"

#include "clock.h"
#include "handles.h"
#include "merge.h"
#include "support_system.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS_MAX = 400000, THREADS_MAX = 16, PROCESSES_MAX = 8, ASYNC_MAX = 24 };

static quipu *store;
static int64_t until_ns;

struct worker {
    pthread_t thread;
    struct sys_random random;
    unsigned number; /* over all processes */
    struct linear_call *calls;
    size_t call_count;
    uint64_t head; /* as far as it knows, as somebody does who has just looked */
    uint64_t versions[LINEAR_STREAMS];
    uint64_t numbers[LINEAR_NUMBERS];
};

static struct worker workers[THREADS_MAX];

static const char *const stream_names[] = {"s-0", "s-1", "s-2", "t-3"};
static const char *const type_names[] = {"T0", "T1", "T2"};
static const char *const tag_names[] = {"g:0", "g:1", "g:2", "g:3", "g:4"};

/* ---- what is asked --------------------------------------------------------------------------- */

static void pick_query(struct sys_random *random, struct linear_query *query)
{
    *query = (struct linear_query){-1, -1, -1, false};
    switch (sys_below(random, 5)) {
    case 0:
        query->stream = (int8_t)sys_below(random, LINEAR_STREAMS);
        break;
    case 1:
        query->tag = (int8_t)sys_below(random, LINEAR_TAGS);
        break;
    case 2:
        query->type = (int8_t)sys_below(random, LINEAR_TYPES);
        query->tag = (int8_t)sys_below(random, LINEAR_TAGS);
        break;
    case 3:
        query->stream = (int8_t)sys_below(random, LINEAR_STREAMS);
        query->tag = (int8_t)sys_below(random, LINEAR_TAGS);
        query->either = true;
        break;
    default:
        break; /* every event */
    }
}

/* A quipu_query that points into itself: never copied. */
struct asked {
    quipu_query query;
    quipu_query_item items[2];
};

static void ask(const struct linear_query *query, struct asked *asked)
{
    quipu_query_item *item = &asked->items[0];

    *asked = (struct asked){.query = {asked->items, 1}};
    if (query->stream >= 0)
        item->stream = stream_names[query->stream];
    if (query->either)
        item = &asked->items[asked->query.item_count++];
    if (query->type >= 0) {
        item->types = &type_names[query->type];
        item->type_count = 1;
    }
    if (query->tag >= 0) {
        item->tags = &tag_names[query->tag];
        item->tag_count = 1;
    }
}

static void see_head(struct worker *worker, uint64_t head)
{
    worker->head = head > worker->head ? head : worker->head;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static struct linear_call *begin_call(struct worker *worker, enum linear_kind kind)
{
    struct linear_call *call = &worker->calls[worker->call_count++];

    *call = (struct linear_call){.kind = kind};
    call->author = worker->number * CALLS_MAX + (uint32_t)worker->call_count;
    return call;
}

static void call_head(struct worker *worker)
{
    struct linear_call *call = begin_call(worker, LINEAR_HEAD);

    call->begin_ns = qp_clock_monotonic_ns();
    CHECK(quipu_head(store, &call->first, NULL) == QUIPU_OK, "head");
    call->end_ns = qp_clock_monotonic_ns();
    see_head(worker, call->first);
}

static void call_version(struct worker *worker)
{
    const quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_BACKWARDS, .limit = 1};
    struct linear_call *call = begin_call(worker, LINEAR_VERSION);
    unsigned stream = (unsigned)sys_below(&worker->random, LINEAR_STREAMS);
    quipu_reader *reader = NULL;
    quipu_event event = {0};
    int rc;

    call->appends[0].stream = (uint8_t)stream;
    call->begin_ns = qp_clock_monotonic_ns();
    rc = quipu_read_stream(store, stream_names[stream], &range, &reader, NULL);
    if (rc == QUIPU_OK)
        rc = quipu_next(reader, &event, NULL);
    call->end_ns = qp_clock_monotonic_ns();
    CHECK(rc == QUIPU_ROW || rc == QUIPU_NOT_FOUND, "read: %d", rc);
    call->first = event.version; /* 0: there is none */
    worker->versions[stream] = call->first;
    quipu_reader_close(reader);
}

static uint64_t pick_after(struct worker *worker)
{
    uint64_t back = sys_below(&worker->random, 8);

    return sys_chance(&worker->random, 60) || back > worker->head ? worker->head
                                                                  : worker->head - back;
}

static void call_first(struct worker *worker)
{
    struct linear_call *call = begin_call(worker, LINEAR_FIRST);
    quipu_range range = {QUIPU_INIT(quipu_range), .after = pick_after(worker)};
    quipu_reader *reader = NULL;
    struct asked asked;
    quipu_event event = {0};
    int rc;

    pick_query(&worker->random, &call->query);
    ask(&call->query, &asked);
    call->after = range.after;
    call->begin_ns = qp_clock_monotonic_ns();
    rc = quipu_read(store, &asked.query, &range, &reader, NULL);
    if (rc == QUIPU_OK)
        rc = quipu_next(reader, &event, NULL);
    call->end_ns = qp_clock_monotonic_ns();
    CHECK(rc == QUIPU_ROW || rc == QUIPU_OK, "read: %d", rc);
    call->matched = event.position;
    see_head(worker, quipu_reader_head(reader));
    quipu_reader_close(reader);
}

static void call_number(struct worker *worker)
{
    struct linear_call *call = begin_call(worker, LINEAR_NUMBER);
    int rc;

    call->which = (enum linear_number)sys_below(&worker->random, LINEAR_NUMBERS);
    call->begin_ns = qp_clock_monotonic_ns();
    if (call->which == LINEAR_MARK)
        rc = quipu_mark_get(store, "mark", &call->first, NULL);
    else
        rc = quipu_tracked_get(store, "source", &call->first, NULL);
    call->end_ns = qp_clock_monotonic_ns();
    CHECK(rc == QUIPU_OK || (rc == QUIPU_NOT_FOUND && call->first == 0), "number: %d", rc);
    worker->numbers[call->which] = call->first;
}

/* ---- commits --------------------------------------------------------------------------------- */

static uint64_t pick_expected(struct worker *worker, unsigned stream)
{
    switch (sys_below(&worker->random, 8)) {
    case 0:
        return QUIPU_EXISTS;
    case 1:
        return QUIPU_NEW;
    case 2:
    case 3:
        return QUIPU_ANY;
    default:
        return worker->versions[stream];
    }
}

static void add_append(struct worker *worker, struct linear_call *call, quipu_batch *batch,
                       unsigned stream)
{
    struct linear_append *append = &call->appends[call->append_count++];
    quipu_draft drafts[3];

    append->stream = (uint8_t)stream;
    append->count = (uint8_t)sys_below(&worker->random, 3);
    append->expected = pick_expected(worker, stream);
    for (unsigned i = 0; i < append->count; i++)
        drafts[i] = (quipu_draft){.type = type_names[sys_below(&worker->random, LINEAR_TYPES)],
                                  .tags = &tag_names[sys_below(&worker->random, LINEAR_TAGS)],
                                  .tag_count = 1,
                                  .data = &call->author,
                                  .data_size = sizeof(call->author)};
    CHECK(quipu_batch_append(batch, stream_names[stream], append->expected, drafts,
                             append->count) == QUIPU_OK,
          "append");
}

/* Mostly more than it knows to be there. */
static void add_move(struct worker *worker, struct linear_call *call, quipu_batch *batch)
{
    uint64_t known;
    int rc;

    call->moves = true;
    call->which = (enum linear_number)sys_below(&worker->random, LINEAR_NUMBERS);
    known = worker->numbers[call->which];
    call->number = known + sys_below(&worker->random, 4);
    if (call->number == 0 || (known > 1 && sys_chance(&worker->random, 10)))
        call->number = known > 1 ? known - 1 : 1;
    if (call->which == LINEAR_MARK)
        rc = quipu_batch_mark(batch, "mark", call->number);
    else
        rc = quipu_batch_track(batch, "source", call->number);
    CHECK(rc == QUIPU_OK, "number: %d", rc);
}

/* Streams of one batch are different ones: the checker knows the state before it. */
static quipu_batch *make_batch(struct worker *worker, struct linear_call *call)
{
    quipu_batch *batch = quipu_batch_new();
    unsigned stream = (unsigned)sys_below(&worker->random, LINEAR_STREAMS);
    unsigned count = (unsigned)sys_below(&worker->random, LINEAR_APPENDS + 1);
    struct asked asked;

    call->unless = count == 0 || sys_chance(&worker->random, 50);
    if (call->unless) {
        pick_query(&worker->random, &call->query);
        ask(&call->query, &asked);
        call->after = pick_after(worker);
        CHECK(quipu_batch_unless(batch, &asked.query, call->after) == QUIPU_OK, "unless");
    }
    for (unsigned i = 0; i < count; i++)
        add_append(worker, call, batch, (stream + i) % LINEAR_STREAMS);
    if (count > 0 && call->appends[0].count > 0 && sys_chance(&worker->random, 30))
        add_move(worker, call, batch);
    return batch;
}

static void end_commit(struct linear_call *call, int rc, const quipu_receipt *receipt,
                       const quipu_batch *batch)
{
    quipu_result result;

    CHECK(rc == QUIPU_OK || rc == QUIPU_CONFLICT || rc == QUIPU_ALREADY_TRACKED, "commit: %d", rc);
    call->refused = rc != QUIPU_OK;
    call->first = receipt->first_position;
    call->last = receipt->last_position;
    if (call->unless) {
        CHECK(quipu_batch_result(batch, 0, &result) == QUIPU_OK, "result");
        call->unless_failed = result.status != QUIPU_OK;
        call->matched = result.matched;
    }
    for (uint32_t i = 0; i < call->append_count; i++) {
        CHECK(quipu_batch_result(batch, i + call->unless, &result) == QUIPU_OK, "result");
        call->appends[i].failed = result.status != QUIPU_OK;
        call->appends[i].actual = result.actual;
    }
    if (call->moves) {
        CHECK(quipu_batch_result(batch, call->append_count + call->unless, &result) == QUIPU_OK,
              "result");
        call->move_failed = result.status != QUIPU_OK;
        call->number_was = result.actual;
    }
}

static void learn(struct worker *worker, const struct linear_call *call)
{
    see_head(worker, call->last > call->matched ? call->last : call->matched);
    for (uint32_t i = 0; i < call->append_count; i++)
        worker->versions[call->appends[i].stream] =
            call->appends[i].actual + (call->refused ? 0 : call->appends[i].count);
    if (call->moves)
        worker->numbers[call->which] = call->refused ? call->number_was : call->number;
}

static void call_commit(struct worker *worker)
{
    struct linear_call *call = begin_call(worker, LINEAR_COMMIT);
    quipu_batch *batch = make_batch(worker, call);
    quipu_receipt receipt;
    int rc;

    call->begin_ns = qp_clock_monotonic_ns();
    rc = quipu_commit(store, batch, &receipt, NULL);
    call->end_ns = qp_clock_monotonic_ns();
    end_commit(call, rc, &receipt, batch);
    learn(worker, call);
    quipu_batch_free(batch);
}

/* It has ended when it is told; by whatever thread. */
static void told(void *payload, int status, const quipu_receipt *receipt, const quipu_batch *batch,
                 const quipu_error *error)
{
    struct linear_call *call = payload;

    (void)error;
    call->end_ns = qp_clock_monotonic_ns();
    end_commit(call, status, receipt, batch);
}

static void call_async(struct worker *worker)
{
    size_t first = worker->call_count;
    unsigned count = 1 + (unsigned)sys_below(&worker->random, ASYNC_MAX);

    for (unsigned i = 0; i < count; i++) {
        struct linear_call *call = begin_call(worker, LINEAR_COMMIT);
        quipu_batch *batch = make_batch(worker, call);

        call->begin_ns = qp_clock_monotonic_ns();
        CHECK(quipu_commit_async(store, batch, told, call, NULL) == QUIPU_OK, "async");
    }
    CHECK(quipu_flush(store, NULL) == QUIPU_OK, "flush");
    for (; first < worker->call_count; first++)
        learn(worker, &worker->calls[first]);
}

static void *work(void *payload)
{
    struct worker *worker = payload;

    while (worker->call_count + ASYNC_MAX < CALLS_MAX && qp_clock_monotonic_ns() < until_ns) {
        uint64_t what = sys_below(&worker->random, 1000);

        if (what < 450)
            call_commit(worker);
        else if (what < 500)
            call_async(worker);
        else if (what < 650)
            call_head(worker);
        else if (what < 760)
            call_version(worker);
        else if (what < 820)
            call_number(worker);
        else if (what < 995)
            call_first(worker);
        else
            CHECK(qp_merge(store->handle, NULL) == QUIPU_OK, "merge");
    }
    return NULL;
}

/* ---- processes ------------------------------------------------------------------------------- */

struct plan {
    unsigned seconds;
    unsigned processes;
    unsigned threads; /* of each */
    uint64_t seed;
    bool disk; /* below TMPDIR, where a flush takes its time; else in memory if the machine can */
};

static void open_store(const char *path)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .async_pending_max = 16};
    quipu_error error = {0};

    CHECK(quipu_open(path, &options, &store, &error) == QUIPU_OK, "open: %s", error.text);
}

static void run_threads(const struct plan *plan, unsigned process)
{
    until_ns = qp_clock_monotonic_ns() + (int64_t)plan->seconds * 1000000000;
    for (unsigned i = 0; i < plan->threads; i++) {
        struct worker *worker = &workers[i];

        worker->number = process * plan->threads + i;
        worker->random.state = plan->seed + worker->number;
        worker->calls = calloc(CALLS_MAX, sizeof(*worker->calls));
        CHECK(worker->calls != NULL, "memory");
        CHECK(pthread_create(&worker->thread, NULL, work, worker) == 0, "thread");
    }
    for (unsigned i = 0; i < plan->threads; i++)
        CHECK(pthread_join(workers[i].thread, NULL) == 0, "join");
}

static int child(char **arguments)
{
    const struct plan plan = {.seconds = (unsigned)strtoul(arguments[4], NULL, 10),
                              .threads = (unsigned)strtoul(arguments[5], NULL, 10),
                              .seed = strtoull(arguments[7], NULL, 10)};
    FILE *file = fopen(arguments[3], "wb");

    CHECK(file != NULL, "%s", arguments[3]);
    open_store(arguments[2]);
    run_threads(&plan, (unsigned)strtoul(arguments[6], NULL, 10));
    quipu_close(store);
    for (unsigned i = 0; i < plan.threads; i++)
        CHECK(fwrite(workers[i].calls, sizeof(struct linear_call), workers[i].call_count, file) ==
                  workers[i].call_count,
              "write");
    CHECK(fclose(file) == 0, "write");
    return 0;
}

static pid_t spawn(const struct plan *plan, const char *path, const char *file, unsigned number)
{
    char numbers[4][24];
    const char *const arguments[] = {"child",    path,       file,       numbers[0],
                                     numbers[1], numbers[2], numbers[3], NULL};

    (void)snprintf(numbers[0], 24, "%u", plan->seconds);
    (void)snprintf(numbers[1], 24, "%u", plan->threads);
    (void)snprintf(numbers[2], 24, "%u", number);
    (void)snprintf(numbers[3], 24, "%" PRIu64, plan->seed);
    return sys_spawn(arguments);
}

/* ---- the history ----------------------------------------------------------------------------- */

static void add_calls(struct linear_history *history, const char *file)
{
    size_t count = sys_file_size(file) / sizeof(struct linear_call);

    history->calls =
        realloc(history->calls, (history->call_count + count) * sizeof(*history->calls));
    CHECK(history->calls != NULL, "memory");
    sys_file_read(file, 0, history->calls + history->call_count, count * sizeof(*history->calls));
    history->call_count += count;
}

static uint8_t index_of(const char *const *names, size_t count, const char *name)
{
    uint8_t i = 0;

    while (i < count && strcmp(names[i], name) != 0)
        i++;
    CHECK(i < count, "%s", name);
    return i;
}

static struct linear_event *read_log(uint64_t *head)
{
    struct linear_event *events;
    quipu_reader *reader;
    quipu_event event;

    CHECK(quipu_head(store, head, NULL) == QUIPU_OK, "head");
    events = calloc(*head + 1, sizeof(*events));
    CHECK(events != NULL, "memory");
    CHECK(quipu_read(store, NULL, NULL, &reader, NULL) == QUIPU_OK, "read");
    for (uint64_t i = 0; i < *head; i++) {
        CHECK(quipu_next(reader, &event, NULL) == QUIPU_ROW && event.position == i + 1, "a gap");
        events[i].stream = index_of(stream_names, LINEAR_STREAMS, event.stream);
        events[i].type = index_of(type_names, LINEAR_TYPES, event.type);
        events[i].tag = index_of(tag_names, LINEAR_TAGS, event.tags);
        memcpy(&events[i].author, event.data, sizeof(events[i].author));
    }
    quipu_reader_close(reader);
    return events;
}

static void check(struct linear_history *history, double seconds)
{
    struct linear_event *events = read_log(&history->head);
    const struct linear_call *call = NULL;
    const char *wrong;
    size_t written = 0;
    size_t refused = 0;

    history->events = events;
    for (size_t i = 0; i < history->call_count; i++) {
        written += history->calls[i].kind == LINEAR_COMMIT && history->calls[i].last > 0;
        refused += history->calls[i].refused;
    }
    wrong = linear_check(history, &call);
    if (wrong != NULL)
        CHECK(call == NULL,
              "%s: kind %d by %u, %" PRId64 " to %" PRId64 ", positions %" PRIu64 "-%" PRIu64
              ", after %" PRIu64 ", matched %" PRIu64 ", %u appends, stream %u, expected %" PRIu64
              ", actual %" PRIu64,
              wrong, (int)call->kind, call->author / CALLS_MAX, call->begin_ns, call->end_ns,
              call->first, call->last, call->after, call->matched, call->append_count,
              call->appends[0].stream, call->appends[0].expected, call->appends[0].actual);
    CHECK(wrong == NULL, "%s", wrong);
    (void)printf("%zu calls, %zu written, %zu refused, %" PRIu64 " events, %.1f s\n",
                 history->call_count, written, refused, history->head, sys_seconds() - seconds);
    free(events);
}

static void run(const struct plan *plan)
{
    char directory[SYS_PATH_BYTES];
    char path[SYS_PATH_BYTES];
    char files[PROCESSES_MAX][SYS_PATH_BYTES];
    pid_t children[PROCESSES_MAX];
    struct linear_history history = {0};
    double begin = sys_seconds();

    sys_directory(directory, !plan->disk);
    sys_join(path, directory, "store");
    for (unsigned i = 0; i < plan->processes; i++) {
        char name[24];

        (void)snprintf(name, sizeof(name), "calls-%u", i);
        sys_join(files[i], directory, name);
        children[i] = spawn(plan, path, files[i], i);
    }
    for (unsigned i = 0; i < plan->processes; i++)
        CHECK(sys_wait(children[i]) == 0, "process %u", i);
    for (unsigned i = 0; i < plan->processes; i++)
        add_calls(&history, files[i]);
    open_store(path);
    check(&history, begin);
    quipu_close(store);
    free(history.calls);
    sys_remove(directory);
}

static unsigned number_of(const char *text, unsigned most)
{
    unsigned long number = strtoul(text, NULL, 10);

    CHECK(number >= 1 && number <= most, "%s: 1 to %u", text, most);
    return (unsigned)number;
}

int main(int count, char **arguments)
{
    struct plan plan = {.seconds = 4, .seed = sys_seed()};

    if (count == 8 && strcmp(arguments[1], "child") == 0)
        return child(arguments);
    if (count == 2 && strcmp(arguments[1], "--self-test") == 0) {
        const char *wrong = linear_self_test();

        CHECK(wrong == NULL, "%s", wrong);
        return 0;
    }
    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "--seconds") == 0)
            plan.seconds = number_of(arguments[i + 1], 1000000);
        else if (strcmp(arguments[i], "--processes") == 0)
            plan.processes = number_of(arguments[i + 1], PROCESSES_MAX);
        else if (strcmp(arguments[i], "--threads") == 0)
            plan.threads = number_of(arguments[i + 1], THREADS_MAX);
        else if (strcmp(arguments[i], "--seed") == 0)
            plan.seed = strtoull(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--disk") == 0)
            plan.disk = arguments[i + 1][0] != '0';
    }
    for (unsigned i = 0; i < 2; i++) { /* threads of one process, and of three */
        struct plan own = plan;

        own.processes = plan.processes > 0 ? plan.processes : i == 0 ? 1 : 3;
        own.threads = plan.threads > 0 ? plan.threads : i == 0 ? 8 : 3;
        (void)snprintf(sys_note, sizeof(sys_note),
                       "linear --seconds %u --processes %u --threads %u --seed %" PRIu64
                       " --disk %d",
                       own.seconds, own.processes, own.threads, own.seed, own.disk);
        (void)printf("%s: ", sys_note);
        (void)fflush(stdout);
        run(&own);
        if (plan.processes > 0)
            break;
    }
    return 0;
}
