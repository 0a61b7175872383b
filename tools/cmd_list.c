/* cmd_list.c - quipu streams, categories, types, tags, marks: names of a store, each on one line.
 *
 * They differ in what the library is asked for, in what the column is called, in that only a stream
 * has a version, and in that a mark has no events; struct kind says it. A list that is left open
 * pins pages of the store, and whoever reads our output may be a person with a pager; a list cannot
 * go on after a name. So what will be printed is copied first, 80 bytes and the name for each, and
 * the first line is written when the list is closed. */
#include "bytes.h"
#include "command.h"
#include "mark.h"
#include "number.h"
#include "stamp.h"
#include "store.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define NAME_WIDTH_MAX 60

#define PREFIX_OPTION                                                                              \
    {                                                                                              \
        .name = "prefix", .value = "TEXT", .help = "names that begin with TEXT", .kind = QT_TEXT   \
    }
#define LIMIT_OPTION                                                                               \
    {                                                                                              \
        .name = "limit", .value = "N", .help = "at most N names", .kind = QT_NUMBER                \
    }

static const struct qt_option stream_options[] = {
    {.name = "category",
     .value = "NAME",
     .help = "streams whose name begins with NAME and '-'",
     .kind = QT_TEXT},
    PREFIX_OPTION,
    {.name = "sort",
     .value = "name|version|last",
     .help = "by name; the longest first; the newest first",
     .kind = QT_CHOICE},
    LIMIT_OPTION,
    {0},
};

static const struct qt_option other_options[] = {
    PREFIX_OPTION,
    {.name = "sort",
     .value = "name|count|last",
     .help = "by name; the most frequent first; the newest first",
     .kind = QT_CHOICE},
    LIMIT_OPTION,
    {0},
};

static const struct qt_option mark_options[] = {
    PREFIX_OPTION,
    {.name = "sort",
     .value = "name|last",
     .help = "marks, then sources; what changed last",
     .kind = QT_CHOICE},
    LIMIT_OPTION,
    {0},
};

/* What is listed. */
struct kind {
    const struct qt_command *command;
    int list;         /* quipu_list_kind */
    const char *name; /* of one: the column and the JSON key */
};

static const struct kind kinds[] = {
    {&qt_command_streams, QUIPU_LIST_STREAMS, "stream"},
    {&qt_command_categories, QUIPU_LIST_CATEGORIES, "category"},
    {&qt_command_types, QUIPU_LIST_TYPES, "type"},
    {&qt_command_tags, QUIPU_LIST_TAGS, "tag"},
    {&qt_command_marks, QUIPU_LIST_MARKS, "name"},
};

/* A name as it was when the list came to it. */
struct row {
    size_t name; /* where it begins in `names` */
    uint64_t version;
    uint64_t count;
    uint64_t first_position;
    uint64_t position;
    int64_t time_ns;
    int64_t last_time_ns;
    uint64_t mark;
    uint64_t lag;
    bool source; /* of a mark: it is none */
};

