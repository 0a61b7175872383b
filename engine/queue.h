/* queue.h - where the batches of a process wait for their commit, who leads, and who is told.
 *
 * Knows threads and nothing of the store. A leader takes a group from the front, commits it, and
 * completes it; what is asynchronous in it is told by a function, one at a time, in the order of
 * their commits. */
#ifndef QP_QUEUE_H
#define QP_QUEUE_H

#include "batch.h"

#include <pthread.h>
#include <semaphore.h>

enum qp_request_state { QP_REQUEST_WAITING, QP_REQUEST_LEADING, QP_REQUEST_TOLD };

/* One batch on its way. A leader writes into it until it is told; then it is its owner's again, and
 * may be gone at once. */
struct qp_request {
    struct qp_request *next; /* in the queue, then in the group, then among those to be told */
    struct qp_batch *batch;  /* NULL: only to be told once all before it are durable */
    void (*done)(struct qp_request *request); /* NULL: a thread waits for it */
    quipu_receipt receipt;
    quipu_error error;
    int status;
    enum qp_request_state state; /* of one that a thread waits for */
    sem_t wake;                  /* the same: its own, as waking one must not wake them all */
};

struct qp_queue {
    pthread_mutex_t lock; /* a leaf */
    struct qp_request *first;
    struct qp_request *last;
    size_t waiting;  /* of those in the queue, how many have a thread */
    size_t gathered; /* how many had one since the last gathering: so many may come again */
    bool leading;
    unsigned closing;             /* who close: nothing is taken from a `done` any more */
    struct qp_request *completed; /* asynchronous, to be told */
    struct qp_request *last_completed;
    bool telling;
    pthread_t teller;
    size_t pending;       /* asynchronous: in the queue, in a group, or to be told */
    uint64_t submitted;   /* asynchronous, ever */
    uint64_t told;        /* of these */
    pthread_cond_t moved; /* one was told, or nobody leads any more */
    unsigned movers;      /* who wait for that */
};

void qp_queue_init(struct qp_queue *queue);
void qp_queue_release(struct qp_queue *queue);

/* Join with a request that this thread waits for, and sleep until it is told, or is to lead. */
void qp_queue_join(struct qp_queue *queue, struct qp_request *request);

/* Join with one that nobody waits for. At most `most` of them are pending: else wait, or help.
 * Returns: OK; ROW: the caller leads, and is to complete a group, hand on, and come again;
 * BUSY: there is no room, and the caller is telling, so that it must not wait; CLOSED. */
int qp_queue_submit(struct qp_queue *queue, struct qp_request *request, size_t most,
                    quipu_error *error);

/* For the leader, before it holds anything: those who were told just now come again, if they do,
 * within the time that it takes to run them once. A group that does not wait for them is a flush
 * for nearly nobody, and they wait for it. At most a fraction of a millisecond. */
#define QP_GATHER_NS 200000 /* less than a flush takes */
void qp_queue_gather(struct qp_queue *queue);

/* For the leader: the front of the queue as a list of its own, of at most so many batches and
 * bytes; NULL if it is empty. The first is taken whatever its size. */
struct qp_request *qp_queue_take(struct qp_queue *queue, size_t batches_max, size_t bytes_max);

/* Each request of the group has its outcome. Those that threads wait for are told; the others are
 * told by qp_queue_tell(). */
void qp_queue_complete(struct qp_queue *queue, struct qp_request *group);

/* Somebody else leads, if anybody is there to. */
void qp_queue_hand_on(struct qp_queue *queue);

/* Tell those that have ended, unless another thread does. Holding nothing. */
void qp_queue_tell(struct qp_queue *queue);

/* Is this thread within a `done`? */
bool qp_queue_is_telling(struct qp_queue *queue);

/* How many asynchronous ones were submitted so far, and: wait until so many are told. Somebody must
 * have led them, or lead now: those that are submitted later wait for whoever comes. */
uint64_t qp_queue_count_submitted(struct qp_queue *queue);
void qp_queue_wait_told(struct qp_queue *queue, uint64_t count);

/* From one to the other no `done` can submit another one: nobody would commit it. The first returns
 * how many are pending. */
size_t qp_queue_begin_close(struct qp_queue *queue);
void qp_queue_end_close(struct qp_queue *queue);

#endif
