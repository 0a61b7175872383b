/* linear_check.c - see linear.h. Each call allows states from `low` to `high`. Going through the
 * calls by their begin and giving each the lowest state that is allowed, and not below those of the
 * calls that had returned before, finds an order if there is any: a lower state never forbids
 * anything to those that come later. */
#include "linear.h"

#include <stdlib.h>
#include <string.h>

#include "quipu.h"

enum { NAME_BYTES = 32 };

/* A number that a commit stored, and the first state that has it. */
struct stored {
    uint64_t state;
    uint64_t number;
};

/* What is known of the log, by naive looks. */
struct view {
    const struct linear_history *history;
    uint64_t *ends;   /* of a position: where its batch ends */
    uint64_t *places; /* stream by stream, the position of each version; [0] is 0 */
    uint64_t versions[LINEAR_STREAMS];
    struct stored *stored[LINEAR_NUMBERS]; /* [0] is nothing at all */
    size_t stored_count[LINEAR_NUMBERS];
};

static uint64_t place_of(const struct view *view, unsigned stream, uint64_t version)
{
    return view->places[stream * (view->history->head + 2) + version];
}

static bool make_view(struct view *view, const struct linear_history *history)
{
    *view = (struct view){.history = history};
    view->ends = calloc(history->head + 2, sizeof(*view->ends));
    view->places = calloc(LINEAR_STREAMS * (history->head + 2), sizeof(*view->places));
    if (view->ends == NULL || view->places == NULL)
        return false;
    for (uint64_t position = history->head; position >= 1; position--) {
        const struct linear_event *event = &history->events[position - 1];
        bool last = position == history->head || event[1].author != event->author;

        view->ends[position] = last ? position : view->ends[position + 1];
    }
    for (uint64_t position = 1; position <= history->head; position++) {
        unsigned stream = history->events[position - 1].stream;

        view->places[stream * (history->head + 2) + ++view->versions[stream]] = position;
    }
    return true;
}

static int by_state(const void *left, const void *right)
{
    const struct stored *a = left;
    const struct stored *b = right;

    return a->state < b->state ? -1 : a->state > b->state;
}

/* What the commits say that they stored, in the order of their positions. */
static const char *view_numbers(struct view *view, enum linear_number which)
{
    struct stored *stored = calloc(view->history->call_count + 1, sizeof(*stored));
    size_t count = 1;

    view->stored[which] = stored;
    if (stored == NULL)
        return "memory";
    for (size_t i = 0; i < view->history->call_count; i++) {
        const struct linear_call *call = &view->history->calls[i];

        if (call->kind == LINEAR_COMMIT && call->moves && !call->refused && call->which == which)
            stored[count++] = (struct stored){call->last, call->number};
    }
    qsort(stored, count, sizeof(*stored), by_state);
    view->stored_count[which] = count;
    for (size_t i = 1; i < count; i++)
        if (stored[i].number < stored[i - 1].number)
            return "a number that was stored runs back";
    return NULL;
}

static void free_view(struct view *view)
{
    for (size_t i = 0; i < LINEAR_NUMBERS; i++)
        free(view->stored[i]);
    free(view->ends);
    free(view->places);
}

static bool is_end(const struct view *view, uint64_t state)
{
    return state == 0 || (state <= view->history->head && view->ends[state] == state);
}

bool linear_matches(const struct linear_query *query, const struct linear_event *event)
{
    bool stream = query->stream < 0 || query->stream == event->stream;
    bool type = query->type < 0 || query->type == event->type;
    bool tag = query->tag < 0 || query->tag == event->tag;

    return query->either ? stream || tag : stream && type && tag;
}

/* The first event after `after`; one more than the head if there is none. */
static uint64_t first_match(const struct linear_history *history, const struct linear_query *query,
                            uint64_t after)
{
    uint64_t position = after + 1;

    while (position <= history->head && !linear_matches(query, &history->events[position - 1]))
        position++;
    return position;
}

/* ---- the states that a call allows ----------------------------------------------------------- */

struct states {
    uint64_t low;
    uint64_t high;
};

static void at_least(struct states *states, uint64_t state)
{
    states->low = state > states->low ? state : states->low;
}

