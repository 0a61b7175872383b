/* options.c - one table says what there is: the parser, its limits and the help come from it. */
#include "options.h"

#include "feed.h"
#include "text.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind {
    KIND_WORKLOADS,
    KIND_PEERS,
    KIND_NUMBER,
    KIND_LIST,
    KIND_IDS,
    KIND_TEXT,
    KIND_FLAG,
    KIND_HELP,
    KIND_VERSION
};

struct option {
    const char *name;
    const char *argument; /* NULL: takes none */
    const char *about;
    enum kind kind;
    size_t offset; /* in struct bench_options: numbers, lists, texts and flags */
    uint64_t min;  /* of numbers, also in a list */
    uint64_t max;
};

/* One batch is one commit: Quipu's defaults allow 4 096 events and 64 MiB in it. */
enum { BATCH_EVENTS_MAX = 4096, EVENT_BYTES_EXTRA = 1024 };

/* With Quipu's defaults more are not pending at once. */
enum { IN_FLIGHT_MAX = 1024 };
#define BATCH_BYTES_MAX (UINT64_C(64) << 20)

#define AT(field) offsetof(struct bench_options, field)

static const struct option options[] = {
    {"workloads", "a,b,...", "what to measure (bulk-load)", KIND_WORKLOADS, 0, 0, 0},
    {"peers", "a,b,...", "systems beside Quipu, or none (all stores that are built in)", KIND_PEERS,
     0, 0, 0},
    {"events", "N", "events to append, or in the store that is read (200000)", KIND_NUMBER,
     AT(plan.events), 1, 1000000000},
    {"streams", "N", "streams to choose from (100000; at most one an event)", KIND_NUMBER,
     AT(plan.streams), 1, 1000000000},
    {"size", "BYTES", "data of one event (250)", KIND_NUMBER, AT(plan.size), 2, 1048576},
    {"batch", "N", "events in one durable commit (1000)", KIND_NUMBER, AT(plan.batch), 1,
     BATCH_EVENTS_MAX},
    {"ids", "KIND", "of the events: none, ordered (UUIDv7) or random (none)", KIND_IDS, 0, 0, 0},
    {"tail", "N", "events of the writer that reopen kills (190000)", KIND_NUMBER, AT(plan.tail), 1,
     1000000000},
    {"threads", "N,N,...", "that append-one appends with, in all its processes (1,16,64)",
     KIND_LIST, AT(threads), 1, BENCH_THREADS_MAX},
    {"processes", "N,N,...", "that these threads are shared by (1)", KIND_LIST, AT(processes), 1,
     BENCH_PROCESSES_MAX},
    {"async", "N", "and then one thread with so many asynchronous commits in flight (none)",
     KIND_NUMBER, AT(in_flight), 1, IN_FLIGHT_MAX},
    {"seconds", "N", "that append-one, wake and the like append for, in each round (3)",
     KIND_NUMBER, AT(plan.seconds), 1, 3600},
    {"rounds", "N", "runs of each system, taking turns (3)", KIND_NUMBER, AT(rounds), 1,
     BENCH_ROUNDS_MAX},
    {"seed", "N", "of the generated events (1)", KIND_NUMBER, AT(plan.seed), 0, UINT64_MAX},
    {"files-only", NULL, "cold reads: leave the page cache of the rest of the machine alone",
     KIND_FLAG, AT(plan.files_only), 0, 0},
    {"dir", "PATH", "where the stores are made (the current directory)", KIND_TEXT, AT(directory),
     0, 0},
    {"json", NULL, "one row of JSON a line; all else goes to stderr", KIND_FLAG, AT(json), 0, 0},
    {"keep", NULL, "leave the stores there", KIND_FLAG, AT(keep), 0, 0},
    {"help", NULL, "this", KIND_HELP, 0, 0, 0},
    {"version", NULL, "of the program and its systems", KIND_VERSION, 0, 0, 0},
};
enum { OPTION_COUNT = sizeof(options) / sizeof(options[0]) };

static int wrong(const char *what, const char *which)
{
    bench_text_put(stderr, "quipu-bench: %s: %s; see quipu-bench --help\n", what, which);
    return BENCH_OPTIONS_WRONG;
}

/* A name out of a list has no 0 after it. */
static int wrong_name(const char *what, const char *name, size_t size)
{
    bench_text_put(stderr, "quipu-bench: %s: %.*s; see quipu-bench --help\n", what, (int)size,
                   name);
    return BENCH_OPTIONS_WRONG;
}

static void print_workload(const struct bench_workload *workload)
{
    printf("  %-13s %-8s %s\n", workload->name, workload->variant, workload->about);
}

