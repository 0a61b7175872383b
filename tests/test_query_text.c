/* test_query_text.c - query_text.c: texts that are queries and what they say, texts that are none
 * and what is said of them, and any bytes at all. */
#include "memory.h"
#include "query_text.h"
#include "support_suite.h"
#include "text.h"

#include <string.h>

SUPPORT_SUITE(query_text);

static quipu_error why;

/* ---- what a query says, as a text that is always written in the same way --------------------- */

static void put_value(struct qp_buffer *out, const char *value)
{
    (void)qp_buffer_put(out, "\"", 1);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            (void)qp_buffer_put(out, "\\", 1);
        (void)qp_buffer_put(out, value, 1);
    }
    (void)qp_buffer_put(out, "\"", 1);
}

static void put_text(struct qp_buffer *out, const char *text)
{
    (void)qp_buffer_put(out, text, strlen(text));
}

/* All values quoted: type, tag, stream, category. */
static void write_query(struct qp_buffer *out, const quipu_query *query)
{
    const quipu_query_item *item = query->items;

    out->size = 0;
    for (uint32_t i = 0; i < item->type_count; i++) {
        put_text(out, i == 0 ? "type=" : ",");
        put_value(out, item->types[i]);
    }
    for (uint32_t i = 0; i < item->tag_count; i++) {
        put_text(out, out->size > 0 ? " tag=" : "tag=");
        put_value(out, item->tags[i]);
    }
    if (item->stream != NULL) {
        put_text(out, out->size > 0 ? " stream=" : "stream=");
        put_value(out, item->stream);
    }
    if (item->category != NULL) {
        put_text(out, out->size > 0 ? " category=" : "category=");
        put_value(out, item->category);
    }
    (void)qp_buffer_put(out, "", 1);
}

/* ---- good ones ------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    const char *says;
} good[] = {
    {"", ""},
    {" \t\n\r ", ""},
    {"type=A", "type=\"A\""},
    {"  type=A  ", "type=\"A\""},
    {"type=A,B,C", "type=\"A\",\"B\",\"C\""},
    {"type=A,\"B c\" tag=k:v stream=s category=c",
     "type=\"A\",\"B c\" tag=\"k:v\" stream=\"s\" category=\"c\""},
    {"category=c\tstream=s\ntag=k:v\r\ntype=A",
     "type=\"A\" tag=\"k:v\" stream=\"s\" category=\"c\""},
    {"tag=a:1 tag=b:2 tag=a:1", "tag=\"a:1\" tag=\"b:2\" tag=\"a:1\""},
    {"tag=a:b:c", "tag=\"a:b:c\""},
    {"tag=k:\"v w\"", "tag=\"k:v w\""},
    {"tag=\"k\":v", "tag=\"k:v\""},
    {"type=\"a\"b\"c\"", "type=\"abc\""},
    {"type=\"a,b\",c", "type=\"a,b\",\"c\""},
    {"stream=\"a,b\"", "stream=\"a,b\""},
    {"stream=a=b", "stream=\"a=b\""},
    {"stream=\"say \\\"yes\\\" \\\\\"", "stream=\"say \\\"yes\\\" \\\\\""},
    {"stream=a\\b", "stream=\"a\\\\b\""},
    {"type=tag=k:v", "type=\"tag=k:v\""},
    {"type=A\"\"", "type=\"A\""},
    {"type=$system stream=order-\xc3\xa9", "type=\"$system\" stream=\"order-\xc3\xa9\""},
};

Test(query_text, good_texts)
{
    struct qp_buffer says = {0};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        quipu_query *query = NULL;

        why = (quipu_error){0};
        cr_expect_eq(quipu_query_parse(good[i].text, &query, &why), QUIPU_OK, "%s: %s",
                     good[i].text, why.text);
        if (query == NULL)
            continue;
        cr_expect_eq(why.status, 0);
        cr_expect_eq(query->item_count, 1);
        write_query(&says, query);
        cr_expect_str_eq((const char *)says.bytes, good[i].says, "%s: %s, not %s", good[i].text,
                         says.bytes, good[i].says);
        quipu_query_free(query);
    }
    qp_buffer_release(&says);
}

/* What is not given is no restriction, as a query has it. */
Test(query_text, an_empty_text_is_every_event)
{
    quipu_query *query = NULL;

    cr_assert_eq(quipu_query_parse("", &query, &why), QUIPU_OK);
    cr_expect_null(query->items->stream);
    cr_expect_null(query->items->category);
    cr_expect_null(query->items->types);
    cr_expect_null(query->items->tags);
    cr_expect_eq(query->items->type_count, 0);
    cr_expect_eq(query->items->tag_count, 0);
    cr_expect_eq(query->items->reserved[0] + query->items->reserved[1], 0);
    quipu_query_free(query);
}

