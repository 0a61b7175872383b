/* report_text.c - the report for people. */
#include "cold.h"
#include "report_form.h"
#include "text.h"

#define MIB 1048576.0

struct number {
    char text[32];
};

/* 1234567 as "1 234 567". */
static struct number grouped(double value)
{
    struct number number;
    char digits[24];
    int size = snprintf(digits, sizeof(digits), "%.0f", value < 1e15 ? value : 1e15);
    size_t used = 0;
    int i;

    for (i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) {
            number.text[used] = ' ';
            used++;
        }
        number.text[used] = digits[i];
        used++;
    }
    number.text[used] = 0;
    return number;
}

/* A time in the unit that it is read best in. */
static struct number readable(double us)
{
    struct number number;

    if (us < 1000) {
        bench_text_set(number.text, sizeof(number.text), "%.0f us", us);
    } else if (us < 1000000) {
        bench_text_set(number.text, sizeof(number.text), "%.2f ms", us / 1e3);
    } else {
        bench_text_set(number.text, sizeof(number.text), "%.2f s", us / 1e6);
    }
    return number;
}

/* The titles of the columns, or with a round its numbers: the rest of a line that is begun. */
static void put_columns(const struct bench_workload *workload, const struct bench_round *round)
{
    size_t i;

    for (i = 0; i < BENCH_FIELD_COUNT; i++) {
        const struct bench_field *field = &bench_fields[i];
        double value = round != NULL ? bench_field_get(round, field) / field->scale : 0;

        if ((field->kinds & workload->kind) == 0)
            continue;
        if (round == NULL) {
            bench_text_put(stdout, " %*s", field->width, field->title);
        } else if (field->title_decimals == 0) {
            bench_text_put(stdout, " %*s", field->width, grouped(value).text);
        } else {
            bench_text_put(stdout, " %*.*f", field->width, field->title_decimals, value);
        }
    }
    bench_text_put(stdout, "\n");
    (void)fflush(stdout);
}

static void text_environment(const struct bench_options *options, const struct bench_env *env)
{
    char version[64];
    size_t i;
    int n;

    bench_text_put(stdout, "machine     %s, %ld processors, %.1f GiB; %s\n", env->cpu, env->cpus,
                   env->memory_bytes / MIB / 1024, env->kernel);
    bench_text_put(stdout, "disk        %s; a write of 4 KiB and its flush take %.0f us\n",
                   env->file_system, env->flush_us);
    bench_text_put(stdout, "durability  sync: what was acknowledged is on the disk\n");
    bench_text_put(stdout, "build       %s, compiler %s%s%s\n", env->build_type, env->compiler,
                   env->lmdb[0] != 0 ? ", lmdb " : "", env->lmdb);
    for (i = 0; i < options->system_count; i++) {
        options->systems[i]->version(version, sizeof(version));
        bench_text_put(stdout, "%-11s %s; %s\n", options->systems[i]->name, version,
                       options->systems[i]->settings);
    }
    for (n = 0; n < env->warning_count; n++)
        bench_text_put(stdout, "WARNING     %s\n", env->warnings[n]);
    (void)fflush(stdout);
}

static void text_store(const struct bench_options *options, const struct bench_peer *peer,
                       double seconds)
{
    bench_text_put(stdout, "store       %s: %s events, made in %.1f s\n", peer->name,
                   grouped((double)options->plan.events).text, seconds);
    (void)fflush(stdout);
}

static void put_shape(const struct bench_plan *plan)
{
    bench_text_put(stdout, "--threads %llu --processes %llu", (unsigned long long)plan->threads,
                   (unsigned long long)plan->processes);
    if (plan->in_flight > 0)
        bench_text_put(stdout, " --async %llu", (unsigned long long)plan->in_flight);
}

/* What is appended or read. */
static void put_plan(const struct bench_workload *workload, const struct bench_plan *plan)
{
    if (workload->of_crew) {
        bench_text_put(stdout, "%llu s, %s streams, ", (unsigned long long)plan->seconds,
                       grouped((double)plan->streams).text);
        bench_text_put(stdout, "%s bytes each, ", grouped((double)plan->size).text);
    } else {
        bench_text_put(stdout, "%s events in %s streams, ", grouped((double)plan->events).text,
                       grouped((double)plan->streams).text);
        bench_text_put(stdout, "%s bytes each, %s a commit, ", grouped((double)plan->size).text,
                       grouped((double)plan->batch).text);
    }
    bench_text_put(stdout, "seed %llu, ids: %s\n", (unsigned long long)plan->seed,
                   bench_ids_name(plan->ids));
}

