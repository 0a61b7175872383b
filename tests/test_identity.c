/* test_identity.c - events that are sent again: what a commit says of ids that it knows.
 *
 * A scenario is a text of commits, divided by ';':
 *
 *     a 0 xy=C; a 0 xy=D; a any xz=P1; a 0 p + b 0 q=C
 *
 * stream, expected version, ids (a letter each, '.' for none), '+' for the batch's next append, and
 * the verdict: C committed, D known already, P partly known and X known among others, both with the
 * draft that is told, V conflict. `!s` before an append is a condition on stream s: it must be new.
 * Most are those that KurrentDB describes; each runs on a store that stays open, one that is opened
 * anew in between, one whose index is made anew, and one whose index has everything. */
#include "decide.h"
#include "handles.h"
#include "support_suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SUPPORT_SUITE(identity);

static const char *const scenarios[] = {
    /* The same again. */
    "a 0 xyz=C; a 0 xyz=D; a any xyz=D; a exists xyz=D",
    "a any xyz=C; a any xyz=D; a 0 xyz=D",
    "a 0 x=C; a 1 y=C; a 0 x=D; a 1 y=D; a any x=D; a any y=D",
    /* A part of it, from the begin, the middle, the end. */
    "a 0 wxyz=C; a 0 wx=D; a any xy=D; a 1 xy=D; a 2 yz=D; a 3 z=D; a any z=D",
    /* Two appends retried as one. */
    "a 0 w=C; a 1 x=C; a 0 wx=D; a any wx=D",
    /* One more at the end. */
    "a 0 xy=C; a 0 xyz=P2; a any xyz=P2; a 2 z=C; a any xyz=D",
    "a 0 wxy=C; a 2 yz=P1; a any yz=P1",
    /* Another one in the middle, another order, an event without an id. */
    "a 0 wxyz=C; a 0 wqyz=P1; a any wxqz=P2; a any xw=P1; a 0 wyx=P1; a 0 w.yz=P1; a any wx.=P2",
    /* Known after new. */
    "a 0 xy=C; a any qx=X1; a 2 qx=X1; a any .x=X1; a 2 pqy=X2; a 7 qx=X1",
    /* Expected is now, and the first is known: no retry, a mistake. */
    "a 0 xyz=C; a 3 z=X0; a 3 zq=X0; a 3 x=X0; a 3 xyz=X0",
    /* Known, but not where the version says. */
    "a 0 xyz=C; a 1 x=V; a 0 y=V; a 0 yz=V; a 1 z=V; a 9 x=V; a 9 xq=V",
    /* Versions alone. */
    "a 1 x=V; a exists x=V; a 0 x=C; a 0 y=V; a 2 y=V; a exists y=C; a any z=C",
    /* Without ids nothing is known. */
    "a any .=C; a any .=C; a 2 ..=C; a 2 ..=V; a any ..=C",
    /* The same id in another stream is another event. */
    "a 0 xy=C; b 0 xy=C; b any yx=P1; b 0 yx=V; b any x=D; a any x=D; b 2 z=C; a any z=C",
    /* Twice in one batch. */
    "a 0 xx=X1; a 0 xyx=X2; a 0 x + a 1 x=X0; a 0 x + b 0 x=C; a 0 xx=X1",
    /* The same behind a draft that its append has failed for. */
    "a 0 .x.=C; a 2 x.y + a any y=X0; a any x.y + a any y=P1; a any xzy + a any z=P1",
    /* The stream twice in one batch. */
    "a 0 x + a 1 y=C; a 0 x + a 1 y=D; a 0 xy=D; a any y + a any x=D; a 1 y + a 0 x=D",
    /* Several streams: all known or none. */
    "a 0 x + b 0 y=C; a 0 x + b 0 y=D; b any y + a any x=D; a 0 x + b 1 z=X0; b 1 z + a 0 x=X0",
    "a 0 x + b 0 y=C; c 0 z + a 0 x=X0; a 0 x + b 0 yz=P1; a 0 xz + b 0 y=P1; a 0 x + c 0 .=X0",
    /* New beside known goes before a version that does not hold. */
    "a 0 x=C; a 0 x + b 5 z=X0; b 5 z + a 0 x=X0",
    /* Conditions hold when something is written, and are not asked when all is known. */
    "!b a 0 x=C; b 0 y=C; !b a 0 x=D; !b a 1 z=V; !b a 0 xz=P1",
    /* What was refused is not known. */
    "a 5 x=V; a 0 x=C; b 0 xx=X1; b 0 x=C",
};

