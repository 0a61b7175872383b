/* test_memory.c - memory.c: the hook, the buffer, the array, the arena, and each of them when
 * memory runs out. */
#include "memory.h"
#include "support_suite.h"

#include <string.h>

SUPPORT_SUITE(memory);

Test(memory, hook_sees_every_call)
{
    void *one = qp_resize(NULL, 1);
    void *two = qp_zalloc(100);

    cr_assert(one != NULL && two != NULL);
    cr_expect_eq(support_heap_live(), 2);
    one = qp_resize(one, 10000);
    cr_assert_not_null(one);
    cr_expect_eq(support_heap_live(), 2);
    qp_free(one);
    qp_free(two);
    qp_free(NULL);
    cr_expect_eq(support_heap_live(), 0);
    cr_expect_eq(support_heap_calls(), 3);
}

Test(memory, no_hook_is_malloc)
{
    void *memory;

    qp_memory_hook(NULL, NULL);
    memory = qp_resize(NULL, 10);
    cr_assert_not_null(memory);
    qp_free(memory);
    cr_expect_eq(support_heap_calls(), 0);
}

Test(memory, zalloc_is_zeroed)
{
    uint8_t zeroes[4096] = {0};

    for (int i = 0; i < 16; i++) {
        uint8_t *memory = qp_zalloc(sizeof(zeroes));

        cr_assert_not_null(memory);
        cr_expect_eq(memcmp(memory, zeroes, sizeof(zeroes)), 0);
        memset(memory, 0xff, sizeof(zeroes));
        qp_free(memory);
    }
}

Test(memory, zalloc_out_of_memory)
{
    support_heap_fail(1, false);
    cr_expect_null(qp_zalloc(10));
}

Test(memory, buffer_grows_and_keeps_its_bytes)
{
    struct qp_buffer buffer = {0};

    for (unsigned i = 0; i < 5000; i++) {
        uint16_t number = (uint16_t)i;

        cr_assert(qp_buffer_put(&buffer, &number, sizeof(number)));
        cr_assert_leq(buffer.size, buffer.capacity);
    }
    cr_expect_eq(buffer.size, 10000);
    for (unsigned i = 0; i < 5000; i++) {
        uint16_t number;

        memcpy(&number, buffer.bytes + 2 * (size_t)i, sizeof(number));
        cr_assert_eq(number, i);
    }
    qp_buffer_release(&buffer);
    cr_expect(buffer.bytes == NULL && buffer.size == 0 && buffer.capacity == 0);
    qp_buffer_release(&buffer);
}

Test(memory, buffer_reserve_is_exact_about_room)
{
    struct qp_buffer buffer = {0};
    uint8_t *bytes;

    cr_assert(qp_buffer_reserve(&buffer, 1000));
    cr_expect_geq(buffer.capacity, 1000);
    bytes = buffer.bytes;
    support_heap_fail(1, true);
    cr_expect(qp_buffer_reserve(&buffer, buffer.capacity), "what is there needs no allocation");
    cr_expect_not(qp_buffer_reserve(&buffer, buffer.capacity + 1));
    cr_expect_eq(buffer.bytes, bytes);
    qp_buffer_release(&buffer);
}

Test(memory, buffer_out_of_memory_changes_nothing)
{
    struct qp_buffer buffer = {0};
    char text[64] = "0123456789";

    cr_assert(qp_buffer_put(&buffer, text, 5));
    support_heap_fail(1, true);
    cr_expect_not(qp_buffer_put(&buffer, text, sizeof(text)));
    cr_expect_eq(buffer.size, 5);
    cr_expect_eq(memcmp(buffer.bytes, "01234", 5), 0);
    support_heap_fail(0, false);
    cr_expect(qp_buffer_put(&buffer, text, sizeof(text)));
    cr_expect_eq(buffer.size, 5 + sizeof(text));
    qp_buffer_release(&buffer);
}

