/* orders.c - a small order system: docs/GUIDE.md walks through it.
 *
 *   orders STORE create COMMAND ORDER CENTS
 *   orders STORE pay|ship|cancel COMMAND ORDER
 *   orders STORE show ORDER [VERSION]    the order, now or as it was
 *   orders STORE list [SECONDS]          what happened to all orders in that time, newest first
 *
 * COMMAND names the request, such as "web-17". Sent again it changes nothing, and says so. */
#include <quipu.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum kind { CREATED, PAID, SHIPPED, CANCELLED, KINDS };

static const char *const verbs[KINDS] = {"create", "pay", "ship", "cancel"};
static const char *const types[KINDS] = {"OrderCreated", "OrderPaid", "OrderShipped",
                                         "OrderCancelled"};

/* ---- the state of one order, and the rules ------------------------------------------------- */

struct order {
    int64_t cents;
    int has[KINDS];
    uint8_t ids[KINDS][16]; /* of the commands that did it */
};

static int apply(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    struct order *order = state;

    (void)payload, (void)error;
    for (int kind = 0; kind < KINDS; kind++) {
        if (!quipu_event_is(event, types[kind]))
            continue;
        order->has[kind] = 1;
        memcpy(order->ids[kind], event->id, sizeof(event->id));
    }
    if (quipu_event_is(event, types[CREATED]))
        (void)quipu_get_i64(event, "cents", &order->cents);
    return QUIPU_OK;
}

static const quipu_fold order_fold = {QUIPU_INIT(quipu_fold), .version = 1, .name = "order",
                                      .state_size = sizeof(struct order), .apply = apply};

/* NULL if the order may take this step, else why it may not. */
static const char *why_not(const struct order *order, enum kind kind)
{
    if (order->has[kind])
        return "that was done already";
    if (kind != CREATED && !order->has[CREATED])
        return "there is no such order";
    if (order->has[CANCELLED])
        return "it is cancelled";
    if (kind == SHIPPED && !order->has[PAID])
        return "it is not paid";
    if (kind == CANCELLED && order->has[SHIPPED])
        return "it is on its way";
    return NULL;
}

/* ---- a command ----------------------------------------------------------------------------- */

enum { REFUSED = QUIPU_APPLICATION - 1 }; /* our own status: the rules say no */

struct command {
    const char *order;
    enum kind kind;
    quipu_draft draft;
};

static int decide(const void *state, uint64_t version, quipu_batch *batch, void *payload,
                  quipu_error *error)
{
    const struct order *order = state;
    const struct command *command = payload;
    const char *why = why_not(order, command->kind);

    (void)version;
    /* If this very command did it, append again: the store sees the id and writes nothing. */
    if (why != NULL && memcmp(order->ids[command->kind], command->draft.id, 16) != 0) {
        (void)snprintf(error->text, sizeof(error->text), "%s: %s", command->order, why);
        return REFUSED;
    }
    return quipu_batch_append(batch, command->order, QUIPU_ANY, &command->draft, 1);
}

static int handle(quipu *store, enum kind kind, const char *name, const char *order,
                  const char *cents, quipu_error *error)
{
    struct command command = {.order = order, .kind = kind, .draft = {.type = types[kind]}};
    quipu_receipt receipt;
    char json[64];
    char key[256];
    int rc;

    if (snprintf(key, sizeof(key), "%s %s", verbs[kind], name) >= (int)sizeof(key)) {
        (void)snprintf(error->text, sizeof(error->text), "the command's name is too long");
        return REFUSED;
    }
    quipu_id_from(key, strlen(key), command.draft.id);
    command.draft.flags = QUIPU_EVENT_HAS_ID;
    if (kind == CREATED) {
        command.draft.data_size =
            (uint32_t)snprintf(json, sizeof(json), "{\"cents\":%lld}", strtoll(cents, NULL, 10));
        command.draft.data = json;
        command.draft.data_format = QUIPU_JSON;
    }
    rc = quipu_execute(store, &order_fold, order, decide, &command, 0, &receipt, error);
    if (rc == QUIPU_OK)
        printf("%s %s at position %" PRIu64 "\n", order,
               receipt.verdict == QUIPU_DUPLICATE ? "was known" : "written", receipt.last_position);
    return rc;
}

/* ---- questions ----------------------------------------------------------------------------- */

static int show(quipu *store, const char *name, const char *at_version, quipu_error *error)
{
    quipu_point at = {.kind = at_version != NULL ? QUIPU_AT_VERSION : QUIPU_AT_HEAD};
    struct order order;
    uint64_t version;
    int rc;

    if (at_version != NULL)
        at.value = strtoll(at_version, NULL, 10);
    rc = quipu_load(store, &order_fold, name, &at, &order, &version, error);
    if (rc < 0)
        return rc;
    printf("%s version %" PRIu64 ": %" PRId64 " cents", name, version, order.cents);
    for (int kind = 0; kind < KINDS; kind++)
        if (order.has[kind])
            printf(", %s", types[kind]);
    printf("\n");
    return QUIPU_OK;
}

/* The store's own clock never runs backwards: the first event that is too old ends it. */
static int list(quipu *store, int64_t seconds, quipu_error *error)
{
    quipu_query_item item = {.category = "order"};
    quipu_query query = {.items = &item, .item_count = 1};
    quipu_range range = {QUIPU_INIT(quipu_range), .flags = QUIPU_BACKWARDS};
    int64_t since_ns = ((int64_t)time(NULL) - seconds) * 1000000000;
    quipu_reader *reader = NULL;
    quipu_event event;
    int rc = quipu_read(store, &query, &range, &reader, error);

    while (rc >= 0) {
        time_t second;
        char text[32];

        rc = quipu_next(reader, &event, error);
        if (rc != QUIPU_ROW || event.recorded_ns < since_ns)
            break;
        second = (time_t)(event.recorded_ns / 1000000000);
        (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", gmtime(&second));
        printf("%s %s v%" PRIu64 " %s\n", text, event.stream, event.version, event.type);
    }
    quipu_reader_close(reader);
    return rc;
}

/* ---- main ---------------------------------------------------------------------------------- */

static int run(quipu *store, int count, char **words, quipu_error *error)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (count == (kind == CREATED ? 4 : 3) && strcmp(words[0], verbs[kind]) == 0)
            return handle(store, (enum kind)kind, words[1], words[2], words[3], error);
    if ((count == 2 || count == 3) && strcmp(words[0], "show") == 0)
        return show(store, words[1], words[2], error);
    if ((count == 1 || count == 2) && strcmp(words[0], "list") == 0)
        return list(store, count == 2 ? strtoll(words[1], NULL, 10) : 86400, error);
    (void)snprintf(error->text, sizeof(error->text), "create, pay, ship, cancel, show or list?");
    return QUIPU_APPLICATION;
}

int main(int argc, char **argv)
{
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = quipu_open(argc > 1 ? argv[1] : "shop.store", NULL, &store, &error);

    if (rc == QUIPU_OK)
        rc = run(store, argc > 2 ? argc - 2 : 0, argv + 2, &error);
    if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", rc == REFUSED ? "refused" : quipu_status_name(rc),
                      error.text);
    quipu_close(store);
    return rc < 0 ? 1 : 0;
}
