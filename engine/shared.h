/* shared.h - a few pages that all processes of a store map: the store lock, flags, the store's
 * clock, a slot for each process, and the counts on which they sleep.
 *
 * Made whole by a sole opener under a temporary name and renamed, never resized or rewritten in
 * place. Never unmapped while a thread holds the lock or waits for it. Nothing in it survives the
 * last close in meaning: the next sole opener makes it anew. */
#ifndef QP_SHARED_H
#define QP_SHARED_H

#include "origin.h"
#include "place.h"

#include <pthread.h>

struct qp_shared_page; /* its layout is shared.c's business */

struct qp_shared {
    struct qp_shared_page *page; /* NULL: not open */
    uint64_t inode;
    unsigned slot;            /* this process's */
    uint32_t generation;      /* which of those that have had the slot it is */
    pthread_mutex_t watching; /* for `watched`. A leaf */
    struct qp_origin_watch watched[QP_PROCESSES_MAX]; /* those in the slots, once asked for */
};

enum qp_shared_flag {
    QP_SHARED_POISONED,       /* a flush of the log failed: nobody writes */
    QP_SHARED_INDEX_POISONED, /* the same of the index: nobody merges */
    QP_SHARED_MERGING,        /* a merge is under way, or its process died in it */
    QP_SHARED_LAZY_SEEN,      /* a lazy handle was opened since the last sole opener */
    QP_SHARED_UNSETTLED,      /* the sole opener could only read: a writer must settle the files */
    QP_SHARED_FLAGS
};

/* A sole opener, under the door: make the file anew with these flags and the clock's anchor.
 * Returns: OK; FULL; UNSAFE: the directory does not let us; NO_MEMORY; SYSTEM. */
int qp_shared_create(const struct qp_place *place, const bool flags[QP_SHARED_FLAGS],
                     int64_t anchor_ns, quipu_error *error);

/* The flags of a file that a sole opener finds; all false if it cannot be understood, or is not
 * there. Returns: is there one? */
bool qp_shared_peek(const struct qp_place *place, bool flags[QP_SHARED_FLAGS]);

/* Map it and take a slot, under the door. UNSAFE: missing, or made under another boot, pid
 * namespace, time namespace or machine type. BUSY: no slot is free. */
int qp_shared_open(const struct qp_place *place, struct qp_shared *shared, quipu_error *error);

/* Give the slot back and unmap. Not in a forked child: there slot and map are the parent's. */
void qp_shared_close(struct qp_shared *shared);

bool qp_shared_get(const struct qp_shared *shared, enum qp_shared_flag flag);
void qp_shared_set(struct qp_shared *shared, enum qp_shared_flag flag, bool value);

/* The store's clock before it is compared with what was recorded: it cannot be set back. */
int64_t qp_shared_now_ns(const struct qp_shared *shared);

/* When this process began the oldest snapshot that it holds, on the store's clock; 0: it holds
 * none. For others to look at: 0 if there is no such process. */
void qp_shared_set_reading(struct qp_shared *shared, int64_t since_ns);
int64_t qp_shared_reading(const struct qp_shared *shared, uint32_t pid);

/* Is the process there that had this slot in this generation? Any thread may ask. */
enum qp_origin_life qp_shared_lives(struct qp_shared *shared, unsigned slot, uint32_t generation);

/* ---- the store lock: who holds it writes the log ---- */

enum qp_lock_state {
    QP_LOCK_TAKEN = 0,
    QP_LOCK_INHERITED, /* taken, and the one who held it died: settle the log before all else */
    QP_LOCK_TIMEOUT,
    QP_LOCK_LOST /* cannot be taken any more: reopen */
};

/* Wait until `deadline_ns` on the monotonic clock. `*holder` is a pid for the message. */
enum qp_lock_state qp_shared_lock(struct qp_shared *shared, int64_t deadline_ns, uint32_t *holder);

/* What an owner that unlocked knows of those who may have the lock next. */
struct qp_hand_over {
    bool awaited;      /* some process asked for it */
    uint32_t acquired; /* how often it had been taken until then */
};

/* Release it; after a commit, qp_shared_wake(). */
struct qp_hand_over qp_shared_unlock(struct qp_shared *shared, bool committed);

/* Does another process wait for it just now? */
bool qp_shared_others_wait(const struct qp_shared *shared);

/* For who waits for the lock or for something else, whichever comes first: say so and learn how
 * often this process was rung, look for the one, try the other, await the next ring. Who has the
 * lock by then rings one process after its unlock; who dies rings nobody. `waiting` is false for
 * who waits for the other thing alone. */
uint32_t qp_shared_ask(struct qp_shared *shared, bool waiting);
bool qp_shared_await(struct qp_shared *shared, uint32_t rung, int64_t timeout_ns);

/* Ring the process in that slot: what it waited for beside the lock is there. It asks no more. */
void qp_shared_ring(struct qp_shared *shared, unsigned slot);

/* Let a process that waits go first: a plain mutex would be taken again before it wakes. At most a
 * few milliseconds; between the two calls the lock is free and nothing is owed. */
void qp_shared_stand_back(struct qp_shared *shared, struct qp_hand_over hand_over);

/* ---- until somebody commits ---- */

/* Read it, look for events, and sleep as long as it is the same: then none is missed. */
uint32_t qp_shared_commits(const struct qp_shared *shared);

/* Sleep until another count than `commits`. false: the time was over; true may have no reason. */
bool qp_shared_sleep(struct qp_shared *shared, uint32_t commits, int64_t timeout_ns);

/* Count a commit, and wake who sleeps, in all processes. No system call if nobody does. Who is to
 * look again for another reason, as at a close, is woken by the same count. */
void qp_shared_wake(struct qp_shared *shared);

/* ---- who is it? For messages ---- */

/* The pid of another process in a slot, 0 if there is none. */
uint32_t qp_shared_other_pid(const struct qp_shared *shared);

/* The same before the file is open here, of any process. */
uint32_t qp_shared_peek_pid(const struct qp_place *place);

/* Who merges: set by the one who has the merger's byte of the guard. 0: nobody. */
void qp_shared_set_merger(struct qp_shared *shared, uint32_t pid);
uint32_t qp_shared_merger(const struct qp_shared *shared);

#endif
