/* cmd_stat.c - quipu stat: how a store is, on one screen.
 *
 * Figures are of one moment and none is estimated. What an operator should act on is marked WARN.
 */
#include "bytes.h"
#include "command.h"
#include "items.h"
#include "mark.h"
#include "number.h"
#include "projection.h"
#include "stamp.h"
#include "store.h"
#include "text.h"
#include "uuid.h"
#include "value.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MARKS_SHOWN 4 /* on one line; quipu marks has all */

#define LAG_WARN 1000 /* transactions: 16 to 25 KiB of file each that cannot be used again */

static void put_count(struct qt_out *out, const char *name, uint64_t count)
{
    qt_out_key(out, name);
    qt_out_number(out, count);
}

static void put_time(struct qt_out *out, const char *name, int64_t time_ns)
{
    struct qt_stamp stamp = {0};
    char *to;

    qt_out_key(out, name);
    to = qt_out_room(out, QT_STAMP_FULL + 2);
    *to++ = '"';
    to = qt_stamp_full(&stamp, time_ns, to);
    *to++ = '"';
    qt_out_took(out, to);
}

/* Readers of other calls than this one. */
struct readers {
    uint64_t count;
    uint32_t oldest_pid;     /* 0: there is none */
    uint64_t oldest_lag;     /* transactions that it is behind */
    int64_t oldest_since_ns; /* 0: nobody knows */
    char oldest_name[64];
};

/* They come with the one that is furthest behind first. Returns: 0, or a status with its problem.
 */
static int count_readers(struct qt_run *run, quipu *store, struct readers *readers)
{
    quipu_list *list = NULL;
    quipu_item item = {0};
    quipu_error error = {0};
    int rc = quipu_list_open(store, QUIPU_LIST_READERS, NULL, &list, &error);

    *readers = (struct readers){0};
    if (rc == 0)
        rc = quipu_list_next(list, &item, &error);
    for (; rc == QUIPU_ROW; rc = quipu_list_next(list, &item, &error)) {
        if (item.pid == (uint32_t)getpid())
            continue;
        if (readers->count == 0) {
            readers->oldest_pid = item.pid;
            readers->oldest_lag = item.lag;
            readers->oldest_since_ns = item.time_ns;
            (void)snprintf(readers->oldest_name, sizeof(readers->oldest_name), "%s", item.name);
        }
        readers->count++;
    }
    quipu_list_close(list);
    return rc < 0 ? qt_store_failed(run, rc, &error) : 0;
}

/* Marks and sources, copied: the list they come from keeps pages. */
struct marks {
    struct qt_bytes names; /* each with its 0 */
    struct qt_bytes items; /* quipu_item, whose names are NULL */
    size_t count;
};

static int take_marks(struct qt_run *run, quipu *store, struct marks *marks)
{
    quipu_list *list = NULL;
    quipu_item item = {0};
    quipu_error error = {0};
    int rc = quipu_list_open(store, QUIPU_LIST_MARKS, NULL, &list, &error);

    if (rc < 0)
        return qt_store_failed(run, rc, &error);
    for (;;) {
        rc = quipu_list_next(list, &item, &error);
        if (rc != QUIPU_ROW)
            break;
        qt_bytes_put(&marks->names, item.name, strlen(item.name) + 1);
        item.text = qt_mark_is_source(&item) ? "source" : "mark";
        qt_bytes_put(&marks->items, &item, sizeof(item));
        marks->count++;
    }
    quipu_list_close(list);
    if (rc < 0)
        return qt_store_failed(run, rc, &error);
    if (marks->names.failed || marks->items.failed)
        return qt_problem_say(&run->problem, QUIPU_NO_MEMORY, "out of memory");
    return 0;
}

/* The next of them: `name` goes from one to the next. */
static const quipu_item *mark_of(const struct marks *marks, size_t i, const char **name)
{
    quipu_item *item = (quipu_item *)(void *)marks->items.data + i;

    item->name = *name;
    *name += strlen(*name) + 1;
    return item;
}

static void put_marks_json(struct qt_out *out, const struct marks *marks)
{
    const char *name = marks->names.data;

    qt_out_char(out, '[');
    for (size_t i = 0; i < marks->count; i++) {
        if (i > 0)
            qt_out_char(out, ',');
        qt_mark_put_json(out, mark_of(marks, i, &name));
    }
    qt_out_char(out, ']');
}

static void put_oldest_json(struct qt_out *out, const struct readers *readers)
{
    struct qt_bytes name = {0};

    if (readers->count == 0) {
        qt_out_text(out, "{}");
        return;
    }
    qt_out_text(out, "{\"pid\":");
    qt_out_number(out, readers->oldest_pid);
    qt_text_bytes(&name, readers->oldest_name, strlen(readers->oldest_name));
    if (name.size > 0) {
        qt_out_key(out, "name");
        qt_out_json(out, name.data, name.size); /* a process may call itself anything */
    }
    qt_bytes_release(&name);
    put_count(out, "lag", readers->oldest_lag);
    if (readers->oldest_since_ns != 0) {
        struct qt_stamp stamp = {0};
        char *to;

        qt_out_key(out, "since");
        qt_out_char(out, '"');
        to = qt_out_room(out, QT_STAMP_FULL);
        qt_out_took(out, qt_stamp_full(&stamp, readers->oldest_since_ns, to));
        qt_out_char(out, '"');
    }
    qt_out_char(out, '}');
}

