/* log.h - the truth: events by position. Gives records and hides where they lie.
 *
 * Tables `log` and `chunks`. Takes transactions, never begins one. */
#ifndef QP_LOG_H
#define QP_LOG_H

#include "memory.h"
#include "record.h"
#include "table.h"

/* The right edge. */
struct qp_log_head {
    uint64_t position; /* 0: no events */
    uint64_t chain;
    int64_t recorded_ns;
};

/* Put a stamped record after the newest, at the position after its. */
int qp_log_append(struct qp_txn *txn, uint64_t position, const uint8_t *record, size_t size,
                  quipu_error *error);

/* A way through the log. `assembly` holds a record that stands in chunks. */
struct qp_log_cursor {
    struct qp_cursor cursor;
    struct qp_txn *txn;
    struct qp_buffer assembly;
    uintptr_t window; /* of a scan's read-ahead */
    bool check;       /* verify checksums */
    bool names_only;  /* do not assemble for the payload: it is not asked for */
};

int qp_log_open(struct qp_log_cursor *log, struct qp_txn *txn, bool check, quipu_error *error);
void qp_log_close(struct qp_log_cursor *log);

/* The record at `position`. Views live until the next call on this cursor or the end of its
 * transaction. Returns: ROW; CORRUPT: damaged, or missing; NEWER_FORMAT; NO_MEMORY; IO. */
int qp_log_get(struct qp_log_cursor *log, uint64_t position, struct qp_record *record,
               quipu_error *error);

/* The same for who asks for names, version and times alone: the payload may be missing. */
int qp_log_get_names(struct qp_log_cursor *log, uint64_t position, struct qp_record *record,
                     quipu_error *error);

/* The same, and `*bytes` is the whole record's: for who sums it. */
int qp_log_get_bytes(struct qp_log_cursor *log, uint64_t position, struct qp_record *record,
                     struct qp_bytes *bytes, quipu_error *error);

/* Go on in a scan: the record that follows (or precedes) the last one, wherever that is, with its
 * position. The first call says where to begin in `*position`. As qp_log_get, and OK: no more. */
int qp_log_begin(struct qp_log_cursor *log, bool backwards, uint64_t *position,
                 struct qp_record *record, quipu_error *error);
int qp_log_step(struct qp_log_cursor *log, bool backwards, uint64_t *position,
                struct qp_record *record, quipu_error *error);

/* The newest position, 0 if there is none. */
int qp_log_edge(struct qp_log_cursor *log, uint64_t *position, quipu_error *error);

/* The same in a transaction that is not walked otherwise. */
int qp_log_newest(struct qp_txn *txn, uint64_t *position, quipu_error *error);

/* The same with what a commit goes on from. CORRUPT: the newest record is damaged. */
int qp_log_head(struct qp_log_cursor *log, struct qp_log_head *head, quipu_error *error);

/* These positions will be read soon, ascending or descending: at most QP_EXPECT_MAX are worth it.
 */
#define QP_EXPECT_MAX 256
void qp_log_expect(struct qp_log_cursor *log, const uint64_t *positions, size_t count);

extern const struct qp_table_spec qp_log_tables[];
extern const size_t qp_log_table_count;

#endif
