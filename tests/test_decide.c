/* test_decide.c - decide.c and overlay.c without a commit: groups of batches that see each other,
 * which step is told, and the last positions there are. Random ones are the model's business. */
#include "decide.h"
#include "handles.h"
#include "moment.h"
#include "projections.h"
#include "streams.h"
#include "support_suite.h"
#include "views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(decide);

Test(decide, positions_end)
{
    static const struct {
        uint64_t head;
        size_t count;
        int status;
    } cases[] = {
        {QP_POSITION_MAX, 0, QUIPU_OK},       {QP_POSITION_MAX, 1, QUIPU_TOO_LARGE},
        {QP_POSITION_MAX - 1, 1, QUIPU_OK},   {QP_POSITION_MAX - 1, 2, QUIPU_TOO_LARGE},
        {QP_POSITION_MAX - 10, 10, QUIPU_OK}, {QP_POSITION_MAX - 10, 11, QUIPU_TOO_LARGE},
        {QP_POSITION_MAX - 10, 9, QUIPU_OK},
    };
    const quipu_draft draft = {.type = "t"};
    char path[SUPPORT_PATH_BYTES];
    struct qp_moment *moment = NULL;
    quipu *store = NULL;

    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &store, NULL), QUIPU_OK);
    cr_assert_eq(qp_moment_begin(store->handle, true, &moment, NULL), QUIPU_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qp_overlay overlay;
        struct qp_batch batch = {0};
        quipu_receipt receipt;
        quipu_error error = {0};
        int rc;

        for (size_t j = 0; j < cases[i].count; j++)
            cr_assert_eq(qp_batch_append(&batch, "s", QUIPU_ANY, &draft, 1), QUIPU_OK);
        qp_overlay_init(&overlay, cases[i].head);
        rc = qp_decide(&overlay, moment, &batch, &receipt, &error);
        cr_expect_eq(rc, cases[i].status, "case %zu: %s", i, error.text);
        if (rc == QUIPU_OK && cases[i].count > 0)
            cr_expect_eq(receipt.last_position, cases[i].head + cases[i].count, "case %zu", i);
        qp_overlay_release(&overlay);
        qp_batch_release(&batch);
    }
    qp_moment_end(moment);
    quipu_close(store);
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* Batches are written as steps with blanks between them:
 *
 *     +STREAM:EXPECTED:EVENTS    '*' any version, '!' some; a number of events, or their ids, a
 *                                letter each
 *     ?QUERY@AFTER               nothing of the query; '_' stands for a blank
 *     mNAME@NUMBER tNAME@NUMBER  a mark, a source
 *
 * and what becomes of each step as a letter: '.' holds, C conflict, A tracked, D and P for ids. */
struct row {
    const char *steps;
    const char *became;
    int told;           /* the step in the receipt; -1: it holds, -2: DUPLICATE */
    uint64_t position;  /* told: what matched; else the first one */
    uint64_t actual;    /* told: what it was instead */
    const char *excuse; /* in the error's text */
};

enum { ROWS_MAX = 24, STEPS_MAX = 12 };

static uint64_t number_of(const char *text)
{
    if (*text == '*')
        return QUIPU_ANY;
    return *text == '!' ? QUIPU_EXISTS : strtoull(text, NULL, 10);
}

static void add_append(struct qp_batch *batch, char *stream)
{
    quipu_draft drafts[8] = {{0}};
    char *expected = strchr(stream, ':');
    char *events = strrchr(stream, ':') + 1;
    bool ids = *events > '9';
    size_t count = ids ? strlen(events) : number_of(events);

    *expected = '\0';
    for (size_t i = 0; i < count; i++) {
        drafts[i].type = "T";
        drafts[i].flags = ids ? QUIPU_EVENT_HAS_ID : 0;
        memset(drafts[i].id, events[i], sizeof(drafts[i].id));
    }
    cr_assert_eq(qp_batch_append(batch, stream, number_of(expected + 1), drafts, count), QUIPU_OK);
}

