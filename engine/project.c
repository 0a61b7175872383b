/* project.c - what is to be done stands in the projection's row, and each step does one thing of
 * it:
 *
 *     no row ........................... make it
 *     paused ........................... nothing
 *     another's lease .................. wait; dead, or ended and nothing moves: take it over
 *     deleted .......................... rows out, a thousand a step; then the row itself
 *     a newer version, or told to ...... begin another generation beside the view's
 *     stopped .......................... nothing
 *     parked events to be tried again .. try them
 *     rows of generations that are gone  at the head, and behind it every second step: a
 *                                        thousand; not while a generation is being built
 *     behind the head .................. a page: fold outside of the transaction, commit
 *                                        the generation beside has come to the head: swap
 *
 * A step reads the row and the view in one snapshot and proposes the next row together with what it
 * writes. The commit takes it only if the row is still the one that was read. So no page is applied
 * twice, whoever has the lease: that only spares two of them the same work. */
#include "project.h"

#include "clean.h"
#include "clock.h"
#include "commit.h"
#include "event.h"
#include "log.h"
#include "reader.h"
#include "status.h"
#include "streams.h"

#include <assert.h>
#include <string.h>

enum {
    CLOCK_EVENTS = 64, /* between two looks at the clock */
    REFUSED_MAX = 100  /* pages one after the other, each for another stream */
};

/* What a step has seen, in one snapshot. */
struct seen {
    struct qp_txn txn;
    struct qp_projection_row row;
    uint64_t head;
    int64_t now_ns;
    bool exists;
};

void qp_run_begin(struct qp_run *run, struct qp_handle *handle,
                  const struct qp_projection *projection)
{
    *run = (struct qp_run){.handle = handle, .projection = projection};
}

static int look(struct qp_run *run, struct seen *seen, quipu_error *error)
{
    int rc = qp_txn_begin_read(run->handle->log, &seen->txn, error);

    if (rc == QUIPU_OK)
        rc = qp_projections_get(&seen->txn, run->projection->name_bytes, &seen->row, error);
    if (rc < 0)
        return rc;
    seen->exists = rc == QUIPU_ROW;
    rc = qp_log_newest(&seen->txn, &seen->head, error);
    seen->now_ns = qp_shared_now_ns(&run->handle->shared);
    run->row = seen->row;
    run->head = seen->head;
    run->transaction = qp_txn_number(&seen->txn);
    return rc;
}

static bool is_behind(const struct seen *seen)
{
    return seen->row.mark < seen->head || seen->row.building != 0 ||
           (seen->row.flags & (QP_PROJECTION_REPLAYS | QP_PROJECTION_REBUILDS)) != 0;
}

static bool holds(const struct qp_run *run, const struct qp_projection_row *row)
{
    return qp_lease_holds(&run->lease, row);
}

static void hold(struct qp_run *run, const struct seen *seen, struct qp_projection_row *next)
{
    qp_lease_hold(&run->lease, &run->handle->shared, seen->now_ns, next);
}

/* ---- commit ---- */

static void count_page(struct qp_run *run)
{
    run->done.applied += run->page.applied;
    run->done.parked += run->page.parked;
    run->done.skipped += run->page.skipped;
    run->done.failed += run->page.failed;
    run->page = (struct qp_run_counts){0};
}

/* A mistake: the rows of a page in one commit, and the mark in the next. */
static void commit_rows_first(struct qp_run *run, struct seen *seen)
{
    uint8_t row[QP_PROJECTION_ROW_BYTES_MAX];
    size_t size = qp_projection_write(&seen->row, row);

    (void)qp_batch_project(&run->batch, run->projection->name_bytes, seen->row.sequence, row, size,
                           NULL);
    qp_txn_end(&seen->txn);
    (void)qp_commit(run->handle, &run->batch, NULL, NULL);
    qp_batch_clear(&run->batch);
    (void)look(run, seen, NULL);
}

/* What is in run->batch, with the row as it is to be. The snapshot is let go first: the file may
 * have to grow. Returns: ROW: done, or somebody was faster. */
