/* tail.c - one list of segments, one lock. Lookups copy what they find: a lock held for a copy of
 * 512 numbers is cheaper than lists that can be read while they grow. */
#include "tail.h"

#include "status.h"

#include <assert.h>
#include <string.h>

void qp_tail_init(struct qp_tail *tail, uint64_t base)
{
    *tail = (struct qp_tail){.base = base, .top = base};
    (void)pthread_mutex_init(&tail->lock, NULL); /* cannot fail without attributes */
}

static void free_segment(struct qp_tail *tail, struct qp_segment *segment)
{
    tail->bytes -= qp_segment_bytes(segment);
    qp_segment_free(segment);
}

/* Out of the list; it lives on as long as it is pinned. */
static void unlink_segment(struct qp_tail *tail, struct qp_segment *segment)
{
    segment->linked = false;
    if (segment->pins == 0)
        free_segment(tail, segment);
}

static void reset(struct qp_tail *tail, uint64_t base)
{
    struct qp_segment *segment = tail->oldest;

    while (segment != NULL) {
        struct qp_segment *newer = segment->newer;

        unlink_segment(tail, segment);
        segment = newer;
    }
    tail->oldest = NULL;
    tail->newest = NULL;
    tail->base = base;
    tail->top = base;
}

void qp_tail_release(struct qp_tail *tail)
{
    reset(tail, 0);
    assert(tail->bytes == 0); /* nothing is pinned any more */
    (void)pthread_mutex_destroy(&tail->lock);
}

/* ---- growing ---- */

/* The segment that the next event goes to; NULL if memory is out. */
static struct qp_segment *open_segment(struct qp_tail *tail)
{
    struct qp_segment *newest = tail->newest;
    struct qp_segment *segment;

    if (newest != NULL && !newest->sealed)
        return newest;
    segment = qp_segment_new(tail->top);
    if (segment == NULL)
        return NULL;
    segment->linked = true;
    segment->older = newest;
    if (newest != NULL)
        newest->newer = segment;
    else
        tail->oldest = segment;
    tail->newest = segment;
    tail->bytes += qp_segment_bytes(segment);
    return segment;
}

/* Add the event at top + 1; NULL: its record cannot be read. */
static bool add(struct qp_tail *tail, const struct qp_record *record)
{
    struct qp_segment *segment = open_segment(tail);
    size_t before;
    bool done;

    if (segment == NULL)
        return false;
    before = qp_segment_bytes(segment);
    done = record != NULL ? qp_segment_add(segment, record) : qp_segment_add_damaged(segment);
    tail->bytes += qp_segment_bytes(segment) - before;
    if (done)
        tail->top++;
    assert(tail->top == segment->upto);
    if (segment->upto - segment->after >= QP_MERGE_EVENTS)
        segment->sealed = true;
    return done;
}

/* Positions up to `position` - 1 that have no record: damaged, as long as they can be counted. */
static int add_missing(struct qp_tail *tail, uint64_t position, quipu_error *error)
{
    if (position - tail->top > QP_UNMERGED_MAX)
        return qp_fail(error, QUIPU_CORRUPT, "the log has no events from position %llu to %llu",
                       (unsigned long long)tail->top + 1, (unsigned long long)position - 1);
    while (tail->top + 1 < position)
        if (!add(tail, NULL))
            return qp_fail_memory(error);
    return QUIPU_OK;
}

static int fold(struct qp_tail *tail, uint64_t head, struct qp_log_cursor *log, quipu_error *error)
{
    uint64_t position = tail->top + 1;
    bool check = log->check;
    quipu_error why = {0}; /* of a damaged record it is no failure */
    struct qp_record record;
    int rc;

    log->names_only = true;
    log->check = true; /* all readers of this process rely on it, whatever this one asked for */
    rc = qp_log_begin(log, false, &position, &record, &why);
    while (tail->top < head) {
        int added;

        if (rc < 0 && rc != QUIPU_CORRUPT)
            break;
        if (rc == QUIPU_OK || position > head)
            position = head + 1; /* the rest is missing */
        added = add_missing(tail, position, &why);
        if (added == QUIPU_OK && tail->top < head && !add(tail, rc == QUIPU_ROW ? &record : NULL))
            added = qp_fail_memory(&why);
        if (added < 0) {
            rc = added;
            break;
        }
        if (tail->top < head)
            rc = qp_log_step(log, false, &position, &record, &why);
    }
    log->names_only = false;
    log->check = check;
    if (tail->top != head && error != NULL)
        *error = why;
    return tail->top == head ? QUIPU_OK : rc;
}

