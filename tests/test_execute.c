/* test_execute.c - quipu_execute(): what is decided, how often, and what is left. */
#include "clock.h"
#include "handles.h"
#include "support_suite.h"

#include <pthread.h>
#include <string.h>

SUPPORT_SUITE(execute);

static quipu_error why;

static quipu *open_store(void)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    (void)quipu_open(support_path(path, "store"), NULL, &store, &why);
    cr_assert_not_null(store, "%s", why.text);
    return store;
}

/* ---- a counter ------------------------------------------------------------------------------- */

#define STREAM "counter-1"

/* How often each of the fold's functions was called, and what they are to return. */
struct calls {
    int inits;
    int releases;
    int init_returns;
    int apply_returns;
};

struct counter {
    int64_t value;  /* of the newest event */
    uint64_t count; /* of events */
    void *owned;    /* what `release` frees */
};

static int counter_init(void *state, void *payload)
{
    struct counter *counter = state;
    struct calls *calls = payload;

    cr_assert(counter->count == 0 && counter->owned == NULL, "zeroed");
    cr_assert_eq((uintptr_t)state % _Alignof(max_align_t), 0);
    if (calls->init_returns != 0)
        return calls->init_returns;
    calls->inits++;
    counter->owned = malloc(1);
    return 0;
}

static int counter_apply(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    struct counter *counter = state;
    const struct calls *calls = payload;

    (void)error;
    (void)quipu_get_i64(event, "value", &counter->value);
    counter->count++;
    return calls->apply_returns;
}

static void counter_release(void *state, void *payload)
{
    struct counter *counter = state;
    struct calls *calls = payload;

    free(counter->owned);
    calls->releases++;
}

static quipu_fold fold_of(struct calls *calls)
{
    return (quipu_fold){
        QUIPU_INIT(quipu_fold), .name = "counter",      .state_size = sizeof(struct counter),
        .init = counter_init,   .apply = counter_apply, .release = counter_release,
        .payload = calls};
}

static int append_value(quipu_batch *batch, int64_t value)
{
    char json[64];
    const quipu_draft draft = {
        .type = "Counted",
        .data = json,
        .data_size = (uint32_t)snprintf(json, sizeof(json), "{\"value\":%lld}", (long long)value),
        .data_format = QUIPU_JSON};

    return quipu_batch_append(batch, STREAM, QUIPU_ANY, &draft, 1);
}

/* ---- what decide does ------------------------------------------------------------------------ */

/* For decide: what it is to do, and what it saw. */
struct script {
    quipu *store;
    int calls;
    int returns;
    int append;           /* events that it decides on */
    int others;           /* calls in which another one appends to the stream meanwhile */
    const char *text;     /* that it writes into `error` */
    const char *step;     /* a condition that it adds: this stream is new */
    uint64_t version;     /* of the last call */
    struct counter state; /* of the last call */
};

static int decide(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                  quipu_error *error)
{
    struct script *script = payload;
    const quipu_draft other = {.type = "Other"};

    cr_expect_eq(quipu_batch_steps(batch), 0, "it is cleared");
    script->state = *(const struct counter *)state;
    script->version = version;
    cr_expect_eq(script->state.count, version);
    if (script->calls++ < script->others)
        cr_assert_eq(quipu_append(script->store, STREAM, QUIPU_ANY, &other, 1, NULL, NULL), 0);
    for (int i = 0; i < script->append; i++)
        (void)append_value(batch, script->state.value + 1 + i);
    if (script->step != NULL)
        (void)quipu_batch_expect(batch, script->step, QUIPU_NEW);
    if (script->text != NULL)
        (void)snprintf(error->text, sizeof(error->text), "%s", script->text);
    return script->returns;
}

static quipu_receipt receipt;

/* Whatever becomes of it, each state that was begun is released. */
static int execute(quipu *store, struct calls *calls, struct script *script, uint32_t attempts)
{
    const quipu_fold fold = fold_of(calls);
    int rc;

    script->store = store;
    why = (quipu_error){0};
    memset(&receipt, 0xff, sizeof(receipt));
    rc = quipu_execute(store, &fold, STREAM, decide, script, attempts, &receipt, &why);
    cr_expect_eq(calls->inits, calls->releases, "%d and %d", calls->inits, calls->releases);
    cr_expect_eq(why.status, rc < 0 ? rc : 0);
    cr_expect_eq(why.text[0] != '\0', rc < 0, "%s", why.text);
    return rc;
}

