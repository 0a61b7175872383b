/* segment.h - a piece of the tail: where each term occurs in (after, upto], in memory.
 *
 *     table -> list (key, first, count) -> chunk <-> chunk <-> chunk      offsets from `after`
 *     ids   -> id, stream -> offset
 *
 * Only ever added to at its end; lists and chunks never move. Knows no locks: its owner has them.
 */
#ifndef QP_SEGMENT_H
#define QP_SEGMENT_H

#include "ids.h"
#include "record.h"

#define QP_CHUNK_OFFSETS_MAX 512 /* as many as a block of the index has */

struct qp_list_chunk {
    struct qp_list_chunk *older;
    struct qp_list_chunk *newer;
    uint64_t first; /* number of the first entry here */
    uint16_t count;
    uint16_t capacity;
    uint32_t offsets[]; /* position - after; 0: not known, the record was damaged */
};

/* Most are of streams with an event or two in the segment: every byte here is there 10 000 times.
 */
struct qp_term_list {
    struct qp_list_chunk *oldest;
    struct qp_list_chunk *newest;
    uint64_t first; /* number of the first entry: a version; of other terms 0, 1 ... */
    uint32_t count;
    uint32_t first_offset;
    uint32_t last_offset;
    uint16_t key_size;
    uint8_t key[]; /* as in `terms` */
};

struct qp_segment {
    uint64_t after;
    uint64_t upto;
    struct qp_segment *older; /* the owner's list */
    struct qp_segment *newer;
    unsigned pins;
    bool linked;
    bool sealed;  /* the owner adds nothing more */
    bool damaged; /* it has positions whose record cannot be read */
    struct qp_arena arena;
    struct qp_term_list **table;
    uint32_t *hashes;  /* after the table: of each list, 0 where there is none */
    size_t table_size; /* a power of two, at least twice the lists */
    struct qp_term_list
        *recent[2]; /* of the newest event's category and type: mostly the next's too */
    size_t list_count;
    struct qp_ids ids; /* numbers are offsets: ids are terms too, each of an entry or two */
};

struct qp_segment *qp_segment_new(uint64_t after); /* NULL: memory is out */
void qp_segment_free(struct qp_segment *segment);
size_t qp_segment_bytes(const struct qp_segment *segment);

/* Add the event at upto + 1. What does not fit what is known of its stream counts as damaged.
 * false: memory is out, and `upto` is as before; what is known of lost versions may have grown. */
bool qp_segment_add(struct qp_segment *segment, const struct qp_record *record);

/* Add the position upto + 1, whose record cannot be read. */
bool qp_segment_add_damaged(struct qp_segment *segment);

/* NULL: the term does not occur. `hash` is qp_segment_hash() of the key: one for all segments. */
uint32_t qp_segment_hash(const struct qp_key *key);
const struct qp_term_list *qp_segment_find(const struct qp_segment *segment,
                                           const struct qp_key *key, uint32_t hash);

/* All lists in the order of their keys; the array is the caller's to qp_free(). NULL: memory. */
const struct qp_term_list **qp_segment_sorted(const struct qp_segment *segment, size_t *list_count);

/* A chunk's positions, 0 where not known. */
void qp_chunk_positions(const struct qp_segment *segment, const struct qp_list_chunk *chunk,
                        uint64_t *positions);

#endif