void qp_tail_publish(struct qp_tail *tail, const struct qp_batch *batch, uint64_t first_position)
{
    (void)pthread_mutex_lock(&tail->lock);
    for (size_t i = 0; i < batch->draft_count; i++) {
        struct qp_bytes row = {qp_batch_record(batch, i), batch->drafts[i].size};
        uint64_t position = first_position + i;
        struct qp_record record;

        if (position <= tail->top)
            continue; /* a reader was faster */
        if (row.size > QP_ROW_BYTES_MAX)
            row.size = QP_ROW_BYTES_MAX;
        if (position != tail->top + 1 ||
            qp_record_read(row, position, false, &record) != QP_RECORD_WHOLE || !add(tail, &record))
            break;
    }
    (void)pthread_mutex_unlock(&tail->lock);
}

/* ---- pins and pruning ---- */

/* From the front only: what lies between two segments that are kept must not be missing. */
static void drop_front(struct qp_tail *tail, uint64_t indexed)
{
    while (tail->oldest != NULL && tail->oldest->upto <= indexed && tail->oldest->pins == 0) {
        struct qp_segment *segment = tail->oldest;

        tail->oldest = segment->newer;
        if (tail->oldest != NULL)
            tail->oldest->older = NULL;
        else
            tail->newest = NULL;
        tail->base = segment->upto;
        unlink_segment(tail, segment);
    }
}

static void pin_segments(struct qp_tail *tail, struct qp_pin *pin)
{
    for (struct qp_segment *segment = tail->oldest; segment != NULL; segment = segment->newer) {
        if (segment->upto <= pin->indexed || segment->after >= pin->head)
            continue;
        segment->pins++;
        pin->damaged = pin->damaged || segment->damaged;
        if (pin->first == NULL)
            pin->first = segment;
        pin->last = segment;
    }
}

void qp_tail_seal(struct qp_tail *tail)
{
    (void)pthread_mutex_lock(&tail->lock);
    if (tail->newest != NULL && tail->newest->upto > tail->newest->after)
        tail->newest->sealed = true;
    (void)pthread_mutex_unlock(&tail->lock);
}

void qp_tail_pin_sealed(struct qp_tail *tail, uint64_t indexed, uint64_t head, struct qp_pin *pin)
{
    struct qp_segment *segment;
    uint64_t most = indexed + QP_MERGE_EVENTS < head ? indexed + QP_MERGE_EVENTS : head;

    *pin = (struct qp_pin){.indexed = indexed, .head = indexed};
    (void)pthread_mutex_lock(&tail->lock);
    for (segment = tail->oldest; segment != NULL; segment = segment->newer)
        if (segment->after == pin->head && segment->upto <= most && segment->sealed)
            pin->head = segment->upto;
    if (pin->head > indexed)
        pin_segments(tail, pin);
    (void)pthread_mutex_unlock(&tail->lock);
}

/* Another process merged up to within a segment. The few events after it are cheaper to fold
 * again than the segment is to keep until it is full. */
static bool is_mostly_indexed(const struct qp_tail *tail, uint64_t indexed)
{
    return tail->oldest != NULL && tail->oldest->pins == 0 &&
           indexed >= tail->base + QP_MERGE_EVENTS_MIN && indexed + QP_MERGE_EVENTS_MIN > tail->top;
}

int qp_tail_pin(struct qp_tail *tail, uint64_t indexed, uint64_t head, struct qp_log_cursor *log,
                struct qp_pin *pin, quipu_error *error)
{
    bool late;
    int rc = QUIPU_OK;

