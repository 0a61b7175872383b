/* event.h - a record as the public view of it, and its members. */
#ifndef QP_EVENT_H
#define QP_EVENT_H

#include "member.h"
#include "record.h"

/* Fill the view; an id that nobody gave is derived from the store, the position and the history. */
void qp_event_fill(const struct qp_record *record, const uint8_t uuid[16], uint64_t position,
                   quipu_event *event);

/* All of an event in one block of its own, which qp_free() gives back. NULL: memory is out. */
quipu_event *qp_event_copy(const quipu_event *event);

/* The value of the first tag whose key is `key`; NULL: there is none. */
const char *qp_event_tag(const quipu_event *event, const char *key);

/* The last top-level member of the event's data called `name`. */
void qp_event_member(const quipu_event *event, const char *name, struct qp_member *out);

#endif
