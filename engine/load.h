/* load.h - folding a stream into state. */
#ifndef QP_LOAD_H
#define QP_LOAD_H

#include "handle.h"
#include "keep.h"

/* Returns as quipu_load(); the arguments were checked. Saves a snapshot if one is due. */
int qp_load(struct qp_handle *handle, const quipu_fold *fold, const char *stream,
            const quipu_point *at, void *state, uint64_t *version, quipu_error *error);

/* The same in steps, for who has something else to do before a snapshot is saved, or loads again
 * and again: what is due then is the last one's. */
struct qp_load {
    struct qp_handle *handle;
    const quipu_fold *fold;
    const char *stream;
    quipu_point at;
    bool afresh;  /* may be set: begin at no snapshot, and ask no policy */
    bool unasked; /* may be set: ask no policy */
    bool live;    /* the state is to be released */
    struct qp_keep keep;
};

void qp_load_init(struct qp_load *load, struct qp_handle *handle, const quipu_fold *fold,
                  const char *stream, const quipu_point *at);
int qp_load_run(struct qp_load *load, void *state, uint64_t *version, quipu_error *error);
void qp_load_release(struct qp_load *load);

#endif
