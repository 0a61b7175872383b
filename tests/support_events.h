/* support_events.h - a made-up history, and by a naive look at it where each term occurs. What
 * segments, the tail and the index say is compared with that. Includes nothing of Criterion. */
#ifndef SUPPORT_EVENTS_H
#define SUPPORT_EVENTS_H

#include "key.h"
#include "record.h"
#include "support.h"
#include "table.h"

enum { SUPPORT_STREAMS = 13, SUPPORT_TYPES = 3, SUPPORT_CATEGORIES = 4, SUPPORT_TAGS = 3 };
enum { SUPPORT_IDS = 40 }; /* so few that each stream has most of them several times */

/* The event at position i + 1 of an array. */
struct support_event {
    char stream[16]; /* its category is what stands before the '-' */
    char type[8];
    uint64_t version;
    bool damaged; /* nobody can read it */
    bool has_id;
    uint8_t id[16];
    uint8_t tag_count;
    uint8_t tags_size;
    char tags[4 * SUPPORT_TAGS]; /* "k:1", one after another, each with its 0 */
};

/* `damaged_of_1000` of a thousand events are damaged. */
void support_make_events(struct support_random *random, unsigned damaged_of_1000,
                         struct support_event *events, size_t count);

/* One occurrence of a term. `number` counts a stream's versions, and of other terms from 1. */
struct support_entry {
    uint64_t number;
    uint64_t position;
};

/* Those of a term at positions in (after, upto], of events that can be read; kind DAMAGED: of those
 * that cannot. Returns how many. */
size_t support_entries(const struct support_event *events, uint64_t after, uint64_t upto,
                       enum qp_term_kind kind, const char *name, struct support_entry *entries);

/* The first event at a position in (after, upto] that can be read, and has the stream and the id of
 * `event`, which has one. 0: none. */
uint64_t support_find_id(const struct support_event *events, uint64_t after, uint64_t upto,
                         const struct support_event *event);

/* What its id is found by. */
void support_id_name(const struct support_event *event, uint8_t name[QP_ID_NAME_BYTES]);

/* Terms of the history, by number; "" after the last. DAMAGED is one of them, with the name "". */
enum { SUPPORT_TERMS = SUPPORT_STREAMS + SUPPORT_TYPES + SUPPORT_CATEGORIES + SUPPORT_TAGS + 1 };
struct support_term {
    enum qp_term_kind kind;
    char name[16];
};
void support_term(size_t number, struct support_term *term);

/* As a reader sees it: enough for qp_segment_add(). */
struct qp_record support_record(const struct support_event *event);

/* As who appends it. Its tags stand in `tags`. */
quipu_draft support_draft(const struct support_event *event, const char *tags[SUPPORT_TAGS]);

/* A made-up query over those terms, and some that no event has. Never copied: it points into
 * itself. */
enum { SUPPORT_ITEMS = 3, SUPPORT_ITEM_NAMES = 2 };
struct support_query {
    quipu_query query;
    quipu_query_item items[SUPPORT_ITEMS];
    const char *types[SUPPORT_ITEMS][SUPPORT_ITEM_NAMES];
    const char *tags[SUPPORT_ITEMS][SUPPORT_ITEM_NAMES];
    char names[SUPPORT_ITEMS][2 + 2 * SUPPORT_ITEM_NAMES][16];
};
void support_make_query(struct support_random *random, struct support_query *query);

/* By a naive look; damaged or not. */
bool support_matches(const quipu_query *query, const struct support_event *event);

/* Open (make) an LMDB file of the scratch directory. Aborts if that is impossible. */
struct qp_store *support_open_log(const char *name, uint64_t map_bytes);
struct qp_store *support_open_index(const char *name);

/* Append the records at positions (after, upto] to a log; a damaged one has a flipped bit, or is
 * missing if its position is even. Aborts if that is impossible. */
void support_append_events(struct qp_store *log, const struct support_event *events, uint64_t after,
                           uint64_t upto);

#endif
