/* builtin_state.c - state-by-stream: the events' data merged (RFC 7386), one value a stream.
 *
 * The value is the state's text. It is read back by merging it into nothing, which gives the same
 * state: no member of an object in it is null. */
#include "builtin.h"

#include "merge.h"
#include "patch.h"

#include <stdio.h>

static int fail_memory(quipu_error *error)
{
    (void)snprintf(error->text, sizeof(error->text), "out of memory");
    return QUIPU_NO_MEMORY;
}

/* The old state and what the event says, as the new state's text in `out`. */
static int merge(struct qt_merge *state, quipu_value old, struct qt_span patch,
                 struct qt_bytes *out, quipu_error *error)
{
    struct qt_json json;

    if (old.size > 0 && qt_json_whole(&json, old.data, old.size) < 0) {
        (void)snprintf(error->text, sizeof(error->text), "the value is not JSON");
        return QUIPU_INVALID;
    }
    if ((old.size > 0 && qt_merge_apply(state, (struct qt_span){old.data, old.size}) < 0) ||
        (patch.size > 0 && qt_merge_apply(state, patch) < 0) || qt_merge_put(state, out, 0) < 0)
        return fail_memory(error);
    return 0;
}

/* Any event begins a state, also one that says nothing. */
int qt_builtin_state(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                     void *payload, quipu_error *error)
{
    struct qt_merge state = {0};
    struct qt_bytes scratch = {0};
    struct qt_bytes text = {0};
    struct qt_span patch;
    quipu_value old = {0};
    int found = quipu_page_get(page, key, key_size, &old);
    int rc = found < 0 ? found : qt_patch_find(event, &scratch, &patch);

    (void)payload;
    if (rc == QUIPU_NO_MEMORY)
        (void)fail_memory(error);
    if (rc == 0 && (found == 0 || patch.size > 0)) {
        rc = merge(&state, old, patch, &text, error);
        if (rc == 0)
            rc = quipu_page_put(page, key, key_size, text.data, text.size);
        if (rc == QUIPU_TOO_LARGE)
            (void)snprintf(error->text, sizeof(error->text), "the state has %zu bytes, too many",
                           text.size);
    }
    qt_merge_release(&state);
    qt_bytes_release(&scratch);
    qt_bytes_release(&text);
    return rc;
}
