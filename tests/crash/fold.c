/* fold.c - see fold.h. Another fold version has no snapshots, as nobody asks it for any. */
#include "fold.h"

#include "support_system.h"

#include <inttypes.h>
#include <string.h>

enum { PADDING = 5000 }; /* more than a row takes */

static int add_event(void *memory, const quipu_event *event, void *payload, quipu_error *error)
{
    struct crash_state_of_fold *state = memory;
    const unsigned char *data = event->data;

    (void)payload, (void)error;
    state->count++;
    state->sum = state->sum * 31 + event->position * 1009 + event->version;
    for (uint32_t i = 0; i < event->data_size; i++)
        state->sum = state->sum * 31 + data[i];
    return 0;
}

static int save(const void *memory, quipu_buffer *out, void *payload)
{
    static const char padding[PADDING];
    const struct crash_state_of_fold *state = memory;

    (void)payload;
    (void)quipu_buffer_put(out, state, sizeof(*state));
    return quipu_buffer_put(out, padding, state->count % 4 == 0 ? sizeof(padding) : 0);
}

static int load(void *memory, const void *bytes, size_t size, void *payload)
{
    struct crash_state_of_fold *state = memory;

    (void)payload;
    CHECK(size >= sizeof(*state), "a snapshot of %zu bytes", size);
    memcpy(state, bytes, sizeof(*state));
    CHECK(size == sizeof(*state) + (state->count % 4 == 0 ? PADDING : 0),
          "a snapshot of %zu bytes, %" PRIu64 " events", size, state->count);
    return 0;
}

const quipu_fold crash_fold = {.struct_size = sizeof(crash_fold),
                               .version = 1,
                               .name = "count",
                               .state_size = sizeof(struct crash_state_of_fold),
                               .apply = add_event,
                               .save = save,
                               .load = load,
                               .snapshot_every = 2,
                               .snapshot_keep = 2};

static const quipu_fold plain = {.struct_size = sizeof(plain),
                                 .version = 2,
                                 .name = "count",
                                 .state_size = sizeof(struct crash_state_of_fold),
                                 .apply = add_event};

static int compare(quipu *store, const char *stream, const quipu_point *at, uint64_t *version,
                   quipu_error *error)
{
    struct crash_state_of_fold state = {0};
    struct crash_state_of_fold should = {0};
    quipu_point there = {.kind = QUIPU_AT_VERSION};
    uint64_t reached = 0;
    int rc = quipu_load(store, &crash_fold, stream, at, &state, version, error);

    if (rc < 0)
        return rc;
    there.value = (int64_t)*version; /* others may append meanwhile */
    rc = quipu_load(store, &plain, stream, &there, &should, &reached, error);
    if (rc < 0)
        return rc;
    CHECK(reached == *version && state.count == should.count && state.sum == should.sum,
          "%s at version %" PRIu64 ": %" PRIu64 " events, of %" PRIu64 " %" PRIu64, stream,
          *version, state.count, reached, should.count);
    return rc;
}

int crash_fold_check(quipu *store, const char *stream, quipu_error *error)
{
    quipu_point middle = {.kind = QUIPU_AT_VERSION};
    uint64_t version = 0;
    int rc = compare(store, stream, NULL, &version, error);

    middle.value = (int64_t)(version - version / 3);
    return rc == QUIPU_OK ? compare(store, stream, &middle, &version, error) : rc;
}
