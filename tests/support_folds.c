/* support_folds.c - see support_folds.h: the projections. */
#include "support_folds.h"

#include "support_system.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_BYTES = 8, LONG_BYTES = 5000, LONG_TIMES = 5, CLASSES = 8, KEY_BYTES_MAX = 255 };

static const char made_prefix[] = "made-";

const char *folds_name(enum folds_which which)
{
    static const char *const names[] = {"lists", "made", "inline"};

    return names[which];
}

uint16_t folds_poison(enum folds_which which)
{
    return (uint16_t)(9 + 10 * which);
}

bool folds_emits(uint64_t position)
{
    return position % 4 == 0;
}

bool folds_is_made(const char *stream)
{
    return strncmp(stream, made_prefix, strlen(made_prefix)) == 0;
}

uint64_t folds_sum(uint64_t sum, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < size; i++)
        sum = (sum ^ at[i]) * UINT64_C(0x100000001b3);
    return sum;
}

uint64_t folds_event_sum(const quipu_event *event)
{
    enum { LOOKED_AT = 64 };
    uint64_t sum = folds_sum(event->position, event->type, event->type_size);

    return folds_sum(sum + event->data_size, event->data,
                     event->data_size < LOOKED_AT ? event->data_size : LOOKED_AT);
}

uint64_t folds_entry(uint64_t position, uint32_t version)
{
    return position | (uint64_t)version << 48;
}

size_t folds_type_bytes(uint64_t count)
{
    return 2 * sizeof(uint64_t) + (count % LONG_TIMES == 0 ? LONG_BYTES : 0);
}

unsigned folds_class(uint64_t position)
{
    return (unsigned)(position % CLASSES);
}

bool folds_class_deletes(uint64_t position)
{
    return position / CLASSES % 3 == 2;
}

/* ---- functions ---- */

static int find_keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    const struct folds_function *function = payload;
    char key[KEY_BYTES_MAX];
    size_t size = event->type_size < sizeof(key) ? event->type_size : sizeof(key) - 1;
    int rc = quipu_page_key(page, event->stream, event->stream_size);

    (void)error;
    if (rc < 0 || function->which == FOLDS_MADE)
        return rc;
    key[0] = FOLDS_KEY_TYPE;
    memcpy(key + 1, event->type, size);
    rc = quipu_page_key(page, key, size + 1);
    if (rc < 0)
        return rc;
    key[0] = FOLDS_KEY_CLASS;
    key[1] = (char)('0' + folds_class(event->position));
    return quipu_page_key(page, key, 2);
}

static int emit(quipu_page *page, const quipu_event *event)
{
    char stream[16];
    char causation[] = "kind:made";
    const char *tags[] = {causation};
    const quipu_draft draft = {.type = "Made",
                               .tags = tags,
                               .tag_count = 1,
                               .data = &event->position,
                               .data_size = sizeof(event->position)};

    (void)snprintf(stream, sizeof(stream), "%s%u", made_prefix, (unsigned)(event->position % 3));
    return quipu_page_emit(page, stream, &draft);
}

/* All that must not be seen afterwards. */
static int fail(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                quipu_error *error)
{
    int rc = quipu_page_put(page, key, size, "rubbish", 7);

    if (rc == QUIPU_OK)
        rc = quipu_page_put(page, "\3rubbish", 8, "rubbish", 7);
    if (rc == QUIPU_OK && event->schema == folds_poison(FOLDS_MADE))
        rc = emit(page, event);
    if (rc < 0)
        return rc;
    (void)snprintf(error->text, sizeof(error->text), "not mended, at %" PRIu64, event->position);
    return QUIPU_INVALID;
}

static int apply_stream(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                        const struct folds_function *function)
{
    uint64_t entry = folds_entry(event->position, function->version);
    uint64_t event_sum = folds_event_sum(event);
    uint64_t sum = 0;
    quipu_value old = {0};
    unsigned char *value;
    int rc = quipu_page_get(page, key, size, &old);

    if (rc < 0)
        return rc;
    if (rc == 0)
        old.size = sizeof(sum);
    value = malloc(old.size + ENTRY_BYTES);
    CHECK(value != NULL, "out of memory");
    if (rc == 1)
        memcpy(value, old.data, old.size);
    if (rc == 1)
        memcpy(&sum, value, sizeof(sum));
    sum = folds_sum(sum, &event_sum, sizeof(event_sum));
    memcpy(value, &sum, sizeof(sum));
    memcpy(value + old.size, &entry, sizeof(entry));
    rc = quipu_page_put(page, key, size, value, old.size + ENTRY_BYTES);
    free(value);
    return rc;
}

static int apply_type(quipu_page *page, const void *key, size_t size, const quipu_event *event)
{
    uint64_t value[2 + LONG_BYTES / sizeof(uint64_t) + 1] = {0};
    uint64_t event_sum = folds_event_sum(event);
    quipu_value old = {0};
    int rc = quipu_page_get(page, key, size, &old);

    if (rc < 0)
        return rc;
    if (rc == 1)
        memcpy(value, old.data, 2 * sizeof(uint64_t));
    value[0]++;
    value[1] = folds_sum(value[1], &event_sum, sizeof(event_sum));
    return quipu_page_put(page, key, size, value, folds_type_bytes(value[0]));
}

static int apply(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    const struct folds_function *function = payload;
    char first = *(const char *)key;
    int rc;

    if (first == FOLDS_KEY_TYPE)
        return apply_type(page, key, size, event);
    if (first == FOLDS_KEY_CLASS && folds_class_deletes(event->position))
        return quipu_page_delete(page, key, size);
    if (first == FOLDS_KEY_CLASS)
        return quipu_page_put(page, key, size, &event->position, sizeof(event->position));
    if (event->schema == folds_poison(function->which) && !function->mended)
        return fail(page, key, size, event, error);
    rc = apply_stream(page, key, size, event, function);
    if (rc == QUIPU_OK && function->which == FOLDS_MADE && folds_emits(event->position))
        rc = emit(page, event);
    return rc;
}

void folds_make(const struct folds_function *function, uint32_t page_events, quipu_projection *out)
{
    *out = (quipu_projection){QUIPU_INIT(quipu_projection),
                              .version = function->version,
                              .name = folds_name(function->which),
                              .retries = 1,
                              .page_events = page_events,
                              .keys = find_keys,
                              .apply = apply};
    if (function->which == FOLDS_INLINE)
        out->mode = QUIPU_INLINE;
    if (function->which == FOLDS_MADE)
        out->fault_policy = QUIPU_FAULT_STOP;
    out->payload = (void *)(uintptr_t)function;
}