struct listing {
    struct qt_run *run;
    const struct kind *kind;
    quipu *store;
    const char *category;
    const char *prefix;
    const char *sort; /* NULL: by name, as they come */
    uint64_t limit;
    uint64_t shown;
    uint64_t total; /* if it is known without reading on; else 0 */
    bool cut;       /* there are more than the limit let through */
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

static bool has_version(const struct listing *listing)
{
    return listing->kind->list == QUIPU_LIST_STREAMS;
}

static bool is_mark(const struct listing *listing)
{
    return listing->kind->list == QUIPU_LIST_MARKS;
}

/* The prefix was asked of the library; the category is compared here, to its last byte. */
static bool wanted(const struct listing *listing, const char *name)
{
    size_t size;

    if (listing->category == NULL)
        return true;
    size = category_size(name);
    return strlen(listing->category) == size && memcmp(listing->category, name, size) == 0;
}

static void put_json(struct listing *listing, const quipu_item *item)
{
    struct qt_out *out = &listing->run->out;
    size_t size = strlen(item->name);
    char *to;

    if (is_mark(listing)) {
        qt_mark_put_json(out, item);
        qt_out_char(out, '\n');
        return;
    }
    qt_out_text(out, "{\"");
    qt_out_text(out, listing->kind->name);
    qt_out_text(out, "\":");
    qt_out_json(out, item->name, size);
    if (has_version(listing)) {
        qt_out_key(out, "category");
        qt_out_json(out, item->name, category_size(item->name));
        qt_out_key(out, "version");
        qt_out_number(out, item->version);
    }
    qt_out_key(out, "events");
    qt_out_number(out, item->count);
    qt_out_key(out, "first_position");
    qt_out_number(out, item->first_position);
    qt_out_key(out, "last_position");
    qt_out_number(out, item->position);
    qt_out_text(out, ",\"first_time\":\"");
    to = qt_out_room(out, QT_STAMP_FULL);
    qt_out_took(out, qt_stamp_full(&listing->stamp, item->time_ns, to));
    qt_out_text(out, "\",\"last_time\":\"");
    to = qt_out_room(out, QT_STAMP_FULL);
    qt_out_took(out, qt_stamp_full(&listing->stamp, item->last_time_ns, to));
    qt_out_text(out, "\"}\n");
}

static void put_head(struct listing *listing)
{
    struct qt_out *out = &listing->run->out;

    qt_out_style(out, "2");
    qt_text_padded(out, listing->kind->name, strlen(listing->kind->name), listing->name_width);
    if (is_mark(listing)) {
        qt_mark_put_head(out);
    } else {
        qt_out_text(out, has_version(listing) ? " version" : "");
        qt_out_text(out, "   events     last first time          last time");
    }
    qt_out_plain(out);
    qt_out_char(out, '\n');
}

static void put_row(struct listing *listing, const quipu_item *item)
{
    struct qt_out *out = &listing->run->out;
    char *to;

    qt_text_padded(out, item->name, strlen(item->name), listing->name_width);
    if (is_mark(listing)) {
        qt_mark_put_row(out, item);
        qt_out_char(out, '\n');
        return;
    }
    if (has_version(listing)) {
        qt_out_char(out, ' ');
        qt_text_right(out, item->version, 7);
    }
    qt_out_char(out, ' ');
    qt_text_right(out, item->count, 8);
    qt_out_char(out, ' ');
    qt_text_right(out, item->position, 8);
    to = qt_out_room(out, 2 * QT_STAMP_SHORT + 3);
    *to++ = ' ';
    to = qt_stamp_short(&listing->stamp, item->time_ns, to);
    *to++ = ' ';
    to = qt_stamp_short(&listing->stamp, item->last_time_ns, to);
    *to++ = '\n';
    qt_out_took(out, to);
}

/* Returns: 1, 0 if by name nothing more will be printed, or a status with its problem. */
static int keep_row(struct listing *listing, const quipu_item *item)
{
    struct row row = {
        .name = listing->names.size,
        .version = item->version,
        .count = item->count,
        .first_position = item->first_position,
        .position = item->position,
        .time_ns = item->time_ns,
        .last_time_ns = item->last_time_ns,
        .mark = item->mark,
        .lag = item->lag,
        .source = is_mark(listing) && qt_mark_is_source(item),
    };

    if (listing->sort == NULL && listing->row_count == listing->limit) {
        listing->cut = true;
        return 0;
    }
    qt_bytes_put(&listing->names, item->name, strlen(item->name) + 1);
    qt_bytes_put(&listing->rows, &row, sizeof(row));
    if (listing->names.failed || listing->rows.failed)
        return qt_problem_say(&listing->run->problem, QUIPU_NO_MEMORY, "out of memory");
    listing->row_count++;
    return 1;
}

/* Copy what is wanted. Returns: 0, or a status with its problem. */
static int keep_rows(struct listing *listing)
{
    const char *prefix = listing->prefix != NULL ? listing->prefix : listing->category;
    quipu_list *list = NULL;
    quipu_item item;
    quipu_error error = {0};
    int rc = quipu_list_open(listing->store, listing->kind->list, prefix, &list, &error);

    if (rc < 0)
        return qt_store_failed(listing->run, rc, &error);
    for (rc = 1; rc == 1;) {
        rc = quipu_list_next(list, &item, &error);
        if (rc < 0)
            (void)qt_store_failed(listing->run, rc, &error);
        else if (rc == QUIPU_ROW && wanted(listing, item.name))
            rc = keep_row(listing, &item);
    }
    quipu_list_close(list);
    return rc;
}

/* Of equals, that which came first: in the order of names. */
static int by_name(const struct row *a, const struct row *b)
{
    return a->name < b->name ? -1 : 1;
}

/* The longest first. */
static int by_version(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;

    if (a->version != b->version)
        return a->version > b->version ? -1 : 1;
    return by_name(a, b);
}

/* The most frequent first. */
static int by_count(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;

    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return by_name(a, b);
}

/* The newest first; an event may be the newest of several tags. Marks have no event. */
static int by_last(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;

    if (a->position != b->position)
        return a->position > b->position ? -1 : 1;
    if (a->last_time_ns != b->last_time_ns)
        return a->last_time_ns > b->last_time_ns ? -1 : 1;
    return by_name(a, b);
}

static int (*order_of(const char *sort))(const void *, const void *)
{
    if (strcmp(sort, "version") == 0)
        return by_version;
    return strcmp(sort, "count") == 0 ? by_count : by_last;
}

static quipu_item item_of(const struct listing *listing, const struct row *row)
{
    return (quipu_item){
        .name = listing->names.data + row->name,
        .version = row->version,
        .count = row->count,
        .first_position = row->first_position,
        .position = row->position,
        .time_ns = row->time_ns,
        .last_time_ns = row->last_time_ns,
        .mark = row->mark,
        .lag = row->lag,
        .text = row->source ? "source" : "mark",
    };
}

/* How wide must the column of names be? */
static void fit_rows(struct listing *listing, const struct row *rows)
{
    listing->name_width = strlen(listing->kind->name);
    for (size_t i = 0; i < listing->row_count && listing->name_width < NAME_WIDTH_MAX; i++) {
        const char *name = listing->names.data + rows[i].name;
        size_t width = qt_text_width(name, strlen(name));

        if (width > NAME_WIDTH_MAX)
            width = NAME_WIDTH_MAX;
        if (width > listing->name_width)
            listing->name_width = width;
    }
}

/* Sorted first, then cut. No rows: nothing is printed, no head either. */
static void put_rows(struct listing *listing)
{
    struct row *rows = (struct row *)(void *)listing->rows.data;

    if (listing->sort != NULL && listing->row_count > 0) {
        qsort(rows, listing->row_count, sizeof(*rows), order_of(listing->sort));
        listing->total = listing->row_count;
        if (listing->row_count > listing->limit) {
            listing->row_count = (size_t)listing->limit;
            listing->cut = true;
        }
    }
    if (!listing->run->json && listing->row_count > 0) {
        fit_rows(listing, rows);
        put_head(listing);
    }
    for (size_t i = 0; i < listing->row_count && listing->run->out.failed == 0; i++) {
        quipu_item item = item_of(listing, &rows[i]);

        if (listing->run->json)
            put_json(listing, &item);
        else
            put_row(listing, &item);
        listing->shown++;
    }
}

/* The limit has cut something off: of how many, if that is known? */
static void put_footer(struct listing *listing)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    char shown[QT_GROUPED_MAX];
    char total[QT_GROUPED_MAX];

