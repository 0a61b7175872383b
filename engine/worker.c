/* worker.c - asking sets a word under a lock, so that nothing that is asked for while the thread
 * works, or just before it sleeps, is forgotten. Many times before it begins are one. */
#include "worker.h"

#include "status.h"

#include <assert.h>
#include <signal.h>

static void *run(void *payload)
{
    struct qp_worker *worker = payload;

    (void)pthread_mutex_lock(&worker->lock);
    while (!worker->ending) {
        if (!worker->asked) {
            (void)pthread_cond_wait(&worker->wake, &worker->lock);
            continue;
        }
        worker->asked = false;
        (void)pthread_mutex_unlock(&worker->lock);
        worker->work(worker->payload);
        (void)pthread_mutex_lock(&worker->lock);
    }
    (void)pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* Signals are blocked while it is made, as a thread inherits the mask: they are the program's,
 * meant for threads of its own. */
int qp_thread_start(pthread_t *thread, const char *name, void *(*body)(void *payload),
                    void *payload, quipu_error *error)
{
    sigset_t all;
    sigset_t before;
    int os_error;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    os_error = pthread_create(thread, NULL, body, payload);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (os_error != 0)
        return qp_fail_os(error, QUIPU_SYSTEM, os_error, "start the thread %s", name);
    (void)pthread_setname_np(*thread, name);
    return QUIPU_OK;
}

int qp_worker_start(struct qp_worker *worker, const char *name, void (*work)(void *payload),
                    void *payload, quipu_error *error)
{
    int rc;

    assert(!worker->started);
    worker->work = work;
    worker->payload = payload;
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_cond_init(&worker->wake, NULL);
    rc = qp_thread_start(&worker->thread, name, run, worker, error);
    if (rc < 0) {
        (void)pthread_cond_destroy(&worker->wake);
        (void)pthread_mutex_destroy(&worker->lock);
        return rc;
    }
    worker->started = true;
    return QUIPU_OK;
}

bool qp_worker_ask(struct qp_worker *worker)
{
    if (!worker->started)
        return false;
    (void)pthread_mutex_lock(&worker->lock);
    worker->asked = true;
    (void)pthread_cond_signal(&worker->wake);
    (void)pthread_mutex_unlock(&worker->lock);
    return true;
}

void qp_worker_end(struct qp_worker *worker)
{
    if (!worker->started)
        return;
    (void)pthread_mutex_lock(&worker->lock);
    worker->ending = true;
    (void)pthread_cond_signal(&worker->wake);
    (void)pthread_mutex_unlock(&worker->lock);
    (void)pthread_join(worker->thread, NULL);
    (void)pthread_cond_destroy(&worker->wake);
    (void)pthread_mutex_destroy(&worker->lock);
    *worker = (struct qp_worker){0};
}
