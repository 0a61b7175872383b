/* file.c - no store at all, but the least that durable events cost: records one after another in
 * one file, and threads that share a flush.
 *
 *     | record | record | ... | record | zeros, written and flushed before they are needed |
 *
 * Commits wait in a queue; the first leads: it takes all that wait, puts their records behind one
 * another, and one pwrite() and one fdatasync() later all of them are told, and the next leads. As
 * the file does not grow, the file system has nothing of its own to flush.
 *
 * There is no index, no version, no id, no checksum, and no second process. */
#include "peer.h"

#include "../clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_BYTES_MAX = 4096,
    FILE_MODE = 0600,
    ZERO_BYTES = 1 << 20,     /* written at a time */
    RESERVE_BYTES = 64 << 20, /* whenever the room is used up */
    GATHER_LEAST = 4,         /* fewer commits are not worth a wait */
    GATHER_US_MAX = 200,
    ALIGNMENT = 8
};

/* Before an event's texts. All zeroes: the end. */
struct head {
    uint32_t size; /* of the record, the alignment behind it included */
    uint32_t stream_size;
    uint32_t type_size;
    uint32_t data_size;
    int64_t time_ns;
    uint64_t group; /* the flush that it came with, counted over the whole file */
};

/* One commit, on its thread's stack. */
struct request {
    struct request *next;
    const struct bench_event *events;
    size_t count;
    int os_error; /* 0: durable */
    enum { WAITING, LEADING, TOLD } state;
    sem_t wake; /* behind `state` and `os_error` */
};

struct file_store {
    int fd;
    pthread_mutex_t lock; /* of the queue */
    struct request *first;
    struct request *last;
    size_t waiting;  /* in the queue */
    size_t gathered; /* in the last group: so many may come again */
    int leading;

    /* The leader's. */
    uint64_t end;  /* where the next record goes */
    uint64_t room; /* where the zeros end */
    uint64_t events;
    uint64_t group; /* the newest */
    unsigned char *bytes;
    size_t capacity;
};

static int fail(struct bench_failure *failure, const char *what, int os_error)
{
    return bench_failure_set(failure, "file: %s: %.200s", what, strerror(os_error));
}

static void file_peer_version(char *out, size_t capacity)
{
    bench_text_set(out, capacity, "of this program");
}

/* ---- the file ---- */

/* Write all of it. Returns: 0 or errno. */
static int write_at(int fd, const unsigned char *bytes, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t done = pwrite(fd, bytes, size, (off_t)offset);

        if (done < 0)
            return errno;
        bytes += done;
        size -= (size_t)done;
        offset += (uint64_t)done;
    }
    return 0;
}

/* Zeros up to `room`, on the disk. Returns: 0 or errno. */
static int extend(struct file_store *self, uint64_t room)
{
    unsigned char *zeros = calloc(1, ZERO_BYTES);
    int rc = zeros != NULL ? 0 : ENOMEM;

    while (rc == 0 && self->room < room) {
        rc = write_at(self->fd, zeros, ZERO_BYTES, self->room);
        if (rc == 0)
            self->room += ZERO_BYTES;
    }
    free(zeros);
    if (rc == 0 && fsync(self->fd) < 0)
        rc = errno;
    return rc;
}

/* Where the records end, how many they are, and the newest group, out of the file. */
static int find_end(struct file_store *self)
{
    struct head head = {0};
    struct stat status;
    unsigned char *bytes;

    if (fstat(self->fd, &status) < 0)
        return errno;
    self->room = (uint64_t)status.st_size;
    if (self->room == 0)
        return 0;
    bytes = mmap(NULL, self->room, PROT_READ, MAP_SHARED, self->fd, 0);
    if (bytes == MAP_FAILED)
        return errno;
    for (;;) {
        if (self->end + sizeof(head) > self->room)
            break;
        memcpy(&head, bytes + self->end, sizeof(head));
        if (head.size == 0)
            break;
        self->end += head.size;
        self->events++;
        self->group = head.group;
    }
    munmap(bytes, self->room);
    return 0;
}

