/* pager.c - a reader is opened, a page of events is handed on, the reader is closed.
 *
 * A reader that is left open pins pages of the store, and whoever reads our output may be a person
 * with a pager. Where a write may wait for somebody - a pipe, a terminal - a page is what fits into
 * the output buffer, and is written only when the reader is closed; else it is larger. Who wants
 * the pages together to be one snapshot takes the head once and sets `upto` to it.
 *
 * QUIPU_RENEW is not in place of this: such a reader goes on in a new snapshot when it is asked for
 * the next event, so one that waits in a write would keep its old one. Pages have to end there
 * anyhow; that they end for the other reasons too costs a line each, and no time: a dump of a
 * million events takes as long.
 *
 * "Number" is what --after and --upto count here: versions of one stream, or positions. */
#include "pager.h"

#include "store.h"

#include <assert.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Pages of 1 000 make a dump of a million events 10 to 18 % slower, since each new reader asks the
 * disk for what comes next; 10 000 take 3 ms, and where a disk is slow PAGE_MS ends the page. */
#define PAGE_EVENTS 10000
#define PAGE_MS     100
#define PAGE_BYTES  ((uint64_t)4 * 1024 * 1024) /* of data and meta */
#define FULL_BYTES  (QT_OUT_BYTES * 3 / 4)      /* of output that is not written */

/* A page in the making. */
struct page {
    quipu_reader *reader;
    uint64_t number; /* of the event that was read last */
    uint64_t shown;  /* of the one that was shown last: what it became counts as one */
    uint64_t events;
    uint64_t bytes;
    int64_t began_ms;
};

/* Can a write wait for a person or a program? */
static bool output_waits(void)
{
    struct stat stat;

    if (fstat(STDOUT_FILENO, &stat) != 0)
        return true;
    return S_ISFIFO(stat.st_mode) || S_ISSOCK(stat.st_mode) || isatty(STDOUT_FILENO) != 0;
}

void qt_pager_init(struct qt_pager *pager, struct qt_run *run, quipu *store,
                   struct qt_filter *filter)
{
    *pager = (struct qt_pager){
        .run = run,
        .store = store,
        .filter = filter,
        .waits = output_waits(),
        .after = filter->after,
        .upto = filter->upto,
        .limit = UINT64_MAX,
    };
}

/* Open a reader on what is still to be read. Returns: 0, or a status with its problem. */
static int open_reader(const struct qt_pager *pager, uint64_t limit, quipu_reader **reader)
{
    struct qt_filter *filter = pager->filter;
    struct qt_problem *problem = &pager->run->problem;
    quipu_range range = {
        QUIPU_INIT(quipu_range),
        .flags = (pager->backwards ? QUIPU_BACKWARDS : 0) | (pager->upcasts ? QUIPU_UPCAST : 0),
        .after = pager->after,
        .upto = pager->upto,
        .limit = limit,
    };
    quipu_query query = {.items = &filter->item, .item_count = 1};
    quipu_error error = {0};
    int rc;

    if (filter->by_version)
        rc = quipu_read_stream(pager->store, filter->stream, &range, reader, &error);
    else
        rc = quipu_read(pager->store, filter->asks ? &query : NULL, &range, reader, &error);
    problem->stream = rc < 0 ? filter->stream : NULL;
    if (rc == QUIPU_NOT_FOUND)
        return qt_problem_say(problem, rc, "no such stream: %.300s", filter->stream);
    return rc < 0 ? qt_store_failed(pager->run, rc, &error) : 0;
}

int qt_pager_head(const struct qt_pager *pager, uint64_t *head)
{
    struct qt_pager newest = *pager;
    quipu_reader *reader = NULL;
    quipu_event event;
    quipu_error error = {0};
    int rc;

    *head = 0;
    if (!pager->filter->by_version) {
        rc = quipu_head(pager->store, head, &error);
        return rc < 0 ? qt_store_failed(pager->run, rc, &error) : 0;
    }
    newest.backwards = true;
    newest.upcasts = false; /* it counts what is stored */
    newest.after = 0;
    newest.upto = 0;
    rc = open_reader(&newest, 1, &reader);
    if (rc == 0) {
        rc = quipu_next(reader, &event, &error);
        if (rc == QUIPU_ROW)
            *head = event.version;
        else if (rc == QUIPU_CORRUPT)
            *head = UINT64_MAX; /* the pages will come to it and say so */
        else if (rc < 0)
            (void)qt_store_failed(pager->run, rc, &error);
        rc = rc < 0 && rc != QUIPU_CORRUPT ? rc : 0;
    }
    quipu_reader_close(reader);
    return rc;
}

/* Take the events of a page off what is still to be read. What a store says is not taken on trust:
 * a number that was not asked for would make us go round for ever.
 *
 * Returns: 1, 0 if nothing can be left, or a status with its problem. */
static int pass_number(struct qt_pager *pager, uint64_t number)
{
    if (number <= pager->after || number > pager->upto) {
        return qt_problem_say(&pager->run->problem, QUIPU_CORRUPT,
                              "an event with number %" PRIu64 " stands where it does not belong",
                              number);
    }
    if (pager->backwards)
        pager->upto = number - 1;
    else
        pager->after = number;
    return pager->after < pager->upto ? 1 : 0;
}

