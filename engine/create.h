/* create.h - how an empty store comes to be. */
#ifndef QP_CREATE_H
#define QP_CREATE_H

#include "base.h"

/* Make an empty store at `path`. TARGET_EXISTS: somebody was first. Else as quipu_open(). */
int qp_create_store(const char *path, quipu_error *error);

#endif
