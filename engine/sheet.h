/* sheet.h - what a page of a projection makes of a view, in memory: reads see the page's own writes
 * and below them the view as one snapshot has it; an event that fails leaves nothing.
 *
 * Not for two threads at once. */
#ifndef QP_SHEET_H
#define QP_SHEET_H

#include "batch.h"
#include "views.h"

struct qp_sheet_entry; /* its layout is sheet.c's business */

/* A zeroed one is empty, over no view. */
struct qp_sheet {
    struct qp_txn *txn; /* a snapshot of the log's file; NULL: there is no view below */
    struct qp_view_place place;
    struct qp_sheet_entry *entries;
    size_t count;
    size_t capacity;
    uint32_t *table; /* entries, counted from 1, by the sum of the key; 0: free */
    size_t table_size;
    uint32_t *touched; /* by the event under way */
    size_t touched_count;
    size_t touched_capacity;
    uint64_t event; /* how many were begun */
    struct qp_arena memory;
    struct qp_buffer assembly;
    uint64_t bytes; /* about: of keys and values that are to be written */
    bool sums;      /* `sum` is kept, over all that was ever put */
    uint64_t sum;
};

void qp_sheet_begin(struct qp_sheet *sheet, struct qp_txn *txn, const struct qp_view_place *place);
void qp_sheet_release(struct qp_sheet *sheet);

/* The next event begins: what was done until now stays. And: what was done since goes. */
void qp_sheet_next(struct qp_sheet *sheet);
void qp_sheet_undo(struct qp_sheet *sheet);

/* The value lives until the next call on this sheet. Returns: ROW; OK: there is none; CORRUPT; IO;
 * NO_MEMORY. */
int qp_sheet_get(struct qp_sheet *sheet, struct qp_bytes key, struct qp_bytes *value,
                 quipu_error *error);

/* A value of data NULL deletes. It may come from qp_sheet_get(). Returns: OK; as qp_sheet_get(). */
int qp_sheet_put(struct qp_sheet *sheet, struct qp_bytes key, struct qp_bytes value,
                 quipu_error *error);

/* All writes, as effects of a batch, in the order of the table's keys. NO_MEMORY. */
int qp_sheet_write(struct qp_sheet *sheet, struct qp_batch *batch, quipu_error *error);

/* ---- for who scans a sheet that has no view below ---- */

/* Put the entries that have a value into the order of their keys; nothing is written to it any
 * more.
 */
void qp_sheet_sort(struct qp_sheet *sheet);
bool qp_sheet_at(const struct qp_sheet *sheet, size_t n, struct qp_bytes *key,
                 struct qp_bytes *value);

#endif
