/* support_view.h - a view as one line of text, for tests of what projections make. Includes nothing
 * of Criterion. */
#ifndef SUPPORT_VIEW_H
#define SUPPORT_VIEW_H

#include "base.h"

/* "key=value key=value @mark", in the order of keys; or "(what opening it returned)". It lives
 * until the next call. */
const char *support_view(quipu *store, const char *projection);

/* The value under a key, as text that lives until the next call; NULL: there is none. */
const char *support_view_value(quipu *store, const char *projection, const char *key);

/* An event without anything but a type and data that are text. */
int support_append(quipu *store, const char *stream, const char *type, const char *data,
                   quipu_error *error);

/* For `apply`: put "," and the event's position behind what the key has, from nothing on. So a view
 * says in which order which events were applied, and how often. */
int support_note(quipu_page *page, const void *key, size_t size, const quipu_event *event);

#endif