/* One line; a field that has nothing to say in an empty store is absent. */
static void put_json(struct qt_out *out, const quipu_stat *stat, const struct readers *readers,
                     const struct marks *marks, const struct qt_items *projections)
{
    char chain[17];

    qt_number_hex16(stat->chain, chain);
    qt_out_text(out, "{\"uuid\":");
    qt_uuid_put(out, stat->uuid);
    put_count(out, "format", stat->format);
    put_count(out, "events", stat->events);
    put_count(out, "streams", stat->streams);
    put_count(out, "head", stat->head);
    put_count(out, "indexed", stat->indexed);
    put_count(out, "tail_events", stat->tail_events);
    qt_out_key(out, "chain");
    qt_out_json(out, chain, 16);
    put_count(out, "log_bytes", stat->log_bytes);
    put_count(out, "index_bytes", stat->index_bytes);
    put_count(out, "free_bytes", stat->free_bytes);
    if (stat->events > 0) {
        put_time(out, "first_time", stat->first_time_ns);
        put_time(out, "last_time", stat->last_time_ns);
    }
    qt_out_key(out, "oldest_reader");
    put_oldest_json(out, readers);
    qt_out_key(out, "marks");
    put_marks_json(out, marks);
    qt_out_key(out, "projections");
    qt_projection_put_array(out, projections);
    qt_out_text(out, "}\n");
}

/* The first column. */
static void put_label(struct qt_out *out, const char *label)
{
    qt_out_style(out, "1");
    qt_text_padded(out, label, strlen(label), 13);
    qt_out_plain(out);
}

static void put_amount(struct qt_out *out, uint64_t bytes)
{
    char amount[QT_AMOUNT_MAX];

    qt_out_text(out, qt_number_amount(bytes, amount));
}

/* How long ago it was, unless that is in the future: times are the caller's. */
static void put_age(struct qt_out *out, const char *before, int64_t time_ns, const char *behind)
{
    char age[QT_AMOUNT_MAX];
    struct timespec now;
    int64_t seconds;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    seconds = (int64_t)now.tv_sec - time_ns / 1000000000;
    if (seconds < 0)
        return;
    qt_out_text(out, before);
    qt_out_text(out, qt_number_age((uint64_t)seconds, age));
    qt_out_text(out, behind);
}

/* When the first and the newest event happened: what the callers said, so not always in order. */
static void put_times(struct qt_out *out, const quipu_stat *stat)
{
    struct qt_stamp stamp = {0};
    char *to;

    put_label(out, "times");
    to = qt_out_room(out, QT_STAMP_SHORT);
    qt_out_took(out, qt_stamp_short(&stamp, stat->first_time_ns, to));
    qt_out_text(out, " to ");
    to = qt_out_room(out, QT_STAMP_SHORT);
    qt_out_took(out, qt_stamp_short(&stamp, stat->last_time_ns, to));
    qt_out_char(out, '\n');
}

/* A reader left open pins pages of the file: whose it is, and how far behind. */
static void put_readers(struct qt_out *out, const struct readers *readers)
{
    put_label(out, "readers");
    qt_text_grouped(out, readers->count, 0);
    if (readers->count > 0) {
        qt_out_text(out, "; oldest pid ");
        qt_out_number(out, readers->oldest_pid);
        if (readers->oldest_name[0] != '\0') {
            qt_out_text(out, " (");
            qt_text_put(out, readers->oldest_name, strlen(readers->oldest_name));
            qt_out_char(out, ')');
        }
        qt_out_text(out, ", ");
        qt_text_grouped(out, readers->oldest_lag, 0);
        qt_out_text(out, readers->oldest_lag == 1 ? " commit behind" : " commits behind");
        if (readers->oldest_since_ns != 0)
            put_age(out, ", for ", readers->oldest_since_ns, "");
        if (readers->oldest_lag >= LAG_WARN) {
            qt_out_style(out, "33");
            qt_out_text(out, "     WARN: the file grows until it is closed");
            qt_out_plain(out);
        }
    }
    qt_out_char(out, '\n');
}

