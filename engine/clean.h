/* clean.h - rows of generations of a projection that nobody sees any more. */
#ifndef QP_CLEAN_H
#define QP_CLEAN_H

#include "batch.h"
#include "views.h"

/* Add the deletion of some of them to a batch, at most QP_CLEAN_ROWS_MAX: those of all generations
 * but two (0: none), and what is owed if none lives. `*count`: how many; 0: none are left. Returns:
 * OK; CORRUPT; IO; NO_MEMORY. */
int qp_clean_find(struct qp_txn *txn, struct qp_bytes name, uint32_t generation, uint32_t building,
                  struct qp_batch *batch, size_t *count, quipu_error *error);

#endif
