/* test_record.c - record.c: a record to the byte, what its sums cover, where it is cut, and that no
 * damage goes unseen. */
#include "key.h"
#include "record.h"
#include "sum.h"
#include "support_suite.h"

#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(record);

enum { STREAM_BYTES = 8, BYTES_MAX = 4 * QP_ROW_BYTES_MAX };

static const char *const two_tags[] = {"customer:7", "x:\xc3\xa4"};

static const quipu_draft full = {
    .type = "Paid",
    .data = "{\"cents\": 1999}",
    .data_size = 15,
    .data_format = QUIPU_JSON,
    .meta = "\x81\xa1\x61\x01",
    .meta_size = 4,
    .meta_format = QUIPU_MSGPACK,
    .tags = two_tags,
    .tag_count = 2,
    .id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .time_ns = INT64_C(0x1112131415161718),
    .flags = QUIPU_EVENT_HAS_ID | QUIPU_EVENT_HAS_TIME,
    .schema = 0x0203,
};

static const struct qp_stamp stamp = {
    .position = 77,
    .version = UINT64_C(0x2122232425262728),
    .chain_before = UINT64_C(0x3132333435363738),
    .recorded_ns = INT64_C(0x4142434445464748),
};

/* Bytes 16 and on of the record of `full` in "order-42". */
static const uint8_t full_bytes[] = {
    3,    0,    0,    0,                                 /* flags: id, time */
    64,   0,                                             /* header */
    0,    0,                                             /* reserved */
    0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,      /* version */
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,      /* time */
    0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41,      /* recorded */
    3,    2,                                             /* schema */
    1,                                                   /* data: JSON */
    2,                                                   /* meta: msgpack */
    15,   0,    0,    0,                                 /* data size */
    4,    0,    0,    0,                                 /* meta size */
    16,   0,                                             /* tags size */
    8,                                                   /* stream size */
    4,                                                   /* type size */
    'o',  'r',  'd',  'e',  'r',  '-',  '4',  '2',  0,   /* stream */
    'P',  'a',  'i',  'd',  0,                           /* type */
    'c',  'u',  's',  't',  'o',  'm',  'e',  'r',  ':', /* tags */
    '7',  0,    'x',  ':',  0xc3, 0xa4, 0,               /* */
    1,    2,    3,    4,    5,    6,    7,    8,         /* id */
    9,    10,   11,   12,   13,   14,   15,   16,        /* */
    0x81, 0xa1, 0x61, 0x01,                              /* meta */
    '{',  '"',  'c',  'e',  'n',  't',  's',  '"',       /* data */
    ':',  ' ',  '1',  '9',  '9',  '9',  '}',
};
enum { FULL_BYTES = 16 + sizeof(full_bytes), FULL_PAYLOAD = 15 + 4 };

static size_t make(const quipu_draft *draft, const struct qp_stamp *with, uint8_t *out)
{
    struct qp_stamp own = *with;

    own.content = qp_record_build(draft, QP_LITERAL("order-42"), out);
    (void)qp_record_stamp(out, qp_record_bytes(draft, STREAM_BYTES), &own);
    return qp_record_bytes(draft, STREAM_BYTES);
}

/* What stands in `log`. */
static struct qp_bytes row_of(const uint8_t *record, size_t size)
{
    return (struct qp_bytes){record, size < QP_ROW_BYTES_MAX ? size : QP_ROW_BYTES_MAX};
}

static void seal(uint8_t *record, size_t row_size, uint64_t position)
{
    qp_set_u64(record, qp_sum(record + 8, row_size - 8, position));
}

/* A draft whose whole record has `size` bytes. */
static quipu_draft draft_of(size_t size, const char *bytes)
{
    quipu_draft draft = {.type = "T", .data = bytes};

    draft.data_size = (uint32_t)(size - qp_record_bytes(&draft, STREAM_BYTES));
    return draft;
}

/* ---- to the byte ---- */