static uint64_t head_of(quipu *store)
{
    uint64_t head = UINT64_MAX;

    cr_assert_eq(quipu_head(store, &head, &why), QUIPU_OK);
    return head;
}

static void expect_no_receipt(void)
{
    const quipu_receipt none = {0};

    cr_expect_eq(memcmp(&receipt, &none, sizeof(none)), 0);
}

/* ---- it commits ------------------------------------------------------------------------------ */

Test(execute, a_first_and_a_second)
{
    quipu *store = open_store();
    struct calls calls = {0};
    struct script script = {.append = 2};

    cr_assert_eq(execute(store, &calls, &script, 0), QUIPU_OK, "%s", why.text);
    cr_expect_eq(script.version, QUIPU_NEW);
    cr_expect_eq(receipt.verdict, QUIPU_COMMITTED);
    cr_expect_eq(receipt.first_position, 1);
    cr_expect_eq(receipt.last_position, 2);
    cr_expect_eq(receipt.last_version, 2);
    script.append = 1;
    cr_assert_eq(execute(store, &calls, &script, 1), QUIPU_OK, "%s", why.text);
    cr_expect_eq(script.version, 2);
    cr_expect_eq(script.state.value, 2);
    cr_expect_eq(receipt.last_version, 3);
    cr_expect_eq(script.calls, 2);
    cr_expect_eq(calls.inits, 2);
    quipu_close(store);
}

/* Without steps the version is checked all the same. */
Test(execute, nothing_but_the_check)
{
    quipu *store = open_store();
    struct calls calls = {0};
    struct script script = {.others = 1};

    cr_assert_eq(execute(store, &calls, &script, 0), QUIPU_OK, "%s", why.text);
    cr_expect_eq(script.calls, 2, "the first was in vain");
    cr_expect_eq(receipt.verdict, QUIPU_COMMITTED);
    cr_expect_eq(receipt.last_position, 0);
    cr_expect_eq(head_of(store), 1);
    quipu_close(store);
}

Test(execute, done_without_a_commit)
{
    quipu *store = open_store();
    struct calls calls = {0};
    struct script script = {.append = 1, .returns = 1, .others = 1, .text = "no error"};

    cr_assert_eq(execute(store, &calls, &script, 0), QUIPU_OK, "%s", why.text);
    cr_expect_eq(script.calls, 1);
    expect_no_receipt();
    cr_expect_eq(head_of(store), 1, "only the other's");
    quipu_close(store);
}

Test(execute, without_a_receipt_and_without_a_state)
{
    quipu *store = open_store();
    struct calls calls = {0};
    quipu_fold fold = fold_of(&calls);
    struct script script = {.append = 1, .store = store};

    cr_expect_eq(quipu_execute(store, &fold, STREAM, decide, &script, 0, NULL, NULL), QUIPU_OK);
    cr_expect_eq(head_of(store), 1);
    quipu_close(store);
}

static int apply_nothing(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)state;
    (void)event;
    (void)payload;
    (void)error;
    return 0;
}

static int decide_once(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                       quipu_error *error)
{
    (void)payload;
    (void)error;
    cr_expect_not_null(state);
    return version == QUIPU_NEW ? append_value(batch, 1) : 1;
}

Test(execute, a_state_of_no_bytes)
{
    quipu *store = open_store();
    const quipu_fold fold = {QUIPU_INIT(quipu_fold), .name = "none", .apply = apply_nothing};

    for (int i = 0; i < 2; i++)
        cr_expect_eq(quipu_execute(store, &fold, STREAM, decide_once, NULL, 0, NULL, &why), 0);
    cr_expect_eq(head_of(store), 1);
    quipu_close(store);
}

/* ---- conflicts ------------------------------------------------------------------------------- */

/* Each attempt sees what came in between. */
Test(execute, again_after_a_conflict)
{
    quipu *store = open_store();
    struct calls calls = {0};
    struct script script = {.append = 1, .others = 3};

    cr_assert_eq(execute(store, &calls, &script, 4), QUIPU_OK, "%s", why.text);
    cr_expect_eq(script.calls, 4);
    cr_expect_eq(calls.inits, 4);
    cr_expect_eq(script.version, 3);
    cr_expect_eq(receipt.last_version, 4);
    quipu_close(store);
}