enum mode { STAYS_OPEN, OPENED_ANEW, INDEX_ANEW, INDEX_COMPLETE, MODES };

static const char *const modes[] = {"stays open", "opened anew", "index anew", "index complete"};

enum { FIRST_MAX = 32, APPENDS_MAX = 4 };

/* What was committed first under an id letter, in the order of commits. */
struct first {
    char stream[16];
    char id;
    uint64_t version;
    uint64_t position;
};

/* An append as it was sent. */
struct sent {
    char stream[16];
    char ids[16];
};

struct bench {
    quipu *store;
    enum mode mode;
    const char *scenario;
    struct first first[FIRST_MAX];
    size_t first_count;
    struct sent sent[APPENDS_MAX]; /* of the commit that runs */
    size_t sent_count;
    char path[SUPPORT_PATH_BYTES];
};

static void open_store(struct bench *bench)
{
    cr_assert_eq(quipu_open(bench->path, NULL, &bench->store, NULL), QUIPU_OK);
}

/* More events than a close leaves to the next merge. */
static void append_others(quipu *store)
{
    enum { COUNT = 4096 };
    quipu_draft *drafts = calloc(COUNT, sizeof(*drafts));

    cr_assert_not_null(drafts);
    for (size_t i = 0; i < COUNT; i++)
        drafts[i].type = "noise";
    cr_assert_eq(quipu_append(store, "noise", QUIPU_ANY, drafts, COUNT, NULL, NULL), QUIPU_OK);
    cr_assert_eq(quipu_append(store, "noise", QUIPU_ANY, drafts, 1, NULL, NULL), QUIPU_OK);
    free(drafts);
}

static void expect_complete(quipu *store)
{
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};

    cr_assert_eq(quipu_stat_get(store, &stat, NULL), QUIPU_OK);
    cr_assert_eq(stat.indexed, stat.head, "the index is to have all of it");
}

static void between(struct bench *bench)
{
    char index[SUPPORT_PATH_BYTES];

    if (bench->mode == STAYS_OPEN)
        return;
    if (bench->mode == INDEX_COMPLETE)
        append_others(bench->store);
    quipu_close(bench->store);
    if (bench->mode == INDEX_ANEW)
        support_remove(support_path(index, "store/index.mdb"));
    open_store(bench);
    if (bench->mode == INDEX_COMPLETE)
        expect_complete(bench->store);
}

/* ---- where events stand ---- */

/* The event of a stream at this version, as it is read. */
static void read_version(struct bench *bench, const char *stream, uint64_t version,
                         quipu_event *event)
{
    const quipu_range range = {QUIPU_INIT(quipu_range), .after = version - 1, .upto = version};
    quipu_reader *reader = NULL;

    cr_assert_eq(quipu_read_stream(bench->store, stream, &range, &reader, NULL), QUIPU_OK);
    cr_assert_eq(quipu_next(reader, event, NULL), QUIPU_ROW, "%s: %s v%lu", bench->scenario, stream,
                 version);
    event->stream = NULL; /* only numbers and the id outlive the reader */
    quipu_reader_close(reader);
}

/* Each event of an append that was committed stands where the result says, with its id: note it.
 * Of one that was known the same, and that it is the very event that was noted. */
static void check_places(struct bench *bench, const struct sent *sent, const quipu_result *result,
                         bool committed)
{
    cr_expect_eq(result->count, strlen(sent->ids), "%s", bench->scenario);
    for (size_t i = 0; sent->ids[i] != '\0'; i++) {
        uint64_t version = result->first_version + i;
        struct first *first = NULL;
        quipu_event event;

        read_version(bench, sent->stream, version, &event);
        cr_expect_eq(event.version, version);
        if (committed)
            cr_expect_eq(event.position, result->first_position + i, "%s", bench->scenario);
        else if (i == 0)
            cr_expect_eq(event.position, result->first_position, "%s", bench->scenario);
        if (sent->ids[i] == '.')
            continue;
        cr_expect_eq(event.id[0], (uint8_t)sent->ids[i], "%s", bench->scenario);
        for (size_t j = 0; j < bench->first_count && first == NULL; j++)
            if (bench->first[j].id == sent->ids[i] &&
                strcmp(bench->first[j].stream, sent->stream) == 0)
                first = &bench->first[j];
        cr_assert_eq(first == NULL, committed, "%s: %c in %s", bench->scenario, sent->ids[i],
                     sent->stream);
        if (first == NULL) {
            first = &bench->first[bench->first_count++];
            *first =
                (struct first){.id = sent->ids[i], .version = version, .position = event.position};
            memcpy(first->stream, sent->stream, sizeof(first->stream));
        }
        cr_expect(first->version == version && first->position == event.position,
                  "%s, %s: %c in %s", modes[bench->mode], bench->scenario, sent->ids[i],
                  sent->stream);
    }
}