    *pin = (struct qp_pin){.indexed = indexed, .head = head};
    assert(indexed <= head);
    (void)pthread_mutex_lock(&tail->lock);
    drop_front(tail, indexed); /* whoever merged it */
    if (tail->top < indexed || is_mostly_indexed(tail, indexed))
        reset(tail, indexed);
    late = tail->base > indexed;
    if (!late && tail->top < head)
        rc = fold(tail, head, log, error);
    if (!late && rc == QUIPU_OK) {
        pin_segments(tail, pin);
        rc = QUIPU_ROW;
    }
    (void)pthread_mutex_unlock(&tail->lock);
    return rc;
}

void qp_tail_unpin(struct qp_tail *tail, struct qp_pin *pin)
{
    struct qp_segment *segment = pin->first;

    if (segment == NULL)
        return;
    (void)pthread_mutex_lock(&tail->lock);
    while (segment != NULL) {
        struct qp_segment *newer = segment == pin->last ? NULL : segment->newer;

        assert(segment->pins > 0);
        segment->pins--;
        if (!segment->linked && segment->pins == 0)
            free_segment(tail, segment);
        segment = newer;
    }
    (void)pthread_mutex_unlock(&tail->lock);
    *pin = (struct qp_pin){0};
}

void qp_tail_prune(struct qp_tail *tail, uint64_t indexed)
{
    (void)pthread_mutex_lock(&tail->lock);
    drop_front(tail, indexed);
    (void)pthread_mutex_unlock(&tail->lock);
}

uint64_t qp_tail_bytes(struct qp_tail *tail)
{
    uint64_t bytes;

    (void)pthread_mutex_lock(&tail->lock);
    bytes = tail->bytes;
    (void)pthread_mutex_unlock(&tail->lock);
    return bytes;
}

/* ---- looking things up ---- */

static const struct qp_segment *beyond(const struct qp_pin *pin, const struct qp_segment *segment,
                                       bool backwards)
{
    if (segment == (backwards ? pin->first : pin->last))
        return NULL;
    return backwards ? segment->older : segment->newer;
}

/* From `segment` on, the first that has the term. */
static void find_run(const struct qp_pin *pin, const struct qp_segment *segment,
                     const struct qp_key *key, bool backwards, struct qp_tail_run *run)
{
    uint32_t hash = qp_segment_hash(key);

    *run = (struct qp_tail_run){0};
    for (; segment != NULL; segment = beyond(pin, segment, backwards)) {
        const struct qp_term_list *list = qp_segment_find(segment, key, hash);

        if (list == NULL)
            continue;
        run->segment = segment;
        run->chunk = backwards ? list->newest : list->oldest;
        return;
    }
}

static void next_run(const struct qp_pin *pin, const struct qp_key *key, bool backwards,
                     struct qp_tail_run *run)
{
    const struct qp_list_chunk *chunk = backwards ? run->chunk->older : run->chunk->newer;

    if (chunk != NULL)
        run->chunk = chunk;
    else
        find_run(pin, beyond(pin, run->segment, backwards), key, backwards, run);
}

/* The part of a chunk that is in (indexed, head]. Entries that are not known go with those around
 * them: in front they belong to the first known one after them. */
static size_t copy_run(const struct qp_pin *pin, const struct qp_tail_run *run, uint64_t *positions,
                       uint64_t *first)
{
    size_t count = run->chunk->count;
    size_t skip = 0;

    qp_chunk_positions(run->segment, run->chunk, positions);
    for (size_t i = 0; i < count; i++)
        if (positions[i] != 0 && positions[i] <= pin->indexed)
            skip = i + 1;
    while (count > skip && (positions[count - 1] > pin->head || positions[count - 1] == 0))
        count--;
    *first = run->chunk->first + skip;
    memmove(positions, positions + skip, (count - skip) * sizeof(*positions));
    return count - skip;
}

void qp_tail_first(struct qp_tail *tail, const struct qp_pin *pin, const struct qp_key *key,
                   bool backwards, struct qp_tail_run *run)
{
    *run = (struct qp_tail_run){0};
    if (pin->first == NULL)
        return;
    (void)pthread_mutex_lock(&tail->lock);
    find_run(pin, backwards ? pin->last : pin->first, key, backwards, run);
    (void)pthread_mutex_unlock(&tail->lock);
}

