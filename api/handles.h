/* handles.h - what the public handles are, for the files of api/ only. */
#ifndef QP_HANDLES_H
#define QP_HANDLES_H

#include "batch.h"
#include "handle.h"

#include <stdatomic.h>

/* One open store of this process: counted, and kept until its last child is closed. */
struct quipu {
    struct quipu *next; /* in the registry */
    struct qp_handle *handle;
    uint64_t device;
    uint64_t inode;
    long pid;               /* whose it is: a forked child has no part in it */
    unsigned opens;         /* 0: closed, and waiting for its children */
    unsigned children;      /* readers, lists, waits; a close that waits */
    unsigned commits;       /* calls that commit, from their first look at the store to their end */
    bool changing;          /* being opened or closed by some thread */
    atomic_uint generation; /* children of an earlier one are closed */
};

/* What each handle that came from a store begins with. */
struct qp_child {
    quipu *store;
    unsigned generation;
};

struct quipu_batch {
    struct qp_batch batch;
    struct qp_request request; /* of an asynchronous commit; then the batch is the library's */
    quipu_committed_fn done;
    void *payload;
};

/* What a callback that makes events is lent: by `kind` what stands behind it. */
enum qp_page_kind { QP_PAGE_UPCAST = 1, QP_PAGE_PROJECT = 2 };

struct quipu_page {
    enum qp_page_kind kind;
    struct qp_upcast *upcast;   /* UPCAST: takes the results */
    struct qp_folding *folding; /* PROJECT: the page of a projection */
};

/* May this store be used? Returns: OK; MISUSE; FORKED. */
int qp_api_enter(const quipu *store, quipu_error *error);

/* The same for a call that commits: until it ends, which it must after OK, a close waits for it. */
int qp_api_begin_commit(quipu *store, quipu_error *error);
void qp_api_end_commit(quipu *store);

void qp_child_begin(quipu *store, struct qp_child *child);

/* Returns: OK; MISUSE; FORKED; CLOSED. */
int qp_child_enter(const struct qp_child *child, quipu_error *error);

/* The last child of a closed store closes its files. In a forked child nothing may be freed: false.
 */
bool qp_child_may_end(const struct qp_child *child);
void qp_child_end(const struct qp_child *child);

/* As quipu_open(); with `any_options` a handle that is open already is taken as it is. Returns: OK:
 * opened; ROW: it was open; and as quipu_open(). */
int qp_api_acquire(const char *path, const quipu_options *options, bool any_options, quipu **out,
                   quipu_error *error);

/* Run something on a store that nobody of this process has open, and nobody opens meanwhile: BUSY
 * if somebody has. `run` may take the place over. Else what `run` returns, or as quipu_open(). */
typedef int (*qp_api_alone_fn)(struct qp_place *place, const quipu_options *options, void *payload,
                               quipu_error *error);
int qp_api_run_alone(const char *path, qp_api_alone_fn run, void *payload, quipu_error *error);

/* What calls of a fold begin with. `*own` is the fold in our release's struct. MISUSE, INVALID,
 * TOO_LARGE. */
int qp_api_check_fold(const quipu_fold *fold, const char *stream, quipu_fold *own,
                      quipu_error *error);

/* Bring a struct of the caller's release into ours. MISUSE: it is of a newer one. */
int qp_struct_in(const void *given, size_t size, void *out, const char *what, quipu_error *error);

/* Give ours back to a caller whose release may have a shorter or a longer one: what we do not know
 * is 0 there. */
void qp_struct_out(const void *own, size_t size, void *out);

#endif
