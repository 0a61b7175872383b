/* query_text.h - the text of one item of a query. */
#ifndef QP_QUERY_TEXT_H
#define QP_QUERY_TEXT_H

#include "base.h"

/* Returns as quipu_query_parse(). `*out` is one block, which qp_free() gives back. */
int qp_query_text_read(const char *text, quipu_query **out, quipu_error *error);

#endif
