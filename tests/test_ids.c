/* test_ids.c - ids.c against an array that is searched from its begin. */
#include "ids.h"
#include "support_suite.h"

#include <string.h>

SUPPORT_SUITE(ids);

enum { KEYS = 5000 };

/* The key of number `n`: most bytes are the same, as those of ids that count upwards are. */
static void make_key(uint8_t key[QP_ID_NAME_BYTES], uint32_t n)
{
    uint8_t id[16] = {1, 2, 3};

    qp_set_u32(id + 12, n);
    qp_key_id_name(key, id, n % 7);
}

Test(ids, an_empty_set)
{
    struct qp_ids ids = {0};
    uint8_t key[QP_ID_NAME_BYTES];
    const struct qp_id_entry **sorted = qp_ids_sorted(&ids);

    make_key(key, 1);
    cr_expect_null(qp_ids_find(&ids, key));
    cr_expect_eq(qp_ids_bytes(&ids), 0);
    cr_expect_not_null(sorted);
    qp_free(sorted);
    qp_ids_release(&ids);
}

/* Every key i % 3 + 1 times. */
Test(ids, each_key_with_its_numbers_in_order)
{
    struct qp_ids ids = {0};
    uint8_t key[QP_ID_NAME_BYTES];

    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = round; i < KEYS; i++) {
            if (i % 3 < round)
                continue;
            make_key(key, i);
            cr_assert(qp_ids_ensure(&ids));
            qp_ids_put(&ids, key, i + round * KEYS);
        }
    }
    for (uint32_t i = 3; i < KEYS; i++) {
        const struct qp_id_entry *entry;

        make_key(key, i);
        entry = qp_ids_find(&ids, key);
        for (uint32_t round = 0; round <= i % 3; round++) {
            cr_assert_not_null(entry, "%u, %u", i, round);
            cr_expect_eq(entry->number, i + round * KEYS);
            entry = qp_ids_next(&ids, entry);
        }
        cr_expect_null(entry);
    }
    make_key(key, KEYS);
    cr_expect_null(qp_ids_find(&ids, key));
    cr_expect_geq(qp_ids_bytes(&ids), ids.count * 32);
    qp_ids_release(&ids);
}

/* The same id in streams of different sums is another key. */
Test(ids, a_stream_makes_another_key)
{
    struct qp_ids ids = {0};
    uint8_t id[16] = {9};
    uint8_t key[QP_ID_NAME_BYTES];

    qp_key_id_name(key, id, 1);
    cr_assert(qp_ids_ensure(&ids));
    qp_ids_put(&ids, key, 1);
    qp_key_id_name(key, id, 2);
    cr_expect_null(qp_ids_find(&ids, key));
    qp_ids_release(&ids);
}

Test(ids, sorted_by_key_then_number)
{
    struct qp_ids ids = {0};
    struct support_random random = {7};
    const struct qp_id_entry **sorted;
    uint8_t key[QP_ID_NAME_BYTES];

    for (uint32_t i = 0; i < KEYS; i++) {
        make_key(key, (uint32_t)support_random_below(&random, KEYS / 2));
        cr_assert(qp_ids_ensure(&ids));
        qp_ids_put(&ids, key, i);
    }
    sorted = qp_ids_sorted(&ids);
    cr_assert_not_null(sorted);
    for (size_t i = 1; i < KEYS; i++) {
        int order = memcmp(sorted[i - 1]->key, sorted[i]->key, QP_ID_NAME_BYTES);

        cr_assert(order < 0 || (order == 0 && sorted[i - 1]->number < sorted[i]->number));
    }
    qp_free(sorted);
    qp_ids_release(&ids);
}
