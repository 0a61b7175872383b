/* query.c - queries as text. */
#include "memory.h"
#include "query_text.h"
#include "quipu.h"
#include "status.h"

int quipu_query_parse(const char *text, quipu_query **out, quipu_error *error)
{
    if (out == NULL)
        return qp_fail(error, QUIPU_MISUSE, "out is NULL");
    *out = NULL;
    if (text == NULL)
        return qp_fail(error, QUIPU_MISUSE, "the text is NULL");
    return qp_query_text_read(text, out, error);
}

void quipu_query_free(quipu_query *query)
{
    qp_free(query);
}
