/* record.h - an event as bytes: pure functions, tested to the byte. The law is docs/FORMAT.md 3.
 *
 *     0  check u64      sum of the stored row after it, seeded with the position
 *     8  chain u64      of the whole history up to this event
 *    16  flags u32      enum qp_record_flags; an unknown one is a newer format
 *    20  header u16     size of this header, 64
 *    22  reserved u16   0
 *    24  version u64    ---- from here on to the payload: what `head` sums
 *    32  time i64
 *    40  recorded i64
 *    48  schema u16
 *    50  data format u8
 *    51  meta format u8
 *    52  data size u32
 *    56  meta size u32
 *    60  tags size u16  all tags with their 0 bytes
 *    62  stream size u8 without the 0
 *    63  type size u8   without the 0
 *    64  stream 0 type 0 tag 0 tag 0 ...   id (16, if given)   meta   data
 *
 * A record over QP_ROW_BYTES_MAX is cut: its first part is the row of `log`, the rest stands in
 * `chunks`. Header, stream and type are always in the first part. */
#ifndef QP_RECORD_H
#define QP_RECORD_H

#include "base.h"

enum qp_record_flags {
    QP_RECORD_ID = 1,     /* the caller gave an id: 16 bytes after the tags */
    QP_RECORD_TIME = 2,   /* the caller gave the time */
    QP_RECORD_CHUNKED = 4 /* more of it is in `chunks` */
    /* 8 redacted, 16 salted, 32 encrypted: reserved for later releases */
};

#define QP_RECORD_HEADER_BYTES 64
#define QP_RECORD_HEAD_OFFSET  24 /* where what `head` sums begins */
#define QP_RECORD_CHUNK_BYTES  (QP_ROW_BYTES_MAX - 8)

/* A record as read: views into its bytes. `time`, `recorded` and `version` of a record that was
 * built and not stamped are what the draft said. */
struct qp_record {
    uint64_t chain;
    uint64_t version;
    int64_t time_ns;
    int64_t recorded_ns;
    uint32_t flags;
    uint16_t schema;
    uint8_t data_format;
    uint8_t meta_format;
    struct qp_bytes stream; /* without its 0; data[size] is 0 */
    struct qp_bytes type;
    struct qp_bytes tags;    /* all of them, with their 0 bytes */
    const uint8_t *id;       /* NULL if none was given */
    struct qp_bytes payload; /* meta, then data */
    uint32_t meta_size;
    size_t size; /* of the whole record */
};

/* Bytes that the record of a draft takes. Sizes and counts were checked. */
size_t qp_record_bytes(const quipu_draft *draft, size_t stream_size);

/* Build a record from a checked draft: everything but check, chain, version and the store's times.
 * `out` has qp_record_bytes() bytes. Returns the sum `content`. */
uint64_t qp_record_build(const quipu_draft *draft, struct qp_bytes stream, uint8_t *out);

struct qp_stamp {
    uint64_t position;
    uint64_t version;
    uint64_t chain_before;
    uint64_t content;
    int64_t recorded_ns;
};

/* Finish a built record, as often as it takes: version, times, chain, check. Returns its chain. */
uint64_t qp_record_stamp(uint8_t *record, size_t size, const struct qp_stamp *stamp);

enum qp_record_state {
    QP_RECORD_WHOLE = 0,
    QP_RECORD_DAMAGED,
    QP_RECORD_NEWER /* a flag or a header of a later format */
};

/* Read a row of `log`. With `check` its sum is verified. Of a chunked record the payload must not
 * be looked at, tags and id only if qp_record_has_names() says so; `out->size` says how long it is,
 * so that it can be assembled. */
enum qp_record_state qp_record_read(struct qp_bytes row, uint64_t position, bool check,
                                    struct qp_record *out);

/* Are all tags and the id in the row, whatever of the payload is? */
bool qp_record_has_names(struct qp_bytes row, const struct qp_record *record);

/* The record's first tag, then the one after `tag`, without its 0. false: no more. */
bool qp_record_next_tag(const struct qp_record *record, struct qp_bytes *tag);

/* The sum that a row says and the one that it has: for who explains what is wrong. */
void qp_record_sums(struct qp_bytes row, uint64_t position, uint64_t *stored, uint64_t *computed);

/* Read the assembled bytes of a chunked record. */
enum qp_record_state qp_record_read_assembled(struct qp_bytes bytes, struct qp_record *out);

/* What the chain is made of. */
uint64_t qp_record_content(const struct qp_record *record);
uint64_t qp_record_head(struct qp_bytes bytes, const struct qp_record *record, uint64_t position);

/* The next chunk of a record, n from 0: which of its bytes. Size 0 after the last. */
struct qp_bytes qp_record_chunk(const uint8_t *record, size_t size, uint32_t number);

#endif
