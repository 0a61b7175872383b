/* terms.h - what an event is found by: its stream, its category, its type, each tag, its id. One
 * walk for all who must agree on it: the tail that is merged into the index, and verify. */
#ifndef QP_TERMS_H
#define QP_TERMS_H

#include "key.h"
#include "record.h"

struct qp_terms {
    const struct qp_record *record;
    enum qp_term_kind kind; /* of the last one */
    struct qp_bytes tag;
    uint8_t id_name[QP_ID_NAME_BYTES];
};

/* `record` has its tags and its id at hand. */
void qp_terms_begin(struct qp_terms *terms, const struct qp_record *record);

/* In the order of the kinds. The name lives as long as both. false: no more. */
bool qp_terms_next(struct qp_terms *terms, enum qp_term_kind *kind, struct qp_bytes *name);

/* How many there are, without the id. */
size_t qp_terms_count(const struct qp_record *record);

#endif