static int print_help(void)
{
    size_t i;

    printf("quipu-bench --workloads bulk-load --peers sqlite --events 1000000\n\n"
           "Measures Quipu beside other systems: the same events, the same durability (what was\n"
           "acknowledged is on the disk), in turns; median and spread.\n\n");
    for (i = 0; i < OPTION_COUNT; i++) {
        printf("  --%-10s %-8s %s\n", options[i].name,
               options[i].argument != NULL ? options[i].argument : "", options[i].about);
    }
    printf("\nworkloads\n");
    for (i = 0; bench_workload_at(i) != NULL; i++)
        print_workload(bench_workload_at(i));
    printf("\npeers\n");
    for (i = 0; bench_peer_name(i) != NULL; i++) {
        printf("  %-12s %s\n", bench_peer_name(i),
               bench_peer_at(i) != NULL ? bench_peer_at(i)->settings : "not built in");
    }
    return BENCH_OPTIONS_ANSWERED;
}

static void print_version(const struct bench_peer *peer)
{
    char version[64];

    peer->version(version, sizeof(version));
    printf("%s %s\n", peer->name, version);
}

static int print_versions(void)
{
    size_t i;

    print_version(&bench_peer_quipu);
    for (i = 0; bench_peer_name(i) != NULL; i++) {
        if (bench_peer_at(i) != NULL)
            print_version(bench_peer_at(i));
    }
    return BENCH_OPTIONS_ANSWERED;
}

static int same_name(const char *name, const char *text, size_t size)
{
    return name != NULL && strlen(name) == size && memcmp(name, text, size) == 0;
}

static int add_workload(struct bench_options *out, const char *name, size_t size)
{
    int found = 0;
    size_t i;

    for (i = 0; i < out->workload_count; i++) {
        if (same_name(out->workloads[i]->name, name, size))
            return wrong_name("named twice", name, size);
    }
    for (i = 0; bench_workload_at(i) != NULL; i++) { /* all variants */
        if (same_name(bench_workload_at(i)->name, name, size)) {
            out->workloads[out->workload_count] = bench_workload_at(i);
            out->workload_count++;
            found = 1;
        }
    }
    return found ? 0 : wrong_name("no such workload", name, size);
}

static int add_peer(struct bench_options *out, const char *name, size_t size)
{
    size_t i;

    for (i = 0; i < out->system_count; i++) {
        if (same_name(out->systems[i]->name, name, size))
            return wrong_name("named twice, or always there", name, size);
    }
    for (i = 0; bench_peer_name(i) != NULL; i++) {
        if (!same_name(bench_peer_name(i), name, size))
            continue;
        if (bench_peer_at(i) == NULL) {
            bench_text_put(stderr, "quipu-bench: %s was not found when this was built: left out\n",
                           bench_peer_name(i));
            return 0;
        }
        out->systems[out->system_count] = bench_peer_at(i);
        out->system_count++;
        return 0;
    }
    return wrong_name("no such peer", name, size);
}

static int add_names(struct bench_options *out, const char *text,
                     int (*add)(struct bench_options *, const char *, size_t))
{
    for (;;) {
        size_t size = strcspn(text, ",");
        int rc = add(out, text, size);

        if (rc < 0)
            return rc;
        if (text[size] == 0)
            return 0;
        text += size + 1;
    }
}

static int read_number(const struct option *option, const char *text, uint64_t *out)
{
    char *end = NULL;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || errno != 0 || value < option->min ||
        value > option->max) {
        bench_text_put(stderr, "quipu-bench: --%s %s: a number from %llu to %llu is needed\n",
                       option->name, text, (unsigned long long)option->min,
                       (unsigned long long)option->max);
        return BENCH_OPTIONS_WRONG;
    }
    *out = value;
    return 0;
}

/* Numbers with commas between them. */
static int read_list(const struct option *option, const char *text, struct bench_list *out)
{
    char number[24];

    out->count = 0;
    for (;;) {
        size_t size = strcspn(text, ",");

        if (size >= sizeof(number) || out->count == BENCH_LIST_MAX)
            return wrong("too long", text);
        memcpy(number, text, size);
        number[size] = 0;
        if (read_number(option, number, &out->items[out->count]) < 0)
            return BENCH_OPTIONS_WRONG;
        out->count++;
        if (text[size] == 0)
            return 0;
        text += size + 1;
    }
}

static int read_ids(const char *text, enum bench_ids *out)
{
    size_t i;

    for (i = 0; bench_ids_name(i) != NULL; i++) {
        if (strcmp(bench_ids_name(i), text) == 0) {
            *out = (enum bench_ids)i;
            return 0;
        }
    }
    return wrong("no such ids", text);
}