/* ---- one commit of a scenario ---- */

/* The next word of a scenario, of letters and digits. */
static void take_word(const char **at, char word[16])
{
    size_t size = strspn(*at, " ");

    *at += size;
    size = strcspn(*at, " =;");
    cr_assert(size > 0 && size < 16, "%s", *at);
    memcpy(word, *at, size);
    word[size] = '\0';
    *at += size;
}

static uint64_t expected_of(const char *word)
{
    if (strcmp(word, "any") == 0)
        return QUIPU_ANY;
    return strcmp(word, "exists") == 0 ? QUIPU_EXISTS : strtoull(word, NULL, 10);
}

/* "a 0 xyz" */
static void add_append(struct bench *bench, quipu_batch *batch, const char **at)
{
    struct sent *sent = &bench->sent[bench->sent_count++];
    quipu_draft drafts[16] = {{0}};
    char expected[16];

    cr_assert_leq(bench->sent_count, APPENDS_MAX);
    take_word(at, sent->stream);
    if (sent->stream[0] == '!') {
        cr_assert_eq(quipu_batch_expect(batch, sent->stream + 1, QUIPU_NEW), QUIPU_OK);
        take_word(at, sent->stream);
    }
    take_word(at, expected);
    take_word(at, sent->ids);
    for (size_t i = 0; sent->ids[i] != '\0'; i++) {
        drafts[i].type = "t";
        drafts[i].flags = sent->ids[i] == '.' ? 0 : QUIPU_EVENT_HAS_ID;
        memset(drafts[i].id, sent->ids[i], sizeof(drafts[i].id));
    }
    cr_assert_eq(
        quipu_batch_append(batch, sent->stream, expected_of(expected), drafts, strlen(sent->ids)),
        QUIPU_OK);
}

/* What came of a batch, as a scenario writes it. */
static void verdict_of(int rc, const quipu_receipt *receipt, char out[8])
{
    if (rc == QUIPU_OK)
        (void)snprintf(out, 8, "%c", receipt->verdict == QUIPU_COMMITTED ? 'C' : 'D');
    else if (rc == QUIPU_CONFLICT)
        (void)snprintf(out, 8, "V");
    else
        (void)snprintf(out, 8, "%c%u", rc == QUIPU_PARTIAL_DUPLICATE ? 'P' : 'X',
                       receipt->failed_draft % 100);
}

/* The receipt against the step results, and those against what can be read. */
static void check_results(struct bench *bench, quipu_batch *batch, const quipu_receipt *receipt,
                          int rc)
{
    const struct sent *sent = bench->sent;
    uint32_t failed = 0;

    for (size_t i = 0; i < quipu_batch_steps(batch); i++) {
        quipu_result result;

        cr_assert_eq(quipu_batch_result(batch, i, &result), QUIPU_OK);
        failed += result.status != QUIPU_OK;
        if (rc == QUIPU_OK && result.count > 0) {
            cr_expect_geq(result.first_position, receipt->first_position);
            cr_expect_leq(result.first_position, receipt->last_position);
            check_places(bench, sent++, &result, receipt->verdict == QUIPU_COMMITTED);
        } else {
            cr_expect_eq(result.first_position, 0, "%s", bench->scenario);
        }
        if (rc < 0 && i == receipt->failed_step)
            cr_expect(result.status == rc && result.matched == receipt->matched &&
                          result.expected == receipt->expected && result.actual == receipt->actual,
                      "%s", bench->scenario);
    }
    cr_expect_eq(rc == QUIPU_OK, sent == bench->sent + bench->sent_count, "each append");
    cr_expect_eq(receipt->failed_count, failed, "%s", bench->scenario);
    cr_expect_eq(rc<0, failed> 0, "%s", bench->scenario);
}

