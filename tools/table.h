/* table.h - events as rows for people: position, stream, version, time, type, data. */
#ifndef QT_TABLE_H
#define QT_TABLE_H

#include "bytes.h"
#include "out.h"
#include "quipu.h"
#include "stamp.h"

#include <stdbool.h>
#include <stddef.h>

struct qt_table {
    bool one_stream; /* the column of stream names is left out */
    size_t position_width;
    size_t stream_width;
    size_t type_width;
    size_t data_width;
    struct qt_stamp stamp;
    struct qt_bytes scratch;
};

void qt_table_init(struct qt_table *table, bool one_stream, uint64_t last_position);

/* Widen the columns for an event that will come. Rows that are wider still are not cut. */
void qt_table_fit(struct qt_table *table, const quipu_event *event);

/* When all is fitted: what is left of `columns` (0: no terminal) is for the data. */
void qt_table_head(struct qt_table *table, struct qt_out *out, size_t columns);
void qt_table_row(struct qt_table *table, struct qt_out *out, const quipu_event *event);

void qt_table_release(struct qt_table *table);

#endif
