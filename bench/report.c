/* report.c - boils runs down to medians, and hands all to the form that was asked for. */
#include "report.h"

#include "report_form.h"
#include "stats.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#define FIELD(name, decimals)                                                                      \
    {                                                                                              \
#name, offsetof(struct bench_round, name), decimals                                        \
    }

const struct bench_field bench_fields[] = {FIELD(events_per_s, 0),  FIELD(seconds, 6),
                                           FIELD(close_seconds, 6), FIELD(cpu_seconds, 6),
                                           FIELD(p50_us, 1),        FIELD(p99_us, 1),
                                           FIELD(max_us, 1),        FIELD(rss_bytes, 0),
                                           FIELD(private_bytes, 0), FIELD(disk_bytes_per_event, 1)};

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

/* `scratch` has room for a number of each run. */
static void summarize(const struct bench_round *rounds, size_t count, double *scratch,
                      struct bench_summary *out)
{
    size_t i;
    size_t n;

    for (i = 0; i < BENCH_FIELD_COUNT; i++) {
        struct bench_spread spread;

        for (n = 0; n < count; n++)
            scratch[n] = bench_field_get(&rounds[n], &bench_fields[i]);
        spread = bench_stats_spread(scratch, count);
        field_set(&out->median, &bench_fields[i], spread.median);
        if (bench_fields[i].offset == offsetof(struct bench_round, events_per_s))
            out->events_per_s = spread;
    }
}

static struct bench_spread compare(const struct bench_round *quipu,
                                   const struct bench_round *rounds, size_t count, double *scratch)
{
    size_t n;

    for (n = 0; n < count; n++)
        scratch[n] = quipu[n].events_per_s / rounds[n].events_per_s;
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

void bench_report_round(const struct bench_options *options, const struct bench_workload *workload,
                        const struct bench_peer *peer, uint64_t number,
                        const struct bench_round *round)
{
    form_of(options)->round(options, workload, peer, number, round);
}

int bench_report_summary(const struct bench_options *options, const struct bench_workload *workload,
                         const struct bench_round *rounds)
{
    struct bench_summary summaries[BENCH_SYSTEMS_MAX] = {0};
    size_t count = options->rounds;
    double *scratch = malloc(count * sizeof(*scratch));
    size_t i;

    if (scratch == NULL)
        return -1;
    for (i = 0; i < options->system_count; i++) {
        struct bench_summary *own = &summaries[i];

        summarize(rounds + i * count, count, scratch, own);
        own->ratio = compare(rounds, rounds + i * count, count, scratch);
        own->ratio.median = summaries[0].median.events_per_s / own->median.events_per_s;
    }
    form_of(options)->summary(options, workload, summaries);
    free(scratch);
    return 0;
}
