/* tail.c - one list of segments, one lock. Lookups copy what they find: a lock held for a copy of
 * 512 numbers is cheaper than lists that can be read while they grow. Static functions are called
 * with the lock held, but where a tail is released that nobody shares any more.
 *
 *     open ---------------------> sealed      full, or a merge begins
 *     open, sealed -------------> freed       the index has it, and nobody pins it or one before it
 *     open, sealed -- reset() --> freed       nobody pins it
 *     open, sealed -- reset() --> unlinked    somebody does: the last unpin frees it
 *
 * Always: oldest->after = base, newest->upto = top, each segment begins where the one before ends;
 * without segments base = top. */
#include "tail.h"

#include "status.h"

#include <assert.h>
#include <string.h>

void qp_tail_init(struct qp_tail *tail, uint64_t base)
{
    *tail = (struct qp_tail){.base = base, .top = base};
    (void)pthread_mutex_init(&tail->lock, NULL); /* cannot fail without attributes */
}

/* Its bytes count until now, and not only as long as it is linked: what is pinned is memory too. */
static void free_segment(struct qp_tail *tail, struct qp_segment *segment)
{
    assert(!segment->linked && segment->pins == 0);
    assert(tail->bytes >= qp_segment_bytes(segment));
    tail->bytes -= qp_segment_bytes(segment);
    qp_segment_free(segment);
}

/* Out of the list; it lives on as long as it is pinned. Its neighbours may then be freed before it:
 * `older` and `newer` hold only within a pin, and no walk leaves its pin. */
static void unlink_segment(struct qp_tail *tail, struct qp_segment *segment)
{
    assert(segment->linked);
    segment->linked = false;
    if (segment->pins == 0 || QP_MUTANT(NO_PINS))
        free_segment(tail, segment);
}

/* Forget everything and begin anew after `base`. Who has an index older than that finds `base`
 * after its `indexed` and takes a newer snapshot. */
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

    assert(newest != NULL ? newest->upto == tail->top : tail->base == tail->top);
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

/* Add the event at top + 1; NULL: its record cannot be read. false: memory is out, and `top` is as
 * before. The segment may have grown even then, so its bytes are counted in any case. A full one is
 * sealed at once: it is what one merge takes. */
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

/* Positions up to `position` - 1 that have no record: damaged, as long as they can be counted. A
 * key that is wrong may claim any position: what it costs in memory must have a bound. */
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

/* Add (top, head] from the cursor's transaction. A record that is damaged or missing is added as
 * such. One of a later format is no damage and ends the fold (docs/FORMAT.md 3.2), as do memory and
 * the disk: what was added before stays, and the next who pins goes on from there. Only names and
 * versions are asked for, and they mostly stand in the row of `log`: few chunks are touched. */
static int fold(struct qp_tail *tail, uint64_t head, struct qp_log_cursor *log, quipu_error *error)
{
    uint64_t position = tail->top + 1;
    bool check = log->check;
    quipu_error why = {0}; /* of a damaged record it is no failure */
    struct qp_record record;
    int rc;

    assert(tail->top < head);
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
    assert(tail->top <= head);
    if (tail->top != head && error != NULL)
        *error = why;
    return tail->top == head ? QUIPU_OK : rc;
}

void qp_tail_publish(struct qp_tail *tail, const struct qp_batch *batch, uint64_t first_position)
{
    assert(first_position > 0);
    (void)pthread_mutex_lock(&tail->lock);
    for (size_t i = 0; i < batch->draft_count; i++) {
        struct qp_bytes bytes = {qp_batch_record(batch, i), batch->drafts[i].size};
        uint64_t position = first_position + i;
        struct qp_record record;

        if (position <= tail->top && !QP_MUTANT(PUBLISH_BLIND))
            continue; /* a reader was faster */
        /* All of it is here, and no sum needs to be checked: it was stamped just now. */
        if ((position != tail->top + 1 && !QP_MUTANT(PUBLISH_BLIND)) ||
            qp_record_read_assembled(bytes, &record) != QP_RECORD_WHOLE || !add(tail, &record))
            break;
    }
    (void)pthread_mutex_unlock(&tail->lock);
}