static int file_peer_close(void *store, struct bench_failure *failure)
{
    struct file_store *self = store;
    int rc = 0;

    if (self == NULL)
        return 0;
    assert(self->first == NULL && !self->leading);
    if (self->fd >= 0 && close(self->fd) < 0)
        rc = fail(failure, "close", errno);
    (void)pthread_mutex_destroy(&self->lock);
    free(self->bytes);
    free(self);
    return rc;
}

static int file_peer_open(const char *directory, void **out, struct bench_failure *failure)
{
    struct file_store *self = calloc(1, sizeof(*self));
    struct bench_failure ignored;
    char path[PATH_BYTES_MAX];
    int rc;

    *out = NULL;
    if (self == NULL)
        return fail(failure, "open", ENOMEM);
    (void)pthread_mutex_init(&self->lock, NULL);
    bench_text_set(path, sizeof(path), "%s/events", directory);
    self->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    rc = self->fd < 0 ? errno : find_end(self);
    if (rc != 0) {
        file_peer_close(self, &ignored);
        return fail(failure, "open", rc);
    }
    *out = self;
    return 0;
}

static int file_peer_reserve(void *store, uint64_t bytes, struct bench_failure *failure)
{
    struct file_store *self = store;
    int rc = extend(self, self->end + bytes);

    return rc == 0 ? 0 : fail(failure, "reserve", rc);
}

/* ---- the group ---- */

