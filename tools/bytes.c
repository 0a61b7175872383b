/* bytes.c - growth by doubling; a failure is remembered, so that callers check once, at the end. */
#include "bytes.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 256

/* At least `wanted` bytes of capacity; on failure nothing has changed. */
static bool grow(struct qt_bytes *bytes, size_t wanted)
{
    size_t capacity = bytes->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : bytes->capacity;
    char *data;

    assert(wanted > bytes->capacity);
    while (capacity < wanted)
        capacity *= 2;
    data = realloc(bytes->data, capacity);
    if (data == NULL)
        return false;
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

char *qt_bytes_room(struct qt_bytes *bytes, size_t size)
{
    assert(bytes->size <= bytes->capacity);
    if (bytes->failed)
        return NULL;
    /* A quarter of the address space keeps the doubling from wrapping around. */
    if (size > SIZE_MAX / 4 - bytes->size) {
        bytes->failed = true;
        return NULL;
    }
    if (size > bytes->capacity - bytes->size && !grow(bytes, bytes->size + size)) {
        bytes->failed = true;
        return NULL;
    }
    return bytes->data + bytes->size;
}

void qt_bytes_put(struct qt_bytes *bytes, const void *data, size_t size)
{
    char *to;

    if (size == 0)
        return;
    to = qt_bytes_room(bytes, size);
    if (to == NULL)
        return;
    memcpy(to, data, size);
    bytes->size += size;
}

void qt_bytes_text(struct qt_bytes *bytes, const char *text)
{
    qt_bytes_put(bytes, text, strlen(text));
}

void qt_bytes_char(struct qt_bytes *bytes, char c)
{
    qt_bytes_put(bytes, &c, 1);
}

void qt_bytes_clear(struct qt_bytes *bytes)
{
    bytes->size = 0;
    bytes->failed = false;
}

void qt_bytes_release(struct qt_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct qt_bytes){0};
}