    qt_out_flush(&listing->run->out);
    qt_number_grouped(listing->shown, shown);
    if (listing->total == 0 && has_version(listing) && listing->category == NULL &&
        listing->prefix == NULL && quipu_stat_get(listing->store, &stat, NULL) == 0)
        listing->total = stat.streams;
    qt_number_grouped(listing->total, total);
    qt_note("%s%s%s %s%s", shown, listing->total > 0 ? " of " : "", listing->total > 0 ? total : "",
            listing->run->command->verb, listing->total > 0 ? "" : ", there are more");
}

static const struct kind *kind_of(const struct qt_command *command)
{
    const struct kind *kind = kinds;

    while (kind->command != command)
        kind++;
    return kind;
}

static int run_list(struct qt_run *run)
{
    struct listing listing = {.run = run, .kind = kind_of(run->command)};
    const char *sort = qt_args_text(&run->args, "sort");
    int rc = qt_store_open(run, QT_STORE_READ, &listing.store);

    if (has_version(&listing))
        listing.category = qt_args_text(&run->args, "category");
    listing.prefix = qt_args_text(&run->args, "prefix");
    listing.sort = sort == NULL || strcmp(sort, "name") == 0 ? NULL : sort;
    listing.limit = qt_args_number(&run->args, "limit", UINT64_MAX);
    if (rc == 0)
        rc = keep_rows(&listing);
    if (rc == 0 || (rc == QUIPU_CORRUPT && listing.sort == NULL))
        put_rows(&listing); /* before damage, as far as the names go */
    if (rc == 0 && listing.cut && !run->json)
        put_footer(&listing);
    quipu_close(listing.store);
    qt_bytes_release(&listing.names);
    qt_bytes_release(&listing.rows);
    return rc;
}

