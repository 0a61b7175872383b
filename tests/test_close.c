/* test_close.c - what a close waits for, and what readers leave behind. */
#include "handles.h"
#include "merge.h"
#include "support_suite.h"

#include <pthread.h>
#include <stdatomic.h>

SUPPORT_SUITE(close);

enum { EVENTS = 4096, STREAMS = 4096, ROUNDS = 8, READERS = 8 };

static quipu *open_with(const quipu_options *options)
{
    char path[SUPPORT_PATH_BYTES];
    quipu_error error = {0};
    quipu *store = NULL;

    cr_assert_eq(quipu_open(support_path(path, "store"), options, &store, &error), QUIPU_OK, "%s",
                 error.text);
    return store;
}

/* A full batch over many streams: with 1 MiB of tail each such commit merges. */
static quipu_batch *full_batch(void)
{
    const quipu_draft draft = {.type = "t"};
    quipu_batch *batch = quipu_batch_new();
    char name[32];

    cr_assert_not_null(batch);
    for (int i = 0; i < EVENTS; i++) {
        (void)snprintf(name, sizeof(name), "stream-%d", i % STREAMS);
        cr_assert_eq(quipu_batch_append(batch, name, QUIPU_ANY, &draft, 1), QUIPU_OK);
    }
    return batch;
}

struct committer {
    quipu *store;
    quipu_batch *batch;
    int rc;
    atomic_bool done;
};

static void *commit_once(void *payload)
{
    struct committer *committer = payload;

    committer->rc = quipu_commit(committer->store, committer->batch, NULL, NULL);
    atomic_store(&committer->done, true);
    return NULL;
}

static bool commits(quipu *store)
{
    struct qp_queue *queue = &store->handle->queue;
    bool some;

    (void)pthread_mutex_lock(&queue->lock);
    some = queue->leading;
    (void)pthread_mutex_unlock(&queue->lock);
    return some;
}

/* The thread that led merges before its call returns: the files must not be closed under it. */
Test(close, waits_for_the_merge_of_a_commit)
{
    const quipu_options options = {.struct_size = sizeof(options), .tail_bytes_max = 1};
    struct committer committer = {.batch = full_batch()};

    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread;

        committer.store = open_with(&options);
        atomic_store(&committer.done, false);
        cr_assert_eq(pthread_create(&thread, NULL, commit_once, &committer), 0);
        while (!commits(committer.store) && !atomic_load(&committer.done))
            continue;
        quipu_close(committer.store);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert_eq(committer.rc, QUIPU_OK);
    }
    quipu_batch_free(committer.batch);
}

/* Snapshots at rest keep reader slots: not so many that a merge finds none. */
Test(close, readers_leave_slots_for_others)
{
    const quipu_options options = {.struct_size = sizeof(options), .readers_max = READERS};
    const quipu_draft draft = {.type = "t"};
    quipu *store = open_with(&options);
    quipu_reader *readers[READERS] = {NULL};
    quipu_error error = {0};

    cr_assert_eq(quipu_append(store, "s", QUIPU_ANY, &draft, 1, NULL, &error), QUIPU_OK);
    for (int i = 0; i < READERS; i++)
        (void)quipu_read(store, NULL, NULL, &readers[i], NULL); /* the last may find no slot */
    for (int i = 0; i < READERS; i++)
        quipu_reader_close(readers[i]);
    cr_expect_eq(qp_merge(store->handle, &error), QUIPU_OK, "%s", error.text);
    quipu_close(store);
}

/* One of two users of a store closes while the other goes on. */
struct busy_user {
    quipu *store;
    atomic_bool stop;
    unsigned commits;
};

static void *commit_on(void *payload)
{
    const quipu_draft draft = {.type = "t"};
    struct busy_user *user = payload;

    while (!atomic_load(&user->stop) &&
           quipu_append(user->store, "s", QUIPU_ANY, &draft, 1, NULL, NULL) == QUIPU_OK)
        user->commits++;
    return NULL;
}

Test(close, waits_not_for_other_users)
{
    enum { USERS = 3 };
    const quipu_options options = {.struct_size = sizeof(options)};
    struct busy_user users[USERS];
    pthread_t threads[USERS];
    quipu *other = open_with(&options);

    for (int i = 0; i < USERS; i++) {
        users[i] = (struct busy_user){.store = open_with(&options)};
        cr_assert_eq(pthread_create(&threads[i], NULL, commit_on, &users[i]), 0);
    }
    while (!commits(other))
        continue;
    quipu_close(other); /* somebody is always inside: it must not wait until nobody is */
    for (int i = 0; i < USERS; i++)
        atomic_store(&users[i].stop, true);
    for (int i = 0; i < USERS; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
        quipu_close(users[i].store);
    }
}

/* An append is under way from its first look at the store, long before it is in the queue. */
static void *append_much(void *payload)
{
    enum { BYTES = 15 << 20 };
    struct committer *committer = payload;
    char *data = support_repeat('d', BYTES);
    const quipu_draft draft = {.type = "t", .data = data, .data_size = BYTES};

    atomic_store(&committer->done, true); /* it is about to begin */
    committer->rc = quipu_append(committer->store, "s", QUIPU_ANY, &draft, 1, NULL, NULL);
    free(data);
    return NULL;
}

Test(close, waits_for_an_append_that_still_copies)
{
    const quipu_options options = {.struct_size = sizeof(options)};
    struct committer committer = {.rc = 1};
    pthread_t thread;
    unsigned commits;

    committer.store = open_with(&options);
    cr_assert_eq(pthread_create(&thread, NULL, append_much, &committer), 0);
    do {
        commits = 0;
        if (atomic_load(&committer.done))
            commits = *(volatile unsigned *)&committer.store->commits;
    } while (commits == 0 && committer.rc == 1);
    quipu_close(committer.store);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect_eq(committer.rc, QUIPU_OK);
}
