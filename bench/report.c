/* report.c - boils runs down to medians, and hands all to the form that was asked for. */
#include "report.h"

#include "report_form.h"
#include "stats.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

enum {
    MANY = BENCH_LOAD | BENCH_READ,
    LONG = MANY | BENCH_REINDEX | BENCH_PROJECT,
    SPEEDS = LONG | BENCH_COLD,
    CREW = BENCH_APPEND | BENCH_BESIDE | BENCH_PROJECT_BESIDE,
    OPENS = BENCH_COLD | BENCH_REOPEN | BENCH_RECOVER,
    OFTEN = MANY | CREW | BENCH_WAKE, /* enough operations for percentiles */
    TIMED = OFTEN | OPENS             /* one operation after another */
};

#define MIB         1048576.0
#define FIELD(name) #name, offsetof(struct bench_round, name)

const struct bench_field bench_fields[] = {
    {FIELD(events_per_s), 0, SPEEDS | CREW, "events/s", 10, 0, 1},
    {FIELD(threads), 0, BENCH_APPEND, "threads", 7, 0, 1},
    {FIELD(processes), 0, BENCH_APPEND, "proc.", 5, 0, 1},
    {FIELD(in_flight), 0, BENCH_APPEND, "async", 5, 0, 1},
    {FIELD(seconds), 6, LONG | CREW, "seconds", 8, 2, 1},
    {FIELD(close_seconds), 6, BENCH_LOAD | CREW, "close", 6, 2, 1},
    {FIELD(cpu_seconds), 6, LONG | CREW | BENCH_WAKE, "cpu s", 6, 2, 1},
    {FIELD(operations), 0, TIMED, "times", 7, 0, 1},
    {FIELD(p50_us), 1, TIMED, "p50 us", 8, 0, 1},
    {FIELD(p99_us), 1, OFTEN, "p99 us", 8, 0, 1},
    {FIELD(p999_us), 1, CREW | BENCH_WAKE, "p99.9 us", 8, 0, 1},
    {FIELD(max_us), 1, TIMED, "max us", 9, 0, 1},
    {FIELD(load_max_us), 1, BENCH_BESIDE, "load max us", 11, 0, 1},
    {FIELD(open_us), 1, OPENS, "open us", 8, 0, 1},
    {FIELD(cached_share), 4, BENCH_COLD, "cached %", 8, 1, 0.01},
    {FIELD(disk_bytes_per_event), 1, BENCH_LOAD | BENCH_BESIDE, "B/ev", 6, 0, 1},
    {FIELD(rss_bytes), 0, SPEEDS, "peak MiB", 8, 1, MIB},
    {FIELD(private_bytes), 0, SPEEDS, "heap MiB", 8, 1, MIB},
    {FIELD(group_events), 2, BENCH_APPEND, "group", 6, 1, 1},
    {FIELD(switches), 3, CREW, "switches", 8, 2, 1},
};

static_assert(sizeof(struct bench_round) == BENCH_FIELD_COUNT * sizeof(double),
              "every number of a run has its line in bench_fields");

static const struct bench_form *form_of(const struct bench_options *options)
{
    return options->json ? &bench_form_json : &bench_form_text;
}

double bench_field_get(const struct bench_round *round, const struct bench_field *field)
{
    return *(const double *)(const void *)((const char *)round + field->offset);
}

static void field_set(struct bench_round *round, const struct bench_field *field, double value)
{
    *(double *)(void *)((char *)round + field->offset) = value;
}

const struct bench_field *bench_field_main(const struct bench_workload *workload)
{
    size_t offset = offsetof(struct bench_round, p50_us);
    size_t i = 0;

    if ((workload->kind & BENCH_BY_SPEED) != 0)
        offset = offsetof(struct bench_round, events_per_s);
    if ((workload->kind & (BENCH_BESIDE | BENCH_PROJECT_BESIDE)) != 0)
        offset = offsetof(struct bench_round, p999_us);
    while (bench_fields[i].offset != offset)
        i++;
    return &bench_fields[i];
}

