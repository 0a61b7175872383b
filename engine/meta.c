/* meta.c - each row begins with its sum (8 bytes); offsets below count from the row's begin.
 *
 * Refuses to judge: whether a number or a bit is known, and whether an index fits its log, is
 * decided by open.c and index.c. A row of another size is none - but for the log's `format`, which
 * may grow at its end (docs/FORMAT.md 7). The index's rows may not: another format is another
 * index. */
#include "meta.h"

#include "key.h"

#include <assert.h>
#include <string.h>

enum {
    FORMAT_BYTES = 32,       /* 8 number u32, 12 zero u32, 16 read bits u64, 24 write bits u64 */
    UUID_BYTES = 24,         /* 8 uuid */
    CREATED_BYTES = 16,      /* 8 time i64 */
    INDEX_FORMAT_BYTES = 40, /* 8 number u32, 12 zero u32, 16 term kinds u64, 24 uuid */
    INDEXED_BYTES = 64 /* 8 position, chain, edits, edits' chain, next term, streams, damaged */
};

static_assert((int)INDEXED_BYTES <= QP_META_ROW_BYTES_MAX, "the largest row fits its buffers");

size_t qp_format_write(const struct qp_format *format, uint8_t *out)
{
    assert(format->number > 0);
    qp_set_u32(out + 8, format->number);
    qp_set_u32(out + 12, 0);
    qp_set_u64(out + 16, format->read_bits);
    qp_set_u64(out + 24, format->write_bits);
    return FORMAT_BYTES;
}

/* A later format may add to the row: its number must stay readable. */
bool qp_format_read(struct qp_bytes value, struct qp_format *format)
{
    const uint8_t *at = value.data;

    if (value.size < FORMAT_BYTES)
        return false;
    format->number = qp_get_u32(at + 8);
    format->read_bits = qp_get_u64(at + 16);
    format->write_bits = qp_get_u64(at + 24);
    return true;
}

size_t qp_uuid_write(const uint8_t uuid[16], uint8_t *out)
{
    memcpy(out + 8, uuid, 16);
    return UUID_BYTES;
}

bool qp_uuid_read(struct qp_bytes value, uint8_t uuid[16])
{
    if (value.size != UUID_BYTES)
        return false;
    memcpy(uuid, (const uint8_t *)value.data + 8, 16);
    return true;
}

size_t qp_created_write(int64_t created_ns, uint8_t *out)
{
    qp_set_u64(out + 8, (uint64_t)created_ns);
    return CREATED_BYTES;
}

size_t qp_index_format_write(const struct qp_index_format *format, uint8_t *out)
{
    qp_set_u32(out + 8, format->number);
    qp_set_u32(out + 12, 0);
    qp_set_u64(out + 16, format->term_kinds);
    memcpy(out + 24, format->uuid, 16);
    return INDEX_FORMAT_BYTES;
}

bool qp_index_format_read(struct qp_bytes value, struct qp_index_format *format)
{
    const uint8_t *at = value.data;

    if (value.size != INDEX_FORMAT_BYTES)
        return false;
    format->number = qp_get_u32(at + 8);
    format->term_kinds = qp_get_u64(at + 16);
    memcpy(format->uuid, at + 24, 16);
    return true;
}

size_t qp_indexed_write(const struct qp_indexed *indexed, uint8_t *out)
{
    qp_set_u64(out + 8, indexed->position);
    qp_set_u64(out + 16, indexed->chain);
    qp_set_u64(out + 24, indexed->edits);
    qp_set_u64(out + 32, indexed->edits_chain);
    qp_set_u64(out + 40, indexed->next_term);
    qp_set_u64(out + 48, indexed->streams);
    qp_set_u64(out + 56, indexed->damaged);
    return INDEXED_BYTES;
}

/* The position is held against the limit here, because others compute with it. */
bool qp_indexed_read(struct qp_bytes value, struct qp_indexed *indexed)
{
    const uint8_t *at = value.data;

    if (value.size != INDEXED_BYTES)
        return false;
    indexed->position = qp_get_u64(at + 8);
    indexed->chain = qp_get_u64(at + 16);
    indexed->edits = qp_get_u64(at + 24);
    indexed->edits_chain = qp_get_u64(at + 32);
    indexed->next_term = qp_get_u64(at + 40);
    indexed->streams = qp_get_u64(at + 48);
    indexed->damaged = qp_get_u64(at + 56);
    return indexed->position <= QP_POSITION_MAX;
}
