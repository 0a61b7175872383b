/* pending.c - a set of sums says quickly that a query cannot match, the records say whether it
 * does.
 *
 *     batches   [ 101.. ][ 105.. ][ 106.. ]        in the order of positions
 *     terms     sum(stream order-42) sum(type OrderPaid) sum(tag customer:7) ...
 *
 * A group may have a thousand batches, each with a condition: to hold every event against every
 * condition would cost a million looks, in which hardly anything matches. An item can only match if
 * all that it gives is in the set; two names that share a sum cost a look, and nothing else. The
 * set is made when the first condition asks: a group without conditions pays nothing. */
#include "pending.h"

#include "status.h"
#include "sum.h"
#include "terms.h"

#include <assert.h>

enum { TERMS_FIRST = 1024 };

void qp_pending_release(struct qp_pending *pending)
{
    qp_free(pending->batches);
    qp_free(pending->terms);
    *pending = (struct qp_pending){0};
}

bool qp_pending_ensure(struct qp_pending *pending)
{
    return qp_array_reserve(&pending->batches, &pending->capacity, pending->count + 1,
                            sizeof(*pending->batches));
}

void qp_pending_put(struct qp_pending *pending, const struct qp_batch *batch,
                    uint64_t first_position)
{
    assert(pending->count < pending->capacity && batch->draft_count > 0);
    pending->batches[pending->count++] = (struct qp_pending_batch){batch, first_position};
}

/* ---- the set ---- */

static uint64_t sum_of(enum qp_term_kind kind, struct qp_bytes name)
{
    uint64_t sum = qp_sum(name.data, name.size, kind);

    return sum != 0 ? sum : 1;
}

/* Where the sum is, or would be put. Never more than half full. */
static uint64_t *slot_of(uint64_t *terms, size_t size, uint64_t sum)
{
    size_t slot = sum & (size - 1);

    assert(size > 0 && (size & (size - 1)) == 0 && sum != 0);
    while (terms[slot] != 0 && terms[slot] != sum)
        slot = (slot + 1) & (size - 1);
    return &terms[slot];
}

static bool grow(struct qp_pending *pending)
{
    size_t size = pending->term_size == 0 ? TERMS_FIRST : pending->term_size * 2;
    uint64_t *terms = qp_zalloc(size * sizeof(*terms));

    if (terms == NULL)
        return false;
    for (size_t i = 0; i < pending->term_size; i++)
        if (pending->terms[i] != 0)
            *slot_of(terms, size, pending->terms[i]) = pending->terms[i];
    qp_free(pending->terms);
    pending->terms = terms;
    pending->term_size = size;
    return true;
}

static bool put_term(struct qp_pending *pending, uint64_t sum)
{
    uint64_t *slot;

    if (pending->term_count * 2 >= pending->term_size && !grow(pending))
        return false;
    slot = slot_of(pending->terms, pending->term_size, sum);
    pending->term_count += *slot == 0;
    *slot = sum;
    return true;
}

/* All of a draft is in its batch, whatever of it will stand in chunks. */
static void read_draft(const struct qp_batch *batch, size_t draft, struct qp_record *record)
{
    struct qp_bytes bytes = {qp_batch_record(batch, draft), batch->drafts[draft].size};
    enum qp_record_state state = qp_record_read_assembled(bytes, record);

    assert(state == QP_RECORD_WHOLE);
    (void)state;
}

static bool put_draft(struct qp_pending *pending, const struct qp_batch *batch, size_t draft)
{
    struct qp_record record;
    struct qp_terms terms;
    enum qp_term_kind kind;
    struct qp_bytes name;

    read_draft(batch, draft, &record);
    qp_terms_begin(&terms, &record);
    while (qp_terms_next(&terms, &kind, &name) && kind != QP_TERM_ID)
        if (!put_term(pending, sum_of(kind, name)))
            return false;
    return true;
}

/* Bring the set up to the newest batch. What was put before memory ran out does no harm. */
static bool sum_up(struct qp_pending *pending)
{
    for (; pending->summed < pending->count; pending->summed++) {
        const struct qp_batch *batch = pending->batches[pending->summed].batch;

        for (size_t i = 0; i < batch->draft_count; i++)
            if (!put_draft(pending, batch, i))
                return false;
    }
    return true;
}

/* ---- a query ---- */

static bool has(const struct qp_pending *pending, enum qp_term_kind kind, struct qp_bytes name)
{
    return *slot_of(pending->terms, pending->term_size, sum_of(kind, name)) != 0;
}

static bool has_type(const struct qp_pending *pending, const struct qp_query *query,
                     const struct qp_query_item *item)
{
    for (size_t i = 0; i < item->type_count; i++)
        if (has(pending, QP_TERM_TYPE, query->types[item->first_type + i]))
            return true;
    return item->type_count == 0;
}

static bool may_match_item(const struct qp_pending *pending, const struct qp_query *query,
                           const struct qp_query_item *item)
{
    for (size_t i = 0; i < item->tag_count; i++)
        if (!has(pending, QP_TERM_TAG, query->tags[item->first_tag + i]))
            return false;
    return (item->stream.data == NULL || has(pending, QP_TERM_STREAM, item->stream)) &&
           (item->category.data == NULL || has(pending, QP_TERM_CATEGORY, item->category)) &&
           has_type(pending, query, item);
}

static bool may_match(const struct qp_pending *pending, const struct qp_query *query)
{
    for (size_t i = 0; i < query->item_count; i++)
        if (may_match_item(pending, query, &query->items[i]))
            return true;
    return query->item_count == 0;
}

int qp_pending_match(struct qp_pending *pending, const struct qp_query *query, uint64_t after,
                     uint64_t *position, quipu_error *error)
{
    if (pending->count == 0 || QP_MUTANT(GROUP_CONDITION))
        return QUIPU_OK;
    if (!sum_up(pending))
        return qp_fail_memory(error);
    if (!may_match(pending, query))
        return QUIPU_OK;
    for (size_t i = 0; i < pending->count; i++) {
        const struct qp_pending_batch *one = &pending->batches[i];

        for (size_t j = 0; j < one->batch->draft_count; j++) {
            struct qp_record record;

            *position = one->first_position + j;
            if (*position <= after)
                continue;
            read_draft(one->batch, j, &record);
            if (qp_query_matches(query, &record))
                return QUIPU_ROW;
        }
    }
    return QUIPU_OK;
}
