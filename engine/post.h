/* post.h - groups of batches handed to who has the store lock, by a process that waits for it.
 *
 * Flat combining (Hendler, Incze, Shavit and Tzafrir, 2010) with processes in the place of threads.
 * Each process has a box in the mapped file `post`. It puts a group there, and waits for the lock
 * or for the answer. Who has the lock may take groups along in its own transaction, and puts what
 * became of them where they were. Only who has the lock takes and answers; only its owner puts,
 * withdraws and reads:
 *
 *     EMPTY --- put ---> POSTED --- take ---> TAKEN --- answer ---> DONE --- read ---> EMPTY
 *                           `--- withdraw ---> EMPTY
 *
 * An owner that has the lock itself and finds its box TAKEN knows that who took it is dead. Then
 * the plan, which stood in the box before the commit, says whether it was committed. */
#ifndef QP_POST_H
#define QP_POST_H

#include "origin.h"
#include "place.h"
#include "queue.h"

struct qp_post_file; /* its layout is post.c's business */

/* A box has a number, and belongs to one process after the other: these are counted. */
struct qp_post_owner {
    unsigned box;
    uint32_t generation;
};

/* A zeroed one is not open: then nothing is handed over. */
struct qp_post {
    struct qp_post_file *file;
    struct qp_post_owner own;
};

/* Under the door, beside others: make the file if there is none of this `shared` yet. What fails is
 * no failure of the store's: nothing is handed over then. */
void qp_post_make(const struct qp_place *place, uint64_t shared_inode);

/* Map it, if it is there and of this `shared`. */
void qp_post_open(struct qp_post *post, const struct qp_place *place, uint64_t shared_inode,
                  struct qp_post_owner own);
void qp_post_close(struct qp_post *post);

/* ---- its owner ---- */

/* So many batches a box holds at most. Of records it is given so many bytes that there mostly is
 * room for steps, drafts and names beside them; a group that still does not fit is not put. */
#define QP_POST_BATCHES_MAX 40
#define QP_POST_BYTES_MAX   (20 * QP_KIB)

/* The owner has the store lock: nobody else looks at its box. */
void qp_post_empty(struct qp_post *post);

/* Put a group. false: there is no file, it does not fit, it has what cannot be handed over (a
 * query, a flush), or the box is not empty. */
bool qp_post_put(struct qp_post *post, const struct qp_request *group);

/* Does the group that was put wait to be taken? Was it answered? If neither, somebody has it. */
bool qp_post_waits(const struct qp_post *post);
bool qp_post_answered(const struct qp_post *post);

enum qp_post_state {
    QP_POST_WITHDRAWN, /* nobody has seen it */
    QP_POST_TAKEN,     /* somebody has it: commits it now, or is dead */
    QP_POST_DONE       /* what became of it stands in the group */
};

/* Withdraw the group that was put, or read what became of it. */
enum qp_post_state qp_post_end(struct qp_post *post, struct qp_request *group);

/* Where the log ends if the group that was taken was committed. false: nothing was planned. Then
 * nothing of it is in: it was not decided yet, or its transaction writes marks alone and so nothing
 * of this group. */
bool qp_post_plan_of(const struct qp_post *post, uint64_t *position, uint64_t *chain);

/* It was committed, though who took it is dead: read what was planned. */
void qp_post_read_plan(struct qp_post *post, struct qp_request *group);

/* ---- who has the store lock ---- */

/* What was taken out of one box. */
struct qp_parcel {
    struct qp_parcel *next;
    unsigned box;
    struct qp_request *first; /* a list of its own, until it is joined with others */
    struct qp_request *last;
    size_t count;
};

/* How many groups are there to be taken? */
size_t qp_post_count(const struct qp_post *post);

/* Take them all but the own one. What there is no memory for stays where it is, and so does what
 * was put by one of which nobody knows whether it lives: it has its own turn. What a process has
 * put that is not there any more is thrown away, also if another one has its box by now: it would
 * be committed at some later time, when somebody has looked already and found that it is not in.
 * Memory: the caller's until qp_post_free(). */
typedef enum qp_origin_life (*qp_post_lives_fn)(void *payload, struct qp_post_owner owner);
struct qp_parcel *qp_post_take(struct qp_post *post, qp_post_lives_fn lives, void *payload);

/* For anybody: is a group in a box, taken or not, whose process is not there any more? For who has
 * the lock: throw such groups away. Those that were taken are in by now, or never will be. */
bool qp_post_any_of_dead(const struct qp_post *post, qp_post_lives_fn lives, void *payload);
void qp_post_drop_dead(struct qp_post *post, qp_post_lives_fn lives, void *payload);

/* Before the commit: what will have become of them if the log then ends at this position. */
void qp_post_plan(struct qp_post *post, const struct qp_parcel *parcels, uint64_t position,
                  uint64_t chain);

/* Say what became of them: what was planned, or what stands in them now. Before the lock is given
 * back. */
void qp_post_answer(struct qp_post *post, const struct qp_parcel *parcels, bool as_planned);

void qp_post_free(struct qp_parcel *parcels);

#endif
