/* store.h - opening the store of a call, in one of five ways. */
#ifndef QT_STORE_H
#define QT_STORE_H

#include "command.h"
#include "quipu.h"

enum qt_store_mode {
    QT_STORE_READ,         /* must be there; nothing is written or made */
    QT_STORE_CHANGE,       /* must be there */
    QT_STORE_WRITE,        /* made if it is missing */
    QT_STORE_WRITE_ATOMIC, /* the same, with batches as large as the library takes them */
    QT_STORE_NEW           /* must not be there */
};

/* Open the store that the first operand names.
 *
 * Returns: 0, or a status with run->problem. */
int qt_store_open(struct qt_run *run, enum qt_store_mode mode, quipu **store);

/* A call about the store failed. Returns: status. */
int qt_store_failed(struct qt_run *run, int status, const quipu_error *error);

#endif
