/* parse.h - the text of one item of a query. */
#ifndef QP_PARSE_H
#define QP_PARSE_H

#include "base.h"

/* Returns as quipu_query_parse(). `*out` is one block, which qp_free() gives back. */
int qp_parse_query(const char *text, quipu_query **out, quipu_error *error);

#endif
