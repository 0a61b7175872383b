/* test_pack.c - pack.c: what is one whole msgpack value, and members of a map. The other opinion is
 * a parser written here from the specification. */
#include "pack.h"
#include "support_suite.h"

#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(pack);

enum { LEVELS = 32 };

/* ---- the other opinion ---- */

struct walk {
    const uint8_t *at;
    const uint8_t *end;
};

static bool skip(struct walk *walk, uint64_t size)
{
    if ((uint64_t)(walk->end - walk->at) < size)
        return false;
    walk->at += size;
    return true;
}

static bool take_size(struct walk *walk, unsigned width, uint64_t *size)
{
    *size = 0;
    if ((uint64_t)(walk->end - walk->at) < width)
        return false;
    for (unsigned i = 0; i < width; i++)
        *size = *size << 8 | *walk->at++;
    return true;
}

/* What a type byte announces: bytes to skip at once, or a length of `width` bytes in front of as
 * many (bytes, with `extra` more; or items). false: no such type. */
struct shape {
    uint64_t fixed;
    unsigned width;
    unsigned extra;
    unsigned items; /* of each: 1 array, 2 map, 0 no container */
};

static bool shape_of(uint8_t type, struct shape *shape)
{
    static const struct shape shapes[32] = {
        {0, 0, 0, 0},  {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, /* nil, -, false, true */
        {0, 1, 0, 0},  {0, 2, 0, 0}, {0, 4, 0, 0}, {0, 1, 1, 0}, /* bin, ext 8 */
        {0, 2, 1, 0},  {0, 4, 1, 0}, {4, 0, 0, 0}, {8, 0, 0, 0}, /* ext, float */
        {1, 0, 0, 0},  {2, 0, 0, 0}, {4, 0, 0, 0}, {8, 0, 0, 0}, /* uint */
        {1, 0, 0, 0},  {2, 0, 0, 0}, {4, 0, 0, 0}, {8, 0, 0, 0}, /* int */
        {2, 0, 0, 0},  {3, 0, 0, 0}, {5, 0, 0, 0}, {9, 0, 0, 0}, /* fixext */
        {17, 0, 0, 0}, {0, 1, 0, 0}, {0, 2, 0, 0}, {0, 4, 0, 0}, /* fixext 16, str */
        {0, 2, 0, 1},  {0, 4, 0, 1}, {0, 2, 0, 2}, {0, 4, 0, 2}, /* array, map */
    };

    *shape = (struct shape){0};
    if (type < 0x80 || type >= 0xe0)
        return true; /* an integer */
    if (type >= 0xc0) {
        *shape = shapes[type - 0xc0];
        return type != 0xc1;
    }
    if (type >= 0xa0)
        shape->fixed = type & 0x1f; /* a string */
    else
        shape->items = type < 0x90 ? 2 : 1;
    return true;
}

/* Not recursive: how many values each open container still wants. */
static bool whole(const uint8_t *bytes, size_t size)
{
    struct walk walk = {bytes, bytes + size};
    uint64_t wanted[LEVELS + 1] = {1};
    unsigned level = 0;

    for (;;) {
        struct shape shape;
        uint64_t count = 0;
        uint8_t type;

        while (level > 0 && wanted[level] == 0)
            level--;
        if (wanted[level] == 0)
            return walk.at == walk.end;
        wanted[level]--;
        if (walk.at == walk.end)
            return false;
        type = *walk.at++;
        if (!shape_of(type, &shape) || !take_size(&walk, shape.width, &count))
            return false;
        if (shape.items == 0) {
            if (!skip(&walk, shape.fixed + count + shape.extra))
                return false;
            continue;
        }
        if (type < 0xa0)
            count = type & 0x0f;
        if (level == LEVELS)
            return false;
        wanted[++level] = count * shape.items;
    }
}

static bool agree(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1); /* of its own, so that a read after it is seen */
    bool same;

    cr_assert_not_null(copy);
    memcpy(copy, bytes, size);
    same = qp_pack_whole(copy, size) == whole(bytes, size);
    free(copy);
    return same;
}

/* ---- one value ---- */

