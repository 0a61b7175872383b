/* test_text.c - text.c: UTF-8 by Unicode's table 3-7, names, categories. */
#include "support_suite.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(text);

/* A sequence, and whether it is well-formed. */
static const struct {
    const char *bytes;
    size_t size;
    bool good;
} sequences[] = {
    {"", 0, true},
    {"a", 1, true},
    {"\0", 1, true}, /* one code point like others here; a name ends at it */
    {"\x7f", 1, true},
    {"\x80", 1, false}, /* a continuation alone */
    {"\xbf", 1, false},
    {"\xc0\x80", 2, false}, /* overlong */
    {"\xc1\xbf", 2, false},
    {"\xc2\x80", 2, true},
    {"\xdf\xbf", 2, true},
    {"\xc2\x7f", 2, false},
    {"\xc2\xc0", 2, false},
    {"\xc2", 1, false}, /* cut */
    {"\xe0\x9f\xbf", 3, false},
    {"\xe0\xa0\x80", 3, true},
    {"\xe0\xbf\xbf", 3, true},
    {"\xe1\x80\x80", 3, true},
    {"\xec\xbf\xbf", 3, true},
    {"\xed\x9f\xbf", 3, true},
    {"\xed\xa0\x80", 3, false}, /* surrogates */
    {"\xed\xbf\xbf", 3, false},
    {"\xee\x80\x80", 3, true},
    {"\xef\xbf\xbf", 3, true},
    {"\xef\xbf", 2, false},
    {"\xef\xbf\x7f", 3, false},
    {"\xef\xbf\xc0", 3, false},
    {"\xef\x7f\xbf", 3, false},
    {"\xf0\x8f\xbf\xbf", 4, false},
    {"\xf0\x90\x80\x80", 4, true},
    {"\xf1\x80\x80\x80", 4, true},
    {"\xf3\xbf\xbf\xbf", 4, true},
    {"\xf4\x8f\xbf\xbf", 4, true}, /* U+10FFFF */
    {"\xf4\x90\x80\x80", 4, false},
    {"\xf5\x80\x80\x80", 4, false},
    {"\xf8\x88\x80\x80\x80", 5, false},
    {"\xfe", 1, false},
    {"\xff", 1, false},
    {"\xf0\x90\x80", 3, false},
    {"\xf0\x90\x80\x7f", 4, false},
    {"\xf0\x90\xc0\x80", 4, false},
};

enum { SEQUENCES = sizeof(sequences) / sizeof(sequences[0]) };

Test(text, utf8_sequences)
{
    for (size_t i = 0; i < SEQUENCES; i++)
        cr_expect_eq(qp_text_utf8(sequences[i].bytes, sequences[i].size), sequences[i].good,
                     "sequence %zu", i);
}

/* The same after and before runs of ASCII, which are looked at eight bytes at a time. */
Test(text, utf8_sequences_at_each_offset)
{
    char buffer[64];

    for (size_t i = 0; i < SEQUENCES; i++) {
        for (size_t before = 0; before < 20; before++) {
            for (size_t after = 0; after < 20; after++) {
                size_t size = before + sequences[i].size + after;

                memset(buffer, 'a', sizeof(buffer));
                memcpy(buffer + before, sequences[i].bytes, sequences[i].size);
                cr_assert_eq(qp_text_utf8(buffer, size), sequences[i].good,
                             "sequence %zu, %zu before, %zu after", i, before, after);
            }
        }
    }
}

/* A decoder written otherwise: all sequences of up to two bytes, and all code points. */
Test(text, utf8_of_every_code_point)
{
    for (uint32_t point = 0; point < 0x110000; point += point < 0x3000 ? 1 : 13) {
        bool good = point < 0xd800 || point > 0xdfff;
        uint8_t bytes[4] = {(uint8_t)point};
        size_t size = 1;

        if (point >= 0x10000) {
            size = 4;
            bytes[0] = (uint8_t)(0xf0 | point >> 18);
        } else if (point >= 0x800) {
            size = 3;
            bytes[0] = (uint8_t)(0xe0 | point >> 12);
        } else if (point >= 0x80) {
            size = 2;
            bytes[0] = (uint8_t)(0xc0 | point >> 6);
        }
        for (size_t i = 1; i < size; i++)
            bytes[i] = (uint8_t)(0x80 | (point >> 6 * (size - 1 - i) & 0x3f));
        cr_assert_eq(qp_text_utf8(bytes, size), good, "U+%04X", point);
        for (size_t cut = 1; cut < size; cut++)
            cr_assert_not(qp_text_utf8(bytes, cut), "U+%04X cut at %zu", point, cut);
    }
}

