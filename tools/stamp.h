/* stamp.h - instants: nanoseconds since 1970 in UTC, and RFC 3339 text. */
#ifndef QT_STAMP_H
#define QT_STAMP_H

#include <stddef.h>
#include <stdint.h>

#define QT_STAMP_FULL  30 /* 2010-10-02T07:20:39.266000000Z */
#define QT_STAMP_SHORT 19 /* 2010-10-02 07:20:39 */

/* What was printed last: events come in order of time, so most of them share its day. */
struct qt_stamp {
    int64_t day; /* since 1970; valid if date[0] is set */
    char date[10];
};

/* Write `time_ns` with nine digits and a Z. Returns: the end, QT_STAMP_FULL bytes on. */
char *qt_stamp_full(struct qt_stamp *stamp, int64_t time_ns, char *to);

/* Write `time_ns` for people, to the second. Returns: the end, QT_STAMP_SHORT bytes on. */
char *qt_stamp_short(struct qt_stamp *stamp, int64_t time_ns, char *to);

/* Read RFC 3339 with any offset and none to nine digits of a second.
 *
 * Returns: 0, or -1 and what is wrong, static text. */
int qt_stamp_parse(const char *text, size_t size, int64_t *time_ns, const char **error);

#endif
