/* environment.h - what one LMDB environment is inside: for store.c, txn.c and table.c only. */
#ifndef QP_ENVIRONMENT_H
#define QP_ENVIRONMENT_H

#include "key.h"

#include <lmdb.h>
#include <pthread.h>

/* Of the mutants whose mistake is how LMDB is opened. */
#define QP_MUTANT_FLAGS                                                                            \
    (QP_MUTANT(NO_FLUSH) || QP_MUTANT(ACK_EARLY) || QP_MUTANT(ONE_FLUSH) ? MDB_NOSYNC              \
     : QP_MUTANT(NO_META_FLUSH)                                          ? MDB_NOMETASYNC          \
                                                                         : 0U)

struct qp_store {
    MDB_env *env;
    char name[32];              /* of its file, for messages */
    MDB_dbi handles[QP_TABLES]; /* 0: no table of this file; LMDB gives 2 and more */
    int fd;                     /* LMDB's own */
    size_t page_bytes;          /* of the file, not of the machine */
    uint8_t *meta_pages;        /* settling must not need memory */
    bool map_full;              /* what the last put failed for; only a writer looks at it */
    pthread_mutex_t gate;       /* a leaf: over `live`, `map_lost` and the map itself */
    uint64_t file_bytes;        /* as a writer saw it last: it only grows */
    unsigned live;              /* transactions of this process that may look into the map */
    bool map_lost; /* a larger one could not be had, and the old one is gone: nothing works */
};

#define QP_MAP_LOST (MDB_LAST_ERRCODE + 1) /* not LMDB's: see map_lost */

/* What LMDB's code, or an errno that it passed up, means to who called. CORRUPT is also what LMDB
 * says of a transaction in which something has failed before. */
int qp_store_status(const struct qp_store *store, int rc);

/* LMDB's code as a status, and as a text with the file's name. Returns the status: never OK. */
int qp_store_fail(const struct qp_store *store, int rc, const char *what, quipu_error *error);

#endif
