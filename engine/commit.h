/* commit.h - the one door: batches of all threads queue, one thread leads, and a group of them is
 * one transaction (docs/ARCHITECTURE.md 4.2). */
#ifndef QP_COMMIT_H
#define QP_COMMIT_H

#include "batch.h"
#include "handle.h"

/* Commit a batch; returns when it is durable or refused. Returns as quipu_commit(). */
int qp_commit(struct qp_handle *handle, struct qp_batch *batch, quipu_receipt *receipt,
              quipu_error *error);

#endif
