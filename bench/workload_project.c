/* workload_project.c - all events of a closed store folded into the states of their streams.
 *
 * The clock starts when the store is open, and stops when all is folded and durable. Behind it the
 * states are added up and held against what the events say.
 *
 * In project-beside a second thread appends event after event meanwhile, each timed; in its other
 * variant it does so for --seconds, and nobody projects. */
#include "chance.h"
#include "clock.h"
#include "crew.h"
#include "ledger.h"
#include "memory.h"

#include <stdatomic.h>

static int project(const struct bench_work *work, void *store, struct bench_round *out,
                   struct bench_failure *failure)
{
    double start_us = bench_clock_us();
    double start_cpu_us = bench_clock_cpu_us();
    struct bench_memory before;
    struct bench_memory after;

    bench_memory_reset_peak();
    bench_memory_read(&before);
    if (work->peer->project(store, failure) < 0)
        return -1;
    out->seconds = (bench_clock_us() - start_us) / 1e6;
    out->cpu_seconds = (bench_clock_cpu_us() - start_cpu_us) / 1e6;
    out->events_per_s = (double)work->events->count / out->seconds;
    bench_memory_read(&after);
    if (after.resident_peak > before.resident)
        out->rss_bytes = (double)(after.resident_peak - before.resident);
    if (after.private_bytes > before.private_bytes)
        out->private_bytes = (double)(after.private_bytes - before.private_bytes);
    return 0;
}

static int project_and_check(const struct bench_work *work, const struct bench_ledger *ledger,
                             struct bench_round *out, struct bench_failure *failure)
{
    struct bench_states found = {0};
    struct bench_failure ignored;
    void *store = NULL;
    int rc = work->peer->open(work->scratch->path, &store, failure);

    if (rc < 0)
        return rc;
    rc = project(work, store, out, failure);
    if (rc == 0)
        rc = work->peer->scan_states(store, "", &found, failure);
    if (work->peer->close(store, rc == 0 ? failure : &ignored) < 0)
        rc = -1;
    return rc == 0 ? bench_ledger_check(work, &ledger->all, &found, failure) : rc;
}

static int project_run(const struct bench_work *work, struct bench_round *out,
                       struct bench_failure *failure)
{
    struct bench_ledger ledger = {0};
    int rc = bench_ledger_fill(&ledger, work, failure);

    if (rc == 0)
        rc = project_and_check(work, &ledger, out, failure);
    bench_ledger_release(&ledger);
    return rc;
}

/* ---- beside ---- */

enum { PROJECTOR = 0, HANDS = 2 };

struct beside {
    int projects;     /* 0: nobody does */
    atomic_int ended; /* of the one process: both threads are in it */
};

static int append_beside(struct bench_hand *hand, struct beside *self,
                         struct bench_failure *failure)
{
    const struct bench_events *events = hand->work->events;
    uint64_t chance = hand->work->plan->seed;

    for (;;) {
        uint64_t like = bench_chance_next(&chance) % events->count;
        double start_us = bench_clock_us();

        int ended = self->projects ? atomic_load(&self->ended) : start_us >= hand->end_us;

        if (ended && hand->events > 0) /* one in any case */
            return 0;
        if (hand->work->peer->append_one(hand->store, &events->items[like], failure) < 0)
            return -1;
        bench_histogram_add(hand->latency, bench_clock_us() - start_us);
        hand->events++;
    }
}

static int project_or_append(struct bench_hand *hand, struct bench_failure *failure)
{
    struct beside *self = hand->payload;
    int rc = 0;

    if (hand->number != PROJECTOR)
        return append_beside(hand, self, failure);
    if (self->projects)
        rc = hand->work->peer->project(hand->store, failure);
    atomic_store(&self->ended, 1);
    return rc;
}

static int beside_run(const struct bench_work *work, struct beside *self, struct bench_round *out,
                      struct bench_failure *failure)
{
    struct bench_plan plan = *work->plan;
    struct bench_work own = *work;
    struct bench_ledger ledger = {0};
    struct bench_crew crew = {.events = 0};
    int rc;

    plan.threads = HANDS;
    plan.processes = 1;
    own.plan = &plan;
    rc = bench_ledger_fill(&ledger, &own, failure);
    if (rc == 0)
        rc = bench_crew_run(&own, project_or_append, self, &crew, failure);
    if (rc == 0)
        bench_crew_report(&crew, out);
    bench_ledger_release(&ledger);
    return rc;
}

static int beside_projecting_run(const struct bench_work *work, struct bench_round *out,
                                 struct bench_failure *failure)
{
    struct beside self = {.projects = 1};

    return beside_run(work, &self, out, failure);
}

static int beside_nothing_run(const struct bench_work *work, struct bench_round *out,
                              struct bench_failure *failure)
{
    struct beside self = {.projects = 0};

    return beside_run(work, &self, out, failure);
}

/* Numbered events alone can be folded: what is appended is not. */
static int can_beside(const struct bench_peer *peer)
{
    return bench_ledger_can(peer) && peer->append_one != NULL;
}

const struct bench_workload bench_workload_project = {
    .name = "project",
    .variant = "",
    .about = "two members of each event's msgpack into 32 bytes of state by stream",
    .goal = "500 000 events/s, and five times SQLite",
    .kind = BENCH_PROJECT,
    .can = bench_ledger_can,
    .run = project_run,
};

const struct bench_workload bench_workload_project_beside = {
    .name = "project-beside",
    .variant = "projecting",
    .about = "durable commits of one event each while all events are folded by another thread",
    .kind = BENCH_PROJECT_BESIDE,
    .can = can_beside,
    .run = beside_projecting_run,
};

const struct bench_workload bench_workload_project_alone = {
    .name = "project-beside",
    .variant = "nothing",
    .about = "the same commits, for --seconds, and nothing beside them",
    .kind = BENCH_PROJECT_BESIDE,
    .can = can_beside,
    .run = beside_nothing_run,
};
