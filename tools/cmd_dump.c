/* cmd_dump.c - quipu dump: events, filtered, as rows or as lines that import reads.
 *
 * A reader that is left open pins pages of the store, and whoever reads our output may be a person
 * with a pager. So a dump is read in pages: a reader is opened, a page of events is printed, the
 * reader is closed. Where a write may wait for somebody - a pipe, a terminal - a page is what fits
 * into the output buffer, and is written only when the reader is closed; else it is larger. The
 * head is taken once, at the beginning, so that the pages together are one snapshot.
 *
 * "Number" is what --after and --upto count here: versions of one stream, or positions. */
#include "command.h"
#include "line.h"
#include "number.h"
#include "progress.h"
#include "store.h"
#include "table.h"
#include "text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Pages of 1 000 make a dump of a million events 10 to 18 % slower, since each new reader asks the
 * disk for what comes next; 10 000 take 3 ms, and where a disk is slow PAGE_MS ends the page. */
#define PAGE_EVENTS 10000
#define PAGE_MS     100
#define PAGE_BYTES  ((uint64_t)4 * 1024 * 1024) /* of data and meta */
#define FULL_BYTES  (QT_OUT_BYTES * 3 / 4)      /* of output that is not written */
#define FIT_EVENTS  100                         /* rows that decide how wide the columns are */

static const struct qt_option options[] = {
    {.name = "stream", .value = "NAME", .help = "one stream", .kind = QT_TEXT},
    {.name = "category",
     .value = "NAME",
     .help = "streams whose name begins with NAME and '-'",
     .kind = QT_TEXT},
    {.name = "type",
     .value = "TYPE",
     .help = "events of this type; given again: any of them",
     .kind = QT_TEXT,
     .repeats = true},
    {.name = "after", .value = "N", .help = "only what comes after N", .kind = QT_NUMBER},
    {.name = "upto", .value = "N", .help = "nothing after N; N itself is in", .kind = QT_NUMBER},
    {.name = "limit", .value = "N", .help = "at most N events", .kind = QT_NUMBER},
    {.name = "backwards", .help = "the same events, newest first"},
    {0},
};

struct dump {
    struct qt_run *run;
    quipu *store;
    const char *stream;
    const char **types;
    quipu_query_item item;
    bool by_version; /* the number is a version */
    bool filtered;
    bool backwards;
    bool waits;     /* somebody reads our output as it comes */
    uint64_t after; /* what is still to be read: (after, upto] */
    uint64_t upto;
    uint64_t limit;
    uint64_t shown;
    uint64_t total; /* events in the range, if that is known without reading them; else 0 */
    struct qt_progress progress;
    struct qt_line line;
    struct qt_table table;
};

/* What --after and --upto are compared with. */
static uint64_t number_of(const struct dump *dump, const quipu_event *event)
{
    return dump->by_version ? event->version : event->position;
}

/* Open a reader on what is still to be read. Returns: 0, or a status with its problem. */
static int open_reader(struct dump *dump, uint64_t limit, quipu_reader **reader)
{
    quipu_range range = {
        QUIPU_INIT(quipu_range), .flags = dump->backwards ? QUIPU_BACKWARDS : 0,
        .after = dump->after,    .upto = dump->upto,
        .limit = limit,
    };
    quipu_query query = {.items = &dump->item, .item_count = 1};
    quipu_error error = {0};
    int rc;

    if (dump->by_version)
        rc = quipu_read_stream(dump->store, dump->stream, &range, reader, &error);
    else
        rc = quipu_read(dump->store, dump->filtered ? &query : NULL, &range, reader, &error);
    dump->run->problem.stream = rc < 0 ? dump->stream : NULL;
    if (rc == QUIPU_NOT_FOUND)
        return qt_problem_say(&dump->run->problem, rc, "no such stream: %.300s", dump->stream);
    return rc < 0 ? qt_store_failed(dump->run, rc, &error) : 0;
}

/* The newest number there is. Returns: 0, or a status with its problem. */
static int find_head(struct dump *dump, uint64_t *head)
{
    struct dump newest = *dump;
    quipu_reader *reader = NULL;
    quipu_event event;
    quipu_error error = {0};
    int rc;

    *head = 0;
    if (!dump->by_version) {
        rc = quipu_head(dump->store, head, &error);
        return rc < 0 ? qt_store_failed(dump->run, rc, &error) : 0;
    }
    newest.backwards = true;
    newest.after = 0;
    newest.upto = 0;
    rc = open_reader(&newest, 1, &reader);
    if (rc == 0) {
        rc = quipu_next(reader, &event, &error);
        if (rc == QUIPU_ROW)
            *head = event.version;
        else if (rc == QUIPU_CORRUPT)
            *head = UINT64_MAX; /* the dump itself will come to it and say so */
        else if (rc < 0)
            (void)qt_store_failed(dump->run, rc, &error);
        rc = rc < 0 && rc != QUIPU_CORRUPT ? rc : 0;
    }
    quipu_reader_close(reader);
    return rc;
}

