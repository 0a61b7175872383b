/* plan.h - what a workload does, as a list that follows from a seed: so that whoever looks at the
 * store afterwards knows what must be in it, to the byte.
 *
 * A plan belongs to one writer. Most of its streams are its own, so that their versions are known
 * beforehand; a few are shared by all writers. Each event says in its data which operation of which
 * plan it is of. A further kind of operation is a value of crash_op_kind, a line in a part
 * (plan.c), a case in run.c, and, if it leaves something, a look at it in inspect.c. Those of
 * projections stand in plan_project.c, project.c and inspect_project.c. */
#ifndef CRASH_PLAN_H
#define CRASH_PLAN_H

#include <quipu.h>

#include "support_folds.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRASH_PARTS                                                                                \
    "create,append,batch,refuse,look,track,project,rebuild,inline,lazy,async,snapshot,reindex,"    \
    "reopen,merge,thread,grow"

enum {
    CRASH_OWN_STREAMS = 12,
    CRASH_SHARED_STREAMS = 4,
    CRASH_STREAMS = CRASH_OWN_STREAMS + CRASH_SHARED_STREAMS,
    CRASH_NAME_BYTES = 64,
    CRASH_DATA_BYTES = 32 * 1024,
    CRASH_PARTS_MAX = 32
};

enum crash_op_kind {
    CRASH_OPEN,
    CRASH_CLOSE,
    CRASH_REINDEX,
    CRASH_LOOK,     /* every call that reads */
    CRASH_COMMIT,   /* committed */
    CRASH_EXECUTE,  /* one event, by quipu_execute() */
    CRASH_AGAIN,    /* the batch of `of` once more: DUPLICATE */
    CRASH_CONFLICT, /* one of its versions is wrong */
    CRASH_PARTIAL,  /* the events of `of`, and one more: PARTIAL_DUPLICATE */
    CRASH_KNOWN,    /* new ones, and one of `of` among them: DUPLICATE_ID */
    CRASH_TWICE,    /* one id twice: DUPLICATE_ID */
    CRASH_OUTDATED, /* unless events of a query, of which there are some: CONFLICT */
    CRASH_TRACKED,  /* with a number that the source has had: ALREADY_TRACKED */
    CRASH_ASYNC,    /* committed, without waiting for it */
    CRASH_FLUSH,
    CRASH_SAVE,    /* a snapshot of a stream */
    CRASH_DROP,    /* all snapshots */
    CRASH_PROJECT, /* a projection is brought to the head, or to where it stops */
    CRASH_CONTROL  /* it gets an order */
};

/* What an operation is to a projection. */
struct crash_project {
    struct folds_function function;
    uint32_t page_events;
    int control;
    int key;       /* a stream; -1: none */
    int rc;        /* what it returns */
    uint64_t mark; /* it is at least there when that is done; 0: nothing is known */
};

struct crash_step {
    unsigned stream;
    uint32_t first; /* event of the operation */
    uint32_t count;
    uint64_t expected;
    uint64_t first_version; /* 0: the stream is shared, nobody knows */
};

struct crash_op {
    enum crash_op_kind kind;
    unsigned part;
    size_t first_step;
    size_t step_count;
    uint32_t events;
    uint32_t data_bytes_max;
    uint32_t of; /* another operation; of SAVE a stream */
    bool ids;
    bool tracks;     /* moves the writer's source and mark to crash_tracked_number() */
    bool lazy;       /* with an open of QUIPU_LAZY */
    bool inlines;    /* with an inline projection registered */
    uint16_t poison; /* the schema of its events; 0: any that no projection fails at */
    struct crash_project project;
    uint32_t open_flags;
    uint64_t map_bytes;
    uint64_t first_position; /* if no other plan writes to the store; of AGAIN: that of `of` */
};

/* What projections are to find and to make: for who builds the plan. */
struct crash_folds {
    uint64_t marks[FOLDS_COUNT];
    uint32_t versions[FOLDS_COUNT];
    uint64_t made[16][2]; /* positions that FOLDS_MADE has emitted: from, to */
    size_t made_count;
    uint64_t stops_at; /* the position of its poison; 0: none is left */
    bool inline_waits; /* something is to be replayed first */
};

struct crash_plan {
    uint64_t seed;
    unsigned writer;
    struct crash_op *ops;
    size_t op_count;
    struct crash_step *steps;
    size_t step_count;
    uint64_t events;
    unsigned part_count;
    char part_names[CRASH_PARTS_MAX][16];
    uint32_t part_first[CRASH_PARTS_MAX + 1]; /* operation; the next part's is its end */
    uint64_t versions[CRASH_STREAMS];         /* of its own streams, at the end */
    unsigned tail_mib;
    struct crash_folds folds;
};

/* An event as it is appended, with room for all that it points to. */
struct crash_event {
    quipu_draft draft;
    char tags[3][CRASH_NAME_BYTES];
    const char *tag_list[3];
    char meta[CRASH_NAME_BYTES];
    unsigned char *data; /* room for crash_op_data_bytes() */
};

/* `parts`: names divided by commas, of CRASH_PARTS, or "traffic" (many small operations of one open
 * store). Ends the program if there is no such part. */
void crash_plan_build(struct crash_plan *plan, uint64_t seed, unsigned writer, const char *parts);
void crash_plan_free(struct crash_plan *plan);

/* The part of that name: its operations are [*first, *end). */
bool crash_plan_part(const struct crash_plan *plan, const char *name, uint32_t *first,
                     uint32_t *end);

/* Does a part of the plan do something with projections? */
bool crash_part_projects(const struct crash_plan *plan, unsigned part);

/* How far the source and the mark of a writer are when `op` is in. */
uint64_t crash_tracked_number(uint32_t op);

/* "source-3", which is the name of a mark too. */
void crash_source_name(const struct crash_plan *plan, char out[CRASH_NAME_BYTES]);

/* Does it leave events in the store? */
bool crash_op_writes(const struct crash_op *op);

/* Its steps and how many events it sends: those of `of` for AGAIN and PARTIAL. */
const struct crash_step *crash_op_steps(const struct crash_plan *plan, uint32_t op, size_t *count);

/* The most that an event which operation `op` sends has as data. */
size_t crash_op_data_bytes(const struct crash_plan *plan, uint32_t op);

/* The k-th event that operation `op` sends. */
void crash_op_event(const struct crash_plan *plan, uint32_t op, uint32_t k,
                    struct crash_event *event);

void crash_stream_name(const struct crash_plan *plan, unsigned stream, char out[CRASH_NAME_BYTES]);

/* Whose event is this? false: of no plan. */
bool crash_event_origin(const quipu_event *event, unsigned *writer, uint32_t *op, uint32_t *index);

#endif