static void add_step(struct qp_batch *batch, char *step)
{
    char *number = strrchr(step, '@');
    quipu_query *query = NULL;

    if (*step == '+') {
        add_append(batch, step + 1);
        return;
    }
    *number++ = '\0';
    if (*step != '?') {
        cr_assert_eq(qp_batch_number(batch, *step == 'm' ? QP_STEP_MARK : QP_STEP_TRACK, step + 1,
                                     number_of(number)),
                     QUIPU_OK);
        return;
    }
    for (char *at = step; *at != '\0'; at++)
        *at = *at == '_' ? ' ' : *at;
    cr_assert_eq(quipu_query_parse(step + 1, &query, NULL), QUIPU_OK, "%s", step);
    cr_assert_eq(qp_batch_unless(batch, query, number_of(number)), QUIPU_OK);
    quipu_query_free(query);
}

static void make_batch(struct qp_batch *batch, const char *steps)
{
    char text[200];
    char *rest = NULL;

    (void)snprintf(text, sizeof(text), "%s", steps);
    for (char *step = strtok_r(text, " ", &rest); step != NULL; step = strtok_r(NULL, " ", &rest))
        add_step(batch, step);
}

static char letter(int status)
{
    switch (status) {
    case QUIPU_OK:
        return '.';
    case QUIPU_CONFLICT:
        return 'C';
    case QUIPU_ALREADY_TRACKED:
        return 'A';
    case QUIPU_DUPLICATE_ID:
        return 'D';
    case QUIPU_PARTIAL_DUPLICATE:
        return 'P';
    default:
        return '?';
    }
}

static void expect_receipt(const struct row *row, const struct qp_batch *batch, int rc,
                           const quipu_receipt *receipt, const quipu_error *error)
{
    unsigned failed = 0;

    for (size_t i = 0; i < batch->step_count; i++)
        failed += batch->steps[i].result.status != QUIPU_OK;
    cr_expect_eq(receipt->failed_count, failed, "%s", row->steps);
    if (row->told < 0) {
        cr_expect_eq(rc, QUIPU_OK, "%s: %s", row->steps, error->text);
        cr_expect_eq(receipt->verdict, row->told == -1 ? QUIPU_COMMITTED : QUIPU_DUPLICATE, "%s",
                     row->steps);
        cr_expect_eq(receipt->first_position, row->position, "%s: %llu", row->steps,
                     (unsigned long long)receipt->first_position);
        return;
    }
    cr_assert_lt((size_t)row->told, batch->step_count);
    cr_expect_eq(rc, batch->steps[row->told].result.status, "%s", row->steps);
    cr_expect_eq(error->status, rc);
    cr_expect_not_null(strstr(error->text, row->excuse), "%s: %s", row->steps, error->text);
    cr_expect_eq(receipt->verdict, QUIPU_REFUSED);
    cr_expect_eq(receipt->failed_step, row->told, "%s: %u", row->steps, receipt->failed_step);
    cr_expect_eq(receipt->matched, row->position, "%s: %llu", row->steps,
                 (unsigned long long)receipt->matched);
    cr_expect_eq(receipt->actual, row->actual, "%s: %llu", row->steps,
                 (unsigned long long)receipt->actual);
    cr_expect_eq(receipt->first_position, 0);
}

/* a: 1 to 3, b: 4 and 5 with the ids x and y, mark m at 4, source s at 10. */
static quipu *make_store(void)
{
    char path[SUPPORT_PATH_BYTES];
    quipu_batch *batch = quipu_batch_new();
    quipu *store = NULL;

    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &store, NULL), QUIPU_OK);
    make_batch(&batch->batch, "+a:0:3 +b:0:xy mm@4 ts@10");
    cr_assert_eq(quipu_commit(store, batch, NULL, NULL), QUIPU_OK);
    quipu_batch_free(batch);
    return store;
}

/* All rows are one group, which is decided and not applied. */
static void run_group(const struct row *rows, size_t count)
{
    struct qp_batch batches[ROWS_MAX] = {{.step_count = 0}};
    quipu *store = make_store();
    struct qp_moment *moment = NULL;
    struct qp_overlay overlay;

    cr_assert_leq(count, ROWS_MAX);
    cr_assert_eq(qp_moment_begin(store->handle, true, &moment, NULL), QUIPU_OK);
    qp_overlay_init(&overlay, 5);
    for (size_t i = 0; i < count; i++) {
        struct qp_batch *batch = &batches[i];
        char became[STEPS_MAX + 1] = "";
        quipu_receipt receipt;
        quipu_error error = {0};
        int rc;

        make_batch(batch, rows[i].steps);
        rc = qp_decide(&overlay, moment, batch, &receipt, &error);
        for (size_t step = 0; step < batch->step_count; step++)
            became[step] = letter(batch->steps[step].result.status);
        cr_expect_str_eq(became, rows[i].became, "%s: %s", rows[i].steps, became);
        cr_expect(batch->decided);
        expect_receipt(&rows[i], batch, rc, &receipt, &error);
    }
    qp_overlay_release(&overlay);
    for (size_t i = 0; i < count; i++)
        qp_batch_release(&batches[i]);
    qp_moment_end(moment);
    quipu_close(store);
}

