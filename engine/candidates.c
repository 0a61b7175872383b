/* candidates.c - an item is an intersection of lists, a query the union of its items.
 *
 *     item 1   tag customer:7      5 .... 90 ......... 400        the shortest drives
 *              category order      5 6 7 . 90 91 .. 399 401       400 is not in it: passed over
 *     item 2   type OrderPaid      7 ... 90 ... 300
 *                                  |    |      |
 *     candidates                   5  7 90    300                 each position once
 *
 * To ask a list whether it has a position costs little where it is about as dense as the one that
 * drives; a much longer one costs a search in the index for each, as much as the record itself:
 * that is left to who holds the record against the query. Types are alternatives: if they are the
 * shortest together, each drives a source of its own.
 *
 * Knows no records, no versions, and nothing of what is hidden or damaged. */
#include "candidates.h"

#include "postings.h"
#include "status.h"

#include <assert.h>

/* A list of up to so many times the length of the one that drives is asked. A window of 512 entries
 * then serves 8 candidates or more. */
enum { DENSITY_MAX = 64 };

struct list {
    struct qp_postings *postings;
    uint64_t count;
    uint64_t position; /* it stands at; 0: at its end */
};

/* What the lists have in common; the first one drives. */
struct source {
    struct list *lists;
    size_t count;
    size_t capacity;
    uint64_t position; /* 0: at its end */
};

struct qp_candidates {
    struct qp_moment *moment;
    struct qp_candidates_range range;
    struct source *sources;
    size_t count;
    size_t capacity;
    uint64_t position;
};

static void free_source(struct source *source)
{
    for (size_t i = 0; i < source->count; i++)
        qp_postings_free(source->lists[i].postings);
    qp_free(source->lists);
    *source = (struct source){0};
}

void qp_candidates_close(struct qp_candidates *candidates)
{
    if (candidates == NULL)
        return;
    for (size_t i = 0; i < candidates->count; i++)
        free_source(&candidates->sources[i]);
    qp_free(candidates->sources);
    qp_free(candidates);
}

/* ---- going on ---- */

static bool in_range(const struct qp_candidates *candidates, uint64_t position)
{
    return position > candidates->range.after && position <= candidates->range.upto;
}

/* Does `left` come before `right` in the direction that is read? */
static bool comes_before(const struct qp_candidates *candidates, uint64_t left, uint64_t right)
{
    return candidates->range.backwards ? left > right : left < right;
}

/* To the list's next entry. */
static int step(struct list *list, quipu_error *error)
{
    uint64_t number;
    int rc = qp_postings_next(list->postings, &list->position, &number, error);

    if (rc == QUIPU_OK)
        list->position = 0;
    return rc < 0 ? rc : QUIPU_OK;
}

/* To its first entry that does not come before `position`. */
static int skip(struct list *list, uint64_t position, quipu_error *error)
{
    int rc = qp_postings_skip(list->postings, position, error);

    return rc == QUIPU_OK ? step(list, error) : rc;
}

/* From where the first list stands on: the first position that all have. */
static int agree(const struct qp_candidates *candidates, struct source *source, quipu_error *error)
{
    struct list *first = &source->lists[0];
    size_t i = 1;
    int rc = QUIPU_OK;

    while (i < source->count && in_range(candidates, first->position)) {
        struct list *list = &source->lists[i];

        if (comes_before(candidates, list->position, first->position))
            rc = skip(list, first->position, error);
        if (rc < 0)
            return rc;
        if (list->position == first->position) {
            i++;
            continue;
        }
        first->position = list->position;
        if (list->position == 0)
            break;
        rc = skip(first, list->position, error);
        if (rc < 0)
            return rc;
        i = 1;
    }
    source->position = in_range(candidates, first->position) ? first->position : 0;
    return QUIPU_OK;
}