static size_t record_size(const struct bench_event *event)
{
    size_t size = sizeof(struct head) + event->stream_size + event->type_size + event->data_size;

    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void put_record(const struct file_store *self, const struct bench_event *event,
                       unsigned char *out)
{
    struct head head = {.size = (uint32_t)record_size(event),
                        .stream_size = event->stream_size,
                        .type_size = event->type_size,
                        .data_size = event->data_size,
                        .time_ns = event->time_ns,
                        .group = self->group};

    memset(out + head.size - ALIGNMENT, 0, ALIGNMENT);
    memcpy(out, &head, sizeof(head));
    out += sizeof(head);
    memcpy(out, event->stream, event->stream_size);
    out += event->stream_size;
    memcpy(out, event->type, event->type_size);
    out += event->type_size;
    memcpy(out, event->data, event->data_size);
}

/* Room for `size` bytes in memory and, with a head of zeroes behind them, in the file. */
static int make_room(struct file_store *self, size_t size)
{
    if (size > self->capacity) {
        unsigned char *bytes = realloc(self->bytes, size * 2);

        if (bytes == NULL)
            return ENOMEM;
        self->bytes = bytes;
        self->capacity = size * 2;
    }
    if (self->end + size + sizeof(struct head) > self->room)
        return extend(self, self->end + size + RESERVE_BYTES);
    return 0;
}

/* Write and flush a group. Returns: 0 or errno. */
static int write_group(struct file_store *self, const struct request *group)
{
    const struct request *request;
    size_t size = 0;
    size_t i;
    int rc;

    for (request = group; request != NULL; request = request->next) {
        for (i = 0; i < request->count; i++)
            size += record_size(&request->events[i]);
    }
    rc = make_room(self, size);
    if (rc != 0)
        return rc;
    self->group++;
    size = 0;
    for (request = group; request != NULL; request = request->next) {
        for (i = 0; i < request->count; i++) {
            put_record(self, &request->events[i], self->bytes + size);
            size += record_size(&request->events[i]);
        }
        self->events += request->count;
    }
    rc = write_at(self->fd, self->bytes, size, self->end);
    self->end += size;
    if (rc == 0 && fdatasync(self->fd) < 0)
        rc = errno;
    return rc;
}

/* Wait until told, or until it is ours to lead. */
static void join(struct file_store *self, struct request *request)
{
    int waits;

    (void)pthread_mutex_lock(&self->lock);
    if (self->last != NULL)
        self->last->next = request;
    else
        self->first = request;
    self->last = request;
    self->waiting++;
    waits = self->leading;
    self->leading = 1;
    (void)pthread_mutex_unlock(&self->lock);
    if (!waits)
        request->state = LEADING;
    while (waits && sem_wait(&request->wake) < 0) /* a signal came */
        continue;
}

/* Those who were told just now come again: a group without them is a flush for nearly nobody. */
static void gather(struct file_store *self)
{
    double end_us = bench_clock_us() + GATHER_US_MAX;
    int enough;

    do {
        (void)pthread_mutex_lock(&self->lock);
        enough = self->gathered < GATHER_LEAST || self->waiting >= self->gathered;
        (void)pthread_mutex_unlock(&self->lock);
        if (!enough)
            (void)sched_yield();
    } while (!enough && bench_clock_us() < end_us);
}

/* All of the queue. */
static struct request *take(struct file_store *self)
{
    struct request *group;

    (void)pthread_mutex_lock(&self->lock);
    group = self->first;
    self->gathered = self->waiting;
    self->first = NULL;
    self->last = NULL;
    self->waiting = 0;
    (void)pthread_mutex_unlock(&self->lock);
    return group;
}

/* Tell the group. Who is told may be gone at once. */
static void tell(struct request *group, int os_error)
{
    while (group != NULL) {
        struct request *next = group->next;
        int leads = group->state == LEADING;

        group->os_error = os_error;
        group->state = TOLD;
        if (!leads)
            (void)sem_post(&group->wake);
        group = next;
    }
}

/* The first who waits leads. */
static void hand_on(struct file_store *self)
{
    (void)pthread_mutex_lock(&self->lock);
    if (self->first != NULL) {
        self->first->state = LEADING;
        (void)sem_post(&self->first->wake);
    } else {
        self->leading = 0;
    }
    (void)pthread_mutex_unlock(&self->lock);
}

static int file_peer_append(void *store, const struct bench_event *events, size_t count,
                            struct bench_failure *failure)
{
    struct file_store *self = store;
    struct request request = {.events = events, .count = count};

    (void)sem_init(&request.wake, 0, 0);
    join(self, &request);
    if (request.state == LEADING) {
        struct request *group;

        gather(self);
        group = take(self);
        tell(group, write_group(self, group));
        hand_on(self);
    }
    (void)sem_destroy(&request.wake);
    return request.os_error == 0 ? 0 : fail(failure, "append", request.os_error);
}

static int file_peer_append_one(void *store, const struct bench_event *event,
                                struct bench_failure *failure)
{
    return file_peer_append(store, event, 1, failure);
}

static int file_peer_count(void *store, uint64_t *out, struct bench_failure *failure)
{
    const struct file_store *self = store;

    (void)failure;
    *out = self->events;
    return 0;
}

/* Groups are counted, and no group is in two parts. */
static int file_peer_groups(void *store, uint64_t after, uint64_t *out,
                            struct bench_failure *failure)
{
    const struct file_store *self = store;
    unsigned char *bytes = mmap(NULL, self->room, PROT_READ, MAP_SHARED, self->fd, 0);
    struct head head = {0};
    uint64_t offset = 0;
    uint64_t i;

    if (bytes == MAP_FAILED)
        return fail(failure, "groups", errno);
    for (i = 0; i < after && offset < self->end; i++) {
        memcpy(&head, bytes + offset, sizeof(head));
        offset += head.size;
    }
    *out = self->group - head.group;
    munmap(bytes, self->room);
    return 0;
}

const struct bench_peer bench_peer_file = {
    .name = "file",
    .on_request = 1,
    .settings =
        "records one after another in one prewritten file, the same group commit, one pwrite "
        "and one fdatasync a group; no index, no versions, no ids, no checksums, one process",
    .version = file_peer_version,
    .open = file_peer_open,
    .append = file_peer_append,
    .count = file_peer_count,
    .close = file_peer_close,
    .append_one = file_peer_append_one,
    .reserve = file_peer_reserve,
    .groups = file_peer_groups,
};
