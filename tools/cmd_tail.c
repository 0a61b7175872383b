/* cmd_tail.c - quipu tail: the newest events, and those that come.
 *
 * The newest N of a filter are found by going back from the head; then they are printed forward,
 * and following goes on from there. So nothing is kept in memory, however large N is, and between
 * the two no event is missed or shown twice.
 *
 * What comes is waited for in quipu_wait(), which holds no snapshot. It knows nothing of ctrl-C and
 * of readers that go away, so it is left now and then to look for these. */
#include "command.h"
#include "filter.h"
#include "interrupt.h"
#include "line.h"
#include "number.h"
#include "pager.h"
#include "plugin.h"
#include "pretty.h"
#include "stamp.h"
#include "store.h"
#include "summary.h"
#include "text.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINES          10  /* without --lines */
#define WAIT_MS        100 /* how long ctrl-C may take */
#define NAME_WIDTH_MAX 40
#define DATA_WIDTH     72 /* where no terminal says how wide it is */
#define DATA_WIDTH_MIN 24
#define DATE_SIZE      10 /* 2010-10-02 of a whole stamp */
#define TIME_AT        11
#define TIME_SIZE      12 /* 07:20:39.266 */

static const struct qt_option options[] = {
    {.name = "follow", .letter = 'f', .help = "go on with what comes, until ctrl-C"},
    {.name = "lines",
     .letter = 'n',
     .value = "N",
     .help = "how many of the newest events: 10",
     .kind = QT_NUMBER},
    QT_UPCAST_OPTION,
    QT_PRETTY_OPTION,
    {0},
};

struct tail {
    struct qt_run *run;
    struct qt_filter filter;
    struct qt_pager pager;
    struct qt_interrupt interrupt;
    struct qt_plugin plugin;
    bool follows;
    uint64_t seen; /* the position up to which all was looked at */
    struct qt_line line;
    struct qt_bytes scratch;
    struct qt_stamp stamp;
    char today[DATE_SIZE];
    size_t position_width;
    size_t stream_width;
    size_t version_width;
    size_t type_width;
    size_t columns; /* of the terminal; 0: none */
};

/* ---- rows ---- */

/* Columns grow as wider names come, but no name takes the whole line. */
static void widen(size_t *width, size_t wanted)
{
    if (wanted > NAME_WIDTH_MAX)
        wanted = NAME_WIDTH_MAX;
    if (wanted > *width)
        *width = wanted;
}

static void fit_event(void *payload, const quipu_event *event)
{
    struct tail *tail = payload;

    widen(&tail->position_width, qt_number_digits(event->position));
    widen(&tail->stream_width, qt_text_width(event->stream, event->stream_size));
    widen(&tail->version_width, qt_number_digits(event->version));
    widen(&tail->type_width, qt_text_width(event->type, event->type_size));
}

/* What is left of the line for the data. */
static size_t data_width(const struct tail *tail, size_t stamp_size)
{
    size_t used = tail->position_width + stamp_size + tail->stream_width + tail->version_width +
                  tail->type_width + 6; /* five blanks and the v */

    if (tail->columns == 0)
        return DATA_WIDTH;
    return tail->columns > used + DATA_WIDTH_MIN ? tail->columns - used : DATA_WIDTH_MIN;
}

/* To the millisecond, for times that are read as they come; the date where it is not today's.
 *
 * Returns: the columns taken. */
static size_t put_stamp(struct tail *tail, int64_t time_ns)
{
    char text[QT_STAMP_FULL];
    size_t begin = TIME_AT;

    (void)qt_stamp_full(&tail->stamp, time_ns, text);
    if (memcmp(text, tail->today, DATE_SIZE) != 0) {
        text[DATE_SIZE] = ' ';
        begin = 0;
    }
    qt_out_put(&tail->run->out, text + begin, TIME_AT + TIME_SIZE - begin);
    return TIME_AT + TIME_SIZE - begin;
}

