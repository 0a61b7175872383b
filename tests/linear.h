/* linear.h - a recorded history of calls on one store, and whether some order of them explains it.
 *
 * The order of commits is known: it is that of positions. The state of a store is how many of the
 * events are in it, which always is where a batch ends. So each call is to be given one state - a
 * commit the one right before its first event - in which it says what it said, and which never runs
 * back: who began after another had returned sees what that one saw, or more. */
#ifndef LINEAR_H
#define LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LINEAR_STREAMS = 4,
    LINEAR_TYPES = 3,
    LINEAR_TAGS = 5,
    LINEAR_APPENDS = 2,
    LINEAR_NUMBERS = 2 /* a mark, and a source */
};

/* What a query asks for: all of it, or with `either` one of stream and tag. -1: not given. */
struct linear_query {
    int8_t stream;
    int8_t type;
    int8_t tag;
    bool either;
};

enum linear_kind { LINEAR_COMMIT, LINEAR_HEAD, LINEAR_VERSION, LINEAR_FIRST, LINEAR_NUMBER };
enum linear_number { LINEAR_MARK, LINEAR_SOURCE };

struct linear_append {
    uint8_t stream;
    uint8_t count; /* 0: only the condition */
    bool failed;
    uint64_t expected;
    uint64_t actual; /* the version that the store said it had */
};

struct linear_call {
    int64_t begin_ns;
    int64_t end_ns; /* 0: it has not returned */
    enum linear_kind kind;
    bool refused;
    uint32_t author; /* in the data of its events: unique over all calls */
    uint32_t append_count;
    struct linear_append appends[LINEAR_APPENDS];
    bool unless; /* COMMIT: with a condition on `query`; FIRST always has one */
    bool unless_failed;
    struct linear_query query;
    uint64_t after;
    uint64_t matched; /* 0: nothing */
    bool moves;       /* COMMIT: a mark or a source too, and then it has events */
    bool move_failed;
    enum linear_number which; /* NUMBER too */
    uint64_t number;          /* from 1 on, so that 0 is nothing */
    uint64_t number_was;
    uint64_t first; /* COMMIT: its positions, 0 without events; HEAD, VERSION, NUMBER: the value */
    uint64_t last;
};

/* As the log has it in the end. */
struct linear_event {
    uint8_t stream;
    uint8_t type;
    uint8_t tag;
    uint32_t author;
};

struct linear_history {
    struct linear_call *calls;
    size_t call_count;
    const struct linear_event *events; /* of position i + 1 */
    uint64_t head;
};

bool linear_matches(const struct linear_query *query, const struct linear_event *event);

/* NULL, or what is wrong with the history; `*call` then is the one that cannot be explained. Sorts
 * the calls. */
const char *linear_check(struct linear_history *history, const struct linear_call **call);

/* Small histories, right and wrong. NULL, or which one was judged wrong. */
const char *linear_self_test(void);

#endif
