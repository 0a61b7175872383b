/* test_batch.c - batch.c: each limit at its edge and beyond it, each malformed argument, and that a
 * call that fails leaves the batch as it was and is remembered. */
#include "batch.h"
#include "key.h"
#include "support_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(batch);

static const quipu_draft plain = {.type = "T", .data = "abc", .data_size = 3};

static int append(struct qp_batch *batch, const char *stream, const quipu_draft *draft)
{
    return qp_batch_append(batch, stream, QUIPU_ANY, draft, 1);
}

/* One append to a batch of its own; the failure must be remembered. */
static int alone(const char *stream, const quipu_draft *draft)
{
    struct qp_batch batch = {0};
    int rc = append(&batch, stream, draft);

    cr_expect_eq(batch.failure.status, rc);
    cr_expect_eq(batch.step_count, rc == QUIPU_OK ? 1 : 0);
    cr_expect_eq(batch.draft_count, rc == QUIPU_OK ? 1 : 0);
    if (rc < 0)
        cr_expect_gt(strlen(batch.failure.text), 5);
    qp_batch_release(&batch);
    return rc;
}

static int with_type(const char *type)
{
    quipu_draft draft = plain;

    draft.type = type;
    return alone("order-42", &draft);
}

static int with_tag(const char *tag)
{
    quipu_draft draft = plain;

    draft.tags = &tag;
    draft.tag_count = 1;
    return alone("order-42", &draft);
}

/* ---- names ---- */

static const struct {
    const char *name;
    int status;
} names[] = {
    {NULL, QUIPU_MISUSE},
    {"", QUIPU_INVALID},
    {"a:b", QUIPU_OK},
    {" : ", QUIPU_OK},
    {"a:\x01", QUIPU_INVALID},
    {"a:\n", QUIPU_INVALID},
    {"a:\x1f", QUIPU_INVALID},
    {"a:\x7f", QUIPU_INVALID},
    {"a:\xc2\x80", QUIPU_INVALID},
    {"a:\xc2\x9f", QUIPU_INVALID},
    {"a:\xc2\xa0", QUIPU_OK},
    {"a:\x80", QUIPU_INVALID},
    {"a:\xc0\xaf", QUIPU_INVALID},
    {"a:\xed\xa0\x80", QUIPU_INVALID},
    {"a:\xf4\x90\x80\x80", QUIPU_INVALID},
    {"a:\xe2\x82", QUIPU_INVALID},
    {"a:\xe2\x82\xac", QUIPU_OK},
    {"a:\xf0\x9f\xaa\xa2", QUIPU_OK},
};

Test(batch, names_of_all_kinds)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cr_expect_eq(alone(names[i].name, &plain), names[i].status, "stream %zu", i);
        cr_expect_eq(with_type(names[i].name), names[i].status, "type %zu", i);
        cr_expect_eq(with_tag(names[i].name), names[i].status, "tag %zu", i);
    }
}

Test(batch, names_at_their_limit)
{
    char *name = support_repeat('n', QP_NAME_MAX + 1);

    name[1] = ':'; /* a tag too */
    cr_expect_eq(alone(name, &plain), QUIPU_TOO_LARGE);
    cr_expect_eq(with_type(name), QUIPU_TOO_LARGE);
    cr_expect_eq(with_tag(name), QUIPU_TOO_LARGE);
    name[QP_NAME_MAX] = '\0';
    cr_expect_eq(alone(name, &plain), QUIPU_OK);
    cr_expect_eq(with_type(name), QUIPU_OK);
    cr_expect_eq(with_tag(name), QUIPU_OK);
    free(name);
}

Test(batch, reserved_names)
{
    cr_expect_eq(alone("$a", &plain), QUIPU_INVALID);
    cr_expect_eq(alone("$", &plain), QUIPU_INVALID);
    cr_expect_eq(with_type("$a"), QUIPU_INVALID);
    cr_expect_eq(alone("a$", &plain), QUIPU_OK);
    cr_expect_eq(with_type("a$"), QUIPU_OK);
}

/* ---- tags ---- */

