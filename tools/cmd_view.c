/* cmd_view.c - quipu view get, scan and count: what a projection maintains, read in one snapshot.
 *
 * Data goes to stdout. The position up to which the view is the fold of the store is told of what
 * was printed: in the line, where there is one, else as a note. A scan that a person pages through
 * keeps its snapshot: it has one mark; --limit and --after read it in parts. */
#include "command.h"
#include "number.h"
#include "store.h"
#include "text.h"
#include "value.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define KEY_WIDTH   24
#define VALUE_WIDTH 40 /* on a terminal that is narrower than this, lines break */

static const struct qt_option options[] = {
    {.name = "prefix",
     .value = "TEXT",
     .help = "scan, count: keys that begin with TEXT",
     .kind = QT_TEXT},
    {.name = "after", .value = "KEY", .help = "scan: only behind KEY", .kind = QT_TEXT},
    {.name = "limit", .value = "N", .help = "scan: at most N keys", .kind = QT_NUMBER},
    {.name = "backwards", .help = "scan: from the last key to the first"},
    {.name = "keys", .help = "scan: keys alone"},
    {.name = "base64", .help = "KEY and TEXT are given as base64"},
    {0},
};

struct look {
    struct qt_run *run;
    const char *action;
    const char *name;
    quipu_view *view;
    struct qt_bytes key; /* of get */
    struct qt_bytes prefix;
    struct qt_bytes after;
    struct qt_bytes scratch;
    struct qt_bytes last; /* the last key of a scan */
};

/* Returns: 0, or a status with its problem. */
static int take_bytes(struct look *look, const char *text, struct qt_bytes *bytes)
{
    if (text == NULL || qt_value_read(text, qt_args_has(&look->run->args, "base64"), bytes) == 0)
        return 0;
    return qt_problem_say(&look->run->problem, QUIPU_MISUSE, "\"%.300s\" is no base64", text);
}

/* An option that would count for nothing is refused: who gives it expects another answer.
 *
 * Returns: 0, or MISUSE with its problem. */
static int check_options(struct look *look)
{
    static const char *const of_scan[] = {"after", "limit", "backwards", "keys"};
    struct qt_run *run = look->run;
    bool one = strcmp(look->action, "get") == 0;

    if (strcmp(look->action, "scan") == 0)
        return 0;
    if (one && (qt_args_has(&run->args, "prefix") || qt_args_has(&run->args, "after")))
        return qt_problem_say(&run->problem, QUIPU_MISUSE, "get has one KEY, and no bounds");
    for (size_t i = 0; i < sizeof(of_scan) / sizeof(of_scan[0]); i++) {
        if (qt_args_has(&run->args, of_scan[i])) {
            return qt_problem_say(&run->problem, QUIPU_MISUSE,
                                  "--%s is for scan, not for %s; see quipu help view", of_scan[i],
                                  look->action);
        }
    }
    return 0;
}

/* The word before STORE goes: from here on STORE is the first operand, as of any verb. */
static int take_arguments(struct look *look)
{
    struct qt_run *run = look->run;
    struct qt_args *args = &run->args;
    const char *key = args->operand_count == 4 ? args->operands[3] : NULL;
    bool wants_key;
    int rc;

    look->action = args->operands[0];
    wants_key = strcmp(look->action, "get") == 0;
    if (!wants_key && strcmp(look->action, "scan") != 0 && strcmp(look->action, "count") != 0) {
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "it is get, scan or count, not \"%.80s\"; see quipu help view",
                              look->action);
    }
    if (wants_key != (key != NULL))
        return qt_problem_say(&run->problem, QUIPU_MISUSE, "%s; see quipu help view",
                              wants_key ? "the KEY to get is missing" : "only get has a KEY");
    rc = check_options(look);
    if (rc < 0)
        return rc;
    memmove(args->operands, args->operands + 1, sizeof(args->operands) - sizeof(*args->operands));
    args->operand_count--;
    look->name = args->operands[1];
    rc = take_bytes(look, key, &look->key);
    if (rc == 0)
        rc = take_bytes(look, qt_args_text(args, "prefix"), &look->prefix);
    return rc == 0 ? take_bytes(look, qt_args_text(args, "after"), &look->after) : rc;
}

