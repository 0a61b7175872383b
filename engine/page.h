/* page.h - what an LMDB 0.9 file looks like from outside: pure functions over its pages.
 *
 * For two things that LMDB has no call for: to look at a file before it is mapped (a file shorter
 * than its last page kills the process that maps it), and to find the page on which a record stands
 * without touching it, so that it can be read ahead. */
#ifndef QP_PAGE_H
#define QP_PAGE_H

#include "base.h"

#define QP_PAGE_HEADER_BYTES 16
#define QP_PAGE_META_BYTES   152 /* header and meta: what has to be read of a meta page */

struct qp_page_meta {
    uint32_t page_bytes;
    uint64_t last_page;   /* number of the last page that is in use */
    uint64_t transaction; /* that wrote this meta page: the higher one counts */
};

/* Read the beginning of a meta page. false: not one of LMDB's file format 1. */
bool qp_page_meta_read(const uint8_t *page, struct qp_page_meta *meta);

/* The root page in the record that LMDB keeps of a named table. false: no such record. */
bool qp_page_root(struct qp_bytes table_record, uint64_t *root, unsigned *depth);

/* The child of a branch page under which `key` stands; integer keys of 8 bytes.
 * false: not a branch page, or damaged. */
bool qp_page_child(const uint8_t *page, size_t page_bytes, uint64_t key, uint64_t *child);

#endif
