/* cmd_snapshots.c - quipu snapshots: states of folds that a store keeps; listed, shown, dropped.
 *
 * The tool knows no fold, so it can neither make nor check one. What a state's bytes mean is the
 * program's business: they are shown as what they look like. What will be printed of a list is
 * copied first, as in cmd_list.c, so that nothing is pinned while somebody reads. */
#include "bytes.h"
#include "command.h"
#include "json.h"
#include "number.h"
#include "pretty.h"
#include "stamp.h"
#include "store.h"
#include "text.h"

#include <string.h>

#define NAME_WIDTH_MAX 60

static const struct qt_option options[] = {
    {.name = "fold", .value = "NAME", .help = "those of this fold", .kind = QT_TEXT},
    {.name = "show", .help = "print the newest state, as what its bytes look like"},
    {.name = "at", .value = "VERSION", .help = "show the one at this version", .kind = QT_NUMBER},
    {.name = "drop", .help = "remove them; without STREAM and --fold all"},
    {0},
};

/* A snapshot as it was when the list came to it. */
struct row {
    size_t stream; /* where it begins in `names` */
    size_t fold;
    uint64_t fold_version;
    uint64_t version;
    uint64_t position;
    uint64_t bytes;
    int64_t recorded_ns;
    size_t status;
};

struct kept {
    struct qt_run *run;
    quipu *store;
    const char *stream; /* NULL: all */
    const char *fold;   /* likewise */
    struct qt_bytes names;
    struct qt_bytes rows;
    size_t count;
    size_t ignored; /* of them: no load can use it */
    size_t stream_width;
    size_t fold_width;
    struct qt_stamp stamp;
};

static size_t keep_name(struct kept *kept, const char *name)
{
    size_t at = kept->names.size;

    qt_bytes_put(&kept->names, name, strlen(name) + 1);
    return at;
}

static void widen(size_t *width, const char *name)
{
    size_t wide = qt_text_width(name, strlen(name));

    if (wide > NAME_WIDTH_MAX)
        wide = NAME_WIDTH_MAX;
    if (wide > *width)
        *width = wide;
}

/* Returns: 0, or a status with its problem. */
static int keep_row(struct kept *kept, const quipu_item *item)
{
    struct row row = {.fold_version = item->mark,
                      .version = item->version,
                      .position = item->position,
                      .bytes = item->count,
                      .recorded_ns = item->time_ns};

    if (kept->stream != NULL && strcmp(kept->stream, item->name) != 0)
        return 0;
    row.stream = keep_name(kept, item->name);
    row.fold = keep_name(kept, item->key);
    row.status = keep_name(kept, item->text != NULL ? item->text : "damaged");
    qt_bytes_put(&kept->rows, &row, sizeof(row));
    if (kept->names.failed || kept->rows.failed)
        return qt_problem_say(&kept->run->problem, QUIPU_NO_MEMORY, "out of memory");
    widen(&kept->stream_width, item->name);
    widen(&kept->fold_width, item->key);
    kept->count++;
    kept->ignored += item->text == NULL || strcmp(item->text, "usable") != 0;
    return 0;
}

/* One that is damaged is listed as such: nothing is lost by it. */
static int keep_rows(struct kept *kept)
{
    quipu_list *list = NULL;
    quipu_item item = {0};
    quipu_error error = {0};
    int rc = quipu_list_open(kept->store, QUIPU_LIST_SNAPSHOTS, kept->fold, &list, &error);

    if (rc < 0)
        return qt_store_failed(kept->run, rc, &error);
    do {
        rc = quipu_list_next(list, &item, &error);
        if (rc < 0 && (rc != QUIPU_CORRUPT || item.name == NULL))
            (void)qt_store_failed(kept->run, rc, &error);
        else if (rc != QUIPU_OK)
            rc = keep_row(kept, &item) == 0 ? QUIPU_ROW : QUIPU_NO_MEMORY;
    } while (rc == QUIPU_ROW);
    quipu_list_close(list);
    return rc;
}

/* ---- rows ---- */

static void put_json(struct kept *kept, const struct row *row)
{
    struct qt_out *out = &kept->run->out;
    const char *names = kept->names.data;
    char *to;

    qt_out_text(out, "{\"stream\":");
    qt_out_json(out, names + row->stream, strlen(names + row->stream));
    qt_out_key(out, "fold");
    qt_out_json(out, names + row->fold, strlen(names + row->fold));
    qt_out_key(out, "fold_version");
    qt_out_number(out, row->fold_version);
    qt_out_key(out, "version");
    qt_out_number(out, row->version);
    qt_out_key(out, "position");
    qt_out_number(out, row->position);
    qt_out_key(out, "bytes");
    qt_out_number(out, row->bytes);
    qt_out_key(out, "status");
    qt_out_json(out, names + row->status, strlen(names + row->status));
    if (row->recorded_ns != 0) {
        qt_out_text(out, ",\"recorded\":\"");
        to = qt_out_room(out, QT_STAMP_FULL);
        qt_out_took(out, qt_stamp_full(&kept->stamp, row->recorded_ns, to));
        qt_out_char(out, '"');
    }
    qt_out_text(out, "}\n");
}