static int commit(struct qp_run *run, struct seen *seen, const struct qp_projection_row *next,
                  quipu_error *error)
{
    uint8_t row[QP_PROJECTION_ROW_BYTES_MAX];
    size_t size = next != NULL ? qp_projection_write(next, row) : 0;
    quipu_error why = {0};
    int rc;

    if (QP_MUTANT(MARK_APART) && size > 0 && run->batch.effects.size > 0)
        commit_rows_first(run, seen);
    rc = qp_batch_project(&run->batch, run->projection->name_bytes, seen->row.sequence, row, size,
                          &why);
    qp_txn_end(&seen->txn);
    if (rc == QUIPU_OK)
        rc = qp_commit(run->handle, &run->batch, NULL, &why);
    if (rc == QUIPU_CONFLICT)
        return QUIPU_ROW;
    /* Somebody has just begun a stream that was to be our own: the next look sees that. */
    if (rc == QUIPU_MISUSE && ++run->refused < REFUSED_MAX)
        return QUIPU_ROW;
    if (rc < 0) {
        if (error != NULL)
            *error = why;
        return rc;
    }
    run->refused = 0;
    run->lease.token = next != NULL && next->owner_pid != 0 ? next->token : 0;
    if (next != NULL)
        run->row = *next;
    count_page(run);
    return QUIPU_ROW;
}

/* ---- steps ---- */

static int make(struct qp_run *run, struct seen *seen, quipu_error *error)
{
    const struct qp_projection_row row = {
        .generation = 1,
        .next_generation = 2,
        .version = run->projection->version,
        .token = (uint64_t)seen->now_ns, /* one of its earlier life never comes again */
        .flags = run->projection->mode == QUIPU_INLINE ? QP_PROJECTION_INLINE : 0,
    };

    return commit(run, seen, &row, error);
}

/* Rows of what is gone. Returns: OK: there are none. */
static int clean(struct qp_run *run, struct seen *seen, quipu_error *error)
{
    struct qp_projection_row next = seen->row;
    bool deleted = (next.flags & QP_PROJECTION_DELETED) != 0;
    size_t count = 0;
    int rc = qp_clean_find(&seen->txn, run->projection->name_bytes, deleted ? 0 : next.generation,
                           deleted ? 0 : next.building, &run->batch, &count, error);

    if (rc < 0)
        return rc;
    if (QP_MUTANT(ROWS_LEFT) && count > 0) {
        qp_batch_clear(&run->batch);
        count = 0;
    }
    if (count == 0)
        next.flags &= ~(uint32_t)QP_PROJECTION_UNCLEAN;
    return commit(run, seen, count == 0 && deleted ? NULL : &next, error);
}

/* Whatever was being built before was of another function. */
static int begin_building(struct qp_run *run, struct seen *seen, quipu_error *error)
{
    struct qp_projection_row next = seen->row;

    if (next.building != 0)
        next.flags |= QP_PROJECTION_UNCLEAN;
    next.flags &= ~(uint32_t)(QP_PROJECTION_REBUILDS | QP_PROJECTION_STOPPED);
    next.building = next.next_generation++;
    next.building_version = run->projection->version;
    next.building_mark = 0;
    next.building_parked = 0;
    next.applied = 0;
    hold(run, seen, &next);
    return commit(run, seen, &next, error);
}

void qp_run_stop_at(struct qp_projection_row *row, const struct qp_fault *fault, int64_t now_ns)
{
    row->flags |= QP_PROJECTION_STOPPED;
    row->fault_position = fault->position;
    row->fault_ns = now_ns;
    row->fault_status = fault->status;
    row->fault_key_size = (uint32_t)fault->key_size;
    row->fault_text_size = (uint32_t)strlen(fault->text);
    memcpy(row->fault_key, fault->key, fault->key_size);
    memcpy(row->fault_text, fault->text, row->fault_text_size);
    qp_lease_let_go(row);
}

