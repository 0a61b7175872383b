/* guide_kiosk.c - a stream that grows for years, folded by its snapshots: docs/GUIDE.md 10.
 *
 *   guide_kiosk STORE sell COUNT     so many sales of 2.50
 *   guide_kiosk STORE total          what it has earned, and how many events were read for it
 *   guide_kiosk STORE check          fold all again, and compare */
#include <quipu.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char stream[] = "kiosk";

/* ---- a fold with snapshots ----------------------------------------------------------------- */

struct kiosk {
    int64_t cents;
    int64_t sales;
};

static int events_read; /* to show what a snapshot spares */

static int apply(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    struct kiosk *kiosk = state;
    int64_t cents = 0;

    (void)payload;
    (void)error;
    events_read++;
    if (quipu_event_is(event, "Sold") && quipu_get_i64(event, "cents", &cents) == 1) {
        kiosk->cents += cents;
        kiosk->sales++;
    }
    return QUIPU_OK;
}

/* Any bytes that `load` understands; JSON can be looked at by `quipu snapshots --show`. */
static int save(const void *state, quipu_buffer *out, void *payload)
{
    const struct kiosk *kiosk = state;
    char json[80];
    int size = snprintf(json, sizeof(json), "{\"cents\":%" PRId64 ",\"sales\":%" PRId64 "}",
                        kiosk->cents, kiosk->sales);

    (void)payload;
    return quipu_buffer_put(out, json, (size_t)size);
}

/* The bytes have no 0 behind them. What is not ours is refused. */
static int load(void *state, const void *bytes, size_t size, void *payload)
{
    struct kiosk *kiosk = state;
    char json[80] = {0};
    char *end;

    (void)payload;
    if (size >= sizeof(json) || size < 9 || memcmp(bytes, "{\"cents\":", 9) != 0)
        return 1;
    memcpy(json, bytes, size);
    kiosk->cents = strtoll(json + 9, &end, 10);
    if (strncmp(end, ",\"sales\":", 9) != 0)
        return 1;
    kiosk->sales = strtoll(end + 9, NULL, 10);
    return 0;
}

static const quipu_fold kiosk_fold = {
    QUIPU_INIT(quipu_fold), .version = 1, .name = "kiosk", .state_size = sizeof(struct kiosk),
    .apply = apply,         .save = save, .load = load,    .snapshot_every = 100,
    .snapshot_keep = 2};

/* ---- what the program does ----------------------------------------------------------------- */

static int sell(quipu *store, long count, quipu_error *error)
{
    static const char json[] = "{\"cents\":250}";
    const quipu_draft sold = {
        .type = "Sold", .data = json, .data_size = sizeof(json) - 1, .data_format = QUIPU_JSON};
    quipu_batch *batch = quipu_batch_new();
    int rc;

    for (long i = 0; i < count; i++)
        (void)quipu_batch_append(batch, stream, QUIPU_ANY, &sold, 1);
    rc = quipu_commit(store, batch, NULL, error);
    quipu_batch_free(batch);
    return rc;
}

static int total(quipu *store, quipu_error *error)
{
    struct kiosk kiosk;
    uint64_t version;
    int rc = quipu_load(store, &kiosk_fold, stream, NULL, &kiosk, &version, error);

    if (rc == QUIPU_OK)
        printf("version %" PRIu64 ": %" PRId64 " cents; %d events read\n", version, kiosk.cents,
               events_read);
    return rc;
}

static int run(quipu *store, int count, char **words, quipu_error *error)
{
    const char *verb = count > 0 ? words[0] : "";

    if (count == 2 && strcmp(verb, "sell") == 0)
        return sell(store, strtol(words[1], NULL, 10), error);
    if (count == 1 && strcmp(verb, "total") == 0)
        return total(store, error);
    if (count == 1 && strcmp(verb, "check") == 0)
        return quipu_snapshot_check(store, &kiosk_fold, stream, error);
    (void)snprintf(error->text, sizeof(error->text), "sell, total or check?");
    return QUIPU_APPLICATION;
}

int main(int argc, char **argv)
{
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = quipu_open(argc > 1 ? argv[1] : "kiosk.store", NULL, &store, &error);

    if (rc == QUIPU_OK)
        rc = run(store, argc - 2, argv + 2, &error);
    if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", quipu_status_name(rc), error.text);
    quipu_close(store);
    return rc < 0 ? 1 : 0;
}
