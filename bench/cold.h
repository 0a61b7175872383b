/* cold.h - a store that is not in memory: its files dropped from the page cache, and looked whether
 * they are. */
#ifndef BENCH_COLD_H
#define BENCH_COLD_H

#include "scratch.h"
#include "text.h"

/* How much may stay and the read is still called cold. */
#define BENCH_COLD_SHARE_MAX 0.01

/* Write all files below the directory to the disk and drop them from the page cache. No process may
 * have them open. Unless `files_only`, and where the kernel lets us (as root), the page cache of
 * the whole machine is dropped too: that takes what the file system keeps there about the files.
 *
 * `*share` is how much of the files is in memory nevertheless: 0 nothing, 1 all.
 *
 * Returns: 0, or -1 and a text in `failure`. */
int bench_cold_drop(const struct bench_scratch *scratch, int files_only, double *share,
                    struct bench_failure *failure);

/* The opposite: read all files below the directory, so that those that fit are in memory.
 *
 * Returns: 0, or -1 and a text in `failure`. */
int bench_cold_end(const struct bench_scratch *scratch, struct bench_failure *failure);

/* How it is done here, for the reader of the report. */
const char *bench_cold_how(int files_only);

#endif
