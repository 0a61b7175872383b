/* commit.h - the one door: batches of all threads queue, one thread leads, and a group of them is
 * one transaction (docs/ARCHITECTURE.md 4.2). */
#ifndef QP_COMMIT_H
#define QP_COMMIT_H

#include "handle.h"

/* Commit a batch; returns when it is durable or refused. Returns as quipu_commit(). */
int qp_commit(struct qp_handle *handle, struct qp_batch *batch, quipu_receipt *receipt,
              quipu_error *error);

/* Commit the request's batch later; its `done` is called once, with the outcome in it. Returns OK;
 * else nothing was taken and `done` is not called: BUSY within a `done`, when too many are pending;
 * CLOSED; as qp_commit() for what is wrong with the batch itself. */
int qp_commit_async(struct qp_handle *handle, struct qp_request *request, quipu_error *error);

/* Wait until all that was submitted before is durable or refused, and was told. Returns as
 * quipu_flush(). */
int qp_commit_flush(struct qp_handle *handle, quipu_error *error);

/* Commit and tell what is pending, and take no more from those who are told meanwhile. */
void qp_commit_close(struct qp_handle *handle);

#endif
