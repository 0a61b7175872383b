/* guide_upcast.c - docs/GUIDE.md 11 in one program: a till whose events once had another shape.
 *
 *   guide_upcast STORE old           sells as the program of last year did
 *   guide_upcast STORE sell CENTS
 *   guide_upcast STORE events        what folds see
 *   guide_upcast STORE total */
#include <quipu.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TILL "till-4"

/* ---- what old events become ---------------------------------------------------------------- */

/* Sold, schema 0: {"euros":12,"tip":1}. Since then money is counted in cents, and a tip is a fact
 * of its own. */
static int emit_cents(quipu_page *out, const char *type, uint16_t schema, int64_t cents)
{
    char json[64];
    int size = snprintf(json, sizeof(json), "{\"cents\":%" PRId64 "}", cents);
    const quipu_draft draft = {.type = type,
                               .data = json,
                               .data_size = (uint32_t)size,
                               .data_format = QUIPU_JSON,
                               .schema = schema};

    return quipu_page_emit(out, NULL, &draft); /* everything is copied */
}

static int up_sold(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    int64_t euros = 0;
    int64_t tip = 0;
    int rc;

    (void)payload;
    (void)error;
    (void)quipu_get_i64(event, "euros", &euros);
    (void)quipu_get_i64(event, "tip", &tip);
    rc = emit_cents(out, "Sold", 1, euros * 100);
    if (rc == QUIPU_OK && tip > 0)
        rc = emit_cents(out, "Tipped", 0, tip * 100);
    return rc;
}

/* Nobody asks any more when the drawer was opened: it becomes nothing. */
static int up_drawer(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    (void)event;
    (void)out;
    (void)payload;
    (void)error;
    return QUIPU_OK;
}

static const quipu_upcaster upcasters[] = {
    {QUIPU_INIT(quipu_upcaster), .from = 0, .type = "Sold", .up = up_sold},
    {QUIPU_INIT(quipu_upcaster), .from = 0, .type = "DrawerOpened", .up = up_drawer}};

/* Right after the open, before anything is read. */
static int register_all(quipu *store, quipu_error *error)
{
    int rc = QUIPU_OK;

    for (size_t i = 0; i < sizeof(upcasters) / sizeof(upcasters[0]) && rc == QUIPU_OK; i++)
        rc = quipu_register_upcaster(store, &upcasters[i], error);
    return rc;
}

/* ---- the till ------------------------------------------------------------------------------ */

static int apply(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    int64_t cents = 0;

    (void)payload;
    (void)error;
    (void)quipu_get_i64(event, "cents", &cents);
    if (quipu_event_is(event, "Sold"))
        *(int64_t *)state += cents;
    return QUIPU_OK;
}

static const quipu_fold till_fold = {QUIPU_INIT(quipu_fold), .version = 1, .name = "till",
                                     .state_size = sizeof(int64_t), .apply = apply};

static int total(quipu *store, quipu_error *error)
{
    int64_t cents;
    uint64_t version;
    int rc = quipu_load(store, &till_fold, TILL, NULL, &cents, &version, error);

    if (rc == QUIPU_OK)
        printf("%" PRId64 " cents at version %" PRIu64 "\n", cents, version);
    return rc;
}

static int put_events(quipu *store, quipu_error *error)
{
    quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_UPCAST};
    quipu_reader *reader = NULL;
    quipu_event event;
    int rc = quipu_read_stream(store, TILL, &range, &reader, error);

    while (rc >= 0) {
        rc = quipu_next(reader, &event, error);
        if (rc != QUIPU_ROW)
            break;
        printf("version %" PRIu64 ": %s, schema %u: %.*s\n", event.version, event.type,
               (unsigned)event.schema, (int)event.data_size, (const char *)event.data);
    }
    quipu_reader_close(reader);
    return rc;
}

static int sell_as_last_year(quipu *store, quipu_error *error)
{
    static const char sold[] = "{\"euros\":12,\"tip\":1}";
    const quipu_draft drafts[] = {
        {.type = "DrawerOpened"},
        {.type = "Sold", .data = sold, .data_size = sizeof(sold) - 1, .data_format = QUIPU_JSON}};

    return quipu_append(store, TILL, QUIPU_ANY, drafts, 2, NULL, error);
}

static int sell(quipu *store, int64_t cents, quipu_error *error)
{
    char json[64];
    int size = snprintf(json, sizeof(json), "{\"cents\":%" PRId64 "}", cents);
    const quipu_draft draft = {.type = "Sold",
                               .data = json,
                               .data_size = (uint32_t)size,
                               .data_format = QUIPU_JSON,
                               .schema = 1};

    return quipu_append(store, TILL, QUIPU_ANY, &draft, 1, NULL, error);
}

/* ---- main ---------------------------------------------------------------------------------- */

static int run(quipu *store, int count, char **words, quipu_error *error)
{
    const char *verb = count > 0 ? words[0] : "";

    if (count == 1 && strcmp(verb, "old") == 0)
        return sell_as_last_year(store, error);
    if (count == 2 && strcmp(verb, "sell") == 0)
        return sell(store, strtoll(words[1], NULL, 10), error);
    if (count == 1 && strcmp(verb, "events") == 0)
        return put_events(store, error);
    if (count == 1 && strcmp(verb, "total") == 0)
        return total(store, error);
    (void)snprintf(error->text, sizeof(error->text), "old, sell, events or total?");
    return QUIPU_APPLICATION;
}

int main(int argc, char **argv)
{
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = quipu_open(argc > 1 ? argv[1] : "till.store", NULL, &store, &error);

    if (rc == QUIPU_OK)
        rc = register_all(store, &error);
    if (rc == QUIPU_OK)
        rc = run(store, argc - 2, argv + 2, &error);
    if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", quipu_status_name(rc), error.text);
    quipu_close(store);
    return rc < 0 ? 1 : 0;
}