Test(record, to_the_byte)
{
    uint8_t record[256];
    size_t size = make(&full, &stamp, record);
    uint64_t head;
    uint64_t content;

    cr_assert_eq(size, FULL_BYTES);
    for (size_t i = 16; i < size; i++)
        cr_expect_eq(record[i], full_bytes[i - 16], "byte %zu is %02x", i, record[i]);
    content = qp_sum(record + size - FULL_PAYLOAD, FULL_PAYLOAD, 0);
    head = qp_sum(record + 24, size - FULL_PAYLOAD - 24, 77);
    cr_expect_eq(qp_get_u64(record + 8), qp_sum_chain(stamp.chain_before, head, content));
    cr_expect_eq(qp_get_u64(record), qp_sum(record + 8, size - 8, 77));
}

Test(record, plainest_to_the_byte)
{
    static const uint8_t expected[] = {
        0,   0, 0,   0, 64, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, /* flags to version */
        9,   0, 0,   0, 0,  0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, /* time = recorded */
        0,   0, 0,   0, 0,  0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, /* sizes */
        's', 0, 't', 0,
    };
    /* Formats of nothing, ids and times without their flags: none of it counts. */
    quipu_draft draft = {.type = "t",
                         .id = {1},
                         .time_ns = 5,
                         .recorded_ns = 6,
                         .data_format = QUIPU_JSON,
                         .meta_format = QUIPU_MSGPACK};
    struct qp_stamp own = {.position = 1, .version = 1, .recorded_ns = 9};
    uint8_t record[128];

    memset(record, 0xee, sizeof(record));
    cr_assert_eq(qp_record_bytes(&draft, 1), 16 + sizeof(expected));
    own.content = qp_record_build(&draft, QP_LITERAL("s"), record);
    cr_expect_eq(own.content, qp_sum("", 0, 0));
    (void)qp_record_stamp(record, 16 + sizeof(expected), &own);
    support_expect_bytes(record + 16, sizeof(expected), expected, sizeof(expected), "the record");
    cr_expect_eq(record[16 + sizeof(expected)], 0xee, "nothing is written after it");
}

Test(record, read_back)
{
    uint8_t bytes[256];
    size_t size = make(&full, &stamp, bytes);
    struct qp_record record;

    cr_assert_eq(qp_record_read((struct qp_bytes){bytes, size}, 77, true, &record),
                 QP_RECORD_WHOLE);
    cr_expect_eq(record.chain, qp_get_u64(bytes + 8));
    cr_expect_eq(record.version, stamp.version);
    cr_expect_eq(record.time_ns, full.time_ns);
    cr_expect_eq(record.recorded_ns, stamp.recorded_ns);
    cr_expect_eq(record.flags, QP_RECORD_ID | QP_RECORD_TIME);
    cr_expect_eq(record.schema, full.schema);
    cr_expect(record.data_format == QUIPU_JSON && record.meta_format == QUIPU_MSGPACK);
    support_expect_bytes(record.stream.data, record.stream.size, "order-42", 8, "stream");
    support_expect_bytes(record.type.data, record.type.size, "Paid", 4, "type");
    support_expect_bytes(record.tags.data, record.tags.size, "customer:7\0x:\xc3\xa4", 16, "tags");
    cr_expect_str_eq(record.stream.data, "order-42", "a C string too");
    cr_expect_str_eq(record.type.data, "Paid");
    cr_expect_eq(memcmp(record.id, full.id, 16), 0);
    cr_expect_eq(record.meta_size, 4);
    support_expect_bytes(record.payload.data, record.payload.size,
                         "\x81\xa1\x61\x01{\"cents\": 1999}", 19, "payload");
    cr_expect_eq(record.size, size);
    cr_expect_eq(qp_record_content(&record), qp_sum(record.payload.data, 19, 0));
    cr_expect_eq(qp_record_head((struct qp_bytes){bytes, size}, &record, 77),
                 qp_sum(bytes + 24, size - 19 - 24, 77));
}

