/* json.h - find, check and copy JSON text (RFC 8259) without ever turning it into values.
 *
 * Payloads are kept as they were written: 0.1, 1E400, thirty digits, repeated keys, every escape.
 * So nothing here decodes a number, and a string only where two names are compared. The scanner is
 * strict, checks UTF-8 as well, uses no recursion and allocates nothing. */
#ifndef QT_JSON_H
#define QT_JSON_H

#include <stdbool.h>
#include <stddef.h>

#define QT_JSON_DEPTH_MAX 512 /* as json-c's tokener; a bit each on the scanner's stack */

struct qt_span {
    const char *text;
    size_t size;
};

struct qt_json {
    const char *at; /* the next byte; after a failure, the byte that is wrong */
    const char *end;
    const char *error; /* static text, set on failure */
    size_t spaces;     /* white space outside strings that was passed so far */
    size_t inner;      /* the same inside the last member's value alone */
    bool first;        /* no member of the entered object was read yet */
};

void qt_json_init(struct qt_json *json, const char *text, size_t size);

/* Pass white space. */
void qt_json_space(struct qt_json *json);

/* Pass one whole value at json->at. Returns: 0, or -1 with json->error. */
int qt_json_value(struct qt_json *json);

/* Enter the object at json->at, then read its members, values unread but checked. `key` is the text
 * between the quotes, `value` has no white space around it.
 *
 * Returns: qt_json_enter() 0 or -1; qt_json_member() 1 with a member, 0 after the '}', or -1. */
int qt_json_enter(struct qt_json *json);
int qt_json_member(struct qt_json *json, struct qt_span *key, struct qt_span *value);

/* The same for an array. Used one level deep, for counting. */
int qt_json_enter_array(struct qt_json *json);
int qt_json_element(struct qt_json *json, struct qt_span *value);

/* Check that `text` is exactly one value with nothing but white space around it.
 *
 * Returns: 0 with json->spaces, or -1 with json->error and json->at. */
int qt_json_whole(struct qt_json *json, const char *text, size_t size);

/* Split checked text at the white space outside strings: the runs, joined, are the compact text.
 *
 * Returns: 1 with the next run, taken off `rest`; 0 at the end. */
int qt_json_run(struct qt_span *rest, struct qt_span *run);

/* Copy checked text without its white space to `to`, which has text.size bytes. Returns: the bytes.
 */
size_t qt_json_compact(struct qt_span text, char *to);

/* Resolve the escapes of a checked string (the text between its quotes) into `to`, which has
 * text.size bytes. Half a surrogate pair becomes its three bytes. Returns: the bytes written. */
size_t qt_json_unescape(struct qt_span text, char *to);

/* No half of a surrogate pair stands alone in this checked text, which may be any value. */
bool qt_json_paired(struct qt_span text);

#endif