static void text_workload(const struct bench_options *options,
                          const struct bench_workload *workload)
{
    const struct bench_plan *plan = &options->plan;

    bench_text_put(stdout, "\n%s%s%s: %s\n", workload->name, workload->variant[0] != 0 ? " " : "",
                   workload->variant, workload->about);
    put_plan(workload, plan);
    if (workload->kind == BENCH_RECOVER)
        bench_text_put(stdout, "tail: %s events\n", grouped((double)plan->tail).text);
    if (workload->kind == BENCH_COLD)
        bench_text_put(stdout, "page cache dropped by %s\n", bench_cold_how(plan->files_only));
    if (workload->goal != NULL)
        bench_text_put(stdout, "goal: %s\n", workload->goal);
    bench_text_put(stdout, "\n%-7s %-8s", "round", "system");
    put_columns(workload, NULL);
}

static void text_round(const struct bench_options *options, const struct bench_workload *workload,
                       const struct bench_peer *peer, uint64_t number,
                       const struct bench_round *round)
{
    (void)options;
    bench_text_put(stdout, "%-7llu %-8s", (unsigned long long)number, peer->name);
    put_columns(workload, round);
    if (round->cached_share > BENCH_COLD_SHARE_MAX) {
        bench_text_put(stdout, "WARNING     not cold: %.0f %% stayed in the page cache\n",
                       round->cached_share * 100);
    }
}

static void put_main(const struct bench_workload *workload, const struct bench_peer *peer,
                     const struct bench_spread *main)
{
    if ((workload->kind & BENCH_BY_SPEED) != 0) {
        bench_text_put(stdout, "%-16s %s events/s (%s .. %s)\n", peer->name,
                       grouped(main->median).text, grouped(main->min).text,
                       grouped(main->max).text);
    } else {
        bench_text_put(stdout, "%-16s %s (%s .. %s)\n", peer->name, readable(main->median).text,
                       readable(main->min).text, readable(main->max).text);
    }
}

/* Of speeds, or of times: where Quipu needs less, also as a fraction of the other's. */
static void put_ratio(const struct bench_workload *workload, const struct bench_peer *quipu,
                      const struct bench_peer *peer, const struct bench_spread *ratio)
{
    int timed = (workload->kind & BENCH_BY_SPEED) == 0;
    int decimals = timed ? 3 : 2;
    char names[64];

    bench_text_set(names, sizeof(names), "%s / %s", quipu->name, peer->name);
    bench_text_put(stdout, "%-16s %.*f (%.*f .. %.*f round by round)", names, decimals,
                   ratio->median, decimals, ratio->min, decimals, ratio->max);
    if (timed)
        bench_text_put(stdout, " of the time");
    if (timed && ratio->median < 1)
        bench_text_put(stdout, ": 1/%.1f", 1 / ratio->median);
    bench_text_put(stdout, "\n");
}

static void text_summary(const struct bench_options *options, const struct bench_workload *workload,
                         const struct bench_summary *summaries)
{
    size_t i;

    bench_text_put(stdout, "\n");
    for (i = 0; i < options->system_count; i++) {
        bench_text_put(stdout, "%-7s %-8s", "median", options->systems[i]->name);
        put_columns(workload, &summaries[i].median);
    }
    bench_text_put(stdout, "\n");
    for (i = 0; i < options->system_count; i++)
        put_main(workload, options->systems[i], &summaries[i].main);
    for (i = 1; i < options->system_count; i++)
        put_ratio(workload, options->systems[0], options->systems[i], &summaries[i].ratio);
}

static void text_shape(const struct bench_plan *plan, const struct bench_plan *base,
                       const struct bench_spread *ratio)
{
    put_shape(plan);
    bench_text_put(stdout, " / ");
    put_shape(base);
    bench_text_put(stdout, ": %.2f (%.2f .. %.2f round by round)\n", ratio->median, ratio->min,
                   ratio->max);
}

const struct bench_form bench_form_text = {
    .environment = text_environment,
    .workload = text_workload,
    .store = text_store,
    .round = text_round,
    .summary = text_summary,
    .shape = text_shape,
};
