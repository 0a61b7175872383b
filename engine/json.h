/* json.h - just enough JSON to find a member: the text itself is never changed. */
#ifndef QP_JSON_H
#define QP_JSON_H

#include "member.h"

/* The last member called `name` of the object that the text is. OTHER if there is none. What
 * is malformed has none; values inside of nested ones are not looked at. */
void qp_json_member(struct qp_bytes object, struct qp_bytes name, struct qp_member *out);

/* The text between two quotes with its escapes resolved: at most capacity - 1 bytes and a 0.
 * Returns the full length, -1 if an escape is malformed (a lone surrogate is). */
int64_t qp_json_unescape(const char *text, size_t size, char *out, size_t capacity);

#endif
