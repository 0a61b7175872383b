/* cmd_state.c - quipu state: a stream folded by JSON merge patch, to look at any aggregate without
 * a line of code. The fold is quipu_load() with merge.c as its function. */
#include "command.h"
#include "json.h"
#include "merge.h"
#include "msgpack_json.h"
#include "stamp.h"
#include "store.h"
#include "text.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

static const struct qt_option options[] = {
    {.name = "upto", .value = "N", .help = "as of version N", .kind = QT_NUMBER, .most = INT64_MAX},
    {0},
};

/* The fold's state. The library gives it zeroed. */
struct state {
    struct qt_merge merge;
    struct qt_bytes scratch; /* what msgpack is rendered to */
    uint64_t position;
    int64_t time_ns;
    char last_type[256]; /* a name is at most 255 bytes */
};

/* One event into the state. Whatever it holds, its place in the stream counts. */
static int apply(void *memory, const quipu_event *event, void *payload, quipu_error *error)
{
    struct state *state = memory;
    struct qt_json json;
    struct qt_span patch = {event->data, event->data_size};

    (void)payload;
    (void)error;
    state->position = event->position;
    state->time_ns = event->time_ns;
    assert(event->type_size < sizeof(state->last_type));
    memcpy(state->last_type, event->type, event->type_size + 1);
    if (patch.size == 0 || event->data_format == QUIPU_BINARY)
        return 0;
    if (event->data_format == QUIPU_MSGPACK) {
        qt_bytes_clear(&state->scratch);
        if (qt_msgpack_json(patch.text, patch.size, &state->scratch) < 0)
            return state->scratch.failed ? QUIPU_NO_MEMORY : 0;
        patch = (struct qt_span){state->scratch.data, state->scratch.size};
    }
    /* What is no JSON, though its program said so, says nothing about the state. */
    if (qt_json_whole(&json, patch.text, patch.size) < 0)
        return 0;
    return qt_merge_apply(&state->merge, patch) < 0 ? QUIPU_NO_MEMORY : 0;
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

/* The library reads the stream and calls apply(); at a version, if one was asked for. */
static int fold(struct qt_run *run, quipu *store)
{
    const char *stream = run->args.operands[1];
    quipu_fold merge = {
        QUIPU_INIT(quipu_fold), .version = 1,
        .name = "quipu-state",  .state_size = sizeof(struct state),
        .apply = apply,         .release = release,
    };
    quipu_point point = {
        .kind = qt_args_has(&run->args, "upto") ? QUIPU_AT_VERSION : QUIPU_AT_HEAD,
        .value = (int64_t)qt_args_number(&run->args, "upto", 0),
    };
    struct state state;
    uint64_t version = 0;
    quipu_error error = {0};
    int rc = quipu_load(store, &merge, stream, &point, &state, &version, &error);

    if (rc < 0)
        return qt_problem_library(&run->problem, rc, &error, stream);
    rc = put_state(run, &state, version);
    release(&state, NULL);
    return rc;
}

static int run_state(struct qt_run *run)
{
    quipu *store = NULL;
    int rc = qt_store_open(run, QT_STORE_READ, &store);

    if (rc == 0)
        rc = check_stream(run, store);
    if (rc == 0)
        rc = fold(run, store);
    quipu_close(store);
    return rc;
}

const struct qt_command qt_command_state = {
    .verb = "state",
    .summary = "rebuild one stream's state from its events",
    .operands = "STORE STREAM",
    .example = "quipu state orders order-17 --upto 2",
    .text = "Merges the data of the stream's events, in order, as RFC 7386 says: members replace\n"
            "those of the same name, null removes, objects are merged. Numbers and texts stay as\n"
            "they were written. Data that is no JSON is passed over.\n",
    .options = options,
    .waits = true,
    .run = run_state,
};
