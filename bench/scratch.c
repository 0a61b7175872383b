/* scratch.c - walks with fts, which needs neither recursion nor a global. */
#include "scratch.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 512 }; /* the unit of st_blocks, whatever the file system's own is */

int bench_scratch_make(struct bench_scratch *scratch, const char *parent, const char *label)
{
    int size = snprintf(scratch->path, sizeof(scratch->path), "%s/quipu-bench-%ld-%s", parent,
                        (long)getpid(), label);

    if (size < 0 || (size_t)size >= sizeof(scratch->path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return mkdir(scratch->path, 0700);
}

static FTS *walk_open(const struct bench_scratch *scratch)
{
    char *paths[] = {(char *)(uintptr_t)scratch->path, NULL};

    return fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
}

uint64_t bench_scratch_bytes(const struct bench_scratch *scratch)
{
    FTS *walk = walk_open(scratch);
    uint64_t bytes = 0;

    if (walk == NULL)
        return 0;
    for (;;) {
        const FTSENT *entry = fts_read(walk);

        if (entry == NULL)
            break;
        if (entry->fts_info == FTS_F)
            bytes += (uint64_t)entry->fts_statp->st_blocks * BLOCK_BYTES;
    }
    fts_close(walk);
    return bytes;
}

int bench_scratch_remove(const struct bench_scratch *scratch)
{
    FTS *walk = walk_open(scratch);
    int rc = 0;

    if (walk == NULL)
        return -1;
    for (;;) {
        const FTSENT *entry = fts_read(walk);

        if (entry == NULL)
            break;
        if (entry->fts_info == FTS_D) /* its second visit comes when it is empty */
            continue;
        if (entry->fts_info == FTS_DP ? rmdir(entry->fts_accpath) : unlink(entry->fts_accpath))
            rc = -1;
    }
    fts_close(walk);
    return rc;
}