Test(record, longest_names_and_most_tags)
{
    static uint8_t bytes[QP_ROW_BYTES_MAX * 6];
    char *name = support_repeat('n', QP_NAME_MAX);
    char tags[QP_TAGS_MAX][QP_NAME_MAX + 1];
    const char *pointers[QP_TAGS_MAX];
    quipu_draft draft = {.type = name, .tags = pointers, .tag_count = QP_TAGS_MAX};
    struct qp_record record;
    size_t size;

    for (int i = 0; i < QP_TAGS_MAX; i++) {
        memset(tags[i], 'a' + i % 26, QP_NAME_MAX);
        tags[i][QP_NAME_MAX] = '\0';
        pointers[i] = tags[i];
    }
    size = qp_record_bytes(&draft, QP_NAME_MAX);
    cr_assert_eq(size, 64 + 3 * 256 - 256 + 64 * 256);
    cr_assert_leq(size, sizeof(bytes));
    (void)qp_record_build(&draft, (struct qp_bytes){name, QP_NAME_MAX}, bytes);
    (void)qp_record_stamp(bytes, size, &stamp);
    cr_assert_eq(qp_record_read(row_of(bytes, size), 77, true, &record), QP_RECORD_WHOLE);
    cr_expect_eq(record.flags, QP_RECORD_CHUNKED);
    cr_expect_eq(record.size, size);
    cr_expect_eq(record.stream.size, QP_NAME_MAX);
    cr_assert_eq(qp_record_read_assembled((struct qp_bytes){bytes, size}, &record),
                 QP_RECORD_WHOLE);
    cr_expect_eq(record.tags.size, 64 * 256);
    cr_expect_eq(memcmp((const char *)record.tags.data + 63 * 256, tags[63], 256), 0);
    free(name);
}

/* ---- stamps and the chain ---- */

Test(record, time_is_the_drafts_or_the_stores)
{
    quipu_draft draft = full;
    uint8_t bytes[256];
    struct qp_record record;

    draft.flags = QUIPU_EVENT_HAS_ID;
    (void)qp_record_read((struct qp_bytes){bytes, make(&draft, &stamp, bytes)}, 77, true, &record);
    cr_expect_eq(record.time_ns, stamp.recorded_ns);
    cr_expect_eq(record.recorded_ns, stamp.recorded_ns);
    cr_expect_eq(record.flags, QP_RECORD_ID);
}

/* A group that has to run again stamps again: nothing of the first stamp may stay. */
Test(record, stamping_twice)
{
    const struct qp_stamp other = {9, 10, 11, 12, 13};
    uint32_t flags[] = {0, QUIPU_EVENT_HAS_ID, QUIPU_EVENT_HAS_TIME,
                        QUIPU_EVENT_HAS_ID | QUIPU_EVENT_HAS_TIME};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        quipu_draft draft = full;
        struct qp_stamp again = stamp;
        uint8_t once[256];
        uint8_t twice[256];
        size_t size;

        draft.flags = flags[i];
        size = make(&draft, &stamp, once);
        again.content = qp_record_build(&draft, QP_LITERAL("order-42"), twice);
        (void)qp_record_stamp(twice, size, &other);
        cr_expect_neq(memcmp(once, twice, size), 0);
        cr_expect_eq(qp_record_stamp(twice, size, &again), qp_get_u64(once + 8));
        support_expect_bytes(once, size, twice, size, "flags %x", flags[i]);
    }
}

