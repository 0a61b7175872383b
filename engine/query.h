/* query.h - which events: a checked copy of a quipu_query that records are held against. */
#ifndef QP_QUERY_H
#define QP_QUERY_H

#include "memory.h"
#include "record.h"

struct qp_query_item {
    struct qp_bytes stream;   /* data NULL: no restriction */
    struct qp_bytes category; /* data NULL: no restriction */
    size_t first_type;        /* in `types` */
    size_t type_count;        /* 0: no restriction */
    size_t first_tag;         /* in `tags` */
    size_t tag_count;
};

struct qp_query {
    struct qp_arena names;
    struct qp_query_item *items;
    size_t item_count; /* 0: every event */
    struct qp_bytes *types;
    struct qp_bytes *tags;
};

/* Check and copy. MISUSE, INVALID, TOO_LARGE, NO_MEMORY. Release it in any case. */
int qp_query_copy(const quipu_query *query, struct qp_query *out, quipu_error *error);
void qp_query_release(struct qp_query *query);

bool qp_query_matches(const struct qp_query *query, const struct qp_record *record);

#endif
