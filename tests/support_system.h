/* support_system.h - what the system tests share: random numbers with a seed, directories that go
 * away, whole files, processes that are spawned, and a check that says where it failed. */
#ifndef SUPPORT_SYSTEM_H
#define SUPPORT_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SYS_PATH_BYTES 256

/* ---- random numbers: splitmix64 -------------------------------------------------------------- */

struct sys_random {
    uint64_t state;
};

uint64_t sys_next(struct sys_random *random);
uint64_t sys_below(struct sys_random *random, uint64_t bound); /* 0 for bound 0 */
bool sys_chance(struct sys_random *random, unsigned percent);
uint64_t sys_seed(void); /* a new one each time */

/* ---- files ----------------------------------------------------------------------------------- */

/* Make a directory of its own, below TMPDIR if that is set; else in memory if that is wanted and
 * the machine can. */
void sys_directory(char path[SYS_PATH_BYTES], bool in_memory);
void sys_remove(const char *path); /* with all that is in it */
void sys_join(char out[SYS_PATH_BYTES], const char *directory, const char *name);
bool sys_exists(const char *path);
uint64_t sys_file_size(const char *path);
uint64_t sys_file_sum(const char *path);
void sys_file_copy(const char *from, const char *to);
void sys_file_write(const char *path, const void *bytes, size_t size);
void sys_file_read(const char *path, uint64_t at, void *bytes, size_t size);
void sys_file_patch(const char *path, uint64_t at, const void *bytes, size_t size);

/* ---- processes and time ---------------------------------------------------------------------- */

/* Start this very program with other arguments (the last one NULL). */
pid_t sys_spawn(const char *const *arguments);

/* Its exit code, or 256 + the signal that ended it. */
int sys_wait(pid_t pid);
double sys_seconds(void);
void sys_sleep_ms(unsigned milliseconds);

/* ---- checks ---------------------------------------------------------------------------------- */

/* Printed with every failure: seed, step, whatever helps to do it again. */
extern char sys_note[512];

/* `what` is the condition as text: no format, it may have a % in it. */
_Noreturn void sys_fail(const char *file, int line, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            sys_fail(__FILE__, __LINE__, #condition, __VA_ARGS__);                                 \
    } while (0)

#endif
