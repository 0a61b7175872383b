/* guide_views.c - docs/GUIDE.md 18 in one program: a library that lends books.
 *
 *   guide_views STORE lend BOOK READER     and who has it, from a view that is never behind
 *   guide_views STORE back BOOK READER
 *   guide_views STORE later BOOK READER    lends, and waits until a runner has folded that
 *   guide_views STORE list PREFIX          what is in the view: book/ or reader/
 *   guide_views STORE rebuild              makes it anew, beside the one that is there */
#include <quipu.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOK   "book/"
#define READER "reader/"

/* ---- the projection ------------------------------------------------------------------------ */

/* Two lists in one view: each event is of a book, and of a reader. */
static int keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    char key[200];
    char reader[100];
    int size = snprintf(key, sizeof(key), BOOK "%s", event->stream + strlen("book-"));
    int rc = quipu_page_key(page, key, (size_t)size);

    (void)payload;
    if (quipu_get_text(event, "reader", reader, sizeof(reader)) <= 0) {
        (void)snprintf(error->text, sizeof(error->text), "%s has no reader", event->type);
        return QUIPU_APPLICATION; /* tried again, and then parked */
    }
    size = snprintf(key, sizeof(key), READER "%s", reader);
    return rc == QUIPU_OK ? quipu_page_key(page, key, (size_t)size) : rc;
}

/* Who has the book. On the shelf it is in no list. */
static int apply_book(quipu_page *page, const void *key, size_t size, const quipu_event *event)
{
    char reader[100] = "";

    if (!quipu_event_is(event, "Lent"))
        return quipu_page_delete(page, key, size);
    (void)quipu_get_text(event, "reader", reader, sizeof(reader));
    return quipu_page_put(page, key, size, reader, strlen(reader));
}

/* How many books somebody has. */
static int apply_reader(quipu_page *page, const void *key, size_t size, const quipu_event *event)
{
    char text[24] = "";
    long books = 0;
    quipu_value old;
    int rc = quipu_page_get(page, key, size, &old); /* 1: found, 0: not */

    if (rc < 0)
        return rc;
    if (rc == 1) {
        memcpy(text, old.data, old.size);
        books = strtol(text, NULL, 10);
    }
    books += quipu_event_is(event, "Lent") ? 1 : -1;
    rc = snprintf(text, sizeof(text), "%ld", books);
    return quipu_page_put(page, key, size, text, (size_t)rc);
}

static int apply(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    (void)payload;
    (void)error;
    return memcmp(key, BOOK, strlen(BOOK)) == 0 ? apply_book(page, key, key_size, event)
                                                : apply_reader(page, key, key_size, event);
}

static const quipu_query_item books_only = {.category = "book"};

/* Folded by each commit of this program, and so never behind it. */
static const quipu_projection loans = {QUIPU_INIT(quipu_projection),
                                       .version = 1,
                                       .name = "loans",
                                       .query = {.items = &books_only, .item_count = 1},
                                       .mode = QUIPU_INLINE,
                                       .keys = keys,
                                       .apply = apply};

/* The same, folded after the commit by who runs it. */
static const quipu_projection later = {QUIPU_INIT(quipu_projection),
                                       .version = 1,
                                       .name = "loans-later",
                                       .query = {.items = &books_only, .item_count = 1},
                                       .keys = keys,
                                       .apply = apply};

/* ---- writing ------------------------------------------------------------------------------- */

static int append(quipu *store, const char *type, const char *book, const char *reader,
                  quipu_receipt *receipt, quipu_error *error)
{
    char stream[100];
    char json[200];
    int size = snprintf(json, sizeof(json), "{\"reader\":\"%s\"}", reader);
    const quipu_draft draft = {
        .type = type, .data = json, .data_size = (uint32_t)size, .data_format = QUIPU_JSON};

    (void)snprintf(stream, sizeof(stream), "book-%s", book);
    return quipu_append(store, stream, QUIPU_ANY, &draft, 1, receipt, error);
}

/* ---- reading ------------------------------------------------------------------------------- */