static void at_most(struct states *states, uint64_t state)
{
    states->high = state < states->high ? state : states->high;
}

/* The stream had this version then. */
static const char *allow_version(const struct view *view, unsigned stream, uint64_t version,
                                 struct states *states)
{
    if (version > view->versions[stream])
        return "a version that never was";
    at_least(states, place_of(view, stream, version));
    if (version < view->versions[stream])
        at_most(states, place_of(view, stream, version + 1) - 1);
    return NULL;
}

/* The mark, or the source, had this number then. */
static const char *allow_number(const struct view *view, enum linear_number which, uint64_t number,
                                struct states *states)
{
    const struct stored *stored = view->stored[which];
    size_t low = 0; /* the first that is not less */
    size_t high = view->stored_count[which];

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (stored[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == view->stored_count[which] || stored[low].number != number)
        return "a number that was never stored";
    at_least(states, stored[low].state);
    while (low < view->stored_count[which] && stored[low].number == number)
        low++;
    if (low < view->stored_count[which])
        at_most(states, stored[low].state - 1);
    return NULL;
}

/* The first match was this one, or there was none. */
static const char *allow_match(const struct view *view, const struct linear_call *call,
                               struct states *states)
{
    uint64_t first = first_match(view->history, &call->query, call->after);

    if (call->matched == 0) {
        at_most(states, first - 1);
        return NULL;
    }
    at_least(states, call->matched);
    return first == call->matched ? NULL : "another event matches first";
}

static bool holds(uint64_t expected, uint64_t actual)
{
    if (expected == QUIPU_ANY)
        return true;
    return expected == QUIPU_EXISTS ? actual > 0 : expected == actual;
}

/* What stands at the positions of a commit is what it appended, and the state is known. */
static const char *allow_written(const struct view *view, const struct linear_call *call,
                                 struct states *states)
{
    uint64_t position = call->first;

    if (position == 0 || call->last > view->history->head)
        return "positions that are not there";
    at_least(states, position - 1);
    at_most(states, position - 1);
    for (uint32_t i = 0; i < call->append_count; i++) {
        for (unsigned j = 0; j < call->appends[i].count; j++, position++) {
            const struct linear_event *event = &view->history->events[position - 1];

            if (event->author != call->author || event->stream != call->appends[i].stream)
                return "another event stands at its position";
        }
    }
    return position == call->last + 1 ? NULL : "more or fewer events than it appended";
}

static const char *allow_move(const struct view *view, const struct linear_call *call,
                              struct states *states)
{
    bool back = call->which == LINEAR_MARK ? call->number < call->number_was
                                           : call->number <= call->number_was;

    if (call->move_failed != back)
        return "what it says of a number is not what it did";
    return allow_number(view, call->which, call->number_was, states);
}

static const char *allow_commit(const struct view *view, const struct linear_call *call,
                                struct states *states)
{
    const char *wrong = NULL;
    bool writes = false;
    bool failed = (call->unless && call->unless_failed) || (call->moves && call->move_failed);