/* How far behind who reads is, and where what is taken in stands. */
static void put_marks(struct qt_out *out, const struct marks *marks)
{
    const char *name = marks->names.data;

    put_label(out, "marks");
    for (size_t i = 0; i < marks->count && i < MARKS_SHOWN; i++) {
        const quipu_item *item = mark_of(marks, i, &name);
        bool source = qt_mark_is_source(item);

        qt_out_text(out, i > 0 ? "; " : "");
        qt_text_put(out, item->name, strlen(item->name));
        qt_out_text(out, source ? " at " : " lag ");
        qt_text_grouped(out, source ? item->mark : item->lag, 0);
    }
    if (marks->count > MARKS_SHOWN) {
        qt_out_text(out, "; ");
        qt_text_grouped(out, marks->count - MARKS_SHOWN, 0);
        qt_out_text(out, " more, see quipu marks");
    }
    qt_out_char(out, '\n');
}

/* All of them in one line, and whom to ask about the first that has stopped. */
static void put_projections(struct qt_run *run, const struct qt_items *projections)
{
    struct qt_out *out = &run->out;
    const quipu_item *worst = NULL;
    struct qt_bytes next = {0};

    put_label(out, "projections");
    qt_projection_put_summary(out, projections);
    for (size_t i = 0; i < projections->count; i++) {
        const quipu_item *item = qt_items_at(projections, i);

        if (item->fault != NULL || (item->parked > 0 && worst == NULL))
            worst = item;
        if (item->fault != NULL)
            break;
    }
    if (worst != NULL) {
        qt_bytes_text(&next, "     -> quipu why ");
        qt_value_quoted(&next, run->args.operands[0]);
        qt_bytes_char(&next, ' ');
        qt_value_quoted(&next, worst->name);
    }
    qt_out_put(out, next.data, next.size);
    qt_bytes_release(&next);
    qt_out_char(out, '\n');
}

static void put_text(struct qt_run *run, const quipu_stat *stat, const struct readers *readers,
                     const struct marks *marks, const struct qt_items *projections)
{
    struct qt_out *out = &run->out;
    char chain[17];

    put_label(out, "events");
    qt_text_grouped(out, stat->events, 0);
    qt_out_text(out, " in ");
    qt_text_grouped(out, stat->streams, 0);
    qt_out_text(out, stat->streams == 1 ? " stream" : " streams");
    if (stat->events > 0)
        put_age(out, "; newest ", stat->last_time_ns, " ago");
    qt_out_char(out, '\n');
    if (stat->events > 0)
        put_times(out, stat);
    put_label(out, "disk");
    qt_out_text(out, "log ");
    put_amount(out, stat->log_bytes);
    qt_out_text(out, " (");
    put_amount(out, stat->free_bytes);
    qt_out_text(out, " free inside), index ");
    put_amount(out, stat->index_bytes);
    qt_out_char(out, '\n');
    put_label(out, "index");
    qt_out_text(out, "complete to ");
    qt_text_grouped(out, stat->indexed, 0);
    qt_out_text(out, ", ");
    qt_text_grouped(out, stat->tail_events, 0);
    qt_out_text(out, " in the tail\n");
    put_readers(out, readers);
    if (marks->count > 0)
        put_marks(out, marks);
    if (projections->count > 0)
        put_projections(run, projections);
    qt_number_hex16(stat->chain, chain);
    put_label(out, "chain");
    qt_out_text(out, chain);
    qt_out_text(out, " at ");
    qt_text_grouped(out, stat->head, 0);
    qt_out_char(out, '\n');
}

static int run_stat(struct qt_run *run)
{
    quipu *store = NULL;
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    struct readers readers = {0};
    struct marks marks = {0};
    struct qt_items projections = {0};
    quipu_error error = {0};
    int rc = qt_store_open(run, QT_STORE_READ, &store);

    if (rc == 0)
        rc = count_readers(run, store, &readers);
    if (rc == 0)
        rc = take_marks(run, store, &marks);
    if (rc == 0)
        rc = qt_items_take(run, store, QUIPU_LIST_PROJECTIONS, NULL, UINT64_MAX, &projections);
    if (rc < 0)
        goto done;
    rc = quipu_stat_get(store, &stat, &error);
    if (rc < 0)
        rc = qt_store_failed(run, rc, &error);
    else if (run->json)
        put_json(&run->out, &stat, &readers, &marks, &projections);
    else
        put_text(run, &stat, &readers, &marks, &projections);

done:
    quipu_close(store);
    qt_bytes_release(&marks.names);
    qt_bytes_release(&marks.items);
    qt_items_release(&projections);
    return rc;
}

const struct qt_command qt_command_stat = {
    .verb = "stat",
    .summary = "show how a store is",
    .operands = "STORE",
    .example = "quipu stat orders",
    .text = "Events, disk, index, readers, marks, projections. A reader that a process leaves\n"
            "open keeps pages, so that the file grows with each commit: the oldest is named,\n"
            "with a warning if it is 1 000 commits behind. Of projections that have stopped\n"
            "or have parked events quipu why says more.\n\n"
            "Two stores with the same chain at the same position have the same history up to\n"
            "there.\n",
    .options = NULL,
    .waits = true,
    .run = run_stat,
};
