/* guard.h - the byte-range locks that order opening, closing and merging over all processes.
 *
 * Locks belong to an open file description, so they are the handle's, not the process's: they do
 * not vanish when somebody else in the process closes the file, and a forked child that closes its
 * descriptor releases nothing. Two locks of one handle never conflict: what orders its threads is
 * the caller's business. Nobody waits in the kernel (two blocking upgrades deadlock unseen): each
 * millisecond is a try, until a deadline. */
#ifndef QP_GUARD_H
#define QP_GUARD_H

#include "place.h"

enum qp_guard_byte {
    QP_GUARD_DOOR = 0,  /* exclusive around open and close */
    QP_GUARD_LIFE = 1,  /* shared as long as a handle lives; exclusive: sole user */
    QP_GUARD_MERGER = 2 /* exclusive while the index is written */
};

enum qp_guard_mode { QP_GUARD_SHARED, QP_GUARD_EXCLUSIVE };

struct qp_guard {
    int fd; /* -1: not open */
    uint64_t inode;
};

/* Open the file, making it if it is missing. UNSAFE: it cannot be written. */
int qp_guard_open(const struct qp_place *place, struct qp_guard *guard, quipu_error *error);

/* Closes the descriptor, which ends its locks unless a forked parent still has it. */
void qp_guard_close(struct qp_guard *guard);

/* One try. Returns: ROW: got it, OK: somebody else has it; SYSTEM. Also changes a lock held. */
int qp_guard_try(const struct qp_guard *guard, enum qp_guard_byte byte, enum qp_guard_mode mode,
                 quipu_error *error);

/* Tries until `deadline_ns` on the monotonic clock. BUSY. */
int qp_guard_lock(const struct qp_guard *guard, enum qp_guard_byte byte, enum qp_guard_mode mode,
                  int64_t deadline_ns, quipu_error *error);
void qp_guard_unlock(const struct qp_guard *guard, enum qp_guard_byte byte);

/* Does an LMDB environment hold the first byte of this lock file? Only while this process has none
 * open on it: closing the file ends this process's own POSIX locks. */
int qp_guard_probe(const struct qp_place *place, const char *lock_file, bool *held,
                   quipu_error *error);

#endif
