/* dcb_goods.c - invoices, orders and prices: see dcb.c. */
#include "dcb.h"

/* ---- invoice number: each is one more than the last, without gaps ------------------------------
 */

static void see_number(const quipu_event *event, void *state)
{
    *(int64_t *)state = dcb_n(event);
}

/* Only the newest one is read. */
static int decide_invoice(const struct dcb_command *command)
{
    static const char *const types[] = {"InvoiceCreated"};
    const quipu_query_item item = {.types = types, .type_count = 1};
    const quipu_query query = {&item, 1};
    int64_t last = 0;
    uint64_t after = dcb_look(&query, QUIPU_BACKWARDS, 1, see_number, &last);
    const struct dcb_event event = {.type = types[0], .n = last + 1};

    (void)command;
    return dcb_commit(&event, &query, after);
}

static void pick_invoice(struct sys_random *random, struct dcb_command *command)
{
    (void)random;
    *command = (struct dcb_command){0};
}

static void rules_of_invoices(const struct dcb_example *example)
{
    static const struct dcb_rule rules[] = {{{0}, 1}, {{0}, 1}, {{0}, 1}};
    int64_t last = 0;

    dcb_expect(example, rules, 3);
    (void)dcb_look(NULL, 0, 0, see_number, &last);
    CHECK(last == 3, "the third has another number");
}

static bool holds_invoice(const quipu_event *event)
{
    static int64_t last;

    return dcb_n(event) == ++last;
}

const struct dcb_example dcb_invoices = {"invoice number",  decide_invoice, pick_invoice,
                                         rules_of_invoices, holds_invoice,  0};

/* ---- record duplication: a token of the client's, and nothing is read before --------------------
 */

enum { ORDERS = 300 };

static int decide_order(const struct dcb_command *command)
{
    char name[DCB_TAG_BYTES];
    const char *tags[] = {dcb_tag(name, "request", command->a)};
    const quipu_query_item item = {.tags = tags, .tag_count = 1};
    const quipu_query query = {&item, 1};
    const struct dcb_event event = {.type = "OrderPlaced", .tags = {tags[0]}};

    return dcb_commit(&event, &query, 0) == 1; /* a conflict: it is there */
}

static void pick_order(struct sys_random *random, struct dcb_command *command)
{
    *command = (struct dcb_command){.a = (unsigned)sys_below(random, ORDERS)};
}

static void rules_of_orders(const struct dcb_example *example)
{
    static const struct dcb_rule rules[] = {
        {{.a = 1}, 1}, {{.a = 2}, 1}, {{.a = 1}, 0}, {{.a = 2}, 0}, {{.a = 12}, 1}};

    dcb_expect(example, rules, 5);
}

static bool holds_order(const quipu_event *event)
{
    static bool placed[ORDERS];
    uint64_t request = dcb_value(event, "request");
    bool twice = placed[request];

    placed[request] = true;
    return !twice;
}

const struct dcb_example dcb_duplicates = {"record duplication", decide_order, pick_order,
                                           rules_of_orders,      holds_order,  ORDERS};

/* ---- product price with a grace period: the price shown counts for some minutes more -----------
 */

enum { PRODUCTS = 5, PRICES = 4, MINUTES_OF_GRACE = 10 };
enum { SET_PRICE, ORDER };

/* Of each price: since when another one counts. */
struct prices {
    unsigned product;
    bool known;
    int64_t current;
    bool replaced[PRICES];
    int64_t replaced_at[PRICES];
};

static void set_price(struct prices *prices, int64_t price, int64_t time)
{
    if (prices->known) {
        prices->replaced[prices->current] = true;
        prices->replaced_at[prices->current] = time;
    }
    prices->known = true;
    prices->current = price;
}

static void see_price(const quipu_event *event, void *state)
{
    set_price(state, dcb_n(event), event->time_ns);
}

static bool counts(const struct prices *prices, int64_t price, int64_t time)
{
    if (!prices->known)
        return false;
    return prices->current == price ||
           (prices->replaced[price] && time - prices->replaced_at[price] <= MINUTES_OF_GRACE);
}

/* `a` is the product, `n` the price. */
static int decide_grace(const struct dcb_command *command)
{
    static const char *const types[] = {"PriceSet"};
    char name[DCB_TAG_BYTES];
    const char *tags[] = {dcb_tag(name, "product", command->a)};
    const quipu_query_item item = {.types = types, .type_count = 1, .tags = tags, .tag_count = 1};
    const quipu_query query = {&item, 1};
    struct prices prices = {.product = command->a};
    uint64_t after = dcb_look(&query, 0, 0, see_price, &prices);
    const struct dcb_event event = {.type = command->what == SET_PRICE ? types[0] : "OrderPlaced",
                                    .tags = {tags[0]},
                                    .n = command->n,
                                    .time = command->time};

    if (command->what == SET_PRICE && prices.known && prices.current == command->n)
        return 0;
    if (command->what == ORDER && !counts(&prices, command->n, command->time))
        return 0;
    return dcb_commit(&event, &query, after);
}

