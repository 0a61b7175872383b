/* support_folds.h - projections whose views say of which events they were made, and a look that
 * holds views, parked events, emitted ones and what is left of older generations against the log.
 *
 *     stream's name   sum u64, then for each event applied: position and version, in a u64
 *     1 type          count u64, sum u64, and by times so much more that the row is a long one
 *     2 n             the position of the last event of that class, deleted by each third one
 *
 * An event of a certain schema fails for its stream, after it has written rubbish, until the
 * function is mended. The look folds by itself: it knows the log, and of the engine only where rows
 * stand. */
#ifndef SUPPORT_FOLDS_H
#define SUPPORT_FOLDS_H

#include <quipu.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum folds_which {
    FOLDS_LISTS,  /* async, parks */
    FOLDS_MADE,   /* async, stops; streams alone; emits of each fourth position */
    FOLDS_INLINE, /* parks */
    FOLDS_COUNT
};

/* The payload of its functions: it must live as long as the projection. */
struct folds_function {
    enum folds_which which;
    uint32_t version;
    bool mended;
};

void folds_make(const struct folds_function *function, uint32_t page_events, quipu_projection *out);
const char *folds_name(enum folds_which which);

/* The schema that fails, and no other one does. */
uint16_t folds_poison(enum folds_which which);
bool folds_emits(uint64_t position);

/* Is it a stream of FOLDS_MADE? */
bool folds_is_made(const char *stream);

/* ---- what the functions write ---- */

enum { FOLDS_KEY_TYPE = 1, FOLDS_KEY_CLASS = 2 };

uint64_t folds_sum(uint64_t sum, const void *bytes, size_t size);
uint64_t folds_event_sum(const quipu_event *event);
uint64_t folds_entry(uint64_t position, uint32_t version);
size_t folds_type_bytes(uint64_t count);
unsigned folds_class(uint64_t position);
bool folds_class_deletes(uint64_t position);

/* ---- the log, as it was read ---- */

struct folds_event {
    uint64_t sum; /* over all that the functions look at */
    uint64_t made_of;
    uint32_t stream; /* in `names` */
    uint32_t type;
    uint16_t schema;
};

struct folds_log {
    struct folds_event *events; /* of position i + 1 */
    size_t count;
    char **names;
    size_t name_count;
};

void folds_log_read(quipu *store, struct folds_log *log);
void folds_log_free(struct folds_log *log);

/* ---- looks ---- */

/* The row of a projection. */
struct folds_row {
    bool exists;
    bool deleted;
    bool halted; /* paused, or stopped at an event */
    bool replays;
    bool unclean;
    bool rebuilds; /* it was told to */
    uint32_t generation;
    uint32_t version;
    uint32_t building_version; /* 0: nothing is built */
    uint64_t mark;
    uint64_t building_mark;
    uint64_t parked;
};

void folds_row(quipu *store, enum folds_which which, struct folds_row *row);

/* The first parked event of a stream; 0: none. `*failed`: it was tried, else it waits. */
uint64_t folds_first_parked(quipu *store, enum folds_which which, const char *stream, bool *failed);

/* May this event be neither in the view nor parked, because somebody has said so? */
typedef bool (*folds_forgotten_fn)(void *payload, uint32_t version, const char *stream,
                                   uint64_t position);

struct folds_checked {
    struct folds_row row;
    uint64_t rows;      /* of the view */
    uint64_t forgotten; /* events of it */
};

/* Is each generation the fold of the log up to its mark? Nobody may write meanwhile. Ends the
 * program if something is wrong. `forgotten` is of the view, NULL: nothing was; what is built
 * beside it has forgotten nothing. */
void folds_check(quipu *store, const struct folds_log *log, enum folds_which which,
                 folds_forgotten_fn forgotten, void *payload, struct folds_checked *checked);

/* Bring it to the head with a mended function, whatever state it is in: nothing is parked then,
 * nothing built, and nothing left of older generations. It must be there. */
void folds_finish(quipu *store, enum folds_which which);

#endif
