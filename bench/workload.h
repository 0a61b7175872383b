/* workload.h - what can be measured. One file a workload, all behind this interface.
 *
 * A workload runs in a process of its own, which round.h starts: what one run leaves in the heap
 * cannot help or hurt the next. */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "events.h"
#include "peers/peer.h"
#include "scratch.h"

enum { BENCH_WORKLOADS_MAX = 32 };

/* What one run gave. Plain numbers: it goes through a pipe as it is. All of one kind, so that the
 * median of several runs is taken field by field. */
struct bench_round {
    double events_per_s;
    double seconds;       /* the clock, close included */
    double close_seconds; /* of these, in the close */
    double cpu_seconds;   /* user and system, while the clock ran */
    double p50_us;        /* latency of one commit */
    double p99_us;
    double max_us;
    double disk_bytes_per_event; /* of the closed store */
    double rss_bytes;            /* peak of the process above what it had at the start */
    double private_bytes;        /* its heap just before the close, without mapped pages of files */
};

struct bench_workload {
    const char *name;
    const char *about; /* one line */

    /* Run it once in an empty directory. Returns: 0, or -1 and a text in `failure`. */
    int (*run)(const struct bench_peer *peer, const struct bench_plan *plan,
               const struct bench_events *events, const struct bench_scratch *scratch,
               struct bench_round *out, struct bench_failure *failure);
};

extern const struct bench_workload bench_workload_bulk_load;

/* The workload of number `n`, NULL after the last. */
const struct bench_workload *bench_workload_at(size_t n);

#endif
