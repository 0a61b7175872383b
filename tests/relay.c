/* relay.c - processes of several threads each on one store, some of which are killed or stopped:
 * groups are handed over from one process to another all the time.
 *
 * relay [--seconds S] [--seed N]
 *
 * A writer notes in a mapped file what each append returned. In the end the log must have each
 * acknowledged event once, at the position of its receipt; none twice; none that was refused; and
 * each thread's events in the order in which it sent them.
 *
 * Children are this very program: relay child STORE NOTES NUMBER. */
#include "quipu.h"
#include "support_system.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PROCESSES = 4,
    THREADS = 4,
    WRITERS_MAX = 2000, /* processes ever started */
    SENT_MAX = 2000,    /* events of one thread */
    STREAMS = 40,
    TRACKED_EACH = 5,
    BUSY_MS = 400
};

/* What came of an event: a position, or one of these. */
#define NOTE_REFUSED UINT64_MAX
#define NOTE_UNKNOWN (UINT64_MAX - 1)

struct sent {
    uint32_t writer;
    uint32_t thread;
    uint32_t number;
};

typedef uint64_t notes[WRITERS_MAX][THREADS][SENT_MAX];

static notes *map_notes(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *map = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof(notes)) == 0)
        map = mmap(NULL, sizeof(notes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED, "map %s: %s", path, strerror(errno));
    (void)close(fd);
    return map;
}

/* ---- a writer ---- */

struct thread {
    quipu *store;
    uint64_t *noted;
    uint32_t writer;
    uint32_t number;
    pthread_t thread;
};

/* One event, every third with an id, every fifth with a number of a source of the thread's own. */
static int send_one(const struct thread *thread, const struct sent *sent, quipu_receipt *receipt,
                    quipu_error *error)
{
    quipu_batch *batch = quipu_batch_new();
    quipu_draft draft = {.type = "sent", .data = sent, .data_size = sizeof(*sent)};
    char stream[32];
    int rc;

    CHECK(batch != NULL, "no memory");
    if (sent->number % 3 == 0) {
        draft.flags = QUIPU_EVENT_HAS_ID;
        quipu_id_from(sent, sizeof(*sent), draft.id);
    }
    (void)snprintf(stream, sizeof(stream), "relay-%u",
                   (sent->writer * 7 + sent->number * 3 + sent->thread) % STREAMS);
    (void)quipu_batch_append(batch, stream, QUIPU_ANY, &draft, 1);
    if (sent->number % TRACKED_EACH == 0) {
        (void)snprintf(stream, sizeof(stream), "w-%u-%u", sent->writer, sent->thread);
        (void)quipu_batch_track(batch, stream, sent->number);
    }
    rc = quipu_commit(thread->store, batch, receipt, error);
    quipu_batch_free(batch);
    return rc;
}

static void *write_events(void *payload)
{
    struct thread *thread = payload;

    for (uint32_t n = 1; n < SENT_MAX; n++) {
        const struct sent sent = {thread->writer, thread->number, n};
        quipu_receipt receipt;
        quipu_error error = {0};
        int rc = send_one(thread, &sent, &receipt, &error);

        CHECK(rc == QUIPU_OK || rc == QUIPU_BUSY || rc == QUIPU_IN_DOUBT, "%d %s", rc, error.text);
        if (rc == QUIPU_OK)
            CHECK(receipt.verdict == QUIPU_COMMITTED && receipt.first_position > 0, "receipt");
        thread->noted[n] = rc == QUIPU_OK     ? receipt.first_position
                           : rc == QUIPU_BUSY ? NOTE_REFUSED
                                              : NOTE_UNKNOWN;
    }
    return NULL;
}

static int child(const char *path, const char *noted, unsigned number)
{
    quipu_options options = {QUIPU_INIT(quipu_options), .busy_timeout_ms = BUSY_MS};
    struct thread threads[THREADS];
    quipu_error error = {0};
    quipu *store = NULL;
    notes *all = map_notes(noted);
    int rc = QUIPU_BUSY;

    for (int tries = 0; tries < 50 && rc == QUIPU_BUSY; tries++)
        rc = quipu_open(path, &options, &store, &error);
    CHECK(rc == QUIPU_OK, "open: %d %s", rc, error.text);
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){
            .store = store, .noted = (*all)[number][i], .writer = number, .number = i};
        CHECK(pthread_create(&threads[i].thread, NULL, write_events, &threads[i]) == 0, "thread");
    }
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i].thread, NULL);
    quipu_close(store);
    return 0;
}

/* ---- what became of it ---- */

/* The newest event of each thread that came with a number. */
static uint32_t tracked_in[WRITERS_MAX][THREADS];

struct count {
    uint64_t shared; /* commits with events of several processes */
    uint64_t acknowledged, unknown, refused, found;
};

/* Each source is where its thread's last event that is in says: both commit together. */
static void check_sources(quipu *store, uint32_t last[WRITERS_MAX][THREADS])
{
    for (uint32_t i = 0; i < WRITERS_MAX; i++) {
        for (uint32_t j = 0; j < THREADS; j++) {
            char name[32];
            uint64_t number = 0;
            int rc;

            (void)snprintf(name, sizeof(name), "w-%u-%u", i, j);
            rc = quipu_tracked_get(store, name, &number, NULL);
            CHECK(rc == QUIPU_OK || rc == QUIPU_NOT_FOUND, "%s: %d", name, rc);
            CHECK(number <= last[i][j] && number % TRACKED_EACH == 0, "%s: %" PRIu64 ", %u", name,
                  number, last[i][j]);
            CHECK(number == tracked_in[i][j], "%s: %" PRIu64 ", and %u is in", name, number,
                  tracked_in[i][j]);
        }
    }
}