/* Each type byte before 0 to 40 zeroes. A zero is an integer, a length of 0, or data. */
Test(pack, each_type_byte)
{
    for (unsigned type = 0; type < 256; type++) {
        uint8_t bytes[41] = {(uint8_t)type};
        unsigned good = 0;

        for (size_t size = 1; size <= sizeof(bytes); size++) {
            cr_expect(agree(bytes, size), "type %02x, %zu bytes", type, size);
            good += qp_pack_whole(bytes, size) ? 1 : 0;
        }
        cr_expect_eq(good, type == 0xc1 ? 0 : 1, "type %02x is whole at %u sizes", type, good);
    }
}

/* type, smallest whole size with zeroes after: written by hand from the specification */
Test(pack, sizes_of_types)
{
    static const struct {
        uint8_t type;
        size_t size;
    } cases[] = {
        {0x00, 1}, {0x7f, 1},  {0x80, 1},  {0x81, 3}, {0x8f, 31}, {0x90, 1}, {0x91, 2}, {0x9f, 16},
        {0xa0, 1}, {0xa1, 2},  {0xbf, 32}, {0xc0, 1}, {0xc2, 1},  {0xc3, 1}, {0xc4, 2}, {0xc5, 3},
        {0xc6, 5}, {0xc7, 3},  {0xc8, 4},  {0xc9, 6}, {0xca, 5},  {0xcb, 9}, {0xcc, 2}, {0xcd, 3},
        {0xce, 5}, {0xcf, 9},  {0xd0, 2},  {0xd1, 3}, {0xd2, 5},  {0xd3, 9}, {0xd4, 3}, {0xd5, 4},
        {0xd6, 6}, {0xd7, 10}, {0xd8, 18}, {0xd9, 2}, {0xda, 3},  {0xdb, 5}, {0xdc, 3}, {0xdd, 5},
        {0xde, 3}, {0xdf, 5},  {0xe0, 1},  {0xff, 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[64] = {cases[i].type};

        for (size_t size = 0; size < sizeof(bytes); size++)
            cr_expect_eq(qp_pack_whole(bytes, size), size == cases[i].size, "type %02x, %zu bytes",
                         cases[i].type, size);
    }
    cr_expect_not(qp_pack_whole(NULL, 0));
}

/* Containers in one another; the innermost holds `inside`. */
static size_t nest(uint8_t *bytes, unsigned levels, bool maps, uint8_t inside)
{
    size_t size = 0;

    for (unsigned i = 0; i < levels; i++) {
        bytes[size++] = maps ? 0x81 : 0x91;
        if (maps)
            bytes[size++] = 0xc0; /* the key */
    }
    bytes[size++] = inside;
    return size;
}

Test(pack, depth)
{
    static const struct {
        unsigned levels;
        bool maps;
        uint8_t inside;
        bool good;
    } cases[] = {
        {0, false, 0xc0, true},   {31, false, 0xc0, true},  {32, false, 0xc0, true},
        {33, false, 0xc0, false}, {34, false, 0xc0, false}, {1000, false, 0xc0, false},
        {31, false, 0x90, true}, /* the 32nd is empty */
        {32, false, 0x90, false}, {32, false, 0x80, false}, {31, true, 0xc0, true},
        {32, true, 0xc0, true},   {33, true, 0xc0, false},  {32, true, 0x80, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[2048];
        size_t size = nest(bytes, cases[i].levels, cases[i].maps, cases[i].inside);

        cr_expect_eq(qp_pack_whole(bytes, size), cases[i].good, "case %zu", i);
        cr_expect(agree(bytes, size), "case %zu", i);
    }
}

Test(pack, depth_of_keys_counts_too)
{
    uint8_t bytes[80];
    size_t size = nest(bytes, 31, false, 0x81); /* a map at level 32 ... */

    bytes[size] = 0x90; /* ... whose key is an array at level 33 */
    bytes[size + 1] = 0xc0;
    cr_expect_not(qp_pack_whole(bytes, size + 2));
    bytes[size] = 0xc0;
    cr_expect(qp_pack_whole(bytes, size + 2));
}

/* Headers that announce more than there is: neither memory nor time. */
Test(pack, bombs)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bombs[] = {
        {"\xdd\xff\xff\xff\xff", 5},
        {"\xdf\xff\xff\xff\xff", 5},
        {"\xdc\xff\xff", 3},
        {"\xde\xff\xff", 3},
        {"\xdd\xff\xff\xff\xff\xc0\xc0", 7},
        {"\xdf\x80\x00\x00\x00\xc0\xc0", 7},
        {"\xdb\xff\xff\xff\xff", 5},
        {"\xc6\xff\xff\xff\xff", 5},
        {"\xc9\xff\xff\xff\xff", 5},
        {"\xc9\xff\xff\xff\xff\x01", 6},
        {"\xc9\xff\xff\xff\xff\x01zzz", 9},
        {"\xc9\xff\xff\xff\xfe\x01zzz", 9},
        {"\xc8\xff\xff\x01zzz", 7},
        {"\xc7\xff\x01zzz", 6},
        {"\xdd\xff\xff\xff\xff\xdd\xff\xff\xff\xff\xdd\xff\xff\xff\xff", 15},
    };

    for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++)
        cr_expect_not(qp_pack_whole(bombs[i].bytes, bombs[i].size), "bomb %zu", i);
    cr_expect_eq(support_heap_calls(), 0, "it allocates nothing");
}

