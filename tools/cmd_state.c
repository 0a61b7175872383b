/* cmd_state.c - quipu state: a stream folded by JSON merge patch, to look at any aggregate without
 * a line of code. The fold is quipu_load() with merge.c as its function; --steps prints between two
 * events, so it reads the stream in pages, and folds it itself by the same function. */
#include "command.h"
#include "filter.h"
#include "json.h"
#include "merge.h"
#include "pager.h"
#include "patch.h"
#include "plugin.h"
#include "stamp.h"
#include "steps.h"
#include "store.h"
#include "text.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

static const struct qt_option options[] = {
    {.name = "upto", .value = "N", .help = "as of version N", .kind = QT_NUMBER, .most = INT64_MAX},
    {.name = "at", .value = "TIME", .help = "as of TIME: 2024-03-01T12:00:00Z", .kind = QT_TEXT},
    QT_UPCAST_OPTION,
    {.name = "steps", .help = "what each event changed, before the state"},
    {0},
};

#define FIT_EVENTS 100 /* steps that decide how wide the columns are */

/* The fold's state. The library gives it zeroed. */
struct state {
    struct qt_merge merge;
    struct qt_bytes scratch; /* what msgpack is rendered to */
    uint64_t position;
    int64_t time_ns;
    char last_type[256]; /* a name is at most 255 bytes */
};

/* One event into the state. Whatever it holds, its place in the stream counts. */
static int fold_event(struct state *state, const quipu_event *event, struct qt_span *patch)
{
    int rc;

    state->position = event->position;
    state->time_ns = event->time_ns;
    assert(event->type_size < sizeof(state->last_type));
    memcpy(state->last_type, event->type, event->type_size + 1);
    rc = qt_patch_find(event, &state->scratch, patch);
    if (rc < 0 || patch->size == 0)
        return rc;
    return qt_merge_apply(&state->merge, *patch) < 0 ? QUIPU_NO_MEMORY : 0;
}

static int apply(void *memory, const quipu_event *event, void *payload, quipu_error *error)
{
    struct qt_span patch;

    (void)payload;
    (void)error;
    return fold_event(memory, event, &patch);
}

static void release(void *memory, void *payload)
{
    struct state *state = memory;

    (void)payload;
    qt_merge_release(&state->merge);
    qt_bytes_release(&state->scratch);
}

static void put_stamp(struct qt_out *out, int64_t time_ns)
{
    struct qt_stamp stamp = {0};
    char *to = qt_out_room(out, QT_STAMP_FULL);

    qt_out_took(out, qt_stamp_full(&stamp, time_ns, to));
}

/* Without events there is no position, time or type to tell. */
static void put_json(struct qt_run *run, const struct state *state, uint64_t version,
                     const struct qt_bytes *text)
{
    struct qt_out *out = &run->out;
    const char *stream = run->args.operands[1];

    qt_out_text(out, "{\"stream\":");
    qt_out_json(out, stream, strlen(stream));
    qt_out_key(out, "version");
    qt_out_number(out, version);
    if (version > 0) {
        qt_out_key(out, "position");
        qt_out_number(out, state->position);
        qt_out_text(out, ",\"time\":\"");
        put_stamp(out, state->time_ns);
        qt_out_char(out, '"');
        qt_out_key(out, "last_type");
        qt_out_json(out, state->last_type, strlen(state->last_type));
    }
    qt_out_key(out, "state");
    qt_out_put(out, text->data, text->size);
    qt_out_text(out, "}\n");
}

/* The state alone goes to stdout, so that it can be piped into what reads JSON. */
static void put_text(struct qt_run *run, const struct state *state, uint64_t version,
                     const struct qt_bytes *text)
{
    struct qt_stamp stamp = {0};
    char time[QT_STAMP_SHORT + 1];

    *qt_stamp_short(&stamp, state->time_ns, time) = '\0';
    if (version > 0) {
        qt_note("%s version %llu, %s at %s", run->args.operands[1], (unsigned long long)version,
                state->last_type, time);
    } else {
        qt_note("%s version 0, before its first event", run->args.operands[1]);
    }
    for (size_t at = 0; at < text->size;) {
        const char *line = text->data + at;
        const char *end = memchr(line, '\n', text->size - at);
        size_t size = end == NULL ? text->size - at : (size_t)(end - line);

        qt_text_json(&run->out, line, size);
        qt_out_char(&run->out, '\n');
        at += size + 1;
    }
}

