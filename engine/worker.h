/* worker.h - a thread that does one thing whenever it is asked to, and sleeps in between. */
#ifndef QP_WORKER_H
#define QP_WORKER_H

#include "base.h"

#include <pthread.h>

/* A zeroed one is no thread. */
struct qp_worker {
    pthread_mutex_t lock; /* a leaf; not held while it works */
    pthread_cond_t wake;
    pthread_t thread;
    void (*work)(void *payload);
    void *payload;
    bool started;
    bool asked; /* since its work last began */
    bool ending;
};

/* A thread in which no signal is ever handled. `name` is what `ps -T` and debuggers show, at most
 * 15 bytes. Returns: OK; SYSTEM: the system gives no more threads. */
int qp_thread_start(pthread_t *thread, const char *name, void *(*body)(void *payload),
                    void *payload, quipu_error *error);

/* As qp_thread_start(). */
int qp_worker_start(struct qp_worker *worker, const char *name, void (*work)(void *payload),
                    void *payload, quipu_error *error);

/* Let it work; if it does so just now, once more. false: there is no thread. */
bool qp_worker_ask(struct qp_worker *worker);

/* Wait for the work under way. What was asked for and has not begun is left undone. */
void qp_worker_end(struct qp_worker *worker);

#endif
