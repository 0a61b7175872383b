/* meta.h - the rows that say what a file is: pure functions. docs/FORMAT.md 4. */
#ifndef QP_META_H
#define QP_META_H

#include "base.h"

#define QP_FORMAT_LOG   1 /* of log.mdb */
#define QP_FORMAT_INDEX 1 /* of index.mdb; another one is not read but made again */

/* Names of rows. */
#define QP_META_FORMAT  QP_LITERAL("format")
#define QP_META_UUID    QP_LITERAL("uuid")
#define QP_META_CREATED QP_LITERAL("created")
#define QP_META_INDEXED QP_LITERAL("indexed")
#define QP_META_BLOBS   QP_LITERAL("blobs") /* in both files: blobs.c has its row */

/* Bits of the row `format` of log.mdb. */
#define QP_WRITES_PROJECTIONS UINT64_C(1) /* rows of views, parked, blobs; owners in streams */
#define QP_WRITE_BITS_KNOWN   QP_WRITES_PROJECTIONS

#define QP_META_ROW_BYTES_MAX 80

/* log.mdb "format": who does not know all of the bits must not read, or not write. */
struct qp_format {
    uint32_t number;
    uint64_t read_bits;
    uint64_t write_bits;
};

/* index.mdb "format" */
struct qp_index_format {
    uint32_t number;
    uint64_t term_kinds;
    uint8_t uuid[16]; /* of the log that it is an index of */
};

/* index.mdb "indexed": what the index is a fold of. */
struct qp_indexed {
    uint64_t position;
    uint64_t chain; /* of the log's record there; 0 at position 0 */
    uint64_t edits; /* rows of `edits` that it knows, and the chain of the last */
    uint64_t edits_chain;
    uint64_t next_term; /* number that the next term with a block gets; from 1 */
    uint64_t streams;   /* terms of the kind stream */
    uint64_t damaged;   /* entries of the term kind damaged */
};

/* Each writes a row but for its sum into `out` of QP_META_ROW_BYTES_MAX bytes and returns its size;
 * each reader is false if the bytes are no such row. */
size_t qp_format_write(const struct qp_format *format, uint8_t *out);
bool qp_format_read(struct qp_bytes value, struct qp_format *format);
size_t qp_uuid_write(const uint8_t uuid[16], uint8_t *out);
bool qp_uuid_read(struct qp_bytes value, uint8_t uuid[16]);
size_t qp_created_write(int64_t created_ns, uint8_t *out);
size_t qp_index_format_write(const struct qp_index_format *format, uint8_t *out);
bool qp_index_format_read(struct qp_bytes value, struct qp_index_format *format);
size_t qp_indexed_write(const struct qp_indexed *indexed, uint8_t *out);
bool qp_indexed_read(struct qp_bytes value, struct qp_indexed *indexed);

#endif
