/* postings.h - one term's occurrences in order, from anywhere, in either direction: its blocks, the
 * entries in its row, and the tail's, seen as one list. */
#ifndef QP_POSTINGS_H
#define QP_POSTINGS_H

#include "moment.h"

struct qp_postings {
    struct qp_moment *moment;
    struct qp_key key;
    bool backwards;
    bool versioned; /* a stream's: its blocks are found by version */
    bool by_number; /* ranges count in versions; the caller may clear it: in positions */
    bool in_index;
    uint8_t part; /* which part the window is of: enum in postings.c */
    struct qp_term_row row;
    struct qp_cursor blocks;
    struct qp_tail_run run;
    bool linked;   /* a part of the index was entered, and `link` is what the next must fit */
    uint64_t link; /* forward its last known position, backwards the base that it counts from */
    uint64_t first_key; /* of the block that was looked for */
    uint64_t first;     /* number of the window's first entry */
    size_t count;
    size_t at; /* the next one: forward window[at], backwards window[at - 1] */
    uint64_t window[QP_BLOCK_POSITIONS];
};

/* Find a term. Of an id only the index's part: a segment keeps ids apart, see qp_tail_id().
 * Returns: ROW: it occurs in the index or the tail; OK: it does not; CORRUPT; IO.
 * Release it in any case. qp_postings_new() makes one on the heap, to be freed in any case:
 * NO_MEMORY too. */
int qp_postings_open(struct qp_postings *postings, struct qp_moment *moment, enum qp_term_kind kind,
                     struct qp_bytes name, quipu_error *error);
void qp_postings_release(struct qp_postings *postings);
int qp_postings_new(struct qp_moment *moment, enum qp_term_kind kind, struct qp_bytes name,
                    struct qp_postings **out, quipu_error *error);
void qp_postings_free(struct qp_postings *postings); /* takes NULL */

/* Forward: the next entry will be the first after `bound`; backwards: the last at or before it. */
int qp_postings_seek(struct qp_postings *postings, bool backwards, uint64_t bound,
                     quipu_error *error);

/* After a seek, and by position: go on so that the next entry will be the first at or after
 * `position`, backwards the last at or before it. Cheap where it is not far. */
int qp_postings_skip(struct qp_postings *postings, uint64_t position, quipu_error *error);

/* Returns: ROW with the position, and for a stream the version; OK: no more; CORRUPT; IO. */
int qp_postings_next(struct qp_postings *postings, uint64_t *position, uint64_t *number,
                     quipu_error *error);

/* Both: the first entry after `bound`, or backwards the last up to there. */
int qp_postings_find(struct qp_postings *postings, bool backwards, uint64_t bound,
                     uint64_t *position, uint64_t *number, quipu_error *error);

/* The positions of the window that come next, at most `max`: what will be read soon. */
size_t qp_postings_peek(const struct qp_postings *postings, uint64_t *positions, size_t max);

/* About how many entries there are: to choose the shortest list. */
uint64_t qp_postings_count(const struct qp_postings *postings);

#endif
