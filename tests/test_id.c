/* test_id.c - id.c: both kinds of UUID to the bit, and that no two new ones are equal, whoever
 * makes them. */
#include "clock.h"
#include "id.h"
#include "support_suite.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(id);

static void expect_id(const uint8_t id[16], const char *hex, const char *what)
{
    char text[33];

    for (unsigned i = 0; i < 16; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", id[i]);
    cr_expect_str_eq(text, hex, "%s: %s, not %s", what, text, hex);
}

/* ---- from a key ------------------------------------------------------------------------------ */

/* Programs store these ids: none of the lines may ever change. The first is what xxHash publishes
 * for no bytes, 99aa06d3014798d8 6001c324468d497f, in our order and with version and variant. */
static const struct {
    const char *key;
    const char *id;
} golden[] = {
    {"", "7f498d4624c3816098984701d306aa99"},
    {"a", "1f4e961eb63286e6b468f15a70af6fa9"},
    {"order-42", "0a0becd7925a83fb891a50cd4eab03d3"},
    {"request 7f3a", "e486eb408165815890c2e9f541d49ea6"},
    {"a key that is longer than sixteen bytes", "0962e8af3ac78b1c981184d75a6693fa"},
};

Test(id, of_a_key_is_the_same_for_ever)
{
    uint8_t id[16];
    uint8_t long_key[1000];

    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        quipu_id_from(golden[i].key, strlen(golden[i].key), id);
        expect_id(id, golden[i].id, golden[i].key);
    }
    memset(long_key, 'k', sizeof(long_key));
    quipu_id_from(long_key, sizeof(long_key), id);
    expect_id(id, "79670621f4e28c30b6d16dece679f4d4", "1000 times k");
}

Test(id, of_no_key)
{
    uint8_t none[16];
    uint8_t empty[16];

    quipu_id_from(NULL, 5, none);
    quipu_id_from("", 0, empty);
    cr_expect(memcmp(none, empty, 16) == 0);
    quipu_id_from("x", 1, NULL);
    quipu_id_new(NULL);
}

/* Keys that differ in one bit, or in their size alone. */
Test(id, of_other_keys_is_another)
{
    uint8_t key[64] = {0};
    uint8_t ids[64 + 64 * 8][16];
    size_t count = 0;

    for (size_t size = 0; size < sizeof(key); size++)
        quipu_id_from(key, size, ids[count++]);
    for (size_t bit = 0; bit < sizeof(key) * 8; bit++) {
        key[bit / 8] ^= (uint8_t)(1U << bit % 8);
        quipu_id_from(key, sizeof(key), ids[count++]);
        key[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(ids[i][6] >> 4, 8);
        cr_expect_eq(ids[i][8] >> 6, 2);
        for (size_t j = 0; j < i; j++)
            cr_expect(memcmp(ids[i], ids[j], 16) != 0, "%zu and %zu", i, j);
    }
}

/* ---- by time --------------------------------------------------------------------------------- */

static const uint8_t ones[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t zeroes[8];

/* The first is the example of RFC 9562, A.6: 2022-02-22 14:22:22-05:00. */
Test(id, of_a_time_to_the_bit)
{
    const uint8_t sample[8] = {0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f};
    const int64_t second = INT64_C(1645557742000000000);
    uint8_t id[16];

    qp_id_time(second, sample, id);
    expect_id(id, "017f22e279b0700098c4dc0c0c07398f", "a whole second");
    qp_id_time(second + 500000, zeroes, id);
    expect_id(id, "017f22e279b078008000000000000000", "and half a millisecond");
    qp_id_time(second + 999999, ones, id);
    expect_id(id, "017f22e279b07fffbfffffffffffffff", "one nanosecond before the next");
    qp_id_time(second + 1000000, ones, id);
    expect_id(id, "017f22e279b17000bfffffffffffffff", "the next");
    qp_id_time(-1, zeroes, id);
    expect_id(id, "00000000000070008000000000000000", "before 1970");
}

Test(id, of_a_later_time_sorts_later)
{
    struct support_random random = {1};
    int64_t time_ns = 0;
    uint8_t before[16];
    uint8_t id[16];

    qp_id_time(time_ns, ones, before);
    for (int i = 0; i < 10000; i++) {
        uint8_t bits[8];
        uint64_t drawn = support_random(&random);

        memcpy(bits, &drawn, sizeof(bits));
        time_ns += 250 + (int64_t)support_random_below(&random, 1000000000);
        qp_id_time(time_ns, bits, id);
        cr_assert(memcmp(before, id, 16) < 0, "%d", i);
        memcpy(before, id, 16);
    }
}

Test(id, new_is_of_now)
{
    int64_t begun_ms = qp_clock_wall_ns() / QP_NS_PER_MS;
    uint8_t id[16];
    int64_t at_ms = 0;

    quipu_id_new(id);
    for (unsigned i = 0; i < 6; i++)
        at_ms = at_ms << 8 | id[i];
    cr_expect(at_ms >= begun_ms && at_ms <= qp_clock_wall_ns() / QP_NS_PER_MS);
    cr_expect_eq(id[6] >> 4, 7);
    cr_expect_eq(id[8] >> 6, 2);
}

/* ---- no two ---------------------------------------------------------------------------------- */

enum { THREADS = 4, EACH = 5000 };

static int by_bytes(const void *left, const void *right)
{
    return memcmp(left, right, 16);
}

static void expect_distinct(uint8_t (*ids)[16], size_t count)
{
    qsort(ids, count, 16, by_bytes);
    for (size_t i = 1; i < count; i++)
        cr_assert(memcmp(ids[i - 1], ids[i], 16) != 0, "two of %zu", count);
}

/* New ones, then such as a system without random bytes gives; their time is left out. */
static void *make(void *payload)
{
    uint8_t(*ids)[16] = payload;

    for (size_t i = 0; i < EACH; i++) {
        quipu_id_new(ids[i]);
        memset(ids[EACH + i], 0, 16);
        qp_id_unique(ids[EACH + i]);
    }
    return NULL;
}

Test(id, new_differs_in_all_threads)
{
    static uint8_t ids[THREADS][2 * EACH][16];
    static uint8_t sorted[2][THREADS * EACH][16];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, make, ids[i]), 0);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        memcpy(sorted[0][i * EACH], ids[i], EACH * 16);
        memcpy(sorted[1][i * EACH], ids[i] + EACH, EACH * 16);
    }
    expect_distinct(sorted[0], sizeof(sorted[0]) / 16);
    expect_distinct(sorted[1], sizeof(sorted[1]) / 16);
}

/* Random bits only: the same instant would hide that parent and child draw the same. */
Test(id, new_differs_after_fork)
{
    uint8_t ids[4][16] = {{0}};
    int pipes[2];
    pid_t child;
    int status;

    cr_assert_eq(pipe(pipes), 0);
    qp_id_random(ids[0]);
    child = fork();
    if (child == 0) {
        qp_id_random(ids[0]);
        qp_id_unique(ids[1]);
        _exit(write(pipes[1], ids, 32) == 32 ? 0 : 1);
    }
    qp_id_random(ids[2]);
    qp_id_unique(ids[3]);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(read(pipes[0], ids, 32), 32);
    expect_distinct(ids, 4);
}
