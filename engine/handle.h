/* handle.h - what an open store is in one process. How it is opened and closed: open.h.
 *
 * Owns the directory, the locks, both files, the tail, the pool of snapshots and the queue of
 * commits. One handle a store and process: the registry above sees to it. */
#ifndef QP_HANDLE_H
#define QP_HANDLE_H

#include "guard.h"
#include "meta.h"
#include "place.h"
#include "post.h"
#include "queue.h"
#include "registered.h"
#include "shared.h"
#include "tail.h"
#include "txn.h"
#include "upcast.h"
#include "worker.h"

#include <stdatomic.h>

struct qp_moment;
struct qp_edge;

/* What a snapshot of the log shows at a glance. */
struct qp_glance {
    uint64_t transaction;
    uint64_t head;
};

enum qp_wait_kind {
    QP_WAIT_HEAD,   /* for events */
    QP_WAIT_COMMIT, /* for any transaction */
    QP_WAIT_KINDS
};

/* Threads that wait for commits: one sleeps on the word in `shared`, the others here (wait.c). */
struct qp_waiting {
    pthread_mutex_t lock; /* a leaf */
    pthread_cond_t changed[QP_WAIT_KINDS];
    unsigned asleep[QP_WAIT_KINDS];
    bool watched;          /* one of them watches */
    struct qp_glance seen; /* the newest that a watcher saw */
    uint64_t untold;       /* looks that found a commit, and nobody had woken the watcher */
};

/* Why a load has passed over a snapshot (keep.c). */
enum qp_ignored {
    QP_IGNORED_DAMAGED = 0,
    QP_IGNORED_STALE,   /* the event that it stands at is not there, or its stream was changed */
    QP_IGNORED_REFUSED, /* the fold could not load it */
    QP_IGNORED_VERSION, /* of another version of the fold */
    QP_IGNORED_NEWER,   /* than what was asked for: nothing is wrong with it */
    QP_IGNORED_KINDS
};

struct qp_handle {
    struct qp_place place;
    struct qp_guard guard;
    struct qp_shared shared;
    struct qp_store *log;
    struct qp_store *index; /* NULL: open for reading only, and there is no valid one */
    uint64_t log_inode;
    quipu_options options; /* with defaults filled in */
    bool read_only;
    bool opened;        /* all the way: to be closed with all steps */
    bool index_refused; /* there was one when it was opened, and it did not fit */
    bool index_damaged; /* its pages were walked, and it must not be mapped */
    uint8_t uuid[16];
    struct qp_tail tail;
    struct qp_queue queue;
    struct qp_post post; /* the leader's, as the next two */
    bool post_ready;     /* the own box was emptied: what stands in it we have put */
    size_t parcels;      /* that were taken along last time */
    struct qp_waiting waiting;
    struct qp_registered registered;
    atomic_ullong inliner; /* the thread that folds inline projections now; 0: none does */
    /* Folds inline projections in a write transaction of the log (inline.c). Set once, before
     * registered.inlines is above 0. */
    int (*fold_inline)(struct qp_handle *handle, struct qp_txn *txn, uint64_t head_before,
                       struct qp_edge *edge, bool *written, quipu_error *error);
    struct qp_worker merger;      /* its work: merge.c */
    atomic_bool merging;          /* a thread of this process merges */
    atomic_ullong unmerged;       /* events, as the last commit saw it */
    atomic_ullong snapshots_used; /* by loads */
    atomic_ullong snapshots_ignored[QP_IGNORED_KINDS];
    uint64_t seen;             /* the log's newest transaction that a leader has looked at */
    pthread_mutex_t pool_lock; /* a leaf */
    struct qp_moment *pool;    /* snapshots at rest */
    unsigned pool_count;
    struct qp_moment *oldest; /* of those in use, in the order in which they began */
    struct qp_moment *newest;
    struct qp_upcasters upcasters;
    unsigned char *alive; /* a page that is wiped in a forked child */
};

/* Fill in defaults and check limits and flags. MISUSE, TOO_LARGE. */
int qp_options_resolve(const quipu_options *given, quipu_options *out, quipu_error *error);

/* In a forked child nothing of a handle may be used. */
bool qp_handle_forked(const struct qp_handle *handle);

/* Tell the application's log. level: 0 information, 1 warning. */
void qp_handle_tell(const struct qp_handle *handle, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
