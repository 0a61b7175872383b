/* quipu.c - stores: the registry of what this process has open, open and close.
 *
 * LMDB must not open one file twice in a process: closing the second would end the first one's
 * locks. So a store is known by the device and inode of its directory, and opened once.
 *
 *     opens > 0                in use
 *     opens = 0, children > 0  closed, but readers, lists or waits still need the files; an open
 *                              takes it up again, and `generation` tells old children from new ones
 *     both 0                   the files are closed, by whoever made it so
 *     changing                 a thread opens or closes the files just now: others wait for
 *                              `changed`, because the registry's lock is not held meanwhile */
#include "quipu.h"

#include "clock.h"
#include "commit.h"
#include "create.h"
#include "handles.h"
#include "memory.h"
#include "moment.h"
#include "open.h"
#include "status.h"
#include "wait.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_once_t once; /* watch_forks() */
    struct quipu *first;
} registry = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_ONCE_INIT, NULL};

/* ---- small ones ---- */

const char *quipu_status_name(int status)
{
    return qp_status_name(status);
}

int quipu_version(void)
{
    return QUIPU_VERSION_NUMBER;
}

void quipu_options_init(quipu_options *options, size_t struct_size)
{
    if (options == NULL)
        return;
    memset(options, 0, struct_size);
    options->struct_size = (uint32_t)struct_size;
}

int qp_struct_in(const void *given, size_t size, void *out, const char *what, quipu_error *error)
{
    uint32_t given_size;

    memcpy(&given_size, given, sizeof(given_size));
    if (given_size > size)
        return qp_fail(error, QUIPU_MISUSE, "%s is of a newer release (%u bytes)", what,
                       given_size);
    memset(out, 0, size);
    memcpy(out, given, given_size != 0 ? given_size : size);
    return QUIPU_OK;
}

void qp_struct_out(const void *own, size_t size, void *out)
{
    uint32_t given_size;

    memcpy(&given_size, out, sizeof(given_size));
    if (given_size > size)
        memset((char *)out + size, 0, given_size - size);
    memcpy(out, own, given_size != 0 && given_size < size ? given_size : size);
    memcpy(out, &given_size, sizeof(given_size));
}

/* ---- the registry ---- */

static void lock_registry(void)
{
    (void)pthread_mutex_lock(&registry.lock);
}

static void unlock_registry(void)
{
    (void)pthread_mutex_unlock(&registry.lock);
}

/* A fork while another thread is inside must not leave the child with a lock that nobody holds. */
static void watch_forks(void)
{
    (void)pthread_atfork(lock_registry, unlock_registry, unlock_registry);
}

int quipu_set_allocator(void *(*resize)(void *memory, size_t size, void *payload), void *payload)
{
    bool idle;

    lock_registry();
    idle = registry.first == NULL;
    if (idle)
        qp_memory_hook(resize, payload);
    unlock_registry();
    return idle ? QUIPU_OK : QUIPU_MISUSE;
}

/* A forked child inherits the list and has no part in it: its own stores carry its own pid. */
static struct quipu *find(const struct qp_place *place)
{
    long pid = (long)getpid();

    for (struct quipu *store = registry.first; store != NULL; store = store->next)
        if (store->pid == pid && store->device == place->device && store->inode == place->inode)
            return store;
    return NULL;
}

static struct quipu *add(const struct qp_place *place)
{
    struct quipu *store = qp_zalloc(sizeof(*store));

    if (store == NULL)
        return NULL;
    store->pid = (long)getpid();
    store->device = place->device;
    store->inode = place->inode;
    store->changing = true;
    store->next = registry.first;
    registry.first = store;
    return store;
}

static void remove_store(struct quipu *store)
{
    struct quipu **at = &registry.first;

    while (*at != store)
        at = &(*at)->next;
    *at = store->next;
    qp_free(store);
}

/* Log functions and their payload are each opener's taste: the first one's count. */
static bool same_options(const quipu_options *left, const quipu_options *right)
{
    quipu_options a = *left;
    quipu_options b = *right;
    const uint32_t once = QUIPU_OPEN_EXISTING | QUIPU_OPEN_NEW | QUIPU_OPEN_FULL_CHECK;

    static_assert(sizeof(quipu_options) == 72, "no padding: the bytes can be compared");

    a.log = b.log;
    a.log_payload = b.log_payload;
    a.flags &= ~once; /* they said how to find it, not how to use it */
    b.flags &= ~once;
    return memcmp(&a, &b, sizeof(a)) == 0;
}

/* ---- open ---- */

