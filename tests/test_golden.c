/* test_golden.c - bytes that must never change: keys, rows and records against golden/ *.hex, which
 * another implementation made, and a store of an older library that must open for ever. */
#include "golden/store-1.h"
#include "key.h"
#include "memory.h"
#include "meta.h"
#include "posting.h"
#include "projections.h"
#include "record.h"
#include "row.h"
#include "snapshot.h"
#include "streams.h"
#include "sum.h"
#include "support_events.h"
#include "support_suite.h"
#include "views.h"

#include <quipu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

SUPPORT_SUITE(golden);

enum { GOLDEN_BYTES_MAX = 65536 };

#define T0 INT64_C(1700000000000000000)

static const uint8_t uuid[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x46, 0x77,
                                 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

/* ---- .hex files ---- */

struct golden {
    uint8_t bytes[GOLDEN_BYTES_MAX];
    size_t size;
};

/* One word: digits, or digits*count. */
static void take_word(struct golden *golden, const char *word)
{
    size_t digits = strspn(word, "0123456789abcdef");
    unsigned long count = word[digits] == '*' ? strtoul(word + digits + 1, NULL, 10) : 1;

    cr_assert(digits > 0 && digits % 2 == 0 && count > 0, "a malformed word: %s", word);
    for (unsigned long i = 0; i < count; i++) {
        for (size_t j = 0; j < digits; j += 2) {
            char pair[3] = {word[j], word[j + 1]};

            cr_assert_lt(golden->size, GOLDEN_BYTES_MAX);
            golden->bytes[golden->size++] = (uint8_t)strtoul(pair, NULL, 16);
        }
    }
}

static const struct golden *read_hex(const char *name)
{
    static struct golden golden;
    char path[SUPPORT_PATH_BYTES];
    char file_name[64];
    char line[512];
    FILE *file;

    golden.size = 0;
    (void)snprintf(file_name, sizeof(file_name), "golden/%s.hex", name);
    file = fopen(support_tests_path(path, file_name), "re");
    cr_assert_not_null(file, "%s", path);
    while (fgets(line, sizeof(line), file) != NULL) {
        char *rest = NULL;

        line[strcspn(line, "#\n")] = '\0';
        for (char *word = strtok_r(line, " ", &rest); word != NULL;
             word = strtok_r(NULL, " ", &rest))
            take_word(&golden, word);
    }
    (void)fclose(file);
    return &golden;
}

static void expect_hex(const char *name, const void *bytes, size_t size)
{
    const struct golden *golden = read_hex(name);
    const uint8_t *at = bytes;

    cr_expect_eq(size, golden->size, "%s: %zu bytes, golden are %zu", name, size, golden->size);
    for (size_t i = 0; i < size && i < golden->size; i++)
        cr_assert_eq(at[i], golden->bytes[i], "%s: byte %zu is %02x, golden is %02x", name, i,
                     at[i], golden->bytes[i]);
}

/* ---- records ---- */

static char letters[9000];

static const char *const tags[] = {"customer:7", "town:Z\xc3\xbcrich"};

static const struct {
    const char *stream;
    quipu_draft draft;
    uint64_t version;
    int64_t recorded_ns;
} events[] = {
    {"order-42", {.type = "Placed"}, 1, T0 + 1},
    {"order-42",
     {.type = "Paid",
      .data = "{\"cents\": 1999}",
      .data_size = 15,
      .data_format = QUIPU_JSON,
      .meta = "\x81\xa1\x61\x01",
      .meta_size = 4,
      .meta_format = QUIPU_MSGPACK,
      .tags = tags,
      .tag_count = 2,
      .id = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad,
             0xae, 0xaf},
      .time_ns = T0 - 5,
      .flags = QUIPU_EVENT_HAS_ID | QUIPU_EVENT_HAS_TIME,
      .schema = 3},
     2,
     T0 + 2},
    {"b\xc3\xbc"
     "cher-1",
     {.type = "Bought", .data = letters, .data_size = sizeof(letters)},
     1,
     T0 + 2},
};

