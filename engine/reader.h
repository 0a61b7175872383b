/* reader.h - events of a moment, one after the other (docs/ARCHITECTURE.md 4.3). */
#ifndef QP_READER_H
#define QP_READER_H

#include "handle.h"
#include "log.h"
#include "query.h"

struct qp_reader;

/* The set (after, upto] of positions, or of versions for one stream. upto 0: the head. */
struct qp_range {
    uint64_t after;
    uint64_t upto;
    uint64_t limit; /* 0: none */
    bool backwards;
    bool check;
    bool renew; /* go on in a newer snapshot now and then, up to the head of the first one */
};

/* Returns as quipu_read() and quipu_read_stream(). A query that was checked before may be given
 * instead: it must outlive the reader. Both NULL: all. A stream may be read in a moment that the
 * caller has begun with range->check: that is the reader's then, also on failure. NULL: in a new
 * one. */
int qp_reader_open(struct qp_handle *handle, const quipu_query *query,
                   const struct qp_query *checked, const struct qp_range *range,
                   struct qp_reader **out, quipu_error *error);
int qp_reader_open_stream(struct qp_handle *handle, struct qp_moment *moment, const char *stream,
                          const struct qp_range *range, struct qp_reader **out, quipu_error *error);
void qp_reader_close(struct qp_reader *reader);

/* Returns as quipu_next(). On CORRUPT `*position` says where; 0: the index, and it cannot go on. */
int qp_reader_next(struct qp_reader *reader, uint64_t *position, struct qp_record *record,
                   quipu_error *error);

/* Where the stream of the record just given can be asked for its row; NULL: no stream has one.
 * Lives until the next call. */
struct qp_txn *qp_reader_streams(const struct qp_reader *reader);

uint64_t qp_reader_head(const struct qp_reader *reader);

#endif
