/* origin.h - where a process runs: who agrees in it may share memory, futexes and pids. And which
 * process a pid is. */
#ifndef QP_ORIGIN_H
#define QP_ORIGIN_H

#include "base.h"

/* No padding, and zeroed first: compared as bytes. */
struct qp_origin {
    uint8_t boot[40]; /* the kernel's boot id as text */
    uint64_t pid_namespace;
    uint64_t time_namespace; /* by their inodes; 0: this kernel has none of the kind */
};

/* This process's own. SYSTEM: no /proc. */
int qp_origin_read(struct qp_origin *origin, quipu_error *error);

/* When a process began, in clock ticks since boot: tells a pid from its next use. 0: no such one.
 * NOT_KNOWN: there is one, but /proc does not say, for want of a descriptor or because it hides the
 * processes of others. */
#define QP_ORIGIN_NOT_KNOWN UINT64_MAX
uint64_t qp_origin_start_time(uint32_t pid);

/* A process that is asked for often. Zeroed: none yet. */
struct qp_origin_watch {
    uint32_t pid;
    int fd; /* of the process itself, as its pid may be another's once it is gone; -1: none */
    uint64_t start_time;
};

enum qp_origin_life {
    QP_ORIGIN_GONE = 0,
    QP_ORIGIN_LIVES,
    QP_ORIGIN_MAY_LIVE /* nobody says: neither is to be relied on */
};

/* Does the process live that had this pid and start time? The first time this is what
 * qp_origin_start_time() costs; then one system call, for which a descriptor is kept. */
enum qp_origin_life qp_origin_lives(struct qp_origin_watch *watch, uint32_t pid,
                                    uint64_t start_time);
void qp_origin_unwatch(struct qp_origin_watch *watch);

#endif