/* ---- bad ones -------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    const char *says; /* of the message */
} bad[] = {
    {"x", "column 2: a '=' is missing"},
    {"type", "column 5: a '=' is missing"},
    {"type = A", "column 5: a '=' is missing"},
    {"type=A B", "column 9: a '=' is missing"},
    {"=A", "column 1: not one of type, tag, stream and category"},
    {"typ=A", "column 1: not one of"},
    {"types=A", "column 1: not one of"},
    {"Type=A", "column 1: not one of"},
    {"stream=s id=7", "column 10: not one of"},
    {"\"type\"=A", "column 1: not one of"},
    {"type=", "column 6: a value is empty"},
    {"type= stream=s", "column 6: a value is empty"},
    {"type=A,", "column 8: a value is empty"},
    {"type=,A", "column 6: a value is empty"},
    {"type=A,,B", "column 8: a value is empty"},
    {"type=\"\"", "column 6: a value is empty"},
    {"type=A, B", "column 8: a value is empty"},
    {"type=A type=B", "column 8: type stands twice: divide types by a comma"},
    {"stream=a stream=b", "column 10: stands twice"},
    {"category=a tag=k:v category=a", "column 20: stands twice"},
    {"stream=a,b", "column 9: a ',' is only between types: quote it"},
    {"tag=a:1,b:2", "column 8: a ',' is only"},
    {"tag=a", "column 5: a tag is not key:value"},
    {"tag=:a", "column 5: a tag is not key:value"},
    {"tag=a:", "column 5: a tag is not key:value"},
    {"type=\"A", "column 6: a quote that does not end"},
    {"type=A stream=b\"", "column 16: a quote that does not end"},
    {"type=\"A\\", "column 8: a '\\' before neither"},
    {"type=\"A\\n\"", "column 8: a '\\' before neither"},
    {"type=\"A\\\"", "column 6: a quote that does not end"},
    {"type=\"A\nB\"", "column 6: a type has a control character"},
    {"type=A,B\x7f", "column 8: a type has a control character"},
    {"stream=\xff", "column 8: a stream is not UTF-8"},
    {"category=\xc3", "column 10: a category is not UTF-8"},
    {"tag=k:\xc2\x80", "column 5: a tag has a control character"},
};

Test(query_text, bad_texts)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        quipu_query *query = (quipu_query *)&why;

        why = (quipu_error){0};
        cr_expect_eq(quipu_query_parse(bad[i].text, &query, &why), QUIPU_INVALID, "%s",
                     bad[i].text);
        cr_expect_null(query);
        cr_expect_eq(why.status, QUIPU_INVALID);
        cr_expect_eq(strncmp(why.text, bad[i].says, strlen(bad[i].says)), 0, "%s: %s, not %s",
                     bad[i].text, why.text, bad[i].says);
    }
}