/* ---- names ---- */

static const struct {
    const char *name;
    int status;
} names[] = {
    {NULL, QUIPU_MISUSE},
    {"", QUIPU_INVALID},
    {"a", QUIPU_OK},
    {" ", QUIPU_OK},
    {"order-42", QUIPU_OK},
    {"$all", QUIPU_OK}, /* reserved names are the batch's business */
    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\xaa\xa2", QUIPU_OK},
    {"\x01", QUIPU_INVALID},
    {"a\tb", QUIPU_INVALID},
    {"a\nb", QUIPU_INVALID},
    {"a\x1f", QUIPU_INVALID},
    {"a\x20", QUIPU_OK},
    {"a\x7e", QUIPU_OK},
    {"a\x7f", QUIPU_INVALID},
    {"a\xc2\x80", QUIPU_INVALID}, /* U+0080 */
    {"a\xc2\x9f", QUIPU_INVALID}, /* U+009F */
    {"a\xc2\xa0", QUIPU_OK},      /* U+00A0 */
    {"\xc3\x80", QUIPU_OK},       /* its second byte alone is no C1 */
    {"\xe2\x82\x85", QUIPU_OK},
    {"a\xff", QUIPU_INVALID},
    {"a\xc2", QUIPU_INVALID},
};

Test(text, names)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        quipu_error error = {0};
        size_t size = 0;
        int rc = qp_text_name(names[i].name, QP_NAME_MAX, "a name", &size, &error);

        cr_expect_eq(rc, names[i].status, "name %zu: %d", i, rc);
        cr_expect_eq(error.status, rc, "name %zu", i);
        if (rc == QUIPU_OK)
            cr_expect_eq(size, strlen(names[i].name), "name %zu", i);
        else
            cr_expect_eq(strncmp(error.text, "a name ", 7), 0, "name %zu: %s", i, error.text);
    }
}

Test(text, each_control_character)
{
    for (unsigned point = 1; point < 0x180; point++) {
        char name[8] = {'a', (char)point, 'b'};
        bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
        quipu_error error;
        size_t size;

        if (point >= 0x80) {
            name[1] = (char)(0xc0 | point >> 6);
            name[2] = (char)(0x80 | (point & 0x3f));
            name[3] = 'b';
        }
        cr_expect_eq(qp_text_name(name, 255, "a name", &size, &error),
                     control ? QUIPU_INVALID : QUIPU_OK, "U+%04X", point);
    }
}

Test(text, name_limits)
{
    static const size_t limits[] = {1, 127, 255};

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        char *name = support_repeat('n', limits[i] + 1);
        quipu_error error;
        size_t size;

        cr_expect_eq(qp_text_name(name, limits[i], "a name", &size, &error), QUIPU_TOO_LARGE);
        name[limits[i]] = '\0';
        cr_expect_eq(qp_text_name(name, limits[i], "a name", &size, &error), QUIPU_OK);
        cr_expect_eq(size, limits[i]);
        free(name);
    }
}

/* quipu.h: an error's text is one line. What is too long was not looked at yet. */
Test(text, errors_are_one_line_of_text)
{
    char *name = support_repeat('\n', 300);
    quipu_error error = {0};
    size_t size;

    cr_expect_eq(qp_text_name(name, 255, "a name", &size, &error), QUIPU_TOO_LARGE);
    cr_expect_null(strchr(error.text, '\n'), "a line break of the name is in the error's text");
    memset(name, 0xff, 300);
    cr_expect_eq(qp_text_name(name, 255, "a name", &size, &error), QUIPU_TOO_LARGE);
    cr_expect(qp_text_utf8(error.text, strlen(error.text)), "the error's text is not UTF-8");
    free(name);
}

Test(text, categories)
{
    static const struct {
        const char *stream;
        size_t size;
    } cases[] = {
        {"order-42", 5}, {"order", 5}, {"-order", 6}, {"-", 1},          {"a-", 1},
        {"a-b-c", 1},    {"--a", 3},   {"a--b", 1},   {"\xc3\xa4-1", 2}, {"-a-b", 4},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(qp_text_category(cases[i].stream, strlen(cases[i].stream)), cases[i].size,
                     "%s", cases[i].stream);
    cr_expect_eq(qp_text_category("order-42", 3), 3, "what is behind the size does not count");
}