/* Begin a page over the generation that is being folded. */
static int begin_folding(struct qp_run *run, struct seen *seen, struct qp_folding *folding,
                         quipu_error *error)
{
    const struct qp_projection_row *row = &seen->row;
    const struct qp_view_place place = {run->projection->name_bytes,
                                        row->building != 0 ? row->building : row->generation};
    uint64_t parked = row->building != 0 ? row->building_parked : row->parked;

    folding->batch = &run->batch;
    folding->waits = true;
    folding->ask = run->ask;
    folding->ask_payload = run->ask_payload;
    folding->owners = qp_streams_any(&seen->txn) ? &seen->txn : NULL; /* of an earlier life, too */
    folding->emits = run->projection->mode == QUIPU_INLINE ? QP_EMITS_REFUSED : QP_EMITS_TAKEN;
    folding->emitted.upto = QP_MUTANT(REBUILD_EMITS) ? 0 : row->emitted;
    if (folding->emits == QP_EMITS_TAKEN)
        folding->emitted.name = place.name;
    return qp_folding_begin(folding, run->handle, run->projection, &seen->txn, &place, parked > 0,
                            error);
}

/* What a page has come to, beside its writes. */
struct page {
    uint64_t mark;
    uint64_t upto; /* 0: the head */
    uint64_t events;
    uint64_t events_max; /* 0: as the projection says */
    int64_t until_ns;
    bool reached; /* the head */
};

static bool is_full(const struct qp_run *run, const struct qp_folding *folding,
                    const struct page *page)
{
    const quipu_options *options = &run->handle->options;

    return page->events >= run->projection->page_events || page->events == page->events_max ||
           folding->sheet.bytes + run->batch.effects.size + run->batch.bytes.size >=
               QP_PAGE_BYTES ||
           run->batch.draft_count >= (options->batch_events_max + 1) / 2 ||
           run->batch.bytes.size >= options->batch_bytes_max / 2 ||
           (page->events % CLOCK_EVENTS == 0 && qp_clock_monotonic_ns() >= page->until_ns);
}

/* Events until the page is full, or there are no more. */
static int fold_events(struct qp_run *run, struct qp_folding *folding, struct qp_reader *reader,
                       struct page *page, quipu_error *error)
{
    for (;;) {
        struct qp_record record;
        quipu_event event;
        uint64_t position;
        int rc = qp_reader_next(reader, &position, &record, error);

        if (rc == QUIPU_OK) {
            page->mark = qp_reader_head(reader);
            page->reached = page->upto == 0;
            return rc;
        }
        if (rc < 0)
            return rc;
        qp_event_fill(&record, run->handle->uuid, position, &event);
        rc = qp_folding_event(folding, &event, error);
        if (rc < 0)
            return rc;
        page->mark = position;
        page->events++;
        if (page->events % CLOCK_EVENTS == 0 && run->ask != NULL && !run->ask(run->ask_payload))
            return QUIPU_OK; /* what is folded is kept */
        if (is_full(run, folding, page))
            return QUIPU_OK;
    }
}

/* FAULTED, TOO_LARGE: folding->fault says at which event. */
static int fold_page(struct qp_run *run, struct seen *seen, struct qp_folding *folding,
                     struct page *page, quipu_error *error)
{
    const struct qp_range range = {.after = page->mark, .upto = page->upto, .check = true};
    struct qp_reader *reader = NULL;
    int rc = begin_folding(run, seen, folding, error);

    if (rc == QUIPU_OK)
        rc = qp_reader_open(run->handle, NULL, &run->projection->query, &range, &reader, error);
    if (rc == QUIPU_OK)
        rc = fold_events(run, folding, reader, page, error);
    qp_reader_close(reader);
    if (rc == QUIPU_OK)
        rc = qp_sheet_write(&folding->sheet, &run->batch, error);
    return rc;
}