#define RUN_GROUP(rows) run_group(rows, sizeof(rows) / sizeof((rows)[0]))

/* Later batches see what those before will write; none sees its own. */
Test(decide, a_group_sees_what_is_before_it)
{
    static const struct row rows[] = {
        {"+a:3:2", ".", -1, 6, 0, ""},
        {"+a:3:1", "C", 0, 0, 5, "version 5, expected 3"},
        {"+a:5:1", ".", -1, 8, 0, ""},
        {"?stream=a@5", "C", 0, 6, 0, "position 6 matches, and none after 5"},
        {"?stream=a@7", "C", 0, 8, 0, "position 8"},
        {"?stream=a@8", ".", -1, 0, 0, ""},
        {"?stream=a@2", "C", 0, 3, 0, "position 3 matches"},
        {"?type=T@8 +c:0:1", "..", -1, 9, 0, ""},
        {"?type=T@8 +d:0:1", "C.", 0, 9, 0, "position 9"},
        {"?stream=d@0 ?stream=c@8 +d:0:1", ".C.", 1, 9, 0, "position 9"},
        {"?category=c_type=T@0", "C", 0, 9, 0, "position 9"},
        {"?category=c_type=U@0 +d:0:2", "..", -1, 10, 0, ""},
        {"?category=d@10 +d:2:1", "C.", 0, 11, 0, "position 11"},
        {"+d:2:0 +a:!:1", "..", -1, 12, 0, ""},
        {"?@12", ".", -1, 0, 0, ""},
        {"?@11", "C", 0, 12, 0, "position 12"},
    };

    RUN_GROUP(rows);
}

/* Whatever a batch that is refused would have done, nobody sees. */
Test(decide, a_refused_batch_leaves_nothing)
{
    static const struct row rows[] = {
        {"+a:9:2 mm@7 ts@12 +z:0:q mnew@1 tnew@1", "C.....", 0, 0, 3, "version 3"},
        {"?stream=z@0 ?stream=a@3", "..", -1, 0, 0, ""},
        {"+z:0:q mm@5 ts@11 mnew@0 tnew@0", ".....", -1, 6, 0, ""},
        {"+z:0:q ts@99", "..", -2, 6, 0, ""},
        {"ts@12 mm@5", "..", -1, 0, 0, ""},
        {"+b:2:1 mm@4", ".C", 1, 0, 5, "is at 5 already"},
        {"+b:2:1", ".", -1, 7, 0, ""},
    };

    RUN_GROUP(rows);
}

/* Each step says of itself; the receipt tells of one. */
Test(decide, all_that_fail_are_told)
{
    static const struct row rows[] = {
        {"+a:2:1 ?type=T@0 mm@3 ts@10 +b:9:1 ?stream=b@4 +a:3:0", "CCCACC.", 3, 0, 10,
         "source s is at 10 already, given 10"},
        {"+a:2:1 ?type=T@0 mm@3", "CCC", 0, 0, 3, "stream a has version 3, expected 2"},
        {"mm@3 +a:2:1", "CC", 0, 0, 4, "mark m is at 4 already, given 3"},
        {"?stream=b@4 +a:2:1", "CC", 0, 5, 0, "position 5 matches, and none after 4 may"},
        {"+a:2:1 +b:*:xq", "CP", 1, 4, 2, "the first 1 are known in stream b"},
        {"ts@10 +b:*:xq", "AP", 0, 0, 10, "source s"},
        {"+b:*:qx ts@10", "DA", 0, 4, 2, "the id of draft 1 is known"},
        {"+c:!:0 ?stream=c@0 ts@11 mm@4 +a:3:1", "C....", 0, 0, 0, "has no events"},
        {"?stream=a@0 ?stream=b@0 ?stream=c@0", "CC.", 0, 1, 0, "position 1"},
    };

    RUN_GROUP(rows);
}

