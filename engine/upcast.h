/* upcast.h - what stored events are handed out as: the upcasters of a handle, and one event's way
 * through them (docs/ARCHITECTURE.md 4.4).
 *
 *     qp_upcast_begin(&upcast, &handle->upcasters, false);
 *     for each stored event: qp_upcast_event(), then qp_upcast_next() until it gives NULL
 *     qp_upcast_release(&upcast); */
#ifndef QP_UPCAST_H
#define QP_UPCAST_H

#include "memory.h"

#include <pthread.h>
#include <stdatomic.h>

struct qp_upcast;
struct qp_upcast_table;
struct qp_upcast_step;

/* Calls upcaster->up with the public handle of `out`, into which that emits. */
typedef int (*qp_upcast_fn)(const quipu_upcaster *upcaster, const quipu_event *event,
                            struct qp_upcast *out, quipu_error *error);

/* What is registered. It only grows, so that who reads needs no lock. */
struct qp_upcasters {
    pthread_mutex_t lock;                    /* of who registers; a leaf */
    _Atomic(struct qp_upcast_table *) table; /* NULL: nothing is registered */
    atomic_uint count;
};

void qp_upcasters_init(struct qp_upcasters *upcasters);
void qp_upcasters_release(struct qp_upcasters *upcasters); /* when nobody reads any more */

/* Copied. Returns as quipu_register_upcaster(). Any thread. */
int qp_upcasters_add(struct qp_upcasters *upcasters, const quipu_upcaster *given, qp_upcast_fn call,
                     quipu_error *error);

struct qp_upcast_piece {
    quipu_event event;
    size_t offset; /* of its type, tags, data and meta, in `bytes` */
    size_t size;
    size_t tags_size;
    const struct qp_upcast_step *step; /* that it has to go through; NULL: it is a result */
};

struct qp_upcast_list {
    struct qp_upcast_piece *pieces;
    size_t count;
    size_t capacity;
    struct qp_buffer bytes;
};

/* One event's way. A zeroed one knows no upcasters, and hands out what it is given. Its memory is
 * used again from event to event. One thread at a time. */
struct qp_upcast {
    const struct qp_upcast_table *table; /* as it was at the begin */
    unsigned known;                      /* how many of its steps are meant */
    bool backwards;                      /* results come in the reverse order */
    const quipu_event *plain;            /* no step is for it, and it was not handed out yet */
    struct qp_upcast_list lists[2];
    struct qp_upcast_list *results;
    size_t left; /* of them */
    /* For a step under way: */
    const quipu_event *input;
    struct qp_upcast_list *out;
    quipu_error failure; /* of the first emit that failed */
};

/* What is registered by now is what all of its events see. `backwards`: the results of each come
 * in the reverse order. */
void qp_upcast_begin(struct qp_upcast *upcast, struct qp_upcasters *upcasters, bool backwards);
void qp_upcast_release(struct qp_upcast *upcast);

/* Is there nothing that it could do? The one test that a store without upcasters costs. */
static inline bool qp_upcast_idle(const struct qp_upcast *upcast)
{
    return upcast->table == NULL;
}

/* Take a stored event, which must live until its last result was taken. It has none after a
 * failure. Returns: OK; INVALID, TOO_LARGE: what an upcaster made; NO_MEMORY; what `up` returned,
 * with a text. */
int qp_upcast_event(struct qp_upcast *upcast, const quipu_event *event, quipu_error *error);

/* Its next result, which lives until the next event is taken. NULL: there is no more. */
const quipu_event *qp_upcast_next(struct qp_upcast *upcast);

/* How many are still to come; and from the first on again, of the event that was taken. */
size_t qp_upcast_left(const struct qp_upcast *upcast);
void qp_upcast_again(struct qp_upcast *upcast, const quipu_event *event);

/* For `up`: a result. What is wrong with it is remembered, and fails the event. */
int qp_upcast_emit(struct qp_upcast *upcast, const char *stream, const quipu_draft *draft);

#endif