/* The commit at `*at`, which moves behind it. A commit that wrote nothing leaves the head. */
static void run_commit(struct bench *bench, const char **at)
{
    quipu_batch *batch = quipu_batch_new();
    quipu_receipt receipt;
    quipu_error error = {0};
    uint64_t before = 0;
    uint64_t after = 0;
    char verdict[8];
    char wanted[16];
    int rc;

    bench->sent_count = 0;
    add_append(bench, batch, at);
    while (strncmp(*at, " + ", 3) == 0) {
        *at += 3;
        add_append(bench, batch, at);
    }
    *at += strspn(*at, "=");
    take_word(at, wanted);
    cr_assert_eq(quipu_head(bench->store, &before, NULL), QUIPU_OK);
    rc = quipu_commit(bench->store, batch, &receipt, &error);
    verdict_of(rc, &receipt, verdict);
    cr_expect_str_eq(verdict, wanted, "%s: \"%s\": before \"%s\": %s", modes[bench->mode],
                     bench->scenario, *at, error.text);
    cr_expect(rc == QUIPU_OK || error.text[0] != '\0');
    check_results(bench, batch, &receipt, rc);
    cr_assert_eq(quipu_head(bench->store, &after, NULL), QUIPU_OK);
    cr_expect_eq(after != before, verdict[0] == 'C', "%s", bench->scenario);
    if (verdict[0] == 'C')
        cr_expect(receipt.first_position == before + 1 && receipt.last_position == after);
    if (verdict[0] == 'D')
        cr_expect(receipt.first_position > 0 && receipt.last_position <= before);
    quipu_batch_free(batch);
}

static void run_scenario(const char *scenario, enum mode mode)
{
    struct bench bench = {.mode = mode, .scenario = scenario};

    support_path(bench.path, "store");
    open_store(&bench);
    for (const char *at = scenario;;) {
        run_commit(&bench, &at);
        if (*at == '\0')
            break;
        at += strspn(at, "; ");
        between(&bench);
    }
    quipu_close(bench.store);
    cr_expect_eq(quipu_verify(bench.path, 0, NULL, NULL, NULL, NULL, NULL), QUIPU_OK, "%s: %s",
                 modes[mode], scenario);
    support_remove(bench.path);
}

Test(identity, scenarios)
{
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        for (int mode = 0; mode < MODES; mode++)
            run_scenario(scenarios[i], (enum mode)mode);
}

/* ---- a long one ---- */

enum { LONG_TAGS = QP_TAGS_MAX, LONG_TAG_BYTES = QP_NAME_MAX };

/* An event of as many and as long tags as there may be: its id lies behind them, and so beyond the
 * row of its record. */
Test(identity, an_id_beyond_its_row)
{
    static char tags[LONG_TAGS][LONG_TAG_BYTES + 1];
    const char *pointers[LONG_TAGS];
    quipu_draft drafts[2] = {{.type = "t", .flags = QUIPU_EVENT_HAS_ID, .id = {1, 2}},
                             {.type = "t", .flags = QUIPU_EVENT_HAS_ID, .id = {3, 4}}};

    for (unsigned i = 0; i < LONG_TAGS; i++) {
        memset(tags[i], 'x', LONG_TAG_BYTES);
        (void)snprintf(tags[i], sizeof(tags[i]), "k%02u:", i);
        tags[i][strlen(tags[i])] = 'x';
        pointers[i] = tags[i];
    }
    for (size_t i = 0; i < 2; i++) {
        drafts[i].tags = pointers;
        drafts[i].tag_count = LONG_TAGS;
    }
    for (int mode = 0; mode < MODES; mode++) {
        struct bench bench = {.mode = (enum mode)mode};
        quipu_receipt receipt;
        quipu_event event;

        support_path(bench.path, "store");
        open_store(&bench);
        cr_assert_eq(quipu_append(bench.store, "a", 0, drafts, 2, NULL, NULL), QUIPU_OK);
        between(&bench);
        for (size_t i = 0; i < 2; i++) {
            cr_expect_eq(quipu_append(bench.store, "a", i, &drafts[i], 1, &receipt, NULL), QUIPU_OK,
                         "%s", modes[mode]);
            cr_expect(receipt.verdict == QUIPU_DUPLICATE && receipt.first_position == i + 1 &&
                          receipt.last_version == i + 1,
                      "%s", modes[mode]);
            read_version(&bench, "a", i + 1, &event);
            cr_expect_eq(event.tag_count, LONG_TAGS);
            cr_expect_eq(memcmp(event.id, drafts[i].id, 16), 0);
        }
        cr_expect_eq(quipu_append(bench.store, "a", QUIPU_ANY, drafts, 2, &receipt, NULL),
                     QUIPU_OK);
        cr_expect_eq(receipt.verdict, QUIPU_DUPLICATE, "%s", modes[mode]);
        cr_expect_eq(quipu_append(bench.store, "b", 0, drafts, 2, &receipt, NULL), QUIPU_OK);
        cr_expect_eq(receipt.verdict, QUIPU_COMMITTED, "of another stream");
        quipu_close(bench.store);
        support_remove(bench.path);
    }
}

/* ---- in one group ---- */

