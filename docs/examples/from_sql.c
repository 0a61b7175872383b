/* from_sql.c - what docs/FROM-SQL.md says in SQL, said to Quipu.
 *
 *   from_sql STORE      on a new store; prints what each question found */
#include <quipu.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- insert -------------------------------------------------------------------------------- */

static quipu_draft make_draft(const char *type, const char *json)
{
    return (quipu_draft){
        .type = type, .data = json, .data_size = (uint32_t)strlen(json), .data_format = QUIPU_JSON};
}

static int insert(quipu *store, const char *stream, uint64_t expected, const char *type,
                  const char *json, quipu_error *error)
{
    quipu_draft draft = make_draft(type, json);

    return quipu_append(store, stream, expected, &draft, 1, NULL, error);
}

/* The same request, sent again, gives the same id: then nothing is written. */
static int insert_once(quipu *store, const char *stream, const char *request, const char *type,
                       const char *json, quipu_error *error)
{
    quipu_draft draft = make_draft(type, json);

    quipu_id_from(request, strlen(request), draft.id);
    draft.flags = QUIPU_EVENT_HAS_ID;
    return quipu_append(store, stream, QUIPU_ANY, &draft, 1, NULL, error);
}

static int insert_two(quipu *store, quipu_error *error)
{
    quipu_draft reserved = make_draft("StockReserved", "{\"pieces\":1}");
    quipu_draft created = make_draft("OrderCreated", "{\"cents\":500}");
    const char *const tags[] = {"customer:ana"};
    quipu_batch *batch = quipu_batch_new();
    int rc;

    created.tags = tags;
    created.tag_count = 1;
    (void)quipu_batch_append(batch, "order-2", QUIPU_NEW, &created, 1);
    (void)quipu_batch_append(batch, "stock-9", QUIPU_ANY, &reserved, 1);
    rc = quipu_commit(store, batch, NULL, error);
    quipu_batch_free(batch);
    return rc;
}

/* ---- select -------------------------------------------------------------------------------- */

static void print_event(const quipu_event *event)
{
    printf("  %" PRIu64 " %s v%" PRIu64 " %s %.*s\n", event->position, event->stream,
           event->version, event->type, (int)event->data_size, (const char *)event->data);
}

static int print_all(quipu_reader *reader, quipu_error *error)
{
    quipu_event event;
    int rc;

    for (;;) {
        rc = quipu_next(reader, &event, error);
        if (rc != QUIPU_ROW)
            break;
        print_event(&event);
    }
    quipu_reader_close(reader);
    return rc;
}

static int select_stream(quipu *store, const char *stream, uint64_t after, quipu_error *error)
{
    quipu_range range = {QUIPU_INIT(quipu_range), .after = after};
    quipu_reader *reader = NULL;
    int rc = quipu_read_stream(store, stream, &range, &reader, error);

    return rc < 0 ? rc : print_all(reader, error);
}

static int select_types(quipu *store, int64_t since_ns, int64_t until_ns, quipu_error *error)
{
    const char *const types[] = {"OrderPaid", "OrderShipped"};
    quipu_query_item item = {.types = types, .type_count = 2};
    quipu_query query = {.items = &item, .item_count = 1};
    quipu_reader *reader = NULL;
    quipu_event event;
    int rc = quipu_read(store, &query, NULL, &reader, error);

    while (rc >= 0) {
        rc = quipu_next(reader, &event, error);
        if (rc != QUIPU_ROW)
            break;
        if (event.time_ns >= since_ns && event.time_ns < until_ns)
            print_event(&event);
    }
    quipu_reader_close(reader);
    return rc;
}

static int select_customer(quipu *store, quipu_error *error)
{
    quipu_query *query = NULL;
    quipu_reader *reader = NULL;
    int rc = quipu_query_parse("category=order tag=customer:ana", &query, error);

    if (rc == QUIPU_OK)
        rc = quipu_read(store, query, NULL, &reader, error);
    if (rc == QUIPU_OK)
        rc = print_all(reader, error);
    quipu_query_free(query);
    return rc;
}

/* ---- a projection -------------------------------------------------------------------------- */

struct paid {
    uint64_t seen; /* the checkpoint */
    int64_t cents; /* the view */
};

static int project(quipu *store, struct paid *paid, quipu_error *error)
{
    const char *const types[] = {"OrderPaid"};
    quipu_query_item item = {.types = types, .type_count = 1};
    quipu_query query = {.items = &item, .item_count = 1};
    quipu_range range = {QUIPU_INIT(quipu_range), .after = paid->seen, .limit = 1000};
    quipu_reader *reader = NULL;
    quipu_event event;
    int rc = quipu_read(store, &query, &range, &reader, error);

    while (rc >= 0) {
        int64_t cents = 0;

        rc = quipu_next(reader, &event, error);
        if (rc != QUIPU_ROW)
            break;
        (void)quipu_get_i64(&event, "cents", &cents);
        paid->cents += cents;
    }
    if (rc == QUIPU_OK)
        paid->seen = quipu_reader_head(reader);
    quipu_reader_close(reader);
    return rc; /* save both members together, or neither */
}

/* ---- main ---------------------------------------------------------------------------------- */

static int fill(quipu *store, quipu_error *error)
{
    int rc = insert(store, "order-1", QUIPU_NEW, "OrderCreated", "{\"cents\":1999}", error);

    if (rc == QUIPU_OK)
        rc = insert_once(store, "order-1", "web-17", "OrderPaid", "{\"cents\":1999}", error);
    if (rc == QUIPU_OK)
        rc = insert_once(store, "order-1", "web-17", "OrderPaid", "{\"cents\":1999}", error);
    if (rc == QUIPU_OK)
        rc = insert_two(store, error);
    return rc;
}

static int ask(quipu *store, quipu_error *error)
{
    struct paid paid = {0};
    int rc = insert(store, "order-1", 1, "OrderPaid", "{}", error);

    printf("insert at an old version: %s\n", quipu_status_name(rc));
    printf("order-1 after version 1:\n");
    rc = select_stream(store, "order-1", 1, error);
    printf("paid or shipped, at any time:\n");
    if (rc == QUIPU_OK)
        rc = select_types(store, 0, INT64_MAX, error);
    printf("orders of ana:\n");
    if (rc == QUIPU_OK)
        rc = select_customer(store, error);
    for (int round = 0; round < 2 && rc == QUIPU_OK; round++) {
        rc = project(store, &paid, error);
        printf("paid: %" PRId64 " cents, seen up to %" PRIu64 "\n", paid.cents, paid.seen);
    }
    return rc;
}

int main(int argc, char **argv)
{
    quipu_options options = {QUIPU_INIT(quipu_options), .flags = QUIPU_OPEN_NEW};
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = quipu_open(argc > 1 ? argv[1] : "sql.store", &options, &store, &error);

    if (rc == QUIPU_OK)
        rc = fill(store, &error);
    if (rc == QUIPU_OK)
        rc = ask(store, &error);
    if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", quipu_status_name(rc), error.text);
    quipu_close(store);
    return rc < 0 ? 1 : 0;
}
