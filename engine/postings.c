/* postings.c - a window over 512 entries moves from part to part:
 *
 *     block  block  block ... | the row's own | chunk  chunk ... of each pinned segment
 *     `------- the index -------------------' `------- the tail ----------------------'
 *
 * Each part knows its first entry's number, so that a stream's versions need no counting: the
 * number of window[i] is first + i. An entry of 0 has a number and no position, and is passed over.
 *
 * Parts of the index also know what position the part before them ends at. While the window moves
 * from one to the next the two are compared: a block that is lost is told, not passed over. Nothing
 * is clipped here but to the moment; ranges are the reader's. */
#include "postings.h"

#include "status.h"

#include <assert.h>

static_assert(QP_CHUNK_OFFSETS_MAX <= QP_BLOCK_POSITIONS, "a chunk of the tail fits the window");

enum part { PART_NONE = 0, PART_BLOCK, PART_ROW, PART_TAIL };

/* Field by field: the window is most of it, and is filled before it is looked at. The tail is asked
 * only if the index does not have the term: one place is enough to know that it occurs. */
int qp_postings_open(struct qp_postings *postings, struct qp_moment *moment, enum qp_term_kind kind,
                     struct qp_bytes name, quipu_error *error)
{
    int rc = QUIPU_OK;

    assert(moment->txn != NULL);
    postings->moment = moment;
    postings->versioned = kind == QP_TERM_STREAM;
    postings->by_number = postings->versioned;
    postings->in_index = false;
    postings->blocks = (struct qp_cursor){0};
    postings->run = (struct qp_tail_run){0};
    postings->backwards = false;
    postings->first = 0;
    postings->linked = false;
    postings->link = 0;
    postings->part = PART_NONE;
    postings->count = 0;
    postings->at = 0;
    qp_key_term(&postings->key, kind, name);
    if (moment->handle->index != NULL)
        rc = qp_index_term(&moment->index_txn, qp_key_bytes(&postings->key), &postings->row, error);
    if (rc < 0)
        return rc;
    postings->in_index = rc == QUIPU_ROW;
    if (postings->in_index)
        return QUIPU_ROW;
    qp_tail_first(&moment->handle->tail, &moment->pin, &postings->key, false, &postings->run);
    if (postings->run.segment == NULL)
        return QUIPU_OK;
    /* What the index does not have begins in the tail: a stream with its first version. */
    if (postings->versioned && postings->run.chunk->first > 1 && !qp_moment_damaged(moment))
        return qp_index_damaged("the row", qp_key_bytes(&postings->key), error);
    return QUIPU_ROW;
}

void qp_postings_release(struct qp_postings *postings)
{
    qp_cursor_close(&postings->blocks);
}

/* The window is large and filled before it is looked at: no zeroes for it. */
int qp_postings_new(struct qp_moment *moment, enum qp_term_kind kind, struct qp_bytes name,
                    struct qp_postings **out, quipu_error *error)
{
    *out = qp_resize(NULL, sizeof(**out));
    return *out != NULL ? qp_postings_open(*out, moment, kind, name, error) : qp_fail_memory(error);
}

void qp_postings_free(struct qp_postings *postings)
{
    if (postings == NULL)
        return;
    qp_postings_release(postings);
    qp_free(postings);
}

/* About: entries without a position count, as telling them apart would mean to read them. */
uint64_t qp_postings_count(const struct qp_postings *postings)
{
    uint64_t tail =
        qp_tail_count(&postings->moment->handle->tail, &postings->moment->pin, &postings->key);

    return tail + (postings->in_index ? postings->row.count : 0);
}

/* ---- parts ---- */

/* Does entry `i` lie after `bound`? One whose position is not known lies where one looks from: in
 * either direction it is passed over. */
static bool is_after(const struct qp_postings *postings, size_t i, uint64_t bound)
{
    if (postings->by_number)
        return postings->first + i > bound;
    if (postings->window[i] == 0)
        return postings->backwards;
    return postings->window[i] > bound;
}

