/* disk.h - a disk that keeps of the recorded writes what a power cut may leave.
 *
 *     written   the cache has it; it may reach the disk, whole, in sectors, or not: *pending*
 *     flushed   fsync or fdatasync of the file, or a write with O_DSYNC that has returned:
 * *durable* a flush that failed: what was pending is *adrift*. The kernel calls the pages clean, so
 * that no later flush writes them; whether the disk has them nobody knows. A page that is written
 * to again is dirty again, all of it a name    pending until its directory is flushed
 *
 * Unit is the page of 4 KiB, as it was in the cache after a write; torn ones are mixed by sectors
 * of 512 bytes. Names are kept or lost each for itself, in any order: no file system is as bad. */
#ifndef CRASH_DISK_H
#define CRASH_DISK_H

#include "trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crash_disk;

struct sys_random;

enum crash_cut {
    CUT_ALL,    /* everything that is pending has reached the disk */
    CUT_NONE,   /* nothing of it */
    CUT_RANDOM, /* each write or not */
    CUT_DROP,   /* all but one */
    CUT_ONLY,   /* only one */
    CUT_TORN,   /* at random, and one in sectors */
    CUT_COUNT
};

/* A disk with what stands below `directory`, and the log of what happened to it afterwards. */
struct crash_disk *crash_disk_load(const char *directory);
void crash_disk_read_log(struct crash_disk *disk, const char *path);
void crash_disk_free(struct crash_disk *disk);

size_t crash_disk_ops(const struct crash_disk *disk);
const struct crash_trace *crash_disk_op(const struct crash_disk *disk, size_t op);

/* How many operations are pending or adrift. */
size_t crash_disk_pending(const struct crash_disk *disk);

/* Begin operation `op`, the one after the last: it is under way, all before it are done. */
void crash_disk_begin(struct crash_disk *disk, size_t op);

/* It has returned. */
void crash_disk_end(struct crash_disk *disk, size_t op);

/* Write what the power cut leaves below `directory`, which is emptied. */
void crash_disk_cut(const struct crash_disk *disk, enum crash_cut cut, struct sys_random *random,
                    const char *directory);

#endif
