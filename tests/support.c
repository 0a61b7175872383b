/* support.c - see support.h. */
#include "support.h"

#include "memory.h"

#include <errno.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifndef QUIPU_TESTS_DIR
#define QUIPU_TESTS_DIR "tests" /* from the top of the tree */
#endif

/* Of a sanitized program; it reports what nobody points to. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* ---- a scratch directory ---- */

static char directory[SUPPORT_PATH_BYTES / 2];

static void give_up(const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
    abort();
}

const char *support_dir(void)
{
    const char *parent = getenv("TMPDIR");

    if (directory[0] != '\0')
        return directory;
    (void)snprintf(directory, sizeof(directory), "%s/quipu-test-XXXXXX",
                   parent != NULL && parent[0] != '\0' ? parent : "/tmp");
    if (mkdtemp(directory) == NULL)
        give_up(directory);
    return directory;
}

char *support_path(char out[SUPPORT_PATH_BYTES], const char *name)
{
    (void)snprintf(out, SUPPORT_PATH_BYTES, "%s/%s", support_dir(), name);
    return out;
}

char *support_tests_path(char out[SUPPORT_PATH_BYTES], const char *name)
{
    (void)snprintf(out, SUPPORT_PATH_BYTES, "%s/%s", QUIPU_TESTS_DIR, name);
    return out;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    (void)remove(path);
    return 0;
}

void support_remove(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

bool support_write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "we");
    bool done;

    if (file == NULL)
        return false;
    done = size == 0 || fwrite(bytes, size, 1, file) == 1;
    return fclose(file) == 0 && done;
}

bool support_read_file(const char *path, void *bytes, size_t *size)
{
    FILE *file = fopen(path, "re");
    bool done;

    if (file == NULL)
        return false;
    *size = fread(bytes, 1, *size, file);
    done = ferror(file) == 0 && fgetc(file) == EOF;
    return fclose(file) == 0 && done;
}

/* ---- the library's heap ---- */

static struct {
    atomic_long live;
    atomic_long calls;
    atomic_long fail_at; /* 0: never */
    atomic_bool sticky;
} heap;

static bool must_fail(void)
{
    long call = atomic_fetch_add(&heap.calls, 1) + 1;
    long fail_at = atomic_load(&heap.fail_at);

    if (fail_at == 0)
        return false;
    return atomic_load(&heap.sticky) ? call >= fail_at : call == fail_at;
}

static void *counted(void *memory, size_t size, void *payload)
{
    void *moved;

    (void)payload;
    if (size == 0) {
        atomic_fetch_sub(&heap.live, 1);
        free(memory);
        return NULL;
    }
    if (must_fail())
        return NULL;
    moved = realloc(memory, size);
    if (moved != NULL && memory == NULL)
        atomic_fetch_add(&heap.live, 1);
    return moved;
}

void support_heap_begin(void)
{
    atomic_store(&heap.live, 0);
    atomic_store(&heap.calls, 0);
    atomic_store(&heap.fail_at, 0);
    qp_memory_hook(counted, NULL);
}

long support_heap_live(void)
{
    return atomic_load(&heap.live);
}

long support_heap_calls(void)
{
    return atomic_load(&heap.calls);
}

void support_heap_fail(long n, bool sticky)
{
    atomic_store(&heap.sticky, sticky);
    atomic_store(&heap.fail_at, n > 0 ? atomic_load(&heap.calls) + n : 0);
}

/* ---- around each test ---- */

void support_begin(void)
{
    support_heap_begin();
}

const char *support_end(void)
{
    static char text[80];

    if (directory[0] != '\0')
        support_remove(directory);
    directory[0] = '\0';
    if (support_heap_live() != 0) {
        (void)snprintf(text, sizeof(text), "%ld allocations of the library were not given back",
                       support_heap_live());
        return text;
    }
    if (__lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0)
        return "LeakSanitizer has found a leak";
    return NULL;
}

/* ---- this and that ---- */

/* splitmix64 */
uint64_t support_random(struct support_random *random)
{
    uint64_t z;

    random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = random->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t support_random_below(struct support_random *random, uint64_t bound)
{
    return support_random(random) % bound;
}

char *support_repeat(char byte, size_t count)
{
    char *text = malloc(count + 1);

    if (text == NULL)
        give_up("malloc");
    memset(text, byte, count);
    text[count] = '\0';
    return text;
}