/* The reader met something that it cannot give; what came before it has been printed. */
static int damaged(struct dump *dump, int rc, const quipu_event *event, const quipu_error *error)
{
    if (rc == QUIPU_CORRUPT)
        dump->run->problem.position = event->position;
    return qt_store_failed(dump->run, rc, error);
}

static void put_event(struct dump *dump, const quipu_event *event)
{
    if (dump->run->json)
        qt_line_put(&dump->line, &dump->run->out, event);
    else
        qt_table_row(&dump->table, &dump->run->out, event);
}

/* Take an event off what is still to be read. What a store says is not taken on trust: a number
 * that was not asked for would make the dump go round for ever.
 *
 * Returns: 1, 0 if nothing can be left, or a status with its problem. */
static int pass_number(struct dump *dump, uint64_t number)
{
    if (number <= dump->after || number > dump->upto) {
        return qt_problem_say(&dump->run->problem, QUIPU_CORRUPT,
                              "an event with number %" PRIu64 " stands where it does not belong",
                              number);
    }
    if (dump->backwards)
        dump->upto = number - 1;
    else
        dump->after = number;
    return dump->after < dump->upto ? 1 : 0;
}

/* Coarse: it is asked for each event, and a few milliseconds do not matter. */
static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Has a reader been open for long enough? */
static bool page_is_full(const struct dump *dump, uint64_t bytes, int64_t began_ms)
{
    return (dump->waits && dump->run->out.used >= FULL_BYTES) || bytes >= PAGE_BYTES ||
           now_ms() - began_ms >= PAGE_MS;
}

/* One page into the buffer. Returns: 1 if there may be more, 0 at the end, or a status. */
static int put_page(struct dump *dump)
{
    uint64_t limit = dump->limit - dump->shown;
    quipu_reader *reader = NULL;
    quipu_event event = {0};
    quipu_error error = {0};
    uint64_t number = 0;
    uint64_t bytes = 0;
    int64_t began_ms;
    int rc;

    assert(limit > 0);
    assert(dump->run->out.used < FULL_BYTES);
    if (limit > PAGE_EVENTS)
        limit = PAGE_EVENTS;
    rc = open_reader(dump, limit, &reader);
    if (rc < 0)
        goto done;
    began_ms = now_ms();
    for (; limit > 0; limit--) {
        rc = quipu_next(reader, &event, &error);
        if (rc != QUIPU_ROW)
            break;
        put_event(dump, &event);
        dump->shown++;
        number = number_of(dump, &event);
        bytes += (uint64_t)event.data_size + event.meta_size;
        if (page_is_full(dump, bytes, began_ms))
            break;
    }
    if (rc < 0)
        (void)damaged(dump, rc, &event, &error);
    else if (rc == QUIPU_ROW)
        rc = pass_number(dump, number);

done:
    quipu_reader_close(reader);
    return rc;
}

/* Look at the first rows before the first one is printed. */
static int fit_table(struct dump *dump)
{
    uint64_t limit = dump->limit < FIT_EVENTS ? dump->limit : FIT_EVENTS;
    quipu_reader *reader = NULL;
    quipu_event event;
    uint64_t count = 0;
    int rc = open_reader(dump, limit, &reader);

    if (rc < 0)
        return rc;
    while (quipu_next(reader, &event, NULL) == QUIPU_ROW) {
        qt_table_fit(&dump->table, &event);
        count++;
    }
    quipu_reader_close(reader);
    if (count > 0)
        qt_table_head(&dump->table, &dump->run->out, qt_text_columns(STDOUT_FILENO));
    return 0;
}

/* After a limit: is there more, and how does one get it? */
static int put_footer(struct dump *dump)
{
    char shown[QT_GROUPED_MAX];
    char total[QT_GROUPED_MAX];
    quipu_reader *reader = NULL;
    quipu_event event;
    int rc = open_reader(dump, 1, &reader);
    bool more = rc == 0 && quipu_next(reader, &event, NULL) == QUIPU_ROW;

    quipu_reader_close(reader);
    if (!more)
        return rc;
    qt_number_grouped(dump->shown, shown);
    qt_number_grouped(dump->total, total);
    qt_out_flush(&dump->run->out); /* the rows first, where both go to one terminal */
    qt_note("%s%s%s events%s; go on with --%s %" PRIu64, shown, dump->total > 0 ? " of " : "",
            dump->total > 0 ? total : "", dump->total > 0 ? "" : ", there are more",
            dump->backwards ? "upto" : "after", dump->backwards ? dump->upto : dump->after);
    return 0;
}