static void put_head(struct kept *kept)
{
    struct qt_out *out = &kept->run->out;

    qt_out_style(out, "2");
    qt_text_padded(out, "stream", 6, kept->stream_width);
    qt_out_char(out, ' ');
    qt_text_padded(out, "fold", 4, kept->fold_width);
    qt_out_text(out, " fold version  version position    bytes status  recorded");
    qt_out_plain(out);
    qt_out_char(out, '\n');
}

static void put_row(struct kept *kept, const struct row *row)
{
    struct qt_out *out = &kept->run->out;
    const char *names = kept->names.data;
    char *to;

    qt_text_padded(out, names + row->stream, strlen(names + row->stream), kept->stream_width);
    qt_out_char(out, ' ');
    qt_text_padded(out, names + row->fold, strlen(names + row->fold), kept->fold_width);
    qt_text_right(out, row->fold_version, 13);
    qt_text_right(out, row->version, 9);
    qt_text_right(out, row->position, 9);
    qt_text_right(out, row->bytes, 9);
    qt_out_char(out, ' ');
    if (row->recorded_ns == 0) {
        qt_out_text(out, names + row->status);
    } else {
        qt_text_padded(out, names + row->status, strlen(names + row->status), 8);
        to = qt_out_room(out, QT_STAMP_SHORT);
        qt_out_took(out, qt_stamp_short(&kept->stamp, row->recorded_ns, to));
    }
    qt_out_char(out, '\n');
}

static void put_rows(struct kept *kept)
{
    const struct row *rows = (const struct row *)(const void *)kept->rows.data;
    char ignored[QT_GROUPED_MAX];
    char count[QT_GROUPED_MAX];

    widen(&kept->stream_width, "stream");
    widen(&kept->fold_width, "fold");
    if (!kept->run->json && kept->count > 0)
        put_head(kept);
    for (size_t i = 0; i < kept->count && kept->run->out.failed == 0; i++) {
        if (kept->run->json)
            put_json(kept, &rows[i]);
        else
            put_row(kept, &rows[i]);
    }
    if (kept->run->json || kept->ignored == 0)
        return;
    qt_out_flush(&kept->run->out);
    qt_number_grouped(kept->ignored, ignored);
    qt_number_grouped(kept->count, count);
    if (kept->count == 1)
        qt_note("1 snapshot is of no use: loads pass it over");
    else
        qt_note("%s of %s snapshots are of no use: loads pass them over", ignored, count);
}

/* ---- one state ---- */

/* A struct of a few bytes may be msgpack by chance: a map or an array hardly ever is. */
static bool may_be_msgpack(struct qt_span state)
{
    unsigned char first = (unsigned char)state.text[0];

    return (first >= 0x80 && first <= 0x9f) || (first >= 0xdc && first <= 0xdf);
}

/* JSON on one line. */
static void put_line(struct qt_out *out, struct qt_span json)
{
    struct qt_span run;

    while (qt_json_run(&json, &run) == 1)
        qt_out_put(out, run.text, run.size);
}

static void put_state(struct qt_run *run, struct qt_bytes *scratch, struct qt_span state)
{
    struct qt_out *out = &run->out;
    enum qt_pretty_form form = qt_pretty_form(scratch, state, QUIPU_JSON);

    if (form != QT_PRETTY_JSON && state.size > 0 && may_be_msgpack(state))
        form = qt_pretty_form(scratch, state, QUIPU_MSGPACK);
    if (form != QT_PRETTY_JSON && form != QT_PRETTY_MSGPACK)
        form = qt_pretty_form(scratch, state, QUIPU_BINARY);
    if (run->json && form == QT_PRETTY_JSON)
        put_line(out, state);
    else if (run->json && form == QT_PRETTY_MSGPACK)
        put_line(out, (struct qt_span){scratch->data, scratch->size});
    else
        qt_pretty_payload(out, scratch, state, form, 0);
    qt_out_char(out, '\n');
}

/* Without --fold: the fold of the stream's snapshots, if there is one alone. Returns: NULL, with a
 * problem. */
static const char *only_fold(struct kept *kept)
{
    const struct row *rows;
    const char *names;

    if (keep_rows(kept) < 0)
        return NULL;
    rows = (const struct row *)(const void *)kept->rows.data;
    names = kept->names.data;
    for (size_t i = 1; i < kept->count; i++) {
        if (strcmp(names + rows[i].fold, names + rows[0].fold) != 0) {
            (void)qt_problem_say(&kept->run->problem, QUIPU_MISUSE,
                                 "there are several folds, name one by --fold");
            return NULL;
        }
    }
    if (kept->count > 0)
        return names + rows[0].fold;
    (void)qt_problem_say(&kept->run->problem, QUIPU_NOT_FOUND, "no snapshot of stream %.200s",
                         kept->stream);
    return NULL;
}

