/* test_survey.c - files are walked while they rest, while this process writes them and while others
 * do: what is whole is never called damaged, and what is damaged is never called whole. Then the
 * same through quipu_verify() and QUIPU_OPEN_FULL_CHECK. */
#include "handles.h"
#include "key.h"
#include "merge.h"
#include "support_suite.h"
#include "support_system.h"
#include "survey.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In memory if the machine can: many commits, so that a walk meets some. */
static void begin(void)
{
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1);
    support_begin();
}

TestSuite(survey, .init = begin, .fini = support_suite_end, .timeout = 110);

enum { PAGE = 4096, EVENTS = 12000, SECONDS_MAX = 60 };

static char directory[SUPPORT_PATH_BYTES];

static const char *path_of(const char *name)
{
    static char path[SUPPORT_PATH_BYTES + 32];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

/* ---- a store --------------------------------------------------------------------------------- */

static void append(quipu *store, unsigned count)
{
    static const char data[600];
    quipu_draft drafts[100];

    for (unsigned done = 0; done < count; done += 100) {
        for (unsigned i = 0; i < 100; i++)
            drafts[i] = (quipu_draft){.type = "T", .data = data, .data_size = sizeof(data)};
        cr_assert(quipu_append(store, done % 200 == 0 ? "a-1" : "b-2", QUIPU_ANY, drafts, 100, NULL,
                               NULL) == QUIPU_OK);
    }
}

static quipu *open_store(uint32_t flags, int *rc)
{
    quipu_options options = {QUIPU_INIT(quipu_options), .flags = flags, .busy_timeout_ms = 5000};
    quipu *store = NULL;

    *rc = quipu_open(directory, &options, &store, NULL);
    return store;
}

static quipu *open_whole(void)
{
    int rc;
    quipu *store = open_store(0, &rc);

    cr_assert(rc == QUIPU_OK, "open: %d", rc);
    return store;
}

static void make_store(unsigned events)
{
    quipu *store;

    support_path(directory, "store");
    store = open_whole();
    append(store, events);
    cr_assert(qp_merge(store->handle, NULL) == QUIPU_OK);
    quipu_close(store);
}

/* The newest meta page's number of the last page. */
static uint64_t last_page(const char *name)
{
    uint8_t metas[2][QP_PAGE_META_BYTES];
    struct qp_page_meta newest;

    sys_file_read(path_of(name), 0, metas[0], sizeof(metas[0]));
    sys_file_read(path_of(name), PAGE, metas[1], sizeof(metas[1]));
    cr_assert_null(qp_page_metas_wrong((const uint8_t(*)[QP_PAGE_META_BYTES])metas,
                                       sys_file_size(path_of(name)), &newest));
    return newest.last_page;
}

/* Zero a leaf with full rows that later appends do not touch: the first from `from` on whose
 * number, type and space say so. */
static void damage(const char *name, uint64_t from)
{
    static const uint8_t zeroes[PAGE];
    uint8_t head[QP_PAGE_HEADER_BYTES];

    for (uint64_t page = from; page <= last_page(name); page++) {
        struct qp_page_header header;

        sys_file_read(path_of(name), page * PAGE, head, sizeof(head));
        qp_page_header_read(head, &header);
        if (header.number == page && header.flags == QP_PAGE_LEAF &&
            header.upper - header.lower < 900) {
            sys_file_patch(path_of(name), page * PAGE, zeroes, PAGE);
            return;
        }
    }
    cr_assert(false, "no leaf");
}

/* The root of `terms`: nothing that opening a store looks at. Its record follows its name. */
static void damage_index(void)
{
    static const uint8_t zeroes[QP_PAGE_HEADER_BYTES];
    uint8_t metas[2][QP_PAGE_META_BYTES];
    struct qp_page_meta newest;
    struct qp_page_tree terms;
    uint8_t page[PAGE];
    uint8_t *name;

    sys_file_read(path_of("index.mdb"), 0, metas[0], sizeof(metas[0]));
    sys_file_read(path_of("index.mdb"), PAGE, metas[1], sizeof(metas[1]));
    cr_assert_null(qp_page_metas_wrong((const uint8_t(*)[QP_PAGE_META_BYTES])metas,
                                       sys_file_size(path_of("index.mdb")), &newest));
    sys_file_read(path_of("index.mdb"), newest.tables.root * PAGE, page, sizeof(page));
    name = memmem(page, sizeof(page), "terms", 5);
    cr_assert_not_null(name);
    qp_page_tree_read(name + 5, &terms);
    sys_file_patch(path_of("index.mdb"), terms.root * PAGE, zeroes, sizeof(zeroes));
}

/* ---- one file -------------------------------------------------------------------------------- */

struct heard {
    unsigned count;
    char table[32];
    char text[200];
    int answer;
};

static int hear(void *payload, const char *table, const char *text)
{
    struct heard *heard = payload;

    if (heard->count++ == 0) {
        (void)snprintf(heard->table, sizeof(heard->table), "%s", table);
        (void)snprintf(heard->text, sizeof(heard->text), "%s", text);
    }
    return heard->answer;
}

static int survey(const char *name, struct heard *heard, enum qp_survey_state *state)
{
    struct qp_place place;
    enum qp_place_state found;
    int rc;

    cr_assert(qp_place_open(directory, 0, &place, &found, NULL) == QUIPU_OK);
    rc = qp_survey_file(&place, name, hear, heard, state, NULL);
    qp_place_close(&place);
    return rc;
}

static enum qp_survey_state state_of(const char *name)
{
    struct heard heard = {0};
    enum qp_survey_state state;

    cr_expect(survey(name, &heard, &state) == QUIPU_OK);
    cr_expect((state == QP_SURVEY_DAMAGED) == (heard.count > 0), "%s: %s", heard.table, heard.text);
    return state;
}

Test(survey, at_rest)
{
    struct heard heard = {.answer = 0};
    enum qp_survey_state state;

    make_store(2000);
    cr_expect(state_of("log.mdb") == QP_SURVEY_WHOLE);
    cr_expect(state_of("index.mdb") == QP_SURVEY_WHOLE);
    cr_expect(state_of("nothing") == QP_SURVEY_OTHER);
    cr_expect(state_of("guard") == QP_SURVEY_OTHER);
    cr_expect(state_of("shared") == QP_SURVEY_OTHER);
    damage("log.mdb", 100);
    cr_expect(state_of("log.mdb") == QP_SURVEY_DAMAGED);
    cr_expect(survey("log.mdb", &heard, &state) == QUIPU_OK && heard.count == 1);
    cr_expect_str_eq(heard.table, "log");
    cr_expect(strncmp(heard.text, "page ", 5) == 0, "%s", heard.text);
    for (heard.answer = -200; heard.answer < 10; heard.answer++)
        cr_expect(survey("log.mdb", &heard, &state) == heard.answer && state == QP_SURVEY_DAMAGED,
                  "%d", heard.answer);
    cr_assert(truncate(path_of("log.mdb"), (off_t)(last_page("log.mdb") * PAGE)) == 0);
    cr_expect(state_of("log.mdb") == QP_SURVEY_OTHER);
}

Test(survey, damaged_metas)
{
    uint8_t flags[2] = {0, 0};

    make_store(100);
    sys_file_patch(path_of("log.mdb"), PAGE + 144, (uint8_t[]){2}, 1);
    cr_expect(state_of("log.mdb") == QP_SURVEY_DAMAGED);
    sys_file_patch(path_of("index.mdb"), 10, flags, 2);
    cr_expect(state_of("index.mdb") == QP_SURVEY_OTHER);
}

/* ---- while it is written --------------------------------------------------------------------- */

struct writer {
    quipu *store;
    pthread_t thread;
    atomic_bool stop;
};

static void *write_on(void *argument)
{
    struct writer *writer = argument;
    static const char data[900];
    unsigned done = 0;

    while (!atomic_load(&writer->stop)) {
        quipu_draft draft = {.type = "T", .data = data, .data_size = sizeof(data)};

        if (quipu_append(writer->store, "w-1", QUIPU_ANY, &draft, 1, NULL, NULL) != QUIPU_OK)
            break;
        if (++done % 500 == 0)
            (void)qp_merge(writer->store->handle, NULL);
    }
    return NULL;
}

static void start(struct writer *writer)
{
    writer->store = open_whole();
    atomic_store(&writer->stop, false);
    cr_assert(pthread_create(&writer->thread, NULL, write_on, writer) == 0);
}

static void finish(struct writer *writer)
{
    atomic_store(&writer->stop, true);
    (void)pthread_join(writer->thread, NULL);
    quipu_close(writer->store);
}

/* With a snapshot held. */
static enum qp_survey_state state_of_open(quipu *store, bool log, struct heard *heard)
{
    struct qp_handle *handle = store->handle;
    enum qp_survey_state state;

    *heard = (struct heard){0};
    cr_expect(qp_survey_store(&handle->place, log ? "log.mdb" : "index.mdb",
                              log ? handle->log : handle->index, hear, heard, &state,
                              NULL) == QUIPU_OK);
    cr_expect((state == QP_SURVEY_DAMAGED) == (heard->count > 0));
    return state;
}

static void expect_whole_of_open(quipu *store, bool log)
{
    struct heard heard;
    enum qp_survey_state state = state_of_open(store, log, &heard);

    cr_assert(state == QP_SURVEY_WHOLE, "%d: %s: %s", (int)state, heard.table, heard.text);
}

Test(survey, whole_while_written)
{
    struct writer writer;
    double end = sys_seconds() + SECONDS_MAX;
    unsigned restless = 0;

    make_store(EVENTS);
    start(&writer);
    for (unsigned i = 0; (i < 40 || restless < 3) && sys_seconds() < end; i++) {
        enum qp_survey_state state = state_of("log.mdb");

        restless += state == QP_SURVEY_RESTLESS;
        cr_assert(state == QP_SURVEY_WHOLE || state == QP_SURVEY_RESTLESS);
        state = state_of("index.mdb");
        cr_assert(state == QP_SURVEY_WHOLE || state == QP_SURVEY_RESTLESS);
        expect_whole_of_open(writer.store, true);
        expect_whole_of_open(writer.store, false);
    }
    finish(&writer);
    cr_expect(restless >= 3, "only %u walks met commits", restless);
}

Test(survey, damaged_while_written)
{
    struct writer writer;
    struct heard heard;

    make_store(EVENTS);
    damage("log.mdb", 1000);
    start(&writer);
    for (unsigned i = 0; i < 20; i++) {
        cr_assert(state_of("log.mdb") != QP_SURVEY_WHOLE);
        cr_assert(state_of_open(writer.store, true, &heard) == QP_SURVEY_DAMAGED);
    }
    finish(&writer);
}

/* ---- verify ---------------------------------------------------------------------------------- */

struct findings {
    unsigned log;
    unsigned index;
    char table[32];
    char text[300];
};

static int find(void *payload, const quipu_finding *finding)
{
    struct findings *findings = payload;

    cr_expect(finding->status == QUIPU_CORRUPT && finding->position == 0);
    if (strcmp(finding->file, "log.mdb") == 0)
        findings->log++;
    else if (strcmp(finding->file, "index.mdb") == 0)
        findings->index++;
    (void)snprintf(findings->table, sizeof(findings->table), "%s", finding->table);
    (void)snprintf(findings->text, sizeof(findings->text), "%s", finding->text);
    return 0;
}

static int verify(struct findings *findings, uint64_t *checked, quipu_error *error)
{
    quipu_verified verified = {QUIPU_INIT(quipu_verified), .reserved = 0};
    int rc;

    *findings = (struct findings){0};
    rc = quipu_verify(directory, 0, find, NULL, findings, &verified, error);
    *checked = verified.checked;
    cr_expect(verified.findings == findings->log + findings->index);
    return rc;
}

Test(survey, verify_of_damaged_pages)
{
    struct findings findings;
    quipu_error error = {0};
    uint64_t checked;
    quipu *store;

    make_store(2000);
    cr_expect(verify(&findings, &checked, &error) == QUIPU_OK && checked == 2000);
    damage_index();
    cr_expect(verify(&findings, &checked, &error) == QUIPU_CORRUPT && checked == 2000,
              "the log is read all the same");
    cr_expect(findings.log == 0 && findings.index == 1 && strcmp(findings.table, "terms") == 0);
    damage("log.mdb", 100);
    cr_expect(verify(&findings, &checked, &error) == QUIPU_CORRUPT && checked == 0);
    cr_expect(findings.log == 1 && findings.index == 1);
    cr_expect_str_eq(error.text, "the pages of log.mdb are damaged: it was not read");

    cr_assert(unlink(path_of("index.mdb")) == 0);
    cr_expect(verify(&findings, &checked, &error) == QUIPU_CORRUPT && findings.index == 0);
    cr_expect_str_eq(findings.table, "log");
    store = open_whole(); /* this process has it open: it is not read either */
    cr_expect(verify(&findings, &checked, &error) == QUIPU_CORRUPT && findings.log == 1);
    quipu_close(store);
}

/* What has the damaged index mapped must not be asked. */
Test(survey, verify_of_an_index_that_is_open)
{
    struct findings findings;
    quipu_error error = {0};
    uint64_t checked;
    quipu *store;

    make_store(2000);
    store = open_whole();
    damage_index();
    cr_expect(verify(&findings, &checked, &error) == QUIPU_CORRUPT && checked == 0);
    cr_expect(findings.index == 1);
    cr_expect(strstr(error.text, "this process has it open") != NULL, "%s", error.text);
    cr_assert(unlink(path_of("index.mdb")) == 0); /* so that closing does not merge into it */
    quipu_close(store);
}

Test(survey, verify_stops_when_told)
{
    struct heard heard = {0};

    make_store(200);
    damage("log.mdb", 5);
    cr_expect(quipu_verify(directory, 0, NULL, NULL, &heard, NULL, NULL) == QUIPU_CORRUPT);
}

Test(survey, verify_while_this_process_writes)
{
    struct writer writer;

    make_store(EVENTS);
    start(&writer);
    for (unsigned i = 0; i < 6; i++) {
        struct findings findings;
        quipu_error error = {0};
        uint64_t checked;
        int rc = verify(&findings, &checked, &error);

        cr_assert(rc == QUIPU_OK && checked >= EVENTS, "%d: %s %s: %s", rc, error.text,
                  findings.table, findings.text);
    }
    finish(&writer);
}

/* ---- others ---------------------------------------------------------------------------------- */

/* A process that has the store open, and writes if it is told so. */
static pid_t start_other(bool writes)
{
    int ready[2];
    char byte;
    pid_t pid;

    cr_assert(pipe(ready) == 0);
    pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        static struct writer writer;
        int rc;

        (void)alarm(SECONDS_MAX);
        writer.store = open_store(0, &rc);
        if (rc != QUIPU_OK || write(ready[1], "x", 1) != 1)
            _exit(1);
        if (writes)
            (void)write_on(&writer);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    cr_assert(read(ready[0], &byte, 1) == 1, "the other one is open");
    (void)close(ready[0]);
    return pid;
}

static void end_other(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

Test(survey, verify_while_others_write)
{
    pid_t other;

    make_store(EVENTS);
    other = start_other(true);
    for (unsigned i = 0; i < 6; i++) {
        struct findings findings;
        quipu_error error = {0};
        uint64_t checked;
        int rc = verify(&findings, &checked, &error);

        cr_assert(rc == QUIPU_OK && checked >= EVENTS, "%d: %s %s: %s", rc, error.text,
                  findings.table, findings.text);
    }
    end_other(other);
}

Test(survey, verify_of_damage_while_others_write)
{
    pid_t other;

    make_store(EVENTS);
    damage("log.mdb", 1000);
    other = start_other(true);
    for (unsigned i = 0; i < 6; i++) {
        struct findings findings;
        quipu_error error = {0};
        uint64_t checked;
        int rc = verify(&findings, &checked, &error);

        cr_assert(rc == QUIPU_CORRUPT && checked == 0 && findings.log == 1, "%d: %s", rc,
                  error.text);
    }
    end_other(other);
}

/* ---- open with a full check ------------------------------------------------------------------ */

static int try_open(uint32_t flags)
{
    int rc;
    quipu *store = open_store(flags, &rc);

    quipu_close(store);
    return rc;
}

static uint64_t events_of_stream(quipu *store, const char *stream)
{
    quipu_reader *reader = NULL;
    quipu_event event;
    uint64_t count = 0;

    cr_assert(quipu_read_stream(store, stream, NULL, &reader, NULL) == QUIPU_OK);
    while (quipu_next(reader, &event, NULL) == QUIPU_ROW)
        count++;
    quipu_reader_close(reader);
    return count;
}

Test(survey, full_check_alone)
{
    quipu *store;
    int rc;

    make_store(6000);
    cr_expect(try_open(QUIPU_OPEN_FULL_CHECK) == QUIPU_OK);
    cr_expect(try_open(QUIPU_OPEN_FULL_CHECK | QUIPU_OPEN_READ_ONLY) == QUIPU_OK);
    damage_index();
    store = open_store(QUIPU_OPEN_FULL_CHECK | QUIPU_OPEN_READ_ONLY, &rc);
    cr_assert(rc == QUIPU_OK && store->handle->index == NULL, "a reader does without");
    cr_expect(events_of_stream(store, "b-2") == 3000);
    quipu_close(store);
    store = open_store(QUIPU_OPEN_FULL_CHECK, &rc);
    cr_assert(rc == QUIPU_OK && store->handle->index != NULL, "a writer makes it again");
    cr_expect(events_of_stream(store, "b-2") == 3000);
    quipu_close(store);
    cr_expect(state_of("index.mdb") == QP_SURVEY_WHOLE);
    damage("log.mdb", 100);
    cr_expect(try_open(QUIPU_OPEN_FULL_CHECK) == QUIPU_CORRUPT);
    cr_expect(try_open(QUIPU_OPEN_FULL_CHECK | QUIPU_OPEN_READ_ONLY) == QUIPU_CORRUPT);
    cr_expect(try_open(0) == QUIPU_OK, "nobody asked");
}

Test(survey, full_check_beside_others)
{
    pid_t other;
    quipu *store;
    int rc;

    make_store(6000);
    other = start_other(true);
    for (int i = 0; i < 5; i++)
        cr_expect(try_open(QUIPU_OPEN_FULL_CHECK) == QUIPU_OK);
    end_other(other);
    other = start_other(false);
    damage_index();
    cr_expect(try_open(QUIPU_OPEN_FULL_CHECK) == QUIPU_BUSY, "a writer needs one");
    store = open_store(QUIPU_OPEN_FULL_CHECK | QUIPU_OPEN_READ_ONLY, &rc);
    cr_expect(rc == QUIPU_OK && store->handle->index == NULL, "%d", rc);
    quipu_close(store);
    damage("log.mdb", 100);
    cr_expect(try_open(QUIPU_OPEN_FULL_CHECK) == QUIPU_CORRUPT);
    end_other(other);
}

/* Who has it open already is not made to look again, and it is no other option. */
Test(survey, full_check_is_of_one_open)
{
    quipu *store;

    make_store(100);
    store = open_whole();
    damage("log.mdb", 4);
    cr_expect(try_open(QUIPU_OPEN_FULL_CHECK) == QUIPU_OK);
    quipu_close(store);
}

/* ---- reads as a file may give them ----------------------------------------------------------- */

/* This program defines pread() itself: LMDB's and ours come here first. */
enum odd {
    AS_IT_IS,
    MOVES, /* each time the meta pages are those of the next but one transaction */
    MOVES_ONCE,
    HALVES, /* of all but the meta pages, and interrupted by signals */
    ENDS    /* behind the first pages: somebody cuts the file off */
};
static enum odd odd;
static const char *odd_file;
static uint64_t odd_calls;

static bool is_odd(int fd)
{
    char link[64];
    char name[SUPPORT_PATH_BYTES];
    ssize_t size;
    size_t wanted;

    if (odd == AS_IT_IS)
        return false;
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    size = readlink(link, name, sizeof(name));
    wanted = strlen(odd_file);
    return size > (ssize_t)wanted && memcmp(name + size - wanted, odd_file, wanted) == 0;
}

__attribute__((visibility("default"))) ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    enum { TRANSACTION_AT = QP_PAGE_HEADER_BYTES + 128 };
    ssize_t got;

    if (!is_odd(fd))
        return syscall(SYS_pread64, fd, bytes, size, offset);
    odd_calls += odd == HALVES || offset == 0;
    if (odd == HALVES && offset >= 2L * PAGE && odd_calls % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    if (odd == HALVES && offset >= 2L * PAGE && size > PAGE / 2)
        size = PAGE / 2;
    if (odd == ENDS && offset >= 4L * PAGE)
        return 0;
    got = syscall(SYS_pread64, fd, bytes, size, offset);
    if (got == QP_PAGE_META_BYTES && (odd == MOVES || (odd == MOVES_ONCE && odd_calls < 4))) {
        uint8_t *at = (uint8_t *)bytes + TRANSACTION_AT;

        qp_set_u64(at, qp_get_u64(at) + 2 * odd_calls);
    }
    return got;
}

static void open_odd(enum odd how, const char *name, int status, const char *text)
{
    static const quipu_options options = {QUIPU_INIT(quipu_options),
                                          .flags = QUIPU_OPEN_FULL_CHECK};
    quipu_error error = {0};
    quipu *store = NULL;
    int rc;

    odd = how;
    odd_file = name;
    odd_calls = 0;
    rc = quipu_open(directory, &options, &store, &error);
    odd = AS_IT_IS;
    cr_expect(rc == status, "%s, %d: %d %s", name, (int)how, rc, error.text);
    cr_expect(strstr(error.text, text) != NULL, "%s, %d: %s", name, (int)how, error.text);
    quipu_close(store);
}

/* What moves all the time was not seen: nobody says that it is whole, or that it is damaged. */
static void open_all_odd(void)
{
    open_odd(MOVES, "log.mdb", QUIPU_BUSY, "log.mdb is written all the time");
    open_odd(MOVES, "index.mdb", QUIPU_BUSY, "index.mdb is written all the time");
    open_odd(MOVES_ONCE, "log.mdb", QUIPU_OK, "");
    open_odd(MOVES_ONCE, "index.mdb", QUIPU_OK, "");
    open_odd(HALVES, "log.mdb", QUIPU_OK, "");
    open_odd(HALVES, "index.mdb", QUIPU_OK, "");
    open_odd(ENDS, "log.mdb", QUIPU_IO, "read log.mdb at");
    open_odd(ENDS, "index.mdb", QUIPU_IO, "read index.mdb at");
    cr_expect(try_open(QUIPU_OPEN_FULL_CHECK) == QUIPU_OK);
}

Test(survey, odd_reads_alone)
{
    make_store(6000);
    open_all_odd();
}

Test(survey, odd_reads_beside_others)
{
    pid_t other;

    make_store(6000);
    other = start_other(false);
    open_all_odd();
    end_other(other);
}
