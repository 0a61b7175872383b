/* files.h - the two LMDB files of a handle, each opened as far as it can be used. Under the door.
 */
#ifndef QP_FILES_H
#define QP_FILES_H

#include "handle.h"

/* Map the log, and take note which file it is: every commit looks whether it is still that one.
 * UNSAFE: it has vanished; INVALID: not a store's; CORRUPT: cut off; NEWER_FORMAT; as
 * qp_store_open(). */
int qp_files_open_log(struct qp_handle *handle, quipu_error *error);

/* Open the index if it can be used: handle->index is NULL if it cannot, and handle->index_refused
 * says whether there is one. */
int qp_files_open_index(struct qp_handle *handle, quipu_error *error);

/* Alone: open the index, or discard it whole and make it anew; it is never repaired. One that is to
 * be discarded is not looked at. A reader does without one. */
int qp_files_open_index_alone(struct qp_handle *handle, bool discard, quipu_error *error);

/* Reserve the room of LMDB's lock file `name`, as qp_place_reserve_lock(). */
int qp_files_reserve_lock(const struct qp_handle *handle, const char *name, quipu_error *error);

#endif
