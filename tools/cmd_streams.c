/* cmd_streams.c - quipu streams: the streams of a store, each on one line.
 *
 * A list that is left open pins pages of the store, and whoever reads our output may be a person
 * with a pager; a list cannot go on after a name. So what will be printed is copied first, 56 bytes
 * and the name for each stream, and the first line is written when the list is closed. */
#include "bytes.h"
#include "command.h"
#include "number.h"
#include "stamp.h"
#include "store.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define NAME_WIDTH_MAX 60

static const struct qt_option options[] = {
    {.name = "category",
     .value = "NAME",
     .help = "streams whose name begins with NAME and '-'",
     .kind = QT_TEXT},
    {.name = "prefix", .value = "TEXT", .help = "names that begin with TEXT", .kind = QT_TEXT},
    {.name = "sort",
     .value = "name|version|last",
     .help = "by name; the longest first; the newest first",
     .kind = QT_CHOICE},
    {.name = "limit", .value = "N", .help = "at most N streams", .kind = QT_NUMBER},
    {0},
};

/* A stream as it was when the list came to it. */
struct row {
    size_t name; /* where it begins in `names` */
    uint64_t version;
    uint64_t count;
    uint64_t first_position;
    uint64_t position;
    int64_t time_ns;
    int64_t last_time_ns;
};

struct streams {
    struct qt_run *run;
    quipu *store;
    const char *category;
    const char *prefix;
    const char *sort; /* NULL: by name, as they come */
    uint64_t limit;
    uint64_t shown;
    bool cut; /* there are more than the limit let through */
    size_t name_width;
    struct qt_stamp stamp;
    struct qt_bytes names;
    struct qt_bytes rows;
    size_t row_count;
};

/* The part before the first '-'; a name without one, or that begins with one, is its own. */
static size_t category_size(const char *name)
{
    const char *dash = strchr(name, '-');

    return dash == NULL || dash == name ? strlen(name) : (size_t)(dash - name);
}

/* The prefix was asked of the library; the category is compared here, to its last byte. */
static bool wanted(const struct streams *streams, const char *name)
{
    size_t size;

    if (streams->category == NULL)
        return true;
    size = category_size(name);
    return strlen(streams->category) == size && memcmp(streams->category, name, size) == 0;
}

static void put_json(struct streams *streams, const quipu_item *item)
{
    struct qt_out *out = &streams->run->out;
    size_t size = strlen(item->name);
    char *to;

    qt_out_text(out, "{\"stream\":");
    qt_out_json(out, item->name, size);
    qt_out_key(out, "category");
    qt_out_json(out, item->name, category_size(item->name));
    qt_out_key(out, "version");
    qt_out_number(out, item->version);
    qt_out_key(out, "events");
    qt_out_number(out, item->count);
    qt_out_key(out, "first_position");
    qt_out_number(out, item->first_position);
    qt_out_key(out, "last_position");
    qt_out_number(out, item->position);
    qt_out_text(out, ",\"first_time\":\"");
    to = qt_out_room(out, QT_STAMP_FULL);
    qt_out_took(out, qt_stamp_full(&streams->stamp, item->time_ns, to));
    qt_out_text(out, "\",\"last_time\":\"");
    to = qt_out_room(out, QT_STAMP_FULL);
    qt_out_took(out, qt_stamp_full(&streams->stamp, item->last_time_ns, to));
    qt_out_text(out, "\"}\n");
}

static void put_head(struct streams *streams)
{
    struct qt_out *out = &streams->run->out;

    qt_out_style(out, "2");
    qt_text_padded(out, "stream", 6, streams->name_width);
    qt_out_text(out, " version   events     last first time          last time");
    qt_out_plain(out);
    qt_out_char(out, '\n');
}

static void put_row(struct streams *streams, const quipu_item *item)
{
    struct qt_out *out = &streams->run->out;
    char *to;

    qt_text_padded(out, item->name, strlen(item->name), streams->name_width);
    qt_out_char(out, ' ');
    qt_text_right(out, item->version, 7);
    qt_out_char(out, ' ');
    qt_text_right(out, item->count, 8);
    qt_out_char(out, ' ');
    qt_text_right(out, item->position, 8);
    to = qt_out_room(out, 2 * QT_STAMP_SHORT + 3);
    *to++ = ' ';
    to = qt_stamp_short(&streams->stamp, item->time_ns, to);
    *to++ = ' ';
    to = qt_stamp_short(&streams->stamp, item->last_time_ns, to);
    *to++ = '\n';
    qt_out_took(out, to);
}

/* Returns: 1, 0 if by name nothing more will be printed, or a status with its problem. */
static int keep_stream(struct streams *streams, const quipu_item *item)
{
    struct row row = {
        .name = streams->names.size,
        .version = item->version,
        .count = item->count,
        .first_position = item->first_position,
        .position = item->position,
        .time_ns = item->time_ns,
        .last_time_ns = item->last_time_ns,
    };

    if (streams->sort == NULL && streams->row_count == streams->limit) {
        streams->cut = true;
        return 0;
    }
    qt_bytes_put(&streams->names, item->name, strlen(item->name) + 1);
    qt_bytes_put(&streams->rows, &row, sizeof(row));
    if (streams->names.failed || streams->rows.failed)
        return qt_problem_say(&streams->run->problem, QUIPU_NO_MEMORY, "out of memory");
    streams->row_count++;
    return 1;
}