    for (uint32_t i = 0; i < call->append_count && wrong == NULL; i++) {
        const struct linear_append *append = &call->appends[i];

        writes = writes || append->count > 0;
        failed = failed || append->failed;
        if (append->failed == holds(append->expected, append->actual))
            return "what it says of a version is not what it did";
        wrong = allow_version(view, append->stream, append->actual, states);
    }
    if (wrong == NULL && failed != call->refused)
        wrong = "refused and nothing failed, or the other way round";
    if (wrong == NULL && call->unless && call->unless_failed != (call->matched != 0))
        wrong = "what it says of the query is not what it did";
    if (wrong == NULL && call->unless)
        wrong = allow_match(view, call, states);
    if (wrong == NULL && call->moves)
        wrong = allow_move(view, call, states);
    if (wrong == NULL && writes && !call->refused)
        wrong = allow_written(view, call, states);
    return wrong;
}

static const char *allow(const struct view *view, const struct linear_call *call,
                         struct states *states)
{
    *states = (struct states){0, view->history->head};
    switch (call->kind) {
    case LINEAR_COMMIT:
        return allow_commit(view, call, states);
    case LINEAR_HEAD:
        at_least(states, call->first);
        at_most(states, call->first);
        return NULL;
    case LINEAR_VERSION:
        return allow_version(view, call->appends[0].stream, call->first, states);
    case LINEAR_FIRST:
        return allow_match(view, call, states);
    case LINEAR_NUMBER:
        return allow_number(view, call->which, call->first, states);
    }
    return "no such call";
}

/* ---- one order ------------------------------------------------------------------------------- */

static int by_begin(const void *left, const void *right)
{
    const struct linear_call *a = left;
    const struct linear_call *b = right;

    return a->begin_ns < b->begin_ns ? -1 : a->begin_ns > b->begin_ns;
}

/* A call that was given its state: by its end. */
struct placed {
    int64_t end_ns;
    uint64_t state; /* after it */
};

/* A heap, the earliest end on top. */
static void heap_put(struct placed *heap, size_t count, struct placed placed)
{
    size_t at = count;

    for (; at > 0 && heap[(at - 1) / 2].end_ns > placed.end_ns; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = placed;
}

static void heap_drop(struct placed *heap, size_t count)
{
    struct placed last = heap[count - 1];
    size_t at = 0;

    for (size_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && heap[child + 1].end_ns < heap[child].end_ns)
            child++;
        if (heap[child].end_ns >= last.end_ns)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
}

static const char *place_all(const struct view *view, struct placed *heap,
                             const struct linear_call **out)
{
    const struct linear_history *history = view->history;
    uint64_t floor = 0; /* what somebody saw who had returned */
    size_t open = 0;

    for (size_t i = 0; i < history->call_count; i++) {
        const struct linear_call *call = &history->calls[i];
        const char *wrong;
        struct states states;

        *out = call;
        if (call->end_ns <= call->begin_ns)
            return "it has not returned";
        for (; open > 0 && heap[0].end_ns < call->begin_ns; open--) {
            floor = heap[0].state > floor ? heap[0].state : floor;
            heap_drop(heap, open);
        }
        wrong = allow(view, call, &states);
        if (wrong != NULL)
            return wrong;
        at_least(&states, floor);
        while (states.low <= states.high && !is_end(view, states.low))
            states.low++;
        if (states.low > states.high)
            return "no state explains it";
        heap_put(heap, open++,
                 (struct placed){call->end_ns, call->last > 0 ? call->last : states.low});
    }
    *out = NULL;
    return NULL;
}

const char *linear_check(struct linear_history *history, const struct linear_call **call)
{
    struct placed *heap = calloc(history->call_count + 1, sizeof(*heap));
    const char *wrong = "memory";
    struct view view;

    *call = NULL;
    qsort(history->calls, history->call_count, sizeof(*history->calls), by_begin);
    if (make_view(&view, history) && heap != NULL)
        wrong = NULL;
    for (int which = LINEAR_MARK; which <= LINEAR_SOURCE && wrong == NULL; which++)
        wrong = view_numbers(&view, (enum linear_number)which);
    if (wrong == NULL)
        wrong = place_all(&view, heap, call);
    free_view(&view);
    free(heap);
    return wrong;
}

/* ---- samples --------------------------------------------------------------------------------- */

/* Two batches: 1 and 2 by author 1, to streams 0 and 1; 3 by author 2, to stream 0. */
static const struct linear_event sample_events[] = {
    {.stream = 0, .tag = 1, .author = 1},
    {.stream = 1, .tag = 2, .author = 1},
    {.stream = 0, .tag = 3, .author = 2},
};

#define FIRST_BATCH(begin, end)                                                                    \
    {                                                                                              \
        .begin_ns = (begin), .end_ns = (end), .author = 1, .append_count = 2,                      \
        .appends = {{.stream = 0, .count = 1, .expected = QUIPU_ANY},                              \
                    {.stream = 1, .count = 1, .expected = QUIPU_NEW}},                             \
        .first = 1, .last = 2                                                                      \
    }
#define SECOND_BATCH(begin, end)                                                                   \
    {                                                                                              \
        .begin_ns = (begin), .end_ns = (end), .author = 2, .append_count = 1,                      \
        .appends = {{.stream = 0, .count = 1, .expected = 1, .actual = 1}}, .unless = true,        \
        .query = {-1, -1, 3, false}, .first = 3, .last = 3                                         \
    }
#define FIRST_MOVE(begin, end)                                                                     \
    {                                                                                              \
        .begin_ns = (begin), .end_ns = (end), .author = 1, .append_count = 2,                      \
        .appends = {{.stream = 0, .count = 1, .expected = QUIPU_ANY},                              \
                    {.stream = 1, .count = 1, .expected = QUIPU_NEW}},                             \
        .moves = true, .number = 7, .first = 1, .last = 2                                          \
    }
#define SECOND_MOVE(begin, end, of, was, now)                                                      \
    {                                                                                              \
        .begin_ns = (begin), .end_ns = (end), .author = 2, .append_count = 1,                      \
        .appends = {{.stream = 0, .count = 1, .expected = 1, .actual = 1}}, .moves = true,         \
        .which = (of), .number_was = (was), .number = (now), .first = 3, .last = 3                 \
    }
#define NUMBER(begin, end, of, value)                                                              \
    {                                                                                              \
        .begin_ns = (begin), .end_ns = (end), .kind = LINEAR_NUMBER, .which = (of),                \
        .first = (value)                                                                           \
    }
#define HEAD(begin, end, value)                                                                    \
    {                                                                                              \
        .begin_ns = (begin), .end_ns = (end), .kind = LINEAR_HEAD, .first = (value)                \
    }
#define VERSION(begin, end, of, value)                                                             \
    {                                                                                              \
        .begin_ns = (begin), .end_ns = (end), .kind = LINEAR_VERSION,                              \
        .appends = {{.stream = (of)}}, .first = (value)                                            \
    }
#define LOOK(begin, end, with_tag, behind, found)                                                  \
    {                                                                                              \
        .begin_ns = (begin), .end_ns = (end), .kind = LINEAR_FIRST,                                \
        .query = {-1, -1, (with_tag), false}, .after = (behind), .matched = (found)                \
    }
#define REFUSED(begin, end, wanted, was)                                                           \
    {                                                                                              \
        .begin_ns = (begin), .end_ns = (end), .refused = true, .append_count = 1, .appends = {     \
            {.stream = 0, .count = 1, .failed = true, .expected = (wanted), .actual = (was)}       \
        }                                                                                          \
    }
#define DENIED(begin, end, with_tag, found)                                                        \
    {                                                                                              \
        .begin_ns = (begin), .end_ns = (end), .refused = true, .unless = true,                     \
        .unless_failed = true, .query = {-1, -1, (with_tag), false}, .matched = (found)            \
    }

static const struct sample {
    bool right;
    size_t count;
    struct linear_call calls[4];
} samples[] = {
    {true, 2, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40)}},
    {true, 2, {FIRST_BATCH(10, 35), SECOND_BATCH(30, 40)}},
    {true, 2, {SECOND_BATCH(10, 40), FIRST_BATCH(20, 30)}},
    {false, 2, {SECOND_BATCH(10, 15), FIRST_BATCH(20, 30)}}, /* before what it stands behind */
    {true, 4, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), HEAD(1, 9, 0), HEAD(41, 42, 3)}},
    {true, 4, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), HEAD(12, 13, 2), HEAD(14, 35, 3)}},
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), HEAD(12, 13, 1)}}, /* half a batch */
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), HEAD(21, 29, 0)}}, /* stale */
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), HEAD(21, 29, 3)}}, /* too early */
    {false, 4, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), HEAD(31, 32, 3), HEAD(33, 34, 2)}},
    {true, 4, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), HEAD(31, 34, 3), HEAD(33, 35, 2)}},
    {true, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), VERSION(35, 36, 0, 1)}},
    {true, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), VERSION(35, 36, 0, 2)}},
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), VERSION(45, 46, 0, 1)}},
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), VERSION(35, 36, 0, 0)}},
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), VERSION(35, 36, 0, 3)}},
    {false, 4, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), HEAD(31, 32, 3), VERSION(33, 34, 0, 1)}},
    {true, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), LOOK(31, 32, 3, 0, 0)}},
    {true, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), LOOK(31, 32, 3, 0, 3)}},
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), LOOK(41, 42, 3, 0, 0)}},
    {true, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), LOOK(41, 42, 3, 3, 0)}},
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), LOOK(41, 42, 2, 0, 3)}},
    {true, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), REFUSED(15, 16, 7, 0)}},
    {true, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), REFUSED(15, 16, 7, 1)}},
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), REFUSED(15, 16, 7, 2)}},
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), REFUSED(25, 26, 1, 1)}}, /* it held */
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), REFUSED(25, 26, 1, 0)}}, /* stale */
    {true, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), DENIED(35, 36, 3, 3)}},
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), DENIED(25, 26, 3, 3)}},
    {false, 3, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40), DENIED(35, 36, 3, 0)}},
    {false, 2, {FIRST_BATCH(10, 20), SECOND_BATCH(30, 0)}}, /* it never returned */
    {true, 3, {FIRST_MOVE(10, 20), SECOND_MOVE(30, 40, 0, 7, 7), NUMBER(25, 26, 0, 7)}},
    {true, 3, {FIRST_MOVE(10, 20), SECOND_MOVE(30, 40, 1, 0, 7), NUMBER(25, 26, 1, 0)}},
    {true, 3, {FIRST_MOVE(10, 20), SECOND_MOVE(30, 40, 0, 7, 9), NUMBER(35, 36, 0, 9)}},
    {false, 2, {FIRST_MOVE(10, 20), SECOND_MOVE(30, 40, 0, 7, 6)}}, /* back */
    {false, 2, {FIRST_MOVE(10, 20), SECOND_MOVE(30, 40, 1, 7, 7)}}, /* it was never stored */
    {false, 2, {FIRST_MOVE(10, 20), SECOND_MOVE(30, 40, 0, 0, 9)}}, /* stale */
    {false, 3, {FIRST_MOVE(10, 20), SECOND_MOVE(30, 40, 0, 7, 9), NUMBER(25, 26, 0, 0)}},
    {false, 3, {FIRST_MOVE(10, 20), SECOND_MOVE(30, 40, 0, 7, 9), NUMBER(25, 26, 0, 9)}},
    {false, 3, {FIRST_MOVE(10, 20), SECOND_MOVE(30, 40, 0, 7, 9), NUMBER(45, 46, 0, 7)}},
    {false, 3, {FIRST_MOVE(10, 20), SECOND_MOVE(30, 40, 0, 7, 9), NUMBER(45, 46, 0, 8)}},
};