void qp_tail_next(struct qp_tail *tail, const struct qp_pin *pin, const struct qp_key *key,
                  bool backwards, struct qp_tail_run *run)
{
    (void)pthread_mutex_lock(&tail->lock);
    next_run(pin, key, backwards, run);
    (void)pthread_mutex_unlock(&tail->lock);
}

size_t qp_tail_copy(struct qp_tail *tail, const struct qp_pin *pin, const struct qp_tail_run *run,
                    uint64_t *positions, uint64_t *first)
{
    size_t count;

    (void)pthread_mutex_lock(&tail->lock);
    count = copy_run(pin, run, positions, first);
    (void)pthread_mutex_unlock(&tail->lock);
    return count;
}

bool qp_tail_newest(struct qp_tail *tail, const struct qp_pin *pin, const struct qp_key *key,
                    uint64_t *number, uint64_t *position)
{
    uint64_t positions[QP_CHUNK_OFFSETS_MAX];
    struct qp_tail_run run;
    uint64_t first;
    size_t count = 0;

    if (pin->first == NULL)
        return false;
    (void)pthread_mutex_lock(&tail->lock);
    find_run(pin, pin->last, key, true, &run);
    while (run.segment != NULL && count == 0) {
        count = copy_run(pin, &run, positions, &first);
        next_run(pin, key, true, &run);
    }
    (void)pthread_mutex_unlock(&tail->lock);
    if (count == 0)
        return false;
    *number = first + count - 1;
    *position = positions[count - 1];
    return true;
}

/* What of a list is in (indexed, head]. */
static bool clip_list(const struct qp_pin *pin, const struct qp_segment *segment,
                      const struct qp_term_list *list, struct qp_tail_term *term)
{
    uint64_t positions[QP_CHUNK_OFFSETS_MAX];

    *term = (struct qp_tail_term){.name = {list->key + 1, list->key_size - 1U}};
    for (const struct qp_list_chunk *chunk = list->oldest; chunk != NULL; chunk = chunk->newer) {
        struct qp_tail_run run = {segment, chunk};
        uint64_t first;
        size_t count = copy_run(pin, &run, positions, &first);

        if (count == 0)
            continue;
        if (term->count == 0) {
            term->first = first;
            term->first_position = positions[0];
        }
        term->count = first + count - term->first;
        term->last_position = positions[count - 1];
    }
    return term->count > 0;
}

uint64_t qp_tail_count(struct qp_tail *tail, const struct qp_pin *pin, const struct qp_key *key)
{
    uint32_t hash = qp_segment_hash(key);
    uint64_t total = 0;

    if (pin->first == NULL)
        return 0;
    (void)pthread_mutex_lock(&tail->lock);
    for (const struct qp_segment *segment = pin->first; segment != NULL;
         segment = beyond(pin, segment, false)) {
        const struct qp_term_list *list = qp_segment_find(segment, key, hash);
        struct qp_tail_term term;

        if (list != NULL && clip_list(pin, segment, list, &term))
            total += term.count;
    }
    (void)pthread_mutex_unlock(&tail->lock);
    return total;
}

bool qp_tail_each(struct qp_tail *tail, const struct qp_pin *pin, enum qp_term_kind kind,
                  struct qp_bytes prefix, qp_tail_visit_fn visit, void *payload)
{
    bool go_on = true;

    if (pin->first == NULL)
        return true;
    (void)pthread_mutex_lock(&tail->lock);
    for (const struct qp_segment *segment = pin->first; segment != NULL && go_on;
         segment = beyond(pin, segment, false)) {
        for (size_t i = 0; i < segment->table_size && go_on; i++) {
            const struct qp_term_list *list = segment->table[i];
            struct qp_tail_term term;

            if (list == NULL || list->count == 0 || list->key[0] != kind ||
                list->key_size - 1U < prefix.size ||
                (prefix.size > 0 && memcmp(list->key + 1, prefix.data, prefix.size) != 0))
                continue;
            if (clip_list(pin, segment, list, &term))
                go_on = visit(payload, &term);
        }
    }
    (void)pthread_mutex_unlock(&tail->lock);
    return go_on;
}
