/* holders.c - LMDB's table of readers, with names from /proc. What it says is over as soon as it is
 * said: readers come and go meanwhile, and a process may end before its name is asked for. Takes no
 * snapshot, as that would be one more. */
#include "holders.h"

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
static void name_process(struct qp_holder *holder)
{
    char path[32];
    ssize_t size;
    int fd;

    holder->name[0] = '\0';
    (void)snprintf(path, sizeof(path), "/proc/%u/comm", holder->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    size = read(fd, holder->name, sizeof(holder->name) - 1);
    (void)close(fd);
    if (size > 0 && holder->name[size - 1] == '\n')
        size--;
    holder->name[size > 0 ? size : 0] = '\0';
    make_plain(holder->name);
}

/* For qp_store_each_reader(). Its transaction stands in `lag` for now. false: memory is out. */
static bool collect(void *payload, const struct qp_store_reader *reader)
{
    struct qp_holders *holders = payload;

    if (!qp_array_reserve(&holders->all, &holders->capacity, holders->count + 1,
                          sizeof(*holders->all)))
        return false;
    holders->all[holders->count++] =
        (struct qp_holder){.pid = reader->pid, .lag = reader->transaction};
    return true;
}

static int by_lag(const void *left, const void *right)
{
    const struct qp_holder *a = left;
    const struct qp_holder *b = right;

    if (a->lag != b->lag)
        return a->lag < b->lag ? 1 : -1;
    return (a->pid > b->pid) - (a->pid < b->pid);
}

/* The newest transaction after the readers, so that none of them is ahead of it. */
int qp_holders_collect(struct qp_handle *handle, struct qp_bytes prefix, struct qp_holders *holders,
                       quipu_error *error)
{
    size_t kept = 0;
    uint64_t newest;

    *holders = (struct qp_holders){0};
    qp_store_clear_readers(handle->log);
    if (!qp_store_each_reader(handle->log, collect, holders))
        return qp_fail_memory(error);
    newest = qp_store_newest(handle->log);
    for (size_t i = 0; i < holders->count; i++) {
        struct qp_holder holder = holders->all[i];

        holder.lag = holder.lag < newest ? newest - holder.lag : 0;
        name_process(&holder);
        if (prefix.size == 0 || strncmp(holder.name, prefix.data, prefix.size) == 0)
            holders->all[kept++] = holder;
    }
    holders->count = kept;
    if (kept > 0)
        qsort(holders->all, kept, sizeof(*holders->all), by_lag);
    return QUIPU_OK;
}

void qp_holders_release(struct qp_holders *holders)
{
    qp_free(holders->all);
    *holders = (struct qp_holders){0};
}