Test(pack, not_exactly_one)
{
    cr_expect(qp_pack_whole("\x93\x01\x02\x03", 4));
    cr_expect_not(qp_pack_whole("\x93\x01\x02\x03\x04", 5), "trailing bytes");
    cr_expect_not(qp_pack_whole("\xc0\xc0", 2), "two values");
    cr_expect_not(qp_pack_whole("\x93\x01\x02", 3), "cut");
    cr_expect_not(qp_pack_whole("\x93\x01\xc1\x03", 4), "a type that is never used");
}

Test(pack, random_bytes_as_the_other_parser_says)
{
    struct support_random random = {3};
    unsigned good = 0;

    for (int i = 0; i < 300000; i++) {
        uint8_t bytes[24];
        size_t size = 1 + support_random_below(&random, sizeof(bytes));

        for (size_t j = 0; j < size; j++) {
            bytes[j] = (uint8_t)support_random(&random);
            if (support_random_below(&random, 3) == 0)
                bytes[j] = (uint8_t)(0x80 + (bytes[j] & 0x13)); /* small containers */
            if (support_random_below(&random, 4) == 0)
                bytes[j] = (uint8_t)(bytes[j] & 3);
        }
        cr_assert(agree(bytes, size), "round %d", i);
        good += whole(bytes, size) ? 1 : 0;
    }
    cr_expect_gt(good, 1000, "%u were whole", good);
}

/* ---- members ---- */