Test(execute, attempts_are_over)
{
    static const struct {
        uint32_t attempts;
        int calls;
    } each[] = {{1, 1}, {3, 3}, {0, 16}};
    quipu *store = open_store();
    uint64_t head = 0;

    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        struct calls calls = {0};
        struct script script = {.append = 2, .others = 1000};

        cr_expect_eq(execute(store, &calls, &script, each[i].attempts), QUIPU_CONFLICT);
        cr_expect_eq(script.calls, each[i].calls, "%d", script.calls);
        head += (uint64_t)each[i].calls;
        cr_expect_eq(head_of(store), head, "only the others'");
        cr_expect_eq(receipt.verdict, QUIPU_REFUSED);
        cr_expect_eq(receipt.failed_count, 1);
        cr_expect_eq(receipt.failed_step, 2, "the last one, after decide's own");
        cr_expect_eq(receipt.expected, head - 1);
        cr_expect_eq(receipt.actual, head);
    }
    quipu_close(store);
}

/* A condition of decide's own is one like any other. */
Test(execute, another_condition)
{
    quipu *store = open_store();
    struct calls calls = {0};
    struct script script = {.append = 1, .step = "other-1"};
    const quipu_draft draft = {.type = "t"};

    cr_expect_eq(execute(store, &calls, &script, 0), QUIPU_OK, "%s", why.text);
    cr_assert_eq(quipu_append(store, "other-1", QUIPU_NEW, &draft, 1, NULL, &why), QUIPU_OK);
    script.calls = 0;
    cr_expect_eq(execute(store, &calls, &script, 5), QUIPU_CONFLICT);
    cr_expect_eq(script.calls, 5);
    cr_expect_eq(receipt.failed_step, 1);
    quipu_close(store);
}

/* A step that fails is no conflict. */
Test(execute, a_step_that_is_wrong)
{
    quipu *store = open_store();
    struct calls calls = {0};
    struct script script = {.append = 1, .step = ""};

    cr_expect_eq(execute(store, &calls, &script, 0), QUIPU_INVALID);
    cr_expect_eq(script.calls, 1);
    expect_no_receipt();
    cr_expect_eq(head_of(store), 0);
    quipu_close(store);
}

/* ---- refusals -------------------------------------------------------------------------------- */

Test(execute, refused_as_decide_says)
{
    static const int codes[] = {QUIPU_APPLICATION, -5000, QUIPU_NOT_FOUND, QUIPU_CONFLICT,
                                -1000000};
    static const char *const texts[] = {NULL, "no money"};
    quipu *store = open_store();

    for (size_t i = 0; i < 2 * sizeof(codes) / sizeof(codes[0]); i++) {
        struct calls calls = {0};
        struct script script = {.append = 1, .returns = codes[i / 2], .text = texts[i % 2]};

        cr_expect_eq(execute(store, &calls, &script, 0), codes[i / 2]);
        cr_expect_eq(script.calls, 1, "not again");
        cr_expect_eq(calls.inits, 1);
        if (texts[i % 2] != NULL)
            cr_expect_str_eq(why.text, texts[i % 2]);
        else
            cr_expect_not_null(strstr(why.text, "decide returned"), "%s", why.text);
        expect_no_receipt();
    }
    cr_expect_eq(head_of(store), 0);
    quipu_close(store);
}

Test(execute, a_code_that_is_none)
{
    quipu *store = open_store();
    struct calls calls = {0};
    struct script script = {.append = 1, .returns = 2};

    cr_expect_eq(execute(store, &calls, &script, 0), QUIPU_MISUSE);
    cr_expect_eq(script.calls, 1);
    cr_expect_eq(head_of(store), 0);
    quipu_close(store);
}

/* After a conflict too: nothing of the attempt before is left in the receipt. */
static int decide_then_refuse(const void *state, uint64_t version, quipu_batch *batch,
                              void *payload, quipu_error *error)
{
    struct script *script = payload;

    script->returns = script->calls == 0 ? 0 : -2000;
    return decide(state, version, batch, payload, error);
}

Test(execute, refused_after_a_conflict)
{
    quipu *store = open_store();
    struct calls calls = {0};
    const quipu_fold fold = fold_of(&calls);
    struct script script = {.append = 1, .others = 1, .store = store};

    cr_expect_eq(
        quipu_execute(store, &fold, STREAM, decide_then_refuse, &script, 0, &receipt, &why), -2000);
    cr_expect_eq(script.calls, 2);
    expect_no_receipt();
    quipu_close(store);
}

