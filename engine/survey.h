/* survey.h - the pages of a store's two files, walked (walk.h) before anything relies on them, also
 * while others write them.
 *
 * LMDB dies of a damaged page, or never ends. So who does not trust a file has it surveyed first:
 * quipu_verify(), and quipu_open() with QUIPU_OPEN_FULL_CHECK. */
#ifndef QP_SURVEY_H
#define QP_SURVEY_H

#include "handle.h"
#include "walk.h"

enum qp_survey_state {
    QP_SURVEY_WHOLE = 0,
    QP_SURVEY_DAMAGED,  /* `found` was told */
    QP_SURVEY_RESTLESS, /* it was written meanwhile, so that nothing can be said */
    QP_SURVEY_OTHER     /* missing, cut off, or not Quipu's: who opens it is told */
};

/* Walk a file that nobody pins. It may be written: then what was read is of two snapshots, and the
 * state RESTLESS, unless damage was found before. `found` is only told of what is certain.
 * Returns: OK; IO; NO_MEMORY; UNSAFE; what `found` returned to stop. */
int qp_survey_file(const struct qp_place *place, const char *file, qp_walk_found_fn found,
                   void *payload, enum qp_survey_state *state, quipu_error *error);

/* Walk a file of an open store: a snapshot is held meanwhile, so that its pages stay. */
int qp_survey_store(const struct qp_place *place, const char *file, struct qp_store *store,
                    qp_walk_found_fn found, void *payload, enum qp_survey_state *state,
                    quipu_error *error);

/* Both files of a handle that is being opened, before it maps them; with the door locked. Who is
 * not alone lets go of the door meanwhile. `handle->index_damaged` is what becomes of the index.
 * Returns: OK; CORRUPT: the log; BUSY; and as above. */
int qp_survey_handle(struct qp_handle *handle, bool alone, quipu_error *error);

#endif
