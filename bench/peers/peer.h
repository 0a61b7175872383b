/* peer.h - the small interface behind which every measured system stands, Quipu too.
 *
 * One file a system. A peer promises what Quipu promises: append() that returned 0 is on the disk.
 * It is tuned as its experts would, but for LMDB, which stands for what one builds first, and says
 * how in `settings`. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "../events.h"
#include "../fold.h"
#include "../reading.h"
#include "../text.h"

enum { BENCH_PEERS_MAX = 8 };

/* An asynchronous append is durable: `status` 0, or below it has failed. */
typedef void (*bench_appended_fn)(void *payload, int status);

struct bench_peer {
    const char *name;
    const char *settings; /* one line, printed with the results */
    int on_request;       /* 1: something to hold a store against: only if it is named */

    /* The version of the system that runs, as a short text. */
    void (*version)(char *out, size_t capacity);

    /* Open the store in `directory`, which exists; create it if there is none. */
    int (*open)(const char *directory, void **out, struct bench_failure *failure);

    /* Append all or nothing. On 0 the events are durable. */
    int (*append)(void *store, const struct bench_event *events, size_t count,
                  struct bench_failure *failure);

    /* How many events the store holds. */
    int (*count)(void *store, uint64_t *out, struct bench_failure *failure);

    /* Close, everything durable. NULL is left alone. The store is gone even on failure. */
    int (*close)(void *store, struct bench_failure *failure);

    /* The rest is optional, NULL: the system cannot, and workloads that need it leave it out. */

    /* Behind a large load and before reads, never timed: build what only reading needs. */
    int (*ready)(void *store, struct bench_failure *failure);

    /* Read a stream's events by version, or a category's by position, and give the data of each to
     * bench_reading_add(). */
    int (*read_stream)(void *store, const char *stream, struct bench_reading *reading,
                       struct bench_failure *failure);
    int (*read_category)(void *store, const char *category, struct bench_reading *reading,
                         struct bench_failure *failure);

    /* Read the events that carry both tags, by position. */
    int (*read_tags)(void *store, const char *first, const char *second,
                     struct bench_reading *reading, struct bench_failure *failure);

    /* Throw away what a closed store has beside its events, and make it again. */
    int (*reindex)(const char *directory, struct bench_failure *failure);

    /* As append(), one event, also by several threads at once. */
    int (*append_one)(void *store, const struct bench_event *event, struct bench_failure *failure);
    int processes; /* 1: several processes may have the store open at once */

    /* As append_one(), but do not wait: `appended` is called once, by a later call or by flush(),
     * in the order of the appends. flush() waits for all. */
    int (*append_async)(void *store, const struct bench_event *event, bench_appended_fn appended,
                        void *payload, struct bench_failure *failure);
    int (*flush)(void *store, struct bench_failure *failure);

    /* Wait until there is an event behind `after`, whoever appended it, or the time is over.
     * `*head` is the newest position then. */
    int (*wait)(void *store, uint64_t after, int timeout_ms, uint64_t *head,
                struct bench_failure *failure);

    /* Fold each event that is not folded yet, in the order of positions, into the state of its
     * stream (fold.h). How far that is commits with the states. */
    int (*project)(void *store, struct bench_failure *failure);

    /* The states of these streams, or of those whose names begin so, in one snapshot: each is given
     * to bench_fold_add(). */
    int (*get_states)(void *store, const char *const *streams, size_t count,
                      struct bench_states *states, struct bench_failure *failure);
    int (*scan_states)(void *store, const char *prefix, struct bench_states *states,
                       struct bench_failure *failure);

    /* Fold a stream into its state; with a snapshot every so many events, 0: without. */
    int (*load_state)(void *store, const char *stream, uint64_t snapshot_every,
                      struct bench_state *out, struct bench_failure *failure);

    /* What reading needs is made of many commits at once, by one of those who commit: as open(),
     * but a thread of its own does it. */
    int (*open_merge_thread)(const char *directory, void **out, struct bench_failure *failure);

    /* Before appends, never timed: room for as many bytes of events more. */
    int (*reserve)(void *store, uint64_t bytes, struct bench_failure *failure);

    /* Behind appends, never timed: in how many flushed groups the events came that are behind the
     * first `after`. */
    int (*groups)(void *store, uint64_t after, uint64_t *out, struct bench_failure *failure);
};

/* Every call returns 0, or -1 and a text in `failure`. */

extern const struct bench_peer bench_peer_quipu;
extern const struct bench_peer bench_peer_lmdb;
extern const struct bench_peer bench_peer_file;
extern const struct bench_peer bench_peer_inline; /* Quipu with an inline projection */
extern const struct bench_peer bench_peer_sqlite; /* only where it is built in */

/* Known peers beside Quipu, built in or not: the name of number `n`, NULL after the last. */
const char *bench_peer_name(size_t n);

/* The peer of number `n`, NULL if this program was built without it. */
const struct bench_peer *bench_peer_at(size_t n);

#endif