/* The record at `position`, and the chain up to it. */
static size_t make_record(uint64_t position, uint8_t *bytes, uint64_t *chain)
{
    size_t size = 0;

    memset(letters, 'a', 4000);
    memset(letters + 4000, 'b', 5000);
    *chain = 0;
    for (uint64_t at = 1; at <= position; at++) {
        struct qp_bytes stream = {events[at - 1].stream, strlen(events[at - 1].stream)};
        struct qp_stamp stamp = {.position = at,
                                 .version = events[at - 1].version,
                                 .chain_before = *chain,
                                 .recorded_ns = events[at - 1].recorded_ns};

        size = qp_record_bytes(&events[at - 1].draft, stream.size);
        stamp.content = qp_record_build(&events[at - 1].draft, stream, bytes);
        *chain = qp_record_stamp(bytes, size, &stamp);
    }
    return size;
}

Test(golden, records)
{
    static const char *const names[] = {"record-plain", "record-full", "record-chunked"};
    static uint8_t bytes[16384];
    uint64_t chain;

    for (uint64_t position = 1; position <= 3; position++) {
        size_t size = make_record(position, bytes, &chain);

        expect_hex(names[position - 1], bytes, size < QP_ROW_BYTES_MAX ? size : QP_ROW_BYTES_MAX);
    }
}

Test(golden, chunks)
{
    static const char *const names[] = {"chunk-0", "chunk-1"};
    static uint8_t bytes[16384];
    uint64_t chain;
    size_t size = make_record(3, bytes, &chain);

    for (uint32_t number = 0; number < 2; number++) {
        struct qp_bytes part = qp_record_chunk(bytes, size, number);
        uint8_t row[QP_ROW_BYTES_MAX];
        struct qp_key key;

        qp_key_chunk(&key, 3, number);
        memcpy(row + 8, part.data, part.size);
        qp_row_seal(QP_TABLE_CHUNKS, qp_key_bytes(&key), row, part.size + 8);
        expect_hex(names[number], row, part.size + 8);
    }
    cr_expect_eq(qp_record_chunk(bytes, size, 2).size, 0);
}

Test(golden, derived_id)
{
    static uint8_t bytes[16384];
    uint8_t id[16];
    uint64_t chain;

    (void)make_record(1, bytes, &chain);
    qp_sum_id(uuid, 1, chain, id);
    expect_hex("derived-id", id, sizeof(id));
}

/* Golden records are read, too. */
Test(golden, records_are_read)
{
    static const char *const names[] = {"record-plain", "record-full", "record-chunked"};

    for (uint64_t position = 1; position <= 3; position++) {
        const struct golden *golden = read_hex(names[position - 1]);
        struct qp_bytes row = {golden->bytes, golden->size};
        struct qp_record record;

        cr_assert_eq(qp_record_read(row, position, true, &record), QP_RECORD_WHOLE, "%s",
                     names[position - 1]);
        cr_expect_str_eq(record.stream.data, events[position - 1].stream);
        cr_expect_str_eq(record.type.data, events[position - 1].draft.type);
        cr_expect_eq(record.version, events[position - 1].version);
        cr_expect_eq(record.recorded_ns, events[position - 1].recorded_ns);
    }
}

/* ---- keys and rows ---- */

static void put_key(struct qp_buffer *out, const struct qp_key *key)
{
    cr_assert(qp_buffer_put(out, key->bytes, key->size));
}

Test(golden, keys)
{
    struct qp_buffer all = {0};
    struct qp_key key;
    uint8_t id[16];
    uint8_t id_name[QP_ID_NAME_BYTES];
    uint64_t position = UINT64_C(0x0102030405);

    for (size_t i = 0; i < sizeof(id); i++)
        id[i] = (uint8_t)(0xa0 + i);
    qp_key_term(&key, QP_TERM_STREAM, QP_LITERAL("order-42"));
    put_key(&all, &key);
    qp_key_term(&key, QP_TERM_CATEGORY, QP_LITERAL("order"));
    put_key(&all, &key);
    qp_key_term(&key, QP_TERM_TYPE, QP_LITERAL("Paid"));
    put_key(&all, &key);
    qp_key_term(&key, QP_TERM_TAG, QP_LITERAL("customer:7"));
    put_key(&all, &key);
    qp_key_id_name(id_name, id, qp_sum("order-42", 8, 0));
    qp_key_term(&key, QP_TERM_ID, (struct qp_bytes){id_name, sizeof(id_name)});
    put_key(&all, &key);
    qp_key_term(&key, QP_TERM_DAMAGED, QP_LITERAL(""));
    put_key(&all, &key);
    qp_key_block(&key, UINT64_C(0x0102030405), 0x060708);
    put_key(&all, &key);
    qp_key_chunk(&key, UINT64_C(0x0102030405), 0x060708);
    put_key(&all, &key);
    cr_assert(qp_buffer_put(&all, qp_key_position(&position).data, 8));
    expect_hex("keys", all.bytes, all.size);
    qp_buffer_release(&all);
}