/* What is known was decided when it was committed: its conditions are not asked again. */
Test(decide, known_whatever_the_conditions_say)
{
    static const struct row rows[] = {
        {"+b:*:xy mm@1 ts@1 ?type=T@0 +a:9:0", ".....", -2, 4, 0, ""},
        {"?type=T@0 ts@1 +b:0:xy mm@99 tnew@1", ".....", -2, 4, 0, ""},
        {"mm@5 tnew@0", "..", -1, 0, 0, ""}, /* they changed nothing */
        {"+c:0:pq ts@11 ?stream=c@0", "...", -1, 6, 0, ""},
        {"+c:0:pq ts@11 ?stream=c@0", "...", -2, 6, 0, ""},
        {"+c:0:pqr ts@11 ?stream=c@0", "PAC", 0, 6, 2, "the first 2 are known"},
        {"+b:*:y", ".", -2, 5, 0, ""},
        {"+b:*:xy +c:2:k", "D.", 0, 4, 2, "the id of draft 0 is known"},
        {"+b:*:xy +c:*:pq", "..", -2, 4, 0, ""},
        {"?stream=b@0", "C", 0, 4, 0, "position 4"},
    };

    RUN_GROUP(rows);
}

Test(decide, marks_move_forward)
{
    static const struct row rows[] = {
        {"mm@4", ".", -1, 0, 0, ""},
        {"mm@3", "C", 0, 0, 4, "mark m is at 4"},
        {"mm@3 mm@3 mm@4", "CC.", 0, 0, 4, "given 3"}, /* the first one changed nothing */
        {"mm@6 mm@5", ".C", 1, 0, 6, "mark m is at 6"},
        {"mm@5", ".", -1, 0, 0, ""},
        {"mm@6 mm@6 mm@7", "...", -1, 0, 0, ""},
        {"mm@6", "C", 0, 0, 7, "mark m is at 7"},
        {"mnew@0 mnew@0", "..", -1, 0, 0, ""},
        {"mnew@0", ".", -1, 0, 0, ""},
        {"mnew@281474976710655 mnew@281474976710654", ".C", 1, 0, UINT64_C(281474976710655),
         "mark new"},
        {"+m:0:1 mm@8 tm@0", "...", -1, 6, 0, ""}, /* three things of one name */
    };

    RUN_GROUP(rows);
}

Test(decide, sources_grow)
{
    static const struct row rows[] = {
        {"ts@10", "A", 0, 0, 10, "source s is at 10 already, given 10"},
        {"ts@9 ts@10", "AA", 0, 0, 10, "given 9"},
        {"ts@11 ts@11", ".A", 1, 0, 11, "at 11 already, given 11"},
        {"ts@11 ts@12", "..", -1, 0, 0, ""},
        {"ts@12", "A", 0, 0, 12, "given 12"},
        {"tnew@0", ".", -1, 0, 0, ""},
        {"tnew@0", "A", 0, 0, 0, "is at 0 already, given 0"},
        {"tother@0 tother@0", ".A", 1, 0, 0, "given 0"},
        {"tother@0", ".", -1, 0, 0, ""},
        {"ts@18446744073709551615", ".", -1, 0, 0, ""},
        {"ts@18446744073709551615", "A", 0, 0, UINT64_MAX, "already"},
    };

    RUN_GROUP(rows);
}

/* What is stored: a number that is there already is not, a batch that is known stores none. */
Test(decide, what_changes)
{
    static const struct {
        const char *steps;
        const char *changes;
    } cases[] = {
        {"mm@4 mm@5 mm@5", "010"},
        {"ts@11 mnew@0 mnew@0 tnew@0", "1101"},
        {"mm@4", "0"},
    };
    quipu *store = make_store();
    struct qp_moment *moment = NULL;

    cr_assert_eq(qp_moment_begin(store->handle, true, &moment, NULL), QUIPU_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qp_batch batch = {0};
        struct qp_overlay overlay;
        quipu_receipt receipt;

        make_batch(&batch, cases[i].steps);
        qp_overlay_init(&overlay, 5);
        cr_expect_eq(qp_decide(&overlay, moment, &batch, &receipt, NULL), QUIPU_OK);
        for (size_t step = 0; step < batch.step_count; step++)
            cr_expect_eq(batch.steps[step].changes, cases[i].changes[step] == '1', "%s, step %zu",
                         cases[i].steps, step);
        qp_overlay_release(&overlay);
        qp_batch_release(&batch);
    }
    qp_moment_end(moment);
    quipu_close(store);
}

