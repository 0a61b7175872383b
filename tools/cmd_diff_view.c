/* cmd_diff_view.c - quipu diff-view: two views side by side, in the order of their keys.
 *
 *     A   order-1   order-2   order-7
 *     B   order-1             order-7   order-9      - order-2, + order-9; order-7 if its value
 *                                                    is another
 *
 * Each is a snapshot of its own; if they are folds up to different positions, it is said. */
#include "command.h"
#include "number.h"
#include "store.h"
#include "text.h"
#include "value.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

struct side {
    const char *name;
    quipu_view *view;
    quipu_value key;
    quipu_value value;
    bool there; /* `key` is the next */
};

struct diff {
    struct qt_run *run;
    struct side a;
    struct side b;
    struct qt_bytes scratch;
    uint64_t keys; /* of both, those of the same name once */
    uint64_t differ;
};

static struct qt_span span_of(const quipu_value *value)
{
    return (struct qt_span){value->data, value->size};
}

/* Returns: 0, or a status with its problem. */
static int step(struct diff *diff, struct side *side)
{
    quipu_error error = {0};
    int rc = quipu_view_next(side->view, &side->key, &side->value, &error);

    side->there = rc == QUIPU_ROW;
    return rc < 0 ? qt_problem_library(&diff->run->problem, rc, &error, side->name) : 0;
}

static int begin(struct diff *diff, quipu *store, struct side *side)
{
    quipu_error error = {0};
    int rc = quipu_view_open(store, side->name, &side->view, &error);

    if (rc == 0)
        rc = quipu_view_scan(side->view, NULL, 0, NULL, 0, 0, &error);
    if (rc < 0)
        return qt_problem_library(&diff->run->problem, rc, &error, side->name);
    return step(diff, side);
}

static bool same(const quipu_value *left, const quipu_value *right)
{
    return left->size == right->size &&
           (left->size == 0 || memcmp(left->data, right->data, left->size) == 0);
}

/* Below 0: A's key is the next; 0: both have it. */
static int order(const struct diff *diff)
{
    const quipu_value *a = &diff->a.key;
    const quipu_value *b = &diff->b.key;
    size_t size = a->size < b->size ? a->size : b->size;
    int order;

    if (!diff->a.there || !diff->b.there)
        return diff->a.there ? -1 : 1;
    order = memcmp(a->data, b->data, size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static void put_side(struct diff *diff, const struct side *side, const char *mark,
                     const char *color)
{
    struct qt_out *out = &diff->run->out;
    size_t columns = qt_text_columns(STDOUT_FILENO);

    qt_out_style(out, color);
    qt_out_text(out, mark);
    qt_value_key_text(out, span_of(&side->key), side->value.size > 0 ? 24 : 0);
    qt_out_text(out, side->value.size > 0 ? "  " : "");
    qt_value_text(out, &diff->scratch, span_of(&side->value),
                  columns > 70 ? columns - 30 : columns);
    qt_out_plain(out);
    qt_out_char(out, '\n');
}

static void put_difference(struct diff *diff, int which)
{
    struct qt_out *out = &diff->run->out;

    diff->differ++;
    if (!diff->run->json) {
        if (which <= 0)
            put_side(diff, &diff->a, "- ", "31");
        if (which >= 0)
            put_side(diff, &diff->b, "+ ", "32");
        return;
    }
    qt_out_char(out, '{');
    qt_value_key(out, span_of(which <= 0 ? &diff->a.key : &diff->b.key));
    qt_out_text(out, which < 0   ? ",\"in\":\"a\""
                     : which > 0 ? ",\"in\":\"b\""
                                 : ",\"in\":\"both\"");
    if (which <= 0)
        qt_value_member(out, &diff->scratch, "a", span_of(&diff->a.value));
    if (which >= 0)
        qt_value_member(out, &diff->scratch, "b", span_of(&diff->b.value));
    qt_out_text(out, "}\n");
}

static int compare(struct diff *diff)
{
    int rc = 0;

    while (rc == 0 && (diff->a.there || diff->b.there) && !qt_out_stopped(&diff->run->out)) {
        int which = order(diff);

        diff->keys++;
        if (which != 0 || !same(&diff->a.value, &diff->b.value))
            put_difference(diff, which);
        if (which <= 0)
            rc = step(diff, &diff->a);
        if (which >= 0 && rc == 0)
            rc = step(diff, &diff->b);
    }
    return rc;
}

/* Returns: 0 if they are equal. A difference is no error, and said as one for its exit code. */
static int conclude(struct diff *diff)
{
    uint64_t mark_a = quipu_view_mark(diff->a.view);
    uint64_t mark_b = quipu_view_mark(diff->b.view);
    char differ[QT_GROUPED_MAX];
    char keys[QT_GROUPED_MAX];

    qt_out_flush(&diff->run->out);
    if (diff->run->out.failed != 0)
        return 0; /* whoever read it has gone, or the disk is full: that is told elsewhere */
    if (diff->run->json) {
        qt_note("{\"differ\":%" PRIu64 ",\"keys\":%" PRIu64 ",\"mark_a\":%" PRIu64
                ",\"mark_b\":%" PRIu64 "}",
                diff->differ, diff->keys, mark_a, mark_b);
    } else {
        qt_note("%s of %s %s %s; %.150s at mark %" PRIu64 ", %.150s at mark %" PRIu64 "%s",
                qt_number_grouped(diff->differ, differ), qt_number_grouped(diff->keys, keys),
                diff->keys == 1 ? "key" : "keys",
                diff->differ == 1 || diff->keys == 1 ? "differs" : "differ", diff->a.name, mark_a,
                diff->b.name, mark_b, mark_a == mark_b ? "" : ": folds up to different positions");
    }
    if (diff->differ == 0)
        return 0;
    diff->run->problem.told = true;
    return qt_problem_say(&diff->run->problem, QUIPU_INVALID, "the views differ");
}

static int run_diff_view(struct qt_run *run)
{
    struct diff diff = {
        .run = run,
        .a = {.name = run->args.operands[1]},
        .b = {.name = run->args.operands[2]},
    };
    quipu *store = NULL;
    int rc = qt_store_open(run, QT_STORE_READ, &store);

    if (rc == 0)
        rc = begin(&diff, store, &diff.a);
    if (rc == 0)
        rc = begin(&diff, store, &diff.b);
    if (rc == 0)
        rc = compare(&diff);
    if (rc == 0)
        rc = conclude(&diff);
    quipu_view_close(diff.a.view);
    quipu_view_close(diff.b.view);
    quipu_close(store);
    qt_bytes_release(&diff.scratch);
    return rc;
}

const struct qt_command qt_command_diff_view = {
    .verb = "diff-view",
    .summary = "list where two views disagree",
    .operands = "STORE A B",
    .example = "quipu project orders --builtin count-by-type && "
               "quipu diff-view orders count-by-type count-by-type 2>&1",
    .text = "Every key that only one of two views has, or that has another value in B than in\n"
            "A. $rebuild:NAME is what is being built beside NAME: what would another version\n"
            "of its functions change? The marks come on stderr: two views that are not folds\n"
            "up to the same position may differ for that alone. Exit code 1 if they differ.\n",
    .options = NULL,
    .waits = true,
    .run = run_diff_view,
};