/* A window of `count` entries, to be read from its near end. The caller fills it. */
static void enter(struct qp_postings *postings, enum part part, uint64_t first, size_t count)
{
    assert(count <= QP_BLOCK_POSITIONS);
    postings->part = (uint8_t)part;
    postings->first = first;
    postings->count = count;
    postings->at = postings->backwards ? count : 0;
}

/* CORRUPT. The window is empty from here on: what comes next cannot be told. */
static int lost_block(struct qp_postings *postings, quipu_error *error)
{
    enter(postings, PART_NONE, 0, 0);
    return qp_index_damaged("a block", qp_key_bytes(&postings->key), error);
}

/* A part of the index: what it counts from is where the part before it ends. If that does not fit,
 * a block between the two is missing. */
static int enter_index(struct qp_postings *postings, struct qp_bytes deltas, uint64_t base,
                       quipu_error *error)
{
    uint64_t last;

    if (!qp_deltas_read(deltas, base, postings->window, postings->count))
        return qp_index_damaged("the positions", qp_key_bytes(&postings->key), error);
    last = qp_last_known(postings->window, postings->count, base);
    if (last > postings->moment->indexed.position)
        return qp_index_damaged("the newest position", qp_key_bytes(&postings->key), error);
    if (postings->linked && postings->link != (postings->backwards ? last : base))
        return lost_block(postings, error);
    postings->linked = true;
    postings->link = postings->backwards ? base : last;
    return QUIPU_OK;
}

static int enter_block(struct qp_postings *postings, const struct qp_block_row *block,
                       uint64_t first, quipu_error *error)
{
    enter(postings, PART_BLOCK, first, block->count);
    return enter_index(postings, block->deltas, block->base, error);
}

static int enter_row(struct qp_postings *postings, quipu_error *error)
{
    const struct qp_term_row *row = &postings->row;

    assert(postings->in_index);
    enter(postings, PART_ROW, row->first + row->count - row->inline_count, row->inline_count);
    return enter_index(postings, row->deltas, row->base, error);
}

/* The part of a chunk that is in the moment, which may be none of it: then the window is empty, and
 * the walk goes on after it. */
static void enter_run(struct qp_postings *postings)
{
    uint64_t first = 0;
    size_t count = 0;

    if (postings->run.segment != NULL)
        count = qp_tail_copy(&postings->moment->handle->tail, &postings->moment->pin,
                             &postings->run, postings->window, &first);
    enter(postings, postings->run.segment != NULL ? PART_TAIL : PART_NONE, first, count);
}

/* The tail's near end: its oldest segment that has the term, backwards its newest. */
static void enter_tail(struct qp_postings *postings)
{
    qp_tail_first(&postings->moment->handle->tail, &postings->moment->pin, &postings->key,
                  postings->backwards, &postings->run);
    enter_run(postings);
}

/* A stream's blocks are keyed by version: to find a position among them, halve. All are full, so
 * that the k-th has a known key. Gives the key of the last block that counts from before
 * `position`: if any block has it, this one does. */
static int version_at(struct qp_postings *postings, uint64_t position, uint64_t *version,
                      quipu_error *error)
{
    const struct qp_term_row *row = &postings->row;
    uint64_t low = 0;
    uint64_t high = (row->count - row->inline_count) / QP_BLOCK_POSITIONS;

    assert(postings->versioned && !postings->by_number);
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        uint64_t wanted = row->first + middle * QP_BLOCK_POSITIONS;
        struct qp_block_row block = {0};
        uint64_t first = 0;
        int rc = qp_index_block(&postings->blocks, row, wanted, &block, &first, error);

        if (rc < 0)
            return rc;
        if (rc == QUIPU_OK || first != wanted)
            return lost_block(postings, error);
        if (block.base < position)
            low = middle;
        else
            high = middle;
    }
    *version = row->first + low * QP_BLOCK_POSITIONS;
    return QUIPU_OK;
}

/* From a block to the next: after the last comes the row, before the first nothing. */
static int next_block(struct qp_postings *postings, quipu_error *error)
{
    struct qp_block_row block = {0};
    uint64_t first = 0;
    int rc = qp_index_next_block(&postings->blocks, &postings->row, postings->backwards, &block,
                                 &first, error);

    if (rc < 0)
        return rc;
    if (rc == QUIPU_ROW)
        return enter_block(postings, &block, first, error);
    if (!postings->backwards)
        return enter_row(postings, error);
    if (postings->link != 0)
        return lost_block(postings, error); /* only the first one counts from 0 */
    enter(postings, PART_NONE, 0, 0);
    return QUIPU_OK;
}

