/* plugin_orders.c - functions of an application, for the command line tool: docs/GUIDE.md.
 *
 *   cc -shared -fPIC -Iapi docs/examples/plugin_orders.c -o plugin_orders.so
 *   quipu project orders --plugin ./plugin_orders.so
 *
 * Two lists in one view, over the events of docs/examples/orders.ndjson:
 *
 *   order/order-1   {"user":"user-22","status":"paid","cents":11050}
 *   user/user-22    {"orders":3,"spent":27100} */
#include <quipu.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ORDER "order/"
#define USER  "user/"

/* A value is JSON, and so the functions that look into an event's data look into it too. */
static quipu_event shown(quipu_value value)
{
    return (quipu_event){
        .data = value.data, .data_size = (uint32_t)value.size, .data_format = QUIPU_JSON};
}

static int64_t cents(const quipu_event *event, const char *name)
{
    double amount = 0;

    (void)quipu_get_f64(event, name, &amount);
    return (int64_t)(amount * 100 + 0.5);
}

/* ---- which keys an event has --------------------------------------------------------------- */

static int say_key(quipu_page *page, const char *list, const char *name)
{
    char key[256];
    int size = snprintf(key, sizeof(key), "%s%s", list, name);

    return quipu_page_key(page, key, (size_t)size); /* one that is too long fails there */
}

/* The order, and its user: the first event says who that is, and the view knows it later. */
static int keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    char key[256];
    char user[128];
    quipu_value order;
    int size = snprintf(key, sizeof(key), ORDER "%s", event->stream);
    int rc = say_key(page, ORDER, event->stream);

    (void)payload;
    (void)error;
    if (rc == QUIPU_OK && quipu_get_text(event, "userId", user, sizeof(user)) > 0)
        return say_key(page, USER, user);
    if (rc == QUIPU_OK)
        rc = quipu_page_get(page, key, (size_t)size, &order);
    if (rc == 1) {
        const quipu_event old = shown(order);

        rc = quipu_get_text(&old, "user", user, sizeof(user)) > 0 ? say_key(page, USER, user) : 0;
    }
    return rc;
}

/* ---- what becomes of them ------------------------------------------------------------------ */

static int apply_order(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                       quipu_error *error)
{
    char user[128] = "";
    char status[32] = "";
    char json[256];
    int64_t sum = cents(event, "totalAmount");
    quipu_value value = {0};
    quipu_event old;
    int rc = quipu_page_get(page, key, key_size, &value);

    if (rc < 0)
        return rc;
    old = shown(value);
    if (rc == 0 && !quipu_event_is(event, "ORDER_CREATED")) {
        (void)snprintf(error->text, sizeof(error->text), "%s, but never created", event->type);
        return QUIPU_APPLICATION; /* it is parked, and all that comes of this order behind it */
    }
    (void)quipu_get_text(rc == 1 ? &old : event, rc == 1 ? "user" : "userId", user, sizeof(user));
    (void)quipu_get_i64(&old, "cents", &sum);
    (void)quipu_get_text(&old, "status", status, sizeof(status));
    (void)quipu_get_text(event, "status", status, sizeof(status));
    rc = snprintf(json, sizeof(json), "{\"user\":\"%s\",\"status\":\"%s\",\"cents\":%" PRId64 "}",
                  user, status, sum);
    return quipu_page_put(page, key, key_size, json, (size_t)rc);
}

static int apply_user(quipu_page *page, const void *key, size_t key_size, const quipu_event *event)
{
    char json[96];
    int64_t orders = 0;
    int64_t spent = 0;
    quipu_value value = {0};
    quipu_event old;
    int rc = quipu_page_get(page, key, key_size, &value);

    if (rc < 0)
        return rc;
    old = shown(value);
    (void)quipu_get_i64(&old, "orders", &orders);
    (void)quipu_get_i64(&old, "spent", &spent);
    orders += quipu_event_is(event, "ORDER_CREATED");
    spent += cents(event, "paidAmount");
    if (quipu_event_is(event, "ORDER_REFUNDED"))
        spent -= cents(event, "refundedAmount");
    rc = snprintf(json, sizeof(json), "{\"orders\":%" PRId64 ",\"spent\":%" PRId64 "}", orders,
                  spent);
    return quipu_page_put(page, key, key_size, json, (size_t)rc);
}

static int apply(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    (void)payload;
    if (memcmp(key, USER, sizeof(USER) - 1) == 0)
        return apply_user(page, key, key_size, event);
    return apply_order(page, key, key_size, event, error);
}

/* ---- old events ---------------------------------------------------------------------------- */

/* What is given back was a member of the event that it is given back for. Since then it is a fact
 * of its own. */
static int up_refund(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    quipu_draft draft = {.type = event->type,
                         .data = event->data,
                         .data_size = event->data_size,
                         .data_format = event->data_format,
                         .schema = 1};
    int rc = quipu_page_emit(out, NULL, &draft);

    (void)payload;
    (void)error;
    if (rc < 0 || cents(event, "refundedAmount") == 0)
        return rc;
    draft.type = "ORDER_REFUNDED";
    draft.schema = 0;
    return quipu_page_emit(out, NULL, &draft);
}

static const quipu_upcaster returned = {QUIPU_INIT(quipu_upcaster), .from = 0,
                                        .type = "ORDER_RETURNED", .up = up_refund};
static const quipu_upcaster cancelled = {QUIPU_INIT(quipu_upcaster), .from = 0,
                                         .type = "ORDER_CANCELLED", .up = up_refund};

/* ---- the plugin ---------------------------------------------------------------------------- */

static const quipu_query_item orders_only = {.category = "order"};

static const quipu_projection orders = {QUIPU_INIT(quipu_projection),
                                        .version = 1,
                                        .name = "orders",
                                        .query = {.items = &orders_only, .item_count = 1},
                                        .keys = keys,
                                        .apply = apply};

static const quipu_projection *const projections[] = {&orders};
static const quipu_upcaster *const upcasters[] = {&returned, &cancelled};

static const quipu_plugin plugin = {QUIPU_INIT(quipu_plugin),   .version = QUIPU_VERSION_NUMBER,
                                    .projections = projections, .projection_count = 1,
                                    .upcasters = upcasters,     .upcaster_count = 2};

const quipu_plugin *quipu_plugin_get(void)
{
    return &plugin;
}
