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
 * median of several runs is taken field by field. A field that the workload's kind does not have is
 * 0, and no report shows it. */
struct bench_round {
    double events_per_s;
    double threads; /* of a crew, in all its processes */
    double processes;
    double in_flight;     /* asynchronous commits of each */
    double seconds;       /* the clock; of a load the close included */
    double close_seconds; /* of these, in the close */
    double cpu_seconds;   /* user and system, while the clock ran */
    double operations;    /* how many were timed one by one */
    double p50_us;        /* latency of one operation: a commit, a whole read, opening to append */
    double p99_us;
    double p999_us; /* for one in a thousand it is longer */
    double max_us;
    double load_max_us;          /* of a load beside it, its slowest commit */
    double open_us;              /* median, of opening the store before an operation */
    double cached_share;         /* of the store that stayed in memory, 0 to 1; the worst */
    double disk_bytes_per_event; /* of the closed store */
    double rss_bytes;            /* peak of the process above what it had at the start */
    double private_bytes;        /* its heap just before the close, without mapped pages of files */
    double group_events;         /* events that share a flush, the mean; 0: nobody knows */
    double switches;             /* of threads, an event */
};

/* What is measured, and so which fields there are and by which of them systems are compared. */
enum bench_kind {
    BENCH_LOAD = 1,              /* compared by events_per_s */
    BENCH_READ = 2,              /* this and the next three by p50_us */
    BENCH_COLD = 4,              /* a read from the disk */
    BENCH_REOPEN = 8,            /* from open to the first append */
    BENCH_RECOVER = 16,          /* the same behind a killed writer */
    BENCH_REINDEX = 32,          /* compared by events_per_s */
    BENCH_APPEND = 64,           /* likewise; events one by one, in a fixed time */
    BENCH_BESIDE = 128,          /* events one by one beside a load: compared by p999_us */
    BENCH_WAKE = 256,            /* from an append to who waits for it: compared by p50_us */
    BENCH_PROJECT = 512,         /* compared by events_per_s */
    BENCH_PROJECT_BESIDE = 1024, /* events one by one beside that: compared by p999_us */

    BENCH_BY_SPEED = BENCH_LOAD | BENCH_REINDEX | BENCH_APPEND | BENCH_PROJECT
};

/* What a run works on. */
struct bench_work {
    const struct bench_peer *peer;
    const struct bench_plan *plan;
    const struct bench_events *events;   /* NULL if the workload is of a store */
    const struct bench_scratch *scratch; /* an empty directory, or the one of a store */
    const void *payload;                 /* the workload's own, or NULL */
};

struct bench_workload {
    const char *name;
    const char
        *variant;      /* of several under one name, which are measured one after another; or "" */
    const char *about; /* one line */
    const char *goal;  /* of Quipu, one line; NULL: none */
    enum bench_kind kind;

    /* 1: it works on a store of the plan's events (feed.h), made once for all of these workloads
     * and rounds. What a run appends stays there, in a category of its own. */
    int of_store;

    /* 1: it is run by plan->threads in plan->processes (crew.h), once for each of the threads and
     * processes that were asked for. */
    int of_crew;

    /* Whether a peer has the calls that are needed. NULL: all have. */
    int (*can)(const struct bench_peer *peer);

    /* Run it once. `out` is all zeroes. Returns: 0, or -1 and a text in `failure`. */
    int (*run)(const struct bench_work *work, struct bench_round *out,
               struct bench_failure *failure);
};

extern const struct bench_workload bench_workload_bulk_load;
extern const struct bench_workload bench_workload_append_one;
extern const struct bench_workload bench_workload_append_long_merging;
extern const struct bench_workload bench_workload_append_long_thread;
extern const struct bench_workload bench_workload_append_long_unmerged;
extern const struct bench_workload bench_workload_wake;
extern const struct bench_workload bench_workload_read_category;
extern const struct bench_workload bench_workload_read_stream_warm;
extern const struct bench_workload bench_workload_read_stream_cold;
extern const struct bench_workload bench_workload_reopen_closed;
extern const struct bench_workload bench_workload_reopen_killed;
extern const struct bench_workload bench_workload_find_tags_short;
extern const struct bench_workload bench_workload_find_tags_long;
extern const struct bench_workload bench_workload_reindex;
extern const struct bench_workload bench_workload_project;
extern const struct bench_workload bench_workload_project_beside;
extern const struct bench_workload bench_workload_project_alone;
extern const struct bench_workload bench_workload_load_whole;
extern const struct bench_workload bench_workload_load_snapshot;
extern const struct bench_workload bench_workload_view_get;
extern const struct bench_workload bench_workload_view_scan;

/* Makes the store of the others, in an empty directory. Not in the list: nobody asks for it. */
extern const struct bench_workload bench_workload_preload;

/* Take the latencies of `count` > 0 operations into a round. Sorts them. */
void bench_round_latencies(struct bench_round *round, double *latency_us, size_t count);

/* The workload of number `n`, NULL after the last. Variants of one name stand together. */
const struct bench_workload *bench_workload_at(size_t n);

#endif