static void put_row(struct qp_buffer *out, enum qp_table table, struct qp_bytes key, uint8_t *row,
                    size_t size)
{
    qp_row_seal(table, key, row, size);
    cr_assert(qp_buffer_put(out, row, size));
}

static void put_index_rows(struct qp_buffer *out)
{
    static const uint64_t inline_positions[] = {601, 0, 729, 900};
    const struct qp_term_row term = {.number = 7,
                                     .first = 3,
                                     .count = 516,
                                     .first_position = 5,
                                     .last_position = 900,
                                     .base = 600,
                                     .inline_count = 4};
    const struct qp_term_row once = {
        .first = 1, .count = 1, .first_position = 300, .last_position = 300, .inline_count = 1};
    uint64_t positions[QP_BLOCK_POSITIONS];
    uint8_t row[QP_ROW_BYTES_MAX];
    struct qp_key key;

    for (size_t i = 0; i < QP_BLOCK_POSITIONS; i++)
        positions[i] = 300 * (i + 1);
    put_row(out, QP_TABLE_TERMS, QP_LITERAL("\x01order-42"), row,
            qp_term_row_write(&term, inline_positions, row));
    put_row(out, QP_TABLE_TERMS,
            QP_LITERAL("\x04"
                       "customer:7"),
            row, qp_term_row_write(&once, &once.first_position, row));
    qp_key_block(&key, 7, 3);
    put_row(out, QP_TABLE_BLOCKS, qp_key_bytes(&key), row,
            qp_block_row_write(0, positions, QP_BLOCK_POSITIONS, row));
}

Test(golden, rows)
{
    struct qp_format format = {.number = 1};
    struct qp_index_format index_format = {.number = 1, .term_kinds = QP_TERM_KINDS_BITS};
    struct qp_indexed indexed = {1000, 2, 3, 4, 5, 6, 7};
    struct qp_buffer all = {0};
    uint8_t row[QP_ROW_BYTES_MAX];

    memcpy(index_format.uuid, uuid, 16);
    put_row(&all, QP_TABLE_META, QP_META_FORMAT, row, qp_format_write(&format, row));
    put_row(&all, QP_TABLE_META, QP_META_UUID, row, qp_uuid_write(uuid, row));
    put_row(&all, QP_TABLE_META, QP_META_CREATED, row, qp_created_write(T0, row));
    put_row(&all, QP_TABLE_INDEX_META, QP_META_FORMAT, row,
            qp_index_format_write(&index_format, row));
    put_row(&all, QP_TABLE_INDEX_META, QP_META_INDEXED, row, qp_indexed_write(&indexed, row));
    put_index_rows(&all);
    memset(row, 0, 24);
    row[8] = 17; /* as qp_streams_put() does; test_streams.c has it to the byte */
    row[16] = 1;
    put_row(&all, QP_TABLE_STREAMS, QP_LITERAL("order-42"), row, 24);
    expect_hex("rows", all.bytes, all.size);
    qp_buffer_release(&all);
}

/* ---- projections ---- */

Test(golden, projection_keys)
{
    const struct qp_bytes view_key = QP_LITERAL("k\0\xff");
    struct qp_buffer all = {0};
    struct qp_key key;

    qp_key_mark(&key, QP_MARK_PROJECTION, QP_LITERAL("orders"));
    put_key(&all, &key);
    qp_key_view(&key, QP_LITERAL("orders"), 0x01020304, view_key);
    put_key(&all, &key);
    qp_key_parked(&key, QP_LITERAL("orders"), 0x01020304, view_key, UINT64_C(0x0506070809));
    put_key(&all, &key);
    qp_key_blob(&key, UINT64_C(0x0102030405), 0x060708);
    put_key(&all, &key);
    expect_hex("projection-keys", all.bytes, all.size);
    qp_buffer_release(&all);
}

static void put_stored(struct qp_buffer *out, struct qp_txn *txn, enum qp_table table,
                       struct qp_bytes key)
{
    struct qp_bytes value;