static int show_state(struct kept *kept)
{
    struct qt_bytes state = {0};
    struct qt_bytes scratch = {0};
    quipu_error error = {0};
    uint64_t version = qt_args_number(&kept->run->args, "at", 0);
    const char *fold = kept->fold != NULL ? kept->fold : only_fold(kept);
    size_t size = 0;
    int rc;

    if (fold == NULL)
        return kept->run->problem.status;
    do { /* it may be replaced by a longer one meanwhile */
        char *room;

        state.size = 0;
        room = qt_bytes_room(&state, size + 1);
        if (room == NULL) {
            qt_bytes_release(&state);
            return qt_problem_say(&kept->run->problem, QUIPU_NO_MEMORY, "out of memory");
        }
        state.size = size;
        rc = quipu_snapshot_get(kept->store, kept->stream, fold, version, room, &size, &error);
    } while (rc == QUIPU_OK && size > state.size);
    if (rc == QUIPU_OK)
        put_state(kept->run, &scratch, (struct qt_span){state.data, size});
    else
        rc = qt_store_failed(kept->run, rc, &error);
    qt_bytes_release(&state);
    qt_bytes_release(&scratch);
    return rc;
}

/* ---- drop ---- */

static int drop(struct kept *kept)
{
    struct qt_out *out = &kept->run->out;
    quipu_error error = {0};
    uint64_t dropped = 0;
    int rc = quipu_snapshot_drop(kept->store, kept->stream, kept->fold, &dropped, &error);

    if (rc < 0)
        return qt_store_failed(kept->run, rc, &error);
    if (kept->run->json) {
        qt_out_text(out, "{\"dropped\":");
        qt_out_number(out, dropped);
        qt_out_text(out, "}\n");
    } else {
        qt_text_grouped(out, dropped, 0);
        qt_out_text(out, " snapshots dropped\n");
    }
    return rc;
}

/* Returns: 0, or a status with its problem. */
static int check_options(struct kept *kept)
{
    struct qt_run *run = kept->run;
    bool show = qt_args_has(&run->args, "show");

    if (show && qt_args_has(&run->args, "drop"))
        return qt_problem_say(&run->problem, QUIPU_MISUSE, "--show and --drop exclude each other");
    if (show && kept->stream == NULL)
        return qt_problem_say(&run->problem, QUIPU_MISUSE, "--show needs a STREAM");
    if (!show && qt_args_has(&run->args, "at"))
        return qt_problem_say(&run->problem, QUIPU_MISUSE, "--at needs --show");
    return 0;
}

static int run_snapshots(struct qt_run *run)
{
    bool drops = qt_args_has(&run->args, "drop");
    struct kept kept = {.run = run, .fold = qt_args_text(&run->args, "fold")};
    int rc;

    if (run->args.operand_count > 1)
        kept.stream = run->args.operands[1];
    rc = check_options(&kept);
    if (rc == 0)
        rc = qt_store_open(run, drops ? QT_STORE_CHANGE : QT_STORE_READ, &kept.store);
    if (rc == 0 && drops)
        rc = drop(&kept);
    else if (rc == 0 && qt_args_has(&run->args, "show"))
        rc = show_state(&kept);
    else if (rc == 0)
        rc = keep_rows(&kept);
    if (rc == 0 && !drops && !qt_args_has(&run->args, "show"))
        put_rows(&kept);
    quipu_close(kept.store);
    qt_bytes_release(&kept.names);
    qt_bytes_release(&kept.rows);
    return rc;
}

const struct qt_command qt_command_snapshots = {
    .verb = "snapshots",
    .summary = "list, show or drop states of folds that are kept",
    .operands = "STORE [STREAM]",
    .example = "quipu snapshots orders --drop",
    .text = "Programs keep states of their folds, so that they need not read a stream from\n"
            "its beginning each time. Lists each with the fold's name and version, the\n"
            "version of the stream and the position where it stands, and its size. status:\n"
            "usable; stale if the event where it stands is not there any more; damaged. Stale\n"
            "and damaged ones are passed over, and go when a program saves the next.\n\n"
            "--show prints a state: JSON and msgpack as JSON, text as {\"$text\": ...}, other\n"
            "bytes as base64; with --json on one line. Of several versions of a fold it is\n"
            "the highest one's.\n\n"
            "To drop them loses nothing but time: the next load begins at the first event.\n"
            "quipu reindex drops all of them too, with the index in which they are.\n",
    .options = options,
    .waits = true,
    .run = run_snapshots,
};
