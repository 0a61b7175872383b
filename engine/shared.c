/* shared.c - the file `shared`. Every word that several processes change is atomic; the lock is a
 * robust process-shared mutex, whose next owner is told when the last one died.
 *
 * Refuses to know what a flag means for the files, and what is to be settled: lock.c and open.c do.
 * Handing the lock over, between an owner A and a waiter B in another process:
 *
 *     A                                           B
 *                                                 waiting = 1, sleeps on the lock, 50 ms at most
 *     sees the flag, unlocks
 *     awaits `acquired`, 2 ms at most             has the lock: waiting = 0, advances `acquired`
 *                                                 commits
 *
 * B may also sleep on `rung`, its own, if it waits for more than the lock: the owner that unlocks
 * advances it.
 *
 * The file is never flushed: one that a crash of the machine has left is of another boot, and
 * nobody joins it. */
#include "shared.h"

#include "clock.h"
#include "eventcount.h"
#include "memory.h"
#include "status.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARED_MAGIC   UINT64_C(0x3164657261687371) /* "qshared1" */
#define TEMPORARY_FILE "shared.new"
#define WAIT_SLICE_NS  (50 * QP_NS_PER_MS) /* how long a waiter's flag is good for */
#define POLITE_WAIT_NS (2 * QP_NS_PER_MS)  /* how long an owner stands back for others */

/* What must be equal for the lock to work between two processes. */
struct identity {
    uint64_t magic;
    struct qp_origin origin;
    uint32_t pointer_bytes;
    uint32_t mutex_bytes;
    uint64_t page_bytes; /* of the struct below: another layout, another size */
};

/* One a process. Taken and given back under the door. */
struct slot {
    atomic_uint pid;          /* 0: free */
    atomic_uint generation;   /* how many processes have had it, one after the other */
    atomic_uint waiting;      /* 1: asks for the store lock */
    qp_eventcount rung;       /* an owner that unlocked, or has answered, wants it to look */
    atomic_ullong start_time; /* of the process: its pid alone may be another's by now */
    atomic_llong reading_ns;  /* since when its oldest snapshot is held, 0: it holds none */
};

struct qp_shared_page {
    struct identity identity;
    pthread_mutex_t lock;
    atomic_uint holder;     /* pid of the store lock's owner, for messages; 0: free */
    atomic_uint merger;     /* pid of who has guard byte 2; 0: nobody */
    qp_eventcount acquired; /* how often the lock was taken: awaited by who stands back */
    qp_eventcount commits;  /* awaited by who wants new events */
    atomic_uint flags[QP_SHARED_FLAGS];
    atomic_llong anchor_wall_ns;     /* what the store's clock showed ... */
    atomic_llong anchor_boottime_ns; /* ... when the machine had been up for so long */
    struct slot slots[QP_PROCESSES_MAX];
};

/* ---- identity ---- */

/* Zeroed first: identities are compared as bytes. */
static int own_identity(struct identity *identity, quipu_error *error)
{
    memset(identity, 0, sizeof(*identity));
    identity->magic = SHARED_MAGIC;
    identity->pointer_bytes = sizeof(void *);
    identity->mutex_bytes = sizeof(pthread_mutex_t);
    identity->page_bytes = sizeof(struct qp_shared_page);
    return qp_origin_read(&identity->origin, error);
}

/* ---- create, open, close ---- */