static void pick_price(struct sys_random *random, struct dcb_command *command)
{
    *command = (struct dcb_command){.what = sys_chance(random, 30) ? SET_PRICE : ORDER,
                                    .a = (unsigned)sys_below(random, PRODUCTS),
                                    .b = (unsigned)sys_below(random, PRODUCTS),
                                    .n = (int64_t)sys_below(random, PRICES),
                                    .time = (int64_t)sys_below(random, 60)};
}

static void rules_of_grace(const struct dcb_example *example)
{
    static const struct dcb_rule rules[] = {
        {{ORDER, 1, 0, 1, 0}, 0},  {{SET_PRICE, 1, 0, 1, 5}, 1},   {{SET_PRICE, 1, 0, 1, 6}, 0},
        {{ORDER, 1, 0, 1, 99}, 1}, {{ORDER, 1, 0, 2, 9}, 0},       {{SET_PRICE, 1, 0, 2, 100}, 1},
        {{ORDER, 1, 0, 2, 9}, 1},  {{ORDER, 1, 0, 1, 110}, 1},     {{ORDER, 1, 0, 1, 111}, 0},
        {{ORDER, 2, 0, 1, 0}, 0},  {{SET_PRICE, 1, 0, 1, 200}, 1}, {{ORDER, 1, 0, 1, 300}, 1},
    };

    dcb_expect(example, rules, sizeof(rules) / sizeof(rules[0]));
}

static bool holds_grace(const quipu_event *event)
{
    static struct prices all[PRODUCTS];
    struct prices *prices = &all[dcb_value(event, "product")];

    if (quipu_event_is(event, "OrderPlaced"))
        return counts(prices, dcb_n(event), event->time_ns);
    set_price(prices, dcb_n(event), event->time_ns);
    return true;
}

const struct dcb_example dcb_grace = {
    "product price grace period", decide_grace, pick_price, rules_of_grace, holds_grace, 0};

/* ---- dynamic product price: a cart of several products, each at the price that counts now -------
 */

struct cart {
    unsigned products[2];
    int64_t prices[2]; /* -1: none */
};

static void see_cart(const quipu_event *event, void *state)
{
    struct cart *cart = state;

    for (unsigned i = 0; i < 2; i++)
        if (dcb_value(event, "product") == cart->products[i])
            cart->prices[i] = dcb_n(event);
}

/* Products `a` and `b`, for `n` together. */
static int decide_cart(const struct dcb_command *command)
{
    static const char *const types[] = {"PriceSet"};
    char names[2][DCB_TAG_BYTES];
    const char *tags[] = {dcb_tag(names[0], "product", command->a),
                          dcb_tag(names[1], "product", command->b)};
    const quipu_query_item items[] = {
        {.types = types, .type_count = 1, .tags = &tags[0], .tag_count = 1},
        {.types = types, .type_count = 1, .tags = &tags[1], .tag_count = 1},
    };
    const quipu_query query = {items, command->what == SET_PRICE ? 1 : 2};
    struct cart cart = {{command->a, command->b}, {-1, -1}};
    uint64_t after = dcb_look(&query, 0, 0, see_cart, &cart);
    char other[DCB_TAG_BYTES];
    const struct dcb_event price = {.type = types[0], .tags = {tags[0]}, .n = command->n};
    const struct dcb_event order = {.type = "CartOrdered",
                                    .tags = {tags[0], dcb_tag(other, "with", command->b)},
                                    .n = command->n};

    if (command->what == SET_PRICE)
        return cart.prices[0] == command->n ? 0 : dcb_commit(&price, &query, after);
    if (cart.prices[0] < 0 || cart.prices[1] < 0 || cart.prices[0] + cart.prices[1] != command->n)
        return 0;
    return dcb_commit(&order, &query, after);
}

static void rules_of_carts(const struct dcb_example *example)
{
    static const struct dcb_rule rules[] = {
        {{ORDER, 1, 2, 3, 0}, 0},     {{SET_PRICE, 1, 0, 1, 0}, 1}, {{ORDER, 1, 2, 1, 0}, 0},
        {{SET_PRICE, 2, 0, 2, 0}, 1}, {{ORDER, 1, 2, 3, 0}, 1},     {{ORDER, 2, 1, 3, 0}, 1},
        {{ORDER, 1, 1, 2, 0}, 1},     {{SET_PRICE, 1, 0, 3, 0}, 1}, {{ORDER, 1, 2, 3, 0}, 0},
        {{ORDER, 1, 2, 5, 0}, 1},     {{SET_PRICE, 1, 0, 3, 0}, 0},
    };

    dcb_expect(example, rules, sizeof(rules) / sizeof(rules[0]));
}

static bool holds_cart(const quipu_event *event)
{
    static int64_t prices[PRODUCTS]; /* and 1 more: 0 is none */
    uint64_t product = dcb_value(event, "product");
    int64_t other;

    if (!quipu_event_is(event, "CartOrdered")) {
        prices[product] = dcb_n(event) + 1;
        return true;
    }
    other = prices[dcb_value(event, "with")];
    return prices[product] > 0 && other > 0 && prices[product] + other - 2 == dcb_n(event);
}

const struct dcb_example dcb_carts = {"dynamic product price", decide_cart, pick_price,
                                      rules_of_carts,          holds_cart,  0};
