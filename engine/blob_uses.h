/* blob_uses.h - which rows have a long value, for who holds rows against each other: a value of two
 * of them goes with the first that goes. */
#ifndef QP_BLOB_USES_H
#define QP_BLOB_USES_H

#include "base.h"

/* A zeroed one is empty. */
struct qp_blob_uses {
    uint64_t *numbers;
    size_t count;
    size_t capacity;
};

void qp_blob_uses_release(struct qp_blob_uses *uses);

/* A row has that value; 0: it has none. Returns: OK; NO_MEMORY. */
int qp_blob_uses_add(struct qp_blob_uses *uses, uint64_t number, quipu_error *error);

/* After the last row: the next number that several rows have, from the lowest on; `*at` is 0 at
 * first. 0: there is no more. */
uint64_t qp_blob_uses_shared(struct qp_blob_uses *uses, size_t *at);

#endif
