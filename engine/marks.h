/* marks.h - named numbers that commit with a batch: table `marks`. A mark is a position that a
 * program keeps; a source has the number up to which something from outside was taken in. */
#ifndef QP_MARKS_H
#define QP_MARKS_H

#include "table.h"

struct qp_mark {
    uint64_t number;
    int64_t changed_ns; /* the store's clock at the commit that wrote it */
};

#define QP_MARK_ROW_BYTES 24

/* Returns: ROW; OK: there is none; CORRUPT; IO. */
int qp_marks_get(struct qp_txn *txn, enum qp_mark_kind kind, struct qp_bytes name,
                 struct qp_mark *mark, quipu_error *error);

int qp_marks_put(struct qp_txn *txn, enum qp_mark_kind kind, struct qp_bytes name,
                 const struct qp_mark *mark, quipu_error *error);

/* The row where the cursor (of `marks`) stands, as it came out of it. false: its kind is none of
 * this release. CORRUPT is told by a mark of `*whole` false, whose name is right. */
bool qp_marks_read(struct qp_bytes key, struct qp_bytes value, enum qp_mark_kind *kind,
                   struct qp_bytes *name, struct qp_mark *mark, bool *whole);

#endif
