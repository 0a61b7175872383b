/* project_store.c - folds a store, for the tests of the command line: views with each kind of key
 * and value, faults, and runs that end before they are done or go on until they are told.
 *
 *     project_store STORE NAME [OPTION...]     exit 0; 1: it failed, and says so; 2: usage
 *
 *     --version N      of its functions
 *     --values KIND    of the last event of the key: json {"v":N}, packed the same as msgpack,
 *                      text "v N", bytes N in eight, none
 *     --odd            more keys for each event: what a terminal takes for an order, and no UTF-8
 *     --broken         one more, of a byte that is no UTF-8
 *     --mended         events of type POISON are applied too; else they fail
 *     --stop           at an event that fails
 *     --inline         append nothing: register it, so that it has a row
 *     --pages N        of one event each, then no more
 *     --run            keep it up until standard input ends; "runs" is printed when it is at the
 *                      head */
#include "quipu.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *values;
    bool odd;
    bool broken;
    bool mended;
    bool runs;
    int pages; /* 0: all */
} given = {.values = "json"};

static int keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    static const char escape[] = "\033[31mred\nline";
    static const char bytes[] = {'b', (char)0xff, 0, 1};

    (void)payload;
    (void)error;
    if (given.odd && (quipu_page_key(page, escape, sizeof(escape) - 1) < 0 ||
                      quipu_page_key(page, bytes, sizeof(bytes)) < 0))
        return QUIPU_NO_MEMORY;
    if (given.broken && quipu_page_key(page, "b\377", 2) < 0)
        return QUIPU_NO_MEMORY;
    return quipu_page_key(page, event->stream, event->stream_size);
}

/* Of the key's last event. Returns the size. */
static size_t make_value(uint64_t version, char out[32])
{
    if (strcmp(given.values, "none") == 0)
        return 0;
    if (strcmp(given.values, "text") == 0)
        return (size_t)snprintf(out, 32, "v %llu", (unsigned long long)version);
    if (strcmp(given.values, "json") == 0)
        return (size_t)snprintf(out, 32, "{ \"v\" : %llu }", (unsigned long long)version);
    if (strcmp(given.values, "packed") == 0) {
        memcpy(out, "\x81\xa1v", 3);
        out[3] = (char)(version & 0x7f);
        return 4;
    }
    memcpy(out, &version, sizeof(version));
    return sizeof(version);
}

static int apply(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    char value[32];

    (void)payload;
    if (strcmp(event->type, "POISON") == 0 && !given.mended) {
        (void)snprintf(error->text, sizeof(error->text), "no \033[1msuch order");
        return QUIPU_APPLICATION - 7;
    }
    return quipu_page_put(page, key, key_size, value, make_value(event->version, value));
}

static int count_page(void *payload, const quipu_progress *progress)
{
    int *pages = payload;

    (void)progress;
    return given.pages > 0 && ++*pages >= given.pages;
}

static int run_until_told(quipu *store, const quipu_projection *projection, quipu_error *error)
{
    quipu_runner *runner = NULL;
    uint64_t head = 0;
    char byte;
    int rc = quipu_runner_start(store, &projection, 1, 1, &runner, error);

    if (rc == QUIPU_OK)
        rc = quipu_head(store, &head, error);
    if (rc == QUIPU_OK)
        rc = quipu_view_wait(store, projection->name, head, 10000, error);
    if (rc == QUIPU_OK) {
        (void)puts("runs");
        (void)fflush(stdout);
        while (read(STDIN_FILENO, &byte, 1) > 0)
            ;
    }
    (void)quipu_runner_stop(runner, NULL);
    return rc;
}

static bool read_options(int argc, char **argv, quipu_projection *projection)
{
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--odd") == 0)
            given.odd = true;
        else if (strcmp(argv[i], "--broken") == 0)
            given.broken = true;
        else if (strcmp(argv[i], "--mended") == 0)
            given.mended = true;
        else if (strcmp(argv[i], "--stop") == 0)
            projection->fault_policy = QUIPU_FAULT_STOP;
        else if (strcmp(argv[i], "--inline") == 0)
            projection->mode = QUIPU_INLINE;
        else if (strcmp(argv[i], "--run") == 0)
            given.runs = true;
        else if (i + 1 == argc)
            return false;
        else if (strcmp(argv[i], "--version") == 0)
            projection->version = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--values") == 0)
            given.values = argv[++i];
        else if (strcmp(argv[i], "--pages") == 0)
            given.pages = (int)strtol(argv[++i], NULL, 10);
        else
            return false;
    }
    projection->page_events = given.pages > 0 ? 1 : 0;
    return true;
}

int main(int argc, char **argv)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .flags = QUIPU_OPEN_EXISTING};
    quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 1, .retries = 1,
                                   .keys = keys, .apply = apply};
    quipu_error error = {0};
    quipu *store = NULL;
    int pages = 0;
    int rc;

    if (argc < 3 || !read_options(argc, argv, &projection)) {
        (void)fprintf(stderr, "usage: project_store STORE NAME [OPTION...]\n");
        return 2;
    }
    projection.name = argv[2];
    rc = quipu_open(argv[1], &options, &store, &error);
    if (rc == QUIPU_OK && projection.mode == QUIPU_INLINE)
        rc = quipu_register(store, &projection, &error);
    else if (rc == QUIPU_OK && given.runs)
        rc = run_until_told(store, &projection, &error);
    else if (rc == QUIPU_OK)
        rc = quipu_project(store, &projection, count_page, &pages, NULL, &error);
    quipu_close(store);
    if (rc < 0)
        (void)fprintf(stderr, "project_store: %d: %s\n", rc, error.text);
    return rc < 0;
}