/* Coarse: it is asked for each event, and a few milliseconds do not matter. */
static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Has a reader been open for long enough? */
static bool page_is_full(const struct qt_pager *pager, const struct page *page)
{
    return pager->shown == pager->limit || page->events >= PAGE_EVENTS ||
           page->bytes >= PAGE_BYTES || (pager->waits && pager->run->out.used >= FULL_BYTES) ||
           now_ms() - page->began_ms >= PAGE_MS;
}

/* Damage of one event can be passed over; of the index, which has no position, it cannot. */
static bool can_pass(const struct qt_pager *pager, int rc, const quipu_event *event)
{
    return rc == QUIPU_CORRUPT && event->position > 0 && (pager->quiet || pager->filter->skips);
}

/* A page that begins anew may come to the same damage again; it is told once. */
static void tell_damage(struct qt_pager *pager, const quipu_event *event, const quipu_error *error)
{
    struct qt_problem problem = {.position = event->position};
    bool told =
        pager->damaged_last > 0 && (pager->backwards ? event->position >= pager->damaged_last
                                                     : event->position <= pager->damaged_last);

    if (pager->quiet || told)
        return;
    pager->damaged++;
    pager->damaged_last = event->position;
    (void)qt_problem_say(&problem, QUIPU_CORRUPT, "passed over: %s", error->text);
    qt_problem_print(&problem, pager->run->command->verb, pager->run->json);
}

/* Returns: 0, or a status with its problem. */
static int take_event(struct qt_pager *pager, struct page *page, const quipu_event *event)
{
    int matches = pager->filter->sifts ? qt_filter_match(pager->filter, event) : 1;
    uint64_t number = qt_filter_number(pager->filter, event);

    if (matches < 0)
        return qt_problem_say(&pager->run->problem, matches, "out of memory");
    if (matches > 0) {
        if (pager->put != NULL)
            pager->put(pager->payload, event);
        pager->shown += page->shown != number;
        page->shown = number;
    }
    page->number = number;
    page->events++;
    page->bytes += (uint64_t)event->data_size + event->meta_size;
    return 0;
}

/* Events until the page is full. It ends only after a whole event: where the damaged ones before
 * it stand in their stream is not known, so one could not go on there. And after all that an
 * upcaster made of it: for that one event more is looked at, and comes again on the next page.
 *
 * Returns: QUIPU_ROW if it is full, 0 if there was nothing more, or a status with its problem. */
static int fill_page(struct qt_pager *pager, struct page *page)
{
    bool full = false;

    for (;;) {
        quipu_event event = {0};
        quipu_error error = {0};
        int rc = quipu_next(page->reader, &event, &error);

        if (!full && can_pass(pager, rc, &event)) {
            tell_damage(pager, &event, &error);
            continue;
        }
        if (full && (rc != QUIPU_ROW || qt_filter_number(pager->filter, &event) != page->number))
            return rc == 0 ? 0 : QUIPU_ROW;
        if (rc < 0) {
            if (rc == QUIPU_CORRUPT)
                pager->run->problem.position = event.position;
            return qt_store_failed(pager->run, rc, &error);
        }
        if (rc != QUIPU_ROW)
            return 0;
        rc = take_event(pager, page, &event);
        if (rc < 0)
            return rc;
        full = page_is_full(pager, page);
        if (full && !pager->upcasts)
            return QUIPU_ROW;
    }
}

int qt_pager_page(struct qt_pager *pager)
{
    struct page page = {.began_ms = now_ms()};
    uint64_t limit = pager->limit - pager->shown;
    int rc;

    assert(pager->after < pager->upto && limit > 0);
    assert(pager->run->out.used < FULL_BYTES);
    /* The reader's own limit counts what is sifted out, what is damaged, and what upcasters make
     * nothing of as well. */
    if (limit > PAGE_EVENTS || pager->filter->sifts || pager->filter->skips || pager->quiet ||
        pager->upcasts)
        limit = 0;
    rc = open_reader(pager, limit, &page.reader);
    if (rc == 0)
        rc = fill_page(pager, &page);
    quipu_reader_close(page.reader);
    if (rc >= 0 && page.number > 0) {
        int more = pass_number(pager, page.number);

        if (rc == QUIPU_ROW || more < 0)
            rc = more;
    }
    return rc > 0 && pager->shown == pager->limit ? 0 : rc;
}

int qt_pager_pages(struct qt_pager *pager, struct qt_progress *progress)
{
    int rc = pager->after < pager->upto && pager->shown < pager->limit ? 1 : 0;

    while (rc > 0 && !qt_out_stopped(&pager->run->out)) {
        rc = qt_pager_page(pager);
        if (pager->run->out.used >= FULL_BYTES)
            qt_out_flush(&pager->run->out);
        if (progress != NULL && !pager->waits)
            qt_progress_show(progress, pager->shown, pager->total);
    }
    return rc < 0 ? rc : 0;
}

int qt_pager_more(const struct qt_pager *pager)
{
    struct qt_pager rest = *pager;
    int rc;

    rest.put = NULL;
    rest.quiet = true;
    rest.shown = 0;
    rest.limit = 1;
    rc = qt_pager_pages(&rest, NULL);
    return rc < 0 ? rc : (int)rest.shown;
}

int qt_pager_result(const struct qt_pager *pager)
{
    if (pager->damaged == 0)
        return 0;
    return qt_problem_say(&pager->run->problem, QUIPU_CORRUPT,
                          "%.300s: %" PRIu64 " damaged event%s passed over; quipu verify says more",
                          pager->run->args.operands[0], pager->damaged,
                          pager->damaged == 1 ? " was" : "s were");
}