/* Change one thing, and the chain must be another. */
Test(record, chain_depends_on_everything)
{
    static const char *const other_tags[] = {"customer:7", "x:b"};
    quipu_draft drafts[12];
    struct qp_stamp stamps[4] = {stamp, stamp, stamp, stamp};
    uint64_t chains[16];
    uint8_t bytes[256];

    for (int i = 0; i < 12; i++)
        drafts[i] = full;
    drafts[1].type = "Paie";
    drafts[2].data = "{\"cents\": 1998}";
    drafts[3].meta = "\x81\xa1\x61\x02";
    drafts[4].tags = other_tags;
    drafts[5].tag_count = 1;
    drafts[6].id[15] = 17;
    drafts[7].time_ns++;
    drafts[8].schema++;
    drafts[9].data_format = QUIPU_BINARY;
    drafts[10].meta_format = QUIPU_BINARY;
    drafts[11].meta_size = 3;
    stamps[0].position++;
    stamps[1].version++;
    stamps[2].chain_before++;
    stamps[3].recorded_ns++;
    for (int i = 0; i < 16; i++) {
        (void)make(i < 12 ? &drafts[i] : &full, i < 12 ? &stamp : &stamps[i - 12], bytes);
        chains[i] = qp_get_u64(bytes + 8);
        for (int j = 0; j < i; j++)
            cr_expect_neq(chains[i], chains[j], "change %d and %d", i, j);
    }
}

Test(record, chain_depends_on_the_stream)
{
    uint8_t bytes[256];
    struct qp_stamp own = stamp;
    uint64_t chain;

    (void)make(&full, &stamp, bytes);
    chain = qp_get_u64(bytes + 8);
    own.content = qp_record_build(&full, QP_LITERAL("order-43"), bytes);
    cr_expect_neq(qp_record_stamp(bytes, FULL_BYTES, &own), chain);
}

/* Where one name ends and the next begins counts, though their letters are the same. */
Test(record, chain_depends_on_where_names_end)
{
    quipu_draft draft = full;
    struct qp_stamp own = stamp;
    uint8_t bytes[256];
    uint64_t chain;

    draft.type = "bc";
    own.content = qp_record_build(&draft, QP_LITERAL("a"), bytes);
    chain = qp_record_stamp(bytes, qp_record_bytes(&draft, 1), &own);
    draft.type = "c";
    own.content = qp_record_build(&draft, QP_LITERAL("ab"), bytes);
    cr_expect_neq(qp_record_stamp(bytes, qp_record_bytes(&draft, 2), &own), chain);
}

/* Flags may change later (redacted): the chain must stay true. */
Test(record, chain_does_not_depend_on_flags)
{
    uint8_t bytes[256];
    size_t size = make(&full, &stamp, bytes);
    struct qp_record record;
    uint64_t head;

    (void)qp_record_read((struct qp_bytes){bytes, size}, 77, true, &record);
    head = qp_record_head((struct qp_bytes){bytes, size}, &record, 77);
    qp_set_u32(bytes + 16, 8);
    cr_expect_eq(qp_record_head((struct qp_bytes){bytes, size}, &record, 77), head);
}

/* ---- chunks ---- */

static const size_t sizes[] = {
    80,
    QP_ROW_BYTES_MAX - 1,
    QP_ROW_BYTES_MAX,
    QP_ROW_BYTES_MAX + 1,
    QP_ROW_BYTES_MAX + QP_RECORD_CHUNK_BYTES - 1,
    QP_ROW_BYTES_MAX + QP_RECORD_CHUNK_BYTES,
    QP_ROW_BYTES_MAX + QP_RECORD_CHUNK_BYTES + 1,
    QP_ROW_BYTES_MAX + 2 * QP_RECORD_CHUNK_BYTES,
    QP_ROW_BYTES_MAX + 2 * QP_RECORD_CHUNK_BYTES + 1,
};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

Test(record, boundaries_are_where_the_format_says)
{
    cr_expect_eq(QP_ROW_BYTES_MAX, 4080);
    cr_expect_eq(QP_RECORD_CHUNK_BYTES, 4072);
    cr_expect_eq(QP_RECORD_HEADER_BYTES, 64);
}

