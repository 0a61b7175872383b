/* test_sum.c - sum.c: XXH3 with its published values, so that another build of xxHash cannot make
 * other files. */
#include "sum.h"
#include "support_suite.h"

#include <string.h>

SUPPORT_SUITE(sum);

/* The input of xxHash's own self test: bytes of a linear generator. */
static void fill(uint8_t *bytes, size_t size)
{
    uint64_t generator = UINT64_C(2654435761);

    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(generator >> 56);
        generator *= UINT64_C(11400714785074694797);
    }
}

/* XSUM_XXH3_testdata of xxHash 0.8: its first and some later lines. */
static const struct {
    size_t size;
    uint64_t seed;
    uint64_t sum;
} published[] = {
    {0, 0, UINT64_C(0x2D06800538D394C2)},
    {0, UINT64_C(0x9E3779B185EBCA8D), UINT64_C(0xA8A6B918B2F0364A)},
    {1, 0, UINT64_C(0xC44BDFF4074EECDB)},
    {1, UINT64_C(0x9E3779B185EBCA8D), UINT64_C(0x032BE332DD766EF8)},
    {6, 0, UINT64_C(0x27B56A84CD2D7325)},
    {6, UINT64_C(0x9E3779B185EBCA8D), UINT64_C(0x84589C116AB59AB9)},
    {12, 0, UINT64_C(0xA713DAF0DFBB77E7)},
    {12, UINT64_C(0x9E3779B185EBCA8D), UINT64_C(0xE7303E1B2336DE0E)},
    {24, 0, UINT64_C(0xA3FE70BF9D3510EB)},
    {24, UINT64_C(0x9E3779B185EBCA8D), UINT64_C(0x850E80FC35BDD690)},
    {48, 0, UINT64_C(0x397DA259ECBA1F11)},
    {80, 0, UINT64_C(0xBCDEFBBB2C47C90A)},
    {195, 0, UINT64_C(0xCD94217EE362EC3A)},
    {403, 0, UINT64_C(0xCDEB804D65C6DEA4)},
    {512, 0, UINT64_C(0x617E49599013CB6B)},
    {2048, 0, UINT64_C(0xDD59E2C3A5F038E0)},
};

Test(sum, published_values)
{
    uint8_t bytes[2048];

    fill(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
        uint64_t sum = qp_sum(bytes, published[i].size, published[i].seed);

        cr_expect_eq(sum, published[i].sum, "%zu bytes, seed %llx: %llx", published[i].size,
                     (unsigned long long)published[i].seed, (unsigned long long)sum);
    }
}

Test(sum, seed_counts)
{
    cr_expect_neq(qp_sum("abc", 3, 0), qp_sum("abc", 3, 1));
    cr_expect_neq(qp_sum("", 0, 0), qp_sum("", 0, 1));
}

Test(sum, chain_is_the_sum_of_its_three_links)
{
    uint64_t links[3] = {UINT64_C(0x0102030405060708), 2, UINT64_MAX};

    cr_expect_eq(qp_sum_chain(links[0], links[1], links[2]), qp_sum(links, sizeof(links), 0));
    cr_expect_neq(qp_sum_chain(1, 2, 3), qp_sum_chain(2, 1, 3));
    cr_expect_neq(qp_sum_chain(1, 2, 3), qp_sum_chain(1, 3, 2));
    cr_expect_neq(qp_sum_chain(0, 2, 3), qp_sum_chain(1, 2, 3));
}

Test(sum, id_depends_on_store_position_and_history)
{
    uint8_t uuid[16] = {1};
    uint8_t ids[5][16];

    qp_sum_id(uuid, 1, 1, ids[0]);
    qp_sum_id(uuid, 1, 1, ids[1]);
    cr_expect_eq(memcmp(ids[0], ids[1], 16), 0, "the same each time");
    qp_sum_id(uuid, 2, 1, ids[1]);
    qp_sum_id(uuid, 1, 2, ids[2]);
    qp_sum_id(uuid, 2, 2, ids[3]);
    uuid[15] = 1;
    qp_sum_id(uuid, 1, 1, ids[4]);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            cr_expect_neq(memcmp(ids[i], ids[j], 16), 0, "%d and %d", i, j);
}