    cr_assert_eq(qp_get(txn, table, key, &value, NULL), QUIPU_ROW);
    cr_assert(qp_buffer_put(out, value.data, value.size));
}

static void put_projection(struct qp_txn *txn)
{
    struct qp_projection_row row = {.mark = 900,
                                    .generation = 3,
                                    .version = 7,
                                    .flags = QP_PROJECTION_STOPPED | QP_PROJECTION_UNCLEAN,
                                    .next_generation = 6,
                                    .building = 5,
                                    .building_version = 8,
                                    .building_mark = 400,
                                    .token = 17,
                                    .owner_slot = 2,
                                    .owner_generation = 31,
                                    .owner_pid = 4711,
                                    .lease_until_ns = T0 + 10000000000,
                                    .applied = 880,
                                    .parked = 3,
                                    .building_parked = 1,
                                    .emitted = 901,
                                    .fault_position = 401,
                                    .fault_ns = T0 + 7,
                                    .fault_status = -5,
                                    .fault_key_size = 8,
                                    .fault_text_size = 15};
    uint8_t bytes[QP_PROJECTION_ROW_BYTES_MAX];

    memcpy(row.fault_key, "order-42", 8);
    memcpy(row.fault_text, "no such account", 15);
    cr_assert_eq(qp_projections_put(txn, QP_LITERAL("orders"), bytes,
                                    qp_projection_write(&row, bytes), T0 + 9, T0 + 8, NULL),
                 QUIPU_OK);
}

/* As the engine leaves them in its tables. */
Test(golden, projection_rows)
{
    const struct qp_format format = {.number = 1};
    const struct qp_parked parked = {.flags = QP_PARKED_FAILED,
                                     .attempts = 4,
                                     .first_ns = T0 + 1,
                                     .last_ns = T0 + 2,
                                     .status = -5,
                                     .part = 1,
                                     .reason = QP_LITERAL("no such account")};
    const struct qp_stream_row stream = {.owner = QP_LITERAL("orders")};
    struct qp_store *store = support_open_log("log.mdb", 16 * QP_MIB);
    struct qp_buffer all = {0};
    struct qp_txn txn = {0};
    uint8_t row[QP_ROW_BYTES_MAX];
    struct qp_key keys[5];
    char value[4100];

    memset(value, 'a', 4072);
    memset(value + 4072, 'b', 28);
    cr_assert_eq(qp_txn_begin_write(store, &txn, NULL), QUIPU_OK);
    cr_assert_eq(
        qp_put_row(&txn, QP_TABLE_META, QP_META_FORMAT, row, qp_format_write(&format, row), NULL),
        QUIPU_OK);
    put_projection(&txn);
    qp_key_view(&keys[0], QP_LITERAL("orders"), 3, QP_LITERAL("order-42"));
    qp_key_view(&keys[1], QP_LITERAL("orders"), 3, QP_LITERAL("order-43"));
    qp_key_blob(&keys[2], 7, 0);
    qp_key_blob(&keys[3], 7, 1);
    qp_key_parked(&keys[4], QP_LITERAL("orders"), 3, QP_LITERAL("order-42"), 300);
    for (int i = 0; i < 7; i++) /* the last has the number 7 */
        cr_assert_eq(qp_blobs_put(&txn, &qp_view_home, qp_key_bytes(&keys[1]), (struct qp_bytes){0},
                                  (struct qp_bytes){value, 4100}, NULL),
                     QUIPU_OK);
    cr_assert_eq(qp_blobs_put(&txn, &qp_view_home, qp_key_bytes(&keys[0]), (struct qp_bytes){0},
                              QP_LITERAL("paid"), NULL),
                 QUIPU_OK);
    cr_assert_eq(qp_put_row(&txn, QP_TABLE_PARKED, qp_key_bytes(&keys[4]), row,
                            qp_parked_write(&parked, row), NULL),
                 QUIPU_OK);
    cr_assert_eq(qp_streams_put(&txn, QP_LITERAL("alerts-1"), &stream, NULL), QUIPU_OK);
    put_stored(&all, &txn, QP_TABLE_META, QP_META_FORMAT);
    put_stored(&all, &txn, QP_TABLE_META, QP_META_BLOBS);
    put_stored(&all, &txn, QP_TABLE_MARKS, QP_LITERAL("\x03orders"));
    put_stored(&all, &txn, QP_TABLE_VIEWS, qp_key_bytes(&keys[0]));
    put_stored(&all, &txn, QP_TABLE_VIEWS, qp_key_bytes(&keys[1]));
    put_stored(&all, &txn, QP_TABLE_BLOBS, qp_key_bytes(&keys[2]));
    put_stored(&all, &txn, QP_TABLE_BLOBS, qp_key_bytes(&keys[3]));
    put_stored(&all, &txn, QP_TABLE_PARKED, qp_key_bytes(&keys[4]));
    put_stored(&all, &txn, QP_TABLE_STREAMS, QP_LITERAL("alerts-1"));
    expect_hex("projection-rows", all.bytes, all.size);
    cr_expect_eq(qp_table_rows(&txn, QP_TABLE_BLOBS), 2, "those before are gone");
    qp_buffer_release(&all);
    qp_txn_end(&txn);
    qp_store_close(store);
}