/* ---- pins and pruning ---- */

/* From the front only: what lies between two segments that are kept must not be missing. What is
 * dropped some committed index has: who comes with an older one finds a newer. */
static void drop_front(struct qp_tail *tail, uint64_t indexed)
{
    while (tail->oldest != NULL && tail->oldest->upto <= indexed &&
           (tail->oldest->pins == 0 || QP_MUTANT(NO_PINS))) {
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

/* Pin what there is of (indexed, head]: all of it, without a gap. The segments at both ends may
 * reach beyond; lookups clip them. The last one may still grow after `head` while it is pinned. */
static void pin_segments(struct qp_tail *tail, struct qp_pin *pin)
{
    assert(pin->first == NULL && tail->base <= pin->indexed && pin->head <= tail->top);
    for (struct qp_segment *segment = tail->oldest; segment != NULL; segment = segment->newer) {
        if (segment->upto <= pin->indexed || segment->after >= pin->head)
            continue;
        segment->pins++;
        pin->damaged = pin->damaged || segment->damaged;
        if (pin->first == NULL)
            pin->first = segment;
        pin->last = segment;
    }
    assert(pin->indexed == pin->head ||
           (pin->first->after <= pin->indexed && pin->head <= pin->last->upto));
}

/* An empty one is left open: sealed, it would never be filled, and a merge has no use for it. */
void qp_tail_seal(struct qp_tail *tail)
{
    (void)pthread_mutex_lock(&tail->lock);
    if (tail->newest != NULL && tail->newest->upto > tail->newest->after)
        tail->newest->sealed = true;
    (void)pthread_mutex_unlock(&tail->lock);
}

/* Sealed ones never change, so a merge reads what is pinned here without the lock. */
void qp_tail_pin_sealed(struct qp_tail *tail, uint64_t indexed, uint64_t head, struct qp_pin *pin)
{
    struct qp_segment *segment;
    uint64_t most = indexed + QP_MERGE_EVENTS < head ? indexed + QP_MERGE_EVENTS : head;

    assert(indexed <= head);
    *pin = (struct qp_pin){.indexed = indexed, .head = indexed};
    (void)pthread_mutex_lock(&tail->lock);
    /* A segment that begins before `indexed` is of no use: the index has a part of its entries. */
    for (segment = tail->oldest; segment != NULL; segment = segment->newer) {
        bool whole = segment->sealed || QP_MUTANT(OPEN_MERGED);

        if (segment->after == pin->head && segment->upto <= most && whole)
            pin->head = segment->upto;
    }
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

/* All in one hold of the lock: between a look at `base` and the pin nobody may drop a segment. A
 * fold under it makes others wait, but they would have to fold the same events. */
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
    if (QP_MUTANT(FOLD_UNLOCKED))
        (void)pthread_mutex_unlock(&tail->lock);
    if (!late && tail->top < head)
        rc = fold(tail, head, log, error);
    if (QP_MUTANT(FOLD_UNLOCKED))
        (void)pthread_mutex_lock(&tail->lock);
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
    assert(pin->last != NULL);
    while (segment != NULL) {
        struct qp_segment *newer = segment == pin->last ? NULL : segment->newer;

        /* `newer` was read before: this may be the end of the segment. */
        assert(segment->pins > 0);
        segment->pins--;
        if (!segment->linked && segment->pins == 0)
            free_segment(tail, segment);
        segment = newer;
    }
    (void)pthread_mutex_unlock(&tail->lock);
    *pin = (struct qp_pin){0};
}

/* For who merged: its memory goes now, and not when the next reader comes. */
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

/* The pin's segment after (before) this one, NULL at its end. The ends are the pin's, not the
 * list's: what is beyond them may be gone, or newer than the snapshot. */
static const struct qp_segment *beyond(const struct qp_pin *pin, const struct qp_segment *segment,
                                       bool backwards)
{
    assert(segment->pins > 0);
    if (segment == (backwards ? pin->first : pin->last))
        return NULL;
    return backwards ? segment->older : segment->newer;
}

/* From `segment` on, the first that has the term: its chunk at the near end. Its entries may all be
 * outside of (indexed, head]. */
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

/* The list's next chunk, else that of the next segment that has the term. */
static void next_run(const struct qp_pin *pin, const struct qp_key *key, bool backwards,
                     struct qp_tail_run *run)
{
    const struct qp_list_chunk *chunk = backwards ? run->chunk->older : run->chunk->newer;

    assert(run->segment != NULL);
    if (chunk != NULL)
        run->chunk = chunk;
    else
        find_run(pin, beyond(pin, run->segment, backwards), key, backwards, run);
}

/* The part of a chunk that is in (indexed, head]. Entries that are not known go with those around
 * them: in front they belong to the first known one after them. At the end nobody needs them: the
 * entries of the next chunk have numbers of their own. */
static size_t copy_run(const struct qp_pin *pin, const struct qp_tail_run *run, uint64_t *positions,
                       uint64_t *first)
{
    size_t count = run->chunk->count;
    size_t skip = 0;

    assert(count <= QP_CHUNK_OFFSETS_MAX);
    qp_chunk_positions(run->segment, run->chunk, positions);
    /* Positions ascend, but for those of 0, which say nothing: the last one that counts decides. */
    for (size_t i = 0; i < count; i++)
        if (positions[i] != 0 && positions[i] <= pin->indexed && !QP_MUTANT(NO_CLIP))
            skip = i + 1;
    while (count > skip && ((positions[count - 1] > pin->head && !QP_MUTANT(NO_CLIP_HEAD)) ||
                            positions[count - 1] == 0))
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

/* From the newest segment back: who has the term last knows its newest entry. */
bool qp_tail_newest(struct qp_tail *tail, const struct qp_pin *pin, const struct qp_key *key,
                    uint64_t *number, uint64_t *position)
{
    uint64_t positions[QP_CHUNK_OFFSETS_MAX];
    struct qp_tail_run run;
    uint64_t first;
    size_t count = 0;

    if (pin->first == NULL)
        return false;
    /* The newest chunks may hold only what came after `head`: back to the first that has a part. */
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
    assert(*position > pin->indexed && *position <= pin->head);
    return true;
}

/* Entries of one key ascend, in a segment and from one to the next. */
uint64_t qp_tail_id(struct qp_tail *tail, const struct qp_pin *pin,
                    const uint8_t name[QP_ID_NAME_BYTES], uint64_t after)
{
    const struct qp_segment *segment = pin->first;
    uint64_t found = 0;

    if (after < pin->indexed)
        after = pin->indexed;
    if (segment == NULL || QP_MUTANT(TAIL_IDS))
        return 0;
    (void)pthread_mutex_lock(&tail->lock);
    for (; segment != NULL && found == 0; segment = beyond(pin, segment, false)) {
        const struct qp_id_entry *entry = qp_ids_find(&segment->ids, name);

        while (entry != NULL && segment->after + entry->number <= after)
            entry = qp_ids_next(&segment->ids, entry);
        if (entry != NULL)
            found = segment->after + entry->number;
    }
    (void)pthread_mutex_unlock(&tail->lock);
    return found <= pin->head ? found : 0;
}

/* What of a list is in (indexed, head]. false: nothing. Entries are counted by their numbers, so
 * that those not known between two chunks count too. If the first one is not known its position is
 * 0; the index then has entries before it, and knows where the term begins. */
static bool clip_list(const struct qp_pin *pin, const struct qp_segment *segment,
                      const struct qp_term_list *list, struct qp_tail_term *term)
{
    uint64_t positions[QP_CHUNK_OFFSETS_MAX];

    *term = (struct qp_tail_term){.name = {list->key + 1, list->key_size - 1U}};
    if (segment->after >= pin->indexed && segment->upto <= pin->head &&
        list->newest->offsets[list->newest->count - 1] != 0) { /* nothing to clip */
        term->first = list->first;
        term->count = list->count;
        term->first_position = segment->after + list->first_offset;
        term->last_position = segment->after + list->last_offset;
        return true;
    }
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

/* At the ends of the pin chunk by chunk: for who asks once a term, not once an event. */
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

/* All lists of all segments, whatever the prefix: a segment's table has no order. */
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