/* A hundred names of each kind, so that the table grows, and all of them twice. */
Test(decide, many_names)
{
    struct qp_batch batches[200] = {{.step_count = 0}};
    quipu *store = make_store();
    struct qp_moment *moment = NULL;
    struct qp_overlay overlay;

    cr_assert_eq(qp_moment_begin(store->handle, true, &moment, NULL), QUIPU_OK);
    qp_overlay_init(&overlay, 5);
    for (unsigned i = 0; i < 200; i++) {
        char steps[64];
        quipu_receipt receipt;
        int rc;

        (void)snprintf(steps, sizeof(steps), "+n%u:%u:1 mn%u@%u tn%u@%u", i % 100, i / 100, i % 100,
                       i, i % 100, i);
        make_batch(&batches[i], steps);
        rc = qp_decide(&overlay, moment, &batches[i], &receipt, NULL);
        cr_expect_eq(rc, QUIPU_OK, "%s", steps);
        cr_expect_eq(receipt.first_position, 6 + i);
        cr_expect_eq(receipt.last_version, 1 + i / 100);
    }
    cr_expect_eq(overlay.count, 300);
    qp_overlay_release(&overlay);
    for (unsigned i = 0; i < 200; i++)
        qp_batch_release(&batches[i]);
    qp_moment_end(moment);
    quipu_close(store);
}

/* The n-th allocation fails: the whole group does, and the overlay can be released. */
Test(decide, out_of_memory)
{
    quipu *store = make_store();
    struct qp_moment *moment = NULL;
    int rc = QUIPU_NO_MEMORY;
    long n = 0;

    cr_assert_eq(qp_moment_begin(store->handle, true, &moment, NULL), QUIPU_OK);
    while (rc == QUIPU_NO_MEMORY && n < 100) {
        struct qp_batch batches[2] = {{.step_count = 0}};
        struct qp_overlay overlay;
        quipu_receipt receipt;

        make_batch(&batches[0], "+a:3:pq +c:0:1 mm@5");
        make_batch(&batches[1], "+a:5:1 ts@11 ?stream=a@5");
        qp_overlay_init(&overlay, 5);
        support_heap_fail(++n, false);
        rc = qp_decide(&overlay, moment, &batches[0], &receipt, NULL);
        if (rc == QUIPU_OK)
            rc = qp_decide(&overlay, moment, &batches[1], &receipt, NULL);
        support_heap_fail(0, false);
        cr_expect_neq(batches[1].decided, rc == QUIPU_NO_MEMORY);
        qp_overlay_release(&overlay);
        qp_batch_release(&batches[0]);
        qp_batch_release(&batches[1]);
    }
    cr_expect_eq(rc, QUIPU_CONFLICT);
    cr_expect_gt(n, 5);
    qp_moment_end(moment);
    quipu_close(store);
}

/* ---- projections ----------------------------------------------------------------------------- */

/* One more step for a projection's row, from a sequence. */
static void add_project(struct qp_batch *batch, const char *name, uint64_t sequence, bool deletes)
{
    const struct qp_projection_row row = {.generation = 1, .version = 1, .next_generation = 2};
    uint8_t bytes[QP_PROJECTION_ROW_BYTES_MAX];
    size_t size = deletes ? 0 : qp_projection_write(&row, bytes);

    cr_assert_eq(
        qp_batch_project(batch, (struct qp_bytes){name, strlen(name)}, sequence, bytes, size, NULL),
        QUIPU_OK);
}

/* What a projection emits. */
static void add_owned(struct qp_batch *batch, const char *projection, char *append)
{
    add_append(batch, append);
    cr_assert_eq(qp_batch_own(batch, (struct qp_bytes){projection, strlen(projection)}), QUIPU_OK);
}

static struct qp_projection_row row_of(quipu *store, const char *name, bool exists)
{
    struct qp_projection_row row;
    struct qp_txn txn = {0};

    cr_assert_eq(qp_txn_begin_read(store->handle->log, &txn, NULL), QUIPU_OK);
    cr_assert_eq(qp_projections_get(&txn, (struct qp_bytes){name, strlen(name)}, &row, NULL),
                 exists ? QUIPU_ROW : QUIPU_OK);
    qp_txn_end(&txn);
    return row;
}

