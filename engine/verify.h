/* verify.h - a whole verify: the pages of both files before anything maps them, then, of a
 * store that is open, the pages that were written too fast, and the rows.
 *
 *     files: log damaged ------> findings, and that is all: nobody can read it
 *        |   index damaged ----> findings; the log is read without an index
 *        |   written too fast -> looked at again by who opens it, with a snapshot held
 *     open it, then the rest */
#ifndef QP_VERIFY_H
#define QP_VERIFY_H

#include "survey.h"
#include "verify_rows.h"

/* Zeroed, but for its calls. */
struct qp_verify {
    struct qp_verify_calls calls;
    quipu_verified verified;
    const char *file; /* whose pages are walked */
    enum qp_survey_state log;
    enum qp_survey_state index;
};

/* The pages of the files at this path, without a map. `*full_check`: they were not seen whole, and
 * who opens the store now is to give QUIPU_OPEN_FULL_CHECK. What keeps this from being done,
 * opening says too. Returns: OK: go on; CORRUPT: the log is damaged, and that is all; IO;
 * NO_MEMORY; UNSAFE; what `found` returned to stop. */
int qp_verify_files(struct qp_verify *verify, const char *path, uint32_t flags, bool *full_check,
                    quipu_error *error);

/* The store could not be opened: for CORRUPT that is a finding too. Returns `rc`. */
int qp_verify_refused(struct qp_verify *verify, int rc, const quipu_error *why);

/* All that is left. `opened` is for this, with what qp_verify_files() said; else the process has
 * had the store open. Returns as quipu_verify(), or what `found` returned to stop. */
int qp_verify_handle(struct qp_verify *verify, struct qp_handle *handle, bool opened,
                     quipu_error *error);

#endif
