/* draft.h - a line of NDJSON as an event not yet appended: the reading half of the line form.
 *
 * json-c reads the names, times and tags. It never sees a payload: the bytes of `data` and `meta`
 * are cut out of the line by json.c and kept as they are, less the white space between their
 * tokens. */
#ifndef QT_DRAFT_H
#define QT_DRAFT_H

#include "bytes.h"
#include "json.h"
#include "quipu.h"

#include <json-c/json.h>
#include <stdbool.h>

#define QT_DATA_BYTES_MAX                                                                          \
    ((size_t)64 * 1024 * 1024) /* the library's hard limit of data plus meta */
#define QT_TAGS_MAX 64         /* the library's limit */
#define QT_FIELDS   16

struct qt_draft {
    quipu_draft draft; /* what was read; points into this struct and into the line */
    const char *stream;
    bool conditional;  /* set by the caller: a line may say "expect" */
    uint64_t expected; /* what it says: QUIPU_ANY if nothing */
    size_t column;     /* of what is wrong, in bytes from 1 */
    char error[160];
    /* private */
    const char *line;
    json_tokener *tokener;
    json_object *root;
    struct qt_bytes shell; /* the line without its payloads, for json-c */
    struct qt_bytes data;  /* a payload that is not in the line as it is */
    struct qt_bytes meta;
    struct qt_span fields[QT_FIELDS]; /* the values in the line; text NULL: absent */
    size_t inner[QT_FIELDS];          /* white space inside each of them */
    const char *tags[QT_TAGS_MAX];
};

/* Returns: 0, or -1 if memory is out. */
int qt_draft_init(struct qt_draft *draft);
void qt_draft_release(struct qt_draft *draft);

/* Read one line, without its line end.
 *
 * Memory:  draft->draft and draft->stream live until the next call, or as long as `line` does.
 * Returns: 0; QUIPU_INVALID or QUIPU_TOO_LARGE with `error` and `column`; QUIPU_NO_MEMORY. */
int qt_draft_read(struct qt_draft *draft, const char *line, size_t size);

#define QT_EXPECT_FORM  "N|any|exists|new"
#define QT_EXPECT_WRONG "\"expect\" is a version or \"any\", \"exists\" or \"new\""

/* A version that is expected, or one of the three words for what is no version; the same as a
 * checked JSON value; and one that is a whole number.
 *
 * Returns: 0, or -1 if it is none. */
int qt_draft_expect(const char *text, uint64_t *expected);
int qt_draft_expect_value(struct qt_span value, uint64_t *expected);
int qt_draft_number(struct qt_span value, uint64_t *number);

#endif
