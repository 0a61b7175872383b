/* readers.c - LMDB's table of readers, with names from /proc. What it says is over as soon as it is
 * said: readers come and go meanwhile, and a process may end before its name is asked for. Takes no
 * snapshot, as that would be one more. */
#include "readers.h"

#include "memory.h"
#include "status.h"
#include "text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A process may call itself by any bytes: what is no name becomes one that can be shown. */
static void make_plain(char *name)
{
    size_t size;

    if (name[0] == '\0' || qp_text_name(name, QP_NAME_MAX, "a name", &size, NULL) == QUIPU_OK)
        return;
    for (; *name != '\0'; name++)
        if (*name < ' ' || *name > '~') /* all that is not ASCII too, however char is signed */
            *name = '?';
}

/* The file has the name and a newline. */
static void name_process(struct qp_reader_info *reader)
{
    char path[32];
    ssize_t size;
    int fd;

    reader->name[0] = '\0';
    (void)snprintf(path, sizeof(path), "/proc/%u/comm", reader->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    size = read(fd, reader->name, sizeof(reader->name) - 1);
    (void)close(fd);
    if (size > 0 && reader->name[size - 1] == '\n')
        size--;
    reader->name[size > 0 ? size : 0] = '\0';
    make_plain(reader->name);
}

/* For qp_store_each_reader(). `lag` is its transaction until the newest one is known. false: memory
 * is out. */
static bool collect(void *payload, const struct qp_store_reader *slot)
{
    struct qp_readers *readers = payload;

    if (!qp_array_reserve(&readers->all, &readers->capacity, readers->count + 1,
                          sizeof(*readers->all)))
        return false;
    readers->all[readers->count++] =
        (struct qp_reader_info){.pid = slot->pid, .lag = slot->transaction};
    return true;
}

static int by_lag(const void *left, const void *right)
{
    const struct qp_reader_info *a = left;
    const struct qp_reader_info *b = right;

    if (a->lag != b->lag)
        return a->lag < b->lag ? 1 : -1;
    return (a->pid > b->pid) - (a->pid < b->pid);
}

/* The newest transaction after the readers, so that none of them is ahead of it. */
int qp_readers_collect(struct qp_handle *handle, struct qp_bytes prefix, struct qp_readers *readers,
                       quipu_error *error)
{
    size_t kept = 0;
    uint64_t newest;

    *readers = (struct qp_readers){0};
    qp_store_clear_readers(handle->log);
    if (!qp_store_each_reader(handle->log, collect, readers))
        return qp_fail_memory(error);
    newest = qp_txn_newest(handle->log);
    for (size_t i = 0; i < readers->count; i++) {
        struct qp_reader_info reader = readers->all[i];

        reader.lag = reader.lag < newest ? newest - reader.lag : 0;
        reader.since_ns = qp_shared_reading(&handle->shared, reader.pid);
        name_process(&reader);
        if (prefix.size == 0 || strncmp(reader.name, prefix.data, prefix.size) == 0)
            readers->all[kept++] = reader;
    }
    readers->count = kept;
    if (kept > 0)
        qsort(readers->all, kept, sizeof(*readers->all), by_lag);
    return QUIPU_OK;
}

void qp_readers_release(struct qp_readers *readers)
{
    qp_free(readers->all);
    *readers = (struct qp_readers){0};
}
