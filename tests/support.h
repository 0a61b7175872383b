/* support.h - what the tests of several modules need. Includes nothing of Criterion, so that plain
 * programs can link it too; support_suite.h has the fixtures for Criterion.
 *
 * One directory and one heap a process: Criterion runs each test in a process of its own. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include "base.h"

/* ---- a scratch directory ---- */

#define SUPPORT_PATH_BYTES 1024

/* Its path; made below TMPDIR (or /tmp) at the first call. Aborts if that is impossible. */
const char *support_dir(void);

/* A path in it, of at most SUPPORT_PATH_BYTES. Returns `out`. */
char *support_path(char out[SUPPORT_PATH_BYTES], const char *name);

/* A file of the tree's tests/ directory. */
char *support_tests_path(char out[SUPPORT_PATH_BYTES], const char *name);

/* Remove a file, or a directory with all that is in it. */
void support_remove(const char *path);

/* Write a file anew, or read a whole one (`*size` in: capacity). false: it cannot be done. */
bool support_write_file(const char *path, const void *bytes, size_t size);
bool support_read_file(const char *path, void *bytes, size_t *size);

/* ---- the library's heap ---- */

/* Count what the library allocates from now on. */
void support_heap_begin(void);
long support_heap_live(void);  /* allocations not given back */
long support_heap_calls(void); /* allocations and resizes since support_heap_begin() */

/* Let the n-th call from now on (1: the next) fail, and with `sticky` all after it; 0: none. */
void support_heap_fail(long n, bool sticky);

/* ---- around each test ---- */

void support_begin(void);

/* Remove the directory and look for leaks. NULL, or what is wrong. */
const char *support_end(void);

/* ---- this and that ---- */

/* The same numbers at each run. */
struct support_random {
    uint64_t state;
};
uint64_t support_random(struct support_random *random);
uint64_t support_random_below(struct support_random *random, uint64_t bound); /* bound > 0 */

/* `count` times `byte` and a 0, the caller's to free(). */
char *support_repeat(char byte, size_t count);

#endif