Test(execute, the_fold_fails)
{
    quipu *store = open_store();
    struct calls calls = {.init_returns = -1234};
    struct script script = {.append = 1};

    cr_expect_eq(execute(store, &calls, &script, 0), -1234);
    cr_expect_eq(calls.releases, 0, "it cleans up after itself");
    calls.init_returns = 7;
    cr_expect_eq(execute(store, &calls, &script, 0), QUIPU_MISUSE);
    cr_expect_eq(script.calls, 0);
    calls.init_returns = 0;
    cr_assert_eq(execute(store, &calls, &script, 0), QUIPU_OK);
    calls.apply_returns = -4321;
    script.calls = 0;
    cr_expect_eq(execute(store, &calls, &script, 0), -4321);
    cr_expect_eq(script.calls, 0);
    expect_no_receipt();
    quipu_close(store);
}

/* ---- events that are sent again -------------------------------------------------------------- */

struct resend {
    const char *ids; /* a letter each, of one append */
    int rc;
    int verdict;
    unsigned draft;   /* that is told */
    uint64_t matched; /* refused: the position that is told; else the first one */
    uint64_t last;    /* position, and version */
    int calls;
};

static int decide_again(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                        quipu_error *error)
{
    struct resend *resend = payload;
    quipu_draft drafts[8] = {{0}};
    size_t count = strlen(resend->ids);

    (void)state;
    (void)version;
    (void)error;
    resend->calls++;
    for (size_t i = 0; i < count; i++) {
        drafts[i].type = "Sent";
        drafts[i].flags = QUIPU_EVENT_HAS_ID;
        memset(drafts[i].id, resend->ids[i], sizeof(drafts[i].id));
    }
    return quipu_batch_append(batch, STREAM, QUIPU_ANY, drafts, count);
}

/* The verdicts of a commit are its own, receipt and all; trying again would change none of them. */
Test(execute, known_events)
{
    struct resend steps[] = {
        {"xy", QUIPU_OK, QUIPU_COMMITTED, 0, 1, 2, 0},
        {"xy", QUIPU_OK, QUIPU_DUPLICATE, 0, 1, 2, 0},
        {"y", QUIPU_OK, QUIPU_DUPLICATE, 0, 2, 2, 0},
        {"xyz", QUIPU_PARTIAL_DUPLICATE, QUIPU_REFUSED, 2, 1, 0, 0},
        {"xz", QUIPU_PARTIAL_DUPLICATE, QUIPU_REFUSED, 1, 1, 0, 0},
        {"yx", QUIPU_PARTIAL_DUPLICATE, QUIPU_REFUSED, 1, 2, 0, 0},
        {"zy", QUIPU_DUPLICATE_ID, QUIPU_REFUSED, 1, 2, 0, 0},
        {"zz", QUIPU_DUPLICATE_ID, QUIPU_REFUSED, 1, 0, 0, 0},
        {"z", QUIPU_OK, QUIPU_COMMITTED, 0, 3, 3, 0},
        {"xyz", QUIPU_OK, QUIPU_DUPLICATE, 0, 1, 3, 0},
    };
    quipu *store = open_store();
    uint64_t head = 0;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct resend *step = &steps[i];
        struct calls calls = {0};
        const quipu_fold fold = fold_of(&calls);

        memset(&receipt, 0xff, sizeof(receipt));
        cr_expect_eq(quipu_execute(store, &fold, STREAM, decide_again, step, 0, &receipt, &why),
                     step->rc, "step %zu", i);
        cr_expect_eq(step->calls, 1, "step %zu: it is not tried again", i);
        cr_expect_eq(calls.inits, calls.releases);
        cr_expect_eq(receipt.verdict, step->verdict, "step %zu", i);
        cr_expect_eq(receipt.failed_draft, step->draft, "step %zu", i);
        cr_expect_eq(receipt.last_position, step->last, "step %zu", i);
        cr_expect_eq(receipt.last_version, step->last, "step %zu", i);
        cr_expect_eq(step->rc < 0 ? receipt.matched : receipt.first_position, step->matched,
                     "step %zu", i);
        cr_expect_eq(receipt.failed_count, step->rc < 0, "step %zu", i);
        cr_expect_eq(receipt.failed_step, 0);
        if (step->verdict == QUIPU_COMMITTED)
            head = step->last;
        cr_expect_eq(head_of(store), head, "step %zu", i);
        if (step->rc < 0)
            cr_expect(receipt.first_position == 0 && receipt.actual == head, "step %zu", i);
    }
    quipu_close(store);
}

/* ---- arguments, memory ----------------------------------------------------------------------- */