/* Commit one change of the row, as who has seen `sequence`. */
static int change_row(quipu *store, const char *name, uint64_t sequence, bool deletes,
                      quipu_error *error)
{
    quipu_batch *batch = quipu_batch_new();
    int rc;

    add_project(&batch->batch, name, sequence, deletes);
    rc = quipu_commit(store, batch, NULL, error);
    quipu_batch_free(batch);
    return rc;
}

/* Who has seen an older row is told so, and each row has a sequence that no other ever had. */
Test(decide, sequences_of_a_projection)
{
    quipu *store = make_store();
    quipu_error error = {0};
    uint64_t last = 0;
    uint64_t seen = 0;

    for (int i = 0; i < 60; i++) {
        bool deletes = i % 4 == 3;

        if (seen > 0)
            cr_expect_eq(change_row(store, "p", 0, deletes, &error), QUIPU_CONFLICT, "it is there");
        cr_expect_eq(change_row(store, "p", seen + 1, deletes, &error), QUIPU_CONFLICT);
        cr_expect_not_null(strstr(error.text, "projection p was changed"), "%s", error.text);
        cr_assert_eq(change_row(store, "p", seen, deletes, &error), QUIPU_OK, "%s", error.text);
        seen = row_of(store, "p", !deletes).sequence;
        cr_expect(deletes ? seen == 0 : seen > last, "%d: %llu after %llu", i,
                  (unsigned long long)seen, (unsigned long long)last);
        last = deletes ? last : seen;
    }
    cr_expect_gt(last, (uint64_t)1600000000 * QP_NS_PER_S, "it began at the clock");
    quipu_close(store);
}

/* In one group the second of two who saw the same row fails, also if the first one deletes it; a
 * batch that is refused for something else leaves the row as it was. */
Test(decide, a_projection_in_a_group)
{
    static const struct {
        const char *refused; /* a step beside it that fails; NULL: none */
        uint64_t sequence;
        bool deletes;
        int status;
        uint64_t actual;
    } rows[] = {
        {"+a:9:1", 0, false, QUIPU_CONFLICT, 3},   {NULL, 0, false, QUIPU_OK, 0},
        {NULL, 0, false, QUIPU_CONFLICT, 1000},    {"+a:9:1", 1000, true, QUIPU_CONFLICT, 3},
        {NULL, 1000, false, QUIPU_OK, 1000},       {NULL, 1001, true, QUIPU_OK, 1001},
        {NULL, 1001, false, QUIPU_CONFLICT, 1002}, {NULL, 0, false, QUIPU_CONFLICT, 1002},
        {NULL, 1002, false, QUIPU_OK, 1002},
    };
    enum { COUNT = sizeof(rows) / sizeof(rows[0]) };
    struct qp_batch batches[COUNT] = {{.step_count = 0}};
    quipu *store = make_store();
    struct qp_moment *moment = NULL;
    struct qp_overlay overlay;

    cr_assert_eq(qp_moment_begin(store->handle, true, &moment, NULL), QUIPU_OK);
    qp_overlay_init(&overlay, 5);
    overlay.now_ns = 1000;
    for (size_t i = 0; i < COUNT; i++) {
        quipu_receipt receipt;

        if (rows[i].refused != NULL)
            make_batch(&batches[i], rows[i].refused);
        add_project(&batches[i], "p", rows[i].sequence, rows[i].deletes);
        cr_expect_eq(qp_decide(&overlay, moment, &batches[i], &receipt, NULL), rows[i].status,
                     "%zu", i);
        if (rows[i].status == QUIPU_CONFLICT)
            cr_expect_eq(receipt.actual, rows[i].actual, "%zu: %llu", i,
                         (unsigned long long)receipt.actual);
        else
            cr_expect_eq(batches[i].steps[0].number, i == 1 ? 1000 : rows[i].actual + 1, "%zu", i);
    }
    qp_overlay_release(&overlay);
    for (size_t i = 0; i < COUNT; i++)
        qp_batch_release(&batches[i]);
    qp_moment_end(moment);
    quipu_close(store);
}