/* `scratch` has room for a number of each run. */
static void summarize(const struct bench_round *rounds, size_t count,
                      const struct bench_field *main, double *scratch, struct bench_summary *out)
{
    size_t i;
    size_t n;

    for (i = 0; i < BENCH_FIELD_COUNT; i++) {
        struct bench_spread spread;

        for (n = 0; n < count; n++)
            scratch[n] = bench_field_get(&rounds[n], &bench_fields[i]);
        spread = bench_stats_spread(scratch, count);
        field_set(&out->median, &bench_fields[i], spread.median);
        if (&bench_fields[i] == main)
            out->main = spread;
    }
}

static struct bench_spread compare(const struct bench_round *quipu,
                                   const struct bench_round *rounds, size_t count,
                                   const struct bench_field *main, double *scratch)
{
    size_t n;

    for (n = 0; n < count; n++)
        scratch[n] = bench_field_get(&quipu[n], main) / bench_field_get(&rounds[n], main);
    return bench_stats_spread(scratch, count);
}

void bench_report_environment(const struct bench_options *options, const struct bench_env *env)
{
    form_of(options)->environment(options, env);
}

void bench_report_workload(const struct bench_options *options,
                           const struct bench_workload *workload)
{
    form_of(options)->workload(options, workload);
}

void bench_report_store(const struct bench_options *options, const struct bench_peer *peer,
                        double seconds)
{
    form_of(options)->store(options, peer, seconds);
}

void bench_report_round(const struct bench_options *options, const struct bench_workload *workload,
                        const struct bench_peer *peer, uint64_t number,
                        const struct bench_round *round)
{
    form_of(options)->round(options, workload, peer, number, round);
}

int bench_report_summary(const struct bench_options *options, const struct bench_workload *workload,
                         const struct bench_round *rounds)
{
    const struct bench_field *main = bench_field_main(workload);
    struct bench_summary summaries[BENCH_SYSTEMS_MAX] = {0};
    size_t count = options->rounds;
    double *scratch = malloc(count * sizeof(*scratch));
    size_t i;

    if (scratch == NULL)
        return -1;
    for (i = 0; i < options->system_count; i++) {
        struct bench_summary *own = &summaries[i];

        summarize(rounds + i * count, count, main, scratch, own);
        own->ratio = compare(rounds, rounds + i * count, count, main, scratch);
        own->ratio.median = summaries[0].main.median / own->main.median;
    }
    form_of(options)->summary(options, workload, summaries);
    free(scratch);
    return 0;
}

/* What a shape is held against: the same threads in one process; for asynchronous commits the most
 * threads. NULL: nothing. */
static const struct bench_shape *find_base(const struct bench_shape *shape,
                                           const struct bench_shape *shapes, size_t count)
{
    const struct bench_plan *own = &shape->options.plan;
    const struct bench_shape *found = NULL;
    size_t i;

    if (own->processes == 1 && own->in_flight == 0)
        return NULL;
    for (i = 0; i < count; i++) {
        const struct bench_plan *plan = &shapes[i].options.plan;

        if (plan->processes > 1 || plan->in_flight > 0)
            continue;
        if (own->in_flight == 0 && plan->threads != own->threads)
            continue;
        if (found == NULL || plan->threads > found->options.plan.threads)
            found = &shapes[i];
    }
    return found;
}

int bench_report_shapes(const struct bench_shape *shapes, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        const struct bench_options *options = &shapes[i].options;
        const struct bench_shape *base = find_base(&shapes[i], shapes, count);
        double *scratch = malloc(options->rounds * sizeof(*scratch));
        struct bench_spread ratio;

        if (scratch == NULL)
            return -1;
        if (base != NULL) {
            ratio =
                compare(shapes[i].rounds, base->rounds, options->rounds, &bench_fields[0], scratch);
            form_of(options)->shape(&options->plan, &base->options.plan, &ratio);
        }
        free(scratch);
    }
    return 0;
}