/* Two batches that one leader decides: the second one sees the first, whose events have no place in
 * the log yet. */
Test(identity, batches_of_one_group)
{
    quipu_draft draft = {.type = "t", .flags = QUIPU_EVENT_HAS_ID, .id = {7}};
    struct bench bench = {0};
    struct qp_moment *moment = NULL;
    struct qp_overlay overlay;
    struct qp_batch batches[5];
    quipu_receipt receipts[5];

    support_path(bench.path, "store");
    open_store(&bench);
    cr_assert_eq(qp_moment_begin(bench.store->handle, true, &moment, NULL), QUIPU_OK);
    qp_overlay_init(&overlay, 0);
    memset(batches, 0, sizeof(batches));
    cr_assert_eq(qp_batch_append(&batches[0], "a", 5, &draft, 1), QUIPU_OK); /* refused */
    cr_assert_eq(qp_batch_append(&batches[1], "a", 0, &draft, 1), QUIPU_OK);
    cr_assert_eq(qp_batch_append(&batches[2], "a", 0, &draft, 1), QUIPU_OK);
    cr_assert_eq(qp_batch_append(&batches[3], "a", 1, &draft, 1), QUIPU_OK);
    cr_assert_eq(qp_batch_append(&batches[4], "a", QUIPU_ANY, &draft, 1), QUIPU_OK);
    cr_assert_eq(qp_batch_append(&batches[4], "a", QUIPU_ANY, &draft, 1), QUIPU_OK);
    cr_expect_eq(qp_decide(&overlay, moment, &batches[0], &receipts[0], NULL), QUIPU_CONFLICT);
    cr_expect_eq(qp_decide(&overlay, moment, &batches[1], &receipts[1], NULL), QUIPU_OK);
    cr_expect_eq(qp_decide(&overlay, moment, &batches[2], &receipts[2], NULL), QUIPU_OK);
    cr_expect_eq(qp_decide(&overlay, moment, &batches[3], &receipts[3], NULL), QUIPU_DUPLICATE_ID);
    cr_expect(receipts[1].verdict == QUIPU_COMMITTED && receipts[1].first_position == 1);
    cr_expect(receipts[2].verdict == QUIPU_DUPLICATE && receipts[2].first_position == 1 &&
              receipts[2].last_version == 1);
    cr_expect_eq(receipts[3].matched, 1);
    /* Twice in a batch is said of the batch, whoever committed it before and when. */
    cr_expect_eq(qp_decide(&overlay, moment, &batches[4], &receipts[4], NULL), QUIPU_DUPLICATE_ID);
    cr_expect(receipts[4].failed_step == 1 && receipts[4].matched == 0);
    qp_overlay_release(&overlay);
    for (size_t i = 0; i < 5; i++)
        qp_batch_release(&batches[i]);
    qp_moment_end(moment);
    quipu_close(bench.store);
}

enum { THREADS = 8, EVENTS = 200 };

struct sender {
    pthread_t thread;
    quipu *store;
    unsigned committed;
    unsigned known;
    unsigned failed;
};

/* Everybody sends the same events. */
static void *send_all(void *payload)
{
    struct sender *sender = payload;

    for (uint32_t i = 0; i < EVENTS; i++) {
        quipu_draft draft = {.type = "t", .flags = QUIPU_EVENT_HAS_ID};
        quipu_receipt receipt;

        memcpy(draft.id, &i, sizeof(i));
        if (quipu_append(sender->store, i % 2 == 0 ? "a" : "b", QUIPU_ANY, &draft, 1, &receipt,
                         NULL) < 0)
            sender->failed++;
        else if (receipt.verdict == QUIPU_COMMITTED)
            sender->committed++;
        else
            sender->known++;
    }
    return NULL;
}

Test(identity, threads_that_send_the_same)
{
    struct sender senders[THREADS] = {{0}};
    struct bench bench = {0};
    unsigned committed = 0;
    unsigned known = 0;
    uint64_t head = 0;

    support_path(bench.path, "store");
    open_store(&bench);
    for (size_t i = 0; i < THREADS; i++) {
        senders[i].store = bench.store;
        cr_assert_eq(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(senders[i].thread, NULL);
        committed += senders[i].committed;
        known += senders[i].known;
        cr_expect_eq(senders[i].failed, 0);
    }
    cr_expect_eq(committed, EVENTS);
    cr_expect_eq(known, (THREADS - 1) * EVENTS);
    cr_expect_eq(quipu_head(bench.store, &head, NULL), QUIPU_OK);
    cr_expect_eq(head, EVENTS);
    quipu_close(bench.store);
}
