/* terms.c - the kinds one after the other.
 *
 *     record   order-42 | OrderPaid | customer:7 0 region:eu 0 | id
 *     terms    stream order-42, category order, type OrderPaid,
 *              tag customer:7, tag region:eu, id (id, sum of "order-42")
 *
 * Pure; knows nothing of where terms are kept. */
#include "terms.h"

#include "sum.h"
#include "text.h"

#include <assert.h>

enum { BEFORE_THE_FIRST = 0, LISTS_WITHOUT_TAGS = 3 };

void qp_terms_begin(struct qp_terms *terms, const struct qp_record *record)
{
    terms->record = record;
    terms->kind = (enum qp_term_kind)BEFORE_THE_FIRST;
    terms->tag = (struct qp_bytes){0};
}

/* Kinds that an event has once or not at all are passed by going on to the next. */
bool qp_terms_next(struct qp_terms *terms, enum qp_term_kind *kind, struct qp_bytes *name)
{
    const struct qp_record *record = terms->record;

    assert(terms->kind <= QP_TERM_ID);
    if (terms->kind != QP_TERM_TAG)
        terms->kind++;
    if (terms->kind == QP_TERM_TAG && !qp_record_next_tag(record, &terms->tag))
        terms->kind++;
    *kind = terms->kind;
    switch (terms->kind) {
    case QP_TERM_STREAM:
        *name = record->stream;
        return true;
    case QP_TERM_CATEGORY:
        name->data = record->stream.data;
        name->size = qp_text_category(record->stream.data, record->stream.size);
        return true;
    case QP_TERM_TYPE:
        *name = record->type;
        return true;
    case QP_TERM_TAG:
        *name = terms->tag;
        return true;
    case QP_TERM_ID:
        if (record->id == NULL)
            return false;
        qp_key_id_name(terms->id_name, record->id,
                       qp_sum(record->stream.data, record->stream.size, 0));
        *name = (struct qp_bytes){terms->id_name, sizeof(terms->id_name)};
        return true;
    default:
        return false;
    }
}

size_t qp_terms_count(const struct qp_record *record)
{
    size_t count = LISTS_WITHOUT_TAGS;
    struct qp_bytes tag = {0};

    while (qp_record_next_tag(record, &tag))
        count++;
    return count;
}
