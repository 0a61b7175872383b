/* filter.h - which events a verb is asked for: the options that dump and tail share.
 *
 * What the library can find by its index goes into a query; the rest - time and text - is looked
 * for here, in each event that the query gives. */
#ifndef QT_FILTER_H
#define QT_FILTER_H

#include "bytes.h"
#include "command.h"
#include "json.h"
#include "quipu.h"

#include <stdbool.h>
#include <stdint.h>

struct qt_filter {
    const char *stream;
    const char **types;
    const char **tags;
    quipu_query_item item;
    bool by_version; /* --after and --upto count versions of the one stream */
    bool asks;       /* the item counts: not every event of the log or of the stream */
    bool sifts;      /* the library gives more than is asked for */
    bool skips;      /* what is damaged is passed over */
    uint64_t after;  /* (after, upto] */
    uint64_t upto;
    int64_t since_ns; /* [since, until) */
    int64_t until_ns;
    bool has_since;
    bool has_until;
    struct qt_span text;     /* to be found; text NULL: none */
    struct qt_bytes scratch; /* a payload as it is printed */
};

/* Rows of the option table, for the `shared` of a command. */
extern const struct qt_option qt_filter_options[];

/* What help says of them. */
#define QT_FILTER_HELP                                                                             \
    "--after and --upto count versions if --stream comes without --category, --type\n"             \
    "and --tag, else positions; what is printed is always (after, upto]. --since and\n"            \
    "--until compare the event's time, which may lie in another order than positions.\n"           \
    "--grep finds an event if its stream, its type, one of its tags, its data or its\n"            \
    "meta contains TEXT, byte for byte. JSON is searched as --json prints it: without\n"           \
    "white space between its parts, escapes as they were written; msgpack as the JSON\n"           \
    "that is shown for it; binary data as the bytes that it is.\n"

/* Read the options of a call.
 *
 * Memory:  the texts stay those of the arguments; qt_filter_release() frees the rest.
 * Returns: 0, or a status with run->problem. */
int qt_filter_take(struct qt_filter *filter, struct qt_run *run);

/* Is an event that the library gave one of those asked for?
 *
 * Returns: 1 or 0, or QUIPU_NO_MEMORY. */
int qt_filter_match(struct qt_filter *filter, const quipu_event *event);

/* What `after` and `upto` are compared with. */
uint64_t qt_filter_number(const struct qt_filter *filter, const quipu_event *event);

void qt_filter_release(struct qt_filter *filter);

#endif