/* What the row is to be after a page. */
static void move_on(struct qp_run *run, const struct seen *seen, const struct qp_folding *folding,
                    const struct page *page, struct qp_projection_row *next)
{
    uint64_t *mark = next->building != 0 ? &next->building_mark : &next->mark;
    uint64_t *parked = next->building != 0 ? &next->building_parked : &next->parked;

    assert(page->mark >= *mark);
    *mark = page->mark;
    *parked += (uint64_t)folding->parked_more;
    next->applied += folding->applied;
    run->page = (struct qp_run_counts){
        .applied = folding->applied,
        .parked = folding->parked_more > 0 ? (uint64_t)folding->parked_more : 0,
        .skipped = folding->skipped,
        .failed = folding->failed,
    };
    if (page->mark > next->emitted)
        next->emitted = page->mark;
    next->flags &= ~(uint32_t)QP_PROJECTION_INLINE;
    if (run->projection->mode == QUIPU_INLINE)
        next->flags |= QP_PROJECTION_INLINE;
    hold(run, seen, next);
    if (!page->reached)
        return;
    if (next->building != 0)
        qp_projection_swap(next);
    if (!run->stays)
        qp_lease_let_go(next);
}

/* A page, and once more without the event that it stopped at, or that has no room in it: what was
 * folded of that one cannot be taken back. The projection stops there if it must. */
static int fold(struct qp_run *run, struct seen *seen, quipu_error *error)
{
    struct qp_projection_row next = seen->row;
    uint64_t from = next.building != 0 ? next.building_mark : next.mark;
    struct page page = {.mark = from,
                        .until_ns = qp_clock_monotonic_ns() + QP_PAGE_MS * QP_NS_PER_MS};
    struct qp_folding folding = {0};
    struct qp_fault fault;
    int rc = fold_page(run, seen, &folding, &page, error);

    if (rc == QUIPU_FAULTED || rc == QUIPU_TOO_LARGE) {
        bool stops = rc == QUIPU_FAULTED;

        fault = folding.fault;
        page = (struct page){.mark = from, .upto = fault.position - 1, .until_ns = INT64_MAX};
        qp_folding_release(&folding);
        folding.quiet = true; /* what fails before that event was told */
        if (!QP_MUTANT(EMITTED_TWICE))
            qp_batch_clear(&run->batch);
        rc = page.upto > from ? fold_page(run, seen, &folding, &page, error) : QUIPU_OK;
        if (rc == QUIPU_OK)
            move_on(run, seen, &folding, &page, &next);
        if (rc == QUIPU_OK && stops && page.mark == page.upto)
            qp_run_stop_at(&next, &fault, seen->now_ns);
    } else if (rc == QUIPU_OK) {
        move_on(run, seen, &folding, &page, &next);
    }
    qp_folding_release(&folding); /* it looks into the snapshot */
    return rc < 0 ? rc : commit(run, seen, &next, error);
}

/* ---- parked events again ---- */

/* One that is to be tried: its event, then the function. ROW: it is parked no more. */
static int replay_event(struct qp_run *run, struct qp_folding *folding, struct qp_log_cursor *log,
                        const struct qp_parked *parked, quipu_error *error)
{
    struct qp_record record;
    quipu_event event;
    int rc = qp_log_get(log, parked->position, &record, error);

    if (rc < 0)
        return rc;
    qp_event_fill(&record, run->handle->uuid, parked->position, &event);
    return qp_folding_replay(folding, parked, &event, error);
}

/* Of each key whose first event is to be tried again all events, until one fails. What it writes it
 * does not see: so those without keys, which may wait in others' queues, have pages before. */
