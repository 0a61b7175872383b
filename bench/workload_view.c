/* workload_view.c - the states of streams, read out of memory: 100 by their keys, or those whose
 * keys begin alike, in one snapshot each. What comes is held against what the events say. */
#include "chance.h"
#include "ledger.h"
#include "workload_read.h"

#include <string.h>

enum {
    TIMES = 1000,
    TIMES_UNTIMED = 100,
    KEYS = 100,    /* of one operation */
    SCANS = 20,    /* prefixes, read in turns */
    CUT_DIGITS = 2 /* a hundred streams begin like what is left of a name, or some more */
};

struct looks {
    struct bench_ledger ledger;
    char prefixes[SCANS][BENCH_NAME_BYTES_MAX];
    struct bench_states expected[SCANS];
};

/* ---- by key ---- */

/* Streams by chance, other ones each time; those without an event have no state. */
static int get_keys(const struct bench_work *work, void *store, uint64_t n,
                    struct bench_failure *failure)
{
    const struct looks *looks = work->payload;
    const char *names[KEYS];
    struct bench_states expected = {0};
    struct bench_states found = {0};
    uint64_t chance = work->plan->seed + n * KEYS;
    size_t count = 0;

    while (count < KEYS) {
        uint32_t stream = bench_chance_below(&chance, work->plan->streams);

        if (looks->ledger.states[stream].count == 0)
            continue;
        names[count] = bench_events_stream(work->events, stream);
        bench_fold_add(&expected, &looks->ledger.states[stream]);
        count++;
    }
    if (work->peer->get_states(store, names, count, &found, failure) < 0)
        return -1;
    return bench_ledger_check(work, &expected, &found, failure);
}

/* ---- by prefix ---- */

static void choose_prefixes(const struct bench_work *work, struct looks *looks)
{
    uint64_t chance = work->plan->seed;
    uint64_t n;
    size_t i;

    for (i = 0; i < SCANS; i++) {
        uint32_t stream = bench_chance_below(&chance, work->plan->streams);
        const char *name = bench_events_stream(work->events, stream);
        size_t size = strlen(name) - CUT_DIGITS;

        bench_text_set(looks->prefixes[i], sizeof(looks->prefixes[i]), "%.*s", (int)size, name);
        for (n = 0; n < work->plan->streams; n++) {
            const struct bench_state *state = &looks->ledger.states[n];

            if (state->count > 0 && strncmp(bench_events_stream(work->events, n), name, size) == 0)
                bench_fold_add(&looks->expected[i], state);
        }
    }
}

static int scan_keys(const struct bench_work *work, void *store, uint64_t n,
                     struct bench_failure *failure)
{
    const struct looks *looks = work->payload;
    struct bench_states found = {0};

    if (work->peer->scan_states(store, looks->prefixes[n % SCANS], &found, failure) < 0)
        return -1;
    return bench_ledger_check(work, &looks->expected[n % SCANS], &found, failure);
}

/* How many keys TIMES scans bring, over TIMES. */
static uint64_t keys_of_scan(const struct looks *looks)
{
    uint64_t keys = 0;
    size_t i;

    for (i = 0; i < SCANS; i++)
        keys += looks->expected[i].keys;
    return keys / SCANS;
}

/* ---- both ---- */

static int project(const struct bench_work *work, struct bench_failure *failure)
{
    struct bench_failure ignored;
    void *store = NULL;
    int rc = work->peer->open(work->scratch->path, &store, failure);

    if (rc < 0)
        return rc;
    rc = work->peer->project(store, failure);
    if (work->peer->close(store, rc == 0 ? failure : &ignored) < 0)
        rc = -1;
    return rc;
}

static int view_run(const struct bench_work *work, bench_read_fn read, struct bench_round *out,
                    struct bench_failure *failure)
{
    struct looks looks = {.ledger = {.states = NULL}};
    struct bench_work own = *work;
    uint64_t keys = KEYS;
    int rc = bench_ledger_fill(&looks.ledger, work, failure);

    own.payload = &looks;
    if (rc == 0)
        rc = project(work, failure);
    if (rc == 0 && read == scan_keys) {
        choose_prefixes(work, &looks);
        keys = keys_of_scan(&looks);
    }
    if (rc == 0)
        rc = bench_read_warm(&own, read, TIMES_UNTIMED, TIMES, keys, out, failure);
    bench_ledger_release(&looks.ledger);
    return rc;
}

static int view_get_run(const struct bench_work *work, struct bench_round *out,
                        struct bench_failure *failure)
{
    return view_run(work, get_keys, out, failure);
}

static int view_scan_run(const struct bench_work *work, struct bench_round *out,
                         struct bench_failure *failure)
{
    return view_run(work, scan_keys, out, failure);
}

const struct bench_workload bench_workload_view_get = {
    .name = "view-get",
    .variant = "",
    .about = "the states of 100 streams by their names, in memory, in one snapshot; all of them",
    .kind = BENCH_READ,
    .can = bench_ledger_can,
    .run = view_get_run,
};

const struct bench_workload bench_workload_view_scan = {
    .name = "view-scan",
    .variant = "",
    .about = "the states whose keys begin alike, about 110, in memory, in one snapshot; one scan",
    .kind = BENCH_READ,
    .can = bench_ledger_can,
    .run = view_scan_run,
};
