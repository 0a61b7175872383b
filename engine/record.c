/* record.c - offsets stand here once; everybody else sees struct qp_record. The picture of the
 * bytes is in record.h; what is valid, and in which order it is looked at, in docs/FORMAT.md 3.4.
 *
 * Refuses to know where records are kept. A record has a life of three steps:
 *
 *     build    in the thread that adds it to a batch: everything that the draft says; `content`
 *     stamp    by the leader, under the store lock: position, version, times, chain, check
 *     read     by anybody, from bytes that may be damaged: nothing is believed before it is checked
 *
 * Invariant: stamping reads nothing that stamping writes, so it may be done again for another
 * position: when the map was too small, a group is. */
#include "record.h"

#include "key.h"
#include "sum.h"

#include <assert.h>
#include <string.h>

enum {
    AT_CHECK = 0,
    AT_CHAIN = 8,
    AT_FLAGS = 16,
    AT_HEADER = 20,
    AT_RESERVED = 22,
    AT_VERSION = 24,
    AT_TIME = 32,
    AT_RECORDED = 40,
    AT_SCHEMA = 48,
    AT_DATA_FORMAT = 50,
    AT_META_FORMAT = 51,
    AT_DATA_SIZE = 52,
    AT_META_SIZE = 56,
    AT_TAGS_SIZE = 60,
    AT_STREAM_SIZE = 62,
    AT_TYPE_SIZE = 63,
    ID_BYTES = 16,
    KNOWN_FLAGS = QP_RECORD_ID | QP_RECORD_TIME | QP_RECORD_CHUNKED
};

static size_t tags_bytes(const quipu_draft *draft)
{
    size_t size = 0;

    for (uint32_t i = 0; i < draft->tag_count; i++)
        size += strlen(draft->tags[i]) + 1;
    return size;
}

/* Of the same fields in the same order as qp_record_build() writes them, which asserts it. */
size_t qp_record_bytes(const quipu_draft *draft, size_t stream_size)
{
    size_t id = (draft->flags & QUIPU_EVENT_HAS_ID) != 0 ? ID_BYTES : 0;

    return QP_RECORD_HEADER_BYTES + stream_size + 1 + strlen(draft->type) + 1 + tags_bytes(draft) +
           id + draft->meta_size + draft->data_size;
}

/* Returns where the next field goes. A NULL of size 0 is no field: memcpy() must not see it. */
static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(at, bytes, size);
    return at + size;
}

uint64_t qp_record_build(const quipu_draft *draft, struct qp_bytes stream, uint8_t *out)
{
    size_t type_size = strlen(draft->type);
    size_t size = qp_record_bytes(draft, stream.size);
    uint32_t flags = 0;
    uint8_t *at = out + QP_RECORD_HEADER_BYTES;

    /* batch.c has checked the draft: here its sizes are known to fit their fields. */
    assert(stream.size <= QP_NAME_MAX && type_size <= QP_NAME_MAX);
    assert(draft->tag_count <= QP_TAGS_MAX && size <= QP_RECORD_BYTES_MAX);
    if ((draft->flags & QUIPU_EVENT_HAS_ID) != 0)
        flags |= QP_RECORD_ID;
    if ((draft->flags & QUIPU_EVENT_HAS_TIME) != 0)
        flags |= QP_RECORD_TIME;
    if (size > QP_ROW_BYTES_MAX)
        flags |= QP_RECORD_CHUNKED;

    /* Check, chain and version are 0 until the stamp, reserved fields for ever. */
    memset(out, 0, QP_RECORD_HEADER_BYTES);
    qp_set_u32(out + AT_FLAGS, flags);
    qp_set_u16(out + AT_HEADER, QP_RECORD_HEADER_BYTES);
    qp_set_u64(out + AT_TIME, (uint64_t)draft->time_ns);
    qp_set_u64(out + AT_RECORDED, (uint64_t)draft->recorded_ns);
    qp_set_u16(out + AT_SCHEMA, draft->schema);
    out[AT_DATA_FORMAT] = draft->data_size > 0 ? draft->data_format : 0;
    out[AT_META_FORMAT] = draft->meta_size > 0 ? draft->meta_format : 0;
    qp_set_u32(out + AT_DATA_SIZE, draft->data_size);
    qp_set_u32(out + AT_META_SIZE, draft->meta_size);
    qp_set_u16(out + AT_TAGS_SIZE, (uint16_t)tags_bytes(draft));
    out[AT_STREAM_SIZE] = (uint8_t)stream.size;
    out[AT_TYPE_SIZE] = (uint8_t)type_size;

    at = put(at, stream.data, stream.size);
    *at++ = 0;
    at = put(at, draft->type, type_size + 1);
    for (uint32_t i = 0; i < draft->tag_count; i++)
        at = put(at, draft->tags[i], strlen(draft->tags[i]) + 1);
    if ((flags & QP_RECORD_ID) != 0)
        at = put(at, draft->id, ID_BYTES);
    at = put(at, draft->meta, draft->meta_size);
    at = put(at, draft->data, draft->data_size);
    assert(at == out + size);
    return qp_sum(at - draft->meta_size - draft->data_size,
                  (size_t)draft->meta_size + draft->data_size, 0);
}

