/* cold.c - posix_fadvise() drops, mincore() tells, read() brings back. */
#include "cold.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW_PAGES = 16384 }; /* of one call of mincore() */
enum { READ_BYTES = 65536 };

static const char drop_path[] = "/proc/sys/vm/drop_caches";

struct drop {
    uint64_t pages;
    uint64_t resident;
};

static int drop_file(int fd, struct drop *drop)
{
    int rc;

    (void)drop;
    if (fdatasync(fd) < 0)
        return -1;
    rc = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (rc != 0)
        errno = rc;
    return rc != 0 ? -1 : 0;
}

/* The pages of a file that are in memory. Mapping it brings none in. */
static int count_file(int fd, struct drop *drop)
{
    unsigned char window[WINDOW_PAGES];
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    struct stat found;
    size_t pages;
    size_t page;
    char *map;

    if (fstat(fd, &found) < 0)
        return -1;
    if (found.st_size == 0)
        return 0;
    map = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -1;
    pages = ((size_t)found.st_size + page_bytes - 1) / page_bytes;
    for (page = 0; page < pages; page += WINDOW_PAGES) {
        size_t count = pages - page < WINDOW_PAGES ? pages - page : WINDOW_PAGES;
        size_t i;

        if (mincore(map + page * page_bytes, count * page_bytes, window) < 0)
            break;
        for (i = 0; i < count; i++)
            drop->resident += window[i] & 1U;
    }
    munmap(map, (size_t)found.st_size);
    drop->pages += pages;
    return page < pages ? -1 : 0;
}

static int read_file(int fd, struct drop *drop)
{
    char bytes[READ_BYTES];
    ssize_t got;

    (void)drop;
    do {
        got = read(fd, bytes, sizeof(bytes));
    } while (got > 0 || (got < 0 && errno == EINTR));
    return got < 0 ? -1 : 0;
}

static int each_file(const struct bench_scratch *scratch, int (*act)(int, struct drop *),
                     struct drop *drop, struct bench_failure *failure)
{
    char *paths[] = {(char *)(uintptr_t)scratch->path, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    int rc = 0;

    if (walk == NULL)
        return bench_failure_set(failure, "%.180s: %s", scratch->path, strerror(errno));
    while (rc == 0) {
        const FTSENT *entry = fts_read(walk);
        int fd;

        if (entry == NULL)
            break;
        if (entry->fts_info != FTS_F)
            continue;
        fd = open(entry->fts_accpath, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || act(fd, drop) < 0) {
            rc = bench_failure_set(failure, "page cache: %.160s: %s", entry->fts_accpath,
                                   strerror(errno));
        }
        if (fd >= 0)
            close(fd);
    }
    fts_close(walk);
    return rc;
}

/* 1: the page cache. Whether it worked is seen afterwards. */
static void drop_machine(void)
{
    int fd = open(drop_path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    while (write(fd, "1", 1) < 0 && errno == EINTR)
        continue;
    close(fd);
}

int bench_cold_drop(const struct bench_scratch *scratch, int files_only, double *share,
                    struct bench_failure *failure)
{
    struct drop drop = {0};

    if (each_file(scratch, drop_file, &drop, failure) < 0)
        return -1;
    if (!files_only)
        drop_machine();
    if (each_file(scratch, count_file, &drop, failure) < 0)
        return -1;
    *share = drop.pages > 0 ? (double)drop.resident / (double)drop.pages : 0;
    return 0;
}

int bench_cold_end(const struct bench_scratch *scratch, struct bench_failure *failure)
{
    struct drop drop = {0};

    return each_file(scratch, read_file, &drop, failure);
}

const char *bench_cold_how(int files_only)
{
    return !files_only && access(drop_path, W_OK) == 0 ? "posix_fadvise and drop_caches"
                                                       : "posix_fadvise";
}
