/* registered.h - the projections that a process has given to its handle: inline ones, which its
 * commits fold, and live ones, which are folded when somebody looks. */
#ifndef QP_REGISTERED_H
#define QP_REGISTERED_H

#include "base.h"

#include <pthread.h>
#include <stdatomic.h>

struct qp_projection;

/* One of them. Nothing of it changes once it is in the list. */
struct qp_registered_item {
    struct qp_registered_item *next;
    struct qp_projection *projection;
    void (*free_projection)(struct qp_projection *projection);
};

struct qp_registered {
    pthread_mutex_t lock;                      /* of who registers; a leaf */
    _Atomic(struct qp_registered_item *) list; /* the newest first; readers take no lock */
    atomic_uint inlines;                       /* of them */
};

void qp_registered_init(struct qp_registered *registered);

/* Put one at the front. With the lock held. */
void qp_registered_put(struct qp_registered *registered, struct qp_registered_item *item);

/* When nobody uses the handle any more. */
void qp_registered_release(struct qp_registered *registered);

#endif