/* Its effects go with it, or not at all. */
Test(decide, effects_of_a_refused_batch)
{
    quipu *store = make_store();
    quipu_batch *batch = quipu_batch_new();
    const struct qp_view_place place = {{"p", 1}, 1};
    struct qp_key key;
    struct qp_effect effect = {.table = QP_TABLE_VIEWS, .value = {"v", 1}};

    qp_key_view(&key, place.name, place.generation, QP_LITERAL("k"));
    effect.key = qp_key_bytes(&key);
    for (int held = 0; held < 2; held++) {
        struct qp_buffer assembly = {0};
        struct qp_txn txn = {0};
        struct qp_bytes value;

        quipu_batch_clear(batch);
        make_batch(&batch->batch, held ? "+a:3:1" : "+a:9:1");
        cr_assert_eq(qp_batch_effect(&batch->batch, &effect, NULL), QUIPU_OK);
        add_project(&batch->batch, "p", 0, false);
        cr_expect_eq(quipu_commit(store, batch, NULL, NULL), held ? QUIPU_OK : QUIPU_CONFLICT);
        cr_assert_eq(qp_txn_begin_read(store->handle->log, &txn, NULL), QUIPU_OK);
        cr_expect_eq(qp_views_get(&txn, &place, QP_LITERAL("k"), &assembly, &value, NULL),
                     held ? QUIPU_ROW : QUIPU_OK);
        cr_expect_eq(qp_table_rows(&txn, QP_TABLE_MARKS), 2 + (uint64_t)held);
        qp_txn_end(&txn);
    }
    quipu_batch_free(batch);
    quipu_close(store);
}

/* ---- streams of a projection's own ---- */

/* Whose appends hold: NULL is everybody. */
static int append_as(quipu *store, const char *projection, const char *append, quipu_error *error)
{
    quipu_batch *batch = quipu_batch_new();
    char text[64];
    int rc;

    (void)snprintf(text, sizeof(text), "%s", append);
    if (projection != NULL)
        add_owned(&batch->batch, projection, text);
    else
        add_append(&batch->batch, text);
    rc = quipu_commit(store, batch, NULL, error);
    quipu_batch_free(batch);
    return rc;
}

static void expect_owner(quipu *store, const char *stream, const char *owner)
{
    struct qp_stream_row row = {0};
    struct qp_txn txn = {0};
    int rc;

    cr_assert_eq(qp_txn_begin_read(store->handle->log, &txn, NULL), QUIPU_OK);
    rc = qp_streams_get(&txn, true, (struct qp_bytes){stream, strlen(stream)}, &row, NULL);
    cr_expect_eq(rc, owner != NULL ? QUIPU_ROW : QUIPU_OK, "%s", stream);
    if (owner != NULL)
        support_expect_bytes(row.owner.data, row.owner.size, owner, strlen(owner), "%s", stream);
    qp_txn_end(&txn);
}

Test(decide, owners_of_streams)
{
    quipu *store = make_store();
    quipu_error error = {0};

    cr_assert_eq(change_row(store, "p", 0, false, &error), QUIPU_OK, "%s", error.text);
    cr_assert_eq(change_row(store, "q", 0, false, &error), QUIPU_OK, "%s", error.text);
    cr_expect_eq(append_as(store, "p", "a:*:1", &error), QUIPU_MISUSE, "it has events");
    cr_expect_not_null(strstr(error.text, "stream a belongs to"), "%s", error.text);
    expect_owner(store, "a", NULL);
    cr_expect_eq(append_as(store, "p", "made:*:0", &error), QUIPU_OK, "no event");
    expect_owner(store, "made", NULL);
    cr_expect_eq(append_as(store, "p", "made:0:2", &error), QUIPU_OK, "%s", error.text);
    expect_owner(store, "made", "p");
    cr_expect_eq(append_as(store, "p", "made:2:1", &error), QUIPU_OK, "%s", error.text);
    cr_expect_eq(append_as(store, NULL, "made:*:1", &error), QUIPU_MISUSE);
    cr_expect_not_null(strstr(error.text, "stream made belongs to a projection"), "%s", error.text);
    cr_expect_eq(append_as(store, "q", "made:*:1", &error), QUIPU_MISUSE);
    cr_expect_eq(append_as(store, NULL, "made:3:0", &error), QUIPU_OK, "it is only a condition");
    cr_expect_eq(append_as(store, NULL, "other:0:1", &error), QUIPU_OK);
    expect_owner(store, "made", "p");
    expect_owner(store, "other", NULL);
    quipu_close(store);
}

