/* mark.c - a mark is a position of this store, so that events lie behind it; a source's number is
 * of another world. */
#include "mark.h"

#include "stamp.h"
#include "text.h"

#include <string.h>

#define AT_WIDTH  10
#define LAG_WIDTH 8

bool qt_mark_is_source(const quipu_item *item)
{
    return strcmp(item->text, "source") == 0;
}

void qt_mark_put_json(struct qt_out *out, const quipu_item *item)
{
    struct qt_stamp stamp = {0};
    bool source = qt_mark_is_source(item);
    char *to;

    qt_out_text(out, "{\"name\":");
    qt_out_json(out, item->name, strlen(item->name));
    qt_out_text(out, source ? ",\"kind\":\"source\"" : ",\"kind\":\"mark\"");
    qt_out_key(out, source ? "number" : "position");
    qt_out_number(out, item->mark);
    if (!source) {
        qt_out_key(out, "lag");
        qt_out_number(out, item->lag);
    }
    qt_out_text(out, ",\"changed\":\"");
    to = qt_out_room(out, QT_STAMP_FULL);
    qt_out_took(out, qt_stamp_full(&stamp, item->last_time_ns, to));
    qt_out_text(out, "\"}");
}

void qt_mark_put_head(struct qt_out *out)
{
    qt_out_text(out, " kind          at      lag changed");
}

void qt_mark_put_row(struct qt_out *out, const quipu_item *item)
{
    struct qt_stamp stamp = {0};
    bool source = qt_mark_is_source(item);
    char *to;

    qt_out_text(out, source ? " source " : " mark   ");
    qt_text_right(out, item->mark, AT_WIDTH - 1);
    qt_out_char(out, ' ');
    if (source)
        qt_text_padded(out, "", 0, LAG_WIDTH);
    else
        qt_text_right(out, item->lag, LAG_WIDTH);
    to = qt_out_room(out, QT_STAMP_SHORT + 1);
    *to++ = ' ';
    qt_out_took(out, qt_stamp_short(&stamp, item->last_time_ns, to));
}
