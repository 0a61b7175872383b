/* test_projections.c - projections.c: the row to the byte and back, what no row can be, and the bit
 * that the first one sets in the store's format. */
#include "key.h"
#include "meta.h"
#include "projections.h"
#include "row.h"
#include "support_events.h"
#include "support_suite.h"

#include <stdlib.h>
#include <string.h>

static struct qp_store *store;
static struct qp_txn txn;
static quipu_error why;

static void begin(void)
{
    const struct qp_format format = {.number = QP_FORMAT_LOG};
    uint8_t row[QP_META_ROW_BYTES_MAX];

    support_begin();
    store = support_open_log("log.mdb", 16 * QP_MIB);
    txn = (struct qp_txn){0};
    if (qp_txn_begin_write(store, &txn, NULL) < 0 ||
        qp_put_row(&txn, QP_TABLE_META, QP_META_FORMAT, row, qp_format_write(&format, row), NULL) <
            0)
        abort();
}

static void end(void)
{
    qp_txn_end(&txn);
    qp_store_close(store);
    support_suite_end();
}

TestSuite(projections, .init = begin, .fini = end);

/* Each field has bytes of its own. */
static struct qp_projection_row make_row(void)
{
    struct qp_projection_row row = {
        .sequence = UINT64_C(0x0102030405060708),
        .mark = UINT64_C(0x131415161718),
        .changed_ns = INT64_C(0x2122232425262728),
        .generation = 0x31323334,
        .version = 0x41424344,
        .flags = QP_PROJECTION_STOPPED | QP_PROJECTION_UNCLEAN | QP_PROJECTION_DELETED,
        .next_generation = 0x51525354,
        .building = 0x41626364,
        .building_version = 0x71727374,
        .building_mark = UINT64_C(0x838485868788),
        .token = UINT64_C(0x9192939495969798),
        .owner_slot = 0xa1a2a3a4,
        .owner_generation = 0xb1b2b3b4,
        .owner_pid = 0xc1c2c3c4,
        .lease_until_ns = INT64_C(0x0172737475767778),
        .applied = UINT64_C(0xd1d2d3d4d5d6d7d8),
        .parked = UINT64_C(0xe1e2e3e4e5e6e7e8),
        .building_parked = UINT64_C(0xf1f2f3f4f5f6f7f8),
        .emitted = UINT64_C(0x777879808182),
        .fault_position = UINT64_C(0x8c0d0e0f1011),
        .fault_ns = -2,
        .fault_status = QUIPU_INVALID,
        .fault_key_size = 3,
        .fault_text_size = 4,
        .fault_key = {'k', 0, 'y'},
    };

    memcpy(row.fault_text, "text", 4);
    return row;
}

static const uint8_t golden[] = {
    0,    0,    0,    0,    0,    0,    0,    0,    /* sum */
    8,    7,    6,    5,    4,    3,    2,    1,    /* sequence */
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0,    0,    /* mark */
    0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, /* changed */
    0x34, 0x33, 0x32, 0x31, 0x44, 0x43, 0x42, 0x41, /* generation, version */
    0x92, 0,    0,    0,    0x54, 0x53, 0x52, 0x51, /* flags, next generation */
    0x64, 0x63, 0x62, 0x41, 0x74, 0x73, 0x72, 0x71, /* building, its version */
    0x88, 0x87, 0x86, 0x85, 0x84, 0x83, 0,    0,    /* its mark */
    0x98, 0x97, 0x96, 0x95, 0x94, 0x93, 0x92, 0x91, /* token */
    0xa4, 0xa3, 0xa2, 0xa1, 0xb4, 0xb3, 0xb2, 0xb1, /* slot, generation of its owner */
    0xc4, 0xc3, 0xc2, 0xc1, 0,    0,    0,    0,    /* pid, status of the fault */
    0x78, 0x77, 0x76, 0x75, 0x74, 0x73, 0x72, 0x01, /* lease */
    0xd8, 0xd7, 0xd6, 0xd5, 0xd4, 0xd3, 0xd2, 0xd1, /* applied */
    0xe8, 0xe7, 0xe6, 0xe5, 0xe4, 0xe3, 0xe2, 0xe1, /* parked */
    0xf8, 0xf7, 0xf6, 0xf5, 0xf4, 0xf3, 0xf2, 0xf1, /* the building one's */
    0x11, 0x10, 0x0f, 0x0e, 0x0d, 0x8c, 0,    0,    /* position of the fault */
    0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* its time */
    3,    0,    4,    0,                            /* sizes */
    0x82, 0x81, 0x80, 0x79, 0x78, 0x77, 0,    0,    /* emitted */
    'k',  0,    'y',  't',  'e',  'x',  't'};

