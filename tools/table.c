/* table.c - columns in a stream of rows: the widths come from the first page and then stay.
 *
 * To know how wide a column must be one would have to read everything first. So a few rows decide,
 * and a later name that is wider pushes its row out of line: rows are never cut, they may be
 * copied. */
#include "table.h"

#include "number.h"
#include "summary.h"
#include "text.h"

#include <assert.h>

#define VERSION_WIDTH  7
#define NAME_WIDTH_MAX 40
#define DATA_WIDTH     72 /* where no terminal says how wide it is */
#define DATA_WIDTH_MIN 24

void qt_table_init(struct qt_table *table, bool one_stream, uint64_t last_position)
{
    size_t digits = qt_number_digits(last_position);

    *table = (struct qt_table){
        .one_stream = one_stream,
        .position_width = digits < 8 ? 8 : digits,
        .stream_width = 6,
        .type_width = 4,
        .data_width = DATA_WIDTH,
    };
}

/* One endless name must not push the data of all other rows off the screen. */
static void widen(size_t *width, const char *text, size_t size)
{
    size_t wanted = qt_text_width(text, size);

    if (wanted > NAME_WIDTH_MAX)
        wanted = NAME_WIDTH_MAX;
    if (wanted > *width)
        *width = wanted;
}

void qt_table_fit(struct qt_table *table, const quipu_event *event)
{
    widen(&table->stream_width, event->stream, event->stream_size);
    widen(&table->type_width, event->type, event->type_size);
}

void qt_table_head(struct qt_table *table, struct qt_out *out, size_t columns)
{
    size_t used = table->position_width + VERSION_WIDTH + QT_STAMP_SHORT + table->type_width + 4 +
                  (table->one_stream ? 0 : table->stream_width + 1);

    if (columns > 0)
        table->data_width = columns > used + DATA_WIDTH_MIN ? columns - used : DATA_WIDTH_MIN;
    qt_out_style(out, "2");
    for (size_t i = 8; i < table->position_width; i++)
        qt_out_char(out, ' ');
    qt_out_text(out, "position ");
    if (!table->one_stream) {
        qt_text_padded(out, "stream", 6, table->stream_width);
        qt_out_char(out, ' ');
    }
    qt_out_text(out, "version ");
    qt_text_padded(out, "time", 4, QT_STAMP_SHORT + 1);
    qt_text_padded(out, "type", 4, table->type_width + 1);
    qt_out_text(out, "data");
    qt_out_plain(out);
    qt_out_char(out, '\n');
}

void qt_table_row(struct qt_table *table, struct qt_out *out, const quipu_event *event)
{
    char *to;

    assert(event != NULL);
    qt_text_right(out, event->position, table->position_width);
    qt_out_char(out, ' ');
    if (!table->one_stream) {
        qt_text_padded(out, event->stream, event->stream_size, table->stream_width);
        qt_out_char(out, ' ');
    }
    qt_text_right(out, event->version, VERSION_WIDTH);
    to = qt_out_room(out, QT_STAMP_SHORT + 2);
    *to++ = ' ';
    to = qt_stamp_short(&table->stamp, event->time_ns, to);
    *to++ = ' ';
    qt_out_took(out, to);
    qt_out_style(out, "36");
    if (event->data_size == 0) {
        qt_text_put(out, event->type, event->type_size);
        qt_out_plain(out);
    } else {
        qt_text_padded(out, event->type, event->type_size, table->type_width);
        qt_out_plain(out);
        qt_out_char(out, ' ');
        qt_summary_put(out, &table->scratch, event, table->data_width);
    }
    qt_out_char(out, '\n');
}

void qt_table_release(struct qt_table *table)
{
    qt_bytes_release(&table->scratch);
}
