/* readers.h - who holds snapshots of the log, in all processes. */
#ifndef QP_READERS_H
#define QP_READERS_H

#include "handle.h"

struct qp_reader_info {
    uint32_t pid;
    uint64_t lag; /* transactions that it is behind the newest */
    int64_t
        since_ns;  /* when its process began the oldest snapshot that it holds; 0: nobody knows */
    char name[64]; /* of the process; "" if nobody knows it */
};

struct qp_readers {
    struct qp_reader_info *all; /* the one furthest behind first */
    size_t count;
    size_t capacity;
};

/* Those of now whose process's name begins with `prefix`. NO_MEMORY. Release it in any case. */
int qp_readers_collect(struct qp_handle *handle, struct qp_bytes prefix, struct qp_readers *readers,
                       quipu_error *error);
void qp_readers_release(struct qp_readers *readers);

#endif