/* Print the state as the machine or the person wants it. */
static int put_state(struct qt_run *run, const struct state *state, uint64_t version)
{
    struct qt_bytes text = {0};
    int rc = qt_merge_put(&state->merge, &text, !run->json);

    if (rc < 0)
        rc = qt_problem_say(&run->problem, QUIPU_NO_MEMORY, "out of memory");
    else if (run->json)
        put_json(run, state, version, &text);
    else
        put_text(run, state, version, &text);
    qt_bytes_release(&text);
    return rc;
}

/* For a fold, a stream that is not there is one without events; for a person it is a mistake. */
static int check_stream(struct qt_run *run, quipu *store)
{
    const char *stream = run->args.operands[1];
    quipu_reader *reader = NULL;
    quipu_error error = {0};
    int rc = quipu_read_stream(store, stream, NULL, &reader, &error);

    quipu_reader_close(reader);
    if (rc == QUIPU_NOT_FOUND) {
        run->problem.stream = stream;
        return qt_problem_say(&run->problem, rc, "no such stream: %s", stream);
    }
    return rc < 0 ? qt_problem_library(&run->problem, rc, &error, stream) : 0;
}

/* As of when. Returns: 0, or a status with its problem. */
static int take_point(struct qt_run *run, quipu_point *point)
{
    const char *at = qt_args_text(&run->args, "at");
    const char *error = NULL;

    *point = (quipu_point){.kind = QUIPU_AT_HEAD};
    if (qt_args_has(&run->args, "upto")) {
        point->kind = QUIPU_AT_VERSION;
        point->value = (int64_t)qt_args_number(&run->args, "upto", 0);
    }
    if (at == NULL)
        return 0;
    if (point->kind == QUIPU_AT_VERSION)
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "--at and --upto exclude each other; see quipu help state");
    point->kind = QUIPU_AT_TIME;
    if (qt_stamp_parse(at, strlen(at), &point->value, &error) < 0)
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "--at \"%.80s\": %s; see quipu help state", at, error);
    return 0;
}

/* The library reads the stream and calls apply(). */
static int load(struct qt_run *run, quipu *store, const quipu_point *point)
{
    const char *stream = run->args.operands[1];
    quipu_fold merge = {
        QUIPU_INIT(quipu_fold), .version = 1,
        .name = "quipu-state",  .state_size = sizeof(struct state),
        .apply = apply,         .release = release,
    };
    struct state state;
    uint64_t version = 0;
    quipu_error error = {0};
    int rc = quipu_load(store, &merge, stream, point, &state, &version, &error);

    if (rc < 0)
        return qt_problem_library(&run->problem, rc, &error, stream);
    rc = put_state(run, &state, version);
    release(&state, NULL);
    return rc;
}

/* ---- steps ---- */

struct stepping {
    struct qt_pager pager;
    struct qt_steps steps;
    struct state state;
    const quipu_point *point;
    uint64_t version;
    int failed;
};

static void fit_step(void *payload, const quipu_event *event)
{
    struct stepping *stepping = payload;

    qt_steps_fit(&stepping->steps, event);
}

/* At a time the stream ends before its first event that is later, as quipu_load() has it. */
static void take_step(void *payload, const quipu_event *event)
{
    struct stepping *stepping = payload;
    bool later = stepping->point->kind == QUIPU_AT_TIME && event->time_ns > stepping->point->value;
    struct qt_span patch;

    if (!later && stepping->failed == 0) {
        stepping->failed = fold_event(&stepping->state, event, &patch);
        stepping->version = event->version;
        if (stepping->failed == 0 &&
            qt_steps_put(&stepping->steps, event, patch, &stepping->state.merge) < 0)
            stepping->failed = QUIPU_NO_MEMORY;
    }
    if (later || stepping->failed < 0)
        stepping->pager.limit = stepping->pager.shown + 1; /* this one is the last to come */
}