/* Backwards, the block that was entered ends before `bound`: is the part after it really the next?
 * Else a block between the two, with entries up to `bound`, is missing. Forward the walk from the
 * block to the next part finds that out by itself. */
static int check_next(struct qp_postings *postings, quipu_error *error)
{
    struct qp_block_row block = {0};
    uint64_t first = 0;
    uint64_t base = postings->row.base; /* the row follows if no block does */
    int rc = qp_index_next_block(&postings->blocks, &postings->row, false, &block, &first, error);

    if (rc < 0)
        return rc;
    if (rc == QUIPU_ROW)
        base = block.base;
    if (base != qp_last_known(postings->window, postings->count, postings->link))
        return lost_block(postings, error);
    rc = qp_index_block(&postings->blocks, &postings->row, postings->first_key, &block, &first,
                        error); /* the cursor back to where it was */
    return rc < 0 ? rc : QUIPU_OK;
}

/* The block that has the entry at `bound`, or the nearest one before it, or the first. */
static int enter_block_at(struct qp_postings *postings, uint64_t bound, quipu_error *error)
{
    struct qp_block_row block = {0};
    uint64_t wanted = bound;
    uint64_t first = 0;
    /* Renewed if there was a seek before: index_txn is a reader's in every moment. */
    int rc =
        qp_cursor_open(&postings->blocks, &postings->moment->index_txn, QP_TABLE_BLOCKS, error);

    assert(postings->in_index && postings->row.number != 0);
    if (rc == QUIPU_OK && postings->versioned && !postings->by_number)
        rc = version_at(postings, bound, &wanted, error);
    if (rc == QUIPU_OK)
        rc = qp_index_block(&postings->blocks, &postings->row, wanted, &block, &first, error);
    if (rc < 0)
        return rc;
    if (rc == QUIPU_OK || (first > wanted && block.base != 0))
        return lost_block(postings, error); /* only a term's first block has none before it */
    postings->linked = false;               /* what lies between was passed over on purpose */
    postings->first_key = first;
    rc = enter_block(postings, &block, first, error);
    if (rc == QUIPU_OK && postings->backwards && !is_after(postings, postings->count - 1, bound))
        rc = check_next(postings, error);
    return rc;
}

/* Backwards from the row: its blocks, if it has any. */
static int blocks_before_row(struct qp_postings *postings, uint64_t bound, quipu_error *error)
{
    if (postings->row.number != 0)
        return enter_block_at(postings, bound, error);
    enter(postings, PART_NONE, 0, 0);
    return QUIPU_OK;
}

/* The part after this one, in the direction that is read. PART_NONE: there is none. */
static int next_part(struct qp_postings *postings, quipu_error *error)
{
    assert(postings->part != PART_NONE);
    switch (postings->part) {
    case PART_BLOCK:
        return next_block(postings, error);
    case PART_ROW:
        if (postings->backwards)
            return blocks_before_row(postings, UINT64_MAX, error);
        enter_tail(postings);
        return QUIPU_OK;
    default: /* PART_TAIL */
        qp_tail_next(&postings->moment->handle->tail, &postings->moment->pin, &postings->key,
                     postings->backwards, &postings->run);
        enter_run(postings);
        if (postings->part == PART_NONE && postings->backwards && postings->in_index)
            return enter_row(postings, error);
        return QUIPU_OK;
    }
}

/* ---- seek and step ---- */

/* Is the first entry after `bound` in the blocks? */
static bool before_row(const struct qp_postings *postings, uint64_t bound)
{
    const struct qp_term_row *row = &postings->row;

    if (row->number == 0)
        return false;
    /* By position: `base` is the last one in the blocks. */
    if (postings->by_number)
        return bound + 1 < row->first + row->count - row->inline_count;
    return bound < row->base;
}