/* Robust, and shared between processes: memory that two of them map at different addresses. */
static int init_mutex(pthread_mutex_t *mutex, quipu_error *error)
{
    pthread_mutexattr_t attributes;
    int rc = pthread_mutexattr_init(&attributes);

    if (rc != 0)
        return qp_fail_os(error, QUIPU_SYSTEM, rc, "make a mutex");
    (void)pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    (void)pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    rc = pthread_mutex_init(mutex, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
    return rc == 0 ? QUIPU_OK : qp_fail_os(error, QUIPU_SYSTEM, rc, "make a mutex");
}

/* Nobody else can see the page yet: it has its name only after the rename. */
/* Generations begin anywhere: rows in the store name a process by slot and generation, and must not
 * mean another one that has the same slot of a later file. */
static int fill_page(struct qp_shared_page *page, const bool flags[QP_SHARED_FLAGS],
                     int64_t anchor_ns, quipu_error *error)
{
    int rc = own_identity(&page->identity, error);

    if (rc == QUIPU_OK)
        rc = init_mutex(&page->lock, error);
    for (size_t i = 0; i < QP_SHARED_FLAGS; i++)
        atomic_store(&page->flags[i], flags[i] ? 1U : 0U);
    for (size_t i = 0; i < QP_PROCESSES_MAX; i++)
        atomic_store(&page->slots[i].generation,
                     QP_MUTANT(SLOT_AGAIN) ? 0U : (uint32_t)qp_clock_monotonic_ns());
    atomic_store(&page->anchor_wall_ns, anchor_ns);
    atomic_store(&page->anchor_boottime_ns, qp_clock_boottime_ns());
    return rc;
}

static int write_all(int fd, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        ssize_t written = write(fd, at, size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : EIO;
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

/* Written before it is mapped: a hole in the file would be a SIGBUS when the disk is full. */
static int make_file(const struct qp_place *place, struct qp_shared_page **page)
{
    struct qp_shared_page *zeroes = qp_zalloc(sizeof(*zeroes));
    int os_error = ENOMEM;
    int fd;

    *page = MAP_FAILED;
    if (zeroes == NULL)
        return os_error;
    (void)unlinkat(place->fd, TEMPORARY_FILE, 0); /* of one who died here; the door is ours */
    fd = openat(place->fd, TEMPORARY_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    os_error = fd < 0 ? errno : write_all(fd, zeroes, sizeof(*zeroes));
    if (os_error == 0) {
        *page = mmap(NULL, sizeof(**page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        os_error = *page == MAP_FAILED ? errno : 0;
    }
    if (fd >= 0)
        (void)close(fd);
    qp_free(zeroes);
    return os_error;
}

/* Of making the file. Most reasons are the directory's mode or mount: the user's to mend. */
static int status_of(int os_error)
{
    switch (os_error) {
    case ENOSPC:
    case EDQUOT:
        return QUIPU_FULL;
    case ENOMEM:
        return QUIPU_NO_MEMORY;
    default:
        return QUIPU_UNSAFE;
    }
}

int qp_shared_create(const struct qp_place *place, const bool flags[QP_SHARED_FLAGS],
                     int64_t anchor_ns, quipu_error *error)
{
    struct qp_shared_page *page;
    int os_error = make_file(place, &page);
    int rc = QUIPU_OK;

    if (status_of(os_error) == QUIPU_FULL && !flags[QP_SHARED_POISONED] &&
        !flags[QP_SHARED_INDEX_POISONED]) {
        /* On a full disk the old one's blocks have to do, or nobody could even read. Not if that
         * one says what must not be forgotten should this fail. */
        (void)unlinkat(place->fd, QP_SHARED_FILE, 0);
        os_error = make_file(place, &page);
    }
    if (os_error == 0) {
        rc = fill_page(page, flags, anchor_ns, error);
        (void)munmap(page, sizeof(*page));
    }
    if (os_error == 0 && rc == QUIPU_OK &&
        renameat(place->fd, TEMPORARY_FILE, place->fd, QP_SHARED_FILE) != 0)
        os_error = errno;
    if (os_error != 0)
        rc = qp_fail_os(error, status_of(os_error), os_error, "make %s", QP_SHARED_FILE);
    if (rc < 0)
        (void)unlinkat(place->fd, TEMPORARY_FILE, 0);
    return rc;
}

/* NULL: it is missing, or of another size: then its layout is another, and after the end of a
 * shorter one is a SIGBUS. What stands in it is the caller's to check. */
static struct qp_shared_page *map_file(const struct qp_place *place, uint64_t *inode)
{
    struct stat info;
    void *page = MAP_FAILED;
    int fd = openat(place->fd, QP_SHARED_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
        (size_t)info.st_size == sizeof(struct qp_shared_page))
        page = mmap(NULL, sizeof(struct qp_shared_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (page == MAP_FAILED)
        return NULL;
    *inode = (uint64_t)info.st_ino;
    return page;
}

bool qp_shared_peek(const struct qp_place *place, bool flags[QP_SHARED_FLAGS])
{
    bool found;
    uint64_t inode;
    struct qp_shared_page *page = map_file(place, &inode);

    found = page != NULL && page->identity.magic == SHARED_MAGIC;
    for (size_t i = 0; i < QP_SHARED_FLAGS; i++)
        flags[i] = found && atomic_load(&page->flags[i]) != 0;
    if (page != NULL)
        (void)munmap(page, sizeof(*page));
    return found;
}

/* It has, unless it is known to be another or gone: no two processes may have one slot. */
static bool has_slot(const struct slot *slot, uint32_t pid)
{
    uint64_t found = qp_origin_start_time(pid);

    return found == atomic_load(&slot->start_time) || found == QP_ORIGIN_NOT_KNOWN;
}

/* Under the door: nobody else looks for a slot. One whose process is gone is taken over. */
static int take_slot(struct qp_shared *shared, quipu_error *error)
{
    const uint64_t own = qp_origin_start_time((uint32_t)getpid());

    assert(shared->page != NULL);
    if (own == 0 || own == QP_ORIGIN_NOT_KNOWN) /* others would take this slot over */
        return qp_fail(error, QUIPU_SYSTEM, "/proc does not say when this process began");
    for (unsigned i = 0; i < QP_PROCESSES_MAX; i++) {
        struct slot *slot = &shared->page->slots[i];
        uint32_t pid = atomic_load(&slot->pid);

        if (pid != 0 && has_slot(slot, pid))
            continue;
        atomic_store(&slot->waiting, 0);
        atomic_fetch_add(&slot->generation, 1);
        atomic_store(&slot->start_time, own);
        atomic_store(&slot->pid, (uint32_t)getpid());
        shared->slot = i;
        shared->generation = atomic_load(&slot->generation);
        return QUIPU_OK;
    }
    return qp_fail(error, QUIPU_BUSY, "%d processes have the store open, no more can",
                   QP_PROCESSES_MAX);
}

/* Its maker is another than us: in what? */
static int check_identity(const struct identity *found, const struct identity *own,
                          quipu_error *error)
{
    if (memcmp(found, own, sizeof(*own)) == 0)
        return QUIPU_OK;
    if (found->origin.pid_namespace != own->origin.pid_namespace ||
        found->origin.time_namespace != own->origin.time_namespace) {
        return qp_fail(error, QUIPU_UNSAFE,
                       "the store is open in another pid or time namespace: share the pid "
                       "namespace");
    }
    if (memcmp(found->origin.boot, own->origin.boot, sizeof(own->origin.boot)) != 0)
        return qp_fail(error, QUIPU_UNSAFE, "%s is of another boot, and others use the store",
                       QP_SHARED_FILE);
    return qp_fail(error, QUIPU_UNSAFE, "the store is open in another release of the library");
}

static void forget(struct qp_shared *shared)
{
    (void)munmap(shared->page, sizeof(*shared->page));
    shared->page = NULL;
    for (unsigned i = 0; i < QP_PROCESSES_MAX; i++)
        qp_origin_unwatch(&shared->watched[i]);
    (void)pthread_mutex_destroy(&shared->watching);
}

int qp_shared_open(const struct qp_place *place, struct qp_shared *shared, quipu_error *error)
{
    struct identity own;
    int rc = own_identity(&own, error);

    if (rc < 0)
        return rc;
    assert(shared->page == NULL); /* one handle a store and process */
    shared->page = map_file(place, &shared->inode);
    if (shared->page == NULL)
        return qp_fail(error, QUIPU_UNSAFE, "%s is missing or not ours while others use the store",
                       QP_SHARED_FILE);
    (void)pthread_mutex_init(&shared->watching, NULL);
    rc = check_identity(&shared->page->identity, &own, error);
    if (rc == QUIPU_OK)
        rc = take_slot(shared, error);
    if (rc < 0)
        forget(shared);
    return rc;
}

void qp_shared_close(struct qp_shared *shared)
{
    if (shared->page == NULL)
        return;
    assert(shared->slot < QP_PROCESSES_MAX);
    qp_shared_set_reading(shared, 0);
    atomic_store(&shared->page->slots[shared->slot].pid, 0);
    forget(shared);
}

/* ---- words ---- */

bool qp_shared_get(const struct qp_shared *shared, enum qp_shared_flag flag)
{
    assert(shared->page != NULL && flag < QP_SHARED_FLAGS);
    return atomic_load(&shared->page->flags[flag]) != 0;
}

void qp_shared_set(struct qp_shared *shared, enum qp_shared_flag flag, bool value)
{
    assert(shared->page != NULL && flag < QP_SHARED_FLAGS);
    atomic_store(&shared->page->flags[flag], value ? 1U : 0U);
}

/* The anchors are only written before the file has its name: read one after the other they belong
 * together. */
int64_t qp_shared_now_ns(const struct qp_shared *shared)
{
    return atomic_load(&shared->page->anchor_wall_ns) + qp_clock_boottime_ns() -
           atomic_load(&shared->page->anchor_boottime_ns);
}

void qp_shared_set_reading(struct qp_shared *shared, int64_t since_ns)
{
    atomic_store_explicit(&shared->page->slots[shared->slot].reading_ns, since_ns,
                          memory_order_relaxed);
}

int64_t qp_shared_reading(const struct qp_shared *shared, uint32_t pid)
{
    for (unsigned i = 0; i < QP_PROCESSES_MAX; i++)
        if (atomic_load(&shared->page->slots[i].pid) == pid)
            return atomic_load(&shared->page->slots[i].reading_ns);
    return 0;
}

enum qp_origin_life qp_shared_lives(struct qp_shared *shared, unsigned slot, uint32_t generation)
{
    const struct slot *there = &shared->page->slots[slot % QP_PROCESSES_MAX];
    enum qp_origin_life life;

    if (slot >= QP_PROCESSES_MAX || atomic_load(&there->generation) != generation)
        return QP_ORIGIN_GONE;
    (void)pthread_mutex_lock(&shared->watching);
    life = qp_origin_lives(&shared->watched[slot], atomic_load(&there->pid),
                           atomic_load(&there->start_time));
    (void)pthread_mutex_unlock(&shared->watching);
    return life;
}

/* In any slot but `own`. */
static uint32_t pid_beside(const struct qp_shared_page *page, unsigned own)
{
    for (unsigned i = 0; i < QP_PROCESSES_MAX; i++) {
        uint32_t pid = atomic_load(&page->slots[i].pid);

        if (pid != 0 && i != own)
            return pid;
    }
    return 0;
}

uint32_t qp_shared_other_pid(const struct qp_shared *shared)
{
    return pid_beside(shared->page, shared->slot);
}

uint32_t qp_shared_peek_pid(const struct qp_place *place)
{
    uint64_t inode;
    struct qp_shared_page *page = map_file(place, &inode);
    uint32_t pid = 0;

    if (page == NULL)
        return 0;
    if (page->identity.magic == SHARED_MAGIC)
        pid = pid_beside(page, QP_PROCESSES_MAX);
    (void)munmap(page, sizeof(*page));
    return pid;
}

void qp_shared_set_merger(struct qp_shared *shared, uint32_t pid)
{
    atomic_store(&shared->page->merger, pid);
}

uint32_t qp_shared_merger(const struct qp_shared *shared)
{
    return atomic_load(&shared->page->merger);
}

/* ---- commits ---- */

uint32_t qp_shared_commits(const struct qp_shared *shared)
{
    return qp_eventcount_read(&shared->page->commits);
}

bool qp_shared_sleep(struct qp_shared *shared, uint32_t commits, int64_t timeout_ns)
{
    return qp_eventcount_await(&shared->page->commits, commits, timeout_ns);
}

void qp_shared_wake(struct qp_shared *shared)
{
    (void)qp_eventcount_advance(&shared->page->commits);
}

/* ---- the store lock ---- */

/* ThreadSanitizer does not know pthread_mutex_clocklock(): tell it. */
#if defined(__SANITIZE_THREAD__)
#define QP_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define QP_TSAN 1
#endif
#endif
#ifdef QP_TSAN
#include <sanitizer/tsan_interface.h>
static void tell_locked(pthread_mutex_t *mutex)
{
    __tsan_mutex_pre_lock(mutex, 0);
    __tsan_mutex_post_lock(mutex, 0, 0);
}
#else
static void tell_locked(pthread_mutex_t *mutex)
{
    (void)mutex;
}
#endif

/* Wait in slices, so that the flag that asks for the lock is fresh: whoever stood back in vain
 * takes it for that of a process that was stopped, and clears it. Returns the mutex's errno; EBUSY
 * or ETIMEDOUT when the deadline has come. */
static int wait_for_lock(struct qp_shared *shared, int64_t deadline_ns)
{
    struct slot *slot = &shared->page->slots[shared->slot];
    int rc = pthread_mutex_trylock(&shared->page->lock);

    while (rc == EBUSY || rc == ETIMEDOUT) {
        int64_t now = qp_clock_monotonic_ns();
        struct timespec until;

        if (now >= deadline_ns)
            break;
        until = qp_clock_timespec(deadline_ns - now > WAIT_SLICE_NS ? now + WAIT_SLICE_NS
                                                                    : deadline_ns);
        atomic_store(&slot->waiting, 1);
        rc = pthread_mutex_clocklock(&shared->page->lock, CLOCK_MONOTONIC, &until);
        if (rc == 0 || rc == EOWNERDEAD)
            tell_locked(&shared->page->lock);
    }
    if (rc != EBUSY) /* who only tries may have asked already */
        atomic_store(&slot->waiting, 0);
    return rc;
}

enum qp_lock_state qp_shared_lock(struct qp_shared *shared, int64_t deadline_ns, uint32_t *holder)
{
    struct qp_shared_page *page = shared->page;
    enum qp_lock_state state = QP_LOCK_TAKEN;
    int rc = wait_for_lock(shared, deadline_ns);

    if (rc == EBUSY || rc == ETIMEDOUT) {
        *holder = atomic_load(&page->holder);
        return QP_LOCK_TIMEOUT;
    }
    if (rc == EOWNERDEAD) { /* held all the same; unlocked without this it would be lost for ever */
        rc = pthread_mutex_consistent(&page->lock);
        state = QP_MUTANT(OWNER_DIED_UNSEEN) ? QP_LOCK_TAKEN : QP_LOCK_INHERITED;
    }
    if (rc != 0)
        return QP_LOCK_LOST;
    atomic_store(&page->holder, (uint32_t)getpid());
    if (!QP_MUTANT(HAND_OVER_UNCOUNTED))
        (void)qp_eventcount_advance(&page->acquired);
    return state;
}

/* Did another process ask for the lock, without having got it yet? */
bool qp_shared_others_wait(const struct qp_shared *shared)
{
    for (unsigned i = 0; i < QP_PROCESSES_MAX; i++) {
        if (i != shared->slot && atomic_load(&shared->page->slots[i].waiting) != 0 &&
            atomic_load(&shared->page->slots[i].pid) != 0)
            return true;
    }
    return false;
}

/* Nobody took it in time: who asked is stopped or gone, and asks again when it lives. */
static void clear_waiting(struct qp_shared *shared)
{
    for (unsigned i = 0; i < QP_PROCESSES_MAX; i++)
        if (i != shared->slot)
            atomic_store(&shared->page->slots[i].waiting, 0);
}

uint32_t qp_shared_ask(struct qp_shared *shared, bool waiting)
{
    struct slot *slot = &shared->page->slots[shared->slot];

    atomic_store(&slot->waiting, waiting ? 1 : 0);
    return qp_eventcount_read(&slot->rung);
}

bool qp_shared_await(struct qp_shared *shared, uint32_t rung, int64_t timeout_ns)
{
    return qp_eventcount_await(&shared->page->slots[shared->slot].rung, rung, timeout_ns);
}

void qp_shared_ring(struct qp_shared *shared, unsigned slot)
{
    atomic_store(&shared->page->slots[slot].waiting, 0);
    (void)qp_eventcount_advance(&shared->page->slots[slot].rung);
}

/* Who asks sets its flag before it tries the lock, and this comes after an unlock: either its try
 * comes later still and gets the lock, or the flag is seen here. One is enough, as it hands on in
 * its turn. The search begins behind the own slot, and so comes round: none waits for ever. */
static void ring_one(struct qp_shared *shared)
{
    for (unsigned i = 1; i < QP_PROCESSES_MAX; i++) {
        struct slot *slot = &shared->page->slots[(shared->slot + i) % QP_PROCESSES_MAX];

        if (atomic_load(&slot->waiting) != 0 && qp_eventcount_advance(&slot->rung))
            return;
    }
}

struct qp_hand_over qp_shared_unlock(struct qp_shared *shared, bool committed)
{
    struct qp_shared_page *page = shared->page;
    uint32_t acquired = qp_eventcount_read(&page->acquired);
    bool waited = qp_shared_others_wait(shared);

    assert(atomic_load(&page->holder) == (uint32_t)getpid());
    if (QP_MUTANT(NO_HAND_OVER))
        waited = false;
    atomic_store(&page->holder, 0); /* before another owner can write its own pid */
    (void)pthread_mutex_unlock(&page->lock);
    if (!QP_MUTANT(UNLOCK_UNRUNG))
        ring_one(shared);
    if (committed && !QP_MUTANT(COMMIT_UNCOUNTED))
        qp_shared_wake(shared);
    return (struct qp_hand_over){.awaited = waited, .acquired = acquired};
}

void qp_shared_stand_back(struct qp_shared *shared, struct qp_hand_over hand_over)
{
    struct qp_shared_page *page = shared->page;

    if (!hand_over.awaited)
        return;
    (void)qp_eventcount_await(&page->acquired, hand_over.acquired, POLITE_WAIT_NS);
    if (qp_eventcount_read(&page->acquired) == hand_over.acquired)
        clear_waiting(shared);
}
