/* pretty.h - an event as indented JSON, for eyes: the keys of the line form, one on each line.
 *
 * It is JSON that any reader takes, but import does not: msgpack is only shown, and binary data
 * that is UTF-8 text stands as {"$text":"..."}. Nothing in it acts on a terminal. */
#ifndef QT_PRETTY_H
#define QT_PRETTY_H

#include "bytes.h"
#include "json.h"
#include "out.h"
#include "quipu.h"

/* The row of the option table, the same for each verb that prints events. */
#define QT_PRETTY_OPTION                                                                           \
    {                                                                                              \
        .name = "pretty", .help = "JSON with line ends, for people; import does not read it"       \
    }

/* What a payload is shown as. */
enum qt_pretty_form {
    QT_PRETTY_JSON,
    QT_PRETTY_MSGPACK,
    QT_PRETTY_TEXT,
    QT_PRETTY_BASE64,
    QT_PRETTY_BASE64_JSON,   /* stored as JSON, but it is none */
    QT_PRETTY_BASE64_MSGPACK /* stored as msgpack, but it is none */
};

/* Print an event and a line end. Memory: `scratch` holds what msgpack is rendered to. */
void qt_pretty_put(struct qt_out *out, struct qt_bytes *scratch, const quipu_event *event);

/* Look at a payload that is not empty: what can it be shown as?
 *
 * Memory:  `scratch` holds what msgpack is rendered to, for qt_pretty_payload(). */
enum qt_pretty_form qt_pretty_form(struct qt_bytes *scratch, struct qt_span payload, int format);

/* Print it as one JSON value: JSON as it is, msgpack as JSON, text as {"$text":...}, any other
 * bytes as base64 in quotes. What follows the first line stands `level` steps to the right. */
void qt_pretty_payload(struct qt_out *out, const struct qt_bytes *scratch, struct qt_span payload,
                       enum qt_pretty_form form, size_t level);

#endif
