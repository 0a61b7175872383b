/* guide_bank.c - docs/GUIDE.md in one program: accounts of a small bank, one stream each.
 *
 *   guide_bank STORE open NAME CENTS
 *   guide_bank STORE withdraw NAME CENTS
 *   guide_bank STORE transfer FROM TO CENTS
 *   guide_bank STORE balance NAME [VERSION]
 *   guide_bank STORE history NAME */
#include <quipu.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a fold: state out of events ----------------------------------------------------------- */

struct account {
    int64_t cents;
};

static int apply(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    struct account *account = state;
    int64_t cents = 0;

    (void)payload;
    (void)error;
    (void)quipu_get_i64(event, "cents", &cents);
    if (quipu_event_is(event, "Deposited"))
        account->cents += cents;
    else if (quipu_event_is(event, "Withdrawn"))
        account->cents -= cents;
    return QUIPU_OK; /* other types do not concern this fold */
}

static const quipu_fold account_fold = {QUIPU_INIT(quipu_fold), .version = 1, .name = "account",
                                        .state_size = sizeof(struct account), .apply = apply};

/* ---- an event to be ------------------------------------------------------------------------ */

struct fact {
    char json[64];
    quipu_draft draft;
};

/* The draft points into `fact`, which must live until the append has returned. */
static void make_fact(struct fact *fact, const char *type, int64_t cents)
{
    int size = snprintf(fact->json, sizeof(fact->json), "{\"cents\":%" PRId64 "}", cents);

    fact->draft = (quipu_draft){
        .type = type, .data = fact->json, .data_size = (uint32_t)size, .data_format = QUIPU_JSON};
}

/* ---- what the bank does -------------------------------------------------------------------- */

static int refuse(int64_t cents, quipu_error *error)
{
    (void)snprintf(error->text, sizeof(error->text), "only %" PRId64 " cents are there", cents);
    return QUIPU_APPLICATION;
}

static int open_account(quipu *store, const char *name, int64_t cents, quipu_error *error)
{
    struct fact fact;

    make_fact(&fact, "Deposited", cents);
    return quipu_append(store, name, QUIPU_NEW, &fact.draft, 1, NULL, error);
}

/* Load, decide, append at the version that was decided on; again if somebody was faster. */
static int withdraw(quipu *store, const char *name, int64_t cents, quipu_error *error)
{
    struct account account;
    struct fact fact;
    uint64_t version;
    int rc;

    make_fact(&fact, "Withdrawn", cents);
    do {
        rc = quipu_load(store, &account_fold, name, NULL, &account, &version, error);
        if (rc < 0)
            return rc;
        if (account.cents < cents)
            return refuse(account.cents, error);
        rc = quipu_append(store, name, version, &fact.draft, 1, NULL, error);
    } while (rc == QUIPU_CONFLICT);
    return rc;
}

/* Two streams, one commit: both events or neither. */
static int transfer(quipu *store, const char *from, const char *to, int64_t cents,
                    quipu_error *error)
{
    quipu_batch *batch = quipu_batch_new();
    quipu_receipt receipt;
    struct account account;
    struct fact taken;
    struct fact given;
    uint64_t version;
    int rc;

    make_fact(&taken, "Withdrawn", cents);
    make_fact(&given, "Deposited", cents);
    do {
        rc = quipu_load(store, &account_fold, from, NULL, &account, &version, error);
        if (rc == QUIPU_OK && account.cents < cents)
            rc = refuse(account.cents, error);
        if (rc < 0)
            break;
        quipu_batch_clear(batch);
        (void)quipu_batch_append(batch, from, version, &taken.draft, 1);
        (void)quipu_batch_append(batch, to, QUIPU_EXISTS, &given.draft, 1);
        rc = quipu_commit(store, batch, &receipt, error); /* tells of the calls before it too */
    } while (rc == QUIPU_CONFLICT && receipt.failed_step == 0); /* step 1: no such account */
    quipu_batch_free(batch);
    return rc;
}

static int balance(quipu *store, const char *name, const char *at_version, quipu_error *error)
{
    quipu_point at = {.kind = QUIPU_AT_HEAD};
    struct account account;
    uint64_t version;
    int rc;

    if (at_version != NULL)
        at = (quipu_point){.kind = QUIPU_AT_VERSION, .value = strtoll(at_version, NULL, 10)};
    rc = quipu_load(store, &account_fold, name, &at, &account, &version, error);
    if (rc == QUIPU_OK)
        printf("%s version %" PRIu64 ": %" PRId64 " cents\n", name, version, account.cents);
    return rc;
}

/* The newest ten events of one stream, newest first. */
static int history(quipu *store, const char *name, quipu_error *error)
{
    quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_BACKWARDS, .limit = 10};
    quipu_reader *reader = NULL;
    quipu_event event;
    int rc = quipu_read_stream(store, name, &range, &reader, error);

    while (rc >= 0) {
        rc = quipu_next(reader, &event, error);
        if (rc != QUIPU_ROW)
            break;
        printf("version %" PRIu64 " at position %" PRIu64 ": %s %.*s\n", event.version,
               event.position, event.type, (int)event.data_size, (const char *)event.data);
    }
    quipu_reader_close(reader);
    return rc;
}

/* ---- main ---------------------------------------------------------------------------------- */

static int run(quipu *store, int count, char **words, quipu_error *error)
{
    const char *verb = count > 0 ? words[0] : "";

    if (count == 3 && strcmp(verb, "open") == 0)
        return open_account(store, words[1], strtoll(words[2], NULL, 10), error);
    if (count == 3 && strcmp(verb, "withdraw") == 0)
        return withdraw(store, words[1], strtoll(words[2], NULL, 10), error);
    if (count == 4 && strcmp(verb, "transfer") == 0)
        return transfer(store, words[1], words[2], strtoll(words[3], NULL, 10), error);
    if ((count == 2 || count == 3) && strcmp(verb, "balance") == 0)
        return balance(store, words[1], count == 3 ? words[2] : NULL, error);
    if (count == 2 && strcmp(verb, "history") == 0)
        return history(store, words[1], error);
    (void)snprintf(error->text, sizeof(error->text),
                   "open, withdraw, transfer, balance or history?");
    return QUIPU_APPLICATION;
}

int main(int argc, char **argv)
{
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = quipu_open(argc > 1 ? argv[1] : "bank.store", NULL, &store, &error);

    if (rc == QUIPU_OK)
        rc = run(store, argc - 2, argv + 2, &error);
    if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", quipu_status_name(rc), error.text);
    quipu_close(store);
    return rc < 0 ? 1 : 0;
}