static int replay_all(struct qp_run *run, struct qp_folding *folding, struct qp_log_cursor *log,
                      bool unkeyed, struct page *page, quipu_error *error)
{
    struct qp_cursor cursor = {0};
    struct qp_parked parked = {0};
    struct qp_bytes last = {0};
    bool goes = false; /* all went well so far with the last key */
    bool left = false; /* there are some for the other kind of page */
    int rc = qp_cursor_open(&cursor, folding->sheet.txn, QP_TABLE_PARKED, error);

    if (rc == QUIPU_OK)
        rc = qp_parked_begin(&cursor, &folding->sheet.place, &parked, error);
    while (rc == QUIPU_ROW && (page->events == 0 || !is_full(run, folding, page))) {
        bool first = !qp_bytes_equal(last, parked.key);

        last = parked.key;
        if (first)
            goes = (parked.flags & QP_PARKED_REPLAY) != 0;
        if (goes && unkeyed == ((parked.flags & QP_PARKED_UNKEYED) != 0)) {
            rc = replay_event(run, folding, log, &parked, error);
            page->events++;
            goes = rc == QUIPU_ROW;
        } else if (goes) {
            rc = first ? QUIPU_ROW : qp_folding_replay_later(folding, &parked, error);
            goes = false;
            left = true;
        }
        if (rc >= 0)
            rc = qp_parked_next(&cursor, &folding->sheet.place, &parked, error);
    }
    page->reached = rc == QUIPU_OK && !left;
    if (rc == QUIPU_ROW && goes && qp_bytes_equal(last, parked.key))
        rc = qp_folding_replay_later(folding, &parked, error);
    qp_cursor_close(&cursor);
    return rc < 0 ? rc : QUIPU_OK;
}

static int replay_page(struct qp_run *run, struct seen *seen, struct qp_folding *folding,
                       struct page *page, quipu_error *error)
{
    struct qp_log_cursor log = {0};
    int rc = begin_folding(run, seen, folding, error);

    if (rc == QUIPU_OK)
        rc = qp_log_open(&log, &seen->txn, true, error);
    if (rc == QUIPU_OK)
        rc = replay_all(run, folding, &log, true, page, error);
    if (rc == QUIPU_OK && page->events == 0)
        rc = replay_all(run, folding, &log, false, page, error);
    if (rc == QUIPU_OK)
        rc = qp_sheet_write(&folding->sheet, &run->batch, error);
    qp_log_close(&log);
    return rc;
}

/* A page, and once more without the event that has no room in it. */
static int replay(struct qp_run *run, struct seen *seen, quipu_error *error)
{
    struct qp_projection_row next = seen->row;
    struct qp_folding folding = {0};
    struct page page = {.mark = next.mark,
                        .until_ns = qp_clock_monotonic_ns() + QP_PAGE_MS * QP_NS_PER_MS};
    int rc = replay_page(run, seen, &folding, &page, error);

    if (rc == QUIPU_TOO_LARGE && page.events > 1) {
        page.events_max = page.events - 1;
        page.events = 0;
        qp_folding_release(&folding);
        folding.quiet = true;
        qp_batch_clear(&run->batch);
        rc = replay_page(run, seen, &folding, &page, error);
    }
    if (rc == QUIPU_OK) {
        if (page.reached)
            next.flags &= ~(uint32_t)QP_PROJECTION_REPLAYS;
        page.reached = false; /* that was of what is parked */
        move_on(run, seen, &folding, &page, &next);
    }
    qp_folding_release(&folding);
    return rc == QUIPU_OK ? commit(run, seen, &next, error) : rc;
}

/* ---- what is to be done ---- */

static int take_over(struct qp_run *run, struct seen *seen, quipu_error *error)
{
    struct qp_projection_row next = seen->row;

    qp_handle_tell(run->handle, 1, "projection %s is taken over from process %u",
                   run->projection->name, next.owner_pid);
    hold(run, seen, &next);
    return commit(run, seen, &next, error);
}

/* It is our turn, and there is no other generation to begin. */
static int go_on(struct qp_run *run, struct seen *seen, quipu_error *error)
{
    const struct qp_projection_row *row = &seen->row;

    if (row->mark > seen->head || row->building_mark > seen->head)
        return qp_fail(error, QUIPU_CORRUPT, "projection %s has a mark after the newest event",
                       run->projection->name);
    if (row->building == 0 && (row->flags & QP_PROJECTION_REPLAYS) != 0)
        return replay(run, seen, error);
    if ((row->flags & QP_PROJECTION_UNCLEAN) != 0 && row->building == 0 &&
        (row->mark == seen->head || run->turns++ % 2 == 1)) /* also where events never end */
        return clean(run, seen, error);
    if (row->building != 0 || row->mark < seen->head)
        return fold(run, seen, error);
    if (holds(run, row) && !run->stays) {
        struct qp_projection_row next = *row;

        qp_lease_let_go(&next);
        return commit(run, seen, &next, error);
    }
    return QUIPU_OK;
}