/* Pages until the end, the limit, or until nobody listens any more. */
static int put_pages(struct dump *dump)
{
    int rc = 1;

    qt_progress_begin(&dump->progress, "events");
    while (rc > 0 && dump->shown < dump->limit && dump->run->out.failed == 0) {
        rc = put_page(dump);
        if (dump->run->out.used >= FULL_BYTES)
            qt_out_flush(&dump->run->out);
        if (!dump->waits)
            qt_progress_show(&dump->progress, dump->shown, dump->total);
    }
    qt_progress_end(&dump->progress);
    if (rc > 0 && !dump->run->json && dump->run->out.failed == 0)
        rc = put_footer(dump);
    return rc;
}

/* Can a write wait for a person or a program? */
static bool output_waits(void)
{
    struct stat stat;

    if (fstat(STDOUT_FILENO, &stat) != 0)
        return true;
    return S_ISFIFO(stat.st_mode) || S_ISSOCK(stat.st_mode) || isatty(STDOUT_FILENO) != 0;
}

/* Which reader: a stream by its versions, or the log with or without a query. */
static int take_arguments(struct dump *dump)
{
    struct qt_args *args = &dump->run->args;

    dump->types = calloc(args->given_count + 1, sizeof(*dump->types));
    if (dump->types == NULL)
        return qt_problem_say(&dump->run->problem, QUIPU_NO_MEMORY, "out of memory");
    dump->stream = qt_args_text(args, "stream");
    dump->item.stream = dump->stream;
    dump->item.category = qt_args_text(args, "category");
    dump->item.type_count = (uint32_t)qt_args_all(args, "type", dump->types, args->given_count);
    dump->item.types = dump->item.type_count > 0 ? dump->types : NULL;
    dump->by_version =
        dump->stream != NULL && dump->item.category == NULL && dump->item.type_count == 0;
    dump->filtered = !dump->by_version && (dump->stream != NULL || dump->item.category != NULL ||
                                           dump->item.type_count > 0);
    dump->waits = output_waits();
    dump->backwards = qt_args_has(args, "backwards");
    dump->after = qt_args_number(args, "after", 0);
    dump->upto = qt_args_number(args, "upto", UINT64_MAX);
    dump->limit = qt_args_number(args, "limit", UINT64_MAX);
    return 0;
}

/* Fix the end of the range, then print what is in it. */
static int put_dump(struct dump *dump)
{
    uint64_t head;
    int rc = find_head(dump, &head);

    if (rc < 0)
        return rc;
    if (dump->upto > head)
        dump->upto = head;
    if (dump->after >= dump->upto || dump->limit == 0)
        return 0;
    if (!dump->filtered && head != UINT64_MAX)
        dump->total = dump->upto - dump->after;
    if (!dump->run->json) {
        qt_table_init(&dump->table, dump->stream != NULL, head);
        rc = fit_table(dump);
        if (rc < 0)
            return rc;
    }
    return put_pages(dump);
}

static int run_dump(struct qt_run *run)
{
    struct dump dump = {.run = run};
    int rc = take_arguments(&dump);

    if (rc == 0)
        rc = qt_store_open(run, QT_STORE_READ, &dump.store);
    if (rc == 0)
        rc = put_dump(&dump);
    quipu_close(dump.store);
    qt_line_release(&dump.line);
    qt_table_release(&dump.table);
    free(dump.types);
    return rc;
}

const struct qt_command qt_command_dump = {
    .verb = "dump",
    .summary = "print events, all or some",
    .operands = "STORE",
    .example = "quipu dump orders --type ORDER_PAID --type ORDER_CANCELLED --limit 5",
    .text = "Prints events in the order of their positions. Different filters must all hold.\n"
            "--after and --upto count versions if --stream comes without --category and\n"
            "--type, else positions; what is printed is always (after, upto].\n\n"
            "--json prints all of each event, on one line; import reads it again:\n\n"
            "  quipu dump orders --json | quipu import copy\n\n"
            "A damaged event ends the dump with exit code 5, after the whole ones before it.\n",
    .options = options,
    .waits = true,
    .run = run_dump,
};