/* Pass over what is not beyond `bound`, in the window. false: nothing of it is. */
static bool pass_over(struct qp_postings *postings, uint64_t bound)
{
    if (postings->backwards) {
        while (postings->at > 0 && is_after(postings, postings->at - 1, bound))
            postings->at--;
        return postings->at > 0;
    }
    while (postings->at < postings->count && !is_after(postings, postings->at, bound))
        postings->at++;
    return postings->at < postings->count;
}

/* Enter the part that may have the first entry after `bound`; pass over what is not after it. */
static int seek_forward(struct qp_postings *postings, uint64_t bound, quipu_error *error)
{
    int rc = QUIPU_OK;

    if (!postings->in_index)
        enter_tail(postings);
    else if (before_row(postings, bound))
        rc = enter_block_at(postings, bound + 1, error);
    else
        rc = enter_row(postings, error);
    while (rc == QUIPU_OK && postings->part != PART_NONE) {
        if (pass_over(postings, bound))
            break;
        rc = next_part(postings, error);
    }
    return rc;
}

/* The same from the newest part down. Below the row it searches, and does not go block by
 * block. */
static int seek_backwards(struct qp_postings *postings, uint64_t bound, quipu_error *error)
{
    int rc = QUIPU_OK;

    enter_tail(postings);
    if (postings->part == PART_NONE && postings->in_index)
        rc = enter_row(postings, error);
    while (rc == QUIPU_OK && postings->part != PART_NONE) {
        if (pass_over(postings, bound))
            break;
        if (postings->part == PART_ROW)
            rc = blocks_before_row(postings, bound, error);
        else
            rc = next_part(postings, error);
    }
    return rc;
}

/* What was read before the seek is no neighbour of what comes: the link is cut. */
int qp_postings_seek(struct qp_postings *postings, bool backwards, uint64_t bound,
                     quipu_error *error)
{
    postings->backwards = backwards;
    postings->linked = false;
    return backwards ? seek_backwards(postings, bound, error)
                     : seek_forward(postings, bound, error);
}

/* In the window if its far end is beyond, else by a search. */
int qp_postings_skip(struct qp_postings *postings, uint64_t position, quipu_error *error)
{
    bool backwards = postings->backwards;
    uint64_t bound = backwards ? position : position - 1;
    size_t far = backwards || postings->count == 0 ? 0 : postings->count - 1;

    assert(!postings->by_number && position > 0);
    if (postings->count == 0 || postings->window[far] == 0 ||
        is_after(postings, far, bound) == backwards)
        return qp_postings_seek(postings, backwards, bound, error);
    (void)pass_over(postings, bound);
    return QUIPU_OK;
}

/* In a loop, as a part may be empty, or hold nothing but entries without a position. */
int qp_postings_next(struct qp_postings *postings, uint64_t *position, uint64_t *number,
                     quipu_error *error)
{
    while (postings->part != PART_NONE) {
        size_t i;

        if (postings->at == (postings->backwards ? 0 : postings->count)) {
            int rc = next_part(postings, error);

            if (rc < 0)
                return rc;
            continue;
        }
        i = postings->backwards ? --postings->at : postings->at++;
        assert(i < postings->count);
        if (postings->window[i] == 0)
            continue; /* its record was damaged when the index was made */
        *position = postings->window[i];
        *number = postings->first + i;
        return QUIPU_ROW;
    }
    return QUIPU_OK;
}

/* Of this window alone: what comes after it is not decoded yet. */
int qp_postings_find(struct qp_postings *postings, bool backwards, uint64_t bound,
                     uint64_t *position, uint64_t *number, quipu_error *error)
{
    int rc = qp_postings_seek(postings, backwards, bound, error);

    return rc == QUIPU_OK ? qp_postings_next(postings, position, number, error) : rc;
}

size_t qp_postings_peek(const struct qp_postings *postings, uint64_t *positions, size_t max)
{
    size_t left = postings->backwards ? postings->at : postings->count - postings->at;
    size_t found = 0;

    assert(postings->at <= postings->count);
    for (size_t i = 0; i < left && found < max; i++) {
        size_t at = postings->backwards ? postings->at - 1 - i : postings->at + i;

        if (postings->window[at] != 0)
            positions[found++] = postings->window[at];
    }
    return found;
}