static int failed(struct look *look, int status, const quipu_error *error)
{
    return qt_problem_library(&look->run->problem, status, error, look->name);
}

static const char *key_text(const struct look *look)
{
    return look->run->args.operands[2];
}

static int get(struct look *look)
{
    struct qt_run *run = look->run;
    struct qt_out *out = &run->out;
    uint64_t mark = quipu_view_mark(look->view);
    quipu_value value = {0};
    quipu_error error = {0};
    struct qt_span shown;
    int rc = quipu_view_get(look->view, look->key.data, look->key.size, &value, &error);

    if (rc < 0)
        return failed(look, rc, &error);
    if (rc == 0) {
        return qt_problem_say(&run->problem, QUIPU_NOT_FOUND,
                              "%.150s has no key %.300s at mark %" PRIu64, look->name,
                              key_text(look), mark);
    }
    shown = (struct qt_span){value.data, value.size};
    if (!run->json) {
        qt_value_text(out, &look->scratch, shown, 0);
        qt_out_char(out, '\n');
        qt_out_flush(out);
        qt_note("mark %" PRIu64, mark);
        return 0;
    }
    qt_out_char(out, '{');
    qt_value_key(out, (struct qt_span){look->key.data, look->key.size});
    qt_value_member(out, &look->scratch, "value", shown);
    qt_out_key(out, "mark");
    qt_out_number(out, mark);
    qt_out_text(out, "}\n");
    return 0;
}

static int count(struct look *look)
{
    struct qt_out *out = &look->run->out;
    uint64_t mark = quipu_view_mark(look->view);
    quipu_error error = {0};
    uint64_t keys = 0;
    int rc = quipu_view_count(look->view, look->prefix.data, look->prefix.size, &keys, &error);

    if (rc < 0)
        return failed(look, rc, &error);
    if (look->run->json) {
        qt_out_text(out, "{\"count\":");
        qt_out_number(out, keys);
        qt_out_key(out, "mark");
        qt_out_number(out, mark);
        qt_out_text(out, "}\n");
        return 0;
    }
    qt_out_number(out, keys);
    qt_out_char(out, '\n');
    qt_out_flush(out);
    qt_note("mark %" PRIu64, mark);
    return 0;
}

static void put_row(struct look *look, struct qt_span key, struct qt_span value, size_t columns)
{
    struct qt_out *out = &look->run->out;
    bool keys_only = qt_args_has(&look->run->args, "keys");
    size_t width = qt_text_width(key.text, key.size);

    if (look->run->json) {
        qt_out_char(out, '{');
        qt_value_key(out, key);
        qt_value_member(out, &look->scratch, "value", value);
        qt_out_text(out, "}\n");
        return;
    }
    qt_value_key_text(out, key, keys_only || value.size == 0 ? 0 : KEY_WIDTH);
    if (value.size > 0) {
        qt_out_text(out, "  ");
        if (width < KEY_WIDTH)
            width = KEY_WIDTH;
        if (columns > 0)
            columns = columns > width + 2 + VALUE_WIDTH ? columns - width - 2 : VALUE_WIDTH;
        qt_value_text(out, &look->scratch, value, columns);
    }
    qt_out_char(out, '\n');
}