/* The directory of a store, made if there is none and that is wanted. */
static int find_place(const char *path, uint32_t flags, struct qp_place *place, quipu_error *error)
{
    enum qp_place_state state = QP_PLACE_MISSING;
    quipu_error why = {0};
    int rc = qp_place_open(path, flags, place, &state, error);

    if (rc < 0)
        return rc;
    if (state == QP_PLACE_STORE) {
        if ((flags & QUIPU_OPEN_NEW) == 0)
            return QUIPU_OK;
        qp_place_close(place);
        return qp_fail(error, QUIPU_TARGET_EXISTS, "a store is there already: %.150s", path);
    }
    if ((flags & (QUIPU_OPEN_EXISTING | QUIPU_OPEN_READ_ONLY)) != 0)
        return qp_fail(error, QUIPU_NOT_FOUND, "no store: %.150s", path);
    rc = qp_create_store(path, &why);
    if (rc < 0 && (rc != QUIPU_TARGET_EXISTS || (flags & QUIPU_OPEN_NEW) != 0)) {
        if (error != NULL)
            *error = why;
        return rc;
    }
    rc = qp_place_open(path, flags, place, &state, error); /* ours, or of who was first */
    if (rc == QUIPU_OK && state != QP_PLACE_STORE)
        rc = qp_fail(error, QUIPU_UNSAFE, "the store has vanished: %.150s", path);
    return rc;
}

/* Under the registry's lock. Returns: ROW: `*out` is open and counted; OK: `*out` is new and the
 * caller's to open; MISUSE; NO_MEMORY. */
static int claim(const struct qp_place *place, const quipu_options *options, bool any_options,
                 struct quipu **out, quipu_error *error)
{
    struct quipu *store = find(place);

    while (store != NULL && store->changing) {
        (void)pthread_cond_wait(&registry.changed, &registry.lock);
        store = find(place);
    }
    *out = store;
    if (store == NULL) {
        *out = add(place);
        return *out != NULL ? QUIPU_OK : qp_fail_memory(error);
    }
    if (!any_options && !same_options(&store->handle->options, options))
        return qp_fail(error, QUIPU_MISUSE,
                       "this process has the store open with other flags or options");
    if (store->opens++ == 0)
        (void)pthread_cond_broadcast(&registry.changed); /* a close that waits need not any more */
    return QUIPU_ROW;
}

/* The files are opened without the registry's lock: it may take as long as busy_timeout_ms. */
static int open_claimed(struct quipu *store, struct qp_place *place, const quipu_options *options,
                        quipu_error *error)
{
    struct qp_handle *handle;
    int rc = qp_handle_open(place, options, &handle, error);

    lock_registry();
    assert(store->changing && store->opens == 0);
    store->changing = false;
    if (rc < 0) {
        remove_store(store);
    } else {
        store->handle = handle;
        store->opens = 1;
    }
    (void)pthread_cond_broadcast(&registry.changed);
    unlock_registry();
    return rc;
}

int qp_api_acquire(const char *path, const quipu_options *options, bool any_options, quipu **out,
                   quipu_error *error)
{
    quipu_options resolved;
    struct qp_place place = {.fd = -1};
    struct quipu *store = NULL;
    int rc;

    (void)pthread_once(&registry.once, watch_forks);
    rc = qp_options_resolve(options, &resolved, error);
    if (rc == QUIPU_OK)
        rc = find_place(path, resolved.flags, &place, error);
    if (rc < 0)
        return rc;
    lock_registry();
    rc = claim(&place, &resolved, any_options, &store, error);
    unlock_registry();
    if (rc == QUIPU_OK)
        rc = open_claimed(store, &place, &resolved, error);
    qp_place_close(&place); /* unless the handle has taken it */
    if (rc >= 0)
        *out = store;
    return rc;
}

/* Nobody in this process has it, and nobody opens it until `run` ends. */
int qp_api_run_alone(const char *path, qp_api_alone_fn run, void *payload, quipu_error *error)
{
    const quipu_options wanted = {.struct_size = sizeof(wanted), .flags = QUIPU_OPEN_EXISTING};
    quipu_options options;
    struct qp_place place = {.fd = -1};
    struct quipu *store = NULL;
    int rc;

    (void)pthread_once(&registry.once, watch_forks);
    rc = qp_options_resolve(&wanted, &options, error);
    if (rc == QUIPU_OK)
        rc = find_place(path, options.flags, &place, error);
    if (rc < 0)
        return rc;
    lock_registry();
    if (find(&place) != NULL)
        rc = qp_fail(error, QUIPU_BUSY, "this process has the store open: %.150s", path);
    else
        store = add(&place);
    unlock_registry();
    if (rc == QUIPU_OK)
        rc = store != NULL ? run(&place, &options, payload, error) : qp_fail_memory(error);
    qp_place_close(&place); /* unless `run` has taken it */
    if (store == NULL)
        return rc;
    lock_registry();
    remove_store(store);
    (void)pthread_cond_broadcast(&registry.changed);
    unlock_registry();
    return rc;
}

int quipu_open(const char *path, const quipu_options *options, quipu **out, quipu_error *error)
{
    int rc;

    if (out == NULL)
        return qp_fail(error, QUIPU_MISUSE, "out is NULL");
    *out = NULL;
    if (path == NULL)
        return qp_fail(error, QUIPU_MISUSE, "path is NULL");
    rc = qp_api_acquire(path, options, false, out, error);
    return rc < 0 ? rc : QUIPU_OK;
}

