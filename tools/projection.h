/* projection.h - a projection as it is printed: by quipu projections, and by quipu stat and why. */
#ifndef QT_PROJECTION_H
#define QT_PROJECTION_H

#include "items.h"
#include "number.h"
#include "out.h"
#include "quipu.h"

/* One of QUIPU_LIST_PROJECTIONS: {"name","status","mode","version","mark","lag","applied","parked",
 * "rebuilt","runner":{"pid","until"},"changed","fault":{"position","key","status","code","reason",
 * "time"}}. What there is none of is left out. */
void qt_projection_put_json(struct qt_out *out, const quipu_item *item);

/* The array of all. */
void qt_projection_put_array(struct qt_out *out, const struct qt_items *items);

/* "3 live, 1 rebuilding 62 %; 2 events parked": all of them in a line, without its end. */
void qt_projection_put_summary(struct qt_out *out, const struct qt_items *items);

/* ,"status":"APPLICATION","code":-1003,"reason":"..." */
void qt_projection_put_failure(struct qt_out *out, int32_t status, const char *reason);

/* `,"NAME":"2010-10-02T07:20:39.266000000Z"` */
void qt_projection_put_time(struct qt_out *out, const char *name, int64_t time_ns);

/* How much of it is built again, in percent; 100 without events. */
unsigned qt_projection_percent(const quipu_item *item);

bool qt_projection_is(const quipu_item *item, const char *status);

/* How long ago that was, by the machine's clock: "12 min", or "" if it is not known. Returns:
 * `out`.
 */
const char *qt_projection_age(int64_t time_ns, char out[QT_AMOUNT_MAX]);

#endif
