/* member.h - one member of a map or an object, as pack and json find it. Text points into the data
 * that were searched. */
#ifndef QP_MEMBER_H
#define QP_MEMBER_H

#include "base.h"

enum qp_member_kind {
    QP_MEMBER_OTHER = 0, /* absent, null, a container, a number that fits neither of the two */
    QP_MEMBER_BOOLEAN,
    QP_MEMBER_INTEGER,
    QP_MEMBER_REAL,
    QP_MEMBER_TEXT
};

struct qp_member {
    enum qp_member_kind kind;
    bool boolean;
    bool escaped;     /* the text has JSON's escapes in it */
    int64_t integer;  /* INTEGER */
    double real;      /* REAL, and INTEGER as a double */
    const char *text; /* TEXT: without quotes, not 0-terminated */
    size_t text_size; /* as it stands there: with its escapes, if it has some */
};

#endif