/* The mark, and where a scan that was cut goes on. */
static void put_end(struct look *look, uint64_t keys, bool more)
{
    uint64_t mark = quipu_view_mark(look->view);
    char grouped[QT_GROUPED_MAX];
    struct qt_bytes after = {0};
    bool plain;

    qt_out_flush(&look->run->out);
    if (look->run->out.failed != 0)
        return;
    if (look->run->json) {
        qt_note("{\"mark\":%" PRIu64 ",\"keys\":%" PRIu64 ",\"more\":%s}", mark, keys,
                more ? "true" : "false");
        return;
    }
    plain = qt_value_word(&after, (struct qt_span){look->last.data, look->last.size});
    qt_bytes_char(&after, '\0');
    qt_note("mark %" PRIu64 "; %s %s%s%.500s%s", mark, qt_number_grouped(keys, grouped),
            keys == 1 ? "key" : "keys", more ? "; go on with --after " : "",
            more && !after.failed ? after.data : "", more && !plain ? " --base64" : "");
    qt_bytes_release(&after);
}

static int scan(struct look *look)
{
    const struct qt_args *args = &look->run->args;
    uint64_t limit = qt_args_number(args, "limit", UINT64_MAX);
    uint32_t flags = (qt_args_has(args, "backwards") ? QUIPU_SCAN_BACKWARDS : 0) |
                     (qt_args_has(args, "keys") ? QUIPU_SCAN_KEYS : 0);
    size_t columns = qt_text_columns(STDOUT_FILENO);
    quipu_error error = {0};
    uint64_t keys = 0;
    bool more = false;
    int rc = quipu_view_scan(look->view, look->prefix.data, look->prefix.size, look->after.data,
                             look->after.size, flags, &error);

    while (rc == 0 && !qt_out_stopped(&look->run->out)) {
        quipu_value key;
        quipu_value value;

        rc = quipu_view_next(look->view, &key, &value, &error);
        if (rc != QUIPU_ROW)
            break;
        rc = 0;
        more = keys == limit;
        if (more)
            break;
        put_row(look, (struct qt_span){key.data, key.size},
                (struct qt_span){value.data, value.size}, columns);
        qt_bytes_clear(&look->last);
        qt_bytes_put(&look->last, key.data, key.size);
        keys++;
    }
    if (rc < 0)
        return failed(look, rc, &error);
    put_end(look, keys, more);
    return 0;
}

static int run_view(struct qt_run *run)
{
    struct look look = {.run = run};
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = take_arguments(&look);

    if (rc == 0)
        rc = qt_store_open(run, QT_STORE_READ, &store);
    if (rc == 0) {
        rc = quipu_view_open(store, look.name, &look.view, &error);
        if (rc < 0)
            rc = failed(&look, rc, &error);
        else if (strcmp(look.action, "get") == 0)
            rc = get(&look);
        else
            rc = strcmp(look.action, "scan") == 0 ? scan(&look) : count(&look);
    }
    quipu_view_close(look.view);
    quipu_close(store);
    qt_bytes_release(&look.key);
    qt_bytes_release(&look.prefix);
    qt_bytes_release(&look.after);
    qt_bytes_release(&look.scratch);
    qt_bytes_release(&look.last);
    return rc;
}

const struct qt_command qt_command_view = {
    .verb = "view",
    .summary = "read a view: by key, in order, how many",
    .operands = "get|scan|count STORE NAME [KEY]",
    .example =
        "quipu project orders --builtin count-by-type && quipu view scan orders count-by-type",
    .text = "What a projection maintains, as of one moment. The mark comes with it (of a\n"
            "scan on stderr): the position up to which the view is the fold of the store.\n"
            "get prints the value of KEY, or exits 4; scan each key with its value, in the\n"
            "order of their bytes; count how many there are.\n\n"
            "A value that is JSON prints as it is, msgpack as JSON, other bytes as text or\n"
            "hex. --json: {\"key\",\"value\"} a line; msgpack also exactly, as value_msgpack;\n"
            "other bytes as value_base64, keys that are no UTF-8 as key_base64.\n\n"
            "$rebuild:NAME is what is being built beside NAME. As long as a scan prints, the\n"
            "store keeps its pages: read a large one in parts, by --limit and --after.\n",
    .options = options,
    .waits = true,
    .run = run_view,
};