/* Where the nearest source stands. */
static void choose(struct qp_candidates *candidates)
{
    candidates->position = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        uint64_t position = candidates->sources[i].position;

        if (position != 0 &&
            (candidates->position == 0 || comes_before(candidates, position, candidates->position)))
            candidates->position = position;
    }
}

uint64_t qp_candidates_at(const struct qp_candidates *candidates)
{
    return candidates->position;
}

/* Every source that stands there goes on: a position comes once, however many items have it. */
int qp_candidates_pass(struct qp_candidates *candidates, quipu_error *error)
{
    uint64_t position = candidates->position;

    assert(position != 0);
    candidates->position = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        struct source *source = &candidates->sources[i];
        int rc;

        if (source->position != position)
            continue;
        rc = step(&source->lists[0], error);
        if (rc == QUIPU_OK)
            rc = agree(candidates, source, error);
        if (rc < 0)
            return rc;
    }
    choose(candidates);
    return QUIPU_OK;
}

size_t qp_candidates_peek(const struct qp_candidates *candidates, uint64_t *positions, size_t max)
{
    for (size_t i = 0; i < candidates->count; i++)
        if (candidates->sources[i].position == candidates->position)
            return qp_postings_peek(candidates->sources[i].lists[0].postings, positions, max);
    return 0;
}

/* ---- which lists ---- */

/* A list becomes the source's: the shortest stands first. */
static int add_list(struct source *source, const struct list *list, quipu_error *error)
{
    struct list *first;

    if (!qp_array_reserve(&source->lists, &source->capacity, source->count + 1, sizeof(*list))) {
        qp_postings_free(list->postings);
        return qp_fail_memory(error);
    }
    first = &source->lists[0];
    source->lists[source->count++] = *list;
    if (list->count < first->count) {
        source->lists[source->count - 1] = *first;
        *first = *list;
    }
    return QUIPU_OK;
}

/* Positions count here, of a stream too. `*total` grows by the list's length; NULL: nobody asks. */
static int add_term(struct qp_candidates *candidates, struct source *source, enum qp_term_kind kind,
                    struct qp_bytes name, uint64_t *total, quipu_error *error)
{
    struct list list = {0};
    int rc = qp_postings_new(candidates->moment, kind, name, &list.postings, error);

    if (rc < 0) {
        qp_postings_free(list.postings);
        return rc;
    }
    list.postings->by_number = false;
    list.count = rc == QUIPU_ROW ? qp_postings_count(list.postings) : 0;
    if (total != NULL)
        *total += list.count;
    return add_list(source, &list, error);
}

/* All lists that every event of the item is in. Of several types none is such a list. */
static int open_all(struct qp_candidates *candidates, const struct qp_query *query,
                    const struct qp_query_item *item, struct source *source, quipu_error *error)
{
    int rc = QUIPU_OK;

    if (item->stream.data != NULL)
        rc = add_term(candidates, source, QP_TERM_STREAM, item->stream, NULL, error);
    if (rc == QUIPU_OK && item->category.data != NULL)
        rc = add_term(candidates, source, QP_TERM_CATEGORY, item->category, NULL, error);
    for (size_t i = 0; i < item->tag_count && rc == QUIPU_OK; i++)
        rc = add_term(candidates, source, QP_TERM_TAG, query->tags[item->first_tag + i], NULL,
                      error);
    if (rc == QUIPU_OK && item->type_count == 1)
        rc =
            add_term(candidates, source, QP_TERM_TYPE, query->types[item->first_type], NULL, error);
    return rc;
}

/* Begin at the range's near end. The lists that are asked stand where they are asked first. */
static int start(struct qp_candidates *candidates, struct source *source, quipu_error *error)
{
    bool backwards = candidates->range.backwards;
    uint64_t bound = backwards ? candidates->range.upto : candidates->range.after;
    int rc = QUIPU_OK;

    assert(source->count > 0);
    for (size_t i = 0; i < source->count && rc == QUIPU_OK; i++) {
        rc = qp_postings_seek(source->lists[i].postings, backwards, bound, error);
        if (rc == QUIPU_OK)
            rc = step(&source->lists[i], error);
    }
    for (size_t i = 0; i < source->count; i++)
        if (source->lists[i].position == 0)
            return rc; /* nothing is in all of them */
    return rc == QUIPU_OK ? agree(candidates, source, error) : rc;
}