/* Up to the version that is asked for, or the one that is the newest now. */
static int put_steps(struct qt_run *run, struct stepping *stepping)
{
    struct qt_pager *pager = &stepping->pager;
    struct qt_pager first;
    uint64_t head;
    int rc = qt_pager_head(pager, &head);

    if (rc < 0)
        return rc;
    if (pager->upto > head)
        pager->upto = head;
    first = *pager;
    first.put = fit_step;
    first.quiet = true;
    first.limit = FIT_EVENTS;
    rc = qt_pager_pages(&first, NULL);
    if (rc == 0)
        rc = qt_pager_pages(pager, NULL);
    if (rc == 0 && stepping->failed < 0)
        rc = qt_problem_say(&run->problem, stepping->failed, "out of memory");
    if (rc == 0 && !run->json) {
        qt_out_flush(&run->out); /* before the state's own words on stderr */
        rc = put_state(run, &stepping->state, stepping->version);
    }
    return rc;
}

/* Returns: 0, or a status with its problem. */
static int step(struct qt_run *run, quipu *store, const quipu_point *point)
{
    struct qt_filter filter = {
        .stream = run->args.operands[1],
        .by_version = true,
        .upto = point->kind == QUIPU_AT_VERSION ? (uint64_t)point->value : UINT64_MAX,
    };
    struct stepping stepping = {
        .point = point,
        .steps = {.out = &run->out, .json = run->json},
    };
    int rc;

    qt_pager_init(&stepping.pager, run, store, &filter);
    stepping.pager.payload = &stepping;
    stepping.pager.put = take_step;
    stepping.pager.upcasts = qt_args_has(&run->args, "plugin");
    rc = put_steps(run, &stepping);
    release(&stepping.state, NULL);
    qt_steps_release(&stepping.steps);
    return rc;
}

static int run_state(struct qt_run *run)
{
    quipu *store = NULL;
    struct qt_plugin plugin = {0};
    quipu_point point;
    int rc = take_point(run, &point);

    if (rc == 0)
        rc = qt_store_open(run, QT_STORE_READ, &store);
    if (rc == 0)
        rc = qt_plugin_use(&plugin, run, store);
    if (rc >= 0)
        rc = check_stream(run, store);
    if (rc == 0)
        rc = qt_args_has(&run->args, "steps") ? step(run, store, &point) : load(run, store, &point);
    quipu_close(store);
    qt_plugin_unload(&plugin);
    return rc;
}

const struct qt_command qt_command_state = {
    .verb = "state",
    .summary = "rebuild one stream's state from its events",
    .operands = "STORE STREAM",
    .example = "quipu state orders order-17 --upto 2",
    .text = "Merges the data of the stream's events, in order, as RFC 7386 says: members\n"
            "replace those of the same name, null removes, objects are merged. Numbers and\n"
            "texts stay as they were written. Data that is no JSON is passed over.\n\n"
            "--at takes the events up to TIME: it stops before the first one whose time is\n"
            "later.\n\n"
            "--steps prints what each event changed among the state's members - + what it\n"
            "added, ~ what it replaced, - what it removed - and then the state. With --json\n"
            "it is one line for each event, and no state:\n\n"
            "  {\"version\":2,\"position\":40,\"time\":\"...\",\"type\":\"ORDER_PAID\",\n"
            "   \"changed\":[{\"name\":\"status\",\"from\":\"created\",\"to\":\"paid\"}, ...]}\n\n"
            "on one line; from is absent for what was added, to for what was removed, name if\n"
            "the state itself is not an object before or after.\n",
    .options = options,
    .waits = true,
    .run = run_state,
};
