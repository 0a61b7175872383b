/* events.h - the events of a run: made once from a seed, kept in memory, given to every system.
 *
 * They are made before any clock starts. The same plan gives the same events, byte for byte. */
#ifndef BENCH_EVENTS_H
#define BENCH_EVENTS_H

#include "ids.h"

#include <stddef.h>
#include <stdint.h>

/* What a run is asked to do. */
struct bench_plan {
    uint64_t events;
    uint64_t streams; /* names to choose from; with few events some are never chosen */
    uint64_t size;    /* bytes of data of one event */
    uint64_t batch;   /* events in one durable commit */
    uint64_t seed;
    uint64_t tail; /* events of the writer that is killed (workload_reopen.c) */
    enum bench_ids ids;
    int files_only;     /* before a cold read drop only the files of the store (cold.h) */
    uint64_t threads;   /* of all processes together; 1 unless the workload is of a crew (crew.h) */
    uint64_t processes; /* at most one a thread */
    uint64_t in_flight; /* asynchronous commits of each thread; 0: it waits for each commit */
    uint64_t seconds;   /* that a crew works */
};

struct bench_event {
    const char *stream; /* "order-N" and the like */
    const char *type;
    const char *data; /* one JSON value */
    const char *const *tags;
    const unsigned char *id; /* BENCH_ID_BYTES; NULL: none */
    int64_t time_ns;
    uint32_t version; /* within its stream, for systems that do not count themselves */
    uint32_t stream_size;
    uint32_t type_size;
    uint32_t data_size;
    uint32_t tag_count;
    int packed; /* 1: the data is msgpack */
};

/* A stream's name, with its 0. */
enum { BENCH_NAME_BYTES_MAX = 40 };

enum { BENCH_THREADS_MAX = 256, BENCH_PROCESSES_MAX = 64 };

struct bench_events {
    struct bench_event *items;
    size_t count;
    char *names;
    char *data;
    unsigned char *ids;
};

/* All of an event but its stream and version, from chance: event `number`, which counts from 1, has
 * `size` bytes in `data`. */
void bench_event_fill(struct bench_event *event, uint64_t *chance, uint64_t number, char *data,
                      size_t size);

/* Its id, into `out`, if the plan has ids. Their chance is one of its own. */
void bench_event_identify(struct bench_event *event, const struct bench_plan *plan,
                          uint64_t *chance, unsigned char *out);

/* Bytes of memory that the events of a plan take. */
uint64_t bench_events_bytes(const struct bench_plan *plan);

/* Make the events of a plan.
 *
 * Memory:  the caller's until bench_events_release().
 * Returns: 0, or -1 if memory is out. */
int bench_events_init(struct bench_events *events, const struct bench_plan *plan);
void bench_events_release(struct bench_events *events);

/* The name of stream `n` of a plan, from 0. */
const char *bench_events_stream(const struct bench_events *events, uint64_t n);

#endif
