/* tail.h - where terms occur in what the index does not have yet: (base, top], in memory.
 *
 *     base                                        top
 *      |--- segment ---|--- segment ---|--- segment --|      oldest ... newest, without gaps
 *
 * A process's own. Segments are contiguous, only ever added to at the end, and dropped from the
 * front only, when the index was seen to hold them and nobody has them pinned: a pinned one keeps
 * all after it, because a reader with an older index may still come. One lock, a leaf of the lock
 * order. */
#ifndef QP_TAIL_H
#define QP_TAIL_H

#include "batch.h"
#include "log.h"
#include "segment.h"

#include <pthread.h>

struct qp_tail {
    pthread_mutex_t lock;
    struct qp_segment *oldest;
    struct qp_segment *newest;
    uint64_t base;
    uint64_t top;
    size_t bytes; /* of all segments, also of those only pinned */
};

/* What a snapshot holds of the tail: the segments over (indexed, head]. */
struct qp_pin {
    struct qp_segment *first; /* NULL: nothing is between the two */
    struct qp_segment *last;
    uint64_t indexed;
    uint64_t head;
    bool damaged; /* a position in these segments has no readable record */
};

void qp_tail_init(struct qp_tail *tail, uint64_t base);
void qp_tail_release(struct qp_tail *tail);

/* Fold up to `head` from the cursor's transaction, and pin (indexed, head].
 * Returns: ROW: pinned; OK: the tail begins after `indexed`: take a newer snapshot of the index
 * first, there is one; NO_MEMORY, CORRUPT: the log has a hole too large to be told, NEWER_FORMAT,
 * IO. */
int qp_tail_pin(struct qp_tail *tail, uint64_t indexed, uint64_t head, struct qp_log_cursor *log,
                struct qp_pin *pin, quipu_error *error);
void qp_tail_unpin(struct qp_tail *tail, struct qp_pin *pin);

/* For a merge. What the tail has now never changes again: later events go to a new segment. */
void qp_tail_seal(struct qp_tail *tail);

/* Pin the sealed segments from `indexed` on, of at most QP_MERGE_EVENTS and none beyond `head`.
 * `pin->first` is NULL if there is none. */
void qp_tail_pin_sealed(struct qp_tail *tail, uint64_t indexed, uint64_t head, struct qp_pin *pin);

/* The index was seen committed up to here. */
void qp_tail_prune(struct qp_tail *tail, uint64_t indexed);

/* Take the drafts of a committed batch, of those above `top`. Memory that is out is no failure: the
 * next who pins folds them from the log. */
void qp_tail_publish(struct qp_tail *tail, const struct qp_batch *batch, uint64_t first_position);

uint64_t qp_tail_bytes(struct qp_tail *tail);

/* ---- looking things up in what is pinned ---- */

/* The newest entry of a term in (indexed, head]. false: none. */
bool qp_tail_newest(struct qp_tail *tail, const struct qp_pin *pin, const struct qp_key *key,
                    uint64_t *number, uint64_t *position);

/* How many entries a term has in (indexed, head], those not known included. */
uint64_t qp_tail_count(struct qp_tail *tail, const struct qp_pin *pin, const struct qp_key *key);

/* The first position after `after` in (indexed, head] of an event with this id, in a stream with
 * this sum: name as qp_key_id_name() has it. 0: none. */
uint64_t qp_tail_id(struct qp_tail *tail, const struct qp_pin *pin,
                    const uint8_t name[QP_ID_NAME_BYTES], uint64_t after);

/* A way through a term's chunks. */
struct qp_tail_run {
    const struct qp_segment *segment; /* NULL: there is none */
    const struct qp_list_chunk *chunk;
};

void qp_tail_first(struct qp_tail *tail, const struct qp_pin *pin, const struct qp_key *key,
                   bool backwards, struct qp_tail_run *run);
void qp_tail_next(struct qp_tail *tail, const struct qp_pin *pin, const struct qp_key *key,
                  bool backwards, struct qp_tail_run *run);

/* Copy the run's positions (QP_CHUNK_OFFSETS_MAX fit) as far as they are in (indexed, head];
 * `*first` is the number of the first of them. Returns how many. */
size_t qp_tail_copy(struct qp_tail *tail, const struct qp_pin *pin, const struct qp_tail_run *run,
                    uint64_t *positions, uint64_t *first);

/* Call `visit` for each term of a kind whose name begins with `prefix`, once a segment, with what
 * of it is in (indexed, head]. Under the tail's lock: short. false stops. */
struct qp_tail_term {
    struct qp_bytes name;
    uint64_t first; /* number of the first entry */
    uint64_t count;
    uint64_t first_position;
    uint64_t last_position;
};
typedef bool (*qp_tail_visit_fn)(void *payload, const struct qp_tail_term *term);
bool qp_tail_each(struct qp_tail *tail, const struct qp_pin *pin, enum qp_term_kind kind,
                  struct qp_bytes prefix, qp_tail_visit_fn visit, void *payload);

#endif
