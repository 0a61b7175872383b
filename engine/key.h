/* key.h - the keys of every table, written by hand: big-endian numbers, so that keys sort as their
 * parts do. The law is docs/FORMAT.md. */
#ifndef QP_KEY_H
#define QP_KEY_H

#include "base.h"

/* Tables. The numbers are part of the format: they seed the sums of the rows. */
enum qp_table {
    QP_TABLE_LOG = 0,
    QP_TABLE_CHUNKS,
    QP_TABLE_STREAMS,
    QP_TABLE_HOLES,
    QP_TABLE_EDITS,
    QP_TABLE_VIEWS,
    QP_TABLE_GROUPS,
    QP_TABLE_PARKED,
    QP_TABLE_MARKS,
    QP_TABLE_BLOBS,
    QP_TABLE_META,
    QP_TABLE_TERMS = 16,
    QP_TABLE_BLOCKS,
    QP_TABLE_SNAPSHOTS,
    QP_TABLE_INDEX_BLOBS,
    QP_TABLE_INDEX_META,
    QP_TABLES
};

/* Its name in the file; "?" for no table. */
const char *qp_table_name(enum qp_table table);

/* What an error's text says of a row behind "table NAME, " or "table NAME: "; another text is left
 * as it is. */
const char *qp_table_text(enum qp_table table, const char *text);

/* What events are found by. The numbers are part of the format. */
enum qp_term_kind {
    QP_TERM_STREAM = 1,
    QP_TERM_CATEGORY = 2,
    QP_TERM_TYPE = 3,
    QP_TERM_TAG = 4,
    QP_TERM_ID = 5,       /* within a stream: id16, then the sum of the stream's name, 8 bytes */
    QP_TERM_DAMAGED = 255 /* positions whose record could not be read when the index was made */
};

#define QP_ID_NAME_BYTES 24

/* What has a row in `marks`. The numbers are part of the format. */
enum qp_mark_kind {
    QP_MARK_POSITION = 1,  /* a position that a program keeps */
    QP_MARK_SOURCE = 2,    /* how far something from outside was taken in */
    QP_MARK_PROJECTION = 3 /* what is known of a projection (projections.h) */
};

/* The bits that stand in the index's meta row for the kinds above: another set, another index. */
#define QP_TERM_KINDS_BITS                                                                         \
    (UINT64_C(1) << QP_TERM_STREAM | UINT64_C(1) << QP_TERM_CATEGORY |                             \
     UINT64_C(1) << QP_TERM_TYPE | UINT64_C(1) << QP_TERM_TAG | UINT64_C(1) << QP_TERM_ID)

struct qp_key {
    uint16_t size;
    uint8_t bytes[QP_KEY_BYTES_MAX];
};

struct qp_bytes qp_key_bytes(const struct qp_key *key);

/* A key for a message: its letters as they are, all else in hex. Cut off where `out` ends. */
void qp_key_text(struct qp_bytes key, char *out, size_t capacity);

/* kind8 name: a row of `terms`. The name has at most QP_NAME_MAX bytes. */
void qp_key_term(struct qp_key *key, enum qp_term_kind kind, struct qp_bytes name);

/* The name of an id's term. `stream_sum` is qp_sum() of the stream's name: two streams may share
 * one, so that a hit must be confirmed by the record. */
void qp_key_id_name(uint8_t name[QP_ID_NAME_BYTES], const uint8_t id[16], uint64_t stream_sum);

/* kind8 name: a row of `marks`. The name has at most QP_OWNER_NAME_MAX bytes. */
void qp_key_mark(struct qp_key *key, enum qp_mark_kind kind, struct qp_bytes name);

/* name 0 generation32 key: a row of `views`. The key has 1 to QP_VIEW_KEY_MAX bytes; none: what all
 * keys of that generation begin with. */
void qp_key_view(struct qp_key *key, struct qp_bytes name, uint32_t generation,
                 struct qp_bytes view_key);

