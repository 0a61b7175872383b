/* stores.c - a round that nobody measures makes each. */
#include "stores.h"

#include "report.h"
#include "round.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { LABEL_BYTES_MAX = 64 };

/* A store that was begun is counted, so that it is removed in the end. */
static int make(struct bench_stores *stores, const struct bench_options *options,
                const struct bench_peer *peer, struct bench_failure *failure)
{
    struct bench_scratch *scratch = &stores->scratch[stores->count];
    struct bench_task task = {.workload = &bench_workload_preload,
                              .peer = peer,
                              .plan = &options->plan,
                              .store = scratch,
                              .directory = options->directory};
    struct bench_round round = {0};
    char label[LABEL_BYTES_MAX];
    int rc;

    assert(stores->count < BENCH_SYSTEMS_MAX);

    bench_text_set(label, sizeof(label), "store-%s", peer->name);
    if (bench_scratch_make(scratch, options->directory, label) < 0)
        return bench_failure_set(failure, "%.180s: %s", scratch->path, strerror(errno));
    stores->peers[stores->count] = peer;
    stores->count++;
    rc = bench_round_run(&task, &round, failure);
    if (rc == 0)
        bench_report_store(options, peer, round.seconds);
    return rc;
}

int bench_stores_get(struct bench_stores *stores, const struct bench_options *options,
                     const struct bench_peer *peer, const struct bench_scratch **out,
                     struct bench_failure *failure)
{
    size_t i = 0;
    int rc = 0;

    while (i < stores->count && stores->peers[i] != peer)
        i++;
    if (i == stores->count)
        rc = make(stores, options, peer, failure);
    *out = &stores->scratch[i];
    return rc;
}

void bench_stores_release(struct bench_stores *stores, const struct bench_options *options)
{
    size_t i;

    for (i = 0; i < stores->count && !options->keep; i++) {
        if (bench_scratch_remove(&stores->scratch[i]) < 0)
            bench_text_put(stderr, "quipu-bench: %s: not removed\n", stores->scratch[i].path);
    }
    stores->count = 0;
}