/* ---- snapshots ---- */

Test(golden, snapshot)
{
    const struct qp_snapshot snapshot = {.name = {.stream = QP_LITERAL("order-42"),
                                                  .fold = QP_LITERAL("orders"),
                                                  .fold_version = 0x01020304,
                                                  .version = UINT64_C(0x0506070809)},
                                         .position = 900,
                                         .chain = UINT64_C(0x1112131415161718),
                                         .time_max_ns = T0 - 1,
                                         .state = QP_LITERAL("state")};
    struct qp_store *store = support_open_index("index.mdb");
    struct qp_buffer all = {0};
    struct qp_txn txn = {0};
    struct qp_key key;

    cr_assert_eq(qp_txn_begin_write(store, &txn, NULL), QUIPU_OK);
    cr_assert_eq(qp_snapshot_put(&txn, &snapshot, NULL), QUIPU_OK);
    qp_key_snapshot(&key, &snapshot.name);
    put_key(&all, &key);
    put_stored(&all, &txn, QP_TABLE_SNAPSHOTS, qp_key_bytes(&key));
    expect_hex("snapshot", all.bytes, all.size);
    qp_buffer_release(&all);
    qp_txn_end(&txn);
    qp_store_close(store);
}

/* ---- a store of format 1 ---- */

#define STORE_1_CHAIN UINT64_C(0xb9a445c70b6bd3ca)

static void unpack_store(const char *name, char directory[SUPPORT_PATH_BYTES])
{
    char golden[SUPPORT_PATH_BYTES];
    char command[3 * SUPPORT_PATH_BYTES];

    cr_assert_eq(mkdir(support_path(directory, "store"), 0700), 0);
    (void)snprintf(command, sizeof(command), "base64 -d '%s' | gzip -d -c >'%s/log.mdb'",
                   support_tests_path(golden, name), directory);
    cr_assert_eq(system(command), 0, "%s", command);
}

static void check_event(const quipu_event *event, const struct golden_event *wanted)
{
    const quipu_draft *draft = &wanted->draft;
    bool has_time = (draft->flags & QUIPU_EVENT_HAS_TIME) != 0;
    const char *tag = event->tags;

    cr_expect_str_eq(event->stream, wanted->stream);
    cr_expect_str_eq(event->type, wanted->type);
    cr_expect_eq(event->recorded_ns, draft->recorded_ns);
    cr_expect_eq(event->time_ns, has_time ? draft->time_ns : draft->recorded_ns);
    cr_expect_eq(event->schema, draft->schema);
    cr_expect_eq(event->flags, draft->flags & (QUIPU_EVENT_HAS_ID | QUIPU_EVENT_HAS_TIME));
    cr_assert(event->data_size == draft->data_size && event->meta_size == draft->meta_size);
    cr_expect_eq(memcmp(event->data, draft->data, draft->data_size), 0);
    cr_expect_eq(event->data_format, draft->data_format);
    cr_expect_eq(event->meta_format, draft->meta_format);
    cr_expect(draft->meta_size == 0 || memcmp(event->meta, draft->meta, draft->meta_size) == 0);
    if ((draft->flags & QUIPU_EVENT_HAS_ID) != 0)
        cr_expect_eq(memcmp(event->id, draft->id, 16), 0);
    cr_assert_eq(event->tag_count, draft->tag_count);
    for (uint32_t i = 0; i < draft->tag_count; i++) {
        cr_expect_str_eq(tag, draft->tags[i]);
        tag += strlen(tag) + 1;
    }
}

