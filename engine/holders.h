/* holders.h - who holds snapshots of the log, in all processes. */
#ifndef QP_HOLDERS_H
#define QP_HOLDERS_H

#include "handle.h"

struct qp_holder {
    uint32_t pid;
    uint64_t lag;  /* transactions that it is behind the newest */
    char name[64]; /* of the process; "" if nobody knows it */
};

struct qp_holders {
    struct qp_holder *all; /* the one furthest behind first */
    size_t count;
    size_t capacity;
};

/* Those of now whose process's name begins with `prefix`. NO_MEMORY. Release it in any case. */
int qp_holders_collect(struct qp_handle *handle, struct qp_bytes prefix, struct qp_holders *holders,
                       quipu_error *error);
void qp_holders_release(struct qp_holders *holders);

#endif