const struct qt_command qt_command_streams = {
    .verb = "streams",
    .summary = "list streams",
    .operands = "STORE",
    .example = "quipu streams orders --sort version --limit 10",
    .text = "Lists each stream with its version, its number of events, the position of its\n"
            "newest event, and the times of its first and newest event.\n",
    .options = stream_options,
    .waits = true,
    .run = run_list,
};

#define OTHERS_TEXT                                                                                \
    "with its number of events, the position of its newest\n"                                      \
    "event, and the times of its first and newest event.\n"

const struct qt_command qt_command_categories = {
    .verb = "categories",
    .summary = "list categories of streams",
    .operands = "STORE",
    .example = "quipu categories orders",
    .text = "The category of a stream is its name up to the first '-'. Lists each "
            "category,\n" OTHERS_TEXT,
    .options = other_options,
    .waits = true,
    .run = run_list,
};

const struct qt_command qt_command_types = {
    .verb = "types",
    .summary = "list types of events",
    .operands = "STORE",
    .example = "quipu types orders --sort count",
    .text = "Lists each type of events, " OTHERS_TEXT,
    .options = other_options,
    .waits = true,
    .run = run_list,
};

const struct qt_command qt_command_tags = {
    .verb = "tags",
    .summary = "list tags of events",
    .operands = "STORE",
    .example = "quipu append orders order-17 --type CALLED --tag agent:7 && quipu tags orders",
    .text = "Lists each tag, " OTHERS_TEXT,
    .options = other_options,
    .waits = true,
    .run = run_list,
};

const struct qt_command qt_command_marks = {
    .verb = "marks",
    .summary = "list marks and sources",
    .operands = "STORE",
    .example = "echo '{\"mark\":\"report\",\"position\":1029}' | quipu append orders --batch - && "
               "quipu marks orders",
    .text = "A mark says how far a program has come that reads this store: its position, how\n"
            "many events came after it, and when it moved. A source says up to which number\n"
            "something was taken in, such as the line of a file by import --resume. Both are\n"
            "committed with what they stand for.\n",
    .options = mark_options,
    .waits = true,
    .run = run_list,
};