/* A condition that did not hold, and was committed. */
static const char *forged_commits(void)
{
    struct linear_call calls[2] = {FIRST_BATCH(10, 20), SECOND_BATCH(30, 40)};
    struct linear_history history = {calls, 2, sample_events, 3};
    const struct linear_call *call;

    calls[1].query.tag = 2; /* which is at 2 */
    if (linear_check(&history, &call) == NULL)
        return "an event that matches stands before it";
    calls[1].after = 2;
    if (linear_check(&history, &call) != NULL)
        return "it stands before `after`";
    calls[1].appends[0].expected = 0;
    if (linear_check(&history, &call) == NULL)
        return "another version was expected";
    calls[1].appends[0].expected = QUIPU_EXISTS;
    calls[1].author = 7;
    if (linear_check(&history, &call) == NULL)
        return "it is of another author";
    calls[1].author = 2;
    calls[1].last = 2;
    if (linear_check(&history, &call) == NULL)
        return "more than its positions";
    return NULL;
}

const char *linear_self_test(void)
{
    static char name[NAME_BYTES];

    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        struct linear_call calls[4];
        struct linear_history history = {calls, samples[i].count, sample_events, 3};
        const struct linear_call *call;

        memcpy(calls, samples[i].calls, sizeof(calls));
        if ((linear_check(&history, &call) == NULL) == samples[i].right)
            continue;
        memcpy(name, "sample 000", 11);
        name[8] = (char)('0' + i / 10);
        name[9] = (char)('0' + i % 10);
        return name;
    }
    return forged_commits();
}
