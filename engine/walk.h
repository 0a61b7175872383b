/* walk.h - every page of an LMDB file, looked at without LMDB and without a map, so that no bytes
 * whatever can do harm. What a walk finds nothing wrong with LMDB can read.
 *
 * Pure: the caller reads. Memory is one bit for each page that is in use, and one page for each
 * level of a tree; time is that of reading each page that is in use once. */
#ifndef QP_WALK_H
#define QP_WALK_H

#include "page.h"

#define QP_WALK_FINDINGS_MAX 100 /* of a file: after that nobody needs the rest */
#define QP_WALK_TABLES_MAX   64  /* with a name; Quipu's files have 11 at most */

/* Where the bytes come from. */
struct qp_walk_file {
    /* All of `bytes` or a status: what is not OK ends the walk and is passed up. */
    int (*read)(void *payload, uint64_t offset, void *bytes, size_t size, quipu_error *error);
    void *payload;
};

/* What stands in its table of tables. Others may too. */
struct qp_walk_table {
    const char *name;
    bool integer_key;
};

/* Told of each thing that is wrong: in which table ("" is the file as a whole), and one line. What
 * is not OK ends the walk and is passed up. */
typedef int (*qp_walk_found_fn)(void *payload, const char *table, const char *text);

struct qp_walked {
    uint64_t findings;
    uint64_t pages; /* in use, with the two meta pages */
    uint64_t free_pages;
    uint64_t leaked_pages; /* neither: no harm but their space. Not known after a finding */
    bool foreign;          /* most tables are missing: nobody knows what its rows must be */
};

/* All pages of the snapshot that a meta page speaks of, which was found right
 * (qp_page_metas_wrong()). If half of `tables` are there, the others must be too. A `*out` of
 * zeroes. Returns: OK: all was walked, or enough was found; NO_MEMORY; what a callback returned. */
int qp_walk_pages(const struct qp_walk_file *file, const struct qp_page_meta *meta,
                  const struct qp_walk_table *tables, size_t table_count, qp_walk_found_fn found,
                  void *payload, struct qp_walked *out, quipu_error *error);

#endif