static const struct {
    const char *map;
    size_t size;
    enum qp_member_kind kind;
    int64_t integer;
    double real;
    const char *text;
} members[] = {
    {"\x81\xa1"
     "a\x01",
     4, QP_MEMBER_INTEGER, 1, 1, NULL},
    {"\x81\xa1"
     "a\xff",
     4, QP_MEMBER_INTEGER, -1, -1, NULL},
    {"\x81\xa1"
     "a\xcc\xff",
     5, QP_MEMBER_INTEGER, 255, 255, NULL},
    {"\x81\xa1"
     "a\xcd\xff\xfe",
     6, QP_MEMBER_INTEGER, 0xfffe, 0xfffe, NULL},
    {"\x81\xa1"
     "a\xce\xff\xff\xff\xfe",
     8, QP_MEMBER_INTEGER, 0xfffffffe, 4294967294.0, NULL},
    {"\x81\xa1"
     "a\xcf\x7f\xff\xff\xff\xff\xff\xff\xff",
     12, QP_MEMBER_INTEGER, INT64_MAX, 9223372036854775807.0, NULL},
    {"\x81\xa1"
     "a\xcf\x80\x00\x00\x00\x00\x00\x00\x00",
     12, QP_MEMBER_REAL, 0, 9223372036854775808.0, NULL},
    {"\x81\xa1"
     "a\xd0\x80",
     5, QP_MEMBER_INTEGER, -128, -128, NULL},
    {"\x81\xa1"
     "a\xd1\x80\x00",
     6, QP_MEMBER_INTEGER, -32768, -32768, NULL},
    {"\x81\xa1"
     "a\xd2\x80\x00\x00\x00",
     8, QP_MEMBER_INTEGER, INT32_MIN, -2147483648.0, NULL},
    {"\x81\xa1"
     "a\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
     12, QP_MEMBER_INTEGER, INT64_MIN, -9223372036854775808.0, NULL},
    {"\x81\xa1"
     "a\xca\x3f\xc0\x00\x00",
     8, QP_MEMBER_REAL, 0, 1.5, NULL},
    {"\x81\xa1"
     "a\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00",
     12, QP_MEMBER_REAL, 0, -1.5, NULL},
    {"\x81\xa1"
     "a\xa2xy",
     6, QP_MEMBER_TEXT, 0, 0, "xy"},
    {"\x81\xa1"
     "a\xa0",
     4, QP_MEMBER_TEXT, 0, 0, ""},
    {"\x81\xd9\x01"
     "a\xd9\x02xy",
     8, QP_MEMBER_TEXT, 0, 0, "xy"},
    {"\x81\xda\x00\x01"
     "a\xda\x00\x00",
     8, QP_MEMBER_TEXT, 0, 0, ""},
    {"\xde\x00\x01\xa1"
     "a\x05",
     6, QP_MEMBER_INTEGER, 5, 5, NULL},
    {"\xdf\x00\x00\x00\x01\xa1"
     "a\x05",
     8, QP_MEMBER_INTEGER, 5, 5, NULL},
    {"\x82\xa1"
     "a\x01\xa1"
     "a\x02",
     7, QP_MEMBER_INTEGER, 2, 2, NULL}, /* the last one counts */
    {"\x82\xa1"
     "a\x01\xa1"
     "a\xc0",
     7, QP_MEMBER_OTHER, 0, 0, NULL},
    {"\x82\xa1"
     "b\x81\xa1"
     "a\x09\xa1"
     "a\x03",
     10, QP_MEMBER_INTEGER, 3, 3, NULL}, /* not that of an inner map */
    {"\x81\xa1"
     "b\x81\xa1"
     "a\x09",
     7, QP_MEMBER_OTHER, 0, 0, NULL},
    {"\x82\x81\xa1"
     "a\x09\x01\xa1"
     "a\x03",
     9, QP_MEMBER_INTEGER, 3, 3, NULL}, /* a map as a key */
    {"\x81\xa1"
     "a\xc4\x01x",
     6, QP_MEMBER_OTHER, 0, 0, NULL}, /* bin is no text */
    {"\x81\xc4\x01"
     "a\x01",
     5, QP_MEMBER_OTHER, 0, 0, NULL}, /* nor is a bin a name */
    {"\x81\xa1"
     "a\x90",
     4, QP_MEMBER_OTHER, 0, 0, NULL},
    {"\x80", 1, QP_MEMBER_OTHER, 0, 0, NULL},
    {"\x91\x81\xa1"
     "a\x01",
     5, QP_MEMBER_OTHER, 0, 0, NULL}, /* an array is no map */
    {"\x92\xa1"
     "a\x01",
     4, QP_MEMBER_OTHER, 0, 0, NULL},
    {"\x81\xa1"
     "a\x01\x00",
     5, QP_MEMBER_OTHER, 0, 0, NULL}, /* not whole */
    {"\x82\xa1"
     "a\x01",
     4, QP_MEMBER_OTHER, 0, 0, NULL},
    {"", 0, QP_MEMBER_OTHER, 0, 0, NULL},
};

Test(pack, members)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        struct qp_member member;

        qp_pack_member((struct qp_bytes){members[i].map, members[i].size}, QP_LITERAL("a"),
                       &member);
        cr_expect_eq(member.kind, members[i].kind, "map %zu: kind %d", i, (int)member.kind);
        if (member.kind != members[i].kind)
            continue;
        if (member.kind == QP_MEMBER_INTEGER)
            cr_expect_eq(member.integer, members[i].integer, "map %zu", i);
        if (member.kind == QP_MEMBER_INTEGER || member.kind == QP_MEMBER_REAL)
            cr_expect(member.real == members[i].real, "map %zu: %.17g", i, member.real);
        if (member.kind == QP_MEMBER_TEXT)
            support_expect_bytes(member.text, member.text_size, members[i].text,
                                 strlen(members[i].text), "map %zu", i);
        cr_expect_not(member.escaped);
    }
}

Test(pack, booleans)
{
    struct qp_member member;

    for (int value = 0; value < 2; value++) {
        uint8_t map[] = {0x81, 0xa1, 'a', (uint8_t)(0xc2 + value)};

        qp_pack_member((struct qp_bytes){map, sizeof(map)}, QP_LITERAL("a"), &member);
        cr_expect_eq(member.kind, QP_MEMBER_BOOLEAN);
        cr_expect_eq(member.boolean, value == 1);
    }
}