static void check_all(quipu *store)
{
    static struct golden_event wanted;
    quipu_reader *reader = NULL;
    quipu_event event;
    quipu_error error = {0};
    unsigned number = 0;
    int rc = quipu_read(store, NULL, NULL, &reader, &error);

    cr_assert_eq(rc, QUIPU_OK, "%s", error.text);
    for (rc = quipu_next(reader, &event, &error); rc == QUIPU_ROW;
         rc = quipu_next(reader, &event, &error)) {
        cr_assert_eq(event.position, number + 1);
        golden_event(number++, &wanted);
        check_event(&event, &wanted);
    }
    cr_expect_eq(rc, QUIPU_OK, "%s", error.text);
    cr_expect_eq(number, GOLDEN_EVENTS);
    quipu_reader_close(reader);
}

static void check_streams(quipu *store)
{
    static struct golden_event wanted;
    unsigned total = 0;

    for (unsigned i = 0; i < GOLDEN_EVENTS; i++) {
        quipu_reader *reader = NULL;
        quipu_event event;
        unsigned versions = 0;

        golden_event(i, &wanted);
        for (unsigned j = 0; j < i; j++) { /* only the first event of each stream */
            static struct golden_event earlier;

            golden_event(j, &earlier);
            if (strcmp(earlier.stream, wanted.stream) == 0)
                versions = 1;
        }
        if (versions > 0)
            continue;
        cr_assert_eq(quipu_read_stream(store, wanted.stream, NULL, &reader, NULL), QUIPU_OK);
        while (quipu_next(reader, &event, NULL) == QUIPU_ROW) {
            cr_expect_eq(event.version, ++versions);
            cr_expect_str_eq(event.stream, wanted.stream);
        }
        quipu_reader_close(reader);
        total += versions;
    }
    cr_expect_eq(total, GOLDEN_EVENTS);
}

static int print_finding(void *payload, const quipu_finding *finding)
{
    (void)payload;
    (void)fprintf(stderr, "%s %s: %s\n", finding->file, finding->table, finding->text);
    return 0;
}

static void check_store(quipu *store)
{
    quipu_stat stat = {.struct_size = sizeof(stat)};

    cr_assert_eq(quipu_stat_get(store, &stat, NULL), QUIPU_OK);
    cr_expect_eq(stat.events, GOLDEN_EVENTS);
    cr_expect_eq(stat.streams, GOLDEN_STREAMS);
    cr_expect_eq(stat.chain, STORE_1_CHAIN, "%llx", (unsigned long long)stat.chain);
    check_all(store);
    check_streams(store);
}

Test(golden, store_1, .timeout = 60)
{
    char directory[SUPPORT_PATH_BYTES];
    quipu_options read_only = {.struct_size = sizeof(read_only), .flags = QUIPU_OPEN_READ_ONLY};
    quipu_verified verified = {.struct_size = sizeof(verified)};
    quipu_error error = {0};
    quipu *store = NULL;
    uint64_t head = 0;
    quipu_draft draft = {.type = "New"};

    unpack_store("golden/store-1.b64", directory);
    cr_assert_eq(quipu_open(directory, &read_only, &store, &error), QUIPU_OK, "%s", error.text);
    check_store(store);
    quipu_close(store);
    cr_assert_eq(quipu_open(directory, NULL, &store, &error), QUIPU_OK, "%s", error.text);
    check_store(store);
    quipu_close(store);
    cr_expect_eq(quipu_verify(directory, 0, print_finding, NULL, NULL, &verified, &error), QUIPU_OK,
                 "%s", error.text);
    cr_expect_eq(verified.checked, GOLDEN_EVENTS);
    cr_expect_eq(verified.findings, 0);
    cr_expect_eq(verified.chain, STORE_1_CHAIN);
    cr_assert_eq(quipu_open(directory, NULL, &store, &error), QUIPU_OK, "%s", error.text);
    cr_expect_eq(quipu_append(store, "order-0", QUIPU_EXISTS, &draft, 1, NULL, &error), QUIPU_OK,
                 "it can be gone on with: %s", error.text);
    cr_expect_eq(quipu_head(store, &head, &error), QUIPU_OK);
    cr_expect_eq(head, GOLDEN_EVENTS + 1);
    quipu_close(store);
}