/* Every event of the log, against its note; then every note that has a position was met. */
static void check_log(const char *path, notes *all, struct count *count)
{
    static uint32_t last[WRITERS_MAX][THREADS];
    quipu *store = NULL;
    quipu_reader *reader = NULL;
    quipu_event event;
    quipu_error error = {0};
    uint64_t met = 0;
    int64_t recorded = 0;
    uint32_t writer = 0;
    int rc = quipu_open(path, NULL, &store, &error);

    CHECK(rc == QUIPU_OK, "open: %d %s", rc, error.text);
    CHECK(quipu_read(store, NULL, NULL, &reader, &error) == QUIPU_OK, "%s", error.text);
    for (;;) {
        struct sent sent;
        uint64_t note;

        rc = quipu_next(reader, &event, &error);
        if (rc != QUIPU_ROW)
            break;
        count->found++;
        CHECK(event.position == count->found, "a gap at %" PRIu64, event.position);
        memcpy(&sent, event.data, sizeof(sent));
        note = (*all)[sent.writer][sent.thread][sent.number];
        CHECK(sent.number > last[sent.writer][sent.thread], "%u/%u: %u behind %u", sent.writer,
              sent.thread, sent.number, last[sent.writer][sent.thread]);
        last[sent.writer][sent.thread] = sent.number;
        if (sent.number % TRACKED_EACH == 0)
            tracked_in[sent.writer][sent.thread] = sent.number;
        CHECK(note == 0 || note == NOTE_UNKNOWN || note == event.position,
              "position %" PRIu64 " was noted as %" PRIu64, event.position, note);
        met += note == event.position;
        count->shared += event.recorded_ns == recorded && sent.writer != writer;
        recorded = event.recorded_ns;
        writer = sent.writer;
    }
    CHECK(rc == QUIPU_OK, "read: %d %s", rc, error.text);
    for (size_t i = 0; i < sizeof(notes) / sizeof(uint64_t); i++) {
        uint64_t note = (&(*all)[0][0][0])[i];

        count->unknown += note == NOTE_UNKNOWN;
        count->refused += note == NOTE_REFUSED;
        count->acknowledged += note != 0 && note != NOTE_UNKNOWN && note != NOTE_REFUSED;
    }
    CHECK(met == count->acknowledged, "%" PRIu64 " of %" PRIu64 " acknowledged events are there",
          met, count->acknowledged);
    quipu_reader_close(reader);
    check_sources(store, last);
    quipu_close(store);
    rc = quipu_verify(path, 0, NULL, NULL, NULL, NULL, &error);
    CHECK(rc == QUIPU_OK, "verify: %d %s", rc, error.text);
}

/* ---- the parent ---- */

static pid_t start(const char *path, const char *noted, unsigned *number)
{
    char text[16];
    const char *const arguments[] = {"child", path, noted, text, NULL};

    CHECK(*number < WRITERS_MAX, "too many writers: fewer seconds");
    (void)snprintf(text, sizeof(text), "%u", (*number)++);
    return sys_spawn(arguments);
}

static void run(const char *directory, double seconds, struct sys_random *random)
{
    char path[SYS_PATH_BYTES];
    char noted[SYS_PATH_BYTES];
    pid_t pids[PROCESSES];
    struct count count = {0};
    double end = sys_seconds() + seconds;
    unsigned writers = 0;
    unsigned kills = 0;
    unsigned stops = 0;
    notes *all;

    sys_join(path, directory, "store");
    sys_join(noted, directory, "notes");
    all = map_notes(noted);
    for (unsigned i = 0; i < PROCESSES; i++)
        pids[i] = start(path, noted, &writers);
    while (sys_seconds() < end) {
        unsigned victim = (unsigned)sys_below(random, PROCESSES);
        int status;

        sys_sleep_ms((unsigned)sys_below(random, 60) + 1);
        if (sys_chance(random, 15)) {
            (void)kill(pids[victim], SIGSTOP);
            sys_sleep_ms(sys_chance(random, 50) ? 3 * BUSY_MS : 20);
            (void)kill(pids[victim], SIGCONT);
            stops++;
            continue;
        }
        kills += kill(pids[victim], SIGKILL) == 0;
        status = sys_wait(pids[victim]);
        CHECK(status == 0 || status == 256 + SIGKILL, "writer ended with %d", status);
        pids[victim] = start(path, noted, &writers);
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        (void)kill(pids[i], SIGKILL);
        (void)sys_wait(pids[i]);
    }
    check_log(path, all, &count);
    CHECK(count.shared > 0, "no group was handed over");
    CHECK(count.unknown <= (uint64_t)(stops + 1) * PROCESSES * THREADS * 4, "%" PRIu64 " unknown",
          count.unknown);
    printf("relay: %u kills, %u stops, %" PRIu64 " acknowledged, %" PRIu64 " refused, %" PRIu64
           " unknown, %" PRIu64 " in the log, %" PRIu64 " times beside another process's\n",
           kills, stops, count.acknowledged, count.refused, count.unknown, count.found,
           count.shared);
}

int main(int argc, char **argv)
{
    char directory[SYS_PATH_BYTES];
    double seconds = 5;
    uint64_t seed = sys_seed();
    struct sys_random random;

    if (argc == 5 && strcmp(argv[1], "child") == 0)
        return child(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10));
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtod(argv[i + 1], NULL);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else
            return 2;
    }
    random.state = seed;
    (void)snprintf(sys_note, sizeof(sys_note), "relay --seconds %g --seed %" PRIu64, seconds, seed);
    sys_directory(directory, false);
    run(directory, seconds, &random);
    sys_remove(directory);
    return 0;
}