Test(record, chunks_put_together_are_the_record)
{
    char *data = support_repeat('d', BYTES_MAX);
    uint8_t bytes[BYTES_MAX];
    uint8_t assembled[BYTES_MAX];

    for (size_t i = 0; i < SIZES; i++) {
        quipu_draft draft = draft_of(sizes[i], data);
        size_t size = make(&draft, &stamp, bytes);
        size_t have = row_of(bytes, size).size;
        struct qp_record record;
        uint32_t number = 0;

        cr_assert_eq(size, sizes[i]);
        cr_assert_eq(qp_record_read(row_of(bytes, size), 77, true, &record), QP_RECORD_WHOLE);
        cr_expect_eq((record.flags & QP_RECORD_CHUNKED) != 0, size > 4080, "%zu bytes", size);
        cr_expect_eq(record.size, size);
        memcpy(assembled, bytes, have);
        for (;; number++) {
            struct qp_bytes chunk = qp_record_chunk(bytes, size, number);

            if (chunk.size == 0)
                break;
            cr_assert_leq(chunk.size, 4072);
            memcpy(assembled + have, chunk.data, chunk.size);
            have += chunk.size;
        }
        cr_expect_eq(number, size <= 4080 ? 0 : (size - 4080 + 4071) / 4072, "%zu bytes", size);
        support_expect_bytes(assembled, have, bytes, size, "%zu bytes", size);
        cr_expect_eq(qp_record_read_assembled((struct qp_bytes){assembled, have}, &record),
                     QP_RECORD_WHOLE);
        cr_expect_eq(record.payload.size, draft.data_size);
        cr_expect_eq(qp_record_chunk(bytes, size, 1000000).size, 0);
    }
    free(data);
}

/* `check` is of the stored row alone; the chunks have sums of their own. */
Test(record, check_covers_the_first_row_only)
{
    char *data = support_repeat('d', 5000);
    uint8_t bytes[BYTES_MAX];
    quipu_draft draft = {.type = "T", .data = data, .data_size = 5000};
    size_t size = make(&draft, &stamp, bytes);
    struct qp_record record;

    cr_expect_eq(qp_get_u64(bytes), qp_sum(bytes + 8, 4072, 77));
    bytes[4080] ^= 1;
    cr_expect_eq(qp_record_read(row_of(bytes, size), 77, true, &record), QP_RECORD_WHOLE);
    bytes[4079] ^= 1;
    cr_expect_eq(qp_record_read(row_of(bytes, size), 77, true, &record), QP_RECORD_DAMAGED);
    free(data);
}

/* ---- damage ---- */

Test(record, every_flipped_bit_is_seen)
{
    char *data = support_repeat('d', BYTES_MAX);
    uint8_t bytes[BYTES_MAX];
    quipu_draft drafts[] = {full, draft_of(80, data), draft_of(4080, data), draft_of(5000, data)};

    for (size_t i = 0; i < sizeof(drafts) / sizeof(drafts[0]); i++) {
        size_t size = make(&drafts[i], &stamp, bytes);
        struct qp_bytes row = row_of(bytes, size);
        struct qp_record record;

        for (size_t bit = 0; bit < 8 * row.size; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            cr_expect_eq(qp_record_read(row, 77, true, &record), QP_RECORD_DAMAGED,
                         "record %zu, bit %zu of byte %zu", i, bit % 8, bit / 8);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        cr_expect_eq(qp_record_read(row, 77, true, &record), QP_RECORD_WHOLE);
        cr_expect_eq(qp_record_read(row, 78, true, &record), QP_RECORD_DAMAGED, "another place");
    }
    free(data);
}

Test(record, every_cut_is_seen)
{
    uint8_t bytes[256];
    size_t size = make(&full, &stamp, bytes);

    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut + 1); /* of its own, so that a read after it is seen */
        struct qp_record record;

        cr_assert_not_null(copy);
        memcpy(copy, bytes, cut);
        if (cut >= 8)
            seal(copy, cut, 77);
        cr_expect_eq(qp_record_read((struct qp_bytes){copy, cut}, 77, true, &record),
                     QP_RECORD_DAMAGED, "%zu bytes, sealed", cut);
        cr_expect_eq(qp_record_read((struct qp_bytes){copy, cut}, 77, false, &record),
                     QP_RECORD_DAMAGED, "%zu bytes, not checked", cut);
        cr_expect_eq(qp_record_read_assembled((struct qp_bytes){copy, cut}, &record),
                     QP_RECORD_DAMAGED, "%zu bytes, assembled", cut);
        free(copy);
    }
}

