/* verify_rows.h - all rows of an open store, held against each other. */
#ifndef QP_VERIFY_ROWS_H
#define QP_VERIFY_ROWS_H

#include "handle.h"

struct qp_verify_calls {
    quipu_finding_fn found;     /* may be NULL */
    quipu_progress_fn progress; /* may be NULL */
    void *payload;
    bool index_told; /* that the index cannot be used is known: it is not there on purpose */
};

/* Fills all of `out` but struct_size. Returns as quipu_verify(). */
int qp_verify_rows(struct qp_handle *handle, const struct qp_verify_calls *calls,
                   quipu_verified *out, quipu_error *error);

/* One finding, for what is found before there is a handle. Returns what `found` returned. */
int qp_verify_tell(const struct qp_verify_calls *calls, quipu_verified *out,
                   const quipu_finding *finding);

#endif