Test(memory, buffer_refuses_sizes_that_overflow)
{
    struct qp_buffer buffer = {0};
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, SIZE_MAX / 4};

    cr_assert(qp_buffer_put(&buffer, "x", 1));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        cr_expect_not(qp_buffer_reserve(&buffer, sizes[i]), "case %zu", i);
    cr_expect(qp_buffer_put(&buffer, NULL, 0));
    cr_expect_eq(buffer.size, 1);
    qp_buffer_release(&buffer);
}

Test(memory, array_grows_by_doubling)
{
    uint64_t *numbers = NULL;
    size_t capacity = 0;
    long calls;

    for (size_t i = 0; i < 1000; i++) {
        cr_assert(qp_array_reserve(&numbers, &capacity, i + 1, sizeof(*numbers)));
        cr_assert_gt(capacity, i);
        numbers[i] = i * i;
    }
    calls = support_heap_calls();
    cr_expect_leq(calls, 8, "%ld resizes", calls);
    for (size_t i = 0; i < 1000; i++)
        cr_assert_eq(numbers[i], i * i);
    support_heap_fail(1, true);
    cr_expect_not(qp_array_reserve(&numbers, &capacity, capacity + 1, sizeof(*numbers)));
    cr_expect_eq(numbers[999], 999 * 999);
    qp_free(numbers);
}

Test(memory, arena_pieces_are_aligned_and_apart)
{
    enum { PIECES = 3000 };
    struct qp_arena arena = {0};
    struct support_random random = {1};
    static uint8_t *pieces[PIECES];
    static size_t sizes[PIECES];

    for (size_t i = 0; i < PIECES; i++) {
        sizes[i] = 1 + support_random_below(&random, 100);
        pieces[i] = qp_arena_take(&arena, sizes[i]);
        cr_assert_not_null(pieces[i]);
        cr_assert_eq((uintptr_t)pieces[i] % 8, 0);
        memset(pieces[i], (int)(i % 251), sizes[i]);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t j = 0; j < sizes[i]; j++)
            cr_assert_eq(pieces[i][j], i % 251);
    cr_expect_gt(arena.bytes, PIECES * 50);
    qp_arena_release(&arena);
    cr_expect_eq(arena.bytes, 0);
    qp_arena_release(&arena);
}

Test(memory, arena_takes_more_than_a_block)
{
    struct qp_arena arena = {0};
    uint8_t *small = qp_arena_take(&arena, 8);
    uint8_t *large = qp_arena_take(&arena, 1000000);
    uint8_t *next = qp_arena_take(&arena, 8);

    cr_assert(small != NULL && large != NULL && next != NULL);
    memset(large, 1, 1000000);
    qp_arena_release(&arena);
}

Test(memory, arena_ensure_keeps_its_word)
{
    static const size_t sizes[] = {8, 4096, 4104, 65536, 65544, 200000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct qp_arena arena = {0};

        cr_assert_not_null(qp_arena_take(&arena, 3000)); /* so that the first block is in use */
        cr_assert(qp_arena_ensure(&arena, sizes[i]));
        support_heap_fail(1, true);
        for (size_t taken = 0; taken < sizes[i]; taken += 8)
            cr_assert_not_null(qp_arena_take(&arena, 5), "%zu of %zu", taken, sizes[i]);
        support_heap_fail(0, false);
        qp_arena_release(&arena);
    }
}

Test(memory, arena_out_of_memory)
{
    struct qp_arena arena = {0};
    char *piece;

    support_heap_fail(1, true);
    cr_expect_null(qp_arena_take(&arena, 1));
    cr_expect_not(qp_arena_ensure(&arena, 1));
    cr_expect_eq(arena.bytes, 0);
    support_heap_fail(0, false);
    piece = qp_arena_take(&arena, 4000);
    cr_assert_not_null(piece);
    memset(piece, 7, 4000);
    support_heap_fail(1, true);
    cr_expect_null(qp_arena_take(&arena, 4000));
    cr_expect_eq(piece[3999], 7);
    cr_expect_not_null(qp_arena_take(&arena, 8), "the old block still has room");
    qp_arena_release(&arena);
}
