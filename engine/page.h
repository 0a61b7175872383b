/* page.h - what an LMDB 0.9 file looks like from outside: pure functions over its pages.
 *
 * For three things that LMDB has no call for: to look at a file before it is mapped (a file shorter
 * than its last page kills the process that maps it), to walk all of its pages (walk.h), and to
 * find the page on which a record stands without touching it, so that it can be read ahead. */
#ifndef QP_PAGE_H
#define QP_PAGE_H

#include "base.h"

#define QP_PAGE_HEADER_BYTES 16
#define QP_PAGE_META_BYTES   152 /* header and meta: what has to be read of a meta page */
#define QP_PAGE_METAS        2   /* pages 0 and 1, written in turns */
#define QP_PAGE_TREE_BYTES   48
#define QP_PAGE_NONE         UINT64_MAX /* the root of a table that is empty */
#define QP_PAGE_DEPTH_MAX    32         /* LMDB's cursors have no more levels */

/* What LMDB keeps of a table. */
struct qp_page_tree {
    uint32_t pad;
    uint16_t flags; /* of the table: QP_PAGE_INTEGER_KEY, QP_PAGE_NO_DIRECTORY */
    uint16_t depth; /* levels; 1: the root is a leaf */
    uint64_t branches;
    uint64_t leaves;
    uint64_t overflows; /* pages, not runs of them */
    uint64_t entries;
    uint64_t root;
};

enum {
    QP_PAGE_INTEGER_KEY = 0x08,
    QP_PAGE_NO_DIRECTORY = 0x4000 /* the free list's flags are those of the whole file */
};

struct qp_page_meta {
    uint32_t page_bytes;
    uint64_t last_page;   /* number of the last page that is in use */
    uint64_t transaction; /* that wrote this meta page: the higher one counts */
    struct qp_page_tree free_list;
    struct qp_page_tree tables; /* the table of the named ones */
};

/* Read the beginning of a meta page. false: not one of LMDB's file format 1. */
bool qp_page_meta_read(const uint8_t *page, struct qp_page_meta *meta);

/* More pages than any machine can map. */
#define QP_PAGE_COUNT_MAX (UINT64_C(1) << 35)

/* The beginnings of both meta pages, each by itself and against the other, in a file of this size.
 * NULL, or what is wrong. `*newest` is the one that counts then. */
const char *qp_page_metas_wrong(const uint8_t pages[QP_PAGE_METAS][QP_PAGE_META_BYTES],
                                uint64_t file_bytes, struct qp_page_meta *newest);

/* ---- pages ---- */

enum { QP_PAGE_BRANCH = 0x01, QP_PAGE_LEAF = 0x02, QP_PAGE_OVERFLOW = 0x04, QP_PAGE_META = 0x08 };

struct qp_page_header {
    uint64_t number;
    uint16_t flags; /* one of the four above */
    uint16_t lower; /* end of the node pointers */
    uint16_t upper; /* begin of the nodes */
    uint32_t run;   /* of an overflow page, instead of the two: how many pages it is the first of */
};

void qp_page_header_read(const uint8_t *page, struct qp_page_header *header);

enum {
    QP_NODE_BIG = 0x01,  /* its value stands on overflow pages: here is the number of the first */
    QP_NODE_TABLE = 0x02 /* its value is the record of a table */
};

struct qp_page_node {
    size_t offset;
    size_t size; /* of all of it, rounded up to 2 */
    struct qp_bytes key;
    uint16_t flags;      /* of a leaf's */
    uint64_t child;      /* of a branch's; of a big one the first overflow page */
    uint32_t value_size; /* of a leaf's, wherever it stands */
    const uint8_t *value;
};

/* The node that pointer `index` leads to. The pointer itself must be on the page. false: some of
 * the node is not. */
bool qp_page_node_read(const uint8_t *page, size_t page_bytes, size_t index, bool branch,
                       struct qp_page_node *node);

/* What a branch or leaf must be. */
struct qp_page_rules {
    uint64_t number;
    bool branch;
    bool integer_key; /* 8 bytes, compared as a number */
    size_t count_min;
    struct qp_bytes low;  /* no key is before it; {NULL}: no bound */
    struct qp_bytes high; /* every key is before it */
};

/* Is the page what it must be, down to the last node? NULL, or what is wrong with it. `*count`: its
 * nodes, each of which can be read then. */
const char *qp_page_wrong(const uint8_t *page, size_t page_bytes, const struct qp_page_rules *rules,
                          size_t *count);

/* LMDB's record of a table, QP_PAGE_TREE_BYTES long. */
void qp_page_tree_read(const uint8_t *record, struct qp_page_tree *tree);

/* ---- where a record stands ---- */

/* The root page in the record that LMDB keeps of a named table. false: no such record. */
bool qp_page_root(struct qp_bytes table_record, uint64_t *root, unsigned *depth);

/* The child of a branch page under which `key` stands; integer keys of 8 bytes.
 * false: not a branch page, or damaged. */
bool qp_page_child(const uint8_t *page, size_t page_bytes, uint64_t key, uint64_t *child);

#endif