/* `head`: the fixed part from the version on and the names, seeded with the position. The flags
 * are not in it: those that may change later must not break the chain. */
static uint64_t head_sum(const uint8_t *bytes, const uint8_t *payload, uint64_t position)
{
    assert(payload >= bytes + QP_RECORD_HEADER_BYTES);
    return qp_sum(bytes + QP_RECORD_HEAD_OFFSET, (size_t)(payload - bytes) - QP_RECORD_HEAD_OFFSET,
                  position);
}

uint64_t qp_record_stamp(uint8_t *record, size_t size, const struct qp_stamp *stamp)
{
    uint32_t flags = qp_get_u32(record + AT_FLAGS);
    size_t row_size = size < QP_ROW_BYTES_MAX ? size : QP_ROW_BYTES_MAX;
    size_t payload = (size_t)qp_get_u32(record + AT_DATA_SIZE) + qp_get_u32(record + AT_META_SIZE);
    uint64_t chain;

    assert(stamp->position > 0 && stamp->position <= QP_POSITION_MAX && stamp->version > 0);
    assert(size >= QP_RECORD_HEADER_BYTES + payload);
    qp_set_u64(record + AT_VERSION, stamp->version);
    qp_set_u64(record + AT_RECORDED, (uint64_t)stamp->recorded_ns);
    if ((flags & QP_RECORD_TIME) == 0)
        qp_set_u64(record + AT_TIME, (uint64_t)stamp->recorded_ns);
    /* From the inside out: `head` is over version and times, the chain over `head`, and `check`
     * over all of the row, the chain too. */
    chain =
        qp_sum_chain(QP_MUTANT(CHAIN_CUT) ? 0 : stamp->chain_before,
                     head_sum(record, record + size - payload, stamp->position), stamp->content);
    qp_set_u64(record + AT_CHAIN, chain);
    qp_set_u64(record + AT_CHECK, qp_sum(record + AT_CHAIN, row_size - AT_CHAIN, stamp->position));
    return chain;
}

/* The names must be where the sizes say, each with its 0: views rely on it. */
static bool names_end(const struct qp_record *record)
{
    const char *stream = record->stream.data;
    const char *type = record->type.data;

    return record->stream.size > 0 && record->type.size > 0 &&
           stream[record->stream.size] == '\0' && type[record->type.size] == '\0';
}

/* Of what has all of them only: the tags of a chunked record may go on in its chunks. Each is a
 * term of the index: its size must be one that a key can have. */
static bool tags_whole(const struct qp_record *record)
{
    const char *at = record->tags.data;
    const char *end = at + record->tags.size;

    for (size_t count = 0; at < end; count++) {
        const char *stop = memchr(at, '\0', (size_t)(end - at));

        if (stop == NULL || stop == at || stop - at > QP_NAME_MAX || count == QP_TAGS_MAX)
            return false;
        at = stop + 1;
    }
    return true;
}

/* They were found whole when the record was read. */
bool qp_record_next_tag(const struct qp_record *record, struct qp_bytes *tag)
{
    const char *end = (const char *)record->tags.data + record->tags.size;
    const char *at = record->tags.data;

    if (tag->data != NULL)
        at = (const char *)tag->data + tag->size + 1;
    if (at == end)
        return false;
    assert(at < end);
    *tag = (struct qp_bytes){at, strlen(at)};
    return true;
}

bool qp_record_has_names(struct qp_bytes row, const struct qp_record *record)
{
    return record->size - record->payload.size <= row.size;
}

/* Split the bytes up as their sizes say. Stream and type are inside of the bytes, the caller has
 * seen to it; tags, id and payload may lie beyond their end, and are not touched here. The sizes
 * are of 8, 16 and 32 bits: their sum cannot wrap. */
static void read_header(const uint8_t *bytes, struct qp_record *out)
{
    const uint8_t *at = bytes + QP_RECORD_HEADER_BYTES;
    size_t tags_size = qp_get_u16(bytes + AT_TAGS_SIZE);

    out->chain = qp_get_u64(bytes + AT_CHAIN);
    out->version = qp_get_u64(bytes + AT_VERSION);
    out->time_ns = (int64_t)qp_get_u64(bytes + AT_TIME);
    out->recorded_ns = (int64_t)qp_get_u64(bytes + AT_RECORDED);
    out->flags = qp_get_u32(bytes + AT_FLAGS);
    out->schema = qp_get_u16(bytes + AT_SCHEMA);
    out->data_format = bytes[AT_DATA_FORMAT];
    out->meta_format = bytes[AT_META_FORMAT];
    out->meta_size = qp_get_u32(bytes + AT_META_SIZE);

    out->stream = (struct qp_bytes){at, bytes[AT_STREAM_SIZE]};
    at += out->stream.size + 1;
    out->type = (struct qp_bytes){at, bytes[AT_TYPE_SIZE]};
    at += out->type.size + 1;
    out->tags = (struct qp_bytes){at, tags_size};
    at += tags_size;
    out->id = (out->flags & QP_RECORD_ID) != 0 ? at : NULL;
    at += out->id != NULL ? ID_BYTES : 0;
    out->payload = (struct qp_bytes){at, (size_t)out->meta_size + qp_get_u32(bytes + AT_DATA_SIZE)};
    out->size = (size_t)(at - bytes) + out->payload.size;
}