/* A field of the header is set, the sum made right again. */
static const struct {
    const char *what;
    size_t offset;
    uint8_t byte;
    enum qp_record_state state;
} fields[] = {
    {"no flags: the id is payload then", 16, 2, QP_RECORD_DAMAGED},
    {"chunked, and fits a row", 16, 7, QP_RECORD_DAMAGED},
    {"flag 8", 16, 8 | 3, QP_RECORD_NEWER},
    {"flag 16", 16, 16 | 3, QP_RECORD_NEWER},
    {"flag 32", 16, 32 | 3, QP_RECORD_NEWER},
    {"flag 64", 16, 64 | 3, QP_RECORD_NEWER},
    {"flag 2^8", 17, 1, QP_RECORD_NEWER},
    {"flag 2^31", 19, 0x80, QP_RECORD_NEWER},
    {"a longer header", 20, 65, QP_RECORD_NEWER},
    {"a much longer header", 21, 1, QP_RECORD_NEWER},
    {"a shorter header", 20, 63, QP_RECORD_DAMAGED},
    {"reserved", 22, 1, QP_RECORD_NEWER},
    {"reserved", 23, 1, QP_RECORD_NEWER},
    {"more data", 52, 16, QP_RECORD_DAMAGED},
    {"less data", 52, 14, QP_RECORD_DAMAGED},
    {"much more data", 55, 0xff, QP_RECORD_DAMAGED},
    {"more meta", 56, 5, QP_RECORD_DAMAGED},
    {"more tags", 60, 17, QP_RECORD_DAMAGED},
    {"many more tags", 61, 0xff, QP_RECORD_DAMAGED},
    {"a shorter stream", 62, 7, QP_RECORD_DAMAGED},
    {"no stream", 62, 0, QP_RECORD_DAMAGED},
    {"a much longer stream", 62, 255, QP_RECORD_DAMAGED},
    {"no type", 63, 0, QP_RECORD_DAMAGED},
    {"a longer type", 63, 5, QP_RECORD_DAMAGED},
    {"the stream's end", 64 + 8, 'x', QP_RECORD_DAMAGED},
    {"the type's end", 64 + 9 + 4, 'x', QP_RECORD_DAMAGED},
    {"the last tag's end", 64 + 9 + 5 + 15, 'x', QP_RECORD_DAMAGED},
};

Test(record, header_fields)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        uint8_t bytes[256];
        size_t size = make(&full, &stamp, bytes);
        struct qp_record record;

        bytes[fields[i].offset] = fields[i].byte;
        seal(bytes, size, 77);
        cr_expect_eq(qp_record_read((struct qp_bytes){bytes, size}, 77, true, &record),
                     fields[i].state, "%s", fields[i].what);
        cr_expect_eq(qp_record_read((struct qp_bytes){bytes, size}, 77, false, &record),
                     fields[i].state, "%s, not checked", fields[i].what);
    }
}

Test(record, chunked_and_fits_a_row)
{
    char *data = support_repeat('d', 5000);
    uint8_t bytes[BYTES_MAX];
    quipu_draft draft = draft_of(4080, data);
    struct qp_record record;

    cr_assert_eq(make(&draft, &stamp, bytes), 4080);
    bytes[16] |= QP_RECORD_CHUNKED;
    seal(bytes, 4080, 77);
    cr_expect_eq(qp_record_read((struct qp_bytes){bytes, 4080}, 77, true, &record),
                 QP_RECORD_DAMAGED);
    free(data);
}

Test(record, empty_names)
{
    for (int i = 0; i < 2; i++) {
        quipu_draft draft = {.type = i == 0 ? "" : "T"};
        struct qp_bytes stream = {"s", i == 0 ? 1 : 0};
        uint8_t bytes[128];
        struct qp_record record;
        size_t size = qp_record_bytes(&draft, stream.size);

        (void)qp_record_build(&draft, stream, bytes);
        (void)qp_record_stamp(bytes, size, &stamp);
        cr_expect_eq(qp_record_read((struct qp_bytes){bytes, size}, 77, true, &record),
                     QP_RECORD_DAMAGED, "%s", i == 0 ? "no type" : "no stream");
    }
}