static void put_row(void *payload, const quipu_event *event)
{
    struct tail *tail = payload;
    struct qt_out *out = &tail->run->out;
    char version[QT_NUMBER_MAX + 1] = "v";
    size_t stamp_size;

    fit_event(tail, event);
    qt_text_right(out, event->position, tail->position_width);
    qt_out_char(out, ' ');
    stamp_size = put_stamp(tail, event->time_ns);
    qt_out_char(out, ' ');
    qt_text_padded(out, event->stream, event->stream_size, tail->stream_width);
    qt_out_char(out, ' ');
    qt_text_padded(out, version, (size_t)(qt_number_put(version + 1, event->version) - version),
                   tail->version_width + 1);
    qt_out_char(out, ' ');
    qt_out_style(out, "36");
    if (event->data_size == 0) {
        qt_text_put(out, event->type, event->type_size);
        qt_out_plain(out);
    } else {
        qt_text_padded(out, event->type, event->type_size, tail->type_width);
        qt_out_plain(out);
        qt_out_char(out, ' ');
        qt_summary_put(out, &tail->scratch, event, data_width(tail, stamp_size));
    }
    qt_out_char(out, '\n');
}

static void put_line(void *payload, const quipu_event *event)
{
    struct tail *tail = payload;

    qt_line_put(&tail->line, &tail->run->out, event);
}

static void put_pretty(void *payload, const quipu_event *event)
{
    struct tail *tail = payload;

    qt_pretty_put(&tail->run->out, &tail->scratch, event);
}

/* ---- the newest ---- */

/* Back from the newest until there are enough: what comes after that is to be printed. */
static int find_start(struct tail *tail, uint64_t lines)
{
    struct qt_pager back = tail->pager;
    int rc;

    if (lines == 0) {
        tail->pager.after = tail->pager.upto;
        return 0;
    }
    back.backwards = true;
    back.quiet = true; /* what is damaged is told when it is printed */
    back.put = back.put == put_row ? fit_event : NULL;
    back.limit = lines;
    rc = qt_pager_pages(&back, NULL);
    if (rc == 0 && back.shown == lines)
        tail->pager.after = back.upto;
    return rc;
}

/* What is up to the end of the pager's range; written at once. */
static int put_range(struct tail *tail)
{
    struct qt_pager *pager = &tail->pager;
    struct timespec now;
    char text[QT_STAMP_FULL];
    int rc;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)qt_stamp_full(&tail->stamp, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec, text);
    memcpy(tail->today, text, DATE_SIZE);
    tail->columns = qt_text_columns(STDOUT_FILENO); /* a window may change */
    rc = qt_pager_pages(pager, NULL);
    qt_out_flush(&tail->run->out);
    return rc;
}

/* Who follows a stream may be there before it is.
 *
 * Returns: 0 if that is so, else `rc`. */
static int forgive_missing(struct tail *tail, int rc)
{
    if (rc != QUIPU_NOT_FOUND || !tail->follows)
        return rc;
    tail->run->problem = (struct qt_problem){0};
    return 0;
}

/* The newest ones, as of now. */
static int put_newest(struct tail *tail)
{
    struct qt_pager *pager = &tail->pager;
    uint64_t lines = qt_args_number(&tail->run->args, "lines", LINES);
    quipu_error error = {0};
    uint64_t head;
    int rc = quipu_head(pager->store, &tail->seen, &error);

    if (rc < 0)
        return qt_store_failed(tail->run, rc, &error);
    rc = qt_pager_head(pager, &head);
    if (rc == QUIPU_NOT_FOUND && tail->follows)
        qt_note("no such stream yet: %.300s", tail->filter.stream);
    rc = forgive_missing(tail, rc);
    if (rc < 0)
        return rc;
    if (pager->upto > head)
        pager->upto = head;
    if (pager->after > pager->upto) /* following may still come there */
        return 0;
    rc = find_start(tail, lines);
    if (rc == 0)
        rc = put_range(tail);
    if (rc == 0 && !tail->filter.by_version)
        pager->after = pager->upto;
    return rc;
}

/* ---- what comes ---- */

/* Has ctrl-C come, or does nobody read our output any more? A write would find out, but nothing may
 * come to be written. */
static bool has_ended(struct tail *tail)
{
    struct qt_out *out = &tail->run->out;
    struct pollfd reader = {.fd = out->fd, .events = 0}; /* only its end is looked for */

    if (qt_out_stopped(out))
        return true;
    if (poll(&reader, 1, 0) > 0)
        out->failed = EPIPE;
    return out->failed != 0;
}