/* Rules 3 to 5 of docs/FORMAT.md 3.4. What a newer library wrote must be told from damage, so flags
 * and header come before all sizes; the check has been looked at before, where it was asked for. */
static enum qp_record_state read_bytes(struct qp_bytes bytes, struct qp_record *out)
{
    const uint8_t *at = bytes.data;
    size_t names;

    if (bytes.size < QP_RECORD_HEADER_BYTES)
        return QP_RECORD_DAMAGED;
    if ((qp_get_u32(at + AT_FLAGS) & ~(uint32_t)KNOWN_FLAGS) != 0 ||
        qp_get_u16(at + AT_HEADER) > QP_RECORD_HEADER_BYTES || qp_get_u16(at + AT_RESERVED) != 0)
        return QP_RECORD_NEWER;
    if (qp_get_u16(at + AT_HEADER) != QP_RECORD_HEADER_BYTES)
        return QP_RECORD_DAMAGED;
    names = (size_t)at[AT_STREAM_SIZE] + 1 + at[AT_TYPE_SIZE] + 1;
    if (bytes.size < QP_RECORD_HEADER_BYTES + names)
        return QP_RECORD_DAMAGED;
    read_header(at, out);
    return names_end(out) ? QP_RECORD_WHOLE : QP_RECORD_DAMAGED;
}

void qp_record_sums(struct qp_bytes row, uint64_t position, uint64_t *stored, uint64_t *computed)
{
    const uint8_t *at = row.data;

    assert(row.size >= AT_CHAIN);
    *stored = qp_get_u64(at + AT_CHECK);
    *computed = qp_sum(at + AT_CHAIN, row.size - AT_CHAIN, position);
}

/* Without `check` the shape is looked at all the same: views of a row that was changed on disk must
 * stay inside of it. */
enum qp_record_state qp_record_read(struct qp_bytes row, uint64_t position, bool check,
                                    struct qp_record *out)
{
    enum qp_record_state state;
    bool chunked;

    if (row.size < QP_RECORD_HEADER_BYTES || row.size > QP_ROW_BYTES_MAX)
        return QP_RECORD_DAMAGED;
    if (check && !QP_MUTANT(RECORD_UNCHECKED)) {
        uint64_t stored;
        uint64_t computed;

        qp_record_sums(row, position, &stored, &computed);
        if (stored != computed)
            return QP_RECORD_DAMAGED;
    }
    state = read_bytes(row, out);
    if (state != QP_RECORD_WHOLE)
        return state;
    assert(out->size >= QP_RECORD_HEADER_BYTES);
    chunked = (out->flags & QP_RECORD_CHUNKED) != 0;
    if (chunked != (out->size > QP_ROW_BYTES_MAX))
        return QP_RECORD_DAMAGED;
    if (row.size != (chunked ? QP_ROW_BYTES_MAX : out->size))
        return QP_RECORD_DAMAGED;
    return !qp_record_has_names(row, out) || tags_whole(out) ? QP_RECORD_WHOLE : QP_RECORD_DAMAGED;
}

/* No check here: it covers the row alone, and that was read before the chunks could be. */
enum qp_record_state qp_record_read_assembled(struct qp_bytes bytes, struct qp_record *out)
{
    enum qp_record_state state = read_bytes(bytes, out);

    if (state != QP_RECORD_WHOLE)
        return state;
    return out->size == bytes.size && tags_whole(out) ? QP_RECORD_WHOLE : QP_RECORD_DAMAGED;
}

uint64_t qp_record_content(const struct qp_record *record)
{
    return qp_sum(record->payload.data, record->payload.size, 0);
}

uint64_t qp_record_head(struct qp_bytes bytes, const struct qp_record *record, uint64_t position)
{
    return head_sum(bytes.data, record->payload.data, position);
}

struct qp_bytes qp_record_chunk(const uint8_t *record, size_t size, uint32_t number)
{
    size_t begin = QP_ROW_BYTES_MAX + (size_t)number * QP_RECORD_CHUNK_BYTES;
    size_t left = begin < size ? size - begin : 0;

    assert(record != NULL && size <= QP_RECORD_BYTES_MAX);
    return (struct qp_bytes){record + (left > 0 ? begin : 0),
                             left < QP_RECORD_CHUNK_BYTES ? left : QP_RECORD_CHUNK_BYTES};
}