/* A page emits into a new stream more than once. */
Test(decide, a_stream_is_claimed_by_a_batch)
{
    quipu *store = make_store();
    quipu_batch *batch = quipu_batch_new();
    quipu_error error = {0};
    char appends[4][16] = {"made:*:1", "made:*:1", "other:*:1", "made:*:2"};

    cr_assert_eq(change_row(store, "p", 0, false, &error), QUIPU_OK);
    for (size_t i = 0; i < 4; i++)
        add_owned(&batch->batch, "p", appends[i]);
    cr_expect_eq(quipu_commit(store, batch, NULL, &error), QUIPU_OK, "%s", error.text);
    cr_expect_eq(append_as(store, "p", "made:4:1", &error), QUIPU_OK, "%s", error.text);
    expect_owner(store, "made", "p");
    expect_owner(store, "other", "p");
    quipu_batch_free(batch);
    quipu_close(store);
}

/* When its row has gone the stream is everybody's; made again, it is its own again. */
Test(decide, ownership_ends_with_the_projection)
{
    quipu *store = make_store();
    quipu_error error = {0};

    cr_assert_eq(change_row(store, "p", 0, false, &error), QUIPU_OK);
    cr_assert_eq(append_as(store, "p", "made:0:1", &error), QUIPU_OK);
    cr_assert_eq(append_as(store, NULL, "made:*:1", &error), QUIPU_MISUSE);
    cr_assert_eq(change_row(store, "p", row_of(store, "p", true).sequence, true, &error), QUIPU_OK);
    cr_expect_eq(append_as(store, NULL, "made:1:1", &error), QUIPU_OK, "%s", error.text);
    cr_expect_eq(append_as(store, "q", "made:2:1", &error), QUIPU_MISUSE, "it has events");
    cr_assert_eq(change_row(store, "p", 0, false, &error), QUIPU_OK);
    cr_expect_eq(append_as(store, NULL, "made:*:1", &error), QUIPU_MISUSE);
    cr_expect_eq(append_as(store, "p", "made:2:1", &error), QUIPU_OK, "%s", error.text);
    quipu_close(store);
}

/* The group sees a claim as soon as it is accepted, and one that was refused not at all. */
Test(decide, a_claim_in_a_group)
{
    static const struct {
        const char *projection;
        const char *append;
        bool refused; /* for something else in the batch */
        int status;
        bool claims;
    } rows[] = {
        {"p", "x:0:1", true, QUIPU_CONFLICT, true},  {NULL, "x:0:1", true, QUIPU_CONFLICT, false},
        {"q", "x:0:1", false, QUIPU_OK, true},       {"q", "x:1:1", false, QUIPU_OK, false},
        {"p", "x:2:1", false, QUIPU_MISUSE, false},  {NULL, "x:2:1", false, QUIPU_MISUSE, false},
        {NULL, "y:0:1", false, QUIPU_OK, false},     {"p", "y:1:1", false, QUIPU_MISUSE, false},
        {NULL, "x:9:1", false, QUIPU_MISUSE, false},
    };
    enum { COUNT = sizeof(rows) / sizeof(rows[0]) };
    struct qp_batch batches[COUNT] = {{.step_count = 0}};
    quipu *store = make_store();
    struct qp_moment *moment = NULL;
    struct qp_overlay overlay;

    cr_assert_eq(qp_moment_begin(store->handle, true, &moment, NULL), QUIPU_OK);
    qp_overlay_init(&overlay, 5);
    for (size_t i = 0; i < COUNT; i++) {
        quipu_receipt receipt;
        quipu_error error = {0};
        char text[64];
        int rc;

        (void)snprintf(text, sizeof(text), "%s", rows[i].append);
        if (rows[i].projection != NULL)
            add_owned(&batches[i], rows[i].projection, text);
        else
            add_append(&batches[i], text);
        if (rows[i].refused)
            make_batch(&batches[i], "+a:9:1");
        rc = qp_decide(&overlay, moment, &batches[i], &receipt, &error);
        cr_expect_eq(rc, rows[i].status, "%zu: %s", i, error.text);
        cr_expect_eq(batches[i].steps[0].claims, rows[i].claims, "%zu", i);
        cr_expect(qp_decide_is_own(rc) || rc == QUIPU_OK);
    }
    qp_overlay_release(&overlay);
    for (size_t i = 0; i < COUNT; i++)
        qp_batch_release(&batches[i]);
    qp_moment_end(moment);
    quipu_close(store);
}