/* Wait until the head is beyond what was seen.
 *
 * Returns: 1 with `*head`; 0 if the output has ended; a status with its problem. */
static int wait_head(struct tail *tail, uint64_t *head)
{
    quipu_error error = {0};

    while (!has_ended(tail)) {
        int rc = quipu_wait(tail->pager.store, tail->seen, WAIT_MS, head, &error);

        if (rc < 0)
            return qt_store_failed(tail->run, rc, &error);
        if (rc == 1)
            return 1;
    }
    return 0;
}

/* A stream's versions are read to their end, whatever that is by now; else up to the head. */
static int follow(struct tail *tail)
{
    struct qt_pager *pager = &tail->pager;
    uint64_t head;
    int rc;

    for (;;) {
        rc = wait_head(tail, &head);
        if (rc <= 0)
            return rc;
        assert(head > tail->seen);
        pager->upto = tail->filter.by_version ? UINT64_MAX : head;
        rc = forgive_missing(tail, put_range(tail));
        if (rc < 0)
            return rc;
        if (!tail->filter.by_version && pager->after < head)
            pager->after = head;
        tail->seen = head;
    }
}

/* ---- the verb ---- */

static int begin(struct tail *tail)
{
    struct qt_run *run = tail->run;
    quipu *store = NULL;
    int rc = qt_filter_take(&tail->filter, run);

    if (rc == 0 && tail->follows && qt_args_has(&run->args, "upto"))
        rc = qt_problem_say(&run->problem, QUIPU_MISUSE,
                            "--follow and --upto exclude each other; see quipu help tail");
    if (rc == 0)
        rc = qt_store_open(run, QT_STORE_READ, &store);
    if (rc < 0)
        return rc;
    qt_pager_init(&tail->pager, run, store, &tail->filter);
    tail->pager.payload = tail;
    tail->pager.put = run->json ? put_line : put_row;
    if (qt_args_has(&run->args, "pretty"))
        tail->pager.put = put_pretty;
    rc = qt_plugin_use(&tail->plugin, run, store);
    tail->pager.upcasts = rc > 0;
    return rc < 0 ? rc : 0;
}

static int run_tail(struct qt_run *run)
{
    struct tail tail = {.run = run, .interrupt = {.fd = -1}};
    int rc;

    tail.follows = qt_args_has(&run->args, "follow");
    if (tail.follows) {
        qt_interrupt_open(&tail.interrupt);
        run->out.stop_fd = tail.interrupt.fd;
    }
    rc = begin(&tail);
    if (rc == 0)
        rc = put_newest(&tail);
    if (rc == 0 && tail.follows)
        rc = follow(&tail);
    if (rc == 0)
        rc = qt_pager_result(&tail.pager);
    qt_out_flush(&run->out); /* as long as ctrl-C can end it */
    quipu_close(tail.pager.store);
    qt_plugin_unload(&tail.plugin);
    qt_line_release(&tail.line);
    qt_bytes_release(&tail.scratch);
    qt_filter_release(&tail.filter);
    run->out.stop_fd = -1;
    qt_interrupt_close(&tail.interrupt);
    return rc;
}

const struct qt_command qt_command_tail = {
    .verb = "tail",
    .summary = "print the newest events, and those that come",
    .operands = "STORE",
    .example = "quipu tail orders -n 3 --type ORDER_PAID",
    .text = "Prints the newest events that all filters let through, the oldest of them first:\n"
            "position, time (with its date, where that is not today's, in UTC), stream,\n"
            "version, type, data. With -f it goes on with each that comes, from this or any\n"
            "other process, until ctrl-C or until nobody reads its output; both are exit code\n"
            "0.\n\n"
            "  quipu tail orders -f --category order --json | while read -r event; do ...\n\n"
            "With -n 0 only what comes is printed. With -f the stream need not exist "
            "yet.\n\n" QT_FILTER_HELP "\n"
            "--json prints each event as dump --json does, --pretty as JSON over several\n"
            "lines, for people: import does not read that. A damaged event ends tail with\n"
            "exit code 5; with --skip-damaged it is passed over with a line on stderr.\n",
    .options = options,
    .shared = qt_filter_options,
    .waits = true,
    .run = run_tail,
};