Test(record, row_over_its_limit)
{
    char *data = support_repeat('d', 5000);
    uint8_t bytes[BYTES_MAX];
    quipu_draft draft = draft_of(4080, data);
    size_t size = make(&draft, &stamp, bytes);
    struct qp_record record;

    cr_assert_eq(size, 4080);
    seal(bytes, 4081, 77);
    cr_expect_eq(qp_record_read((struct qp_bytes){bytes, 4081}, 77, true, &record),
                 QP_RECORD_DAMAGED);
    free(data);
}

Test(record, assembled_of_another_size)
{
    char *data = support_repeat('d', 5000);
    uint8_t bytes[BYTES_MAX] = {0};
    quipu_draft draft = draft_of(5000, data);
    size_t size = make(&draft, &stamp, bytes);
    struct qp_record record;

    cr_expect_eq(qp_record_read_assembled((struct qp_bytes){bytes, size - 1}, &record),
                 QP_RECORD_DAMAGED);
    cr_expect_eq(qp_record_read_assembled((struct qp_bytes){bytes, size + 1}, &record),
                 QP_RECORD_DAMAGED);
    free(data);
}

/* With a right sum over random bytes: whatever is found must lie inside of them. */
Test(record, random_bytes_never_crash)
{
    struct support_random random = {4};
    unsigned good = 0;

    for (int i = 0; i < 100000; i++) {
        size_t size = 64 + support_random_below(&random, 100);
        uint8_t *bytes = malloc(size);
        struct qp_record record;

        cr_assert_not_null(bytes);
        for (size_t j = 0; j < size; j++)
            bytes[j] =
                (uint8_t)(support_random_below(&random, 4) == 0 ? support_random(&random) : 0);
        qp_set_u32(bytes + 16, (uint32_t)support_random_below(&random, 8));
        qp_set_u32(bytes + 20, 64);
        qp_set_u32(bytes + 52, (uint32_t)support_random_below(&random, 20));
        qp_set_u32(bytes + 56, (uint32_t)support_random_below(&random, 20));
        /* mostly none: what is random is hardly ever a run of names */
        if (support_random_below(&random, 4) == 0)
            qp_set_u16(bytes + 60, (uint16_t)support_random_below(&random, 20));
        else
            qp_set_u16(bytes + 60, 0);
        bytes[62] = (uint8_t)support_random_below(&random, 8);
        bytes[63] = (uint8_t)support_random_below(&random, 8);
        seal(bytes, size, 1);
        if (qp_record_read((struct qp_bytes){bytes, size}, 1, true, &record) == QP_RECORD_WHOLE) {
            cr_assert_eq((const uint8_t *)record.payload.data + record.payload.size, bytes + size);
            (void)qp_record_content(&record);
            (void)qp_record_head((struct qp_bytes){bytes, size}, &record, 1);
            good++;
        }
        free(bytes);
    }
    cr_expect_gt(good, 50, "%u were whole", good);
}

Test(record, sums_tell_what_is_wrong)
{
    uint8_t bytes[256];
    size_t size = make(&full, &stamp, bytes);
    uint64_t stored = 0;
    uint64_t computed = 0;

    qp_record_sums((struct qp_bytes){bytes, size}, 77, &stored, &computed);
    cr_expect_eq(stored, computed);
    cr_expect_eq(stored, qp_get_u64(bytes));
    bytes[size - 1] ^= 1;
    qp_record_sums((struct qp_bytes){bytes, size}, 77, &stored, &computed);
    cr_expect_eq(stored, qp_get_u64(bytes));
    cr_expect_eq(computed, qp_sum(bytes + 8, size - 8, 77));
    cr_expect_neq(stored, computed);
}
