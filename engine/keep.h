/* keep.h - snapshots of folds, as loads use and leave them (docs/ARCHITECTURE.md 4.4): which one a
 * load may begin at, when its state is worth keeping, and how it gets into the index. */
#ifndef QP_KEEP_H
#define QP_KEEP_H

#include "moment.h"
#include "snapshot.h"

/* What `save` writes into. */
struct quipu_buffer {
    struct qp_buffer bytes;
    int status; /* of the first put that failed */
};

/* One fold of one stream. Begun by qp_keep_init(), released in the end. */
struct qp_keep {
    struct qp_handle *handle;
    const quipu_fold *fold;
    struct qp_snapshot at;     /* where the state stands that is folded: without its bytes */
    bool strict;               /* may be set: what cannot be read is a failure, not passed over */
    bool wanted;               /* the policies are asked */
    uint64_t newest;           /* at least so many versions will be folded; 0: nobody knows */
    uint64_t events;           /* since the last snapshot, or since what the load began at */
    uint64_t bytes;            /* of their data and meta */
    struct qp_snapshot due;    /* version 0: nothing is to be saved */
    struct quipu_buffer saved; /* the state of `due` */
    struct qp_buffer assembly; /* the state of a snapshot that was found */
};

void qp_keep_init(struct qp_keep *keep, struct qp_handle *handle, const quipu_fold *fold,
                  const char *stream);
void qp_keep_release(struct qp_keep *keep);

/* Before each load: the state is the initial one. What is due stays so. */
void qp_keep_restart(struct qp_keep *keep);

/* Has a fold states that can be kept at all: `save` and `load`, or bytes that say all? */
bool qp_keep_can(const quipu_fold *fold);

/* Has it a policy, by which loads save? */
bool qp_keep_asks(const quipu_fold *fold);

/* The newest snapshot at or below version `upto` that a load as of `at` may begin at, with its
 * state, which lives until the next call or the end of the moment. Those that may not be used are
 * counted. Returns: ROW; OK: there is none; NO_MEMORY; of who is strict CORRUPT, IO too. */
int qp_keep_find(struct qp_keep *keep, struct qp_moment *moment, const quipu_point *at,
                 uint64_t upto, struct qp_snapshot *out, quipu_error *error);

/* Does a snapshot stand at an event of this moment, and is all of its stream still seen? `record`
 * is that event then. */
bool qp_keep_usable(struct qp_moment *moment, const struct qp_snapshot *snapshot,
                    struct qp_record *record);

/* Count one that is passed over; the first of a kind is told to the application's log. */
void qp_keep_ignore(struct qp_keep *keep, enum qp_ignored why, const struct qp_snapshot *snapshot);

/* The state stands at this snapshot now. */
void qp_keep_begin(struct qp_keep *keep, const struct qp_snapshot *snapshot);

/* An event was folded into `state`: if a policy says so its bytes are kept, in the place of those
 * that were kept before. */
void qp_keep_folded(struct qp_keep *keep, const void *state, const quipu_event *event,
                    uint64_t chain);

/* Keep the state as it stands, whatever the policies say. Returns: OK; NO_MEMORY; TOO_LARGE; what
 * `save` returned if that was below 0, MISUSE if it was above. */
int qp_keep_take(struct qp_keep *keep, const void *state, quipu_error *error);

/* What it took. */
struct qp_bytes qp_keep_taken(const struct qp_keep *keep);

/* Save what was kept, if nobody else writes the index now; else it is left to a later load. Holding
 * no transaction. What fails is only told to the application's log. */
void qp_keep_save(struct qp_keep *keep);

/* The same, waiting for who writes the index. Returns: OK; CORRUPT: the event that it stands at is
 * not there; FULL; as qp_merger_wait(), qp_merger_log() and qp_merger_commit(). */
int qp_keep_save_now(struct qp_keep *keep, quipu_error *error);

#endif