static void expect_equal(const struct qp_projection_row *got,
                         const struct qp_projection_row *wanted)
{
    cr_expect_eq(memcmp(got, wanted, sizeof(*got)), 0, "another row comes back");
}

Test(projections, to_the_byte)
{
    struct qp_projection_row row = make_row();
    struct qp_projection_row again;
    uint8_t bytes[QP_PROJECTION_ROW_BYTES_MAX];
    uint8_t wanted[sizeof(golden)];
    size_t size = qp_projection_write(&row, bytes);

    memcpy(wanted, golden, sizeof(golden));
    qp_set_u32(wanted + 84, (uint32_t)QUIPU_INVALID);
    support_expect_bytes(bytes, size, wanted, sizeof(wanted), "%zu bytes", size);
    cr_assert(qp_projection_read((struct qp_bytes){bytes, size}, &again));
    expect_equal(&again, &row);
}

Test(projections, shortest_and_longest)
{
    struct qp_projection_row row = {0};
    struct qp_projection_row again;
    uint8_t bytes[QP_PROJECTION_ROW_BYTES_MAX];
    size_t size = qp_projection_write(&row, bytes);

    cr_expect_eq(size, 148);
    cr_assert(qp_projection_read((struct qp_bytes){bytes, size}, &again));
    expect_equal(&again, &row);
    memset(row.fault_key, 'k', sizeof(row.fault_key));
    memset(row.fault_text, 't', sizeof(row.fault_text));
    row.fault_key_size = sizeof(row.fault_key);
    row.fault_text_size = sizeof(row.fault_text);
    size = qp_projection_write(&row, bytes);
    cr_expect_eq(size, 148 + 255 + 240);
    cr_assert(qp_projection_read((struct qp_bytes){bytes, size}, &again));
    expect_equal(&again, &row);
}

Test(projections, no_such_row_can_be)
{
    struct qp_projection_row row = make_row();
    struct qp_projection_row again;
    uint8_t bytes[QP_PROJECTION_ROW_BYTES_MAX + 300] = {0};
    size_t size = qp_projection_write(&row, bytes);

    for (size_t cut = 0; cut < size; cut++)
        cr_expect_not(qp_projection_read((struct qp_bytes){bytes, cut}, &again), "%zu bytes", cut);
    cr_expect_not(qp_projection_read((struct qp_bytes){bytes, size + 1}, &again));
    qp_set_u16(bytes + 136, 256);
    cr_expect_not(qp_projection_read((struct qp_bytes){bytes, 148 + 256 + 4}, &again));
    qp_set_u16(bytes + 136, 0);
    qp_set_u16(bytes + 138, 241);
    cr_expect_not(qp_projection_read((struct qp_bytes){bytes, 148 + 241}, &again));
    qp_set_u16(bytes + 138, 240);
    cr_expect(qp_projection_read((struct qp_bytes){bytes, 148 + 240}, &again));
    for (unsigned bit = 0; bit < 32; bit++) {
        qp_set_u32(bytes + 40, UINT32_C(1) << bit);
        cr_expect_eq(qp_projection_read((struct qp_bytes){bytes, 148 + 240}, &again),
                     bit < 8 && bit != 3, "flag %u", bit);
    }
}

/* ---- rows ---- */

