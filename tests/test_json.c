/* test_json.c - json.c: members of an object's text, escapes, and texts that are no JSON. */
#include "json.h"
#include "support_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(json);

static struct qp_bytes text_of(const char *text)
{
    return (struct qp_bytes){text, strlen(text)};
}

/* What stands under "a". */
static const struct {
    const char *object;
    enum qp_member_kind kind;
    double number;    /* INTEGER, REAL, BOOLEAN */
    const char *text; /* TEXT, with its escapes */
} members[] = {
    {"{\"a\":1}", QP_MEMBER_INTEGER, 1, NULL},
    {" \t\r\n{ \"a\" \n:\t1 } \r\n", QP_MEMBER_INTEGER, 1, NULL},
    {"{\"a\":-7}", QP_MEMBER_INTEGER, -7, NULL},
    {"{\"a\":0}", QP_MEMBER_INTEGER, 0, NULL},
    {"{\"a\":9223372036854775807}", QP_MEMBER_INTEGER, 9223372036854775807.0, NULL},
    {"{\"a\":-9223372036854775808}", QP_MEMBER_INTEGER, -9223372036854775808.0, NULL},
    {"{\"a\":9223372036854775808}", QP_MEMBER_REAL, 9223372036854775808.0, NULL},
    {"{\"a\":-9223372036854775809}", QP_MEMBER_REAL, -9223372036854775809.0, NULL},
    {"{\"a\":1.5}", QP_MEMBER_REAL, 1.5, NULL},
    {"{\"a\":1.0}", QP_MEMBER_REAL, 1, NULL},
    {"{\"a\":1e3}", QP_MEMBER_REAL, 1000, NULL},
    {"{\"a\":-1E-2}", QP_MEMBER_REAL, -0.01, NULL},
    {"{\"a\":true}", QP_MEMBER_BOOLEAN, 1, NULL},
    {"{\"a\":false}", QP_MEMBER_BOOLEAN, 0, NULL},
    {"{\"a\":\"\"}", QP_MEMBER_TEXT, 0, ""},
    {"{\"a\":\"x\"}", QP_MEMBER_TEXT, 0, "x"},
    {"{\"a\":\"}]{[,:\"}", QP_MEMBER_TEXT, 0, "}]{[,:"},
    {"{\"a\":\"\\\"\\\\\"}", QP_MEMBER_TEXT, 0, "\\\"\\\\"},
    {"{\"b\":0,\"a\":2,\"c\":3}", QP_MEMBER_INTEGER, 2, NULL},
    {"{\"a\":1,\"a\":2}", QP_MEMBER_INTEGER, 2, NULL}, /* the last one counts */
    {"{\"a\":1,\"a\":\"x\"}", QP_MEMBER_TEXT, 0, "x"},
    {"{\"a\":1,\"a\":null}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"\\u0061\":3}", QP_MEMBER_INTEGER, 3, NULL}, /* "a" with an escape */
    {"{\"b\":{\"a\":9},\"a\":1}", QP_MEMBER_INTEGER, 1, NULL},
    {"{\"a\":1,\"b\":{\"a\":9}}", QP_MEMBER_INTEGER, 1, NULL}, /* only the outermost */
    {"{\"a\":1,\"b\":[{\"a\":9}]}", QP_MEMBER_INTEGER, 1, NULL},
    {"{\"b\":[\"]\",\"\\\"\",{}],\"a\":1}", QP_MEMBER_INTEGER, 1, NULL},
    {"{\"b\":{\"x\":\"}\"},\"a\":1}", QP_MEMBER_INTEGER, 1, NULL},
    {"{}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"aa\":1,\"\":2,\"A\":3}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":null}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":[1]}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":{}}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":nan}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":inf}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":0x10}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":+1}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1-2}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1e}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":-}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":01}", QP_MEMBER_OTHER, 0, NULL}, /* what strtod() takes and JSON does not */
    {"{\"a\":-01}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1.}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":.5}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1.e5}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1e400}", QP_MEMBER_OTHER, 0, NULL}, /* no double */
    {"{\"a\":-0}", QP_MEMBER_INTEGER, 0, NULL},
    {"{\"a\":0.5}", QP_MEMBER_REAL, 0.5, NULL},
    {"{\"a\":1E+2}", QP_MEMBER_REAL, 100, NULL},
    {"{\"a\":2,\"\\u0062\":1}", QP_MEMBER_INTEGER, 2, NULL}, /* "b", as long as "a" */
    /* no object, or a cut one */
    {"", QP_MEMBER_OTHER, 0, NULL},
    {" ", QP_MEMBER_OTHER, 0, NULL},
    {"[1]", QP_MEMBER_OTHER, 0, NULL},
    {"\"a\"", QP_MEMBER_OTHER, 0, NULL},
    {"{", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\"", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1,", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1,}", QP_MEMBER_OTHER, 0, NULL},
    {"{,\"a\":1}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\" 1}", QP_MEMBER_OTHER, 0, NULL},
    {"{a:1}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1}}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1} x", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":\"x}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":\"x\\", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":\"x\\\"}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1,\"b\":[}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1,\"b\":}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1,\"b\":[{]}}", QP_MEMBER_OTHER, 0, NULL}, /* closed by the other kind */
    {"{\"a\":1,\"b\":[}]}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1,\"b\":01}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1,\"b\":nul}", QP_MEMBER_OTHER, 0, NULL},
    {"{\"a\":1,\"b\":truefalse}", QP_MEMBER_OTHER, 0, NULL},
};