/* The old function must not go on where a newer one has begun: both would rebuild for ever. */
static int check_version(const struct qp_run *run, const struct qp_projection_row *row,
                         quipu_error *error)
{
    uint32_t newest = row->building_version > row->version ? row->building_version : row->version;

    if (run->projection->version >= newest || (row->flags & QP_PROJECTION_DELETED) != 0)
        return QUIPU_OK;
    return qp_fail(error, QUIPU_CONFLICT, "projection %s has version %u, this is %u",
                   run->projection->name, newest, run->projection->version);
}

static int act(struct qp_run *run, struct seen *seen, quipu_error *error)
{
    const struct qp_projection_row *row = &seen->row;
    const struct qp_projection *projection = run->projection;

    if (!seen->exists)
        return make(run, seen, error);
    if (check_version(run, row, error) < 0)
        return QUIPU_CONFLICT;
    if ((row->flags & QP_PROJECTION_PAUSED) != 0 && (row->flags & QP_PROJECTION_DELETED) == 0)
        return QUIPU_OK; /* whoever has the lease */
    if (!qp_lease_ask(&run->lease, &run->handle->shared, row, is_behind(seen), seen->now_ns))
        return qp_fail(error, QUIPU_BUSY, "process %u runs projection %s", row->owner_pid,
                       projection->name);
    if ((row->flags & QP_PROJECTION_DELETED) != 0)
        return clean(run, seen, error);
    if (row->owner_pid != 0 && !holds(run, row) &&
        (run->stays || is_behind(seen) || (row->flags & QP_PROJECTION_UNCLEAN) != 0))
        return take_over(run, seen, error);
    if ((row->flags & QP_PROJECTION_REBUILDS) != 0 ||
        projection->version > (row->building != 0 ? row->building_version : row->version))
        return begin_building(run, seen, error);
    if ((row->flags & QP_PROJECTION_STOPPED) != 0)
        return qp_projection_stopped(projection->name_bytes, row, error);
    return go_on(run, seen, error);
}

/* Another one may make it at the same time: then it is looked at again. */
int qp_run_make(struct qp_run *run, quipu_error *error)
{
    bool exists = false;
    int rc = QUIPU_OK;

    if (run->handle->read_only)
        return qp_fail(error, QUIPU_READ_ONLY, "the store is open for reading only");
    while (!exists && rc >= 0) {
        struct seen seen = {0};

        qp_batch_clear(&run->batch);
        rc = look(run, &seen, error);
        exists = seen.exists;
        if (rc == QUIPU_OK && !exists)
            rc = make(run, &seen, error);
        qp_txn_end(&seen.txn);
    }
    return rc < 0 ? rc : check_version(run, &run->row, error);
}

int qp_run_step(struct qp_run *run, quipu_error *error)
{
    struct seen seen = {0};
    int rc;

    if (run->handle->read_only)
        return qp_fail(error, QUIPU_READ_ONLY, "the store is open for reading only");
    qp_batch_clear(&run->batch);
    run->page = (struct qp_run_counts){0};
    rc = look(run, &seen, error);
    if (rc == QUIPU_OK)
        rc = act(run, &seen, error);
    qp_txn_end(&seen.txn);
    return rc;
}

/* If it fails the lease ends by itself. Somebody may change the row just then: once more. */
void qp_run_end(struct qp_run *run)
{
    int rc = QUIPU_ROW;

    while (run->lease.token != 0 && rc == QUIPU_ROW) {
        struct seen seen = {0};

        qp_batch_clear(&run->batch);
        rc = look(run, &seen, NULL);
        if (rc == QUIPU_OK && holds(run, &seen.row)) {
            struct qp_projection_row next = seen.row;

            qp_lease_let_go(&next);
            rc = commit(run, &seen, &next, NULL);
        }
        qp_txn_end(&seen.txn);
    }
    qp_batch_release(&run->batch);
}