static int put(const char *name, uint64_t sequence, int64_t now_ns)
{
    struct qp_projection_row row = make_row();
    uint8_t bytes[QP_PROJECTION_ROW_BYTES_MAX];
    size_t size = qp_projection_write(&row, bytes);

    return qp_projections_put(&txn, (struct qp_bytes){name, strlen(name)}, bytes, size, sequence,
                              now_ns, &why);
}

static int get(const char *name, struct qp_projection_row *row)
{
    return qp_projections_get(&txn, (struct qp_bytes){name, strlen(name)}, row, &why);
}

/* Sequence and time are the commit's. */
Test(projections, there_and_back)
{
    struct qp_projection_row wanted = make_row();
    struct qp_projection_row row;

    cr_expect_eq(get("p", &row), QUIPU_OK);
    cr_expect_eq(row.sequence, 0, "it is zeroed");
    cr_assert_eq(put("p", 77, -5), QUIPU_OK, "%s", why.text);
    cr_assert_eq(put("pp", 78, 6), QUIPU_OK, "%s", why.text);
    wanted.sequence = 77;
    wanted.changed_ns = -5;
    cr_assert_eq(get("p", &row), QUIPU_ROW, "%s", why.text);
    expect_equal(&row, &wanted);
    cr_assert_eq(get("pp", &row), QUIPU_ROW);
    cr_expect(row.sequence == 78 && row.changed_ns == 6);
    cr_expect_eq(qp_projections_delete(&txn, QP_LITERAL("p"), &why), QUIPU_ROW);
    cr_expect_eq(qp_projections_delete(&txn, QP_LITERAL("p"), &why), QUIPU_OK, "it is gone");
    cr_expect_eq(get("p", &row), QUIPU_OK);
    cr_expect_eq(get("pp", &row), QUIPU_ROW);
}

/* A mark and a source of the same name are other rows. */
Test(projections, its_own_kind_of_mark)
{
    uint8_t row[24] = {0};
    struct qp_projection_row got;
    struct qp_key key;

    for (int kind = QP_MARK_POSITION; kind <= QP_MARK_SOURCE; kind++) {
        qp_key_mark(&key, (enum qp_mark_kind)kind, QP_LITERAL("p"));
        cr_assert_eq(qp_put_row(&txn, QP_TABLE_MARKS, qp_key_bytes(&key), row, 24, NULL), QUIPU_OK);
    }
    cr_expect_eq(get("p", &got), QUIPU_OK);
    cr_assert_eq(put("p", 1, 1), QUIPU_OK);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_MARKS), 3);
}

/* ---- the bit ---- */

static void put_format(uint64_t read_bits, uint64_t write_bits)
{
    const struct qp_format format = {QP_FORMAT_LOG, read_bits, write_bits};
    uint8_t row[QP_META_ROW_BYTES_MAX];

    cr_assert_eq(
        qp_put_row(&txn, QP_TABLE_META, QP_META_FORMAT, row, qp_format_write(&format, row), NULL),
        QUIPU_OK);
}

static struct qp_format format_now(void)
{
    struct qp_format format = {0};
    struct qp_bytes value;

    cr_assert_eq(qp_get_row(&txn, QP_TABLE_META, QP_META_FORMAT, &value, NULL), QUIPU_ROW);
    cr_assert(qp_format_read(value, &format));
    return format;
}

Test(projections, the_first_one_sets_the_bit)
{
    cr_expect_eq(format_now().write_bits, 0);
    cr_assert_eq(put("p", 1, 1), QUIPU_OK);
    cr_expect_eq(format_now().write_bits, 1);
    cr_expect_eq(format_now().read_bits, 0);
    cr_expect_eq(format_now().number, QP_FORMAT_LOG);
    cr_assert_eq(qp_projections_delete(&txn, QP_LITERAL("p"), &why), QUIPU_ROW);
    cr_expect_eq(format_now().write_bits, 1, "its streams stay");
    put_format(0, 0x8000000000000000);
    cr_assert_eq(put("p", 2, 2), QUIPU_OK);
    cr_expect_eq(format_now().write_bits, 0x8000000000000001, "others stay");
}

