/* memory.c - one hook, one growing buffer, one arena. Refuses to end the program: whoever asks for
 * memory gets NULL or false, with everything as it was.
 *
 *     arena->newest -> [ older | used, size | ####.... ] -> [ older | ... | ######## ] -> NULL
 *                                              takes ->
 *
 * A block of an arena is never enlarged or moved, so that pointers into it are good until all of it
 * goes; what is left free at the end of an older one is lost until then. */
#include "memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct {
    qp_resize_fn resize;
    void *payload;
} hook; /* set before the first allocation, read by all threads after it */

void qp_memory_hook(qp_resize_fn resize, void *payload)
{
    hook.resize = resize;
    hook.payload = payload;
}

/* Size 0 is out of bounds: realloc() and a hook mean "free" by it, or something of their own. */
void *qp_resize(void *memory, size_t size)
{
    assert(size > 0);
    if (hook.resize != NULL)
        return hook.resize(memory, size, hook.payload);
    return realloc(memory, size);
}

void *qp_zalloc(size_t size)
{
    void *memory = qp_resize(NULL, size);

    if (memory != NULL)
        memset(memory, 0, size);
    return memory;
}

void qp_free(void *memory)
{
    if (memory == NULL)
        return;
    if (hook.resize != NULL)
        (void)hook.resize(memory, 0, hook.payload);
    else
        free(memory);
}

/* Doubles, so that adding one after the other costs the same per element however many there are.
 * The pointer goes in and out by memcpy(): to write a `T *` through a `void **` is not C. */
bool qp_array_reserve(void *array_pointer, size_t *capacity, size_t count, size_t element_size)
{
    size_t wanted = *capacity < 8 ? 8 : *capacity;
    void *array;

    assert(element_size > 0);
    if (count <= *capacity)
        return true;
    assert(count <= SIZE_MAX / 4 / element_size); /* limits and files of the callers see to it */
    while (wanted < count)
        wanted *= 2;
    assert(wanted >= count && wanted > *capacity);
    memcpy(&array, array_pointer, sizeof(array));
    array = qp_resize(array, wanted * element_size);
    if (array == NULL)
        return false;
    memcpy(array_pointer, &array, sizeof(array));
    *capacity = wanted;
    return true;
}

bool qp_buffer_reserve(struct qp_buffer *buffer, size_t more)
{
    assert(buffer->size <= buffer->capacity);
    if (more > SIZE_MAX / 4 - buffer->size)
        return false; /* more than there is memory; and doubling it would wrap */
    return qp_array_reserve(&buffer->bytes, &buffer->capacity, buffer->size + more, 1);
}

bool qp_buffer_put(struct qp_buffer *buffer, const void *bytes, size_t size)
{
    if (!qp_buffer_reserve(buffer, size))
        return false;
    if (size > 0)
        memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
    return true;
}

void qp_buffer_release(struct qp_buffer *buffer)
{
    qp_free(buffer->bytes);
    *buffer = (struct qp_buffer){0};
}

/* The first block is small, for a store with a handful of events in its tail; later ones are what
 * malloc hands out without a mapping of their own. */
enum { ARENA_FIRST_BYTES = 4096, ARENA_BLOCK_BYTES = 65536 };

struct qp_arena_block {
    struct qp_arena_block *older;
    size_t used;      /* bytes that were taken, a multiple of 8 */
    size_t size;      /* of what follows */
    uint64_t bytes[]; /* aligned for anything that is put here */
};

/* A new newest block with room for one piece of this size, however large. NULL: nothing changed. */
static struct qp_arena_block *arena_grow(struct qp_arena *arena, size_t at_least)
{
    size_t size = arena->newest == NULL ? ARENA_FIRST_BYTES : ARENA_BLOCK_BYTES;
    struct qp_arena_block *block;

    if (size < at_least)
        size = at_least;
    block = qp_resize(NULL, sizeof(*block) + size);
    if (block == NULL)
        return NULL;
    block->older = arena->newest;
    block->used = 0;
    block->size = size;
    arena->newest = block;
    arena->bytes += sizeof(*block) + size;
    return block;
}

void *qp_arena_take(struct qp_arena *arena, size_t size)
{
    struct qp_arena_block *block = arena->newest;
    void *piece;

    size = (size + 7) & ~(size_t)7;
    if (block == NULL || block->size - block->used < size) {
        block = arena_grow(arena, size);
        if (block == NULL)
            return NULL;
    }
    assert(block->used + size <= block->size);
    piece = (uint8_t *)block->bytes + block->used;
    block->used += size;
    return piece;
}

/* For who must not fail half-way: a segment makes room for all entries of an event before it puts
 * the first. In one block, because a take looks at the newest one alone. */
bool qp_arena_ensure(struct qp_arena *arena, size_t size)
{
    const struct qp_arena_block *block = arena->newest;

    assert(block == NULL || block->used <= block->size);
    if (block != NULL && block->size - block->used >= size)
        return true;
    return arena_grow(arena, size) != NULL;
}

void qp_arena_release(struct qp_arena *arena)
{
    while (arena->newest != NULL) {
        struct qp_arena_block *block = arena->newest;

        arena->newest = block->older;
        qp_free(block);
    }
    arena->bytes = 0;
}
