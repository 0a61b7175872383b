/* trace.h - what crash_preload.so and the drivers tell each other: its environment, the words that
 * it counts in, and the log of everything that was written.
 *
 *     CRASH_DIR    only files below it count; no link in the path
 *     CRASH_CALLS  which calls are counted: letters of CRASH_CLASSES; default "WSNT"
 *     CRASH_KILL   N:before, N:after, or N:step:K: SIGKILL before or after the N-th counted call
 *                  does its work, or K instructions after it; N:past: after the N-th write or flush
 *                  that follows the one that failed
 *     CRASH_FAIL   N:before:ERRNO, N:after:ERRNO (it does its work and says that it has not),
 *                  N:short:0 (a write of half the bytes); with "+" behind it all later ones too
 *     CRASH_STATE  a file of struct crash_state, shared: kept up to date, and read for `off`
 *     CRASH_LOG    a file to which each change is appended */
#ifndef CRASH_TRACE_H
#define CRASH_TRACE_H

#include <stdatomic.h>
#include <stdint.h>

/* Writes, flushes, names (open, mkdir, rename, unlink), sizes, reads, locks, maps of files, what
 * LMDB allocates, and, by themselves, writes that wait for the disk: LMDB's meta pages. */
#define CRASH_CLASSES "WSNTRLMAD"

enum crash_class {
    CRASH_WRITE,
    CRASH_SYNC,
    CRASH_NAME,
    CRASH_SIZE,
    CRASH_READ,
    CRASH_LOCK,
    CRASH_MAP,
    CRASH_ALLOCATION,
    CRASH_META,
    CRASH_CLASS_COUNT
};

struct crash_state {
    atomic_uint calls; /* that were counted */
    atomic_uint met;   /* that failed */
    atomic_uint off;   /* 1: no more faults, the disk is well again */
    atomic_uint begun; /* the workload: operations that were begun, and that were acknowledged */
    atomic_uint acked;
    atomic_uint failures; /* operations that failed, and were done later */
    atomic_uint unknown;  /* of them: nobody knew whether it was done */
    atomic_uint by_class[CRASH_CLASS_COUNT];
};

/* A record of the log: this, then `size` bytes. */
enum crash_kind {
    TRACE_WRITE = 1,  /* to `inode`: the bytes, at `offset` */
    TRACE_SIZE = 2,   /* `inode` now has `offset` bytes */
    TRACE_SYNC = 3,   /* of `inode`, a file or a directory */
    TRACE_CREATE = 4, /* name in `directory` is `inode` */
    TRACE_MKDIR = 5,
    TRACE_RENAME = 6, /* name in `directory` to the second name in `directory_to` */
    TRACE_UNLINK = 7, /* name in `directory` */
    TRACE_MARK = 8    /* writer `inode`: `offset` is 4 * operation + crash_mark_kind */
};

enum crash_mark_kind {
    MARK_BEGUN,
    MARK_DURABLE, /* acknowledged, and the disk has it */
    MARK_LAZY     /* acknowledged, and durable with the next one */
};

enum crash_trace_flags {
    TRACE_DSYNC = 1, /* durable when the write returned */
    TRACE_FAILED = 2 /* the call said that it failed, but did its work */
};

struct crash_trace {
    uint32_t kind;
    uint32_t flags;
    uint64_t inode;
    uint64_t directory;
    uint64_t directory_to;
    uint64_t offset;
    uint64_t size;
};

/* The preloaded library's; absent without it. */
void crash_mark(unsigned writer, uint64_t mark) __attribute__((weak));

#endif