Test(projections, without_a_format)
{
    uint8_t row[12] = {0};

    cr_assert_eq(qp_put_row(&txn, QP_TABLE_META, QP_META_FORMAT, row, 12, NULL), QUIPU_OK);
    cr_expect_eq(put("p", 1, 1), QUIPU_CORRUPT);
    cr_expect_not_null(strstr(why.text, "lost its format"), "%s", why.text);
    cr_assert_eq(qp_delete(&txn, QP_TABLE_META, QP_META_FORMAT, NULL), QUIPU_ROW);
    cr_expect_eq(put("p", 1, 1), QUIPU_CORRUPT);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_MARKS), 0);
}

/* ---- damage, and one after the other ---- */

static void spoil(const char *name, bool sum)
{
    uint8_t row[148] = {0};
    struct qp_key key;

    qp_key_mark(&key, QP_MARK_PROJECTION, (struct qp_bytes){name, strlen(name)});
    row[42] = 1; /* a flag that nobody knows */
    if (sum)
        qp_row_seal(QP_TABLE_MARKS, qp_key_bytes(&key), row, sizeof(row));
    cr_assert_eq(
        qp_put(&txn, QP_TABLE_MARKS, qp_key_bytes(&key), (struct qp_bytes){row, sizeof(row)}, NULL),
        QUIPU_OK);
}

Test(projections, damage)
{
    struct qp_projection_row row;

    spoil("sum", false);
    spoil("flag", true);
    cr_expect_eq(get("sum", &row), QUIPU_CORRUPT);
    cr_expect_not_null(strstr(why.text, "sum"), "%s", why.text);
    cr_expect_eq(get("flag", &row), QUIPU_CORRUPT);
    cr_expect_not_null(strstr(why.text, "projection flag"), "%s", why.text);
}

Test(projections, one_after_the_other)
{
    static const char *const names[] = {"a", "ab", "b", "bad", "c", "\xc3\xa9"};
    uint8_t mark[24] = {0};
    struct qp_cursor cursor = {0};
    struct qp_projection_row row;
    struct qp_bytes name;
    struct qp_key key;
    bool begun = false;

    cr_assert_eq(qp_cursor_open(&cursor, &txn, QP_TABLE_MARKS, NULL), QUIPU_OK);
    cr_expect_eq(qp_projections_next(&cursor, &begun, &name, &row, &why), QUIPU_OK);
    qp_cursor_close(&cursor);
    qp_key_mark(&key, QP_MARK_SOURCE, QP_LITERAL("zz"));
    cr_assert_eq(qp_put_row(&txn, QP_TABLE_MARKS, qp_key_bytes(&key), mark, 24, NULL), QUIPU_OK);
    cr_assert_eq(qp_put_row(&txn, QP_TABLE_MARKS, QP_LITERAL("\x04x"), mark, 24, NULL), QUIPU_OK);
    for (size_t i = 0; i < 6; i++)
        cr_assert_eq(put(names[5 - i], 6 - i, 0), QUIPU_OK);
    spoil("bad", false);
    begun = false;
    cr_assert_eq(qp_cursor_open(&cursor, &txn, QP_TABLE_MARKS, NULL), QUIPU_OK);
    for (size_t i = 0; i < 6; i++) {
        int rc = qp_projections_next(&cursor, &begun, &name, &row, &why);

        cr_expect_eq(rc, i == 3 ? QUIPU_CORRUPT : QUIPU_ROW, "%zu: %s", i, why.text);
        support_expect_bytes(name.data, name.size, names[i], strlen(names[i]), "%zu", i);
        cr_expect_eq(row.sequence, i == 3 ? 0 : i + 1, "%zu", i);
    }
    cr_expect_not_null(strstr(why.text, "projection bad is damaged"), "%s", why.text);
    cr_expect_eq(qp_projections_next(&cursor, &begun, &name, &row, &why), QUIPU_OK);
    qp_cursor_close(&cursor);
}
