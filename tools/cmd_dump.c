/* cmd_dump.c - quipu dump: events, filtered, as rows or as lines that import reads.
 *
 * What is printed is one snapshot: the head is taken once, at the beginning, and the pages of
 * pager.c end there. */
#include "command.h"
#include "filter.h"
#include "line.h"
#include "number.h"
#include "pager.h"
#include "plugin.h"
#include "pretty.h"
#include "progress.h"
#include "store.h"
#include "table.h"
#include "text.h"

#include <inttypes.h>
#include <unistd.h>

#define FIT_EVENTS 100 /* rows that decide how wide the columns are */

static const struct qt_option options[] = {
    {.name = "limit", .value = "N", .help = "at most N events", .kind = QT_NUMBER},
    {.name = "backwards", .help = "the same events, newest first"},
    QT_UPCAST_OPTION,
    {.name = "raw", .help = "as stored, whatever --plugin says"},
    QT_PRETTY_OPTION,
    {0},
};

struct dump {
    struct qt_run *run;
    struct qt_filter filter;
    struct qt_pager pager;
    struct qt_plugin plugin;
    struct qt_progress progress;
    struct qt_line line;
    struct qt_bytes scratch;
    struct qt_table table;
    bool headed; /* the table's head is printed */
};

static void fit_event(void *payload, const quipu_event *event)
{
    struct dump *dump = payload;

    qt_table_fit(&dump->table, event);
}

/* The head waits for the first row: without rows there is nothing to head. */
static void put_row(void *payload, const quipu_event *event)
{
    struct dump *dump = payload;
    struct qt_out *out = &dump->run->out;

    if (!dump->headed) {
        qt_table_fit(&dump->table, event);
        qt_table_head(&dump->table, out, qt_text_columns(STDOUT_FILENO));
        dump->headed = true;
    }
    qt_table_row(&dump->table, out, event);
}

static void put_line(void *payload, const quipu_event *event)
{
    struct dump *dump = payload;

    qt_line_put(&dump->line, &dump->run->out, event);
}

static void put_pretty(void *payload, const quipu_event *event)
{
    struct dump *dump = payload;

    qt_pretty_put(&dump->run->out, &dump->scratch, event);
}

/* Look at the first rows before the first one is printed: those of one page, if there are any. */
static int fit_table(struct dump *dump, uint64_t head)
{
    struct qt_pager first = dump->pager;
    int rc;

    /* Of a stream whose newest event is damaged the head is not known. */
    qt_table_init(&dump->table, dump->filter.stream != NULL, head == UINT64_MAX ? 0 : head);
    first.put = fit_event;
    first.quiet = true;
    if (first.limit > FIT_EVENTS)
        first.limit = FIT_EVENTS;
    rc = qt_pager_page(&first);
    if (rc < 0 && rc != QUIPU_CORRUPT) /* the pages will come to that and say so */
        return rc;
    dump->run->problem = (struct qt_problem){0};
    return 0;
}

/* After a limit: is there more, and how does one get it? */
static void put_footer(struct dump *dump)
{
    const struct qt_pager *pager = &dump->pager;
    char shown[QT_GROUPED_MAX];
    char total[QT_GROUPED_MAX];

    qt_out_flush(&dump->run->out); /* the rows first, where both go to one terminal */
    if (qt_pager_more(pager) <= 0) {
        dump->run->problem = (struct qt_problem){0}; /* of what nobody asked for */
        return;
    }
    qt_number_grouped(pager->shown, shown);
    qt_number_grouped(pager->total, total);
    qt_note("%s%s%s events%s; go on with --%s %" PRIu64, shown, pager->total > 0 ? " of " : "",
            pager->total > 0 ? total : "", pager->total > 0 ? "" : ", there are more",
            pager->backwards ? "upto" : "after", pager->backwards ? pager->upto : pager->after);
}

/* Fix the end of the range, then print what is in it. */
static int put_dump(struct dump *dump)
{
    struct qt_pager *pager = &dump->pager;
    uint64_t head;
    int rc = qt_pager_head(pager, &head);

    if (rc < 0)
        return rc;
    if (pager->upto > head)
        pager->upto = head;
    if (pager->after >= pager->upto || pager->limit == 0)
        return 0;
    if (!dump->filter.asks && !dump->filter.sifts && head != UINT64_MAX)
        pager->total = pager->upto - pager->after;
    if (pager->put == put_row) {
        rc = fit_table(dump, head);
        if (rc < 0)
            return rc;
    }
    qt_progress_begin(&dump->progress, "events");
    rc = qt_pager_pages(pager, &dump->progress);
    qt_progress_end(&dump->progress);
    if (rc == 0 && pager->put == put_row && pager->shown == pager->limit &&
        dump->run->out.failed == 0)
        put_footer(dump);
    return rc < 0 ? rc : qt_pager_result(pager);
}

static int begin(struct dump *dump)
{
    struct qt_run *run = dump->run;
    struct qt_pager *pager = &dump->pager;
    quipu *store = NULL;
    int rc = qt_filter_take(&dump->filter, run);

    if (rc == 0)
        rc = qt_store_open(run, QT_STORE_READ, &store);
    if (rc < 0)
        return rc;
    qt_pager_init(pager, run, store, &dump->filter);
    pager->payload = dump;
    pager->put = run->json ? put_line : put_row;
    if (qt_args_has(&run->args, "pretty"))
        pager->put = put_pretty;
    pager->backwards = qt_args_has(&run->args, "backwards");
    pager->limit = qt_args_number(&run->args, "limit", UINT64_MAX);
    rc = qt_plugin_use(&dump->plugin, run, store);
    pager->upcasts = rc > 0 && !qt_args_has(&run->args, "raw");
    return rc < 0 ? rc : 0;
}

static int run_dump(struct qt_run *run)
{
    struct dump dump = {.run = run};
    int rc = begin(&dump);

    if (rc == 0)
        rc = put_dump(&dump);
    quipu_close(dump.pager.store);
    qt_plugin_unload(&dump.plugin);
    qt_line_release(&dump.line);
    qt_bytes_release(&dump.scratch);
    qt_table_release(&dump.table);
    qt_filter_release(&dump.filter);
    return rc;
}

const struct qt_command qt_command_dump = {
    .verb = "dump",
    .summary = "print events, all or some",
    .operands = "STORE",
    .example = "quipu dump orders --type ORDER_PAID --type ORDER_CANCELLED --limit 5",
    .text = "Prints events in the order of their positions. Different filters must all "
            "hold.\n" QT_FILTER_HELP "\n"
            "--json prints all of each event, on one line; import reads it again:\n\n"
            "  quipu dump orders --json | quipu import copy\n\n"
            "--pretty prints the same over several lines, for people: binary data that is\n"
            "UTF-8 as {\"$text\":...}, msgpack only as the JSON that is shown for it. That is\n"
            "for eyes and other programs: import does not read it.\n\n"
            "Events are printed as they are stored. With --plugin they come as a program with\n"
            "its upcasters sees them: several may have one position, and --limit counts those\n"
            "that become something. Do not import that: it is not what is stored.\n\n"
            "A damaged event ends the dump with exit code 5, after the whole ones before it.\n"
            "With --skip-damaged it is passed over with a line on stderr, with --json also an\n"
            "error object, and the exit code is 5 at the end. Which stream it was in is not\n"
            "known: a dump of one stream may tell of another's.\n",
    .options = options,
    .shared = qt_filter_options,
    .waits = true,
    .run = run_dump,
};