Test(json, members)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const char *object = members[i].object;
        struct qp_member member;

        qp_json_member(text_of(object), QP_LITERAL("a"), &member);
        cr_expect_eq(member.kind, members[i].kind, "%s: kind %d", object, (int)member.kind);
        if (member.kind != members[i].kind)
            continue;
        if (member.kind == QP_MEMBER_INTEGER || member.kind == QP_MEMBER_REAL)
            cr_expect(member.real == members[i].number, "%s: %.17g", object, member.real);
        if (member.kind == QP_MEMBER_BOOLEAN)
            cr_expect_eq(member.boolean, members[i].number != 0, "%s", object);
        if (member.kind == QP_MEMBER_TEXT)
            support_expect_bytes(member.text, member.text_size, members[i].text,
                                 strlen(members[i].text), "%s", object);
    }
}

Test(json, integers_are_exact)
{
    static const int64_t integers[] = {0, -1, INT64_MAX, INT64_MIN, INT64_C(9007199254740993)};

    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
        char object[64];
        struct qp_member member;

        (void)snprintf(object, sizeof(object), "{\"n\":%lld}", (long long)integers[i]);
        qp_json_member(text_of(object), QP_LITERAL("n"), &member);
        cr_expect_eq(member.kind, QP_MEMBER_INTEGER, "%s", object);
        cr_expect_eq(member.integer, integers[i], "%s", object);
    }
}

Test(json, long_numbers)
{
    static const struct {
        size_t digits;
        enum qp_member_kind kind;
    } cases[] = {{18, QP_MEMBER_INTEGER}, {20, QP_MEMBER_REAL},   {309, QP_MEMBER_REAL},
                 {310, QP_MEMBER_OTHER},  {510, QP_MEMBER_OTHER}, {511, QP_MEMBER_OTHER},
                 {5000, QP_MEMBER_OTHER}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *digits = support_repeat('1', cases[i].digits);
        char object[6000];
        struct qp_member member;

        (void)snprintf(object, sizeof(object), "{\"n\":%s,\"a\":7}", digits);
        qp_json_member(text_of(object), QP_LITERAL("n"), &member);
        cr_expect_eq(member.kind, cases[i].kind, "%zu digits", cases[i].digits);
        qp_json_member(text_of(object), QP_LITERAL("a"), &member);
        cr_expect(member.kind == QP_MEMBER_INTEGER && member.integer == 7,
                  "beside a number of %zu digits, which is JSON", cases[i].digits);
        digits[cases[i].digits / 2] = '_';
        (void)snprintf(object, sizeof(object), "{\"n\":%s,\"a\":7}", digits);
        qp_json_member(text_of(object), QP_LITERAL("a"), &member);
        cr_expect_eq(member.kind, QP_MEMBER_OTHER, "%zu digits, and one that is none",
                     cases[i].digits);
        free(digits);
    }
}

/* Every beginning of a whole object is no object. */
Test(json, cut_anywhere_finds_nothing)
{
    static const char whole[] =
        "{\"a\": 1, \"b\": [1, {\"c\": \"\\u00e4\"}], \"d\": \"x\\\"y\", \"e\": true}";

    for (size_t size = 0; size < sizeof(whole) - 1; size++) {
        char *cut = malloc(size + 1); /* of its own, so that a read after it is seen */
        struct qp_member member;

        cr_assert_not_null(cut);
        memcpy(cut, whole, size);
        qp_json_member((struct qp_bytes){cut, size}, QP_LITERAL("a"), &member);
        cr_expect_eq(member.kind, QP_MEMBER_OTHER, "cut at %zu", size);
        free(cut);
    }
}