static int take_option(struct bench_options *out, const struct option *option, const char *value)
{
    char *field = (char *)out + option->offset;

    switch (option->kind) {
    case KIND_WORKLOADS:
        out->workload_count = 0;
        return add_names(out, value, add_workload);
    case KIND_PEERS:
        out->system_count = 1;
        return strcmp(value, "none") == 0 ? 0 : add_names(out, value, add_peer);
    case KIND_NUMBER:
        return read_number(option, value, (uint64_t *)(void *)field);
    case KIND_LIST:
        return read_list(option, value, (struct bench_list *)(void *)field);
    case KIND_IDS:
        return read_ids(value, &out->plan.ids);
    case KIND_TEXT:
        *(const char **)(void *)field = value;
        return 0;
    case KIND_FLAG:
        *(int *)(void *)field = 1;
        return 0;
    case KIND_HELP:
        return print_help();
    case KIND_VERSION:
        return print_versions();
    }
    return 0;
}

static void set_defaults(struct bench_options *out)
{
    size_t i;

    memset(out, 0, sizeof(*out));
    out->plan = (struct bench_plan){.events = 200000,
                                    .streams = 100000,
                                    .size = 250,
                                    .batch = 1000,
                                    .seed = 1,
                                    .tail = 190000,
                                    .threads = 1,
                                    .processes = 1,
                                    .seconds = 3};
    out->threads = (struct bench_list){.items = {1, 16, 64}, .count = 3};
    out->processes = (struct bench_list){.items = {1}, .count = 1};
    out->rounds = 3;
    out->directory = ".";
    out->workloads[0] = &bench_workload_bulk_load;
    out->workload_count = 1;
    out->systems[0] = &bench_peer_quipu;
    out->system_count = 1;
    for (i = 0; bench_peer_name(i) != NULL; i++) {
        if (bench_peer_at(i) != NULL && !bench_peer_at(i)->on_request) {
            out->systems[out->system_count] = bench_peer_at(i);
            out->system_count++;
        }
    }
}

/* Each thread has streams of its own. */
static int check_crew(const struct bench_options *out)
{
    size_t i;

    for (i = 0; i < out->threads.count; i++) {
        if (out->threads.items[i] > out->plan.streams)
            return wrong("--threads", "needs a stream and an event for each");
    }
    return BENCH_OPTIONS_RUN;
}

/* Events of a workload without a store are all in memory. */
static int check_workload(const struct bench_options *out, const struct bench_workload *workload)
{
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);

    if (workload->of_store && out->plan.events < BENCH_STORE_EVENTS_MIN)
        return wrong(workload->name, "needs at least 20000 events");
    if (!workload->of_store && (double)bench_events_bytes(&out->plan) > memory * 0.75)
        return wrong("--events and --size", "the events do not fit into memory");
    return workload->of_crew ? check_crew(out) : BENCH_OPTIONS_RUN;
}

/* What no option can see alone. */
static int check_whole(struct bench_options *out)
{
    struct bench_plan *plan = &out->plan;
    size_t i;

    if (plan->streams > plan->events)
        plan->streams = plan->events;
    if (plan->batch * (plan->size + EVENT_BYTES_EXTRA) > BATCH_BYTES_MAX)
        return wrong("--batch and --size", "one commit would be over 64 MiB");
    for (i = 0; i < out->workload_count; i++) {
        if (check_workload(out, out->workloads[i]) < 0)
            return BENCH_OPTIONS_WRONG;
    }
    return BENCH_OPTIONS_RUN;
}

/* "--name" or "--name=value"; NULL if there is none of this name. */
static const struct option *find_option(const char *argument)
{
    size_t i;

    if (strncmp(argument, "--", 2) != 0)
        return NULL;
    for (i = 0; i < OPTION_COUNT; i++) {
        if (same_name(options[i].name, argument + 2, strcspn(argument + 2, "=")))
            return &options[i];
    }
    return NULL;
}

int bench_options_read(struct bench_options *out, int argc, char **argv)
{
    int i;

    set_defaults(out);
    for (i = 1; i < argc; i++) {
        const struct option *option = find_option(argv[i]);
        const char *equals = strchr(argv[i], '=');
        const char *value = "";
        int rc;

        if (option == NULL)
            return wrong("no such option", argv[i]);
        if (option->argument == NULL && equals != NULL)
            return wrong("takes no value", argv[i]);
        if (equals != NULL) {
            value = equals + 1;
        } else if (option->argument != NULL) {
            if (i + 1 == argc)
                return wrong("needs a value", argv[i]);
            i++;
            value = argv[i];
        }
        rc = take_option(out, option, value);
        if (rc != 0)
            return rc;
    }
    return check_whole(out);
}
