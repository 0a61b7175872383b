/* memory.h - the only door to the heap, so that a test can make the n-th allocation fail. */
#ifndef QP_MEMORY_H
#define QP_MEMORY_H

#include "base.h"

typedef void *(*qp_resize_fn)(void *memory, size_t size, void *payload);

/* NULL brings malloc back. Not while anything is allocated. */
void qp_memory_hook(qp_resize_fn resize, void *payload);

void *qp_resize(void *memory, size_t size); /* as realloc(); NULL if memory is out */
void *qp_zalloc(size_t size);               /* zeroed */
void qp_free(void *memory);                 /* takes NULL */

/* A growing run of bytes. A zeroed one is empty; release it in the end. */
struct qp_buffer {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

/* Make room for `more` bytes after the used ones. false: memory is out, nothing changed. */
bool qp_buffer_reserve(struct qp_buffer *buffer, size_t more);
bool qp_buffer_put(struct qp_buffer *buffer, const void *bytes, size_t size);
void qp_buffer_release(struct qp_buffer *buffer);

/* Make room in an array of `*capacity` elements for `count`. false: memory is out. */
bool qp_array_reserve(void *array_pointer, size_t *capacity, size_t count, size_t element_size);

/* Many small pieces that go at once: what a segment of the tail is made of. */
struct qp_arena {
    struct qp_arena_block *newest; /* the one that is taken from */
    size_t bytes;                  /* taken from the heap */
};

/* 8-byte aligned, not zeroed, never moved; NULL if memory is out. */
void *qp_arena_take(struct qp_arena *arena, size_t size);

/* Make sure that the next takes of `size` bytes in all succeed, each rounded up to 8. */
bool qp_arena_ensure(struct qp_arena *arena, size_t size);
void qp_arena_release(struct qp_arena *arena);

#endif
