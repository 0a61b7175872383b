/* registered.h - the projections that a process has given to its handle: inline ones, which its
 * commits fold, and live ones, which are folded when somebody looks. */
#ifndef QP_REGISTERED_H
#define QP_REGISTERED_H

#include "base.h"

#include <pthread.h>
#include <stdatomic.h>

struct qp_projection;

struct qp_registered {
    pthread_mutex_t lock; /* held while an inline one folds */
    struct qp_projection **items;
    size_t count;
    size_t capacity;
    atomic_uint inlines; /* of them */
    void (*free_item)(struct qp_projection *item);
};

void qp_registered_init(struct qp_registered *registered);

/* When nobody uses the handle any more. */
void qp_registered_release(struct qp_registered *registered);

#endif
