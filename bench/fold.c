/* fold.c - as much of msgpack as the events have: a small map of texts and whole numbers. */
#include "fold.h"

#include "chance.h"

#include <assert.h>
#include <string.h>

enum {
    MAP_SMALL = 0x80, /* these three: with a size in the low bits */
    TEXT_SMALL = 0xa0,
    POSITIVE_MAX = 0x7f,
    UINT_32 = 0xce,
    INT_32 = 0xd2,
    TEXT_32 = 0xdb
};

enum { MEMBERS = 3, WORD_BYTES = 4, AMOUNT_RANGE = 2000000, AMOUNT_MIDDLE = 500000 };

/* ---- make ---- */

static unsigned char *put_name(unsigned char *at, const char *name)
{
    unsigned char *form = at;

    for (at++; *name != 0; at++, name++)
        *at = (unsigned char)*name;
    *form = (unsigned char)(TEXT_SMALL | (at - form - 1));
    return at;
}

static unsigned char *put_word(unsigned char *at, unsigned char form, uint32_t word)
{
    *at = form;
    at[1] = (unsigned char)(word >> 24);
    at[2] = (unsigned char)(word >> 16);
    at[3] = (unsigned char)(word >> 8);
    at[4] = (unsigned char)word;
    return at + 1 + WORD_BYTES;
}

void bench_fold_fill(uint64_t *chance, uint64_t number, unsigned char *out, size_t size)
{
    int32_t cents = (int32_t)bench_chance_below(chance, AMOUNT_RANGE) - AMOUNT_MIDDLE;
    unsigned char *at = out;
    uint64_t bits = 0;
    size_t left;
    size_t i;

    assert(size >= BENCH_FOLD_BYTES_MIN);
    *at = MAP_SMALL | MEMBERS;
    at = put_word(put_name(at + 1, "number"), UINT_32, (uint32_t)number);
    at = put_word(put_name(at, "amount"), INT_32, (uint32_t)cents);
    at = put_name(at, "note");
    left = size - (size_t)(at - out) - 1 - WORD_BYTES;
    at = put_word(at, TEXT_32, (uint32_t)left);
    for (i = 0; i < left; i++) {
        if (i % 16 == 0)
            bits = bench_chance_next(chance);
        at[i] = (unsigned char)('a' + (bits & 15));
        bits >>= 4;
    }
}

/* ---- read ---- */

struct cursor {
    const unsigned char *at;
    size_t left;
};

static const unsigned char *take(struct cursor *cursor, size_t size)
{
    const unsigned char *at = cursor->at;

    if (cursor->left < size)
        return NULL;
    cursor->at += size;
    cursor->left -= size;
    return at;
}

/* A text or a whole number. Of a number `*text` is NULL. Returns: 0, or -1. */
static int read_value(struct cursor *cursor, const unsigned char **text, int64_t *number)
{
    const unsigned char *form = take(cursor, 1);
    const unsigned char *bytes = NULL;
    uint32_t word = 0;

    *text = NULL;
    if (form == NULL)
        return -1;
    if (*form == UINT_32 || *form == INT_32 || *form == TEXT_32) {
        bytes = take(cursor, WORD_BYTES);
        if (bytes == NULL)
            return -1;
        word = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
               bytes[3];
    } else if ((*form & 0xe0) == TEXT_SMALL) {
        word = *form & 0x1f;
    } else if (*form > POSITIVE_MAX) {
        return -1;
    }
    *number = *form == INT_32 ? (int32_t)word : *form <= POSITIVE_MAX ? *form : (int64_t)word;
    if (*form != TEXT_32 && (*form & 0xe0) != TEXT_SMALL)
        return 0;
    *text = take(cursor, word);
    return *text != NULL ? 0 : -1;
}

static int is_named(const unsigned char *text, int64_t size, const char *name)
{
    return text != NULL && (size_t)size == strlen(name) && memcmp(text, name, (size_t)size) == 0;
}

int bench_fold_read(const void *data, size_t size, struct bench_change *out)
{
    struct cursor cursor = {data, size};
    const unsigned char *form = take(&cursor, 1);
    int found = 0;
    int left;

    if (form == NULL || (*form & 0xf0) != MAP_SMALL)
        return -1;
    for (left = *form & 0x0f; left > 0; left--) {
        const unsigned char *name;
        const unsigned char *text;
        int64_t name_size = 0;
        int64_t value = 0;

        if (read_value(&cursor, &name, &name_size) < 0 || read_value(&cursor, &text, &value) < 0)
            return -1;
        if (is_named(name, name_size, "number")) {
            out->number = (uint64_t)value;
            found |= 1;
        } else if (is_named(name, name_size, "amount")) {
            out->cents = value;
            found |= 2;
        }
    }
    return found == 3 ? 0 : -1;
}

/* ---- fold ---- */

void bench_fold_apply(struct bench_state *state, const struct bench_change *change)
{
    if (state->count == 0 || change->cents > state->most)
        state->most = change->cents;
    state->count++;
    state->number = change->number;
    state->cents += change->cents;
}

void bench_fold_add(struct bench_states *states, const struct bench_state *state)
{
    states->keys++;
    states->events += state->count;
    states->cents += state->cents;
    states->numbers += state->number;
}