Test(execute, arguments)
{
    quipu *store = open_store();
    struct calls calls = {0};
    const quipu_fold fold = fold_of(&calls);
    quipu_fold snapshots = fold;
    struct script script = {.append = 1, .store = store};

    snapshots.apply = NULL;
    cr_expect_eq(quipu_execute(NULL, &fold, STREAM, decide, &script, 0, NULL, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_execute(store, NULL, STREAM, decide, &script, 0, NULL, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_execute(store, &snapshots, STREAM, decide, &script, 0, NULL, &why),
                 QUIPU_MISUSE);
    cr_expect_eq(quipu_execute(store, &fold, NULL, decide, &script, 0, NULL, &why), QUIPU_MISUSE);
    cr_expect_eq(quipu_execute(store, &fold, "", decide, &script, 0, NULL, &why), QUIPU_INVALID);
    cr_expect_eq(quipu_execute(store, &fold, STREAM, NULL, &script, 0, &receipt, &why),
                 QUIPU_MISUSE);
    expect_no_receipt();
    cr_expect_eq(script.calls, 0);
    cr_expect_eq(calls.inits, 0);
    quipu_close(store);
}

/* The n-th allocation fails, and all states are released. */
Test(execute, without_memory)
{
    quipu *store = open_store();
    struct calls calls = {0};
    int rc = QUIPU_NO_MEMORY;

    for (long n = 1; rc == QUIPU_NO_MEMORY && n < 200; n++) {
        struct script script = {.append = 3, .step = "other-1"};

        support_heap_fail(n, false);
        rc = execute(store, &calls, &script, 0);
        support_heap_fail(0, false);
        cr_expect_eq(head_of(store), rc == QUIPU_OK ? 3 : 0, "%ld", n);
    }
    cr_expect_eq(rc, QUIPU_OK, "%s", why.text);
    quipu_close(store);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 8, EACH = 25 };

static int decide_next(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                       quipu_error *error)
{
    (void)version;
    (void)payload;
    (void)error;
    return append_value(batch, ((const struct counter *)state)->value + 1);
}

static void *count_up(void *payload)
{
    struct calls calls = {0};
    const quipu_fold fold = fold_of(&calls);

    for (int i = 0; i < EACH; i++)
        if (quipu_execute(payload, &fold, STREAM, decide_next, NULL, 100000, NULL, NULL) != 0)
            abort();
    return calls.inits == calls.releases ? payload : NULL;
}

Test(execute, threads_lose_none)
{
    quipu *store = open_store();
    struct calls calls = {0};
    const quipu_fold fold = fold_of(&calls);
    pthread_t threads[THREADS];
    struct counter counter;
    uint64_t version = 0;
    void *done;

    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count_up, store), 0);
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_join(threads[i], &done), 0);
        cr_expect_not_null(done, "a state was not released");
    }
    cr_assert_eq(quipu_load(store, &fold, STREAM, NULL, &counter, &version, &why), QUIPU_OK);
    cr_expect_eq(version, THREADS * EACH);
    cr_expect_eq(counter.value, THREADS * EACH, "two counted from the same");
    counter_release(&counter, &calls);
    quipu_close(store);
}

/* ---- a close waits --------------------------------------------------------------------------- */

struct slow {
    quipu *store;
    bool deciding;
    bool decided;
};

static int decide_slowly(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                         quipu_error *error)
{
    struct slow *slow = payload;

    (void)state;
    (void)version;
    (void)error;
    __atomic_store_n(&slow->deciding, true, __ATOMIC_SEQ_CST);
    qp_clock_sleep_ms(50);
    __atomic_store_n(&slow->decided, true, __ATOMIC_SEQ_CST);
    return append_value(batch, 1);
}

static void *execute_slowly(void *payload)
{
    struct slow *slow = payload;
    struct calls calls = {0};
    const quipu_fold fold = fold_of(&calls);

    if (quipu_execute(slow->store, &fold, STREAM, decide_slowly, slow, 0, NULL, NULL) != 0)
        abort();
    return NULL;
}

Test(execute, a_close_waits_for_it)
{
    struct slow slow = {.store = open_store()};
    pthread_t thread;
    quipu *store;

    cr_assert_eq(pthread_create(&thread, NULL, execute_slowly, &slow), 0);
    while (!__atomic_load_n(&slow.deciding, __ATOMIC_SEQ_CST))
        qp_clock_sleep_ms(1);
    cr_expect_not(__atomic_load_n(&slow.decided, __ATOMIC_SEQ_CST), "the close comes too late");
    quipu_close(slow.store);
    cr_expect(__atomic_load_n(&slow.decided, __ATOMIC_SEQ_CST), "it did not wait");
    store = open_store();
    cr_expect_eq(head_of(store), 1);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    quipu_close(store);
}