static int put_book(quipu *store, const char *projection, const char *book, quipu_error *error)
{
    char key[200];
    int size = snprintf(key, sizeof(key), BOOK "%s", book);
    quipu_view *view = NULL;
    quipu_value value = {0};
    int rc = quipu_view_open(store, projection, &view, error);

    if (rc == QUIPU_OK)
        rc = quipu_view_get(view, key, (size_t)size, &value, error);
    if (rc == 1)
        printf("%s: %.*s has it\n", book, (int)value.size, (const char *)value.data);
    else if (rc == 0)
        printf("%s: on the shelf\n", book);
    quipu_view_close(view);
    return rc;
}

static int list(quipu *store, const char *prefix, quipu_error *error)
{
    quipu_view *view = NULL;
    quipu_value key;
    quipu_value value;
    int rc = quipu_view_open(store, "loans", &view, error);

    if (rc == QUIPU_OK)
        rc = quipu_view_scan(view, prefix, strlen(prefix), NULL, 0, 0, error);
    while (rc >= 0) {
        rc = quipu_view_next(view, &key, &value, error);
        if (rc != 1)
            break;
        printf("%.*s %.*s\n", (int)key.size, (const char *)key.data, (int)value.size,
               (const char *)value.data);
    }
    if (rc == 0)
        printf("as of position %" PRIu64 "\n", quipu_view_mark(view));
    quipu_view_close(view);
    return rc;
}

/* ---- the two ways -------------------------------------------------------------------------- */

static int lend(quipu *store, const char *type, const char *book, const char *reader,
                quipu_error *error)
{
    int rc = quipu_register(store, &loans, error); /* once, right after the open */

    if (rc == QUIPU_OK)
        rc = append(store, type, book, reader, NULL, error);
    return rc == QUIPU_OK ? put_book(store, "loans", book, error) : rc;
}

static int lend_later(quipu *store, const char *book, const char *reader, quipu_error *error)
{
    const quipu_projection *const projections[] = {&later};
    quipu_receipt receipt = {0};
    quipu_runner *runner = NULL;
    int rc = quipu_runner_start(store, projections, 1, 1, &runner, error);

    if (rc == QUIPU_OK)
        rc = append(store, "Lent", book, reader, &receipt, error);
    if (rc == QUIPU_OK)
        rc = quipu_view_wait(store, "loans-later", receipt.last_position, 10000, error);
    if (rc == QUIPU_OK)
        rc = put_book(store, "loans-later", book, error);
    (void)quipu_runner_stop(runner, NULL);
    return rc;
}

static int rebuild(quipu *store, quipu_error *error)
{
    quipu_progress progress = {.struct_size = QUIPU_INIT(quipu_progress)};
    int rc = quipu_projection_control(store, "loans", QUIPU_REWIND, 0, NULL, error);

    if (rc == QUIPU_OK)
        rc = quipu_project(store, &loans, NULL, NULL, &progress, error);
    if (rc == QUIPU_OK)
        printf("%" PRIu64 " events, %" PRIu64 " parked\n", progress.new_applied, progress.parked);
    return rc;
}

/* ---- main ---------------------------------------------------------------------------------- */

static int run(quipu *store, int count, char **words, quipu_error *error)
{
    const char *verb = count > 0 ? words[0] : "";

    if (count == 3 && strcmp(verb, "lend") == 0)
        return lend(store, "Lent", words[1], words[2], error);
    if (count == 3 && strcmp(verb, "back") == 0)
        return lend(store, "GivenBack", words[1], words[2], error);
    if (count == 3 && strcmp(verb, "later") == 0)
        return lend_later(store, words[1], words[2], error);
    if (count == 2 && strcmp(verb, "list") == 0)
        return list(store, words[1], error);
    if (count == 1 && strcmp(verb, "rebuild") == 0)
        return rebuild(store, error);
    (void)snprintf(error->text, sizeof(error->text), "lend, back, later, list or rebuild?");
    return QUIPU_APPLICATION;
}

int main(int argc, char **argv)
{
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = quipu_open(argc > 1 ? argv[1] : "library.store", NULL, &store, &error);

    if (rc == QUIPU_OK)
        rc = run(store, argc - 2, argv + 2, &error);
    if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", quipu_status_name(rc), error.text);
    quipu_close(store);
    return rc < 0 ? 1 : 0;
}
