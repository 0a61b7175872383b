/* place.h - the directory that is a store: whether it is safe, what is in it, how it is made. */
#ifndef QP_PLACE_H
#define QP_PLACE_H

#include "base.h"

#define QP_LOG_FILE        "log.mdb"
#define QP_LOG_LOCK_FILE   "log.mdb-lock"
#define QP_INDEX_FILE      "index.mdb"
#define QP_INDEX_LOCK_FILE "index.mdb-lock"
#define QP_GUARD_FILE      "guard"
#define QP_SHARED_FILE     "shared"
#define QP_POST_FILE       "post"

/* "/proc/self/fd/" + a number + "/" + the longest of the names above */
#define QP_PLACE_PATH_BYTES 64

struct qp_place {
    int fd; /* of the directory; -1: not open */
    uint64_t device;
    uint64_t inode;
};

enum qp_place_state {
    QP_PLACE_MISSING = 0, /* no such directory */
    QP_PLACE_EMPTY,
    QP_PLACE_STORE /* log.mdb is there */
};

/* Open the directory without following a link at its end. `flags`: quipu_open_flags. MISSING and
 * EMPTY leave it closed. UNSAFE: owner, mode, file system, a link, other files in it. */
int qp_place_open(const char *path, uint32_t flags, struct qp_place *place,
                  enum qp_place_state *state, quipu_error *error);
void qp_place_close(struct qp_place *place);

/* A file's path that stays true if the directory is renamed. */
void qp_place_path(const struct qp_place *place, const char *name, char path[QP_PLACE_PATH_BYTES]);

/* Is `name` still the file with this inode? */
bool qp_place_same(const struct qp_place *place, const char *name, uint64_t inode);
int qp_place_inode(const struct qp_place *place, const char *name, uint64_t *inode,
                   quipu_error *error);

enum qp_file_state {
    QP_FILE_MISSING = 0,
    QP_FILE_EMPTY,
    QP_FILE_FOREIGN, /* not LMDB's */
    QP_FILE_SHORT,   /* it ends before its last page */
    QP_FILE_WHOLE
};

/* Look at an LMDB file without mapping it. UNSAFE: not a regular file, or it has other names. */
int qp_place_probe(const struct qp_place *place, const char *name, enum qp_file_state *state,
                   quipu_error *error);

int qp_place_remove(const struct qp_place *place, const char *name, quipu_error *error);

/* Reserve the room of LMDB's lock file `name` before LMDB is the first to open it: it writes the
 * file through a map and leaves holes in it, where a full disk is a SIGBUS. Nobody may have it
 * open, no process and not this one: closing it again would end their locks. Returns: OK; FULL. */
int qp_place_reserve_lock(const struct qp_place *place, const char *name, uint32_t readers_max,
                          quipu_error *error);

/* Flush the parent: the directory's own name is on the disk from then on. IO. */
int qp_place_flush_name(const struct qp_place *place, quipu_error *error);

/* ---- making one ---- */

#define QP_STORE_NAME_MAX 216 /* of a file's 255 bytes ".", ".new-" and two numbers need some */

/* A store in the making: a sibling `.NAME.new-PID-N` that becomes NAME when it is whole. */
struct qp_staging {
    int parent;                       /* directory that both stand in; -1: none */
    struct qp_place place;            /* of the sibling */
    char name[QP_STORE_NAME_MAX + 1]; /* NAME */
    char staged[256];
};

/* Make the sibling, and remove what dead creators left beside it. */
int qp_staging_begin(const char *path, struct qp_staging *staging, quipu_error *error);

/* Flush the files and rename. TARGET_EXISTS: somebody was first. */
int qp_staging_publish(struct qp_staging *staging, quipu_error *error);

/* Remove what was not published; close. Takes one that has not begun. */
void qp_staging_end(struct qp_staging *staging);

#endif