Test(batch, tags_are_key_and_value)
{
    static const struct {
        const char *tag;
        int status;
    } cases[] = {
        {"a", QUIPU_INVALID},  {":", QUIPU_INVALID},   {"a:", QUIPU_INVALID},
        {":b", QUIPU_INVALID}, {"a:b", QUIPU_OK},      {"a::", QUIPU_OK},
        {"a:b:c", QUIPU_OK},   {"::a", QUIPU_INVALID}, {"$a:b", QUIPU_OK},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(with_tag(cases[i].tag), cases[i].status, "%s", cases[i].tag);
}

Test(batch, tags_at_their_limit)
{
    char tags[QP_TAGS_MAX + 1][8];
    const char *pointers[QP_TAGS_MAX + 1];
    quipu_draft draft = plain;

    for (int i = 0; i <= QP_TAGS_MAX; i++) {
        (void)snprintf(tags[i], sizeof(tags[i]), "t:%d", i);
        pointers[i] = tags[i];
    }
    draft.tags = pointers;
    draft.tag_count = QP_TAGS_MAX;
    cr_expect_eq(alone("s", &draft), QUIPU_OK);
    draft.tag_count = QP_TAGS_MAX + 1;
    cr_expect_eq(alone("s", &draft), QUIPU_TOO_LARGE);
    draft.tag_count = UINT32_MAX;
    cr_expect_eq(alone("s", &draft), QUIPU_TOO_LARGE);
    draft.tag_count = QP_TAGS_MAX;
    pointers[63] = "t:0";
    cr_expect_eq(alone("s", &draft), QUIPU_INVALID, "the first and the last are equal");
    pointers[63] = "t:62";
    cr_expect_eq(alone("s", &draft), QUIPU_INVALID);
    pointers[63] = "t:6";
    cr_expect_eq(alone("s", &draft), QUIPU_INVALID);
    pointers[63] = "t:63 ";
    cr_expect_eq(alone("s", &draft), QUIPU_OK);
    draft.tags = NULL;
    cr_expect_eq(alone("s", &draft), QUIPU_MISUSE);
    draft.tag_count = 0;
    cr_expect_eq(alone("s", &draft), QUIPU_OK);
}

/* ---- fields of a draft ---- */

Test(batch, reserved_fields)
{
    for (size_t i = 0; i < sizeof(plain.reserved8); i++) {
        quipu_draft draft = plain;

        draft.reserved8[i] = 1;
        cr_expect_eq(alone("s", &draft), QUIPU_MISUSE, "reserved8[%zu]", i);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        quipu_draft draft = plain;

        draft.reserved[0] = UINT64_C(1) << bit;
        cr_expect_eq(alone("s", &draft), QUIPU_MISUSE, "bit %u of reserved", bit);
    }
}

Test(batch, flags)
{
    const uint32_t known = QUIPU_EVENT_HAS_ID | QUIPU_EVENT_HAS_TIME | QUIPU_EVENT_HAS_RECORDED;

    for (unsigned bit = 0; bit < 32; bit++) {
        quipu_draft draft = plain;

        draft.flags = UINT32_C(1) << bit;
        cr_expect_eq(alone("s", &draft), (draft.flags & known) != 0 ? QUIPU_OK : QUIPU_MISUSE,
                     "bit %u", bit);
    }
}

Test(batch, payloads)
{
    static const struct {
        const char *bytes;
        uint32_t size;
        uint8_t format;
        int status;
    } cases[] = {
        {NULL, 0, QUIPU_BINARY, QUIPU_OK},
        {NULL, 0, QUIPU_JSON, QUIPU_OK},
        {NULL, 0, QUIPU_MSGPACK, QUIPU_OK},
        {NULL, 1, QUIPU_BINARY, QUIPU_MISUSE},
        {"x", 0, QUIPU_BINARY, QUIPU_OK},
        {"\xff", 1, QUIPU_BINARY, QUIPU_OK},
        {"\xff", 1, QUIPU_JSON, QUIPU_INVALID},
        {"{}", 2, QUIPU_JSON, QUIPU_OK},
        {"\xc3", 1, QUIPU_JSON, QUIPU_INVALID},
        {"\xc0", 1, QUIPU_MSGPACK, QUIPU_OK},
        {"\xc1", 1, QUIPU_MSGPACK, QUIPU_INVALID},
        {"\xc0\xc0", 2, QUIPU_MSGPACK, QUIPU_INVALID},
        {"\x91", 1, QUIPU_MSGPACK, QUIPU_INVALID},
        {"\xdd\xff\xff\xff\xff", 5, QUIPU_MSGPACK, QUIPU_INVALID},
        {"x", 1, 3, QUIPU_MISUSE},
        {"x", 1, 255, QUIPU_MISUSE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        quipu_draft data = {.type = "T",
                            .data = cases[i].bytes,
                            .data_size = cases[i].size,
                            .data_format = cases[i].format};
        quipu_draft meta = {.type = "T",
                            .meta = cases[i].bytes,
                            .meta_size = cases[i].size,
                            .meta_format = cases[i].format};

        cr_expect_eq(alone("s", &data), cases[i].status, "data %zu", i);
        cr_expect_eq(alone("s", &meta), cases[i].status, "meta %zu", i);
    }
}

Test(batch, payload_at_its_limit)
{
    char *bytes = calloc(1, QP_DATA_BYTES_MAX + 1);
    static const struct {
        uint64_t data;
        uint64_t meta;
        int status;
    } cases[] = {
        {QP_DATA_BYTES_MAX, 0, QUIPU_OK},
        {QP_DATA_BYTES_MAX + 1, 0, QUIPU_TOO_LARGE},
        {0, QP_DATA_BYTES_MAX, QUIPU_OK},
        {0, QP_DATA_BYTES_MAX + 1, QUIPU_TOO_LARGE},
        {QP_DATA_BYTES_MAX - 1, 1, QUIPU_OK},
        {QP_DATA_BYTES_MAX, 1, QUIPU_TOO_LARGE},
        {1, QP_DATA_BYTES_MAX, QUIPU_TOO_LARGE},
        {UINT32_MAX, UINT32_MAX, QUIPU_TOO_LARGE}, /* the sum of both does not fit 32 bits */
        {UINT32_MAX, 1, QUIPU_TOO_LARGE},
    };

    cr_assert_not_null(bytes);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        quipu_draft draft = {.type = "T",
                             .data = bytes,
                             .data_size = (uint32_t)cases[i].data,
                             .meta = bytes,
                             .meta_size = (uint32_t)cases[i].meta};

        cr_expect_eq(alone("s", &draft), cases[i].status, "case %zu", i);
    }
    free(bytes);
}

Test(batch, expected_versions)
{
    static const struct {
        uint64_t expected;
        int status;
    } cases[] = {
        {QUIPU_NEW, QUIPU_OK},          {1, QUIPU_OK},
        {QUIPU_ANY, QUIPU_OK},          {QUIPU_EXISTS, QUIPU_OK},
        {QP_POSITION_MAX, QUIPU_OK},    {QP_POSITION_MAX + 1, QUIPU_MISUSE},
        {UINT64_MAX - 2, QUIPU_MISUSE}, {(uint64_t)INT64_MAX, QUIPU_MISUSE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qp_batch batch = {0};

        cr_expect_eq(qp_batch_append(&batch, "s", cases[i].expected, NULL, 0), cases[i].status,
                     "case %zu", i);
        qp_batch_release(&batch);
    }
}

Test(batch, drafts_pointer_and_count)
{
    struct qp_batch batch = {0};

    cr_expect_eq(qp_batch_append(&batch, "s", QUIPU_ANY, NULL, 1), QUIPU_MISUSE);
    cr_expect_eq(qp_batch_append(&batch, "s", QUIPU_ANY, NULL, 0), QUIPU_OK, "only the condition");
    cr_expect_eq(qp_batch_append(&batch, "s", QUIPU_ANY, &plain, 0), QUIPU_OK);
    cr_expect_eq(qp_batch_append(&batch, "s", QUIPU_ANY, &plain, QP_BATCH_EVENTS_MAX + 1),
                 QUIPU_TOO_LARGE);
    cr_expect_eq(qp_batch_append(&batch, "s", QUIPU_ANY, &plain, SIZE_MAX), QUIPU_TOO_LARGE);
    cr_expect_eq(batch.step_count, 2);
    cr_expect_eq(batch.draft_count, 0);
    cr_expect_eq(batch.failure.status, QUIPU_MISUSE, "the first failure is remembered");
    qp_batch_release(&batch);
}

Test(batch, events_at_their_limit)
{
    struct qp_batch batch = {0};
    quipu_draft *drafts = calloc(QP_BATCH_EVENTS_MAX, sizeof(*drafts));

    cr_assert_not_null(drafts);
    for (size_t i = 0; i < QP_BATCH_EVENTS_MAX; i++)
        drafts[i].type = "T";
    cr_expect_eq(qp_batch_append(&batch, "s", QUIPU_ANY, drafts, QP_BATCH_EVENTS_MAX - 1),
                 QUIPU_OK);
    cr_expect_eq(qp_batch_append(&batch, "s", QUIPU_ANY, drafts, 2), QUIPU_TOO_LARGE);
    cr_expect_eq(qp_batch_append(&batch, "s", QUIPU_ANY, drafts, 1), QUIPU_OK);
    cr_expect_eq(qp_batch_append(&batch, "s", QUIPU_ANY, drafts, 1), QUIPU_TOO_LARGE);
    cr_expect_eq(batch.draft_count, QP_BATCH_EVENTS_MAX);
    qp_batch_release(&batch);
    free(drafts);
}

/* A gigabyte is not filled here: one that counts as full refuses before it asks for memory. */
Test(batch, bytes_at_their_limit)
{
    const size_t size = qp_record_bytes(&plain, 1);
    struct qp_batch batch = {0};

    support_heap_fail(3, true); /* the step's two are granted */
    batch.bytes.size = QP_BATCH_BYTES_MAX - size + 1;
    cr_expect_eq(append(&batch, "s", &plain), QUIPU_TOO_LARGE);
    batch.bytes.size = QP_BATCH_BYTES_MAX - size;
    cr_expect_eq(append(&batch, "s", &plain), QUIPU_NO_MEMORY);
    batch.bytes.size = 0;
    qp_batch_release(&batch);
}

/* ---- what is in it ---- */

Test(batch, everything_is_copied)
{
    struct qp_batch batch = {0};
    char stream[] = "order-42";
    char type[] = "Paid";
    char data[] = "abc";
    char tag[] = "k:v";
    const char *tags[] = {tag};
    quipu_draft draft = {.type = type, .data = data, .data_size = 3, .tags = tags, .tag_count = 1};
    struct qp_record record;

    cr_assert_eq(qp_batch_append(&batch, stream, 5, &draft, 1), QUIPU_OK);
    memset(stream, 'x', sizeof(stream) - 1);
    memset(type, 'x', sizeof(type) - 1);
    memset(data, 'x', sizeof(data) - 1);
    memset(tag, 'x', sizeof(tag) - 1);
    cr_assert_eq(qp_record_read((struct qp_bytes){qp_batch_record(&batch, 0), batch.drafts[0].size},
                                1, false, &record),
                 QP_RECORD_WHOLE);
    cr_expect_str_eq(record.stream.data, "order-42");
    cr_expect_str_eq(record.type.data, "Paid");
    cr_expect_str_eq(record.tags.data, "k:v");
    cr_expect_eq(memcmp(record.payload.data, "abc", 3), 0);
    cr_expect_eq(batch.drafts[0].content, qp_record_content(&record));
    cr_expect_eq(batch.steps[0].expected, 5);
    support_expect_bytes(qp_batch_name(&batch, &batch.steps[0]).data,
                         qp_batch_name(&batch, &batch.steps[0]).size, "order-42", 8, "stream");
    qp_batch_release(&batch);
}

Test(batch, steps_and_drafts_are_numbered)
{
    struct qp_batch batch = {0};
    quipu_draft drafts[3] = {plain, plain, plain};

    drafts[1].data_size = 2;
    drafts[1].flags = QUIPU_EVENT_HAS_RECORDED;
    drafts[1].recorded_ns = 77;
    for (int i = 0; i < 100; i++) {
        char stream[16];

        (void)snprintf(stream, sizeof(stream), "s-%d", i);
        cr_assert_eq(qp_batch_append(&batch, stream, QUIPU_ANY, drafts, (size_t)i % 4), QUIPU_OK);
    }
    cr_assert_eq(batch.step_count, 100);
    cr_assert_eq(batch.draft_count, 25 * 6);
    for (size_t i = 0, draft = 0; i < 100; i++) {
        const struct qp_step *step = &batch.steps[i];
        char stream[16];

        (void)snprintf(stream, sizeof(stream), "s-%zu", i);
        cr_expect_eq(step->first_draft, draft);
        cr_expect_eq(step->draft_count, i % 4);
        cr_expect_str_eq(qp_batch_name(&batch, step).data, stream);
        for (size_t j = 0; j < step->draft_count; j++) {
            const struct qp_draft_record *made = &batch.drafts[draft + j];

            cr_expect_eq(memcmp(qp_batch_record(&batch, draft + j) + QP_RECORD_HEADER_BYTES, stream,
                                strlen(stream) + 1),
                         0);
            cr_expect_eq(made->recorded_given, j == 1);
            cr_expect(j != 1 || made->recorded_wish_ns == 77);
        }
        draft += i % 4;
    }
    cr_expect_eq(batch.payload_max, 3);
    qp_batch_release(&batch);
}

/* ---- failures ---- */

/* All that a reader of the batch sees of it. */
static uint64_t picture(const struct qp_batch *batch)
{
    uint64_t sum = batch->step_count * 1000003 + batch->draft_count;

    for (size_t i = 0; i < batch->bytes.size; i++)
        sum = sum * 31 + batch->bytes.bytes[i];
    for (size_t i = 0; i < batch->names.size; i++)
        sum = sum * 31 + batch->names.bytes[i];
    for (size_t i = 0; i < batch->step_count; i++)
        sum = ((sum * 31 + batch->steps[i].first_draft * 7 + batch->steps[i].draft_count) * 31 +
               batch->steps[i].expected) *
                  31 +
              batch->steps[i].number + (uint64_t)batch->steps[i].kind;
    return sum * 31 + batch->payload_max;
}

Test(batch, failure_leaves_it_as_it_was)
{
    struct qp_batch batch = {0};
    quipu_draft drafts[3] = {plain, plain, plain};
    uint64_t before;

    cr_assert_eq(qp_batch_append(&batch, "s", QUIPU_ANY, drafts, 3), QUIPU_OK);
    before = picture(&batch);
    drafts[1].data_size = 2;
    drafts[2].type = "";
    cr_expect_eq(qp_batch_append(&batch, "t", QUIPU_ANY, drafts, 3), QUIPU_INVALID);
    cr_expect_eq(picture(&batch), before);
    cr_expect_eq(batch.failure.status, QUIPU_INVALID);
    cr_expect_eq(qp_batch_append(&batch, "$", QUIPU_ANY, drafts, 0), QUIPU_INVALID);
    cr_expect_eq(qp_batch_append(&batch, NULL, QUIPU_ANY, drafts, 0), QUIPU_MISUSE);
    cr_expect_eq(batch.failure.status, QUIPU_INVALID, "the first one stays");
    cr_expect_eq(qp_batch_append(&batch, "u", QUIPU_ANY, drafts, 2), QUIPU_OK);
    cr_expect_eq(batch.failure.status, QUIPU_INVALID, "what follows does not mend it");
    cr_expect_eq(batch.draft_count, 5);
    qp_batch_clear(&batch);
    cr_expect_eq(batch.failure.status, QUIPU_OK);
    cr_expect(batch.step_count == 0 && batch.draft_count == 0 && batch.payload_max == 0);
    cr_expect_eq(qp_batch_append(&batch, "u", QUIPU_ANY, drafts, 2), QUIPU_OK);
    qp_batch_release(&batch);
}

/* A batch has several blocks of memory; each refused allocation must leave it as it was. */
Test(batch, out_of_memory_leaves_it_as_it_was)
{
    quipu_draft drafts[40];
    int failed = 0;

    for (int i = 0; i < 40; i++)
        drafts[i] = plain;
    for (long n = 1; n < 100; n++) {
        struct qp_batch batch = {0};
        uint64_t before;
        int rc;

        cr_assert_eq(qp_batch_append(&batch, "s", QUIPU_ANY, drafts, 3), QUIPU_OK);
        before = picture(&batch);
        support_heap_fail(n, false);
        rc = qp_batch_append(&batch, "t", QUIPU_ANY, drafts, 40);
        support_heap_fail(0, false);
        if (rc == QUIPU_OK) {
            cr_expect_eq(batch.draft_count, 43);
            qp_batch_release(&batch);
            break;
        }
        failed++;
        cr_expect_eq(rc, QUIPU_NO_MEMORY);
        cr_expect_eq(batch.failure.status, QUIPU_NO_MEMORY);
        cr_expect_eq(picture(&batch), before);
        qp_batch_clear(&batch);
        cr_expect_eq(qp_batch_append(&batch, "t", QUIPU_ANY, drafts, 40), QUIPU_OK);
        qp_batch_release(&batch);
    }
    cr_expect_gt(failed, 2, "%d allocations", failed);
}

Test(batch, any_change_ends_the_results)
{
    struct qp_batch batch = {0};

    cr_assert_eq(append(&batch, "s", &plain), QUIPU_OK);
    batch.decided = true;
    cr_assert_eq(append(&batch, "s", &plain), QUIPU_OK);
    cr_expect_not(batch.decided);
    batch.decided = true;
    qp_batch_clear(&batch);
    cr_expect_not(batch.decided);
    qp_batch_release(&batch);
    qp_batch_release(&batch);
}

/* ---- conditions on queries, marks, sources ---- */

static const char *const wanted_tags[] = {"k:v", "k:w"};
static const char *const wanted_types[] = {"Paid", "Lost"};
static const quipu_query_item wanted_items[] = {
    {.stream = "s-1", .types = wanted_types, .type_count = 2},
    {.category = "s", .tags = wanted_tags, .tag_count = 2},
};
static const quipu_query wanted = {wanted_items, 2};

/* Each kind of step: what a test of all of them does. */
static int add(struct qp_batch *batch, enum qp_step_kind kind, uint64_t number)
{
    quipu_draft drafts[40];

    if (kind == QP_STEP_UNLESS)
        return qp_batch_unless(batch, &wanted, number);
    if (kind != QP_STEP_STREAM)
        return qp_batch_number(batch, kind, "name", number);
    for (int i = 0; i < 40; i++)
        drafts[i] = plain;
    return qp_batch_append(batch, "name", number, drafts, 40);
}

static const enum qp_step_kind kinds[] = {QP_STEP_STREAM, QP_STEP_MARK, QP_STEP_TRACK,
                                          QP_STEP_UNLESS};

Test(batch, names_of_marks_and_sources)
{
    for (size_t i = 0; i < 2 * sizeof(names) / sizeof(names[0]); i++) {
        struct qp_batch batch = {0};

        cr_expect_eq(qp_batch_number(&batch, i % 2 == 0 ? QP_STEP_MARK : QP_STEP_TRACK,
                                     names[i / 2].name, 5),
                     names[i / 2].status, "%zu", i);
        cr_expect_eq(batch.step_count, names[i / 2].status == QUIPU_OK);
        cr_expect_eq(batch.failure.status, names[i / 2].status);
        qp_batch_release(&batch);
    }
    for (size_t i = 1; i <= 2; i++) {
        struct qp_batch batch = {0};
        char *name = support_repeat('n', QP_OWNER_NAME_MAX + 1);

        cr_expect_eq(qp_batch_number(&batch, kinds[i], name, 5), QUIPU_TOO_LARGE);
        name[QP_OWNER_NAME_MAX] = '\0';
        cr_expect_eq(qp_batch_number(&batch, kinds[i], name, 5), QUIPU_OK);
        cr_expect_eq(qp_batch_number(&batch, kinds[i], "$a", 5), QUIPU_INVALID);
        cr_expect_eq(qp_batch_number(&batch, kinds[i], "a$", 5), QUIPU_OK);
        cr_expect_eq(batch.step_count, 2);
        qp_batch_release(&batch);
        free(name);
    }
}

/* A mark is a position, a source's number is anything. */
Test(batch, numbers_at_their_limit)
{
    static const struct {
        enum qp_step_kind kind;
        uint64_t number;
        int status;
    } cases[] = {
        {QP_STEP_MARK, 0, QUIPU_OK},
        {QP_STEP_MARK, QP_POSITION_MAX, QUIPU_OK},
        {QP_STEP_MARK, QP_POSITION_MAX + 1, QUIPU_MISUSE},
        {QP_STEP_MARK, UINT64_MAX, QUIPU_MISUSE},
        {QP_STEP_TRACK, 0, QUIPU_OK},
        {QP_STEP_TRACK, UINT64_MAX, QUIPU_OK},
        {QP_STEP_UNLESS, 0, QUIPU_OK},
        {QP_STEP_UNLESS, QP_POSITION_MAX, QUIPU_OK},
        {QP_STEP_UNLESS, QP_POSITION_MAX + 1, QUIPU_MISUSE},
        {QP_STEP_UNLESS, UINT64_MAX, QUIPU_MISUSE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qp_batch batch = {0};

        cr_expect_eq(add(&batch, cases[i].kind, cases[i].number), cases[i].status, "%zu", i);
        cr_expect_eq(batch.failure.status, cases[i].status, "%zu", i);
        cr_expect_eq(batch.step_count, cases[i].status == QUIPU_OK, "%zu", i);
        if (cases[i].status == QUIPU_OK && cases[i].kind != QP_STEP_UNLESS)
            cr_expect_eq(batch.steps[0].number, cases[i].number);
        else if (cases[i].status == QUIPU_OK)
            cr_expect_eq(batch.steps[0].expected, cases[i].number);
        qp_batch_release(&batch);
    }
}

Test(batch, a_query_is_copied)
{
    struct qp_batch batch = {0};
    char type[] = "Paid";
    char tag[] = "k:v";
    const char *types[] = {type};
    const char *tags[] = {tag};
    quipu_query_item item = {.types = types, .type_count = 1, .tags = tags, .tag_count = 1};
    quipu_query query = {&item, 1};
    const struct qp_step *step;

    cr_assert_eq(append(&batch, "s", &plain), QUIPU_OK);
    cr_assert_eq(qp_batch_unless(&batch, &query, 77), QUIPU_OK);
    cr_assert_eq(qp_batch_unless(&batch, NULL, 78), QUIPU_OK);
    memset(type, 'x', 4);
    memset(tag, 'x', 3);
    item = (quipu_query_item){0};
    step = &batch.steps[1];
    cr_assert_eq(batch.step_count, 3);
    cr_expect(step->kind == QP_STEP_UNLESS && step->expected == 77 && step->draft_count == 0);
    cr_assert_eq(step->query->item_count, 1);
    support_expect_bytes(step->query->types[0].data, step->query->types[0].size, "Paid", 4, "type");
    support_expect_bytes(step->query->tags[0].data, step->query->tags[0].size, "k:v", 3, "tag");
    cr_expect_eq(batch.steps[2].query->item_count, 0, "every event");
    cr_expect_eq(batch.draft_count, 1);
    qp_batch_release(&batch);
}

Test(batch, queries_that_are_wrong)
{
    static const char *const types[] = {"", NULL, "ok"};
    const quipu_query_item items[] = {
        {.stream = ""},
        {.types = types, .type_count = 1},
        {.types = types + 1, .type_count = 1},
        {.types = NULL, .type_count = 1},
        {.tags = types + 2, .tag_count = 1},
        {.stream = "s", .reserved = {0, 1}},
        {.tags = types, .tag_count = QP_TAGS_MAX + 1},
    };
    static const int statuses[] = {QUIPU_INVALID, QUIPU_INVALID, QUIPU_MISUSE,   QUIPU_MISUSE,
                                   QUIPU_INVALID, QUIPU_MISUSE,  QUIPU_TOO_LARGE};

    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
        struct qp_batch batch = {0};
        const quipu_query query = {&items[i], 1};
        uint64_t before;

        cr_assert_eq(add(&batch, QP_STEP_UNLESS, 3), QUIPU_OK);
        before = picture(&batch);
        cr_expect_eq(qp_batch_unless(&batch, &query, 1), statuses[i], "%zu", i);
        cr_expect_eq(batch.failure.status, statuses[i], "%zu", i);
        cr_expect_gt(strlen(batch.failure.text), 5);
        cr_expect_eq(picture(&batch), before, "%zu", i);
        qp_batch_release(&batch);
    }
}

/* Steps of all kinds stand side by side, and find their names and drafts. */
Test(batch, kinds_of_steps)
{
    struct qp_batch batch = {0};

    for (size_t i = 0; i < 64; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "n-%zu", i);
        if (i % 4 == 0)
            cr_assert_eq(qp_batch_append(&batch, name, i, &plain, i % 8 / 4), QUIPU_OK);
        else if (i % 4 == 3)
            cr_assert_eq(qp_batch_unless(&batch, &wanted, i), QUIPU_OK);
        else
            cr_assert_eq(qp_batch_number(&batch, kinds[i % 4], name, i), QUIPU_OK);
    }
    for (size_t i = 0; i < 64; i++) {
        const struct qp_step *step = &batch.steps[i];
        char name[16];

        (void)snprintf(name, sizeof(name), "n-%zu", i);
        cr_expect_eq(step->kind, kinds[i % 4]);
        cr_expect_eq(step->query != NULL, i % 4 == 3);
        cr_expect_eq(step->draft_count, i % 8 == 4);
        cr_expect_eq(step->first_draft, (i + 3) / 8);
        cr_expect_eq(i % 4 == 0 || i % 4 == 3 ? step->expected : step->number, i);
        if (i % 4 != 3)
            cr_expect_str_eq(qp_batch_name(&batch, step).data, name);
    }
    qp_batch_release(&batch);
}

/* Equal names of a stream, a mark and a source are three things. */
Test(batch, sums_of_names_have_their_kind)
{
    struct qp_batch batch = {0};

    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(add(&batch, kinds[i], 1), QUIPU_OK);
    for (size_t i = 0; i < 3; i++)
        cr_expect_neq(batch.steps[i].name_sum, batch.steps[(i + 1) % 3].name_sum);
    qp_batch_release(&batch);
}

Test(batch, clear_frees_queries)
{
    struct qp_batch batch = {0};
    long before = support_heap_live();
    long with_one;

    cr_assert_eq(add(&batch, QP_STEP_UNLESS, 1), QUIPU_OK);
    with_one = support_heap_live() - before;
    cr_expect_gt(with_one, 2);
    qp_batch_clear(&batch);
    cr_expect_eq(support_heap_live() - before, 1, "the array of steps");
    for (int i = 0; i < 8; i++)
        cr_assert_eq(add(&batch, QP_STEP_UNLESS, 1), QUIPU_OK);
    qp_batch_clear(&batch);
    cr_expect_eq(support_heap_live() - before, 1);
    cr_assert_eq(add(&batch, QP_STEP_UNLESS, 1), QUIPU_OK);
    qp_batch_release(&batch);
    cr_expect_eq(support_heap_live(), before);
}

/* Whatever allocation of whatever kind fails; what it has taken until then it gives back. */
Test(batch, out_of_memory_in_each_kind)
{
    static const int least[] = {3, 1, 1, 6};

    for (size_t kind = 0; kind < 4; kind++) {
        int failed = 0;
        int rc = QUIPU_NO_MEMORY;

        for (long n = 1; n < 100 && rc != QUIPU_OK; n++) {
            struct qp_batch batch = {0};
            uint64_t before;
            long live;

            for (size_t i = 0; i < 8; i++) /* as many as there is room for */
                cr_assert_eq(add(&batch, kinds[i % 4], 1), QUIPU_OK);
            before = picture(&batch);
            live = support_heap_live();
            support_heap_fail(n, n % 2 == 0);
            rc = add(&batch, kinds[kind], 2);
            support_heap_fail(0, false);
            if (rc < 0) {
                failed++;
                cr_expect_eq(rc, QUIPU_NO_MEMORY);
                cr_expect_eq(batch.failure.status, QUIPU_NO_MEMORY);
                cr_expect_eq(picture(&batch), before, "kind %zu, %ld", kind, n);
                cr_expect_leq(support_heap_live(), live, "kind %zu, %ld", kind, n);
                cr_expect_eq(add(&batch, kinds[kind], 2), QUIPU_OK);
            }
            cr_expect_eq(batch.step_count, 9);
            qp_batch_release(&batch);
        }
        cr_expect_eq(rc, QUIPU_OK);
        cr_expect_geq(failed, least[kind], "kind %zu: %d allocations", kind, failed);
    }
}

Test(batch, each_kind_ends_the_results)
{
    struct qp_batch batch = {0};

    for (size_t kind = 0; kind < 4; kind++) {
        batch.decided = true;
        cr_assert_eq(add(&batch, kinds[kind], 1), QUIPU_OK);
        cr_expect_not(batch.decided, "%zu", kind);
        batch.decided = true;
        cr_assert_lt(add(&batch, kinds[kind], UINT64_MAX - 7), kind == 2 ? 1 : 0);
        cr_expect_not(batch.decided, "%zu", kind);
    }
    qp_batch_release(&batch);
}

/* ---- projections ---- */

static struct qp_bytes bytes_of(const char *text)
{
    return (struct qp_bytes){text, strlen(text)};
}

static int add_effect(struct qp_batch *batch, enum qp_table table, const char *key,
                      const char *value)
{
    const struct qp_effect effect = {.table = table,
                                     .deletes = value == NULL,
                                     .key = bytes_of(key),
                                     .value =
                                         value != NULL ? bytes_of(value) : (struct qp_bytes){0}};

    return qp_batch_effect(batch, &effect, NULL);
}

static void expect_effect(const struct qp_batch *batch, const struct qp_step *step, size_t *at,
                          enum qp_table table, const char *key, const char *value)
{
    struct qp_effect effect = {0};

    cr_assert(qp_batch_next_effect(batch, step, at, &effect), "%s", key);
    cr_expect_eq(effect.table, table, "%s", key);
    cr_expect_eq(effect.deletes, value == NULL, "%s", key);
    support_expect_bytes(effect.key.data, effect.key.size, key, strlen(key), "%s", key);
    cr_expect_eq(effect.value.size, value != NULL ? strlen(value) : 0, "%s", key);
    cr_expect(effect.value.size == 0 || memcmp(effect.value.data, value, effect.value.size) == 0);
}

/* Each step has the effects since the one before it, and its own row. */
Test(batch, effects)
{
    struct qp_batch batch = {0};
    struct qp_effect effect;
    size_t at = 0;

    batch.decided = true;
    cr_assert_eq(add_effect(&batch, QP_TABLE_VIEWS, "a", "1"), QUIPU_OK);
    cr_assert_eq(add_effect(&batch, QP_TABLE_PARKED, "b", NULL), QUIPU_OK);
    cr_assert_eq(add_effect(&batch, QP_TABLE_VIEWS, "c", ""), QUIPU_OK);
    cr_assert_eq(append(&batch, "s", &plain), QUIPU_OK);
    cr_assert_eq(qp_batch_project(&batch, QP_LITERAL("p"), 7, (const uint8_t *)"row", 3, NULL),
                 QUIPU_OK);
    cr_assert_eq(qp_batch_project(&batch, QP_LITERAL("q"), 8, NULL, 0, NULL), QUIPU_OK);
    cr_assert_eq(add_effect(&batch, QP_TABLE_PARKED, "d", "44"), QUIPU_OK);
    cr_assert_eq(qp_batch_project(&batch, QP_LITERAL("p"), 9, (const uint8_t *)"rows", 4, NULL),
                 QUIPU_OK);
    cr_assert_eq(batch.step_count, 4);
    cr_expect_not(batch.decided);
    expect_effect(&batch, &batch.steps[1], &at, QP_TABLE_VIEWS, "a", "1");
    expect_effect(&batch, &batch.steps[1], &at, QP_TABLE_PARKED, "b", NULL);
    expect_effect(&batch, &batch.steps[1], &at, QP_TABLE_VIEWS, "c", "");
    cr_expect_not(qp_batch_next_effect(&batch, &batch.steps[1], &at, &effect));
    cr_expect_not(qp_batch_next_effect(&batch, &batch.steps[1], &at, &effect), "and no more");
    cr_expect_eq(memcmp(qp_batch_row(&batch, &batch.steps[1]), "row", 3), 0);
    at = 0;
    cr_expect_not(qp_batch_next_effect(&batch, &batch.steps[2], &at, &effect));
    cr_expect_eq(batch.steps[2].row_size, 0);
    expect_effect(&batch, &batch.steps[3], &at, QP_TABLE_PARKED, "d", "44");
    cr_expect_not(qp_batch_next_effect(&batch, &batch.steps[3], &at, &effect));
    cr_expect_eq(memcmp(qp_batch_row(&batch, &batch.steps[3]), "rows", 4), 0);
    for (size_t i = 1; i < 4; i++) {
        cr_expect_eq(batch.steps[i].kind, QP_STEP_PROJECT);
        cr_expect_eq(batch.steps[i].expected, 6 + i);
        cr_expect_str_eq(qp_batch_name(&batch, &batch.steps[i]).data, i == 2 ? "q" : "p");
    }
    qp_batch_clear(&batch);
    cr_assert_eq(qp_batch_project(&batch, QP_LITERAL("p"), 1, (const uint8_t *)"r", 1, NULL),
                 QUIPU_OK);
    at = 0;
    cr_expect_not(qp_batch_next_effect(&batch, &batch.steps[0], &at, &effect), "of before");
    qp_batch_release(&batch);
}

Test(batch, longest_effects)
{
    char *key = support_repeat('k', QP_KEY_BYTES_MAX);
    char *value = support_repeat('v', 70000);
    struct qp_batch batch = {0};
    size_t at = 0;

    cr_assert_eq(add_effect(&batch, QP_TABLE_VIEWS, key, value), QUIPU_OK);
    cr_assert_eq(add_effect(&batch, QP_TABLE_VIEWS, "k", "v"), QUIPU_OK);
    cr_assert_eq(qp_batch_project(&batch, QP_LITERAL("p"), 1, NULL, 0, NULL), QUIPU_OK);
    expect_effect(&batch, &batch.steps[0], &at, QP_TABLE_VIEWS, key, value);
    expect_effect(&batch, &batch.steps[0], &at, QP_TABLE_VIEWS, "k", "v");
    qp_batch_release(&batch);
    free(key);
    free(value);
}

/* Whose a step is; those beside it are nobody's. */
Test(batch, owners)
{
    char *longest = support_repeat('o', QP_OWNER_NAME_MAX);
    struct qp_batch batch = {0};

    cr_assert_eq(append(&batch, "a", &plain), QUIPU_OK);
    cr_assert_eq(append(&batch, "b", &plain), QUIPU_OK);
    cr_assert_eq(qp_batch_own(&batch, bytes_of(longest)), QUIPU_OK);
    cr_assert_eq(append(&batch, "c", &plain), QUIPU_OK);
    cr_expect_eq(qp_batch_owner(&batch, &batch.steps[0]).size, 0);
    support_expect_bytes(qp_batch_owner(&batch, &batch.steps[1]).data,
                         qp_batch_owner(&batch, &batch.steps[1]).size, longest, QP_OWNER_NAME_MAX,
                         "owner");
    cr_expect_eq(qp_batch_owner(&batch, &batch.steps[2]).size, 0);
    cr_expect_str_eq(qp_batch_name(&batch, &batch.steps[1]).data, "b");
    cr_expect_str_eq(qp_batch_name(&batch, &batch.steps[2]).data, "c");
    qp_batch_release(&batch);
    free(longest);
}

/* What an event emitted before it failed goes; what stood there before is as it was. */
Test(batch, cut)
{
    const char *const tags[] = {"k:1"};
    const quipu_draft other = {
        .type = "Other", .data = "longer data", .data_size = 11, .tags = tags, .tag_count = 1};
    struct qp_batch batch = {0};
    struct qp_batch_edge edge;
    uint64_t before;
    long live;

    cr_assert_eq(append(&batch, "a", &plain), QUIPU_OK);
    cr_assert_eq(qp_batch_own(&batch, QP_LITERAL("p")), QUIPU_OK);
    cr_assert_eq(add_effect(&batch, QP_TABLE_VIEWS, "k", "v"), QUIPU_OK);
    edge = qp_batch_edge(&batch);
    before = picture(&batch);
    live = support_heap_live();
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(append(&batch, "b", &other), QUIPU_OK);
        cr_assert_eq(qp_batch_own(&batch, QP_LITERAL("p")), QUIPU_OK);
        cr_assert_eq(add(&batch, QP_STEP_UNLESS, 1), QUIPU_OK);
        cr_expect_neq(picture(&batch), before);
        qp_batch_cut(&batch, &edge);
        cr_expect_eq(picture(&batch), before, "%zu", i);
        cr_expect_eq(batch.payload_max, 3);
        cr_expect_leq(support_heap_live(), live, "the query is freed");
    }
    cr_assert_eq(append(&batch, "c", &plain), QUIPU_OK);
    cr_expect_str_eq(qp_batch_name(&batch, &batch.steps[1]).data, "c");
    cr_expect_eq(batch.drafts[1].offset, edge.bytes);
    qp_batch_release(&batch);
}

Test(batch, out_of_memory_for_projections)
{
    unsigned failed = 0;

    for (long n = 1; n < 12; n++) {
        struct qp_batch batch = {0};
        quipu_error error = {0};
        const struct qp_effect effect = {.table = QP_TABLE_VIEWS, .key = {"k", 1}};
        int rc[3];

        cr_assert_eq(append(&batch, "s", &plain), QUIPU_OK);
        support_heap_fail(n, true);
        rc[0] = qp_batch_own(&batch, QP_LITERAL("a name that needs room of its own, or nearly so"));
        rc[1] = qp_batch_effect(&batch, &effect, &error);
        rc[2] = qp_batch_project(&batch, QP_LITERAL("p"), 1, NULL, 0, &error);
        support_heap_fail(0, false);
        for (size_t i = 0; i < 3; i++) {
            cr_expect(rc[i] == QUIPU_OK || rc[i] == QUIPU_NO_MEMORY, "%ld", n);
            failed += rc[i] < 0;
        }
        cr_expect(rc[1] == QUIPU_OK || error.status == QUIPU_NO_MEMORY);
        qp_batch_release(&batch);
    }
    cr_expect_geq(failed, 2, "%u", failed);
}