/* The source becomes one of the candidates', whatever the outcome. */
static int add_source(struct qp_candidates *candidates, struct source *source, quipu_error *error)
{
    if (!qp_array_reserve(&candidates->sources, &candidates->capacity, candidates->count + 1,
                          sizeof(*candidates->sources))) {
        free_source(source);
        return qp_fail_memory(error);
    }
    candidates->sources[candidates->count++] = *source;
    return start(candidates, &candidates->sources[candidates->count - 1], error);
}

/* Lists that are too long to be asked go. */
static void drop_long(struct source *source)
{
    uint64_t most = source->lists[0].count * DENSITY_MAX;
    size_t kept = 1;

    for (size_t i = 1; i < source->count; i++) {
        if (source->lists[i].count <= most)
            source->lists[kept++] = source->lists[i];
        else
            qp_postings_free(source->lists[i].postings);
    }
    source->count = kept;
}

/* A source for each type, or none of them if together they are not shorter than `most`.
 * `*added` says which. */
static int add_types(struct qp_candidates *candidates, const struct qp_query *query,
                     const struct qp_query_item *item, uint64_t most, bool *added,
                     quipu_error *error)
{
    struct source types = {0}; /* the lists side by side, until it is known that they are used */
    uint64_t total = 0;
    int rc = QUIPU_OK;

    *added = false;
    for (size_t i = 0; i < item->type_count && rc == QUIPU_OK && total < most; i++)
        rc = add_term(candidates, &types, QP_TERM_TYPE, query->types[item->first_type + i], &total,
                      error);
    *added = rc == QUIPU_OK && total < most;
    while (rc == QUIPU_OK && *added && types.count > 0) {
        struct source one = {0};

        rc = add_list(&one, &types.lists[--types.count], error);
        if (rc == QUIPU_OK)
            rc = add_source(candidates, &one, error);
    }
    free_source(&types);
    return rc;
}

/* *everything: the item has no term. A term that does not occur is a list of nothing, and nothing
 * is the shortest list there is. */
static int add_item(struct qp_candidates *candidates, const struct qp_query *query,
                    const struct qp_query_item *item, bool *everything, quipu_error *error)
{
    struct source source = {0};
    bool added = false;
    int rc = open_all(candidates, query, item, &source, error);

    *everything = source.count == 0 && item->type_count == 0;
    if (rc == QUIPU_OK && item->type_count > 1)
        rc = add_types(candidates, query, item,
                       source.count > 0 ? source.lists[0].count : UINT64_MAX, &added, error);
    if (rc < 0 || added || source.count == 0) {
        free_source(&source);
        return rc;
    }
    drop_long(&source);
    return add_source(candidates, &source, error);
}

int qp_candidates_open(struct qp_moment *moment, const struct qp_query *query,
                       const struct qp_candidates_range *range, struct qp_candidates **out,
                       quipu_error *error)
{
    struct qp_candidates *candidates = qp_zalloc(sizeof(*candidates));
    bool everything = query->item_count == 0;
    int rc = QUIPU_OK;

    *out = NULL;
    if (candidates == NULL)
        return qp_fail_memory(error);
    candidates->moment = moment;
    candidates->range = *range;
    for (size_t i = 0; i < query->item_count && rc == QUIPU_OK && !everything; i++)
        rc = add_item(candidates, query, &query->items[i], &everything, error);
    if (rc < 0 || everything) {
        qp_candidates_close(candidates);
        return rc;
    }
    choose(candidates);
    *out = candidates;
    return QUIPU_ROW;
}