Test(query_text, arguments)
{
    quipu_query *query = (quipu_query *)&why;

    cr_expect_eq(quipu_query_parse(NULL, &query, &why), QUIPU_MISUSE);
    cr_expect_null(query);
    cr_expect_eq(quipu_query_parse("type=A", NULL, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_query_parse("type", &query, NULL), QUIPU_INVALID);
    support_heap_fail(1, true);
    cr_expect_eq(quipu_query_parse("type=A", &query, &why), QUIPU_NO_MEMORY);
    support_heap_fail(0, false);
    cr_expect_null(query);
    quipu_query_free(NULL);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static int parse_buffer(struct qp_buffer *text)
{
    quipu_query *query = NULL;
    int rc;

    (void)qp_buffer_put(text, "", 1);
    rc = quipu_query_parse((const char *)text->bytes, &query, &why);
    quipu_query_free(query);
    text->size = 0;
    return rc;
}

static void put_name(struct qp_buffer *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        (void)qp_buffer_put(text, i == 1 ? ":" : "n", 1);
}

static int parse_value(struct qp_buffer *text, const char *key, size_t size)
{
    put_text(text, key);
    put_name(text, size);
    return parse_buffer(text);
}

Test(query_text, values_up_to_their_limit)
{
    static const char *const each[] = {"type=", "tag=", "stream=", "category="};
    struct qp_buffer text = {0};

    for (size_t i = 0; i < 4; i++) {
        cr_expect_eq(parse_value(&text, each[i], QP_NAME_MAX), QUIPU_OK);
        cr_expect_eq(parse_value(&text, each[i], QP_NAME_MAX + 1), QUIPU_TOO_LARGE);
        cr_expect_eq(parse_value(&text, each[i], 100000), QUIPU_TOO_LARGE);
    }
    qp_buffer_release(&text);
}

static int parse_tags(struct qp_buffer *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_text(text, " tag=k:v");
    return parse_buffer(text);
}

/* 257 times 255 bytes are one more than 65 534. */
static int parse_types(struct qp_buffer *text, size_t last_size)
{
    put_text(text, "type=");
    for (size_t i = 0; i < QP_QUERY_BYTES_MAX / QP_NAME_MAX; i++) {
        put_name(text, QP_NAME_MAX);
        put_text(text, ",");
    }
    put_name(text, last_size);
    return parse_buffer(text);
}

Test(query_text, names_up_to_their_limit)
{
    const size_t rest = QP_QUERY_BYTES_MAX % QP_NAME_MAX;
    struct qp_buffer text = {0};

    cr_assert_gt(rest, 0);
    cr_expect_eq(parse_types(&text, rest), QUIPU_OK);
    cr_expect_eq(parse_types(&text, rest + 1), QUIPU_TOO_LARGE);
    cr_expect_eq(parse_tags(&text, QP_TAGS_MAX), QUIPU_OK);
    cr_expect_eq(parse_tags(&text, QP_TAGS_MAX + 1), QUIPU_TOO_LARGE);
    qp_buffer_release(&text);
}

/* ---- any bytes ------------------------------------------------------------------------------- */

/* Pieces that lead somewhere, and single bytes of all kinds. */
static void make_text(struct support_random *random, struct qp_buffer *text)
{
    static const char *const pieces[] = {"type=", "tag=", "stream=", "category=", "k:v", ",", " ",
                                         "\"",    "\\",   "\\\"",    "\\\\",      "A",   "b", "="};
    const size_t piece_count = sizeof(pieces) / sizeof(pieces[0]);
    uint64_t count = support_random_below(random, 12);

    text->size = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint8_t byte = (uint8_t)(1 + support_random_below(random, 255));

        if (support_random_below(random, 8) == 0)
            (void)qp_buffer_put(text, &byte, 1);
        else
            put_text(text, pieces[support_random_below(random, piece_count)]);
    }
    (void)qp_buffer_put(text, "", 1);
}

/* What is taken is taken again as it is written down, and says the same. */
Test(query_text, any_bytes)
{
    struct support_random random = {7};
    struct qp_buffer text = {0};
    struct qp_buffer says = {0};
    struct qp_buffer again = {0};
    unsigned taken = 0;

    for (int i = 0; i < 100000; i++) {
        quipu_query *query = NULL;
        int rc;

        make_text(&random, &text);
        rc = quipu_query_parse((const char *)text.bytes, &query, &why);
        cr_assert(rc == QUIPU_OK || rc == QUIPU_INVALID, "%s: %d", text.bytes, rc);
        cr_assert_eq(rc == QUIPU_OK, query != NULL);
        if (query == NULL) {
            cr_assert(qp_text_utf8(why.text, strlen(why.text)) && strchr(why.text, '\n') == NULL);
            continue;
        }
        taken++;
        write_query(&says, query);
        quipu_query_free(query);
        cr_assert_eq(quipu_query_parse((const char *)says.bytes, &query, &why), QUIPU_OK, "%s: %s",
                     says.bytes, why.text);
        write_query(&again, query);
        quipu_query_free(query);
        cr_assert_str_eq((const char *)again.bytes, (const char *)says.bytes);
    }
    cr_expect_gt(taken, 1000, "%u", taken);
    qp_buffer_release(&text);
    qp_buffer_release(&says);
    qp_buffer_release(&again);
}