Test(json, random_bytes_never_crash)
{
    static const char letters[] = "{}[]\",:\\u0aD8 -1.eEtrufals\n\x00\xff";
    struct support_random random = {2};

    for (int i = 0; i < 200000; i++) {
        size_t size = support_random_below(&random, 40);
        char *bytes = malloc(size + 1);
        struct qp_member member;
        char out[8];

        cr_assert_not_null(bytes);
        for (size_t j = 0; j < size; j++)
            bytes[j] = letters[support_random_below(&random, sizeof(letters) - 1)];
        if (size > 0 && i % 2 == 0)
            bytes[0] = '{';
        qp_json_member((struct qp_bytes){bytes, size}, QP_LITERAL("a"), &member);
        if (member.kind == QP_MEMBER_TEXT)
            cr_assert(member.text >= bytes && member.text + member.text_size <= bytes + size);
        (void)qp_json_unescape(bytes, size, out, sizeof(out));
        free(bytes);
    }
}

/* A member's value may be 512 levels deep. */
Test(json, depth)
{
    static const struct {
        size_t levels;
        bool found;
    } cases[] = {{1, true}, {511, true}, {512, true}, {513, false}, {1000000, false}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *opening = support_repeat('[', cases[i].levels);
        char *closing = support_repeat(']', cases[i].levels);
        char *object = NULL;
        struct qp_member member;

        cr_assert_gt(asprintf(&object, "{\"b\":%s%s,\"a\":1}", opening, closing), 0);
        qp_json_member(text_of(object), QP_LITERAL("a"), &member);
        cr_expect_eq(member.kind == QP_MEMBER_INTEGER, cases[i].found, "%zu levels",
                     cases[i].levels);
        free(object);
        free(opening);
        free(closing);
    }
}

/* ---- escapes ---- */

static const struct {
    const char *text;
    int64_t size; /* -1: malformed */
    const char *plain;
} escapes[] = {
    {"", 0, ""},
    {"abc", 3, "abc"},
    {"\\\"\\\\\\/\\b\\f\\n\\r\\t", 8, "\"\\/\b\f\n\r\t"},
    {"\\u0041", 1, "A"},
    {"\\u00e4\\u00E4", 4, "\xc3\xa4\xc3\xa4"},
    {"\\u007f\\u0080", 3, "\x7f\xc2\x80"},
    {"\\u07ff\\u0800", 5, "\xdf\xbf\xe0\xa0\x80"},
    {"\\uffff", 3, "\xef\xbf\xbf"},
    {"\\ud7ff\\ue000", 6, "\xed\x9f\xbf\xee\x80\x80"},
    {"\\ud800\\udc00", 4, "\xf0\x90\x80\x80"},
    {"\\uDBFF\\uDFFF", 4, "\xf4\x8f\xbf\xbf"},
    {"a\\u0000b", 3, "a\0b"},
    {"\\", -1, NULL},
    {"\\x", -1, NULL},
    {"\\0", -1, NULL},
    {"\\u", -1, NULL},
    {"\\u123", -1, NULL},
    {"\\u12g4", -1, NULL},
    {"\\u+123", -1, NULL},
    {"\\ud800", -1, NULL},
    {"\\ud800x", -1, NULL},
    {"\\ud800\\n", -1, NULL},
    {"\\ud800\\n1234", -1, NULL},
    {"\\ud800\\u0041", -1, NULL},
    {"\\ud800\\ud800", -1, NULL},
    {"\\udc00", -1, NULL},
    {"\\udc00\\ud800", -1, NULL},
    {"\\udc00\\udc00", -1, NULL},
    {"\\ud800\\udc0", -1, NULL},
};

Test(json, unescape)
{
    for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
        char out[64];
        int64_t size = qp_json_unescape(escapes[i].text, strlen(escapes[i].text), out, sizeof(out));

        cr_expect_eq(size, escapes[i].size, "%s: %lld", escapes[i].text, (long long)size);
        if (size >= 0)
            support_expect_bytes(out, (size_t)size + 1, escapes[i].plain, (size_t)size + 1, "%s",
                                 escapes[i].text);
    }
}

/* Like snprintf(): never more than the capacity, always a 0, always the full length. */
Test(json, unescape_into_little_room)
{
    static const char text[] = "a\\u00e4b\\ud800\\udc00c";
    static const char plain[] = "a\xc3\xa4"
                                "b\xf0\x90\x80\x80"
                                "c";

    cr_expect_eq(qp_json_unescape(text, sizeof(text) - 1, NULL, 0), sizeof(plain) - 1);
    for (size_t capacity = 1; capacity < sizeof(plain) + 3; capacity++) {
        char out[32];
        size_t kept = capacity - 1 < sizeof(plain) - 1 ? capacity - 1 : sizeof(plain) - 1;

        memset(out, 0x55, sizeof(out));
        cr_expect_eq(qp_json_unescape(text, sizeof(text) - 1, out, capacity), sizeof(plain) - 1);
        cr_expect_eq(memcmp(out, plain, kept), 0, "capacity %zu", capacity);
        cr_expect_eq(out[kept], '\0', "capacity %zu", capacity);
        cr_expect_eq(out[capacity], 0x55, "capacity %zu", capacity);
    }
}