/* ---- close ---- */

/* Under the registry's lock, which is let go in between. */
static void close_files(struct quipu *store)
{
    assert(!store->changing && store->opens == 0 && store->children == 0);
    store->changing = true;
    unlock_registry();
    qp_handle_close(store->handle);
    lock_registry();
    remove_store(store);
    (void)pthread_cond_broadcast(&registry.changed);
}

/* Under the registry's lock, which is let go in between: until nothing is under way, and nothing
 * asynchronous is pending. Whoever opens the store again meanwhile keeps it. */
static void wait_for_commits(struct quipu *store)
{
    while (store->commits > 0 && store->opens == 0)
        (void)pthread_cond_wait(&registry.changed, &registry.lock);
    if (store->opens > 0)
        return;
    unlock_registry();
    qp_commit_close(store->handle);
    lock_registry();
}

/* One child fewer: the last of them closes what nobody has open any more. */
static void drop_child(struct quipu *store)
{
    assert(store->children > 0);
    store->children--;
    if (store->children == 0 && store->opens == 0)
        close_files(store);
}

void quipu_close(quipu *store)
{
    if (store == NULL)
        return;
    if (qp_handle_forked(store->handle)) {
        qp_handle_close(store->handle); /* lets go of the locks' descriptor, no more */
        return;
    }
    lock_registry();
    if (store->opens > 0 && --store->opens == 0) {
        atomic_fetch_add(&store->generation, 1);
        qp_wait_disturb(store->handle);
        store->children++; /* while we wait it must not go */
        wait_for_commits(store);
        drop_child(store);
    }
    unlock_registry();
}

/* ---- entering ---- */

int qp_api_enter(const quipu *store, quipu_error *error)
{
    if (store == NULL)
        return qp_fail(error, QUIPU_MISUSE, "the store is NULL");
    if (qp_handle_forked(store->handle))
        return qp_fail(error, QUIPU_FORKED, "the store was opened before fork(): open it anew");
    return QUIPU_OK;
}

int qp_api_begin_commit(quipu *store, quipu_error *error)
{
    int rc = qp_api_enter(store, error);

    if (rc < 0)
        return rc;
    lock_registry();
    store->commits++;
    unlock_registry();
    return QUIPU_OK;
}

void qp_api_end_commit(quipu *store)
{
    lock_registry();
    assert(store->commits > 0);
    if (--store->commits == 0)
        (void)pthread_cond_broadcast(&registry.changed);
    unlock_registry();
}

void qp_child_begin(quipu *store, struct qp_child *child)
{
    lock_registry();
    store->children++;
    child->store = store;
    child->generation = atomic_load(&store->generation);
    unlock_registry();
}

int qp_child_enter(const struct qp_child *child, quipu_error *error)
{
    int rc = qp_api_enter(child->store, error);

    if (rc == QUIPU_OK && atomic_load(&child->store->generation) != child->generation)
        rc = qp_fail(error, QUIPU_CLOSED, "its store was closed");
    return rc;
}

bool qp_child_may_end(const struct qp_child *child)
{
    return !qp_handle_forked(child->store->handle);
}

void qp_child_end(const struct qp_child *child)
{
    lock_registry();
    drop_child(child->store);
    unlock_registry();
}

int quipu_head(quipu *store, uint64_t *position, quipu_error *error)
{
    struct qp_moment *moment = NULL;
    int rc = qp_api_enter(store, error);

    if (rc < 0)
        return rc;
    if (position == NULL)
        return qp_fail(error, QUIPU_MISUSE, "position is NULL");
    rc = qp_moment_begin(store->handle, true, &moment, error);
    if (rc < 0)
        return rc;
    *position = moment->pin.head;
    qp_moment_end(moment);
    return QUIPU_OK;
}

/* ---- waiting ---- */

static int still_open(void *payload, quipu_error *error)
{
    return qp_child_enter(payload, error);
}

/* As a child of its store: a close does not wait for it, ends it, and leaves it the files until it
 * has seen that. */
int quipu_wait(quipu *store, uint64_t after, int timeout_ms, uint64_t *head, quipu_error *error)
{
    uint32_t wait_ms = timeout_ms == -1 ? UINT32_MAX : (uint32_t)timeout_ms;
    struct qp_child child;
    uint64_t newest = 0;
    int rc = qp_api_enter(store, error);

    if (rc < 0)
        return rc;
    if (timeout_ms < -1)
        return qp_fail(error, QUIPU_MISUSE, "timeout_ms is %d", timeout_ms);
    qp_child_begin(store, &child);
    rc = qp_wait(store->handle, after, qp_clock_deadline_ns(wait_ms), still_open, &child, &newest,
                 error);
    qp_child_end(&child);
    if (rc >= 0 && head != NULL)
        *head = newest;
    return rc;
}