/* name 0 generation32 len16 key position64: a row of `parked`. Without a position, what all rows of
 * that key begin with. */
void qp_key_parked(struct qp_key *key, struct qp_bytes name, uint32_t generation,
                   struct qp_bytes view_key, uint64_t position);
void qp_key_parked_of(struct qp_key *key, struct qp_bytes name, uint32_t generation,
                      struct qp_bytes view_key);

/* What a key of either table says, as views into it. `rest`: what stands behind the generation. */
struct qp_owned_key {
    struct qp_bytes name;
    uint32_t generation;
    struct qp_bytes rest;
};

/* false: no such key can be. */
bool qp_key_owned_read(struct qp_bytes key, struct qp_owned_key *out);
bool qp_key_parked_rest(struct qp_bytes rest, struct qp_bytes *view_key, uint64_t *position);

/* number64 number64: a row of `blocks`. */
void qp_key_block(struct qp_key *key, uint64_t term, uint64_t first);
bool qp_key_block_read(struct qp_bytes key, uint64_t *term, uint64_t *first);

/* number64 n32: a row of either table `blobs`. */
void qp_key_blob(struct qp_key *key, uint64_t number, uint32_t n);
bool qp_key_blob_read(struct qp_bytes key, uint64_t *number, uint32_t *n);

/* position64 n32: a row of `chunks`. */
void qp_key_chunk(struct qp_key *key, uint64_t position, uint32_t number);
bool qp_key_chunk_read(struct qp_bytes key, uint64_t *position, uint32_t *number);

/* stream 0 fold 0 version32 version64: a row of `snapshots`. */
struct qp_snapshot_name {
    struct qp_bytes stream; /* 1 to QP_NAME_MAX bytes */
    struct qp_bytes fold;   /* 1 to QP_OWNER_NAME_MAX bytes */
    uint32_t fold_version;
    uint64_t version; /* of the stream */
};
void qp_key_snapshot(struct qp_key *key, const struct qp_snapshot_name *name);
bool qp_key_snapshot_read(struct qp_bytes key, struct qp_snapshot_name *name);

/* What the keys of all snapshots of one stream and fold begin with. */
void qp_key_snapshots(struct qp_key *key, struct qp_bytes stream, struct qp_bytes fold);

/* position as `log` has it, which LMDB compares as a number. `*position` must outlive the bytes. */
struct qp_bytes qp_key_position(const uint64_t *position);
bool qp_key_position_read(struct qp_bytes key, uint64_t *position);

/* ---- rows: every value but a record begins with its sum ---- */

#define QP_ROW_SUM_BYTES 8

/* Write the sum of value[8 ... size), seeded with table and key, into its first 8 bytes. */
void qp_row_seal(enum qp_table table, struct qp_bytes key, uint8_t *value, size_t size);
bool qp_row_whole(enum qp_table table, struct qp_bytes key, struct qp_bytes value);

/* Little-endian numbers in rows. */
static inline uint64_t qp_get_u64(const uint8_t *at)
{
    uint64_t number;

    __builtin_memcpy(&number, at, sizeof(number));
    return number;
}

static inline uint32_t qp_get_u32(const uint8_t *at)
{
    uint32_t number;

    __builtin_memcpy(&number, at, sizeof(number));
    return number;
}

static inline uint16_t qp_get_u16(const uint8_t *at)
{
    uint16_t number;

    __builtin_memcpy(&number, at, sizeof(number));
    return number;
}

static inline void qp_set_u64(uint8_t *at, uint64_t number)
{
    __builtin_memcpy(at, &number, sizeof(number));
}

static inline void qp_set_u32(uint8_t *at, uint32_t number)
{
    __builtin_memcpy(at, &number, sizeof(number));
}

static inline void qp_set_u16(uint8_t *at, uint16_t number)
{
    __builtin_memcpy(at, &number, sizeof(number));
}

#endif
