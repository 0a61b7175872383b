/* mark.h - a mark or a source as it is printed: by quipu marks, and by quipu stat among others. */
#ifndef QT_MARK_H
#define QT_MARK_H

#include "out.h"
#include "quipu.h"

#include <stdbool.h>

/* Of two kinds is what QUIPU_LIST_MARKS gives: is this one a source? */
bool qt_mark_is_source(const quipu_item *item);

/* {"name","kind","position","lag","changed"}; of a source "number", and no lag. */
void qt_mark_put_json(struct qt_out *out, const quipu_item *item);

/* The columns after the name's, and what stands above them. */
void qt_mark_put_head(struct qt_out *out);
void qt_mark_put_row(struct qt_out *out, const quipu_item *item);

#endif