/* Copy what is wanted. Returns: 0, or a status with its problem. */
static int keep_streams(struct streams *streams)
{
    const char *prefix = streams->prefix != NULL ? streams->prefix : streams->category;
    quipu_list *list = NULL;
    quipu_item item;
    quipu_error error = {0};
    int rc = quipu_list_open(streams->store, QUIPU_LIST_STREAMS, prefix, &list, &error);

    if (rc < 0)
        return qt_store_failed(streams->run, rc, &error);
    for (rc = 1; rc == 1;) {
        rc = quipu_list_next(list, &item, &error);
        if (rc < 0)
            (void)qt_store_failed(streams->run, rc, &error);
        else if (rc == QUIPU_ROW && wanted(streams, item.name))
            rc = keep_stream(streams, &item);
    }
    quipu_list_close(list);
    return rc;
}

/* The longest first. */
static int by_version(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;

    if (a->version != b->version)
        return a->version > b->version ? -1 : 1;
    return a->name < b->name ? -1 : 1; /* they came in the order of names */
}

/* No two streams have the same newest event. */
static int by_last(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;

    return a->position > b->position ? -1 : 1;
}

static quipu_item item_of(const struct streams *streams, const struct row *row)
{
    return (quipu_item){
        .name = streams->names.data + row->name,
        .version = row->version,
        .count = row->count,
        .first_position = row->first_position,
        .position = row->position,
        .time_ns = row->time_ns,
        .last_time_ns = row->last_time_ns,
    };
}

/* How wide must the column of names be? */
static void fit_rows(struct streams *streams, const struct row *rows)
{
    streams->name_width = 6;
    for (size_t i = 0; i < streams->row_count && streams->name_width < NAME_WIDTH_MAX; i++) {
        const char *name = streams->names.data + rows[i].name;
        size_t width = qt_text_width(name, strlen(name));

        if (width > NAME_WIDTH_MAX)
            width = NAME_WIDTH_MAX;
        if (width > streams->name_width)
            streams->name_width = width;
    }
}

/* Sorted first, then cut. No rows: nothing is printed, no head either. */
static void put_rows(struct streams *streams)
{
    struct row *rows = (struct row *)(void *)streams->rows.data;

    if (streams->sort != NULL && streams->row_count > 0) {
        qsort(rows, streams->row_count, sizeof(*rows),
              strcmp(streams->sort, "version") == 0 ? by_version : by_last);
        if (streams->row_count > streams->limit) {
            streams->row_count = (size_t)streams->limit;
            streams->cut = true;
        }
    }
    if (!streams->run->json && streams->row_count > 0) {
        fit_rows(streams, rows);
        put_head(streams);
    }
    for (size_t i = 0; i < streams->row_count && streams->run->out.failed == 0; i++) {
        quipu_item item = item_of(streams, &rows[i]);

        if (streams->run->json)
            put_json(streams, &item);
        else
            put_row(streams, &item);
        streams->shown++;
    }
}

/* The limit has cut something off: of how many, if nothing else was left out? */
static void put_footer(struct streams *streams)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    char shown[QT_GROUPED_MAX];
    char total[QT_GROUPED_MAX];

    qt_out_flush(&streams->run->out);
    qt_number_grouped(streams->shown, shown);
    if (streams->category == NULL && streams->prefix == NULL &&
        quipu_stat_get(streams->store, &stat, NULL) == 0)
        qt_note("%s of %s streams", shown, qt_number_grouped(stat.streams, total));
    else
        qt_note("%s streams, there are more", shown);
}

static int run_streams(struct qt_run *run)
{
    struct streams streams = {.run = run};
    const char *sort = qt_args_text(&run->args, "sort");
    int rc = qt_store_open(run, QT_STORE_READ, &streams.store);

    streams.category = qt_args_text(&run->args, "category");
    streams.prefix = qt_args_text(&run->args, "prefix");
    streams.sort = sort == NULL || strcmp(sort, "name") == 0 ? NULL : sort;
    streams.limit = qt_args_number(&run->args, "limit", UINT64_MAX);
    if (rc == 0)
        rc = keep_streams(&streams);
    if (rc == 0 || (rc == QUIPU_CORRUPT && streams.sort == NULL))
        put_rows(&streams); /* before damage, as far as the names go */
    if (rc == 0 && streams.cut && !run->json)
        put_footer(&streams);
    quipu_close(streams.store);
    qt_bytes_release(&streams.names);
    qt_bytes_release(&streams.rows);
    return rc;
}

const struct qt_command qt_command_streams = {
    .verb = "streams",
    .summary = "list streams",
    .operands = "STORE",
    .example = "quipu streams orders --sort version --limit 10",
    .text = "Lists each stream with its version, its number of events, the position of its\n"
            "newest event, and the times of its first and newest event.\n",
    .options = options,
    .waits = true,
    .run = run_streams,
};
